/* Checks and geometry of the operators of neural layers. */
#include "op/nn.h"

#include "core/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

lac_tensor *lac_nn_out(const lac_call *call, int i)
{
    return i < call->n_out && call->out[i].dtype != LAC_NONE ? &call->out[i] : NULL;
}

lac_status lac_nn_count(const lac_call *call, int least, int most, int outputs, lac_error *err)
{
    if (call->n_in < least || call->n_in > most)
        return lac_fail(err, LAC_ERROR_INPUT, "%d inputs, want %d..%d", call->n_in, least, most);
    for (int i = 0; i < least; i++)
        if (!call->in[i])
            return lac_fail(err, LAC_ERROR_INPUT, "input %d is missing", i);
    if (call->n_out < 1 || call->n_out > outputs)
        return lac_fail(err, LAC_ERROR_INPUT, "%d outputs, want 1..%d", call->n_out, outputs);
    return LAC_OK;
}

lac_status lac_nn_dtype(const lac_call *call, int i, uint32_t set, lac_error *err)
{
    const lac_tensor *tensor = lac_op_in(call, i);
    if (tensor && ((unsigned)tensor->dtype >= LAC_DTYPE_LIMIT || !(set & LAC_BIT(tensor->dtype))))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "input %d is %s: not supported here", i,
                        lac_dtype_name(tensor->dtype));
    return LAC_OK;
}

lac_status lac_nn_same(const lac_call *call, int i, lac_error *err)
{
    const lac_tensor *tensor = lac_op_in(call, i);
    if (tensor && tensor->dtype != call->in[0]->dtype)
        return lac_fail(err, LAC_ERROR_INPUT, "input %d is %s, input 0 is %s", i,
                        lac_dtype_name(tensor->dtype), lac_dtype_name(call->in[0]->dtype));
    return LAC_OK;
}

lac_status lac_nn_shape(const lac_call *call, int i, int rank, const int64_t *dims,
                        const char *what, lac_error *err)
{
    const lac_tensor *tensor = lac_op_in(call, i);
    char text[160];
    if (!tensor)
        return LAC_OK;
    if (tensor->rank != rank)
        return lac_fail(err, LAC_ERROR_INPUT, "%s (input %d) is %s, want rank %d", what, i,
                        lac_tensor_text(tensor, text, sizeof text), rank);
    for (int d = 0; d < rank; d++)
        if (dims[d] >= 0 && dims[d] != tensor->dims[d])
            return lac_fail(err, LAC_ERROR_INPUT,
                            "%s (input %d) is %s, want %" PRId64 " in dimension %d", what, i,
                            lac_tensor_text(tensor, text, sizeof text), dims[d], d);
    return LAC_OK;
}

lac_status lac_nn_axis(int64_t axis, int rank, bool end, int *result, lac_error *err)
{
    int64_t last = rank - 1 + end;
    if (axis < -rank || axis > last)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "axis is %" PRId64 ", outside %d..%" PRId64 " of the rank %d input", axis,
                        -rank, last, rank);
    *result = (int)(axis < 0 ? axis + rank : axis);
    return LAC_OK;
}

/* ---- half precision through float32 -------------------------------------------------------- */

enum { MOST = 16 }; /* inputs of the operators that use this, with room */

static bool is_half(const lac_tensor *tensor)
{
    return tensor && tensor->data && (tensor->dtype == LAC_F16 || tensor->dtype == LAC_BF16);
}

lac_status lac_nn_widened(const lac_call *call, lac_status (*run)(const lac_call *, lac_error *),
                          lac_error *err)
{
    lac_tensor in[MOST], out[MOST];
    const lac_tensor *in_list[MOST];
    if (!is_half(call->in[0]))
        return run(call, err);
    if (call->n_in > MOST || call->n_out > MOST)
        return lac_fail(err, LAC_ERROR_INPUT, "more than %d inputs or outputs", MOST);
    memset(in, 0, sizeof in);
    memset(out, 0, sizeof out);
    lac_status status = LAC_OK;
    for (int i = 0; i < call->n_in && status == LAC_OK; i++) {
        in_list[i] = call->in[i];
        if (is_half(call->in[i])) {
            status = lac_tensor_convert(&in[i], LAC_F32, call->in[i], err);
            in_list[i] = &in[i];
        }
    }
    for (int i = 0; i < call->n_out && status == LAC_OK; i++) {
        const lac_tensor *to = &call->out[i];
        if (is_half(to))
            status = lac_tensor_make(&out[i], LAC_F32, to->rank, to->dims, err);
        else
            out[i] = lac_tensor_view(to->dtype, to->rank, to->dims, to->data);
    }
    if (status == LAC_OK) {
        lac_call wide = *call;
        wide.in = in_list;
        wide.out = out;
        status = run(&wide, err);
    }
    for (int i = 0; i < call->n_out && status == LAC_OK; i++)
        if (is_half(&call->out[i])) {
            int64_t count = lac_tensor_count(&out[i]);
            const float *from = out[i].data;
            for (int64_t k = 0; k < count; k++)
                lac_tensor_set(&call->out[i], k, (double)from[k]);
        }
    for (int i = 0; i < MOST; i++) {
        lac_tensor_release(&in[i]);
        lac_tensor_release(&out[i]);
    }
    return status;
}

/* ---- sliding windows ----------------------------------------------------------------------- */

/* Every size in here stays below this, so that sums of a few products of two cannot overflow. */
#define WINDOW_LIMIT (INT64_C(1) << 30)

