/* Convolutions and their surroundings run channels last. Walking forward, each image value gets a
 * channels-last twin where something makes or wants one; operators that can work on twins do
 * (Conv, pooling, elementwise, Concat, Pad, Slice), and the plain value is made from the twin by a
 * Transpose only where somebody still reads it. Between two convolutions nothing is transposed. */
#include "exec/pass.h"

#include "core/memory.h"

#include <string.h>

typedef struct layout {
    lac_graph *graph;
    int *twin;    /* value -> channels-last value, or -1 */
    bool *plain;  /* the plain value exists */
    int n_values; /* of the arrays */
    int n_nodes;  /* of the graph before the pass: later ones are ours */
    lac_error *err;
} layout;

static const int64_t to_last[] = {0, 2, 3, 1}, to_first[] = {0, 3, 1, 2};

static lac_status new_value(layout *l, int like, bool last, int *value)
{
    LAC_TRY(lac_graph_value(l->graph, NULL, value, l->err));
    lac_value *made = &l->graph->values[*value];
    const lac_value *from = &l->graph->values[like];
    made->dtype = from->dtype;
    made->rank = from->rank;
    for (int d = 0; d < 4; d++)
        made->dims[d] = from->dims[last ? to_last[d] : d];
    return LAC_OK;
}

/* Both orders have the same bytes: one channel, or one pixel. */
static bool same_bytes(const lac_value *first)
{
    return first->dims[1].size == 1 || (first->dims[2].size == 1 && first->dims[3].size == 1);
}

static lac_status transpose(layout *l, int from, int to, const lac_value *first, bool last)
{
    lac_node *node;
    if (same_bytes(first)) {
        int64_t count = 4, dims[4], unknown = 0;
        for (int d = 0; d < 4; d++) {
            dims[d] = first->dims[last ? to_last[d] : d].size;
            unknown += dims[d] < 0;
        }
        if (unknown <= 1) { /* -1 is Reshape's own word for it */
            lac_tensor shape;
            int in[2] = {from, -1};
            LAC_TRY(lac_tensor_make(&shape, LAC_I64, 1, &count, l->err));
            memcpy(shape.data, dims, sizeof dims);
            lac_status status = lac_graph_constant(l->graph, NULL, &shape, &in[1], l->err);
            lac_tensor_release(&shape);
            LAC_TRY(status);
            return lac_graph_node(l->graph, "", "Reshape", NULL, 2, in, 1, &to, NULL, l->err);
        }
    }
    LAC_TRY(lac_graph_node(l->graph, "", "Transpose", NULL, 1, &from, 1, &to, &node, l->err));
    return lac_node_set_ints(l->graph, node, "perm", 4, last ? to_last : to_first, l->err);
}

/* The channels-last twin of an image; made by a Transpose if there is none. */
static lac_status twin_of(layout *l, int value, int *twin)
{
    if (l->twin[value] < 0) {
        int made;
        LAC_TRY(new_value(l, value, true, &made));
        lac_value first = l->graph->values[value];
        LAC_TRY(transpose(l, value, made, &first, true));
        l->twin[value] = made;
    }
    *twin = l->twin[value];
    return LAC_OK;
}

/* Somebody reads the plain value: it must exist. */
static lac_status want_plain(layout *l, int value)
{
    if (value < 0 || value >= l->n_values || l->plain[value] || l->twin[value] < 0)
        return LAC_OK;
    lac_value first = l->graph->values[value];
    l->plain[value] = true;
    return transpose(l, l->twin[value], value, &first, false);
}

static bool is_image(const layout *l, int value)
{
    return value >= 0 && value < l->n_values && l->graph->values[value].rank == 4 &&
           (LAC_BIT(l->graph->values[value].dtype) &
            (LAC_BIT(LAC_F32) | LAC_BIT(LAC_U8) | LAC_BIT(LAC_I8)));
}

/* `node` reads and writes twins from now on. */
static lac_status output_twin(layout *l, int node)
{
    int out = l->graph->nodes[node].out[0], made;
    LAC_TRY(new_value(l, out, true, &made));
    l->twin[out] = made;
    l->plain[out] = false;
    l->graph->nodes[node].out[0] = made;
    return LAC_OK;
}

static lac_status set_input(layout *l, int node, int i, int value)
{
    int twin;
    LAC_TRY(twin_of(l, value, &twin));
    l->graph->nodes[node].in[i] = twin;
    return LAC_OK;
}

static lac_status conv(layout *l, int n)
{
    lac_node *node = &l->graph->nodes[n];
    int residual = node->in[LAC_IN_RESIDUAL];
    LAC_TRY(set_input(l, n, LAC_IN_X, node->in[LAC_IN_X]));
    if (residual >= 0)
        LAC_TRY(set_input(l, n, LAC_IN_RESIDUAL, residual));
    LAC_TRY(output_twin(l, n));
    return lac_node_set_int(l->graph, &l->graph->nodes[n], "channels_last", 1, l->err);
}

