/* ArgMax, ArgMin and TopK: positions of extreme elements along one axis. */
#include "core/memory.h"
#include "op/common.h"

#include <stdlib.h>
#include <string.h>

static lac_status read_axis(const lac_call *call, int64_t initial, int *axis, lac_error *err)
{
    return lac_op_axis(lac_node_int(call->node, "axis", initial), call->in[0]->rank, axis, err);
}

static lac_status infer_arg(const lac_call *call, lac_error *err)
{
    int axis, rank = 0;
    int64_t dims[LAC_MAX_RANK];
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_NUMBERS, err));
    LAC_TRY(read_axis(call, 0, &axis, err));
    if (call->in[0]->dims[axis] == 0)
        return lac_fail(err, LAC_ERROR_INPUT, "axis %d has no element", axis);
    bool keep = lac_node_int(call->node, "keepdims", 1) != 0;
    for (int i = 0; i < call->in[0]->rank; i++)
        if (i != axis)
            dims[rank++] = call->in[0]->dims[i];
        else if (keep)
            dims[rank++] = 1;
    return lac_op_out(call, 0, LAC_I64, rank, dims, err);
}

/* Does element a come before element b? Exact for 64-bit integers. */
static bool before(const lac_tensor *x, int64_t a, int64_t b, bool largest)
{
    if (x->dtype == LAC_I64) {
        int64_t u = ((const int64_t *)x->data)[a], v = ((const int64_t *)x->data)[b];
        return largest ? u > v : u < v;
    }
    if (x->dtype == LAC_U64) {
        uint64_t u = ((const uint64_t *)x->data)[a], v = ((const uint64_t *)x->data)[b];
        return largest ? u > v : u < v;
    }
    double u = lac_tensor_get(x, a), v = lac_tensor_get(x, b);
    return largest ? u > v : u < v;
}

static lac_status run_arg(const lac_call *call, bool largest, lac_error *err)
{
    int axis;
    LAC_TRY(read_axis(call, 0, &axis, err));
    const lac_tensor *x = call->in[0];
    int64_t n = x->dims[axis], inner = lac_op_product(x->dims, axis + 1, x->rank);
    bool last = lac_node_int(call->node, "select_last_index", 0) != 0;
    for (int64_t r = 0; r < lac_tensor_count(&call->out[0]); r++) {
        int64_t base = r / inner * n * inner + r % inner, best = 0;
        for (int64_t i = 1; i < n; i++) {
            bool better = before(x, base + i * inner, base + best * inner, largest);
            bool equal =
                last && !better && !before(x, base + best * inner, base + i * inner, largest);
            if (better || equal)
                best = i;
        }
        ((int64_t *)call->out[0].data)[r] = best;
    }
    return LAC_OK;
}

static lac_status run_arg_max(const lac_call *call, lac_error *err)
{
    return run_arg(call, true, err);
}

static lac_status run_arg_min(const lac_call *call, lac_error *err)
{
    return run_arg(call, false, err);
}

#define ARG(variable, name, what)                                                                  \
    const lac_op lac_op_##variable = {                                                             \
        .row = LAC_ROW(lac_op, name, what),                                                        \
        .domain = "",                                                                              \
        .since = 1,                                                                                \
        .dtypes = LAC_OP_NUMBERS,                                                                  \
        .attributes = "axis:int=0 keepdims:int=1 select_last_index:int=0",                         \
        .infer = infer_arg,                                                                        \
        .run = run_##variable,                                                                     \
    };
ARG(arg_max, "ArgMax", "position of the largest element along an axis")
ARG(arg_min, "ArgMin", "position of the least element along an axis")

/* ---- TopK: k is an attribute before opset 10, then an input -------------------------------------
 */

static lac_status read_k(const lac_call *call, int64_t *k, lac_error *err)
{
    int n;
    if (call->opset < 10) {
        *k = lac_node_int(call->node, "k", -1);
        return LAC_OK;
    }
    if (!lac_op_in(call, 1))
        return lac_fail(err, LAC_ERROR_INPUT, "input 'K' is missing");
    return lac_op_ints(call, 1, "K", 1, k, &n, err);
}

