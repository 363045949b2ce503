/* Calibration: one histogram per operand, then the grid step of least squared error. Clipping a few
 * large elements often costs less than coarser steps for all the others; the histogram tells. */
#include "exec/calibrate.h"

#include "core/memory.h"
#include "cpu/geometry.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void double_limit(lac_range *range)
{
    for (int i = 0; i < LAC_RANGE_BINS / 2; i++) {
        range->bin[i] = range->bin[2 * i] + range->bin[2 * i + 1];
        range->below[i] = range->below[2 * i] + range->below[2 * i + 1];
    }
    memset(range->bin + LAC_RANGE_BINS / 2, 0, sizeof range->bin / 2);
    memset(range->below + LAC_RANGE_BINS / 2, 0, sizeof range->below / 2);
    range->limit *= 2;
}

void lac_range_add(lac_range *range, const lac_tensor *tensor)
{
    const float *x = tensor->data;
    int64_t count = lac_tensor_count(tensor);
    double largest = 0;
    for (int64_t i = 0; i < count; i++) {
        double value = (double)x[i];
        if (!isfinite(value))
            continue; /* the outputs tell; a grid cannot hold it */
        range->low = fmin(range->low, value);
        range->high = fmax(range->high, value);
        largest = fmax(largest, fabs(value));
    }
    if (range->limit == 0 && largest > 0)
        range->limit = largest * 1.0000001;
    while (largest >= range->limit && largest > 0)
        double_limit(range);
    double scale = range->limit > 0 ? LAC_RANGE_BINS / range->limit : 0;
    for (int64_t i = 0; i < count; i++) {
        double value = fabs((double)x[i]);
        if (value == 0 || !isfinite(value)) {
            range->zeros++;
            continue;
        }
        int bin = (int)(value * scale);
        range->bin[bin]++;
        range->below[bin] += x[i] < 0;
    }
    range->count += count;
}

/* Squared error of the histogram on a grid of `levels` steps up to `top`. */
static double error_at(const lac_range *range, double top, int levels)
{
    double step = top / levels, width = range->limit / LAC_RANGE_BINS, error = 0;
    for (int i = 0; i < LAC_RANGE_BINS; i++) {
        if (!range->bin[i])
            continue;
        double value = (i + 0.5) * width;
        double q = fmin(rint(value / step), levels) * step;
        error += (double)range->bin[i] * (value - q) * (value - q);
    }
    return error;
}

static float best_scale(const lac_range *range, int levels)
{
    double largest = fmax(range->high, -range->low);
    if (!(largest > 0))
        return 1;
    double best = largest, least = error_at(range, largest, levels);
    for (int i = 99; i >= 30; i--) { /* clip at 30 .. 99 % of the largest */
        double top = largest * i / 100, error = error_at(range, top, levels);
        if (error < least) {
            least = error;
            best = top;
        }
    }
    return (float)(best / levels);
}

/* Squared error of the histogram on a grid of `step` with `down` steps below 0 and `up` above. */
static double error_beside(const lac_range *range, double step, int down, int up)
{
    double width = range->limit / LAC_RANGE_BINS, error = 0;
    for (int i = 0; i < LAC_RANGE_BINS; i++) {
        if (!range->bin[i])
            continue;
        double value = (i + 0.5) * width, q = rint(value / step);
        double over = value - fmin(q, up) * step, under = value - fmin(q, down) * step;
        error += (double)(range->bin[i] - range->below[i]) * over * over;
        error += (double)range->below[i] * under * under;
    }
    return error;
}

/* The best step with a zero point; *least is its error. */
static double best_beside(const lac_range *range, int *zero, double *least)
{
    double best = 0;
    *least = INFINITY;
    for (int below = 10; below >= 2; below--) /* clip at 20 .. 100 % on the shorter side, and */
        for (int above = 30; above >= 9; above--) { /* 30 .. 100 % on the longer */
            bool turned = -range->low > range->high;
            double low = -range->low * (turned ? above / 30.0 : below / 10.0);
            double high = range->high * (turned ? below / 10.0 : above / 30.0);
            double step = (low + high) / 255;
            if (!(step > 0))
                continue;
            int z = (int)fmin(fmax(2 * rint(low / step / 2), 2), 254);
            step = fmax(low / z, high / (255 - z)); /* both ends inside */
            double error = error_beside(range, step, z, 255 - z);
            if (error < *least) {
                *least = error;
                *zero = z;
                best = step;
            }
        }
    return best;
}

