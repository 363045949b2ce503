/* Column vectors with AVX2: bytes are widened to words, two vectors side by side, so that
 * vpmaddwd adds exact products in 32 bits, whatever the operands (vpmaddubsw would saturate).
 * Elements of two bytes cost the same. Passes of 16 columns and 4 rows, 32 and 2, 64 and 1.
 *
 * Ports (Zen 4): a product and an addition for 16 multiplications, two products a cycle: half of
 * what VNNI does at best. With 4 rows and 16 columns, 256 multiplications take 16 products, 16
 * additions, 8 shuffles, 8 broadcasts, 8 loads and the addresses, some 75 operations at 6 a cycle;
 * measured 17 cycles, a quarter of what VNNI does. */
#if defined(__AVX2__)
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define AVX2_INLINE   static inline __attribute__((always_inline))
#define COLUMNS(rows) (64 / (rows))
#define BLOCK         256

typedef struct sums {
    __m256i of[8]; /* [row][columns / 8] */
} sums;

AVX2_INLINE void begin(sums *sum, int rows)
{
    (void)rows;
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++)
        sum->of[i] = _mm256_setzero_si256();
}

/* The four elements of each row as words. */
AVX2_INLINE __m256i widen(const uint8_t *values, int64_t plane, int rows, bool wide)
{
    __m128i low, high;
    if (rows == 4) {
        low = _mm_loadu_si128((const __m128i *)values);
        high = wide ? _mm_loadu_si128((const __m128i *)(values + plane)) : low;
    } else if (rows == 2) {
        low = _mm_loadl_epi64((const __m128i *)values);
        high = wide ? _mm_loadl_epi64((const __m128i *)(values + plane)) : low;
    } else {
        low = high = _mm_loadu_si32(values);
    }
    return wide ? _mm256_set_m128i(_mm_unpackhi_epi8(low, high), _mm_unpacklo_epi8(low, high))
                : _mm256_cvtepi8_epi16(low);
}

/* In memory, where a broadcast is only a load; not shuffled out of registers. */
#define IN_MEMORY(words) __asm__("" : "+m"(words))
/* In its register; GCC would add products first and run out of registers. */
#define IN_REGISTER(sum) __asm__("" : "+x"(sum))

AVX2_INLINE __m256i broadcast(const int16_t *two)
{
    int32_t word;
    memcpy(&word, two, sizeof word);
    return _mm256_set1_epi32(word);
}

AVX2_INLINE void step(sums *sum, int rows, bool wide, const char *const at[4],
                      const uint8_t *values, int64_t plane)
{
    _Alignas(32) int16_t words[16];
    _mm256_store_si256((__m256i *)words, widen(values, plane, rows, wide));
    IN_MEMORY(words);
#pragma GCC unroll 2
    for (int pair = 0; pair < 2; pair++)
        for (int block = 0; block < 4 / rows; block++) {
            __m128i a = _mm_loadu_si128((const __m128i *)(at[2 * pair] + 16 * block));
            __m128i b = _mm_loadu_si128((const __m128i *)(at[2 * pair + 1] + 16 * block));
            __m256i x = _mm256_cvtepu8_epi16(_mm_unpacklo_epi8(a, b));
            __m256i y = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(a, b));
#pragma GCC unroll 4
            for (int v = 0; v < rows; v++) {
                __m256i w = broadcast(words + 4 * v + 2 * pair);
                __m256i *s = &sum->of[v * (8 / rows) + 2 * block];
                s[0] = _mm256_add_epi32(s[0], _mm256_madd_epi16(x, w));
                s[1] = _mm256_add_epi32(s[1], _mm256_madd_epi16(y, w));
                IN_REGISTER(s[0]);
                IN_REGISTER(s[1]);
            }
        }
}

AVX2_INLINE void finish(const sums *sum, int rows, int32_t *to, int columns, bool more)
{
    for (int v = 0; v < rows; v++, to += 64)
        for (int j = 0; j < 8 / rows; j++) {
            __m256i *at = (__m256i *)(to + 8 * j), s = sum->of[v * (8 / rows) + j];
            if (8 * j < columns)
                _mm256_storeu_si256(at, more ? _mm256_add_epi32(s, _mm256_loadu_si256(at)) : s);
        }
}

/* Sums of the first and the last two of four, row by row. */
typedef struct dot_sums {
    __m256i of[2];
} dot_sums;

AVX2_INLINE void dot_begin(dot_sums *sum)
{
    sum->of[0] = sum->of[1] = _mm256_setzero_si256();
}

AVX2_INLINE void dot_step(dot_sums *sum, int v, bool wide, uint32_t four, const uint8_t *values)
{
    __m256i x = _mm256_cvtepu8_epi16(_mm_set1_epi32((int)four));
#pragma GCC unroll 2
    for (int i = 0; i < v; i += 4) {
        __m256i w = widen(values + 4 * i, 4 * v, v < 4 ? v : 4, wide);
        sum->of[i / 4] = _mm256_add_epi32(sum->of[i / 4], _mm256_madd_epi16(x, w));
    }
}

AVX2_INLINE void dot_end(const dot_sums *sum, int v, bool wide, int32_t *to)
{
    _Alignas(32) int32_t all[16];
    (void)wide;
    _mm256_store_si256((__m256i *)all, sum->of[0]);
    _mm256_store_si256((__m256i *)(all + 8), sum->of[1]);
    for (int i = 0; i < v; i++)
        to[i] = (int32_t)((uint32_t)all[2 * i] + (uint32_t)all[2 * i + 1]);
}

#define MOVES lac_panel_moves_avx2
/* Measured on one core of an AMD EPYC (family 25, model 17), activations in L2. */
#define SECONDS(v, wide)     ((v) == 1 ? 1 / 37e9 : 1 / 53e9)
#define SECONDS_STRIP        1e-8
#define SECONDS_DOT(v, wide) ((v) == 1 ? 1.75e-9 : (wide) ? 1.5e-9 : 1.25e-9)
#include "cpu/gemm_vectors.inc"

LAC_PANEL_ROWS(sr_bcrs_u8_avx2, "sr-bcrs", LAC_U8, LAC_ISA_AVX2, sr_bcrs,
               "column vectors, uint8 activations, AVX2")
LAC_PANEL_ROWS(sr_bcrs_s8_avx2, "sr-bcrs", LAC_I8, LAC_ISA_AVX2, sr_bcrs,
               "column vectors, int8 activations, AVX2")
LAC_PANEL_ROWS(delta_u8_avx2, "delta", LAC_U8, LAC_ISA_AVX2, delta,
               "int8 non-zeros with byte distances, uint8 activations, AVX2")
LAC_PANEL_ROWS(delta_s8_avx2, "delta", LAC_I8, LAC_ISA_AVX2, delta,
               "int8 non-zeros with byte distances, int8 activations, AVX2")
#endif