static lac_status infer_top_k(const lac_call *call, lac_error *err)
{
    int axis;
    int64_t k = 0, dims[LAC_MAX_RANK];
    LAC_TRY(lac_op_inputs(call, 1, 2, LAC_OP_NUMBERS, err));
    LAC_TRY(read_axis(call, -1, &axis, err));
    LAC_TRY(read_k(call, &k, err));
    const lac_tensor *x = call->in[0];
    if (k < 0 || k > x->dims[axis])
        return lac_fail(err, LAC_ERROR_INPUT, "k = %lld, want 0..%lld", (long long)k,
                        (long long)x->dims[axis]);
    memcpy(dims, x->dims, sizeof dims);
    dims[axis] = k;
    LAC_TRY(lac_op_out(call, 0, x->dtype, x->rank, dims, err));
    return call->n_out > 1 ? lac_op_out(call, 1, LAC_I64, x->rank, dims, err) : LAC_OK;
}

/* Moves positions[0..n) so that the first k are the extreme ones in order: a heap of all, then k
 * removals; ties go to the lower position. */
static bool wins(const lac_tensor *x, int64_t base, int64_t step, int64_t a, int64_t b,
                 bool largest)
{
    if (before(x, base + a * step, base + b * step, largest))
        return true;
    return a < b && !before(x, base + b * step, base + a * step, largest);
}

static void sift(const lac_tensor *x, int64_t base, int64_t step, int64_t *heap, int64_t n,
                 int64_t i, bool largest)
{
    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= n)
            return;
        if (child + 1 < n && wins(x, base, step, heap[child + 1], heap[child], largest))
            child++;
        if (!wins(x, base, step, heap[child], heap[i], largest))
            return;
        int64_t swap = heap[i];
        heap[i] = heap[child];
        heap[child] = swap;
        i = child;
    }
}

static lac_status run_top_k(const lac_call *call, lac_error *err)
{
    int axis;
    LAC_TRY(read_axis(call, -1, &axis, err));
    const lac_tensor *x = call->in[0];
    lac_tensor *values = &call->out[0];
    int64_t *places = lac_op_wanted(call, 1) ? call->out[1].data : NULL;
    bool largest = lac_node_int(call->node, "largest", 1) != 0;
    int64_t n = x->dims[axis], k = values->dims[axis];
    int64_t inner = lac_op_product(x->dims, axis + 1, x->rank);
    int64_t outer = lac_op_product(x->dims, 0, axis);
    size_t size = lac_op_size(x->dtype);
    int64_t *heap = lac_alloc((size_t)n, sizeof *heap, err);
    if (!heap)
        return LAC_ERROR_MEMORY;
    for (int64_t r = 0; k > 0 && r < outer * inner; r++) {
        int64_t base = r / inner * n * inner + r % inner, left = n;
        for (int64_t i = 0; i < n; i++)
            heap[i] = i;
        for (int64_t i = n / 2; i >= 0; i--)
            sift(x, base, inner, heap, n, i, largest);
        for (int64_t i = 0; i < k; i++) {
            int64_t to = (r / inner * k + i) * inner + r % inner;
            memcpy((char *)values->data + (size_t)to * size,
                   (const char *)x->data + (size_t)(base + heap[0] * inner) * size, size);
            if (places)
                places[to] = heap[0];
            heap[0] = heap[--left];
            sift(x, base, inner, heap, left, 0, largest);
        }
    }
    lac_free(heap);
    return LAC_OK;
}

const lac_op lac_op_top_k = {
    .row = LAC_ROW(lac_op, "TopK", "the k extreme elements along an axis, with their positions"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_NUMBERS,
    .attributes = "axis:int=-1 k:int largest:int=1 sorted:int=1",
    .infer = infer_top_k,
    .run = run_top_k,
};
