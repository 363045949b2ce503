/* See compare.h. A cell is one figure group of one scheme: what the CPU shows ("cpu": bytes,
 * accuracy, time), or what one accelerator shows. Its key names everything it depends on. */
#include "study/compare.h"

#include "core/memory.h"
#include "study/auto.h"
#include "study/bench.h"
#include "study/cells.h"
#include "study/evaluate.h"
#include "study/sample.h"

#include <errno.h>
#include <inttypes.h>
#include <lacuna/kernel.h>
#include <lacuna/lacuna.h>
#include <lacuna/scheme.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct work {
    const lac_model *model;
    const lac_compare_options *options;
    lac_comparison *comparison;
    lac_cells cells;
    lac_dataset *dataset; /* NULL: none */
    lac_calibration calibration;
    int64_t left_out;
    uint64_t fingerprint; /* of the network, its tasks and what calibrates it */
    lac_tensor *in;       /* one sample */
    lac_graph *dense;
    double *dense_decision; /* of the first `agree` images, made when first needed */
    int done, total;
} work;

static void advance(work *w)
{
    if (w->options->progress)
        w->options->progress(w->options->progress_context, "compare",
                             (double)w->done / (double)w->total);
    w->done++;
}

/* ---- a compressed network, made only when a cell of its row is missing
 * ------------------------------- */

typedef struct made {
    lac_compression compression;
    bool there;
    lac_ranges ranges;
    bool has_ranges;
} made;

/* A composition of schemes, or auto. */
static lac_status check_scheme(const char *scheme, bool *identity, lac_error *err)
{
    lac_composition composition;
    *identity = false;
    if (lac_auto_is(scheme))
        return LAC_OK;
    LAC_TRY(lac_scheme_parse(scheme, &composition, err));
    *identity = lac_scheme_is_identity(&composition);
    return LAC_OK;
}

/* One point of loss, a minute a network: what `compress --scheme auto` does in half its time. */
static lac_status choose(const work *w, made *m, lac_error *err)
{
    lac_auto chosen;
    lac_auto_options options = {.max_loss = 0.01, .budget = 60, .items = w->options->images};
    LAC_TRY(lac_auto_choose(&chosen, w->model, &options, err));
    m->compression = chosen.compression;
    memset(&chosen.compression, 0, sizeof chosen.compression);
    lac_auto_release(&chosen);
    return LAC_OK;
}

static lac_status compress(work *w, made *m, const char *scheme, lac_error *err)
{
    if (m->there)
        return LAC_OK;
    m->compression.calibration = w->dataset ? &w->calibration : NULL;
    lac_status status = lac_auto_is(scheme)
                            ? choose(w, m, err)
                            : lac_compress(&m->compression, w->model->graph, scheme, err);
    m->there = status == LAC_OK;
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "scheme %s", scheme);
}

static lac_status collect_ranges(work *w, made *m, lac_error *err)
{
    if (m->has_ranges || !w->dataset)
        return LAC_OK;
    LAC_TRY(lac_ranges_collect(&m->ranges, m->compression.graph, w->calibration.samples,
                               w->calibration.sample, w->calibration.context, NULL, NULL, err));
    m->has_ranges = true;
    return LAC_OK;
}

/* Bytes of the network as a file: written for real, measured, removed. */
static lac_status file_bytes(const lac_graph *graph, int64_t *bytes, lac_error *err)
{
    const char *folder = getenv("TMPDIR");
    char path[4096];
    struct stat status_of;
    snprintf(path, sizeof path, "%.4000s/lacuna-compare-XXXXXX",
             folder && *folder ? folder : "/tmp");
    int file = mkstemp(path);
    if (file < 0)
        return lac_fail(err, LAC_ERROR_IO, "%s: cannot make a temporary file: %s (TMPDIR)", path,
                        strerror(errno));
    close(file);
    lac_status status = lac_onnx_save(graph, path, 0, err);
    if (status == LAC_OK && stat(path, &status_of) != 0)
        status = lac_fail(err, LAC_ERROR_IO, "%s: %s", path, strerror(errno));
    if (status == LAC_OK)
        *bytes = (int64_t)status_of.st_size;
    unlink(path);
    return status;
}

/* ---- the CPU's cell
 * ------------------------------------------------------------------------------------ */

static lac_status score(work *w, const lac_graph *graph, int64_t limit, lac_score *result,
                        lac_error *err)
{
    lac_session *session;
    LAC_TRY(lac_session_make(&session, graph, NULL, err));
    lac_status status =
        lac_evaluate(session, w->dataset, w->left_out, limit, NULL, NULL, result, err);
    lac_session_free(session);
    return status;
}

