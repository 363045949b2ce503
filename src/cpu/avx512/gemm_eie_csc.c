/* EIE's columns, AVX-512: sixteen tokens at once. */
#if defined(__AVX512VNNI__)
#define SECONDS_PER_ENTRY   0.65e-9
#define SECONDS_PER_PRODUCT 0.14e-9

#include "cpu/gemm_eie_csc.inc"

LAC_PACKED_ROWS(eie_csc_f32_avx512, "eie-csc", LAC_F32,
                LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI, csc,
                "sparse columns, driven by activations")
#endif
