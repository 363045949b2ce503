/* lacuna compare: schemes against targets, one matrix per network, and the same as a page. */
#include "study/compare.h"
#include "cli/command.h"
#include "core/memory.h"
#include "report/chart.h"
#include "report/json.h"
#include "report/page.h"

#include <lacuna/lacuna.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MODELS = 8 };

static const char *const default_schemes[] = {"dense", "int8", "nm:2:4+int8", "nm:1:4+int8",
                                              "deep-compression"};

/* ---- the matrix as a report
 * ---------------------------------------------------------------------------- */

/* `all`: of several networks, whose rows say which and what their accuracy is. */
static lac_status columns(lac_report *report, const lac_comparison *comparison,
                          const lac_compare_options *options, bool all, lac_error *err)
{
    char key[96], heading[96];
    const char *metric = comparison->row[0].metric;
    if (all) {
        LAC_TRY(lac_report_column(report, "model", "model", "", LAC_LABEL_NONE, err));
        LAC_TRY(lac_report_column(report, "metric", "metric", "", LAC_LABEL_NONE, err));
    }
    LAC_TRY(lac_report_column(report, "scheme", "scheme", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "accuracy", metric[0] ? metric : "accuracy",
                              strcmp(metric, "spearman") == 0 ? "" : "%", LAC_LABEL_MEASURED, err));
    LAC_TRY(lac_report_column(report, "file_bytes", "file", "bytes", LAC_LABEL_MEASURED, err));
    LAC_TRY(lac_report_column(report, "cpu_ms", "CPU", "ms", LAC_LABEL_MEASURED, err));
    LAC_TRY(lac_report_column(report, "cpu_ratio", "of dense", "x", LAC_LABEL_MEASURED, err));
    for (int t = 0; t < options->n_targets; t++) {
        const char *name = options->targets[t].accel->row.name;
        snprintf(key, sizeof key, "%s_cycles", name);
        LAC_TRY(lac_report_column(report, key, name, "cycles", LAC_LABEL_SIMULATED, err));
        if (all) { /* tables for people say it in a remark */
            snprintf(key, sizeof key, "%s_layers", name);
            LAC_TRY(lac_report_column(report, key, key, "", LAC_LABEL_SIMULATED, err));
            snprintf(key, sizeof key, "%s_host_layers", name);
            LAC_TRY(lac_report_column(report, key, key, "", LAC_LABEL_SIMULATED, err));
        }
        snprintf(key, sizeof key, "%s_uj", name);
        LAC_TRY(lac_report_column(report, key, name, "uJ", LAC_LABEL_SIMULATED, err));
        if (options->agree > 0) {
            snprintf(key, sizeof key, "%s_agreement", name);
            snprintf(heading, sizeof heading, "%s agrees", name);
            LAC_TRY(lac_report_column(report, key, heading, "%", LAC_LABEL_SIMULATED, err));
        }
    }
    return LAC_OK;
}

static lac_status target_cells(lac_report *report, const lac_compare_row *row,
                               const lac_compare_options *options, int t, bool all, lac_error *err)
{
    char key[96], text[256];
    const char *name = options->targets[t].accel->row.name;
    snprintf(key, sizeof key, "%s_cycles", name);
    if (!row->target[t].simulated) {
        LAC_TRY(lac_report_number(report, key, NAN, 0, err));
        snprintf(key, sizeof key, "%s_uj", name);
        return lac_report_number(report, key, NAN, 0, err);
    }
    LAC_TRY(lac_report_integer(report, key, row->target[t].cycles, err));
    if (row->target[t].hosts > 0 || !row->target[t].exact) {
        snprintf(text, sizeof text, "host %d of %d%s", row->target[t].hosts, row->target[t].layers,
                 row->target[t].exact ? "" : ", NOT EXACT");
        LAC_TRY(lac_report_remark(report, key, text, err));
    }
    if (all) {
        snprintf(key, sizeof key, "%s_layers", name);
        LAC_TRY(lac_report_integer(report, key, row->target[t].layers, err));
        snprintf(key, sizeof key, "%s_host_layers", name);
        LAC_TRY(lac_report_integer(report, key, row->target[t].hosts, err));
    }
    snprintf(key, sizeof key, "%s_uj", name);
    LAC_TRY(lac_report_number(report, key, row->target[t].uj, 1, err));
    if (options->agree > 0) {
        snprintf(key, sizeof key, "%s_agreement", name);
        LAC_TRY(lac_report_number(report, key, 100 * row->target[t].agreement, 1, err));
    }
    return LAC_OK;
}

