/* What follows a product goes into it: Add of a constant row (bias), Add of a tensor of the same
 * shape (residual), one activation; in this order, each at most once. Repeats until nothing moves,
 * so that chains are taken link by link. */
#include "exec/pass.h"

#include <math.h>
#include <string.h>

static bool is_product(const lac_node *node)
{
    return lac_is_fused(node, "Gemm") || lac_is_fused(node, "Conv");
}

static bool has_activation(const lac_node *node)
{
    return strcmp(lac_node_string(node, "activation", "none"), "none") != 0;
}

/* `value` is a constant with one float per output of the product. */
static bool is_bias(const lac_graph *graph, const lac_node *product, int value)
{
    const lac_tensor *t = lac_constant_of(graph, value);
    const lac_value *y = &graph->values[product->out[0]];
    if (!t || t->dtype != LAC_F32 || y->rank < 1 || t->rank > y->rank)
        return false;
    int axis = lac_is_fused(product, "Conv") ? 1 : y->rank - 1;
    int64_t n = y->dims[axis].size;
    if (n < 0 || lac_tensor_count(t) != n)
        return false;
    /* the one axis that is not 1 must be the product's output axis */
    int at = axis - (y->rank - t->rank);
    return at >= 0 && at < t->rank && t->dims[at] == n;
}

static void take_over(lac_graph *graph, int product, lac_node *link)
{
    graph->nodes[product].out[0] = link->out[0];
    graph->values[link->out[0]].producer = product;
    lac_delete_node(link);
}

static bool fuse_add(lac_graph *graph, int p, lac_node *add)
{
    lac_node *product = &graph->nodes[p];
    int y = product->out[0];
    if (!lac_is_op(add, "Add") || has_activation(product) || add->in[0] == add->in[1])
        return false;
    int other = add->in[0] == y ? add->in[1] : add->in[0];
    bool bare = product->in[LAC_IN_RESIDUAL] < 0;
    if (bare && product->in[LAC_IN_BIAS] < 0 && is_bias(graph, product, other))
        product->in[LAC_IN_BIAS] = other;
    else if (bare && !lac_constant_of(graph, other) && lac_same_shape(graph, y, other) &&
             lac_same_shape(graph, y, add->out[0])) /* reads not y: only the Add does */
        product->in[LAC_IN_RESIDUAL] = other;
    else
        return false;
    take_over(graph, p, add);
    return true;
}

static lac_status fuse_activation(lac_graph *graph, int p, lac_node *link, bool *fused,
                                  lac_error *err)
{
    lac_node *product = &graph->nodes[p];
    lac_activation activation = LAC_ACT_NONE;
    float low = -INFINITY, high = INFINITY;
    *fused = false;
    if (has_activation(product) || link->in[0] != product->out[0])
        return LAC_OK;
    if (lac_is_op(link, "Relu")) {
        activation = LAC_ACT_CLIP;
        low = 0;
    } else if (lac_is_op(link, "Clip")) {
        activation = LAC_ACT_CLIP;
        low = lac_node_float(link, "min", low);
        high = lac_node_float(link, "max", high);
        if (link->n_in > 1 && link->in[1] >= 0 && !lac_number_of(graph, link->in[1], &low))
            return LAC_OK;
        if (link->n_in > 2 && link->in[2] >= 0 && !lac_number_of(graph, link->in[2], &high))
            return LAC_OK;
    } else if (lac_is_op(link, "Sigmoid")) {
        activation = LAC_ACT_SIGMOID;
    } else if (lac_is_op(link, "Tanh")) {
        activation = LAC_ACT_TANH;
    } else if (lac_is_fused(link, "Activation")) {
        const char *name = lac_node_string(link, "activation", "none");
        LAC_TRY(lac_node_set_string(graph, product, "activation", name, err));
        *fused = true;
    }
    if (activation != LAC_ACT_NONE) {
        LAC_TRY(lac_exec_set_activation(graph, product, activation, low, high, err));
        *fused = true;
    }
    if (*fused)
        take_over(graph, p, link);
    return LAC_OK;
}

lac_status lac_pass_epilogue(lac_graph *graph, lac_error *err)
{
    for (bool again = true; again;) {
        again = false;
        for (int p = 0; p < graph->n_nodes; p++) {
            if (!is_product(&graph->nodes[p]))
                continue;
            lac_node *link = lac_only_reader(graph, graph->nodes[p].out[0]);
            bool fused = link && fuse_add(graph, p, link);
            if (link && !fused)
                LAC_TRY(fuse_activation(graph, p, link, &fused, err));
            again |= fused;
        }
        LAC_TRY(lac_graph_settle(graph, err)); /* a product may now stand behind its residual */
    }
    return LAC_OK;
}
