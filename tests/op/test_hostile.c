/* Every operator of the table against hostile calls: no inputs, absent inputs, every element type,
 * absurd shapes without data, unknown data. infer may refuse or not, but must stay in bounds and
 * never read data that is not there (the sanitizers watch); a refusal says why in one line. */
#include "op_bed.h"

#include <stdio.h>

static int refused, accepted;

static void call_infer(const lac_op *op, lac_graph *graph, lac_node *node, int n_in, int n_out,
                       const lac_tensor *const *in)
{
    lac_tensor out[4];
    lac_error err = {0};
    (void)graph;
    memset(out, 0, sizeof out);
    lac_call call = {node, 17, n_in, n_out, in, out};
    if (op->infer(&call, &err) == LAC_OK) {
        accepted++;
        for (int i = 0; i < n_out; i++) {
            int64_t count;
            if (out[i].dtype != LAC_NONE)
                assert_int_equal(lac_shape_count(out[i].rank, out[i].dims, &count, &err), LAC_OK);
        }
    } else {
        refused++;
        assert_true(err.message[0] != 0);
        assert_null(strchr(err.message, '\n'));
    }
}

static const int64_t shapes[][LAC_MAX_RANK + 1] = {
    /* rank, dims */
    {0},
    {1, 0},
    {1, 1},
    {1, 4},
    {1, INT64_MAX / 16},
    {2, 2, 3},
    {2, 0, INT64_MAX / 2},
    {2, INT64_C(1) << 29, INT64_C(1) << 29},
    {3, 1, 2, 3},
    {4, 1, 4, 2, 2},
    {4, 1, INT64_C(1) << 58, 1, 1},
    {5, 1, 2, 1, 2, 1},
    {8, 1, 2, 1, 2, 1, 2, 1, 2},
    {8, 8192, 8192, 8192, 0, 8192, 8192, 8192, 8192},
};

static void every_operator(void **state)
{
    enum { SHAPES = sizeof shapes / sizeof *shapes };
    (void)state;
    lac_dtype types[] = {LAC_F32, LAC_I64,    LAC_BOOL, LAC_F16,      LAC_U8,
                         LAC_I4,  LAC_STRING, LAC_NONE, (lac_dtype)31};
    for (int row = 0; row < lac_table_count(&lac_ops); row++) {
        const lac_op *op = (const lac_op *)lac_table_at(&lac_ops, row);
        for (int n_in = 0; n_in <= 5; n_in++)
            for (int n_out = 1; n_out <= 2; n_out++) {
                lac_graph *graph;
                lac_node *node;
                lac_error err;
                int values[8];
                assert_int_equal(lac_graph_make(&graph, "g", 17, &err), LAC_OK);
                for (int i = 0; i < 8; i++)
                    assert_int_equal(lac_graph_value(graph, NULL, &values[i], &err), LAC_OK);
                assert_int_equal(lac_graph_node(graph, op->domain, op->row.name, "n", n_in, values,
                                                n_out, values + 5, &node, &err),
                                 LAC_OK);
                const lac_tensor *absent[5] = {NULL};
                call_infer(op, graph, node, n_in, n_out, absent);
                for (size_t t = 0; t < sizeof types / sizeof *types; t++)
                    for (int a = 0; a < SHAPES; a++) {
                        lac_tensor in[5];
                        const lac_tensor *list[5];
                        for (int i = 0; i < 5; i++) {
                            int s = (a + i * (a % 3)) % SHAPES;
                            in[i] = lac_tensor_view(types[i > 0 && a % 2 ? 1 : t],
                                                    (int)shapes[s][0], shapes[s] + 1, NULL);
                            list[i] = &in[i];
                        }
                        call_infer(op, graph, node, n_in, n_out, list);
                        list[n_in > 1 ? 1 : 0] = NULL;
                        call_infer(op, graph, node, n_in, n_out, list);
                    }
                lac_graph_free(graph);
            }
    }
    print_message("%d calls accepted, %d refused\n", accepted, refused);
    assert_true(accepted > 0 && refused > accepted);
}

