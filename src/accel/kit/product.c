/* Elements are widened to int16 once; tiles of 4 rows x 4 outputs of dot products keep every loaded
 * vector in use, and the compiler makes multiply-add instructions of them. Products too deep for
 * int32 sums go through the checked reference. */
#include "accel/kit/product.h"

#include <string.h>

#include "core/clones.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "graph/layer_conv.h"
#include "graph/layer_tools.h"

enum { TILE = 4, PANEL = 64 /* outputs whose weights stay in the second-level cache */ };

LAC_CLONES static void dot_tile(int32_t *restrict sum, const int16_t *restrict a,
                                const int16_t *restrict w, int64_t k)
{
    const int16_t *a1 = a + k, *a2 = a + 2 * k, *a3 = a + 3 * k;
    const int16_t *w1 = w + k, *w2 = w + 2 * k, *w3 = w + 3 * k;
    int32_t s00 = 0, s01 = 0, s02 = 0, s03 = 0, s10 = 0, s11 = 0, s12 = 0, s13 = 0;
    int32_t s20 = 0, s21 = 0, s22 = 0, s23 = 0, s30 = 0, s31 = 0, s32 = 0, s33 = 0;
    for (int64_t i = 0; i < k; i++) {
        s00 += a[i] * w[i], s01 += a[i] * w1[i], s02 += a[i] * w2[i], s03 += a[i] * w3[i];
        s10 += a1[i] * w[i], s11 += a1[i] * w1[i], s12 += a1[i] * w2[i], s13 += a1[i] * w3[i];
        s20 += a2[i] * w[i], s21 += a2[i] * w1[i], s22 += a2[i] * w2[i], s23 += a2[i] * w3[i];
        s30 += a3[i] * w[i], s31 += a3[i] * w1[i], s32 += a3[i] * w2[i], s33 += a3[i] * w3[i];
    }
    const int32_t all[TILE * TILE] = {s00, s01, s02, s03, s10, s11, s12, s13,
                                      s20, s21, s22, s23, s30, s31, s32, s33};
    memcpy(sum, all, sizeof all);
}

typedef struct multiply {
    int32_t *y;
    const int16_t *a, *w; /* rows padded with zeros to a multiple of TILE */
    int64_t m, n, k;
} multiply;

static void multiply_tiles(void *context, int64_t begin, int64_t end)
{
    const multiply *p = context;
    for (int64_t panel = 0; panel < p->n; panel += PANEL) {
        int64_t panel_end = p->n - panel < PANEL ? p->n : panel + PANEL;
        for (int64_t row = begin * TILE; row < end * TILE && row < p->m; row += TILE)
            for (int64_t col = panel; col < panel_end; col += TILE) {
                int32_t sum[TILE * TILE];
                dot_tile(sum, p->a + row * p->k, p->w + col * p->k, p->k);
                for (int64_t i = 0; i < TILE && row + i < p->m; i++)
                    for (int64_t j = 0; j < TILE && col + j < p->n; j++)
                        p->y[(row + i) * p->n + col + j] = sum[i * TILE + j];
            }
    }
}

static bool fits_int32(const lac_tensor *a, const lac_tensor *w, int64_t k)
{
    int64_t largest = (a->dtype == LAC_U8 ? 255 : 128) * (w->dtype == LAC_U8 ? 255 : 128);
    return lac_is_small(a, w) && k <= INT32_MAX / largest;
}

lac_status lac_product(int32_t *y, const lac_tensor *a, const lac_tensor *w, int64_t m, int64_t n,
                       int64_t k, lac_error *err)
{
    if (!fits_int32(a, w, k))
        return lac_gemm_reference(y, a, 0, w, 0, m, n, k, err);
    int64_t tiles = (m + TILE - 1) / TILE, cols = (n + TILE - 1) / TILE * TILE;
    int16_t *wide_a = lac_alloc((size_t)(tiles * TILE * k), sizeof *wide_a, err);
    int16_t *wide_w = wide_a ? lac_alloc((size_t)(cols * k), sizeof *wide_w, err) : NULL;
    lac_status status = wide_w ? LAC_OK : LAC_ERROR_MEMORY;
    if (wide_w) {
        lac_to_i16(wide_a, a, 0, m * k);
        lac_to_i16(wide_w, w, 0, n * k);
        multiply p = {y, wide_a, wide_w, m, n, k};
        lac_parallel_for(tiles, 1 + 250000 / (n * k + 1), multiply_tiles, &p);
    }
    lac_free(wide_w);
    lac_free(wide_a);
    return status;
}

