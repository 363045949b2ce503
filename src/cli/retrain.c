/* lacuna retrain: more epochs for a compressed network, with its zeros and codes held. */
#include "study/retrain.h"
#include "cli/command.h"
#include "report/json.h"

#include <lacuna/lacuna.h>
#include <stdio.h>
#include <string.h>

static lac_status option_real(const cli_arguments *arguments, const char *name, double initial,
                              double *value, lac_error *err)
{
    const char *text = option_value(arguments, name, 0);
    *value = initial;
    if (text && !lac_parse_f64(text, value))
        return lac_fail(err, LAC_ERROR_INPUT, "--%s %s: want a number", name, text);
    return LAC_OK;
}

static lac_status read_options(const cli_arguments *arguments, lac_retrain_options *options,
                               lac_error *err)
{
    int64_t seed;
    LAC_TRY(option_int(arguments, "epochs", 5, 0, 100000, &options->epochs, err));
    LAC_TRY(option_real(arguments, "lr", 0.01, &options->train.rate, err));
    LAC_TRY(option_real(arguments, "momentum", 0.9, &options->train.momentum, err));
    LAC_TRY(option_int(arguments, "batch", 64, 1, 65536, &options->train.batch, err));
    LAC_TRY(option_int(arguments, "seed", 1, 0, INT64_MAX, &seed, err));
    LAC_TRY(option_int(arguments, "skip", 0, 0, INT64_MAX / 2, &options->first, err));
    LAC_TRY(option_int(arguments, "limit", 0, 0, INT64_MAX / 2, &options->limit, err));
    options->train.seed = (uint64_t)seed;
    options->train.progress = show_progress;
    options->folder = option_value(arguments, "data", 0);
    return LAC_OK;
}

/* A fraction for programs, per cent for people. */
static lac_status share(lac_report *report, const char *key, double value, bool json,
                        lac_error *err)
{
    return json ? lac_report_number(report, key, value, 4, err)
                : lac_report_number(report, key, 100 * value, 2, err);
}

static lac_status add_epoch(lac_report *report, int64_t epoch, const lac_retrain_row *row,
                            bool json, lac_error *err)
{
    LAC_TRY(lac_report_row(report, err));
    LAC_TRY(lac_report_integer(report, "epoch", epoch, err));
    LAC_TRY(lac_report_number(report, "loss", row->loss, 4, err));
    LAC_TRY(share(report, "trained", row->trained, json, err));
    return share(report, "scored", row->scored, json, err);
}

static lac_status add_notes(lac_report *report, const lac_retrained *r, const char *path,
                            lac_error *err)
{
    char note[900], more[96];
    for (int64_t i = 0; i < r->n_parameters; i++) {
        const lac_parameter_info *p = &r->parameter[i];
        if (p->constraint == LAC_TRAIN_FREE)
            continue;
        snprintf(more, sizeof more, ", %d centroids", p->centroids);
        snprintf(note, sizeof note, "%s: %s%s, %lld of %lld not 0", p->name,
                 lac_constraint_name(p->constraint), p->centroids ? more : "",
                 (long long)p->nonzeros, (long long)p->elements);
        LAC_TRY(lac_report_note(report, note, err));
    }
    bool trained = r->n_rows > 1;
    snprintf(note, sizeof note, "%s%s; scored on %s; written to %s",
             trained ? "trained on " : "nothing was trained (0 epochs)", trained ? r->data : "",
             r->test, path);
    return lac_report_note(report, note, err);
}

static lac_status fill(lac_report *report, const lac_retrained *r, bool json, lac_error *err)
{
    const char *unit = json ? "" : "%";
    LAC_TRY(lac_report_column(report, "epoch", "epoch", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "loss", "loss", "", LAC_LABEL_MEASURED, err));
    LAC_TRY(lac_report_column(report, "trained", "accuracy in training", unit, LAC_LABEL_MEASURED,
                              err));
    LAC_TRY(lac_report_column(report, "scored", "accuracy", unit, LAC_LABEL_MEASURED, err));
    for (int64_t i = 0; i < r->n_rows; i++)
        LAC_TRY(add_epoch(report, i, &r->row[i], json, err));
    return LAC_OK;
}

