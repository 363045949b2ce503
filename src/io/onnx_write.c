/* Graph -> ModelProto. Everything is built as messages that borrow the tensors' bytes, then packed
 * into one block and written aside; large constants go to FILE.data before it, at offsets that a
 * mapping can use in place. */
#include "core/memory.h"
#include "core/text.h"
#include "io/aside.h"
#include "io/onnx.h"
#include "io/onnx_private.h"

#include <inttypes.h>
#include <lacuna/lacuna.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { IR_VERSION = 8, DATA_ALIGNMENT = 64, LACUNA_OPSET = 1 };

typedef struct writer {
    lac_onnx_scope scope;
    lac_onnx_functions functions;
    size_t external_bytes; /* threshold, 0: everything inside */
    const char *location;  /* name of the data file as the model says it */
    int *external;         /* values outside, in file order */
    int n_external;
    uint64_t data_bytes;
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
} writer;

static bool is_constant(const lac_value *value)
{
    return value->constant.data != NULL;
}

/* For each value, whether a node or the graph's outputs read it. */
static lac_status find_read(const writer *w, bool **read, lac_error *err)
{
    const lac_graph *graph = w->scope.graph;
    *read = lac_arena_alloc(w->scope.arena, (size_t)graph->n_values + 1, sizeof **read, err);
    if (!*read)
        return LAC_ERROR_MEMORY;
    for (int n = 0; n < graph->n_nodes; n++)
        for (int i = 0; i < graph->nodes[n].n_in; i++)
            if (graph->nodes[n].in[i] >= 0)
                (*read)[graph->nodes[n].in[i]] = true;
    for (int i = 0; i < graph->n_outputs; i++)
        (*read)[graph->outputs[i]] = true;
    return LAC_OK;
}

/* Moves an initializer's bytes to the data file: the message keeps where they are. */
static lac_status put_outside(writer *w, int value, Onnx__TensorProto *proto, lac_error *err)
{
    char offset[32], length[32];
    uint64_t at = (w->data_bytes + DATA_ALIGNMENT - 1) / DATA_ALIGNMENT * DATA_ALIGNMENT;
    snprintf(offset, sizeof offset, "%" PRIu64, at);
    snprintf(length, sizeof length, "%zu", proto->raw_data.len);
    w->data_bytes = at + proto->raw_data.len;
    w->external[w->n_external++] = value;
    proto->has_raw_data = 0;
    proto->raw_data = (ProtobufCBinaryData){0, NULL};
    proto->has_data_location = 1;
    proto->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    proto->external_data = lac_arena_alloc(w->scope.arena, 3, sizeof *proto->external_data, err);
    if (!proto->external_data)
        return LAC_ERROR_MEMORY;
    proto->n_external_data = 3;
    LAC_TRY(lac_onnx_put_entry(&w->scope, "location", w->location, &proto->external_data[0], err));
    LAC_TRY(lac_onnx_put_entry(&w->scope, "offset", offset, &proto->external_data[1], err));
    return lac_onnx_put_entry(&w->scope, "length", length, &proto->external_data[2], err);
}

static lac_status put_constants(writer *w, const bool *read, lac_error *err)
{
    const lac_graph *graph = w->scope.graph;
    size_t n = (size_t)graph->n_values + 1;
    w->graph.initializer = lac_arena_alloc(w->scope.arena, n, sizeof *w->graph.initializer, err);
    w->external = lac_arena_alloc(w->scope.arena, n, sizeof *w->external, err);
    if (!w->graph.initializer || !w->external)
        return LAC_ERROR_MEMORY;
    for (int v = 0; v < graph->n_values; v++) {
        const lac_value *value = &graph->values[v];
        if (!is_constant(value) || !read[v])
            continue;
        Onnx__TensorProto *proto;
        LAC_TRY(lac_onnx_put_tensor(&w->scope, w->scope.names[v], &value->constant, &proto, err));
        w->graph.initializer[w->graph.n_initializer++] = proto;
        if (w->external_bytes > 0 && proto->raw_data.len >= w->external_bytes)
            LAC_TRY(put_outside(w, v, proto, err));
    }
    return LAC_OK;
}

static lac_status put_types(writer *w, const int *values, int n, size_t *count,
                            Onnx__ValueInfoProto ***list, lac_error *err)
{
    *list = lac_arena_alloc(w->scope.arena, (size_t)n + 1, sizeof **list, err);
    if (!*list)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < n; i++)
        LAC_TRY(lac_onnx_put_type(&w->scope, values[i], &(*list)[(*count)++], err));
    return LAC_OK;
}

