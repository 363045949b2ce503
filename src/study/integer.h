/* Layers captured from a real network as simulators see them: integers (CONVENTIONS.md, "Layers
 * captured from a real network"), and integer outputs back as floats. */
#ifndef LACUNA_STUDY_INTEGER_H
#define LACUNA_STUDY_INTEGER_H

#include "exec/calibrate.h"

#include <lacuna/layer.h>

typedef struct lac_integer_layer {
    lac_layer layer;     /* int8 weights, int8 or uint8 activations, plain order; owned tensors */
    float *weight_scale; /* one per output */
    float scale[LAC_ROLE_LIMIT]; /* of the operands that arrive */
} lac_integer_layer;

/* Quantises `layer` (as a layer runner gets it: float32, or integers with scales, which are kept):
 * weights symmetric int8 per output channel, arriving operands with the scale of `ranges`; a zero
 * stays a zero. LAC_ERROR_UNSUPPORTED with the reason when simulators have no such layer (a masked
 * attention). Release it. */
lac_status lac_integer_make(lac_integer_layer *integer, const lac_layer *layer,
                            const lac_ranges *ranges, lac_error *err);
void lac_integer_release(lac_integer_layer *integer);

/* The simulator's output (int32 sums in plain order) as the floats that `layer`'s kernel would have
 * written: scales, bias, residual, activation; into layer->output. */
lac_status lac_integer_finish(const lac_integer_layer *integer, const lac_tensor *sums,
                              const lac_layer *layer, lac_error *err);

#endif
