/* See auto_make.h. Times are taken where the layers run, in whole networks with one choice for each
 * weight at once: the epilogues, the layouts handed on and the caches are then those that count,
 * and as many weights are measured at a time as there are. */
#include "study/auto_make.h"

#include "core/memory.h"
#include "scheme/weights.h"
#include "study/bench.h"

#include <lacuna/kernel.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Growing sparsities of each pattern that some kernel multiplies: N:M of single weights, blocks for
 * integers and for floats, N:M shared by the outputs of a group, single weights. */
static const char *const prunings[] = {
    "n=2,m=4",
    "n=1,m=4",
    "n=1,m=8",
    "block_cols=4,density=0.5",
    "block_cols=4,density=0.25",
    "block_cols=4,density=0.125",
    "block_cols=4,density=0.06",
    "block_rows=4,block_cols=4,density=0.5",
    "block_rows=4,block_cols=4,density=0.25",
    "block_rows=4,block_cols=4,density=0.125",
    "block_rows=4,block_cols=4,density=0.06",
    "n=2,m=4,block_rows=4,block_cols=4",
    "block_rows=8,density=0.5",
    "block_rows=8,density=0.25",
    "block_rows=8,density=0.125",
    "block_rows=8,density=0.06",
    "n=2,m=4,block_rows=8",
    "density=0.35",
    "density=0.2",
    "density=0.1",
    "density=0.05",
};

const char *lac_pruning(int index)
{
    int n = (int)(sizeof prunings / sizeof *prunings);
    return index < n ? prunings[index] : NULL;
}

int lac_forms(lac_form *forms)
{
    int n = 0;
    for (int i = 0; i < lac_table_count(&lac_formats); i++) {
        const lac_format *format = (const lac_format *)lac_table_at(&lac_formats, i);
        if (strcmp(format->row.name, "dense") == 0) /* what every form competes with */
            continue;
        for (int k = 0; n < LAC_MAX_FORMS && (k == 0 || (format->forms && format->forms[k])); k++)
            forms[n++] = (lac_form){format, format->forms ? format->forms[k] : ""};
    }
    return n;
}

const char *lac_form_text(const lac_weight *weight, char *text, size_t size)
{
    char params[72] = "";
    if (weight->format && weight->format->params)
        lac_params_print(&weight->params, params, sizeof params);
    snprintf(text, size, "%s%s%s %s", weight->format ? weight->format->row.name : "dense",
             params[0] ? ":" : "", params, weight->scale ? "int8" : "float32");
    return text;
}

/* ---- one weight */

/* The elements as they would be stored. */
static lac_status stored(const lac_weight *weight, lac_tensor *tensor, lac_error *err)
{
    if (weight->scale)
        return lac_weight_integers(weight, tensor, err);
    lac_tensor_share(tensor, (lac_tensor *)&weight->tensor);
    return LAC_OK;
}

static lac_status form_params(const lac_form *form, const lac_weight *weight,
                              const lac_tensor *tensor, lac_params *params, lac_error *err)
{
    lac_params_init(params, form->format->params);
    if (form->params[0])
        return lac_params_parse(params, form->params, err);
    return lac_format_fit(form->format, params, weight->view, tensor, err);
}

lac_status lac_maker_form_text(const lac_form *form, const lac_weight *weight, char *text,
                               size_t size, lac_error *err)
{
    lac_tensor tensor;
    lac_weight as = *weight; /* only looked at */
    as.format = form->format;
    LAC_TRY(stored(weight, &tensor, err));
    lac_status status = form_params(form, weight, &tensor, &as.params, err);
    lac_tensor_release(&tensor);
    if (status == LAC_OK)
        lac_form_text(&as, text, size);
    return status;
}

/* Portable rows are for CPUs that have nothing else. */
static bool has_kernel(const lac_maker *maker, const lac_format *format, lac_dtype dtype)
{
    for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        if (kernel->dtype == dtype && strcmp(kernel->format, format->row.name) == 0 &&
            (kernel->isa & ~maker->isa) == 0 && (kernel->isa != 0 || maker->isa == 0))
            return true;
    }
    return false;
}

lac_status lac_maker_fits(const lac_maker *maker, const lac_weight *weight, const lac_form *form,
                          bool *fits, int64_t *bytes, lac_error *err)
{
    lac_tensor tensor;
    lac_params params;
    lac_error refusal;
    lac_dtype arrives = !weight->scale || weight->input_scale <= 0 ? LAC_F32
                        : weight->input_unsigned                   ? LAC_U8
                                                                   : LAC_I8;
    lac_dtype stored_as = weight->scale ? LAC_I8 : LAC_F32;
    *fits = false;
    if (!(form->format->dtypes & LAC_BIT(stored_as)) || !has_kernel(maker, form->format, arrives))
        return LAC_OK;
    LAC_TRY(stored(weight, &tensor, err));
    int64_t dense = (int64_t)lac_tensor_bytes(&tensor);
    lac_status status = form_params(form, weight, &tensor, &params, &refusal);
    if (status == LAC_OK)
        status = lac_format_bytes(form->format, &params, weight->view, &tensor, bytes, &refusal);
    lac_tensor_release(&tensor);
    if (status == LAC_ERROR_MEMORY)
        return lac_fail(err, status, "%s", refusal.message);
    *fits = status == LAC_OK && *bytes < dense;
    return LAC_OK;
}

