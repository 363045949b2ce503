/* See conv_i8.h. */
#include "cpu/conv_i8.h"

#include "core/clones.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "cpu/quantise.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LINE = 64, WORD = 4 };

/* ---- which layers -----------------------------------------------------------------------------
 */

static bool refuse(char *why, size_t size, const char *reason)
{
    if (size)
        snprintf(why, size, "%s", reason);
    return false;
}

static bool is_plain(const lac_conv_geometry *g)
{
    return g->r == 1 && g->s == 1 && g->stride_h == 1 && g->stride_w == 1 && g->pad_top == 0 &&
           g->pad_left == 0 && g->pad_bottom == 0 && g->pad_right == 0;
}

bool lac_conv_i8_can_run(const lac_conv_i8_family *family, const lac_layer *layer, char *why,
                         size_t why_size)
{
    lac_conv_geometry g;
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    const lac_tensor *bias = &layer->operand[LAC_ROLE_BIAS].tensor;
    if (!lac_conv_geometry_of(layer, &g))
        return refuse(why, why_size, "not a product");
    bool conv = strcmp(layer->kind->row.name, "conv") == 0;
    if (!w->tensor.data || w->tensor.dtype != LAC_I8)
        return refuse(why, why_size, "weights are not constant int8");
    if (bias->dtype != LAC_NONE && !bias->data)
        return refuse(why, why_size, "bias is not constant");
    if (layer->input_layout != LAC_LAYOUT_ROWS || layer->output_layout != LAC_LAYOUT_ROWS)
        return refuse(why, why_size, "activations stand in another layout");
    if (g.batch < 1 || g.p < 1 || g.q < 1 || g.c < 1 || g.k < 1)
        return refuse(why, why_size, "a size is not known");
    if (conv && !layer->channels_last && (g.h * g.w != 1 || g.p * g.q != 1))
        return refuse(why, why_size, "channels are not last");
    if (family->depthwise && (g.groups == 1 || g.groups != g.c || g.groups != g.k))
        return refuse(why, why_size, "not depthwise");
    if (!family->depthwise && g.groups != 1)
        return refuse(why, why_size, "groups");
    lac_gemm_shape shape = {g.batch * g.p * g.q, g.k, g.c / g.groups * g.r * g.s};
    return lac_product_fits(layer, &shape, why, why_size);
}

/* Depthwise: two sets of quads, the second one column on, where a quad has room for that. */
static bool has_pairs(const lac_conv_geometry *g)
{
    return g->s <= 3 && g->stride_w == 1 && g->dilation_w == 1;
}

/* Measured on one core of an AMD EPYC (family 25, model 17): starting a layer, bringing a byte into
 * the buffer, a byte of weights from the second cache, an output that lac_epilogue finishes. */
#define SECONDS_PER_CALL   0.4e-6
#define SECONDS_PER_BYTE   0.01e-9
#define SECONDS_PER_WEIGHT 0.012e-9
#define SECONDS_PER_ANY    3e-9

double lac_conv_i8_cost(const lac_conv_i8_family *family, const lac_layer *layer)
{
    lac_conv_geometry g;
    if (!lac_conv_geometry_of(layer, &g))
        return 1e30;
    double outputs = (double)((g.k + family->lanes - 1) / family->lanes * family->lanes);
    double pixels = (double)(g.batch * g.p * g.q);
    double taps = family->depthwise ? (double)(g.r * ((g.s + 3) / 4 * 4) * (has_pairs(&g) ? 1 : 2))
                                    : (double)(g.r * ((g.s * g.c + 3) / 4 * 4));
    double weights = outputs * taps * SECONDS_PER_WEIGHT;
    double seconds = pixels * outputs * taps * family->mac;
    bool clip = layer->activation == LAC_ACT_NONE || layer->activation == LAC_ACT_CLIP;
    bool bytes = layer->output.dtype == LAC_U8 || layer->output.dtype == LAC_I8;
    if (!is_plain(&g))
        seconds += SECONDS_PER_BYTE * family->element * (double)(g.batch * g.h * g.w * g.c);
    if (clip && (bytes || (layer->output.dtype == LAC_F32 && !family->depthwise)))
        seconds += family->output * pixels * outputs;
    else
        seconds += SECONDS_PER_ANY * pixels * (double)g.k;
    return SECONDS_PER_CALL + (seconds > weights ? seconds : weights);
}

