/* Reductions over axes. The kept and the reduced dims become two walks. Elements are loaded in
 * blocks into one wide type (double, or 64-bit integers) and folded there, so an operator is one
 * expression per wide type; contiguous float sums, squares and maxima take the vector functions.
 * Each output is folded in one order whatever the thread count. */
#include "op/common.h"

#include "core/parallel.h"
#include "core/vmath.h"
#include "op/gradient.h"

#include <math.h>
#include <string.h>

typedef enum kind { SUM, MEAN, MAX, MIN, PROD, L1, L2, LOG_SUM, LOG_SUM_EXP, SUM_SQUARE } kind;

enum { BLOCK = 256 };

typedef struct reduce_job {
    kind how;
    const lac_tensor *in;
    lac_tensor *out;
    lac_walk kept;    /* operand 0: output, 1: input */
    lac_walk reduced; /* operand 0: input */
    int64_t count;    /* elements per output */
} reduce_job;

/* ---- axes ---------------------------------------------------------------------------------- */

/* is[d]: dim d is reduced. Axes come from the attribute, or from an input (ReduceSum from opset 13,
 * the others later). */
static lac_status reduce_axes(const lac_call *call, bool *is, lac_error *err)
{
    int64_t count = 0, axes[LAC_MAX_RANK];
    int n = 0, rank = call->in[0]->rank;
    const int64_t *attr = lac_node_ints(call->node, "axes", &count);
    if (lac_op_in(call, 1)) {
        LAC_TRY(lac_op_ints(call, 1, "axes", LAC_MAX_RANK, axes, &n, err));
        attr = axes;
        count = n;
    }
    LAC_TRY(lac_op_axes(attr ? count : 0, attr, rank, is, err));
    if ((!attr || count == 0) && lac_node_int(call->node, "noop_with_empty_axes", 0) == 0)
        for (int d = 0; d < rank; d++)
            is[d] = true;
    return LAC_OK;
}

static lac_status infer_reduce(const lac_call *call, uint32_t dtypes, bool needs_one,
                               lac_error *err)
{
    bool is[LAC_MAX_RANK], keep = lac_node_int(call->node, "keepdims", 1) != 0, empty = false;
    int64_t dims[LAC_MAX_RANK], count;
    int rank = 0;
    LAC_TRY(lac_op_inputs(call, 1, 2, dtypes, err));
    LAC_TRY(reduce_axes(call, is, err));
    const lac_tensor *in = call->in[0];
    for (int d = 0; d < in->rank; d++) {
        empty |= is[d] && in->dims[d] == 0;
        if (!is[d] || keep)
            dims[rank++] = is[d] ? 1 : in->dims[d];
    }
    LAC_TRY(lac_shape_count(rank, dims, &count, err));
    if (needs_one && empty && count > 0)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: of no elements", call->node->op);
    return lac_op_out(call, 0, in->dtype, rank, dims, err);
}

static lac_status infer_numbers(const lac_call *call, lac_error *err)
{
    return infer_reduce(call, LAC_OP_NUMBERS, false, err);
}

static lac_status infer_extremum(const lac_call *call, lac_error *err)
{
    return infer_reduce(call, LAC_OP_NUMBERS, true, err);
}

/* ---- loading ------------------------------------------------------------------------------- */

typedef union wide {
    double real[BLOCK];
    int64_t whole[BLOCK];
    uint64_t natural[BLOCK];
} wide;

typedef enum wide_type { REAL, WHOLE, NATURAL } wide_type;

static wide_type type_of(lac_dtype dtype)
{
    return lac_dtype_is_float(dtype) ? REAL : LAC_BIT(dtype) & LAC_OP_UNSIGNED ? NATURAL : WHOLE;
}

#define LOAD(dtype, type, field)                                                                   \
    case dtype:                                                                                    \
        for (int64_t i = 0; i < n; i++)                                                            \
            to->field[i] = ((const type *)in->data)[at + i * step];                                \
        break;
#define LOAD_WHOLE(dtype, type)   LOAD(dtype, type, whole)
#define LOAD_NATURAL(dtype, type) LOAD(dtype, type, natural)

