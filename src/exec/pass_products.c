/* MatMul and Gemm with a constant matrix, and Conv, become the fused operators; a
 * BatchNormalization behind a Conv goes into its weights. */
#include "exec/pass.h"

#include "core/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Constant now, or once unpacked. */
static bool is_weight(const lac_graph *graph, int value, int rank)
{
    return value >= 0 && graph->values[value].dtype == LAC_F32 &&
           graph->values[value].rank == rank && lac_is_lazy(graph, value);
}

/* Turns `node` into the fused operator `op` with room for all its inputs. */
static lac_status become(lac_graph *graph, lac_node *node, const char *op, lac_error *err)
{
    int *in = lac_arena_alloc(graph->arena, LAC_IN_COUNT, sizeof *in, err);
    node->domain = lac_arena_intern(graph->arena, LAC_EXEC_DOMAIN, strlen(LAC_EXEC_DOMAIN), err);
    node->op = lac_arena_intern(graph->arena, op, strlen(op), err);
    if (!in || !node->domain || !node->op)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < LAC_IN_COUNT; i++)
        in[i] = i < node->n_in && i <= LAC_IN_BIAS ? node->in[i] : -1;
    node->in = in;
    node->n_in = LAC_IN_COUNT;
    return LAC_OK;
}

static lac_status matmul(lac_graph *graph, lac_node *node, lac_error *err)
{
    if (!is_weight(graph, node->in[1], 2) || graph->values[node->in[0]].rank < 2 ||
        graph->values[node->in[0]].dtype != LAC_F32)
        return LAC_OK;
    return become(graph, node, "Gemm", err);
}

static lac_status gemm(lac_graph *graph, lac_node *node, lac_error *err)
{
    bool plain = lac_node_int(node, "transA", 0) == 0 && lac_node_float(node, "alpha", 1) == 1.0f &&
                 is_weight(graph, node->in[1], 2) && graph->values[node->in[0]].dtype == LAC_F32;
    if (!plain)
        return LAC_OK;
    if (node->n_in > 2 && node->in[2] >= 0) {
        const lac_value *bias = &graph->values[node->in[2]];
        const lac_value *w = &graph->values[node->in[1]];
        int64_t n = w->dims[lac_node_int(node, "transB", 0) != 0 ? 0 : 1].size;
        bool row = bias->constant.data && bias->dtype == LAC_F32 && bias->rank >= 1 &&
                   bias->dims[bias->rank - 1].size == n && lac_tensor_count(&bias->constant) == n;
        if (!row || lac_node_float(node, "beta", 1) != 1.0f)
            return LAC_OK;
    }
    return become(graph, node, "Gemm", err);
}

static lac_status conv(lac_graph *graph, lac_node *node, lac_error *err)
{
    int rank = graph->values[node->in[0]].rank;
    if ((rank != 3 && rank != 4) || !is_weight(graph, node->in[1], rank) ||
        graph->values[node->in[0]].dtype != LAC_F32 ||
        (node->n_in > 2 && node->in[2] >= 0 && !lac_constant_of(graph, node->in[2])))
        return LAC_OK;
    return become(graph, node, "Conv", err);
}

/* y = (x - mean) * gamma / sqrt(var + eps) + beta, per output channel of the Conv that makes x. */
static lac_status fold_norm(lac_graph *graph, lac_node *norm, lac_error *err)
{
    lac_node *node = lac_made_by_fused(graph, norm->in[0], "Conv");
    const lac_tensor *p[4], *w, *bias = NULL;
    if (!node || lac_only_reader(graph, norm->in[0]) != norm || norm->n_in < 5)
        return LAC_OK;
    w = lac_constant_of(graph, node->in[LAC_IN_W]);
    if (node->in[LAC_IN_BIAS] >= 0)
        bias = lac_constant_of(graph, node->in[LAC_IN_BIAS]);
    for (int i = 0; i < 4; i++) {
        p[i] = lac_constant_of(graph, norm->in[1 + i]);
        if (!p[i] || p[i]->dtype != LAC_F32 || !w || lac_tensor_count(p[i]) != w->dims[0])
            return LAC_OK;
    }
    for (int i = 1; i < norm->n_out; i++)
        if (norm->out[i] >= 0 && lac_graph_readers(graph, norm->out[i], NULL) > 0)
            return LAC_OK;
    lac_tensor new_w, new_bias;
    int64_t n = w->dims[0], per = lac_tensor_count(w) / n;
    double epsilon = (double)lac_node_float(norm, "epsilon", 1e-5f);
    LAC_TRY(lac_tensor_copy(&new_w, w, err));
    lac_status status = lac_tensor_make(&new_bias, LAC_F32, 1, &n, err);
    if (status != LAC_OK) {
        lac_tensor_release(&new_w);
        return status;
    }
    for (int64_t i = 0; i < n; i++) {
        double gamma = (double)((const float *)p[0]->data)[i];
        double beta = (double)((const float *)p[1]->data)[i];
        double mean = (double)((const float *)p[2]->data)[i];
        double var = (double)((const float *)p[3]->data)[i];
        double scale = gamma / sqrt(var + epsilon);
        double shift = bias ? (double)((const float *)bias->data)[i] : 0;
        for (int64_t j = 0; j < per; j++)
            ((float *)new_w.data)[i * per + j] =
                (float)((double)((float *)new_w.data)[i * per + j] * scale);
        ((float *)new_bias.data)[i] = (float)((shift - mean) * scale + beta);
    }
    int w_value, bias_value, p_node = (int)(node - graph->nodes), out = norm->out[0];
    status = lac_graph_constant(graph, NULL, &new_w, &w_value, err);
    if (status == LAC_OK)
        status = lac_graph_constant(graph, NULL, &new_bias, &bias_value, err);
    lac_tensor_release(&new_w);
    lac_tensor_release(&new_bias);
    LAC_TRY(status);
    node = &graph->nodes[p_node];
    node->in[LAC_IN_W] = w_value;
    node->in[LAC_IN_BIAS] = bias_value;
    node->out[0] = out;
    lac_delete_node(norm);
    graph->values[out].producer = p_node;
    return LAC_OK;
}

lac_status lac_pass_products(lac_graph *graph, lac_error *err)
{
    for (int n = 0; n < graph->n_nodes; n++) {
        lac_node *node = &graph->nodes[n];
        if (lac_is_op(node, "MatMul"))
            LAC_TRY(matmul(graph, node, err));
        else if (lac_is_op(node, "Gemm"))
            LAC_TRY(gemm(graph, node, err));
        else if (lac_is_op(node, "Conv"))
            LAC_TRY(conv(graph, node, err));
        else if (lac_is_op(node, "BatchNormalization"))
            LAC_TRY(fold_norm(graph, node, err));
    }
    return lac_graph_settle(graph, err);
}
