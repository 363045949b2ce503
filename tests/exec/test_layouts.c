/* Panels between steps: a chain of sparse products, residuals, normalisations and quantisers keeps
 * its activations side by side, and gives what the operators give one by one, the same bits for
 * any number of threads. */
#include "exec/exec.h"
#include "helpers/models.h"

#include <lacuna/kernel.h>
#include <lacuna/scheme.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static lac_error err;
#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) != LAC_OK)                                                                      \
            fail_msg("%s: %s", #call, err.message);                                                \
    } while (0)

enum { BATCH = 2, TOKENS = 50, HIDDEN = 200 };

static lac_graph *graph;
static uint32_t seed;

static float noise(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (float)(seed >> 8) / (1 << 23) - 1;
}

static int constant(int rank, int64_t a, int64_t b, float factor, float offset)
{
    lac_tensor t;
    int64_t dims[] = {a, b};
    int value;
    OK(lac_tensor_make(&t, LAC_F32, rank, dims, &err));
    for (int64_t i = 0; i < lac_tensor_count(&t); i++)
        ((float *)t.data)[i] = noise() * factor + offset;
    OK(lac_graph_constant(graph, NULL, &t, &value, &err));
    return value;
}

static int node(const char *op, int n_in, const int *in)
{
    int out;
    OK(lac_graph_value(graph, NULL, &out, &err));
    OK(lac_graph_node(graph, "", op, NULL, n_in, in, 1, &out, NULL, &err));
    return out;
}

static int linear(int x, int64_t in, int64_t out)
{
    int w = constant(2, in, out, 1 / sqrtf((float)in), 0);
    return node("Add", 2, (int[]){node("MatMul", 2, (int[]){x, w}), constant(1, out, 1, 0.1f, 0)});
}

static int norm(int x, int64_t width)
{
    int scale = constant(1, width, 1, 0.2f, 1);
    return node("LayerNormalization", 3, (int[]){x, scale, constant(1, width, 1, 0.1f, 0)});
}

/* Two products with residuals; the last output is read by a product again, or is a
 * normalisation's. */
static void make(int64_t width, bool ends_in_norm)
{
    int x;
    seed = 5;
    OK(lac_graph_make(&graph, "chain", 17, &err));
    OK(lac_graph_value(graph, "x", &x, &err));
    graph->values[x].dtype = LAC_F32;
    graph->values[x].rank = 3;
    graph->values[x].dims[0].size = BATCH;
    graph->values[x].dims[1].size = TOKENS;
    graph->values[x].dims[2].size = width;
    OK(lac_graph_input(graph, x, &err));
    int h = norm(x, width);
    h = norm(node("Add", 2, (int[]){linear(h, width, width), h}), width);
    int f = linear(h, width, HIDDEN);
    f = node("Relu", 1, &f);
    h = norm(node("Add", 2, (int[]){h, linear(f, HIDDEN, width)}), width);
    if (!ends_in_norm)
        h = linear(h, width, 12);
    OK(lac_graph_output(graph, h, &err));
    OK(lac_graph_settle(graph, &err));
}

static lac_status sample(void *context, int64_t index, lac_tensor *in, lac_error *e)
{
    int64_t width = *(const int64_t *)context;
    LAC_TRY(lac_tensor_make(in, LAC_F32, 3, (int64_t[]){BATCH, TOKENS, width}, e));
    for (int64_t i = 0; i < lac_tensor_count(in); i++)
        ((float *)in->data)[i] = 3 * sinf((float)(i * i % 1009) + (float)(i * (index + 1)) * 0.01f);
    return LAC_OK;
}

/* The kernels that read packed weights are taken, whatever is estimated. */
static void prefer_packed(lac_graph *g)
{
    for (int n = 0; n < g->n_nodes; n++)
        if (g->nodes[n].op && strcmp(g->nodes[n].op, "Unpack") == 0)
            OK(lac_node_set_string(g, &g->nodes[n], "prefer", "packed", &err));
}

static int in_panels(const lac_session *session)
{
    int count = 0;
    for (int v = 0; v < session->graph->n_values; v++)
        count += session->last->layout[v] != LAC_LAYOUT_ROWS;
    return count;
}

static void chain(const char *scheme, int64_t width, bool ends_in_norm, int least, double limit)
{
    static const char *const isas[] = {"ref", "avx2", "avx512", "native"};
    make(width, ends_in_norm);
    lac_calibration calibration = {4, sample, &width, "test"};
    lac_compression c = {.calibration = &calibration};
    lac_tensor in, plain, fused[2];
    lac_session *session;
    uint32_t isa;
    OK(lac_compress(&c, graph, scheme, &err));
    prefer_packed(c.graph);
    OK(sample(&width, 9, &in, &err));
    OK(lac_session_make(&session, c.graph, &(lac_session_options){.no_fusion = true}, &err));
    OK(lac_session_run(session, &in, &plain, &err));
    lac_session_free(session);
    for (int i = 0; i < 4; i++) {
        setenv("LACUNA_ISA", isas[i], 1);
        bool there = lac_isa(&isa, &err) == LAC_OK;
        for (int t = 0; there && t < 2; t++) {
            lac_threads_set(t + 1);
            OK(lac_session_make(&session, c.graph, NULL, &err));
            OK(lac_session_run(session, &in, &fused[t], &err));
            lac_tensor_release(&fused[t]);
            OK(lac_session_run(session, &in, &fused[t], &err)); /* over memory that was used */
            int panels = in_panels(session);
            if (i == 3 && isa & LAC_ISA_VNNI && panels < least)
                fail_msg("%s, width %d: %d values in panels", scheme, (int)width, panels);
            double square = 0, total = 0;
            for (int64_t j = 0; j < lac_tensor_count(&plain); j++) {
                double want = (double)((const float *)plain.data)[j];
                double is = (double)((const float *)fused[t].data)[j];
                square += (is - want) * (is - want);
                total += want * want;
            }
            if (!(sqrt(square / total) <= limit))
                fail_msg("%s, width %d, %s: off by %g", scheme, (int)width, isas[i],
                         sqrt(square / total));
            lac_session_free(session);
        }
        if (there) {
            assert_memory_equal(fused[0].data, fused[1].data, lac_tensor_bytes(&fused[0]));
            lac_tensor_release(&fused[0]);
            lac_tensor_release(&fused[1]);
        }
    }
    unsetenv("LACUNA_ISA");
    lac_threads_set(1);
    lac_tensor_release(&in);
    lac_tensor_release(&plain);
    lac_compression_release(&c);
    lac_graph_free(graph);
}

/* Both normalisations, the sums before them, the hidden layer. */
static void floats(void **state)
{
    (void)state;
    chain("magnitude:density=0.1", 72, false, 6, 1e-5);
    chain("magnitude:density=0.1", 72, true, 5, 1e-5);
    chain("magnitude:density=0.1", 67, false, 6, 1e-5);
}

static void bytes(void **state)
{
    (void)state;
    chain("block:1:4:0.2+int8", 72, false, 6, 0.02);
    chain("block:1:4:0.2+int8", 72, true, 5, 0.02);
    chain("block:1:4:0.2+int8", 70, false, 1, 0.02);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(floats), cmocka_unit_test(bytes)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
