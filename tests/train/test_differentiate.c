/* Every gradient against central differences in float64, with and without fusion; what is refused.
 * A case is a small network of the operator under test; its loss is a random linear function of the
 * result, so that every element of the gradient matters. */
#include "core/memory.h"
#include "core/random.h"

#include <lacuna/lacuna.h>
#include <lacuna/train.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 4 };

typedef struct bed {
    lac_graph *graph;
    lac_node *node; /* the last one made */
    int p[MOST];
    lac_error err;
} bed;

#define OK(b, expression)                                                                          \
    do {                                                                                           \
        if ((expression) != LAC_OK) {                                                              \
            fail_msg("%s", (b)->err.message);                                                      \
        }                                                                                          \
    } while (0)

static lac_tensor noise(lac_dtype dtype, int rank, const int64_t *dims, uint64_t seed)
{
    lac_tensor tensor;
    lac_random random = lac_random_stream(seed, 77);
    assert_int_equal(lac_tensor_make(&tensor, dtype, rank, dims, NULL), LAC_OK);
    for (int64_t i = 0; i < lac_tensor_count(&tensor); i++)
        lac_tensor_set(&tensor, i, 2 * lac_random_unit(&random) - 1);
    return tensor;
}

static int constant(bed *b, const char *name, int rank, const int64_t *dims, uint64_t seed)
{
    int value;
    lac_tensor tensor = noise(LAC_F64, rank, dims, seed);
    OK(b, lac_graph_constant(b->graph, name, &tensor, &value, &b->err));
    return value;
}

static int ints(bed *b, int n, const int64_t *list)
{
    int value;
    lac_tensor tensor;
    OK(b, lac_tensor_make(&tensor, LAC_I64, 1, (int64_t[]){n}, &b->err));
    memcpy(tensor.data, list, (size_t)n * sizeof *list);
    OK(b, lac_graph_constant(b->graph, NULL, &tensor, &value, &b->err));
    return value;
}

static int node(bed *b, const char *op, int x, int y, int z)
{
    int out, in[3] = {x, y, z};
    OK(b, lac_graph_value(b->graph, NULL, &out, &b->err));
    OK(b, lac_graph_node(b->graph, "", op, NULL,
                         z >= 0   ? 3
                         : y >= 0 ? 2
                                  : 1,
                         in, 1, &out, &b->node, &b->err));
    return out;
}

static void set(bed *b, const char *name, int64_t value)
{
    OK(b, lac_node_set_int(b->graph, b->node, name, value, &b->err));
}

/* ---- networks: from the parameters p[0..n) to a value ------------------------------------------
 */

