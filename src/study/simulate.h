/* A network on simulated accelerators: every layer that one sample meets, and the network's own
 * decisions when the simulated outputs are fed back. */
#ifndef LACUNA_STUDY_SIMULATE_H
#define LACUNA_STUDY_SIMULATE_H

#include "exec/calibrate.h"

#include <lacuna/accel.h>

typedef struct lac_target { /* one accelerator with its parameters */
    const lac_accel *accel;
    lac_params params;
} lac_target;

lac_status lac_target_parse(lac_target *target, const char *name, lac_error *err);
/* What --set takes, everywhere: items joined by commas, "name=value" for all that have the
 * parameter, "eie.pe=32" for one of several. */
lac_status lac_targets_set(lac_target *targets, int n, const char *text, lac_error *err);

typedef struct lac_simulated_layer {
    char name[128];
    char kind[32];
    char reason[192];  /* why it is `host`; "" when it ran */
    lac_result result; /* without tensors */
} lac_simulated_layer;

typedef struct lac_simulated { /* one target */
    int n;
    lac_simulated_layer *layer;
    int64_t host_macs; /* dense multiply-accumulates of the host layers */
} lac_simulated;

typedef struct lac_simulate_options {
    lac_sim_options sim;
    void (*progress)(void *context, const char *stage, double done);
    void *progress_context;
} lac_simulate_options;

/* Runs the graph once on `in` (one tensor per graph input) and simulates each layer on each of the
 * `n` targets as it passes. `result`: n elements, zeroed; release each. */
lac_status lac_simulate_network(const lac_graph *graph, const lac_tensor *in,
                                const lac_ranges *ranges, const lac_target *targets, int n,
                                const lac_simulate_options *options, lac_simulated *result,
                                lac_error *err);
void lac_simulated_release(lac_simulated *simulated);
/* Sum of a field over the layers that ran. */
int64_t lac_simulated_cycles(const lac_simulated *simulated);
double lac_simulated_pj(const lac_simulated *simulated);
int lac_simulated_hosts(const lac_simulated *simulated);

/* A session whose layers run on `target` where it supports them (the CPU's kernels elsewhere): its
 * outputs are the network's with the accelerator's arithmetic. The runner lives until the session
 * is freed. */
typedef struct lac_through {
    lac_session *session;
    const lac_target *target;
    const lac_ranges *ranges;
    int64_t ran, host; /* layer runs so far */
} lac_through;
lac_status lac_through_make(lac_through *through, const lac_graph *graph, const lac_target *target,
                            const lac_ranges *ranges, lac_error *err);
void lac_through_free(lac_through *through);

/* One layer (synthetic or captured) on one target, straight. */
lac_status lac_simulate_layer(const lac_layer *layer, const lac_target *target,
                              const lac_sim_options *options, lac_simulated_layer *result,
                              lac_error *err);

#endif
