/* One token times dense weights in place, with AVX2. */
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#include <math.h>
#include <stdint.h>

#define COLUMNS         8
#define VECTOR          __m256
#define LOAD(p)         _mm256_loadu_ps(p)
#define STORE(p, v)     _mm256_storeu_ps(p, v)
#define SPREAD(x)       _mm256_set1_ps(x)
#define STEP(sum, x, w) _mm256_fmadd_ps(x, w, sum)
#define SCALAR(x, w, y) fmaf(x, w, y)
#define WIDEN(p)        _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p))))
#define WIDE            __m256i
#define WIDE_COLUMNS    16
#define WIDE_SPREAD(x)  _mm256_set1_epi32(x)
/* lo holds columns 0..3, 8..11 of 16, hi the others */
#define WIDE_COLUMN(p) ((p) % 8 / 4 * 8 + (p) / 8 * 4 + (p) % 4)
#define WIDE_STEP      wide_step
#define PREFETCH(p)    _mm_prefetch((const char *)(p), _MM_HINT_T1)
/* Without zeros, which cannot be known: from the caches a little slower than the dense library,
 * from memory as fast, and without its copy of the weights. */
#define SECONDS(bytes, macs) ((void)(macs), (bytes) < 2e6 ? (bytes) / 45e9 : 0.96 * (bytes) / 85e9)

/* In pairs of 16 bits, where no product of bytes saturates. */
static inline __attribute__((always_inline)) void wide_step(int32_t *sums, const int8_t *r0,
                                                            const int8_t *r1, const int8_t *r2,
                                                            const int8_t *r3, __m256i quad)
{
    __m256i low = _mm256_set1_epi32(0x00ff00ff);
    __m256i x02 = _mm256_and_si256(quad, low),
            x13 = _mm256_and_si256(_mm256_srli_epi32(quad, 8), low);
    __m256i a = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)r0));
    __m256i b = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)r1));
    __m256i c = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)r2));
    __m256i d = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)r3));
    __m256i lo = _mm256_loadu_si256((const __m256i *)sums);
    __m256i hi = _mm256_loadu_si256((const __m256i *)(sums + 8));
    lo = _mm256_add_epi32(lo, _mm256_madd_epi16(_mm256_unpacklo_epi16(a, c), x02));
    hi = _mm256_add_epi32(hi, _mm256_madd_epi16(_mm256_unpackhi_epi16(a, c), x02));
    lo = _mm256_add_epi32(lo, _mm256_madd_epi16(_mm256_unpacklo_epi16(b, d), x13));
    hi = _mm256_add_epi32(hi, _mm256_madd_epi16(_mm256_unpackhi_epi16(b, d), x13));
    _mm256_storeu_si256((__m256i *)sums, lo);
    _mm256_storeu_si256((__m256i *)(sums + 8), hi);
}

#include "cpu/gemm_thin.inc"

THIN_ROWS(avx2, LAC_ISA_AVX2)
#endif
