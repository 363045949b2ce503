/* A task opened: where its samples lie, how they become inputs, which output is scored. */
#include "io/dataset.h"

#include "core/memory.h"
#include "core/text.h"
#include "io/glyphs.h"
#include "io/idx.h"
#include "io/image.h"
#include "io/preprocess.h"

#include <lacuna/lacuna.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CALIBRATION = 64, LABELS_LIMIT = 1 << 26 };

typedef enum kind { IMAGES, ARRAY, SEQUENCES, TOKENS, PAIRS, GLYPHS } kind;

struct lac_dataset {
    kind kind;
    char name[256], folder[PATH_MAX], calibration[300];
    lac_preprocess preprocess;
    const lac_graph *graph;
    int input, output;
    double stated;
    int64_t count;
    uint64_t seed;                              /* GLYPHS: of the images */
    lac_tensor samples, labels, lengths, train; /* what the kind needs */
    char **files;                               /* IMAGES */
    double *classes;
};

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* A path of the task: absolute, or below its base. */
static void path_of(const json_t *task, const char *relative, const char *suffix,
                    char path[PATH_MAX])
{
    const char *base = text_of(task, "base");
    if (relative[0] == '/' || !base[0])
        snprintf(path, PATH_MAX, "%s%s", relative, suffix);
    else
        snprintf(path, PATH_MAX, "%s/%s%s", base, relative, suffix);
}

static lac_status load(lac_tensor *tensor, const json_t *task, const char *relative,
                       const char *suffix, lac_error *err)
{
    char path[PATH_MAX];
    path_of(task, relative, suffix, path);
    return lac_npy_load(tensor, path, err);
}

static bool exists(const char *path)
{
    return access(path, R_OK) == 0;
}

/* ---- opening each kind ------------------------------------------------------------------------
 */

/* One line of labels.tsv: file, tab, class, ... */
static lac_status read_line(lac_dataset *d, char *line, int number, lac_error *err)
{
    char *tab = strchr(line, '\t');
    int64_t class;
    if (!tab)
        return lac_fail(err, LAC_ERROR_INPUT, "labels.tsv line %d: want file, tab, class", number);
    *tab++ = 0;
    tab[strcspn(tab, "\t\r")] = 0;
    if (!lac_parse_i64(tab, &class) || class < 0)
        return lac_fail(err, LAC_ERROR_INPUT, "labels.tsv line %d: class '%.20s'", number, tab);
    if (strchr(line, '/'))
        return lac_fail(err, LAC_ERROR_INPUT, "labels.tsv line %d: file '%.80s' has a folder",
                        number, line);
    size_t n = (size_t)d->count;
    if ((n & (n - 1)) == 0) { /* grows at powers of two */
        size_t capacity = n ? 2 * n : 1;
        char **files = lac_grow((void *)d->files, n, capacity, sizeof *files, err);
        if (!files)
            return LAC_ERROR_MEMORY;
        d->files = files;
        double *classes = lac_grow(d->classes, n, capacity, sizeof *classes, err);
        if (!classes)
            return LAC_ERROR_MEMORY;
        d->classes = classes;
    }
    if (!(d->files[n] = lac_strdup(line, err)))
        return LAC_ERROR_MEMORY;
    d->classes[n] = (double)class;
    d->count++;
    return LAC_OK;
}

static lac_status open_images(lac_dataset *d, const json_t *task, lac_error *err)
{
    char path[PATH_MAX], *text;
    size_t bytes;
    path_of(task, text_of(task, "set"), "", d->folder);
    path_of(task, text_of(task, "set"), "/labels.tsv", path);
    LAC_TRY(lac_read_file(&text, &bytes, path, LABELS_LIMIT, err));
    lac_status status = LAC_OK;
    int number = 0;
    for (char *line = text; status == LAC_OK && line && *line; number++) {
        char *end = strchr(line, '\n');
        if (end)
            *end++ = 0;
        if (number > 0 && *line) /* the first line names the columns */
            status = read_line(d, line, number + 1, err);
        line = end;
    }
    lac_free(text);
    return status;
}

