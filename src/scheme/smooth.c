/* Smoothing (Xiao, Lin, Seznec, Wu, Demouth, Han, "SmoothQuant: Accurate and Efficient
 * Post-Training Quantization for Large Language Models", ICML 2023, section 4): where a few
 * channels of an activation are much larger than the others, one step for all is coarse. Dividing
 * channel j by s_j and multiplying column j of the weights that read it with s_j is the same
 * product, and s_j = peak(x_j)^alpha / peak(w_j)^(1 - alpha) shares the difficulty between both.
 * Behind a LayerNormalization the division costs nothing: its scale and bias take it. Only
 * constants of the graph change.
 *
 * alpha is searched per LayerNormalization, by what rounding is expected to add to the outputs:
 * steps / sqrt(12) on both sides, uncorrelated. A LayerNormalization that others read too (the
 * residual of a post-norm transformer) stays as it is. */
#include "core/memory.h"
#include "exec/calibrate.h"
#include "exec/fold.h"
#include "format/packed.h"
#include "scheme/weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_READERS = 8 };

typedef struct site {
    int norm; /* the node */
    int n;
    lac_weight *weight[MAX_READERS];
    const struct lac_layer_range *arriving;
    float *factor, *peak; /* [channels] s_j; largest |w_j| */
} site;

static lac_weight *weight_at(const lac_compression *compression, int value)
{
    for (int i = 0; i < compression->n_weights; i++)
        if (compression->weights[i].value == value)
            return &compression->weights[i];
    return NULL;
}

/* The weight that node `n` multiplies `value` with, as its first operand. */
static lac_weight *multiplied(const lac_compression *compression, int n, int value)
{
    const lac_node *node = &compression->graph->nodes[n];
    bool gemm = strcmp(node->op, "Gemm") == 0;
    if (node->domain[0] || (!gemm && strcmp(node->op, "MatMul") != 0) || node->in[0] != value ||
        (gemm && lac_node_int(node, "transA", 0) != 0))
        return NULL;
    lac_weight *weight = weight_at(compression, node->in[1]);
    return weight && lac_graph_readers(compression->graph, weight->value, NULL) == 1 &&
                   !weight->smoothing
               ? weight
               : NULL;
}

/* Whether products with weights of their own are all that reads node `n`, a LayerNormalization over
 * the last axis. */
static bool find(const lac_compression *compression, const lac_ranges *ranges, int n, site *s)
{
    const lac_graph *graph = compression->graph;
    const lac_node *norm = &graph->nodes[n];
    *s = (site){.norm = n};
    if (norm->domain[0] || strcmp(norm->op, "LayerNormalization") != 0 || norm->n_in < 2)
        return false;
    for (int i = 1; i < norm->n_out; i++)
        if (norm->out[i] >= 0)
            return false;
    int value = norm->out[0], readers = lac_graph_readers(graph, value, NULL);
    for (int i = 0; i < graph->n_nodes; i++)
        for (int j = 0; j < graph->nodes[i].n_in; j++) {
            if (graph->nodes[i].in[j] != value)
                continue;
            lac_weight *weight = j == 0 ? multiplied(compression, i, value) : NULL;
            if (!weight || s->n == MAX_READERS)
                return false;
            s->weight[s->n++] = weight;
        }
    if (s->n == 0 || s->n != readers) /* else a graph output is among them */
        return false;
    s->arriving = lac_ranges_layer(ranges, s->weight[0]->name, LAC_ROLE_ACTIVATIONS);
    for (int i = 0; s->arriving && i < s->n; i++)
        if (s->weight[i]->cols != s->arriving->channels)
            return false;
    return s->arriving && s->arriving->peak && s->arriving->elements > 0;
}

static void find_peaks(site *s)
{
    for (int i = 0; i < s->n; i++) {
        const float *w = s->weight[i]->tensor.data;
        for (int64_t r = 0; r < s->weight[i]->rows; r++)
            for (int64_t k = 0; k < s->weight[i]->cols; k++)
                s->peak[k] = fmaxf(s->peak[k], fabsf(w[lac_weight_at(s->weight[i], r, k)]));
    }
}

/* Factors for this alpha; 1 where a channel, or its weights, are all zero. */
static void make_factors(site *s, double alpha)
{
    for (int64_t k = 0; k < s->arriving->channels; k++) {
        double x = (double)s->arriving->peak[k], w = (double)s->peak[k];
        float factor = (float)(pow(x, alpha) / pow(w, 1 - alpha));
        s->factor[k] = x > 0 && w > 0 && isnormal(factor) && isnormal(1 / factor) ? factor : 1;
    }
}

/* Expected squared error of all outputs with these factors, but for what is the same for all: the
 * steps squared, times the squares they are multiplied with. */
static double expected_error(const site *s)
{
    double top = 0, power = 0, error = 0;
    for (int64_t k = 0; k < s->arriving->channels; k++) {
        double factor = (double)s->factor[k];
        top = fmax(top, (double)s->arriving->peak[k] / factor);
        power += s->arriving->square[k] / (double)s->arriving->elements / (factor * factor);
    }
    for (int i = 0; i < s->n; i++) {
        const float *w = s->weight[i]->tensor.data;
        for (int64_t r = 0; r < s->weight[i]->rows; r++) {
            double largest = 0, norm = 0;
            for (int64_t k = 0; k < s->weight[i]->cols; k++) {
                double now = (double)w[lac_weight_at(s->weight[i], r, k)] * (double)s->factor[k];
                largest = fmax(largest, fabs(now));
                norm += now * now;
            }
            error += top * top * norm + largest * largest * power;
        }
    }
    return error;
}

