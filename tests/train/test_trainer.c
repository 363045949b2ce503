/* A trainer as such: the bits are those of one thread, what it refuses, a Softmax at the end, and
 * no allocation that may not fail. */
#include "helpers/retraining.h"

#include "core/memory.h"

#include <lacuna/scheme.h>

#include <string.h>

static lac_error err;

static void test_same_bits_for_any_thread_count(void **state)
{
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        lac_graph *graph = network(shared), *after[2];
        lac_train_options options = {.rate = 0.02, .momentum = 0.9, .batch = 32, .seed = 5};
        lac_train_epoch last[2];
        double first = 0;
        for (int i = 0; i < 2; i++) {
            lac_threads_set(1 + i);
            after[i] = retrain(graph, 4, &options, &first, &last[i]);
        }
        lac_threads_set(0);
        assert_memory_equal(&last[0].loss, &last[1].loss, sizeof(double));
        for (int v = 0; v < after[0]->n_values; v++) {
            const lac_tensor *a = &after[0]->values[v].constant, *b = &after[1]->values[v].constant;
            assert_int_equal(lac_tensor_bytes(a), lac_tensor_bytes(b));
            if (a->data)
                assert_memory_equal(a->data, b->data, lac_tensor_bytes(a));
        }
        options.seed = 6; /* and another order is another result */
        lac_graph *other = retrain(graph, 4, &options, &first, &last[1]);
        assert_memory_not_equal(&last[0].loss, &last[1].loss, sizeof(double));
        lac_graph_free(other);
        for (int i = 0; i < 2; i++)
            lac_graph_free(after[i]);
        lac_graph_free(graph);
    }
}

static lac_status wrong_label(void *context, int64_t index, lac_tensor *in, int64_t *label,
                              lac_error *error)
{
    lac_status status = sample(context, index, in, label, error);
    *label = index == 7 ? CLASSES : *label;
    return status;
}

static lac_status wrong_shape(void *context, int64_t index, lac_tensor *in, int64_t *label,
                              lac_error *error)
{
    if (index != 7)
        return sample(context, index, in, label, error);
    return lac_tensor_make(in, LAC_F32, 2, (int64_t[]){1, IN + 1}, error);
}

static lac_status wrong_file(void *context, int64_t index, lac_tensor *in, int64_t *label,
                             lac_error *error)
{
    if (index != 7)
        return sample(context, index, in, label, error);
    return lac_fail(error, LAC_ERROR_IO, "no such image");
}

static void expect(lac_status status, lac_status want, const char *text)
{
    assert_int_equal(status, want);
    if (!strstr(err.message, text))
        fail_msg("'%s' is not in: %s", text, err.message);
}

static void test_refused(void **state)
{
    (void)state;
    const lac_train_options good = {.rate = 0.01, .momentum = 0.9, .batch = 16, .seed = 1};
    lac_train_options bad = good;
    lac_graph *graph = network(false);
    lac_trainer *trainer = NULL;
    lac_train_epoch epoch;
    lac_training_data broken = data;
    bad.rate = 0;
    expect(lac_trainer_make(&trainer, graph, &bad, &err), LAC_ERROR_INPUT, "learning rate 0");
    bad = good;
    bad.momentum = 1;
    expect(lac_trainer_make(&trainer, graph, &bad, &err), LAC_ERROR_INPUT, "momentum 1");
    bad = good;
    bad.batch = 0;
    expect(lac_trainer_make(&trainer, graph, &bad, &err), LAC_ERROR_INPUT, "batch 0");
    bad = good;
    bad.output = 1;
    expect(lac_trainer_make(&trainer, graph, &bad, &err), LAC_ERROR_INPUT, "output 1 of 1");
    assert_null(trainer);
    OK(lac_trainer_make(&trainer, graph, &good, &err));
    broken.sample = wrong_label;
    expect(lac_trainer_run(trainer, &broken, &epoch, &err), LAC_ERROR_INPUT,
           "sample 7: class 6 of 6");
    broken.sample = wrong_shape;
    expect(lac_trainer_run(trainer, &broken, &epoch, &err), LAC_ERROR_INPUT, "different shapes");
    broken.sample = wrong_file;
    expect(lac_trainer_run(trainer, &broken, &epoch, &err), LAC_ERROR_IO, "no such image");
    broken.samples = 0;
    expect(lac_trainer_run(trainer, &broken, &epoch, &err), LAC_ERROR_INPUT, "no samples");
    lac_trainer_free(trainer);
    bad = good;
    bad.rate = 1e30;
    OK(lac_trainer_make(&trainer, graph, &bad, &err));
    expect(lac_trainer_run(trainer, &data, &epoch, &err), LAC_ERROR_INPUT, "rate 1e+30");
    lac_trainer_free(trainer);

    lac_compression integers = {0};
    OK(lac_compress(&integers, graph, "int8", &err));
    expect(lac_trainer_make(&trainer, integers.graph, &good, &err), LAC_ERROR_UNSUPPORTED,
           "retrain before quantising");
    lac_compression_release(&integers);
    graph->values[graph->inputs[0]].dims[0].size = 1;
    expect(lac_trainer_make(&trainer, graph, &good, &err), LAC_ERROR_INPUT, "fixed batch of 1");
    graph->values[graph->inputs[0]].dims[0].size = -1;
    for (int n = 0; n < graph->n_nodes; n++)
        if (strcmp(graph->nodes[n].op, "Relu") == 0)
            graph->nodes[n].op = "Tanh";
    expect(lac_trainer_make(&trainer, graph, &good, &err), LAC_ERROR_UNSUPPORTED, "operator Tanh");
    lac_graph_free(graph);
}

/* A Softmax at the end is not part of the loss: the same network without it learns the same. */
static void test_softmax_at_the_end(void **state)
{
    (void)state;
    lac_graph *graph = network(false);
    lac_train_options options = {.rate = 0.05, .batch = 16, .seed = 3};
    lac_train_epoch last[2];
    double first = 0;
    lac_graph_free(retrain(graph, 3, &options, &first, &last[0]));
    graph->outputs[0] = node(graph, "Softmax", 1, &graph->outputs[0]);
    OK(lac_graph_settle(graph, &err));
    lac_graph_free(retrain(graph, 3, &options, &first, &last[1]));
    assert_memory_equal(&last[0].loss, &last[1].loss, sizeof(double));
    lac_graph_free(graph);
}

static lac_status whole_life(const lac_graph *graph, lac_graph **result)
{
    const lac_train_options options = {.rate = 0.01, .momentum = 0.9, .batch = 32, .seed = 1};
    lac_trainer *trainer = NULL;
    lac_train_epoch epoch;
    LAC_TRY(lac_trainer_make(&trainer, graph, &options, &err));
    lac_status status = lac_trainer_run(trainer, &data, &epoch, &err);
    if (status == LAC_OK)
        status = lac_trainer_graph(trainer, result, &err);
    lac_trainer_free(trainer);
    return status;
}

/* Every few allocations one fails: an error, nothing leaked (the sanitizer watches). */
static void test_out_of_memory(void **state)
{
    (void)state;
    lac_graph *graph = network(true), *result = NULL;
    int failures = 0;
    for (int64_t i = 0; i < 100000; i += 7) {
        lac_alloc_fail_after(i);
        lac_status status = whole_life(graph, &result);
        lac_alloc_fail_after(-1);
        if (status == LAC_OK)
            break;
        assert_int_equal(status, LAC_ERROR_MEMORY);
        failures++;
    }
    assert_true(failures > 50);
    lac_graph_free(result);
    lac_graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bits_for_any_thread_count),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_softmax_at_the_end),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
