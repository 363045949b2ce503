/* LayerNormalization, InstanceNormalization, MeanVarianceNormalization, BatchNormalization. The
 * first three are one thing, groups of elements brought to mean 0 and variance 1, in two passes:
 * the mean first, then the squared distances from it. */
#include "op/nn.h"

#include "core/clones.h"
#include "core/parallel.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

/* Sums in 64 parts, so that no addition waits for the one before; joined in a fixed order. */
typedef float lanes __attribute__((vector_size(64)));
enum { LANES = 16, PARTS = 4 };

/* Sum of x[i] - mean, or of its square, over `n` elements. */
INLINE float row_total(const float *x, int64_t n, float mean, bool square)
{
    lanes sum[PARTS] = {{0}, {0}, {0}, {0}}, part[PARTS];
    float rest[PARTS * LANES];
    for (int64_t i = 0; i < n; i += PARTS * LANES) {
        const float *from = x + i;
        if (n - i < PARTS * LANES) {
            for (int j = 0; j < PARTS * LANES; j++)
                rest[j] = i + j < n ? x[i + j] : mean;
            from = rest;
        }
#pragma GCC unroll 4
        for (int j = 0; j < PARTS; j++) {
            memcpy(&part[j], from + j * LANES, sizeof part[j]);
            part[j] -= mean;
            sum[j] += square ? part[j] * part[j] : part[j];
        }
    }
    sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
#define TURNED(...) __builtin_shufflevector(sum[0], sum[0], __VA_ARGS__)
    sum[0] += TURNED(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7);
    sum[0] += TURNED(4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11);
    sum[0] += TURNED(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13);
    sum[0] += TURNED(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14);
#undef TURNED
    return sum[0][0];
}

INLINE float row_sum(const float *x, int64_t n)
{
    return row_total(x, n, 0, false);
}

INLINE float row_squares(const float *x, int64_t n, float mean)
{
    return row_total(x, n, mean, true);
}

INLINE void row_apply(const float *x, float *y, int64_t n, float mean, float factor,
                      const float *scale, const float *bias)
{
    if (scale && bias)
        for (int64_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) * factor * scale[i] + bias[i];
    else if (scale)
        for (int64_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) * factor * scale[i];
    else
        for (int64_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) * factor;
}

/* ---- LayerNormalization --------------------------------------------------------------------- */

typedef struct layer_task {
    const float *x, *scale, *bias;
    float *y, *mean, *inverse;
    int64_t n;
    float epsilon;
} layer_task;

static lac_status layer_infer(const lac_call *call, lac_error *err)
{
    const lac_tensor *x = call->in[0];
    int axis;
    int64_t dims[LAC_MAX_RANK];
    char text[160];
    LAC_TRY(lac_nn_count(call, 2, 3, 3, err));
    LAC_TRY(lac_nn_dtype(call, 0, LAC_NN_FLOATS, err));
    x = call->in[0];
    LAC_TRY(lac_nn_axis(lac_node_int(call->node, "axis", -1), x->rank, false, &axis, err));
    if (lac_node_int(call->node, "stash_type", 1) != LAC_F32)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "stash_type is %" PRId64 ", only 1 (float32)",
                        lac_node_int(call->node, "stash_type", 1));
    for (int i = 1; i <= 2; i++) {
        const lac_tensor *factor = lac_op_in(call, i);
        LAC_TRY(lac_nn_same(call, i, err));
        bool fits = !factor || factor->rank == x->rank - axis;
        for (int d = axis; factor && fits && d < x->rank; d++)
            fits = factor->dims[d - axis] == x->dims[d];
        if (!fits)
            return lac_fail(
                err, LAC_ERROR_INPUT, "%s is %s, want the shape of the input from axis %d",
                i == 1 ? "Scale" : "B", lac_tensor_text(factor, text, sizeof text), axis);
    }
    for (int d = 0; d < x->rank; d++)
        dims[d] = d < axis ? x->dims[d] : 1;
    LAC_TRY(lac_op_out(call, 1, LAC_F32, x->rank, dims, err));
    LAC_TRY(lac_op_out(call, 2, LAC_F32, x->rank, dims, err));
    return lac_op_out_same(call, err);
}

LAC_CLONES static void layer_rows(void *context, int64_t begin, int64_t end)
{
    const layer_task *t = context;
    for (int64_t r = begin; r < end; r++) {
        const float *x = t->x + r * t->n;
        float mean = row_sum(x, t->n) / (float)t->n;
        float inverse = 1 / sqrtf(row_squares(x, t->n, mean) / (float)t->n + t->epsilon);
        row_apply(x, t->y + r * t->n, t->n, mean, inverse, t->scale, t->bias);
        if (t->mean)
            t->mean[r] = mean;
        if (t->inverse)
            t->inverse[r] = inverse;
    }
}

