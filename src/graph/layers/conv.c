/* conv: Y[b][k][y][x] = sum over c, r, s of A[b][c][y*stride+r*dilation-pad][..]
 * W[k][c/groups][r][s]; what lies outside the input is 0. The reference runs over taps, each a
 * strided row of products; as matrix products it is one gemm per group over the im2col rows (b, y,
 * x), K = (channel, r, s). */
#include "graph/layer_conv.h"
#include "graph/layer_tools.h"

#include <inttypes.h>
#include <string.h>

#include "core/clones.h"
#include "core/memory.h"
#include "core/parallel.h"

enum {
    C,
    H,
    W,
    K,
    R,
    S,
    STRIDE_H,
    STRIDE_W,
    PAD_TOP,
    PAD_LEFT,
    PAD_BOTTOM,
    PAD_RIGHT,
    DILATION_H,
    DILATION_W,
    GROUPS,
    BATCH
};

static int64_t outputs(int64_t in, int64_t pads, int64_t kernel, int64_t dilation, int64_t stride)
{
    int64_t room = in + pads - dilation * (kernel - 1) - 1;
    return room < 0 ? 0 : room / stride + 1;
}

lac_conv lac_conv_of(const lac_layer *layer)
{
    const int64_t *d = layer->dim;
    lac_conv g = {.batch = d[BATCH],
                  .c = d[C],
                  .h = d[H],
                  .w = d[W],
                  .k = d[K],
                  .r = d[R],
                  .s = d[S],
                  .groups = d[GROUPS],
                  .stride_h = d[STRIDE_H],
                  .stride_w = d[STRIDE_W],
                  .dilation_h = d[DILATION_H],
                  .dilation_w = d[DILATION_W],
                  .pad_top = d[PAD_TOP],
                  .pad_left = d[PAD_LEFT],
                  .pad_bottom = d[PAD_BOTTOM],
                  .pad_right = d[PAD_RIGHT],
                  .c_group = d[C] / d[GROUPS],
                  .k_group = d[K] / d[GROUPS]};
    g.out_h = outputs(g.h, g.pad_top + g.pad_bottom, g.r, g.dilation_h, g.stride_h);
    g.out_w = outputs(g.w, g.pad_left + g.pad_right, g.s, g.dilation_w, g.stride_w);
    return g;
}

static lac_status check(const lac_layer *layer, lac_error *err)
{
    lac_conv g = lac_conv_of(layer);
    int64_t count;
    if (g.c % g.groups || g.k % g.groups)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "conv: groups=%" PRId64 " does not divide c=%" PRId64 " and k=%" PRId64,
                        g.groups, g.c, g.k);
    if (g.out_h < 1 || g.out_w < 1)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "conv: the kernel %" PRId64 "x%" PRId64 " is larger than the padded input "
                        "%" PRId64 "x%" PRId64,
                        (g.r - 1) * g.dilation_h + 1, (g.s - 1) * g.dilation_w + 1,
                        g.h + g.pad_top + g.pad_bottom, g.w + g.pad_left + g.pad_right);
    LAC_TRY(lac_shape_count(4, (int64_t[]){g.batch, g.c, g.h, g.w}, &count, err));
    /* multiply-accumulates; also bounds the im2col matrix and the output */
    return lac_shape_count(7, (int64_t[]){g.batch, g.out_h, g.out_w, g.k, g.c_group, g.r, g.s},
                           &count, err);
}

static lac_status generate(lac_layer *layer, lac_error *err)
{
    lac_conv g = lac_conv_of(layer);
    lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS], *a = &layer->operand[LAC_ROLE_ACTIVATIONS];
    LAC_TRY(lac_generate(&w->tensor, w, layer->seed, LAC_ROLE_WEIGHTS, true, 4,
                         (int64_t[]){g.k, g.c_group, g.r, g.s}, g.c_group, g.r * g.s, err));
    return lac_generate(&a->tensor, a, layer->seed, LAC_ROLE_ACTIVATIONS, false, 4,
                        (int64_t[]){g.batch, g.c, g.h, g.w}, g.c, g.h * g.w, err);
}

