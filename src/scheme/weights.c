/* The weights of a network, found where MatMul, Gemm, Conv and LSTM read a value that depends on
 * constants only (a float16 initializer behind a Cast, integers behind DequantizeLinear, packed
 * bytes behind Unpack all count), as float32 tensors that schemes may edit. */
#include "scheme/weights.h"

#include "core/memory.h"
#include "exec/fold.h"
#include "format/packed.h"

#include <math.h>
#include <string.h>

/* Input `index` of the node is a weight seen through *view. */
static bool is_weight_input(const lac_graph *graph, const lac_node *node, int index, lac_view *view)
{
    if (node->domain[0] || node->in[index] < 0)
        return false;
    if (strcmp(node->op, "MatMul") == 0) {
        *view = LAC_VIEW_COLUMNS;
        return index == 1 && graph->values[node->in[1]].rank == 2;
    }
    if (strcmp(node->op, "Gemm") == 0) {
        *view = lac_node_int(node, "transB", 0) ? LAC_VIEW_ROWS : LAC_VIEW_COLUMNS;
        return index == 1;
    }
    if (strcmp(node->op, "Conv") == 0) {
        *view = LAC_VIEW_CONV;
        return index == 1;
    }
    *view = LAC_VIEW_ROWS;
    return strcmp(node->op, "LSTM") == 0 && (index == 1 || index == 2);
}

static bool known(const lac_compression *compression, int value)
{
    for (int i = 0; i < compression->n_weights; i++)
        if (compression->weights[i].value == value)
            return true;
    return false;
}

static lac_status add(lac_compression *compression, const lac_node *node, int value, lac_view view,
                      lac_tensor *tensor, lac_error *err)
{
    int n = compression->n_weights;
    if ((n & (n - 1)) == 0) { /* grows at powers of two */
        lac_weight *weights =
            lac_grow(compression->weights, (size_t)n, n ? 2 * (size_t)n : 1, sizeof *weights, err);
        if (!weights)
            return LAC_ERROR_MEMORY;
        compression->weights = weights;
    }
    lac_weight *weight = &compression->weights[n];
    LAC_TRY(lac_view_size(view, tensor->rank, tensor->dims, &weight->rows, &weight->cols, err));
    weight->name = node->name;
    weight->value = value;
    weight->view = view;
    weight->bytes_before = lac_stored_bytes(compression->graph, value);
    weight->bytes_after = weight->bytes_before;
    weight->tensor = *tensor;
    memset(tensor, 0, sizeof *tensor);
    weight->nonzeros = lac_weight_nonzeros(weight);
    compression->n_weights++;
    return LAC_OK;
}

int64_t lac_weight_nonzeros(const lac_weight *weight)
{
    int64_t count = 0, total = lac_tensor_count(&weight->tensor);
    const float *w = weight->tensor.data;
    for (int64_t i = 0; i < total; i++)
        count += w[i] != 0;
    return count;
}

int64_t lac_stored_bytes(const lac_graph *graph, int value)
{
    const lac_value *v = &graph->values[value];
    if (v->constant.data)
        return (int64_t)lac_tensor_bytes(&v->constant);
    int64_t bytes = 0;
    if (v->producer >= 0)
        for (int i = 0; i < graph->nodes[v->producer].n_in; i++)
            if (graph->nodes[v->producer].in[i] >= 0)
                bytes += lac_stored_bytes(graph, graph->nodes[v->producer].in[i]);
    return bytes;
}

/* The value is behind constants only, or within `depth` nodes of them. */
static bool is_constant(const lac_graph *graph, int value, int depth)
{
    const lac_value *v = &graph->values[value];
    if (v->constant.data)
        return true;
    if (v->producer < 0 || depth == 0)
        return false;
    const lac_node *node = &graph->nodes[v->producer];
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] >= 0 && !is_constant(graph, node->in[i], depth - 1))
            return false;
    return true;
}

lac_status lac_weights_find(lac_compression *compression, const lac_graph *graph, lac_error *err)
{
    LAC_TRY(lac_graph_copy(&compression->graph, graph, err));
    lac_graph *copy = compression->graph;
    for (int n = 0; n < copy->n_nodes; n++)
        for (int i = 0; i < copy->nodes[n].n_in; i++) {
            const lac_node *node = &copy->nodes[n];
            lac_view view;
            lac_tensor tensor = {0}, converted = {0};
            if (node->in[i] < 0 || !is_constant(copy, node->in[i], 4) ||
                known(compression, node->in[i]))
                continue;
            if (!(i == 1 || i == 2))
                continue;
            LAC_TRY(lac_fold_value(copy, node->in[i], &tensor, err));
            lac_status status = LAC_OK;
            copy->values[node->in[i]].rank = tensor.rank; /* known now, if it was not */
            if (is_weight_input(copy, node, i, &view) && lac_dtype_is_float(tensor.dtype) &&
                lac_tensor_count(&tensor) > 0) {
                status = lac_tensor_convert(&converted, LAC_F32, &tensor, err);
                if (status == LAC_OK)
                    status = add(compression, node, node->in[i], view, &converted, err);
                lac_tensor_release(&converted);
            }
            lac_tensor_release(&tensor);
            LAC_TRY(status);
        }
    return LAC_OK;
}

lac_status lac_weight_restore(lac_weight *weight, lac_error *err)
{
    lac_tensor copy;
    LAC_TRY(lac_tensor_copy(&copy, &weight->before, err));
    float *w = copy.data; /* what arrives stays smoothed */
    for (int64_t r = 0; weight->smoothing && r < weight->rows; r++)
        for (int64_t k = 0; k < weight->cols; k++)
            w[lac_weight_at(weight, r, k)] *= weight->smoothing[k];
    lac_tensor_release(&weight->tensor);
    weight->tensor = copy;
    lac_free(weight->scale);
    lac_free(weight->shift);
    weight->scale = weight->shift = NULL;
    weight->limit = 0;
    weight->input_scale = 0;
    weight->input_zero = 0;
    weight->format = weight->format_integers = NULL;
    weight->changed = weight->smoothing != NULL;
    weight->prefer = false;
    return LAC_OK;
}

void lac_compression_release(lac_compression *compression)
{
    for (int i = 0; i < compression->n_weights; i++) {
        lac_tensor_release(&compression->weights[i].tensor);
        lac_tensor_release(&compression->weights[i].before);
        lac_free(compression->weights[i].scale);
        lac_free(compression->weights[i].shift);
        lac_free(compression->weights[i].smoothing);
    }
    lac_free(compression->weights);
    lac_graph_free(compression->graph);
    memset(compression, 0, sizeof *compression);
}
