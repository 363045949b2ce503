/* gemm and conv by oneDNN. Activations stay in lacuna's plain layouts; weights are reordered once
 * into whatever the chosen implementation likes. Bias, residual and activation are fused as
 * post-operations. Everything a run needs (primitive, memory objects, scratchpad) is made in
 * prepare, so that a run sets a few addresses and executes. */
#include "core/memory.h"
#include "cpu/geometry.h"

#include <lacuna/kernel.h>

#include <dnnl.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SRC, WEIGHTS, BIAS, RESIDUAL, DST, SCRATCH, N_ARGS };

typedef struct product {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t arg[N_ARGS];
    dnnl_memory_t memory[N_ARGS];
    const void *address[N_ARGS]; /* last set */
    int n_args;
    lac_store *store;
    void *weights; /* reordered; of the store */
    void *bias, *scratch;
    size_t weight_bytes;
    lac_conv_geometry g;
    bool is_gemm, is_depthwise;
} product;

static dnnl_data_type_t data_type(lac_dtype dtype)
{
    switch (dtype) {
    case LAC_F32:
        return dnnl_f32;
    case LAC_U8:
        return dnnl_u8;
    case LAC_I8:
        return dnnl_s8;
    case LAC_I32:
        return dnnl_s32;
    default:
        return dnnl_data_type_undef;
    }
}

static lac_status failed(dnnl_status_t status, const char *what, lac_error *err)
{
    if (status == dnnl_success)
        return LAC_OK;
    if (status == dnnl_out_of_memory)
        return lac_fail(err, LAC_ERROR_MEMORY, "the dense library ran out of memory: %s", what);
    return lac_fail(err, LAC_ERROR_UNSUPPORTED, "the dense library refuses: %s (status %d)", what,
                    (int)status);
}
#define DNNL_TRY(call) LAC_TRY(failed(call, #call, err))

static void product_release(void *state)
{
    product *w = state;
    if (!w)
        return;
    for (int i = 0; i < N_ARGS; i++)
        if (w->memory[i])
            dnnl_memory_destroy(w->memory[i]);
    if (w->primitive)
        dnnl_primitive_destroy(w->primitive);
    if (w->pd)
        dnnl_primitive_desc_destroy(w->pd);
    if (w->stream)
        dnnl_stream_destroy(w->stream);
    if (w->engine)
        dnnl_engine_destroy(w->engine);
    lac_store_drop(w->store, lac_free, w->weights);
    lac_free(w->bias);
    lac_free(w->scratch);
    lac_free(w);
}

/* Scale of output channel n: sums times this are real values. */
static float scale_of(const lac_layer *layer, int64_t n)
{
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    float scale = x->scale_count ? x->scale[0] : 1.0f;
    if (w->scale_count)
        scale *= w->scale[w->scale_count > 1 ? n : 0];
    return scale;
}

static lac_status post_ops(const lac_layer *layer, const dnnl_memory_desc_t *residual,
                           dnnl_post_ops_t ops, lac_error *err)
{
    if (layer->operand[LAC_ROLE_RESIDUAL].tensor.dtype == LAC_F32)
        DNNL_TRY(dnnl_post_ops_append_binary(ops, dnnl_binary_add, residual));
    switch (layer->activation) {
    case LAC_ACT_NONE:
        break;
    case LAC_ACT_CLIP:
        if (layer->low == 0 && layer->high == INFINITY)
            DNNL_TRY(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0));
        else
            DNNL_TRY(
                dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_clip, layer->low, layer->high));
        break;
    case LAC_ACT_GELU:
        DNNL_TRY(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_gelu_erf, 0, 0));
        break;
    case LAC_ACT_GELU_TANH:
        DNNL_TRY(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_gelu_tanh, 0, 0));
        break;
    case LAC_ACT_SIGMOID:
        DNNL_TRY(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_logistic, 0, 0));
        break;
    case LAC_ACT_TANH:
        DNNL_TRY(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_tanh, 0, 0));
        break;
    case LAC_ACT_SILU:
        DNNL_TRY(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_swish, 1, 0));
        break;
    }
    if (layer->output.dtype != LAC_F32 &&
        layer->output.dtype != LAC_I32) /* then rounded to nearest even and saturated */
        DNNL_TRY(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_linear, 1 / layer->output_scale,
                                              (float)layer->output_zero));
    return LAC_OK;
}

