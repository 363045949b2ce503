/* Concat and Split: both are copies of blocks between a whole and its parts along an axis. */
#include "op/common.h"

#include <string.h>

/* Copies `rows` runs of `run` elements, `to` and `from` elements apart. */
static void copy_blocks(size_t size, int64_t rows, int64_t run, void *target, int64_t to,
                        const void *source, int64_t from)
{
    lac_walk walk = {.rank = 2, .dims = {rows, run}, .stride = {{to, 1}, {from, 1}}};
    lac_walk_copy(walk, size, target, source);
}

static lac_status infer_concat(const lac_call *call, lac_error *err)
{
    int axis;
    int64_t dims[LAC_MAX_RANK];
    LAC_TRY(lac_op_inputs(call, 1, -1, LAC_OP_ANY, err));
    const lac_tensor *first = call->in[0];
    if (!lac_node_attr(call->node, "axis"))
        return lac_fail(err, LAC_ERROR_INPUT, "Concat: attribute axis is missing");
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), first->rank, &axis, err));
    memcpy(dims, first->dims, sizeof dims);
    for (int i = 1; i < call->n_in; i++) {
        const lac_tensor *in = call->in[i];
        if (!in)
            return lac_fail(err, LAC_ERROR_INPUT, "Concat: input %d is absent", i);
        LAC_TRY(lac_op_type(call, i, "inputs", LAC_BIT(first->dtype), err));
        bool same = in->rank == first->rank;
        for (int d = 0; d < first->rank && same; d++)
            same = d == axis || in->dims[d] == first->dims[d];
        if (!same)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "Concat: the shape of input %d differs from input 0 beside axis %d", i,
                            axis);
        if (__builtin_add_overflow(dims[axis], in->dims[axis], &dims[axis]))
            return lac_fail(err, LAC_ERROR_INPUT, "Concat: the size along axis %d overflows", axis);
    }
    return lac_op_out(call, 0, first->dtype, first->rank, dims, err);
}

static lac_status run_concat(const lac_call *call, lac_error *err)
{
    int axis;
    lac_tensor *out = &call->out[0];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), out->rank, &axis, err));
    if (lac_tensor_count(out) == 0)
        return LAC_OK;
    size_t size = lac_op_size(out->dtype);
    int64_t rows = lac_op_product(out->dims, 0, axis);
    int64_t whole = lac_op_product(out->dims, axis, out->rank), at = 0;
    for (int i = 0; i < call->n_in; i++) {
        int64_t run = lac_op_product(call->in[i]->dims, axis, out->rank);
        copy_blocks(size, rows, run, (char *)out->data + at * (int64_t)size, whole,
                    call->in[i]->data, run);
        at += run;
    }
    return LAC_OK;
}

const lac_op lac_op_concat = {
    .row = LAC_ROW(lac_op, "Concat", "tensors one after the other along an axis"),
    .domain = "",
    .since = 4,
    .dtypes = LAC_OP_ANY,
    .attributes = "axis:int",
    .infer = infer_concat,
    .run = run_concat,
};

/* Size of part `i`: from the attribute (before opset 13), the input, or equal parts. */
static lac_status part_size(const lac_call *call, int axis, int i, int64_t *size, lac_error *err)
{
    int64_t n;
    const int64_t *attr = lac_node_ints(call->node, "split", &n);
    const lac_tensor *in = call->in[0], *split = lac_op_in(call, 1);
    if (attr || split) {
        if (split) {
            LAC_TRY(lac_op_type(call, 1, "split", LAC_OP_INDEX, err));
            n = lac_tensor_count(split);
            if (!split->data && n > 0)
                return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                                "Split: shape depends on data of input 'split'");
        }
        if (n != call->n_out)
            return lac_fail(err, LAC_ERROR_INPUT, "Split: %lld sizes for %d outputs", (long long)n,
                            call->n_out);
        *size = split ? lac_op_index(split, i) : attr[i];
        if (*size < 0)
            return lac_fail(err, LAC_ERROR_INPUT, "Split: split[%d] is %lld", i, (long long)*size);
        return LAC_OK;
    }
    if (in->dims[axis] % call->n_out != 0)
        return lac_fail(err, LAC_ERROR_INPUT, "Split: size %lld does not divide into %d parts",
                        (long long)in->dims[axis], call->n_out);
    *size = in->dims[axis] / call->n_out;
    return LAC_OK;
}

static lac_status infer_split(const lac_call *call, lac_error *err)
{
    int axis;
    int64_t dims[LAC_MAX_RANK], size = 0, sum = 0;
    LAC_TRY(lac_op_inputs(call, 1, 2, LAC_OP_ANY, err));
    const lac_tensor *in = call->in[0];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), in->rank, &axis, err));
    memcpy(dims, in->dims, sizeof dims);
    for (int i = 0; i < call->n_out; i++) {
        LAC_TRY(part_size(call, axis, i, &size, err));
        dims[axis] = size;
        if (__builtin_add_overflow(sum, size, &sum) || sum > in->dims[axis])
            return lac_fail(err, LAC_ERROR_INPUT, "Split: the sizes exceed %lld",
                            (long long)in->dims[axis]);
        LAC_TRY(lac_op_out(call, i, in->dtype, in->rank, dims, err));
    }
    if (sum != in->dims[axis])
        return lac_fail(err, LAC_ERROR_INPUT, "Split: the sizes add up to %lld, not %lld",
                        (long long)sum, (long long)in->dims[axis]);
    return LAC_OK;
}

static lac_status run_split(const lac_call *call, lac_error *err)
{
    int axis;
    const lac_tensor *in = call->in[0];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), in->rank, &axis, err));
    if (lac_tensor_count(in) == 0)
        return LAC_OK;
    size_t size = lac_op_size(in->dtype);
    int64_t rows = lac_op_product(in->dims, 0, axis), along = 0, at = 0;
    int64_t whole = lac_op_product(in->dims, axis, in->rank);
    for (int i = 0; i < call->n_out; i++) {
        LAC_TRY(part_size(call, axis, i, &along, err));
        int64_t run = along * lac_op_product(in->dims, axis + 1, in->rank);
        if (lac_op_wanted(call, i))
            copy_blocks(size, rows, run, call->out[i].data, run,
                        (const char *)in->data + at * (int64_t)size, whole);
        at += run;
    }
    return LAC_OK;
}

const lac_op lac_op_split = {
    .row = LAC_ROW(lac_op, "Split", "parts of a tensor along an axis"),
    .domain = "",
    .since = 2,
    .dtypes = LAC_OP_ANY,
    .attributes = "axis:int=0 split:ints",
    .infer = infer_split,
    .run = run_split,
};
