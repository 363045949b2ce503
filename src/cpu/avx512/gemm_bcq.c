/* Format bcq with AVX-512: vpermw looks 5 activations up at once, in a register of 32 sums of 16
 * bits, and vpermi2w 6 in two; bits above the index do not matter. 16 columns are 5 + 5 + 6, so a
 * half word is looked up with 3 permutations, 2 shifts, 3 additions and no mask, and nothing needs
 * widening: 20 instructions for 1024 products, where vpshufb with tables of low and high bytes
 * takes 35 and vpdpbusd 32. */
#if defined(__AVX512F__) && defined(__AVX512BW__)
#include <immintrin.h>

#include <stdint.h>

#define LANES        16
#define VF           __m512
#define LOADF(p)     _mm512_loadu_ps(p)
#define STOREF(p, v) _mm512_storeu_ps(p, v)
#define SETF(x)      _mm512_set1_ps(x)
#define ADDF(a, b)   _mm512_add_ps(a, b)
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define LOAD16(p)    _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(p)))
#define TILE         128
#define VECTORS      (TILE / 32)
#define TABLES       tables
#define SUMS         bcq_sums
#define LOOK(sums, word, stride, words, table, ahead)                                              \
    look(&(sums), word, stride, words, table, ahead)
#define FLOATS(sums, i) lanes_of(&(sums), i)
#define FLOAT_BITS      4
#define LOOK_F32(p, t)  look_f32(p, t)

/* Seconds per bit of a plane; per scale; per 32 columns of a token. */
#define SECONDS_BIT        0.0038e-9
#define SECONDS_BIT_F32    0.0085e-9
#define SECONDS_SCALE      0.01e-9
#define SECONDS_TABLES     15e-9
#define SECONDS_TABLES_F32 60e-9

/* Outputs 32 v + i and 32 v + 16 + i in the halves of lane i of vector v. */
typedef struct bcq_sums {
    __m512i v[VECTORS];
} bcq_sums;

/* 16 columns: 32 sums of 5, 32 of 5, 64 of 6. */
static inline __attribute__((always_inline)) void tables(const int16_t *x, uint8_t *to)
{
    static const __mmask32 set[5] = {0xaaaaaaaa, 0xcccccccc, 0xf0f0f0f0, 0xff00ff00, 0xffff0000};
    for (int half = 0; half < 2; half++, x += 16, to += 256) {
#pragma GCC unroll 3
        for (int t = 0; t < 3; t++) {
            const int16_t *at = x + 5 * t;
            int sum = at[0] + at[1] + at[2] + at[3] + at[4];
            __m512i entry = _mm512_set1_epi16((short)-sum);
#pragma GCC unroll 5
            for (int b = 0; b < 5; b++)
                entry = _mm512_mask_add_epi16(entry, set[b], entry,
                                              _mm512_set1_epi16((short)(2 * at[b])));
            if (t < 2) {
                _mm512_store_si512(to + 64 * t, entry);
            } else {
                __m512i last = _mm512_set1_epi16(at[5]);
                _mm512_store_si512(to + 128, _mm512_sub_epi16(entry, last));
                _mm512_store_si512(to + 192, _mm512_add_epi16(entry, last));
            }
        }
    }
}

static inline __attribute__((always_inline)) __m512i add_half(__m512i sum, __m512i index,
                                                              const uint8_t *table)
{
    __m512i a = _mm512_permutexvar_epi16(index, _mm512_load_si512(table));
    __m512i b =
        _mm512_permutexvar_epi16(_mm512_srli_epi16(index, 5), _mm512_load_si512(table + 64));
    __m512i c =
        _mm512_permutex2var_epi16(_mm512_load_si512(table + 128), _mm512_srli_epi16(index, 10),
                                  _mm512_load_si512(table + 192));
    return _mm512_add_epi16(_mm512_add_epi16(sum, a), _mm512_add_epi16(b, c));
}

static inline __attribute__((always_inline)) void look(bcq_sums *sums, const uint32_t *word,
                                                       int64_t stride, int words,
                                                       const uint8_t *table, int64_t ahead)
{
    const __mmask32 odd = 0xaaaaaaaa;
#pragma GCC unroll 8
    for (int v = 0; v < VECTORS; v++)
        sums->v[v] = _mm512_setzero_si512();
    for (int k = 0; k < words; k++, word += stride, table += 512) {
#pragma GCC unroll 8
        for (int v = 0; v < VECTORS; v++) {
            __m512i a = _mm512_loadu_si512(word + 32 * v);
            __m512i b = _mm512_loadu_si512(word + 32 * v + 16);
            _mm_prefetch((const char *)(word + 32 * v + ahead), _MM_HINT_T1);
            _mm_prefetch((const char *)(word + 32 * v + 16 + ahead), _MM_HINT_T1);
            __m512i low = _mm512_mask_blend_epi16(odd, a, _mm512_slli_epi32(b, 16));
            __m512i high = _mm512_mask_blend_epi16(odd, _mm512_srli_epi32(a, 16), b);
            sums->v[v] = add_half(sums->v[v], low, table);
            sums->v[v] = add_half(sums->v[v], high, table + 256);
        }
    }
}

static inline __attribute__((always_inline)) __m512 lanes_of(const bcq_sums *sums, int i)
{
    __m512i v = sums->v[i / 2];
    v = i % 2 ? v : _mm512_slli_epi32(v, 16);
    return _mm512_cvtepi32_ps(_mm512_srai_epi32(v, 16));
}

/* 8 tables of 16 sums of 4. */
static inline __attribute__((always_inline)) __m512 look_f32(const uint32_t *word,
                                                             const float *table)
{
    __m512i v = _mm512_loadu_si512(word);
    __m512 a = _mm512_permutexvar_ps(v, _mm512_load_ps(table));
    __m512 b = _mm512_permutexvar_ps(_mm512_srli_epi32(v, 4), _mm512_load_ps(table + 16));
#pragma GCC unroll 4
    for (int t = 2; t < 8; t += 2) {
        a = _mm512_add_ps(
            a, _mm512_permutexvar_ps(_mm512_srli_epi32(v, 4 * t), _mm512_load_ps(table + 16 * t)));
        b = _mm512_add_ps(b, _mm512_permutexvar_ps(_mm512_srli_epi32(v, 4 * t + 4),
                                                   _mm512_load_ps(table + 16 * t + 16)));
    }
    return _mm512_add_ps(a, b);
}

#include "cpu/gemm_bcq.inc"

LAC_BCQ_ROWS(avx512, LAC_ISA_AVX2 | LAC_ISA_AVX512, "AVX-512")
#endif
