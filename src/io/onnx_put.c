/* Parts of a graph as protobuf messages. Messages live in an arena and borrow the bytes of
 * tensors, so that nothing large is copied before it is written. */
#include "core/memory.h"
#include "io/onnx_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A new message of `Type` in the arena, initialised; the enclosing function returns when memory is
 * short. */
#define NEW(Type, init, message)                                                                   \
    do {                                                                                           \
        message = lac_arena_alloc(scope->arena, 1, sizeof(Type), err);                             \
        if (!message)                                                                              \
            return LAC_ERROR_MEMORY;                                                               \
        init(message);                                                                             \
    } while (0)

static char *keep(const lac_onnx_scope *scope, const char *text, lac_error *err)
{
    return lac_arena_strdup(scope->arena, text, strlen(text), err);
}

typedef struct entry {
    const char *name;
    int index;
} entry;

static int by_name(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->index > y->index) - (x->index < y->index);
}

static bool taken(const entry *sorted, int n, const char *name)
{
    int low = 0, high = n;
    while (low < high) {
        int middle = low + (high - low) / 2, order = strcmp(sorted[middle].name, name);
        if (order == 0)
            return true;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

static lac_status rename_doubles(struct lac_arena *arena, int n, const entry *sorted, char **unique,
                                 lac_error *err)
{
    int serial = 0;
    for (int i = 0; i < n; i++) {
        const char *name = sorted[i].name;
        char fresh[300];
        if (!name[0] || (i > 0 && strcmp(name, sorted[i - 1].name) == 0)) {
            do
                snprintf(fresh, sizeof fresh, "%.240s~%d", sorted[i].name, ++serial);
            while (taken(sorted, n, fresh));
            name = fresh;
        }
        char *kept = lac_arena_strdup(arena, name, strlen(name), err);
        if (!kept)
            return LAC_ERROR_MEMORY;
        unique[sorted[i].index] = kept;
    }
    return LAC_OK;
}

lac_status lac_onnx_unique_names(struct lac_arena *arena, int n, char **names, lac_error *err)
{
    entry *sorted = lac_alloc((size_t)n + 1, sizeof *sorted, err);
    if (!sorted)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < n; i++)
        sorted[i] = (entry){names[i], i};
    qsort(sorted, (size_t)n, sizeof *sorted, by_name);
    lac_status status = rename_doubles(arena, n, sorted, names, err);
    lac_free(sorted);
    return status;
}

lac_status lac_onnx_scope_make(lac_onnx_scope *scope, const lac_graph *graph,
                               struct lac_arena *arena, lac_error *err)
{
    *scope = (lac_onnx_scope){graph, arena, NULL};
    scope->names = lac_arena_alloc(arena, (size_t)graph->n_values + 1, sizeof *scope->names, err);
    if (!scope->names)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < graph->n_values; i++)
        scope->names[i] = (char *)graph->values[i].name;
    return lac_onnx_unique_names(arena, graph->n_values, scope->names, err);
}

lac_status lac_onnx_put_entry(const lac_onnx_scope *scope, const char *key, const char *text,
                              Onnx__StringStringEntryProto **proto, lac_error *err)
{
    Onnx__StringStringEntryProto *made;
    NEW(Onnx__StringStringEntryProto, onnx__string_string_entry_proto__init, made);
    made->key = keep(scope, key, err);
    made->value = keep(scope, text, err);
    *proto = made;
    return made->key && made->value ? LAC_OK : LAC_ERROR_MEMORY;
}

lac_status lac_onnx_put_opset(const lac_onnx_scope *scope, const char *domain, int64_t version,
                              Onnx__OperatorSetIdProto **proto, lac_error *err)
{
    Onnx__OperatorSetIdProto *made;
    NEW(Onnx__OperatorSetIdProto, onnx__operator_set_id_proto__init, made);
    made->domain = keep(scope, domain, err);
    made->has_version = 1;
    made->version = version;
    *proto = made;
    return made->domain ? LAC_OK : LAC_ERROR_MEMORY;
}

lac_status lac_onnx_put_tensor(const lac_onnx_scope *scope, const char *name,
                               const lac_tensor *tensor, Onnx__TensorProto **proto, lac_error *err)
{
    Onnx__TensorProto *made;
    NEW(Onnx__TensorProto, onnx__tensor_proto__init, made);
    made->name = keep(scope, name, err);
    made->dims = lac_arena_alloc(scope->arena, (size_t)tensor->rank + 1, sizeof(int64_t), err);
    if (!made->name || !made->dims)
        return LAC_ERROR_MEMORY;
    made->n_dims = (size_t)tensor->rank;
    memcpy(made->dims, tensor->dims, made->n_dims * sizeof(int64_t));
    made->has_data_type = 1;
    made->data_type = (int32_t)tensor->dtype;
    made->has_raw_data = 1;
    made->raw_data.len = lac_tensor_bytes(tensor);
    made->raw_data.data = tensor->data;
    *proto = made;
    return LAC_OK;
}

static lac_status put_dim(const lac_onnx_scope *scope, const lac_dim *dim,
                          Onnx__TensorShapeProto__Dimension **proto, lac_error *err)
{
    Onnx__TensorShapeProto__Dimension *made;
    NEW(Onnx__TensorShapeProto__Dimension, onnx__tensor_shape_proto__dimension__init, made);
    if (dim->size >= 0) {
        made->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        made->dim_value = dim->size;
    } else if (dim->symbol) {
        made->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        made->dim_param = keep(scope, dim->symbol, err);
        if (!made->dim_param)
            return LAC_ERROR_MEMORY;
    }
    *proto = made;
    return LAC_OK;
}

