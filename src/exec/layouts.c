/* Which activations stay in panels between steps: those that their maker can write so and every
 * reader can read. All that might be are taken to be, then what a step cannot do so is taken back,
 * until every step can do with what is left. The residual of a product stands as its output does,
 * so that a chain of products, residuals and normalisations has one layout throughout. */
#include "exec/exec.h"

#include "core/memory.h"

#include <string.h>

/* Fewer tokens do not pay for 64 columns. */
enum { LEAST_TOKENS = 16 };

static bool is_product(const lac_step *step)
{
    return step->kernel && step->node->n_in == LAC_IN_COUNT && step->node->n_out == 1 &&
           strcmp(step->node->domain, LAC_EXEC_DOMAIN) == 0;
}

static uint32_t readable(const lac_step *step)
{
    return step->fast ? step->fast->reads : is_product(step) ? step->kernel->reads : 0;
}

static uint32_t writable(const lac_step *step)
{
    return step->fast ? step->fast->writes : is_product(step) ? step->kernel->writes : 0;
}

static bool take_back(lac_plan *plan, int value)
{
    if (value < 0 || plan->layout[value] == LAC_LAYOUT_ROWS)
        return false;
    plan->layout[value] = LAC_LAYOUT_ROWS;
    return true;
}

/* Whether a layout had to be taken back for this step. */
static bool settle(lac_plan *plan, lac_step *step)
{
    const lac_node *node = step->node;
    bool product = is_product(step), changed = false;
    for (int i = 0; i < node->n_in; i++) {
        int value = node->in[i];
        if (value < 0 || plan->layout[value] == LAC_LAYOUT_ROWS)
            continue;
        bool reads = i == 0 && (readable(step) & LAC_BIT(plan->layout[value]));
        bool beside =
            product && i == LAC_IN_RESIDUAL && plan->layout[value] == plan->layout[node->out[0]];
        if (!reads && !beside)
            changed |= take_back(plan, value);
    }
    for (int i = 0; i < node->n_out; i++) {
        int value = node->out[i];
        if (value >= 0 && (i > 0 || !(writable(step) & LAC_BIT(plan->layout[value]))))
            changed |= take_back(plan, value);
    }
    if (!product)
        return changed;
    int residual = node->in[LAC_IN_RESIDUAL];
    if (residual >= 0 && plan->layout[residual] != plan->layout[node->out[0]])
        changed |= take_back(plan, node->out[0]);
    step->layer.input_layout = plan->layout[node->in[LAC_IN_X]];
    step->layer.output_layout = plan->layout[node->out[0]];
    if (!step->kernel->can_run(&step->layer, NULL, 0)) {
        changed |= take_back(plan, node->in[LAC_IN_X]);
        changed |= take_back(plan, node->out[0]);
        step->layer.input_layout = step->layer.output_layout = LAC_LAYOUT_ROWS;
    }
    return changed;
}

/* Outputs that might be in `bytes`, if they are bytes, or in panels of floats. */
static void propose(lac_plan *plan, lac_layout bytes)
{
    for (int s = 0; s < plan->n_steps; s++) {
        const lac_step *step = &plan->steps[s];
        int value = step->node->n_out == 1 ? step->node->out[0] : -1;
        const lac_tensor *tensor = value < 0 ? NULL : &plan->shapes.value[value];
        if (!tensor || tensor->rank < 1 || plan->layout[value] != LAC_LAYOUT_ROWS)
            continue;
        int64_t features = tensor->dims[tensor->rank - 1];
        lac_layout layout = tensor->dtype == LAC_F32 ? LAC_LAYOUT_PANELS : bytes;
        bool fits = tensor->dtype == LAC_F32 || tensor->dtype == LAC_U8 || tensor->dtype == LAC_I8;
        if (fits && features > 0 && lac_tensor_count(tensor) / features >= LEAST_TOKENS &&
            (writable(step) & LAC_BIT(layout)))
            plan->layout[value] = layout;
    }
}

lac_status lac_plan_layouts(lac_plan *plan, const lac_session *session, lac_error *err)
{
    static const lac_layout bytes[] = {LAC_LAYOUT_QUADS, LAC_LAYOUT_PANELS};
    const lac_graph *graph = session->graph;
    plan->layout = lac_alloc((size_t)graph->n_values + 1, sizeof *plan->layout, err);
    if (!plan->layout)
        return LAC_ERROR_MEMORY;
    for (int l = 0; l < 2 && !session->options.runner; l++) {
        propose(plan, bytes[l]);
        for (int i = 0; i < graph->n_outputs; i++)
            take_back(plan, graph->outputs[i]);
        for (bool again = true; again;) {
            again = false;
            for (int s = plan->n_steps - 1; s >= 0; s--)
                again |= settle(plan, &plan->steps[s]);
        }
    }
    return LAC_OK;
}

/* Features are the last dim: layers in panels are products, or convolutions channels last. */
size_t lac_plan_value_bytes(const lac_plan *plan, int value)
{
    const lac_tensor *tensor = &plan->shapes.value[value];
    lac_layout layout = plan->layout ? plan->layout[value] : LAC_LAYOUT_ROWS;
    if (layout == LAC_LAYOUT_ROWS || tensor->rank < 1)
        return lac_tensor_bytes(tensor);
    int64_t features = tensor->dims[tensor->rank - 1];
    int64_t m = lac_tensor_count(tensor) / (features > 0 ? features : 1);
    int64_t panels = (m + LAC_PANEL_COLUMNS - 1) / LAC_PANEL_COLUMNS;
    if (layout == LAC_LAYOUT_QUADS)
        features = (features + 3) / 4 * 4;
    return (size_t)(panels * LAC_PANEL_COLUMNS * features * lac_dtype_bits(tensor->dtype)) / 8;
}
