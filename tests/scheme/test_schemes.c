/* Compositions as users type them; groups of N:M; what becomes of a weight that does not fit the
 * format a scheme chose; calibration on the network that earlier schemes left. */
#include "core/memory.h"
#include "core/random.h"
#include "format/packed.h"
#include "scheme/weights.h"

#include <lacuna/scheme.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static lac_error err;

static int constant(lac_graph *graph, const char *name, int rank, const int64_t *dims)
{
    lac_tensor tensor;
    int value;
    lac_random random = lac_random_stream(7, (uint64_t)name[1]);
    assert_int_equal(lac_tensor_make(&tensor, LAC_F32, rank, dims, &err), LAC_OK);
    for (int64_t i = 0; i < lac_tensor_count(&tensor); i++) { /* few are large, as in networks */
        double unit = lac_random_unit(&random) - 0.5;
        ((float *)tensor.data)[i] = (float)(8 * unit * unit * unit);
    }
    assert_int_equal(lac_graph_constant(graph, name, &tensor, &value, &err), LAC_OK);
    lac_tensor_release(&tensor);
    return value;
}

static int input(lac_graph *graph, const char *name, int rank, const int64_t *dims)
{
    int value;
    assert_int_equal(lac_graph_value(graph, name, &value, &err), LAC_OK);
    graph->values[value].dtype = LAC_F32;
    graph->values[value].rank = rank;
    for (int i = 0; i < rank; i++)
        graph->values[value].dims[i].size = dims[i];
    assert_int_equal(lac_graph_input(graph, value, &err), LAC_OK);
    return value;
}

static int apply(lac_graph *graph, const char *op, const char *name, int n, const int *in)
{
    int out;
    assert_int_equal(lac_graph_value(graph, NULL, &out, &err), LAC_OK);
    assert_int_equal(lac_graph_node(graph, "", op, name, n, in, 1, &out, NULL, &err), LAC_OK);
    return out;
}

/* x [4,80] -> MatMul [80,90] "first" -> Relu -> MatMul [90,60] "second". */
static lac_graph *chain(void)
{
    lac_graph *graph;
    assert_int_equal(lac_graph_make(&graph, "g", 17, &err), LAC_OK);
    int x = input(graph, "x", 2, (int64_t[]){4, 80});
    int w1 = constant(graph, "w1", 2, (int64_t[]){80, 90});
    int w2 = constant(graph, "w2", 2, (int64_t[]){90, 60});
    int y = apply(graph, "MatMul", "first", 2, (int[]){x, w1});
    y = apply(graph, "Relu", NULL, 1, &y);
    y = apply(graph, "MatMul", "second", 2, (int[]){y, w2});
    assert_int_equal(lac_graph_output(graph, y, &err), LAC_OK);
    assert_int_equal(lac_graph_settle(graph, &err), LAC_OK);
    return graph;
}

/* image [1,3,8,8] -> Conv [16,3,3,3] "three" -> Conv [16,16,3,3] "sixteen"; y [4,9] -> MatMul [9,5]
 * "tail"; z [4,3] -> MatMul [3,5] "short". */
static lac_graph *shapes(void)
{
    lac_graph *graph;
    assert_int_equal(lac_graph_make(&graph, "g", 17, &err), LAC_OK);
    int image = input(graph, "image", 4, (int64_t[]){1, 3, 8, 8});
    int y = input(graph, "y", 2, (int64_t[]){4, 9}), z = input(graph, "z", 2, (int64_t[]){4, 3});
    int w1 = constant(graph, "w1", 4, (int64_t[]){16, 3, 3, 3});
    int w2 = constant(graph, "w2", 4, (int64_t[]){16, 16, 3, 3});
    int w3 = constant(graph, "w3", 2, (int64_t[]){9, 5});
    int w4 = constant(graph, "w4", 2, (int64_t[]){3, 5});
    image = apply(graph, "Conv", "three", 2, (int[]){image, w1});
    image = apply(graph, "Conv", "sixteen", 2, (int[]){image, w2});
    y = apply(graph, "MatMul", "tail", 2, (int[]){y, w3});
    z = apply(graph, "MatMul", "short", 2, (int[]){z, w4});
    assert_int_equal(lac_graph_output(graph, image, &err), LAC_OK);
    assert_int_equal(lac_graph_output(graph, y, &err), LAC_OK);
    assert_int_equal(lac_graph_output(graph, z, &err), LAC_OK);
    assert_int_equal(lac_graph_settle(graph, &err), LAC_OK);
    return graph;
}

