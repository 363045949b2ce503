/* N:M products of bytes with AVX-512 VNNI and VBMI. */
#if defined(__AVX512VBMI__) && defined(__AVX512VNNI__)
#define NAME(x) nm_vbmi_##x
#define VBMI    1
#include "cpu/avx512/gemm_nm_bytes.inc"

#define nm_vbmi_STEP 0.39e-9 /* measured by bench_kernels */
#define ISA          (LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI | LAC_ISA_VBMI)
LAC_NM_ROWS(nm_s8_vbmi, LAC_I8, ISA, nm_vbmi, "N:M int8, shuffles out of 64 bytes and VNNI")
LAC_NM_ROWS(nm_u8_vbmi, LAC_U8, ISA, nm_vbmi, "N:M uint8, shuffles out of 64 bytes and VNNI")
#endif
