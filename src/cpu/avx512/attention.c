/* Attention with AVX-512. */
#if defined(__AVX512F__)
#include "cpu/attention_avx512.h"
#define INTEGERS              0
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define ISA                   LAC_ISA_AVX512
#define NAME                  "attention_dense_f32_avx512"
#define ROW                   lac_kernel_attention_avx512
#include "cpu/attention_body.inc"
#endif
