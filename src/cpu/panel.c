/* See panel.h. */
#include "cpu/panel.h"

#include "core/memory.h"
#include "core/parallel.h"

#include <stdio.h>
#include <string.h>

typedef struct panel_state {
    const lac_panel_family *family;
    lac_gemm_shape shape;
    lac_conv_geometry g;
    bool window;          /* planes of a convolution; false: panels of a matrix */
    bool few;             /* token by token */
    int64_t token_stride; /* of those, elements */
    int64_t unit;         /* bytes of a column: 4, or 1 for panels of bytes */
    int64_t tiles, pitch; /* bytes from one reduction group to the next */
    int64_t tile_stride;
    int64_t plane_w, plane_area; /* of one image, columns */
    int32_t *offset;             /* of planes */
    int64_t groups;              /* of the reduction */
    int64_t *row;                /* of planes: column -> output row, -1: border */
    char *copy;                  /* the activations in panels or planes */
    size_t copy_bytes;
    int border; /* what fills the planes where there is no input */
    lac_packed_numbers numbers;
    /* during a run */
    const lac_packed *packed;
    const char *source, *x;
    int64_t source_bytes; /* of an element */
    int flip;
    lac_layout output_layout;
    lac_epilogue epilogue;
    const int32_t *start; /* [n] of the sums; NULL: zeros */
    bool gather;          /* the columns of a tile are brought in line */
    bool in_place;        /* sums are made in the output, panels of their own type */
} panel_state;

const lac_panel_moves *lac_panel_moves_here(void)
{
#if defined(__x86_64__)
    uint32_t isa = 0;
    if (lac_isa(&isa, NULL) == LAC_OK && (isa & LAC_ISA_AVX512))
        return &lac_panel_moves_avx512;
    if (isa & LAC_ISA_AVX2)
        return &lac_panel_moves_avx2;
#endif
    return &lac_panel_moves_ref;
}

/* ---- which layers -----------------------------------------------------------------------------
 */

static bool refuse(char *why, size_t size, const char *reason)
{
    if (size)
        snprintf(why, size, "%s", reason);
    return false;
}

/* The product's shape; *window: whether it is a convolution that needs planes. */
static bool shape_of(const lac_panel_family *family, const lac_layer *layer, lac_gemm_shape *shape,
                     lac_conv_geometry *g, bool *window, char *why, size_t why_size)
{
    *window = false;
    if (lac_gemm_shape_of(layer, shape, why, why_size))
        return true;
    if (!lac_conv_geometry_of(layer, g) || strcmp(layer->kind->row.name, "conv") != 0)
        return false;
    *window = true;
    if (!layer->channels_last)
        return refuse(why, why_size, "channels are not last");
    if (g->groups != 1)
        return refuse(why, why_size, "groups");
    if (family->layout == LAC_LAYOUT_QUADS && g->c % 4 != 0)
        return refuse(why, why_size, "channels are no multiple of 4");
    if (g->batch < 1 || g->p < 1 || g->q < 1)
        return refuse(why, why_size, "a size is not known");
    *shape = (lac_gemm_shape){g->batch * g->p * g->q, g->k, g->c * g->r * g->s};
    return true;
}

bool lac_panel_can_run(const lac_panel_family *family, const lac_layer *layer, char *why,
                       size_t why_size)
{
    lac_gemm_shape shape;
    lac_conv_geometry g;
    bool window;
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    if (!shape_of(family, layer, &shape, &g, &window, why, why_size) ||
        !lac_packed_fits(layer, &shape, family->dtypes, why, why_size))
        return false;
    if (layer->input_layout != LAC_LAYOUT_ROWS && (window || layer->input_layout != family->layout))
        return refuse(why, why_size, "activations stand in another layout");
    if (layer->output_layout != LAC_LAYOUT_ROWS && window)
        return refuse(why, why_size, "outputs of a convolution are written in rows");
    return !family->can_run || family->can_run(packed, why, why_size);
}

/* Measured on one core of an AMD EPYC (family 25, model 17) by bench_kernels: bringing a float or a
 * byte into panels, finishing an output, turning it into a row, starting. */
#define SECONDS_PER_FLOAT  0.16e-9
#define SECONDS_PER_BYTE   0.03e-9
#define SECONDS_PER_SUM    0.03e-9 /* floats: made in place */
#define SECONDS_PER_OUTPUT 0.14e-9
#define SECONDS_PER_TURN   0.16e-9
#define SECONDS_PER_GATHER 4.4e-9 /* 256 bytes */
#define SECONDS_PER_CALL   1e-6

