/* codebook: few distinct values; each element is a code of `bits` bits into a table.
 * The table holds the distinct values in ascending order; entries behind them are 0. Codes are one
 * bit string over the row-major matrix, LSB first. Weight sharing: Han et al., ICLR 2016. */
#include "core/bits.h"
#include "core/memory.h"
#include "format/packed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CODES, BOOK };
enum { MOST_VALUES = 256 };

static int64_t code_bytes(const lac_packed *packed, int bits)
{
    return (packed->rows * packed->cols * bits + 7) / 8;
}

static lac_status bytes_after(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                              lac_error *err)
{
    (void)matrix;
    (void)err;
    int bits = (int)lac_params_int(&packed->params, "bits");
    *result = code_bytes(packed, bits) + (int64_t)(lac_dtype_bits(packed->dtype) / 8 << bits);
    return LAC_OK;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The distinct values of the matrix, ascending; more than `limit`: an error. -0 equals 0. */
static lac_status distinct(const lac_tensor *matrix, int limit, double *book, int *count,
                           lac_error *err)
{
    int64_t total = lac_tensor_count(matrix);
    *count = 0;
    for (int64_t i = 0; i < total; i++) {
        double value = lac_tensor_get(matrix, i);
        if (value != value) /* before the search, in which it would equal any value */
            return lac_fail(err, LAC_ERROR_INPUT, "codebook: element %lld is not a number",
                            (long long)i);
        if (*count && bsearch(&value, book, (size_t)*count, sizeof *book, ascending))
            continue;
        if (*count == limit)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "codebook: more than %d distinct values; share weights first (scheme "
                            "deep-compression)",
                            limit);
        int at = *count;
        for (; at > 0 && book[at - 1] > value; at--)
            book[at] = book[at - 1];
        book[at] = value;
        ++*count;
    }
    return LAC_OK;
}

static lac_status bytes(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                        lac_error *err)
{
    double book[MOST_VALUES];
    int count;
    LAC_TRY(distinct(matrix, 1 << lac_params_int(&packed->params, "bits"), book, &count, err));
    return bytes_after(packed, matrix, result, err);
}

static lac_status fit(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    double book[MOST_VALUES];
    int count;
    char text[8];
    if (distinct(matrix, MOST_VALUES, book, &count, NULL) != LAC_OK)
        return LAC_OK;
    snprintf(text, sizeof text, "%d", count > 2 ? lac_bits_for(count) : 1);
    return lac_params_set(&packed->params, "bits", text, err);
}

static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    int bits = (int)lac_params_int(&packed->params, "bits"), count;
    double book[MOST_VALUES];
    LAC_TRY(distinct(matrix, 1 << bits, book, &count, err));
    LAC_TRY(lac_field_make(packed, CODES, code_bytes(packed, bits), err));
    LAC_TRY(lac_field_make(packed, BOOK, INT64_C(1) << bits, err));
    for (int i = 0; i < count; i++)
        lac_tensor_set(&packed->field[BOOK], i, book[i]);
    for (int64_t i = 0; i < packed->rows * packed->cols; i++) {
        double value = lac_tensor_get(matrix, i);
        const double *entry = bsearch(&value, book, (size_t)count, sizeof *book, ascending);
        lac_bits_put(packed->field[CODES].data, i * bits, bits, (uint32_t)(entry - book));
    }
    return LAC_OK;
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    (void)err;
    int bits = (int)lac_params_int(&packed->params, "bits");
    size_t size = (size_t)lac_dtype_bits(packed->dtype) / 8;
    const char *book = packed->field[BOOK].data;
    for (int64_t i = 0; i < packed->rows * packed->cols; i++)
        memcpy((char *)matrix->data + (size_t)i * size,
               book + lac_bits_get(packed->field[CODES].data, i * bits, bits) * size, size);
    return LAC_OK;
}

static lac_status validate(const lac_packed *packed, lac_error *err)
{
    int64_t bits = lac_params_int(&packed->params, "bits"), total;
    LAC_TRY(lac_shape_count(3, (int64_t[]){packed->rows, packed->cols, bits}, &total, err));
    LAC_TRY(lac_field_check(packed, CODES, (total + 7) / 8, err));
    return lac_field_check(packed, BOOK, INT64_C(1) << bits, err); /* any code has an entry */
}

static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    int bits = (int)lac_params_int(&packed->params, "bits"), pair[2] = {field[BOOK]}, v;
    LAC_TRY(lac_body_bits(graph, field[CODES], 1, code_bytes(packed, bits),
                          packed->rows * packed->cols, bits, &v, err));
    LAC_TRY(lac_body_reshape(graph, v, 2, (int64_t[]){packed->rows, packed->cols}, &pair[1], err));
    return lac_body_op(graph, "Gather", 2, pair, matrix, NULL, err);
}

static const lac_param params[] = {
    {"bits", LAC_PARAM_INT, "bits", 4, 1, 8, NULL, NULL, LAC_OPTION, "", "width of a code"}, {0}};

const lac_format lac_format_codebook = {
    .row = LAC_ROW(lac_format, "codebook", "shared weights: codes into a table of 2^bits values"),
    .params = params,
    .dtypes = LAC_BIT(LAC_F32) | LAC_BIT(LAC_F16) | LAC_BIT(LAC_I8),
    .fields = {{"codes", LAC_U8, "rows x cols codes of `bits` bits, LSB first"},
               {"book", LAC_NONE, "2^bits values, ascending, unused entries 0"}},
    .pack = pack,
    .unpack = unpack,
    .validate = validate,
    .bytes = bytes,
    .unpack_graph = unpack_graph,
    .remedy = "sharing 2^bits values",
    .bytes_after = bytes_after,
    .fit = fit,
    .book = "book",
};
