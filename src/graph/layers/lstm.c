/* lstm: the gate sums of every step, int32 [steps][batch][4*hidden], gate order i, g, f, o. The
 * activations are one tensor [steps][batch][in+hidden]: x_t, then h_{t-1} (a synthetic h is as
 * random as x; a captured network supplies its own). As matrix products: one per step with the
 * weights [W | U] side by side along K. */
#include "graph/layer_tools.h"

#include <inttypes.h>
#include <string.h>

enum { IN, HIDDEN, STEPS, BATCH };

static lac_status check(const lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    int64_t count;
    return lac_shape_count(5, (int64_t[]){d[STEPS], d[BATCH], 4, d[HIDDEN], d[IN] + d[HIDDEN]},
                           &count, err);
}

static lac_status generate(lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS], *u = &layer->operand[LAC_ROLE_RECURRENT];
    lac_operand *a = &layer->operand[LAC_ROLE_ACTIVATIONS];
    int64_t row = d[IN] + d[HIDDEN], shape[] = {d[STEPS], d[BATCH], row}, flat[] = {d[STEPS], row};
    u->n = w->n; /* one pattern for both, groups within each part */
    u->m = w->m;
    u->density = w->density;
    LAC_TRY(lac_generate(&w->tensor, w, layer->seed, LAC_ROLE_WEIGHTS, true, 2,
                         (int64_t[]){4 * d[HIDDEN], d[IN]}, d[IN], 1, err));
    LAC_TRY(lac_generate(&u->tensor, u, layer->seed, LAC_ROLE_RECURRENT, true, 2,
                         (int64_t[]){4 * d[HIDDEN], d[HIDDEN]}, d[HIDDEN], 1, err));
    return lac_generate(&a->tensor, a, layer->seed, LAC_ROLE_ACTIVATIONS, false,
                        d[BATCH] == 1 ? 2 : 3, d[BATCH] == 1 ? flat : shape, row, 1, err);
}

static lac_status need(const lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    const lac_operand *u = &layer->operand[LAC_ROLE_RECURRENT];
    LAC_TRY(lac_operand_need(layer, LAC_ROLE_WEIGHTS, 4 * d[HIDDEN] * d[IN], err));
    LAC_TRY(lac_operand_need(layer, LAC_ROLE_RECURRENT, 4 * d[HIDDEN] * d[HIDDEN], err));
    if (w->transposed || u->transposed)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: lstm weights have no transposed order",
                        layer->name);
    if (w->tensor.dtype != u->tensor.dtype)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: weights are %s, recurrent weights %s",
                        layer->name, lac_dtype_name(w->tensor.dtype),
                        lac_dtype_name(u->tensor.dtype));
    return lac_operand_need(layer, LAC_ROLE_ACTIVATIONS, d[STEPS] * d[BATCH] * (d[IN] + d[HIDDEN]),
                            err);
}

/* [W | U], row by row */
static lac_status side_by_side(const lac_layer *layer, lac_tensor *both, lac_error *err)
{
    const lac_tensor *w = &layer->operand[LAC_ROLE_WEIGHTS].tensor;
    const lac_tensor *u = &layer->operand[LAC_ROLE_RECURRENT].tensor;
    int64_t rows = 4 * layer->dim[HIDDEN], in = layer->dim[IN], hidden = layer->dim[HIDDEN];
    size_t size = (size_t)lac_dtype_bits(w->dtype) / 8;
    size_t w_bytes = (size_t)in * size, u_bytes = (size_t)hidden * size;
    LAC_TRY(lac_tensor_make(both, w->dtype, 2, (int64_t[]){rows, in + hidden}, err));
    for (size_t i = 0; i < (size_t)rows; i++) {
        char *row = (char *)both->data + i * (w_bytes + u_bytes);
        memcpy(row, (const char *)w->data + i * w_bytes, w_bytes);
        memcpy(row + w_bytes, (const char *)u->data + i * u_bytes, u_bytes);
    }
    return LAC_OK;
}

static lac_status reference(const lac_layer *layer, lac_tensor *output, lac_error *err)
{
    const int64_t *d = layer->dim;
    int64_t rows = 4 * d[HIDDEN], k = d[IN] + d[HIDDEN];
    int64_t shape[] = {d[STEPS], d[BATCH], rows}, flat[] = {d[STEPS], rows};
    lac_tensor both;
    LAC_TRY(need(layer, err));
    LAC_TRY(side_by_side(layer, &both, err));
    lac_status status =
        lac_tensor_make(output, LAC_I32, d[BATCH] == 1 ? 2 : 3, d[BATCH] == 1 ? flat : shape, err);
    if (status == LAC_OK) {
        status = lac_gemm_reference(output->data, &layer->operand[LAC_ROLE_ACTIVATIONS].tensor, 0,
                                    &both, 0, d[STEPS] * d[BATCH], rows, k, err);
        if (status != LAC_OK)
            lac_tensor_release(output);
    }
    lac_tensor_release(&both);
    return status;
}

