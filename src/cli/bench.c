/* lacuna bench: where a network's time goes on this CPU, and what its zeros and low bits bring. */
#include "study/bench.h"
#include "cli/command.h"
#include "core/memory.h"
#include "report/chart.h"
#include "report/json.h"
#include "study/bench_layers.h"
#include "study/sample.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

extern const cli_command command_bench;

/* All that is printed of one network. */
typedef struct benched {
    lac_bench bench;
    lac_bench_layers layers;
    lac_machine machine;
    bool measured; /* the break-even, not estimated */
    char source[300];
} benched;

/* null for what there is not: every row has the same keys. */
static json_t *figure(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *layer_json(const lac_bench_layer *l, const lac_layer_facts *f)
{
    json_t *row =
        json_pack("{s:o, s:s, s:s, s:s, s:f, s:I, s:I}", "layer", lac_json_text(l->name), "kernel",
                  l->kernel, "isa", l->isa, "format", l->format, "ms", l->ms, "stored_bytes",
                  (json_int_t)l->stored_bytes, "macs", (json_int_t)l->macs);
    const struct {
        const char *key;
        double value;
    } figures[] = {
        {"ms_dense", l->ms_dense},
        {"speedup", l->ms > 0 ? l->ms_dense / l->ms : NAN},
        {"ms_dense_int8", f->ms_dense_i8},
        {"speedup_int8", l->ms > 0 ? f->ms_dense_i8 / l->ms : NAN},
        {"gflops", f->known ? f->gflops : NAN},
        {"effectual_gflops", f->known ? f->effectual : NAN},
        {"gbps", f->known ? f->gbps : NAN},
        {"density", f->known ? f->density : NAN},
        {"operations_per_byte", f->known ? f->intensity : NAN},
        {"roof_gflops", f->known ? f->roof : NAN},
        {"roofline", f->known ? f->share : NAN},
        {"break_even_sparsity", f->even.sparsity},
    };
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        json_object_set_new(row, figures[i].key, figure(figures[i].value));
    json_object_set_new(row, "shape", f->known ? json_string(f->shape) : json_null());
    json_object_set_new(row, "bound", f->known ? json_string(f->bound) : json_null());
    bool even = isfinite(f->even.sparsity);
    json_object_set_new(row, "break_even_format", even ? json_string(f->even.format) : json_null());
    json_object_set_new(row, "break_even_label",
                        even ? json_string(f->even.measured ? "measured" : "estimated")
                             : json_null());
    if (l->why[0])
        json_object_set_new(row, "why", lac_json_text(l->why));
    return row;
}

static lac_status print_bench_json(const benched *b, lac_error *err)
{
    const lac_bench *bench = &b->bench;
    json_t *layers = json_array();
    for (int i = 0; i < bench->n; i++)
        json_array_append_new(layers, layer_json(&bench->layer[i], &b->layers.facts[i]));
    return print_json("lacuna.bench/1",
                      json_pack("{s:o, s:{s:f, s:f, s:o}, s:i, s:i, s:o, s:o, s:o}", "layers",
                                layers, "total", "ms", bench->ms, "ms_dense", bench->ms_dense,
                                "speedup", figure(bench->ms_dense / bench->ms), "runs", bench->runs,
                                "threads", lac_threads(), "input", lac_json_text(b->source),
                                "machine", lac_machine_json(&b->machine), "memory",
                                memory_json(&bench->memory)),
                      err);
}

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
    {"int8", "over int8", "", LAC_LABEL_MEASURED},
    {"gflops", "rate", "GFLOP/s", LAC_LABEL_MEASURED},
    {"effectual", "on non-zeros", "GFLOP/s", LAC_LABEL_MEASURED},
    {"gbps", "bytes", "GB/s", LAC_LABEL_MEASURED},
    {"share", "of roofline", "%", LAC_LABEL_MEASURED},
    {"even", "break-even", "% zeros", LAC_LABEL_NONE},
};

static lac_status rate_cells(lac_report *report, const lac_layer_facts *f, lac_error *err)
{
    LAC_TRY(lac_report_number(report, "gflops", f->gflops, 1, err));
    LAC_TRY(lac_report_number(report, "effectual", f->effectual, 1, err));
    LAC_TRY(lac_report_number(report, "gbps", f->gbps, 2, err));
    LAC_TRY(lac_report_number(report, "share", 100 * f->share, 0, err));
    LAC_TRY(lac_report_remark(report, "share", f->bound, err));
    LAC_TRY(lac_report_number(report, "even", 100 * f->even.sparsity, 0, err));
    if (isfinite(f->even.sparsity)) {
        char remark[96];
        snprintf(remark, sizeof remark, "%s%s", f->even.format,
                 f->even.measured ? "" : ", estimated");
        LAC_TRY(lac_report_remark(report, "even", remark, err));
    }
    return LAC_OK;
}

