/* sta: the N:M sparse transformer accelerator (C. Fang, A. Zhou, Z. Wang, IEEE TVLSI 30(11), 2022,
 * arXiv 2208.06118). The principle is published, the micro-architecture is not available to us:
 * every number of it here is assumed and says so. */
#include "accel/sta/sta.h"

#include <stdio.h>
#include <string.h>

#include "graph/layer_encoder.h"
#include <lacuna/format.h>

#define SIZE_WHY                                                                                   \
    "not published; R = C makes a dense tile with K = 64 last as long as its drain, C*L = 64 "     \
    "makes a value plane one 64-byte beat"
#define STAGES_WHY "not published; our choice of pipeline stages"
#define DRAM_WHY   "not published; one 64-byte beat a cycle, as a DDR4 channel pair at 200 MHz"
#define HARDWARE(name_, unit_, initial_, min_, max_, source_, summary_)                            \
    {                                                                                              \
        .name = name_, .type = LAC_PARAM_INT, .unit = unit_, .initial = initial_, .min = min_,     \
        .max = max_, .provenance = LAC_ASSUMED, .source = source_, .summary = summary_             \
    }

const lac_param lac_sta_params[] = {
    HARDWARE("R", "rows", 16, 1, 256, SIZE_WHY, "PE rows: tokens of a tile"),
    HARDWARE("C", "columns", 16, 1, 1024, SIZE_WHY, "PE columns: outputs of a tile"),
    HARDWARE("L", "lanes", 4, 1, 256, SIZE_WHY, "multipliers of a PE: groups of a step"),
    HARDWARE("MMAX", "elements", 16, 1, 31, "not published; 4:16 and 2:16 are common patterns",
             "widest group the selectors accept"),
    HARDWARE("PA", "bytes/cycle", 32, 1, 65536,
             "not published; feeds every pattern up to M = 8 at full rate",
             "activation bytes of one row bank"),
    HARDWARE("Q", "cycles", 4, 0, 1000, STAGES_WHY, "stages of the output path"),
    HARDWARE("SM1", "cycles", 6, 0, 1000, STAGES_WHY, "softmax statistics pipeline"),
    HARDWARE("RCP", "cycles", 18, 0, 1000, STAGES_WHY, "softmax reciprocal"),
    HARDWARE("SM2", "cycles", 6, 0, 1000, STAGES_WHY, "softmax normalise pipeline"),
    HARDWARE("LN1", "cycles", 4, 0, 1000, STAGES_WHY, "layer-norm statistics pipeline"),
    HARDWARE("LNR", "cycles", 36, 0, 1000, STAGES_WHY, "layer-norm root and reciprocal"),
    HARDWARE("LN2", "cycles", 8, 0, 1000, STAGES_WHY, "layer-norm normalise pipeline"),
    HARDWARE("VL", "elements/cycle", 32, 1, 65536, STAGES_WHY, "layer-norm lanes"),
    HARDWARE("rd", "bytes/cycle", 64, 1, 1e9, DRAM_WHY, "DRAM read channel"),
    HARDWARE("wr", "bytes/cycle", 64, 1, 1e9, DRAM_WHY, "DRAM write channel"),
    HARDWARE("lat", "cycles", 32, 0, 1e6, DRAM_WHY, "DRAM read latency"),
    HARDWARE("wslot", "bytes", 262144, 1, 1e12, "not published; a BERT-base FFN tile fits twice",
             "one of the two weight-buffer slots"),
    HARDWARE("act", "bytes", 4194304, 1, 1e12,
             "not published; BERT-base at 512 tokens stays on chip", "activation memory"),
    {.name = "enc",
     .type = LAC_PARAM_CHOICE,
     .unit = "",
     .text = "bitmap",
     .choices = "bitmap|index",
     .provenance = LAC_ASSUMED,
     .source = "compression is published (abstract), the bitmap only in a reading note",
     .summary = "weight metadata"},
    {.name = "clock",
     .type = LAC_PARAM_REAL,
     .unit = "MHz",
     .initial = 200,
     .min = 1,
     .max = 100000,
     .provenance = LAC_ASSUMED,
     .source = "recalled for the authors' FPGA, not checked; only prints milliseconds",
     .summary = "clock"},
    {.name = "mix",
     .type = LAC_PARAM_TEXT,
     .unit = "",
     .text = "",
     .provenance = LAC_OPTION,
     .source = "",
     .summary = "encoder: own pattern of single operations, q=1:1/f1=2:16 (q, k, v, o, f1, f2)"},
    {0}};

