/* deep-compression (Han, Mao, Dally, ICLR 2016, arXiv 1510.00149), in one shot: prune to a density
 * by magnitude, share the remaining weights of each layer by k-means, store codes and relative row
 * indices (format eie-csc). Huffman coding belongs to the .dcz file. A layer that already has so
 * few distinct values keeps them. */
#include "core/memory.h"
#include "core/text.h"
#include "format/share.h"
#include "scheme/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CENTROIDS 255

/* The density of every weight: the general one, or its own in "NAME@DENSITY;NAME@DENSITY". */
static lac_status density_of(const lac_compression *compression, const lac_params *params,
                             double *density, lac_error *err)
{
    char text[64], *rest = text;
    snprintf(text, sizeof text, "%s", lac_params_text(params, "layers"));
    for (int i = 0; i < compression->n_weights; i++)
        density[i] = lac_params_real(params, "density");
    for (char *part; (part = strsep(&rest, ";"));) {
        char *at = strrchr(part, '@');
        double value;
        bool found = false;
        if (*part == 0)
            continue;
        if (!at || !lac_parse_f64(at + 1, &value) || !(value >= 0 && value <= 1))
            return lac_fail(err, LAC_ERROR_INPUT,
                            "layers: '%s' is not NAME@DENSITY with a density of 0 to 1", part);
        *at = 0;
        for (int i = 0; i < compression->n_weights; i++)
            if (strcmp(compression->weights[i].name, part) == 0) {
                density[i] = value;
                found = true;
            }
        if (!found)
            return lac_fail(err, LAC_ERROR_INPUT, "layers: no weight belongs to a node '%s'", part);
    }
    return LAC_OK;
}

static lac_status prune(lac_compression *compression, const lac_params *params, lac_error *err)
{
    int n = compression->n_weights;
    double *density = lac_alloc((size_t)n, sizeof *density, err);
    lac_weight **all = density ? lac_alloc((size_t)n, sizeof *all, err) : NULL;
    lac_status status = all ? density_of(compression, params, density, err) : LAC_ERROR_MEMORY;
    for (int i = 0; i < n && status == LAC_OK; i++)
        all[i] = &compression->weights[i];
    if (status == LAC_OK && strcmp(lac_params_text(params, "scope"), "global") == 0)
        status = *lac_params_text(params, "layers")
                     ? lac_fail(err, LAC_ERROR_INPUT,
                                "layers gives densities of single layers, "
                                "scope=global has one for all")
                     : lac_weights_prune(all, n, lac_params_real(params, "density"), err);
    else
        for (int i = 0; i < n && status == LAC_OK; i++)
            status = lac_weights_prune(&all[i], 1, density[i], err);
    lac_free((void *)all);
    lac_free(density);
    return status;
}

/* Whether the n values have at most k distinct ones. */
static bool few_values(const double *value, int64_t n, int k)
{
    double seen[MOST_CENTROIDS];
    int count = 0;
    for (int64_t i = 0; i < n; i++) {
        int low = 0, high = count;
        while (low < high) {
            int middle = (low + high) / 2;
            if (seen[middle] < value[i])
                low = middle + 1;
            else
                high = middle;
        }
        if (low < count && seen[low] == value[i])
            continue;
        if (count == k)
            return false;
        memmove(seen + low + 1, seen + low, (size_t)(count - low) * sizeof *seen);
        seen[low] = value[i];
        count++;
    }
    return true;
}

static lac_share_start start_of(const lac_params *params)
{
    const char *name = lac_params_text(params, "init");
    return strcmp(name, "density") == 0 ? LAC_SHARE_DENSITY
           : strcmp(name, "forgy") == 0 ? LAC_SHARE_FORGY
                                        : LAC_SHARE_LINEAR;
}

