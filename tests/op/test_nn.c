/* Operators of neural layers: identities that need no stored numbers, hostile shapes, layers. The
 * values of single operators are checked by the standard's own node tests. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lacuna/lacuna.h>
#include <lacuna/op.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST = 8 };

/* One node with its tensors. */
typedef struct bed {
    lac_graph *graph;
    lac_node *node;
    const lac_op *op;
    lac_tensor in[MOST], out[MOST];
    const lac_tensor *in_list[MOST];
    int n_in, n_out;
    lac_error err;
} bed;

static void start(bed *b, const char *domain, const char *op, int n_in, int n_out)
{
    int in[MOST], out[MOST];
    memset(b, 0, sizeof *b);
    b->n_in = n_in;
    b->n_out = n_out;
    assert_int_equal(lac_graph_make(&b->graph, "bed", 17, &b->err), LAC_OK);
    for (int i = 0; i < n_in; i++)
        assert_int_equal(lac_graph_value(b->graph, NULL, &in[i], &b->err), LAC_OK);
    for (int i = 0; i < n_out; i++)
        assert_int_equal(lac_graph_value(b->graph, NULL, &out[i], &b->err), LAC_OK);
    assert_int_equal(
        lac_graph_node(b->graph, domain, op, "n", n_in, in, n_out, out, &b->node, &b->err), LAC_OK);
    b->op = lac_op_find(domain, op);
    assert_non_null(b->op);
}

/* Input i, filled with a fixed pattern in [-1, 1). */
static float *fill(bed *b, int i, int rank, const int64_t *dims)
{
    assert_int_equal(lac_tensor_make(&b->in[i], LAC_F32, rank, dims, &b->err), LAC_OK);
    b->in_list[i] = &b->in[i];
    float *x = b->in[i].data;
    for (int64_t k = 0; k < lac_tensor_count(&b->in[i]); k++)
        x[k] = (float)((k * 37 + i * 11 + 5) % 64) / 32 - 1;
    return x;
}

static lac_call call_of(bed *b)
{
    return (lac_call){b->node, 17, b->n_in, b->n_out, b->in_list, b->out};
}

static lac_status go(bed *b)
{
    lac_call call = call_of(b);
    LAC_TRY(b->op->infer(&call, &b->err));
    for (int i = 0; i < b->n_out; i++) {
        lac_tensor shape = b->out[i];
        LAC_TRY(lac_tensor_make(&b->out[i], shape.dtype, shape.rank, shape.dims, &b->err));
    }
    return b->op->run(&call, &b->err);
}

static void stop(bed *b)
{
    for (int i = 0; i < MOST; i++) {
        lac_tensor_release(&b->in[i]);
        lac_tensor_release(&b->out[i]);
    }
    lac_graph_free(b->graph);
}

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("got %.9g, want %.9g within %g", got, want, tolerance);
}

/* Every size class of the product: below, at and above four rows and sixteen columns. */
static void test_matmul_sizes(void **unused)
{
    (void)unused;
    static const int64_t sizes[] = {1, 3, 4, 5, 15, 16, 17, 33};
    for (size_t s = 0; s < 8 * 8 * 3; s++) {
        int64_t m = sizes[s % 8], n = sizes[s / 8 % 8], k = sizes[s / 64 * 3];
        bed b;
        start(&b, "", "MatMul", 2, 1);
        float *x = fill(&b, 0, 2, (int64_t[]){m, k}), *w = fill(&b, 1, 2, (int64_t[]){k, n});
        assert_int_equal(go(&b), LAC_OK);
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = 0;
                for (int64_t q = 0; q < k; q++)
                    sum += (double)x[i * k + q] * (double)w[q * n + j];
                near((double)((float *)b.out[0].data)[i * n + j], sum, 1e-5);
            }
        stop(&b);
    }
}