static lac_status layer_wide(const lac_call *call, lac_error *err)
{
    const lac_tensor *x = call->in[0], *bias = lac_op_in(call, 2);
    int axis;
    LAC_TRY(lac_nn_axis(lac_node_int(call->node, "axis", -1), x->rank, false, &axis, err));
    lac_tensor *mean = lac_nn_out(call, 1), *inverse = lac_nn_out(call, 2);
    layer_task t = {.x = x->data,
                    .scale = call->in[1]->data,
                    .bias = bias ? bias->data : NULL,
                    .y = call->out[0].data,
                    .mean = mean ? mean->data : NULL,
                    .inverse = inverse ? inverse->data : NULL,
                    .n = lac_op_product(x->dims, axis, x->rank),
                    .epsilon = lac_node_float(call->node, "epsilon", 1e-5F)};
    if (t.n > 0)
        lac_parallel_for(lac_op_product(x->dims, 0, axis), 8192 / t.n + 1, layer_rows, &t);
    return LAC_OK;
}

static lac_status layer_run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, layer_wide, err);
}

const lac_op lac_op_layer_normalization = {
    .row = LAC_ROW(lac_op, "LayerNormalization", "mean 0, variance 1 over the last axes, scaled"),
    .domain = "",
    .since = 17,
    .dtypes = LAC_NN_FLOATS,
    .attributes = "axis:int=-1 epsilon:float=1e-5 stash_type:int=1",
    .flags = LAC_OP_INPLACE,
    .infer = layer_infer,
    .run = layer_run,
};

/* ---- one factor and one offset per channel -------------------------------------------------- */

typedef struct channel_task {
    const float *x, *scale, *bias, *mean, *variance; /* no mean: those of each plane */
    float *y;
    int64_t channels, n;
    float epsilon;
} channel_task;

LAC_CLONES static void line(const float *x, float *y, int64_t n, float factor, float offset)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * factor + offset;
}

LAC_CLONES static void channel_planes(void *context, int64_t begin, int64_t end)
{
    const channel_task *t = context;
    for (int64_t p = begin; p < end; p++) {
        const float *x = t->x + p * t->n;
        int64_t c = p % t->channels;
        float mean, factor;
        if (t->mean) {
            mean = t->mean[c];
            factor = t->scale[c] / sqrtf(t->variance[c] + t->epsilon);
            line(x, t->y + p * t->n, t->n, factor, t->bias[c] - mean * factor);
        } else {
            mean = row_sum(x, t->n) / (float)t->n;
            factor = t->scale[c] / sqrtf(row_squares(x, t->n, mean) / (float)t->n + t->epsilon);
            row_apply(x, t->y + p * t->n, t->n, mean, factor, NULL, NULL);
            line(t->y + p * t->n, t->y + p * t->n, t->n, 1, t->bias[c]);
        }
    }
}

/* `parameters` inputs of shape [channels] after the first */
static lac_status channel_infer(const lac_call *call, int parameters, int outputs, lac_error *err)
{
    LAC_TRY(lac_nn_count(call, 1 + parameters, 1 + parameters, outputs, err));
    LAC_TRY(lac_nn_dtype(call, 0, LAC_NN_FLOATS, err));
    const lac_tensor *x = call->in[0];
    if (x->rank < 1)
        return lac_fail(err, LAC_ERROR_INPUT, "the input is a scalar, want [batch][channels]...");
    int64_t channels = x->rank > 1 ? x->dims[1] : 1;
    for (int i = 1; i <= parameters; i++) {
        LAC_TRY(lac_nn_shape(call, i, 1, &channels, "a parameter per channel", err));
        if (call->in[i]->dtype != x->dtype && call->in[i]->dtype != LAC_F32)
            return lac_fail(err, LAC_ERROR_UNSUPPORTED, "input %d is %s beside a %s input", i,
                            lac_dtype_name(call->in[i]->dtype), lac_dtype_name(x->dtype));
    }
    return lac_op_out_same(call, err);
}