static lac_status rows(lac_report *report, const lac_comparison *comparison,
                       const lac_compare_options *options, bool all, lac_error *err)
{
    for (int r = 0; r < comparison->n_rows; r++) {
        const lac_compare_row *row = &comparison->row[r];
        double percent = strcmp(row->metric, "spearman") == 0 ? 1 : 100;
        LAC_TRY(lac_report_row(report, err));
        if (all) {
            LAC_TRY(lac_report_text(report, "model", comparison->model, err));
            LAC_TRY(lac_report_text(report, "metric", row->metric, err));
        }
        LAC_TRY(lac_report_text(report, "scheme", row->scheme, err));
        LAC_TRY(lac_report_number(report, "accuracy", percent * row->accuracy, 2, err));
        LAC_TRY(lac_report_integer(report, "file_bytes", row->file_bytes, err));
        LAC_TRY(lac_report_number(report, "cpu_ms", row->ms, 3, err));
        LAC_TRY(lac_report_number(report, "cpu_ratio", row->ms / row->ms_dense, 2, err));
        for (int t = 0; t < options->n_targets; t++)
            LAC_TRY(target_cells(report, row, options, t, all, err));
    }
    return LAC_OK;
}

/* Why layers stay on the host, once per accelerator; where the figures come from. */
static lac_status notes(lac_report *report, const lac_comparison *comparison,
                        const lac_compare_options *options, lac_error *err)
{
    char text[700];
    size_t used = 0;
    for (int t = 0; t < options->n_targets && used < sizeof text; t++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s %g MHz",
                                 t ? ", " : "clocks: ", options->targets[t].accel->row.name,
                                 options->targets[t].accel->clock_mhz(&options->targets[t].params));
    if (options->n_targets)
        LAC_TRY(lac_report_note(report, text, err));
    for (int r = 0; options->n_targets && r < comparison->n_rows; r++)
        if (comparison->row[r].is_float) {
            snprintf(
                text, sizeof text,
                "%s: the network as it is, in float32, which these accelerators do not compute",
                comparison->row[r].scheme);
            LAC_TRY(lac_report_note(report, text, err));
        }
    for (int t = 0; t < options->n_targets; t++)
        for (int r = 0; r < comparison->n_rows; r++)
            if (comparison->row[r].target[t].hosts > 0) {
                snprintf(text, sizeof text, "%s: host %d of %d layers: %s",
                         options->targets[t].accel->row.name, comparison->row[r].target[t].hosts,
                         comparison->row[r].target[t].layers, comparison->row[r].target[t].why);
                LAC_TRY(lac_report_note(report, text, err));
                break;
            }
    const lac_compare_row *first = &comparison->row[0];
    if (first->items > 0) {
        snprintf(text, sizeof text, "accuracy over %lld items; calibration: %s",
                 (long long)first->items, comparison->calibration);
        LAC_TRY(lac_report_note(report, text, err));
    }
    if (options->agree > 0) {
        snprintf(text, sizeof text,
                 "agrees: equal decisions of %lld items%s when the accelerator computes its layers",
                 (long long)options->agree,
                 first->items < options->agree ? ", or as many as there are," : "");
        LAC_TRY(lac_report_note(report, text, err));
    }
    snprintf(
        text, sizeof text,
        "CPU: medians of %d runs of batch 1, each row in turns with the dense float32 network: "
        "compare rows by the ratio; below 1 is faster; cycles and energy of one sample (45 nm "
        "tables; "
        "what each counts: lacuna accel show NAME), of the layers that are not host (hatched bars)",
        options->runs);
    return lac_report_note(report, text, err);
}

