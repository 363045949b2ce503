/* Zeros that pay: every pattern of lac_pruning is measured on all weights at once; then steps, a
 * weight to a pattern each, are ordered by the time they save per error they add, and as many are
 * taken as the accuracy bound allows. */
#include "study/auto_work.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

typedef struct step {
    int weight, pruning;
} step;

typedef struct table {
    int n;              /* patterns */
    double *ms, *error; /* [weight][pattern]; NAN: does not run so */
} table;

static lac_status measure(lac_auto_work *w, const lac_precision *p, table *t, lac_error *err)
{
    lac_choice *choice = lac_auto_copy(w, p->dense, err);
    lac_status status = choice ? LAC_OK : LAC_ERROR_MEMORY;
    for (int k = 0; status == LAC_OK && k < t->n && lac_auto_time(w, 0.65); k++) {
        lac_compression made;
        lac_measured measured;
        lac_auto_progress(w, "auto: zeros", (double)k / t->n);
        for (int i = 0; i < w->n; i++)
            choice[i].pruning = k;
        status = lac_auto_try(w, p, choice, &made, &measured, err);
        if (status != LAC_OK)
            break;
        for (int i = 0; i < w->n; i++) {
            if (!measured.weight[i].packed || !made.weights[i].format)
                continue;
            t->ms[i * t->n + k] = lac_auto_ms(p, &measured, i);
            t->error[i * t->n + k] = made.weights[i].error * made.weights[i].error;
        }
        lac_measured_release(&measured);
        lac_compression_release(&made);
    }
    lac_free(choice);
    return status;
}

/* The sequence of best steps, each from where the one before it has led. */
static int plan(const lac_auto_work *w, const lac_precision *p, const table *t, step *steps,
                double *now, double *error)
{
    int n = 0;
    for (int i = 0; i < w->n; i++) {
        now[i] =
            p->best[i].form >= 0 ? p->ms[i * w->maker.n_forms + p->best[i].form] : p->dense_ms[i];
        error[i] = 0;
    }
    for (;;) {
        double best = 0;
        step found = {-1, -1};
        for (int i = 0; i < w->n; i++)
            for (int k = 0; k < t->n; k++) {
                double ms = t->ms[i * t->n + k], more = t->error[i * t->n + k] - error[i];
                if (!(ms < LAC_AUTO_MARGIN * now[i]))
                    continue;
                double gain = (now[i] - ms) / fmax(more, 1e-9);
                if (gain > best) {
                    best = gain;
                    found = (step){i, k};
                }
            }
        if (found.weight < 0)
            return n;
        now[found.weight] = t->ms[found.weight * t->n + found.pruning];
        error[found.weight] =
            fmax(error[found.weight], t->error[found.weight * t->n + found.pruning]);
        steps[n++] = found;
    }
}

static void apply(const lac_auto_work *w, const lac_precision *p, const step *steps,
                  const bool *taken, int n, lac_choice *choice)
{
    memcpy(choice, p->best, (size_t)w->n * sizeof *choice);
    for (int i = 0; i < n; i++)
        if (taken[i])
            choice[steps[i].weight].pruning = steps[i].pruning;
}

/* Of the weight whose step `at` did not hold, what is behind it goes too. */
static int drop_later(step *steps, int at, int n)
{
    int kept = at + 1;
    for (int i = at + 1; i < n; i++)
        if (steps[i].weight != steps[at].weight)
            steps[kept++] = steps[i];
    return kept;
}

/* Runs of steps are taken together: twice as long a run after one that holds, half as long after
 * one that does not; a single step that does not hold is left out. */
static lac_status take(lac_auto_work *w, const lac_precision *p, step *steps, int n, bool *taken,
                       lac_choice *choice, lac_error *err)
{
    int at = 0, length = n, all = n;
    while (at < n && lac_auto_time(w, 0.85)) {
        double score;
        length = length < n - at ? length : n - at;
        for (int i = at; i < n; i++)
            taken[i] = i < at + length;
        lac_auto_progress(w, "auto: zeros, accuracy", (double)at / n);
        apply(w, p, steps, taken, n, choice);
        LAC_TRY(lac_auto_score_of(w, p, choice, &score, err));
        bool holds = lac_auto_within(w, score);
        if (holds || length == 1) {
            for (int i = at; i < at + length; i++)
                taken[i] = holds;
            if (!holds)
                n = drop_later(steps, at, n);
            at += length;
            length = holds ? 2 * length : 1;
        } else {
            length = (length + 1) / 2;
        }
    }
    for (int i = at; i < all; i++)
        taken[i] = false;
    apply(w, p, steps, taken, n, choice);
    return LAC_OK;
}

lac_status lac_auto_prune(lac_auto_work *w, lac_precision *p, lac_error *err)
{
    table t = {0};
    while (lac_pruning(t.n))
        t.n++;
    size_t cells = (size_t)w->n * (size_t)t.n;
    t.ms = lac_alloc(cells, sizeof *t.ms, err);
    t.error = lac_alloc(cells, sizeof *t.error, err);
    double *now = lac_alloc((size_t)w->n, sizeof *now, err);
    double *error = lac_alloc((size_t)w->n, sizeof *error, err);
    step *steps = lac_alloc(cells, sizeof *steps, err);
    bool *taken = lac_alloc(cells, sizeof *taken, err);
    lac_choice *choice = lac_auto_copy(w, p->best, err);
    lac_status status =
        t.ms && t.error && now && error && steps && taken && choice ? LAC_OK : LAC_ERROR_MEMORY;
    for (size_t i = 0; status == LAC_OK && i < cells; i++)
        t.ms[i] = t.error[i] = NAN;
    if (status == LAC_OK)
        status = measure(w, p, &t, err);
    int n = status == LAC_OK ? plan(w, p, &t, steps, now, error) : 0, kept = 0;
    if (n)
        status = take(w, p, steps, n, taken, choice, err);
    for (int i = 0; i < n; i++)
        kept += taken[i];
    if (status == LAC_OK && kept) {
        w->pruned = choice;
        choice = NULL;
    }
    lac_free(t.ms);
    lac_free(t.error);
    lac_free(now);
    lac_free(error);
    lac_free(steps);
    lac_free(taken);
    lac_free(choice);
    return status;
}
