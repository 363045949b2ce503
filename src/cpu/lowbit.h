/* The frame around kernels of weights of few bits, formats intq and bcq: what they can run, their
 * state, the copy of the activations, the loops over outputs and tokens. A kernel is the part in
 * between: some outputs times some tokens. */
#ifndef LACUNA_CPU_LOWBIT_H
#define LACUNA_CPU_LOWBIT_H

#include "cpu/packed_gemm.h"
#include "format/bcq.h"
#include "format/intq.h"

/* Sums of bcq of signed activations turn into floats after so many columns: 255 * 128 fits 16 bits.
 */
#define LAC_BCQ_FLUSH 128
/* Room for what a kernel of bcq looks up for 32 columns, and tokens that it is made for at once. */
#define LAC_BCQ_TABLES 512
#define LAC_BCQ_TOKENS 8

typedef struct lac_lowbit {
    lac_gemm_shape shape;
    lac_intq intq; /* of the format that the weights have */
    lac_bcq bcq;
    int64_t group, groups; /* columns that share scales */
    lac_packed_numbers numbers;
    bool floats;    /* activations */
    int64_t padded; /* k up to whole blocks of 32 */
    int64_t stride; /* of x: not a multiple of 4096 bytes, which would share places of the cache */
    void *x;        /* [m][stride]: signed or unsigned bytes or floats, 0 behind the last column */
    int32_t *base;  /* [m][groups] sums of x - zero of signed bytes; intq: times -1 or, where that
                     * is all zero points, times -middle, with the columns behind the last */
    float *sum;     /* [m][groups] the same of bcq, floats */
    int32_t zero;   /* zero point of x as it is in `x` */
    uint8_t *table; /* bcq: [tokens][padded / 32][LAC_BCQ_TABLES] */
    lac_epilogue epilogue;
} lac_lowbit;

bool lac_lowbit_can_run(const lac_layer *layer, char *why, size_t why_size);
lac_status lac_lowbit_prepare(const lac_layer *layer, void **state, lac_error *err);
void lac_lowbit_release(void *state);
size_t lac_lowbit_bytes(const void *state);

/* Copies the activations (integers: as signed bytes or unsigned ones), sums their groups (not of
 * unsigned ones) and fills the epilogue. tile 0: row by row; else (a divisor of 512) [columns /
 * tile][m][tile]. */
void lac_lowbit_begin(lac_lowbit *w, const lac_layer *layer, bool as_signed, int64_t tile);

/* Outputs first.. < last times tokens row.. < end. */
typedef void lac_lowbit_part(const lac_lowbit *w, int64_t first, int64_t last, int64_t row,
                             int64_t end);
/* Calls `part` for all outputs, in ranges that begin at multiples of `strip`, times tokens row.. <
 * end, at most `tokens` at a time. */
void lac_lowbit_products(const lac_lowbit *w, int64_t strip, int64_t row, int64_t end,
                         int64_t tokens, lac_lowbit_part *part);

#endif
