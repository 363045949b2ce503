/* spmm: Y[rows][n] = sum over cols of A[rows][cols] B[n][cols], A an adjacency-like matrix (role
 * adjacency, density avg/cols, never negative), B dense weights with one row per output column. It
 * has no lowering: a dense product of an adjacency is for those who ask for it as a gemm. */
#include "graph/layer_tools.h"

enum { ROWS, COLS, N, AVG };

static lac_status check(const lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    int64_t count;
    if (d[AVG] > d[COLS])
        return lac_fail(err, LAC_ERROR_INPUT, "spmm: avg=%lld is larger than cols=%lld",
                        (long long)d[AVG], (long long)d[COLS]);
    return lac_shape_count(3, d, &count, err);
}

static lac_status generate(lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    lac_operand *a = &layer->operand[LAC_ROLE_ADJACENCY], *b = &layer->operand[LAC_ROLE_WEIGHTS];
    a->n = a->m = 0;
    a->density = (double)d[AVG] / (double)d[COLS];
    LAC_TRY(lac_generate(&a->tensor, a, layer->seed, LAC_ROLE_ADJACENCY, false, 2,
                         (int64_t[]){d[ROWS], d[COLS]}, d[COLS], 1, err));
    return lac_generate(&b->tensor, b, layer->seed, LAC_ROLE_WEIGHTS, true, 2,
                        (int64_t[]){d[N], d[COLS]}, d[COLS], 1, err);
}

static lac_status reference(const lac_layer *layer, lac_tensor *output, lac_error *err)
{
    const int64_t *d = layer->dim;
    lac_layer plain;
    LAC_TRY(lac_operand_need(layer, LAC_ROLE_ADJACENCY, d[ROWS] * d[COLS], err));
    LAC_TRY(lac_operand_need(layer, LAC_ROLE_WEIGHTS, d[N] * d[COLS], err));
    LAC_TRY(lac_layer_plain(layer, &plain, err));
    lac_status status = lac_tensor_make(output, LAC_I32, 2, (int64_t[]){d[ROWS], d[N]}, err);
    if (status == LAC_OK) {
        status = lac_gemm_reference(output->data, &plain.operand[LAC_ROLE_ADJACENCY].tensor, 0,
                                    &plain.operand[LAC_ROLE_WEIGHTS].tensor, 0, d[ROWS], d[N],
                                    d[COLS], err);
        if (status != LAC_OK)
            lac_tensor_release(output);
    }
    lac_layer_release(&plain);
    return status;
}

static int64_t macs(const lac_layer *layer)
{
    return layer->dim[ROWS] * layer->dim[COLS] * layer->dim[N];
}

const lac_layer_kind lac_layer_spmm = {
    .row = LAC_ROW(lac_layer_kind, "spmm", "sparse adjacency times a dense matrix"),
    .dims = {{"rows", -1, 1, INT32_MAX},
             {"cols", -1, 1, INT32_MAX},
             {"n", -1, 1, INT32_MAX},
             {"avg", 1, 0, INT32_MAX},
             {NULL, 0, 0, 0}},
    .check = check,
    .generate = generate,
    .reference = reference,
    .macs = macs,
};
