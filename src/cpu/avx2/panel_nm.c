/* N:M float weights, columns side by side, AVX2. */
#if defined(__AVX2__) && defined(__FMA__)
#define MOVES lac_panel_moves_avx2
#include "cpu/panel_nm.inc"

LAC_PANEL_ROWS(nm_panels_avx2, "nm", LAC_F32, LAC_ISA_AVX2, nm,
               "N:M float32, columns side by side, AVX2")
#endif
