/* int8: weights on a symmetric grid of 127 steps per output channel, activations of the same layers
 * on an 8-bit grid per tensor, its step chosen by least squared error over calibration data, run
 * through the network as the schemes before this one left it: 0..255 where nothing is negative, or
 * with a zero point where most is of one sign (behind GELU), else -127..127. Uneven channels behind
 * LayerNormalization go into the weights first (smooth.c); a small product that rounding would hurt
 * stays float; the operands and probabilities of attention are rounded too (attention.c). What
 * rounding the weights adds to each output on average is taken off the bias (shift.c). The graph
 * says it with QuantizeLinear / DequantizeLinear pairs. */
#include "core/memory.h"
#include "exec/calibrate.h"
#include "scheme/weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SMALL 0.01 /* of all products: as floats it costs no time that shows */

/* What part of its outputs' standard deviation rounding what arrives (squared error `error` per
 * element) is expected to add, taking channels and errors as uncorrelated; 0 where not known. */
static double expected_loss(const lac_weight *weight, const struct lac_layer_range *arriving,
                            double error)
{
    int64_t own = weight->view == LAC_VIEW_CONV ? weight->tensor.dims[1] : weight->cols;
    if (!arriving->sum || arriving->elements < 1 || own < 1 || arriving->channels % own != 0 ||
        weight->rows % (arriving->channels / own) != 0)
        return 0;
    int64_t group = weight->rows / (arriving->channels / own); /* rows that share channels */
    double noise = 0, signal = 0, n = (double)arriving->elements;
    const float *w = weight->tensor.data;
    for (int64_t r = 0; r < weight->rows; r++)
        for (int64_t k = 0; k < weight->cols; k++) { /* channels run fastest */
            double x = (double)w[lac_weight_at(weight, r, k)];
            int64_t channel = r / group * own + k % own;
            double mean = arriving->sum[channel] / n;
            noise += x * x * error;
            signal += x * x * (arriving->square[channel] / n - mean * mean);
        }
    return signal > 0 ? sqrt(noise / signal) : 0;
}

/* Products of a matrix product; convolutions are never small enough beside it. */
static double work(const lac_weight *weight, const struct lac_layer_range *arriving)
{
    return weight->view == LAC_VIEW_CONV
               ? INFINITY
               : (double)arriving->elements * (double)weight->rows * (double)weight->cols;
}

static double total_work(const lac_compression *compression, const lac_ranges *ranges)
{
    double total = 0;
    for (int i = 0; i < compression->n_weights; i++) {
        const lac_weight *weight = &compression->weights[i];
        const struct lac_layer_range *arriving =
            lac_ranges_layer(ranges, weight->name, LAC_ROLE_ACTIVATIONS);
        if (arriving && weight->view != LAC_VIEW_CONV)
            total += work(weight, arriving);
    }
    return total;
}

static lac_status quantize(lac_weight *weight, const lac_ranges *ranges, double limit, double total,
                           lac_error *err)
{
    if (weight->view == LAC_VIEW_ROWS && weight->tensor.rank != 2) {
        snprintf(weight->keep, sizeof weight->keep, "recurrent weights stay as they are");
        return LAC_OK;
    }
    const struct lac_layer_range *arriving =
        lac_ranges_layer(ranges, weight->name, LAC_ROLE_ACTIVATIONS);
    lac_tensor before = {0};
    if (arriving)
        LAC_TRY(lac_tensor_copy(&before, &weight->tensor, err));
    lac_status status = lac_weight_quantize(weight, 127, err);
    if (status == LAC_OK && arriving) {
        double error;
        float scale =
            lac_range_grid(&arriving->range, &weight->input_unsigned, &weight->input_zero, &error);
        double loss = expected_loss(weight, arriving, error);
        if (loss <= limit || work(weight, arriving) > SMALL * total)
            weight->input_scale = scale;
        else
            snprintf(weight->keep, sizeof weight->keep,
                     "as fast as float32: rounding what arrives would cost %.0f %% of its outputs",
                     100 * loss);
        status = lac_weight_shift(weight, before.data, arriving, err);
    }
    lac_tensor_release(&before);
    return status;
}

