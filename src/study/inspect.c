/* See inspect.h. Nothing is packed: the formats' formulas refuse what does not fit. Elements are
 * those of the file (integers behind DequantizeLinear, float16 behind Cast) where a format takes
 * them, else float32. What does not fit is counted as schemes would write it: float32, integers
 * where the file has integers or the format takes nothing else. */
#include "study/inspect.h"

#include "core/memory.h"
#include "exec/fold.h"
#include "format/pattern.h"
#include "io/onnx.h"
#include "scheme/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- one weight -------------------------------------------------------------------------------
 */

/* Distinct values, -0 being 0; 0 when there are more than LAC_INSPECT_DISTINCT. */
static int count_distinct(const float *w, int64_t count)
{
    float seen[LAC_INSPECT_DISTINCT];
    int n = 0;
    for (int64_t i = 0; i < count; i++) {
        int low = 0, high = n;
        while (low < high) {
            int middle = (low + high) / 2;
            if (seen[middle] < w[i])
                low = middle + 1;
            else
                high = middle;
        }
        if (low < n && seen[low] == w[i])
            continue;
        if (n == LAC_INSPECT_DISTINCT || w[i] != w[i])
            return 0;
        memmove(seen + low + 1, seen + low, (size_t)(n - low) * sizeof *seen);
        seen[low] = w[i];
        n++;
    }
    return n;
}

/* What the elements come from: the value behind Cast and DequantizeLinear, with the bytes of the
 * latter's scale and zero point. */
static int stored_value(const lac_graph *graph, int value, int64_t *beside)
{
    *beside = 0;
    for (int depth = 0; depth < 4; depth++) {
        int producer = graph->values[value].producer;
        if (graph->values[value].constant.data || producer < 0)
            break;
        const lac_node *node = &graph->nodes[producer];
        bool dequantize = strcmp(node->op, "DequantizeLinear") == 0;
        if (node->domain[0] || node->n_in < 1 || node->in[0] < 0 ||
            (!dequantize && strcmp(node->op, "Cast") != 0))
            break;
        for (int i = 1; i < node->n_in; i++)
            if (node->in[i] >= 0)
                *beside += lac_stored_bytes(graph, node->in[i]);
        value = node->in[0];
    }
    return value;
}

/* The Unpack node that makes `value`, or NULL. */
static const lac_node *unpack_node(const lac_graph *graph, int value)
{
    int producer = graph->values[value].producer;
    const lac_node *node = producer < 0 ? NULL : &graph->nodes[producer];
    bool is = node && strcmp(node->domain, "lacuna") == 0 && strcmp(node->op, "Unpack") == 0;
    return is ? node : NULL;
}

static const char *stored_format(const lac_graph *graph, int value)
{
    int producer = graph->values[value].producer;
    const lac_node *unpack = unpack_node(graph, value);
    if (graph->values[value].constant.data || producer < 0)
        return "dense";
    return unpack ? lac_node_string(unpack, "format", "?")
                  : graph->nodes[producer].op; /* computed from constants: Transpose, Mul, ... */
}

/* Parameters: those the weight is held with, or the ones that fit it, or the defaults. */
static lac_status params_of(const lac_format *format, const lac_node *unpack, lac_view view,
                            const lac_tensor *tensor, lac_params *params, lac_error *err)
{
    lac_params_init(params, format->params);
    if (unpack && strcmp(lac_node_string(unpack, "format", ""), format->row.name) == 0)
        return lac_params_parse(params, lac_node_string(unpack, "params", ""), err);
    return lac_format_fit(format, params, view, tensor, err);
}

/* The weight as integers, with zeros where it has zeros: of int8 formats only these count. */
static lac_status stand_in(const lac_tensor *tensor, lac_tensor *integers, lac_error *err)
{
    LAC_TRY(lac_tensor_make(integers, LAC_I8, tensor->rank, tensor->dims, err));
    for (int64_t i = 0; i < lac_tensor_count(tensor); i++)
        ((int8_t *)integers->data)[i] = ((const float *)tensor->data)[i] != 0;
    return LAC_OK;
}

