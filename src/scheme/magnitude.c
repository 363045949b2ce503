/* magnitude: the weights of least absolute value become zero.
 *
 * Blocks of block_rows x block_cols weights (one by one by default: single weights) live or die
 * together, by their L2 norm. N:M (n, m given): each group of m consecutive blocks along K keeps
 * its n largest, ties to the lower index (Mishra et al. 2021; the tie rule as in sta.md 2.1).
 * Otherwise (density given): the round(density * count) largest of the layer, or, of single
 * weights, of the whole network with scope=global, ties to the lower index (Han et al., NIPS 2015).
 *
 * N:M of single weights is stored in format nm, larger blocks in format block, other weights in csr
 * or, where they end on a grid, in delta; each where that is smaller than dense. */
#include "core/memory.h"
#include "scheme/weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Blocks of a weight, row by row: strips of `rows` outputs, `across` blocks each. */
typedef struct blocks {
    int64_t rows, cols, strips, across;
    double *size; /* [strips][across], squared norms; of single weights its magnitude */
} blocks;

static lac_status blocks_make(blocks *b, const lac_weight *weight, const lac_params *params,
                              lac_error *err)
{
    const float *w = weight->tensor.data;
    b->rows = lac_params_int(params, "block_rows");
    b->cols = lac_params_int(params, "block_cols");
    b->strips = (weight->rows + b->rows - 1) / b->rows;
    b->across = (weight->cols + b->cols - 1) / b->cols;
    b->size = lac_alloc((size_t)(b->strips * b->across), sizeof *b->size, err);
    if (!b->size)
        return LAC_ERROR_MEMORY;
    for (int64_t r = 0; r < weight->rows; r++)
        for (int64_t k = 0; k < weight->cols; k++) {
            double element = w[lac_weight_at(weight, r, k)];
            double size = b->rows * b->cols == 1 ? fabs(element) : (double)element * element;
            b->size[r / b->rows * b->across + k / b->cols] += size;
        }
    return LAC_OK;
}

static void clear(lac_weight *weight, const blocks *b, int64_t strip, int64_t block)
{
    float *w = weight->tensor.data;
    for (int64_t r = strip * b->rows; r < weight->rows && r < (strip + 1) * b->rows; r++)
        for (int64_t k = block * b->cols; k < weight->cols && k < (block + 1) * b->cols; k++)
            w[lac_weight_at(weight, r, k)] = 0;
}

static void prune_groups(lac_weight *weight, const blocks *b, int n, int m)
{
    for (int64_t strip = 0; strip < b->strips; strip++)
        for (int64_t begin = 0; begin < b->across; begin += m) {
            const double *size = b->size + strip * b->across + begin;
            int length = (int)(b->across - begin < m ? b->across - begin : m);
            uint64_t keep = 0;
            for (int kept = 0; kept < n && kept < length; kept++) {
                int best = -1;
                for (int i = 0; i < length; i++)
                    if (!(keep >> i & 1) && (best < 0 || size[i] > size[best]))
                        best = i;
                keep |= UINT64_C(1) << best;
            }
            for (int i = 0; i < length; i++)
                if (!(keep >> i & 1))
                    clear(weight, b, strip, begin + i);
        }
}

/* The size at place `keep` (from 0) when the n sizes stand from large to small; reorders them.
 * Hoare's selection. */
static double size_at(double *size, int64_t n, int64_t keep)
{
    int64_t low = 0, high = n - 1;
    while (low < high) {
        double middle = size[low + (high - low) / 2];
        int64_t i = low, j = high;
        while (i <= j) {
            while (size[i] > middle)
                i++;
            while (size[j] < middle)
                j--;
            if (i <= j) {
                double swap = size[i];
                size[i++] = size[j];
                size[j--] = swap;
            }
        }
        if (keep <= j)
            high = j;
        else if (keep >= i)
            low = i;
        else
            return size[keep];
    }
    return size[keep];
}

/* Where the `keep` largest of n sizes, ties to the lower index, end: all above *limit stay, and the
 * first *ties of those equal to it. Reorders the sizes. */
static void largest(double *size, int64_t n, int64_t keep, double *limit, int64_t *ties)
{
    *limit = INFINITY;
    *ties = 0;
    if (keep <= 0)
        return;
    *limit = size_at(size, n, keep - 1);
    *ties = keep;
    for (int64_t i = 0; i < n; i++)
        *ties -= size[i] > *limit;
}

