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
#define WIDEN(p)        _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(p))))
#define WIDE            __m512i
#define WIDE_SPREAD(x)  _mm512_set1_epi32(x)
#define WIDE_COLUMNS    64
/* Unpacking works on 16 bytes at a time: vector v of sums holds columns 4 v .. 4 v + 3 of each. */
#define WIDE_COLUMN(p) ((p) % 16 / 4 * 16 + (p) / 16 * 4 + (p) % 4)
#define WIDE_STEP      wide_step
#define PREFETCH(p)    _mm_prefetch((const char *)(p), _MM_HINT_T1)
/* Without zeros, which cannot be known: from the caches a little slower than the dense library,
 * from memory as fast, and without its copy of the weights. */
#define SECONDS(bytes, macs) ((void)(macs), (bytes) < 2e6 ? (bytes) / 55e9 : 0.95 * (bytes) / 85e9)

static inline __attribute__((always_inline)) void wide_step(int32_t *sums, const int8_t *r0,
                                                            const int8_t *r1, const int8_t *r2,
                                                            const int8_t *r3, __m512i quad)
{
    __m512i a = _mm512_loadu_si512(r0), b = _mm512_loadu_si512(r1);
    __m512i c = _mm512_loadu_si512(r2), d = _mm512_loadu_si512(r3);
    __m512i ab_lo = _mm512_unpacklo_epi8(a, b), ab_hi = _mm512_unpackhi_epi8(a, b);
    __m512i cd_lo = _mm512_unpacklo_epi8(c, d), cd_hi = _mm512_unpackhi_epi8(c, d);
    __m512i w[4] = {_mm512_unpacklo_epi16(ab_lo, cd_lo), _mm512_unpackhi_epi16(ab_lo, cd_lo),
                    _mm512_unpacklo_epi16(ab_hi, cd_hi), _mm512_unpackhi_epi16(ab_hi, cd_hi)};
    for (int v = 0; v < 4; v++)
        _mm512_storeu_si512(sums + 16 * v,
                            _mm512_dpbusd_epi32(_mm512_loadu_si512(sums + 16 * v), quad, w[v]));
}

#include "cpu/gemm_thin.inc"

/* All that the compiler may use in this file. */
THIN_ROWS(avx512, LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI)
#endif
