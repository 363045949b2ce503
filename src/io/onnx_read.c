/* ModelProto -> graph. Names become value numbers, initializers constants, sparse initializers
 * packed weights (format coo), foreign model-local functions are inlined; our own function bodies
 * are not read, because the operator they spell is ours. */
#include "core/memory.h"
#include "format/packed.h"
#include "io/onnx.h"
#include "io/onnx_private.h"

#include <lacuna/lacuna.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More than any honest model has; some of these are searched one by one. */
enum { INLINE_DEPTH = 16, LIST_LIMIT = 10000 };

/* Value numbers by name: open addressing over interned names. */
typedef struct names {
    int *slot; /* value + 1; 0: free */
    size_t size, used;
} names;

typedef struct reader {
    lac_graph *graph;
    const Onnx__ModelProto *model;
    const char *folder;
    names names;
    int scopes; /* inlined calls so far: each has names of its own */
} reader;

static size_t hash(const char *text)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return (size_t)(h ^ (h >> 29));
}

static size_t slot_of(const reader *r, const char *name)
{
    size_t i = hash(name) & (r->names.size - 1);
    while (r->names.slot[i] && strcmp(r->graph->values[r->names.slot[i] - 1].name, name) != 0)
        i = (i + 1) & (r->names.size - 1);
    return i;
}

static lac_status grow_names(reader *r, lac_error *err)
{
    names old = r->names;
    r->names.size = old.size ? 2 * old.size : 1024;
    r->names.slot = lac_alloc(r->names.size, sizeof(int), err);
    if (!r->names.slot) {
        r->names = old;
        return LAC_ERROR_MEMORY;
    }
    for (size_t i = 0; i < old.size; i++)
        if (old.slot[i])
            r->names.slot[slot_of(r, r->graph->values[old.slot[i] - 1].name)] = old.slot[i];
    lac_free(old.slot);
    return LAC_OK;
}

/* The value called `name`, made when new. */
static lac_status value_of(reader *r, const char *name, int *value, lac_error *err)
{
    if (2 * (r->names.used + 1) > r->names.size)
        LAC_TRY(grow_names(r, err));
    size_t i = slot_of(r, name);
    if (!r->names.slot[i]) {
        LAC_TRY(lac_graph_value(r->graph, name, value, err));
        r->names.slot[i] = *value + 1;
        r->names.used++;
    }
    *value = r->names.slot[i] - 1;
    return LAC_OK;
}

static const char *text_of(const char *text)
{
    return text ? text : "";
}

static lac_status set_constant(reader *r, const char *name, lac_tensor *tensor, lac_error *err)
{
    int value;
    lac_status status = value_of(r, name, &value, err);
    lac_value *v = status == LAC_OK ? &r->graph->values[value] : NULL;
    if (v && v->constant.data)
        status = lac_fail(err, LAC_ERROR_INPUT, "initializer '%.80s' is there twice", name);
    if (status != LAC_OK) {
        lac_tensor_release(tensor);
        return status;
    }
    v->dtype = tensor->dtype;
    v->rank = tensor->rank;
    for (int i = 0; i < tensor->rank; i++)
        v->dims[i].size = tensor->dims[i];
    v->constant = *tensor;
    return LAC_OK;
}

