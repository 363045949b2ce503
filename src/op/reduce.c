/* Reductions: the axes of `axes` (attribute up to opset 17, for ReduceSum an input from 13; none:
 * all) are folded into one element. Sums run in double for floats, in index order, so the result
 * does not depend on threads. */
#include "core/parallel.h"
#include "op/common.h"

#include <math.h>
#include <string.h>

typedef enum fold { SUM, MEAN, MAX, MIN, PROD, L1, L2, LOG_SUM, LOG_SUM_EXP, SUM_SQUARE } fold;

/* Which axes go: is[i]. *none is set where nothing is reduced (noop_with_empty_axes). */
static lac_status read_axes(const lac_call *call, bool *is, bool *none, lac_error *err)
{
    int rank = call->in[0]->rank, n_input = 0;
    int64_t n = 0, from_input[LAC_MAX_RANK];
    const int64_t *axes = lac_node_ints(call->node, "axes", &n);
    if (lac_op_in(call, 1)) {
        LAC_TRY(lac_op_ints(call, 1, "axes", LAC_MAX_RANK, from_input, &n_input, err));
        axes = from_input;
        n = n_input;
    }
    *none = false;
    if (n == 0) {
        *none = lac_node_int(call->node, "noop_with_empty_axes", 0) != 0;
        for (int i = 0; i < rank; i++)
            is[i] = !*none;
        return LAC_OK;
    }
    return lac_op_axes(n, axes, rank, is, err);
}

static lac_status infer_reduce(const lac_call *call, lac_error *err)
{
    bool is[LAC_MAX_RANK] = {false}, none;
    int64_t dims[LAC_MAX_RANK];
    int rank = 0;
    LAC_TRY(lac_op_inputs(call, 1, 2, LAC_OP_NUMBERS, err));
    LAC_TRY(read_axes(call, is, &none, err));
    bool keep = lac_node_int(call->node, "keepdims", 1) != 0;
    for (int i = 0; i < call->in[0]->rank; i++)
        if (!is[i])
            dims[rank++] = call->in[0]->dims[i];
        else if (keep)
            dims[rank++] = 1;
    return lac_op_out(call, 0, call->in[0]->dtype, rank, dims, err);
}

/* The input as [outer] kept positions, each with a walk over the folded ones. */
typedef struct folding {
    fold how;
    const lac_tensor *in;
    lac_tensor *out;
    int n_kept, n_folded;
    int64_t kept[LAC_MAX_RANK], kept_stride[LAC_MAX_RANK];
    int64_t folded[LAC_MAX_RANK], folded_stride[LAC_MAX_RANK];
    int64_t folds; /* elements per result */
} folding;

static int64_t offset_of(int64_t index, int n, const int64_t *dims, const int64_t *strides)
{
    int64_t offset = 0;
    for (int i = n - 1; i >= 0; i--) {
        offset += index % dims[i] * strides[i];
        index /= dims[i];
    }
    return offset;
}

static double combine(fold how, double so_far, double x)
{
    switch (how) {
    case MAX:
        return x > so_far || isnan(x) ? x : so_far;
    case MIN:
        return x < so_far || isnan(x) ? x : so_far;
    case PROD:
        return so_far * x;
    case L1:
        return so_far + fabs(x);
    case L2:
    case SUM_SQUARE:
        return so_far + x * x;
    case LOG_SUM_EXP:
        return so_far + exp(x);
    default:
        return so_far + x;
    }
}

/* Runs of the folded part that are contiguous floats: the case that networks have. */
static double fold_floats(fold how, double so_far, const float *x, int64_t n)
{
    if (how == SUM || how == MEAN) {
        double part[8] = {0}; /* independent sums, so that the loop can be vectorised */
        int64_t i = 0;
        for (; i + 8 <= n; i += 8)
            for (int j = 0; j < 8; j++)
                part[j] += (double)x[i + j];
        for (; i < n; i++)
            part[0] += (double)x[i];
        return so_far + ((part[0] + part[4]) + (part[1] + part[5])) +
               ((part[2] + part[6]) + (part[3] + part[7]));
    }
    for (int64_t i = 0; i < n; i++)
        so_far = combine(how, so_far, (double)x[i]);
    return so_far;
}

static double first_of(fold how)
{
    return how == MAX ? -INFINITY : how == MIN ? INFINITY : how == PROD ? 1 : 0;
}

static double finish(const folding *f, double x, double shift)
{
    switch (f->how) {
    case MEAN:
        return x / (double)f->folds;
    case L2:
        return sqrt(x);
    case LOG_SUM:
        return log(x);
    case LOG_SUM_EXP:
        return shift + log(x);
    default:
        return x;
    }
}

/* 64-bit integers do not fit a double: they fold in their own arithmetic (modulo 2^64). */
static void fold_wide(const folding *f, int64_t result, int64_t base)
{
    const uint64_t *x = f->in->data;
    bool is_signed = f->in->dtype == LAC_I64;
    uint64_t so_far = f->how == PROD ? 1 : 0;
    for (int64_t i = 0; i < f->folds; i++) {
        uint64_t v = x[base + offset_of(i, f->n_folded, f->folded, f->folded_stride)];
        bool negative = is_signed && (int64_t)v < 0;
        if (f->how == PROD)
            so_far *= v;
        else if (f->how == L1)
            so_far += negative ? 0 - v : v;
        else if (f->how == SUM_SQUARE)
            so_far += v * v;
        else if (f->how == MAX || f->how == MIN) {
            bool less = is_signed ? (int64_t)v < (int64_t)so_far : v < so_far;
            if (i == 0 || (v != so_far && less == (f->how == MIN)))
                so_far = v;
        } else
            so_far += v;
    }
    if (f->how == MEAN && f->folds)
        so_far = is_signed ? (uint64_t)((int64_t)so_far / f->folds) : so_far / (uint64_t)f->folds;
    ((uint64_t *)f->out->data)[result] = so_far;
}

