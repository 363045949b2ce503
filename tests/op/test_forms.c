/* Older forms of operators (attributes where today has inputs), threads, unknown data, refusals:
 * what the standard's node tests leave out. */
#include "op_bed.h"

#include <lacuna/lacuna.h>
#include <stdlib.h>

static const int64_t matrix[2] = {2, 3};
static const float six[6] = {1, 2, 3, 4, 5, 6};

static void expect(op_bed *bed, int rank, const int64_t *dims, const float *want)
{
    assert_int_equal(op_bed_run(bed), LAC_OK);
    assert_int_equal(bed->out[0].rank, rank);
    assert_memory_equal(bed->out[0].dims, dims, (size_t)rank * sizeof *dims);
    assert_memory_equal(bed->out[0].data, want, lac_tensor_bytes(&bed->out[0]));
    op_bed_stop(bed);
}

static void attribute_forms(void **state)
{
    (void)state;
    op_bed bed;
    const int64_t one[1] = {1}, two[1] = {2}, pads[4] = {0, 1, 0, 0}, flat[1] = {6};

    op_bed_start(&bed, "Slice", 9, 1, 1);
    op_bed_in(&bed, 0, LAC_F32, 2, matrix, six);
    lac_node_set_ints(bed.graph, bed.node, "starts", 1, one, NULL);
    lac_node_set_ints(bed.graph, bed.node, "ends", 1, (int64_t[]){INT64_MAX}, NULL);
    lac_node_set_ints(bed.graph, bed.node, "axes", 1, one, NULL);
    expect(&bed, 2, (int64_t[]){2, 2}, (float[]){2, 3, 5, 6});

    op_bed_start(&bed, "Pad", 10, 1, 1);
    op_bed_in(&bed, 0, LAC_F32, 2, matrix, six);
    lac_node_set_ints(bed.graph, bed.node, "pads", 4, pads, NULL);
    lac_node_set_float(bed.graph, bed.node, "value", 9, NULL);
    expect(&bed, 2, (int64_t[]){2, 4}, (float[]){9, 1, 2, 3, 9, 4, 5, 6});

    op_bed_start(&bed, "Clip", 6, 1, 1);
    op_bed_in(&bed, 0, LAC_F32, 2, matrix, six);
    lac_node_set_float(bed.graph, bed.node, "min", 2, NULL);
    lac_node_set_float(bed.graph, bed.node, "max", 5, NULL);
    expect(&bed, 2, matrix, (float[]){2, 2, 3, 4, 5, 5});

    op_bed_start(&bed, "Unsqueeze", 11, 1, 1);
    op_bed_in(&bed, 0, LAC_F32, 1, flat, six);
    lac_node_set_ints(bed.graph, bed.node, "axes", 1, one, NULL);
    expect(&bed, 2, (int64_t[]){6, 1}, six);

    op_bed_start(&bed, "ReduceSum", 11, 1, 1);
    op_bed_in(&bed, 0, LAC_F32, 2, matrix, six);
    lac_node_set_ints(bed.graph, bed.node, "axes", 1, one, NULL);
    expect(&bed, 2, (int64_t[]){2, 1}, (float[]){6, 15});

    op_bed_start(&bed, "TopK", 9, 1, 2);
    op_bed_in(&bed, 0, LAC_F32, 2, matrix, six);
    lac_node_set_int(bed.graph, bed.node, "k", 2, NULL);
    expect(&bed, 2, (int64_t[]){2, 2}, (float[]){3, 2, 6, 5});

    op_bed_start(&bed, "Split", 11, 1, 2);
    op_bed_in(&bed, 0, LAC_F32, 2, matrix, six);
    lac_node_set_int(bed.graph, bed.node, "axis", 1, NULL);
    lac_node_set_ints(bed.graph, bed.node, "split", 2, (int64_t[]){1, two[0]}, NULL);
    expect(&bed, 2, (int64_t[]){2, 1}, (float[]){1, 4});
}

static void unknown_data(void **state)
{
    static const char *const ops[] = {"Reshape", "Expand", "Tile", "Pad", "ReduceSum", "TopK"};
    (void)state;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        op_bed bed;
        op_bed_start(&bed, ops[i], 17, 2, 1);
        op_bed_shape(&bed, 0, LAC_F32, 2, matrix);
        op_bed_shape(&bed, 1, LAC_I64, 1, (int64_t[]){1});
        assert_int_equal(op_bed_infer(&bed), LAC_ERROR_UNSUPPORTED);
        assert_non_null(strstr(bed.err.message, "shape depends on data of input"));
        op_bed_stop(&bed);
    }
}

static void run_refuses(void **state)
{
    (void)state;
    op_bed bed;
    const int64_t one[1] = {1};
    op_bed_start(&bed, "Div", 17, 2, 1);
    op_bed_in(&bed, 0, LAC_I32, 1, one, (int32_t[]){INT32_MIN});
    op_bed_in(&bed, 1, LAC_I32, 1, one, (int32_t[]){0});
    assert_int_equal(op_bed_run(&bed), LAC_ERROR_INPUT);
    op_bed_stop(&bed);
    op_bed_start(&bed, "Div", 17, 2, 1);
    op_bed_in(&bed, 0, LAC_I32, 1, one, (int32_t[]){INT32_MIN});
    op_bed_in(&bed, 1, LAC_I32, 1, one, (int32_t[]){-1});
    assert_int_equal(op_bed_run(&bed), LAC_OK); /* wraps */
    assert_int_equal(*(int32_t *)bed.out[0].data, INT32_MIN);
    op_bed_stop(&bed);
    op_bed_start(&bed, "Gather", 17, 2, 1);
    op_bed_in(&bed, 0, LAC_F32, 2, matrix, six);
    op_bed_in(&bed, 1, LAC_I64, 1, one, (int64_t[]){2});
    assert_int_equal(op_bed_run(&bed), LAC_ERROR_INPUT);
    assert_non_null(strstr(bed.err.message, "indices[0] is 2"));
    op_bed_stop(&bed);
}

/* One thread and three give the same bits, over sizes that several threads share. */
static void threads_change_nothing(void **state)
{
    static const char *const ops[] = {"Erf", "Tanh", "ReduceMean", "ReduceL2", "Transpose"};
    const int64_t dims[2] = {301, 307};
    (void)state;
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        void *first = NULL;
        for (int threads = 1; threads <= 3; threads += 2) {
            op_bed bed;
            op_bed_start(&bed, ops[i], 17, 1, 1);
            op_bed_in(&bed, 0, LAC_F32, 2, dims, NULL);
            for (int64_t k = 0; k < dims[0] * dims[1]; k++)
                ((float *)bed.in[0].data)[k] = (float)(k % 1009) / 300 - 1.5f;
            if (ops[i][0] == 'R')
                lac_node_set_ints(bed.graph, bed.node, "axes", 1, (int64_t[]){0}, NULL);
            lac_threads_set(threads);
            assert_int_equal(op_bed_run(&bed), LAC_OK);
            size_t bytes = lac_tensor_bytes(&bed.out[0]);
            if (!first) {
                first = malloc(bytes);
                assert_non_null(first);
                memcpy(first, bed.out[0].data, bytes);
            }
            assert_memory_equal(first, bed.out[0].data, bytes);
            op_bed_stop(&bed);
        }
        free(first);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attribute_forms),
        cmocka_unit_test(unknown_data),
        cmocka_unit_test(run_refuses),
        cmocka_unit_test(threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
