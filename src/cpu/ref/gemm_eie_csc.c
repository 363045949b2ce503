/* EIE's sparse columns on a CPU, driven by the activations as in the accelerator: a zero activation
 * skips its whole column. The outputs are cut into blocks whose sums stay in the cache; a block has
 * its own columns (entries: row within the block, code), and a few rows of activations share each
 * walk. An output adds its products by rising k, whatever the partition. */
#include "cpu/packed_gemm.h"

#include "core/bits.h"
#include "core/memory.h"
#include "core/parallel.h"

#include <string.h>

enum { BLOCK = 256, ROWS = 8, ENTRIES = 0, POINTERS = 1, CODEBOOK = 2 };

typedef struct csc_state {
    lac_gemm_shape shape;
    lac_packed_numbers numbers;
    int64_t blocks, entries;
    int64_t *first; /* [blocks][k + 1] entry numbers */
    uint8_t *entry; /* pairs: row within the block, code */
    float book[256];
    const float *activations; /* during a run */
    lac_epilogue epilogue;
} csc_state;

/* Every weight once: counts it in first[block][k + 1], or writes it at first[block][k] and moves
 * that on. */
static void csc_walk(csc_state *w, const lac_packed *packed, bool fill)
{
    int64_t pe = lac_params_int(&packed->params, "pe");
    int index_bits = (int)lac_params_int(&packed->params, "index_bits");
    int code_bits = (int)lac_params_int(&packed->params, "code_bits");
    int width = index_bits + code_bits;
    const uint8_t *entry = packed->field[ENTRIES].data;
    const uint32_t *pointer = packed->field[POINTERS].data;
    int64_t begin = 0, cols = packed->cols;
    for (int64_t p = 0; p < pe; p++, pointer += cols + 1) {
        for (int64_t k = 0; k < cols; k++) {
            int64_t row = -1;
            for (int64_t e = begin + pointer[k]; e < begin + pointer[k + 1]; e++) {
                uint32_t held = lac_bits_get(entry, e * width, width);
                uint32_t code = held & ((1u << code_bits) - 1);
                row += (held >> code_bits) + 1;
                if (code == 0)
                    continue;
                int64_t n = row * pe + p;
                int64_t *at = &w->first[n / BLOCK * (cols + 1) + k];
                if (fill) {
                    w->entry[2 * *at] = (uint8_t)(n % BLOCK);
                    w->entry[2 * *at + 1] = (uint8_t)code;
                    ++*at;
                } else {
                    at[1]++;
                }
            }
        }
        begin += pointer[cols];
    }
}

static void csc_release(void *state)
{
    csc_state *w = state;
    if (!w)
        return;
    lac_packed_numbers_release(&w->numbers);
    lac_free(w->first);
    lac_free(w->entry);
    lac_free(w);
}

static lac_status csc_make(csc_state *w, const lac_layer *layer, lac_error *err)
{
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    if (!lac_gemm_shape_of(layer, &w->shape, NULL, 0))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "not a product of packed weights");
    LAC_TRY(lac_packed_validate(packed, err));
    LAC_TRY(lac_packed_numbers_make(&w->numbers, w->shape.n, false, err));
    int64_t stride = w->shape.k + 1;
    w->blocks = (w->shape.n + BLOCK - 1) / BLOCK;
    w->first = lac_alloc((size_t)(w->blocks * stride), sizeof *w->first, err);
    if (!w->first)
        return LAC_ERROR_MEMORY;
    csc_walk(w, packed, false);
    for (int64_t b = 0; b < w->blocks; b++) {
        w->first[b * stride] = w->entries;
        for (int64_t k = 0; k < w->shape.k; k++)
            w->first[b * stride + k + 1] += w->first[b * stride + k];
        w->entries = w->first[b * stride + w->shape.k];
    }
    w->entry = lac_alloc((size_t)w->entries, 2, err);
    if (!w->entry)
        return LAC_ERROR_MEMORY;
    csc_walk(w, packed, true); /* first[b][k] is now where first[b][k + 1] was */
    for (int64_t b = 0; b < w->blocks; b++) {
        int64_t *first = w->first + b * stride;
        memmove(first + 1, first, (size_t)w->shape.k * sizeof *first);
        first[0] = b ? first[-1] : 0;
    }
    for (int64_t i = 0; i < lac_tensor_count(&packed->field[CODEBOOK]); i++)
        w->book[i] = (float)lac_tensor_get(&packed->field[CODEBOOK], i);
    return LAC_OK;
}