/* Ranges of the network as the schemes have left it so far. */
static lac_status calibrate(lac_compression *compression, int64_t samples, lac_ranges *ranges,
                            lac_error *err)
{
    const lac_calibration *calibration = compression->calibration;
    lac_graph *draft;
    LAC_TRY(lac_weights_draft(compression, &draft, err));
    lac_status status = lac_ranges_collect(
        ranges, draft, samples < calibration->samples ? samples : calibration->samples,
        calibration->sample, calibration->context, compression->progress,
        compression->progress_context, err);
    lac_graph_free(draft);
    return status;
}

static lac_status finish(lac_compression *compression, const lac_params *params, lac_error *err)
{
    lac_ranges collected = {0};
    const lac_ranges *ranges = &collected;
    const lac_calibration *calibration = compression->calibration;
    bool asked = strcmp(lac_params_text(params, "activations"), "int8") == 0;
    bool attention = strcmp(lac_params_text(params, "attention"), "int8") == 0;
    bool fine = strcmp(lac_params_text(params, "probabilities"), "calibrated") == 0;
    bool smooth = strcmp(lac_params_text(params, "smooth"), "on") == 0;
    double limit = lac_params_real(params, "tolerance");
    lac_status status = LAC_OK;
    if (asked && !calibration && params->is_set[0])
        return lac_fail(err, LAC_ERROR_INPUT,
                        "activations=int8 needs calibration data: give --meta FILE with a task "
                        "(docs/data.md)");
    if (asked && calibration) {
        int64_t samples = lac_params_int(params, "samples");
        bool moved = false;
        if (compression->ranges)
            ranges = compression->ranges;
        else
            LAC_TRY(calibrate(compression, samples, &collected, err));
        if (smooth)
            status = lac_smooth(compression, ranges, &moved, err);
        if (moved) { /* what arrives is divided now */
            lac_ranges_release(&collected);
            ranges = &collected;
            if (status == LAC_OK)
                LAC_TRY(calibrate(compression, samples, &collected, err));
        }
    }
    double total = total_work(compression, ranges);
    for (int i = 0; status == LAC_OK && i < compression->n_weights; i++)
        status = quantize(&compression->weights[i], ranges, limit, total, err);
    if (status == LAC_OK && attention && ranges->n)
        status = lac_attention_write(compression, ranges, fine, err);
    lac_ranges_release(&collected);
    return status;
}

static const lac_param params[] = {
    {"activations", LAC_PARAM_CHOICE, "", 0, 0, 0, "int8", "int8|float", LAC_OPTION, "",
     "activations on an 8-bit grid too, or weights only"},
    {"samples", LAC_PARAM_INT, "", 64, 1, 100000, NULL, NULL, LAC_OPTION, "",
     "calibration samples, at most"},
    {"attention", LAC_PARAM_CHOICE, "", 0, 0, 0, "int8", "int8|float", LAC_OPTION, "",
     "operands and probabilities of attention on an 8-bit grid, "
     "where activations are"},
    {"probabilities", LAC_PARAM_CHOICE, "", 0, 0, 0, "calibrated", "calibrated|full", LAC_OPTION,
     "", "steps of attention's probabilities: for the largest one seen, or for 1"},
    {"tolerance", LAC_PARAM_REAL, "", 0.05, 0, 1000, NULL, NULL, LAC_OPTION, "",
     "a product of less than 1 % of the network's stays float where rounding what arrives would "
     "add "
     "more than this part of the standard deviation of its outputs"},
    {"smooth", LAC_PARAM_CHOICE, "", 0, 0, 0, "on", "on|off", LAC_OPTION, "",
     "uneven channels behind LayerNormalization moved into the weights that read them"},
    {0}};

const lac_scheme lac_scheme_int8 = {
    .row = LAC_ROW(lac_scheme, "int8", "8-bit weights per output channel, calibrated activations"),
    .params = params,
    .formats = "",
    .calibrates = true,
    .finish = finish,
};