static lac_status pool(layout *l, int n)
{
    lac_graph *graph = l->graph;
    bool is_max = lac_is_op(&graph->nodes[n], "MaxPool");
    LAC_TRY(set_input(l, n, 0, graph->nodes[n].in[0]));
    LAC_TRY(output_twin(l, n));
    lac_node *node = &graph->nodes[n];
    node->n_out = 1;
    node->domain = lac_arena_intern(graph->arena, LAC_EXEC_DOMAIN, strlen(LAC_EXEC_DOMAIN), l->err);
    node->op = lac_arena_intern(graph->arena, "Pool", 4, l->err);
    if (!node->domain || !node->op)
        return LAC_ERROR_MEMORY;
    return lac_node_set_string(graph, node, "mode", is_max ? "max" : "average", l->err);
}

/* A constant operand of an elementwise operator in the other order; -1 where it cannot be. */
static lac_status turned_constant(layout *l, int value, int *turned)
{
    const lac_tensor *t = lac_constant_of(l->graph, value);
    int64_t dims[4] = {1, 1, 1, 1};
    *turned = -1;
    if (!t || t->rank > 4)
        return LAC_OK;
    if (lac_tensor_count(t) == 1) {
        *turned = value;
        return LAC_OK;
    }
    for (int i = 0; i < t->rank; i++)
        dims[4 - t->rank + i] = t->dims[i];
    if (dims[0] != 1 || dims[2] != 1 || dims[3] != 1) /* only one number per channel */
        return LAC_OK;
    lac_tensor copy;
    LAC_TRY(lac_tensor_copy(&copy, t, l->err));
    copy.rank = 1;
    copy.dims[0] = dims[1];
    lac_status status = lac_graph_constant(l->graph, NULL, &copy, turned, l->err);
    lac_tensor_release(&copy);
    return status;
}

static lac_status elementwise(layout *l, int n, bool *done)
{
    lac_node *node = &l->graph->nodes[n];
    int out = node->out[0], in[8], n_in = node->n_in;
    bool any = false, all = n_in <= 8 && node->n_out == 1 && is_image(l, out);
    for (int i = 0; i < n_in && all; i++) {
        in[i] = node->in[i];
        if (in[i] < 0 || lac_constant_of(l->graph, in[i]))
            continue;
        bool twin = is_image(l, in[i]) && l->twin[in[i]] >= 0;
        any |= twin;
        all = is_image(l, in[i]) && lac_same_shape(l->graph, in[i], out);
    }
    if (!any || !all)
        return LAC_OK;
    for (int i = 0; i < n_in; i++)
        if (in[i] >= 0 && lac_constant_of(l->graph, in[i])) {
            LAC_TRY(turned_constant(l, in[i], &in[i]));
            if (in[i] < 0)
                return LAC_OK;
        }
    for (int i = 0; i < n_in; i++)
        if (in[i] >= 0 && lac_constant_of(l->graph, in[i]))
            l->graph->nodes[n].in[i] = in[i];
        else if (in[i] >= 0)
            LAC_TRY(set_input(l, n, i, in[i]));
    *done = true;
    return output_twin(l, n);
}

/* QuantizeLinear and DequantizeLinear per tensor. */
static lac_status quantize(layout *l, int n, bool *done)
{
    lac_node *node = &l->graph->nodes[n];
    float scale;
    if (l->twin[node->in[0]] < 0 || !lac_number_of(l->graph, node->in[1], &scale) ||
        !is_image(l, node->out[0]))
        return LAC_OK;
    LAC_TRY(set_input(l, n, 0, node->in[0]));
    *done = true;
    return output_twin(l, n);
}

static lac_status concat(layout *l, int n, bool *done)
{
    lac_node *node = &l->graph->nodes[n];
    int64_t axis = lac_node_int(node, "axis", 0);
    static const int64_t moved[] = {0, 3, 1, 2}; /* where the plain axis is, channels last */
    bool any = false;
    axis += axis < 0 ? 4 : 0;
    for (int i = 0; i < node->n_in; i++) {
        if (!is_image(l, node->in[i]))
            return LAC_OK;
        any |= l->twin[node->in[i]] >= 0;
    }
    if (!any || axis < 0 || axis > 3)
        return LAC_OK;
    for (int i = 0; i < l->graph->nodes[n].n_in; i++)
        LAC_TRY(set_input(l, n, i, l->graph->nodes[n].in[i]));
    LAC_TRY(output_twin(l, n));
    *done = true;
    return lac_node_set_int(l->graph, &l->graph->nodes[n], "axis", moved[axis], l->err);
}

static lac_status new_ints(layout *l, int count, const int64_t *ints, int *value)
{
    lac_tensor t;
    int64_t length = count;
    LAC_TRY(lac_tensor_make(&t, LAC_I64, 1, &length, l->err));
    memcpy(t.data, ints, (size_t)count * sizeof *ints);
    lac_status status = lac_graph_constant(l->graph, NULL, &t, value, l->err);
    lac_tensor_release(&t);
    return status;
}