double lac_panel_cost(const lac_panel_family *family, const lac_layer *layer)
{
    lac_gemm_shape shape;
    lac_conv_geometry g;
    bool window;
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    if (!packed || !shape_of(family, layer, &shape, &g, &window, NULL, 0))
        return 1e30;
    double seconds = SECONDS_PER_CALL, m = (double)shape.m, columns = m;
    double inputs = m * (double)shape.k;
    if (window) {
        int64_t w = (g.w + g.pad_left + g.pad_right + g.stride_w - 1) / g.stride_w;
        columns = (double)(g.batch * g.p * w);
        inputs = (double)(g.batch * g.h * g.w * g.c);
        seconds += SECONDS_PER_GATHER / LAC_PANEL_COLUMNS * columns *
                   (double)(family->integer ? shape.k / 4 : shape.k);
    }
    bool plain = layer->input_layout == LAC_LAYOUT_ROWS && layer->output_layout == LAC_LAYOUT_ROWS;
    seconds += family->seconds(packed, plain || columns > 16 ? (int64_t)columns : 16);
    if (layer->input_layout == LAC_LAYOUT_ROWS)
        seconds += (family->integer ? SECONDS_PER_BYTE : SECONDS_PER_FLOAT) * inputs;
    bool rows = layer->output_layout == LAC_LAYOUT_ROWS;
    double per_output = family->integer || rows ? SECONDS_PER_OUTPUT : SECONDS_PER_SUM;
    if (rows)
        per_output += SECONDS_PER_TURN;
    return seconds + per_output * m * (double)shape.n;
}

/* ---- preparation ------------------------------------------------------------------------------
 */

void lac_panel_release(void *state)
{
    panel_state *w = state;
    if (!w)
        return;
    lac_packed_numbers_release(&w->numbers);
    lac_free(w->offset);
    lac_free(w->row);
    lac_free(w->copy);
    lac_free(w);
}

static lac_status fill_panels(panel_state *w, const lac_layer *layer, lac_error *err)
{
    bool quads = w->family->layout == LAC_LAYOUT_QUADS;
    int64_t groups = quads ? (w->shape.k + 3) / 4 : w->shape.k, count;
    w->tiles = (w->shape.m + LAC_PANEL_COLUMNS - 1) / LAC_PANEL_COLUMNS;
    w->pitch = LAC_PANEL_COLUMNS * w->unit;
    w->tile_stride = groups * w->pitch;
    if (layer->input_layout != LAC_LAYOUT_ROWS)
        return LAC_OK;
    w->few = w->family->dot && w->shape.m <= (w->family->few ? w->family->few : 1) &&
             layer->output_layout == LAC_LAYOUT_ROWS;
    if (w->few) { /* tokens are read as they are, with zeros behind */
        w->token_stride = (w->shape.k + LAC_PANEL_COLUMNS - 1) / LAC_PANEL_COLUMNS;
        w->token_stride *= LAC_PANEL_COLUMNS;
        LAC_TRY(lac_shape_count(
            3, (int64_t[]){w->shape.m, w->token_stride, w->family->integer ? 1 : 4}, &count, err));
    } else {
        LAC_TRY(lac_shape_count(2, (int64_t[]){w->tiles, w->tile_stride + LAC_PANEL_COLUMNS * 4},
                                &count, err));
    }
    w->copy_bytes = (size_t)count;
    return LAC_OK;
}

