/* Folds, cycles and traffic of one matrix product (or the like products of a convolution's groups)
 * on a systolic array. No data: shapes only. */
#ifndef LACUNA_ACCEL_SYSTOLIC_SCHEDULE_H
#define LACUNA_ACCEL_SYSTOLIC_SCHEDULE_H

#include <lacuna/core.h>

typedef enum systolic_dataflow { SYSTOLIC_WS, SYSTOLIC_OS, SYSTOLIC_IS } systolic_dataflow;

typedef struct systolic_array {
    int64_t rows, cols;
    systolic_dataflow dataflow;
    bool pipelined, exact_edge, drain, dram;
    int64_t ifmap, filter, ofmap; /* SRAM bytes */
    int64_t dram_bw;              /* bytes per cycle */
    int64_t out_bytes;
} systolic_array;

typedef struct systolic_shape {
    int64_t m, n, k;
    int64_t input; /* unexpanded activations of one group, elements */
    int64_t groups;
} systolic_shape;

typedef struct systolic_counts {
    int64_t folds, cycles_ideal, stall_dram;
    int64_t ifmap_reads, filter_reads, psum_writes, psum_reads; /* words */
    int64_t dram_ifmap, dram_filter, dram_psum, dram_out;       /* bytes */
} systolic_counts;

/* LAC_ERROR_INPUT for shapes whose counts leave int64, and with dram for more than 10^9 folds. */
lac_status systolic_schedule(const systolic_array *array, const systolic_shape *shape,
                             systolic_counts *counts, lac_error *err);

/* a += b, `times` times. */
void systolic_add(systolic_counts *a, const systolic_counts *b, int64_t times);

#endif
