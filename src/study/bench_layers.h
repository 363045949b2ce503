/* What stands beside the times of a network's layers (bench.h): shapes, rates, the share of the
 * machine's roofline, the dense library's int8 kernel on the same shape, the break-even sparsity.
 */
#ifndef LACUNA_STUDY_BENCH_LAYERS_H
#define LACUNA_STUDY_BENCH_LAYERS_H

#include "study/bench.h"
#include "study/break_even.h"
#include "study/machine.h"

typedef struct lac_layer_facts {
    bool known;         /* it is a layer; else nothing below is set */
    char shape[192];    /* "gemm:m=128,n=768,k=768,batch=1" */
    lac_dtype dtype;    /* of the activations */
    double density;     /* of the weights; 1 where there are none */
    int64_t bytes;      /* weights as stored, activations and output */
    double gflops;      /* as if dense, 1e9 operations per second, two per multiply-accumulate */
    double effectual;   /* the same for weights that are not zero */
    double gbps;        /* `bytes` per second */
    double intensity;   /* operations that the kernel has to do per byte */
    double roof;        /* what the machine allows at this intensity, 1e9 per second */
    double share;       /* of `roof` */
    const char *bound;  /* "units", or the level of memory that bounds it */
    double ms_dense_i8; /* the dense library's int8 product of this shape; NAN: it has none */
    lac_break_even even;
} lac_layer_facts;

typedef struct lac_bench_layers {
    int n;
    lac_layer_facts *facts; /* one per step of the bench */
} lac_bench_layers;

/* Runs the graph once more on `in` to see its layers, then each distinct shape on synthetic
 * weights. `measure` the break-even, else estimate it. Release it. */
lac_status lac_bench_layers_find(lac_bench_layers *layers, const lac_bench *bench,
                                 const lac_graph *graph, const lac_tensor *in,
                                 const lac_machine *machine, bool measure,
                                 void (*progress)(void *context, const char *stage, double done),
                                 void *progress_context, lac_error *err);
void lac_bench_layers_release(lac_bench_layers *layers);

#endif