/* Bytes after what makes the weight fit; `integers` say that they are counted as int8. */
static lac_status bytes_after(const lac_format *format, const lac_params *params, lac_view view,
                              const lac_tensor *tensor, bool integers, lac_inspected_bytes *found,
                              lac_error *err)
{
    char text[96] = "";
    lac_error refusal;
    lac_status status =
        lac_format_bytes_after(format, params, view, tensor, &found->bytes, &refusal);
    if (status == LAC_ERROR_MEMORY)
        return lac_fail(err, status, "%s", refusal.message);
    if (status != LAC_OK) {
        found->bytes = -1;
        snprintf(found->note, sizeof found->note, "%s", refusal.message);
        return LAC_OK;
    }
    if (format->params)
        lac_params_print(params, text, sizeof text);
    snprintf(found->note, sizeof found->note, "%s%s%s%s%s", format->remedy, text[0] ? " (" : "",
             text, text[0] ? ")" : "", integers ? ", int8" : "");
    return LAC_OK;
}

static lac_status in_format(const lac_format *format, const lac_weight *weight,
                            const lac_node *unpack, const lac_tensor *elements, int64_t beside,
                            lac_inspected_bytes *found, lac_error *err)
{
    lac_params params;
    lac_error refusal;
    lac_tensor made = {0};
    bool as_stored = (format->dtypes & LAC_BIT(elements->dtype)) != 0;
    bool floats = (format->dtypes & LAC_BIT(LAC_F32)) != 0;
    const lac_tensor *tensor = as_stored ? elements : &weight->tensor;
    lac_status status = LAC_OK;
    if (!as_stored && !floats && (format->dtypes & LAC_BIT(LAC_I8))) {
        LAC_TRY(stand_in(&weight->tensor, &made, err));
        tensor = &made;
        beside = weight->rows * (int64_t)(sizeof(float) + 1); /* scales and zero points */
    }
    status = params_of(format, unpack, weight->view, tensor, &params, &refusal);
    if (status == LAC_OK)
        status = lac_format_bytes(format, &params, weight->view, tensor, &found->bytes, &refusal);
    if (status == LAC_OK && !made.data)
        found->fits = true;
    else if (status == LAC_OK)
        snprintf(found->note, sizeof found->note, "int8");
    else if (status != LAC_ERROR_MEMORY) {
        if (as_stored && floats && lac_dtype_is_float(elements->dtype))
            tensor = &weight->tensor; /* schemes write float32 */
        status = bytes_after(format, &params, weight->view, tensor, tensor->dtype == LAC_I8, found,
                             &refusal);
    }
    if (found->bytes >= 0 && (as_stored || made.data))
        found->bytes += beside;
    lac_tensor_release(&made);
    return status == LAC_OK ? LAC_OK : lac_fail(err, status, "%s", refusal.message);
}

static bool same_shape(const lac_tensor *a, const lac_tensor *b)
{
    return a->rank == b->rank && memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) == 0;
}

static lac_status inspect_weight(const lac_graph *graph, const lac_weight *weight,
                                 lac_inspected_weight *found, lac_error *err)
{
    int64_t beside;
    int source = stored_value(graph, weight->value, &beside);
    lac_tensor matrix, elements;
    snprintf(found->name, sizeof found->name, "%s", weight->name);
    snprintf(found->value, sizeof found->value, "%s", graph->values[weight->value].name);
    snprintf(found->format, sizeof found->format, "%s", stored_format(graph, source));
    found->rows = weight->rows;
    found->cols = weight->cols;
    found->zeros = weight->rows * weight->cols - weight->nonzeros;
    found->stored = weight->bytes_before;
    LAC_TRY(lac_view_matrix(weight->view, &weight->tensor, &matrix, err));
    lac_pattern_find(&matrix, weight->view, weight->tensor.rank, weight->tensor.dims, &found->n,
                     &found->m);
    found->distinct = count_distinct(matrix.data, lac_tensor_count(&matrix));
    lac_tensor_release(&matrix);
    LAC_TRY(lac_fold_value(graph, source, &elements, err));
    if (!same_shape(&elements, &weight->tensor)) { /* stored another way round */
        lac_tensor_release(&elements);
        lac_tensor_share(&elements, &weight->tensor);
    }
    found->dtype = elements.dtype;
    lac_status status = LAC_OK;
    int formats = lac_table_count(&lac_formats);
    for (int i = 0; status == LAC_OK && i < formats && i < LAC_INSPECT_FORMATS; i++)
        status = in_format((const lac_format *)lac_table_at(&lac_formats, i), weight,
                           unpack_node(graph, source), &elements, beside, &found->in[i], err);
    lac_tensor_release(&elements);
    return status;
}

