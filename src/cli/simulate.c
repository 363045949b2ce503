/* lacuna simulate: a network, or one synthetic layer, on simulated accelerators. */
#include "study/simulate.h"
#include "cli/command.h"
#include "core/memory.h"
#include "io/arch.h"
#include "report/json.h"
#include "study/sample.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAX_TARGETS = 64 };

/* ---- results as JSON and as a table
 * ------------------------------------------------------------------ */

static json_t *counters_json(const lac_counter *counters, int n)
{
    json_t *object = json_object();
    for (int i = 0; i < n; i++)
        json_object_set_new(object, counters[i].name, json_integer(counters[i].value));
    return object;
}

static json_t *decimal(uint64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_string(text);
}

static double utilization(const lac_result *r)
{
    double slots = (double)r->multipliers * (double)r->cycles;
    return slots > 0 && r->effectual_macs >= 0 ? (double)r->effectual_macs / slots : 0;
}

/* Every key in every row, with the same type. A `host` layer has zeros and is not exact; null is
 * what was not asked for: `exact` without the check, `effectual_macs` and `checksum` without
 * numerics. */
static json_t *layer_json(const lac_simulated_layer *layer, bool checked)
{
    const lac_result *r = &layer->result;
    bool ok = !layer->reason[0];
    json_t *parts = json_array();
    for (int i = 0; i < r->n_energies; i++)
        json_array_append_new(parts,
                              json_pack("{s:s, s:f, s:s}", "component", r->energy[i].component,
                                        "pj", r->energy[i].pj, "source", r->energy[i].source));
    json_t *row =
        json_pack("{s:o, s:s, s:s, s:o}", "layer", lac_json_text(layer->name), "kind", layer->kind,
                  "status", ok ? "ok" : "host", "reason", lac_json_text(layer->reason));
    json_object_set_new(row, "exact", ok && !checked ? json_null() : json_boolean(ok && r->exact));
    json_object_set_new(row, "cycles", json_integer(r->cycles));
    json_object_set_new(row, "macs", json_integer(r->macs));
    json_object_set_new(row, "effectual_macs",
                        r->effectual_macs >= 0 ? json_integer(r->effectual_macs) : json_null());
    json_object_set_new(row, "stalls", counters_json(r->stall, r->n_stalls));
    json_object_set_new(row, "dram_bytes", json_integer(r->dram_bytes));
    json_object_set_new(row, "sram_bytes", json_integer(r->sram_bytes));
    json_object_set_new(row, "energy_pj", json_real(lac_result_energy_pj(r)));
    json_object_set_new(row, "energy", parts);
    json_object_set_new(row, "utilization", json_real(utilization(r)));
    json_object_set_new(row, "counters", counters_json(r->counter, r->n_counters));
    json_object_set_new(row, "checksum",
                        ok && !r->has_output
                            ? json_null()
                            : json_pack("{s:o, s:o}", "sum", decimal(ok ? r->sum : 0), "weighted",
                                        decimal(ok ? r->weighted : 0)));
    return row;
}

static json_t *total_json(const lac_simulated *simulated)
{
    int64_t macs = 0, effectual = 0, dram = 0, sram = 0;
    for (int i = 0; i < simulated->n; i++)
        if (!simulated->layer[i].reason[0]) {
            const lac_result *r = &simulated->layer[i].result;
            macs += r->macs;
            effectual += r->effectual_macs > 0 ? r->effectual_macs : 0;
            dram += r->dram_bytes;
            sram += r->sram_bytes;
        }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:f, s:i, s:i, s:I}", "cycles",
                     (json_int_t)lac_simulated_cycles(simulated), "macs", (json_int_t)macs,
                     "effectual_macs", (json_int_t)effectual, "dram_bytes", (json_int_t)dram,
                     "sram_bytes", (json_int_t)sram, "energy_pj", lac_simulated_pj(simulated),
                     "layers", simulated->n, "host_layers", lac_simulated_hosts(simulated),
                     "host_macs", (json_int_t)simulated->host_macs);
}

static lac_status print_all_json(const lac_target *targets, const lac_simulated *simulated, int n,
                                 const char *source, bool checked, lac_error *err)
{
    json_t *accels = json_array();
    for (int t = 0; t < n; t++) {
        json_t *layers = json_array();
        for (int i = 0; i < simulated[t].n; i++)
            json_array_append_new(layers, layer_json(&simulated[t].layer[i], checked));
        json_array_append_new(
            accels, json_pack("{s:s, s:f, s:o, s:o}", "accel", targets[t].accel->row.name,
                              "clock_mhz", targets[t].accel->clock_mhz(&targets[t].params),
                              "layers", layers, "total", total_json(&simulated[t])));
    }
    return print_json("lacuna.simulate/1",
                      json_pack("{s:o, s:o}", "input", lac_json_text(source), "accels", accels),
                      err);
}

