/* A plan: which steps, with which kernels, over which memory, for one set of input shapes.
 *
 * Nodes are walked backwards from the outputs, so that only what is needed becomes a step; a layer
 * whose kernel reads packed weights does not need the nodes that would unpack them. Then memory:
 * values that share bytes (views, in-place operators) have one root; roots get offsets in one
 * block, largest first, each at the lowest place that is free during its life. */
#include "exec/exec.h"
#include "exec/fold.h"

#include "core/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { KNOWN_LIMIT = 1 << 26, ALIGN = 64 };

bool lac_is_lazy(const lac_graph *graph, int value)
{
    const lac_value *v = &graph->values[value];
    if (v->constant.data)
        return true;
    if (v->producer < 0)
        return false;
    const lac_node *node = &graph->nodes[v->producer];
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] >= 0 && !lac_is_lazy(graph, node->in[i]))
            return false;
    const lac_op *op = lac_exec_op(node);
    return node->n_in > 0 && op && !(op->flags & LAC_OP_RANDOM);
}

/* The value's tensor gets data if it depends on constants only. */
static lac_status resolve(lac_plan *plan, lac_session *session, int value, lac_error *err)
{
    lac_tensor *tensor = &plan->shapes.value[value];
    if (tensor->data || !lac_is_lazy(session->graph, value))
        return LAC_OK;
    if (!session->lazy[value].data)
        LAC_TRY(lac_fold_value(session->graph, value, &session->lazy[value], err));
    lac_tensor_release(tensor);
    lac_tensor_share(tensor, &session->lazy[value]);
    return LAC_OK;
}

static lac_call call_of(const lac_plan *plan, const lac_step *step, const lac_graph *graph)
{
    return (lac_call){.node = step->node,
                      .opset = graph->opset,
                      .n_in = step->node->n_in,
                      .n_out = step->node->n_out,
                      .in = plan->in + step->first_in,
                      .out = plan->out + step->first_out};
}

/* Describes the step as a layer, from the addresses that its tensors have now. */
static lac_status describe(lac_plan *plan, const lac_session *session, lac_step *step,
                           lac_error *err)
{
    lac_call call = call_of(plan, step, session->graph);
    lac_layer_release(&step->layer); /* some kinds own tensors in the kind's order */
    LAC_TRY(step->op->as_layer(&call, &step->layer, err));
    snprintf(step->layer.name, sizeof step->layer.name, "%s", step->node->name);
    step->layer.store = session->store;
    if (plan->layout && step->node->n_in > LAC_IN_X && step->node->in[LAC_IN_X] >= 0)
        step->layer.input_layout = plan->layout[step->node->in[LAC_IN_X]];
    if (plan->layout && step->node->out[0] >= 0)
        step->layer.output_layout = plan->layout[step->node->out[0]];
    int residual = step->node->n_in == LAC_IN_COUNT ? step->node->in[LAC_IN_RESIDUAL] : -1;
    step->layer.residual_in_place = plan->root && residual >= 0 && step->node->out[0] >= 0 &&
                                    plan->root[residual] == plan->root[step->node->out[0]];
    if (step->packed) {
        lac_operand *w = &step->layer.operand[LAC_ROLE_WEIGHTS];
        w->packed = step->packed;
        w->transposed = false;
    }
    if (step->narrow) {
        lac_tensor *w = &step->layer.operand[LAC_ROLE_WEIGHTS].tensor;
        *w = lac_tensor_view(LAC_I8, w->rank, w->dims, step->narrow->data);
    }
    return LAC_OK;
}

/* ---- packed weights ----------------------------------------------------------------------------
 */

static const lac_node *producer(const lac_graph *graph, int value)
{
    int p = value >= 0 ? graph->values[value].producer : -1;
    return p >= 0 ? &graph->nodes[p] : NULL;
}

