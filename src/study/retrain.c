/* See retrain.h. */
#include "study/retrain.h"

#include "core/memory.h"
#include "study/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_BY_DEFAULT = 65536 };

typedef struct study {
    const lac_retrain_options *options;
    lac_dataset *scored, *own; /* own: the training part, NULL: of the scored set */
    lac_dataset *trained;      /* one of the two */
    int64_t first, test_first;
    lac_retrained *result;
} study;

static lac_status sample(void *context, int64_t index, lac_tensor *in, int64_t *label,
                         lac_error *err)
{
    const study *s = context;
    *label = (int64_t)lac_dataset_label(s->trained, s->first + index);
    return lac_dataset_sample(s->trained, s->first + index, 0, in, err);
}

/* The first task that can be scored, and its training part. */
static lac_status open_sets(study *s, const lac_model *model, lac_error *err)
{
    size_t i;
    json_t *task, *training = NULL;
    lac_status status = lac_fail(err, LAC_ERROR_INPUT,
                                 "no task to train for: give --meta FILE with tasks "
                                 "(docs/data.md)");
    json_array_foreach(model->tasks, i, task)
    {
        status = lac_dataset_open(&s->scored, task, model->graph, err);
        if (status == LAC_OK)
            status = lac_task_training(&training, task, s->options->folder, err);
        if (status != LAC_ERROR_UNSUPPORTED)
            break;
    }
    LAC_TRY(status);
    if (lac_dataset_metric(s->scored) != LAC_METRIC_TOP1)
        status = lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s: only classification is trained",
                          lac_dataset_name(s->scored));
    else if (training)
        status = lac_dataset_open(&s->own, training, model->graph, err);
    json_decref(training);
    s->trained = s->own ? s->own : s->scored;
    return status;
}

static lac_status choose_items(study *s, lac_error *err)
{
    const lac_retrain_options *o = s->options;
    lac_retrained *r = s->result;
    int64_t count = lac_dataset_count(s->trained), limit = o->limit;
    if (!s->own && limit == 0)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "%s has no training part: give --data FOLDER, or --limit N to train on N "
                        "of its items and score those behind",
                        lac_dataset_name(s->scored));
    limit = limit ? limit : MOST_BY_DEFAULT;
    r->samples = limit < count - o->first ? limit : count - o->first;
    if (r->samples < 1)
        return lac_fail(err, LAC_ERROR_INPUT, "%s has %lld items: none behind the first %lld",
                        lac_dataset_name(s->trained), (long long)count, (long long)o->first);
    s->first = o->first;
    s->test_first = s->own ? 0 : s->first + r->samples;
    r->scored = lac_dataset_count(s->scored) - s->test_first;
    if (r->scored < 1)
        return lac_fail(err, LAC_ERROR_INPUT, "no item of %s is left to score",
                        lac_dataset_name(s->scored));
    snprintf(r->data, sizeof r->data, "%s%s%s, items %lld to %lld", o->folder ? o->folder : "",
             o->folder ? "/" : "", lac_dataset_name(s->trained), (long long)s->first,
             (long long)(s->first + r->samples - 1));
    snprintf(r->test, sizeof r->test, "%s, items %lld to %lld", lac_dataset_name(s->scored),
             (long long)s->test_first, (long long)(s->test_first + r->scored - 1));
    return LAC_OK;
}

/* Writes the network as it is now and scores that. */
static lac_status score(study *s, const lac_trainer *trainer, double *value, lac_error *err)
{
    lac_session *session;
    lac_score got;
    lac_graph_free(s->result->graph);
    s->result->graph = NULL;
    LAC_TRY(lac_trainer_graph(trainer, &s->result->graph, err));
    LAC_TRY(lac_session_make(&session, s->result->graph, NULL, err));
    lac_status status =
        lac_evaluate(session, s->scored, s->test_first, 0, s->options->train.progress,
                     s->options->train.progress_context, &got, err);
    lac_session_free(session);
    if (status == LAC_OK) {
        *value = got.value;
        lac_score_release(&got);
    }
    return status;
}

static lac_status describe(study *s, const lac_model *model, const lac_trainer *trainer,
                           lac_error *err)
{
    lac_retrained *r = s->result;
    lac_parameter_info info;
    while (lac_trainer_parameter(trainer, (int)r->n_parameters, &info))
        r->n_parameters++;
    r->parameter = lac_alloc((size_t)r->n_parameters, sizeof *r->parameter, err);
    if (!r->parameter)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < r->n_parameters; i++) {
        lac_trainer_parameter(trainer, i, &r->parameter[i]);
        int value = lac_graph_find(model->graph, r->parameter[i].name);
        r->parameter[i].name = value >= 0 ? model->graph->values[value].name : "";
    }
    return LAC_OK;
}

static lac_status train(study *s, lac_trainer *trainer, lac_error *err)
{
    lac_training_data data = {.samples = s->result->samples, .sample = sample, .context = s};
    lac_retrained *r = s->result;
    r->row = lac_alloc((size_t)s->options->epochs + 1, sizeof *r->row, err);
    if (!r->row)
        return LAC_ERROR_MEMORY;
    for (int64_t e = 0; e <= s->options->epochs; e++) {
        lac_train_epoch epoch = {.loss = NAN, .accuracy = NAN};
        if (e > 0)
            LAC_TRY(lac_trainer_run(trainer, &data, &epoch, err));
        r->row[e] = (lac_retrain_row){.loss = epoch.loss, .trained = epoch.accuracy};
        LAC_TRY(score(s, trainer, &r->row[e].scored, err));
        r->n_rows++;
    }
    return LAC_OK;
}

lac_status lac_retrain(const lac_model *model, const lac_retrain_options *options,
                       lac_retrained *result, lac_error *err)
{
    study s = {.options = options, .result = result};
    lac_train_options how = options->train;
    lac_trainer *trainer = NULL;
    memset(result, 0, sizeof *result);
    lac_status status = open_sets(&s, model, err);
    if (status == LAC_OK)
        status = choose_items(&s, err);
    if (status == LAC_OK) {
        how.output = lac_dataset_output(s.scored);
        status = lac_trainer_make(&trainer, model->graph, &how, err);
    }
    if (status == LAC_OK)
        status = train(&s, trainer, err);
    if (status == LAC_OK)
        status = describe(&s, model, trainer, err);
    lac_trainer_free(trainer);
    lac_dataset_close(s.own);
    lac_dataset_close(s.scored);
    if (status != LAC_OK)
        lac_retrained_release(result);
    return status;
}

void lac_retrained_release(lac_retrained *result)
{
    lac_graph_free(result->graph);
    lac_free(result->row);
    lac_free(result->parameter);
    memset(result, 0, sizeof *result);
}
