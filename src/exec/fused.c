/* The operators that only passes make: Gemm and Conv with their epilogue (bias, residual,
 * activation) and, in quantised form, integer inputs with scales; attention; activations written
 * out as one operator; pooling over channels-last images. They have rows like any operator, but
 * not in the table: no file names them. */
#include "exec/pass.h"

#include "core/clones.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "cpu/math.h"
#include "op/conv.h"
#include "op/nn.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- the epilogue, from attributes --------------------------------------------------------------
 */

static const char *const activation_names[] = {"none",    "clip", "gelu", "gelu_tanh",
                                               "sigmoid", "tanh", "silu"};

static lac_activation activation_of(const lac_node *node)
{
    const char *name = lac_node_string(node, "activation", "none");
    for (int i = 0; i <= LAC_ACT_SILU; i++)
        if (strcmp(activation_names[i], name) == 0)
            return (lac_activation)i;
    return LAC_ACT_NONE;
}

lac_status lac_exec_set_activation(lac_graph *graph, lac_node *node, lac_activation activation,
                                   float low, float high, lac_error *err)
{
    LAC_TRY(lac_node_set_string(graph, node, "activation", activation_names[activation], err));
    LAC_TRY(lac_node_set_float(graph, node, "low", low, err));
    return lac_node_set_float(graph, node, "high", high, err);
}

static const lac_tensor *input(const lac_call *call, int i)
{
    return i < call->n_in ? call->in[i] : NULL;
}

/* The bytes that readers want, or float32; the scale is input `at`, the zero point behind it. */
static lac_dtype bytes_dtype(const lac_call *call, int at)
{
    const lac_tensor *zero = input(call, at + 1);
    if (!input(call, at))
        return LAC_F32;
    return zero ? zero->dtype : LAC_U8;
}

/* With a second output the bytes are that one. */
static lac_dtype output_dtype(const lac_call *call, int at)
{
    return call->n_out > 1 ? LAC_F32 : bytes_dtype(call, at);
}

static void output_beside(const lac_call *call, int at)
{
    if (call->n_out < 2)
        return;
    call->out[1] =
        lac_tensor_view(bytes_dtype(call, at), call->out[0].rank, call->out[0].dims, NULL);
}

static void output_scale(const lac_call *call, int at, lac_layer *layer)
{
    const lac_tensor *scale = input(call, at), *zero = input(call, at + 1);
    layer->output.dtype = output_dtype(call, at);
    if (call->n_out > 1)
        layer->beside = lac_tensor_view(bytes_dtype(call, at), layer->output.rank,
                                        layer->output.dims, call->out[1].data);
    if (scale && scale->data) {
        layer->output_scale = ((const float *)scale->data)[0];
        layer->output_zero = zero && zero->data ? (int32_t)lac_tensor_get(zero, 0) : 0;
    }
}

static void epilogue(const lac_call *call, lac_layer *layer)
{
    static const struct {
        int input;
        lac_role role;
    } extra[] = {{LAC_IN_BIAS, LAC_ROLE_BIAS}, {LAC_IN_RESIDUAL, LAC_ROLE_RESIDUAL}};
    for (int i = 0; i < 2; i++) {
        const lac_tensor *t = input(call, extra[i].input);
        if (t)
            layer->operand[extra[i].role].tensor =
                lac_tensor_view(t->dtype, t->rank, t->dims, t->data);
    }
    layer->activation = activation_of(call->node);
    layer->low = lac_node_float(call->node, "low", -INFINITY);
    layer->high = lac_node_float(call->node, "high", INFINITY);
    const lac_tensor *x_scale = input(call, LAC_IN_X_SCALE), *zero = input(call, LAC_IN_X_ZERO);
    const lac_tensor *w_scale = input(call, LAC_IN_W_SCALE);
    lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    if (x_scale) {
        x->scale = x_scale->data;
        x->scale_count = lac_tensor_count(x_scale);
        x->zero_point = zero && zero->data ? (int32_t)lac_tensor_get(zero, 0) : 0;
    }
    if (w_scale) {
        w->scale = w_scale->data;
        w->scale_count = lac_tensor_count(w_scale);
    }
    output_scale(call, LAC_IN_Y_SCALE, layer);
}

/* Reached only when no kernel takes the layer, which the portable rows do not let happen. */
static lac_status run_nothing(const lac_call *call, lac_error *err)
{
    return lac_fail(err, LAC_ERROR_INTERNAL, "no kernel runs the fused operator %s",
                    call->node->op);
}

