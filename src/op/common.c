/* Checks, shapes, strided walks. A walk is the one loop behind broadcasting, transposing, slicing
 * and expanding: nested counters over strides, collapsed so that the inner run is long. */
#include "op/common.h"

#include "core/parallel.h"

#include <string.h>

/* ---- checks -------------------------------------------------------------------------------- */

lac_status lac_op_type(const lac_call *call, int i, const char *name, uint32_t dtypes,
                       lac_error *err)
{
    lac_dtype dtype = call->in[i]->dtype;
    if ((unsigned)dtype >= LAC_DTYPE_LIMIT || !(LAC_BIT(dtype) & dtypes))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s: element type %s of input '%s'",
                        call->node->op, lac_dtype_name(dtype), name);
    return LAC_OK;
}

lac_status lac_op_inputs(const lac_call *call, int min, int max, uint32_t dtypes, lac_error *err)
{
    if (call->n_in < min || (max >= 0 && call->n_in > max))
        return lac_fail(err, LAC_ERROR_INPUT, "%s: %d inputs, expected %d..%d", call->node->op,
                        call->n_in, min, max);
    if (call->n_out < 1)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: no output", call->node->op);
    for (int i = 0; i < min; i++)
        if (!call->in[i])
            return lac_fail(err, LAC_ERROR_INPUT, "%s: input %d is absent", call->node->op, i);
    return min > 0 ? lac_op_type(call, 0, "0", dtypes, err) : LAC_OK;
}

lac_status lac_op_out(const lac_call *call, int i, lac_dtype dtype, int rank, const int64_t *dims,
                      lac_error *err)
{
    int64_t count;
    if (!lac_op_wanted(call, i))
        return LAC_OK;
    lac_status status = lac_shape_count(rank, dims, &count, err);
    if (status != LAC_OK)
        return lac_fail_in(err, status, "%s: output %d", call->node->op, i);
    lac_tensor *out = &call->out[i];
    out->dtype = dtype;
    out->rank = rank;
    for (int d = 0; d < rank; d++)
        out->dims[d] = dims[d];
    return LAC_OK;
}

lac_status lac_op_out_same(const lac_call *call, lac_error *err)
{
    const lac_tensor *in = call->in[0];
    return lac_op_out(call, 0, in->dtype, in->rank, in->dims, err);
}

lac_status lac_op_axis(int64_t value, int rank, int *axis, lac_error *err)
{
    if (value < -rank || value >= rank)
        return lac_fail(err, LAC_ERROR_INPUT, "axis %lld is outside -%d..%d", (long long)value,
                        rank, rank - 1);
    *axis = (int)(value < 0 ? value + rank : value);
    return LAC_OK;
}

lac_status lac_op_axes(int64_t n, const int64_t *axes, int rank, bool *is, lac_error *err)
{
    for (int i = 0; i < rank; i++)
        is[i] = false;
    for (int64_t i = 0; i < n; i++) {
        int axis = 0;
        LAC_TRY(lac_op_axis(axes[i], rank, &axis, err));
        if (is[axis])
            return lac_fail(err, LAC_ERROR_INPUT, "axis %d is given twice", axis);
        is[axis] = true;
    }
    return LAC_OK;
}

lac_status lac_op_broadcast(const lac_call *call, int first, int last, int *rank, int64_t *dims,
                            lac_error *err)
{
    *rank = 0;
    for (int i = first; i <= last; i++)
        if (call->in[i] && call->in[i]->rank > *rank)
            *rank = call->in[i]->rank;
    for (int d = 0; d < *rank; d++)
        dims[d] = 1;
    for (int i = first; i <= last; i++) {
        const lac_tensor *in = call->in[i];
        if (!in)
            continue;
        int skip = *rank - in->rank;
        for (int d = 0; d < in->rank; d++) {
            int64_t size = in->dims[d], *common = &dims[d + skip];
            if (*common == 1)
                *common = size;
            else if (size != 1 && size != *common)
                return lac_fail(err, LAC_ERROR_INPUT,
                                "%s: input %d has size %lld where others have %lld (dimension %d)",
                                call->node->op, i, (long long)size, (long long)*common, d + skip);
        }
    }
    return LAC_OK;
}

