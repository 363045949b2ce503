/* See integer.h. Real value = integer * scale everywhere: no zero points, so a zero of the network
 * is a zero of the accelerator. */
#include "study/integer.h"

#include "core/memory.h"
#include "study/lstm.h"

#include <lacuna/format.h>
#include <math.h>
#include <string.h>

static bool is_kind(const lac_layer *layer, const char *name)
{
    return strcmp(layer->kind->row.name, name) == 0;
}

void lac_integer_release(lac_integer_layer *integer)
{
    lac_layer_release(&integer->layer);
    lac_free(integer->weight_scale);
    memset(integer, 0, sizeof *integer);
}

/* Bytes with a zero point, which the simulated machines do not have, as floats again. */
static lac_status to_floats(lac_operand *operand, lac_error *err)
{
    lac_tensor floats;
    LAC_TRY(lac_tensor_make(&floats, LAC_F32, operand->tensor.rank, operand->tensor.dims, err));
    for (int64_t i = 0; i < lac_tensor_count(&floats); i++)
        ((float *)floats.data)[i] =
            (float)(lac_tensor_get(&operand->tensor, i) - operand->zero_point) * operand->scale[0];
    lac_tensor_release(&operand->tensor);
    operand->tensor = floats;
    operand->zero_point = 0;
    return LAC_OK;
}

/* Arriving operand -> int8 or uint8. Integers that came with a per-tensor scale and zero point 0
 * stay as they are. */
static lac_status quantize_arriving(lac_integer_layer *integer, lac_role role,
                                    const lac_ranges *ranges, lac_error *err)
{
    lac_operand *operand = &integer->layer.operand[role];
    lac_tensor *tensor = &operand->tensor;
    if (tensor->dtype != LAC_F32 &&
        ((tensor->dtype != LAC_I8 && tensor->dtype != LAC_U8) || operand->scale_count != 1))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s activations without one scale",
                        lac_dtype_name(tensor->dtype));
    if (tensor->dtype != LAC_F32 && operand->zero_point != 0)
        LAC_TRY(to_floats(operand, err));
    if (tensor->dtype != LAC_F32) {
        integer->scale[role] = operand->scale[0];
        operand->scale = &integer->scale[role];
        return LAC_OK;
    }
    lac_range own = {0};
    const lac_range *range = ranges ? lac_ranges_find(ranges, integer->layer.name, role) : NULL;
    if (!range) { /* not calibrated: the sample is its own calibration */
        lac_range_add(&own, tensor);
        range = &own;
    }
    bool is_unsigned;
    float scale = lac_range_scale(range, &is_unsigned), inverse = 1 / scale;
    lac_tensor made;
    LAC_TRY(lac_tensor_make(&made, is_unsigned ? LAC_U8 : LAC_I8, tensor->rank, tensor->dims, err));
    const float *x = tensor->data;
    int64_t count = lac_tensor_count(tensor);
    if (is_unsigned)
        for (int64_t i = 0; i < count; i++)
            ((uint8_t *)made.data)[i] = (uint8_t)fminf(fmaxf(rintf(x[i] * inverse), 0), 255);
    else
        for (int64_t i = 0; i < count; i++)
            ((int8_t *)made.data)[i] = (int8_t)fminf(fmaxf(rintf(x[i] * inverse), -127), 127);
    lac_tensor_release(tensor);
    *tensor = made;
    integer->scale[role] = scale;
    operand->scale = &integer->scale[role];
    operand->scale_count = 1;
    return LAC_OK;
}

/* A packed weight as a dense tensor: kernels read packed bytes, simulators repack for themselves.
 */
static lac_status open_packed(lac_operand *operand, lac_error *err)
{
    const lac_packed *packed = operand->packed;
    lac_tensor tensor;
    if (!packed || operand->tensor.data)
        return LAC_OK;
    LAC_TRY(lac_unpack(packed, &tensor, err));
    operand->tensor = tensor;
    operand->packed = NULL;
    operand->transposed = packed->view == LAC_VIEW_COLUMNS;
    return LAC_OK;
}