static lac_status make_report(const lac_comparison *comparison, const lac_compare_options *options,
                              lac_report **report, lac_error *err)
{
    *report = lac_report_make(comparison->model, err);
    if (!*report)
        return LAC_ERROR_MEMORY;
    LAC_TRY(columns(*report, comparison, options, false, err));
    LAC_TRY(rows(*report, comparison, options, false, err));
    return notes(*report, comparison, options, err);
}

/* ---- the command
 * ----------------------------------------------------------------------------------------- */

static lac_status read_options(const cli_arguments *arguments, lac_compare_options *o,
                               lac_error *err)
{
    const char *item;
    int64_t runs;
    char name[64];
    for (int i = 0; (item = option_value(arguments, "scheme", i)); i++) {
        if (o->n_schemes == LAC_COMPARE_SCHEMES)
            return lac_fail(err, LAC_ERROR_INPUT, "more than %d schemes", LAC_COMPARE_SCHEMES);
        o->schemes[o->n_schemes++] = item;
    }
    for (size_t i = 0;
         !option_given(arguments, "scheme") && i < sizeof default_schemes / sizeof *default_schemes;
         i++)
        o->schemes[o->n_schemes++] = default_schemes[i];
    const char *accels = option_value(arguments, "accel", 0);
    for (int i = 0; !accels && i < lac_table_count(&lac_accels) && i < LAC_COMPARE_TARGETS; i++)
        LAC_TRY(
            lac_target_parse(&o->targets[o->n_targets++], lac_table_at(&lac_accels, i)->name, err));
    while (accels && *accels) {
        size_t length = strcspn(accels, ",");
        snprintf(name, sizeof name, "%.*s", (int)length, accels);
        if (o->n_targets == LAC_COMPARE_TARGETS)
            return lac_fail(err, LAC_ERROR_INPUT, "more than %d accelerators", LAC_COMPARE_TARGETS);
        LAC_TRY(lac_target_parse(&o->targets[o->n_targets++], name, err));
        accels += length + (accels[length] == ',');
    }
    for (int i = 0; (item = option_value(arguments, "set", i)); i++)
        LAC_TRY(lac_targets_set(o->targets, o->n_targets, item, err));
    LAC_TRY(option_int(arguments, "images", 0, 1, INT64_MAX, &o->images, err));
    LAC_TRY(option_int(arguments, "agree", arguments->n ? 0 : 64, 0, INT64_MAX, &o->agree, err));
    LAC_TRY(option_int(arguments, "runs", 15, 1, 100000, &runs, err));
    o->runs = (int)runs;
    o->fresh = option_given(arguments, "fresh");
    o->progress = show_progress;
    return LAC_OK;
}

typedef struct results {
    int n;
    lac_comparison comparison[MODELS];
    lac_report *report[MODELS];
} results;

/* A model is called by its file and the folder it is in; where two are called alike, by their
 * whole paths. */
static const char *short_name(const char *path)
{
    const char *name = path + strlen(path);
    for (int slashes = 0; name > path && (slashes += name[-1] == '/') < 2;)
        name--;
    return name;
}

static const char *title(const cli_arguments *arguments, int index)
{
    const char *path = arguments->positional[index];
    for (int i = 0; i < arguments->n; i++)
        if (i != index && strcmp(short_name(arguments->positional[i]), short_name(path)) == 0)
            return path;
    return short_name(path);
}

static lac_status compare_all(const cli_arguments *arguments, lac_compare_options *o, results *r,
                              lac_error *err)
{
    for (int i = 0; i < MODELS; i++) {
        const char *name = arguments->n ? (i < arguments->n ? arguments->positional[i] : NULL)
                                        : lac_builtin_name(i);
        lac_model model;
        if (!name)
            break;
        LAC_TRY(lac_model_open(&model, name, option_value(arguments, "meta", 0), err));
        if (arguments->n)
            snprintf(model.name, sizeof model.name, "%s", title(arguments, i));
        lac_status status = lac_compare(&r->comparison[i], &model, o, err);
        lac_model_close(&model);
        if (status != LAC_OK)
            return lac_fail_in(err, status, "%s", name);
        LAC_TRY(make_report(&r->comparison[i], o, &r->report[i], err));
        r->n = i + 1;
    }
    return LAC_OK;
}

