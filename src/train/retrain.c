/* Minibatch gradient descent: one training graph with the parameters as inputs and their gradients
 * as outputs, run by an ordinary session; between the runs every parameter moves as its storage
 * allows. All sums are made in one order, so threads change nothing. */
#include <lacuna/train.h>

#include "core/memory.h"
#include "core/random.h"
#include "train/parameter.h"

#include <lacuna/lacuna.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROLE_PERMUTATION = 10 }; /* of the generator's streams */

struct lac_trainer {
    lac_graph *source, *graph; /* what was given; what is trained */
    lac_session *session;
    lac_train_options options;
    lac_random random;
    int n;
    lac_parameter *parameter;
    int n_inputs; /* of the source; behind them in the training graph: labels, parameters */
    int64_t classes;
    lac_tensor *in, *out; /* of the training graph; out: loss, gradients, logits */
    lac_tensor *sample;   /* of the source's inputs */
};

/* ---- making ---------------------------------------------------------------------------------- */

/* The logits: the output, or what its Softmax reads. */
static lac_status find_logits(const lac_graph *graph, int output, int *logits, lac_error *err)
{
    if (output < 0 || output >= graph->n_outputs)
        return lac_fail(err, LAC_ERROR_INPUT, "output %d of %d", output, graph->n_outputs);
    *logits = graph->outputs[output];
    int producer = graph->values[*logits].producer;
    if (producer >= 0 && strcmp(graph->nodes[producer].op, "Softmax") == 0)
        *logits = graph->nodes[producer].in[0];
    return LAC_OK;
}

static lac_status check_options(const lac_train_options *options, lac_error *err)
{
    if (!(options->rate > 0) || !isfinite(options->rate))
        return lac_fail(err, LAC_ERROR_INPUT, "learning rate %g: want more than 0", options->rate);
    if (!(options->momentum >= 0 && options->momentum < 1))
        return lac_fail(err, LAC_ERROR_INPUT, "momentum %g: want 0 up to below 1",
                        options->momentum);
    if (options->batch < 1)
        return lac_fail(err, LAC_ERROR_INPUT, "batch %lld: want at least 1",
                        (long long)options->batch);
    return LAC_OK;
}

static lac_status check_inputs(const lac_trainer *t, lac_error *err)
{
    for (int i = 0; i < t->n_inputs; i++) {
        const lac_value *v = &t->source->values[t->source->inputs[i]];
        if (v->rank < 1)
            return lac_fail(err, LAC_ERROR_UNSUPPORTED, "input '%s' has no batch dimension",
                            v->name);
        if (v->dims[0].size > 1 || (v->dims[0].size == 1 && t->options.batch > 1))
            return lac_fail(err, LAC_ERROR_INPUT,
                            "input '%s' has a fixed batch of %lld: only batch 1 of a network with "
                            "batch 1 or any is trained",
                            v->name, (long long)v->dims[0].size);
    }
    return LAC_OK;
}

/* The source with a loss, its parameters, and the graph of their gradients. */
static lac_status build(lac_trainer *t, lac_graph *work, lac_error *err)
{
    int logits = 0, labels, loss;
    LAC_TRY(find_logits(work, t->options.output, &logits, err));
    LAC_TRY(lac_loss_cross_entropy(work, logits, &labels, &loss, err));
    t->classes = work->values[logits].dims[1].size;
    if (t->classes < 1)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "'%s' has no fixed number of classes",
                        work->values[logits].name);
    LAC_TRY(lac_parameters_find(&t->parameter, &t->n, work, logits, err));
    int *values = lac_alloc((size_t)t->n, sizeof *values, err);
    if (!values)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < t->n; i++)
        values[i] = t->parameter[i].value;
    lac_status status = lac_differentiate(&t->graph, work, loss, t->n, values, err);
    lac_free(values);
    return status == LAC_OK ? lac_graph_output(t->graph, logits, err) : status;
}

