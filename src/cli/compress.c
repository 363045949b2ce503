/* lacuna compress: schemes on a network, a smaller ONNX file out. */
#include "cli/command.h"
#include "core/memory.h"
#include "report/json.h"
#include "study/export.h"
#include "study/sample.h"

#include <lacuna/lacuna.h>
#include <lacuna/scheme.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static lac_status weight_report(const lac_compression *compression, const char *title,
                                lac_report **result, lac_error *err)
{
    lac_report *report = lac_report_make(title, err);
    lac_status status = report ? LAC_OK : LAC_ERROR_MEMORY;
    if (status == LAC_OK)
        status = lac_report_column(report, "layer", "layer", "", LAC_LABEL_NONE, err);
    if (status == LAC_OK)
        status = lac_report_column(report, "format", "format", "", LAC_LABEL_NONE, err);
    if (status == LAC_OK)
        status = lac_report_column(report, "bytes_before", "before", "bytes", LAC_LABEL_NONE, err);
    if (status == LAC_OK)
        status = lac_report_column(report, "bytes_after", "after", "bytes", LAC_LABEL_NONE, err);
    if (status == LAC_OK)
        status = lac_report_column(report, "sparsity", "zeros", "%", LAC_LABEL_NONE, err);
    if (status == LAC_OK)
        status = lac_report_column(report, "error", "error", "", LAC_LABEL_NONE, err);
    if (status == LAC_OK)
        status = lac_report_column(report, "expect", "expect", "", LAC_LABEL_NONE, err);
    for (int i = 0; status == LAC_OK && i < compression->n_weights; i++) {
        const lac_weight *w = &compression->weights[i];
        char format[128], params[96] = "";
        if (w->format && w->format->params)
            lac_params_print(&w->params, params, sizeof params);
        snprintf(format, sizeof format, "%s%s%s%s", w->format ? w->format->row.name : "dense",
                 params[0] ? ":" : "", params, w->scale ? " int8" : "");
        double zeros = 100 - 100 * (double)w->nonzeros / (double)(w->rows * w->cols);
        status = lac_report_row(report, err);
        if (status == LAC_OK)
            status = lac_report_text(report, "layer", w->name, err);
        if (status == LAC_OK)
            status = lac_report_text(report, "format", format, err);
        if (status == LAC_OK)
            status = lac_report_integer(report, "bytes_before", w->bytes_before, err);
        if (status == LAC_OK)
            status = lac_report_integer(report, "bytes_after", w->bytes_after, err);
        if (status == LAC_OK)
            status = lac_report_number(report, "sparsity", zeros, 1, err);
        if (status == LAC_OK)
            status = lac_report_number(report, "error", w->error, 4, err);
        if (status == LAC_OK)
            status = lac_report_text(report, "expect", w->expect, err);
    }
    *result = report;
    return status;
}

