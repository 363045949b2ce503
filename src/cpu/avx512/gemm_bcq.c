/* Format bcq by look-up with AVX-512: the 16 signed sums of 4 activations are a table, a nibble of
 * a plane its index, so that one look-up stands for 4 products. Exact: entries of integers have 11
 * bits (|x - zero| <= 255) and are looked up as 6 low and 5 high bits, whose sums over 16 and 32
 * columns fit a byte; sums of 128 columns fit 16 bits. Floats: tables of 16 floats in a register.
 *
 * Words of one plane and 32 columns lie output by output: a sweep over the outputs reads memory in
 * order and keeps the 8 tables of the 32 columns in registers. */
#if defined(__AVX512F__) && defined(__AVX512BW__)
#include <immintrin.h>

#include "cpu/bcq.h"

#include "core/parallel.h"

#include <string.h>

enum { BLOCK = 2048, TILE = 64, PLANES = 8 }; /* outputs of a sweep; of a step */

typedef struct sums {
    __m512i part[PLANES][BLOCK / TILE]
                [2]; /* int16: outputs 0-15 and 32-47, 16-31 and 48-63, as pairs */
    float total[BLOCK];
} sums;

typedef struct float_sums {
    __m512 part[PLANES][BLOCK / 16];
    float total[BLOCK];
} float_sums;

/* ---- tables ------------------------------------------------------------------------------------
 */

static void make_tables(const bcq_state *w)
{
    const __m256i bit = _mm256_set_epi16(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    __m256i set[4];
    for (int i = 0; i < 4; i++)
        set[i] = _mm256_cmpeq_epi16(_mm256_and_si256(bit, _mm256_set1_epi16((short)(1 << i))),
                                    _mm256_set1_epi16((short)(1 << i)));
    const int16_t *x = (const int16_t *)w->x + w->row * w->padded;
    uint8_t *to = w->tables;
    for (int64_t k = 0; k < w->padded; k += 4, to += 64) {
        __m256i entry = _mm256_set1_epi16((short)-(x[k] + x[k + 1] + x[k + 2] + x[k + 3]));
        for (int i = 0; i < 4; i++)
            entry = _mm256_add_epi16(
                entry, _mm256_and_si256(set[i], _mm256_set1_epi16((short)(2 * x[k + i]))));
        __m256i low = _mm256_and_si256(entry, _mm256_set1_epi16(63));
        __m256i high = _mm256_srai_epi16(entry, 6);
        _mm_store_si128((__m128i *)to, _mm256_cvtepi16_epi8(low));
        _mm_store_si128((__m128i *)(to + 16), _mm256_cvtepi16_epi8(high));
    }
}

static void make_tables_f32(const bcq_state *w)
{
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const float *x = (const float *)w->x + w->row * w->padded;
    float *to = w->tables;
    for (int64_t k = 0; k < w->padded; k += 4, to += 16) {
        __m512 entry = _mm512_setzero_ps();
        for (int i = 0; i < 4; i++) {
            __mmask16 plus = _mm512_test_epi32_mask(lane, _mm512_set1_epi32(1 << i));
            entry = _mm512_add_ps(entry, _mm512_mask_mov_ps(_mm512_set1_ps(-x[k + i]), plus,
                                                            _mm512_set1_ps(x[k + i])));
        }
        _mm512_store_ps(to, entry);
    }
}

/* ---- sweeps ------------------------------------------------------------------------------------
 */

static inline __attribute__((always_inline)) __mmask16 lanes(int64_t left)
{
    return (__mmask16)(left >= 16 ? 0xffff : left > 0 ? (1 << left) - 1 : 0);
}

static inline __attribute__((always_inline)) __m512i select8(__m512i mask, __m512i a, __m512i b)
{
    return _mm512_ternarylogic_epi32(mask, a, b, 0xca); /* mask ? a : b */
}

static __attribute__((noinline)) void sweep(const uint32_t *word, int64_t count,
                                            const uint8_t *tables, __m512i (*part)[2])
{
    const __m512i nibble = _mm512_set1_epi8(15), even = _mm512_set1_epi16(0xff);
    const __m512i lower = _mm512_set1_epi32(0xffff);
    __m512i table[8][2];
#pragma GCC unroll 8
    for (int t = 0; t < 8; t++)
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++)
            table[t][h] =
                _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)(tables + 64 * t + 16 * h)));
    for (int64_t n = 0; n < count; n += TILE, part++) {
        const __m512i zero = _mm512_setzero_si512();
        __m512i v[4], byte[4], low[2] = {zero, zero}, high = zero;
        if (count - n >= TILE)
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                v[j] = _mm512_loadu_si512(word + n + 16 * j);
        else
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                v[j] = _mm512_maskz_loadu_epi32(lanes(count - n - 16 * j), word + n + 16 * j);
        __builtin_prefetch(word + n + 512);
        __builtin_prefetch(word + n + 528);
        __builtin_prefetch(word + n + 544);
        __builtin_prefetch(word + n + 560);
        /* bytes of 4 words in 4 vectors -> byte b of the words o of all, [o][vector] */
        __m512i a0 = select8(even, v[0], _mm512_slli_epi16(v[1], 8));
        __m512i a1 = select8(even, _mm512_srli_epi16(v[0], 8), v[1]);
        __m512i b0 = select8(even, v[2], _mm512_slli_epi16(v[3], 8));
        __m512i b1 = select8(even, _mm512_srli_epi16(v[2], 8), v[3]);
        byte[0] = select8(lower, a0, _mm512_slli_epi32(b0, 16));
        byte[1] = select8(lower, a1, _mm512_slli_epi32(b1, 16));
        byte[2] = select8(lower, _mm512_srli_epi32(a0, 16), b0);
        byte[3] = select8(lower, _mm512_srli_epi32(a1, 16), b1);
#pragma GCC unroll 4
        for (int b = 0; b < 4; b++) {
            __m512i i0 = _mm512_and_si512(byte[b], nibble);
            __m512i i1 = _mm512_and_si512(_mm512_srli_epi16(byte[b], 4), nibble);
            __m512i l = _mm512_add_epi8(_mm512_shuffle_epi8(table[2 * b][0], i0),
                                        _mm512_shuffle_epi8(table[2 * b + 1][0], i1));
            __m512i h = _mm512_add_epi8(_mm512_shuffle_epi8(table[2 * b][1], i0),
                                        _mm512_shuffle_epi8(table[2 * b + 1][1], i1));
            low[b / 2] = _mm512_add_epi8(low[b / 2], l);
            high = _mm512_add_epi8(high, h);
        }
        __m512i e =
            _mm512_add_epi16(_mm512_and_si512(low[0], even), _mm512_and_si512(low[1], even));
        __m512i o = _mm512_add_epi16(_mm512_srli_epi16(low[0], 8), _mm512_srli_epi16(low[1], 8));
        e = _mm512_add_epi16(e, _mm512_srai_epi16(_mm512_slli_epi16(high, 8), 2));
        o = _mm512_add_epi16(o, _mm512_srai_epi16(_mm512_andnot_si512(even, high), 2));
        part[0][0] = _mm512_add_epi16(part[0][0], e);
        part[0][1] = _mm512_add_epi16(part[0][1], o);
    }
}

