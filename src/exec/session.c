/* The session: checks a graph once, rewrites a copy of it, keeps plans by input shapes. */
#include "exec/exec.h"
#include "exec/pass.h"

#include "core/memory.h"
#include "core/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

/* One line with every operator that nothing implements, and the nodes that want it. */
static lac_status check_operators(const lac_graph *graph, lac_error *err)
{
    lac_text list = {0};
    int count = 0;
    for (int n = 0; n < graph->n_nodes; n++) {
        const lac_node *node = &graph->nodes[n];
        const lac_op *op = lac_exec_op(node);
        if (op && (graph->opset >= op->since || node->domain[0]))
            continue;
        if (count++ < 8)
            lac_text_add(&list, "%s%s%s%s (node '%s'%s)", count > 1 ? ", " : "", node->domain,
                         node->domain[0] ? "." : "", node->op, node->name,
                         op ? ", this opset" : "");
    }
    lac_status status = LAC_OK;
    if (count > 8)
        lac_text_add(&list, " and %d more", count - 8);
    if (count)
        status = lac_fail(err, LAC_ERROR_UNSUPPORTED, "graph '%.60s': no operator %s", graph->name,
                          list.data ? list.data : "");
    lac_text_release(&list);
    return status;
}

lac_status lac_session_make(lac_session **session, const lac_graph *graph,
                            const lac_session_options *options, lac_error *err)
{
    uint32_t isa;
    LAC_TRY(check_operators(graph, err));
    LAC_TRY(lac_isa(&isa, err));
    lac_session *made = lac_alloc(1, sizeof *made, err);
    if (!made)
        return LAC_ERROR_MEMORY;
    if (options)
        made->options = *options;
    made->options.no_fusion |= made->options.watcher != NULL;
    made->isa = isa;
    lac_status status = lac_graph_copy(&made->graph, graph, err);
    if (status == LAC_OK)
        /* a runner gets, and writes, the real outputs */
        status = lac_passes(made->graph, !made->options.no_fusion, !made->options.runner, err);
    if (status == LAC_OK) {
        made->lazy = lac_alloc((size_t)made->graph->n_values + 1, sizeof *made->lazy, err);
        status = made->lazy ? lac_store_make(&made->store, err) : LAC_ERROR_MEMORY;
    }
    if (status != LAC_OK)
        lac_session_free(made);
    else
        *session = made;
    return status;
}

void lac_session_free(lac_session *session)
{
    if (!session)
        return;
    for (int i = 0; i < session->n_plans; i++)
        lac_plan_free(session->plan[i]);
    lac_store_free(session->store);
    for (int v = 0; session->lazy && v < session->graph->n_values; v++)
        lac_tensor_release(&session->lazy[v]);
    lac_free(session->lazy);
    lac_graph_free(session->graph);
    lac_free(session);
}

/* ---- inputs
 * --------------------------------------------------------------------------------------- */

static void expected_text(const lac_value *value, lac_text *text)
{
    lac_text_add(text, "%s", lac_dtype_name(value->dtype));
    if (value->rank < 0)
        return;
    lac_text_add(text, "[");
    for (int d = 0; d < value->rank; d++)
        if (value->dims[d].size >= 0)
            lac_text_add(text, "%s%" PRId64, d ? "," : "", value->dims[d].size);
        else
            lac_text_add(text, "%s%s", d ? "," : "",
                         value->dims[d].symbol ? value->dims[d].symbol : "?");
    lac_text_add(text, "]");
}

static lac_status refuse(const lac_value *value, const lac_tensor *in, const char *extra,
                         lac_error *err)
{
    char got[160];
    lac_text want = {0};
    expected_text(value, &want);
    lac_status status =
        lac_fail(err, LAC_ERROR_INPUT, "input '%s' is %s, expected %s%s", value->name,
                 lac_tensor_text(in, got, sizeof got), want.data ? want.data : "", extra);
    lac_text_release(&want);
    return status;
}

static lac_status check_inputs(const lac_graph *graph, const lac_tensor *in, lac_error *err)
{
    struct {
        const char *symbol;
        int64_t size;
    } seen[16];
    int n_seen = 0;
    for (int i = 0; i < graph->n_inputs; i++) {
        const lac_value *value = &graph->values[graph->inputs[i]];
        if (in[i].dtype != value->dtype || (value->rank >= 0 && in[i].rank != value->rank))
            return refuse(value, &in[i], "", err);
        if (!in[i].data)
            return lac_fail(err, LAC_ERROR_INPUT, "input '%s' has no data", value->name);
        for (int d = 0; d < value->rank; d++) {
            const char *symbol = value->dims[d].symbol;
            if (value->dims[d].size >= 0 && value->dims[d].size != in[i].dims[d])
                return refuse(value, &in[i], "", err);
            /* declared as 0 it may be 0; a free one is a batch or a length, and no kernel's */
            if (value->dims[d].size < 0 && in[i].dims[d] == 0)
                return refuse(value, &in[i], ": want every size of at least 1", err);
            int s = 0;
            while (symbol && s < n_seen && strcmp(seen[s].symbol, symbol) != 0)
                s++;
            if (!symbol || value->dims[d].size >= 0)
                continue;
            if (s < n_seen && seen[s].size != in[i].dims[d]) {
                char extra[120];
                snprintf(extra, sizeof extra, ": %.40s is %" PRId64 " in an earlier dimension",
                         symbol, seen[s].size);
                return refuse(value, &in[i], extra, err);
            }
            if (s == n_seen && n_seen < 16) {
                seen[n_seen].symbol = symbol;
                seen[n_seen++].size = in[i].dims[d];
            }
        }
    }
    return LAC_OK;
}

/* ---- plans
 * ------------------------------------------------------------------------------------------ */

