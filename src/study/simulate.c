/* See simulate.h. Layers are simulated while the network runs: the layer runner sees each with its
 * real operands, so nothing has to be kept. */
#include "study/simulate.h"

#include "core/memory.h"
#include "study/integer.h"

#include <stdio.h>
#include <string.h>

lac_status lac_target_parse(lac_target *target, const char *name, lac_error *err)
{
    target->accel = (const lac_accel *)lac_table_find(&lac_accels, name);
    if (!target->accel)
        return lac_fail(err, LAC_ERROR_INPUT, "unknown accelerator '%s': see 'lacuna list accels'",
                        name);
    lac_params_init(&target->params, target->accel->params);
    return LAC_OK;
}

/* One "name=value" or "accel.name=value" of a list, `length` characters. */
static lac_status set_item(lac_target *targets, int n, const char *item, size_t length,
                           lac_error *err)
{
    char name[160], value[160];
    const char *equals = memchr(item, '=', length);
    size_t before = equals ? (size_t)(equals - item) : 0, after = equals ? length - before - 1 : 0;
    if (before == 0 || before >= sizeof name || after >= sizeof value)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "--set %.*s: want name=value or accel.name=value, comma lists allowed",
                        (int)length, item);
    snprintf(name, sizeof name, "%.*s", (int)before, item);
    snprintf(value, sizeof value, "%.*s", (int)after, equals + 1);
    char *dot = strchr(name, '.'), *param = dot ? dot + 1 : name;
    if (dot)
        *dot = 0;
    bool used = false;
    for (int i = 0; i < n; i++) {
        if (dot && strcmp(targets[i].accel->row.name, name) != 0)
            continue;
        if (!dot && n > 1 && !lac_params_has(&targets[i].params, param))
            continue;
        lac_status status = lac_params_set(&targets[i].params, param, value, err);
        if (status != LAC_OK)
            return lac_fail_in(err, status, "%s", targets[i].accel->row.name);
        used = true;
    }
    if (!used)
        return lac_fail(err, LAC_ERROR_INPUT, "--set %.*s: no accelerator of this run has it",
                        (int)length, item);
    return LAC_OK;
}

lac_status lac_targets_set(lac_target *targets, int n, const char *text, lac_error *err)
{
    do {
        size_t length = strcspn(text, ",");
        LAC_TRY(set_item(targets, n, text, length, err));
        text += length + (text[length] == ',');
    } while (*text);
    return LAC_OK;
}

void lac_simulated_release(lac_simulated *simulated)
{
    for (int i = 0; i < simulated->n; i++)
        lac_result_release(&simulated->layer[i].result);
    lac_free(simulated->layer);
    memset(simulated, 0, sizeof *simulated);
}

int64_t lac_simulated_cycles(const lac_simulated *simulated)
{
    int64_t sum = 0;
    for (int i = 0; i < simulated->n; i++)
        if (!simulated->layer[i].reason[0])
            sum += simulated->layer[i].result.cycles;
    return sum;
}

double lac_simulated_pj(const lac_simulated *simulated)
{
    double sum = 0;
    for (int i = 0; i < simulated->n; i++)
        if (!simulated->layer[i].reason[0])
            sum += lac_result_energy_pj(&simulated->layer[i].result);
    return sum;
}

int lac_simulated_hosts(const lac_simulated *simulated)
{
    int hosts = 0;
    for (int i = 0; i < simulated->n; i++)
        hosts += simulated->layer[i].reason[0] != 0;
    return hosts;
}

static lac_simulated_layer *append(lac_simulated *simulated, const lac_layer *layer, lac_error *err)
{
    size_t n = (size_t)simulated->n;
    lac_simulated_layer *layers = lac_grow(simulated->layer, n, n + 1, sizeof *layers, err);
    if (!layers)
        return NULL;
    simulated->layer = layers;
    simulated->n++;
    snprintf(layers[n].name, sizeof layers[n].name, "%s", layer->name);
    snprintf(layers[n].kind, sizeof layers[n].kind, "%s", layer->kind->row.name);
    return &layers[n];
}

lac_status lac_simulate_layer(const lac_layer *layer, const lac_target *target,
                              const lac_sim_options *options, lac_simulated_layer *result,
                              lac_error *err)
{
    char why[160] = "";
    snprintf(result->name, sizeof result->name, "%s", layer->name);
    snprintf(result->kind, sizeof result->kind, "%s", layer->kind->row.name);
    if (!target->accel->supports(layer, &target->params, why, sizeof why)) {
        snprintf(result->reason, sizeof result->reason, "%s", why[0] ? why : "not supported");
        return LAC_OK;
    }
    return lac_simulate(target->accel, layer, &target->params, options, &result->result, err);
}

