/* Operators that keep the bytes and change the shape. */
#include "op/common.h"
#include "op/gradient.h"

#include <string.h>

/* Views copy only when the caller gave them a place of their own. */
static lac_status run_view(const lac_call *call, lac_error *err)
{
    (void)err;
    lac_op_copy(call, 0, 0);
    return LAC_OK;
}

static lac_status infer_identity(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_ANY, err));
    return lac_op_out_same(call, err);
}

const lac_op lac_op_identity = {
    .row = LAC_ROW(lac_op, "Identity", "the input unchanged"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "",
    .flags = LAC_OP_VIEW | LAC_OP_ELEMENTWISE,
    .infer = infer_identity,
    .run = run_view,
    .gradient = lac_gradient_identity,
};

/* Inference only: data passes, the optional mask is all true. Opset 7..11 gave the mask the type
 * of the data from opset 7 to 9, bool from 10. */
static lac_status infer_dropout(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 3, LAC_OP_FLOATS, err));
    const lac_tensor *training = lac_op_in(call, 2);
    if (training && !training->data)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "Dropout: training_mode is not known before the run");
    if (training && lac_tensor_count(training) > 0 && lac_tensor_get(training, 0) != 0) {
        const lac_tensor *ratio = lac_op_in(call, 1);
        if (!ratio || !ratio->data || lac_tensor_count(ratio) < 1 || lac_tensor_get(ratio, 0) != 0)
            return lac_fail(err, LAC_ERROR_UNSUPPORTED, "Dropout: training_mode is true");
    }
    LAC_TRY(lac_op_out_same(call, err));
    const lac_tensor *in = call->in[0];
    return lac_op_out(call, 1, call->opset < 10 ? in->dtype : LAC_BOOL, in->rank, in->dims, err);
}

static lac_status run_dropout(const lac_call *call, lac_error *err)
{
    (void)err;
    if (lac_op_wanted(call, 0))
        lac_op_copy(call, 0, 0);
    if (lac_op_wanted(call, 1))
        for (int64_t i = 0, n = lac_tensor_count(&call->out[1]); i < n; i++)
            lac_tensor_set(&call->out[1], i, 1);
    return LAC_OK;
}

const lac_op lac_op_dropout = {
    .row = LAC_ROW(lac_op, "Dropout", "the input unchanged (inference only)"),
    .domain = "",
    .since = 7,
    .dtypes = LAC_OP_FLOATS,
    .attributes = "ratio:float=0.5 seed:int",
    .flags = LAC_OP_VIEW,
    .infer = infer_dropout,
    .run = run_dropout,
    .gradient = lac_gradient_identity,
};

static lac_status infer_reshape(const lac_call *call, lac_error *err)
{
    const lac_tensor *in;
    int64_t wish[LAC_MAX_RANK], from_attr, known = 1;
    int rank, hole = -1;
    const int64_t *attr = lac_node_ints(call->node, "shape", &from_attr);
    LAC_TRY(lac_op_inputs(call, 1, 2, LAC_OP_ANY, err));
    in = call->in[0];
    if (attr && call->n_in == 1) { /* before opset 5 */
        if (from_attr > LAC_MAX_RANK)
            return lac_fail(err, LAC_ERROR_UNSUPPORTED, "Reshape: rank %lld is above %d",
                            (long long)from_attr, LAC_MAX_RANK);
        rank = (int)from_attr;
        memcpy(wish, attr, (size_t)rank * sizeof *wish);
    } else {
        LAC_TRY(lac_op_ints(call, 1, "shape", LAC_MAX_RANK, wish, &rank, err));
    }
    bool zero_is_zero = lac_node_int(call->node, "allowzero", 0) != 0, empty = false;
    for (int i = 0; i < rank; i++) {
        if (wish[i] == 0 && !zero_is_zero) {
            if (i >= in->rank)
                return lac_fail(err, LAC_ERROR_INPUT,
                                "Reshape: shape[%d] is 0, but the data has rank %d", i, in->rank);
            wish[i] = in->dims[i];
        }
        if (wish[i] == -1) {
            if (hole >= 0)
                return lac_fail(err, LAC_ERROR_INPUT, "Reshape: shape has two sizes -1");
            hole = i;
        } else if (wish[i] < 0) {
            return lac_fail(err, LAC_ERROR_INPUT, "Reshape: shape[%d] is %lld", i,
                            (long long)wish[i]);
        } else if (wish[i] == 0) {
            empty = true;
        }
    }
    for (int i = 0; i < rank && !empty; i++)
        if (i != hole && __builtin_mul_overflow(known, wish[i], &known))
            return lac_fail(err, LAC_ERROR_INPUT, "Reshape: shape's product overflows");
    int64_t count = lac_tensor_count(in);
    known = empty ? 0 : known;
    if (hole >= 0) {
        if (known == 0 ? count != 0 : count % known != 0)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "Reshape: %lld elements do not divide into shape's %lld",
                            (long long)count, (long long)known);
        wish[hole] = known == 0 ? 0 : count / known;
    } else if (known != count) {
        return lac_fail(err, LAC_ERROR_INPUT, "Reshape: %lld elements into a shape of %lld",
                        (long long)count, (long long)known);
    }
    return lac_op_out(call, 0, in->dtype, rank, wish, err);
}

