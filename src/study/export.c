/* See export.h. */
#include "study/export.h"

#include "core/text.h"
#include "exec/capture.h"
#include "graph/layer_tools.h"
#include "io/dcz.h"
#include "io/npy.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

lac_status lac_export_folder(const char *folder, bool *made, lac_error *err)
{
    *made = mkdir(folder, 0777) == 0;
    if (!*made && errno != EEXIST)
        return lac_fail(err, LAC_ERROR_IO, "%s: %s", folder, strerror(errno));
    return LAC_OK;
}

/* ---- .dcz */

static bool in_columns(const lac_weight *weight)
{
    return weight->format && strcmp(weight->format->row.name, LAC_EIE_CSC_NAME) == 0 &&
           !weight->scale;
}

static lac_status export_weight(lac_aside_set *set, const lac_weight *weight, const char *folder,
                                int64_t *bytes, lac_error *err)
{
    lac_packed packed;
    lac_dcz dcz;
    lac_text path = {0}, file = {0};
    LAC_TRY(lac_pack(&packed, weight->format, &weight->params, weight->view, &weight->tensor, err));
    lac_status status = lac_dcz_from_packed(&dcz, &packed, NULL, true, err);
    lac_packed_release(&packed);
    LAC_TRY(status);
    status = lac_dcz_format(&dcz, &file, err);
    lac_dcz_release(&dcz);
    lac_text_add(&path, "%s/", folder);
    size_t begin = path.length;
    lac_text_add(&path, "%s", weight->name);
    for (size_t i = begin; path.data && i < path.length; i++) /* a node's name may be a path */
        if (path.data[i] == '/')
            path.data[i] = '_';
    lac_text_add(&path, ".dcz");
    if (status == LAC_OK && (path.failed || file.failed))
        status = lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
    if (status == LAC_OK)
        status = lac_aside_add(set, path.data, file.data, file.length, err);
    *bytes += (int64_t)file.length;
    lac_text_release(&path);
    lac_text_release(&file);
    return status;
}

lac_status lac_export_dcz(const lac_compression *compression, const char *folder, int *files,
                          int64_t *bytes, lac_error *err)
{
    *files = 0;
    *bytes = 0;
    for (int i = 0; i < compression->n_weights; i++)
        *files += in_columns(&compression->weights[i]);
    if (*files == 0)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "no weight is stored as %s: .dcz goes with the scheme deep-compression",
                        LAC_EIE_CSC_NAME);
    bool made;
    LAC_TRY(lac_export_folder(folder, &made, err));
    lac_aside_set set = {0};
    lac_status status = LAC_OK;
    for (int i = 0; status == LAC_OK && i < compression->n_weights; i++)
        if (in_columns(&compression->weights[i])) {
            status = export_weight(&set, &compression->weights[i], folder, bytes, err);
            if (status != LAC_OK)
                lac_fail_in(err, status, "%s", compression->weights[i].name);
        }
    if (status == LAC_OK)
        status = lac_aside_finish(&set, err);
    lac_aside_set_release(&set);
    if (status != LAC_OK && made)
        rmdir(folder);
    return status;
}

/* ---- tensors */

lac_status lac_export_npy(lac_aside_set *set, const char *folder, const char *name,
                          const lac_tensor *tensor, lac_error *err)
{
    lac_text path = {0}, file = {0};
    lac_text_add(&path, "%s/", folder);
    size_t begin = path.length;
    lac_text_add(&path, "%s", name[0] ? name : "_");
    for (size_t i = begin; path.data && i < path.length; i++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-",
                    path.data[i]))
            path.data[i] = '_';
    lac_text_add(&path, ".npy");
    lac_status status = path.failed ? lac_fail(err, LAC_ERROR_MEMORY, "out of memory") : LAC_OK;
    for (int i = 0; status == LAC_OK && i < set->n; i++) /* no file may hide another */
        if (strcmp(set->file[i].path, path.data) == 0)
            status =
                lac_fail(err, LAC_ERROR_INPUT, "two tensors would be written to %s", path.data);
    if (status == LAC_OK) {
        status = lac_npy_format(tensor, &file, err);
        if (status != LAC_OK)
            lac_fail_in(err, status, "%s", path.data);
    }
    if (status == LAC_OK)
        status = lac_aside_add(set, path.data, file.data, file.length, err);
    lac_text_release(&path);
    lac_text_release(&file);
    return status;
}

