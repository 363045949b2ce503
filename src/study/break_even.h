/* From which share of zeros on a layer is faster packed than dense, on this machine. */
#ifndef LACUNA_STUDY_BREAK_EVEN_H
#define LACUNA_STUDY_BREAK_EVEN_H

#include <lacuna/kernel.h>

typedef struct lac_break_even {
    double sparsity; /* the least that wins; NAN: none, or no format for this layer */
    char format[64]; /* "nm:n=5,m=16" at that sparsity; "" */
    bool measured;   /* else from the cost functions of the kernels */
} lac_break_even;

/* Looks for it by bisection over synthetic weights of the layer `text` ("gemm:m=128,n=768,k=768")
 * with activations of this type: every family of formats that kernels run (unstructured, N:M,
 * blocks), or, when the layer is packed, the family of its format. Dense means the fastest dense
 * kernel for activations of the same width. `measure` false: estimates, on a slice of the outputs.
 */
lac_status lac_break_even_find(lac_break_even *result, const char *text, lac_dtype activations,
                               const lac_packed *packed, bool measure, lac_error *err);

#endif