static lac_status channel_wide(const lac_call *call, lac_error *err)
{
    (void)err;
    const lac_tensor *x = call->in[0];
    bool batch = call->n_in == 5;
    channel_task t = {.x = x->data,
                      .scale = call->in[1]->data,
                      .bias = call->in[2]->data,
                      .mean = batch ? call->in[3]->data : NULL,
                      .variance = batch ? call->in[4]->data : NULL,
                      .y = call->out[0].data,
                      .channels = x->rank > 1 ? x->dims[1] : 1,
                      .n = lac_op_product(x->dims, 2, x->rank),
                      .epsilon = lac_node_float(call->node, "epsilon", 1e-5F)};
    if (t.n > 0)
        lac_parallel_for(x->dims[0] * t.channels, 16384 / t.n + 1, channel_planes, &t);
    return LAC_OK;
}

static lac_status channel_run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, channel_wide, err);
}

static lac_status instance_infer(const lac_call *call, lac_error *err)
{
    return channel_infer(call, 2, 1, err);
}

const lac_op lac_op_instance_normalization = {
    .row = LAC_ROW(lac_op, "InstanceNormalization", "mean 0, variance 1 per plane, scaled"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_NN_FLOATS,
    .attributes = "epsilon:float=1e-5 consumed_inputs:ints",
    .flags = LAC_OP_INPLACE,
    .infer = instance_infer,
    .run = channel_run,
};

static bool is_training(const lac_call *call)
{
    return call->opset >= 14 && lac_node_int(call->node, "training_mode", 0) != 0;
}

static lac_status batch_infer(const lac_call *call, lac_error *err)
{
    bool spatial = call->opset >= 9 || lac_node_int(call->node, "spatial", 1) != 0;
    if (!spatial || (call->opset < 7 && lac_node_int(call->node, "is_test", 0) == 0))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s is not done",
                        spatial ? "is_test=0 before opset 7" : "spatial=0");
    LAC_TRY(channel_infer(call, 4, 5, err));
    for (int i = 1; i < call->n_out; i++) {
        if (lac_op_wanted(call, i) && (!is_training(call) || i > 2))
            return lac_fail(err, LAC_ERROR_UNSUPPORTED, "output %d needs training_mode=1, opset 14",
                            i);
        LAC_TRY(lac_op_out(call, i, call->in[3]->dtype, 1, call->in[3]->dims, err));
    }
    return LAC_OK;
}

/* Mean and variance of each channel of the batch take the place of the stored ones, which move
 * towards them. */
static lac_status batch_training(const lac_call *call, lac_error *err)
{
    const lac_tensor *x = call->in[0];
    int64_t channels = x->rank > 1 ? x->dims[1] : 1, n = lac_op_product(x->dims, 2, x->rank);
    float keep = lac_node_float(call->node, "momentum", 0.9F), each = (float)(x->dims[0] * n);
    lac_tensor *mean_out = lac_nn_out(call, 1), *variance_out = lac_nn_out(call, 2);
    lac_tensor mean, variance;
    LAC_TRY(lac_tensor_make(&mean, LAC_F32, 1, &channels, err));
    lac_status status = lac_tensor_make(&variance, LAC_F32, 1, &channels, err);
    if (status != LAC_OK) {
        lac_tensor_release(&mean);
        return status;
    }
    for (int64_t c = 0; c < channels; c++) {
        float sum = 0, squares = 0;
        for (int64_t b = 0; b < x->dims[0]; b++)
            sum += row_sum((const float *)x->data + (b * channels + c) * n, n);
        for (int64_t b = 0; b < x->dims[0]; b++)
            squares += row_squares((const float *)x->data + (b * channels + c) * n, n, sum / each);
        ((float *)mean.data)[c] = sum / each;
        ((float *)variance.data)[c] = squares / each;
        if (mean_out)
            ((float *)mean_out->data)[c] =
                ((const float *)call->in[3]->data)[c] * keep + sum / each * (1 - keep);
        if (variance_out)
            ((float *)variance_out->data)[c] =
                ((const float *)call->in[4]->data)[c] * keep + squares / each * (1 - keep);
    }
    lac_call inference = *call;
    const lac_tensor *in[] = {x, call->in[1], call->in[2], &mean, &variance};
    inference.in = in;
    status = channel_wide(&inference, err);
    lac_tensor_release(&mean);
    lac_tensor_release(&variance);
    return status;
}

static lac_status batch_run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, is_training(call) ? batch_training : channel_wide, err);
}