static lac_status print_results(const cli_arguments *arguments, const results *r, lac_error *err)
{
    int computed = 0, kept = 0;
    json_t *models = json_array();
    for (int i = 0; i < r->n; i++) {
        computed += r->comparison[i].cells_computed;
        kept += r->comparison[i].cells_kept;
        json_t *one = lac_report_to_json(r->report[i]);
        json_object_set_new(one, "model", lac_json_text(r->comparison[i].model));
        json_array_append_new(models, one);
    }
    if (arguments->json)
        return print_json("lacuna.compare/1",
                          json_pack("{s:o, s:i, s:i}", "models", models, "cells_computed", computed,
                                    "cells_kept", kept),
                          err);
    json_decref(models);
    for (int i = 0; i < r->n; i++) {
        LAC_TRY(print_report(r->report[i], err));
        lac_text blank = {0};
        lac_text_add(&blank, "\n");
        lac_status status = print_text(&blank, err);
        lac_text_release(&blank);
        LAC_TRY(status);
    }
    return LAC_OK;
}

/* ---- the page
 * -------------------------------------------------------------------------------------------- */

/* Bars of one figure, one group per scheme; series are the accelerators. */
static void target_bars(lac_text *page, const lac_comparison *c, const lac_compare_options *o,
                        const char *title, const char *unit, bool energy)
{
    const char *groups[LAC_COMPARE_SCHEMES], *series[LAC_COMPARE_TARGETS];
    const char *partial[LAC_COMPARE_SCHEMES * LAC_COMPARE_TARGETS];
    double values[LAC_COMPARE_SCHEMES * LAC_COMPARE_TARGETS];
    char notes[LAC_COMPARE_SCHEMES * LAC_COMPARE_TARGETS][48];
    int n = 0;
    for (int t = 0; t < o->n_targets; t++)
        series[t] = o->targets[t].accel->row.name;
    for (int r = 0; r < c->n_rows; r++) {
        if (c->row[r].is_float)
            continue;
        groups[n] = c->row[r].scheme;
        for (int t = 0; t < o->n_targets; t++) {
            int at = n * o->n_targets + t, hosts = c->row[r].target[t].hosts;
            values[at] = !c->row[r].target[t].simulated ? NAN
                         : energy                       ? c->row[r].target[t].uj
                                                        : (double)c->row[r].target[t].cycles;
            snprintf(notes[at], sizeof notes[at], "host %d of %d layers", hosts,
                     c->row[r].target[t].layers);
            partial[at] = hosts > 0 ? notes[at] : NULL;
        }
        n++;
    }
    if (n == 0 || o->n_targets == 0)
        return;
    lac_chart_bars(page, &(lac_chart_bar_data){.title = title,
                                               .unit = unit,
                                               .label = LAC_LABEL_SIMULATED,
                                               .n_groups = n,
                                               .n_series = o->n_targets,
                                               .groups = groups,
                                               .series = series,
                                               .values = values,
                                               .partial = partial,
                                               .decimals = energy ? 1 : 0,
                                               .scale = LAC_CHART_AUTO});
}

