/* Argument reduction, a polynomial, a select: straight-line code without branches or calls, which
 * gcc vectorises. Polynomials are our own weighted minimax fits (iteratively reweighted least
 * squares on Chebyshev points in 30-digit arithmetic); errors beside each are those of the fit. */
#include "core/vmath.h"

#include "core/clones.h"

#include <float.h>
#include <math.h>
#include <string.h>

static inline uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* |x| with the sign of `sign`. */
static inline float with_sign(float x, float sign)
{
    return from_bits((bits_of(x) & 0x7fffffff) | (bits_of(sign) & 0x80000000));
}

static inline float absolute(float x)
{
    return from_bits(bits_of(x) & 0x7fffffff);
}

/* (exp(r) - 1 - r) / r^2, |r| <= ln2/2, error 3.4e-9 of r^2 */
static inline float exp_rest(float r)
{
    float q = 1.395170228e-03f;
    q = q * r + 8.369592018e-03f;
    q = q * r + 4.166618735e-02f;
    q = q * r + 1.666651368e-01f;
    return q * r + 5.000000000e-01f;
}

/* exp(x) = 2^k exp(r), |r| <= ln2/2; adding 1.5 * 2^23 rounds to an integer that stands in the low
 * bits. ln2 in two parts, the first with trailing zeros, so that k * high is exact. 2^k as two
 * factors reaches the subnormals and infinity. */
static inline float exp_of(float x)
{
    const float round = 12582912.0f;
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    float shifted = x * 1.442695041f + round, k = shifted - round;
    int32_t whole = (int32_t)(bits_of(shifted) - bits_of(round));
    float r = x - k * 0.693359375f;
    r = r - k * -2.12194440e-4f;
    float result = 1.0f + (r + r * r * exp_rest(r));
    int32_t half = whole >> 1;
    return result * from_bits((uint32_t)(half + 127) << 23) *
           from_bits((uint32_t)(whole - half + 127) << 23);
}

static inline float expm1_of(float x)
{
    return absolute(x) < 0.34f ? x + x * x * exp_rest(x) : exp_of(x) - 1.0f;
}

/* log(x) = e ln2 + log(1 + f), 1 + f in [sqrt(1/2), sqrt(2)). */
static inline float log_of(float x)
{
    int subnormal = x < FLT_MIN;
    float scaled = subnormal ? x * 8388608.0f : x;
    int32_t above = (int32_t)(bits_of(scaled) - 0x3f3504f3);
    float e = (float)((above >> 23) - (subnormal ? 23 : 0));
    float f = from_bits(((uint32_t)above & 0x7fffff) + 0x3f3504f3) - 1.0f;
    /* (log(1 + f) - f + f^2 / 2) / f^3, error 7.5e-10 of log(1 + f) */
    float p = 6.746601313e-02f;
    p = p * f - 1.167564094e-01f;
    p = p * f + 1.188817471e-01f;
    p = p * f - 1.240559146e-01f;
    p = p * f + 1.421955079e-01f;
    p = p * f - 1.666799635e-01f;
    p = p * f + 2.000211924e-01f;
    p = p * f - 2.500000894e-01f;
    p = p * f + 3.333331347e-01f;
    float square = f * f, y = f * square * p;
    y = y + e * -2.12194440e-4f;
    y = y - 0.5f * square;
    y = (f + y) + e * 0.693359375f;
    y = x == INFINITY ? x : y;
    y = x == 0.0f ? -INFINITY : y;
    y = x < 0.0f ? NAN : y;
    return x != x ? x : y;
}

static inline float tanh_of(float x)
{
    float t = absolute(x), z = x * x;
    /* (tanh(x) - x) / x^3 in z = x^2, error 4.1e-9 of x^3 */
    float p = -5.717036780e-03f;
    p = p * z + 2.065057866e-02f;
    p = p * z - 5.374349654e-02f;
    p = p * z + 1.333149076e-01f;
    p = p * z - 3.333328366e-01f;
    float small = x + x * z * p;
    float large = 1.0f - 2.0f / (exp_of(t > 10.0f ? 20.0f : 2.0f * t) + 1.0f);
    return with_sign(t < 0.625f ? small : large, x); /* also of -0 */
}

static inline float sigmoid_of(float x)
{
    return 1.0f / (1.0f + exp_of(-x));
}