static lac_status read_type(reader *r, const Onnx__ValueInfoProto *info, lac_error *err)
{
    int value;
    const char *name = text_of(info->name);
    LAC_TRY(value_of(r, name, &value, err));
    if (!info->type)
        return LAC_OK;
    if (info->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !info->type->tensor_type)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "value '%.80s' is not a tensor", name);
    const Onnx__TypeProto__Tensor *type = info->type->tensor_type;
    lac_value *v = &r->graph->values[value];
    if (v->constant.data)
        return LAC_OK;
    v->dtype = type->elem_type > 0 && type->elem_type < LAC_DTYPE_LIMIT ? (lac_dtype)type->elem_type
                                                                        : LAC_NONE;
    if (!type->shape)
        return LAC_OK;
    if (type->shape->n_dim > LAC_MAX_RANK)
        return lac_fail(err, LAC_ERROR_INPUT, "value '%.80s': rank %zu, limit %d", name,
                        type->shape->n_dim, LAC_MAX_RANK);
    v->rank = (int)type->shape->n_dim;
    for (int i = 0; i < v->rank; i++) {
        const Onnx__TensorShapeProto__Dimension *dim = type->shape->dim[i];
        v->dims[i] = (lac_dim){-1, NULL};
        if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE) {
            if (dim->dim_value < 0)
                return lac_fail(err, LAC_ERROR_INPUT,
                                "value '%.80s': dimension %d is %lld, below 0", name, i,
                                (long long)dim->dim_value);
            v->dims[i].size = dim->dim_value;
        } else if (dim->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM &&
                   dim->dim_param && dim->dim_param[0]) {
            v->dims[i].symbol =
                lac_arena_intern(r->graph->arena, dim->dim_param, strlen(dim->dim_param), err);
            if (!v->dims[i].symbol)
                return LAC_ERROR_MEMORY;
        }
    }
    return LAC_OK;
}

static char *text_of_bytes(lac_graph *graph, const ProtobufCBinaryData *bytes, lac_error *err)
{
    return lac_arena_strdup(graph->arena, bytes->data ? (const char *)bytes->data : "",
                            bytes->data ? bytes->len : 0, err);
}

static lac_status read_attribute(reader *r, lac_node *node, const char *name,
                                 const Onnx__AttributeProto *attr, lac_error *err)
{
    lac_graph *graph = r->graph;
    switch (attr->type) {
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT:
        return lac_node_set_int(graph, node, name, attr->i, err);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT:
        return lac_node_set_float(graph, node, name, attr->f, err);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS:
        return lac_node_set_ints(graph, node, name, (int64_t)attr->n_ints, attr->ints, err);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS:
        return lac_node_set_floats(graph, node, name, (int64_t)attr->n_floats, attr->floats, err);
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING: {
        char *text = text_of_bytes(graph, &attr->s, err);
        return text ? lac_node_set_string(graph, node, name, text, err) : LAC_ERROR_MEMORY;
    }
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS: {
        const char **list = lac_arena_alloc(graph->arena, attr->n_strings, sizeof *list, err);
        for (size_t i = 0; list && i < attr->n_strings; i++)
            if (!(list[i] = text_of_bytes(graph, &attr->strings[i], err)))
                list = NULL;
        return list ? lac_node_set_strings(graph, node, name, (int64_t)attr->n_strings, list, err)
                    : LAC_ERROR_MEMORY;
    }
    case ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR: {
        lac_tensor tensor;
        if (!attr->t)
            return lac_fail(err, LAC_ERROR_INPUT, "attribute '%s' has no tensor", name);
        LAC_TRY(lac_onnx_tensor(&tensor, attr->t, r->folder, err));
        lac_status status = lac_node_set_tensor(graph, node, name, &tensor, err);
        lac_tensor_release(&tensor);
        return status;
    }
    default:
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "attribute '%.80s' is a %s", name,
                        attr->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH ? "graph"
                        : attr->type == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__SPARSE_TENSOR
                            ? "sparse tensor"
                            : "list of tensors, graphs or types, or nothing");
    }
}

/* How names and attributes inside an inlined function are to be read. NULL: the main graph. */
typedef struct scope {
    const Onnx__FunctionProto *function;
    const Onnx__NodeProto *call;
    const struct scope *outer;
    int number;
    int depth;
} scope;