static lac_status need(const lac_layer *layer, lac_error *err)
{
    lac_conv g = lac_conv_of(layer);
    if (layer->operand[LAC_ROLE_WEIGHTS].transposed)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: conv weights have no transposed order",
                        layer->name);
    LAC_TRY(lac_operand_need(layer, LAC_ROLE_WEIGHTS, g.k * g.c_group * g.r * g.s, err));
    return lac_operand_need(layer, LAC_ROLE_ACTIVATIONS, g.batch * g.c * g.h * g.w, err);
}

static lac_status plain(lac_layer *layer, lac_error *err)
{
    lac_conv g = lac_conv_of(layer);
    lac_tensor *tensor = &layer->operand[LAC_ROLE_ACTIVATIONS].tensor, swapped;
    if (!tensor->data)
        return LAC_OK;
    LAC_TRY(lac_operand_size(layer, LAC_ROLE_ACTIVATIONS, g.batch * g.c * g.h * g.w, err));
    LAC_TRY(lac_swap_axes(&swapped, tensor, g.batch, g.h * g.w, g.c, 1, err));
    memcpy(swapped.dims, (int64_t[]){g.batch, g.c, g.h, g.w}, 4 * sizeof(int64_t));
    lac_tensor_release(tensor);
    *tensor = swapped;
    return LAC_OK;
}

/* ---- reference ---- */

typedef struct plane_job {
    lac_conv g;
    const int16_t *a, *w;
    int64_t chunk; /* taps whose products fit an int32 sum */
    int32_t *y;
    int64_t *wide; /* out_h * out_w sums per output plane */
    bool *overflow;
} plane_job;

/* Adds one tap to one row of partial sums. */
LAC_CLONES static void add_tap(int32_t *sum, const int16_t *a, int64_t count, int64_t stride,
                               int32_t weight)
{
    if (stride == 1)
        for (int64_t x = 0; x < count; x++)
            sum[x] += a[x] * weight;
    else
        for (int64_t x = 0; x < count; x++)
            sum[x] += a[x * stride] * weight;
}

static void flush(int64_t *wide, int32_t *part, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        wide[i] += part[i];
        part[i] = 0;
    }
}

/* First output at or behind the input's edge, and one behind the last. */
static void span(int64_t in, int64_t out, int64_t offset, int64_t stride, int64_t *from,
                 int64_t *to)
{
    *from = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
    *to = offset >= in ? 0 : (in - 1 - offset) / stride + 1;
    if (*to > out)
        *to = out;
    if (*from > *to)
        *from = *to;
}

static void output_plane(const plane_job *job, int64_t plane)
{
    const lac_conv *g = &job->g;
    int64_t b = plane / g->k, k = plane % g->k, size = g->out_h * g->out_w;
    int32_t *y = job->y + plane * size; /* doubles as the partial sums */
    int64_t *wide = job->wide + plane * size;
    const int16_t *weight = job->w + k * g->c_group * g->r * g->s;
    int64_t taps = 0;
    for (int64_t c = 0; c < g->c_group; c++) {
        const int16_t *a = job->a + (b * g->c + k / g->k_group * g->c_group + c) * g->h * g->w;
        for (int64_t r = 0; r < g->r; r++)
            for (int64_t s = 0; s < g->s; s++, weight++) {
                int64_t oy = r * g->dilation_h - g->pad_top, ox = s * g->dilation_w - g->pad_left;
                int64_t y0, y1, x0, x1;
                if (*weight == 0)
                    continue;
                if (taps++ == job->chunk) {
                    flush(wide, y, size);
                    taps = 1;
                }
                span(g->h, g->out_h, oy, g->stride_h, &y0, &y1);
                span(g->w, g->out_w, ox, g->stride_w, &x0, &x1);
                for (int64_t i = y0; i < y1; i++)
                    add_tap(y + i * g->out_w + x0,
                            a + (i * g->stride_h + oy) * g->w + x0 * g->stride_w + ox, x1 - x0,
                            g->stride_w, *weight);
            }
    }
    flush(wide, y, size);
    for (int64_t i = 0; i < size; i++) {
        y[i] = (int32_t)wide[i];
        if (y[i] != wide[i])
            job->overflow[plane] = true;
    }
}

static void output_planes(void *context, int64_t begin, int64_t end)
{
    for (int64_t plane = begin; plane < end; plane++)
        output_plane(context, plane);
}

