/* gemm, fc and conv on the engine (dossier 4.3, 4.5). Weights that keep what their N:M promises run
 * sparse, all others dense (1:1): the engine skips no unstructured zeros. A convolution is turned
 * into a matrix on the host, K order r, s, c, each run of channels padded to whole groups. */
#include "accel/sta/sta.h"

#include <inttypes.h>
#include <string.h>

#include "accel/kit/count.h"
#include "accel/kit/product.h"
#include "core/memory.h"
#include "graph/layer_conv.h"
#include "graph/layer_tools.h"

/* Y[m][n] over k with int8 weights; y NULL: counts only. `conv`: activations are padded, so the
 * caller counts effectual products itself. */
static lac_status product(lac_sta_job *job, const lac_tensor *a, const int8_t *w, int64_t m,
                          int64_t n, int64_t k, int pattern_n, int pattern_m, int32_t *y,
                          lac_error *err)
{
    lac_sta_weights weights;
    lac_tensor matrix = lac_tensor_view(LAC_I8, 2, (int64_t[]){n, k}, (void *)(uintptr_t)w);
    LAC_TRY(lac_sta_effectual(a, m, &matrix, n, k, &job->effectual, err));
    job->nnz_w += lac_count_nonzeros(&matrix);
    if (!y)
        return LAC_OK;
    LAC_TRY(lac_sta_weights_make(&weights, &job->machine, pattern_n, pattern_m, w, n, k, err));
    lac_status status = lac_sta_multiply(y, &weights, a, m, err);
    lac_sta_weights_release(&weights);
    return status;
}

static lac_status simulate_product(lac_sta_job *job, const lac_layer *gemm, int32_t *y,
                                   lac_error *err)
{
    const lac_operand *w = &gemm->operand[LAC_ROLE_WEIGHTS];
    const lac_tensor *a = &gemm->operand[LAC_ROLE_ACTIVATIONS].tensor;
    int64_t m = lac_layer_dim_get(gemm, "m"), n = lac_layer_dim_get(gemm, "n");
    int64_t k = lac_layer_dim_get(gemm, "k");
    bool sparse = w->m > 1 && lac_sta_pattern_fits(w->tensor.data, n, k, w->n, w->m);
    int pattern_n = sparse ? w->n : 1, pattern_m = sparse ? w->m : 1;
    LAC_TRY(lac_sta_schedule_gemm(&job->machine, m, n, k, pattern_n, pattern_m, &job->events, err));
    return product(job, a, w->tensor.data, m, n, k, pattern_n, pattern_m, y, err);
}

lac_status lac_sta_simulate_gemm(lac_sta_job *job, const lac_layer *layer, lac_error *err)
{
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    bool is_fc = strcmp(layer->kind->row.name, "fc") == 0;
    int64_t m = lac_layer_dim_get(layer, is_fc ? "batch" : "m");
    int64_t n = lac_layer_dim_get(layer, is_fc ? "out" : "n");
    int64_t k = lac_layer_dim_get(layer, is_fc ? "in" : "k");
    int64_t products = layer->kind->gemm_count(layer);
    if (!w->tensor.data || !layer->operand[LAC_ROLE_ACTIVATIONS].tensor.data) {
        if (!job->options->schedule_only)
            return lac_fail(err, LAC_ERROR_INPUT, "weights or activations are not given");
        for (int64_t i = 0; i < products; i++)
            LAC_TRY(lac_sta_schedule_gemm(&job->machine, m, n, k, w->m > 1 ? w->n : 1,
                                          w->m > 1 ? w->m : 1, &job->events, err));
        return LAC_OK;
    }
    lac_tensor *output = &job->result->output;
    if (!job->options->schedule_only)
        LAC_TRY(lac_product_output_make(layer, output, err));
    for (int64_t i = 0; i < products; i++) {
        lac_layer gemm;
        LAC_TRY(layer->kind->gemm(layer, i, &gemm, err));
        lac_status status = simulate_product(
            job, &gemm, output->data ? (int32_t *)output->data + i * m * n : NULL, err);
        lac_layer_release(&gemm);
        LAC_TRY(status);
    }
    return output->data ? lac_result_compare(job->result, layer, job->options, err) : LAC_OK;
}

/* Weights [k][c][r][s] -> [k][r][s][padded], zeros behind the channels. */
static int8_t *turn_weights(const lac_conv *g, const int8_t *w, int64_t padded, lac_error *err)
{
    int64_t taps = g->r * g->s;
    int8_t *matrix = lac_alloc((size_t)(g->k * taps), (size_t)padded, err);
    for (int64_t k = 0; matrix && k < g->k; k++)
        for (int64_t c = 0; c < g->c; c++)
            for (int64_t t = 0; t < taps; t++)
                matrix[(k * taps + t) * padded + c] = w[(k * g->c + c) * taps + t];
    return matrix;
}

/* Row `index` (batch, oh, ow) of the column matrix: [r][s][padded]; `row` holds zeros behind the
 * channels already. */
