/* lacuna list: what this build can do, straight from the tables. */
#include "cli/command.h"
#include "cli/document.h"
#include "report/json.h"

#include "study/model.h"

#include <lacuna/accel.h>
#include <lacuna/format.h>
#include <lacuna/kernel.h>
#include <lacuna/op.h>
#include <lacuna/scheme.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void dtypes_text(uint32_t set, lac_text *out)
{
    for (int i = 0; i < LAC_DTYPE_LIMIT; i++)
        if (i != LAC_NONE && (set & LAC_BIT(i)) && lac_dtype_bits((lac_dtype)i) > 0)
            lac_text_add(out, "%s%s", out->length ? " " : "", lac_dtype_name((lac_dtype)i));
}

static json_t *dtypes_json(uint32_t set)
{
    json_t *list = json_array();
    for (int i = 0; i < LAC_DTYPE_LIMIT; i++)
        if (i != LAC_NONE && (set & LAC_BIT(i)) && lac_dtype_bits((lac_dtype)i) > 0)
            json_array_append_new(list, json_string(lac_dtype_name((lac_dtype)i)));
    return list;
}

static void param_text(const lac_param *param, lac_text *out)
{
    for (; param && param->name; param++) {
        lac_text_add(out, "%s%s=", out->length ? ", " : "", param->name);
        if (param->type == LAC_PARAM_INT || param->type == LAC_PARAM_REAL)
            lac_text_add(out, "%g", param->initial);
        else
            lac_text_add(out, "%s", param->text);
    }
}

/* The second column of a row, which differs by table. */
static void about(const char *what, const lac_row *row, lac_text *out)
{
    char isa[128], alias[64];
    if (strcmp(what, "ops") == 0) {
        const lac_op *op = (const lac_op *)row;
        lac_text_add(out, "%s%s%d+  ", op->domain, op->domain[0] ? " " : "", op->since);
        lac_text types = {0};
        dtypes_text(op->dtypes, &types);
        lac_text_add(out, "%s", types.data ? types.data : "");
        lac_text_release(&types);
    } else if (strcmp(what, "formats") == 0) {
        param_text(((const lac_format *)row)->params, out);
    } else if (strcmp(what, "schemes") == 0) {
        const lac_scheme *scheme = (const lac_scheme *)row;
        if (scheme->alias)
            lac_text_add(out, "also %s", lac_scheme_alias_text(scheme, alias, sizeof alias));
        param_text(scheme->params, out);
    } else if (strcmp(what, "accels") == 0) {
        lac_text_add(out, "%s", ((const lac_accel *)row)->title);
    } else if (strcmp(what, "kernels") == 0) {
        const lac_kernel *kernel = (const lac_kernel *)row;
        lac_text_add(out, "%s %s %s %s", kernel->kind, kernel->format,
                     lac_dtype_name(kernel->dtype), lac_isa_text(kernel->isa, isa, sizeof isa));
    } else {
        for (const lac_layer_dim *dim = ((const lac_layer_kind *)row)->dims; dim->name; dim++)
            if (dim->initial == -1)
                lac_text_add(out, "%s%s=", out->length ? "," : "", dim->name);
    }
}

static json_t *row_json(const char *what, const lac_row *row)
{
    json_t *object = json_pack("{s:s, s:s}", "name", row->name, "summary", row->summary);
    if (strcmp(what, "ops") == 0) {
        const lac_op *op = (const lac_op *)row;
        json_object_set_new(object, "op", json_string(row->name));
        json_object_set_new(object, "domain", json_string(op->domain));
        json_object_set_new(object, "since", json_integer(op->since));
        json_object_set_new(object, "dtypes", dtypes_json(op->dtypes));
        json_object_set_new(object, "layer", json_boolean(op->as_layer != NULL));
    }
    if (strcmp(what, "schemes") == 0 && ((const lac_scheme *)row)->alias) {
        char alias[64];
        lac_scheme_alias_text((const lac_scheme *)row, alias, sizeof alias);
        json_object_set_new(object, "alias", json_string(alias));
    }
    lac_text text = {0};
    about(what, row, &text);
    json_object_set_new(object, "about", json_string(text.data ? text.data : ""));
    lac_text_release(&text);
    return object;
}

static const struct {
    const char *name;
    const lac_table *table;
} tables[] = {
    {"ops", &lac_ops},         {"layers", &lac_layer_kinds}, {"formats", &lac_formats},
    {"kernels", &lac_kernels}, {"schemes", &lac_schemes},    {"accels", &lac_accels},
};
enum { TABLES = sizeof tables / sizeof *tables };

/* Takes `rows` over. */
static lac_status print_array(json_t *rows, lac_error *err)
{
    end_progress();
    char *printed = json_dumps(rows, JSON_INDENT(1));
    json_decref(rows);
    lac_text text = {0};
    lac_text_add(&text, "%s\n", printed ? printed : "[]");
    free(printed);
    lac_status status = print_text(&text, err);
    lac_text_release(&text);
    return status;
}

static lac_status list_json(const char *what, const lac_table *table, lac_error *err)
{
    json_t *rows = json_array();
    for (int i = 0; i < lac_table_count(table); i++)
        json_array_append_new(rows, row_json(what, lac_table_at(table, i)));
    return print_array(rows, err);
}

