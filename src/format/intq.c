/* intq: uniform integers of 2, 3 or 4 bits, a float16 step (and, asymmetric, a zero point) for each
 * group of columns of a row: w = step * (code - zero). The layout is the one that the kernels
 * multiply from (intq.h): masks and shifts of a unit of 64 bytes give the operands of vpdpbusd. The
 * format only stores: a matrix that is on no such grid is refused. A product of an 11-bit step and
 * a 5-bit integer is exact in float32, so the grid of a group can be found from its values. */
#include "format/intq.h"

#include "core/memory.h"
#include "format/packed.h"

#include <math.h>
#include <string.h>

enum { CODES, SCALE, ZERO };

lac_status lac_intq_of(const lac_packed *packed, lac_intq *q, lac_error *err)
{
    memset(q, 0, sizeof *q);
    q->bits = (int)lac_params_int(&packed->params, "bits");
    q->group = (int)lac_params_int(&packed->params, "group");
    q->asymmetric = strcmp(lac_params_text(&packed->params, "zero"), "stored") == 0;
    q->middle = 1 << (q->bits - 1);
    if (q->group != 32 && q->group != 64 && q->group != 128)
        return lac_fail(err, LAC_ERROR_INPUT, "intq: group = %d, want 32, 64 or 128", q->group);
    q->panels = packed->rows / LAC_INTQ_OUTPUTS + (packed->rows % LAC_INTQ_OUTPUTS != 0);
    q->blocks = packed->cols / LAC_INTQ_BLOCK + (packed->cols % LAC_INTQ_BLOCK != 0);
    q->groups = packed->cols / q->group + (packed->cols % q->group != 0);
    int64_t total; /* the padded matrix must be countable too */
    LAC_TRY(lac_shape_count(4, (int64_t[]){q->panels, LAC_INTQ_OUTPUTS, q->groups, q->group},
                            &total, err));
    q->codes = packed->field[CODES].data;
    q->scale = packed->field[SCALE].data;
    q->zero = q->asymmetric ? packed->field[ZERO].data : NULL;
    return LAC_OK;
}

static int64_t code_bytes(const lac_intq *q)
{
    return q->panels * q->blocks * lac_intq_block_bytes(q);
}

static int64_t scale_count(const lac_intq *q)
{
    return q->panels * q->groups * LAC_INTQ_OUTPUTS;
}

static int64_t zero_count(const lac_intq *q)
{
    return q->asymmetric ? scale_count(q) : 0;
}

static lac_status bytes_after(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                              lac_error *err)
{
    (void)matrix;
    lac_intq q;
    LAC_TRY(lac_intq_of(packed, &q, err));
    *result = code_bytes(&q) + 2 * scale_count(&q) + zero_count(&q);
    return LAC_OK;
}

/* ---- grids ------------------------------------------------------------------------------------
 */

/* Whether all values are `step` times integers that the codes reach from *zero, which is set. */
static bool on_grid(const float *value, int64_t count, float step, int bits, bool asymmetric,
                    int *zero)
{
    int low = 0, high = 0, most = (1 << bits) - 1;
    for (int64_t i = 0; i < count; i++) {
        float steps = value[i] / step;
        if (!(fabsf(steps) <= (float)most))
            return false;
        int rounded = (int)rintf(steps);
        if ((float)rounded * step != value[i])
            return false;
        low = rounded < low ? rounded : low;
        high = rounded > high ? rounded : high;
    }
    *zero = asymmetric ? -low : 1 << (bits - 1);
    return *zero + low >= 0 && *zero + high <= most;
}

static float to_half(float value)
{
    return lac_f16_to_f32(lac_f32_to_f16(value));
}

bool lac_intq_grid(const float *value, int64_t count, int bits, bool asymmetric, float *step,
                   int *zero)
{
    float largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fabsf(value[i]) > largest ? fabsf(value[i]) : largest;
    *step = 0;
    *zero = asymmetric ? 0 : 1 << (bits - 1);
    if (largest == 0) { /* NaN is not above 0 either */
        for (int64_t i = 0; i < count; i++)
            if (value[i] != 0)
                return false;
        return true;
    }
    int most = asymmetric ? (1 << bits) - 1 : 1 << (bits - 1);
    for (int i = 1; i <= most; i++) { /* the coarsest grid first */
        *step = to_half(largest / (float)i);
        if ((float)i * *step != largest)
            continue;
        if (on_grid(value, count, *step, bits, asymmetric, zero))
            return true;
        *step = -*step; /* as ggml's Q4_0, whose largest value is -8 steps */
        if (!asymmetric && on_grid(value, count, *step, bits, false, zero))
            return true;
    }
    return false;
}

