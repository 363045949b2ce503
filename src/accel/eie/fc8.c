/* The one real layer of the authors' public simulator (RalphMao/EIE-simulator), regrouped as the
 * data set eie_fc8: encoded entries and counts of 64 PEs, codebook and activations in fixed point.
 */
#include <lacuna/lacuna.h>
#include <stdio.h>
#include <string.h>

#include "accel/eie/reproduce.h"
#include "core/memory.h"
#include "format/eie_csc.h"

enum { PES = 64, ROWS = 1000, INPUTS = 4096, COLS = INPUTS + 1, CODES = 16 };

static lac_status load(lac_tensor *tensor, const char *folder, const char *file, lac_dtype dtype,
                       int64_t count, lac_error *err)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/%s", folder, file) >= (int)sizeof path)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: the path is too long", folder);
    LAC_TRY(lac_npy_load(tensor, path, err));
    if (tensor->dtype == dtype && (count < 0 || lac_tensor_count(tensor) == count))
        return LAC_OK;
    lac_status status =
        lac_fail(err, LAC_ERROR_INPUT, "%s: %lld elements of %s, must be %lld of %s", path,
                 (long long)lac_tensor_count(tensor), lac_dtype_name(tensor->dtype),
                 (long long)count, lac_dtype_name(dtype));
    lac_tensor_release(tensor);
    return status;
}

/* The shipped entries as codes[ROWS][COLS]. */
static lac_status read_codes(uint8_t *codes, const lac_tensor *entries, const lac_tensor *counts,
                             lac_error *err)
{
    lac_eie_csc csc;
    const uint8_t *entry = entries->data, *count = counts->data;
    LAC_TRY(lac_eie_csc_alloc(&csc, ROWS, COLS, PES, 16, lac_tensor_count(entries), err));
    for (int64_t e = 0; e < csc.entries; e++) {
        csc.code[e] = entry[e] & 15;
        csc.run[e] = entry[e] >> 4;
    }
    for (int64_t p = 0; p < PES; p++)
        for (int64_t j = 0; j < COLS; j++)
            csc.pointer[p * (COLS + 1) + j + 1] =
                csc.pointer[p * (COLS + 1) + j] + count[p * COLS + j];
    lac_status status = lac_eie_csc_check(&csc, CODES, err);
    if (status == LAC_OK)
        lac_eie_csc_decode(&csc, codes);
    lac_eie_csc_release(&csc);
    return status;
}

static lac_status fill_layer(lac_layer *layer, const lac_tensor *in, lac_error *err)
{
    lac_tensor *weights = &layer->operand[LAC_ROLE_WEIGHTS].tensor;
    lac_tensor *bias = &layer->operand[LAC_ROLE_BIAS].tensor;
    const int16_t *codebook = in[2].data;
    LAC_TRY(lac_tensor_make(weights, LAC_I16, 2, (int64_t[]){ROWS, INPUTS}, err));
    LAC_TRY(lac_tensor_make(bias, LAC_I16, 1, (int64_t[]){ROWS}, err));
    uint8_t *codes = lac_alloc((size_t)ROWS * COLS, 1, err);
    if (!codes)
        return LAC_ERROR_MEMORY;
    lac_status status = read_codes(codes, &in[0], &in[1], err);
    for (int64_t i = 0; i < ROWS && status == LAC_OK; i++) {
        for (int64_t j = 0; j < INPUTS; j++)
            ((int16_t *)weights->data)[i * INPUTS + j] = codebook[codes[i * COLS + j]];
        ((int16_t *)bias->data)[i] = codebook[codes[i * COLS + INPUTS]];
    }
    lac_free(codes);
    return status;
}

lac_status lac_eie_fc8_load(lac_layer *layer, const char *folder, lac_error *err)
{
    lac_tensor in[4] = {0};
    lac_status status = lac_layer_parse(layer, "fc:in=4096,out=1000,batch=1", err);
    if (status != LAC_OK)
        return status;
    snprintf(layer->name, sizeof layer->name, "data:eie_fc8");
    status = load(&in[0], folder, "entries.npy", LAC_U8, -1, err);
    if (status == LAC_OK)
        status = load(&in[1], folder, "counts.npy", LAC_U8, PES * COLS, err);
    if (status == LAC_OK)
        status = load(&in[2], folder, "codebook_q3_12.npy", LAC_I16, CODES, err);
    if (status == LAC_OK)
        status = load(&in[3], folder, "act_q8_8.npy", LAC_I16, INPUTS, err);
    if (status == LAC_OK)
        status = fill_layer(layer, in, err);
    if (status == LAC_OK) {
        layer->operand[LAC_ROLE_ACTIVATIONS].tensor = in[3];
        memset(&in[3], 0, sizeof in[3]);
    } else {
        lac_layer_release(layer);
    }
    for (int i = 0; i < 4; i++)
        lac_tensor_release(&in[i]);
    return status;
}
