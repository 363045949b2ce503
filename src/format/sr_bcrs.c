/* sr-bcrs: vertical vectors of 2, 4 or 8 elements in strips of as many rows, laid out in steps of
 * kd vectors so that a matrix unit (kd = 16, 32) or a four-way dot product (kd = 4) reads its
 * operand without arithmetic. Li, Osawa, Hoefler, "Efficient Quantized Sparse Matrix Operations on
 * Tensor Cores" (Magicube), SC 2022, section 4; layout and golden bytes: systems/magicube.md 3, 5.
 *
 * Every strip keeps the columns in which any of its rows is not zero. Its vectors are filled up to
 * whole steps with column -1 and value 0. Elements are cut into planes (4 bits where kd = 32, else
 * bytes), lower planes unsigned, the top one signed; a step holds plane after plane, each [v][kd].
 */
#include "format/sr_bcrs.h"

#include "format/packed.h"

#include <string.h>

enum { ROW = LAC_SR_BCRS_ROW, COL = LAC_SR_BCRS_COL, VALUES = LAC_SR_BCRS_VALUES };

lac_status lac_sr_bcrs_of(const lac_packed *packed, lac_sr_bcrs *s, lac_error *err)
{
    s->v = (int)lac_params_int(&packed->params, "v");
    s->bits = (int)lac_params_int(&packed->params, "bits");
    s->kd = (int)lac_params_int(&packed->params, "kd");
    if (s->v != 2 && s->v != 4 && s->v != 8)
        return lac_fail(err, LAC_ERROR_INPUT, "sr-bcrs: v = %d, want 2, 4 or 8", s->v);
    if (s->bits != 4 && s->bits != 8 && s->bits != 12 && s->bits != 16)
        return lac_fail(err, LAC_ERROR_INPUT, "sr-bcrs: bits = %d, want 4, 8, 12 or 16", s->bits);
    if (s->kd != 4 && s->kd != 16 && s->kd != 32)
        return lac_fail(err, LAC_ERROR_INPUT, "sr-bcrs: kd = %d, want 4, 16 or 32", s->kd);
    if (s->bits > 8 && packed->dtype == LAC_I8)
        return lac_fail(err, LAC_ERROR_INPUT, "sr-bcrs: bits = %d of int8 elements, limit 8",
                        s->bits);
    s->width = s->kd == 32 ? 4 : 8;
    s->planes = (s->bits + s->width - 1) / s->width;
    s->strips = (packed->rows + s->v - 1) / s->v;
    s->step_bytes = (int64_t)s->planes * s->v * s->kd * s->width / 8;
    int64_t total; /* the padded matrix must be countable too */
    return lac_shape_count(2, (int64_t[]){s->strips * s->v, packed->cols}, &total, err);
}

int lac_sr_bcrs_place(const lac_sr_bcrs *s, int j)
{
    return s->kd == 32 ? j / 8 * 8 + j % 2 * 4 + j % 8 / 2 : j;
}

int32_t lac_sr_bcrs_value(const lac_sr_bcrs *s, const uint8_t *step, int v, int j)
{
    uint32_t value = 0;
    int i = v * s->kd + j;
    for (int plane = 0; plane < s->planes; plane++) {
        const uint8_t *at = step + plane * s->v * s->kd * s->width / 8;
        uint32_t part = s->width == 8 ? at[i] : (uint32_t)(at[i / 2] >> i % 2 * 4) & 15;
        value |= part << plane * s->width;
    }
    int held = s->planes * s->width;
    uint32_t sign = UINT32_C(1) << (held - 1);
    return (int32_t)((value ^ sign) - sign);
}

static void value_put(const lac_sr_bcrs *s, uint8_t *step, int v, int j, int32_t value)
{
    int i = v * s->kd + j;
    for (int plane = 0; plane < s->planes; plane++) {
        uint8_t *at = step + plane * s->v * s->kd * s->width / 8;
        uint32_t part = (uint32_t)value >> plane * s->width;
        if (s->width == 8)
            at[i] = (uint8_t)part;
        else
            at[i / 2] = (uint8_t)(at[i / 2] | (part & 15) << i % 2 * 4);
    }
}

