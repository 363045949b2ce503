/* The LSTM kernels against the operator's own body: sizes around the tiles, directions, missing
 * inputs and outputs; the same bits for any number of threads; what they must refuse; large and
 * strange numbers. */
#include <lacuna/kernel.h>
#include <lacuna/lacuna.h>
#include <lacuna/op.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { INPUTS = 7, OUTPUTS = 3 };

static uint32_t seed_ = 1;
static float real(void)
{
    seed_ = seed_ * 1664525u + 1013904223u;
    return (float)(seed_ >> 8) / (float)(1 << 23) - 1;
}

/* One LSTM node with its tensors. */
typedef struct bed {
    lac_graph *graph;
    lac_node *node;
    const lac_op *op;
    lac_tensor in[INPUTS], out[OUTPUTS], want[OUTPUTS];
    const lac_tensor *in_list[INPUTS];
    lac_error err;
} bed;

static void fill(bed *b, int i, int rank, const int64_t *dims, float scale)
{
    assert_int_equal(lac_tensor_make(&b->in[i], LAC_F32, rank, dims, NULL), LAC_OK);
    b->in_list[i] = &b->in[i];
    for (int64_t k = 0; k < lac_tensor_count(&b->in[i]); k++)
        ((float *)b->in[i].data)[k] = scale * real();
}

static lac_call call_of(bed *b, lac_tensor *out)
{
    return (lac_call){b->node, 17, INPUTS, OUTPUTS, b->in_list, out};
}

/* `parts`: bit 0 bias, bit 1 states, bits 2 to 4 which outputs are not wanted. */
static void start(bed *b, int64_t steps, int64_t batch, int64_t in, int64_t hidden,
                  const char *direction, unsigned parts, float scale)
{
    int values[INPUTS], outs[OUTPUTS];
    memset(b, 0, sizeof *b);
    assert_int_equal(lac_graph_make(&b->graph, "bed", 17, NULL), LAC_OK);
    for (int i = 0; i < INPUTS; i++)
        assert_int_equal(lac_graph_value(b->graph, NULL, &values[i], NULL), LAC_OK);
    for (int i = 0; i < OUTPUTS; i++)
        assert_int_equal(lac_graph_value(b->graph, NULL, &outs[i], NULL), LAC_OK);
    values[4] = -1;
    if (!(parts & 1))
        values[3] = -1;
    if (!(parts & 2))
        values[5] = values[6] = -1;
    for (int i = 0; i < OUTPUTS; i++)
        if (parts & (4u << i))
            outs[i] = -1;
    assert_int_equal(
        lac_graph_node(b->graph, "", "LSTM", "n", INPUTS, values, OUTPUTS, outs, &b->node, NULL),
        LAC_OK);
    lac_node_set_string(b->graph, b->node, "direction", direction, NULL);
    lac_node_set_int(b->graph, b->node, "hidden_size", hidden, NULL);
    b->op = lac_op_find("", "LSTM");
    assert_non_null(b->op);
    int64_t d = strcmp(direction, "bidirectional") == 0 ? 2 : 1;
    fill(b, 0, 3, (int64_t[]){steps, batch, in}, 1);
    fill(b, 1, 3, (int64_t[]){d, 4 * hidden, in}, scale / sqrtf((float)in));
    fill(b, 2, 3, (int64_t[]){d, 4 * hidden, hidden}, scale / sqrtf((float)hidden));
    if (parts & 1)
        fill(b, 3, 2, (int64_t[]){d, 8 * hidden}, scale);
    for (int i = 5; i < 7 && parts & 2; i++)
        fill(b, i, 3, (int64_t[]){d, batch, hidden}, 1);
    lac_call call = call_of(b, b->out);
    assert_int_equal(b->op->infer(&call, &b->err), LAC_OK);
    for (int i = 0; i < OUTPUTS; i++) {
        lac_tensor shape = b->out[i];
        if (parts & (4u << i))
            continue;
        assert_int_equal(lac_tensor_make(&b->out[i], shape.dtype, shape.rank, shape.dims, NULL),
                         LAC_OK);
        assert_int_equal(lac_tensor_make(&b->want[i], shape.dtype, shape.rank, shape.dims, NULL),
                         LAC_OK);
    }
}

static void stop(bed *b)
{
    for (int i = 0; i < INPUTS; i++)
        lac_tensor_release(&b->in[i]);
    for (int i = 0; i < OUTPUTS; i++) {
        lac_tensor_release(&b->out[i]);
        lac_tensor_release(&b->want[i]);
    }
    lac_graph_free(b->graph);
}

static void describe(bed *b, lac_layer *layer)
{
    lac_call call = call_of(b, b->out);
    assert_int_equal(b->op->as_layer(&call, layer, &b->err), LAC_OK);
}

/* Every LSTM kernel that this CPU can run, on `threads`; the outputs into `out` of the bed. */
static void run(bed *b, const lac_kernel *kernel, int threads)
{
    lac_layer layer;
    void *state = NULL;
    char why[160] = "";
    describe(b, &layer);
    if (!kernel->can_run(&layer, why, sizeof why))
        fail_msg("%s: %s", kernel->row.name, why);
    assert_true(kernel->cost(&layer) > 0);
    lac_threads_set(threads);
    assert_int_equal(kernel->prepare(&layer, &state, &b->err), LAC_OK);
    for (int again = 0; again < 2; again++) { /* nothing stays from the run before */
        for (int i = 0; i < OUTPUTS; i++)
            if (b->out[i].data)
                memset(b->out[i].data, 0xff, lac_tensor_bytes(&b->out[i]));
        assert_int_equal(kernel->run(&layer, state, &b->err), LAC_OK);
    }
    assert_true(kernel->state_bytes(state) > 0);
    kernel->release(state);
    lac_threads_set(0);
    lac_layer_release(&layer);
}

