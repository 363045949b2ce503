/* Attention with AVX-512. */
#if defined(__AVX512F__)
#include <immintrin.h>
#define VECTOR       __m512
#define LANES        16
#define ROWS         8
#define FMA(a, b, c) _mm512_fmadd_ps(a, b, c)
#define NAME         "attention_dense_f32_avx512"
#define ISA          LAC_ISA_AVX512
#define ROW          lac_kernel_attention_avx512
#include "cpu/attention_body.inc"
#endif
