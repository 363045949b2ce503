/* gemm: Y[m][n] = sum_k A[m][k] W[n][k], `batch` times. With a batch the weights are [batch][n][k],
 * or one [n][k] that all products share. */
#include "graph/layer_tools.h"

enum { M, N, K, BATCH };

static lac_status check(const lac_layer *layer, lac_error *err)
{
    int64_t count;
    LAC_TRY(lac_shape_count(4, layer->dim, &count, err)); /* multiply-accumulates */
    return LAC_OK;
}

static lac_status generate(lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    int64_t weights[] = {d[BATCH], d[N], d[K]}, activations[] = {d[BATCH], d[M], d[K]};
    int skip = d[BATCH] == 1, rank = 3 - skip;
    lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS], *a = &layer->operand[LAC_ROLE_ACTIVATIONS];
    LAC_TRY(lac_generate(&w->tensor, w, layer->seed, LAC_ROLE_WEIGHTS, true, rank, weights + skip,
                         d[K], 1, err));
    return lac_generate(&a->tensor, a, layer->seed, LAC_ROLE_ACTIVATIONS, false, rank,
                        activations + skip, d[K], 1, err);
}

static bool shares_weights(const lac_layer *layer)
{
    const lac_tensor *w = &layer->operand[LAC_ROLE_WEIGHTS].tensor;
    return w->data && lac_tensor_count(w) == layer->dim[N] * layer->dim[K];
}

static lac_status need(const lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    LAC_TRY(lac_operand_need(layer, LAC_ROLE_WEIGHTS,
                             d[N] * d[K] * (shares_weights(layer) ? 1 : d[BATCH]), err));
    return lac_operand_need(layer, LAC_ROLE_ACTIVATIONS, d[BATCH] * d[M] * d[K], err);
}

static lac_status reference_plain(const lac_layer *layer, lac_tensor *output, lac_error *err)
{
    const int64_t *d = layer->dim;
    const lac_tensor *w = &layer->operand[LAC_ROLE_WEIGHTS].tensor;
    const lac_tensor *a = &layer->operand[LAC_ROLE_ACTIVATIONS].tensor;
    int64_t shape[] = {d[BATCH], d[M], d[N]};
    int skip = d[BATCH] == 1;
    LAC_TRY(need(layer, err));
    LAC_TRY(lac_tensor_make(output, LAC_I32, 3 - skip, shape + skip, err));
    int32_t *y = output->data;
    lac_status status = LAC_OK;
    for (int64_t b = 0; b < d[BATCH] && status == LAC_OK; b++)
        status =
            lac_gemm_reference(y + b * d[M] * d[N], a, b * d[M] * d[K], w,
                               shares_weights(layer) ? 0 : b * d[N] * d[K], d[M], d[N], d[K], err);
    if (status != LAC_OK)
        lac_tensor_release(output);
    return status;
}

static lac_status reference(const lac_layer *layer, lac_tensor *output, lac_error *err)
{
    lac_layer plain;
    LAC_TRY(lac_layer_plain(layer, &plain, err));
    lac_status status = reference_plain(&plain, output, err);
    lac_layer_release(&plain);
    return status;
}

static int64_t gemm_count(const lac_layer *layer)
{
    return layer->dim[BATCH];
}

static lac_status gemm(const lac_layer *layer, int64_t index, lac_layer *target, lac_error *err)
{
    const int64_t *d = layer->dim;
    LAC_TRY(lac_gemm_layer(target, layer, d[M], d[N], d[K], err));
    if (lac_layer_is_bare(layer))
        return LAC_OK;
    LAC_TRY(need(layer, err));
    for (int role = LAC_ROLE_WEIGHTS; role <= LAC_ROLE_ACTIVATIONS; role++) {
        bool weights = role == LAC_ROLE_WEIGHTS;
        int64_t rows = weights ? d[N] : d[M];
        int64_t first = weights && shares_weights(layer) ? 0 : index * rows * d[K];
        target->operand[role] = lac_operand_matrix(&layer->operand[role], first, rows, d[K]);
    }
    return LAC_OK;
}

static int64_t macs(const lac_layer *layer)
{
    return layer->dim[M] * layer->dim[N] * layer->dim[K] * layer->dim[BATCH];
}

const lac_layer_kind lac_layer_gemm = {
    .row = LAC_ROW(lac_layer_kind, "gemm",
                   "matrix product Y[m][n] = sum_k A[m][k] W[n][k], `batch` times"),
    .dims = {{"m", -1, 1, INT32_MAX},
             {"n", -1, 1, INT32_MAX},
             {"k", -1, 1, INT32_MAX},
             {"batch", 1, 1, INT32_MAX},
             {NULL, 0, 0, 0}},
    .check = check,
    .generate = generate,
    .reference = reference,
    .gemm_count = gemm_count,
    .gemm = gemm,
    .macs = macs,
};
