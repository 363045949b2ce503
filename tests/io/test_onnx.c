/* ONNX files: what is written reads back as the same graph; what a reader must refuse. Small models
 * are built as protobuf messages here, real ones come from the shared folder. */
#include "core/memory.h"
#include "core/text.h"
#include "format/packed.h"
#include "helpers/golden.h"
#include "io/onnx.h"
#include "io/onnx_private.h"

#include <dirent.h>
#include <lacuna/lacuna.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "io/temporary.h"

/* ---- two graphs say the same ------------------------------------------------------------------
 */

static void same_tensor(const lac_tensor *a, const lac_tensor *b, const char *what)
{
    char text_a[128], text_b[128];
    if (a->dtype != b->dtype || a->rank != b->rank ||
        memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) != 0)
        fail_msg("%s: %s, then %s", what, lac_tensor_text(a, text_a, sizeof text_a),
                 lac_tensor_text(b, text_b, sizeof text_b));
    if (lac_tensor_bytes(a) && memcmp(a->data, b->data, lac_tensor_bytes(a)) != 0)
        fail_msg("%s: other bytes", what);
}

static const char *name_of(const lac_graph *graph, int value)
{
    return value < 0 ? "" : graph->values[value].name;
}

static void same_value(const lac_graph *a, int va, const lac_graph *b, int vb)
{
    assert_string_equal(name_of(a, va), name_of(b, vb));
    if (va < 0)
        return;
    const lac_value *x = &a->values[va], *y = &b->values[vb];
    assert_int_equal(x->dtype, y->dtype);
    assert_int_equal(x->rank, y->rank);
    for (int i = 0; i < x->rank; i++) {
        assert_int_equal(x->dims[i].size, y->dims[i].size);
        assert_int_equal(!x->dims[i].symbol, !y->dims[i].symbol);
        if (x->dims[i].symbol)
            assert_string_equal(x->dims[i].symbol, y->dims[i].symbol);
    }
    assert_int_equal(!x->constant.data, !y->constant.data);
    if (x->constant.data)
        same_tensor(&x->constant, &y->constant, x->name);
}

static void same_attr(const lac_attr *a, const lac_attr *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->type, b->type);
    switch (a->type) {
    case LAC_ATTR_INT:
        assert_int_equal(a->i, b->i);
        break;
    case LAC_ATTR_FLOAT:
        assert_memory_equal(&a->f, &b->f, sizeof a->f);
        break;
    case LAC_ATTR_STRING:
        assert_string_equal(a->s, b->s);
        break;
    case LAC_ATTR_TENSOR:
        same_tensor(&a->tensor, &b->tensor, a->name);
        break;
    case LAC_ATTR_INTS:
        assert_int_equal(a->n, b->n);
        assert_true(a->n == 0 || memcmp(a->ints, b->ints, (size_t)a->n * sizeof *a->ints) == 0);
        break;
    case LAC_ATTR_FLOATS:
        assert_int_equal(a->n, b->n);
        assert_true(a->n == 0 ||
                    memcmp(a->floats, b->floats, (size_t)a->n * sizeof *a->floats) == 0);
        break;
    case LAC_ATTR_STRINGS:
        assert_int_equal(a->n, b->n);
        for (int64_t i = 0; i < a->n; i++)
            assert_string_equal(a->strings[i], b->strings[i]);
        break;
    }
}

static void same_graph(const lac_graph *a, const lac_graph *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->opset, b->opset);
    assert_int_equal(a->n_inputs, b->n_inputs);
    assert_int_equal(a->n_outputs, b->n_outputs);
    assert_int_equal(a->n_nodes, b->n_nodes);
    assert_int_equal(a->n_meta, b->n_meta);
    for (int i = 0; i < a->n_inputs; i++)
        same_value(a, a->inputs[i], b, b->inputs[i]);
    for (int i = 0; i < a->n_outputs; i++)
        same_value(a, a->outputs[i], b, b->outputs[i]);
    for (int i = 0; i < a->n_meta; i++) {
        assert_string_equal(a->meta[i].key, b->meta[i].key);
        assert_string_equal(a->meta[i].text, b->meta[i].text);
    }
    for (int n = 0; n < a->n_nodes; n++) {
        const lac_node *x = &a->nodes[n], *y = &b->nodes[n];
        assert_string_equal(x->name, y->name);
        assert_string_equal(x->domain, y->domain);
        assert_string_equal(x->op, y->op);
        assert_int_equal(x->n_in, y->n_in);
        assert_int_equal(x->n_out, y->n_out);
        assert_int_equal(x->n_attrs, y->n_attrs);
        for (int i = 0; i < x->n_in; i++)
            same_value(a, x->in[i], b, y->in[i]);
        for (int i = 0; i < x->n_out; i++)
            same_value(a, x->out[i], b, y->out[i]);
        for (int i = 0; i < x->n_attrs; i++)
            same_attr(&x->attrs[i], &y->attrs[i]);
    }
}