static lac_status make(lac_trainer *t, const lac_graph *graph, lac_error *err)
{
    lac_graph *work = NULL;
    LAC_TRY(check_options(&t->options, err));
    LAC_TRY(lac_graph_copy(&t->source, graph, err));
    t->n_inputs = graph->n_inputs;
    LAC_TRY(check_inputs(t, err));
    LAC_TRY(lac_graph_copy(&work, graph, err));
    lac_status status = build(t, work, err);
    lac_graph_free(work);
    LAC_TRY(status);
    LAC_TRY(lac_session_make(&t->session, t->graph, NULL, err));
    t->random = lac_random_stream(t->options.seed, ROLE_PERMUTATION);
    t->in = lac_alloc((size_t)t->graph->n_inputs, sizeof *t->in, err);
    t->out = lac_alloc((size_t)t->graph->n_outputs, sizeof *t->out, err);
    t->sample = lac_alloc((size_t)t->n_inputs + 1, sizeof *t->sample, err);
    return t->in && t->out && t->sample ? LAC_OK : LAC_ERROR_MEMORY;
}

lac_status lac_trainer_make(lac_trainer **trainer, const lac_graph *graph,
                            const lac_train_options *options, lac_error *err)
{
    lac_trainer *t = lac_alloc(1, sizeof *t, err);
    if (!t)
        return LAC_ERROR_MEMORY;
    t->options = *options;
    lac_status status = make(t, graph, err);
    if (status != LAC_OK)
        lac_trainer_free(t);
    else
        *trainer = t;
    return status;
}

void lac_trainer_free(lac_trainer *t)
{
    if (!t)
        return;
    lac_session_free(t->session);
    lac_parameters_release(t->parameter, t->n);
    lac_graph_free(t->graph);
    lac_graph_free(t->source);
    lac_free(t->in);
    lac_free(t->out);
    lac_free(t->sample);
    lac_free(t);
}

bool lac_trainer_parameter(const lac_trainer *t, int index, lac_parameter_info *info)
{
    if (index < 0 || index >= t->n)
        return false;
    const lac_parameter *p = &t->parameter[index];
    *info = (lac_parameter_info){.name = t->source->values[p->value].name,
                                 .constraint = p->constraint,
                                 .elements = lac_tensor_count(&p->tensor)};
    for (int64_t i = 0; i < info->elements; i++)
        info->nonzeros += ((const float *)p->tensor.data)[i] != 0;
    for (int k = 0; k < p->centroids; k++)
        info->centroids += !p->held[k];
    return true;
}

/* ---- one step -------------------------------------------------------------------------------- */

static void release(lac_tensor *tensors, int n)
{
    for (int i = 0; i < n; i++)
        lac_tensor_release(&tensors[i]);
}

/* Copies input `i` of the sample into place `at` of a batch of `count`. */
static lac_status stack(lac_trainer *t, int i, int64_t at, int64_t count, lac_error *err)
{
    const lac_tensor *one = &t->sample[i];
    lac_tensor *all = &t->in[i];
    if (one->rank < 1 || one->dims[0] != 1)
        return lac_fail(err, LAC_ERROR_INPUT, "input %d: a sample must have batch 1", i);
    if (at == 0) {
        int64_t dims[LAC_MAX_RANK];
        memcpy(dims, one->dims, sizeof dims);
        dims[0] = count;
        LAC_TRY(lac_tensor_make(all, one->dtype, one->rank, dims, err));
    }
    size_t bytes = lac_tensor_bytes(one);
    if (one->dtype != all->dtype || one->rank != all->rank ||
        memcmp(one->dims + 1, all->dims + 1, (size_t)(one->rank - 1) * sizeof *one->dims) != 0)
        return lac_fail(err, LAC_ERROR_INPUT, "samples of different shapes: only batch 1 fits");
    memcpy((char *)all->data + (size_t)at * bytes, one->data, bytes);
    return LAC_OK;
}

/* Inputs and one-hot labels of samples order[0..count). */
static lac_status load(lac_trainer *t, const lac_training_data *data, const int64_t *order,
                       int64_t count, lac_error *err)
{
    lac_tensor *labels = &t->in[t->n_inputs];
    LAC_TRY(lac_tensor_make(labels, LAC_F32, 2, (int64_t[]){count, t->classes}, err));
    for (int64_t i = 0; i < count; i++) {
        int64_t label = -1;
        LAC_TRY(data->sample(data->context, order[i], t->sample, &label, err));
        lac_status status = LAC_OK;
        for (int k = 0; status == LAC_OK && k < t->n_inputs; k++)
            status = stack(t, k, i, count, err);
        release(t->sample, t->n_inputs);
        LAC_TRY(status);
        if (label < 0 || label >= t->classes)
            return lac_fail(err, LAC_ERROR_INPUT, "sample %lld: class %lld of %lld",
                            (long long)order[i], (long long)label, (long long)t->classes);
        ((float *)labels->data)[i * t->classes + label] = 1;
    }
    return LAC_OK;
}