/* ---- Gemm: x[..., k] times w ([k][n], or [n][k] with transB) -> y[..., n]
 * ------------------------------- */

static lac_status gemm_infer(const lac_call *call, lac_error *err)
{
    const lac_tensor *x = input(call, LAC_IN_X), *w = input(call, LAC_IN_W);
    if (!x || !w || x->rank < 1 || w->rank != 2)
        return lac_fail(err, LAC_ERROR_INPUT, "needs x and a matrix w");
    bool rows = lac_node_int(call->node, "transB", 0) != 0;
    if (x->dims[x->rank - 1] != w->dims[rows])
        return lac_fail(err, LAC_ERROR_INPUT, "x has %lld columns, w wants %lld",
                        (long long)x->dims[x->rank - 1], (long long)w->dims[rows]);
    call->out[0] = lac_tensor_view(output_dtype(call, LAC_IN_Y_SCALE), x->rank, x->dims, NULL);
    call->out[0].dims[x->rank - 1] = w->dims[!rows];
    output_beside(call, LAC_IN_Y_SCALE);
    return LAC_OK;
}

static lac_status gemm_layer(const lac_call *call, lac_layer *layer, lac_error *err)
{
    const lac_tensor *x = input(call, LAC_IN_X), *w = input(call, LAC_IN_W);
    bool rows = lac_node_int(call->node, "transB", 0) != 0;
    int64_t k = w->dims[rows], n = w->dims[!rows], m = 1;
    for (int i = 0; i + 1 < x->rank; i++)
        m *= x->dims[i];
    LAC_TRY(lac_layer_begin(layer, "gemm", err));
    LAC_TRY(lac_layer_dim_set(layer, "m", m, err));
    LAC_TRY(lac_layer_dim_set(layer, "n", n, err));
    LAC_TRY(lac_layer_dim_set(layer, "k", k, err));
    LAC_TRY(lac_layer_check(layer, err));
    layer->operand[LAC_ROLE_ACTIVATIONS].tensor =
        lac_tensor_view(x->dtype, 2, (int64_t[]){m, k}, x->data);
    layer->operand[LAC_ROLE_WEIGHTS].tensor = lac_tensor_view(w->dtype, 2, w->dims, w->data);
    layer->operand[LAC_ROLE_WEIGHTS].transposed = !rows;
    layer->output = lac_tensor_view(LAC_F32, 2, (int64_t[]){m, n}, call->out[0].data);
    epilogue(call, layer);
    return LAC_OK;
}

/* ---- Conv, [batch][c][h][w] or, with channels_last, [batch][h][w][c]
 * ------------------------------------- */

/* The same tensor with its dims in the order of the other layout; the bytes stay. */
static lac_tensor permuted(const lac_tensor *t, bool to_last)
{
    static const int last[] = {0, 2, 3, 1}, first[] = {0, 3, 1, 2};
    lac_tensor view = *t;
    for (int i = 0; i < 4; i++)
        view.dims[i] = t->dims[to_last ? last[i] : first[i]];
    return view;
}

static bool is_last(const lac_call *call)
{
    return lac_node_int(call->node, "channels_last", 0) != 0;
}

/* `call` as the plain operator would see it; `x` and `in` are the caller's storage. */
static lac_call plain_call(const lac_call *call, lac_tensor *x, const lac_tensor **in)
{
    lac_call plain = *call;
    *x = *call->in[0];
    if (is_last(call) && x->rank == 4)
        *x = permuted(x, false);
    in[0] = x;
    in[1] = input(call, 1);
    plain.in = in;
    plain.n_in = call->n_in < 2 ? call->n_in : 2;
    plain.n_out = 1;
    return plain;
}

static lac_status conv_infer(const lac_call *call, lac_error *err)
{
    lac_tensor x;
    const lac_tensor *in[2];
    if (!input(call, 0) || !input(call, 1))
        return lac_fail(err, LAC_ERROR_INPUT, "needs x and w");
    lac_call plain = plain_call(call, &x, in);
    lac_conv_shape shape;
    LAC_TRY(lac_conv_read(&plain, 0, 1, &shape, err));
    LAC_TRY(lac_conv_infer(&plain, &shape, LAC_F32, err));
    call->out[0].dtype = output_dtype(call, LAC_IN_Y_SCALE);
    if (is_last(call))
        call->out[0] = permuted(&call->out[0], true);
    output_beside(call, LAC_IN_Y_SCALE);
    return LAC_OK;
}