/* ---- preparation ------------------------------------------------------------------------------
 */

int lac_conv_i8_width(const lac_conv_i8_family *family, int count)
{
    if (!family->depthwise)
        return (count + family->lanes - 1) / family->lanes * family->lanes;
    int width = family->lanes; /* doubled, up to the block */
    while (width < count)
        width *= 2;
    return width;
}

int64_t lac_conv_i8_block_bytes(const lac_conv_i8 *w, int count)
{
    int64_t width = lac_conv_i8_width(w->family, count), bytes = width * w->taps * w->words * WORD;
    if (w->family->depthwise)
        bytes *= w->family->weight * w->sets;
    return bytes;
}

static int64_t block_count(const lac_conv_i8 *w, int64_t first)
{
    int64_t left = w->shape.n - first;
    return left < w->family->block ? left : w->family->block;
}

static const int32_t *weight_sums(const lac_conv_i8 *w)
{
    return w->weights;
}

static char *weight_words(const lac_conv_i8 *w)
{
    int64_t head = (w->shape.n * (int64_t)sizeof(int32_t) + LINE - 1) / LINE * LINE;
    return (char *)w->weights + head;
}

static void put(char *to, int64_t at, int element, int value)
{
    if (element == 2)
        ((int16_t *)(void *)to)[at] = (int16_t)value;
    else
        ((int8_t *)to)[at] = (int8_t)value;
}

/* [tap][word][output][elements of a word] of outputs first .. first + count. */
static void pack_dense(const lac_conv_i8 *w, const lac_operand *weights, int64_t first, int count,
                       char *to)
{
    const lac_conv_geometry *g = &w->g;
    const int8_t *from = weights->tensor.data;
    int width = lac_conv_i8_width(w->family, count), element = w->family->element;
    int64_t per_word = WORD / element, per_tap = w->taps == g->r ? g->s * g->c : g->c;
    for (int64_t t = 0; t < w->taps; t++)
        for (int64_t i = 0; i < per_tap; i++) {
            int64_t r = w->taps == g->r ? t : t / g->s;
            int64_t s = w->taps == g->r ? i / g->c : t % g->s, c = i % g->c;
            int64_t at = ((t * w->words + i / per_word) * width) * per_word + i % per_word;
            for (int n = 0; n < count; n++)
                put(to, at + n * per_word, element,
                    weights->transposed ? from[c * g->k + first + n]
                                        : from[(((first + n) * g->c + c) * g->r + r) * g->s + s]);
        }
}

/* [row of the window][quad][shifted][4 vectors]: words of four columns; widened: those of even
 * columns of a vector, then those of odd ones. */
static void pack_depthwise(const lac_conv_i8 *w, const int8_t *from, int64_t first, int count,
                           char *to)
{
    const lac_conv_geometry *g = &w->g;
    int width = lac_conv_i8_width(w->family, count), lanes = width / 4;
    int sets = w->sets;
    bool wide = w->family->weight == 2;
    for (int64_t r = 0; r < g->r; r++)
        for (int64_t s = 0; s < g->s; s++)
            for (int shift = 0; shift < sets; shift++)
                for (int c = 0; c < count; c++) {
                    int column = (int)(s % 4) + shift, place = lac_conv_i8_place(width, c);
                    int64_t set = ((r * w->words + s / 4) * sets + shift) * width;
                    int8_t value = from[((first + c) * g->r + r) * g->s + s];
                    if (!wide) {
                        put(to, (set + place) * 4 + column, 1, value);
                    } else {
                        int64_t vector = (set + place / lanes * lanes) * 4;
                        put(to, vector + (column % 2 * lanes + place % lanes) * 2 + column / 2, 2,
                            value);
                    }
                }
}