static bool is_op(const lac_node *node, const char *domain, const char *op)
{
    return node && strcmp(node->op, op) == 0 && strcmp(node->domain, domain) == 0;
}

/* Reads the weight chain [DequantizeLinear] <- lacuna.Unpack into step->packed, or DequantizeLinear
 * <- int8 constant into step->narrow; leaves both NULL when the chain is another one. */
static lac_status find_packed(lac_plan *plan, lac_session *session, lac_step *step,
                              const float **scale, int64_t *scale_count, lac_error *err)
{
    const lac_graph *graph = session->graph;
    const lac_tensor *in[LAC_MAX_FIELDS] = {0};
    int value = step->node->n_in > LAC_IN_W ? step->node->in[LAC_IN_W] : -1;
    const lac_node *node = producer(graph, value);
    *scale = NULL;
    *scale_count = 0;
    if (is_op(node, "", "DequantizeLinear")) {
        const lac_tensor *s = &graph->values[node->in[1]].constant;
        const lac_tensor *zero =
            node->n_in > 2 && node->in[2] >= 0 ? &graph->values[node->in[2]].constant : NULL;
        if (!s->data || s->dtype != LAC_F32)
            return LAC_OK;
        for (int64_t i = 0; zero && i < lac_tensor_count(zero); i++)
            if (!zero->data || lac_tensor_get(zero, i) != 0)
                return LAC_OK;
        *scale = s->data;
        *scale_count = lac_tensor_count(s);
        const lac_tensor *stored = &graph->values[node->in[0]].constant;
        if (stored->data && stored->dtype == LAC_I8 && stored->rank == 2) {
            /* scales of another axis than that of the outputs do not go with the layer */
            int64_t axis = lac_node_int(node, "axis", 1);
            bool rows = lac_node_int(step->node, "transB", 0) != 0;
            if (*scale_count == 1 || (axis + 2) % 2 == !rows)
                step->narrow = stored;
            return LAC_OK;
        }
        node = producer(graph, node->in[0]);
    }
    if (!is_op(node, "lacuna", "Unpack") || node->n_in > LAC_MAX_FIELDS)
        return LAC_OK;
    for (int i = 0; i < node->n_in; i++)
        in[i] = node->in[i] >= 0 ? &graph->values[node->in[i]].constant : NULL;
    step->packed = lac_alloc(1, sizeof *step->packed, err);
    if (!step->packed)
        return LAC_ERROR_MEMORY;
    (void)plan;
    return lac_packed_from_node(step->packed, node, node->n_in, in, err);
}

static void drop_packed(lac_step *step)
{
    step->narrow = NULL;
    if (step->packed) {
        lac_packed_release(step->packed);
        lac_free(step->packed);
        step->packed = NULL;
    }
}

/* The cost of the step with its weights unpacked, negative where no kernel runs it so. Only shape
 * and type of the weights count: unpacking them to ask would take the memory that packing saves. */
static lac_status dense_cost(lac_plan *plan, lac_session *session, lac_step *step, double *cost,
                             lac_error *err)
{
    lac_tensor *weights = &plan->shapes.value[step->node->in[LAC_IN_W]], shape = *weights;
    lac_packed *packed = step->packed;
    const lac_tensor *narrow = step->narrow;
    const lac_kernel *kernel = NULL;
    const void *blank = NULL;
    *cost = -1;
    if (!shape.data) {
        LAC_TRY(lac_map_blank(&weights->buffer, &blank, lac_tensor_bytes(&shape), err));
        weights->data = (void *)blank;
    }
    step->packed = NULL;
    step->narrow = NULL;
    lac_status status = describe(plan, session, step, err);
    if (status == LAC_OK)
        kernel = lac_kernel_choose(&step->layer, session->isa, NULL, 0);
    if (kernel)
        *cost = kernel->cost(&step->layer);
    if (blank)
        lac_tensor_release(weights);
    *weights = shape;
    step->packed = packed;
    step->narrow = narrow;
    return status;
}

