/* Rows that come at run time, as a plug-in's do, work like built-in ones: an operator that is a
 * layer of a new kind, computed by a new kernel; a new scheme in a composition; and what
 * registration refuses. Formats and accelerators as plug-ins: test_install.sh. */
#include <lacuna/lacuna.h>
#include <lacuna/plugin.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static lac_error err;

static void ok(lac_status status)
{
    if (status != LAC_OK)
        fail_msg("%s", err.message);
}

/* ---- an operator test.Relu: beside the standard's Relu, another thing: it doubles */

static lac_status infer(const lac_call *call, lac_error *e)
{
    if (call->n_in != 1 || call->in[0]->dtype != LAC_F32 || call->in[0]->rank != 2)
        return lac_fail(e, LAC_ERROR_INPUT, "want one float32 matrix");
    call->out[0].dtype = LAC_F32;
    call->out[0].rank = 2;
    memcpy(call->out[0].dims, call->in[0]->dims, sizeof call->out[0].dims);
    return LAC_OK;
}

static void twice(const lac_tensor *in, lac_tensor *out)
{
    for (int64_t i = 0; i < lac_tensor_count(in); i++)
        ((float *)out->data)[i] = 2 * ((const float *)in->data)[i];
}

static int operator_runs, kernel_runs;

static lac_status run_operator(const lac_call *call, lac_error *e)
{
    (void)e;
    operator_runs++;
    twice(call->in[0], &call->out[0]);
    return LAC_OK;
}

static lac_status as_layer(const lac_call *call, lac_layer *layer, lac_error *e)
{
    LAC_TRY(lac_layer_begin(layer, "doubling", e));
    LAC_TRY(lac_layer_dim_set(layer, "rows", call->in[0]->dims[0], e));
    LAC_TRY(lac_layer_dim_set(layer, "cols", call->in[0]->dims[1], e));
    LAC_TRY(lac_layer_check(layer, e));
    layer->operand[LAC_ROLE_ACTIVATIONS].tensor = *call->in[0];
    layer->operand[LAC_ROLE_ACTIVATIONS].tensor.buffer = NULL;
    layer->output = call->out[0];
    layer->output.buffer = NULL;
    return LAC_OK;
}

#define OPERATOR(name_, domain_)                                                                   \
    {                                                                                              \
        .row = LAC_ROW(lac_op, name_, "doubles"), .domain = domain_, .since = 1,                   \
        .dtypes = LAC_BIT(LAC_F32), .attributes = "", .infer = infer, .run = run_operator,         \
        .as_layer = as_layer,                                                                      \
    }
static const lac_op test_relu = OPERATOR("Relu", "test");
static const lac_op test_relu_again = OPERATOR("Relu", "test");
static const lac_op other_relu = OPERATOR("Relu", "other");
static const lac_op standard_relu = OPERATOR("Relu", "ai.onnx");
static const lac_op plain_relu = OPERATOR("Relu", "");

/* ---- its layer kind and kernel */

static lac_status check(const lac_layer *layer, lac_error *e)
{
    if (lac_layer_dim_get(layer, "rows") == 13)
        return lac_fail(e, LAC_ERROR_INPUT, "rows = 13 brings bad luck");
    return LAC_OK;
}

static lac_status generate(lac_layer *layer, lac_error *e)
{
    (void)layer;
    return lac_fail(e, LAC_ERROR_UNSUPPORTED, "doubling: no synthetic operands");
}

static lac_status reference(const lac_layer *layer, lac_tensor *output, lac_error *e)
{
    (void)layer;
    (void)output;
    return lac_fail(e, LAC_ERROR_UNSUPPORTED, "doubling: floats only");
}

static int64_t macs(const lac_layer *layer)
{
    return lac_layer_dim_get(layer, "rows") * lac_layer_dim_get(layer, "cols");
}

static const lac_layer_kind doubling = {
    .row = LAC_ROW(lac_layer_kind, "doubling", "twice its input"),
    .dims = {{"rows", -1, 1, INT32_MAX}, {"cols", 4, 1, INT32_MAX}, {NULL, 0, 0, 0}},
    .check = check,
    .generate = generate,
    .reference = reference,
    .macs = macs,
};

static bool can_run(const lac_layer *layer, char *why, size_t why_size)
{
    if (lac_layer_dim_get(layer, "cols") % 2 == 0)
        return true;
    snprintf(why, why_size, "odd columns");
    return false;
}

static double cost(const lac_layer *layer)
{
    return 1e-9 * (double)macs(layer);
}

static lac_status prepare(const lac_layer *layer, void **state, lac_error *e)
{
    (void)layer;
    (void)e;
    *state = &kernel_runs;
    return LAC_OK;
}

