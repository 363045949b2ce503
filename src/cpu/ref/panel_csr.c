/* Unstructured float weights (csr), portable. */
#define MOVES lac_panel_moves_ref
#include "cpu/panel_csr.inc"

LAC_PANEL_ROWS(csr_f32_ref, "csr", LAC_F32, 0, csr,
               "unstructured float weights, columns side by side, portable")
