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
    }
    return lac_graph_settle(graph, err);
}
