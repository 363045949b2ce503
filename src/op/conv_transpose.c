/* ConvTranspose: every input element spreads its products with the kernel over the output. Each
 * output plane gathers the taps that reach it, so planes are independent. */
#include "op/nn.h"

#include "core/parallel.h"

#include <inttypes.h>
#include <string.h>

/* A convolution's window read backwards: `out` of the window is the input here, `in` the output. */
typedef struct task {
    lac_window w;
    int64_t batch, channels, outputs, groups;
    const float *x, *weights, *bias;
    float *y;
} task;

#define LIMIT (INT64_C(1) << 30)

static lac_status list(const lac_call *call, const char *name, int64_t want, int64_t most,
                       const int64_t **values, lac_error *err)
{
    int64_t n;
    *values = lac_node_ints(call->node, name, &n);
    if (n == 0)
        *values = NULL;
    if (!*values)
        return LAC_OK;
    if (n != want)
        return lac_fail(err, LAC_ERROR_INPUT, "%s has %" PRId64 " entries, want %" PRId64, name, n,
                        want);
    for (int64_t i = 0; i < n; i++)
        if ((*values)[i] < 0 || (*values)[i] > most)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "%s[%" PRId64 "] is %" PRId64 ", outside 0..%" PRId64, name, i,
                            (*values)[i], most);
    return LAC_OK;
}

/* strides, dilations and kernel are checked by reading them as a convolution's over a large input
 */
static lac_status read(const lac_call *call, task *t, lac_error *err)
{
    const lac_tensor *x = call->in[0], *w = call->in[1];
    const int64_t *pads, *shape, *extra, *kernel;
    int64_t count;
    memset(t, 0, sizeof *t);
    if (x->rank < 3 || x->rank > 5 || w->rank != x->rank)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "X has rank %d, W rank %d; want equal ranks 3, 4 or 5", x->rank, w->rank);
    int axes = x->rank - 2;
    int64_t large[5] = {1, 1, LIMIT, LIMIT, LIMIT};
    LAC_TRY(lac_window_read(call, &t->w, x->rank, large, w->dims + 2, false, err));
    LAC_TRY(list(call, "pads", 2 * axes, LIMIT, &pads, err));
    LAC_TRY(list(call, "output_shape", axes, LIMIT, &shape, err));
    LAC_TRY(list(call, "output_padding", axes, LIMIT, &extra, err));
    LAC_TRY(list(call, "kernel_shape", axes, LIMIT, &kernel, err));
    t->groups = lac_node_int(call->node, "group", 1);
    t->batch = x->dims[0];
    t->channels = x->dims[1];
    if (t->groups < 1 || t->channels % t->groups || w->dims[0] != t->channels)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "group=%" PRId64 ", %" PRId64 " input channels, W for %" PRId64, t->groups,
                        t->channels, w->dims[0]);
    LAC_TRY(lac_shape_count(2, (int64_t[]){w->dims[1], t->groups}, &t->outputs, err));
    const char *mode = lac_node_string(call->node, "auto_pad", "NOTSET");
    bool same = mode[0] == 'S', upper = strcmp(mode, "SAME_UPPER") == 0;
    for (int i = 0; i < 3; i++) {
        int a = i - 3 + axes; /* spatial axis of the tensor */
        t->w.out[i] = a < 0 ? 1 : x->dims[2 + a];
        t->w.in[i] = 1;
        t->w.pad[i] = t->w.pad_end[i] = 0;
        if (a < 0)
            continue;
        if (kernel && kernel[a] != t->w.kernel[i])
            return lac_fail(err, LAC_ERROR_INPUT,
                            "kernel_shape[%d] is %" PRId64 ", that of W %" PRId64, a, kernel[a],
                            t->w.kernel[i]);
        if (t->w.out[i] > LIMIT)
            return lac_fail(err, LAC_ERROR_INPUT, "spatial axis %d has %" PRId64 " elements", a,
                            t->w.out[i]);
        int64_t full = t->w.stride[i] * (t->w.out[i] - 1) + (extra ? extra[a] : 0) +
                       (t->w.kernel[i] - 1) * t->w.dilation[i] + 1;
        if (shape || same) {
            t->w.in[i] = shape ? shape[a] : t->w.out[i] * t->w.stride[i];
            int64_t total = full > t->w.in[i] ? full - t->w.in[i] : 0;
            t->w.pad[i] = upper ? total / 2 : total - total / 2;
        } else {
            bool given = pads && strcmp(mode, "NOTSET") == 0;
            t->w.pad[i] = given ? pads[a] : 0;
            t->w.in[i] = full - t->w.pad[i] - (given ? pads[axes + a] : 0);
        }
        if (t->w.in[i] < 1)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "pads leave %" PRId64 " outputs on spatial axis %d", t->w.in[i], a);
    }
    return lac_shape_count(5, (int64_t[]){t->batch, t->outputs, t->w.in[0], t->w.in[1], t->w.in[2]},
                           &count, err);
}

