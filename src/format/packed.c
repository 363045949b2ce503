/* Packing, validating and unpacking through the rows; packed weights as nodes of a graph. */
#include "format/packed.h"

#include <stdio.h>
#include <string.h>

static int field_count(const lac_format *format)
{
    int count = 0;
    while (count < LAC_MAX_FIELDS && format->fields[count].name)
        count++;
    return count;
}

static lac_dtype field_dtype(const lac_packed *packed, int index)
{
    lac_dtype dtype = packed->format->fields[index].dtype;
    return dtype == LAC_NONE ? packed->dtype : dtype;
}

void lac_packed_release(lac_packed *packed)
{
    for (int i = 0; i < LAC_MAX_FIELDS; i++)
        lac_tensor_release(&packed->field[i]);
}

int64_t lac_packed_bytes(const lac_packed *packed)
{
    int64_t bytes = 0;
    for (int i = 0; i < field_count(packed->format); i++)
        bytes += (int64_t)lac_tensor_bytes(&packed->field[i]);
    return bytes;
}

lac_status lac_field_make(lac_packed *packed, int index, int64_t count, lac_error *err)
{
    return lac_tensor_make(&packed->field[index], field_dtype(packed, index), 1, &count, err);
}

lac_status lac_field_check(const lac_packed *packed, int index, int64_t count, lac_error *err)
{
    if (packed->field[index].dims[0] != count)
        return lac_fail(err, LAC_ERROR_INPUT, "field '%s' has %lld elements, want %lld",
                        packed->format->fields[index].name, (long long)packed->field[index].dims[0],
                        (long long)count);
    return LAC_OK;
}

/* Format, params, view and shape without any field yet. */
static lac_status header(lac_packed *packed, const lac_format *format, const lac_params *params,
                         lac_view view, lac_dtype dtype, int rank, const int64_t *dims,
                         lac_error *err)
{
    memset(packed, 0, sizeof *packed);
    packed->format = format;
    if (params)
        packed->params = *params;
    else
        lac_params_init(&packed->params, format->params);
    packed->view = view;
    packed->dtype = dtype;
    packed->rank = rank;
    if ((unsigned)dtype >= LAC_DTYPE_LIMIT || !(format->dtypes & LAC_BIT(dtype)))
        return lac_fail(err, LAC_ERROR_INPUT, "format %s does not hold %s elements",
                        format->row.name, lac_dtype_name(dtype));
    LAC_TRY(lac_view_size(view, rank, dims, &packed->rows, &packed->cols, err));
    for (int i = 0; i < rank; i++)
        packed->dims[i] = dims[i];
    return LAC_OK;
}

lac_status lac_pack(lac_packed *packed, const lac_format *format, const lac_params *params,
                    lac_view view, const lac_tensor *tensor, lac_error *err)
{
    lac_tensor matrix;
    LAC_TRY(header(packed, format, params, view, tensor->dtype, tensor->rank, tensor->dims, err));
    LAC_TRY(lac_view_matrix(view, tensor, &matrix, err));
    lac_status status = format->pack(packed, &matrix, err);
    lac_tensor_release(&matrix);
    if (status != LAC_OK)
        lac_packed_release(packed);
    return status;
}

lac_status lac_packed_validate(const lac_packed *packed, lac_error *err)
{
    int64_t rows, cols;
    LAC_TRY(lac_view_size(packed->view, packed->rank, packed->dims, &rows, &cols, err));
    if (rows != packed->rows || cols != packed->cols)
        return lac_fail(err, LAC_ERROR_INPUT, "the shape is not the %lld x %lld matrix it says",
                        (long long)packed->rows, (long long)packed->cols);
    if ((unsigned)packed->dtype >= LAC_DTYPE_LIMIT ||
        !(packed->format->dtypes & LAC_BIT(packed->dtype)))
        return lac_fail(err, LAC_ERROR_INPUT, "format %s does not hold %s elements",
                        packed->format->row.name, lac_dtype_name(packed->dtype));
    for (int i = 0; i < field_count(packed->format); i++) {
        const lac_tensor *field = &packed->field[i];
        const char *name = packed->format->fields[i].name;
        if (!field->data)
            return lac_fail(err, LAC_ERROR_INPUT, "field '%s' is missing", name);
        if (field->rank != 1)
            return lac_fail(err, LAC_ERROR_INPUT, "field '%s' has rank %d, want 1", name,
                            field->rank);
        if (field->dtype != field_dtype(packed, i))
            return lac_fail(err, LAC_ERROR_INPUT, "field '%s' is %s, want %s", name,
                            lac_dtype_name(field->dtype), lac_dtype_name(field_dtype(packed, i)));
    }
    lac_status status = packed->format->validate(packed, err);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", packed->format->row.name);
}

lac_status lac_unpack(const lac_packed *packed, lac_tensor *tensor, lac_error *err)
{
    lac_tensor matrix;
    LAC_TRY(lac_packed_validate(packed, err));
    LAC_TRY(
        lac_tensor_make(&matrix, packed->dtype, 2, (int64_t[]){packed->rows, packed->cols}, err));
    lac_status status = packed->format->unpack(packed, &matrix, err);
    if (status == LAC_OK)
        status = lac_view_tensor(packed->view, &matrix, packed->rank, packed->dims, tensor, err);
    lac_tensor_release(&matrix);
    return status;
}

typedef lac_status formula(const lac_packed *packed, const lac_tensor *matrix, int64_t *bytes,
                           lac_error *err);

