/* EIE's columns with AVX2: sixteen entries decoded in registers. */
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#include <string.h>

#define DECODE              decode
#define SECONDS_PER_ENTRY   0.4e-9
#define SECONDS_PER_PRODUCT 0.05e-9

static inline int decode_sixteen(const unsigned char *entry, int count, int row, int *rows,
                                 float *values, const float *book);
#define decode(w, entry, count, row, rows, values)                                                 \
    decode_sixteen((const unsigned char *)(w)->packed->field[ENTRIES].data + (entry), count, row,  \
                   rows, values, (w)->book)

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

LAC_PACKED_ROWS(eie_csc_f32_avx2, "eie-csc", LAC_F32, LAC_ISA_AVX2, csc,
                "sparse columns, driven by activations, decoded in registers")
#endif
