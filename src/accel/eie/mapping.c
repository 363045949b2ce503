/* fc, gemm, 1x1 conv and lstm become one matrix [rows][in (+ bias)] and a list of input vectors.
 * The weights get at most 15 shared values: their own when a captured layer already has so few,
 * the integer linear codebook of the dossier (3.3) otherwise. */
#include "accel/eie/mapping.h"

#include <stdio.h>
#include <string.h>

#include "core/memory.h"
#include "core/random.h"
#include "format/share.h"
#include "graph/layer_tools.h"

static bool is_kind(const lac_layer *layer, const char *name)
{
    return strcmp(layer->kind->row.name, name) == 0;
}

static int64_t dim(const lac_layer *layer, const char *name)
{
    return lac_layer_dim_get(layer, name);
}

/* ---- operands -------------------------------------------------------------------------------- */

static int32_t integer(const lac_tensor *tensor, int64_t i)
{
    if (tensor->dtype == LAC_I8)
        return ((const int8_t *)tensor->data)[i];
    if (tensor->dtype == LAC_U8)
        return ((const uint8_t *)tensor->data)[i];
    return ((const int16_t *)tensor->data)[i];
}

/* Puts a weight matrix [rows][width] into columns at.. of to[rows][cols]. */
static lac_status put_weights(const lac_layer *layer, lac_role role, int16_t *to, int64_t rows,
                              int64_t cols, int64_t at, int64_t width, bool *wide, lac_error *err)
{
    const lac_tensor *tensor = &layer->operand[role].tensor;
    LAC_TRY(lac_operand_need(layer, role, rows * width, err));
    if (tensor->dtype == LAC_U8)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: weights are uint8, must be int8 or int16",
                        layer->name);
    *wide = tensor->dtype == LAC_I16;
    for (int64_t i = 0; i < rows; i++)
        lac_to_i16(to + i * cols + at, tensor, i * width, width);
    return LAC_OK;
}

/* The bias column: the operand, or for a synthetic layer a draw of role 3 with density 1. */
static lac_status put_bias(const lac_layer *layer, int16_t *to, int64_t rows, int64_t cols,
                           lac_error *err)
{
    const lac_operand *bias = &layer->operand[LAC_ROLE_BIAS];
    if (!bias->tensor.data && layer->operand[LAC_ROLE_WEIGHTS].scale_count == 0) {
        lac_random random = lac_random_stream(layer->seed, LAC_ROLE_BIAS);
        for (int64_t i = 0; i < rows; i++) {
            lac_random_next(&random); /* kept or not: always at density 1 */
            uint64_t r2 = lac_random_next(&random);
            int magnitude = 1 + (int)((r2 >> 32) % 127);
            to[i * cols + cols - 1] = (int16_t)(r2 & 1 ? -magnitude : magnitude);
        }
        return LAC_OK;
    }
    bool narrow = bias->tensor.dtype == LAC_I8 || bias->tensor.dtype == LAC_I16;
    if (!bias->tensor.data || !narrow || lac_tensor_count(&bias->tensor) != rows)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "%s: bias=1 needs %lld biases of int8 or int16 in the weights' scale",
                        layer->name, (long long)rows);
    for (int64_t i = 0; i < rows; i++)
        to[i * cols + cols - 1] = (int16_t)integer(&bias->tensor, i);
    return LAC_OK;
}

/* ---- weight sharing -------------------------------------------------------------------------- */

/* The distinct non-zero values, ascending, up to `limit` + 1 of them; how many. */
static int distinct_values(const int16_t *weight, int64_t count, int limit, int32_t *value)
{
    int n = 0;
    for (int64_t i = 0; i < count; i++) {
        int at = 0;
        while (at < n && value[at] < weight[i])
            at++;
        if (weight[i] == 0 || (at < n && value[at] == weight[i]))
            continue;
        if (n == limit)
            return n + 1;
        memmove(value + at + 1, value + at, (size_t)(n - at) * sizeof *value);
        value[at] = weight[i];
        n++;
    }
    return n;
}

