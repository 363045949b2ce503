/* What the stages of the automatic choice (auto.c) share. */
#ifndef LACUNA_STUDY_AUTO_WORK_H
#define LACUNA_STUDY_AUTO_WORK_H

#include "study/auto.h"
#include "study/auto_make.h"

enum { LAC_FLOAT, LAC_INTEGER, LAC_PRECISIONS };

/* A form has to win by this much, or dense stays. */
#define LAC_AUTO_MARGIN 0.97

/* A dense network of one precision, and what its weights take in other forms. */
typedef struct lac_precision {
    const char *scheme;                 /* NULL: there is none within the bound */
    lac_compression base;               /* dense */
    double whole;                       /* milliseconds */
    lac_choice *dense, *best, *uniform; /* per weight; uniform: the fastest one form for all */
    double uniform_ratio;               /* of its whole network to the dense one */
    double *dense_ms;                   /* [weight] */
    double *ms;                         /* [weight][form], NAN: not measured or not run packed */
} lac_precision;

typedef struct lac_auto_work {
    const lac_model *model;
    const lac_auto_options *options;
    lac_auto *result;
    lac_dataset *dataset; /* NULL: none */
    lac_calibration calibration;
    lac_ranges ranges;
    int64_t left_out, items;
    lac_tensor *in; /* what is timed */
    lac_maker maker;
    lac_precision precision[LAC_PRECISIONS];
    lac_choice *pruned; /* of integers if there are, else of floats; NULL: nothing pruned */
    double refused;     /* the least whole-network ratio to dense that did not win */
    int n;              /* weights */
    double begin;
    double prepared; /* seconds until the dense networks were there: shares are of the rest */
} lac_auto_work;

/* Whether less than this share of the budget behind `prepared` is spent; else the result says so.
 */
bool lac_auto_time(lac_auto_work *w, double share);
void lac_auto_progress(const lac_auto_work *w, const char *stage, double done);
lac_status lac_auto_score(lac_auto_work *w, const lac_graph *graph, double *score, lac_error *err);
bool lac_auto_within(const lac_auto_work *w, double score);
/* The network of a choice, and its score. */
lac_status lac_auto_score_of(lac_auto_work *w, const lac_precision *p, const lac_choice *choice,
                             double *score, lac_error *err);
/* Measures the network of a choice against the dense one of its precision, for `seconds`. */
lac_status lac_auto_try(lac_auto_work *w, const lac_precision *p, const lac_choice *choice,
                        lac_compression *made, lac_measured *measured, lac_error *err);
lac_choice *lac_auto_copy(const lac_auto_work *w, const lac_choice *choice, lac_error *err);
/* A weight's time from a measurement, as if the machine had been as fast as for dense_ms. */
double lac_auto_ms(const lac_precision *p, const lac_measured *measured, int weight);

/* auto_precision.c: the dense network of integers within the bound. */
lac_status lac_auto_integers(lac_auto_work *w, lac_error *err);
/* auto_prune.c: w->pruned. */
lac_status lac_auto_prune(lac_auto_work *w, lac_precision *p, lac_error *err);

#endif
