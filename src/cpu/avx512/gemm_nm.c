/* N:M products with AVX-512 VNNI, without VBMI. */
#if defined(__AVX512VNNI__)
#define NAME(x) nm_bytes_##x
#define VBMI    0
#include "cpu/avx512/gemm_nm_bytes.inc"

#define nm_bytes_STEP 0.42e-9 /* measured by bench/packed.c */
#define ISA (LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI)
LAC_NM_ROWS(nm_s8_avx512vnni, LAC_I8, ISA, nm_bytes, "N:M int8, byte shuffles and VNNI")
LAC_NM_ROWS(nm_u8_avx512vnni, LAC_U8, ISA, nm_bytes, "N:M uint8, byte shuffles and VNNI")
#endif
