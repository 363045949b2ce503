/* Attention through the softmax unit (dossier 2.5, 4.6): row by row, scores in int16, probabilities
 * in uint8, sums of P V in int32. */
#include "accel/sta/sta.h"

#include <math.h>
#include <string.h>

#include "core/memory.h"
#include "core/parallel.h"
#include "graph/layer_encoder.h"
#include "graph/layer_tools.h"

enum { ROWS = 16 }; /* query rows that one worker takes at a time */

typedef struct head {
    const int16_t *q, *k, *v; /* [tokens][dim], V turned: [dim][tokens] */
    int64_t tokens, dim, segment;
    lac_sta_scale scale;
    int32_t *out;
    int64_t *nonzero;     /* per chunk of ROWS: sum over keys of nnz(P[:, j]) * nnz(V[j, :]) */
    double *error;        /* per chunk: largest |p/256 - softmax|; NULL: not wanted */
    const int64_t *nnz_v; /* of every key */
    char *room;           /* per chunk */
    size_t room_bytes;
} head;

static double probability_error(const int16_t *x, const uint8_t *p, int64_t count)
{
    double sum = 0, worst = 0;
    int top = INT16_MIN;
    for (int64_t j = 0; j < count; j++)
        top = x[j] > top ? x[j] : top;
    for (int64_t j = 0; j < count; j++)
        sum += exp2((x[j] - top) / 256.0);
    for (int64_t j = 0; j < count; j++) {
        double error = fabs(p[j] / 256.0 - exp2((x[j] - top) / 256.0) / sum);
        worst = error > worst ? error : worst;
    }
    return worst;
}

static void query_rows(void *context, int64_t begin, int64_t end)
{
    const head *h = context;
    for (int64_t chunk = begin; chunk < end; chunk++) {
        int16_t *x = (int16_t *)(void *)(h->room + (size_t)chunk * h->room_bytes);
        int16_t *wide = x + h->tokens;
        uint8_t *p = (uint8_t *)(wide + h->tokens);
        for (int64_t i = chunk * ROWS; i < h->tokens && i < (chunk + 1) * ROWS; i++) {
            for (int64_t j = 0; j < h->tokens; j++)
                x[j] = lac_sta_score(
                    (int32_t)lac_dot(h->q + i * h->dim, h->k + j * h->dim, h->dim, true), h->scale);
            lac_sta_softmax(x, h->tokens, h->segment, p);
            for (int64_t j = 0; j < h->tokens; j++) {
                wide[j] = p[j];
                h->nonzero[chunk] += p[j] ? h->nnz_v[j] : 0;
            }
            for (int64_t d = 0; d < h->dim; d++)
                h->out[i * h->dim + d] =
                    (int32_t)lac_dot(wide, h->v + d * h->tokens, h->tokens, true);
            if (h->error) {
                double error = probability_error(x, p, h->tokens);
                h->error[chunk] = error > h->error[chunk] ? error : h->error[chunk];
            }
        }
    }
}

/* int16 copies, and how many pairs of Q and K elements are both non-zero. */
static void widen(const int8_t *q, const int8_t *k, const int8_t *v, int64_t stride, int64_t tokens,
                  int64_t dim, int16_t *to, int64_t *nnz_v, int64_t *effectual)
{
    int16_t *wide_q = to, *wide_k = to + tokens * dim, *wide_v = wide_k + tokens * dim;
    for (int64_t d = 0; d < dim; d++) {
        int64_t nnz_q = 0, nnz_k = 0;
        for (int64_t t = 0; t < tokens; t++) {
            wide_q[t * dim + d] = q[t * stride + d];
            wide_k[t * dim + d] = k[t * stride + d];
            wide_v[d * tokens + t] = v[t * stride + d];
            nnz_q += q[t * stride + d] != 0;
            nnz_k += k[t * stride + d] != 0;
            nnz_v[t] += v[t * stride + d] != 0;
        }
        *effectual += nnz_q * nnz_k;
    }
}

