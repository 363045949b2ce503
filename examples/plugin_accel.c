/* ideal: an accelerator that never waits. N multipliers, each busy with a product of two non-zero
 * operands every cycle: the bound that every sparse accelerator is measured against.
 *
 * A plug-in:  cc -shared -fPIC -include lacuna/plugin.h plugin_accel.c \
 *                $(pkg-config --cflags lacuna) -o ideal.so
 *             lacuna simulate --plugin ./ideal.so --accel ideal --layer gemm:m=8,n=8,k=8
 * A built-in: copy it to src/accel/ and add its line to src/accel/rows.inc (CONTRIBUTING.md). */
#include <lacuna/accel.h>
#include <stdio.h>
#include <string.h>

static const lac_param params_schema[] = {
    {.name = "multipliers",
     .type = LAC_PARAM_INT,
     .unit = "multipliers",
     .initial = 1024,
     .min = 1,
     .max = 1 << 24,
     .provenance = LAC_ASSUMED,
     .source = "a round number: as many as a 32 x 32 array",
     .summary = "products per cycle"},
    {.name = NULL},
};

static double clock_mhz(const lac_params *params)
{
    (void)params;
    return 1000; /* assumed: a round number */
}

static bool supports(const lac_layer *layer, const lac_params *params, char *why, size_t why_size)
{
    static const char *const kinds[] = {"gemm", "conv", "fc"};
    (void)params;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(layer->kind->row.name, kinds[i]) == 0)
            return true;
    snprintf(why, why_size, "%s: only gemm, conv and fc are counted", layer->kind->row.name);
    return false;
}

static bool has_operands(const lac_layer *layer)
{
    return layer->operand[LAC_ROLE_WEIGHTS].tensor.data &&
           layer->operand[LAC_ROLE_ACTIVATIONS].tensor.data;
}

/* Products of the matrix product Y[m][n] = sum_k A[m][k] W[n][k] whose operands are not zero:
 * column k contributes (non-zeros of A there) x (non-zeros of W there). */
static int64_t effectual(const lac_layer *gemm)
{
    const lac_tensor *a = &gemm->operand[LAC_ROLE_ACTIVATIONS].tensor;
    const lac_tensor *w = &gemm->operand[LAC_ROLE_WEIGHTS].tensor;
    int64_t m = lac_layer_dim_get(gemm, "m"), n = lac_layer_dim_get(gemm, "n");
    int64_t k = lac_layer_dim_get(gemm, "k"), count = 0;
    for (int64_t x = 0; x < k; x++) {
        int64_t in_a = 0, in_w = 0;
        for (int64_t i = 0; i < m; i++)
            in_a += lac_tensor_get(a, i * k + x) != 0;
        for (int64_t i = 0; i < n; i++)
            in_w += lac_tensor_get(w, i * k + x) != 0;
        count += in_a * in_w;
    }
    return count;
}

static lac_status simulate(const lac_layer *layer, const lac_params *params,
                           const lac_sim_options *options, lac_result *result, lac_error *err)
{
    const lac_layer_kind *kind = layer->kind;
    result->multipliers = lac_params_int(params, "multipliers");
    result->macs = kind->macs(layer);
    result->effectual_macs = has_operands(layer) ? 0 : -1;
    for (int64_t i = 0; has_operands(layer) && i < kind->gemm_count(layer); i++) {
        lac_layer gemm;
        LAC_TRY(kind->gemm(layer, i, &gemm, err));
        result->effectual_macs += effectual(&gemm);
        lac_layer_release(&gemm);
    }
    /* Of a layer without operands nothing is known to be zero. */
    int64_t busy = has_operands(layer) ? result->effectual_macs : result->macs;
    result->cycles = (busy + result->multipliers - 1) / result->multipliers;
    lac_result_count(result, "busy", busy);
    lac_result_count(result, "idle", result->cycles * result->multipliers - busy);
    lac_result_energy(result, "mac", (double)busy * 0.3,
                      "0.2 + 0.1 pJ: int8 multiply, int32 add, 45 nm, Horowitz ISSCC 2014");
    if (options->schedule_only || !has_operands(layer))
        return LAC_OK;
    LAC_TRY(kind->reference(layer, &result->output, err)); /* exact integers: its number format */
    result->exact = true;
    return LAC_OK;
}

const lac_accel lac_accel_ideal = {
    .row = LAC_ROW(lac_accel, "ideal", "N multipliers that never wait: the bound by zeros"),
    .title = "ideal: one product of non-zeros per multiplier and cycle",
    .source = "none: a bound, not a design",
    .card = "Counted: products of two non-zero operands. Left out: memory, load balance, control.",
    .params = params_schema,
    .clock_mhz = clock_mhz,
    .identity = "busy + idle = multipliers * cycles",
    .supports = supports,
    .simulate = simulate,
};

#ifdef LACUNA_PLUGIN_H
lac_status lac_plugin_load(lac_error *err)
{
    return lac_register_accel(&lac_accel_ideal, err);
}
#endif