static lac_status list_table(const char *what, const lac_table *table, lac_error *err)
{
    lac_report *report = lac_report_make("", err);
    lac_status status = report ? LAC_OK : LAC_ERROR_MEMORY;
    if (status == LAC_OK)
        status = lac_report_column(report, "name", what, "", LAC_LABEL_NONE, err);
    if (status == LAC_OK)
        status = lac_report_column(report, "summary", "what it is", "", LAC_LABEL_NONE, err);
    if (status == LAC_OK)
        status = lac_report_column(report, "about", "details", "", LAC_LABEL_NONE, err);
    for (int i = 0; status == LAC_OK && i < lac_table_count(table); i++) {
        const lac_row *row = lac_table_at(table, i);
        lac_text text = {0};
        about(what, row, &text);
        status = lac_report_row(report, err);
        if (status == LAC_OK)
            status = lac_report_text(report, "name", row->name, err);
        if (status == LAC_OK)
            status = lac_report_text(report, "summary", row->summary, err);
        if (status == LAC_OK)
            status = lac_report_text(report, "about", text.data ? text.data : "", err);
        lac_text_release(&text);
    }
    if (status == LAC_OK)
        status = print_report(report, err);
    lac_report_free(report);
    return status;
}

/* ---- the built-in networks ---- */

/* "pixels float32[N,1,28,28]" of each input; "array_top1 on glyphs:test" of each task. */
static void model_about(const lac_model *model, lac_text *inputs, lac_text *tasks)
{
    const lac_graph *graph = model->graph;
    size_t t;
    json_t *task;
    for (int i = 0; i < graph->n_inputs; i++) {
        const lac_value *value = &graph->values[graph->inputs[i]];
        lac_text_add(inputs, "%s%s %s[", i ? ", " : "", value->name, lac_dtype_name(value->dtype));
        for (int d = 0; d < value->rank; d++) {
            const lac_dim *dim = &value->dims[d];
            lac_text_add(inputs, d ? "," : "");
            if (dim->size >= 0)
                lac_text_add(inputs, "%lld", (long long)dim->size);
            else
                lac_text_add(inputs, "%s", dim->symbol ? dim->symbol : "?");
        }
        lac_text_add(inputs, "]");
    }
    json_array_foreach(model->tasks, t, task)
    {
        const char *kind = json_string_value(json_object_get(task, "task"));
        const char *set = lac_task_set(task);
        lac_text_add(tasks, "%s%s on %s", t ? ", " : "", kind ? kind : "?", set[0] ? set : "?");
    }
}

static lac_status model_row(lac_report *report, const char *name, lac_error *err)
{
    lac_model model;
    lac_text inputs = {0}, tasks = {0};
    LAC_TRY(lac_model_open(&model, name, NULL, err));
    model_about(&model, &inputs, &tasks);
    lac_status status = inputs.failed || tasks.failed
                            ? lac_fail(err, LAC_ERROR_MEMORY, "out of memory")
                            : lac_report_row(report, err);
    if (status == LAC_OK)
        status = lac_report_text(report, "name", name, err);
    if (status == LAC_OK)
        status = lac_report_text(report, "inputs", inputs.data ? inputs.data : "", err);
    if (status == LAC_OK)
        status = lac_report_text(report, "tasks", tasks.data ? tasks.data : "", err);
    if (status == LAC_OK)
        status = lac_report_integer(report, "file_bytes", model.file_bytes, err);
    lac_text_release(&inputs);
    lac_text_release(&tasks);
    lac_model_close(&model);
    return status;
}

static lac_status fill_models(lac_report *report, lac_error *err)
{
    LAC_TRY(lac_report_column(report, "name", "model", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "inputs", "inputs", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "tasks", "tasks", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "file_bytes", "file", "bytes", LAC_LABEL_NONE, err));
    for (int i = 0; lac_builtin_name(i); i++)
        LAC_TRY(model_row(report, lac_builtin_name(i), err));
    return LAC_OK;
}

static lac_status list_models(bool as_json, lac_error *err)
{
    lac_report *report = lac_report_make("", err);
    lac_status status = report ? fill_models(report, err) : LAC_ERROR_MEMORY;
    if (status == LAC_OK && as_json) {
        json_t *whole = lac_report_to_json(report);
        status = print_array(json_incref(json_object_get(whole, "rows")), err);
        json_decref(whole);
    } else if (status == LAC_OK) {
        status = print_report(report, err);
    }
    lac_report_free(report);
    return status;
}

static lac_status run(const cli_arguments *arguments, lac_error *err)
{
    const char *what = arguments->positional[0];
    if (strcmp(what, "completion") == 0 || strcmp(what, "man") == 0) {
        if (arguments->json)
            return lac_fail(err, LAC_ERROR_INPUT, "list %s: a text; --json does not go with it",
                            what);
        lac_text text = {0};
        if (what[0] == 'm')
            document_man(&text);
        else
            document_completion(&text);
        lac_status status = print_text(&text, err);
        lac_text_release(&text);
        return status;
    }
    for (int i = 0; i < TABLES; i++)
        if (strcmp(tables[i].name, what) == 0)
            return arguments->json ? list_json(what, tables[i].table, err)
                                   : list_table(what, tables[i].table, err);
    if (strcmp(what, "models") == 0)
        return list_models(arguments->json, err);
    return lac_fail(
        err, LAC_ERROR_INPUT,
        "list %s: want ops, layers, formats, kernels, schemes, accels, models, completion or man",
        what);
}

const cli_command command_list = {
    .name = "list",
    .usage = "ops|layers|formats|kernels|schemes|accels|models|completion|man",
    .summary = "what this build can do, straight from its tables",
    .details =
        "  lacuna list ops --json     every operator with domain, first opset, types\n"
        "  lacuna list models         the built-in networks: inputs, tasks, bytes\n"
        "  lacuna list completion     a completion script: eval \"$(lacuna list completion)\"\n"
        "  lacuna list man            the manual page",
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