static lac_status conv_layer(const lac_call *call, lac_layer *layer, lac_error *err)
{
    lac_tensor x, out = call->out[0];
    const lac_tensor *in[2];
    lac_call plain = plain_call(call, &x, in);
    if (is_last(call))
        out = permuted(&out, false);
    plain.out = &out;
    LAC_TRY(lac_conv_layer(&plain, 0, 1, layer, err));
    if (is_last(call)) {
        layer->channels_last = true;
        layer->operand[LAC_ROLE_ACTIVATIONS].tensor =
            permuted(&layer->operand[LAC_ROLE_ACTIVATIONS].tensor, true);
        layer->output = permuted(&layer->output, true);
    }
    epilogue(call, layer);
    return LAC_OK;
}

/* ---- Attention: q, k, v [batch][tokens][heads * dim], float or int8 with scales, additive mask, y
 * like q ----------------------------- */

static lac_status attention_infer(const lac_call *call, lac_error *err)
{
    int64_t heads = lac_node_int(call->node, "heads", 1);
    for (int i = 0; i < 3; i++) {
        const lac_tensor *t = input(call, i);
        if (!t || t->rank != 3 || heads < 1 || t->dims[2] % heads ||
            t->dims[2] != call->in[0]->dims[2] || t->dims[0] != call->in[0]->dims[0] ||
            (i == 2 && t->dims[1] != call->in[1]->dims[1]))
            return lac_fail(err, LAC_ERROR_INPUT, "input %d does not fit the others", i);
    }
    call->out[0] =
        lac_tensor_view(output_dtype(call, LAC_ATTENTION_Y_SCALE), 3, call->in[0]->dims, NULL);
    return LAC_OK;
}

static lac_status attention_layer(const lac_call *call, lac_layer *layer, lac_error *err)
{
    const lac_tensor *q = call->in[0], *k = call->in[1], *mask = input(call, LAC_ATTENTION_MASK);
    int64_t heads = lac_node_int(call->node, "heads", 1), dim = q->dims[2] / heads;
    LAC_TRY(lac_layer_begin(layer, "attention", err));
    LAC_TRY(lac_layer_dim_set(layer, "heads", heads, err));
    LAC_TRY(lac_layer_dim_set(layer, "tokens", q->dims[1], err));
    LAC_TRY(lac_layer_dim_set(layer, "dim", dim, err));
    LAC_TRY(lac_layer_dim_set(layer, "batch", q->dims[0], err));
    LAC_TRY(lac_layer_dim_set(layer, "kv_tokens", k->dims[1], err));
    LAC_TRY(lac_layer_check(layer, err));
    for (int i = 0; i < 3; i++) {
        const lac_tensor *t = call->in[i];
        layer->operand[LAC_ROLE_QUERY + i].tensor =
            lac_tensor_view(t->dtype, 4, (int64_t[]){t->dims[0], t->dims[1], heads, dim}, t->data);
    }
    if (mask)
        layer->operand[LAC_ROLE_MASK].tensor =
            lac_tensor_view(mask->dtype, mask->rank, mask->dims, mask->data);
    layer->channels_last = true;
    layer->softmax_scale = (double)lac_node_float(call->node, "scale", 1);
    layer->output = lac_tensor_view(LAC_F32, 4, (int64_t[]){q->dims[0], q->dims[1], heads, dim},
                                    call->out[0].data);
    for (int i = 0; i < 4; i++) {
        static const int roles[] = {LAC_ROLE_QUERY, LAC_ROLE_KEY, LAC_ROLE_VALUE,
                                    LAC_ROLE_ACTIVATIONS};
        const lac_tensor *scale = input(call, LAC_ATTENTION_SCALE + i);
        if (scale) {
            layer->operand[roles[i]].scale = scale->data;
            layer->operand[roles[i]].scale_count = 1;
        }
    }
    output_scale(call, LAC_ATTENTION_Y_SCALE, layer);
    return LAC_OK;
}

/* ---- Activation: one of lac_activation over all elements
 * --------------------------------------------------- */

static lac_status activation_infer(const lac_call *call, lac_error *err)
{
    const lac_tensor *x = input(call, 0);
    if (!x || x->dtype != LAC_F32)
        return lac_fail(err, LAC_ERROR_INPUT, "needs float32");
    call->out[0] = lac_tensor_view(LAC_F32, x->rank, x->dims, NULL);
    return LAC_OK;
}

