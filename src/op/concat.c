/* Concat and Split: whole tensors against pieces along one axis. Both are strided block copies. */
#include "op/common.h"

#include <string.h>

/* Copies rows of `bytes` between a piece and the whole, `outer` times. */
static void move(const lac_tensor *whole, const lac_tensor *piece, int axis, int64_t begin,
                 bool to_whole)
{
    size_t size = lac_op_size(whole->dtype);
    size_t inner = (size_t)lac_op_product(whole->dims, axis + 1, whole->rank) * size;
    size_t run = (size_t)piece->dims[axis] * inner, step = (size_t)whole->dims[axis] * inner;
    int64_t outer = lac_op_product(whole->dims, 0, axis);
    char *w = (char *)whole->data + (size_t)begin * inner, *p = piece->data;
    for (int64_t o = 0; run && o < outer; o++, w += step, p += run)
        memcpy(to_whole ? w : p, to_whole ? p : w, run);
}

static lac_status infer_concat(const lac_call *call, lac_error *err)
{
    int axis;
    int64_t dims[LAC_MAX_RANK];
    LAC_TRY(lac_op_inputs(call, 1, -1, LAC_OP_ANY, err));
    const lac_tensor *first = call->in[0];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 1), first->rank, &axis, err));
    memcpy(dims, first->dims, sizeof dims);
    for (int i = 1; i < call->n_in; i++) {
        const lac_tensor *in = call->in[i];
        if (!in || in->dtype != first->dtype || in->rank != first->rank)
            return lac_fail(err, LAC_ERROR_INPUT, "input %d: want the type and rank of input 0", i);
        for (int d = 0; d < in->rank; d++)
            if (d != axis && in->dims[d] != first->dims[d])
                return lac_fail(err, LAC_ERROR_INPUT,
                                "input %d: dimension %d is %lld, input 0 has "
                                "%lld",
                                i, d, (long long)in->dims[d], (long long)first->dims[d]);
        if (__builtin_add_overflow(dims[axis], in->dims[axis], &dims[axis]))
            return lac_fail(err, LAC_ERROR_INPUT, "the sizes along axis %d overflow", axis);
    }
    return lac_op_out(call, 0, first->dtype, first->rank, dims, err);
}

static lac_status run_concat(const lac_call *call, lac_error *err)
{
    int axis;
    int64_t begin = 0;
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 1), call->out[0].rank, &axis, err));
    for (int i = 0; i < call->n_in; i++) {
        move(&call->out[0], call->in[i], axis, begin, true);
        begin += call->in[i]->dims[axis];
    }
    return LAC_OK;
}

const lac_op lac_op_concat = {
    .row = LAC_ROW(lac_op, "Concat", "joins tensors along an axis"),
    .domain = "",
    .since = 4,
    .dtypes = LAC_OP_ANY,
    .attributes = "axis:int=1",
    .infer = infer_concat,
    .run = run_concat,
};

/* ---- Split: sizes are an attribute up to opset 12, then an input; none: equal parts
 * -------------- */

enum { PARTS = 256 };

static lac_status read_sizes(const lac_call *call, int axis, int64_t sizes[PARTS], lac_error *err)
{
    int64_t total = call->in[0]->dims[axis], n = 0, sum = 0;
    const int64_t *attribute = lac_node_ints(call->node, "split", &n);
    if (call->n_out > PARTS)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%d parts, limit %d", call->n_out, PARTS);
    if (lac_op_in(call, 1)) {
        int given;
        LAC_TRY(lac_op_ints(call, 1, "split", PARTS, sizes, &given, err));
        n = given;
    } else if (n > 0 && n <= PARTS) {
        memcpy(sizes, attribute, (size_t)n * sizeof *sizes);
    } else if (n == 0) {
        int64_t part = (total + call->n_out - 1) / call->n_out;
        for (; n < call->n_out; n++) {
            sizes[n] = part < total - sum ? part : total - sum;
            sum += sizes[n];
        }
        sum = 0;
    }
    for (int64_t i = 0; i < n && i < PARTS; i++)
        if (sizes[i] < 0 || __builtin_add_overflow(sum, sizes[i], &sum))
            return lac_fail(err, LAC_ERROR_INPUT, "split[%lld] = %lld", (long long)i,
                            (long long)sizes[i]);
    if (n != call->n_out || sum != total)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "%lld sizes of sum %lld for %d outputs and %lld elements along axis %d",
                        (long long)n, (long long)sum, call->n_out, (long long)total, axis);
    return LAC_OK;
}

static lac_status infer_split(const lac_call *call, lac_error *err)
{
    int axis;
    int64_t sizes[PARTS], dims[LAC_MAX_RANK];
    LAC_TRY(lac_op_inputs(call, 1, 2, LAC_OP_ANY, err));
    const lac_tensor *in = call->in[0];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), in->rank, &axis, err));
    LAC_TRY(read_sizes(call, axis, sizes, err));
    memcpy(dims, in->dims, sizeof dims);
    for (int i = 0; i < call->n_out; i++) {
        dims[axis] = sizes[i];
        LAC_TRY(lac_op_out(call, i, in->dtype, in->rank, dims, err));
    }
    return LAC_OK;
}

static lac_status run_split(const lac_call *call, lac_error *err)
{
    int axis;
    int64_t sizes[PARTS], begin = 0;
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), call->in[0]->rank, &axis, err));
    LAC_TRY(read_sizes(call, axis, sizes, err));
    for (int i = 0; i < call->n_out; i++) {
        if (lac_op_wanted(call, i))
            move(call->in[0], &call->out[i], axis, begin, false);
        begin += sizes[i];
    }
    return LAC_OK;
}

const lac_op lac_op_split = {
    .row = LAC_ROW(lac_op, "Split", "cuts a tensor into parts along an axis"),
    .domain = "",
    .since = 2,
    .dtypes = LAC_OP_ANY,
    .attributes = "axis:int=0 split:ints",
    .infer = infer_split,
    .run = run_split,
};
