/* NonZero and Compress: the output's shape is a count of the data, so infer needs the data. */
#include "op/common.h"

#include <string.h>

/* ---- NonZero ------------------------------------------------------------------------------- */

static lac_status infer_nonzero(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_ANY, err));
    const lac_tensor *in = call->in[0];
    int64_t n = lac_tensor_count(in), dims[2] = {in->rank, 0};
    if (n > 0 && !in->data)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "NonZero: shape depends on data of input 'X'");
    for (int64_t i = 0; i < n; i++)
        dims[1] += lac_tensor_get(in, i) != 0;
    return lac_op_out(call, 0, LAC_I64, 2, dims, err);
}

static lac_status run_nonzero(const lac_call *call, lac_error *err)
{
    const lac_tensor *in = call->in[0];
    int64_t *out = call->out[0].data, found = call->out[0].dims[1], column = 0;
    (void)err;
    for (int64_t i = 0, n = lac_tensor_count(in); i < n; i++) {
        if (lac_tensor_get(in, i) == 0)
            continue;
        int64_t rest = i;
        for (int d = in->rank - 1; d >= 0; d--) {
            out[d * found + column] = rest % in->dims[d];
            rest /= in->dims[d];
        }
        column++;
    }
    return LAC_OK;
}

const lac_op lac_op_nonzero = {
    .row = LAC_ROW(lac_op, "NonZero", "indices of the elements that are not 0 (known data only)"),
    .domain = "",
    .since = 9,
    .dtypes = LAC_OP_ANY,
    .attributes = "",
    .infer = infer_nonzero,
    .run = run_nonzero,
};

/* ---- Compress ------------------------------------------------------------------------------ */

/* The axis (-1: the flattened input), its size and the sizes around it. */
static lac_status compress_axis(const lac_call *call, int *axis, int64_t *size, lac_error *err)
{
    const lac_tensor *in = call->in[0];
    *axis = -1;
    if (lac_node_attr(call->node, "axis"))
        LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), in->rank, axis, err));
    *size = *axis < 0 ? lac_tensor_count(in) : in->dims[*axis];
    return LAC_OK;
}

static lac_status infer_compress(const lac_call *call, lac_error *err)
{
    int axis;
    int64_t size, kept = 0, dims[LAC_MAX_RANK];
    LAC_TRY(lac_op_inputs(call, 2, 2, LAC_OP_ANY, err));
    LAC_TRY(lac_op_type(call, 1, "condition", LAC_BIT(LAC_BOOL), err));
    LAC_TRY(compress_axis(call, &axis, &size, err));
    const lac_tensor *in = call->in[0], *condition = call->in[1];
    if (condition->rank != 1 || condition->dims[0] > size)
        return lac_fail(err, LAC_ERROR_INPUT, "Compress: condition is longer than %lld",
                        (long long)size);
    if (!condition->data && condition->dims[0] > 0)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "Compress: shape depends on data of input 'condition'");
    for (int64_t i = 0; i < condition->dims[0]; i++)
        kept += ((const uint8_t *)condition->data)[i] != 0;
    memcpy(dims, in->dims, sizeof dims);
    dims[axis < 0 ? 0 : axis] = kept;
    return lac_op_out(call, 0, in->dtype, axis < 0 ? 1 : in->rank, dims, err);
}

static lac_status run_compress(const lac_call *call, lac_error *err)
{
    int axis;
    int64_t size;
    const lac_tensor *in = call->in[0], *condition = call->in[1];
    LAC_TRY(compress_axis(call, &axis, &size, err));
    if (lac_tensor_count(&call->out[0]) == 0)
        return LAC_OK;
    int64_t outer = axis < 0 ? 1 : lac_op_product(in->dims, 0, axis);
    size_t run = (size_t)(axis < 0 ? 1 : lac_op_product(in->dims, axis + 1, in->rank)) *
                 lac_op_size(in->dtype);
    char *target = call->out[0].data;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < condition->dims[0]; i++)
            if (((const uint8_t *)condition->data)[i]) {
                memcpy(target, (const char *)in->data + (size_t)(o * size + i) * run, run);
                target += run;
            }
    return LAC_OK;
}

const lac_op lac_op_compress = {
    .row = LAC_ROW(lac_op, "Compress", "slices where a known condition holds"),
    .domain = "",
    .since = 9,
    .dtypes = LAC_OP_ANY,
    .attributes = "axis:int",
    .infer = infer_compress,
    .run = run_compress,
};
