#include "helpers/models.h"

#include "io/preprocess.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *shared_folder(void)
{
    static char folder[512];
    struct stat info;
    const char *given = getenv("LACUNA_SHARED");
    snprintf(folder, sizeof folder, "%s", given ? given : LACUNA_SOURCE_DIR "/../shared");
    if (stat(folder, &info) == 0)
        return folder;
    printf("SKIP SKIP SKIP: %s is not there (set LACUNA_SHARED): networks are NOT tested\n",
           folder);
    return NULL;
}

lac_tensor sample_of(const lac_tensor *all, int axis, int64_t index)
{
    lac_tensor one;
    int64_t dims[LAC_MAX_RANK], outer = 1;
    memcpy(dims, all->dims, sizeof dims);
    for (int i = 0; i < axis; i++)
        outer *= dims[i];
    size_t whole = lac_tensor_bytes(all) / (size_t)outer, piece = whole / (size_t)dims[axis];
    dims[axis] = 1;
    if (lac_tensor_make(&one, all->dtype, all->rank, dims, NULL) == LAC_OK)
        for (int64_t i = 0; i < outer; i++)
            memcpy((char *)one.data + (size_t)i * piece,
                   (const char *)all->data + (size_t)i * whole + (size_t)index * piece, piece);
    return one;
}

double difference(const lac_tensor *a, const lac_tensor *b)
{
    double largest = 0, worst = 0;
    if (a->rank != b->rank || memcmp(a->dims, b->dims, (size_t)b->rank * sizeof *b->dims) != 0)
        return INFINITY;
    for (int64_t i = 0; i < lac_tensor_count(b); i++) {
        double x = lac_tensor_get(a, i), y = lac_tensor_get(b, i);
        largest = fmax(largest, fabs(y));
        if (!(fabs(x - y) <= worst))
            worst = isnan(x - y) ? INFINITY : fabs(x - y);
    }
    return worst == 0 ? 0 : worst / largest;
}

static lac_status load_input(const json_t *entry, const char *folder, lac_tensor *in,
                             lac_error *err)
{
    char path[1024];
    lac_tensor raw, one;
    snprintf(path, sizeof path, "%s/%s", folder, json_string_value(json_object_get(entry, "file")));
    LAC_TRY(lac_npy_load(&raw, path, err));
    const json_t *how = json_object_get(entry, "preprocess");
    if (!how) {
        *in = raw;
        return LAC_OK;
    }
    lac_preprocess preprocess;
    lac_status status = lac_preprocess_read(&preprocess, how, err);
    for (int64_t i = 0; status == LAC_OK && i < raw.dims[0]; i++) {
        size_t bytes = lac_tensor_bytes(&raw) / (size_t)raw.dims[0];
        lac_tensor sample = lac_tensor_view(raw.dtype, raw.rank - 1, raw.dims + 1,
                                            (char *)raw.data + (size_t)i * bytes);
        status = preprocess.kind == LAC_PREPROCESS_U8_AFFINE
                     ? lac_preprocess_image(&preprocess, &sample, &one, err)
                     : lac_preprocess_array(&preprocess, &sample, &one, err);
        if (status == LAC_OK && i == 0) {
            int64_t dims[LAC_MAX_RANK];
            memcpy(dims, one.dims, sizeof dims);
            dims[0] = raw.dims[0];
            status = lac_tensor_make(in, one.dtype, one.rank, dims, err);
        }
        if (status == LAC_OK)
            memcpy((char *)in->data + (size_t)i * lac_tensor_bytes(&one), one.data,
                   lac_tensor_bytes(&one));
        lac_tensor_release(&one);
    }
    lac_tensor_release(&raw);
    return status;
}

static int symbol_axis(const lac_value *value)
{
    for (int d = 0; d < value->rank; d++)
        if (value->dims[d].symbol && strcmp(value->dims[d].symbol, "N") == 0)
            return d;
    return -1;
}

