/* coo: the non-zeros and their positions in the row-major matrix: what ONNX's sparse_initializer
 * holds, kept as it came. */
#include "format/packed.h"

#include <string.h>

enum { VALUES, INDEX };

static int64_t count_nonzeros(const lac_tensor *matrix)
{
    int64_t count = 0, total = lac_tensor_count(matrix);
    for (int64_t i = 0; i < total; i++)
        count += lac_tensor_get(matrix, i) != 0;
    return count;
}

static lac_status bytes(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                        lac_error *err)
{
    (void)err;
    *result = count_nonzeros(matrix) * (lac_dtype_bits(packed->dtype) / 8 + 8);
    return LAC_OK;
}

static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    int64_t count = count_nonzeros(matrix), total = lac_tensor_count(matrix);
    size_t size = (size_t)lac_dtype_bits(packed->dtype) / 8;
    LAC_TRY(lac_field_make(packed, VALUES, count, err));
    LAC_TRY(lac_field_make(packed, INDEX, count, err));
    for (int64_t i = 0, at = 0; i < total; i++)
        if (lac_tensor_get(matrix, i) != 0) {
            memcpy((char *)packed->field[VALUES].data + (size_t)at * size,
                   (const char *)matrix->data + (size_t)i * size, size);
            ((int64_t *)packed->field[INDEX].data)[at++] = i;
        }
    return LAC_OK;
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    (void)err;
    size_t size = (size_t)lac_dtype_bits(packed->dtype) / 8;
    memset(matrix->data, 0, lac_tensor_bytes(matrix));
    for (int64_t i = 0; i < packed->field[VALUES].dims[0]; i++)
        memcpy((char *)matrix->data +
                   (size_t)((const int64_t *)packed->field[INDEX].data)[i] * size,
               (const char *)packed->field[VALUES].data + (size_t)i * size, size);
    return LAC_OK;
}

static lac_status validate(const lac_packed *packed, lac_error *err)
{
    LAC_TRY(lac_field_check(packed, INDEX, packed->field[VALUES].dims[0], err));
    int64_t last = -1, limit = packed->rows * packed->cols;
    for (int64_t i = 0; i < packed->field[INDEX].dims[0]; i++) {
        int64_t at = ((const int64_t *)packed->field[INDEX].data)[i];
        if (at <= last || at >= limit)
            return lac_fail(err, LAC_ERROR_INPUT, "index[%lld] = %lld, want rising and below %lld",
                            (long long)i, (long long)at, (long long)limit);
        last = at;
    }
    return LAC_OK;
}

static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    int list[3] = {-1, field[INDEX], field[VALUES]}, v;
    LAC_TRY(lac_body_zeros(graph, packed->dtype, 1, (int64_t[]){packed->rows * packed->cols},
                           &list[0], err));
    LAC_TRY(lac_body_op(graph, "ScatterElements", 3, list, &v, NULL, err));
    return lac_body_reshape(graph, v, 2, (int64_t[]){packed->rows, packed->cols}, matrix, err);
}

const lac_format lac_format_coo = {
    .row = LAC_ROW(lac_format, "coo", "non-zeros with their positions (sparse_initializer)"),
    .dtypes = LAC_BIT(LAC_F32) | LAC_BIT(LAC_F64) | LAC_BIT(LAC_F16) | LAC_BIT(LAC_I8) |
              LAC_BIT(LAC_U8) | LAC_BIT(LAC_I32) | LAC_BIT(LAC_I64),
    .fields = {{"values", LAC_NONE, "the non-zeros in row-major order"},
               {"index", LAC_I64, "position of each in the row-major matrix, rising"}},
    .pack = pack,
    .unpack = unpack,
    .validate = validate,
    .bytes = bytes,
    .unpack_graph = unpack_graph,
};