static lac_status cpu_cell(work *w, made *m, const char *scheme, json_t **cell, lac_error *err)
{
    bool identity;
    LAC_TRY(check_scheme(scheme, &identity, err));
    LAC_TRY(compress(w, m, scheme, err));
    const lac_graph *graph = m->compression.graph;
    int64_t bytes = w->model->file_bytes;
    if (!identity) { /* with its tasks, as compress writes it */
        LAC_TRY(lac_tasks_keep(m->compression.graph, w->model->tasks, err));
        LAC_TRY(file_bytes(graph, &bytes, err));
    }
    *cell = json_pack("{s:I}", "file_bytes", (json_int_t)bytes);
    if (w->dataset) {
        lac_score result;
        LAC_TRY(score(w, graph, w->options->images, &result, err));
        json_object_set_new(*cell, "metric", json_string(result.metric));
        json_object_set_new(*cell, "accuracy", json_real(result.value));
        json_object_set_new(*cell, "items", json_integer(result.n));
        lac_score_release(&result);
    }
    lac_bench bench;
    LAC_TRY(lac_bench_run(&bench, graph, w->dense, w->in, w->options->runs, NULL, NULL, err));
    json_object_set_new(*cell, "ms", json_real(bench.ms));
    json_object_set_new(*cell, "ms_dense", json_real(bench.ms_dense));
    lac_bench_release(&bench);
    return LAC_OK;
}

/* ---- an accelerator's cell
 * ------------------------------------------------------------------------------- */

static lac_status agreement(work *w, made *m, const lac_target *target, double *result,
                            lac_error *err)
{
    lac_score own;
    lac_through through;
    int64_t n = w->options->agree, equal = 0;
    if (!w->dense_decision) {
        LAC_TRY(score(w, w->model->graph, n, &own, err));
        w->dense_decision = own.decision;
    }
    LAC_TRY(lac_through_make(&through, m->compression.graph, target, &m->ranges, err));
    lac_status status =
        lac_evaluate(through.session, w->dataset, w->left_out, n, NULL, NULL, &own, err);
    lac_through_free(&through);
    if (status != LAC_OK)
        return status;
    for (int64_t i = 0; i < own.n; i++)
        equal += own.decision[i] == w->dense_decision[i];
    *result = (double)equal / (double)own.n;
    lac_score_release(&own);
    return LAC_OK;
}

static lac_status target_cell(work *w, made *m, const char *scheme, const lac_target *target,
                              json_t **cell, lac_error *err)
{
    lac_simulated simulated = {0};
    lac_simulate_options options = {0};
    LAC_TRY(compress(w, m, scheme, err));
    LAC_TRY(collect_ranges(w, m, err));
    LAC_TRY(lac_simulate_network(m->compression.graph, w->in, &m->ranges, target, 1, &options,
                                 &simulated, err));
    bool exact = true;
    char why[400] = ""; /* each reason once */
    for (int i = 0; i < simulated.n; i++) {
        const lac_simulated_layer *layer = &simulated.layer[i];
        exact &= layer->reason[0] || layer->result.exact;
        size_t used = strlen(why);
        if (layer->reason[0] && !strstr(why, layer->reason))
            snprintf(why + used, sizeof why - used, "%s%s", used ? "; " : "", layer->reason);
    }
    *cell = json_pack("{s:I, s:f, s:i, s:i, s:s, s:b}", "cycles",
                      (json_int_t)lac_simulated_cycles(&simulated), "uj",
                      1e-6 * lac_simulated_pj(&simulated), "hosts", lac_simulated_hosts(&simulated),
                      "layers", simulated.n, "why", why, "exact", exact);
    lac_simulated_release(&simulated);
    if (w->options->agree > 0 && w->dataset && *cell) {
        double share;
        LAC_TRY(agreement(w, m, target, &share, err));
        json_object_set_new(*cell, "agreement", json_real(share));
    }
    return *cell ? LAC_OK : lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
}

/* ---- rows
 * ----------------------------------------------------------------------------------------------------
 */

