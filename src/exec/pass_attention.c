/* softmax(q k^T * scale + mask) v becomes one operator whose operands are stored tokens first,
 * [batch][tokens][heads * dim]: that is what the products before write and the product behind
 * reads, so the Reshape, Transpose, Split and Squeeze in between vanish. Where one product makes
 * q, k and v together, its weights are cut in three.
 *
 * Where q, k and v each go through a QuantizeLinear / DequantizeLinear pair of int8 with zero point
 * 0, and the probabilities through one of uint8, the operator takes the integers and their scales;
 * q, k and v are quantised as they come, tokens first. A constant factor in front of such a pair
 * goes into its scale, which may take an element on the edge between two steps to the other side.
 * With some of the four pairs only, the operators run one by one. */
#include "exec/pass.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

static bool has_perm(const lac_node *node, int n, const int64_t *perm)
{
    int64_t count;
    const int64_t *have = lac_is_op(node, "Transpose") ? lac_node_ints(node, "perm", &count) : NULL;
    return have && count == n && memcmp(have, perm, (size_t)n * sizeof *perm) == 0;
}
#define PERM(node, ...)                                                                            \
    has_perm(node, (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)),                      \
             (int64_t[]){__VA_ARGS__})

static lac_status add_node(lac_graph *graph, const char *domain, const char *op, int n_in,
                           const int *in, int rank_like, int *out, lac_node **node, lac_error *err)
{
    LAC_TRY(lac_graph_value(graph, NULL, out, err));
    if (rank_like >= 0) { /* shape and type as that value */
        const char *name = graph->values[*out].name;
        lac_value copy = graph->values[rank_like];
        copy.name = name;
        memset(&copy.constant, 0, sizeof copy.constant);
        graph->values[*out] = copy;
    }
    return lac_graph_node(graph, domain, op, NULL, n_in, in, 1, out, node, err);
}

static lac_status ints_constant(lac_graph *graph, int n, const int64_t *ints, int *value,
                                lac_error *err)
{
    lac_tensor t;
    int64_t count = n;
    LAC_TRY(lac_tensor_make(&t, LAC_I64, 1, &count, err));
    memcpy(t.data, ints, (size_t)n * sizeof *ints);
    lac_status status = lac_graph_constant(graph, NULL, &t, value, err);
    lac_tensor_release(&t);
    return status;
}

/* ---- one product cut into parts along its outputs
 * ------------------------------------------------- */

static lac_status cut(lac_graph *graph, const lac_tensor *from, int axis, int part, int parts,
                      int *value, lac_error *err)
{
    lac_tensor t;
    int64_t dims[LAC_MAX_RANK], outer = 1, inner = 1;
    memcpy(dims, from->dims, sizeof dims);
    for (int i = 0; i < axis; i++)
        outer *= dims[i];
    for (int i = axis + 1; i < from->rank; i++)
        inner *= dims[i];
    int64_t whole = dims[axis] * inner;
    dims[axis] /= parts;
    int64_t piece = dims[axis] * inner;
    size_t size = lac_tensor_bytes(from) / (size_t)(outer * whole);
    LAC_TRY(lac_tensor_make(&t, from->dtype, from->rank, dims, err));
    for (int64_t i = 0; i < outer; i++)
        memcpy((char *)t.data + (size_t)(i * piece) * size,
               (const char *)from->data + (size_t)(i * whole + part * piece) * size,
               (size_t)piece * size);
    lac_status status = lac_graph_constant(graph, NULL, &t, value, err);
    lac_tensor_release(&t);
    return status;
}

static bool can_cut(const lac_graph *graph, const lac_node *gemm, int reader_value, int parts)
{
    const lac_tensor *w = gemm ? lac_constant_of(graph, gemm->in[LAC_IN_W]) : NULL;
    const lac_tensor *bias = gemm ? lac_constant_of(graph, gemm->in[LAC_IN_BIAS]) : NULL;
    if (!w || w->dtype != (gemm->in[LAC_IN_X_SCALE] >= 0 ? LAC_I8 : LAC_F32) || w->rank != 2 ||
        lac_tensor_count(w) == 0 || gemm->in[LAC_IN_RESIDUAL] >= 0 ||
        strcmp(lac_node_string(gemm, "activation", "none"), "none") != 0)
        return false;
    int axis = lac_node_int(gemm, "transB", 0) != 0 ? 0 : 1;
    return w->dims[axis] % parts == 0 && lac_only_reader(graph, reader_value) &&
           (gemm->in[LAC_IN_BIAS] < 0 || (bias && lac_tensor_count(bias) == w->dims[axis] &&
                                          bias->dims[bias->rank - 1] == w->dims[axis]));
}

