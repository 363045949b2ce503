/* MatMul (numpy broadcasting) and Gemm, in the element types of the standard. */
#include "op/nn.h"

#include "core/memory.h"
#include "op/gradient.h"
#include "op/product.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "op/matmul.h"

#define TYPES                                                                                      \
    (LAC_NN_FLOATS | LAC_BIT(LAC_F64) | LAC_BIT(LAC_I32) | LAC_BIT(LAC_U32) | LAC_BIT(LAC_I64) |   \
     LAC_BIT(LAC_U64))

/* ---- MatMul --------------------------------------------------------------------------------- */

lac_status lac_matmul_read(const lac_call *call, int ai, int bi, lac_matmul *g, lac_error *err)
{
    const lac_tensor *a = call->in[ai], *b = call->in[bi];
    char left[160], right[160];
    memset(g, 0, sizeof *g);
    if (a->rank < 1 || b->rank < 1)
        return lac_fail(err, LAC_ERROR_INPUT, "a scalar has no matrix product");
    g->m = a->rank > 1 ? a->dims[a->rank - 2] : 1;
    g->k = a->dims[a->rank - 1];
    g->n = b->rank > 1 ? b->dims[b->rank - 1] : 1;
    int64_t depth = b->dims[b->rank > 1 ? b->rank - 2 : 0], count;
    int a_batch = a->rank > 2 ? a->rank - 2 : 0, b_batch = b->rank > 2 ? b->rank - 2 : 0;
    int rank = a_batch > b_batch ? a_batch : b_batch;
    bool fits = depth == g->k;
    for (int i = 0; i < rank && fits; i++) {
        int64_t x = i < rank - a_batch ? 1 : a->dims[i - rank + a_batch];
        int64_t y = i < rank - b_batch ? 1 : b->dims[i - rank + b_batch];
        fits = x == y || x == 1 || y == 1;
        g->dims[i] = x == 1 ? y : x;
        g->a_dims[i] = x;
        g->b_dims[i] = y;
    }
    if (!fits)
        return lac_fail(err, LAC_ERROR_INPUT, "shapes %s and %s do not multiply",
                        lac_tensor_text(a, left, sizeof left),
                        lac_tensor_text(b, right, sizeof right));
    g->batch_rank = g->rank = rank;
    if (a->rank > 1)
        g->dims[g->rank++] = g->m;
    if (b->rank > 1)
        g->dims[g->rank++] = g->n;
    LAC_TRY(lac_shape_count(g->rank, g->dims, &count, err));
    g->batch = lac_op_product(g->dims, 0, rank);
    g->b_count = lac_op_product(g->b_dims, 0, rank);
    g->a_count = lac_op_product(g->a_dims, 0, rank);
    if (g->b_count == 1 && g->a_count == g->batch) { /* one right side: one tall product */
        g->m *= g->batch;
        g->batch = g->batch_rank = 0;
        g->batch = 1;
    }
    return LAC_OK;
}

/* Which matrix of an operand with batch dims `dims` belongs to output matrix `index`. */
static int64_t matrix_of(const lac_matmul *g, const int64_t *dims, int64_t index)
{
    int64_t result = 0, stride = 1;
    for (int i = g->batch_rank; i-- > 0; index /= g->dims[i]) {
        if (dims[i] != 1)
            result += index % g->dims[i] * stride;
        stride *= dims[i];
    }
    return result;
}

#define MULTIPLY(suffix, type)                                                                     \
    lac_status lac_matmul_##suffix(const lac_matmul *g, const type *a, const type *b, type *y,     \
                                   lac_error *err)                                                 \
    {                                                                                              \
        lac_product_##suffix *list = lac_alloc((size_t)g->batch, sizeof *list, err);               \
        if (!list)                                                                                 \
            return LAC_ERROR_MEMORY;                                                               \
        for (int64_t i = 0; i < g->batch; i++)                                                     \
            list[i] = (lac_product_##suffix){.m = g->m,                                            \
                                             .n = g->n,                                            \
                                             .k = g->k,                                            \
                                             .a = a + matrix_of(g, g->a_dims, i) * g->m * g->k,    \
                                             .a_row = g->k,                                        \
                                             .a_col = 1,                                           \
                                             .b = b + matrix_of(g, g->b_dims, i) * g->k * g->n,    \
                                             .b_row = g->n,                                        \
                                             .b_col = 1,                                           \
                                             .c = y + i * g->m * g->n,                             \
                                             .c_row = g->n};                                       \
        lac_status status = lac_multiply_##suffix(list, g->batch, err);                            \
        lac_free(list);                                                                            \
        return status;                                                                             \
    }