lac_sta_machine lac_sta_machine_of(const lac_params *p)
{
    return (lac_sta_machine){.rows = lac_params_int(p, "R"),
                             .cols = lac_params_int(p, "C"),
                             .lanes = lac_params_int(p, "L"),
                             .m_max = lac_params_int(p, "MMAX"),
                             .fetch_bytes = lac_params_int(p, "PA"),
                             .output_stages = lac_params_int(p, "Q"),
                             .softmax_statistics = lac_params_int(p, "SM1"),
                             .reciprocal = lac_params_int(p, "RCP"),
                             .softmax_normalise = lac_params_int(p, "SM2"),
                             .norm_statistics = lac_params_int(p, "LN1"),
                             .norm_root = lac_params_int(p, "LNR"),
                             .norm_normalise = lac_params_int(p, "LN2"),
                             .norm_lanes = lac_params_int(p, "VL"),
                             .read_bytes = lac_params_int(p, "rd"),
                             .write_bytes = lac_params_int(p, "wr"),
                             .latency = lac_params_int(p, "lat"),
                             .weight_slot = lac_params_int(p, "wslot"),
                             .activation_bytes = lac_params_int(p, "act"),
                             .index = strcmp(lac_params_text(p, "enc"), "index") == 0};
}

static double clock_mhz(const lac_params *params)
{
    return lac_params_real(params, "clock");
}

static bool is_kind(const lac_layer *layer, const char *kind)
{
    return strcmp(layer->kind->row.name, kind) == 0;
}

/* The type of an operand that is there, dense or packed. */
static bool has_dtype(const lac_layer *layer, int role, uint32_t allowed)
{
    const lac_operand *operand = &layer->operand[role];
    lac_dtype dtype = operand->tensor.data ? operand->tensor.dtype
                      : operand->packed    ? operand->packed->dtype
                                           : LAC_NONE;
    return dtype == LAC_NONE || (allowed & LAC_BIT(dtype));
}

static bool attention_runs(const lac_layer *layer, char *why, size_t why_size)
{
    const lac_tensor *mask = &layer->operand[LAC_ROLE_MASK].tensor;
    const uint8_t *kept = mask->data;
    if (lac_layer_dim_get(layer, "kv_tokens") != lac_layer_dim_get(layer, "tokens")) {
        snprintf(why, why_size,
                 "queries and keys differ in number: the engine has one token count");
        return false;
    }
    if (layer->text[0][0]) {
        snprintf(why, why_size, "masked attention: the softmax unit knows no mask");
        return false;
    }
    for (int64_t i = 0; kept && i < lac_tensor_count(mask); i++)
        if (!kept[i]) {
            snprintf(why, why_size, "masked attention: the softmax unit knows no mask");
            return false;
        }
    for (int role = LAC_ROLE_QUERY; role <= LAC_ROLE_VALUE; role++)
        if (!has_dtype(layer, role, LAC_BIT(LAC_I8)) || layer->operand[role].scale_count > 1) {
            snprintf(why, why_size, "query, key and value must be int8 with one scale each");
            return false;
        }
    return true;
}

/* Does the layer fit the buffers? Names the parameter that is too small. */
static lac_status fits(const lac_layer *layer, const lac_sta_machine *machine, lac_error *err)
{
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    int n = w->m > 1 ? w->n : 1, m = w->m > 1 ? w->m : 1;
    int64_t k, block;
    if (is_kind(layer, "attention"))
        return lac_sta_attention_fits(machine, lac_layer_dim_get(layer, "heads"),
                                      lac_layer_dim_get(layer, "tokens"),
                                      lac_layer_dim_get(layer, "dim"), err);
    if (is_kind(layer, "encoder"))
        return LAC_OK; /* never captured */
    if (is_kind(layer, "conv"))
        k = lac_layer_dim_get(layer, "r") * lac_layer_dim_get(layer, "s") *
            ((lac_layer_dim_get(layer, "c") + m - 1) / m * m);
    else
        k = lac_layer_dim_get(layer, is_kind(layer, "fc") ? "in" : "k");
    lac_sta_tile tile = lac_sta_tile_make(machine, n, m, k, true);
    LAC_TRY(lac_sta_fits(machine, &tile, err));
    return lac_sta_gemm_block(machine, k, &block, err);
}

/* Layers of a real network carry scales; synthetic ones are plain integers. */
static bool is_captured(const lac_layer *layer)
{
    for (int role = 0; role < LAC_ROLE_LIMIT; role++)
        if (layer->operand[role].scale_count > 0)
            return true;
    return false;
}

