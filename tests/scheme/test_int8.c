/* What the int8 scheme does for accuracy: zero points for activations of mostly one sign, smoothing
 * that leaves the float network as it is, small products that stay float, steps of probabilities.
 */
#include "core/random.h"
#include "exec/calibrate.h"
#include "scheme/weights.h"

#include <lacuna/lacuna.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static lac_error err;
#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != LAC_OK)                                                                      \
            fail_msg("%s: %s", #call, err.message);                                                \
    } while (0)

static int constant(lac_graph *graph, const char *name, int rank, const int64_t *dims)
{
    lac_tensor tensor;
    int value;
    lac_random random = lac_random_stream(9, (uint64_t)name[1]);
    OK(lac_tensor_make(&tensor, LAC_F32, rank, dims, &err));
    for (int64_t i = 0; i < lac_tensor_count(&tensor); i++)
        ((float *)tensor.data)[i] = (float)(lac_random_unit(&random) - 0.5);
    OK(lac_graph_constant(graph, name, &tensor, &value, &err));
    lac_tensor_release(&tensor);
    return value;
}

static int apply(lac_graph *graph, const char *op, const char *name, int n, const int *in)
{
    int out;
    OK(lac_graph_value(graph, NULL, &out, &err));
    OK(lac_graph_node(graph, "", op, name, n, in, 1, &out, NULL, &err));
    return out;
}

static lac_graph *begin(int *x)
{
    lac_graph *graph;
    OK(lac_graph_make(&graph, "g", 17, &err));
    OK(lac_graph_value(graph, "x", x, &err));
    graph->values[*x].dtype = LAC_F32;
    graph->values[*x].rank = 2;
    graph->values[*x].dims[0].size = 4;
    graph->values[*x].dims[1].size = 80;
    OK(lac_graph_input(graph, *x, &err));
    return graph;
}

enum { EVEN, UNEVEN, MOSTLY_POSITIVE, MOSTLY_NEGATIVE, POSITIVE };

static lac_status sample(void *context, int64_t index, lac_tensor *in, lac_error *e)
{
    int kind = *(int *)context;
    lac_random random = lac_random_stream(5, (uint64_t)index);
    LAC_TRY(lac_tensor_make(in, LAC_F32, 2, (int64_t[]){4, 80}, e));
    for (int64_t i = 0; i < 320; i++) {
        double u = lac_random_unit(&random);
        double x = kind == MOSTLY_POSITIVE   ? 4.2 * u - 0.2
                   : kind == MOSTLY_NEGATIVE ? 0.2 - 4.2 * u
                   : kind == POSITIVE        ? u
                                             : 2 * u - 1;
        ((float *)in->data)[i] = (float)(kind == UNEVEN && i % 80 == 3 ? 300 * x : x);
    }
    return LAC_OK;
}

static lac_calibration calibration(int *kind)
{
    return (lac_calibration){.samples = 6, .sample = sample, .context = kind, .source = "test"};
}

static const lac_weight *weight_of(const lac_compression *c, const char *node)
{
    for (int i = 0; i < c->n_weights; i++)
        if (strcmp(c->weights[i].name, node) == 0)
            return &c->weights[i];
    fail_msg("no weight of node '%s'", node);
    return NULL;
}

static void run(const lac_graph *graph, int kind, bool no_fusion, lac_tensor *y)
{
    lac_session *session;
    lac_tensor x;
    OK(sample(&kind, 77, &x, &err));
    OK(lac_session_make(&session, graph, &(lac_session_options){.no_fusion = no_fusion}, &err));
    OK(lac_session_run(session, &x, y, &err));
    lac_session_free(session);
    lac_tensor_release(&x);
}

/* Largest difference over the largest element. */
static double apart(const lac_tensor *a, const lac_tensor *b)
{
    double off = 0, top = 0;
    for (int64_t i = 0; i < lac_tensor_count(a); i++) {
        off = fmax(off, fabs(lac_tensor_get(a, i) - lac_tensor_get(b, i)));
        top = fmax(top, fabs(lac_tensor_get(b, i)));
    }
    return off / top;
}

/* ---- zero points --------------------------------------------------------------------------- */

