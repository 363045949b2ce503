/* Portable N:M products: each output has the list of its kept positions and values, padded to the
 * same length, and gathers its activations. Integer sums wrap, as those of the vector units do. */
#include "cpu/nm_image.h"
#include "cpu/packed_gemm.h"

#include "core/memory.h"
#include "core/parallel.h"

#include <stdio.h>
#include <string.h>

enum { ROWS = 4 };

typedef struct nm_state {
    lac_gemm_shape shape;
    lac_packed_numbers numbers;
    int64_t *first;    /* [n + 1]: where the list of an output begins */
    int32_t *position; /* along k */
    void *value;       /* int16 or float */
    size_t value_size;
    int64_t kept;
    const void *activations; /* during a run */
    lac_epilogue epilogue;
} nm_state;

#define NM_RANGE(name, ELEMENT, VALUE, SUM, PRODUCT, FINISH, OUT)                                  \
    static void name(void *context, int64_t begin, int64_t end)                                    \
    {                                                                                              \
        const nm_state *w = context;                                                               \
        const VALUE *value = w->value;                                                             \
        int64_t k = w->shape.k, m = w->shape.m;                                                    \
        for (int64_t n = begin; n < end; n++)                                                      \
            for (int64_t row = 0; row < m; row += ROWS) {                                          \
                const ELEMENT *x[ROWS];                                                            \
                SUM sum[ROWS] = {0};                                                               \
                for (int r = 0; r < ROWS; r++) /* rows behind the last repeat it */                \
                    x[r] = (const ELEMENT *)w->activations + (row + r < m ? row + r : m - 1) * k;  \
                for (int64_t i = w->first[n]; i < w->first[n + 1]; i++)                            \
                    for (int r = 0; r < ROWS; r++)                                                 \
                        sum[r] += PRODUCT(x[r][w->position[i]], value[i]);                         \
                for (int r = 0; r < ROWS && row + r < m; r++) {                                    \
                    OUT out = (OUT)sum[r];                                                         \
                    FINISH(&w->epilogue, row + r, n, 1, &out);                                     \
                }                                                                                  \
            }                                                                                      \
    }
#define FLOAT_PRODUCT(a, b)   ((a) * (b))
#define INTEGER_PRODUCT(a, b) ((uint32_t)((int32_t)(a) * (int32_t)(b)))
NM_RANGE(nm_range_f32, float, float, float, FLOAT_PRODUCT, lac_epilogue_floats, float)
NM_RANGE(nm_range_s8, int8_t, int16_t, uint32_t, INTEGER_PRODUCT, lac_epilogue_integers, int32_t)
NM_RANGE(nm_range_u8, uint8_t, int16_t, uint32_t, INTEGER_PRODUCT, lac_epilogue_integers, int32_t)

static lac_status nm_count(void *context, int64_t row, int64_t k, double value, lac_error *err)
{
    nm_state *w = context;
    (void)k;
    (void)value;
    (void)err;
    w->first[row + 1]++;
    return LAC_OK;
}

static lac_status nm_fill(void *context, int64_t row, int64_t k, double value, lac_error *err)
{
    nm_state *w = context;
    int64_t at = w->kept++;
    (void)err;
    w->position[at] = (int32_t)k;
    if (w->value_size == sizeof(float)) {
        ((float *)w->value)[at] = (float)value;
    } else {
        ((int16_t *)w->value)[at] = (int16_t)value;
        w->numbers.sum[row] = (int32_t)((uint32_t)w->numbers.sum[row] + (uint32_t)(int32_t)value);
    }
    return LAC_OK;
}

static void nm_release(void *state)
{
    nm_state *w = state;
    if (!w)
        return;
    lac_packed_numbers_release(&w->numbers);
    lac_free(w->first);
    lac_free(w->position);
    lac_free(w->value);
    lac_free(w);
}

static lac_status nm_make(nm_state *w, const lac_layer *layer, lac_error *err)
{
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    bool integer = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype != LAC_F32;
    if (!lac_gemm_shape_of(layer, &w->shape, NULL, 0))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "not a product of packed weights");
    LAC_TRY(lac_packed_validate(packed, err));
    LAC_TRY(lac_packed_numbers_make(&w->numbers, w->shape.n, integer, err));
    w->value_size = integer ? sizeof(int16_t) : sizeof(float);
    w->first = lac_alloc((size_t)w->shape.n + 1, sizeof *w->first, err);
    if (!w->first)
        return LAC_ERROR_MEMORY;
    LAC_TRY(lac_nm_each(packed, nm_count, w, err));
    for (int64_t n = 0; n < w->shape.n; n++)
        w->first[n + 1] += w->first[n];
    w->position = lac_alloc((size_t)w->first[w->shape.n], sizeof *w->position, err);
    w->value = lac_alloc((size_t)w->first[w->shape.n], w->value_size, err);
    if (!w->position || !w->value)
        return LAC_ERROR_MEMORY;
    return lac_nm_each(packed, nm_fill, w, err);
}

static lac_status nm_prepare(const lac_layer *layer, void **state, lac_error *err)
{
    nm_state *w = lac_alloc(1, sizeof *w, err);
    if (!w)
        return LAC_ERROR_MEMORY;
    lac_status status = nm_make(w, layer, err);
    if (status == LAC_OK)
        *state = w;
    else
        nm_release(w);
    return status;
}

static lac_status nm_run(const lac_layer *layer, void *state, lac_error *err)
{
    nm_state *w = state;
    const lac_tensor *x = &layer->operand[LAC_ROLE_ACTIVATIONS].tensor;
    (void)err;
    lac_epilogue_begin(&w->epilogue, layer, &w->numbers, &w->shape, 0);
    w->activations = x->data;
    int64_t grain = 1 + 32768 * w->shape.n / (1 + w->kept * w->shape.m); /* outputs */
    lac_parallel_for(w->shape.n, grain,
                     x->dtype == LAC_F32  ? nm_range_f32
                     : x->dtype == LAC_I8 ? nm_range_s8
                                          : nm_range_u8,
                     w);
    return LAC_OK;
}

static bool nm_can_run(const lac_layer *layer, char *why, size_t why_size)
{
    bool integer = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype != LAC_F32;
    return lac_packed_can_run(layer, LAC_BIT(LAC_I8) | (integer ? 0 : LAC_BIT(LAC_F32)), why,
                              why_size);
}

/* Measured by bench/packed.c. */
#define SECONDS_PER_KEPT 0.35e-9

static double nm_cost(const lac_layer *layer)
{
    lac_gemm_shape shape;
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    if (!packed || !lac_gemm_shape_of(layer, &shape, NULL, 0))
        return 1e30;
    double kept = (double)shape.n * (double)shape.k * (double)lac_params_int(&packed->params, "n") /
                  (double)lac_params_int(&packed->params, "m");
    double blocks = (double)((shape.m + ROWS - 1) / ROWS * ROWS);
    return lac_packed_seconds(SECONDS_PER_KEPT * kept * blocks, 8 * kept, &shape);
}

static size_t nm_bytes(const void *state)
{
    const nm_state *w = state;
    return (size_t)w->kept * (w->value_size + sizeof *w->position) +
           (size_t)(w->shape.n + 1) * sizeof *w->first;
}

LAC_PACKED_ROWS(nm_f32_ref, "nm", LAC_F32, 0, nm, "N:M float32, portable")
LAC_PACKED_ROWS(nm_s8_ref, "nm", LAC_I8, 0, nm, "N:M int8, portable")
LAC_PACKED_ROWS(nm_u8_ref, "nm", LAC_U8, 0, nm, "N:M uint8, portable")
