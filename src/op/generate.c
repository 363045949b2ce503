/* Tensors from attributes, shapes and a few scalars: Constant, ConstantOfShape, Range, EyeLike,
 * OneHot, Shape, Size. Shape and Size read no data, so their results are known before the run. */
#include "op/common.h"

#include <math.h>
#include <string.h>

/* ---- Constant ------------------------------------------------------------------------------ */

static lac_status infer_constant(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 0, 0, 0, err));
    const lac_attr *attr;
    if ((attr = lac_node_attr(call->node, "value")) && attr->type == LAC_ATTR_TENSOR)
        return lac_op_out(call, 0, attr->tensor.dtype, attr->tensor.rank, attr->tensor.dims, err);
    if ((attr = lac_node_attr(call->node, "value_float")))
        return lac_op_out(call, 0, LAC_F32, 0, NULL, err);
    if ((attr = lac_node_attr(call->node, "value_int")))
        return lac_op_out(call, 0, LAC_I64, 0, NULL, err);
    if ((attr = lac_node_attr(call->node, "value_floats")))
        return lac_op_out(call, 0, LAC_F32, 1, &attr->n, err);
    if ((attr = lac_node_attr(call->node, "value_ints")))
        return lac_op_out(call, 0, LAC_I64, 1, &attr->n, err);
    return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                    "Constant: none of value, value_float(s), value_int(s) is given");
}

static lac_status run_constant(const lac_call *call, lac_error *err)
{
    static const char *const names[] = {"value", "value_float", "value_int", "value_floats",
                                        "value_ints"};
    const lac_attr *attr = NULL;
    (void)err;
    for (size_t i = 0; i < sizeof names / sizeof *names && !attr; i++)
        attr = lac_node_attr(call->node, names[i]);
    size_t bytes = lac_tensor_bytes(&call->out[0]);
    const void *data = attr->type == LAC_ATTR_TENSOR   ? attr->tensor.data
                       : attr->type == LAC_ATTR_FLOAT  ? (const void *)&attr->f
                       : attr->type == LAC_ATTR_INT    ? (const void *)&attr->i
                       : attr->type == LAC_ATTR_FLOATS ? (const void *)attr->floats
                                                       : (const void *)attr->ints;
    if (bytes > 0 && data)
        memcpy(call->out[0].data, data, bytes);
    return LAC_OK;
}

/* dtypes: of the output; there is no input. */
const lac_op lac_op_constant = {
    .row = LAC_ROW(lac_op, "Constant", "a tensor that the node carries"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "value:tensor value_float:float value_floats:floats value_int:int "
                  "value_ints:ints",
    .infer = infer_constant,
    .run = run_constant,
};

/* ---- ConstantOfShape ----------------------------------------------------------------------- */

static lac_status infer_filled(const lac_call *call, lac_error *err)
{
    int64_t dims[LAC_MAX_RANK];
    int n;
    const lac_attr *value = lac_node_attr(call->node, "value");
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_BIT(LAC_I64), err));
    if (value && (value->type != LAC_ATTR_TENSOR || lac_tensor_count(&value->tensor) != 1 ||
                  !value->tensor.data || !(LAC_BIT(value->tensor.dtype) & LAC_OP_ANY)))
        return lac_fail(err, LAC_ERROR_INPUT,
                        "ConstantOfShape: value is not a tensor of one element");
    LAC_TRY(lac_op_ints(call, 0, "input", LAC_MAX_RANK, dims, &n, err));
    return lac_op_out(call, 0, value ? value->tensor.dtype : LAC_F32, n, dims, err);
}

/* Fills `n` elements from `begin` with copies of one. */
static void fill(lac_tensor *out, const void *element)
{
    size_t size = lac_op_size(out->dtype);
    for (int64_t i = 0, n = lac_tensor_count(out); i < n; i++)
        memcpy((char *)out->data + (size_t)i * size, element, size);
}

static lac_status run_filled(const lac_call *call, lac_error *err)
{
    static const uint64_t zero;
    const lac_attr *value = lac_node_attr(call->node, "value");
    (void)err;
    fill(&call->out[0], value ? value->tensor.data : &zero);
    return LAC_OK;
}

const lac_op lac_op_constant_of_shape = {
    .row = LAC_ROW(lac_op, "ConstantOfShape", "a tensor of one value"),
    .domain = "",
    .since = 9,
    .dtypes = LAC_BIT(LAC_I64),
    .attributes = "value:tensor",
    .infer = infer_filled,
    .run = run_filled,
};

/* ---- Range --------------------------------------------------------------------------------- */

#define RANGE_TYPES                                                                                \
    (LAC_BIT(LAC_F32) | LAC_BIT(LAC_F64) | LAC_BIT(LAC_I16) | LAC_BIT(LAC_I32) | LAC_BIT(LAC_I64))

