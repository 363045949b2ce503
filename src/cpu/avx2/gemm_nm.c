/* N:M products with AVX2, 8 outputs at a time. Bytes: two byte shuffles pick the even and the odd
 * of 4 kept activations, widened to int16 by zeroing places, and vpmaddwd multiplies exactly
 * (vpmaddubsw would saturate at 2 * 255 * 127); windows of up to 64 are read as parts of 16 whose
 * picks are or-ed. Floats: vpermps picks one of 8, blends choose among up to 4 parts; error of an
 * output: at most 2^-23 times its kept weights times sum |w| |x|. */
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#include <stdint.h>

#include "cpu/nm_gemm.h"

#define INLINE static inline __attribute__((always_inline))
enum { HALF = 8 };

/* ---- bytes */

typedef struct nm_bytes_step {
    __m256i even[4], odd[4]; /* by part of 16: which byte goes into a word; a top bit makes 0 */
    __m256i even_value, odd_value;
} nm_bytes_step;

INLINE nm_bytes_step nm_bytes_load(const lac_nm_state *w, const lac_nm_turn *turn,
                                   const uint8_t *index, const uint8_t *values, int half, int parts)
{
    nm_bytes_step step;
    const __m256i top = _mm256_set1_epi16((short)0x8000), low = _mm256_set1_epi16(0xff);
    __m256i place = _mm256_loadu_si256((const __m256i *)(index + turn->index + half * 32));
    place = _mm256_srl_epi16(place, _mm_cvtsi32_si128(turn->shift * w->cut.place_bits));
    place = _mm256_and_si256(place, _mm256_set1_epi8((char)((1 << w->cut.place_bits) - 1)));
    place = _mm256_add_epi8(place,
                            _mm256_load_si256((const __m256i *)(w->base[turn->base] + half * 32)));
#pragma GCC unroll 4
    for (int part = 0; part < parts; part++) {
        __m256i own = place;
        if (parts > 1) /* 0..15 become 0x70..0x7f, all else gets a top bit */
            own = _mm256_adds_epu8(_mm256_sub_epi8(place, _mm256_set1_epi8((char)(16 * part))),
                                   _mm256_set1_epi8(0x70));
        step.even[part] = _mm256_or_si256(_mm256_and_si256(own, low), top);
        step.odd[part] = _mm256_or_si256(_mm256_srli_epi16(own, 8), top);
    }
    __m256i value = _mm256_loadu_si256((const __m256i *)(values + half * 32));
    if (w->cut.value_bits == 4) { /* to the top of each byte: 16 times the value */
        value = _mm256_sll_epi16(value, _mm_cvtsi32_si128(turn->nibble ? 0 : 4));
        value = _mm256_and_si256(value, _mm256_set1_epi8((char)0xf0));
    }
    step.even_value = _mm256_srai_epi16(_mm256_slli_epi16(value, 8), 8);
    step.odd_value = _mm256_srai_epi16(value, 8);
    if (w->cut.value_bits == 4) {
        step.even_value = _mm256_srai_epi16(step.even_value, 4);
        step.odd_value = _mm256_srai_epi16(step.odd_value, 4);
    }
    return step;
}

INLINE __m256i nm_bytes_add(__m256i sum, const uint8_t *x, const nm_bytes_step *step, int parts)
{
    __m256i even = _mm256_setzero_si256(), odd = even;
#pragma GCC unroll 4
    for (int part = 0; part < parts; part++) {
        __m256i window =
            _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(x + 16 * part)));
        __m256i a = _mm256_shuffle_epi8(window, step->even[part]);
        __m256i b = _mm256_shuffle_epi8(window, step->odd[part]);
        even = part ? _mm256_or_si256(even, a) : a;
        odd = part ? _mm256_or_si256(odd, b) : b;
    }
    return _mm256_add_epi32(sum, _mm256_add_epi32(_mm256_madd_epi16(even, step->even_value),
                                                  _mm256_madd_epi16(odd, step->odd_value)));
}

static __attribute__((noinline)) void nm_bytes_finish(const lac_nm_state *w, int64_t row, int rows,
                                                      int64_t col, int32_t (*out)[HALF])
{
    int64_t left = w->epilogue.n - col;
    for (int r = 0; r < rows && left > 0; r++)
        lac_epilogue_integers(&w->epilogue, row + r, col, left < HALF ? (int)left : HALF, out[r]);
}

