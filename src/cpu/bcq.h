/* What the kernels of format bcq share: their state and how a run begins. */
#ifndef LACUNA_CPU_BCQ_H
#define LACUNA_CPU_BCQ_H

#include "cpu/packed_gemm.h"
#include "format/bcq.h"

/* Integer sums are turned into floats after so many columns: 255 * 128 fits 16 bits. */
#define LAC_BCQ_FLUSH 128

typedef struct bcq_state {
    lac_gemm_shape shape;
    lac_bcq q;
    lac_packed_numbers numbers;
    bool floats;
    int64_t padded; /* k up to whole words */
    void *x;        /* [m][padded] float, or int16: less the zero point; 0 behind the last */
    float *sum;     /* [m][groups] sums of x */
    void *tables;   /* of one row of activations: [words][8] tables of 64 bytes */
    int64_t row;    /* of the tables */
    lac_epilogue epilogue;
} bcq_state;

bool lac_bcq_can_run(const lac_layer *layer, char *why, size_t why_size);
lac_status lac_bcq_prepare(const lac_layer *layer, void **state, lac_error *err);
void lac_bcq_release(void *state);
size_t lac_bcq_bytes(const void *state);
/* Copies the activations, sums their groups, fills the epilogue. */
void lac_bcq_begin(bcq_state *w, const lac_layer *layer);

#endif