static void pack(lac_conv_i8 *w, const lac_operand *weights)
{
    const int8_t *from = weights->tensor.data;
    int32_t *sum = w->weights;
    char *to = weight_words(w);
    for (int64_t n = 0; n < w->shape.n; n++)
        for (int64_t i = 0; i < w->shape.k; i++)
            sum[n] += from[weights->transposed ? i * w->shape.n + n : n * w->shape.k + i];
    for (int64_t first = 0; first < w->shape.n; first += w->family->block) {
        int count = (int)block_count(w, first);
        if (w->family->depthwise)
            pack_depthwise(w, from, first, count, to);
        else
            pack_dense(w, weights, first, count, to);
        to += lac_conv_i8_block_bytes(w, count);
    }
}

/* Plans of other input shapes mostly want the same. */
static lac_status make_weights(lac_conv_i8 *w, const lac_layer *layer, lac_error *err)
{
    const lac_operand *weights = &layer->operand[LAC_ROLE_WEIGHTS];
    struct {
        const void *family;
        int64_t taps, sets;
    } key = {w->family, w->taps, w->sets};
    int64_t bytes = (w->shape.n * (int64_t)sizeof(int32_t) + LINE - 1) / LINE * LINE;
    for (int64_t first = 0; first < w->shape.n; first += w->family->block)
        bytes += lac_conv_i8_block_bytes(w, (int)block_count(w, first));
    w->weight_bytes = (size_t)bytes;
    w->store = layer->store;
    w->weights = lac_store_find(w->store, weights->tensor.data, &key, sizeof key, lac_free);
    if (w->weights)
        return LAC_OK;
    w->weights = lac_alloc((size_t)bytes, 1, err);
    if (!w->weights)
        return LAC_ERROR_MEMORY;
    pack(w, weights);
    return lac_store_put(w->store, weights->tensor.data, &key, sizeof key, lac_free, w->weights,
                         err);
}

static lac_status make_taps(lac_conv_i8 *w, bool is_signed, lac_error *err)
{
    const lac_conv_geometry *g = &w->g;
    int64_t element = w->family->element, per_word = WORD / element;
    bool depthwise = w->family->depthwise, whole = g->dilation_w == 1;
    w->taps = depthwise || whole ? g->r : g->r * g->s;
    w->words =
        depthwise ? (g->s + 3) / 4 : ((whole ? g->s * g->c : g->c) + per_word - 1) / per_word;
    w->sets = has_pairs(g) ? 2 : 1;
    w->column = g->dilation_w * g->c * element;
    w->step = g->stride_w * g->c * element;
    int64_t columns = (g->q - 1) * g->stride_w + (g->s - 1) * g->dilation_w + 1;
    w->pitch = (columns * g->c * element + LINE - 1) / LINE * LINE;
    w->offset = lac_alloc((size_t)w->taps, sizeof *w->offset, err);
    if (!w->offset)
        return LAC_ERROR_MEMORY;
    if (w->plain) {
        w->in_place = element == 1 && !is_signed && g->c % WORD == 0;
        w->step = w->pitch = w->words * WORD;
        return LAC_OK;
    }
    for (int64_t t = 0; t < w->taps; t++) {
        int64_t r = w->taps == g->r ? t : t / g->s, s = w->taps == g->r ? 0 : t % g->s;
        w->offset[t] = r * g->dilation_h * w->pitch + s * w->column;
    }
    return LAC_OK;
}

/* Input rows under `rows` rows of outputs. */
static int64_t rows_under(const lac_conv_geometry *g, int64_t rows)
{
    return (rows - 1) * g->stride_h + (g->r - 1) * g->dilation_h + 1;
}

