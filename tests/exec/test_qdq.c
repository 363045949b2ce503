/* Integer layers out of QuantizeLinear / DequantizeLinear pairs: the same results as the floats
 * that the file says, kernels of integers really chosen, and other patterns left alone. */
#include "helpers/models.h"

#include <lacuna/kernel.h>
#include <lacuna/scheme.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static lac_error err;
#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != LAC_OK)                                                                      \
            fail_msg("%s: %s", #call, err.message);                                                \
    } while (0)
#define DIMS(...)                                                                                  \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[])                         \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static lac_graph *graph;

static int node(const char *op, int n_in, const int *in, lac_node **made)
{
    int out;
    OK(lac_graph_value(graph, NULL, &out, &err));
    OK(lac_graph_node(graph, "", op, NULL, n_in, in, 1, &out, made, &err));
    return out;
}

static int constant(lac_dtype dtype, int rank, const int64_t *dims, double step, double offset)
{
    lac_tensor t;
    int value;
    uint32_t state = 7;
    OK(lac_tensor_make(&t, dtype, rank, dims, &err));
    for (int64_t i = 0; i < lac_tensor_count(&t); i++) {
        state = state * 1664525u + 1013904223u;
        lac_tensor_set(&t, i, offset + step * ((double)(state >> 24) - 128));
    }
    OK(lac_graph_constant(graph, NULL, &t, &value, &err));
    return value;
}

static int input(const char *name, int rank, const int64_t *dims)
{
    int value;
    OK(lac_graph_value(graph, name, &value, &err));
    graph->values[value].dtype = LAC_F32;
    graph->values[value].rank = rank;
    for (int d = 0; d < rank; d++)
        graph->values[value].dims[d].size = dims[d];
    OK(lac_graph_input(graph, value, &err));
    return value;
}

/* x on a grid of bytes and back. */
static int pair(int x, lac_dtype dtype, double scale, int zero)
{
    int s = constant(LAC_F32, 0, NULL, 0, scale), z = constant(dtype, 0, NULL, 0, zero);
    int q = node("QuantizeLinear", 3, (int[]){x, s, z}, NULL);
    return node("DequantizeLinear", 3, (int[]){q, s, z}, NULL);
}

/* int8 weights behind DequantizeLinear with a scale per `axis`, or one scale for axis -1. */
static int weights(int rank, const int64_t *dims, int axis, int zero)
{
    lac_node *made;
    int64_t n = axis < 0 ? 1 : dims[axis];
    int w = constant(LAC_I8, rank, dims, 1, 0);
    int s = constant(LAC_F32, axis < 0 ? 0 : 1, &n, 2e-5, 6e-3);
    int z = constant(LAC_I8, axis < 0 ? 0 : 1, &n, 0, zero);
    int out = node("DequantizeLinear", 3, (int[]){w, s, z}, &made);
    if (axis >= 0)
        OK(lac_node_set_int(graph, made, "axis", axis, &err));
    return out;
}

static lac_tensor sample(int rank, const int64_t *dims)
{
    lac_tensor t;
    OK(lac_tensor_make(&t, LAC_F32, rank, dims, &err));
    for (int64_t i = 0; i < lac_tensor_count(&t); i++)
        ((float *)t.data)[i] = sinf((float)(i * i % 1009) + (float)i * 0.01f);
    return t;
}

static int count_steps(const lac_session *s, const char *op, const char *kernel)
{
    lac_step_info info;
    int count = 0;
    for (int i = 0; lac_session_step(s, i, &info); i++)
        count += (!op || strcmp(info.op, op) == 0) && (!kernel || strstr(info.kernel, kernel));
    return count;
}

static int count_integer(const lac_session *s)
{
    return count_steps(s, NULL, "_u8_") + count_steps(s, NULL, "_s8_");
}

