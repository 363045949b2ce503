/* N:M float weights, columns side by side, AVX-512. */
#if defined(__AVX512F__)
#define MOVES lac_panel_moves_avx512
#include "cpu/panel_nm.inc"

LAC_PANEL_ROWS(nm_panels_avx512, "nm", LAC_F32, LAC_ISA_AVX2 | LAC_ISA_AVX512, nm,
               "N:M float32, columns side by side, AVX-512")
#endif