static lac_status noise(void *context, int64_t index, lac_tensor *in, lac_error *e)
{
    (void)context;
    lac_random random = lac_random_stream(3, (uint64_t)index);
    LAC_TRY(lac_tensor_make(in, LAC_F32, 2, (int64_t[]){4, 80}, e));
    for (int64_t i = 0; i < lac_tensor_count(in); i++)
        ((float *)in->data)[i] = (float)lac_random_unit(&random);
    return LAC_OK;
}

static lac_compression compress(const lac_graph *graph, const char *text, bool calibrated)
{
    static const lac_calibration calibration = {.samples = 4, .sample = noise, .source = "noise"};
    lac_compression c = {.calibration = calibrated ? &calibration : NULL};
    if (lac_compress(&c, graph, text, &err) != LAC_OK)
        fail_msg("%s: %s", text, err.message);
    return c;
}

static const lac_weight *weight_of(const lac_compression *c, const char *node)
{
    for (int i = 0; i < c->n_weights; i++)
        if (strcmp(c->weights[i].name, node) == 0)
            return &c->weights[i];
    fail_msg("no weight of node '%s'", node);
    return NULL;
}

/* ---- texts --------------------------------------------------------------------------------- */

static void test_identity(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool identity;
    } want[] = {{"dense", true},   {"dense+dense", true},      {"int8", false},
                {"nm:2:4", false}, {"dense+magnitude", false}, {"deep-compression", false}};
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        lac_composition composition;
        assert_int_equal(lac_scheme_parse(want[i].text, &composition, &err), LAC_OK);
        assert_int_equal(lac_scheme_is_identity(&composition), want[i].identity);
    }
    lac_composition nothing = {0};
    assert_true(lac_scheme_is_identity(&nothing));
    lac_graph *graph = chain();
    lac_compression c = compress(graph, "dense", false);
    for (int i = 0; i < c.n_weights; i++)
        assert_false(c.weights[i].changed);
    lac_compression_release(&c);
    lac_graph_free(graph);
}

static lac_status nothing_to_do(lac_compression *compression, const lac_params *params,
                                lac_error *e)
{
    (void)compression;
    (void)params;
    (void)e;
    return LAC_OK;
}

/* Stores every weight in nm 2:4 without having pruned it. */
static lac_status promise(lac_compression *compression, const lac_params *params, lac_error *e)
{
    (void)params;
    for (int i = 0; i < compression->n_weights; i++) {
        lac_weight *weight = &compression->weights[i];
        weight->changed = true;
        LAC_TRY(lac_format_parse("nm:n=2,m=4", &weight->format, &weight->params, e));
    }
    return LAC_OK;
}

static const lac_param alias_params[] = {
    {"a", LAC_PARAM_INT, "", 1, 0, 9, NULL, NULL, LAC_OPTION, "", "first"},
    {"b", LAC_PARAM_INT, "", 2, 0, 9, NULL, NULL, LAC_OPTION, "", "second"},
    {"c", LAC_PARAM_INT, "", 3, 0, 9, NULL, NULL, LAC_OPTION, "", "third"},
    {0}};
static const lac_scheme with_alias = {
    .row = LAC_ROW(lac_scheme, "with-alias", "for the test"),
    .params = alias_params,
    .formats = "",
    .finish = nothing_to_do,
    .alias = "short:c:a",
};
static const lac_scheme promises = {
    .row = LAC_ROW(lac_scheme, "promises", "for the test"),
    .formats = "nm",
    .finish = promise,
};

