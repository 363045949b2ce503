/* ConvInteger, QLinearConv, MatMulInteger, QLinearMatMul: 8-bit operands minus their zero points,
 * exact int32 sums (modulo 2^32), and for the QLinear kinds the sums scaled back to 8 bits. */
#include "op/conv.h"
#include "op/matmul.h"

#include "core/memory.h"
#include "op/nn_math.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define BYTES (LAC_BIT(LAC_I8) | LAC_BIT(LAC_U8))

/* Input i, where present, is a scalar or holds one element or `channels`; -1: one element only. */
static lac_status per_tensor_or(const lac_call *call, int i, int64_t channels, const char *name,
                                lac_error *err)
{
    const lac_tensor *tensor = lac_op_in(call, i);
    char text[160];
    int64_t count = !tensor || tensor->rank == 0 ? 1 : tensor->rank == 1 ? tensor->dims[0] : -2;
    if (count == 1 || count == channels)
        return LAC_OK;
    return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s is %s, want one element or one per channel",
                    name, lac_tensor_text(tensor, text, sizeof text));
}

/* Elements minus zero point: element i has channel i / inner % count of the zero points. */
static uint32_t *centred(const lac_tensor *tensor, const lac_tensor *zero, int64_t inner,
                         lac_error *err)
{
    int64_t n = lac_tensor_count(tensor), zeros = zero ? lac_tensor_count(zero) : 1;
    uint32_t *result = lac_alloc_raw((size_t)n, sizeof *result, err);
    if (!result)
        return NULL;
    const uint8_t *u = tensor->data;
    const int8_t *s = tensor->data;
    for (int64_t i = 0; i < n;) {
        int64_t end = zeros == 1 ? n : i + inner < n ? i + inner : n;
        int32_t z = zero ? (int32_t)lac_tensor_get(zero, i / inner % zeros) : 0;
        if (tensor->dtype == LAC_U8)
            for (; i < end; i++)
                result[i] = (uint32_t)(u[i] - z);
        else
            for (; i < end; i++)
                result[i] = (uint32_t)(s[i] - z);
    }
    return result;
}

/* y = saturate(round(sum * factor) + zero); factor of element i: i / inner % count of scales. */
typedef struct requantise {
    const lac_tensor *a_scale, *b_scale, *y_scale, *y_zero;
    int64_t inner;
} requantise;

static void scale_back(const requantise *q, const uint32_t *sums, int64_t n, lac_tensor *y)
{
    bool is_signed = y->dtype == LAC_I8;
    int32_t zero = q->y_zero ? (int32_t)lac_tensor_get(q->y_zero, 0) : 0;
    int32_t low = is_signed ? -128 : 0, high = is_signed ? 127 : 255;
    const float *b = q->b_scale->data;
    int64_t channels = lac_tensor_count(q->b_scale);
    float shared = *(const float *)q->a_scale->data, out = *(const float *)q->y_scale->data;
    for (int64_t i = 0; i < n; i++) {
        float factor = shared * b[channels == 1 ? 0 : i / q->inner % channels] / out;
        float v = (float)(int32_t)sums[i] * factor;
        v = v < -1024 ? -1024 : v > 1024 ? 1024 : v;
        int32_t r = lac_nn_rint(v) + zero;
        r = r < low ? low : r > high ? high : r;
        ((uint8_t *)y->data)[i] = (uint8_t)r;
    }
}

/* ---- convolutions --------------------------------------------------------------------------- */

static lac_status conv_integer_infer(const lac_call *call, lac_error *err)
{
    lac_conv_shape shape;
    LAC_TRY(lac_nn_count(call, 2, 4, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, BYTES, err));
    LAC_TRY(lac_nn_dtype(call, 1, BYTES, err));
    LAC_TRY(lac_nn_same(call, 2, err));
    LAC_TRY(lac_conv_read(call, 0, 1, &shape, err));
    LAC_TRY(per_tensor_or(call, 2, 1, "x_zero_point", err));
    LAC_TRY(per_tensor_or(call, 3, shape.outputs, "w_zero_point", err));
    return lac_conv_infer(call, &shape, LAC_I32, err);
}

static lac_status convolve(const lac_conv_shape *shape, const lac_tensor *x,
                           const lac_tensor *x_zero, const lac_tensor *w, const lac_tensor *w_zero,
                           uint32_t *y, lac_error *err)
{
    uint32_t *a = centred(x, x_zero, 1, err);
    uint32_t *b = a ? centred(w, w_zero, lac_op_product(w->dims, 1, w->rank), err) : NULL;
    lac_status status = b ? lac_conv_u32(shape, a, b, y, err) : LAC_ERROR_MEMORY;
    lac_free(a);
    lac_free(b);
    return status;
}

