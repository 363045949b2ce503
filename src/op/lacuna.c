/* The operators of lacuna's own domain: Unpack (a packed weight), and what the fusion pass makes of
 * many standard operators: Gelu, Silu, Attention. */
#include <lacuna/format.h>

#include "op/nn.h"

#include "core/clones.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "core/vmath.h"
#include "op/product.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

/* ---- Unpack --------------------------------------------------------------------------------- */

static lac_status unpack_infer(const lac_call *call, lac_error *err)
{
    int64_t rank;
    const int64_t *shape = lac_node_ints(call->node, "shape", &rank);
    int64_t dtype = lac_node_int(call->node, "dtype", LAC_F32);
    LAC_TRY(lac_nn_count(call, 1, LAC_MAX_FIELDS, 1, err));
    if (rank > LAC_MAX_RANK || dtype < 1 || dtype >= LAC_DTYPE_LIMIT ||
        lac_dtype_bits((lac_dtype)dtype) == 0)
        return lac_fail(err, LAC_ERROR_INPUT, "shape has rank %" PRId64 ", dtype is %" PRId64, rank,
                        dtype);
    return lac_op_out(call, 0, (lac_dtype)dtype, (int)rank, shape, err);
}

static lac_status unpack_run(const lac_call *call, lac_error *err)
{
    lac_packed packed;
    lac_tensor tensor;
    LAC_TRY(lac_packed_from_node(&packed, call->node, call->n_in, call->in, err));
    lac_status status = lac_unpack(&packed, &tensor, err);
    lac_packed_release(&packed);
    LAC_TRY(status);
    if (lac_tensor_bytes(&tensor) == lac_tensor_bytes(&call->out[0]))
        memcpy(call->out[0].data, tensor.data, lac_tensor_bytes(&tensor));
    else
        status = lac_fail(err, LAC_ERROR_INTERNAL, "the unpacked tensor has another size");
    lac_tensor_release(&tensor);
    return status;
}

const lac_op lac_op_unpack = {
    .row = LAC_ROW(lac_op, "Unpack", "the dense tensor of a packed weight"),
    .domain = "lacuna",
    .since = 1,
    .dtypes = ~UINT32_C(0), /* the types of the fields are the format's affair */
    .attributes =
        "format:string params:string view:string=rows dtype:int=1 shape:ints prefer:string",
    .infer = unpack_infer,
    .run = unpack_run,
};

/* ---- Gelu, Silu ----------------------------------------------------------------------------- */

enum { GELU, GELU_TANH, SILU };

typedef struct curve {
    const float *x, *bias; /* bias [n] repeats over the elements, or NULL */
    float *y;
    int64_t n;
    int kind;
} curve;

static void curve_run(const float *x, float *y, int64_t n, int kind)
{
    if (kind == GELU)
        lac_vec_gelu(x, y, n);
    else if (kind == GELU_TANH)
        lac_vec_gelu_tanh(x, y, n);
    else
        lac_vec_silu(x, y, n);
}

static void curve_range(void *context, int64_t begin, int64_t end)
{
    const curve *t = context;
    if (t->bias)
        for (int64_t i = begin; i < end; i++)
            t->y[i] = t->x[i] + t->bias[i % t->n];
    curve_run((t->bias ? t->y : t->x) + begin, t->y + begin, end - begin, t->kind);
}

static lac_status curve_infer(const lac_call *call, lac_error *err)
{
    const char *mode = lac_node_string(call->node, "approximate", "none");
    LAC_TRY(lac_nn_count(call, 1, strcmp(call->node->op, "FastGelu") == 0 ? 2 : 1, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, LAC_NN_FLOATS, err));
    LAC_TRY(lac_nn_same(call, 1, err));
    const lac_tensor *x = call->in[0];
    LAC_TRY(lac_nn_shape(call, 1, 1, x->rank ? &x->dims[x->rank - 1] : (int64_t[]){1}, "the bias",
                         err));
    if (strcmp(mode, "none") != 0 && strcmp(mode, "tanh") != 0)
        return lac_fail(err, LAC_ERROR_INPUT, "approximate is '%.40s', want none or tanh", mode);
    return lac_op_out_same(call, err);
}

static lac_status curve_wide(const lac_call *call, lac_error *err)
{
    (void)err;
    const lac_tensor *bias = lac_op_in(call, 1);
    curve t = {.x = call->in[0]->data,
               .bias = bias ? bias->data : NULL,
               .y = call->out[0].data,
               .n = bias && bias->dims[0] > 0 ? bias->dims[0] : 1};
    if (strcmp(call->node->op, "Silu") == 0)
        t.kind = SILU;
    else if (strcmp(call->node->op, "FastGelu") == 0 ||
             strcmp(lac_node_string(call->node, "approximate", "none"), "tanh") == 0)
        t.kind = GELU_TANH;
    lac_parallel_for(lac_tensor_count(call->in[0]), LAC_OP_GRAIN, curve_range, &t);
    return LAC_OK;
}