static int64_t count_right(const lac_tensor *logits, const lac_tensor *labels)
{
    int64_t n = logits->dims[0], classes = logits->dims[1], right = 0;
    for (int64_t i = 0; i < n; i++) {
        const float *y = (const float *)logits->data + i * classes;
        const float *want = (const float *)labels->data + i * classes;
        int64_t best = 0;
        for (int64_t c = 1; c < classes; c++)
            if (y[c] > y[best])
                best = c;
        right += want[best] == 1;
    }
    return right;
}

static lac_status step(lac_trainer *t, const lac_training_data *data, const int64_t *order,
                       int64_t count, double *loss, int64_t *right, lac_error *err)
{
    for (int i = 0; i < t->n; i++)
        lac_tensor_share(&t->in[t->n_inputs + 1 + i], &t->parameter[i].tensor);
    lac_status status = load(t, data, order, count, err);
    bool ran = false;
    if (status == LAC_OK) {
        status = lac_session_run(t->session, t->in, t->out, err);
        ran = status == LAC_OK;
    }
    if (ran) {
        *loss = lac_tensor_get(&t->out[0], 0);
        *right = count_right(&t->out[1 + t->n], &t->in[t->n_inputs]);
        if (!isfinite(*loss))
            status =
                lac_fail(err, LAC_ERROR_INPUT, "the loss is %g: the learning rate %g is too large",
                         *loss, t->options.rate);
    }
    release(t->in, t->graph->n_inputs); /* before parameters move: the session keeps none */
    for (int i = 0; status == LAC_OK && i < t->n; i++)
        lac_parameter_move(&t->parameter[i], t->out[1 + i].data, t->options.rate,
                           t->options.momentum);
    if (ran)
        release(t->out, t->graph->n_outputs);
    return status;
}

/* ---- an epoch -------------------------------------------------------------------------------- */

static void shuffle(lac_random *random, int64_t *order, int64_t n)
{
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t other = (int64_t)(lac_random_next(random) % (uint64_t)(i + 1)), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
}

lac_status lac_trainer_run(lac_trainer *t, const lac_training_data *data, lac_train_epoch *epoch,
                           lac_error *err)
{
    memset(epoch, 0, sizeof *epoch);
    if (data->samples < 1)
        return lac_fail(err, LAC_ERROR_INPUT, "no samples to train on");
    int64_t *order = lac_alloc((size_t)data->samples, sizeof *order, err), right_of_all = 0;
    if (!order)
        return LAC_ERROR_MEMORY;
    for (int64_t i = 0; i < data->samples; i++)
        order[i] = i;
    shuffle(&t->random, order, data->samples);
    lac_status status = LAC_OK;
    while (status == LAC_OK && epoch->samples < data->samples) {
        int64_t left = data->samples - epoch->samples, right = 0;
        int64_t count = left < t->options.batch ? left : t->options.batch;
        double loss = 0;
        if (t->options.progress)
            t->options.progress(t->options.progress_context, "train",
                                (double)epoch->samples / (double)data->samples);
        status = step(t, data, order + epoch->samples, count, &loss, &right, err);
        epoch->samples += count;
        epoch->steps++;
        epoch->loss += loss * (double)count;
        right_of_all += right;
    }
    lac_free(order);
    epoch->loss /= (double)epoch->samples;
    epoch->accuracy = (double)right_of_all / (double)epoch->samples;
    return status;
}

lac_status lac_trainer_graph(const lac_trainer *t, lac_graph **graph, lac_error *err)
{
    lac_graph *made;
    LAC_TRY(lac_graph_copy(&made, t->source, err));
    lac_status status = LAC_OK;
    for (int i = 0; status == LAC_OK && i < t->n; i++)
        status = lac_parameter_write(&t->parameter[i], made, err);
    if (status == LAC_OK)
        status = lac_graph_settle(made, err);
    if (status == LAC_OK)
        *graph = made;
    else
        lac_graph_free(made);
    return status;
}