static lac_status layer_row(lac_report *report, const lac_bench_layer *l, const lac_layer_facts *f,
                            lac_error *err)
{
    LAC_TRY(lac_report_row(report, err));
    LAC_TRY(lac_report_text(report, "layer", l->name, err));
    LAC_TRY(lac_report_text(report, "kernel", l->kernel, err));
    if (l->why[0])
        LAC_TRY(lac_report_footnote(report, "kernel", l->why, err));
    LAC_TRY(lac_report_text(report, "format", l->format, err));
    LAC_TRY(lac_report_integer(report, "bytes", l->stored_bytes, err));
    LAC_TRY(lac_report_number(report, "ms", l->ms, 3, err));
    if (l->macs) {
        LAC_TRY(lac_report_number(report, "dense", l->ms_dense, 3, err));
        LAC_TRY(lac_report_number(report, "speedup", l->ms_dense / l->ms, 2, err));
        LAC_TRY(lac_report_number(report, "int8", f->ms_dense_i8 / l->ms, 2, err));
    }
    return f->known ? rate_cells(report, f, err) : LAC_OK;
}

static lac_status print_bench(const benched *b, bool all, lac_error *err)
{
    const lac_bench *bench = &b->bench;
    lac_report *report = lac_report_make("", err);
    lac_status status = report ? LAC_OK : LAC_ERROR_MEMORY;
    for (size_t i = 0; status == LAC_OK && i < sizeof columns / sizeof *columns; i++)
        status = lac_report_column(report, columns[i].key, columns[i].heading, columns[i].unit,
                                   columns[i].label, err);
    double other = 0;
    for (int i = 0; status == LAC_OK && i < bench->n; i++)
        if (bench->layer[i].macs || all)
            status = layer_row(report, &bench->layer[i], &b->layers.facts[i], err);
        else
            other += bench->layer[i].ms;
    lac_text note = {0};
    if (!all)
        lac_text_add(&note, "other operators: %.3f ms (--all lists them)\n", other);
    lac_text_add(
        &note,
        "whole network: %.3f ms, dense float32 %.3f ms, speed-up %.2f (medians of %d runs "
        "in turns, %d threads, input: %s)\n"
        "speed-up: the dense time over this one, above 1 is faster; over int8: the same for the "
        "dense library's int8 product of this shape alone, no bias or activation, its input "
        "already int8\n"
        "bytes: weights as stored, activations, output; of roofline: share of what this machine "
        "(lacuna bench --machine) allows, and what bounds it there\n"
        "break-even: the least share of zeros at which that format beats the dense kernel of the "
        "same activations%s",
        bench->ms, bench->ms_dense, bench->ms_dense / bench->ms, bench->runs, lac_threads(),
        b->source, b->measured ? "" : "; --break-even measures it");
    lac_text_add(&note, "\n");
    memory_text(&note, &bench->memory);
    note.length -= note.length > 0; /* the line's end */
    if (note.data)
        note.data[note.length] = 0;
    if (status == LAC_OK)
        status = lac_report_note(report, note.data ? note.data : "", err);
    if (status == LAC_OK)
        status = print_report(report, err);
    lac_text_release(&note);
    lac_report_free(report);
    return status;
}

/* ---- the roofline plot */

static lac_status write_roofline(const char *path, const char *model, const benched *b,
                                 lac_error *err)
{
    const lac_machine *m = &b->machine;
    int threads = lac_threads(), n = 0;
    lac_chart_ceiling flat[] = {{"float32", lac_machine_gops(m, LAC_F32, threads)},
                                {"int8", lac_machine_gops(m, LAC_U8, threads)}};
    lac_chart_ceiling slanted[] = {
        {"DRAM", lac_machine_gbps(m, LAC_LEVEL_DRAM, threads)},
        {"L3", lac_machine_gbps(m, LAC_LEVEL_L3, threads)},
        {"L2", lac_machine_gbps(m, LAC_LEVEL_L2, threads)},
        {"L1", lac_machine_gbps(m, LAC_LEVEL_L1, threads)},
    };
    static const char *const series[] = {"float32", "int8"};
    char title[300];
    size_t room = (size_t)b->bench.n + 1;
    const char **names = lac_alloc(room, sizeof *names, err);
    double *x = lac_alloc(room, sizeof *x, err), *y = lac_alloc(room, sizeof *y, err);
    int *of = lac_alloc(room, sizeof *of, err);
    lac_text svg = {0};
    lac_status status = names && x && y && of ? LAC_OK : LAC_ERROR_MEMORY;
    for (int i = 0; status == LAC_OK && i < b->bench.n; i++) {
        const lac_layer_facts *f = &b->layers.facts[i];
        if (!f->known)
            continue;
        names[n] = b->bench.layer[i].name;
        x[n] = f->intensity;
        y[n] = f->share * f->roof;
        of[n++] = f->dtype != LAC_F32;
    }
    snprintf(title, sizeof title, "%s on %s, %d thread%s", model, m->cpu, threads,
             threads > 1 ? "s" : "");
    lac_chart_roofline_data data = {
        .title = title,
        .x = {"operations per byte", "", LAC_LABEL_DERIVED},
        .y = {"operations", "GOP/s", LAC_LABEL_MEASURED},
        .n_flat = 2,
        .flat = flat,
        .n_slanted = 4,
        .slanted = slanted,
        .slanted_unit = "GB/s",
        .n_points = n,
        .names = names,
        .x_values = x,
        .y_values = y,
        .n_series = 2,
        .series = series,
        .point_series = of,
    };
    if (status == LAC_OK && !lac_chart_roofline_svg(&svg, &data))
        status = lac_fail(err, LAC_ERROR_INPUT, "--svg: nothing to draw");
    if (status == LAC_OK)
        status = write_text(path, &svg, err);
    lac_text_release(&svg);
    lac_free((void *)names);
    lac_free(x);
    lac_free(y);
    lac_free(of);
    return status;
}

