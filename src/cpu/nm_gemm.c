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
    if (g.r * g.s > 1 && g.c % cut.window != 0) {
        if (why_size)
            snprintf(why, why_size,
                     "%lld channels are no multiple of the %d columns of a window of %d:%d",
                     (long long)g.c, cut.window, cut.n, cut.m);
        return false;
    }
    return true;
}

void lac_nm_release(void *state)
{
    lac_nm_state *w = state;
    if (!w)
        return;
    lac_packed_numbers_release(&w->numbers);
    lac_free(w->row_at);
    lac_free(w->turn);
    lac_free(w->copy);
    lac_free(w);
}

size_t lac_nm_bytes(const void *state)
{
    const lac_nm_state *w = state;
    return sizeof *w + (size_t)w->shape.m * sizeof(int64_t) +
           (size_t)w->cut.panel_steps * sizeof *w->turn +
           (w->copy ? (size_t)(w->pixels * w->pixel) * w->element : 0);
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
    int64_t group = w->plan->group / w->cut.window;
    return group > 1 ? group : 1;
}

static void make_tables(lac_nm_state *w)
{
    const lac_nm_cut *cut = &w->cut;
    const lac_conv_geometry *g = &w->conv;
    int64_t group = group_of(w);
    w->plain = (cut->m & (cut->m - 1)) == 0 && cut->value_bits == 8;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 32; j++) { /* of 16 bits; for floats of 32, low half first */
            w->shift[i][j] = (uint16_t)(cut->depth == 4 || j % 2 == 0 ? i * cut->place_bits : 0);
            w->nibble[i & 1][j] = (uint16_t)(4 * (i & 1));
        }
    for (int slot = 0; slot < cut->slots; slot++) {
        int base = lac_nm_base(cut, slot);
        base = base < 0 ? 0 : base;
        w->slot_sub[slot] = base / cut->sub * cut->sub;
        w->slot_group[slot] = base % cut->sub;
        for (int i = 0; cut->depth == 4 && i < group; i++)
            for (int column = 0; column < LAC_NM_COLUMNS; column++)
                w->base[i * cut->steps + slot / 4][column * 4 + slot % 4] =
                    (uint8_t)(i * cut->window + base);
        for (int column = 0; cut->depth == 1 && column < LAC_NM_COLUMNS; column++)
            w->base[slot / cut->n][column * 4] = (uint8_t)base; /* as uint32, low byte first */
    }
    for (int64_t row = 0; row < w->shape.m; row++) {
        int64_t q = row % g->q, p = row / g->q % g->p, batch = row / g->q / g->p;
        w->row_at[row] =
            (batch * w->image + p * g->stride_h * w->line + q * g->stride_w * w->pixel) *
            (int64_t)w->element;
    }
    int64_t each = (g->c + cut->window - 1) / cut->window; /* windows of a place (r, s) */
    for (int64_t t = 0; t < cut->panel_steps; t++) {
        int64_t place = t / cut->steps / each, window = t / cut->steps % each;
        int64_t r = place / g->s, s = place % g->s, per = 8 / cut->place_bits;
        int slot = (int)(t % cut->steps) * cut->depth;
        w->turn[t] = (lac_nm_turn){
            .at = (r * g->dilation_h * w->line + s * g->dilation_w * w->pixel +
                   window / group * group * cut->window) *
                  (int64_t)w->element,
            .index = (int32_t)(t / per * cut->unit),
            .shift = (uint8_t)(t % per),
            .nibble = t % 2,
            .base = (uint8_t)(cut->depth == 4 ? window % group * cut->steps + t % cut->steps
                                              : slot / cut->n),
            .slot = (uint8_t)slot};
    }
}

