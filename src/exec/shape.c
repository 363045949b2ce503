/* Shapes by running infer over the nodes in order, with values computed along the way where they
 * are known (what Shape, Gather, Concat and friends do to sizes). */
#include "exec/exec.h"

#include "core/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void lac_shapes_release(lac_shapes *shapes)
{
    for (int i = 0; i < shapes->n; i++)
        lac_tensor_release(&shapes->value[i]);
    lac_free(shapes->value);
    memset(shapes, 0, sizeof *shapes);
}

/* Shape and Size need no data: their result is the shape itself. */
static bool is_shape_op(const lac_node *node)
{
    return node->domain[0] == 0 &&
           (strcmp(node->op, "Shape") == 0 || strcmp(node->op, "Size") == 0);
}

/* What widens stored weights: whoever wants them wide asks (lac_fold_value), for most kernels read
 * them as they are stored. */
static bool is_storage(const lac_node *node, const lac_tensor *out)
{
    if (strcmp(node->op, "Unpack") == 0)
        return strcmp(node->domain, "lacuna") == 0;
    return strcmp(node->op, "DequantizeLinear") == 0 && node->domain[0] == 0 && out->rank >= 2 &&
           lac_tensor_count(out) > 4096;
}

typedef struct call_arrays {
    const lac_tensor *in[64];
    lac_tensor out[64];
} call_arrays;

static lac_status compute(const lac_op *op, lac_call *call, size_t limit, lac_error *err)
{
    size_t bytes = 0;
    for (int i = 0; i < call->n_out; i++)
        bytes += call->out[i].dtype != LAC_NONE ? lac_tensor_bytes(&call->out[i]) : 0;
    if (bytes > limit)
        return LAC_OK;
    for (int i = 0; i < call->n_out; i++) {
        lac_tensor *out = &call->out[i];
        if (out->dtype != LAC_NONE)
            LAC_TRY(lac_tensor_make(out, out->dtype, out->rank, out->dims, err));
    }
    return op->run(call, err);
}

static lac_status infer_node(lac_shapes *shapes, const lac_graph *graph, const lac_node *node,
                             size_t limit, call_arrays *arrays, lac_error *err)
{
    const lac_op *op = lac_exec_op(node);
    bool known = true;
    if (!op)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "unknown operator %s", node->op);
    if (node->n_in > 64 || node->n_out > 64)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "more than 64 inputs or outputs");
    memset(arrays->out, 0, sizeof arrays->out);
    for (int i = 0; i < node->n_in; i++) {
        arrays->in[i] = node->in[i] >= 0 ? &shapes->value[node->in[i]] : NULL;
        if (arrays->in[i] && arrays->in[i]->dtype == LAC_NONE)
            return lac_fail(err, LAC_ERROR_UNSUPPORTED, "the shape of input '%s' is not known",
                            graph->values[node->in[i]].name);
        known &= !arrays->in[i] || arrays->in[i]->data;
    }
    lac_call call = {.node = node,
                     .opset = graph->opset,
                     .n_in = node->n_in,
                     .n_out = node->n_out,
                     .in = arrays->in,
                     .out = arrays->out};
    for (int i = 0; i < node->n_out; i++) /* wanted, type not known yet */
        arrays->out[i].dtype = node->out[i] >= 0 ? LAC_F32 : LAC_NONE;
    LAC_TRY(op->infer(&call, err));
    for (int i = 0; i < node->n_out; i++) {
        int64_t count;
        if (node->out[i] >= 0)
            LAC_TRY(lac_shape_count(arrays->out[i].rank, arrays->out[i].dims, &count, err));
        else
            arrays->out[i].dtype = LAC_NONE;
    }
    lac_status status = LAC_OK;
    if ((known || is_shape_op(node)) && !(op->flags & LAC_OP_RANDOM) &&
        !is_storage(node, &arrays->out[0]))
        status = compute(op, &call, limit, err);
    for (int i = 0; i < node->n_out; i++) {
        if (status == LAC_OK && node->out[i] >= 0)
            shapes->value[node->out[i]] = arrays->out[i];
        else
            lac_tensor_release(&arrays->out[i]);
    }
    return status;
}

lac_status lac_shapes_infer(lac_shapes *shapes, const lac_graph *graph, const lac_tensor *in,
                            size_t limit, bool tolerant, lac_error *err)
{
    memset(shapes, 0, sizeof *shapes);
    shapes->value = lac_alloc((size_t)graph->n_values + 1, sizeof *shapes->value, err);
    call_arrays *arrays = lac_alloc(1, sizeof *arrays, err);
    if (!shapes->value || !arrays) {
        lac_free(shapes->value);
        lac_free(arrays);
        shapes->value = NULL;
        return LAC_ERROR_MEMORY;
    }
    shapes->n = graph->n_values;
    for (int i = 0; i < graph->n_values; i++)
        if (graph->values[i].constant.dtype != LAC_NONE)
            lac_tensor_share(&shapes->value[i], &graph->values[i].constant);
    for (int i = 0; i < graph->n_inputs; i++)
        shapes->value[graph->inputs[i]] =
            lac_tensor_view(in[i].dtype, in[i].rank, in[i].dims, NULL);
    lac_status status = LAC_OK;
    for (int n = 0; status == LAC_OK && n < graph->n_nodes; n++) {
        const lac_node *node = &graph->nodes[n];
        lac_error own = {0};
        status = infer_node(shapes, graph, node, limit, arrays, &own);
        if (status == LAC_OK)
            continue;
        if (tolerant && status != LAC_ERROR_MEMORY) {
            status = LAC_OK;
            continue;
        }
        if (err)
            *err = own;
        lac_fail_in(err, status, "node '%s' (%s)", node->name, node->op);
    }
    lac_free(arrays);
    if (status != LAC_OK)
        lac_shapes_release(shapes);
    return status;
}