static lac_status make_bands(lac_conv_i8 *w, lac_error *err)
{
    const lac_conv_geometry *g = &w->g;
    int64_t threads = lac_parallel_width(), all = w->plain ? w->shape.m : g->p, images = 1;
    int64_t blocks = (w->shape.n + w->family->block - 1) / w->family->block;
    if (!w->plain)
        images = g->batch;
    w->rows = w->plain ? w->family->cache / w->pitch
                       : (w->family->cache / w->pitch - rows_under(g, 1)) / g->stride_h + 1;
    int64_t least = w->plain ? 64 : 2 * g->r; /* rows are shared by neighbours */
    w->rows = w->rows < least ? least : w->rows;
    w->bands = (all + w->rows - 1) / w->rows;
    if (w->bands * images < threads && all >= threads)
        w->bands = (threads + images - 1) / images;
    w->rows = (all + w->bands - 1) / w->bands;
    w->bands = (all + w->rows - 1) / w->rows;
    w->parts = w->bands * images < threads ? threads : 1;
    w->parts = w->parts > blocks ? blocks : w->parts;
    int64_t items = w->bands * images * w->parts;
    w->slices = items < threads ? items : threads;
    if (w->in_place)
        return LAC_OK;
    int64_t rows = w->plain ? w->rows : rows_under(g, w->rows);
    /* vectors reach past the last column */
    int64_t behind = w->words * WORD * (w->family->depthwise ? w->column : 1) + 4 * LINE;
    w->bytes = (rows * w->pitch + behind + LINE - 1) / LINE * LINE;
    w->buffer = lac_alloc((size_t)w->slices, (size_t)w->bytes, err);
    return w->buffer ? LAC_OK : LAC_ERROR_MEMORY;
}

static lac_status make_numbers(lac_conv_i8 *w, lac_error *err)
{
    float **real[] = {&w->w_scale, &w->bias, &w->scale, &w->factor, &w->shift};
    w->outputs = (w->shape.n + LAC_CONV_I8_BLOCK - 1) / LAC_CONV_I8_BLOCK * LAC_CONV_I8_BLOCK;
    for (size_t i = 0; i < sizeof real / sizeof *real; i++) {
        *real[i] = lac_alloc((size_t)w->outputs, sizeof(float), err);
        if (!*real[i])
            return LAC_ERROR_MEMORY;
    }
    w->start = lac_alloc((size_t)w->outputs, sizeof *w->start, err);
    return w->start ? LAC_OK : LAC_ERROR_MEMORY;
}

void lac_conv_i8_release(void *state)
{
    lac_conv_i8 *w = state;
    if (!w)
        return;
    lac_store_drop(w->store, lac_free, w->weights);
    lac_free(w->offset);
    lac_free(w->buffer);
    lac_free(w->w_scale);
    lac_free(w->bias);
    lac_free(w->scale);
    lac_free(w->factor);
    lac_free(w->shift);
    lac_free(w->start);
    lac_free(w);
}

size_t lac_conv_i8_bytes(const void *state)
{
    const lac_conv_i8 *w = state;
    return w->weight_bytes + (size_t)(w->slices * w->bytes);
}

lac_status lac_conv_i8_prepare(const lac_conv_i8_family *family, const lac_layer *layer,
                               void **state, lac_error *err)
{
    lac_conv_i8 *w = lac_alloc(1, sizeof *w, err);
    if (!w)
        return LAC_ERROR_MEMORY;
    const lac_conv_geometry *g = &w->g;
    lac_conv_geometry_of(layer, &w->g);
    w->family = family;
    w->shape = (lac_gemm_shape){g->batch * g->p * g->q, g->k, g->c / g->groups * g->r * g->s};
    w->plain = !family->depthwise && is_plain(g);
    lac_status status =
        make_taps(w, layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype == LAC_I8, err);
    if (status == LAC_OK)
        status = make_bands(w, err);
    if (status == LAC_OK)
        status = make_numbers(w, err);
    if (status == LAC_OK)
        status = make_weights(w, layer, err);
    if (status == LAC_OK)
        *state = w;
    else
        lac_conv_i8_release(w);
    return status;
}