static lac_status choose_packed(lac_plan *plan, lac_session *session, lac_step *step,
                                lac_error *err)
{
    const float *scale;
    int64_t scale_count;
    char why[sizeof step->why] = "";
    LAC_TRY(find_packed(plan, session, step, &scale, &scale_count, err));
    if (!step->packed && !step->narrow)
        return LAC_OK;
    if (describe(plan, session, step, NULL) == LAC_OK) {
        lac_operand *w = &step->layer.operand[LAC_ROLE_WEIGHTS];
        if (scale) {
            w->scale = scale;
            w->scale_count = scale_count;
        }
        step->kernel = lac_kernel_choose(&step->layer, session->isa, why, sizeof why);
    }
    double cost = step->kernel ? step->kernel->cost(&step->layer) : 0, dense = -1;
    bool prefer = step->packed && step->packed->prefer; /* measured: no estimate is asked */
    if (step->kernel && !prefer)
        LAC_TRY(dense_cost(plan, session, step, &dense, err));
    if (step->kernel && (dense < 0 || cost <= dense)) {
        LAC_TRY(describe(plan, session, step, err));
        if (scale) {
            step->layer.operand[LAC_ROLE_WEIGHTS].scale = scale;
            step->layer.operand[LAC_ROLE_WEIGHTS].scale_count = scale_count;
        }
        step->is_layer = true;
        step->packed_input = step->node->in[LAC_IN_W];
        if (prefer)
            snprintf(step->why, sizeof step->why,
                     "packed: measured to be faster when the file was made, not estimated");
        return LAC_OK;
    }
    if (step->kernel)
        snprintf(step->why, sizeof step->why,
                 "unpacked: dense is faster here: %.4f ms against %.4f estimated", dense * 1e3,
                 cost * 1e3);
    else
        snprintf(step->why, sizeof step->why, "unpacked: %.180s", why);
    step->kernel = NULL;
    step->stored_bytes =
        step->packed ? lac_packed_bytes(step->packed) : (int64_t)lac_tensor_bytes(step->narrow);
    if (step->narrow) /* widened once, as dense networks are */
        step->why[0] = 0;
    drop_packed(step);
    return LAC_OK;
}

/* ---- steps
 * ---------------------------------------------------------------------------------------- */

static lac_status choose(lac_plan *plan, lac_session *session, lac_step *step, lac_error *err)
{
    lac_call call = call_of(plan, step, session->graph);
    lac_error reason = {0};
    step->packed_input = -1;
    if (step->op->as_layer && !session->options.no_fusion) {
        LAC_TRY(choose_packed(plan, session, step, err));
        if (step->kernel)
            return LAC_OK;
    }
    for (int i = 0; i < step->node->n_in; i++)
        if (step->node->in[i] >= 0)
            LAC_TRY(resolve(plan, session, step->node->in[i], err));
    if (step->op->as_layer) {
        lac_status status = describe(plan, session, step, &reason);
        step->is_layer = status == LAC_OK;
        if (status == LAC_ERROR_MEMORY)
            return status;
        if (step->is_layer && !session->options.no_fusion) {
            size_t used = strlen(step->why);
            step->kernel = lac_kernel_choose(&step->layer, session->isa, step->why + used,
                                             sizeof step->why - used);
        } else if (!step->is_layer) {
            snprintf(step->why, sizeof step->why, "%.190s", reason.message);
        }
    }
    if (!step->kernel && !session->options.no_fusion && session->isa)
        step->fast = lac_fast_find(&call);
    return LAC_OK;
}

/* Whether the node must run: an output is needed and not known before the run. */
static bool must_run(const lac_plan *plan, const lac_graph *graph, const lac_node *node,
                     const bool *needed)
{
    for (int i = 0; i < node->n_out; i++)
        if (node->out[i] >= 0 && needed[node->out[i]] && !plan->shapes.value[node->out[i]].data &&
            !lac_is_lazy(graph, node->out[i]))
            return true;
    return false;
}