/* Replaces the non-zeros of the weight by k shared values. */
static lac_status share_values(lac_weight *weight, int k, const lac_params *params, lac_error *err)
{
    float *w = weight->tensor.data;
    int64_t count = lac_tensor_count(&weight->tensor), n = 0;
    double centroid[MOST_CENTROIDS];
    double *value = lac_alloc_raw((size_t)count, sizeof *value, err);
    if (!value)
        return LAC_ERROR_MEMORY;
    for (int64_t i = 0; i < count; i++)
        if (w[i] != 0)
            value[n++] = w[i];
    lac_status status = LAC_OK;
    if (!few_values(value, n, k)) {
        status = lac_share_begin(start_of(params), value, n, k,
                                 (uint64_t)lac_params_int(params, "seed"), centroid, err);
        if (status == LAC_OK)
            status = lac_share_lloyd(value, n, k, centroid, NULL, err);
        for (int64_t i = 0; i < count && status == LAC_OK; i++)
            if (w[i] != 0)
                w[i] = (float)centroid[lac_share_nearest(centroid, k, w[i])];
    }
    lac_free(value);
    return status;
}

static lac_status compress_weight(lac_weight *weight, const lac_params *params, lac_error *err)
{
    const lac_format *format = (const lac_format *)lac_table_find(&lac_formats, "eie-csc");
    bool conv = weight->view == LAC_VIEW_CONV;
    int bits = (int)lac_params_int(params, conv ? "conv_bits" : "bits");
    char text[96];
    lac_status status = share_values(weight, (1 << bits) - 1, params, err);
    if (status != LAC_OK)
        return lac_fail_in(err, status, "%s", weight->name);
    lac_free(weight->scale); /* shared values lie on no grid */
    weight->scale = NULL;
    weight->limit = 0;
    weight->changed = true;
    weight->format = format;
    lac_params_init(&weight->params, format->params);
    snprintf(text, sizeof text, "pe=%d,index_bits=%d,code_bits=%d",
             (int)lac_params_int(params, "pe"), (int)lac_params_int(params, "index_bits"), bits);
    return lac_params_parse(&weight->params, text, err);
}

static lac_status finish(lac_compression *compression, const lac_params *params, lac_error *err)
{
    LAC_TRY(prune(compression, params, err));
    for (int i = 0; i < compression->n_weights; i++) {
        if (compression->progress)
            compression->progress(compression->progress_context, "sharing weights",
                                  (double)i / compression->n_weights);
        LAC_TRY(compress_weight(&compression->weights[i], params, err));
    }
    return LAC_OK;
}

static const lac_param params[] = {
    {"density", LAC_PARAM_REAL, "", 0.5, 0, 1, NULL, NULL, LAC_OPTION,
     "0.5 mostly survives without retraining; the paper, with it, reaches 0.08 to 0.4",
     "share of the weights of each layer that stays"},
    {"scope", LAC_PARAM_CHOICE, "", 0, 0, 0, "layer", "layer|global", LAC_OPTION, "",
     "prune each layer to the density, or the whole network at one threshold"},
    {"layers", LAC_PARAM_TEXT, "", 0, 0, 0, "", NULL, LAC_OPTION, "",
     "densities of single layers: NODE@0.08;NODE@0.3"},
    {"bits", LAC_PARAM_INT, "bits", 4, 1, 8, NULL, NULL, LAC_PUBLISHED,
     "EIE and the authors' public files; the Deep Compression paper has 5",
     "code of a weight outside convolutions; code 0 is zero"},
    {"conv_bits", LAC_PARAM_INT, "bits", 8, 1, 8, NULL, NULL, LAC_PUBLISHED,
     "authors' public files; Deep Compression, AlexNet table", "code of a convolution's weight"},
    {"index_bits", LAC_PARAM_INT, "bits", 4, 1, 8, NULL, NULL, LAC_PUBLISHED,
     "authors' public files; Deep Compression, AlexNet table", "relative row index"},
    {"pe", LAC_PARAM_INT, "", 1, 1, 65536, NULL, NULL, LAC_OPTION,
     "1 is the CPU's layout; EIE deals rows to 64", "interleaving of the stored columns"},
    {"init", LAC_PARAM_CHOICE, "", 0, 0, 0, "linear", "linear|density|forgy", LAC_PUBLISHED,
     "Deep Compression and the authors' public scripts (linear)", "where k-means begins"},
    {"seed", LAC_PARAM_INT, "", 1, 0, 4294967295.0, NULL, NULL, LAC_OPTION, "", "of init=forgy"},
    {0}};

const lac_scheme lac_scheme_deep_compression = {
    .row = LAC_ROW(lac_scheme, "deep-compression",
                   "prune by magnitude, share weights by k-means, store codes and runs"),
    .params = params,
    .formats = "eie-csc",
    .finish = finish,
};