const lac_op lac_op_batch_normalization = {
    .row = LAC_ROW(lac_op, "BatchNormalization", "a factor and an offset per channel"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_NN_FLOATS,
    .attributes = "epsilon:float=1e-5 momentum:float=0.9 spatial:int=1 is_test:int=0 "
                  "training_mode:int=0 consumed_inputs:ints",
    .flags = LAC_OP_INPLACE,
    .infer = batch_infer,
    .run = batch_run,
};

/* ---- LRN, LpNormalization ------------------------------------------------------------------- */

static lac_status lrn_infer(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_nn_count(call, 1, 1, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, LAC_NN_FLOATS, err));
    int64_t size = lac_node_int(call->node, "size", 0);
    if (call->in[0]->rank < 2)
        return lac_fail(err, LAC_ERROR_INPUT, "the input has rank %d, want [batch][channels]...",
                        call->in[0]->rank);
    if (size < 1 || size > INT32_MAX)
        return lac_fail(err, LAC_ERROR_INPUT, "size is %" PRId64 ", outside 1..%d", size,
                        INT32_MAX);
    return lac_op_out_same(call, err);
}

/* x / (bias + alpha/size * sum of squares over `size` channels around)^beta */
static lac_status lrn_wide(const lac_call *call, lac_error *err)
{
    (void)err;
    const lac_tensor *t = call->in[0];
    const float *x = t->data;
    float *y = call->out[0].data, bias = lac_node_float(call->node, "bias", 1);
    float alpha = lac_node_float(call->node, "alpha", 1e-4F);
    float beta = lac_node_float(call->node, "beta", 0.75F);
    int64_t size = lac_node_int(call->node, "size", 1), channels = t->dims[1];
    int64_t n = lac_op_product(t->dims, 2, t->rank), before = (size - 1) / 2;
    for (int64_t p = 0; p < t->dims[0] * channels; p++) {
        int64_t c = p % channels, first = c > before ? c - before : 0;
        int64_t last = c + size - 1 - before < channels ? c + size - 1 - before : channels - 1;
        for (int64_t i = 0; i < n; i++) {
            float sum = 0;
            for (int64_t q = first; q <= last; q++) {
                float v = x[(p - c + q) * n + i];
                sum += v * v;
            }
            y[p * n + i] = x[p * n + i] / powf(bias + alpha / (float)size * sum, beta);
        }
    }
    return LAC_OK;
}

static lac_status lrn_run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, lrn_wide, err);
}

const lac_op lac_op_lrn = {
    .row = LAC_ROW(lac_op, "LRN", "local response normalization across channels"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_NN_FLOATS,
    .attributes = "alpha:float=1e-4 beta:float=0.75 bias:float=1 size:int",
    .infer = lrn_infer,
    .run = lrn_run,
};

static lac_status lp_infer(const lac_call *call, lac_error *err)
{
    int axis;
    LAC_TRY(lac_nn_count(call, 1, 1, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, LAC_NN_FLOATS, err));
    LAC_TRY(
        lac_nn_axis(lac_node_int(call->node, "axis", -1), call->in[0]->rank, false, &axis, err));
    int64_t p = lac_node_int(call->node, "p", 2);
    if (p != 1 && p != 2)
        return lac_fail(err, LAC_ERROR_INPUT, "p is %" PRId64 ", want 1 or 2", p);
    return lac_op_out_same(call, err);
}

static lac_status lp_wide(const lac_call *call, lac_error *err)
{
    const lac_tensor *t = call->in[0];
    int axis;
    LAC_TRY(lac_nn_axis(lac_node_int(call->node, "axis", -1), t->rank, false, &axis, err));
    bool squares = lac_node_int(call->node, "p", 2) == 2;
    int64_t n = t->dims[axis], inner = lac_op_product(t->dims, axis + 1, t->rank);
    for (int64_t c = 0; c < lac_op_product(t->dims, 0, axis) * inner; c++) {
        const float *x = (const float *)t->data + c / inner * n * inner + c % inner;
        float *y = (float *)call->out[0].data + c / inner * n * inner + c % inner, sum = 0;
        for (int64_t i = 0; i < n; i++)
            sum += squares ? x[i * inner] * x[i * inner] : fabsf(x[i * inner]);
        float norm = squares ? sqrtf(sum) : sum;
        for (int64_t i = 0; i < n; i++)
            y[i * inner] = norm == 0 ? 0 : x[i * inner] / norm;
    }
    return LAC_OK;
}

static lac_status lp_run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, lp_wide, err);
}

const lac_op lac_op_lp_normalization = {
    .row = LAC_ROW(lac_op, "LpNormalization", "x / norm(x) along an axis"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_NN_FLOATS,
    .attributes = "axis:int=-1 p:int=2",
    .infer = lp_infer,
    .run = lp_run,
};
