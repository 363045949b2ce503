/* lacuna inspect: what is in a model file, and what each weight would take in each format. */
#include "study/inspect.h"
#include "cli/command.h"
#include "io/dcz.h"
#include "report/json.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int format_count(void)
{
    int n = lac_table_count(&lac_formats);
    return n < LAC_INSPECT_FORMATS ? n : LAC_INSPECT_FORMATS;
}

static const char *format_name(int index)
{
    return lac_table_at(&lac_formats, index)->name;
}

static double percent_zero(const lac_inspected_weight *w)
{
    return 100 * (double)w->zeros / (double)(w->rows * w->cols);
}

/* ---- header -----------------------------------------------------------------------------------
 */

typedef struct op_count {
    const char *domain, *op;
    int count;
} op_count;

/* The next distinct operator at or behind node *next, with its count; false at the end. */
static bool next_op(const lac_graph *graph, int *next, op_count *found)
{
    for (; *next < graph->n_nodes; ++*next) {
        const lac_node *node = &graph->nodes[*next];
        *found = (op_count){node->domain, node->op, 0};
        bool first = true;
        for (int i = 0; i < graph->n_nodes && first; i++)
            if (strcmp(graph->nodes[i].op, node->op) == 0 &&
                strcmp(graph->nodes[i].domain, node->domain) == 0) {
                first = i >= *next;
                found->count++;
            }
        if (first) {
            ++*next;
            return true;
        }
    }
    return false;
}

static void dim_text(const lac_dim *dim, lac_text *out)
{
    if (dim->size >= 0)
        lac_text_add(out, "%lld", (long long)dim->size);
    else
        lac_text_add(out, "%s", dim->symbol ? dim->symbol : "?");
}

/* "pixels: float32[N,784]" */
static void value_text(const lac_value *value, lac_text *out)
{
    lac_text_add(out, "%s: %s[", value->name, lac_dtype_name(value->dtype));
    for (int i = 0; i < value->rank; i++) {
        lac_text_add(out, i ? "," : "");
        dim_text(&value->dims[i], out);
    }
    lac_text_add(out, value->rank < 0 ? "...]" : "]");
}

static void task_text(const json_t *task, lac_text *out)
{
    const char *kind = json_string_value(json_object_get(task, "task"));
    const char *set = lac_task_set(task);
    const json_t *stated = json_object_get(task, "value");
    lac_text_add(out, "  task        %s on %s", kind ? kind : "?", set[0] ? set : "?");
    if (json_is_number(stated))
        lac_text_add(out, ", stated %.4f", json_number_value(stated));
    lac_text_add(out, "\n");
}

static void header_text(const lac_model *model, const lac_inspected *inspected, lac_text *out)
{
    const lac_graph *graph = model->graph;
    char bytes[40], parameters[40];
    lac_text_add(out, "%s\n  file        %s bytes", model->name,
                 lac_group_digits(inspected->file_bytes, bytes, sizeof bytes));
    if (inspected->external_bytes)
        lac_text_add(out, " and %s beside it",
                     lac_group_digits(inspected->external_bytes, bytes, sizeof bytes));
    lac_text_add(out, "\n  opset       %d\n  parameters  %s\n", graph->opset,
                 lac_group_digits(inspected->parameters, parameters, sizeof parameters));
    for (int i = 0; i < graph->n_inputs; i++) {
        lac_text_add(out, "  input       ");
        value_text(&graph->values[graph->inputs[i]], out);
        lac_text_add(out, "\n");
    }
    for (int i = 0; i < graph->n_outputs; i++) {
        lac_text_add(out, "  output      ");
        value_text(&graph->values[graph->outputs[i]], out);
        lac_text_add(out, "\n");
    }
    op_count op;
    lac_text_add(out, "  operators   %d nodes:", graph->n_nodes);
    for (int next = 0; next_op(graph, &next, &op);)
        lac_text_add(out, " %d %s%s%s", op.count, op.domain, op.domain[0] ? "." : "", op.op);
    lac_text_add(out, "\n");
    if (lac_graph_meta(graph, "lacuna.scheme"))
        lac_text_add(out, "  scheme      %s\n", lac_graph_meta(graph, "lacuna.scheme"));
    size_t i;
    json_t *task;
    json_array_foreach(model->tasks, i, task)
    {
        task_text(task, out);
    }
}

