/* Whole encoder layers (dossier 2.5, 4.7): every matrix from its packed image, attention through
 * the softmax unit, layer norm and GELU on chip. */
#include "accel/sta/sta.h"

#include <stdio.h>
#include <string.h>

#include "accel/kit/count.h"
#include "core/memory.h"
#include "graph/layer_encoder.h"
#include "graph/layer_tools.h"

enum { T_Q, T_K, T_V, T_O, T_U1, T_X1, T_H, T_U2, T_X2, TENSORS };

typedef struct encoder {
    lac_sta_job *job;
    lac_encoder shape;
    int n[LAC_ENCODER_OPS], m[LAC_ENCODER_OPS];
    lac_tensor tensor[TENSORS];
    int32_t *sums;
    const int8_t *weights; /* of the layer at hand */
} encoder;

/* sums = a W^T from the image of operation `op`. */
static lac_status multiply(encoder *e, int op, const lac_tensor *a, lac_error *err)
{
    const lac_encoder *s = &e->shape;
    const int8_t *w = e->weights + s->first[op];
    lac_sta_weights image;
    lac_tensor matrix =
        lac_tensor_view(LAC_I8, 2, (int64_t[]){s->rows[op], s->cols[op]}, (void *)(uintptr_t)w);
    e->job->nnz_w += lac_count_nonzeros(&matrix);
    LAC_TRY(lac_sta_effectual(a, s->tokens, &matrix, s->rows[op], s->cols[op], &e->job->effectual,
                              err));
    LAC_TRY(lac_sta_weights_make(&image, &e->job->machine, e->n[op], e->m[op], w, s->rows[op],
                                 s->cols[op], err));
    lac_status status = lac_sta_multiply(e->sums, &image, a, s->tokens, err);
    lac_sta_weights_release(&image);
    return status;
}

static lac_sta_scale scale_of(const encoder *e, int op, int c)
{
    int64_t groups = (e->shape.cols[op] + e->m[op] - 1) / e->m[op];
    return lac_sta_linear_scale(groups * e->n[op], c);
}

static lac_status linear(encoder *e, int op, int c, bool gelu, const lac_tensor *a, lac_tensor *y,
                         lac_error *err)
{
    LAC_TRY(multiply(e, op, a, err));
    lac_sta_scale scale = scale_of(e, op, c);
    int8_t *out = y->data;
    for (int64_t i = 0; i < lac_tensor_count(y); i++) {
        out[i] = lac_sta_requant(e->sums[i], scale);
        if (gelu)
            out[i] = lac_sta_gelu[out[i] + 128];
    }
    return LAC_OK;
}

/* u = sat16(lin16(a) + (residual << 3)), y = layer norm of u. */
static lac_status linear_norm(encoder *e, int op, int c, const lac_tensor *a,
                              const lac_tensor *residual, lac_tensor *u, lac_tensor *y,
                              lac_error *err)
{
    LAC_TRY(multiply(e, op, a, err));
    lac_sta_scale scale = scale_of(e, op, c);
    const int8_t *x = residual->data;
    int16_t *sum = u->data;
    int8_t *out = y->data;
    for (int64_t i = 0; i < lac_tensor_count(u); i++) {
        int64_t part = lac_sta_round_shift((int64_t)e->sums[i] * scale.multiplier, scale.shift);
        part = lac_sta_saturate(part, INT16_MIN, INT16_MAX);
        sum[i] = (int16_t)lac_sta_saturate(part + x[i] * 8, INT16_MIN, INT16_MAX);
    }
    for (int64_t t = 0; t < e->shape.tokens; t++)
        lac_sta_layer_norm(sum + t * e->shape.dim, e->shape.dim, NULL, NULL,
                           out + t * e->shape.dim);
    return LAC_OK;
}

static lac_status heads(encoder *e, lac_error *err)
{
    int64_t d = e->shape.dim / e->shape.heads, dim = e->shape.dim;
    const int8_t *q = e->tensor[T_Q].data, *k = e->tensor[T_K].data, *v = e->tensor[T_V].data;
    int8_t *o = e->tensor[T_O].data;
    lac_sta_scale scale;
    LAC_TRY(lac_sta_score_scale(lac_sta_score_factor(d), &scale, err));
    for (int64_t h = 0; h < e->shape.heads; h++) {
        LAC_TRY(lac_sta_head(e->job, q + h * d, k + h * d, v + h * d, dim, e->shape.tokens, d,
                             scale, e->sums, err));
        for (int64_t t = 0; t < e->shape.tokens; t++)
            for (int64_t i = 0; i < d; i++)
                o[t * dim + h * d + i] =
                    (int8_t)lac_sta_saturate(lac_sta_round_shift(e->sums[t * d + i], 8), -127, 127);
    }
    return LAC_OK;
}

static lac_status one_layer(encoder *e, const lac_tensor *x, lac_error *err)
{
    lac_tensor *t = e->tensor;
    LAC_TRY(linear(e, LAC_ENCODER_Q, 7, false, x, &t[T_Q], err));
    LAC_TRY(linear(e, LAC_ENCODER_K, 7, false, x, &t[T_K], err));
    LAC_TRY(linear(e, LAC_ENCODER_V, 7, false, x, &t[T_V], err));
    LAC_TRY(heads(e, err));
    LAC_TRY(linear_norm(e, LAC_ENCODER_O, 2, &t[T_O], x, &t[T_U1], &t[T_X1], err));
    LAC_TRY(linear(e, LAC_ENCODER_F1, 6, true, &t[T_X1], &t[T_H], err));
    return linear_norm(e, LAC_ENCODER_F2, 3, &t[T_H], &t[T_X1], &t[T_U2], &t[T_X2], err);
}