/* The values of x's `parts` parts along the last axis: new products, or a Split of x. */
static lac_status parts_of(lac_graph *graph, int x, int parts, int *part, lac_error *err)
{
    lac_node *gemm = lac_made_by_fused(graph, x, "Gemm");
    if (!can_cut(graph, gemm, x, parts)) {
        lac_node *split;
        int length, in[2] = {x, -1};
        int64_t size = graph->values[x].dims[graph->values[x].rank - 1].size / parts, sizes[8];
        for (int i = 0; i < parts; i++) {
            sizes[i] = size;
            LAC_TRY(lac_graph_value(graph, NULL, &part[i], err));
        }
        LAC_TRY(ints_constant(graph, parts, sizes, &length, err));
        in[1] = length;
        LAC_TRY(lac_graph_node(graph, "", "Split", NULL, graph->opset >= 13 ? 2 : 1, in, parts,
                               part, &split, err));
        if (graph->opset < 13)
            LAC_TRY(lac_node_set_ints(graph, split, "split", parts, sizes, err));
        return lac_node_set_int(graph, split, "axis", 2, err);
    }
    int index = (int)(gemm - graph->nodes);
    int rows = lac_node_int(gemm, "transB", 0) != 0;
    for (int i = 0; i < parts; i++) {
        lac_node *node;
        int in[LAC_IN_COUNT];
        memcpy(in, graph->nodes[index].in, sizeof in);
        lac_tensor w = graph->values[in[LAC_IN_W]].constant;
        LAC_TRY(cut(graph, &w, rows ? 0 : 1, i, parts, &in[LAC_IN_W], err));
        if (in[LAC_IN_W_SCALE] >= 0) {
            lac_tensor scale = graph->values[in[LAC_IN_W_SCALE]].constant;
            if (lac_tensor_count(&scale) > 1)
                LAC_TRY(cut(graph, &scale, 0, i, parts, &in[LAC_IN_W_SCALE], err));
        }
        if (in[LAC_IN_BIAS] >= 0) {
            lac_tensor bias = graph->values[in[LAC_IN_BIAS]].constant;
            LAC_TRY(cut(graph, &bias, bias.rank - 1, i, parts, &in[LAC_IN_BIAS], err));
        }
        char name[160];
        static const char *const suffix[] = {"q", "k", "v"};
        LAC_TRY(
            add_node(graph, LAC_EXEC_DOMAIN, "Gemm", LAC_IN_COUNT, in, -1, &part[i], &node, err));
        size_t length = strlen(graph->nodes[index].name);
        length = length > 150 ? 150 : length;
        memcpy(name, graph->nodes[index].name, length);
        name[length] = '.';
        strcpy(name + length + 1, suffix[i % 3]);
        node->name = lac_arena_intern(graph->arena, name, strlen(name), err);
        if (!node->name)
            return LAC_ERROR_MEMORY;
        LAC_TRY(lac_node_set_int(graph, node, "transB", rows, err));
    }
    return LAC_OK;
}

/* ---- the operands
 * -------------------------------------------------------------------------------------- */

typedef struct found {
    int q, k, v;        /* [batch][tokens][heads*dim], or -1: to be made from z */
    int z[3];           /* the tokens-first value before, -1: q, k, v are set */
    int joint, part[3]; /* all three from this value, parts of its last axis; -1: not */
    int64_t heads, dim;
    float scale;
    int mask, out;
    int pair[4];    /* QuantizeLinear of q, k, v and the probabilities, or -1 */
    float inner[3]; /* constant factor in front of it */
} found;