static void test_zero_points(void **state)
{
    (void)state;
    static const struct {
        int kind, low, high; /* bounds of the zero point */
        bool is_unsigned;
    } want[] = {{EVEN, 0, 0, false},
                {POSITIVE, 0, 0, true},
                {MOSTLY_POSITIVE, 10, 14, true},    /* 0.2 of 4.2 on 255 steps: 12 */
                {MOSTLY_NEGATIVE, 242, 246, true}}; /* 243, made even */
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        int x, kind = want[i].kind;
        lac_graph *graph = begin(&x);
        int w = constant(graph, "w1", 2, (int64_t[]){80, 90});
        OK(lac_graph_output(graph, apply(graph, "MatMul", "first", 2, (int[]){x, w}), &err));
        OK(lac_graph_settle(graph, &err));
        lac_calibration samples = calibration(&kind);
        lac_compression c = {.calibration = &samples};
        OK(lac_compress(&c, graph, "int8", &err));
        const lac_weight *first = weight_of(&c, "first");
        assert_int_equal(first->input_unsigned, want[i].is_unsigned);
        assert_in_range(first->input_zero, want[i].low, want[i].high);
        assert_int_equal(first->input_zero % 2, 0);
        if (kind == MOSTLY_POSITIVE || kind == MOSTLY_NEGATIVE) /* half of 4 / 127 */
            assert_true(first->input_scale < 0.0172f && first->input_scale > 0.0160f);
        lac_tensor dense, fused, plain;
        run(graph, kind, false, &dense);
        run(c.graph, kind, false, &fused);
        run(c.graph, kind, true, &plain);
        assert_true(apart(&fused, &plain) < 1e-5);
        assert_true(apart(&fused, &dense) < 0.02);
        lac_tensor_release(&dense);
        lac_tensor_release(&fused);
        lac_tensor_release(&plain);
        lac_compression_release(&c);
        lac_graph_free(graph);
    }
}

/* ---- smoothing ------------------------------------------------------------------------------ */

/* LayerNormalization with one channel of large scale -> MatMul "a", Gemm "b"; their sum. */
static lac_graph *normalised(int residual)
{
    int x, out[3];
    lac_node *node;
    lac_graph *graph = begin(&x);
    int gamma = constant(graph, "g1", 1, (int64_t[]){80});
    int beta = constant(graph, "b1", 1, (int64_t[]){80});
    ((float *)graph->values[gamma].constant.data)[7] = 40;
    int a = constant(graph, "wa", 2, (int64_t[]){80, 80});
    int b = constant(graph, "wb", 2, (int64_t[]){80, 80});
    int y = apply(graph, "LayerNormalization", "norm", 3, (int[]){x, gamma, beta});
    out[0] = apply(graph, "MatMul", "a", 2, (int[]){y, a});
    OK(lac_graph_value(graph, NULL, &out[1], &err));
    OK(lac_graph_node(graph, "", "Gemm", "b", 2, (int[]){y, b}, 1, &out[1], &node, &err));
    OK(lac_node_set_int(graph, node, "transB", 1, &err));
    int sum = apply(graph, "Add", NULL, 2, out);
    if (residual == 1)
        sum = apply(graph, "Add", NULL, 2, (int[]){sum, y});
    OK(lac_graph_output(graph, sum, &err));
    if (residual == 2)
        OK(lac_graph_output(graph, y, &err));
    OK(lac_graph_settle(graph, &err));
    return graph;
}

/* The float network computes the same; a residual or an output of the normalised values forbids. */
static void test_smoothing_is_exact(void **state)
{
    (void)state;
    for (int residual = 0; residual < 3; residual++) {
        int kind = EVEN;
        lac_graph *graph = normalised(residual), *draft;
        lac_calibration samples = calibration(&kind);
        lac_compression c = {.calibration = &samples};
        lac_ranges ranges;
        bool any;
        OK(lac_weights_find(&c, graph, &err));
        OK(lac_ranges_collect(&ranges, graph, 6, sample, &kind, NULL, NULL, &err));
        OK(lac_smooth(&c, &ranges, &any, &err));
        assert_int_equal(any, residual == 0);
        for (int w = 0; w < 2; w++) {
            const float *factor = c.weights[w].smoothing;
            assert_int_equal(factor != NULL, residual == 0);
            if (factor) /* what was large goes into the weights */
                assert_true(factor[7] > 3 * factor[8]);
        }
        OK(lac_weights_draft(&c, &draft, &err));
        if (residual < 2) {
            lac_tensor before, after;
            run(graph, kind, false, &before);
            run(draft, kind, false, &after);
            assert_true(apart(&after, &before) < 1e-5);
            assert_true(residual || apart(&after, &before) > 0); /* something did change */
            lac_tensor_release(&before);
            lac_tensor_release(&after);
        }
        lac_graph_free(draft);
        lac_ranges_release(&ranges);
        lac_compression_release(&c);
        lac_graph_free(graph);
    }
}

