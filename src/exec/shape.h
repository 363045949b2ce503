/* Shape inference over a graph: concrete sizes in, concrete sizes out; and the symbolic view of
 * it, found by asking twice. */
#ifndef LACUNA_EXEC_SHAPE_H
#define LACUNA_EXEC_SHAPE_H

#include <lacuna/graph.h>

/* One tensor per value: shape and element type (LAC_NONE: not known), and data where the value is
 * known before the run: constants, shapes, what follows from them. */
typedef struct lac_shapes {
    int n;
    lac_tensor *value;
} lac_shapes;

/* `in`: a tensor per graph input, of which only the shape is read. Values of at most `limit` bytes
 * that depend on known values only are computed. `tolerant`: nodes whose shapes cannot be inferred
 * leave their outputs unknown; otherwise the error names the node. */
lac_status lac_shapes_infer(lac_shapes *shapes, const lac_graph *graph, const lac_tensor *in,
                            size_t limit, bool tolerant, lac_error *err);
void lac_shapes_release(lac_shapes *shapes);

/* Sizes of a symbol, for lac_graph_infer. */
typedef struct lac_binding {
    const char *symbol;
    int64_t size;
} lac_binding;

/* Shapes with every symbolic input dimension set: by `bindings` (n of them), else to `other`. */
lac_status lac_graph_infer(lac_shapes *shapes, const lac_graph *graph, int n,
                           const lac_binding *bindings, int64_t other, bool tolerant,
                           lac_error *err);
/* Fills dtype, rank and dims of the graph's values: sizes, or symbols such as "N", "2*N", "N+1".
 * What cannot be inferred stays unknown. */
lac_status lac_graph_annotate(lac_graph *graph, lac_error *err);

#endif