/* Whether this one, met in the order of indices, is among them. */
static bool stays(double size, double limit, int64_t *ties)
{
    return size > limit || (size == limit && (*ties)-- > 0);
}

lac_status lac_weights_prune(lac_weight *const *weights, int n, double density, lac_error *err)
{
    int64_t total = 0, at = 0, ties;
    double limit;
    for (int i = 0; i < n; i++)
        total += lac_tensor_count(&weights[i]->tensor);
    double *size = lac_alloc_raw((size_t)total, sizeof *size, err);
    if (!size)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < n; i++) {
        const float *w = weights[i]->tensor.data;
        for (int64_t e = 0; e < lac_tensor_count(&weights[i]->tensor); e++)
            size[at++] = fabs((double)w[e]);
    }
    largest(size, total, (int64_t)round(density * (double)total), &limit, &ties);
    lac_free(size);
    for (int i = 0; i < n; i++) {
        float *w = weights[i]->tensor.data;
        for (int64_t e = 0; e < lac_tensor_count(&weights[i]->tensor); e++)
            if (!stays(fabs((double)w[e]), limit, &ties))
                w[e] = 0;
    }
    return LAC_OK;
}

static lac_status prune_blocks(lac_weight *weight, const blocks *b, double density, lac_error *err)
{
    int64_t total = b->strips * b->across, ties;
    double limit;
    double *size = lac_alloc_raw((size_t)total, sizeof *size, err);
    if (!size)
        return LAC_ERROR_MEMORY;
    memcpy(size, b->size, (size_t)total * sizeof *size);
    largest(size, total, (int64_t)round(density * (double)total), &limit, &ties);
    lac_free(size);
    for (int64_t i = 0; i < total; i++)
        if (!stays(b->size[i], limit, &ties))
            clear(weight, b, i / b->across, i % b->across);
    return LAC_OK;
}

/* A first layer and tiny layers are the user's choice too, except that there must be a group, and
 * that groups and blocks must mean the same to the file and to accelerators (docs/formats/nm.md):
 * they do not cross the windows of a convolution. */
static bool fits(lac_weight *weight, int64_t m, const char *text)
{
    bool groups = lac_view_groups(weight->view, weight->tensor.rank, weight->tensor.dims, m);
    if (groups && weight->cols >= m)
        return true;
    if (groups)
        snprintf(weight->keep, sizeof weight->keep, "not pruned: K = %lld is below %s = %lld",
                 (long long)weight->cols, text, (long long)m);
    else
        snprintf(weight->keep, sizeof weight->keep,
                 "not pruned: the channels of a window (%lld) are no multiple of %s = %lld",
                 (long long)weight->tensor.dims[1], text, (long long)m);
    return false;
}

/* The format for what the parameters leave; `weight` changed. */
static lac_status set_format(lac_weight *weight, const lac_params *params, lac_error *err)
{
    int n = (int)lac_params_int(params, "n"), m = (int)lac_params_int(params, "m");
    int rows = (int)lac_params_int(params, "block_rows");
    int cols = (int)lac_params_int(params, "block_cols");
    bool single = rows * cols == 1;
    const char *name = !single ? "block" : m > 0 ? "nm" : "csr";
    char text[48] = "";
    if (!single)
        snprintf(text, sizeof text, "r=%d,c=%d", rows, cols);
    else if (m > 0)
        snprintf(text, sizeof text, "n=%d,m=%d", n, m);
    weight->changed = true;
    weight->format = weight->format_integers = NULL;
    if (m > 0 && n == m)
        return LAC_OK;
    weight->format = (const lac_format *)lac_table_find(&lac_formats, name);
    if (single && m == 0)
        weight->format_integers = (const lac_format *)lac_table_find(&lac_formats, "delta");
    lac_params_init(&weight->params, weight->format->params);
    return text[0] ? lac_params_parse(&weight->params, text, err) : LAC_OK;
}

lac_status lac_weight_prune(lac_weight *weight, const lac_params *params, lac_error *err)
{
    int n = (int)lac_params_int(params, "n"), m = (int)lac_params_int(params, "m");
    int64_t cols = lac_params_int(params, "block_cols"), group = cols * (m > 0 ? m : 1);
    blocks b = {0};
    if (group > 1 && !fits(weight, group, m < 1 ? "block_cols" : cols > 1 ? "m * block_cols" : "m"))
        return LAC_OK;
    lac_status status = blocks_make(&b, weight, params, err);
    if (status == LAC_OK && m > 0)
        prune_groups(weight, &b, n, m);
    else if (status == LAC_OK)
        status = prune_blocks(weight, &b, lac_params_real(params, "density"), err);
    lac_free(b.size);
    return status == LAC_OK ? set_format(weight, params, err) : status;
}

