/* What the kernels of sddmm share: which layers, where the outputs of a strip stand; softmax of
 * their outputs. The mask of the layer is packed, [tokens][tokens] in format sr-bcrs: its fields
 * row and col say what a strip keeps, its values are not read. */
#ifndef LACUNA_CPU_SDDMM_H
#define LACUNA_CPU_SDDMM_H

#include <lacuna/format.h>
#include <lacuna/kernel.h>

/* Most elements of a query: 8 KB of queries, and words of them, on the stack. */
enum { LAC_SDDMM_DIM = 1024 };

typedef struct lac_sddmm {
    int64_t tokens, dim, heads, strips;
    int v;
    int64_t *start; /* [strips + 1] first output of each strip, of one head */
    /* during a run */
    const lac_packed *mask;
    const int8_t *query, *key;
    int32_t *output;
} lac_sddmm;

bool lac_sddmm_can_run(const lac_layer *layer, char *why, size_t why_size);
/* Outputs of one head under a mask of a valid layer, with what fills groups. */
int64_t lac_sddmm_outputs(const lac_packed *mask);
/* Kept products, without what fills groups. */
double lac_sddmm_products(const lac_layer *layer);
lac_status lac_sddmm_prepare(const lac_layer *layer, void **state, lac_error *err);
void lac_sddmm_release(void *state);
size_t lac_sddmm_bytes(const void *state);

/* Softmax of each row of a strip's scores over its kept keys, in place of stored order: score and
 * p are [ceil(kept / 8)][v][8], p = e^(scale (score - largest)) / sum; what fills groups gets 0.
 * At most 1e-6 from the exact quotient. */
void lac_sparse_softmax(const int32_t *score, int64_t kept, int v, float scale, float *p);

#endif
