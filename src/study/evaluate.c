/* See evaluate.h. */
#include "study/evaluate.h"

#include "core/clock.h"
#include "core/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct ranked {
    double value;
    int64_t at;
} ranked;

static int by_value(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

/* Ranks 1..n, equal values share the mean of theirs. */
static void rank(const double *x, int64_t n, ranked *sorted, double *ranks)
{
    for (int64_t i = 0; i < n; i++)
        sorted[i] = (ranked){x[i], i};
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    for (int64_t i = 0; i < n;) {
        int64_t end = i + 1;
        while (end < n && sorted[end].value == sorted[i].value)
            end++;
        for (int64_t j = i; j < end; j++)
            ranks[sorted[j].at] = 0.5 * (double)(i + 1 + end);
        i = end;
    }
}

lac_status lac_spearman(const double *a, const double *b, int64_t n, double *result, lac_error *err)
{
    ranked *sorted = lac_alloc((size_t)n, sizeof *sorted, err);
    double *ra = lac_alloc((size_t)n, sizeof *ra, err), *rb = lac_alloc((size_t)n, sizeof *rb, err);
    lac_status status = sorted && ra && rb ? LAC_OK : LAC_ERROR_MEMORY;
    if (status == LAC_OK) {
        double mean = 0.5 * (double)(n + 1), ab = 0, aa = 0, bb = 0;
        rank(a, n, sorted, ra);
        rank(b, n, sorted, rb);
        for (int64_t i = 0; i < n; i++) {
            ab += (ra[i] - mean) * (rb[i] - mean);
            aa += (ra[i] - mean) * (ra[i] - mean);
            bb += (rb[i] - mean) * (rb[i] - mean);
        }
        *result = aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
    }
    lac_free(sorted);
    lac_free(ra);
    lac_free(rb);
    return status;
}

/* The class with the largest logit, and how many are larger than that of `label`. */
static int64_t decide(const lac_tensor *logits, int64_t label, int64_t *above)
{
    int64_t count = lac_tensor_count(logits), best = 0;
    *above = count;
    if (label >= 0 && label < count) {
        *above = 0;
        double own = lac_tensor_get(logits, label);
        for (int64_t i = 0; i < count; i++)
            *above +=
                lac_tensor_get(logits, i) > own || (i < label && lac_tensor_get(logits, i) == own);
    }
    for (int64_t i = 1; i < count; i++)
        if (lac_tensor_get(logits, i) > lac_tensor_get(logits, best))
            best = i;
    return best;
}

static double cosine(const lac_tensor *a, const lac_tensor *b)
{
    double ab = 0, aa = 0, bb = 0;
    for (int64_t i = 0; i < lac_tensor_count(a); i++) {
        double x = lac_tensor_get(a, i), y = lac_tensor_get(b, i);
        ab += x * y;
        aa += x * x;
        bb += y * y;
    }
    return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : 0;
}

/* Runs one item; the scored output of each run into scored[]. */
static lac_status run_item(lac_session *session, lac_dataset *dataset, int64_t item,
                           const lac_graph *graph, lac_tensor *in, lac_tensor *out,
                           lac_tensor scored[2], lac_error *err)
{
    lac_status status = LAC_OK;
    for (int r = 0; status == LAC_OK && r < lac_dataset_runs(dataset); r++) {
        LAC_TRY(lac_dataset_sample(dataset, item, r, in, err));
        status = lac_session_run(session, in, out, err);
        for (int i = 0; i < graph->n_inputs; i++)
            lac_tensor_release(&in[i]);
        if (status == LAC_OK)
            lac_tensor_share(&scored[r], &out[lac_dataset_output(dataset)]);
        for (int i = 0; status == LAC_OK && i < graph->n_outputs; i++)
            lac_tensor_release(&out[i]);
    }
    return status;
}

lac_status lac_evaluate(lac_session *session, lac_dataset *dataset, int64_t first, int64_t limit,
                        void (*progress)(void *context, const char *stage, double done),
                        void *progress_context, lac_score *score, lac_error *err)
{
    const lac_graph *graph = lac_dataset_graph(dataset);
    bool spearman = lac_dataset_metric(dataset) == LAC_METRIC_SPEARMAN;
    int64_t n = lac_dataset_count(dataset) - first, right = 0, right5 = 0, classes = 0;
    memset(score, 0, sizeof *score);
    n = limit > 0 && limit < n ? limit : n;
    if (n < 1)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: no item to score", lac_dataset_name(dataset));
    lac_tensor *in = lac_alloc((size_t)graph->n_inputs, sizeof *in, err);
    lac_tensor *out = lac_alloc((size_t)graph->n_outputs, sizeof *out, err);
    double *labels = lac_alloc((size_t)n, sizeof *labels, err);
    score->decision = lac_alloc((size_t)n, sizeof *score->decision, err);
    lac_status status = in && out && labels && score->decision ? LAC_OK : LAC_ERROR_MEMORY;
    double begin = lac_seconds();
    for (int64_t i = 0; status == LAC_OK && i < n; i++) {
        lac_tensor scored[2] = {0};
        if (progress)
            progress(progress_context, "evaluate", (double)i / (double)n);
        labels[i] = lac_dataset_label(dataset, first + i);
        status = run_item(session, dataset, first + i, graph, in, out, scored, err);
        if (status == LAC_OK && spearman &&
            lac_tensor_count(&scored[0]) != lac_tensor_count(&scored[1])) {
            status =
                lac_fail(err, LAC_ERROR_INPUT, "the two embeddings of item %lld differ in size",
                         (long long)(first + i));
        } else if (status == LAC_OK && spearman) {
            score->decision[i] = cosine(&scored[0], &scored[1]);
        } else if (status == LAC_OK) {
            int64_t above, best = decide(&scored[0], (int64_t)labels[i], &above);
            classes = lac_tensor_count(&scored[0]);
            score->decision[i] = (double)best;
            right += best == (int64_t)labels[i];
            right5 += above < 5;
        }
        lac_tensor_release(&scored[0]);
        lac_tensor_release(&scored[1]);
    }
    score->seconds = lac_seconds() - begin;
    score->n = n;
    score->metric = spearman ? "spearman" : "top1";
    score->value = (double)right / (double)n;
    score->top5 = classes >= 10 ? (double)right5 / (double)n : NAN;
    if (status == LAC_OK && spearman)
        status = lac_spearman(score->decision, labels, n, &score->value, err);
    lac_free(in);
    lac_free(out);
    lac_free(labels);
    if (status != LAC_OK)
        lac_score_release(score);
    return status;
}

void lac_score_release(lac_score *score)
{
    lac_free(score->decision);
    memset(score, 0, sizeof *score);
}
