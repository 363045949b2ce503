/* int8 weights in blocks with VNNI: one vpdpbusd is a word of weights times 16 columns. Loads of
 * activations are the limit of single rows (one of 64 bytes a cycle, as many as products): the
 * weights of four 1 x 4 blocks are loaded once and spread by shuffles. Four rows share a load. */
#if defined(__AVX512VNNI__)
#include <immintrin.h>

#include "cpu/block_i8.h"

#include <string.h>

static inline __attribute__((always_inline)) __m512i spread(const int8_t *p)
{
    int32_t word;
    memcpy(&word, p, sizeof word);
    return _mm512_set1_epi32(word);
}

#define VECTOR                 __m512i
#define ALL(p)                 _mm512_set1_epi32(*(p))
#define COLUMNS                16
#define BYTES                  __m512i
#define LOAD(p)                _mm512_loadu_si512(p)
#define WORD                   __m512i
#define SPREAD(p)              spread(p)
#define STEP(sum, bytes, word) _mm512_dpbusd_epi32(sum, bytes, word)
#define STORE(p, sum)          _mm512_storeu_si512(p, sum)
#define WIDE(rows)             4

#define ROW block_row

/* Blocks [at, end) of an output of 1 x 4 blocks; the weights of four of them are loaded at once. */
static inline __attribute__((always_inline)) void
block_row(const lac_block_i8 *w, int64_t at, int64_t end, const lac_panel_source *source,
          const bool window, const int32_t *start, int32_t *sums)
{
    const uint16_t *col = w->col + at;
    const int8_t *v = w->values + 4 * at;
    int64_t left = end - at;
    __m512i sum0, sum1, sum2, sum3;
    if (start) {
        sum0 = sum1 = sum2 = sum3 = ALL(start);
    } else {
        sum0 = _mm512_loadu_si512(sums);
        sum1 = _mm512_loadu_si512(sums + 16);
        sum2 = _mm512_loadu_si512(sums + 32);
        sum3 = _mm512_loadu_si512(sums + 48);
    }
#define BLOCK(i, word)                                                                             \
    do {                                                                                           \
        const char *x = lac_block_i8_at(source, window, col[i]);                                   \
        __m512i words = word;                                                                      \
        sum0 = STEP(sum0, LOAD(x), words);                                                         \
        sum1 = STEP(sum1, LOAD(x + 64), words);                                                    \
        sum2 = STEP(sum2, LOAD(x + 128), words);                                                   \
        sum3 = STEP(sum3, LOAD(x + 192), words);                                                   \
    } while (0)
    for (; left >= 4; left -= 4, col += 4, v += 16) {
        __m512i all = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)v));
        BLOCK(0, _mm512_shuffle_epi32(all, 0x00));
        BLOCK(1, _mm512_shuffle_epi32(all, 0x55));
        BLOCK(2, _mm512_shuffle_epi32(all, 0xaa));
        BLOCK(3, _mm512_shuffle_epi32(all, 0xff));
    }
    for (; left > 0; left--, col++, v += 4)
        BLOCK(0, spread(v));
#undef BLOCK
    STORE(sums, sum0);
    STORE(sums + 16, sum1);
    STORE(sums + 32, sum2);
    STORE(sums + 48, sum3);
}

/* The first of the blocks [at, end) of a row in column `limit` or behind. */
static inline __attribute__((always_inline)) int64_t
block_row_end(const lac_block_i8 *w, int64_t at, int64_t end, int64_t limit)
{
    for (; at < end; at += 32) {
        int64_t left = end - at;
        __mmask32 inside = left >= 32 ? 0xffffffffu : (1u << left) - 1;
        __mmask32 before = _mm512_mask_cmplt_epu16_mask(
            inside, _mm512_maskz_loadu_epi16(inside, w->col + at), _mm512_set1_epi16((short)limit));
        if (before != 0xffffffffu)
            return at + __builtin_popcount(before);
    }
    return end;
}
#define ROW_END block_row_end

