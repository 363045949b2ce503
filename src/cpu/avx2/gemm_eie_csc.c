/* EIE's columns with AVX2: sixteen entries decoded in registers. */
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#include <string.h>

#define DECODE              decode
#define SECONDS_PER_ENTRY   0.62e-9
#define SECONDS_PER_PRODUCT 0.14e-9

static inline int decode_sixteen(const unsigned char *entry, int count, int row, int *rows,
                                 float *values, const float *book);
#define decode(w, entry, count, row, rows, values)                                                 \
    decode_sixteen((const unsigned char *)(w)->packed->field[ENTRIES].data + (entry), count, row,  \
                   rows, values, (w)->book)

#define ADD(w, entry, row, x, sum)                                                                 \
    add_sixteen((const unsigned char *)(w)->packed->field[ENTRIES].data + (entry), row, x, sum,    \
                (w)->book)
static inline int add_sixteen(const unsigned char *entry, int row, float x, float *sum,
                              const float *book);

#include "cpu/gemm_eie_csc.inc"

/* Runs are 15 at most, so that sums of sixteen fit a byte. */
static inline __attribute__((always_inline)) int decode_sixteen(const unsigned char *entry,
                                                                int count, int row, int *rows,
                                                                float *values, const float *book)
{
    unsigned char some[16] = {0};
    if (count < 16)
        entry = memcpy(some, entry, (size_t)count);
    __m128i v = _mm_loadu_si128((const __m128i *)entry);
    __m128i sum = _mm_and_si128(_mm_srli_epi16(v, 4), _mm_set1_epi8(15));
    __m256i lane = _mm256_setr_epi32(1, 2, 3, 4, 5, 6, 7, 8), base = _mm256_set1_epi32(row);
    __m256 low = _mm256_loadu_ps(book), high = _mm256_loadu_ps(book + 8);
    sum = _mm_add_epi8(sum, _mm_slli_si128(sum, 1));
    sum = _mm_add_epi8(sum, _mm_slli_si128(sum, 2));
    sum = _mm_add_epi8(sum, _mm_slli_si128(sum, 4));
    sum = _mm_add_epi8(sum, _mm_slli_si128(sum, 8));
    for (int h = 0; h < 2; h++) {
        __m128i half = h ? _mm_unpackhi_epi64(sum, sum) : sum;
        __m256i code = _mm256_cvtepu8_epi32(h ? _mm_unpackhi_epi64(v, v) : v);
        __m256i at = _mm256_add_epi32(_mm256_cvtepu8_epi32(half), lane);
        at = _mm256_add_epi32(at, _mm256_add_epi32(base, _mm256_set1_epi32(8 * h)));
        _mm256_storeu_si256((__m256i *)(rows + 8 * h), at);
        _mm256_storeu_ps(values + 8 * h,
                         _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, code),
                                          _mm256_permutevar8x32_ps(high, code),
                                          _mm256_castsi256_ps(_mm256_slli_epi32(code, 28))));
    }
    return row + 16 + _mm_extract_epi8(sum, 15);
}

static inline __attribute__((always_inline)) int add_sixteen(const unsigned char *entry, int row,
                                                             float x, float *sum, const float *book)
{
    __m128i v = _mm_loadu_si128((const __m128i *)entry);
    __m128i at = _mm_and_si128(_mm_srli_epi16(v, 4), _mm_set1_epi8(15));
    at = _mm_add_epi8(at, _mm_slli_si128(at, 1));
    at = _mm_add_epi8(at, _mm_slli_si128(at, 2));
    at = _mm_add_epi8(at, _mm_slli_si128(at, 4));
    at = _mm_add_epi8(at, _mm_slli_si128(at, 8));
    unsigned long long place[2] = {(unsigned long long)_mm_cvtsi128_si64(at),
                                   (unsigned long long)_mm_extract_epi64(at, 1)};
    __m256 low = _mm256_loadu_ps(book), high = _mm256_loadu_ps(book + 8), values[2];
    for (int h = 0; h < 2; h++) {
        __m256i code = _mm256_cvtepu8_epi32(h ? _mm_unpackhi_epi64(v, v) : v);
        values[h] = _mm256_mul_ps(
            _mm256_set1_ps(x), _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, code),
                                                _mm256_permutevar8x32_ps(high, code),
                                                _mm256_castsi256_ps(_mm256_slli_epi32(code, 28))));
    }
    float *base = sum + row + 1;
#define FOUR(q)                                                                                    \
    do {                                                                                           \
        __m128 f = _mm256_extractf128_ps(values[(q) / 2], (q) % 2);                                \
        unsigned p = (unsigned)(place[(q) / 2] >> 32 * ((q) % 2));                                 \
        base[4 * (q) + (p & 255)] += _mm_cvtss_f32(f);                                             \
        base[4 * (q) + 1 + (p >> 8 & 255)] += _mm_cvtss_f32(_mm_movehdup_ps(f));                   \
        base[4 * (q) + 2 + (p >> 16 & 255)] += _mm_cvtss_f32(_mm_movehl_ps(f, f));                 \
        base[4 * (q) + 3 + (p >> 24)] += _mm_cvtss_f32(_mm_shuffle_ps(f, f, 3));                   \
    } while (0)
    FOUR(0);
    FOUR(1);
    FOUR(2);
    FOUR(3);
#undef FOUR
    return row + 16 + (int)(place[1] >> 56);
}

LAC_PACKED_ROWS(eie_csc_f32_avx2, "eie-csc", LAC_F32, LAC_ISA_AVX2, csc,
                "sparse columns, driven by activations, decoded in registers")
#endif
