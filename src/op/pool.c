/* MaxPool, AveragePool, LpPool and their global kinds. A row of outputs at a time: each tap of the
 * window is one strided loop over the columns it reaches. */
#include "op/nn.h"

#include "core/clones.h"
#include "core/memory.h"
#include "core/parallel.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#define INTS (LAC_BIT(LAC_I8) | LAC_BIT(LAC_U8))

typedef enum pooling { MAX, AVERAGE, LP } pooling;

typedef struct task {
    lac_window w;
    pooling kind;
    const lac_tensor *x;
    lac_tensor *y;
    int64_t *indices; /* of the maxima, or NULL */
    bool column_major, count_pads;
    float p;
} task;

/* Kernel sizes: the attribute, or for a global pool the whole input. */
static lac_status geometry(const lac_call *call, bool global, lac_window *w, lac_error *err)
{
    const lac_tensor *x = call->in[0];
    int64_t n;
    if (x->rank < 3 || x->rank > 5)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "the input has rank %d; 1 to 3 spatial axes (rank 3 to 5) are done",
                        x->rank);
    if (global) {
        memset(w, 0, sizeof *w);
        w->axes = x->rank - 2;
        for (int i = 0; i < 3; i++)
            w->in[i] = w->kernel[i] = w->stride[i] = w->dilation[i] = w->out[i] = 1;
        for (int i = 0; i < w->axes; i++)
            w->in[3 - w->axes + i] = w->kernel[3 - w->axes + i] = x->dims[2 + i];
        return LAC_OK;
    }
    const int64_t *kernel = lac_node_ints(call->node, "kernel_shape", &n);
    if (!kernel || n != x->rank - 2)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "kernel_shape has %" PRId64 " entries, want %d (one per spatial axis)", n,
                        x->rank - 2);
    return lac_window_read(call, w, x->rank, x->dims, kernel, true, err);
}

static lac_status infer(const lac_call *call, bool global, uint32_t dtypes, int outputs,
                        lac_error *err)
{
    lac_window w;
    int64_t dims[5];
    LAC_TRY(lac_nn_count(call, 1, 1, outputs, err));
    LAC_TRY(lac_nn_dtype(call, 0, dtypes, err));
    LAC_TRY(geometry(call, global, &w, err));
    const lac_tensor *x = call->in[0];
    lac_window_shape(&w, x->dims[0], x->dims[1], dims);
    LAC_TRY(lac_op_out(call, 1, LAC_I64, x->rank, dims, err));
    return lac_op_out(call, 0, x->dtype, x->rank, dims, err);
}

/* Output columns [*from, *to) whose tap at `offset` = tap * dilation - pad lies inside. */
static void reach(int64_t offset, int64_t stride, int64_t in, int64_t out, int64_t *from,
                  int64_t *to)
{
    int64_t last = in - 1 - offset;
    *from = offset < 0 ? (-offset + stride - 1) / stride : 0;
    *to = last < 0 ? 0 : last / stride + 1;
    *to = *to < out ? *to : out;
}

LAC_CLONES static void add_taps(float *y, const float *x, int64_t from, int64_t to, int64_t stride)
{
    if (stride == 1)
        for (int64_t i = from; i < to; i++)
            y[i] += x[i];
    else
        for (int64_t i = from; i < to; i++)
            y[i] += x[i * stride];
}

LAC_CLONES static void max_taps(float *y, const float *x, int64_t from, int64_t to, int64_t stride)
{
    if (stride == 1)
        for (int64_t i = from; i < to; i++)
            y[i] = x[i] > y[i] ? x[i] : y[i];
    else
        for (int64_t i = from; i < to; i++)
            y[i] = x[i * stride] > y[i] ? x[i * stride] : y[i];
}

static void lp_taps(float *y, const float *x, int64_t from, int64_t to, int64_t stride, float p)
{
    for (int64_t i = from; i < to; i++) {
        float v = fabsf(x[i * stride]);
        y[i] += p == 1 ? v : p == 2 ? v * v : powf(v, p);
    }
}

