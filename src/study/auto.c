/* See auto.h. Three stages: the precision (auto_precision.c); forms, which change no number; zeros
 * (auto_prune.c). What they end in then runs as whole networks against one another, and the fastest
 * is taken: so the result is never slower than the fastest dense one, whatever single layers
 * promised. */
#include "study/auto_work.h"

#include "core/clock.h"
#include "core/memory.h"
#include "study/bench.h"
#include "study/evaluate.h"
#include "study/sample.h"

#include <lacuna/kernel.h>
#include <lacuna/lacuna.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = {"float32", "int8"};

bool lac_auto_is(const char *scheme)
{
    return strcmp(scheme, "auto") == 0;
}

/* ---- what the stages share */

bool lac_auto_time(lac_auto_work *w, double share)
{
    double rest = fmax(w->options->budget - w->prepared, 0);
    bool left = lac_seconds() - w->begin < w->prepared + share * rest;
    w->result->out_of_time |= !left;
    return left;
}

void lac_auto_progress(const lac_auto_work *w, const char *stage, double done)
{
    if (w->options->progress)
        w->options->progress(w->options->progress_context, stage, done);
}

lac_status lac_auto_score(lac_auto_work *w, const lac_graph *graph, double *score, lac_error *err)
{
    lac_session *session;
    lac_score result;
    LAC_TRY(lac_session_make(&session, graph, NULL, err));
    lac_status status =
        lac_evaluate(session, w->dataset, w->left_out, w->items, NULL, NULL, &result, err);
    lac_session_free(session);
    LAC_TRY(status);
    *score = result.value;
    snprintf(w->result->metric, sizeof w->result->metric, "%s", result.metric);
    w->result->items = result.n;
    lac_score_release(&result);
    return LAC_OK;
}

bool lac_auto_within(const lac_auto_work *w, double score)
{
    return score >= w->result->score_before - w->options->max_loss - 1e-12;
}

lac_status lac_auto_score_of(lac_auto_work *w, const lac_precision *p, const lac_choice *choice,
                             double *score, lac_error *err)
{
    lac_compression made;
    LAC_TRY(lac_maker_make(&w->maker, p->scheme, choice, &made, err));
    lac_status status = lac_auto_score(w, made.graph, score, err);
    lac_compression_release(&made);
    return status;
}

lac_status lac_auto_try(lac_auto_work *w, const lac_precision *p, const lac_choice *choice,
                        lac_compression *made, lac_measured *measured, lac_error *err)
{
    LAC_TRY(lac_maker_make(&w->maker, p->scheme, choice, made, err));
    lac_status status =
        lac_measure(measured, made->graph, p->base.graph, &p->base, w->in, 0.25, err);
    w->result->networks++;
    if (status != LAC_OK)
        lac_compression_release(made);
    return status;
}

lac_choice *lac_auto_copy(const lac_auto_work *w, const lac_choice *choice, lac_error *err)
{
    lac_choice *copy = lac_alloc((size_t)w->n + 1, sizeof *copy, err);
    for (int i = 0; copy && i < w->n; i++)
        copy[i] = choice ? choice[i] : (lac_choice){false, LAC_CHOICE_DENSE, LAC_CHOICE_DENSE};
    return copy;
}

double lac_auto_ms(const lac_precision *p, const lac_measured *measured, int weight)
{
    const struct lac_measured_weight *m = &measured->weight[weight];
    return m->reference > 0 && isfinite(p->dense_ms[weight])
               ? m->ms / m->reference * p->dense_ms[weight]
               : m->ms;
}

/* ---- forms */

typedef struct candidate {
    int64_t bytes;
    int form;
} candidate;

static int fewer_bytes(const void *a, const void *b)
{
    const candidate *x = a, *y = b;
    return x->bytes != y->bytes ? (x->bytes > y->bytes ? 1 : -1)
                                : (x->form > y->form) - (x->form < y->form);
}

