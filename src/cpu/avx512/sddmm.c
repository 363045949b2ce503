/* Products at chosen places with VNNI: 16 elements of 16 keys are turned into four registers of
 * [16 keys][4 elements], 8 shuffles after the rows are put together, and meet four elements of
 * every query, broadcast. 32 keys at a time share the broadcasts. With 8 queries, 64 products and
 * 24 shuffles of a chunk take 64 cycles on the three pipes they share; with 4, 43 for 32 products.
 */
#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "cpu/sddmm.h"

#define SDDMM_INLINE static inline __attribute__((always_inline))

typedef struct queries {
    _Alignas(64) uint8_t chunk[LAC_SDDMM_DIM / 16 * 8 * 16]; /* [dim / 16][v][16] */
} queries;

static void place(queries *q, int v, int row, const int8_t *from, int64_t dim)
{
    for (int64_t k = 0; k < dim; k += 16) {
        __mmask16 mask = dim - k < 16 ? (__mmask16)((1u << (dim - k)) - 1) : 0xffff;
        __m128i x = from ? _mm_maskz_loadu_epi8(mask, from + k) : _mm_setzero_si128();
        x = _mm_maskz_mov_epi8(mask, _mm_xor_si128(x, _mm_set1_epi8(-128)));
        _mm_store_si128((__m128i *)(q->chunk + (k / 16 * v + row) * 16), x);
    }
}

SDDMM_INLINE __m128i load(const int8_t *from, bool whole, __mmask16 mask)
{
    return whole ? _mm_loadu_si128((const __m128i *)from) : _mm_maskz_loadu_epi8(mask, from);
}

/* Elements k.. of keys 0, 4, 8, 12. */
SDDMM_INLINE __m512i every_fourth(const int8_t *key, int64_t dim, const int32_t *c, bool whole,
                                  __mmask16 mask)
{
    __m256i a = _mm256_inserti128_si256(_mm256_castsi128_si256(load(key + c[0] * dim, whole, mask)),
                                        load(key + c[4] * dim, whole, mask), 1);
    __m256i b = _mm256_inserti128_si256(_mm256_castsi128_si256(load(key + c[8] * dim, whole, mask)),
                                        load(key + c[12] * dim, whole, mask), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

SDDMM_INLINE void turn(const int8_t *key, int64_t dim, const int32_t *c, bool whole, __mmask16 mask,
                       __m512i x[4])
{
    __m512i p = every_fourth(key, dim, c, whole, mask);
    __m512i q = every_fourth(key, dim, c + 1, whole, mask);
    __m512i r = every_fourth(key, dim, c + 2, whole, mask);
    __m512i s = every_fourth(key, dim, c + 3, whole, mask);
    __m512i pq = _mm512_unpacklo_epi32(p, q), PQ = _mm512_unpackhi_epi32(p, q);
    __m512i rs = _mm512_unpacklo_epi32(r, s), RS = _mm512_unpackhi_epi32(r, s);
    x[0] = _mm512_unpacklo_epi64(pq, rs);
    x[1] = _mm512_unpackhi_epi64(pq, rs);
    x[2] = _mm512_unpacklo_epi64(PQ, RS);
    x[3] = _mm512_unpackhi_epi64(PQ, RS);
}

/* In its register: GCC 12 copies sums around the intrinsic in loops. */
SDDMM_INLINE void multiply(__m512i *sum, __m512i q, __m512i k)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(q), "v"(k));
}

SDDMM_INLINE void chunk(__m512i sum[8][2], const queries *q, int v, int halves, const int8_t *key,
                        int64_t dim, const int32_t *c, int64_t k, bool whole, __mmask16 mask)
{
    __m512i x[2][4];
#pragma GCC unroll 2
    for (int h = 0; h < halves; h++)
        turn(key + k, dim, c + 16 * h, whole, mask, x[h]);
#pragma GCC unroll 8
    for (int i = 0; i < v; i++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            int32_t four;
            memcpy(&four, q->chunk + (k / 16 * v + i) * 16 + 4 * j, sizeof four);
            __m512i a = _mm512_set1_epi32(four);
#pragma GCC unroll 2
            for (int h = 0; h < halves; h++)
                multiply(&sum[i][h], a, x[h][j]);
        }
}

/* 16 keys, or 32, of which the first `groups` groups of 8 are written. */
SDDMM_INLINE void keys(const queries *q, int v, int halves, int64_t dim, const int8_t *key,
                       const int32_t *c, const int32_t *key_sum, int groups, int32_t *out)
{
    __m512i sum[8][2];
    int64_t k = 0;
#pragma GCC unroll 8
    for (int i = 0; i < v; i++)
        sum[i][0] = sum[i][1] = _mm512_setzero_si512();
    for (; k + 16 <= dim; k += 16)
        chunk(sum, q, v, halves, key, dim, c, k, true, 0);
    if (k < dim)
        chunk(sum, q, v, halves, key, dim, c, k, false, (__mmask16)((1u << (dim - k)) - 1));
#pragma GCC unroll 2
    for (int h = 0; h < halves; h++) {
        __m512i less = _mm512_loadu_si512(key_sum + 16 * h);
#pragma GCC unroll 8
        for (int i = 0; i < v; i++) {
            __m512i y = _mm512_sub_epi32(sum[i][h], less);
            int32_t *to = out + 8 * (2 * h * v + i);
            _mm256_storeu_si256((__m256i *)to, _mm512_castsi512_si256(y));
            if (2 * h + 1 < groups)
                _mm256_storeu_si256((__m256i *)(to + 8 * v), _mm512_extracti64x4_epi64(y, 1));
        }
    }
}

SDDMM_INLINE void products(const queries *q, int v, int64_t dim, const int8_t *key,
                           const int32_t *c, const int32_t *key_sum, int groups, int32_t *out)
{
    for (; groups > 2; groups -= 4, c += 32, key_sum += 32, out += 32 * v)
        keys(q, v, 2, dim, key, c, key_sum, groups, out);
    if (groups > 0)
        keys(q, v, 1, dim, key, c, key_sum, groups, out);
}

/* Measured on one core of an AMD EPYC (family 25, model 17): 64 elements, strips of 8. */
#define NAME          "sddmm_sr_bcrs_s8_avx512vnni"
#define ISA           (LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI)
#define ROW           lac_kernel_sddmm_sr_bcrs_s8_avx512vnni
#define KEY_SUMS      1
#define SECONDS       (1 / 130e9)
#define SECONDS_STRIP 1.5e-7
#include "cpu/sddmm_body.inc"
#endif
