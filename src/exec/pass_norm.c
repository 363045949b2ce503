/* BatchNormalization behind a Conv goes into the weights and the bias of the Conv:
 * y = (x - mean) * gamma / sqrt(var + epsilon) + beta, per output channel.
 * The executor does so once per session; compress does so first of all, or rounding the weights of
 * the Conv would be undone by the factors behind it. */
#include "exec/fold.h"
#include "exec/pass.h"

#include "core/memory.h"

#include <math.h>

typedef struct norm {
    lac_node *conv, *node;
    const lac_tensor *gamma, *beta, *mean, *variance;
    const lac_tensor *bias; /* of the Conv; NULL: none */
} norm;

static const lac_tensor *row_of(const lac_graph *graph, int value, int64_t n)
{
    const lac_tensor *t = lac_constant_of(graph, value);
    return t && t->dtype == LAC_F32 && lac_tensor_count(t) == n ? t : NULL;
}

static bool match(const lac_graph *graph, lac_node *node, norm *m)
{
    if (!lac_is_op(node, "BatchNormalization") || node->n_in < 5)
        return false;
    m->node = node;
    m->conv = lac_made_by(graph, node->in[0], "Conv");
    if (!m->conv || m->conv->n_in < 2 || lac_only_reader(graph, node->in[0]) != node)
        return false;
    const lac_value *w = &graph->values[m->conv->in[1]];
    int64_t n = w->rank > 0 ? w->dims[0].size : -1;
    if (n < 1 || w->dtype != LAC_F32 || !lac_is_lazy(graph, m->conv->in[1]))
        return false;
    bool has_bias = m->conv->n_in > 2 && m->conv->in[2] >= 0;
    m->bias = has_bias ? row_of(graph, m->conv->in[2], n) : NULL;
    m->gamma = row_of(graph, node->in[1], n);
    m->beta = row_of(graph, node->in[2], n);
    m->mean = row_of(graph, node->in[3], n);
    m->variance = row_of(graph, node->in[4], n);
    for (int i = 1; i < node->n_out; i++)
        if (node->out[i] >= 0 && lac_graph_readers(graph, node->out[i], NULL) > 0)
            return false;
    return m->gamma && m->beta && m->mean && m->variance && (m->bias || !has_bias);
}

static void apply(const norm *m, lac_tensor *w, lac_tensor *bias)
{
    int64_t n = w->dims[0], per = lac_tensor_count(w) / n;
    double epsilon = (double)lac_node_float(m->node, "epsilon", 1e-5f);
    for (int64_t i = 0; i < n; i++) {
        float *row = (float *)w->data + i * per;
        double scale = (double)((const float *)m->gamma->data)[i] /
                       sqrt((double)((const float *)m->variance->data)[i] + epsilon);
        double shift = m->bias ? (double)((const float *)m->bias->data)[i] : 0;
        for (int64_t j = 0; j < per; j++)
            row[j] = (float)((double)row[j] * scale);
        shift = (shift - (double)((const float *)m->mean->data)[i]) * scale;
        ((float *)bias->data)[i] = (float)(shift + (double)((const float *)m->beta->data)[i]);
    }
}

static lac_status fold(lac_graph *graph, const norm *m, lac_error *err)
{
    lac_tensor stored, w, bias;
    int conv = (int)(m->conv - graph->nodes), values[2];
    LAC_TRY(lac_fold_value(graph, m->conv->in[1], &stored, err));
    lac_status status = lac_tensor_copy(&w, &stored, err);
    lac_tensor_release(&stored);
    LAC_TRY(status);
    status = lac_tensor_make(&bias, LAC_F32, 1, w.dims, err);
    if (status != LAC_OK) {
        lac_tensor_release(&w);
        return status;
    }
    apply(m, &w, &bias);
    status = lac_graph_constant(graph, NULL, &w, &values[0], err);
    if (status == LAC_OK)
        status = lac_graph_constant(graph, NULL, &bias, &values[1], err);
    lac_tensor_release(&w);
    lac_tensor_release(&bias);
    LAC_TRY(status);
    int *in = lac_arena_alloc(graph->arena, 3, sizeof *in, err);
    if (!in)
        return LAC_ERROR_MEMORY;
    lac_node *node = &graph->nodes[conv];
    in[0] = node->in[0];
    in[1] = values[0];
    in[2] = values[1];
    node->in = in;
    node->n_in = 3;
    node->out[0] = m->node->out[0];
    graph->values[node->out[0]].producer = conv;
    lac_delete_node(m->node);
    return LAC_OK;
}

lac_status lac_pass_norm(lac_graph *graph, lac_error *err)
{
    for (int n = 0; n < graph->n_nodes; n++) {
        norm m = {0};
        if (match(graph, &graph->nodes[n], &m))
            LAC_TRY(fold(graph, &m, err));
    }
    return lac_graph_settle(graph, err);
}