static lac_session *run(const lac_graph *g, bool no_fusion, const char *isa, const lac_tensor *x,
                        lac_tensor *y)
{
    lac_session_options options = {.no_fusion = no_fusion};
    lac_session *session;
    if (isa)
        setenv("LACUNA_ISA", isa, 1);
    OK(lac_session_make(&session, g, &options, &err));
    unsetenv("LACUNA_ISA");
    OK(lac_session_run(session, x, y, &err));
    return session;
}

/* Runs `graph` on x fused, unfused and in portable C: all agree; returns how many layers run on
 * integers in portable C (there always), and checks the native count where integers pay. Frees the
 * graph; `quantizers` is the number of QuantizeLinear steps. */
static int agree(lac_tensor *x, int quantizers)
{
    lac_tensor fused, plain, ref;
    uint32_t isa;
    OK(lac_graph_settle(graph, &err));
    lac_session *a = run(graph, false, NULL, x, &fused);
    lac_session *b = run(graph, true, NULL, x, &plain);
    lac_session *c = run(graph, false, "ref", x, &ref);
    double off = difference(&fused, &plain), off_ref = difference(&fused, &ref);
    int count = count_integer(c);
    if (off > 1e-5 || off_ref > 2e-6)
        fail_msg("fused differs by %g from unfused and by %g from portable", off, off_ref);
    assert_int_equal(count_integer(b), 0);
    assert_int_equal(count_steps(c, "QuantizeLinear", NULL), quantizers);
    OK(lac_isa(&isa, &err));
    if (isa & LAC_ISA_VNNI)
        assert_int_equal(count_integer(a), count);
    lac_session_free(a);
    lac_session_free(b);
    lac_session_free(c);
    lac_tensor_release(&fused);
    lac_tensor_release(&plain);
    lac_tensor_release(&ref);
    lac_tensor_release(x);
    lac_graph_free(graph);
    return count;
}

/* Three products read one x8; one has a bias and an activation. */
static void products(void **state)
{
    static const struct {
        lac_dtype dtype;
        int zero;
        double scale;
    } grid[] = {{LAC_U8, 0, 1 / 255.0},
                {LAC_U8, 128, 1 / 127.0},
                {LAC_I8, 0, 1 / 127.0},
                {LAC_I8, -5, 1 / 120.0}};
    (void)state;
    for (size_t i = 0; i < sizeof grid / sizeof *grid; i++) {
        int y[3];
        OK(lac_graph_make(&graph, "g", 13, &err));
        int x = pair(input("x", DIMS(2, 12, 32)), grid[i].dtype, grid[i].scale, grid[i].zero);
        for (int j = 0; j < 3; j++)
            y[j] = node("MatMul", 2, (int[]){x, weights(DIMS(32, 20), j == 2 ? -1 : 1, 0)}, NULL);
        y[0] = node("Add", 2, (int[]){y[0], constant(LAC_F32, DIMS(20), 0.01, 0)}, NULL);
        y[0] = node("Sigmoid", 1, &y[0], NULL);
        int sum = node("Mul", 2, (int[]){y[0], y[1]}, NULL);
        OK(lac_graph_output(graph, node("Mul", 2, (int[]){sum, y[2]}, NULL), &err));
        lac_tensor in = sample(DIMS(2, 12, 32));
        assert_int_equal(agree(&in, 1), 3);
    }
}