/* Saves, loads, compares; leaves the file. */
static void round_trip(const lac_graph *graph, const char *path, size_t external_bytes)
{
    lac_error err = {0};
    lac_graph *again;
    ok(lac_onnx_save(graph, path, external_bytes, &err), &err);
    ok(lac_onnx_load(&again, path, &err), &err);
    same_graph(graph, again);
    lac_graph_free(again);
}

static void real_models(void **state)
{
    (void)state;
    char models[512], path[1024];
    struct dirent *each, *file;
    int count = 0;
    if (!golden_shared(models, sizeof models, "data/models")) {
        print_message("SKIP: no shared models (LACUNA_SHARED)\n");
        skip();
    }
    DIR *dir = opendir(models);
    while ((each = readdir(dir))) {
        snprintf(path, sizeof path, "%s/%s", models, each->d_name);
        DIR *inner = each->d_name[0] == '.' ? NULL : opendir(path);
        while (inner && (file = readdir(inner))) {
            size_t length = strlen(file->d_name);
            lac_error err = {0};
            lac_graph *graph;
            if (length < 5 || strcmp(file->d_name + length - 5, ".onnx") != 0)
                continue;
            snprintf(path, sizeof path, "%s/%s/%s", models, each->d_name, file->d_name);
            ok(lac_onnx_load(&graph, path, &err), &err);
            round_trip(graph, in_folder("inside.onnx"), 0);
            round_trip(graph, in_folder("outside.onnx"), 4096);
            lac_graph_free(graph);
            count++;
        }
        if (inner)
            closedir(inner);
    }
    closedir(dir);
    print_message("%d models\n", count);
    assert_true(count >= 20);
}

/* ---- small models as messages -------------------------------------------------------------- */

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

static void small_make(small *s)
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

static void small_value(small *s, char *name, bool output)
{
    size_t at = s->graph.n_input + s->graph.n_output;
    s->value[at].name = name;
    if (output)
        s->outputs[s->graph.n_output++] = &s->value[at];
    else
        s->inputs[s->graph.n_input++] = &s->value[at];
}

/* op(a, b) -> out; b NULL: one input. */
static Onnx__NodeProto *small_node(small *s, char *op, char *a, char *b, char *out)
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

static Onnx__TensorProto *small_tensor(small *s, char *name, int type, size_t rank, int64_t *dims)
{
    Onnx__TensorProto *tensor = &s->tensor[s->graph.n_initializer++];
    tensor->name = name;
    tensor->dims = dims;
    tensor->n_dims = rank;
    tensor->has_data_type = 1;
    tensor->data_type = type;
    return tensor;
}

static void set_raw(Onnx__TensorProto *tensor, void *data, size_t bytes)
{
    tensor->has_raw_data = 1;
    tensor->raw_data.data = data;
    tensor->raw_data.len = bytes;
}

static lac_status small_parse(const small *s, lac_graph **graph, lac_error *err)
{
    size_t bytes = onnx__model_proto__get_packed_size(&s->model);
    uint8_t *data = malloc(bytes);
    memset(err, 0, sizeof *err);
    onnx__model_proto__pack(&s->model, data);
    lac_status status = lac_onnx_parse(graph, data, bytes, folder, err);
    free(data);
    return status;
}

static void refused(const small *s, lac_status want, const char *part)
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
static void relu(small *s)
{
    small_make(s);
    small_value(s, "x", false);
    small_value(s, "y", true);
    small_node(s, "Relu", "x", NULL, "y");
}

