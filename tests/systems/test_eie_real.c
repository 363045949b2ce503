/* EIE on real data: the AlexNet FC8 layer of its authors (dossier eie.md, 5.2), the published
 * tables (6.1), the 1x1 convolutions of the authors' SqueezeNet. */
#include "accel/eie/mapping.h"
#include "accel/eie/reproduce.h"
#include "core/random.h"
#include "format/eie_csc.h"
#include "format/huffman.h"
#include "helpers/eie_run.h"
#include "io/dcz.h"

#include <lacuna/accel.h>
#include <lacuna/lacuna.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char *dossier;

static int setup(void **state)
{
    (void)state;
    dossier = golden_system("eie");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(dossier);
    return 0;
}

/* ---- the real layer ----------------------------------------------------------------------------
 */

static bool load_fc8(lac_layer *layer)
{
    char path[4096];
    lac_error err = {0};
    if (!golden_shared(path, sizeof path, "data/eie_fc8/entries.npy")) {
        fprintf(stderr, "SKIP: %s is absent\n", path);
        return false;
    }
    *strrchr(path, '/') = 0;
    if (lac_eie_fc8_load(layer, path, &err) != LAC_OK)
        fail_msg("%s", err.message);
    return true;
}

static void test_fc8_table(void **state)
{
    (void)state;
    lac_layer layer;
    if (!load_fc8(&layer))
        skip();
    golden_table table = golden_find(dossier, "5.2 Real layer", 0);
    assert_int_equal(table.rows, 11);
    for (int row = 0; row < table.rows; row++) {
        const char *set = golden_cell(&table, row, "set");
        char with[64];
        snprintf(with, sizeof with, "bias=1,%s", strcmp(set, "-") == 0 ? "" : set);
        lac_result result = eie_run(&layer, with, false);
        eie_check_row(&table, row, &result, eie_pe_of(set));
        if (row == 0) { /* 9.9075 us; the paper says 9.9 */
            lac_params params;
            lac_params_init(&params, eie_row()->params);
            assert_true((double)result.cycles / eie_row()->clock_mhz(&params) == 9.9075);
            int32_t *y = result.output.data, best = 0;
            for (int i = 0; i < 1000; i++)
                best = y[i] > y[best] ? i : best;
            assert_int_equal(best, 708);
            assert_int_equal(y[best], 15147474);
        }
        lac_result_release(&result);
    }
    golden_free(&table);
    lac_layer_release(&layer);
}

static void test_fc8_sweeps(void **state)
{
    (void)state;
    static const int bits[] = {16, 32, 64, 128, 256, 512};
    static const int64_t reads[] = {258386, 158921, 100900, 60396, 32551, 16468};
    static const int rings[] = {2, 3, 4, 5, 8, 9, 16};
    static const double balance[] = {0.6955, 0.8032, 0.8454, 0.8688, 0.8945, 0.8979, 0.9097};
    static const int64_t cycles[] = {461330, 231613, 116654, 58446, 30001,
                                     15162,  7926,   4392,   2689,  1995};
    static const int64_t pads[] = {7572, 7060, 6170, 5495, 4298, 2190, 0, 0, 0, 0};
    static const double efficiency[] = {0.984, 0.980, 0.972, 0.970, 0.945,
                                        0.935, 0.895, 0.807, 0.659, 0.444};
    lac_layer layer;
    char set[64];
    if (!load_fc8(&layer))
        skip();
    for (int i = 0; i < 6; i++) {
        snprintf(set, sizeof set, "bias=1,unit=%d", bits[i] / 8);
        lac_result result = eie_run(&layer, set, true);
        assert_int_equal(lac_result_get(&result, "spm_reads"), reads[i]);
        lac_result_release(&result);
    }
    for (int i = 0; i < 7; i++) {
        snprintf(set, sizeof set, "bias=1,fifo=%d", rings[i]);
        lac_result result = eie_run(&layer, set, true);
        double ours = (double)lac_result_get(&result, "macs") / (64.0 * (double)result.cycles);
        assert_true(fabs(ours - balance[i]) <= 0.00005);
        lac_result_release(&result);
    }
    for (int i = 0; i < 10; i++) {
        int pe = 1 << i;
        snprintf(set, sizeof set, "bias=1,pe=%d", pe);
        lac_result result = eie_run(&layer, set, true);
        assert_int_equal(result.cycles, cycles[i]);
        assert_int_equal(lac_result_get(&result, "pad"), pads[i]);
        double ours = (double)lac_result_get(&result, "macs") / (pe * (double)result.cycles);
        assert_true(fabs(ours - efficiency[i]) <= 0.0005);
        lac_result_release(&result);
    }
    lac_layer_release(&layer);
}

