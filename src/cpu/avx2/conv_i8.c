/* Dense int8 products with AVX2: activations and weights as 16-bit numbers, a pair of each to a
 * word, vpmaddwd; exact for every operand. */
#if defined(__AVX2__)
#include <immintrin.h>
#include <string.h>

#include "cpu/conv_i8.h"

#define INLINE static inline __attribute__((always_inline))

INLINE __m256i load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

INLINE __m256i spread(const char *p)
{
    int32_t word;
    memcpy(&word, p, sizeof word);
    return _mm256_set1_epi32(word);
}

/* 16 sums as the layer wants them, `count` of them there. */
INLINE void finish_bytes(const lac_conv_i8 *w, int64_t row, int64_t first, int count,
                         const __m256i *sum)
{
    const __m256i order = _mm256_set_epi32(7, 6, 3, 2, 5, 1, 4, 0);
    const int64_t at = row * w->shape.n + first;
    float residual[16] = {0};
    __m256i q[2], bytes;
    if (w->e.residual)
        memcpy(residual, w->e.residual + at, (size_t)count * sizeof(float));
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++) {
        __m256 x =
            _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum[j]), _mm256_loadu_ps(w->factor + first + 8 * j),
                            _mm256_loadu_ps(w->shift + first + 8 * j));
        if (w->e.residual) {
            x = _mm256_fmadd_ps(_mm256_loadu_ps(residual + 8 * j), _mm256_set1_ps(w->inverse), x);
            x = _mm256_min_ps(_mm256_set1_ps(0x1p30f), x);
        }
        q[j] = _mm256_cvtps_epi32(x); /* what is no number, or too low, becomes the least */
    }
    __m256i steps = _mm256_adds_epi16(_mm256_packs_epi32(q[0], q[1]),
                                      _mm256_set1_epi16((short)w->e.output_zero));
    if (w->e.dtype == LAC_U8) {
        bytes = _mm256_packus_epi16(steps, steps);
        bytes = _mm256_max_epu8(bytes, _mm256_set1_epi8((char)w->low));
        bytes = _mm256_min_epu8(bytes, _mm256_set1_epi8((char)w->high));
    } else {
        bytes = _mm256_packs_epi16(steps, steps);
        bytes = _mm256_max_epi8(bytes, _mm256_set1_epi8((char)w->low));
        bytes = _mm256_min_epi8(bytes, _mm256_set1_epi8((char)w->high));
    }
    __m128i packed = _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(bytes, order));
    char *y = (char *)w->e.output + at, part[16];
    if (count == 16) {
        _mm_storeu_si128((__m128i *)(void *)y, packed);
    } else {
        _mm_storeu_si128((__m128i *)(void *)part, packed);
        memcpy(y, part, (size_t)count);
    }
}

static void __attribute__((noinline))
finish_slowly(const lac_conv_i8 *w, int64_t row, int64_t first, int count, const __m256i *sum)
{
    int32_t sums[16];
    for (int j = 0; j < 2; j++)
        _mm256_storeu_si256((__m256i *)(void *)(sums + 8 * j), sum[j]);
    lac_epilogue_integers(&w->e, row, first, count, sums);
}

INLINE void finish(const lac_conv_i8 *w, const lac_conv_i8_row *r, __m256i (*sum)[4],
                   const int pixels, const int vectors, int64_t at)
{
#pragma GCC unroll 8
    for (int i = 0; i < pixels; i++) {
        __m256i pair[2] = {sum[i][0], vectors > 1 ? sum[i][1] : _mm256_setzero_si256()};
        if (w->way == LAC_CONV_I8_BYTES)
            finish_bytes(w, r->m + at + i, r->first, r->count, pair);
        else
            finish_slowly(w, r->m + at + i, r->first, r->count, pair);
    }
}

#define VECTOR                                 __m256i
#define LANES                                  8
#define START(p)                               load(p)
#define WEIGHTS                                __m256i
#define LOAD(p)                                load(p)
#define SPREAD(p)                              spread(p)
#define STEP(sum, x, w)                        _mm256_add_epi32(sum, _mm256_madd_epi16(x, w))
#define FINISH(w, r, sum, pixels, vectors, at) finish(w, r, sum, pixels, vectors, at)
#include "cpu/conv_i8.inc"

CONV_ROW(1, 8, CONV_CASES_8)
CONV_ROW(2, 6, CONV_CASES_6)

static void conv_row(const lac_conv_i8 *w, const lac_conv_i8_row *r)
{
    (r->count > LANES ? conv_row_2 : conv_row_1)(w, r);
}

static const lac_conv_i8_family dense = {.element = 2,
                                         .weight = 2,
                                         .lanes = LANES,
                                         .block = 16,
                                         .cache = 192 << 10,
                                         .row = conv_row,
                                         .mac = 1 / 100e9,
                                         .output = 0.3e-9};
LAC_CONV_I8_FAMILY(dense)
LAC_CONV_I8_ROW(conv, dense_u8_avx2, LAC_U8, LAC_ISA_AVX2, dense, "dense int8 convolution")
LAC_CONV_I8_ROW(conv, dense_s8_avx2, LAC_I8, LAC_ISA_AVX2, dense, "dense int8 convolution")
LAC_CONV_I8_ROW(gemm, dense_u8_avx2, LAC_U8, LAC_ISA_AVX2, dense, "dense int8 product")
LAC_CONV_I8_ROW(gemm, dense_s8_avx2, LAC_I8, LAC_ISA_AVX2, dense, "dense int8 product")
#endif