static lac_status make_steps(lac_plan *plan, lac_session *session, bool *needed, lac_error *err)
{
    const lac_graph *graph = session->graph;
    int n_in = 0, n_out = 0;
    for (int n = 0; n < graph->n_nodes; n++) {
        n_in += graph->nodes[n].n_in;
        n_out += graph->nodes[n].n_out;
    }
    plan->steps = lac_alloc((size_t)graph->n_nodes + 1, sizeof *plan->steps, err);
    plan->in = lac_alloc((size_t)n_in + 1, sizeof *plan->in, err);
    plan->out = lac_alloc((size_t)n_out + 1, sizeof *plan->out, err);
    if (!plan->steps || !plan->in || !plan->out)
        return LAC_ERROR_MEMORY;
    n_in = n_out = 0;
    for (int i = 0; i < graph->n_outputs; i++) {
        needed[graph->outputs[i]] = true;
        LAC_TRY(resolve(plan, session, graph->outputs[i], err));
    }
    for (int n = graph->n_nodes - 1; n >= 0; n--) {
        const lac_node *node = &graph->nodes[n];
        if (!must_run(plan, graph, node, needed))
            continue;
        lac_step *step = &plan->steps[plan->n_steps++];
        step->node = node;
        step->op = lac_exec_op(node);
        step->first_in = n_in;
        step->first_out = n_out;
        n_in += node->n_in;
        n_out += node->n_out;
        for (int i = 0; i < node->n_in; i++)
            plan->in[step->first_in + i] =
                node->in[i] >= 0 ? &plan->shapes.value[node->in[i]] : NULL;
        for (int i = 0; i < node->n_out; i++)
            if (node->out[i] >= 0)
                plan->out[step->first_out + i] = plan->shapes.value[node->out[i]];
        LAC_TRY(choose(plan, session, step, err));
        for (int i = 0; i < node->n_in; i++)
            if (node->in[i] >= 0 && node->in[i] != step->packed_input)
                needed[node->in[i]] = true;
    }
    for (int i = 0, j = plan->n_steps - 1; i < j; i++, j--) {
        lac_step swap = plan->steps[i];
        plan->steps[i] = plan->steps[j];
        plan->steps[j] = swap;
    }
    return LAC_OK;
}

/* ---- memory
 * ----------------------------------------------------------------------------------------- */

typedef struct life {
    int *birth, *death; /* steps, of roots */
    bool *fixed;        /* graph input, output or constant bytes: not in the block */
} life;

static size_t size_of(const lac_plan *plan, int root)
{
    size_t bytes = lac_plan_value_bytes(plan, root);
    return (bytes + ALIGN + ALIGN - 1) / ALIGN * ALIGN; /* readable bytes behind */
}

static bool is_view(const lac_step *step)
{
    return (step->op->flags & LAC_OP_VIEW) && step->node->n_out == 1;
}

static void find_roots(lac_plan *plan, const lac_session *session, life *l)
{
    const lac_graph *graph = session->graph;
    int n = graph->n_values;
    for (int v = 0; v < n; v++) {
        plan->root[v] = v;
        l->birth[v] = l->death[v] = -1;
        l->fixed[v] = plan->shapes.value[v].data;
    }
    for (int i = 0; i < graph->n_inputs; i++)
        l->fixed[graph->inputs[i]] = true;
    for (int s = 0; s < plan->n_steps; s++) {
        const lac_node *node = plan->steps[s].node;
        if (is_view(&plan->steps[s]))
            plan->root[node->out[0]] = plan->root[node->in[0]];
        for (int i = 0; i < node->n_in; i++)
            if (node->in[i] >= 0 && node->in[i] != plan->steps[s].packed_input)
                l->death[plan->root[node->in[i]]] = s;
        for (int i = 0; i < node->n_out; i++)
            if (node->out[i] >= 0) {
                int root = plan->root[node->out[i]];
                l->birth[root] = l->birth[root] < 0 ? s : l->birth[root];
                l->death[root] = s > l->death[root] ? s : l->death[root];
            }
    }
    for (int i = 0; i < graph->n_outputs; i++)
        l->death[plan->root[graph->outputs[i]]] = plan->n_steps;
}

