/* ScatterElements (once called Scatter) and ScatterND: a copy of the data with updates put, added
 * or multiplied in. One after the other in order, so that repeated indices have one result. */
#include "op/common.h"

#include <string.h>

typedef enum reduction { PUT, ADD, MUL } reduction;

static lac_status read_reduction(const lac_call *call, reduction *how, lac_error *err)
{
    const char *text = lac_node_string(call->node, "reduction", "none");
    *how = strcmp(text, "add") == 0 ? ADD : strcmp(text, "mul") == 0 ? MUL : PUT;
    if (*how == PUT && strcmp(text, "none") != 0)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s: reduction '%.40s' is not none, add or mul",
                        call->node->op, text);
    if (*how != PUT && call->in[0]->dtype == LAC_BOOL)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s: reduction '%s' of bool", call->node->op,
                        text);
    return LAC_OK;
}

#define COMBINE_INT(dtype, type)                                                                   \
    case dtype: {                                                                                  \
        uint64_t a = (uint64_t)((type *)out->data)[to];                                            \
        uint64_t b = (uint64_t)((const type *)updates->data)[from];                                \
        ((type *)out->data)[to] = (type)(how == ADD ? a + b : a * b);                              \
        break;                                                                                     \
    }

static void combine(reduction how, lac_tensor *out, int64_t to, const lac_tensor *updates,
                    int64_t from)
{
    size_t size = lac_op_size(out->dtype);
    if (how == PUT) {
        memcpy((char *)out->data + (size_t)to * size,
               (const char *)updates->data + (size_t)from * size, size);
        return;
    }
    switch (out->dtype) {
        LAC_OP_EACH_INT(COMBINE_INT)
    default: { /* double holds sums and products of two floats well enough to round once */
        double a = lac_tensor_get(out, to), b = lac_tensor_get(updates, from);
        lac_tensor_set(out, to, how == ADD ? a + b : a * b);
        break;
    }
    }
}

/* ---- ScatterElements ----------------------------------------------------------------------- */

typedef struct scatter_job {
    const lac_call *call;
    reduction how;
    int64_t stride, size, step;
} scatter_job;

static void scatter_body(void *context, const int64_t *offset, int64_t n)
{
    const scatter_job *job = context;
    for (int64_t i = 0; i < n; i++) {
        int64_t index = lac_op_index(job->call->in[1], offset[0] + i);
        index += index < 0 ? job->size : 0;
        combine(job->how, &job->call->out[0], offset[1] + i * job->step + index * job->stride,
                job->call->in[2], offset[0] + i);
    }
}

static lac_status infer_scatter(const lac_call *call, lac_error *err)
{
    int axis;
    reduction how;
    LAC_TRY(lac_op_inputs(call, 3, 3, LAC_OP_ANY, err));
    LAC_TRY(lac_op_type(call, 1, "indices", LAC_OP_INDEX, err));
    LAC_TRY(lac_op_type(call, 2, "updates", LAC_BIT(call->in[0]->dtype), err));
    LAC_TRY(read_reduction(call, &how, err));
    const lac_tensor *data = call->in[0], *indices = call->in[1], *updates = call->in[2];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), data->rank, &axis, err));
    bool fits = indices->rank == data->rank && updates->rank == data->rank;
    for (int d = 0; d < data->rank && fits; d++)
        fits = indices->dims[d] == updates->dims[d] &&
               (d == axis || indices->dims[d] <= data->dims[d]);
    if (!fits)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "%s: the shapes of data, indices and updates do not fit", call->node->op);
    return lac_op_out_same(call, err);
}

static lac_status run_scatter(const lac_call *call, lac_error *err)
{
    int axis;
    const lac_tensor *data = call->in[0], *indices = call->in[1];
    lac_walk walk = {.rank = data->rank, .operands = 2};
    scatter_job job = {.call = call};
    LAC_TRY(read_reduction(call, &job.how, err));
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), data->rank, &axis, err));
    job.size = data->dims[axis];
    for (int64_t i = 0, n = lac_tensor_count(indices); i < n; i++) {
        int64_t index = lac_op_index(indices, i);
        if (index < -job.size || index >= job.size)
            return lac_fail(err, LAC_ERROR_INPUT, "%s: indices[%lld] is %lld, outside -%lld..%lld",
                            call->node->op, (long long)i, (long long)index, (long long)job.size,
                            (long long)job.size - 1);
    }
    lac_op_copy(call, 0, 0);
    memcpy(walk.dims, indices->dims, sizeof indices->dims);
    lac_op_strides(data->rank, indices->dims, walk.stride[0]);
    lac_op_strides(data->rank, data->dims, walk.stride[1]);
    job.stride = walk.stride[1][axis];
    walk.stride[1][axis] = 0;
    lac_walk_collapse(&walk);
    job.step = walk.stride[1][walk.rank - 1];
    lac_walk_each(&walk, lac_tensor_count(indices), scatter_body, &job); /* whole: in order */
    return LAC_OK;
}

