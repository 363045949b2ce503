/* What the kernels of N:M weights share on all instruction sets: which layers they take, where
 * activations stand, the work between the sums. A row supplies a function for some tokens and some
 * panels of outputs; the weights are read where they lie in the fields of the format.
 *
 * A block of tokens stands in the first-level cache and meets all panels. Its rows are K elements
 * one behind the other: read in place where they are so, else copied, a block at a time (windows of
 * convolutions, borders, int8 shifted to uint8, K that loads would reach behind). Panels are walked
 * by ranges that stay in the second-level cache for all tokens. */
#ifndef LACUNA_CPU_NM_GEMM_H
#define LACUNA_CPU_NM_GEMM_H

#include "cpu/geometry.h"
#include "cpu/packed_gemm.h"
#include "format/nm.h"

typedef struct lac_nm_state lac_nm_state;

/* Tokens [row, row + rows) of the layer; token i is at x + i * stride. */
typedef struct lac_nm_rows {
    const uint8_t *x;
    int64_t stride, row;
    int rows;
} lac_nm_rows;

/* Sums and finishes the outputs of the panels [panel, end) for these tokens. */
typedef void lac_nm_block(const lac_nm_state *w, const lac_nm_rows *rows, int64_t panel,
                          int64_t end);

/* How a row of the table goes about it. */
typedef struct lac_nm_plan {
    lac_nm_block *block;
    int rows;  /* tokens of a block, at most */
    int reach; /* elements that a load covers: as many windows as fit are read by one, and rows are
                  readable so far; 0: one window, by 16 elements */
    /* Windows of int8 of up to `spread` columns are copied to 64 bytes each, 16 four times, and a
     * block has spread_rows tokens */
    int spread, spread_rows;
} lac_nm_plan;

struct lac_nm_state { /* vectors first: aligned as the state is */
    /* First column, within a load, of the group of each element of the steps of a load */
    uint8_t base[LAC_NM_SLOTS / 4][LAC_NM_SLOTS];
    const lac_nm_plan *plan;
    lac_gemm_shape shape;
    lac_conv_geometry conv; /* a product is the one of 1 x 1 windows over m pixels */
    lac_nm_cut cut;
    lac_packed_numbers numbers;
    size_t element;     /* bytes of an activation */
    int64_t load_steps; /* steps of the windows that a load covers */
    int64_t load_bytes; /* from one load of a row to the next */
    int64_t row_bytes;  /* of a copied row */
    int64_t flat_bytes; /* of its K elements before they are spread, readable by all loads */
    int64_t range;      /* panels that stay in the cache */
    int64_t rows;       /* of a block */
    bool spread;
    bool contiguous;             /* rows of the source are rows of the product */
    bool plain;                  /* places may be or-ed to base */
    bool twos;                   /* and the values have 8 bits: what the fastest loops ask for */
    int slot_base[LAC_NM_SLOTS]; /* of each slot of a window: first column of its group */
    const uint8_t *index, *values;
    /* during a run */
    const uint8_t *source;
    int32_t pad;
    bool is_signed, in_place, failed;
    lac_epilogue epilogue;
};

bool lac_nm_can_run(const lac_layer *layer, char *why, size_t why_size);
lac_status lac_nm_prepare(const lac_layer *layer, const lac_nm_plan *plan, void **state,
                          lac_error *err);
lac_status lac_nm_run(const lac_layer *layer, void *state, lac_error *err);
void lac_nm_release(void *state);
size_t lac_nm_bytes(const void *state);
/* Seconds when a step costs `step` for each token, and a byte of the fields is read once. */
double lac_nm_cost(const lac_layer *layer, double step);

/* Rows from the functions PREFIX_plan and PREFIX_step (seconds). */
#define LAC_NM_ROWS(name_, dtype_, isa_, prefix, text)                                             \
    static lac_status prefix##_##name_##_prepare(const lac_layer *layer, void **state,             \
                                                 lac_error *err)                                   \
    {                                                                                              \
        return lac_nm_prepare(layer, &prefix##_plan, state, err);                                  \
    }                                                                                              \
    static double prefix##_##name_##_cost(const lac_layer *layer)                                  \
    {                                                                                              \
        return lac_nm_cost(layer, prefix##_STEP);                                                  \
    }                                                                                              \
    LAC_NM_ROW(gemm, name_, dtype_, isa_, prefix, text)                                            \
    LAC_NM_ROW(conv, name_, dtype_, isa_, prefix, text ", convolution")
#define LAC_NM_ROW(kind_, name_, dtype_, isa_, prefix, text)                                       \
    const lac_kernel lac_kernel_##kind_##_##name_ = {LAC_ROW(lac_kernel, #kind_ "_" #name_, text), \
                                                     .kind = #kind_,                               \
                                                     .format = "nm",                               \
                                                     .dtype = dtype_,                              \
                                                     .isa = isa_,                                  \
                                                     .can_run = lac_nm_can_run,                    \
                                                     .cost = prefix##_##name_##_cost,              \
                                                     .prepare = prefix##_##name_##_prepare,        \
                                                     .run = lac_nm_run,                            \
                                                     .release = lac_nm_release,                    \
                                                     .state_bytes = lac_nm_bytes,                  \
                                                     .residual_in_place = true};

#endif
