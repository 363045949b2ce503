/* Elementwise functions of one float input, some with parameters from attributes. One driver: float
 * in blocks through a vector function, 16-bit floats widened to float and rounded back, double by
 * the C library, integers where the operator has them. */
#include "op/common.h"

#include "core/clones.h"
#include "core/parallel.h"
#include "core/vmath.h"
#include "op/gradient.h"

#include <math.h>

enum { BLOCK = 1024 };

typedef struct unary {
    void (*f32)(const float *x, float *y, int64_t n, const float *p); /* n <= BLOCK; y may be x */
    double (*f64)(double x, const float *p);
    void (*ints)(lac_dtype dtype, const void *x, void *y, int64_t n); /* or NULL */
    const char *name[2]; /* attributes, in order of p */
    float initial[2];
} unary;

typedef struct unary_job {
    const unary *rule;
    const lac_tensor *in;
    lac_tensor *out;
    float p[2];
} unary_job;

static void unary_part(void *context, int64_t begin, int64_t end)
{
    const unary_job *job = context;
    lac_dtype dtype = job->in->dtype;
    float wide[BLOCK];
    if (dtype == LAC_F64) {
        const double *x = job->in->data;
        double *y = job->out->data;
        for (int64_t i = begin; i < end; i++)
            y[i] = job->rule->f64(x[i], job->p);
        return;
    }
    for (int64_t i = begin; i < end; i += BLOCK) {
        int64_t n = end - i < BLOCK ? end - i : BLOCK;
        if (dtype == LAC_F32) {
            job->rule->f32((const float *)job->in->data + i, (float *)job->out->data + i, n,
                           job->p);
        } else if (lac_dtype_is_float(dtype)) {
            lac_op_widen(dtype, (const uint16_t *)job->in->data + i, 1, wide, n);
            job->rule->f32(wide, wide, n, job->p);
            lac_op_narrow(dtype, wide, (uint16_t *)job->out->data + i, n);
        } else {
            int64_t size = (int64_t)lac_op_size(dtype);
            job->rule->ints(dtype, (const char *)job->in->data + i * size,
                            (char *)job->out->data + i * size, n);
        }
    }
}

static lac_status unary_run(const lac_call *call, const unary *rule)
{
    unary_job job = {.rule = rule, .in = call->in[0], .out = &call->out[0]};
    for (int i = 0; i < 2; i++)
        if (rule->name[i])
            job.p[i] = lac_node_float(call->node, rule->name[i], rule->initial[i]);
    lac_parallel_for(lac_tensor_count(job.in), LAC_OP_GRAIN, unary_part, &job);
    return LAC_OK;
}

static lac_status infer_float(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_FLOATS, err));
    return lac_op_out_same(call, err);
}

static lac_status infer_number(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_NUMBERS, err));
    return lac_op_out_same(call, err);
}

/* One row with its run function. */
#define ROW_WITH(gradient_, variable, onnx, summary, since_, set, infer_, schema, ...)             \
    static lac_status run_##variable(const lac_call *call, lac_error *err)                         \
    {                                                                                              \
        static const unary rule = {__VA_ARGS__};                                                   \
        (void)err;                                                                                 \
        return unary_run(call, &rule);                                                             \
    }                                                                                              \
    const lac_op lac_op_##variable = {                                                             \
        .row = LAC_ROW(lac_op, onnx, summary),                                                     \
        .domain = "",                                                                              \
        .since = since_,                                                                           \
        .dtypes = set,                                                                             \
        .attributes = schema,                                                                      \
        .flags = LAC_OP_INPLACE | LAC_OP_ELEMENTWISE,                                              \
        .infer = infer_,                                                                           \
        .run = run_##variable,                                                                     \
        .gradient = gradient_,                                                                     \
    };
