/* Panels of activations, AVX-512. */
#if defined(__AVX512F__)
#define MOVES lac_panel_moves_avx512
#include "cpu/panel_moves.inc"
#endif