static void test_alias_is_data(void **state)
{
    (void)state;
    lac_composition composition;
    char text[64];
    assert_int_equal(lac_scheme_parse("nm:2:4+int8", &composition, &err), LAC_OK);
    assert_int_equal(composition.n, 2);
    assert_int_equal(lac_params_int(&composition.params[0], "n"), 2);
    assert_int_equal(lac_params_int(&composition.params[0], "m"), 4);
    assert_int_equal(lac_scheme_parse("dense+short:7:5", &composition, &err), LAC_OK);
    assert_ptr_equal(composition.scheme[1], &with_alias);
    assert_string_equal(lac_params_print(&composition.params[1], text, sizeof text), "a=5,b=2,c=7");
    assert_string_equal(lac_scheme_alias_text(&with_alias, text, sizeof text), "short:C:A");
    assert_string_equal(lac_scheme_alias_text(&promises, text, sizeof text), "");
    static const char *const wrong[] = {"short",       "short:1",   "short:1:",   "short::1",
                                        "short:1:2:3", "short:1:x", "short:1:99", "shor:1:2",
                                        "nm:2",        "nm:2:4:8",  "nm:2:0",     "nm:5:4"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        lac_status status = lac_scheme_parse(wrong[i], &composition, &err);
        if (status == LAC_OK) { /* refused by the scheme itself */
            lac_graph *graph = chain();
            lac_compression c = {0};
            status = lac_compress(&c, graph, wrong[i], &err);
            lac_compression_release(&c);
            lac_graph_free(graph);
        }
        if (status != LAC_ERROR_INPUT)
            fail_msg("'%s' is accepted", wrong[i]);
    }
}

/* ---- groups -------------------------------------------------------------------------------- */

/* Groups of a window's channels, never across windows; a short last group keeps n too. */
static void test_groups(void **state)
{
    (void)state;
    lac_graph *graph = shapes();
    lac_compression c = compress(graph, "nm:2:4", false);
    const lac_weight *three = weight_of(&c, "three"), *sixteen = weight_of(&c, "sixteen");
    const lac_weight *tail = weight_of(&c, "tail"), *shorter = weight_of(&c, "short");
    assert_false(three->changed);
    assert_string_equal(three->keep,
                        "not pruned: the channels of a window (3) are no multiple of m = 4");
    assert_string_equal(three->gain, "unchanged");
    assert_int_equal(sixteen->nonzeros, 16 * 16 * 9 / 2);
    assert_string_equal(sixteen->format->row.name, "nm");
    assert_int_equal(tail->nonzeros, 5 * (2 + 2 + 1));
    assert_string_equal(shorter->keep, "not pruned: K = 3 is below m = 4");
    lac_compression_release(&c);
    lac_graph_free(graph);
}

/* ---- blocks --------------------------------------------------------------------------------- */

/* Non-zeros of the block of `r` x `c` at (row, col): all of it or nothing. */
static bool block_lives(const lac_weight *w, int64_t row, int64_t col, int64_t r, int64_t c)
{
    int64_t inside = 0, live = 0;
    for (int64_t i = row; i < row + r && i < w->rows; i++)
        for (int64_t k = col; k < col + c && k < w->cols; k++, inside++)
            live += ((const float *)w->tensor.data)[lac_weight_at(w, i, k)] != 0;
    assert_true(live == 0 || live == inside);
    return live > 0;
}

/* Whole blocks live, as many as asked for, those of the largest norms; edges are blocks too. */
static void test_blocks(void **state)
{
    (void)state;
    lac_graph *graph = chain();
    lac_compression c = compress(graph, "block:4:8:0.25", false);
    lac_compression before = compress(graph, "dense", false);
    for (int w = 0; w < c.n_weights; w++) {
        const lac_weight *weight = &c.weights[w];
        int64_t strips = (weight->rows + 3) / 4, across = (weight->cols + 7) / 8, live = 0;
        double least = INFINITY, largest = 0; /* norms of the living, of the dead */
        for (int64_t s = 0; s < strips; s++)
            for (int64_t b = 0; b < across; b++) {
                double norm = 0;
                for (int64_t i = 4 * s; i < 4 * s + 4 && i < weight->rows; i++)
                    for (int64_t k = 8 * b; k < 8 * b + 8 && k < weight->cols; k++) {
                        double x = ((const float *)before.weights[w]
                                        .tensor.data)[lac_weight_at(weight, i, k)];
                        norm += x * x;
                    }
                bool lives = block_lives(weight, 4 * s, 8 * b, 4, 8);
                live += lives;
                least = lives && norm < least ? norm : least;
                largest = !lives && norm > largest ? norm : largest;
            }
        assert_int_equal(live, (int64_t)round(0.25 * (double)(strips * across)));
        assert_true(least >= largest);
        assert_string_equal(weight->format->row.name, "block");
        assert_int_equal(lac_params_int(&weight->params, "r"), 4);
        assert_int_equal(lac_params_int(&weight->params, "c"), 8);
    }
    lac_compression_release(&c);
    lac_compression_release(&before);
    lac_graph_free(graph);
}

