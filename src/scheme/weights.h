/* Helpers of the room on weights. */
#ifndef LACUNA_SCHEME_WEIGHTS_H
#define LACUNA_SCHEME_WEIGHTS_H

#include <lacuna/scheme.h>

struct lac_layer_range; /* exec/calibrate.h */

int64_t lac_weight_nonzeros(const lac_weight *weight);
/* Bytes of all constants that `value` is made of, as the graph holds them. */
int64_t lac_stored_bytes(const lac_graph *graph, int value);
/* Scale of each row's grid such that its largest element is `limit` steps; rounds the weight onto
 * it (half away from zero) and sets scale, limit, changed. */
lac_status lac_weight_quantize(lac_weight *weight, int limit, lac_error *err);
/* The elements of a weight on a grid as the integers of that grid, in the weight's shape. */
lac_status lac_weight_integers(const lac_weight *weight, lac_tensor *integers, lac_error *err);
/* Writes every changed weight back into compression->graph: packed, behind DequantizeLinear when
 * it is on a grid; integer activations as QuantizeLinear + DequantizeLinear. */
lac_status lac_weights_write(lac_compression *compression, lac_error *err);
/* Adds to weight->shift what the change since `before`, its elements then, adds to the output on
 * average, given the mean of each input channel; leaves it as it is where the channels do not
 * belong to this weight. */
lac_status lac_weight_shift(lac_weight *weight, const float *before,
                            const struct lac_layer_range *arriving, lac_error *err);
/* Takes the shift off the bias of node `n` when it is the weight's only reader. */
lac_status lac_shift_write(lac_compression *compression, const lac_weight *weight, int n,
                           lac_error *err);
struct lac_ranges; /* exec/calibrate.h */
/* Moves what is uneven in the channels behind LayerNormalizations into the weights that read them,
 * where less rounding error is expected of it: sets weight->smoothing and changes the constants of
 * the node. *any: something was moved, and the ranges no longer hold. */
lac_status lac_smooth(lac_compression *compression, const struct lac_ranges *ranges, bool *any,
                      lac_error *err);
/* Puts the operands of every attention whose ranges are known on int8 grids, and its probabilities
 * on one of uint8, as pairs in compression->graph; `fine`: with steps as fine as the largest
 * probability seen allows, else of 1/255. */
lac_status lac_attention_write(lac_compression *compression, const struct lac_ranges *ranges,
                               bool fine, lac_error *err);
/* A copy of the graph with the weights as the schemes have left them so far, as float32 constants:
 * what calibration must run. The copy shares their bytes; free it before anyone edits them. */
lac_status lac_weights_draft(const lac_compression *compression, lac_graph **draft, lac_error *err);
/* Zeroes all but the round(density * count) largest |w| of the n weights taken together, ties to
 * the lower flat index (in the order given). */
lac_status lac_weights_prune(lac_weight *const *weights, int n, double density, lac_error *err);
/* What scheme magnitude does with one weight, `params` being its (m >= n where m is given): prunes
 * it and names its format; weight->keep where it does not suit. */
lac_status lac_weight_prune(lac_weight *weight, const lac_params *params, lac_error *err);
/* The matrix position of element (row, col) in the weight's tensor. */
int64_t lac_weight_at(const lac_weight *weight, int64_t row, int64_t col);

#endif