/* ---- table ------------------------------------------------------------------------------------
 */

static lac_status columns(lac_report *report, lac_error *err)
{
    LAC_TRY(lac_report_column(report, "name", "weight of", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "rows", "rows", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "cols", "cols", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "zeros", "zeros", "%", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "pattern", "pattern", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "distinct", "distinct", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "held", "held as", "", LAC_LABEL_NONE, err));
    LAC_TRY(lac_report_column(report, "stored", "stored", "bytes", LAC_LABEL_NONE, err));
    for (int i = 0; i < format_count(); i++) {
        char key[80];
        snprintf(key, sizeof key, "in %s", format_name(i));
        LAC_TRY(lac_report_column(report, key, format_name(i), "bytes", LAC_LABEL_NONE, err));
    }
    return LAC_OK;
}

/* Cells of a format's column are texts ("~1,234"), so they are aligned here. */
static int bytes_width(const lac_inspected *inspected, int format)
{
    char text[64];
    int64_t sum = 0;
    for (int i = 0; i < inspected->n; i++) {
        int64_t bytes = inspected->weight[i].in[format].bytes;
        sum += bytes > 0 ? bytes : 0;
    }
    lac_group_digits(sum, text, sizeof text);
    int heading = (int)(strlen(format_name(format)) + strlen(" [bytes]"));
    int width = (int)strlen(text) + 1; /* "~" */
    return width > heading ? width : heading;
}

static lac_status bytes_cell(lac_report *report, const lac_inspected *inspected, int format,
                             const lac_inspected_bytes *in, lac_error *err)
{
    char key[80], digits[40], text[64], cell[160];
    snprintf(key, sizeof key, "in %s", format_name(format));
    snprintf(text, sizeof text, "%s%s", in->bytes < 0 || in->fits ? "" : "~",
             in->bytes < 0 ? "-" : lac_group_digits(in->bytes, digits, sizeof digits));
    snprintf(cell, sizeof cell, "%*s", bytes_width(inspected, format), text);
    return lac_report_text(report, key, cell, err);
}

static lac_status weight_row(lac_report *report, const lac_inspected *inspected, int index,
                             lac_error *err)
{
    const lac_inspected_weight *w = &inspected->weight[index];
    char text[64];
    LAC_TRY(lac_report_row(report, err));
    LAC_TRY(lac_report_text(report, "name", w->name, err));
    LAC_TRY(lac_report_integer(report, "rows", w->rows, err));
    LAC_TRY(lac_report_integer(report, "cols", w->cols, err));
    LAC_TRY(lac_report_number(report, "zeros", percent_zero(w), 1, err));
    snprintf(text, sizeof text, "%d:%d", w->n, w->m);
    LAC_TRY(lac_report_text(report, "pattern", w->m ? text : "-", err));
    LAC_TRY(w->distinct ? lac_report_integer(report, "distinct", w->distinct, err)
                        : lac_report_text(report, "distinct", ">256", err));
    snprintf(text, sizeof text, "%s %s", w->format, lac_dtype_name(w->dtype));
    LAC_TRY(lac_report_text(report, "held", text, err));
    LAC_TRY(lac_report_integer(report, "stored", w->stored, err));
    for (int f = 0; f < format_count(); f++)
        LAC_TRY(bytes_cell(report, inspected, f, &w->in[f], err));
    return LAC_OK;
}

static int64_t total_stored(const lac_inspected *inspected)
{
    int64_t stored = 0;
    for (int i = 0; i < inspected->n; i++)
        stored += inspected->weight[i].stored;
    return stored;
}

/* The sum in a format: over all weights, *counted of them in it and the others as they are stored;
 * -1 when it can hold none. */
static lac_inspected_bytes total_in(const lac_inspected *inspected, int format, int *counted)
{
    lac_inspected_bytes sum = {.fits = true};
    *counted = 0;
    for (int i = 0; i < inspected->n; i++) {
        const lac_inspected_weight *w = &inspected->weight[i];
        *counted += w->in[format].bytes >= 0;
        sum.fits &= w->in[format].fits;
        sum.bytes += w->in[format].bytes >= 0 ? w->in[format].bytes : w->stored;
    }
    sum.bytes = *counted || inspected->n == 0 ? sum.bytes : -1;
    return sum;
}