/* One code per int16 value. */
static lac_status share(lac_eie_problem *problem, const lac_layer *layer, const int16_t *weight,
                        bool wide, lac_error *err)
{
    int64_t count = problem->rows * problem->cols;
    int32_t value[LAC_LINEAR_CENTROIDS + 1], lo = 0, hi = 0;
    bool captured = wide || layer->operand[LAC_ROLE_WEIGHTS].scale_count > 0 ||
                    layer->operand[LAC_ROLE_WEIGHTS].packed;
    int n = captured ? distinct_values(weight, count, LAC_LINEAR_CENTROIDS, value) : 0;
    bool own = captured && n <= LAC_LINEAR_CENTROIDS;
    if (wide && !own)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: int16 weights have more than %d distinct values",
                        layer->name, LAC_LINEAR_CENTROIDS);
    uint8_t *code = lac_alloc(65536, 1, err); /* code[value & 0xffff] */
    problem->codes = code ? lac_alloc_raw((size_t)count, 1, err) : NULL;
    if (!problem->codes) {
        lac_free(code);
        return LAC_ERROR_MEMORY;
    }
    if (own) {
        for (int i = 0; i < n; i++) {
            problem->codebook[1 + i] = value[i];
            code[(uint16_t)value[i]] = (uint8_t)(1 + i);
        }
    } else {
        bool any = false;
        for (int64_t i = 0; i < count; i++) {
            if (weight[i] == 0)
                continue;
            lo = !any || weight[i] < lo ? weight[i] : lo;
            hi = !any || weight[i] > hi ? weight[i] : hi;
            any = true;
        }
        lac_share_linear_codebook(lo, hi, problem->codebook);
        for (int32_t v = lo; v <= hi; v++)
            code[(uint16_t)v] = (uint8_t)lac_share_linear_code(problem->codebook, v);
        problem->requantised = captured;
    }
    for (int64_t i = 0; i < count; i++)
        problem->codes[i] = code[(uint16_t)weight[i]];
    lac_free(code);
    return LAC_OK;
}

/* ---- geometry -------------------------------------------------------------------------------- */

static void map_rows(lac_eie_problem *problem, int64_t products, int64_t in, int64_t out)
{
    problem->rows = out;
    problem->in = in;
    problem->products = products;
    problem->from = (lac_eie_walk){1, in, 0, 1};
    problem->to = (lac_eie_walk){1, out, 0, 1};
    problem->rank = 2;
    problem->dims[0] = products;
    problem->dims[1] = out;
}

static void map_conv(lac_eie_problem *problem, const lac_layer *layer)
{
    int64_t c = dim(layer, "c"), k = dim(layer, "k"), h = dim(layer, "h"), w = dim(layer, "w");
    int64_t batch = dim(layer, "batch"), pixels = h * w;
    map_rows(problem, batch * pixels, c, k);
    problem->rank = 4;
    problem->from = (lac_eie_walk){pixels, pixels * c, 1, pixels};
    problem->to = (lac_eie_walk){pixels, pixels * k, 1, pixels};
    memcpy(problem->dims, (int64_t[]){batch, k, h, w}, 4 * sizeof(int64_t));
}

static void map_geometry(lac_eie_problem *problem, const lac_layer *layer)
{
    if (is_kind(layer, "fc")) {
        map_rows(problem, dim(layer, "batch"), dim(layer, "in"), dim(layer, "out"));
    } else if (is_kind(layer, "gemm")) {
        int64_t batch = dim(layer, "batch"), m = dim(layer, "m"), n = dim(layer, "n");
        map_rows(problem, batch * m, dim(layer, "k"), n);
        if (batch > 1) {
            problem->rank = 3;
            memcpy(problem->dims, (int64_t[]){batch, m, n}, 3 * sizeof(int64_t));
        }
    } else if (is_kind(layer, "lstm")) {
        int64_t hidden = dim(layer, "hidden");
        map_rows(problem, dim(layer, "steps"), dim(layer, "in") + hidden, 4 * hidden);
    } else {
        map_conv(problem, layer);
    }
}

