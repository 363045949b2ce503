/* See lowbit.h. */
#include "cpu/lowbit.h"

#include "core/memory.h"
#include "core/parallel.h"

#include <stdio.h>
#include <string.h>

enum { TILE_MOST = 512, COLUMNS = LAC_INTQ_BLOCK };

static bool is_bcq(const lac_packed *packed)
{
    return strcmp(packed->format->row.name, "bcq") == 0;
}

bool lac_lowbit_can_run(const lac_layer *layer, char *why, size_t why_size)
{
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    lac_bcq q;
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
    if (!is_bcq(packed))
        return true;
    if (lac_bcq_of(packed, &q, NULL) != LAC_OK)
        return false;
    if (q.group % COLUMNS && q.groups > 1) {
        if (why_size)
            snprintf(why, why_size, "groups of %d columns, only multiples of %d", q.group, COLUMNS);
        return false;
    }
    return true;
}

void lac_lowbit_release(void *state)
{
    lac_lowbit *w = state;
    if (!w)
        return;
    lac_packed_numbers_release(&w->numbers);
    lac_free(w->x);
    lac_free(w->base);
    lac_free(w->sum);
    lac_free(w->table);
    lac_free(w);
}

/* Bytes of x, base, sum, table. */
static void lengths(const lac_lowbit *w, size_t bytes[4])
{
    bool looked_up = w->bcq.planes > 0;
    int64_t tokens = w->shape.m < LAC_BCQ_TOKENS ? w->shape.m : LAC_BCQ_TOKENS;
    size_t sums = (size_t)(w->shape.m * w->groups) * sizeof(float);
    bytes[0] = (size_t)(w->shape.m * w->stride) * (w->floats ? sizeof(float) : 1);
    bytes[1] = w->floats ? 0 : sums;
    bytes[2] = w->floats && looked_up ? sums : 0;
    bytes[3] = looked_up ? (size_t)(tokens * (w->padded / COLUMNS)) * LAC_BCQ_TABLES : 0;
}

static lac_status fill(lac_lowbit *w, const lac_layer *layer, lac_error *err)
{
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    int64_t count;
    size_t bytes[4];
    if (!lac_gemm_shape_of(layer, &w->shape, NULL, 0))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "not a product of packed weights");
    LAC_TRY(lac_packed_validate(packed, err));
    if (is_bcq(packed)) {
        LAC_TRY(lac_bcq_of(packed, &w->bcq, err));
        w->group = w->bcq.group;
        w->groups = w->bcq.groups;
    } else {
        LAC_TRY(lac_intq_of(packed, &w->intq, err));
        w->group = w->intq.group;
        w->groups = w->intq.groups;
    }
    LAC_TRY(lac_packed_numbers_make(&w->numbers, w->shape.n, false, err));
    w->floats = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype == LAC_F32;
    w->padded = (w->shape.k + COLUMNS - 1) / COLUMNS * COLUMNS;
    w->stride = (w->padded + TILE_MOST - 1) / TILE_MOST * TILE_MOST + 64;
    LAC_TRY(lac_shape_count(3, (int64_t[]){w->shape.m, w->stride, LAC_BCQ_TABLES / COLUMNS}, &count,
                            err));
    lengths(w, bytes);
    if (!(w->x = lac_alloc(bytes[0], 1, err)) ||
        (bytes[1] && !(w->base = lac_alloc(bytes[1], 1, err))) ||
        (bytes[2] && !(w->sum = lac_alloc(bytes[2], 1, err))) ||
        (bytes[3] && !(w->table = lac_alloc(bytes[3], 1, err))))
        return LAC_ERROR_MEMORY;
    return LAC_OK;
}

lac_status lac_lowbit_prepare(const lac_layer *layer, void **state, lac_error *err)
{
    lac_lowbit *w = lac_alloc(1, sizeof *w, err);
    if (!w)
        return LAC_ERROR_MEMORY;
    lac_status status = fill(w, layer, err);
    if (status == LAC_OK)
        *state = w;
    else
        lac_lowbit_release(w);
    return status;
}

size_t lac_lowbit_bytes(const void *state)
{
    const lac_lowbit *w = state;
    size_t bytes[4];
    lengths(w, bytes);
    return sizeof *w + bytes[0] + bytes[1] + bytes[2] + bytes[3] +
           (size_t)w->shape.n * sizeof(float);
}

