/* Gather, GatherElements, GatherND: elements and blocks picked by index tensors. Negative indices
 * count from the end; one outside is an error of the run, because it is data. */
#include "op/common.h"

#include <string.h>

static lac_status wrong_index(int64_t i, int64_t index, int64_t n, lac_error *err)
{
    return lac_fail(err, LAC_ERROR_INPUT, "indices[%lld] = %lld, want %lld..%lld", (long long)i,
                    (long long)index, (long long)-n, (long long)n - 1);
}

static lac_status infer_gather(const lac_call *call, lac_error *err)
{
    int axis, rank = 0;
    int64_t dims[2 * LAC_MAX_RANK];
    LAC_TRY(lac_op_inputs(call, 2, 2, LAC_OP_ANY, err));
    LAC_TRY(lac_op_type(call, 1, "indices", LAC_OP_INDEX, err));
    const lac_tensor *data = call->in[0], *indices = call->in[1];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), data->rank, &axis, err));
    for (int d = 0; d < data->rank; d++)
        if (d != axis)
            dims[rank++] = data->dims[d];
        else
            for (int i = 0; i < indices->rank; i++)
                dims[rank++] = indices->dims[i];
    return lac_op_out(call, 0, data->dtype, rank, dims, err);
}

static lac_status run_gather(const lac_call *call, lac_error *err)
{
    int axis;
    const lac_tensor *data = call->in[0], *indices = call->in[1];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), data->rank, &axis, err));
    size_t block =
        (size_t)lac_op_product(data->dims, axis + 1, data->rank) * lac_op_size(data->dtype);
    int64_t outer = lac_op_product(data->dims, 0, axis), n = data->dims[axis];
    int64_t picks = lac_tensor_count(indices);
    const char *from = data->data;
    char *to = call->out[0].data;
    for (int64_t i = 0; i < picks; i++) {
        int64_t index = lac_op_index(indices, i);
        if (index < -n || index >= n)
            return wrong_index(i, index, n, err);
    }
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < picks; i++, to += block) {
            int64_t index = lac_op_index(indices, i);
            index += index < 0 ? n : 0;
            memcpy(to, from + (size_t)(o * n + index) * block, block);
        }
    return LAC_OK;
}

const lac_op lac_op_gather = {
    .row = LAC_ROW(lac_op, "Gather", "slices along an axis, by index"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "axis:int=0",
    .infer = infer_gather,
    .run = run_gather,
};

static lac_status infer_elements(const lac_call *call, lac_error *err)
{
    int axis;
    LAC_TRY(lac_op_inputs(call, 2, 2, LAC_OP_ANY, err));
    LAC_TRY(lac_op_type(call, 1, "indices", LAC_OP_INDEX, err));
    const lac_tensor *data = call->in[0], *indices = call->in[1];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), data->rank, &axis, err));
    if (indices->rank != data->rank)
        return lac_fail(err, LAC_ERROR_INPUT, "indices of rank %d, data of rank %d", indices->rank,
                        data->rank);
    for (int d = 0; d < data->rank; d++)
        if (d != axis && indices->dims[d] > data->dims[d])
            return lac_fail(err, LAC_ERROR_INPUT, "indices dimension %d is %lld, data has %lld", d,
                            (long long)indices->dims[d], (long long)data->dims[d]);
    return lac_op_out(call, 0, data->dtype, indices->rank, indices->dims, err);
}

static lac_status run_elements(const lac_call *call, lac_error *err)
{
    int axis;
    const lac_tensor *data = call->in[0], *indices = call->in[1];
    int64_t strides[LAC_MAX_RANK], count = lac_tensor_count(indices);
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), data->rank, &axis, err));
    lac_op_strides(data->rank, data->dims, strides);
    size_t size = lac_op_size(data->dtype);
    for (int64_t i = 0; i < count; i++) {
        int64_t index = lac_op_index(indices, i), n = data->dims[axis], rest = i, from = 0;
        if (index < -n || index >= n)
            return wrong_index(i, index, n, err);
        for (int d = data->rank - 1; d >= 0; d--) {
            int64_t at = rest % indices->dims[d];
            rest /= indices->dims[d];
            from += (d == axis ? (index < 0 ? index + n : index) : at) * strides[d];
        }
        memcpy((char *)call->out[0].data + (size_t)i * size,
               (const char *)data->data + (size_t)from * size, size);
    }
    return LAC_OK;
}

