/* Panels of activations, portable. */
#define MOVES lac_panel_moves_ref
#include "cpu/panel_moves.inc"
