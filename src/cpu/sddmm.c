/* See sddmm.h. */
#include "cpu/sddmm.h"

#include "core/memory.h"
#include "core/vmath.h"
#include "format/sr_bcrs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static bool refuse(char *why, size_t size, const char *reason)
{
    if (size)
        snprintf(why, size, "%s", reason);
    return false;
}

/* Outputs of one head before each strip; the last entry is their number. */
static int64_t outputs_before(const lac_packed *mask, int v, int64_t strips, int64_t *start)
{
    const int32_t *row = mask->field[LAC_SR_BCRS_ROW].data;
    int64_t total = 0;
    for (int64_t s = 0; s < strips; s++) {
        if (start)
            start[s] = total;
        total += ((int64_t)row[2 * s + 1] - row[2 * s] + 7) / 8 * 8 * v;
    }
    if (start)
        start[strips] = total;
    return total;
}

int64_t lac_sddmm_outputs(const lac_packed *mask)
{
    int v = (int)lac_params_int(&mask->params, "v");
    return outputs_before(mask, v, mask->field[LAC_SR_BCRS_ROW].dims[0] / 2, NULL);
}

bool lac_sddmm_can_run(const lac_layer *layer, char *why, size_t why_size)
{
    const lac_tensor *q = &layer->operand[LAC_ROLE_QUERY].tensor;
    const lac_tensor *k = &layer->operand[LAC_ROLE_KEY].tensor;
    const lac_packed *mask = layer->operand[LAC_ROLE_MASK].packed;
    int64_t tokens = lac_layer_dim_get(layer, "tokens"), dim = lac_layer_dim_get(layer, "dim");
    int64_t v = lac_layer_dim_get(layer, "v"), heads = lac_layer_dim_get(layer, "heads");
    int64_t strips = tokens > 0 && v > 0 ? (tokens + v - 1) / v : 0;
    if (tokens < 1 || dim < 1 || dim > LAC_SDDMM_DIM)
        return refuse(why, why_size, "a size is not known, or dim is above 1024");
    if (q->dtype != LAC_I8 || k->dtype != LAC_I8)
        return refuse(why, why_size, "queries and keys are not int8");
    if (!mask || strcmp(mask->format->row.name, "sr-bcrs") != 0)
        return refuse(why, why_size, "the mask is not packed as sr-bcrs");
    if (mask->rows != tokens || mask->cols != tokens || lac_params_int(&mask->params, "v") != v)
        return refuse(why, why_size, "the mask has another size or another v");
    if (mask->field[LAC_SR_BCRS_ROW].dims[0] != 2 * strips)
        return refuse(why, why_size, "the mask is damaged");
    if (layer->output.dtype != LAC_I32 ||
        lac_tensor_count(&layer->output) != heads * outputs_before(mask, (int)v, strips, NULL))
        return refuse(why, why_size, "the output is not int32 of the kept places");
    return true;
}

double lac_sddmm_products(const lac_layer *layer)
{
    const lac_packed *mask = layer->operand[LAC_ROLE_MASK].packed;
    double v = (double)lac_layer_dim_get(layer, "v");
    return (double)mask->field[LAC_SR_BCRS_COL].dims[0] * v *
           (double)(lac_layer_dim_get(layer, "dim") * lac_layer_dim_get(layer, "heads"));
}

void lac_sddmm_release(void *state)
{
    lac_sddmm *w = state;
    if (!w)
        return;
    lac_free(w->start);
    lac_free(w);
}

size_t lac_sddmm_bytes(const void *state)
{
    const lac_sddmm *w = state;
    return (size_t)(w->strips + 1) * sizeof *w->start;
}

static lac_status fill(lac_sddmm *w, const lac_layer *layer, lac_error *err)
{
    const lac_packed *mask = layer->operand[LAC_ROLE_MASK].packed;
    LAC_TRY(lac_packed_validate(mask, err));
    w->tokens = lac_layer_dim_get(layer, "tokens");
    w->dim = lac_layer_dim_get(layer, "dim");
    w->heads = lac_layer_dim_get(layer, "heads");
    w->v = (int)lac_layer_dim_get(layer, "v");
    w->strips = (w->tokens + w->v - 1) / w->v;
    w->start = lac_alloc((size_t)(w->strips + 1), sizeof *w->start, err);
    if (!w->start)
        return LAC_ERROR_MEMORY;
    outputs_before(mask, w->v, w->strips, w->start);
    return LAC_OK;
}

lac_status lac_sddmm_prepare(const lac_layer *layer, void **state, lac_error *err)
{
    lac_sddmm *w = lac_alloc(1, sizeof *w, err);
    if (!w)
        return LAC_ERROR_MEMORY;
    lac_status status = fill(w, layer, err);
    if (status == LAC_OK)
        *state = w;
    else
        lac_sddmm_release(w);
    return status;
}

/* Differences to the largest score are exact in integers; sums run in double. */
void lac_sparse_softmax(const int32_t *score, int64_t kept, int v, float scale, float *p)
{
    int32_t largest[8];
    double sum[8] = {0};
    int64_t count = (kept + 7) / 8 * 8 * v;
    for (int row = 0; row < v; row++)
        largest[row] = INT32_MIN;
    for (int64_t i = 0; i < count; i += 8)
        for (int j = 0, row = (int)(i / 8 % v); j < 8 && i / 8 / v * 8 + j < kept; j++)
            largest[row] = score[i + j] > largest[row] ? score[i + j] : largest[row];
    for (int64_t i = 0; i < count; i += 8)
        for (int j = 0, row = (int)(i / 8 % v); j < 8; j++)
            p[i + j] = i / 8 / v * 8 + j < kept
                           ? scale * (float)((int64_t)score[i + j] - largest[row])
                           : -INFINITY;
    lac_vec_exp(p, p, count);
    for (int64_t i = 0; i < count; i += 8)
        for (int j = 0; j < 8; j++)
            sum[i / 8 % v] += (double)p[i + j];
    for (int64_t i = 0; i < count; i += 8) {
        float factor = (float)(1 / sum[i / 8 % v]);
        for (int j = 0; j < 8; j++)
            p[i + j] *= factor;
    }
}
