/* Unstructured float weights (csr), AVX-512. */
#if defined(__AVX512F__)
#define MOVES lac_panel_moves_avx512
#include "cpu/panel_csr.inc"

LAC_PANEL_ROWS(csr_f32_avx512, "csr", LAC_F32, LAC_ISA_AVX2 | LAC_ISA_AVX512, csr,
               "unstructured float weights, columns side by side, AVX-512")
#endif
