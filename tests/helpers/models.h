/* The stored networks of $LACUNA_SHARED/data/models: their inputs and outputs, as meta.json says.
 */
#ifndef LACUNA_TESTS_MODELS_H
#define LACUNA_TESTS_MODELS_H

#include <lacuna/lacuna.h>

#include <jansson.h>

/* $LACUNA_SHARED, or ../shared beside the sources; NULL and a loud line when there is none. */
const char *shared_folder(void);

/* One ONNX file with its stored inputs and outputs. */
typedef struct stored_model {
    char name[96]; /* "minilm_l6_sst2/dense" */
    char path[512];
    lac_graph *graph;
    lac_tensor *in;                /* per graph input */
    lac_tensor *want;              /* per graph output; dtype LAC_NONE: not stored */
    int batch_in[8], batch_out[8]; /* axis of the samples, -1 none */
    int64_t samples;
    bool steps;         /* stored step by step, with states between: "steps" in meta.json */
    const char *key;    /* of "files" in meta.json */
    const json_t *meta; /* meta.json */
} stored_model;

/* Calls `body` for every model; `body` returns false to stop. Returns how many were visited, -1
 * for an error (printed). */
int each_stored_model(bool (*body)(void *context, stored_model *model), void *context);
/* Sample `index` of a tensor along `axis`, batch 1, deep copy. */
lac_tensor sample_of(const lac_tensor *all, int axis, int64_t index);
/* Largest |a - b| over the largest |b|; infinity when shapes differ. */
double difference(const lac_tensor *a, const lac_tensor *b);

#endif