static lac_status print_result(const cli_arguments *arguments, const lac_model *model,
                               const lac_retrained *r, const char *path, lac_error *err)
{
    lac_report *report = lac_report_make(model->name, err);
    if (!report)
        return LAC_ERROR_MEMORY;
    lac_status status = fill(report, r, arguments->json, err);
    if (status == LAC_OK && !arguments->json)
        status = add_notes(report, r, path, err);
    if (status == LAC_OK && arguments->json) {
        json_t *root = lac_report_to_json(report), *list = json_array();
        for (int64_t i = 0; i < r->n_parameters; i++) {
            const lac_parameter_info *p = &r->parameter[i];
            json_array_append_new(list,
                                  json_pack("{s:s, s:s, s:I, s:I, s:i}", "name", p->name,
                                            "constraint", lac_constraint_name(p->constraint),
                                            "elements", (json_int_t)p->elements, "nonzeros",
                                            (json_int_t)p->nonzeros, "centroids", p->centroids));
        }
        json_object_set_new(root, "parameters", list);
        json_object_set_new(root, "file", json_string(path));
        json_object_set_new(root, "trained_on", r->n_rows > 1 ? json_string(r->data) : json_null());
        json_object_set_new(root, "scored_on", json_string(r->test));
        status = print_json("lacuna.retrain/1", root, err);
    } else if (status == LAC_OK) {
        status = print_report(report, err);
    }
    lac_report_free(report);
    return status;
}

static lac_status retrain(const cli_arguments *arguments, const lac_model *model, lac_error *err)
{
    lac_retrain_options options = {.epochs = 0};
    lac_retrained result;
    const char *path = option_value(arguments, "output", 0);
    if (!path)
        return lac_fail(err, LAC_ERROR_INPUT, "want --output FILE");
    LAC_TRY(check_output_path(arguments->positional[0], path, "", err));
    LAC_TRY(read_options(arguments, &options, err));
    LAC_TRY(lac_retrain(model, &options, &result, err));
    lac_status status = lac_tasks_keep_for(result.graph, model->tasks, path, err);
    if (status == LAC_OK)
        status = lac_onnx_save(result.graph, path, 0, err);
    if (status == LAC_OK)
        status = print_result(arguments, model, &result, path, err);
    lac_retrained_release(&result);
    return status;
}

static lac_status run(const cli_arguments *arguments, lac_error *err)
{
    lac_model model;
    LAC_TRY(
        lac_model_open(&model, arguments->positional[0], option_value(arguments, "meta", 0), err));
    lac_status status = retrain(arguments, &model, err);
    lac_model_close(&model);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", arguments->positional[0]);
}

static const cli_option options[] = {
    {"output", 'o', "FILE", "the ONNX file to write"},
    {"epochs", 'e', "N", "times over the training items (default: 5)"},
    {"lr", 0, "X", "learning rate (default: 0.01; shared weights want less, e.g. 0.001)"},
    {"momentum", 0, "X", "0 up to below 1 (default: 0.9)"},
    {"batch", 'b', "N", "items per step (default: 64)"},
    {"data", 'd', "FOLDER", "with train_u8.npy or train-images-idx3-ubyte[.gz] and labels"},
    {"skip", 0, "N", "leave out the first N training items"},
    {"limit", 'n', "N", "train on at most N items (default: all, at most 65536)"},
    {"seed", 0, "N", "of the order of the items (default: 1)"},
    {"meta", 'm', "FILE", "take tasks and preprocessing from this meta.json"},
    {0}};

const cli_command command_retrain = {
    .name = "retrain",
    .usage = "MODEL --output FILE [--epochs N] [--lr X]",
    .summary = "train a compressed network further: zeros stay 0, codes stay",
    .details =
        "  lacuna compress glyph_mlp -s magnitude:density=0.1 -o a.onnx\n"
        "  lacuna retrain a.onnx -o b.onnx\n"
        "  lacuna compress b.onnx -s deep-compression:density=1,bits=5 -o c.onnx\n"
        "  lacuna retrain c.onnx -o d.onnx --lr 0.001\n\n"
        "Pruned weights stay 0; of shared weights only the centroids move. Networks of MatMul,\n"
        "Gemm, Add, Relu and reshapes, for classification (docs/training.md).",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