static lac_status scoped_value(reader *r, const scope *s, const char *name, int *value,
                               lac_error *err)
{
    *value = -1;
    if (!name || !name[0])
        return LAC_OK;
    if (!s)
        return value_of(r, name, value, err);
    for (size_t i = 0; i < s->function->n_input; i++)
        if (strcmp(s->function->input[i], name) == 0)
            return i < s->call->n_input ? scoped_value(r, s->outer, s->call->input[i], value, err)
                                        : LAC_OK;
    for (size_t i = 0; i < s->function->n_output; i++)
        if (strcmp(s->function->output[i], name) == 0 && i < s->call->n_output &&
            s->call->output[i][0])
            return scoped_value(r, s->outer, s->call->output[i], value, err);
    size_t room = strlen(name) + 16;
    char *local = lac_arena_alloc(r->graph->arena, room, 1, err);
    if (!local)
        return LAC_ERROR_MEMORY;
    snprintf(local, room, "%s/%d", name, s->number);
    return value_of(r, local, value, err);
}

/* What the calls say about the function's attribute `name`; NULL: nothing. */
static const Onnx__AttributeProto *call_attribute(const scope *s, const char *name)
{
    for (; s; s = s->outer) {
        const Onnx__AttributeProto *given = NULL;
        for (size_t i = 0; i < s->call->n_attribute && !given; i++)
            if (strcmp(text_of(s->call->attribute[i]->name), name) == 0)
                given = s->call->attribute[i];
        if (!given || !given->ref_attr_name || !given->ref_attr_name[0])
            return given;
        name = given->ref_attr_name; /* the call stands in a function itself */
    }
    return NULL;
}

static lac_status read_node(reader *r, const scope *s, const Onnx__NodeProto *proto,
                            lac_error *err);

static const Onnx__FunctionProto *function_of(const reader *r, const Onnx__NodeProto *proto)
{
    const char *domain = text_of(proto->domain);
    if (strcmp(domain, "lacuna") == 0)
        return NULL;
    for (size_t i = 0; i < r->model->n_functions; i++) {
        const Onnx__FunctionProto *function = r->model->functions[i];
        if (strcmp(text_of(function->domain), domain) == 0 &&
            strcmp(text_of(function->name), text_of(proto->op_type)) == 0)
            return function;
    }
    return NULL;
}

/* The graph has one opset, so a body must be written in the same. */
static lac_status check_function_opset(const reader *r, const Onnx__FunctionProto *function,
                                       lac_error *err)
{
    for (size_t i = 0; i < function->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *opset = function->opset_import[i];
        const char *domain = text_of(opset->domain);
        if ((domain[0] == 0 || strcmp(domain, "ai.onnx") == 0) && opset->version != r->graph->opset)
            return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                            "function '%.80s' is written in opset %lld, the model in %d",
                            text_of(function->name), (long long)opset->version, r->graph->opset);
    }
    return LAC_OK;
}

static lac_status inline_call(reader *r, const scope *s, const Onnx__NodeProto *proto,
                              const Onnx__FunctionProto *function, lac_error *err)
{
    scope inner = {function, proto, s, ++r->scopes, s ? s->depth + 1 : 1};
    if (inner.depth > INLINE_DEPTH || r->scopes > 100000)
        return lac_fail(err, LAC_ERROR_INPUT, "functions call each other deeper than %d",
                        INLINE_DEPTH);
    LAC_TRY(check_function_opset(r, function, err));
    for (size_t i = 0; i < function->n_node; i++)
        LAC_TRY(read_node(r, &inner, function->node[i], err));
    return LAC_OK;
}

static lac_status add_node(reader *r, const scope *s, const Onnx__NodeProto *proto, int *list,
                           lac_error *err)
{
    int n_in = (int)proto->n_input, n_out = (int)proto->n_output;
    const char *domain = text_of(proto->domain), *op = text_of(proto->op_type);
    lac_node *node;
    for (int i = 0; i < n_in; i++)
        LAC_TRY(scoped_value(r, s, proto->input[i], &list[i], err));
    for (int i = 0; i < n_out; i++)
        LAC_TRY(scoped_value(r, s, proto->output[i], &list[n_in + i], err));
    if (strcmp(domain, "ai.onnx") == 0)
        domain = "";
    /* Our packed weights: files name one function per body, the operator is one. */
    if (strcmp(domain, "lacuna") == 0 && strncmp(op, "Unpack", 6) == 0)
        op = "Unpack";
    LAC_TRY(lac_graph_node(r->graph, domain, op, proto->name, n_in, list, n_out, list + n_in, &node,
                           err));
    for (size_t i = 0; i < proto->n_attribute; i++) {
        const Onnx__AttributeProto *attr = proto->attribute[i];
        const char *name = text_of(attr->name);
        if (attr->ref_attr_name && attr->ref_attr_name[0])
            attr = call_attribute(s, attr->ref_attr_name);
        if (attr) /* absent in the call: the operator's default */
            LAC_TRY(read_attribute(r, node, name, attr, err));
    }
    return LAC_OK;
}

