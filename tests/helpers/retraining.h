/* A small network, dense or with shared weights, and data that it can learn: for the tests of
 * retraining. A call that fails fails the running test. */
#ifndef LACUNA_TESTS_HELPERS_RETRAINING_H
#define LACUNA_TESTS_HELPERS_RETRAINING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <lacuna/lacuna.h>
#include <lacuna/train.h>

enum { IN = 48, HIDDEN = 32, CLASSES = 6, SAMPLES = 96 };

/* Of a call that writes its error to `err`, which every file has for itself. */
#define OK(expression)                                                                             \
    do {                                                                                           \
        if ((expression) != LAC_OK) {                                                              \
            fail_msg("%s", err.message);                                                           \
        }                                                                                          \
    } while (0)

/* x [N,IN] -> Gemm transB w1 [HIDDEN,IN], b1 -> Relu -> MatMul w2 [HIDDEN,CLASSES] -> Add b2. The
 * weights: shared (eie-csc and codebook), or dense. */
lac_graph *network(bool shared);
/* Appends an operator without attributes; its output. */
int node(lac_graph *graph, const char *op, int n_in, const int *in);
/* Sample `index`: a pattern for each class under noise. */
lac_status sample(void *context, int64_t index, lac_tensor *in, int64_t *label, lac_error *error);
extern const lac_training_data data;
/* The weight or constant `name` as float32, unpacked; release it. */
lac_tensor fold(const lac_graph *graph, const char *name);
/* Retrains for `epochs`; the last epoch's figures in *last, the first one's loss in *first. */
lac_graph *retrain(const lac_graph *graph, int epochs, const lac_train_options *options,
                   double *first, lac_train_epoch *last);

#endif
