/* Operators that make tensors from shapes and numbers: Shape, Size, Constant, ConstantOfShape,
 * Range, EyeLike, OneHot, Expand, Tile. Their results are mostly known before the run. */
#include "op/common.h"

#include <math.h>
#include <string.h>

static int64_t clamp_axis(int64_t axis, int rank)
{
    axis += axis < 0 ? rank : 0;
    return axis < 0 ? 0 : axis > rank ? rank : axis;
}

static void shape_range(const lac_call *call, int64_t *begin, int64_t *end)
{
    int rank = call->in[0]->rank;
    *begin = clamp_axis(lac_node_int(call->node, "start", 0), rank);
    *end = clamp_axis(lac_node_int(call->node, "end", rank), rank);
    *end = *end < *begin ? *begin : *end;
}

static lac_status infer_shape(const lac_call *call, lac_error *err)
{
    int64_t begin, end;
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_ANY, err));
    shape_range(call, &begin, &end);
    return lac_op_out(call, 0, LAC_I64, 1, (int64_t[]){end - begin}, err);
}

static lac_status run_shape(const lac_call *call, lac_error *err)
{
    int64_t begin, end;
    (void)err;
    shape_range(call, &begin, &end);
    for (int64_t i = begin; i < end; i++)
        ((int64_t *)call->out[0].data)[i - begin] = call->in[0]->dims[i];
    return LAC_OK;
}