static void bad_graphs(void **state)
{
    (void)state;
    small s;
    relu(&s);
    s.opset.version = 18;
    refused(&s, LAC_ERROR_UNSUPPORTED, "opset 18: want 7..17");
    relu(&s);
    s.opset.version = 6;
    refused(&s, LAC_ERROR_UNSUPPORTED, "opset 6");
    relu(&s);
    s.model.n_opset_import = 0;
    refused(&s, LAC_ERROR_UNSUPPORTED, "opset 0");
    relu(&s);
    s.model.graph = NULL;
    refused(&s, LAC_ERROR_INPUT, "no graph");
    relu(&s);
    s.graph.n_output = 0;
    refused(&s, LAC_ERROR_INPUT, "no output");
    relu(&s);
    s.names[0][0] = "nobody";
    refused(&s, LAC_ERROR_INPUT, "value 'nobody' read by Relu_0 is produced by nothing");
    relu(&s);
    small_node(&s, "Neg", "x", NULL, "y");
    refused(&s, LAC_ERROR_INPUT, "value 'y' is produced twice");
    relu(&s);
    s.names[0][0] = "b";
    small_node(&s, "Neg", "y", NULL, "b");
    refused(&s, LAC_ERROR_INPUT, "cycle");
    relu(&s);
    small_value(&s, "x", false);
    refused(&s, LAC_ERROR_INPUT, "input 'x' is there twice");
    relu(&s);
    s.names[0][2] = "x";
    refused(&s, LAC_ERROR_INPUT, "input 'x' is also produced");

    relu(&s);
    Onnx__AttributeProto attribute = ONNX__ATTRIBUTE_PROTO__INIT, *attributes[] = {&attribute};
    Onnx__GraphProto body = ONNX__GRAPH_PROTO__INIT;
    attribute.name = "then_branch";
    attribute.has_type = 1;
    attribute.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__GRAPH;
    attribute.g = &body;
    s.node[0].attribute = attributes;
    s.node[0].n_attribute = 1;
    refused(&s, LAC_ERROR_UNSUPPORTED, "(Relu): attribute 'then_branch' is a graph");

    relu(&s);
    Onnx__TypeProto type = ONNX__TYPE_PROTO__INIT;
    Onnx__TypeProto__Tensor tensor = ONNX__TYPE_PROTO__TENSOR__INIT;
    Onnx__TensorShapeProto shape = ONNX__TENSOR_SHAPE_PROTO__INIT;
    Onnx__TensorShapeProto__Dimension dim = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__INIT,
                                      *dims[9] = {&dim, &dim, &dim, &dim, &dim,
                                                  &dim, &dim, &dim, &dim};
    s.value[0].type = &type;
    type.value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type.tensor_type = &tensor;
    tensor.shape = &shape;
    shape.dim = dims;
    shape.n_dim = 9;
    refused(&s, LAC_ERROR_INPUT, "value 'x': rank 9, limit 8");
    shape.n_dim = 1;
    dim.value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
    dim.dim_value = -4;
    refused(&s, LAC_ERROR_INPUT, "dimension 0 is -4");
    type.value_case = ONNX__TYPE_PROTO__VALUE__NOT_SET;
    refused(&s, LAC_ERROR_UNSUPPORTED, "value 'x' is not a tensor");
}

static void bad_tensors(void **state)
{
    (void)state;
    small s;
    float data[6] = {1, 2, 3, 4, 5, 6};
    int64_t dims[9] = {2, 3};
    relu(&s);
    Onnx__TensorProto *t = small_tensor(&s, "w", LAC_F32, 2, dims);
    set_raw(t, data, 20);
    refused(&s, LAC_ERROR_INPUT, "tensor 'w': 20 bytes of raw data, the shape needs 24");
    set_raw(t, data, 24);
    t->data_type = 77;
    refused(&s, LAC_ERROR_UNSUPPORTED, "tensor 'w': element type 77");
    t->data_type = LAC_STRING;
    refused(&s, LAC_ERROR_UNSUPPORTED, "element type 8 (string)");
    t->data_type = LAC_F32;
    dims[0] = -2;
    refused(&s, LAC_ERROR_INPUT, "-2");
    dims[0] = dims[1] = INT64_C(1) << 40;
    refused(&s, LAC_ERROR_INPUT, "tensor 'w'");
    t->has_raw_data = 0;
    dims[0] = dims[1] = 100000;
    refused(&s, LAC_ERROR_INPUT, "less data than the 10000000000 elements");
    dims[0] = 2;
    dims[1] = 3;
    t->float_data = data;
    t->n_float_data = 5;
    refused(&s, LAC_ERROR_INPUT, "5 elements of data, the shape needs 6");
    t->n_dims = 9;
    refused(&s, LAC_ERROR_INPUT, "rank 9, limit 8");
    t->n_dims = 2;
    t->n_float_data = 6;
    *small_tensor(&s, "w", LAC_F32, 2, dims) = *t;
    refused(&s, LAC_ERROR_INPUT, "initializer 'w' is there twice");
}

