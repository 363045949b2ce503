/* Dense int8 products with VNNI: one vpdpbusd is a word of activations times 16 outputs. 24 sums
 * of 16 outputs stand in registers; a step loads at most 6 + 4 vectors for 24 products, so that
 * these, one a cycle, are the limit. */
#if defined(__AVX512VNNI__)
#include <immintrin.h>
#include <string.h>

#include "cpu/conv_i8.h"

#define INLINE static inline __attribute__((always_inline))

INLINE __m512i spread(const char *p)
{
    int32_t word;
    memcpy(&word, p, sizeof word);
    return _mm512_set1_epi32(word);
}

/* ---- finishing --------------------------------------------------------------------------------
 */

/* What finishing needs, loaded once: stores of vectors might change anything. */
typedef struct finish_of {
    const float *factor, *shift, *residual;
    char *output;
    int64_t n, first;
    int count;
} finish_of;

INLINE finish_of finish_numbers(const lac_conv_i8 *w, const lac_conv_i8_row *r)
{
    bool bytes = w->way == LAC_CONV_I8_BYTES;
    return (finish_of){.factor = (bytes ? w->factor : w->scale) + r->first,
                       .shift = (bytes ? w->shift : w->bias) + r->first,
                       .residual = w->e.residual,
                       .output = w->e.output,
                       .n = w->shape.n,
                       .first = r->first,
                       .count = r->count};
}

INLINE __mmask16 inside_of(int left)
{
    return left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
}

INLINE void store_bytes(char *y, __m512i bytes, int count, const int vectors)
{
    if (count == 16 * vectors && vectors == 4) {
        _mm512_storeu_si512(y, bytes);
        return;
    }
    if (count == 16 * vectors && vectors == 1) {
        _mm_storeu_si128((__m128i *)y, _mm512_castsi512_si128(bytes));
        return;
    }
    if (count == 16 * vectors && vectors == 2) {
        _mm256_storeu_si256((__m256i *)y, _mm512_castsi512_si256(bytes));
        return;
    }
    if (count == 16 * vectors && vectors == 3) {
        _mm256_storeu_si256((__m256i *)y, _mm512_castsi512_si256(bytes));
        _mm_storeu_si128((__m128i *)(y + 32), _mm512_extracti32x4_epi32(bytes, 2));
        return;
    }
    _mm512_mask_storeu_epi8(y, ~UINT64_C(0) >> (64 - count), bytes);
}

typedef struct bytes_of {
    __m512i zero, low, high;
    __m512 inverse, scale, floor, ceiling;
    char *beside;
    bool is_signed, moved;
} bytes_of;

INLINE bytes_of bytes_numbers(const lac_conv_i8 *w)
{
    return (bytes_of){.zero = _mm512_set1_epi16((short)w->e.output_zero),
                      .low = _mm512_set1_epi8((char)w->low),
                      .high = _mm512_set1_epi8((char)w->high),
                      .inverse = _mm512_set1_ps(w->inverse),
                      .scale = _mm512_set1_ps(w->e.output_scale),
                      .floor = _mm512_set1_ps(w->floor),
                      .ceiling = _mm512_set1_ps(w->ceiling),
                      .beside = w->beside,
                      .is_signed = (w->beside ? w->beside_dtype : w->e.dtype) == LAC_I8,
                      .moved = w->e.output_zero != 0};
}

/* Steps of four vectors to bytes, in order. */
INLINE __m512i pack_bytes(const bytes_of *b, const __m512i *q)
{
    /* words of 4 outputs: packing leaves the four vectors' side by side */
    const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    __m512i low = _mm512_packs_epi32(q[0], q[1]), high = _mm512_packs_epi32(q[2], q[3]);
    if (b->moved) {
        low = _mm512_adds_epi16(low, b->zero);
        high = _mm512_adds_epi16(high, b->zero);
    }
    __m512i bytes = b->is_signed ? _mm512_packs_epi16(low, high) : _mm512_packus_epi16(low, high);
    return _mm512_permutexvar_epi32(order, bytes);
}

