/* What the kernels of column vectors share on every instruction set. */
#ifndef LACUNA_CPU_COLUMN_VECTORS_H
#define LACUNA_CPU_COLUMN_VECTORS_H

#include "format/delta.h"
#include "format/sr_bcrs.h"

/* Only steps of four vectors: others are for tensor cores. */
bool lac_vectors_can_run(const lac_packed *weights, char *why, size_t why_size);
/* Sums of the weights of each output, modulo 2^32. */
void lac_vectors_sum(const lac_packed *weights, int32_t *sum);
void lac_delta_sum(const lac_packed *weights, int32_t *sum);

#endif
