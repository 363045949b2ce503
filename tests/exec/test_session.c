/* Sessions: errors that name what is wrong, shapes with symbols, fusions that must happen, the
 * memory plan, runners, watchers, capture. */
#include "exec/capture.h"
#include "exec/shape.h"
#include "helpers/models.h"

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

static int constant(lac_graph *g, const char *name, int rank, const int64_t *dims)
{
    lac_tensor t;
    int value;
    OK(lac_tensor_make(&t, LAC_F32, rank, dims, &err));
    for (int64_t i = 0; i < lac_tensor_count(&t); i++)
        ((float *)t.data)[i] = (float)((i * 37 + 11) % 23 - 11) / 20;
    OK(lac_graph_constant(g, name, &t, &value, &err));
    return value;
}

static int input(lac_graph *g, const char *name, int rank, const int64_t *dims, const char *symbol)
{
    int value;
    OK(lac_graph_value(g, name, &value, &err));
    g->values[value].dtype = LAC_F32;
    g->values[value].rank = rank;
    for (int d = 0; d < rank; d++)
        g->values[value].dims[d] = (lac_dim){dims[d], dims[d] < 0 ? symbol : NULL};
    OK(lac_graph_input(g, value, &err));
    return value;
}

static int node(lac_graph *g, const char *op, int n_in, const int *in, lac_node **made)
{
    int out;
    OK(lac_graph_value(g, NULL, &out, &err));
    OK(lac_graph_node(g, "", op, NULL, n_in, in, 1, &out, made, &err));
    return out;
}

/* x[N,3,8,8] -> Conv -> BatchNormalization -> Add x' -> Relu -> MaxPool -> Flatten -> Gemm -> Relu
 */
static lac_graph *small_network(void)
{
    lac_graph *g;
    lac_node *n;
    int64_t pads[] = {1, 1, 1, 1}, two[] = {2, 2};
    OK(lac_graph_make(&g, "small", 13, &err));
    int x = input(g, "x", 4, (int64_t[]){-1, 3, 8, 8}, "N");
    int w1 = constant(g, "w1", 4, (int64_t[]){5, 3, 3, 3});
    int a = node(g, "Conv", 2, (int[]){x, w1}, &n);
    OK(lac_node_set_ints(g, n, "pads", 4, pads, &err));
    int p[4];
    for (int i = 0; i < 4; i++)
        p[i] = constant(g, NULL, 1, (int64_t[]){5});
    for (int i = 0; i < 5; i++)
        ((float *)g->values[p[3]].constant.data)[i] = 0.5f + (float)i;
    int b = node(g, "BatchNormalization", 5, (int[]){a, p[0], p[1], p[2], p[3]}, &n);
    int w2 = constant(g, "w2", 4, (int64_t[]){5, 3, 1, 1});
    int c = node(g, "Conv", 2, (int[]){x, w2}, &n);
    int d = node(g, "Add", 2, (int[]){b, c}, &n);
    int e = node(g, "Relu", 1, &d, &n);
    int f = node(g, "MaxPool", 1, &e, &n);
    OK(lac_node_set_ints(g, n, "kernel_shape", 2, two, &err));
    OK(lac_node_set_ints(g, n, "strides", 2, two, &err));
    int h = node(g, "Flatten", 1, &f, &n);
    int w3 = constant(g, "w3", 2, (int64_t[]){80, 7});
    int i = node(g, "MatMul", 2, (int[]){h, w3}, &n);
    int bias = constant(g, "bias", 1, (int64_t[]){7});
    int j = node(g, "Add", 2, (int[]){i, bias}, &n);
    int k = node(g, "Sigmoid", 1, &j, &n);
    OK(lac_graph_output(g, k, &err));
    OK(lac_graph_settle(g, &err));
    return g;
}

static lac_tensor sample(int64_t batch)
{
    lac_tensor t;
    OK(lac_tensor_make(&t, LAC_F32, 4, (int64_t[]){batch, 3, 8, 8}, &err));
    for (int64_t i = 0; i < lac_tensor_count(&t); i++)
        ((float *)t.data)[i] = sinf((float)i);
    return t;
}

static int count_steps(lac_session *s, const char *op)
{
    lac_step_info info;
    int count = 0;
    for (int i = 0; lac_session_step(s, i, &info); i++)
        count += !op || strcmp(info.op, op) == 0;
    return count;
}

