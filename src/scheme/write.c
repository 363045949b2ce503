/* From edited weights back to a graph: constants become packed weights, and integers are spelled
 * as standard QuantizeLinear / DequantizeLinear pairs that any runtime understands. */
#include "scheme/weights.h"

#include "core/memory.h"
#include "format/packed.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

int64_t lac_weight_at(const lac_weight *weight, int64_t row, int64_t col)
{
    if (weight->view == LAC_VIEW_COLUMNS)
        return col * weight->rows + row;
    if (weight->view == LAC_VIEW_CONV) {
        int64_t channels = weight->tensor.dims[1], spatial = weight->cols / channels;
        return row * weight->cols + col % channels * spatial + col / channels;
    }
    return row * weight->cols + col;
}

lac_status lac_weight_quantize(lac_weight *weight, int limit, lac_error *err)
{
    float *w = weight->tensor.data;
    lac_free(weight->scale);
    weight->scale = lac_alloc((size_t)weight->rows, sizeof(float), err);
    if (!weight->scale)
        return LAC_ERROR_MEMORY;
    for (int64_t r = 0; r < weight->rows; r++) {
        float largest = 0;
        for (int64_t k = 0; k < weight->cols; k++)
            largest = fmaxf(largest, fabsf(w[lac_weight_at(weight, r, k)]));
        float scale = largest > 0 ? largest / (float)limit : 1;
        if (!(scale > 0)) /* a denormal row */
            scale = FLT_MIN;
        weight->scale[r] = scale;
        for (int64_t k = 0; k < weight->cols; k++) {
            float *element = &w[lac_weight_at(weight, r, k)];
            float q = fminf(fmaxf(roundf(*element / scale), (float)-limit), (float)limit);
            *element = q * scale;
        }
    }
    weight->limit = limit;
    weight->changed = true;
    return LAC_OK;
}

lac_status lac_weight_integers(const lac_weight *weight, lac_tensor *integers, lac_error *err)
{
    LAC_TRY(lac_tensor_make(integers, LAC_I8, weight->tensor.rank, weight->tensor.dims, err));
    const float *w = weight->tensor.data;
    for (int64_t r = 0; r < weight->rows; r++)
        for (int64_t k = 0; k < weight->cols; k++) {
            int64_t at = lac_weight_at(weight, r, k);
            ((int8_t *)integers->data)[at] = (int8_t)lrintf(w[at] / weight->scale[r]);
        }
    return LAC_OK;
}

/* The format's bytes for `tensor`; where it does not fit, with parameters under which it does (of
 * codes: more bits); -1, and the reason in weight->remark, when there are none. */
static lac_status stored_bytes(lac_weight *weight, const lac_tensor *tensor, int64_t *bytes,
                               lac_error *err)
{
    const lac_format *format = weight->format;
    lac_error refusal;
    lac_status status =
        lac_format_bytes(format, &weight->params, weight->view, tensor, bytes, &refusal);
    if (status == LAC_ERROR_INPUT) {
        char asked[96];
        lac_params_print(&weight->params, asked, sizeof asked);
        status = lac_format_fit(format, &weight->params, weight->view, tensor, &refusal);
        if (status == LAC_OK)
            status =
                lac_format_bytes(format, &weight->params, weight->view, tensor, bytes, &refusal);
        if (status == LAC_OK)
            snprintf(weight->remark, sizeof weight->remark, "the %s elements do not fit %s:%s",
                     lac_dtype_name(tensor->dtype), format->row.name, asked);
    }
    if (status == LAC_ERROR_INPUT) {
        snprintf(weight->remark, sizeof weight->remark, "dense: %s", refusal.message);
        *bytes = -1;
        return LAC_OK;
    }
    return status == LAC_OK ? LAC_OK : lac_fail(err, status, "%s", refusal.message);
}

/* A value with the stored form of `tensor`: a constant, or fields behind Unpack where that is
 * possible and smaller. */
