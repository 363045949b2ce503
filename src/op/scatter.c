/* ScatterElements, ScatterND (and Scatter, the old name): a copy of the data with updates put in.
 */
#include "op/common.h"

#include <string.h>

typedef enum reduction { NONE, ADD, MUL, MAX, MIN } reduction;

static lac_status read_reduction(const lac_call *call, reduction *how, lac_error *err)
{
    static const char *const names[] = {"none", "add", "mul", "max", "min"};
    const char *name = lac_node_string(call->node, "reduction", "none");
    for (int i = 0; i < 5; i++)
        if (strcmp(name, names[i]) == 0) {
            *how = (reduction)i;
            return LAC_OK;
        }
    return lac_fail(err, LAC_ERROR_INPUT, "reduction '%s': want none, add or mul", name);
}

/* out[to] = out[to] (how) updates[from]. */
static void put(const lac_tensor *out, int64_t to, const lac_tensor *updates, int64_t from,
                reduction how)
{
    size_t size = lac_op_size(out->dtype);
    char *target = (char *)out->data + (size_t)to * size;
    const char *source = (const char *)updates->data + (size_t)from * size;
    if (how == NONE) {
        memcpy(target, source, size);
        return;
    }
    if (out->dtype == LAC_I64) { /* exact beyond 2^53 */
        uint64_t a, b;
        memcpy(&a, target, 8);
        memcpy(&b, source, 8);
        bool less = (int64_t)a < (int64_t)b;
        a = how == ADD ? a + b : how == MUL ? a * b : (how == MAX) == less ? b : a;
        memcpy(target, &a, 8);
        return;
    }
    double a = lac_tensor_get(out, to), b = lac_tensor_get(updates, from);
    double c = how == ADD ? a + b : how == MUL ? a * b : (how == MAX) == (a < b) ? b : a;
    lac_tensor_set((lac_tensor *)out, to, c);
}

static lac_status infer_elements(const lac_call *call, lac_error *err)
{
    int axis;
    reduction how = NONE;
    LAC_TRY(lac_op_inputs(call, 3, 3, LAC_OP_ANY, err));
    LAC_TRY(lac_op_type(call, 1, "indices", LAC_OP_INDEX, err));
    const lac_tensor *data = call->in[0], *indices = call->in[1], *updates = call->in[2];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), data->rank, &axis, err));
    LAC_TRY(read_reduction(call, &how, err));
    if (updates->dtype != data->dtype || indices->rank != data->rank || updates->rank != data->rank)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "data, indices and updates: want one rank, updates of the data's type");
    for (int i = 0; i < data->rank; i++)
        if (indices->dims[i] != updates->dims[i] || (i != axis && indices->dims[i] > data->dims[i]))
            return lac_fail(err, LAC_ERROR_INPUT,
                            "dimension %d: data %lld, indices %lld, updates "
                            "%lld",
                            i, (long long)data->dims[i], (long long)indices->dims[i],
                            (long long)updates->dims[i]);
    return lac_op_out_same(call, err);
}

static lac_status run_elements(const lac_call *call, lac_error *err)
{
    int axis;
    reduction how = NONE;
    const lac_tensor *indices = call->in[1];
    lac_tensor *out = &call->out[0];
    int64_t strides[LAC_MAX_RANK], count = lac_tensor_count(indices);
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), out->rank, &axis, err));
    LAC_TRY(read_reduction(call, &how, err));
    lac_op_copy(call, 0, 0);
    lac_op_strides(out->rank, out->dims, strides);
    for (int64_t i = 0; i < count; i++) {
        int64_t index = lac_op_index(indices, i), rest = i, to = 0, n = out->dims[axis];
        if (index < -n || index >= n)
            return lac_fail(err, LAC_ERROR_INPUT, "indices[%lld] = %lld, want %lld..%lld",
                            (long long)i, (long long)index, (long long)-n, (long long)n - 1);
        for (int d = out->rank - 1; d >= 0; d--) {
            int64_t at = rest % indices->dims[d];
            rest /= indices->dims[d];
            to += (d == axis ? (index < 0 ? index + n : index) : at) * strides[d];
        }
        put(out, to, call->in[2], i, how);
    }
    return LAC_OK;
}