/* The code of `value`, clamped. */
static int nearest(float value, float step, int bits, int zero)
{
    float steps = step != 0 ? rintf(value / step) : 0, most = (float)((1 << bits) - 1);
    steps += (float)zero;
    return (int)(steps < 0 ? 0 : steps > most ? most : steps);
}

static double squared_error(const float *value, int64_t count, float step, int bits, int zero)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        float back = (float)(nearest(value[i], step, bits, zero) - zero) * step;
        sum += (double)(value[i] - back) * (double)(value[i] - back);
    }
    return sum;
}

/* Steps tried: the one that just holds every value, and down from it: below 2 bits of Gaussian
 * weights the best is near half of it. */
#define STEPS_TRIED  24
#define STEP_BETWEEN 0.03f

static void round_group(float *value, int64_t count, int bits, bool asymmetric)
{
    float low = 0, high = 0, best_step = 0;
    double best = INFINITY;
    int best_zero = 0, levels = (1 << bits) - 1, middle = 1 << (bits - 1);
    for (int64_t i = 0; i < count; i++) {
        low = value[i] < low ? value[i] : low;
        high = value[i] > high ? value[i] : high;
    }
    float far = -low > high ? low : high; /* the largest, with its sign */
    for (int i = 0; i < STEPS_TRIED; i++)
        for (int way = 0; way < (asymmetric ? 1 : 2); way++) {
            float range = 1 - (float)i * STEP_BETWEEN, step;
            int zero = middle;
            if (asymmetric)
                step = (high - low) * range / (float)levels;
            else if (way)
                step = -far * range / (float)middle;
            else
                step = fabsf(far) * range / (float)(middle - 1);
            step = to_half(fminf(fmaxf(step, -65504), 65504));
            if (asymmetric)
                zero = nearest(-low * range, step, bits, 0);
            double error = squared_error(value, count, step, bits, zero);
            if (error < best) {
                best = error;
                best_step = step;
                best_zero = zero;
            }
        }
    for (int64_t i = 0; i < count; i++)
        value[i] = (float)(nearest(value[i], best_step, bits, best_zero) - best_zero) * best_step;
}

void lac_intq_round(float *matrix, int64_t rows, int64_t cols, int bits, int group, bool asymmetric)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < cols; k += group)
            round_group(matrix + r * cols + k, cols - k < group ? cols - k : group, bits,
                        asymmetric);
}

/* ---- the row ----------------------------------------------------------------------------------
 */

static lac_status grid_of(const lac_packed *packed, const lac_intq *q, const lac_tensor *matrix,
                          int64_t row, int64_t group, float *step, int *zero, lac_error *err)
{
    int64_t k = group * q->group, left = packed->cols - k;
    const float *value = (const float *)matrix->data + row * packed->cols + k;
    if (lac_intq_grid(value, left < q->group ? left : q->group, q->bits, q->asymmetric, step, zero))
        return LAC_OK;
    return lac_fail(err, LAC_ERROR_INPUT,
                    "intq: row %lld, columns from %lld are on no grid of %d bits and a float16 "
                    "step: round them first",
                    (long long)row, (long long)k, q->bits);
}

static lac_status bytes(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                        lac_error *err)
{
    lac_intq q;
    float step;
    int zero;
    LAC_TRY(lac_intq_of(packed, &q, err));
    for (int64_t r = 0; r < packed->rows; r++)
        for (int64_t g = 0; g < q.groups; g++)
            LAC_TRY(grid_of(packed, &q, matrix, r, g, &step, &zero, err));
    return bytes_after(packed, matrix, result, err);
}

