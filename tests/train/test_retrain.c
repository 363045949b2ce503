/* Retraining holds what the storage says: zeros stay exactly 0, codes stay, a centroid moves by the
 * sum of its members' gradients (against differences of a forward pass in float64 of our own); the
 * loss falls; the bits are those of one thread. */
#include "core/memory.h"
#include "core/random.h"

#include <lacuna/format.h>
#include <lacuna/lacuna.h>
#include <lacuna/scheme.h>
#include <lacuna/train.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { IN = 48, HIDDEN = 32, CLASSES = 6, SAMPLES = 96 };

static lac_error err;

#define OK(expression)                                                                             \
    do {                                                                                           \
        if ((expression) != LAC_OK) {                                                              \
            fail_msg("%s", err.message);                                                           \
        }                                                                                          \
    } while (0)

/* ---- a network and its data --------------------------------------------------------------------
 */

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

static int node(lac_graph *graph, const char *op, int n_in, const int *in)
{
    int out;
    OK(lac_graph_value(graph, NULL, &out, &err));
    OK(lac_graph_node(graph, "", op, NULL, n_in, in, 1, &out, NULL, &err));
    return out;
}

/* x [N,IN] -> Gemm transB w1 [HIDDEN,IN], b1 -> Relu -> MatMul w2 [HIDDEN,CLASSES] -> Add b2. The
 * weights: shared (eie-csc and codebook), or dense. */
static lac_graph *network(bool shared)
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

/* A pattern for each class under noise. */
static lac_status sample(void *context, int64_t index, lac_tensor *in, int64_t *label,
                         lac_error *error)
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

static const lac_training_data data = {.samples = SAMPLES, .sample = sample};

static lac_tensor fold(const lac_graph *graph, const char *name)
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

