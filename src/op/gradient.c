/* Reverse mode, one operator at a time: from the gradient of the outputs to that of the inputs, as
 * nodes. Sizes that are known only when the graph runs are taken from the values themselves
 * (Shape), so that one graph serves every batch; what broadcasting repeated is summed up again,
 * for which it must be known beforehand which dimensions are 1. */
#include "op/gradient.h"

#include "format/packed.h"

#include <string.h>

/* ---- pieces ---------------------------------------------------------------------------------- */

static lac_status op1(lac_graph *graph, const char *op, int in, int *out, lac_error *err)
{
    return lac_body_op(graph, op, 1, &in, out, NULL, err);
}

static lac_status op2(lac_graph *graph, const char *op, int a, int b, int *out, lac_error *err)
{
    return lac_body_op(graph, op, 2, (int[]){a, b}, out, NULL, err);
}

/* `value` with the shape that `like` has when the graph runs. */
static lac_status shaped_like(lac_graph *graph, const char *op, int value, int like, int *out,
                              lac_error *err)
{
    int shape;
    LAC_TRY(op1(graph, "Shape", like, &shape, err));
    return op2(graph, op, value, shape, out, err);
}

static lac_status reduce(lac_graph *graph, int value, int n, const int64_t *axes, bool keep,
                         int *out, lac_error *err)
{
    int list;
    lac_node *node;
    LAC_TRY(lac_body_ints(graph, n, axes, &list, err));
    LAC_TRY(lac_body_op(graph, "ReduceSum", 2, (int[]){value, list}, out, &node, err));
    return lac_node_set_int(graph, node, "keepdims", keep, err);
}

static lac_status rank_of(const lac_graph *graph, int value, int *rank, lac_error *err)
{
    *rank = graph->values[value].rank;
    return *rank >= 0 ? LAC_OK
                      : lac_fail(err, LAC_ERROR_UNSUPPORTED, "the rank of '%s' is not known",
                                 graph->values[value].name);
}

static bool same_size(const lac_dim *a, const lac_dim *b)
{
    if (a->size >= 0 || b->size >= 0)
        return a->size == b->size;
    return a->symbol && b->symbol && strcmp(a->symbol, b->symbol) == 0;
}

/* Sums `grad`, which has the shape of value `from`, over what broadcasting to it repeated of value
 * `to`; the last `tail` dimensions are those of `to` already. */
static lac_status unbroadcast(lac_graph *graph, int grad, int from, int to, int tail, int *out,
                              lac_error *err)
{
    int64_t leading[LAC_MAX_RANK], ones[LAC_MAX_RANK];
    int from_rank, to_rank, n = 0;
    LAC_TRY(rank_of(graph, from, &from_rank, err));
    LAC_TRY(rank_of(graph, to, &to_rank, err));
    int extra = from_rank - to_rank;
    for (int i = 0; i < extra; i++)
        leading[i] = i;
    for (int i = 0; i < to_rank - tail; i++) {
        const lac_dim *wide = &graph->values[from].dims[extra + i];
        const lac_dim *own = &graph->values[to].dims[i];
        if (same_size(wide, own))
            continue;
        if (own->size != 1)
            return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                            "whether dimension %d of '%s' is repeated is not known before the run",
                            i, graph->values[to].name);
        ones[n++] = i;
    }
    *out = grad;
    if (extra > 0)
        LAC_TRY(reduce(graph, *out, extra, leading, false, out, err));
    return n > 0 ? reduce(graph, *out, n, ones, true, out, err) : LAC_OK;
}

/* ---- shapes and types ------------------------------------------------------------------------ */

LAC_GRADIENT(identity)
{
    (void)graph;
    (void)node;
    (void)err;
    grad_in[0] = grad_out[0];
    return LAC_OK;
}

LAC_GRADIENT(reshape)
{
    return shaped_like(graph, "Reshape", grad_out[0], node->in[0], &grad_in[0], err);
}

LAC_GRADIENT(transpose)
{
    int64_t n, inverse[LAC_MAX_RANK];
    const int64_t *perm = lac_node_ints(node, "perm", &n);
    lac_node *made;
    LAC_TRY(lac_body_op(graph, "Transpose", 1, grad_out, &grad_in[0], &made, err));
    if (!perm) /* the dimensions in reverse: its own inverse */
        return LAC_OK;
    for (int64_t i = 0; i < n; i++)
        inverse[perm[i]] = i;
    return lac_node_set_ints(graph, made, "perm", n, inverse, err);
}

LAC_GRADIENT(cast)
{
    lac_dtype dtype = graph->values[node->in[0]].dtype;
    if (!lac_dtype_is_float(dtype)) { /* an integer has no gradient */
        grad_in[0] = -1;
        return LAC_OK;
    }
    return lac_body_cast(graph, grad_out[0], dtype, &grad_in[0], err);
}

/* ---- elements -------------------------------------------------------------------------------- */

