/* Reverse mode over the graph: the nodes are walked backwards from the output, each operator's row
 * appends what turns the gradient of its outputs into that of its inputs, and gradients of a value
 * with several readers are added. The result is a graph like any other. */
#include <lacuna/train.h>

#include "core/memory.h"
#include "exec/shape.h"
#include "format/packed.h"

#include <lacuna/op.h>
#include <stdio.h>
#include <string.h>

typedef struct sweep {
    const lac_graph *source; /* whose nodes are walked */
    lac_graph *graph;        /* the same with gradients behind */
    unsigned char *depends;  /* of each value: on a parameter */
    int *grad;               /* of each value: its gradient, or -1 */
} sweep;

/* ---- preparation ----------------------------------------------------------------------------- */

/* The parameter becomes an input; a node that made it makes a value nobody reads instead. */
static lac_status free_parameter(lac_graph *graph, int value, lac_error *err)
{
    lac_value *v = &graph->values[value];
    if (!lac_dtype_is_float(v->dtype) || v->rank < 0)
        return lac_fail(err, LAC_ERROR_INPUT, "parameter '%s': element type %s, rank %d", v->name,
                        lac_dtype_name(v->dtype), v->rank);
    for (int i = 0; i < graph->n_inputs; i++)
        if (graph->inputs[i] == value)
            return lac_fail(err, LAC_ERROR_INPUT, "parameter '%s' is an input already", v->name);
    lac_tensor_release(&v->constant);
    for (int n = 0; n < graph->n_nodes; n++)
        for (int i = 0; i < graph->nodes[n].n_out; i++)
            if (graph->nodes[n].out[i] == value)
                LAC_TRY(lac_graph_value(graph, NULL, &graph->nodes[n].out[i], err));
    return lac_graph_input(graph, value, err);
}

/* A copy of the graph with parameters as inputs and the one output; nodes that do not matter are
 * dropped. */
static lac_status prepare(lac_graph **copy, const lac_graph *graph, int output, int n,
                          const int *parameter, lac_error *err)
{
    if (graph->opset < 13)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "the graph has opset %d: differentiation needs 13 or newer", graph->opset);
    if (output < 0 || output >= graph->n_values)
        return lac_fail(err, LAC_ERROR_INPUT, "value %d of %d", output, graph->n_values);
    LAC_TRY(lac_graph_copy(copy, graph, err));
    LAC_TRY(lac_graph_annotate(*copy, err));
    const lac_value *v = &(*copy)->values[output];
    bool scalar = lac_dtype_is_float(v->dtype) && v->rank >= 0;
    for (int d = 0; d < v->rank; d++)
        scalar &= v->dims[d].size == 1;
    if (!scalar)
        return lac_fail(err, LAC_ERROR_INPUT, "'%s' is not a float of one element", v->name);
    for (int i = 0; i < n; i++) {
        if (parameter[i] < 0 || parameter[i] >= graph->n_values)
            return lac_fail(err, LAC_ERROR_INPUT, "value %d of %d", parameter[i], graph->n_values);
        LAC_TRY(free_parameter(*copy, parameter[i], err));
    }
    (*copy)->n_outputs = 0;
    LAC_TRY(lac_graph_output(*copy, output, err));
    return lac_graph_settle(*copy, err);
}

static void mark(sweep *s, int n, const int *parameter)
{
    for (int i = 0; i < n; i++)
        s->depends[parameter[i]] = 1;
    for (int k = 0; k < s->source->n_nodes; k++) {
        const lac_node *node = &s->source->nodes[k];
        bool any = false;
        for (int i = 0; i < node->n_in; i++)
            any |= node->in[i] >= 0 && s->depends[node->in[i]];
        for (int i = 0; i < node->n_out; i++)
            if (node->out[i] >= 0)
                s->depends[node->out[i]] = any;
    }
}

/* ---- the walk -------------------------------------------------------------------------------- */

static lac_status accumulate(sweep *s, int value, int grad, lac_error *err)
{
    int *sum = &s->grad[value];
    if (*sum < 0) {
        *sum = grad;
        return LAC_OK;
    }
    return lac_body_op(s->graph, "Add", 2, (int[]){*sum, grad}, sum, NULL, err);
}

static lac_status back_through(sweep *s, const lac_node *node, int *grad_out, int *grad_in,
                               lac_error *err)
{
    const lac_op *op = lac_op_find(node->domain, node->op);
    bool reached = false, wanted = false;
    for (int i = 0; i < node->n_out; i++) {
        grad_out[i] = node->out[i] >= 0 ? s->grad[node->out[i]] : -1;
        reached |= grad_out[i] >= 0;
    }
    for (int i = 0; i < node->n_in; i++) {
        grad_in[i] = node->in[i] >= 0 && s->depends[node->in[i]] ? 0 : -1;
        wanted |= grad_in[i] == 0;
    }
    if (!reached || !wanted)
        return LAC_OK;
    if (!op || !op->gradient)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "operator %s%s%s (node '%s') has no gradient",
                        node->domain, node->domain[0] ? "." : "", node->op, node->name);
    lac_status status = op->gradient(s->graph, node, grad_out, grad_in, err);
    if (status != LAC_OK)
        return lac_fail_in(err, status, "gradient of %s (node '%s')", node->op, node->name);
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] >= 0 && s->depends[node->in[i]] && grad_in[i] >= 0)
            LAC_TRY(accumulate(s, node->in[i], grad_in[i], err));
    return LAC_OK;
}

