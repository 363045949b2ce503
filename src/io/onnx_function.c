/* Packed weights for everybody: the file spells each lacuna.Unpack out as a model-local function of
 * standard operators. A function's body cannot depend on attributes the way shapes do, so each
 * distinct (format, parameters, view, element type, shape, field lengths) has a function of its
 * own, Unpack_FORMAT_1, _2, ...; the node keeps the attributes, the function only declares them,
 * and our reader takes the node and leaves the body. */
#include "core/memory.h"
#include "core/text.h"
#include "format/packed.h"
#include "io/onnx_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { BODY_OPSET_MIN = 11 };

bool lac_onnx_is_unpack(const lac_node *node)
{
    return strcmp(node->domain, "lacuna") == 0 && strcmp(node->op, "Unpack") == 0;
}

void lac_onnx_functions_release(lac_onnx_functions *functions)
{
    for (int i = 0; i < functions->n; i++)
        lac_graph_free(functions->bodies[i]);
    lac_free(functions->bodies);
    lac_free(functions->list);
    lac_free(functions->key);
    memset(functions, 0, sizeof *functions);
}

/* Room for one more in the three arrays, which grow together. */
static lac_status room(lac_onnx_functions *functions, lac_error *err)
{
    size_t n = (size_t)functions->n, more = n ? 2 * n : 8;
    if (n && (n < 8 || (n & (n - 1))))
        return LAC_OK; /* sizes are 8, 16, 32, ...: full only at those */
    void *list = lac_grow(functions->list, n, more, sizeof *functions->list, err);
    if (!list)
        return LAC_ERROR_MEMORY;
    functions->list = list;
    void *key = lac_grow(functions->key, n, more, sizeof *functions->key, err);
    if (!key)
        return LAC_ERROR_MEMORY;
    functions->key = key;
    void *bodies = lac_grow(functions->bodies, n, more, sizeof *functions->bodies, err);
    if (!bodies)
        return LAC_ERROR_MEMORY;
    functions->bodies = bodies;
    return LAC_OK;
}

/* The packed weight of a node with fields of known length but without data. */
static lac_status describe(const lac_graph *graph, const lac_node *node, lac_packed *packed,
                           lac_error *err)
{
    lac_tensor field[LAC_MAX_FIELDS];
    const lac_tensor *in[LAC_MAX_FIELDS];
    if (node->n_in > LAC_MAX_FIELDS)
        return lac_fail(err, LAC_ERROR_INPUT, "node '%.80s' (Unpack): %d inputs, limit %d",
                        node->name, node->n_in, LAC_MAX_FIELDS);
    for (int i = 0; i < node->n_in; i++) {
        const lac_value *value = node->in[i] < 0 ? NULL : &graph->values[node->in[i]];
        if (!value || value->rank != 1 || value->dims[0].size < 0)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "node '%.80s' (Unpack): the length of input %d is not known",
                            node->name, i);
        field[i] = lac_tensor_view(value->dtype, 1, &value->dims[0].size, NULL);
        in[i] = &field[i];
    }
    return lac_packed_from_node(packed, node, node->n_in, in, err);
}

static void write_key(lac_text *key, const lac_packed *packed, int n_fields)
{
    char params[2048];
    lac_text_add(key, "%s %s %s %d [", packed->format->row.name,
                 lac_params_print(&packed->params, params, sizeof params),
                 lac_view_name(packed->view), (int)packed->dtype);
    for (int i = 0; i < packed->rank; i++)
        lac_text_add(key, " %" PRId64, packed->dims[i]);
    lac_text_add(key, "]");
    for (int i = 0; i < n_fields; i++)
        lac_text_add(key, " %" PRId64, packed->field[i].dims[0]);
}

/* The second input, constant axes, as an attribute, which it was before opset 13. */
static lac_status axes_to_attribute(const lac_onnx_scope *scope, const lac_node *from,
                                    Onnx__NodeProto *node, lac_error *err)
{
    const lac_value *axes = from->n_in == 2 ? &scope->graph->values[from->in[1]] : NULL;
    Onnx__AttributeProto *attribute;
    if (!axes || axes->constant.dtype != LAC_I64 || !axes->constant.data)
        return lac_fail(err, LAC_ERROR_INTERNAL, "%s of a body without constant axes", from->op);
    attribute = lac_arena_alloc(scope->arena, 1, sizeof *attribute, err);
    Onnx__AttributeProto **list =
        lac_arena_alloc(scope->arena, node->n_attribute + 1, sizeof *list, err);
    if (!attribute || !list)
        return LAC_ERROR_MEMORY;
    static char name[] = "axes";
    onnx__attribute_proto__init(attribute);
    attribute->name = name;
    attribute->has_type = 1;
    attribute->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
    attribute->n_ints = (size_t)lac_tensor_count(&axes->constant);
    attribute->ints = axes->constant.data;
    memcpy(list, node->attribute, node->n_attribute * sizeof *list);
    list[node->n_attribute++] = attribute;
    node->attribute = list;
    node->n_input = 1;
    return LAC_OK;
}

/* Bodies are made in the newest opset's forms; this takes a node back to `opset`, at least
 * BODY_OPSET_MIN, the first that has ScatterElements and CumSum. */
static lac_status adapt(const lac_onnx_scope *scope, const lac_node *from, int opset,
                        Onnx__NodeProto *node, lac_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < node->n_attribute; i++) /* only a weight without elements needs it */
        if (opset >= 14 || strcmp(node->attribute[i]->name, "allowzero") != 0)
            node->attribute[kept++] = node->attribute[i];
    node->n_attribute = kept;
    bool axes = strcmp(from->op, "ReduceSum") == 0 || strcmp(from->op, "Squeeze") == 0 ||
                strcmp(from->op, "Unsqueeze") == 0;
    return opset < 13 && axes ? axes_to_attribute(scope, from, node, err) : LAC_OK;
}

