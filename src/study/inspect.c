/* See inspect.h. A weight is packed in every format for its bytes: the formula alone does not say
 * whether the format can hold it. Elements are those of the file (integers behind DequantizeLinear,
 * float16 behind Cast) where a format takes them, else float32. */
#include "study/inspect.h"

#include "core/memory.h"
#include "exec/fold.h"
#include "io/onnx.h"
#include "scheme/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- one weight -------------------------------------------------------------------------------
 */

/* Non-zeros of the fullest group of m consecutive elements of a row. */
static int fullest_group(const float *w, int64_t rows, int64_t cols, int m)
{
    int fullest = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t first = 0; first < cols; first += m) {
            int count = 0;
            for (int64_t k = first; k < cols && k < first + m; k++)
                count += w[r * cols + k] != 0;
            fullest = count > fullest ? count : fullest;
        }
    return fullest;
}

/* The least n / m; the shorter group where two are equal. */
static void find_pattern(const lac_tensor *matrix, lac_inspected_weight *found)
{
    for (int m = 2; m <= 16; m *= 2) {
        int n = fullest_group(matrix->data, matrix->dims[0], matrix->dims[1], m);
        n = n ? n : 1; /* no pattern keeps nothing */
        if (n < m && (found->m == 0 || n * found->m < found->n * m)) {
            found->n = n;
            found->m = m;
        }
    }
}

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

static const char *stored_format(const lac_graph *graph, int value)
{
    int producer = graph->values[value].producer;
    if (graph->values[value].constant.data || producer < 0)
        return "dense";
    const lac_node *node = &graph->nodes[producer];
    if (strcmp(node->domain, "lacuna") == 0 && strcmp(node->op, "Unpack") == 0)
        return lac_node_string(node, "format", "?");
    return node->op; /* computed from constants: Transpose, Mul, ... */
}

/* Bytes of the weight in `format`, -1 when it does not fit; fails for want of memory only. */
static lac_status format_bytes(const lac_format *format, const lac_weight *weight,
                               const lac_inspected_weight *found, const lac_tensor *elements,
                               int64_t beside, int64_t *bytes, lac_error *err)
{
    lac_params params;
    lac_packed packed;
    lac_error refusal;
    char text[16];
    bool as_stored = (format->dtypes & LAC_BIT(elements->dtype)) != 0;
    *bytes = -1;
    lac_params_init(&params, format->params);
    if (lac_params_has(&params, "n") && lac_params_has(&params, "m")) {
        if (found->m == 0)
            return LAC_OK;
        snprintf(text, sizeof text, "%d", found->n);
        if (lac_params_set(&params, "n", text, &refusal) != LAC_OK)
            return LAC_OK;
        snprintf(text, sizeof text, "%d", found->m);
        if (lac_params_set(&params, "m", text, &refusal) != LAC_OK)
            return LAC_OK;
    }
    lac_status status = lac_pack(&packed, format, &params, weight->view,
                                 as_stored ? elements : &weight->tensor, &refusal);
    if (status == LAC_ERROR_MEMORY)
        return lac_fail(err, status, "%s", refusal.message);
    if (status != LAC_OK)
        return LAC_OK;
    *bytes = lac_packed_bytes(&packed) + (as_stored ? beside : 0);
    lac_packed_release(&packed);
    return LAC_OK;
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
    find_pattern(&matrix, found);
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
        status = format_bytes((const lac_format *)lac_table_at(&lac_formats, i), weight, found,
                              &elements, beside, &found->bytes[i], err);
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
            progress(progress_context, "packing", (double)i / weights.n_weights);
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
