/* Random weights of a trial (trial.h), packed once for all kernels that are tried on them. */
#ifndef LACUNA_STUDY_TRIAL_WEIGHTS_H
#define LACUNA_STUDY_TRIAL_WEIGHTS_H

#include "study/trial.h"

typedef struct lac_trial_weights {
    int users;
    bool is_packed;
    lac_packed packed;
    lac_tensor tensor; /* dense; empty when packed */
    double density;
} lac_trial_weights;

/* `dims` of rank 2 ([n][k]) or 4 (of a convolution). One user, its maker. */
lac_status lac_trial_weights_make(lac_trial_weights **weights, const lac_trial_spec *spec, int rank,
                                  const int64_t *dims, lac_error *err);
/* One user less; the last one releases. NULL: nothing. */
void lac_trial_weights_drop(lac_trial_weights *weights);

#endif
