/* See intq.h. */
#include "cpu/intq.h"

#include "core/memory.h"
#include "core/parallel.h"

#include <stdio.h>
#include <string.h>

enum { TILE_MOST = 512 };

bool lac_intq_can_run(const lac_layer *layer, char *why, size_t why_size)
{
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    if (!lac_packed_can_run(layer, LAC_BIT(LAC_F32), why, why_size))
        return false;
    if (layer->output.dtype == LAC_I32) {
        if (why_size)
            snprintf(why, why_size, "output is int32, the weights have a step per group");
        return false;
    }
    int32_t low = x->tensor.dtype == LAC_I8 ? -128 : 0;
    if (x->tensor.dtype != LAC_F32 && (x->zero_point < low || x->zero_point > low + 255)) {
        if (why_size)
            snprintf(why, why_size, "zero point %d is not a value of the activations",
                     (int)x->zero_point);
        return false;
    }
    return true;
}

void lac_intq_release(void *state)
{
    intq_state *w = state;
    if (!w)
        return;
    lac_packed_numbers_release(&w->numbers);
    lac_free(w->x);
    lac_free(w->base);
    lac_free(w);
}

static lac_status fill(intq_state *w, const lac_layer *layer, lac_error *err)
{
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    int64_t count;
    if (!lac_gemm_shape_of(layer, &w->shape, NULL, 0))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "not a product of packed weights");
    LAC_TRY(lac_packed_validate(packed, err));
    LAC_TRY(lac_intq_of(packed, &w->q, err));
    LAC_TRY(lac_packed_numbers_make(&w->numbers, w->shape.n, false, err));
    w->floats = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype == LAC_F32;
    w->padded = w->q.blocks * LAC_INTQ_BLOCK;
    w->stride = (w->padded + TILE_MOST - 1) / TILE_MOST * TILE_MOST + 64;
    LAC_TRY(lac_shape_count(2, (int64_t[]){w->shape.m, w->stride}, &count, err));
    w->x = lac_alloc((size_t)count, w->floats ? sizeof(float) : 1, err);
    if (!w->x)
        return LAC_ERROR_MEMORY;
    if (w->floats)
        return LAC_OK;
    w->base = lac_alloc((size_t)(w->shape.m * w->q.groups), sizeof *w->base, err);
    return w->base ? LAC_OK : LAC_ERROR_MEMORY;
}

lac_status lac_intq_prepare(const lac_layer *layer, void **state, lac_error *err)
{
    intq_state *w = lac_alloc(1, sizeof *w, err);
    if (!w)
        return LAC_ERROR_MEMORY;
    lac_status status = fill(w, layer, err);
    if (status == LAC_OK)
        *state = w;
    else
        lac_intq_release(w);
    return status;
}

size_t lac_intq_bytes(const void *state)
{
    const intq_state *w = state;
    return sizeof *w + (size_t)(w->shape.m * w->stride) * (w->floats ? sizeof(float) : 1) +
           (w->base ? (size_t)(w->shape.m * w->q.groups) * sizeof *w->base : 0) +
           (size_t)w->shape.n * sizeof(float);
}

typedef struct copying {
    const intq_state *w;
    const uint8_t *from;
    uint8_t flip;
    bool sums;
    int64_t tile;
} copying;

static void copy_bytes(void *context, int64_t begin, int64_t end)
{
    const copying *c = context;
    const intq_state *w = c->w;
    int64_t n_k = w->shape.k, group = w->q.group;
    for (int64_t row = begin; row < end; row++) {
        const uint8_t *from = c->from + row * n_k;
        for (int64_t k = 0; k < n_k; k += c->tile) {
            uint8_t *to = (uint8_t *)w->x + k * w->shape.m + row * c->tile;
            int64_t count = n_k - k < c->tile ? n_k - k : c->tile;
            for (int64_t i = 0; i < count; i++)
                to[i] = from[k + i] ^ c->flip;
        }
        if (!c->sums)
            continue;
        const int8_t *x = (const int8_t *)w->x + row * c->tile;
        for (int64_t g = 0; g < w->q.groups; g++) {
            int64_t at = g * group, last = w->padded - at < group ? w->padded : at + group;
            int32_t sum = 0;
            for (int64_t k = at; k < last; k++)
                sum += x[k];
            w->base[row * w->q.groups + g] = sum - (int32_t)(last - at) * w->zero;
        }
    }
}

static void copy_floats(void *context, int64_t begin, int64_t end)
{
    const copying *c = context;
    const intq_state *w = c->w;
    int64_t n_k = w->shape.k;
    for (int64_t row = begin; row < end; row++)
        for (int64_t k = 0; k < n_k; k += c->tile)
            memcpy((float *)w->x + k * w->shape.m + row * c->tile,
                   (const float *)(const void *)c->from + row * n_k + k,
                   (size_t)(n_k - k < c->tile ? n_k - k : c->tile) * sizeof(float));
}

void lac_intq_begin(intq_state *w, const lac_layer *layer, bool as_signed, int64_t tile)
{
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    bool flip = !w->floats && (x->tensor.dtype == LAC_U8) == as_signed;
    copying c = {w, x->tensor.data, flip ? 0x80 : 0, as_signed, tile ? tile : w->stride};
    w->zero = w->floats ? 0 : x->zero_point + (flip ? (as_signed ? -128 : 128) : 0);
    lac_parallel_for(w->shape.m, 1 + 65536 / w->padded, w->floats ? copy_floats : copy_bytes, &c);
    lac_epilogue_begin(&w->epilogue, layer, &w->numbers, &w->shape, 0);
    if (w->floats || !x->scale_count)
        return;
    for (int64_t n = 0; n < w->shape.n; n++)
        w->numbers.scale[n] = x->scale[0] * (w->epilogue.scale ? w->numbers.scale[n] : 1);
    w->epilogue.scale = w->numbers.scale;
}