MULTIPLY(f32, float)
MULTIPLY(f64, double)
MULTIPLY(u32, uint32_t)
MULTIPLY(u64, uint64_t)

static lac_status matmul_infer(const lac_call *call, lac_error *err)
{
    lac_matmul g;
    LAC_TRY(lac_nn_count(call, 2, 2, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, TYPES, err));
    LAC_TRY(lac_nn_same(call, 1, err));
    LAC_TRY(lac_matmul_read(call, 0, 1, &g, err));
    return lac_op_out(call, 0, call->in[0]->dtype, g.rank, g.dims, err);
}

static lac_status matmul_wide(const lac_call *call, lac_error *err)
{
    lac_matmul g;
    const void *a = call->in[0]->data, *b = call->in[1]->data;
    void *y = call->out[0].data;
    LAC_TRY(lac_matmul_read(call, 0, 1, &g, err));
    switch (call->in[0]->dtype) {
    case LAC_F32:
        return lac_matmul_f32(&g, a, b, y, err);
    case LAC_F64:
        return lac_matmul_f64(&g, a, b, y, err);
    case LAC_I32:
    case LAC_U32:
        return lac_matmul_u32(&g, a, b, y, err);
    default:
        return lac_matmul_u64(&g, a, b, y, err);
    }
}

static lac_status matmul_run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, matmul_wide, err);
}

static lac_status gemm_layer(const lac_call *call, lac_layer *layer, int64_t m, int64_t n,
                             int64_t k, int64_t batch, lac_error *err)
{
    LAC_TRY(lac_layer_begin(layer, "gemm", err));
    LAC_TRY(lac_layer_dim_set(layer, "m", m, err));
    LAC_TRY(lac_layer_dim_set(layer, "n", n, err));
    LAC_TRY(lac_layer_dim_set(layer, "k", k, err));
    LAC_TRY(lac_layer_dim_set(layer, "batch", batch, err));
    snprintf(layer->name, sizeof layer->name, "%s", call->node->name);
    return lac_layer_check(layer, err);
}

lac_status lac_matmul_layer(const lac_call *call, int a, int b, lac_layer *layer, lac_error *err)
{
    lac_matmul g;
    LAC_TRY(lac_matmul_read(call, a, b, &g, err));
    if (g.batch != 1 && (g.a_count != g.batch || (g.b_count != g.batch && g.b_count != 1)))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "a product that broadcasts its batch dimensions is not a layer");
    LAC_TRY(gemm_layer(call, layer, g.m, g.n, g.k, g.batch, err));
    int flat = g.batch == 1;
    lac_operand *weights = &layer->operand[LAC_ROLE_WEIGHTS];
    layer->operand[LAC_ROLE_ACTIVATIONS].tensor = lac_tensor_view(
        call->in[a]->dtype, 3 - flat, (int64_t[]){g.batch, g.m, g.k} + flat, call->in[a]->data);
    weights->tensor = lac_tensor_view(call->in[b]->dtype, 3 - flat,
                                      (int64_t[]){g.batch, g.k, g.n} + flat, call->in[b]->data);
    weights->transposed = true; /* stored [k][n] */
    layer->output = lac_tensor_view(call->out[0].dtype, 3 - flat,
                                    (int64_t[]){g.batch, g.m, g.n} + flat, call->out[0].data);
    return LAC_OK;
}