lac_status lac_graph_infer(lac_shapes *shapes, const lac_graph *graph, int n,
                           const lac_binding *bindings, int64_t other, bool tolerant,
                           lac_error *err)
{
    lac_tensor *in = lac_alloc((size_t)graph->n_inputs + 1, sizeof *in, err);
    if (!in)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < graph->n_inputs; i++) {
        const lac_value *value = &graph->values[graph->inputs[i]];
        in[i].dtype = value->dtype;
        in[i].rank = value->rank > 0 ? value->rank : 0;
        if (value->rank < 0)
            in[i].dtype = LAC_NONE;
        for (int d = 0; d < in[i].rank; d++) {
            in[i].dims[d] = value->dims[d].size >= 0 ? value->dims[d].size : other;
            for (int b = 0; value->dims[d].size < 0 && value->dims[d].symbol && b < n; b++)
                if (strcmp(bindings[b].symbol, value->dims[d].symbol) == 0)
                    in[i].dims[d] = bindings[b].size;
        }
    }
    lac_status status = lac_shapes_infer(shapes, graph, in, 1 << 16, tolerant, err);
    lac_free(in);
    return status;
}

/* ---- symbols: the difference that one symbol makes ----------------------------------------------
 */

enum { MAX_SYMBOLS = 8 };

static int collect_symbols(const lac_graph *graph, const char **symbols)
{
    int count = 0;
    for (int i = 0; i < graph->n_inputs; i++) {
        const lac_value *value = &graph->values[graph->inputs[i]];
        for (int d = 0; d < value->rank; d++) {
            const char *symbol = value->dims[d].size < 0 ? value->dims[d].symbol : NULL;
            bool there = !symbol;
            for (int s = 0; s < count && !there; s++)
                there = strcmp(symbols[s], symbol) == 0;
            if (!there && count < MAX_SYMBOLS)
                symbols[count++] = symbol;
        }
    }
    return count;
}

/* A size that was `a` and becomes `b` when the symbol goes from 2 to 3 is slope * symbol + rest;
 * text "N", "2*N", "N+1"; "?" when several symbols move it. */
static void name_size(char *text, size_t size, const char *symbol, int64_t a, int64_t b)
{
    int64_t slope = b - a, rest = a - 2 * slope;
    char tail[32] = "";
    if (rest)
        snprintf(tail, sizeof tail, "%+" PRId64, rest);
    if (slope == 1)
        snprintf(text, size, "%s%s", symbol, tail);
    else
        snprintf(text, size, "%" PRId64 "*%s%s", slope, symbol, tail);
}

static lac_status annotate_value(lac_graph *graph, int v, const lac_tensor *base,
                                 const lac_shapes *moved, int n, const char **symbols,
                                 lac_error *err)
{
    lac_value *value = &graph->values[v];
    if (base->dtype == LAC_NONE)
        return LAC_OK;
    value->dtype = base->dtype;
    value->rank = base->rank;
    for (int d = 0; d < base->rank; d++) {
        char text[96] = "";
        int movers = 0;
        for (int s = 0; s < n; s++) {
            const lac_tensor *other = &moved[s].value[v];
            if (other->dtype != base->dtype || other->rank != base->rank)
                movers = 2;
            else if (other->dims[d] != base->dims[d] && movers++ == 0)
                name_size(text, sizeof text, symbols[s], base->dims[d], other->dims[d]);
        }
        value->dims[d].size = movers ? -1 : base->dims[d];
        value->dims[d].symbol = NULL;
        if (movers) {
            value->dims[d].symbol = lac_arena_intern(graph->arena, movers > 1 ? "?" : text,
                                                     movers > 1 ? 1 : strlen(text), err);
            if (!value->dims[d].symbol)
                return LAC_ERROR_MEMORY;
        }
    }
    return LAC_OK;
}

lac_status lac_graph_annotate(lac_graph *graph, lac_error *err)
{
    const char *symbols[MAX_SYMBOLS];
    lac_shapes base, moved[MAX_SYMBOLS] = {{0}};
    int n = collect_symbols(graph, symbols);
    LAC_TRY(lac_graph_infer(&base, graph, 0, NULL, 2, true, err));
    lac_status status = LAC_OK;
    for (int s = 0; status == LAC_OK && s < n; s++) {
        lac_binding binding = {symbols[s], 3};
        status = lac_graph_infer(&moved[s], graph, 1, &binding, 2, true, err);
    }
    for (int v = 0; status == LAC_OK && v < graph->n_values; v++) {
        bool input = false;
        for (int i = 0; i < graph->n_inputs; i++)
            input |= graph->inputs[i] == v;
        if (!input)
            status = annotate_value(graph, v, &base.value[v], moved, n, symbols, err);
    }
    lac_shapes_release(&base);
    for (int s = 0; s < n; s++)
        lac_shapes_release(&moved[s]);
    return status;
}
