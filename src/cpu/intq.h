/* What the kernels of format intq share: their state and how a run begins. */
#ifndef LACUNA_CPU_INTQ_H
#define LACUNA_CPU_INTQ_H

#include "cpu/packed_gemm.h"
#include "format/intq.h"

typedef struct intq_state {
    lac_gemm_shape shape;
    lac_intq q;
    lac_packed_numbers numbers;
    bool floats;    /* activations */
    int64_t padded; /* k up to whole blocks */
    int64_t stride; /* of x: not a multiple of 4096 bytes, which would share places of the cache */
    void *x;        /* [m][stride]: signed or unsigned bytes or floats, 0 behind the last column */
    int32_t *base;  /* [m][groups] sums of x - zero; signed bytes */
    int32_t zero;   /* zero point of x as it is in `x` */
    lac_epilogue epilogue;
} intq_state;

bool lac_intq_can_run(const lac_layer *layer, char *why, size_t why_size);
lac_status lac_intq_prepare(const lac_layer *layer, void **state, lac_error *err);
void lac_intq_release(void *state);
size_t lac_intq_bytes(const void *state);
/* Copies the activations (integers: as signed bytes or unsigned ones) and fills the epilogue.
 * tile 0: row by row; else (a divisor of 512) [columns / tile][m][tile]. */
void lac_intq_begin(intq_state *w, const lac_layer *layer, bool as_signed, int64_t tile);

#endif
