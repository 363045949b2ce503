/* See nm_gemm.h. */
#include "cpu/nm_gemm.h"

#include "core/clones.h"
#include "core/memory.h"
#include "core/parallel.h"

#include <stdio.h>
#include <string.h>

static bool refuse(char *why, size_t size, const char *reason)
{
    if (size)
        snprintf(why, size, "%s", reason);
    return false;
}

/* The convolution (or product as such) and its shape as a product. */
static bool shape_of(const lac_layer *layer, lac_conv_geometry *g, lac_gemm_shape *shape, char *why,
                     size_t size)
{
    if (!layer->kind || strcmp(layer->kind->row.name, "conv") != 0) {
        if (!lac_gemm_shape_of(layer, shape, why, size))
            return false;
        *g = (lac_conv_geometry){.batch = 1,
                                 .c = shape->k,
                                 .h = 1,
                                 .w = shape->m,
                                 .k = shape->n,
                                 .r = 1,
                                 .s = 1,
                                 .groups = 1,
                                 .stride_h = 1,
                                 .stride_w = 1,
                                 .dilation_h = 1,
                                 .dilation_w = 1,
                                 .p = 1,
                                 .q = shape->m};
        return true;
    }
    if (!lac_conv_geometry_of(layer, g))
        return refuse(why, size, "not a convolution");
    if (g->groups != 1)
        return refuse(why, size, "convolution in groups");
    if (!layer->channels_last && (g->h * g->w != 1 || g->p * g->q != 1))
        return refuse(why, size, "channels are not last");
    if (g->pad_top < 0 || g->pad_left < 0 || g->pad_bottom < 0 || g->pad_right < 0)
        return refuse(why, size, "padding is negative");
    *shape = (lac_gemm_shape){g->batch * g->p * g->q, g->k, g->c * g->r * g->s};
    if (g->p < 1 || g->q < 1 || g->batch < 1 || shape->n < 1 || shape->k < 1)
        return refuse(why, size, "a size is not known");
    return true;
}

bool lac_nm_can_run(const lac_layer *layer, char *why, size_t why_size)
{
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    bool integer = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype != LAC_F32;
    lac_conv_geometry g;
    lac_gemm_shape shape;
    lac_nm_cut cut = {0};
    lac_error err = {0};
    if (!packed)
        return refuse(why, why_size, "weights are not packed");
    if (!shape_of(layer, &g, &shape, why, why_size) ||
        !lac_packed_fits(layer, &shape, LAC_BIT(LAC_I8) | (integer ? 0 : LAC_BIT(LAC_F32)), why,
                         why_size))
        return false;
    if (lac_nm_cut_of(packed, &cut, &err) != LAC_OK)
        return refuse(why, why_size, err.message);
    return true;
}

void lac_nm_release(void *state)
{
    lac_nm_state *w = state;
    if (!w)
        return;
    lac_packed_numbers_release(&w->numbers);
    lac_free(w);
}

size_t lac_nm_bytes(const void *state)
{
    (void)state;
    return sizeof(lac_nm_state);
}

/* Sums of the weights of each output. */
LAC_CLONES static void sum_weights(const lac_nm_cut *cut, const uint8_t *values, int64_t n,
                                   int32_t *sum)
{
    for (int64_t panel = 0; panel < cut->panels; panel++) {
        int32_t total[LAC_NM_SLOTS] = {0};
        for (int64_t i = 0; i < cut->panel_values / LAC_NM_SLOTS; i++, values += LAC_NM_SLOTS)
            if (cut->value_bits == 8)
                for (int e = 0; e < LAC_NM_SLOTS; e++)
                    total[e] += (int8_t)values[e];
            else
                for (int e = 0; e < LAC_NM_SLOTS; e++)
                    total[e] += ((values[e] & 15) ^ 8) - 8 + ((int8_t)values[e] >> 4);
        for (int e = 0; e < LAC_NM_SLOTS; e++)
            if (panel * LAC_NM_COLUMNS + e / 4 < n)
                sum[panel * LAC_NM_COLUMNS + e / 4] += total[e];
    }
}

/* Windows that a load covers. */
static int64_t group_of(const lac_nm_state *w)
{
    int64_t group = w->spread ? 1 : w->plan->reach / w->cut.window;
    return group > 1 ? group : 1;
}

static void make_tables(lac_nm_state *w)
{
    const lac_nm_cut *cut = &w->cut;
    int64_t group = group_of(w);
    w->plain = (cut->m & (cut->m - 1)) == 0;
    w->twos = w->plain && cut->value_bits == 8;
    for (int slot = 0; slot < cut->slots; slot++) {
        int base = lac_nm_base(cut, slot);
        w->slot_base[slot] = base = base < 0 ? 0 : base;
        for (int i = 0; i < group; i++)
            for (int column = 0; column < LAC_NM_COLUMNS; column++)
                w->base[i * cut->steps + slot / 4][column * 4 + slot % 4] =
                    (uint8_t)(i * cut->window + base);
    }
}