/* Forms of every weight, fewest bytes first; count[weight]. Returns the largest count. */
static lac_status candidates(lac_auto_work *w, const lac_precision *p, candidate *list, int *count,
                             int *most, lac_error *err)
{
    *most = 0;
    for (int i = 0; i < w->n; i++) {
        candidate *own = list + i * w->maker.n_forms;
        count[i] = 0;
        for (int f = 0; f < w->maker.n_forms; f++) {
            bool fits;
            int64_t bytes = 0;
            LAC_TRY(lac_maker_fits(&w->maker, &p->base.weights[i], &w->maker.form[f], &fits, &bytes,
                                   err));
            if (fits)
                own[count[i]++] = (candidate){bytes, f};
        }
        qsort(own, (size_t)count[i], sizeof *own, fewer_bytes);
        *most = count[i] > *most ? count[i] : *most;
    }
    return LAC_OK;
}

/* Round r gives every weight its candidate r. */
static lac_status try_forms(lac_auto_work *w, lac_precision *p, const candidate *list,
                            const int *count, int rounds, double share, lac_error *err)
{
    lac_choice *choice = lac_auto_copy(w, p->dense, err);
    lac_status status = choice ? LAC_OK : LAC_ERROR_MEMORY;
    for (int r = 0; status == LAC_OK && r < rounds && lac_auto_time(w, share); r++) {
        lac_compression made;
        lac_measured measured;
        lac_auto_progress(w, "auto: forms", (double)r / rounds);
        for (int i = 0; i < w->n; i++)
            choice[i].form = r < count[i] ? list[i * w->maker.n_forms + r].form : LAC_CHOICE_DENSE;
        status = lac_auto_try(w, p, choice, &made, &measured, err);
        if (status != LAC_OK)
            break;
        double ratio = measured.whole / measured.whole_reference;
        if (ratio < p->uniform_ratio) {
            p->uniform_ratio = ratio;
            memcpy(p->uniform, choice, (size_t)w->n * sizeof *choice);
            for (int i = 0; i < w->n; i++)
                if (!measured.weight[i].packed)
                    p->uniform[i].form = LAC_CHOICE_DENSE;
        }
        for (int i = 0; i < w->n; i++)
            if (choice[i].form >= 0 && measured.weight[i].packed)
                p->ms[i * w->maker.n_forms + choice[i].form] = lac_auto_ms(p, &measured, i);
        lac_measured_release(&measured);
        lac_compression_release(&made);
    }
    lac_free(choice);
    return status;
}

static lac_status find_forms(lac_auto_work *w, lac_precision *p, double share, lac_error *err)
{
    int rounds = 0, n_forms = w->maker.n_forms;
    candidate *list = lac_alloc((size_t)w->n * (size_t)n_forms, sizeof *list, err);
    int *count = lac_alloc((size_t)w->n, sizeof *count, err);
    lac_status status = list && count ? LAC_OK : LAC_ERROR_MEMORY;
    if (status == LAC_OK)
        status = candidates(w, p, list, count, &rounds, err);
    if (status == LAC_OK)
        status = try_forms(w, p, list, count, rounds, share, err);
    lac_free(list);
    lac_free(count);
    for (int i = 0; status == LAC_OK && i < w->n; i++) {
        double least = LAC_AUTO_MARGIN * p->dense_ms[i];
        for (int f = 0; f < n_forms; f++)
            if (p->ms[i * n_forms + f] < least) {
                least = p->ms[i * n_forms + f];
                p->best[i].form = f;
            }
    }
    return status;
}

/* ---- whole networks */

typedef struct contender {
    const lac_precision *p;
    const lac_choice *choice; /* NULL: nothing is touched */
} contender;

static bool all_dense(const lac_auto_work *w, const lac_choice *choice)
{
    for (int i = 0; i < w->n; i++)
        if (choice[i].form >= 0 || choice[i].pruning >= 0)
            return false;
    return true;
}

