/* Slice and Pad: a box cut out of a tensor, a tensor put into a larger box. */
#include "op/common.h"

#include <string.h>

/* ---- Slice: bounds are attributes before opset 10, then inputs
 * ----------------------------------- */

typedef struct box {
    int64_t begin[LAC_MAX_RANK], step[LAC_MAX_RANK], size[LAC_MAX_RANK];
} box;

static lac_status read_list(const lac_call *call, int input, const char *name, int64_t *values,
                            int *n, lac_error *err)
{
    int64_t count = 0;
    *n = 0;
    if (call->opset >= 10)
        return lac_op_in(call, input) ? lac_op_ints(call, input, name, LAC_MAX_RANK, values, n, err)
                                      : LAC_OK;
    const int64_t *list = lac_node_ints(call->node, name, &count);
    if (count > LAC_MAX_RANK)
        return lac_fail(err, LAC_ERROR_INPUT, "%s has %lld entries, limit %d", name,
                        (long long)count, LAC_MAX_RANK);
    if (count > 0)
        memcpy(values, list, (size_t)count * sizeof *values);
    *n = (int)count;
    return LAC_OK;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static lac_status read_box(const lac_call *call, box *b, lac_error *err)
{
    int64_t starts[LAC_MAX_RANK], ends[LAC_MAX_RANK], axes[LAC_MAX_RANK], steps[LAC_MAX_RANK];
    int n_starts, n_ends, n_axes, n_steps, axis;
    bool is[LAC_MAX_RANK];
    const lac_tensor *in = call->in[0];
    LAC_TRY(read_list(call, 1, "starts", starts, &n_starts, err));
    LAC_TRY(read_list(call, 2, "ends", ends, &n_ends, err));
    LAC_TRY(read_list(call, 3, "axes", axes, &n_axes, err));
    LAC_TRY(read_list(call, 4, "steps", steps, &n_steps, err));
    if (n_starts != n_ends || (n_axes && n_axes != n_starts) || (n_steps && n_steps != n_starts))
        return lac_fail(err, LAC_ERROR_INPUT, "%d starts, %d ends, %d axes, %d steps", n_starts,
                        n_ends, n_axes, n_steps);
    for (int i = 0; !n_axes && i < n_starts; i++)
        axes[i] = i;
    LAC_TRY(lac_op_axes(n_starts, axes, in->rank, is, err));
    for (int d = 0; d < in->rank; d++) {
        b->begin[d] = 0;
        b->step[d] = 1;
        b->size[d] = in->dims[d];
    }
    for (int i = 0; i < n_starts; i++) {
        LAC_TRY(lac_op_axis(axes[i], in->rank, &axis, err));
        int64_t n = in->dims[axis], step = n_steps ? steps[i] : 1;
        if (step == 0 || step == INT64_MIN)
            return lac_fail(err, LAC_ERROR_INPUT, "steps[%d] = %lld", i, (long long)step);
        int64_t start = starts[i] < 0 ? clamp(starts[i], -n, 0) + n : starts[i];
        int64_t end = ends[i] < 0 ? clamp(ends[i], -n - 1, 0) + n : ends[i];
        start = clamp(start, 0, step > 0 ? n : n - 1);
        end = clamp(end, step > 0 ? 0 : -1, n);
        int64_t span = step > 0 ? end - start : start - end, stride = step > 0 ? step : -step;
        b->begin[axis] = start;
        b->step[axis] = step;
        b->size[axis] = span > 0 && n > 0 ? (span - 1) / stride + 1 : 0;
    }
    return LAC_OK;
}

static lac_status infer_slice(const lac_call *call, lac_error *err)
{
    box b;
    LAC_TRY(lac_op_inputs(call, 1, 5, LAC_OP_ANY, err));
    LAC_TRY(read_box(call, &b, err));
    return lac_op_out(call, 0, call->in[0]->dtype, call->in[0]->rank, b.size, err);
}

static lac_status run_slice(const lac_call *call, lac_error *err)
{
    box b;
    const lac_tensor *in = call->in[0];
    lac_walk walk = {.rank = in->rank, .operands = 2};
    int64_t strides[LAC_MAX_RANK], base = 0;
    LAC_TRY(read_box(call, &b, err));
    if (lac_tensor_count(&call->out[0]) == 0)
        return LAC_OK;
    lac_op_strides(in->rank, in->dims, strides);
    for (int d = 0; d < in->rank; d++) {
        walk.dims[d] = b.size[d];
        /* a step is taken only between two elements: a lone one must not overflow */
        walk.stride[1][d] = b.size[d] > 1 ? strides[d] * b.step[d] : 0;
        base += b.begin[d] * strides[d];
    }
    lac_op_strides(in->rank, b.size, walk.stride[0]);
    size_t size = lac_op_size(in->dtype);
    lac_walk_copy(walk, size, call->out[0].data, (const char *)in->data + (size_t)base * size);
    return LAC_OK;
}

const lac_op lac_op_slice = {
    .row = LAC_ROW(lac_op, "Slice", "a box of the tensor, with steps"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "starts:ints ends:ints axes:ints",
    .infer = infer_slice,
    .run = run_slice,
};

/* ---- Pad: sizes and value are attributes before opset 11, then inputs
 * ----------------------------- */

typedef enum pad_mode { CONSTANT, EDGE, REFLECT } pad_mode;

static lac_status read_pads(const lac_call *call, int64_t *pads, pad_mode *mode, lac_error *err)
{
    int rank = call->in[0]->rank, n = 0;
    int64_t count = 0;
    const char *name = lac_node_string(call->node, "mode", "constant");
    *mode = strcmp(name, "edge") == 0 ? EDGE : strcmp(name, "reflect") == 0 ? REFLECT : CONSTANT;
    if (*mode == CONSTANT && strcmp(name, "constant") != 0)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "mode '%s'", name);
    if (call->opset >= 11) {
        if (!lac_op_in(call, 1))
            return lac_fail(err, LAC_ERROR_INPUT, "input 'pads' is missing");
        LAC_TRY(lac_op_ints(call, 1, "pads", 2 * LAC_MAX_RANK, pads, &n, err));
    } else {
        const int64_t *list = lac_node_ints(call->node, "pads", &count);
        n = count <= 2 * LAC_MAX_RANK ? (int)count : -1;
        if (n > 0)
            memcpy(pads, list, (size_t)n * sizeof *pads);
    }
    if (n != 2 * rank)
        return lac_fail(err, LAC_ERROR_INPUT, "%d pads for rank %d, want %d", n, rank, 2 * rank);
    return LAC_OK;
}

static lac_status infer_pad(const lac_call *call, lac_error *err)
{
    int64_t pads[2 * LAC_MAX_RANK], dims[LAC_MAX_RANK];
    pad_mode mode = CONSTANT;
    LAC_TRY(lac_op_inputs(call, 1, 4, LAC_OP_ANY, err));
    LAC_TRY(read_pads(call, pads, &mode, err));
    const lac_tensor *in = call->in[0];
    for (int d = 0; d < in->rank; d++) {
        int64_t before = pads[d], after = pads[d + in->rank], n = in->dims[d];
        if (__builtin_add_overflow(n, before, &dims[d]) ||
            __builtin_add_overflow(dims[d], after, &dims[d]) || dims[d] < 0)
            return lac_fail(err, LAC_ERROR_INPUT, "dimension %d: %lld + %lld + %lld", d,
                            (long long)before, (long long)n, (long long)after);
        int64_t most = before > after ? before : after;
        if (dims[d] > 0 && ((mode == EDGE && n == 0) || (mode == REFLECT && most > 0 && most >= n)))
            return lac_fail(err, LAC_ERROR_INPUT, "dimension %d: cannot pad %lld elements by %lld",
                            d, (long long)n, (long long)most);
    }
    return lac_op_out(call, 0, in->dtype, in->rank, dims, err);
}

/* The source position along one dimension; -1: outside (constant). */
static int64_t source_of(int64_t at, int64_t n, pad_mode mode)
{
    if (at >= 0 && at < n)
        return at;
    if (mode == CONSTANT)
        return -1;
    if (mode == EDGE)
        return at < 0 ? 0 : n - 1;
    at = at < 0 ? -at : 2 * (n - 1) - at;
    return at < 0 || at >= n ? -1 : at; /* negative pads beside a reflection */
}

static lac_status run_pad(const lac_call *call, lac_error *err)
{
    int64_t pads[2 * LAC_MAX_RANK], strides[LAC_MAX_RANK];
    pad_mode mode = CONSTANT;
    const lac_tensor *in = call->in[0], *given = lac_op_in(call, 2);
    lac_tensor *out = &call->out[0];
    size_t size = lac_op_size(in->dtype);
    int64_t count = lac_tensor_count(out), last = in->rank > 0 ? out->dims[in->rank - 1] : 1;
    LAC_TRY(read_pads(call, pads, &mode, err));
    lac_op_strides(in->rank, in->dims, strides);
    lac_tensor fill = {0};
    LAC_TRY(lac_tensor_make(&fill, in->dtype, 0, NULL, err));
    if (given && call->opset >= 11)
        memcpy(fill.data, given->data, size);
    else
        lac_tensor_set(&fill, 0, (double)lac_node_float(call->node, "value", 0));
    for (int64_t row = 0; last > 0 && row < count / last; row++) {
        int64_t rest = row, base = 0;
        bool outside = false;
        for (int d = in->rank - 2; d >= 0; d--) {
            int64_t at = source_of(rest % out->dims[d] - pads[d], in->dims[d], mode);
            rest /= out->dims[d];
            outside |= at < 0;
            base += at * strides[d];
        }
        char *to = (char *)out->data + (size_t)(row * last) * size;
        for (int64_t i = 0; i < last; i++) {
            int64_t at =
                in->rank == 0 ? 0 : source_of(i - pads[in->rank - 1], in->dims[in->rank - 1], mode);
            memcpy(to + (size_t)i * size,
                   outside || at < 0 ? fill.data
                                     : (const char *)in->data + (size_t)(base + at) * size,
                   size);
        }
    }
    lac_tensor_release(&fill);
    return LAC_OK;
}

const lac_op lac_op_pad = {
    .row = LAC_ROW(lac_op, "Pad", "puts elements around (or takes them off) each side"),
    .domain = "",
    .since = 2,
    .dtypes = LAC_OP_ANY,
    .attributes = "mode:string=constant pads:ints value:float=0",
    .infer = infer_pad,
    .run = run_pad,
};
