/* Products of dequantised operands become products of integers: where a Gemm or Conv reads
 * DequantizeLinear(x8) and DequantizeLinear(w8), it reads x8 and w8 themselves, and the scales
 * beside them. The sums are then exact integers instead of rounded floats. Several products may
 * read one x8, which is still quantised once.
 *
 * A pair stays as it is, floats, when any of this is missing: x per tensor; w int8, constant or
 * behind lacuna.Unpack, with a zero point of 0, per tensor or per output; scales that are positive
 * normal floats, also multiplied; sums that fit 32 bits. */
#include "exec/pass.h"

#include <lacuna/kernel.h>

#include <float.h>
#include <math.h>
#include <string.h>

enum { SUM_LIMIT = 1 << 16 }; /* products per sum: 2^16 * 255 * 128 < 2^31 */

typedef struct pair {
    int x, x_scale, x_zero; /* x_zero -1: 0 */
    int w, w_scale;
} pair;

static lac_node *dequantize(const lac_graph *graph, int value)
{
    lac_node *node = lac_made_by(graph, value, "DequantizeLinear");
    return node && node->n_in >= 2 && node->in[1] >= 0 ? node : NULL;
}

/* The zero point of a DequantizeLinear, or -1; false if it is not a constant. */
static bool zero_of(const lac_graph *graph, const lac_node *node, int *zero)
{
    *zero = node->n_in > 2 ? node->in[2] : -1;
    return *zero < 0 || lac_constant_of(graph, *zero);
}

static const lac_tensor *scales_of(const lac_graph *graph, const lac_node *node)
{
    const lac_tensor *scale = lac_constant_of(graph, node->in[1]);
    if (!scale || scale->dtype != LAC_F32 || scale->rank > 1 || lac_tensor_count(scale) < 1)
        return NULL;
    return scale;
}

/* Also before types are inferred. */
static lac_dtype dtype_of(const lac_graph *graph, int value, int zero)
{
    const lac_node *maker = lac_made_by(graph, value, "QuantizeLinear");
    if (graph->values[value].dtype != LAC_NONE)
        return graph->values[value].dtype;
    if (zero >= 0)
        return graph->values[zero].constant.dtype;
    return maker && (maker->n_in < 3 || maker->in[2] < 0) ? LAC_U8 : LAC_NONE;
}

static bool match_x(const lac_graph *graph, int value, pair *p)
{
    const lac_node *node = dequantize(graph, value);
    const lac_tensor *scale = node ? scales_of(graph, node) : NULL;
    if (!scale || lac_tensor_count(scale) != 1 || !zero_of(graph, node, &p->x_zero))
        return false;
    p->x = node->in[0];
    p->x_scale = node->in[1];
    lac_dtype dtype = dtype_of(graph, p->x, p->x_zero);
    return (dtype == LAC_U8 || dtype == LAC_I8) && !lac_is_lazy(graph, p->x) &&
           (p->x_zero < 0 || lac_tensor_count(&graph->values[p->x_zero].constant) == 1);
}

static bool is_unpack(const lac_graph *graph, int value)
{
    int producer = graph->values[value].producer;
    const lac_node *node = producer >= 0 ? &graph->nodes[producer] : NULL;
    return node && node->op && strcmp(node->op, "Unpack") == 0 &&
           strcmp(node->domain, "lacuna") == 0 && lac_is_lazy(graph, value);
}

static bool match_w(const lac_graph *graph, int value, int axis, pair *p)
{
    const lac_node *node = dequantize(graph, value);
    const lac_tensor *scale = node ? scales_of(graph, node) : NULL;
    int zero;
    if (!scale || !zero_of(graph, node, &zero) || zero == node->in[0])
        return false;
    p->w = node->in[0];
    p->w_scale = node->in[1];
    const lac_value *w = &graph->values[p->w];
    if (w->dtype != LAC_I8 || w->rank < 2 ||
        (!lac_constant_of(graph, p->w) && !is_unpack(graph, p->w)))
        return false;
    for (int64_t i = 0; zero >= 0 && i < lac_tensor_count(&graph->values[zero].constant); i++)
        if (lac_tensor_get(&graph->values[zero].constant, i) != 0)
            return false;
    int64_t count = lac_tensor_count(scale), along = lac_node_int(node, "axis", 1);
    if (along < 0)
        along += w->rank;
    return count == 1 || (along == axis && count == w->dims[axis].size);
}

