/* Conv. Sixteen output pixels at a time: their patches become the columns of a panel
 * [channels * taps][16], which all output channels of the group multiply. */
#include "op/conv.h"

#include "core/memory.h"
#include "core/parallel.h"
#include "op/product.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)

/* Where in the input plane each tap of output pixels p..p+columns lies; -1: outside. */
static void places(const lac_window *g, int64_t p, int64_t columns, int64_t *place)
{
    for (int64_t j = 0; j < LAC_PANEL; j++) {
        int64_t pixel = p + (j < columns ? j : 0), tap = 0, at[3], o[3];
        o[2] = pixel % g->out[2];
        o[1] = pixel / g->out[2] % g->out[1];
        o[0] = pixel / g->out[2] / g->out[1];
        for (int64_t q = 0; q < g->kernel[0]; q++) {
            at[0] = o[0] * g->stride[0] - g->pad[0] + q * g->dilation[0];
            for (int64_t r = 0; r < g->kernel[1]; r++) {
                at[1] = o[1] * g->stride[1] - g->pad[1] + r * g->dilation[1];
                for (int64_t s = 0; s < g->kernel[2]; s++, tap++) {
                    at[2] = o[2] * g->stride[2] - g->pad[2] + s * g->dilation[2];
                    bool inside = at[0] >= 0 && at[0] < g->in[0] && at[1] >= 0 &&
                                  at[1] < g->in[1] && at[2] >= 0 && at[2] < g->in[2];
                    place[tap * LAC_PANEL + j] =
                        inside ? (at[0] * g->in[1] + at[1]) * g->in[2] + at[2] : -1;
                }
            }
        }
    }
}

#define TYPE   float
#define SUFFIX f32
#include "op/conv.inc"
#define TYPE   double
#define SUFFIX f64
#include "op/conv.inc"
#define TYPE   uint32_t
#define SUFFIX u32
#include "op/conv.inc"

lac_status lac_conv_read(const lac_call *call, int xi, int wi, lac_conv_shape *shape,
                         lac_error *err)
{
    const lac_tensor *x = call->in[xi], *w = call->in[wi];
    int64_t n, count;
    if (x->rank < 3 || x->rank > 5 || w->rank != x->rank)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "input %d has rank %d and weights rank %d; want equal ranks 3, 4 or 5", xi,
                        x->rank, w->rank);
    const int64_t *kernel = lac_node_ints(call->node, "kernel_shape", &n);
    for (int64_t i = 0; kernel && i < n; i++)
        if (n != w->rank - 2 || kernel[i] != w->dims[2 + i])
            return lac_fail(err, LAC_ERROR_INPUT,
                            "kernel_shape[%" PRId64 "] is %" PRId64
                            ", not that of the weights (%d spatial axes)",
                            i, kernel[i], w->rank - 2);
    shape->groups = lac_node_int(call->node, "group", 1);
    shape->batch = x->dims[0];
    shape->channels = x->dims[1];
    shape->outputs = w->dims[0];
    if (shape->groups < 1 || shape->channels % shape->groups || shape->outputs % shape->groups)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "group=%" PRId64 " does not divide %" PRId64 " input and %" PRId64
                        " output channels",
                        shape->groups, shape->channels, shape->outputs);
    if (w->dims[1] != shape->channels / shape->groups)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "the weights read %" PRId64 " channels a group, the input has %" PRId64
                        " in %" PRId64 " groups",
                        w->dims[1], shape->channels, shape->groups);
    LAC_TRY(lac_window_read(call, &shape->window, x->rank, x->dims, w->dims + 2, false, err));
    /* the multiply-accumulates bound every size inside */
    const int64_t *out = shape->window.out;
    int64_t sizes[] = {
        shape->batch, shape->outputs, out[0],     out[1],
        out[2],       w->dims[1],     w->dims[2], lac_op_product(w->dims, 3, w->rank)};
    lac_status status = lac_shape_count(8, sizes, &count, err);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "multiply-accumulates");
}

lac_status lac_conv_infer(const lac_call *call, const lac_conv_shape *shape, lac_dtype dtype,
                          lac_error *err)
{
    int64_t dims[5];
    lac_window_shape(&shape->window, shape->batch, shape->outputs, dims);
    return lac_op_out(call, 0, dtype, shape->window.axes + 2, dims, err);
}

/* A borrowed 4-D view: a 1-D convolution has height 1. */
static lac_tensor planes(const lac_tensor *tensor)
{
    lac_tensor view = lac_tensor_view(tensor->dtype, 4, tensor->dims, tensor->data);
    if (tensor->rank == 3) {
        view.dims[2] = 1;
        view.dims[3] = tensor->dims[2];
    }
    return view;
}

