/* int8 weights in blocks, portable. */
#include "cpu/block_i8.h"

#include <string.h>

static void tile(const lac_packed *packed, int64_t begin, int64_t end,
                 const lac_panel_source *source, int vectors, void *sums)
{
    lac_block_i8 w = lac_block_i8_of(packed);
    int columns = 16 * vectors;
    for (int64_t n = begin; n < end; n++) {
        int32_t *sum = (int32_t *)sums + (n - begin) * LAC_PANEL_COLUMNS;
        int64_t strip = n / w.r;
        for (int c = 0; c < columns; c++)
            sum[c] = source->start[n - begin];
        for (int64_t at = w.start[strip]; at < w.start[strip + 1]; at++)
            for (int64_t q = 0; q < lac_block_i8_words(&w, w.col[at]); q++) {
                const int8_t *v = w.values + at * w.bytes + 4 * (n % w.r * w.quads + q);
                int64_t g = w.col[at] * w.quads + q;
                const uint8_t *x = (const uint8_t *)source->x +
                                   (source->stride ? g * source->stride : source->offset[g]);
                for (int c = 0; c < columns; c++)
                    sum[c] += x[4 * c] * v[0] + x[4 * c + 1] * v[1] + x[4 * c + 2] * v[2] +
                              x[4 * c + 3] * v[3];
            }
    }
}

/* Measured on one core of an AMD EPYC (family 25, model 17): a word of weights times a column. */
#define SECONDS_PER_WORD 0.9e-9

static double seconds(const lac_packed *packed, int64_t columns)
{
    return SECONDS_PER_WORD * (double)packed->field[2].dims[0] / 4 * (double)columns;
}

static const lac_panel_family family = {
    .layout = LAC_LAYOUT_QUADS,
    .integer = true,
    .dtypes = LAC_BIT(LAC_I8),
    .outputs = 64,
    .moves = &lac_panel_moves_ref,
    .tile = tile,
    .starts = true,
    .dot = lac_block_i8_dot,
    .sum = lac_block_i8_sum,
    .can_run = lac_block_i8_can_run,
    .seconds = seconds,
};
LAC_PANEL_FAMILY(family)
LAC_PANEL_ROWS(block_u8_ref, "block", LAC_U8, 0, family, "int8 blocks, portable")
LAC_PANEL_ROWS(block_s8_ref, "block", LAC_I8, 0, family, "int8 blocks, portable")
