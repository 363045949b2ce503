/* A product of integers whose output is read by one QuantizeLinear only writes the bytes itself:
 * what it has in registers as floats is rounded there, instead of going through memory twice.
 *
 * Same steps as QuantizeLinear takes, but for this: the dense library multiplies by the inverse of
 * the scale, so that a value on the edge between two steps may fall to the other side. */
#include "exec/pass.h"

#include <math.h>

/* Per tensor, with constants that every kernel takes: an odd zero point would move ties. */
static bool is_simple(const lac_graph *graph, const lac_node *q)
{
    float scale;
    const lac_tensor *zero = q->n_in > 2 ? lac_constant_of(graph, q->in[2]) : NULL;
    if (!lac_number_of(graph, q->in[1], &scale) || !isnormal(scale) || !isnormal(1 / scale) ||
        scale < 0)
        return false;
    if (q->n_in < 3 || q->in[2] < 0)
        return true;
    return zero && (zero->dtype == LAC_U8 || zero->dtype == LAC_I8) &&
           lac_tensor_count(zero) == 1 && (int)lac_tensor_get(zero, 0) % 2 == 0;
}

lac_status lac_pass_requantise(lac_graph *graph, lac_error *err)
{
    for (int p = 0; p < graph->n_nodes; p++) {
        lac_node *product = &graph->nodes[p];
        if ((!lac_is_fused(product, "Gemm") && !lac_is_fused(product, "Conv")) ||
            product->in[LAC_IN_Y_SCALE] >= 0 || product->in[LAC_IN_X_SCALE] < 0)
            continue;
        lac_node *q = lac_only_reader(graph, product->out[0]);
        if (!lac_is_op(q, "QuantizeLinear") || q->in[0] != product->out[0] || !is_simple(graph, q))
            continue;
        product->in[LAC_IN_Y_SCALE] = q->in[1];
        product->in[LAC_IN_Y_ZERO] = q->n_in > 2 ? q->in[2] : -1;
        product->out[0] = q->out[0];
        graph->values[q->out[0]].producer = p;
        lac_delete_node(q);
    }
    return lac_graph_settle(graph, err);
}