static lac_status fill_planes(panel_state *w, lac_error *err)
{
    const lac_conv_geometry *g = &w->g;
    bool quads = w->family->layout == LAC_LAYOUT_QUADS;
    int64_t channels = quads ? g->c / 4 : g->c, phases = g->stride_h * g->stride_w, count;
    int64_t h = (g->h + g->pad_top + g->pad_bottom + g->stride_h - 1) / g->stride_h;
    w->plane_w = (g->w + g->pad_left + g->pad_right + g->stride_w - 1) / g->stride_w;
    LAC_TRY(lac_shape_count(2, (int64_t[]){h, w->plane_w}, &w->plane_area, err));
    LAC_TRY(lac_shape_count(2, (int64_t[]){g->batch, w->plane_area}, &count, err));
    /* Columns behind the last are read, at any tap; planes an odd number of cache lines apart, or
     * the same column of many channels would fall into one set of the cache. */
    w->pitch = ((count + LAC_PANEL_COLUMNS) * w->unit + 63) / 64 * 64;
    w->pitch += w->pitch / 64 % 2 == 0 ? 64 : 0;
    LAC_TRY(lac_shape_count(3, (int64_t[]){phases, channels, w->pitch}, &count, err));
    if (count > INT32_MAX)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "padded input of %lld bytes, at most 2147483647", (long long)count);
    w->copy_bytes = (size_t)count;
    int64_t columns = (g->batch - 1) * w->plane_area + (g->p - 1) * w->plane_w + g->q;
    w->tiles = (columns + LAC_PANEL_COLUMNS - 1) / LAC_PANEL_COLUMNS;
    w->tile_stride = LAC_PANEL_COLUMNS * w->unit;
    w->groups = g->r * g->s * channels;
    w->offset = lac_alloc((size_t)w->groups, sizeof *w->offset, err);
    w->row = lac_alloc((size_t)(w->tiles * LAC_PANEL_COLUMNS), sizeof *w->row, err);
    if (!w->offset || !w->row)
        return LAC_ERROR_MEMORY;
    for (int64_t r = 0, i = 0; r < g->r; r++)
        for (int64_t s = 0; s < g->s; s++)
            for (int64_t c = 0; c < channels; c++, i++) {
                int64_t y = r * g->dilation_h, x = s * g->dilation_w;
                int64_t phase = y % g->stride_h * g->stride_w + x % g->stride_w;
                int64_t column = y / g->stride_h * w->plane_w + x / g->stride_w;
                w->offset[i] = (int32_t)((phase * channels + c) * w->pitch + column * w->unit);
            }
    for (int64_t j = 0; j < w->tiles * LAC_PANEL_COLUMNS; j++) {
        int64_t image = j / w->plane_area, y = j % w->plane_area / w->plane_w, x = j % w->plane_w;
        x = j % w->plane_area % w->plane_w;
        bool inside = image < g->batch && y < g->p && x < g->q;
        w->row[j] = inside ? (image * g->p + y) * g->q + x : -1;
    }
    return LAC_OK;
}

static lac_status fill(panel_state *w, const lac_layer *layer, lac_error *err)
{
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    bool bytes = w->family->integer && w->family->layout == LAC_LAYOUT_PANELS;
    if (!shape_of(w->family, layer, &w->shape, &w->g, &w->window, NULL, 0))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "not a product of packed weights");
    w->unit = bytes ? 1 : 4;
    LAC_TRY(lac_packed_validate(packed, err));
    LAC_TRY(lac_packed_numbers_make(&w->numbers, w->shape.n, w->family->integer, err));
    if (w->family->integer)
        w->family->sum(packed, w->numbers.sum);
    LAC_TRY(w->window ? fill_planes(w, err) : fill_panels(w, layer, err));
    if (w->copy_bytes == 0)
        return LAC_OK;
    w->copy = lac_alloc(w->copy_bytes, 1, err);
    return w->copy ? LAC_OK : LAC_ERROR_MEMORY;
}

lac_status lac_panel_prepare(const lac_panel_family *family, const lac_layer *layer, void **state,
                             lac_error *err)
{
    panel_state *w = lac_alloc(1, sizeof *w, err);
    if (!w)
        return LAC_ERROR_MEMORY;
    w->family = family;
    lac_status status = fill(w, layer, err);
    if (status == LAC_OK)
        *state = w;
    else
        lac_panel_release(w);
    return status;
}

size_t lac_panel_bytes(const void *state)
{
    return ((const panel_state *)state)->copy_bytes;
}

/* ---- running ----------------------------------------------------------------------------------
 */

static void move(const panel_state *w, const char *from, int64_t stride, int64_t tokens, int64_t k,
                 char *to, int64_t pitch)
{
    const lac_panel_moves *moves = w->family->moves;
    if (!w->family->integer)
        moves->floats(from, stride, tokens, k, to, pitch, 0);
    else if (w->unit == 1)
        moves->bytes(from, stride, tokens, k, to, pitch, w->flip);
    else
        moves->quads(from, stride, tokens, k, to, pitch, w->flip);
}