static int64_t gemm_count(const lac_layer *layer)
{
    return layer->dim[STEPS];
}

static lac_status gemm(const lac_layer *layer, int64_t index, lac_layer *target, lac_error *err)
{
    const int64_t *d = layer->dim;
    const lac_operand *a = &layer->operand[LAC_ROLE_ACTIVATIONS];
    int64_t k = d[IN] + d[HIDDEN];
    LAC_TRY(lac_gemm_layer(target, layer, d[BATCH], 4 * d[HIDDEN], k, err));
    if (lac_layer_is_bare(layer))
        return LAC_OK;
    LAC_TRY(need(layer, err));
    lac_operand *w = &target->operand[LAC_ROLE_WEIGHTS];
    *w = layer->operand[LAC_ROLE_WEIGHTS];
    memset(&w->tensor, 0, sizeof w->tensor);
    w->packed = NULL;
    target->operand[LAC_ROLE_ACTIVATIONS] = *a;
    target->operand[LAC_ROLE_ACTIVATIONS].tensor =
        lac_matrix_view(&a->tensor, index * d[BATCH] * k, d[BATCH], k);
    return side_by_side(layer, &w->tensor, err);
}

static int64_t macs(const lac_layer *layer)
{
    const int64_t *d = layer->dim;
    int64_t directions = layer->steps_order == LAC_STEPS_BOTH ? 2 : 1;
    return directions * d[STEPS] * d[BATCH] * 4 * d[HIDDEN] * (d[IN] + d[HIDDEN]);
}

/* Four blocks of elements in the order i, o, f, c -> i, c, f, o (the layer's i, g, f, o). */
static lac_status sort_gates(lac_tensor *tensor, lac_error *err)
{
    static const size_t order[] = {0, 3, 2, 1};
    lac_tensor sorted;
    size_t block = lac_tensor_bytes(tensor) / 4;
    LAC_TRY(lac_tensor_make(&sorted, tensor->dtype, tensor->rank, tensor->dims, err));
    for (size_t q = 0; q < 4; q++)
        memcpy((char *)sorted.data + q * block, (const char *)tensor->data + order[q] * block,
               block);
    lac_tensor_release(tensor);
    *tensor = sorted;
    return LAC_OK;
}

static lac_status plain(lac_layer *layer, lac_error *err)
{
    lac_tensor *w = &layer->operand[LAC_ROLE_WEIGHTS].tensor, sums;
    lac_tensor *u = &layer->operand[LAC_ROLE_RECURRENT].tensor;
    lac_tensor *bias = &layer->operand[LAC_ROLE_BIAS].tensor;
    int64_t rows = 4 * layer->dim[HIDDEN];
    if (layer->steps_order != LAC_STEPS_FORWARD)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s: an lstm that does not go forward",
                        layer->name);
    if (w->data)
        LAC_TRY(sort_gates(w, err));
    if (u->data)
        LAC_TRY(sort_gates(u, err));
    if (!bias->data)
        return LAC_OK;
    if (bias->dtype != LAC_F32 || lac_tensor_count(bias) != 2 * rows)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: a bias of %" PRId64 " elements, want %" PRId64,
                        layer->name, lac_tensor_count(bias), 2 * rows);
    LAC_TRY(lac_tensor_make(&sums, LAC_F32, 1, &rows, err));
    for (int64_t i = 0; i < rows; i++)
        ((float *)sums.data)[i] =
            ((const float *)bias->data)[i] + ((const float *)bias->data)[rows + i];
    lac_tensor_release(bias);
    *bias = sums;
    return sort_gates(bias, err);
}

const lac_layer_kind lac_layer_lstm = {
    .row = LAC_ROW(lac_layer_kind, "lstm", "gate sums of an LSTM, one product per step"),
    .dims = {{"in", -1, 1, INT32_MAX / 2},
             {"hidden", -1, 1, INT32_MAX / 4},
             {"steps", -1, 1, INT32_MAX},
             {"batch", 1, 1, INT32_MAX},
             {NULL, 0, 0, 0}},
    .check = check,
    .generate = generate,
    .reference = reference,
    .gemm_count = gemm_count,
    .gemm = gemm,
    .macs = macs,
    .plain = plain,
};