/* Every one against the fastest so far. */
static lac_status contest(lac_auto_work *w, const contender *list, int n, contender *first,
                          lac_error *err)
{
    lac_auto *result = w->result;
    LAC_TRY(
        lac_maker_make(&w->maker, list[0].p->scheme, list[0].choice, &result->compression, err));
    *first = list[0];
    for (int i = 1; i < n; i++) {
        lac_compression made;
        lac_measured measured;
        lac_auto_progress(w, "auto: whole networks", (double)i / n);
        LAC_TRY(lac_maker_make(&w->maker, list[i].p->scheme, list[i].choice, &made, err));
        lac_status status = lac_measure(&measured, made.graph, result->compression.graph,
                                        &w->precision[LAC_FLOAT].base, w->in, 0.8, err);
        double ratio = status == LAC_OK ? measured.whole / measured.whole_reference : NAN;
        bool was_dense = !first->choice || all_dense(w, first->choice);
        lac_measured_release(&measured);
        result->networks++;
        if (ratio < (was_dense ? LAC_AUTO_MARGIN : 1)) {
            lac_compression_release(&result->compression);
            result->compression = made;
            *first = list[i];
        } else {
            lac_compression_release(&made);
            if (status == LAC_OK && was_dense && list[i].choice && !all_dense(w, list[i].choice))
                w->refused = fmin(w->refused, ratio);
        }
        LAC_TRY(status);
    }
    return LAC_OK;
}

/* The faster precision of every weight. */
static lac_choice *mixed(const lac_auto_work *w, lac_error *err)
{
    const lac_precision *f = &w->precision[LAC_FLOAT], *p = &w->precision[LAC_INTEGER];
    lac_choice *choice = lac_auto_copy(w, p->best, err);
    for (int i = 0; choice && i < w->n; i++) {
        int n = w->maker.n_forms, a = f->best[i].form, b = p->best[i].form;
        double floats = a >= 0 ? f->ms[i * n + a] : f->dense_ms[i];
        double integers = b >= 0 ? p->ms[i * n + b] : p->dense_ms[i];
        if (!p->dense[i].is_float && floats < LAC_AUTO_MARGIN * integers) {
            choice[i] = f->best[i];
            choice[i].is_float = true;
        }
    }
    return choice;
}

static bool is_mixed(const lac_auto_work *w, const lac_choice *choice)
{
    for (int i = 0; i < w->n; i++)
        if (choice[i].is_float != w->precision[LAC_INTEGER].dense[i].is_float)
            return true;
    return false;
}

static lac_status choose(lac_auto_work *w, contender *first, lac_error *err)
{
    lac_precision *f = &w->precision[LAC_FLOAT], *p = &w->precision[LAC_INTEGER];
    contender list[9];
    int n = 0;
    lac_choice *mix = NULL;
    list[n++] = (contender){f, NULL};
    if (p->scheme)
        list[n++] = (contender){p, p->dense};
    for (int k = 0; k < LAC_PRECISIONS; k++) {
        const lac_precision *each = &w->precision[k];
        if (!each->scheme)
            continue;
        if (!all_dense(w, each->best))
            list[n++] = (contender){each, each->best};
        if (each->uniform_ratio < 1)
            list[n++] = (contender){each, each->uniform};
    }
    if (p->scheme && !(mix = mixed(w, err)))
        return LAC_ERROR_MEMORY;
    if (mix && is_mixed(w, mix))
        list[n++] = (contender){p, mix};
    if (w->pruned)
        list[n++] = (contender){p->scheme ? p : f, w->pruned};
    lac_status status = contest(w, list, n, first, err);
    if (mix && first->choice == mix) { /* outlives this function */
        lac_free(w->pruned);
        w->pruned = mix;
        first->choice = mix;
    } else {
        lac_free(mix);
    }
    return status;
}

/* ---- the report */