/* Taps of one axis that lie inside for output o. */
static int64_t inside(const lac_window *w, int axis, int64_t o, bool pads)
{
    int64_t at = o * w->stride[axis] - w->pad[axis], count = 0;
    int64_t low = pads ? -w->pad[axis] : 0, high = w->in[axis] + (pads ? w->pad_end[axis] : 0);
    for (int64_t k = 0; k < w->kernel[axis]; k++, at += w->dilation[axis])
        count += at >= low && at < high;
    return count;
}

static void finish(const task *t, int64_t o0, int64_t o1, float *y)
{
    const lac_window *w = &t->w;
    if (t->kind == AVERAGE) {
        int64_t rows = inside(w, 0, o0, t->count_pads) * inside(w, 1, o1, t->count_pads);
        for (int64_t i = 0; i < w->out[2]; i++)
            y[i] /= (float)(rows * inside(w, 2, i, t->count_pads));
    } else if (t->kind == LP && t->p != 1) {
        for (int64_t i = 0; i < w->out[2]; i++)
            y[i] = t->p == 2 ? sqrtf(y[i]) : powf(y[i], 1 / t->p);
    }
}

static void rows(void *context, int64_t begin, int64_t end)
{
    const task *t = context;
    const lac_window *w = &t->w;
    int64_t plane = lac_op_product(w->in, 0, 3), per_plane = w->out[0] * w->out[1];
    for (int64_t r = begin; r < end; r++) {
        const float *x = (const float *)t->x->data + r / per_plane * plane;
        float *y = (float *)t->y->data + r * w->out[2];
        int64_t o0 = r % per_plane / w->out[1], o1 = r % w->out[1];
        for (int64_t i = 0; i < w->out[2]; i++)
            y[i] = t->kind == MAX ? -INFINITY : 0;
        for (int64_t a = 0; a < w->kernel[0]; a++) {
            int64_t z = o0 * w->stride[0] - w->pad[0] + a * w->dilation[0];
            for (int64_t b = 0; b < w->kernel[1] && z >= 0 && z < w->in[0]; b++) {
                int64_t v = o1 * w->stride[1] - w->pad[1] + b * w->dilation[1];
                for (int64_t c = 0; c < w->kernel[2] && v >= 0 && v < w->in[1]; c++) {
                    int64_t offset = c * w->dilation[2] - w->pad[2], from, to;
                    reach(offset, w->stride[2], w->in[2], w->out[2], &from, &to);
                    /* a pointer before the row is never formed: from skips those columns */
                    const float *line = x + (z * w->in[1] + v) * w->in[2];
                    if (from >= to)
                        continue;
                    const float *first = line + from * w->stride[2] + offset;
                    if (t->kind == MAX)
                        max_taps(y + from, first, 0, to - from, w->stride[2]);
                    else if (t->kind == AVERAGE)
                        add_taps(y + from, first, 0, to - from, w->stride[2]);
                    else
                        lp_taps(y + from, first, 0, to - from, w->stride[2], t->p);
                }
            }
        }
        finish(t, o0, o1, y);
    }
}

/* Maxima with their places, and maxima of bytes: element by element. */
static void places(void *context, int64_t begin, int64_t end)
{
    const task *t = context;
    const lac_window *w = &t->w;
    int64_t plane = lac_op_product(w->in, 0, 3), out = lac_op_product(w->out, 0, 3);
    for (int64_t i = begin; i < end; i++) {
        int64_t o[3] = {i % out / (w->out[1] * w->out[2]), i / w->out[2] % w->out[1],
                        i % w->out[2]};
        int64_t base = i / out * plane, best = -1, best_index = 0;
        double most = 0;
        for (int64_t a = 0; a < w->kernel[0]; a++)
            for (int64_t b = 0; b < w->kernel[1]; b++)
                for (int64_t c = 0; c < w->kernel[2]; c++) {
                    int64_t z = o[0] * w->stride[0] - w->pad[0] + a * w->dilation[0];
                    int64_t v = o[1] * w->stride[1] - w->pad[1] + b * w->dilation[1];
                    int64_t u = o[2] * w->stride[2] - w->pad[2] + c * w->dilation[2];
                    if (z < 0 || z >= w->in[0] || v < 0 || v >= w->in[1] || u < 0 || u >= w->in[2])
                        continue;
                    int64_t at = base + (z * w->in[1] + v) * w->in[2] + u;
                    double value = lac_tensor_get(t->x, at);
                    if (best >= 0 && !(value > most))
                        continue;
                    most = value;
                    best = at;
                    best_index = t->column_major ? base + (u * w->in[1] + v) * w->in[0] + z : at;
                }
        if (t->x->dtype == LAC_F64 && best < 0)
            most = -INFINITY;
        lac_tensor_set(t->y, i, best < 0 && lac_dtype_is_float(t->y->dtype) ? -INFINITY : most);
        if (t->indices)
            t->indices[i] = best_index;
    }
}

