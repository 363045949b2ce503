/* Effectual multiply-accumulates of a product: column k of A meets column k of W, every non-zero of
 * one with every non-zero of the other. Column counts run over rows with byte counters, 255 rows at
 * a time, so that a load and an add handle a whole vector of columns. For a convolution, im2col
 * column (c, r, s) holds the strided window of channel c: kernel row r selects input rows, whose
 * column counts then serve every s. */
#include "accel/kit/count.h"

#include <string.h>

#include "core/clones.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "graph/layer_conv.h"
#include "graph/layer_tools.h"

LAC_CLONES static void add_row8(uint8_t *restrict count, const uint8_t *restrict row, int64_t cols)
{
    for (int64_t i = 0; i < cols; i++)
        count[i] += row[i] != 0;
}

static void add_row16(uint8_t *restrict count, const int16_t *restrict row, int64_t cols)
{
    for (int64_t i = 0; i < cols; i++)
        count[i] += row[i] != 0;
}

#define STRIP 4096 /* columns at a time: the counters stay in the first-level cache */

static void count_strip(int64_t *count, const lac_tensor *tensor, int64_t first, int64_t step,
                        int64_t rows, int64_t cols)
{
    uint8_t part[STRIP];
    for (int64_t begin = 0; begin < rows; begin += 255) {
        int64_t end = rows - begin < 255 ? rows : begin + 255;
        memset(part, 0, (size_t)cols);
        for (int64_t row = begin; row < end; row++) {
            int64_t at = first + row * step;
            if (tensor->dtype == LAC_I16)
                add_row16(part, (const int16_t *)tensor->data + at, cols);
            else
                add_row8(part, (const uint8_t *)tensor->data + at, cols);
        }
        for (int64_t i = 0; i < cols; i++)
            count[i] += part[i];
    }
}

typedef struct strips {
    int64_t *count;
    const lac_tensor *tensor;
    int64_t first, step, rows, cols;
} strips;

static void count_strips(void *context, int64_t begin, int64_t end)
{
    const strips *s = context;
    for (int64_t strip = begin; strip < end; strip++) {
        int64_t from = strip * STRIP, to = from + STRIP < s->cols ? from + STRIP : s->cols;
        count_strip(s->count + from, s->tensor, s->first + from, s->step, s->rows, to - from);
    }
}

void lac_count_columns(int64_t *count, const lac_tensor *tensor, int64_t first, int64_t step,
                       int64_t rows, int64_t cols)
{
    strips s = {count, tensor, first, step, rows, cols};
    lac_parallel_for((cols + STRIP - 1) / STRIP, 1 + (1 << 18) / (rows * STRIP), count_strips, &s);
}

LAC_CLONES static int64_t nonzeros8(const uint8_t *data, int64_t count)
{
    int64_t total = 0;
    for (int64_t begin = 0; begin < count; begin += 16384) {
        int64_t end = count - begin < 16384 ? count : begin + 16384;
        int32_t part = 0;
        for (int64_t i = begin; i < end; i++)
            part += data[i] != 0;
        total += part;
    }
    return total;
}

int64_t lac_count_nonzeros(const lac_tensor *tensor)
{
    int64_t count = lac_tensor_count(tensor), total = 0;
    if (tensor->dtype != LAC_I16)
        return nonzeros8(tensor->data, count);
    for (int64_t i = 0; i < count; i++)
        total += ((const int16_t *)tensor->data)[i] != 0;
    return total;
}

static lac_status count_gemm(const lac_layer *gemm, int64_t *effectual, lac_error *err)
{
    const lac_tensor *a = &gemm->operand[LAC_ROLE_ACTIVATIONS].tensor;
    const lac_tensor *w = &gemm->operand[LAC_ROLE_WEIGHTS].tensor;
    int64_t k = a->dims[1], *count = lac_alloc((size_t)k, 2 * sizeof *count, err);
    if (!count)
        return LAC_ERROR_MEMORY;
    lac_count_columns(count, a, 0, k, a->dims[0], k);
    lac_count_columns(count + k, w, 0, k, w->dims[0], k);
    for (int64_t i = 0; i < k; i++)
        *effectual += count[i] * count[k + i];
    lac_free(count);
    return LAC_OK;
}

/* ---- convolutions ---- */

typedef struct windows {
    lac_conv g;
    const lac_tensor *a;
    int64_t *count; /* [c][r][s] non-zeros met */
    int64_t *line;  /* [c][w] scratch */
} windows;

