/* exp, tanh, sigmoid and rounding in float32 as straight lines of arithmetic, for loops over
 * strided or single elements (rows use core/vmath.h): vector code with the same bits at any vector
 * width. */
#ifndef LACUNA_OP_NN_MATH_H
#define LACUNA_OP_NN_MATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline float lac_nn_from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t lac_nn_to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

#define LAC_NN_ROUND 12582912.0f /* 1.5 * 2^23: adding it rounds to an integer, to nearest even */

/* The integer nearest to `value` (ties to even), |value| < 2^22; anything for others. */
static inline int32_t lac_nn_rint(float value)
{
    return (int32_t)(lac_nn_to_bits(value + LAC_NN_ROUND) - UINT32_C(0x4B400000));
}

/* Within 2 units in the last place; results below the smallest normal number are 0. The polynomial
 * is that of Cephes expf (S. Moshier, netlib.org/cephes). */
static inline float lac_nn_exp(float x)
{
    float clamped = x < -87.33654f ? -87.33654f : x;
    clamped = clamped > 88.72283f ? 88.72283f : clamped;
    float shifted = clamped * 1.44269504088896341f + LAC_NN_ROUND;
    float n = shifted - LAC_NN_ROUND;
    uint32_t power = lac_nn_to_bits(shifted) - UINT32_C(0x4B400000);
    float r = clamped - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    /* 2^power in two factors: 2^128 alone has no float */
    uint32_t half = (uint32_t)((int32_t)power >> 1);
    float result =
        p * lac_nn_from_bits((half + 127) << 23) * lac_nn_from_bits((power - half + 127) << 23);
    result = x < -87.33654f ? 0.0f : result;
    return x > 88.72283f ? INFINITY : result;
}

static inline float lac_nn_sigmoid(float x)
{
    return 1.0f / (1.0f + lac_nn_exp(-x));
}

/* The rational approximation of Eigen's ptanh (MathFunctionsImpl.h), error below 4e-7. */
static inline float lac_nn_tanh(float x)
{
    float c = x > 7.90531110763549805f ? 7.90531110763549805f : x;
    c = c < -7.90531110763549805f ? -7.90531110763549805f : c;
    float s = c * c, p = -2.76076847742355e-16f, q = 1.19825839466702e-06f;
    p = p * s + 2.00018790482477e-13f;
    p = p * s + -8.60467152213735e-11f;
    p = p * s + 5.12229709037114e-08f;
    p = p * s + 1.48572235717979e-05f;
    p = p * s + 6.37261928875436e-04f;
    p = p * s + 4.89352455891786e-03f;
    q = q * s + 1.18534705686654e-04f;
    q = q * s + 2.26843463243900e-03f;
    q = q * s + 4.89352518554385e-03f;
    return c * p / q;
}

#endif