static lac_status table_columns(lac_report *report, lac_error *err)
{
    LAC_TRY(lac_report_column(report, "layer", "layer", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "kind", "kind", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "where", "runs on", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "cycles", "cycles", "", LAC_LABEL_SIMULATED, err));
    LAC_TRY(lac_report_column(report, "us", "time", "us", LAC_LABEL_SIMULATED, err));
    LAC_TRY(lac_report_column(report, "uj", "energy", "uJ", LAC_LABEL_SIMULATED, err));
    LAC_TRY(lac_report_column(report, "util", "utilization", "%", LAC_LABEL_SIMULATED, err));
    LAC_TRY(lac_report_column(report, "dram", "DRAM", "bytes", LAC_LABEL_SIMULATED, err));
    LAC_TRY(lac_report_column(report, "stall", "largest stall", "", LAC_LABEL_SIMULATED, err));
    return lac_report_column(report, "exact", "exact", "", LAC_LABEL_NONE, err);
}

static lac_status table_row(lac_report *report, const lac_simulated_layer *layer, const char *accel,
                            double mhz, bool checked, lac_error *err)
{
    const lac_result *r = &layer->result;
    LAC_TRY(lac_report_row(report, err));
    LAC_TRY(lac_report_text(report, "layer", layer->name, err));
    LAC_TRY(lac_report_text(report, "kind", layer->kind, err));
    if (layer->reason[0]) {
        LAC_TRY(lac_report_text(report, "where", "host", err));
        return lac_report_footnote(report, "where", layer->reason, err);
    }
    const lac_counter *worst = NULL;
    for (int i = 0; i < r->n_stalls; i++)
        if (r->stall[i].value > 0 && (!worst || r->stall[i].value > worst->value))
            worst = &r->stall[i];
    LAC_TRY(lac_report_text(report, "where", accel, err));
    LAC_TRY(lac_report_integer(report, "cycles", r->cycles, err));
    LAC_TRY(lac_report_number(report, "us", (double)r->cycles / mhz, 2, err));
    LAC_TRY(lac_report_number(report, "uj", 1e-6 * lac_result_energy_pj(r), 3, err));
    LAC_TRY(lac_report_number(report, "util", 100 * utilization(r), 1, err));
    LAC_TRY(lac_report_integer(report, "dram", r->dram_bytes, err));
    if (worst) {
        char text[96], digits[32];
        snprintf(text, sizeof text, "%s %s", worst->name,
                 lac_group_digits(worst->value, digits, sizeof digits));
        LAC_TRY(lac_report_text(report, "stall", text, err));
    }
    return lac_report_text(report, "exact", !checked ? "-" : r->exact ? "yes" : "no", err);
}

static lac_status print_table(const lac_target *target, const lac_simulated *simulated,
                              const char *source, bool checked, lac_error *err)
{
    double mhz = target->accel->clock_mhz(&target->params);
    char title[300], note[400], cycles[32];
    snprintf(title, sizeof title, "%s at %.0f MHz, input: %s", target->accel->row.name, mhz,
             source);
    lac_report *report = lac_report_make(title, err);
    lac_status status = report ? table_columns(report, err) : LAC_ERROR_MEMORY;
    for (int i = 0; status == LAC_OK && i < simulated->n; i++)
        status =
            table_row(report, &simulated->layer[i], target->accel->row.name, mhz, checked, err);
    snprintf(note, sizeof note, "total: %s cycles, %.1f us, %.3f uJ; host %d of %d layers",
             lac_group_digits(lac_simulated_cycles(simulated), cycles, sizeof cycles),
             (double)lac_simulated_cycles(simulated) / mhz, 1e-6 * lac_simulated_pj(simulated),
             lac_simulated_hosts(simulated), simulated->n);
    if (status == LAC_OK)
        status = lac_report_note(report, note, err);
    if (status == LAC_OK)
        status = print_report(report, err);
    lac_report_free(report);
    return status;
}

/* ---- what is to be simulated
 * ------------------------------------------------------------------------- */