float lac_range_grid(const lac_range *range, bool *is_unsigned, int *zero, double *error)
{
    enum { WORTH = 75 }; /* per cent of the symmetric grid's error that a zero point may leave */
    float scale = lac_range_scale(range, is_unsigned);
    int levels = *is_unsigned ? 255 : 127, z = 0;
    double least, now = range->limit > 0 ? error_at(range, (double)scale * levels, levels) : 0;
    *zero = 0;
    if (!*is_unsigned && range->limit > 0) {
        double step = best_beside(range, &z, &least);
        if (least * 100 < now * WORTH && isnormal((float)step)) {
            *is_unsigned = true;
            *zero = z;
            scale = (float)step;
            now = least;
        }
    }
    if (error)
        *error = range->count > 0 ? now / (double)range->count : 0;
    return scale;
}

float lac_range_scale(const lac_range *range, bool *is_unsigned)
{
    *is_unsigned = range->low >= 0;
    return best_scale(range, *is_unsigned ? 255 : 127);
}

float lac_range_signed_scale(const lac_range *range)
{
    return best_scale(range, 127);
}

float lac_range_probability_scale(const lac_range *roots)
{
    double best = 1, least = INFINITY, width = roots->limit / LAC_RANGE_BINS;
    for (double top = 1; top > 1.0 / 1024; top *= 0.93) {
        double error = 0, step = top / 255;
        for (int i = 0; i < LAC_RANGE_BINS; i++) {
            double p = (i + 0.5) * width * (i + 0.5) * width, q = fmin(rint(p / step), 255) * step;
            error += (double)roots->bin[i] * (p - q) * (p - q);
        }
        if (error < least) {
            least = error;
            best = top;
        }
    }
    /* Nothing seen is clipped: other samples have larger ones anyway. */
    return (float)fmin(fmax(best, roots->high * roots->high), 1) / 255;
}

static struct lac_layer_range *find(const lac_ranges *ranges, const char *name, lac_role role)
{
    for (int i = 0; i < ranges->n; i++)
        if (ranges->layer[i]->role == role && strcmp(ranges->layer[i]->name, name) == 0)
            return ranges->layer[i];
    return NULL;
}

const struct lac_layer_range *lac_ranges_layer(const lac_ranges *ranges, const char *name,
                                               lac_role role)
{
    const struct lac_layer_range *there = find(ranges, name, role);
    if (there)
        return there;
    /* a product of q, k and v together was run as three that read the same: NAME.q, .k, .v */
    size_t length = strlen(name);
    for (int i = 0; i < ranges->n; i++)
        if (ranges->layer[i]->role == role && strncmp(ranges->layer[i]->name, name, length) == 0 &&
            strcmp(ranges->layer[i]->name + length, ".q") == 0)
            return ranges->layer[i];
    return NULL;
}

const lac_range *lac_ranges_find(const lac_ranges *ranges, const char *name, lac_role role)
{
    const struct lac_layer_range *there = lac_ranges_layer(ranges, name, role);
    return there ? &there->range : NULL;
}

static struct lac_layer_range *find_or_add(lac_ranges *ranges, const char *name, lac_role role,
                                           lac_error *err)
{
    struct lac_layer_range *there = find(ranges, name, role);
    if (there)
        return there;
    size_t n = (size_t)ranges->n;
    struct lac_layer_range **layers =
        lac_grow((void *)ranges->layer, n, n + 1, sizeof *layers, err);
    if (!layers)
        return NULL;
    ranges->layer = layers;
    struct lac_layer_range *added = lac_alloc(1, sizeof *added, err);
    if (!added)
        return NULL;
    snprintf(added->name, sizeof added->name, "%s", name);
    added->role = role;
    layers[n] = added;
    ranges->n++;
    return added;
}

