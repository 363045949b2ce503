/* Portable gemm and conv. A gemm is a convolution of 1 x 1 windows; a convolution is a product of
 * the input's rows, found by address instead of being copied (implicit gemm), with weights packed
 * once in panels of LAC_PANEL outputs. This is the definition that faster kernels are tested
 * against, and what LACUNA_ISA=ref runs. */
#include "cpu/ref/product.h"

#include "core/clones.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "cpu/epilogue.h"

#include <lacuna/kernel.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

static void store_integer(const lac_tensor *output, int64_t i, double value)
{
    lac_tensor_set((lac_tensor *)output, i, value); /* saturates */
}

void lac_product_finish(const lac_product *w, int64_t channel, int64_t y, int n, float *sum)
{
    const lac_layer *layer = w->layer;
    const lac_tensor *out = &layer->output;
    const float *bias = layer->operand[LAC_ROLE_BIAS].tensor.data;
    const float *residual = layer->operand[LAC_ROLE_RESIDUAL].tensor.data;
    for (int j = 0; bias && j < n; j++)
        sum[j] += bias[channel + j];
    for (int j = 0; residual && j < n; j++)
        sum[j] += residual[y + j * w->y_k];
    lac_activate(layer->activation, layer->low, layer->high, n, sum);
    if (out->dtype == LAC_F32)
        for (int j = 0; j < n; j++)
            ((float *)out->data)[y + j * w->y_k] = sum[j];
    else /* round to nearest even, as QuantizeLinear */
        for (int j = 0; j < n; j++)
            store_integer(out, y + j * w->y_k,
                          (double)nearbyintf(sum[j] / layer->output_scale) + layer->output_zero);
}

static inline void f32_store(const lac_product *w, int64_t channel, int64_t y, int n,
                             const float *sum)
{
    float copy[LAC_PANEL];
    memcpy(copy, sum, sizeof copy);
    lac_product_finish(w, channel, y, n, copy);
}

static inline void integer_store(const lac_product *w, int64_t channel, int64_t y, int n,
                                 const int32_t *sum)
{
    const lac_layer *layer = w->layer;
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    const lac_operand *weights = &layer->operand[LAC_ROLE_WEIGHTS];
    const float *bias = layer->operand[LAC_ROLE_BIAS].tensor.data;
    float real[LAC_PANEL], step, add, low, high;
    bool steps = lac_counts_steps(layer, &low, &high);
    if (layer->output.dtype == LAC_I32) {
        for (int j = 0; j < n; j++)
            ((int32_t *)layer->output.data)[y + j * w->y_k] = sum[j];
        return;
    }
    for (int j = 0; j < n; j++) {
        float scale = x->scale_count ? x->scale[0] : 1.0f;
        if (weights->scale_count)
            scale *= weights->scale[weights->scale_count > 1 ? channel + j : 0];
        real[j] = (float)sum[j] * scale;
        if (!steps)
            continue;
        lac_steps_of(scale, bias ? bias[channel + j] : 0, layer->output_scale, &step, &add);
        store_integer(&layer->output, y + j * w->y_k,
                      (double)nearbyintf(lac_steps((float)sum[j], step, add, low, high)) +
                          layer->output_zero);
    }
    if (!steps)
        lac_product_finish(w, channel, y, n, real);
}

#define X       float
#define W       float
#define A       float
#define NAME(x) f32_##x
#include "cpu/ref/product_body.inc"
#undef X
#undef W
#undef A
#undef NAME
#define u8_store integer_store
#define X        uint8_t
#define W        int16_t
#define A        int32_t
#define NAME(x)  u8_##x
#include "cpu/ref/product_body.inc"
#undef X
#undef NAME
#define s8_store integer_store
#define X        int8_t
#define NAME(x)  s8_##x
#include "cpu/ref/product_body.inc"

/* Weight of output n at (c, r, s), as stored. */
static int64_t weight_index(const lac_layer *layer, const lac_conv_geometry *g, int64_t n,
                            int64_t c, int64_t r, int64_t s)
{
    if (layer->operand[LAC_ROLE_WEIGHTS].transposed)
        return c * g->k + n;
    return ((n * (g->c / g->groups) + c) * g->r + r) * g->s + s;
}

