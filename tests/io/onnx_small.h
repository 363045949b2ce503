/* Small ONNX models as protobuf messages, to be made wrong field by field. Include it after
 * cmocka.h and io/temporary.h. */
#ifndef LACUNA_TESTS_IO_ONNX_SMALL_H
#define LACUNA_TESTS_IO_ONNX_SMALL_H

#include "io/onnx.h"
#include "io/onnx_private.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 8 };

typedef struct small {
    Onnx__ModelProto model;
    Onnx__GraphProto graph;
    Onnx__OperatorSetIdProto opset, *opsets[1];
    Onnx__ValueInfoProto value[MOST], *inputs[MOST], *outputs[MOST];
    Onnx__NodeProto node[MOST], *nodes[MOST];
    char *names[MOST][4];
    Onnx__TensorProto tensor[MOST], *initializers[MOST];
    Onnx__SparseTensorProto sparse, *sparses[1];
    Onnx__FunctionProto function, *functions[1];
} small;

static inline void small_make(small *s)
{
    static char name[] = "small", domain[] = "";
    memset(s, 0, sizeof *s);
    onnx__model_proto__init(&s->model);
    onnx__graph_proto__init(&s->graph);
    onnx__operator_set_id_proto__init(&s->opset);
    onnx__sparse_tensor_proto__init(&s->sparse);
    onnx__function_proto__init(&s->function);
    for (int i = 0; i < MOST; i++) {
        onnx__value_info_proto__init(&s->value[i]);
        onnx__node_proto__init(&s->node[i]);
        onnx__tensor_proto__init(&s->tensor[i]);
        s->nodes[i] = &s->node[i];
        s->initializers[i] = &s->tensor[i];
    }
    s->model.has_ir_version = 1;
    s->model.ir_version = 8;
    s->model.graph = &s->graph;
    s->model.opset_import = s->opsets;
    s->model.n_opset_import = 1;
    s->opsets[0] = &s->opset;
    s->opset.domain = domain;
    s->opset.has_version = 1;
    s->opset.version = 13;
    s->graph.name = name;
    s->graph.node = s->nodes;
    s->graph.initializer = s->initializers;
    s->graph.sparse_initializer = s->sparses;
    s->sparses[0] = &s->sparse;
    s->graph.input = s->inputs;
    s->graph.output = s->outputs;
    s->model.functions = s->functions;
    s->functions[0] = &s->function;
}

static inline void small_value(small *s, char *name, bool output)
{
    size_t at = s->graph.n_input + s->graph.n_output;
    s->value[at].name = name;
    if (output)
        s->outputs[s->graph.n_output++] = &s->value[at];
    else
        s->inputs[s->graph.n_input++] = &s->value[at];
}

/* op(a, b) -> out; b NULL: one input. */
static inline Onnx__NodeProto *small_node(small *s, char *op, char *a, char *b, char *out)
{
    size_t at = s->graph.n_node++;
    Onnx__NodeProto *node = &s->node[at];
    s->names[at][0] = a;
    s->names[at][1] = b;
    s->names[at][2] = out;
    node->op_type = op;
    node->input = s->names[at];
    node->n_input = b ? 2 : 1;
    node->output = &s->names[at][2];
    node->n_output = 1;
    return node;
}

static inline Onnx__TensorProto *small_tensor(small *s, char *name, int type, size_t rank,
                                              int64_t *dims)
{
    Onnx__TensorProto *tensor = &s->tensor[s->graph.n_initializer++];
    tensor->name = name;
    tensor->dims = dims;
    tensor->n_dims = rank;
    tensor->has_data_type = 1;
    tensor->data_type = type;
    return tensor;
}

static inline void set_raw(Onnx__TensorProto *tensor, void *data, size_t bytes)
{
    tensor->has_raw_data = 1;
    tensor->raw_data.data = data;
    tensor->raw_data.len = bytes;
}

static inline lac_status small_parse(const small *s, lac_graph **graph, lac_error *err)
{
    size_t bytes = onnx__model_proto__get_packed_size(&s->model);
    uint8_t *data = malloc(bytes);
    memset(err, 0, sizeof *err);
    onnx__model_proto__pack(&s->model, data);
    lac_status status = lac_onnx_parse(graph, data, bytes, folder, err);
    free(data);
    return status;
}

static inline void refused(const small *s, lac_status want, const char *part)
{
    lac_graph *graph;
    lac_error err;
    lac_status status = small_parse(s, &graph, &err);
    if (status == LAC_OK) {
        lac_graph_free(graph);
        fail_msg("taken, want: %s", part);
    }
    says(&err, part);
    assert_int_equal(status, want);
}

/* x -> Relu -> y, and room for more. */
static inline void relu(small *s)
{
    small_make(s);
    small_value(s, "x", false);
    small_value(s, "y", true);
    small_node(s, "Relu", "x", NULL, "y");
}

/* x + w, where w = [2][3] holds 7 at (0,2) and 8 at (1,1). */
static inline void sparse_model(small *s, int64_t *index, size_t n_index_dims)
{
    static float values[2] = {7, 8};
    static int64_t dims[2] = {2, 3}, value_dims[1] = {2}, index_dims[2] = {2, 2};
    relu(s);
    s->node[0].op_type = "Add";
    s->names[0][1] = "w";
    s->node[0].n_input = 2;
    Onnx__TensorProto *v = small_tensor(s, "w", LAC_F32, 1, value_dims);
    set_raw(v, values, sizeof values);
    Onnx__TensorProto *i = small_tensor(s, "", LAC_I64, n_index_dims, index_dims);
    set_raw(i, index, (n_index_dims == 2 ? 4 : 2) * sizeof *index);
    s->sparse.values = v;
    s->sparse.indices = i;
    s->sparse.dims = dims;
    s->sparse.n_dims = 2;
    s->graph.n_initializer = 0;
    s->graph.n_sparse_initializer = 1;
}

#endif