lac_status lac_op_ints(const lac_call *call, int i, const char *name, int max, int64_t *values,
                       int *n, lac_error *err)
{
    const lac_tensor *in = lac_op_in(call, i);
    if (!in)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: input '%s' is absent", call->node->op, name);
    LAC_TRY(lac_op_type(call, i, name, LAC_OP_INDEX, err));
    int64_t count = lac_tensor_count(in);
    if (in->rank > 1 || count > max)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "%s: input '%s' has rank %d and %lld elements, "
                        "limits are 1 and %d",
                        call->node->op, name, in->rank, (long long)count, max);
    if (!in->data && count > 0)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s: shape depends on data of input '%s'",
                        call->node->op, name);
    for (int64_t k = 0; k < count; k++)
        values[k] = lac_op_index(in, k);
    *n = (int)count;
    return LAC_OK;
}

int64_t lac_op_product(const int64_t *dims, int begin, int end)
{
    int64_t product = 1;
    for (int i = begin; i < end; i++)
        if (dims[i] == 0)
            return 0;
    /* A factor of a checked shape with a zero elsewhere may overflow: such a product is never
     * used to index, so any value does. */
    for (int i = begin; i < end; i++)
        if (__builtin_mul_overflow(product, dims[i], &product))
            return INT64_MAX;
    return product;
}

void lac_op_copy(const lac_call *call, int i, int o)
{
    const lac_tensor *in = call->in[i], *out = &call->out[o];
    size_t bytes = lac_tensor_bytes(in);
    if (bytes > 0 && out->data != in->data)
        memcpy(out->data, in->data, bytes);
}

/* ---- strided walks ------------------------------------------------------------------------- */

void lac_op_strides(int rank, const int64_t *dims, int64_t *strides)
{
    int64_t stride = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = stride;
        if (dims[i] > 0 && __builtin_mul_overflow(stride, dims[i], &stride))
            stride = 0; /* only where another dim is 0: nothing is ever indexed */
    }
}

void lac_walk_broadcast(lac_walk *walk, int rank, const int64_t *dims, int n,
                        const lac_tensor *const *in)
{
    walk->rank = rank;
    walk->operands = n + 1;
    memcpy(walk->dims, dims, (size_t)rank * sizeof *dims);
    lac_op_strides(rank, dims, walk->stride[0]);
    for (int k = 0; k < n; k++) {
        int64_t strides[LAC_MAX_RANK];
        int skip = rank - in[k]->rank;
        lac_op_strides(in[k]->rank, in[k]->dims, strides);
        for (int d = 0; d < rank; d++)
            walk->stride[k + 1][d] = d < skip || in[k]->dims[d - skip] == 1 ? 0 : strides[d - skip];
    }
    lac_walk_collapse(walk);
}

void lac_walk_collapse(lac_walk *walk)
{
    int to = 0;
    for (int from = 0; from < walk->rank; from++) {
        if (walk->dims[from] == 0) {
            to = 1;
            walk->dims[0] = 0;
            break;
        }
        if (walk->dims[from] == 1)
            continue;
        bool joins = to > 0;
        for (int k = 0; k < walk->operands && joins; k++)
            joins = walk->stride[k][to - 1] == walk->stride[k][from] * walk->dims[from];
        int at = joins ? to - 1 : to++;
        walk->dims[at] = joins ? walk->dims[at] * walk->dims[from] : walk->dims[from];
        for (int k = 0; k < walk->operands; k++)
            walk->stride[k][at] = walk->stride[k][from];
    }
    if (to == 0) {
        to = 1;
        walk->dims[0] = 1;
        for (int k = 0; k < walk->operands; k++)
            walk->stride[k][0] = 1;
    }
    walk->rank = to;
}