static lac_status finish_global(lac_compression *compression, const lac_params *params,
                                lac_error *err)
{
    int n = compression->n_weights;
    lac_weight **all = lac_alloc((size_t)n, sizeof(lac_weight *), err);
    if (!all)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < n; i++)
        all[i] = &compression->weights[i];
    lac_status status = lac_weights_prune(all, n, lac_params_real(params, "density"), err);
    for (int i = 0; status == LAC_OK && i < n; i++)
        status = set_format(all[i], params, err);
    lac_free((void *)all);
    return status;
}

static lac_status finish(lac_compression *compression, const lac_params *params, lac_error *err)
{
    int n = (int)lac_params_int(params, "n"), m = (int)lac_params_int(params, "m");
    bool single = lac_params_int(params, "block_rows") * lac_params_int(params, "block_cols") == 1;
    if (m > 0 && n > m)
        return lac_fail(err, LAC_ERROR_INPUT, "n = %d is above m = %d", n, m);
    if (m == 0 && params->is_set[0]) /* n; unstructured pruning was not meant */
        return lac_fail(err, LAC_ERROR_INPUT, "n = %d, but m = 0: want m of at least 1", n);
    if (m == 0 && strcmp(lac_params_text(params, "scope"), "global") == 0) {
        if (!single)
            return lac_fail(err, LAC_ERROR_INPUT, "scope=global compares single weights only");
        return finish_global(compression, params, err);
    }
    for (int i = 0; i < compression->n_weights; i++)
        LAC_TRY(lac_weight_prune(&compression->weights[i], params, err));
    return LAC_OK;
}

static const lac_param params[] = {
    {"n", LAC_PARAM_INT, "", 2, 1, 32, NULL, NULL, LAC_OPTION, "", "kept of each group"},
    {"m", LAC_PARAM_INT, "", 0, 0, 32, NULL, NULL, LAC_OPTION, "",
     "group length along K; 0: unstructured, by density"},
    {"density", LAC_PARAM_REAL, "", 0.5, 0, 1, NULL, NULL, LAC_OPTION, "",
     "share of the weights (blocks) that stays (without m)"},
    {"scope", LAC_PARAM_CHOICE, "", 0, 0, 0, "layer", "layer|global", LAC_OPTION, "",
     "compare within each layer or over the whole network (single weights without m)"},
    {"block_rows", LAC_PARAM_INT, "", 1, 1, 64, NULL, NULL, LAC_OPTION, "",
     "outputs of a block that lives or dies as one"},
    {"block_cols", LAC_PARAM_INT, "", 1, 1, 32, NULL, NULL, LAC_OPTION, "",
     "columns (along K) of such a block"},
    {0}};

const lac_scheme lac_scheme_magnitude = {
    .row = LAC_ROW(lac_scheme, "magnitude",
                   "least magnitudes become 0: N:M, or without m by density; in blocks too"),
    .params = params,
    .formats = "nm csr delta block",
    .finish = finish,
    .alias = "nm:n:m",
};

/* A row of its own, because a row has one alias: block:4:4:0.2. */
static lac_status finish_block(lac_compression *compression, const lac_params *given,
                               lac_error *err)
{
    char text[96];
    lac_params all;
    lac_params_init(&all, params);
    snprintf(text, sizeof text, "block_rows=%d,block_cols=%d,density=%.9g",
             (int)lac_params_int(given, "rows"), (int)lac_params_int(given, "cols"),
             lac_params_real(given, "density"));
    LAC_TRY(lac_params_parse(&all, text, err));
    return finish(compression, &all, err);
}

static const lac_param block_params[] = {
    {"rows", LAC_PARAM_INT, "", 4, 1, 64, NULL, NULL, LAC_OPTION, "", "outputs of a block"},
    {"cols", LAC_PARAM_INT, "", 4, 1, 32, NULL, NULL, LAC_OPTION, "", "columns of a block"},
    {"density", LAC_PARAM_REAL, "", 0.5, 0, 1, NULL, NULL, LAC_OPTION, "",
     "share of the blocks that stays"},
    {0}};

const lac_scheme lac_scheme_block = {
    .row = LAC_ROW(lac_scheme, "magnitude-block", "blocks of least L2 norm become 0"),
    .params = block_params,
    .formats = "block",
    .finish = finish_block,
    .alias = "block:rows:cols:density",
};