/* Encoding at 64 PEs gives the shipped bytes; Huffman and size figures of section 2. */
static void test_fc8_coding(void **state)
{
    (void)state;
    char path[4096];
    lac_layer layer;
    lac_eie_problem problem;
    lac_eie_csc csc;
    lac_tensor entries, counts;
    lac_huffman tree;
    uint64_t code[256], run_length[256];
    int64_t bits;
    lac_error err = {0};
    if (!load_fc8(&layer))
        skip();
    assert_int_equal(lac_eie_map(&problem, &layer, true, &err), LAC_OK);
    assert_int_equal(lac_eie_csc_encode(&csc, problem.codes, 1000, 4097, 64, 16, &err), LAC_OK);
    golden_shared(path, sizeof path, "data/eie_fc8/entries.npy");
    assert_int_equal(lac_npy_load(&entries, path, &err), LAC_OK);
    golden_shared(path, sizeof path, "data/eie_fc8/counts.npy");
    assert_int_equal(lac_npy_load(&counts, path, &err), LAC_OK);
    assert_int_equal(csc.entries, lac_tensor_count(&entries));
    for (int64_t e = 0; e < csc.entries; e++)
        if ((csc.run[e] << 4 | csc.code[e]) != ((const uint8_t *)entries.data)[e])
            fail_msg("entry %lld differs", (long long)e);
    for (int64_t p = 0; p < 64; p++)
        for (int64_t j = 0; j < 4097; j++)
            assert_int_equal(csc.pointer[p * 4098 + j + 1] - csc.pointer[p * 4098 + j],
                             ((const uint8_t *)counts.data)[p * 4097 + j]);
    lac_eie_csc_histogram(&csc, code, run_length);
    assert_int_equal(lac_huffman_make(&tree, code, 16, &err), LAC_OK);
    assert_int_equal(lac_huffman_bits(&tree, code), 3603440);
    assert_int_equal(lac_huffman_make(&tree, run_length, 16, &err), LAC_OK);
    assert_int_equal(lac_huffman_bits(&tree, run_length), 3036104);
    assert_int_equal(lac_eie_csc_size_bits(&csc, 4, 16, 0, false, &bits, &err), LAC_OK);
    assert_int_equal(bits, 12612536);
    lac_tensor_release(&entries);
    lac_tensor_release(&counts);
    lac_eie_csc_release(&csc);
    lac_eie_problem_release(&problem);
    lac_layer_release(&layer);
}

static void test_fc8_fixed_point(void **state)
{
    (void)state;
    lac_layer layer;
    if (!load_fc8(&layer))
        skip();
    lac_result result = eie_run(&layer, "bias=1,acc16=1", false);
    const int32_t *y = result.output.data;
    int least = 0, most = 0;
    for (int i = 0; i < 1000; i++) {
        least = y[i] < y[least] ? i : least;
        most = y[i] > y[most] ? i : most;
    }
    assert_true(result.sum == 624335);
    assert_true(result.weighted == 82247355);
    assert_int_equal(y[least], -1102);
    assert_int_equal(y[most], 3699);
    assert_int_equal(most, 708);
    assert_true(result.exact);
    assert_int_equal(result.cycles, 7926);
    lac_result_release(&result);
    lac_layer_release(&layer);
}

/* ---- section 6.1 -------------------------------------------------------------------------------
 */

typedef struct printed {
    const golden_table *table;
    double clock;
    int times, real, peak, power;
} printed;

/* "29.26 (23410)": the number in brackets. */
static int64_t bracketed(const char *cell)
{
    const char *at = strchr(cell, '(');
    assert_non_null(at);
    return atoll(at + 1);
}

static void see_row(void *context, const lac_reproduced *row)
{
    printed *seen = context;
    assert_true(row->table && row->row && row->metric && row->provenance && row->note);
    assert_true(*row->provenance && *row->note);
    if (strcmp(row->metric, "GOP/s") == 0)
        seen->peak += fabs(row->ours - 102.4) < 1e-9 && row->paper == 102;
    if (strcmp(row->metric, "power_W") == 0)
        seen->power += fabs(row->ours - 0.586531) < 1e-9;
    if (strcmp(row->metric, "area_mm2") == 0)
        seen->power += fabs(row->ours - 40.837505) < 1e-9;
    if (strcmp(row->metric, "time_us") != 0)
        return;
    if (strcmp(row->row, "Alex-8, real data") == 0) {
        assert_true(row->paper == 9.9);
        seen->real += row->ours == 9.9075;
        return;
    }
    int at = golden_row(seen->table, "layer", row->row);
    if (at < 0)
        fail_msg("'%s' is no layer of table 6.1", row->row);
    assert_true(row->paper == golden_real(seen->table, at, "actual us (paper)"));
    double cycles = row->ours * seen->clock;
    assert_true(fabs(cycles - (double)bracketed(
                                  golden_cell(seen->table, at, "ours actual us (cycles)"))) < 1e-6);
    seen->times++;
}

