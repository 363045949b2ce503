#include "helpers/retraining.h"

#include "core/memory.h"
#include "core/random.h"

#include <lacuna/format.h>
#include <lacuna/scheme.h>

#include <string.h>

static lac_error err;

static lac_tensor noise(int rank, const int64_t *dims, double size, uint64_t seed)
{
    lac_tensor tensor;
    lac_random random = lac_random_stream(seed, 77);
    OK(lac_tensor_make(&tensor, LAC_F32, rank, dims, &err));
    for (int64_t i = 0; i < lac_tensor_count(&tensor); i++)
        lac_tensor_set(&tensor, i, size * (2 * lac_random_unit(&random) - 1));
    return tensor;
}

/* Of 0 and six other values. */
static lac_tensor few_values(int64_t rows, int64_t cols, uint64_t seed)
{
    static const float value[8] = {0, 0, -0.3f, -0.2f, -0.1f, 0.1f, 0.2f, 0.3f};
    lac_tensor tensor = noise(2, (int64_t[]){rows, cols}, 1, seed);
    lac_random random = lac_random_stream(seed, 78);
    for (int64_t i = 0; i < rows * cols; i++)
        ((float *)tensor.data)[i] = value[lac_random_next(&random) >> 61];
    return tensor;
}

static int constant(lac_graph *graph, const char *name, lac_tensor tensor)
{
    int value;
    OK(lac_graph_constant(graph, name, &tensor, &value, &err));
    return value;
}

static int packed(lac_graph *graph, const char *name, const char *format, lac_view view,
                  lac_tensor tensor)
{
    const lac_format *row;
    lac_params params;
    lac_packed made;
    int value;
    OK(lac_format_parse(format, &row, &params, &err));
    OK(lac_pack(&made, row, &params, view, &tensor, &err));
    OK(lac_packed_to_graph(&made, graph, name, &value, &err));
    lac_packed_release(&made);
    lac_tensor_release(&tensor);
    return value;
}

int node(lac_graph *graph, const char *op, int n_in, const int *in)
{
    int out;
    OK(lac_graph_value(graph, NULL, &out, &err));
    OK(lac_graph_node(graph, "", op, NULL, n_in, in, 1, &out, NULL, &err));
    return out;
}

lac_graph *network(bool shared)
{
    lac_graph *graph;
    int x, w1, w2;
    OK(lac_graph_make(&graph, "net", 17, &err));
    OK(lac_graph_value(graph, "x", &x, &err));
    graph->values[x].dtype = LAC_F32;
    graph->values[x].rank = 2;
    graph->values[x].dims[0] = (lac_dim){-1, "N"};
    graph->values[x].dims[1].size = IN;
    OK(lac_graph_input(graph, x, &err));
    if (shared) {
        w1 = packed(graph, "w1", "eie-csc", LAC_VIEW_ROWS, few_values(HIDDEN, IN, 1));
        w2 = packed(graph, "w2", "codebook", LAC_VIEW_COLUMNS, few_values(HIDDEN, CLASSES, 2));
    } else {
        w1 = constant(graph, "w1", noise(2, (int64_t[]){HIDDEN, IN}, 0.3, 1));
        w2 = constant(graph, "w2", noise(2, (int64_t[]){HIDDEN, CLASSES}, 0.3, 2));
    }
    int b1 = constant(graph, "b1", noise(1, (int64_t[]){HIDDEN}, 0.1, 3));
    int b2 = constant(graph, "b2", noise(1, (int64_t[]){CLASSES}, 0.1, 4));
    int y = node(graph, "Gemm", 3, (int[]){x, w1, b1});
    OK(lac_node_set_int(graph, &graph->nodes[graph->n_nodes - 1], "transB", 1, &err));
    y = node(graph, "MatMul", 2, (int[]){node(graph, "Relu", 1, &y), w2});
    OK(lac_graph_output(graph, node(graph, "Add", 2, (int[]){b2, y}), &err));
    OK(lac_graph_settle(graph, &err));
    return graph;
}

static int64_t label_of(int64_t index)
{
    return index * 5 % CLASSES;
}

lac_status sample(void *context, int64_t index, lac_tensor *in, int64_t *label, lac_error *error)
{
    (void)context;
    LAC_TRY(lac_tensor_make(in, LAC_F32, 2, (int64_t[]){1, IN}, error));
    lac_random pattern = lac_random_stream((uint64_t)label_of(index), 79);
    lac_random own = lac_random_stream((uint64_t)index, 80);
    for (int64_t i = 0; i < IN; i++)
        ((float *)in->data)[i] =
            (float)(lac_random_unit(&pattern) + 0.6 * lac_random_unit(&own) - 0.8);
    *label = label_of(index);
    return LAC_OK;
}

const lac_training_data data = {.samples = SAMPLES, .sample = sample};

lac_tensor fold(const lac_graph *graph, const char *name)
{
    lac_compression weights = {0};
    lac_tensor tensor = {0};
    OK(lac_weights_find(&weights, graph, &err));
    for (int i = 0; i < weights.n_weights; i++)
        if (strcmp(graph->values[weights.weights[i].value].name, name) == 0)
            OK(lac_tensor_copy(&tensor, &weights.weights[i].tensor, &err));
    lac_compression_release(&weights);
    int value = lac_graph_find(graph, name);
    if (!tensor.data && value >= 0)
        OK(lac_tensor_copy(&tensor, &graph->values[value].constant, &err));
    assert_non_null(tensor.data);
    return tensor;
}

lac_graph *retrain(const lac_graph *graph, int epochs, const lac_train_options *options,
                   double *first, lac_train_epoch *last)
{
    lac_trainer *trainer;
    lac_graph *result;
    OK(lac_trainer_make(&trainer, graph, options, &err));
    for (int e = 0; e < epochs; e++) {
        OK(lac_trainer_run(trainer, &data, last, &err));
        assert_int_equal(last->samples, SAMPLES);
        assert_int_equal(last->steps, (SAMPLES + options->batch - 1) / options->batch);
        if (e == 0)
            *first = last->loss;
    }
    OK(lac_trainer_graph(trainer, &result, &err));
    lac_trainer_free(trainer);
    return result;
}