/* Weights -> int8 with one scale per output (row). */
static lac_status quantize_weights(lac_integer_layer *integer, lac_role role, int64_t rows,
                                   float *scale, lac_error *err)
{
    lac_operand *operand = &integer->layer.operand[role];
    lac_tensor *tensor = &operand->tensor, made;
    int64_t count = lac_tensor_count(tensor), cols = rows ? count / rows : 0;
    if (tensor->dtype == LAC_I8 && operand->zero_point == 0) {
        for (int64_t r = 0; r < rows; r++)
            scale[r] = operand->scale_count == 0   ? 1
                       : operand->scale_count == 1 ? operand->scale[0]
                                                   : operand->scale[r];
        return LAC_OK;
    }
    if (tensor->dtype != LAC_F32)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "weights of %s", lac_dtype_name(tensor->dtype));
    LAC_TRY(lac_tensor_make(&made, LAC_I8, tensor->rank, tensor->dims, err));
    const float *w = tensor->data;
    int8_t *q = made.data;
    for (int64_t r = 0; r < rows; r++) {
        float largest = 0;
        for (int64_t k = 0; k < cols; k++)
            largest = fmaxf(largest, fabsf(w[r * cols + k]));
        scale[r] = largest > 0 ? largest / 127 : 1;
        for (int64_t k = 0; k < cols; k++)
            q[r * cols + k] = (int8_t)fminf(fmaxf(roundf(w[r * cols + k] / scale[r]), -127), 127);
    }
    lac_tensor_release(tensor);
    *tensor = made;
    return LAC_OK;
}

/* The most non-zeros in any group of m along K. `inner` elements lie between neighbours of K:
 * 1 for [n][k], r * s for conv [k][c][r][s], where groups run over c. */
static int most_in_group(const int8_t *w, int64_t outer, int64_t k, int64_t inner, int m)
{
    int most = 0;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++)
            for (int64_t begin = 0; begin < k; begin += m) {
                int count = 0;
                for (int64_t j = begin; j < k && j < begin + m; j++)
                    count += w[(o * k + j) * inner + i] != 0;
                most = most > count ? most : count;
                if (most == m)
                    return m;
            }
    return most;
}

/* Finds the N:M pattern that the zeros obey, without being told: the least N/M, then the least M.
 */
static void find_pattern(lac_layer *layer, int64_t outer, int64_t k, int64_t inner)
{
    static const int widths[] = {2, 4, 8, 16};
    lac_operand *operand = &layer->operand[LAC_ROLE_WEIGHTS];
    int64_t nonzeros = 0, total = lac_tensor_count(&operand->tensor);
    for (int64_t i = 0; i < total; i++)
        nonzeros += ((const int8_t *)operand->tensor.data)[i] != 0;
    operand->density = total ? (double)nonzeros / (double)total : 0;
    operand->n = operand->m = 1;
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        int m = widths[i], n = most_in_group(operand->tensor.data, outer, k, inner, m);
        n = n < 1 ? 1 : n;
        if (m <= k && (int64_t)n * operand->m < (int64_t)operand->n * m) {
            operand->n = n;
            operand->m = m;
        }
    }
}

static lac_status check_mask(const lac_layer *layer, lac_error *err)
{
    const lac_tensor *mask = &layer->operand[LAC_ROLE_MASK].tensor;
    int64_t count = mask->data ? lac_tensor_count(mask) : 0;
    for (int64_t i = 0; i < count; i++)
        if (lac_tensor_get(mask, i) != 0)
            return lac_fail(err, LAC_ERROR_UNSUPPORTED, "attention with a mask");
    return LAC_OK;
}