static int32_t element(const lac_tensor *matrix, int64_t i)
{
    return matrix->dtype == LAC_I8 ? ((const int8_t *)matrix->data)[i]
                                   : ((const int16_t *)matrix->data)[i];
}

/* Whether a strip has a vector in column k; refuses elements of more than the format's bits. */
static lac_status kept(const lac_packed *packed, const lac_sr_bcrs *s, const lac_tensor *matrix,
                       int64_t strip, int64_t k, bool *keep, lac_error *err)
{
    int32_t limit = 1 << (s->bits - 1);
    *keep = false;
    for (int64_t r = strip * s->v; r < (strip + 1) * s->v && r < packed->rows; r++) {
        int32_t value = element(matrix, r * packed->cols + k);
        if (value < -limit || value >= limit)
            return lac_fail(
                err, LAC_ERROR_INPUT, "sr-bcrs: element (%lld, %lld) is %d, %d bits hold %d to %d",
                (long long)r, (long long)k, (int)value, s->bits, -(int)limit, (int)limit - 1);
        *keep |= value != 0;
    }
    return LAC_OK;
}

/* Vectors with padding; the ranges of the strips into `row` unless it is NULL. */
static lac_status count(const lac_packed *packed, const lac_sr_bcrs *s, const lac_tensor *matrix,
                        int32_t *row, int64_t *padded, lac_error *err)
{
    *padded = 0;
    for (int64_t strip = 0; strip < s->strips; strip++) {
        int64_t vectors = 0;
        for (int64_t k = 0; k < packed->cols; k++) {
            bool keep;
            LAC_TRY(kept(packed, s, matrix, strip, k, &keep, err));
            vectors += keep;
        }
        if (row) {
            row[2 * strip] = (int32_t)*padded;
            row[2 * strip + 1] = (int32_t)(*padded + vectors);
        }
        *padded += (vectors + s->kd - 1) / s->kd * s->kd;
        if (*padded > INT32_MAX)
            return lac_fail(err, LAC_ERROR_INPUT, "sr-bcrs: more than %d vectors", INT32_MAX);
    }
    return LAC_OK;
}

static int64_t value_bytes(const lac_sr_bcrs *s, int64_t padded)
{
    return padded / s->kd * s->step_bytes; /* below 2^31 times 16 */
}

static lac_status bytes(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                        lac_error *err)
{
    lac_sr_bcrs s;
    int64_t padded;
    LAC_TRY(lac_sr_bcrs_of(packed, &s, err));
    LAC_TRY(count(packed, &s, matrix, NULL, &padded, err));
    *result = value_bytes(&s, padded) + 4 * padded + 8 * s.strips;
    return LAC_OK;
}

static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    lac_sr_bcrs s;
    int64_t padded;
    LAC_TRY(lac_sr_bcrs_of(packed, &s, err));
    LAC_TRY(lac_field_make(packed, ROW, 2 * s.strips, err));
    int32_t *row = packed->field[ROW].data;
    LAC_TRY(count(packed, &s, matrix, row, &padded, err));
    LAC_TRY(lac_field_make(packed, COL, padded, err));
    LAC_TRY(lac_field_make(packed, VALUES, value_bytes(&s, padded), err));
    int32_t *col = packed->field[COL].data;
    uint8_t *values = packed->field[VALUES].data;
    for (int64_t i = 0; i < padded; i++)
        col[i] = -1;
    memset(values, 0, (size_t)value_bytes(&s, padded));
    for (int64_t strip = 0; strip < s.strips; strip++) {
        int64_t at = row[2 * strip];
        for (int64_t k = 0; k < packed->cols; k++) {
            bool keep;
            LAC_TRY(kept(packed, &s, matrix, strip, k, &keep, err));
            if (!keep)
                continue;
            int64_t step = at / s.kd;
            int j = (int)(at++ % s.kd);
            col[step * s.kd + lac_sr_bcrs_place(&s, j)] = (int32_t)k;
            for (int v = 0; v < s.v && strip * s.v + v < packed->rows; v++)
                value_put(&s, values + step * s.step_bytes, v, j,
                          element(matrix, (strip * s.v + v) * packed->cols + k));
        }
    }
    return LAC_OK;
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    lac_sr_bcrs s;
    LAC_TRY(lac_sr_bcrs_of(packed, &s, err));
    const int32_t *row = packed->field[ROW].data, *col = packed->field[COL].data;
    const uint8_t *values = packed->field[VALUES].data;
    memset(matrix->data, 0, lac_tensor_bytes(matrix));
    for (int64_t strip = 0; strip < s.strips; strip++)
        for (int64_t at = row[2 * strip]; at < row[2 * strip + 1]; at++) {
            int64_t step = at / s.kd;
            int j = (int)(at % s.kd);
            int64_t k = col[step * s.kd + lac_sr_bcrs_place(&s, j)];
            for (int v = 0; v < s.v && strip * s.v + v < packed->rows; v++) {
                int32_t value = lac_sr_bcrs_value(&s, values + step * s.step_bytes, v, j);
                int64_t i = (strip * s.v + v) * packed->cols + k;
                if (matrix->dtype == LAC_I8)
                    ((int8_t *)matrix->data)[i] = (int8_t)value;
                else
                    ((int16_t *)matrix->data)[i] = (int16_t)value;
            }
        }
    return LAC_OK;
}

