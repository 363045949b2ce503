/* The activations of layers over arrays of floats. */
#ifndef LACUNA_CPU_MATH_H
#define LACUNA_CPU_MATH_H

#include "core/vmath.h"

#include <lacuna/layer.h>

/* The activation over `n` consecutive floats, in place. A NaN stays one. */
static inline void lac_activate(lac_activation activation, float low, float high, int64_t n,
                                float *x)
{
    switch (activation) {
    case LAC_ACT_NONE:
        break;
    case LAC_ACT_CLIP:
        for (int64_t i = 0; i < n; i++)
            x[i] = x[i] < low ? low : x[i] > high ? high : x[i];
        break;
    case LAC_ACT_GELU:
        lac_vec_gelu(x, x, n);
        break;
    case LAC_ACT_GELU_TANH:
        lac_vec_gelu_tanh(x, x, n);
        break;
    case LAC_ACT_SIGMOID:
        lac_vec_sigmoid(x, x, n);
        break;
    case LAC_ACT_TANH:
        lac_vec_tanh(x, x, n);
        break;
    case LAC_ACT_SILU:
        lac_vec_silu(x, x, n);
        break;
    }
}

#endif