static double number(const json_t *cell, const char *key)
{
    const json_t *value = json_object_get(cell, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

static int64_t whole(const json_t *cell, const char *key)
{
    return json_integer_value(json_object_get(cell, key));
}

static lac_status cpu_of_row(work *w, made *m, lac_compare_row *row, lac_error *err)
{
    char key[1024], isa_name[128];
    uint32_t isa;
    LAC_TRY(lac_isa(&isa, err));
    snprintf(key, sizeof key,
             "cpu %s model=%016" PRIx64 " scheme=%s images=%" PRId64 " runs=%d threads=%d isa=%s",
             lac_version(), w->fingerprint, row->scheme, w->options->images, w->options->runs,
             lac_threads(), lac_isa_text(isa, isa_name, sizeof isa_name));
    advance(w);
    json_t *cell = lac_cells_get(&w->cells, key);
    lac_status status = LAC_OK;
    if (!cell) {
        status = cpu_cell(w, m, row->scheme, &cell, err);
        if (status == LAC_OK)
            status = lac_cells_put(&w->cells, key, cell, err);
    }
    if (status == LAC_OK) {
        row->file_bytes = whole(cell, "file_bytes");
        row->accuracy = number(cell, "accuracy");
        row->items = whole(cell, "items");
        row->ms = number(cell, "ms");
        row->ms_dense = number(cell, "ms_dense");
        const char *metric = json_string_value(json_object_get(cell, "metric"));
        snprintf(row->metric, sizeof row->metric, "%s", metric ? metric : "");
    }
    json_decref(cell);
    return status;
}

static lac_status target_of_row(work *w, made *m, lac_compare_row *row, int t, lac_error *err)
{
    const lac_target *target = &w->options->targets[t];
    char key[2048], params[1024];
    row->target[t].agreement = NAN;
    advance(w);
    if (row->is_float)
        return LAC_OK;
    snprintf(key, sizeof key,
             "accel %s model=%016" PRIx64 " scheme=%s accel=%s set=%s agree=%" PRId64,
             lac_version(), w->fingerprint, row->scheme, target->accel->row.name,
             lac_params_print(&target->params, params, sizeof params), w->options->agree);
    json_t *cell = lac_cells_get(&w->cells, key);
    lac_status status = LAC_OK;
    if (!cell) {
        status = target_cell(w, m, row->scheme, target, &cell, err);
        if (status == LAC_OK)
            status = lac_cells_put(&w->cells, key, cell, err);
    }
    if (status == LAC_OK) {
        row->target[t].simulated = true;
        row->target[t].cycles = whole(cell, "cycles");
        row->target[t].uj = number(cell, "uj");
        row->target[t].hosts = (int)whole(cell, "hosts");
        row->target[t].layers = (int)whole(cell, "layers");
        row->target[t].exact = json_is_true(json_object_get(cell, "exact"));
        row->target[t].agreement = number(cell, "agreement");
        const char *why = json_string_value(json_object_get(cell, "why"));
        snprintf(row->target[t].why, sizeof row->target[t].why, "%s", why ? why : "");
    }
    json_decref(cell);
    return status;
}

/* Whether the network as it is computes on integers or holds compressed weights. */
static bool is_compressed(const lac_graph *graph)
{
    for (int n = 0; n < graph->n_nodes; n++) {
        const lac_node *node = &graph->nodes[n];
        if (strcmp(node->domain, "lacuna") == 0 || strcmp(node->op, "QuantizeLinear") == 0 ||
            strcmp(node->op, "DynamicQuantizeLinear") == 0)
            return true;
    }
    return false;
}

static lac_status rows(work *w, lac_error *err)
{
    lac_comparison *comparison = w->comparison;
    bool compressed = is_compressed(w->model->graph);
    for (int s = 0; s < w->options->n_schemes; s++) {
        lac_compare_row *row = &comparison->row[s];
        made m = {0};
        bool identity;
        snprintf(row->scheme, sizeof row->scheme, "%s", w->options->schemes[s]);
        LAC_TRY(check_scheme(row->scheme, &identity, err));
        row->is_float = !compressed && identity;
        lac_status status = cpu_of_row(w, &m, row, err);
        for (int t = 0; status == LAC_OK && t < w->options->n_targets; t++)
            status = target_of_row(w, &m, row, t, err);
        lac_compression_release(&m.compression);
        lac_ranges_release(&m.ranges);
        LAC_TRY(status);
        comparison->n_rows = s + 1;
    }
    comparison->cells_computed = w->cells.computed;
    comparison->cells_kept = w->cells.kept;
    return LAC_OK;
}

lac_status lac_compare(lac_comparison *comparison, const lac_model *model,
                       const lac_compare_options *options, lac_error *err)
{
    work w = {.model = model, .options = options, .comparison = comparison};
    bool identity;
    char source[300];
    memset(comparison, 0, sizeof *comparison);
    snprintf(comparison->model, sizeof comparison->model, "%s", model->name);
    for (int s = 0; s < options->n_schemes; s++) /* a wrong name is said before any work */
        LAC_TRY(check_scheme(options->schemes[s], &identity, err));
    w.total = options->n_schemes * (1 + options->n_targets);
    w.fingerprint = lac_fingerprint_machine(lac_fingerprint(model->graph));
    LAC_TRY(lac_cells_open(&w.cells, options->cells, options->fresh, err));
    lac_status status = lac_sample_calibration(model, &w.dataset, &w.calibration, &w.left_out, err);
    if (status == LAC_OK && w.dataset)
        snprintf(comparison->calibration, sizeof comparison->calibration, "%s",
                 w.calibration.source);
    char *tasks = json_dumps(model->tasks, JSON_COMPACT | JSON_SORT_KEYS);
    w.fingerprint = lac_fingerprint_text(w.fingerprint, tasks ? tasks : "");
    w.fingerprint = lac_fingerprint_text(w.fingerprint, comparison->calibration);
    free(tasks);
    if (status == LAC_OK)
        status = lac_sample_inputs(model, w.dataset, w.left_out, NULL, &w.in, source, sizeof source,
                                   err);
    if (status == LAC_OK)
        status = lac_dense_copy(&w.dense, model->graph, err);
    if (status == LAC_OK)
        status = rows(&w, err);
    for (int i = 0; w.in && i < model->graph->n_inputs; i++)
        lac_tensor_release(&w.in[i]);
    lac_free(w.in);
    lac_free(w.dense_decision);
    lac_graph_free(w.dense);
    lac_dataset_close(w.dataset);
    return status;
}
