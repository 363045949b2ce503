/* What follows the sums of a product: scale per output, bias, residual, activation, output type.
 * Inlined into the kernels, so that it is compiled for their instruction set. */
#ifndef LACUNA_CPU_EPILOGUE_H
#define LACUNA_CPU_EPILOGUE_H

#include "cpu/math.h"

#include <math.h>

typedef struct lac_epilogue {
    int64_t n;             /* outputs; row stride of output and residual */
    const float *scale;    /* [n] factor of the sums; NULL: 1 */
    const int32_t *offset; /* [n] taken off integer sums; NULL: 0 */
    const float *bias;     /* [n] or NULL */
    const float *residual; /* [m][n] or NULL */
    lac_activation activation;
    float low, high;
    void *output; /* [m][n] */
    lac_dtype dtype;
    float output_scale; /* of int8 and uint8 outputs */
    int32_t output_zero;
    /* Integer sums that become bytes with nothing but a clip on the way: the byte is
     * round(sum * step_scale[n] + step_bias[n]), rounded once before, within [step_low, step_high],
     * + output_zero; see lac_steps. NULL: whatever is not like that. */
    const float *step_scale, *step_bias; /* [n] */
    float step_low, step_high;
} lac_epilogue;

/* The output's byte before the zero point: scale and bias count in steps of the output already, as
 * in Jacob et al., Quantization and training of neural networks for efficient integer-arithmetic-
 * only inference (2018), section 2.2, instead of a division for every output. The multiplication
 * and addition are rounded together on every instruction set. */
static inline float lac_steps(float sum, float scale, float bias, float low, float high)
{
    float q = __builtin_fmaf(sum, scale, bias);
    q = q > low ? q : low;
    return q < high ? q : high;
}

/* Scale and bias of an output in its steps. What is no number becomes the least byte. */
static inline void lac_steps_of(float scale, float bias, float output_scale, float *step_scale,
                                float *step_bias)
{
    *step_scale = scale / output_scale;
    *step_bias = bias / output_scale;
    if (!(fabsf(*step_scale) < INFINITY) || *step_bias != *step_bias) {
        *step_scale = 0;
        *step_bias = -INFINITY;
    }
}

/* Whether sums of the layer become bytes so, and within which steps. */
static inline bool lac_counts_steps(const lac_layer *layer, float *low, float *high)
{
    bool clip = layer->activation == LAC_ACT_CLIP;
    lac_dtype dtype = layer->output.dtype;
    float scale = layer->output_scale;
    if ((dtype != LAC_U8 && dtype != LAC_I8) ||
        layer->operand[LAC_ROLE_RESIDUAL].tensor.dtype != LAC_NONE ||
        !(layer->activation == LAC_ACT_NONE || (clip && layer->low <= layer->high)) ||
        !(scale > 0x1p-60f && scale < 0x1p60f))
        return false;
    float least = (float)((dtype == LAC_U8 ? 0 : -128) - layer->output_zero), most = least + 255;
    *low = clip ? fminf(fmaxf(layer->low / scale, least), most) : least;
    *high = clip ? fminf(fmaxf(layer->high / scale, least), most) : most;
    return true;
}

/* round(x / scale) + zero as QuantizeLinear does: to nearest even, saturated to [low, high]. */
static inline int32_t lac_quantise(float x, float scale, int32_t zero, int32_t low, int32_t high)
{
    float q = nearbyintf(x / scale) + (float)zero;
    return q >= (float)high ? high : q > (float)low ? (int32_t)q : low; /* NaN becomes low */
}

#define LAC_EPILOGUE static inline __attribute__((always_inline)) void

/* Scale, bias and residual of the `count` outputs of row `row` from column `col` on, in place. */
LAC_EPILOGUE lac_epilogue_linear(const lac_epilogue *e, int64_t row, int64_t col, int count,
                                 float *x)
{
    if (e->scale)
        for (int j = 0; j < count; j++)
            x[j] *= e->scale[col + j];
    if (e->bias)
        for (int j = 0; j < count; j++)
            x[j] += e->bias[col + j];
    if (e->residual)
        for (int j = 0; j < count; j++)
            x[j] += e->residual[row * e->n + col + j];
}

/* `count` finished values to element `at` and on of the output. */
LAC_EPILOGUE lac_epilogue_store(const lac_epilogue *e, int64_t at, int count, const float *x)
{
    if (e->dtype == LAC_F32)
        for (int j = 0; j < count; j++)
            ((float *)e->output)[at + j] = x[j];
    else if (e->dtype == LAC_U8)
        for (int j = 0; j < count; j++)
            ((uint8_t *)e->output)[at + j] =
                (uint8_t)lac_quantise(x[j], e->output_scale, e->output_zero, 0, 255);
    else
        for (int j = 0; j < count; j++)
            ((int8_t *)e->output)[at + j] =
                (int8_t)lac_quantise(x[j], e->output_scale, e->output_zero, -128, 127);
}

/* Everything that follows the sums; x is overwritten. */
LAC_EPILOGUE lac_epilogue_floats(const lac_epilogue *e, int64_t row, int64_t col, int count,
                                 float *x)
{
    lac_epilogue_linear(e, row, col, count, x);
    if (e->activation != LAC_ACT_NONE)
        lac_activate(e->activation, e->low, e->high, count, x);
    lac_epilogue_store(e, row * e->n + col, count, x);
}

/* Integer sums without what the zero point and the shift added to them. */
LAC_EPILOGUE lac_epilogue_correct(const lac_epilogue *e, int64_t col, int count, int32_t *sum)
{
    if (e->offset)
        for (int j = 0; j < count; j++)
            sum[j] = (int32_t)((uint32_t)sum[j] - (uint32_t)e->offset[col + j]);
}

/* The same for integer sums; an int32 output receives them as they are. */
LAC_EPILOGUE lac_epilogue_integers(const lac_epilogue *e, int64_t row, int64_t col, int count,
                                   int32_t *sum)
{
    float x[64];
    lac_epilogue_correct(e, col, count, sum);
    if (e->dtype == LAC_I32) {
        for (int j = 0; j < count; j++)
            ((int32_t *)e->output)[row * e->n + col + j] = sum[j];
        return;
    }
    if (e->step_scale) {
        uint8_t *to = (uint8_t *)e->output + row * e->n + col;
        for (int j = 0; j < count; j++)
            to[j] = (uint8_t)((int32_t)nearbyintf(lac_steps((float)sum[j], e->step_scale[col + j],
                                                            e->step_bias[col + j], e->step_low,
                                                            e->step_high)) +
                              e->output_zero);
        return;
    }
    for (int j = 0; j < count; j++)
        x[j] = (float)sum[j];
    lac_epilogue_floats(e, row, col, count, x);
}

#endif