static void copy_tiles(void *context, int64_t begin, int64_t end)
{
    const panel_state *w = context;
    int64_t stride = w->shape.k * w->source_bytes;
    for (int64_t tile = begin; tile < end; tile++) {
        int64_t first = tile * LAC_PANEL_COLUMNS, tokens = w->shape.m - first;
        move(w, w->source + first * stride, stride,
             tokens < LAC_PANEL_COLUMNS ? tokens : LAC_PANEL_COLUMNS, w->shape.k,
             w->copy + tile * w->tile_stride, w->pitch);
    }
}

/* Items are rows of the input images. */
static void copy_planes(void *context, int64_t begin, int64_t end)
{
    const panel_state *w = context;
    const lac_conv_geometry *g = &w->g;
    int64_t channels = w->family->layout == LAC_LAYOUT_QUADS ? g->c / 4 : g->c;
    int64_t pixel = g->c * w->source_bytes;
    for (int64_t item = begin; item < end; item++) {
        int64_t image = item / g->h, y = item % g->h + g->pad_top;
        for (int64_t phase = 0; phase < g->stride_w; phase++) {
            int64_t x = (phase - g->pad_left % g->stride_w + g->stride_w) % g->stride_w;
            int64_t tokens = x < g->w ? (g->w - x + g->stride_w - 1) / g->stride_w : 0;
            int64_t plane = (y % g->stride_h * g->stride_w + phase) * channels;
            int64_t column = image * w->plane_area + y / g->stride_h * w->plane_w +
                             (x + g->pad_left) / g->stride_w;
            move(w, w->source + (item * g->w + x) * pixel, g->stride_w * pixel, tokens, g->c,
                 w->copy + plane * w->pitch + column * w->unit, w->pitch);
        }
    }
}

/* Whether bringing the columns of a tile in line pays: they fit a second-level cache, lie across
 * lines, and there are weights enough, four of each reduction group or more. */
static bool gather_pays(const panel_state *w)
{
    bool crooked = false;
    if (!w->window || w->groups * LAC_PANEL_COLUMNS * w->unit > 512 * 1024 ||
        lac_packed_bytes(w->packed) < 16 * w->groups)
        return false;
    for (int64_t g = 0; g < w->groups; g++)
        crooked = crooked || w->offset[g] % 64 != 0;
    return crooked;
}

/* Tiles whose activations stay in a second-level cache together, at least one; of planes they are
 * brought in line one by one. */
enum { GROUP_BYTES = 448 * 1024 };

static int64_t group_of(const panel_state *w)
{
    int64_t group = w->window ? 1 : GROUP_BYTES / (w->tile_stride + 1);
    return group < 1 ? 1 : group;
}

/* Items are groups of tiles times ranges of outputs times the tiles of the group: the weights of a
 * range come once for all of these, and the activations stay in the cache. */
static void multiply(void *context, int64_t begin, int64_t end)
{
    const panel_state *w = context;
    const lac_panel_family *family = w->family;
    int64_t ranges = (w->shape.n + family->outputs - 1) / family->outputs;
    int64_t columns = w->window ? w->tiles * LAC_PANEL_COLUMNS : w->shape.m;
    int64_t width = LAC_PANEL_COLUMNS * w->unit, in_line = -1, group = group_of(w);
    _Alignas(64) int32_t sums[LAC_PANEL_OUTPUTS][LAC_PANEL_COLUMNS];
    /* Without the memory it takes a little longer. */
    char *line = w->gather ? lac_alloc_raw((size_t)w->groups, (size_t)width, NULL) : NULL;
    for (int64_t item = begin; item < end; item++) {
        int64_t start = item / (group * ranges) * group, rest = item - start * ranges;
        int64_t tiles = w->tiles - start < group ? w->tiles - start : group;
        int64_t tile = start + rest % tiles, first = rest / tiles * family->outputs;
        int64_t last = w->shape.n - first < family->outputs ? w->shape.n : first + family->outputs;
        int64_t column = tile * LAC_PANEL_COLUMNS, left = columns - column, row[LAC_PANEL_COLUMNS];
        int count = (int)(left < LAC_PANEL_COLUMNS ? left : LAC_PANEL_COLUMNS);
        lac_panel_source source = {.x = w->x + tile * w->tile_stride,
                                   .offset = w->offset,
                                   .stride = w->window ? 0 : w->pitch,
                                   .start = w->start ? w->start + first : NULL};
        if (!w->window && tile + 1 < w->tiles) {
            source.ahead_bytes = (w->tile_stride / w->shape.n + 63) / 64 * 64;
            source.ahead = source.x + w->tile_stride + first * source.ahead_bytes;
        }
        if (line) {
            if (tile != in_line)
                family->moves->gather(source.x, w->offset, w->groups, (int)width, line);
            in_line = tile;
            source = (lac_panel_source){.x = line, .stride = width, .start = source.start};
        }
        void *to = sums;
        if (w->in_place)
            to = (char *)w->epilogue.output + (tile * w->shape.n + first) * LAC_PANEL_COLUMNS * 4;
        family->tile(w->packed, first, last, &source, (count + 15) / 16, to);
        if (w->output_layout != LAC_LAYOUT_ROWS) {
            family->moves->finish_panels(&w->epilogue, family->integer, to, first,
                                         (int)(last - first), tile, w->output_layout);
            continue;
        }
        for (int i = 0; i < count; i++)
            row[i] = w->window ? w->row[column + i] : column + i;
        family->moves->finish_rows(&w->epilogue, family->integer, sums, first, (int)(last - first),
                                   count, row);
    }
    lac_free(line);
}

