/* Arithmetic on two broadcast inputs. Integers wrap around like C's unsigned ones (computed in
 * uint64, whose low bits are those of every width). */
#include "op/binary.h"

#include "core/clones.h"
#include "op/gradient.h"

#include <math.h>
#include <string.h>

/* ---- the driver ---------------------------------------------------------------------------- */

typedef struct binary_job {
    const lac_binary_kernel *kernels;
    const lac_tensor *a, *b;
    lac_tensor *out;
    int64_t a_step, b_step, a_size, b_size, out_size;
} binary_job;

enum { BLOCK = 512 };

static void binary_half(const binary_job *job, const int64_t *offset, int64_t n)
{
    float a[BLOCK], b[BLOCK], y[BLOCK];
    lac_dtype dtype = job->a->dtype;
    bool narrow = job->out->dtype == dtype;
    for (int64_t i = 0; i < n; i += BLOCK) {
        int64_t m = n - i < BLOCK ? n - i : BLOCK;
        lac_op_widen(dtype, (const uint16_t *)job->a->data + offset[1] + i * job->a_step,
                     job->a_step, a, m);
        lac_op_widen(dtype, (const uint16_t *)job->b->data + offset[2] + i * job->b_step,
                     job->b_step, b, m);
        job->kernels[LAC_F32](a, 1, b, 1,
                              narrow ? (void *)y : (char *)job->out->data + offset[0] + i, m);
        if (narrow)
            lac_op_narrow(dtype, y, (uint16_t *)job->out->data + offset[0] + i, m);
    }
}

static void binary_body(void *context, const int64_t *offset, int64_t n)
{
    const binary_job *job = context;
    if (job->a->dtype == LAC_F16 || job->a->dtype == LAC_BF16)
        binary_half(job, offset, n);
    else
        job->kernels[job->a->dtype](
            (const char *)job->a->data + offset[1] * job->a_size, job->a_step,
            (const char *)job->b->data + offset[2] * job->b_size, job->b_step,
            (char *)job->out->data + offset[0] * job->out_size, n);
}

/* Runs of few elements, where one input repeats for each place of the dim before (heads that share
 * the angles of a rotary embedding): written out some times, it meets the other input in longer
 * runs. */
typedef struct repeat {
    binary_job job;
    bool of_b;      /* the input that repeats */
    int64_t period; /* elements of it */
} repeat;

enum { SHORT_RUN = 32, REPEAT_BYTES = 2048 };

static void repeat_body(void *context, const int64_t *offset, int64_t n)
{
    const repeat *r = context;
    const binary_job *job = &r->job;
    char room[REPEAT_BYTES];
    int64_t size = job->a_size, phase = offset[0] % r->period;
    const char *row = r->of_b ? (const char *)job->b->data + offset[2] * size
                              : (const char *)job->a->data + offset[1] * size;
    int64_t most = REPEAT_BYTES / size / r->period * r->period, filled = r->period;
    if (most > n)
        most = (n + r->period - 1) / r->period * r->period;
    memcpy(room, row + phase * size, (size_t)((r->period - phase) * size));
    memcpy(room + (r->period - phase) * size, row, (size_t)(phase * size));
    for (; filled < most; filled *= 2)
        memcpy(room + filled * size, room,
               (size_t)((filled * 2 < most ? filled : most - filled) * size));
    for (int64_t i = 0; i < n; i += most) {
        int64_t count = n - i < most ? n - i : most;
        const char *a = (const char *)job->a->data + (offset[1] + i) * size;
        const char *b = (const char *)job->b->data + (offset[2] + i) * size;
        job->kernels[job->a->dtype](r->of_b ? a : room, 1, r->of_b ? room : b, 1,
                                    (char *)job->out->data + (offset[0] + i) * job->out_size,
                                    count);
    }
}

/* Joins the last two dims of such a walk. */
static bool find_repeat(lac_walk *walk, const binary_job *job, repeat *r)
{
    int last = walk->rank - 1;
    if (last < 1 || walk->dims[last] > SHORT_RUN || walk->dims[last] < 2 ||
        job->a->dtype == LAC_F16 || job->a->dtype == LAC_BF16 || job->a_step != 1 ||
        job->b_step != 1)
        return false;
    for (int k = 1; k <= 2; k++)
        if (walk->stride[k][last - 1] == 0 && walk->stride[3 - k][last - 1] == walk->dims[last]) {
            *r = (repeat){.job = *job, .of_b = k == 2, .period = walk->dims[last]};
            walk->dims[last - 1] *= walk->dims[last];
            for (int o = 0; o < walk->operands; o++)
                walk->stride[o][last - 1] = o != k;
            walk->rank--;
            return true;
        }
    return false;
}