static void fusion(void **state)
{
    lac_graph *g = small_network();
    lac_session *fused, *plain;
    lac_session_options no = {.no_fusion = true};
    (void)state;
    OK(lac_session_make(&fused, g, NULL, &err));
    OK(lac_session_make(&plain, g, &no, &err));
    for (int64_t batch = 1; batch < 4; batch++) {
        lac_tensor x = sample(batch), a, b;
        OK(lac_session_run(fused, &x, &a, &err));
        OK(lac_session_run(plain, &x, &b, &err));
        assert_int_equal(a.dims[0], batch);
        assert_true(difference(&a, &b) < 1e-5);
        lac_tensor_release(&x);
        lac_tensor_release(&a);
        lac_tensor_release(&b);
    }
    assert_int_equal(count_steps(fused, "conv"), 2);
    assert_int_equal(count_steps(fused, "gemm"), 1);
    /* normalization, additions and activations are gone; transposes stand only at the borders */
    assert_int_equal(count_steps(fused, "BatchNormalization"), 0);
    assert_int_equal(count_steps(fused, "Add"), 0);
    assert_int_equal(count_steps(fused, "Relu"), 0);
    assert_int_equal(count_steps(fused, "Sigmoid"), 0);
    assert_int_equal(count_steps(fused, "Transpose"), 2);
    assert_int_equal(count_steps(plain, NULL), g->n_nodes);
    assert_true(lac_session_peak_bytes(fused) >= 3 * 5 * 64 * sizeof(float));
    /* at most the input turned, and both convolutions' outputs, of batch 3 */
    assert_true(lac_session_peak_bytes(fused) <= (size_t)3 * (3 + 5 + 5) * 64 * sizeof(float));
    lac_session_free(fused);
    lac_session_free(plain);
    lac_graph_free(g);
}

static void wrong_inputs(void **state)
{
    lac_graph *g = small_network();
    lac_session *s;
    lac_tensor x, out;
    (void)state;
    OK(lac_session_make(&s, g, NULL, &err));
    OK(lac_tensor_make(&x, LAC_F32, 4, (int64_t[]){1, 3, 9, 8}, &err));
    assert_int_equal(lac_session_run(s, &x, &out, &err), LAC_ERROR_INPUT);
    assert_string_equal(err.message, "input 'x' is float32[1,3,9,8], expected float32[N,3,8,8]");
    lac_tensor_release(&x);
    OK(lac_tensor_make(&x, LAC_F32, 4, (int64_t[]){0, 3, 8, 8}, &err));
    assert_int_equal(lac_session_run(s, &x, &out, &err), LAC_ERROR_INPUT);
    assert_string_equal(err.message, "input 'x' is float32[0,3,8,8], expected float32[N,3,8,8]: "
                                     "want every size of at least 1");
    lac_tensor_release(&x);
    OK(lac_tensor_make(&x, LAC_U8, 4, (int64_t[]){1, 3, 8, 8}, &err));
    assert_int_equal(lac_session_run(s, &x, &out, &err), LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "uint8[1,3,8,8], expected float32"));
    lac_tensor_release(&x);
    OK(lac_tensor_make(&x, LAC_F32, 3, (int64_t[]){3, 8, 8}, &err));
    assert_int_equal(lac_session_run(s, &x, &out, &err), LAC_ERROR_INPUT);
    lac_tensor_release(&x);
    lac_session_free(s);
    lac_graph_free(g);
}

static void symbols_agree(void **state)
{
    lac_graph *g;
    lac_session *s;
    lac_node *n;
    lac_tensor in[2], out;
    (void)state;
    OK(lac_graph_make(&g, "sum", 13, &err));
    int a = input(g, "a", 2, (int64_t[]){-1, 4}, "T"),
        b = input(g, "b", 2, (int64_t[]){-1, 4}, "T");
    int y = node(g, "Add", 2, (int[]){a, b}, &n);
    OK(lac_graph_output(g, y, &err));
    OK(lac_session_make(&s, g, NULL, &err));
    OK(lac_tensor_make(&in[0], LAC_F32, 2, (int64_t[]){2, 4}, &err));
    OK(lac_tensor_make(&in[1], LAC_F32, 2, (int64_t[]){3, 4}, &err));
    assert_int_equal(lac_session_run(s, in, &out, &err), LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "'b'"));
    assert_non_null(strstr(err.message, "T is 2"));
    lac_tensor_release(&in[0]);
    lac_tensor_release(&in[1]);
    lac_session_free(s);
    lac_graph_free(g);
}

static void unknown_operators(void **state)
{
    lac_graph *g;
    lac_session *s;
    lac_node *n;
    (void)state;
    OK(lac_graph_make(&g, "odd", 13, &err));
    int x = input(g, "x", 1, (int64_t[]){4}, NULL);
    int a = node(g, "Frobnicate", 1, &x, &n);
    int b = node(g, "Quux", 1, &a, &n);
    OK(lac_graph_output(g, b, &err));
    assert_int_equal(lac_session_make(&s, g, NULL, &err), LAC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "Frobnicate (node 'Frobnicate_0')"));
    assert_non_null(strstr(err.message, "Quux (node 'Quux_1')"));
    assert_null(strchr(err.message, '\n'));
    lac_graph_free(g);
}