/* Groups, strides, dilations and uneven pads against the definition. */
static void test_conv_definition(void **unused)
{
    (void)unused;
    enum { C = 4, H = 9, W = 11, K = 6, G = 2, R = 3, S = 2 };
    bed b;
    start(&b, "", "Conv", 3, 1);
    float *x = fill(&b, 0, 4, (int64_t[]){2, C, H, W});
    float *w = fill(&b, 1, 4, (int64_t[]){K, C / G, R, S});
    float *bias = fill(&b, 2, 1, (int64_t[]){K});
    lac_node_set_int(b.graph, b.node, "group", G, NULL);
    lac_node_set_ints(b.graph, b.node, "strides", 2, (int64_t[]){2, 1}, NULL);
    lac_node_set_ints(b.graph, b.node, "dilations", 2, (int64_t[]){2, 3}, NULL);
    lac_node_set_ints(b.graph, b.node, "pads", 4, (int64_t[]){1, 2, 0, 3}, NULL);
    assert_int_equal(go(&b), LAC_OK);
    int64_t oh = b.out[0].dims[2], ow = b.out[0].dims[3];
    assert_int_equal(oh, (H + 1 - 5) / 2 + 1);
    assert_int_equal(ow, W + 5 - 4 + 1);
    for (int64_t i = 0; i < 2 * K * oh * ow; i++) {
        int64_t n = i / (K * oh * ow), k = i / (oh * ow) % K, y = i / ow % oh, z = i % ow;
        double sum = (double)bias[k];
        for (int64_t c = 0; c < C / G; c++)
            for (int64_t r = 0; r < R; r++)
                for (int64_t s = 0; s < S; s++) {
                    int64_t v = y * 2 + r * 2 - 1, u = z + s * 3 - 2;
                    if (v >= 0 && v < H && u >= 0 && u < W)
                        sum += (double)x[((n * C + k / (K / G) * (C / G) + c) * H + v) * W + u] *
                               (double)w[((k * (C / G) + c) * R + r) * S + s];
                }
        near((double)((float *)b.out[0].data)[i], sum, 1e-5);
    }
    lac_layer layer = {0};
    lac_call call = call_of(&b);
    assert_int_equal(b.op->as_layer(&call, &layer, &b.err), LAC_OK);
    assert_int_equal(lac_layer_dim_get(&layer, "pad_right"), 3);
    assert_int_equal(lac_layer_dim_get(&layer, "groups"), G);
    assert_ptr_equal(layer.output.data, b.out[0].data);
    lac_layer_release(&layer);
    stop(&b);
}

/* A bidirectional LSTM is a forward one beside a reverse one; the reverse one on reversed input is
 * the forward one. Same numbers for one thread and four. */
static void test_lstm_directions(void **unused)
{
    (void)unused;
    enum { T = 5, B = 2, I = 7, H = 20 };
    bed both, one;
    start(&both, "", "LSTM", 4, 3);
    float *x = fill(&both, 0, 3, (int64_t[]){T, B, I});
    float *w = fill(&both, 1, 3, (int64_t[]){2, 4 * H, I});
    float *r = fill(&both, 2, 3, (int64_t[]){2, 4 * H, H});
    float *s = fill(&both, 3, 2, (int64_t[]){2, 8 * H});
    memcpy(w + 4 * H * I, w, 4 * H * I * sizeof *w); /* equal directions */
    memcpy(r + 4 * H * H, r, 4 * H * H * sizeof *r);
    memcpy(s + 8 * H, s, 8 * H * sizeof *s);
    lac_node_set_string(both.graph, both.node, "direction", "bidirectional", NULL);
    lac_node_set_int(both.graph, both.node, "hidden_size", H, NULL);
    assert_int_equal(go(&both), LAC_OK);

    start(&one, "", "LSTM", 4, 3);
    float *flipped = fill(&one, 0, 3, (int64_t[]){T, B, I});
    for (int t = 0; t < T; t++)
        memcpy(flipped + t * B * I, x + (T - 1 - t) * B * I, B * I * sizeof *x);
    memcpy(fill(&one, 1, 3, (int64_t[]){1, 4 * H, I}), w, 4 * H * I * sizeof *w);
    memcpy(fill(&one, 2, 3, (int64_t[]){1, 4 * H, H}), r, 4 * H * H * sizeof *r);
    memcpy(fill(&one, 3, 2, (int64_t[]){1, 8 * H}), s, 8 * H * sizeof *s);
    lac_threads_set(4);
    assert_int_equal(go(&one), LAC_OK);
    lac_threads_set(0);
    const float *y = both.out[0].data, *z = one.out[0].data;
    for (int t = 0; t < T; t++)
        assert_memory_equal(y + (t * 2 + 1) * B * H, z + (T - 1 - t) * B * H, B * H * sizeof *y);

    lac_layer layer = {0};
    lac_call call = call_of(&one);
    assert_int_equal(one.op->as_layer(&call, &layer, &one.err), LAC_OK);
    assert_true(layer.operand[LAC_ROLE_WEIGHTS].tensor.data == one.in[1].data);
    /* ONNX i, o, f, c -> i, g, f, o; one bias of two */
    lac_layer plain;
    assert_int_equal(lac_layer_plain(&layer, &plain, &one.err), LAC_OK);
    const float *lw = plain.operand[LAC_ROLE_WEIGHTS].tensor.data;
    assert_memory_equal(lw, w, H * I * sizeof *w);
    assert_memory_equal(lw + H * I, w + 3 * H * I, H * I * sizeof *w);
    assert_memory_equal(lw + 2 * H * I, w + 2 * H * I, H * I * sizeof *w);
    assert_memory_equal(lw + 3 * H * I, w + H * I, H * I * sizeof *w);
    const float *bias = plain.operand[LAC_ROLE_BIAS].tensor.data;
    for (int i = 0; i < H; i++)
        assert_true(bias[H + i] == s[3 * H + i] + s[4 * H + 3 * H + i]);
    lac_layer_release(&plain);
    lac_layer_release(&layer);
    call = call_of(&both); /* for kernels alone */
    assert_int_equal(both.op->as_layer(&call, &layer, &both.err), LAC_OK);
    assert_int_equal(layer.steps_order, LAC_STEPS_BOTH);
    assert_int_equal(lac_layer_plain(&layer, &plain, &both.err), LAC_ERROR_UNSUPPORTED);
    lac_layer_release(&layer);
    stop(&one);
    stop(&both);
}

