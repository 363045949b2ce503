/* Slice, Expand and Tile: strided copies. */
#include "op/common.h"

#include <string.h>

/* ---- Slice --------------------------------------------------------------------------------- */

typedef struct range {
    int64_t start, step, count;
} range;

/* Element positions start, start + step, ... within 0..size-1. Bounds are clamped as the
 * specification of Slice says: the start to a position (a step backwards from far before the
 * beginning thus finds element 0, unlike numpy), the end to one step outside. */
static range clamp(int64_t start, int64_t end, int64_t step, int64_t size)
{
    range r = {0, step, 0};
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
    start += start < 0 ? size : 0;
    end += end < 0 ? size : 0;
    start = start < 0 ? 0 : start > high ? high : start;
    end = end < low ? low : end > high ? high : end;
    if (step > 0 && end > start)
        r.count = (end - start - 1) / step + 1;
    if (step < 0 && start > end && size > 0)
        r.count = (start - end - 1) / -(step + (step == INT64_MIN)) + 1;
    r.start = r.count > 0 ? start : 0;
    return r;
}

/* One of the lists of Slice: attribute before opset 10, input from there; *n -1 where absent. */
static lac_status list(const lac_call *call, int input, const char *name, int64_t *values, int *n,
                       lac_error *err)
{
    int64_t count;
    const int64_t *attr = lac_node_ints(call->node, name, &count);
    *n = -1;
    if (lac_op_in(call, input))
        return lac_op_ints(call, input, name, LAC_MAX_RANK, values, n, err);
    if (!attr)
        return LAC_OK;
    if (count > LAC_MAX_RANK)
        return lac_fail(err, LAC_ERROR_INPUT, "Slice: %lld %s", (long long)count, name);
    memcpy(values, attr, (size_t)count * sizeof *values);
    *n = (int)count;
    return LAC_OK;
}

static lac_status slice_ranges(const lac_call *call, range *ranges, lac_error *err)
{
    int64_t starts[LAC_MAX_RANK], ends[LAC_MAX_RANK], axes[LAC_MAX_RANK], steps[LAC_MAX_RANK];
    int n, n_ends, n_axes, n_steps;
    bool is[LAC_MAX_RANK];
    const lac_tensor *in = call->in[0];
    LAC_TRY(list(call, 1, "starts", starts, &n, err));
    LAC_TRY(list(call, 2, "ends", ends, &n_ends, err));
    LAC_TRY(list(call, 3, "axes", axes, &n_axes, err));
    LAC_TRY(list(call, 4, "steps", steps, &n_steps, err));
    if (n < 0 || n_ends != n || (n_axes >= 0 && n_axes != n) || (n_steps >= 0 && n_steps != n) ||
        n > in->rank)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "Slice: starts, ends, axes, steps have %d, %d, %d, %d entries (-1: absent) "
                        "for rank %d",
                        n, n_ends, n_axes, n_steps, in->rank);
    for (int d = 0; d < in->rank; d++)
        ranges[d] = (range){0, 1, in->dims[d]};
    for (int i = 0; i < n && n_axes < 0; i++)
        axes[i] = i;
    LAC_TRY(lac_op_axes(n, axes, in->rank, is, err));
    for (int i = 0; i < n; i++) {
        int axis = (int)(axes[i] < 0 ? axes[i] + in->rank : axes[i]);
        int64_t step = n_steps < 0 ? 1 : steps[i];
        if (step == 0)
            return lac_fail(err, LAC_ERROR_INPUT, "Slice: steps[%d] is 0", i);
        ranges[axis] = clamp(starts[i], ends[i], step, in->dims[axis]);
    }
    return LAC_OK;
}

static lac_status infer_slice(const lac_call *call, lac_error *err)
{
    range ranges[LAC_MAX_RANK];
    int64_t dims[LAC_MAX_RANK];
    LAC_TRY(lac_op_inputs(call, 1, 5, LAC_OP_ANY, err));
    LAC_TRY(slice_ranges(call, ranges, err));
    for (int d = 0; d < call->in[0]->rank; d++)
        dims[d] = ranges[d].count;
    return lac_op_out(call, 0, call->in[0]->dtype, call->in[0]->rank, dims, err);
}

static lac_status run_slice(const lac_call *call, lac_error *err)
{
    range ranges[LAC_MAX_RANK];
    const lac_tensor *in = call->in[0];
    lac_walk walk = {.rank = in->rank, .operands = 2};
    int64_t strides[LAC_MAX_RANK], first = 0;
    LAC_TRY(slice_ranges(call, ranges, err));
    if (lac_tensor_count(&call->out[0]) == 0)
        return LAC_OK;
    lac_op_strides(in->rank, in->dims, strides);
    for (int d = 0; d < in->rank; d++) {
        first += ranges[d].start * strides[d];
        walk.dims[d] = ranges[d].count;
        walk.stride[1][d] = ranges[d].count > 1 ? strides[d] * ranges[d].step : 0;
    }
    lac_op_strides(in->rank, walk.dims, walk.stride[0]);
    size_t size = lac_op_size(in->dtype);
    lac_walk_copy(walk, size, call->out[0].data, (const char *)in->data + first * (int64_t)size);
    return LAC_OK;
}

