/* Attention with AVX2 and FMA. */
#if defined(__AVX2__) && defined(__FMA__)
#include "cpu/attention_avx2.h"
#define INTEGERS              0
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define NAME                  "attention_dense_f32_avx2"
#define ROW                   lac_kernel_attention_avx2
#include "cpu/attention_body.inc"
#endif