static lac_status store(lac_weight *weight, lac_graph *graph, lac_tensor *tensor, const char *name,
                        int *value, lac_error *err)
{
    int64_t dense = (int64_t)lac_tensor_bytes(tensor), bytes = -1;
    if (weight->format) {
        LAC_TRY(stored_bytes(weight, tensor, &bytes, err));
        if (bytes >= dense)
            snprintf(weight->remark, sizeof weight->remark, "dense is smaller than %s",
                     weight->format->row.name);
    }
    if (bytes < 0 || bytes >= dense) {
        weight->format = NULL;
        weight->bytes_after = dense;
        return lac_graph_constant(graph, name, tensor, value, err);
    }
    lac_packed packed;
    LAC_TRY(lac_pack(&packed, weight->format, &weight->params, weight->view, tensor, err));
    weight->bytes_after = lac_packed_bytes(&packed);
    packed.prefer = weight->prefer;
    lac_status status = lac_packed_to_graph(&packed, graph, name, value, err);
    lac_packed_release(&packed);
    return status;
}

static lac_status constant_floats(lac_graph *graph, const char *name, int64_t n, const float *data,
                                  bool scalar, int *value, lac_error *err)
{
    lac_tensor tensor;
    LAC_TRY(lac_tensor_make(&tensor, LAC_F32, scalar ? 0 : 1, &n, err));
    memcpy(tensor.data, data, (size_t)n * sizeof *data);
    lac_status status = lac_graph_constant(graph, name, &tensor, value, err);
    lac_tensor_release(&tensor);
    return status;
}

static lac_status zero_point(lac_graph *graph, const char *name, lac_dtype dtype, int64_t n,
                             bool scalar, int zero, int *value, lac_error *err)
{
    lac_tensor tensor;
    LAC_TRY(lac_tensor_make(&tensor, dtype, scalar ? 0 : 1, &n, err));
    for (int64_t i = 0; i < lac_tensor_count(&tensor); i++)
        lac_tensor_set(&tensor, i, zero);
    lac_status status = lac_graph_constant(graph, name, &tensor, value, err);
    lac_tensor_release(&tensor);
    return status;
}

/* Axis of the tensor that the matrix rows (output channels) are. */
static int output_axis(const lac_weight *weight)
{
    return weight->view == LAC_VIEW_COLUMNS ? 1 : 0;
}

static lac_status write_weight(lac_compression *compression, lac_weight *weight, int *value,
                               lac_error *err)
{
    lac_graph *graph = compression->graph;
    const char *old = graph->values[weight->value].name;
    char name[256];
    snprintf(name, sizeof name, "%.200s.w", old);
    if (!weight->scale) {
        lac_tensor tensor;
        lac_tensor_share(&tensor, &weight->tensor);
        lac_status status = store(weight, graph, &tensor, name, value, err);
        lac_tensor_release(&tensor);
        return status;
    }
    if (weight->view == LAC_VIEW_ROWS && weight->tensor.rank != 2)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s: a weight of rank %d cannot be int8",
                        weight->name, weight->tensor.rank);
    lac_tensor integers;
    int in[3];
    lac_node *node;
    LAC_TRY(lac_weight_integers(weight, &integers, err));
    if (weight->format_integers) {
        weight->format = weight->format_integers;
        lac_params_init(&weight->params, weight->format->params);
    }
    lac_status status = store(weight, graph, &integers, name, &in[0], err);
    lac_tensor_release(&integers);
    LAC_TRY(status);
    weight->bytes_after += weight->rows * (int64_t)(sizeof(float) + 1); /* scale, zero point */
    snprintf(name, sizeof name, "%.200s.scale", old);
    LAC_TRY(constant_floats(graph, name, weight->rows, weight->scale, false, &in[1], err));
    snprintf(name, sizeof name, "%.200s.zero", old);
    LAC_TRY(zero_point(graph, name, LAC_I8, weight->rows, false, 0, &in[2], err));
    snprintf(name, sizeof name, "%.200s.real", old);
    LAC_TRY(lac_graph_value(graph, name, value, err));
    LAC_TRY(lac_graph_node(graph, "", "DequantizeLinear", NULL, 3, in, 1, value, &node, err));
    return lac_node_set_int(graph, node, "axis", output_axis(weight), err);
}