/* Which input the output of the step may be written over, -1: none. An operator's first one (which
 * may be given twice); the residual of a product, by kernels that say so. */
static int written_over(const lac_step *step)
{
    if (!step->kernel)
        return (step->op->flags & LAC_OP_INPLACE) && step->node->n_in > 0 ? 0 : -1;
    bool product = step->node->n_in == LAC_IN_COUNT &&
                   step->layer.operand[LAC_ROLE_RESIDUAL].tensor.dtype != LAC_NONE;
    return product && step->kernel->residual_in_place ? LAC_IN_RESIDUAL : -1;
}

/* Lets step s write over an input where that is the input's last use. */
static void merge_in_place(lac_plan *plan, const lac_graph *graph, life *l, int s)
{
    const lac_step *step = &plan->steps[s];
    const lac_node *node = step->node;
    int over = written_over(step), value = over < 0 ? -1 : node->in[over];
    if (value < 0 || node->out[0] < 0)
        return;
    int from = plan->root[value], to = plan->root[node->out[0]];
    const lac_tensor *a = &plan->shapes.value[value];
    const lac_tensor *b = &plan->shapes.value[node->out[0]];
    if (l->fixed[from] || l->death[from] != s || from == to ||
        lac_tensor_bytes(a) != lac_tensor_bytes(b) || a->dtype != b->dtype ||
        plan->layout[value] != plan->layout[node->out[0]])
        return;
    for (int i = 0; i < node->n_in; i++)
        if (i != over && node->in[i] >= 0 && plan->root[node->in[i]] == from &&
            (step->kernel || node->in[i] != value))
            return;
    for (int v = 0; v < graph->n_values; v++)
        if (plan->root[v] == to)
            plan->root[v] = from;
    l->death[from] = l->death[to];
    l->birth[to] = l->death[to] = -1;
}

static int by_size(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return x[0] != y[0] ? (x[0] < y[0] ? 1 : -1) : (x[1] > y[1]) - (x[1] < y[1]);
}

/* Offsets: each root at the lowest gap among the placed ones that live at the same time. */
static lac_status place(lac_plan *plan, int n_values, const life *l, lac_error *err)
{
    int64_t(*order)[2] = lac_alloc((size_t)n_values + 1, sizeof *order, err);
    int *placed = lac_alloc((size_t)n_values + 1, sizeof *placed, err);
    int count = 0, done = 0;
    if (!order || !placed) {
        lac_free(order);
        lac_free(placed);
        return LAC_ERROR_MEMORY;
    }
    for (int v = 0; v < n_values; v++) {
        plan->offset[v] = -1;
        if (plan->root[v] == v && l->birth[v] >= 0 && !l->fixed[v]) {
            order[count][0] = (int64_t)size_of(plan, v);
            order[count++][1] = v;
        }
    }
    qsort(order, (size_t)count, sizeof *order, by_size);
    size_t top = 0;
    for (int i = 0; i < count; i++) {
        int v = (int)order[i][1];
        int64_t size = order[i][0], at = 0;
        /* `placed` is kept sorted by offset: the first gap is found in one pass */
        for (int p = 0; p < done; p++) {
            int o = placed[p];
            if (l->death[o] < l->birth[v] || l->birth[o] > l->death[v])
                continue;
            if (at + size <= plan->offset[o])
                break;
            int64_t end = plan->offset[o] + (int64_t)size_of(plan, o);
            at = end > at ? end : at;
        }
        plan->offset[v] = at;
        int p = done++;
        for (; p > 0 && plan->offset[placed[p - 1]] > at; p--)
            placed[p] = placed[p - 1];
        placed[p] = v;
        top = (size_t)(at + size) > top ? (size_t)(at + size) : top;
    }
    for (int s = 0; s < plan->n_steps; s++) {
        size_t live = 0;
        for (int i = 0; i < count; i++)
            if (l->birth[order[i][1]] <= s && l->death[order[i][1]] >= s)
                live += lac_plan_value_bytes(plan, (int)order[i][1]);
        plan->peak_bytes = live > plan->peak_bytes ? live : plan->peak_bytes;
    }
    plan->block_bytes = top;
    lac_free(order);
    lac_free(placed);
    plan->block = lac_alloc(top + ALIGN, 1, err);
    return plan->block ? LAC_OK : LAC_ERROR_MEMORY;
}

