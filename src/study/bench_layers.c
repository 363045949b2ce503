/* See bench_layers.h. A layer runner sees every layer with its operands and lets the kernel run.
 * What depends on the shape alone is found once per shape: networks repeat theirs. */
#include "study/bench_layers.h"

#include "core/memory.h"
#include "study/trial.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct looking {
    const lac_bench *bench;
    lac_layer_facts *facts;
    bool measure;
    void (*progress)(void *context, const char *stage, double done);
    void *progress_context;
    int seen;
} looking;

static int64_t nonzeros(const lac_tensor *tensor)
{
    int64_t count = lac_tensor_count(tensor), n = 0;
    if (tensor->dtype == LAC_F32)
        for (int64_t i = 0; i < count; i++)
            n += ((const float *)tensor->data)[i] != 0;
    else if (tensor->dtype == LAC_I8)
        for (int64_t i = 0; i < count; i++)
            n += ((const int8_t *)tensor->data)[i] != 0;
    else
        for (int64_t i = 0; i < count; i++)
            n += lac_tensor_get(tensor, i) != 0;
    return n;
}

static lac_status density_of(double *density, const lac_operand *w, lac_error *err)
{
    lac_tensor raw = {0};
    *density = 1;
    if (w->packed)
        LAC_TRY(lac_unpack(w->packed, &raw, err));
    else if (w->tensor.data)
        lac_tensor_share(&raw, &w->tensor);
    if (raw.data && lac_tensor_count(&raw) > 0)
        *density = (double)nonzeros(&raw) / (double)lac_tensor_count(&raw);
    lac_tensor_release(&raw);
    return LAC_OK;
}

/* Those of the same shape, type and format were looked at before. */
static const lac_layer_facts *same(const looking *l, const lac_layer_facts *f, const char *format)
{
    for (int i = 0; i < l->bench->n; i++) {
        const lac_layer_facts *other = &l->facts[i];
        if (other != f && other->known && other->dtype == f->dtype &&
            strcmp(other->shape, f->shape) == 0 && strcmp(l->bench->layer[i].format, format) == 0)
            return other;
    }
    return NULL;
}

static lac_status dense_i8(double *ms, const char *shape, lac_error *err)
{
    lac_trial *trial;
    lac_trial_spec spec = {.layer = shape,
                           .format = "dense",
                           .weights = LAC_I8,
                           .sparsity = {.density = 1},
                           .seed = 1,
                           .plain = true};
    uint32_t isa;
    *ms = NAN;
    LAC_TRY(lac_isa(&isa, err));
    lac_status status =
        lac_trial_best(&trial, &spec, LAC_BIT(LAC_U8) | LAC_BIT(LAC_I8), isa, true, err);
    if (status != LAC_OK)
        return status == LAC_ERROR_UNSUPPORTED ? LAC_OK : status;
    lac_side side = {.trial = &trial, .copies = 1};
    status = lac_race(&side, 1, 0.03, err);
    *ms = 1e3 * side.seconds;
    lac_trial_free(trial);
    return status;
}

static lac_status look_at(looking *l, lac_layer_facts *f, const lac_bench_layer *times,
                          const lac_layer *layer, lac_error *err)
{
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    const lac_tensor *x = &layer->operand[LAC_ROLE_ACTIVATIONS].tensor;
    f->dtype = x->dtype != LAC_NONE ? x->dtype : layer->operand[LAC_ROLE_QUERY].tensor.dtype;
    f->bytes = times->stored_bytes + (int64_t)lac_tensor_bytes(&layer->output);
    for (int role = 0; role < LAC_ROLE_LIMIT; role++)
        if (role != LAC_ROLE_WEIGHTS)
            f->bytes += (int64_t)lac_tensor_bytes(&layer->operand[role].tensor);
    lac_layer_text(layer, f->shape, sizeof f->shape);
    LAC_TRY(density_of(&f->density, w, err));
    const lac_layer_facts *known = same(l, f, times->format);
    if (known) {
        f->ms_dense_i8 = known->ms_dense_i8;
        f->even = known->even;
    } else if (strcmp(layer->kind->row.name, "gemm") == 0 ||
               strcmp(layer->kind->row.name, "conv") == 0) {
        LAC_TRY(dense_i8(&f->ms_dense_i8, f->shape, err));
        LAC_TRY(lac_break_even_find(&f->even, f->shape, f->dtype, w->packed, l->measure, err));
    }
    f->known = true;
    return LAC_OK;
}

