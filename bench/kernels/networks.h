/* Whole stored networks, compressed, against the same network dense in float32 on this executor. */
#ifndef BENCH_NETWORKS_H
#define BENCH_NETWORKS_H

#include <lacuna/core.h>

typedef struct bench_network {
    double seconds, dense_seconds; /* medians of whole runs in turns */
    int64_t macs, stored_bytes;
} bench_network;

/* `file` below the folder of stored networks ($LACUNA_SHARED/data/models); one item, batch 1;
 * calibrated on few items, which does for times. `budget_seconds` for both.
 * LAC_ERROR_UNSUPPORTED: the folder is absent. */
lac_status bench_network_run(bench_network *result, const char *file, const char *scheme,
                             double budget_seconds, lac_error *err);

#endif
