/* Attributes of nodes: readers with defaults, setters that copy into the graph's arena. */
#include <lacuna/graph.h>

#include "core/memory.h"

#include <string.h>

const lac_attr *lac_node_attr(const lac_node *node, const char *name)
{
    for (int i = 0; i < node->n_attrs; i++)
        if (strcmp(node->attrs[i].name, name) == 0)
            return &node->attrs[i];
    return NULL;
}

static const lac_attr *typed(const lac_node *node, const char *name, lac_attr_type type)
{
    const lac_attr *attr = lac_node_attr(node, name);
    return attr && attr->type == type ? attr : NULL;
}

int64_t lac_node_int(const lac_node *node, const char *name, int64_t initial)
{
    const lac_attr *attr = typed(node, name, LAC_ATTR_INT);
    return attr ? attr->i : initial;
}

float lac_node_float(const lac_node *node, const char *name, float initial)
{
    const lac_attr *attr = typed(node, name, LAC_ATTR_FLOAT);
    return attr ? attr->f : initial;
}

const char *lac_node_string(const lac_node *node, const char *name, const char *initial)
{
    const lac_attr *attr = typed(node, name, LAC_ATTR_STRING);
    return attr ? attr->s : initial;
}

const int64_t *lac_node_ints(const lac_node *node, const char *name, int64_t *n)
{
    const lac_attr *attr = typed(node, name, LAC_ATTR_INTS);
    if (n)
        *n = attr ? attr->n : 0;
    return attr ? attr->ints : NULL;
}

/* The attribute `name` of the node, emptied, or a new one at the end. */
static lac_attr *place(lac_graph *graph, lac_node *node, const char *name, lac_attr_type type,
                       lac_error *err)
{
    const char *kept = lac_arena_intern(graph->arena, name, strlen(name), err);
    if (!kept)
        return NULL;
    lac_attr *attr = (lac_attr *)lac_node_attr(node, kept);
    if (!attr) { /* few attributes a node: growing by one and copying is simple and cheap */
        lac_attr *attrs =
            lac_arena_alloc(graph->arena, (size_t)node->n_attrs + 1, sizeof *attrs, err);
        if (!attrs)
            return NULL;
        if (node->n_attrs)
            memcpy(attrs, node->attrs, (size_t)node->n_attrs * sizeof *attrs);
        node->attrs = attrs;
        attr = &attrs[node->n_attrs++];
    } else {
        lac_tensor_release(&attr->tensor);
    }
    memset(attr, 0, sizeof *attr);
    attr->name = kept;
    attr->type = type;
    return attr;
}

lac_status lac_node_set_int(lac_graph *graph, lac_node *node, const char *name, int64_t i,
                            lac_error *err)
{
    lac_attr *attr = place(graph, node, name, LAC_ATTR_INT, err);
    if (!attr)
        return LAC_ERROR_MEMORY;
    attr->i = i;
    return LAC_OK;
}

lac_status lac_node_set_float(lac_graph *graph, lac_node *node, const char *name, float f,
                              lac_error *err)
{
    lac_attr *attr = place(graph, node, name, LAC_ATTR_FLOAT, err);
    if (!attr)
        return LAC_ERROR_MEMORY;
    attr->f = f;
    return LAC_OK;
}

lac_status lac_node_set_string(lac_graph *graph, lac_node *node, const char *name, const char *s,
                               lac_error *err)
{
    const char *kept = lac_arena_intern(graph->arena, s, strlen(s), err);
    lac_attr *attr = kept ? place(graph, node, name, LAC_ATTR_STRING, err) : NULL;
    if (!attr)
        return LAC_ERROR_MEMORY;
    attr->s = kept;
    return LAC_OK;
}

lac_status lac_node_set_ints(lac_graph *graph, lac_node *node, const char *name, int64_t n,
                             const int64_t *ints, lac_error *err)
{
    int64_t *kept = lac_arena_alloc(graph->arena, (size_t)n, sizeof *kept, err);
    lac_attr *attr = kept ? place(graph, node, name, LAC_ATTR_INTS, err) : NULL;
    if (!attr)
        return LAC_ERROR_MEMORY;
    if (n > 0)
        memcpy(kept, ints, (size_t)n * sizeof *kept);
    attr->n = n;
    attr->ints = kept;
    return LAC_OK;
}

lac_status lac_node_set_floats(lac_graph *graph, lac_node *node, const char *name, int64_t n,
                               const float *floats, lac_error *err)
{
    float *kept = lac_arena_alloc(graph->arena, (size_t)n, sizeof *kept, err);
    lac_attr *attr = kept ? place(graph, node, name, LAC_ATTR_FLOATS, err) : NULL;
    if (!attr)
        return LAC_ERROR_MEMORY;
    if (n > 0)
        memcpy(kept, floats, (size_t)n * sizeof *kept);
    attr->n = n;
    attr->floats = kept;
    return LAC_OK;
}

lac_status lac_node_set_strings(lac_graph *graph, lac_node *node, const char *name, int64_t n,
                                const char *const *strings, lac_error *err)
{
    const char **kept = lac_arena_alloc(graph->arena, (size_t)n, sizeof *kept, err);
    for (int64_t i = 0; kept && i < n; i++)
        if (!(kept[i] = lac_arena_intern(graph->arena, strings[i], strlen(strings[i]), err)))
            kept = NULL;
    lac_attr *attr = kept ? place(graph, node, name, LAC_ATTR_STRINGS, err) : NULL;
    if (!attr)
        return LAC_ERROR_MEMORY;
    attr->n = n;
    attr->strings = kept;
    return LAC_OK;
}

lac_status lac_node_set_tensor(lac_graph *graph, lac_node *node, const char *name,
                               const lac_tensor *tensor, lac_error *err)
{
    lac_attr *attr = place(graph, node, name, LAC_ATTR_TENSOR, err);
    if (!attr)
        return LAC_ERROR_MEMORY;
    lac_tensor_share(&attr->tensor, tensor);
    return LAC_OK;
}
