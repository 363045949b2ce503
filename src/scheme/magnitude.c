/* magnitude: the weights of least absolute value become zero.
 *
 * N:M (n, m given): each group of m consecutive elements along K keeps its n largest, ties to the
 * lower index (Mishra et al. 2021; the tie rule as in sta.md 2.1), and the weight is stored in
 * format nm. Unstructured (density given): the round(density * count) largest of the layer, or of
 * the whole network with scope=global, ties to the lower flat index (Han et al., NIPS 2015); it is
 * stored in format csr when that is smaller than dense. */
#include "core/memory.h"
#include "scheme/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lac_status prune_groups(lac_weight *weight, int n, int m)
{
    float *w = weight->tensor.data;
    for (int64_t r = 0; r < weight->rows; r++)
        for (int64_t begin = 0; begin < weight->cols; begin += m) {
            int length = (int)(weight->cols - begin < m ? weight->cols - begin : m);
            uint64_t keep = 0;
            for (int kept = 0; kept < n && kept < length; kept++) {
                int best = -1;
                float largest = -1;
                for (int i = 0; i < length; i++) {
                    float size = fabsf(w[lac_weight_at(weight, r, begin + i)]);
                    if (!(keep >> i & 1) && size > largest) {
                        largest = size;
                        best = i;
                    }
                }
                keep |= UINT64_C(1) << best;
            }
            for (int i = 0; i < length; i++)
                if (!(keep >> i & 1))
                    w[lac_weight_at(weight, r, begin + i)] = 0;
        }
    return LAC_OK;
}

typedef struct entry {
    float size;
    int64_t at; /* position over all weights under comparison */
} entry;

static int larger_first(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return (x->at > y->at) - (x->at < y->at);
}

lac_status lac_weights_prune(lac_weight *const *weights, int n, double density, lac_error *err)
{
    int64_t total = 0, at = 0;
    for (int i = 0; i < n; i++)
        total += lac_tensor_count(&weights[i]->tensor);
    entry *entries = lac_alloc_raw((size_t)total, sizeof *entries, err);
    if (!entries)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < n; i++) {
        const float *w = weights[i]->tensor.data;
        for (int64_t e = 0; e < lac_tensor_count(&weights[i]->tensor); e++, at++)
            entries[at] = (entry){fabsf(w[e]), at};
    }
    qsort(entries, (size_t)total, sizeof *entries, larger_first);
    int64_t keep = (int64_t)round(density * (double)total), base = 0;
    unsigned char *kept = lac_alloc((size_t)total, 1, err);
    for (int64_t e = 0; kept && e < keep; e++)
        kept[entries[e].at] = 1;
    lac_free(entries);
    if (!kept)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < n; i++) {
        float *w = weights[i]->tensor.data;
        int64_t count = lac_tensor_count(&weights[i]->tensor);
        for (int64_t e = 0; e < count; e++)
            if (!kept[base + e])
                w[e] = 0;
        base += count;
    }
    lac_free(kept);
    return LAC_OK;
}

/* A first layer and tiny layers are the user's choice too, except that there must be a group, and
 * that groups must mean the same to the file and to accelerators (docs/formats/nm.md): they do not
 * cross the windows of a convolution. */
static bool fits(lac_weight *weight, int m)
{
    bool groups = lac_view_groups(weight->view, weight->tensor.rank, weight->tensor.dims, m);
    if (groups && weight->cols >= m)
        return true;
    if (groups)
        snprintf(weight->keep, sizeof weight->keep, "not pruned: K = %lld is below m = %d",
                 (long long)weight->cols, m);
    else
        snprintf(weight->keep, sizeof weight->keep,
                 "not pruned: the channels of a window (%lld) are no multiple of m = %d",
                 (long long)weight->tensor.dims[1], m);
    return false;
}

static lac_status finish_groups(lac_compression *compression, const lac_params *params,
                                lac_error *err)
{
    int n = (int)lac_params_int(params, "n"), m = (int)lac_params_int(params, "m");
    const lac_format *nm = (const lac_format *)lac_table_find(&lac_formats, "nm");
    char text[32];
    if (n > m)
        return lac_fail(err, LAC_ERROR_INPUT, "n = %d is above m = %d", n, m);
    for (int i = 0; i < compression->n_weights; i++) {
        lac_weight *weight = &compression->weights[i];
        if (!fits(weight, m))
            continue;
        LAC_TRY(prune_groups(weight, n, m));
        weight->format = n < m ? nm : NULL;
        weight->changed = true;
        lac_params_init(&weight->params, nm->params);
        snprintf(text, sizeof text, "n=%d,m=%d", n, m);
        LAC_TRY(lac_params_parse(&weight->params, text, err));
    }
    return LAC_OK;
}

static lac_status finish(lac_compression *compression, const lac_params *params, lac_error *err)
{
    double density = lac_params_real(params, "density");
    if (lac_params_int(params, "m") > 0)
        return finish_groups(compression, params, err);
    if (params->is_set[0]) /* n; unstructured pruning was not meant */
        return lac_fail(err, LAC_ERROR_INPUT, "n = %d, but m = 0: want m of at least 1",
                        (int)lac_params_int(params, "n"));
    int n = compression->n_weights;
    lac_weight **all = lac_alloc((size_t)n, sizeof(lac_weight *), err);
    if (!all)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < n; i++)
        all[i] = &compression->weights[i];
    lac_status status = LAC_OK;
    if (strcmp(lac_params_text(params, "scope"), "global") == 0)
        status = lac_weights_prune(all, n, density, err);
    else
        for (int i = 0; status == LAC_OK && i < n; i++)
            status = lac_weights_prune(&all[i], 1, density, err);
    const lac_format *csr = (const lac_format *)lac_table_find(&lac_formats, "csr");
    for (int i = 0; i < n; i++) {
        all[i]->changed = true;
        lac_params_init(&all[i]->params, csr->params);
        all[i]->format = csr; /* where that is smaller than dense */
    }
    lac_free((void *)all);
    return status;
}

static const lac_param params[] = {
    {"n", LAC_PARAM_INT, "", 2, 1, 32, NULL, NULL, LAC_OPTION, "", "kept of each group"},
    {"m", LAC_PARAM_INT, "", 0, 0, 32, NULL, NULL, LAC_OPTION, "",
     "group length along K; 0: unstructured, by density"},
    {"density", LAC_PARAM_REAL, "", 0.5, 0, 1, NULL, NULL, LAC_OPTION, "",
     "share of the weights that stays (unstructured)"},
    {"scope", LAC_PARAM_CHOICE, "", 0, 0, 0, "layer", "layer|global", LAC_OPTION, "",
     "compare within each layer or over the whole network (unstructured)"},
    {0}};

const lac_scheme lac_scheme_magnitude = {
    .row =
        LAC_ROW(lac_scheme, "magnitude", "least magnitudes become 0: N:M, or without m by density"),
    .params = params,
    .formats = "nm csr",
    .finish = finish,
    .alias = "nm:n:m",
};
