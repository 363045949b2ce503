/* lacuna compress: schemes on a network, a smaller ONNX file out. */
#include "cli/auto_report.h"
#include "cli/command.h"
#include "core/memory.h"
#include "io/onnx.h"
#include "report/json.h"
#include "study/export.h"
#include "study/sample.h"

#include <lacuna/lacuna.h>
#include <lacuna/scheme.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What is said of a weight beside its gain. */
static void reason_of(const lac_weight *w, char *text, size_t size)
{
    const char *kept = w->changed ? w->keep : ""; /* else expect says it */
    snprintf(text, size, "%s%s%s%s%s", kept, kept[0] ? "; " : "", w->remark,
             w->remark[0] ? "; " : "", w->expect);
}

static void format_of(const lac_weight *w, char *text, size_t size)
{
    char params[96] = "";
    if (w->format && w->format->params)
        lac_params_print(&w->params, params, sizeof params);
    snprintf(text, size, "%s%s%s%s", w->format ? w->format->row.name : "dense",
             params[0] ? ":" : "", params, w->scale ? " int8" : "");
}

static lac_status columns(lac_report *report, bool json, lac_error *err)
{
    LAC_TRY(lac_report_column(report, "layer", "layer", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "format", "format", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "bytes_before", "before", "bytes", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "bytes_after", "after", "bytes", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "sparsity", "zeros", "%", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "error", "error", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "gain", "expect", "", LAC_LABEL_NONE, err));
    return json ? lac_report_column(report, "expect", "", "", LAC_LABEL_NONE, err)
                : lac_report_column(report, "note", "note", "", LAC_LABEL_NONE, err);
}

/* The reason as the number of a note under the table: few reasons serve many layers. */
static lac_status numbered(lac_report *report, const lac_compression *compression, int index,
                           lac_error *err)
{
    char reason[400], note[420];
    int number = 0;
    reason_of(&compression->weights[index], reason, sizeof reason);
    const char *there;
    do {
        there = lac_report_note_at(report, number++);
        snprintf(note, sizeof note, "%d: %s", number, reason);
    } while (there && strcmp(there, note) != 0);
    if (!there)
        LAC_TRY(lac_report_note(report, note, err));
    return lac_report_integer(report, "note", number, err);
}

static lac_status weight_row(lac_report *report, const lac_compression *compression, int index,
                             bool json, lac_error *err)
{
    const lac_weight *w = &compression->weights[index];
    char text[480], reason[400];
    LAC_TRY(lac_report_row(report, err));
    LAC_TRY(lac_report_text(report, "layer", w->name, err));
    format_of(w, text, sizeof text);
    LAC_TRY(lac_report_text(report, "format", text, err));
    LAC_TRY(lac_report_integer(report, "bytes_before", w->bytes_before, err));
    LAC_TRY(lac_report_integer(report, "bytes_after", w->bytes_after, err));
    LAC_TRY(lac_report_number(
        report, "sparsity", 100 - 100 * (double)w->nonzeros / (double)(w->rows * w->cols), 1, err));
    LAC_TRY(lac_report_number(report, "error", w->error, 4, err));
    LAC_TRY(lac_report_text(report, "gain", w->gain, err));
    if (!json)
        return numbered(report, compression, index, err);
    reason_of(w, reason, sizeof reason);
    snprintf(text, sizeof text, "%s%s%s", w->gain, w->changed ? "; " : ": ", reason);
    return lac_report_text(report, "expect", text, err);
}

static lac_status weight_report(const lac_compression *compression, const char *title, bool json,
                                lac_report **result, lac_error *err)
{
    lac_report *report = lac_report_make(title, err);
    lac_status status = report ? columns(report, json, err) : LAC_ERROR_MEMORY;
    for (int i = 0; status == LAC_OK && i < compression->n_weights; i++)
        status = weight_row(report, compression, i, json, err);
    *result = report;
    return status;
}

/* Whether the input holds a weight in 16 bits that the output holds in 32. */
static bool widened(const lac_compression *compression)
{
    for (int i = 0; i < compression->n_weights; i++) {
        const lac_weight *w = &compression->weights[i];
        if (w->changed && w->bytes_after > w->bytes_before &&
            w->bytes_before == 2 * w->rows * w->cols)
            return true;
    }
    return false;
}