/* Conv (padded, a zero point, bias) + Conv 1 x 1 -> Relu -> depthwise Conv -> Gemm transB. */
static void convolutions(void **state)
{
    (void)state;
    for (int zero = 0; zero < 4; zero += 3) {
        lac_node *made;
        OK(lac_graph_make(&graph, "g", 13, &err));
        int x = pair(input("x", DIMS(2, 16, 9, 9)), LAC_U8, 1 / 250.0, zero);
        int bias = constant(LAC_F32, DIMS(24), 0.01, 0);
        int a = node("Conv", 3, (int[]){x, weights(DIMS(24, 16, 3, 3), 0, 0), bias}, &made);
        OK(lac_node_set_ints(graph, made, "pads", 4, (int64_t[]){1, 1, 1, 1}, &err));
        int b = node("Conv", 2, (int[]){x, weights(DIMS(24, 16, 1, 1), 0, 0)}, NULL);
        int sum = node("Add", 2, (int[]){a, b}, NULL);
        int relu = node("Relu", 1, &sum, NULL);
        OK(lac_graph_output(graph, relu, &err));
        lac_tensor in = sample(DIMS(2, 16, 9, 9));
        assert_int_equal(agree(&in, 1), 2);
    }
    lac_node *made;
    OK(lac_graph_make(&graph, "g", 13, &err));
    int x = pair(input("x", DIMS(2, 16, 9, 9)), LAC_I8, 1 / 127.0, 0);
    int a = node("Conv", 2, (int[]){x, weights(DIMS(16, 1, 3, 3), 0, 0)}, &made);
    OK(lac_node_set_int(graph, made, "group", 16, &err));
    OK(lac_node_set_ints(graph, made, "strides", 2, (int64_t[]){2, 2}, &err));
    OK(lac_graph_output(graph, a, &err));
    lac_tensor in = sample(DIMS(2, 16, 9, 9));
    assert_int_equal(agree(&in, 1), 1);
    OK(lac_graph_make(&graph, "g", 13, &err));
    x = pair(input("x", DIMS(3, 40)), LAC_U8, 1 / 255.0, 0);
    a = node("Gemm", 3,
             (int[]){x, weights(DIMS(24, 40), 0, 0), constant(LAC_F32, DIMS(24), 0.01, 0)}, &made);
    OK(lac_node_set_int(graph, made, "transB", 1, &err));
    OK(lac_graph_output(graph, a, &err));
    in = sample(DIMS(3, 40));
    assert_int_equal(agree(&in, 1), 1);
}

/* A product that a QuantizeLinear reads writes the bytes itself, beside the floats where these have
 * readers, too; with an odd zero point it does not. The steps are coarse, so that a value on an
 * edge shows: the sample has none. */
static void requantised(void **state)
{
    (void)state;
    for (int what = 0; what < 5; what++) {
        lac_dtype dtype = what == 1 ? LAC_I8 : LAC_U8;
        int zero = what == 2 ? 128 : what == 3 ? 3 : 0;
        OK(lac_graph_make(&graph, "g", 13, &err));
        int x = pair(input("x", DIMS(7, 32)), LAC_I8, 1 / 127.0, 0);
        int y = node("MatMul", 2, (int[]){x, weights(DIMS(32, 20), 1, 0)}, NULL);
        if (what == 0)
            y = node("Relu", 1, &y, NULL);
        int z = pair(y, dtype, 0.037, zero);
        z = node("MatMul", 2, (int[]){z, weights(DIMS(20, 24), 1, 0)}, NULL);
        OK(lac_graph_output(graph, z, &err));
        if (what == 4)
            OK(lac_graph_output(graph, y, &err));
        lac_tensor in = sample(DIMS(7, 32));
        if (what == 4) { /* two outputs: the helper below compares one */
            static const char *const isa[] = {NULL, "ref", "avx2"};
            lac_tensor out[2], plain[2];
            uint32_t native;
            OK(lac_graph_settle(graph, &err));
            OK(lac_isa(&native, &err));
            lac_session *s = run(graph, true, NULL, &in, plain);
            lac_session_free(s);
            for (int i = 0; i < ((native & LAC_ISA_AVX2) ? 3 : 2); i++) {
                s = run(graph, false, isa[i], &in, out);
                assert_int_equal(count_steps(s, "QuantizeLinear", NULL), 1);
                for (int j = 0; j < 2; j++) {
                    assert_true(difference(&out[j], &plain[j]) < 1e-5);
                    lac_tensor_release(&out[j]);
                }
                lac_session_free(s);
            }
            lac_tensor_release(&plain[0]);
            lac_tensor_release(&plain[1]);
            lac_tensor_release(&in);
            lac_graph_free(graph);
        } else {
            assert_int_equal(agree(&in, zero == 3 ? 2 : 1), 2);
        }
    }
}

