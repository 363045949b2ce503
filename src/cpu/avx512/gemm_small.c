/* Few tokens times dense int8 weights with VNNI: 64 products an instruction, far above what memory
 * delivers. */
#if defined(__AVX512VNNI__)
#include <immintrin.h>

#define VECTOR              __m512i
#define ZERO                _mm512_setzero_si512()
#define ADD(a, b)           _mm512_add_epi32(a, b)
#define TOTAL(v)            _mm512_reduce_add_epi32(v)
#define BYTES               64
#define WEIGHTS             __m512i
#define LOAD(p)             _mm512_loadu_si512(p)
#define LOAD_PART(p, count) _mm512_maskz_loadu_epi8(~UINT64_C(0) >> (64 - (count)), p)
#define ONES                ones
#define TIMES(sum, x, w)    _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(x), w)
#define SECONDS_BYTE        0.02e-9
#define SECONDS_BYTE_FAR    0.04e-9

static const _Alignas(64) unsigned char ones[64] = {
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

#include "cpu/gemm_small.inc"

#define ISA (LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI)
SMALL_ROW(dense_u8_small_avx512vnni, LAC_U8, ISA)
SMALL_ROW(dense_s8_small_avx512vnni, LAC_I8, ISA)
#endif