static lac_status sum_up(const lac_layer *layer, lac_tensor *output, lac_error *err)
{
    const lac_tensor *a = &layer->operand[LAC_ROLE_ACTIVATIONS].tensor;
    const lac_tensor *w = &layer->operand[LAC_ROLE_WEIGHTS].tensor;
    lac_conv g = lac_conv_of(layer);
    int64_t planes = g.batch * g.k, n_a = lac_tensor_count(a), n_w = lac_tensor_count(w);
    int64_t chunk = lac_is_small(a, w) ? 16384 : a->dtype == w->dtype ? 1 : 128;
    int16_t *wide_a = lac_alloc_raw((size_t)n_a, sizeof *wide_a, err);
    int16_t *wide_w = wide_a ? lac_alloc_raw((size_t)n_w, sizeof *wide_w, err) : NULL;
    int64_t *wide = wide_w ? lac_alloc((size_t)lac_tensor_count(output), sizeof *wide, err) : NULL;
    bool *overflow = wide ? lac_alloc((size_t)planes, sizeof *overflow, err) : NULL;
    lac_status status = overflow ? LAC_OK : LAC_ERROR_MEMORY;
    if (overflow) {
        lac_to_i16(wide_a, a, 0, n_a);
        lac_to_i16(wide_w, w, 0, n_w);
        plane_job job = {g, wide_a, wide_w, chunk, output->data, wide, overflow};
        lac_parallel_for(planes, 1, output_planes, &job);
        for (int64_t i = 0; i < planes && status == LAC_OK; i++)
            if (overflow[i])
                status =
                    lac_fail(err, LAC_ERROR_INPUT, "%s: a sum of output %" PRId64 " leaves int32",
                             layer->name, i % g.k);
    }
    lac_free(overflow);
    lac_free(wide);
    lac_free(wide_w);
    lac_free(wide_a);
    return status;
}

static lac_status reference(const lac_layer *layer, lac_tensor *output, lac_error *err)
{
    lac_conv g = lac_conv_of(layer);
    lac_layer same;
    LAC_TRY(need(layer, err));
    LAC_TRY(lac_layer_plain(layer, &same, err));
    lac_status status =
        lac_tensor_make(output, LAC_I32, 4, (int64_t[]){g.batch, g.k, g.out_h, g.out_w}, err);
    if (status == LAC_OK) {
        status = sum_up(&same, output, err);
        if (status == LAC_OK && layer->channels_last) {
            lac_tensor swapped;
            status = lac_swap_axes(&swapped, output, g.batch, g.k, g.out_h * g.out_w, 1, err);
            lac_tensor_release(output);
            if (status == LAC_OK) {
                memcpy(swapped.dims, (int64_t[]){g.batch, g.out_h, g.out_w, g.k},
                       4 * sizeof(int64_t));
                *output = swapped;
            }
        }
        if (status != LAC_OK)
            lac_tensor_release(output);
    }
    lac_layer_release(&same);
    return status;
}

/* ---- as matrix products ---- */

static int64_t gemm_count(const lac_layer *layer)
{
    return layer->dim[GROUPS];
}

typedef struct columns {
    lac_conv g;
    int64_t group;
    const char *in;
    char *out;
    size_t size;                            /* of an element */
    int64_t step_c, step_w, step_h, step_b; /* elements between neighbours in the input */
} columns;

/* Rows (b, y, x) of the im2col matrix, zero already. */
static void im2col_rows(void *context, int64_t begin, int64_t end)
{
    const columns *job = context;
    const lac_conv *g = &job->g;
    int64_t row_length = g->c_group * g->r * g->s;
    for (int64_t row = begin; row < end; row++) {
        int64_t x = row % g->out_w * g->stride_w - g->pad_left;
        int64_t y = row / g->out_w % g->out_h * g->stride_h - g->pad_top;
        int64_t b = row / (g->out_w * g->out_h);
        char *out = job->out + (size_t)(row * row_length) * job->size;
        for (int64_t c = 0; c < g->c_group; c++)
            for (int64_t r = 0; r < g->r; r++)
                for (int64_t s = 0; s < g->s; s++, out += job->size) {
                    int64_t iy = y + r * g->dilation_h, ix = x + s * g->dilation_w;
                    if (iy < 0 || iy >= g->h || ix < 0 || ix >= g->w)
                        continue;
                    int64_t from = b * job->step_b + (job->group * g->c_group + c) * job->step_c +
                                   iy * job->step_h + ix * job->step_w;
                    if (job->size == 1)
                        *out = job->in[from];
                    else
                        memcpy(out, job->in + (size_t)from * job->size, job->size);
                }
    }
}

