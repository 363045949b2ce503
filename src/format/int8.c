/* int8: dense 8-bit integers with one float scale per row (output channel), symmetric:
 * w = q * scale, q in [-127, 127], scale = max|w| / 127. The scheme rounds; this format only
 * stores: a matrix that is not on such a grid is refused, so that unpack is exact. */
#include "format/packed.h"

#include <math.h>

enum { VALUES, SCALE };

static lac_status bytes_after(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                              lac_error *err)
{
    (void)matrix;
    (void)err;
    *result = packed->rows * packed->cols + 4 * packed->rows;
    return LAC_OK;
}

/* Whether `scale` puts all of row on the grid; fills q unless NULL. */
static bool on_grid(const float *row, int64_t cols, float scale, int8_t *q)
{
    for (int64_t k = 0; k < cols; k++) {
        float rounded = rintf(row[k] / scale);
        if (!(rounded >= -127 && rounded <= 127) || rounded * scale != row[k])
            return false;
        if (q)
            q[k] = (int8_t)rounded;
    }
    return true;
}

/* The step of row r and, unless NULL, its elements in such steps. */
static lac_status grid_of(const lac_packed *packed, const lac_tensor *matrix, int64_t r,
                          float *step, int8_t *q, lac_error *err)
{
    const float *row = (const float *)matrix->data + r * packed->cols;
    float largest = 0;
    for (int64_t k = 0; k < packed->cols; k++)
        largest = fmaxf(largest, fabsf(row[k]));
    *step = largest > 0 ? largest / 127 : 1;
    /* 127 * s is rounded, so the scale the scheme used may be an ulp or two away. */
    *step = nextafterf(nextafterf(*step, 0), 0);
    for (int i = 0; i < 5; i++, *step = nextafterf(*step, INFINITY))
        if (*step > 0 && on_grid(row, packed->cols, *step, q))
            return LAC_OK;
    return lac_fail(err, LAC_ERROR_INPUT,
                    "int8: row %lld is not on a grid of 127 steps: quantise it first (scheme int8)",
                    (long long)r);
}

static lac_status bytes(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                        lac_error *err)
{
    float step;
    for (int64_t r = 0; r < packed->rows; r++)
        LAC_TRY(grid_of(packed, matrix, r, &step, NULL, err));
    return bytes_after(packed, matrix, result, err);
}

static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    LAC_TRY(lac_field_make(packed, VALUES, packed->rows * packed->cols, err));
    LAC_TRY(lac_field_make(packed, SCALE, packed->rows, err));
    for (int64_t r = 0; r < packed->rows; r++)
        LAC_TRY(grid_of(packed, matrix, r, (float *)packed->field[SCALE].data + r,
                        (int8_t *)packed->field[VALUES].data + r * packed->cols, err));
    return LAC_OK;
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    (void)err;
    const int8_t *q = packed->field[VALUES].data;
    const float *scale = packed->field[SCALE].data;
    float *w = matrix->data;
    for (int64_t i = 0; i < packed->rows * packed->cols; i++)
        w[i] = (float)q[i] * scale[i / packed->cols];
    return LAC_OK;
}

static lac_status validate(const lac_packed *packed, lac_error *err)
{
    LAC_TRY(lac_field_check(packed, VALUES, packed->rows * packed->cols, err));
    LAC_TRY(lac_field_check(packed, SCALE, packed->rows, err));
    for (int64_t r = 0; r < packed->rows; r++) {
        float scale = ((const float *)packed->field[SCALE].data)[r];
        if (!(scale > 0) || isinf(scale))
            return lac_fail(err, LAC_ERROR_INPUT, "scale[%lld] = %g, want above 0 and finite",
                            (long long)r, (double)scale);
    }
    return LAC_OK;
}

static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    int pair[2];
    LAC_TRY(lac_body_cast(graph, field[VALUES], LAC_F32, &pair[0], err));
    LAC_TRY(lac_body_reshape(graph, pair[0], 2, (int64_t[]){packed->rows, packed->cols}, &pair[0],
                             err));
    LAC_TRY(lac_body_reshape(graph, field[SCALE], 2, (int64_t[]){packed->rows, 1}, &pair[1], err));
    return lac_body_op(graph, "Mul", 2, pair, matrix, NULL, err);
}

const lac_format lac_format_int8 = {
    .row = LAC_ROW(lac_format, "int8", "dense 8-bit integers, one float scale per output"),
    .dtypes = LAC_BIT(LAC_F32),
    .fields = {{"values", LAC_I8, "rows x cols integers in [-127, 127], row-major"},
               {"scale", LAC_F32, "one per row: w = q * scale"}},
    .pack = pack,
    .unpack = unpack,
    .validate = validate,
    .bytes = bytes,
    .unpack_graph = unpack_graph,
    .remedy = "rounding to 8 bits",
    .bytes_after = bytes_after,
    .integers = true,
};