static void forget_channels(struct lac_layer_range *range)
{
    lac_free(range->sum);
    lac_free(range->square);
    lac_free(range->peak);
    range->sum = range->square = NULL;
    range->peak = NULL;
    range->channels = 0;
}

/* Adds up what arrives per input channel (conv) or feature (gemm); one thread, in order. */
static lac_status add_sums(struct lac_layer_range *range, const lac_layer *layer, lac_error *err)
{
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    bool conv = strcmp(layer->kind->row.name, "conv") == 0;
    if ((!conv && strcmp(layer->kind->row.name, "gemm") != 0) || x->transposed)
        return LAC_OK;
    int64_t channels = lac_layer_dim_get(layer, conv ? "c" : "k");
    int64_t run = 1; /* neighbours of one channel */
    if (conv && !layer->channels_last)
        run = lac_layer_dim_get(layer, "h") * lac_layer_dim_get(layer, "w");
    int64_t count = lac_tensor_count(&x->tensor);
    if (channels < 1 || run < 1 || count % (channels * run) != 0)
        return LAC_OK;
    if (!range->sum && range->range.count == count) { /* the first call */
        range->sum = lac_alloc((size_t)channels, sizeof *range->sum, err);
        range->square = lac_alloc((size_t)channels, sizeof *range->square, err);
        range->peak = lac_alloc((size_t)channels, sizeof *range->peak, err);
        if (!range->sum || !range->square || !range->peak)
            return LAC_ERROR_MEMORY;
        range->channels = channels;
    } else if (channels != range->channels) {
        forget_channels(range);
        return LAC_OK;
    }
    const float *at = x->tensor.data;
    for (int64_t i = 0; i < count / run; i++, at += run) {
        double sum = 0, square = 0;
        float peak = 0;
        for (int64_t j = 0; j < run; j++) {
            sum += (double)at[j];
            square += (double)at[j] * (double)at[j];
            peak = fmaxf(peak, fabsf(at[j]));
        }
        range->sum[i % channels] += sum;
        range->square[i % channels] += square;
        range->peak[i % channels] = fmaxf(range->peak[i % channels], peak);
    }
    range->elements += count / channels;
    return LAC_OK;
}

/* Element [batch][head][row][0] of an operand; tokens may come first. */
static const float *row_at(const lac_operand *x, const lac_attention_geometry *g, int64_t tokens,
                           int64_t outer, int64_t row)
{
    int64_t batch = outer / g->heads, head = outer % g->heads;
    int64_t at = g->tokens_first ? (batch * tokens + row) * g->heads + head : outer * tokens + row;
    return (const float *)x->tensor.data + at * g->dim;
}

/* Roots of the probabilities of some rows of each head: a few tell enough. */
static lac_status add_probabilities(lac_ranges *ranges, const lac_layer *layer, lac_error *err)
{
    enum { ROWS = 16 };
    lac_attention_geometry g;
    const lac_operand *q = &layer->operand[LAC_ROLE_QUERY], *k = &layer->operand[LAC_ROLE_KEY];
    const lac_tensor *mask = &layer->operand[LAC_ROLE_MASK].tensor;
    if (!lac_attention_geometry_of(layer, &g) || q->tensor.dtype != LAC_F32 ||
        k->tensor.dtype != LAC_F32 || !q->tensor.data || !k->tensor.data || g.keys < 1)
        return LAC_OK;
    struct lac_layer_range *range = find_or_add(ranges, layer->name, LAC_ROLE_ACTIVATIONS, err);
    lac_tensor roots;
    if (!range)
        return LAC_ERROR_MEMORY;
    LAC_TRY(lac_tensor_make(&roots, LAC_F32, 1, &g.keys, err));
    float *p = roots.data;
    int64_t step = g.tokens > ROWS ? g.tokens / ROWS : 1;
    for (int64_t outer = 0; outer < g.batch * g.heads; outer++)
        for (int64_t i = 0; i < g.tokens; i += step) {
            const float *a = row_at(q, &g, g.tokens, outer, i);
            double high = -INFINITY, sum = 0;
            for (int64_t j = 0; j < g.keys; j++) {
                const float *b = row_at(k, &g, g.keys, outer, j);
                double score = 0;
                for (int64_t d = 0; d < g.dim; d++)
                    score += (double)a[d] * (double)b[d];
                score *= layer->softmax_scale;
                if (mask->data)
                    score += (double)((const float *)mask->data)[outer / g.heads * g.mask_batch +
                                                                 outer % g.heads * g.mask_head +
                                                                 i * g.mask_row + j * g.mask_col];
                p[j] = (float)score;
                high = fmax(high, score);
            }
            for (int64_t j = 0; j < g.keys; j++)
                sum += exp((double)p[j] - high);
            for (int64_t j = 0; j < g.keys; j++)
                p[j] = (float)sqrt(exp((double)p[j] - high) / sum);
            lac_range_add(&range->range, &roots);
        }
    lac_tensor_release(&roots);
    return LAC_OK;
}