static lac_status finish(const cli_arguments *arguments, const lac_model *model,
                         lac_compression *compression, const char *calibration, lac_error *err)
{
    const char *path = option_value(arguments, "output", 0);
    const char *scheme = option_value(arguments, "scheme", 0);
    int64_t external;
    struct stat status_of;
    LAC_TRY(option_int(arguments, "external", 0, 0, INT64_MAX, &external, err));
    int dcz_files = 0;
    int64_t dcz_bytes = 0;
    const char *folder = option_value(arguments, "dcz", 0);
    if (folder)
        LAC_TRY(lac_export_dcz(compression, folder, &dcz_files, &dcz_bytes, err));
    LAC_TRY(lac_tasks_keep(compression->graph, model->tasks, err));
    LAC_TRY(lac_onnx_save(compression->graph, path, (size_t)external, err));
    int64_t bytes = stat(path, &status_of) == 0 ? (int64_t)status_of.st_size : 0;
    if (external > 0) { /* FILE.data beside it */
        lac_text data = {0};
        lac_text_add(&data, "%s.data", path);
        if (!data.failed && stat(data.data, &status_of) == 0)
            bytes += (int64_t)status_of.st_size;
        lac_text_release(&data);
    }
    lac_report *report = NULL;
    lac_status status = weight_report(compression, arguments->json ? path : "", &report, err);
    char note[600];
    snprintf(note, sizeof note, "%s: %lld bytes, %s was %lld: %.2fx %s%s%s", path, (long long)bytes,
             model->name, (long long)model->file_bytes,
             bytes <= model->file_bytes ? (double)model->file_bytes / (double)(bytes ? bytes : 1)
                                        : (double)bytes / (double)model->file_bytes,
             bytes <= model->file_bytes ? "smaller" : "larger",
             calibration ? "; calibrated on the " : "", calibration ? calibration : "");
    if (status == LAC_OK && !arguments->json)
        status = lac_report_note(report, note, err);
    if (status == LAC_OK && !arguments->json && folder) {
        snprintf(note, sizeof note, "%s: %d files .dcz, Huffman coded, %lld bytes", folder,
                 dcz_files, (long long)dcz_bytes);
        status = lac_report_note(report, note, err);
    }
    if (status == LAC_OK && arguments->json) {
        json_t *root = lac_report_to_json(report);
        json_object_set_new(root, "scheme", json_string(scheme));
        json_object_set_new(root, "file", json_string(path));
        json_object_set_new(root, "file_bytes", json_integer(bytes));
        if (folder)
            json_object_set_new(root, "dcz",
                                json_pack("{s:s, s:i, s:I}", "folder", folder, "files", dcz_files,
                                          "bytes", (json_int_t)dcz_bytes));
        json_object_set_new(root, "file_bytes_before", json_integer(model->file_bytes));
        status = print_json("lacuna.compress/1", root, err);
    } else if (status == LAC_OK) {
        status = print_report(report, err);
    }
    lac_report_free(report);
    return status;
}

static lac_status compress(const cli_arguments *arguments, const lac_model *model, lac_error *err)
{
    const char *scheme = option_value(arguments, "scheme", 0);
    lac_composition composition;
    lac_dataset *dataset = NULL;
    lac_calibration calibration;
    int64_t left_out;
    if (!scheme || !option_value(arguments, "output", 0))
        return lac_fail(err, LAC_ERROR_INPUT, "want --scheme TEXT and --output FILE");
    LAC_TRY(lac_scheme_parse(scheme, &composition, err));
    lac_compression compression = {.progress = show_progress};
    lac_status status = LAC_OK;
    if (lac_scheme_calibrates(&composition))
        status = lac_sample_calibration(model, &dataset, &calibration, &left_out, err);
    if (status == LAC_OK) {
        compression.calibration = dataset ? &calibration : NULL;
        status = lac_compress(&compression, model->graph, scheme, err);
    }
    if (status == LAC_OK)
        status = finish(arguments, model, &compression, dataset ? calibration.source : NULL, err);
    lac_compression_release(&compression);
    lac_dataset_close(dataset);
    return status;
}

static lac_status run(const cli_arguments *arguments, lac_error *err)
{
    lac_model model;
    LAC_TRY(
        lac_model_open(&model, arguments->positional[0], option_value(arguments, "meta", 0), err));
    lac_status status = compress(arguments, &model, err);
    lac_model_close(&model);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", arguments->positional[0]);
}

static const cli_option options[] = {
    {"scheme", 's', "TEXT", "schemes joined by +, e.g. nm:2:4+int8 ('lacuna list schemes')"},
    {"output", 'o', "FILE", "the ONNX file to write"},
    {"external", 0, "BYTES", "weights of at least this size go to FILE.data (default: none)"},
    {"dcz", 0, "DIR", "also write Huffman-coded .dcz files, one per layer (deep-compression)"},
    {"meta", 'm', "FILE", "take tasks (calibration data) from this meta.json"},
    {0}};

const cli_command command_compress = {
    .name = "compress",
    .usage = "MODEL --scheme TEXT --output FILE",
    .summary = "prune, quantise, share weights; write a smaller ONNX file",
    .details =
        "  lacuna compress glyph_vit -s nm:2:4+int8 -o vit24.onnx\n"
        "  lacuna compress model.onnx -s deep-compression:density=0.2 -o small.onnx\n\n"
        "Packed weights are operators of the domain lacuna with function bodies of standard\n"
        "operators, so other runtimes run the file too.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
