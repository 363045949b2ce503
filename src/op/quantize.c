/* QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear: y = saturate(round(x / scale) + zero),
 * ties to even; per tensor or along one axis. */
#include "op/nn.h"

#include "core/clones.h"
#include "core/parallel.h"
#include "op/nn_math.h"

#include <inttypes.h>
#include <math.h>

#define BYTES (LAC_BIT(LAC_I8) | LAC_BIT(LAC_U8))

enum { CHUNK = 256 };

typedef struct task {
    const lac_tensor *x, *scale, *zero;
    lac_tensor *y;
    int64_t channels, inner; /* channel of element i: i / inner % channels */
} task;

/* Scale (input 1) and zero point (input 2, optional): scalars, one element, or one per channel. */
static lac_status read(const lac_call *call, task *t, lac_error *err)
{
    const lac_tensor *x = call->in[0], *scale = call->in[1], *zero = lac_op_in(call, 2);
    int axis;
    t->x = x;
    t->scale = scale;
    t->zero = zero;
    t->channels = t->inner = 1;
    if (scale->rank > 1 || (zero && zero->rank > 1))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "scale has rank %d: per tensor or per axis only", scale->rank);
    int64_t count = scale->rank ? scale->dims[0] : 1;
    if (zero && (zero->rank ? zero->dims[0] : 1) != count)
        return lac_fail(err, LAC_ERROR_INPUT, "%" PRId64 " scales but %" PRId64 " zero points",
                        count, zero->rank ? zero->dims[0] : 1);
    if (count == 1 && (!scale->rank || x->rank == 0))
        return LAC_OK;
    int64_t asked = call->opset < 13 && !lac_node_attr(call->node, "axis")
                        ? 1
                        : lac_node_int(call->node, "axis", 1);
    if (count == 1) /* one element in a vector: whatever the axis */
        return LAC_OK;
    LAC_TRY(lac_nn_axis(asked, x->rank, false, &axis, err));
    if (count != x->dims[axis])
        return lac_fail(err, LAC_ERROR_INPUT, "%" PRId64 " scales for axis %d of size %" PRId64,
                        count, axis, x->dims[axis]);
    t->channels = count;
    t->inner = lac_op_product(x->dims, axis + 1, x->rank);
    return LAC_OK;
}

/* Runs of one channel each, in parallel over runs or, if there is but one, over its elements. */
static void each(task *t, void (*body)(void *, int64_t, int64_t))
{
    lac_parallel_for((lac_tensor_count(t->x) + CHUNK - 1) / CHUNK, 16384 / CHUNK, body, t);
}

/* The elements from i that share a channel, at most up to `end`. */
static int64_t run_length(const task *t, int64_t i, int64_t end)
{
    int64_t n = t->channels == 1 ? end - i : t->inner - i % t->inner;
    return n < end - i ? n : end - i;
}

static lac_status quantize_infer(const lac_call *call, lac_error *err)
{
    task t;
    LAC_TRY(lac_nn_count(call, 2, 3, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, LAC_NN_FLOATS | LAC_BIT(LAC_I32), err));
    LAC_TRY(lac_nn_dtype(call, 1, LAC_BIT(LAC_F32), err));
    LAC_TRY(lac_nn_dtype(call, 2, BYTES, err));
    LAC_TRY(read(call, &t, err));
    return lac_op_out(call, 0, t.zero ? t.zero->dtype : LAC_U8, t.x->rank, t.x->dims, err);
}

/* Clamping first keeps the rounding in its range; what it cuts off saturates anyway. */
LAC_CLONES static void quantize_run_of(const float *x, int32_t *q, int64_t n, float scale,
                                       int32_t zero, int32_t low, int32_t high)
{
    for (int64_t i = 0; i < n; i++) {
        float v = x[i] / scale;
        v = v < -1024.0f ? -1024.0f : v;
        v = v > 1024.0f ? 1024.0f : v;
        int32_t r = lac_nn_rint(v);
        r = r < -1024 ? -1024 : r; /* NaN */
        r = (r > 1024 ? 1024 : r) + zero;
        r = r < low ? low : r;
        q[i] = r > high ? high : r;
    }
}

static void quantize_chunks(void *context, int64_t begin, int64_t end)
{
    const task *t = context;
    bool is_signed = t->y->dtype == LAC_I8;
    int64_t count = lac_tensor_count(t->x), last = end * CHUNK < count ? end * CHUNK : count;
    for (int64_t i = begin * CHUNK; i < last;) {
        int64_t n = run_length(t, i, last), c = i / t->inner % t->channels;
        float x[CHUNK];
        int32_t q[CHUNK];
        n = n < CHUNK ? n : CHUNK;
        if (t->x->dtype == LAC_I32)
            for (int64_t j = 0; j < n; j++)
                x[j] = (float)((const int32_t *)t->x->data)[i + j];
        quantize_run_of(t->x->dtype == LAC_I32 ? x : (const float *)t->x->data + i, q, n,
                        ((const float *)t->scale->data)[c],
                        t->zero ? (int32_t)lac_tensor_get(t->zero, c) : 0, is_signed ? -128 : 0,
                        is_signed ? 127 : 255);
        uint8_t *y = (uint8_t *)t->y->data + i;
        for (int64_t j = 0; j < n; j++)
            y[j] = (uint8_t)q[j]; /* the low 8 bits are right for both */
        i += n;
    }
}