/* N:M of whole blocks: the outputs of a group share their positions. */
static void test_shared_groups(void **state)
{
    (void)state;
    lac_graph *graph = chain();
    lac_compression c = compress(graph, "magnitude:n=1,m=4,block_rows=4,block_cols=2", false);
    for (int w = 0; w < c.n_weights; w++) {
        const lac_weight *weight = &c.weights[w];
        for (int64_t row = 0; row < weight->rows; row += 4)
            for (int64_t group = 0; group < weight->cols; group += 8) {
                int live = 0;
                for (int64_t col = group; col < group + 8 && col < weight->cols; col += 2)
                    live += block_lives(weight, row, col, 4, 2);
                assert_int_equal(live, 1);
            }
        assert_string_equal(weight->format->row.name, "block");
    }
    lac_compression_release(&c);
    lac_graph_free(graph);
    graph = shapes(); /* blocks do not cross the windows of a convolution */
    c = compress(graph, "block:1:4:0.5", false);
    assert_string_equal(weight_of(&c, "three")->keep,
                        "not pruned: the channels of a window (3) are "
                        "no multiple of block_cols = 4");
    lac_compression_release(&c);
    memset(&c, 0, sizeof c);
    assert_int_equal(lac_compress(&c, graph, "magnitude:block_rows=2,scope=global", &err),
                     LAC_ERROR_INPUT);
    lac_compression_release(&c);
    lac_graph_free(graph);
}

/* Single weights: floats are stored in csr, integers in delta. */
static void test_format_by_type(void **state)
{
    (void)state;
    lac_graph *graph = chain();
    lac_compression c = compress(graph, "magnitude:density=0.1", false);
    assert_string_equal(c.weights[0].format->row.name, "csr");
    lac_compression_release(&c);
    c = compress(graph, "magnitude:density=0.1+int8", true);
    assert_string_equal(c.weights[0].format->row.name, "delta");
    lac_compression_release(&c);
    lac_graph_free(graph);
}

/* A workflow undoes what a scheme made of one weight, after the scheme. */
static lac_status undo_first(void *context, lac_compression *c, bool done, lac_error *e)
{
    ++*(int *)context;
    return done ? lac_weight_restore(&c->weights[0], e) : LAC_OK;
}

static void test_decide(void **state)
{
    (void)state;
    int calls = 0;
    lac_graph *graph = chain();
    lac_compression before = compress(graph, "dense", false);
    lac_compression c = {.decide = undo_first, .decide_context = &calls};
    assert_int_equal(lac_compress(&c, graph, "magnitude:density=0.1+int8", &err), LAC_OK);
    assert_int_equal(calls, 2);
    assert_false(c.weights[0].changed);
    assert_null(c.weights[0].scale);
    assert_true(c.weights[0].error == 0 && c.weights[1].error > 0.1);
    assert_memory_equal(c.weights[0].tensor.data, before.weights[0].tensor.data,
                        lac_tensor_bytes(&c.weights[0].tensor));
    lac_compression_release(&c);
    lac_compression_release(&before);
    lac_graph_free(graph);
}

/* ---- formats that do not fit --------------------------------------------------------------- */

static void test_fall_back(void **state)
{
    (void)state;
    lac_graph *graph = chain();
    /* 15 shared values, divided by a step of its own for each output: mostly more than 4 bits. */
    lac_compression c = compress(graph, "deep-compression+int8", false);
    int widened = 0;
    for (int i = 0; i < c.n_weights; i++) {
        const lac_weight *w = &c.weights[i];
        assert_string_equal(w->format->row.name, "eie-csc");
        bool wider = lac_params_int(&w->params, "code_bits") > 4;
        assert_string_equal(w->remark, wider ? "the int8 elements do not fit "
                                               "eie-csc:pe=1,index_bits=4,code_bits=4"
                                             : "");
        widened += wider;
    }
    assert_true(widened > 0);
    lac_compression_release(&c);
    c = compress(graph, "promises", false);
    for (int i = 0; i < c.n_weights; i++) {
        assert_null(c.weights[i].format);
        assert_int_equal(c.weights[i].bytes_after, 4 * c.weights[i].rows * c.weights[i].cols);
        assert_non_null(strstr(c.weights[i].remark, "dense: nm: row 0 has"));
    }
    lac_compression_release(&c);
    lac_graph_free(graph);
}

