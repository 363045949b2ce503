/* Operators that compare an element with scalars: Clip, Shrink, and the predicates IsNaN, IsInf,
 * Not. */
#include "op/common.h"

#include "core/clones.h"
#include "core/parallel.h"

#include <math.h>

/* ---- Clip ---------------------------------------------------------------------------------- */

typedef struct clip_job {
    const lac_tensor *in, *low, *high;
    lac_tensor *out;
    float low_attr, high_attr;
} clip_job;

LAC_CLONES static void clip_f32(const float *x, float *y, int64_t n, float low, float high)
{
    for (int64_t i = 0; i < n; i++) {
        float v = x[i];
        v = v < low ? low : v;
        y[i] = v > high ? high : v;
    }
}

static float limit(const lac_tensor *tensor, float initial)
{
    return tensor ? (float)lac_tensor_get(tensor, 0) : initial;
}

#define CLIP_CASE(dtype_, type)                                                                    \
    case dtype_: {                                                                                 \
        const type *x = job->in->data;                                                             \
        type *y = job->out->data;                                                                  \
        const type *low = job->low ? job->low->data : NULL;                                        \
        const type *high = job->high ? job->high->data : NULL;                                     \
        for (int64_t i = begin; i < end; i++) {                                                    \
            type v = x[i];                                                                         \
            v = low && v < *low ? *low : v;                                                        \
            y[i] = high && v > *high ? *high : v;                                                  \
        }                                                                                          \
        break;                                                                                     \
    }

static void clip_part(void *context, int64_t begin, int64_t end)
{
    const clip_job *job = context;
    float wide[256];
    switch (job->in->dtype) {
    case LAC_F32:
        clip_f32((const float *)job->in->data + begin, (float *)job->out->data + begin, end - begin,
                 limit(job->low, job->low_attr), limit(job->high, job->high_attr));
        break;
    case LAC_F16:
    case LAC_BF16:
        for (int64_t i = begin; i < end; i += 256) {
            int64_t n = end - i < 256 ? end - i : 256;
            lac_op_widen(job->in->dtype, (const uint16_t *)job->in->data + i, 1, wide, n);
            clip_f32(wide, wide, n, limit(job->low, job->low_attr),
                     limit(job->high, job->high_attr));
            lac_op_narrow(job->in->dtype, wide, (uint16_t *)job->out->data + i, n);
        }
        break;
    case LAC_F64: {
        const double *x = job->in->data;
        double *y = job->out->data;
        double low = job->low ? lac_tensor_get(job->low, 0) : (double)job->low_attr;
        double high = job->high ? lac_tensor_get(job->high, 0) : (double)job->high_attr;
        for (int64_t i = begin; i < end; i++) {
            double v = x[i] < low ? low : x[i];
            y[i] = v > high ? high : v;
        }
        break;
    }
        LAC_OP_EACH_INT(CLIP_CASE)
    default:
        break;
    }
}

static lac_status infer_clip(const lac_call *call, lac_error *err)
{
    static const char *const names[] = {"input", "min", "max"};
    LAC_TRY(lac_op_inputs(call, 1, 3, LAC_OP_NUMBERS, err));
    for (int i = 1; i < call->n_in; i++)
        if (call->in[i]) {
            LAC_TRY(lac_op_type(call, i, names[i], LAC_BIT(call->in[0]->dtype), err));
            if (lac_tensor_count(call->in[i]) != 1)
                return lac_fail(err, LAC_ERROR_INPUT, "Clip: input '%s' has %lld elements, not 1",
                                names[i], (long long)lac_tensor_count(call->in[i]));
        }
    return lac_op_out_same(call, err);
}

static lac_status run_clip(const lac_call *call, lac_error *err)
{
    (void)err;
    clip_job job = {call->in[0],
                    lac_op_in(call, 1),
                    lac_op_in(call, 2),
                    &call->out[0],
                    lac_node_float(call->node, "min", -INFINITY),
                    lac_node_float(call->node, "max", INFINITY)};
    lac_parallel_for(lac_tensor_count(job.in), LAC_OP_GRAIN, clip_part, &job);
    return LAC_OK;
}

