/* Softmax, LogSoftmax, Hardmax. Before opset 13 the input is a matrix [product before axis]
 * [product from axis]; since then the sums run along one axis. A tensor is [outer][n][inner]: with
 * inner 1 a row is handled at once, otherwise a strip of columns is, so both are vector loops. */
#include "op/nn.h"

#include "core/clones.h"
#include "core/parallel.h"
#include "core/vmath.h"
#include "op/gradient.h"
#include "op/nn_math.h"

#include <math.h>

#define TYPES (LAC_NN_FLOATS | LAC_BIT(LAC_F64))

enum { STRIP = 64 };

typedef struct task {
    const void *x;
    void *y;
    int64_t outer, n, inner;
    bool logarithm;
} task;

static lac_status read(const lac_call *call, task *t, lac_error *err)
{
    const lac_tensor *x = call->in[0];
    int axis = 0;
    bool matrix = call->opset < 13;
    int64_t asked = lac_node_int(call->node, "axis", matrix ? 1 : -1);
    if (x->rank > 0 || asked < -1 || asked > 0)
        LAC_TRY(lac_nn_axis(asked, x->rank, matrix, &axis, err));
    t->outer = lac_op_product(x->dims, 0, axis);
    t->n = x->rank ? lac_op_product(x->dims, axis, matrix ? x->rank : axis + 1) : 1;
    t->inner = matrix || !x->rank ? 1 : lac_op_product(x->dims, axis + 1, x->rank);
    return LAC_OK;
}

static lac_status infer(const lac_call *call, lac_error *err)
{
    task t;
    LAC_TRY(lac_nn_count(call, 1, 1, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, TYPES, err));
    LAC_TRY(read(call, &t, err));
    return lac_op_out_same(call, err);
}

/* y = exp(x - max); their sum */
static float row_exp(const float *x, float *y, int64_t n, float max)
{
    lac_vec_exp_minus(x, max, y, n);
    return lac_vec_sum(y, n);
}

LAC_CLONES static void row_finish(const float *x, float *y, int64_t n, float max, float sum,
                                  bool logarithm)
{
    float factor = 1 / sum, shift = logf(sum);
    if (logarithm)
        for (int64_t i = 0; i < n; i++)
            y[i] = x[i] - max - shift; /* max + shift would lose bits */
    else
        for (int64_t i = 0; i < n; i++)
            y[i] *= factor;
}

static void rows(void *context, int64_t begin, int64_t end)
{
    const task *t = context;
    for (int64_t r = begin; r < end; r++) {
        const float *x = (const float *)t->x + r * t->n;
        float *y = (float *)t->y + r * t->n;
        float max = lac_vec_max(x, t->n);
        float from = max == -INFINITY ? 0 : max; /* a row of -inf: 0/0, like the definition */
        float scratch[STRIP], sum = 0;
        if (t->logarithm && x == y) { /* in place: x must survive the sum */
            for (int64_t i = 0; i < t->n; i += STRIP)
                sum += row_exp(x + i, scratch, t->n - i < STRIP ? t->n - i : STRIP, from);
        } else {
            sum = row_exp(x, y, t->n, from);
        }
        row_finish(x, y, t->n, from, sum, t->logarithm);
    }
}

/* One strip of neighbouring columns of one [n][inner] block. */
LAC_CLONES static void strip(const float *x, float *y, int64_t n, int64_t inner, int width,
                             bool logarithm)
{
    float max[STRIP], sum[STRIP];
    for (int j = 0; j < width; j++) {
        max[j] = -INFINITY;
        sum[j] = 0;
    }
    for (int64_t i = 0; i < n; i++)
        for (int j = 0; j < width; j++)
            max[j] = x[i * inner + j] > max[j] ? x[i * inner + j] : max[j];
    for (int j = 0; j < width; j++)
        max[j] = max[j] == -INFINITY ? 0 : max[j];
    for (int64_t i = 0; i < n; i++)
        for (int j = 0; j < width; j++)
            sum[j] += lac_nn_exp(x[i * inner + j] - max[j]);
    for (int j = 0; j < width; j++)
        sum[j] = logarithm ? logf(sum[j]) : 1 / sum[j];
    if (logarithm)
        for (int64_t i = 0; i < n; i++)
            for (int j = 0; j < width; j++)
                y[i * inner + j] = x[i * inner + j] - max[j] - sum[j];
    else
        for (int64_t i = 0; i < n; i++)
            for (int j = 0; j < width; j++)
                y[i * inner + j] = lac_nn_exp(x[i * inner + j] - max[j]) * sum[j];
}

