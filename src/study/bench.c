/* See bench.h. The two networks take turns, so that a machine whose speed drifts slows both. */
#include "study/bench.h"

#include "core/clock.h"
#include "core/memory.h"
#include "exec/fold.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, ascending);
    return n % 2 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

static lac_status one_run(lac_session *session, const lac_graph *graph, const lac_tensor *in,
                          lac_tensor *out, double *seconds, lac_error *err)
{
    double begin = lac_seconds();
    LAC_TRY(lac_session_run(session, in, out, err));
    *seconds = lac_seconds() - begin;
    for (int i = 0; i < graph->n_outputs; i++)
        lac_tensor_release(&out[i]);
    return LAC_OK;
}

/* A run during which somebody else had the processor is done again, twice at most. */
static lac_status calm_run(lac_session *session, const lac_graph *graph, const lac_tensor *in,
                           lac_tensor *out, double *seconds, lac_error *err)
{
    for (int tries = 0; tries < 3; tries++) {
        long before = lac_interruptions();
        LAC_TRY(one_run(session, graph, in, out, seconds, err));
        if (lac_interruptions() == before)
            break;
    }
    return LAC_OK;
}

/* ---- the dense twin
 * ------------------------------------------------------------------------------ */

/* QuantizeLinear followed only by DequantizeLinear is rounding of activations: the pair goes. */
static void drop_rounding(lac_graph *graph)
{
    for (int n = 0; n < graph->n_nodes; n++) {
        lac_node *back = &graph->nodes[n];
        if (!back->op || strcmp(back->op, "DequantizeLinear") != 0 || back->domain[0])
            continue;
        int made = graph->values[back->in[0]].producer;
        if (made < 0 || !graph->nodes[made].op ||
            strcmp(graph->nodes[made].op, "QuantizeLinear") != 0)
            continue;
        int from = back->out[0], to = graph->nodes[made].in[0];
        for (int i = 0; i < graph->n_nodes; i++)
            for (int k = 0; k < graph->nodes[i].n_in; k++)
                if (graph->nodes[i].in[k] == from)
                    graph->nodes[i].in[k] = to;
    }
}

lac_status lac_dense_copy(lac_graph **copy, const lac_graph *graph, lac_error *err)
{
    lac_graph *made;
    LAC_TRY(lac_graph_copy(&made, graph, err));
    drop_rounding(made);
    lac_status status = lac_graph_settle(made, err);
    for (int n = 0; status == LAC_OK && n < made->n_nodes; n++) {
        const lac_node *node = &made->nodes[n];
        if (strcmp(node->domain, "lacuna") != 0 || strcmp(node->op, "Unpack") != 0)
            continue;
        lac_tensor tensor;
        int value = node->out[0];
        status = lac_fold_value(made, value, &tensor, err);
        if (status == LAC_OK) { /* the value becomes a constant, its maker goes */
            made->values[value].constant = tensor;
            made->values[value].producer = -1;
            made->nodes[n].op = NULL;
        }
    }
    if (status == LAC_OK)
        status = lac_graph_settle(made, err);
    if (status == LAC_OK)
        *copy = made;
    else
        lac_graph_free(made);
    return status;
}

/* ---- timing
 * ---------------------------------------------------------------------------------------- */

typedef struct side {
    const lac_graph *graph;
    lac_session *plain, *timed; /* whole runs; runs with every step timed */
    lac_tensor *out;
    double *whole;
    double *steps; /* [n_steps][runs] */
    int n_steps;
    double round; /* seconds of one turn, from the runs that warm up */
} side;

static void close_side(side *s)
{
    lac_session_free(s->plain);
    lac_session_free(s->timed);
    lac_free(s->out);
    lac_free(s->whole);
    lac_free(s->steps);
}

static lac_status open_side(side *s, const lac_graph *graph, const lac_tensor *in, lac_error *err)
{
    lac_session_options timing = {.time_steps = true};
    lac_step_info info;
    double seconds;
    s->graph = graph;
    s->out = lac_alloc((size_t)graph->n_outputs, sizeof *s->out, err);
    if (!s->out)
        return LAC_ERROR_MEMORY;
    LAC_TRY(lac_session_make(&s->plain, graph, NULL, err));
    LAC_TRY(lac_session_make(&s->timed, graph, &timing, err));
    LAC_TRY(one_run(s->plain, graph, in, s->out, &seconds, err)); /* makes the plan, warms up */
    LAC_TRY(one_run(s->timed, graph, in, s->out, &seconds, err));
    LAC_TRY(one_run(s->plain, graph, in, s->out, &seconds, err));
    s->round = 2 * seconds;
    while (lac_session_step(s->timed, s->n_steps, &info))
        s->n_steps++;
    return LAC_OK;
}