const lac_op lac_op_clip = {
    .row = LAC_ROW(lac_op, "Clip", "min(max(x, low), high)"),
    .domain = "",
    .since = 6,
    .dtypes = LAC_OP_NUMBERS,
    .attributes = "min:float max:float",
    .flags = LAC_OP_INPLACE | LAC_OP_ELEMENTWISE,
    .infer = infer_clip,
    .run = run_clip,
};

/* ---- Shrink -------------------------------------------------------------------------------- */

static lac_status infer_shrink(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_NUMBERS, err));
    return lac_op_out_same(call, err);
}

static lac_status run_shrink(const lac_call *call, lac_error *err)
{
    double limit_ = (double)lac_node_float(call->node, "lambd", 0.5f);
    double bias = (double)lac_node_float(call->node, "bias", 0);
    int64_t n = lac_tensor_count(call->in[0]);
    (void)err;
    for (int64_t i = 0; i < n; i++) {
        double x = lac_tensor_get(call->in[0], i);
        lac_tensor_set(&call->out[0], i, x < -limit_ ? x + bias : x > limit_ ? x - bias : 0);
    }
    return LAC_OK;
}

const lac_op lac_op_shrink = {
    .row = LAC_ROW(lac_op, "Shrink", "0 within lambd of 0, else moved by bias towards 0"),
    .domain = "",
    .since = 9,
    .dtypes = LAC_OP_NUMBERS,
    .attributes = "bias:float=0 lambd:float=0.5",
    .flags = LAC_OP_INPLACE | LAC_OP_ELEMENTWISE,
    .infer = infer_shrink,
    .run = run_shrink,
};

/* ---- predicates ---------------------------------------------------------------------------- */

static lac_status infer_is(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_FLOATS, err));
    return lac_op_out(call, 0, LAC_BOOL, call->in[0]->rank, call->in[0]->dims, err);
}

static lac_status run_isnan(const lac_call *call, lac_error *err)
{
    uint8_t *y = call->out[0].data;
    (void)err;
    for (int64_t i = 0, n = lac_tensor_count(call->in[0]); i < n; i++)
        y[i] = isnan(lac_tensor_get(call->in[0], i)) != 0;
    return LAC_OK;
}

const lac_op lac_op_isnan = {
    .row = LAC_ROW(lac_op, "IsNaN", "is the element not a number?"),
    .domain = "",
    .since = 9,
    .dtypes = LAC_OP_FLOATS,
    .attributes = "",
    .flags = LAC_OP_ELEMENTWISE,
    .infer = infer_is,
    .run = run_isnan,
};

static lac_status run_isinf(const lac_call *call, lac_error *err)
{
    uint8_t *y = call->out[0].data;
    bool negative = lac_node_int(call->node, "detect_negative", 1) != 0;
    bool positive = lac_node_int(call->node, "detect_positive", 1) != 0;
    (void)err;
    for (int64_t i = 0, n = lac_tensor_count(call->in[0]); i < n; i++) {
        double x = lac_tensor_get(call->in[0], i);
        y[i] = isinf(x) && (x < 0 ? negative : positive);
    }
    return LAC_OK;
}

const lac_op lac_op_isinf = {
    .row = LAC_ROW(lac_op, "IsInf", "is the element infinite?"),
    .domain = "",
    .since = 10,
    .dtypes = LAC_OP_FLOATS,
    .attributes = "detect_negative:int=1 detect_positive:int=1",
    .flags = LAC_OP_ELEMENTWISE,
    .infer = infer_is,
    .run = run_isinf,
};

static lac_status infer_not(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_BIT(LAC_BOOL), err));
    return lac_op_out_same(call, err);
}

static lac_status run_not(const lac_call *call, lac_error *err)
{
    const uint8_t *x = call->in[0]->data;
    uint8_t *y = call->out[0].data;
    (void)err;
    for (int64_t i = 0, n = lac_tensor_count(call->in[0]); i < n; i++)
        y[i] = !x[i];
    return LAC_OK;
}

const lac_op lac_op_not = {
    .row = LAC_ROW(lac_op, "Not", "logical negation"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_BIT(LAC_BOOL),
    .attributes = "",
    .flags = LAC_OP_INPLACE | LAC_OP_ELEMENTWISE,
    .infer = infer_not,
    .run = run_not,
};