static bool has_dataflow(const lac_layer *layer, char *why, size_t size)
{
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    if (is_kind(layer, "fc") || is_kind(layer, "lstm"))
        return true;
    if (is_kind(layer, "gemm")) {
        int64_t batch = dim(layer, "batch");
        if (batch == 1 || !w->tensor.data ||
            lac_tensor_count(&w->tensor) == dim(layer, "n") * dim(layer, "k"))
            return true;
        snprintf(why, size, "%lld products with a weight matrix each: EIE holds one matrix",
                 (long long)batch);
        return false;
    }
    if (!is_kind(layer, "conv")) {
        snprintf(why, size, "%s: no dataflow in the paper", layer->kind->row.name);
        return false;
    }
    if (dim(layer, "r") != 1 || dim(layer, "s") != 1)
        snprintf(why, size, "%lldx%lld convolution: only 1x1 maps to matrix-vector products",
                 (long long)dim(layer, "r"), (long long)dim(layer, "s"));
    else if (dim(layer, "stride") != 1 || dim(layer, "pad") != 0 || dim(layer, "groups") != 1)
        snprintf(why, size,
                 "1x1 convolution with stride, padding or groups: no dataflow in the "
                 "paper");
    else
        return true;
    return false;
}

/* The schedule walks one product after another: what would take hours is refused. */
enum { MOST_PRODUCTS = 1 << 22 };

bool lac_eie_supports(const lac_layer *layer, char *why, size_t size)
{
    lac_eie_problem problem = {0};
    if (!has_dataflow(layer, why, size))
        return false;
    map_geometry(&problem, layer);
    if (problem.products <= MOST_PRODUCTS)
        return true;
    snprintf(why, size, "%lld matrix-vector products: they are simulated one by one, at most %d",
             (long long)problem.products, MOST_PRODUCTS);
    return false;
}

static lac_status map_weights(lac_eie_problem *problem, const lac_layer *layer, lac_error *err)
{
    int64_t count, rows = problem->rows, cols = problem->cols;
    int64_t recurrent = is_kind(layer, "lstm") ? dim(layer, "hidden") : 0;
    bool wide = false, wide2 = false;
    LAC_TRY(lac_shape_count(2, (int64_t[]){rows, cols}, &count, err));
    int16_t *weight = lac_alloc((size_t)count, sizeof *weight, err);
    if (!weight)
        return LAC_ERROR_MEMORY;
    lac_status status = put_weights(layer, LAC_ROLE_WEIGHTS, weight, rows, cols, 0,
                                    problem->in - recurrent, &wide, err);
    if (status == LAC_OK && recurrent)
        status = put_weights(layer, LAC_ROLE_RECURRENT, weight, rows, cols, problem->in - recurrent,
                             recurrent, &wide2, err);
    if (status == LAC_OK && problem->bias)
        status = put_bias(layer, weight, rows, cols, err);
    if (status == LAC_OK)
        status = share(problem, layer, weight, wide || wide2, err);
    problem->bias_input = wide || wide2 ? 256 : 1; /* 1.0 in Q8.8 */
    lac_free(weight);
    return status;
}

lac_status lac_eie_map(lac_eie_problem *problem, const lac_layer *layer, bool bias, lac_error *err)
{
    memset(problem, 0, sizeof *problem);
    map_geometry(problem, layer);
    problem->bias = bias;
    problem->cols = problem->in + bias;
    LAC_TRY(lac_operand_need(layer, LAC_ROLE_ACTIVATIONS, problem->products * problem->in, err));
    problem->activations = layer->operand[LAC_ROLE_ACTIVATIONS].tensor;
    problem->activations.buffer = NULL;
    lac_status status = map_weights(problem, layer, err);
    if (status != LAC_OK)
        lac_eie_problem_release(problem);
    return status;
}

void lac_eie_problem_release(lac_eie_problem *problem)
{
    lac_free(problem->codes);
    memset(problem, 0, sizeof *problem);
}

void lac_eie_vector(const lac_eie_problem *problem, int64_t q, int32_t *value)
{
    int64_t base = lac_eie_place(&problem->from, q, 0), step = problem->from.step;
    for (int64_t i = 0; i < problem->in; i++)
        value[i] = integer(&problem->activations, base + i * step);
    if (problem->bias)
        value[problem->in] = problem->bias_input;
}