static lac_status matmul_as_layer(const lac_call *call, lac_layer *layer, lac_error *err)
{
    return lac_matmul_layer(call, 0, 1, layer, err);
}

const lac_op lac_op_matmul = {
    .row = LAC_ROW(lac_op, "MatMul", "matrix product with numpy broadcasting"),
    .domain = "",
    .since = 1,
    .dtypes = TYPES,
    .attributes = "",
    .infer = matmul_infer,
    .run = matmul_run,
    .as_layer = matmul_as_layer,
    .gradient = lac_gradient_matmul,
};

/* ---- Gemm ----------------------------------------------------------------------------------- */

typedef struct gemm {
    int64_t m, n, k;
    bool a_transposed, b_transposed;
} gemm;

static lac_status gemm_read(const lac_call *call, gemm *g, lac_error *err)
{
    const lac_tensor *a = call->in[0], *b = call->in[1], *c = lac_op_in(call, 2);
    char text[160];
    LAC_TRY(lac_nn_shape(call, 0, 2, (int64_t[]){-1, -1}, "A", err));
    LAC_TRY(lac_nn_shape(call, 1, 2, (int64_t[]){-1, -1}, "B", err));
    g->a_transposed = lac_node_int(call->node, "transA", 0) != 0;
    g->b_transposed = lac_node_int(call->node, "transB", 0) != 0;
    g->m = a->dims[g->a_transposed];
    g->k = a->dims[!g->a_transposed];
    g->n = b->dims[!g->b_transposed];
    if (b->dims[g->b_transposed] != g->k)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "A reduces over %" PRId64 ", B over %" PRId64 " (transA=%d, transB=%d)",
                        g->k, b->dims[g->b_transposed], g->a_transposed, g->b_transposed);
    if (c) {
        int64_t rows = c->rank > 1 ? c->dims[0] : 1, columns = c->rank ? c->dims[c->rank - 1] : 1;
        if (c->rank > 2 || (rows != 1 && rows != g->m) || (columns != 1 && columns != g->n))
            return lac_fail(err, LAC_ERROR_INPUT,
                            "C is %s: not broadcastable to [%" PRId64 ",%" PRId64 "]",
                            lac_tensor_text(c, text, sizeof text), g->m, g->n);
    }
    return LAC_OK;
}

static lac_status gemm_infer(const lac_call *call, lac_error *err)
{
    gemm g;
    LAC_TRY(lac_nn_count(call, 2, 3, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, TYPES, err));
    LAC_TRY(lac_nn_same(call, 1, err));
    LAC_TRY(lac_nn_same(call, 2, err));
    LAC_TRY(gemm_read(call, &g, err));
    return lac_op_out(call, 0, call->in[0]->dtype, 2, (int64_t[]){g.m, g.n}, err);
}

/* `scalar`: alpha and beta in the element type; integers take their whole part */
#define GEMM(suffix, type, scalar)                                                                 \
    static lac_status gemm_##suffix(const lac_call *call, const gemm *g, lac_error *err)           \
    {                                                                                              \
        const lac_tensor *c = lac_op_in(call, 2);                                                  \
        float alpha = lac_node_float(call->node, "alpha", 1);                                      \
        float beta = lac_node_float(call->node, "beta", 1);                                        \
        type *y = call->out[0].data;                                                               \
        lac_product_##suffix product = {.m = g->m,                                                 \
                                        .n = g->n,                                                 \
                                        .k = g->k,                                                 \
                                        .a = call->in[0]->data,                                    \
                                        .a_row = g->a_transposed ? 1 : g->k,                       \
                                        .a_col = g->a_transposed ? g->m : 1,                       \
                                        .b = call->in[1]->data,                                    \
                                        .b_row = g->b_transposed ? 1 : g->n,                       \
                                        .b_col = g->b_transposed ? g->k : 1,                       \
                                        .c = y,                                                    \
                                        .c_row = g->n};                                            \
        LAC_TRY(lac_multiply_##suffix(&product, 1, err));                                          \
        int64_t row = c && c->rank > 1 && c->dims[0] != 1 ? c->dims[1] : 0;                        \
        int64_t column = c && c->rank > 0 && c->dims[c->rank - 1] != 1;                            \
        const type *bias = c ? c->data : NULL;                                                     \
        for (int64_t i = 0; i < g->m; i++) {                                                       \
            for (int64_t j = 0; j < g->n && alpha != 1; j++)                                       \
                y[i * g->n + j] *= scalar(alpha);                                                  \
            for (int64_t j = 0; j < g->n && bias; j++)                                             \
                y[i * g->n + j] += scalar(beta) * bias[i * row + j * column];                      \
        }                                                                                          \
        return LAC_OK;                                                                             \
    }