/* The size of the file beside that of the input, and why it grew if it did. */
static lac_status size_notes(lac_report *report, const lac_compression *compression,
                             const lac_model *model, const char *path, int64_t bytes,
                             const char *calibration, lac_error *err)
{
    char note[900], now[32], was[32], change[32];
    double ratio = (double)model->file_bytes / (double)(bytes ? bytes : 1);
    if (ratio > 0.995 && ratio < 1.005)
        snprintf(change, sizeof change, "same size");
    else
        snprintf(change, sizeof change, "%.2fx %s", ratio > 1 ? ratio : 1 / ratio,
                 ratio > 1 ? "smaller" : "larger");
    snprintf(note, sizeof note, "%s: %s bytes, %s was %s: %s%s%s", path,
             lac_group_digits(bytes, now, sizeof now), model->name,
             lac_group_digits(model->file_bytes, was, sizeof was), change,
             calibration ? "; calibrated on the " : "", calibration ? calibration : "");
    LAC_TRY(lac_report_note(report, note, err));
    if (ratio > 0.995)
        return LAC_OK;
    bool wide = widened(compression);
    snprintf(note, sizeof note, "larger than the input: %s",
             wide ? "its float16 weights became float32; add int8 to the scheme (+int8)"
                  : "how to unpack the weights (function bodies) takes more than packing saves");
    return lac_report_note(report, note, err);
}

/* Constants beside the model are mapped and read in place; those inside are copied. A small model
 * is worth one file. */
enum { WORTH_MAPPING = 1 << 20, WORTH_MOVING = 4096 };

static lac_status external_bytes(const cli_arguments *arguments, const lac_graph *graph,
                                 int64_t *external, lac_error *err)
{
    size_t bytes = 0;
    bool *counted = lac_alloc((size_t)graph->n_values, sizeof *counted, err);
    if (!counted)
        return LAC_ERROR_MEMORY;
    for (int n = 0; n < graph->n_nodes; n++) /* what compression replaced has no reader */
        for (int i = 0; i < graph->nodes[n].n_in; i++) {
            int v = graph->nodes[n].in[i];
            if (v < 0 || counted[v] || !graph->values[v].constant.data)
                continue;
            counted[v] = true;
            bytes += lac_tensor_bytes(&graph->values[v].constant);
        }
    lac_free(counted);
    return option_int(arguments, "external", bytes > WORTH_MAPPING ? WORTH_MOVING : 0, 0, INT64_MAX,
                      external, err);
}

/* `chosen`: of scheme auto, whose compression this is; else NULL. */
static lac_status finish(const cli_arguments *arguments, const lac_model *model,
                         lac_compression *compression, const char *calibration,
                         const lac_auto *chosen, lac_error *err)
{
    const char *path = option_value(arguments, "output", 0);
    const char *scheme = option_value(arguments, "scheme", 0);
    int64_t external;
    struct stat status_of = {0};
    LAC_TRY(external_bytes(arguments, compression->graph, &external, err));
    int dcz_files = 0;
    int64_t dcz_bytes = 0;
    const char *folder = option_value(arguments, "dcz", 0);
    if (folder)
        LAC_TRY(lac_export_dcz(compression, folder, &dcz_files, &dcz_bytes, err));
    LAC_TRY(lac_tasks_keep_for(compression->graph, model->tasks, path, err));
    LAC_TRY(lac_onnx_save(compression->graph, path, (size_t)external, err));
    int64_t bytes = stat(path, &status_of) == 0 ? (int64_t)status_of.st_size : 0, beside = 0;
    if (S_ISREG(status_of.st_mode) && external > 0)
        LAC_TRY(lac_onnx_external_bytes(&beside, path, err));
    bytes += beside;
    lac_report *report = NULL;
    const char *title = arguments->json ? path : "";
    lac_status status = chosen ? auto_report(chosen, title, arguments->json, &report, err)
                               : weight_report(compression, title, arguments->json, &report, err);
    char note[900], digits[32];
    if (status == LAC_OK && !arguments->json)
        status = size_notes(report, compression, model, path, bytes, calibration, err);
    if (status == LAC_OK && !arguments->json && folder) {
        snprintf(note, sizeof note, "%s: %d files .dcz, Huffman coded, %s bytes", folder, dcz_files,
                 lac_group_digits(dcz_bytes, digits, sizeof digits));
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
        if (chosen)
            json_object_set_new(root, "auto", auto_json(chosen));
        status = print_json("lacuna.compress/1", root, err);
    } else if (status == LAC_OK) {
        status = print_report(report, err);
    }
    lac_report_free(report);
    return status;
}

/* "1%" or "0.01". */
static lac_status read_loss(const char *text, double *loss, lac_error *err)
{
    char number[32];
    size_t length = strlen(text);
    bool percent = length > 0 && text[length - 1] == '%';
    snprintf(number, sizeof number, "%.*s", (int)(length - percent), text);
    if (length - percent >= sizeof number || !lac_parse_f64(number, loss) ||
        !(*loss >= 0 && *loss <= (percent ? 100 : 1)))
        return lac_fail(err, LAC_ERROR_INPUT, "--max-loss %s: want 0%% to 100%%, or 0 to 1", text);
    *loss *= percent ? 0.01 : 1;
    return LAC_OK;
}

