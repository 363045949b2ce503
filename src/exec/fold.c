/* Evaluates one value by walking to its constants. Recursion is bounded: an honest chain from a
 * stored weight to its reader is a Cast, a DequantizeLinear, a Transpose; not a network. */
#include "exec/fold.h"

#include "core/memory.h"

#include <lacuna/op.h>
#include <string.h>

enum { DEPTH = 16, INPUTS = 16, OUTPUTS = 4 };

static lac_status evaluate(const lac_graph *graph, int value, int depth, lac_tensor *tensor,
                           lac_error *err);

/* Runs the node; its first input tensors and its outputs are the caller's arrays. */
static lac_status apply(const lac_graph *graph, const lac_node *node, int depth, lac_tensor *in,
                        lac_tensor *out, lac_error *err)
{
    const lac_op *op = lac_op_find(node->domain, node->op);
    const lac_tensor *list[INPUTS] = {0};
    if (!op)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "node '%s': unknown operator %s", node->name,
                        node->op);
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] >= 0) {
            LAC_TRY(evaluate(graph, node->in[i], depth - 1, &in[i], err));
            list[i] = &in[i];
        }
    lac_call call = {.node = node,
                     .opset = graph->opset,
                     .n_in = node->n_in,
                     .n_out = node->n_out,
                     .in = list,
                     .out = out};
    lac_status status = op->infer(&call, err);
    for (int i = 0; status == LAC_OK && i < node->n_out; i++)
        if (node->out[i] >= 0)
            status = lac_tensor_make(&out[i], out[i].dtype, out[i].rank, out[i].dims, err);
    if (status == LAC_OK)
        status = op->run(&call, err);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "node '%s'", node->name);
}

static lac_status evaluate(const lac_graph *graph, int value, int depth, lac_tensor *tensor,
                           lac_error *err)
{
    const lac_value *v = &graph->values[value];
    if (v->constant.data) {
        lac_tensor_share(tensor, &v->constant);
        return LAC_OK;
    }
    if (v->producer < 0 || depth == 0)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "value '%s' is not constant", v->name);
    const lac_node *node = &graph->nodes[v->producer];
    if (node->n_in > INPUTS || node->n_out > OUTPUTS)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "node '%s' has more than %d inputs", node->name,
                        INPUTS);
    lac_tensor in[INPUTS] = {0}, out[OUTPUTS] = {0};
    lac_status status = apply(graph, node, depth, in, out, err);
    for (int i = 0; i < node->n_out; i++)
        if (status == LAC_OK && node->out[i] == value)
            lac_tensor_share(tensor, &out[i]);
    for (int i = 0; i < INPUTS; i++)
        lac_tensor_release(&in[i]);
    for (int i = 0; i < OUTPUTS; i++)
        if (out[i].buffer)
            lac_tensor_release(&out[i]);
    return status;
}

lac_status lac_fold_value(const lac_graph *graph, int value, lac_tensor *tensor, lac_error *err)
{
    memset(tensor, 0, sizeof *tensor);
    return evaluate(graph, value, DEPTH, tensor, err);
}
