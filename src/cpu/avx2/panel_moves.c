/* Panels of activations, AVX2. */
#if defined(__AVX2__)
#define MOVES lac_panel_moves_avx2
#include "cpu/panel_moves.inc"
#endif