const lac_op lac_op_shape = {
    .row = LAC_ROW(lac_op, "Shape", "the sizes of a tensor"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "start:int=0 end:int",
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

/* ---- Constant: one of several attributes
 * ------------------------------------------------------------ */

static lac_status infer_constant(const lac_call *call, lac_error *err)
{
    const lac_node *node = call->node;
    const lac_attr *attr;
    if ((attr = lac_node_attr(node, "value")) && attr->type == LAC_ATTR_TENSOR)
        return lac_op_out(call, 0, attr->tensor.dtype, attr->tensor.rank, attr->tensor.dims, err);
    if (lac_node_attr(node, "value_float"))
        return lac_op_out(call, 0, LAC_F32, 0, NULL, err);
    if (lac_node_attr(node, "value_int"))
        return lac_op_out(call, 0, LAC_I64, 0, NULL, err);
    if ((attr = lac_node_attr(node, "value_floats")))
        return lac_op_out(call, 0, LAC_F32, 1, &attr->n, err);
    if ((attr = lac_node_attr(node, "value_ints")))
        return lac_op_out(call, 0, LAC_I64, 1, &attr->n, err);
    return lac_fail(err, LAC_ERROR_UNSUPPORTED, "a constant that is neither tensor nor number");
}

static lac_status run_constant(const lac_call *call, lac_error *err)
{
    const lac_node *node = call->node;
    const lac_attr *attr;
    (void)err;
    void *to = call->out[0].data;
    if ((attr = lac_node_attr(node, "value")))
        memcpy(to, attr->tensor.data, lac_tensor_bytes(&attr->tensor));
    else if ((attr = lac_node_attr(node, "value_float")))
        *(float *)to = attr->f;
    else if ((attr = lac_node_attr(node, "value_int")))
        *(int64_t *)to = attr->i;
    else if ((attr = lac_node_attr(node, "value_floats")) && attr->n)
        memcpy(to, attr->floats, (size_t)attr->n * sizeof(float));
    else if ((attr = lac_node_attr(node, "value_ints")) && attr->n)
        memcpy(to, attr->ints, (size_t)attr->n * sizeof(int64_t));
    return LAC_OK;
}

const lac_op lac_op_constant = {
    .row = LAC_ROW(lac_op, "Constant", "a tensor stored in the node"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes =
        "value:tensor value_float:float value_int:int value_floats:floats value_ints:ints",
    .infer = infer_constant,
    .run = run_constant,
};

/* Fills a tensor with copies of its first element. */
static void repeat_first(lac_tensor *tensor)
{
    size_t size = lac_op_size(tensor->dtype), bytes = lac_tensor_bytes(tensor);
    for (size_t done = size; done < bytes;) { /* doubling copies */
        size_t piece = done < bytes - done ? done : bytes - done;
        memcpy((char *)tensor->data + done, tensor->data, piece);
        done += piece;
    }
}

static lac_status infer_constant_of_shape(const lac_call *call, lac_error *err)
{
    int rank;
    int64_t dims[LAC_MAX_RANK];
    const lac_attr *value = lac_node_attr(call->node, "value");
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_BIT(LAC_I64), err));
    LAC_TRY(lac_op_ints(call, 0, "input", LAC_MAX_RANK, dims, &rank, err));
    if (value && (value->type != LAC_ATTR_TENSOR || lac_tensor_count(&value->tensor) != 1))
        return lac_fail(err, LAC_ERROR_INPUT, "attribute value: want a tensor of one element");
    return lac_op_out(call, 0, value ? value->tensor.dtype : LAC_F32, rank, dims, err);
}

static lac_status run_constant_of_shape(const lac_call *call, lac_error *err)
{
    const lac_attr *value = lac_node_attr(call->node, "value");
    lac_tensor *out = &call->out[0];
    (void)err;
    if (lac_tensor_count(out) == 0)
        return LAC_OK;
    memset(out->data, 0, lac_op_size(out->dtype));
    if (value)
        memcpy(out->data, value->tensor.data, lac_op_size(out->dtype));
    repeat_first(out);
    return LAC_OK;
}

const lac_op lac_op_constant_of_shape = {
    .row = LAC_ROW(lac_op, "ConstantOfShape", "a tensor of one value in a given shape"),
    .domain = "",
    .since = 9,
    .dtypes = LAC_BIT(LAC_I64),
    .attributes = "value:tensor",
    .infer = infer_constant_of_shape,
    .run = run_constant_of_shape,
};

/* ---- Range
 * -------------------------------------------------------------------------------------------- */

#define RANGE_TYPES                                                                                \
    (LAC_BIT(LAC_F32) | LAC_BIT(LAC_F64) | LAC_BIT(LAC_I16) | LAC_BIT(LAC_I32) | LAC_BIT(LAC_I64))

static lac_status infer_range(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 3, 3, RANGE_TYPES, err));
    for (int i = 0; i < 3; i++) {
        if (call->in[i]->dtype != call->in[0]->dtype || lac_tensor_count(call->in[i]) != 1)
            return lac_fail(err, LAC_ERROR_INPUT, "start, limit, delta: want scalars of one type");
        if (!call->in[i]->data)
            return lac_fail(err, LAC_ERROR_UNSUPPORTED, "shape depends on data of input %d", i);
    }
    double start = lac_tensor_get(call->in[0], 0), limit = lac_tensor_get(call->in[1], 0);
    double delta = lac_tensor_get(call->in[2], 0), n = ceil((limit - start) / delta);
    if (!(fabs(n) < 1e15))
        return lac_fail(err, LAC_ERROR_INPUT, "range from %g to %g by %g", start, limit, delta);
    return lac_op_out(call, 0, call->in[0]->dtype, 1, (int64_t[]){n > 0 ? (int64_t)n : 0}, err);
}

static lac_status run_range(const lac_call *call, lac_error *err)
{
    lac_tensor *out = &call->out[0];
    (void)err;
    if (out->dtype == LAC_I64) {
        int64_t start = *(const int64_t *)call->in[0]->data,
                delta = *(const int64_t *)call->in[2]->data;
        for (int64_t i = 0; i < out->dims[0]; i++)
            ((int64_t *)out->data)[i] = start + i * delta;
        return LAC_OK;
    }
    double start = lac_tensor_get(call->in[0], 0), delta = lac_tensor_get(call->in[2], 0);
    for (int64_t i = 0; i < out->dims[0]; i++)
        lac_tensor_set(out, i, start + (double)i * delta);
    return LAC_OK;
}

const lac_op lac_op_range = {
    .row = LAC_ROW(lac_op, "Range", "evenly spaced numbers"),
    .domain = "",
    .since = 11,
    .dtypes = RANGE_TYPES,
    .attributes = "",
    .infer = infer_range,
    .run = run_range,
};

/* ---- EyeLike, OneHot
 * ------------------------------------------------------------------------------------ */

