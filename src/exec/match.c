/* Looking at a graph: who makes, who reads, what is constant. */
#include "exec/pass.h"

#include <math.h>
#include <string.h>

bool lac_is_op(const lac_node *node, const char *op)
{
    return node && node->op && node->domain[0] == 0 && strcmp(node->op, op) == 0;
}

bool lac_is_fused(const lac_node *node, const char *op)
{
    return node && node->op && strcmp(node->op, op) == 0 &&
           strcmp(node->domain, LAC_EXEC_DOMAIN) == 0;
}

static lac_node *maker(const lac_graph *graph, int value)
{
    int p = value >= 0 ? graph->values[value].producer : -1;
    return p >= 0 && graph->nodes[p].op ? &graph->nodes[p] : NULL;
}

lac_node *lac_made_by(const lac_graph *graph, int value, const char *op)
{
    lac_node *node = maker(graph, value);
    return node && node->domain[0] == 0 && (!op || strcmp(node->op, op) == 0) ? node : NULL;
}

lac_node *lac_made_by_fused(const lac_graph *graph, int value, const char *op)
{
    lac_node *node = maker(graph, value);
    return lac_is_fused(node, op) ? node : NULL;
}

lac_node *lac_only_reader(const lac_graph *graph, int value)
{
    int reader = -1;
    if (lac_graph_readers(graph, value, &reader) != 1 || reader < 0)
        return NULL;
    return &graph->nodes[reader];
}

const lac_tensor *lac_constant_of(const lac_graph *graph, int value)
{
    return value >= 0 && graph->values[value].constant.data ? &graph->values[value].constant : NULL;
}

bool lac_number_of(const lac_graph *graph, int value, float *number)
{
    const lac_tensor *t = lac_constant_of(graph, value);
    if (!t || t->dtype != LAC_F32 || lac_tensor_count(t) != 1)
        return false;
    *number = ((const float *)t->data)[0];
    return true;
}

bool lac_is_number(const lac_graph *graph, int value, double expected)
{
    float number;
    return lac_number_of(graph, value, &number) &&
           fabs((double)number - expected) <= 1e-5 * fabs(expected);
}

int lac_ints_of(const lac_graph *graph, const lac_node *node, int input, const char *attr,
                int64_t *ints, int limit)
{
    int64_t n = 0;
    const int64_t *list = attr ? lac_node_ints(node, attr, &n) : NULL;
    if (list) {
        if (n > limit)
            return -1;
        memcpy(ints, list, (size_t)n * sizeof *ints);
        return (int)n;
    }
    const lac_tensor *t = input < node->n_in ? lac_constant_of(graph, node->in[input]) : NULL;
    if (!t || lac_tensor_count(t) > limit || (t->dtype != LAC_I64 && t->dtype != LAC_I32))
        return -1;
    n = lac_tensor_count(t);
    for (int i = 0; i < n; i++)
        ints[i] =
            t->dtype == LAC_I64 ? ((const int64_t *)t->data)[i] : ((const int32_t *)t->data)[i];
    return (int)n;
}

bool lac_same_shape(const lac_graph *graph, int a, int b)
{
    const lac_value *x = &graph->values[a], *y = &graph->values[b];
    if (x->rank < 0 || x->rank != y->rank || x->dtype != y->dtype)
        return false;
    for (int d = 0; d < x->rank; d++) {
        const char *s = x->dims[d].symbol, *t = y->dims[d].symbol;
        if (x->dims[d].size != y->dims[d].size)
            return false;
        if (x->dims[d].size < 0 && (!s || !t || strcmp(s, t) != 0 || strcmp(s, "?") == 0))
            return false;
    }
    return true;
}

void lac_replace_value(lac_graph *graph, int from, int to)
{
    for (int n = 0; n < graph->n_nodes; n++)
        for (int i = 0; graph->nodes[n].op && i < graph->nodes[n].n_in; i++)
            if (graph->nodes[n].in[i] == from)
                graph->nodes[n].in[i] = to;
    for (int i = 0; i < graph->n_outputs; i++)
        if (graph->outputs[i] == from)
            graph->outputs[i] = to;
}

void lac_delete_node(lac_node *node)
{
    node->op = NULL;
}
