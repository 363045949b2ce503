/* Vectors of sixteen floats for the attention kernels; what the body wants is in
 * attention_body.inc. */
#ifndef LACUNA_CPU_ATTENTION_AVX512_H
#define LACUNA_CPU_ATTENTION_AVX512_H

#include <immintrin.h>
#include <stdint.h>

typedef int32_t sixteen_ints __attribute__((vector_size(64)));

#define VECTOR        __m512
#define INTS          sixteen_ints
#define LANES         16
#define ROWS          6
#define COLS          4
#define MAXIMUM(a, b) _mm512_max_ps(a, b)

#endif
