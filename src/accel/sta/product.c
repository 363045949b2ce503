/* What the matrix engine computes, from the packed image itself: kept elements select activations.
 * A block of tokens is transposed once, so that a kept weight is one multiply-add over a vector of
 * tokens. Accumulators are 32-bit and wrap. */
#include "accel/sta/sta.h"

#include <string.h>

#include "accel/kit/count.h"
#include "core/clones.h"
#include "core/memory.h"
#include "core/parallel.h"

enum { BLOCK = 128 }; /* tokens at a time */

lac_status lac_sta_weights_make(lac_sta_weights *weights, const lac_sta_machine *machine, int n,
                                int m, const int8_t *matrix, int64_t rows, int64_t k,
                                lac_error *err)
{
    memset(weights, 0, sizeof *weights);
    LAC_TRY(lac_sta_image_shape(&weights->shape, n, m, (int)machine->cols, (int)machine->lanes,
                                machine->index, rows, k, err));
    weights->bytes = lac_alloc((size_t)weights->shape.bytes, 1, err);
    if (!weights->bytes)
        return LAC_ERROR_MEMORY;
    lac_status status = lac_sta_image_pack(&weights->shape, matrix, weights->bytes, err);
    if (status != LAC_OK)
        lac_sta_weights_release(weights);
    return status;
}

void lac_sta_weights_release(lac_sta_weights *weights)
{
    lac_free(weights->bytes);
    weights->bytes = NULL;
}

bool lac_sta_pattern_fits(const int8_t *matrix, int64_t rows, int64_t k, int n, int m)
{
    if (n >= m)
        return true;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t g = 0; g < k; g += m) {
            int nonzeros = 0;
            for (int64_t i = g; i < k && i < g + m; i++)
                nonzeros += matrix[r * k + i] != 0;
            if (nonzeros > n)
                return false;
        }
    return true;
}

LAC_CLONES static void multiply_add(uint32_t *restrict sum, const int16_t *restrict a, int weight,
                                    int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        sum[i] += (uint32_t)(a[i] * weight);
}

typedef struct block {
    const lac_sta_weights *weights;
    const int16_t *a; /* [k][width] */
    int64_t width, rows;
    int32_t *y;
} block;

static void multiply_column(const block *b, int64_t tile, int c)
{
    const lac_sta_image *s = &b->weights->shape;
    uint32_t sum[BLOCK] = {0};
    int place[LAC_STA_M_MAX];
    int8_t value[LAC_STA_M_MAX];
    for (int64_t group = 0; group < s->groups; group++) {
        lac_sta_image_group(s, b->weights->bytes, tile, group / s->l, c, (int)(group % s->l), place,
                            value);
        for (int j = 0; j < s->n; j++)
            if (value[j]) /* a zero changes nothing, wherever its place is */
                multiply_add(sum, b->a + (group * s->m + place[j]) * b->width, value[j], b->width);
    }
    for (int64_t i = 0; i < b->rows; i++)
        b->y[i * s->n_out + tile * s->c + c] = (int32_t)sum[i];
}

static void multiply_tiles(void *context, int64_t begin, int64_t end)
{
    const block *b = context;
    const lac_sta_image *s = &b->weights->shape;
    for (int64_t tile = begin; tile < end; tile++)
        for (int c = 0; c < s->c && tile * s->c + c < s->n_out; c++)
            multiply_column(b, tile, c);
}

/* Rows [first, first + rows) of `a` as int16 [k][width], zeros behind. */
static void transpose(int16_t *target, const lac_tensor *a, int64_t first, int64_t rows, int64_t k,
                      int64_t width)
{
    memset(target, 0, (size_t)(k * width) * sizeof *target);
    const uint8_t *data = a->data;
    bool is_signed = a->dtype == LAC_I8;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < k; j++) {
            uint8_t byte = data[(first + i) * k + j];
            target[j * width + i] = is_signed ? (int8_t)byte : byte;
        }
}

lac_status lac_sta_multiply(int32_t *y, const lac_sta_weights *weights, const lac_tensor *a,
                            int64_t rows, lac_error *err)
{
    const lac_sta_image *s = &weights->shape;
    int64_t width = rows < BLOCK ? (rows + 15) / 16 * 16 : BLOCK;
    int16_t *turned = lac_alloc_raw((size_t)s->k, (size_t)width * sizeof *turned, err);
    if (!turned)
        return LAC_ERROR_MEMORY;
    for (int64_t first = 0; first < rows; first += BLOCK) {
        int64_t count = rows - first < BLOCK ? rows - first : BLOCK;
        transpose(turned, a, first, count, s->k, width);
        block b = {weights, turned, width, count, y + first * s->n_out};
        lac_parallel_for(s->tiles, 1 + 1000000 / (s->k * s->c * width + 1), multiply_tiles, &b);
    }
    lac_free(turned);
    return LAC_OK;
}

lac_status lac_sta_effectual(const lac_tensor *a, int64_t a_rows, const lac_tensor *b,
                             int64_t b_rows, int64_t cols, int64_t *macs, lac_error *err)
{
    int64_t *count = lac_alloc((size_t)cols, 2 * sizeof *count, err);
    if (!count)
        return LAC_ERROR_MEMORY;
    lac_count_columns(count, a, 0, cols, a_rows, cols);
    lac_count_columns(count + cols, b, 0, cols, b_rows, cols);
    for (int64_t i = 0; i < cols; i++)
        *macs += count[i] * count[cols + i];
    lac_free(count);
    return LAC_OK;
}