/* Every way a number can be stored gives the same tensor. */
static void typed_fields(void **state)
{
    (void)state;
    int32_t small_ints[4] = {0, 1, 127, 3}, packed[2] = {0x21, 0x0f}, half[2] = {0x3c00, 0xc000};
    int64_t big[2] = {INT64_MIN, INT64_MAX}, four[1] = {4}, two[1] = {2}, three[1] = {3};
    uint64_t unsigned_ints[2] = {UINT32_MAX, 7};
    double doubles[2] = {1.5, -2};
    small s;
    lac_graph *graph;
    lac_error err;
    relu(&s);
    Onnx__TensorProto *t = small_tensor(&s, "i8", LAC_I8, 1, four);
    t->int32_data = small_ints;
    t->n_int32_data = 4;
    t = small_tensor(&s, "i64", LAC_I64, 1, two);
    t->int64_data = big;
    t->n_int64_data = 2;
    t = small_tensor(&s, "u32", LAC_U32, 1, two);
    t->uint64_data = unsigned_ints;
    t->n_uint64_data = 2;
    t = small_tensor(&s, "f64", LAC_F64, 1, two);
    t->double_data = doubles;
    t->n_double_data = 2;
    t = small_tensor(&s, "f16", LAC_F16, 1, two);
    t->int32_data = half;
    t->n_int32_data = 2;
    t = small_tensor(&s, "i4", LAC_I4, 1, three); /* newer than the schema; packed in pairs */
    t->int32_data = packed;
    t->n_int32_data = 2;
    t = small_tensor(&s, "flag", LAC_BOOL, 1, four);
    t->int32_data = small_ints;
    t->n_int32_data = 2;
    t->dims = two;
    ok(small_parse(&s, &graph, &err), &err);
    static const struct {
        const char *name;
        int n;
        double want[4];
    } cases[] = {
        {"i8", 4, {0, 1, 127, 3}},     {"i64", 2, {(double)INT64_MIN, (double)INT64_MAX}},
        {"u32", 2, {4294967295.0, 7}}, {"f64", 2, {1.5, -2}},
        {"f16", 2, {1, -2}},           {"i4", 3, {1, 2, -1}},
        {"flag", 2, {0, 1}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const lac_tensor *tensor = &graph->values[lac_graph_find(graph, cases[c].name)].constant;
        assert_int_equal(lac_tensor_count(tensor), cases[c].n);
        for (int i = 0; i < cases[c].n; i++)
            assert_true(lac_tensor_get(tensor, i) == cases[c].want[i]);
    }
    lac_graph_free(graph);
}

/* ---- external data --------------------------------------------------------------------------- */

static void external_data(void **state)
{
    (void)state;
    static char keys[3][16] = {"location", "offset", "length"};
    char values[3][128] = {"w.bin", "64", "24"};
    Onnx__StringStringEntryProto entry[3], *entries[3];
    float data[32];
    int64_t dims[2] = {2, 3};
    lac_graph *graph;
    lac_error err;
    small s;
    for (int i = 0; i < 32; i++)
        data[i] = (float)i;
    ok(lac_write_file(in_folder("w.bin"), data, sizeof data, &err), &err);
    mkdir(in_folder("inner"), 0777);
    assert_int_equal(symlink("/etc/passwd", in_folder("out.bin")), 0);
    assert_int_equal(symlink("w.bin", in_folder("link.bin")), 0);
    relu(&s);
    s.node[0].op_type = "Add";
    s.names[0][1] = "w";
    s.node[0].n_input = 2;
    Onnx__TensorProto *t = small_tensor(&s, "w", LAC_F32, 2, dims);
    t->has_data_location = 1;
    t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    t->external_data = entries;
    t->n_external_data = 3;
    for (int i = 0; i < 3; i++) {
        onnx__string_string_entry_proto__init(&entry[i]);
        entry[i].key = keys[i];
        entry[i].value = values[i];
        entries[i] = &entry[i];
    }
    ok(small_parse(&s, &graph, &err), &err);
    const lac_tensor *w = &graph->values[lac_graph_find(graph, "w")].constant;
    for (int i = 0; i < 6; i++)
        assert_true(((const float *)w->data)[i] == 16 + i);
    round_trip(graph, in_folder("again.onnx"), 8);
    lac_graph_free(graph);

    /* A link that stays inside, and offsets that are not aligned. */
    strcpy(values[0], "link.bin");
    strcpy(values[1], "4");
    ok(small_parse(&s, &graph, &err), &err);
    w = &graph->values[lac_graph_find(graph, "w")].constant;
    assert_true(((const float *)w->data)[5] == 6);
    lac_graph_free(graph);
    strcpy(values[1], "3");
    ok(small_parse(&s, &graph, &err), &err);
    w = &graph->values[lac_graph_find(graph, "w")].constant;
    assert_int_equal((uintptr_t)w->data % 4, 0);
    lac_graph_free(graph);

    strcpy(values[0], "w.bin");
    strcpy(values[1], "105");
    refused(&s, LAC_ERROR_INPUT,
            "external data at 105 + 24 reaches behind the 128 bytes of 'w.bin'");
    strcpy(values[1], "9223372036854775807");
    refused(&s, LAC_ERROR_INPUT, "reaches behind");
    strcpy(values[1], "-64");
    refused(&s, LAC_ERROR_INPUT, "external data offset = '-64'");
    strcpy(values[1], "0");
    strcpy(values[2], "25");
    refused(&s, LAC_ERROR_INPUT, "external data length 25, the shape needs 24");
    strcpy(values[2], "24");
    strcpy(values[0], "/etc/passwd");
    refused(&s, LAC_ERROR_INPUT, "want a relative path");
    strcpy(values[0], "out.bin");
    refused(&s, LAC_ERROR_INPUT, "outside the model's folder");
    strcpy(values[0], "../../CMakeLists.txt");
    refused(&s, LAC_ERROR_INPUT, "outside the model's folder");
    strcpy(values[0], "nobody.bin");
    refused(&s, LAC_ERROR_IO, "no such file");
    strcpy(values[0], "inner");
    refused(&s, LAC_ERROR_IO, "not a regular file");
}

/* ---- sparse initializers ------------------------------------------------------------------------
 */

/* x + w, where w = [2][3] holds 7 at (0,2) and 8 at (1,1). */
static void sparse_model(small *s, int64_t *index, size_t n_index_dims)
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

static void sparse_initializers(void **state)
{
    (void)state;
    int64_t linear[2] = {2, 4}, pairs[4] = {0, 2, 1, 1};
    for (int form = 1; form <= 2; form++) {
        small s;
        lac_graph *graph;
        lac_error err;
        lac_packed packed;
        lac_tensor w;
        sparse_model(&s, form == 1 ? linear : pairs, (size_t)form);
        ok(small_parse(&s, &graph, &err), &err);
        const lac_node *node = &graph->nodes[graph->values[lac_graph_find(graph, "w")].producer];
        assert_string_equal(node->op, "Unpack");
        assert_string_equal(node->domain, "lacuna");
        assert_string_equal(lac_node_string(node, "format", ""), "coo");
        const lac_tensor *in[2] = {&graph->values[node->in[0]].constant,
                                   &graph->values[node->in[1]].constant};
        ok(lac_packed_from_node(&packed, node, 2, in, &err), &err);
        ok(lac_unpack(&packed, &w, &err), &err);
        static const float want[6] = {0, 0, 7, 0, 8, 0};
        assert_memory_equal(w.data, want, sizeof want);
        lac_tensor_release(&w);
        lac_packed_release(&packed);
        round_trip(graph, in_folder("sparse.onnx"), 0);
        lac_graph_free(graph);
    }
    small s;
    int64_t far[2] = {2, 6}, falling[2] = {4, 2}, beside[4] = {0, 2, 1, 3};
    sparse_model(&s, far, 1);
    refused(&s, LAC_ERROR_INPUT, "sparse initializer 'w'");
    sparse_model(&s, falling, 1);
    refused(&s, LAC_ERROR_INPUT, "sparse initializer 'w'");
    sparse_model(&s, beside, 2);
    refused(&s, LAC_ERROR_INPUT, "sparse initializer 'w'");
}

/* ---- functions --------------------------------------------------------------------------------
 */

/* my.Twice(a; slope) = LeakyRelu(a; alpha=slope) + LeakyRelu'd a, called twice. */
static void inlined_functions(void **state)
{
    (void)state;
    static char in[] = "a", inner[] = "t", out[] = "b", slope[] = "slope";
    char *inputs[] = {in}, *outputs[] = {out}, *attributes[] = {slope};
    char *first_in[] = {in}, *first_out[] = {inner}, *second_in[] = {inner, inner};
    char *second_out[] = {out};
    Onnx__NodeProto first = ONNX__NODE_PROTO__INIT, second = ONNX__NODE_PROTO__INIT;
    Onnx__NodeProto *body[] = {&first, &second};
    Onnx__AttributeProto alpha = ONNX__ATTRIBUTE_PROTO__INIT, *alphas[] = {&alpha};
    Onnx__AttributeProto given = ONNX__ATTRIBUTE_PROTO__INIT, *givens[] = {&given};
    lac_graph *graph;
    lac_error err;
    small s;
    small_make(&s);
    small_value(&s, "x", false);
    small_value(&s, "y", true);
    Onnx__NodeProto *one = small_node(&s, "Twice", "x", NULL, "t");
    Onnx__NodeProto *two = small_node(&s, "Twice", "t", NULL, "y");
    one->domain = two->domain = "my";
    one->attribute = givens;
    one->n_attribute = 1;
    given.name = slope;
    given.has_type = 1;
    given.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
    given.has_f = 1;
    given.f = 0.25f;
    first.op_type = "LeakyRelu";
    first.input = first_in;
    first.n_input = 1;
    first.output = first_out;
    first.n_output = 1;
    first.attribute = alphas;
    first.n_attribute = 1;
    alpha.name = "alpha";
    alpha.ref_attr_name = slope;
    alpha.has_type = 1;
    alpha.type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
    second.op_type = "Add";
    second.input = second_in;
    second.n_input = 2;
    second.output = second_out;
    second.n_output = 1;
    s.function.name = "Twice";
    s.function.domain = "my";
    s.function.input = inputs;
    s.function.output = outputs;
    s.function.attribute = attributes;
    s.function.node = body;
    s.function.n_input = s.function.n_output = s.function.n_attribute = 1;
    s.function.n_node = 2;
    s.function.opset_import = s.opsets;
    s.function.n_opset_import = 1;
    s.model.n_functions = 1;
    ok(small_parse(&s, &graph, &err), &err);
    assert_int_equal(graph->n_nodes, 4);
    for (int i = 0; i < 4; i++)
        assert_string_equal(graph->nodes[i].op, i % 2 ? "Add" : "LeakyRelu");
    assert_true(lac_node_float(&graph->nodes[0], "alpha", 9) == 0.25f);
    assert_true(lac_node_float(&graph->nodes[2], "alpha", 9) == 9); /* not given: no attribute */
    assert_string_equal(name_of(graph, graph->nodes[1].out[0]), "t");
    assert_int_equal(graph->nodes[3].in[0], graph->nodes[2].out[0]);
    assert_int_not_equal(graph->nodes[2].out[0], graph->nodes[0].out[0]);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(graph->nodes[i].name, graph->nodes[j].name);
    round_trip(graph, in_folder("inlined.onnx"), 0);
    lac_graph_free(graph);

    Onnx__OperatorSetIdProto other = s.opset, *others[] = {&other};
    other.version = 15;
    s.function.opset_import = others;
    refused(&s, LAC_ERROR_UNSUPPORTED, "function 'Twice' is written in opset 15, the model in 13");
    s.function.opset_import = s.opsets;
    second.op_type = "Twice"; /* calls itself */
    second.domain = "my";
    refused(&s, LAC_ERROR_INPUT, "functions call each other deeper than 16");
}

/* ---- packed weights ----------------------------------------------------------------------------
 */

/* Fits every format: 2:4, few distinct values, 127 in each row. */
static void fill(lac_tensor *w, lac_view view, int rank, const int64_t *dims, lac_dtype dtype)
{
    lac_error err;
    lac_tensor matrix;
    int64_t rows, cols;
    ok(lac_view_size(view, rank, dims, &rows, &cols, &err), &err);
    ok(lac_tensor_make(&matrix, dtype, 2, (int64_t[]){rows, cols}, &err), &err);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < cols; k++)
            lac_tensor_set(&matrix, r * cols + k,
                           k == 0       ? 127
                           : k % 4 >= 2 ? 0
                                        : (double)((r + 2 * k) % 4));
    ok(lac_view_tensor(view, &matrix, rank, dims, w, &err), &err);
    lac_tensor_release(&matrix);
}