/* Plain or gzip; the path it was in `path`. */
static lac_status load_idx(lac_tensor *tensor, const json_t *task, const char *set,
                           const char *suffix, char path[PATH_MAX], lac_error *err)
{
    path_of(task, set, suffix, path);
    size_t length = strlen(path);
    if (!exists(path) && length + 4 < PATH_MAX)
        memcpy(path + length, ".gz", 4);
    return lac_idx_load(tensor, path, err);
}

/* Samples beside labels; a training part in IDX files of the same folder serves calibration. */
static lac_status open_array(lac_dataset *d, const json_t *task, lac_error *err)
{
    const char *set = text_of(task, "set");
    if (strncmp(set, "glyphs", 6) == 0) {
        int64_t n = json_integer_value(json_object_get(task, "n"));
        bool train = strcmp(set, "glyphs:train") == 0;
        int64_t all = train ? LAC_GLYPHS_TRAIN_COUNT : LAC_GLYPHS_TEST_COUNT;
        d->kind = GLYPHS;
        d->seed = train ? LAC_GLYPHS_TRAIN_SEED : LAC_GLYPHS_TEST_SEED;
        d->count = n > 0 && n < all ? n : all;
        return LAC_OK;
    }
    char path[PATH_MAX];
    path_of(task, set, "_u8.npy", path);
    if (!exists(path)) {
        LAC_TRY(load_idx(&d->samples, task, set, "-images-idx3-ubyte", path, err));
        LAC_TRY(load_idx(&d->labels, task, set, "-labels-idx1-ubyte", path, err));
    } else {
        LAC_TRY(lac_npy_load(&d->samples, path, err));
        LAC_TRY(load(&d->labels, task, set, "_labels.npy", err));
    }
    char *slash = strrchr(path, '/');
    if (slash && strncmp(slash, "/train-", 7) != 0) { /* the training part is not its own */
        static const char *const names[] = {"/train-images-idx3-ubyte",
                                            "/train-images-idx3-ubyte.gz"};
        for (int i = 0; i < 2 && !d->train.data; i++) {
            snprintf(slash, PATH_MAX - (size_t)(slash - path), "%s", names[i]);
            if (exists(path))
                LAC_TRY(lac_idx_load(&d->train, path, err));
        }
    }
    bool alike = d->train.rank == d->samples.rank;
    for (int i = 1; alike && i < d->train.rank; i++)
        alike = d->train.dims[i] == d->samples.dims[i];
    if (!alike)
        lac_tensor_release(&d->train);
    return LAC_OK;
}

static lac_status open_tokens(lac_dataset *d, const json_t *task, lac_error *err)
{
    const char *set = text_of(task, "set");
    LAC_TRY(load(&d->samples, task, set, "_ids_i16.npy", err));
    LAC_TRY(load(&d->labels, task, set, d->kind == PAIRS ? "_scores.npy" : "_labels.npy", err));
    int want = d->kind == PAIRS ? 3 : 2;
    if (d->samples.rank != want || (want == 3 && d->samples.dims[1] != 2))
        return lac_fail(err, LAC_ERROR_INPUT, "token ids: want [n]%s[tokens]",
                        want == 3 ? "[2]" : "");
    if (d->samples.dims[want - 1] < 1)
        return lac_fail(err, LAC_ERROR_INPUT, "token ids: samples of 0 tokens");
    return LAC_OK;
}

static lac_status open_kind(lac_dataset *d, const json_t *task, lac_error *err)
{
    const char *name = text_of(task, "task");
    if (strcmp(name, "image_top1") == 0) {
        d->kind = IMAGES;
        return open_images(d, task, err);
    }
    if (strcmp(name, "array_top1") == 0) {
        d->kind = ARRAY;
        return open_array(d, task, err);
    }
    if (strcmp(name, "features_top1") == 0 || strcmp(name, "sequence_top1") == 0) {
        d->kind = name[0] == 's' ? SEQUENCES : ARRAY;
        LAC_TRY(load(&d->samples, task, text_of(task, "x"), "", err));
        if (d->kind == SEQUENCES)
            LAC_TRY(load(&d->lengths, task, text_of(task, "length"), "", err));
        return load(&d->labels, task, text_of(task, "y"), "", err);
    }
    if (strcmp(name, "sst2") == 0 || strcmp(name, "stsb_spearman") == 0) {
        d->kind = name[1] == 't' ? PAIRS : TOKENS;
        return open_tokens(d, task, err);
    }
    return lac_fail(err, LAC_ERROR_UNSUPPORTED, "task kind '%.40s' is not scored", name);
}