static lac_status attributes(const product *w, const lac_layer *layer,
                             const dnnl_memory_desc_t *residual, dnnl_primitive_attr_t attr,
                             lac_error *err)
{
    DNNL_TRY(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user));
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    if (layer->output.dtype != LAC_I32 && x->tensor.dtype != LAC_F32) {
        int64_t n = layer->operand[LAC_ROLE_WEIGHTS].scale_count > 1 ? w->g.k : 1;
        float *scales = lac_alloc((size_t)n, sizeof *scales, err);
        if (!scales)
            return LAC_ERROR_MEMORY;
        for (int64_t i = 0; i < n; i++)
            scales[i] = scale_of(layer, i);
        dnnl_status_t status =
            dnnl_primitive_attr_set_output_scales(attr, n, n > 1 ? 1 << 1 : 0, scales);
        lac_free(scales);
        DNNL_TRY(status);
    }
    if (x->zero_point != 0)
        DNNL_TRY(dnnl_primitive_attr_set_zero_points(attr, DNNL_ARG_SRC, 1, 0, &x->zero_point));
    dnnl_post_ops_t ops;
    DNNL_TRY(dnnl_post_ops_create(&ops));
    lac_status status = post_ops(layer, residual, ops, err);
    if (status == LAC_OK)
        status = failed(dnnl_primitive_attr_set_post_ops(attr, ops), "post-operations", err);
    dnnl_post_ops_destroy(ops);
    return status;
}

/* Descriptors of the plain tensors; weights as the graph holds them. */
static lac_status describe(const product *w, const lac_layer *layer, dnnl_memory_desc_t md[N_ARGS],
                           lac_error *err)
{
    const lac_conv_geometry *g = &w->g;
    const lac_operand *weights = &layer->operand[LAC_ROLE_WEIGHTS];
    dnnl_data_type_t src_type = data_type(layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype);
    dnnl_data_type_t dst_type = data_type(layer->output.dtype);
    dnnl_data_type_t w_type = data_type(weights->tensor.dtype);
    if (w->is_gemm) {
        dnnl_dims_t src = {g->w, g->c}, wei = {g->c, g->k}, dst = {g->w, g->k}, bias = {1, g->k};
        DNNL_TRY(dnnl_memory_desc_init_by_tag(&md[SRC], 2, src, src_type, dnnl_ab));
        DNNL_TRY(dnnl_memory_desc_init_by_tag(&md[WEIGHTS], 2, wei, w_type,
                                              weights->transposed ? dnnl_ab : dnnl_ba));
        DNNL_TRY(dnnl_memory_desc_init_by_tag(&md[DST], 2, dst, dst_type, dnnl_ab));
        DNNL_TRY(dnnl_memory_desc_init_by_tag(&md[RESIDUAL], 2, dst, dnnl_f32, dnnl_ab));
        DNNL_TRY(dnnl_memory_desc_init_by_tag(&md[BIAS], 2, bias, dnnl_f32, dnnl_ab));
        return LAC_OK;
    }
    dnnl_format_tag_t tag = layer->channels_last ? dnnl_nhwc : dnnl_nchw;
    dnnl_dims_t src = {g->batch, g->c, g->h, g->w}, dst = {g->batch, g->k, g->p, g->q};
    dnnl_dims_t bias = {g->k};
    DNNL_TRY(dnnl_memory_desc_init_by_tag(&md[SRC], 4, src, src_type, tag));
    DNNL_TRY(dnnl_memory_desc_init_by_tag(&md[DST], 4, dst, dst_type, tag));
    DNNL_TRY(dnnl_memory_desc_init_by_tag(&md[RESIDUAL], 4, dst, dnnl_f32, tag));
    DNNL_TRY(dnnl_memory_desc_init_by_tag(&md[BIAS], 1, bias, dnnl_f32, dnnl_a));
    if (g->groups > 1) {
        dnnl_dims_t wei = {g->groups, g->k / g->groups, g->c / g->groups, g->r, g->s};
        DNNL_TRY(dnnl_memory_desc_init_by_tag(&md[WEIGHTS], 5, wei, w_type, dnnl_goihw));
    } else {
        dnnl_dims_t wei = {g->k, g->c, g->r, g->s};
        DNNL_TRY(dnnl_memory_desc_init_by_tag(&md[WEIGHTS], 4, wei, w_type, dnnl_oihw));
    }
    return LAC_OK;
}