/* One line for each thing said of the weights in `format`, with their number. */
static lac_status format_notes(lac_report *report, const lac_inspected *inspected, int format,
                               lac_error *err)
{
    for (int i = 0; i < inspected->n; i++) {
        const lac_inspected_bytes *in = &inspected->weight[i].in[format];
        char line[320];
        int same = 0;
        bool said = !in->note[0];
        for (int k = 0; k < inspected->n; k++) {
            bool equal = strcmp(inspected->weight[k].in[format].note, in->note) == 0;
            said |= equal && k < i;
            same += equal;
        }
        if (said)
            continue;
        snprintf(line, sizeof line, "%s %s: %s%s; %d of %d", in->bytes < 0 ? "-" : "~",
                 format_name(format), in->bytes < 0 ? "" : "after ", in->note, same, inspected->n);
        LAC_TRY(lac_report_note(report, line, err));
    }
    return LAC_OK;
}

static lac_status fill(lac_report *report, const lac_inspected *inspected, lac_error *err)
{
    bool partial = false;
    LAC_TRY(columns(report, err));
    for (int i = 0; i < inspected->n; i++)
        LAC_TRY(weight_row(report, inspected, i, err));
    LAC_TRY(lac_report_row(report, err));
    LAC_TRY(lac_report_text(report, "name", "total", err));
    LAC_TRY(lac_report_integer(report, "stored", total_stored(inspected), err));
    for (int f = 0; f < format_count(); f++) {
        int counted;
        lac_inspected_bytes sum = total_in(inspected, f, &counted);
        partial |= counted > 0 && counted < inspected->n;
        LAC_TRY(bytes_cell(report, inspected, f, &sum, err));
    }
    for (int f = 0; f < format_count(); f++)
        LAC_TRY(format_notes(report, inspected, f, err));
    return partial ? lac_report_note(
                         report, "total: with the weights that a format cannot hold as stored", err)
                   : LAC_OK;
}

static lac_status inspect_text(const lac_model *model, const lac_inspected *inspected,
                               lac_error *err)
{
    lac_text out = {0};
    lac_report *report = lac_report_make("", err);
    lac_status status = report ? fill(report, inspected, err) : LAC_ERROR_MEMORY;
    if (status == LAC_OK) {
        header_text(model, inspected, &out);
        lac_text_add(&out, "\n");
        lac_report_print(report, &out);
        end_progress();
        status = print_text(&out, err);
    }
    lac_report_free(report);
    lac_text_release(&out);
    return status;
}

/* ---- one layer in a .dcz ---------------------------------------------------------------------
 */

