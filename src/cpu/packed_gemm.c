/* See packed_gemm.h. */
#include "cpu/packed_gemm.h"

#include "core/memory.h"

#include <stdio.h>
#include <string.h>

static bool refuse(char *why, size_t size, const char *reason)
{
    if (size)
        snprintf(why, size, "%s", reason);
    return false;
}

static bool conv_shape(const lac_layer *layer, lac_gemm_shape *shape, char *why, size_t size)
{
    static const struct {
        const char *dim;
        int64_t want;
    } plain[] = {{"r", 1},       {"s", 1},        {"stride_h", 1},   {"stride_w", 1}, {"groups", 1},
                 {"pad_top", 0}, {"pad_left", 0}, {"pad_bottom", 0}, {"pad_right", 0}};
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        int64_t value = lac_layer_dim_get(layer, plain[i].dim);
        if (value != plain[i].want) {
            if (size)
                snprintf(why, size, "%s is %lld, only %lld", plain[i].dim, (long long)value,
                         (long long)plain[i].want);
            return false;
        }
    }
    int64_t pixels = lac_layer_dim_get(layer, "h") * lac_layer_dim_get(layer, "w");
    if (!layer->channels_last && pixels != 1)
        return refuse(why, size, "channels are not last");
    shape->m = lac_layer_dim_get(layer, "batch") * pixels;
    shape->n = lac_layer_dim_get(layer, "k");
    shape->k = lac_layer_dim_get(layer, "c");
    return true;
}

bool lac_gemm_shape_of(const lac_layer *layer, lac_gemm_shape *shape, char *why, size_t why_size)
{
    const char *kind = layer->kind ? layer->kind->row.name : "nothing";
    if (strcmp(kind, "gemm") == 0) {
        shape->m = lac_layer_dim_get(layer, "m") * lac_layer_dim_get(layer, "batch");
        shape->n = lac_layer_dim_get(layer, "n");
        shape->k = lac_layer_dim_get(layer, "k");
    } else if (strcmp(kind, "fc") == 0) {
        shape->m = lac_layer_dim_get(layer, "batch");
        shape->n = lac_layer_dim_get(layer, "out");
        shape->k = lac_layer_dim_get(layer, "in");
    } else if (strcmp(kind, "conv") != 0) {
        return refuse(why, why_size, "neither gemm nor conv");
    } else if (!conv_shape(layer, shape, why, why_size)) {
        return false;
    }
    if (shape->m < 1 || shape->n < 1 || shape->k < 1)
        return refuse(why, why_size, "a size is not known");
    return true;
}

static bool float_or_none(const lac_layer *layer, lac_role role, int64_t count)
{
    const lac_tensor *tensor = &layer->operand[role].tensor;
    return tensor->dtype == LAC_NONE ||
           (tensor->dtype == LAC_F32 && lac_tensor_count(tensor) == count);
}

bool lac_packed_fits(const lac_layer *layer, const lac_gemm_shape *shape, uint32_t dtypes,
                     char *why, size_t why_size)
{
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    if (!w->packed)
        return refuse(why, why_size, "weights are not packed");
    if (w->packed->rows != shape->n || w->packed->cols != shape->k) {
        if (why_size)
            snprintf(why, why_size, "packed weights are %lld x %lld, the layer has %lld x %lld",
                     (long long)w->packed->rows, (long long)w->packed->cols, (long long)shape->n,
                     (long long)shape->k);
        return false;
    }
    if (!(dtypes & LAC_BIT(w->packed->dtype))) {
        if (why_size)
            snprintf(why, why_size, "packed weights are %s", lac_dtype_name(w->packed->dtype));
        return false;
    }
    return lac_product_fits(layer, shape, why, why_size);
}

bool lac_product_fits(const lac_layer *layer, const lac_gemm_shape *shape, char *why,
                      size_t why_size)
{
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    bool integer = x->tensor.dtype != LAC_F32;
    if (w->zero_point != 0)
        return refuse(why, why_size, "weights have a zero point");
    if (w->scale_count > 1 && w->scale_count != shape->n)
        return refuse(why, why_size, "scales of the weights are not per output");
    if (x->scale_count > 1)
        return refuse(why, why_size, "activations have more than one scale");
    if (!float_or_none(layer, LAC_ROLE_BIAS, shape->n))
        return refuse(why, why_size, "bias is not float32 of one value per output");
    if (!float_or_none(layer, LAC_ROLE_RESIDUAL, shape->m * shape->n))
        return refuse(why, why_size, "residual is not float32 of the output's shape");
    lac_dtype out = layer->output.dtype;
    if (out != LAC_F32 && out != LAC_I8 && out != LAC_U8 && !(integer && out == LAC_I32)) {
        if (why_size)
            snprintf(why, why_size, "output is %s", lac_dtype_name(out));
        return false;
    }
    return true;
}

