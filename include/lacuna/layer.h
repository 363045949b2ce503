/* lacuna/layer.h - the language between the graph and everything that computes.
 *
 * A layer is a kind, named integers (its geometry), operands by role, a numeric specification and
 * the output. Kernels run layers; simulators count layers; captured networks and synthetic
 * descriptions both become layers. */
#ifndef LACUNA_LAYER_H
#define LACUNA_LAYER_H

#include <lacuna/core.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Operand roles. The numbers name the random streams of synthetic tensors and never change. */
typedef enum lac_role {
    LAC_ROLE_WEIGHTS = 1,
    LAC_ROLE_ACTIVATIONS = 2,
    LAC_ROLE_BIAS = 3,
    LAC_ROLE_WEIGHTS2 = 4,
    LAC_ROLE_RECURRENT = 5,
    LAC_ROLE_QUERY = 6,
    LAC_ROLE_KEY = 7,
    LAC_ROLE_VALUE = 8,
    LAC_ROLE_ADJACENCY = 9,
    LAC_ROLE_PERMUTATION = 10,
    LAC_ROLE_MASK = 11,
    LAC_ROLE_IMPORTANCE = 12,
    LAC_ROLE_RESIDUAL = 13, /* added before the activation; never random */
    LAC_ROLE_STATE_H = 14,  /* lstm: hidden state before the first step, float; absent: zeros */
    LAC_ROLE_STATE_C = 15,  /* lstm: cell state before the first step */
    LAC_ROLE_LIMIT = 16
} lac_role;

struct lac_packed; /* lacuna/format.h */

typedef struct lac_operand {
    lac_tensor tensor;               /* dense elements in the layout of the kind; may be empty */
    const struct lac_packed *packed; /* the packed form, or NULL */
    bool transposed;                 /* the matrix is stored [..][k][n] instead of [..][n][k] */
    int n, m;                        /* N:M promised along K (0:0 none; 1:1 dense) */
    double density;                  /* asked for (synthetic) or measured; < 0 not known */
    /* Numbers: real value = (element - zero_point) * scale. scale_count 0: plain integers or
     * floats; 1: per tensor; else one per output channel (row n). */
    const float *scale;
    int64_t scale_count;
    int32_t zero_point;
} lac_operand;

typedef enum lac_activation {
    LAC_ACT_NONE,
    LAC_ACT_CLIP,      /* min(max(x, low), high); ReLU is 0, infinity */
    LAC_ACT_GELU,      /* x * (1 + erf(x / sqrt 2)) / 2 */
    LAC_ACT_GELU_TANH, /* the tanh approximation */
    LAC_ACT_SIGMOID,
    LAC_ACT_TANH,
    LAC_ACT_SILU /* x * sigmoid(x) */
} lac_activation;

/* How the activations of a layer (input, and output with its residual) stand in memory. `m` counts
 * tokens or pixels, `features` channels. Packed sparse weights are best multiplied with many tokens
 * side by side; layers that follow one another hand panels on instead of packing them anew. int8
 * activations stand in panels and quads with 128 added, as uint8. */
typedef enum lac_layout {
    LAC_LAYOUT_ROWS,   /* the order of the kind: the features of a token (pixel) side by side */
    LAC_LAYOUT_PANELS, /* [ceil(m/64)][features][64]: 64 tokens side by side */
    LAC_LAYOUT_QUADS   /* [ceil(m/64)][ceil(features/4)][64][4], bytes: 4 features side by side */
} lac_layout;
/* Tokens of a panel; places past m, and past the last feature, may hold anything. */
#define LAC_PANEL_COLUMNS 64

/* In which order an lstm takes its steps. */
typedef enum lac_steps_order {
    LAC_STEPS_FORWARD,
    LAC_STEPS_REVERSE,
    LAC_STEPS_BOTH /* two directions: operands, states and outputs are those of both */
} lac_steps_order;

#define LAC_LAYER_DIMS    16
#define LAC_PATTERN_M_MAX 256 /* of N:M */

typedef struct lac_store lac_store;