/* ---- the whole --------------------------------------------------------------------------------
 */

/* Marks what `value` is computed from. */
static void mark(const lac_graph *graph, int value, bool *counted)
{
    if (value < 0 || counted[value])
        return;
    counted[value] = true;
    int producer = graph->values[value].producer;
    for (int i = 0; producer >= 0 && i < graph->nodes[producer].n_in; i++)
        mark(graph, graph->nodes[producer].in[i], counted);
}

static lac_status count_parameters(const lac_compression *weights, int64_t *parameters,
                                   lac_error *err)
{
    const lac_graph *graph = weights->graph;
    bool *counted = lac_alloc((size_t)graph->n_values, sizeof *counted, err);
    if (!counted)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < weights->n_weights; i++) {
        mark(graph, weights->weights[i].value, counted);
        *parameters += lac_tensor_count(&weights->weights[i].tensor);
    }
    for (int i = 0; i < graph->n_nodes; i++) { /* nobody trained a scale */
        const lac_node *node = &graph->nodes[i];
        if (strcmp(node->op, "QuantizeLinear") == 0 || strcmp(node->op, "DequantizeLinear") == 0)
            for (int k = 1; k < node->n_in; k++)
                if (node->in[k] >= 0)
                    counted[node->in[k]] = true;
    }
    for (int i = 0; i < graph->n_values; i++) {
        const lac_tensor *constant = &graph->values[i].constant;
        if (constant->data && !counted[i] && lac_dtype_is_float(constant->dtype))
            *parameters += lac_tensor_count(constant);
    }
    lac_free(counted);
    return LAC_OK;
}

lac_status lac_inspect(lac_inspected *inspected, const lac_model *model, const char *path,
                       void (*progress)(void *context, const char *stage, double done),
                       void *progress_context, lac_error *err)
{
    lac_compression weights = {0};
    struct stat file;
    memset(inspected, 0, sizeof *inspected);
    inspected->file_bytes = model->file_bytes;
    if (stat(path, &file) == 0) {
        inspected->file_bytes = (int64_t)file.st_size;
        LAC_TRY(lac_onnx_external_bytes(&inspected->external_bytes, path, err));
    }
    lac_status status = lac_weights_find(&weights, model->graph, err);
    if (status == LAC_OK)
        status = count_parameters(&weights, &inspected->parameters, err);
    if (status == LAC_OK) {
        inspected->weight = lac_alloc((size_t)weights.n_weights, sizeof *inspected->weight, err);
        status = inspected->weight ? LAC_OK : LAC_ERROR_MEMORY;
    }
    for (int i = 0; status == LAC_OK && i < weights.n_weights; i++) {
        if (progress)
            progress(progress_context, "weights", (double)i / weights.n_weights);
        status = inspect_weight(weights.graph, &weights.weights[i], &inspected->weight[i], err);
        inspected->n++;
    }
    lac_compression_release(&weights);
    if (status != LAC_OK)
        lac_inspected_release(inspected);
    return status;
}

void lac_inspected_release(lac_inspected *inspected)
{
    lac_free(inspected->weight);
    memset(inspected, 0, sizeof *inspected);
}
