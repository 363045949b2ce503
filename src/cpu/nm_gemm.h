/* What the kernels of N:M weights share on all instruction sets: which layers they take, where
 * activations stand, the work between the sums. A row supplies a function for some tokens and one
 * panel of outputs; the weights are read where they lie in the fields of the format.
 *
 * Convolutions of any window: a window of K lies in the channels of one place (r, s), so that with
 * channels last it is a run of memory, `turn.at` bytes behind the pixel's first. */
#ifndef LACUNA_CPU_NM_GEMM_H
#define LACUNA_CPU_NM_GEMM_H

#include "cpu/geometry.h"
#include "cpu/packed_gemm.h"
#include "format/nm.h"

typedef struct lac_nm_state lac_nm_state;

/* Sums and finishes the outputs of `panel` for the rows [row, end). */
typedef void lac_nm_panel(const lac_nm_state *w, int64_t panel, int64_t row, int64_t end);
/* How a row of the table goes about it. */
typedef struct lac_nm_plan {
    lac_nm_panel *panel;
    int rows;  /* tokens of a register block of `panel` */
    int group; /* windows of so many columns together are read by one load; 0: each alone */
    int reach; /* columns read from the start of a load on; 0: sub-windows by 16 each */
    int align; /* bytes: loads should not straddle lines of the cache */
} lac_nm_plan;

/* Where things are for a step of a panel, any panel: precomputed, as registers are few. */
typedef struct lac_nm_turn {
    int64_t at;     /* bytes behind a row's first: the columns to load */
    int32_t index;  /* bytes behind the panel's first: the places */
    uint8_t shift;  /* which of the shifts widens them */
    uint8_t nibble; /* and 4-bit values */
    uint8_t base;   /* which row of `base` to add */
    uint8_t slot;   /* first of the step, within its window */
} lac_nm_turn;

struct lac_nm_state { /* vectors first: aligned as the state is */
    /* First column, within a load, of the group of each element of its steps; float weights: of
     * 16 elements, as uint32 */
    uint8_t base[LAC_NM_SLOTS / 4][LAC_NM_SLOTS];
    uint16_t shift[4][32];  /* that widen the places of steps that share bytes */
    uint16_t nibble[2][32]; /* and 4-bit values */
    const lac_nm_plan *plan;
    lac_gemm_shape shape;
    lac_conv_geometry conv; /* a product is the one of 1 x 1 windows over m pixels */
    lac_nm_cut cut;
    lac_packed_numbers numbers;
    size_t element;               /* bytes of an activation */
    int64_t pixel, line, image;   /* elements from one to the next, as read */
    int64_t *row_at;              /* bytes, of each row (pixel) */
    lac_nm_turn *turn;            /* [panel_steps] */
    uint8_t *copy;                /* activations shifted or padded; NULL: read in place */
    int64_t pixels;               /* of the copy */
    int64_t chunk;                /* rows whose activations stay in the cache */
    bool plain;                   /* int8: values of 8 bits, places may be or-ed to base */
    int slot_sub[LAC_NM_SLOTS];   /* of each slot of a window: first column of its sub-window */
    int slot_group[LAC_NM_SLOTS]; /* and of its group within that */
    const uint8_t *index, *values;
    /* during a run */
    const uint8_t *source, *x;
    int32_t pad;
    bool is_signed;
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

/* The same pointer, but the compiler must read anew what it points to: the offsets of many rows do
 * not fit, and GCC would keep them in vector registers, where moving them competes with the work.
 */
static inline const int64_t *lac_nm_again(const int64_t *pointer)
{
#ifdef __GNUC__
    __asm__("" : "+r"(pointer));
#endif
    return pointer;
}

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
                                                     .state_bytes = lac_nm_bytes};

#endif