/* Most bytes of copied rows that stand on the stack of a thread; and of the fields of a range. */
enum { ROOM = 48 << 10, RANGE = 384 << 10 };

static lac_status fill(lac_nm_state *w, const lac_layer *layer, lac_error *err)
{
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    const lac_nm_plan *plan = w->plan;
    bool integer = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype != LAC_F32;
    lac_conv_geometry *g = &w->conv;
    lac_nm_cut *cut = &w->cut;
    if (!shape_of(layer, g, &w->shape, NULL, 0))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "not a product of packed weights");
    LAC_TRY(lac_packed_validate(packed, err));
    LAC_TRY(lac_nm_cut_of(packed, cut, err));
    LAC_TRY(lac_packed_numbers_make(&w->numbers, w->shape.n, integer, err));
    w->values = packed->field[LAC_NM_VALUES].data;
    w->index = packed->field[LAC_NM_INDEX].data;
    if (integer)
        sum_weights(cut, w->values, w->shape.n, w->numbers.sum);
    w->element = integer ? 1 : sizeof(float);

    w->spread = cut->window <= plan->spread;
    w->rows = w->spread ? plan->spread_rows : plan->rows;
    int64_t parts = (cut->window + 15) / 16, group = group_of(w), flat, count;
    int64_t loads = (cut->windows + group - 1) / group;
    int64_t reach = parts == 3 ? 64 : parts * 16;
    if (!w->spread && reach < plan->reach)
        reach = plan->reach;
    flat = (loads - 1) * group * cut->window + reach;
    LAC_TRY(lac_shape_count(2, (int64_t[]){loads * 64 + flat + 128, 8 * w->rows}, &count, err));
    w->load_steps = group * cut->steps;
    w->load_bytes = w->spread ? 64 : group * cut->window * (int64_t)w->element;
    w->flat_bytes = (flat * (int64_t)w->element + 63) / 64 * 64;
    w->row_bytes = w->spread ? loads * 64 : w->flat_bytes;
    w->contiguous = g->r * g->s == 1 && g->stride_h == 1 && g->stride_w == 1 &&
                    g->pad_top + g->pad_left + g->pad_bottom + g->pad_right == 0;
    w->in_place = w->contiguous && !w->spread && flat <= w->shape.k &&
                  layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype != LAC_I8;
    w->range = RANGE / (cut->panel_values + cut->panel_index + 1);
    w->range = w->range < 1 ? 1 : w->range > cut->panels ? cut->panels : w->range;
    make_tables(w);
    return LAC_OK;
}

lac_status lac_nm_prepare(const lac_layer *layer, const lac_nm_plan *plan, void **state,
                          lac_error *err)
{
    lac_nm_state *w = lac_alloc(1, sizeof *w, err);
    if (!w)
        return LAC_ERROR_MEMORY;
    w->plan = plan;
    lac_status status = fill(w, layer, err);
    if (status == LAC_OK)
        *state = w;
    else
        lac_nm_release(w);
    return status;
}

LAC_CLONES static void shift(uint8_t *to, const uint8_t *from, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = from[i] ^ 128;
}

static void copy_run(const lac_nm_state *w, uint8_t *to, const uint8_t *from, int64_t count)
{
    if (w->is_signed)
        shift(to, from, count);
    else
        memcpy(to, from, (size_t)count * w->element);
}

/* The K activations of a row, and zeros behind. */
static void copy_flat(const lac_nm_state *w, int64_t row, uint8_t *to)
{
    const lac_conv_geometry *g = &w->conv;
    int64_t size = (int64_t)w->element, k = w->shape.k * size, pixel = g->c * size;
    memset(to + k, 0, (size_t)(w->flat_bytes > k ? w->flat_bytes - k : 0));
    if (w->contiguous) {
        copy_run(w, to, w->source + row * k, w->shape.k);
        return;
    }
    int64_t q = row % g->q, p = row / g->q % g->p, image = row / g->q / g->p;
    for (int64_t r = 0; r < g->r; r++)
        for (int64_t s = 0; s < g->s; s++, to += pixel) {
            int64_t y = p * g->stride_h + r * g->dilation_h - g->pad_top;
            int64_t x = q * g->stride_w + s * g->dilation_w - g->pad_left;
            if (y < 0 || y >= g->h || x < 0 || x >= g->w)
                memset(to, w->pad, (size_t)pixel); /* floats: 0 */
            else
                copy_run(w, to, w->source + ((image * g->h + y) * g->w + x) * pixel, g->c);
        }
}