/* The fused attention equals its definition, with a mask that hides the last token. */
static void test_attention(void **unused)
{
    (void)unused;
    enum { B = 2, T = 18, HEADS = 3, D = 5, F = HEADS * D };
    bed b;
    start(&b, "lacuna", "Attention", 4, 1);
    float *q = fill(&b, 0, 3, (int64_t[]){B, T, F}), *k = fill(&b, 1, 3, (int64_t[]){B, T, F});
    float *v = fill(&b, 2, 3, (int64_t[]){B, T, F}), *m = fill(&b, 3, 4, (int64_t[]){1, 1, 1, T});
    memset(m, 0, T * sizeof *m);
    m[T - 1] = -INFINITY;
    lac_node_set_int(b.graph, b.node, "heads", HEADS, NULL);
    lac_node_set_float(b.graph, b.node, "scale", 0.5F, NULL);
    assert_int_equal(go(&b), LAC_OK);
    for (int i = 0; i < B * T * F; i++) {
        int n = i / (T * F), t = i / F % T, h = i % F / D;
        double sum = 0, total = 0;
        for (int j = 0; j < T - 1; j++) {
            double score = 0;
            for (int d = 0; d < D; d++)
                score +=
                    (double)q[(n * T + t) * F + h * D + d] * (double)k[(n * T + j) * F + h * D + d];
            total += exp(score * 0.5);
            sum += exp(score * 0.5) * (double)v[(n * T + j) * F + i % F];
        }
        near((double)((float *)b.out[0].data)[i], sum / total, 1e-5);
    }
    lac_layer layer = {0};
    lac_call call = call_of(&b);
    assert_int_equal(b.op->as_layer(&call, &layer, &b.err), LAC_OK);
    assert_int_equal(lac_layer_dim_get(&layer, "heads"), HEADS);
    assert_int_equal(lac_layer_dim_get(&layer, "dim"), D);
    lac_layer_release(&layer);
    stop(&b);
}

/* The curves over their whole range, as softmax, Gelu and Silu see them. */
static void test_curves(void **unused)
{
    (void)unused;
    static const char *const ops[] = {"Gelu", "Silu", "Gelu"};
    for (int kind = 0; kind < 3; kind++) {
        bed b;
        start(&b, "lacuna", ops[kind], 1, 1);
        float *x = fill(&b, 0, 1, (int64_t[]){4001});
        for (int i = 0; i < 4001; i++)
            x[i] = (float)(i - 2000) / 100;
        if (kind == 2)
            lac_node_set_string(b.graph, b.node, "approximate", "tanh", NULL);
        assert_int_equal(go(&b), LAC_OK);
        for (int i = 0; i < 4001; i++) {
            double v = (double)x[i], want = v / (1 + exp(-v));
            if (kind == 0)
                want = v * 0.5 * (1 + erf(v / sqrt(2)));
            if (kind == 2)
                want =
                    v * 0.5 * (1 + tanh(sqrt(2 / 3.14159265358979) * (v + 0.044715 * v * v * v)));
            near((double)((float *)b.out[0].data)[i], want, 2e-6);
        }
        stop(&b);
    }
}