static void put_code(uint8_t *block, int bits, int output, int at, int code)
{
    int quad = at / 4, byte = 4 * output + at % 4;
    if (bits == 2) {
        block[64 * (quad / 4) + byte] |= (uint8_t)(code << 2 * (quad % 4));
    } else if (bits == 4) {
        block[64 * (quad / 2) + byte] |= (uint8_t)(code << 4 * (quad % 2));
    } else if (quad < 6) {
        block[64 * (quad / 2) + byte] |= (uint8_t)(code << 3 * (quad % 2));
    } else {
        int pair = code << 3 * (quad - 6);
        for (int u = 0; u < 3; u++)
            block[64 * u + byte] |= (uint8_t)((pair >> 2 * u & 3) << 6);
    }
}

/* Rows behind the last one are zeros of step 0; columns behind the last one have the code of zero.
 */
static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    lac_intq q;
    LAC_TRY(lac_intq_of(packed, &q, err));
    LAC_TRY(lac_field_make(packed, CODES, code_bytes(&q), err));
    LAC_TRY(lac_field_make(packed, SCALE, scale_count(&q), err));
    LAC_TRY(lac_field_make(packed, ZERO, zero_count(&q), err));
    uint8_t *codes = packed->field[CODES].data, *zeros = packed->field[ZERO].data;
    uint16_t *scales = packed->field[SCALE].data;
    for (int64_t row = 0; row < q.panels * LAC_INTQ_OUTPUTS; row++)
        for (int64_t g = 0; g < q.groups; g++) {
            int64_t panel = row / LAC_INTQ_OUTPUTS, at = g * q.group;
            int output = (int)(row % LAC_INTQ_OUTPUTS), zero = q.middle;
            float step = 0;
            if (row < packed->rows)
                LAC_TRY(grid_of(packed, &q, matrix, row, g, &step, &zero, err));
            int64_t place = (panel * q.groups + g) * LAC_INTQ_OUTPUTS + output;
            scales[place] = lac_f32_to_f16(step);
            if (q.asymmetric)
                zeros[place] = (uint8_t)zero;
            for (int64_t k = at; k < at + q.group && k < q.blocks * LAC_INTQ_BLOCK; k++) {
                int code = zero;
                if (row < packed->rows && k < packed->cols && step != 0)
                    code +=
                        (int)rintf(((const float *)matrix->data)[row * packed->cols + k] / step);
                put_code(codes + (panel * q.blocks + k / LAC_INTQ_BLOCK) * lac_intq_block_bytes(&q),
                         q.bits, output, (int)(k % LAC_INTQ_BLOCK), code);
            }
        }
    return LAC_OK;
}

static int zero_at(const lac_intq *q, int64_t place)
{
    return q->zero ? q->zero[place] : q->middle;
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    lac_intq q;
    LAC_TRY(lac_intq_of(packed, &q, err));
    float *w = matrix->data;
    for (int64_t row = 0; row < packed->rows; row++)
        for (int64_t k = 0; k < packed->cols; k++) {
            int64_t panel = row / LAC_INTQ_OUTPUTS;
            int output = (int)(row % LAC_INTQ_OUTPUTS);
            int64_t place = (panel * q.groups + k / q.group) * LAC_INTQ_OUTPUTS + output;
            const uint8_t *block =
                q.codes + (panel * q.blocks + k / LAC_INTQ_BLOCK) * lac_intq_block_bytes(&q);
            int code = lac_intq_code(block, q.bits, output, (int)(k % LAC_INTQ_BLOCK));
            /* + 0: a negative step makes no negative zero */
            w[row * packed->cols + k] =
                (float)(code - zero_at(&q, place)) * lac_f16_to_f32(q.scale[place]) + 0.0f;
        }
    return LAC_OK;
}