const lac_op lac_op_scatter_elements = {
    .row = LAC_ROW(lac_op, "ScatterElements", "the data with one element updated for every index"),
    .domain = "",
    .since = 11,
    .dtypes = LAC_OP_ANY,
    .attributes = "axis:int=0 reduction:string=none",
    .flags = LAC_OP_INPLACE,
    .infer = infer_scatter,
    .run = run_scatter,
};

const lac_op lac_op_scatter = {
    .row = LAC_ROW(lac_op, "Scatter", "ScatterElements under its name before opset 11"),
    .domain = "",
    .since = 9,
    .dtypes = LAC_OP_ANY,
    .attributes = "axis:int=0",
    .flags = LAC_OP_INPLACE,
    .infer = infer_scatter,
    .run = run_scatter,
};

/* ---- ScatterND ----------------------------------------------------------------------------- */

static lac_status infer_nd(const lac_call *call, lac_error *err)
{
    reduction how;
    LAC_TRY(lac_op_inputs(call, 3, 3, LAC_OP_ANY, err));
    LAC_TRY(lac_op_type(call, 1, "indices", LAC_BIT(LAC_I64), err));
    LAC_TRY(lac_op_type(call, 2, "updates", LAC_BIT(call->in[0]->dtype), err));
    LAC_TRY(read_reduction(call, &how, err));
    const lac_tensor *data = call->in[0], *indices = call->in[1], *updates = call->in[2];
    int64_t tuple = indices->rank > 0 ? indices->dims[indices->rank - 1] : -1;
    bool fits = tuple >= 0 && tuple <= data->rank &&
                updates->rank == indices->rank - 1 + data->rank - (int)tuple;
    for (int d = 0; fits && d < updates->rank; d++)
        fits = updates->dims[d] == (d < indices->rank - 1
                                        ? indices->dims[d]
                                        : data->dims[d - (indices->rank - 1) + (int)tuple]);
    if (!fits)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "ScatterND: the shapes of data, indices and updates do not fit");
    return lac_op_out_same(call, err);
}

static lac_status run_nd(const lac_call *call, lac_error *err)
{
    reduction how;
    const lac_tensor *data = call->in[0], *indices = call->in[1];
    int64_t strides[LAC_MAX_RANK], tuple = indices->dims[indices->rank - 1];
    LAC_TRY(read_reduction(call, &how, err));
    lac_op_copy(call, 0, 0);
    if (lac_tensor_count(call->in[2]) == 0)
        return LAC_OK;
    lac_op_strides(data->rank, data->dims, strides);
    int64_t run = lac_op_product(data->dims, (int)tuple, data->rank);
    int64_t tuples = lac_tensor_count(call->in[2]) / run;
    for (int64_t i = 0; i < tuples; i++) {
        int64_t to = 0;
        for (int k = 0; k < tuple; k++) {
            int64_t index = lac_op_index(indices, i * tuple + k), size = data->dims[k];
            if (index < -size || index >= size)
                return lac_fail(err, LAC_ERROR_INPUT,
                                "ScatterND: index %lld of tuple %lld is outside -%lld..%lld",
                                (long long)index, (long long)i, (long long)size,
                                (long long)size - 1);
            to += (index + (index < 0 ? size : 0)) * strides[k];
        }
        for (int64_t j = 0; j < run; j++)
            combine(how, &call->out[0], to + j, call->in[2], i * run + j);
    }
    return LAC_OK;
}

const lac_op lac_op_scatter_nd = {
    .row = LAC_ROW(lac_op, "ScatterND", "the data with slices updated at index tuples"),
    .domain = "",
    .since = 11,
    .dtypes = LAC_OP_ANY,
    .attributes = "reduction:string=none",
    .flags = LAC_OP_INPLACE,
    .infer = infer_nd,
    .run = run_nd,
};