static void measured_charts(lac_text *page, const lac_comparison *c)
{
    const char *names[LAC_COMPARE_SCHEMES];
    double ratio[LAC_COMPARE_SCHEMES], accuracy[LAC_COMPARE_SCHEMES], bytes[LAC_COMPARE_SCHEMES];
    double percent = strcmp(c->row[0].metric, "spearman") == 0 ? 1 : 100;
    for (int r = 0; r < c->n_rows; r++) {
        names[r] = c->row[r].scheme;
        ratio[r] = c->row[r].ms / c->row[r].ms_dense; /* machines drift between rows */
        accuracy[r] = percent * c->row[r].accuracy;
        bytes[r] = (double)c->row[r].file_bytes;
    }
    const char *metric = c->row[0].metric[0] ? c->row[0].metric : "accuracy";
    lac_chart_scatter(page, &(lac_chart_scatter_data){
                                .title = "Accuracy against latency",
                                .x = {"CPU latency, dense float32 = 1", "x", LAC_LABEL_MEASURED},
                                .y = {metric, percent > 1 ? "%" : "", LAC_LABEL_MEASURED},
                                .n_points = c->n_rows,
                                .names = names,
                                .x_values = ratio,
                                .y_values = accuracy,
                                .x_scale = LAC_CHART_AUTO});
    lac_chart_bars(page, &(lac_chart_bar_data){.title = "File size",
                                               .unit = "bytes",
                                               .label = LAC_LABEL_MEASURED,
                                               .n_groups = c->n_rows,
                                               .n_series = 1,
                                               .groups = names,
                                               .values = bytes,
                                               .decimals = 0,
                                               .scale = LAC_CHART_LINEAR});
}

/* One word of a command line; in quotes where a shell would read more into it. */
static void add_word(lac_text *out, const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "_-+:,./=@%";
    if (word[0] && strspn(word, plain) == strlen(word)) {
        lac_text_add(out, " %s", word);
        return;
    }
    lac_text_add(out, " '");
    for (; *word; word++)
        if (*word == '\'')
            lac_text_add(out, "'\\''");
        else
            lac_text_bytes(out, word, 1);
    lac_text_add(out, "'");
}

/* What the user typed, so that the page says how to make it again. */
static void add_command(lac_text *out, const cli_arguments *arguments)
{
    lac_text_add(out, "lacuna compare");
    for (int i = 0; i < arguments->n; i++)
        add_word(out, arguments->positional[i]);
    for (int i = 0; i < arguments->n_values; i++) {
        lac_text_add(out, " --%s", arguments->values[i].option->name);
        if (arguments->values[i].value)
            add_word(out, arguments->values[i].value);
    }
}

static lac_status write_page(const char *path, const cli_arguments *arguments, const results *r,
                             const lac_compare_options *o, lac_error *err)
{
    lac_text page = {0}, footer = {0}, command = {0};
    lac_page_begin(&page, "lacuna compare",
                   "Accuracy, bytes and time measured on this machine; cycles and energy simulated "
                   "on the same tensors.");
    for (int i = 0; i < r->n; i++) {
        lac_page_section(&page, r->comparison[i].model);
        lac_page_report(&page, r->report[i]);
        measured_charts(&page, &r->comparison[i]);
        target_bars(&page, &r->comparison[i], o, "Cycles of one sample", "cycles", false);
        target_bars(&page, &r->comparison[i], o, "Energy of one sample", "uJ", true);
    }
    add_command(&command, arguments);
    lac_page_section(&page, "The command");
    lac_page_command(&page, command.data ? command.data : "");
    page.failed |= command.failed;
    lac_text_release(&command);
    lac_text_add(&footer, "lacuna %s", lac_version());
    lac_page_end(&page, footer.data ? footer.data : "");
    lac_status status = write_text(path, &page, err);
    lac_text_release(&page);
    lac_text_release(&footer);
    return status;
}

/* ---- the same for other programs
 * ------------------------------------------------------------------------- */

/* One table: every row says its network. */
static lac_status csv_of(const results *r, const lac_compare_options *o, lac_text *text,
                         lac_error *err)
{
    lac_report *all = lac_report_make("", err);
    lac_status status = all ? columns(all, &r->comparison[0], o, true, err) : LAC_ERROR_MEMORY;
    for (int i = 0; status == LAC_OK && i < r->n; i++)
        status = rows(all, &r->comparison[i], o, true, err);
    if (status == LAC_OK)
        lac_report_csv(all, text);
    lac_report_free(all);
    return status;
}

