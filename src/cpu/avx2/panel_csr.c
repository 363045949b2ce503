/* Unstructured float weights (csr), AVX2. */
#if defined(__AVX2__)
#define MOVES lac_panel_moves_avx2
#include "cpu/panel_csr.inc"

LAC_PANEL_ROWS(csr_f32_avx2, "csr", LAC_F32, LAC_ISA_AVX2, csr,
               "unstructured float weights, columns side by side, AVX2")
#endif