static __attribute__((noinline)) void sweep_f32(const uint32_t *word, int64_t count,
                                                const float *tables, __m512 *part)
{
    __m512 table[8];
#pragma GCC unroll 8
    for (int t = 0; t < 8; t++)
        table[t] = _mm512_load_ps(tables + 16 * t);
    for (int64_t n = 0; n < count; n += 16, part++) {
        __m512i v = count - n >= 16 ? _mm512_loadu_si512(word + n)
                                    : _mm512_maskz_loadu_epi32(lanes(count - n), word + n);
        __builtin_prefetch(word + n + 512);
        __m512 a = *part, b = _mm512_permutexvar_ps(_mm512_srli_epi32(v, 4), table[1]);
        a = _mm512_add_ps(a, _mm512_permutexvar_ps(v, table[0]));
#pragma GCC unroll 4
        for (int t = 2; t < 8; t += 2) {
            a = _mm512_add_ps(a, _mm512_permutexvar_ps(_mm512_srli_epi32(v, 4 * t), table[t]));
            b = _mm512_add_ps(b,
                              _mm512_permutexvar_ps(_mm512_srli_epi32(v, 4 * t + 4), table[t + 1]));
        }
        *part = _mm512_add_ps(a, b);
    }
}

/* total[n] += scale * part, of 16 outputs. */
static inline __attribute__((always_inline)) void
add_scaled(const lac_bcq *q, int64_t at, __mmask16 mask, __m512 part, float *total)
{
    __m512 scale = q->scale32 ? _mm512_maskz_loadu_ps(mask, q->scale32 + at)
                              : _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(mask, q->scale + at));
    _mm512_storeu_ps(total, _mm512_fmadd_ps(scale, part, _mm512_loadu_ps(total)));
}

static void add_offsets(const bcq_state *w, int64_t g, int64_t n, int64_t count, float *total)
{
    if (!w->q.offset)
        return;
    __m512 sum = _mm512_set1_ps(w->sum[w->row * w->q.groups + g]);
    for (int64_t i = 0; i < count; i += 16) {
        __m512 offset =
            _mm512_maskz_loadu_ps(lanes(count - i), w->q.offset + g * w->shape.n + n + i);
        _mm512_storeu_ps(total + i, _mm512_fmadd_ps(offset, sum, _mm512_loadu_ps(total + i)));
    }
}

static void finish(const bcq_state *w, int64_t n, int64_t count, float *total)
{
    for (int64_t i = 0; i < count; i += 32)
        if (count - i >= 32)
            lac_epilogue_floats(&w->epilogue, w->row, n + i, 32, total + i);
        else
            lac_epilogue_floats(&w->epilogue, w->row, n + i, (int)(count - i), total + i);
}

