/* EIE's columns, AVX2: sixteen tokens at once. */
#if defined(__AVX2__) && defined(__FMA__)
#define SECONDS_PER_ENTRY   0.62e-9
#define SECONDS_PER_PRODUCT 0.14e-9

#include "cpu/gemm_eie_csc.inc"

LAC_PACKED_ROWS(eie_csc_f32_avx2, "eie-csc", LAC_F32, LAC_ISA_AVX2, csc,
                "sparse columns, driven by activations")
#endif