#include "cpu/block_i8.inc"

/* ---- one token --------------------------------------------------------------------------------
 */

static inline __attribute__((always_inline)) int32_t word_at(const uint8_t *x, int64_t col)
{
    int32_t word;
    memcpy(&word, x + 4 * col, sizeof word);
    return word;
}

/* The words of activations that four blocks from col on meet. Loads are the limit: the columns come
 * in one. */
static inline __attribute__((always_inline)) __m128i four(const uint8_t *x, const uint16_t *col)
{
    uint64_t c;
    memcpy(&c, col, sizeof c);
    __m128i a = _mm_cvtsi32_si128(word_at(x, (uint16_t)c));
    __m128i b = _mm_cvtsi32_si128(word_at(x, (uint16_t)(c >> 32)));
    a = _mm_insert_epi32(a, word_at(x, (uint16_t)(c >> 16)), 1);
    b = _mm_insert_epi32(b, word_at(x, (int64_t)(c >> 48)), 1);
    return _mm_unpacklo_epi64(a, b);
}

enum { AHEAD = 1024 }; /* bytes that the weights are fetched ahead */

/* One row of 1 x 4 blocks. The last few are a whole vector of columns, those behind them of other
 * rows, with weights of zero: a branch less to mispredict; `safe` says that so many columns follow.
 */
static int32_t dot_row(const int8_t *v, const uint16_t *col, int64_t left, bool safe,
                       const uint8_t *x)
{
    __m512i sum = _mm512_setzero_si512();
    __m128i rest = _mm_setzero_si128();
    for (int64_t reach = safe ? 1 : 16; left >= reach; left -= 16, col += 16, v += 64) {
        _mm_prefetch((const char *)v + AHEAD, _MM_HINT_T0);
        __mmask16 inside = left >= 16 ? 0xffff : (__mmask16)((1u << left) - 1);
        __m256i low = _mm256_set_m128i(four(x, col + 4), four(x, col));
        __m256i high = _mm256_set_m128i(four(x, col + 12), four(x, col + 8));
        __m512i bytes = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
        sum = _mm512_dpbusd_epi32(sum, bytes, _mm512_maskz_loadu_epi32(inside, v));
    }
    for (; left > 0; left--, col++, v += 4)
        rest = _mm_dpbusd_epi32(rest, _mm_cvtsi32_si128(word_at(x, *col)),
                                _mm_cvtsi32_si128(word_at((const uint8_t *)v, 0)));
    return _mm512_reduce_add_epi32(_mm512_add_epi32(sum, _mm512_zextsi128_si512(rest)));
}

/* A strip of 4 x 4 blocks: four of them at once. */
static __m128i dot_four(const int8_t *v, const uint16_t *col, int64_t left, const uint8_t *x)
{
    const __m512i lanes = _mm512_set_epi32(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    __m512i sum = _mm512_setzero_si512(), more = sum;
    for (; left >= 8; left -= 8, col += 8, v += 128) {
        _mm_prefetch((const char *)v + AHEAD, _MM_HINT_T0);
        _mm_prefetch((const char *)v + AHEAD + 64, _MM_HINT_T0);
        __m512i a = _mm512_permutexvar_epi32(lanes, _mm512_castsi128_si512(four(x, col)));
        __m512i b = _mm512_permutexvar_epi32(lanes, _mm512_castsi128_si512(four(x, col + 4)));
        sum = _mm512_dpbusd_epi32(sum, a, _mm512_loadu_si512(v));
        more = _mm512_dpbusd_epi32(more, b, _mm512_loadu_si512(v + 64));
    }
    sum = _mm512_add_epi32(sum, more);
    __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1));
    __m128i quarter =
        _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    for (; left > 0; left--, col++, v += 16)
        quarter = _mm_dpbusd_epi32(quarter, _mm_set1_epi32(word_at(x, *col)),
                                   _mm_loadu_si128((const __m128i *)v));
    return quarter;
}