static lac_status validate(const lac_packed *packed, lac_error *err)
{
    lac_intq q;
    LAC_TRY(lac_intq_of(packed, &q, err));
    LAC_TRY(lac_field_check(packed, CODES, code_bytes(&q), err));
    LAC_TRY(lac_field_check(packed, SCALE, scale_count(&q), err));
    LAC_TRY(lac_field_check(packed, ZERO, zero_count(&q), err));
    for (int64_t i = 0; i < scale_count(&q); i++) {
        if ((q.scale[i] & 0x7c00) == 0x7c00)
            return lac_fail(err, LAC_ERROR_INPUT, "scale[%lld] is not finite", (long long)i);
        if (zero_at(&q, i) >= 1 << q.bits)
            return lac_fail(err, LAC_ERROR_INPUT, "zero[%lld] = %d, want below %d", (long long)i,
                            zero_at(&q, i), 1 << q.bits);
    }
    int first = (int)(packed->cols % LAC_INTQ_BLOCK);
    if (first == 0)
        return LAC_OK;
    for (int64_t row = 0; row < packed->rows; row++) { /* kernels multiply whole blocks */
        int64_t panel = row / LAC_INTQ_OUTPUTS;
        int output = (int)(row % LAC_INTQ_OUTPUTS);
        int64_t place = (panel * q.groups + q.groups - 1) * LAC_INTQ_OUTPUTS + output;
        const uint8_t *block =
            q.codes + (panel * q.blocks + q.blocks - 1) * lac_intq_block_bytes(&q);
        for (int at = first; at < LAC_INTQ_BLOCK; at++)
            if (lac_intq_code(block, q.bits, output, at) != zero_at(&q, place))
                return lac_fail(err, LAC_ERROR_INPUT,
                                "codes of row %lld behind the last column are not the zero point",
                                (long long)row);
    }
    return LAC_OK;
}

/* [panels][groups][16] of float32 -> [rows][columns of whole groups], each value `group` times. */
static lac_status spread(const lac_intq *q, lac_graph *graph, int in, int *out, lac_error *err)
{
    lac_node *node;
    int pair[2], v, turned, ones;
    LAC_TRY(lac_body_reshape(graph, in, 3, (int64_t[]){q->panels, q->groups, LAC_INTQ_OUTPUTS}, &v,
                             err));
    LAC_TRY(lac_body_op(graph, "Transpose", 1, &v, &turned, &node, err));
    LAC_TRY(lac_node_set_ints(graph, node, "perm", 3, (int64_t[]){0, 2, 1}, err));
    LAC_TRY(lac_body_reshape(
        graph, turned, 3, (int64_t[]){q->panels * LAC_INTQ_OUTPUTS, q->groups, 1}, &pair[0], err));
    LAC_TRY(lac_body_ints(graph, 3, (int64_t[]){1, 1, q->group}, &ones, err));
    pair[1] = ones;
    LAC_TRY(lac_body_op(graph, "Expand", 2, pair, &v, NULL, err));
    return lac_body_reshape(
        graph, v, 2, (int64_t[]){q->panels * LAC_INTQ_OUTPUTS, q->groups * q->group}, out, err);
}

/* Bits of the codes as int32 [panels][16][blocks][4][units][8], and from them the codes
 * [panels][16][blocks][4][8] of quads. */