/* Types of values between nodes, where they are known: viewers and other tools show them. */
static lac_status put_inner_types(writer *w, lac_error *err)
{
    const lac_graph *graph = w->scope.graph;
    int *inner = lac_arena_alloc(w->scope.arena, (size_t)graph->n_values + 1, sizeof *inner, err);
    bool *is_output =
        lac_arena_alloc(w->scope.arena, (size_t)graph->n_values + 1, sizeof *is_output, err);
    int n = 0;
    if (!inner || !is_output)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < graph->n_outputs; i++)
        is_output[graph->outputs[i]] = true;
    for (int v = 0; v < graph->n_values; v++)
        if (graph->values[v].producer >= 0 && graph->values[v].dtype != LAC_NONE && !is_output[v])
            inner[n++] = v;
    return put_types(w, inner, n, &w->graph.n_value_info, &w->graph.value_info, err);
}

static lac_status put_nodes(writer *w, lac_error *err)
{
    const lac_graph *graph = w->scope.graph;
    w->graph.node =
        lac_arena_alloc(w->scope.arena, (size_t)graph->n_nodes + 1, sizeof *w->graph.node, err);
    if (!w->graph.node)
        return LAC_ERROR_MEMORY;
    for (int n = 0; n < graph->n_nodes; n++) {
        const lac_node *node = &graph->nodes[n];
        const char *op = node->op;
        if (!op) /* deleted and not settled yet */
            continue;
        if (lac_onnx_is_unpack(node))
            LAC_TRY(lac_onnx_unpack_function(&w->functions, &w->scope, node, &op, err));
        LAC_TRY(lac_onnx_put_node(&w->scope, node, op, &w->graph.node[w->graph.n_node++], err));
    }
    w->model.n_functions = (size_t)w->functions.n;
    w->model.functions = w->functions.list;
    return LAC_OK;
}

/* The standard domain, and each other that a node uses. */
static lac_status put_opsets(writer *w, lac_error *err)
{
    const lac_graph *graph = w->scope.graph;
    Onnx__OperatorSetIdProto **list =
        lac_arena_alloc(w->scope.arena, (size_t)graph->n_nodes + 1, sizeof *list, err);
    if (!list)
        return LAC_ERROR_MEMORY;
    size_t n = 0;
    LAC_TRY(lac_onnx_put_opset(&w->scope, "", graph->opset, &list[n++], err));
    for (int i = 0; i < graph->n_nodes; i++) {
        size_t known = 0;
        while (known < n && strcmp(list[known]->domain, graph->nodes[i].domain) != 0)
            known++;
        if (known == n)
            LAC_TRY(lac_onnx_put_opset(&w->scope, graph->nodes[i].domain, LACUNA_OPSET, &list[n++],
                                       err));
    }
    w->model.opset_import = list;
    w->model.n_opset_import = n;
    return LAC_OK;
}

static lac_status put_metadata(writer *w, lac_error *err)
{
    const lac_graph *graph = w->scope.graph;
    w->model.metadata_props = lac_arena_alloc(w->scope.arena, (size_t)graph->n_meta + 1,
                                              sizeof *w->model.metadata_props, err);
    if (!w->model.metadata_props)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < graph->n_meta; i++)
        LAC_TRY(lac_onnx_put_entry(&w->scope, graph->meta[i].key, graph->meta[i].text,
                                   &w->model.metadata_props[w->model.n_metadata_props++], err));
    return LAC_OK;
}

static lac_status put_model(writer *w, lac_error *err)
{
    static char producer[] = "lacuna", version[] = LAC_VERSION_STRING;
    const lac_graph *graph = w->scope.graph;
    bool *read;
    onnx__model_proto__init(&w->model);
    onnx__graph_proto__init(&w->graph);
    w->model.has_ir_version = 1;
    w->model.ir_version = IR_VERSION;
    w->model.producer_name = producer;
    w->model.producer_version = version;
    w->model.graph = &w->graph;
    /* A graph without a name is refused by the standard's checker. */
    const char *name = graph->name[0] ? graph->name : "graph";
    w->graph.name = lac_arena_strdup(w->scope.arena, name, strlen(name), err);
    if (!w->graph.name)
        return LAC_ERROR_MEMORY;
    LAC_TRY(find_read(w, &read, err));
    LAC_TRY(put_constants(w, read, err));
    LAC_TRY(put_types(w, graph->inputs, graph->n_inputs, &w->graph.n_input, &w->graph.input, err));
    LAC_TRY(
        put_types(w, graph->outputs, graph->n_outputs, &w->graph.n_output, &w->graph.output, err));
    LAC_TRY(put_inner_types(w, err));
    LAC_TRY(put_nodes(w, err));
    LAC_TRY(put_opsets(w, err));
    return put_metadata(w, err);
}

