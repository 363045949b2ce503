/* Attention with AVX2 and FMA. */
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define VECTOR       __m256
#define LANES        8
#define ROWS         6
#define FMA(a, b, c) _mm256_fmadd_ps(a, b, c)
#define NAME         "attention_dense_f32_avx2"
#define ISA          LAC_ISA_AVX2
#define ROW          lac_kernel_attention_avx2
#include "cpu/attention_body.inc"
#endif