static bool is_kind(const lac_layer *layer, const char *kind)
{
    return strcmp(layer->kind->row.name, kind) == 0;
}

lac_status lac_product_output_make(const lac_layer *layer, lac_tensor *output, lac_error *err)
{
    if (is_kind(layer, "conv")) {
        lac_conv g = lac_conv_of(layer);
        return lac_tensor_make(output, LAC_I32, 4, (int64_t[]){g.batch, g.k, g.out_h, g.out_w},
                               err);
    }
    /* one product after the other, [product][m][n]; attention keeps every second */
    int64_t step = is_kind(layer, "attention") ? 2 : 1, m, n;
    lac_layer bare = *layer, gemm;
    for (int i = 0; i < LAC_ROLE_LIMIT; i++)
        memset(&bare.operand[i].tensor, 0, sizeof bare.operand[i].tensor);
    LAC_TRY(layer->kind->gemm(&bare, step - 1, &gemm, err));
    m = lac_layer_dim_get(&gemm, "m");
    n = lac_layer_dim_get(&gemm, "n");
    int64_t products = layer->kind->gemm_count(layer) / step, shape[] = {products, m, n};
    int skip = products == 1;
    return lac_tensor_make(output, LAC_I32, 3 - skip, shape + skip, err);
}

void lac_product_place(const lac_layer *layer, int64_t index, const int32_t *y, lac_tensor *output)
{
    int32_t *out = output->data;
    if (is_kind(layer, "conv")) {
        lac_conv g = lac_conv_of(layer);
        int64_t pixels = g.out_h * g.out_w;
        for (int64_t b = 0; b < g.batch; b++)
            for (int64_t k = 0; k < g.k_group; k++)
                for (int64_t i = 0; i < pixels; i++)
                    out[(b * g.k + index * g.k_group + k) * pixels + i] =
                        y[(b * pixels + i) * g.k_group + k];
        return;
    }
    int64_t step = is_kind(layer, "attention") ? 2 : 1;
    int64_t size = lac_tensor_count(output) / (layer->kind->gemm_count(layer) / step);
    if (index % step == step - 1)
        memcpy(out + index / step * size, y, (size_t)size * sizeof *y);
}

static lac_status multiply_one(const lac_layer *layer, int64_t index, lac_tensor *output,
                               lac_error *err)
{
    lac_layer gemm;
    LAC_TRY(layer->kind->gemm(layer, index, &gemm, err));
    int64_t m = lac_layer_dim_get(&gemm, "m"), n = lac_layer_dim_get(&gemm, "n");
    int32_t *y = lac_alloc_raw((size_t)m, (size_t)n * sizeof *y, err);
    lac_status status = y ? LAC_OK : LAC_ERROR_MEMORY;
    if (y) {
        status = lac_product(y, &gemm.operand[LAC_ROLE_ACTIVATIONS].tensor,
                             &gemm.operand[LAC_ROLE_WEIGHTS].tensor, m, n,
                             lac_layer_dim_get(&gemm, "k"), err);
        if (status == LAC_OK)
            lac_product_place(layer, index, y, output);
    }
    lac_free(y);
    lac_layer_release(&gemm);
    return status;
}

lac_status lac_product_output(const lac_layer *layer, lac_tensor *output, lac_error *err)
{
    int64_t count = layer->kind->gemm_count(layer), step = is_kind(layer, "attention") ? 2 : 1;
    LAC_TRY(lac_product_output_make(layer, output, err));
    for (int64_t i = step - 1; i < count; i += step) {
        lac_status status = multiply_one(layer, i, output, err);
        if (status != LAC_OK) {
            lac_tensor_release(output);
            return status;
        }
    }
    return LAC_OK;
}

lac_status lac_result_compare(lac_result *result, const lac_layer *layer,
                              const lac_sim_options *options, lac_error *err)
{
    lac_tensor reference;
    result->exact = false;
    if (options->no_check)
        return LAC_OK;
    LAC_TRY(layer->kind->reference(layer, &reference, err));
    result->exact = lac_tensor_count(&reference) == lac_tensor_count(&result->output) &&
                    reference.dtype == result->output.dtype &&
                    memcmp(reference.data, result->output.data, lac_tensor_bytes(&reference)) == 0;
    lac_tensor_release(&reference);
    return LAC_OK;
}