static void explain(lac_auto_layer *layer, const lac_choice *choice, int precision, bool given_back)
{
    bool dense = !choice || (choice->form < 0 && choice->pruning < 0);
    const char *kind = names[precision];
    char other[160] = "";
    if (isfinite(layer->ms_runner_up))
        snprintf(other, sizeof other, "%s would take %.4f ms against %.4f", layer->runner_up,
                 layer->ms_runner_up, layer->ms);
    if (dense)
        snprintf(layer->why, sizeof layer->why, "dense %s: %s%s", kind,
                 given_back ? "on integers it harms the score too much; " : "",
                 other[0] ? other : "no other form holds it in fewer bytes");
    else
        snprintf(layer->why, sizeof layer->why, "%s%s",
                 choice->pruning >= 0 ? "pruned within the bound; " : "",
                 other[0] ? other : "the only form that was measured");
}

/* The next best of what was measured of this weight. */
static lac_status runner_up(const lac_auto_work *w, lac_auto_layer *layer, int i,
                            const contender *first, lac_error *err)
{
    const lac_precision *of = NULL;
    int form = LAC_CHOICE_DENSE;
    layer->ms_runner_up = NAN;
    for (int k = 0; k < LAC_PRECISIONS; k++) {
        const lac_precision *p = &w->precision[k];
        const lac_choice *choice = first->choice ? &first->choice[i] : NULL;
        bool same =
            p->scheme && !p->base.weights[i].scale == !w->result->compression.weights[i].scale;
        for (int f = LAC_CHOICE_DENSE; p->scheme && f < w->maker.n_forms; f++) {
            double ms = f < 0 ? p->dense_ms[i] : p->ms[i * w->maker.n_forms + f];
            bool chosen = same && (choice ? choice->form == f && choice->pruning < 0 : f < 0);
            if (chosen || !(ms < layer->ms_runner_up || isnan(layer->ms_runner_up)) || isnan(ms))
                continue;
            layer->ms_runner_up = ms;
            of = p;
            form = f;
        }
    }
    if (!of)
        return LAC_OK;
    const lac_weight *weight = &of->base.weights[i];
    if (form >= 0)
        return lac_maker_form_text(&w->maker.form[form], weight, layer->runner_up,
                                   sizeof layer->runner_up, err);
    lac_form_text(weight, layer->runner_up, sizeof layer->runner_up);
    return LAC_OK;
}

static lac_status report(lac_auto_work *w, const contender *first, lac_error *err)
{
    lac_auto *result = w->result;
    const lac_precision *f = &w->precision[LAC_FLOAT], *p = &w->precision[LAC_INTEGER];
    const lac_compression *chosen = &result->compression;
    lac_measured with_float, with_int8 = {0};
    lac_status status = LAC_OK;
    result->layer = lac_alloc((size_t)w->n + 1, sizeof *result->layer, err);
    if (!result->layer)
        return LAC_ERROR_MEMORY;
    result->n = w->n;
    lac_auto_progress(w, "auto: whole networks", 1);
    LAC_TRY(lac_measure(&with_float, chosen->graph, w->model->graph, &f->base, w->in, 0.5, err));
    if (p->scheme) {
        status = lac_measure(&with_int8, chosen->graph, p->base.graph, &f->base, w->in, 0.5, err);
        if (status != LAC_OK) {
            lac_measured_release(&with_float);
            return status;
        }
    }
    result->ms = with_float.whole;
    result->ms_float = with_float.whole_reference;
    result->ms_int8 =
        p->scheme ? with_int8.whole_reference * with_float.whole / with_int8.whole : NAN;
    for (int i = 0; status == LAC_OK && i < w->n; i++) {
        lac_auto_layer *layer = &result->layer[i];
        const lac_weight *weight = &chosen->weights[i];
        const lac_choice *choice = first->choice ? &first->choice[i] : NULL;
        snprintf(layer->name, sizeof layer->name, "%s", weight->name);
        lac_form_text(weight, layer->form, sizeof layer->form);
        layer->ms = with_float.weight[i].ms;
        layer->ms_float = with_float.weight[i].reference;
        if (!isfinite(layer->ms_float))
            layer->ms_float = f->dense_ms[i];
        layer->ms_int8 = p->scheme && p->base.weights[i].scale ? p->dense_ms[i] : NAN;
        layer->error = weight->error;
        layer->sparsity = 1 - (double)weight->nonzeros / (double)(weight->rows * weight->cols);
        status = runner_up(w, layer, i, first, err);
        explain(layer, choice, weight->scale ? LAC_INTEGER : LAC_FLOAT,
                first->p == p && p->dense[i].is_float);
    }
    lac_measured_release(&with_float);
    lac_measured_release(&with_int8);
    return status;
}

