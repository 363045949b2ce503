/* N:M products with AVX2, 8 outputs at a time. Bytes: two byte shuffles pick the even and the odd
 * of 4 kept activations, widened to int16 by zeroing places, and vpmaddwd multiplies exactly
 * (vpmaddubsw would saturate at 2 * 255 * 127); windows of up to 64 are read as parts of 16 whose
 * picks are or-ed, then even and odd ones taken apart. Bound on Zen 4: two shuffles, two products
 * and two additions for 32 kept weights of a token take 2.0 cycles (measured, in registers), three
 * of the four pipes being what they have; so half the speed of AVX-512 is out of reach. Floats, for
 * few tokens (many go side by side, panel_nm.c): 4 elements of each of 2 outputs, vpermps picks one
 * of 8, blends choose among up to 8 parts; error of an output: at most 2^-23 times its kept weights
 * times sum |w| |x|. */
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#include <stdint.h>

#include "cpu/nm_gemm.h"

#define INLINE static inline __attribute__((always_inline))
enum { HALF = 8, ROWS = 16 }; /* outputs at a time; tokens of a block */

/* ---- bytes */

/* A step of 8 outputs, decoded once for all tokens of a block. */
typedef struct nm_bytes_step {
    /* One part: which byte goes into the low byte of a word, of the even and the odd elements; else
     * by part of 16, of all elements; a top bit makes 0 */
    __m256i pick[4];
    __m256i even_value, odd_value;
    int64_t at; /* bytes from the first load of those decoded together */
} nm_bytes_step;
enum { STEPS = 64 }; /* that are decoded at a time: 12 KB */

/* Where a step of a half panel is read. */
typedef struct nm_bytes_at {
    const uint8_t *index, *values;
    int shift, t;
    bool high;
} nm_bytes_at;

INLINE nm_bytes_step nm_bytes_decode(const lac_nm_state *w, const nm_bytes_at *at, const int parts)
{
    nm_bytes_step step;
    const bool four = w->cut.value_bits == 4;
    __m256i place = _mm256_loadu_si256((const __m256i *)(const void *)at->index);
    place = _mm256_srl_epi16(place, _mm_cvtsi32_si128(at->shift));
    place = _mm256_and_si256(place, _mm256_set1_epi8((char)((1 << w->cut.place_bits) - 1)));
    place =
        _mm256_add_epi8(/* the bases of both halves are the same */
                        place, _mm256_load_si256((const __m256i *)(const void *)w->base[at->t]));
    if (parts == 1) {
        const __m256i top = _mm256_set1_epi16((short)0x8000);
        step.pick[0] = _mm256_or_si256(place, top); /* the odd place, with a top bit */
        step.pick[1] = _mm256_or_si256(_mm256_srli_epi16(place, 8), top);
    } else {
#pragma GCC unroll 4
        for (int part = 0; part < parts; part++) /* 0..15 become 0x70..0x7f, all else a top bit */
            step.pick[part] =
                _mm256_adds_epu8(_mm256_sub_epi8(place, _mm256_set1_epi8((char)(16 * part))),
                                 _mm256_set1_epi8(0x70));
    }
    __m256i value = _mm256_loadu_si256((const __m256i *)(const void *)at->values);
    if (four) { /* to the top of each byte: 16 times the value */
        value = _mm256_sll_epi16(value, _mm_cvtsi32_si128(at->high ? 0 : 4));
        value = _mm256_and_si256(value, _mm256_set1_epi8((char)0xf0));
    }
    __m128i down = _mm_cvtsi32_si128(four ? 12 : 8);
    step.even_value = _mm256_sra_epi16(_mm256_slli_epi16(value, 8), down);
    step.odd_value = _mm256_sra_epi16(value, down);
    return step;
}

INLINE void nm_bytes_next(const lac_nm_state *w, nm_bytes_at *at)
{
    at->t = at->t + 1 < w->cut.steps ? at->t + 1 : 0;
    at->shift += w->cut.place_bits;
    at->index += at->shift & 8 ? 64 : 0;
    at->shift &= 7;
    at->values += w->cut.value_bits == 8 || at->high ? 64 : 0;
    at->high = !at->high;
}

INLINE __m256i nm_bytes_window(const uint8_t *x)
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)x));
}