static lac_status all_layers(encoder *e, const lac_layer *layer, lac_error *err)
{
    const lac_encoder *s = &e->shape;
    int64_t widest = s->dim > s->ffn ? s->dim : s->ffn;
    for (int i = 0; i < TENSORS; i++) {
        lac_dtype dtype = i == T_U1 || i == T_U2 ? LAC_I16 : LAC_I8;
        LAC_TRY(lac_tensor_make(&e->tensor[i], dtype, 2,
                                (int64_t[]){s->tokens, i == T_H ? s->ffn : s->dim}, err));
    }
    e->sums = lac_alloc_raw((size_t)s->tokens, (size_t)widest * sizeof *e->sums, err);
    if (!e->sums)
        return LAC_ERROR_MEMORY;
    lac_tensor x;
    LAC_TRY(lac_tensor_copy(&x, &layer->operand[LAC_ROLE_QUERY].tensor, err));
    lac_status status = LAC_OK;
    for (int64_t i = 0; i < s->layers && status == LAC_OK; i++) {
        e->weights =
            (const int8_t *)layer->operand[LAC_ROLE_WEIGHTS].tensor.data + i * s->layer_elements;
        status = one_layer(e, &x, err);
        memcpy(x.data, e->tensor[T_X2].data, lac_tensor_bytes(&x));
    }
    lac_tensor_release(&x);
    return status;
}

/* The result's output, kept tensors of the last layer, comparison with the reference. */
static lac_status deliver(encoder *e, const lac_layer *layer, lac_error *err)
{
    static const char *const names[TENSORS] = {"q", "k", "v", "o", "u1", "x1", "h", "u2", "x2"};
    lac_result *result = e->job->result;
    lac_tensor_share(&result->output, &e->tensor[T_X2]);
    if (e->job->options->keep_tensors)
        for (int i = 0; i < TENSORS; i++) {
            result->tensor[i].name = names[i];
            lac_tensor_share(&result->tensor[i].tensor, &e->tensor[i]);
            result->n_tensors = i + 1;
        }
    if (e->job->options->no_check)
        return LAC_OK;
    lac_tensor reference;
    LAC_TRY(lac_encoder_reference(layer, e->job->machine.cols, &reference, err));
    result->exact = memcmp(reference.data, result->output.data, lac_tensor_bytes(&reference)) == 0;
    lac_tensor_release(&reference);
    return LAC_OK;
}

static lac_status compute(lac_sta_job *job, const lac_layer *layer, lac_error *err)
{
    encoder e = {.job = job, .shape = lac_encoder_of(layer)};
    LAC_TRY(lac_operand_need(layer, LAC_ROLE_QUERY, e.shape.tokens * e.shape.dim, err));
    LAC_TRY(
        lac_operand_need(layer, LAC_ROLE_WEIGHTS, e.shape.layers * e.shape.layer_elements, err));
    if (layer->operand[LAC_ROLE_QUERY].tensor.dtype != LAC_I8 ||
        layer->operand[LAC_ROLE_WEIGHTS].tensor.dtype != LAC_I8)
        return lac_fail(err, LAC_ERROR_INPUT, "an encoder's operands are int8");
    LAC_TRY(lac_encoder_patterns(layer, layer->text[0], e.n, e.m, err));
    lac_status status = all_layers(&e, layer, err);
    if (status == LAC_OK)
        status = deliver(&e, layer, err);
    for (int i = 0; i < TENSORS; i++)
        lac_tensor_release(&e.tensor[i]);
    lac_free(e.sums);
    return status;
}

lac_status lac_sta_simulate_encoder(lac_sta_job *job, const lac_layer *layer, lac_error *err)
{
    lac_encoder s = lac_encoder_of(layer);
    lac_sta_encoder shape = {
        .tokens = s.tokens, .dim = s.dim, .heads = s.heads, .ffn = s.ffn, .layers = s.layers};
    const char *mix = job->mix[0] ? job->mix : layer->text[0];
    LAC_TRY(lac_encoder_patterns(layer, mix, shape.n, shape.m, err));
    for (int op = 0; op < LAC_ENCODER_OPS; op++)
        if (shape.m[op] > job->machine.m_max)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "pattern %d:%d is wider than the selectors, MMAX = %lld", shape.n[op],
                            shape.m[op], (long long)job->machine.m_max);
    LAC_TRY(lac_sta_schedule_encoder(&job->machine, &shape, &job->events, err));
    if (job->options->schedule_only)
        return LAC_OK;
    if (strcmp(mix, layer->text[0]) == 0)
        return compute(job, layer, err);
    /* Another mix: synthetic weights follow it and are drawn again, real ones must fit it. */
    lac_layer mixed = *layer;
    for (int i = 0; i < LAC_ROLE_LIMIT; i++)
        lac_tensor_share(&mixed.operand[i].tensor, &layer->operand[i].tensor);
    memset(&mixed.output, 0, sizeof mixed.output);
    snprintf(mixed.text[0], sizeof mixed.text[0], "%s", mix);
    lac_status status = LAC_OK;
    if (strcmp(layer->text[1], LAC_ENCODER_SYNTHETIC) == 0)
        status = layer->kind->generate(&mixed, err);
    if (status == LAC_OK)
        status = compute(job, &mixed, err);
    lac_layer_release(&mixed);
    return status;
}