bool lac_packed_can_run(const lac_layer *layer, uint32_t dtypes, char *why, size_t why_size)
{
    lac_gemm_shape shape;
    if (layer->input_layout != LAC_LAYOUT_ROWS || layer->output_layout != LAC_LAYOUT_ROWS)
        return refuse(why, why_size, "activations stand in another layout");
    return lac_gemm_shape_of(layer, &shape, why, why_size) &&
           lac_packed_fits(layer, &shape, dtypes, why, why_size);
}

lac_status lac_packed_numbers_make(lac_packed_numbers *numbers, int64_t n, bool integer,
                                   lac_error *err)
{
    numbers->scale = lac_alloc((size_t)n, sizeof(float), err);
    if (!numbers->scale)
        return LAC_ERROR_MEMORY;
    if (!integer)
        return LAC_OK;
    numbers->offset = lac_alloc((size_t)n, sizeof(int32_t), err);
    numbers->sum = lac_alloc((size_t)n, sizeof(int32_t), err);
    numbers->step = lac_alloc((size_t)n, 2 * sizeof(float), err);
    return numbers->offset && numbers->sum && numbers->step ? LAC_OK : LAC_ERROR_MEMORY;
}

void lac_packed_numbers_release(lac_packed_numbers *numbers)
{
    lac_free(numbers->scale);
    lac_free(numbers->offset);
    lac_free(numbers->sum);
    lac_free(numbers->step);
    memset(numbers, 0, sizeof *numbers);
}

/* Scale and bias in steps of an output of bytes, where that is all there is to do. */
static void count_in_steps(lac_epilogue *e, const lac_layer *layer, float *step)
{
    if (!lac_counts_steps(layer, &e->step_low, &e->step_high))
        return;
    for (int64_t n = 0; n < e->n; n++)
        lac_steps_of(e->scale ? e->scale[n] : 1, e->bias ? e->bias[n] : 0, e->output_scale,
                     &step[n], &step[e->n + n]);
    e->step_scale = step;
    e->step_bias = step + e->n;
}

void lac_epilogue_begin(lac_epilogue *e, const lac_layer *layer, lac_packed_numbers *numbers,
                        const lac_gemm_shape *shape, int32_t shift)
{
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    memset(e, 0, sizeof *e);
    e->n = shape->n;
    if (numbers->offset) {
        uint32_t zero = (uint32_t)x->zero_point + (uint32_t)shift; /* sums wrap, as in the units */
        for (int64_t n = 0; n < shape->n; n++)
            numbers->offset[n] = (int32_t)(zero * (uint32_t)numbers->sum[n]);
        e->offset = numbers->offset;
    }
    if (w->scale_count || (numbers->offset && x->scale_count)) {
        float scale = numbers->offset && x->scale_count ? x->scale[0] : 1.0f;
        for (int64_t n = 0; n < shape->n; n++)
            numbers->scale[n] =
                w->scale_count ? scale * w->scale[w->scale_count > 1 ? n : 0] : scale;
        e->scale = numbers->scale;
    }
    e->bias = layer->operand[LAC_ROLE_BIAS].tensor.data;
    e->residual = layer->operand[LAC_ROLE_RESIDUAL].tensor.data;
    e->activation = layer->activation;
    e->low = layer->low;
    e->high = layer->high;
    e->output = layer->output.data;
    e->dtype = layer->output.dtype;
    e->output_scale = layer->output_scale;
    e->output_zero = layer->output_zero;
    if (numbers->step)
        count_in_steps(e, layer, numbers->step);
}

/* Measured by bench/packed.c on one core of an AMD EPYC 9xx4 (AVX-512, 32 MB of last-level cache):
 * reading weights from the last-level cache, finishing an output, copying an activation. */
#define SECONDS_PER_BYTE       (1 / 80e9)
#define SECONDS_PER_OUTPUT     1e-9
#define SECONDS_PER_ACTIVATION 0.1e-9
#define SECONDS_PER_CALL       1e-6

double lac_packed_seconds(double seconds, double bytes, const lac_gemm_shape *shape)
{
    double reading = bytes * SECONDS_PER_BYTE;
    return (seconds > reading ? seconds : reading) + SECONDS_PER_CALL +
           SECONDS_PER_OUTPUT * (double)shape->m * (double)shape->n +
           SECONDS_PER_ACTIVATION * (double)shape->m * (double)shape->k;
}