/* `value` through a grid of 8-bit steps; an existing pair with the same grid is reused. */
static lac_status quantize_input(lac_compression *compression, const lac_weight *weight, int value,
                                 int *result, lac_error *err)
{
    lac_graph *graph = compression->graph;
    char base[224], name[256];
    snprintf(base, sizeof base, "%.180s.%s8", graph->values[value].name,
             weight->input_unsigned ? "u" : "s");
    snprintf(name, sizeof name, "%s.real", base);
    int there = lac_graph_find(graph, name);
    if (there >= 0) { /* readers of one value share its range, so the scale is the same */
        *result = there;
        return LAC_OK;
    }
    int quantize[3] = {value}, dequantize[3], integers;
    lac_dtype dtype = weight->input_unsigned ? LAC_U8 : LAC_I8;
    snprintf(name, sizeof name, "%s.scale", base);
    LAC_TRY(constant_floats(graph, name, 1, &weight->input_scale, true, &quantize[1], err));
    snprintf(name, sizeof name, "%s.zero", base);
    LAC_TRY(zero_point(graph, name, dtype, 1, true, weight->input_zero, &quantize[2], err));
    snprintf(name, sizeof name, "%s", base);
    LAC_TRY(lac_graph_value(graph, name, &integers, err));
    LAC_TRY(
        lac_graph_node(graph, "", "QuantizeLinear", NULL, 3, quantize, 1, &integers, NULL, err));
    dequantize[0] = integers;
    dequantize[1] = quantize[1];
    dequantize[2] = quantize[2];
    snprintf(name, sizeof name, "%s.real", base);
    LAC_TRY(lac_graph_value(graph, name, result, err));
    return lac_graph_node(graph, "", "DequantizeLinear", NULL, 3, dequantize, 1, result, NULL, err);
}

/* Every reader of the weight's value, among the first `n_nodes` nodes, reads `value` instead. */
static void redirect(lac_graph *graph, int n_nodes, const lac_weight *weight, int value)
{
    for (int n = 0; n < n_nodes; n++)
        for (int i = 1; i < graph->nodes[n].n_in; i++)
            if (graph->nodes[n].in[i] == weight->value)
                graph->nodes[n].in[i] = value;
}

lac_status lac_weights_draft(const lac_compression *compression, lac_graph **draft, lac_error *err)
{
    lac_graph *graph;
    LAC_TRY(lac_graph_copy(&graph, compression->graph, err));
    int n_nodes = graph->n_nodes;
    lac_status status = LAC_OK;
    for (int w = 0; w < compression->n_weights && status == LAC_OK; w++) {
        const lac_weight *weight = &compression->weights[w];
        lac_tensor tensor;
        int value;
        if (!weight->changed)
            continue;
        lac_tensor_share(&tensor, &weight->tensor);
        status = lac_graph_constant(graph, NULL, &tensor, &value, err);
        lac_tensor_release(&tensor);
        if (status == LAC_OK)
            redirect(graph, n_nodes, weight, value);
    }
    if (status == LAC_OK)
        status = lac_graph_settle(graph, err);
    if (status != LAC_OK) {
        lac_graph_free(graph);
        return status;
    }
    *draft = graph;
    return LAC_OK;
}

lac_status lac_weights_write(lac_compression *compression, lac_error *err)
{
    lac_graph *graph = compression->graph;
    int n_nodes = graph->n_nodes; /* the nodes that read; new ones come behind */
    for (int w = 0; w < compression->n_weights; w++) {
        lac_weight *weight = &compression->weights[w];
        int value = weight->value;
        weight->nonzeros = lac_weight_nonzeros(weight);
        if (weight->changed)
            LAC_TRY(write_weight(compression, weight, &value, err));
        int readers = 0;
        for (int n = 0; n < n_nodes; n++)
            for (int i = 1; i < graph->nodes[n].n_in; i++)
                readers += graph->nodes[n].in[i] == weight->value;
        for (int n = 0; n < n_nodes; n++)
            for (int i = 0; i < graph->nodes[n].n_in; i++) {
                if (graph->nodes[n].in[i] != weight->value || i == 0)
                    continue;
                graph->nodes[n].in[i] = value;
                if (weight->shift && readers == 1) /* others' inputs have other means */
                    LAC_TRY(lac_shift_write(compression, weight, n, err));
                int real;
                if (weight->input_scale > 0) {
                    LAC_TRY(quantize_input(compression, weight, graph->nodes[n].in[0], &real, err));
                    graph->nodes[n].in[0] = real;
                }
            }
    }
    return lac_graph_settle(graph, err);
}
