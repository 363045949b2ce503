/* systolic: a dense grid of multiply-accumulate cells, weight-, output- or input-stationary. Every
 * layer is a sequence of matrix products; the schedule of a product is closed-form (schedule.c),
 * only the zeros are counted from data. Convolutions run their groups as one schedule. */
#include "accel/systolic/systolic.h"

#include <stdio.h>
#include <string.h>

#include "accel/kit/count.h"
#include "accel/kit/energy.h"
#include "accel/kit/product.h"
#include "graph/layer_conv.h"
#include "graph/layer_tools.h"

#define TOOL   "SCALE-Sim, scale.cfg"
#define KB_MAX 1048576

#define SRAM(name_, what)                                                                          \
    {                                                                                              \
        .name = name_, .type = LAC_PARAM_INT, .unit = "KB", .initial = 64, .min = 1,               \
        .max = KB_MAX, .provenance = LAC_PUBLISHED, .source = TOOL, .summary = what                \
    }

static const lac_param params_schema[] = {
    {.name = "rows",
     .type = LAC_PARAM_INT,
     .unit = "cells",
     .initial = 32,
     .min = 1,
     .max = 4096,
     .provenance = LAC_PUBLISHED,
     .source = TOOL,
     .summary = "rows of the array"},
    {.name = "cols",
     .type = LAC_PARAM_INT,
     .unit = "cells",
     .initial = 32,
     .min = 1,
     .max = 4096,
     .provenance = LAC_PUBLISHED,
     .source = TOOL,
     .summary = "columns of the array"},
    {.name = "dataflow",
     .type = LAC_PARAM_CHOICE,
     .unit = "",
     .text = "ws",
     .choices = "ws|os|is",
     .provenance = LAC_PUBLISHED,
     .source = "SCALE-Sim, default",
     .summary = "what stays in the cells: weights, sums (os), activations (is)"},
    {.name = "fold",
     .type = LAC_PARAM_CHOICE,
     .unit = "",
     .text = "serial",
     .choices = "serial|pipelined",
     .provenance = LAC_PUBLISHED,
     .source = "serial: behaviour of SCALE-Sim 2 and 3; pipelined: assumed, double-buffered "
               "registers",
     .summary = "whether a fold may start while the one before drains"},
    {.name = "edge",
     .type = LAC_PARAM_CHOICE,
     .unit = "",
     .text = "full",
     .choices = "full|exact",
     .provenance = LAC_PUBLISHED,
     .source = "full: SCALE-Sim charges a partly used fold the whole array; exact: derived",
     .summary = "what a partly used fold costs"},
    {.name = "drain",
     .type = LAC_PARAM_INT,
     .unit = "",
     .initial = 0,
     .min = 0,
     .max = 1,
     .provenance = LAC_PUBLISHED,
     .source = "0: SCALE-Sim 3; 1: the formula of ISPASS 2020",
     .summary = "os and serial only: 1 adds `rows` cycles a fold to shift the sums out"},
    {.name = "mem",
     .type = LAC_PARAM_CHOICE,
     .unit = "",
     .text = "ideal",
     .choices = "ideal|dram",
     .provenance = LAC_ASSUMED,
     .source = "one channel, double-buffered SRAMs: the least that makes bandwidth count",
     .summary = "whether folds wait for DRAM"},
    SRAM("ifmap_kb", "SRAM of activations"),
    SRAM("filter_kb", "SRAM of weights"),
    SRAM("ofmap_kb", "SRAM of partial sums and outputs"),
    {.name = "dram_bw",
     .type = LAC_PARAM_INT,
     .unit = "bytes/cycle",
     .initial = 10,
     .min = 1,
     .max = INT32_MAX,
     .provenance = LAC_PUBLISHED,
     .source = "SCALE-Sim, default bandwidth word",
     .summary = "DRAM bandwidth"},
    {.name = "out_bytes",
     .type = LAC_PARAM_INT,
     .unit = "bytes",
     .initial = 1,
     .min = 1,
     .max = 4,
     .provenance = LAC_ASSUMED,
     .source = "outputs are requantised to int8; 4 keeps the sums",
     .summary = "bytes of a finished output, 1 or 4"},
    {.name = "zvcg",
     .type = LAC_PARAM_INT,
     .unit = "",
     .initial = 0,
     .min = 0,
     .max = 1,
     .provenance = LAC_PUBLISHED,
     .source = "idea: baseline of S2TA (HPCA 2022); counts: derived",
     .summary = "1: a cell holds its clock when an operand is zero"},
    {.name = "clock",
     .type = LAC_PARAM_REAL,
     .unit = "MHz",
     .initial = 1000,
     .min = 1,
     .max = 100000,
     .provenance = LAC_ASSUMED,
     .source = "a round number; no source gives one",
     .summary = "clock"},
    {.name = NULL}};