static int pair_matmul(bed *b)
{
    return node(b, "MatMul", b->p[0], b->p[1], -1);
}
static int pair_add(bed *b)
{
    return node(b, "Add", b->p[0], b->p[1], -1);
}
static int pair_sub(bed *b)
{
    return node(b, "Sub", b->p[0], b->p[1], -1);
}
static int pair_mul(bed *b)
{
    return node(b, "Mul", b->p[0], b->p[1], -1);
}
static int square(bed *b)
{
    return node(b, "Mul", b->p[0], b->p[0], -1);
}
static int gemm(bed *b, bool ta, bool tb)
{
    int y = node(b, "Gemm", b->p[0], b->p[1], b->p[2]);
    set(b, "transA", ta);
    set(b, "transB", tb);
    OK(b, lac_node_set_float(b->graph, b->node, "alpha", 0.5f, &b->err));
    OK(b, lac_node_set_float(b->graph, b->node, "beta", 0.25f, &b->err));
    return y;
}
static int gemm_nn(bed *b)
{
    return gemm(b, false, false);
}
static int gemm_nt(bed *b)
{
    return gemm(b, false, true);
}
static int gemm_tn(bed *b)
{
    return gemm(b, true, false);
}
static int gemm_tt(bed *b)
{
    return gemm(b, true, true);
}
static int gemm_alone(bed *b)
{
    return node(b, "Gemm", b->p[0], b->p[1], -1);
}
static int relu(bed *b)
{
    return node(b, "Relu", b->p[0], -1, -1);
}
static int neg(bed *b)
{
    return node(b, "Neg", node(b, "Identity", node(b, "Dropout", b->p[0], -1, -1), -1, -1), -1, -1);
}
static int reshapes(bed *b)
{
    int y = node(b, "Flatten", b->p[0], -1, -1);
    y = node(b, "Reshape", y, ints(b, 2, (int64_t[]){4, -1}), -1);
    y = node(b, "Unsqueeze", y, ints(b, 1, (int64_t[]){1}), -1);
    y = node(b, "Mul", y, y, -1);
    return node(b, "Squeeze", y, ints(b, 1, (int64_t[]){1}), -1);
}
static int transposes(bed *b)
{
    int y = node(b, "Transpose", b->p[0], -1, -1);
    y = node(b, "Mul", y, b->p[1], -1);
    y = node(b, "Transpose", y, -1, -1);
    OK(b, lac_node_set_ints(b->graph, b->node, "perm", 3, (int64_t[]){2, 0, 1}, &b->err));
    return y;
}
static int cast(bed *b)
{
    int y = node(b, "Cast", b->p[0], -1, -1);
    set(b, "to", LAC_F32);
    y = node(b, "Cast", y, -1, -1);
    set(b, "to", LAC_F64);
    return y;
}
static int softmax(bed *b)
{
    int y = node(b, "Softmax", b->p[0], -1, -1);
    set(b, "axis", 1);
    y = node(b, "Softmax", y, -1, -1);
    return y;
}
static int log_softmax(bed *b)
{
    int y = node(b, "LogSoftmax", b->p[0], -1, -1);
    set(b, "axis", 0);
    y = node(b, "Add", y, node(b, "LogSoftmax", b->p[0], -1, -1), -1);
    return y;
}
static int reductions(bed *b)
{
    int y = node(b, "ReduceSum", node(b, "Mul", b->p[0], b->p[0], -1),
                 ints(b, 2, (int64_t[]){0, -1}), -1);
    set(b, "keepdims", 0);
    int m = node(b, "ReduceMean", node(b, "Mul", b->p[0], b->p[0], -1), -1, -1);
    OK(b, lac_node_set_ints(b->graph, b->node, "axes", 2, (int64_t[]){0, 2}, &b->err));
    return node(b, "Mul", y, m, -1); /* [3] * [1,3,1] */
}
static int mean_of_all(bed *b)
{
    int y = node(b, "ReduceMean", node(b, "Mul", b->p[0], b->p[0], -1), -1, -1);
    set(b, "keepdims", 0);
    return y;
}

typedef struct a_case {
    const char *name;
    int (*body)(bed *b);
    int n;
    struct {
        int rank;
        int64_t dims[4];
    } p[MOST];
    double step; /* of the differences; 0: 1e-5 */
} a_case;

static const a_case cases[] = {
    {"MatMul", pair_matmul, 2, {{2, {3, 4}}, {2, {4, 5}}}, 0},
    {"MatMul, stack times matrix", pair_matmul, 2, {{3, {2, 3, 4}}, {2, {4, 5}}}, 0},
    {"MatMul, stacks", pair_matmul, 2, {{4, {2, 2, 3, 4}}, {4, {2, 2, 4, 5}}}, 0},
    {"MatMul, left repeated", pair_matmul, 2, {{3, {1, 3, 4}}, {3, {2, 4, 5}}}, 0},
    {"MatMul, matrix times stack", pair_matmul, 2, {{2, {3, 4}}, {3, {2, 4, 5}}}, 0},
    {"Gemm", gemm_nn, 3, {{2, {3, 4}}, {2, {4, 5}}, {1, {5}}}, 0},
    {"Gemm transB", gemm_nt, 3, {{2, {3, 4}}, {2, {5, 4}}, {2, {3, 1}}}, 0},
    {"Gemm transA", gemm_tn, 3, {{2, {4, 3}}, {2, {4, 5}}, {0, {0}}}, 0},
    {"Gemm transA transB", gemm_tt, 3, {{2, {4, 3}}, {2, {5, 4}}, {2, {3, 5}}}, 0},
    {"Gemm without C", gemm_alone, 2, {{2, {3, 4}}, {2, {4, 5}}}, 0},
    {"Add", pair_add, 2, {{2, {3, 4}}, {2, {3, 4}}}, 0},
    {"Add, vector", pair_add, 2, {{3, {2, 3, 4}}, {1, {4}}}, 0},
    {"Add, both repeated", pair_add, 2, {{2, {1, 4}}, {3, {2, 3, 1}}}, 0},
    {"Sub, scalar", pair_sub, 2, {{2, {3, 4}}, {0, {0}}}, 0},
    {"Sub, from a vector", pair_sub, 2, {{1, {4}}, {2, {3, 4}}}, 0},
    {"Mul", pair_mul, 2, {{3, {2, 3, 1}}, {2, {1, 4}}}, 0},
    {"Mul by itself", square, 1, {{2, {3, 4}}}, 0},
    {"Relu", relu, 1, {{2, {5, 7}}}, 0},
    {"Neg, Identity, Dropout", neg, 1, {{2, {3, 4}}}, 0},
    {"Flatten, Reshape, Squeeze, Unsqueeze", reshapes, 1, {{3, {2, 3, 4}}}, 0},
    {"Transpose", transposes, 2, {{3, {2, 3, 4}}, {3, {4, 3, 2}}}, 0},
    {"Cast", cast, 1, {{2, {3, 4}}}, 1e-2},
    {"Softmax", softmax, 1, {{3, {2, 3, 4}}}, 0},
    {"LogSoftmax", log_softmax, 1, {{2, {3, 4}}}, 0},
    {"ReduceSum, ReduceMean", reductions, 1, {{3, {2, 3, 4}}}, 0},
    {"ReduceMean of all", mean_of_all, 1, {{2, {3, 4}}}, 0},
};