INLINE __m256i nm_bytes_add(__m256i sum, const uint8_t *x, const nm_bytes_step *step,
                            const int parts)
{
    __m256i even, odd, window = nm_bytes_window(x);
    if (parts == 1) {
        even = _mm256_shuffle_epi8(window, step->pick[0]);
        odd = _mm256_shuffle_epi8(window, step->pick[1]);
    } else {
        __m256i all = _mm256_shuffle_epi8(window, step->pick[0]);
#pragma GCC unroll 4
        for (int part = 1; part < parts; part++)
            all = _mm256_or_si256(
                all, _mm256_shuffle_epi8(nm_bytes_window(x + 16 * part), step->pick[part]));
        even = _mm256_and_si256(all, _mm256_set1_epi16(0xff));
        odd = _mm256_srli_epi16(all, 8);
    }
    even = _mm256_madd_epi16(even, step->even_value);
    odd = _mm256_madd_epi16(odd, step->odd_value);
    even = _mm256_add_epi32(even, odd);
    /* The intrinsic: GCC 12 would copy sums to other registers, of which there are none, and back
     */
    __asm__("vpaddd %1, %0, %0" : "+x"(sum) : "x"(even));
    return sum;
}

/* `count` decoded steps for `rows` tokens. */
INLINE void nm_bytes_tile(const uint8_t *x, int64_t stride, const nm_bytes_step *step, int count,
                          const int rows, const int parts, __m256i *sums)
{
    const int64_t three = 3 * stride;
    __m256i sum[8];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
        sum[r] = sums[r];
    for (int i = 0; i < count; i++, step++) {
        const uint8_t *x0 = x + step->at, *x4 = x0 + 4 * stride;
        nm_bytes_step now = *step;
#pragma GCC unroll 8
        for (int r = 0; r < rows; r++) {
            const uint8_t *at = r < 4 ? x0 : x4;
            at += r % 4 == 3 ? three : r % 4 * stride;
            sum[r] = nm_bytes_add(sum[r], at, &now, parts);
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
        sums[r] = sum[r];
}

static __attribute__((noinline)) void nm_bytes_finish(const lac_nm_state *w, int64_t row, int rows,
                                                      int64_t col, const __m256i *sum)
{
    const lac_epilogue *e = &w->epilogue;
    int64_t left = e->n - col;
    int count = left < HALF ? (int)left : HALF;
    int32_t out[HALF];
    if (count == HALF && e->dtype == LAC_F32 && e->activation == LAC_ACT_NONE && !e->residual) {
        __m256 scale = e->scale ? _mm256_loadu_ps(e->scale + col) : _mm256_set1_ps(1);
        __m256 bias = e->bias ? _mm256_loadu_ps(e->bias + col) : _mm256_set1_ps(-0.0f);
        __m256i offset = _mm256_setzero_si256(); /* adding -0 changes nothing */
        if (e->offset)
            offset = _mm256_loadu_si256((const __m256i *)(const void *)(e->offset + col));
        for (int r = 0; r < rows; r++) {
            __m256 x = _mm256_cvtepi32_ps(_mm256_sub_epi32(sum[r], offset));
            _mm256_storeu_ps((float *)e->output + (row + r) * e->n + col,
                             _mm256_add_ps(_mm256_mul_ps(x, scale), bias));
        }
        return;
    }
    for (int r = 0; r < rows && count > 0; r++) {
        _mm256_storeu_si256((__m256i *)(void *)out, sum[r]);
        lac_epilogue_integers(e, row + r, col, count, out);
    }
}

/* Eight tokens at a time where a window is one part, else four: what the registers hold. */
INLINE void nm_bytes_half(const lac_nm_state *w, const lac_nm_rows *rows, int64_t panel, int half,
                          const int parts)
{
    const lac_nm_cut *cut = &w->cut;
    const int64_t stride = rows->stride;
    const int many = parts == 1 ? 8 : 4;
    nm_bytes_at at = {w->index + panel * cut->panel_index + half * 32,
                      w->values + panel * cut->panel_values + half * 32, 0, 0, false};
    nm_bytes_step step[STEPS];
    __m256i sum[ROWS];
    for (int r = 0; r < rows->rows; r++)
        sum[r] = _mm256_setzero_si256();
    for (int64_t done = 0; done < cut->panel_steps; done += STEPS) {
        int64_t left = cut->panel_steps - done;
        int count = left < STEPS ? (int)left : STEPS, r = 0;
        const uint8_t *x = rows->x + done / cut->steps * w->load_bytes;
        for (int64_t i = 0, load = 0; i < count; i++) {
            step[i] = nm_bytes_decode(w, &at, parts);
            step[i].at = load;
            nm_bytes_next(w, &at);
            load += at.t == 0 ? w->load_bytes : 0;
        }
        for (; r + many <= rows->rows; r += many)
            nm_bytes_tile(x + r * stride, stride, step, count, many, parts, sum + r);
        for (; r < rows->rows; r++)
            nm_bytes_tile(x + r * stride, stride, step, count, 1, parts, sum + r);
    }
    nm_bytes_finish(w, rows->row, rows->rows, panel * LAC_NM_COLUMNS + half * HALF, sum);
}

/* One token: both halves of a panel at once, as the weights come from far. */
INLINE void nm_bytes_one(const lac_nm_state *w, const lac_nm_rows *rows, int64_t panel,
                         const int parts)
{
    const lac_nm_cut *cut = &w->cut;
    const uint8_t *x = rows->x;
    __m256i sum[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    nm_bytes_at at = {w->index + panel * cut->panel_index, w->values + panel * cut->panel_values, 0,
                      0, false};
    for (int64_t left = cut->panel_steps; left > 0; left--) {
        _mm_prefetch((const char *)at.values + 2048, _MM_HINT_T0);
        _mm_prefetch((const char *)at.index + 512, _MM_HINT_T0);
        nm_bytes_at second = at;
        second.index += 32;
        second.values += 32;
        nm_bytes_step a = nm_bytes_decode(w, &at, parts), b = nm_bytes_decode(w, &second, parts);
        sum[0] = nm_bytes_add(sum[0], x, &a, parts);
        sum[1] = nm_bytes_add(sum[1], x, &b, parts);
        nm_bytes_next(w, &at);
        x += at.t == 0 ? w->load_bytes : 0;
    }
    nm_bytes_finish(w, rows->row, 1, panel * LAC_NM_COLUMNS, sum);
    nm_bytes_finish(w, rows->row, 1, panel * LAC_NM_COLUMNS + HALF, sum + 1);
}

#define NM_BYTES(parts)                                                                            \
    static void nm_bytes_##parts(const lac_nm_state *w, const lac_nm_rows *rows, int64_t panel,    \
                                 int64_t end)                                                      \
    {                                                                                              \
        for (; panel < end && rows->rows == 1; panel++)                                            \
            nm_bytes_one(w, rows, panel, parts);                                                   \
        for (; panel < end; panel++) {                                                             \
            nm_bytes_half(w, rows, panel, 0, parts);                                               \
            nm_bytes_half(w, rows, panel, 1, parts);                                               \
        }                                                                                          \
    }
NM_BYTES(1)
NM_BYTES(2)
NM_BYTES(4)

static void nm_bytes_block(const lac_nm_state *w, const lac_nm_rows *rows, int64_t panel,
                           int64_t end)
{
    (w->cut.window <= 16   ? nm_bytes_1
     : w->cut.window <= 32 ? nm_bytes_2
                           : nm_bytes_4)(w, rows, panel, end);
}

static const lac_nm_plan nm_bytes_plan = {.block = nm_bytes_block, .rows = ROWS};
#define nm_bytes_STEP 1.6e-9 /* measured by bench_kernels */
LAC_NM_ROWS(nm_s8_avx2, LAC_I8, LAC_ISA_AVX2, nm_bytes, "N:M int8, byte shuffles")
LAC_NM_ROWS(nm_u8_avx2, LAC_U8, LAC_ISA_AVX2, nm_bytes, "N:M uint8, byte shuffles")

/* ---- floats */

/* 8 elements from element 8 * q of a step on. */
INLINE __m256 nm_floats_value(const uint8_t *values, int q, const int bits, bool high)
{
    if (bits == 32)
        return _mm256_loadu_ps((const float *)(const void *)values + 8 * q);
    __m256i value =
        _mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(values + 8 * q)));
    if (bits == 4) {
        value = _mm256_sll_epi32(value, _mm_cvtsi32_si128(high ? 24 : 28));
        value = _mm256_srai_epi32(value, 28);
    }
    return _mm256_cvtepi32_ps(value);
}

