/* See bcq.h. */
#include "cpu/bcq.h"

#include "cpu/intq.h"

#include "core/memory.h"
#include "core/parallel.h"

#include <stdio.h>
#include <string.h>

bool lac_bcq_can_run(const lac_layer *layer, char *why, size_t why_size)
{
    lac_bcq q;
    if (!lac_intq_can_run(layer, why, why_size)) /* the same limits */
        return false;
    if (lac_bcq_of(layer->operand[LAC_ROLE_WEIGHTS].packed, &q, NULL) != LAC_OK)
        return false;
    if (q.group % 32 && q.groups > 1) {
        if (why_size)
            snprintf(why, why_size, "groups of %d columns, only multiples of 32", q.group);
        return false;
    }
    return true;
}

void lac_bcq_release(void *state)
{
    bcq_state *w = state;
    if (!w)
        return;
    lac_packed_numbers_release(&w->numbers);
    lac_free(w->x);
    lac_free(w->sum);
    lac_free(w->tables);
    lac_free(w);
}

static lac_status fill(bcq_state *w, const lac_layer *layer, lac_error *err)
{
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    int64_t count;
    if (!lac_gemm_shape_of(layer, &w->shape, NULL, 0))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "not a product of packed weights");
    LAC_TRY(lac_packed_validate(packed, err));
    LAC_TRY(lac_bcq_of(packed, &w->q, err));
    LAC_TRY(lac_packed_numbers_make(&w->numbers, w->shape.n, false, err));
    w->floats = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype == LAC_F32;
    w->padded = w->q.words * 32;
    LAC_TRY(lac_shape_count(2, (int64_t[]){w->shape.m, w->padded}, &count, err));
    w->x = lac_alloc((size_t)count, w->floats ? sizeof(float) : sizeof(int16_t), err);
    w->sum = lac_alloc((size_t)(w->shape.m * w->q.groups), sizeof *w->sum, err);
    w->tables = lac_alloc((size_t)w->q.words * 8, 64, err);
    return w->x && w->sum && w->tables ? LAC_OK : LAC_ERROR_MEMORY;
}

lac_status lac_bcq_prepare(const lac_layer *layer, void **state, lac_error *err)
{
    bcq_state *w = lac_alloc(1, sizeof *w, err);
    if (!w)
        return LAC_ERROR_MEMORY;
    lac_status status = fill(w, layer, err);
    if (status == LAC_OK)
        *state = w;
    else
        lac_bcq_release(w);
    return status;
}

size_t lac_bcq_bytes(const void *state)
{
    const bcq_state *w = state;
    return sizeof *w + (size_t)(w->shape.m * w->padded) * (w->floats ? 4 : 2) +
           (size_t)(w->shape.m * w->q.groups) * sizeof *w->sum + (size_t)w->q.words * 512 +
           (size_t)w->shape.n * sizeof(float);
}

typedef struct copying {
    bcq_state *w;
    const lac_operand *x;
} copying;

static void copy(void *context, int64_t begin, int64_t end)
{
    const copying *c = context;
    bcq_state *w = c->w;
    int64_t n_k = w->shape.k;
    for (int64_t row = begin; row < end; row++) {
        const char *from = (const char *)c->x->tensor.data;
        float *floats = (float *)w->x + row * w->padded;
        int16_t *integers = (int16_t *)w->x + row * w->padded;
        for (int64_t k = 0; k < n_k; k++)
            if (w->floats)
                floats[k] = ((const float *)(const void *)from)[row * n_k + k];
            else if (c->x->tensor.dtype == LAC_U8)
                integers[k] = (int16_t)(((const uint8_t *)from)[row * n_k + k] - c->x->zero_point);
            else
                integers[k] = (int16_t)(((const int8_t *)from)[row * n_k + k] - c->x->zero_point);
        for (int64_t g = 0; g < w->q.groups; g++) {
            int64_t k = g * w->q.group, last = n_k - k < w->q.group ? n_k : k + w->q.group;
            float sum = 0;
            int32_t exact = 0;
            for (; k < last; k++)
                if (w->floats)
                    sum += floats[k];
                else
                    exact += integers[k];
            w->sum[row * w->q.groups + g] = w->floats ? sum : (float)exact;
        }
    }
}

void lac_bcq_begin(bcq_state *w, const lac_layer *layer)
{
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    copying c = {w, x};
    lac_parallel_for(w->shape.m, 1 + 65536 / w->padded, copy, &c);
    lac_epilogue_begin(&w->epilogue, layer, &w->numbers, &w->shape, 0);
    if (w->floats || !x->scale_count)
        return;
    for (int64_t n = 0; n < w->shape.n; n++)
        w->numbers.scale[n] = x->scale[0] * (w->epilogue.scale ? w->numbers.scale[n] : 1);
    w->epilogue.scale = w->numbers.scale;
}
