/* Retraining holds what the storage says: zeros stay exactly 0, codes stay, a centroid moves by the
 * sum of its members' gradients (against differences of a forward pass in float64 of our own), and
 * the loss falls. */
#include "helpers/retraining.h"

#include <lacuna/scheme.h>

#include <math.h>
#include <string.h>

static lac_error err;

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
    masked("magnitude:n=1,m=4", "nm"); /* 6 outputs fill a panel of 16 */
    masked("magnitude:density=0.2", "csr");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_centroid_gradient_is_the_sum_of_its_members),
        cmocka_unit_test(test_codes_stay_and_the_loss_falls),
        cmocka_unit_test(test_pruned_weights_stay_zero),
        cmocka_unit_test(test_dense_storage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