lac_status lac_conv_layer(const lac_call *call, int x, int w, lac_layer *layer, lac_error *err)
{
    lac_conv_shape shape;
    LAC_TRY(lac_conv_read(call, x, w, &shape, err));
    const lac_window *g = &shape.window;
    if (g->axes > 2)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "a 3-D convolution is not a layer");
    const struct {
        const char *name;
        int64_t value;
    } dims[] = {{"c", shape.channels},
                {"h", g->in[1]},
                {"w", g->in[2]},
                {"k", shape.outputs},
                {"r", g->kernel[1]},
                {"s", g->kernel[2]},
                {"stride_h", g->stride[1]},
                {"stride_w", g->stride[2]},
                {"pad_top", g->pad[1]},
                {"pad_left", g->pad[2]},
                {"pad_bottom", g->pad_end[1]},
                {"pad_right", g->pad_end[2]},
                {"dilation_h", g->dilation[1]},
                {"dilation_w", g->dilation[2]},
                {"groups", shape.groups},
                {"batch", shape.batch}};
    LAC_TRY(lac_layer_begin(layer, "conv", err));
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++)
        LAC_TRY(lac_layer_dim_set(layer, dims[i].name, dims[i].value, err));
    snprintf(layer->name, sizeof layer->name, "%s", call->node->name);
    LAC_TRY(lac_layer_check(layer, err));
    layer->operand[LAC_ROLE_ACTIVATIONS].tensor = planes(call->in[x]);
    layer->operand[LAC_ROLE_WEIGHTS].tensor = planes(call->in[w]);
    layer->output = planes(&call->out[0]);
    return LAC_OK;
}

static lac_status infer(const lac_call *call, lac_error *err)
{
    lac_conv_shape shape;
    LAC_TRY(lac_nn_count(call, 2, 3, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, LAC_NN_FLOATS | LAC_BIT(LAC_F64), err));
    LAC_TRY(lac_nn_same(call, 1, err));
    LAC_TRY(lac_nn_same(call, 2, err));
    LAC_TRY(lac_conv_read(call, 0, 1, &shape, err));
    LAC_TRY(lac_nn_shape(call, 2, 1, &shape.outputs, "the bias", err));
    return lac_conv_infer(call, &shape, call->in[0]->dtype, err);
}

static lac_status run_wide(const lac_call *call, lac_error *err)
{
    lac_conv_shape shape;
    const lac_tensor *x = call->in[0], *w = call->in[1], *bias = lac_op_in(call, 2);
    void *y = call->out[0].data;
    LAC_TRY(lac_conv_read(call, 0, 1, &shape, err));
    int64_t out = lac_op_product(shape.window.out, 0, 3),
            planes_count = shape.batch * shape.outputs;
    if (x->dtype == LAC_F64) {
        LAC_TRY(lac_conv_f64(&shape, x->data, w->data, y, err));
        for (int64_t i = 0; bias && i < planes_count; i++)
            for (int64_t j = 0; j < out; j++)
                ((double *)y)[i * out + j] += ((const double *)bias->data)[i % shape.outputs];
        return LAC_OK;
    }
    LAC_TRY(lac_conv_f32(&shape, x->data, w->data, y, err));
    for (int64_t i = 0; bias && i < planes_count; i++)
        for (int64_t j = 0; j < out; j++)
            ((float *)y)[i * out + j] += ((const float *)bias->data)[i % shape.outputs];
    return LAC_OK;
}

static lac_status run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, run_wide, err);
}

static lac_status as_layer(const lac_call *call, lac_layer *layer, lac_error *err)
{
    const lac_tensor *bias = lac_op_in(call, 2);
    LAC_TRY(lac_conv_layer(call, 0, 1, layer, err));
    if (bias)
        layer->operand[LAC_ROLE_BIAS].tensor =
            lac_tensor_view(bias->dtype, bias->rank, bias->dims, bias->data);
    return LAC_OK;
}

const lac_op lac_op_conv = {
    .row = LAC_ROW(lac_op, "Conv", "convolution over 1 to 3 spatial axes"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_NN_FLOATS | LAC_BIT(LAC_F64),
    .attributes = "auto_pad:string=NOTSET dilations:ints group:int=1 kernel_shape:ints pads:ints "
                  "strides:ints",
    .infer = infer,
    .run = run,
    .as_layer = as_layer,
};
