/* The vector functions against libm in double over the whole range, their special values, and that
 * position and length do not change bits. */
#include "core/vmath.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

typedef void (*vector)(const float *x, float *y, int64_t n);

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}
static double softplus(double x)
{
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}
static double gelu(double x)
{
    return 0.5 * x * erfc(-x / sqrt(2.0));
}
static double gelu_tanh(double x)
{
    return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}
static double silu(double x)
{
    return x * sigmoid(x);
}

/* Largest error in units in the last place of the exact result (normal results only), or with
 * `relative` in units of 1e-6 of the larger of |x| and |y|. */
static double worst(vector f, double (*exact)(double), float low, float high, int relative)
{
    enum { N = 4001 };
    static float x[N], y[N];
    double most = 0;
    for (int part = 0; part < 50; part++) {
        for (int i = 0; i < N; i++)
            x[i] = low + (high - low) * ((float)(i * 50 + part) / (N * 50));
        f(x, y, N);
        for (int i = 0; i < N; i++) {
            double want = exact((double)x[i]), error = fabs((double)y[i] - want);
            if (fabs(want) < (double)FLT_MIN && !relative)
                error = 0;
            else if (relative)
                error /= 1e-6 * fmax(fabs(want), fabs((double)x[i]) + 1e-30);
            else
                error /= ldexp(1, ilogb(want) - 23);
            most = error > most ? error : most;
        }
    }
    return most;
}

static void accuracy(void **state)
{
    static const struct {
        const char *name;
        vector f;
        double (*exact)(double);
        float low, high;
        int relative;
        double limit;
    } cases[] = {
        {"exp", lac_vec_exp, exp, -87.3f, 88.7f, 0, 2},
        {"exp", lac_vec_exp, exp, -1, 1, 0, 2},
        {"expm1", lac_vec_expm1, expm1, -20, 20, 0, 4},
        {"expm1", lac_vec_expm1, expm1, -0.5f, 0.5f, 0, 4},
        {"log", lac_vec_log, log, 1e-37f, 1e-3f, 0, 3},
        {"log", lac_vec_log, log, 0.01f, 4, 0, 3},
        {"log", lac_vec_log, log, 4, 3e38f, 0, 3},
        {"tanh", lac_vec_tanh, tanh, -12, 12, 0, 3},
        {"tanh", lac_vec_tanh, tanh, -1, 1, 0, 3},
        {"sigmoid", lac_vec_sigmoid, sigmoid, -87, 40, 0, 3},
        {"erf", lac_vec_erf, erf, -5, 5, 0, 3},
        {"erf", lac_vec_erf, erf, -1e-3f, 1, 0, 3},
        {"softplus", lac_vec_softplus, softplus, -80, 80, 0, 3},
        {"softplus", lac_vec_softplus, softplus, -1, 1, 0, 3},
        {"gelu", lac_vec_gelu, gelu, -10, 10, 1, 1},
        {"gelu_tanh", lac_vec_gelu_tanh, gelu_tanh, -10, 10, 1, 1},
        {"silu", lac_vec_silu, silu, -80, 40, 1, 1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        double error =
            worst(cases[i].f, cases[i].exact, cases[i].low, cases[i].high, cases[i].relative);
        print_message("%-9s [%g, %g]: %.2f %s\n", cases[i].name, (double)cases[i].low,
                      (double)cases[i].high, error, cases[i].relative ? "of 1e-6" : "ulp");
        assert_true(error <= cases[i].limit);
    }
}

static float one(vector f, float x)
{
    float y;
    f(&x, &y, 1);
    return y;
}

static void special_values(void **state)
{
    (void)state;
    vector all[] = {lac_vec_exp,      lac_vec_log,  lac_vec_tanh,      lac_vec_sigmoid, lac_vec_erf,
                    lac_vec_softplus, lac_vec_gelu, lac_vec_gelu_tanh, lac_vec_silu};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_true(isnan(one(all[i], NAN)));
        assert_true(isnan(one(all[i], -NAN)));
    }
    assert_true(one(lac_vec_exp, 0) == 1);
    assert_true(one(lac_vec_exp, INFINITY) == INFINITY);
    assert_true(one(lac_vec_exp, -INFINITY) == 0);
    assert_true(one(lac_vec_exp, 100) == INFINITY);
    assert_true(one(lac_vec_exp, -100) == 0x1.bp-145f); /* a subnormal */
    assert_true(one(lac_vec_log, 1) == 0);
    assert_true(one(lac_vec_log, 0) == -INFINITY);
    assert_true(isnan(one(lac_vec_log, -1)));
    assert_true(one(lac_vec_log, INFINITY) == INFINITY);
    assert_true(fabsf(one(lac_vec_log, 0x1p-140f) + 97.04060527839234f) < 1e-5f);
    assert_true(one(lac_vec_tanh, INFINITY) == 1);
    assert_true(one(lac_vec_tanh, -INFINITY) == -1);
    assert_true(signbit(one(lac_vec_tanh, -0.0f)));
    assert_true(one(lac_vec_sigmoid, INFINITY) == 1);
    assert_true(one(lac_vec_sigmoid, -INFINITY) == 0);
    assert_true(one(lac_vec_erf, INFINITY) == 1);
    assert_true(one(lac_vec_erf, -INFINITY) == -1);
    assert_true(one(lac_vec_gelu, INFINITY) == INFINITY);
    assert_true(one(lac_vec_gelu, -INFINITY) == 0);
    assert_true(one(lac_vec_gelu_tanh, INFINITY) == INFINITY);
    assert_true(one(lac_vec_silu, -INFINITY) == 0);
    assert_true(one(lac_vec_softplus, INFINITY) == INFINITY);
    assert_true(one(lac_vec_softplus, -INFINITY) == 0);
}

/* Element by element, in one go and in place: the same bits. */
static void position_free(void **state)
{
    enum { N = 1031 };
    static float x[N], y[N], z[N];
    vector all[] = {lac_vec_exp,      lac_vec_tanh, lac_vec_sigmoid,   lac_vec_erf,
                    lac_vec_softplus, lac_vec_gelu, lac_vec_gelu_tanh, lac_vec_silu};
    (void)state;
    for (size_t f = 0; f < sizeof all / sizeof *all; f++) {
        for (int i = 0; i < N; i++)
            x[i] = z[i] = (float)(i - N / 2) * 0.03f;
        all[f](x, y, N);
        all[f](z, z, N);
        assert_memory_equal(y, z, sizeof y);
        for (int i = 0; i < N; i++)
            z[i] = one(all[f], x[i]);
        assert_memory_equal(y, z, sizeof y);
    }
}

static void reductions(void **state)
{
    enum { N = 1000 };
    static float x[N];
    double sum = 0, squares = 0;
    (void)state;
    for (int i = 0; i < N; i++) {
        x[i] = (float)((i * 37) % 101 - 50);
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
    }
    assert_true((double)lac_vec_sum(x, N) == sum); /* small integers: exact in any order */
    assert_true((double)lac_vec_sum_squares(x, N) == squares);
    assert_true((double)lac_vec_dot(x, x, N) == squares);
    assert_true(lac_vec_max(x, N) == 50);
    assert_true(lac_vec_max(x, 0) == -INFINITY);
    assert_true(lac_vec_sum(x, 0) == 0);
    x[713] = NAN;
    assert_true(isnan(lac_vec_max(x, N)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accuracy),
        cmocka_unit_test(special_values),
        cmocka_unit_test(position_free),
        cmocka_unit_test(reductions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