static lac_status apply(formula *bytes_of, const lac_format *format, const lac_params *params,
                        lac_view view, const lac_tensor *tensor, int64_t *bytes, lac_error *err)
{
    lac_packed packed;
    lac_tensor matrix;
    LAC_TRY(header(&packed, format, params, view, tensor->dtype, tensor->rank, tensor->dims, err));
    LAC_TRY(lac_view_matrix(view, tensor, &matrix, err));
    lac_status status = bytes_of(&packed, &matrix, bytes, err);
    lac_tensor_release(&matrix);
    return status;
}

lac_status lac_format_bytes(const lac_format *format, const lac_params *params, lac_view view,
                            const lac_tensor *tensor, int64_t *bytes, lac_error *err)
{
    return apply(format->bytes, format, params, view, tensor, bytes, err);
}

lac_status lac_format_bytes_after(const lac_format *format, const lac_params *params, lac_view view,
                                  const lac_tensor *tensor, int64_t *bytes, lac_error *err)
{
    lac_params defaults;
    if (!format->bytes_after)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "format %s: nothing makes a weight fit",
                        format->row.name);
    lac_params_init(&defaults, format->params);
    int64_t group = format->group ? lac_params_int(params ? params : &defaults, format->group) : 1;
    if (!lac_view_groups(view, tensor->rank, tensor->dims, group))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "the channels of a window (%lld) are no multiple of %s = %lld",
                        (long long)(tensor->rank > 1 ? tensor->dims[1] : 1), format->group,
                        (long long)group);
    return apply(format->bytes_after, format, params, view, tensor, bytes, err);
}

lac_status lac_format_fit(const lac_format *format, lac_params *params, lac_view view,
                          const lac_tensor *tensor, lac_error *err)
{
    lac_packed packed;
    lac_tensor matrix;
    if (!format->fit)
        return LAC_OK;
    LAC_TRY(header(&packed, format, params, view, tensor->dtype, tensor->rank, tensor->dims, err));
    LAC_TRY(lac_view_matrix(view, tensor, &matrix, err));
    lac_status status = format->fit(&packed, &matrix, err);
    lac_tensor_release(&matrix);
    if (status == LAC_OK)
        *params = packed.params;
    return status;
}

lac_status lac_packed_from_node(lac_packed *packed, const lac_node *node, int n_in,
                                const lac_tensor *const *in, lac_error *err)
{
    const char *name = lac_node_string(node, "format", "");
    const lac_format *format = (const lac_format *)lac_table_find(&lac_formats, name);
    lac_params params;
    lac_view view;
    int64_t rank;
    memset(packed, 0, sizeof *packed);
    if (!format)
        return lac_fail(err, LAC_ERROR_INPUT, "node '%s': unknown format '%s'", node->name, name);
    lac_params_init(&params, format->params);
    const int64_t *dims = lac_node_ints(node, "shape", &rank);
    lac_status status = lac_params_parse(&params, lac_node_string(node, "params", ""), err);
    if (status == LAC_OK)
        status = lac_view_parse(lac_node_string(node, "view", "rows"), &view, err);
    if (status == LAC_OK)
        status = rank <= LAC_MAX_RANK
                     ? header(packed, format, &params, view,
                              (lac_dtype)lac_node_int(node, "dtype", LAC_F32), (int)rank, dims, err)
                     : lac_fail(err, LAC_ERROR_INPUT, "shape has rank %lld, limit %d",
                                (long long)rank, LAC_MAX_RANK);
    int fields = field_count(format);
    if (status == LAC_OK && n_in != fields)
        status = lac_fail(err, LAC_ERROR_INPUT, "format %s has %d fields, the node has %d inputs",
                          name, fields, n_in);
    if (status != LAC_OK)
        return lac_fail_in(err, status, "node '%s' (Unpack)", node->name);
    for (int i = 0; i < fields; i++)
        if (in[i])
            lac_tensor_share(&packed->field[i], in[i]);
    packed->prefer = strcmp(lac_node_string(node, "prefer", ""), "packed") == 0;
    return LAC_OK;
}

lac_status lac_packed_to_graph(const lac_packed *packed, lac_graph *graph, const char *value_name,
                               int *value, lac_error *err)
{
    int fields = field_count(packed->format), in[LAC_MAX_FIELDS];
    char text[512];
    lac_node *node;
    for (int i = 0; i < fields; i++) {
        lac_tensor field;
        snprintf(text, sizeof text, "%s.%s", value_name, packed->format->fields[i].name);
        lac_tensor_share(&field, &packed->field[i]);
        lac_status status = lac_graph_constant(graph, text, &field, &in[i], err);
        lac_tensor_release(&field); /* empty when the graph took it */
        LAC_TRY(status);
    }
    LAC_TRY(lac_graph_value(graph, value_name, value, err));
    lac_value *made = &graph->values[*value];
    made->dtype = packed->dtype;
    made->rank = packed->rank;
    for (int i = 0; i < packed->rank; i++)
        made->dims[i].size = packed->dims[i];
    snprintf(text, sizeof text, "%s.unpack", value_name);
    LAC_TRY(lac_graph_node(graph, "lacuna", "Unpack", text, fields, in, 1, value, &node, err));
    LAC_TRY(lac_node_set_string(graph, node, "format", packed->format->row.name, err));
    LAC_TRY(lac_node_set_string(graph, node, "params",
                                lac_params_print(&packed->params, text, sizeof text), err));
    LAC_TRY(lac_node_set_string(graph, node, "view", lac_view_name(packed->view), err));
    LAC_TRY(lac_node_set_int(graph, node, "dtype", packed->dtype, err));
    if (packed->prefer)
        LAC_TRY(lac_node_set_string(graph, node, "prefer", "packed", err));
    return lac_node_set_ints(graph, node, "shape", packed->rank, packed->dims, err);
}