static lac_status fill(stored_model *m, const json_t *meta, const char *key, const char *folder,
                       lac_error *err)
{
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(meta, "inputs"), i, entry)
    {
        for (int k = 0; k < m->graph->n_inputs; k++) {
            const lac_value *value = &m->graph->values[m->graph->inputs[k]];
            if (strcmp(value->name, json_string_value(json_object_get(entry, "name"))) != 0)
                continue;
            LAC_TRY(load_input(entry, folder, &m->in[k], err));
            m->batch_in[k] = symbol_axis(value);
            if (m->batch_in[k] >= 0)
                m->samples = m->in[k].dims[m->batch_in[k]];
        }
    }
    json_array_foreach(json_object_get(meta, "outputs"), i, entry)
    {
        const char *model = json_string_value(json_object_get(entry, "model"));
        if (model && strcmp(model, key) != 0)
            continue;
        for (int k = 0; k < m->graph->n_outputs; k++) {
            const lac_value *value = &m->graph->values[m->graph->outputs[k]];
            char path[1024];
            if (strcmp(value->name, json_string_value(json_object_get(entry, "name"))) != 0)
                continue;
            snprintf(path, sizeof path, "%s/%s", folder,
                     json_string_value(json_object_get(entry, "file")));
            LAC_TRY(lac_npy_load(&m->want[k], path, err));
            m->batch_out[k] = symbol_axis(value);
        }
    }
    return LAC_OK;
}

static bool visit(const json_t *meta, const char *key, const char *file, const char *name,
                  const char *folder, bool (*body)(void *, stored_model *), void *context,
                  int *count)
{
    stored_model m = {
        .key = key, .meta = meta, .steps = json_array_size(json_object_get(meta, "steps")) > 0};
    lac_error err;
    bool go_on = false;
    snprintf(m.name, sizeof m.name, "%.60s/%.30s", name, key);
    snprintf(m.path, sizeof m.path, "%.400s/%.100s", folder, file);
    if (lac_onnx_load(&m.graph, m.path, &err) != LAC_OK) {
        printf("%s: %s\n", m.name, err.message);
        *count = -1000;
        return false;
    }
    m.in = calloc((size_t)m.graph->n_inputs, sizeof *m.in);
    m.want = calloc((size_t)m.graph->n_outputs, sizeof *m.want);
    if (fill(&m, meta, key, folder, &err) == LAC_OK) {
        go_on = body(context, &m);
        ++*count;
    } else {
        printf("%s: %s\n", m.name, err.message);
        *count = -1000;
    }
    for (int i = 0; i < m.graph->n_inputs; i++)
        lac_tensor_release(&m.in[i]);
    for (int i = 0; i < m.graph->n_outputs; i++)
        lac_tensor_release(&m.want[i]);
    free(m.in);
    free(m.want);
    lac_graph_free(m.graph);
    return go_on;
}

int each_stored_model(bool (*body)(void *context, stored_model *model), void *context)
{
    char folder[700];
    struct dirent **names;
    int count = 0;
    const char *only = getenv("LACUNA_TEST_MODEL");
    snprintf(folder, sizeof folder, "%s/data/models", shared_folder());
    int n = scandir(folder, &names, NULL, alphasort);
    bool go_on = true;
    for (int i = 0; i < n; i++) {
        char path[1024];
        json_error_t error;
        snprintf(path, sizeof path, "%s/%s/meta.json", folder, names[i]->d_name);
        json_t *meta = names[i]->d_name[0] != '.' && go_on ? json_load_file(path, 0, &error) : NULL;
        const char *key;
        json_t *file;
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (meta && (!only || strstr(names[i]->d_name, only)))
            json_object_foreach(json_object_get(meta, "files"), key, file)
            {
                go_on = go_on && visit(meta, key, json_string_value(file), names[i]->d_name, path,
                                       body, context, &count);
            }
        json_decref(meta);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
    return count;
}
