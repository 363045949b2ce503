/* The one way into a simulator: it gets a layer with plain dense operands, and what it returns is
 * checked before anybody sees it. */
#include <lacuna/accel.h>
#include <lacuna/format.h>

#include <string.h>

#include "accel/kit/identity.h"

/* The layer in plain order; operands that are only packed are unpacked. */
static lac_status prepare(const lac_layer *layer, lac_layer *plain, lac_error *err)
{
    lac_layer dense = *layer;
    bool unpacked[LAC_ROLE_LIMIT] = {false};
    lac_status status = LAC_OK;
    for (int i = 0; i < LAC_ROLE_LIMIT && status == LAC_OK; i++)
        if (dense.operand[i].packed && !dense.operand[i].tensor.data) {
            memset(&dense.operand[i].tensor, 0, sizeof dense.operand[i].tensor);
            status = lac_unpack(dense.operand[i].packed, &dense.operand[i].tensor, err);
            unpacked[i] = status == LAC_OK;
        }
    if (status == LAC_OK)
        status = lac_layer_plain(&dense, plain, err);
    for (int i = 0; i < LAC_ROLE_LIMIT; i++)
        if (unpacked[i])
            lac_tensor_release(&dense.operand[i].tensor);
    return status;
}

static lac_status check(const lac_accel *accel, const lac_params *params, const lac_result *result,
                        lac_error *err)
{
    if (result->n_counters > LAC_MAX_COUNTERS || result->n_energies > LAC_MAX_ENERGIES ||
        result->n_stalls > (int)(sizeof result->stall / sizeof *result->stall))
        return lac_fail(err, LAC_ERROR_INTERNAL,
                        "%d counters, %d stalls, %d energies are more than a result holds",
                        result->n_counters, result->n_stalls, result->n_energies);
    return lac_identity_check(accel->identity, result, params, err);
}

lac_status lac_simulate(const lac_accel *accel, const lac_layer *layer, const lac_params *params,
                        const lac_sim_options *options, lac_result *result, lac_error *err)
{
    static const lac_sim_options none = {0};
    char why[256] = "not supported";
    lac_params defaults;
    lac_layer plain;
    memset(result, 0, sizeof *result);
    if (!params) {
        lac_params_init(&defaults, accel->params);
        params = &defaults;
    }
    if (!accel->supports(layer, params, why, sizeof why))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s", why);
    lac_status status = prepare(layer, &plain, err);
    if (status == LAC_OK) {
        status = accel->simulate(&plain, params, options ? options : &none, result, err);
        lac_layer_release(&plain);
    }
    if (status == LAC_OK)
        status = check(accel, params, result, err);
    if (status != LAC_OK) {
        lac_result_release(result);
        return lac_fail_in(err, status, "%s, %.100s", accel->row.name, layer->name);
    }
    result->has_output = result->output.data != NULL;
    if (result->has_output)
        lac_checksum(&result->output, &result->sum, &result->weighted);
    return LAC_OK;
}