static lac_status run_kernel(const lac_layer *layer, void *state, lac_error *e)
{
    lac_tensor out = layer->output;
    (void)e;
    ++*(int *)state;
    twice(&layer->operand[LAC_ROLE_ACTIVATIONS].tensor, &out);
    return LAC_OK;
}

static void release(void *state)
{
    (void)state;
}

static const lac_kernel doubling_kernel = {
    .row = LAC_ROW(lac_kernel, "doubling_dense_f32_test", "doubles"),
    .kind = "doubling",
    .format = "dense",
    .dtype = LAC_F32,
    .can_run = can_run,
    .cost = cost,
    .prepare = prepare,
    .run = run_kernel,
    .release = release,
};

/* ---- a scheme */

static lac_status finish(lac_compression *c, const lac_params *params, lac_error *e)
{
    (void)e;
    for (int i = 0; i < c->n_weights; i++) {
        float *w = c->weights[i].tensor.data;
        for (int64_t k = 0; k < lac_tensor_count(&c->weights[i].tensor); k++)
            w[k] *= (float)lac_params_real(params, "by");
        c->weights[i].changed = true;
    }
    return LAC_OK;
}

static const lac_param scheme_params[] = {{.name = "by",
                                           .type = LAC_PARAM_REAL,
                                           .unit = "",
                                           .initial = 0.5,
                                           .min = 0,
                                           .max = 1,
                                           .provenance = LAC_OPTION,
                                           .source = "",
                                           .summary = "factor"},
                                          {0}};
static const lac_scheme scaling = {
    .row = LAC_ROW(lac_scheme, "scaling", "weights times a factor"),
    .params = scheme_params,
    .formats = "",
    .finish = finish,
};

/* ---- tests */

static int register_all(void **state)
{
    (void)state;
    ok(lac_register_op(&test_relu, &err));
    ok(lac_register_layer_kind(&doubling, &err));
    ok(lac_register_kernel(&doubling_kernel, &err));
    ok(lac_register_scheme(&scaling, &err));
    return 0;
}

/* x [2][cols] -> test.Relu -> y */
static lac_graph *doubling_network(int64_t cols)
{
    lac_graph *graph;
    int x, y;
    ok(lac_graph_make(&graph, "doubling", 13, &err));
    ok(lac_graph_value(graph, "x", &x, &err));
    ok(lac_graph_value(graph, "y", &y, &err));
    graph->values[x].dtype = LAC_F32;
    graph->values[x].rank = 2;
    graph->values[x].dims[0].size = 2;
    graph->values[x].dims[1].size = cols;
    ok(lac_graph_input(graph, x, &err));
    ok(lac_graph_output(graph, y, &err));
    ok(lac_graph_node(graph, "test", "Relu", "twice", 1, &x, 1, &y, NULL, &err));
    ok(lac_graph_settle(graph, &err));
    return graph;
}

static void doubles(int64_t cols, bool by_kernel)
{
    lac_graph *graph = doubling_network(cols);
    lac_session *session;
    lac_step_info step;
    lac_tensor x, y;
    ok(lac_tensor_make(&x, LAC_F32, 2, (int64_t[]){2, cols}, &err));
    for (int64_t i = 0; i < 2 * cols; i++)
        lac_tensor_set(&x, i, (double)i - 3);
    ok(lac_session_make(&session, graph, NULL, &err));
    operator_runs = kernel_runs = 0;
    ok(lac_session_run(session, &x, &y, &err));
    for (int64_t i = 0; i < 2 * cols; i++)
        assert_true(lac_tensor_get(&y, i) == 2 * ((double)i - 3));
    assert_int_equal(kernel_runs, by_kernel);
    assert_int_equal(operator_runs, !by_kernel);
    assert_true(lac_session_step(session, 0, &step));
    assert_int_equal(step.macs, 2 * cols);
    assert_string_equal(step.kernel, by_kernel ? "doubling_dense_f32_test" : "operator");
    if (!by_kernel)
        assert_non_null(strstr(step.why, "odd columns"));
    lac_tensor_release(&x);
    lac_tensor_release(&y);
    lac_session_free(session);
    lac_graph_free(graph);
}

static void operator_layer_kernel(void **state)
{
    (void)state;
    doubles(6, true);
    doubles(5, false);
}

static void layer_text(void **state)
{
    lac_layer layer;
    char text[128];
    (void)state;
    ok(lac_layer_parse(&layer, "doubling:rows=3", &err));
    assert_string_equal(lac_layer_text(&layer, text, sizeof text), "doubling:rows=3,cols=4");
    assert_int_equal(layer.kind->macs(&layer), 12);
    lac_layer_release(&layer);
    assert_int_equal(lac_layer_parse(&layer, "doubling:rows=13", &err), LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "bad luck"));
}