/* Integers that operators read from inputs: extremes, zeros, too many. */
static void every_integer_input(void **state)
{
    static const int64_t lists[][8] = {
        {INT64_MIN, INT64_MAX}, {-1, -1},       {0, 0, 0, 0},           {INT64_MIN, -1, 0, 1},
        {1, 1, 1, 1, 1, 1, 1},  {INT64_MAX, 2}, {-9, 9, -2, INT64_MIN}, {3, 2},
    };
    (void)state;
    for (int row = 0; row < lac_table_count(&lac_ops); row++) {
        const lac_op *op = (const lac_op *)lac_table_at(&lac_ops, row);
        if (op->domain[0])
            continue;
        for (int n_in = 1; n_in <= 5; n_in++) {
            op_bed bed;
            op_bed_start(&bed, op->row.name, 17, n_in, 1);
            int64_t dims[4] = {1, 4, 2, 2};
            float data[16] = {1};
            for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
                for (int64_t n = 0; n <= 8; n++)
                    for (int rank = 0; rank <= 4; rank += 2) {
                        bed.in[0] = lac_tensor_view(LAC_F32, rank, dims + 4 - rank, data);
                        bed.list[0] = &bed.in[0];
                        for (int i = 1; i < n_in; i++) {
                            bed.in[i] = lac_tensor_view(
                                LAC_I64, 1, &n, (void *)(uintptr_t)lists[(l + (size_t)i) % 8]);
                            bed.list[i] = &bed.in[i];
                        }
                        memset(bed.out, 0, sizeof bed.out);
                        call_infer(bed.op, bed.graph, bed.node, n_in, 1, bed.list);
                    }
            memset(bed.in, 0, sizeof bed.in);
            memset(bed.out, 0, sizeof bed.out);
            op_bed_stop(&bed);
        }
    }
}

/* Attribute values at their extremes, one attribute of the row's schema at a time. */
static void every_attribute(void **state)
{
    static const int64_t extremes[] = {INT64_MIN, -9, -1, 0, 1, 2, 3, 8, 9, INT64_MAX};
    (void)state;
    for (int row = 0; row < lac_table_count(&lac_ops); row++) {
        const lac_op *op = (const lac_op *)lac_table_at(&lac_ops, row);
        if (op->domain[0])
            continue;
        const char *at = op->attributes;
        while (*at) {
            char name[64];
            size_t length = strcspn(at, ":");
            assert_true(length < sizeof name);
            memcpy(name, at, length);
            name[length] = 0;
            bool is_int = strncmp(at + length, ":int", 4) == 0;
            bool is_list = strncmp(at + length, ":ints", 5) == 0;
            at += strcspn(at, " ");
            at += strspn(at, " ");
            for (size_t e = 0; is_int && e < sizeof extremes / sizeof *extremes; e++)
                for (int n_in = 1; n_in <= 3; n_in++) {
                    op_bed bed;
                    int64_t list[9], square[4] = {2, 4, 2, 2};
                    float data[32] = {1};
                    op_bed_start(&bed, op->row.name, 17, n_in, 2);
                    for (int i = 0; i < 9; i++)
                        list[i] = extremes[(e + (size_t)i * 3) % 10];
                    lac_status status = is_list ? lac_node_set_ints(bed.graph, bed.node, name,
                                                                    (int64_t)e, list, &bed.err)
                                                : lac_node_set_int(bed.graph, bed.node, name,
                                                                   extremes[e], &bed.err);
                    assert_int_equal(status, LAC_OK);
                    for (int rank = 0; rank <= 4; rank++) {
                        for (int i = 0; i < n_in; i++) {
                            bed.in[i] = lac_tensor_view(LAC_F32, rank, square, data);
                            bed.list[i] = &bed.in[i];
                        }
                        call_infer(bed.op, bed.graph, bed.node, n_in, 2, bed.list);
                    }
                    memset(bed.in, 0, sizeof bed.in);
                    memset(bed.out, 0, sizeof bed.out);
                    op_bed_stop(&bed);
                }
        }
    }
}

/* Names are unique within a domain, every row is complete, and lac_op_find finds it. */
static void rows_are_complete(void **state)
{
    (void)state;
    for (int row = 0; row < lac_table_count(&lac_ops); row++) {
        const lac_op *op = (const lac_op *)lac_table_at(&lac_ops, row);
        assert_ptr_equal(lac_op_find(op->domain, op->row.name), op);
        assert_non_null(op->infer);
        assert_non_null(op->run);
        assert_non_null(op->attributes);
        assert_true(op->since >= 1 && op->dtypes != 0);
    }
    assert_ptr_equal(lac_op_find("ai.onnx", "Add"), lac_op_find("", "Add"));
    assert_null(lac_op_find("", "NoSuchOperator"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_complete),
        cmocka_unit_test(every_operator),
        cmocka_unit_test(every_integer_input),
        cmocka_unit_test(every_attribute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
