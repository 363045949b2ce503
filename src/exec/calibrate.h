/* Ranges of the operands that arrive at run time, per layer, from calibration samples; of
 * activations also what each channel is on average. */
#ifndef LACUNA_EXEC_CALIBRATE_H
#define LACUNA_EXEC_CALIBRATE_H

#include <lacuna/lacuna.h>

enum { LAC_RANGE_BINS = 2048 };

/* A histogram of magnitudes over [0, limit); the limit doubles (bins merge) when a larger one
 * comes. Zeros are counted apart: they are exact on every grid. */
typedef struct lac_range {
    double low, high; /* least and largest element seen */
    double limit;
    int64_t zeros, count;
    int64_t bin[LAC_RANGE_BINS];
} lac_range;

void lac_range_add(lac_range *range, const lac_tensor *tensor); /* float32 */
/* The step of the 8-bit grid with the least mean squared error over what was seen: 0..255 steps
 * when nothing was negative (*is_unsigned), else -127..127. 1 when all was zero. */
float lac_range_scale(const lac_range *range, bool *is_unsigned);
/* The same for -127..127, whatever was seen. */
float lac_range_signed_scale(const lac_range *range);

/* Ranges of every layer's arriving operands, found by running the network. */
typedef struct lac_ranges {
    int n;
    struct lac_layer_range {
        char name[128]; /* layer name */
        lac_role role;  /* activations, query, key, value */
        lac_range range;
        /* Activations of products and convolutions: the sum over `elements` elements of each input
         * channel (feature). channels 0, sum NULL: another kind, or its calls differ. */
        double *sum;
        int64_t channels, elements;
    } * *layer;
} lac_ranges;

/* Runs `samples` samples, each a set of graph inputs from `sample` (released here). */
lac_status lac_ranges_collect(lac_ranges *ranges, const lac_graph *graph, int64_t samples,
                              lac_status (*sample)(void *context, int64_t index, lac_tensor *in,
                                                   lac_error *err),
                              void *context,
                              void (*progress)(void *context, const char *stage, double done),
                              void *progress_context, lac_error *err);
/* NULL: the layer was never run. */
const lac_range *lac_ranges_find(const lac_ranges *ranges, const char *name, lac_role role);
/* The same as the layer's record; NULL too. */
const struct lac_layer_range *lac_ranges_layer(const lac_ranges *ranges, const char *name,
                                               lac_role role);
void lac_ranges_release(lac_ranges *ranges);

#endif
