/* Float weights in R x 1 blocks, AVX2. */
#if defined(__AVX2__)
#define MOVES lac_panel_moves_avx2
#include "cpu/panel_block_f32.inc"

LAC_PANEL_ROWS(block_f32_avx2, "block", LAC_F32, LAC_ISA_AVX2, blocks,
               "float weights in R x 1 blocks, columns side by side, AVX2")
#endif