/* `value` = [batch][heads][tokens][dim]: where does it come from, tokens first? `which` 0..2. */
static bool trace(const lac_graph *graph, int value, int which, found *f)
{
    const lac_value *v = &graph->values[value];
    lac_node *node = lac_made_by(graph, value, NULL);
    if (v->rank != 4 || v->dims[1].size < 1 || v->dims[3].size < 1)
        return false;
    if (f->heads && (f->heads != v->dims[1].size || f->dim != v->dims[3].size))
        return false;
    f->heads = v->dims[1].size;
    f->dim = v->dims[3].size;
    if (PERM(node, 0, 2, 1, 3)) {
        int z = node->in[0];
        lac_node *reshape = lac_made_by(graph, z, "Reshape");
        const lac_value *x = reshape ? &graph->values[reshape->in[0]] : NULL;
        f->z[which] = z;
        if (x && x->rank == 3 && x->dims[2].size == f->heads * f->dim)
            f->z[which] = reshape->in[0];
        return true;
    }
    if (!lac_is_op(node, "Squeeze"))
        return false;
    int64_t axes[4], split_axis;
    if (lac_ints_of(graph, node, 1, "axes", axes, 4) != 1 || axes[0] != 0)
        return false;
    lac_node *split = lac_made_by(graph, node->in[0], "Split");
    lac_node *transpose = split ? lac_made_by(graph, split->in[0], "Transpose") : NULL;
    lac_node *reshape =
        PERM(transpose, 2, 0, 3, 1, 4) ? lac_made_by(graph, transpose->in[0], "Reshape") : NULL;
    if (!reshape)
        return false;
    split_axis = lac_node_int(split, "axis", 0);
    const lac_value *five = &graph->values[transpose->in[0]], *x = &graph->values[reshape->in[0]];
    if (split_axis != 0 || split->n_out != 3 || five->dims[2].size != 3 || x->rank != 3 ||
        x->dims[2].size != 3 * f->heads * f->dim || (f->joint >= 0 && f->joint != reshape->in[0]))
        return false;
    f->joint = reshape->in[0];
    for (int i = 0; i < 3; i++)
        if (split->out[i] == node->in[0])
            f->part[which] = i;
    return true;
}

/* Takes constant factors off: x * c, x / c. */
static int unscaled(const lac_graph *graph, int value, float *scale)
{
    float number;
    lac_node *node = lac_made_by(graph, value, NULL);
    if (lac_is_op(node, "Mul"))
        for (int i = 0; i < 2; i++)
            if (lac_number_of(graph, node->in[i], &number)) {
                *scale *= number;
                return node->in[1 - i];
            }
    if (lac_is_op(node, "Div") && lac_number_of(graph, node->in[1], &number) && number != 0) {
        *scale /= number;
        return node->in[0];
    }
    return value;
}

/* Both nodes of a pair have this zero point: 0 of `dtype`. */
static bool is_zero(const lac_graph *graph, const lac_node *node, lac_dtype dtype)
{
    if (node->n_in < 3 || node->in[2] < 0)
        return dtype == LAC_U8;
    const lac_tensor *zero = lac_constant_of(graph, node->in[2]);
    return zero && zero->dtype == dtype && lac_tensor_count(zero) == 1 &&
           lac_tensor_get(zero, 0) == 0;
}

/* Takes the pair before *value off, if there is one; false: one that no kernel takes. */
static bool unpaired(const lac_graph *graph, int *value, int which, found *f)
{
    lac_node *back = lac_made_by(graph, *value, "DequantizeLinear");
    lac_dtype dtype = which < 3 ? LAC_I8 : LAC_U8;
    float scale, again;
    if (!back)
        return true;
    lac_node *q = lac_made_by(graph, back->in[0], "QuantizeLinear");
    if (!q || f->pair[which] >= 0 || !lac_number_of(graph, q->in[1], &scale) ||
        !lac_number_of(graph, back->in[1], &again) || scale != again || !isnormal(scale) ||
        scale < 0 || !is_zero(graph, q, dtype) || !is_zero(graph, back, dtype))
        return false;
    if (which == 3 && scale * 255 < 0.99999f) /* a probability of 1 is more than 255 steps */
        return false;
    f->pair[which] = (int)(q - graph->nodes);
    *value = q->in[0];
    return true;
}