static const struct {
    lac_view view;
    int rank;
    int64_t dims[4];
} shapes[] = {
    {LAC_VIEW_ROWS, 2, {5, 9}}, {LAC_VIEW_COLUMNS, 2, {12, 8}}, {LAC_VIEW_CONV, 4, {4, 8, 3, 3}}};

/* Packs a weight into the graph as an output called `name`; its elements go to FOLDER/name.npy for
 * the test that runs the file elsewhere. */
static void add_packed(lac_graph *graph, const lac_format *format, size_t shape, lac_dtype dtype,
                       const char *name, const char *keep)
{
    lac_error err = {0};
    lac_tensor w;
    lac_packed packed;
    lac_params params;
    char path[512];
    int value;
    lac_params_init(&params, format->params);
    fill(&w, shapes[shape].view, shapes[shape].rank, shapes[shape].dims, dtype);
    lac_status status = lac_pack(&packed, format, &params, shapes[shape].view, &w, &err);
    snprintf(path, sizeof path, "%s/%s.npy", keep ? keep : "", name);
    if (keep && dtype != LAC_BF16)
        ok(lac_npy_save(&w, path, &err), &err);
    lac_tensor_release(&w);
    ok(status, &err);
    ok(lac_packed_to_graph(&packed, graph, name, &value, &err), &err);
    ok(lac_graph_output(graph, value, &err), &err);
    lac_packed_release(&packed);
}