static bool runs(const lac_layer *layer, const lac_params *params, char *why, size_t why_size)
{
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    bool conv = is_kind(layer, "conv"), product = is_kind(layer, "gemm") || is_kind(layer, "fc");
    if (is_kind(layer, "attention"))
        return attention_runs(layer, why, why_size);
    if (!conv && !product && !is_kind(layer, "encoder")) {
        snprintf(why, why_size, "%s: no dataflow on the engine", layer->kind->row.name);
        return false;
    }
    if (conv && lac_layer_dim_get(layer, "groups") != 1) {
        snprintf(why, why_size, "grouped convolution: no dataflow on the engine");
        return false;
    }
    if (w->m > lac_params_int(params, "MMAX") || w->n > w->m) {
        snprintf(why, why_size, "pattern %d:%d: the selectors take 1 <= N <= M <= MMAX = %lld",
                 w->n, w->m, (long long)lac_params_int(params, "MMAX"));
        return false;
    }
    if (!has_dtype(layer, LAC_ROLE_WEIGHTS, LAC_BIT(LAC_I8)) ||
        !has_dtype(layer, LAC_ROLE_ACTIVATIONS, LAC_BIT(LAC_I8) | LAC_BIT(LAC_U8))) {
        snprintf(why, why_size,
                 "the engine multiplies int8 weights with int8 or uint8 activations");
        return false;
    }
    return true;
}

/* A synthetic layer or a parameter that does not fit is the user's error and `simulate` says so;
 * one layer of a real network that does not fit goes to the host and the others still run. */
static bool supports(const lac_layer *layer, const lac_params *params, char *why, size_t why_size)
{
    lac_sta_machine machine = lac_sta_machine_of(params);
    lac_error err;
    if (!runs(layer, params, why, why_size))
        return false;
    if (!is_captured(layer) || machine.write_bytes < 4 * machine.cols ||
        fits(layer, &machine, &err) == LAC_OK)
        return true;
    snprintf(why, why_size, "%s", err.message);
    return false;
}

/* 45 nm constants of Horowitz, ISSCC 2014, quoted from memory in dossier 4.8; not STA's FPGA. */
static void energy(lac_result *result, const lac_sta_machine *machine, const lac_sta_events *e)
{
    static const char sram[] =
        "45 nm estimate: 2.5 pJ a byte, 20 pJ per 8 bytes of on-chip memory, Horowitz ISSCC 2014 "
        "(from memory)";
    lac_result_energy(result, "mac", 0.3 * (double)e->macs_issued,
                      "45 nm estimate: int8 multiply 0.2 + int32 add 0.1 pJ, Horowitz ISSCC 2014 "
                      "(from memory)");
    lac_result_energy(result, "activation memory",
                      2.5 * (double)(machine->fetch_bytes * e->abuf_reads), sram);
    lac_result_energy(result, "weight buffer", 2.5 * (double)(machine->lanes * e->wbuf_reads),
                      sram);
    lac_result_energy(result, "bitmaps", 2.5 * (double)e->bitmap_bytes, sram);
    lac_result_energy(result, "drain", 2.5 * (double)(4 * machine->cols * e->rows_drained), sram);
    lac_result_energy(result, "dram", 162.5 * (double)(e->dram_w + e->dram_a + e->dram_y),
                      "45 nm estimate: 1.3 nJ per 8 bytes of DRAM, Horowitz ISSCC 2014 "
                      "(from memory)");
}