static lac_status choose(const cli_arguments *arguments, const lac_model *model, lac_error *err)
{
    const char *loss = option_value(arguments, "max-loss", 0);
    const char *target = option_value(arguments, "target", 0);
    int64_t budget, images;
    lac_auto result;
    lac_auto_options options = {.sizes = option_value(arguments, "sizes", 0),
                                .keep_weights = option_given(arguments, "no-prune"),
                                .progress = show_progress};
    if (target && strcmp(target, "cpu") != 0)
        return lac_fail(err, LAC_ERROR_INPUT, "--target %s: scheme auto measures on the cpu",
                        target);
    LAC_TRY(read_loss(loss ? loss : "1%", &options.max_loss, err));
    LAC_TRY(option_int(arguments, "budget", 120, 1, 1000000, &budget, err));
    LAC_TRY(option_int(arguments, "images", 0, 0, INT64_MAX, &images, err));
    options.budget = (double)budget;
    options.items = images;
    LAC_TRY(lac_auto_choose(&result, model, &options, err));
    lac_status status = finish(arguments, model, &result.compression,
                               result.calibration[0] ? result.calibration : NULL, &result, err);
    lac_auto_release(&result);
    return status;
}

static const char *const auto_options[] = {"target", "max-loss", "budget",
                                           "images", "sizes",    "no-prune"};

static lac_status compress(const cli_arguments *arguments, const lac_model *model, lac_error *err)
{
    const char *scheme = option_value(arguments, "scheme", 0);
    const char *output = option_value(arguments, "output", 0);
    lac_composition composition;
    lac_dataset *dataset = NULL;
    lac_calibration calibration;
    int64_t left_out;
    if (!scheme || !output)
        return lac_fail(err, LAC_ERROR_INPUT, "want --scheme TEXT and --output FILE");
    if (!lac_auto_is(scheme))
        LAC_TRY(lac_scheme_parse(scheme, &composition, err));
    LAC_TRY(check_output_path(arguments->positional[0], output, "", err));
    LAC_TRY(check_output_path(arguments->positional[0], output, ".data", err));
    if (lac_auto_is(scheme))
        return choose(arguments, model, err);
    for (size_t i = 0; i < sizeof auto_options / sizeof *auto_options; i++)
        if (option_given(arguments, auto_options[i]))
            return lac_fail(err, LAC_ERROR_INPUT, "--%s goes with --scheme auto", auto_options[i]);
    lac_compression compression = {.progress = show_progress};
    lac_status status = LAC_OK;
    if (lac_scheme_calibrates(&composition))
        status = lac_sample_calibration(model, &dataset, &calibration, &left_out, err);
    if (status == LAC_OK) {
        compression.calibration = dataset ? &calibration : NULL;
        status = lac_compress(&compression, model->graph, scheme, err);
    }
    char source[480] = "";
    if (status == LAC_OK && dataset && left_out)
        snprintf(source, sizeof source, "%s (eval --skip %lld)", calibration.source,
                 (long long)left_out);
    else if (status == LAC_OK && dataset)
        snprintf(source, sizeof source, "%s", calibration.source);
    if (status == LAC_OK)
        status = finish(arguments, model, &compression, source[0] ? source : NULL, NULL, err);
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
    {"scheme", 's', "TEXT",
     "schemes joined by +, e.g. nm:2:4+int8 ('lacuna list schemes'); auto: measured choice"},
    {"output", 'o', "FILE", "the ONNX file to write"},
    {"external", 0, "BYTES",
     "weights of at least this size go to FILE.data, which is mapped, not\nread (default: 4096 "
     "where they take 1 MB together; 0: none)"},
    {"dcz", 0, "DIR", "also write Huffman-coded .dcz files, one per layer (deep-compression)"},
    {"meta", 'm', "FILE", "take tasks (calibration data) from this meta.json"},
    {"target", 't', "NAME", "auto: what to be fast on: cpu (default), this machine"},
    {"max-loss", 0, "LOSS", "auto: points of the score that may go: 1% (default), 0.005"},
    {"budget", 0, "SECONDS", "auto: time for measuring (default 120)"},
    {"images", 0, "N", "auto: items scored (default: as many as the time allows)"},
    {"sizes", 0, "TEXT", "auto: time noise of these sizes, e.g. N=8 (default: a stored sample)"},
    {"no-prune", 0, NULL, "auto: only the zeros that are there"},
    {0}};

const cli_command command_compress = {
    .name = "compress",
    .usage = "MODEL --scheme TEXT --output FILE",
    .summary = "prune, quantise, share weights; write a smaller ONNX file",
    .details =
        "  lacuna compress glyph_vit -s nm:2:4+int8 -o vit24.onnx\n"
        "  lacuna compress model.onnx -s deep-compression:density=0.2 -o small.onnx\n"
        "  lacuna compress model.onnx -s auto --max-loss 1% -o fast.onnx\n\n"
        "Scheme auto measures on this machine: per layer float32 or int8, every format that holds\n"
        "the weight in fewer bytes, and new zeros as far as the score allows; what does not win\n"
        "stays dense, and the report says so. The file keeps the choice (docs/auto.md).\n\n"
        "Packed weights are operators of the domain lacuna with function bodies of standard\n"
        "operators, so other runtimes run the file too.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