/* Every format, view and element type in one file, for every kind of opset. test_onnx_runtime.py
 * asks for the files by LACUNA_KEEP. */
static void packed_everything(void **state)
{
    (void)state;
    static const int opsets[] = {11, 13, 17};
    const char *keep = getenv("LACUNA_KEEP");
    for (size_t o = 0; o < sizeof opsets / sizeof *opsets; o++) {
        lac_graph *graph;
        lac_error err = {0};
        char name[128], path[512];
        ok(lac_graph_make(&graph, "packed", opsets[o], &err), &err);
        for (int f = 0; f < lac_table_count(&lac_formats); f++)
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
                for (int dtype = 0; dtype < LAC_DTYPE_LIMIT; dtype++) {
                    const lac_format *format = (const lac_format *)lac_table_at(&lac_formats, f);
                    if (!(format->dtypes & LAC_BIT(dtype)) || (keep && dtype == LAC_BF16))
                        continue;
                    snprintf(name, sizeof name, "%s_%d_%d", format->row.name, (int)s, dtype);
                    add_packed(graph, format, s, (lac_dtype)dtype, name, keep);
                }
        ok(lac_graph_settle(graph, &err), &err);
        assert_true(graph->n_nodes >= 3 * lac_table_count(&lac_formats));
        snprintf(path, sizeof path, "%s/packed_%d.onnx", keep ? keep : folder, opsets[o]);
        round_trip(graph, path, 64);
        lac_graph_free(graph);
    }
    lac_graph *graph;
    lac_error err = {0};
    ok(lac_graph_make(&graph, "old", 10, &err), &err);
    add_packed(graph, (const lac_format *)lac_table_find(&lac_formats, "nm"), 0, LAC_F32, "w",
               NULL);
    assert_int_equal(lac_onnx_save(graph, in_folder("old.onnx"), 0, &err), LAC_ERROR_UNSUPPORTED);
    says(&err, "packed weights need opset 11 or later, the model has 10");
    assert_int_not_equal(access(in_folder("old.onnx"), F_OK), 0);
    lac_graph_free(graph);
}