/* ---- numbers ----------------------------------------------------------------------------------
 */

static bool same_numbers(const lac_conv_i8 *w, const lac_layer *layer)
{
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    const lac_operand *weights = &layer->operand[LAC_ROLE_WEIGHTS];
    const lac_tensor *bias = &layer->operand[LAC_ROLE_BIAS].tensor;
    size_t bytes = (size_t)w->shape.n * sizeof(float);
    if (!w->known || w->e.activation != layer->activation || w->e.low != layer->low ||
        w->e.high != layer->high || w->e.dtype != layer->output.dtype ||
        w->beside_dtype != layer->beside.dtype || w->e.output_scale != layer->output_scale ||
        w->e.output_zero != layer->output_zero || !w->e.bias != !bias->data ||
        !w->e.residual != !layer->operand[LAC_ROLE_RESIDUAL].tensor.data ||
        w->x_zero != x->zero_point || w->x_scale != (x->scale_count ? x->scale[0] : 1))
        return false;
    if (bias->data && memcmp(w->bias, bias->data, bytes) != 0)
        return false;
    if (weights->scale_count > 1)
        return memcmp(w->w_scale, weights->scale, bytes) == 0;
    return w->first_scale == (weights->scale_count ? weights->scale[0] : 1);
}

/* Whether bytes can be rounded in one step: bounds that are numbers, and steps far inside int32. */
static lac_conv_i8_way way_of(const lac_conv_i8 *w)
{
    const lac_epilogue *e = &w->e;
    bool clip = e->activation == LAC_ACT_CLIP && e->low <= e->high;
    if ((!clip && e->activation != LAC_ACT_NONE) || e->dtype == LAC_I32)
        return LAC_CONV_I8_ANY;
    if (e->dtype == LAC_F32)
        return LAC_CONV_I8_FLOATS;
    if (!isnormal(e->output_scale) || e->output_scale < 0 || !isnormal(w->inverse) ||
        e->output_zero < -128 || e->output_zero > 255)
        return LAC_CONV_I8_ANY;
    float most = (float)w->shape.k * (255 + 255) * 128; /* of sums */
    for (int64_t n = 0; n < w->outputs; n++)
        if (!(fabsf(w->factor[n]) * most + fabsf(w->shift[n]) < 0x1p30f))
            return LAC_CONV_I8_ANY;
    return LAC_CONV_I8_BYTES;
}

/* Where the numbers of sum n stand. */
static int64_t place_of(const lac_conv_i8 *w, int64_t n)
{
    int64_t first = n / w->family->block * w->family->block;
    if (!w->family->depthwise)
        return n;
    int width = lac_conv_i8_width(w->family, (int)block_count(w, first));
    return first + lac_conv_i8_place(width, (int)(n - first));
}