/* ---- the whole */

static lac_status open_precision(lac_auto_work *w, lac_precision *p, lac_error *err)
{
    size_t n = (size_t)w->n + 1, cells = n * (size_t)w->maker.n_forms;
    LAC_TRY(lac_maker_make(&w->maker, p->scheme, p->dense, &p->base, err));
    if (p->base.n_weights != w->n)
        return lac_fail(err, LAC_ERROR_INTERNAL, "%d weights after folding, %d before",
                        p->base.n_weights, w->n);
    p->best = lac_auto_copy(w, p->dense, err);
    p->uniform = lac_auto_copy(w, p->dense, err);
    p->dense_ms = lac_alloc(n, sizeof *p->dense_ms, err);
    p->ms = lac_alloc(cells, sizeof *p->ms, err);
    p->uniform_ratio = LAC_AUTO_MARGIN;
    if (!p->best || !p->uniform || !p->dense_ms || !p->ms)
        return LAC_ERROR_MEMORY;
    for (size_t i = 0; i < cells; i++)
        p->ms[i] = NAN;
    lac_measured measured; /* against floats, so that both were as fast */
    LAC_TRY(lac_measure(&measured, p->base.graph, w->model->graph, &p->base, w->in, 0.3, err));
    w->result->networks++;
    p->whole = measured.whole;
    for (int i = 0; i < w->n; i++)
        p->dense_ms[i] = measured.weight[i].ms;
    lac_measured_release(&measured);
    return LAC_OK;
}

static void close_precision(lac_precision *p)
{
    lac_compression_release(&p->base);
    lac_free(p->dense);
    lac_free(p->best);
    lac_free(p->uniform);
    lac_free(p->dense_ms);
    lac_free(p->ms);
}

static lac_status refuse_integers(const lac_graph *graph, lac_error *err)
{
    for (int n = 0; n < graph->n_nodes; n++)
        if (strcmp(graph->nodes[n].op, "QuantizeLinear") == 0 ||
            strcmp(graph->nodes[n].op, "DynamicQuantizeLinear") == 0)
            return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                            "scheme auto starts from a network of floats; node '%s' already makes "
                            "integers",
                            graph->nodes[n].name);
    return LAC_OK;
}

/* One score takes a fifteenth of the budget, or as long as 200 items do: with fewer, one point is
 * one item. */
static int64_t items_within(const lac_auto_work *w)
{
    double seconds = 1e-3 * w->precision[LAC_FLOAT].whole * lac_dataset_runs(w->dataset);
    double items = w->options->budget / 15 / fmax(seconds, 1e-6);
    return w->options->items ? w->options->items : (int64_t)fmax(fmin(items, 1e6), 200);
}

static lac_status prepare(lac_auto_work *w, lac_error *err)
{
    const lac_model *model = w->model;
    lac_precision *f = &w->precision[LAC_FLOAT];
    lac_compression found = {0};
    LAC_TRY(lac_isa(&w->maker.isa, err));
    LAC_TRY(lac_sample_calibration(model, &w->dataset, &w->calibration, &w->left_out, err));
    LAC_TRY(lac_sample_inputs(model, w->dataset, w->left_out, w->options->sizes, &w->in,
                              w->result->source, sizeof w->result->source, err));
    LAC_TRY(lac_weights_find(&found, model->graph, err));
    w->n = found.n_weights;
    lac_compression_release(&found);
    w->maker.graph = model->graph;
    w->maker.n_forms = lac_forms(w->maker.form);
    if (w->dataset) {
        w->maker.calibration = &w->calibration;
        snprintf(w->result->calibration, sizeof w->result->calibration, "%s",
                 w->calibration.source);
        LAC_TRY(lac_ranges_collect(&w->ranges, model->graph, w->calibration.samples,
                                   w->calibration.sample, w->calibration.context,
                                   w->options->progress, w->options->progress_context, err));
        w->maker.ranges = &w->ranges;
    }
    f->scheme = "dense";
    f->dense = lac_auto_copy(w, NULL, err);
    if (!f->dense)
        return LAC_ERROR_MEMORY;
    LAC_TRY(open_precision(w, f, err));
    if (!w->dataset)
        return LAC_OK;
    w->items = items_within(w);
    return lac_auto_score(w, model->graph, &w->result->score_before, err);
}

