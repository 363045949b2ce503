/* Format bcq with AVX2: vpshufb looks 4 activations up at once, in 16 bytes. Sums of 11 bits are
 * looked up as 6 low and 5 high bits, which add up in bytes over 16 and 32 columns. All 32 bytes
 * that one vpshufb reads belong to the same columns of 32 outputs, so words are turned first. */
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#include "cpu/lowbit.h"

#define LANES        8
#define VF           __m256
#define LOADF(p)     _mm256_loadu_ps(p)
#define STOREF(p, v) _mm256_storeu_ps(p, v)
#define SETF(x)      _mm256_set1_ps(x)
#define ADDF(a, b)   _mm256_add_ps(a, b)
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define LOAD16(p)    _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p)))
#define TILE         32
#define TABLES       tables
#define SUMS         bcq_sums
#define LOOK(sums, word, stride, words, table, ahead)                                              \
    look(&(sums), word, stride, words, table, ahead)
#define FLOATS(sums, i) lanes_of(&(sums), i)
#define FLOAT_BITS      3
#define LOOK_F32(p, t)  look_f32(p, t)

/* Seconds per bit of a plane; per scale; per 32 columns of a token. */
#define SECONDS_BIT        0.0065e-9
#define SECONDS_BIT_F32    0.012e-9
#define SECONDS_SCALE      0.02e-9
#define SECONDS_TABLES     20e-9
#define SECONDS_TABLES_F32 60e-9

/* Outputs i and 16 + i in the halves of lane i of `even`, 8 + i and 24 + i of `odd`. */
typedef struct bcq_sums {
    __m256i even, odd;
} bcq_sums;

/* 8 tables: 16 low parts, 16 high ones. */
static inline __attribute__((always_inline)) void tables(const int16_t *x, uint8_t *to)
{
    const __m256i bit = _mm256_set_epi16(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    for (int t = 0; t < 8; t++, x += 4, to += 32) {
        __m256i entry = _mm256_set1_epi16((short)-(x[0] + x[1] + x[2] + x[3]));
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++) {
            __m256i mask = _mm256_set1_epi16((short)(1 << i));
            __m256i set = _mm256_cmpeq_epi16(_mm256_and_si256(bit, mask), mask);
            entry = _mm256_add_epi16(entry,
                                     _mm256_and_si256(set, _mm256_set1_epi16((short)(2 * x[i]))));
        }
        __m256i low = _mm256_and_si256(entry, _mm256_set1_epi16(63));
        __m256i high = _mm256_srai_epi16(entry, 6);
        __m256i both = _mm256_packs_epi16(low, high); /* low 0-7, high 0-7, low 8-15, high 8-15 */
        _mm256_store_si256((__m256i *)(void *)to, _mm256_permute4x64_epi64(both, 0xd8));
    }
}

static inline __attribute__((always_inline)) __m256i table16(const uint8_t *at)
{
    return _mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(const void *)at));
}

static inline __attribute__((always_inline)) void look(bcq_sums *sums, const uint32_t *word,
                                                       int64_t stride, int words,
                                                       const uint8_t *table, int64_t ahead)
{
    const __m256i nibble = _mm256_set1_epi8(15), first = _mm256_set1_epi16(0xff);
    sums->even = sums->odd = _mm256_setzero_si256();
    for (int k = 0; k < words; k++, word += stride, table += LAC_BCQ_TABLES) {
        const __m256i zero = _mm256_setzero_si256();
        __m256i v[4], byte[4], low[2] = {zero, zero}, high = zero;
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            v[j] = _mm256_loadu_si256((const __m256i *)(const void *)(word + 8 * j));
        _mm_prefetch((const char *)(word + ahead), _MM_HINT_T1);
        _mm_prefetch((const char *)(word + 16 + ahead), _MM_HINT_T1);
        /* bytes of 4 words in 4 vectors -> byte b of the words o of all, [o][vector] */
        __m256i a0 = _mm256_blendv_epi8(_mm256_slli_epi16(v[1], 8), v[0], first);
        __m256i a1 = _mm256_blendv_epi8(v[1], _mm256_srli_epi16(v[0], 8), first);
        __m256i b0 = _mm256_blendv_epi8(_mm256_slli_epi16(v[3], 8), v[2], first);
        __m256i b1 = _mm256_blendv_epi8(v[3], _mm256_srli_epi16(v[2], 8), first);
        byte[0] = _mm256_blend_epi16(a0, _mm256_slli_epi32(b0, 16), 0xaa);
        byte[1] = _mm256_blend_epi16(a1, _mm256_slli_epi32(b1, 16), 0xaa);
        byte[2] = _mm256_blend_epi16(_mm256_srli_epi32(a0, 16), b0, 0xaa);
        byte[3] = _mm256_blend_epi16(_mm256_srli_epi32(a1, 16), b1, 0xaa);
#pragma GCC unroll 4
        for (int b = 0; b < 4; b++) {
            const uint8_t *t = table + 64 * b;
            __m256i i0 = _mm256_and_si256(byte[b], nibble);
            __m256i i1 = _mm256_and_si256(_mm256_srli_epi16(byte[b], 4), nibble);
            low[b / 2] = _mm256_add_epi8(low[b / 2],
                                         _mm256_add_epi8(_mm256_shuffle_epi8(table16(t), i0),
                                                         _mm256_shuffle_epi8(table16(t + 32), i1)));
            high = _mm256_add_epi8(high, _mm256_add_epi8(_mm256_shuffle_epi8(table16(t + 16), i0),
                                                         _mm256_shuffle_epi8(table16(t + 48), i1)));
        }
        __m256i e =
            _mm256_add_epi16(_mm256_and_si256(low[0], first), _mm256_and_si256(low[1], first));
        __m256i o = _mm256_add_epi16(_mm256_srli_epi16(low[0], 8), _mm256_srli_epi16(low[1], 8));
        e = _mm256_add_epi16(e, _mm256_srai_epi16(_mm256_slli_epi16(high, 8), 2));
        o = _mm256_add_epi16(o, _mm256_srai_epi16(_mm256_andnot_si256(first, high), 2));
        sums->even = _mm256_add_epi16(sums->even, e);
        sums->odd = _mm256_add_epi16(sums->odd, o);
    }
}

static inline __attribute__((always_inline)) __m256 lanes_of(const bcq_sums *sums, int i)
{
    __m256i v = i % 2 ? sums->odd : sums->even;
    v = i / 2 ? v : _mm256_slli_epi32(v, 16);
    return _mm256_cvtepi32_ps(_mm256_srai_epi32(v, 16));
}

/* 10 tables of 8 sums of 3 and one of 2. */
static inline __attribute__((always_inline)) __m256 look_f32(const uint32_t *word,
                                                             const float *table)
{
    __m256i v = _mm256_loadu_si256((const __m256i *)(const void *)word);
    __m256 sum[2] = {_mm256_permutevar8x32_ps(_mm256_load_ps(table), v), _mm256_setzero_ps()};
#pragma GCC unroll 10
    for (int t = 1; t < 11; t++)
        sum[t % 2] =
            _mm256_add_ps(sum[t % 2], _mm256_permutevar8x32_ps(_mm256_load_ps(table + 8 * t),
                                                               _mm256_srli_epi32(v, 3 * t)));
    return _mm256_add_ps(sum[0], sum[1]);
}

#include "cpu/gemm_bcq.inc"

LAC_BCQ_ROWS(avx2, LAC_ISA_AVX2, "AVX2")
#endif
