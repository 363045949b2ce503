/* int8 weights in R x C blocks (format block), C a multiple of 4, times bytes in quads: what the
 * instruction sets share. A block row is C / 4 words of four weights; each meets one word of four
 * activations per column. */
#ifndef LACUNA_CPU_BLOCK_I8_H
#define LACUNA_CPU_BLOCK_I8_H

#include "cpu/panel.h"

typedef struct lac_block_i8 {
    int64_t r, quads;      /* rows of a block; words of a block row */
    int64_t bytes;         /* of a block */
    int64_t strips;        /* of r rows */
    int64_t groups;        /* of four columns; the last block may be wider than the matrix */
    const uint32_t *start; /* [strips + 1] */
    const uint16_t *col;
    const int8_t *values;
} lac_block_i8;

static inline lac_block_i8 lac_block_i8_of(const lac_packed *packed)
{
    int64_t r = lac_params_int(&packed->params, "r"), c = lac_params_int(&packed->params, "c");
    return (lac_block_i8){r,
                          c / 4,
                          r * c,
                          (packed->rows + r - 1) / r,
                          (packed->cols + 3) / 4,
                          packed->field[0].data,
                          packed->field[1].data,
                          packed->field[2].data};
}

/* Words of a block row in column `col` that lie inside the matrix. */
static inline int64_t lac_block_i8_words(const lac_block_i8 *w, int64_t col)
{
    int64_t left = w->groups - col * w->quads;
    return left < w->quads ? left : w->quads;
}

/* Where group g of a tile stands; `window`: of a convolution. */
static inline const char *lac_block_i8_at(const lac_panel_source *source, bool window, int64_t g)
{
    return source->x + (window ? source->offset[g] : g * source->stride);
}

/* Refuses blocks whose columns are no whole words. */
bool lac_block_i8_can_run(const lac_packed *packed, char *why, size_t why_size);
void lac_block_i8_sum(const lac_packed *packed, int32_t *sum);
/* The products of outputs [begin, end) with one token, portable. */
void lac_block_i8_dot(const lac_packed *packed, int64_t begin, int64_t end, const void *x,
                      void *sums);

#endif
