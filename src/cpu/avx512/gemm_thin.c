/* One token times dense weights in place, with AVX-512. */
#if defined(__AVX512VNNI__)
#include <immintrin.h>
#include <math.h>
#include <stdint.h>

#define COLUMNS         16
#define VECTOR          __m512
#define LOAD(p)         _mm512_loadu_ps(p)
#define STORE(p, v)     _mm512_storeu_ps(p, v)
#define SPREAD(x)       _mm512_set1_ps(x)
#define STEP(sum, x, w) _mm512_fmadd_ps(x, w, sum)
#define SCALAR(x, w, y) fmaf(x, w, y)
#define WIDEN(p)                                                                                   \
    _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(p))))
#define WIDE           __m512i
#define WIDE_SPREAD(x) _mm512_set1_epi32(x)
/* lo holds columns 0..3, 8..11, 16..19, 24..27 of 32, hi the others */
#define WIDE_COLUMN(p) ((p) % 16 / 4 * 8 + (p) / 16 * 4 + (p) % 4)
#define WIDE_STEP      wide_step
#define PREFETCH(p)    _mm_prefetch((const char *)(p), _MM_HINT_T0)
/* Half of the weights at the rate of the last-level cache. */
#define SECONDS(bytes, macs) ((void)(macs), (bytes)*0.5 / 85e9)

static inline __attribute__((always_inline)) void wide_step(int32_t *sums, const int8_t *r0,
                                                            const int8_t *r1, __m512i x01,
                                                            const int8_t *r2, const int8_t *r3,
                                                            __m512i x23)
{
    __m512i a = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)r0));
    __m512i b = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)r1));
    __m512i c = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)r2));
    __m512i d = _mm512_cvtepi8_epi16(_mm256_loadu_si256((const __m256i *)r3));
    __m512i lo = _mm512_loadu_si512(sums), hi = _mm512_loadu_si512(sums + 16);
    lo = _mm512_dpwssd_epi32(lo, _mm512_unpacklo_epi16(a, b), x01);
    hi = _mm512_dpwssd_epi32(hi, _mm512_unpackhi_epi16(a, b), x01);
    lo = _mm512_dpwssd_epi32(lo, _mm512_unpacklo_epi16(c, d), x23);
    hi = _mm512_dpwssd_epi32(hi, _mm512_unpackhi_epi16(c, d), x23);
    _mm512_storeu_si512(sums, lo);
    _mm512_storeu_si512(sums + 16, hi);
}

#include "cpu/gemm_thin.inc"

/* All that the compiler may use in this file. */
THIN_ROWS(avx512, LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI)
#endif
