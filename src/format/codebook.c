/* codebook: few distinct values; each element is a code of `bits` bits into a table.
 * The table holds the distinct values in ascending order; entries behind them are 0. Codes lie as
 * the kernels look them up (codebook.h): 16 outputs side by side, taken out of units of 64 bytes
 * with masks and shifts. Weight sharing: Han et al., ICLR 2016. */
#include "format/codebook.h"

#include "core/bits.h"
#include "core/memory.h"
#include "format/packed.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CODES, BOOK };
enum { MOST_VALUES = LAC_CODEBOOK_MOST };

lac_status lac_codebook_of(const lac_packed *packed, lac_codebook *c, lac_error *err)
{
    int64_t total; /* the padded matrix must be countable too */
    *c = (lac_codebook){.bits = (int)lac_params_int(&packed->params, "bits"),
                        .rows = packed->rows,
                        .cols = packed->cols,
                        .codes = packed->field[CODES].data};
    c->panels = c->rows / LAC_CODEBOOK_OUTPUTS + (c->rows % LAC_CODEBOOK_OUTPUTS != 0);
    c->blocks = c->cols / LAC_CODEBOOK_BLOCK + (c->cols % LAC_CODEBOOK_BLOCK != 0);
    return lac_shape_count(
        4, (int64_t[]){c->panels, LAC_CODEBOOK_OUTPUTS, c->blocks, LAC_CODEBOOK_BLOCK}, &total,
        err);
}

void lac_codebook_floats(const lac_packed *packed, float book[LAC_CODEBOOK_MOST])
{
    int64_t count = lac_tensor_count(&packed->field[BOOK]);
    for (int64_t i = 0; i < MOST_VALUES; i++)
        book[i] = i < count ? (float)lac_tensor_get(&packed->field[BOOK], i) : book[i - count];
}

void lac_codebook_bytes(const lac_packed *packed, int8_t book[LAC_CODEBOOK_MOST])
{
    int64_t count = lac_tensor_count(&packed->field[BOOK]);
    for (int64_t i = 0; i < MOST_VALUES; i++)
        book[i] = ((const int8_t *)packed->field[BOOK].data)[i % count];
}

static int64_t code_bytes(const lac_codebook *c)
{
    return c->panels * c->blocks * c->bits * 64;
}