static void load(const lac_tensor *in, int64_t at, int64_t step, int64_t n, wide *to)
{
    float half[BLOCK];
    switch (in->dtype) {
        LAC_OP_EACH_SIGNED(LOAD_WHOLE)
        LAC_OP_EACH_UNSIGNED(LOAD_NATURAL)
        LOAD(LAC_F64, double, real)
    case LAC_F32:
        for (int64_t i = 0; i < n; i++)
            to->real[i] = (double)((const float *)in->data)[at + i * step];
        break;
    default:
        lac_op_widen(in->dtype, (const uint16_t *)in->data + at, step, half, n);
        for (int64_t i = 0; i < n; i++)
            to->real[i] = (double)half[i];
        break;
    }
}

/* ---- folding ------------------------------------------------------------------------------- */

/* What `n` outputs have gathered; `most` is the running maximum of LOG_SUM_EXP. */
typedef struct gathered {
    wide sum;
    double most[BLOCK];
} gathered;

static void begin(kind how, wide_type type, int64_t n, gathered *to)
{
    for (int64_t i = 0; i < n; i++) {
        to->most[i] = -INFINITY;
        if (type == REAL)
            to->sum.real[i] = how == MAX ? -INFINITY : how == MIN ? INFINITY : how == PROD;
        else if (type == WHOLE)
            to->sum.whole[i] = how == MAX ? INT64_MIN : how == MIN ? INT64_MAX : how == PROD;
        else
            to->sum.natural[i] = how == MIN ? UINT64_MAX : how == PROD;
    }
}

/* acc[i * acc_step] takes in v[i]: acc_step 0 folds a run into one output, 1 folds one element into
 * each of n outputs. Integers wrap. */
#define EACH(expression)                                                                           \
    for (int64_t i = 0; i < n; i++) {                                                              \
        acc[i * step] = expression;                                                                \
    }                                                                                              \
    break
#define FOLD(name, type, magnitude, sum_type)                                                      \
    static void name(kind how, type *acc, int64_t step, const type *v, int64_t n)                  \
    {                                                                                              \
        switch (how) {                                                                             \
        case SUM:                                                                                  \
        case MEAN:                                                                                 \
        case LOG_SUM:                                                                              \
            EACH((type)((sum_type)acc[i * step] + (sum_type)v[i]));                                \
        case MAX:                                                                                  \
            EACH(acc[i * step] > v[i] || acc[i * step] != acc[i * step] ? acc[i * step] : v[i]);   \
        case MIN:                                                                                  \
            EACH(acc[i * step] < v[i] || acc[i * step] != acc[i * step] ? acc[i * step] : v[i]);   \
        case PROD:                                                                                 \
            EACH((type)((sum_type)acc[i * step] * (sum_type)v[i]));                                \
        case L1:                                                                                   \
            EACH((type)((sum_type)acc[i * step] + (sum_type)magnitude));                           \
        case L2:                                                                                   \
        case SUM_SQUARE:                                                                           \
            EACH((type)((sum_type)acc[i * step] + (sum_type)v[i] * (sum_type)v[i]));               \
        case LOG_SUM_EXP:                                                                          \
            break;                                                                                 \
        }                                                                                          \
    }
FOLD(fold_real, double, fabs(v[i]), double)
FOLD(fold_whole, int64_t, (v[i] < 0 ? 0 - (uint64_t)v[i] : (uint64_t)v[i]), uint64_t)
FOLD(fold_natural, uint64_t, v[i], uint64_t)

/* sum = sum of exp(v - most), rescaled when the maximum grows: no overflow. */
static void fold_exp(double *sum, double *most, int64_t step, double v)
{
    (void)step;
    if (v == *most) {
        *sum += 1;
    } else if (v > *most || v != v) {
        *sum = *sum * exp(*most - v) + 1;
        *most = v;
    } else {
        *sum += exp(v - *most);
    }
}

static double real_of(const wide *v, wide_type type, int64_t i)
{
    return type == REAL ? v->real[i] : type == WHOLE ? (double)v->whole[i] : (double)v->natural[i];
}

