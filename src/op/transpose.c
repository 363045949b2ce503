/* Transpose, and the rearrangements that are a transposition under other names. */
#include "op/common.h"

#include <string.h>

/* perm of the node, or the reversal; is a permutation of 0..rank-1. */
static lac_status permutation(const lac_call *call, int *perm, lac_error *err)
{
    int rank = call->in[0]->rank;
    int64_t n;
    bool is[LAC_MAX_RANK];
    const int64_t *attr = lac_node_ints(call->node, "perm", &n);
    for (int i = 0; i < rank; i++)
        perm[i] = rank - 1 - i;
    if (!attr)
        return LAC_OK;
    if (n != rank)
        return lac_fail(err, LAC_ERROR_INPUT, "Transpose: perm has %lld entries, the data rank %d",
                        (long long)n, rank);
    LAC_TRY(lac_op_axes(n, attr, rank, is, err));
    for (int i = 0; i < rank; i++)
        LAC_TRY(lac_op_axis(attr[i], rank, &perm[i], err));
    return LAC_OK;
}

static lac_status infer_transpose(const lac_call *call, lac_error *err)
{
    int perm[LAC_MAX_RANK];
    int64_t dims[LAC_MAX_RANK];
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_ANY, err));
    LAC_TRY(permutation(call, perm, err));
    const lac_tensor *in = call->in[0];
    for (int i = 0; i < in->rank; i++)
        dims[i] = in->dims[perm[i]];
    return lac_op_out(call, 0, in->dtype, in->rank, dims, err);
}

/* Writes `data` of shape `dims` transposed by `perm` to `target`. */
static void transpose(lac_dtype dtype, int rank, const int64_t *dims, const int *perm,
                      const void *data, void *target)
{
    lac_walk walk = {.rank = rank, .operands = 2};
    int64_t strides[LAC_MAX_RANK];
    lac_op_strides(rank, dims, strides);
    for (int i = 0; i < rank; i++) {
        walk.dims[i] = dims[perm[i]];
        walk.stride[1][i] = strides[perm[i]];
    }
    lac_op_strides(rank, walk.dims, walk.stride[0]);
    lac_walk_copy(walk, lac_op_size(dtype), target, data);
}

static lac_status run_transpose(const lac_call *call, lac_error *err)
{
    int perm[LAC_MAX_RANK];
    LAC_TRY(permutation(call, perm, err));
    const lac_tensor *in = call->in[0];
    transpose(in->dtype, in->rank, in->dims, perm, in->data, call->out[0].data);
    return LAC_OK;
}

const lac_op lac_op_transpose = {
    .row = LAC_ROW(lac_op, "Transpose", "permutes the dimensions"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "perm:ints",
    .infer = infer_transpose,
    .run = run_transpose,
};
