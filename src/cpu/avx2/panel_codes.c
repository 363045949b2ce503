/* Weights of few bits with AVX2: up to 16 floats in registers, int8 values by vpshufb. Bytes are
 * multiplied as 16-bit numbers, bytes 0 and 2 of a word, then 1 and 3: vpmaddubsw would saturate.
 */
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#include "format/codebook.h"

#include <string.h>

typedef struct table {
    __m256 low, high; /* entries 0..7, 8..15 */
} table;
typedef struct pair {
    __m256i even, odd; /* bytes 0 and 2, bytes 1 and 3 of each word, as 16 bits */
} pair;
typedef struct element {
    int32_t even, odd;
} element;

#define LANES           8
#define VI              __m256i
#define VF              __m256
#define VALUES          table
#define LOAD(p)         _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define STORE(p, v)     _mm256_storeu_si256((__m256i *)(void *)(p), v)
#define AND(a, b)       _mm256_and_si256(a, b)
#define OR(a, b)        _mm256_or_si256(a, b)
#define SET8(v)         _mm256_set1_epi8(v)
#define SET32(v)        _mm256_set1_epi32(v)
#define SRL16(v, n)     _mm256_srli_epi16(v, n)
#define SLL16(v, n)     _mm256_slli_epi16(v, n)
#define SRL32(v, n)     _mm256_srli_epi32(v, n)
#define SLL32(v, n)     _mm256_slli_epi32(v, n)
#define SELECT(a, b, m) _mm256_or_si256(_mm256_and_si256(m, a), _mm256_andnot_si256(m, b))
#define FMA(a, b, c)    _mm256_fmadd_ps(a, b, c)
#define SETF(x)         _mm256_set1_ps(x)
#define ZEROF           _mm256_setzero_ps()
#define STOREF(p, v)    _mm256_storeu_ps(p, v)
#define FLOATS_16(book)                                                                            \
    {                                                                                              \
        _mm256_loadu_ps(book), _mm256_loadu_ps((book) + 8)                                         \
    }
#define LOOKUP_F32    lookup_f32
#define BYTES_16(p)   _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(p)))
#define PICK8(t, i)   _mm256_shuffle_epi8(t, i)
#define SUB8(a, b)    _mm256_sub_epi8(a, b)
#define ADDS8(a, b)   _mm256_adds_epu8(a, b)
#define QUAD_OF(p)    bytes_of(quad(p))
#define DOT4(s, x, w) step(s, x, word_of(w))

#define INLINE static inline __attribute__((always_inline))

INLINE __m256 lookup_f32(table values, const float *book, __m256i index, const int bits)
{
    if (bits > 4)
        return _mm256_i32gather_ps(book, AND(index, SET32((1 << bits) - 1)), 4);
    __m256 low = _mm256_permutevar8x32_ps(values.low, index); /* looks at the low 3 bits only */
    if (bits <= 3)
        return low;
    return _mm256_blendv_ps(low, _mm256_permutevar8x32_ps(values.high, index),
                            _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
}

INLINE __m256i quad(const void *p)
{
    int32_t four;
    memcpy(&four, p, sizeof four);
    return _mm256_set1_epi32(four);
}

INLINE pair bytes_of(__m256i x)
{
    return (pair){_mm256_and_si256(x, _mm256_set1_epi16(255)), _mm256_srli_epi16(x, 8)};
}

INLINE pair word_of(__m256i w)
{
    return (pair){_mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8), _mm256_srai_epi16(w, 8)};
}

INLINE __m256i step(__m256i sum, pair bytes, pair word)
{
    __m256i even = _mm256_madd_epi16(bytes.even, word.even);
    __m256i odd = _mm256_madd_epi16(bytes.odd, word.odd);
    return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}

INLINE pair spread(const element *p)
{
    return (pair){_mm256_set1_epi32(p->even), _mm256_set1_epi32(p->odd)};
}

INLINE void elements_of(int8_t (*quads)[16][4], element (*to)[16])
{
    for (int i = 0; i < 16; i++) {
        pair w = word_of(LOAD(quads[i / 2][8 * (i % 2)]));
        element *at = to[i / 2] + 8 * (i % 2);
        __m256i low = _mm256_unpacklo_epi32(w.even, w.odd);
        __m256i high = _mm256_unpackhi_epi32(w.even, w.odd);
        STORE(at, _mm256_permute2x128_si256(low, high, 0x20));
        STORE(at + 4, _mm256_permute2x128_si256(low, high, 0x31));
    }
}

INLINE __m256 widen(const int8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}

#include "cpu/panel_codes_lookup.inc"

#define MOVES                 lac_panel_moves_avx2
#define WIDEN(p)              widen(p)
#define HALF                  __m256
#define HALF_ZERO             _mm256_setzero_ps()
#define HALF_STORE(p, v)      _mm256_storeu_ps(p, v)
#define HALF_FMA(w, x, s)     _mm256_fmadd_ps(widen(w), _mm256_loadu_ps(x), s)
#define CODES_VECTOR          __m256i
#define CODES_COLUMNS         8
#define CODES_ZEROS           _mm256_setzero_si256()
#define CODES_LOADS(p)        _mm256_loadu_si256((const __m256i *)(p))
#define CODES_STORES(p, v)    _mm256_storeu_si256((__m256i *)(p), v)
#define CODES_BYTES           pair
#define CODES_LOAD(p)         bytes_of(_mm256_loadu_si256((const __m256i *)(p)))
#define CODES_ELEMENT         element
#define CODES_WORD            pair
#define CODES_SPREAD(p)       spread(p)
#define CODES_STEP(s, x, w)   step(s, x, w)
#define CODES_WIDE            2
#define CODES_ROWS_NARROW     4
#define CODES_WIDE_NARROW     2
#define ELEMENT_OF(quads, to) elements_of(quads, to)

/* Measured on one core of an AMD EPYC (family 25, model 17): seconds per weight. */
#define SECONDS_FEW         0.06e-9
#define SECONDS_FEW_WIDE    0.4e-9
#define SECONDS_APART       0.1e-9
#define SECONDS_MANY        0.02e-9
#define SECONDS_FEW_I8      0.03e-9
#define SECONDS_FEW_I8_WIDE 0.15e-9
#define SECONDS_APART_I8    0.06e-9
#define SECONDS_MANY_I8     0.012e-9
#define SECONDS_FEW_INT8    0.05e-9
#undef LOAD
#include "cpu/panel_codes.inc"

LAC_CODES_ROWS(avx2, LAC_ISA_AVX2, "AVX2")
#endif