static void test_reproduce(void **state)
{
    (void)state;
    char path[4096];
    bool real = golden_shared(path, sizeof path, "data/eie_fc8/entries.npy");
    golden_table table = golden_find(dossier, "6.1 EIE", 0);
    printed seen = {.table = &table, .clock = 800};
    lac_params params;
    lac_error err = {0};
    if (getenv("LACUNA_SHORT")) {
        fprintf(stderr, "SKIP: the nine full layers (LACUNA_SHORT)\n");
        golden_free(&table);
        skip();
    }
    lac_params_init(&params, eie_row()->params);
    if (real)
        *strstr(path, "/eie_fc8") = 0;
    if (eie_row()->reproduce(&params, real ? path : NULL, see_row, &seen, &err) != LAC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(seen.times, 9);
    assert_int_equal(seen.real, real);
    assert_int_equal(seen.peak, 1);
    assert_int_equal(seen.power, 3);
    golden_free(&table);
}

/* ---- SqueezeNet: every 1x1 convolution of the file, weights as int8 per output channel ----------
 */

static void quantise(int8_t *to, const float *from, int64_t rows, int64_t cols, float *scale)
{
    for (int64_t i = 0; i < rows; i++) {
        float largest = 0;
        for (int64_t j = 0; j < cols; j++)
            largest = fmaxf(largest, fabsf(from[i * cols + j]));
        scale[i] = largest > 0 ? largest / 127 : 1;
        for (int64_t j = 0; j < cols; j++)
            to[i * cols + j] = (int8_t)lrintf(from[i * cols + j] / scale[i]);
    }
}

static void run_convolution(const lac_net_layer *net)
{
    char text[96];
    lac_layer layer;
    lac_error err = {0};
    int64_t k = net->dims[0], c = net->dims[1];
    float *scale = calloc((size_t)k, sizeof *scale);
    lac_random random = lac_random_stream((uint64_t)(k * c), 2);
    snprintf(text, sizeof text, "conv:c=%d,h=9,w=9,k=%d,r=1,s=1", (int)c, (int)k);
    assert_int_equal(lac_layer_parse(&layer, text, &err), LAC_OK);
    lac_operand *w = &layer.operand[LAC_ROLE_WEIGHTS], *a = &layer.operand[LAC_ROLE_ACTIVATIONS];
    assert_int_equal(lac_tensor_make(&w->tensor, LAC_I8, 4, net->dims, &err), LAC_OK);
    assert_int_equal(lac_tensor_make(&a->tensor, LAC_U8, 4, (int64_t[]){1, c, 9, 9}, &err), LAC_OK);
    quantise(w->tensor.data, net->weights.data, k, c, scale);
    w->scale = scale;
    w->scale_count = k;
    for (int64_t i = 0; i < c * 81; i++) { /* after ReLU: half zeros, up to 255 */
        uint64_t draw = lac_random_next(&random);
        ((uint8_t *)a->tensor.data)[i] = draw & 1 ? (uint8_t)(draw >> 8) : 0;
    }
    lac_result result = eie_run(&layer, "", false);
    assert_true(result.exact);
    assert_int_equal(lac_result_get(&result, "linear_codebook"), 1); /* 255 values, not 15 */
    assert_int_equal(result.macs, 81 * k * c);
    lac_result_release(&result);
    lac_layer_release(&layer);
    free(scale);
}

static void test_squeezenet(void **state)
{
    (void)state;
    char path[4096];
    static const int squeeze[8] = {16, 16, 32, 32, 48, 48, 64, 64};
    lac_net_layer layer[26] = {{.rank = 4, .dims = {96, 3, 7, 7}, .conv = true}};
    int64_t in = 96;
    int n = 1, ran = 0;
    if (!golden_shared(path, sizeof path,
                       "data/models/squeezenet_deep_compression/compressed_SqueezeNet.net")) {
        fprintf(stderr, "SKIP: %s is absent\n", path);
        skip();
    }
    for (int fire = 0; fire < 8; fire++) {
        int64_t s = squeeze[fire];
        layer[n++] = (lac_net_layer){.rank = 4, .dims = {s, in, 1, 1}, .conv = true};
        layer[n++] = (lac_net_layer){.rank = 4, .dims = {4 * s, s, 1, 1}, .conv = true};
        layer[n++] = (lac_net_layer){.rank = 4, .dims = {4 * s, s, 3, 3}, .conv = true};
        in = 8 * s;
    }
    layer[n++] = (lac_net_layer){.rank = 4, .dims = {1000, 512, 1, 1}, .conv = true};
    assert_int_equal(lac_net_load(layer, n, path, NULL), LAC_OK);
    for (int i = 0; i < n; i++) {
        if (layer[i].dims[2] == 1) {
            run_convolution(&layer[i]);
            ran++;
        }
        lac_tensor_release(&layer[i].weights);
        lac_tensor_release(&layer[i].bias);
    }
    assert_int_equal(ran, 17);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fc8_table),  cmocka_unit_test(test_fc8_sweeps),
        cmocka_unit_test(test_fc8_coding), cmocka_unit_test(test_fc8_fixed_point),
        cmocka_unit_test(test_reproduce),  cmocka_unit_test(test_squeezenet),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
