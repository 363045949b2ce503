/* Floats to bytes as QuantizeLinear does it: to nearest even, saturated, the quotient divided. */
#ifndef LACUNA_CPU_QUANTISE_H
#define LACUNA_CPU_QUANTISE_H

#include <lacuna/layer.h>

/* round(x / scale) + zero into `bytes`, int8 or uint8, as many as it has elements. */
void lac_quantise_floats(const float *x, const lac_tensor *bytes, float scale, int32_t zero);
/* layer->beside from layer->output, if it is wanted. */
void lac_quantise_beside(const lac_layer *layer);

#endif
