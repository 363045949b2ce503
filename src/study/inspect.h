/* What is in a model file: every weight, how it is stored, and the bytes it would take in each
 * format of the table: as it is where it fits, else after what makes it fit. */
#ifndef LACUNA_STUDY_INSPECT_H
#define LACUNA_STUDY_INSPECT_H

#include "study/model.h"

#include <lacuna/format.h>

enum { LAC_INSPECT_FORMATS = 64, LAC_INSPECT_DISTINCT = 256 };

/* A weight in one format. */
typedef struct lac_inspected_bytes {
    int64_t bytes; /* of the fields, with scales and zero points as `stored`; -1: cannot be */
    bool fits;     /* exactly, as it is */
    /* "" when it fits; what makes it fit ("pruning to n:m (n=2,m=4)"), the bytes being those after
     * it; or why nothing does. */
    char note[160];
} lac_inspected_bytes;

typedef struct lac_inspected_weight {
    char name[128], value[128]; /* node; the value it reads */
    lac_dtype dtype;            /* of the elements as stored */
    int64_t rows, cols, zeros;
    int n, m;        /* the sparsest N:M pattern that it obeys and that pays; m = 0: none */
    int distinct;    /* values; 0: more than LAC_INSPECT_DISTINCT */
    char format[32]; /* as stored: "dense", "nm", ... */
    int64_t stored;  /* bytes of the constants it is made of, scales and zero points with it */
    lac_inspected_bytes in[LAC_INSPECT_FORMATS]; /* by row of lac_formats */
} lac_inspected_weight;

typedef struct lac_inspected {
    int64_t file_bytes;     /* as `stat` says; of the embedded file for a built-in network */
    int64_t external_bytes; /* of the files beside it that hold constants */
    int64_t parameters;     /* weights' elements, and those of other float constants but scales */
    int n;
    lac_inspected_weight *weight;
} lac_inspected;

/* `path` as given to lac_model_open. Release it. */
lac_status lac_inspect(lac_inspected *inspected, const lac_model *model, const char *path,
                       void (*progress)(void *context, const char *stage, double done),
                       void *progress_context, lac_error *err);
void lac_inspected_release(lac_inspected *inspected);

#endif