static lac_status curve_op_run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, curve_wide, err);
}

#define CURVE(variable, domain_, name_, summary_, attributes_, flags_)                             \
    const lac_op variable = {.row = LAC_ROW(lac_op, name_, summary_),                              \
                             .domain = domain_,                                                    \
                             .since = 1,                                                           \
                             .dtypes = LAC_NN_FLOATS,                                              \
                             .attributes = attributes_,                                            \
                             .flags = flags_,                                                      \
                             .infer = curve_infer,                                                 \
                             .run = curve_op_run}
CURVE(lac_op_gelu, "lacuna", "Gelu", "x (1 + erf(x / sqrt 2)) / 2", "approximate:string=none",
      LAC_OP_INPLACE | LAC_OP_ELEMENTWISE);
CURVE(lac_op_silu, "lacuna", "Silu", "x sigmoid(x)", "", LAC_OP_INPLACE | LAC_OP_ELEMENTWISE);
CURVE(lac_op_microsoft_gelu, "com.microsoft", "Gelu", "x (1 + erf(x / sqrt 2)) / 2", "",
      LAC_OP_INPLACE | LAC_OP_ELEMENTWISE);
CURVE(lac_op_microsoft_fast_gelu, "com.microsoft", "FastGelu",
      "Gelu by tanh, of x plus a bias along the last axis", "", LAC_OP_INPLACE);

/* ---- Attention ------------------------------------------------------------------------------ */

typedef struct attention {
    int64_t batch, tokens, kv_tokens, heads, dim; /* dim of one head */
    int64_t mask_stride[3];                       /* batch, head, token; 0: repeats */
    float scale;
    const float *q, *k, *v, *mask;
    float *y;
    atomic_bool failed;
} attention;

static lac_status attention_read(const lac_call *call, attention *g, lac_error *err)
{
    const lac_tensor *q = call->in[0], *mask = lac_op_in(call, 3);
    int64_t count;
    LAC_TRY(lac_nn_shape(call, 0, 3, (int64_t[]){-1, -1, -1}, "q", err));
    LAC_TRY(lac_nn_shape(call, 1, 3, (int64_t[]){q->dims[0], -1, q->dims[2]}, "k", err));
    LAC_TRY(lac_nn_shape(call, 2, 3, call->in[1]->dims, "v", err));
    g->heads = lac_node_int(call->node, "heads", 0);
    if (g->heads < 1 || q->dims[2] % g->heads || q->dims[2] == 0)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "heads=%" PRId64 " does not divide the %" PRId64 " features of q", g->heads,
                        q->dims[2]);
    g->batch = q->dims[0];
    g->tokens = q->dims[1];
    g->kv_tokens = call->in[1]->dims[1];
    g->dim = q->dims[2] / g->heads;
    g->scale = lac_node_float(call->node, "scale", 1);
    LAC_TRY(
        lac_shape_count(4, (int64_t[]){g->batch, g->heads, g->tokens, g->kv_tokens}, &count, err));
    if (!mask)
        return LAC_OK;
    int64_t full[] = {g->batch, g->heads, g->tokens, g->kv_tokens};
    LAC_TRY(lac_nn_shape(call, 3, 4, (int64_t[]){-1, -1, -1, g->kv_tokens}, "the mask", err));
    for (int i = 0; i < 3; i++) {
        if (mask->dims[i] != 1 && mask->dims[i] != full[i])
            return lac_fail(err, LAC_ERROR_INPUT,
                            "the mask has %" PRId64 " in dimension %d, want 1 or %" PRId64,
                            mask->dims[i], i, full[i]);
        g->mask_stride[i] = mask->dims[i] == 1 ? 0 : lac_op_product(mask->dims, i + 1, 4);
    }
    return LAC_OK;
}

static lac_status attention_infer(const lac_call *call, lac_error *err)
{
    attention g = {.mask = NULL};
    LAC_TRY(lac_nn_count(call, 3, 4, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, LAC_NN_FLOATS, err));
    for (int i = 1; i < 4; i++)
        LAC_TRY(lac_nn_same(call, i, err));
    LAC_TRY(attention_read(call, &g, err));
    return lac_op_out_same(call, err);
}

/* Softmax of scale * s + mask, in place. */
LAC_CLONES static void weigh(float *s, const float *mask, int64_t n, float scale)
{
    for (int64_t i = 0; i < n; i++)
        s[i] = s[i] * scale + (mask ? mask[i] : 0);
    float max = lac_vec_max(s, n);
    lac_vec_exp_minus(s, max == -INFINITY ? 0 : max, s, n);
    float factor = 1 / lac_vec_sum(s, n);
    for (int64_t i = 0; i < n; i++)
        s[i] *= factor;
}