#define ROW(...) ROW_WITH(NULL, __VA_ARGS__)
#define FLOAT(variable, onnx, summary, since_)                                                     \
    ROW(variable, onnx, summary, since_, LAC_OP_FLOATS, infer_float, "", .f32 = variable##_f32,    \
        .f64 = variable##_f64)

/* Bodies: `v` is the element, `p` the parameters. */
#define F64(variable, expression)                                                                  \
    static double variable##_f64(double v, const float *p)                                         \
    {                                                                                              \
        (void)p;                                                                                   \
        return expression;                                                                         \
    }
#define LOOP(variable, expression)                                                                 \
    LAC_CLONES static void variable##_f32(const float *x, float *y, int64_t n, const float *p)     \
    {                                                                                              \
        (void)p;                                                                                   \
        for (int64_t i = 0; i < n; i++) {                                                          \
            float v = x[i];                                                                        \
            y[i] = expression;                                                                     \
        }                                                                                          \
    }
#define VECTOR(variable)                                                                           \
    static void variable##_f32(const float *x, float *y, int64_t n, const float *p)                \
    {                                                                                              \
        (void)p;                                                                                   \
        lac_vec_##variable(x, y, n);                                                               \
    }
/* Of the C library, element by element: functions that networks do not spend time in. */
#define LIBRARY(variable, f32_function)                                                            \
    static void variable##_f32(const float *x, float *y, int64_t n, const float *p)                \
    {                                                                                              \
        (void)p;                                                                                   \
        for (int64_t i = 0; i < n; i++)                                                            \
            y[i] = f32_function(x[i]);                                                             \
    }                                                                                              \
    F64(variable, variable(v))

#define INT_CASE(dtype, type)                                                                      \
    case dtype:                                                                                    \
        for (int64_t i = 0; i < n; i++) {                                                          \
            type v = ((const type *)x)[i], zero = 0;                                               \
            ((type *)y)[i] = (type)(INT_BODY);                                                     \
        }                                                                                          \
        break;
#define INTS(variable)                                                                             \
    static void variable##_ints(lac_dtype dtype, const void *x, void *y, int64_t n)                \
    {                                                                                              \
        switch (dtype) {                                                                           \
            LAC_OP_EACH_INT(INT_CASE)                                                              \
        default:                                                                                   \
            break;                                                                                 \
        }                                                                                          \
    }

/* ---- with integers ------------------------------------------------------------------------- */

LOOP(abs, fabsf(v))
F64(abs, fabs(v))
#define INT_BODY v < zero ? 0 - (uint64_t)v : (uint64_t)v
INTS(abs)
#undef INT_BODY
ROW(abs, "Abs", "absolute value", 6, LAC_OP_NUMBERS, infer_number, "", .f32 = abs_f32,
    .f64 = abs_f64, .ints = abs_ints)

LOOP(neg, -v)
F64(neg, -v)
#define INT_BODY zero - (uint64_t)v
INTS(neg)
#undef INT_BODY
static lac_status infer_neg(const lac_call *call, lac_error *err)
{
    LAC_TRY(lac_op_inputs(call, 1, 1, LAC_OP_FLOATS | LAC_OP_SIGNED, err));
    return lac_op_out_same(call, err);
}
ROW_WITH(lac_gradient_neg, neg, "Neg", "negation", 6, LAC_OP_FLOATS | LAC_OP_SIGNED, infer_neg, "",
         .f32 = neg_f32, .f64 = neg_f64, .ints = neg_ints)

LOOP(sign, v != v ? v : (float)((v > 0) - (v < 0)))
F64(sign, v != v ? v : (v > 0) - (v < 0))
#define INT_BODY (v > zero) - (v < zero)
INTS(sign)
#undef INT_BODY
ROW(sign, "Sign", "-1, 0 or 1", 9, LAC_OP_NUMBERS, infer_number, "", .f32 = sign_f32,
    .f64 = sign_f64, .ints = sign_ints)

LOOP(relu, v < 0 ? 0 : v)
F64(relu, v < 0 ? 0 : v)
#define INT_BODY v < zero ? zero : v
INTS(relu)
#undef INT_BODY
ROW_WITH(lac_gradient_relu, relu, "Relu", "max(x, 0)", 6, LAC_OP_NUMBERS, infer_number, "",
         .f32 = relu_f32, .f64 = relu_f64, .ints = relu_ints)

/* ---- vector functions ---------------------------------------------------------------------- */

VECTOR(exp)
F64(exp, exp(v))
FLOAT(exp, "Exp", "e to the x", 6)
VECTOR(log)
F64(log, log(v))
FLOAT(log, "Log", "natural logarithm", 6)
VECTOR(tanh)
F64(tanh, tanh(v))
FLOAT(tanh, "Tanh", "hyperbolic tangent", 6)
VECTOR(sigmoid)
F64(sigmoid, 1 / (1 + exp(-v)))
FLOAT(sigmoid, "Sigmoid", "1 / (1 + exp(-x))", 6)
VECTOR(erf)
F64(erf, erf(v))
FLOAT(erf, "Erf", "error function", 9)
VECTOR(softplus)
F64(softplus, v > 0 ? v + log1p(exp(-v)) : log1p(exp(v)))
FLOAT(softplus, "Softplus", "log(1 + exp(x))", 1)

/* ---- plain arithmetic ---------------------------------------------------------------------- */

LOOP(sqrt, sqrtf(v))
F64(sqrt, sqrt(v))
FLOAT(sqrt, "Sqrt", "square root", 6)
LOOP(reciprocal, 1.0f / v)
F64(reciprocal, 1 / v)
FLOAT(reciprocal, "Reciprocal", "1 / x", 6)
LOOP(floor, floorf(v))
F64(floor, floor(v))
FLOAT(floor, "Floor", "largest integer not above x", 6)
LOOP(ceil, ceilf(v))
F64(ceil, ceil(v))
FLOAT(ceil, "Ceil", "smallest integer not below x", 6)
LOOP(round, rintf(v))
F64(round, rint(v))
FLOAT(round, "Round", "nearest integer, halves to even", 11)
LOOP(softsign, v / (1.0f + fabsf(v)))
F64(softsign, v / (1 + fabs(v)))
FLOAT(softsign, "Softsign", "x / (1 + |x|)", 1)

static inline float unit_f32(float v)
{
    v = v < 0 ? 0 : v;
    return v > 1 ? 1 : v;
}
static double unit_f64(double v)
{
    v = v < 0 ? 0 : v;
    return v > 1 ? 1 : v;
}

LOOP(hardswish, v *unit_f32(v / 6.0f + 0.5f))
F64(hardswish, v *unit_f64(v / 6 + 0.5))
FLOAT(hardswish, "HardSwish", "x * max(0, min(1, x / 6 + 1 / 2))", 14)
LOOP(hardsigmoid, unit_f32(p[0] * v + p[1]))
F64(hardsigmoid, unit_f64((double)p[0] * v + (double)p[1]))
ROW(hardsigmoid, "HardSigmoid", "max(0, min(1, alpha x + beta))", 6, LAC_OP_FLOATS, infer_float,
    "alpha:float=0.2 beta:float=0.5", .f32 = hardsigmoid_f32, .f64 = hardsigmoid_f64,
    .name = {"alpha", "beta"}, .initial = {0.2f, 0.5f})
LOOP(leakyrelu, v < 0 ? p[0] * v : v)
F64(leakyrelu, v < 0 ? (double)p[0] * v : v)
ROW(leakyrelu, "LeakyRelu", "x, or alpha x below 0", 6, LAC_OP_FLOATS, infer_float,
    "alpha:float=0.01", .f32 = leakyrelu_f32, .f64 = leakyrelu_f64, .name = {"alpha"},
    .initial = {0.01f})
LOOP(thresholdedrelu, v > p[0] ? v : 0)
F64(thresholdedrelu, v > (double)p[0] ? v : 0)
ROW(thresholdedrelu, "ThresholdedRelu", "x above alpha, else 0", 10, LAC_OP_FLOATS, infer_float,
    "alpha:float=1", .f32 = thresholdedrelu_f32, .f64 = thresholdedrelu_f64, .name = {"alpha"},
    .initial = {1})

/* ---- exponential below 0: first all of it, then the choice --------------------------------- */

static void elu_f32(const float *x, float *y, int64_t n, const float *p)
{
    float low[BLOCK];
    lac_vec_expm1(x, low, n);
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] < 0 ? p[0] * low[i] : x[i];
}
F64(elu, v < 0 ? (double)p[0] * expm1(v) : v)
ROW(elu, "Elu", "x, or alpha (exp(x) - 1) below 0", 6, LAC_OP_FLOATS, infer_float, "alpha:float=1",
    .f32 = elu_f32, .f64 = elu_f64, .name = {"alpha"}, .initial = {1})