/* Two weights that differ only in their elements share one function. */
static void packed_weights(void **state)
{
    (void)state;
    lac_graph *graph;
    lac_error err = {0};
    int formats = lac_table_count(&lac_formats);
    ok(lac_graph_make(&graph, "packed", 13, &err), &err);
    for (int f = 0; f < formats; f++) {
        const lac_format *format = (const lac_format *)lac_table_at(&lac_formats, f);
        for (int twin = 0; twin < 2; twin++) {
            char name[64];
            snprintf(name, sizeof name, "%s_%d", format->row.name, twin);
            add_packed(graph, format, 1, format->dtypes & LAC_BIT(LAC_F32) ? LAC_F32 : LAC_I8, name,
                       NULL);
        }
    }
    ok(lac_graph_settle(graph, &err), &err);
    assert_int_equal(graph->n_nodes, 2 * formats);
    round_trip(graph, in_folder("packed.onnx"), 64);

    char *data;
    size_t bytes;
    ok(lac_read_file(&data, &bytes, in_folder("packed.onnx"), 1 << 24, &err), &err);
    Onnx__ModelProto *model = onnx__model_proto__unpack(NULL, bytes, (uint8_t *)data);
    assert_non_null(model);
    assert_int_equal(model->n_functions, formats); /* twins share a body */
    for (size_t i = 0; i < model->graph->n_node; i++) {
        const Onnx__NodeProto *node = model->graph->node[i];
        bool found = false;
        for (size_t f = 0; f < model->n_functions; f++)
            if (strcmp(model->functions[f]->name, node->op_type) == 0) {
                found = true;
                assert_int_equal(model->functions[f]->n_input, node->n_input);
                assert_int_equal(model->functions[f]->n_attribute, node->n_attribute);
            }
        assert_true(found);
    }
    onnx__model_proto__free_unpacked(model, NULL);
    lac_free(data);
    lac_graph_free(graph);
}

/* ---- damaged files, failing writes -------------------------------------------------------------
 */

static void damaged_files(void **state)
{
    (void)state;
    small s;
    lac_error err = {0};
    lac_graph *graph;
    float data[6] = {0};
    int64_t dims[2] = {2, 3};
    relu(&s);
    s.node[0].op_type = "Add";
    s.names[0][1] = "w";
    s.node[0].n_input = 2;
    set_raw(small_tensor(&s, "w", LAC_F32, 2, dims), data, sizeof data);
    size_t bytes = onnx__model_proto__get_packed_size(&s.model);
    uint8_t *file = malloc(bytes), *copy = malloc(bytes);
    onnx__model_proto__pack(&s.model, file);
    int taken = 0;
    for (size_t cut = 0; cut < bytes; cut++)
        if (lac_onnx_parse(&graph, file, cut, NULL, &err) == LAC_OK) {
            lac_graph_free(graph);
            taken++;
        }
    assert_true(taken <= 1); /* cut exactly before a trailing field of the model */
    for (size_t bit = 0; bit < 8 * bytes; bit++) {
        memcpy(copy, file, bytes);
        copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (lac_onnx_parse(&graph, copy, bytes, NULL, &err) == LAC_OK)
            lac_graph_free(graph);
        else
            assert_non_null(err.message[0] ? err.message : NULL);
    }
    free(file);
    free(copy);
    assert_int_equal(lac_onnx_load(&graph, in_folder("absent.onnx"), &err), LAC_ERROR_IO);
    says(&err, "absent.onnx");
    assert_int_equal(lac_onnx_load(&graph, folder, &err), LAC_ERROR_IO);
}

