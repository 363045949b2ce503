/* Which tasks a model has: its own metadata speak first, then a meta.json. */
#include "core/memory.h"
#include "core/text.h"
#include "io/dataset.h"

#include <lacuna/lacuna.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { META_LIMIT = 1 << 24 };

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* Whether a task of meta.json is about the file called `name`. */
static bool about(const json_t *meta, const json_t *task, const char *name)
{
    const char *model = text_of(task, "model");
    const json_t *files = json_object_get(meta, "files");
    return !model[0] || strcmp(text_of(files, model), name) == 0;
}

/* Paths in a meta.json are relative to the data folder, two above the model's: FOLDER/models/NAME.
 */
static void data_folder(const char *meta_path, char folder[PATH_MAX])
{
    char joined[PATH_MAX + 16], copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", meta_path);
    snprintf(joined, sizeof joined, "%s/../..", dirname(copy));
    if (!realpath(joined, folder))
        snprintf(folder, PATH_MAX, "%s", joined);
}

static lac_status from_meta(json_t *tasks, const char *path, const char *model_name, lac_error *err)
{
    char *text;
    size_t bytes;
    json_error_t where;
    LAC_TRY(lac_read_file(&text, &bytes, path, META_LIMIT, err));
    json_t *meta = json_loadb(text, bytes, 0, &where), *task;
    lac_free(text);
    if (!json_is_object(meta)) {
        json_decref(meta);
        return lac_fail(err, LAC_ERROR_INPUT, "%s: line %d: %s", path, where.line,
                        meta ? "want an object" : where.text);
    }
    char folder[PATH_MAX];
    data_folder(path, folder);
    size_t i;
    const json_t *first = json_array_get(json_object_get(meta, "inputs"), 0);
    json_array_foreach(json_object_get(meta, "tasks"), i, task)
    {
        if (!json_is_object(task) || !about(meta, task, model_name))
            continue;
        json_t *whole = json_deep_copy(task);
        json_object_set_new(whole, "base", json_string(folder));
        if (!json_object_get(whole, "preprocess") && json_object_get(first, "preprocess"))
            json_object_set(whole, "preprocess", json_object_get(first, "preprocess"));
        json_array_append_new(tasks, whole);
    }
    json_decref(meta);
    return LAC_OK;
}

/* The folder of `path`, after links; false when it is not there. */
static bool folder_of(const char *path, char folder[PATH_MAX])
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    return realpath(dirname(copy), folder) != NULL;
}

/* The way from one folder to another, both absolute and without links. */
static void way(const char *from, const char *to, lac_text *out)
{
    size_t common = 0; /* length of the folders that both begin with */
    for (size_t i = 0;; i++) {
        if ((from[i] == 0 || from[i] == '/') && (to[i] == 0 || to[i] == '/'))
            common = i;
        if (from[i] != to[i] || from[i] == 0)
            break;
    }
    for (const char *c = from + common; *c; c++)
        if (*c == '/' && c[1])
            lac_text_add(out, "%s..", out->length ? "/" : "");
    while (to[common] == '/')
        common++;
    if (to[common])
        lac_text_add(out, "%s%s", out->length ? "/" : "", to + common);
    if (!out->length)
        lac_text_add(out, ".");
}

/* In a file a base is relative to the file's folder. What is not there any more is looked for in
 * $LACUNA_DATA. */
static void find_base(json_t *task, const char *model_path)
{
    const char *base = text_of(task, "base"), *data = getenv("LACUNA_DATA");
    char folder[PATH_MAX], joined[2 * PATH_MAX], real[PATH_MAX];
    if (!base[0])
        return;
    if (base[0] == '/' || !model_path || !folder_of(model_path, folder))
        snprintf(joined, sizeof joined, "%s", base);
    else
        snprintf(joined, sizeof joined, "%s/%s", folder, base);
    if (realpath(joined, real))
        json_object_set_new(task, "base", json_string(real));
    else
        json_object_set_new(task, "base", json_string(data && data[0] ? data : joined));
}

static lac_status from_metadata(json_t *tasks, const char *text, const lac_graph *graph,
                                const char *model_path, lac_error *err)
{
    json_error_t where;
    json_t *task = json_loads(text, 0, &where), *each;
    if (!json_is_object(task) && !json_is_array(task)) {
        json_decref(task);
        return lac_fail(err, LAC_ERROR_INPUT, "metadata lacuna.task: %s",
                        task ? "want an object or a list" : where.text);
    }
    json_t *list = json_is_array(task) ? json_incref(task) : json_pack("[O]", task);
    size_t i;
    json_array_foreach(list, i, each)
    {
        /* The input's own description, key lacuna.input.NAME, is the task's preprocessing. */
        for (int n = 0; n < graph->n_inputs && !json_object_get(each, "preprocess"); n++) {
            char key[256];
            snprintf(key, sizeof key, "lacuna.input.%.200s", graph->values[graph->inputs[n]].name);
            const char *input = lac_graph_meta(graph, key);
            json_t *preprocess = input ? json_loads(input, 0, NULL) : NULL;
            if (json_is_object(preprocess))
                json_object_set(each, "preprocess", preprocess);
            json_decref(preprocess);
        }
        find_base(each, model_path);
        json_array_append(tasks, each);
    }
    json_decref(list);
    json_decref(task);
    return LAC_OK;
}