static lac_status stages(lac_auto_work *w, lac_error *err)
{
    lac_precision *f = &w->precision[LAC_FLOAT], *p = &w->precision[LAC_INTEGER];
    contender first = {0};
    int back = 0;
    LAC_TRY(prepare(w, err));
    if (w->dataset) {
        p->dense = lac_auto_copy(w, NULL, err);
        if (!p->dense)
            return LAC_ERROR_MEMORY;
        LAC_TRY(lac_auto_integers(w, err));
        if (p->scheme)
            LAC_TRY(open_precision(w, p, err));
    }
    w->prepared = lac_seconds() - w->begin;
    if (p->scheme) /* the faster one first, should time be short */
        LAC_TRY(find_forms(w, p, 0.35, err));
    LAC_TRY(find_forms(w, f, 0.45, err));
    if (w->dataset && !w->options->keep_weights)
        LAC_TRY(lac_auto_prune(w, p->scheme ? p : f, err));
    LAC_TRY(choose(w, &first, err));
    w->result->score = NAN;
    if (w->dataset)
        LAC_TRY(lac_auto_score(w, w->result->compression.graph, &w->result->score, err));
    LAC_TRY(report(w, &first, err));
    for (int i = 0; p->scheme && i < w->n; i++)
        back += p->dense[i].is_float;
    char *why = w->result->why;
    size_t room = sizeof w->result->why;
    if (!w->dataset)
        snprintf(why, room, "no data to score with: only what changes no number was tried");
    else if (!p->scheme)
        snprintf(why, room, "no int8 network keeps the score within the bound");
    else if (back)
        snprintf(why, room, "int8 holds the score with %d of %d layers in floats", back, w->n);
    else
        snprintf(why, room, "int8 holds the score (%s)", p->scheme);
    if ((!first.choice || all_dense(w, first.choice)) && isfinite(w->refused)) {
        size_t used = strlen(why);
        snprintf(why + used, room - used,
                 "; dense: the best of the others takes %.2f of its time, which is not enough",
                 w->refused);
    }
    return lac_graph_meta_set(w->result->compression.graph, "lacuna.scheme", "auto", err);
}

lac_status lac_auto_choose(lac_auto *result, const lac_model *model,
                           const lac_auto_options *options, lac_error *err)
{
    lac_auto_work w = {.model = model,
                       .options = options,
                       .result = result,
                       .refused = INFINITY,
                       .begin = lac_seconds()};
    memset(result, 0, sizeof *result);
    result->score_before = result->score = NAN;
    LAC_TRY(refuse_integers(model->graph, err));
    lac_status status = stages(&w, err);
    result->seconds = lac_seconds() - w.begin;
    /* what the result points into */
    result->compression.calibration = NULL;
    result->compression.ranges = NULL;
    for (int k = 0; k < LAC_PRECISIONS; k++)
        close_precision(&w.precision[k]);
    lac_free(w.pruned);
    lac_ranges_release(&w.ranges);
    for (int i = 0; w.in && i < model->graph->n_inputs; i++)
        lac_tensor_release(&w.in[i]);
    lac_free(w.in);
    lac_dataset_close(w.dataset);
    if (status != LAC_OK)
        lac_auto_release(result);
    return status;
}

void lac_auto_release(lac_auto *result)
{
    lac_compression_release(&result->compression);
    lac_free(result->layer);
    memset(result, 0, sizeof *result);
}
