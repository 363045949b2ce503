/* MeanVarianceNormalization: (x - mean) / (standard deviation + 1e-9) over a set of axes; the sums
 * in double, group by group in element order. */
#include "op/nn.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

/* The reduced shape: 1 along the axes. */
static lac_status groups(const lac_call *call, int64_t *reduced, lac_error *err)
{
    static const int64_t usual[] = {0, 2, 3};
    const lac_tensor *x = call->in[0];
    bool is[LAC_MAX_RANK] = {false};
    int64_t n;
    const int64_t *axes = lac_node_ints(call->node, "axes", &n);
    LAC_TRY(lac_op_axes(axes ? n : 3, axes ? axes : usual, x->rank, is, err));
    for (int i = 0; i < x->rank; i++)
        reduced[i] = is[i] ? 1 : x->dims[i];
    return LAC_OK;
}

static lac_status infer(const lac_call *call, lac_error *err)
{
    int64_t reduced[LAC_MAX_RANK];
    LAC_TRY(lac_nn_count(call, 1, 1, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, LAC_NN_FLOATS, err));
    LAC_TRY(groups(call, reduced, err));
    return lac_op_out_same(call, err);
}

static int64_t group_of(int64_t i, int rank, const int64_t *dims, const int64_t *reduced)
{
    int64_t group = 0, stride = 1;
    for (int d = rank; d-- > 0; i /= dims[d])
        if (reduced[d] != 1) {
            group += i % dims[d] * stride;
            stride *= dims[d];
        }
    return group;
}

static lac_status run_wide(const lac_call *call, lac_error *err)
{
    const lac_tensor *t = call->in[0];
    const float *x = t->data;
    float *y = call->out[0].data;
    int64_t reduced[LAC_MAX_RANK], n = lac_tensor_count(t);
    LAC_TRY(groups(call, reduced, err));
    int64_t count = lac_op_product(reduced, 0, t->rank);
    if (n == 0)
        return LAC_OK;
    double *sums = lac_alloc((size_t)count, 2 * sizeof *sums, err), each = (double)(n / count);
    if (!sums)
        return LAC_ERROR_MEMORY;
    for (int64_t i = 0; i < n; i++)
        sums[2 * group_of(i, t->rank, t->dims, reduced)] += (double)x[i] / each;
    for (int64_t i = 0; i < n; i++) {
        double *sum = sums + 2 * group_of(i, t->rank, t->dims, reduced);
        sum[1] += ((double)x[i] - sum[0]) * ((double)x[i] - sum[0]) / each;
    }
    for (int64_t i = 0; i < n; i++) {
        const double *sum = sums + 2 * group_of(i, t->rank, t->dims, reduced);
        y[i] = (float)(((double)x[i] - sum[0]) / (sqrt(sum[1]) + 1e-9));
    }
    lac_free(sums);
    return LAC_OK;
}

static lac_status run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, run_wide, err);
}

const lac_op lac_op_mean_variance_normalization = {
    .row = LAC_ROW(lac_op, "MeanVarianceNormalization", "mean 0, variance 1 over a set of axes"),
    .domain = "",
    .since = 9,
    .dtypes = LAC_NN_FLOATS,
    .attributes = "axes:ints",
    .infer = infer,
    .run = run,
};
