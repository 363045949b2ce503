/* A network as commands take it: a file, or one of the two that are built in. */
#ifndef LACUNA_STUDY_MODEL_H
#define LACUNA_STUDY_MODEL_H

#include "io/dataset.h"

#include <lacuna/graph.h>

typedef struct lac_model {
    lac_graph *graph;
    json_t *tasks;      /* lac_tasks_find */
    char name[256];     /* "model.onnx", "glyph_vit" */
    int64_t file_bytes; /* with external data */
} lac_model;

/* `path`: an ONNX file, or the name of a built-in network (lac_builtin_name). `meta`: a meta.json
 * to take tasks from, or NULL. Release it. */
lac_status lac_model_open(lac_model *model, const char *path, const char *meta, lac_error *err);
void lac_model_close(lac_model *model);

/* Names of the built-in networks, NULL past the last. */
const char *lac_builtin_name(int index);

#endif