typedef struct walk_job {
    const lac_walk *walk;
    void (*body)(void *context, const int64_t *offset, int64_t n);
    void *context;
} walk_job;

static void walk_part(void *context, int64_t begin, int64_t end)
{
    const walk_job *job = context;
    const lac_walk *walk = job->walk;
    int last = walk->rank - 1;
    int64_t index[LAC_WALK_RANK], offset[LAC_WALK_OPERANDS] = {0}, rest = begin;
    for (int d = last; d >= 0; d--) {
        index[d] = rest % walk->dims[d];
        rest /= walk->dims[d];
        for (int k = 0; k < walk->operands; k++)
            offset[k] += index[d] * walk->stride[k][d];
    }
    while (begin < end) {
        int64_t n = walk->dims[last] - index[last];
        if (n > end - begin)
            n = end - begin;
        job->body(job->context, offset, n);
        begin += n;
        for (int k = 0; k < walk->operands; k++)
            offset[k] -= index[last] * walk->stride[k][last];
        index[last] = 0; /* a run that stops short is the part's last */
        for (int d = last - 1; d >= 0; d--) {
            for (int k = 0; k < walk->operands; k++)
                offset[k] += walk->stride[k][d];
            if (++index[d] < walk->dims[d])
                break;
            for (int k = 0; k < walk->operands; k++)
                offset[k] -= walk->dims[d] * walk->stride[k][d];
            index[d] = 0;
        }
    }
}

void lac_walk_each(const lac_walk *walk, int64_t grain,
                   void (*body)(void *context, const int64_t *offset, int64_t n), void *context)
{
    walk_job job = {walk, body, context};
    lac_parallel_for(lac_op_product(walk->dims, 0, walk->rank), grain, walk_part, &job);
}

/* ---- strided copies ------------------------------------------------------------------------ */

typedef struct copy_job {
    const lac_walk *walk;
    size_t size;
    uint8_t *target;
    const uint8_t *source;
    /* blocked transposition: columns of the source run along `along` */
    int along;
    int64_t blocks;
} copy_job;

/* Elements and runs of them that are copied at once, at any address. */
typedef struct eight {
    uint8_t byte[8];
} eight;
typedef struct sixteen {
    uint8_t byte[16];
} sixteen;
typedef struct thirty_two {
    uint8_t byte[32];
} thirty_two;
typedef struct sixty_four {
    uint8_t byte[64];
} sixty_four;

#define COPY_STEPS(type)                                                                           \
    for (int64_t i = 0; i < n; i++)                                                                \
        ((type *)target)[i * to] = ((const type *)source)[i * from];                               \
    break

static void copy_run(uint8_t *target, int64_t to, const uint8_t *source, int64_t from, size_t size,
                     int64_t n)
{
    if (to == 1 && from == 1) {
        memcpy(target, source, (size_t)n * size);
        return;
    }
    switch (size) {
    case 1:
        COPY_STEPS(uint8_t);
    case 2:
        COPY_STEPS(uint16_t);
    case 4:
        COPY_STEPS(uint32_t);
    case 8:
        COPY_STEPS(eight);
    case 16:
        COPY_STEPS(sixteen);
    case 32:
        COPY_STEPS(thirty_two);
    case 64:
        COPY_STEPS(sixty_four);
    default:
        break;
    }
}

static void copy_body(void *context, const int64_t *offset, int64_t n)
{
    const copy_job *job = context;
    int last = job->walk->rank - 1;
    copy_run(job->target + offset[0] * (int64_t)job->size, job->walk->stride[0][last],
             job->source + offset[1] * (int64_t)job->size, job->walk->stride[1][last], job->size,
             n);
}

enum { BLOCK = 16 }; /* 16 x 16 elements of 4 bytes: 16 cache lines on either side */

/* One block row: BLOCK source columns by the whole last dim, in blocks. `begin`..`end` counts
 * (outer index, block) pairs. */