/* ---- the network */

typedef struct deciding {
    const lac_maker *maker;
    const lac_choice *choice;
} deciding;

static lac_status prune(const lac_maker *maker, lac_weight *weight, int pruning, lac_error *err)
{
    const lac_scheme *magnitude = (const lac_scheme *)lac_table_find(&lac_schemes, "magnitude");
    const struct lac_layer_range *arriving =
        maker->ranges ? lac_ranges_layer(maker->ranges, weight->name, LAC_ROLE_ACTIVATIONS) : NULL;
    lac_params params;
    lac_params_init(&params, magnitude->params);
    LAC_TRY(lac_params_parse(&params, prunings[pruning], err));
    LAC_TRY(lac_weight_prune(weight, &params, err));
    weight->prefer = weight->changed;
    return arriving && weight->changed
               ? lac_weight_shift(weight, weight->before.data, arriving, err)
               : LAC_OK;
}

static lac_status decide(void *context, lac_compression *compression, bool done, lac_error *err)
{
    const deciding *d = context;
    for (int i = 0; i < compression->n_weights; i++) {
        lac_weight *weight = &compression->weights[i];
        const lac_choice *choice = &d->choice[i];
        bool undo = done && choice->is_float && weight->scale;
        if (undo)
            LAC_TRY(lac_weight_restore(weight, err));
        if (choice->pruning >= 0) {
            if (!done || undo)
                LAC_TRY(prune(d->maker, weight, choice->pruning, err));
        } else if (done && choice->form >= 0) {
            const lac_form *form = &d->maker->form[choice->form];
            lac_tensor tensor;
            LAC_TRY(stored(weight, &tensor, err));
            lac_status status = form_params(form, weight, &tensor, &weight->params, err);
            lac_tensor_release(&tensor);
            LAC_TRY(status);
            weight->format = form->format;
            weight->changed = weight->prefer = true;
        }
    }
    return LAC_OK;
}

lac_status lac_maker_make(lac_maker *maker, const char *scheme, const lac_choice *choice,
                          lac_compression *made, lac_error *err)
{
    deciding d = {maker, choice};
    memset(made, 0, sizeof *made);
    made->calibration = maker->calibration;
    made->ranges = maker->ranges;
    if (choice) {
        made->decide = decide;
        made->decide_context = &d;
    }
    lac_status status = lac_compress(made, maker->graph, scheme, err);
    made->decide = NULL;
    made->decide_context = NULL;
    if (status != LAC_OK)
        lac_compression_release(made);
    return status;
}

/* ---- times */

/* The step computes with this weight: it has its name, or is a part of it (.q, .k, .v). */
static bool is_of(const char *step, const char *weight)
{
    size_t length = strlen(weight);
    return strncmp(step, weight, length) == 0 &&
           (step[length] == 0 ||
            (step[length] == '.' && strchr("qkv", step[length + 1]) && step[length + 2] == 0));
}

lac_status lac_measure(lac_measured *measured, const lac_graph *graph, const lac_graph *reference,
                       const lac_compression *named, const lac_tensor *in, double seconds,
                       lac_error *err)
{
    lac_bench bench;
    memset(measured, 0, sizeof *measured);
    measured->weight = lac_alloc((size_t)named->n_weights + 1, sizeof *measured->weight, err);
    if (!measured->weight)
        return LAC_ERROR_MEMORY;
    measured->n = named->n_weights;
    lac_status status = lac_bench_for(&bench, graph, reference, in, seconds, err);
    if (status != LAC_OK) {
        lac_measured_release(measured);
        return status;
    }
    measured->whole = bench.ms;
    measured->whole_reference = bench.ms_dense;
    for (int w = 0; w < measured->n; w++) {
        struct lac_measured_weight *m = &measured->weight[w];
        m->ms = m->reference = NAN;
        for (int i = 0; i < bench.n; i++) {
            const lac_bench_layer *layer = &bench.layer[i];
            if (!is_of(layer->name, named->weights[w].name) || layer->macs == 0)
                continue;
            m->ms = isnan(m->ms) ? layer->ms : m->ms + layer->ms;
            m->reference = isnan(m->reference) ? layer->ms_dense : m->reference + layer->ms_dense;
            m->packed |= layer->format[0] && strcmp(layer->format, "dense") != 0;
        }
    }
    lac_bench_release(&bench);
    return LAC_OK;
}

void lac_measured_release(lac_measured *measured)
{
    lac_free(measured->weight);
    memset(measured, 0, sizeof *measured);
}
