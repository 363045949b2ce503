/* Products at chosen places with AVX2: 16 elements of a key, widened to words, meet those of every
 * query. Eight registers of sums, of all queries with as many keys as fit, are joined at the end.
 */
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

static void begin(queries *q, int v, const int8_t *query, int64_t stride, int64_t dim)
{
    for (int64_t k = 0; k < dim; k += 16)
        for (int i = 0; i < v; i++)
            _mm256_store_si256(
                (__m256i *)(q->chunk + (k / 16 * v + i) * 16),
                _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(query + i * stride + k))));
}

/* In its register: GCC would add products first and run out of registers. */
#define IN_REGISTER(sum) __asm__("" : "+x"(sum))

/* Elements k .. k + 15 of queries, those from `at` on of keys. */
SDDMM_INLINE void step(__m256i sum[8], const queries *q, int v, const int8_t *const *key,
                       int64_t at, int64_t k)
{
    __m256i x[4];
    const int keys = 8 / v;
#pragma GCC unroll 4
    for (int j = 0; j < keys; j++)
        x[j] = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(key[j] + at)));
#pragma GCC unroll 8
    for (int i = 0; i < v; i++) {
        const int16_t *from = q->chunk + (k / 16 * v + i) * 16;
        __m256i y = _mm256_load_si256((const __m256i *)from);
#pragma GCC unroll 4
        for (int j = 0; j < keys; j++) {
            __m256i *s = &sum[i * keys + j];
            *s = _mm256_add_epi32(*s, _mm256_madd_epi16(x[j], y));
            IN_REGISTER(*s);
        }
    }
}

/* Sums of each of eight registers. */
SDDMM_INLINE __m256i join(const __m256i s[8])
{
    __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(s[0], s[1]), _mm256_hadd_epi32(s[2], s[3]));
    __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(s[4], s[5]), _mm256_hadd_epi32(s[6], s[7]));
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20),
                            _mm256_permute2x128_si256(a, b, 0x31));
}

/* 8 / v keys, the first `count` of them to to[v][8]. */
SDDMM_INLINE void some(const queries *q, int v, int64_t dim, const int8_t *const *key, int count,
                       int32_t *to)
{
    __m256i sum[8];
    _Alignas(32) int32_t all[8];
    int64_t k = 0;
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        sum[i] = _mm256_setzero_si256();
    for (; k + 16 <= dim; k += 16)
        step(sum, q, v, key, k, k);
    if (k < dim) {
        _Alignas(16) int8_t last[4][16] = {{0}};
        for (int j = 0; j < 8 / v; j++)
            memcpy(last[j], key[j] + k, (size_t)(dim - k));
        const int8_t *const from[4] = {last[0], last[1], last[2], last[3]};
        step(sum, q, v, from, 0, k);
    }
    _mm256_store_si256((__m256i *)all, join(sum));
#pragma GCC unroll 8
    for (int i = 0; i < v; i++)
        for (int j = 0; j < 8 / v && j < count; j++)
            to[8 * i + j] = all[i * (8 / v) + j];
}

SDDMM_INLINE void products(const queries *q, int v, const int8_t *query, int64_t stride,
                           int64_t dim, const int8_t *const *key, int count, int32_t *out)
{
    (void)query, (void)stride;
    for (int at = 0; at < count; at += 8 / v)
        some(q, v, dim, key + at, count - at, out + at / 8 * 8 * v + at % 8);
}

/* Measured on one core of an AMD EPYC (family 25, model 17): 64 elements, strips of 8. */
#define NAME          "sddmm_sr_bcrs_s8_avx2"
#define ISA           LAC_ISA_AVX2
#define ROW           lac_kernel_sddmm_sr_bcrs_s8_avx2
#define SECONDS       (1 / 50e9)
#define SECONDS_STRIP 5e-8
#include "cpu/sddmm_body.inc"
#endif