void lac_binary_apply(const lac_binary_kernel *kernels, const lac_tensor *a, const lac_tensor *b,
                      lac_tensor *out)
{
    lac_walk walk;
    const lac_tensor *in[2] = {a, b};
    lac_walk_broadcast(&walk, out->rank, out->dims, 2, in);
    binary_job job = {.kernels = kernels,
                      .a = a,
                      .b = b,
                      .out = out,
                      .a_step = walk.stride[1][walk.rank - 1],
                      .b_step = walk.stride[2][walk.rank - 1],
                      .a_size = (int64_t)lac_op_size(a->dtype),
                      .b_size = (int64_t)lac_op_size(b->dtype),
                      .out_size = (int64_t)lac_op_size(out->dtype)};
    repeat r;
    if (find_repeat(&walk, &job, &r))
        lac_walk_each(&walk, LAC_OP_GRAIN, repeat_body, &r);
    else
        lac_walk_each(&walk, LAC_OP_GRAIN, binary_body, &job);
}

lac_status lac_binary_infer(const lac_call *call, uint32_t dtypes, lac_dtype result, lac_error *err)
{
    int64_t dims[LAC_MAX_RANK];
    int rank;
    LAC_TRY(lac_op_inputs(call, 2, 2, dtypes, err));
    LAC_TRY(lac_op_type(call, 1, "B", LAC_BIT(call->in[0]->dtype), err));
    LAC_TRY(lac_op_broadcast(call, 0, 1, &rank, dims, err));
    return lac_op_out(call, 0, result == LAC_NONE ? call->in[0]->dtype : result, rank, dims, err);
}

static lac_status infer_arithmetic(const lac_call *call, lac_error *err)
{
    return lac_binary_infer(call, LAC_OP_NUMBERS, LAC_NONE, err);
}

/* ---- kernels ------------------------------------------------------------------------------- */

