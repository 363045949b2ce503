/* attention: per head S = Q K^T, P = softmax(S) in fixed point, O = P V. `dim` is that of one head.
 * P is uint8, min(255, (p + 8) >> 4) of the 12-bit softmax, so 256 stands for 1; the output is
 * int32 [batch][heads][tokens][dim]. Masked positions (role mask,
 * [batch][heads][tokens][kv_tokens], 1 = kept) have P = 0. As matrix products: two per head, S then
 * O, heads ascending. */
#include "graph/layer_tools.h"
#include "graph/softmax.h"

#include <string.h>

#include "core/memory.h"

enum { HEADS, TOKENS, DIM, BATCH, KV_TOKENS };

static int64_t all_heads(const lac_layer *layer)
{
    return layer->dim[HEADS] * layer->dim[BATCH];
}

static int64_t tokens_of(const lac_layer *layer, int role)
{
    return layer->dim[role == LAC_ROLE_QUERY ? TOKENS : KV_TOKENS];
}

static lac_status check(const lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    int64_t count;
    return lac_shape_count(6, (int64_t[]){2, d[HEADS], d[BATCH], d[TOKENS], d[KV_TOKENS], d[DIM]},
                           &count, err);
}

static lac_status generate(lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    const lac_operand *a = &layer->operand[LAC_ROLE_ACTIVATIONS], dense = {.density = 1};
    if (w->density >= 0 || w->m || a->density >= 0 || a->m)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "%s: an attention layer takes no weight or activation density",
                        layer->name);
    for (int role = LAC_ROLE_QUERY; role <= LAC_ROLE_VALUE; role++) {
        int64_t shape[] = {d[BATCH], d[HEADS], tokens_of(layer, role), d[DIM]};
        int skip = d[BATCH] == 1;
        LAC_TRY(lac_generate(&layer->operand[role].tensor, &dense, layer->seed, (uint64_t)role,
                             true, 4 - skip, shape + skip, d[DIM], 1, err));
    }
    return LAC_OK;
}

static lac_status need(const lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    const lac_tensor *mask = &layer->operand[LAC_ROLE_MASK].tensor;
    for (int role = LAC_ROLE_QUERY; role <= LAC_ROLE_VALUE; role++) {
        if (layer->operand[role].transposed)
            return lac_fail(err, LAC_ERROR_INPUT, "%s: attention operands have no transposed order",
                            layer->name);
        LAC_TRY(lac_operand_need(layer, (lac_role)role,
                                 all_heads(layer) * tokens_of(layer, role) * d[DIM], err));
    }
    if (mask->data && ((mask->dtype != LAC_BOOL && mask->dtype != LAC_U8) ||
                       lac_tensor_count(mask) != all_heads(layer) * d[TOKENS] * d[KV_TOKENS]))
        return lac_fail(err, LAC_ERROR_INPUT,
                        "%s: the mask is not bool or uint8 [batch][heads][tokens][kv_tokens]",
                        layer->name);
    return LAC_OK;
}

static lac_status plain(lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    for (int role = LAC_ROLE_QUERY; role <= LAC_ROLE_VALUE; role++) {
        lac_tensor *tensor = &layer->operand[role].tensor, swapped;
        int64_t tokens = tokens_of(layer, role);
        if (!tensor->data)
            continue;
        LAC_TRY(lac_operand_size(layer, (lac_role)role, all_heads(layer) * tokens * d[DIM], err));
        LAC_TRY(lac_swap_axes(&swapped, tensor, d[BATCH], tokens, d[HEADS], d[DIM], err));
        lac_tensor_release(tensor);
        *tensor = swapped;
    }
    return LAC_OK;
}

/* P of one head as uint8 [tokens][kv_tokens]; Q and K in plain order. */
static lac_status probabilities(const lac_layer *layer, int64_t head, uint8_t *p, lac_error *err)
{
    const int64_t *d = layer->dim;
    int64_t rows = d[TOKENS], columns = d[KV_TOKENS], multiplier;
    const uint8_t *kept = layer->operand[LAC_ROLE_MASK].tensor.data;
    lac_status status = LAC_ERROR_MEMORY;
    LAC_TRY(lac_softmax_multiplier(layer, &multiplier, err));
    int32_t *score = lac_alloc_raw((size_t)(rows * columns), sizeof *score, err);
    uint16_t *fine = score ? lac_alloc_raw((size_t)columns, sizeof *fine, err) : NULL;
    if (fine)
        status = lac_gemm_reference(score, &layer->operand[LAC_ROLE_QUERY].tensor,
                                    head * rows * d[DIM], &layer->operand[LAC_ROLE_KEY].tensor,
                                    head * columns * d[DIM], rows, columns, d[DIM], err);
    for (int64_t i = 0; i < rows && status == LAC_OK; i++) {
        lac_softmax_row(fine, score + i * columns, kept ? kept + (head * rows + i) * columns : NULL,
                        columns, multiplier);
        for (int64_t j = 0; j < columns; j++) {
            int rounded = (fine[j] + 8) >> 4;
            p[i * columns + j] = (uint8_t)(rounded > 255 ? 255 : rounded);
        }
    }
    lac_free(fine);
    lac_free(score);
    return status;
}

static int64_t gemm_count(const lac_layer *layer)
{
    return 2 * all_heads(layer);
}