static lac_status csc_prepare(const lac_layer *layer, void **state, lac_error *err)
{
    csc_state *w = lac_alloc(1, sizeof *w, err);
    if (!w)
        return LAC_ERROR_MEMORY;
    lac_status status = csc_make(w, layer, err);
    if (status == LAC_OK)
        *state = w;
    else
        csc_release(w);
    return status;
}

static inline __attribute__((always_inline)) void csc_tile(const csc_state *w, int64_t block,
                                                           int64_t row, const int rows)
{
    float sum[BLOCK][ROWS];
    const int64_t k = w->shape.k, *first = w->first + block * (k + 1);
    int64_t n = w->shape.n - block * BLOCK < BLOCK ? w->shape.n - block * BLOCK : BLOCK;
    for (int64_t i = 0; i < n; i++)
        for (int r = 0; r < rows; r++)
            sum[i][r] = 0;
    for (int64_t j = 0; j < k; j++) {
        float x[ROWS];
        bool any = false;
        for (int r = 0; r < rows; r++) {
            x[r] = w->activations[(row + r) * k + j];
            any |= x[r] != 0;
        }
        if (!any)
            continue;
        const uint8_t *end = w->entry + 2 * first[j + 1];
        for (const uint8_t *e = w->entry + 2 * first[j]; e < end; e += 2) {
            float value = w->book[e[1]];
            for (int r = 0; r < rows; r++)
                sum[e[0]][r] += x[r] * value;
        }
    }
    for (int r = 0; r < rows; r++) {
        float out[BLOCK];
        for (int64_t i = 0; i < n; i++)
            out[i] = sum[i][r];
        lac_epilogue_floats(&w->epilogue, row + r, block * BLOCK, (int)n, out);
    }
}

/* Items are blocks of outputs. */
static void csc_range(void *context, int64_t begin, int64_t end)
{
    const csc_state *w = context;
    for (int64_t block = begin; block < end; block++) {
        int64_t row = 0;
        for (; row + ROWS <= w->shape.m; row += ROWS)
            csc_tile(w, block, row, ROWS);
        for (; row < w->shape.m; row++)
            csc_tile(w, block, row, 1);
    }
}

static lac_status csc_run(const lac_layer *layer, void *state, lac_error *err)
{
    csc_state *w = state;
    (void)err;
    lac_epilogue_begin(&w->epilogue, layer, &w->numbers, &w->shape, 0);
    w->activations = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.data;
    int64_t work = 1 + (w->entries + w->shape.k) / w->blocks * w->shape.m;
    lac_parallel_for(w->blocks, 1 + 32768 / work, csc_range, w);
    return LAC_OK;
}

static bool csc_can_run(const lac_layer *layer, char *why, size_t why_size)
{
    return lac_packed_can_run(layer, LAC_BIT(LAC_F32) | LAC_BIT(LAC_I8), why, why_size);
}

/* Measured by bench/packed.c: an entry times a row of activations, alone and among ROWS; a column
 * that is looked at. */
#define SECONDS_PER_ENTRY  0.55e-9
#define SECONDS_IN_BLOCK   0.08e-9
#define SECONDS_PER_COLUMN 0.77e-9

static double csc_cost(const lac_layer *layer)
{
    lac_gemm_shape shape;
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    if (!packed || !lac_gemm_shape_of(layer, &shape, NULL, 0))
        return 1e30;
    int width = (int)(lac_params_int(&packed->params, "index_bits") +
                      lac_params_int(&packed->params, "code_bits"));
    double entries = 8 * (double)lac_tensor_bytes(&packed->field[ENTRIES]) / width;
    double blocks = (double)((shape.n + BLOCK - 1) / BLOCK), alone = (double)(shape.m % ROWS);
    double together = (double)shape.m - alone, columns = blocks * (double)shape.k * (double)shape.m;
    return lac_packed_seconds(entries * (alone * SECONDS_PER_ENTRY + together * SECONDS_IN_BLOCK) +
                                  columns * SECONDS_PER_COLUMN,
                              2 * entries, &shape);
}

static size_t csc_bytes(const void *state)
{
    const csc_state *w = state;
    return (size_t)(2 * w->entries) + (size_t)(w->blocks * (w->shape.k + 1)) * sizeof *w->first +
           sizeof w->book;
}

LAC_PACKED_ROWS(eie_csc_f32_ref, "eie-csc", LAC_F32, 0, csc,
                "sparse columns, driven by activations")