LAC_GRADIENT(neg)
{
    (void)node;
    return op1(graph, "Neg", grad_out[0], &grad_in[0], err);
}

/* 0 where y = max(x, 0) is 0, also at x = 0. */
LAC_GRADIENT(relu)
{
    lac_tensor zero;
    int none, positive;
    LAC_TRY(lac_tensor_make(&zero, graph->values[node->out[0]].dtype, 0, NULL, err));
    lac_status status = lac_graph_constant(graph, NULL, &zero, &none, err);
    lac_tensor_release(&zero);
    LAC_TRY(status);
    LAC_TRY(op2(graph, "Greater", node->out[0], none, &positive, err));
    return lac_body_op(graph, "Where", 3, (int[]){positive, grad_out[0], none}, &grad_in[0], NULL,
                       err);
}

LAC_GRADIENT(add)
{
    for (int i = 0; i < 2; i++)
        if (grad_in[i] >= 0)
            LAC_TRY(
                unbroadcast(graph, grad_out[0], node->out[0], node->in[i], 0, &grad_in[i], err));
    return LAC_OK;
}

LAC_GRADIENT(sub)
{
    int negative;
    if (grad_in[0] >= 0)
        LAC_TRY(unbroadcast(graph, grad_out[0], node->out[0], node->in[0], 0, &grad_in[0], err));
    if (grad_in[1] < 0)
        return LAC_OK;
    LAC_TRY(op1(graph, "Neg", grad_out[0], &negative, err));
    return unbroadcast(graph, negative, node->out[0], node->in[1], 0, &grad_in[1], err);
}

LAC_GRADIENT(mul)
{
    for (int i = 0; i < 2; i++) {
        int product;
        if (grad_in[i] < 0)
            continue;
        LAC_TRY(op2(graph, "Mul", grad_out[0], node->in[1 - i], &product, err));
        LAC_TRY(unbroadcast(graph, product, node->out[0], node->in[i], 0, &grad_in[i], err));
    }
    return LAC_OK;
}

/* ---- reductions and softmax ------------------------------------------------------------------ */

/* The gradient repeated to the shape of the input. The shape with the reduced dimensions kept is
 * that of the same node with keepdims = 1; only its shape is read, nothing is computed twice. */
LAC_GRADIENT(reduce_sum)
{
    int grad = grad_out[0];
    if (!lac_node_int(node, "keepdims", 1)) {
        int kept;
        int64_t n;
        lac_node *made;
        const int64_t *axes = lac_node_ints(node, "axes", &n);
        LAC_TRY(lac_body_op(graph, node->op, node->n_in, node->in, &kept, &made, err));
        if (axes)
            LAC_TRY(lac_node_set_ints(graph, made, "axes", n, axes, err));
        if (lac_node_attr(node, "noop_with_empty_axes"))
            LAC_TRY(lac_node_set_int(graph, made, "noop_with_empty_axes",
                                     lac_node_int(node, "noop_with_empty_axes", 0), err));
        LAC_TRY(shaped_like(graph, "Reshape", grad, kept, &grad, err));
    }
    return shaped_like(graph, "Expand", grad, node->in[0], &grad_in[0], err);
}

LAC_GRADIENT(reduce_mean)
{
    int sum = 0, many, few, count;
    LAC_TRY(lac_gradient_reduce_sum(graph, node, grad_out, &sum, err));
    LAC_TRY(op1(graph, "Size", node->in[0], &many, err));
    LAC_TRY(op1(graph, "Size", node->out[0], &few, err));
    LAC_TRY(op2(graph, "Div", many, few, &count, err));
    LAC_TRY(lac_body_cast(graph, count, graph->values[node->in[0]].dtype, &count, err));
    return op2(graph, "Div", sum, count, &grad_in[0], err);
}

/* dx = (dy - sum(dy y)) y */
LAC_GRADIENT(softmax)
{
    int64_t axis = lac_node_int(node, "axis", -1);
    int product, sum, centred;
    LAC_TRY(op2(graph, "Mul", grad_out[0], node->out[0], &product, err));
    LAC_TRY(reduce(graph, product, 1, &axis, true, &sum, err));
    LAC_TRY(op2(graph, "Sub", grad_out[0], sum, &centred, err));
    return op2(graph, "Mul", centred, node->out[0], &grad_in[0], err);
}

/* dx = dy - exp(y) sum(dy) */
LAC_GRADIENT(log_softmax)
{
    int64_t axis = lac_node_int(node, "axis", -1);
    int probability, sum, share;
    LAC_TRY(op1(graph, "Exp", node->out[0], &probability, err));
    LAC_TRY(reduce(graph, grad_out[0], 1, &axis, true, &sum, err));
    LAC_TRY(op2(graph, "Mul", probability, sum, &share, err));
    return op2(graph, "Sub", grad_out[0], share, &grad_in[0], err);
}

/* ---- products -------------------------------------------------------------------------------- */