static lac_status read_node(reader *r, const scope *s, const Onnx__NodeProto *proto, lac_error *err)
{
    const Onnx__FunctionProto *function = function_of(r, proto);
    lac_status status;
    if (function) {
        status = inline_call(r, s, proto, function, err);
    } else {
        int *list = lac_alloc(proto->n_input + proto->n_output, sizeof *list, err);
        status = list ? add_node(r, s, proto, list, err) : LAC_ERROR_MEMORY;
        lac_free(list);
    }
    if (status == LAC_OK)
        return LAC_OK;
    return lac_fail_in(err, status, "node '%.80s' (%.40s)", text_of(proto->name),
                       text_of(proto->op_type));
}

/* Coordinates [nnz][rank] or linear positions [nnz] -> linear, into `index`. */
static lac_status linear_index(const lac_tensor *given, const lac_packed *packed, lac_tensor *index,
                               lac_error *err)
{
    int64_t nnz = packed->field[0].dims[0], rank = packed->rank;
    bool coordinates = given->rank == 2 && given->dims[0] == nnz && given->dims[1] == rank;
    if (given->dtype != LAC_I64 || (!coordinates && (given->rank != 1 || given->dims[0] != nnz)))
        return lac_fail(err, LAC_ERROR_INPUT, "indices: want int64 [%lld] or [%lld,%lld]",
                        (long long)nnz, (long long)nnz, (long long)rank);
    LAC_TRY(lac_tensor_make(index, LAC_I64, 1, &nnz, err));
    for (int64_t i = 0; i < nnz; i++) {
        const int64_t *at = (const int64_t *)given->data + i * (coordinates ? rank : 1);
        int64_t linear = coordinates ? 0 : at[0];
        for (int64_t d = 0; coordinates && d < rank; d++) {
            if (at[d] < 0 || at[d] >= packed->dims[d])
                return lac_fail(err, LAC_ERROR_INPUT, "index %lld of non-zero %lld: limit %lld",
                                (long long)at[d], (long long)i, (long long)packed->dims[d]);
            linear = linear * packed->dims[d] + at[d];
        }
        ((int64_t *)index->data)[i] = linear;
    }
    return LAC_OK;
}