/* The output that the task is about: named by it, the only one, or one whose name has the task's
 * word in it ("sst2_logits"; embeddings for similarity). */
static lac_status find_output(lac_dataset *d, const json_t *task, lac_error *err)
{
    const lac_graph *graph = d->graph;
    const char *named = text_of(task, "output");
    const char *word = d->kind == PAIRS ? "embedding" : text_of(task, "task");
    d->output = graph->n_outputs == 1 && !named[0] ? 0 : -1;
    for (int i = graph->n_outputs - 1; i >= 0 && d->output < 0; i--) {
        const char *name = graph->values[graph->outputs[i]].name;
        if (named[0] ? strcmp(name, named) == 0 : strstr(name, word) != NULL)
            d->output = i;
    }
    if (d->output < 0)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "which of the %d outputs is scored? give the task an \"output\"",
                        graph->n_outputs);
    return LAC_OK;
}

static lac_status find_input(lac_dataset *d, const json_t *task, lac_error *err)
{
    const char *named = text_of(task, "input");
    for (int i = 0; i < d->graph->n_inputs; i++)
        if (!named[0] || strcmp(d->graph->values[d->graph->inputs[i]].name, named) == 0) {
            d->input = i;
            return LAC_OK;
        }
    return lac_fail(err, LAC_ERROR_INPUT, "the model has no input '%.80s'", named);
}

static lac_status check_sizes(lac_dataset *d, lac_error *err)
{
    if (d->kind == IMAGES || d->kind == GLYPHS)
        return LAC_OK;
    if (d->samples.rank < 2 || d->labels.rank != 1)
        return lac_fail(err, LAC_ERROR_INPUT, "want samples [n][...] and labels [n]");
    d->count = d->labels.dims[0];
    if (d->samples.dims[0] != d->count ||
        (d->kind == SEQUENCES && (d->lengths.rank != 1 || d->lengths.dims[0] != d->count)))
        return lac_fail(err, LAC_ERROR_INPUT, "%lld samples, %lld labels",
                        (long long)d->samples.dims[0], (long long)d->count);
    return LAC_OK;
}

const char *lac_task_set(const json_t *task)
{
    const char *set = text_of(task, "set");
    return set[0] ? set : text_of(task, "x");
}

lac_status lac_dataset_open(lac_dataset **dataset, const json_t *task, const lac_graph *graph,
                            lac_error *err)
{
    lac_dataset *d = lac_alloc(1, sizeof *d, err);
    if (!d)
        return LAC_ERROR_MEMORY;
    snprintf(d->name, sizeof d->name, "%s", lac_task_set(task));
    d->graph = graph;
    const json_t *value = json_object_get(task, "value");
    d->stated = json_is_number(value) ? json_number_value(value) : NAN;
    lac_status status =
        lac_preprocess_read(&d->preprocess, json_object_get(task, "preprocess"), err);
    if (status == LAC_OK)
        status = open_kind(d, task, err);
    if (status == LAC_OK)
        status = check_sizes(d, err);
    if (status == LAC_OK)
        status = find_input(d, task, err);
    if (status == LAC_OK)
        status = find_output(d, task, err);
    if (status != LAC_OK) {
        lac_dataset_close(d);
        return lac_fail_in(err, status, "task %.40s", text_of(task, "task"));
    }
    if (d->kind == GLYPHS || d->train.data)
        snprintf(d->calibration, sizeof d->calibration, "training part of %s", d->name);
    else {
        int64_t left_out;
        lac_dataset_calibration_count(d, &left_out);
        snprintf(d->calibration, sizeof d->calibration,
                 "first %lld of %lld items of %s, left out of the score", (long long)left_out,
                 (long long)d->count, d->name);
    }
    *dataset = d;
    return LAC_OK;
}