static int key_length(const lac_graph *graph)
{
    return graph->n_inputs * (LAC_MAX_RANK + 1);
}

static void make_key(const lac_graph *graph, const lac_tensor *in, int64_t *key)
{
    memset(key, 0, (size_t)key_length(graph) * sizeof *key);
    for (int i = 0; i < graph->n_inputs; i++, key += LAC_MAX_RANK + 1) {
        key[0] = in[i].rank;
        for (int d = 0; d < in[i].rank; d++)
            key[1 + d] = in[i].dims[d];
    }
}

static bool same_key(const lac_session *session, const lac_plan *plan, const lac_tensor *in)
{
    const int64_t *key = plan->key;
    for (int i = 0; i < session->graph->n_inputs; i++, key += LAC_MAX_RANK + 1) {
        if (key[0] != in[i].rank)
            return false;
        for (int d = 0; d < in[i].rank; d++)
            if (key[1 + d] != in[i].dims[d])
                return false;
    }
    return plan->threads == lac_threads();
}

static lac_status find_plan(lac_session *session, const lac_tensor *in, lac_error *err)
{
    lac_plan *plan = NULL;
    if (session->last && same_key(session, session->last, in))
        plan = session->last;
    for (int i = 0; i < session->n_plans && !plan; i++)
        if (same_key(session, session->plan[i], in))
            plan = session->plan[i];
    if (!plan) {
        int oldest = 0;
        LAC_TRY(lac_plan_make(&plan, session, in, err));
        plan->threads = lac_threads();
        plan->key = lac_alloc((size_t)key_length(session->graph) + 1, sizeof(int64_t), err);
        if (!plan->key) {
            lac_plan_free(plan);
            return LAC_ERROR_MEMORY;
        }
        make_key(session->graph, in, plan->key);
        for (int i = 1; i < session->n_plans; i++)
            if (session->plan[i]->used < session->plan[oldest]->used)
                oldest = i;
        if (session->n_plans < LAC_PLANS)
            oldest = session->n_plans++;
        else
            lac_plan_free(session->plan[oldest]);
        session->plan[oldest] = plan;
    }
    plan->used = ++session->clock;
    session->last = plan;
    return LAC_OK;
}

lac_status lac_session_run(lac_session *session, const lac_tensor *in, lac_tensor *out,
                           lac_error *err)
{
    LAC_TRY(check_inputs(session->graph, in, err));
    LAC_TRY(find_plan(session, in, err));
    return lac_plan_run(session->last, session, in, out, err);
}

static const char *isa_name(uint32_t isa)
{
    if (isa & LAC_ISA_LIBRARY)
        return "library";
    if (isa & LAC_ISA_VNNI)
        return "avx512vnni";
    if (isa & LAC_ISA_AVX512)
        return "avx512";
    return isa & LAC_ISA_AVX2 ? "avx2" : "portable";
}

bool lac_session_step(const lac_session *session, int index, lac_step_info *info)
{
    memset(info, 0, sizeof *info);
    if (!session->last || index < 0 || index >= session->last->n_steps)
        return false;
    const lac_step *step = &session->last->steps[index];
    info->name = step->node->name;
    info->op = step->is_layer ? step->layer.kind->row.name : step->node->op;
    info->kernel = step->kernel ? step->kernel->row.name : "operator";
    info->isa = step->kernel ? isa_name(step->kernel->isa) : step->fast ? "vector" : "portable";
    info->why = step->why;
    info->format = "";
    info->seconds = step->seconds;
    if (step->is_layer) {
        const lac_operand *w = &step->layer.operand[LAC_ROLE_WEIGHTS];
        info->format = step->packed                  ? step->packed->format->row.name
                       : w->tensor.dtype != LAC_NONE ? "dense"
                                                     : "";
        info->macs = step->layer.kind->macs ? step->layer.kind->macs(&step->layer) : 0;
        info->stored_bytes = step->packed                  ? lac_packed_bytes(step->packed)
                             : step->stored_bytes          ? step->stored_bytes
                             : w->tensor.dtype != LAC_NONE ? (int64_t)lac_tensor_bytes(&w->tensor)
                                                           : 0;
    }
    return true;
}

size_t lac_session_peak_bytes(const lac_session *session)
{
    return session->last ? session->last->peak_bytes : 0;
}

static size_t constant_bytes(const lac_graph *graph, bool mapped)
{
    size_t bytes = 0;
    for (int v = 0; v < graph->n_values; v++) {
        const lac_tensor *constant = &graph->values[v].constant;
        if (constant->data && lac_buffer_is_mapped(constant->buffer) == mapped)
            bytes += lac_tensor_bytes(constant);
    }
    return bytes;
}

/* The system's record of this program; that of getrusage begins with what the program had that
 * started this one. */
static size_t most_resident(void)
{
    char line[128];
    unsigned long long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "VmHWM: %llu", &kilobytes) == 1)
            break;
    if (file)
        fclose(file);
    struct rusage usage;
    if (kilobytes == 0 && getrusage(RUSAGE_SELF, &usage) == 0)
        kilobytes = (unsigned long long)usage.ru_maxrss; /* kilobytes on Linux */
    return (size_t)kilobytes * 1024;
}

void lac_session_memory(const lac_session *session, lac_memory_info *info)
{
    memset(info, 0, sizeof *info);
    info->mapped = constant_bytes(session->graph, true);
    info->held = constant_bytes(session->graph, false);
    for (int s = 0; session->last && s < session->last->n_steps; s++) {
        const lac_step *step = &session->last->steps[s];
        if (step->state && step->kernel->state_bytes)
            info->repacked += step->kernel->state_bytes(step->state);
    }
    info->activations = lac_session_peak_bytes(session);
    info->resident = most_resident();
}