static lac_status print_dcz(const cli_arguments *arguments, const lac_dcz *dcz, const char *path,
                            lac_error *err)
{
    const lac_eie_csc *csc = &dcz->csc;
    struct stat there;
    int64_t bits;
    int64_t file = stat(path, &there) == 0 ? (int64_t)there.st_size : 0;
    int64_t bias = dcz->bias ? 32 * csc->rows : 0;
    LAC_TRY(lac_eie_csc_size_bits(csc, dcz->code_bits, 32, bias, dcz->huffman, &bits, err));
    if (arguments->json)
        return print_json(
            "lacuna.dcz/1",
            json_pack("{s:o, s:I, s:I, s:I, s:I, s:i, s:i, s:b, s:b, s:I, s:I, s:I, s:I}", "file",
                      lac_json_text(path), "file_bytes", (json_int_t)file, "rows",
                      (json_int_t)csc->rows, "cols", (json_int_t)csc->cols, "pe",
                      (json_int_t)csc->pe, "index_bits", dcz->index_bits, "code_bits",
                      dcz->code_bits, "huffman", (int)dcz->huffman, "bias",
                      (int)(dcz->bias != NULL), "entries", (json_int_t)csc->entries, "nonzeros",
                      (json_int_t)csc->nonzeros, "padding",
                      (json_int_t)(csc->entries - csc->nonzeros), "layer_bits", (json_int_t)bits),
            err);
    lac_text out = {0};
    char a[40], b[40], c[40];
    lac_text_add(&out, "%s\n  file        %s bytes, .dcz%s%s\n", path,
                 lac_group_digits(file, a, sizeof a), dcz->huffman ? ", Huffman coded" : "",
                 dcz->bias ? ", with bias" : "");
    lac_text_add(&out, "  matrix      %s rows, %s columns, %s processing elements\n",
                 lac_group_digits(csc->rows, a, sizeof a), lac_group_digits(csc->cols, b, sizeof b),
                 lac_group_digits(csc->pe, c, sizeof c));
    lac_text_add(&out, "  entries     %s: %s not 0 (%.2f %% of the matrix), %s padding\n",
                 lac_group_digits(csc->entries, a, sizeof a),
                 lac_group_digits(csc->nonzeros, b, sizeof b),
                 100 * (double)csc->nonzeros / (double)csc->rows / (double)csc->cols,
                 lac_group_digits(csc->entries - csc->nonzeros, c, sizeof c));
    lac_text_add(
        &out, "  bits        %d of code, %d of index; the layer with pointers and codebook: %s\n",
        dcz->code_bits, dcz->index_bits, lac_group_digits(bits, a, sizeof a));
    lac_status status = print_text(&out, err);
    lac_text_release(&out);
    return status;
}

static lac_status inspect_dcz(const cli_arguments *arguments, const char *path, lac_error *err)
{
    lac_dcz dcz;
    LAC_TRY(lac_dcz_load(&dcz, path, err));
    lac_status status = print_dcz(arguments, &dcz, path, err);
    lac_dcz_release(&dcz);
    return status;
}

/* ---- JSON -------------------------------------------------------------------------------------
 */

static json_t *values_json(const lac_graph *graph, const int *values, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        const lac_value *value = &graph->values[values[i]];
        json_t *shape = json_array();
        for (int d = 0; d < value->rank; d++)
            json_array_append_new(shape,
                                  value->dims[d].size >= 0 ? json_integer(value->dims[d].size)
                                  : value->dims[d].symbol  ? lac_json_text(value->dims[d].symbol)
                                                           : json_null());
        if (value->rank < 0) {
            json_decref(shape);
            shape = json_null();
        }
        json_array_append_new(list,
                              json_pack("{s:o, s:s, s:o}", "name", lac_json_text(value->name),
                                        "dtype", lac_dtype_name(value->dtype), "shape", shape));
    }
    return list;
}

static json_t *text_json(const char *text, bool given)
{
    return given ? json_string(text) : json_null();
}

static json_t *formats_json(const lac_inspected_weight *w)
{
    json_t *object = json_object();
    for (int f = 0; f < format_count(); f++) {
        const lac_inspected_bytes *in = &w->in[f];
        bool can = in->bytes >= 0;
        json_object_set_new(object, format_name(f),
                            json_pack("{s:o, s:b, s:o, s:o}", "bytes",
                                      can ? json_integer(in->bytes) : json_null(), "fits", in->fits,
                                      "after", text_json(in->note, can && !in->fits), "why_not",
                                      text_json(in->note, !can)));
    }
    return object;
}

static json_t *total_json(const lac_inspected *inspected)
{
    json_t *object = json_object();
    for (int f = 0; f < format_count(); f++) {
        int counted;
        lac_inspected_bytes sum = total_in(inspected, f, &counted);
        json_object_set_new(object, format_name(f),
                            json_pack("{s:o, s:b, s:i, s:i}", "bytes",
                                      sum.bytes < 0 ? json_null() : json_integer(sum.bytes), "fits",
                                      sum.fits, "layers", counted, "of", inspected->n));
    }
    return json_pack("{s:I, s:o}", "stored_bytes", (json_int_t)total_stored(inspected), "formats",
                     object);
}

