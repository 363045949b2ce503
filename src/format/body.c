/* Function bodies: a packed weight unpacked with standard operators only, so that any runtime that
 * inlines model-local functions runs our files. */
#include "format/packed.h"

#include "core/memory.h"

#include <string.h>

lac_status lac_body_op(lac_graph *graph, const char *op, int n_in, const int *in, int *out,
                       lac_node **node, lac_error *err)
{
    LAC_TRY(lac_graph_value(graph, NULL, out, err));
    return lac_graph_node(graph, "", op, NULL, n_in, in, 1, out, node, err);
}

lac_status lac_body_ints(lac_graph *graph, int n, const int64_t *values, int *out, lac_error *err)
{
    lac_tensor tensor;
    LAC_TRY(lac_tensor_make(&tensor, LAC_I64, 1, (int64_t[]){n}, err));
    memcpy(tensor.data, values, (size_t)n * sizeof *values);
    lac_status status = lac_graph_constant(graph, NULL, &tensor, out, err);
    lac_tensor_release(&tensor);
    return status;
}

lac_status lac_body_int32s(lac_graph *graph, int n, const int32_t *values, int *out, lac_error *err)
{
    lac_tensor tensor;
    LAC_TRY(lac_tensor_make(&tensor, LAC_I32, 1, (int64_t[]){n}, err));
    memcpy(tensor.data, values, (size_t)n * sizeof *values);
    lac_status status = lac_graph_constant(graph, NULL, &tensor, out, err);
    lac_tensor_release(&tensor);
    return status;
}

lac_status lac_body_cast(lac_graph *graph, int in, lac_dtype dtype, int *out, lac_error *err)
{
    lac_node *node;
    LAC_TRY(lac_body_op(graph, "Cast", 1, &in, out, &node, err));
    return lac_node_set_int(graph, node, "to", dtype, err);
}

