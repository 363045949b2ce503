/* The files that lie beside an ONNX file: a model's size is theirs too. */
#include "core/memory.h"
#include "core/text.h"
#include "io/onnx.h"
#include "io/onnx_private.h"

#include <string.h>
#include <sys/stat.h>

static const char *location_of(const Onnx__TensorProto *tensor)
{
    for (size_t i = 0; i < tensor->n_external_data; i++) {
        const Onnx__StringStringEntryProto *entry = tensor->external_data[i];
        if (entry->key && entry->value && strcmp(entry->key, "location") == 0)
            return entry->value;
    }
    return NULL;
}

/* Called for every file beside the model, once. */
typedef void visitor(void *context, const struct stat *file);

/* `location` in the folder of the model at `path`. */
static lac_status visit_file(const char *path, const char *location, visitor *visit, void *context,
                             lac_error *err)
{
    const char *slash = strrchr(path, '/');
    struct stat file;
    lac_text name = {0};
    lac_text_add(&name, "%.*s%s", slash ? (int)(slash + 1 - path) : 0, path, location);
    lac_status status = LAC_OK;
    if (name.failed)
        status = lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
    else if (stat(name.data, &file) != 0)
        status = lac_fail(err, LAC_ERROR_IO, "%s: no such file", name.data);
    else
        visit(context, &file);
    lac_text_release(&name);
    return status;
}

static lac_status visit_graph(const char *path, const Onnx__GraphProto *graph, visitor *visit,
                              void *context, lac_error *err)
{
    for (size_t i = 0; graph && i < graph->n_initializer; i++) {
        const char *location = location_of(graph->initializer[i]);
        bool seen = !location;
        for (size_t k = 0; k < i && !seen; k++) {
            const char *other = location_of(graph->initializer[k]);
            seen = other && strcmp(other, location) == 0;
        }
        if (!seen)
            LAC_TRY(visit_file(path, location, visit, context, err));
    }
    return LAC_OK;
}

static lac_status visit_files(const char *path, visitor *visit, void *context, lac_error *err)
{
    lac_buffer *buffer;
    const void *data;
    size_t size;
    LAC_TRY(lac_map_file(&buffer, &data, &size, path, err));
    lac_status status = lac_onnx_check_depth(&onnx__model_proto__descriptor, data, size, err);
    if (status == LAC_OK) {
        Onnx__ModelProto *model = onnx__model_proto__unpack(NULL, size, data);
        status = model ? visit_graph(path, model->graph, visit, context, err)
                       : lac_fail(err, LAC_ERROR_INPUT, "%s: not an ONNX model", path);
        if (model)
            onnx__model_proto__free_unpacked(model, NULL);
    }
    lac_buffer_drop(buffer);
    return status;
}

static void add_size(void *context, const struct stat *file)
{
    *(int64_t *)context += (int64_t)file->st_size;
}

lac_status lac_onnx_external_bytes(int64_t *bytes, const char *path, lac_error *err)
{
    *bytes = 0;
    return visit_files(path, add_size, bytes, err);
}

typedef struct search {
    struct stat file;
    bool found;
} search;

static void compare(void *context, const struct stat *file)
{
    search *s = context;
    s->found |= file->st_dev == s->file.st_dev && file->st_ino == s->file.st_ino;
}

lac_status lac_onnx_is_part(bool *is_part, const char *path, const char *file, lac_error *err)
{
    search s = {.found = false};
    struct stat model;
    *is_part = false;
    if (stat(file, &s.file) != 0 || stat(path, &model) != 0)
        return LAC_OK;
    compare(&s, &model);
    lac_status status = s.found ? LAC_OK : visit_files(path, compare, &s, err);
    *is_part = s.found;
    return status;
}