static lac_status compute(const lac_call *call, pooling kind, bool global, lac_error *err)
{
    const lac_tensor *x = call->in[0];
    lac_tensor *indices = kind == MAX ? lac_nn_out(call, 1) : NULL;
    task t = {.kind = kind, .x = x, .y = &call->out[0]};
    LAC_TRY(geometry(call, global, &t.w, err));
    t.indices = indices ? indices->data : NULL;
    t.column_major = lac_node_int(call->node, "storage_order", 0) != 0;
    t.count_pads = lac_node_int(call->node, "count_include_pad", 0) != 0;
    /* LpPool's p was a float in opset 1 */
    t.p = call->opset < 2 ? lac_node_float(call->node, "p", 2)
                          : (float)lac_node_int(call->node, "p", 2);
    int64_t planes = x->dims[0] * x->dims[1], taps = lac_op_product(t.w.kernel, 0, 3) + 1;
    if (t.indices || x->dtype != LAC_F32)
        lac_parallel_for(planes * lac_op_product(t.w.out, 0, 3), 8192 / taps + 1, places, &t);
    else
        lac_parallel_for(planes * t.w.out[0] * t.w.out[1], 16384 / (taps * t.w.out[2] + 1) + 1,
                         rows, &t);
    return LAC_OK;
}

#define KIND(name, kind, global)                                                                   \
    static lac_status name##_wide(const lac_call *call, lac_error *err)                            \
    {                                                                                              \
        return compute(call, kind, global, err);                                                   \
    }                                                                                              \
    static lac_status name##_run(const lac_call *call, lac_error *err)                             \
    {                                                                                              \
        return lac_nn_widened(call, name##_wide, err);                                             \
    }                                                                                              \
    static lac_status name##_infer(const lac_call *call, lac_error *err)                           \
    {                                                                                              \
        return infer(call, global,                                                                 \
                     kind == MAX && !(global) ? LAC_NN_FLOATS | LAC_BIT(LAC_F64) | INTS            \
                                              : LAC_NN_FLOATS,                                     \
                     kind == MAX && !(global) ? 2 : 1, err);                                       \
    }
KIND(max, MAX, false)
KIND(average, AVERAGE, false)
KIND(lp, LP, false)
KIND(global_max, MAX, true)
KIND(global_average, AVERAGE, true)
KIND(global_lp, LP, true)

#define ROW(kind, name_, summary_, dtypes_, attributes_)                                           \
    const lac_op lac_op_##kind##_pool = {.row = LAC_ROW(lac_op, name_, summary_),                  \
                                         .domain = "",                                             \
                                         .since = 1,                                               \
                                         .dtypes = dtypes_,                                        \
                                         .attributes = attributes_,                                \
                                         .infer = kind##_infer,                                    \
                                         .run = kind##_run}
#define WINDOW "auto_pad:string=NOTSET kernel_shape:ints pads:ints strides:ints "
ROW(max, "MaxPool", "maximum of a sliding window", LAC_NN_FLOATS | LAC_BIT(LAC_F64) | INTS,
    WINDOW "ceil_mode:int=0 dilations:ints storage_order:int=0");
ROW(average, "AveragePool", "mean of a sliding window", LAC_NN_FLOATS,
    WINDOW "ceil_mode:int=0 count_include_pad:int=0");
ROW(lp, "LpPool", "p-norm of a sliding window", LAC_NN_FLOATS, WINDOW "p:int=2");
ROW(global_max, "GlobalMaxPool", "maximum of each plane", LAC_NN_FLOATS, "");
ROW(global_average, "GlobalAveragePool", "mean of each plane", LAC_NN_FLOATS, "");
ROW(global_lp, "GlobalLpPool", "p-norm of each plane", LAC_NN_FLOATS, "p:int=2");