static void gather_row(const lac_conv *g, const int8_t *a, int64_t index, int64_t padded,
                       int8_t *row)
{
    int64_t pixels = g->out_h * g->out_w, image = g->h * g->w;
    const int8_t *input = a + index / pixels * g->c * image;
    int64_t y0 = index % pixels / g->out_w * g->stride_h - g->pad_top;
    int64_t x0 = index % g->out_w * g->stride_w - g->pad_left;
    for (int64_t r = 0; r < g->r; r++)
        for (int64_t s = 0; s < g->s; s++, row += padded) {
            int64_t y = y0 + r * g->dilation_h, x = x0 + s * g->dilation_w;
            bool inside = y >= 0 && y < g->h && x >= 0 && x < g->w;
            for (int64_t c = 0; c < g->c; c++)
                row[c] = inside ? input[c * image + y * g->w + x] : 0;
        }
}

enum { ROWS = 512 }; /* of the column matrix at a time */

static lac_status convolve(lac_sta_job *job, const lac_layer *layer, const lac_conv *g,
                           const int8_t *w, int64_t padded, int n, int m, int8_t *rows, int32_t *y,
                           int64_t *count, lac_error *err)
{
    const lac_tensor *a = &layer->operand[LAC_ROLE_ACTIVATIONS].tensor;
    int64_t k = g->r * g->s * padded, pixels = g->out_h * g->out_w, total = g->batch * pixels;
    lac_tensor matrix = lac_tensor_view(LAC_I8, 2, (int64_t[]){g->k, k}, (void *)(uintptr_t)w);
    int32_t *output = job->result->output.data;
    lac_sta_weights weights = {.bytes = NULL};
    lac_status status = LAC_OK;
    job->nnz_w += lac_count_nonzeros(&matrix);
    lac_count_columns(count, &matrix, 0, k, g->k, k);
    if (output)
        LAC_TRY(lac_sta_weights_make(&weights, &job->machine, n, m, w, g->k, k, err));
    for (int64_t first = 0; first < total && status == LAC_OK; first += ROWS) {
        int64_t some = total - first < ROWS ? total - first : ROWS;
        for (int64_t i = 0; i < some; i++)
            gather_row(g, a->data, first + i, padded, rows + i * k);
        lac_tensor part = lac_tensor_view(a->dtype, 2, (int64_t[]){some, k}, rows);
        lac_count_columns(count + k, &part, 0, k, some, k);
        if (!output)
            continue;
        status = lac_sta_multiply(y, &weights, &part, some, err);
        for (int64_t i = 0; i < some && status == LAC_OK; i++)
            for (int64_t c = 0; c < g->k; c++)
                output[((first + i) / pixels * g->k + c) * pixels + (first + i) % pixels] =
                    y[i * g->k + c];
    }
    lac_sta_weights_release(&weights);
    for (int64_t i = 0; i < k; i++)
        job->effectual += count[i] * count[k + i];
    return status;
}

lac_status lac_sta_simulate_conv(lac_sta_job *job, const lac_layer *layer, lac_error *err)
{
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    lac_conv g = lac_conv_of(layer);
    int64_t rows = g.batch * g.out_h * g.out_w;
    bool given = w->tensor.data && layer->operand[LAC_ROLE_ACTIVATIONS].tensor.data;
    bool sparse = w->m > 1;
    if (!given && !job->options->schedule_only)
        return lac_fail(err, LAC_ERROR_INPUT, "weights or activations are not given");
    if (given) {
        LAC_TRY(lac_operand_need(layer, LAC_ROLE_WEIGHTS, g.k * g.c * g.r * g.s, err));
        LAC_TRY(lac_operand_need(layer, LAC_ROLE_ACTIVATIONS, g.batch * g.c * g.h * g.w, err));
    }
    int64_t padded = sparse ? (g.c + w->m - 1) / w->m * w->m : g.c;
    int8_t *matrix = given ? turn_weights(&g, w->tensor.data, padded, err) : NULL;
    if (given && !matrix)
        return LAC_ERROR_MEMORY;
    if (given && sparse && !lac_sta_pattern_fits(matrix, g.k * g.r * g.s, padded, w->n, w->m)) {
        sparse = false; /* the promise is not kept: dense mode */
        padded = g.c;
        lac_free(matrix);
        matrix = turn_weights(&g, w->tensor.data, padded, err);
        if (!matrix)
            return LAC_ERROR_MEMORY;
    }
    int n = sparse ? w->n : 1, m = sparse ? w->m : 1;
    int64_t k = g.r * g.s * padded;
    lac_status status = lac_sta_schedule_gemm(&job->machine, rows, g.k, k, n, m, &job->events, err);
    if (status != LAC_OK || !given) {
        lac_free(matrix);
        return status;
    }
    if (!job->options->schedule_only)
        status = lac_product_output_make(layer, &job->result->output, err);
    int64_t some = rows < ROWS ? rows : ROWS;
    int8_t *gathered = lac_alloc((size_t)some, (size_t)k, err);
    int32_t *y = gathered ? lac_alloc((size_t)some, (size_t)g.k * sizeof *y, err) : NULL;
    int64_t *count = y ? lac_alloc((size_t)k, 2 * sizeof *count, err) : NULL;
    if (status == LAC_OK)
        status = !count ? LAC_ERROR_MEMORY
                        : convolve(job, layer, &g, matrix, padded, n, m, gathered, y, count, err);
    lac_free(count);
    lac_free(y);
    lac_free(gathered);
    lac_free(matrix);
    LAC_TRY(status);
    return job->options->schedule_only ? LAC_OK
                                       : lac_result_compare(job->result, layer, job->options, err);
}