/* Rows 16 i .. of a strip of blocks of `bytes` bytes. */
static __m512i dot_sixteen(const int8_t *v, int64_t bytes, const uint16_t *col, int64_t left,
                           const uint8_t *x)
{
    __m512i sum = _mm512_setzero_si512(), more = sum;
    for (; left >= 2; left -= 2, col += 2, v += 2 * bytes) {
        _mm_prefetch((const char *)v + AHEAD, _MM_HINT_T0);
        _mm_prefetch((const char *)v + AHEAD + bytes, _MM_HINT_T0);
        sum =
            _mm512_dpbusd_epi32(sum, _mm512_set1_epi32(word_at(x, col[0])), _mm512_loadu_si512(v));
        more = _mm512_dpbusd_epi32(more, _mm512_set1_epi32(word_at(x, col[1])),
                                   _mm512_loadu_si512(v + bytes));
    }
    if (left)
        sum =
            _mm512_dpbusd_epi32(sum, _mm512_set1_epi32(word_at(x, col[0])), _mm512_loadu_si512(v));
    return _mm512_add_epi32(sum, more);
}

static void dot(const lac_packed *packed, int64_t begin, int64_t end, const void *x, void *sums)
{
    lac_block_i8 w = lac_block_i8_of(packed);
    int32_t *sum = sums;
    bool sixteen = w.r % 16 == 0 && w.quads == 1;
    const int64_t blocks = packed->field[1].dims[0];
    if (w.quads != 1 || begin % w.r || (w.r != 1 && w.r != 4 && !sixteen)) {
        lac_block_i8_dot(packed, begin, end, x, sums);
        return;
    }
    for (int64_t n = begin; n < end; n += w.r) {
        int64_t strip = n / w.r, first = w.start[strip], left = w.start[strip + 1] - first;
        const int8_t *v = w.values + first * w.bytes;
        const uint16_t *col = w.col + first;
        _Alignas(64) int32_t rows[64];
        if (w.r == 1)
            rows[0] = dot_row(v, col, left, first + left + 16 <= blocks, x);
        else if (w.r == 4)
            _mm_store_si128((__m128i *)rows, dot_four(v, col, left, x));
        else
            for (int64_t i = 0; i < w.r; i += 16)
                _mm512_store_si512(rows + i, dot_sixteen(v + 4 * i, w.bytes, col, left, x));
        memcpy(sum + (n - begin), rows, (size_t)(end - n < w.r ? end - n : w.r) * sizeof *rows);
    }
}

/* Measured on one core of an AMD EPYC (family 25, model 17): a vpdpbusd of single rows (its load is
 * the limit) and of rows that share loads, a row's start and end; a byte of weights for one token
 * from a cache, by height of the blocks, and from memory. */
#define SECONDS_SINGLE   0.325e-9
#define SECONDS_SHARED   0.275e-9
#define SECONDS_ROW      4e-9
#define SECONDS_BYTE_1X4 0.042e-9
#define SECONDS_BYTE     0.018e-9
#define SECONDS_BYTE_FAR 0.04e-9
#include "cpu/block_i8_seconds.inc"

static const lac_panel_family family = {
    .layout = LAC_LAYOUT_QUADS,
    .integer = true,
    .dtypes = LAC_BIT(LAC_I8),
    .outputs = 64,
    .moves = &lac_panel_moves_avx512,
    .tile = block_tile,
    .starts = true,
    .dot = dot,
    .sum = lac_block_i8_sum,
    .can_run = lac_block_i8_can_run,
    .seconds = seconds,
};
#define ISA (LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI)
LAC_PANEL_FAMILY(family)
LAC_PANEL_ROWS(block_u8_avx512vnni, "block", LAC_U8, ISA, family, "int8 blocks, VNNI")
LAC_PANEL_ROWS(block_s8_avx512vnni, "block", LAC_I8, ISA, family, "int8 blocks, VNNI")
#endif