static lac_status infer_eye(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_ANY, err));
    if (call->in[0]->rank != 2)
        return lac_fail(err, LAC_ERROR_INPUT, "rank %d, want 2", call->in[0]->rank);
    int64_t type = lac_node_int(call->node, "dtype", call->in[0]->dtype);
    if (type <= 0 || type >= LAC_DTYPE_LIMIT || !(LAC_OP_ANY & LAC_BIT(type)))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "dtype %lld", (long long)type);
    return lac_op_out(call, 0, (lac_dtype)type, 2, call->in[0]->dims, err);
}

static lac_status run_eye(const lac_call *call, lac_error *err)
{
    lac_tensor *out = &call->out[0];
    int64_t k = lac_node_int(call->node, "k", 0);
    (void)err;
    memset(out->data, 0, lac_tensor_bytes(out));
    for (int64_t r = 0; r < out->dims[0]; r++)
        if (k <= out->dims[1] && k >= -out->dims[0] && r + k >= 0 && r + k < out->dims[1])
            lac_tensor_set(out, r * out->dims[1] + r + k, 1);
    return LAC_OK;
}

const lac_op lac_op_eye_like = {
    .row = LAC_ROW(lac_op, "EyeLike", "ones on a diagonal, in the shape of the input"),
    .domain = "",
    .since = 9,
    .dtypes = LAC_OP_ANY,
    .attributes = "dtype:int k:int=0",
    .infer = infer_eye,
    .run = run_eye,
};

static lac_status infer_one_hot(const lac_call *call, lac_error *err)
{
    int64_t dims[2 * LAC_MAX_RANK];
    int axis, rank = 0;
    LAC_TRY(lac_op_inputs(call, 3, 3, LAC_OP_NUMBERS, err));
    LAC_TRY(lac_op_type(call, 2, "values", LAC_OP_ANY, err));
    const lac_tensor *indices = call->in[0], *depth = call->in[1], *values = call->in[2];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", -1), indices->rank + 1, &axis, err));
    if (lac_tensor_count(depth) != 1 || values->rank != 1 || values->dims[0] != 2)
        return lac_fail(err, LAC_ERROR_INPUT, "want a scalar depth and values [off, on]");
    if (!depth->data)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "shape depends on data of input 'depth'");
    double n = lac_tensor_get(depth, 0);
    if (!(n >= 0 && n < 1e15))
        return lac_fail(err, LAC_ERROR_INPUT, "depth = %g", n);
    for (int i = 0; i <= indices->rank; i++)
        dims[rank++] = i == axis ? (int64_t)n : indices->dims[i < axis ? i : i - 1];
    return lac_op_out(call, 0, values->dtype, rank, dims, err);
}

static lac_status run_one_hot(const lac_call *call, lac_error *err)
{
    const lac_tensor *indices = call->in[0], *values = call->in[2];
    lac_tensor *out = &call->out[0];
    int axis;
    size_t size = lac_op_size(out->dtype);
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", -1), indices->rank + 1, &axis, err));
    if (lac_tensor_count(out) == 0)
        return LAC_OK;
    memcpy(out->data, values->data, size);
    repeat_first(out);
    int64_t depth = out->dims[axis], inner = lac_op_product(out->dims, axis + 1, out->rank);
    for (int64_t i = 0; i < lac_tensor_count(indices); i++) {
        double hot = lac_tensor_get(indices, i);
        int64_t at = hot >= (double)-depth && hot < (double)depth ? (int64_t)hot : -1;
        if (hot < (double)-depth || hot >= (double)depth)
            continue; /* outside: all off */
        at += at < 0 ? depth : 0;
        int64_t to = (i / inner * depth + at) * inner + i % inner;
        memcpy((char *)out->data + (size_t)to * size, (const char *)values->data + size, size);
    }
    return LAC_OK;
}

const lac_op lac_op_one_hot = {
    .row = LAC_ROW(lac_op, "OneHot", "on at the index, off elsewhere"),
    .domain = "",
    .since = 9,
    .dtypes = LAC_OP_NUMBERS,
    .attributes = "axis:int=-1",
    .infer = infer_one_hot,
    .run = run_one_hot,
};

/* ---- Expand, Tile
 * ------------------------------------------------------------------------------------------ */