/* Outputs 0 <= o < out whose input o * stride + offset is inside 0..in-1. */
static void span(int64_t in, int64_t out, int64_t offset, int64_t stride, int64_t *from,
                 int64_t *to)
{
    *from = offset >= 0 ? 0 : (-offset + stride - 1) / stride;
    *to = offset >= in ? 0 : (in - 1 - offset) / stride + 1;
    if (*to > out)
        *to = out;
}

static void count_windows(void *context, int64_t begin, int64_t end)
{
    const windows *job = context;
    const lac_conv *g = &job->g;
    for (int64_t plane = begin * g->batch; plane < end * g->batch; plane++) {
        int64_t c = plane / g->batch, b = plane % g->batch;
        int64_t *count = job->count + c * g->r * g->s, *line = job->line + c * g->w;
        for (int64_t r = 0; r < g->r; r++, count += g->s) {
            int64_t y0, y1, x0, x1, oy = r * g->dilation_h - g->pad_top;
            span(g->h, g->out_h, oy, g->stride_h, &y0, &y1);
            if (y0 >= y1)
                continue;
            memset(line, 0, (size_t)g->w * sizeof *line);
            int64_t first = ((b * g->c + c) * g->h + y0 * g->stride_h + oy) * g->w;
            for (int64_t x = 0; x < g->w; x += STRIP)
                count_strip(line + x, job->a, first + x, g->stride_h * g->w, y1 - y0,
                            g->w - x < STRIP ? g->w - x : STRIP);
            for (int64_t s = 0; s < g->s; s++) {
                int64_t ox = s * g->dilation_w - g->pad_left;
                span(g->w, g->out_w, ox, g->stride_w, &x0, &x1);
                for (int64_t x = x0; x < x1; x++)
                    count[s] += line[x * g->stride_w + ox];
            }
        }
    }
}

static lac_status count_conv(const lac_layer *layer, lac_effectual *effectual, lac_error *err)
{
    const lac_tensor *a = &layer->operand[LAC_ROLE_ACTIVATIONS].tensor;
    const lac_tensor *w = &layer->operand[LAC_ROLE_WEIGHTS].tensor;
    lac_conv g = lac_conv_of(layer);
    int64_t taps = g.r * g.s, k = g.c_group * taps;
    LAC_TRY(lac_operand_need(layer, LAC_ROLE_ACTIVATIONS, g.batch * g.c * g.h * g.w, err));
    LAC_TRY(lac_operand_need(layer, LAC_ROLE_WEIGHTS, g.k * k, err));
    int64_t *met = lac_alloc((size_t)(g.c * taps), sizeof *met, err);
    int64_t *line = met ? lac_alloc((size_t)(g.c * g.w), sizeof *line, err) : NULL;
    int64_t *weights = line ? lac_alloc((size_t)k, sizeof *weights, err) : NULL;
    lac_status status = weights ? LAC_OK : LAC_ERROR_MEMORY;
    if (weights) {
        windows job = {g, a, met, line};
        lac_parallel_for(g.c, 1 + 65536 / (g.h * g.w), count_windows, &job);
        for (int64_t group = 0; group < g.groups; group++) {
            memset(weights, 0, (size_t)k * sizeof *weights);
            lac_count_columns(weights, w, group * g.k_group * k, k, g.k_group, k);
            for (int64_t i = 0; i < k; i++) {
                effectual->macs += met[group * k + i] * weights[i];
                effectual->nnz_w += weights[i];
            }
        }
        effectual->nnz_a = lac_count_nonzeros(a);
    }
    lac_free(weights);
    lac_free(line);
    lac_free(met);
    return status;
}

lac_status lac_count_effectual(const lac_layer *layer, lac_effectual *effectual, lac_error *err)
{
    memset(effectual, 0, sizeof *effectual);
    if (strcmp(layer->kind->row.name, "conv") == 0)
        return count_conv(layer, effectual, err);
    const void *last = NULL; /* weights that several products share count once */
    bool lstm = strcmp(layer->kind->row.name, "lstm") == 0;
    for (int64_t i = 0; i < layer->kind->gemm_count(layer); i++) {
        lac_layer gemm;
        LAC_TRY(layer->kind->gemm(layer, i, &gemm, err));
        const lac_tensor *w = &gemm.operand[LAC_ROLE_WEIGHTS].tensor;
        lac_status status = count_gemm(&gemm, &effectual->macs, err);
        if (!(lstm && i > 0) && w->data != last)
            effectual->nnz_w += lac_count_nonzeros(w);
        last = w->buffer ? NULL : w->data;
        effectual->nnz_a += lac_count_nonzeros(&gemm.operand[LAC_ROLE_ACTIVATIONS].tensor);
        lac_layer_release(&gemm);
        LAC_TRY(status);
    }
    return LAC_OK;
}