/* Takes off what may stand between a product and its operand: factors, a pair, factors. */
static bool opened(const lac_graph *graph, int *value, int which, found *f)
{
    float factor = 1;
    if (f->pair[which] < 0) {
        *value = unscaled(graph, *value, &f->scale);
        if (!unpaired(graph, value, which, f))
            return false;
    }
    if (f->pair[which] < 0)
        return true;
    *value = unscaled(graph, *value, &factor);
    f->inner[which] *= factor;
    f->scale *= factor;
    return isnormal(f->inner[which]) && f->inner[which] > 0;
}

static bool pairs_fit(const found *f)
{
    int pairs = 0;
    for (int i = 0; i < 4; i++)
        pairs += f->pair[i] >= 0;
    return pairs == 0 || pairs == 4;
}

static bool match(const lac_graph *graph, const lac_node *softmax, found *f)
{
    *f = (found){.q = -1,
                 .k = -1,
                 .v = -1,
                 .z = {-1, -1, -1},
                 .joint = -1,
                 .mask = -1,
                 .scale = 1,
                 .pair = {-1, -1, -1, -1},
                 .inner = {1, 1, 1}};
    int s = softmax->in[0], rank = graph->values[s].rank, p = softmax->out[0];
    int64_t axis = lac_node_int(softmax, "axis", graph->opset >= 13 ? -1 : 1);
    lac_node *behind = lac_only_reader(graph, p);
    if (lac_is_op(behind, "QuantizeLinear") &&
        lac_is_op(behind = lac_only_reader(graph, behind->out[0]), "DequantizeLinear")) {
        int value = p = behind->out[0];
        if (!unpaired(graph, &value, 3, f) || value != softmax->out[0])
            return false;
        behind = lac_only_reader(graph, p);
    }
    if ((rank != 3 && rank != 4) || (axis != -1 && axis != rank - 1) ||
        !lac_is_op(behind, "MatMul") || behind->in[0] != p || behind->in[1] == p)
        return false;
    lac_node *add = lac_made_by(graph, s, "Add");
    if (add) {
        bool first = graph->values[add->in[0]].rank == rank && /* the scores, not the mask */
                     lac_same_shape(graph, add->in[0], s);
        f->mask = add->in[first];
        s = add->in[!first];
        if (graph->values[f->mask].dtype != LAC_F32 || graph->values[f->mask].rank > rank ||
            graph->values[f->mask].rank < 0 || (rank == 3 && graph->values[f->mask].rank == 3))
            return false;
    }
    s = unscaled(graph, s, &f->scale);
    lac_node *scores = lac_made_by(graph, s, "MatMul");
    if (!scores || !lac_only_reader(graph, s))
        return false;
    int q = scores->in[0], k = scores->in[1], v = behind->in[1];
    if (!opened(graph, &q, 0, f) || !opened(graph, &k, 1, f) || !unpaired(graph, &v, 2, f))
        return false;
    lac_node *turn = lac_made_by(graph, k, "Transpose");
    int turned = turn ? turn->in[0] : -1;
    if (turn && !opened(graph, &turned, 1, f)) /* the same may stand before it */
        return false;
    if (!pairs_fit(f))
        return false;
    if (rank == 3) {
        if (!PERM(turn, 0, 2, 1))
            return false;
        f->q = q;
        f->k = turned;
        f->v = v;
        f->heads = 1;
        f->out = behind->out[0];
        for (int i = 0; i < 3; i++)
            if (graph->values[i == 0 ? f->q : i == 1 ? f->k : f->v].rank != 3)
                return false;
        return lac_same_shape(graph, f->k, f->v) &&
               graph->values[f->q].dims[2].size == graph->values[f->v].dims[2].size;
    }
    if (!trace(graph, q, 0, f) || !trace(graph, v, 2, f))
        return false;
    if (PERM(turn, 0, 2, 3, 1)) { /* straight from tokens first */
        lac_node *reshape = lac_made_by(graph, turned, "Reshape");
        const lac_value *z = &graph->values[turned];
        const lac_value *x = reshape ? &graph->values[reshape->in[0]] : NULL;
        if (z->dims[2].size != f->heads || z->dims[3].size != f->dim)
            return false;
        f->z[1] =
            x && x->rank == 3 && x->dims[2].size == f->heads * f->dim ? reshape->in[0] : turned;
    } else if (!PERM(turn, 0, 1, 3, 2) || !trace(graph, turned, 1, f)) {
        return false;
    }
    /* all from one value, or none */
    int joint = 0;
    for (int i = 0; i < 3; i++)
        joint += f->z[i] < 0;
    if (joint != 0 && joint != 3)
        return false;
    lac_node *back = lac_only_reader(graph, behind->out[0]);
    lac_node *flat = PERM(back, 0, 2, 1, 3) ? lac_only_reader(graph, back->out[0]) : NULL;
    if (!lac_is_op(flat, "Reshape") || graph->values[flat->out[0]].rank != 3 ||
        graph->values[flat->out[0]].dims[2].size != f->heads * f->dim)
        return false;
    f->out = flat->out[0];
    return true;
}