/* What looks alike but means something else stays floats. */
static void left_alone(void **state)
{
    (void)state;
    for (int what = 0; what < 5; what++) {
        lac_node *made;
        OK(lac_graph_make(&graph, "g", 13, &err));
        int x = input("x", DIMS(4, 24)), w, q;
        double scale = what == 3 ? 1e-40 : 1 / 127.0; /* products of scales lose digits */
        if (what == 0) {                              /* one scale per column of x */
            int s = constant(LAC_F32, DIMS(24), 1e-5, 8e-3);
            int z = constant(LAC_I8, DIMS(24), 0, 0);
            q = node("QuantizeLinear", 3, (int[]){x, s, z}, NULL);
            q = node("DequantizeLinear", 3, (int[]){q, s, z}, NULL);
        } else {
            q = pair(x, LAC_I8, scale, 0);
        }
        w = weights(DIMS(24, 24), what == 1 ? 0 : 1, what == 2 ? 4 : 0); /* 1: axis of k */
        int y = node(what == 4 ? "Gemm" : "MatMul", 2, (int[]){q, w}, &made);
        if (what == 4)
            OK(lac_node_set_float(graph, made, "alpha", 0.5f, &err));
        OK(lac_graph_output(graph, y, &err));
        lac_tensor in = sample(DIMS(4, 24));
        if (what == 3)
            for (int i = 0; i < 96; i++)
                ((float *)in.data)[i] *= 1e-38f;
        assert_int_equal(agree(&in, 1), 0);
    }
}

enum { NO_PAIRS, ALL_PAIRS, FACTORS, BEFORE_TURN, OTHER_SCALE, THREE_PAIRS, ODD_PAIR, KINDS };

/* x in pieces of attention, with pairs of some kind at its products. */
static int attention_of(int y, int kind)
{
    lac_node *made;
    lac_tensor shape;
    int part[3], head[3], dims, axes, flat;
    OK(lac_tensor_make(&shape, LAC_I64, 1, (int64_t[]){5}, &err));
    memcpy(shape.data, (int64_t[]){1, 10, 3, 2, 8}, 40);
    OK(lac_graph_constant(graph, NULL, &shape, &dims, &err));
    y = node("Reshape", 2, (int[]){y, dims}, NULL);
    y = node("Transpose", 1, &y, &made);
    OK(lac_node_set_ints(graph, made, "perm", 5, (int64_t[]){2, 0, 3, 1, 4}, &err));
    for (int i = 0; i < 3; i++)
        OK(lac_graph_value(graph, NULL, &part[i], &err));
    OK(lac_graph_node(graph, "", "Split", NULL, 1, &y, 3, part, &made, &err));
    axes = constant(LAC_I64, DIMS(1), 0, 0);
    for (int i = 0; i < 3; i++)
        head[i] = node("Squeeze", 2, (int[]){part[i], axes}, NULL);
    if (kind == FACTORS) {
        head[0] = node("Mul", 2, (int[]){head[0], constant(LAC_F32, 0, NULL, 0, 0.25)}, NULL);
        head[1] = node("Div", 2, (int[]){head[1], constant(LAC_F32, 0, NULL, 0, 2)}, NULL);
    }
    if (kind == BEFORE_TURN)
        head[1] = pair(head[1], LAC_I8, 0.013, 0);
    int turned = node("Transpose", 1, &head[1], &made);
    OK(lac_node_set_ints(graph, made, "perm", 4, (int64_t[]){0, 1, 3, 2}, &err));
    if (kind != NO_PAIRS) {
        head[0] = pair(head[0], LAC_I8, kind == FACTORS ? 0.003 : 0.012, kind == ODD_PAIR);
        head[2] = pair(head[2], LAC_I8, 0.014, 0);
        if (kind != BEFORE_TURN)
            turned = pair(turned, LAC_I8, 0.013, 0);
    }
    if (kind == FACTORS)
        head[0] = node("Mul", 2, (int[]){constant(LAC_F32, 0, NULL, 0, 3), head[0]}, NULL);
    y = node("MatMul", 2, (int[]){head[0], turned}, NULL);
    if (kind == ALL_PAIRS)
        y = node("Add", 2, (int[]){y, constant(LAC_F32, DIMS(1, 1, 10, 10), 0.01, -0.5)}, NULL);
    y = node("Softmax", 1, &y, &made);
    OK(lac_node_set_int(graph, made, "axis", -1, &err));
    if (kind != NO_PAIRS && kind != THREE_PAIRS)
        y = pair(y, LAC_U8, kind == OTHER_SCALE ? 1 / 500.0 : 1 / 255.0, 0);
    y = node("MatMul", 2, (int[]){y, head[2]}, NULL);
    y = node("Transpose", 1, &y, &made);
    OK(lac_node_set_ints(graph, made, "perm", 4, (int64_t[]){0, 2, 1, 3}, &err));
    OK(lac_tensor_make(&shape, LAC_I64, 1, (int64_t[]){3}, &err));
    memcpy(shape.data, (int64_t[]){1, 10, 16}, 24);
    OK(lac_graph_constant(graph, NULL, &shape, &flat, &err));
    return node("Reshape", 2, (int[]){y, flat}, NULL);
}