/* Scales that no kernel loses digits with, in whatever order it multiplies or divides them. */
static bool scales_fit(const lac_graph *graph, const pair *p)
{
    const lac_tensor *w = &graph->values[p->w_scale].constant;
    float x_scale = ((const float *)graph->values[p->x_scale].constant.data)[0];
    if (!isnormal(x_scale) || x_scale < 0)
        return false;
    for (int64_t i = 0; i < lac_tensor_count(w); i++) {
        float scale = ((const float *)w->data)[i];
        if (!isnormal(scale) || scale < 0 || !isnormal(scale * x_scale))
            return false;
    }
    return true;
}

static bool sums_fit(const lac_graph *graph, const pair *p, int axis)
{
    const lac_value *w = &graph->values[p->w];
    int64_t count = 1;
    for (int d = 0; d < w->rank; d++) {
        if (w->dims[d].size < 1 || w->dims[d].size > SUM_LIMIT)
            return false;
        count *= d == axis ? 1 : w->dims[d].size;
        if (count > SUM_LIMIT)
            return false;
    }
    return true;
}

/* Where a CPU has no instruction for products of bytes, convolutions in groups have no kernel that
 * is faster than floats; depthwise ones have. */
static bool pays(const lac_graph *graph, const lac_node *node, const pair *p)
{
    uint32_t isa;
    if (lac_isa(&isa, NULL) != LAC_OK || isa == 0 || (isa & LAC_ISA_VNNI))
        return true;
    return lac_node_int(node, "group", 1) == 1 || graph->values[p->w].dims[1].size == 1;
}

/* Matches MatMul, Gemm and Conv of the standard and of the fused kind. */
static bool match(const lac_graph *graph, const lac_node *node, pair *p)
{
    bool conv = lac_is_op(node, "Conv") || lac_is_fused(node, "Conv");
    bool gemm = lac_is_op(node, "Gemm") || lac_is_fused(node, "Gemm");
    if ((!conv && !gemm && !lac_is_op(node, "MatMul")) || node->n_in < 2)
        return false;
    int axis = conv || (gemm && lac_node_int(node, "transB", 0) != 0) ? 0 : 1;
    return match_x(graph, node->in[0], p) && match_w(graph, node->in[1], axis, p) &&
           scales_fit(graph, p) && sums_fit(graph, p, axis) && pays(graph, node, p);
}

bool lac_is_integer_weight(const lac_graph *graph, const lac_node *node)
{
    if (!lac_is_op(node, "DequantizeLinear"))
        return false;
    const lac_tensor *stored = lac_constant_of(graph, node->in[0]);
    bool matrix =
        stored && stored->dtype == LAC_I8 && stored->rank == 2 && lac_tensor_count(stored) > 4096;
    for (int n = 0; n < graph->n_nodes; n++) {
        const lac_node *reader = &graph->nodes[n];
        pair p;
        if (!reader->op || reader->n_in < 2 || reader->in[1] != node->out[0])
            continue;
        bool gemm = lac_is_op(reader, "MatMul") || lac_is_op(reader, "Gemm") ||
                    lac_is_fused(reader, "Gemm");
        if (!(matrix && gemm) && !match(graph, reader, &p))
            continue;
        const lac_node *behind = lac_only_reader(graph, reader->out[0]);
        if (!lac_is_op(behind, "BatchNormalization")) /* goes into float weights */
            return true;
    }
    return false;
}

lac_status lac_pass_qdq(lac_graph *graph, lac_error *err)
{
    for (int n = 0; n < graph->n_nodes; n++) {
        lac_node *node = &graph->nodes[n];
        pair p;
        if ((!lac_is_fused(node, "Gemm") && !lac_is_fused(node, "Conv")) ||
            node->in[LAC_IN_X_SCALE] >= 0 || !match(graph, node, &p))
            continue;
        node->in[LAC_IN_X] = p.x;
        node->in[LAC_IN_X_SCALE] = p.x_scale;
        node->in[LAC_IN_X_ZERO] = p.x_zero;
        node->in[LAC_IN_W] = p.w;
        node->in[LAC_IN_W_SCALE] = p.w_scale;
    }
    return lac_graph_settle(graph, err); /* drops what nobody reads any more */
}
