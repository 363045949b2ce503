/* Ceilings with AVX2 and FMA. There is no exact sum of byte products: bytes are widened to 16 bits,
 * vpmaddwd adds pairs of products, vpaddd adds those up. */
#include "cpu/ceiling.h"

#include <immintrin.h>
#include <lacuna/kernel.h>

#define NAME(x) x##_avx2
#define INTEGER             __m256i
#define INTEGER_REGISTER    "x"
#define INTEGER_ADD(a, b)   _mm256_add_epi64(a, b)
#define FLOAT               __m256
#define FLOAT_REGISTER      "x"
#define FLOAT_ONE           _mm256_set1_ps(1)
#define FLOAT_STEP(s, a, b) _mm256_fmadd_ps(s, a, b)
#define FLOAT_OPERATIONS    (8 * 2)
#define BYTES               __m256i
#define BYTES_REGISTER      "x"
#define BYTES_ONE           _mm256_set1_epi16(1)
#define BYTES_STEP(s, a, b) _mm256_add_epi32(_mm256_madd_epi16(s, a), b)
#define BYTES_OPERATIONS    (16 * 2)
#include "cpu/ceiling_body.inc"

const lac_ceiling lac_ceiling_avx2 = {
    .name = "avx2", .isa = LAC_ISA_AVX2, .read = read_avx2, .f32 = f32_avx2, .i8 = i8_avx2};