void lac_dataset_close(lac_dataset *d)
{
    if (!d)
        return;
    lac_tensor_release(&d->samples);
    lac_tensor_release(&d->labels);
    lac_tensor_release(&d->lengths);
    lac_tensor_release(&d->train);
    for (int64_t i = 0; d->files && i < d->count; i++)
        lac_free(d->files[i]);
    lac_free((void *)d->files);
    lac_free(d->classes);
    lac_free(d);
}

/* ---- reading ------------------------------------------------------------------------------------
 */

int64_t lac_dataset_count(const lac_dataset *d)
{
    return d->count;
}

lac_metric lac_dataset_metric(const lac_dataset *d)
{
    return d->kind == PAIRS ? LAC_METRIC_SPEARMAN : LAC_METRIC_TOP1;
}

const lac_graph *lac_dataset_graph(const lac_dataset *d)
{
    return d->graph;
}

const char *lac_dataset_name(const lac_dataset *d)
{
    return d->name;
}

int lac_dataset_runs(const lac_dataset *d)
{
    return d->kind == PAIRS ? 2 : 1;
}

int lac_dataset_output(const lac_dataset *d)
{
    return d->output;
}

double lac_dataset_stated(const lac_dataset *d)
{
    return d->stated;
}

double lac_dataset_label(const lac_dataset *d, int64_t item)
{
    if (d->kind == GLYPHS) {
        uint8_t label;
        lac_glyphs_draw(d->seed, item, NULL, &label);
        return label;
    }
    return d->kind == IMAGES ? d->classes[item] : lac_tensor_get(&d->labels, item);
}

/* Element `index` of the leading dimension, borrowed. */
static lac_tensor row_of(const lac_tensor *tensor, int64_t index)
{
    lac_tensor row = *tensor;
    row.rank--;
    row.buffer = NULL;
    for (int i = 0; i < row.rank; i++)
        row.dims[i] = tensor->dims[i + 1];
    row.data = (char *)tensor->data + (size_t)index * lac_tensor_bytes(&row);
    return row;
}

static lac_status glyph(lac_dataset *d, uint64_t seed, int64_t index, lac_tensor *in,
                        lac_error *err)
{
    uint8_t pixels[LAC_GLYPHS_PIXELS];
    int64_t dims[2] = {LAC_GLYPHS_SIDE, LAC_GLYPHS_SIDE};
    lac_glyphs_draw(seed, index, pixels, NULL);
    lac_tensor image = lac_tensor_view(LAC_U8, 2, dims, pixels);
    return lac_preprocess_image(&d->preprocess, &image, &in[d->input], err);
}

/* Images of uint8 go through the image path; [h][w] alone only when the network wants channels. */
static lac_status array_item(lac_dataset *d, const lac_tensor *row, lac_tensor *in, lac_error *err)
{
    int want = d->graph->values[d->graph->inputs[d->input]].rank;
    bool image = row->dtype == LAC_U8 && want == 4 && !d->preprocess.rank &&
                 (row->rank == 2 || (row->rank == 3 && row->dims[2] == 3));
    return image ? lac_preprocess_image(&d->preprocess, row, &in[d->input], err)
                 : lac_preprocess_array(&d->preprocess, row, &in[d->input], err);
}

/* [longest][features] with a true length -> [length][1][features] (time major). */
static lac_status sequence_item(lac_dataset *d, const lac_tensor *row, int64_t item, lac_tensor *in,
                                lac_error *err)
{
    int64_t length = (int64_t)lac_tensor_get(&d->lengths, item);
    if (row->rank != 2 || row->dtype != LAC_F32 || length < 1 || length > row->dims[0])
        return lac_fail(err, LAC_ERROR_INPUT, "sequence %lld: length %lld of %lld", (long long)item,
                        (long long)length, (long long)row->dims[0]);
    lac_tensor *x = &in[d->input];
    LAC_TRY(lac_tensor_make(x, LAC_F32, 3, (int64_t[]){length, 1, row->dims[1]}, err));
    memcpy(x->data, row->data, lac_tensor_bytes(x));
    return LAC_OK;
}