lac_status lac_tasks_find(json_t **tasks, const lac_graph *graph, const char *model_path,
                          const char *meta_path, lac_error *err)
{
    json_t *found = json_array();
    const char *own = lac_graph_meta(graph, "lacuna.task");
    lac_status status = LAC_OK;
    char copy[PATH_MAX], beside[PATH_MAX + 16];
    snprintf(copy, sizeof copy, "%s", model_path ? model_path : "");
    const char *slash = strrchr(copy, '/'), *name = slash ? slash + 1 : copy;
    if (meta_path) {
        status = from_meta(found, meta_path, name, err);
    } else if (own) {
        status = from_metadata(found, own, graph, model_path, err);
    } else if (model_path) {
        snprintf(beside, sizeof beside, "%.*s%smeta.json", slash ? (int)(slash - copy) : 0, copy,
                 slash ? "/" : "");
        FILE *file = fopen(beside, "rb");
        if (file) {
            fclose(file);
            status = from_meta(found, beside, name, err);
        }
    }
    if (status != LAC_OK) {
        json_decref(found);
        return status;
    }
    *tasks = found;
    return LAC_OK;
}

/* The base of `task` as the file at `path` is to say it; without one when there is no path. */
static lac_status set_base(json_t *task, const char *path, lac_error *err)
{
    char real[PATH_MAX], folder[PATH_MAX];
    const char *base = text_of(task, "base");
    lac_text relative = {0};
    if (!path || !base[0] || !realpath(base, real) || !folder_of(path, folder)) {
        json_object_del(task, "base");
        return LAC_OK;
    }
    way(folder, real, &relative);
    int failed =
        relative.failed || json_object_set_new(task, "base", json_string(relative.data)) != 0;
    lac_text_release(&relative);
    return failed ? lac_fail(err, LAC_ERROR_MEMORY, "out of memory") : LAC_OK;
}

lac_status lac_tasks_keep_for(lac_graph *graph, const json_t *tasks, const char *path,
                              lac_error *err)
{
    size_t i;
    json_t *copy, *each;
    if (json_array_size(tasks) == 0)
        return LAC_OK;
    copy = json_deep_copy(tasks);
    lac_status status = copy ? LAC_OK : lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
    json_array_foreach(copy, i, each)
    {
        if (status == LAC_OK)
            status = set_base(each, path, err);
    }
    char *text = status == LAC_OK ? json_dumps(copy, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(copy);
    if (status == LAC_OK && !text)
        status = lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
    if (status == LAC_OK)
        status = lac_graph_meta_set(graph, "lacuna.task", text, err);
    free(text);
    return status;
}

lac_status lac_tasks_keep(lac_graph *graph, const json_t *tasks, lac_error *err)
{
    return lac_tasks_keep_for(graph, tasks, NULL, err);
}

/* A copy of the task about `set` below `base` (NULL: as it was). */
static json_t *task_about(const json_t *task, const char *base, const char *set)
{
    json_t *copy = json_copy((json_t *)task);
    if (base)
        json_object_set_new(copy, "base", json_string(base));
    json_object_set_new(copy, "set", json_string(set));
    json_object_del(copy, "n");
    json_object_del(copy, "value");
    return copy;
}

static bool has_training(const char *folder)
{
    static const char *const names[] = {"train_u8.npy", "train-images-idx3-ubyte",
                                        "train-images-idx3-ubyte.gz"};
    for (int i = 0; i < 3; i++) {
        char path[2 * PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        if (access(path, R_OK) == 0)
            return true;
    }
    return false;
}

lac_status lac_task_training(json_t **training, const json_t *task, const char *folder,
                             lac_error *err)
{
    const char *set = text_of(task, "set"), *base = text_of(task, "base");
    const char *slash = strrchr(set, '/');
    char beside[2 * PATH_MAX];
    bool array = strcmp(text_of(task, "task"), "array_top1") == 0;
    *training = NULL;
    if (folder && !array)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "training data of another folder go with tasks of kind array_top1, not "
                        "'%.40s'",
                        text_of(task, "task"));
    if (folder && !has_training(folder))
        return lac_fail(err, LAC_ERROR_INPUT,
                        "%s: no train_u8.npy and no train-images-idx3-ubyte[.gz]", folder);
    snprintf(beside, sizeof beside, "%s%s%.*s", set[0] == '/' ? "" : base,
             base[0] && set[0] != '/' ? "/" : "", slash ? (int)(slash - set) : 1,
             slash ? set : ".");
    if (folder)
        *training = task_about(task, folder, "train");
    else if (array && strncmp(set, "glyphs", 6) == 0)
        *training = task_about(task, NULL, "glyphs:train");
    else if (array && has_training(beside))
        *training = task_about(task, beside, "train");
    return LAC_OK;
}
