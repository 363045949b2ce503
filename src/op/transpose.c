/* Transpose, and the rearrangements that are a transposition under other names. */
#include "op/common.h"
#include "op/gradient.h"

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
    .gradient = lac_gradient_transpose,
};

/* ---- DepthToSpace, SpaceToDepth: [n, c, h, w] with c or h and w taken apart ----------------- */

static lac_status block_size(const lac_call *call, int64_t *block, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_ANY, err));
    *block = lac_node_int(call->node, "blocksize", 0);
    if (call->in[0]->rank != 4)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: the input has rank %d, not 4", call->node->op,
                        call->in[0]->rank);
    if (*block < 1 || *block > INT32_MAX)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: blocksize %lld", call->node->op,
                        (long long)*block);
    return LAC_OK;
}

static lac_status infer_to_space(const lac_call *call, lac_error *err)
{
    int64_t block;
    LAC_TRY(block_size(call, &block, err));
    const lac_tensor *in = call->in[0];
    const char *mode = lac_node_string(call->node, "mode", "DCR");
    if (strcmp(mode, "DCR") != 0 && strcmp(mode, "CRD") != 0)
        return lac_fail(err, LAC_ERROR_INPUT, "DepthToSpace: mode '%.40s' is not DCR or CRD", mode);
    int64_t dims[4] = {in->dims[0], in->dims[1] / (block * block)};
    if (in->dims[1] % (block * block) != 0 ||
        __builtin_mul_overflow(in->dims[2], block, &dims[2]) ||
        __builtin_mul_overflow(in->dims[3], block, &dims[3]))
        return lac_fail(err, LAC_ERROR_INPUT, "DepthToSpace: blocksize %lld for %lld channels",
                        (long long)block, (long long)in->dims[1]);
    return lac_op_out(call, 0, in->dtype, 4, dims, err);
}

static lac_status run_to_space(const lac_call *call, lac_error *err)
{
    static const int dcr[6] = {0, 3, 4, 1, 5, 2}, crd[6] = {0, 1, 4, 2, 5, 3};
    int64_t b;
    LAC_TRY(block_size(call, &b, err));
    const lac_tensor *in = call->in[0];
    const int64_t *d = in->dims, depth = d[1] / (b * b);
    bool is_dcr = lac_node_string(call->node, "mode", "DCR")[0] == 'D';
    int64_t dims[6] = {d[0], is_dcr ? b : depth, b, is_dcr ? depth : b, d[2], d[3]};
    transpose(in->dtype, 6, dims, is_dcr ? dcr : crd, in->data, call->out[0].data);
    return LAC_OK;
}

const lac_op lac_op_depth_to_space = {
    .row = LAC_ROW(lac_op, "DepthToSpace", "channels become blocks of pixels"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "blocksize:int mode:string=DCR",
    .infer = infer_to_space,
    .run = run_to_space,
};

static lac_status infer_to_depth(const lac_call *call, lac_error *err)
{
    int64_t block;
    LAC_TRY(block_size(call, &block, err));
    const lac_tensor *in = call->in[0];
    int64_t dims[4] = {in->dims[0], 0, in->dims[2] / block, in->dims[3] / block};
    if (in->dims[2] % block != 0 || in->dims[3] % block != 0 ||
        __builtin_mul_overflow(in->dims[1], block * block, &dims[1]))
        return lac_fail(err, LAC_ERROR_INPUT, "SpaceToDepth: blocksize %lld for %lldx%lld pixels",
                        (long long)block, (long long)in->dims[2], (long long)in->dims[3]);
    return lac_op_out(call, 0, in->dtype, 4, dims, err);
}

static lac_status run_to_depth(const lac_call *call, lac_error *err)
{
    static const int perm[6] = {0, 3, 5, 1, 2, 4};
    int64_t b;
    LAC_TRY(block_size(call, &b, err));
    const lac_tensor *in = call->in[0];
    const int64_t *d = in->dims;
    int64_t dims[6] = {d[0], d[1], d[2] / b, b, d[3] / b, b};
    transpose(in->dtype, 6, dims, perm, in->data, call->out[0].data);
    return LAC_OK;
}

const lac_op lac_op_space_to_depth = {
    .row = LAC_ROW(lac_op, "SpaceToDepth", "blocks of pixels become channels"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_ANY,
    .attributes = "blocksize:int",
    .infer = infer_to_depth,
    .run = run_to_depth,
};
