/* delta: the non-zeros of every row, int8, each with the distance from the one before in a byte.
 *
 * A gap above 255 is bridged by entries of value 0 and distance 255. Every row is filled up to a
 * multiple of four entries (value 0, distance 0), because four products of bytes are one
 * instruction. */
#include "format/delta.h"

#include "format/packed.h"

#include <string.h>

enum { ROW = LAC_DELTA_ROW, DELTA = LAC_DELTA_DELTA, VALUES = LAC_DELTA_VALUES };

/* Entries of a row without the filling; into `delta` and `values` unless they are NULL. */
static int64_t row_entries(const int8_t *row, int64_t cols, uint8_t *delta, int8_t *values)
{
    int64_t count = 0, last = 0;
    for (int64_t k = 0; k < cols; k++) {
        if (row[k] == 0)
            continue;
        for (; k - last > 255; last += 255, count++)
            if (delta) {
                delta[count] = 255;
                values[count] = 0;
            }
        if (delta) {
            delta[count] = (uint8_t)(k - last);
            values[count] = row[k];
        }
        count++;
        last = k;
    }
    return count;
}

/* Groups of four of all rows; where each row begins into `start` unless it is NULL. */
static lac_status count_groups(const lac_packed *packed, const lac_tensor *matrix, int32_t *start,
                               int64_t *groups, lac_error *err)
{
    const int8_t *x = matrix->data;
    *groups = 0;
    for (int64_t r = 0; r < packed->rows; r++) {
        if (start)
            start[r] = (int32_t)*groups;
        *groups += (row_entries(x + r * packed->cols, packed->cols, NULL, NULL) + 3) / 4;
        if (*groups > INT32_MAX / 4)
            return lac_fail(err, LAC_ERROR_INPUT, "delta: more than %d entries", INT32_MAX);
    }
    if (start)
        start[packed->rows] = (int32_t)*groups;
    return LAC_OK;
}

static lac_status bytes(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                        lac_error *err)
{
    int64_t groups;
    LAC_TRY(count_groups(packed, matrix, NULL, &groups, err));
    *result = 8 * groups + 4 * (packed->rows + 1);
    return LAC_OK;
}

static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    int64_t groups;
    const int8_t *x = matrix->data;
    LAC_TRY(lac_field_make(packed, ROW, packed->rows + 1, err));
    int32_t *start = packed->field[ROW].data;
    LAC_TRY(count_groups(packed, matrix, start, &groups, err));
    LAC_TRY(lac_field_make(packed, DELTA, 4 * groups, err));
    LAC_TRY(lac_field_make(packed, VALUES, 4 * groups, err));
    uint8_t *delta = packed->field[DELTA].data;
    int8_t *values = packed->field[VALUES].data;
    memset(delta, 0, (size_t)(4 * groups));
    memset(values, 0, (size_t)(4 * groups));
    for (int64_t r = 0; r < packed->rows; r++)
        row_entries(x + r * packed->cols, packed->cols, delta + 4 * start[r],
                    values + 4 * start[r]);
    return LAC_OK;
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    const int32_t *start = packed->field[ROW].data;
    const uint8_t *delta = packed->field[DELTA].data;
    const int8_t *values = packed->field[VALUES].data;
    int8_t *x = matrix->data;
    (void)err;
    memset(x, 0, lac_tensor_bytes(matrix));
    for (int64_t r = 0; r < packed->rows; r++, x += packed->cols)
        for (int64_t i = 4 * (int64_t)start[r], k = 0; i < 4 * (int64_t)start[r + 1]; i++) {
            k += delta[i];
            if (values[i] != 0)
                x[k] = values[i];
        }
    return LAC_OK;
}

static lac_status validate_row(const lac_packed *packed, int64_t r, lac_error *err)
{
    const int32_t *start = packed->field[ROW].data;
    const uint8_t *delta = packed->field[DELTA].data;
    const int8_t *values = packed->field[VALUES].data;
    int64_t begin = 4 * (int64_t)start[r], k = 0;
    for (int64_t i = begin; i < 4 * (int64_t)start[r + 1]; i++) {
        k += delta[i];
        if (k >= packed->cols)
            return lac_fail(err, LAC_ERROR_INPUT, "entry %lld of row %lld is column %lld of %lld",
                            (long long)(i - begin), (long long)r, (long long)k,
                            (long long)packed->cols);
        if (i > begin && delta[i] == 0 && values[i] != 0)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "entry %lld of row %lld is the second of its column",
                            (long long)(i - begin), (long long)r);
    }
    return LAC_OK;
}

static lac_status validate(const lac_packed *packed, lac_error *err)
{
    LAC_TRY(lac_field_check(packed, ROW, packed->rows + 1, err));
    const int32_t *start = packed->field[ROW].data;
    if (start[0] != 0)
        return lac_fail(err, LAC_ERROR_INPUT, "row[0] = %d, want 0", (int)start[0]);
    for (int64_t r = 0; r < packed->rows; r++)
        if (start[r + 1] < start[r] || start[r + 1] > INT32_MAX / 4)
            return lac_fail(err, LAC_ERROR_INPUT, "row[%lld] = %d, want at least %d, at most %d",
                            (long long)(r + 1), (int)start[r + 1], (int)start[r], INT32_MAX / 4);
    LAC_TRY(lac_field_check(packed, DELTA, 4 * (int64_t)start[packed->rows], err));
    LAC_TRY(lac_field_check(packed, VALUES, 4 * (int64_t)start[packed->rows], err));
    for (int64_t r = 0; r < packed->rows; r++)
        LAC_TRY(validate_row(packed, r, err));
    return LAC_OK;
}