typedef struct run {
    const lac_ranges *ranges;
    const lac_target *targets;
    int n, layers;
    const lac_simulate_options *options;
    lac_simulated *result;
} run;

static lac_status on_each_target(run *r, const lac_layer *layer, const lac_layer *integers,
                                 const char *reason, lac_error *err)
{
    for (int i = 0; i < r->n; i++) {
        lac_simulated_layer *row = append(&r->result[i], layer, err);
        if (!row)
            return LAC_ERROR_MEMORY;
        if (reason)
            snprintf(row->reason, sizeof row->reason, "%s", reason);
        else
            LAC_TRY(lac_simulate_layer(integers, &r->targets[i], &r->options->sim, row, err));
        lac_tensor_release(&row->result.output); /* the checksums stay */
        if (row->reason[0] && layer->kind->macs)
            r->result[i].host_macs += layer->kind->macs(layer);
    }
    return LAC_OK;
}

/* The layer runner: simulates, then lets the CPU's kernel compute. */
static lac_status watch(void *context, const lac_layer *layer, lac_error *err)
{
    run *r = context;
    lac_integer_layer integer;
    if (r->options->progress)
        r->options->progress(r->options->progress_context, layer->name, -1);
    lac_error own;
    lac_status status = lac_integer_make(&integer, layer, r->ranges, &own);
    if (status == LAC_ERROR_UNSUPPORTED) {
        status = on_each_target(r, layer, NULL, own.message, err);
    } else if (status == LAC_OK) {
        status = on_each_target(r, layer, &integer.layer, NULL, err);
        lac_integer_release(&integer);
    } else if (err) {
        *err = own;
    }
    if (status == LAC_ERROR_UNSUPPORTED) /* would read as "the kernel shall run it" */
        status = LAC_ERROR_INTERNAL;
    return status == LAC_OK ? LAC_ERROR_UNSUPPORTED : status;
}

lac_status lac_simulate_network(const lac_graph *graph, const lac_tensor *in,
                                const lac_ranges *ranges, const lac_target *targets, int n,
                                const lac_simulate_options *options, lac_simulated *result,
                                lac_error *err)
{
    run r = {.ranges = ranges, .targets = targets, .n = n, .options = options, .result = result};
    lac_session_options session_options = {.runner = watch, .runner_context = &r};
    lac_session *session;
    LAC_TRY(lac_session_make(&session, graph, &session_options, err));
    lac_tensor *out = lac_alloc((size_t)graph->n_outputs, sizeof *out, err);
    lac_status status = out ? lac_session_run(session, in, out, err) : LAC_ERROR_MEMORY;
    for (int i = 0; out && i < graph->n_outputs; i++)
        lac_tensor_release(&out[i]);
    lac_free(out);
    lac_session_free(session);
    if (status != LAC_OK)
        for (int i = 0; i < n; i++)
            lac_simulated_release(&result[i]);
    return status;
}

static lac_status run_through(void *context, const lac_layer *layer, lac_error *err)
{
    static const lac_sim_options quick = {.no_check = true};
    lac_through *through = context;
    const lac_target *target = through->target;
    lac_integer_layer integer;
    lac_simulated_layer result = {0};
    through->host++; /* until it is known to have run */
    LAC_TRY(lac_integer_make(&integer, layer, through->ranges, err));
    lac_status status = lac_simulate_layer(&integer.layer, target, &quick, &result, err);
    if (status == LAC_OK && (result.reason[0] || !result.result.output.data))
        status = lac_fail(err, LAC_ERROR_UNSUPPORTED, "host: %s", result.reason);
    if (status == LAC_OK)
        status = lac_integer_finish(&integer, &result.result.output, layer, err);
    if (status == LAC_OK) {
        through->ran++;
        through->host--;
    }
    lac_result_release(&result.result);
    lac_integer_release(&integer);
    return status;
}

lac_status lac_through_make(lac_through *through, const lac_graph *graph, const lac_target *target,
                            const lac_ranges *ranges, lac_error *err)
{
    memset(through, 0, sizeof *through);
    through->target = target;
    through->ranges = ranges;
    lac_session_options options = {.runner = run_through, .runner_context = through};
    return lac_session_make(&through->session, graph, &options, err);
}

void lac_through_free(lac_through *through)
{
    lac_session_free(through->session);
    through->session = NULL;
}
