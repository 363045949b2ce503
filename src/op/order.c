/* TopK, ArgMax, ArgMin. Elements of any type compare through a 64-bit key in their order; NaN is
 * above everything, equal elements go by index. */
#include "op/common.h"

#include "core/memory.h"
#include "core/parallel.h"

#include <string.h>

static uint64_t key_of(const lac_tensor *tensor, int64_t i)
{
    const uint64_t top = UINT64_C(1) << 63;
    if (tensor->dtype == LAC_U64)
        return ((const uint64_t *)tensor->data)[i];
    if (tensor->dtype == LAC_I64)
        return (uint64_t)((const int64_t *)tensor->data)[i] ^ top;
    double value = lac_tensor_get(tensor, i) + 0.0; /* -0 becomes 0 */
    if (value != value)
        return UINT64_MAX;
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & top ? ~bits : bits | top;
}

/* ---- ArgMax, ArgMin ------------------------------------------------------------------------ */

typedef struct arg_job {
    const lac_tensor *in;
    int64_t *out;
    int64_t length, inner;
    bool smallest, last;
} arg_job;

static void arg_part(void *context, int64_t begin, int64_t end)
{
    const arg_job *job = context;
    for (int64_t lane = begin; lane < end; lane++) {
        int64_t base = lane / job->inner * job->length * job->inner + lane % job->inner, best = 0;
        uint64_t most = 0;
        for (int64_t i = 0; i < job->length; i++) {
            uint64_t key = key_of(job->in, base + i * job->inner);
            key = job->smallest ? ~key : key;
            if (i == 0 || key > most || (key == most && job->last)) {
                most = key;
                best = i;
            }
        }
        job->out[lane] = best;
    }
}

static lac_status infer_arg(const lac_call *call, lac_error *err)
{
    int axis, rank = 0;
    int64_t dims[LAC_MAX_RANK], count;
    bool keep = lac_node_int(call->node, "keepdims", 1) != 0;
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_NUMBERS, err));
    const lac_tensor *in = call->in[0];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), in->rank, &axis, err));
    for (int d = 0; d < in->rank; d++)
        if (d != axis || keep)
            dims[rank++] = d == axis ? 1 : in->dims[d];
    LAC_TRY(lac_shape_count(rank, dims, &count, err));
    if (in->dims[axis] == 0 && count > 0)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: of no elements", call->node->op);
    return lac_op_out(call, 0, LAC_I64, rank, dims, err);
}

static lac_status run_arg(const lac_call *call, bool smallest, lac_error *err)
{
    int axis;
    const lac_tensor *in = call->in[0];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", 0), in->rank, &axis, err));
    arg_job job = {in,
                   call->out[0].data,
                   in->dims[axis],
                   lac_op_product(in->dims, axis + 1, in->rank),
                   smallest,
                   lac_node_int(call->node, "select_last_index", 0) != 0};
    lac_parallel_for(lac_tensor_count(&call->out[0]), 1 + LAC_OP_GRAIN / (job.length + 1), arg_part,
                     &job);
    return LAC_OK;
}

#define ARG(variable, onnx, summary, smallest)                                                     \
    static lac_status run_##variable(const lac_call *call, lac_error *err)                         \
    {                                                                                              \
        return run_arg(call, smallest, err);                                                       \
    }                                                                                              \
    const lac_op lac_op_##variable = {                                                             \
        .row = LAC_ROW(lac_op, onnx, summary),                                                     \
        .domain = "",                                                                              \
        .since = 1,                                                                                \
        .dtypes = LAC_OP_NUMBERS,                                                                  \
        .attributes = "axis:int=0 keepdims:int=1 select_last_index:int=0",                         \
        .infer = infer_arg,                                                                        \
        .run = run_##variable,                                                                     \
    };

ARG(arg_max, "ArgMax", "index of the largest element along an axis", false)
ARG(arg_min, "ArgMin", "index of the smallest element along an axis", true)

/* ---- TopK ---------------------------------------------------------------------------------- */

typedef struct entry {
    uint64_t key;
    int64_t index;
} entry;

/* Does a come after b in the output? */
static bool behind(const entry *a, const entry *b)
{
    return a->key < b->key || (a->key == b->key && a->index > b->index);
}

