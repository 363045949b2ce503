/* Weights of few bits with AVX-512: int8 widened to float, 16-entry tables looked up in a register,
 * larger ones gathered. */
#if defined(__AVX512VNNI__)
#include <immintrin.h>

#include "cpu/codes_image.h"

#define COLUMNS              16
#define ROWS                 8
#define HALVES               1
#define VECTOR               __m512
#define VECTOR_ZERO          _mm512_setzero_ps()
#define VECTOR_STORE(to, v)  _mm512_storeu_ps(to, v)
#define STEP(sum, x, v)      _mm512_fmadd_ps(_mm512_set1_ps(x), v, sum)
#define TABLE                __m512
#define TABLE_LOAD(floats)   _mm512_loadu_ps(floats)
#define DECODE               decode
#define SECONDS(mode)        0.27e-9
#define SECONDS_DECODE(mode) ((mode) == LAC_CODES_TABLE ? 5.3e-9 : 0.2e-9)

static inline __attribute__((always_inline)) __m512 decode(const __m512 *table,
                                                           const lac_codes_image *image,
                                                           const uint8_t *code, int high,
                                                           lac_codes_mode mode)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)code);
    if (mode == LAC_CODES_INT8)
        return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes));
    __m512i index = _mm512_cvtepu8_epi32(bytes);
    if (mode == LAC_CODES_HALF) /* the permutation looks at the low 4 bits only */
        return _mm512_permutexvar_ps(high ? _mm512_srli_epi32(index, 4) : index, *table);
    return _mm512_i32gather_ps(index, image->table, 4);
}

#include "cpu/gemm_codes.inc"

/* All that the compiler may use in this file. */
#define ISA (LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI)
LAC_PACKED_ROWS(codebook_f32_avx512, "codebook", LAC_F32, ISA, codes,
                "codes looked up in registers")
LAC_PACKED_ROWS(int8_f32_avx512, "int8", LAC_F32, ISA, codes, "int8 weights widened in registers")
#endif
