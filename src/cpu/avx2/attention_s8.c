/* Attention of int8 with AVX2: 16-bit elements, whose products no sum of two saturates. */
#if defined(__AVX2__) && defined(__FMA__)
#include "cpu/attention_avx2.h"
#define INTEGERS              1
#define MULTIPLY_ADD(a, b, c) _mm256_fmadd_ps(a, b, c)
#define PER                   2
#define HALF                  int16_t
#define SHIFT                 0
#define DOT(sum, a, b)        ((sum) + (eight_ints)_mm256_madd_epi16((__m256i)(a), (__m256i)(b)))
#define NAME                  "attention_dense_s8_avx2"
#define ROW                   lac_kernel_attention_s8_avx2
#include "cpu/attention_body.inc"
#endif