/* round(x / scale): the quotient from the rounded inverse, corrected once by its remainder, is the
 * rounded one (Markstein, see panel_moves.inc); what is no number becomes the least. */
INLINE __m512i steps_of(const bytes_of *b, __m512 x)
{
    x = _mm512_min_ps(_mm512_max_ps(x, b->floor), b->ceiling);
    __m512 near = _mm512_mul_ps(x, b->inverse);
    __m512 rest = _mm512_fnmadd_ps(near, b->scale, x);
    return _mm512_cvtps_epi32(_mm512_fmadd_ps(rest, b->inverse, near));
}

INLINE void finish_floats(const finish_of *f, const bytes_of *b, __m512 low, __m512 high,
                          const bool residual, const bool beside, int64_t row, const __m512i *sum,
                          const int vectors)
{
    const int64_t at = row * f->n + f->first;
    float *y = (float *)(void *)f->output + at;
    __m512i q[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        if (j >= vectors) {
            q[j] = _mm512_setzero_si512();
            continue;
        }
        int left = f->count - 16 * j;
        __m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[j]), _mm512_loadu_ps(f->factor + 16 * j));
        x = _mm512_add_ps(x, _mm512_loadu_ps(f->shift + 16 * j));
        if (residual && left >= 16)
            x = _mm512_add_ps(x, _mm512_loadu_ps(f->residual + at + 16 * j));
        else if (residual)
            x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(inside_of(left), f->residual + at + 16 * j));
        x = _mm512_min_ps(high, _mm512_max_ps(low, x)); /* a NaN stays one */
        if (left >= 16)
            _mm512_storeu_ps(y + 16 * j, x);
        else
            _mm512_mask_storeu_ps(y + 16 * j, inside_of(left), x);
        if (beside)
            q[j] = steps_of(b, x);
    }
    if (beside)
        store_bytes(b->beside + at, pack_bytes(b, q), f->count, vectors);
}

INLINE void finish_bytes(const finish_of *f, const bytes_of *b, const bool residual, int64_t row,
                         const __m512i *sum, const int vectors)
{
    const int64_t at = row * f->n + f->first;
    __m512i q[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        if (j >= vectors) {
            q[j] = _mm512_setzero_si512();
            continue;
        }
        __m512 x = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[j]), _mm512_loadu_ps(f->factor + 16 * j),
                                   _mm512_loadu_ps(f->shift + 16 * j));
        if (residual) {
            __mmask16 inside = inside_of(f->count - 16 * j);
            x = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(inside, f->residual + at + 16 * j),
                                b->inverse, x);
            x = _mm512_min_ps(_mm512_set1_ps(0x1p30f), x);
        }
        q[j] = _mm512_cvtps_epi32(x); /* what is no number, or too low, becomes the least */
    }
    __m512i bytes = pack_bytes(b, q);
    if (b->is_signed)
        bytes = _mm512_min_epi8(_mm512_max_epi8(bytes, b->low), b->high);
    else
        bytes = _mm512_min_epu8(_mm512_max_epu8(bytes, b->low), b->high);
    store_bytes(f->output + at, bytes, f->count, vectors);
}

/* Everything but bytes without a residual, from sums in memory: [pixels][64]. */
INLINE void finish_sums(const lac_conv_i8 *w, const lac_conv_i8_row *r, int64_t row,
                        const int32_t *sums, int pixels, const int vectors)
{
    const finish_of f = finish_numbers(w, r);
    const bytes_of b = bytes_numbers(w);
    const __m512 low = _mm512_set1_ps(w->least), high = _mm512_set1_ps(w->most);
    const bool bytes = w->way == LAC_CONV_I8_BYTES, beside = b.beside, residual = f.residual;
    for (int i = 0; i < pixels; i++, row++, sums += LAC_CONV_I8_BLOCK) {
        __m512i sum[4];
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            sum[j] = _mm512_load_si512(sums + 16 * j);
        if (bytes)
            finish_bytes(&f, &b, true, row, sum, vectors);
        else if (residual && beside)
            finish_floats(&f, &b, low, high, true, true, row, sum, vectors);
        else if (residual)
            finish_floats(&f, &b, low, high, true, false, row, sum, vectors);
        else if (beside)
            finish_floats(&f, &b, low, high, false, true, row, sum, vectors);
        else
            finish_floats(&f, &b, low, high, false, false, row, sum, vectors);
    }
}