static lac_status fill(lac_nm_state *w, const lac_layer *layer, lac_error *err)
{
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    const lac_nm_plan *plan = w->plan;
    lac_dtype dtype = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype;
    bool integer = dtype != LAC_F32;
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

    /* Read in place only when no load reaches behind the channels, or straddles lines. */
    bool padded = g->pad_top + g->pad_left + g->pad_bottom + g->pad_right > 0;
    int64_t each = (g->c + cut->window - 1) / cut->window, group = group_of(w), count;
    int64_t reach = (each - 1) / group * group * cut->window, wide = each * cut->window;
    reach += plan->reach ? plan->reach : (cut->subs - 1) * cut->sub + (cut->sub + 15) / 16 * 16;
    int64_t unit = plan->align ? plan->align / (int64_t)w->element : 1;
    reach = reach > wide ? reach : wide;
    bool copied = dtype == LAC_I8 || padded || reach > g->c || g->c % unit;
    int64_t height = g->h + g->pad_top + g->pad_bottom, width = g->w + g->pad_left + g->pad_right;
    w->pixel = copied ? (reach + unit - 1) / unit * unit : g->c;
    LAC_TRY(lac_shape_count(4, (int64_t[]){g->batch, height, width, w->pixel * 4}, &count, err));
    w->line = width * w->pixel;
    w->image = height * w->line;
    w->pixels = g->batch * height * width;
    if (copied) {
        w->copy = lac_alloc((size_t)(w->pixels * w->pixel + 4 * LAC_NM_WINDOW), w->element, err);
        if (!w->copy)
            return LAC_ERROR_MEMORY;
    }
    w->row_at = lac_alloc((size_t)w->shape.m, sizeof *w->row_at, err);
    w->turn = lac_alloc((size_t)cut->panel_steps, sizeof *w->turn, err);
    if (!w->row_at || !w->turn)
        return LAC_ERROR_MEMORY;
    make_tables(w);
    int64_t cached = (13 << 10) / (int64_t)((size_t)w->shape.k * w->element), rows = plan->rows;
    w->chunk = cached < rows ? rows : cached / rows * rows;
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

static void copy_pixel(const lac_nm_state *w, uint8_t *to, const uint8_t *from)
{
    if (w->is_signed)
        shift(to, from, w->conv.c);
    else
        memcpy(to, from, (size_t)w->conv.c * w->element);
}

/* Items are lines of the padded input; of a product, which has one line, pixels. */
static void copy_lines(void *context, int64_t begin, int64_t end)
{
    const lac_nm_state *w = context;
    const lac_conv_geometry *g = &w->conv;
    size_t size = w->element, pixel = (size_t)g->c * size;
    int64_t height = g->h + g->pad_top + g->pad_bottom, width = g->w + g->pad_left + g->pad_right;
    for (int64_t line = begin; line < end; line++) {
        uint8_t *to = w->copy + (size_t)(line * w->line) * size;
        int64_t y = line % height - g->pad_top;
        const uint8_t *from = w->source + (size_t)((line / height * g->h + y) * g->w) * pixel;
        for (int64_t i = 0; i < width; i++, to += (size_t)w->pixel * size) {
            int64_t x = i - g->pad_left;
            if (y < 0 || y >= g->h || x < 0 || x >= g->w)
                memset(to, w->pad, (size_t)w->pixel * size); /* floats: 0 */
            else
                copy_pixel(w, to, from + (size_t)x * pixel);
        }
    }
}

static void copy_rows(void *context, int64_t begin, int64_t end)
{
    const lac_nm_state *w = context;
    for (int64_t i = begin; i < end; i++)
        copy_pixel(w, w->copy + (size_t)(i * w->pixel) * w->element,
                   w->source + (size_t)(i * w->conv.c) * w->element);
}

/* Items are chunks of rows times panels, so that a chunk stays in the cache. */
static void panel_range(void *context, int64_t begin, int64_t end)
{
    const lac_nm_state *w = context;
    for (int64_t item = begin; item < end; item++) {
        int64_t row = item / w->cut.panels * w->chunk;
        int64_t last = w->shape.m - row < w->chunk ? w->shape.m : row + w->chunk;
        w->plan->panel(w, item % w->cut.panels, row, last);
    }
}

lac_status lac_nm_run(const lac_layer *layer, void *state, lac_error *err)
{
    lac_nm_state *w = state;
    const lac_tensor *x = &layer->operand[LAC_ROLE_ACTIVATIONS].tensor;
    (void)err;
    w->source = x->data;
    w->is_signed = x->dtype == LAC_I8;
    w->pad = w->element == 1 ? (layer->operand[LAC_ROLE_ACTIVATIONS].zero_point & 255) ^
                                   (w->is_signed ? 128 : 0)
                             : 0;
    lac_epilogue_begin(&w->epilogue, layer, &w->numbers, &w->shape, w->is_signed ? 128 : 0);
    if (w->copy && w->pixels == w->conv.batch * w->conv.h * w->conv.w)
        lac_parallel_for(w->pixels, 1 + 65536 / w->pixel, copy_rows, w);
    else if (w->copy)
        lac_parallel_for(w->pixels * w->pixel / w->line, 1 + 65536 / w->line, copy_lines, w);
    w->x = w->copy ? w->copy : x->data;
    int64_t items = (w->shape.m + w->chunk - 1) / w->chunk * w->cut.panels;
    int64_t rows = w->shape.m < w->chunk ? w->shape.m : w->chunk;
    int64_t work = 1 + w->cut.windows * w->cut.steps * rows; /* steps of an item */
    lac_parallel_for(items, 1 + 8192 / work, panel_range, w);
    return LAC_OK;
}

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
    return lac_packed_seconds(step * (double)(cut.panels * cut.panel_steps) * (double)shape.m,
                              (double)(cut.panels * (cut.panel_values + cut.panel_index)), &shape);
}
