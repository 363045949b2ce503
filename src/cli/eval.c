/* lacuna eval: a network's accuracy on the data its tasks name. */
#include "cli/command.h"
#include "report/json.h"
#include "study/evaluate.h"
#include "study/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* A fraction; people read per cent, except of a correlation. NAN is "-". */
static lac_status fraction(lac_report *report, const char *key, double value, bool percent,
                           lac_error *err)
{
    char text[32];
    LAC_TRY(lac_report_number(report, key, value, 4, err));
    if (!percent || isnan(value))
        return LAC_OK;
    snprintf(text, sizeof text, "%.2f %%", 100 * value);
    return lac_report_text(report, key, text, err);
}

static lac_status score_row(lac_report *report, const lac_dataset *dataset, const lac_score *score,
                            lac_error *err)
{
    bool percent = strcmp(score->metric, "spearman") != 0;
    LAC_TRY(lac_report_row(report, err));
    LAC_TRY(lac_report_text(report, "set", lac_dataset_name(dataset), err));
    LAC_TRY(lac_report_text(report, "metric", score->metric, err));
    LAC_TRY(fraction(report, "value", score->value, percent, err));
    LAC_TRY(fraction(report, "stated", lac_dataset_stated(dataset), percent, err));
    LAC_TRY(fraction(report, "top5", score->top5, true, err));
    LAC_TRY(lac_report_integer(report, "n", score->n, err));
    return lac_report_number(report, "ms", 1e3 * score->seconds / (double)score->n, 3, err);
}

static lac_status eval_task(const cli_arguments *arguments, const lac_model *model,
                            const json_t *task, lac_session *session, lac_report *report,
                            lac_error *err)
{
    lac_dataset *dataset;
    lac_score score;
    int64_t limit, first;
    LAC_TRY(option_int(arguments, "limit", 0, 1, INT64_MAX, &limit, err));
    LAC_TRY(option_int(arguments, "skip", 0, 0, INT64_MAX, &first, err));
    LAC_TRY(lac_dataset_open(&dataset, task, model->graph, err));
    lac_status status = LAC_OK;
    if (first >= lac_dataset_count(dataset))
        status = lac_fail(err, LAC_ERROR_INPUT, "--skip %lld: %s has %lld items", (long long)first,
                          lac_dataset_name(dataset), (long long)lac_dataset_count(dataset));
    if (status == LAC_OK)
        status = lac_evaluate(session, dataset, first, limit, show_progress, NULL, &score, err);
    if (status == LAC_OK) {
        status = score_row(report, dataset, &score, err);
        lac_score_release(&score);
    }
    lac_dataset_close(dataset);
    return status;
}

static lac_status columns(lac_report *report, lac_error *err)
{
    LAC_TRY(lac_report_column(report, "set", "data set", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "metric", "metric", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "value", "value", "", LAC_LABEL_MEASURED, err));
    LAC_TRY(lac_report_column(report, "stated", "stated", "", LAC_LABEL_STATED, err));
    LAC_TRY(lac_report_column(report, "top5", "top-5", "", LAC_LABEL_MEASURED, err));
    LAC_TRY(lac_report_column(report, "n", "items", "", LAC_LABEL_NONE, err));
    return lac_report_column(report, "ms", "per item", "ms", LAC_LABEL_MEASURED, err);
}

/* The first task's figures at the top, all tasks in rows. */
static lac_status print_scores(const lac_report *report, lac_error *err)
{
    json_t *root = lac_report_to_json(report), *rows = json_object_get(root, "rows"), *row;
    size_t i;
    json_object_del(root, "title");
    json_array_foreach(rows, i, row)
    {
        if (i == 0)
            json_object_update_missing(root, row);
    }
    return print_json("lacuna.eval/1", root, err);
}

static lac_status eval(const cli_arguments *arguments, const lac_model *model, lac_error *err)
{
    lac_session *session;
    lac_report *report = lac_report_make(model->name, err);
    if (!report)
        return LAC_ERROR_MEMORY;
    lac_status status = columns(report, err);
    int scored = 0;
    size_t i;
    json_t *task;
    if (status == LAC_OK)
        status = lac_session_make(&session, model->graph, NULL, err);
    if (status == LAC_OK) {
        json_array_foreach(model->tasks, i, task)
        {
            status = eval_task(arguments, model, task, session, report, err);
            if (status == LAC_ERROR_UNSUPPORTED && json_array_size(model->tasks) > 1)
                status = LAC_OK; /* a kind that is not scored, beside others that are */
            else if (status != LAC_OK)
                break;
            scored = lac_report_rows(report);
        }
        lac_session_free(session);
    }
    if (status == LAC_OK && scored == 0)
        status = lac_fail(err, LAC_ERROR_INPUT,
                          "no task to score: give --meta FILE with tasks (docs/data.md)");
    if (status == LAC_OK)
        status = arguments->json ? print_scores(report, err) : print_report(report, err);
    lac_report_free(report);
    return status;
}

static lac_status run(const cli_arguments *arguments, lac_error *err)
{
    lac_model model;
    LAC_TRY(
        lac_model_open(&model, arguments->positional[0], option_value(arguments, "meta", 0), err));
    lac_status status = eval(arguments, &model, err);
    lac_model_close(&model);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", arguments->positional[0]);
}

static const cli_option options[] = {
    {"meta", 'm', "FILE", "take tasks and preprocessing from this meta.json"},
    {"limit", 'n', "N", "score at most N items, N >= 1 (default: all)"},
    {"skip", 0, "N", "leave out the first N items"},
    {0}};

const cli_command command_eval = {
    .name = "eval",
    .usage = "MODEL [--meta FILE] [--limit N]",
    .summary = "accuracy of a network on the data its tasks name",
    .details =
        "  lacuna eval glyph_vit                the built-in transformer on its glyphs\n"
        "  lacuna eval model.onnx --json\n\n"
        "Tasks and preprocessing come from the model's metadata, else from a meta.json beside\n"
        "it; compress keeps them in the file it writes. stated: what whoever made the model says "
        "of\n"
        "it, from the same place. Figures are fractions in JSON.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
