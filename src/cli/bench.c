/* lacuna bench: where a network's time goes on this CPU, and what its zeros and low bits bring. */
#include "study/bench.h"
#include "cli/command.h"
#include "core/memory.h"
#include "report/json.h"
#include "study/sample.h"

#include <math.h>
#include <string.h>

static double gbps(const lac_bench_layer *layer)
{
    return layer->ms > 0 ? 1e-6 * (double)layer->stored_bytes / layer->ms : NAN;
}

/* null for what there is not: every row has the same keys. */
static json_t *figure(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static lac_status print_bench_json(const lac_bench *bench, const char *source, lac_error *err)
{
    json_t *layers = json_array();
    for (int i = 0; i < bench->n; i++) {
        const lac_bench_layer *l = &bench->layer[i];
        json_t *row =
            json_pack("{s:o, s:s, s:s, s:s, s:f, s:I, s:I}", "layer", lac_json_text(l->name),
                      "kernel", l->kernel, "isa", l->isa, "format", l->format, "ms", l->ms,
                      "stored_bytes", (json_int_t)l->stored_bytes, "macs", (json_int_t)l->macs);
        json_object_set_new(row, "ms_dense", figure(l->ms_dense));
        json_object_set_new(row, "speedup", figure(l->ms > 0 ? l->ms_dense / l->ms : NAN));
        json_object_set_new(row, "gbps", figure(l->stored_bytes > 0 ? gbps(l) : NAN));
        if (l->why[0])
            json_object_set_new(row, "why", lac_json_text(l->why));
        json_array_append_new(layers, row);
    }
    return print_json("lacuna.bench/1",
                      json_pack("{s:o, s:{s:f, s:f, s:o}, s:i, s:i, s:o}", "layers", layers,
                                "total", "ms", bench->ms, "ms_dense", bench->ms_dense, "speedup",
                                figure(bench->ms_dense / bench->ms), "runs", bench->runs, "threads",
                                lac_threads(), "input", lac_json_text(source)),
                      err);
}

static lac_status print_bench(const lac_bench *bench, const char *source, bool all, lac_error *err)
{
    static const struct {
        const char *key, *heading, *unit;
        lac_label label;
    } columns[] = {
        {"layer", "layer", "", LAC_LABEL_NONE},
        {"kernel", "kernel", "", LAC_LABEL_NONE},
        {"format", "weights", "", LAC_LABEL_NONE},
        {"bytes", "stored", "bytes", LAC_LABEL_NONE},
        {"ms", "time", "ms", LAC_LABEL_MEASURED},
        {"dense", "dense", "ms", LAC_LABEL_MEASURED},
        {"speedup", "speed-up", "", LAC_LABEL_MEASURED},
        {"gflops", "rate", "GFLOP/s", LAC_LABEL_MEASURED},
    };
    lac_report *report = lac_report_make("", err);
    lac_status status = report ? LAC_OK : LAC_ERROR_MEMORY;
    for (size_t i = 0; status == LAC_OK && i < sizeof columns / sizeof *columns; i++)
        status = lac_report_column(report, columns[i].key, columns[i].heading, columns[i].unit,
                                   columns[i].label, err);
    double other = 0;
    for (int i = 0; status == LAC_OK && i < bench->n; i++) {
        const lac_bench_layer *l = &bench->layer[i];
        if (!l->macs && !all) {
            other += l->ms;
            continue;
        }
        status = lac_report_row(report, err);
        if (status == LAC_OK)
            status = lac_report_text(report, "layer", l->name, err);
        if (status == LAC_OK)
            status = lac_report_text(report, "kernel", l->kernel, err);
        if (status == LAC_OK && l->why[0])
            status = lac_report_footnote(report, "kernel", l->why, err);
        if (status == LAC_OK)
            status = lac_report_text(report, "format", l->format, err);
        if (status == LAC_OK)
            status = lac_report_integer(report, "bytes", l->stored_bytes, err);
        if (status == LAC_OK)
            status = lac_report_number(report, "ms", l->ms, 3, err);
        if (status == LAC_OK && l->macs)
            status = lac_report_number(report, "dense", l->ms_dense, 3, err);
        if (status == LAC_OK && l->macs)
            status = lac_report_number(report, "speedup", l->ms_dense / l->ms, 2, err);
        if (status == LAC_OK && l->macs)
            status = lac_report_number(report, "gflops", 2e-6 * (double)l->macs / l->ms, 1, err);
    }
    lac_text note = {0};
    if (!all)
        lac_text_add(&note, "other operators: %.3f ms (--all lists them)\n", other);
    lac_text_add(&note,
                 "whole network: %.3f ms, dense float32 %.3f ms, speed-up %.2f (medians of %d runs "
                 "in turns, %d threads, input: %s)\n"
                 "speed-up: the dense time over this one, above 1 is faster",
                 bench->ms, bench->ms_dense, bench->ms_dense / bench->ms, bench->runs,
                 lac_threads(), source);
    if (status == LAC_OK)
        status = lac_report_note(report, note.data ? note.data : "", err);
    if (status == LAC_OK)
        status = print_report(report, err);
    lac_text_release(&note);
    lac_report_free(report);
    return status;
}

static lac_status bench_model(const cli_arguments *arguments, const lac_model *model,
                              lac_error *err)
{
    lac_tensor *in;
    lac_dataset *dataset;
    lac_graph *dense;
    lac_bench bench;
    char source[300];
    int64_t runs, item;
    LAC_TRY(option_int(arguments, "runs", 20, 1, 100000, &runs, err));
    LAC_TRY(option_int(arguments, "item", 0, 0, INT64_MAX, &item, err));
    LAC_TRY(lac_sample_dataset(model, &dataset, err));
    lac_status status = lac_sample_inputs(model, dataset, item, option_value(arguments, "sizes", 0),
                                          &in, source, sizeof source, err);
    lac_dataset_close(dataset);
    LAC_TRY(status);
    status = lac_dense_copy(&dense, model->graph, err);
    if (status == LAC_OK) {
        status =
            lac_bench_run(&bench, model->graph, dense, in, (int)runs, show_progress, NULL, err);
        if (status == LAC_OK) {
            status = arguments->json
                         ? print_bench_json(&bench, source, err)
                         : print_bench(&bench, source, option_given(arguments, "all"), err);
            lac_bench_release(&bench);
        }
        lac_graph_free(dense);
    }
    for (int i = 0; i < model->graph->n_inputs; i++)
        lac_tensor_release(&in[i]);
    lac_free(in);
    return status;
}

static lac_status run(const cli_arguments *arguments, lac_error *err)
{
    lac_model model;
    LAC_TRY(lac_model_open(&model, arguments->positional[0], NULL, err));
    lac_status status = bench_model(arguments, &model, err);
    lac_model_close(&model);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", arguments->positional[0]);
}

static const cli_option options[] = {
    {"runs", 'n', "N", "timed runs, medians are printed (default 20)"},
    {"item", 0, "N", "which stored sample to run (default 0)"},
    {"sizes", 0, "N=1,T=32", "run on noise of these sizes instead of a stored sample"},
    {"all", 'a', NULL, "list every step, not only layers"},
    {0}};

const cli_command command_bench = {
    .name = "bench",
    .usage = "MODEL [--runs N] [--sizes SYMBOL=SIZE,...]",
    .summary = "time of each layer on this CPU, beside the dense one",
    .details =
        "  lacuna compress glyph_vit -s nm:2:4+int8 -o vit24.onnx && lacuna bench vit24.onnx\n\n"
        "The network and its dense float32 twin run in turns in one process.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
