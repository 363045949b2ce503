/* Format intq with AVX-512: vpdpbusd on the codes. */
#if defined(__AVX512F__) && defined(__AVX512VNNI__)
#include <immintrin.h>

#include <stdint.h>
#include <string.h>

#define LANES           16
#define IN_PLACE        1
#define ROWS            6
#define ROWS_LESS       2
#define ROWS_F32        12
#define ROWS_F32_LESS   4
#define VI              __m512i
#define VF              __m512
#define REGISTER        "v"
#define LOAD(p)         _mm512_loadu_si512(p)
#define STORE(p, v)     _mm512_storeu_si512(p, v)
#define AND(a, b)       _mm512_and_si512(a, b)
#define OR_AND(a, v, m) _mm512_ternarylogic_epi32(a, v, m, 0xf8)
#define SUB8(a, b)      _mm512_sub_epi8(a, b)
#define SRL16(v, n)     _mm512_srli_epi16(v, n)
#define SRL32(v, n)     _mm512_srli_epi32(v, n)
#define SET8(v)         _mm512_set1_epi8(v)
#define SET32(v)        _mm512_set1_epi32(v)
#define SRA32(v, n)     _mm512_srai_epi32(v, n)
#define ADD32(a, b)     _mm512_add_epi32(a, b)
#define SUB32(a, b)     _mm512_sub_epi32(a, b)
#define MUL32(a, b)     _mm512_mullo_epi32(a, b)
#define LOAD8(p)        _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(p)))
#define LOAD16(p)       _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(p)))
#define FLOATS(v)       _mm512_cvtepi32_ps(v)
#define FMA(a, b, c)    _mm512_fmadd_ps(a, b, c)
#define MULF(a, b)      _mm512_mul_ps(a, b)
#define SUBF(a, b)      _mm512_sub_ps(a, b)
#define ADDF(a, b)      _mm512_add_ps(a, b)
#define SETF(x)         _mm512_set1_ps(x)
#define LOADF(p)        _mm512_loadu_ps(p)
#define STOREF(p, v)    _mm512_storeu_ps(p, v)
#define SUM4(sum, c)    _mm512_dpbusd_epi32(sum, _mm512_set1_epi8(1), c)
#define MERGE(v, m, b)                                                                             \
    _mm512_castsi512_ps(                                                                           \
        _mm512_ternarylogic_epi32(v, _mm512_set1_epi32(m), _mm512_set1_epi32(b), 0xea))
#define DOT8 dot8

/* Seconds per weight (few rows; making a tile), per product (many rows). */
#define SECONDS_FEW      0.009e-9
#define SECONDS_FEW_F32  0.037e-9
#define SECONDS_FILL     0.02e-9
#define SECONDS_FILL_F32 0.1e-9
#define SECONDS_MANY     0.0055e-9
#define SECONDS_MANY_F32 0.02e-9

static inline __attribute__((always_inline)) __m512i quad(const void *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}

/* sum + the dot products of unsigned bytes of `a` with signed bytes of `b`; as assembly because GCC
 * 12 copies every sum at the begin and end of a loop around the intrinsic. */
static inline __attribute__((always_inline)) __m512i dot4(__m512i sum, __m512i a, __m512i b)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}

static inline __attribute__((always_inline)) void dot8(__m512i *low, __m512i *high,
                                                       const __m512i *c, const int8_t *x)
{
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        *low = _mm512_dpbusd_epi32(*low, c[i], quad(x + 4 * i));
        *high = _mm512_dpbusd_epi32(*high, c[i + 1], quad(x + 4 * i + 4));
    }
}

#define TILE_QUADS 4
#define TILE_STEP(s, rows, x, stride, w)                                                           \
    do {                                                                                           \
        _Pragma("GCC unroll 4") for (int i_ = 0; i_ < 4; i_++)                                     \
        {                                                                                          \
            __m512i w0_ = LOAD((w)[0] + 2 * 64 * i_), w1_ = LOAD((w)[1] + 2 * 64 * i_);            \
            _Pragma("GCC unroll 8") for (int r_ = 0; r_ < (rows); r_++)                            \
            {                                                                                      \
                __m512i x_ = quad((x) + r_ * (stride) + 4 * i_);                                   \
                (s)[r_][0] = dot4((s)[r_][0], x_, w0_);                                            \
                (s)[r_][1] = dot4((s)[r_][1], x_, w1_);                                            \
            }                                                                                      \
        }                                                                                          \
    } while (0)

#include "cpu/gemm_intq.inc"

#define INTQ_ISA (LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI)
LAC_INTQ_ROWS(avx512vnni, INTQ_ISA, "AVX-512 VNNI")
#endif
