/* lacuna reproduce: an accelerator's published figures beside the model's. */
#include "cli/command.h"
#include "report/json.h"

#include <lacuna/accel.h>
#include <math.h>
#include <string.h>
#include <sys/stat.h>

typedef struct collector {
    lac_report *report;
    lac_status status;
    lac_error *err;
} collector;

/* (ours - paper) / paper, NAN where there is no such figure. */
static double relative_error(const lac_reproduced *row)
{
    return row->paper != 0 ? (row->ours - row->paper) / fabs(row->paper)
                           : (row->ours == 0 ? 0 : (double)NAN);
}

static lac_status add(lac_report *report, const lac_reproduced *row, lac_error *err)
{
    LAC_TRY(lac_report_row(report, err));
    LAC_TRY(lac_report_text(report, "table", row->table, err));
    LAC_TRY(lac_report_text(report, "row", row->row, err));
    LAC_TRY(lac_report_text(report, "metric", row->metric, err));
    LAC_TRY(lac_report_number(report, "paper", row->paper, -1, err));
    LAC_TRY(lac_report_number(report, "ours", row->ours, -1, err));
    LAC_TRY(lac_report_number(report, "error", 100 * relative_error(row), 1, err));
    LAC_TRY(lac_report_text(report, "unit", row->unit ? row->unit : "", err));
    LAC_TRY(lac_report_text(report, "ours_is", row->kind ? row->kind : "simulated", err));
    LAC_TRY(lac_report_text(report, "provenance", row->provenance ? row->provenance : "", err));
    return lac_report_text(report, "note", row->note ? row->note : "", err);
}

static void collect(void *context, const lac_reproduced *row)
{
    collector *to = context;
    if (to->status == LAC_OK)
        to->status = add(to->report, row, to->err);
    show_progress(NULL, row->row, -1);
}

static lac_status columns(lac_report *report, lac_error *err)
{
    LAC_TRY(lac_report_column(report, "table", "table", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "row", "row", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "metric", "metric", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "unit", "unit", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "paper", "paper", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "ours", "ours", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "ours_is", "ours is", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "error", "error", "%", LAC_LABEL_DERIVED, err));
    LAC_TRY(lac_report_column(report, "provenance", "the paper's is", "", LAC_LABEL_NONE, err));
    return lac_report_column(report, "note", "note", "", LAC_LABEL_NONE, err);
}

/* Every key in every row; a figure that is not available is null. `error` is a fraction. */
static json_t *rows_json(const lac_report *report)
{
    static const char *const texts[] = {"table",   "row",        "metric", "unit",
                                        "ours_is", "provenance", "note"};
    static const char *const numbers[] = {"paper", "ours", "error"};
    json_t *rows = json_array();
    for (int r = 0; r < lac_report_rows(report); r++) {
        json_t *row = json_object();
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
            json_object_set_new(row, texts[i], json_string(lac_report_cell(report, r, texts[i])));
        for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
            double value = lac_report_value(report, r, numbers[i]);
            json_object_set_new(row, numbers[i],
                                isfinite(value) ? json_real(i == 2 ? value / 100 : value)
                                                : json_null());
        }
        json_array_append_new(rows, row);
    }
    return rows;
}

static lac_status print(const cli_arguments *arguments, const lac_accel *accel,
                        const lac_params *params, lac_report *report, lac_error *err)
{
    if (arguments->json) {
        char set[1024];
        return print_json("lacuna.reproduce/1",
                          json_pack("{s:s, s:s, s:o}", "accel", accel->row.name, "parameters",
                                    lac_params_print(params, set, sizeof set), "rows",
                                    rows_json(report)),
                          err);
    }
    /* Assumptions belong under the table: they are what the figures of ours rest on. */
    for (int i = 0; params->schema && params->schema[i].name; i++) {
        const lac_param *p = &params->schema[i];
        if (p->provenance != LAC_ASSUMED && p->provenance != LAC_FROM_MEMORY)
            continue;
        lac_text line = {0};
        lac_text_add(&line, "%s %s = ", lac_provenance_name(p->provenance), p->name);
        if (p->type == LAC_PARAM_INT || p->type == LAC_PARAM_REAL)
            lac_text_add(&line, "%.15g%s%s", params->number[i], p->unit && p->unit[0] ? " " : "",
                         p->unit ? p->unit : "");
        else
            lac_text_add(&line, "%s", params->text[i]);
        lac_text_add(&line, "%s%s", p->source && p->source[0] ? ": " : "",
                     p->source ? p->source : "");
        lac_status status = line.failed ? lac_fail(err, LAC_ERROR_MEMORY, "out of memory")
                                        : lac_report_note(report, line.data, err);
        lac_text_release(&line);
        LAC_TRY(status);
    }
    return print_report(report, err);
}

static lac_status run(const cli_arguments *arguments, lac_error *err)
{
    const char *name = arguments->positional[0], *data = option_value(arguments, "data", 0);
    const lac_accel *accel;
    lac_params params;
    struct stat folder;
    LAC_TRY(read_accel(arguments, name, &accel, &params, err));
    if (!accel->reproduce)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s: the row has no published figures", name);
    if (data && (stat(data, &folder) != 0 || !S_ISDIR(folder.st_mode)))
        return lac_fail(err, LAC_ERROR_IO,
                        "--data %s: no such folder; give the one that holds the published networks "
                        "(lacuna help reproduce), or leave --data out",
                        data);
    lac_report *report = lac_report_make(accel->title, err);
    collector to = {report, LAC_OK, err};
    lac_status status = report ? columns(report, err) : LAC_ERROR_MEMORY;
    if (status == LAC_OK)
        status = accel->reproduce(&params, data, collect, &to, err);
    if (status == LAC_OK)
        status = to.status;
    if (status == LAC_OK)
        status = print(arguments, accel, &params, report, err);
    lac_report_free(report);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "reproduce %s", name);
}

static const cli_option options[] = {
    {"data", 'd', "DIR", "where the published networks lie, for rows that run them"},
    {"set", 0, "NAME=VALUE", "another value of a parameter; repeatable, comma lists allowed"},
    {"arch", 0, "FILE.yaml", "a set of parameters: one YAML mapping, name: value a line"},
    {0}};

const cli_command command_reproduce = {
    .name = "reproduce",
    .usage = "NAME [--data DIR]",
    .summary = "an accelerator's published figures beside ours, with error and provenance",
    .details =
        "  lacuna reproduce sta\n"
        "  lacuna reproduce eie --data DIR --json\n\n"
        "error = (ours - paper) / paper. \"ours is\": simulated (cycles of the model), computed "
        "(a\n"
        "formula of the model's constants, or counted in real data), or not run. \"the paper's\n"
        "is\": published, or from memory. Under the table: every parameter that nobody\n"
        "published, with its source. --data: the folder that holds eie_fc8/ (the authors'\n"
        "AlexNet FC8 as .npy files), for the rows \"real data\" of eie.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
