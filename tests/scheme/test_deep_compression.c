/* The scheme deep-compression: density to the element, few shared values, the format, what it
 * refuses. */
#include "core/memory.h"
#include "core/random.h"
#include "format/packed.h"
#include "format/share.h"

#include <lacuna/scheme.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int constant(lac_graph *graph, const char *name, int rank, const int64_t *dims,
                    uint64_t seed)
{
    lac_tensor tensor;
    int value;
    lac_random random = lac_random_stream(seed, 1);
    assert_int_equal(lac_tensor_make(&tensor, LAC_F32, rank, dims, NULL), LAC_OK);
    for (int64_t i = 0; i < lac_tensor_count(&tensor); i++)
        ((float *)tensor.data)[i] = (float)(lac_random_unit(&random) - 0.5);
    assert_int_equal(lac_graph_constant(graph, name, &tensor, &value, NULL), LAC_OK);
    lac_tensor_release(&tensor);
    return value;
}

static int input(lac_graph *graph, const char *name, int rank, const int64_t *dims)
{
    int value;
    assert_int_equal(lac_graph_value(graph, name, &value, NULL), LAC_OK);
    graph->values[value].dtype = LAC_F32;
    graph->values[value].rank = rank;
    for (int i = 0; i < rank; i++)
        graph->values[value].dims[i].size = dims[i];
    assert_int_equal(lac_graph_input(graph, value, NULL), LAC_OK);
    return value;
}