static void fold(kind how, wide_type type, gathered *to, int64_t step, const wide *v, int64_t n)
{
    if (how == LOG_SUM_EXP) {
        double *sum = to->sum.real; /* also of integers: finish converts */
        for (int64_t i = 0; i < n; i++)
            fold_exp(&sum[i * step], &to->most[i * step], step, real_of(v, type, i));
    } else if (type == REAL) {
        fold_real(how, to->sum.real, step, v->real, n);
    } else if (type == WHOLE) {
        fold_whole(how, to->sum.whole, step, v->whole, n);
    } else {
        fold_natural(how, to->sum.natural, step, v->natural, n);
    }
}

#define STORE_INT(dtype, type)                                                                     \
    case dtype:                                                                                    \
        ((type *)out->data)[at] = (type)value;                                                     \
        break;

static void store(const reduce_job *job, wide_type type, const gathered *from, int64_t i,
                  int64_t at)
{
    lac_tensor *out = job->out;
    uint64_t value = from->sum.natural[i];
    double real;
    switch (job->how) {
    case MEAN:
        if (type == WHOLE)
            value = (uint64_t)(from->sum.whole[i] / (job->count > 0 ? job->count : 1));
        else if (type == NATURAL)
            value /= (uint64_t)(job->count > 0 ? job->count : 1);
        real = real_of(&from->sum, type, i) / (double)job->count;
        break;
    case L2:
        real = sqrt(real_of(&from->sum, type, i));
        break;
    case LOG_SUM:
        real = log(real_of(&from->sum, type, i));
        break;
    case LOG_SUM_EXP:
        real = isinf(from->most[i]) ? from->most[i] : from->most[i] + log(from->sum.real[i]);
        break;
    default:
        real = real_of(&from->sum, type, i);
        break;
    }
    bool exact = type != REAL && job->how != L2 && job->how != LOG_SUM && job->how != LOG_SUM_EXP;
    if (!exact) {
        lac_tensor_set(out, at, real);
        return;
    }
    switch (out->dtype) {
        LAC_OP_EACH_INT(STORE_INT)
    default:
        break;
    }
}

/* ---- walking ------------------------------------------------------------------------------- */

/* Calls `load` and `fold` for the reduced elements of the outputs whose input begins at `base`:
 * `n` outputs `step` apart (vertical), or one (horizontal). */
static void reduce_at(const reduce_job *job, int64_t base, int64_t step, int64_t n, gathered *to)
{
    const lac_walk *walk = &job->reduced;
    wide_type type = type_of(job->in->dtype);
    int last = walk->rank - 1;
    int64_t index[LAC_WALK_RANK] = {0}, runs = n > 1 ? job->count : job->count / walk->dims[last];
    wide block;
    for (int64_t run = 0; run < runs; run++) {
        if (n > 1) {
            load(job->in, base, step, n, &block);
            fold(job->how, type, to, 1, &block, n);
        } else {
            int64_t along = walk->stride[0][last], length = walk->dims[last];
            for (int64_t i = 0; i < length; i += BLOCK) {
                int64_t m = length - i < BLOCK ? length - i : BLOCK;
                load(job->in, base + i * along, along, m, &block);
                fold(job->how, type, to, 0, &block, m);
            }
        }
        for (int d = n > 1 ? last : last - 1; d >= 0; d--) {
            base += walk->stride[0][d];
            if (++index[d] < walk->dims[d])
                break;
            base -= walk->dims[d] * walk->stride[0][d];
            index[d] = 0;
        }
    }
}

/* Is what folds into one output one run of neighbours? */
static bool is_run(const reduce_job *job)
{
    return job->reduced.rank == 1 && job->reduced.stride[0][0] == 1 && job->count > 1;
}

/* A run of floats: true if there was a vector function for it. */
static bool reduce_fast(const reduce_job *job, int64_t from, int64_t to)
{
    if (job->in->dtype != LAC_F32 || !is_run(job))
        return false;
    const float *x = (const float *)job->in->data + from;
    float *y = (float *)job->out->data + to;
    switch (job->how) {
    case SUM:
        *y = lac_vec_sum(x, job->count);
        return true;
    case MEAN:
        *y = lac_vec_sum(x, job->count) / (float)job->count;
        return true;
    case SUM_SQUARE:
        *y = lac_vec_sum_squares(x, job->count);
        return true;
    case MAX:
        *y = lac_vec_max(x, job->count);
        return true;
    default:
        return false;
    }
}