/* The ranges of the strips follow one another, each from a whole step on. */
static lac_status validate_rows(const lac_packed *packed, const lac_sr_bcrs *s, int64_t *padded,
                                lac_error *err)
{
    const int32_t *row = packed->field[ROW].data;
    *padded = 0;
    for (int64_t strip = 0; strip < s->strips; strip++) {
        int64_t start = row[2 * strip], vectors = (int64_t)row[2 * strip + 1] - start;
        if (start != *padded || vectors < 0 || vectors > packed->cols)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "strip %lld is %d to %d, want from %lld on at most %lld vectors",
                            (long long)strip, (int)row[2 * strip], (int)row[2 * strip + 1],
                            (long long)*padded, (long long)packed->cols);
        *padded += (vectors + s->kd - 1) / s->kd * s->kd;
    }
    return LAC_OK;
}

static lac_status validate_strip(const lac_packed *packed, const lac_sr_bcrs *s, int64_t strip,
                                 lac_error *err)
{
    const int32_t *row = packed->field[ROW].data, *col = packed->field[COL].data;
    const uint8_t *values = packed->field[VALUES].data;
    int64_t start = row[2 * strip], end = row[2 * strip + 1], last = -1;
    int32_t limit = 1 << (s->bits - 1);
    for (int64_t at = start; at < end || at % s->kd; at++) {
        int64_t step = at / s->kd;
        int j = (int)(at % s->kd);
        int32_t k = col[step * s->kd + lac_sr_bcrs_place(s, j)];
        if (at < end ? k <= last || k >= packed->cols : k != -1)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "column %lld of strip %lld is %d, want rising and below %lld, then -1",
                            (long long)(at - start), (long long)strip, (int)k,
                            (long long)packed->cols);
        last = k;
        for (int v = 0; v < s->v; v++) {
            int32_t value = lac_sr_bcrs_value(s, values + step * s->step_bytes, v, j);
            bool inside = at < end && strip * s->v + v < packed->rows;
            if (inside ? value < -limit || value >= limit : value != 0)
                return lac_fail(err, LAC_ERROR_INPUT,
                                "value of row %d, vector %lld of strip %lld is %d, want %s", v,
                                (long long)(at - start), (long long)strip, (int)value,
                                inside ? "as many bits as bits says" : "0, it is padding");
        }
    }
    return LAC_OK;
}

static lac_status validate(const lac_packed *packed, lac_error *err)
{
    lac_sr_bcrs s;
    int64_t padded;
    LAC_TRY(lac_sr_bcrs_of(packed, &s, err));
    LAC_TRY(lac_field_check(packed, ROW, 2 * s.strips, err));
    LAC_TRY(validate_rows(packed, &s, &padded, err));
    LAC_TRY(lac_field_check(packed, COL, padded, err));
    LAC_TRY(lac_field_check(packed, VALUES, value_bytes(&s, padded), err));
    for (int64_t strip = 0; strip < s.strips; strip++)
        LAC_TRY(validate_strip(packed, &s, strip, err));
    return LAC_OK;
}