/* One product makes q, k and v: cut in three. With pairs around its operands and its probabilities
 * attention too computes with integers, its operands come as bytes from the products, and it
 * writes bytes to a product behind; with other pairs nothing is made one layer. */
static void attention(void **state)
{
    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        bool integers = kind > NO_PAIRS && kind < THREE_PAIRS;
        OK(lac_graph_make(&graph, "g", 13, &err));
        int x = pair(input("x", DIMS(1, 10, 16)), LAC_I8, 1 / 127.0, 0);
        int y = node("MatMul", 2, (int[]){x, weights(DIMS(16, 48), 1, 0)}, NULL);
        y = node("Add", 2, (int[]){y, constant(LAC_F32, DIMS(48), 0.01, 0)}, NULL);
        y = attention_of(y, kind);
        if (kind == FACTORS)
            y = node("MatMul", 2, (int[]){pair(y, LAC_I8, 0.01, 0), weights(DIMS(16, 12), 1, 0)},
                     NULL);
        OK(lac_graph_output(graph, y, &err));
        lac_tensor in = sample(DIMS(1, 10, 16));
        int quantizers = integers || kind == NO_PAIRS ? 1 : kind == THREE_PAIRS ? 4 : 5;
        int layers = integers || kind == NO_PAIRS ? 3 + integers + (kind == FACTORS) : 1;
        print_message("pairs of kind %d\n", kind);
        assert_int_equal(agree(&in, quantizers), layers);
    }
}

static lac_status calibration_sample(void *context, int64_t index, lac_tensor *in, lac_error *e)
{
    const lac_graph *g = context;
    const lac_value *value = &g->values[g->inputs[0]];
    int64_t dims[LAC_MAX_RANK];
    for (int d = 0; d < value->rank; d++)
        dims[d] = value->dims[d].size < 0 ? 1 : value->dims[d].size;
    LAC_TRY(lac_tensor_make(in, LAC_F32, value->rank, dims, e));
    for (int64_t i = 0; i < lac_tensor_count(in); i++)
        ((float *)in->data)[i] = sinf((float)(i * i % 1009) + (float)(i * (index + 1)) * 0.01f);
    return LAC_OK;
}

static lac_compression compress(const lac_graph *g, const char *text)
{
    lac_calibration calibration = {4, calibration_sample, (void *)g, "test"};
    lac_compression c = {.calibration = &calibration};
    OK(lac_compress(&c, g, text, &err));
    return c;
}