/* The homes of values that change from run to run: graph inputs, and outputs, which the caller
 * gets to keep. An output that shares bytes with an input, a constant or another output is copied
 * at the end instead. */
static void find_moving(lac_plan *plan, const lac_graph *graph, life *l)
{
    for (int i = 0; i < graph->n_inputs; i++)
        plan->home[graph->inputs[i]] = i + 1;
    for (int k = 0; k < graph->n_outputs; k++) {
        int root = plan->root[graph->outputs[k]];
        if (l->fixed[root])
            continue; /* copied at the end */
        l->fixed[root] = true;
        plan->home[root] = -(k + 1);
    }
}

static lac_status make_memory(lac_plan *plan, lac_session *session, lac_error *err)
{
    const lac_graph *graph = session->graph;
    size_t n = (size_t)graph->n_values + 1;
    plan->root = lac_alloc(n, sizeof(int), err);
    plan->home = lac_alloc(n, sizeof(int), err);
    plan->offset = lac_alloc(n, sizeof(int64_t), err);
    life l = {lac_alloc(n, sizeof(int), err), lac_alloc(n, sizeof(int), err),
              lac_alloc(n, sizeof(bool), err)};
    lac_status status = plan->root && plan->home && plan->offset && l.birth && l.death && l.fixed
                            ? LAC_OK
                            : LAC_ERROR_MEMORY;
    if (status == LAC_OK) {
        find_roots(plan, session, &l);
        /* a watcher sees values later, a runner may write what it has yet to read */
        for (int s = 0; s < plan->n_steps && !session->options.watcher; s++)
            if (!plan->steps[s].kernel || !session->options.runner)
                merge_in_place(plan, graph, &l, s);
        find_moving(plan, graph, &l);
        status = place(plan, graph->n_values, &l, err);
    }
    for (int v = 0; status == LAC_OK && v < graph->n_values; v++) {
        int root = plan->root[v];
        if (plan->offset[root] >= 0 && !plan->shapes.value[v].data)
            plan->shapes.value[v].data = plan->block + plan->offset[root];
    }
    lac_free(l.birth);
    lac_free(l.death);
    lac_free(l.fixed);
    return status;
}

/* ---- the whole
 * --------------------------------------------------------------------------------------- */

static bool moves(const lac_plan *plan, int value)
{
    return value >= 0 && plan->home[plan->root[value]] != 0;
}

/* Dense weights of which the kernel made its own copy need not stay in memory twice. */
static void rest_weights(const lac_session *session, const lac_step *step)
{
    int value = step->node->n_in > LAC_IN_W ? step->node->in[LAC_IN_W] : -1;
    if (step->packed || value < 0 || !step->kernel->state_bytes)
        return;
    const lac_tensor *weights = &session->graph->values[value].constant;
    if (weights->data && step->kernel->state_bytes(step->state) >= lac_tensor_bytes(weights))
        lac_tensor_rest(weights);
}

