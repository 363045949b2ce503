/* N:M products with AVX2. Bytes: vpshufb picks 4 kept activations for each of 8 outputs out of
 * windows of up to 64, read as parts of 16 whose picks are or-ed together; the picked bytes are
 * widened and multiplied by vpmaddwd, which is exact (vpmaddubsw saturates at 2 * 255 * 127).
 * Floats: vpermps picks one of 8, blends choose among up to 4 parts. */
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#include <stdint.h>

#include "cpu/nm_image.h"
#include "cpu/packed_gemm.h"

#define CONCAT_(a, b) a##b
#define CONCAT(a, b)  CONCAT_(a, b)
#define INLINE        static inline __attribute__((always_inline))
#define COLUMNS       8
#define ROWS          4

/* ---- bytes */

/* A 128-bit lane serves 4 outputs: bytes 0..7 their kept weights 0 and 1, bytes 8..15 2 and 3. The
 * values are two vectors of int16: of the low bytes of both lanes, then of the high bytes. */
static void nm_bytes_place(int column, int slot, int *position, int *value)
{
    int lane = column / 4, within = column % 4 * 2 + slot % 2, half = slot / 2;
    *position = lane * 16 + half * 8 + within;
    *value = half * 16 + lane * 8 + within;
}

static const lac_nm_layout nm_bytes_layout = {
    .columns = 8,
    .depth = 4,
    .value = LAC_I16,
    .spans = 3,
    .unit = 16,
    .cost = {1, 1.5, 2.5},
    .load = {0.2, 0.4, 0.8},
    .place = nm_bytes_place,
};

typedef struct nm_bytes_window {
    const uint8_t *x;
} nm_bytes_window;

typedef struct nm_bytes_slot {
    __m256i position[4]; /* for each part of 16; a top bit picks 0 */
    __m256i low, high;
} nm_bytes_slot;

INLINE nm_bytes_slot nm_bytes_slot_load(const uint8_t *position, const int16_t *value, int span)
{
    nm_bytes_slot slot;
    __m256i p = _mm256_loadu_si256((const __m256i *)position);
    slot.low = _mm256_loadu_si256((const __m256i *)value);
    slot.high = _mm256_loadu_si256((const __m256i *)(value + 16));
    slot.position[0] = slot.position[1] = slot.position[2] = slot.position[3] = p;
    for (int part = 0; span > 16 && part < span / 16; part++) /* 0..15 become 0x70..0x7f */
        slot.position[part] = _mm256_adds_epu8(
            _mm256_sub_epi8(p, _mm256_set1_epi8((char)(16 * part))), _mm256_set1_epi8(0x70));
    return slot;
}

INLINE __m256i nm_bytes_step(__m256i sum, nm_bytes_window w, nm_bytes_slot slot, int span)
{
    __m256i picked = _mm256_setzero_si256();
    const __m256i zero = _mm256_setzero_si256();
#pragma GCC unroll 4
    for (int part = 0; part < span / 16; part++) {
        __m256i x = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)w.x + part));
        __m256i pick = _mm256_shuffle_epi8(x, slot.position[part]);
        picked = part ? _mm256_or_si256(picked, pick) : pick;
    }
    __m256i low = _mm256_madd_epi16(_mm256_unpacklo_epi8(picked, zero), slot.low);
    __m256i high = _mm256_madd_epi16(_mm256_unpackhi_epi8(picked, zero), slot.high);
    return _mm256_add_epi32(sum, _mm256_add_epi32(low, high));
}

#define NAME(x)                  CONCAT(nm_bytes_, x)
#define INTEGER                  1
#define VALUE                    int16_t
#define UNIT                     16
#define VECTOR                   __m256i
#define VECTOR_ZERO              _mm256_setzero_si256()
#define VECTOR_ADD(a, b)         _mm256_add_epi32(a, b)
#define VECTOR_STORE(to, v)      _mm256_storeu_si256((__m256i *)(to), v)
#define WINDOW                   nm_bytes_window
#define WINDOW_LOAD(p, span)     ((nm_bytes_window){p})
#define SLOT_LOAD(p, v, span)    nm_bytes_slot_load(p, v, span)
#define STEP(sum, x, slot, span) nm_bytes_step(sum, x, slot, span)
#define SECONDS                  0.57e-9
#include "cpu/gemm_nm.inc"
#include "cpu/gemm_nm_end.inc"

LAC_PACKED_ROWS(nm_s8_avx2, "nm", LAC_I8, LAC_ISA_AVX2, nm_bytes, "N:M int8, byte shuffles")
LAC_PACKED_ROWS(nm_u8_avx2, "nm", LAC_U8, LAC_ISA_AVX2, nm_bytes, "N:M uint8, byte shuffles")

/* ---- floats */
static const lac_nm_layout nm_floats_layout = {
    .columns = 8,
    .depth = 1,
    .value = LAC_F32,
    .spans = 3,
    .unit = 8,
    .cost = {1, 2, 4},
    .load = {0.2, 0.4, 0.8},
};

typedef struct nm_floats_window {
    const float *x;
} nm_floats_window;

typedef struct nm_floats_slot {
    __m256i position, bit3, bit4; /* the bits in the sign, where blends look */
    __m256 value;
} nm_floats_slot;

INLINE nm_floats_slot nm_floats_slot_load(const uint8_t *position, const float *value)
{
    nm_floats_slot slot;
    slot.position = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)position));
    slot.bit3 = _mm256_slli_epi32(slot.position, 28);
    slot.bit4 = _mm256_slli_epi32(slot.position, 27);
    slot.value = _mm256_loadu_ps(value);
    return slot;
}

INLINE __m256 nm_floats_pick(const float *x, nm_floats_slot slot, int span)
{
    __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x), slot.position);
    if (span == 8)
        return low;
    __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x + 8), slot.position);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(slot.bit3));
}

INLINE __m256 nm_floats_step(__m256 sum, nm_floats_window w, nm_floats_slot slot, int span)
{
    __m256 picked = nm_floats_pick(w.x, slot, span < 16 ? span : 16);
    if (span == 32)
        picked = _mm256_blendv_ps(picked, nm_floats_pick(w.x + 16, slot, 16),
                                  _mm256_castsi256_ps(slot.bit4));
    return _mm256_fmadd_ps(picked, slot.value, sum);
}

#define NAME(x)                  CONCAT(nm_floats_, x)
#define INTEGER                  0
#define UNIT                     8
#define VECTOR                   __m256
#define VECTOR_ZERO              _mm256_setzero_ps()
#define VECTOR_ADD(a, b)         _mm256_add_ps(a, b)
#define VECTOR_STORE(to, v)      _mm256_storeu_ps(to, v)
#define WINDOW                   nm_floats_window
#define WINDOW_LOAD(p, span)     ((nm_floats_window){p})
#define SLOT_LOAD(p, v, span)    nm_floats_slot_load(p, v)
#define STEP(sum, x, slot, span) nm_floats_step(sum, x, slot, span)
#define SECONDS                  0.26e-9
#include "cpu/gemm_nm.inc"
#include "cpu/gemm_nm_end.inc"

LAC_PACKED_ROWS(nm_f32_avx2, "nm", LAC_F32, LAC_ISA_AVX2, nm_floats,
                "N:M float32, register shuffles")
#endif
