/* See cells.h. */
#include "study/cells.h"

#include "core/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static uint64_t mix(uint64_t hash, const void *data, size_t bytes)
{
    const unsigned char *p = data;
    for (; bytes >= 8; bytes -= 8, p += 8) { /* FNV-1a over words: large constants take no time */
        uint64_t word;
        memcpy(&word, p, 8);
        hash = (hash ^ word) * UINT64_C(0x100000001b3);
        hash ^= hash >> 32;
    }
    for (; bytes; bytes--, p++)
        hash = (hash ^ *p) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t mix_text(uint64_t hash, const char *text)
{
    return mix(hash, text, strlen(text) + 1);
}

uint64_t lac_fingerprint_text(uint64_t fingerprint, const char *text)
{
    return mix_text(fingerprint, text);
}

uint64_t lac_fingerprint_machine(uint64_t fingerprint)
{
    char line[256] = "", own[64] = "";
    struct stat program;
    if (stat("/proc/self/exe", &program) == 0)
        snprintf(own, sizeof own, "%lld %lld", (long long)program.st_size,
                 (long long)program.st_mtime);
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file) && strncmp(line, "model name", 10) != 0)
        ;
    if (file)
        fclose(file);
    return mix_text(mix_text(fingerprint, own), line);
}

static uint64_t mix_tensor(uint64_t hash, const lac_tensor *tensor)
{
    if (!tensor->data)
        return hash;
    hash = mix(hash, &tensor->dtype, sizeof tensor->dtype);
    hash = mix(hash, tensor->dims, (size_t)tensor->rank * sizeof *tensor->dims);
    return mix(hash, tensor->data, lac_tensor_bytes(tensor));
}

uint64_t lac_fingerprint(const lac_graph *graph)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (int i = 0; i < graph->n_nodes; i++) {
        const lac_node *node = &graph->nodes[i];
        hash = mix_text(mix_text(hash, node->domain), node->op);
        hash = mix(hash, node->in, (size_t)node->n_in * sizeof *node->in);
        hash = mix(hash, node->out, (size_t)node->n_out * sizeof *node->out);
        for (int a = 0; a < node->n_attrs; a++) {
            const lac_attr *attr = &node->attrs[a];
            hash = mix_text(hash, attr->name);
            hash = mix(hash, &attr->i, sizeof attr->i);
            hash = mix(hash, &attr->f, sizeof attr->f);
            if (attr->s)
                hash = mix_text(hash, attr->s);
            if (attr->ints)
                hash = mix(hash, attr->ints, (size_t)attr->n * sizeof *attr->ints);
            if (attr->floats)
                hash = mix(hash, attr->floats, (size_t)attr->n * sizeof *attr->floats);
            for (int64_t s = 0; attr->strings && s < attr->n; s++)
                hash = mix_text(hash, attr->strings[s]);
            hash = mix_tensor(hash, &attr->tensor);
        }
    }
    for (int i = 0; i < graph->n_values; i++)
        hash = mix_tensor(hash, &graph->values[i].constant);
    hash = mix(hash, graph->inputs, (size_t)graph->n_inputs * sizeof *graph->inputs);
    return mix(hash, graph->outputs, (size_t)graph->n_outputs * sizeof *graph->outputs);
}

lac_status lac_cells_open(lac_cells *cells, const char *folder, bool fresh, lac_error *err)
{
    memset(cells, 0, sizeof *cells);
    cells->folder = folder;
    cells->fresh = fresh;
    if (folder && mkdir(folder, 0777) != 0 && errno != EEXIST)
        return lac_fail(err, LAC_ERROR_IO, "%s: %s", folder, strerror(errno));
    return LAC_OK;
}

static void path_of(const lac_cells *cells, const char *key, char *path, size_t size)
{
    uint64_t hash = mix_text(UINT64_C(0xcbf29ce484222325), key);
    snprintf(path, size, "%s/%016" PRIx64 ".json", cells->folder, hash);
}

/* The log helps people; that it cannot be written is no reason to stop. */
static void log_cell(const lac_cells *cells, const char *what, const char *path, const char *key)
{
    char name[4096];
    snprintf(name, sizeof name, "%s/cells.log", cells->folder);
    FILE *log = fopen(name, "a");
    if (!log)
        return;
    const char *file = strrchr(path, '/');
    fprintf(log, "%s %s %s\n", what, file ? file + 1 : path, key);
    fclose(log);
}

json_t *lac_cells_get(lac_cells *cells, const char *key)
{
    char path[4096];
    if (!cells->folder || cells->fresh)
        return NULL;
    path_of(cells, key, path, sizeof path);
    json_t *cell = json_load_file(path, 0, NULL);
    const char *stored = json_string_value(json_object_get(cell, "key"));
    if (!stored || strcmp(stored, key) != 0) { /* absent, damaged, or another key's */
        json_decref(cell);
        return NULL;
    }
    cells->kept++;
    log_cell(cells, "kept", path, key);
    return cell;
}

lac_status lac_cells_put(lac_cells *cells, const char *key, const json_t *cell, lac_error *err)
{
    char path[4096];
    cells->computed++;
    if (!cells->folder)
        return LAC_OK;
    path_of(cells, key, path, sizeof path);
    json_t *whole = json_deep_copy(cell);
    json_object_set_new(whole, "key", json_string(key));
    char *text = json_dumps(whole, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    json_decref(whole);
    if (!text)
        return lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
    lac_status status = lac_write_file(path, text, strlen(text), err);
    free(text);
    if (status == LAC_OK)
        log_cell(cells, "computed", path, key);
    return status;
}