static void find_numbers(lac_conv_i8 *w, const lac_layer *layer)
{
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    const lac_operand *weights = &layer->operand[LAC_ROLE_WEIGHTS];
    const float *bias = layer->operand[LAC_ROLE_BIAS].tensor.data;
    lac_epilogue *e = &w->e;
    w->x_zero = x->zero_point;
    w->x_scale = x->scale_count ? x->scale[0] : 1;
    w->first_scale = weights->scale_count ? weights->scale[0] : 1;
    *e = (lac_epilogue){.n = w->shape.n,
                        .scale = w->scale,
                        .bias = bias ? w->bias : NULL,
                        .residual = layer->operand[LAC_ROLE_RESIDUAL].tensor.data,
                        .activation = layer->activation,
                        .low = layer->low,
                        .high = layer->high,
                        .dtype = layer->output.dtype,
                        .output_scale = layer->output_scale,
                        .output_zero = layer->output_zero};
    w->inverse = 1 / e->output_scale;
    w->beside_dtype = layer->beside.dtype;
    int32_t zero = x->zero_point + w->flip;
    for (int64_t n = 0; n < w->shape.n; n++) {
        w->w_scale[n] = weights->scale_count > 1 ? weights->scale[n] : w->first_scale;
        w->bias[n] = bias ? bias[n] : -0.0f; /* x - 0 is x, whatever its sign */
        w->scale[n] = w->x_scale * w->w_scale[n];
        int64_t at = place_of(w, n);
        lac_steps_of(w->scale[n], bias ? bias[n] : 0, e->output_scale, &w->factor[at],
                     &w->shift[at]);
        w->start[at] = (int32_t)(0u - (uint32_t)zero * (uint32_t)weight_sums(w)[n]);
    }
    w->way = way_of(w);
    if (w->way == LAC_CONV_I8_BYTES) {
        bool is_signed = e->dtype == LAC_I8, clip = e->activation == LAC_ACT_CLIP;
        int32_t low = is_signed ? -128 : 0, high = is_signed ? 127 : 255;
        w->low = clip ? lac_quantise(e->low, e->output_scale, e->output_zero, low, high) : low;
        w->high = clip ? lac_quantise(e->high, e->output_scale, e->output_zero, low, high) : high;
    }
    bool is_signed = layer->beside.dtype == LAC_I8;
    w->floor = (float)((is_signed ? -128 : 0) - e->output_zero) * e->output_scale;
    w->ceiling = (float)((is_signed ? 127 : 255) - e->output_zero) * e->output_scale;
    w->least = e->activation == LAC_ACT_CLIP ? e->low : -INFINITY;
    w->most = e->activation == LAC_ACT_CLIP ? e->high : INFINITY;
    w->known = true;
}

/* ---- a run ------------------------------------------------------------------------------------
 */

LAC_CLONES static void copy_bytes(const uint8_t *restrict from, uint8_t *restrict to, int64_t count,
                                  uint8_t flip)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = from[i] ^ flip;
}

LAC_CLONES static void widen_unsigned(const uint8_t *restrict from, int16_t *restrict to,
                                      int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = from[i];
}

LAC_CLONES static void widen_signed(const int8_t *restrict from, int16_t *restrict to,
                                    int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        to[i] = from[i];
}

static void copy(const lac_conv_i8 *w, const char *from, char *to, int64_t count)
{
    if (w->family->element == 2 && w->is_signed)
        widen_signed((const int8_t *)from, (int16_t *)(void *)to, count);
    else if (w->family->element == 2)
        widen_unsigned((const uint8_t *)from, (int16_t *)(void *)to, count);
    else if (w->flip)
        copy_bytes((const uint8_t *)from, (uint8_t *)to, count, 128);
    else
        memcpy(to, from, (size_t)count);
}

/* Elements that are zero. */
static void fill(const lac_conv_i8 *w, char *to, int64_t count)
{
    int zero = w->x_zero + w->flip;
    if (w->family->element == 1)
        memset(to, zero, (size_t)count);
    else
        for (int64_t i = 0; i < count; i++)
            ((int16_t *)(void *)to)[i] = (int16_t)zero;
}

/* The input rows under output rows [begin, end) of an image. */
static void copy_band(const lac_conv_i8 *w, int64_t image, int64_t begin, int64_t end, char *to)
{
    const lac_conv_geometry *g = &w->g;
    int64_t element = w->family->element;
    int64_t columns = (g->q - 1) * g->stride_w + (g->s - 1) * g->dilation_w + 1;
    int64_t left = g->pad_left < columns ? g->pad_left : columns;
    int64_t inside = columns - left < g->w ? columns - left : g->w, right = columns - left - inside;
    int64_t rows = rows_under(g, end - begin), h = begin * g->stride_h - g->pad_top;
    for (int64_t i = 0; i < rows; i++, h++, to += w->pitch) {
        if (h < 0 || h >= g->h) {
            fill(w, to, columns * g->c);
            continue;
        }
        fill(w, to, left * g->c);
        copy(w, w->x + (image * g->h + h) * g->w * g->c, to + left * g->c * element, inside * g->c);
        fill(w, to + (left + inside) * g->c * element, right * g->c);
    }
}

