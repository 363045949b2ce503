/* Vectors of eight floats for the attention kernels; what the body wants is in attention_body.inc.
 */
#ifndef LACUNA_CPU_ATTENTION_AVX2_H
#define LACUNA_CPU_ATTENTION_AVX2_H

#include <immintrin.h>
#include <stdint.h>

typedef int32_t eight_ints __attribute__((vector_size(32)));

#define VECTOR        __m256
#define INTS          eight_ints
#define LANES         8
#define ROWS          6
#define COLS          2
#define MAXIMUM(a, b) _mm256_max_ps(a, b)
#define ISA           LAC_ISA_AVX2

#endif