/* ---- with standard operators ------------------------------------------------------------------
 */

static lac_status transpose(lac_graph *graph, int x, int n, const int64_t *perm, int *out,
                            lac_error *err)
{
    lac_node *node;
    LAC_TRY(lac_body_op(graph, "Transpose", 1, &x, out, &node, err));
    return lac_node_set_ints(graph, node, "perm", n, perm, err);
}

/* The strip of every vector, [padded]: a strip has whole steps up to where the next begins. */
static lac_status body_strips(lac_graph *graph, const lac_sr_bcrs *s, int64_t cols, int64_t padded,
                              int row, int *strip, lac_error *err)
{
    int64_t most = (cols + s->kd - 1) / s->kd * s->kd;
    int v, pair[2];
    lac_node *node;
    LAC_TRY(lac_body_reshape(graph, row, 2, (int64_t[]){s->strips, 2}, &v, err));
    LAC_TRY(lac_body_slice(graph, v, 1, 0, 1, &v, err));
    LAC_TRY(lac_body_cast(graph, v, LAC_I64, &v, err));
    LAC_TRY(lac_body_reshape(graph, v, 1, &s->strips, &pair[0], err));
    LAC_TRY(lac_body_ints(graph, 1, &padded, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Concat", 2, pair, &v, &node, err));
    LAC_TRY(lac_node_set_int(graph, node, "axis", 0, err));
    LAC_TRY(lac_body_slice(graph, v, 0, 1, s->strips + 1, &v, err));
    LAC_TRY(lac_body_op(graph, "Sub", 2, (int[]){v, pair[0]}, &v, NULL, err));
    return lac_body_segments(graph, v, s->strips, most, padded, strip, err);
}

/* Bytes as halves, the lower first: int64 [..][n] -> [..][2 n]. */
static lac_status body_halves(lac_graph *graph, int64_t count, int bytes, int *out, lac_error *err)
{
    int v, pair[2];
    lac_node *node;
    LAC_TRY(lac_body_reshape(graph, bytes, 2, (int64_t[]){count, 1}, &v, err));
    LAC_TRY(lac_body_number(graph, "Mod", v, 16, &pair[0], err));
    LAC_TRY(lac_body_number(graph, "Div", v, 16, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Concat", 2, pair, out, &node, err));
    return lac_node_set_int(graph, node, "axis", 1, err);
}

/* The elements, [padded * v] as int64. */
static lac_status body_values(lac_graph *graph, const lac_sr_bcrs *s, int64_t padded, int values,
                              int *out, lac_error *err)
{
    int64_t steps = padded / s->kd, sign = INT64_C(1) << (s->planes * s->width - 1), weight[4];
    int v, pair[2];
    lac_node *node;
    LAC_TRY(lac_body_cast(graph, values, LAC_I64, &v, err));
    if (s->width == 4)
        LAC_TRY(body_halves(graph, steps * s->step_bytes, v, &v, err));
    LAC_TRY(
        lac_body_reshape(graph, v, 4, (int64_t[]){steps, s->planes, s->v, s->kd}, &pair[0], err));
    for (int plane = 0; plane < s->planes; plane++)
        weight[plane] = INT64_C(1) << plane * s->width;
    LAC_TRY(lac_body_ints(graph, s->planes, weight, &v, err));
    LAC_TRY(lac_body_reshape(graph, v, 3, (int64_t[]){s->planes, 1, 1}, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Mul", 2, pair, &v, NULL, err));
    pair[0] = v;
    LAC_TRY(lac_body_ints(graph, 1, (int64_t[]){1}, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "ReduceSum", 2, pair, &v, &node, err));
    LAC_TRY(lac_node_set_int(graph, node, "keepdims", 0, err));
    /* two's complement: (x + sign) mod 2 sign - sign */
    LAC_TRY(lac_body_number(graph, "Add", v, sign, &v, err));
    LAC_TRY(lac_body_number(graph, "Mod", v, 2 * sign, &v, err));
    LAC_TRY(lac_body_number(graph, "Sub", v, sign, &v, err));
    LAC_TRY(transpose(graph, v, 3, (int64_t[]){0, 2, 1}, &v, err));
    return lac_body_reshape(graph, v, 1, (int64_t[]){padded * s->v}, out, err);
}

/* Zeros, padding among them, whose column is -1, are not put anywhere. */
static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    lac_sr_bcrs s;
    LAC_TRY(lac_sr_bcrs_of(packed, &s, err));
    int64_t padded = packed->field[COL].dims[0], all = s.strips * s.v * packed->cols, rows[8];
    int v, column, strip, place, value, zero;
    LAC_TRY(body_strips(graph, &s, packed->cols, padded, field[ROW], &strip, err));
    LAC_TRY(lac_body_cast(graph, field[COL], LAC_I64, &column, err));
    if (s.kd == 32) {
        LAC_TRY(lac_body_reshape(graph, column, 3, (int64_t[]){padded / 8, 2, 4}, &column, err));
        LAC_TRY(transpose(graph, column, 3, (int64_t[]){0, 2, 1}, &column, err));
        LAC_TRY(lac_body_reshape(graph, column, 1, (int64_t[]){padded}, &column, err));
    }
    LAC_TRY(lac_body_number(graph, "Mul", strip, s.v * packed->cols, &v, err));
    LAC_TRY(lac_body_op(graph, "Add", 2, (int[]){v, column}, &v, NULL, err));
    LAC_TRY(lac_body_reshape(graph, v, 2, (int64_t[]){padded, 1}, &v, err));
    for (int i = 0; i < s.v; i++)
        rows[i] = i * packed->cols;
    LAC_TRY(lac_body_ints(graph, s.v, rows, &place, err));
    LAC_TRY(lac_body_op(graph, "Add", 2, (int[]){v, place}, &v, NULL, err));
    LAC_TRY(lac_body_reshape(graph, v, 1, (int64_t[]){padded * s.v}, &place, err));
    LAC_TRY(body_values(graph, &s, padded, field[VALUES], &value, err));
    LAC_TRY(lac_body_number(graph, "Equal", value, 0, &zero, err));
    LAC_TRY(lac_body_scatter(graph, LAC_I64, all, place, value, zero, &v, err));
    LAC_TRY(lac_body_cast(graph, v, packed->dtype, &v, err));
    LAC_TRY(lac_body_reshape(graph, v, 2, (int64_t[]){s.strips * s.v, packed->cols}, matrix, err));
    return packed->rows == s.strips * s.v
               ? LAC_OK
               : lac_body_slice(graph, *matrix, 0, 0, packed->rows, matrix, err);
}

static const lac_param params[] = {
    {"v", LAC_PARAM_INT, "", 4, 2, 8, NULL, NULL, LAC_OPTION, "", "rows of a strip: 2, 4 or 8"},
    {"bits", LAC_PARAM_INT, "", 8, 4, 16, NULL, NULL, LAC_OPTION, "",
     "of an element: 4, 8, 12 or 16"},
    {"kd", LAC_PARAM_INT, "", 4, 4, 32, NULL, NULL, LAC_OPTION, "",
     "vectors of a step: 4 (CPU), 16 or 32 (tensor cores)"},
    {0}};

static const char *const forms[] = {"v=2", "v=4", "v=8", NULL};

const lac_format lac_format_sr_bcrs = {
    .row = LAC_ROW(lac_format, "sr-bcrs", "column vectors of 2, 4 or 8 elements in strided steps"),
    .params = params,
    .dtypes = LAC_BIT(LAC_I8) | LAC_BIT(LAC_I16),
    .fields = {{"row", LAC_I32, "first vector and end, without padding, of each strip"},
               {"col", LAC_I32, "column of each vector, rising in a strip; -1: padding"},
               {"values", LAC_U8, "per step of kd vectors plane after plane, each [v][kd]"}},
    .pack = pack,
    .unpack = unpack,
    .validate = validate,
    .bytes = bytes,
    .forms = forms,
    .unpack_graph = unpack_graph,
};
