/* Weights of few bits with AVX2: int8 widened to float, 16-entry tables looked up in two registers,
 * larger ones gathered. */
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

#include "cpu/codes_image.h"

typedef struct codes_table {
    __m256 low, high; /* entries 0..7, 8..15 */
} codes_table;

#define COLUMNS             8
#define ROWS                8
#define HALVES              1
#define VECTOR              __m256
#define VECTOR_ZERO         _mm256_setzero_ps()
#define VECTOR_STORE(to, v) _mm256_storeu_ps(to, v)
#define STEP(sum, x, v)     _mm256_fmadd_ps(_mm256_set1_ps(x), v, sum)
#define TABLE               codes_table
#define TABLE_LOAD(floats)                                                                         \
    {                                                                                              \
        _mm256_loadu_ps(floats), _mm256_loadu_ps((floats) + 8)                                     \
    }
#define DECODE        decode
#define SECONDS(mode) 0.15e-9
#define SECONDS_DECODE(mode)                                                                       \
    ((mode) == LAC_CODES_TABLE ? 2.5e-9 : (mode) == LAC_CODES_HALF ? 0.4e-9 : 0.14e-9)

static inline __attribute__((always_inline)) __m256 decode(const codes_table *table,
                                                           const lac_codes_image *image,
                                                           const uint8_t *code, int high,
                                                           lac_codes_mode mode)
{
    __m128i bytes = _mm_loadl_epi64((const __m128i *)code);
    if (mode == LAC_CODES_INT8)
        return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
    __m256i index = _mm256_cvtepu8_epi32(bytes);
    if (mode == LAC_CODES_TABLE)
        return _mm256_i32gather_ps(image->table, index, 4);
    if (high)
        index = _mm256_srli_epi32(index, 4);
    return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table->low, index),
                            _mm256_permutevar8x32_ps(table->high, index),
                            _mm256_castsi256_ps(_mm256_slli_epi32(index, 28)));
}

#include "cpu/gemm_codes.inc"

LAC_PACKED_ROWS(codebook_f32_avx2, "codebook", LAC_F32, LAC_ISA_AVX2, codes,
                "codes looked up in registers")
LAC_PACKED_ROWS(int8_f32_avx2, "int8", LAC_F32, LAC_ISA_AVX2, codes,
                "int8 weights widened in registers")
#endif