static lac_status write_tables(const cli_arguments *arguments, const results *r,
                               const lac_compare_options *o, lac_error *err)
{
    const char *csv = option_value(arguments, "csv", 0);
    const char *markdown = option_value(arguments, "markdown", 0);
    lac_text text = {0};
    lac_status status = csv ? csv_of(r, o, &text, err) : LAC_OK;
    if (csv && status == LAC_OK)
        status = write_text(csv, &text, err);
    lac_text_release(&text);
    for (int i = 0; markdown && i < r->n; i++) {
        lac_text_add(&text, "%s## ", i ? "\n" : "");
        lac_text_utf8(&text, r->comparison[i].model);
        lac_text_add(&text, "\n\n");
        lac_report_markdown(r->report[i], &text);
    }
    if (markdown && status == LAC_OK)
        status = write_text(markdown, &text, err);
    lac_text_release(&text);
    return status;
}

static lac_status run(const cli_arguments *arguments, lac_error *err)
{
    lac_compare_options *o = lac_alloc(1, sizeof *o, err);
    results *r = lac_alloc(1, sizeof *r, err);
    lac_text cells = {0};
    lac_status status = o && r ? read_options(arguments, o, err) : LAC_ERROR_MEMORY;
    const char *page = option_value(arguments, "report", 0), *folder;
    page = page ? page : "report.html";
    if ((folder = option_value(arguments, "cells", 0)))
        lac_text_add(&cells, "%s", folder);
    else
        lac_text_add(&cells, "%s.cells", page);
    if (status == LAC_OK)
        status = check_writable(page, err);
    if (status == LAC_OK)
        status = check_writable(option_value(arguments, "csv", 0), err);
    if (status == LAC_OK)
        status = check_writable(option_value(arguments, "markdown", 0), err);
    if (status == LAC_OK) {
        o->cells = cells.data;
        status = compare_all(arguments, o, r, err);
    }
    end_progress();
    if (status == LAC_OK)
        status = write_page(page, arguments, r, o, err);
    if (status == LAC_OK)
        status = write_tables(arguments, r, o, err);
    if (status == LAC_OK)
        status = print_results(arguments, r, err);
    if (status == LAC_OK && !arguments->json) {
        lac_text last = {0};
        lac_text_add(&last, "page: %s; finished cells: %s (--fresh computes them anew)\n", page,
                     cells.data ? cells.data : "");
        status = print_text(&last, err);
        lac_text_release(&last);
    }
    for (int i = 0; r && i < MODELS; i++)
        lac_report_free(r->report[i]);
    lac_text_release(&cells);
    lac_free(o);
    lac_free(r);
    return status;
}

static const cli_option options[] = {
    {"scheme", 's', "TEXT", "one scheme (row); repeatable; default: dense, int8, nm:2:4+int8, ..."},
    {"accel", 'a', "NAME,...", "accelerators (default: all)"},
    {"set", 0, "NAME=VALUE", "a parameter; accel.NAME=VALUE for one of several; repeatable"},
    {"images", 'n', "N", "items scored for accuracy (default: all)"},
    {"agree", 0, "N",
     "decisions compared when each accelerator computes (default 64 built in, else 0)"},
    {"runs", 0, "N", "timed runs per scheme (default 15)"},
    {"report", 'o', "FILE", "the page to write (default report.html)"},
    {"csv", 0, "FILE", "write the figures of all networks as one CSV table too"},
    {"markdown", 0, "FILE", "write the tables as Markdown too"},
    {"cells", 0, "DIR", "where finished cells are kept (default REPORT.cells)"},
    {"fresh", 0, NULL, "compute every cell anew"},
    {"meta", 'm', "FILE", "take tasks from this meta.json"},
    {0}};

const cli_command command_compare = {
    .name = "compare",
    .usage = "[MODEL ...] [--scheme TEXT ...] [--accel NAME,...]",
    .summary = "one matrix: accuracy, bytes, measured time, simulated cycles and energy",
    .details =
        "  lacuna compare                      the built-in networks on the project's glyphs\n"
        "  lacuna compare model.onnx -s dense -s int8 -s nm:2:4+int8 --accel systolic,sta\n\n"
        "Prints one table per network and writes the same as a page with charts. A run that\n"
        "was killed repeats no finished cell; cells.log in the folder of cells says which.",
    .options = options,
    .min_arguments = 0,
    .max_arguments = 8,
    .run = run,
};