/* Few tokens: items are ranges of outputs, whose weights come from memory for the first token. */
static void multiply_tokens(void *context, int64_t begin, int64_t end)
{
    const panel_state *w = context;
    const lac_panel_family *family = w->family;
    _Alignas(64) int32_t sums[LAC_PANEL_OUTPUTS];
    for (int64_t item = begin; item < end; item++) {
        int64_t first = item * family->outputs;
        int64_t last = w->shape.n - first < family->outputs ? w->shape.n : first + family->outputs;
        for (int64_t token = 0; token < w->shape.m; token++) {
            family->dot(w->packed, first, last, w->x + token * w->token_stride * w->source_bytes,
                        sums);
            family->moves->finish_token(&w->epilogue, family->integer, sums, token, first,
                                        (int)(last - first));
        }
    }
}

static void copy_tokens(panel_state *w)
{
    const int64_t bytes = w->shape.k * w->source_bytes;
    const char flip = (char)w->flip;
    for (int64_t token = 0; token < w->shape.m; token++) {
        char *to = w->copy + token * w->token_stride * w->source_bytes;
        memcpy(to, w->source + token * bytes, (size_t)bytes);
        for (int64_t i = 0; flip && i < bytes; i++)
            to[i] ^= flip;
    }
}

lac_status lac_panel_run(const lac_layer *layer, void *state, lac_error *err)
{
    panel_state *w = state;
    const lac_panel_family *family = w->family;
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    bool is_signed = x->tensor.dtype == LAC_I8, rows = layer->input_layout == LAC_LAYOUT_ROWS;
    int64_t ranges = (w->shape.n + family->outputs - 1) / family->outputs;
    (void)err;
    w->packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    w->source = x->tensor.data;
    w->source_bytes = family->integer ? 1 : 4;
    w->flip = is_signed ? 128 : 0;
    w->x = rows ? w->copy : w->source;
    w->output_layout = layer->output_layout;
    lac_epilogue_begin(&w->epilogue, layer, &w->numbers, &w->shape, is_signed ? 128 : 0);
    w->gather = gather_pays(w);
    w->in_place = w->output_layout == LAC_LAYOUT_PANELS && !w->epilogue.residual &&
                  w->epilogue.dtype == (family->integer ? LAC_I32 : LAC_F32);
    w->start = NULL;
    if (w->few) {
        copy_tokens(w);
        lac_parallel_for(ranges, 1, multiply_tokens, w);
        return LAC_OK;
    }
    if (family->starts) { /* the zero point's part is in the sums from the start */
        for (int64_t n = 0; n < w->shape.n; n++)
            w->numbers.offset[n] = (int32_t)(0 - (uint32_t)w->numbers.offset[n]);
        w->start = w->numbers.offset;
        w->epilogue.offset = NULL;
    }
    int border = w->window && family->integer ? (x->zero_point + w->flip) & 255 : 0;
    if (border != w->border) {
        memset(w->copy, border, w->copy_bytes);
        w->border = border;
    }
    if (w->window)
        lac_parallel_for(w->g.batch * w->g.h, 1, copy_planes, w);
    else if (rows)
        lac_parallel_for(w->tiles, 1, copy_tiles, w);
    lac_parallel_for(w->tiles * ranges, 1, multiply, w);
    return LAC_OK;
}