static void fold_range(void *context, int64_t begin, int64_t end)
{
    const folding *f = context;
    bool wide = (f->in->dtype == LAC_I64 || f->in->dtype == LAC_U64) && f->how != L2 &&
                f->how != LOG_SUM && f->how != LOG_SUM_EXP;
    int last = f->n_folded - 1;
    bool contiguous = f->in->dtype == LAC_F32 && last >= 0 && f->folded_stride[last] == 1;
    int64_t run = contiguous ? f->folded[last] : 1;
    for (int64_t r = begin; r < end; r++) {
        int64_t base = offset_of(r, f->n_kept, f->kept, f->kept_stride);
        if (wide) {
            fold_wide(f, r, base);
            continue;
        }
        double so_far = first_of(f->how), shift = 0;
        if (f->how == LOG_SUM_EXP) { /* the largest first, so that exp does not overflow */
            shift = -INFINITY;
            for (int64_t i = 0; i < f->folds; i++)
                shift =
                    fmax(shift, lac_tensor_get(f->in, base + offset_of(i, f->n_folded, f->folded,
                                                                       f->folded_stride)));
            shift = isfinite(shift) ? shift : 0;
        }
        for (int64_t i = 0; i < f->folds; i += run) {
            int64_t at = base + offset_of(i, f->n_folded, f->folded, f->folded_stride);
            if (contiguous && f->how != LOG_SUM_EXP)
                so_far = fold_floats(f->how, so_far, (const float *)f->in->data + at, run);
            else
                for (int64_t j = 0; j < run; j++)
                    so_far = combine(f->how, so_far, lac_tensor_get(f->in, at + j) - shift);
        }
        lac_tensor_set(f->out, r, finish(f, so_far, shift));
    }
}

/* `axis_is` folded over the input into out, whatever out's rank is. */
static void run_folding(const lac_call *call, fold how, const bool *axis_is)
{
    folding f = {.how = how, .in = call->in[0], .out = &call->out[0], .folds = 1};
    int64_t strides[LAC_MAX_RANK];
    lac_op_strides(f.in->rank, f.in->dims, strides);
    for (int i = 0; i < f.in->rank; i++)
        if (axis_is[i]) {
            f.folded[f.n_folded] = f.in->dims[i];
            f.folded_stride[f.n_folded++] = strides[i];
            f.folds *= f.in->dims[i];
        } else {
            f.kept[f.n_kept] = f.in->dims[i];
            f.kept_stride[f.n_kept++] = strides[i];
        }
    int64_t grain = LAC_OP_GRAIN / (f.folds + 1) + 1;
    lac_parallel_for(lac_tensor_count(f.out), grain, fold_range, &f);
}

static lac_status run_reduce(const lac_call *call, fold how, lac_error *err)
{
    bool is[LAC_MAX_RANK] = {false}, none;
    LAC_TRY(read_axes(call, is, &none, err));
    if (none)
        memcpy(call->out[0].data, call->in[0]->data, lac_tensor_bytes(call->in[0]));
    else
        run_folding(call, how, is);
    return LAC_OK;
}

#define REDUCE(variable, name, how, what)                                                          \
    static lac_status run_##variable(const lac_call *call, lac_error *err)                         \
    {                                                                                              \
        return run_reduce(call, how, err);                                                         \
    }                                                                                              \
    const lac_op lac_op_##variable = {                                                             \
        .row = LAC_ROW(lac_op, name, what),                                                        \
        .domain = "",                                                                              \
        .since = 1,                                                                                \
        .dtypes = LAC_OP_NUMBERS,                                                                  \
        .attributes = "axes:ints keepdims:int=1 noop_with_empty_axes:int=0",                       \
        .infer = infer_reduce,                                                                     \
        .run = run_##variable,                                                                     \
    };

REDUCE(reduce_sum, "ReduceSum", SUM, "sum over axes")
REDUCE(reduce_mean, "ReduceMean", MEAN, "mean over axes")
REDUCE(reduce_max, "ReduceMax", MAX, "largest element over axes")
REDUCE(reduce_min, "ReduceMin", MIN, "least element over axes")
REDUCE(reduce_prod, "ReduceProd", PROD, "product over axes")
REDUCE(reduce_l1, "ReduceL1", L1, "sum of magnitudes over axes")
REDUCE(reduce_l2, "ReduceL2", L2, "root of the sum of squares over axes")
REDUCE(reduce_log_sum, "ReduceLogSum", LOG_SUM, "logarithm of the sum over axes")
REDUCE(reduce_log_sum_exp, "ReduceLogSumExp", LOG_SUM_EXP, "log of the sum of exponentials")
REDUCE(reduce_sum_square, "ReduceSumSquare", SUM_SQUARE, "sum of squares over axes")