/* Blends look at the sign: bit 3, 4, 5 of a position shifted there. */
INLINE __m256 nm_floats_pick(const float *x, __m256i position, int span)
{
    if (span == 8)
        return _mm256_permutevar8x32_ps(_mm256_loadu_ps(x), position);
    __m256 low = nm_floats_pick(x, position, 8), high = nm_floats_pick(x + 8, position, 8);
    return _mm256_blendv_ps(low, high, _mm256_castsi256_ps(_mm256_slli_epi32(position, 28)));
}
INLINE __m256 nm_floats_pick32(const float *x, __m256i position)
{
    return _mm256_blendv_ps(nm_floats_pick(x, position, 16), nm_floats_pick(x + 16, position, 16),
                            _mm256_castsi256_ps(_mm256_slli_epi32(position, 27)));
}
INLINE __m256 nm_floats_pick64(const float *x, __m256i position)
{
    return _mm256_blendv_ps(nm_floats_pick32(x, position), nm_floats_pick32(x + 32, position),
                            _mm256_castsi256_ps(_mm256_slli_epi32(position, 26)));
}

/* Sums of 4 elements of each of 4 x 2 outputs. */
INLINE __m256 nm_floats_total(const __m256 *sum)
{
    __m256 all = _mm256_hadd_ps(_mm256_hadd_ps(sum[0], sum[1]), _mm256_hadd_ps(sum[2], sum[3]));
    return _mm256_permutevar8x32_ps(all, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

INLINE void nm_floats_row(const lac_nm_state *w, const uint8_t *x, int64_t row, int64_t panel,
                          const int span, const int bits)
{
    const lac_nm_cut *cut = &w->cut;
    const uint8_t *index = w->index + panel * cut->panel_index;
    const uint8_t *values = w->values + panel * cut->panel_values;
    const __m256i mask = _mm256_set1_epi32((1 << cut->place_bits) - 1);
    __m256 sum[8];
    float out[LAC_NM_COLUMNS];
    int64_t col = panel * LAC_NM_COLUMNS, left = w->epilogue.n - col;
    int shift = 0;
    bool high = false;
    for (int q = 0; q < 8; q++)
        sum[q] = _mm256_setzero_ps();
    for (int64_t window = 0; window < cut->windows; window++, x += w->load_bytes)
        for (int t = 0; t < cut->steps; t++) {
            __m256i base =
                _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)w->base[t]));
            const float *at = (const float *)(const void *)x;
            for (int i = 0; i < bits / 8; i++)
                _mm_prefetch((const char *)values + 4096 + 64 * i, _MM_HINT_T0);
#pragma GCC unroll 8
            for (int q = 0; q < 8; q++) {
                __m256i position = _mm256_cvtepu8_epi32(
                    _mm_loadl_epi64((const __m128i *)(const void *)(index + 8 * q)));
                position = _mm256_srl_epi32(position, _mm_cvtsi32_si128(shift));
                position = _mm256_add_epi32(_mm256_and_si256(position, mask), base);
                __m256 picked = span == 16   ? nm_floats_pick(at, position, 16)
                                : span == 32 ? nm_floats_pick32(at, position)
                                             : nm_floats_pick64(at, position);
                sum[q] = _mm256_fmadd_ps(picked, nm_floats_value(values, q, bits, high), sum[q]);
            }
            shift += cut->place_bits;
            index += shift & 8 ? 64 : 0;
            shift &= 7;
            values += bits == 4 ? (high ? 64 : 0) : bits * 8;
            high = !high;
        }
    _mm256_storeu_ps(out, nm_floats_total(sum));
    _mm256_storeu_ps(out + 8, nm_floats_total(sum + 4));
    lac_epilogue_floats(&w->epilogue, row, col, left < LAC_NM_COLUMNS ? (int)left : LAC_NM_COLUMNS,
                        out);
}