/* y = x w, with w compressed by the new scheme, alone and before a built-in one. */
static void composition(void **state)
{
    static float values[16] = {4, 3, 2, 1, 8, 7, 6, 5, 1, 2, 3, 4, 5, 6, 7, 8};
    lac_graph *graph;
    int in[2], y;
    (void)state;
    ok(lac_graph_make(&graph, "product", 13, &err));
    ok(lac_graph_value(graph, "x", &in[0], &err));
    ok(lac_graph_value(graph, "w", &in[1], &err));
    ok(lac_graph_value(graph, "y", &y, &err));
    graph->values[in[0]].dtype = LAC_F32;
    graph->values[in[0]].rank = 2;
    graph->values[in[0]].dims[0].size = 1;
    graph->values[in[0]].dims[1].size = 4;
    graph->values[in[1]].constant = lac_tensor_view(LAC_F32, 2, (int64_t[]){4, 4}, values);
    ok(lac_graph_input(graph, in[0], &err));
    ok(lac_graph_output(graph, y, &err));
    ok(lac_graph_node(graph, "", "MatMul", "product", 2, in, 1, &y, NULL, &err));
    ok(lac_graph_settle(graph, &err));

    static const struct {
        const char *text;
        double factor;
        int zeros;
    } cases[] = {{"scaling", 0.5, 0}, {"scaling:by=0.25", 0.25, 0}, {"scaling+nm:2:4", 0.5, 8}};
    for (size_t c = 0; c < 3; c++) {
        lac_compression made = {0}, seen = {0};
        int zeros = 0;
        ok(lac_compress(&made, graph, cases[c].text, &err));
        assert_string_equal(lac_graph_meta(made.graph, "lacuna.scheme"), cases[c].text);
        ok(lac_weights_find(&seen, made.graph, &err));
        assert_int_equal(seen.n_weights, 1);
        for (int i = 0; i < 16; i++) {
            double w = lac_tensor_get(&seen.weights[0].tensor, i);
            zeros += w == 0;
            assert_true(w == 0 || w == (double)values[i] * cases[c].factor);
        }
        assert_int_equal(zeros, cases[c].zeros);
        lac_compression_release(&seen);
        lac_compression_release(&made);
    }
    lac_composition parsed;
    assert_int_equal(lac_scheme_parse("scaling:by=7", &parsed, &err), LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "by = '7'"));
    lac_graph_free(graph);
}

static void refused(lac_status status, const char *part)
{
    assert_int_equal(status, LAC_ERROR_INPUT);
    if (!strstr(err.message, part))
        fail_msg("'%s' does not say '%s'", err.message, part);
}

/* The same name is taken within a domain only: for operators, "" and "ai.onnx" are one. */
static void names(void **state)
{
    (void)state;
    int before = lac_table_count(&lac_ops);
    refused(lac_register_op(&test_relu_again, &err), "operator Relu: the name is taken");
    refused(lac_register_op(&standard_relu, &err), "the name is taken");
    refused(lac_register_op(&plain_relu, &err), "the name is taken");
    assert_int_equal(lac_table_count(&lac_ops), before);
    ok(lac_register_op(&other_relu, &err));
    assert_ptr_equal(lac_op_find("test", "Relu"), &test_relu);
    assert_ptr_equal(lac_op_find("other", "Relu"), &other_relu);
    assert_ptr_equal(lac_op_find("ai.onnx", "Relu"), lac_op_find("", "Relu"));
    assert_ptr_not_equal(lac_op_find("", "Relu"), &test_relu);
    refused(lac_register_kernel(&doubling_kernel, &err),
            "kernel doubling_dense_f32_test: the name");
    refused(lac_register_layer_kind(&doubling, &err), "doubling: the name is taken");
    refused(lac_register_scheme(&scaling, &err), "scheme scaling: the name is taken");
}

static void other_headers(void **state)
{
    (void)state;
    lac_scheme row = scaling;
    row.row.name = "newer";
    row.row.abi = LAC_ABI + 1;
    refused(lac_register_scheme(&row, &err), "made for ABI");
    row.row.abi = LAC_ABI;
    row.row.size += 8;
    refused(lac_register_scheme(&row, &err), "row of");
    row.row.size -= 8;
    row.row.name = "";
    refused(lac_register_scheme(&row, &err), "without a name");
    assert_null(lac_table_find(&lac_schemes, "newer"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operator_layer_kernel), cmocka_unit_test(layer_text),
        cmocka_unit_test(composition),           cmocka_unit_test(names),
        cmocka_unit_test(other_headers),
    };
    return cmocka_run_group_tests(tests, register_all, NULL);
}