static double clock_mhz(const lac_params *params)
{
    return lac_params_real(params, "clock");
}

static bool is(const lac_params *params, const char *name, const char *word)
{
    return strcmp(lac_params_text(params, name), word) == 0;
}

static systolic_array array_of(const lac_params *params)
{
    return (systolic_array){.rows = lac_params_int(params, "rows"),
                            .cols = lac_params_int(params, "cols"),
                            .dataflow = is(params, "dataflow", "os")   ? SYSTOLIC_OS
                                        : is(params, "dataflow", "is") ? SYSTOLIC_IS
                                                                       : SYSTOLIC_WS,
                            .pipelined = is(params, "fold", "pipelined"),
                            .exact_edge = is(params, "edge", "exact"),
                            .drain = lac_params_int(params, "drain") != 0,
                            .dram = is(params, "mem", "dram"),
                            .ifmap = lac_params_int(params, "ifmap_kb") * 1024,
                            .filter = lac_params_int(params, "filter_kb") * 1024,
                            .ofmap = lac_params_int(params, "ofmap_kb") * 1024,
                            .dram_bw = lac_params_int(params, "dram_bw"),
                            .out_bytes = lac_params_int(params, "out_bytes")};
}

static bool supports(const lac_layer *layer, const lac_params *params, char *why, size_t why_size)
{
    (void)params;
    if (layer->kind->gemm)
        return true;
    snprintf(why, why_size,
             "%s: no product that a dense array runs as it stands; ask for its gemm layers instead",
             layer->kind->row.name);
    return false;
}

/* ---- schedule ---- */

static lac_status schedule(const systolic_array *array, const lac_layer *layer,
                           systolic_counts *total, lac_error *err)
{
    systolic_counts one;
    memset(total, 0, sizeof *total);
    if (strcmp(layer->kind->row.name, "conv") == 0) {
        lac_conv g = lac_conv_of(layer);
        systolic_shape shape = {g.batch * g.out_h * g.out_w, g.k_group, g.c_group * g.r * g.s,
                                g.batch * g.c_group * g.h * g.w, g.groups};
        return systolic_schedule(array, &shape, total, err);
    }
    lac_layer bare = *layer; /* dims only */
    systolic_shape last = {0, 0, 0, 0, 0};
    for (int i = 0; i < LAC_ROLE_LIMIT; i++)
        memset(&bare.operand[i].tensor, 0, sizeof bare.operand[i].tensor);
    for (int64_t i = 0; i < layer->kind->gemm_count(layer); i++) {
        lac_layer gemm;
        LAC_TRY(layer->kind->gemm(&bare, i, &gemm, err));
        systolic_shape shape = {lac_layer_dim_get(&gemm, "m"), lac_layer_dim_get(&gemm, "n"),
                                lac_layer_dim_get(&gemm, "k"), 0, 1};
        shape.input = shape.m * shape.k;
        if (shape.m != last.m || shape.n != last.n || shape.k != last.k)
            LAC_TRY(systolic_schedule(array, &shape, &one, err));
        last = shape;
        systolic_add(total, &one, 1);
    }
    return LAC_OK;
}

/* ---- result ---- */

static void charge(const systolic_array *array, const systolic_counts *c, int64_t active,
                   int64_t gated, const lac_params *params, lac_result *result)
{
    /* os keeps its sums in the cells: what it writes are outputs */
    int64_t sum_bytes = array->dataflow == SYSTOLIC_OS ? c->psum_writes * array->out_bytes
                                                       : (c->psum_writes + c->psum_reads) * 4;
    result->sram_bytes = c->ifmap_reads + c->filter_reads + sum_bytes;
    lac_result_energy(result, "mac", (double)active * (LAC_PJ_MUL_INT8 + LAC_PJ_ADD_INT32),
                      LAC_SOURCE_MAC);
    if (gated)
        lac_result_energy(result, "gated mac", (double)gated * LAC_PJ_GATED_MAC, LAC_SOURCE_GATED);
    lac_result_energy(result, "sram ifmap",
                      (double)c->ifmap_reads *
                          lac_sram_pj_per_byte(lac_params_real(params, "ifmap_kb")),
                      LAC_SOURCE_SRAM);
    lac_result_energy(result, "sram filter",
                      (double)c->filter_reads *
                          lac_sram_pj_per_byte(lac_params_real(params, "filter_kb")),
                      LAC_SOURCE_SRAM);
    lac_result_energy(result, "sram ofmap",
                      (double)sum_bytes * lac_sram_pj_per_byte(lac_params_real(params, "ofmap_kb")),
                      LAC_SOURCE_SRAM);
    lac_result_energy(result, "dram", (double)result->dram_bytes * LAC_PJ_DRAM_BYTE,
                      LAC_SOURCE_DRAM);
}

