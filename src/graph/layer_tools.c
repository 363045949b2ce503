/* Integer operands and exact products for the references. Rows are widened to int16 and multiplied
 * in chunks whose int32 sums cannot overflow: plainly right, yet the compiler turns it into
 * multiply-add instructions. */
#include "graph/layer_tools.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/clones.h"
#include "core/memory.h"
#include "core/parallel.h"

const char *lac_role_name(lac_role role)
{
    static const char *const names[LAC_ROLE_LIMIT] = {[LAC_ROLE_WEIGHTS] = "weights",
                                                      [LAC_ROLE_ACTIVATIONS] = "activations",
                                                      [LAC_ROLE_BIAS] = "bias",
                                                      [LAC_ROLE_WEIGHTS2] = "second weights",
                                                      [LAC_ROLE_RECURRENT] = "recurrent",
                                                      [LAC_ROLE_QUERY] = "query",
                                                      [LAC_ROLE_KEY] = "key",
                                                      [LAC_ROLE_VALUE] = "value",
                                                      [LAC_ROLE_ADJACENCY] = "adjacency",
                                                      [LAC_ROLE_PERMUTATION] = "permutation",
                                                      [LAC_ROLE_MASK] = "mask",
                                                      [LAC_ROLE_IMPORTANCE] = "importance",
                                                      [LAC_ROLE_RESIDUAL] = "residual",
                                                      [LAC_ROLE_STATE_H] = "hidden state",
                                                      [LAC_ROLE_STATE_C] = "cell state"};
    return (unsigned)role < LAC_ROLE_LIMIT ? names[role] : NULL;
}

lac_status lac_operand_size(const lac_layer *layer, lac_role role, int64_t count, lac_error *err)
{
    const lac_tensor *tensor = &layer->operand[role].tensor;
    if (!tensor->data)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: %s are not given", layer->name,
                        lac_role_name(role));
    if (lac_tensor_count(tensor) != count)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "%s: %s have %" PRId64 " elements, the dims say %" PRId64, layer->name,
                        lac_role_name(role), lac_tensor_count(tensor), count);
    return LAC_OK;
}

lac_status lac_operand_need(const lac_layer *layer, lac_role role, int64_t count, lac_error *err)
{
    const lac_operand *operand = &layer->operand[role];
    const lac_tensor *tensor = &operand->tensor;
    LAC_TRY(lac_operand_size(layer, role, count, err));
    if (tensor->dtype != LAC_I8 && tensor->dtype != LAC_U8 && tensor->dtype != LAC_I16)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: %s are %s, not int8, uint8 or int16",
                        layer->name, lac_role_name(role), lac_dtype_name(tensor->dtype));
    if (operand->zero_point != 0)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "%s: %s have zero point %" PRId32 "; integer layers take 0", layer->name,
                        lac_role_name(role), operand->zero_point);
    return LAC_OK;
}

void lac_to_i16(int16_t *target, const lac_tensor *source, int64_t first, int64_t count)
{
    if (source->dtype == LAC_I8) {
        const int8_t *data = (const int8_t *)source->data + first;
        for (int64_t i = 0; i < count; i++)
            target[i] = (int16_t)data[i];
    } else if (source->dtype == LAC_U8) {
        const uint8_t *data = (const uint8_t *)source->data + first;
        for (int64_t i = 0; i < count; i++)
            target[i] = data[i];
    } else {
        memcpy(target, (const int16_t *)source->data + first, (size_t)count * sizeof *target);
    }
}

bool lac_is_small(const lac_tensor *a, const lac_tensor *b)
{
    return a->dtype != LAC_I16 && b->dtype != LAC_I16;
}

