/* See sample.h. */
#include "study/sample.h"

#include "core/memory.h"
#include "core/random.h"
#include "core/text.h"

#include <lacuna/lacuna.h>
#include <stdio.h>
#include <string.h>

lac_status lac_sample_dataset(const lac_model *model, lac_dataset **dataset, lac_error *err)
{
    size_t i;
    json_t *task;
    lac_status status = LAC_OK;
    *dataset = NULL;
    json_array_foreach(model->tasks, i, task)
    {
        status = lac_dataset_open(dataset, task, model->graph, err);
        if (status != LAC_ERROR_UNSUPPORTED)
            return status;
        *dataset = NULL;
    }
    return LAC_OK;
}

/* The size that `sizes` gives to a symbol, or 1. */
static int64_t symbol_size(const char *sizes, const char *symbol)
{
    size_t length = symbol ? strlen(symbol) : 0;
    for (const char *at = sizes; at && *at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (length && strncmp(at, symbol, length) == 0 && at[length] == '=') {
            char text[32];
            int64_t value;
            snprintf(text, sizeof text, "%.*s", (int)strcspn(at + length + 1, ","),
                     at + length + 1);
            if (lac_parse_i64(text, &value) && value > 0)
                return value;
        }
    return 1;
}

static bool has_symbol(const lac_graph *graph, const char *text, size_t length)
{
    for (int i = 0; i < graph->n_inputs; i++) {
        const lac_value *value = &graph->values[graph->inputs[i]];
        for (int d = 0; d < value->rank; d++)
            if (value->dims[d].symbol && strlen(value->dims[d].symbol) == length &&
                strncmp(value->dims[d].symbol, text, length) == 0)
                return true;
    }
    return false;
}

/* Every item of "N=1,T=32" names a symbol of an input and a size above 0. */
static lac_status check_sizes(const lac_graph *graph, const char *sizes, lac_error *err)
{
    while (sizes && *sizes) {
        size_t item = strcspn(sizes, ","), name = strcspn(sizes, "=,");
        char number[32];
        int64_t value;
        snprintf(number, sizeof number, "%.*s", name < item ? (int)(item - name - 1) : 0,
                 sizes + name + (name < item));
        if (!has_symbol(graph, sizes, name))
            return lac_fail(err, LAC_ERROR_INPUT, "--sizes %.*s: no input has a size '%.*s'",
                            (int)item, sizes, (int)name, sizes);
        if (!lac_parse_i64(number, &value) || value < 1)
            return lac_fail(err, LAC_ERROR_INPUT, "--sizes %.*s: want a size of at least 1",
                            (int)item, sizes);
        sizes += item + (sizes[item] == ',');
    }
    return LAC_OK;
}

static lac_status noise(const lac_value *value, const char *sizes, int index, lac_tensor *in,
                        lac_error *err)
{
    int64_t dims[LAC_MAX_RANK];
    if (value->rank < 0)
        return lac_fail(err, LAC_ERROR_INPUT, "input '%s' has no known rank", value->name);
    for (int d = 0; d < value->rank; d++)
        dims[d] = value->dims[d].size >= 0 ? value->dims[d].size
                                           : symbol_size(sizes, value->dims[d].symbol);
    LAC_TRY(lac_tensor_make(in, value->dtype, value->rank, dims, err));
    lac_random random = lac_random_stream(1, (uint64_t)index);
    bool real = lac_dtype_is_float(value->dtype);
    for (int64_t i = 0; i < lac_tensor_count(in); i++)
        lac_tensor_set(in, i, real ? 2 * lac_random_unit(&random) - 1 : 1);
    return LAC_OK;
}

lac_status lac_sample_inputs(const lac_model *model, lac_dataset *dataset, int64_t index,
                             const char *sizes, lac_tensor **in, char *source, size_t source_size,
                             lac_error *err)
{
    const lac_graph *graph = model->graph;
    LAC_TRY(check_sizes(graph, sizes, err));
    lac_tensor *made = lac_alloc((size_t)graph->n_inputs, sizeof *made, err);
    lac_status status = made ? LAC_OK : LAC_ERROR_MEMORY;
    if (status == LAC_OK && dataset && !sizes) {
        status = lac_dataset_sample(dataset, index, 0, made, err);
        snprintf(source, source_size, "item %lld of %s", (long long)index,
                 lac_dataset_name(dataset));
    } else {
        snprintf(source, source_size, "noise, batch 1%s%s", sizes ? ", " : "", sizes ? sizes : "");
        for (int i = 0; status == LAC_OK && i < graph->n_inputs; i++)
            status = noise(&graph->values[graph->inputs[i]], sizes, i, &made[i], err);
    }
    if (status != LAC_OK) {
        for (int i = 0; made && i < graph->n_inputs; i++)
            lac_tensor_release(&made[i]);
        lac_free(made);
        return status;
    }
    *in = made;
    return LAC_OK;
}

static lac_status calibration_sample(void *context, int64_t index, lac_tensor *in, lac_error *err)
{
    return lac_dataset_calibration_sample(context, index, in, err);
}

lac_status lac_sample_calibration(const lac_model *model, lac_dataset **dataset,
                                  lac_calibration *calibration, int64_t *left_out, lac_error *err)
{
    memset(calibration, 0, sizeof *calibration);
    *left_out = 0;
    LAC_TRY(lac_sample_dataset(model, dataset, err));
    if (!*dataset)
        return LAC_OK;
    calibration->samples = lac_dataset_calibration_count(*dataset, left_out);
    calibration->sample = calibration_sample;
    calibration->context = *dataset;
    calibration->source = lac_dataset_calibration_name(*dataset);
    return LAC_OK;
}
