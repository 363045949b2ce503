/* N:M weights as vector kernels read them. K is cut into windows of a whole number of groups; a
 * window of activations is one vector load, from which each output picks its own kept positions by
 * a byte (or float) shuffle: sta.md, "On a CPU". Weights are laid out panel by panel (`columns`
 * outputs), window by window, step by step: a step holds `depth` kept weights of every output. */
#ifndef LACUNA_CPU_NM_IMAGE_H
#define LACUNA_CPU_NM_IMAGE_H

#include <lacuna/format.h>

/* What an instruction set can do: one constant per kernel. */
typedef struct lac_nm_layout {
    int columns, depth;
    lac_dtype value; /* int8, int16 or float32 */
    int spans;       /* elements that a load of a window can cover: unit, 2 unit, 4 unit */
    int unit;
    double cost[3]; /* of a step, by span */
    double load[3]; /* of a window */
    /* Where, among the columns * depth elements of a step, the position and the value of kept
     * weight `slot` of output `column` stand; NULL: both at column * depth + slot. */
    void (*place)(int column, int slot, int *position, int *value);
} lac_nm_layout;

/* How a pattern is cut for a layout. */
typedef struct lac_nm_cut {
    int window, span; /* activations that a window advances and a load covers */
    int steps;        /* per window */
    double cost;      /* of a window */
} lac_nm_cut;

typedef struct lac_nm_image {
    lac_nm_cut cut;
    int64_t panels, windows;
    int64_t stride;    /* activations a row must have, readable */
    uint8_t *position; /* [panel][window][step][columns * depth], within the window */
    void *value;       /* the same shape */
    size_t bytes;
} lac_nm_image;

/* The cheapest cut of n:m, 1 <= n <= m <= 32. */
lac_nm_cut lac_nm_cut_of(const lac_nm_layout *layout, int n, int m);
/* Validates `packed` (format nm; int8 or float32) and repacks it. `sum`, when not NULL: [rows] sums
 * of the weights of each row. */
lac_status lac_nm_image_make(lac_nm_image *image, const lac_nm_layout *layout,
                             const lac_packed *packed, int32_t *sum, lac_error *err);
void lac_nm_image_release(lac_nm_image *image);

/* Calls visit(context, row, k, value) for every non-zero, by rising row and k. */
lac_status lac_nm_each(const lac_packed *packed,
                       lac_status (*visit)(void *context, int64_t row, int64_t k, double value,
                                           lac_error *err),
                       void *context, lac_error *err);

#endif