static void pack(lac_product *w, const lac_layer *layer)
{
    const lac_conv_geometry *g = &w->g;
    const lac_operand *weights = &layer->operand[LAC_ROLE_WEIGHTS];
    int64_t n_c = w->depthwise ? 1 : g->c / g->groups, n_k = w->depthwise ? g->k : g->k / g->groups;
    int64_t groups = w->depthwise ? 1 : g->groups;
    bool real = weights->tensor.dtype == LAC_F32;
    for (int64_t n = 0; n < groups * n_k; n++)
        for (int64_t r = 0; r < g->r; r++)
            for (int64_t s = 0; s < g->s; s++)
                for (int64_t c = 0; c < n_c; c++) {
                    int64_t group = n / n_k, in_group = n % n_k;
                    int64_t to = (group * w->panels + in_group / LAC_PANEL) * w->panel_size +
                                 ((r * g->s + s) * n_c + c) * LAC_PANEL + in_group % LAC_PANEL;
                    int64_t from = weight_index(layer, g, n, c, r, s);
                    if (real)
                        ((float *)w->weights)[to] = ((const float *)weights->tensor.data)[from];
                    else
                        ((int16_t *)w->weights)[to] =
                            (int16_t)(lac_tensor_get(&weights->tensor, from) - weights->zero_point);
                }
}

static void product_release(void *state)
{
    lac_product *w = state;
    if (w) {
        lac_free(w->weights);
        lac_free(w->zeros);
        lac_free(w);
    }
}

static lac_status product_prepare(const lac_layer *layer, void **state, lac_error *err)
{
    lac_product *w = lac_alloc(1, sizeof *w, err);
    if (!w)
        return LAC_ERROR_MEMORY;
    lac_conv_geometry *g = &w->g;
    lac_conv_geometry_of(layer, g);
    bool last = layer->channels_last || strcmp(layer->kind->row.name, "gemm") == 0;
    w->depthwise = g->groups > 1 && g->groups == g->c && g->groups == g->k;
    w->x_c = last ? 1 : g->h * g->w;
    w->x_w = last ? g->c : 1;
    w->x_h = w->x_w * g->w;
    w->x_b = g->c * g->h * g->w;
    w->y_k = last ? 1 : g->p * g->q;
    w->y_q = last ? g->k : 1;
    w->y_p = w->y_q * g->q;
    w->y_b = g->k * g->p * g->q;
    int64_t n_c = w->depthwise ? 1 : g->c / g->groups, n_k = w->depthwise ? g->k : g->k / g->groups;
    w->panels = (n_k + LAC_PANEL - 1) / LAC_PANEL;
    w->panel_size = g->r * g->s * n_c * LAC_PANEL;
    int64_t count = (w->depthwise ? 1 : g->groups) * w->panels * w->panel_size;
    bool real = layer->operand[LAC_ROLE_WEIGHTS].tensor.dtype == LAC_F32;
    w->weight_bytes = (size_t)count * (real ? sizeof(float) : sizeof(int16_t));
    w->weights = lac_alloc(w->weight_bytes, 1, err);
    size_t row = (size_t)((w->depthwise ? LAC_PANEL : n_c) * w->x_c) * sizeof(float);
    w->zeros = lac_alloc(row, 1, err);
    if (!w->weights || !w->zeros) {
        product_release(w);
        return LAC_ERROR_MEMORY;
    }
    if (!real) /* padding is a real zero */
        memset(w->zeros, layer->operand[LAC_ROLE_ACTIVATIONS].zero_point & 255, row);
    pack(w, layer);
    *state = w;
    return LAC_OK;
}

static lac_status product_run(const lac_layer *layer, void *state, lac_error *err)
{
    lac_product *w = state;
    const lac_conv_geometry *g = &w->g;
    int64_t blocks = g->batch * g->p * ((g->q + LAC_PIXELS - 1) / LAC_PIXELS);
    int64_t items = blocks * w->panels * (w->depthwise ? 1 : g->groups);
    int64_t grain = 1 + 16384 / (w->panel_size + 1); /* worth waking a thread */
    (void)err;
    w->layer = layer;
    switch (layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype) {
    case LAC_U8:
        lac_parallel_for(items, grain, u8_range, w);
        break;
    case LAC_I8:
        lac_parallel_for(items, grain, s8_range, w);
        break;
    default:
        lac_parallel_for(items, grain, f32_range, w);
        break;
    }
    w->layer = NULL;
    return LAC_OK;
}

