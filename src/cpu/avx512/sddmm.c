/* Products at chosen places with VNNI: a register holds 16 elements of four keys, one key in each
 * 128 bits, and meets the same 16 elements of every query. The four partial sums of a product are
 * added in the end, four queries at a time, which the products of 64 elements hide. */
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
        uint8_t *to = q->chunk + (k / 16 * v + row) * 16;
        int64_t count = dim - k < 16 ? dim - k : 16;
        memset(to, 0, 16);
        for (int64_t i = 0; i < count; i++)
            to[i] = (uint8_t)((from ? from[k + i] : 0) ^ 0x80);
    }
}

SDDMM_INLINE __m128i load(const int8_t *from, bool whole, __mmask16 mask)
{
    return whole ? _mm_loadu_si128((const __m128i *)from) : _mm_maskz_loadu_epi8(mask, from);
}

SDDMM_INLINE __m512i four_keys(const int8_t *const at[4], int64_t k, bool whole, __mmask16 mask)
{
    __m256i a = _mm256_inserti128_si256(_mm256_castsi128_si256(load(at[0] + k, whole, mask)),
                                        load(at[1] + k, whole, mask), 1);
    __m256i b = _mm256_inserti128_si256(_mm256_castsi128_si256(load(at[2] + k, whole, mask)),
                                        load(at[3] + k, whole, mask), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

/* In its register: GCC 12 copies sums around the intrinsic in loops. */
SDDMM_INLINE void multiply(__m512i *sum, __m512i q, __m512i k)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(q), "v"(k));
}

SDDMM_INLINE void chunk(__m512i sum[8][2], const queries *q, int v, const int8_t *const at[8],
                        int64_t k, bool whole, __mmask16 mask)
{
    __m512i x = four_keys(at, k, whole, mask), y = four_keys(at + 4, k, whole, mask);
#pragma GCC unroll 8
    for (int i = 0; i < v; i++) {
        const uint8_t *from = q->chunk + (k / 16 * v + i) * 16;
        __m512i a = _mm512_broadcast_i32x4(_mm_load_si128((const __m128i *)from));
        multiply(&sum[i][0], a, x);
        multiply(&sum[i][1], a, y);
    }
}

/* Partial sums [key][4] of four queries -> [key][query]. */
SDDMM_INLINE __m512i join(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

SDDMM_INLINE void products(const queries *q, int v, int64_t dim, const int8_t *const at[8],
                           const int32_t key_sum[8], int32_t *out)
{
    const __m512i first =
        _mm512_set_epi32(29, 25, 21, 17, 13, 9, 5, 1, 28, 24, 20, 16, 12, 8, 4, 0);
    const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(2));
    __m512i sum[8][2];
    int64_t k = 0;
#pragma GCC unroll 8
    for (int i = 0; i < v; i++)
        sum[i][0] = sum[i][1] = _mm512_setzero_si512();
    for (; k + 16 <= dim; k += 16)
        chunk(sum, q, v, at, k, true, 0);
    if (k < dim)
        chunk(sum, q, v, at, k, false, (__mmask16)((1u << (dim - k)) - 1));
    __m512i less = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)key_sum));
#pragma GCC unroll 2
    for (int i = 0; i < v; i += 4) {
        __m512i *s = sum[i], zero = _mm512_setzero_si512();
        bool all = v >= 4;
        __m512i low = join(s[0], s[2], all ? s[4] : zero, all ? s[6] : zero);
        __m512i high = join(s[1], s[3], all ? s[5] : zero, all ? s[7] : zero);
        __m512i y = _mm512_permutex2var_epi32(low, first, high);
        _mm512_storeu_si512(out + 8 * i, _mm512_sub_epi32(y, less));
        if (all) {
            y = _mm512_permutex2var_epi32(low, second, high);
            _mm512_storeu_si512(out + 8 * i + 16, _mm512_sub_epi32(y, less));
        }
    }
}

#define NAME          "sddmm_sr_bcrs_s8_avx512vnni"
#define ISA           (LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI)
#define ROW           lac_kernel_sddmm_sr_bcrs_s8_avx512vnni
#define KEY_SUMS      1
#define SECONDS       6e-12
#define SECONDS_STRIP 5e-8
#include "cpu/sddmm_body.inc"
#endif
