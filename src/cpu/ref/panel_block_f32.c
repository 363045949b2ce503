/* Float weights in R x 1 blocks, portable. */
#define MOVES lac_panel_moves_ref
#include "cpu/panel_block_f32.inc"

LAC_PANEL_ROWS(block_f32_ref, "block", LAC_F32, 0, blocks,
               "float weights in R x 1 blocks, columns side by side, portable")