lac_status lac_sta_head(lac_sta_job *job, const int8_t *q, const int8_t *k, const int8_t *v,
                        int64_t stride, int64_t tokens, int64_t dim, lac_sta_scale scale,
                        int32_t *out, lac_error *err)
{
    int64_t chunks = (tokens + ROWS - 1) / ROWS;
    size_t room_bytes = (size_t)tokens * 5 + 64 - (size_t)tokens * 5 % 64;
    int16_t *wide = lac_alloc_raw((size_t)(tokens * dim), 3 * sizeof *wide, err);
    int64_t *counts = wide ? lac_alloc((size_t)(tokens + chunks), sizeof *counts, err) : NULL;
    double *errors = counts ? lac_alloc((size_t)chunks, sizeof *errors, err) : NULL;
    char *room = errors ? lac_alloc_raw((size_t)chunks, room_bytes, err) : NULL;
    if (room) {
        widen(q, k, v, stride, tokens, dim, wide, counts, &job->effectual);
        head h = {.q = wide,
                  .k = wide + tokens * dim,
                  .v = wide + 2 * tokens * dim,
                  .tokens = tokens,
                  .dim = dim,
                  .segment = job->machine.cols,
                  .scale = scale,
                  .out = out,
                  .nonzero = counts + tokens,
                  .error = job->max_prob_error >= 0 ? errors : NULL,
                  .nnz_v = counts,
                  .room = room,
                  .room_bytes = room_bytes};
        lac_parallel_for(chunks, 1, query_rows, &h);
        for (int64_t i = 0; i < chunks; i++) {
            job->effectual += h.nonzero[i];
            if (h.error && errors[i] > job->max_prob_error)
                job->max_prob_error = errors[i];
        }
    }
    lac_free(room);
    lac_free(errors);
    lac_free(counts);
    lac_free(wide);
    return room ? LAC_OK : LAC_ERROR_MEMORY;
}

/* The real scales of a captured layer folded into the score's multiplier, or the default. */
static lac_status score_scale(const lac_layer *layer, int64_t dim, lac_sta_scale *scale,
                              lac_error *err)
{
    double factor = lac_sta_score_factor(dim);
    const lac_operand *q = &layer->operand[LAC_ROLE_QUERY], *k = &layer->operand[LAC_ROLE_KEY];
    if (q->scale_count == 1)
        factor *= 32 * (double)q->scale[0];
    if (k->scale_count == 1)
        factor *= 32 * (double)k->scale[0];
    if (layer->softmax_scale != 0)
        factor *= layer->softmax_scale * sqrt((double)dim);
    return lac_sta_score_scale(factor, scale, err);
}

static lac_status heads_of(lac_sta_job *job, const lac_layer *layer, int64_t heads, int64_t tokens,
                           int64_t dim, bool check, lac_error *err)
{
    const int8_t *q = layer->operand[LAC_ROLE_QUERY].tensor.data;
    const int8_t *k = layer->operand[LAC_ROLE_KEY].tensor.data;
    const int8_t *v = layer->operand[LAC_ROLE_VALUE].tensor.data;
    int64_t size = tokens * dim;
    int32_t *out = job->result->output.data, *reference = NULL;
    lac_sta_scale scale;
    LAC_TRY(score_scale(layer, dim, &scale, err));
    if (check) {
        reference = lac_alloc((size_t)size, sizeof *reference, err);
        if (!reference)
            return LAC_ERROR_MEMORY;
    }
    lac_status status = LAC_OK;
    bool exact = check;
    for (int64_t at = 0; at < heads * size && status == LAC_OK; at += size) {
        status = lac_sta_head(job, q + at, k + at, v + at, dim, tokens, dim, scale, out + at, err);
        if (status != LAC_OK || !check)
            continue;
        status = lac_streamed_head_reference(reference, q + at, k + at, v + at, dim, tokens, dim,
                                             scale.multiplier, scale.shift, job->machine.cols, err);
        exact = exact && status == LAC_OK &&
                memcmp(reference, out + at, (size_t)size * sizeof *out) == 0;
    }
    job->result->exact = exact;
    lac_free(reference);
    return status;
}

lac_status lac_sta_simulate_attention(lac_sta_job *job, const lac_layer *layer, lac_error *err)
{
    int64_t heads = lac_layer_dim_get(layer, "heads"), tokens = lac_layer_dim_get(layer, "tokens");
    int64_t dim = lac_layer_dim_get(layer, "dim"), batch = lac_layer_dim_get(layer, "batch");
    for (int64_t i = 0; i < batch; i++)
        LAC_TRY(lac_sta_schedule_attention(&job->machine, heads, tokens, dim, &job->events, err));
    if (job->options->schedule_only)
        return LAC_OK;
    for (int role = LAC_ROLE_QUERY; role <= LAC_ROLE_VALUE; role++)
        LAC_TRY(lac_operand_need(layer, (lac_role)role, batch * heads * tokens * dim, err));
    int64_t shape[] = {batch, heads, tokens, dim};
    int skip = batch == 1;
    LAC_TRY(lac_tensor_make(&job->result->output, LAC_I32, 4 - skip, shape + skip, err));
    job->max_prob_error = 0;
    return heads_of(job, layer, batch * heads, tokens, dim, !job->options->no_check, err);
}