static void strips(void *context, int64_t begin, int64_t end)
{
    const task *t = context;
    int64_t count = (t->inner + STRIP - 1) / STRIP;
    for (int64_t s = begin; s < end; s++) {
        int64_t j = s % count * STRIP, at = s / count * t->n * t->inner + j;
        int width = (int)(t->inner - j < STRIP ? t->inner - j : STRIP);
        strip((const float *)t->x + at, (float *)t->y + at, t->n, t->inner, width, t->logarithm);
    }
}

static void in_double(void *context, int64_t begin, int64_t end)
{
    const task *t = context;
    for (int64_t c = begin; c < end; c++) {
        int64_t at = c / t->inner * t->n * t->inner + c % t->inner;
        const double *x = (const double *)t->x + at;
        double *y = (double *)t->y + at, max = -INFINITY, sum = 0;
        for (int64_t i = 0; i < t->n; i++)
            max = fmax(max, x[i * t->inner]);
        for (int64_t i = 0; i < t->n; i++)
            sum += exp(x[i * t->inner] - max);
        for (int64_t i = 0; i < t->n; i++) {
            double v = x[i * t->inner] - max;
            y[i * t->inner] = t->logarithm ? v - log(sum) : exp(v) / sum;
        }
    }
}

static lac_status compute(const lac_call *call, bool logarithm, lac_error *err)
{
    task t = {.x = call->in[0]->data, .y = call->out[0].data, .logarithm = logarithm};
    LAC_TRY(read(call, &t, err));
    if (t.n == 0 || t.inner == 0)
        return LAC_OK;
    int64_t grain = 4096 / t.n + 1;
    if (call->in[0]->dtype == LAC_F64)
        lac_parallel_for(t.outer * t.inner, grain, in_double, &t);
    else if (t.inner == 1)
        lac_parallel_for(t.outer, grain, rows, &t);
    else
        lac_parallel_for(t.outer * ((t.inner + STRIP - 1) / STRIP), grain / STRIP + 1, strips, &t);
    return LAC_OK;
}

static lac_status softmax(const lac_call *call, lac_error *err)
{
    return compute(call, false, err);
}
static lac_status log_softmax(const lac_call *call, lac_error *err)
{
    return compute(call, true, err);
}
static lac_status softmax_run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, softmax, err);
}
static lac_status log_softmax_run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, log_softmax, err);
}

/* 1 at the first largest element, 0 elsewhere. */
static lac_status hardmax_run(const lac_call *call, lac_error *err)
{
    task t;
    LAC_TRY(read(call, &t, err));
    const lac_tensor *x = call->in[0];
    for (int64_t c = 0; c < t.outer * t.inner && t.n > 0; c++) {
        int64_t at = c / t.inner * t.n * t.inner + c % t.inner, best = 0;
        double most = lac_tensor_get(x, at);
        for (int64_t i = 1; i < t.n; i++) {
            double v = lac_tensor_get(x, at + i * t.inner);
            if (v > most) {
                most = v;
                best = i;
            }
        }
        for (int64_t i = 0; i < t.n; i++)
            lac_tensor_set(&call->out[0], at + i * t.inner, i == best);
    }
    return LAC_OK;
}

#define ROW(variable, name_, summary_, run_, gradient_)                                            \
    const lac_op variable = {.row = LAC_ROW(lac_op, name_, summary_),                              \
                             .domain = "",                                                         \
                             .since = 1,                                                           \
                             .dtypes = TYPES,                                                      \
                             .attributes = "axis:int",                                             \
                             .flags = LAC_OP_INPLACE,                                              \
                             .infer = infer,                                                       \
                             .run = run_,                                                          \
                             .gradient = gradient_}
ROW(lac_op_softmax, "Softmax", "exp(x) / sum exp(x) along an axis", softmax_run,
    lac_gradient_softmax);
ROW(lac_op_log_softmax, "LogSoftmax", "x - log sum exp(x) along an axis", log_softmax_run,
    lac_gradient_log_softmax);
ROW(lac_op_hardmax, "Hardmax", "1 at the first maximum along an axis, else 0", hardmax_run, NULL);