static lac_status prepare_step(lac_plan *plan, lac_session *session, lac_step *step, lac_error *err)
{
    const lac_node *node = step->node;
    for (int i = 0; i < node->n_in; i++)
        step->moving |= moves(plan, node->in[i]);
    for (int i = 0; i < node->n_out; i++) {
        step->moving |= moves(plan, node->out[i]);
        if (node->out[i] >= 0)
            plan->out[step->first_out + i] = plan->shapes.value[node->out[i]];
    }
    if (!step->kernel)
        return LAC_OK;
    const lac_operand *w = &step->layer.operand[LAC_ROLE_WEIGHTS];
    const float *scale = step->packed || step->narrow ? w->scale : NULL;
    int64_t scale_count = w->scale_count;
    LAC_TRY(describe(plan, session, step, err));
    if (scale) {
        step->packed_scale = scale;
        step->packed_scale_count = scale_count;
        step->layer.operand[LAC_ROLE_WEIGHTS].scale = scale;
        step->layer.operand[LAC_ROLE_WEIGHTS].scale_count = scale_count;
    }
    step->single = step->layer.kind->macs && step->layer.kind->macs(&step->layer) < LAC_SINGLE_MACS;
    int threads = lac_threads();
    if (step->single)
        lac_threads_set(1);
    lac_status status = step->kernel->prepare(&step->layer, &step->state, err);
    lac_threads_set(threads);
    if (status == LAC_OK)
        rest_weights(session, step);
    return status;
}

lac_status lac_plan_describe(lac_plan *plan, const lac_session *session, lac_step *step,
                             lac_error *err)
{
    LAC_TRY(describe(plan, session, step, err));
    if (step->packed_scale) {
        step->layer.operand[LAC_ROLE_WEIGHTS].scale = step->packed_scale;
        step->layer.operand[LAC_ROLE_WEIGHTS].scale_count = step->packed_scale_count;
    }
    return LAC_OK;
}

static lac_status fill(lac_plan *plan, lac_session *session, const lac_tensor *in, lac_error *err)
{
    const lac_graph *graph = session->graph;
    LAC_TRY(lac_shapes_infer(&plan->shapes, graph, in, KNOWN_LIMIT, false, err));
    bool *needed = lac_alloc((size_t)graph->n_values + 1, sizeof *needed, err);
    if (!needed)
        return LAC_ERROR_MEMORY;
    lac_status status = make_steps(plan, session, needed, err);
    lac_free(needed);
    LAC_TRY(status);
    LAC_TRY(lac_plan_layouts(plan, session, err));
    LAC_TRY(make_memory(plan, session, err));
    for (int s = 0; s < plan->n_steps; s++) {
        status = prepare_step(plan, session, &plan->steps[s], err);
        if (status != LAC_OK)
            return lac_fail_in(err, status, "node '%s'", plan->steps[s].node->name);
    }
    return LAC_OK;
}

lac_status lac_plan_make(lac_plan **plan, lac_session *session, const lac_tensor *in,
                         lac_error *err)
{
    lac_plan *made = lac_alloc(1, sizeof *made, err);
    if (!made)
        return LAC_ERROR_MEMORY;
    lac_status status = fill(made, session, in, err);
    if (status != LAC_OK)
        lac_plan_free(made);
    else
        *plan = made;
    return status;
}

void lac_plan_free(lac_plan *plan)
{
    if (!plan)
        return;
    for (int s = 0; s < plan->n_steps; s++) {
        lac_step *step = &plan->steps[s];
        if (step->state)
            step->kernel->release(step->state);
        drop_packed(step);
        lac_layer_release(&step->layer);
    }
    lac_free(plan->steps);
    lac_free((void *)plan->in);
    lac_free(plan->out);
    lac_free(plan->root);
    lac_free(plan->home);
    lac_free(plan->offset);
    lac_free(plan->layout);
    lac_free(plan->block);
    lac_free(plan->key);
    lac_shapes_release(&plan->shapes);
    lac_free(plan);
}