static lac_status gemm_plain(const lac_layer *layer, int64_t index, lac_layer *target,
                             lac_error *err)
{
    const int64_t *d = layer->dim;
    int64_t head = index / 2, rows = d[TOKENS], columns = d[KV_TOKENS];
    lac_operand *a = &target->operand[LAC_ROLE_ACTIVATIONS];
    lac_operand *w = &target->operand[LAC_ROLE_WEIGHTS];
    if (index % 2 == 0) {
        LAC_TRY(lac_gemm_layer(target, layer, rows, columns, d[DIM], err));
        *a = layer->operand[LAC_ROLE_QUERY];
        *w = layer->operand[LAC_ROLE_KEY];
        lac_tensor q = lac_matrix_view(&a->tensor, head * rows * d[DIM], rows, d[DIM]);
        lac_tensor k = lac_matrix_view(&w->tensor, head * columns * d[DIM], columns, d[DIM]);
        /* copies: the plain order may not outlive this call */
        memset(&a->tensor, 0, sizeof a->tensor);
        memset(&w->tensor, 0, sizeof w->tensor);
        LAC_TRY(lac_tensor_copy(&a->tensor, &q, err));
        return lac_tensor_copy(&w->tensor, &k, err);
    }
    LAC_TRY(lac_gemm_layer(target, layer, rows, d[DIM], columns, err));
    *w = layer->operand[LAC_ROLE_VALUE];
    lac_tensor v = lac_matrix_view(&w->tensor, head * columns * d[DIM], columns, d[DIM]);
    memset(&w->tensor, 0, sizeof w->tensor);
    LAC_TRY(lac_swap_axes(&w->tensor, &v, 1, columns, d[DIM], 1, err));
    w->tensor.rank = 2;
    w->tensor.dims[0] = d[DIM];
    w->tensor.dims[1] = columns;
    LAC_TRY(lac_tensor_make(&a->tensor, LAC_U8, 2, (int64_t[]){rows, columns}, err));
    return probabilities(layer, head, a->tensor.data, err);
}

static lac_status gemm(const lac_layer *layer, int64_t index, lac_layer *target, lac_error *err)
{
    const int64_t *d = layer->dim;
    lac_layer same;
    if (lac_layer_is_bare(layer))
        return index % 2 == 0 ? lac_gemm_layer(target, layer, d[TOKENS], d[KV_TOKENS], d[DIM], err)
                              : lac_gemm_layer(target, layer, d[TOKENS], d[DIM], d[KV_TOKENS], err);
    LAC_TRY(need(layer, err));
    LAC_TRY(lac_layer_plain(layer, &same, err));
    memset(target, 0, sizeof *target);
    lac_status status = gemm_plain(&same, index, target, err);
    if (status != LAC_OK)
        lac_layer_release(target);
    lac_layer_release(&same);
    return status;
}

/* O of every head: the second product of each. */
static lac_status reference(const lac_layer *layer, lac_tensor *output, lac_error *err)
{
    const int64_t *d = layer->dim;
    int64_t shape[] = {d[BATCH], d[HEADS], d[TOKENS], d[DIM]}, size = d[TOKENS] * d[DIM];
    int skip = d[BATCH] == 1;
    lac_layer same;
    LAC_TRY(need(layer, err));
    LAC_TRY(lac_layer_plain(layer, &same, err));
    lac_status status = lac_tensor_make(output, LAC_I32, 4 - skip, shape + skip, err);
    int32_t *y = output->data;
    for (int64_t head = 0; head < all_heads(layer) && status == LAC_OK; head++) {
        lac_layer product;
        memset(&product, 0, sizeof product);
        status = gemm_plain(&same, 2 * head + 1, &product, err);
        if (status == LAC_OK)
            status = lac_gemm_reference(
                y + head * size, &product.operand[LAC_ROLE_ACTIVATIONS].tensor, 0,
                &product.operand[LAC_ROLE_WEIGHTS].tensor, 0, d[TOKENS], d[DIM], d[KV_TOKENS], err);
        lac_layer_release(&product);
    }
    lac_layer_release(&same);
    if (status == LAC_OK && layer->channels_last) {
        lac_tensor swapped;
        status = lac_swap_axes(&swapped, output, d[BATCH], d[HEADS], d[TOKENS], d[DIM], err);
        if (status == LAC_OK) {
            lac_tensor_release(output);
            *output = swapped;
        }
    }
    if (status != LAC_OK)
        lac_tensor_release(output);
    return status;
}

static int64_t macs(const lac_layer *layer)
{
    const int64_t *d = layer->dim;
    return 2 * all_heads(layer) * d[TOKENS] * d[KV_TOKENS] * d[DIM];
}

const lac_layer_kind lac_layer_attention = {
    .row = LAC_ROW(lac_layer_kind, "attention",
                   "softmax(Q K^T) V per head, fixed-point softmax, uint8 probabilities"),
    .dims = {{"heads", -1, 1, INT32_MAX},
             {"tokens", -1, 1, INT32_MAX},
             {"dim", -1, 1, INT32_MAX},
             {"batch", 1, 1, INT32_MAX},
             {"kv_tokens", -2 - TOKENS, 1, INT32_MAX},
             {NULL, 0, 0, 0}},
    .check = check,
    .generate = generate,
    .reference = reference,
    .gemm_count = gemm_count,
    .gemm = gemm,
    .macs = macs,
    .plain = plain,
};
