/* Cast and CastLike. Elements go in blocks through one wide type: integers through 64 bits (so that
 * integer to integer keeps the low bits, as C and numpy do), floats through double (so that float
 * to integer truncates and saturates, NaN becoming 0). */
#include "op/common.h"
#include "op/gradient.h"

#include "core/parallel.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 512 };

typedef union wide {
    double real[BLOCK];
    int64_t whole[BLOCK];
} wide;

#define LOAD_WHOLE(dtype, type)                                                                    \
    case dtype:                                                                                    \
        for (int64_t i = 0; i < n; i++)                                                            \
            to->whole[i] = (int64_t)((const type *)in->data)[at + i];                              \
        break;

static void load(const lac_tensor *in, int64_t at, int64_t n, wide *to)
{
    float half[BLOCK];
    switch (in->dtype) {
        LAC_OP_EACH_INT(LOAD_WHOLE)
        LOAD_WHOLE(LAC_BOOL, uint8_t)
    case LAC_F32:
        for (int64_t i = 0; i < n; i++)
            to->real[i] = (double)((const float *)in->data)[at + i];
        break;
    case LAC_F64:
        memcpy(to->real, (const double *)in->data + at, (size_t)n * sizeof(double));
        break;
    default:
        lac_op_widen(in->dtype, (const uint16_t *)in->data + at, 1, half, n);
        for (int64_t i = 0; i < n; i++)
            to->real[i] = (double)half[i];
        break;
    }
}

/* Rounded to odd: rounding the result once more to fewer bits is as if done once. */
static float to_odd(double value)
{
    float rounded = (float)value;
    uint32_t bits;
    if ((double)rounded == value || value != value || isinf(rounded))
        return rounded;
    memcpy(&bits, &rounded, sizeof bits);
    bits -= fabs((double)rounded) > fabs(value);
    bits |= 1;
    memcpy(&rounded, &bits, sizeof bits);
    return rounded;
}

/* In range: above the type's low - 1, below its high + 1, both of which double holds exactly but
 * for 64 bits, where the limits themselves do as well. */
#define STORE_REAL(dtype, type)                                                                    \
    case dtype: {                                                                                  \
        const bool is_signed = (type)-1 < (type)1;                                                 \
        const double high = ldexp(1, (int)sizeof(type) * 8 - is_signed);                           \
        const double low = is_signed ? -high : 0;                                                  \
        const type most =                                                                          \
            (type)(is_signed ? ((UINT64_C(1) << (sizeof(type) * 8 - 1)) - 1) : UINT64_MAX);        \
        for (int64_t i = 0; i < n; i++) {                                                          \
            double v = trunc(from->real[i]);                                                       \
            ((type *)out->data)[at + i] = v >= high  ? most                                        \
                                          : v <= low ? (type)low                                   \
                                          : v != v   ? 0                                           \
                                                     : (type)v;                                      \
        }                                                                                          \
        break;                                                                                     \
    }

static void store_real(const wide *from, lac_tensor *out, int64_t at, int64_t n)
{
    float half[BLOCK];
    switch (out->dtype) {
        LAC_OP_EACH_INT(STORE_REAL)
    case LAC_BOOL:
        for (int64_t i = 0; i < n; i++)
            ((uint8_t *)out->data)[at + i] = from->real[i] != 0;
        break;
    case LAC_F32:
        for (int64_t i = 0; i < n; i++)
            ((float *)out->data)[at + i] = (float)from->real[i];
        break;
    case LAC_F64:
        memcpy((double *)out->data + at, from->real, (size_t)n * sizeof(double));
        break;
    default:
        for (int64_t i = 0; i < n; i++)
            half[i] = to_odd(from->real[i]);
        lac_op_narrow(out->dtype, half, (uint16_t *)out->data + at, n);
        break;
    }
}

#define STORE_WHOLE(dtype, type)                                                                   \
    case dtype:                                                                                    \
        for (int64_t i = 0; i < n; i++)                                                            \
            ((type *)out->data)[at + i] = (type)from->whole[i];                                    \
        break;

/* `is_unsigned`: the 64 bits are a uint64. */
static void store_whole(const wide *from, bool is_unsigned, lac_tensor *out, int64_t at, int64_t n)
{
    wide real;
    switch (out->dtype) {
        LAC_OP_EACH_INT(STORE_WHOLE)
    case LAC_BOOL:
        for (int64_t i = 0; i < n; i++)
            ((uint8_t *)out->data)[at + i] = from->whole[i] != 0;
        break;
    case LAC_F32: /* in one rounding */
        for (int64_t i = 0; i < n; i++)
            ((float *)out->data)[at + i] =
                is_unsigned ? (float)(uint64_t)from->whole[i] : (float)from->whole[i];
        break;
    default:
        for (int64_t i = 0; i < n; i++)
            real.real[i] = is_unsigned ? (double)(uint64_t)from->whole[i] : (double)from->whole[i];
        store_real(&real, out, at, n);
        break;
    }
}

typedef struct cast_job {
    const lac_tensor *in;
    lac_tensor *out;
} cast_job;

static void cast_part(void *context, int64_t begin, int64_t end)
{
    const cast_job *job = context;
    wide block;
    for (int64_t at = begin; at < end; at += BLOCK) {
        int64_t n = end - at < BLOCK ? end - at : BLOCK;
        load(job->in, at, n, &block);
        if (lac_dtype_is_float(job->in->dtype))
            store_real(&block, job->out, at, n);
        else
            store_whole(&block, job->in->dtype == LAC_U64, job->out, at, n);
    }
}

static lac_status run_cast(const lac_call *call, lac_error *err)
{
    cast_job job = {call->in[0], &call->out[0]};
    (void)err;
    if (job.in->dtype == job.out->dtype)
        lac_op_copy(call, 0, 0);
    else
        lac_parallel_for(lac_tensor_count(job.in), LAC_OP_GRAIN, cast_part, &job);
    return LAC_OK;
}

static lac_status infer_cast(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_ANY, err));
    int64_t to = lac_node_int(call->node, "to", LAC_NONE);
    if (to < 0 || to >= LAC_DTYPE_LIMIT || !(LAC_BIT(to) & LAC_OP_ANY))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "Cast: to is element type %lld (%s)",
                        (long long)to, lac_dtype_name((lac_dtype)(to & 255)));
    return lac_op_out(call, 0, (lac_dtype)to, call->in[0]->rank, call->in[0]->dims, err);
}

const lac_op lac_op_cast = {
    .row = LAC_ROW(lac_op, "Cast", "the elements in another type"),
    .domain = "",
    .since = 6,
    .dtypes = LAC_OP_ANY,
    .attributes = "to:int",
    .flags = LAC_OP_ELEMENTWISE,
    .infer = infer_cast,
    .run = run_cast,
    .gradient = lac_gradient_cast,
};

static lac_status infer_castlike(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 2, 2, LAC_OP_ANY, err));
    LAC_TRY(lac_op_type(call, 1, "target_type", LAC_OP_ANY, err));
    return lac_op_out(call, 0, call->in[1]->dtype, call->in[0]->rank, call->in[0]->dims, err);
}

const lac_op lac_op_castlike = {
    .row = LAC_ROW(lac_op, "CastLike", "the elements in the type of a second tensor"),
    .domain = "",
    .since = 15,
    .dtypes = LAC_OP_ANY,
    .attributes = "",
    .infer = infer_castlike,
    .run = run_cast,
};