/* Whole heads: K^T is copied as panels of 16 tokens, the scores stand in scratch [tokens][kv]. */
static void attention_heads(void *context, int64_t begin, int64_t end)
{
    attention *g = context;
    int64_t width = g->heads * g->dim, kv = g->kv_tokens;
    int64_t panel = (g->dim > kv ? g->dim : kv) * LAC_PANEL;
    float *scores = lac_alloc_raw((size_t)(g->tokens * kv + panel), sizeof(float), NULL);
    float *packed = scores + (scores ? g->tokens * kv : 0);
    if (!scores) {
        atomic_store(&g->failed, true);
        return;
    }
    for (int64_t t = begin; t < end; t++) {
        int64_t b = t / g->heads, h = t % g->heads;
        const float *q = g->q + b * g->tokens * width + h * g->dim;
        const float *k = g->k + b * kv * width + h * g->dim;
        const float *v = g->v + b * kv * width + h * g->dim;
        float *y = g->y + b * g->tokens * width + h * g->dim;
        for (int64_t j = 0; j < kv; j += LAC_PANEL) {
            int64_t columns = kv - j < LAC_PANEL ? kv - j : LAC_PANEL;
            memset(packed, 0, (size_t)(g->dim * LAC_PANEL) * sizeof(float));
            for (int64_t x = 0; x < columns; x++)
                for (int64_t d = 0; d < g->dim; d++)
                    packed[d * LAC_PANEL + x] = k[(j + x) * width + d];
            lac_panel_f32(g->tokens, g->dim, q, width, 1, packed, LAC_PANEL, scores + j, kv,
                          columns);
        }
        for (int64_t i = 0; i < g->tokens; i++)
            weigh(scores + i * kv,
                  g->mask ? g->mask + b * g->mask_stride[0] + h * g->mask_stride[1] +
                                i * g->mask_stride[2]
                          : NULL,
                  kv, g->scale);
        for (int64_t j = 0; j < g->dim; j += LAC_PANEL) {
            int64_t columns = g->dim - j < LAC_PANEL ? g->dim - j : LAC_PANEL;
            memset(packed, 0, (size_t)(kv * LAC_PANEL) * sizeof(float));
            for (int64_t x = 0; x < kv; x++)
                memcpy(packed + x * LAC_PANEL, v + x * width + j, (size_t)columns * sizeof(float));
            lac_panel_f32(g->tokens, kv, scores, kv, 1, packed, LAC_PANEL, y + j, width, columns);
        }
    }
    lac_free(scores);
}

static lac_status attention_wide(const lac_call *call, lac_error *err)
{
    attention g = {.mask = NULL};
    LAC_TRY(attention_read(call, &g, err));
    g.q = call->in[0]->data;
    g.k = call->in[1]->data;
    g.v = call->in[2]->data;
    g.mask = lac_op_in(call, 3) ? call->in[3]->data : NULL;
    g.y = call->out[0].data;
    atomic_init(&g.failed, false);
    lac_parallel_for(g.batch * g.heads, 1, attention_heads, &g);
    if (atomic_load(&g.failed))
        return lac_fail(err, LAC_ERROR_MEMORY, "out of memory for %" PRId64 " x %" PRId64 " scores",
                        g.tokens, g.kv_tokens);
    return LAC_OK;
}

static lac_status attention_run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, attention_wide, err);
}

static lac_status attention_as_layer(const lac_call *call, lac_layer *layer, lac_error *err)
{
    static const lac_role roles[] = {LAC_ROLE_QUERY, LAC_ROLE_KEY, LAC_ROLE_VALUE, LAC_ROLE_MASK};
    attention g = {.mask = NULL};
    LAC_TRY(attention_read(call, &g, err));
    LAC_TRY(lac_layer_begin(layer, "attention", err));
    LAC_TRY(lac_layer_dim_set(layer, "heads", g.heads, err));
    LAC_TRY(lac_layer_dim_set(layer, "tokens", g.tokens, err));
    LAC_TRY(lac_layer_dim_set(layer, "kv_tokens", g.kv_tokens, err));
    LAC_TRY(lac_layer_dim_set(layer, "dim", g.dim, err));
    LAC_TRY(lac_layer_dim_set(layer, "batch", g.batch, err));
    snprintf(layer->name, sizeof layer->name, "%s", call->node->name);
    LAC_TRY(lac_layer_check(layer, err));
    layer->channels_last = true; /* [batch][tokens][heads][dim] */
    layer->softmax_scale = (double)g.scale;
    for (int i = 0; i < 4; i++) {
        const lac_tensor *in = lac_op_in(call, i);
        if (in)
            layer->operand[roles[i]].tensor =
                lac_tensor_view(in->dtype, in->rank, in->dims, in->data);
    }
    layer->output = lac_tensor_view(call->out[0].dtype, 3, call->out[0].dims, call->out[0].data);
    return LAC_OK;
}

const lac_op lac_op_attention = {
    .row = LAC_ROW(lac_op, "Attention", "softmax(q k^T * scale + mask) v per head"),
    .domain = "lacuna",
    .since = 1,
    .dtypes = LAC_NN_FLOATS,
    .attributes = "heads:int scale:float=1",
    .infer = attention_infer,
    .run = attention_run,
    .as_layer = attention_as_layer,
};