/* ---- checks ------------------------------------------------------------------------------------
 */

static double run(bed *b, lac_session *session, const lac_tensor *in, lac_tensor *out, int n_out)
{
    OK(b, lac_session_run(session, in, out, &b->err));
    double loss = lac_tensor_get(&out[0], 0);
    for (int i = 0; n_out < 0 && i < -n_out; i++)
        lac_tensor_release(&out[i]);
    return loss;
}

/* Every element of every gradient of `graph` (the result of lac_differentiate) at `in`; parameters
 * are the inputs from `first` on. */
static void check_gradients(bed *b, const lac_graph *graph, lac_tensor *in, int first, double step,
                            bool no_fusion, const char *name)
{
    lac_session *session;
    lac_session_options options = {.no_fusion = no_fusion};
    lac_tensor out[MOST + 1], spare[MOST + 1];
    step = step > 0 ? step : 1e-5;
    OK(b, lac_session_make(&session, graph, &options, &b->err));
    run(b, session, in, out, graph->n_outputs);
    int checked = 0;
    for (int p = first; p < graph->n_inputs; p++) {
        const lac_tensor *gradient = &out[1 + p - first];
        assert_int_equal(gradient->rank, in[p].rank);
        for (int d = 0; d < in[p].rank; d++)
            assert_int_equal(gradient->dims[d], in[p].dims[d]);
        for (int64_t i = 0; i < lac_tensor_count(&in[p]); i++, checked++) {
            double *at = (double *)in[p].data + i, kept = *at;
            *at = kept + step;
            double above = run(b, session, in, spare, -graph->n_outputs);
            *at = kept - step;
            double below = run(b, session, in, spare, -graph->n_outputs);
            *at = kept;
            double want = (above - below) / (2 * step), got = lac_tensor_get(gradient, i);
            double tolerance = step > 1e-3 ? 1e-4 : 1e-8;
            if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
                fail_msg("%s: parameter %d, element %d: gradient %.12g, differences %.12g", name,
                         p - first, (int)i, got, want);
        }
    }
    assert_true(checked > 0);
    for (int i = 0; i < graph->n_outputs; i++)
        lac_tensor_release(&out[i]);
    lac_session_free(session);
}

