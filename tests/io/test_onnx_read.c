/* Reading ONNX files: what every field means and what must be refused. The models are built as
 * protobuf messages. */
#include "core/memory.h"
#include "core/text.h"
#include "format/packed.h"

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

#include "io/onnx_same.h"
#include "io/onnx_small.h"

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

/* ---- damaged files -------------------------------------------------------------
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_graphs),          cmocka_unit_test(bad_tensors),
        cmocka_unit_test(typed_fields),        cmocka_unit_test(external_data),
        cmocka_unit_test(sparse_initializers), cmocka_unit_test(inlined_functions),
        cmocka_unit_test(damaged_files),       cmocka_unit_test(too_many),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
