/* Format intq with AVX2. Products of bytes go through vpmaddubsw, which saturates at 16 bits: codes
 * are at most 15, so that 8 of its sums of pairs (15 * 128 * 2 * 8 = 30720), or 4 with unsigned
 * activations (15 * 255 * 2 * 4 = 30600), stay below 32768. */
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#include <stdint.h>
#include <string.h>

#define LANES           8
#define IN_PLACE        0 /* vpmaddubsw would saturate */
#define ROWS            3
#define ROWS_LESS       1
#define ROWS_F32        6
#define ROWS_F32_LESS   2
#define VI              __m256i
#define VF              __m256
#define REGISTER        "x"
#define LOAD(p)         _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define STORE(p, v)     _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define AND(a, b)       _mm256_and_si256(a, b)
#define OR_AND(a, v, m) _mm256_or_si256(a, _mm256_and_si256(v, m))
#define SUB8(a, b)      _mm256_sub_epi8(a, b)
#define SRL16(v, n)     _mm256_srli_epi16(v, n)
#define SRL32(v, n)     _mm256_srli_epi32(v, n)
#define SET8(v)         _mm256_set1_epi8(v)
#define SET32(v)        _mm256_set1_epi32(v)
#define SRA32(v, n)     _mm256_srai_epi32(v, n)
#define ADD32(a, b)     _mm256_add_epi32(a, b)
#define SUB32(a, b)     _mm256_sub_epi32(a, b)
#define MUL32(a, b)     _mm256_mullo_epi32(a, b)
#define LOAD8(p)        _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p)))
#define LOAD16(p)       _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p)))
#define FLOATS(v)       _mm256_cvtepi32_ps(v)
#define FMA(a, b, c)    _mm256_fmadd_ps(a, b, c)
#define MULF(a, b)      _mm256_mul_ps(a, b)
#define SUBF(a, b)      _mm256_sub_ps(a, b)
#define ADDF(a, b)      _mm256_add_ps(a, b)
#define SETF(x)         _mm256_set1_ps(x)
#define LOADF(p)        _mm256_loadu_ps(p)
#define STOREF(p, v)    _mm256_storeu_ps(p, v)
#define SUM4(sum, c)                                                                               \
    _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), c),          \
                                            _mm256_set1_epi16(1)))
#define MERGE(v, m, b)                                                                             \
    _mm256_castsi256_ps(                                                                           \
        _mm256_or_si256(_mm256_and_si256(v, _mm256_set1_epi32(m)), _mm256_set1_epi32(b)))
#define DOT8 dot8

/* Seconds per weight (few rows; making a tile), per product (many rows). */
#define SECONDS_FEW      0.022e-9
#define SECONDS_FEW_F32  0.06e-9
#define SECONDS_FILL     0.04e-9
#define SECONDS_FILL_F32 0.2e-9
#define SECONDS_MANY     0.011e-9
#define SECONDS_MANY_F32 0.02e-9

static inline __attribute__((always_inline)) __m256i quad(const void *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
}

static inline __attribute__((always_inline)) void dot8(__m256i *low, __m256i *high,
                                                       const __m256i *c, const int8_t *x)
{
    (void)high;
    __m256i pairs = _mm256_maddubs_epi16(c[0], quad(x));
#pragma GCC unroll 8
    for (int i = 1; i < 8; i++)
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(c[i], quad(x + 4 * i)));
    *low = _mm256_add_epi32(*low, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#define TILE_QUADS 4
#define TILE_STEP(s, rows, x, stride, w)                                                           \
    do {                                                                                           \
        __m256i pairs_[ROWS][2];                                                                   \
        _Pragma("GCC unroll 4") for (int i_ = 0; i_ < 4; i_++)                                     \
        {                                                                                          \
            __m256i w0_ = LOAD((w)[0] + 2 * 32 * i_), w1_ = LOAD((w)[1] + 2 * 32 * i_);            \
            _Pragma("GCC unroll 8") for (int r_ = 0; r_ < (rows); r_++)                            \
            {                                                                                      \
                __m256i x_ = quad((x) + r_ * (stride) + 4 * i_);                                   \
                __m256i p0_ = _mm256_maddubs_epi16(x_, w0_), p1_ = _mm256_maddubs_epi16(x_, w1_);  \
                pairs_[r_][0] = i_ ? _mm256_add_epi16(pairs_[r_][0], p0_) : p0_;                   \
                pairs_[r_][1] = i_ ? _mm256_add_epi16(pairs_[r_][1], p1_) : p1_;                   \
            }                                                                                      \
        }                                                                                          \
        _Pragma("GCC unroll 8") for (int r_ = 0; r_ < (rows); r_++)                                \
            _Pragma("GCC unroll 2") for (int v_ = 0; v_ < 2; v_++)(s)[r_][v_] = _mm256_add_epi32(  \
                (s)[r_][v_], _mm256_madd_epi16(pairs_[r_][v_], _mm256_set1_epi16(1)));             \
    } while (0)

#include "cpu/gemm_intq.inc"

LAC_INTQ_ROWS(avx2, LAC_ISA_AVX2, "AVX2")
#endif
