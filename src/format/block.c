/* block: blocks of R x C elements, those kept that hold a non-zero; the rows and columns of blocks
 * at the edges are filled up with zeros.
 *
 * R outputs are a strip. A strip stores its blocks from left to right: the column of each, in
 * blocks, and its elements row by row. So a kernel that takes a strip at a time meets values,
 * columns and starts each as one ascending stream, and shares an activation it has loaded between
 * R outputs. */
#include "format/packed.h"

#include <string.h>

enum { START, COL, VALUES };

typedef struct shape {
    int64_t r, c, strips, across; /* blocks side by side in a full strip */
    size_t size;
} shape;

static lac_status shape_of(const lac_packed *packed, shape *s, lac_error *err)
{
    s->r = lac_params_int(&packed->params, "r");
    s->c = lac_params_int(&packed->params, "c");
    s->strips = (packed->rows + s->r - 1) / s->r;
    s->across = (packed->cols + s->c - 1) / s->c;
    s->size = (size_t)lac_dtype_bits(packed->dtype) / 8;
    if (s->across > INT64_C(65536))
        return lac_fail(err, LAC_ERROR_INPUT, "block: %lld blocks of c = %lld columns, limit 65536",
                        (long long)s->across, (long long)s->c);
    if (s->strips > INT64_C(0xffffffff) / (s->across ? s->across : 1))
        return lac_fail(err, LAC_ERROR_INPUT, "block: %lld x %lld blocks, limit 4294967295",
                        (long long)s->strips, (long long)s->across);
    int64_t total; /* the padded matrix must be countable too */
    return lac_shape_count(2, (int64_t[]){s->strips * s->r, s->across * s->c}, &total, err);
}

/* Minus zero counts as zero. */
static bool all_zero(const char *element, int64_t count, lac_dtype dtype)
{
    for (int64_t i = 0; i < count; i++) {
        uint32_t word = 0;
        if (dtype == LAC_F32)
            memcpy(&word, element + 4 * i, 4);
        else if (dtype == LAC_F16)
            memcpy((char *)&word + 2, element + 2 * i, 2);
        else
            word = (uint8_t)element[i];
        if (dtype == LAC_I8 ? word != 0 : word << 1 != 0)
            return false;
    }
    return true;
}

/* Rows and columns that block b of strip s has inside the matrix. */
static void inside(const lac_packed *packed, const shape *s, int64_t strip, int64_t b,
                   int64_t *rows, int64_t *cols)
{
    int64_t below = packed->rows - strip * s->r, right = packed->cols - b * s->c;
    *rows = below < s->r ? below : s->r;
    *cols = right < s->c ? right : s->c;
}

static bool kept(const lac_packed *packed, const shape *s, const lac_tensor *matrix, int64_t strip,
                 int64_t b)
{
    int64_t rows, cols;
    inside(packed, s, strip, b, &rows, &cols);
    for (int64_t i = 0; i < rows; i++) {
        int64_t at = (strip * s->r + i) * packed->cols + b * s->c;
        if (!all_zero((const char *)matrix->data + (size_t)at * s->size, cols, packed->dtype))
            return true;
    }
    return false;
}

static int64_t count_blocks(const lac_packed *packed, const shape *s, const lac_tensor *matrix)
{
    int64_t blocks = 0;
    for (int64_t strip = 0; strip < s->strips; strip++)
        for (int64_t b = 0; b < s->across; b++)
            blocks += kept(packed, s, matrix, strip, b);
    return blocks;
}

static lac_status bytes(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                        lac_error *err)
{
    shape s;
    LAC_TRY(shape_of(packed, &s, err));
    *result =
        4 * (s.strips + 1) + count_blocks(packed, &s, matrix) * (2 + s.r * s.c * (int64_t)s.size);
    return LAC_OK;
}

