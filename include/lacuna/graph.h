/* lacuna/graph.h - the only representation of a network: values, nodes, attributes.
 *
 * Everything of a graph lives as long as the graph (an arena); names are interned strings that
 * compare with strcmp. Nodes stand in topological order. Values are numbered from 0. */
#ifndef LACUNA_GRAPH_H
#define LACUNA_GRAPH_H

#include <lacuna/core.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lac_attr_type {
    LAC_ATTR_INT,
    LAC_ATTR_FLOAT,
    LAC_ATTR_STRING,
    LAC_ATTR_TENSOR,
    LAC_ATTR_INTS,
    LAC_ATTR_FLOATS,
    LAC_ATTR_STRINGS
} lac_attr_type;

typedef struct lac_attr {
    const char *name;
    lac_attr_type type;
    int64_t i;
    float f;
    const char *s;
    lac_tensor tensor;
    int64_t n; /* length of ints, floats or strings */
    const int64_t *ints;
    const float *floats;
    const char *const *strings;
} lac_attr;

typedef struct lac_node {
    const char *name;   /* may be "" in files; the importer then makes "Op_7" */
    const char *domain; /* "" is the ONNX standard domain; "lacuna", "com.microsoft", ... */
    const char *op;
    int n_in, n_out, n_attrs;
    int *in;  /* value numbers, -1 where an optional input is absent */
    int *out; /* value numbers, -1 where an optional output is not wanted */
    lac_attr *attrs;
} lac_node;

/* NULL / the given default where the node has no such attribute (or of another type). */
LAC_API const lac_attr *lac_node_attr(const lac_node *node, const char *name);
LAC_API int64_t lac_node_int(const lac_node *node, const char *name, int64_t initial);
LAC_API float lac_node_float(const lac_node *node, const char *name, float initial);
LAC_API const char *lac_node_string(const lac_node *node, const char *name, const char *initial);
LAC_API const int64_t *lac_node_ints(const lac_node *node, const char *name, int64_t *n);

/* A size, or a symbol ("N", "batch") whose size comes with the input: then size is -1. Unknown:
 * size -1, symbol NULL. */
typedef struct lac_dim {
    int64_t size;
    const char *symbol;
} lac_dim;

typedef struct lac_value {
    const char *name;
    lac_dtype dtype; /* LAC_NONE: not known */
    int rank;        /* -1: not known */
    lac_dim dims[LAC_MAX_RANK];
    lac_tensor constant; /* initializer or folded constant: data != NULL */
    int producer;        /* node number, -1 for inputs and constants */
} lac_value;

typedef struct lac_graph {
    struct lac_arena *arena;
    const char *name;
    int opset; /* of the standard domain */
    int n_values, n_nodes, n_inputs, n_outputs, n_meta;
    lac_value *values;
    lac_node *nodes;
    int *inputs, *outputs; /* value numbers; constants are not inputs */
    struct {
        const char *key, *text;
    } * meta;        /* metadata_props, in file order */
    int capacity[5]; /* of the five arrays above, private */
} lac_graph;

LAC_API lac_status lac_graph_make(lac_graph **graph, const char *name, int opset, lac_error *err);
LAC_API void lac_graph_free(lac_graph *graph);
/* A second graph with the same values; constants share their bytes. */
LAC_API lac_status lac_graph_copy(lac_graph **copy, const lac_graph *graph, lac_error *err);

/* Adds a value; `name` NULL makes a fresh one. Returns its number in *value. */
LAC_API lac_status lac_graph_value(lac_graph *graph, const char *name, int *value, lac_error *err);
/* Adds a constant value; takes over (moves) `tensor`'s claim. */
LAC_API lac_status lac_graph_constant(lac_graph *graph, const char *name, lac_tensor *tensor,
                                      int *value, lac_error *err);
/* Adds a node at the end with copies of the value lists. The returned pointer is valid until the
 * next node is added. */
LAC_API lac_status lac_graph_node(lac_graph *graph, const char *domain, const char *op,
                                  const char *name, int n_in, const int *in, int n_out,
                                  const int *out, lac_node **node, lac_error *err);
LAC_API lac_status lac_graph_input(lac_graph *graph, int value, lac_error *err);
LAC_API lac_status lac_graph_output(lac_graph *graph, int value, lac_error *err);
LAC_API lac_status lac_graph_meta_set(lac_graph *graph, const char *key, const char *text,
                                      lac_error *err);
LAC_API const char *lac_graph_meta(const lac_graph *graph, const char *key); /* or NULL */
LAC_API int lac_graph_find(const lac_graph *graph, const char *value_name);  /* or -1 */

/* Attribute setters replace an attribute of the same name; data is copied (tensors shared). */
LAC_API lac_status lac_node_set_int(lac_graph *graph, lac_node *node, const char *name, int64_t i,
                                    lac_error *err);
LAC_API lac_status lac_node_set_float(lac_graph *graph, lac_node *node, const char *name, float f,
                                      lac_error *err);
LAC_API lac_status lac_node_set_string(lac_graph *graph, lac_node *node, const char *name,
                                       const char *s, lac_error *err);
LAC_API lac_status lac_node_set_ints(lac_graph *graph, lac_node *node, const char *name, int64_t n,
                                     const int64_t *ints, lac_error *err);
LAC_API lac_status lac_node_set_floats(lac_graph *graph, lac_node *node, const char *name,
                                       int64_t n, const float *floats, lac_error *err);
LAC_API lac_status lac_node_set_strings(lac_graph *graph, lac_node *node, const char *name,
                                        int64_t n, const char *const *strings, lac_error *err);
LAC_API lac_status lac_node_set_tensor(lac_graph *graph, lac_node *node, const char *name,
                                       const lac_tensor *tensor, lac_error *err);

/* Sorts nodes topologically (stable), sets producers, drops nodes whose outputs nobody needs.
 * Errors: a cycle, a value that nothing produces, a value produced twice. Passes call it after
 * they have rewired nodes; a node whose `op` is NULL is deleted. */
LAC_API lac_status lac_graph_settle(lac_graph *graph, lac_error *err);
/* How many nodes (and graph outputs) read `value`; the node number of one reader in *reader. */
LAC_API int lac_graph_readers(const lac_graph *graph, int value, int *reader);

#ifdef __cplusplus
}
#endif
#endif
