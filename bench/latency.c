/* How long does one run of a network take? Batch 1, symbols other than N set to LENGTH.
 *     bench_latency MODEL.onnx THREADS [SECONDS [LENGTH [steps]]]
 * prints the median and the least of all runs within SECONDS, in milliseconds; with `steps` also
 * every step's kernel and time. */
#include "core/clock.h"
#include "core/parallel.h"

#include <lacuna/lacuna.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int fail(const lac_error *err)
{
    fprintf(stderr, "%s\n", err->message);
    return 1;
}

/* Floats in [-1, 1), integers 1. */
static lac_status make_input(const lac_value *value, int64_t length, lac_tensor *in, lac_error *err)
{
    int64_t dims[LAC_MAX_RANK];
    for (int d = 0; d < value->rank; d++) {
        const char *symbol = value->dims[d].symbol;
        dims[d] = value->dims[d].size >= 0             ? value->dims[d].size
                  : symbol && strcmp(symbol, "N") == 0 ? 1
                                                       : length;
    }
    LAC_TRY(lac_tensor_make(in, value->dtype, value->rank, dims, err));
    uint32_t state = 1;
    for (int64_t i = 0; i < lac_tensor_count(in); i++) {
        state = state * 1664525u + 1013904223u;
        lac_tensor_set(in, i, value->dtype == LAC_F32 ? (double)(state >> 8) / (1 << 23) - 1 : 1);
    }
    return LAC_OK;
}

int main(int argc, char **argv)
{
    lac_error err;
    lac_graph *graph;
    lac_session *session;
    lac_tensor in[16], out[16];
    static double times[200000];
    if (argc < 3) {
        fprintf(stderr, "usage: %s MODEL.onnx THREADS [SECONDS [LENGTH [steps]]]\n", argv[0]);
        return 2;
    }
    lac_threads_calm(argv);
    double limit = argc > 3 ? atof(argv[3]) * 1e3 : 1e3;
    int64_t length = argc > 4 ? atoll(argv[4]) : 32;
    lac_session_options options = {.time_steps = argc > 5};
    lac_threads_set(atoi(argv[2]));
    if (lac_onnx_load(&graph, argv[1], &err) != LAC_OK ||
        lac_session_make(&session, graph, &options, &err) != LAC_OK)
        return fail(&err);
    for (int i = 0; i < graph->n_inputs; i++)
        if (make_input(&graph->values[graph->inputs[i]], length, &in[i], &err) != LAC_OK)
            return fail(&err);
    int runs = 0;
    for (double begin = lac_seconds();
         runs < 200000 && (runs < 3 || 1e3 * (lac_seconds() - begin) < limit); runs++) {
        double start = lac_seconds();
        if (lac_session_run(session, in, out, &err) != LAC_OK)
            return fail(&err);
        times[runs] = 1e3 * (lac_seconds() - start);
        for (int k = 0; k < graph->n_outputs; k++)
            lac_tensor_release(&out[k]);
    }
    lac_step_info info;
    for (int i = 0; argc > 5 && lac_session_step(session, i, &info); i++)
        printf("%8.1f us  %-12s %-28s %-24s %10lld macs %s\n", info.seconds * 1e6, info.op,
               info.kernel, info.name, (long long)info.macs, info.why);
    int measured = runs > 2 ? runs - 1 : runs; /* the first run makes the plan */
    qsort(times + (runs - measured), (size_t)measured, sizeof *times, ascending);
    printf("%.5f %.5f\n", times[runs - measured + measured / 2], times[runs - measured]);
    for (int i = 0; i < graph->n_inputs; i++)
        lac_tensor_release(&in[i]);
    lac_session_free(session);
    lac_graph_free(graph);
    return 0;
}
