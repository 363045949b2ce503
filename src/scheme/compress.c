/* Runs a composition of schemes: find the weights, let each scheme edit them, measure what came of
 * it, write them back. */
#include "scheme/weights.h"

#include "core/memory.h"
#include "exec/pass.h"

#include <lacuna/kernel.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static lac_status run(lac_compression *compression, const lac_composition *composition,
                      lac_error *err)
{
    if (compression->decide)
        LAC_TRY(compression->decide(compression->decide_context, compression, false, err));
    for (int i = 0; i < composition->n; i++) {
        const lac_scheme *scheme = composition->scheme[i];
        const lac_params *params = &composition->params[i];
        lac_status status = LAC_OK;
        if (status == LAC_OK && scheme->prepare)
            status = scheme->prepare(compression, params, err);
        if (status == LAC_OK && scheme->step)
            status = scheme->step(compression, params, err);
        if (status == LAC_OK && scheme->finish)
            status = scheme->finish(compression, params, err);
        if (status != LAC_OK)
            return lac_fail_in(err, status, "scheme %s", scheme->row.name);
    }
    if (compression->decide)
        LAC_TRY(compression->decide(compression->decide_context, compression, true, err));
    return LAC_OK;
}

static lac_status check_finite(const lac_compression *compression, lac_error *err)
{
    for (int i = 0; i < compression->n_weights; i++) {
        const lac_tensor *tensor = &compression->weights[i].tensor;
        int64_t total = lac_tensor_count(tensor);
        for (int64_t e = 0; e < total; e++)
            if (!isfinite(((const float *)tensor->data)[e]))
                return lac_fail(err, LAC_ERROR_INPUT, "weight of node '%s': element %lld is %g",
                                compression->weights[i].name, (long long)e,
                                (double)((const float *)tensor->data)[e]);
    }
    return LAC_OK;
}

static double relative_error(const lac_weight *weight, const lac_tensor *before)
{
    double difference = 0, norm = 0;
    const float *a = weight->tensor.data, *b = before->data;
    for (int64_t r = 0; r < weight->rows; r++)
        for (int64_t k = 0; k < weight->cols; k++) {
            int64_t at = lac_weight_at(weight, r, k);
            double factor = weight->smoothing ? (double)weight->smoothing[k] : 1;
            double now = (double)a[at] / factor;
            difference += (now - (double)b[at]) * (now - (double)b[at]);
            norm += (double)b[at] * (double)b[at];
        }
    return norm > 0 ? sqrt(difference / norm) : 0;
}

/* Whether a kernel reads weights in `format` beside activations of `dtype`. */
static bool runs_packed(const lac_format *format, lac_dtype dtype)
{
    for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        if (kernel->dtype == dtype && strcmp(kernel->format, format->row.name) == 0)
            return true;
    }
    return false;
}

/* What the user may hope for, from facts of this weight and of the tables only. */
static void expect(lac_weight *weight)
{
    double density = (double)weight->nonzeros / (double)(weight->rows * weight->cols);
    double ratio =
        (double)weight->bytes_before / (double)(weight->bytes_after + !weight->bytes_after);
    bool integers = weight->scale && weight->input_scale > 0; /* on both sides of the product */
    lac_dtype arrives = !integers ? LAC_F32 : weight->input_unsigned ? LAC_U8 : LAC_I8;
    bool packed =
        weight->format && (integers || !weight->scale) && runs_packed(weight->format, arrives);
    const char *speed;
    if (packed && !integers && runs_packed(weight->format, LAC_I8))
        speed = "runs packed where that is faster; quantise too for the integer kernels";
    else if (packed)
        speed = "runs packed where that is faster";
    else if (integers)
        speed = "faster where 8-bit products are (VNNI)";
    else if (weight->scale && weight->keep[0])
        speed = weight->keep;
    else if (weight->scale)
        speed = "as fast as float32: activations stay float (no calibration data)";
    else if (density < 0.9 && !weight->format)
        speed = "not faster: zeros stored densely";
    else
        speed = "runs at the dense speed after unpacking";
    if (!weight->changed)
        speed = weight->keep[0] ? weight->keep : "no scheme touches it";
    snprintf(weight->expect, sizeof weight->expect, "%s", speed);
    if (!weight->changed)
        snprintf(weight->gain, sizeof weight->gain, "unchanged");
    else if (weight->nonzeros == 0)
        snprintf(weight->gain, sizeof weight->gain, "all zeros");
    else if (ratio >= 1.005)
        snprintf(weight->gain, sizeof weight->gain, "%.2fx smaller", ratio);
    else if (ratio <= 0.995)
        snprintf(weight->gain, sizeof weight->gain, "%.2fx larger", 1 / ratio);
    else
        snprintf(weight->gain, sizeof weight->gain, "same size");
}

/* A Conv that took in its BatchNormalization has other weights than the file: the bytes are those
 * of the file. */
static void count_stored(lac_compression *compression, const lac_graph *graph)
{
    for (int w = 0; w < compression->n_weights; w++) {
        lac_weight *weight = &compression->weights[w];
        for (int n = 0; weight->view == LAC_VIEW_CONV && n < graph->n_nodes; n++)
            if (graph->nodes[n].n_in > 1 && strcmp(graph->nodes[n].op, "Conv") == 0 &&
                strcmp(graph->nodes[n].name, weight->name) == 0)
                weight->bytes_before = lac_stored_bytes(graph, graph->nodes[n].in[1]);
    }
}

lac_status lac_compress(lac_compression *compression, const lac_graph *graph, const char *text,
                        lac_error *err)
{
    lac_composition composition;
    LAC_TRY(lac_scheme_parse(text, &composition, err));
    lac_graph *folded;
    LAC_TRY(lac_graph_copy(&folded, graph, err));
    lac_status status = LAC_OK;
    if (compression->decide || !lac_scheme_is_identity(&composition)) {
        status = lac_graph_annotate(folded, err);
        if (status == LAC_OK)
            status = lac_pass_norm(folded, err);
    }
    if (status == LAC_OK)
        status = lac_weights_find(compression, folded, err);
    lac_graph_free(folded);
    LAC_TRY(status);
    count_stored(compression, graph);
    int n = compression->n_weights;
    status = check_finite(compression, err);
    for (int i = 0; status == LAC_OK && i < n; i++)
        status =
            lac_tensor_copy(&compression->weights[i].before, &compression->weights[i].tensor, err);
    if (status == LAC_OK)
        status = run(compression, &composition, err);
    if (status == LAC_OK)
        status = lac_weights_write(compression, err);
    for (int i = 0; status == LAC_OK && i < n; i++) {
        lac_weight *weight = &compression->weights[i];
        weight->error = relative_error(weight, &weight->before);
        lac_tensor_release(&weight->before);
        expect(weight);
    }
    if (status == LAC_OK)
        status = lac_graph_meta_set(compression->graph, "lacuna.scheme", text, err);
    return status;
}