/* ---- calibration --------------------------------------------------------------------------- */

/* Pruning "first" changes what arrives at "second": the range is that of the pruned network. */
static void test_calibrated_after_pruning(void **state)
{
    (void)state;
    lac_graph *graph = chain();
    lac_compression both = compress(graph, "magnitude:density=0.1+int8", true);
    lac_compression pruned = compress(graph, "magnitude:density=0.1", false);
    lac_compression then = compress(pruned.graph, "int8", true);
    lac_compression unpruned = compress(graph, "int8", true);
    float at_once = weight_of(&both, "second")->input_scale;
    assert_true(at_once > 0);
    assert_true(at_once == weight_of(&then, "second")->input_scale);
    assert_true(fabsf(at_once / weight_of(&unpruned, "second")->input_scale - 1) > 0.2f);
    /* What arrives at the first layer is the same in all. */
    assert_true(weight_of(&both, "first")->input_scale ==
                weight_of(&unpruned, "first")->input_scale);
    lac_compression_release(&both);
    lac_compression_release(&pruned);
    lac_compression_release(&then);
    lac_compression_release(&unpruned);
    lac_graph_free(graph);
}

/* ---- bias correction ----------------------------------------------------------------------- */

static lac_status images(void *context, int64_t index, lac_tensor *in, lac_error *e)
{
    (void)context;
    lac_random random = lac_random_stream(4, (uint64_t)index);
    LAC_TRY(lac_tensor_make(in, LAC_F32, 4, (int64_t[]){1, 4, 5, 6}, e));
    for (int64_t i = 0; i < 120; i++) /* channels of different means */
        ((float *)in->data)[i] = (float)((double)(i / 30 + 1) * lac_random_unit(&random));
    return LAC_OK;
}

/* Input 2 of the node is a constant: what it holds. */
static const float *bias_of(const lac_graph *graph, const char *name, int64_t rows)
{
    for (int n = 0; n < graph->n_nodes; n++)
        if (strcmp(graph->nodes[n].name, name) == 0) {
            assert_int_equal(graph->nodes[n].n_in, 3);
            const lac_tensor *bias = &graph->values[graph->nodes[n].in[2]].constant;
            assert_non_null(bias->data);
            assert_int_equal(lac_tensor_count(bias), rows);
            return bias->data;
        }
    fail_msg("no node '%s'", name);
    return NULL;
}

/* A convolution of two groups without bias gets one: what rounding its weights adds on average,
 * with the other sign. Each group looks at the means of its own channels. */
static void test_bias_correction_conv(void **state)
{
    (void)state;
    static const lac_calibration calibration = {.samples = 3, .sample = images, .source = "noise"};
    lac_graph *graph;
    lac_node *node;
    int y;
    assert_int_equal(lac_graph_make(&graph, "g", 17, &err), LAC_OK);
    int x = input(graph, "x", 4, (int64_t[]){1, 4, 5, 6});
    int w = constant(graph, "w1", 4, (int64_t[]){6, 2, 3, 3});
    assert_int_equal(lac_graph_value(graph, NULL, &y, &err), LAC_OK);
    assert_int_equal(
        lac_graph_node(graph, "", "Conv", "conv", 2, (int[]){x, w}, 1, &y, &node, &err), LAC_OK);
    assert_int_equal(lac_node_set_int(graph, node, "group", 2, &err), LAC_OK);
    assert_int_equal(lac_graph_output(graph, y, &err), LAC_OK);
    assert_int_equal(lac_graph_settle(graph, &err), LAC_OK);
    double mean[4] = {0};
    for (int s = 0; s < 3; s++) {
        lac_tensor in;
        assert_int_equal(images(NULL, s, &in, &err), LAC_OK);
        for (int i = 0; i < 120; i++)
            mean[i / 30] += (double)((float *)in.data)[i] / 90;
        lac_tensor_release(&in);
    }
    lac_compression c = {.calibration = &calibration};
    assert_int_equal(lac_compress(&c, graph, "int8", &err), LAC_OK);
    const float *before = graph->values[w].constant.data, *after = c.weights[0].tensor.data;
    const float *bias = bias_of(c.graph, "conv", 6);
    double largest = 0;
    for (int r = 0; r < 6; r++) {
        double shift = 0;
        for (int k = 0; k < 18; k++)
            shift +=
                ((double)after[r * 18 + k] - (double)before[r * 18 + k]) * mean[r / 3 * 2 + k / 9];
        assert_true(fabs((double)bias[r] + shift) < 1e-6);
        largest = fmax(largest, fabs(shift));
    }
    assert_true(largest > 1e-3); /* there was something to correct */
    lac_compression_release(&c);
    lac_graph_free(graph);
}

