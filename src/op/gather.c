/* Gather, GatherElements, GatherND. Indices count from the end where negative; one outside is an
 * error of the run, found before anything is written. */
#include "op/common.h"

#include "core/parallel.h"

#include <string.h>

static lac_status check_indices(const lac_call *call, const lac_tensor *indices, int64_t size,
                                lac_error *err)
{
    for (int64_t i = 0, n = lac_tensor_count(indices); i < n; i++) {
        int64_t index = lac_op_index(indices, i);
        if (index < -size || index >= size)
            return lac_fail(err, LAC_ERROR_INPUT, "%s: indices[%lld] is %lld, outside -%lld..%lld",
                            call->node->op, (long long)i, (long long)index, (long long)size,
                            (long long)size - 1);
    }
    return LAC_OK;
}

/* ---- Gather -------------------------------------------------------------------------------- */

typedef struct gather_job {
    const lac_tensor *data, *indices;
    char *out;
    int64_t size, n; /* along the axis; indices */
    size_t run;      /* bytes of one slice */
} gather_job;

static void gather_part(void *context, int64_t begin, int64_t end)
{
    const gather_job *job = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t index = lac_op_index(job->indices, i % job->n);
        index += index < 0 ? job->size : 0;
        memcpy(job->out + i * (int64_t)job->run,
               (const char *)job->data->data + (i / job->n * job->size + index) * (int64_t)job->run,
               job->run);
    }
}

static lac_status infer_gather(const lac_call *call, lac_error *err)
{
    int axis, rank = 0;
    int64_t dims[2 * LAC_MAX_RANK];
    LAC_TRY(lac_op_inputs(call, 2, 2, LAC_OP_ANY, err));
    LAC_TRY(lac_op_type(call, 1, "indices", LAC_OP_INDEX, err));
    const lac_tensor *data = call->in[0], *indices = call->in[1];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), data->rank, &axis, err));
    for (int d = 0; d < axis; d++)
        dims[rank++] = data->dims[d];
    for (int d = 0; d < indices->rank; d++)
        dims[rank++] = indices->dims[d];
    for (int d = axis + 1; d < data->rank; d++)
        dims[rank++] = data->dims[d];
    return lac_op_out(call, 0, data->dtype, rank, dims, err);
}

static lac_status run_gather(const lac_call *call, lac_error *err)
{
    int axis;
    const lac_tensor *data = call->in[0], *indices = call->in[1];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), data->rank, &axis, err));
    LAC_TRY(check_indices(call, indices, data->dims[axis], err));
    if (lac_tensor_count(&call->out[0]) == 0)
        return LAC_OK;
    int64_t run = lac_op_product(data->dims, axis + 1, data->rank);
    gather_job job = {data,
                      indices,
                      call->out[0].data,
                      data->dims[axis],
                      lac_tensor_count(indices),
                      (size_t)run * lac_op_size(data->dtype)};
    lac_parallel_for(lac_op_product(data->dims, 0, axis) * job.n, 1 + LAC_OP_GRAIN / run,
                     gather_part, &job);
    return LAC_OK;
}

const lac_op lac_op_gather = {
    .row = LAC_ROW(lac_op, "Gather", "slices of the data chosen by indices along an axis"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "axis:int=0",
    .infer = infer_gather,
    .run = run_gather,
};

/* ---- GatherElements ------------------------------------------------------------------------ */

typedef struct elements_job {
    const lac_tensor *data, *indices;
    char *out;
    int64_t stride, size, step; /* of the data along the axis; of the walk's last dim */
    size_t bytes;
} elements_job;

static void elements_body(void *context, const int64_t *offset, int64_t n)
{
    const elements_job *job = context;
    for (int64_t i = 0; i < n; i++) {
        int64_t index = lac_op_index(job->indices, offset[0] + i);
        int64_t from =
            offset[1] + i * job->step + (index + (index < 0 ? job->size : 0)) * job->stride;
        memcpy(job->out + (offset[0] + i) * (int64_t)job->bytes,
               (const char *)job->data->data + from * (int64_t)job->bytes, job->bytes);
    }
}

static lac_status infer_elements(const lac_call *call, lac_error *err)
{
    int axis;
    LAC_TRY(lac_op_inputs(call, 2, 2, LAC_OP_ANY, err));
    LAC_TRY(lac_op_type(call, 1, "indices", LAC_OP_INDEX, err));
    const lac_tensor *data = call->in[0], *indices = call->in[1];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), data->rank, &axis, err));
    bool fits = indices->rank == data->rank;
    for (int d = 0; d < data->rank && fits; d++)
        fits = d == axis || indices->dims[d] <= data->dims[d];
    if (!fits)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "GatherElements: the indices' shape exceeds the "
                        "data's");
    return lac_op_out(call, 0, data->dtype, indices->rank, indices->dims, err);
}

