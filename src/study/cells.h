/* Finished pieces of long work, one small JSON file each, named by a hash of everything the result
 * depends on; and a log that says of each whether it was computed or kept. */
#ifndef LACUNA_STUDY_CELLS_H
#define LACUNA_STUDY_CELLS_H

#include <jansson.h>
#include <lacuna/graph.h>

typedef struct lac_cells {
    const char *folder; /* NULL: nothing is kept */
    bool fresh;         /* keep results, but take none */
    int computed, kept;
} lac_cells;

/* Makes the folder when it is absent. */
lac_status lac_cells_open(lac_cells *cells, const char *folder, bool fresh, lac_error *err);
/* The cell of `key` if it is there (the caller's), else NULL; logged. */
json_t *lac_cells_get(lac_cells *cells, const char *key);
/* Stores `cell` (kept by the caller) as the result for `key`; the file appears whole. */
lac_status lac_cells_put(lac_cells *cells, const char *key, const json_t *cell, lac_error *err);
/* 64-bit hash of a network: operators, wiring, constants. */
uint64_t lac_fingerprint(const lac_graph *graph);
/* The same with a text behind it. */
uint64_t lac_fingerprint_text(uint64_t fingerprint, const char *text);
/* The same with this program and this CPU: others measure, and may count, anew. */
uint64_t lac_fingerprint_machine(uint64_t fingerprint);

#endif