/* x [4,80] -> Gemm [80,90]: its own bias is corrected. Without calibration, or with a Gemm that
 * scales its bias, or where two nodes read one weight, the bias stays. */
static void test_bias_correction_gemm(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        lac_graph *graph;
        lac_node *node;
        int y, z;
        assert_int_equal(lac_graph_make(&graph, "g", 17, &err), LAC_OK);
        int x = input(graph, "x", 2, (int64_t[]){4, 80});
        int w = constant(graph, "w1", 2, (int64_t[]){80, 90});
        int b = constant(graph, "b2", 1, (int64_t[]){90});
        assert_int_equal(lac_graph_value(graph, NULL, &y, &err), LAC_OK);
        assert_int_equal(
            lac_graph_node(graph, "", "Gemm", "gemm", 3, (int[]){x, w, b}, 1, &y, &node, &err),
            LAC_OK);
        if (variant == 2)
            assert_int_equal(lac_node_set_float(graph, node, "beta", 2, &err), LAC_OK);
        assert_int_equal(lac_graph_output(graph, y, &err), LAC_OK);
        if (variant == 3) {
            z = apply(graph, "MatMul", "also", 2, (int[]){x, w});
            assert_int_equal(lac_graph_output(graph, z, &err), LAC_OK);
        }
        assert_int_equal(lac_graph_settle(graph, &err), LAC_OK);
        double mean[80] = {0}, largest = 0;
        for (int s = 0; s < 4; s++) {
            lac_tensor in;
            assert_int_equal(noise(NULL, s, &in, &err), LAC_OK);
            for (int i = 0; i < 320; i++)
                mean[i % 80] += (double)((float *)in.data)[i] / 16;
            lac_tensor_release(&in);
        }
        lac_compression c = compress(graph, "int8", variant != 1);
        const float *before = graph->values[w].constant.data, *after = c.weights[0].tensor.data;
        const float *old = graph->values[b].constant.data, *now = bias_of(c.graph, "gemm", 90);
        for (int r = 0; r < 90; r++) {
            double shift = 0;
            for (int k = 0; k < 80; k++)
                shift += ((double)after[k * 90 + r] - (double)before[k * 90 + r]) * mean[k];
            assert_true(fabs((double)now[r] - (double)old[r] + (variant ? 0 : shift)) < 1e-6);
            largest = fmax(largest, fabs(shift));
        }
        assert_true(largest > 1e-3);
        lac_compression_release(&c);
        lac_graph_free(graph);
    }
}

static void test_allocation_failures(void **state)
{
    (void)state;
    static const lac_calibration calibration = {.samples = 1, .sample = noise, .source = "noise"};
    lac_graph *graph = chain();
    for (int n = 0;; n += 1 + n / 8) {
        lac_compression c = {.calibration = &calibration};
        lac_alloc_fail_after(n);
        lac_status status = lac_compress(&c, graph, "deep-compression+int8", &err);
        lac_alloc_fail_after(-1);
        lac_compression_release(&c);
        if (status == LAC_OK)
            break;
        assert_int_equal(status, LAC_ERROR_MEMORY);
        assert_true(n < 1 << 20);
    }
    lac_graph_free(graph);
}

int main(void)
{
    if (lac_register_scheme(&with_alias, &err) != LAC_OK ||
        lac_register_scheme(&promises, &err) != LAC_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_alias_is_data),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_shared_groups),
        cmocka_unit_test(test_format_by_type),
        cmocka_unit_test(test_decide),
        cmocka_unit_test(test_fall_back),
        cmocka_unit_test(test_calibrated_after_pruning),
        cmocka_unit_test(test_bias_correction_conv),
        cmocka_unit_test(test_bias_correction_gemm),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