static json_t *weight_json(const lac_inspected_weight *w)
{
    char pattern[32];
    snprintf(pattern, sizeof pattern, "%d:%d", w->n, w->m);
    return json_pack(
        "{s:o, s:o, s:I, s:I, s:I, s:f, s:o, s:o, s:s, s:s, s:I, s:o}", "name",
        lac_json_text(w->name), "value", lac_json_text(w->value), "rows", (json_int_t)w->rows,
        "cols", (json_int_t)w->cols, "zeros", (json_int_t)w->zeros, "sparsity",
        percent_zero(w) / 100, "pattern", w->m ? json_string(pattern) : json_null(), "distinct",
        w->distinct ? json_integer(w->distinct) : json_null(), "dtype", lac_dtype_name(w->dtype),
        "format", w->format, "stored_bytes", (json_int_t)w->stored, "formats", formats_json(w));
}

static lac_status inspect_json(const lac_model *model, const lac_inspected *inspected,
                               lac_error *err)
{
    const lac_graph *graph = model->graph;
    json_t *operators = json_object(), *metadata = json_object(), *layers = json_array();
    op_count op;
    char name[256];
    for (int next = 0; next_op(graph, &next, &op);) {
        snprintf(name, sizeof name, "%s%s%s", op.domain, op.domain[0] ? "." : "", op.op);
        json_object_set_new(operators, name, json_integer(op.count));
    }
    for (int i = 0; i < graph->n_meta; i++)
        json_object_set_new(metadata, graph->meta[i].key, lac_json_text(graph->meta[i].text));
    for (int i = 0; i < inspected->n; i++)
        json_array_append_new(layers, weight_json(&inspected->weight[i]));
    return print_json("lacuna.inspect/1",
                      json_pack("{s:s, s:I, s:I, s:i, s:I, s:o, s:o, s:o, s:o, s:O, s:o, s:o}",
                                "file", model->name, "file_bytes",
                                (json_int_t)inspected->file_bytes, "external_bytes",
                                (json_int_t)inspected->external_bytes, "opset", graph->opset,
                                "parameters", (json_int_t)inspected->parameters, "inputs",
                                values_json(graph, graph->inputs, graph->n_inputs), "outputs",
                                values_json(graph, graph->outputs, graph->n_outputs), "operators",
                                operators, "metadata", metadata, "tasks", model->tasks, "layers",
                                layers, "total", total_json(inspected)),
                      err);
}

static lac_status run(const cli_arguments *arguments, lac_error *err)
{
    const char *path = arguments->positional[0];
    size_t length = strlen(path);
    if (length > 4 && strcmp(path + length - 4, ".dcz") == 0)
        return inspect_dcz(arguments, path, err);
    lac_model model;
    lac_inspected inspected;
    LAC_TRY(lac_model_open(&model, path, option_value(arguments, "meta", 0), err));
    lac_status status = lac_inspect(&inspected, &model, path, show_progress, NULL, err);
    if (status == LAC_OK) {
        status = arguments->json ? inspect_json(&model, &inspected, err)
                                 : inspect_text(&model, &inspected, err);
        lac_inspected_release(&inspected);
    }
    lac_model_close(&model);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", path);
}

static const cli_option options[] = {{"meta", 'm', "FILE", "take tasks from this meta.json"}, {0}};

const cli_command command_inspect = {
    .name = "inspect",
    .usage = "MODEL|FILE.dcz [--meta FILE]",
    .summary = "what is in a model file, and the bytes of each weight in each format",
    .details =
        "  lacuna inspect glyph_vit\n"
        "  lacuna inspect model.onnx --json\n"
        "  lacuna inspect fc1.dcz     one layer as compress --dcz writes it: sizes and counts\n\n"
        "pattern: the sparsest N:M that every group of M = 2, 4, 8 or 16 consecutive elements\n"
        "obeys, if it pays: N at most M/2. stored: the constants a weight is made of, scales\n"
        "and zero points with it. Bytes in a format are exact for a weight that fits it as it is:\n"
        "of the elements as stored, with the parameters it is held with or those that fit it "
        "best.\n"
        "~ marks the bytes after what makes it fit, said under the table, as schemes would write\n"
        "them (float32, or int8 with scales); - a format that cannot hold it, with the reason.",
    .options = options,
    .min_arguments = 1,
    .max_arguments = 1,
    .run = run,
};
