/* Elementary functions on arrays of float, in plain arithmetic that the compiler turns into vector
 * code: no call per element. The same input gives the same bits at any position, length, vector
 * width and thread count.
 *
 * Errors (tests/core/test_vmath.c measures them), in units in the last place of normal results:
 * expm1 at most 4; exp, log, tanh, sigmoid, erf, softplus at most 3; gelu and silu 1e-6 of the
 * larger of |x| and |y| at most. Infinities and NaN as in C; results of sigmoid below 2^-126 become
 * 0. `y` may be `x`. */
#ifndef LACUNA_CORE_VMATH_H
#define LACUNA_CORE_VMATH_H

#include <stdint.h>

void lac_vec_exp(const float *x, float *y, int64_t n);
void lac_vec_exp_minus(const float *x, float shift, float *y, int64_t n); /* exp(x - shift) */
void lac_vec_expm1(const float *x, float *y, int64_t n);                  /* exp(x) - 1 */
void lac_vec_log(const float *x, float *y, int64_t n);
void lac_vec_tanh(const float *x, float *y, int64_t n);
void lac_vec_sigmoid(const float *x, float *y, int64_t n);
void lac_vec_erf(const float *x, float *y, int64_t n);
void lac_vec_softplus(const float *x, float *y, int64_t n);  /* log(1 + exp(x)) */
void lac_vec_gelu(const float *x, float *y, int64_t n);      /* x * (1 + erf(x / sqrt 2)) / 2 */
void lac_vec_gelu_tanh(const float *x, float *y, int64_t n); /* its tanh approximation */
void lac_vec_silu(const float *x, float *y, int64_t n);      /* x * sigmoid(x) */

/* Sums in 32 interleaved partial sums, joined in a fixed order; 0 for n = 0. */
float lac_vec_sum(const float *x, int64_t n);
float lac_vec_sum_squares(const float *x, int64_t n);
float lac_vec_dot(const float *x, const float *y, int64_t n);
/* Largest element, -infinity for n = 0; NaN if there is one. */
float lac_vec_max(const float *x, int64_t n);

#endif