static void test_softmax_extremes(void **unused)
{
    (void)unused;
    bed b;
    start(&b, "", "Softmax", 1, 1);
    float *x = fill(&b, 0, 2, (int64_t[]){2, 20}), *y;
    for (int i = 0; i < 20; i++) {
        x[i] = i == 3 ? 1e30F : -1e30F;
        x[20 + i] = i < 4 ? 500 : -INFINITY;
    }
    assert_int_equal(go(&b), LAC_OK);
    y = b.out[0].data;
    for (int i = 0; i < 20; i++) {
        near((double)y[i], i == 3, 0);
        near((double)y[20 + i], i < 4 ? 0.25 : 0, 0);
    }
    stop(&b);
}

/* Each case breaks one thing; the message must name it. */
static void refuse(bed *b, const char *word)
{
    lac_call call = call_of(b);
    assert_int_not_equal(b->op->infer(&call, &b->err), LAC_OK);
    if (!strstr(b->err.message, word))
        fail_msg("'%s' does not name '%s'", b->err.message, word);
    b->err.message[0] = 0;
}

static void test_hostile(void **unused)
{
    (void)unused;
    bed b;
    lac_tensor x = {.dtype = LAC_F32, .rank = 4, .dims = {1, 4, 5, 5}};
    lac_tensor w = {.dtype = LAC_F32, .rank = 4, .dims = {8, 4, 3, 3}};
    start(&b, "", "Conv", 2, 1);
    b.in_list[0] = &x;
    b.in_list[1] = &w;
    lac_node_set_ints(b.graph, b.node, "strides", 2, (int64_t[]){0, 1}, NULL);
    refuse(&b, "strides[0] is 0");
    lac_node_set_ints(b.graph, b.node, "strides", 2, (int64_t[]){1, 1}, NULL);
    lac_node_set_int(b.graph, b.node, "group", 3, NULL);
    refuse(&b, "group=3");
    lac_node_set_int(b.graph, b.node, "group", 0, NULL);
    refuse(&b, "group=0");
    lac_node_set_int(b.graph, b.node, "group", 1, NULL);
    lac_node_set_ints(b.graph, b.node, "pads", 4, (int64_t[]){INT64_MAX, 0, 0, 0}, NULL);
    refuse(&b, "pads[0]");
    lac_node_set_ints(b.graph, b.node, "pads", 4, (int64_t[]){0, 0, 0, 0}, NULL);
    lac_node_set_ints(b.graph, b.node, "dilations", 2, (int64_t[]){INT64_MAX, 1}, NULL);
    refuse(&b, "dilations[0]");
    lac_node_set_ints(b.graph, b.node, "dilations", 2, (int64_t[]){3, 1}, NULL);
    refuse(&b, "kernel spans 7");
    lac_node_set_ints(b.graph, b.node, "dilations", 2, (int64_t[]){1, 1}, NULL);
    x.dims[0] = INT64_C(1) << 40;
    x.dims[2] = x.dims[3] = INT64_C(1) << 30;
    refuse(&b, "overflow");
    stop(&b);

    start(&b, "", "MaxPool", 1, 1);
    x = (lac_tensor){.dtype = LAC_F32, .rank = 4, .dims = {1, 4, 5, 5}};
    b.in_list[0] = &x;
    refuse(&b, "kernel_shape");
    lac_node_set_ints(b.graph, b.node, "kernel_shape", 2, (int64_t[]){6, 1}, NULL);
    refuse(&b, "kernel spans 6");
    stop(&b);

    start(&b, "", "MatMul", 2, 1);
    b.in_list[0] = &x;
    b.in_list[1] = &w;
    refuse(&b, "do not multiply");
    stop(&b);

    start(&b, "", "LSTM", 3, 1);
    for (int i = 0; i < 3; i++)
        b.in_list[i] = &x;
    refuse(&b, "rank 3");
    stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matmul_sizes),    cmocka_unit_test(test_conv_definition),
        cmocka_unit_test(test_lstm_directions), cmocka_unit_test(test_attention),
        cmocka_unit_test(test_curves),          cmocka_unit_test(test_softmax_extremes),
        cmocka_unit_test(test_hostile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
