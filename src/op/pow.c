/* Pow: base and exponent may have different types. The exponents of real networks are one scalar,
 * mostly 2, 3 or 1/2. */
#include "op/common.h"

#include <math.h>

typedef struct pow_job {
    const lac_tensor *base, *exponent;
    lac_tensor *out;
    int64_t base_step, exponent_step;
} pow_job;

/* Integer to the power of an integer: wraps around; negative powers are 0 but for 1 and -1. */
static uint64_t power(int64_t base, int64_t exponent)
{
    uint64_t result = 1, square = (uint64_t)base;
    if (exponent < 0)
        return base == 1 || (base == -1 && exponent % 2 == 0) ? 1 : base == -1 ? UINT64_MAX : 0;
    for (; exponent > 0; exponent >>= 1, square *= square)
        if (exponent & 1)
            result *= square;
    return result;
}

static int64_t whole(const lac_tensor *tensor, int64_t i)
{
    switch (tensor->dtype) {
    case LAC_I64:
        return ((const int64_t *)tensor->data)[i];
    case LAC_U64:
        return (int64_t)((const uint64_t *)tensor->data)[i];
    default:
        return (int64_t)lac_tensor_get(tensor, i);
    }
}

static void float_scalar(const float *x, float *y, int64_t n, float exponent)
{
    if (exponent == 2)
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] * x[i];
    else if (exponent == 3)
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] * x[i] * x[i];
    else if (exponent == 1)
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i];
    else if (exponent == 0.5f)
        for (int64_t i = 0; i < n; i++)
            y[i] = sqrtf(x[i]);
    else
        for (int64_t i = 0; i < n; i++)
            y[i] = powf(x[i], exponent);
}

static void pow_body(void *context, const int64_t *offset, int64_t n)
{
    const pow_job *job = context;
    lac_dtype base = job->base->dtype, exponent = job->exponent->dtype;
    if (base == LAC_F32 && job->base_step == 1 && job->exponent_step == 0) {
        float_scalar((const float *)job->base->data + offset[1],
                     (float *)job->out->data + offset[0], n,
                     (float)lac_tensor_get(job->exponent, offset[2]));
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t x = offset[1] + i * job->base_step, y = offset[2] + i * job->exponent_step;
        if (base == LAC_F32 && exponent == LAC_F32)
            ((float *)job->out->data)[offset[0] + i] =
                powf(((const float *)job->base->data)[x], ((const float *)job->exponent->data)[y]);
        else if (base == LAC_I64 && !lac_dtype_is_float(exponent))
            ((int64_t *)job->out->data)[offset[0] + i] =
                (int64_t)power(whole(job->base, x), whole(job->exponent, y));
        else if (base == LAC_I32 && !lac_dtype_is_float(exponent))
            ((int32_t *)job->out->data)[offset[0] + i] =
                (int32_t)power(whole(job->base, x), whole(job->exponent, y));
        else
            lac_tensor_set(job->out, offset[0] + i,
                           pow(lac_tensor_get(job->base, x), lac_tensor_get(job->exponent, y)));
    }
}

static lac_status infer_pow(const lac_call *call, lac_error *err)
{
    int64_t dims[LAC_MAX_RANK];
    int rank;
    LAC_TRY(lac_op_inputs(call, 2, 2, LAC_OP_FLOATS | LAC_OP_INDEX, err));
    LAC_TRY(lac_op_type(call, 1, "Y", LAC_OP_NUMBERS, err));
    LAC_TRY(lac_op_broadcast(call, 0, 1, &rank, dims, err));
    return lac_op_out(call, 0, call->in[0]->dtype, rank, dims, err);
}

static lac_status run_pow(const lac_call *call, lac_error *err)
{
    lac_walk walk;
    (void)err;
    lac_walk_broadcast(&walk, call->out[0].rank, call->out[0].dims, 2, call->in);
    pow_job job = {call->in[0], call->in[1], &call->out[0], walk.stride[1][walk.rank - 1],
                   walk.stride[2][walk.rank - 1]};
    lac_walk_each(&walk, LAC_OP_GRAIN, pow_body, &job);
    return LAC_OK;
}

const lac_op lac_op_pow = {
    .row = LAC_ROW(lac_op, "Pow", "X to the power of Y"),
    .domain = "",
    .since = 7,
    .dtypes = LAC_OP_FLOATS | LAC_OP_INDEX,
    .attributes = "",
    .flags = LAC_OP_INPLACE | LAC_OP_ELEMENTWISE,
    .infer = infer_pow,
    .run = run_pow,
};