static void symbolic_shapes(void **state)
{
    lac_graph *g = small_network();
    (void)state;
    OK(lac_graph_annotate(g, &err));
    const lac_value *conv = &g->values[g->nodes[0].out[0]];
    assert_int_equal(conv->rank, 4);
    assert_string_equal(conv->dims[0].symbol, "N");
    assert_int_equal(conv->dims[1].size, 5);
    const lac_value *out = &g->values[g->outputs[0]];
    assert_string_equal(out->dims[0].symbol, "N");
    assert_int_equal(out->dims[1].size, 7);
    lac_graph_free(g);
    /* two copies joined: twice the size */
    lac_node *n;
    OK(lac_graph_make(&g, "twice", 13, &err));
    int x = input(g, "x", 2, (int64_t[]){-1, 4}, "T");
    int y = node(g, "Concat", 2, (int[]){x, x}, &n);
    OK(lac_node_set_int(g, n, "axis", 0, &err));
    OK(lac_graph_output(g, y, &err));
    OK(lac_graph_annotate(g, &err));
    assert_string_equal(g->values[y].dims[0].symbol, "2*T");
    lac_graph_free(g);
}

/* ---- runners, watchers, capture
 * --------------------------------------------------------------------- */

static lac_status zeros(void *context, const lac_layer *layer, lac_error *e)
{
    (void)e;
    ++*(int *)context;
    if (strcmp(layer->kind->row.name, "gemm") != 0)
        return LAC_ERROR_UNSUPPORTED;
    memset(layer->output.data, 0, lac_tensor_bytes(&layer->output));
    return LAC_OK;
}

static void runner(void **state)
{
    lac_graph *g = small_network();
    lac_session *s;
    int calls = 0;
    lac_session_options options = {.runner = zeros, .runner_context = &calls};
    lac_tensor x = sample(1), y;
    (void)state;
    OK(lac_session_make(&s, g, &options, &err));
    OK(lac_session_run(s, &x, &y, &err));
    assert_int_equal(calls, 3);
    for (int i = 0; i < 7; i++)
        assert_true(lac_tensor_get(&y, i) == 0);
    lac_tensor_release(&x);
    lac_tensor_release(&y);
    lac_session_free(s);
    lac_graph_free(g);
}

static void watch(void *context, const char *name, const lac_tensor *value)
{
    assert_non_null(name);
    assert_non_null(value->data);
    ++*(int *)context;
}

static void watcher(void **state)
{
    lac_graph *g = small_network();
    lac_session *s;
    int calls = 0;
    lac_session_options options = {.watcher = watch, .watcher_context = &calls};
    lac_tensor x = sample(2), y;
    (void)state;
    OK(lac_session_make(&s, g, &options, &err));
    OK(lac_session_run(s, &x, &y, &err));
    assert_int_equal(calls, g->n_nodes + 1);
    lac_tensor_release(&x);
    lac_tensor_release(&y);
    lac_session_free(s);
    lac_graph_free(g);
}

static lac_status keep(void *context, lac_layer *layer, const struct lac_packed *packed,
                       lac_error *e)
{
    (void)e;
    assert_null(packed);
    assert_int_equal(layer->operand[LAC_ROLE_WEIGHTS].tensor.dtype, LAC_F32);
    assert_non_null(layer->operand[LAC_ROLE_WEIGHTS].tensor.buffer);
    assert_non_null(layer->operand[LAC_ROLE_ACTIVATIONS].tensor.buffer);
    assert_null(layer->output.data);
    ++*(int *)context;
    return LAC_OK;
}

static lac_status refuse(void *context, lac_layer *layer, const struct lac_packed *packed,
                         lac_error *e)
{
    (void)context;
    (void)packed;
    return lac_fail(e, LAC_ERROR_UNSUPPORTED, "no more after %s", layer->name);
}

static void captured(void **state)
{
    lac_graph *g = small_network();
    int calls = 0;
    lac_tensor x = sample(1), y;
    (void)state;
    OK(lac_capture(g, &x, &y, keep, &calls, &err));
    assert_int_equal(calls, 3);
    assert_int_equal(y.dims[1], 7);
    lac_tensor_release(&y);
    assert_int_equal(lac_capture(g, &x, NULL, refuse, NULL, &err), LAC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "no more after"));
    lac_tensor_release(&x);
    lac_graph_free(g);
}

/* Many shapes through one session: old plans are dropped, results stay right. */
static void many_shapes(void **state)
{
    lac_graph *g = small_network();
    lac_session *s;
    (void)state;
    OK(lac_session_make(&s, g, NULL, &err));
    for (int64_t round = 0; round < 2; round++)
        for (int64_t batch = 1; batch < 12; batch++) {
            lac_tensor x = sample(batch), y, first, one = sample(1);
            OK(lac_session_run(s, &x, &y, &err));
            OK(lac_session_run(s, &one, &first, &err));
            lac_tensor head = sample_of(&y, 0, 0);
            assert_true(difference(&head, &first) < 1e-5);
            lac_tensor_release(&head);
            lac_tensor_release(&x);
            lac_tensor_release(&one);
            lac_tensor_release(&y);
            lac_tensor_release(&first);
        }
    lac_session_free(s);
    lac_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fusion),          cmocka_unit_test(wrong_inputs),
        cmocka_unit_test(symbols_agree),   cmocka_unit_test(unknown_operators),
        cmocka_unit_test(symbolic_shapes), cmocka_unit_test(runner),
        cmocka_unit_test(watcher),         cmocka_unit_test(captured),
        cmocka_unit_test(many_shapes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
