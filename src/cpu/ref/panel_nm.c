/* N:M float weights, columns side by side, portable. */
#define MOVES lac_panel_moves_ref
#include "cpu/panel_nm.inc"

LAC_PANEL_ROWS(nm_panels_ref, "nm", LAC_F32, 0, nm, "N:M float32, columns side by side, portable")
