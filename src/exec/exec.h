/* What the files of the executor share: shapes, plans, steps, passes, private operators.
 *
 * A session holds a rewritten copy of the graph (passes, once) and a few plans (one per set of
 * input shapes). A plan is a list of steps over one block of memory; a step is a layer run by a
 * kernel row, an operator run by one of the fast bodies of fast.h, or by its own reference. */
#ifndef LACUNA_EXEC_EXEC_H
#define LACUNA_EXEC_EXEC_H

#include "exec/shape.h"

#include <lacuna/format.h>
#include <lacuna/kernel.h>
#include <lacuna/lacuna.h>
#include <lacuna/op.h>

/* Domain of the operators that only passes make (fused.c); they never reach a file. */
#define LAC_EXEC_DOMAIN "lacuna.exec"

/* The operator row of a node: the table's, or a private one. NULL: unknown. */
const lac_op *lac_exec_op(const lac_node *node);

/* Inputs of the private operators Gemm and Conv; absent ones are -1. */
enum {
    LAC_IN_X,
    LAC_IN_W,
    LAC_IN_BIAS,
    LAC_IN_RESIDUAL,
    LAC_IN_X_SCALE,
    LAC_IN_X_ZERO,
    LAC_IN_W_SCALE,
    LAC_IN_Y_SCALE, /* the output is written as bytes of this scale */
    LAC_IN_Y_ZERO,
    LAC_IN_COUNT
};

/* Inputs of the private operator Attention; scales of int8 operands and of the probabilities, all
 * or none. */
enum {
    LAC_ATTENTION_Q,
    LAC_ATTENTION_K,
    LAC_ATTENTION_V,
    LAC_ATTENTION_MASK,
    LAC_ATTENTION_SCALE, /* of q, then k, v, probabilities */
    LAC_ATTENTION_Y_SCALE = LAC_ATTENTION_SCALE + 4,
    LAC_ATTENTION_Y_ZERO,
    LAC_ATTENTION_COUNT
};

/* ---- fast bodies of operators (fast*.c): same results as the row's run up to rounding
 *
 * They take activations, and write their output, in layouts between products, too. */
typedef struct lac_fast {
    uint32_t reads, writes; /* layouts besides LAC_LAYOUT_ROWS: LAC_BIT(layout)... */
    lac_status (*run)(const lac_call *call, lac_layout in, lac_layout out, lac_error *err);
} lac_fast;

/* NULL: only the reference. */
const lac_fast *lac_fast_find(const lac_call *call);
const lac_fast *lac_fast_norm(const lac_call *call);       /* LayerNormalization */
const lac_fast *lac_fast_interleave(const lac_call *call); /* Transpose of few channels */

/* ---- plans ---------------------------------------------------------------------------------- */

typedef struct lac_step {
    const lac_node *node;
    const lac_op *op;
    int first_in, first_out; /* into plan->in, plan->out */
    const lac_fast *fast;
    bool is_layer;
    lac_layer layer;
    lac_packed *packed;       /* owned, of the weights */
    const lac_tensor *narrow; /* int8 weights that the layer reads as they are stored, or NULL */
    int packed_input;         /* the value read packed (or narrow) instead of unpacked, or -1 */
    const lac_kernel *kernel;
    void *state;
    const float *packed_scale; /* of the DequantizeLinear behind packed weights */
    int64_t packed_scale_count;
    bool single; /* too small to be worth waking threads */
    bool moving; /* touches tensors whose addresses change from run to run */
    char why[200];
    int64_t stored_bytes; /* of weights that are packed in the file and run unpacked */
    double seconds;
} lac_step;

typedef struct lac_plan {
    int threads;
    int64_t *key;      /* all input dims */
    uint64_t used;     /* clock of the last run */
    lac_shapes shapes; /* value -> tensor; constants and known values have data */
    int n_steps;
    lac_step *steps;
    const lac_tensor **in; /* pointers into shapes.value for all steps */
    lac_tensor *out;       /* scratch for calls */
    int *root;             /* value -> value that owns its bytes */
    int *home;             /* of roots: i+1 graph input i, -(k+1) graph output k, 0 the block */
    int64_t *offset;       /* of roots in the block, -1: elsewhere */
    lac_layout *layout;    /* value -> how it stands in memory */
    char *block;
    size_t block_bytes, peak_bytes;
} lac_plan;

enum { LAC_PLANS = 8 };

struct lac_session {
    lac_graph *graph; /* rewritten copy */
    lac_session_options options;
    uint32_t isa;
    int n_plans;
    lac_plan *plan[LAC_PLANS], *last;
    uint64_t clock;
    lac_store *store; /* weights as kernels repacked them, for all plans */
    lac_tensor *lazy; /* per value: unpacked weights, made when a plan needs them */
};

lac_status lac_plan_make(lac_plan **plan, lac_session *session, const lac_tensor *in,
                         lac_error *err);
void lac_plan_free(lac_plan *plan);
/* Describes a layer step again, from the addresses that its tensors have now. */
lac_status lac_plan_describe(lac_plan *plan, const lac_session *session, lac_step *step,
                             lac_error *err);
/* Decides plan->layout, once the kernels are chosen (layouts.c). */
lac_status lac_plan_layouts(lac_plan *plan, const lac_session *session, lac_error *err);
/* Bytes of a value in its layout. */
size_t lac_plan_value_bytes(const lac_plan *plan, int value);
lac_status lac_plan_run(lac_plan *plan, lac_session *session, const lac_tensor *in, lac_tensor *out,
                        lac_error *err);

/* A layer of fewer multiply-accumulates is run by one thread: it takes some 16 us there, twice what
 * a second thread takes to start and to be waited for, and many times less than that takes on a
 * machine that does other things (bench_latency at 2 threads: resnet8 0.24 ms with a limit of 3 M,
 * 0.17 with 0.8 M, 0.15 with 0.3 M). */
enum { LAC_SINGLE_MACS = 800000 };

/* Whether `value` depends on constants only (unpacked weights included). */
bool lac_is_lazy(const lac_graph *graph, int value);

#endif
