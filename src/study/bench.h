/* Time of a network on this CPU, layer by layer, beside the dense one. */
#ifndef LACUNA_STUDY_BENCH_H
#define LACUNA_STUDY_BENCH_H

#include <lacuna/lacuna.h>

typedef struct lac_bench_layer {
    char name[128], kernel[64], isa[64], format[32], why[160];
    double ms;       /* median */
    double ms_dense; /* the same layer with its weights as plain float32; NAN: no layer */
    int64_t macs, stored_bytes;
} lac_bench_layer;

typedef struct lac_bench {
    int n;
    lac_bench_layer *layer; /* every step of the plan */
    double ms, ms_dense;    /* median of a whole run, untimed steps */
    int runs;
    lac_memory_info memory; /* of the network's session; `resident` when it alone was there */
} lac_bench;

/* Runs graph and dense (the same network before compression, or the graph itself with its weights
 * unpacked: lac_dense_copy) on `in` in turns, `runs` each after a warm-up, and takes medians.
 * Release it. */
lac_status lac_bench_run(lac_bench *bench, const lac_graph *graph, const lac_graph *dense,
                         const lac_tensor *in, int runs,
                         void (*progress)(void *context, const char *stage, double done),
                         void *progress_context, lac_error *err);
/* The same, with as many runs as take about so long, at least 5. */
lac_status lac_bench_for(lac_bench *bench, const lac_graph *graph, const lac_graph *dense,
                         const lac_tensor *in, double seconds, lac_error *err);
void lac_bench_release(lac_bench *bench);

/* A copy in which every weight is a plain float32 constant and activations are not rounded: what a
 * dense runtime would run. */
lac_status lac_dense_copy(lac_graph **copy, const lac_graph *graph, lac_error *err);

#endif