static void report(const lac_sta_job *job, const lac_layer *layer, lac_result *result)
{
    const lac_sta_machine *machine = &job->machine;
    const lac_sta_events *e = &job->events;
    bool encoder = is_kind(layer, "encoder"), attention = encoder || is_kind(layer, "attention");
    result->cycles = e->cycles;
    result->macs = layer->kind->macs(layer);
    result->effectual_macs = job->effectual;
    result->multipliers = machine->rows * machine->cols * machine->lanes;
    result->dram_bytes = e->dram_w + e->dram_a + e->dram_y;
    result->sram_bytes = machine->fetch_bytes * e->abuf_reads + machine->lanes * e->wbuf_reads +
                         e->bitmap_bytes + 4 * machine->cols * e->rows_drained;
    lac_result_count(result, "mac_cycles", e->mac_cycles);
    lac_result_stall(result, "window_stall", e->window_stall);
    lac_result_stall(result, "drain_stall", e->drain_stall);
    lac_result_stall(result, "dep_stall", e->dep_stall);
    lac_result_stall(result, "load_stall", e->load_stall);
    lac_result_stall(result, "tail", e->tail);
    lac_result_count(result, "tiles", e->tiles);
    lac_result_count(result, "macs_issued", e->macs_issued);
    lac_result_count(result, "abuf_reads", e->abuf_reads);
    lac_result_count(result, "wbuf_reads", e->wbuf_reads);
    lac_result_count(result, "bitmap_reads", e->bitmap_reads);
    lac_result_count(result, "rows_drained", e->rows_drained);
    lac_result_count(result, "dram_w", e->dram_w);
    lac_result_count(result, "dram_a", e->dram_a);
    lac_result_count(result, "dram_y", e->dram_y);
    if (attention)
        lac_result_count(result, "softmax_elems", e->softmax_elems);
    if (job->nnz_w >= 0)
        lac_result_count(result, "nnz_w", job->nnz_w);
    if (job->max_prob_error >= 0)
        lac_result_count(result, "max_prob_err_ppm", (int64_t)(job->max_prob_error * 1e6 + 0.5));
    if (encoder) {
        static const char *const phases[] = {"ph_qkv", "ph_attention", "ph_proj", "ph_ffn1",
                                             "ph_ffn2"};
        lac_result_count(result, "layernorm_elems", e->layernorm_elems);
        for (int i = 0; i < 5; i++)
            lac_result_count(result, phases[i], e->phase[i]);
        lac_result_count(result, "ph_tail", e->tail);
    }
    energy(result, machine, e);
}

/* A weight image packed for another array does not fit this one (dossier 3.1). */
static lac_status check_image(const lac_sta_machine *machine, const lac_layer *layer,
                              lac_error *err)
{
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    if (!packed || strcmp(packed->format->row.name, "sta") != 0)
        return LAC_OK;
    int64_t c = lac_params_int(&packed->params, "c"), l = lac_params_int(&packed->params, "l");
    if (c != machine->cols || l != machine->lanes)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "the weight image is packed for c=%lld, l=%lld, the array has C = "
                        "%lld, L = %lld",
                        (long long)c, (long long)l, (long long)machine->cols,
                        (long long)machine->lanes);
    return LAC_OK;
}

static lac_status simulate(const lac_layer *layer, const lac_params *params,
                           const lac_sim_options *options, lac_result *result, lac_error *err)
{
    lac_sta_job job = {.machine = lac_sta_machine_of(params),
                       .mix = lac_params_text(params, "mix"),
                       .options = options,
                       .max_prob_error = -1,
                       .result = result};
    LAC_TRY(check_image(&job.machine, layer, err));
    if (is_kind(layer, "attention")) {
        LAC_TRY(lac_sta_simulate_attention(&job, layer, err));
        job.nnz_w = -1;
    } else if (is_kind(layer, "encoder")) {
        LAC_TRY(lac_sta_simulate_encoder(&job, layer, err));
    } else if (is_kind(layer, "conv")) {
        LAC_TRY(lac_sta_simulate_conv(&job, layer, err));
    } else {
        LAC_TRY(lac_sta_simulate_gemm(&job, layer, err));
    }
    if (job.nnz_w == 0 && options->schedule_only)
        job.nnz_w = -1; /* not counted */
    report(&job, layer, result);
    return LAC_OK;
}

const lac_accel lac_accel_sta = {
    .row = LAC_ROW(lac_accel, "sta", "N:M sparse transformer accelerator, softmax on chip"),
    .title = "STA: sparse transformer accelerator for N:M weights",
    .source = "C. Fang, A. Zhou, Z. Wang, IEEE TVLSI 30(11):1573-1586, 2022, arXiv 2208.06118 "
              "(abstract); C. Fang et al., ISCAS 2022, 2670-2674 (abstract)",
    .card =
        "Published: N:M weights, only weights sparse, one engine for sparse-dense and "
        "dense-dense products, softmax on chip. Assumed: array size, widths, buffers, pipeline "
        "depths, clock, number formats, memory. Modelled to the cycle: window fetch, selection, "
        "drain, softmax and layer-norm units, double-buffered weights, one read channel. Left "
        "out: bank conflicts, DRAM pages, refresh. Weights that break their N:M promise run "
        "dense.",
    .params = lac_sta_params,
    .clock_mhz = clock_mhz,
    .identity = "mac_cycles + window_stall + drain_stall + dep_stall + load_stall + tail = cycles\n"
                "ph_tail: ph_qkv + ph_attention + ph_proj + ph_ffn1 + ph_ffn2 + ph_tail = cycles",
    .supports = supports,
    .simulate = simulate,
    .reproduce = lac_sta_reproduce,
};