LAC_CLONES static void activation_range(void *context, int64_t begin, int64_t end)
{
    const lac_call *call = context;
    float *y = (float *)call->out[0].data + begin;
    const float *x = (const float *)call->in[0]->data + begin;
    if (y != x)
        memcpy(y, x, (size_t)(end - begin) * sizeof *y);
    lac_activate(activation_of(call->node), lac_node_float(call->node, "low", -INFINITY),
                 lac_node_float(call->node, "high", INFINITY), end - begin, y);
}

static lac_status activation_run(const lac_call *call, lac_error *err)
{
    (void)err;
    lac_parallel_for(lac_tensor_count(call->in[0]), 8192, activation_range, (void *)call);
    return LAC_OK;
}

/* ---- Pool over [batch][h][w][c]: max, or average
 * ------------------------------------------------------------- */

typedef struct pool {
    const lac_call *call;
    lac_window g;
    int64_t channels;
    bool is_max, include_pad;
    int64_t slices; /* of bytes: ranges of rows, each with a row of the input's width */
    uint8_t *columns;
} pool;

static lac_status pool_read(const lac_call *call, pool *p, lac_error *err)
{
    const lac_tensor *x = input(call, 0);
    int64_t n, kernel[2];
    bool is_max = strcmp(lac_node_string(call->node, "mode", "max"), "max") == 0;
    bool bytes = x && (x->dtype == LAC_U8 || x->dtype == LAC_I8);
    if (!x || x->rank != 4 || (x->dtype != LAC_F32 && !(bytes && is_max)))
        return lac_fail(err, LAC_ERROR_INPUT, "needs [batch][h][w][c], float32 unless for max");
    lac_tensor plain = permuted(x, false);
    const int64_t *shape = lac_node_ints(call->node, "kernel_shape", &n);
    if (shape && n == 2)
        memcpy(kernel, shape, sizeof kernel);
    else /* global */
        memcpy(kernel, plain.dims + 2, sizeof kernel);
    p->call = call;
    p->channels = x->dims[3];
    p->is_max = is_max;
    p->include_pad = lac_node_int(call->node, "count_include_pad", 0) != 0;
    return lac_window_read(call, &p->g, 4, plain.dims, kernel, true, err);
}

static lac_status pool_infer(const lac_call *call, lac_error *err)
{
    pool p;
    LAC_TRY(pool_read(call, &p, err));
    int64_t dims[] = {call->in[0]->dims[0], p.g.out[1], p.g.out[2], p.channels};
    call->out[0] = lac_tensor_view(call->in[0]->dtype, 4, dims, NULL);
    return LAC_OK;
}

/* The larger of each two bytes, with `flip` xor-ed to those of x. */
static inline void largest(uint8_t *restrict y, const uint8_t *restrict x, int64_t count,
                           uint8_t flip)
{
    for (int64_t i = 0; i < count; i++) {
        uint8_t v = x[i] ^ flip;
        y[i] = v > y[i] ? v : y[i];
    }
}

/* The largest of bytes; int8 in the order of uint8 when `flip` is 128. An item is a row of outputs:
 * first the rows of the window for all columns, then its columns. */
LAC_CLONES static void pool_bytes(const pool *p, uint8_t *slice, int64_t begin, int64_t end)
{
    const lac_window *g = &p->g;
    const uint8_t flip = p->call->in[0]->dtype == LAC_I8 ? 128 : 0;
    const int64_t c_count = p->channels, width = g->in[2] * c_count;
    for (int64_t at = begin; at < end; at++) {
        int64_t row = at % g->out[1], b = at / g->out[1];
        const uint8_t *x = (const uint8_t *)p->call->in[0]->data + b * g->in[1] * width;
        memset(slice, 0, (size_t)width);
        for (int64_t r = 0; r < g->kernel[1]; r++) {
            int64_t h = row * g->stride[1] - g->pad[1] + r * g->dilation[1];
            if (h >= 0 && h < g->in[1])
                largest(slice, x + h * width, width, flip);
        }
        for (int64_t q = 0; q < g->out[2]; q++) {
            uint8_t *y = (uint8_t *)p->call->out[0].data + (at * g->out[2] + q) * c_count;
            memset(y, 0, (size_t)c_count);
            for (int64_t s = 0; s < g->kernel[2]; s++) {
                int64_t w = q * g->stride[2] - g->pad[2] + s * g->dilation[2];
                if (w >= 0 && w < g->in[2])
                    largest(y, slice + w * c_count, c_count, 0);
            }
            for (int64_t c = 0; flip && c < c_count; c++)
                y[c] ^= flip;
        }
    }
}