/* ---- the machine */

static lac_status machine_row(lac_report *report, const char *what, const char *of, int threads,
                              double value, const char *unit, lac_error *err)
{
    if (!isfinite(value))
        return LAC_OK;
    LAC_TRY(lac_report_row(report, err));
    LAC_TRY(lac_report_text(report, "what", what, err));
    LAC_TRY(lac_report_text(report, "of", of, err));
    LAC_TRY(lac_report_integer(report, "threads", threads, err));
    LAC_TRY(lac_report_number(report, "value", value, 1, err));
    return lac_report_text(report, "unit", unit, err);
}

static lac_status machine_rows(lac_report *report, const lac_machine *m, lac_error *err)
{
    for (int i = 0; i < m->n_counts; i++)
        LAC_TRY(machine_row(report, "read", "DRAM", m->count[i].threads, m->count[i].read_gbps,
                            "GB/s", err));
    for (int level = LAC_LEVEL_L3; level >= LAC_LEVEL_L1; level--)
        LAC_TRY(machine_row(report, "read", lac_level_name((lac_level)level), 1,
                            m->read_gbps[level], "GB/s", err));
    for (int i = 0; i < m->n_isas; i++) {
        const lac_machine_peak *p = &m->peak[i];
        LAC_TRY(machine_row(report, "float32", p->isa, 1, p->f32_gflops, "GFLOP/s", err));
        LAC_TRY(machine_row(report, "int8", p->isa, 1, p->i8_gops, "GOP/s", err));
        LAC_TRY(machine_row(report, "bf16", p->isa, 1, p->bf16_gflops, "GFLOP/s", err));
    }
    const char *widest = m->peak[m->n_isas - 1].isa;
    for (int i = 1; i < m->n_counts; i++) {
        const lac_machine_threads *c = &m->count[i];
        LAC_TRY(machine_row(report, "float32", widest, c->threads, c->f32_gflops, "GFLOP/s", err));
        LAC_TRY(machine_row(report, "int8", widest, c->threads, c->i8_gops, "GOP/s", err));
    }
    return LAC_OK;
}

static lac_status print_machine(const lac_machine *m, lac_error *err)
{
    lac_report *report = lac_report_make("", err);
    lac_text note = {0};
    if (!report)
        return LAC_ERROR_MEMORY;
    lac_text_add(&note,
                 "%s, microcode %s, %s; L1 %lld KiB, L2 %lld KiB, L3 %lld KiB\n"
                 "best of five; a multiplication and an addition are two operations; %s",
                 m->cpu, m->microcode, m->isa, (long long)m->l1_bytes >> 10,
                 (long long)m->l2_bytes >> 10, (long long)m->l3_bytes >> 10,
                 m->kept ? "measured before, --fresh measures again" : "measured now");
    lac_status status = lac_report_column(report, "what", "what", "", LAC_LABEL_NONE, err);
    if (status == LAC_OK)
        status = lac_report_column(report, "of", "of", "", LAC_LABEL_NONE, err);
    if (status == LAC_OK)
        status = lac_report_column(report, "threads", "threads", "", LAC_LABEL_NONE, err);
    if (status == LAC_OK)
        status = lac_report_column(report, "value", "at most", "", LAC_LABEL_MEASURED, err);
    if (status == LAC_OK)
        status = lac_report_column(report, "unit", "unit", "", LAC_LABEL_NONE, err);
    if (status == LAC_OK)
        status = machine_rows(report, m, err);
    if (status == LAC_OK)
        status = lac_report_note(report, note.data ? note.data : "", err);
    if (status == LAC_OK)
        status = print_report(report, err);
    lac_text_release(&note);
    lac_report_free(report);
    return status;
}

