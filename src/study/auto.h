/* Automatic choice of schemes: for every weight the precision, the form and, where the accuracy
 * bound leaves room, the zeros that make the network fastest on this machine, by measurement. */
#ifndef LACUNA_STUDY_AUTO_H
#define LACUNA_STUDY_AUTO_H

#include "study/model.h"

#include <lacuna/scheme.h>

typedef struct lac_auto_options {
    double max_loss;   /* of the score of the network as it is: 0.01 is one point of top1 */
    double budget;     /* seconds; what is not measured by then is not taken */
    int64_t items;     /* scored; 0: as many as the budget allows */
    const char *sizes; /* of the inputs that are timed (lac_sample_inputs); NULL: a stored sample */
    bool keep_weights; /* no pruning */
    void (*progress)(void *context, const char *stage, double done);
    void *progress_context;
} lac_auto_options;

/* One weight. Times are of its layers, NAN where there is none. */
typedef struct lac_auto_layer {
    char name[128], form[96], runner_up[96], why[240];
    double ms, ms_float, ms_int8, ms_runner_up; /* as chosen; dense float32 and int8 */
    double sparsity;
    double error; /* of the weight, relative */
} lac_auto_layer;

typedef struct lac_auto {
    lac_compression compression; /* what was chosen, ready to be written */
    int n;
    lac_auto_layer *layer;
    char metric[16]; /* "" without data: nothing that changes a number was then taken */
    double score_before, score;
    int64_t items;
    double ms, ms_float, ms_int8; /* whole network; dense in float32 and int8 */
    char why[240];                /* of the network as a whole */
    char source[300];             /* of the inputs that were timed */
    char calibration[300];
    int networks; /* built and measured */
    double seconds;
    bool out_of_time;
} lac_auto;

/* "auto" */
bool lac_auto_is(const char *scheme);
/* LAC_ERROR_UNSUPPORTED: the network computes on integers already. Release it. */
lac_status lac_auto_choose(lac_auto *result, const lac_model *model,
                           const lac_auto_options *options, lac_error *err);
void lac_auto_release(lac_auto *result);

#endif