/* alpha * op(a) op(b) of two matrices. */
static lac_status product(lac_graph *graph, int a, bool a_transposed, int b, bool b_transposed,
                          float alpha, int *out, lac_error *err)
{
    lac_node *node;
    LAC_TRY(lac_body_op(graph, "Gemm", 2, (int[]){a, b}, out, &node, err));
    LAC_TRY(lac_node_set_int(graph, node, "transA", a_transposed, err));
    LAC_TRY(lac_node_set_int(graph, node, "transB", b_transposed, err));
    return alpha == 1 ? LAC_OK : lac_node_set_float(graph, node, "alpha", alpha, err);
}

/* Y = alpha A' B' + beta C: dA' = alpha dY B'^T, dB' = alpha A'^T dY, dC = beta dY, summed up. */
LAC_GRADIENT(gemm)
{
    bool ta = lac_node_int(node, "transA", 0) != 0, tb = lac_node_int(node, "transB", 0) != 0;
    float alpha = lac_node_float(node, "alpha", 1), beta = lac_node_float(node, "beta", 1);
    int a = node->in[0], b = node->in[1], dy = grad_out[0];
    if (grad_in[0] >= 0)
        LAC_TRY(ta ? product(graph, b, tb, dy, true, alpha, &grad_in[0], err)
                   : product(graph, dy, false, b, !tb, alpha, &grad_in[0], err));
    if (grad_in[1] >= 0)
        LAC_TRY(tb ? product(graph, dy, true, a, ta, alpha, &grad_in[1], err)
                   : product(graph, a, !ta, dy, false, alpha, &grad_in[1], err));
    if (node->n_in < 3 || grad_in[2] < 0)
        return LAC_OK;
    LAC_TRY(unbroadcast(graph, dy, node->out[0], node->in[2], 0, &grad_in[2], err));
    if (beta == 1)
        return LAC_OK;
    lac_tensor factor;
    int scale;
    LAC_TRY(lac_tensor_make(&factor, graph->values[node->in[2]].dtype, 0, NULL, err));
    lac_tensor_set(&factor, 0, (double)beta);
    lac_status status = lac_graph_constant(graph, NULL, &factor, &scale, err);
    lac_tensor_release(&factor);
    return status == LAC_OK ? op2(graph, "Mul", grad_in[2], scale, &grad_in[2], err) : status;
}

/* The last two dimensions of `value` swapped. */
static lac_status swapped(lac_graph *graph, int value, int rank, int *out, lac_error *err)
{
    int64_t perm[LAC_MAX_RANK];
    lac_node *node;
    for (int i = 0; i < rank; i++)
        perm[i] = i;
    perm[rank - 1] = rank - 2;
    perm[rank - 2] = rank - 1;
    LAC_TRY(lac_body_op(graph, "Transpose", 1, &value, out, &node, err));
    return lac_node_set_ints(graph, node, "perm", rank, perm, err);
}

/* dB of a stack A times one matrix B [k][n]: one product over all rows of the stack. */
static lac_status stacked(lac_graph *graph, int a, int dy, const lac_dim *b, int *out,
                          lac_error *err)
{
    int rows[2];
    LAC_TRY(lac_body_ints(graph, 2, (int64_t[]){-1, b[0].size}, &rows[0], err));
    LAC_TRY(lac_body_ints(graph, 2, (int64_t[]){-1, b[1].size}, &rows[1], err));
    LAC_TRY(op2(graph, "Reshape", a, rows[0], &a, err));
    LAC_TRY(op2(graph, "Reshape", dy, rows[1], &dy, err));
    return product(graph, a, true, dy, false, 1, out, err);
}

LAC_GRADIENT(matmul)
{
    int a = node->in[0], b = node->in[1], dy = grad_out[0], a_rank, b_rank, other, whole;
    LAC_TRY(rank_of(graph, a, &a_rank, err));
    LAC_TRY(rank_of(graph, b, &b_rank, err));
    if (a_rank < 2 || b_rank < 2)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "an operand is a vector");
    lac_dim sizes[2] = {graph->values[b].dims[0], graph->values[b].dims[1]};
    if (grad_in[0] >= 0) {
        LAC_TRY(swapped(graph, b, b_rank, &other, err));
        LAC_TRY(op2(graph, "MatMul", dy, other, &whole, err));
        LAC_TRY(unbroadcast(graph, whole, node->out[0], a, 2, &grad_in[0], err));
    }
    if (grad_in[1] < 0)
        return LAC_OK;
    if (a_rank > 2 && b_rank == 2 && sizes[0].size > 0 && sizes[1].size > 0)
        return stacked(graph, a, dy, sizes, &grad_in[1], err);
    LAC_TRY(swapped(graph, a, a_rank, &other, err));
    LAC_TRY(op2(graph, "MatMul", other, dy, &whole, err));
    return unbroadcast(graph, whole, node->out[0], b, 2, &grad_in[1], err);
}
