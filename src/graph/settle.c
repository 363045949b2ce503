/* Restores the promises of a graph after it was read or rewired: nodes in topological order,
 * producers right, nothing dead. A depth-first walk from the outputs, without recursion, because
 * the depth of a hostile graph is not ours to choose. */
#include <lacuna/graph.h>

#include "core/memory.h"

#include <string.h>

typedef struct walk {
    lac_graph *graph;
    lac_node *sorted;
    int n_sorted;
    unsigned char *state; /* of each node: 0 new, 1 open, 2 done */
    struct frame {
        int node, next_input;
    } * stack;
    int depth;
} walk;

static lac_status find_producers(lac_graph *graph, lac_error *err)
{
    for (int v = 0; v < graph->n_values; v++)
        graph->values[v].producer = -1;
    for (int n = 0; n < graph->n_nodes; n++) {
        const lac_node *node = &graph->nodes[n];
        for (int i = 0; node->op && i < node->n_out; i++) {
            if (node->out[i] < 0)
                continue;
            lac_value *value = &graph->values[node->out[i]];
            if (value->producer >= 0 || value->constant.data)
                return lac_fail(err, LAC_ERROR_INPUT,
                                "value '%s' is produced twice, the second time by node '%s' (%s)",
                                value->name, node->name, node->op);
            value->producer = n;
        }
    }
    for (int i = 0; i < graph->n_inputs; i++) {
        const lac_value *value = &graph->values[graph->inputs[i]];
        if (value->producer >= 0)
            return lac_fail(err, LAC_ERROR_INPUT, "input '%s' is also produced by node '%s'",
                            value->name, graph->nodes[value->producer].name);
    }
    return LAC_OK;
}

static bool is_input(const lac_graph *graph, int value)
{
    for (int i = 0; i < graph->n_inputs; i++)
        if (graph->inputs[i] == value)
            return true;
    return false;
}

/* Opens the producer of `value`, if it has one that is new. */
static lac_status visit(walk *w, int value, const char *reader, lac_error *err)
{
    const lac_value *v = &w->graph->values[value];
    int producer = v->producer;
    if (producer < 0) {
        if (v->constant.data || is_input(w->graph, value) ||
            (v->rank >= 0 && v->constant.dtype != LAC_NONE)) /* an empty constant */
            return LAC_OK;
        return lac_fail(err, LAC_ERROR_INPUT, "value '%s' read by %s is produced by nothing",
                        v->name, reader);
    }
    if (w->state[producer] == 1)
        return lac_fail(err, LAC_ERROR_INPUT, "the graph has a cycle through node '%s'",
                        w->graph->nodes[producer].name);
    if (w->state[producer] == 0) {
        w->state[producer] = 1;
        w->stack[w->depth].node = producer;
        w->stack[w->depth++].next_input = 0;
    }
    return LAC_OK;
}

static lac_status drain(walk *w, lac_error *err)
{
    while (w->depth > 0) {
        struct frame *top = &w->stack[w->depth - 1];
        const lac_node *node = &w->graph->nodes[top->node];
        if (top->next_input == node->n_in) {
            w->state[top->node] = 2;
            w->sorted[w->n_sorted++] = *node;
            w->depth--;
            continue;
        }
        int value = node->in[top->next_input++];
        if (value >= 0)
            LAC_TRY(visit(w, value, node->name, err));
    }
    return LAC_OK;
}

static void drop_attrs(lac_node *node)
{
    for (int a = 0; a < node->n_attrs; a++)
        lac_tensor_release(&node->attrs[a].tensor);
}

lac_status lac_graph_settle(lac_graph *graph, lac_error *err)
{
    LAC_TRY(find_producers(graph, err));
    size_t n = (size_t)graph->n_nodes + 1;
    walk w = {.graph = graph,
              .sorted = lac_alloc(n, sizeof(lac_node), err),
              .state = lac_alloc(n, 1, err),
              .stack = lac_alloc(n, sizeof *w.stack, err)};
    lac_status status = w.sorted && w.state && w.stack ? LAC_OK : LAC_ERROR_MEMORY;
    /* Walking the nodes that reach an output in file order keeps the sort stable: mark first what
     * is needed, then emit. The walk from each output in turn does both. */
    for (int i = 0; status == LAC_OK && i < graph->n_outputs; i++) {
        status = visit(&w, graph->outputs[i], "the graph's outputs", err);
        if (status == LAC_OK)
            status = drain(&w, err);
    }
    if (status == LAC_OK) {
        for (int i = 0; i < graph->n_nodes; i++)
            if (w.state[i] != 2)
                drop_attrs(&graph->nodes[i]);
        if (w.n_sorted > 0)
            memcpy(graph->nodes, w.sorted, (size_t)w.n_sorted * sizeof(lac_node));
        graph->n_nodes = w.n_sorted;
        status = find_producers(graph, err);
    }
    lac_free(w.sorted);
    lac_free(w.state);
    lac_free(w.stack);
    return status;
}