/* Kept sparse: a packed weight of format coo. */
static lac_status read_sparse(reader *r, const Onnx__SparseTensorProto *proto, lac_error *err)
{
    lac_packed packed = {.view = LAC_VIEW_ROWS, .rank = (int)proto->n_dims};
    lac_tensor given = {0};
    int value;
    if (!proto->values || !proto->indices)
        return lac_fail(err, LAC_ERROR_INPUT, "sparse initializer without values or indices");
    const char *name = text_of(proto->values->name);
    if (proto->n_dims > LAC_MAX_RANK)
        return lac_fail(err, LAC_ERROR_INPUT, "sparse initializer '%.80s': rank %zu, limit %d",
                        name, proto->n_dims, LAC_MAX_RANK);
    packed.format = (const lac_format *)lac_table_find(&lac_formats, "coo");
    lac_params_init(&packed.params, packed.format->params);
    for (size_t i = 0; i < proto->n_dims; i++)
        packed.dims[i] = proto->dims[i];
    lac_status status = lac_onnx_tensor(&packed.field[0], proto->values, r->folder, err);
    if (status == LAC_OK && packed.field[0].rank != 1)
        status = lac_fail(err, LAC_ERROR_INPUT, "values of rank %d, want 1", packed.field[0].rank);
    if (status == LAC_OK)
        status = lac_onnx_tensor(&given, proto->indices, r->folder, err);
    packed.dtype = packed.field[0].dtype;
    if (status == LAC_OK)
        status =
            lac_view_size(packed.view, packed.rank, packed.dims, &packed.rows, &packed.cols, err);
    if (status == LAC_OK)
        status = linear_index(&given, &packed, &packed.field[1], err);
    if (status == LAC_OK)
        status = lac_packed_validate(&packed, err);
    if (status == LAC_OK) {
        size_t before = (size_t)r->graph->n_values;
        status = lac_packed_to_graph(&packed, r->graph, name, &value, err);
        /* The unpacked value and its fields enter the name table like any other. */
        for (size_t i = before; status == LAC_OK && i < (size_t)r->graph->n_values; i++) {
            if (2 * (r->names.used + 1) > r->names.size)
                status = grow_names(r, err);
            if (status != LAC_OK)
                break;
            size_t slot = slot_of(r, r->graph->values[i].name);
            if (r->names.slot[slot])
                status = lac_fail(err, LAC_ERROR_INPUT, "the name is taken");
            r->names.slot[slot] = (int)i + 1;
            r->names.used++;
        }
    }
    lac_tensor_release(&given);
    lac_packed_release(&packed);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "sparse initializer '%.80s'", name);
}

static lac_status read_input(reader *r, const Onnx__ValueInfoProto *info, lac_error *err)
{
    int value;
    LAC_TRY(read_type(r, info, err));
    LAC_TRY(value_of(r, text_of(info->name), &value, err));
    const lac_value *v = &r->graph->values[value];
    if (v->constant.data || v->producer >= 0) /* an initializer is only a default */
        return LAC_OK;
    for (int i = 0; i < r->graph->n_inputs; i++)
        if (r->graph->inputs[i] == value)
            return lac_fail(err, LAC_ERROR_INPUT, "input '%.80s' is there twice", v->name);
    return lac_graph_input(r->graph, value, err);
}

/* Reports and captures call nodes by their names. */
static lac_status unique_nodes(lac_graph *graph, lac_error *err)
{
    char **list = lac_arena_alloc(graph->arena, (size_t)graph->n_nodes + 1, sizeof *list, err);
    if (!list)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < graph->n_nodes; i++)
        list[i] = (char *)graph->nodes[i].name;
    LAC_TRY(lac_onnx_unique_names(graph->arena, graph->n_nodes, list, err));
    for (int i = 0; i < graph->n_nodes; i++) {
        graph->nodes[i].name = lac_arena_intern(graph->arena, list[i], strlen(list[i]), err);
        if (!graph->nodes[i].name)
            return LAC_ERROR_MEMORY;
    }
    return LAC_OK;
}

static lac_status check_lists(const Onnx__ModelProto *model, lac_error *err)
{
    const struct {
        const char *what;
        size_t n;
    } lists[] = {{"inputs", model->graph->n_input},
                 {"outputs", model->graph->n_output},
                 {"functions", model->n_functions},
                 {"metadata entries", model->n_metadata_props}};
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++)
        if (lists[i].n > LIST_LIMIT)
            return lac_fail(err, LAC_ERROR_INPUT, "the model has %zu %s, limit %d", lists[i].n,
                            lists[i].what, LIST_LIMIT);
    return LAC_OK;
}