const lac_op lac_op_slice = {
    .row = LAC_ROW(lac_op, "Slice", "a range of positions along some axes"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "axes:ints ends:ints starts:ints",
    .infer = infer_slice,
    .run = run_slice,
};

/* ---- Expand -------------------------------------------------------------------------------- */

static lac_status infer_expand(const lac_call *call, lac_error *err)
{
    int64_t wish[LAC_MAX_RANK], dims[LAC_MAX_RANK];
    int n;
    LAC_TRY(lac_op_inputs(call, 2, 2, LAC_OP_ANY, err));
    LAC_TRY(lac_op_ints(call, 1, "shape", LAC_MAX_RANK, wish, &n, err));
    const lac_tensor *in = call->in[0];
    int rank = in->rank > n ? in->rank : n;
    for (int d = 0; d < rank; d++) {
        int64_t a = d < rank - in->rank ? 1 : in->dims[d - (rank - in->rank)];
        int64_t b = d < rank - n ? 1 : wish[d - (rank - n)];
        if (b < 0 || (a != 1 && b != 1 && a != b))
            return lac_fail(err, LAC_ERROR_INPUT,
                            "Expand: size %lld does not expand to shape[%d] "
                            "= %lld",
                            (long long)a, d - (rank - n), (long long)b);
        dims[d] = a == 1 ? b : a;
    }
    return lac_op_out(call, 0, in->dtype, rank, dims, err);
}

static lac_status run_expand(const lac_call *call, lac_error *err)
{
    lac_walk walk;
    (void)err;
    lac_walk_broadcast(&walk, call->out[0].rank, call->out[0].dims, 1, call->in);
    lac_walk_copy(walk, lac_op_size(call->in[0]->dtype), call->out[0].data, call->in[0]->data);
    return LAC_OK;
}

const lac_op lac_op_expand = {
    .row = LAC_ROW(lac_op, "Expand", "broadcasts to a shape"),
    .domain = "",
    .since = 8,
    .dtypes = LAC_OP_ANY,
    .attributes = "",
    .infer = infer_expand,
    .run = run_expand,
};

/* ---- Tile ---------------------------------------------------------------------------------- */

static lac_status infer_tile(const lac_call *call, lac_error *err)
{
    int64_t repeats[LAC_MAX_RANK], dims[LAC_MAX_RANK];
    int n;
    LAC_TRY(lac_op_inputs(call, 2, 2, LAC_OP_ANY, err));
    LAC_TRY(lac_op_ints(call, 1, "repeats", LAC_MAX_RANK, repeats, &n, err));
    const lac_tensor *in = call->in[0];
    if (n != in->rank)
        return lac_fail(err, LAC_ERROR_INPUT, "Tile: %d repeats for rank %d", n, in->rank);
    for (int d = 0; d < n; d++)
        if (repeats[d] < 0 || __builtin_mul_overflow(in->dims[d], repeats[d], &dims[d]))
            return lac_fail(err, LAC_ERROR_INPUT, "Tile: repeats[%d] = %lld of size %lld", d,
                            (long long)repeats[d], (long long)in->dims[d]);
    return lac_op_out(call, 0, in->dtype, n, dims, err);
}

static lac_status run_tile(const lac_call *call, lac_error *err)
{
    const lac_tensor *in = call->in[0];
    const lac_tensor *out = &call->out[0];
    lac_walk walk = {.rank = 2 * in->rank, .operands = 2};
    int64_t from[LAC_MAX_RANK], to[LAC_MAX_RANK];
    (void)err;
    if (lac_tensor_count(out) == 0)
        return LAC_OK;
    lac_op_strides(in->rank, in->dims, from);
    lac_op_strides(out->rank, out->dims, to);
    for (int d = 0; d < in->rank; d++) { /* each dim is a repeat and a position */
        walk.dims[2 * d] = out->dims[d] / in->dims[d];
        walk.dims[2 * d + 1] = in->dims[d];
        walk.stride[0][2 * d] = to[d] * in->dims[d];
        walk.stride[0][2 * d + 1] = to[d];
        walk.stride[1][2 * d] = 0;
        walk.stride[1][2 * d + 1] = from[d];
    }
    lac_walk_copy(walk, lac_op_size(in->dtype), out->data, in->data);
    return LAC_OK;
}

const lac_op lac_op_tile = {
    .row = LAC_ROW(lac_op, "Tile", "repeats along each axis"),
    .domain = "",
    .since = 6,
    .dtypes = LAC_OP_ANY,
    .attributes = "",
    .infer = infer_tile,
    .run = run_tile,
};
