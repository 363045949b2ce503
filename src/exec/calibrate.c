/* Calibration: one histogram per operand, then the grid step of least squared error. Clipping a few
 * large elements often costs less than coarser steps for all the others; the histogram tells. */
#include "exec/calibrate.h"

#include "core/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void double_limit(lac_range *range)
{
    for (int i = 0; i < LAC_RANGE_BINS / 2; i++)
        range->bin[i] = range->bin[2 * i] + range->bin[2 * i + 1];
    memset(range->bin + LAC_RANGE_BINS / 2, 0, sizeof range->bin / 2);
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
        if (value == 0 || !isfinite(value))
            range->zeros++;
        else
            range->bin[(int)(value * scale)]++;
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

float lac_range_scale(const lac_range *range, bool *is_unsigned)
{
    *is_unsigned = range->low >= 0;
    return best_scale(range, *is_unsigned ? 255 : 127);
}

float lac_range_signed_scale(const lac_range *range)
{
    return best_scale(range, 127);
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
        if (!range->sum)
            return LAC_ERROR_MEMORY;
        range->channels = channels;
    } else if (channels != range->channels) {
        lac_free(range->sum);
        range->sum = NULL;
        range->channels = 0;
        return LAC_OK;
    }
    const float *at = x->tensor.data;
    for (int64_t i = 0; i < count / run; i++, at += run) {
        double sum = 0;
        for (int64_t j = 0; j < run; j++)
            sum += (double)at[j];
        range->sum[i % channels] += sum;
    }
    range->elements += count / channels;
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
        lac_free(ranges->layer[i]->sum);
        lac_free(ranges->layer[i]);
    }
    lac_free((void *)ranges->layer);
    memset(ranges, 0, sizeof *ranges);
}
