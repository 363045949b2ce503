/* Bias correction (Nagel, van Baalen, Blankevoort, Welling, "Data-Free Quantization Through Weight
 * Equalization and Bias Correction", 2019, section 4.2): rounded weights W + E give E x more, and
 * since activations behind a ReLU are positive, E x is not zero on average: it is E mean(x), the
 * same for every sample, and a bias can take it back at no cost. The means are those of
 * calibration. Convolutions see their zero padding less often than the middle; that is neglected.
 */
#include "core/memory.h"
#include "exec/calibrate.h"
#include "exec/fold.h"
#include "scheme/weights.h"

#include <stdio.h>
#include <string.h>

lac_status lac_weight_shift(lac_weight *weight, const float *before,
                            const struct lac_layer_range *arriving, lac_error *err)
{
    /* Input channels of one row; rows of a group share them. */
    bool conv = weight->view == LAC_VIEW_CONV;
    int64_t own = conv ? weight->tensor.dims[1] : weight->cols;
    if (!arriving->sum || arriving->elements < 1 || own < 1 || arriving->channels % own != 0)
        return LAC_OK;
    int64_t groups = arriving->channels / own;
    if (weight->rows % groups != 0 || (!conv && groups != 1))
        return LAC_OK;
    if (!weight->shift)
        weight->shift = lac_alloc((size_t)weight->rows, sizeof *weight->shift, err);
    if (!weight->shift)
        return LAC_ERROR_MEMORY;
    const float *after = weight->tensor.data;
    for (int64_t r = 0; r < weight->rows; r++) {
        const double *sum = arriving->sum + r / (weight->rows / groups) * own;
        double shift = 0;
        for (int64_t k = 0; k < weight->cols; k++) { /* channels run fastest */
            int64_t at = lac_weight_at(weight, r, k);
            shift += ((double)after[at] - (double)before[at]) * sum[k % own];
        }
        weight->shift[r] += (float)(shift / (double)arriving->elements);
    }
    return LAC_OK;
}

/* Whether the node adds its input 2 as it is to every row. */
static bool adds_bias(const lac_node *node)
{
    if (node->domain[0])
        return false;
    return strcmp(node->op, "Conv") == 0 ||
           (strcmp(node->op, "Gemm") == 0 && lac_node_float(node, "alpha", 1) == 1 &&
            lac_node_float(node, "beta", 1) == 1);
}

/* The bias as it was, less the shift; *corrected has no data when it depends on more than
 * constants or is not one number per row. */
static lac_status correct(const lac_graph *graph, const lac_weight *weight, int old,
                          lac_tensor *corrected, lac_error *err)
{
    lac_tensor folded = {0}, bias;
    lac_error refusal;
    if (old >= 0) {
        lac_status status = lac_fold_value(graph, old, &folded, &refusal);
        if (status == LAC_ERROR_MEMORY)
            return lac_fail(err, status, "%s", refusal.message);
        if (status != LAC_OK || folded.rank != 1 || folded.dims[0] != weight->rows ||
            !lac_dtype_is_float(folded.dtype)) {
            lac_tensor_release(&folded);
            return LAC_OK;
        }
    }
    lac_status status = lac_tensor_make(&bias, LAC_F32, 1, &weight->rows, err);
    for (int64_t r = 0; status == LAC_OK && r < weight->rows; r++) {
        double value = old >= 0 ? lac_tensor_get(&folded, r) : 0;
        ((float *)bias.data)[r] = (float)(value - (double)weight->shift[r]);
    }
    lac_tensor_release(&folded);
    if (status == LAC_OK)
        *corrected = bias;
    return status;
}

lac_status lac_shift_write(lac_compression *compression, const lac_weight *weight, int n,
                           lac_error *err)
{
    lac_graph *graph = compression->graph;
    if (!adds_bias(&graph->nodes[n]))
        return LAC_OK;
    int old = graph->nodes[n].n_in > 2 ? graph->nodes[n].in[2] : -1, value;
    lac_tensor bias = {0};
    LAC_TRY(correct(graph, weight, old, &bias, err));
    if (!bias.data)
        return LAC_OK;
    char name[256];
    snprintf(name, sizeof name, "%.200s.bias", graph->values[weight->value].name);
    lac_status status = lac_graph_constant(graph, name, &bias, &value, err);
    lac_tensor_release(&bias);
    LAC_TRY(status);
    lac_node *node = &graph->nodes[n];
    if (node->n_in < 3) {
        int *in = lac_arena_alloc(graph->arena, 3, sizeof *in, err);
        if (!in)
            return LAC_ERROR_MEMORY;
        memcpy(in, node->in, 2 * sizeof *in);
        node->in = in;
        node->n_in = 3;
    }
    node->in[2] = value;
    return LAC_OK;
}