static lac_status gemm(const lac_layer *layer, int64_t index, lac_layer *target, lac_error *err)
{
    lac_conv g = lac_conv_of(layer);
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    const lac_operand *a = &layer->operand[LAC_ROLE_ACTIVATIONS];
    int64_t m = g.batch * g.out_h * g.out_w, k = g.c_group * g.r * g.s;
    LAC_TRY(lac_gemm_layer(target, layer, m, g.k_group, k, err));
    if (lac_layer_is_bare(layer))
        return LAC_OK;
    LAC_TRY(need(layer, err));
    lac_operand *to = &target->operand[LAC_ROLE_ACTIVATIONS];
    *to = *a;
    memset(&to->tensor, 0, sizeof to->tensor);
    LAC_TRY(lac_tensor_make(&to->tensor, a->tensor.dtype, 2, (int64_t[]){m, k}, err));
    columns job = {.g = g,
                   .group = index,
                   .in = a->tensor.data,
                   .out = to->tensor.data,
                   .size = (size_t)lac_dtype_bits(a->tensor.dtype) / 8,
                   .step_b = g.c * g.h * g.w};
    job.step_c = layer->channels_last ? 1 : g.h * g.w;
    job.step_w = layer->channels_last ? g.c : 1;
    job.step_h = g.w * job.step_w;
    lac_parallel_for(m, 64, im2col_rows, &job);
    target->operand[LAC_ROLE_WEIGHTS] = *w;
    target->operand[LAC_ROLE_WEIGHTS].packed = NULL;
    target->operand[LAC_ROLE_WEIGHTS].tensor =
        lac_matrix_view(&w->tensor, index * g.k_group * k, g.k_group, k);
    if (w->scale_count > 1)
        target->operand[LAC_ROLE_WEIGHTS].scale = w->scale + index * g.k_group;
    if (w->scale_count > 1)
        target->operand[LAC_ROLE_WEIGHTS].scale_count = g.k_group;
    return LAC_OK;
}

static int64_t macs(const lac_layer *layer)
{
    lac_conv g = lac_conv_of(layer);
    return g.batch * g.out_h * g.out_w * g.k * g.c_group * g.r * g.s;
}

static const char *const aliases[] = {"stride=stride_h,stride_w",
                                      "pad=pad_top,pad_left,pad_bottom,pad_right",
                                      "dilation=dilation_h,dilation_w", NULL};

const lac_layer_kind lac_layer_conv = {
    .row =
        LAC_ROW(lac_layer_kind, "conv", "convolution of [batch][c][h][w] with [k][c/groups][r][s]"),
    .dims = {{"c", -1, 1, INT32_MAX},
             {"h", -1, 1, INT32_MAX},
             {"w", -1, 1, INT32_MAX},
             {"k", -1, 1, INT32_MAX},
             {"r", -1, 1, INT32_MAX},
             {"s", -1, 1, INT32_MAX},
             {"stride_h", 1, 1, INT32_MAX},
             {"stride_w", 1, 1, INT32_MAX},
             {"pad_top", 0, 0, INT32_MAX},
             {"pad_left", 0, 0, INT32_MAX},
             {"pad_bottom", 0, 0, INT32_MAX},
             {"pad_right", 0, 0, INT32_MAX},
             {"dilation_h", 1, 1, INT32_MAX},
             {"dilation_w", 1, 1, INT32_MAX},
             {"groups", 1, 1, INT32_MAX},
             {"batch", 1, 1, INT32_MAX}},
    .check = check,
    .generate = generate,
    .reference = reference,
    .gemm_count = gemm_count,
    .gemm = gemm,
    .macs = macs,
    .aliases = aliases,
    .plain = plain,
};
