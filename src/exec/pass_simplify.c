/* Constant folding, identities; and the order in which all passes run. */
#include "exec/pass.h"

#include "core/memory.h"

#include <string.h>

/* Folding stops at results larger than this: a graph of a few bytes could ask for gigabytes. */
enum { FOLD_LIMIT = 1 << 30 };

static lac_status fold_node(lac_graph *graph, lac_node *node, const lac_op *op, lac_error *err)
{
    const lac_tensor *in[64];
    lac_tensor out[8] = {{0}};
    if (node->n_in > 64 || node->n_out > 8)
        return LAC_OK;
    for (int i = 0; i < node->n_in; i++)
        in[i] = node->in[i] >= 0 ? &graph->values[node->in[i]].constant : NULL;
    for (int i = 0; i < node->n_out; i++)
        out[i].dtype = node->out[i] >= 0 ? LAC_F32 : LAC_NONE;
    lac_call call = {node, graph->opset, node->n_in, node->n_out, in, out};
    if (op->infer(&call, NULL) != LAC_OK)
        return LAC_OK; /* the plan will say why, with names */
    lac_status status = LAC_OK;
    bool small = true;
    for (int i = 0; i < node->n_out; i++) {
        int64_t count;
        small &= node->out[i] < 0 ||
                 (lac_shape_count(out[i].rank, out[i].dims, &count, NULL) == LAC_OK &&
                  count < FOLD_LIMIT / 8 && count > 0);
    }
    for (int i = 0; small && status == LAC_OK && i < node->n_out; i++) {
        if (node->out[i] >= 0)
            status = lac_tensor_make(&out[i], out[i].dtype, out[i].rank, out[i].dims, err);
        else
            out[i].dtype = LAC_NONE;
    }
    if (small && status == LAC_OK && op->run(&call, NULL) == LAC_OK) {
        for (int i = 0; i < node->n_out; i++)
            if (node->out[i] >= 0) {
                lac_value *value = &graph->values[node->out[i]];
                value->dtype = out[i].dtype;
                value->rank = out[i].rank;
                for (int d = 0; d < out[i].rank; d++)
                    value->dims[d] = (lac_dim){out[i].dims[d], NULL};
                value->constant = out[i];
                value->producer = -1;
                memset(&out[i], 0, sizeof out[i]);
            }
        lac_delete_node(node);
    }
    for (int i = 0; i < 8; i++)
        lac_tensor_release(&out[i]);
    return status;
}

lac_status lac_pass_fold(lac_graph *graph, lac_error *err)
{
    for (int n = 0; n < graph->n_nodes; n++) {
        lac_node *node = &graph->nodes[n];
        const lac_op *op = lac_exec_op(node);
        bool known = op && !(op->flags & LAC_OP_RANDOM) &&
                     strcmp(node->domain, LAC_EXEC_DOMAIN) != 0 &&
                     !(strcmp(node->domain, "lacuna") == 0 && strcmp(node->op, "Unpack") == 0);
        for (int i = 0; i < node->n_in && known; i++)
            known = node->in[i] < 0 || lac_constant_of(graph, node->in[i]);
        if (known && !lac_is_integer_weight(graph, node))
            LAC_TRY(fold_node(graph, node, op, err));
    }
    return lac_graph_settle(graph, err);
}

/* Identity always; Dropout where its mask is not read. A graph output keeps its name: it is left
 * to be a view. */
lac_status lac_pass_identity(lac_graph *graph, lac_error *err)
{
    for (int n = 0; n < graph->n_nodes; n++) {
        lac_node *node = &graph->nodes[n];
        bool drop =
            lac_is_op(node, "Identity") ||
            (lac_is_op(node, "Dropout") && (node->n_out < 2 || node->out[1] < 0 ||
                                            lac_graph_readers(graph, node->out[1], NULL) == 0));
        bool is_output = false;
        for (int i = 0; i < graph->n_outputs; i++)
            is_output |= graph->outputs[i] == node->out[0];
        if (drop && !is_output) {
            lac_replace_value(graph, node->out[0], node->in[0]);
            lac_delete_node(node);
        }
    }
    return lac_graph_settle(graph, err);
}

lac_status lac_passes(lac_graph *graph, bool fuse, bool requantise, lac_error *err)
{
    static lac_status (*const passes[])(lac_graph *, lac_error *) = {
        lac_pass_identity,  lac_graph_annotate, lac_pass_norm,       lac_pass_products,
        lac_pass_qdq,       lac_graph_annotate, lac_pass_activation, lac_pass_epilogue,
        lac_pass_attention, lac_graph_annotate, lac_pass_layout,     lac_pass_fold};
    LAC_TRY(lac_graph_settle(graph, err));
    LAC_TRY(lac_pass_fold(graph, err));
    for (size_t i = 0; fuse && i < sizeof passes / sizeof *passes; i++)
        LAC_TRY(passes[i](graph, err));
    return fuse && requantise ? lac_pass_requantise(graph, err) : LAC_OK;
}