static lac_status run_elements(const lac_call *call, lac_error *err)
{
    int axis;
    const lac_tensor *data = call->in[0], *indices = call->in[1];
    lac_walk walk = {.rank = data->rank, .operands = 2};
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), data->rank, &axis, err));
    LAC_TRY(check_indices(call, indices, data->dims[axis], err));
    memcpy(walk.dims, indices->dims, sizeof indices->dims);
    lac_op_strides(data->rank, indices->dims, walk.stride[0]);
    lac_op_strides(data->rank, data->dims, walk.stride[1]);
    elements_job job = {.data = data,
                        .indices = indices,
                        .out = call->out[0].data,
                        .stride = walk.stride[1][axis],
                        .size = data->dims[axis],
                        .bytes = lac_op_size(data->dtype)};
    walk.stride[1][axis] = 0;
    lac_walk_collapse(&walk);
    job.step = walk.stride[1][walk.rank - 1];
    lac_walk_each(&walk, LAC_OP_GRAIN, elements_body, &job);
    return LAC_OK;
}

const lac_op lac_op_gather_elements = {
    .row = LAC_ROW(lac_op, "GatherElements", "one element of the data for every index"),
    .domain = "",
    .since = 11,
    .dtypes = LAC_OP_ANY,
    .attributes = "axis:int=0",
    .infer = infer_elements,
    .run = run_elements,
};

/* ---- GatherND ------------------------------------------------------------------------------ */

/* batch_dims and the length of an index tuple, checked. */
static lac_status nd_shape(const lac_call *call, int *batch, int *tuple, lac_error *err)
{
    const lac_tensor *data = call->in[0], *indices = call->in[1];
    int64_t b = lac_node_int(call->node, "batch_dims", 0);
    int least = data->rank < indices->rank ? data->rank : indices->rank;
    if (data->rank < 1 || indices->rank < 1 || b < 0 || b >= least)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "GatherND: batch_dims %lld of data rank %d, indices rank %d", (long long)b,
                        data->rank, indices->rank);
    int64_t k = indices->dims[indices->rank - 1];
    if (k < 1 || k > data->rank - b)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "GatherND: index tuples of %lld for data rank %d, batch_dims %lld",
                        (long long)k, data->rank, (long long)b);
    for (int d = 0; d < (int)b; d++)
        if (data->dims[d] != indices->dims[d])
            return lac_fail(err, LAC_ERROR_INPUT, "GatherND: batch dimension %d differs", d);
    *batch = (int)b;
    *tuple = (int)k;
    return LAC_OK;
}

static lac_status infer_nd(const lac_call *call, lac_error *err)
{
    int batch, tuple, rank = 0;
    int64_t dims[2 * LAC_MAX_RANK];
    LAC_TRY(lac_op_inputs(call, 2, 2, LAC_OP_ANY, err));
    LAC_TRY(lac_op_type(call, 1, "indices", LAC_BIT(LAC_I64), err));
    LAC_TRY(nd_shape(call, &batch, &tuple, err));
    const lac_tensor *data = call->in[0], *indices = call->in[1];
    for (int d = 0; d < indices->rank - 1; d++)
        dims[rank++] = indices->dims[d];
    for (int d = batch + tuple; d < data->rank; d++)
        dims[rank++] = data->dims[d];
    return lac_op_out(call, 0, data->dtype, rank, dims, err);
}

static lac_status run_nd(const lac_call *call, lac_error *err)
{
    int batch, tuple;
    LAC_TRY(nd_shape(call, &batch, &tuple, err));
    const lac_tensor *data = call->in[0], *indices = call->in[1];
    if (lac_tensor_count(&call->out[0]) == 0)
        return LAC_OK;
    int64_t strides[LAC_MAX_RANK];
    lac_op_strides(data->rank, data->dims, strides);
    size_t run =
        (size_t)lac_op_product(data->dims, batch + tuple, data->rank) * lac_op_size(data->dtype);
    int64_t tuples = lac_tensor_count(indices) / tuple;
    int64_t per_batch = tuples / lac_op_product(data->dims, 0, batch);
    int64_t slice = lac_op_product(data->dims, batch, data->rank);
    for (int64_t i = 0; i < tuples; i++) {
        int64_t from = i / per_batch * slice;
        for (int k = 0; k < tuple; k++) {
            int64_t index = lac_op_index(indices, i * tuple + k), size = data->dims[batch + k];
            if (index < -size || index >= size)
                return lac_fail(err, LAC_ERROR_INPUT,
                                "GatherND: index %lld of tuple %lld is outside -%lld..%lld",
                                (long long)index, (long long)i, (long long)size,
                                (long long)size - 1);
            from += (index + (index < 0 ? size : 0)) * strides[batch + k];
        }
        memcpy((char *)call->out[0].data + i * (int64_t)run,
               (const char *)data->data + (size_t)from * lac_op_size(data->dtype), run);
    }
    return LAC_OK;
}

const lac_op lac_op_gather_nd = {
    .row = LAC_ROW(lac_op, "GatherND", "slices of the data chosen by index tuples"),
    .domain = "",
    .since = 11,
    .dtypes = LAC_OP_ANY,
    .attributes = "batch_dims:int=0",
    .infer = infer_nd,
    .run = run_nd,
};