static lac_status read_list(const lac_call *call, const char *name, int axes, int64_t initial,
                            int64_t least, int64_t *values, lac_error *err)
{
    int64_t n;
    const int64_t *ints = lac_node_ints(call->node, name, &n);
    for (int i = 0; i < 3; i++)
        values[i] = initial;
    if (!ints || n == 0)
        return LAC_OK;
    if (n != axes)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "%s has %" PRId64 " entries, want %d (one per spatial axis)", name, n,
                        axes);
    for (int i = 0; i < axes; i++) {
        if (ints[i] < least || ints[i] > WINDOW_LIMIT)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "%s[%d] is %" PRId64 ", outside %" PRId64 "..%" PRId64, name, i,
                            ints[i], least, WINDOW_LIMIT);
        values[3 - axes + i] = ints[i];
    }
    return LAC_OK;
}

static lac_status read_pads(const lac_call *call, lac_window *w, lac_error *err)
{
    int64_t n;
    const int64_t *pads = lac_node_ints(call->node, "pads", &n);
    if (!pads || n == 0)
        return LAC_OK;
    if (n != 2 * w->axes)
        return lac_fail(err, LAC_ERROR_INPUT, "pads has %" PRId64 " entries, want %d", n,
                        2 * w->axes);
    for (int i = 0; i < 2 * w->axes; i++) {
        if (pads[i] < 0 || pads[i] > WINDOW_LIMIT)
            return lac_fail(err, LAC_ERROR_INPUT, "pads[%d] is %" PRId64 ", outside 0..%" PRId64, i,
                            pads[i], WINDOW_LIMIT);
        if (i < w->axes)
            w->pad[3 - w->axes + i] = pads[i];
        else
            w->pad_end[3 - w->axes + i - w->axes] = pads[i];
    }
    return LAC_OK;
}

/* SAME_*: as many outputs as ceil(in / stride), the padding split evenly, the odd one at the end
 * (UPPER) or at the beginning (LOWER). */
static void pad_same(lac_window *w, int axis, bool upper)
{
    int64_t span = (w->kernel[axis] - 1) * w->dilation[axis] + 1;
    int64_t out = (w->in[axis] + w->stride[axis] - 1) / w->stride[axis];
    int64_t total = (out - 1) * w->stride[axis] + span - w->in[axis];
    if (total < 0)
        total = 0;
    w->pad[axis] = upper ? total / 2 : (total + 1) / 2;
    w->pad_end[axis] = total - w->pad[axis];
}

lac_status lac_window_read(const lac_call *call, lac_window *w, int rank, const int64_t *dims,
                           const int64_t *kernel, bool pooling, lac_error *err)
{
    memset(w, 0, sizeof *w);
    w->axes = rank - 2;
    if (rank < 3 || rank > 5)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "the input has rank %d; 1 to 3 spatial axes (rank 3 to 5) are done", rank);
    for (int i = 0; i < 3; i++)
        w->in[i] = w->kernel[i] = 1;
    for (int i = 0; i < w->axes; i++) {
        w->in[3 - w->axes + i] = dims[2 + i];
        w->kernel[3 - w->axes + i] = kernel[i];
        if (dims[2 + i] > WINDOW_LIMIT || kernel[i] > WINDOW_LIMIT || kernel[i] < 1)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "kernel size %" PRId64 " over an input of %" PRId64
                            ": outside 1..%" PRId64,
                            kernel[i], dims[2 + i], WINDOW_LIMIT);
    }
    LAC_TRY(read_list(call, "strides", w->axes, 1, 1, w->stride, err));
    LAC_TRY(read_list(call, "dilations", w->axes, 1, 1, w->dilation, err));
    const char *mode = lac_node_string(call->node, "auto_pad", "NOTSET");
    bool same = strcmp(mode, "SAME_UPPER") == 0 || strcmp(mode, "SAME_LOWER") == 0;
    if (strcmp(mode, "NOTSET") == 0)
        LAC_TRY(read_pads(call, w, err));
    else if (!same && strcmp(mode, "VALID") != 0)
        return lac_fail(err, LAC_ERROR_INPUT, "auto_pad is '%s'", mode);
    bool ceiling = pooling && lac_node_int(call->node, "ceil_mode", 0) != 0;
    for (int i = 0; i < 3; i++) {
        int64_t span = (w->kernel[i] - 1) * w->dilation[i] + 1;
        if (same && i >= 3 - w->axes)
            pad_same(w, i, mode[5] == 'U');
        int64_t room = w->in[i] + w->pad[i] + w->pad_end[i] - span;
        if (room < 0)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "the kernel spans %" PRId64 " of an input of %" PRId64
                            " with pads %" PRId64 " and %" PRId64 " (spatial axis %d)",
                            span, w->in[i], w->pad[i], w->pad_end[i], i - 3 + w->axes);
        w->out[i] = room / w->stride[i] + 1;
        /* a window that would begin past the input and its front padding is not one */
        if (ceiling && room % w->stride[i] && w->out[i] * w->stride[i] < w->in[i] + w->pad[i])
            w->out[i]++;
    }
    return LAC_OK;
}

void lac_window_shape(const lac_window *w, int64_t batch, int64_t channels, int64_t *dims)
{
    dims[0] = batch;
    dims[1] = channels;
    for (int i = 0; i < w->axes; i++)
        dims[2 + i] = w->out[3 - w->axes + i];
}