static void copy_pixels(const lac_conv_i8 *w, int64_t begin, int64_t end, char *to)
{
    const char *from = w->x + begin * w->g.c;
    if (w->pitch == w->g.c * w->family->element)
        copy(w, from, to, (end - begin) * w->g.c);
    else
        for (int64_t m = begin; m < end; m++, from += w->g.c, to += w->pitch)
            copy(w, from, to, w->g.c);
}

static void run_item(const lac_conv_i8 *w, int64_t item, char *buffer)
{
    const lac_conv_geometry *g = &w->g;
    int64_t part = item % w->parts, band = item / w->parts % w->bands;
    int64_t image = item / w->parts / w->bands, all = w->plain ? w->shape.m : g->p;
    int64_t begin = band * w->rows, end = begin + w->rows < all ? begin + w->rows : all;
    int64_t blocks = (w->shape.n + w->family->block - 1) / w->family->block;
    int64_t b = blocks * part / w->parts, last = blocks * (part + 1) / w->parts;
    int64_t whole = lac_conv_i8_block_bytes(w, w->family->block);
    if (begin >= end)
        return;
    if (!w->plain)
        copy_band(w, image, begin, end, buffer);
    else if (!w->in_place)
        copy_pixels(w, begin, end, buffer);
    for (; b < last; b++) {
        lac_conv_i8_row r = {.weights = weight_words(w) + b * whole,
                             .first = b * w->family->block,
                             .count = (int)block_count(w, b * w->family->block)};
        int64_t column = w->family->depthwise ? r.first : 0;
        if (w->plain) {
            r.x = w->in_place ? w->x + begin * w->pitch : buffer;
            r.m = begin;
            r.pixels = (int)(end - begin);
            w->family->row(w, &r);
            continue;
        }
        r.pixels = (int)g->q;
        for (int64_t p = begin; p < end; p++) {
            r.x = buffer + (p - begin) * g->stride_h * w->pitch + column;
            r.m = (image * g->p + p) * g->q;
            w->family->row(w, &r);
        }
    }
}

static void run_slices(void *context, int64_t begin, int64_t end)
{
    const lac_conv_i8 *w = context;
    int64_t items = w->bands * w->parts * (w->plain ? 1 : w->g.batch);
    for (int64_t slice = begin; slice < end; slice++)
        for (int64_t i = items * slice / w->slices; i < items * (slice + 1) / w->slices; i++)
            run_item(w, i, w->buffer + slice * w->bytes);
}

lac_status lac_conv_i8_run(const lac_layer *layer, void *state, lac_error *err)
{
    lac_conv_i8 *w = state;
    (void)err;
    w->is_signed = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype == LAC_I8;
    w->flip = w->is_signed && w->family->element == 1 ? 128 : 0;
    if (!same_numbers(w, layer))
        find_numbers(w, layer);
    w->x = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.data;
    w->e.residual = layer->operand[LAC_ROLE_RESIDUAL].tensor.data;
    w->e.output = layer->output.data;
    /* a scale so far from 1 has no inverse that divides to the bit */
    bool plain = layer->output_scale > 0x1p-60f && layer->output_scale < 0x1p60f;
    bool fused = w->family->beside && w->way == LAC_CONV_I8_FLOATS && plain;
    w->beside = layer->beside.dtype != LAC_NONE && fused ? layer->beside.data : NULL;
    lac_parallel_for(w->slices, 1, run_slices, w);
    if (!w->beside)
        lac_quantise_beside(layer);
    return LAC_OK;
}