static lac_status pad(layout *l, int n, bool *done)
{
    lac_node *node = &l->graph->nodes[n];
    int64_t pads[8], turned[8];
    if (l->twin[node->in[0]] < 0 || node->n_in < 2 || (node->n_in > 3 && node->in[3] >= 0) ||
        lac_ints_of(l->graph, node, 1, NULL, pads, 8) != 8)
        return LAC_OK;
    for (int i = 0; i < 4; i++) {
        turned[i] = pads[to_last[i]];
        turned[4 + i] = pads[4 + to_last[i]];
    }
    int value;
    LAC_TRY(new_ints(l, 8, turned, &value));
    LAC_TRY(set_input(l, n, 0, l->graph->nodes[n].in[0]));
    l->graph->nodes[n].in[1] = value;
    *done = true;
    return output_twin(l, n);
}

static lac_status slice(layout *l, int n, bool *done)
{
    static const int64_t moved[] = {0, 3, 1, 2};
    lac_node *node = &l->graph->nodes[n];
    int64_t axes[4];
    int count = node->n_in > 3 && l->twin[node->in[0]] >= 0
                    ? lac_ints_of(l->graph, node, 3, NULL, axes, 4)
                    : -1;
    if (count < 1)
        return LAC_OK;
    for (int i = 0; i < count; i++) {
        axes[i] += axes[i] < 0 ? 4 : 0;
        if (axes[i] < 0 || axes[i] > 3)
            return LAC_OK;
        axes[i] = moved[axes[i]];
    }
    int value;
    LAC_TRY(new_ints(l, count, axes, &value));
    LAC_TRY(set_input(l, n, 0, l->graph->nodes[n].in[0]));
    l->graph->nodes[n].in[3] = value;
    *done = true;
    return output_twin(l, n);
}

static bool is_pool(const layout *l, const lac_node *node)
{
    return (lac_is_op(node, "MaxPool") || lac_is_op(node, "AveragePool") ||
            lac_is_op(node, "GlobalAveragePool")) &&
           l->twin[node->in[0]] >= 0 && l->graph->values[node->in[0]].dtype == LAC_F32 &&
           (node->n_out < 2 || node->out[1] < 0 ||
            lac_graph_readers(l->graph, node->out[1], NULL) == 0);
}

static lac_status visit(layout *l, int n)
{
    lac_node *node = &l->graph->nodes[n];
    bool done = false, image = is_image(l, node->n_in > 0 ? node->in[0] : -1);
    const lac_op *op = lac_exec_op(node);
    if (image && lac_is_fused(node, "Conv")) {
        done = true;
        LAC_TRY(conv(l, n));
    } else if (image && is_pool(l, node)) {
        done = true;
        LAC_TRY(pool(l, n));
    } else if (image &&
               (lac_is_op(node, "QuantizeLinear") || lac_is_op(node, "DequantizeLinear"))) {
        LAC_TRY(quantize(l, n, &done));
    } else if (image && lac_is_op(node, "Concat")) {
        LAC_TRY(concat(l, n, &done));
    } else if (image && lac_is_op(node, "Pad")) {
        LAC_TRY(pad(l, n, &done));
    } else if (image && lac_is_op(node, "Slice")) {
        LAC_TRY(slice(l, n, &done));
    } else if (op && (op->flags & LAC_OP_ELEMENTWISE)) {
        LAC_TRY(elementwise(l, n, &done));
    }
    for (int i = 0; !done && i < l->graph->nodes[n].n_in; i++)
        LAC_TRY(want_plain(l, l->graph->nodes[n].in[i]));
    return LAC_OK;
}

lac_status lac_pass_layout(lac_graph *graph, lac_error *err)
{
    layout l = {.graph = graph, .n_values = graph->n_values, .n_nodes = graph->n_nodes, .err = err};
    bool any = false;
    for (int n = 0; n < graph->n_nodes; n++)
        any |= lac_is_fused(&graph->nodes[n], "Conv");
    if (!any)
        return LAC_OK;
    l.twin = lac_alloc((size_t)l.n_values + 1, sizeof *l.twin, err);
    l.plain = lac_alloc((size_t)l.n_values + 1, sizeof *l.plain, err);
    lac_status status = l.twin && l.plain ? LAC_OK : LAC_ERROR_MEMORY;
    for (int v = 0; status == LAC_OK && v < l.n_values; v++) {
        l.twin[v] = -1;
        l.plain[v] = true;
    }
    for (int n = 0; status == LAC_OK && n < l.n_nodes; n++)
        status = visit(&l, n);
    for (int i = 0; status == LAC_OK && i < graph->n_outputs; i++)
        status = want_plain(&l, graph->outputs[i]);
    lac_free(l.twin);
    lac_free(l.plain);
    return status == LAC_OK ? lac_graph_settle(graph, err) : status;
}