/* 16 bytes of each window, 4 times. */
LAC_CLONES static void spread(const lac_nm_state *w, const uint8_t *flat, uint8_t *to)
{
    for (int64_t window = 0; window < w->cut.windows; window++, flat += w->cut.window)
        for (int i = 0; i < 4; i++, to += 16)
            memcpy(to, flat, 16);
}

static void copy_rows(const lac_nm_state *w, lac_nm_rows *rows, uint8_t *to)
{
    uint8_t *flat = to + rows->rows * w->row_bytes;
    rows->x = to;
    rows->stride = w->row_bytes;
    for (int i = 0; i < rows->rows; i++, to += w->row_bytes) {
        copy_flat(w, rows->row + i, w->spread ? flat : to);
        if (w->spread)
            spread(w, flat, to);
    }
}

/* Items are panels of blocks of tokens of ranges of panels. */
static void multiply(void *context, int64_t begin, int64_t end)
{
    lac_nm_state *w = context;
    int64_t blocks = (w->shape.m + w->rows - 1) / w->rows;
    int64_t most = w->shape.m < w->rows ? w->shape.m : w->rows;
    int64_t room = w->in_place ? 0 : most * w->row_bytes + w->flat_bytes;
    _Alignas(64) uint8_t near[ROOM];
    uint8_t *copy = room <= ROOM ? near : lac_alloc_raw((size_t)room, 1, NULL);
    if (!copy) {
        __atomic_store_n(&w->failed, true, __ATOMIC_RELAXED);
        return;
    }
    for (int64_t item = begin, next; item < end; item = next) {
        int64_t range = item / (blocks * w->range), first = range * w->range;
        int64_t width = w->cut.panels - first < w->range ? w->cut.panels - first : w->range;
        int64_t block = (item - first * blocks) / width, panel = (item - first * blocks) % width;
        int64_t row = block * w->rows, left = w->shape.m - row;
        next = item - panel + width < end ? item - panel + width : end;
        lac_nm_rows rows = {w->source + row * w->shape.k * (int64_t)w->element,
                            w->shape.k * (int64_t)w->element, row,
                            (int)(left < w->rows ? left : w->rows)};
        if (!w->in_place)
            copy_rows(w, &rows, copy);
        w->plan->block(w, &rows, first + panel, first + panel + (next - item));
    }
    if (copy != near)
        lac_free(copy);
}

lac_status lac_nm_run(const lac_layer *layer, void *state, lac_error *err)
{
    lac_nm_state *w = state;
    const lac_tensor *x = &layer->operand[LAC_ROLE_ACTIVATIONS].tensor;
    int zero = layer->operand[LAC_ROLE_ACTIVATIONS].zero_point & 255;
    w->source = x->data;
    w->is_signed = x->dtype == LAC_I8;
    w->pad = w->element == 1 ? zero ^ (w->is_signed ? 128 : 0) : 0;
    w->failed = false;
    lac_epilogue_begin(&w->epilogue, layer, &w->numbers, &w->shape, w->is_signed ? 128 : 0);
    int64_t blocks = (w->shape.m + w->rows - 1) / w->rows;
    int64_t rows = w->shape.m < w->rows ? w->shape.m : w->rows;
    int64_t work = 1 + w->cut.panel_steps * rows; /* steps of an item */
    lac_parallel_for(blocks * w->cut.panels, 1 + 8192 / work, multiply, w);
    return w->failed ? lac_fail(err, LAC_ERROR_MEMORY, "no memory for %lld activations of a block",
                                (long long)(rows * w->shape.k))
                     : LAC_OK;
}

/* Measured on one core of an AMD EPYC (family 25, model 17), as the steps: reading weights from the
 * last-level cache, finishing an output, copying an activation. */
#define SECONDS_PER_BYTE       (1 / 80e9)
#define SECONDS_PER_OUTPUT     0.1e-9
#define SECONDS_PER_ACTIVATION 0.1e-9
#define SECONDS_PER_CALL       1e-6

double lac_nm_cost(const lac_layer *layer, double step)
{
    lac_conv_geometry g;
    lac_gemm_shape shape;
    lac_nm_cut cut = {0};
    lac_error err = {0};
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    if (!packed || !shape_of(layer, &g, &shape, NULL, 0) ||
        lac_nm_cut_of(packed, &cut, &err) != LAC_OK)
        return 1e30;
    double m = (double)shape.m, seconds = step * (double)(cut.panels * cut.panel_steps) * m;
    double bytes = (double)(cut.panels * (cut.panel_values + cut.panel_index));
    double reading = bytes * SECONDS_PER_BYTE;
    return SECONDS_PER_CALL + (seconds > reading ? seconds : reading) +
           SECONDS_PER_OUTPUT * m * (double)shape.n + SECONDS_PER_ACTIVATION * m * (double)shape.k;
}