const lac_op lac_op_gather_elements = {
    .row = LAC_ROW(lac_op, "GatherElements", "single elements along an axis, by index"),
    .domain = "",
    .since = 11,
    .dtypes = LAC_OP_ANY,
    .attributes = "axis:int=0",
    .infer = infer_elements,
    .run = run_elements,
};

static lac_status infer_nd(const lac_call *call, lac_error *err)
{
    int64_t dims[2 * LAC_MAX_RANK], batch = lac_node_int(call->node, "batch_dims", 0);
    int rank = 0;
    LAC_TRY(lac_op_inputs(call, 2, 2, LAC_OP_ANY, err));
    LAC_TRY(lac_op_type(call, 1, "indices", LAC_BIT(LAC_I64), err));
    const lac_tensor *data = call->in[0], *indices = call->in[1];
    int64_t depth = indices->rank > 0 ? indices->dims[indices->rank - 1] : -1;
    if (batch < 0 || batch >= indices->rank || depth < 1 || depth > data->rank - batch)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "batch_dims %lld, index tuples of %lld, data of rank %d", (long long)batch,
                        (long long)depth, data->rank);
    for (int d = 0; d < batch; d++)
        if (indices->dims[d] != data->dims[d])
            return lac_fail(err, LAC_ERROR_INPUT, "batch dimension %d: data %lld, indices %lld", d,
                            (long long)data->dims[d], (long long)indices->dims[d]);
    for (int d = 0; d < indices->rank - 1; d++)
        dims[rank++] = indices->dims[d];
    for (int64_t d = batch + depth; d < data->rank; d++)
        dims[rank++] = data->dims[d];
    return lac_op_out(call, 0, data->dtype, rank, dims, err);
}

static lac_status run_nd(const lac_call *call, lac_error *err)
{
    const lac_tensor *data = call->in[0], *indices = call->in[1];
    int64_t strides[LAC_MAX_RANK], depth = indices->dims[indices->rank - 1];
    int batch = (int)lac_node_int(call->node, "batch_dims", 0);
    lac_op_strides(data->rank, data->dims, strides);
    int64_t tuples = lac_op_product(indices->dims, 0, indices->rank - 1);
    int64_t per_batch = lac_op_product(indices->dims, batch, indices->rank - 1);
    int64_t batch_stride = lac_op_product(data->dims, batch, data->rank);
    int64_t block = lac_op_product(data->dims, batch + (int)depth, data->rank);
    size_t bytes = (size_t)block * lac_op_size(data->dtype);
    for (int64_t t = 0; t < tuples; t++) {
        int64_t from = t / per_batch * batch_stride;
        for (int64_t d = 0; d < depth; d++) {
            int64_t index = ((const int64_t *)indices->data)[t * depth + d];
            int64_t n = data->dims[batch + d];
            if (index < -n || index >= n)
                return wrong_index(t * depth + d, index, n, err);
            from += (index < 0 ? index + n : index) * strides[batch + d];
        }
        memcpy((char *)call->out[0].data + (size_t)t * bytes,
               (const char *)data->data + (size_t)from * lac_op_size(data->dtype), bytes);
    }
    return LAC_OK;
}

const lac_op lac_op_gather_nd = {
    .row = LAC_ROW(lac_op, "GatherND", "blocks by index tuples"),
    .domain = "",
    .since = 11,
    .dtypes = LAC_OP_ANY,
    .attributes = "batch_dims:int=0",
    .infer = infer_nd,
    .run = run_nd,
};