/* Retrains for `epochs`; the last epoch's figures in *last, the first one's loss in *first. */
static lac_graph *retrain(const lac_graph *graph, int epochs, const lac_train_options *options,
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

/* ---- centroids ---------------------------------------------------------------------------------
 */

/* The mean loss over all samples in float64. */
static double loss_of(const double *w1, const double *b1, const double *w2, const double *b2)
{
    double sum = 0;
    for (int64_t s = 0; s < SAMPLES; s++) {
        lac_tensor x;
        int64_t label;
        double y[CLASSES], total = 0;
        OK(sample(NULL, s, &x, &label, &err));
        memcpy(y, b2, sizeof y);
        for (int h = 0; h < HIDDEN; h++) {
            double z = b1[h];
            for (int i = 0; i < IN; i++)
                z += w1[h * IN + i] * (double)((float *)x.data)[i];
            for (int c = 0; z > 0 && c < CLASSES; c++)
                y[c] += z * w2[h * CLASSES + c];
        }
        for (int c = 0; c < CLASSES; c++)
            total += exp(y[c]);
        sum += log(total) - y[label];
        lac_tensor_release(&x);
    }
    return sum / SAMPLES;
}

typedef struct doubles {
    double w1[HIDDEN * IN], b1[HIDDEN], w2[HIDDEN * CLASSES], b2[CLASSES];
} doubles;

static void widen(const lac_graph *graph, const char *name, double *out)
{
    lac_tensor tensor = fold(graph, name);
    for (int64_t i = 0; i < lac_tensor_count(&tensor); i++)
        out[i] = lac_tensor_get(&tensor, i);
    lac_tensor_release(&tensor);
}

static doubles widen_all(const lac_graph *graph)
{
    doubles d;
    widen(graph, "w1", d.w1);
    widen(graph, "b1", d.b1);
    widen(graph, "w2", d.w2);
    widen(graph, "b2", d.b2);
    return d;
}

/* Member gradients of the whole data as one batch. */
static void member_gradients(const lac_graph *graph, lac_tensor *w1, lac_tensor *w2)
{
    lac_graph *work, *gradients;
    lac_session *session;
    lac_tensor in[4], out[3];
    int labels, loss, parameter[2];
    OK(lac_graph_copy(&work, graph, &err));
    OK(lac_loss_cross_entropy(work, work->outputs[0], &labels, &loss, &err));
    parameter[0] = lac_graph_find(work, "w1");
    parameter[1] = lac_graph_find(work, "w2");
    OK(lac_differentiate(&gradients, work, loss, 2, parameter, &err));
    OK(lac_tensor_make(&in[0], LAC_F32, 2, (int64_t[]){SAMPLES, IN}, &err));
    OK(lac_tensor_make(&in[1], LAC_F32, 2, (int64_t[]){SAMPLES, CLASSES}, &err));
    in[2] = fold(graph, "w1");
    in[3] = fold(graph, "w2");
    for (int64_t s = 0; s < SAMPLES; s++) {
        lac_tensor x;
        int64_t label;
        OK(sample(NULL, s, &x, &label, &err));
        memcpy((float *)in[0].data + s * IN, x.data, IN * sizeof(float));
        ((float *)in[1].data)[s * CLASSES + label] = 1;
        lac_tensor_release(&x);
    }
    OK(lac_session_make(&session, gradients, NULL, &err));
    OK(lac_session_run(session, in, out, &err));
    *w1 = out[1];
    *w2 = out[2];
    lac_tensor_release(&out[0]);
    for (int i = 0; i < 4; i++)
        lac_tensor_release(&in[i]);
    lac_session_free(session);
    lac_graph_free(gradients);
    lac_graph_free(work);
}

static const float *field(const lac_graph *graph, const char *name, int64_t *n)
{
    int value = lac_graph_find(graph, name);
    assert_true(value >= 0);
    if (n)
        *n = (int64_t)lac_tensor_bytes(&graph->values[value].constant);
    return graph->values[value].constant.data;
}

/* One step over everything without momentum, rate 1: what a centroid moved is its gradient. */
static void test_centroid_gradient_is_the_sum_of_its_members(void **state)
{
    (void)state;
    lac_graph *before = network(true);
    lac_train_options options = {.rate = 1, .batch = SAMPLES, .seed = 1};
    lac_train_epoch epoch;
    double first = 0;
    lac_graph *after = retrain(before, 1, &options, &first, &epoch);
    lac_tensor members[2];
    member_gradients(before, &members[0], &members[1]);
    doubles at = widen_all(before);
    assert_true(fabs(first - loss_of(at.w1, at.b1, at.w2, at.b2)) < 1e-5);
    int moved = 0;
    for (int m = 0; m < 2; m++) {
        const char *book = m ? "w2.book" : "w1.codebook";
        const float *old = field(before, book, NULL), *new = field(after, book, NULL);
        double *w = m ? at.w2 : at.w1;
        for (int k = 0; k < 16; k++) {
            double sum = 0, kept[HIDDEN * IN], step = 1e-5;
            int64_t count = lac_tensor_count(&members[m]), n = 0;
            memcpy(kept, w, (size_t)count * sizeof *w);
            for (int64_t i = 0; i < count; i++)
                if (w[i] == (double)old[k] && w[i] != 0) {
                    sum += lac_tensor_get(&members[m], i);
                    n++;
                }
            double got = (double)old[k] - (double)new[k], loss[2];
            if (old[k] == 0) { /* pruned weights, padding and unused entries */
                assert_true(new[k] == 0);
                continue;
            }
            for (int side = 0; side < 2; side++) {
                for (int64_t i = 0; i < count; i++)
                    w[i] = kept[i] == (double)old[k] ? kept[i] + (side ? step : -step) : kept[i];
                loss[side] = loss_of(at.w1, at.b1, at.w2, at.b2);
            }
            memcpy(w, kept, (size_t)count * sizeof *w);
            double differences = (loss[1] - loss[0]) / (2 * step);
            assert_true(n > 5);
            if (!(fabs(got - sum) < 1e-5) || !(fabs(got - differences) < 1e-5))
                fail_msg("%s[%d]: moved by %.9g, members' sum %.9g, differences %.9g", book, k, got,
                         sum, differences);
            moved += fabs(got) > 1e-3;
        }
        lac_tensor_release(&members[m]);
    }
    assert_true(moved >= 6);
    lac_graph_free(before);
    lac_graph_free(after);
}

static void assert_same_bytes(const lac_graph *a, const lac_graph *b, const char *name)
{
    int64_t n, m;
    const float *x = field(a, name, &n), *y = field(b, name, &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, (size_t)n);
}

static void test_codes_stay_and_the_loss_falls(void **state)
{
    (void)state;
    lac_graph *before = network(true);
    lac_train_options options = {.rate = 0.01, .momentum = 0.9, .batch = 10, .seed = 1};
    lac_train_epoch last;
    lac_trainer *trainer;
    lac_parameter_info info;
    double first = 0;
    lac_graph *after = retrain(before, 20, &options, &first, &last);
    assert_true(last.loss < 0.5 * first);
    assert_true(last.accuracy > 0.9);
    assert_same_bytes(before, after, "w1.entries");
    assert_same_bytes(before, after, "w1.pointers");
    assert_same_bytes(before, after, "w2.codes");
    assert_true(field(after, "w1.codebook", NULL)[0] == 0);
    assert_memory_not_equal(field(before, "w1.codebook", NULL), field(after, "w1.codebook", NULL),
                            16 * sizeof(float));
    lac_tensor w[2] = {fold(before, "w1"), fold(after, "w1")};
    int64_t zeros = 0;
    for (int64_t i = 0; i < lac_tensor_count(&w[0]); i++) {
        assert_int_equal(((float *)w[0].data)[i] == 0, ((float *)w[1].data)[i] == 0);
        zeros += ((float *)w[1].data)[i] == 0;
    }
    assert_true(zeros > HIDDEN * IN / 8);
    lac_tensor_release(&w[0]);
    lac_tensor_release(&w[1]);
    OK(lac_trainer_make(&trainer, after, &options, &err));
    assert_true(lac_trainer_parameter(trainer, 0, &info));
    assert_string_equal(info.name, "w1");
    assert_int_equal(info.constraint, LAC_TRAIN_SHARED);
    assert_int_equal(info.centroids, 6);
    assert_int_equal(info.elements - info.nonzeros, zeros);
    assert_true(lac_trainer_parameter(trainer, 3, &info));
    assert_int_equal(info.constraint, LAC_TRAIN_FREE);
    assert_false(lac_trainer_parameter(trainer, 4, &info));
    lac_trainer_free(trainer);
    lac_graph_free(before);
    lac_graph_free(after);
}

/* ---- masks -------------------------------------------------------------------------------------
 */

static void masked(const char *scheme, const char *format)
{
    lac_graph *dense = network(false);
    lac_compression compression = {0};
    lac_train_options options = {.rate = 0.05, .momentum = 0.9, .batch = 16, .seed = 3};
    lac_train_epoch last;
    double first = 0;
    OK(lac_compress(&compression, dense, scheme, &err));
    lac_graph *after = retrain(compression.graph, 8, &options, &first, &last);
    assert_true(last.loss < first);
    for (int k = 0; k < 2; k++) {
        const char *name = k ? "w2.w" : "w1.w";
        lac_tensor old = fold(compression.graph, name), new = fold(after, name);
        int64_t zeros = 0, moved = 0, n = lac_tensor_count(&old);
        for (int64_t i = 0; i < n; i++) {
            float x = ((float *)old.data)[i], y = ((float *)new.data)[i];
            zeros += x == 0;
            moved += x != y;
            if (x == 0 && y != 0)
                fail_msg("%s: %s[%d] was pruned and is %g", scheme, name, (int)i, (double)y);
        }
        assert_true(zeros >= n / 2);
        assert_true(moved > (n - zeros) / 2);
        const lac_node *unpack = &after->nodes[after->values[lac_graph_find(after, name)].producer];
        assert_string_equal(unpack->op, "Unpack");
        assert_string_equal(lac_node_string(unpack, "format", ""), format);
        lac_tensor_release(&old);
        lac_tensor_release(&new);
    }
    lac_graph_free(after);
    lac_compression_release(&compression);
    lac_graph_free(dense);
}

static void test_pruned_weights_stay_zero(void **state)
{
    (void)state;
    masked("magnitude:n=2,m=4", "nm");
    masked("magnitude:density=0.2", "coo");
}

/* Zeros in a dense constant are held too; float16 behind a Cast stays float16. */
static void test_dense_storage(void **state)
{
    (void)state;
    lac_graph *graph = network(false);
    lac_train_options options = {.rate = 0.05, .momentum = 0.9, .batch = 16, .seed = 3};
    lac_train_epoch last;
    lac_tensor half;
    double first = 0;
    int w1 = lac_graph_find(graph, "w1"), half_value;
    float *values = graph->values[w1].constant.data;
    for (int i = 0; i < HIDDEN * IN; i += 3)
        values[i] = 0;
    OK(lac_tensor_convert(&half, LAC_F16, &graph->values[w1].constant, &err));
    lac_tensor_release(&graph->values[w1].constant);
    OK(lac_graph_constant(graph, "w1.half", &half, &half_value, &err));
    OK(lac_graph_node(graph, "", "Cast", NULL, 1, &half_value, 1, &w1, NULL, &err));
    OK(lac_node_set_int(graph, &graph->nodes[graph->n_nodes - 1], "to", LAC_F32, &err));
    OK(lac_graph_settle(graph, &err));
    lac_graph *after = retrain(graph, 5, &options, &first, &last);
    assert_true(last.loss < first);
    const lac_tensor *stored = &after->values[lac_graph_find(after, "w1.half")].constant;
    assert_int_equal(stored->dtype, LAC_F16);
    int64_t moved = 0;
    for (int64_t i = 0; i < HIDDEN * IN; i++) {
        double was = lac_tensor_get(&graph->values[half_value].constant, i);
        if (i % 3 == 0)
            assert_true(lac_tensor_get(stored, i) == 0);
        moved += lac_tensor_get(stored, i) != was;
    }
    assert_true(moved > HIDDEN * IN / 3);
    lac_graph_free(after);
    lac_graph_free(graph);
}

/* ---- the rest ----------------------------------------------------------------------------------
 */

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
        cmocka_unit_test(test_centroid_gradient_is_the_sum_of_its_members),
        cmocka_unit_test(test_codes_stay_and_the_loss_falls),
        cmocka_unit_test(test_pruned_weights_stay_zero),
        cmocka_unit_test(test_dense_storage),
        cmocka_unit_test(test_same_bits_for_any_thread_count),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_softmax_at_the_end),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
