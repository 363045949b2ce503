/* One run of a plan: addresses of inputs and outputs in place, then the steps in order. */
#include "exec/exec.h"

#include "core/clock.h"
#include "core/memory.h"
#include "cpu/quantise.h"

#include <string.h>

static lac_status run_layer(lac_plan *plan, lac_session *session, lac_step *step, bool *done,
                            lac_error *err)
{
    const lac_session_options *options = &session->options;
    *done = false;
    if (step->moving || !step->kernel)
        LAC_TRY(lac_plan_describe(plan, session, step, err));
    if (options->runner && step->layer.steps_order == LAC_STEPS_FORWARD) {
        lac_error own = {0};
        lac_status status = options->runner(options->runner_context, &step->layer, &own);
        *done = status == LAC_OK;
        if (status != LAC_OK && status != LAC_ERROR_UNSUPPORTED) {
            if (err)
                *err = own;
            return status;
        }
    }
    if (!*done && step->kernel) {
        int threads = step->single ? lac_threads() : 1;
        *done = true;
        if (threads > 1)
            lac_threads_set(1);
        lac_status status = step->kernel->run(&step->layer, step->state, err);
        if (status == LAC_OK && !step->kernel->beside)
            lac_quantise_beside(&step->layer);
        if (threads > 1)
            lac_threads_set(threads);
        return status;
    }
    return LAC_OK;
}

static lac_status run_step(lac_plan *plan, lac_session *session, lac_step *step, lac_error *err)
{
    const lac_node *node = step->node;
    bool done = false;
    if (step->moving)
        for (int i = 0; i < node->n_out; i++)
            if (node->out[i] >= 0)
                plan->out[step->first_out + i].data = plan->shapes.value[node->out[i]].data;
    if ((step->op->flags & LAC_OP_VIEW) && node->n_out == 1)
        return LAC_OK; /* shares the bytes already */
    if (step->is_layer && (step->kernel || session->options.runner))
        LAC_TRY(run_layer(plan, session, step, &done, err));
    if (done)
        return LAC_OK;
    lac_call call = {.node = node,
                     .opset = session->graph->opset,
                     .n_in = node->n_in,
                     .n_out = node->n_out,
                     .in = plan->in + step->first_in,
                     .out = plan->out + step->first_out};
    if (!step->fast)
        return step->op->run(&call, err);
    return step->fast->run(&call, plan->layout[node->in[0]], plan->layout[node->out[0]], err);
}

static void watch(const lac_plan *plan, const lac_session *session, const lac_step *step)
{
    for (int i = 0; i < step->node->n_out; i++)
        if (step->node->out[i] >= 0)
            session->options.watcher(session->options.watcher_context,
                                     session->graph->values[step->node->out[i]].name,
                                     &plan->shapes.value[step->node->out[i]]);
}

static lac_status steps(lac_plan *plan, lac_session *session, lac_error *err)
{
    for (int s = 0; s < plan->n_steps; s++) {
        lac_step *step = &plan->steps[s];
        double begin = session->options.time_steps ? lac_seconds() : 0;
        lac_status status = run_step(plan, session, step, err);
        if (status != LAC_OK)
            return lac_fail_in(err, status, "node '%s' (%s)", step->node->name, step->node->op);
        if (session->options.time_steps)
            step->seconds = lac_seconds() - begin;
        if (session->options.watcher)
            watch(plan, session, step);
    }
    return LAC_OK;
}

lac_status lac_plan_run(lac_plan *plan, lac_session *session, const lac_tensor *in, lac_tensor *out,
                        lac_error *err)
{
    const lac_graph *graph = session->graph;
    lac_status status = LAC_OK;
    memset(out, 0, (size_t)graph->n_outputs * sizeof *out);
    for (int k = 0; status == LAC_OK && k < graph->n_outputs; k++) {
        const lac_tensor *shape = &plan->shapes.value[graph->outputs[k]];
        status = lac_tensor_make(&out[k], shape->dtype, shape->rank, shape->dims, err);
    }
    for (int v = 0; status == LAC_OK && v < plan->shapes.n; v++) {
        int home = plan->home[plan->root[v]];
        if (home)
            plan->shapes.value[v].data = home > 0 ? in[home - 1].data : out[-home - 1].data;
    }
    if (status == LAC_OK && session->options.watcher)
        for (int i = 0; i < graph->n_inputs; i++)
            session->options.watcher(session->options.watcher_context,
                                     graph->values[graph->inputs[i]].name, &in[i]);
    if (status == LAC_OK)
        status = steps(plan, session, err);
    for (int k = 0; status == LAC_OK && k < graph->n_outputs; k++) {
        const lac_tensor *value = &plan->shapes.value[graph->outputs[k]];
        if (value->data != out[k].data && lac_tensor_bytes(value))
            memcpy(out[k].data, value->data, lac_tensor_bytes(value));
    }
    for (int k = 0; status != LAC_OK && k < graph->n_outputs; k++)
        lac_tensor_release(&out[k]);
    return status;
}