static lac_status make_desc(product *w, const lac_layer *layer, dnnl_memory_desc_t md[N_ARGS],
                            dnnl_primitive_attr_t attr, lac_error *err)
{
    const lac_conv_geometry *g = &w->g;
    dnnl_memory_desc_t any = md[WEIGHTS];
    const dnnl_memory_desc_t *bias =
        layer->operand[LAC_ROLE_BIAS].tensor.dtype == LAC_F32 ? &md[BIAS] : NULL;
    any.format_kind = dnnl_format_kind_any;
    LAC_TRY(attributes(w, layer, &md[RESIDUAL], attr, err));
    if (w->is_gemm) {
        dnnl_matmul_desc_t desc;
        DNNL_TRY(dnnl_matmul_desc_init(&desc, &md[SRC], &any, bias, &md[DST]));
        DNNL_TRY(dnnl_primitive_desc_create(&w->pd, &desc, attr, w->engine, NULL));
    } else {
        dnnl_convolution_desc_t desc;
        dnnl_dims_t strides = {g->stride_h, g->stride_w};
        dnnl_dims_t dilates = {g->dilation_h - 1, g->dilation_w - 1};
        dnnl_dims_t before = {g->pad_top, g->pad_left}, after = {g->pad_bottom, g->pad_right};
        DNNL_TRY(dnnl_dilated_convolution_forward_desc_init(
            &desc, dnnl_forward_inference, dnnl_convolution_direct, &md[SRC], &any, bias, &md[DST],
            strides, dilates, before, after));
        DNNL_TRY(dnnl_primitive_desc_create(&w->pd, &desc, attr, w->engine, NULL));
    }
    return LAC_OK;
}

static lac_status make_pd(product *w, const lac_layer *layer, dnnl_memory_desc_t md[N_ARGS],
                          lac_error *err)
{
    if (!lac_conv_geometry_of(layer, &w->g))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "not a product");
    w->is_gemm = strcmp(layer->kind->row.name, "gemm") == 0;
    DNNL_TRY(dnnl_engine_create(&w->engine, dnnl_cpu, 0));
    LAC_TRY(describe(w, layer, md, err));
    dnnl_primitive_attr_t attr;
    DNNL_TRY(dnnl_primitive_attr_create(&attr));
    lac_status status = make_desc(w, layer, md, attr, err);
    dnnl_primitive_attr_destroy(attr);
    return status;
}

static lac_status add_memory(product *w, int which, int id, const dnnl_memory_desc_t *md,
                             void *data, lac_error *err)
{
    DNNL_TRY(dnnl_memory_create(&w->memory[which], md, w->engine, data));
    w->address[which] = data;
    w->arg[w->n_args++] = (dnnl_exec_arg_t){id, w->memory[which]};
    return LAC_OK;
}

static lac_status reorder(product *w, const dnnl_memory_desc_t *from, void *data, lac_error *err)
{
    const dnnl_memory_desc_t *to = dnnl_primitive_desc_query_md(w->pd, dnnl_query_weights_md, 0);
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive;
    dnnl_memory_t source;
    DNNL_TRY(dnnl_memory_create(&source, from, w->engine, data));
    dnnl_status_t status =
        dnnl_reorder_primitive_desc_create(&pd, from, w->engine, to, w->engine, NULL);
    if (status == dnnl_success) {
        status = dnnl_primitive_create(&primitive, pd);
        if (status == dnnl_success) {
            dnnl_exec_arg_t args[2] = {{DNNL_ARG_FROM, source}, {DNNL_ARG_TO, w->memory[WEIGHTS]}};
            status = dnnl_primitive_execute(primitive, w->stream, 2, args);
            dnnl_stream_wait(w->stream);
            dnnl_primitive_destroy(primitive);
        }
        dnnl_primitive_desc_destroy(pd);
    }
    dnnl_memory_destroy(source);
    return failed(status, "reordering weights", err);
}

/* Plans of other input shapes mostly want the same order. */
static lac_status make_weights(product *w, const lac_layer *layer, const dnnl_memory_desc_t *from,
                               lac_error *err)
{
    const dnnl_memory_desc_t *to = dnnl_primitive_desc_query_md(w->pd, dnnl_query_weights_md, 0);
    void *data = layer->operand[LAC_ROLE_WEIGHTS].tensor.data;
    w->store = layer->store;
    w->weight_bytes = dnnl_memory_desc_get_size(to);
    w->weights = lac_store_find(w->store, data, to, sizeof *to, lac_free);
    bool found = w->weights != NULL;
    if (!found)
        w->weights = lac_alloc(w->weight_bytes, 1, err);
    if (!w->weights)
        return LAC_ERROR_MEMORY;
    LAC_TRY(add_memory(w, WEIGHTS, DNNL_ARG_WEIGHTS, to, w->weights, err));
    if (found)
        return LAC_OK;
    LAC_TRY(reorder(w, from, data, err));
    return lac_store_put(w->store, data, to, sizeof *to, lac_free, w->weights, err);
}