/* erf(x) / x - 1 in z = x^2, |x| < 0.93, error 1.7e-8 */
static inline float erf_small(float z)
{
    float p = -5.953739164e-04f;
    p = p * z + 4.985940177e-03f;
    p = p * z - 2.676171996e-02f;
    p = p * z + 1.128168255e-01f;
    p = p * z - 3.761247993e-01f;
    return p * z + 1.283791512e-01f;
}

/* 1 - erf(t), 0.93 <= t <= 4, as exp(t * polynomial); error 2e-10 of erf plus that of exp */
static inline float erfc_large(float t)
{
    float p = -4.806475772e-06f;
    p = p * t + 4.399996396e-05f;
    p = p * t + 5.751305071e-05f;
    p = p * t - 2.951671602e-03f;
    p = p * t + 2.270829864e-02f;
    p = p * t - 1.052944437e-01f;
    p = p * t - 6.356092691e-01f;
    p = p * t - 1.128555179e+00f;
    return exp_of(p * t);
}

static inline float erf_of(float x)
{
    float t = absolute(x), t4 = t > 4.0f ? 4.0f : t;
    float large = 1.0f - erfc_large(t4), small = x + x * erf_small(x * x);
    return t < 0.93f ? small : with_sign(large, x);
}

static inline float gelu_tanh_of(float x)
{
    x = x < -16.0f ? -16.0f : x;
    float c = x > 16.0f ? 16.0f : x; /* sqrt(2 / pi) (c + 0.044715 c^3) */
    return 0.5f * x * (1.0f + tanh_of(0.7978845608f * (c + 0.044715f * c * c * c)));
}

static inline float silu_of(float x)
{
    x = x < -128.0f ? -128.0f : x;
    return x * sigmoid_of(x);
}

/* log(1 + u) with the rounding of 1 + u taken back out. */
static inline float softplus_of(float x)
{
    float u = exp_of(-absolute(x)), w = 1.0f + u, gap = w - 1.0f;
    float y = gap == 0.0f ? u : log_of(w) * (u / (gap == 0.0f ? 1.0f : gap));
    return x > 0.0f ? x + y : (x != x ? x : y);
}

#define FUNCTION(name)                                                                             \
    LAC_CLONES void lac_vec_##name(const float *x, float *y, int64_t n)                            \
    {                                                                                              \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = name##_of(x[i]);                                                                \
    }

FUNCTION(exp)
FUNCTION(expm1)
FUNCTION(log)
FUNCTION(tanh)
FUNCTION(sigmoid)
FUNCTION(erf)
FUNCTION(softplus)
FUNCTION(gelu_tanh)
FUNCTION(silu)

LAC_CLONES void lac_vec_exp_minus(const float *x, float shift, float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = exp_of(x[i] - shift);
}

/* ---- reductions ---------------------------------------------------------------------------- */

enum { LANES = 32 };

static inline float join_sums(float *part)
{
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            part[i] += part[i + width];
    return part[0];
}

#define SUM(term)                                                                                  \
    float part[LANES] = {0};                                                                       \
    int64_t whole = n - n % LANES;                                                                 \
    for (int64_t at = 0; at < whole; at += LANES)                                                  \
        for (int lane = 0; lane < LANES; lane++) {                                                 \
            int64_t i = at + lane;                                                                 \
            part[lane] += term;                                                                    \
        }                                                                                          \
    for (int64_t i = whole; i < n; i++)                                                            \
        part[i - whole] += term;                                                                   \
    return join_sums(part)

LAC_CLONES float lac_vec_sum(const float *x, int64_t n)
{
    SUM(x[i]);
}

LAC_CLONES float lac_vec_sum_squares(const float *x, int64_t n)
{
    SUM(x[i] * x[i]);
}

LAC_CLONES float lac_vec_dot(const float *x, const float *y, int64_t n)
{
    SUM(x[i] * y[i]);
}

static inline float larger(float a, float b)
{
    return a > b || a != a ? a : b;
}

LAC_CLONES float lac_vec_max(const float *x, int64_t n)
{
    float part[LANES];
    int64_t whole = n - n % LANES;
    for (int lane = 0; lane < LANES; lane++)
        part[lane] = -INFINITY;
    for (int64_t at = 0; at < whole; at += LANES)
        for (int lane = 0; lane < LANES; lane++)
            part[lane] = larger(part[lane], x[at + lane]);
    for (int64_t i = whole; i < n; i++)
        part[i - whole] = larger(part[i - whole], x[i]);
    float most = part[0];
    for (int lane = 1; lane < LANES; lane++)
        most = larger(most, part[lane]);
    return most;
}