static lac_status read_targets(const cli_arguments *arguments, lac_target *targets, int *n,
                               lac_error *err)
{
    const char *text = option_value(arguments, "accel", 0), *item;
    *n = 0;
    if (!text || strcmp(text, "all") == 0) {
        for (int i = 0; i < lac_table_count(&lac_accels) && i < MAX_TARGETS; i++)
            LAC_TRY(lac_target_parse(&targets[(*n)++], lac_table_at(&lac_accels, i)->name, err));
    } else {
        char name[64];
        do {
            size_t length = strcspn(text, ",");
            snprintf(name, sizeof name, "%.*s", (int)length, text);
            if (*n == MAX_TARGETS)
                return lac_fail(err, LAC_ERROR_INPUT, "more than %d accelerators", MAX_TARGETS);
            LAC_TRY(lac_target_parse(&targets[(*n)++], name, err));
            text += length + (text[length] == ',');
        } while (*text);
    }
    if ((item = option_value(arguments, "arch", 0))) {
        if (*n != 1)
            return lac_fail(err, LAC_ERROR_INPUT, "--arch goes with one --accel");
        LAC_TRY(lac_arch_load(&targets[0].params, item, err));
    }
    for (int i = 0; (item = option_value(arguments, "set", i)); i++)
        LAC_TRY(lac_targets_set(targets, *n, item, err));
    return LAC_OK;
}

/* One option into a text slot of the layer; a pattern into the operands it is about. */
static lac_status layer_options(const cli_arguments *arguments, lac_layer *layer, lac_error *err)
{
    const char *wd = option_value(arguments, "wd", 0), *ad = option_value(arguments, "ad", 0);
    int64_t seed;
    bool attention = strcmp(layer->kind->row.name, "attention") == 0;
    if (attention && (wd || ad))
        return lac_fail(err, LAC_ERROR_INPUT, "--wd and --ad mean nothing for an attention layer");
    if (!attention) {
        LAC_TRY(lac_operand_pattern(&layer->operand[LAC_ROLE_WEIGHTS], wd ? wd : "1.0", err));
        LAC_TRY(lac_operand_pattern(&layer->operand[LAC_ROLE_RECURRENT], wd ? wd : "1.0", err));
        LAC_TRY(lac_operand_pattern(&layer->operand[LAC_ROLE_ACTIVATIONS], ad ? ad : "1.0", err));
    }
    LAC_TRY(option_int(arguments, "seed", 1, INT64_MIN, INT64_MAX, &seed, err));
    layer->seed = (uint64_t)seed;
    return LAC_OK;
}

/* Whether any target would run it: else its operands need not be drawn. */
static bool somebody_runs(const lac_layer *layer, const lac_target *targets, int n)
{
    char why[160];
    for (int t = 0; t < n; t++)
        if (targets[t].accel->supports(layer, &targets[t].params, why, sizeof why))
            return true;
    return false;
}

static lac_status simulate_synthetic(const cli_arguments *arguments, const lac_target *targets,
                                     int n, const lac_sim_options *options,
                                     lac_simulated *simulated, lac_error *err)
{
    const char *text;
    lac_status status = LAC_OK;
    for (int l = 0; status == LAC_OK && (text = option_value(arguments, "layer", l)); l++) {
        lac_layer layer;
        LAC_TRY(lac_layer_parse(&layer, text, err));
        snprintf(layer.name, sizeof layer.name, "%s", text);
        status = layer_options(arguments, &layer, err);
        show_progress(NULL, text, -1);
        if (status == LAC_OK && layer.kind->generate && somebody_runs(&layer, targets, n))
            status = layer.kind->generate(&layer, err);
        for (int t = 0; status == LAC_OK && t < n; t++) {
            size_t count = (size_t)simulated[t].n;
            lac_simulated_layer *rows =
                lac_grow(simulated[t].layer, count, count + 1, sizeof *rows, err);
            if (!rows) {
                status = LAC_ERROR_MEMORY;
                break;
            }
            simulated[t].layer = rows;
            simulated[t].n++;
            status = lac_simulate_layer(&layer, &targets[t], options, &rows[count], err);
        }
        lac_layer_release(&layer);
    }
    return status;
}

static lac_status simulate_model(const cli_arguments *arguments, const lac_target *targets, int n,
                                 const lac_sim_options *options, lac_simulated *simulated,
                                 char *source, size_t source_size, lac_error *err)
{
    lac_model model;
    lac_tensor *in;
    lac_dataset *dataset = NULL;
    lac_calibration calibration;
    lac_ranges ranges = {0};
    int64_t item, left_out;
    LAC_TRY(option_int(arguments, "item", 0, 0, INT64_MAX, &item, err));
    LAC_TRY(
        lac_model_open(&model, arguments->positional[0], option_value(arguments, "meta", 0), err));
    lac_status status = lac_sample_calibration(&model, &dataset, &calibration, &left_out, err);
    if (status == LAC_OK)
        status =
            lac_sample_inputs(&model, dataset, left_out + item, option_value(arguments, "sizes", 0),
                              &in, source, source_size, err);
    if (status == LAC_OK) {
        if (dataset && !option_value(arguments, "sizes", 0))
            status =
                lac_ranges_collect(&ranges, model.graph, calibration.samples, calibration.sample,
                                   calibration.context, show_progress, NULL, err);
        lac_simulate_options run = {.sim = *options, .progress = show_progress};
        if (status == LAC_OK)
            status =
                lac_simulate_network(model.graph, in, &ranges, targets, n, &run, simulated, err);
        for (int i = 0; i < model.graph->n_inputs; i++)
            lac_tensor_release(&in[i]);
        lac_free(in);
    }
    lac_ranges_release(&ranges);
    lac_dataset_close(dataset);
    lac_model_close(&model);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", arguments->positional[0]);
}