static int count_files(void)
{
    int count = 0;
    DIR *dir = opendir(folder);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* No partial file stays behind, whichever allocation fails and wherever the path leads. */
static void failing_writes(void **state)
{
    (void)state;
    small s;
    lac_graph *graph;
    lac_error err = {0};
    int64_t linear[2] = {2, 4};
    sparse_model(&s, linear, 1);
    ok(small_parse(&s, &graph, &err), &err);
    assert_int_equal(lac_onnx_save(graph, in_folder("no/such.onnx"), 0, &err), LAC_ERROR_IO);
    says(&err, "no/such.onnx");
    assert_int_equal(lac_onnx_save(graph, in_folder("no/such.onnx"), 8, &err), LAC_ERROR_IO);
    mkdir(in_folder("full.onnx"), 0777);
    ok(lac_write_file(in_folder("full.onnx/x"), "", 0, &err), &err);
    int before = count_files();
    assert_int_equal(lac_onnx_save(graph, in_folder("full.onnx.data/../full.onnx"), 8, &err),
                     LAC_ERROR_IO);
    bool done = false;
    for (int64_t n = 0; n < 2000 && !done; n++) {
        lac_alloc_fail_after(n);
        lac_status status = lac_onnx_save(graph, in_folder("failing.onnx"), 8, &err);
        lac_alloc_fail_after(-1);
        done = status == LAC_OK;
        if (!done) {
            assert_int_equal(status, LAC_ERROR_MEMORY);
            assert_int_equal(count_files(), before);
        }
    }
    assert_true(done);
    lac_graph_free(graph);
    graph = NULL;
    for (int64_t n = 0, end = 0; !end; n++) {
        lac_alloc_fail_after(n);
        lac_status status = lac_onnx_load(&graph, in_folder("failing.onnx"), &err);
        lac_alloc_fail_after(-1);
        assert_true(status == LAC_OK || status == LAC_ERROR_MEMORY);
        end = status == LAC_OK;
    }
    lac_graph_free(graph);
}

/* Lists that are searched one by one have limits. */
static void too_many(void **state)
{
    (void)state;
    enum { MANY = 10001 };
    small s;
    Onnx__StringStringEntryProto entry = ONNX__STRING_STRING_ENTRY_PROTO__INIT;
    Onnx__StringStringEntryProto **entries = calloc(MANY, sizeof *entries);
    for (int i = 0; i < MANY; i++)
        entries[i] = &entry;
    relu(&s);
    s.model.metadata_props = entries;
    s.model.n_metadata_props = MANY;
    refused(&s, LAC_ERROR_INPUT, "the model has 10001 metadata entries, limit 10000");
    free(entries);
}

/* Two values of one name, as passes make them, get two names in the file. */
static void doubled_names(void **state)
{
    (void)state;
    lac_graph *graph, *again;
    lac_error err = {0};
    int x, a, b, y;
    ok(lac_graph_make(&graph, "", 13, &err), &err);
    ok(lac_graph_value(graph, "x", &x, &err), &err);
    ok(lac_graph_value(graph, "t", &a, &err), &err);
    ok(lac_graph_value(graph, "t", &b, &err), &err);
    ok(lac_graph_value(graph, "y", &y, &err), &err);
    graph->values[x].dtype = graph->values[y].dtype = LAC_F32;
    ok(lac_graph_input(graph, x, &err), &err);
    ok(lac_graph_output(graph, y, &err), &err);
    ok(lac_graph_node(graph, "", "Relu", "n", 1, &x, 1, &a, NULL, &err), &err);
    ok(lac_graph_node(graph, "", "Neg", "n", 1, &a, 1, &b, NULL, &err), &err);
    ok(lac_graph_node(graph, "", "Abs", "n", 1, &b, 1, &y, NULL, &err), &err);
    ok(lac_onnx_save(graph, in_folder("doubled.onnx"), 0, &err), &err);
    ok(lac_onnx_load(&again, in_folder("doubled.onnx"), &err), &err);
    assert_int_equal(again->n_nodes, 3);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(again->nodes[i].in[0], again->nodes[i - 1].out[0]);
        assert_string_not_equal(again->nodes[i].name, again->nodes[i - 1].name);
    }
    lac_graph_free(graph);
    lac_graph_free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_graphs),          cmocka_unit_test(bad_tensors),
        cmocka_unit_test(typed_fields),        cmocka_unit_test(external_data),
        cmocka_unit_test(sparse_initializers), cmocka_unit_test(inlined_functions),
        cmocka_unit_test(packed_weights),      cmocka_unit_test(packed_everything),
        cmocka_unit_test(damaged_files),       cmocka_unit_test(failing_writes),
        cmocka_unit_test(doubled_names),       cmocka_unit_test(too_many),
        cmocka_unit_test(real_models),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