static lac_status look(void *context, const lac_layer *layer, lac_error *err)
{
    looking *l = context;
    for (int i = 0; i < l->bench->n; i++) {
        const lac_bench_layer *times = &l->bench->layer[i];
        if (l->facts[i].known || times->macs != layer->kind->macs(layer) ||
            strcmp(times->name, layer->name) != 0)
            continue;
        if (l->progress)
            l->progress(l->progress_context, "break-even", (double)l->seen++ / l->bench->n);
        lac_status status = look_at(l, &l->facts[i], times, layer, err);
        if (status != LAC_OK) /* not to be taken for "let the kernel run it" */
            return status == LAC_ERROR_UNSUPPORTED ? LAC_ERROR_INPUT : status;
        break;
    }
    return LAC_ERROR_UNSUPPORTED;
}

static void derive(lac_layer_facts *f, const lac_bench_layer *times, const lac_machine *machine,
                   int threads)
{
    double operations = 2.0 * (double)times->macs, seconds = 1e-3 * times->ms;
    /* A dense kernel multiplies zeros too: it is judged by what it does. */
    double done = strcmp(times->format, "dense") == 0 ? operations : operations * f->density;
    f->gflops = 1e-9 * operations / seconds;
    f->effectual = f->gflops * f->density;
    f->gbps = 1e-9 * (double)f->bytes / seconds;
    f->intensity = done / (double)(f->bytes > 0 ? f->bytes : 1);
    f->roof =
        lac_machine_roof(machine, f->dtype, threads, done, (double)f->bytes, times->stored_bytes);
    f->share = 1e-9 * done / seconds / f->roof;
    f->bound = f->roof >= lac_machine_gops(machine, f->dtype, threads)
                   ? "units"
                   : lac_level_name(lac_machine_level(machine, times->stored_bytes, threads));
}

lac_status lac_bench_layers_find(lac_bench_layers *layers, const lac_bench *bench,
                                 const lac_graph *graph, const lac_tensor *in,
                                 const lac_machine *machine, bool measure,
                                 void (*progress)(void *context, const char *stage, double done),
                                 void *progress_context, lac_error *err)
{
    looking l = {.bench = bench,
                 .measure = measure,
                 .progress = progress,
                 .progress_context = progress_context};
    lac_session_options options = {.runner = look, .runner_context = &l};
    lac_session *session;
    memset(layers, 0, sizeof *layers);
    l.facts = lac_alloc((size_t)bench->n, sizeof *l.facts, err);
    lac_tensor *out = lac_alloc((size_t)graph->n_outputs + 1, sizeof *out, err);
    if (!l.facts || !out) {
        lac_free(l.facts);
        lac_free(out);
        return LAC_ERROR_MEMORY;
    }
    layers->n = bench->n;
    layers->facts = l.facts;
    for (int i = 0; i < bench->n; i++) {
        l.facts[i].ms_dense_i8 = l.facts[i].even.sparsity = NAN;
        l.facts[i].even.measured = measure;
    }
    lac_status status = lac_session_make(&session, graph, &options, err);
    if (status == LAC_OK) {
        status = lac_session_run(session, in, out, err);
        for (int k = 0; status == LAC_OK && k < graph->n_outputs; k++)
            lac_tensor_release(&out[k]);
        lac_session_free(session);
    }
    lac_free(out);
    if (status != LAC_OK) {
        lac_bench_layers_release(layers);
        return status;
    }
    for (int i = 0; i < bench->n; i++)
        if (l.facts[i].known && bench->layer[i].ms > 0)
            derive(&l.facts[i], &bench->layer[i], machine, lac_threads());
    return LAC_OK;
}

void lac_bench_layers_release(lac_bench_layers *layers)
{
    lac_free(layers->facts);
    memset(layers, 0, sizeof *layers);
}