static lac_status infer_expand(const lac_call *call, lac_error *err)
{
    int64_t dims[LAC_MAX_RANK], want[LAC_MAX_RANK];
    int n, rank;
    LAC_TRY(lac_op_inputs(call, 2, 2, LAC_OP_ANY, err));
    LAC_TRY(lac_op_ints(call, 1, "shape", LAC_MAX_RANK, want, &n, err));
    const lac_tensor *in = call->in[0];
    rank = n > in->rank ? n : in->rank;
    for (int i = 0; i < rank; i++) {
        int64_t a = i < rank - in->rank ? 1 : in->dims[i - (rank - in->rank)];
        int64_t b = i < rank - n ? 1 : want[i - (rank - n)];
        if (a != b && a != 1 && b != 1)
            return lac_fail(err, LAC_ERROR_INPUT, "dimension %d: %lld does not expand to %lld", i,
                            (long long)a, (long long)b);
        dims[i] = a == 1 ? b : a;
    }
    return lac_op_out(call, 0, in->dtype, rank, dims, err);
}

static lac_status run_expand(const lac_call *call, lac_error *err)
{
    lac_walk walk;
    const lac_tensor *in[] = {call->in[0]};
    (void)err;
    lac_walk_broadcast(&walk, call->out[0].rank, call->out[0].dims, 1, in);
    lac_walk_copy(walk, lac_op_size(call->out[0].dtype), call->out[0].data, call->in[0]->data);
    return LAC_OK;
}

const lac_op lac_op_expand = {
    .row = LAC_ROW(lac_op, "Expand", "repeats dimensions of size 1"),
    .domain = "",
    .since = 8,
    .dtypes = LAC_OP_ANY,
    .attributes = "",
    .infer = infer_expand,
    .run = run_expand,
};

static lac_status infer_tile(const lac_call *call, lac_error *err)
{
    int64_t dims[LAC_MAX_RANK], repeats[LAC_MAX_RANK];
    int n;
    LAC_TRY(lac_op_inputs(call, 2, 2, LAC_OP_ANY, err));
    LAC_TRY(lac_op_ints(call, 1, "repeats", LAC_MAX_RANK, repeats, &n, err));
    const lac_tensor *in = call->in[0];
    if (n != in->rank)
        return lac_fail(err, LAC_ERROR_INPUT, "%d repeats for rank %d", n, in->rank);
    for (int i = 0; i < n; i++)
        if (repeats[i] < 0 || __builtin_mul_overflow(in->dims[i], repeats[i], &dims[i]))
            return lac_fail(err, LAC_ERROR_INPUT, "repeats[%d] = %lld", i, (long long)repeats[i]);
    return lac_op_out(call, 0, in->dtype, n, dims, err);
}

/* A walk over (repeat, position) pairs of dimensions; repeats have stride 0 in the input. */
static lac_status run_tile(const lac_call *call, lac_error *err)
{
    const lac_tensor *in = call->in[0];
    lac_tensor *out = &call->out[0];
    lac_walk walk = {.rank = 2 * in->rank, .operands = 2};
    int64_t from[LAC_MAX_RANK], to[LAC_MAX_RANK];
    (void)err;
    if (lac_tensor_count(out) == 0)
        return LAC_OK;
    lac_op_strides(in->rank, in->dims, from);
    lac_op_strides(out->rank, out->dims, to);
    for (int i = 0; i < in->rank; i++) {
        walk.dims[2 * i] = out->dims[i] / in->dims[i];
        walk.stride[0][2 * i] = to[i] * in->dims[i];
        walk.dims[2 * i + 1] = in->dims[i];
        walk.stride[0][2 * i + 1] = to[i];
        walk.stride[1][2 * i + 1] = from[i];
    }
    lac_walk_copy(walk, lac_op_size(in->dtype), out->data, in->data);
    return LAC_OK;
}

const lac_op lac_op_tile = {
    .row = LAC_ROW(lac_op, "Tile", "repeats the whole tensor along each dimension"),
    .domain = "",
    .since = 6,
    .dtypes = LAC_OP_ANY,
    .attributes = "",
    .infer = infer_tile,
    .run = run_tile,
};
