/* Comparisons, logic, shifts and the choice between two tensors. */
#include "op/binary.h"

#include "core/clones.h"

#include <string.h>

/* ---- comparisons --------------------------------------------------------------------------- */

#define KERNEL(dtype, type) LAC_BINARY_KERNEL(NAME(type), type, uint8_t, BODY)
#define ENTRY(dtype, type)  [dtype] = NAME(type),
#define KERNELS(name)                                                                              \
    LAC_OP_EACH_INT(KERNEL)                                                                        \
    LAC_OP_EACH_FLOAT(KERNEL)                                                                      \
    static const lac_binary_kernel name##_kernels[LAC_DTYPE_LIMIT] = {                             \
        LAC_OP_EACH_INT(ENTRY) LAC_OP_EACH_FLOAT(ENTRY)[LAC_BOOL] = NAME(uint8_t)};

#define NAME(type) equal_##type
#define BODY       (x == y)
KERNELS(equal)
#undef NAME
#undef BODY
#define NAME(type) less_##type
#define BODY       (x < y)
KERNELS(less)
#undef NAME
#undef BODY
#define NAME(type) less_or_equal_##type
#define BODY       (x <= y)
KERNELS(less_or_equal)
#undef NAME
#undef BODY
#define NAME(type) greater_##type
#define BODY       (x > y)
KERNELS(greater)
#undef NAME
#undef BODY
#define NAME(type) greater_or_equal_##type
#define BODY       (x >= y)
KERNELS(greater_or_equal)
#undef NAME
#undef BODY

static lac_status infer_order(const lac_call *call, lac_error *err)
{
    return lac_binary_infer(call, LAC_OP_NUMBERS, LAC_BOOL, err);
}

static lac_status infer_equal(const lac_call *call, lac_error *err)
{
    return lac_binary_infer(call, LAC_OP_ANY, LAC_BOOL, err);
}

static lac_status infer_logic(const lac_call *call, lac_error *err)
{
    return lac_binary_infer(call, LAC_BIT(LAC_BOOL), LAC_BOOL, err);
}

static lac_status infer_shift(const lac_call *call, lac_error *err)
{
    const char *direction = lac_node_string(call->node, "direction", "");
    if (strcmp(direction, "LEFT") != 0 && strcmp(direction, "RIGHT") != 0)
        return lac_fail(err, LAC_ERROR_INPUT, "BitShift: direction is '%.40s', not LEFT or RIGHT",
                        direction);
    return lac_binary_infer(call, LAC_OP_UNSIGNED, LAC_NONE, err);
}

#define ROW(variable, onnx, summary, since_, set, schema, flags_, infer_, kernels)                 \
    static lac_status run_##variable(const lac_call *call, lac_error *err)                         \
    {                                                                                              \
        (void)err;                                                                                 \
        lac_binary_apply(kernels, call->in[0], call->in[1], &call->out[0]);                        \
        return LAC_OK;                                                                             \
    }                                                                                              \
    const lac_op lac_op_##variable = {                                                             \
        .row = LAC_ROW(lac_op, onnx, summary),                                                     \
        .domain = "",                                                                              \
        .since = since_,                                                                           \
        .dtypes = set,                                                                             \
        .attributes = schema,                                                                      \
        .flags = flags_,                                                                           \
        .infer = infer_,                                                                           \
        .run = run_##variable,                                                                     \
    };

ROW(equal, "Equal", "A = B", 7, LAC_OP_ANY, "", LAC_OP_ELEMENTWISE, infer_equal, equal_kernels)
ROW(less, "Less", "A < B", 7, LAC_OP_NUMBERS, "", LAC_OP_ELEMENTWISE, infer_order, less_kernels)
ROW(less_or_equal, "LessOrEqual", "A <= B", 12, LAC_OP_NUMBERS, "", LAC_OP_ELEMENTWISE, infer_order,
    less_or_equal_kernels)
ROW(greater, "Greater", "A > B", 7, LAC_OP_NUMBERS, "", LAC_OP_ELEMENTWISE, infer_order,
    greater_kernels)
ROW(greater_or_equal, "GreaterOrEqual", "A >= B", 12, LAC_OP_NUMBERS, "", LAC_OP_ELEMENTWISE,
    infer_order, greater_or_equal_kernels)

/* ---- logic and shifts ---------------------------------------------------------------------- */

LAC_BINARY_KERNEL(and_bool, uint8_t, uint8_t, x &&y)
LAC_BINARY_KERNEL(or_bool, uint8_t, uint8_t, x || y)
LAC_BINARY_KERNEL(xor_bool, uint8_t, uint8_t, !x != !y)
static const lac_binary_kernel and_kernels[LAC_DTYPE_LIMIT] = {[LAC_BOOL] = and_bool};
static const lac_binary_kernel or_kernels[LAC_DTYPE_LIMIT] = {[LAC_BOOL] = or_bool};
static const lac_binary_kernel xor_kernels[LAC_DTYPE_LIMIT] = {[LAC_BOOL] = xor_bool};