#define NM_FLOATS(span, bits)                                                                      \
    static void nm_floats_##span##_##bits(const lac_nm_state *w, const lac_nm_rows *rows,          \
                                          int64_t panel, int64_t end)                              \
    {                                                                                              \
        for (int row = 0; row < rows->rows; row++)                                                 \
            for (int64_t p = panel; p < end; p++)                                                  \
                nm_floats_row(w, rows->x + row * rows->stride, rows->row + row, p, span, bits);    \
    }
NM_FLOATS(16, 32)
NM_FLOATS(32, 32)
NM_FLOATS(64, 32)
NM_FLOATS(16, 8)
NM_FLOATS(32, 8)
NM_FLOATS(64, 8)
NM_FLOATS(16, 4)
NM_FLOATS(32, 4)
NM_FLOATS(64, 4)

static void nm_floats_block(const lac_nm_state *w, const lac_nm_rows *rows, int64_t panel,
                            int64_t end)
{
    static lac_nm_block *const blocks[3][3] = {{nm_floats_16_32, nm_floats_32_32, nm_floats_64_32},
                                               {nm_floats_16_8, nm_floats_32_8, nm_floats_64_8},
                                               {nm_floats_16_4, nm_floats_32_4, nm_floats_64_4}};
    int bits = w->cut.value_bits == 32 ? 0 : w->cut.value_bits == 8 ? 1 : 2;
    blocks[bits][w->cut.window <= 16 ? 0 : w->cut.window <= 32 ? 1 : 2](w, rows, panel, end);
}

static const lac_nm_plan nm_floats_plan = {.block = nm_floats_block, .rows = 16};
#define nm_floats_STEP 7e-9 /* measured by bench_kernels */
LAC_NM_ROWS(nm_f32_avx2, LAC_F32, LAC_ISA_AVX2, nm_floats, "N:M float32, register shuffles")
#endif
