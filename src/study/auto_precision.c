/* 8-bit integers where the accuracy bound allows them: the whole network first; then attention in
 * floats; then the layers that harm the outputs most go back to floats, as few as it takes. */
#include "study/auto_work.h"

#include "core/memory.h"

#include <lacuna/lacuna.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLES = 4 }; /* on which outputs are compared */

static lac_status outputs(const lac_auto_work *w, const lac_graph *graph, lac_tensor *out,
                          lac_error *err)
{
    lac_session *session;
    int k = lac_dataset_output(w->dataset);
    LAC_TRY(lac_session_make(&session, graph, NULL, err));
    lac_tensor *in = lac_alloc((size_t)graph->n_inputs + 1, sizeof *in, err);
    lac_tensor *all = lac_alloc((size_t)graph->n_outputs + 1, sizeof *all, err);
    lac_status status = in && all ? LAC_OK : LAC_ERROR_MEMORY;
    for (int64_t s = 0; status == LAC_OK && s < SAMPLES && s < w->calibration.samples; s++) {
        status = w->calibration.sample(w->calibration.context, s, in, err);
        if (status == LAC_OK)
            status = lac_session_run(session, in, all, err);
        for (int i = 0; in && i < graph->n_inputs; i++)
            lac_tensor_release(&in[i]);
        if (status == LAC_OK)
            lac_tensor_share(&out[s], &all[k]);
        for (int i = 0; all && i < graph->n_outputs; i++)
            lac_tensor_release(&all[i]);
    }
    lac_free(in);
    lac_free(all);
    lac_session_free(session);
    return status;
}

static double difference(const lac_tensor *a, const lac_tensor *b)
{
    double sum = 0;
    for (int s = 0; s < SAMPLES; s++)
        for (int64_t i = 0; i < lac_tensor_count(&a[s]) && a[s].data && b[s].data; i++) {
            double d = lac_tensor_get(&a[s], i) - lac_tensor_get(&b[s], i);
            sum += d * d;
        }
    return sum;
}

static void release(lac_tensor *out)
{
    for (int s = 0; s < SAMPLES; s++)
        lac_tensor_release(&out[s]);
}

typedef struct harm {
    double size;
    int weight;
} harm;

static int larger_first(const void *a, const void *b)
{
    const harm *x = a, *y = b;
    return x->size != y->size ? (x->size < y->size ? 1 : -1)
                              : (x->weight > y->weight) - (x->weight < y->weight);
}

/* What each weight alone on its grid changes; once time is short, the error of the weight. */
static lac_status find_harm(lac_auto_work *w, const lac_precision *p, const lac_compression *whole,
                            harm *order, lac_error *err)
{
    lac_tensor before[SAMPLES] = {0};
    lac_choice *choice = lac_auto_copy(w, NULL, err);
    lac_status status = choice ? outputs(w, w->model->graph, before, err) : LAC_ERROR_MEMORY;
    double largest = 0;
    for (int i = 0; status == LAC_OK && i < w->n; i++) {
        lac_compression made;
        lac_tensor after[SAMPLES] = {0};
        order[i] = (harm){-1, i};
        lac_auto_progress(w, "auto: precision", (double)i / w->n);
        if (!lac_auto_time(w, 0.3))
            continue;
        for (int k = 0; k < w->n; k++)
            choice[k].is_float = k != i;
        status = lac_maker_make(&w->maker, p->scheme, choice, &made, err);
        if (status != LAC_OK)
            break;
        status = outputs(w, made.graph, after, err);
        order[i].size = difference(before, after);
        largest = fmax(largest, order[i].size);
        release(after);
        lac_compression_release(&made);
    }
    for (int i = 0; status == LAC_OK && i < w->n; i++)
        if (order[i].size < 0)
            order[i].size = -1 + whole->weights[i].error; /* behind those that were tried */
    release(before);
    lac_free(choice);
    if (status == LAC_OK)
        qsort(order, (size_t)w->n, sizeof *order, larger_first);
    return status;
}

/* The least number of floats with which the score holds, by bisection. */
static lac_status give_back(lac_auto_work *w, lac_precision *p, const harm *order, bool *within,
                            lac_error *err)
{
    int low = 0, high = w->n; /* low does not hold; high: nothing is left to round */
    *within = false;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        double score;
        for (int i = 0; i < w->n; i++)
            p->dense[order[i].weight].is_float = i < middle;
        LAC_TRY(lac_auto_score_of(w, p, p->dense, &score, err));
        if (lac_auto_within(w, score))
            high = middle;
        else
            low = middle;
    }
    *within = high < w->n;
    for (int i = 0; i < w->n; i++)
        p->dense[order[i].weight].is_float = i < high;
    return LAC_OK;
}

lac_status lac_auto_integers(lac_auto_work *w, lac_error *err)
{
    static const char *const schemes[] = {"int8", "int8:attention=float"};
    lac_precision *p = &w->precision[LAC_INTEGER];
    lac_compression whole = {0};
    bool within = false;
    double score;
    for (int i = 0; i < 2 && !within; i++) {
        lac_compression_release(&whole);
        p->scheme = schemes[i];
        LAC_TRY(lac_maker_make(&w->maker, p->scheme, NULL, &whole, err));
        lac_status status = lac_auto_score(w, whole.graph, &score, err);
        if (status != LAC_OK) {
            lac_compression_release(&whole);
            return status;
        }
        within = lac_auto_within(w, score);
    }
    lac_status status = LAC_OK;
    if (!within && w->n > 1) {
        harm *order = lac_alloc((size_t)w->n, sizeof *order, err);
        status = order ? find_harm(w, p, &whole, order, err) : LAC_ERROR_MEMORY;
        if (status == LAC_OK)
            status = give_back(w, p, order, &within, err);
        lac_free(order);
    }
    lac_compression_release(&whole);
    if (!within)
        p->scheme = NULL;
    return status;
}