static void pool_slices(void *context, int64_t begin, int64_t end)
{
    const pool *p = context;
    int64_t rows = p->call->out[0].dims[0] * p->g.out[1], width = p->g.in[2] * p->channels;
    for (int64_t s = begin; s < end; s++)
        pool_bytes(p, p->columns + s * width, rows * s / p->slices, rows * (s + 1) / p->slices);
}

LAC_CLONES static void pool_rows(void *context, int64_t begin, int64_t end)
{
    const pool *p = context;
    const lac_window *g = &p->g;
    int64_t c_count = p->channels;
    for (int64_t at = begin; at < end; at++) {
        int64_t q = at % g->out[2], row = at / g->out[2] % g->out[1];
        int64_t b = at / g->out[2] / g->out[1], taps = 0;
        float *y = (float *)p->call->out[0].data + at * c_count;
        for (int64_t c = 0; c < c_count; c++)
            y[c] = p->is_max ? -INFINITY : 0;
        for (int64_t r = 0; r < g->kernel[1]; r++) {
            int64_t h = row * g->stride[1] - g->pad[1] + r * g->dilation[1];
            for (int64_t s = 0; s < g->kernel[2]; s++) {
                int64_t w = q * g->stride[2] - g->pad[2] + s * g->dilation[2];
                bool inside = h >= 0 && h < g->in[1] && w >= 0 && w < g->in[2];
                taps += inside || (p->include_pad && h < g->in[1] + g->pad_end[1] &&
                                   w < g->in[2] + g->pad_end[2]);
                if (!inside)
                    continue;
                const float *x = (const float *)p->call->in[0]->data +
                                 ((b * g->in[1] + h) * g->in[2] + w) * c_count;
                if (p->is_max)
                    for (int64_t c = 0; c < c_count; c++)
                        y[c] = x[c] > y[c] ? x[c] : y[c];
                else
                    for (int64_t c = 0; c < c_count; c++)
                        y[c] += x[c];
            }
        }
        if (!p->is_max)
            for (int64_t c = 0; c < c_count; c++)
                y[c] /= (float)(taps ? taps : 1);
    }
}

static lac_status pool_run(const lac_call *call, lac_error *err)
{
    pool p;
    LAC_TRY(pool_read(call, &p, err));
    int64_t work = p.g.kernel[1] * p.g.kernel[2] * p.channels, rows = call->out[0].dims[0];
    rows *= p.g.out[1];
    if (call->in[0]->dtype == LAC_F32) {
        lac_parallel_for(rows * p.g.out[2], 1 + 32768 / (work + 1), pool_rows, &p);
        return LAC_OK;
    }
    p.slices = 1 + rows * p.g.out[2] * work / 65536;
    p.slices = p.slices < lac_parallel_width() ? p.slices : lac_parallel_width();
    p.columns = lac_alloc_raw((size_t)p.slices, (size_t)(p.g.in[2] * p.channels), err);
    if (!p.columns)
        return LAC_ERROR_MEMORY;
    lac_parallel_for(p.slices, 1, pool_slices, &p);
    lac_free(p.columns);
    return LAC_OK;
}

/* ---- rows
 * ---------------------------------------------------------------------------------------------------
 */

#define FUSED(name_, summary_, flags_, infer_, run_, layer_)                                       \
    {                                                                                              \
        .row = LAC_ROW(lac_op, name_, summary_), .domain = LAC_EXEC_DOMAIN, .since = 1,            \
        .dtypes = LAC_BIT(LAC_F32) | LAC_BIT(LAC_U8) | LAC_BIT(LAC_I8), .attributes = "",          \
        .flags = flags_, .infer = infer_, .run = run_, .as_layer = layer_                          \
    }
static const lac_op rows[] = {
    FUSED("Gemm", "product with epilogue", 0, gemm_infer, run_nothing, gemm_layer),
    FUSED("Conv", "convolution with epilogue", 0, conv_infer, run_nothing, conv_layer),
    FUSED("Attention", "softmax(q k^T * scale + mask) v", 0, attention_infer, run_nothing,
          attention_layer),
    FUSED("Activation", "activation of all elements", LAC_OP_INPLACE | LAC_OP_ELEMENTWISE,
          activation_infer, activation_run, NULL),
    FUSED("Pool", "pooling over channels-last images", 0, pool_infer, pool_run, NULL),
};

const lac_op *lac_exec_op(const lac_node *node)
{
    if (strcmp(node->domain, LAC_EXEC_DOMAIN) != 0)
        return lac_op_find(node->domain, node->op);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].row.name, node->op) == 0)
            return &rows[i];
    return NULL;
}