static const lac_kernel *kernel_at(int index, uint32_t isa)
{
    for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        if (strcmp(kernel->kind, "lstm") == 0 && (kernel->isa & ~isa) == 0 && index-- == 0)
            return kernel;
    }
    return NULL;
}

static void compare(const bed *b, const char *name, double bound)
{
    for (int i = 0; i < OUTPUTS; i++)
        for (int64_t k = 0; b->out[i].data && k < lac_tensor_count(&b->out[i]); k++) {
            double is = lac_tensor_get(&b->out[i], k), want = lac_tensor_get(&b->want[i], k);
            if (!(fabs(is - want) <= bound) && !(isnan(is) && isnan(want)))
                fail_msg("%s: output %d[%d] is %.9g, want %.9g", name, i, (int)k, is, want);
        }
}

static void check(bed *b, bool threads, double bound)
{
    uint32_t isa;
    const lac_kernel *kernel;
    lac_call call = call_of(b, b->want);
    assert_int_equal(lac_isa(&isa, NULL), LAC_OK);
    assert_int_equal(b->op->run(&call, &b->err), LAC_OK);
    for (int index = 0; (kernel = kernel_at(index, isa)) != NULL; index++) {
        run(b, kernel, 1);
        compare(b, kernel->row.name, bound);
        if (!threads)
            continue;
        lac_tensor once[OUTPUTS];
        for (int i = 0; i < OUTPUTS; i++)
            if (b->out[i].data)
                assert_int_equal(lac_tensor_copy(&once[i], &b->out[i], NULL), LAC_OK);
        for (int t = 2; t <= 3; t++) {
            run(b, kernel, t);
            for (int i = 0; i < OUTPUTS; i++)
                if (b->out[i].data)
                    assert_memory_equal(once[i].data, b->out[i].data, lac_tensor_bytes(&b->out[i]));
        }
        for (int i = 0; i < OUTPUTS; i++)
            if (b->out[i].data)
                lac_tensor_release(&once[i]);
    }
}

static const char *const directions[] = {"forward", "reverse", "bidirectional"};

static void test_grid(void **unused)
{
    (void)unused;
    unsigned count = 0;
    for (int64_t hidden = 1; hidden <= 70; hidden += hidden < 20 ? 1 : 3)
        for (int64_t steps = 1; steps <= 9; steps += steps == 2 ? 3 : 1)
            for (int64_t batch = 1; batch <= 5; batch++, count++) {
                bed b;
                int64_t in = 1 + (hidden * 7 + steps * 3 + batch) % 37;
                start(&b, steps, batch, in, hidden, directions[count % 3], count / 3 % 32, 1.5f);
                check(&b, false, 4e-6);
                stop(&b);
            }
}

/* Chunks of steps, tiles of rows and their rests; big enough for threads to start. */
static void test_large(void **unused)
{
    static const int64_t sizes[][4] = {/* steps, batch, in, hidden */
                                       {101, 1, 12, 64}, {50, 3, 40, 33},   {13, 32, 28, 20},
                                       {3, 61, 64, 48},  {60, 1, 257, 300}, {5, 17, 128, 512}};
    (void)unused;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int d = 0; d < 3; d++) {
            bed b;
            start(&b, sizes[i][0], sizes[i][1], sizes[i][2], sizes[i][3], directions[d], d + 1, 1);
            check(&b, true, 4e-6);
            stop(&b);
        }
}

/* Saturated gates, gates of NaN and infinities: as the operator has it. */
static void test_extremes(void **unused)
{
    (void)unused;
    bed b;
    start(&b, 4, 3, 5, 21, "forward", 3, 300);
    check(&b, false, 2e-4); /* sums of some 1000, rounded differently */
    stop(&b);
    start(&b, 4, 3, 5, 21, "forward", 3, 1);
    float *x = b.in[0].data, *c = b.in[6].data;
    x[5] = NAN;
    x[12] = 1e30f;
    x[21] = -1e30f;
    c[2] = 1e30f;
    check(&b, false, 4e-6 * 1e30);
    const float *y = b.out[0].data;
    assert_true(isnan(y[21]) && !isnan(y[0]));
    stop(&b);
}

static void test_refusals(void **unused)
{
    (void)unused;
    uint32_t isa;
    bed b;
    lac_layer layer;
    char why[160];
    assert_int_equal(lac_isa(&isa, NULL), LAC_OK);
    start(&b, 2, 2, 3, 4, "forward", 1, 1);
    lac_call call = call_of(&b, b.out);
    const lac_kernel *kernel = kernel_at(0, isa);
    if (kernel) {
        describe(&b, &layer);
        layer.operand[LAC_ROLE_RECURRENT].tensor.data = NULL;
        assert_false(kernel->can_run(&layer, why, sizeof why));
        assert_non_null(strstr(why, "constants"));
        lac_layer_release(&layer);
        describe(&b, &layer);
        layer.operator_gates = false;
        assert_false(kernel->can_run(&layer, NULL, 0));
        lac_layer_release(&layer);
    }
    lac_node_set_int(b.graph, b.node, "input_forget", 1, NULL);
    assert_int_equal(b.op->as_layer(&call, &layer, &b.err), LAC_ERROR_UNSUPPORTED);
    lac_node_set_int(b.graph, b.node, "input_forget", 0, NULL);
    lac_node_set_int(b.graph, b.node, "layout", 1, NULL);
    assert_int_equal(b.op->as_layer(&call, &layer, &b.err), LAC_ERROR_UNSUPPORTED);
    stop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_grid), cmocka_unit_test(test_large),
                                       cmocka_unit_test(test_extremes),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
