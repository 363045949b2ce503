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

/* As assembly because GCC 12 goes by a general register. */
static inline __attribute__((always_inline)) __m512i spread(const int16_t *p)
{
    __m512i v;
    __asm__("vpbroadcastw %1, %0" : "=v"(v) : "m"(*p));
    return v;
}

/* For each 16 columns: 32 sums of 5, 32 of 5, 64 of 6. All signs minus first, then twice what the
 * bits of an index turn to plus. */
static inline __attribute__((always_inline)) void tables(const int16_t *x, uint8_t *to)
{
    static const __mmask32 set[5] = {0xaaaaaaaa, 0xcccccccc, 0xf0f0f0f0, 0xff00ff00, 0xffff0000};
    const __m512i begin = _mm512_setr_epi32(0x50000, 0x10000a, 0x1a0015, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                            0, 0, 0, 0); /* 0, 5, 10, 16, 21, 26 */
    const __m512i all = _mm512_loadu_si512(x);
    int16_t twice[32];
    __m512i less = _mm512_setzero_si512(); /* of each table */
#pragma GCC unroll 5
    for (int b = 0; b < 5; b++)
        less = _mm512_sub_epi16(
            less, _mm512_permutexvar_epi16(_mm512_add_epi16(begin, _mm512_set1_epi16(b)), all));
    _mm512_storeu_si512(twice, _mm512_add_epi16(all, all));
#pragma GCC unroll 6
    for (int t = 0; t < 6; t++) {
        const int first = t / 3 * 16 + t % 3 * 5;
        __m512i entry = _mm512_permutexvar_epi16(_mm512_set1_epi16(t), less);
#pragma GCC unroll 5
        for (int b = 0; b < 5; b++)
            entry = _mm512_mask_add_epi16(entry, set[b], entry, spread(&twice[first + b]));
        uint8_t *at = to + t / 3 * 256 + t % 3 * 64;
        if (t % 3 < 2) {
            _mm512_store_si512(at, entry);
        } else {
            const __m512i sixth = spread(&x[first + 5]);
            _mm512_store_si512(at, _mm512_sub_epi16(entry, sixth));
            _mm512_store_si512(at + 64, _mm512_add_epi16(entry, sixth));
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
