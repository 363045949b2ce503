/* lacuna accel: what an accelerator's row claims, and where each figure is from. */
#include "cli/command.h"
#include "report/json.h"

#include <lacuna/accel.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static bool is_number(const lac_param *param)
{
    return param->type == LAC_PARAM_INT || param->type == LAC_PARAM_REAL;
}

static void range_text(const lac_param *param, char *text, size_t size)
{
    if (is_number(param))
        snprintf(text, size, "%.15g..%.15g", param->min, param->max);
    else
        snprintf(text, size, "%s", param->choices ? param->choices : "text");
}

static lac_status columns(lac_report *report, lac_error *err)
{
    static const char *const column[][2] = {
        {"name", "parameter"}, {"value", "value"},           {"unit", "unit"},
        {"range", "range"},    {"provenance", "provenance"}, {"summary", "what it is"},
        {"source", "source"}};
    for (size_t i = 0; i < sizeof column / sizeof *column; i++)
        LAC_TRY(lac_report_column(report, column[i][0], column[i][1], "", LAC_LABEL_NONE, err));
    return LAC_OK;
}

static lac_status param_row(lac_report *report, const lac_params *params, int i, lac_error *err)
{
    const lac_param *param = &params->schema[i];
    char range[160];
    range_text(param, range, sizeof range);
    LAC_TRY(lac_report_row(report, err));
    LAC_TRY(lac_report_text(report, "name", param->name, err));
    if (param->type == LAC_PARAM_INT)
        LAC_TRY(lac_report_integer(report, "value", (int64_t)params->number[i], err));
    else if (param->type == LAC_PARAM_REAL)
        LAC_TRY(lac_report_number(report, "value", params->number[i], -1, err));
    else
        LAC_TRY(lac_report_text(report, "value", params->text[i], err));
    if (params->is_set[i])
        LAC_TRY(lac_report_remark(report, "value", "set", err));
    LAC_TRY(lac_report_text(report, "unit", param->unit ? param->unit : "", err));
    LAC_TRY(lac_report_text(report, "range", range, err));
    LAC_TRY(lac_report_text(report, "provenance", lac_provenance_name(param->provenance), err));
    LAC_TRY(lac_report_text(report, "summary", param->summary ? param->summary : "", err));
    return lac_report_text(report, "source", param->source ? param->source : "", err);
}

static json_t *param_json(const lac_params *params, int i)
{
    const lac_param *param = &params->schema[i];
    static const char *const types[] = {"int", "real", "choice", "text"};
    json_t *object = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b}", "name", param->name, "type",
                               types[param->type], "unit", param->unit ? param->unit : "",
                               "provenance", lac_provenance_name(param->provenance), "source",
                               param->source ? param->source : "", "summary",
                               param->summary ? param->summary : "", "set", (int)params->is_set[i]);
    if (is_number(param)) {
        bool whole = param->type == LAC_PARAM_INT;
        const struct {
            const char *key;
            double value;
        } number[] = {{"value", params->number[i]},
                      {"default", param->initial},
                      {"min", param->min},
                      {"max", param->max}};
        for (size_t k = 0; k < sizeof number / sizeof *number; k++)
            json_object_set_new(object, number[k].key,
                                whole ? json_integer((json_int_t)number[k].value)
                                      : json_real(number[k].value));
        return object;
    }
    json_object_set_new(object, "value", json_string(params->text[i]));
    json_object_set_new(object, "default", json_string(param->text ? param->text : ""));
    if (param->choices) {
        json_t *choices = json_array();
        for (const char *word = param->choices; *word;) {
            size_t length = strcspn(word, "|");
            json_array_append_new(choices, json_stringn(word, length));
            word += length + (word[length] == '|');
        }
        json_object_set_new(object, "choices", choices);
    }
    return object;
}

