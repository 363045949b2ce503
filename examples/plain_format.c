/* plain: the float32 matrix column by column. The smallest row of the format table; a plug-in and
 * a built-in alike: see plugin_accel.c. */
#include <lacuna/format.h>

static lac_status bytes(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                        lac_error *err)
{
    (void)matrix;
    (void)err;
    *result = packed->rows * packed->cols * 4;
    return LAC_OK;
}

static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    int64_t rows = packed->rows, cols = packed->cols;
    LAC_TRY(lac_tensor_make(&packed->field[0], LAC_F32, 1, (int64_t[]){rows * cols}, err));
    for (int64_t i = 0; i < rows * cols; i++)
        ((float *)packed->field[0].data)[i % cols * rows + i / cols] =
            ((const float *)matrix->data)[i];
    return LAC_OK;
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    int64_t rows = packed->rows, cols = packed->cols;
    (void)err;
    for (int64_t i = 0; i < rows * cols; i++)
        ((float *)matrix->data)[i] =
            ((const float *)packed->field[0].data)[i % cols * rows + i / cols];
    return LAC_OK;
}

/* Shape and types of the fields are checked before; their lengths and contents are ours. */
static lac_status validate(const lac_packed *packed, lac_error *err)
{
    if (packed->field[0].dims[0] != packed->rows * packed->cols)
        return lac_fail(err, LAC_ERROR_INPUT, "field 'values' has %lld elements, want %lld",
                        (long long)packed->field[0].dims[0],
                        (long long)(packed->rows * packed->cols));
    return LAC_OK;
}

/* The same in standard operators: Reshape to [cols][rows], Transpose. */
static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    int64_t dims[] = {packed->cols, packed->rows};
    lac_tensor view = lac_tensor_view(LAC_I64, 1, (int64_t[]){2}, dims), shape;
    int in[2] = {field[0]}, reshaped;
    lac_node *node;
    LAC_TRY(lac_tensor_copy(&shape, &view, err));
    lac_status status = lac_graph_constant(graph, NULL, &shape, &in[1], err);
    lac_tensor_release(&shape); /* the graph has it, or nobody */
    LAC_TRY(status);
    LAC_TRY(lac_graph_value(graph, NULL, &reshaped, err));
    LAC_TRY(lac_graph_node(graph, "", "Reshape", NULL, 2, in, 1, &reshaped, &node, err));
    LAC_TRY(lac_node_set_int(graph, node, "allowzero", 1, err)); /* an empty weight stays empty */
    LAC_TRY(lac_graph_value(graph, NULL, matrix, err));
    return lac_graph_node(graph, "", "Transpose", NULL, 1, &reshaped, 1, matrix, NULL, err);
}

const lac_format lac_format_plain = {
    .row = LAC_ROW(lac_format, "plain", "every element, column by column"),
    .dtypes = LAC_BIT(LAC_F32),
    .fields = {{"values", LAC_F32, "cols x rows elements, column-major"}},
    .pack = pack,
    .unpack = unpack,
    .validate = validate,
    .bytes = bytes,
    .unpack_graph = unpack_graph,
};

#ifdef LACUNA_PLUGIN_H
lac_status lac_plugin_load(lac_error *err)
{
    return lac_register_format(&lac_format_plain, err);
}
#endif