/* ---- activations ------------------------------------------------------------------------------
 */

typedef struct copying {
    const lac_lowbit *w;
    const uint8_t *from;
    uint8_t flip;
    bool sums;
    int64_t tile;
} copying;

static void sum_bytes(const lac_lowbit *w, int64_t row, const int8_t *x)
{
    bool looked_up = w->bcq.planes > 0;
    int64_t columns = looked_up ? w->shape.k : w->padded;
    int32_t factor = looked_up ? 1 : w->intq.asymmetric ? -1 : -w->intq.middle;
    for (int64_t g = 0; g < w->groups; g++) {
        int64_t at = g * w->group, last = columns - at < w->group ? columns : at + w->group;
        int32_t sum = 0;
        for (int64_t k = at; k < last; k++)
            sum += x[k];
        w->base[row * w->groups + g] = factor * (sum - (int32_t)(last - at) * w->zero);
    }
}

static void sum_floats(const lac_lowbit *w, int64_t row, const float *x)
{
    for (int64_t g = 0; g < w->groups; g++) {
        int64_t k = g * w->group, last = w->shape.k - k < w->group ? w->shape.k : k + w->group;
        float sum = 0;
        for (; k < last; k++)
            sum += x[k];
        w->sum[row * w->groups + g] = sum;
    }
}

static void copy_bytes(void *context, int64_t begin, int64_t end)
{
    const copying *c = context;
    const lac_lowbit *w = c->w;
    int64_t n_k = w->shape.k;
    for (int64_t row = begin; row < end; row++) {
        const uint8_t *from = c->from + row * n_k;
        for (int64_t k = 0; k < n_k; k += c->tile) {
            uint8_t *to = (uint8_t *)w->x + k * w->shape.m + row * c->tile;
            int64_t count = n_k - k < c->tile ? n_k - k : c->tile;
            for (int64_t i = 0; i < count; i++)
                to[i] = from[k + i] ^ c->flip;
        }
        if (c->sums)
            sum_bytes(w, row, (const int8_t *)w->x + row * c->tile);
    }
}

static void copy_floats(void *context, int64_t begin, int64_t end)
{
    const copying *c = context;
    const lac_lowbit *w = c->w;
    int64_t n_k = w->shape.k;
    for (int64_t row = begin; row < end; row++) {
        for (int64_t k = 0; k < n_k; k += c->tile)
            memcpy((float *)w->x + k * w->shape.m + row * c->tile,
                   (const float *)(const void *)c->from + row * n_k + k,
                   (size_t)(n_k - k < c->tile ? n_k - k : c->tile) * sizeof(float));
        if (w->sum)
            sum_floats(w, row, (const float *)w->x + row * c->tile);
    }
}

void lac_lowbit_begin(lac_lowbit *w, const lac_layer *layer, bool as_signed, int64_t tile)
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

/* ---- loops ------------------------------------------------------------------------------------
 */

typedef struct products {
    const lac_lowbit *w;
    int64_t strip, strips, row, end, tokens;
    lac_lowbit_part *part;
} products;

/* Items are chunks of tokens times strips of outputs. */
static void range(void *context, int64_t begin, int64_t end)
{
    const products *p = context;
    while (begin < end) {
        int64_t strip = begin % p->strips, row = p->row + begin / p->strips * p->tokens;
        int64_t last = strip + end - begin < p->strips ? strip + end - begin : p->strips;
        int64_t n = last * p->strip < p->w->shape.n ? last * p->strip : p->w->shape.n;
        p->part(p->w, strip * p->strip, n, row,
                p->end - row < p->tokens ? p->end : row + p->tokens);
        begin += last - strip;
    }
}

void lac_lowbit_products(const lac_lowbit *w, int64_t strip, int64_t row, int64_t end,
                         int64_t tokens, lac_lowbit_part *part)
{
    enum { GRAIN = 65536 }; /* products worth a thread */
    products p = {w, strip, (w->shape.n + strip - 1) / strip, row, end, tokens, part};
    int64_t chunks = (end - row + tokens - 1) / tokens;
    int64_t each = end - row < tokens ? end - row : tokens;
    lac_parallel_for(p.strips * chunks, 1 + GRAIN / (strip * w->padded * each), range, &p);
}
