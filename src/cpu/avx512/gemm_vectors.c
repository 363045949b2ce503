/* Column vectors with VNNI. Four rows of 64 bytes are interleaved by bytes, then by words: 8
 * shuffles make 4 registers of [16 columns][4], whose columns come in blocks of four, every fourth
 * block of the row: 0 4 8 12, 1 5 ..; finishing puts the blocks in order.
 *
 * Ports (Zen 4): shuffles go to pipes 1 and 2, products to 0 and 1, each for two cycles. With 4
 * rows, 16 products and 8 shuffles take 16 cycles: the peak; with 2 rows 8 + 8 take 10.7, with one
 * row 4 + 8 take 8: half the peak. */
#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define AVX512_INLINE static inline __attribute__((always_inline))

typedef struct sums {
    __m512i row[4][4];
} sums;

/* Assembly, because GCC 12 copies the sums back and forth around the intrinsics in these loops,
 * which costs a tenth. */
AVX512_INLINE void multiply_bytes(__m512i *sum, __m512i x, __m512i w)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(w));
}

AVX512_INLINE void multiply_words(__m512i *sum, __m512i x, __m512i w)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(w));
}

AVX512_INLINE __m512i broadcast(const void *four)
{
    int32_t word;
    memcpy(&word, four, sizeof word);
    return _mm512_set1_epi32(word);
}

AVX512_INLINE void begin(sums *sum, int rows)
{
#pragma GCC unroll 4
    for (int v = 0; v < rows; v++)
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            sum->row[v][j] = _mm512_setzero_si512();
}

AVX512_INLINE void interleave(const char *const at[4], __m512i x[4])
{
    __m512i a = _mm512_loadu_si512(at[0]), b = _mm512_loadu_si512(at[1]);
    __m512i c = _mm512_loadu_si512(at[2]), d = _mm512_loadu_si512(at[3]);
    __m512i ab = _mm512_unpacklo_epi8(a, b), AB = _mm512_unpackhi_epi8(a, b);
    __m512i cd = _mm512_unpacklo_epi8(c, d), CD = _mm512_unpackhi_epi8(c, d);
    x[0] = _mm512_unpacklo_epi16(ab, cd);
    x[1] = _mm512_unpackhi_epi16(ab, cd);
    x[2] = _mm512_unpacklo_epi16(AB, CD);
    x[3] = _mm512_unpackhi_epi16(AB, CD);
}

/* Words 0, 2 and 1, 3 of the four elements of each row, from their lower and upper bytes. */
AVX512_INLINE void wide_elements(const uint8_t *values, int64_t plane, int rows, int32_t even[4],
                                 int32_t odd[4])
{
    const __m128i mask = _mm_set1_epi16(0xff);
    __m128i low = rows == 4 ? _mm_loadu_si128((const __m128i *)values)
                            : _mm_loadl_epi64((const __m128i *)values);
    __m128i high = rows == 4 ? _mm_loadu_si128((const __m128i *)(values + plane))
                             : _mm_loadl_epi64((const __m128i *)(values + plane));
    _mm_store_si128((__m128i *)even,
                    _mm_or_si128(_mm_and_si128(low, mask), _mm_slli_epi16(high, 8)));
    _mm_store_si128((__m128i *)odd,
                    _mm_or_si128(_mm_srli_epi16(low, 8), _mm_andnot_si128(mask, high)));
}

AVX512_INLINE void step(sums *sum, int rows, bool wide, const char *const at[4],
                        const uint8_t *values, int64_t plane)
{
    __m512i x[4];
    interleave(at, x);
    if (!wide) {
#pragma GCC unroll 4
        for (int v = 0; v < rows; v++) {
            __m512i w = broadcast(values + 4 * v);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++)
                multiply_bytes(&sum->row[v][j], x[j], w);
        }
        return;
    }
    _Alignas(16) int32_t even[4], odd[4];
    __m512i y[4];
    wide_elements(values, plane, rows, even, odd);
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
        y[j] = _mm512_srli_epi16(x[j], 8);
        x[j] = _mm512_and_si512(x[j], _mm512_set1_epi16(0xff));
    }
#pragma GCC unroll 4
    for (int v = 0; v < rows; v++) {
        __m512i w = broadcast(even + v), u = broadcast(odd + v);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            multiply_words(&sum->row[v][j], x[j], w);
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            multiply_words(&sum->row[v][j], y[j], u);
    }
}