static lac_status conv_integer_run(const lac_call *call, lac_error *err)
{
    lac_conv_shape shape;
    LAC_TRY(lac_conv_read(call, 0, 1, &shape, err));
    return convolve(&shape, call->in[0], lac_op_in(call, 2), call->in[1], lac_op_in(call, 3),
                    call->out[0].data, err);
}

static lac_status conv_integer_layer(const lac_call *call, lac_layer *layer, lac_error *err)
{
    const lac_tensor *xz = lac_op_in(call, 2), *wz = lac_op_in(call, 3);
    if ((xz && !xz->data) || (wz && (!wz->data || lac_tensor_count(wz) != 1)))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "zero points that are computed or differ by channel are not a layer's");
    LAC_TRY(lac_conv_layer(call, 0, 1, layer, err));
    layer->operand[LAC_ROLE_ACTIVATIONS].zero_point = xz ? (int32_t)lac_tensor_get(xz, 0) : 0;
    layer->operand[LAC_ROLE_WEIGHTS].zero_point = wz ? (int32_t)lac_tensor_get(wz, 0) : 0;
    return LAC_OK;
}

#define CONV_ATTRIBUTES                                                                            \
    "auto_pad:string=NOTSET dilations:ints group:int=1 kernel_shape:ints pads:ints strides:ints"

const lac_op lac_op_conv_integer = {
    .row = LAC_ROW(lac_op, "ConvInteger", "convolution of 8-bit integers, int32 sums"),
    .domain = "",
    .since = 10,
    .dtypes = BYTES,
    .attributes = CONV_ATTRIBUTES,
    .infer = conv_integer_infer,
    .run = conv_integer_run,
    .as_layer = conv_integer_layer,
};

/* Inputs of the QLinear kinds: a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero (, bias). */
static lac_status qlinear_check(const lac_call *call, int inputs, int64_t channels, lac_error *err)
{
    LAC_TRY(lac_nn_count(call, 8, inputs, 1, err));
    for (int i = 0; i < 8; i++)
        LAC_TRY(lac_nn_dtype(call, i, i == 1 || i == 4 || i == 6 ? LAC_BIT(LAC_F32) : BYTES, err));
    LAC_TRY(lac_nn_dtype(call, 8, LAC_BIT(LAC_I32), err));
    LAC_TRY(per_tensor_or(call, 1, 1, "the scale of input 0", err));
    LAC_TRY(per_tensor_or(call, 2, 1, "the zero point of input 0", err));
    LAC_TRY(per_tensor_or(call, 4, channels, "the scale of input 3", err));
    LAC_TRY(per_tensor_or(call, 5, channels, "the zero point of input 3", err));
    LAC_TRY(per_tensor_or(call, 6, 1, "the scale of the output", err));
    return per_tensor_or(call, 7, 1, "the zero point of the output", err);
}

static lac_status qlinear_conv_infer(const lac_call *call, lac_error *err)
{
    lac_conv_shape shape;
    LAC_TRY(lac_nn_count(call, 8, 9, 1, err));
    LAC_TRY(lac_conv_read(call, 0, 3, &shape, err));
    LAC_TRY(qlinear_check(call, 9, shape.outputs, err));
    LAC_TRY(lac_nn_shape(call, 8, 1, &shape.outputs, "the bias", err));
    return lac_conv_infer(call, &shape, call->in[7]->dtype, err);
}

static lac_status qlinear_conv_run(const lac_call *call, lac_error *err)
{
    lac_conv_shape shape;
    const lac_tensor *bias = lac_op_in(call, 8);
    LAC_TRY(lac_conv_read(call, 0, 3, &shape, err));
    int64_t n = lac_tensor_count(&call->out[0]), plane = lac_op_product(shape.window.out, 0, 3);
    uint32_t *sums = lac_alloc_raw((size_t)n, sizeof *sums, err);
    if (!sums)
        return LAC_ERROR_MEMORY;
    lac_status status =
        convolve(&shape, call->in[0], call->in[2], call->in[3], call->in[5], sums, err);
    if (status == LAC_OK) {
        for (int64_t i = 0; bias && i < n; i++)
            sums[i] += ((const uint32_t *)bias->data)[i / plane % shape.outputs];
        scale_back(&(requantise){call->in[1], call->in[4], call->in[6], call->in[7], plane}, sums,
                   n, &call->out[0]);
    }
    lac_free(sums);
    return status;
}