/* ---- captured layers */

typedef struct capture {
    const char *folder;
    lac_aside_set files;
    json_t *layers;
} capture;

static json_t *operand_json(const lac_operand *operand, const char *file)
{
    json_t *scales = json_array();
    for (int64_t i = 0; i < operand->scale_count; i++)
        json_array_append_new(scales, json_real((double)operand->scale[i]));
    return json_pack("{s:s, s:o, s:i}", "file", file, "scale", scales, "zero_point",
                     (int)operand->zero_point);
}

static lac_status capture_plain(capture *c, const lac_layer *layer, lac_error *err)
{
    char key[32], name[64], text[512];
    json_t *operands = json_object();
    lac_text plain = {0};
    lac_status status = LAC_OK;
    for (int role = 0; status == LAC_OK && role < LAC_ROLE_LIMIT; role++) {
        const lac_operand *operand = &layer->operand[role];
        if (!lac_role_name(role) || !operand->tensor.data)
            continue;
        snprintf(key, sizeof key, "%s", lac_role_name(role));
        for (char *space = key; *space; space++)
            *space = *space == ' ' ? '_' : *space;
        snprintf(name, sizeof name, "%03d.%s", (int)json_array_size(c->layers), key);
        status = lac_export_npy(&c->files, c->folder, name, &operand->tensor, err);
        snprintf(name + strlen(name), sizeof name - strlen(name), ".npy");
        json_object_set_new(operands, key, operand_json(operand, name));
    }
    lac_text_utf8(&plain, layer->name);
    json_array_append_new(
        c->layers, json_pack("{s:s, s:s, s:s, s:o}", "layer", plain.data ? plain.data : "", "kind",
                             layer->kind->row.name, "text",
                             lac_layer_text(layer, text, sizeof text), "operands", operands));
    lac_text_release(&plain);
    return status;
}

static lac_status capture_layer(void *context, lac_layer *layer, const struct lac_packed *packed,
                                lac_error *err)
{
    lac_layer plain;
    (void)packed;
    LAC_TRY(lac_layer_plain(layer, &plain, err));
    lac_status status = capture_plain(context, &plain, err);
    lac_layer_release(&plain);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "layer '%s'", layer->name);
}

static lac_status write_list(capture *c, lac_error *err)
{
    lac_text path = {0};
    lac_text_add(&path, "%s/layers.json", c->folder);
    json_t *root = json_pack("{s:s, s:O}", "schema", "lacuna.capture/1", "layers", c->layers);
    char *printed = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    lac_status status = printed && !path.failed
                            ? lac_aside_add(&c->files, path.data, printed, strlen(printed), err)
                            : lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
    free(printed);
    json_decref(root);
    lac_text_release(&path);
    return status;
}

lac_status lac_export_layers(const lac_graph *graph, const lac_tensor *in, const char *folder,
                             int *layers, lac_error *err)
{
    capture c = {.folder = folder, .layers = json_array()};
    bool made = false;
    lac_status status = c.layers ? lac_export_folder(folder, &made, err) : LAC_ERROR_MEMORY;
    if (status == LAC_OK)
        status = lac_capture(graph, in, NULL, capture_layer, &c, err);
    if (status == LAC_OK)
        status = write_list(&c, err);
    if (status == LAC_OK)
        status = lac_aside_finish(&c.files, err);
    *layers = (int)json_array_size(c.layers);
    lac_aside_set_release(&c.files);
    if (status != LAC_OK && made)
        rmdir(folder);
    json_decref(c.layers);
    return status;
}
