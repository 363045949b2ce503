/* Few tokens times dense int8 weights with AVX2: even and odd bytes as 16-bit numbers, vpmaddwd;
 * exact for every operand. */
#if defined(__AVX2__)
#include <immintrin.h>
#include <string.h>

typedef struct pair {
    __m256i even, odd;
} pair;

#define INLINE static inline __attribute__((always_inline))

INLINE pair weights_of(__m256i w)
{
    return (pair){_mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8), _mm256_srai_epi16(w, 8)};
}

INLINE pair load_part(const signed char *p, long long count)
{
    signed char bytes[32] = {0};
    memcpy(bytes, p, (size_t)count);
    return weights_of(_mm256_loadu_si256((const __m256i *)bytes));
}

INLINE __m256i times(__m256i sum, __m256i x, pair w)
{
    __m256i even = _mm256_madd_epi16(_mm256_and_si256(x, _mm256_set1_epi16(255)), w.even);
    __m256i odd = _mm256_madd_epi16(_mm256_srli_epi16(x, 8), w.odd);
    return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}

INLINE int total(__m256i v)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

#define VECTOR              __m256i
#define ZERO                _mm256_setzero_si256()
#define ADD(a, b)           _mm256_add_epi32(a, b)
#define TOTAL(v)            total(v)
#define BYTES               32
#define WEIGHTS             pair
#define LOAD(p)             weights_of(_mm256_loadu_si256((const __m256i *)(p)))
#define LOAD_PART(p, count) load_part(p, count)
#define ONES                ones
#define TIMES(sum, x, w)    times(sum, _mm256_loadu_si256((const __m256i *)(x)), w)
#define SECONDS_BYTE        0.02e-9
#define SECONDS_BYTE_FAR    0.045e-9

static const _Alignas(32) unsigned char ones[32] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                                    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

#include "cpu/gemm_small.inc"

SMALL_ROW(dense_u8_small_avx2, LAC_U8, LAC_ISA_AVX2)
SMALL_ROW(dense_s8_small_avx2, LAC_I8, LAC_ISA_AVX2)
#endif