static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    shape s;
    LAC_TRY(shape_of(packed, &s, err));
    int64_t blocks = count_blocks(packed, &s, matrix);
    LAC_TRY(lac_field_make(packed, START, s.strips + 1, err));
    LAC_TRY(lac_field_make(packed, COL, blocks, err));
    LAC_TRY(lac_field_make(packed, VALUES, blocks * s.r * s.c, err));
    uint32_t *start = packed->field[START].data;
    uint16_t *col = packed->field[COL].data;
    char *values = packed->field[VALUES].data;
    size_t line = (size_t)s.c * s.size;
    if (blocks)
        memset(values, 0, (size_t)(blocks * s.r) * line);
    int64_t at = 0;
    for (int64_t strip = 0; strip < s.strips; strip++) {
        start[strip] = (uint32_t)at;
        for (int64_t b = 0; b < s.across; b++) {
            int64_t rows, cols;
            if (!kept(packed, &s, matrix, strip, b))
                continue;
            inside(packed, &s, strip, b, &rows, &cols);
            for (int64_t i = 0; i < rows; i++)
                memcpy(values + (size_t)(at * s.r + i) * line,
                       (const char *)matrix->data +
                           (size_t)((strip * s.r + i) * packed->cols + b * s.c) * s.size,
                       (size_t)cols * s.size);
            col[at++] = (uint16_t)b;
        }
    }
    start[s.strips] = (uint32_t)at;
    return LAC_OK;
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    shape s;
    LAC_TRY(shape_of(packed, &s, err));
    const uint32_t *start = packed->field[START].data;
    const uint16_t *col = packed->field[COL].data;
    const char *values = packed->field[VALUES].data;
    size_t line = (size_t)s.c * s.size;
    memset(matrix->data, 0, lac_tensor_bytes(matrix));
    for (int64_t strip = 0; strip < s.strips; strip++)
        for (int64_t at = start[strip]; at < start[strip + 1]; at++) {
            int64_t rows, cols;
            inside(packed, &s, strip, col[at], &rows, &cols);
            for (int64_t i = 0; i < rows; i++)
                memcpy((char *)matrix->data +
                           (size_t)((strip * s.r + i) * packed->cols + col[at] * s.c) * s.size,
                       values + (size_t)(at * s.r + i) * line, (size_t)cols * s.size);
        }
    return LAC_OK;
}

static lac_status validate_block(const lac_packed *packed, const shape *s, int64_t strip,
                                 int64_t at, lac_error *err)
{
    const char *values = packed->field[VALUES].data;
    int64_t b = ((const uint16_t *)packed->field[COL].data)[at], rows, cols;
    inside(packed, s, strip, b, &rows, &cols);
    for (int64_t i = 0; i < s->r; i++) {
        int64_t used = i < rows ? cols : 0;
        const char *row = values + (size_t)((at * s->r + i) * s->c) * s->size;
        for (size_t j = (size_t)used * s->size; j < (size_t)s->c * s->size; j++)
            if (row[j])
                return lac_fail(err, LAC_ERROR_INPUT,
                                "block %lld of strip %lld has elements outside the matrix",
                                (long long)at, (long long)strip);
    }
    return LAC_OK;
}

static lac_status validate(const lac_packed *packed, lac_error *err)
{
    shape s;
    int64_t blocks = packed->field[COL].dims[0], total;
    LAC_TRY(shape_of(packed, &s, err));
    LAC_TRY(lac_shape_count(3, (int64_t[]){blocks, s.r, s.c}, &total, err));
    LAC_TRY(lac_field_check(packed, START, s.strips + 1, err));
    LAC_TRY(lac_field_check(packed, VALUES, total, err));
    const uint32_t *start = packed->field[START].data;
    const uint16_t *col = packed->field[COL].data;
    if (start[0] != 0 || start[s.strips] != blocks)
        return lac_fail(err, LAC_ERROR_INPUT, "start runs from %u to %u, want 0 to %lld", start[0],
                        start[s.strips], (long long)blocks);
    for (int64_t strip = 0; strip < s.strips; strip++) {
        int64_t last = -1;
        if (start[strip] > start[strip + 1] || start[strip + 1] > blocks)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "start[%lld] = %u, want at least %u and at most "
                            "%lld",
                            (long long)strip + 1, start[strip + 1], start[strip],
                            (long long)blocks);
        for (int64_t at = start[strip]; at < start[strip + 1]; at++) {
            if (col[at] <= last || col[at] >= s.across)
                return lac_fail(err, LAC_ERROR_INPUT,
                                "col[%lld] = %d, want rising in its strip and below %lld",
                                (long long)at, col[at], (long long)s.across);
            last = col[at];
            if ((last + 1) * s.c > packed->cols || (strip + 1) * s.r > packed->rows)
                LAC_TRY(validate_block(packed, &s, strip, at, err));
        }
    }
    return LAC_OK;
}