static void __attribute__((noinline))
finish_more(const lac_conv_i8 *w, const lac_conv_i8_row *r, int64_t row, int32_t *sums, int pixels,
            int vectors)
{
    if (w->way == LAC_CONV_I8_ANY)
        for (int i = 0; i < pixels; i++)
            lac_epilogue_integers(&w->e, row + i, r->first, r->count, sums + i * LAC_CONV_I8_BLOCK);
    else if (vectors == 4)
        finish_sums(w, r, row, sums, pixels, 4);
    else if (vectors == 3)
        finish_sums(w, r, row, sums, pixels, 3);
    else if (vectors == 2)
        finish_sums(w, r, row, sums, pixels, 2);
    else
        finish_sums(w, r, row, sums, pixels, 1);
}

INLINE void finish(const lac_conv_i8 *w, const lac_conv_i8_row *r, __m512i (*sum)[4],
                   const int pixels, const int vectors, int64_t at)
{
    const int64_t row = r->m + at;
    if (w->way == LAC_CONV_I8_BYTES && !w->e.residual) {
        const finish_of f = finish_numbers(w, r);
        const bytes_of b = bytes_numbers(w);
#pragma GCC unroll 16
        for (int i = 0; i < pixels; i++)
            finish_bytes(&f, &b, false, row + i, sum[i], vectors);
        return;
    }
    _Alignas(64) int32_t sums[12 * LAC_CONV_I8_BLOCK];
#pragma GCC unroll 16
    for (int i = 0; i < pixels; i++)
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++)
            _mm512_store_si512(sums + i * LAC_CONV_I8_BLOCK + 16 * j, sum[i][j]);
    finish_more(w, r, row, sums, pixels, vectors);
}

#define VECTOR                                 __m512i
#define LANES                                  16
#define START(p)                               _mm512_loadu_si512(p)
#define WEIGHTS                                __m512i
#define LOAD(p)                                _mm512_loadu_si512(p)
#define SPREAD(p)                              spread(p)
#define STEP(sum, x, w)                        _mm512_dpbusd_epi32(sum, x, w)
#define FINISH(w, r, sum, pixels, vectors, at) finish(w, r, sum, pixels, vectors, at)
#include "cpu/conv_i8.inc"

CONV_ROW(1, 12, CONV_CASES_12)
CONV_ROW(2, 12, CONV_CASES_12)
CONV_ROW(3, 8, CONV_CASES_8)
CONV_ROW(4, 6, CONV_CASES_6)

static void conv_row(const lac_conv_i8 *w, const lac_conv_i8_row *r)
{
    static void (*const rows[])(const lac_conv_i8 *, const lac_conv_i8_row *) = {
        conv_row_1, conv_row_2, conv_row_3, conv_row_4};
    rows[(r->count - 1) / LANES](w, r);
}

static const lac_conv_i8_family dense = {.beside = true,
                                         .element = 1,
                                         .weight = 1,
                                         .lanes = LANES,
                                         .block = 64,
                                         .cache = 192 << 10,
                                         .row = conv_row,
                                         .mac = 1 / 230e9,
                                         .output = 0.06e-9};
#define ISA (LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI)
LAC_CONV_I8_FAMILY(dense)
LAC_CONV_I8_ROW(conv, dense_u8_avx512vnni, LAC_U8, ISA, dense, "dense int8 convolution, VNNI")
LAC_CONV_I8_ROW(conv, dense_s8_avx512vnni, LAC_I8, ISA, dense, "dense int8 convolution, VNNI")
LAC_CONV_I8_ROW(gemm, dense_u8_avx512vnni, LAC_U8, ISA, dense, "dense int8 product, VNNI")
LAC_CONV_I8_ROW(gemm, dense_s8_avx512vnni, LAC_I8, ISA, dense, "dense int8 product, VNNI")
#endif
