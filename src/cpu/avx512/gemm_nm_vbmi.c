/* N:M products with AVX-512. Bytes: vpermb picks 4 kept activations for each of 16 outputs out of
 * a window of up to 64, vpdpbusd multiplies and sums them. Floats: vpermps or vpermt2ps picks one
 * of 16 or 32. */
#if defined(__AVX512VBMI__) && defined(__AVX512VNNI__)
#include <immintrin.h>
#include <stdint.h>

#include "cpu/nm_image.h"
#include "cpu/packed_gemm.h"

#define CONCAT_(a, b) a##b
#define CONCAT(a, b)  CONCAT_(a, b)
#define INLINE        static inline __attribute__((always_inline))
#define COLUMNS       16
#define ROWS          8

/* ---- bytes */
static const lac_nm_layout nm_bytes_layout = {
    .columns = 16,
    .depth = 4,
    .value = LAC_I8,
    .spans = 3,
    .unit = 16,
    .cost = {1, 1, 1},
    .load = {0.2, 0.25, 0.4},
};

INLINE __m512i nm_bytes_load(const uint8_t *x, int span)
{
    if (span == 16)
        return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)x));
    if (span == 32)
        return _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)x));
    return _mm512_loadu_si512(x);
}

typedef struct nm_bytes_slot {
    __m512i position, value;
} nm_bytes_slot;

INLINE nm_bytes_slot nm_bytes_slot_load(const uint8_t *position, const int8_t *value)
{
    return (nm_bytes_slot){_mm512_loadu_si512(position), _mm512_loadu_si512(value)};
}

#define NAME(x)               CONCAT(nm_bytes_, x)
#define INTEGER               1
#define VALUE                 int8_t
#define UNIT                  16
#define VECTOR                __m512i
#define VECTOR_ZERO           _mm512_setzero_si512()
#define VECTOR_ADD(a, b)      _mm512_add_epi32(a, b)
#define VECTOR_STORE(to, v)   _mm512_storeu_si512(to, v)
#define WINDOW                __m512i
#define WINDOW_LOAD           nm_bytes_load
#define SLOT_LOAD(p, v, span) nm_bytes_slot_load(p, v)
#define STEP(sum, x, slot, span)                                                                   \
    _mm512_dpbusd_epi32(sum, _mm512_permutexvar_epi8((slot).position, x), (slot).value)
#define SECONDS 0.55e-9
#include "cpu/gemm_nm.inc"
#include "cpu/gemm_nm_end.inc"

/* All that the compiler may use in this file. */
#define ISA (LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI | LAC_ISA_VBMI)
LAC_PACKED_ROWS(nm_s8_avx512vnni, "nm", LAC_I8, ISA, nm_bytes, "N:M int8, byte shuffles and VNNI")
LAC_PACKED_ROWS(nm_u8_avx512vnni, "nm", LAC_U8, ISA, nm_bytes, "N:M uint8, byte shuffles and VNNI")

/* ---- floats */
static const lac_nm_layout nm_floats_layout = {
    .columns = 16,
    .depth = 1,
    .value = LAC_F32,
    .spans = 2,
    .unit = 16,
    .cost = {1, 1.2},
    .load = {0.5, 1},
};

typedef struct nm_floats_window {
    __m512 low, high;
} nm_floats_window;

INLINE nm_floats_window nm_floats_load(const float *x, int span)
{
    nm_floats_window window = {_mm512_loadu_ps(x), _mm512_setzero_ps()};
    if (span > 16)
        window.high = _mm512_loadu_ps(x + 16);
    return window;
}

typedef struct nm_floats_slot {
    __m512i position;
    __m512 value;
} nm_floats_slot;

INLINE nm_floats_slot nm_floats_slot_load(const uint8_t *position, const float *value)
{
    return (nm_floats_slot){_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)position)),
                            _mm512_loadu_ps(value)};
}

INLINE __m512 nm_floats_step(__m512 sum, nm_floats_window x, nm_floats_slot slot, int span)
{
    __m512 picked = span == 16 ? _mm512_permutexvar_ps(slot.position, x.low)
                               : _mm512_permutex2var_ps(x.low, slot.position, x.high);
    return _mm512_fmadd_ps(picked, slot.value, sum);
}

#define NAME(x)                  CONCAT(nm_floats_, x)
#define INTEGER                  0
#define UNIT                     16
#define VECTOR                   __m512
#define VECTOR_ZERO              _mm512_setzero_ps()
#define VECTOR_ADD(a, b)         _mm512_add_ps(a, b)
#define VECTOR_STORE(to, v)      _mm512_storeu_ps(to, v)
#define WINDOW                   nm_floats_window
#define WINDOW_LOAD              nm_floats_load
#define SLOT_LOAD(p, v, span)    nm_floats_slot_load(p, v)
#define STEP(sum, x, slot, span) nm_floats_step(sum, x, slot, span)
#define SECONDS                  0.45e-9
#include "cpu/gemm_nm.inc"
#include "cpu/gemm_nm_end.inc"

LAC_PACKED_ROWS(nm_f32_avx512, "nm", LAC_F32, ISA, nm_floats, "N:M float32, register shuffles")
#endif