static void reduce_body(void *context, const int64_t *offset, int64_t n)
{
    const reduce_job *job = context;
    wide_type type = type_of(job->in->dtype);
    int64_t step = job->kept.stride[1][job->kept.rank - 1];
    /* Neighbouring outputs fold together when their inputs are neighbours. */
    int64_t width = step == 1 && !is_run(job) ? BLOCK : 1;
    gathered gather;
    for (int64_t i = 0; i < n; i += width) {
        int64_t m = n - i < width ? n - i : width;
        int64_t from = offset[1] + i * step;
        if (width == 1 && reduce_fast(job, from, offset[0] + i))
            continue;
        begin(job->how, type, m, &gather);
        if (job->how == LOG_SUM_EXP)
            memset(gather.sum.real, 0, sizeof gather.sum.real);
        if (job->count > 0)
            reduce_at(job, from, step, m, &gather);
        for (int64_t j = 0; j < m; j++)
            store(job, type, &gather, j, offset[0] + i + j);
    }
}

static lac_status run_reduce(const lac_call *call, kind how, lac_error *err)
{
    bool is[LAC_MAX_RANK];
    int64_t strides[LAC_MAX_RANK];
    const lac_tensor *in = call->in[0];
    reduce_job job = {.how = how, .in = in, .out = &call->out[0], .count = 1};
    LAC_TRY(reduce_axes(call, is, err));
    if (lac_tensor_count(job.out) == 0)
        return LAC_OK;
    lac_op_strides(in->rank, in->dims, strides);
    job.kept.operands = 2;
    job.reduced.operands = 1;
    for (int d = 0; d < in->rank; d++) {
        lac_walk *walk = is[d] ? &job.reduced : &job.kept;
        walk->dims[walk->rank] = in->dims[d];
        walk->stride[is[d] ? 0 : 1][walk->rank++] = strides[d];
        job.count *= is[d] ? in->dims[d] : 1;
    }
    lac_op_strides(job.kept.rank, job.kept.dims, job.kept.stride[0]);
    lac_walk_collapse(&job.kept);
    lac_walk_collapse(&job.reduced);
    lac_walk_each(&job.kept, 1 + LAC_OP_GRAIN / (job.count + 1), reduce_body, &job);
    return LAC_OK;
}

#define ROW(variable, onnx, summary, how, infer_, gradient_)                                       \
    static lac_status run_##variable(const lac_call *call, lac_error *err)                         \
    {                                                                                              \
        return run_reduce(call, how, err);                                                         \
    }                                                                                              \
    const lac_op lac_op_##variable = {                                                             \
        .row = LAC_ROW(lac_op, onnx, summary),                                                     \
        .domain = "",                                                                              \
        .since = 1,                                                                                \
        .dtypes = LAC_OP_NUMBERS,                                                                  \
        .attributes = "axes:ints keepdims:int=1 noop_with_empty_axes:int=0",                       \
        .infer = infer_,                                                                           \
        .run = run_##variable,                                                                     \
        .gradient = gradient_,                                                                     \
    };

ROW(reduce_sum, "ReduceSum", "sum over axes", SUM, infer_numbers, lac_gradient_reduce_sum)
ROW(reduce_mean, "ReduceMean", "mean over axes", MEAN, infer_extremum, lac_gradient_reduce_mean)
ROW(reduce_max, "ReduceMax", "largest element over axes", MAX, infer_extremum, NULL)
ROW(reduce_min, "ReduceMin", "smallest element over axes", MIN, infer_extremum, NULL)
ROW(reduce_prod, "ReduceProd", "product over axes", PROD, infer_numbers, NULL)
ROW(reduce_l1, "ReduceL1", "sum of magnitudes over axes", L1, infer_numbers, NULL)
ROW(reduce_l2, "ReduceL2", "root of the sum of squares over axes", L2, infer_numbers, NULL)
ROW(reduce_log_sum, "ReduceLogSum", "logarithm of the sum over axes", LOG_SUM, infer_numbers, NULL)
ROW(reduce_log_sum_exp, "ReduceLogSumExp", "logarithm of the sum of exponentials over axes",
    LOG_SUM_EXP, infer_numbers, NULL)
ROW(reduce_sum_square, "ReduceSumSquare", "sum of squares over axes", SUM_SQUARE, infer_numbers,
    NULL)
