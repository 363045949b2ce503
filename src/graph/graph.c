/* The graph: three growing arrays (values, nodes, metadata) over one arena. Nodes refer to values
 * by number; lac_graph_settle restores order and producers after passes have rewired. */
#include <lacuna/graph.h>

#include "core/memory.h"

#include <stdio.h>
#include <string.h>

enum { VALUES, NODES, INPUTS, OUTPUTS, META };

/* Room for one more element in an array of the graph. */
static lac_status room(lac_graph *graph, int which, void **array, int count, size_t size,
                       lac_error *err)
{
    if (count < graph->capacity[which])
        return LAC_OK;
    if (count > INT32_MAX / 2)
        return lac_fail(err, LAC_ERROR_INPUT, "the graph has more than %d elements", count);
    int capacity = count < 16 ? 16 : 2 * count;
    void *bigger = lac_grow(*array, (size_t)count, (size_t)capacity, size, err);
    if (!bigger)
        return LAC_ERROR_MEMORY;
    *array = bigger;
    graph->capacity[which] = capacity;
    return LAC_OK;
}

static const char *intern(lac_graph *graph, const char *text, lac_error *err)
{
    return lac_arena_intern(graph->arena, text, strlen(text), err);
}

lac_status lac_graph_make(lac_graph **graph, const char *name, int opset, lac_error *err)
{
    lac_graph *made = lac_alloc(1, sizeof *made, err);
    if (!made)
        return LAC_ERROR_MEMORY;
    made->arena = lac_arena_make(err);
    made->opset = opset;
    made->name = made->arena ? intern(made, name ? name : "", err) : NULL;
    if (!made->name) {
        lac_graph_free(made);
        return LAC_ERROR_MEMORY;
    }
    *graph = made;
    return LAC_OK;
}

void lac_graph_free(lac_graph *graph)
{
    if (!graph)
        return;
    for (int i = 0; i < graph->n_values; i++)
        lac_tensor_release(&graph->values[i].constant);
    for (int i = 0; i < graph->n_nodes; i++)
        for (int a = 0; a < graph->nodes[i].n_attrs; a++)
            lac_tensor_release(&graph->nodes[i].attrs[a].tensor);
    lac_free(graph->values);
    lac_free(graph->nodes);
    lac_free(graph->inputs);
    lac_free(graph->outputs);
    lac_free(graph->meta);
    lac_arena_free(graph->arena);
    lac_free(graph);
}

lac_status lac_graph_value(lac_graph *graph, const char *name, int *value, lac_error *err)
{
    char fresh[32];
    if (!name) {
        snprintf(fresh, sizeof fresh, "_%d", graph->n_values);
        name = fresh;
    }
    LAC_TRY(room(graph, VALUES, (void **)&graph->values, graph->n_values, sizeof(lac_value), err));
    lac_value *made = &graph->values[graph->n_values];
    memset(made, 0, sizeof *made);
    made->name = intern(graph, name, err);
    if (!made->name)
        return LAC_ERROR_MEMORY;
    made->rank = -1;
    made->producer = -1;
    *value = graph->n_values++;
    return LAC_OK;
}

lac_status lac_graph_constant(lac_graph *graph, const char *name, lac_tensor *tensor, int *value,
                              lac_error *err)
{
    LAC_TRY(lac_graph_value(graph, name, value, err));
    lac_value *made = &graph->values[*value];
    made->dtype = tensor->dtype;
    made->rank = tensor->rank;
    for (int i = 0; i < tensor->rank; i++)
        made->dims[i].size = tensor->dims[i];
    made->constant = *tensor;
    memset(tensor, 0, sizeof *tensor);
    return LAC_OK;
}

static int *copy_ints(lac_graph *graph, int n, const int *list, lac_error *err)
{
    int *copy = lac_arena_alloc(graph->arena, (size_t)n + 1, sizeof *copy, err);
    if (copy && n > 0)
        memcpy(copy, list, (size_t)n * sizeof *copy);
    return copy;
}

lac_status lac_graph_node(lac_graph *graph, const char *domain, const char *op, const char *name,
                          int n_in, const int *in, int n_out, const int *out, lac_node **node,
                          lac_error *err)
{
    LAC_TRY(room(graph, NODES, (void **)&graph->nodes, graph->n_nodes, sizeof(lac_node), err));
    lac_node made = {.n_in = n_in, .n_out = n_out};
    char fresh[160];
    if (!name || !name[0]) {
        snprintf(fresh, sizeof fresh, "%.120s_%d", op, graph->n_nodes);
        name = fresh;
    }
    made.name = intern(graph, name, err);
    made.domain = intern(graph, domain, err);
    made.op = intern(graph, op, err);
    made.in = copy_ints(graph, n_in, in, err);
    made.out = copy_ints(graph, n_out, out, err);
    if (!made.name || !made.domain || !made.op || !made.in || !made.out)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < n_out; i++)
        if (out[i] >= 0)
            graph->values[out[i]].producer = graph->n_nodes;
    graph->nodes[graph->n_nodes] = made;
    if (node)
        *node = &graph->nodes[graph->n_nodes];
    graph->n_nodes++;
    return LAC_OK;
}

lac_status lac_graph_input(lac_graph *graph, int value, lac_error *err)
{
    LAC_TRY(room(graph, INPUTS, (void **)&graph->inputs, graph->n_inputs, sizeof(int), err));
    graph->inputs[graph->n_inputs++] = value;
    return LAC_OK;
}