#define LOGIC_FLAGS (LAC_OP_INPLACE | LAC_OP_ELEMENTWISE)
ROW(and, "And", "A and B", 7, LAC_BIT(LAC_BOOL), "", LOGIC_FLAGS, infer_logic, and_kernels)
ROW(or, "Or", "A or B", 7, LAC_BIT(LAC_BOOL), "", LOGIC_FLAGS, infer_logic, or_kernels)
ROW(xor, "Xor", "A or B but not both", 7, LAC_BIT(LAC_BOOL), "", LOGIC_FLAGS, infer_logic,
    xor_kernels)

/* Shifted by the width or more: 0. */
#define SHIFT_KERNEL(dtype, type) LAC_BINARY_KERNEL(NAME(type), type, type, BODY)
#define NAME(type)                left_##type
#define BODY                      (y < sizeof x * 8 ? (uint64_t)x << y : 0)
LAC_OP_EACH_UNSIGNED(SHIFT_KERNEL)
static const lac_binary_kernel left_kernels[LAC_DTYPE_LIMIT] = {LAC_OP_EACH_UNSIGNED(ENTRY)};
#undef NAME
#undef BODY
#define NAME(type) right_##type
#define BODY       (y < sizeof x * 8 ? (uint64_t)x >> y : 0)
LAC_OP_EACH_UNSIGNED(SHIFT_KERNEL)
static const lac_binary_kernel right_kernels[LAC_DTYPE_LIMIT] = {LAC_OP_EACH_UNSIGNED(ENTRY)};
#undef NAME
#undef BODY

ROW(bitshift, "BitShift", "A shifted by B bits", 11, LAC_OP_UNSIGNED, "direction:string",
    LOGIC_FLAGS, infer_shift,
    lac_node_string(call->node, "direction", "")[0] == 'L' ? left_kernels : right_kernels)

/* ---- Where --------------------------------------------------------------------------------- */

typedef struct where_job {
    const lac_call *call;
    size_t size;
    int64_t step[3];
} where_job;

#define WHERE_CASE(type)                                                                           \
    for (int64_t i = 0; i < n; i++)                                                                \
        ((type *)y)[i] = condition[i * job->step[0]]                                               \
                             ? ((const type *)a)[offset[2] + i * job->step[1]]                     \
                             : ((const type *)b)[offset[3] + i * job->step[2]];                    \
    break

static void where_body(void *context, const int64_t *offset, int64_t n)
{
    const where_job *job = context;
    const uint8_t *condition = (const uint8_t *)job->call->in[0]->data + offset[1];
    const void *a = job->call->in[1]->data, *b = job->call->in[2]->data;
    void *y = (char *)job->call->out[0].data + offset[0] * (int64_t)job->size;
    switch (job->size) {
    case 1:
        WHERE_CASE(uint8_t);
    case 2:
        WHERE_CASE(uint16_t);
    case 4:
        WHERE_CASE(uint32_t);
    case 8:
        WHERE_CASE(uint64_t);
    default:
        break;
    }
}

static lac_status infer_where(const lac_call *call, lac_error *err)
{
    int64_t dims[LAC_MAX_RANK];
    int rank;
    LAC_TRY(lac_op_inputs(call, 3, 3, LAC_BIT(LAC_BOOL), err));
    LAC_TRY(lac_op_type(call, 1, "X", LAC_OP_ANY, err));
    LAC_TRY(lac_op_type(call, 2, "Y", LAC_BIT(call->in[1]->dtype), err));
    LAC_TRY(lac_op_broadcast(call, 0, 2, &rank, dims, err));
    return lac_op_out(call, 0, call->in[1]->dtype, rank, dims, err);
}

static lac_status run_where(const lac_call *call, lac_error *err)
{
    lac_walk walk;
    (void)err;
    lac_walk_broadcast(&walk, call->out[0].rank, call->out[0].dims, 3, call->in);
    where_job job = {.call = call, .size = lac_op_size(call->out[0].dtype)};
    for (int k = 0; k < 3; k++)
        job.step[k] = walk.stride[k + 1][walk.rank - 1];
    lac_walk_each(&walk, LAC_OP_GRAIN, where_body, &job);
    return LAC_OK;
}

/* dtypes: input 0 is the condition; X and Y are of any type. */
const lac_op lac_op_where = {
    .row = LAC_ROW(lac_op, "Where", "X where the condition holds, else Y"),
    .domain = "",
    .since = 9,
    .dtypes = LAC_BIT(LAC_BOOL),
    .attributes = "",
    .flags = LAC_OP_ELEMENTWISE,
    .infer = infer_where,
    .run = run_where,
};