static void one_case(const a_case *c)
{
    bed b = {0};
    lac_graph *gradients;
    lac_tensor in[MOST], weight;
    int result, weights, loss;
    OK(&b, lac_graph_make(&b.graph, c->name, 17, &b.err));
    for (int i = 0; i < c->n; i++)
        b.p[i] = constant(&b, NULL, c->p[i].rank, c->p[i].dims, 100 + (uint64_t)i);
    result = c->body(&b);
    /* A linear function of the result: weights of its shape, found by running it. */
    lac_session *session;
    OK(&b, lac_graph_output(b.graph, result, &b.err));
    OK(&b, lac_graph_settle(b.graph, &b.err));
    OK(&b, lac_session_make(&session, b.graph, NULL, &b.err));
    OK(&b, lac_session_run(session, NULL, &weight, &b.err));
    lac_session_free(session);
    lac_tensor random = noise(LAC_F64, weight.rank, weight.dims, 7);
    lac_tensor_release(&weight);
    OK(&b, lac_graph_constant(b.graph, NULL, &random, &weights, &b.err));
    loss = node(&b, "ReduceSum", node(&b, "Mul", result, weights, -1), -1, -1);
    set(&b, "keepdims", 0);
    OK(&b, lac_differentiate(&gradients, b.graph, loss, c->n, b.p, &b.err));
    assert_int_equal(gradients->n_inputs, c->n);
    assert_int_equal(gradients->n_outputs, c->n + 1);
    for (int i = 0; i < c->n; i++)
        OK(&b, lac_tensor_copy(&in[i], &b.graph->values[b.p[i]].constant, &b.err));
    check_gradients(&b, gradients, in, 0, c->step, false, c->name);
    check_gradients(&b, gradients, in, 0, c->step, true, c->name);
    for (int i = 0; i < c->n; i++)
        lac_tensor_release(&in[i]);
    lac_graph_free(gradients);
    lac_graph_free(b.graph);
}

static void test_each_operator(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        one_case(&cases[i]);
}

/* x [N,2,3] -> Flatten -> Gemm transB [5,6] + [5] -> Relu -> MatMul [5,4] -> Add [4] -> logits; the
 * batch is a symbol, and Tanh, which has no gradient, stands where none is needed. */
static int classifier(bed *b)
{
    int x;
    OK(b, lac_graph_make(&b->graph, "classifier", 17, &b->err));
    OK(b, lac_graph_value(b->graph, "x", &x, &b->err));
    b->graph->values[x].dtype = LAC_F64;
    b->graph->values[x].rank = 3;
    b->graph->values[x].dims[0] = (lac_dim){-1, "N"};
    b->graph->values[x].dims[1].size = 2;
    b->graph->values[x].dims[2].size = 3;
    OK(b, lac_graph_input(b->graph, x, &b->err));
    b->p[0] = constant(b, "w1", 2, (int64_t[]){5, 6}, 1);
    b->p[1] = constant(b, "b1", 1, (int64_t[]){5}, 2);
    b->p[2] = constant(b, "w2", 2, (int64_t[]){5, 4}, 3);
    b->p[3] = constant(b, "b2", 1, (int64_t[]){4}, 4);
    int y = node(b, "Flatten", node(b, "Tanh", x, -1, -1), -1, -1);
    y = node(b, "Gemm", y, b->p[0], b->p[1]);
    set(b, "transB", 1);
    y = node(b, "MatMul", node(b, "Relu", y, -1, -1), b->p[2], -1);
    y = node(b, "Add", y, b->p[3], -1);
    OK(b, lac_graph_output(b->graph, y, &b->err));
    OK(b, lac_graph_settle(b->graph, &b->err));
    return y;
}

static void test_cross_entropy_of_a_classifier(void **state)
{
    (void)state;
    bed b = {0};
    int labels, loss, logits = classifier(&b);
    lac_graph *gradients;
    OK(&b, lac_loss_cross_entropy(b.graph, logits, &labels, &loss, &b.err));
    OK(&b, lac_differentiate(&gradients, b.graph, loss, 4, b.p, &b.err));
    assert_int_equal(gradients->n_inputs, 6);
    assert_string_equal(gradients->values[gradients->outputs[3]].name, "w2.gradient");
    for (int n = 1; n <= 3; n += 2) { /* one graph for any batch, 1 among them */
        lac_tensor in[6];
        in[0] = noise(LAC_F64, 3, (int64_t[]){n, 2, 3}, 9);
        OK(&b, lac_tensor_make(&in[1], LAC_F64, 2, (int64_t[]){n, 4}, &b.err));
        for (int i = 0; i < n; i++)
            ((double *)in[1].data)[4 * i + (i + 1) % 4] = 1;
        for (int i = 0; i < 4; i++)
            OK(&b, lac_tensor_copy(&in[2 + i], &b.graph->values[b.p[i]].constant, &b.err));
        /* The loss itself, from the logits of the network that was given. */
        lac_session *session;
        lac_tensor y, out[5];
        OK(&b, lac_session_make(&session, b.graph, NULL, &b.err));
        OK(&b, lac_session_run(session, in, &y, &b.err));
        lac_session_free(session);
        double want = 0;
        for (int i = 0; i < n; i++) {
            const double *row = (const double *)y.data + 4 * i;
            want += log(exp(row[0]) + exp(row[1]) + exp(row[2]) + exp(row[3])) - row[(i + 1) % 4];
        }
        OK(&b, lac_session_make(&session, gradients, NULL, &b.err));
        assert_true(fabs(run(&b, session, in, out, -5) - want / n) < 1e-12);
        lac_session_free(session);
        lac_tensor_release(&y);
        check_gradients(&b, gradients, in, 2, 0, false, "classifier");
        check_gradients(&b, gradients, in, 2, 0, true, "classifier, no fusion");
        for (int i = 0; i < 6; i++)
            lac_tensor_release(&in[i]);
    }
    lac_graph_free(gradients);
    lac_graph_free(b.graph);
}

