/* dense: the plain matrix, row by row. The measure that every other format is held against. */
#include "format/packed.h"

#include <string.h>

static lac_status bytes(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                        lac_error *err)
{
    (void)matrix;
    (void)err;
    *result = packed->rows * packed->cols * (lac_dtype_bits(packed->dtype) / 8);
    return LAC_OK;
}

static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    LAC_TRY(lac_field_make(packed, 0, packed->rows * packed->cols, err));
    memcpy(packed->field[0].data, matrix->data, lac_tensor_bytes(matrix));
    return LAC_OK;
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    (void)err;
    memcpy(matrix->data, packed->field[0].data, lac_tensor_bytes(matrix));
    return LAC_OK;
}

static lac_status validate(const lac_packed *packed, lac_error *err)
{
    return lac_field_check(packed, 0, packed->rows * packed->cols, err);
}

static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    return lac_body_reshape(graph, field[0], 2, (int64_t[]){packed->rows, packed->cols}, matrix,
                            err);
}

const lac_format lac_format_dense = {
    .row = LAC_ROW(lac_format, "dense", "every element, row by row"),
    .dtypes =
        LAC_BIT(LAC_F32) | LAC_BIT(LAC_F16) | LAC_BIT(LAC_BF16) | LAC_BIT(LAC_I8) | LAC_BIT(LAC_U8),
    .fields = {{"values", LAC_NONE, "rows x cols elements, row-major"}},
    .pack = pack,
    .unpack = unpack,
    .validate = validate,
    .bytes = bytes,
    .unpack_graph = unpack_graph,
};