INLINE void nm_bytes_tile(const lac_nm_state *w, int64_t panel, int half, int64_t row,
                          const int rows, const int parts)
{
    const uint8_t *index = w->index + panel * w->cut.panel_index;
    const uint8_t *values = w->values + panel * w->cut.panel_values;
    const int64_t *row_at = w->row_at + row;
    const lac_nm_turn *end = w->turn + w->cut.panel_steps;
    __m256i sum[8];
    int32_t out[8][HALF];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
        sum[r] = _mm256_setzero_si256();
    for (const lac_nm_turn *turn = w->turn; turn < end; turn++) {
        nm_bytes_step step = nm_bytes_load(w, turn, index, values, half, parts);
        const uint8_t *x = w->x + turn->at;
        row_at = lac_nm_again(row_at);
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++)
            sum[r] = nm_bytes_add(sum[r], x + row_at[r], &step, parts);
        if (w->cut.value_bits == 8 || turn->nibble)
            values += 64;
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
        _mm256_storeu_si256((__m256i *)out[r], sum[r]);
    nm_bytes_finish(w, row, rows, panel * LAC_NM_COLUMNS + half * HALF, out);
}

#define NM_BYTES(parts)                                                                            \
    static void nm_bytes_##parts(const lac_nm_state *w, int64_t panel, int64_t from, int64_t end)  \
    {                                                                                              \
        for (int half = 0; half < 2; half++) {                                                     \
            int64_t row = from;                                                                    \
            for (; row + 8 <= end; row += 8)                                                       \
                nm_bytes_tile(w, panel, half, row, 8, parts);                                      \
            for (; row + 2 <= end; row += 2)                                                       \
                nm_bytes_tile(w, panel, half, row, 2, parts);                                      \
            for (; row < end; row++)                                                               \
                nm_bytes_tile(w, panel, half, row, 1, parts);                                      \
        }                                                                                          \
    }
NM_BYTES(1)
NM_BYTES(2)
NM_BYTES(4)

static void nm_bytes_panel(const lac_nm_state *w, int64_t panel, int64_t row, int64_t end)
{
    (w->cut.window <= 16   ? nm_bytes_1
     : w->cut.window <= 32 ? nm_bytes_2
                           : nm_bytes_4)(w, panel, row, end);
}

static const lac_nm_plan nm_bytes_plan = {.panel = nm_bytes_panel, .rows = 8, .reach = 64};
#define nm_bytes_STEP 2.1e-9 /* measured by bench/packed.c */
LAC_NM_ROWS(nm_s8_avx2, LAC_I8, LAC_ISA_AVX2, nm_bytes, "N:M int8, byte shuffles")
LAC_NM_ROWS(nm_u8_avx2, LAC_U8, LAC_ISA_AVX2, nm_bytes, "N:M uint8, byte shuffles")

/* ---- floats */

typedef struct nm_floats_step {
    __m256i position, bit3, bit4; /* the bits in the sign, where blends look */
    __m256 value;
} nm_floats_step;

/* Slot s of a step; `depth` of the format: 4 for weights of 8 or 4 bits. */
INLINE nm_floats_step nm_floats_load(const lac_nm_state *w, const lac_nm_turn *turn,
                                     const uint8_t *index, const uint8_t *values, int half, int s,
                                     int depth)
{
    nm_floats_step step;
    const int bits = w->cut.value_bits;
    int shift = turn->shift * w->cut.place_bits, group = w->slot_group[turn->slot + s];
    __m256i place;
    if (depth == 1) {
        place = _mm256_cvtepu8_epi32(
            _mm_loadl_epi64((const __m128i *)(index + turn->index + half * HALF)));
        step.value = _mm256_loadu_ps((const float *)values + half * HALF);
    } else {
        int low = 8 * s + (bits == 4 && turn->nibble ? 4 : 0); /* first bit of the value */
        __m256i value = _mm256_loadu_si256((const __m256i *)(values + half * 32));
        value = _mm256_sll_epi32(value, _mm_cvtsi32_si128(32 - bits - low));
        step.value = _mm256_cvtepi32_ps(_mm256_sra_epi32(value, _mm_cvtsi32_si128(32 - bits)));
        place = _mm256_loadu_si256((const __m256i *)(index + turn->index + half * 32));
        shift += 8 * s;
    }
    place = _mm256_and_si256(_mm256_srl_epi32(place, _mm_cvtsi32_si128(shift)),
                             _mm256_set1_epi32((1 << w->cut.place_bits) - 1));
    step.position = _mm256_add_epi32(place, _mm256_set1_epi32(group));
    step.bit3 = _mm256_slli_epi32(step.position, 28);
    step.bit4 = _mm256_slli_epi32(step.position, 27);
    return step;
}

