/* sddmm: products of queries and keys at chosen places only, as sparse attention wants them. Query
 * rows are taken in strips of v; the mask [ceil(tokens / v)][tokens] says which keys (role mask, 1
 * = kept) a strip meets, for all heads alike. The output is int32, per head and strip in groups of
 * eight kept keys, rising: [group][v][8]; what fills the last group, and rows behind the last
 * token, are 0. Li, Osawa, Hoefler, "Efficient Quantized Sparse Matrix Operations on Tensor Cores"
 * (Magicube), SC 2022. It has no lowering: a dense product is another layer. */
#include "graph/layer_tools.h"

#include <string.h>

#include "core/memory.h"

enum { TOKENS, DIM, V, HEADS };

static int64_t strips_of(const lac_layer *layer)
{
    return (layer->dim[TOKENS] + layer->dim[V] - 1) / layer->dim[V];
}

static lac_status check(const lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    int64_t count;
    if (d[V] != 2 && d[V] != 4 && d[V] != 8)
        return lac_fail(err, LAC_ERROR_INPUT, "sddmm: v=%lld, want 2, 4 or 8", (long long)d[V]);
    LAC_TRY(lac_shape_count(3, (int64_t[]){d[HEADS], d[TOKENS], d[DIM]}, &count, err));
    /* outputs: kept keys filled up to groups */
    return lac_shape_count(4, (int64_t[]){d[HEADS], d[TOKENS] + 8, d[TOKENS] + 8, d[DIM]}, &count,
                           err);
}

/* Queries and keys are dense; the density asked for the mask decides what is kept. */
static lac_status generate(lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    const lac_operand dense = {.density = 1};
    lac_operand *mask = &layer->operand[LAC_ROLE_MASK];
    for (int role = LAC_ROLE_QUERY; role <= LAC_ROLE_KEY; role++)
        LAC_TRY(lac_generate(&layer->operand[role].tensor, &dense, layer->seed, (uint64_t)role,
                             true, 3, (int64_t[]){d[HEADS], d[TOKENS], d[DIM]}, d[DIM], 1, err));
    LAC_TRY(lac_generate(&mask->tensor, mask, layer->seed, LAC_ROLE_ADJACENCY, false, 2,
                         (int64_t[]){strips_of(layer), d[TOKENS]}, d[TOKENS], 1, err));
    int8_t *kept = mask->tensor.data;
    for (int64_t i = 0; i < lac_tensor_count(&mask->tensor); i++)
        kept[i] = kept[i] != 0;
    mask->tensor.dtype = LAC_U8;
    return LAC_OK;
}

static lac_status need(const lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    const lac_tensor *mask = &layer->operand[LAC_ROLE_MASK].tensor;
    for (int role = LAC_ROLE_QUERY; role <= LAC_ROLE_KEY; role++) {
        if (layer->operand[role].transposed)
            return lac_fail(err, LAC_ERROR_INPUT, "%s: operands of sddmm have no transposed order",
                            layer->name);
        LAC_TRY(lac_operand_need(layer, (lac_role)role, d[HEADS] * d[TOKENS] * d[DIM], err));
    }
    if (!mask->data || (mask->dtype != LAC_BOOL && mask->dtype != LAC_U8) ||
        lac_tensor_count(mask) != strips_of(layer) * d[TOKENS])
        return lac_fail(err, LAC_ERROR_INPUT,
                        "%s: the mask is not bool or uint8 [ceil(tokens / v)][tokens]",
                        layer->name);
    return LAC_OK;
}

static int64_t kept_of(const uint8_t *mask, int64_t tokens)
{
    int64_t kept = 0;
    for (int64_t j = 0; j < tokens; j++)
        kept += mask[j] != 0;
    return kept;
}

/* One product; false when it leaves int32. */
static bool product(const lac_layer *layer, int16_t *pair, int64_t query, int64_t key, int32_t *y)
{
    const lac_tensor *q = &layer->operand[LAC_ROLE_QUERY].tensor;
    const lac_tensor *k = &layer->operand[LAC_ROLE_KEY].tensor;
    int64_t dim = layer->dim[DIM];
    lac_to_i16(pair, q, query * dim, dim);
    lac_to_i16(pair + dim, k, key * dim, dim);
    int64_t sum = lac_dot(pair, pair + dim, dim, lac_is_small(q, k));
    *y = (int32_t)sum;
    return sum >= INT32_MIN && sum <= INT32_MAX;
}

static lac_status fill(const lac_layer *layer, int16_t *pair, int32_t *y, lac_error *err)
{
    const int64_t *d = layer->dim;
    const uint8_t *mask = layer->operand[LAC_ROLE_MASK].tensor.data;
    for (int64_t head = 0; head < d[HEADS]; head++)
        for (int64_t strip = 0; strip < strips_of(layer); strip++) {
            const uint8_t *kept = mask + strip * d[TOKENS];
            int64_t place = 0;
            for (int64_t j = 0; j < d[TOKENS]; j++) {
                if (!kept[j])
                    continue;
                int32_t *to = y + place / 8 * 8 * d[V] + place % 8;
                place++;
                for (int64_t v = 0; v < d[V] && strip * d[V] + v < d[TOKENS]; v++)
                    if (!product(layer, pair, head * d[TOKENS] + strip * d[V] + v,
                                 head * d[TOKENS] + j, to + 8 * v))
                        return lac_fail(err, LAC_ERROR_INPUT, "%s: a sum leaves int32",
                                        layer->name);
            }
            y += (place + 7) / 8 * 8 * d[V];
        }
    return LAC_OK;
}

static lac_status reference(const lac_layer *layer, lac_tensor *output, lac_error *err)
{
    const int64_t *d = layer->dim;
    LAC_TRY(need(layer, err));
    const uint8_t *mask = layer->operand[LAC_ROLE_MASK].tensor.data;
    int64_t count = 0;
    for (int64_t strip = 0; strip < strips_of(layer); strip++)
        count += (kept_of(mask + strip * d[TOKENS], d[TOKENS]) + 7) / 8 * 8 * d[V];
    LAC_TRY(lac_tensor_make(output, LAC_I32, 1, (int64_t[]){d[HEADS] * count}, err));
    memset(output->data, 0, lac_tensor_bytes(output));
    int16_t *pair = lac_alloc_raw((size_t)(2 * d[DIM]), sizeof *pair, err);
    lac_status status = pair ? fill(layer, pair, output->data, err) : LAC_ERROR_MEMORY;
    lac_free(pair);
    if (status != LAC_OK)
        lac_tensor_release(output);
    return status;
}

static int64_t macs(const lac_layer *layer)
{
    const int64_t *d = layer->dim;
    return d[HEADS] * d[TOKENS] * d[TOKENS] * d[DIM];
}

const lac_layer_kind lac_layer_sddmm = {
    .row = LAC_ROW(lac_layer_kind, "sddmm", "Q K^T at the places of a mask, strips of v queries"),
    .dims = {{"tokens", -1, 1, INT32_MAX},
             {"dim", -1, 1, INT32_MAX},
             {"v", 8, 2, 8},
             {"heads", 1, 1, INT32_MAX},
             {NULL, 0, 0, 0}},
    .check = check,
    .generate = generate,
    .reference = reference,
    .macs = macs,
};