/* x [4,80] -> MatMul [80,120] -> Gemm transB [60,120]; image -> Conv [32,16,3,3]. */
static lac_graph *network(void)
{
    lac_graph *graph;
    int x[2], y[3], image[2], out[3];
    lac_node *node;
    assert_int_equal(lac_graph_make(&graph, "g", 17, NULL), LAC_OK);
    x[0] = input(graph, "x", 2, (int64_t[]){4, 80});
    image[0] = input(graph, "image", 4, (int64_t[]){1, 16, 8, 8});
    x[1] = constant(graph, "w1", 2, (int64_t[]){80, 120}, 1);
    y[1] = constant(graph, "w2", 2, (int64_t[]){60, 120}, 2);
    image[1] = constant(graph, "w3", 4, (int64_t[]){32, 16, 3, 3}, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(lac_graph_value(graph, NULL, &out[i], NULL), LAC_OK);
    y[0] = out[0];
    assert_int_equal(lac_graph_node(graph, "", "MatMul", "first", 2, x, 1, &out[0], NULL, NULL),
                     LAC_OK);
    assert_int_equal(lac_graph_node(graph, "", "Gemm", "second", 2, y, 1, &out[1], &node, NULL),
                     LAC_OK);
    assert_int_equal(lac_node_set_int(graph, node, "transB", 1, NULL), LAC_OK);
    assert_int_equal(lac_graph_node(graph, "", "Conv", "third", 2, image, 1, &out[2], NULL, NULL),
                     LAC_OK);
    assert_int_equal(lac_graph_output(graph, out[1], NULL), LAC_OK);
    assert_int_equal(lac_graph_output(graph, out[2], NULL), LAC_OK);
    assert_int_equal(lac_graph_settle(graph, NULL), LAC_OK);
    return graph;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static int distinct_nonzeros(const lac_tensor *tensor)
{
    int64_t n = lac_tensor_count(tensor);
    float *sorted = malloc((size_t)n * sizeof *sorted);
    int count = 0;
    memcpy(sorted, tensor->data, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_value);
    for (int64_t i = 0; i < n; i++)
        count += sorted[i] != 0 && (i == 0 || sorted[i] != sorted[i - 1]);
    free(sorted);
    return count;
}

static const lac_weight *weight_of(const lac_compression *compression, const char *node)
{
    for (int i = 0; i < compression->n_weights; i++)
        if (strcmp(compression->weights[i].name, node) == 0)
            return &compression->weights[i];
    fail_msg("no weight of node '%s'", node);
    return NULL;
}

static void compress(lac_compression *compression, const lac_graph *graph, const char *text)
{
    lac_error err = {0};
    memset(compression, 0, sizeof *compression);
    if (lac_compress(compression, graph, text, &err) != LAC_OK)
        fail_msg("%s: %s", text, err.message);
}

static void test_density_and_codes(void **state)
{
    (void)state;
    lac_graph *graph = network();
    lac_compression c;
    compress(&c, graph, "deep-compression:density=0.3,layers=first@0.125;third@0.5,conv_bits=6");
    assert_int_equal(c.n_weights, 3);
    static const struct {
        const char *node;
        int64_t nonzeros;
        int values, code_bits;
    } want[] = {{"first", 1200, 15, 4}, {"second", 2160, 15, 4}, {"third", 2304, 63, 6}};
    for (int i = 0; i < 3; i++) {
        const lac_weight *w = weight_of(&c, want[i].node);
        assert_int_equal(w->nonzeros, want[i].nonzeros);
        assert_in_range(distinct_nonzeros(&w->tensor), 2, want[i].values);
        assert_string_equal(w->format->row.name, "eie-csc");
        assert_int_equal(lac_params_int(&w->params, "code_bits"), want[i].code_bits);
        assert_true(w->bytes_after < w->bytes_before / 4);
        /* The bytes are those of the format. */
        int64_t bytes;
        assert_int_equal(lac_format_bytes(w->format, &w->params, w->view, &w->tensor, &bytes, NULL),
                         LAC_OK);
        assert_int_equal(bytes, w->bytes_after);
    }
    lac_compression_release(&c);
    lac_graph_free(graph);
}

/* Pruned where the magnitude is least; a kept weight has the nearest centroid of its own layer. */
static void test_values(void **state)
{
    (void)state;
    lac_graph *graph = network();
    static const char *const inits[] = {"linear", "density", "forgy"};
    const float *before = graph->values[lac_graph_find(graph, "w2")].constant.data;
    for (int i = 0; i < 3; i++) {
        char text[96];
        lac_compression c;
        snprintf(text, sizeof text, "deep-compression:density=0.25,init=%s", inits[i]);
        compress(&c, graph, text);
        const lac_weight *w = weight_of(&c, "second");
        const float *after = w->tensor.data;
        float least_kept = 1, most_dropped = 0;
        double kept[7200], centroid[15];
        int64_t n = 0;
        for (int e = 0; e < 7200; e++) {
            float size = fabsf(before[e]);
            if (after[e] == 0) {
                most_dropped = size > most_dropped ? size : most_dropped;
            } else {
                least_kept = size < least_kept ? size : least_kept;
                kept[n++] = before[e];
            }
        }
        assert_int_equal(n, 1800);
        assert_true(most_dropped <= least_kept);
        assert_int_equal(lac_share_begin((lac_share_start)i, kept, n, 15, 1, centroid, NULL),
                         LAC_OK);
        assert_int_equal(lac_share_lloyd(kept, n, 15, centroid, NULL, NULL), LAC_OK);
        for (int e = 0; e < 7200; e++)
            if (after[e] != 0)
                assert_true(after[e] ==
                            (float)centroid[lac_share_nearest(centroid, 15, before[e])]);
        assert_true(w->error > 0 && w->error < 0.7);
        lac_compression_release(&c);
    }
    lac_graph_free(graph);
}

/* A second run changes nothing: the layer already has few values. Global scope prunes at one
 * threshold. */
static void test_again_and_global(void **state)
{
    (void)state;
    lac_graph *graph = network();
    lac_compression once, twice, global;
    compress(&once, graph, "deep-compression:density=0.3,conv_bits=4");
    compress(&twice, graph,
             "deep-compression:density=0.3,conv_bits=4+deep-compression:conv_bits=4");
    for (int i = 0; i < once.n_weights; i++)
        assert_memory_equal(once.weights[i].tensor.data, twice.weights[i].tensor.data,
                            lac_tensor_bytes(&once.weights[i].tensor));
    compress(&global, graph, "deep-compression:density=0.4,scope=global");
    int64_t nonzeros = 0, total = 0;
    for (int i = 0; i < global.n_weights; i++) {
        nonzeros += global.weights[i].nonzeros;
        total += lac_tensor_count(&global.weights[i].tensor);
    }
    assert_int_equal(nonzeros, llround(0.4 * (double)total));
    lac_compression_release(&once);
    lac_compression_release(&twice);
    lac_compression_release(&global);
    lac_graph_free(graph);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const wrong[][2] = {
        {"deep-compression:layers=nobody@0.5", "nobody"},
        {"deep-compression:layers=first@2", "first@2"},
        {"deep-compression:layers=first", "NAME@DENSITY"},
        {"deep-compression:layers=first@0.5,scope=global", "scope=global"},
        {"deep-compression:bits=9", "bits"},
        {"deep-compression:density=-1", "density"}};
    lac_graph *graph = network();
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        lac_compression c = {0};
        lac_error err = {0};
        assert_int_equal(lac_compress(&c, graph, wrong[i][0], &err), LAC_ERROR_INPUT);
        if (!strstr(err.message, wrong[i][1]))
            fail_msg("%s: '%s'", wrong[i][0], err.message);
        lac_compression_release(&c);
    }
    lac_graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_density_and_codes),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_again_and_global),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