static lac_status make(lac_integer_layer *integer, const lac_ranges *ranges, lac_error *err)
{
    lac_layer *layer = &integer->layer;
    if (is_kind(layer, "attention")) {
        LAC_TRY(check_mask(layer, err));
        lac_tensor_release(&layer->operand[LAC_ROLE_MASK].tensor);
        LAC_TRY(quantize_arriving(integer, LAC_ROLE_QUERY, ranges, err));
        LAC_TRY(quantize_arriving(integer, LAC_ROLE_KEY, ranges, err));
        return quantize_arriving(integer, LAC_ROLE_VALUE, ranges, err);
    }
    bool conv = is_kind(layer, "conv"), lstm = is_kind(layer, "lstm");
    if (!conv && !lstm && !is_kind(layer, "gemm") && !is_kind(layer, "fc"))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "layer kind %s is not captured as integers",
                        layer->kind->row.name);
    lac_tensor *weights = &layer->operand[LAC_ROLE_WEIGHTS].tensor;
    int64_t rows = lac_layer_dim_get(layer, conv ? "k" : is_kind(layer, "fc") ? "out" : "n");
    int64_t batch = is_kind(layer, "gemm") ? lac_layer_dim_get(layer, "batch") : 1;
    if (lstm) {
        rows = 4 * lac_layer_dim_get(layer, "hidden");
        LAC_TRY(lac_lstm_unroll(layer, err));
        ranges = NULL; /* calibrated were the inputs alone; here they stand beside h */
    }
    rows *= batch > 0 ? batch : 1; /* a batched product has weights [batch][n][k] */
    integer->weight_scale = lac_alloc((size_t)(lstm ? 2 * rows : rows), sizeof(float), err);
    if (!integer->weight_scale)
        return LAC_ERROR_MEMORY;
    LAC_TRY(quantize_weights(integer, LAC_ROLE_WEIGHTS, rows, integer->weight_scale, err));
    layer->operand[LAC_ROLE_WEIGHTS].scale = integer->weight_scale;
    layer->operand[LAC_ROLE_WEIGHTS].scale_count = rows;
    if (lstm) {
        LAC_TRY(
            quantize_weights(integer, LAC_ROLE_RECURRENT, rows, integer->weight_scale + rows, err));
        layer->operand[LAC_ROLE_RECURRENT].scale = integer->weight_scale + rows;
        layer->operand[LAC_ROLE_RECURRENT].scale_count = rows;
    }
    int64_t per_row = rows ? lac_tensor_count(weights) / rows : 0;
    int64_t k = conv && weights->rank > 1 ? weights->dims[1] : per_row;
    if (k > 0)
        find_pattern(layer, rows, k, per_row / k);
    return quantize_arriving(integer, LAC_ROLE_ACTIVATIONS, ranges, err);
}

lac_status lac_integer_make(lac_integer_layer *integer, const lac_layer *layer,
                            const lac_ranges *ranges, lac_error *err)
{
    memset(integer, 0, sizeof *integer);
    lac_layer open = *layer; /* borrowed but for the unpacked weight */
    lac_status status = open_packed(&open.operand[LAC_ROLE_WEIGHTS], err);
    memset(&open.output, 0, sizeof open.output);
    memset(&open.last_h, 0, sizeof open.last_h);
    memset(&open.last_c, 0, sizeof open.last_c);
    /* Bias and residual are floats and join after the sums (an lstm needs its bias to unroll). */
    if (!is_kind(layer, "lstm"))
        memset(&open.operand[LAC_ROLE_BIAS], 0, sizeof(lac_operand));
    memset(&open.operand[LAC_ROLE_RESIDUAL], 0, sizeof(lac_operand));
    if (status == LAC_OK)
        status = lac_layer_plain(&open, &integer->layer, err);
    if (layer->operand[LAC_ROLE_WEIGHTS].tensor.data != open.operand[LAC_ROLE_WEIGHTS].tensor.data)
        lac_tensor_release(&open.operand[LAC_ROLE_WEIGHTS].tensor);
    if (status == LAC_OK)
        status = make(integer, ranges, err);
    if (status != LAC_OK)
        lac_integer_release(integer);
    return status;
}