static void transpose_part(void *context, int64_t begin, int64_t end)
{
    const copy_job *job = context;
    const lac_walk *walk = job->walk;
    int last = walk->rank - 1, along = job->along;
    int64_t size = (int64_t)job->size, to = walk->stride[0][along], from = walk->stride[1][last];
    for (int64_t task = begin; task < end; task++) {
        int64_t rest = task / job->blocks, first = task % job->blocks * BLOCK;
        int64_t target = first * to, source = first;
        for (int d = last - 1; d >= 0; d--) {
            if (d == along)
                continue;
            target += rest % walk->dims[d] * walk->stride[0][d];
            source += rest % walk->dims[d] * walk->stride[1][d];
            rest /= walk->dims[d];
        }
        int64_t rows = walk->dims[along] - first < BLOCK ? walk->dims[along] - first : BLOCK;
        for (int64_t column = 0; column < walk->dims[last]; column += BLOCK) {
            int64_t columns = walk->dims[last] - column < BLOCK ? walk->dims[last] - column : BLOCK;
            for (int64_t row = 0; row < rows; row++)
                copy_run(job->target + (target + row * to + column) * size, 1,
                         job->source + (source + row + column * from) * size, from, job->size,
                         columns);
        }
    }
}

/* A last dim of 8 to 64 bytes side by side becomes the element. */
static void widen_element(lac_walk *walk, size_t *size)
{
    int last = walk->rank - 1;
    int64_t run = walk->dims[last];
    if (last < 1 || run < 2 || run > 64 || walk->stride[0][last] != 1 || walk->stride[1][last] != 1)
        return;
    size_t bytes = (size_t)run * *size;
    if (bytes < 8 || bytes > 64 || (bytes & (bytes - 1)) != 0)
        return;
    for (int k = 0; k < 2; k++)
        for (int d = 0; d < last; d++)
            if (walk->stride[k][d] % run != 0)
                return;
    for (int k = 0; k < 2; k++)
        for (int d = 0; d < last; d++)
            walk->stride[k][d] /= run;
    walk->rank = last;
    *size = bytes;
    lac_walk_collapse(walk);
}

void lac_walk_copy(lac_walk walk, size_t size, void *target, const void *source)
{
    walk.operands = 2;
    lac_walk_collapse(&walk);
    widen_element(&walk, &size);
    int last = walk.rank - 1;
    copy_job job = {&walk, size, target, source, -1, 0};
    int64_t count = lac_op_product(walk.dims, 0, walk.rank);
    if (count == 0)
        return;
    if (walk.stride[0][last] == 1 && walk.stride[1][last] != 1)
        for (int d = 0; d < last; d++)
            if (walk.stride[1][d] == 1)
                job.along = d;
    if (job.along < 0) {
        lac_walk_each(&walk, LAC_OP_GRAIN, copy_body, &job);
        return;
    }
    job.blocks = (walk.dims[job.along] + BLOCK - 1) / BLOCK;
    int64_t tasks = count / walk.dims[last] / walk.dims[job.along] * job.blocks;
    lac_parallel_for(tasks, 1 + LAC_OP_GRAIN / (BLOCK * walk.dims[last]), transpose_part, &job);
}

/* ---- 16-bit floats ------------------------------------------------------------------------- */

void lac_op_widen(lac_dtype dtype, const uint16_t *half, int64_t step, float *out, int64_t n)
{
    if (dtype == LAC_F16)
        for (int64_t i = 0; i < n; i++)
            out[i] = lac_f16_to_f32(half[i * step]);
    else
        for (int64_t i = 0; i < n; i++)
            out[i] = lac_bf16_to_f32(half[i * step]);
}

void lac_op_narrow(lac_dtype dtype, const float *in, uint16_t *half, int64_t n)
{
    if (dtype == LAC_F16)
        for (int64_t i = 0; i < n; i++)
            half[i] = lac_f32_to_f16(in[i]);
    else
        for (int64_t i = 0; i < n; i++)
            half[i] = lac_f32_to_bf16(in[i]);
}
