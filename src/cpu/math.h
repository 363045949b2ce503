/* exp, erf, tanh and the activations for single precision, written so that a loop over them
 * vectorises: no tables, no branches, no calls. Errors below 2 units in the last place of the
 * function's range; the rational forms of erf and tanh are those of Eigen (MathFunctionsImpl.h,
 * MPL 2), the exponential is Cephes' expf (public). */
#ifndef LACUNA_CPU_MATH_H
#define LACUNA_CPU_MATH_H

#include <lacuna/layer.h>

#include <stdint.h>
#include <string.h>

static inline float lac_minf(float a, float b)
{
    return a < b ? a : b;
}

static inline float lac_maxf(float a, float b)
{
    return a > b ? a : b;
}

static inline float lac_expf(float x)
{
    x = lac_maxf(lac_minf(x, 88.3762626647950f), -87.3365447504019f);
    float n = x * 1.44269504088896341f;
    n = (n + 12582912.0f) - 12582912.0f; /* round to nearest: 1.5 * 2^23 */
    float r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

static inline float lac_erff(float x)
{
    x = lac_maxf(lac_minf(x, 4.0f), -4.0f);
    float x2 = x * x;
    float p = -2.72614225801306e-10f;
    p = p * x2 + 2.77068142495902e-08f;
    p = p * x2 + -2.10102402082508e-06f;
    p = p * x2 + -5.69250639462346e-05f;
    p = p * x2 + -7.34990630326855e-04f;
    p = p * x2 + -2.95459980854025e-03f;
    p = p * x2 + -1.60960333262415e-02f;
    float q = -1.45660718464996e-05f;
    q = q * x2 + -2.13374055278905e-04f;
    q = q * x2 + -1.68282697438203e-03f;
    q = q * x2 + -7.37332916720468e-03f;
    q = q * x2 + -1.42647390514189e-02f;
    return x * p / q;
}

static inline float lac_tanhf(float x)
{
    x = lac_maxf(lac_minf(x, 7.90531110763549805f), -7.90531110763549805f);
    float x2 = x * x;
    float p = -2.76076847742355e-16f;
    p = p * x2 + 2.00018790482477e-13f;
    p = p * x2 + -8.60467152213735e-11f;
    p = p * x2 + 5.12229709037114e-08f;
    p = p * x2 + 1.48572235717979e-05f;
    p = p * x2 + 6.37261928875436e-04f;
    p = p * x2 + 4.89352455891786e-03f;
    float q = 1.19825839466702e-06f;
    q = q * x2 + 1.18534705686654e-04f;
    q = q * x2 + 2.26843463243900e-03f;
    q = q * x2 + 4.89352518554385e-03f;
    return x * p / q;
}

static inline float lac_sigmoidf(float x)
{
    return 1.0f / (1.0f + lac_expf(-x));
}

/* The activation of a layer over `n` consecutive floats. */
static inline void lac_activate(lac_activation activation, float low, float high, int64_t n,
                                float *x)
{
    switch (activation) {
    case LAC_ACT_NONE:
        break;
    case LAC_ACT_CLIP:
        for (int64_t i = 0; i < n; i++) /* keeps a NaN, as the operators do */
            x[i] = x[i] < low ? low : x[i] > high ? high : x[i];
        break;
    case LAC_ACT_GELU:
        for (int64_t i = 0; i < n; i++)
            x[i] = 0.5f * x[i] * (1.0f + lac_erff(x[i] * 0.70710678118654752f));
        break;
    case LAC_ACT_GELU_TANH:
        for (int64_t i = 0; i < n; i++)
            x[i] = 0.5f * x[i] *
                   (1.0f + lac_tanhf(0.79788456080286536f *
                                     (x[i] + 0.044715f * x[i] * x[i] * x[i])));
        break;
    case LAC_ACT_SIGMOID:
        for (int64_t i = 0; i < n; i++)
            x[i] = lac_sigmoidf(x[i]);
        break;
    case LAC_ACT_TANH:
        for (int64_t i = 0; i < n; i++)
            x[i] = lac_tanhf(x[i]);
        break;
    case LAC_ACT_SILU:
        for (int64_t i = 0; i < n; i++)
            x[i] = x[i] * lac_sigmoidf(x[i]);
        break;
    }
}

#endif