const lac_op lac_op_reshape = {
    .row = LAC_ROW(lac_op, "Reshape", "the same elements under another shape"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "allowzero:int=0 shape:ints",
    .flags = LAC_OP_VIEW,
    .infer = infer_reshape,
    .run = run_view,
    .gradient = lac_gradient_reshape,
};

static lac_status infer_flatten(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_ANY, err));
    const lac_tensor *in = call->in[0];
    int64_t axis = lac_node_int(call->node, "axis", 1);
    if (axis < -in->rank || axis > in->rank)
        return lac_fail(err, LAC_ERROR_INPUT, "Flatten: axis %lld is outside -%d..%d",
                        (long long)axis, in->rank, in->rank);
    int split = (int)(axis < 0 ? axis + in->rank : axis);
    int64_t dims[2] = {lac_op_product(in->dims, 0, split),
                       lac_op_product(in->dims, split, in->rank)};
    return lac_op_out(call, 0, in->dtype, 2, dims, err);
}

const lac_op lac_op_flatten = {
    .row = LAC_ROW(lac_op, "Flatten", "a matrix of the dimensions before and from axis on"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "axis:int=1",
    .flags = LAC_OP_VIEW,
    .infer = infer_flatten,
    .run = run_view,
    .gradient = lac_gradient_reshape,
};

/* The axes of Squeeze and Unsqueeze: attribute before opset 13, input from there. */
static lac_status squeeze_axes(const lac_call *call, int64_t *axes, int *n, bool *given,
                               lac_error *err)
{
    int64_t count;
    const int64_t *attr = lac_node_ints(call->node, "axes", &count);
    *given = true;
    *n = 0;
    if (attr) {
        if (count > LAC_MAX_RANK)
            return lac_fail(err, LAC_ERROR_INPUT, "%s: %lld axes", call->node->op,
                            (long long)count);
        memcpy(axes, attr, (size_t)count * sizeof *axes);
        *n = (int)count;
        return LAC_OK;
    }
    if (lac_op_in(call, 1))
        return lac_op_ints(call, 1, "axes", LAC_MAX_RANK, axes, n, err);
    *given = false;
    return LAC_OK;
}

static lac_status infer_squeeze(const lac_call *call, lac_error *err)
{
    int64_t axes[LAC_MAX_RANK], dims[LAC_MAX_RANK];
    bool is[LAC_MAX_RANK], given;
    int n, rank = 0;
    LAC_TRY(lac_op_inputs(call, 1, 2, LAC_OP_ANY, err));
    LAC_TRY(squeeze_axes(call, axes, &n, &given, err));
    const lac_tensor *in = call->in[0];
    LAC_TRY(lac_op_axes(n, axes, in->rank, is, err));
    for (int i = 0; i < in->rank; i++) {
        if (given && is[i] && in->dims[i] != 1)
            return lac_fail(err, LAC_ERROR_INPUT, "Squeeze: dimension %d has size %lld, not 1", i,
                            (long long)in->dims[i]);
        if (given ? !is[i] : in->dims[i] != 1)
            dims[rank++] = in->dims[i];
    }
    return lac_op_out(call, 0, in->dtype, rank, dims, err);
}

const lac_op lac_op_squeeze = {
    .row = LAC_ROW(lac_op, "Squeeze", "drops dimensions of size 1"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "axes:ints",
    .flags = LAC_OP_VIEW,
    .infer = infer_squeeze,
    .run = run_view,
    .gradient = lac_gradient_reshape,
};

static lac_status infer_unsqueeze(const lac_call *call, lac_error *err)
{
    int64_t axes[LAC_MAX_RANK], dims[LAC_MAX_RANK];
    bool is[LAC_MAX_RANK], given;
    int n;
    LAC_TRY(lac_op_inputs(call, 1, 2, LAC_OP_ANY, err));
    LAC_TRY(squeeze_axes(call, axes, &n, &given, err));
    const lac_tensor *in = call->in[0];
    int rank = in->rank + n;
    if (!given)
        return lac_fail(err, LAC_ERROR_INPUT, "Unsqueeze: no axes");
    if (rank > LAC_MAX_RANK)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "Unsqueeze: rank %d is above %d", rank,
                        LAC_MAX_RANK);
    LAC_TRY(lac_op_axes(n, axes, rank, is, err));
    for (int i = 0, from = 0; i < rank; i++)
        dims[i] = is[i] ? 1 : in->dims[from++];
    return lac_op_out(call, 0, in->dtype, rank, dims, err);
}

const lac_op lac_op_unsqueeze = {
    .row = LAC_ROW(lac_op, "Unsqueeze", "inserts dimensions of size 1"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "axes:ints",
    .flags = LAC_OP_VIEW,
    .infer = infer_unsqueeze,
    .run = run_view,
    .gradient = lac_gradient_reshape,
};
