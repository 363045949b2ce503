/* Trilu, CumSum, ReverseSequence: operators whose elements depend on their position along an
 * axis. */
#include "op/common.h"

#include <string.h>

/* ---- Trilu --------------------------------------------------------------------------------- */

static lac_status infer_trilu(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 2, LAC_OP_ANY, err));
    const lac_tensor *k = lac_op_in(call, 1);
    if (call->in[0]->rank < 2)
        return lac_fail(err, LAC_ERROR_INPUT, "Trilu: the input has rank %d, below 2",
                        call->in[0]->rank);
    if (k) {
        LAC_TRY(lac_op_type(call, 1, "k", LAC_BIT(LAC_I64), err));
        if (lac_tensor_count(k) != 1)
            return lac_fail(err, LAC_ERROR_INPUT, "Trilu: k has %lld elements, not 1",
                            (long long)lac_tensor_count(k));
    }
    return lac_op_out_same(call, err);
}

static lac_status run_trilu(const lac_call *call, lac_error *err)
{
    const lac_tensor *in = call->in[0];
    bool upper = lac_node_int(call->node, "upper", 1) != 0;
    int64_t k = lac_op_in(call, 1) ? lac_op_index(call->in[1], 0) : 0;
    int64_t columns = in->dims[in->rank - 1], rows = in->dims[in->rank - 2];
    size_t size = lac_op_size(in->dtype);
    (void)err;
    if (lac_tensor_count(in) == 0)
        return LAC_OK;
    lac_op_copy(call, 0, 0);
    for (int64_t row = 0, n = lac_tensor_count(in) / columns; row < n; row++) {
        char *target = (char *)call->out[0].data + (size_t)(row * columns) * size;
        /* The kept columns begin (upper) or end (lower, + 1) here. */
        int64_t edge;
        if (__builtin_add_overflow(row % rows + !upper, k, &edge))
            edge = INT64_MAX;
        edge = edge < 0 ? 0 : edge > columns ? columns : edge;
        if (upper)
            memset(target, 0, (size_t)edge * size);
        else
            memset(target + (size_t)edge * size, 0, (size_t)(columns - edge) * size);
    }
    return LAC_OK;
}

const lac_op lac_op_trilu = {
    .row = LAC_ROW(lac_op, "Trilu", "upper or lower triangle of matrices, 0 elsewhere"),
    .domain = "",
    .since = 14,
    .dtypes = LAC_OP_ANY,
    .attributes = "upper:int=1",
    .flags = LAC_OP_INPLACE,
    .infer = infer_trilu,
    .run = run_trilu,
};

/* ---- CumSum -------------------------------------------------------------------------------- */

static lac_status infer_cumsum(const lac_call *call, lac_error *err)
{
    int axis;
    LAC_TRY(lac_op_inputs(call, 2, 2, LAC_OP_NUMBERS, err));
    LAC_TRY(lac_op_type(call, 1, "axis", LAC_OP_INDEX, err));
    if (lac_tensor_count(call->in[1]) != 1)
        return lac_fail(err, LAC_ERROR_INPUT, "CumSum: axis has %lld elements, not 1",
                        (long long)lac_tensor_count(call->in[1]));
    if (call->in[1]->data)
        LAC_TRY(lac_op_axis(lac_op_index(call->in[1], 0), call->in[0]->rank, &axis, err));
    return lac_op_out_same(call, err);
}

#define CUMSUM(type, sum_type)                                                                     \
    {                                                                                              \
        sum_type sum = 0;                                                                          \
        for (int64_t j = 0; j < length; j++) {                                                     \
            int64_t i = base + (reverse ? length - 1 - j : j) * inner;                             \
            sum_type element = (sum_type)((const type *)in->data)[i];                              \
            ((type *)out->data)[i] = (type)(exclusive ? sum : sum + element);                      \
            sum += element;                                                                        \
        }                                                                                          \
        break;                                                                                     \
    }
#define CUMSUM_INT(dtype, type)                                                                    \
    case dtype:                                                                                    \
        CUMSUM(type, uint64_t)

