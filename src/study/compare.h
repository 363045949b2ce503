/* The main job: one matrix of schemes against targets for a network, every figure measured or
 * simulated on the same tensors. Finished cells are kept in a folder, so that a run that was killed
 * and started again repeats none of them. */
#ifndef LACUNA_STUDY_COMPARE_H
#define LACUNA_STUDY_COMPARE_H

#include "study/model.h"
#include "study/simulate.h"

enum { LAC_COMPARE_SCHEMES = 32, LAC_COMPARE_TARGETS = 16 };

typedef struct lac_compare_options {
    int n_schemes, n_targets;
    const char *schemes[LAC_COMPARE_SCHEMES];
    lac_target targets[LAC_COMPARE_TARGETS];
    int64_t images;    /* scored for accuracy; 0: all */
    int64_t agree;     /* images whose decisions are compared when accelerators compute; 0: none */
    int runs;          /* timed runs per scheme */
    const char *cells; /* folder of finished cells, made when absent; NULL: none are kept */
    bool fresh;        /* compute every cell anew */
    void (*progress)(void *context, const char *stage, double done);
    void *progress_context;
} lac_compare_options;

/* One scheme (row). NAN and -1: not available. */
typedef struct lac_compare_row {
    char scheme[128];
    bool is_float; /* the network as it is, of floats: nothing for accelerators to compute */
    double accuracy;
    char metric[16];
    int64_t items, file_bytes;
    double ms, ms_dense; /* measured in turns with the dense float32 network */
    struct {
        bool simulated; /* false: the row is_float */
        int64_t cycles;
        double uj;
        int hosts, layers;
        char why[400];    /* the reasons of the host layers, each once */
        bool exact;       /* all layers that ran */
        double agreement; /* share of equal decisions, NAN: not asked for */
    } target[LAC_COMPARE_TARGETS];
} lac_compare_row;

typedef struct lac_comparison {
    char model[256], calibration[300];
    int n_rows, cells_computed, cells_kept;
    lac_compare_row row[LAC_COMPARE_SCHEMES];
} lac_comparison;

lac_status lac_compare(lac_comparison *comparison, const lac_model *model,
                       const lac_compare_options *options, lac_error *err);

#endif