static lac_status open_machine(const cli_arguments *arguments, lac_machine *machine, lac_error *err)
{
    lac_machine_options options = {.fresh = option_given(arguments, "fresh"),
                                   .progress = show_progress};
    return lac_machine_open(machine, &options, err);
}

static lac_status run_machine(const cli_arguments *arguments, lac_error *err)
{
    lac_machine machine;
    LAC_TRY(open_machine(arguments, &machine, err));
    return arguments->json ? print_json("lacuna.machine/1", lac_machine_json(&machine), err)
                           : print_machine(&machine, err);
}

/* ---- a network */

static lac_status print_all(const cli_arguments *arguments, const benched *b, lac_error *err)
{
    const char *svg = option_value(arguments, "svg", 0), *path = arguments->positional[0];
    const char *slash = strrchr(path, '/');
    if (svg)
        LAC_TRY(write_roofline(svg, slash ? slash + 1 : path, b, err));
    return arguments->json ? print_bench_json(b, err)
                           : print_bench(b, option_given(arguments, "all"), err);
}

static lac_status bench_graph(const cli_arguments *arguments, const lac_graph *graph,
                              const lac_tensor *in, int runs, benched *b, lac_error *err)
{
    lac_graph *dense;
    LAC_TRY(open_machine(arguments, &b->machine, err));
    LAC_TRY(lac_dense_copy(&dense, graph, err));
    lac_status status = lac_bench_run(&b->bench, graph, dense, in, runs, show_progress, NULL, err);
    lac_graph_free(dense);
    LAC_TRY(status);
    b->measured = option_given(arguments, "break-even");
    status = lac_bench_layers_find(&b->layers, &b->bench, graph, in, &b->machine, b->measured,
                                   show_progress, NULL, err);
    if (status == LAC_OK)
        status = print_all(arguments, b, err);
    lac_bench_layers_release(&b->layers);
    lac_bench_release(&b->bench);
    return status;
}

static lac_status bench_model(const cli_arguments *arguments, const lac_model *model,
                              lac_error *err)
{
    lac_tensor *in;
    lac_dataset *dataset;
    int64_t runs, item;
    LAC_TRY(option_int(arguments, "runs", 20, 1, 100000, &runs, err));
    LAC_TRY(option_int(arguments, "item", 0, 0, INT64_MAX, &item, err));
    benched *b = lac_alloc(1, sizeof *b, err);
    if (!b)
        return LAC_ERROR_MEMORY;
    lac_status status = lac_sample_dataset(model, &dataset, err);
    if (status == LAC_OK) {
        status = lac_sample_inputs(model, dataset, item, option_value(arguments, "sizes", 0), &in,
                                   b->source, sizeof b->source, err);
        lac_dataset_close(dataset);
    }
    if (status == LAC_OK) {
        status = bench_graph(arguments, model->graph, in, (int)runs, b, err);
        for (int i = 0; i < model->graph->n_inputs; i++)
            lac_tensor_release(&in[i]);
        lac_free(in);
    }
    lac_free(b);
    return status;
}

static lac_status run(const cli_arguments *arguments, lac_error *err)
{
    lac_model model;
    if (option_given(arguments, "machine") && arguments->n == 0)
        return run_machine(arguments, err);
    if (option_given(arguments, "machine"))
        return lac_fail(err, LAC_ERROR_INPUT, "--machine takes no model: one or the other");
    if (arguments->n == 0)
        return lac_fail(err, LAC_ERROR_INPUT, "too few arguments: lacuna bench %s",
                        command_bench.usage);
    LAC_TRY(check_writable(option_value(arguments, "svg", 0), err));
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
    {"break-even", 0, NULL, "measure each layer's break-even sparsity, not only estimate it"},
    {"svg", 0, "FILE", "draw the layers under the machine's roofline"},
    {"machine", 0, NULL, "instead of a network: what this machine can do at most"},
    {"fresh", 0, NULL, "measure the machine again, whatever the cache holds"},
    {0}};

const cli_command command_bench = {
    .name = "bench",
    .usage = "MODEL [--runs N] [--sizes SYMBOL=SIZE,...] [--svg FILE] | --machine",
    .summary = "time of each layer on this CPU, beside the dense one",
    .details =
        "  lacuna compress glyph_vit -s nm:2:4+int8 -o vit24.onnx && lacuna bench vit24.onnx\n"
        "  lacuna bench --machine\n\n"
        "The network and its dense float32 twin run in turns in one process. The machine's "
        "ceilings "
        "are measured once and kept in $XDG_CACHE_HOME/lacuna or ~/.cache/lacuna.",
    .options = options,
    .min_arguments = 0,
    .max_arguments = 1,
    .run = run,
};