/* A transposition of 4 x 4 blocks. */
AVX512_INLINE void finish(const sums *sum, int rows, int32_t *to, int columns, bool more)
{
    (void)more; /* a strip is one pass */
#pragma GCC unroll 4
    for (int v = 0; v < rows; v++, to += 64) {
        const __m512i *s = sum->row[v];
        __m512i a = _mm512_shuffle_i32x4(s[0], s[1], 0x44);
        __m512i b = _mm512_shuffle_i32x4(s[2], s[3], 0x44);
        __m512i c = _mm512_shuffle_i32x4(s[0], s[1], 0xee);
        __m512i d = _mm512_shuffle_i32x4(s[2], s[3], 0xee);
        _mm512_storeu_si512(to, _mm512_shuffle_i32x4(a, b, 0x88));
        if (columns > 16)
            _mm512_storeu_si512(to + 16, _mm512_shuffle_i32x4(a, b, 0xdd));
        if (columns > 32)
            _mm512_storeu_si512(to + 32, _mm512_shuffle_i32x4(c, d, 0x88));
        if (columns > 48)
            _mm512_storeu_si512(to + 48, _mm512_shuffle_i32x4(c, d, 0xdd));
    }
}

/* Bytes: a sum for each row. Words: two, of the first and the last two elements. */
typedef struct dot_sums {
    __m256i of[2];
} dot_sums;

AVX512_INLINE void dot_begin(dot_sums *sum)
{
    sum->of[0] = sum->of[1] = _mm256_setzero_si256();
}

AVX512_INLINE __m256i load_rows(const uint8_t *values, int v)
{
    return v == 8   ? _mm256_loadu_si256((const __m256i *)values)
           : v == 4 ? _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)values))
           : v == 2 ? _mm256_castsi128_si256(_mm_loadl_epi64((const __m128i *)values))
                    : _mm256_castsi128_si256(_mm_loadu_si32(values));
}

AVX512_INLINE void dot_step(dot_sums *sum, int v, bool wide, uint32_t four, const uint8_t *values)
{
    if (!wide) {
        __m256i x = _mm256_set1_epi32((int)four);
        sum->of[0] = _mm256_dpbusd_epi32(sum->of[0], x, load_rows(values, v));
        return;
    }
    __m256i x = _mm256_cvtepu8_epi16(_mm_set1_epi32((int)four));
#pragma GCC unroll 2
    for (int i = 0; i < v; i += 4) {
        int part = v == 2 ? 2 : 4;
        __m128i low = _mm256_castsi256_si128(load_rows(values + 4 * i, part));
        __m128i high = _mm256_castsi256_si128(load_rows(values + 4 * (v + i), part));
        __m256i w = _mm256_set_m128i(_mm_unpackhi_epi8(low, high), _mm_unpacklo_epi8(low, high));
        sum->of[i / 4] = _mm256_dpwssd_epi32(sum->of[i / 4], x, w);
    }
}

AVX512_INLINE void dot_end(const dot_sums *sum, int v, bool wide, int32_t *to)
{
    _Alignas(32) int32_t all[16];
    _mm256_store_si256((__m256i *)all, sum->of[0]);
    _mm256_store_si256((__m256i *)(all + 8), sum->of[1]);
    for (int i = 0; i < v; i++)
        to[i] = wide ? (int32_t)((uint32_t)all[2 * i] + (uint32_t)all[2 * i + 1]) : all[i];
}

#define MOVES         lac_panel_moves_avx512
#define COLUMNS(rows) 64
#define BLOCK         INT32_MAX
/* Measured on one core of an AMD EPYC (family 25, model 17), activations in L2. */
#define SECONDS(v, wide)                                                                           \
    ((v) == 1 ? 1 / 105e9 : (v) == 2 ? 1 / ((wide) ? 86e9 : 190e9) : 1 / ((wide) ? 100e9 : 226e9))
#define SECONDS_STRIP        1e-8
#define SECONDS_DOT(v, wide) ((v) == 1 ? 1.75e-9 : (wide) ? 1.5e-9 : 1.25e-9)
#include "cpu/gemm_vectors.inc"

LAC_PANEL_ROWS(sr_bcrs_u8_avx512vnni, "sr-bcrs", LAC_U8,
               LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI, sr_bcrs,
               "column vectors, uint8 activations, VNNI")
LAC_PANEL_ROWS(sr_bcrs_s8_avx512vnni, "sr-bcrs", LAC_I8,
               LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI, sr_bcrs,
               "column vectors, int8 activations, VNNI")
LAC_PANEL_ROWS(delta_u8_avx512vnni, "delta", LAC_U8, LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI,
               delta, "int8 non-zeros with byte distances, uint8 activations, VNNI")
LAC_PANEL_ROWS(delta_s8_avx512vnni, "delta", LAC_I8, LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI,
               delta, "int8 non-zeros with byte distances, int8 activations, VNNI")
#endif