LAC_CLONES static int32_t dot_chunk(const int16_t *a, const int16_t *b, int64_t count)
{
    int32_t sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

int64_t lac_dot(const int16_t *a, const int16_t *b, int64_t count, bool small)
{
    int64_t sum = 0;
    if (!small) {
        for (int64_t i = 0; i < count; i++)
            sum += a[i] * b[i];
        return sum;
    }
    for (int64_t i = 0; i < count; i += 16384) /* 255 * 255 * 16384 < 2^31 */
        sum += dot_chunk(a + i, b + i, count - i < 16384 ? count - i : 16384);
    return sum;
}

typedef struct product {
    int32_t *y;
    const int16_t *a, *w;
    int64_t m, n, k;
    bool small;
    bool *overflow; /* one per output column */
} product;

static void multiply_columns(void *context, int64_t begin, int64_t end)
{
    const product *p = context;
    for (int64_t n = begin; n < end; n++)
        for (int64_t m = 0; m < p->m; m++) {
            int64_t sum = lac_dot(p->a + m * p->k, p->w + n * p->k, p->k, p->small);
            if (sum > INT32_MAX || sum < INT32_MIN)
                p->overflow[n] = true;
            p->y[m * p->n + n] = (int32_t)sum;
        }
}

lac_status lac_gemm_reference(int32_t *y, const lac_tensor *a, int64_t a_first, const lac_tensor *w,
                              int64_t w_first, int64_t m, int64_t n, int64_t k, lac_error *err)
{
    lac_status status = LAC_ERROR_MEMORY;
    int16_t *wide_a = lac_alloc_raw((size_t)(m * k), sizeof *wide_a, err);
    int16_t *wide_w = wide_a ? lac_alloc_raw((size_t)(n * k), sizeof *wide_w, err) : NULL;
    bool *overflow = wide_w ? lac_alloc((size_t)n, sizeof *overflow, err) : NULL;
    if (overflow) {
        status = LAC_OK;
        lac_to_i16(wide_a, a, a_first, m * k);
        lac_to_i16(wide_w, w, w_first, n * k);
        product p = {y, wide_a, wide_w, m, n, k, lac_is_small(a, w), overflow};
        lac_parallel_for(n, 1 + 1000000 / (m * k + 1), multiply_columns, &p);
        for (int64_t i = 0; i < n && status == LAC_OK; i++)
            if (overflow[i])
                status = lac_fail(err, LAC_ERROR_INPUT,
                                  "output column %" PRId64 ": a sum leaves int32", i);
    }
    lac_free(overflow);
    lac_free(wide_w);
    lac_free(wide_a);
    return status;
}

bool lac_layer_is_bare(const lac_layer *layer)
{
    for (int i = 0; i < LAC_ROLE_LIMIT; i++)
        if (layer->operand[i].tensor.data)
            return false;
    return true;
}

lac_status lac_gemm_layer(lac_layer *gemm, const lac_layer *parent, int64_t m, int64_t n, int64_t k,
                          lac_error *err)
{
    LAC_TRY(lac_layer_begin(gemm, "gemm", err));
    LAC_TRY(lac_layer_dim_set(gemm, "m", m, err));
    LAC_TRY(lac_layer_dim_set(gemm, "n", n, err));
    LAC_TRY(lac_layer_dim_set(gemm, "k", k, err));
    memcpy(gemm->name, parent->name, sizeof gemm->name);
    gemm->seed = parent->seed;
    return lac_layer_check(gemm, err);
}

lac_tensor lac_matrix_view(const lac_tensor *tensor, int64_t first, int64_t rows, int64_t cols)
{
    size_t bytes = (size_t)first * (size_t)lac_dtype_bits(tensor->dtype) / 8;
    return lac_tensor_view(tensor->dtype, 2, (int64_t[]){rows, cols}, (char *)tensor->data + bytes);
}

lac_operand lac_operand_matrix(const lac_operand *operand, int64_t first, int64_t rows, int64_t k)
{
    lac_operand matrix = *operand;
    bool transposed = operand->transposed;
    matrix.packed = NULL;
    matrix.tensor =
        lac_matrix_view(&operand->tensor, first, transposed ? k : rows, transposed ? rows : k);
    return matrix;
}

#define SWAP(type)                                                                                 \
    do {                                                                                           \
        const type *in = source->data;                                                             \
        type *out = target->data;                                                                  \
        for (int64_t o = 0; o < outer; o++)                                                        \
            for (int64_t i = 0; i < x; i++)                                                        \
                for (int64_t j = 0; j < y; j++)                                                    \
                    memcpy(out + ((o * y + j) * x + i) * inner,                                    \
                           in + ((o * x + i) * y + j) * inner, (size_t)inner * sizeof(type));      \
    } while (0)

lac_status lac_swap_axes(lac_tensor *target, const lac_tensor *source, int64_t outer, int64_t x,
                         int64_t y, int64_t inner, lac_error *err)
{
    LAC_TRY(lac_tensor_make(target, source->dtype, 4, (int64_t[]){outer, y, x, inner}, err));
    switch (lac_dtype_bits(source->dtype)) {
    case 8:
        SWAP(uint8_t);
        return LAC_OK;
    case 16:
        SWAP(uint16_t);
        return LAC_OK;
    case 32:
        SWAP(uint32_t);
        return LAC_OK;
    default:
        lac_tensor_release(target);
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s elements have no swapped order",
                        lac_dtype_name(source->dtype));
    }
}
