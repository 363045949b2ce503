/* Bytes as early as possible. QuantizeLinear moves up through operators that only move or compare
 * elements, which gives the same bytes, and into the product that makes them: a product of integers
 * whose output is read by one QuantizeLinear only writes the bytes itself: what it has in registers
 * as floats is rounded there, instead of going through memory twice.
 *
 * Where others read the floats too (a residual), the bytes are a second output.
 *
 * Same steps as QuantizeLinear takes, but for this: the dense library multiplies by the inverse of
 * the scale, so that a value on the edge between two steps may fall to the other side. */
#include "exec/pass.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

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

/* ---- upwards: what only moves or compares elements does so with bytes ---------------------------
 */

/* QuantizeLinear of in[input] of `node`, which then reads its result. */
static lac_status quantise_input(lac_graph *graph, int node, int input, const lac_node *q,
                                 lac_error *err)
{
    int in[3] = {graph->nodes[node].in[input], q->in[1], q->n_in > 2 ? q->in[2] : -1}, value;
    const char *name = q->name;
    lac_node *made;
    LAC_TRY(lac_graph_value(graph, NULL, &value, err));
    lac_value *bytes = &graph->values[value];
    bytes->dtype = in[2] < 0 ? LAC_U8 : graph->values[in[2]].dtype;
    bytes->rank = graph->values[in[0]].rank;
    memcpy(bytes->dims, graph->values[in[0]].dims, sizeof bytes->dims);
    LAC_TRY(lac_graph_node(graph, "", "QuantizeLinear", NULL, 3, in, 1, &value, &made, err));
    made->name = name;
    graph->nodes[node].in[input] = value;
    return LAC_OK;
}

/* How many of the first inputs of `node` carry elements that it hands on unchanged; 0: others. */
static int carried(const lac_node *node)
{
    static const char *const movers[] = {"Transpose", "Reshape", "Flatten", "Squeeze", "Unsqueeze"};
    for (size_t i = 0; i < sizeof movers / sizeof *movers; i++)
        if (lac_is_op(node, movers[i]))
            return 1;
    if (lac_is_fused(node, "Pool")) /* rounding keeps the order */
        return strcmp(lac_node_string(node, "mode", "max"), "max") == 0;
    return lac_is_op(node, "Concat") ? node->n_in : 0;
}

static lac_status move_up(lac_graph *graph, int at, bool *moved, lac_error *err)
{
    lac_node *q = &graph->nodes[at];
    int node = graph->values[q->in[0]].producer;
    int count = node >= 0 && graph->nodes[node].op ? carried(&graph->nodes[node]) : 0;
    *moved = false;
    if (count == 0 || lac_only_reader(graph, q->in[0]) != q)
        return LAC_OK;
    for (int i = 0; i < count; i++)
        if (graph->nodes[node].in[i] < 0 || lac_constant_of(graph, graph->nodes[node].in[i]) ||
            !lac_only_reader(graph, graph->nodes[node].in[i]))
            return LAC_OK;
    for (int i = 0; i < count; i++)
        LAC_TRY(quantise_input(graph, node, i, &graph->nodes[at], err));
    q = &graph->nodes[at];
    graph->nodes[node].out[0] = q->out[0];
    graph->values[q->out[0]].producer = node;
    lac_delete_node(q);
    *moved = true;
    return lac_graph_settle(graph, err);
}

static lac_status move_all_up(lac_graph *graph, lac_error *err)
{
    for (int n = 0; n < graph->n_nodes; n++) {
        bool moved = false;
        if (lac_is_op(&graph->nodes[n], "QuantizeLinear") && is_simple(graph, &graph->nodes[n]))
            LAC_TRY(move_up(graph, n, &moved, err));
        if (moved) /* nodes were sorted anew; each move brings a QuantizeLinear nearer the inputs */
            n = -1;
    }
    return LAC_OK;
}

/* The first QuantizeLinear among several readers of `value`, or NULL. */
static lac_node *one_quantiser(const lac_graph *graph, int value)
{
    for (int n = 0; n < graph->n_nodes; n++) {
        lac_node *node = &graph->nodes[n];
        if (node->op && lac_is_op(node, "QuantizeLinear") && node->in[0] == value &&
            is_simple(graph, node))
            return node;
    }
    return NULL;
}

/* Bytes as a second output of product `p`, where others read the floats. */
static lac_status write_beside(lac_graph *graph, int p, lac_error *err)
{
    lac_node *product = &graph->nodes[p], *q = one_quantiser(graph, product->out[0]);
    if (!q || lac_only_reader(graph, product->out[0]))
        return LAC_OK;
    int *out = lac_arena_alloc(graph->arena, 2, sizeof *out, err);
    if (!out)
        return LAC_ERROR_MEMORY;
    product->in[LAC_IN_Y_SCALE] = q->in[1];
    product->in[LAC_IN_Y_ZERO] = q->n_in > 2 ? q->in[2] : -1;
    out[0] = product->out[0];
    out[1] = q->out[0];
    product->out = out;
    product->n_out = 2;
    graph->values[out[1]].producer = p;
    lac_delete_node(q);
    return LAC_OK;
}

lac_status lac_pass_requantise(lac_graph *graph, lac_error *err)
{
    LAC_TRY(move_all_up(graph, err));
    for (int p = 0; p < graph->n_nodes; p++) {
        lac_node *product = &graph->nodes[p];
        bool attention = lac_is_fused(product, "Attention");
        int x_scale = attention ? LAC_ATTENTION_SCALE : LAC_IN_X_SCALE;
        int y_scale = attention ? LAC_ATTENTION_Y_SCALE : LAC_IN_Y_SCALE;
        if ((!attention && !lac_is_fused(product, "Gemm") && !lac_is_fused(product, "Conv")) ||
            product->in[y_scale] >= 0 || product->in[x_scale] < 0)
            continue;
        lac_node *q = lac_only_reader(graph, product->out[0]);
        if (!q && !attention)
            LAC_TRY(write_beside(graph, p, err));
        if (!lac_is_op(q, "QuantizeLinear") || q->in[0] != product->out[0] || !is_simple(graph, q))
            continue;
        product->in[y_scale] = q->in[1];
        product->in[y_scale + 1] = q->n_in > 2 ? q->in[2] : -1;
        product->out[0] = q->out[0];
        graph->values[q->out[0]].producer = p;
        lac_delete_node(q);
    }
    return lac_graph_settle(graph, err);
}