/* The lines of a text, each indented. */
static void add_block(lac_text *out, const char *heading, const char *text)
{
    if (!text || !*text)
        return;
    lac_text_add(out, "\n%s:\n", heading);
    while (*text) {
        size_t length = strcspn(text, "\n");
        lac_text_add(out, "  %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
}

static lac_status show_text(const lac_accel *accel, const lac_params *params, lac_error *err)
{
    lac_text out = {0};
    lac_report *report = lac_report_make("parameters", err);
    lac_status status = report ? columns(report, err) : LAC_ERROR_MEMORY;
    for (int i = 0; status == LAC_OK && params->schema && params->schema[i].name; i++)
        status = param_row(report, params, i, err);
    if (status == LAC_OK) {
        lac_text_add(&out, "%s: %s\n", accel->row.name, accel->title);
        lac_text_add(&out, "  %s\n", accel->row.summary);
        add_block(&out, "source", accel->source);
        add_block(&out, "card", accel->card);
        lac_text_add(&out, "\nclock: %.6g MHz\n", accel->clock_mhz(params));
        add_block(&out, "identities of the counters, checked after every layer", accel->identity);
        lac_text_add(&out, "\n");
        lac_report_print(report, &out);
        status = print_text(&out, err);
    }
    lac_report_free(report);
    lac_text_release(&out);
    return status;
}

static lac_status show_json(const lac_accel *accel, const lac_params *params, lac_error *err)
{
    json_t *list = json_array(), *identities = json_array();
    for (int i = 0; params->schema && params->schema[i].name; i++)
        json_array_append_new(list, param_json(params, i));
    for (const char *line = accel->identity ? accel->identity : ""; *line;) {
        size_t length = strcspn(line, "\n");
        if (length)
            json_array_append_new(identities, json_stringn(line, length));
        line += length + (line[length] == '\n');
    }
    return print_json("lacuna.accel/1",
                      json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:b, s:o, s:o}", "name",
                                accel->row.name, "title", accel->title, "summary",
                                accel->row.summary, "source", accel->source ? accel->source : "",
                                "card", accel->card ? accel->card : "", "clock_mhz",
                                accel->clock_mhz(params), "reproduce", accel->reproduce != NULL,
                                "identities", identities, "parameters", list),
                      err);
}

static lac_status list(const cli_arguments *arguments, lac_error *err)
{
    if (arguments->json) {
        json_t *rows = json_array();
        for (int i = 0; i < lac_table_count(&lac_accels); i++) {
            const lac_accel *accel = (const lac_accel *)lac_table_at(&lac_accels, i);
            json_array_append_new(rows,
                                  json_pack("{s:s, s:s, s:s, s:b}", "name", accel->row.name,
                                            "title", accel->title, "summary", accel->row.summary,
                                            "reproduce", accel->reproduce != NULL));
        }
        return print_json("lacuna.accels/1", json_pack("{s:o}", "accels", rows), err);
    }
    lac_report *report = lac_report_make("", err);
    lac_status status = report ? LAC_OK : LAC_ERROR_MEMORY;
    if (status == LAC_OK)
        status = lac_report_column(report, "name", "accelerator", "", LAC_LABEL_NONE, err);
    if (status == LAC_OK)
        status = lac_report_column(report, "title", "title", "", LAC_LABEL_NONE, err);
    if (status == LAC_OK)
        status = lac_report_column(report, "summary", "what it is", "", LAC_LABEL_NONE, err);
    for (int i = 0; status == LAC_OK && i < lac_table_count(&lac_accels); i++) {
        const lac_accel *accel = (const lac_accel *)lac_table_at(&lac_accels, i);
        status = lac_report_row(report, err);
        if (status == LAC_OK)
            status = lac_report_text(report, "name", accel->row.name, err);
        if (status == LAC_OK)
            status = lac_report_text(report, "title", accel->title, err);
        if (status == LAC_OK)
            status = lac_report_text(report, "summary", accel->row.summary, err);
    }
    if (status == LAC_OK)
        status = print_report(report, err);
    lac_report_free(report);
    return status;
}

static lac_status show(const cli_arguments *arguments, lac_error *err)
{
    const lac_accel *accel;
    lac_params params;
    LAC_TRY(read_accel(arguments, arguments->positional[1], &accel, &params, err));
    return arguments->json ? show_json(accel, &params, err) : show_text(accel, &params, err);
}

static lac_status run(const cli_arguments *arguments, lac_error *err)
{
    const char *what = arguments->positional[0];
    if (strcmp(what, "list") == 0 && arguments->n == 1)
        return list(arguments, err);
    if (strcmp(what, "show") == 0 && arguments->n == 2)
        return show(arguments, err);
    return lac_fail(err, LAC_ERROR_INPUT, "accel %s: want 'accel list' or 'accel show NAME'", what);
}

static const cli_option options[] = {
    {"set", 0, "NAME=VALUE",
     "a parameter; accel.NAME=VALUE for one of several; repeatable, comma lists allowed"},
    {"arch", 0, "FILE.yaml", "a set of parameters: one YAML mapping, name: value a line"},
    {0}};

const cli_command command_accel = {
    .name = "accel",
    .usage = "show NAME [--set NAME=VALUE] [--arch FILE.yaml] | list",
    .summary = "what a simulated accelerator is made of, every figure with its source",
    .details = "  lacuna accel list\n"
               "  lacuna accel show eie\n"
               "  lacuna accel show sta --set R=8,C=8 --json\n\n"
               "Provenance of a value: published (the paper or the authors' code states it), from\n"
               "memory (published, not checked against the text), derived (follows from what is\n"
               "published), assumed (our choice; the source says why), option (a switch of ours).\n"
               "Values of --set come after those of --arch.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 2,
    .run = run,
};