/* The best factors into s->factor; false when none are worth it. */
static bool search(site *s)
{
    double best = 0, least = 0;
    for (int64_t k = 0; k < s->arriving->channels; k++)
        s->factor[k] = 1;
    double plain = least = expected_error(s);
    for (int i = 4; i <= 10; i++) { /* alpha 0.4 .. 1 */
        make_factors(s, i / 10.0);
        double error = expected_error(s);
        if (error < least) {
            least = error;
            best = i / 10.0;
        }
    }
    make_factors(s, best);
    return least < 0.9 * plain; /* less than that is within what the estimate neglects */
}

/* The weight with its columns multiplied; *fits: also in the format that a scheme chose for it. */
static lac_status scaled(const lac_weight *weight, const float *factor, lac_tensor *tensor,
                         bool *fits, lac_error *err)
{
    LAC_TRY(lac_tensor_copy(tensor, &weight->tensor, err));
    for (int64_t r = 0; r < weight->rows; r++)
        for (int64_t k = 0; k < weight->cols; k++)
            ((float *)tensor->data)[lac_weight_at(weight, r, k)] *= factor[k];
    if (!weight->format)
        return LAC_OK;
    int64_t bytes;
    lac_error refusal;
    lac_status status =
        lac_format_bytes(weight->format, &weight->params, weight->view, tensor, &bytes, &refusal);
    if (status == LAC_ERROR_INPUT)
        *fits = false; /* shared values are no longer shared */
    else if (status != LAC_OK)
        return lac_fail(err, status, "%s", refusal.message);
    return LAC_OK;
}

/* Constant `value` of the node, one number per channel, divided; *changed is its new value. */
static lac_status divide(lac_graph *graph, int value, const site *s, bool *fits, int *changed,
                         lac_error *err)
{
    lac_tensor folded = {0}, made = {0};
    lac_error refusal;
    *changed = value;
    if (value < 0)
        return LAC_OK;
    lac_status status = lac_fold_value(graph, value, &folded, &refusal);
    if (status == LAC_ERROR_MEMORY)
        return lac_fail(err, status, "%s", refusal.message);
    if (status != LAC_OK || folded.rank != 1 || folded.dims[0] != s->arriving->channels ||
        folded.dtype != LAC_F32) {
        lac_tensor_release(&folded);
        *fits = false;
        return LAC_OK;
    }
    status = lac_tensor_copy(&made, &folded, err);
    lac_tensor_release(&folded);
    for (int64_t k = 0; status == LAC_OK && k < s->arriving->channels; k++)
        ((float *)made.data)[k] /= s->factor[k];
    char name[256];
    snprintf(name, sizeof name, "%.180s.smooth%d", graph->values[value].name, s->norm);
    if (status == LAC_OK)
        status = lac_graph_constant(graph, name, &made, changed, err);
    lac_tensor_release(&made);
    return status;
}

static lac_status apply(lac_compression *compression, const site *s, bool *done, lac_error *err)
{
    lac_graph *graph = compression->graph;
    lac_tensor tensor[MAX_READERS] = {{0}};
    float *factor[MAX_READERS] = {0};
    bool fits = true;
    int64_t channels = s->arriving->channels;
    lac_status status = LAC_OK;
    int value[2] = {-1, -1};
    for (int i = 0; status == LAC_OK && i < s->n; i++) {
        status = scaled(s->weight[i], s->factor, &tensor[i], &fits, err);
        factor[i] = status == LAC_OK ? lac_alloc((size_t)channels, sizeof(float), err) : NULL;
        if (status == LAC_OK && !factor[i])
            status = LAC_ERROR_MEMORY;
    }
    for (int i = 0; status == LAC_OK && fits && i < 2; i++) {
        const lac_node *norm = &graph->nodes[s->norm];
        status = divide(graph, i + 1 < norm->n_in ? norm->in[i + 1] : -1, s, &fits, &value[i], err);
    }
    if (status == LAC_OK && fits) {
        lac_node *norm = &graph->nodes[s->norm];
        for (int i = 0; i < 2 && i + 1 < norm->n_in; i++)
            norm->in[i + 1] = value[i];
        for (int i = 0; i < s->n; i++) {
            lac_tensor old = s->weight[i]->tensor;
            s->weight[i]->tensor = tensor[i];
            tensor[i] = old;
            memcpy(factor[i], s->factor, (size_t)channels * sizeof(float));
            s->weight[i]->smoothing = factor[i];
            s->weight[i]->changed = true;
            factor[i] = NULL;
        }
        *done = true;
    }
    for (int i = 0; i < s->n; i++) {
        lac_tensor_release(&tensor[i]);
        lac_free(factor[i]);
    }
    return status;
}

lac_status lac_smooth(lac_compression *compression, const struct lac_ranges *ranges, bool *any,
                      lac_error *err)
{
    lac_status status = LAC_OK;
    *any = false;
    for (int n = 0; status == LAC_OK && n < compression->graph->n_nodes; n++) {
        site s;
        if (!find(compression, ranges, n, &s))
            continue;
        s.factor = lac_alloc((size_t)s.arriving->channels, sizeof *s.factor, err);
        s.peak = lac_alloc((size_t)s.arriving->channels, sizeof *s.peak, err);
        if (!s.factor || !s.peak) {
            status = LAC_ERROR_MEMORY;
        } else {
            find_peaks(&s);
            if (search(&s))
                status = apply(compression, &s, any, err);
        }
        lac_free(s.factor);
        lac_free(s.peak);
    }
    return status;
}