#define WHOLE(value)   ((uint64_t)(int64_t)(value))
#define WHOLE32(value) ((uint32_t)(int64_t)(value))
GEMM(f32, float, )
GEMM(f64, double, (double))
GEMM(u32, uint32_t, WHOLE32)
GEMM(u64, uint64_t, WHOLE)

static lac_status gemm_wide(const lac_call *call, lac_error *err)
{
    gemm g;
    LAC_TRY(gemm_read(call, &g, err));
    switch (call->in[0]->dtype) {
    case LAC_F32:
        return gemm_f32(call, &g, err);
    case LAC_F64:
        return gemm_f64(call, &g, err);
    default:
        break;
    }
    /* an integer product scaled by a fraction or by something without integer has no meaning */
    float alpha = lac_node_float(call->node, "alpha", 1);
    float beta = lac_node_float(call->node, "beta", 1);
    if (!(alpha >= -65536 && alpha <= 65536 && alpha == (float)(int64_t)alpha) ||
        !(beta >= -65536 && beta <= 65536 && beta == (float)(int64_t)beta))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "alpha=%g, beta=%g: with integers whole numbers up to 65536 only",
                        (double)alpha, (double)beta);
    if (lac_dtype_bits(call->in[0]->dtype) == 32)
        return gemm_u32(call, &g, err);
    return gemm_u64(call, &g, err);
}

static lac_status gemm_run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, gemm_wide, err);
}

static lac_status gemm_as_layer(const lac_call *call, lac_layer *layer, lac_error *err)
{
    gemm g;
    const lac_tensor *a = call->in[0], *b = call->in[1], *c = lac_op_in(call, 2);
    LAC_TRY(gemm_read(call, &g, err));
    if (g.a_transposed || lac_node_float(call->node, "alpha", 1) != 1 ||
        (c && lac_node_float(call->node, "beta", 1) != 1))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "transA, alpha or beta other than 0, 1, 1 is not a layer");
    if (c && c->rank == 2 && c->dims[0] != 1)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "a bias that differs from row to row is not a layer");
    LAC_TRY(gemm_layer(call, layer, g.m, g.n, g.k, 1, err));
    layer->operand[LAC_ROLE_ACTIVATIONS].tensor = lac_tensor_view(a->dtype, 2, a->dims, a->data);
    layer->operand[LAC_ROLE_WEIGHTS].tensor = lac_tensor_view(b->dtype, 2, b->dims, b->data);
    layer->operand[LAC_ROLE_WEIGHTS].transposed = !g.b_transposed;
    if (c) /* one dimension: [n], or [1] for all */
        layer->operand[LAC_ROLE_BIAS].tensor =
            lac_tensor_view(c->dtype, 1, (int64_t[]){lac_tensor_count(c)}, c->data);
    layer->output = lac_tensor_view(call->out[0].dtype, 2, call->out[0].dims, call->out[0].data);
    return LAC_OK;
}

const lac_op lac_op_gemm = {
    .row = LAC_ROW(lac_op, "Gemm", "alpha * A B + beta * C"),
    .domain = "",
    .since = 1,
    .dtypes = TYPES,
    .attributes = "alpha:float=1 beta:float=1 transA:int=0 transB:int=0 broadcast:int=0",
    .infer = gemm_infer,
    .run = gemm_run,
    .as_layer = gemm_as_layer,
    .gradient = lac_gradient_gemm,
};