/* Only looks: the kernel computes the layer. */
static lac_status observe(void *context, const lac_layer *layer, lac_error *err)
{
    static const lac_role arriving[] = {LAC_ROLE_ACTIVATIONS, LAC_ROLE_QUERY, LAC_ROLE_KEY,
                                        LAC_ROLE_VALUE};
    for (size_t i = 0; i < sizeof arriving / sizeof *arriving; i++) {
        const lac_tensor *tensor = &layer->operand[arriving[i]].tensor;
        if (!tensor->data || tensor->dtype != LAC_F32)
            continue;
        struct lac_layer_range *range = find_or_add(context, layer->name, arriving[i], err);
        if (!range)
            return LAC_ERROR_MEMORY;
        lac_range_add(&range->range, tensor);
        if (arriving[i] == LAC_ROLE_ACTIVATIONS)
            LAC_TRY(add_sums(range, layer, err));
    }
    LAC_TRY(add_probabilities(context, layer, err));
    return LAC_ERROR_UNSUPPORTED;
}

lac_status lac_ranges_collect(lac_ranges *ranges, const lac_graph *graph, int64_t samples,
                              lac_status (*sample)(void *context, int64_t index, lac_tensor *in,
                                                   lac_error *err),
                              void *context,
                              void (*progress)(void *context, const char *stage, double done),
                              void *progress_context, lac_error *err)
{
    memset(ranges, 0, sizeof *ranges);
    lac_session *session;
    lac_session_options options = {.runner = observe, .runner_context = ranges};
    LAC_TRY(lac_session_make(&session, graph, &options, err));
    lac_tensor *in = lac_alloc((size_t)graph->n_inputs, sizeof *in, err);
    lac_tensor *out = lac_alloc((size_t)graph->n_outputs, sizeof *out, err);
    lac_status status = in && out ? LAC_OK : LAC_ERROR_MEMORY;
    for (int64_t s = 0; status == LAC_OK && s < samples; s++) {
        if (progress)
            progress(progress_context, "calibrate", (double)s / (double)samples);
        status = sample(context, s, in, err);
        if (status == LAC_OK)
            status = lac_session_run(session, in, out, err);
        for (int i = 0; in && i < graph->n_inputs; i++)
            lac_tensor_release(&in[i]);
        for (int i = 0; out && i < graph->n_outputs; i++)
            lac_tensor_release(&out[i]);
    }
    lac_free(in);
    lac_free(out);
    lac_session_free(session);
    if (status != LAC_OK)
        lac_ranges_release(ranges);
    return status;
}

void lac_ranges_release(lac_ranges *ranges)
{
    for (int i = 0; i < ranges->n; i++) {
        forget_channels(ranges->layer[i]);
        lac_free(ranges->layer[i]);
    }
    lac_free((void *)ranges->layer);
    memset(ranges, 0, sizeof *ranges);
}