static int64_t integer(const lac_tensor *tensor)
{
    return tensor->dtype == LAC_I64 ? *(const int64_t *)tensor->data
                                    : (int64_t)lac_tensor_get(tensor, 0);
}

static lac_status infer_range(const lac_call *call, lac_error *err)
{
    static const char *const names[] = {"start", "limit", "delta"};
    int64_t n = 0;
    LAC_TRY(lac_op_inputs(call, 3, 3, RANGE_TYPES, err));
    for (int i = 0; i < 3; i++) {
        LAC_TRY(lac_op_type(call, i, names[i], LAC_BIT(call->in[0]->dtype), err));
        if (lac_tensor_count(call->in[i]) != 1)
            return lac_fail(err, LAC_ERROR_INPUT, "Range: %s has %lld elements, not 1", names[i],
                            (long long)lac_tensor_count(call->in[i]));
    }
    for (int i = 0; i < 3; i++)
        if (!call->in[i]->data)
            return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                            "Range: shape depends on data of input "
                            "'%s'",
                            names[i]);
    if (lac_dtype_is_float(call->in[0]->dtype)) {
        double count = ceil((lac_tensor_get(call->in[1], 0) - lac_tensor_get(call->in[0], 0)) /
                            lac_tensor_get(call->in[2], 0));
        if (!(count < 0x1p59))
            return lac_fail(err, LAC_ERROR_INPUT, "Range: %g elements", count);
        n = count > 0 ? (int64_t)count : 0;
    } else {
        int64_t start = integer(call->in[0]), limit = integer(call->in[1]);
        int64_t delta = integer(call->in[2]);
        if (delta == 0)
            return lac_fail(err, LAC_ERROR_INPUT, "Range: delta is 0");
        uint64_t way =
            delta > 0 ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
        uint64_t step = delta > 0 ? (uint64_t)delta : 0 - (uint64_t)delta;
        uint64_t count = (delta > 0 ? start < limit : start > limit) ? (way - 1) / step + 1 : 0;
        n = count > INT64_MAX ? INT64_MAX : (int64_t)count;
    }
    return lac_op_out(call, 0, call->in[0]->dtype, 1, &n, err);
}

static lac_status run_range(const lac_call *call, lac_error *err)
{
    lac_tensor *out = &call->out[0];
    (void)err;
    for (int64_t i = 0, n = out->dims[0]; i < n; i++) {
        if (out->dtype == LAC_I64)
            ((int64_t *)out->data)[i] = (int64_t)((uint64_t)integer(call->in[0]) +
                                                  (uint64_t)i * (uint64_t)integer(call->in[2]));
        else
            lac_tensor_set(out, i,
                           lac_tensor_get(call->in[0], 0) +
                               (double)i * lac_tensor_get(call->in[2], 0));
    }
    return LAC_OK;
}

const lac_op lac_op_range = {
    .row = LAC_ROW(lac_op, "Range", "start, start + delta, ... before limit"),
    .domain = "",
    .since = 11,
    .dtypes = RANGE_TYPES,
    .attributes = "",
    .infer = infer_range,
    .run = run_range,
};

/* ---- EyeLike ------------------------------------------------------------------------------- */

static lac_status infer_eye(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_ANY, err));
    const lac_tensor *in = call->in[0];
    int64_t dtype = lac_node_int(call->node, "dtype", in->dtype);
    if (dtype < 0 || dtype >= LAC_DTYPE_LIMIT || !(LAC_BIT(dtype) & LAC_OP_ANY))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "EyeLike: dtype %lld", (long long)dtype);
    if (in->rank != 2)
        return lac_fail(err, LAC_ERROR_INPUT, "EyeLike: the input has rank %d, not 2", in->rank);
    return lac_op_out(call, 0, (lac_dtype)dtype, 2, in->dims, err);
}

static lac_status run_eye(const lac_call *call, lac_error *err)
{
    lac_tensor *out = &call->out[0];
    int64_t k = lac_node_int(call->node, "k", 0), column;
    (void)err;
    memset(out->data, 0, lac_tensor_bytes(out));
    for (int64_t row = 0; row < out->dims[0]; row++)
        if (!__builtin_add_overflow(row, k, &column) && column >= 0 && column < out->dims[1])
            lac_tensor_set(out, row * out->dims[1] + column, 1);
    return LAC_OK;
}

const lac_op lac_op_eye_like = {
    .row = LAC_ROW(lac_op, "EyeLike", "ones on a diagonal of a matrix of the input's shape"),
    .domain = "",
    .since = 9,
    .dtypes = LAC_OP_ANY,
    .attributes = "dtype:int k:int=0",
    .infer = infer_eye,
    .run = run_eye,
};

/* ---- OneHot -------------------------------------------------------------------------------- */

