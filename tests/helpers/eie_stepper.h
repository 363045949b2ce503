/* EIE stepped register by register, cycle by cycle (dossier eie.md, 4.3): slow and independent of
 * the recurrence that the simulator evaluates. */
#ifndef LACUNA_TESTS_EIE_STEPPER_H
#define LACUNA_TESTS_EIE_STEPPER_H

#include "format/eie_csc.h"

typedef struct eie_steps {
    int64_t cycles, acts, macs, pad, empty_col, blocked, spm_reads, ptr_reads;
} eie_steps;

/* One product with value[in (+ 1 with bias)]; adds codebook[v] * a into y[rows]. */
eie_steps eie_step(const lac_eie_csc *csc, int64_t in, bool bias, const int32_t *value,
                   const int32_t *codebook, int fifo, int unit, int32_t *y);

#endif