/* Token ids without their padding; the other input is the mask, all ones then. */
static lac_status token_item(lac_dataset *d, const lac_tensor *row, lac_tensor *in, lac_error *err)
{
    int64_t length = 0;
    for (int64_t i = 0; i < row->dims[0]; i++)
        if (lac_tensor_get(row, i) != 0)
            length = i + 1;
    length = length ? length : 1;
    for (int n = 0; n < d->graph->n_inputs; n++) {
        const char *name = d->graph->values[d->graph->inputs[n]].name;
        bool mask = strstr(name, "mask") != NULL;
        bool segment = strstr(name, "token_type") != NULL;
        LAC_TRY(lac_tensor_make(&in[n], LAC_I64, 2, (int64_t[]){1, length}, err));
        for (int64_t i = 0; i < length; i++)
            ((int64_t *)in[n].data)[i] = mask ? 1 : segment ? 0 : (int64_t)lac_tensor_get(row, i);
    }
    return LAC_OK;
}

static lac_status sample(lac_dataset *d, int64_t item, int run, lac_tensor *in, lac_error *err)
{
    if (d->kind == GLYPHS)
        return glyph(d, d->seed, item, in, err);
    if (d->kind == IMAGES) {
        char path[2 * PATH_MAX];
        lac_tensor image;
        snprintf(path, sizeof path, "%s/img/%s", d->folder, d->files[item]);
        if (!exists(path)) /* beside labels.tsv */
            snprintf(path, sizeof path, "%s/%s", d->folder, d->files[item]);
        LAC_TRY(lac_image_load(&image, path, err));
        lac_status status = lac_preprocess_image(&d->preprocess, &image, &in[d->input], err);
        lac_tensor_release(&image);
        return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", path);
    }
    lac_tensor row = row_of(&d->samples, item);
    if (d->kind == SEQUENCES)
        return sequence_item(d, &row, item, in, err);
    if (d->kind == TOKENS)
        return token_item(d, &row, in, err);
    if (d->kind == PAIRS) {
        lac_tensor sentence = row_of(&row, run);
        return token_item(d, &sentence, in, err);
    }
    return array_item(d, &row, in, err);
}

lac_status lac_dataset_sample(lac_dataset *d, int64_t item, int run, lac_tensor *in, lac_error *err)
{
    if (item < 0 || item >= d->count)
        return lac_fail(err, LAC_ERROR_INPUT, "item %lld of %lld", (long long)item,
                        (long long)d->count);
    memset(in, 0, (size_t)d->graph->n_inputs * sizeof *in);
    lac_status status = sample(d, item, run, in, err);
    for (int i = 0; status != LAC_OK && i < d->graph->n_inputs; i++)
        lac_tensor_release(&in[i]);
    return status;
}

int64_t lac_dataset_calibration_count(const lac_dataset *d, int64_t *left_out)
{
    *left_out = 0;
    if (d->kind == GLYPHS)
        return CALIBRATION;
    if (d->train.data)
        return d->train.dims[0] < CALIBRATION ? d->train.dims[0] : CALIBRATION;
    *left_out = d->count < 2 * CALIBRATION ? d->count / 2 : CALIBRATION;
    return *left_out;
}

lac_status lac_dataset_calibration_sample(lac_dataset *d, int64_t index, lac_tensor *in,
                                          lac_error *err)
{
    if (d->kind != GLYPHS && !d->train.data)
        return lac_dataset_sample(d, index, 0, in, err);
    memset(in, 0, (size_t)d->graph->n_inputs * sizeof *in);
    if (d->kind == GLYPHS)
        return glyph(d, LAC_GLYPHS_TRAIN_SEED, index, in, err);
    if (index < 0 || index >= d->train.dims[0])
        return lac_fail(err, LAC_ERROR_INPUT, "calibration item %lld of %lld", (long long)index,
                        (long long)d->train.dims[0]);
    lac_tensor row = row_of(&d->train, index);
    return array_item(d, &row, in, err);
}

const char *lac_dataset_calibration_name(const lac_dataset *d)
{
    return d->calibration;
}
