/* EIE's columns with AVX-512: sixteen entries decoded in registers. */
#if defined(__AVX512VNNI__)
#include <immintrin.h>

#define DECODE              decode
#define SECONDS_PER_ENTRY   0.65e-9
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
    __m128i v = count == 16 ? _mm_loadu_si128((const __m128i *)entry)
                            : _mm_maskz_loadu_epi8((__mmask16)((1u << count) - 1), entry);
    __m128i sum = _mm_and_si128(_mm_srli_epi16(v, 4), _mm_set1_epi8(15));
    __m128i lane = _mm_setr_epi8(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16);
    sum = _mm_add_epi8(sum, _mm_slli_si128(sum, 1));
    sum = _mm_add_epi8(sum, _mm_slli_si128(sum, 2));
    sum = _mm_add_epi8(sum, _mm_slli_si128(sum, 4));
    sum = _mm_add_epi8(sum, _mm_slli_si128(sum, 8));
    __m512i at = _mm512_add_epi32(_mm512_cvtepu8_epi32(sum), _mm512_cvtepu8_epi32(lane));
    _mm512_storeu_si512(rows, _mm512_add_epi32(at, _mm512_set1_epi32(row)));
    _mm512_storeu_ps(values, _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(v), _mm512_loadu_ps(book)));
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
    __m512 values = _mm512_mul_ps(
        _mm512_set1_ps(x), _mm512_permutexvar_ps(_mm512_cvtepu8_epi32(v), _mm512_loadu_ps(book)));
    float *base = sum + row + 1;
#define FOUR(q)                                                                                    \
    do {                                                                                           \
        __m128 f = _mm512_extractf32x4_ps(values, q);                                              \
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

LAC_PACKED_ROWS(eie_csc_f32_avx512, "eie-csc", LAC_F32,
                LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI, csc,
                "sparse columns, driven by activations, decoded in registers")
#endif
