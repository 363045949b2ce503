/* Pad: each output position along a dim has a source position or none (-1); the table per dim says
 * which, so that the three modes and negative pads (which crop) are one loop. */
#include "op/common.h"

#include "core/memory.h"
#include "core/parallel.h"

#include <string.h>

/* pads of the node: attribute before opset 11, input from there; both ends of every dim. */
static lac_status read_pads(const lac_call *call, int64_t *pads, lac_error *err)
{
    int64_t count;
    int n, rank = call->in[0]->rank;
    const int64_t *attr = lac_node_ints(call->node, "pads", &count);
    if (lac_op_in(call, 1)) {
        LAC_TRY(lac_op_ints(call, 1, "pads", 2 * LAC_MAX_RANK, pads, &n, err));
        count = n;
    } else if (!attr) {
        return lac_fail(err, LAC_ERROR_INPUT, "Pad: input 'pads' is absent");
    } else if (count <= 2 * LAC_MAX_RANK) {
        memcpy(pads, attr, (size_t)count * sizeof *pads);
    }
    if (count != 2 * rank)
        return lac_fail(err, LAC_ERROR_INPUT, "Pad: %lld pads for rank %d", (long long)count, rank);
    return LAC_OK;
}

static lac_status infer_pad(const lac_call *call, lac_error *err)
{
    int64_t pads[2 * LAC_MAX_RANK], dims[LAC_MAX_RANK];
    LAC_TRY(lac_op_inputs(call, 1, 3, LAC_OP_ANY, err));
    const lac_tensor *in = call->in[0], *value = lac_op_in(call, 2);
    const char *mode = lac_node_string(call->node, "mode", "constant");
    bool constant = strcmp(mode, "constant") == 0;
    if (!constant && strcmp(mode, "edge") != 0 && strcmp(mode, "reflect") != 0)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "Pad: mode '%.40s' is not constant, edge or reflect", mode);
    if (value) {
        LAC_TRY(lac_op_type(call, 2, "constant_value", LAC_BIT(in->dtype), err));
        if (lac_tensor_count(value) != 1)
            return lac_fail(err, LAC_ERROR_INPUT, "Pad: constant_value has %lld elements, not 1",
                            (long long)lac_tensor_count(value));
    }
    LAC_TRY(read_pads(call, pads, err));
    for (int d = 0; d < in->rank; d++) {
        if (__builtin_add_overflow(in->dims[d], pads[d], &dims[d]) ||
            __builtin_add_overflow(dims[d], pads[d + in->rank], &dims[d]) || dims[d] < 0)
            return lac_fail(err, LAC_ERROR_INPUT, "Pad: pads %lld and %lld of size %lld",
                            (long long)pads[d], (long long)pads[d + in->rank],
                            (long long)in->dims[d]);
        if (!constant && in->dims[d] == 0 && dims[d] > 0)
            return lac_fail(err, LAC_ERROR_INPUT, "Pad: mode %s of an empty dimension", mode);
    }
    return lac_op_out(call, 0, in->dtype, in->rank, dims, err);
}

typedef struct pad_job {
    const lac_tensor *in;
    lac_tensor *out;
    size_t size;
    uint64_t value;             /* the bytes to put where there is no source */
    int64_t *map[LAC_MAX_RANK]; /* source position, or -1, by output position */
    int64_t strides[LAC_MAX_RANK];
} pad_job;

static void pad_part(void *context, int64_t begin, int64_t end)
{
    const pad_job *job = context;
    int last = job->out->rank - 1;
    int64_t length = job->out->dims[last];
    const int64_t *map = job->map[last];
    size_t size = job->size;
    for (int64_t row = begin; row < end; row++) {
        char *target = (char *)job->out->data + (size_t)(row * length) * size;
        int64_t rest = row, from = 0;
        bool inside = true;
        for (int d = last - 1; d >= 0; d--) {
            int64_t position = job->map[d][rest % job->out->dims[d]];
            rest /= job->out->dims[d];
            inside &= position >= 0;
            from += position * job->strides[d];
        }
        for (int64_t i = 0; i < length;) {
            int64_t run = 1;
            if (!inside || map[i] < 0) {
                while (i + run < length && (!inside || map[i + run] < 0))
                    run++;
                if (job->value == 0)
                    memset(target + (size_t)i * size, 0, (size_t)run * size);
                for (int64_t j = 0; job->value != 0 && j < run; j++)
                    memcpy(target + (size_t)(i + j) * size, &job->value, size);
                i += run;
                continue;
            }
            /* consecutive sources are one copy */
            while (i + run < length && map[i + run] == map[i] + run)
                run++;
            memcpy(target + (size_t)i * size,
                   (const char *)job->in->data + (size_t)(from + map[i]) * size,
                   (size_t)run * size);
            i += run;
        }
    }
}

/* Reflection without the border element, again and again. */
static int64_t reflect(int64_t position, int64_t size)
{
    int64_t period = 2 * (size - 1);
    if (period == 0)
        return 0;
    position %= period;
    position += position < 0 ? period : 0;
    return position < size ? position : period - position;
}

static lac_status run_pad(const lac_call *call, lac_error *err)
{
    int64_t pads[2 * LAC_MAX_RANK], sum = 0;
    const lac_tensor *in = call->in[0], *value = lac_op_in(call, 2);
    lac_tensor *out = &call->out[0];
    pad_job job = {.in = in, .out = out, .size = lac_op_size(in->dtype)};
    char mode = lac_node_string(call->node, "mode", "constant")[0];
    LAC_TRY(read_pads(call, pads, err));
    if (lac_tensor_count(out) == 0)
        return LAC_OK;
    if (value) {
        memcpy(&job.value, value->data, job.size);
    } else {
        lac_tensor one = lac_tensor_view(in->dtype, 0, NULL, &job.value);
        lac_tensor_set(&one, 0, (double)lac_node_float(call->node, "value", 0));
    }
    if (in->rank == 0) {
        lac_op_copy(call, 0, 0);
        return LAC_OK;
    }
    for (int d = 0; d < in->rank; d++)
        sum += out->dims[d];
    int64_t *maps = lac_alloc_raw((size_t)sum, sizeof *maps, err);
    if (!maps)
        return LAC_ERROR_MEMORY;
    lac_op_strides(in->rank, in->dims, job.strides);
    int64_t *next = maps;
    for (int d = 0; d < in->rank; d++) {
        int64_t size = in->dims[d];
        job.map[d] = next;
        for (int64_t i = 0; i < out->dims[d]; i++) {
            int64_t at = i - pads[d];
            if (mode == 'r')
                at = reflect(at, size);
            else if (mode == 'e')
                at = at < 0 ? 0 : at >= size ? size - 1 : at;
            *next++ = at < 0 || at >= size ? -1 : at;
        }
    }
    int64_t length = out->dims[out->rank - 1];
    lac_parallel_for(lac_tensor_count(out) / length, 1 + LAC_OP_GRAIN / length, pad_part, &job);
    lac_free(maps);
    return LAC_OK;
}

const lac_op lac_op_pad = {
    .row = LAC_ROW(lac_op, "Pad", "grows (or crops) each end of each dimension"),
    .domain = "",
    .since = 2,
    .dtypes = LAC_OP_ANY,
    .attributes = "mode:string=constant pads:ints value:float=0",
    .infer = infer_pad,
    .run = run_pad,
};