/* The strip of every block. */
static lac_status strips_graph(lac_graph *graph, const shape *s, int64_t blocks, int start, int *v,
                               lac_error *err)
{
    int pair[2];
    LAC_TRY(lac_body_cast(graph, start, LAC_I64, v, err));
    LAC_TRY(lac_body_slice(graph, *v, 0, 1, s->strips + 1, &pair[0], err));
    LAC_TRY(lac_body_slice(graph, *v, 0, 0, s->strips, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Sub", 2, pair, v, NULL, err));
    return lac_body_segments(graph, *v, s->strips, s->across, blocks, v, err);
}

static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    shape s;
    int list[3], pair[2], v;
    lac_node *node;
    LAC_TRY(shape_of(packed, &s, err));
    int64_t blocks = packed->field[COL].dims[0];
    LAC_TRY(lac_body_zeros(graph, packed->dtype, 4, (int64_t[]){s.strips, s.across, s.r, s.c},
                           &list[0], err));
    if (s.strips > 0 && blocks > 0) {
        LAC_TRY(strips_graph(graph, &s, blocks, field[START], &v, err));
        LAC_TRY(lac_body_reshape(graph, v, 2, (int64_t[]){blocks, 1}, &pair[0], err));
        LAC_TRY(lac_body_cast(graph, field[COL], LAC_I64, &v, err));
        LAC_TRY(lac_body_reshape(graph, v, 2, (int64_t[]){blocks, 1}, &pair[1], err));
        LAC_TRY(lac_body_op(graph, "Concat", 2, pair, &list[1], &node, err));
        LAC_TRY(lac_node_set_int(graph, node, "axis", 1, err));
        LAC_TRY(lac_body_reshape(graph, field[VALUES], 3, (int64_t[]){blocks, s.r, s.c}, &list[2],
                                 err));
        LAC_TRY(lac_body_op(graph, "ScatterND", 3, list, &v, NULL, err));
        list[0] = v;
    }
    LAC_TRY(lac_body_op(graph, "Transpose", 1, &list[0], &v, &node, err));
    LAC_TRY(lac_node_set_ints(graph, node, "perm", 4, (int64_t[]){0, 2, 1, 3}, err));
    LAC_TRY(lac_body_reshape(graph, v, 2, (int64_t[]){s.strips * s.r, s.across * s.c}, &v, err));
    LAC_TRY(lac_body_slice(graph, v, 0, 0, packed->rows, &v, err));
    return lac_body_slice(graph, v, 1, 0, packed->cols, matrix, err);
}

static const lac_param params[] = {
    {"r", LAC_PARAM_INT, "", 1, 1, 64, NULL, NULL, LAC_OPTION, "", "outputs of a block"},
    {"c", LAC_PARAM_INT, "", 4, 1, 32, NULL, NULL, LAC_OPTION, "", "columns of a block"},
    {0}};

static const char *const forms[] = {"r=1,c=4", "r=4,c=4", "r=8,c=4",  "r=16,c=4",
                                    "r=4,c=1", "r=8,c=1", "r=16,c=1", NULL};

const lac_format lac_format_block = {
    .row = LAC_ROW(lac_format, "block", "blocks of R x C elements that hold a non-zero"),
    .params = params,
    .dtypes = LAC_BIT(LAC_F32) | LAC_BIT(LAC_F16) | LAC_BIT(LAC_I8),
    .fields = {{"start", LAC_U32, "ceil(rows / r) + 1: blocks before each strip of r rows"},
               {"col", LAC_U16, "column of each block, in blocks; rising in a strip"},
               {"values", LAC_NONE, "blocks x r x c elements"}},
    .pack = pack,
    .unpack = unpack,
    .validate = validate,
    .bytes = bytes,
    .unpack_graph = unpack_graph,
    .forms = forms,
};
