/* Weights in training: found in a graph, held to what their storage allows, moved, written back. */
#ifndef LACUNA_TRAIN_PARAMETER_H
#define LACUNA_TRAIN_PARAMETER_H

#include <lacuna/format.h>
#include <lacuna/train.h>

enum { LAC_MOST_CENTROIDS = 256 };

typedef struct lac_parameter {
    int value; /* what the network reads */
    lac_constraint constraint;
    lac_tensor tensor; /* float32: the values now */
    /* MASKED: 0 where the weight is held at 0, else 1. SHARED: its code. NULL: FREE. */
    uint8_t *code;
    double centroid[LAC_MOST_CENTROIDS];
    bool held[LAC_MOST_CENTROIDS]; /* a centroid 0, which stays */
    int centroids;
    double *velocity; /* per element; SHARED: per centroid */
} lac_parameter;

/* The parameters of `graph` that value `logits` depends on, in graph order; an array to be released
 * with lac_parameters_release also after an error. */
lac_status lac_parameters_find(lac_parameter **parameters, int *n, const lac_graph *graph,
                               int logits, lac_error *err);
void lac_parameters_release(lac_parameter *parameters, int n);
/* One step of descent along `gradient`, which has the parameter's shape. */
void lac_parameter_move(lac_parameter *parameter, const float *gradient, double rate,
                        double momentum);
/* Puts the values into `graph`, a copy of the one the parameter was found in, stored as there.
 * The caller settles the graph afterwards. */
lac_status lac_parameter_write(const lac_parameter *parameter, lac_graph *graph, lac_error *err);

#endif