#define INT_KERNEL(dtype, type) LAC_BINARY_KERNEL(INT_NAME(type), type, type, INT_BODY)
#define INT_ENTRY(dtype, type)  [dtype] = INT_NAME(type),
#define FLOAT_KERNELS(name, expression)                                                            \
    LAC_CLONES LAC_BINARY_KERNEL(name##_float, float, float, expression)                           \
        LAC_BINARY_KERNEL(name##_double, double, double, expression)
#define TABLE(name)                                                                                \
    static const lac_binary_kernel name##_kernels[LAC_DTYPE_LIMIT] = {                             \
        LAC_OP_EACH_INT(INT_ENTRY)[LAC_F32] = name##_float, [LAC_F64] = name##_double};

#define INT_NAME(type) add_##type
#define INT_BODY       ((uint64_t)x + (uint64_t)y)
FLOAT_KERNELS(add, (x + y))
LAC_OP_EACH_INT(INT_KERNEL)
TABLE(add)
#undef INT_NAME
#undef INT_BODY

#define INT_NAME(type) sub_##type
#define INT_BODY       ((uint64_t)x - (uint64_t)y)
FLOAT_KERNELS(sub, (x - y))
LAC_OP_EACH_INT(INT_KERNEL)
TABLE(sub)
#undef INT_NAME
#undef INT_BODY

#define INT_NAME(type) mul_##type
#define INT_BODY       ((uint64_t)x * (uint64_t)y)
FLOAT_KERNELS(mul, (x * y))
LAC_OP_EACH_INT(INT_KERNEL)
TABLE(mul)
#undef INT_NAME
#undef INT_BODY

/* Integer divisors are not 0: run has looked. The least number over -1 overflows, hence the
 * choice. */
#define INT_NAME(type) div_##type
#define INT_BODY       (y == -1 ? 0 - (uint64_t)x : (uint64_t)(x / y))
FLOAT_KERNELS(div, (x / y))
LAC_OP_EACH_SIGNED(INT_KERNEL)
#undef INT_BODY
#define INT_BODY (x / y)
LAC_OP_EACH_UNSIGNED(INT_KERNEL)
TABLE(div)
#undef INT_NAME
#undef INT_BODY

/* Sign of the divisor; of the dividend with fmod (C's fmod for floats, which need it). */
#define REMAINDER      (y == -1 ? 0 : x % y)
#define INT_NAME(type) mod_##type
#define INT_BODY       (REMAINDER != 0 && (REMAINDER < 0) != (y < 0) ? REMAINDER + y : REMAINDER)
LAC_OP_EACH_SIGNED(INT_KERNEL)
#undef INT_BODY
#define INT_BODY (x % y)
LAC_OP_EACH_UNSIGNED(INT_KERNEL)
static const lac_binary_kernel mod_kernels[LAC_DTYPE_LIMIT] = {LAC_OP_EACH_INT(INT_ENTRY)};
#undef INT_NAME
#undef INT_BODY

#define INT_NAME(type) fmod_##type
#define INT_BODY       REMAINDER
LAC_BINARY_KERNEL(fmod_float, float, float, fmodf(x, y))
LAC_BINARY_KERNEL(fmod_double, double, double, fmod(x, y))
LAC_OP_EACH_SIGNED(INT_KERNEL)
#undef INT_BODY
#define INT_BODY (x % y)
LAC_OP_EACH_UNSIGNED(INT_KERNEL)
TABLE(fmod)
#undef INT_NAME
#undef INT_BODY

/* NaN if one of both is. */
#define INT_NAME(type) max_##type
#define INT_BODY       (x > y ? x : y)
FLOAT_KERNELS(max, (x > y || x != x ? x : y))
LAC_OP_EACH_INT(INT_KERNEL)
TABLE(max)
#undef INT_NAME
#undef INT_BODY

#define INT_NAME(type) min_##type
#define INT_BODY       (x < y ? x : y)
FLOAT_KERNELS(min, (x < y || x != x ? x : y))
LAC_OP_EACH_INT(INT_KERNEL)
TABLE(min)
#undef INT_NAME
#undef INT_BODY

/* PRelu: the slope (B) is broadcast to the data (A). */
#define INT_NAME(type) prelu_##type
#define INT_BODY       (x < 0 ? (uint64_t)x * (uint64_t)y : (uint64_t)x)
FLOAT_KERNELS(prelu, (x < 0 ? x * y : x))
LAC_OP_EACH_SIGNED(INT_KERNEL)
#undef INT_BODY
#define INT_BODY ((void)y, x)
LAC_OP_EACH_UNSIGNED(INT_KERNEL)
TABLE(prelu)
#undef INT_NAME
#undef INT_BODY

/* ---- rows ---------------------------------------------------------------------------------- */

#define ARITHMETIC_ROW(variable, onnx, summary, gradient_)                                         \
    const lac_op lac_op_##variable = {                                                             \
        .row = LAC_ROW(lac_op, onnx, summary),                                                     \
        .domain = "",                                                                              \
        .since = 7,                                                                                \
        .dtypes = LAC_OP_NUMBERS,                                                                  \
        .attributes = "",                                                                          \
        .flags = LAC_OP_INPLACE | LAC_OP_ELEMENTWISE,                                              \
        .infer = infer_arithmetic,                                                                 \
        .run = run_##variable,                                                                     \
        .gradient = gradient_,                                                                     \
    };
#define RUN(variable)                                                                              \
    static lac_status run_##variable(const lac_call *call, lac_error *err)                         \
    {                                                                                              \
        (void)err;                                                                                 \
        lac_binary_apply(variable##_kernels, call->in[0], call->in[1], &call->out[0]);             \
        return LAC_OK;                                                                             \
    }

RUN(add)
ARITHMETIC_ROW(add, "Add", "A + B", lac_gradient_add)
RUN(sub)
ARITHMETIC_ROW(sub, "Sub", "A - B", lac_gradient_sub)
RUN(mul)
ARITHMETIC_ROW(mul, "Mul", "A * B", lac_gradient_mul)

static lac_status no_zero(const lac_call *call, lac_error *err)
{
    const lac_tensor *b = call->in[1];
    if (lac_dtype_is_float(b->dtype))
        return LAC_OK;
    for (int64_t i = 0, n = lac_tensor_count(b); i < n; i++)
        if (lac_tensor_get(b, i) == 0)
            return lac_fail(err, LAC_ERROR_INPUT, "%s: element %lld of the divisor is 0",
                            call->node->op, (long long)i);
    return LAC_OK;
}

static lac_status run_div(const lac_call *call, lac_error *err)
{
    LAC_TRY(no_zero(call, err));
    lac_binary_apply(div_kernels, call->in[0], call->in[1], &call->out[0]);
    return LAC_OK;
}
ARITHMETIC_ROW(div, "Div", "A / B; integers towards 0", NULL)

static lac_status infer_mod(const lac_call *call, lac_error *err)
{
    LAC_TRY(infer_arithmetic(call, err));
    if (lac_dtype_is_float(call->in[0]->dtype) && lac_node_int(call->node, "fmod", 0) == 0)
        return lac_fail(err, LAC_ERROR_INPUT, "Mod: fmod must be 1 for element type %s",
                        lac_dtype_name(call->in[0]->dtype));
    return LAC_OK;
}

static lac_status run_mod(const lac_call *call, lac_error *err)
{
    LAC_TRY(no_zero(call, err));
    lac_binary_apply(lac_node_int(call->node, "fmod", 0) ? fmod_kernels : mod_kernels, call->in[0],
                     call->in[1], &call->out[0]);
    return LAC_OK;
}

const lac_op lac_op_mod = {
    .row = LAC_ROW(lac_op, "Mod", "remainder with the sign of B, or of A with fmod"),
    .domain = "",
    .since = 10,
    .dtypes = LAC_OP_NUMBERS,
    .attributes = "fmod:int=0",
    .flags = LAC_OP_INPLACE | LAC_OP_ELEMENTWISE,
    .infer = infer_mod,
    .run = run_mod,
};

static lac_status infer_prelu(const lac_call *call, lac_error *err)
{
    LAC_TRY(infer_arithmetic(call, err));
    const lac_tensor *x = call->in[0], *slope = call->in[1];
    bool fits = slope->rank <= x->rank;
    for (int i = 0; i < slope->rank && fits; i++)
        fits = slope->dims[i] == 1 || slope->dims[i] == x->dims[i + x->rank - slope->rank];
    if (!fits)
        return lac_fail(err, LAC_ERROR_INPUT, "PRelu: the slope's shape does not fit the data's");
    return LAC_OK;
}

RUN(prelu)
const lac_op lac_op_prelu = {
    .row = LAC_ROW(lac_op, "PRelu", "x, or slope x below 0"),
    .domain = "",
    .since = 7,
    .dtypes = LAC_OP_NUMBERS,
    .attributes = "",
    .flags = LAC_OP_INPLACE | LAC_OP_ELEMENTWISE,
    .infer = infer_prelu,
    .run = run_prelu,
};

/* ---- any number of inputs: Max, Min, Sum, Mean --------------------------------------------- */

static lac_status infer_many(const lac_call *call, uint32_t dtypes, lac_error *err)
{
    int64_t dims[LAC_MAX_RANK];
    int rank;
    LAC_TRY(lac_op_inputs(call, 1, -1, dtypes, err));
    for (int i = 1; i < call->n_in; i++) {
        if (!call->in[i])
            return lac_fail(err, LAC_ERROR_INPUT, "%s: input %d is absent", call->node->op, i);
        LAC_TRY(lac_op_type(call, i, "data", LAC_BIT(call->in[0]->dtype), err));
    }
    LAC_TRY(lac_op_broadcast(call, 0, call->n_in - 1, &rank, dims, err));
    return lac_op_out(call, 0, call->in[0]->dtype, rank, dims, err);
}

static lac_status infer_many_numbers(const lac_call *call, lac_error *err)
{
    return infer_many(call, LAC_OP_NUMBERS, err);
}

static lac_status infer_many_floats(const lac_call *call, lac_error *err)
{
    return infer_many(call, LAC_OP_FLOATS, err);
}

/* Left to right through the output. The output may be input 0, which is read first. */
static void run_many(const lac_call *call, const lac_binary_kernel *kernels)
{
    if (call->n_in == 1)
        lac_op_copy(call, 0, 0);
    for (int i = 1; i < call->n_in; i++)
        lac_binary_apply(kernels, i == 1 ? call->in[0] : &call->out[0], call->in[i], &call->out[0]);
}

#define MANY(variable, onnx, summary, set, infer_, kernels, scale)                                 \
    static lac_status run_##variable(const lac_call *call, lac_error *err)                         \
    {                                                                                              \
        (void)err;                                                                                 \
        run_many(call, kernels);                                                                   \
        if (scale) {                                                                               \
            lac_tensor count;                                                                      \
            LAC_TRY(lac_tensor_make(&count, call->in[0]->dtype, 0, NULL, err));                    \
            lac_tensor_set(&count, 0, call->n_in);                                                 \
            lac_binary_apply(div_kernels, &call->out[0], &count, &call->out[0]);                   \
            lac_tensor_release(&count);                                                            \
        }                                                                                          \
        return LAC_OK;                                                                             \
    }                                                                                              \
    const lac_op lac_op_##variable = {                                                             \
        .row = LAC_ROW(lac_op, onnx, summary),                                                     \
        .domain = "",                                                                              \
        .since = 8,                                                                                \
        .dtypes = set,                                                                             \
        .attributes = "",                                                                          \
        .flags = LAC_OP_ELEMENTWISE,                                                               \
        .infer = infer_,                                                                           \
        .run = run_##variable,                                                                     \
    };

MANY(max, "Max", "largest of the inputs", LAC_OP_NUMBERS, infer_many_numbers, max_kernels, false)
MANY(min, "Min", "smallest of the inputs", LAC_OP_NUMBERS, infer_many_numbers, min_kernels, false)
MANY(sum, "Sum", "sum of the inputs", LAC_OP_FLOATS, infer_many_floats, add_kernels, false)
MANY(mean, "Mean", "mean of the inputs", LAC_OP_FLOATS, infer_many_floats, add_kernels, true)