static lac_status bytes_after(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                              lac_error *err)
{
    (void)matrix;
    lac_codebook c;
    LAC_TRY(lac_codebook_of(packed, &c, err));
    *result = code_bytes(&c) + (int64_t)(lac_dtype_bits(packed->dtype) / 8 << c.bits);
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
        if (!isfinite(value)) /* kernels multiply values of padding by 0 */
            return lac_fail(err, LAC_ERROR_INPUT, "codebook: element %lld is not finite",
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

static void put_code(uint8_t *block, int bits, int output, int at, uint32_t code)
{
    int quad = at / 4;
    uint8_t *unit = block + 4 * output + at % 4;
    for (int width = 8; width; width /= 2)
        if (bits & width) {
            int each = 8 / width, shift = width * (quad % each);
            unit[64 * (quad / each)] |= (uint8_t)((code & ((1u << width) - 1)) << shift);
            unit += 64 * width;
            code >>= width;
        }
}

/* Rows and columns behind the last have code 0. */
static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    lac_codebook c;
    double book[MOST_VALUES];
    int count;
    LAC_TRY(lac_codebook_of(packed, &c, err));
    LAC_TRY(distinct(matrix, 1 << c.bits, book, &count, err));
    LAC_TRY(lac_field_make(packed, CODES, code_bytes(&c), err));
    LAC_TRY(lac_field_make(packed, BOOK, INT64_C(1) << c.bits, err));
    for (int i = 0; i < count; i++)
        lac_tensor_set(&packed->field[BOOK], i, book[i]);
    uint8_t *codes = packed->field[CODES].data;
    for (int64_t row = 0; row < c.rows; row++)
        for (int64_t k = 0; k < c.cols; k++) {
            int64_t block = row / LAC_CODEBOOK_OUTPUTS * c.blocks + k / LAC_CODEBOOK_BLOCK;
            double value = lac_tensor_get(matrix, row * c.cols + k);
            const double *entry = bsearch(&value, book, (size_t)count, sizeof *book, ascending);
            put_code(codes + block * c.bits * 64, c.bits, (int)(row % LAC_CODEBOOK_OUTPUTS),
                     (int)(k % LAC_CODEBOOK_BLOCK), (uint32_t)(entry - book));
        }
    return LAC_OK;
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    lac_codebook c;
    size_t size = (size_t)lac_dtype_bits(packed->dtype) / 8;
    const char *book = packed->field[BOOK].data;
    char *to = matrix->data;
    LAC_TRY(lac_codebook_of(packed, &c, err));
    for (int64_t row = 0; row < c.rows; row++)
        for (int64_t k = 0; k < c.cols; k++, to += size) {
            const uint8_t *block =
                lac_codebook_block(&c, row / LAC_CODEBOOK_OUTPUTS, k / LAC_CODEBOOK_BLOCK);
            int code = lac_codebook_code(block, c.bits, (int)(row % LAC_CODEBOOK_OUTPUTS),
                                         (int)(k % LAC_CODEBOOK_BLOCK));
            memcpy(to, book + (size_t)code * size, size);
        }
    return LAC_OK;
}

static lac_status validate(const lac_packed *packed, lac_error *err)
{
    lac_codebook c;
    LAC_TRY(lac_codebook_of(packed, &c, err));
    LAC_TRY(lac_field_check(packed, CODES, code_bytes(&c), err));
    LAC_TRY(lac_field_check(packed, BOOK, INT64_C(1) << c.bits, err)); /* any code has an entry */
    for (int64_t i = 0; i < INT64_C(1) << c.bits; i++)
        if (!isfinite(lac_tensor_get(&packed->field[BOOK], i)))
            return lac_fail(err, LAC_ERROR_INPUT, "book[%lld] is not finite", (long long)i);
    return LAC_OK;
}

/* Single bits [panels][16][blocks][4][units][8], their parts put together to codes
 * [panels][16][blocks][4][8 quads][bits], which are summed and turned into rows. */
static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    static const int32_t powers[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    lac_codebook c;
    lac_node *node;
    LAC_TRY(lac_codebook_of(packed, &c, err));
    int64_t p = c.panels, b = c.blocks, last = 5;
    int u, v, parts[4], count = 0, pair[2];
    LAC_TRY(lac_body_bits(graph, field[CODES], 1, code_bytes(&c), 8 * code_bytes(&c), 1, &v, err));
    LAC_TRY(lac_body_cast(graph, v, LAC_I32, &v, err));
    LAC_TRY(lac_body_reshape(graph, v, 6, (int64_t[]){p, b, c.bits, LAC_CODEBOOK_OUTPUTS, 4, 8}, &u,
                             err));
    LAC_TRY(lac_body_op(graph, "Transpose", 1, &u, &v, &node, err));
    LAC_TRY(lac_node_set_ints(graph, node, "perm", 6, (int64_t[]){0, 3, 1, 4, 2, 5}, err));
    for (int width = 8, at = 0; width; width /= 2)
        if (c.bits & width) {
            LAC_TRY(lac_body_slice(graph, v, 4, at, at + width, &u, err));
            LAC_TRY(lac_body_reshape(graph, u, 6,
                                     (int64_t[]){p, LAC_CODEBOOK_OUTPUTS, b, 4, 8, width},
                                     &parts[count++], err));
            at += width;
        }
    pair[0] = parts[0];
    if (count > 1) {
        LAC_TRY(lac_body_op(graph, "Concat", count, parts, &pair[0], &node, err));
        LAC_TRY(lac_node_set_int(graph, node, "axis", 5, err));
    }
    LAC_TRY(lac_body_int32s(graph, c.bits, powers, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Mul", 2, pair, &v, NULL, err));
    pair[0] = v;
    LAC_TRY(lac_body_ints(graph, 1, &last, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "ReduceSum", 2, pair, &v, &node, err));
    LAC_TRY(lac_node_set_int(graph, node, "keepdims", 0, err));
    LAC_TRY(lac_body_op(graph, "Transpose", 1, &v, &u, &node, err)); /* quads outside their bytes */
    LAC_TRY(lac_node_set_ints(graph, node, "perm", 5, (int64_t[]){0, 1, 2, 4, 3}, err));
    LAC_TRY(lac_body_reshape(
        graph, u, 2, (int64_t[]){p * LAC_CODEBOOK_OUTPUTS, b * LAC_CODEBOOK_BLOCK}, &v, err));
    LAC_TRY(lac_body_slice(graph, v, 1, 0, c.cols, &v, err));
    LAC_TRY(lac_body_slice(graph, v, 0, 0, c.rows, &pair[1], err));
    pair[0] = field[BOOK];
    return lac_body_op(graph, "Gather", 2, pair, matrix, NULL, err);
}

static const lac_param params[] = {
    {"bits", LAC_PARAM_INT, "bits", 4, 1, 8, NULL, NULL, LAC_OPTION, "", "width of a code"}, {0}};

const lac_format lac_format_codebook = {
    .row = LAC_ROW(lac_format, "codebook", "shared weights: codes into a table of 2^bits values"),
    .params = params,
    .dtypes = LAC_BIT(LAC_F32) | LAC_BIT(LAC_F16) | LAC_BIT(LAC_I8),
    .fields = {{"codes", LAC_U8, "blocks of 16 outputs and 32 columns, `bits` units of 64 bytes"},
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
