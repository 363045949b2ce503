/* fc: a fully connected layer, Y[batch][out] = sum A[batch][in] W[out][in]. */
#include "graph/layer_tools.h"

enum { IN, OUT, BATCH };

static lac_status check(const lac_layer *layer, lac_error *err)
{
    int64_t count;
    return lac_shape_count(3, layer->dim, &count, err);
}

static lac_status generate(lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS], *a = &layer->operand[LAC_ROLE_ACTIVATIONS];
    LAC_TRY(lac_generate(&w->tensor, w, layer->seed, LAC_ROLE_WEIGHTS, true, 2,
                         (int64_t[]){d[OUT], d[IN]}, d[IN], 1, err));
    return lac_generate(&a->tensor, a, layer->seed, LAC_ROLE_ACTIVATIONS, false, 2,
                        (int64_t[]){d[BATCH], d[IN]}, d[IN], 1, err);
}

static lac_status need(const lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    LAC_TRY(lac_operand_need(layer, LAC_ROLE_WEIGHTS, d[OUT] * d[IN], err));
    return lac_operand_need(layer, LAC_ROLE_ACTIVATIONS, d[BATCH] * d[IN], err);
}

static lac_status reference(const lac_layer *layer, lac_tensor *output, lac_error *err)
{
    const int64_t *d = layer->dim;
    lac_layer plain;
    LAC_TRY(need(layer, err));
    LAC_TRY(lac_layer_plain(layer, &plain, err));
    lac_status status = lac_tensor_make(output, LAC_I32, 2, (int64_t[]){d[BATCH], d[OUT]}, err);
    if (status == LAC_OK) {
        status = lac_gemm_reference(output->data, &plain.operand[LAC_ROLE_ACTIVATIONS].tensor, 0,
                                    &plain.operand[LAC_ROLE_WEIGHTS].tensor, 0, d[BATCH], d[OUT],
                                    d[IN], err);
        if (status != LAC_OK)
            lac_tensor_release(output);
    }
    lac_layer_release(&plain);
    return status;
}

static int64_t gemm_count(const lac_layer *layer)
{
    (void)layer;
    return 1;
}

static lac_status gemm(const lac_layer *layer, int64_t index, lac_layer *target, lac_error *err)
{
    const int64_t *d = layer->dim;
    (void)index;
    LAC_TRY(lac_gemm_layer(target, layer, d[BATCH], d[OUT], d[IN], err));
    if (lac_layer_is_bare(layer))
        return LAC_OK;
    LAC_TRY(need(layer, err));
    for (int role = LAC_ROLE_WEIGHTS; role <= LAC_ROLE_ACTIVATIONS; role++) {
        int64_t rows = role == LAC_ROLE_WEIGHTS ? d[OUT] : d[BATCH];
        target->operand[role] = lac_operand_matrix(&layer->operand[role], 0, rows, d[IN]);
    }
    return LAC_OK;
}

static int64_t macs(const lac_layer *layer)
{
    return layer->dim[IN] * layer->dim[OUT] * layer->dim[BATCH];
}

const lac_layer_kind lac_layer_fc = {
    .row = LAC_ROW(lac_layer_kind, "fc", "fully connected: a gemm with m=batch, k=in, n=out"),
    .dims = {{"in", -1, 1, INT32_MAX},
             {"out", -1, 1, INT32_MAX},
             {"batch", 1, 1, INT32_MAX},
             {NULL, 0, 0, 0}},
    .check = check,
    .generate = generate,
    .reference = reference,
    .gemm_count = gemm_count,
    .gemm = gemm,
    .macs = macs,
};