static lac_status infer_nd(const lac_call *call, lac_error *err)
{
    reduction how = NONE;
    LAC_TRY(lac_op_inputs(call, 3, 3, LAC_OP_ANY, err));
    LAC_TRY(lac_op_type(call, 1, "indices", LAC_BIT(LAC_I64), err));
    LAC_TRY(read_reduction(call, &how, err));
    const lac_tensor *data = call->in[0], *indices = call->in[1], *updates = call->in[2];
    int64_t depth = indices->rank > 0 ? indices->dims[indices->rank - 1] : -1;
    if (depth < 0 || depth > data->rank || updates->dtype != data->dtype ||
        updates->rank != indices->rank - 1 + data->rank - depth)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "indices of rank %d and depth %lld do not fit data of rank %d and updates "
                        "of rank %d",
                        indices->rank, (long long)depth, data->rank, updates->rank);
    for (int i = 0; i < updates->rank; i++) {
        int64_t want =
            i < indices->rank - 1 ? indices->dims[i] : data->dims[depth + i - (indices->rank - 1)];
        if (updates->dims[i] != want)
            return lac_fail(err, LAC_ERROR_INPUT, "updates dimension %d is %lld, want %lld", i,
                            (long long)updates->dims[i], (long long)want);
    }
    return lac_op_out_same(call, err);
}

static lac_status run_nd(const lac_call *call, lac_error *err)
{
    reduction how = NONE;
    const lac_tensor *indices = call->in[1];
    lac_tensor *out = &call->out[0];
    int64_t strides[LAC_MAX_RANK], depth = indices->dims[indices->rank - 1];
    LAC_TRY(read_reduction(call, &how, err));
    lac_op_copy(call, 0, 0);
    lac_op_strides(out->rank, out->dims, strides);
    int64_t block = lac_op_product(out->dims, (int)depth, out->rank);
    int64_t blocks = lac_op_product(indices->dims, 0, indices->rank - 1);
    for (int64_t b = 0; b < blocks; b++) {
        int64_t to = 0;
        for (int64_t d = 0; d < depth; d++) {
            int64_t index = ((const int64_t *)indices->data)[b * depth + d], n = out->dims[d];
            if (index < -n || index >= n)
                return lac_fail(err, LAC_ERROR_INPUT, "indices[%lld] = %lld, want %lld..%lld",
                                (long long)(b * depth + d), (long long)index, (long long)-n,
                                (long long)n - 1);
            to += (index < 0 ? index + n : index) * strides[d];
        }
        for (int64_t i = 0; i < block; i++)
            put(out, to + i, call->in[2], b * block + i, how);
    }
    return LAC_OK;
}

#define ELEMENTS(variable, name)                                                                   \
    const lac_op lac_op_##variable = {                                                             \
        .row = LAC_ROW(lac_op, name, "puts updates at indices along an axis"),                     \
        .domain = "",                                                                              \
        .since = 9,                                                                                \
        .dtypes = LAC_OP_ANY,                                                                      \
        .attributes = "axis:int=0 reduction:string=none",                                          \
        .flags = LAC_OP_INPLACE,                                                                   \
        .infer = infer_elements,                                                                   \
        .run = run_elements,                                                                       \
    };
ELEMENTS(scatter_elements, "ScatterElements")
ELEMENTS(scatter, "Scatter")

const lac_op lac_op_scatter_nd = {
    .row = LAC_ROW(lac_op, "ScatterND", "puts blocks of updates at index tuples"),
    .domain = "",
    .since = 11,
    .dtypes = LAC_OP_ANY,
    .attributes = "reduction:string=none",
    .flags = LAC_OP_INPLACE,
    .infer = infer_nd,
    .run = run_nd,
};