lac_status lac_body_reshape(lac_graph *graph, int in, int n, const int64_t *dims, int *out,
                            lac_error *err)
{
    int pair[2] = {in};
    lac_node *node;
    LAC_TRY(lac_body_ints(graph, n, dims, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Reshape", 2, pair, out, &node, err));
    return lac_node_set_int(graph, node, "allowzero", 1, err); /* an empty weight stays empty */
}

lac_status lac_body_slice(lac_graph *graph, int in, int64_t axis, int64_t begin, int64_t end,
                          int *out, lac_error *err)
{
    int list[4] = {in};
    LAC_TRY(lac_body_ints(graph, 1, &begin, &list[1], err));
    LAC_TRY(lac_body_ints(graph, 1, &end, &list[2], err));
    LAC_TRY(lac_body_ints(graph, 1, &axis, &list[3], err));
    return lac_body_op(graph, "Slice", 4, list, out, NULL, err);
}

lac_status lac_body_zeros(lac_graph *graph, lac_dtype dtype, int n, const int64_t *dims, int *out,
                          lac_error *err)
{
    int shape;
    lac_node *node;
    lac_tensor zero;
    LAC_TRY(lac_body_ints(graph, n, dims, &shape, err));
    LAC_TRY(lac_body_op(graph, "ConstantOfShape", 1, &shape, out, &node, err));
    LAC_TRY(lac_tensor_make(&zero, dtype, 1, (int64_t[]){1}, err));
    lac_status status = lac_node_set_tensor(graph, node, "value", &zero, err);
    lac_tensor_release(&zero);
    return status;
}

lac_status lac_body_number(lac_graph *graph, const char *op, int x, int64_t number, int *out,
                           lac_error *err)
{
    int pair[2] = {x};
    LAC_TRY(lac_body_ints(graph, 1, &number, &pair[1], err));
    return lac_body_op(graph, op, 2, pair, out, NULL, err);
}

/* 0, 1, ... n - 1 */
static lac_status body_range(lac_graph *graph, int64_t n, int *out, lac_error *err)
{
    const int64_t bounds[3] = {0, n, 1};
    int in[3];
    for (int i = 0; i < 3; i++) {
        lac_tensor scalar;
        LAC_TRY(lac_tensor_make(&scalar, LAC_I64, 0, NULL, err));
        *(int64_t *)scalar.data = bounds[i];
        lac_status status = lac_graph_constant(graph, NULL, &scalar, &in[i], err);
        lac_tensor_release(&scalar);
        LAC_TRY(status);
    }
    return lac_body_op(graph, "Range", 3, in, out, NULL, err);
}

/* NonZero lists the true elements of [segment][place < count] in order. */
lac_status lac_body_segments(lac_graph *graph, int counts, int64_t n, int64_t most, int64_t total,
                             int *segment, lac_error *err)
{
    int pair[2], v;
    LAC_TRY(body_range(graph, most, &pair[0], err));
    LAC_TRY(lac_body_reshape(graph, counts, 2, (int64_t[]){n, 1}, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Less", 2, pair, &v, NULL, err));
    pair[0] = v;
    LAC_TRY(lac_body_op(graph, "NonZero", 1, pair, &v, NULL, err));
    LAC_TRY(lac_body_slice(graph, v, 0, 0, 1, &v, err));
    return lac_body_reshape(graph, v, 1, &total, segment, err);
}

/* What goes nowhere goes behind the end. */
lac_status lac_body_scatter(lac_graph *graph, lac_dtype dtype, int64_t count, int places,
                            int values, int drop, int *out, lac_error *err)
{
    int list[3] = {drop}, v;
    list[2] = places;
    LAC_TRY(lac_body_ints(graph, 1, &count, &list[1], err));
    LAC_TRY(lac_body_op(graph, "Where", 3, list, &v, NULL, err));
    LAC_TRY(lac_body_zeros(graph, dtype, 1, (int64_t[]){count + 1}, &list[0], err));
    list[1] = v;
    list[2] = values;
    LAC_TRY(lac_body_op(graph, "ScatterElements", 3, list, &v, NULL, err));
    return lac_body_slice(graph, v, 0, 0, count, out, err);
}

lac_status lac_body_bits(lac_graph *graph, int in, int64_t rows, int64_t row_bytes, int64_t count,
                         int bits, int *out, lac_error *err)
{
    static const int32_t powers[16] = {1,   2,   4,    8,    16,   32,   64,    128,
                                       256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
    int v, pair[2];
    if (bits == 0) /* nothing is stored: every number is 0 */
        return lac_body_zeros(graph, LAC_I64, 2, (int64_t[]){rows, count}, out, err);
    /* bytes -> single bits: floor(byte / 2^i) mod 2 */
    LAC_TRY(lac_body_cast(graph, in, LAC_I32, &v, err));
    LAC_TRY(lac_body_reshape(graph, v, 3, (int64_t[]){rows, row_bytes, 1}, &pair[0], err));
    LAC_TRY(lac_body_int32s(graph, 8, powers, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Div", 2, pair, &v, NULL, err));
    pair[0] = v;
    LAC_TRY(lac_body_int32s(graph, 1, &powers[1], &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Mod", 2, pair, &v, NULL, err));
    /* single bits -> numbers: weighted sum of each `bits` of them */
    LAC_TRY(lac_body_reshape(graph, v, 2, (int64_t[]){rows, row_bytes * 8}, &v, err));
    LAC_TRY(lac_body_slice(graph, v, 1, 0, count * bits, &v, err));
    LAC_TRY(lac_body_reshape(graph, v, 3, (int64_t[]){rows, count, bits}, &pair[0], err));
    LAC_TRY(lac_body_int32s(graph, bits, powers, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Mul", 2, pair, &v, NULL, err));
    lac_node *sum;
    int64_t last = 2;
    pair[0] = v;
    LAC_TRY(lac_body_ints(graph, 1, &last, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "ReduceSum", 2, pair, &v, &sum, err));
    LAC_TRY(lac_node_set_int(graph, sum, "keepdims", 0, err));
    return lac_body_cast(graph, v, LAC_I64, out, err);
}

/* The view, undone: matrix [rows][cols] -> tensor. */
static lac_status undo_view(const lac_packed *packed, lac_graph *graph, int matrix, int *tensor,
                            lac_error *err)
{
    lac_node *node;
    if (packed->view == LAC_VIEW_COLUMNS) {
        LAC_TRY(lac_body_op(graph, "Transpose", 1, &matrix, tensor, &node, err));
        return lac_node_set_ints(graph, node, "perm", 2, (int64_t[]){1, 0}, err);
    }
    if (packed->view == LAC_VIEW_CONV) { /* [n][spatial...][c] -> [n][c][spatial...] */
        int64_t dims[LAC_MAX_RANK], perm[LAC_MAX_RANK] = {0, packed->rank - 1};
        dims[0] = packed->dims[0];
        dims[packed->rank - 1] = packed->dims[1];
        for (int i = 2; i < packed->rank; i++) {
            dims[i - 1] = packed->dims[i];
            perm[i] = i - 1;
        }
        LAC_TRY(lac_body_reshape(graph, matrix, packed->rank, dims, &matrix, err));
        LAC_TRY(lac_body_op(graph, "Transpose", 1, &matrix, tensor, &node, err));
        return lac_node_set_ints(graph, node, "perm", packed->rank, perm, err);
    }
    return lac_body_reshape(graph, matrix, packed->rank, packed->dims, tensor, err);
}

static lac_status fill_body(const lac_packed *packed, lac_graph *graph, lac_error *err)
{
    int field[LAC_MAX_FIELDS], matrix, tensor, output;
    for (int i = 0; i < LAC_MAX_FIELDS && packed->format->fields[i].name; i++) {
        LAC_TRY(lac_graph_value(graph, packed->format->fields[i].name, &field[i], err));
        lac_value *value = &graph->values[field[i]];
        lac_dtype dtype = packed->format->fields[i].dtype;
        value->dtype = dtype == LAC_NONE ? packed->dtype : dtype;
        value->rank = 1;
        value->dims[0].size = packed->field[i].dims[0];
        LAC_TRY(lac_graph_input(graph, field[i], err));
    }
    LAC_TRY(packed->format->unpack_graph(packed, graph, field, &matrix, err));
    LAC_TRY(undo_view(packed, graph, matrix, &tensor, err));
    LAC_TRY(lac_graph_value(graph, "tensor", &output, err));
    LAC_TRY(lac_graph_node(graph, "", "Identity", NULL, 1, &tensor, 1, &output, NULL, err));
    return lac_graph_output(graph, output, err);
}

lac_status lac_unpack_body(const lac_packed *packed, lac_graph **body, lac_error *err)
{
    lac_graph *graph;
    LAC_TRY(lac_graph_make(&graph, packed->format->row.name, 17, err));
    lac_status status = fill_body(packed, graph, err);
    if (status == LAC_OK)
        status = lac_graph_settle(graph, err);
    if (status == LAC_OK)
        *body = graph;
    else
        lac_graph_free(graph);
    return status;
}