/* It helps the network of integers, and the reported error is that of the weights as they were. */
static void test_smoothing_helps(void **state)
{
    (void)state;
    int kind = EVEN;
    lac_graph *graph = normalised(0);
    lac_calibration samples = calibration(&kind);
    double off[2];
    lac_tensor dense;
    run(graph, kind, false, &dense);
    for (int on = 0; on < 2; on++) {
        lac_tensor y;
        lac_compression c = {.calibration = &samples};
        OK(lac_compress(&c, graph, on ? "int8" : "int8:smooth=off", &err));
        run(c.graph, kind, false, &y);
        off[on] = apart(&y, &dense);
        print_message("error of the weights: %.4f\n", weight_of(&c, "a")->error);
        assert_true(weight_of(&c, "a")->error < 0.2);
        lac_tensor_release(&y);
        lac_compression_release(&c);
    }
    print_message("smoothing: %.4f of the largest output instead of %.4f\n", off[1], off[0]);
    assert_true(off[1] < 0.7 * off[0]);
    lac_tensor_release(&dense);
    lac_graph_free(graph);
}

/* Weights that share few values would no longer. */
static void test_smoothing_keeps_formats(void **state)
{
    (void)state;
    int kind = EVEN;
    lac_graph *graph = normalised(0);
    lac_calibration samples = calibration(&kind);
    lac_compression shared = {.calibration = &samples}, groups = {.calibration = &samples};
    OK(lac_compress(&shared, graph, "deep-compression+int8", &err));
    OK(lac_compress(&groups, graph, "nm:2:4+int8", &err));
    assert_null(weight_of(&shared, "a")->smoothing);
    assert_non_null(weight_of(&groups, "a")->smoothing);
    assert_string_equal(weight_of(&groups, "a")->format->row.name, "nm");
    lac_compression_release(&shared);
    lac_compression_release(&groups);
    lac_graph_free(graph);
}

/* ---- small products -------------------------------------------------------------------------- */

static void test_small_stays_float(void **state)
{
    (void)state;
    int kind = UNEVEN, x;
    lac_graph *graph = begin(&x);
    int small = constant(graph, "w1", 2, (int64_t[]){80, 2});
    int large = constant(graph, "w2", 2, (int64_t[]){80, 300});
    for (int i = 0; i < 2; i++) /* what is large hardly counts */
        ((float *)graph->values[small].constant.data)[6 + i] *= 1e-3f;
    for (int i = 0; i < 300; i++)
        ((float *)graph->values[large].constant.data)[900 + i] *= 1e-3f;
    OK(lac_graph_output(graph, apply(graph, "MatMul", "small", 2, (int[]){x, small}), &err));
    OK(lac_graph_output(graph, apply(graph, "MatMul", "large", 2, (int[]){x, large}), &err));
    OK(lac_graph_settle(graph, &err));
    lac_calibration samples = calibration(&kind);
    for (int strict = 0; strict < 2; strict++) {
        lac_compression c = {.calibration = &samples};
        OK(lac_compress(&c, graph, strict ? "int8" : "int8:tolerance=1000", &err));
        assert_int_equal(weight_of(&c, "small")->input_scale > 0, !strict);
        assert_true(weight_of(&c, "large")->input_scale > 0);
        assert_int_equal(
            strstr(weight_of(&c, "small")->expect, "as fast as float32: rounding") != NULL, strict);
        lac_compression_release(&c);
    }
    lac_graph_free(graph);
}

/* ---- probabilities --------------------------------------------------------------------------- */

static void test_probability_steps(void **state)
{
    (void)state;
    static const double largest[] = {1, 0.25, 0.01};
    for (size_t i = 0; i < sizeof largest / sizeof *largest; i++) {
        lac_range roots = {0};
        lac_tensor t;
        OK(lac_tensor_make(&t, LAC_F32, 1, (int64_t[]){1000}, &err));
        for (int j = 0; j < 1000; j++)
            ((float *)t.data)[j] = (float)sqrt(largest[i] * (j + 1) / 1000);
        lac_range_add(&roots, &t);
        double top = 255 * (double)lac_range_probability_scale(&roots);
        assert_true(top > 0.9 * largest[i] && top < 1.1 * largest[i]);
        lac_tensor_release(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zero_points),       cmocka_unit_test(test_smoothing_is_exact),
        cmocka_unit_test(test_smoothing_helps),   cmocka_unit_test(test_smoothing_keeps_formats),
        cmocka_unit_test(test_small_stays_float), cmocka_unit_test(test_probability_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