lac_status lac_onnx_put_type(const lac_onnx_scope *scope, int value, Onnx__ValueInfoProto **proto,
                             lac_error *err)
{
    const lac_value *v = &scope->graph->values[value];
    Onnx__ValueInfoProto *made;
    NEW(Onnx__ValueInfoProto, onnx__value_info_proto__init, made);
    made->name = scope->names[value];
    *proto = made;
    if (v->dtype == LAC_NONE)
        return LAC_OK;
    Onnx__TypeProto__Tensor *type;
    NEW(Onnx__TypeProto, onnx__type_proto__init, made->type);
    NEW(Onnx__TypeProto__Tensor, onnx__type_proto__tensor__init, type);
    made->type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    made->type->tensor_type = type;
    type->has_elem_type = 1;
    type->elem_type = (int32_t)v->dtype;
    if (v->rank < 0)
        return LAC_OK;
    NEW(Onnx__TensorShapeProto, onnx__tensor_shape_proto__init, type->shape);
    type->shape->dim =
        lac_arena_alloc(scope->arena, (size_t)v->rank + 1, sizeof *type->shape->dim, err);
    if (!type->shape->dim)
        return LAC_ERROR_MEMORY;
    type->shape->n_dim = (size_t)v->rank;
    for (int i = 0; i < v->rank; i++)
        LAC_TRY(put_dim(scope, &v->dims[i], &type->shape->dim[i], err));
    return LAC_OK;
}

static lac_status put_text(const lac_onnx_scope *scope, const char *text,
                           ProtobufCBinaryData *bytes, lac_error *err)
{
    bytes->data = (uint8_t *)keep(scope, text, err);
    bytes->len = strlen(text);
    return bytes->data ? LAC_OK : LAC_ERROR_MEMORY;
}

static lac_status put_attribute(const lac_onnx_scope *scope, const lac_attr *attr,
                                Onnx__AttributeProto **proto, lac_error *err)
{
    Onnx__AttributeProto *made;
    NEW(Onnx__AttributeProto, onnx__attribute_proto__init, made);
    *proto = made;
    made->has_type = 1;
    if (!(made->name = keep(scope, attr->name, err)))
        return LAC_ERROR_MEMORY;
    switch (attr->type) {
    case LAC_ATTR_INT:
        made->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
        made->has_i = 1;
        made->i = attr->i;
        break;
    case LAC_ATTR_FLOAT:
        made->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
        made->has_f = 1;
        made->f = attr->f;
        break;
    case LAC_ATTR_STRING:
        made->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
        made->has_s = 1;
        return put_text(scope, attr->s, &made->s, err);
    case LAC_ATTR_TENSOR:
        made->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
        return lac_onnx_put_tensor(scope, "", &attr->tensor, &made->t, err);
    case LAC_ATTR_INTS:
        made->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
        made->n_ints = (size_t)attr->n;
        made->ints = (int64_t *)attr->ints; /* only read */
        break;
    case LAC_ATTR_FLOATS:
        made->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS;
        made->n_floats = (size_t)attr->n;
        made->floats = (float *)attr->floats;
        break;
    case LAC_ATTR_STRINGS:
        made->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRINGS;
        made->n_strings = (size_t)attr->n;
        made->strings =
            lac_arena_alloc(scope->arena, made->n_strings + 1, sizeof *made->strings, err);
        if (!made->strings)
            return LAC_ERROR_MEMORY;
        for (size_t i = 0; i < made->n_strings; i++)
            LAC_TRY(put_text(scope, attr->strings[i], &made->strings[i], err));
        break;
    }
    return LAC_OK;
}

static lac_status put_names(const lac_onnx_scope *scope, int n, const int *values, size_t *count,
                            char ***list, lac_error *err)
{
    static char absent[] = "";
    *list = lac_arena_alloc(scope->arena, (size_t)n + 1, sizeof **list, err);
    if (!*list)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < n; i++)
        (*list)[i] = values[i] < 0 ? absent : scope->names[values[i]];
    *count = (size_t)n;
    return LAC_OK;
}

lac_status lac_onnx_put_node(const lac_onnx_scope *scope, const lac_node *node, const char *op,
                             Onnx__NodeProto **proto, lac_error *err)
{
    Onnx__NodeProto *made;
    NEW(Onnx__NodeProto, onnx__node_proto__init, made);
    *proto = made;
    made->name = keep(scope, node->name, err);
    made->op_type = keep(scope, op, err);
    made->domain = keep(scope, node->domain, err);
    made->attribute =
        lac_arena_alloc(scope->arena, (size_t)node->n_attrs + 1, sizeof *made->attribute, err);
    if (!made->name || !made->op_type || !made->domain || !made->attribute)
        return LAC_ERROR_MEMORY;
    LAC_TRY(put_names(scope, node->n_in, node->in, &made->n_input, &made->input, err));
    LAC_TRY(put_names(scope, node->n_out, node->out, &made->n_output, &made->output, err));
    for (int i = 0; i < node->n_attrs; i++)
        LAC_TRY(put_attribute(scope, &node->attrs[i], &made->attribute[made->n_attribute++], err));
    return LAC_OK;
}