typedef struct lac_layer {
    const struct lac_layer_kind *kind;
    char name[128];              /* node name, or the --layer text */
    int64_t dim[LAC_LAYER_DIMS]; /* in the order of kind->dims */
    lac_operand operand[LAC_ROLE_LIMIT];
    /* Activations and output (and residual) are stored with channels (features) fastest: conv
     * [batch][h][w][c], attention [batch][tokens][heads][dim]. False: the order of CONVENTIONS:
     * conv [batch][c][h][w], attention [heads][tokens][dim]. */
    bool channels_last;
    lac_layout input_layout;  /* of the activations */
    lac_layout output_layout; /* of the output and the residual */
    /* Attention: factor on Q K^T, e.g. 1/sqrt(dim); 0: not given. The integer reference has uint8
     * probabilities in units of 1/256, so that its output counts scale_v / 256. */
    double softmax_scale;
    lac_activation activation;
    float low, high;    /* of LAC_ACT_CLIP */
    lac_tensor output;  /* where the result goes; its dtype says int32 sums, float32, ... */
    float output_scale; /* int8/uint8 output: real = (y - output_zero) * output_scale */
    int32_t output_zero;
    /* Of a product of floats as output: the same once more as int8 or uint8 (output_scale and
     * output_zero are of these then), for readers that want bytes beside those that want floats.
     * Empty: not wanted. Shape and order as the output. */
    lac_tensor beside;
    uint64_t seed;    /* synthetic layers */
    char text[3][64]; /* layer options that a simulator reads: mask spec, pattern mix, ... */
    /* lstm as the operator has it: weights, recurrent weights and bias [8*hidden] of both products
     * with the gates in the order i, o, f, c, of each direction behind one another; output
     * [steps][directions][batch][hidden]. Orders other than forward are for kernels alone. False:
     * the order of CONVENTIONS, i, g, f, o, bias [4*hidden]; lac_layer_plain makes it. */
    bool operator_gates;
    lac_steps_order steps_order;
    lac_tensor last_h, last_c; /* lstm: [directions][batch][hidden] outputs; empty: not wanted */
    lac_store *store;          /* where kernels share what they make of constants; NULL: nowhere */
} lac_layer;

typedef struct lac_layer_dim {
    const char *name;
    int64_t initial; /* -1: must be given; -2 - i: that of dims[i] */
    int64_t min, max;
} lac_layer_dim;

/* A row of the layer-kind table. */
typedef struct lac_layer_kind {
    lac_row row;
    lac_layer_dim dims[LAC_LAYER_DIMS + 1]; /* ends with name NULL */
    /* Checks derived limits (output size, groups divide channels, products fit). */
    lac_status (*check)(const lac_layer *layer, lac_error *err);
    /* Fills int8 / uint8... operands from layer->seed and the densities or patterns already in
     * the operands, bit for bit as CONVENTIONS.md says. Owners: the layer (lac_layer_release). */
    lac_status (*generate)(lac_layer *layer, lac_error *err);
    /* Integer reference: int32 output in the kind's layout. Portable C, exact. */
    lac_status (*reference)(const lac_layer *layer, lac_tensor *output, lac_error *err);
    /* Number of matrix products and product `index` as a gemm layer with borrowed or owned
     * operands (release it); of a layer without operands only the dims. NULL: does not lower to
     * gemm. */
    int64_t (*gemm_count)(const lac_layer *layer);
    lac_status (*gemm)(const lac_layer *layer, int64_t index, lac_layer *gemm, lac_error *err);
    /* Dense multiply-accumulates. */
    int64_t (*macs)(const lac_layer *layer);
    /* Words that stand for several dims: "stride=stride_h,stride_w"; ends with NULL. May be NULL.
     */
    const char *const *aliases;
    /* Brings channels-last operands of `layer` into the order of CONVENTIONS (lac_layer_plain
     * calls it). NULL: the kind has one order only. */
    lac_status (*plain)(lac_layer *layer, lac_error *err);
} lac_layer_kind;

LAC_API extern lac_table lac_layer_kinds;
/* For plug-ins: `row` must live as long as the process. */
LAC_API lac_status lac_register_layer_kind(const lac_layer_kind *row, lac_error *err);

/* An empty layer of the kind called `kind`, no dim given yet: set those you know, then check. */
LAC_API lac_status lac_layer_begin(lac_layer *layer, const char *kind, lac_error *err);
/* Sets one dim, or all that an alias stands for. */
LAC_API lac_status lac_layer_dim_set(lac_layer *layer, const char *name, int64_t value,
                                     lac_error *err);
/* Fills in the defaults of dims not given, then checks every limit. */
LAC_API lac_status lac_layer_check(lac_layer *layer, lac_error *err);
/* The dimension called `name` of this layer; a name the kind lacks gives -1, and so does an alias
 * whose dims differ. */
LAC_API int64_t lac_layer_dim_get(const lac_layer *layer, const char *name);
/* "gemm:m=512,n=768,k=768" -> kind and dims, checked. Operands stay empty. Release it. */
LAC_API lac_status lac_layer_parse(lac_layer *layer, const char *text, lac_error *err);
/* The same text back, all dims. */
LAC_API const char *lac_layer_text(const lac_layer *layer, char *text, size_t size);
/* --wd / --ad: "0.07" or "2:4" or "1:1" into the operand's n, m, density (checked). */
LAC_API lac_status lac_operand_pattern(lac_operand *operand, const char *text, lac_error *err);
/* The same layer with its tensors in the plain order of CONVENTIONS: weights [n][k], not
 * channels last. Tensors that are so already are shared, the others copied. Release it. */
LAC_API lac_status lac_layer_plain(const lac_layer *layer, lac_layer *plain, lac_error *err);
/* Drops the tensors of the layer (scales and packed weights are borrowed) and zeroes it. */
LAC_API void lac_layer_release(lac_layer *layer);
/* sum y[i] and sum y[i]*((i mod 251)+1), modulo 2^64, of an integer tensor. */
LAC_API void lac_checksum(const lac_tensor *tensor, uint64_t *sum, uint64_t *weighted);

#ifdef __cplusplus
}
#endif
#endif