static lac_status infer_one_hot(const lac_call *call, lac_error *err)
{
    int axis;
    LAC_TRY(lac_op_inputs(call, 3, 3, LAC_OP_NUMBERS, err));
    LAC_TRY(lac_op_type(call, 1, "depth", LAC_OP_NUMBERS, err));
    LAC_TRY(lac_op_type(call, 2, "values", LAC_OP_ANY, err));
    const lac_tensor *indices = call->in[0], *depth = call->in[1], *values = call->in[2];
    if (lac_tensor_count(depth) != 1 || lac_tensor_count(values) != 2)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "OneHot: depth and values have %lld and %lld elements, not 1 and 2",
                        (long long)lac_tensor_count(depth), (long long)lac_tensor_count(values));
    if (indices->rank >= LAC_MAX_RANK)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "OneHot: rank %d", indices->rank + 1);
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", -1), indices->rank + 1, &axis, err));
    if (!depth->data)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "OneHot: shape depends on data of input 'depth'");
    double size = lac_tensor_get(depth, 0);
    if (!(size >= 0 && size < 0x1p59))
        return lac_fail(err, LAC_ERROR_INPUT, "OneHot: depth %g", size);
    int64_t dims[LAC_MAX_RANK];
    for (int d = 0; d <= indices->rank; d++)
        dims[d] = d < axis ? indices->dims[d] : d == axis ? (int64_t)size : indices->dims[d - 1];
    return lac_op_out(call, 0, values->dtype, indices->rank + 1, dims, err);
}

static lac_status run_one_hot(const lac_call *call, lac_error *err)
{
    int axis;
    const lac_tensor *indices = call->in[0], *values = call->in[2];
    lac_tensor *out = &call->out[0];
    size_t size = lac_op_size(out->dtype);
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", -1), out->rank, &axis, err));
    fill(out, values->data);
    if (lac_tensor_count(out) == 0)
        return LAC_OK;
    int64_t depth = out->dims[axis], inner = lac_op_product(out->dims, axis + 1, out->rank);
    for (int64_t i = 0, n = lac_tensor_count(indices); i < n; i++) {
        double hot = trunc(lac_tensor_get(indices, i));
        if (!(hot >= (double)-depth && hot < (double)depth))
            continue; /* outside: all of it stays off */
        int64_t at = (int64_t)hot + (hot < 0 ? depth : 0);
        at = (i / inner * depth + at) * inner + i % inner;
        memcpy((char *)out->data + (size_t)at * size, (const char *)values->data + size, size);
    }
    return LAC_OK;
}

const lac_op lac_op_one_hot = {
    .row = LAC_ROW(lac_op, "OneHot", "on at the index, off elsewhere along a new axis"),
    .domain = "",
    .since = 9,
    .dtypes = LAC_OP_NUMBERS,
    .attributes = "axis:int=-1",
    .infer = infer_one_hot,
    .run = run_one_hot,
};

/* ---- Shape, Size --------------------------------------------------------------------------- */

static void shape_range(const lac_call *call, int64_t *start, int64_t *end)
{
    int64_t rank = call->in[0]->rank, *bounds[] = {start, end};
    *start = lac_node_int(call->node, "start", 0);
    *end = lac_node_int(call->node, "end", rank);
    for (int i = 0; i < 2; i++) {
        *bounds[i] += *bounds[i] < 0 ? rank : 0;
        *bounds[i] = *bounds[i] < 0 ? 0 : *bounds[i] > rank ? rank : *bounds[i];
    }
}

static lac_status infer_shape(const lac_call *call, lac_error *err)
{
    int64_t start, end;
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_ANY, err));
    shape_range(call, &start, &end);
    int64_t n = end > start ? end - start : 0;
    return lac_op_out(call, 0, LAC_I64, 1, &n, err);
}

static lac_status run_shape(const lac_call *call, lac_error *err)
{
    int64_t start, end;
    (void)err;
    shape_range(call, &start, &end);
    for (int64_t i = start; i < end; i++)
        ((int64_t *)call->out[0].data)[i - start] = call->in[0]->dims[i];
    return LAC_OK;
}

const lac_op lac_op_shape = {
    .row = LAC_ROW(lac_op, "Shape", "the dimensions of a tensor"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "end:int start:int=0",
    .infer = infer_shape,
    .run = run_shape,
};

static lac_status infer_size(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_ANY, err));
    return lac_op_out(call, 0, LAC_I64, 0, NULL, err);
}

static lac_status run_size(const lac_call *call, lac_error *err)
{
    (void)err;
    *(int64_t *)call->out[0].data = lac_tensor_count(call->in[0]);
    return LAC_OK;
}

const lac_op lac_op_size_of = {
    .row = LAC_ROW(lac_op, "Size", "the number of elements of a tensor"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "",
    .infer = infer_size,
    .run = run_size,
};
