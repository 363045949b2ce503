/* lacuna/train.h - gradients of a network, and retraining of a compressed one.
 *
 * Differentiation turns a graph into another graph, of standard operators, that any session runs.
 * Retraining moves the weights along those gradients as far as their storage lets them:
 *
 *     lac_train_options options = {.rate = 0.01, .momentum = 0.9, .batch = 64, .seed = 1};
 *     lac_trainer *trainer;
 *     lac_train_epoch epoch;
 *     if (lac_trainer_make(&trainer, graph, &options, &err) != LAC_OK) ...
 *     for (int e = 0; e < 5; e++)
 *         lac_trainer_run(trainer, &data, &epoch, &err);
 *     lac_trainer_graph(trainer, &retrained, &err);
 *     lac_trainer_free(trainer);
 *
 * The same bits come out for any number of threads. */
#ifndef LACUNA_TRAIN_H
#define LACUNA_TRAIN_H

#include <lacuna/graph.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- differentiation ------------------------------------------------------------------------ */

/* A new graph with the value numbers of `graph` whose inputs are the inputs of `graph` and behind
 * them the n values `parameter`, in order; whose outputs are the value `output` and behind it
 * d output / d parameter[i], each of the parameter's shape and called PARAMETER.gradient.
 *
 * `output` is a float of one element. A parameter may be a constant or a computed value (a weight
 * behind Cast or Unpack: what computes it is dropped), float, with a shape that is known. The graph
 * needs opset 13 or newer. LAC_ERROR_UNSUPPORTED names the operator and the node on the way from a
 * parameter to the output that has no gradient; LAC_ERROR_INPUT: `output` does not depend on a
 * parameter. Free the result. */
LAC_API lac_status lac_differentiate(lac_graph **result, const lac_graph *graph, int output, int n,
                                     const int *parameter, lac_error *err);

/* Appends to `graph` the loss of a classifier: the mean over the batch of the cross entropy
 * -sum_c labels[b][c] * log softmax(logits)[b][c]. `logits` is a value [batch][classes]; *labels
 * becomes a new input of its type and shape (one 1 per row), *loss a scalar. It is no output yet.
 */
LAC_API lac_status lac_loss_cross_entropy(lac_graph *graph, int logits, int *labels, int *loss,
                                          lac_error *err);

/* ---- retraining ----------------------------------------------------------------------------- */

/* Labelled samples. */
typedef struct lac_training_data {
    int64_t samples;
    /* Fills in[0..n_inputs) with sample `index`, batch 1, and its class; the caller releases them.
     */
    lac_status (*sample)(void *context, int64_t index, lac_tensor *in, int64_t *label,
                         lac_error *err);
    void *context;
} lac_training_data;

/* What a weight may do, as its storage in the graph says. */
typedef enum lac_constraint {
    LAC_TRAIN_FREE,   /* dense, no zero in it; biases: every element moves */
    LAC_TRAIN_MASKED, /* zeros in it, or a sparse format (nm, coo, sta): zeros stay 0 */
    LAC_TRAIN_SHARED  /* codebook, eie-csc: codes stay, centroids move, a centroid 0 stays 0 */
} lac_constraint;
LAC_API const char *lac_constraint_name(lac_constraint constraint); /* "free", ... */

typedef struct lac_train_options {
    double rate;     /* learning rate, above 0 */
    double momentum; /* 0 up to below 1 */
    int64_t batch;   /* samples per step, at least 1 */
    uint64_t seed;   /* of the order of the samples */
    int output;      /* which graph output holds the logits (behind a Softmax: what it reads) */
    /* NULL, or called with 0..1 during an epoch. */
    void (*progress)(void *context, const char *stage, double done);
    void *progress_context;
} lac_train_options;

typedef struct lac_train_epoch {
    int64_t samples, steps;
    double loss;     /* mean over the samples, each with the weights of its step */
    double accuracy; /* share of them whose largest logit was the label's */
} lac_train_epoch;

/* One weight or bias in training. */
typedef struct lac_parameter_info {
    const char *name; /* of the value in the graph */
    lac_constraint constraint;
    int64_t elements, nonzeros;
    int centroids; /* that move (LAC_TRAIN_SHARED), else 0 */
} lac_parameter_info;

typedef struct lac_trainer lac_trainer;

/* Trains the weights of MatMul and Gemm, and float32 biases (input C of Gemm, a constant vector of
 * Add), that the logits depend on. `graph` may be freed afterwards. LAC_ERROR_UNSUPPORTED: an
 * operator without gradient, a weight that is stored as integers with a scale or is not float32
 * where it is read, logits other than [batch][classes]. */
LAC_API lac_status lac_trainer_make(lac_trainer **trainer, const lac_graph *graph,
                                    const lac_train_options *options, lac_error *err);
LAC_API void lac_trainer_free(lac_trainer *trainer);
/* Parameter `index`; false past the end. */
LAC_API bool lac_trainer_parameter(const lac_trainer *trainer, int index, lac_parameter_info *info);

/* One epoch of minibatch gradient descent over all samples in a new random order, with momentum:
 *
 *     v = momentum * v + g,  w = w - rate * v       g = dL/dw, 0 where w is held at 0
 *     v_k = momentum * v_k + g_k,  C_k = C_k - rate * v_k       g_k = sum of dL/dw over code k
 *
 * (the second line: Deep Compression, Han, Mao, Dally, ICLR 2016, section 3.3, from memory; the
 * momentum is ours). LAC_ERROR_INPUT: a label outside the classes, samples of different shapes, a
 * loss that is not finite (the weights stay those before that step). */
LAC_API lac_status lac_trainer_run(lac_trainer *trainer, const lac_training_data *data,
                                   lac_train_epoch *epoch, lac_error *err);

/* A new graph: the one that was given, with the weights as they are now, stored as they were
 * stored: formats with their parameters, codes untouched; float16 behind Cast rounded to float16.
 * Free it. */
LAC_API lac_status lac_trainer_graph(const lac_trainer *trainer, lac_graph **graph, lac_error *err);

#ifdef __cplusplus
}
#endif
#endif