/* Packed int8 runs packed where that is estimated to be faster, else unpacked, and says so. */
static void packed(void **state)
{
    (void)state;
    lac_graph *g;
    OK(lac_graph_make(&graph, "g", 13, &err));
    int x = input("x", DIMS(64, 768));
    int y = node("MatMul", 2, (int[]){x, constant(LAC_F32, DIMS(768, 512), 1e-3, 0)}, NULL);
    y = node("Relu", 1, &y, NULL);
    y = node("MatMul", 2, (int[]){y, constant(LAC_F32, DIMS(512, 16), 1e-3, 0)}, NULL);
    OK(lac_graph_output(graph, y, &err));
    OK(lac_graph_settle(graph, &err));
    g = graph;
    for (int i = 0; i < 2; i++) {
        lac_compression c = compress(g, i ? "nm:1:8+int8" : "nm:2:4+int8");
        lac_tensor in = sample(DIMS(64, 768)), fused, plain;
        lac_session *a = run(c.graph, false, NULL, &in, &fused);
        lac_session *b = run(c.graph, true, NULL, &in, &plain);
        lac_step_info info;
        int layers = 0, nm = 0;
        for (int s = 0; lac_session_step(a, s, &info); s++) {
            if (strcmp(info.op, "gemm") != 0)
                continue;
            layers++;
            assert_true(info.stored_bytes < (layers == 1 ? 768 * 512 : 512 * 16) * 3 / 4);
            nm += strcmp(info.format, "nm") == 0;
            if (strcmp(info.format, "nm") != 0)
                assert_non_null(strstr(info.why, "dense is faster here: "));
        }
        assert_int_equal(layers, 2);
        assert_int_equal(count_integer(a), 2);
        if (i == 1)
            assert_true(nm >= 1); /* one weight in eight: skipping pays on every CPU */
        assert_true(difference(&fused, &plain) < 1e-2); /* one step of the second grid may flip */
        lac_tensor_release(&fused);
        lac_tensor_release(&plain);
        lac_tensor_release(&in);
        lac_session_free(a);
        lac_session_free(b);
        lac_compression_release(&c);
    }
    lac_graph_free(g);
}

/* A stored network, compressed: every product and attention runs on integers. */
static void glyph(void **state)
{
    static const char *const schemes[] = {"int8", "nm:2:4+int8"};
    uint32_t isa;
    lac_graph *g;
    (void)state;
    OK(lac_isa(&isa, &err));
    OK(lac_onnx_load(&g, LACUNA_SOURCE_DIR "/data/glyph_vit.onnx", &err));
    for (int i = 0; i < 2; i++) {
        lac_compression c = compress(g, schemes[i]);
        lac_tensor in, fused, plain, original;
        OK(calibration_sample(g, 1, &in, &err));
        lac_session *o = run(g, false, NULL, &in, &original);
        lac_session *a = run(c.graph, false, NULL, &in, &fused);
        lac_session *b = run(c.graph, true, NULL, &in, &plain);
        double off = difference(&fused, &plain);
        print_message("%s: fused against unfused %g\n", schemes[i], off);
        assert_true(off < 0.03); /* float rounding flips single steps of later grids */
        if (isa & LAC_ISA_VNNI)
            assert_int_equal(count_integer(a), count_steps(a, NULL, "gemm") +
                                                   count_steps(a, NULL, "conv") +
                                                   count_steps(a, NULL, "attention"));
        assert_int_equal(count_steps(a, "attention", NULL), count_steps(o, "attention", NULL));
        assert_true(count_steps(a, "attention", NULL) > 0);
        lac_session_free(o);
        lac_session_free(a);
        lac_session_free(b);
        lac_tensor_release(&original);
        lac_tensor_release(&fused);
        lac_tensor_release(&plain);
        lac_tensor_release(&in);
        lac_compression_release(&c);
    }
    lac_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(products),   cmocka_unit_test(convolutions),
                                       cmocka_unit_test(left_alone), cmocka_unit_test(attention),
                                       cmocka_unit_test(packed),     cmocka_unit_test(requantised),
                                       cmocka_unit_test(glyph)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
