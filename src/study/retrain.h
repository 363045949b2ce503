/* A network retrained on the data of its first task and scored on what it was not trained on. */
#ifndef LACUNA_STUDY_RETRAIN_H
#define LACUNA_STUDY_RETRAIN_H

#include "study/model.h"

#include <lacuna/train.h>

typedef struct lac_retrain_options {
    lac_train_options train; /* output: set by lac_retrain */
    int64_t epochs;          /* 0: only scored */
    int64_t first, limit; /* training items first .. first + limit; limit 0: all, at most 65536 */
    const char *folder;   /* of the training data; NULL: beside the task's set */
} lac_retrain_options;

typedef struct lac_retrain_row {
    double loss, trained; /* mean loss and accuracy in the epoch; NAN before the first */
    double scored;        /* accuracy after it on the scored items, of the network as written */
} lac_retrain_row;

typedef struct lac_retrained {
    lac_graph *graph;
    int64_t n_rows; /* epochs + 1: the first is before training */
    lac_retrain_row *row;
    int64_t n_parameters;
    lac_parameter_info *parameter; /* names belong to the model's graph */
    int64_t samples, scored;       /* items trained and scored on */
    char data[400], test[400];     /* what they are: "glyphs:train, items 0 to 65535" */
} lac_retrained;

/* Without a training part of the task's data, the scored set itself is trained on, if `limit` says
 * how much of it, and the items behind are scored; otherwise LAC_ERROR_INPUT. LAC_ERROR_UNSUPPORTED
 * also for tasks that are no classification. Release the result. */
lac_status lac_retrain(const lac_model *model, const lac_retrain_options *options,
                       lac_retrained *result, lac_error *err);
void lac_retrained_release(lac_retrained *result);

#endif
