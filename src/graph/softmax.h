/* The fixed-point softmax that the attention accelerators and the attention layer share: integers
 * only, the same bits everywhere. Probabilities have 12 bits (4095 = 1). */
#ifndef LACUNA_GRAPH_SOFTMAX_H
#define LACUNA_GRAPH_SOFTMAX_H

#include <lacuna/layer.h>

/* Weight of a score that lies t/256 octaves below the row's maximum: 65536 * 2^(-t/256). */
uint32_t lac_softmax_weight(uint64_t t);

/* Octaves/256 per unit of score, times 2^20. Captured layers (softmax_scale and scales of query
 * and key given): softmax_scale * scale_q * scale_k * log2(e) * 256. Synthetic ones:
 * isqrt(20268647424 / dim), which gives random scores a standard deviation of 2. */
lac_status lac_softmax_multiplier(const lac_layer *layer, int64_t *multiplier, lac_error *err);

/* One row of n scores; kept[j] = 0 masks column j (NULL: none). A row without kept columns gives
 * zeros. */
void lac_softmax_row(uint16_t *p, const int32_t *score, const uint8_t *kept, int64_t n,
                     int64_t multiplier);

/* floor of the square root */
uint64_t lac_isqrt(uint64_t value);

#endif