/* Constants come first, then the nodes in their order; names are the body's own. */
static lac_status put_body(const lac_onnx_scope *scope, int opset, Onnx__FunctionProto *function,
                           lac_error *err)
{
    const lac_graph *body = scope->graph;
    function->node = lac_arena_alloc(scope->arena, (size_t)(body->n_values + body->n_nodes) + 1,
                                     sizeof *function->node, err);
    function->input =
        lac_arena_alloc(scope->arena, (size_t)body->n_inputs + 1, sizeof(char *), err);
    function->output =
        lac_arena_alloc(scope->arena, (size_t)body->n_outputs + 1, sizeof(char *), err);
    if (!function->node || !function->input || !function->output)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < body->n_inputs; i++)
        function->input[function->n_input++] = scope->names[body->inputs[i]];
    for (int i = 0; i < body->n_outputs; i++)
        function->output[function->n_output++] = scope->names[body->outputs[i]];
    for (int v = 0; v < body->n_values; v++) {
        if (!body->values[v].constant.data || lac_graph_readers(body, v, NULL) == 0)
            continue;
        lac_attr value = {
            .name = "value", .type = LAC_ATTR_TENSOR, .tensor = body->values[v].constant};
        lac_node node = {.name = scope->names[v],
                         .domain = "",
                         .op = "Constant",
                         .n_out = 1,
                         .n_attrs = 1,
                         .out = &v,
                         .attrs = &value};
        LAC_TRY(lac_onnx_put_node(scope, &node, node.op, &function->node[function->n_node++], err));
    }
    for (int n = 0; n < body->n_nodes; n++) {
        const lac_node *node = &body->nodes[n];
        Onnx__NodeProto *proto;
        LAC_TRY(lac_onnx_put_node(scope, node, node->op, &proto, err));
        LAC_TRY(adapt(scope, node, opset, proto, err));
        function->node[function->n_node++] = proto;
    }
    return LAC_OK;
}

static lac_status make(const lac_onnx_scope *scope, const lac_node *node, const char *format,
                       int number, const lac_graph *body, Onnx__FunctionProto **made,
                       lac_error *err)
{
    static char domain[] = "lacuna";
    struct lac_arena *arena = scope->arena;
    Onnx__FunctionProto *function = lac_arena_alloc(arena, 1, sizeof *function, err);
    lac_onnx_scope inner;
    char name[128], *attribute;
    if (!function)
        return LAC_ERROR_MEMORY;
    onnx__function_proto__init(function);
    int length = snprintf(name, sizeof name, "Unpack_%.100s_%d", format, number);
    for (int i = 0; i < length; i++) /* an identifier for every tool that makes code of it */
        if (name[i] == '-')
            name[i] = '_';
    function->name = lac_arena_strdup(arena, name, (size_t)length, err);
    function->domain = domain;
    function->attribute = lac_arena_alloc(arena, (size_t)node->n_attrs + 1, sizeof(char *), err);
    function->opset_import = lac_arena_alloc(arena, 1, sizeof *function->opset_import, err);
    if (!function->name || !function->attribute || !function->opset_import)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < node->n_attrs; i++) {
        attribute = lac_arena_strdup(arena, node->attrs[i].name, strlen(node->attrs[i].name), err);
        if (!attribute)
            return LAC_ERROR_MEMORY;
        function->attribute[function->n_attribute++] = attribute;
    }
    /* The standard wants a function and its model in compatible opsets. */
    int opset = scope->graph->opset;
    if (opset < BODY_OPSET_MIN)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "packed weights need opset %d or later, the model has %d; convert it with "
                        "onnx.version_converter",
                        BODY_OPSET_MIN, opset);
    LAC_TRY(lac_onnx_put_opset(scope, "", opset, &function->opset_import[0], err));
    function->n_opset_import = 1;
    LAC_TRY(lac_onnx_scope_make(&inner, body, arena, err));
    *made = function;
    return put_body(&inner, opset, function, err);
}

lac_status lac_onnx_unpack_function(lac_onnx_functions *functions, const lac_onnx_scope *scope,
                                    const lac_node *node, const char **name, lac_error *err)
{
    lac_packed packed;
    lac_text key = {0};
    LAC_TRY(describe(scope->graph, node, &packed, err));
    write_key(&key, &packed, node->n_in);
    int found = 0;
    while (found < functions->n && !key.failed && strcmp(functions->key[found], key.data) != 0)
        found++;
    lac_status status = key.failed ? lac_fail(err, LAC_ERROR_MEMORY, "out of memory") : LAC_OK;
    if (status == LAC_OK && found == functions->n) {
        char *kept = lac_arena_strdup(scope->arena, key.data, key.length, err);
        status = kept ? room(functions, err) : LAC_ERROR_MEMORY;
        lac_graph *body = NULL;
        if (status == LAC_OK)
            status = lac_unpack_body(&packed, &body, err);
        if (status == LAC_OK) {
            functions->bodies[found] = body;
            functions->key[found] = kept;
            functions->n++;
            status = make(scope, node, packed.format->row.name, functions->n, body,
                          &functions->list[found], err);
        }
    }
    if (status == LAC_OK)
        *name = functions->list[found]->name;
    lac_text_release(&key);
    lac_packed_release(&packed);
    return status;
}