static lac_status fill(product *w, const lac_layer *layer, lac_error *err)
{
    dnnl_memory_desc_t md[N_ARGS];
    const lac_tensor *bias = &layer->operand[LAC_ROLE_BIAS].tensor;
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    LAC_TRY(make_pd(w, layer, md, err));
    DNNL_TRY(dnnl_primitive_create(&w->primitive, w->pd));
    DNNL_TRY(dnnl_stream_create(&w->stream, w->engine, dnnl_stream_default_flags));
    LAC_TRY(make_weights(w, layer, &md[WEIGHTS], err));
    LAC_TRY(add_memory(w, SRC, DNNL_ARG_SRC, &md[SRC], NULL, err));
    LAC_TRY(add_memory(w, DST, DNNL_ARG_DST, &md[DST], NULL, err));
    if (bias->dtype == LAC_F32) {
        w->bias = lac_alloc((size_t)w->g.k, sizeof(float), err);
        if (!w->bias)
            return LAC_ERROR_MEMORY;
        memcpy(w->bias, bias->data, (size_t)w->g.k * sizeof(float));
        if (x->tensor.dtype != LAC_F32) /* the library adds the bias before it scales */
            for (int64_t n = 0; n < w->g.k; n++)
                ((float *)w->bias)[n] /= scale_of(layer, n);
        LAC_TRY(add_memory(w, BIAS, DNNL_ARG_BIAS, &md[BIAS], w->bias, err));
    }
    if (layer->operand[LAC_ROLE_RESIDUAL].tensor.dtype == LAC_F32)
        LAC_TRY(add_memory(w, RESIDUAL, DNNL_ARG_ATTR_MULTIPLE_POST_OP(0) | DNNL_ARG_SRC_1,
                           &md[RESIDUAL], NULL, err));
    const dnnl_memory_desc_t *scratch =
        dnnl_primitive_desc_query_md(w->pd, dnnl_query_scratchpad_md, 0);
    w->scratch = lac_alloc(dnnl_memory_desc_get_size(scratch), 1, err);
    if (!w->scratch)
        return LAC_ERROR_MEMORY;
    return add_memory(w, SCRATCH, DNNL_ARG_SCRATCHPAD, scratch, w->scratch, err);
}

static lac_status product_prepare(const lac_layer *layer, void **state, lac_error *err)
{
    product *w = lac_alloc(1, sizeof *w, err);
    if (!w)
        return LAC_ERROR_MEMORY;
    lac_status status = fill(w, layer, err);
    if (status != LAC_OK)
        product_release(w);
    else
        *state = w;
    return status;
}

static lac_status set(product *w, int which, void *data, lac_error *err)
{
    if (w->address[which] == data)
        return LAC_OK;
    w->address[which] = data;
    DNNL_TRY(dnnl_memory_set_data_handle(w->memory[which], data));
    return LAC_OK;
}

static lac_status product_run(const lac_layer *layer, void *state, lac_error *err)
{
    product *w = state;
    LAC_TRY(set(w, SRC, layer->operand[LAC_ROLE_ACTIVATIONS].tensor.data, err));
    LAC_TRY(set(w, DST, layer->output.data, err));
    if (w->memory[RESIDUAL])
        LAC_TRY(set(w, RESIDUAL, layer->operand[LAC_ROLE_RESIDUAL].tensor.data, err));
    DNNL_TRY(dnnl_primitive_execute(w->primitive, w->stream, w->n_args, w->arg));
    return LAC_OK;
}

static bool product_can_run(const lac_layer *layer, char *why, size_t why_size)
{
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    const lac_operand *weights = &layer->operand[LAC_ROLE_WEIGHTS];
    const lac_tensor *residual = &layer->operand[LAC_ROLE_RESIDUAL].tensor;
    const lac_tensor *bias = &layer->operand[LAC_ROLE_BIAS].tensor;
    lac_dtype expected = x->tensor.dtype == LAC_F32 ? LAC_F32 : LAC_I8;
    const char *reason = NULL;
    lac_error error = {0};
    if (!weights->tensor.data)
        reason = "weights are not constant";
    else if (bias->dtype != LAC_NONE && (bias->dtype != LAC_F32 || !bias->data))
        reason = "bias is not a float32 constant";
    else if (weights->tensor.dtype != expected)
        reason = "type of the weights";
    else if (layer->output.dtype == LAC_I32 &&
             (bias->dtype != LAC_NONE || residual->dtype != LAC_NONE ||
              layer->activation != LAC_ACT_NONE))
        reason = "sums of int32 with more than a product";
    else if (layer->input_layout != LAC_LAYOUT_ROWS || layer->output_layout != LAC_LAYOUT_ROWS)
        reason = "activations stand in another layout";
    else if (weights->zero_point != 0)
        reason = "weights have a zero point";
    else if (residual->dtype != LAC_NONE && residual->dtype != LAC_F32)
        reason = "residual is not float32";
    if (!reason) {
        dnnl_memory_desc_t md[N_ARGS];
        product *w = lac_alloc(1, sizeof *w, NULL);
        if (!w || make_pd(w, layer, md, &error) != LAC_OK) {
            reason = error.message[0] ? error.message : "out of memory";
        } else {
            const char *name = NULL;
            dnnl_primitive_desc_query(w->pd, dnnl_query_impl_info_str, 0, (void *)&name);
            if (name && strncmp(name, "ref", 3) == 0)
                reason = "the library has only its reference for this";
            else if (expected == LAC_I8 && dnnl_primitive_create(&w->primitive, w->pd))
                reason = "the library cannot make what it promised"; /* seen with zero points */
        }
        product_release(w);
    }
    if (reason)
        snprintf(why, why_size, "%s", reason);
    return !reason;
}