static lac_status run_cumsum(const lac_call *call, lac_error *err)
{
    int axis;
    const lac_tensor *in = call->in[0];
    lac_tensor *out = &call->out[0];
    bool exclusive = lac_node_int(call->node, "exclusive", 0) != 0;
    bool reverse = lac_node_int(call->node, "reverse", 0) != 0;
    LAC_TRY(lac_op_axis(lac_op_index(call->in[1], 0), in->rank, &axis, err));
    if (lac_tensor_count(in) == 0)
        return LAC_OK;
    int64_t length = in->dims[axis], inner = lac_op_product(in->dims, axis + 1, in->rank);
    for (int64_t lane = 0, n = lac_tensor_count(in) / length; lane < n; lane++) {
        int64_t base = lane / inner * length * inner + lane % inner;
        switch (in->dtype) {
            LAC_OP_EACH_INT(CUMSUM_INT)
        case LAC_F32:
            CUMSUM(float, float)
        case LAC_F64:
            CUMSUM(double, double)
        default: {
            float sum = 0;
            for (int64_t j = 0; j < length; j++) {
                int64_t i = base + (reverse ? length - 1 - j : j) * inner;
                float element = (float)lac_tensor_get(in, i);
                lac_tensor_set(out, i, (double)(exclusive ? sum : sum + element));
                sum += element;
            }
            break;
        }
        }
    }
    return LAC_OK;
}

const lac_op lac_op_cumsum = {
    .row = LAC_ROW(lac_op, "CumSum", "running sums along an axis"),
    .domain = "",
    .since = 11,
    .dtypes = LAC_OP_NUMBERS,
    .attributes = "exclusive:int=0 reverse:int=0",
    .flags = LAC_OP_INPLACE,
    .infer = infer_cumsum,
    .run = run_cumsum,
};

/* ---- ReverseSequence ----------------------------------------------------------------------- */

static lac_status infer_reverse(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 2, 2, LAC_OP_ANY, err));
    LAC_TRY(lac_op_type(call, 1, "sequence_lens", LAC_BIT(LAC_I64), err));
    const lac_tensor *in = call->in[0], *lengths = call->in[1];
    int64_t time = lac_node_int(call->node, "time_axis", 0);
    int64_t batch = lac_node_int(call->node, "batch_axis", 1);
    if (in->rank < 2 || time + batch != 1 || time * batch != 0)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "ReverseSequence: time_axis %lld and batch_axis %lld of rank %d",
                        (long long)time, (long long)batch, in->rank);
    if (lengths->rank != 1 || lengths->dims[0] != in->dims[batch])
        return lac_fail(err, LAC_ERROR_INPUT,
                        "ReverseSequence: sequence_lens does not have one entry per batch");
    return lac_op_out_same(call, err);
}

static lac_status run_reverse(const lac_call *call, lac_error *err)
{
    const lac_tensor *in = call->in[0], *lengths = call->in[1];
    bool time_first = lac_node_int(call->node, "time_axis", 0) == 0;
    int64_t times = in->dims[time_first ? 0 : 1], batches = in->dims[time_first ? 1 : 0];
    if (lac_tensor_count(in) == 0)
        return LAC_OK;
    size_t run = (size_t)lac_op_product(in->dims, 2, in->rank) * lac_op_size(in->dtype);
    for (int64_t b = 0; b < batches; b++) {
        int64_t length = lac_op_index(lengths, b);
        if (length < 0 || length > times)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "ReverseSequence: sequence_lens[%lld] is %lld, outside 0..%lld",
                            (long long)b, (long long)length, (long long)times);
        for (int64_t t = 0; t < times; t++) {
            int64_t from = t < length ? length - 1 - t : t;
            int64_t target = time_first ? t * batches + b : b * times + t;
            int64_t source = time_first ? from * batches + b : b * times + from;
            memcpy((char *)call->out[0].data + (size_t)target * run,
                   (const char *)in->data + (size_t)source * run, run);
        }
    }
    return LAC_OK;
}

const lac_op lac_op_reverse_sequence = {
    .row = LAC_ROW(lac_op, "ReverseSequence", "the first steps of each sequence backwards"),
    .domain = "",
    .since = 10,
    .dtypes = LAC_OP_ANY,
    .attributes = "batch_axis:int=1 time_axis:int=0",
    .infer = infer_reverse,
    .run = run_reverse,
};