static lac_status simulate(const lac_layer *layer, const lac_params *params,
                           const lac_sim_options *options, lac_result *result, lac_error *err)
{
    systolic_array array = array_of(params);
    systolic_counts c;
    bool zvcg = lac_params_int(params, "zvcg") != 0, has_data = !lac_layer_is_bare(layer);
    lac_effectual effectual = {.macs = -1};
    if (array.out_bytes != 1 && array.out_bytes != 4)
        return lac_fail(err, LAC_ERROR_INPUT, "out_bytes=%d is neither 1 nor 4",
                        (int)array.out_bytes);
    LAC_TRY(schedule(&array, layer, &c, err));
    if (!has_data && (zvcg || !options->schedule_only))
        return lac_fail(err, LAC_ERROR_INPUT,
                        "the layer has no operands: only a schedule without zvcg needs none");
    if (has_data)
        LAC_TRY(lac_count_effectual(layer, &effectual, err));
    int64_t macs = layer->kind->macs(layer), gated = zvcg ? macs - effectual.macs : 0;
    result->macs = macs;
    result->effectual_macs = effectual.macs;
    result->cycles = c.cycles_ideal + c.stall_dram;
    result->multipliers = array.rows * array.cols;
    result->dram_bytes = c.dram_ifmap + c.dram_filter + c.dram_psum + c.dram_out;
    if (has_data) {
        lac_result_count(result, "nnz_w", effectual.nnz_w);
        lac_result_count(result, "nnz_a", effectual.nnz_a);
        lac_result_count(result, "effectual", effectual.macs);
    }
    lac_result_count(result, "folds", c.folds);
    lac_result_count(result, "cycles_ideal", c.cycles_ideal);
    lac_result_stall(result, "stall_dram", c.stall_dram);
    lac_result_count(result, "active", macs - gated);
    lac_result_count(result, "gated", gated);
    lac_result_count(result, "ifmap_reads", c.ifmap_reads);
    lac_result_count(result, "filter_reads", c.filter_reads);
    lac_result_count(result, "psum_writes", c.psum_writes);
    lac_result_count(result, "psum_reads", c.psum_reads);
    lac_result_count(result, "dram_ifmap", c.dram_ifmap);
    lac_result_count(result, "dram_filter", c.dram_filter);
    lac_result_count(result, "dram_psum", c.dram_psum);
    lac_result_count(result, "dram_out", c.dram_out);
    charge(&array, &c, macs - gated, gated, params, result);
    if (options->schedule_only)
        return LAC_OK;
    LAC_TRY(lac_product_output(layer, &result->output, err));
    return lac_result_compare(result, layer, options, err);
}

const lac_accel lac_accel_systolic = {
    .row = LAC_ROW(lac_accel, "systolic",
                   "dense weight-, output- or input-stationary array: the baseline"),
    .title = "Systolic array, as modelled by SCALE-Sim",
    .source = "A. Samajdar et al., arXiv 1811.02883 (2018) and ISPASS 2020; SCALE-Sim v3, arXiv "
              "2504.15377 (2025); code: scalesim-project/SCALE-Sim",
    .card = "Modelled: folds of the array to the cycle, serial or pipelined; words of three "
            "double-buffered SRAMs; bytes of one DRAM channel, with its stalls on request; "
            "zero-value clock gating. int8 operands, int32 sums, exact output. Convolutions become "
            "matrix products, im2col addresses are generated and never stored. Simplified: a fold "
            "waits for its operands as a whole. Left out: bank conflicts, DRAM rows and refresh, "
            "what lies between the products of attention and LSTM (host, no cycles).",
    .params = params_schema,
    .clock_mhz = clock_mhz,
    .identity = "cycles_ideal + stall_dram = cycles\n"
                "active + gated = macs\n"
                "dram_ifmap + dram_filter + dram_psum + dram_out = dram_bytes\n"
                "effectual_macs <= macs",
    .supports = supports,
    .simulate = simulate,
    .reproduce = systolic_reproduce,
};
