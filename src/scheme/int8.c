/* int8: weights on a symmetric grid of 127 steps per output channel, activations of the same layers
 * on an 8-bit grid per tensor (0..255 where nothing is negative), its step chosen by least squared
 * error over calibration data, run through the network as the schemes before this one left it; the
 * operands and probabilities of attention too (attention.c). What
 * rounding the weights adds to each output on average is taken off the bias (shift.c). The graph
 * says it with QuantizeLinear / DequantizeLinear pairs. */
#include "core/memory.h"
#include "exec/calibrate.h"
#include "scheme/weights.h"

#include <stdio.h>
#include <string.h>

static lac_status quantize(lac_weight *weight, const lac_ranges *ranges, lac_error *err)
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
        weight->input_scale = lac_range_scale(&arriving->range, &weight->input_unsigned);
        status = lac_weight_shift(weight, before.data, arriving, err);
    }
    lac_tensor_release(&before);
    return status;
}

/* On what schemes before this one made of the network. */
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
    if (asked && !calibration && params->is_set[0])
        return lac_fail(err, LAC_ERROR_INPUT,
                        "activations=int8 needs calibration data: give --meta FILE with a task "
                        "(docs/data.md)");
    if (asked && compression->ranges)
        ranges = compression->ranges;
    else if (asked && calibration)
        LAC_TRY(calibrate(compression, lac_params_int(params, "samples"), &collected, err));
    lac_status status = LAC_OK;
    for (int i = 0; status == LAC_OK && i < compression->n_weights; i++)
        status = quantize(&compression->weights[i], ranges, err);
    if (status == LAC_OK && attention && ranges->n)
        status = lac_attention_write(compression, ranges, err);
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
    {0}};

const lac_scheme lac_scheme_int8 = {
    .row = LAC_ROW(lac_scheme, "int8", "8-bit weights per output channel, calibrated activations"),
    .params = params,
    .formats = "",
    .calibrates = true,
    .finish = finish,
};
