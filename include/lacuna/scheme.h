/* lacuna/scheme.h - a row of the scheme table: one way to compress a network.
 *
 * A scheme sees the weights of a network as float32 tensors; it may change them, put them on an
 * integer grid, name the format each is to be stored in, and ask for integer activations. When all
 * schemes of a composition ("magnitude:n=2,m=4+int8", left to right) have run, the weights are
 * written back into the graph: packed, with QuantizeLinear / DequantizeLinear where integers are.
 * One-shot schemes have only `finish`; trained ones will use `prepare` and `step`; a scheme without
 * hooks changes nothing. */
#ifndef LACUNA_SCHEME_H
#define LACUNA_SCHEME_H

#include <lacuna/format.h>
#include <lacuna/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Calibration inputs: `samples` times one tensor per graph input. */
typedef struct lac_calibration {
    int64_t samples;
    /* Fills in[0..n_inputs) with sample `index`, batch 1; the caller releases them. */
    lac_status (*sample)(void *context, int64_t index, lac_tensor *in, lac_error *err);
    void *context;
    const char *source; /* "imagenet500, first 64 samples": said in reports */
} lac_calibration;

/* One weight of the network: what a MatMul, Gemm, Conv or LSTM multiplies with. */
typedef struct lac_weight {
    const char *name; /* of the (first) node that reads it */
    int value;        /* the value the node reads */
    lac_view view;
    int64_t rows, cols; /* of the matrix that the view makes */
    lac_tensor tensor;  /* float32, its own copy: schemes edit it */
    bool changed;       /* set by a scheme that edited it, or chose a format */
    char keep[96];      /* why a scheme left it as it is, or "" */
    /* The grid: w = q * scale[row], q in [-limit, limit] exactly (NULL: plain floats). Owned. */
    float *scale;
    int limit;
    const lac_format *format; /* to store it in; NULL: dense */
    lac_params params;
    /* Instead of `format`, with the row's defaults, if it ends on a grid. NULL: format holds both.
     */
    const lac_format *format_integers;
    bool prefer;       /* measured to be faster so: lac_packed.prefer */
    lac_tensor before; /* what it was before the first scheme */
    /* Activations of its node on an integer grid (0: float). Unsigned: 0..255, less input_zero;
     * else -127..127. */
    float input_scale;
    bool input_unsigned;
    int input_zero;
    /* [cols] that its columns were multiplied with, and what arrives divided by (NULL: 1). Owned.
     */
    float *smoothing;
    /* Per row, what the grid adds to the output on average: taken off the bias of its node, where
     * that is a convolution or Gemm of its own weight (NULL: nothing). Owned. */
    float *shift;
    /* For the report. */
    int64_t bytes_before, bytes_after, nonzeros;
    double error;     /* |W' - W| / |W|, Frobenius norm */
    char gain[24];    /* "1.95x smaller", "same size", "unchanged" */
    char expect[160]; /* faster or not, and why; of an unchanged weight: why */
    char remark[160]; /* why it is not stored in the format that a scheme chose, or "" */
} lac_weight;

typedef struct lac_compression {
    lac_graph *graph;                   /* the result: a rewritten copy */
    const lac_calibration *calibration; /* NULL: none */
    int n_weights;
    lac_weight *weights;
    void *state; /* of the scheme at work, between its hooks */
    /* For a workflow that decides for single weights: NULL, or called before the first scheme, and
     * then (`done`) after the last, before the weights are written. */
    lac_status (*decide)(void *context, struct lac_compression *compression, bool done,
                         lac_error *err);
    void *decide_context;
    const struct lac_ranges *ranges; /* NULL, or what calibration found: not collected anew */
    /* NULL, or called with 0..1 during long work. */
    void (*progress)(void *context, const char *stage, double done);
    void *progress_context;
} lac_compression;

typedef struct lac_scheme {
    lac_row row;
    const lac_param *params;
    const char *formats; /* "nm codebook": what it can end in; "" leaves that to others */
    bool calibrates;     /* uses calibration data; without them its own hook refuses or does less */
    lac_status (*prepare)(lac_compression *compression, const lac_params *params, lac_error *err);
    lac_status (*step)(lac_compression *compression, const lac_params *params, lac_error *err);
    lac_status (*finish)(lac_compression *compression, const lac_params *params, lac_error *err);
    /* "nm:n:m": users may also type nm:2:4 for this row with n=2,m=4: another name, then the
     * parameters given by position. NULL: none. Rows' own names go first. */
    const char *alias;
} lac_scheme;

LAC_API extern lac_table lac_schemes;
/* For plug-ins: `row` must live as long as the process. */
LAC_API lac_status lac_register_scheme(const lac_scheme *row, lac_error *err);

#define LAC_MAX_SCHEMES 8
typedef struct lac_composition {
    int n;
    const lac_scheme *scheme[LAC_MAX_SCHEMES];
    lac_params params[LAC_MAX_SCHEMES];
} lac_composition;

/* "magnitude:n=2,m=4+int8", "nm:2:4+int8" (the same by the row's alias), "dense". */
LAC_API lac_status lac_scheme_parse(const char *text, lac_composition *composition, lac_error *err);
/* Whether the composition changes nothing: no part of it has a hook. */
LAC_API bool lac_scheme_is_identity(const lac_composition *composition);
/* "nm:N:M" of a row with an alias, as messages and lists show it; "" without. Returns text. */
LAC_API const char *lac_scheme_alias_text(const lac_scheme *scheme, char *text, size_t size);
/* Whether any part of the composition uses calibration data. */
LAC_API bool lac_scheme_calibrates(const lac_composition *composition);
/* Runs the composition on a copy of `graph`. Fill calibration and progress of *compression before
 * the call (zero the rest); release it afterwards: result in compression->graph. The metadata of
 * the result says `lacuna.scheme` = text. */
LAC_API lac_status lac_compress(lac_compression *compression, const lac_graph *graph,
                                const char *text, lac_error *err);
/* The weights of a graph with their float values, nothing changed (inspect uses it too). */
LAC_API lac_status lac_weights_find(lac_compression *compression, const lac_graph *graph,
                                    lac_error *err);
/* Undoes what schemes made of this weight: it will be written as it was. */
LAC_API lac_status lac_weight_restore(lac_weight *weight, lac_error *err);
LAC_API void lac_compression_release(lac_compression *compression);

#ifdef __cplusplus
}
#endif
#endif