lac_status lac_graph_output(lac_graph *graph, int value, lac_error *err)
{
    LAC_TRY(room(graph, OUTPUTS, (void **)&graph->outputs, graph->n_outputs, sizeof(int), err));
    graph->outputs[graph->n_outputs++] = value;
    return LAC_OK;
}

lac_status lac_graph_meta_set(lac_graph *graph, const char *key, const char *text, lac_error *err)
{
    const char *kept_key = intern(graph, key, err), *kept = intern(graph, text, err);
    if (!kept_key || !kept)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < graph->n_meta; i++)
        if (strcmp(graph->meta[i].key, key) == 0) {
            graph->meta[i].text = kept;
            return LAC_OK;
        }
    LAC_TRY(room(graph, META, (void **)&graph->meta, graph->n_meta, sizeof *graph->meta, err));
    graph->meta[graph->n_meta].key = kept_key;
    graph->meta[graph->n_meta++].text = kept;
    return LAC_OK;
}

const char *lac_graph_meta(const lac_graph *graph, const char *key)
{
    for (int i = 0; i < graph->n_meta; i++)
        if (strcmp(graph->meta[i].key, key) == 0)
            return graph->meta[i].text;
    return NULL;
}

int lac_graph_find(const lac_graph *graph, const char *value_name)
{
    for (int i = 0; i < graph->n_values; i++)
        if (strcmp(graph->values[i].name, value_name) == 0)
            return i;
    return -1;
}

int lac_graph_readers(const lac_graph *graph, int value, int *reader)
{
    int count = 0;
    for (int n = 0; n < graph->n_nodes; n++)
        for (int i = 0; graph->nodes[n].op && i < graph->nodes[n].n_in; i++)
            if (graph->nodes[n].in[i] == value) {
                if (count++ == 0 && reader)
                    *reader = n;
            }
    for (int i = 0; i < graph->n_outputs; i++)
        count += graph->outputs[i] == value;
    return count;
}

static lac_status copy_attrs(lac_graph *to, lac_node *node, const lac_node *from, lac_error *err)
{
    for (int a = 0; a < from->n_attrs; a++) {
        const lac_attr *attr = &from->attrs[a];
        switch (attr->type) {
        case LAC_ATTR_INT:
            LAC_TRY(lac_node_set_int(to, node, attr->name, attr->i, err));
            break;
        case LAC_ATTR_FLOAT:
            LAC_TRY(lac_node_set_float(to, node, attr->name, attr->f, err));
            break;
        case LAC_ATTR_STRING:
            LAC_TRY(lac_node_set_string(to, node, attr->name, attr->s, err));
            break;
        case LAC_ATTR_TENSOR:
            LAC_TRY(lac_node_set_tensor(to, node, attr->name, &attr->tensor, err));
            break;
        case LAC_ATTR_INTS:
            LAC_TRY(lac_node_set_ints(to, node, attr->name, attr->n, attr->ints, err));
            break;
        case LAC_ATTR_FLOATS:
            LAC_TRY(lac_node_set_floats(to, node, attr->name, attr->n, attr->floats, err));
            break;
        case LAC_ATTR_STRINGS:
            LAC_TRY(lac_node_set_strings(to, node, attr->name, attr->n, attr->strings, err));
            break;
        }
    }
    return LAC_OK;
}

static lac_status fill_copy(lac_graph *made, const lac_graph *graph, lac_error *err)
{
    for (int i = 0; i < graph->n_values; i++) {
        int value;
        const lac_value *from = &graph->values[i];
        LAC_TRY(lac_graph_value(made, from->name, &value, err));
        lac_value *to = &made->values[value];
        const char *name = to->name;
        *to = *from;
        to->name = name;
        memset(&to->constant, 0, sizeof to->constant);
        for (int d = 0; d < LAC_MAX_RANK; d++)
            if (from->dims[d].symbol &&
                !(to->dims[d].symbol = intern(made, from->dims[d].symbol, err)))
                return LAC_ERROR_MEMORY;
        lac_tensor_share(&to->constant, &from->constant);
    }
    for (int i = 0; i < graph->n_nodes; i++) {
        const lac_node *from = &graph->nodes[i];
        lac_node *node;
        LAC_TRY(lac_graph_node(made, from->domain, from->op, from->name, from->n_in, from->in,
                               from->n_out, from->out, &node, err));
        LAC_TRY(copy_attrs(made, node, from, err));
    }
    for (int i = 0; i < graph->n_inputs; i++)
        LAC_TRY(lac_graph_input(made, graph->inputs[i], err));
    for (int i = 0; i < graph->n_outputs; i++)
        LAC_TRY(lac_graph_output(made, graph->outputs[i], err));
    for (int i = 0; i < graph->n_meta; i++)
        LAC_TRY(lac_graph_meta_set(made, graph->meta[i].key, graph->meta[i].text, err));
    return LAC_OK;
}

lac_status lac_graph_copy(lac_graph **copy, const lac_graph *graph, lac_error *err)
{
    lac_graph *made;
    LAC_TRY(lac_graph_make(&made, graph->name, graph->opset, err));
    lac_status status = fill_copy(made, graph, err);
    if (status != LAC_OK)
        lac_graph_free(made);
    else
        *copy = made;
    return status;
}
