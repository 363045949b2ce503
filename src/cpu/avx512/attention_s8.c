/* Attention of int8 with AVX-512 VNNI: Q becomes uint8 by adding 128, and 128 times the sum of a
 * key comes off its scores. */
#if defined(__AVX512VNNI__)
#include "cpu/attention_avx512.h"
#define INTEGERS              1
#define MULTIPLY_ADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define PER                   4
#define HALF                  uint8_t
#define SHIFT                 128
#define DOT(sum, a, b)                                                                             \
    ((sixteen_ints)_mm512_dpbusd_epi32((__m512i)(sum), (__m512i)(a), (__m512i)(b)))
#define ISA  (LAC_ISA_AVX512 | LAC_ISA_VNNI)
#define NAME "attention_dense_s8_avx512vnni"
#define ROW  lac_kernel_attention_s8_avx512
#include "cpu/attention_body.inc"
#endif