static lac_status infer(const lac_call *call, lac_error *err)
{
    task t;
    int64_t dims[5];
    LAC_TRY(lac_nn_count(call, 2, 3, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, LAC_NN_FLOATS, err));
    LAC_TRY(lac_nn_same(call, 1, err));
    LAC_TRY(lac_nn_same(call, 2, err));
    LAC_TRY(read(call, &t, err));
    LAC_TRY(lac_nn_shape(call, 2, 1, &t.outputs, "the bias", err));
    dims[0] = t.batch;
    dims[1] = t.outputs;
    for (int i = 0; i < t.w.axes; i++)
        dims[2 + i] = t.w.in[3 - t.w.axes + i];
    return lac_op_out(call, 0, call->in[0]->dtype, t.w.axes + 2, dims, err);
}

/* One row of inputs spread into one row of outputs by one tap. */
static void spread(const lac_window *w, const float *x, float *y, float weight, int64_t shift)
{
    for (int64_t i = 0; i < w->out[2]; i++) {
        int64_t o = i * w->stride[2] + shift;
        if (o >= 0 && o < w->in[2])
            y[o] += weight * x[i];
    }
}

static void planes(void *context, int64_t begin, int64_t end)
{
    const task *t = context;
    const lac_window *w = &t->w;
    int64_t in = lac_op_product(w->out, 0, 3), out = lac_op_product(w->in, 0, 3);
    int64_t taps = lac_op_product(w->kernel, 0, 3), each = t->outputs / t->groups;
    int64_t c_group = t->channels / t->groups;
    for (int64_t p = begin; p < end; p++) {
        int64_t k = p % t->outputs, first = k / each * c_group;
        float *y = t->y + p * out;
        for (int64_t i = 0; i < out; i++)
            y[i] = t->bias ? t->bias[k] : 0;
        for (int64_t c = first; c < first + c_group; c++) {
            const float *x = t->x + (p / t->outputs * t->channels + c) * in;
            const float *weights = t->weights + (c * each + k % each) * taps;
            for (int64_t tap = 0; tap < taps; tap++) {
                int64_t q[3] = {tap / (w->kernel[1] * w->kernel[2]),
                                tap / w->kernel[2] % w->kernel[1], tap % w->kernel[2]};
                for (int64_t r = 0; r < w->out[0] * w->out[1]; r++) {
                    int64_t z = r / w->out[1] * w->stride[0] + q[0] * w->dilation[0] - w->pad[0];
                    int64_t v = r % w->out[1] * w->stride[1] + q[1] * w->dilation[1] - w->pad[1];
                    if (z >= 0 && z < w->in[0] && v >= 0 && v < w->in[1])
                        spread(w, x + r * w->out[2], y + (z * w->in[1] + v) * w->in[2],
                               weights[tap], q[2] * w->dilation[2] - w->pad[2]);
                }
            }
        }
    }
}

static lac_status run_wide(const lac_call *call, lac_error *err)
{
    task t;
    LAC_TRY(read(call, &t, err));
    t.x = call->in[0]->data;
    t.weights = call->in[1]->data;
    t.bias = lac_op_in(call, 2) ? call->in[2]->data : NULL;
    t.y = call->out[0].data;
    lac_parallel_for(t.batch * t.outputs, 1, planes, &t);
    return LAC_OK;
}

static lac_status run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, run_wide, err);
}

const lac_op lac_op_conv_transpose = {
    .row = LAC_ROW(lac_op, "ConvTranspose", "transposed convolution over 1 to 3 spatial axes"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_NN_FLOATS,
    .attributes = "auto_pad:string=NOTSET dilations:ints group:int=1 kernel_shape:ints "
                  "output_padding:ints output_shape:ints pads:ints strides:ints",
    .infer = infer,
    .run = run,
};