static lac_status simulate(const cli_arguments *arguments, lac_target *targets,
                           lac_simulated *simulated, lac_error *err)
{
    int n;
    char source[300] = "synthetic";
    bool synthetic = option_given(arguments, "layer");
    lac_sim_options options = {.schedule_only = option_given(arguments, "schedule-only"),
                               .no_check = option_given(arguments, "no-check")};
    if (synthetic == (arguments->n == 1))
        return lac_fail(err, LAC_ERROR_INPUT, "want a MODEL or --layer TEXT, one of the two");
    for (size_t i = 0; !synthetic && i < 3; i++) {
        static const char *const only[] = {"wd", "ad", "seed"};
        if (option_given(arguments, only[i]))
            return lac_fail(err, LAC_ERROR_INPUT, "--%s goes with --layer, not with a model",
                            only[i]);
    }
    bool checked = !options.schedule_only && !options.no_check;
    LAC_TRY(read_targets(arguments, targets, &n, err));
    lac_status status = synthetic
                            ? simulate_synthetic(arguments, targets, n, &options, simulated, err)
                            : simulate_model(arguments, targets, n, &options, simulated, source,
                                             sizeof source, err);
    if (status == LAC_OK && arguments->json)
        status = print_all_json(targets, simulated, n, source, checked, err);
    for (int t = 0; status == LAC_OK && !arguments->json && t < n; t++)
        status = print_table(&targets[t], &simulated[t], source, checked, err);
    for (int t = 0; t < n; t++)
        lac_simulated_release(&simulated[t]);
    return status;
}

static lac_status run(const cli_arguments *arguments, lac_error *err)
{
    lac_target *targets = lac_alloc(MAX_TARGETS, sizeof *targets, err);
    lac_simulated *simulated = lac_alloc(MAX_TARGETS, sizeof *simulated, err);
    lac_status status =
        targets && simulated ? simulate(arguments, targets, simulated, err) : LAC_ERROR_MEMORY;
    lac_free(targets);
    lac_free(simulated);
    return status;
}

static const cli_option options[] = {
    {"accel", 'a', "NAME,...", "accelerators, or all (default)"},
    {"layer", 'l', "TEXT", "a synthetic layer instead of a model, e.g. gemm:m=512,n=768,k=768"},
    {"wd", 0, "DENSITY|N:M", "weights of synthetic layers: a density or an N:M pattern"},
    {"ad", 0, "DENSITY|N:M", "activations of synthetic layers"},
    {"seed", 0, "N", "seed of synthetic layers (default 1)"},
    {"set", 0, "NAME=VALUE",
     "a parameter; accel.NAME=VALUE for one of several; repeatable, comma lists allowed"},
    {"arch", 0, "FILE.yaml", "a set of parameters for one accelerator"},
    {"item", 0, "N", "which sample of the model's data (behind the calibration part)"},
    {"sizes", 0, "N=1,T=32", "run on noise of these sizes instead of a stored sample"},
    {"meta", 'm', "FILE", "take tasks (samples) from this meta.json"},
    {"schedule-only", 0, NULL, "cycles only, no numerics"},
    {"no-check", 0, NULL, "skip the comparison with the integer reference"},
    {0}};

const cli_command command_simulate = {
    .name = "simulate",
    .usage = "MODEL | --layer TEXT [--accel NAME,...] [--set NAME=VALUE]",
    .summary = "cycles, energy and exact outputs on simulated accelerators",
    .details = "  lacuna simulate glyph_vit --accel sta\n"
               "  lacuna simulate --layer fc:in=4096,out=1000,batch=1 --wd 0.25 --ad 0.375 \\\n"
               "      --seed 7 --accel eie --set pe=64 --json\n\n"
               "A network runs once on a stored sample; every layer is quantised with calibrated\n"
               "scales and handed to each accelerator. A layer that one cannot run is 'host'.",
    .options = options,
    .min_arguments = 0,
    .max_arguments = 1,
    .run = run,
};
