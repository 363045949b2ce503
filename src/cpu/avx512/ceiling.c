/* Ceilings with AVX-512: vfmadd, vpdpbusd (four byte products a lane), vdpbf16ps (two a lane). */
#include "cpu/ceiling.h"

#include <immintrin.h>
#include <lacuna/kernel.h>

#define NAME(x) x##_avx512
#define INTEGER             __m512i
#define INTEGER_REGISTER    "v"
#define INTEGER_ADD(a, b)   _mm512_add_epi64(a, b)
#define FLOAT               __m512
#define FLOAT_REGISTER      "v"
#define FLOAT_ONE           _mm512_set1_ps(1)
#define FLOAT_STEP(s, a, b) _mm512_fmadd_ps(s, a, b)
#define FLOAT_OPERATIONS    (16 * 2)
#define BYTES               __m512i
#define BYTES_REGISTER      "v"
#define BYTES_ONE           _mm512_set1_epi8(1)
#define BYTES_STEP(s, a, b) _mm512_dpbusd_epi32(s, a, b)
#define BYTES_OPERATIONS    (64 * 2)
#include "cpu/ceiling_body.inc"

/* One function needs more than its file may use. */
#define BF16_STEP(s, a, b) _mm512_dpbf16_ps(s, (__m512bh)(a), (__m512bh)(b))
CEILING_LOOP(__attribute__((target("avx512bf16"))), bf16, __m512, "v", _mm512_set1_ps(1), BF16_STEP,
             32 * 2)

const lac_ceiling lac_ceiling_avx512 = {.name = "avx512",
                                        .isa = LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI,
                                        .isa_bf16 = LAC_ISA_BF16,
                                        .read = read_avx512,
                                        .f32 = f32_avx512,
                                        .i8 = i8_avx512,
                                        .bf16 = bf16_avx512};
