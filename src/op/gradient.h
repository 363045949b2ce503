/* Gradients of operators, written in standard operators (opset 13 and newer): what the `gradient`
 * hooks of the rows point at. The contract is that of lac_op.gradient. */
#ifndef LACUNA_OP_GRADIENT_H
#define LACUNA_OP_GRADIENT_H

#include <lacuna/op.h>

#define LAC_GRADIENT(name)                                                                         \
    lac_status lac_gradient_##name(lac_graph *graph, const lac_node *node, const int *grad_out,    \
                                   int *grad_in, lac_error *err)

LAC_GRADIENT(identity); /* Identity, Dropout (inference) */
LAC_GRADIENT(reshape);  /* everything that keeps the elements and their order */
LAC_GRADIENT(transpose);
LAC_GRADIENT(cast);
LAC_GRADIENT(neg);
LAC_GRADIENT(relu);
LAC_GRADIENT(add);
LAC_GRADIENT(sub);
LAC_GRADIENT(mul);
LAC_GRADIENT(reduce_sum);
LAC_GRADIENT(reduce_mean);
LAC_GRADIENT(softmax);
LAC_GRADIENT(log_softmax);
LAC_GRADIENT(matmul);
LAC_GRADIENT(gemm);

#endif