static lac_status codes_graph(const lac_intq *q, lac_graph *graph, int field, int *codes,
                              lac_error *err)
{
    static const int32_t powers[4] = {1, 2, 4, 8};
    int64_t p = q->panels, b = q->blocks, bits = q->bits;
    int u, v, part[2], pair[2];
    lac_node *node;
    LAC_TRY(lac_body_bits(graph, field, 1, code_bytes(q), 8 * code_bytes(q), 1, &v, err));
    LAC_TRY(lac_body_cast(graph, v, LAC_I32, &v, err));
    LAC_TRY(
        lac_body_reshape(graph, v, 6, (int64_t[]){p, b, bits, LAC_INTQ_OUTPUTS, 4, 8}, &u, err));
    LAC_TRY(lac_body_op(graph, "Transpose", 1, &u, &v, &node, err));
    LAC_TRY(lac_node_set_ints(graph, node, "perm", 6, (int64_t[]){0, 3, 1, 4, 2, 5}, err));
    if (bits == 3) { /* quads 6 and 7 are the upper two bits of the units, joined */
        LAC_TRY(lac_body_slice(graph, v, 5, 0, 6, &part[0], err));
        LAC_TRY(lac_body_slice(graph, v, 5, 6, 8, &part[1], err));
        LAC_TRY(lac_body_reshape(graph, part[0], 5, (int64_t[]){p, LAC_INTQ_OUTPUTS, b, 4, 18},
                                 &part[0], err));
        LAC_TRY(lac_body_reshape(graph, part[1], 5, (int64_t[]){p, LAC_INTQ_OUTPUTS, b, 4, 6},
                                 &part[1], err));
        LAC_TRY(lac_body_op(graph, "Concat", 2, part, &v, &node, err));
        LAC_TRY(lac_node_set_int(graph, node, "axis", 4, err));
    }
    LAC_TRY(lac_body_reshape(graph, v, 6, (int64_t[]){p, LAC_INTQ_OUTPUTS, b, 4, 8, bits}, &pair[0],
                             err));
    LAC_TRY(lac_body_int32s(graph, (int)bits, powers, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Mul", 2, pair, &v, NULL, err));
    int64_t last = 5;
    pair[0] = v;
    LAC_TRY(lac_body_ints(graph, 1, &last, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "ReduceSum", 2, pair, codes, &node, err));
    return lac_node_set_int(graph, node, "keepdims", 0, err);
}

static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    lac_intq q;
    lac_node *node;
    int v, quads, pair[2];
    LAC_TRY(lac_intq_of(packed, &q, err));
    int64_t rows = q.panels * LAC_INTQ_OUTPUTS;
    LAC_TRY(codes_graph(&q, graph, field[CODES], &quads, err));
    LAC_TRY(
        lac_body_op(graph, "Transpose", 1, &quads, &v, &node, err)); /* quads outside their bytes */
    LAC_TRY(lac_node_set_ints(graph, node, "perm", 5, (int64_t[]){0, 1, 2, 4, 3}, err));
    LAC_TRY(lac_body_cast(graph, v, LAC_F32, &v, err));
    LAC_TRY(lac_body_reshape(graph, v, 2, (int64_t[]){rows, q.blocks * LAC_INTQ_BLOCK}, &v, err));
    LAC_TRY(lac_body_slice(graph, v, 1, 0, packed->cols, &pair[0], err));
    if (q.asymmetric) {
        LAC_TRY(lac_body_cast(graph, field[ZERO], LAC_F32, &v, err));
        LAC_TRY(spread(&q, graph, v, &v, err));
        LAC_TRY(lac_body_slice(graph, v, 1, 0, packed->cols, &pair[1], err));
    } else {
        int32_t middle = q.middle;
        LAC_TRY(lac_body_int32s(graph, 1, &middle, &v, err));
        LAC_TRY(lac_body_cast(graph, v, LAC_F32, &pair[1], err));
    }
    LAC_TRY(lac_body_op(graph, "Sub", 2, pair, &v, NULL, err));
    pair[0] = v;
    LAC_TRY(lac_body_cast(graph, field[SCALE], LAC_F32, &v, err));
    LAC_TRY(spread(&q, graph, v, &v, err));
    LAC_TRY(lac_body_slice(graph, v, 1, 0, packed->cols, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Mul", 2, pair, &v, NULL, err));
    return lac_body_slice(graph, v, 0, 0, packed->rows, matrix, err);
}

static const lac_param params[] = {
    {"bits", LAC_PARAM_INT, "bits", 4, 2, 4, NULL, NULL, LAC_OPTION, "", "width of a code"},
    {"group", LAC_PARAM_INT, "", 32, 32, 128, NULL, NULL, LAC_OPTION, "",
     "columns of a row with one step: 32, 64 or 128"},
    {"zero", LAC_PARAM_CHOICE, "", 0, 0, 0, "middle", "middle|stored", LAC_OPTION, "",
     "zero point: the code 2^(bits-1), or one stored for each group"},
    {0}};

const lac_format lac_format_intq = {
    .row = LAC_ROW(lac_format, "intq", "integers of 2 to 4 bits, one float16 step per group"),
    .params = params,
    .dtypes = LAC_BIT(LAC_F32),
    .fields = {{"codes", LAC_U8, "blocks of 16 outputs and 32 columns, `bits` units of 64 bytes"},
               {"scale", LAC_F16, "panels x groups x 16 steps: w = step * (code - zero)"},
               {"zero", LAC_U8, "panels x groups x 16 zero points; empty: all 2^(bits-1)"}},
    .pack = pack,
    .unpack = unpack,
    .validate = validate,
    .bytes = bytes,
    .unpack_graph = unpack_graph,
    .remedy = "rounding to 2^bits levels",
    .bytes_after = bytes_after,
    .group = "group",
    .integers = true,
};
