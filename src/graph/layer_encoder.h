/* The composite layer kind `encoder`: a post-norm transformer encoder in STA's fixed point
 * (dossier sta 2.5, 4.7). Operands: X = role query, int8 [tokens][dim] of scale 1/32; role weights,
 * int8, one after the other per layer: Wq, Wk, Wv, Wo [dim][dim], W1 [ffn][dim], W2 [dim][ffn]. */
#ifndef LACUNA_GRAPH_LAYER_ENCODER_H
#define LACUNA_GRAPH_LAYER_ENCODER_H

#include <lacuna/layer.h>

enum { LAC_ENCODER_Q, LAC_ENCODER_K, LAC_ENCODER_V, LAC_ENCODER_O, LAC_ENCODER_F1, LAC_ENCODER_F2 };
#define LAC_ENCODER_OPS 6

typedef struct lac_encoder {
    int64_t tokens, dim, heads, ffn, layers;
    int64_t rows[LAC_ENCODER_OPS], cols[LAC_ENCODER_OPS]; /* n and k of each matrix */
    int64_t first[LAC_ENCODER_OPS];                       /* its first element within a layer */
    int64_t layer_elements;
} lac_encoder;

lac_encoder lac_encoder_of(const lac_layer *layer); /* of the kind encoder */

/* The N:M of each operation: `mix` ("q=1:1/f1=2:16", may be NULL or empty) where it names the
 * operation, else the pattern of role weights (1:1 where that is a density). */
lac_status lac_encoder_patterns(const lac_layer *layer, const char *mix, int n[LAC_ENCODER_OPS],
                                int m[LAC_ENCODER_OPS], lac_error *err);

/* layer->text[0]: the mix that the generator follows; layer->text[1] is LAC_ENCODER_SYNTHETIC after
 * it ran, so that a simulator with another mix may draw the weights again. */
#define LAC_ENCODER_SYNTHETIC "synthetic"

/* ---- reference: direct loops over the definition, sharing nothing with the simulator ----------
 */

/* One attention head over int8 rows (row stride elements apart): P V sums, [tokens][dim], from
 * scores saturate(round(q.k * multiplier / 2^shift)) and the softmax streamed in segments. */
lac_status lac_streamed_head_reference(int32_t *out, const int8_t *q, const int8_t *k,
                                       const int8_t *v, int64_t stride, int64_t tokens, int64_t dim,
                                       int32_t multiplier, int shift, int64_t segment,
                                       lac_error *err);
/* The whole encoder; the kind's `reference` has segments of 16. */
lac_status lac_encoder_reference(const lac_layer *layer, int64_t segment, lac_tensor *output,
                                 lac_error *err);

#endif