static float activate(const lac_layer *layer, float x)
{
    switch (layer->activation) {
    case LAC_ACT_CLIP:
        return fminf(fmaxf(x, layer->low), layer->high);
    case LAC_ACT_GELU:
        return 0.5f * x * (1 + erff(x * 0.70710678f));
    case LAC_ACT_GELU_TANH:
        return 0.5f * x * (1 + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case LAC_ACT_SIGMOID:
        return 1 / (1 + expf(-x));
    case LAC_ACT_TANH:
        return tanhf(x);
    case LAC_ACT_SILU:
        return x / (1 + expf(-x));
    case LAC_ACT_NONE:
        break;
    }
    return x;
}

/* Where element `i` of the plain output lies in the layer's output: channels may be last there. */
static int64_t place(const lac_layer *layer, int64_t i, int64_t channels, int64_t inner)
{
    if (!layer->channels_last)
        return i;
    /* plain [b][channel][inner] -> [b][inner][channel] */
    int64_t b = i / (channels * inner), c = i / inner % channels, p = i % inner;
    return (b * inner + p) * channels + c;
}

static lac_status finish_attention(const lac_integer_layer *integer, const lac_tensor *sums,
                                   const lac_layer *layer)
{
    int64_t heads = lac_layer_dim_get(layer, "heads"), dim = lac_layer_dim_get(layer, "dim");
    int64_t tokens = lac_layer_dim_get(layer, "tokens"), count = lac_tensor_count(sums);
    float scale = integer->scale[LAC_ROLE_VALUE] / 256; /* probabilities are p / 256 */
    float *y = layer->output.data;
    for (int64_t i = 0; i < count; i++) {
        int64_t to = i;
        if (layer->channels_last) { /* [b][h][t][d] -> [b][t][h][d] */
            int64_t d = i % dim, t = i / dim % tokens, h = i / (dim * tokens) % heads;
            int64_t b = i / (dim * tokens * heads);
            to = ((b * tokens + t) * heads + h) * dim + d;
        }
        y[to] = (float)((const int32_t *)sums->data)[i] * scale;
    }
    return LAC_OK;
}

lac_status lac_integer_finish(const lac_integer_layer *integer, const lac_tensor *sums,
                              const lac_layer *layer, lac_error *err)
{
    if (layer->output.dtype != LAC_F32 || sums->dtype != LAC_I32 ||
        lac_tensor_count(sums) != lac_tensor_count(&layer->output))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "output %s of layer '%s' is not fed back",
                        lac_dtype_name(layer->output.dtype), layer->name);
    if (is_kind(layer, "attention"))
        return finish_attention(integer, sums, layer);
    if (is_kind(layer, "lstm"))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "gate sums of an lstm are not fed back");
    bool conv = is_kind(layer, "conv");
    int64_t count = lac_tensor_count(sums), batch = 1, inner = 1;
    int64_t channels = lac_layer_dim_get(layer, conv ? "k" : is_kind(layer, "fc") ? "out" : "n");
    if (conv)
        inner = count / channels / lac_layer_dim_get(layer, "batch");
    else if (is_kind(layer, "gemm"))
        batch = lac_layer_dim_get(layer, "batch");
    const float *bias = layer->operand[LAC_ROLE_BIAS].tensor.data;
    const float *residual = layer->operand[LAC_ROLE_RESIDUAL].tensor.data;
    float *y = layer->output.data, scale = integer->scale[LAC_ROLE_ACTIVATIONS];
    int64_t per_batch = batch > 0 ? count / batch : count;
    for (int64_t i = 0; i < count; i++) {
        int64_t c = i / inner % channels, to = place(layer, i, channels, inner);
        int64_t row = batch > 1 ? i / per_batch * channels + c : c;
        float value = (float)((const int32_t *)sums->data)[i] * scale * integer->weight_scale[row];
        value += bias ? bias[c] : 0;
        value += residual ? residual[to] : 0;
        y[to] = activate(layer, value);
    }
    return LAC_OK;
}
