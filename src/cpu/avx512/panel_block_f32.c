/* Float weights in R x 1 blocks, AVX-512. */
#if defined(__AVX512F__)
#define MOVES lac_panel_moves_avx512
#include "cpu/panel_block_f32.inc"

LAC_PANEL_ROWS(block_f32_avx512, "block", LAC_F32, LAC_ISA_AVX2 | LAC_ISA_AVX512, blocks,
               "float weights in R x 1 blocks, columns side by side, AVX-512")
#endif