static lac_status make_room(side *s, int runs, lac_error *err)
{
    s->whole = lac_alloc((size_t)runs, sizeof *s->whole, err);
    s->steps = lac_alloc((size_t)s->n_steps * (size_t)runs, sizeof *s->steps, err);
    return s->whole && s->steps ? LAC_OK : LAC_ERROR_MEMORY;
}

static lac_status time_side(side *s, const lac_tensor *in, int run, int runs, lac_error *err)
{
    lac_step_info info;
    double seconds;
    LAC_TRY(calm_run(s->plain, s->graph, in, s->out, &s->whole[run], err));
    LAC_TRY(calm_run(s->timed, s->graph, in, s->out, &seconds, err));
    for (int i = 0; i < s->n_steps && lac_session_step(s->timed, i, &info); i++)
        s->steps[i * runs + run] = info.seconds;
    return LAC_OK;
}

static void copy_text(char *to, size_t size, const char *from)
{
    snprintf(to, size, "%s", from ? from : "");
}

static lac_status collect(lac_bench *bench, side *own, side *dense, int runs, lac_error *err)
{
    bench->layer = lac_alloc((size_t)own->n_steps, sizeof *bench->layer, err);
    if (!bench->layer)
        return LAC_ERROR_MEMORY;
    bench->n = own->n_steps;
    for (int i = 0; i < own->n_steps; i++) {
        lac_bench_layer *layer = &bench->layer[i];
        lac_step_info info, other;
        if (!lac_session_step(own->timed, i, &info))
            break;
        copy_text(layer->name, sizeof layer->name, info.name);
        copy_text(layer->kernel, sizeof layer->kernel, info.kernel);
        copy_text(layer->isa, sizeof layer->isa, info.isa);
        copy_text(layer->format, sizeof layer->format, info.format);
        copy_text(layer->why, sizeof layer->why, info.why);
        layer->macs = info.macs;
        layer->stored_bytes = info.stored_bytes;
        layer->ms = 1e3 * median(own->steps + (size_t)i * (size_t)runs, runs);
        layer->ms_dense = NAN;
        for (int k = 0; layer->macs > 0 && lac_session_step(dense->timed, k, &other); k++)
            if (strcmp(other.name, layer->name) == 0 && other.macs == layer->macs)
                layer->ms_dense = 1e3 * median(dense->steps + (size_t)k * (size_t)runs, runs);
    }
    bench->ms = 1e3 * median(own->whole, runs);
    bench->ms_dense = 1e3 * median(dense->whole, runs);
    bench->runs = runs;
    return LAC_OK;
}

/* `runs`; of 0, as many as `seconds` allow, between 5 and 2000. */
static lac_status run_both(lac_bench *bench, const lac_graph *graph, const lac_graph *dense,
                           const lac_tensor *in, int runs, double seconds,
                           void (*progress)(void *context, const char *stage, double done),
                           void *progress_context, lac_error *err)
{
    side own = {0}, other = {0};
    memset(bench, 0, sizeof *bench);
    lac_status status = open_side(&own, graph, in, err);
    if (status == LAC_OK) {
        lac_session_memory(own.plain, &bench->memory);
        status = open_side(&other, dense, in, err);
    }
    if (status == LAC_OK && runs == 0)
        runs = (int)fmin(fmax(seconds / (own.round + other.round), 5), 2000);
    if (status == LAC_OK)
        status = make_room(&own, runs, err);
    if (status == LAC_OK)
        status = make_room(&other, runs, err);
    for (int run = 0; status == LAC_OK && run < runs; run++) {
        if (progress)
            progress(progress_context, "bench", (double)run / runs);
        status = time_side(&own, in, run, runs, err);
        if (status == LAC_OK)
            status = time_side(&other, in, run, runs, err);
    }
    if (status == LAC_OK)
        status = collect(bench, &own, &other, runs, err);
    close_side(&own);
    close_side(&other);
    if (status != LAC_OK)
        lac_bench_release(bench);
    return status;
}

lac_status lac_bench_run(lac_bench *bench, const lac_graph *graph, const lac_graph *dense,
                         const lac_tensor *in, int runs,
                         void (*progress)(void *context, const char *stage, double done),
                         void *progress_context, lac_error *err)
{
    return run_both(bench, graph, dense, in, runs, 0, progress, progress_context, err);
}

lac_status lac_bench_for(lac_bench *bench, const lac_graph *graph, const lac_graph *dense,
                         const lac_tensor *in, double seconds, lac_error *err)
{
    return run_both(bench, graph, dense, in, 0, seconds, NULL, NULL, err);
}

void lac_bench_release(lac_bench *bench)
{
    lac_free(bench->layer);
    memset(bench, 0, sizeof *bench);
}
