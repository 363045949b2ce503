/* lacuna/scheme.h - a row of the scheme table: one way to compress a network.
 *
 * A scheme rewrites a graph: it changes constants, adds QuantizeLinear / DequantizeLinear pairs,
 * and names for each weight the format it wants to be stored in. One-shot schemes have only
 * `finish`; trained ones will use `prepare` and `step`. */
#ifndef LACUNA_SCHEME_H
#define LACUNA_SCHEME_H

#include <lacuna/format.h>
#include <lacuna/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* One weight of the network as schemes see it. */
typedef struct lac_weight {
    int node;  /* reader: MatMul, Gemm, Conv, LSTM */
    int value; /* the constant behind the node's input (through Cast, DequantizeLinear, Unpack) */
    lac_view view;
    int64_t rows, cols;
    const char *name; /* the node's name */
    char keep[96];    /* why it stays as it is ("K = 3 is no multiple of m = 4"), or "" */
    /* Set by schemes, read by the packer at the end. */
    const lac_format *format; /* NULL: dense */
    lac_params params;
    /* For the report. */
    int64_t bytes_before, bytes_after;
    int64_t nonzeros, count;
    double error;    /* relative: |W' - W| / |W|, Frobenius */
    char expect[96]; /* what to expect: "smaller 2.7x; faster from 60 % zeros", and why not */
} lac_weight;

/* Calibration inputs: `samples` times one tensor per graph input. */
typedef struct lac_calibration {
    int64_t samples;
    /* Fills in[0..n_inputs) (borrowed until the next call) with sample `index`, batch 1. */
    lac_status (*sample)(void *context, int64_t index, lac_tensor *in, lac_error *err);
    void *context;
    const char *source; /* "imagenet500, first 64 samples": said in reports */
} lac_calibration;

typedef struct lac_compression {
    lac_graph *graph;                   /* rewritten in place */
    const lac_calibration *calibration; /* NULL: none */
    int n_weights;
    lac_weight *weights;
    void *state; /* of the scheme, between hooks */
    /* NULL or a callback for progress: 0..1. */
    void (*progress)(void *context, const char *stage, double done);
    void *progress_context;
} lac_compression;

typedef struct lac_scheme {
    lac_row row;
    const lac_param *params;
    const char *formats; /* "nm codebook": what it can end in */
    bool needs_calibration;
    lac_status (*prepare)(lac_compression *compression, const lac_params *params, lac_error *err);
    lac_status (*step)(lac_compression *compression, const lac_params *params, lac_error *err);
    lac_status (*finish)(lac_compression *compression, const lac_params *params, lac_error *err);
} lac_scheme;

LAC_API extern lac_table lac_schemes;
/* For plug-ins: `row` must live as long as the process. */
LAC_API lac_status lac_register_scheme(const lac_scheme *row, lac_error *err);

#ifdef __cplusplus
}
#endif
#endif