static lac_status quantize_wide(const lac_call *call, lac_error *err)
{
    task t = {.y = &call->out[0]};
    LAC_TRY(read(call, &t, err));
    each(&t, quantize_chunks);
    return LAC_OK;
}

static lac_status quantize_run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, quantize_wide, err);
}

const lac_op lac_op_quantize_linear = {
    .row = LAC_ROW(lac_op, "QuantizeLinear", "saturate(round(x / scale) + zero)"),
    .domain = "",
    .since = 10,
    .dtypes = LAC_NN_FLOATS | LAC_BIT(LAC_I32),
    .attributes = "axis:int=1",
    .infer = quantize_infer,
    .run = quantize_run,
};

static lac_status dequantize_infer(const lac_call *call, lac_error *err)
{
    task t;
    LAC_TRY(lac_nn_count(call, 2, 3, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, BYTES | LAC_BIT(LAC_I32), err));
    LAC_TRY(lac_nn_dtype(call, 1, LAC_BIT(LAC_F32), err));
    LAC_TRY(lac_nn_same(call, 2, err));
    LAC_TRY(read(call, &t, err));
    return lac_op_out(call, 0, LAC_F32, t.x->rank, t.x->dims, err);
}

#define DEQUANTIZE(name, type)                                                                     \
    LAC_CLONES static void name(const type *x, float *y, int64_t n, float scale, type zero)        \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = (float)((int32_t)((uint32_t)x[i] - (uint32_t)zero)) * scale;                    \
    }
DEQUANTIZE(from_i8, int8_t)
DEQUANTIZE(from_u8, uint8_t)
DEQUANTIZE(from_i32, int32_t)

static void dequantize_chunks(void *context, int64_t begin, int64_t end)
{
    const task *t = context;
    int64_t count = lac_tensor_count(t->x), last = end * CHUNK < count ? end * CHUNK : count;
    for (int64_t i = begin * CHUNK; i < last;) {
        int64_t n = run_length(t, i, last), c = i / t->inner % t->channels;
        float scale = ((const float *)t->scale->data)[c], *y = (float *)t->y->data + i;
        double zero = t->zero ? lac_tensor_get(t->zero, c) : 0;
        if (t->x->dtype == LAC_I8)
            from_i8((const int8_t *)t->x->data + i, y, n, scale, (int8_t)zero);
        else if (t->x->dtype == LAC_U8)
            from_u8((const uint8_t *)t->x->data + i, y, n, scale, (uint8_t)zero);
        else
            from_i32((const int32_t *)t->x->data + i, y, n, scale, (int32_t)zero);
        i += n;
    }
}

static lac_status dequantize_run(const lac_call *call, lac_error *err)
{
    task t = {.y = &call->out[0]};
    LAC_TRY(read(call, &t, err));
    each(&t, dequantize_chunks);
    return LAC_OK;
}

const lac_op lac_op_dequantize_linear = {
    .row = LAC_ROW(lac_op, "DequantizeLinear", "(x - zero) * scale"),
    .domain = "",
    .since = 10,
    .dtypes = BYTES | LAC_BIT(LAC_I32),
    .attributes = "axis:int=1",
    .infer = dequantize_infer,
    .run = dequantize_run,
};

static lac_status dynamic_infer(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_nn_count(call, 1, 1, 3, err));
    LAC_TRY(lac_nn_dtype(call, 0, LAC_BIT(LAC_F32), err));
    LAC_TRY(lac_op_out(call, 1, LAC_F32, 0, NULL, err));
    LAC_TRY(lac_op_out(call, 2, LAC_U8, 0, NULL, err));
    return lac_op_out(call, 0, LAC_U8, call->in[0]->rank, call->in[0]->dims, err);
}

/* The range of x, widened to hold 0, becomes 0..255. */
static lac_status dynamic_run(const lac_call *call, lac_error *err)
{
    (void)err;
    const float *x = call->in[0]->data;
    int64_t count = lac_tensor_count(call->in[0]);
    float low = 0, high = 0;
    for (int64_t i = 0; i < count; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    float scale = (high - low) / 255;
    scale = scale == 0 ? 1 : scale; /* all zeros */
    float point = -low / scale;
    uint8_t zero = (uint8_t)lac_nn_rint(point < 0 ? 0 : point > 255 ? 255 : point);
    lac_tensor scale_view = lac_tensor_view(LAC_F32, 0, NULL, &scale);
    lac_tensor zero_view = lac_tensor_view(LAC_U8, 0, NULL, &zero);
    lac_tensor *scale_out = lac_nn_out(call, 1), *zero_out = lac_nn_out(call, 2);
    task t = {call->in[0], &scale_view, &zero_view, lac_nn_out(call, 0), 1, 1};
    if (scale_out)
        *(float *)scale_out->data = scale;
    if (zero_out)
        *(uint8_t *)zero_out->data = zero;
    if (t.y)
        each(&t, quantize_chunks);
    return LAC_OK;
}

const lac_op lac_op_dynamic_quantize_linear = {
    .row = LAC_ROW(lac_op, "DynamicQuantizeLinear", "uint8 of the range of x, with its scale"),
    .domain = "",
    .since = 11,
    .dtypes = LAC_BIT(LAC_F32),
    .attributes = "",
    .infer = dynamic_infer,
    .run = dynamic_run,
};
