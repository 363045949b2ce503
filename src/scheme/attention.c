/* Attention of integers, said by the graph: QuantizeLinear / DequantizeLinear pairs at the inputs
 * of its two products, where other tools put them too: int8 with zero point 0 for Q, K and V, uint8
 * steps of 1/255 for the probabilities. An attention is what calibration ran as one layer, which
 * has the name of its Softmax. */
#include "core/memory.h"
#include "exec/calibrate.h"
#include "exec/fold.h"
#include "scheme/weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct site {
    int scores, values; /* the two MatMul nodes */
    float scale[4];     /* of q, k, v, probabilities */
} site;

static int maker(const lac_graph *graph, int value, const char *op)
{
    int p = value >= 0 ? graph->values[value].producer : -1;
    return p >= 0 && graph->nodes[p].domain[0] == 0 && strcmp(graph->nodes[p].op, op) == 0 ? p : -1;
}

/* The one number that `value` is, from constants. */
static bool number(const lac_graph *graph, int value, float *x)
{
    lac_tensor tensor;
    lac_error unused;
    if (lac_fold_value(graph, value, &tensor, &unused) != LAC_OK)
        return false;
    bool one = tensor.dtype == LAC_F32 && lac_tensor_count(&tensor) == 1;
    if (one)
        *x = ((const float *)tensor.data)[0];
    lac_tensor_release(&tensor);
    return one;
}

/* Takes constant factors off, as the executor does when it makes one layer of it all. */
static int unscaled(const lac_graph *graph, int value, float *factor)
{
    float x;
    int mul = maker(graph, value, "Mul"), div = maker(graph, value, "Div");
    for (int i = 0; mul >= 0 && i < 2; i++)
        if (number(graph, graph->nodes[mul].in[i], &x)) {
            *factor *= x;
            return graph->nodes[mul].in[1 - i];
        }
    if (div >= 0 && number(graph, graph->nodes[div].in[1], &x) && x != 0) {
        *factor /= x;
        return graph->nodes[div].in[0];
    }
    return value;
}

/* The product that makes the scores behind `value`. */
static int find_scores(const lac_graph *graph, int value)
{
    float factor = 1;
    int add = maker(graph, value, "Add");
    for (int i = 0; add >= 0 && i < 2; i++) {
        int product = maker(graph, unscaled(graph, graph->nodes[add].in[i], &factor), "MatMul");
        if (product >= 0)
            return product;
    }
    return add >= 0 ? -1 : maker(graph, unscaled(graph, value, &factor), "MatMul");
}

static bool find(const lac_graph *graph, const lac_node *softmax, const lac_ranges *ranges, site *s)
{
    static const lac_role roles[] = {LAC_ROLE_QUERY, LAC_ROLE_KEY, LAC_ROLE_VALUE};
    float factor[3] = {1, 1, 1};
    if (strcmp(softmax->op, "Softmax") != 0 || softmax->domain[0] ||
        lac_graph_readers(graph, softmax->out[0], &s->values) != 1 || s->values < 0)
        return false;
    const lac_node *values = &graph->nodes[s->values];
    s->scores = find_scores(graph, softmax->in[0]);
    if (strcmp(values->op, "MatMul") != 0 || values->domain[0] ||
        values->in[0] != softmax->out[0] || s->scores < 0)
        return false;
    for (int i = 0; i < 2; i++) {
        int value = graph->nodes[s->scores].in[i];
        if (maker(graph, value, "DequantizeLinear") >= 0) /* on a grid already */
            return false;
        value = unscaled(graph, value, &factor[i]);
        int turn = maker(graph, value, "Transpose"); /* of the keys, with the factor before it */
        if (i == 1 && turn >= 0)
            unscaled(graph, graph->nodes[turn].in[0], &factor[i]);
    }
    for (int i = 0; i < 3; i++) {
        const lac_range *range = lac_ranges_find(ranges, softmax->name, roles[i]);
        if (!range)
            return false;
        s->scale[i] = lac_range_signed_scale(range) * fabsf(factor[i]);
        if (!isnormal(s->scale[i]))
            return false;
    }
    s->scale[3] = 1.0f / 255;
    return maker(graph, values->in[1], "DequantizeLinear") < 0;
}

/* A name that no value has yet. */
static void fresh(const lac_graph *graph, const char *base, const char *suffix, char *name,
                  size_t size)
{
    snprintf(name, size, "%.180s.%s", base, suffix);
    for (int i = 2; lac_graph_find(graph, name) >= 0; i++)
        snprintf(name, size, "%.180s.%d.%s", base, i, suffix);
}

/* Input `input` of node `n` through a pair. */
static lac_status put_pair(lac_graph *graph, int n, int input, lac_dtype dtype, float scale,
                           lac_error *err)
{
    int value = graph->nodes[n].in[input], in[3] = {value}, real;
    const char *base = graph->values[value].name, *bytes = dtype == LAC_U8 ? "u8" : "s8";
    char name[256], suffix[16];
    lac_tensor t;
    LAC_TRY(lac_tensor_make(&t, LAC_F32, 0, NULL, err));
    ((float *)t.data)[0] = scale;
    snprintf(suffix, sizeof suffix, "%s.scale", bytes);
    fresh(graph, base, suffix, name, sizeof name);
    lac_status status = lac_graph_constant(graph, name, &t, &in[1], err);
    lac_tensor_release(&t);
    LAC_TRY(status);
    LAC_TRY(lac_tensor_make(&t, dtype, 0, NULL, err));
    snprintf(suffix, sizeof suffix, "%s.zero", bytes);
    fresh(graph, base, suffix, name, sizeof name);
    status = lac_graph_constant(graph, name, &t, &in[2], err);
    lac_tensor_release(&t);
    LAC_TRY(status);
    fresh(graph, base, bytes, name, sizeof name);
    int integers;
    LAC_TRY(lac_graph_value(graph, name, &integers, err));
    LAC_TRY(lac_graph_node(graph, "", "QuantizeLinear", NULL, 3, in, 1, &integers, NULL, err));
    snprintf(suffix, sizeof suffix, "%s.real", bytes);
    fresh(graph, base, suffix, name, sizeof name);
    LAC_TRY(lac_graph_value(graph, name, &real, err));
    in[0] = integers;
    LAC_TRY(lac_graph_node(graph, "", "DequantizeLinear", NULL, 3, in, 1, &real, NULL, err));
    graph->nodes[n].in[input] = real;
    return LAC_OK;
}

lac_status lac_attention_write(lac_compression *compression, const lac_ranges *ranges,
                               lac_error *err)
{
    lac_graph *graph = compression->graph;
    int n_nodes = graph->n_nodes;
    for (int n = 0; n < n_nodes; n++) {
        site s;
        if (!find(graph, &graph->nodes[n], ranges, &s))
            continue;
        LAC_TRY(put_pair(graph, s.scores, 0, LAC_I8, s.scale[0], err));
        LAC_TRY(put_pair(graph, s.scores, 1, LAC_I8, s.scale[1], err));
        LAC_TRY(put_pair(graph, s.values, 1, LAC_I8, s.scale[2], err));
        LAC_TRY(put_pair(graph, s.values, 0, LAC_U8, s.scale[3], err));
    }
    return LAC_OK;
}
