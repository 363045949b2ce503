/* Which activations stay in panels: a tensor that one kernel makes and only kernels read keeps the
 * layout that they multiply, when the maker can write it and every reader can read it. Then it is
 * brought into panels once, by the maker, out of its registers. */
#include "exec/exec.h"

#include "core/memory.h"

/* The steps that read `value` are all layers with it as their activations, and take `layout`. */
static bool readers_take(lac_plan *plan, int value, lac_layout layout)
{
    int readers = 0;
    for (int s = 0; s < plan->n_steps; s++) {
        lac_step *step = &plan->steps[s];
        for (int i = 0; i < step->node->n_in; i++) {
            if (step->node->in[i] != value)
                continue;
            if (i != LAC_IN_X || !step->kernel || !(step->kernel->reads & LAC_BIT(layout)))
                return false;
            lac_layout before = step->layer.input_layout;
            step->layer.input_layout = layout;
            bool takes = step->kernel->can_run(&step->layer, NULL, 0);
            step->layer.input_layout = before;
            if (!takes)
                return false;
            readers++;
        }
    }
    return readers > 0;
}

static bool maker_writes(lac_step *step, lac_layout layout)
{
    if (!step->kernel || step->node->n_out != 1 || !(step->kernel->writes & LAC_BIT(layout)) ||
        step->layer.operand[LAC_ROLE_RESIDUAL].tensor.dtype != LAC_NONE)
        return false;
    step->layer.output_layout = layout;
    bool writes = step->kernel->can_run(&step->layer, NULL, 0);
    step->layer.output_layout = LAC_LAYOUT_ROWS;
    return writes;
}

lac_status lac_plan_layouts(lac_plan *plan, const lac_session *session, lac_error *err)
{
    static const lac_layout panels[] = {LAC_LAYOUT_QUADS, LAC_LAYOUT_PANELS};
    const lac_graph *graph = session->graph;
    plan->layout = lac_alloc((size_t)graph->n_values + 1, sizeof *plan->layout, err);
    if (!plan->layout)
        return LAC_ERROR_MEMORY;
    for (int s = 0; s < plan->n_steps && !session->options.runner; s++) {
        lac_step *step = &plan->steps[s];
        int value = step->node->n_out == 1 ? step->node->out[0] : -1;
        bool is_output = value < 0;
        for (int i = 0; i < graph->n_outputs; i++)
            is_output |= graph->outputs[i] == value;
        for (int l = 0; l < 2 && !is_output; l++)
            if (maker_writes(step, panels[l]) && readers_take(plan, value, panels[l])) {
                plan->layout[value] = panels[l];
                step->layer.output_layout = panels[l];
                for (int r = 0; r < plan->n_steps; r++)
                    if (plan->steps[r].node->n_in > LAC_IN_X &&
                        plan->steps[r].node->in[LAC_IN_X] == value)
                        plan->steps[r].layer.input_layout = panels[l];
                break;
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