/* heap[0] is the entry that comes last. */
static void sift(entry *heap, int64_t n, int64_t at)
{
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && behind(&heap[child + 1], &heap[child]))
            child++;
        if (!behind(&heap[child], &heap[at]))
            return;
        entry swap = heap[child];
        heap[child] = heap[at];
        heap[at] = swap;
    }
}

/* The first k of the lane in order, in heap[0..k). */
static void select_top(const lac_tensor *in, int64_t base, int64_t step, int64_t length, int64_t k,
                       bool largest, entry *heap)
{
    for (int64_t i = 0; i < length; i++) {
        uint64_t key = key_of(in, base + i * step);
        entry next = {largest ? key : ~key, i};
        if (i < k) {
            heap[i] = next;
            for (int64_t at = i == k - 1 ? k / 2 : 0; i == k - 1 && at >= 0; at--)
                sift(heap, k, at);
        } else if (behind(&heap[0], &next)) {
            heap[0] = next;
            sift(heap, k, 0);
        }
    }
    for (int64_t n = k - 1; n > 0; n--) { /* heap sort: the last goes to the end */
        entry swap = heap[0];
        heap[0] = heap[n];
        heap[n] = swap;
        sift(heap, n, 0);
    }
}

static lac_status infer_topk(const lac_call *call, lac_error *err)
{
    int axis, n;
    int64_t k = lac_node_int(call->node, "k", -1), dims[LAC_MAX_RANK];
    LAC_TRY(lac_op_inputs(call, 1, 2, LAC_OP_NUMBERS, err));
    const lac_tensor *in = call->in[0];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", -1), in->rank, &axis, err));
    if (lac_op_in(call, 1)) {
        LAC_TRY(lac_op_ints(call, 1, "K", 1, &k, &n, err));
        if (n != 1)
            return lac_fail(err, LAC_ERROR_INPUT, "TopK: K is empty");
    }
    if (k < 0 || k > in->dims[axis])
        return lac_fail(err, LAC_ERROR_INPUT, "TopK: K is %lld, outside 0..%lld", (long long)k,
                        (long long)in->dims[axis]);
    memcpy(dims, in->dims, sizeof dims);
    dims[axis] = k;
    LAC_TRY(lac_op_out(call, 0, in->dtype, in->rank, dims, err));
    return lac_op_out(call, 1, LAC_I64, in->rank, dims, err);
}

static lac_status run_topk(const lac_call *call, lac_error *err)
{
    int axis, k_from = lac_op_wanted(call, 0) ? 0 : 1;
    const lac_tensor *in = call->in[0];
    LAC_TRY(lac_op_axis(lac_node_int(call->node, "axis", -1), in->rank, &axis, err));
    int64_t k = call->out[k_from].dims[axis], length = in->dims[axis];
    if (k == 0 || lac_tensor_count(in) == 0)
        return LAC_OK;
    bool largest = lac_node_int(call->node, "largest", 1) != 0;
    int64_t inner = lac_op_product(in->dims, axis + 1, in->rank);
    size_t size = lac_op_size(in->dtype);
    entry *heap = lac_alloc_raw((size_t)k, sizeof *heap, err);
    if (!heap)
        return LAC_ERROR_MEMORY;
    for (int64_t lane = 0, n = lac_tensor_count(in) / length; lane < n; lane++) {
        int64_t base = lane / inner * length * inner + lane % inner;
        select_top(in, base, inner, length, k, largest, heap);
        for (int64_t i = 0; i < k; i++) {
            int64_t to = (lane / inner * k + i) * inner + lane % inner;
            if (lac_op_wanted(call, 0))
                memcpy((char *)call->out[0].data + (size_t)to * size,
                       (const char *)in->data + (size_t)(base + heap[i].index * inner) * size,
                       size);
            if (lac_op_wanted(call, 1))
                ((int64_t *)call->out[1].data)[to] = heap[i].index;
        }
    }
    lac_free(heap);
    return LAC_OK;
}

/* `sorted` = 0 leaves the order open: ours is then sorted as well. */
const lac_op lac_op_top_k = {
    .row = LAC_ROW(lac_op, "TopK", "the k largest or smallest elements along an axis"),
    .domain = "",
    .since = 1,
    .dtypes = LAC_OP_NUMBERS,
    .attributes = "axis:int=-1 k:int largest:int=1 sorted:int=1",
    .infer = infer_topk,
    .run = run_topk,
};
