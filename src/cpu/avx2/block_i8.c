/* int8 weights in blocks with AVX2: bytes 0 and 2 of a word, then 1 and 3, as 16-bit numbers times
 * the same weights by vpmaddwd. Every sum of two products fits 32 bits; vpmaddubsw would saturate.
 */
#if defined(__AVX2__)
#include <immintrin.h>

#include "cpu/block_i8.h"

#include <string.h>

typedef struct pair {
    __m256i even, odd; /* bytes 0 and 2, bytes 1 and 3 of each word */
} pair;

#define INLINE static inline __attribute__((always_inline))

INLINE pair bytes_of(__m256i x)
{
    return (pair){_mm256_and_si256(x, _mm256_set1_epi16(255)), _mm256_srli_epi16(x, 8)};
}

INLINE pair word_of(__m256i w)
{
    return (pair){_mm256_srai_epi16(_mm256_slli_epi16(w, 8), 8), _mm256_srai_epi16(w, 8)};
}

INLINE int32_t word_at(const void *p, int64_t index)
{
    int32_t word;
    memcpy(&word, (const char *)p + 4 * index, sizeof word);
    return word;
}

INLINE __m256i step(__m256i sum, pair bytes, pair word)
{
    __m256i even = _mm256_madd_epi16(bytes.even, word.even);
    __m256i odd = _mm256_madd_epi16(bytes.odd, word.odd);
    return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}

#define VECTOR                 __m256i
#define ALL(p)                 _mm256_set1_epi32(*(p))
#define COLUMNS                8
#define BYTES                  pair
#define LOAD(p)                bytes_of(_mm256_loadu_si256((const __m256i *)(p)))
#define WORD                   pair
#define SPREAD(p)              word_of(_mm256_set1_epi32(word_at(p, 0)))
#define STEP(sum, bytes, word) step(sum, bytes, word)
#define STORE(p, sum)          _mm256_storeu_si256((__m256i *)(p), sum)
#define WIDE(rows)             ((rows) == 1 ? 8 : (rows) == 2 ? 4 : 2)

#include "cpu/block_i8.inc"

/* ---- one token --------------------------------------------------------------------------------
 */

/* Two words of each of four outputs, or eight blocks of one. */
INLINE __m256i words_of(__m128i low, __m128i high)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

/* The words of activations that four blocks from col on meet. Loads are the limit: the columns come
 * in one. */
INLINE __m128i four(const uint8_t *x, const uint16_t *col)
{
    uint64_t c;
    memcpy(&c, col, sizeof c);
    __m128i a = _mm_cvtsi32_si128(word_at(x, (uint16_t)c));
    __m128i b = _mm_cvtsi32_si128(word_at(x, (uint16_t)(c >> 32)));
    a = _mm_insert_epi32(a, word_at(x, (uint16_t)(c >> 16)), 1);
    b = _mm_insert_epi32(b, word_at(x, (int64_t)(c >> 48)), 1);
    return _mm_unpacklo_epi64(a, b);
}

INLINE __m128i halves(__m256i sum)
{
    return _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
}

enum { AHEAD = 1024 }; /* bytes that the weights are fetched ahead */

/* One row of 1 x 4 blocks. */
static int32_t dot_row(const int8_t *v, const uint16_t *col, int64_t left, const uint8_t *x)
{
    __m256i sum = _mm256_setzero_si256();
    for (; left >= 8; left -= 8, col += 8, v += 32) {
        _mm_prefetch((const char *)v + AHEAD, _MM_HINT_T0);
        sum = step(sum, bytes_of(words_of(four(x, col), four(x, col + 4))),
                   word_of(_mm256_loadu_si256((const __m256i *)v)));
    }
    for (; left > 0; left--, col++, v += 4)
        sum = step(sum, bytes_of(_mm256_castsi128_si256(_mm_cvtsi32_si128(word_at(x, *col)))),
                   word_of(_mm256_zextsi128_si256(_mm_cvtsi32_si128(word_at(v, 0)))));
    __m128i s = halves(sum);
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32(s, 0xb1)));
}

/* Four rows of a strip of blocks of `bytes` bytes. */
static __m128i dot_four(const int8_t *v, int64_t bytes, const uint16_t *col, int64_t left,
                        const uint8_t *x)
{
    __m256i sum = _mm256_setzero_si256();
    for (; left >= 2; left -= 2, col += 2, v += 2 * bytes) {
        _mm_prefetch((const char *)v + AHEAD, _MM_HINT_T0);
        __m256i both = words_of(_mm_loadu_si128((const __m128i *)v),
                                _mm_loadu_si128((const __m128i *)(v + bytes)));
        __m256i a =
            words_of(_mm_set1_epi32(word_at(x, col[0])), _mm_set1_epi32(word_at(x, col[1])));
        sum = step(sum, bytes_of(a), word_of(both));
    }
    if (left)
        sum = step(sum, bytes_of(_mm256_set1_epi32(word_at(x, *col))),
                   word_of(_mm256_zextsi128_si256(_mm_loadu_si128((const __m128i *)v))));
    return halves(sum);
}

static void dot(const lac_packed *packed, int64_t begin, int64_t end, const void *x, void *sums)
{
    lac_block_i8 w = lac_block_i8_of(packed);
    int32_t *sum = sums;
    if (w.quads != 1 || begin % w.r || (w.r != 1 && w.r % 4)) {
        lac_block_i8_dot(packed, begin, end, x, sums);
        return;
    }
    for (int64_t n = begin; n < end; n += w.r) {
        int64_t strip = n / w.r, first = w.start[strip], left = w.start[strip + 1] - first;
        const int8_t *v = w.values + first * w.bytes;
        const uint16_t *col = w.col + first;
        _Alignas(16) int32_t rows[64];
        if (w.r == 1)
            rows[0] = dot_row(v, col, left, x);
        else
            for (int64_t i = 0; i < w.r; i += 4)
                _mm_store_si128((__m128i *)(rows + i), dot_four(v + 4 * i, w.bytes, col, left, x));
        memcpy(sum + (n - begin), rows, (size_t)(end - n < w.r ? end - n : w.r) * sizeof *rows);
    }
}

/* Measured on one core of an AMD EPYC (family 25, model 17): a word of weights times 8 columns, of
 * single rows and of rows that share loads, a row's start and end; a byte of weights for one token.
 */
#define SECONDS_SINGLE   0.55e-9
#define SECONDS_SHARED   0.47e-9
#define SECONDS_ROW      6e-9
#define SECONDS_BYTE_1X4 0.05e-9
#define SECONDS_BYTE     0.046e-9
#define SECONDS_BYTE_FAR 0.05e-9
#include "cpu/block_i8_seconds.inc"

static const lac_panel_family family = {
    .layout = LAC_LAYOUT_QUADS,
    .integer = true,
    .dtypes = LAC_BIT(LAC_I8),
    .outputs = 64,
    .moves = &lac_panel_moves_avx2,
    .tile = block_tile,
    .starts = true,
    .dot = dot,
    .sum = lac_block_i8_sum,
    .can_run = lac_block_i8_can_run,
    .seconds = seconds,
};
LAC_PANEL_FAMILY(family)
LAC_PANEL_ROWS(block_u8_avx2, "block", LAC_U8, LAC_ISA_AVX2, family, "int8 blocks, AVX2")
LAC_PANEL_ROWS(block_s8_avx2, "block", LAC_I8, LAC_ISA_AVX2, family, "int8 blocks, AVX2")
#endif