static bool product_can_run(const lac_layer *layer, char *why, size_t why_size)
{
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    bool real = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype == LAC_F32;
    lac_dtype bias = layer->operand[LAC_ROLE_BIAS].tensor.dtype;
    lac_dtype residual = layer->operand[LAC_ROLE_RESIDUAL].tensor.dtype;
    lac_conv_geometry g;
    bool fits =
        real ? w->tensor.dtype == LAC_F32 : w->tensor.dtype == LAC_I8 || w->tensor.dtype == LAC_U8;
    if (!fits)
        snprintf(why, why_size, "weights are %s", lac_dtype_name(w->tensor.dtype));
    else if (layer->input_layout != LAC_LAYOUT_ROWS || layer->output_layout != LAC_LAYOUT_ROWS) {
        fits = false;
        snprintf(why, why_size, "activations stand in another layout");
    } else if (!w->tensor.data || !lac_conv_geometry_of(layer, &g)) {
        fits = false;
        snprintf(why, why_size, "weights are not one constant");
    } else if ((bias != LAC_NONE && bias != LAC_F32) ||
               (residual != LAC_NONE && residual != LAC_F32)) {
        fits = false;
        snprintf(why, why_size, "bias or residual is not float32");
    } else if (real && layer->output.dtype == LAC_I32) {
        fits = false;
        snprintf(why, why_size, "output is %s", lac_dtype_name(layer->output.dtype));
    }
    return fits;
}

/* Measured on one core of an AMD EPYC 9xx4, vectors as wide as it has: products of 50 rows. Few
 * rows leave pixels of a block empty. */
#define MACS_PER_SECOND           16e9
#define MACS_PER_SECOND_DEPTHWISE 1e9
#define SECONDS_PER_CALL          1.5e-6

static double product_cost(const lac_layer *layer)
{
    lac_conv_geometry g;
    double macs = (double)layer->kind->macs(layer);
    if (lac_conv_geometry_of(layer, &g) && g.q > 0)
        macs *= (double)((g.q + LAC_PIXELS - 1) / LAC_PIXELS * LAC_PIXELS) / (double)g.q;
    bool depthwise = g.groups > 1 && g.groups == g.c && g.groups == g.k;
    return SECONDS_PER_CALL + macs / (depthwise ? MACS_PER_SECOND_DEPTHWISE : MACS_PER_SECOND);
}

static size_t product_bytes(const void *state)
{
    return ((const lac_product *)state)->weight_bytes;
}

#define PRODUCT(variable, kind_, dtype_, text)                                                     \
    const lac_kernel variable = {LAC_ROW(lac_kernel, text, "portable " kind_),                     \
                                 .kind = kind_,                                                    \
                                 .format = "dense",                                                \
                                 .dtype = dtype_,                                                  \
                                 .can_run = product_can_run,                                       \
                                 .cost = product_cost,                                             \
                                 .prepare = product_prepare,                                       \
                                 .run = product_run,                                               \
                                 .release = product_release,                                       \
                                 .state_bytes = product_bytes};
PRODUCT(lac_kernel_gemm_ref, "gemm", LAC_F32, "gemm_dense_f32_ref")
PRODUCT(lac_kernel_conv_ref, "conv", LAC_F32, "conv_dense_f32_ref")
PRODUCT(lac_kernel_gemm_ref_u8, "gemm", LAC_U8, "gemm_dense_u8_ref")
PRODUCT(lac_kernel_conv_ref_u8, "conv", LAC_U8, "conv_dense_u8_ref")
PRODUCT(lac_kernel_gemm_ref_s8, "gemm", LAC_I8, "gemm_dense_s8_ref")
PRODUCT(lac_kernel_conv_ref_s8, "conv", LAC_I8, "conv_dense_s8_ref")