static lac_status walk(sweep *s, lac_error *err)
{
    int most_in = 1, most_out = 1;
    for (int n = 0; n < s->source->n_nodes; n++) {
        const lac_node *node = &s->source->nodes[n];
        most_in = node->n_in > most_in ? node->n_in : most_in;
        most_out = node->n_out > most_out ? node->n_out : most_out;
    }
    int *grad_in = lac_alloc((size_t)most_in, sizeof *grad_in, err);
    int *grad_out = lac_alloc((size_t)most_out, sizeof *grad_out, err);
    lac_status status = grad_in && grad_out ? LAC_OK : LAC_ERROR_MEMORY;
    for (int n = s->source->n_nodes; status == LAC_OK && n-- > 0;)
        status = back_through(s, &s->source->nodes[n], grad_out, grad_in, err);
    lac_free(grad_in);
    lac_free(grad_out);
    return status;
}

/* d output / d output = 1 */
static lac_status begin(sweep *s, int output, lac_error *err)
{
    const lac_value *v = &s->source->values[output];
    int64_t dims[LAC_MAX_RANK];
    lac_tensor one;
    for (int d = 0; d < v->rank; d++)
        dims[d] = 1;
    for (int i = 0; i < s->source->n_values; i++)
        s->grad[i] = -1;
    LAC_TRY(lac_tensor_make(&one, v->dtype, v->rank, dims, err));
    lac_tensor_set(&one, 0, 1);
    lac_status status = lac_graph_constant(s->graph, NULL, &one, &s->grad[output], err);
    lac_tensor_release(&one);
    return status;
}

static lac_status name_gradient(sweep *s, int output, int parameter, lac_error *err)
{
    char name[300];
    int value;
    const char *parameter_name = s->source->values[parameter].name;
    if (s->grad[parameter] < 0)
        return lac_fail(err, LAC_ERROR_INPUT, "'%s' does not depend on '%s'",
                        s->source->values[output].name, parameter_name);
    snprintf(name, sizeof name, "%.280s.gradient", parameter_name);
    LAC_TRY(
        lac_graph_value(s->graph, lac_graph_find(s->graph, name) < 0 ? name : NULL, &value, err));
    LAC_TRY(lac_graph_node(s->graph, "", "Identity", NULL, 1, &s->grad[parameter], 1, &value, NULL,
                           err));
    return lac_graph_output(s->graph, value, err);
}

lac_status lac_differentiate(lac_graph **result, const lac_graph *graph, int output, int n,
                             const int *parameter, lac_error *err)
{
    lac_graph *source = NULL;
    sweep s = {0};
    lac_status status = prepare(&source, graph, output, n, parameter, err);
    s.source = source;
    if (status == LAC_OK)
        status = lac_graph_copy(&s.graph, source, err);
    if (status == LAC_OK) {
        s.depends = lac_alloc((size_t)source->n_values, 1, err);
        s.grad = lac_alloc((size_t)source->n_values, sizeof *s.grad, err);
        status = s.depends && s.grad ? LAC_OK : LAC_ERROR_MEMORY;
    }
    if (status == LAC_OK) {
        mark(&s, n, parameter);
        status = begin(&s, output, err);
    }
    if (status == LAC_OK)
        status = walk(&s, err);
    for (int i = 0; status == LAC_OK && i < n; i++)
        status = name_gradient(&s, output, parameter[i], err);
    if (status == LAC_OK)
        status = lac_graph_settle(s.graph, err);
    lac_graph_free(source);
    lac_free(s.depends);
    lac_free(s.grad);
    if (status == LAC_OK)
        *result = s.graph;
    else
        lac_graph_free(s.graph);
    return status;
}

/* ---- the loss -------------------------------------------------------------------------------- */

lac_status lac_loss_cross_entropy(lac_graph *graph, int logits, int *labels, int *loss,
                                  lac_error *err)
{
    int value, axis;
    lac_node *node;
    LAC_TRY(lac_graph_annotate(graph, err));
    lac_value like = graph->values[logits];
    if (!lac_dtype_is_float(like.dtype) || like.rank != 2)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "logits '%s' are not floats of shape [batch][classes]", like.name);
    LAC_TRY(
        lac_graph_value(graph, lac_graph_find(graph, "labels") < 0 ? "labels" : NULL, labels, err));
    graph->values[*labels].dtype = like.dtype;
    graph->values[*labels].rank = like.rank;
    memcpy(graph->values[*labels].dims, like.dims, sizeof like.dims);
    LAC_TRY(lac_graph_input(graph, *labels, err));
    LAC_TRY(lac_body_op(graph, "LogSoftmax", 1, &logits, &value, &node, err));
    LAC_TRY(lac_node_set_int(graph, node, "axis", -1, err));
    LAC_TRY(lac_body_op(graph, "Mul", 2, (int[]){*labels, value}, &value, NULL, err));
    LAC_TRY(lac_body_ints(graph, 1, (int64_t[]){1}, &axis, err));
    LAC_TRY(lac_body_op(graph, "ReduceSum", 2, (int[]){value, axis}, &value, &node, err));
    LAC_TRY(lac_node_set_int(graph, node, "keepdims", 0, err));
    LAC_TRY(lac_body_op(graph, "ReduceMean", 1, (int[]){value}, &value, &node, err));
    LAC_TRY(lac_node_set_int(graph, node, "keepdims", 0, err));
    return lac_body_op(graph, "Neg", 1, &value, loss, NULL, err);
}
