/* Weights of few bits with AVX-512: up to 64 floats in registers, int8 values by vpshufb, bytes
 * multiplied by vpdpbusd. */
#if defined(__AVX512F__) && defined(__AVX512VNNI__)
#include <immintrin.h>

#include "format/codebook.h"

#include <string.h>

#define LANES           16
#define VI              __m512i
#define VF              __m512
#define VALUES          __m512
#define LOAD(p)         _mm512_loadu_si512(p)
#define STORE(p, v)     _mm512_storeu_si512(p, v)
#define AND(a, b)       _mm512_and_si512(a, b)
#define OR(a, b)        _mm512_or_si512(a, b)
#define SET8(v)         _mm512_set1_epi8(v)
#define SET32(v)        _mm512_set1_epi32(v)
#define SRL16(v, n)     _mm512_srli_epi16(v, n)
#define SLL16(v, n)     _mm512_slli_epi16(v, n)
#define SRL32(v, n)     _mm512_srli_epi32(v, n)
#define SLL32(v, n)     _mm512_slli_epi32(v, n)
#define SELECT(a, b, m) _mm512_ternarylogic_epi32(a, b, m, 0xe4) /* m ? a : b */
#define FMA(a, b, c)    _mm512_fmadd_ps(a, b, c)
#define SETF(x)         _mm512_set1_ps(x)
#define ZEROF           _mm512_setzero_ps()
#define STOREF(p, v)    _mm512_storeu_ps(p, v)
#define FLOATS_16(book) _mm512_loadu_ps(book)
#define LOOKUP_F32      lookup_f32
#define BYTES_16(p)     _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(p)))
#define PICK8(t, i)     _mm512_shuffle_epi8(t, i)
#define SUB8(a, b)      _mm512_sub_epi8(a, b)
#define ADDS8(a, b)     _mm512_adds_epu8(a, b)
#define QUAD_OF(p)      quad(p)
#define DOT4(s, x, w)   _mm512_dpbusd_epi32(s, x, w)

#define INLINE static inline __attribute__((always_inline))

INLINE __m512 lookup_f32(__m512 first, const float *book, __m512i index, const int bits)
{
    if (bits <= 4) /* the permutation looks at the low 4 bits only */
        return _mm512_permutexvar_ps(index, first);
    if (bits > 6)
        return _mm512_i32gather_ps(AND(index, SET32((1 << bits) - 1)), book, 4);
    __m512 low = _mm512_permutex2var_ps(first, index, _mm512_loadu_ps(book + 16));
    if (bits == 5)
        return low;
    __m512 high =
        _mm512_permutex2var_ps(_mm512_loadu_ps(book + 32), index, _mm512_loadu_ps(book + 48));
    return _mm512_mask_blend_ps(_mm512_test_epi32_mask(index, SET32(32)), low, high);
}

INLINE __m512i quad(const void *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm512_set1_epi32(four);
}

/* sum + the dot products of unsigned bytes of `a` with signed bytes of `b`; as assembly because GCC
 * 12 copies every sum at the begin and end of a loop around the intrinsic. */
INLINE __m512i dot4(__m512i sum, __m512i a, __m512i b)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
    return sum;
}

INLINE __m512 widen(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}

INLINE __m256 half_fma(const int8_t *w, const float *x, __m256 sum)
{
    __m256 value = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)w)));
    return _mm256_fmadd_ps(value, _mm256_loadu_ps(x), sum);
}

#include "cpu/panel_codes_lookup.inc"

#define MOVES                 lac_panel_moves_avx512
#define WIDEN(p)              widen(p)
#define HALF                  __m256
#define HALF_ZERO             _mm256_setzero_ps()
#define HALF_STORE(p, v)      _mm256_storeu_ps(p, v)
#define HALF_FMA              half_fma
#define CODES_VECTOR          __m512i
#define CODES_COLUMNS         16
#define CODES_ZEROS           _mm512_setzero_si512()
#define CODES_LOADS(p)        _mm512_loadu_si512(p)
#define CODES_STORES(p, v)    _mm512_storeu_si512(p, v)
#define CODES_BYTES           __m512i
#define CODES_LOAD(p)         _mm512_loadu_si512(p)
#define CODES_ELEMENT         int32_t
#define CODES_WORD            __m512i
#define CODES_SPREAD(p)       _mm512_set1_epi32(*(p))
#define CODES_STEP(s, x, w)   dot4(s, x, w)
#define CODES_WIDE            4
#define CODES_ROWS_NARROW     8
#define CODES_WIDE_NARROW     1
#define ELEMENT_OF(quads, to) memcpy(to, quads, sizeof(quads))

/* Measured on one core of an AMD EPYC (family 25, model 17): seconds per weight. */
#define SECONDS_FEW         0.032e-9
#define SECONDS_FEW_WIDE    0.35e-9
#define SECONDS_APART       0.05e-9
#define SECONDS_MANY        0.0185e-9
#define SECONDS_FEW_I8      0.009e-9
#define SECONDS_FEW_I8_WIDE 0.1e-9
#define SECONDS_APART_I8    0.03e-9
#define SECONDS_MANY_I8     0.0048e-9
#define SECONDS_FEW_INT8    0.04e-9
#undef LOAD
#include "cpu/panel_codes.inc"

#define ISA (LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI)
LAC_CODES_ROWS(avx512vnni, ISA, "AVX-512")
#endif