static void expect(bed *b, lac_status status, lac_status want, const char *text)
{
    assert_int_equal(status, want);
    if (!strstr(b->err.message, text))
        fail_msg("'%s' is not in: %s", text, b->err.message);
}

static void test_refused(void **state)
{
    (void)state;
    bed b = {0};
    lac_graph *gradients = NULL;
    int labels, loss, logits = classifier(&b), twice[2] = {b.p[0], b.p[0]};
    OK(&b, lac_loss_cross_entropy(b.graph, logits, &labels, &loss, &b.err));
    int y = node(&b, "Tanh", loss, -1, -1);
    expect(&b, lac_differentiate(&gradients, b.graph, y, 1, b.p, &b.err), LAC_ERROR_UNSUPPORTED,
           "operator Tanh (node '");
    expect(&b, lac_differentiate(&gradients, b.graph, logits, 1, b.p, &b.err), LAC_ERROR_INPUT,
           "not a float of one element");
    expect(&b, lac_differentiate(&gradients, b.graph, loss, 2, twice, &b.err), LAC_ERROR_INPUT,
           "'w1' is an input already");
    int alone = constant(&b, "alone", 0, NULL, 5);
    expect(&b, lac_differentiate(&gradients, b.graph, loss, 1, &alone, &b.err), LAC_ERROR_INPUT,
           "does not depend on 'alone'");
    expect(&b, lac_differentiate(&gradients, b.graph, 1 << 20, 1, b.p, &b.err), LAC_ERROR_INPUT,
           "value 1048576 of");
    int vector = node(&b, "MatMul", b.p[1], b.p[2], -1); /* [5] x [5,4] */
    int sum = node(&b, "ReduceSum", vector, -1, -1);
    expect(&b, lac_differentiate(&gradients, b.graph, sum, 1, b.p + 2, &b.err),
           LAC_ERROR_UNSUPPORTED, "an operand is a vector");
    expect(&b, lac_loss_cross_entropy(b.graph, b.p[1], &labels, &loss, &b.err),
           LAC_ERROR_UNSUPPORTED, "[batch][classes]");
    b.graph->opset = 12;
    expect(&b, lac_differentiate(&gradients, b.graph, loss, 1, b.p, &b.err), LAC_ERROR_UNSUPPORTED,
           "opset 12");
    assert_null(gradients);
    lac_graph_free(b.graph);
}

/* Every allocation fails once: an error, nothing leaked (the sanitizer watches). */
static void test_out_of_memory(void **state)
{
    (void)state;
    bed b = {0};
    int labels, loss, logits = classifier(&b), failures = 0;
    lac_graph *gradients = NULL;
    OK(&b, lac_loss_cross_entropy(b.graph, logits, &labels, &loss, &b.err));
    for (int64_t i = 0; i < 100000; i++) {
        lac_alloc_fail_after(i);
        lac_status status = lac_differentiate(&gradients, b.graph, loss, 4, b.p, &b.err);
        lac_alloc_fail_after(-1);
        if (status == LAC_OK)
            break;
        assert_int_equal(status, LAC_ERROR_MEMORY);
        failures++;
    }
    assert_true(failures > 20);
    lac_graph_free(gradients);
    lac_graph_free(b.graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_operator),
        cmocka_unit_test(test_cross_entropy_of_a_classifier),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