static void celu_f32(const float *x, float *y, int64_t n, const float *p)
{
    float low[BLOCK] = {0};
    for (int64_t i = 0; i < n; i++)
        low[i] = x[i] / p[0];
    lac_vec_expm1(low, low, n);
    for (int64_t i = 0; i < n; i++)
        y[i] = (x[i] > 0 ? x[i] : 0) + (low[i] * p[0] < 0 ? low[i] * p[0] : 0);
}
F64(celu, fmax(v, 0) + fmin(0, (double)p[0] * expm1(v / (double)p[0])))
ROW(celu, "Celu", "max(0, x) + min(0, alpha (exp(x / alpha) - 1))", 12, LAC_OP_FLOATS, infer_float,
    "alpha:float=1", .f32 = celu_f32, .f64 = celu_f64, .name = {"alpha"}, .initial = {1})

static void selu_f32(const float *x, float *y, int64_t n, const float *p)
{
    float low[BLOCK];
    lac_vec_expm1(x, low, n);
    for (int64_t i = 0; i < n; i++)
        y[i] = p[1] * (x[i] > 0 ? x[i] : p[0] * low[i]);
}
F64(selu, (double)p[1] * (v > 0 ? v : (double)p[0] * expm1(v)))
/* Defaults: the operator's specification (Klambauer et al. 2017, equation 14). */
ROW(selu, "Selu", "gamma x, or gamma alpha (exp(x) - 1) below 0", 6, LAC_OP_FLOATS, infer_float,
    "alpha:float=1.67326319217681884765625 gamma:float=1.05070102214813232421875", .f32 = selu_f32,
    .f64 = selu_f64, .name = {"alpha", "gamma"},
    .initial = {1.67326319217681884765625f, 1.05070102214813232421875f})

/* ---- the C library ------------------------------------------------------------------------- */

LIBRARY(sin, sinf)
FLOAT(sin, "Sin", "sine", 7)
LIBRARY(cos, cosf)
FLOAT(cos, "Cos", "cosine", 7)
LIBRARY(tan, tanf)
FLOAT(tan, "Tan", "tangent", 7)
LIBRARY(asin, asinf)
FLOAT(asin, "Asin", "arcsine", 7)
LIBRARY(acos, acosf)
FLOAT(acos, "Acos", "arccosine", 7)
LIBRARY(atan, atanf)
FLOAT(atan, "Atan", "arctangent", 7)
LIBRARY(sinh, sinhf)
FLOAT(sinh, "Sinh", "hyperbolic sine", 9)
LIBRARY(cosh, coshf)
FLOAT(cosh, "Cosh", "hyperbolic cosine", 9)
LIBRARY(asinh, asinhf)
FLOAT(asinh, "Asinh", "inverse hyperbolic sine", 9)
LIBRARY(acosh, acoshf)
FLOAT(acosh, "Acosh", "inverse hyperbolic cosine", 9)
LIBRARY(atanh, atanhf)
FLOAT(atanh, "Atanh", "inverse hyperbolic tangent", 9)