static lac_status running_sum(lac_graph *graph, int x, bool exclusive, int *out, lac_error *err)
{
    int pair[2] = {x};
    lac_node *node;
    lac_tensor zero;
    LAC_TRY(lac_tensor_make(&zero, LAC_I64, 0, NULL, err));
    *(int64_t *)zero.data = 0;
    lac_status status = lac_graph_constant(graph, NULL, &zero, &pair[1], err);
    lac_tensor_release(&zero);
    LAC_TRY(status);
    LAC_TRY(lac_body_op(graph, "CumSum", 2, pair, out, &node, err));
    return lac_node_set_int(graph, node, "exclusive", exclusive, err);
}

/* The column of an entry is the sum of all distances up to it less that before its row; entries of
 * value 0 may meet another's place and are dropped. */
static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    int64_t rows = packed->rows, cols = packed->cols, groups = packed->field[DELTA].dims[0] / 4;
    int64_t most = cols / 4 + cols / 1020 + 3; /* of a row: elements, bridges, what fills up */
    int start, zero, row, delta, sum, base, place, value, v;
    LAC_TRY(lac_body_cast(graph, field[ROW], LAC_I64, &v, err));
    LAC_TRY(lac_body_slice(graph, v, 0, 0, rows, &start, err));
    LAC_TRY(lac_body_slice(graph, v, 0, 1, rows + 1, &v, err));
    LAC_TRY(lac_body_op(graph, "Sub", 2, (int[]){v, start}, &v, NULL, err));
    LAC_TRY(lac_body_segments(graph, v, rows, most < groups ? most : groups, groups, &v, err));
    LAC_TRY(lac_body_reshape(graph, v, 2, (int64_t[]){groups, 1}, &row, err));

    LAC_TRY(lac_body_cast(graph, field[DELTA], LAC_I64, &delta, err));
    LAC_TRY(running_sum(graph, delta, false, &sum, err));
    LAC_TRY(lac_body_op(graph, "Sub", 2, (int[]){sum, delta}, &v, NULL, err)); /* before each */
    LAC_TRY(lac_body_reshape(graph, v, 2, (int64_t[]){groups, 4}, &v, err));
    LAC_TRY(lac_body_slice(graph, v, 1, 0, 1, &v, err));
    LAC_TRY(lac_body_reshape(graph, v, 1, &groups, &base, err));
    /* a last row without entries has no group; its base is never asked for */
    LAC_TRY(lac_body_ints(graph, 1, (int64_t[]){0}, &v, err));
    lac_node *node;
    LAC_TRY(lac_body_op(graph, "Concat", 2, (int[]){base, v}, &base, &node, err));
    LAC_TRY(lac_node_set_int(graph, node, "axis", 0, err));
    LAC_TRY(lac_body_op(graph, "Gather", 2, (int[]){base, start}, &base, NULL, err));
    LAC_TRY(lac_body_op(graph, "Gather", 2, (int[]){base, row}, &base, NULL, err));

    LAC_TRY(lac_body_reshape(graph, sum, 2, (int64_t[]){groups, 4}, &sum, err));
    LAC_TRY(lac_body_op(graph, "Sub", 2, (int[]){sum, base}, &place, NULL, err));
    LAC_TRY(lac_body_number(graph, "Mul", row, cols, &v, err));
    LAC_TRY(lac_body_op(graph, "Add", 2, (int[]){place, v}, &place, NULL, err));
    LAC_TRY(lac_body_reshape(graph, place, 1, (int64_t[]){4 * groups}, &place, err));
    LAC_TRY(lac_body_cast(graph, field[VALUES], LAC_I64, &value, err));
    LAC_TRY(lac_body_number(graph, "Equal", value, 0, &zero, err));
    LAC_TRY(lac_body_scatter(graph, LAC_I8, rows * cols, place, field[VALUES], zero, &v, err));
    return lac_body_reshape(graph, v, 2, (int64_t[]){rows, cols}, matrix, err);
}

const lac_format lac_format_delta = {
    .row = LAC_ROW(lac_format, "delta", "int8 non-zeros of a row with byte distances"),
    .dtypes = LAC_BIT(LAC_I8),
    .fields = {{"row", LAC_I32, "where each row begins, in groups of four entries, and the end"},
               {"delta", LAC_U8, "columns from one entry to the next, the first from column 0"},
               {"values", LAC_I8, "the entry; 0 bridges more than 255 columns or fills a group"}},
    .pack = pack,
    .unpack = unpack,
    .validate = validate,
    .bytes = bytes,
    .unpack_graph = unpack_graph,
};
