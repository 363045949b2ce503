/* How good a network is on its own data. */
#ifndef LACUNA_STUDY_EVALUATE_H
#define LACUNA_STUDY_EVALUATE_H

#include "io/dataset.h"

#include <lacuna/lacuna.h>

typedef struct lac_score {
    const char *metric; /* "top1" or "spearman" */
    double value, top5; /* top5 NAN for fewer than 10 classes */
    int64_t n;
    double seconds; /* of all runs, wall clock */
    /* One per item: the class decided, or the similarity. Owned. */
    double *decision;
} lac_score;

/* Scores items first .. first + limit (limit 0: all that are left). `session` may be any session
 * over the graph the data set was opened with. Release the score. */
lac_status lac_evaluate(lac_session *session, lac_dataset *dataset, int64_t first, int64_t limit,
                        void (*progress)(void *context, const char *stage, double done),
                        void *progress_context, lac_score *score, lac_error *err);
void lac_score_release(lac_score *score);
/* Rank correlation with ties averaged (Spearman). */
lac_status lac_spearman(const double *a, const double *b, int64_t n, double *result,
                        lac_error *err);

#endif