/* Operand `which` as the integers of its pair; the value of their scale in *scale. */
static lac_status quantised(lac_graph *graph, const found *f, int which, int *value, int *scale,
                            lac_error *err)
{
    int in[3] = {*value, graph->nodes[f->pair[which]].in[1], graph->nodes[f->pair[which]].in[2]};
    if (f->inner[which] != 1) {
        lac_tensor t;
        LAC_TRY(lac_tensor_copy(&t, &graph->values[in[1]].constant, err));
        ((float *)t.data)[0] /= f->inner[which];
        lac_status status = lac_graph_constant(graph, NULL, &t, &in[1], err);
        lac_tensor_release(&t);
        LAC_TRY(status);
    }
    *scale = in[1];
    LAC_TRY(add_node(graph, "", "QuantizeLinear", 3, in, in[0], value, NULL, err));
    graph->values[*value].dtype = LAC_I8;
    return LAC_OK;
}

static lac_status rewrite(lac_graph *graph, found *f, const char *name, lac_error *err)
{
    int in[LAC_ATTENTION_COUNT] = {f->q, f->k, f->v, f->mask}, parts[3];
    bool integers = f->pair[0] >= 0;
    lac_node *node;
    for (int i = LAC_ATTENTION_SCALE; i < LAC_ATTENTION_COUNT; i++)
        in[i] = -1;
    if (f->joint >= 0) {
        LAC_TRY(parts_of(graph, f->joint, 3, parts, err));
        for (int i = 0; i < 3; i++)
            in[i] = parts[f->part[i]];
    }
    for (int i = 0; i < 3; i++) {
        if (f->z[i] < 0)
            continue;
        in[i] = f->z[i];
        if (graph->values[f->z[i]].rank == 4) { /* [..][heads][dim] -> one axis: a view */
            int flat[2] = {f->z[i], -1};
            LAC_TRY(ints_constant(graph, 3, (int64_t[]){0, 0, f->heads * f->dim}, &flat[1], err));
            LAC_TRY(add_node(graph, "", "Reshape", 2, flat, -1, &in[i], NULL, err));
        }
    }
    for (int i = 0; i < 3 && integers; i++)
        LAC_TRY(quantised(graph, f, i, &in[i], &in[LAC_ATTENTION_SCALE + i], err));
    if (integers)
        in[LAC_ATTENTION_SCALE + 3] = graph->nodes[f->pair[3]].in[1];
    int old = graph->values[f->out].producer;
    lac_delete_node(&graph->nodes[old]);
    LAC_TRY(lac_graph_node(graph, LAC_EXEC_DOMAIN, "Attention", name, LAC_ATTENTION_COUNT, in, 1,
                           &f->out, &node, err));
    LAC_TRY(lac_node_set_int(graph, node, "heads", f->heads, err));
    return lac_node_set_float(graph, node, "scale", f->scale, err);
}

lac_status lac_pass_attention(lac_graph *graph, lac_error *err)
{
    int count = graph->n_nodes;
    for (int n = 0; n < count; n++) {
        found f;
        if (!lac_is_op(&graph->nodes[n], "Softmax") || !match(graph, &graph->nodes[n], &f))
            continue;
        LAC_TRY(rewrite(graph, &f, graph->nodes[n].name, err));
    }
    return lac_graph_settle(graph, err);
}
