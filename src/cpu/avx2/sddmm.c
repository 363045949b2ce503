/* Products at chosen places with AVX2: 16 elements of a key, widened to words, meet those of every
 * query; sums of four queries are joined by horizontal additions. */
#if defined(__AVX2__)
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "cpu/sddmm.h"

#define SDDMM_INLINE static inline __attribute__((always_inline))

typedef struct queries {
    _Alignas(32) int16_t chunk[LAC_SDDMM_DIM / 16 * 8 * 16]; /* [dim / 16][v][16] */
} queries;

static void place(queries *q, int v, int row, const int8_t *from, int64_t dim)
{
    for (int64_t k = 0; k < dim; k += 16) {
        int16_t *to = q->chunk + (k / 16 * v + row) * 16;
        for (int64_t i = 0; i < 16; i++)
            to[i] = from && k + i < dim ? from[k + i] : 0;
    }
}

SDDMM_INLINE void chunk(__m256i sum[8], const queries *q, int v, const int8_t *key, int64_t k)
{
    __m256i x = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)key));
#pragma GCC unroll 8
    for (int i = 0; i < v; i++) {
        const int16_t *from = q->chunk + (k / 16 * v + i) * 16;
        __m256i y = _mm256_load_si256((const __m256i *)from);
        sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(x, y));
        __asm__("" : "+x"(sum[i])); /* GCC would add products first and run out of registers */
    }
}

SDDMM_INLINE void group(const queries *q, int v, int64_t dim, const int8_t *key, const int32_t c[8],
                        int32_t *out)
{
    for (int j = 0; j < 8; j++) {
        __m256i sum[8];
        const int8_t *at = key + c[j] * dim;
        int64_t k = 0;
#pragma GCC unroll 8
        for (int i = 0; i < v; i++)
            sum[i] = _mm256_setzero_si256();
        for (; k + 16 <= dim; k += 16)
            chunk(sum, q, v, at + k, k);
        if (k < dim) {
            int8_t last[16] = {0};
            memcpy(last, at + k, (size_t)(dim - k));
            chunk(sum, q, v, last, k);
        }
#pragma GCC unroll 2
        for (int i = 0; i < v; i += 4) {
            __m256i zero = _mm256_setzero_si256();
            __m256i a = _mm256_hadd_epi32(sum[i], sum[i + 1]);
            __m256i b = v == 2 ? zero : _mm256_hadd_epi32(sum[i + 2], sum[i + 3]);
            __m256i ab = _mm256_hadd_epi32(a, b);
            _Alignas(16) int32_t four[4];
            _mm_store_si128((__m128i *)four, _mm_add_epi32(_mm256_castsi256_si128(ab),
                                                           _mm256_extracti128_si256(ab, 1)));
            for (int n = 0; n < 4 && i + n < v; n++)
                out[8 * (i + n) + j] = four[n];
        }
    }
}

SDDMM_INLINE void products(const queries *q, int v, int64_t dim, const int8_t *key,
                           const int32_t *c, const int32_t *sum, int groups, int32_t *out)
{
    (void)sum;
    for (int i = 0; i < groups; i++, c += 8, out += 8 * v)
        group(q, v, dim, key, c, out);
}

/* Measured on one core of an AMD EPYC (family 25, model 17): 64 elements, strips of 8. */
#define NAME          "sddmm_sr_bcrs_s8_avx2"
#define ISA           LAC_ISA_AVX2
#define ROW           lac_kernel_sddmm_sr_bcrs_s8_avx2
#define KEY_SUMS      0
#define SECONDS       (1 / 50e9)
#define SECONDS_STRIP 5e-8
#include "cpu/sddmm_body.inc"
#endif