static __attribute__((noinline)) void block(const bcq_state *w, int64_t n, int64_t count)
{
    const lac_bcq *q = &w->q;
    _Alignas(64) sums s;
    memset(s.total, 0, sizeof s.total);
    for (int64_t g = 0, word = 0; g < q->groups; g++) {
        int64_t last = (g + 1) * q->group < w->padded ? (g + 1) * q->group : w->padded;
        last = (last + 31) / 32;
        while (word < last) {
            int64_t stop = last - word < LAC_BCQ_FLUSH / 32 ? last : word + LAC_BCQ_FLUSH / 32;
            for (int i = 0; i < q->planes; i++)
                memset(s.part[i], 0, (size_t)((count + TILE - 1) / TILE) * sizeof *s.part[i]);
            for (; word < stop; word++)
                for (int i = 0; i < q->planes; i++)
                    sweep(q->plane + (word * q->planes + i) * w->shape.n + n, count,
                          (const uint8_t *)w->tables + word * 512, s.part[i]);
            for (int i = 0; i < q->planes; i++)
                for (int64_t at = 0; at < count; at += 16) {
                    __m512i pair = s.part[i][at / TILE][at / 16 % 2];
                    if (at / 32 % 2 == 0)
                        pair = _mm512_slli_epi32(pair, 16);
                    add_scaled(q, (g * q->planes + i) * w->shape.n + n + at, lanes(count - at),
                               _mm512_cvtepi32_ps(_mm512_srai_epi32(pair, 16)), s.total + at);
                }
        }
        add_offsets(w, g, n, count, s.total);
    }
    finish(w, n, count, s.total);
}

static __attribute__((noinline)) void block_f32(const bcq_state *w, int64_t n, int64_t count)
{
    const lac_bcq *q = &w->q;
    _Alignas(64) float_sums s;
    memset(s.total, 0, sizeof s.total);
    for (int64_t g = 0, word = 0; g < q->groups; g++) {
        int64_t last = (g + 1) * q->group < w->padded ? (g + 1) * q->group : w->padded;
        last = (last + 31) / 32;
        for (int i = 0; i < q->planes; i++)
            memset(s.part[i], 0, (size_t)((count + 15) / 16) * sizeof *s.part[i]);
        for (; word < last; word++)
            for (int i = 0; i < q->planes; i++)
                sweep_f32(q->plane + (word * q->planes + i) * w->shape.n + n, count,
                          (const float *)w->tables + word * 128, s.part[i]);
        for (int i = 0; i < q->planes; i++)
            for (int64_t at = 0; at < count; at += 16)
                add_scaled(q, (g * q->planes + i) * w->shape.n + n + at, lanes(count - at),
                           s.part[i][at / 16], s.total + at);
        add_offsets(w, g, n, count, s.total);
    }
    finish(w, n, count, s.total);
}

static void blocks(void *context, int64_t begin, int64_t end)
{
    const bcq_state *w = context;
    for (int64_t n = begin * TILE; n < end * TILE && n < w->shape.n; n += BLOCK) {
        int64_t last = end * TILE < w->shape.n ? end * TILE : w->shape.n;
        (w->floats ? block_f32 : block)(w, n, last - n < BLOCK ? last - n : BLOCK);
    }
}

static lac_status bcq_run(const lac_layer *layer, void *state, lac_error *err)
{
    bcq_state *w = state;
    (void)err;
    lac_bcq_begin(w, layer);
    for (w->row = 0; w->row < w->shape.m; w->row++) {
        (w->floats ? make_tables_f32 : make_tables)(w);
        lac_parallel_for((w->shape.n + TILE - 1) / TILE, 8, blocks, w);
    }
    return LAC_OK;
}

/* Seconds per bit of a plane; per table. Measured by bench/lowbit.c. */
#define SECONDS_BIT     0.0075e-9
#define SECONDS_BIT_F32 0.012e-9
#define SECONDS_TABLE   2e-9

static double bcq_cost(const lac_layer *layer)
{
    lac_gemm_shape shape;
    lac_bcq q;
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    if (!packed || !lac_gemm_shape_of(layer, &shape, NULL, 0) ||
        lac_bcq_of(packed, &q, NULL) != LAC_OK)
        return 1e30;
    bool floats = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype == LAC_F32;
    double bits = (double)shape.n * (double)shape.k * q.planes;
    double row =
        bits * (floats ? SECONDS_BIT_F32 : SECONDS_BIT) + (double)q.words * 8 * SECONDS_TABLE;
    return lac_packed_seconds(row * (double)shape.m, bits / 8, &shape);
}

#define bcq_can_run lac_bcq_can_run
#define bcq_prepare lac_bcq_prepare
#define bcq_release lac_bcq_release
#define bcq_bytes   lac_bcq_bytes
#define BCQ_ISA     (LAC_ISA_AVX2 | LAC_ISA_AVX512)

LAC_PACKED_ROWS(bcq_f32_avx512, "bcq", LAC_F32, BCQ_ISA, bcq, "binary codes looked up, AVX-512")
LAC_PACKED_ROWS(bcq_s8_avx512, "bcq", LAC_I8, BCQ_ISA, bcq, "binary codes looked up, AVX-512")
LAC_PACKED_ROWS(bcq_u8_avx512, "bcq", LAC_U8, BCQ_ISA, bcq, "binary codes looked up, AVX-512")
#endif