INLINE __m256 nm_floats_pick16(const float *x, const nm_floats_step *step)
{
    __m256 low = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x), step->position);
    __m256 high = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x + 8), step->position);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(step->bit3));
}

INLINE __m256 nm_floats_pick(const float *x, const nm_floats_step *step, int span)
{
    __m256 low = nm_floats_pick16(x, step);
    return span == 16 ? low
                      : _mm256_blendv_ps(low, nm_floats_pick16(x + 16, step),
                                         _mm256_castsi256_ps(step->bit4));
}

static __attribute__((noinline)) void nm_floats_finish(const lac_nm_state *w, int64_t row, int rows,
                                                       int64_t col, float (*out)[HALF])
{
    int64_t left = w->epilogue.n - col;
    for (int r = 0; r < rows && left > 0; r++)
        lac_epilogue_floats(&w->epilogue, row + r, col, left < HALF ? (int)left : HALF, out[r]);
}

INLINE void nm_floats_tile(const lac_nm_state *w, int64_t panel, int half, int64_t row,
                           const int rows, const int span, const int depth)
{
    const uint8_t *index = w->index + panel * w->cut.panel_index;
    const uint8_t *values = w->values + panel * w->cut.panel_values;
    const int64_t *row_at = w->row_at + row;
    const lac_nm_turn *end = w->turn + w->cut.panel_steps;
    __m256 sum[8];
    float out[8][HALF];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
        sum[r] = _mm256_setzero_ps();
    for (const lac_nm_turn *turn = w->turn; turn < end; turn++) {
        for (int s = 0; s < depth; s++) {
            nm_floats_step step = nm_floats_load(w, turn, index, values, half, s, depth);
            const uint8_t *x = w->x + turn->at;
            if (depth > 1)
                x += 4 * w->slot_sub[turn->slot + s];
            row_at = lac_nm_again(row_at);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++)
                sum[r] = _mm256_fmadd_ps(
                    nm_floats_pick((const float *)(const void *)(x + row_at[r]), &step, span),
                    step.value, sum[r]);
        }
        if (w->cut.value_bits != 4 || turn->nibble)
            values += 64;
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
        _mm256_storeu_ps(out[r], sum[r]);
    nm_floats_finish(w, row, rows, panel * LAC_NM_COLUMNS + half * HALF, out);
}

#define NM_FLOATS(name, span, depth)                                                               \
    static void name(const lac_nm_state *w, int64_t panel, int64_t from, int64_t end)              \
    {                                                                                              \
        for (int half = 0; half < 2; half++) {                                                     \
            int64_t row = from;                                                                    \
            for (; row + 8 <= end; row += 8)                                                       \
                nm_floats_tile(w, panel, half, row, 8, span, depth);                               \
            for (; row + 2 <= end; row += 2)                                                       \
                nm_floats_tile(w, panel, half, row, 2, span, depth);                               \
            for (; row < end; row++)                                                               \
                nm_floats_tile(w, panel, half, row, 1, span, depth);                               \
        }                                                                                          \
    }
NM_FLOATS(nm_floats_16, 16, 1)
NM_FLOATS(nm_floats_32, 32, 1)
NM_FLOATS(nm_floats_int_16, 16, 4)
NM_FLOATS(nm_floats_int_32, 32, 4)

static void nm_floats_panel(const lac_nm_state *w, int64_t panel, int64_t row, int64_t end)
{
    lac_nm_panel *rows = w->cut.depth == 1  ? w->cut.sub <= 16 ? nm_floats_16 : nm_floats_32
                         : w->cut.sub <= 16 ? nm_floats_int_16
                                            : nm_floats_int_32;
    rows(w, panel, row, end);
}

static const lac_nm_plan nm_floats_plan = {.panel = nm_floats_panel, .rows = 8};
#define nm_floats_STEP 1.5e-9 /* measured by bench/packed.c */
LAC_NM_ROWS(nm_f32_avx2, LAC_F32, LAC_ISA_AVX2, nm_floats, "N:M float32, register shuffles")
#endif