static lac_status read_graph(reader *r, lac_error *err)
{
    const Onnx__GraphProto *proto = r->model->graph;
    LAC_TRY(check_lists(r->model, err));
    for (size_t i = 0; i < proto->n_initializer; i++) {
        lac_tensor tensor;
        LAC_TRY(lac_onnx_tensor(&tensor, proto->initializer[i], r->folder, err));
        LAC_TRY(set_constant(r, text_of(proto->initializer[i]->name), &tensor, err));
    }
    for (size_t i = 0; i < proto->n_sparse_initializer; i++)
        LAC_TRY(read_sparse(r, proto->sparse_initializer[i], err));
    for (size_t i = 0; i < proto->n_input; i++)
        LAC_TRY(read_input(r, proto->input[i], err));
    for (size_t i = 0; i < proto->n_value_info; i++)
        LAC_TRY(read_type(r, proto->value_info[i], err));
    for (size_t i = 0; i < proto->n_node; i++)
        LAC_TRY(read_node(r, NULL, proto->node[i], err));
    if (proto->n_output == 0)
        return lac_fail(err, LAC_ERROR_INPUT, "the graph has no output");
    for (size_t i = 0; i < proto->n_output; i++) {
        int value;
        LAC_TRY(read_type(r, proto->output[i], err));
        LAC_TRY(value_of(r, text_of(proto->output[i]->name), &value, err));
        LAC_TRY(lac_graph_output(r->graph, value, err));
    }
    for (size_t i = 0; i < r->model->n_metadata_props; i++)
        LAC_TRY(lac_graph_meta_set(r->graph, text_of(r->model->metadata_props[i]->key),
                                   text_of(r->model->metadata_props[i]->value), err));
    LAC_TRY(lac_graph_settle(r->graph, err));
    return unique_nodes(r->graph, err);
}

static lac_status find_opset(const Onnx__ModelProto *model, int *opset, lac_error *err)
{
    int64_t version = 0;
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const char *domain = text_of(model->opset_import[i]->domain);
        if (domain[0] == 0 || strcmp(domain, "ai.onnx") == 0)
            version = model->opset_import[i]->version;
        else if (strcmp(domain, "lacuna") == 0 && model->opset_import[i]->version > 1)
            return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                            "domain lacuna version %lld: this lacuna reads 1",
                            (long long)model->opset_import[i]->version);
    }
    if (version < LAC_OPSET_MIN || version > LAC_OPSET_MAX)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "opset %lld: want %d..%d; convert the model "
                        "with onnx.version_converter",
                        (long long)version, LAC_OPSET_MIN, LAC_OPSET_MAX);
    *opset = (int)version;
    return LAC_OK;
}

static lac_status read_model(const Onnx__ModelProto *model, const char *folder, lac_graph **graph,
                             lac_error *err)
{
    int opset = 0;
    if (!model->graph)
        return lac_fail(err, LAC_ERROR_INPUT, "the model has no graph");
    LAC_TRY(find_opset(model, &opset, err));
    reader r = {.model = model, .folder = folder};
    LAC_TRY(lac_graph_make(&r.graph, text_of(model->graph->name), opset, err));
    lac_status status = grow_names(&r, err);
    if (status == LAC_OK)
        status = read_graph(&r, err);
    lac_free(r.names.slot);
    if (status == LAC_OK)
        *graph = r.graph;
    else
        lac_graph_free(r.graph);
    return status;
}

lac_status lac_onnx_parse(lac_graph **graph, const void *data, size_t bytes, const char *folder,
                          lac_error *err)
{
    LAC_TRY(lac_onnx_check_depth(&onnx__model_proto__descriptor, data, bytes, err));
    Onnx__ModelProto *model = onnx__model_proto__unpack(NULL, bytes, data);
    if (!model)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "not an ONNX model: the protobuf message of %zu bytes "
                        "is malformed or cut short",
                        bytes);
    lac_status status = read_model(model, folder, graph, err);
    onnx__model_proto__free_unpacked(model, NULL);
    return status;
}

lac_status lac_onnx_load(lac_graph **graph, const char *path, lac_error *err)
{
    lac_buffer *buffer;
    const void *data;
    size_t bytes;
    LAC_TRY(lac_map_file(&buffer, &data, &bytes, path, err));
    char *copy = lac_strdup(path, err);
    lac_status status =
        copy ? lac_onnx_parse(graph, data, bytes, dirname(copy), err) : LAC_ERROR_MEMORY;
    lac_free(copy);
    lac_buffer_drop(buffer);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", path);
}