static lac_status qlinear_conv_layer(const lac_call *call, lac_layer *layer, lac_error *err)
{
    const lac_tensor *bias = lac_op_in(call, 8);
    for (int i = 1; i < 8; i++)
        if (i != 3 && !call->in[i]->data)
            return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                            "scales and zero points that are computed are not a layer's");
    if (lac_tensor_count(call->in[5]) != 1)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "zero points that differ by channel are not a layer's");
    LAC_TRY(lac_conv_layer(call, 0, 3, layer, err));
    lac_operand *a = &layer->operand[LAC_ROLE_ACTIVATIONS], *w = &layer->operand[LAC_ROLE_WEIGHTS];
    a->scale = call->in[1]->data;
    a->scale_count = 1;
    a->zero_point = (int32_t)lac_tensor_get(call->in[2], 0);
    w->scale = call->in[4]->data;
    w->scale_count = lac_tensor_count(call->in[4]);
    w->zero_point = (int32_t)lac_tensor_get(call->in[5], 0);
    layer->output_scale = *(const float *)call->in[6]->data;
    layer->output_zero = (int32_t)lac_tensor_get(call->in[7], 0);
    if (bias)
        layer->operand[LAC_ROLE_BIAS].tensor =
            lac_tensor_view(bias->dtype, bias->rank, bias->dims, bias->data);
    return LAC_OK;
}

const lac_op lac_op_qlinear_conv = {
    .row = LAC_ROW(lac_op, "QLinearConv", "convolution of 8-bit integers, scaled to 8 bits"),
    .domain = "",
    .since = 10,
    .dtypes = BYTES,
    .attributes = CONV_ATTRIBUTES,
    .infer = qlinear_conv_infer,
    .run = qlinear_conv_run,
    .as_layer = qlinear_conv_layer,
};

/* ---- matrix products ------------------------------------------------------------------------ */

/* a: zero points per row, b: per column. */
static lac_status multiply(const lac_matmul *g, const lac_tensor *a, const lac_tensor *a_zero,
                           const lac_tensor *b, const lac_tensor *b_zero, uint32_t *y,
                           lac_error *err)
{
    uint32_t *left = centred(a, a_zero, g->k, err);
    uint32_t *right = left ? centred(b, b_zero, 1, err) : NULL;
    lac_status status = right ? lac_matmul_u32(g, left, right, y, err) : LAC_ERROR_MEMORY;
    lac_free(left);
    lac_free(right);
    return status;
}

static lac_status matmul_integer_infer(const lac_call *call, lac_error *err)
{
    lac_matmul g;
    LAC_TRY(lac_nn_count(call, 2, 4, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, BYTES, err));
    LAC_TRY(lac_nn_dtype(call, 1, BYTES, err));
    LAC_TRY(lac_nn_same(call, 2, err));
    LAC_TRY(lac_matmul_read(call, 0, 1, &g, err));
    const lac_tensor *a = call->in[0];
    LAC_TRY(per_tensor_or(call, 2, a->rank > 1 ? a->dims[a->rank - 2] : 1, "a_zero_point", err));
    LAC_TRY(per_tensor_or(call, 3, g.n, "b_zero_point", err));
    return lac_op_out(call, 0, LAC_I32, g.rank, g.dims, err);
}

static lac_status matmul_integer_run(const lac_call *call, lac_error *err)
{
    lac_matmul g;
    LAC_TRY(lac_matmul_read(call, 0, 1, &g, err));
    return multiply(&g, call->in[0], lac_op_in(call, 2), call->in[1], lac_op_in(call, 3),
                    call->out[0].data, err);
}

const lac_op lac_op_matmul_integer = {
    .row = LAC_ROW(lac_op, "MatMulInteger", "matrix product of 8-bit integers, int32 sums"),
    .domain = "",
    .since = 10,
    .dtypes = BYTES,
    .attributes = "",
    .infer = matmul_integer_infer,
    .run = matmul_integer_run,
};

static lac_status qlinear_matmul_infer(const lac_call *call, lac_error *err)
{
    lac_matmul g;
    LAC_TRY(lac_nn_count(call, 8, 8, 1, err));
    LAC_TRY(lac_matmul_read(call, 0, 3, &g, err));
    LAC_TRY(qlinear_check(call, 8, g.n, err));
    return lac_op_out(call, 0, call->in[7]->dtype, g.rank, g.dims, err);
}

static lac_status qlinear_matmul_run(const lac_call *call, lac_error *err)
{
    lac_matmul g;
    LAC_TRY(lac_matmul_read(call, 0, 3, &g, err));
    int64_t n = lac_tensor_count(&call->out[0]);
    uint32_t *sums = lac_alloc_raw((size_t)n, sizeof *sums, err);
    if (!sums)
        return LAC_ERROR_MEMORY;
    lac_status status = multiply(&g, call->in[0], call->in[2], call->in[3], call->in[5], sums, err);
    if (status == LAC_OK)
        scale_back(&(requantise){call->in[1], call->in[4], call->in[6], call->in[7], 1}, sums, n,
                   &call->out[0]);
    lac_free(sums);
    return status;
}

const lac_op lac_op_qlinear_matmul = {
    .row = LAC_ROW(lac_op, "QLinearMatMul", "matrix product of 8-bit integers, scaled to 8 bits"),
    .domain = "",
    .since = 10,
    .dtypes = BYTES,
    .attributes = "",
    .infer = qlinear_matmul_infer,
    .run = qlinear_matmul_run,
};
