/* See model.h. */
#include "study/model.h"

#include "core/memory.h"
#include "io/builtin.h"
#include "io/onnx.h"

#include <lacuna/lacuna.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

const char *lac_builtin_name(int index)
{
    const void *data;
    size_t bytes;
    return lac_builtin(index, &data, &bytes);
}

static lac_status open_builtin(lac_model *model, const char *name, bool *is, lac_error *err)
{
    const void *data;
    size_t bytes;
    const char *each;
    for (int i = 0; (each = lac_builtin(i, &data, &bytes)); i++)
        if (strcmp(each, name) == 0) {
            *is = true;
            model->file_bytes = (int64_t)bytes;
            return lac_onnx_parse(&model->graph, data, bytes, NULL, err);
        }
    return LAC_OK;
}

lac_status lac_model_open(lac_model *model, const char *path, const char *meta, lac_error *err)
{
    struct stat status;
    bool builtin = false;
    memset(model, 0, sizeof *model);
    const char *slash = strrchr(path, '/');
    snprintf(model->name, sizeof model->name, "%s", slash ? slash + 1 : path);
    bool file = stat(path, &status) == 0;
    lac_status result = LAC_OK;
    if (!file)
        result = open_builtin(model, path, &builtin, err);
    if (result == LAC_OK && !builtin && !file)
        return lac_fail(err, LAC_ERROR_IO,
                        "%s: No such file or directory; built in: glyph_vit, glyph_mlp", path);
    if (result == LAC_OK && !builtin) {
        result = lac_onnx_load(&model->graph, path, err);
        int64_t external = 0; /* bytes that must be shipped with the file */
        if (result == LAC_OK)
            result = lac_onnx_external_bytes(&external, path, err);
        model->file_bytes = (int64_t)status.st_size + external;
    }
    if (result == LAC_OK)
        result = lac_tasks_find(&model->tasks, model->graph, builtin ? NULL : path, meta, err);
    if (result != LAC_OK)
        lac_model_close(model);
    return result;
}

void lac_model_close(lac_model *model)
{
    lac_graph_free(model->graph);
    json_decref(model->tasks);
    memset(model, 0, sizeof *model);
}