/* Measured by bench/packed.c on one core of an AMD EPYC 9xx4, as the constants of the packed
 * kernels: products of many rows, and reading the weights where rows are few. */
#define MACS_PER_SECOND_F32  56e9
#define MACS_PER_SECOND_INT8 215e9
#define BYTES_PER_SECOND     85e9
#define SECONDS_PER_CALL     1e-6
/* Depthwise convolutions of bytes, and finishing an output of a convolution of bytes. */
#define MACS_PER_SECOND_DEPTHWISE 21e9
#define SECONDS_PER_OUTPUT        0.09e-9

static double product_cost(const lac_layer *layer)
{
    bool real = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype == LAC_F32;
    double bytes = (double)lac_tensor_bytes(&layer->operand[LAC_ROLE_WEIGHTS].tensor);
    double macs = (double)layer->kind->macs(layer), reading = bytes / BYTES_PER_SECOND;
    double seconds = macs / (real ? MACS_PER_SECOND_F32 : MACS_PER_SECOND_INT8);
    lac_conv_geometry g;
    if (!real && lac_conv_geometry_of(layer, &g) && strcmp(layer->kind->row.name, "conv") == 0) {
        if (g.groups > 1 && g.groups == g.c)
            seconds = macs / MACS_PER_SECOND_DEPTHWISE;
        else if (g.groups == 1) /* channels go in fours, outputs in sixteens */
            seconds *= (double)((g.c + 3) / 4 * 4) / (double)g.c * (double)((g.k + 15) / 16 * 16) /
                       (double)g.k;
        seconds += SECONDS_PER_OUTPUT * (double)(g.batch * g.p * g.q * g.k);
    }
    return SECONDS_PER_CALL + (seconds > reading ? seconds : reading);
}

static size_t product_bytes(const void *state)
{
    return ((const product *)state)->weight_bytes;
}

#define PRODUCT(variable, kind_, dtype_, isa_, text)                                               \
    const lac_kernel variable = {LAC_ROW(lac_kernel, text, kind_ " by oneDNN"),                    \
                                 .kind = kind_,                                                    \
                                 .format = "dense",                                                \
                                 .dtype = dtype_,                                                  \
                                 .isa = isa_,                                                      \
                                 .can_run = product_can_run,                                       \
                                 .cost = product_cost,                                             \
                                 .prepare = product_prepare,                                       \
                                 .run = product_run,                                               \
                                 .release = product_release,                                       \
                                 .state_bytes = product_bytes};
/* Without VNNI the library adds pairs of byte products in 16 bits, which saturate: sums are to be
 * exact. */
#define BYTES (LAC_ISA_LIBRARY | LAC_ISA_VNNI)
PRODUCT(lac_kernel_gemm_dnnl, "gemm", LAC_F32, LAC_ISA_LIBRARY, "gemm_dense_f32_library")
PRODUCT(lac_kernel_gemm_dnnl_u8, "gemm", LAC_U8, BYTES, "gemm_dense_u8_library")
PRODUCT(lac_kernel_gemm_dnnl_s8, "gemm", LAC_I8, BYTES, "gemm_dense_s8_library")
PRODUCT(lac_kernel_conv_dnnl, "conv", LAC_F32, LAC_ISA_LIBRARY, "conv_dense_f32_library")
PRODUCT(lac_kernel_conv_dnnl_u8, "conv", LAC_U8, BYTES, "conv_dense_u8_library")
PRODUCT(lac_kernel_conv_dnnl_s8, "conv", LAC_I8, BYTES, "conv_dense_s8_library")