static lac_status write_data(const writer *w, lac_aside *file, lac_error *err)
{
    static const char zeros[DATA_ALIGNMENT];
    uint64_t at = 0;
    for (int i = 0; i < w->n_external; i++) {
        const lac_tensor *tensor = &w->scope.graph->values[w->external[i]].constant;
        LAC_TRY(lac_aside_write(file, zeros, (size_t)(-at % DATA_ALIGNMENT), err));
        LAC_TRY(lac_aside_write(file, tensor->data, lac_tensor_bytes(tensor), err));
        at = (at + DATA_ALIGNMENT - 1) / DATA_ALIGNMENT * DATA_ALIGNMENT + lac_tensor_bytes(tensor);
    }
    /* Vector code may read a register past the last element. */
    LAC_TRY(lac_aside_write(file, zeros, sizeof zeros, err));
    return lac_aside_sync(file, err);
}

static lac_status pack(const writer *w, uint8_t **block, size_t *bytes, lac_error *err)
{
    *bytes = onnx__model_proto__get_packed_size(&w->model);
    if (*bytes > INT32_MAX) /* what protobuf readers take */
        return lac_fail(err, LAC_ERROR_INPUT,
                        "the model has %zu bytes, limit %d: keep large constants in a data file",
                        *bytes, INT32_MAX);
    *block = lac_alloc_raw(*bytes, 1, err);
    if (!*block)
        return LAC_ERROR_MEMORY;
    onnx__model_proto__pack(&w->model, *block);
    return LAC_OK;
}

/* Both files are whole on the disk before either gets its name. */
static lac_status write_both(const writer *w, const char *path, const char *data_path,
                             const uint8_t *block, size_t bytes, lac_error *err)
{
    lac_aside both[2] = {0}, *data = &both[0], *model = &both[1];
    lac_status status = lac_aside_open(data, data_path, err);
    if (status == LAC_OK)
        status = write_data(w, data, err);
    if (status == LAC_OK)
        status = lac_aside_open(model, path, err);
    if (status == LAC_OK)
        status = lac_aside_write(model, block, bytes, err);
    if (status == LAC_OK)
        status = lac_aside_sync(model, err);
    if (status == LAC_OK)
        status = lac_aside_rename(both, 2, err);
    lac_aside_release(model);
    lac_aside_release(data);
    return status;
}

static lac_status save(writer *w, const lac_graph *graph, struct lac_arena *arena, const char *path,
                       lac_error *err)
{
    struct stat there;
    uint8_t *block = NULL;
    size_t bytes;
    lac_text data_path = {0};
    lac_text_add(&data_path, "%s.data", path);
    if (data_path.failed)
        return lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
    const char *slash = strrchr(data_path.data, '/');
    w->location = slash ? slash + 1 : data_path.data;
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode))
        w->external_bytes = 0; /* a pipe or a device: nothing lies beside it */
    lac_status status = lac_onnx_scope_make(&w->scope, graph, arena, err);
    if (status == LAC_OK)
        status = put_model(w, err);
    if (status == LAC_OK)
        status = pack(w, &block, &bytes, err);
    if (status == LAC_OK)
        status = w->n_external ? write_both(w, path, data_path.data, block, bytes, err)
                               : lac_write_file(path, block, bytes, err);
    lac_free(block);
    lac_text_release(&data_path);
    return status;
}

lac_status lac_onnx_save(const lac_graph *graph, const char *path, size_t external_bytes,
                         lac_error *err)
{
    struct lac_arena *arena = lac_arena_make(err);
    if (!arena)
        return LAC_ERROR_MEMORY;
    writer w = {.external_bytes = external_bytes};
    lac_status status = save(&w, graph, arena, path, err);
    lac_onnx_functions_release(&w.functions);
    lac_arena_free(arena);
    /* Refusals of the operating system name the path already. */
    return status == LAC_OK || status == LAC_ERROR_IO ? status
                                                      : lac_fail_in(err, status, "%s", path);
}
