/* EIE against the dossier eie.md: golden tables 5.1, 5.2 and 6.1 in every column, the
 * register-level stepper, fixed point, the quirk of the public simulator, what it refuses. */
#include "accel/eie/mapping.h"
#include "accel/eie/reproduce.h"
#include "core/memory.h"
#include "core/random.h"
#include "format/eie_csc.h"
#include "format/huffman.h"
#include "helpers/eie_layers.h"
#include "helpers/eie_stepper.h"
#include "helpers/golden.h"

#include <lacuna/accel.h>
#include <lacuna/format.h>
#include <lacuna/lacuna.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const lac_accel *eie;
static char *dossier;

static int setup(void **state)
{
    (void)state;
    eie = (const lac_accel *)lac_table_find(&lac_accels, "eie");
    dossier = golden_system("eie");
    return eie ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    free(dossier);
    return 0;
}

static lac_result run(const lac_layer *layer, const char *set, bool schedule_only)
{
    lac_params params;
    lac_result result;
    lac_error err = {0};
    lac_sim_options options = {.schedule_only = schedule_only};
    lac_params_init(&params, eie->params);
    golden_set(&params, set);
    if (lac_simulate(eie, layer, &params, &options, &result, &err) != LAC_OK)
        fail_msg("%s: %s", layer->name, err.message);
    return result;
}

static int64_t count(const lac_result *result, const char *name)
{
    return lac_result_get(result, name);
}

/* Every counter column that the table has; identity and reference. */
static void check_row(const golden_table *table, int row, const lac_result *result, int64_t pe)
{
    static const char *const names[] = {"nonzeros",  "entries",  "acts",      "macs",
                                        "pad",       "idle",     "empty_col", "blocked",
                                        "spm_reads", "ptr_reads"};
    assert_int_equal(result->cycles, golden_int(table, row, "cycles"));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (count(result, names[i]) != (int64_t)golden_int(table, row, names[i]))
            fail_msg("row %d: %s = %lld, the table says %s", row, names[i],
                     (long long)count(result, names[i]), golden_cell(table, row, names[i]));
    assert_true(result->exact);
    assert_true(result->sum == golden_int(table, row, "y_sum"));
    assert_true(result->weighted == golden_int(table, row, "y_wsum"));
    assert_int_equal(count(result, "macs") + count(result, "pad") + count(result, "empty_col") +
                         count(result, "idle"),
                     pe * result->cycles);
    assert_int_equal(result->effectual_macs, count(result, "macs"));
}

static int64_t pe_of(const char *set)
{
    const char *at = strstr(set, "pe=");
    return at ? atoll(at + 3) : 64;
}

static lac_layer layer_of(const golden_table *table, int row)
{
    return golden_layer(golden_cell(table, row, "layer"), golden_cell(table, row, "wd"),
                        golden_cell(table, row, "ad"), golden_int(table, row, "seed"));
}

static void test_synthetic_table(void **state)
{
    (void)state;
    golden_table table = golden_find(dossier, "5.1 Synthetic layers", 0);
    assert_int_equal(table.rows, 19);
    for (int row = 0; row < table.rows; row++) {
        const char *set = golden_cell(&table, row, "set");
        lac_layer layer = layer_of(&table, row);
        lac_result result = run(&layer, set, false);
        check_row(&table, row, &result, pe_of(set));
        lac_result_release(&result);
        lac_layer_release(&layer);
    }
    golden_free(&table);
}

static void test_copy_equals_the_dossier(void **state)
{
    (void)state;
    static const char *const headings[] = {"5.1 Synthetic", "5.2 Real layer", "6.1 EIE"};
    char *copy = golden_read(LACUNA_SOURCE_DIR "/tests/systems/golden/eie.txt");
    assert_non_null(copy);
    for (int i = 0; i < 3; i++) {
        golden_table a = golden_find(dossier, headings[i], 0),
                     b = golden_find(copy, headings[i], 0);
        golden_same(&a, &b);
        golden_free(&a);
        golden_free(&b);
    }
    free(copy);
}

/* ---- done means 6: cycles never increase with fifo, unit changes only spm_reads ----------------
 */

static void test_fifo_and_unit(void **state)
{
    (void)state;
    static const char *const same[] = {"acts", "macs",    "pad",      "empty_col",
                                       "idle", "blocked", "ptr_reads"};
    golden_table table = golden_find(dossier, "5.1 Synthetic layers", 0);
    for (int row = 0; row < table.rows; row++) {
        if (row == 9 || row == 10) /* large; the others are enough */
            continue;
        lac_layer layer = layer_of(&table, row);
        int64_t before = INT64_MAX, reads = INT64_MAX;
        for (int fifo = 2; fifo <= 64; fifo += fifo < 6 ? 1 : 13) {
            char set[256];
            snprintf(set, sizeof set, "%s,fifo=%d", golden_cell(&table, row, "set"), fifo);
            lac_result result = run(&layer, set[0] == '-' ? set + 2 : set, true);
            assert_true(result.cycles <= before);
            before = result.cycles;
            lac_result_release(&result);
        }
        lac_result first = run(&layer, golden_cell(&table, row, "set"), true);
        for (int unit = 1; unit <= 64; unit *= 4) {
            char set[256];
            snprintf(set, sizeof set, "%s,unit=%d", golden_cell(&table, row, "set"), unit);
            lac_result result = run(&layer, set[0] == '-' ? set + 2 : set, true);
            assert_int_equal(result.cycles, first.cycles);
            for (size_t i = 0; i < sizeof same / sizeof *same; i++)
                assert_int_equal(count(&result, same[i]), count(&first, same[i]));
            assert_true(count(&result, "spm_reads") <= reads);
            reads = count(&result, "spm_reads");
            lac_result_release(&result);
        }
        lac_result_release(&first);
        lac_layer_release(&layer);
    }
    golden_free(&table);
}

/* Dense: cycles = in * R + 8. */
static void test_closed_form(void **state)
{
    (void)state;
    for (int pe = 1; pe <= 9; pe++)
        for (int r = 1; r <= 4; r++)
            for (int fifo = 2; fifo <= 8; fifo += 3) {
                char text[64], set[32];
                int in = 3 + 7 * r;
                if (fifo < 3 && r < 2)
                    continue;
                snprintf(text, sizeof text, "fc:in=%d,out=%d,batch=2", in, pe * r);
                snprintf(set, sizeof set, "pe=%d,fifo=%d", pe, fifo);
                lac_layer layer = golden_layer(text, "1.0", "1.0", (uint64_t)(pe * 100 + r));
                lac_result result = run(&layer, set, true);
                int64_t one = in * r + 8;
                assert_int_equal(result.cycles, 2 * (one > 9 ? one : 9));
                assert_int_equal(count(&result, "pad"), 0);
                lac_result_release(&result);
                lac_layer_release(&layer);
            }
}

/* ---- done means 5: the register-level stepper --------------------------------------------------
 */

static void step_once(lac_random *random, int trial)
{
    int in = 1 + (int)(lac_random_next(random) % 60), out = 1 + (int)(lac_random_next(random) % 70);
    int pe = 1 + trial % 9, fifo = 2 + (int)(lac_random_next(random) % 8);
    int unit = 1 + (int)(lac_random_next(random) % 9),
        jump = 2 << (int)(lac_random_next(random) % 4);
    bool bias = lac_random_next(random) % 3 == 0;
    char text[64], set[96], wd[16], ad[16];
    snprintf(text, sizeof text, "fc:in=%d,out=%d,batch=1", in, out);
    snprintf(set, sizeof set, "pe=%d,fifo=%d,unit=%d,jump=%d,bias=%d", pe, fifo, unit, jump, bias);
    double density[2];
    for (int i = 0; i < 2; i++) {
        uint64_t kind = lac_random_next(random) % 5;
        double d = lac_random_unit(random);
        density[i] = kind == 0 ? 0 : kind == 1 ? 1 : kind == 2 ? d * d * d : d;
    }
    snprintf(wd, sizeof wd, "%.6f", density[0]);
    snprintf(ad, sizeof ad, "%.6f", density[1]);
    lac_layer layer = golden_layer(text, wd, ad, (uint64_t)trial);
    lac_result result = run(&layer, set, false);

    int8_t weights[70 * 61], drawn[70];
    const int8_t *w = layer.operand[LAC_ROLE_WEIGHTS].tensor.data;
    const int8_t *a = layer.operand[LAC_ROLE_ACTIVATIONS].tensor.data;
    int cols = in + bias;
    int32_t value[61] = {0}, codebook[16], y[70] = {0};
    uint8_t codes[70 * 61];
    eie_draw_weights(drawn, out, 1, (uint64_t)trial, 3);
    for (int i = 0; i < out; i++) {
        memcpy(weights + i * cols, w + i * in, (size_t)in);
        if (bias)
            weights[i * cols + in] = drawn[i];
    }
    for (int j = 0; j < in; j++)
        value[j] = a[j];
    value[in] = 1;
    eie_linear_codes(weights, (int64_t)out * cols, codebook, codes);
    lac_eie_csc csc;
    assert_int_equal(lac_eie_csc_encode(&csc, codes, out, cols, pe, jump, NULL), LAC_OK);
    eie_steps steps = eie_step(&csc, in, bias, value, codebook, fifo, unit, y);
    if (steps.cycles != result.cycles)
        fail_msg("trial %d, %s, %s, wd %s, ad %s: stepped %lld cycles, simulated %lld", trial, text,
                 set, wd, ad, (long long)steps.cycles, (long long)result.cycles);
    assert_int_equal(steps.acts, count(&result, "acts"));
    assert_int_equal(steps.macs, count(&result, "macs"));
    assert_int_equal(steps.pad, count(&result, "pad"));
    assert_int_equal(steps.empty_col, count(&result, "empty_col"));
    assert_int_equal(steps.blocked, count(&result, "blocked"));
    assert_int_equal(steps.spm_reads, count(&result, "spm_reads"));
    assert_int_equal(steps.ptr_reads, count(&result, "ptr_reads"));
    assert_int_equal(csc.entries, count(&result, "entries"));
    assert_true(result.exact);
    assert_memory_equal(result.output.data, y, (size_t)out * sizeof *y);
    lac_eie_csc_release(&csc);
    lac_result_release(&result);
    lac_layer_release(&layer);
}

static void test_stepper(void **state)
{
    (void)state;
    lac_random random = lac_random_stream(4711, 1);
    for (int trial = 0; trial < 300; trial++)
        step_once(&random, trial);
}

/* ---- the quirk of the public simulator (4.6) --------------------------------------------------
 */

static void test_compat(void **state)
{
    (void)state;
    golden_table table = golden_find(dossier, "5.1 Synthetic layers", 0);
    static const struct {
        int row;
        const char *set;
        int64_t bias, cycles;
    } cases[] = {{3, "pe=16,compat=1", 0, 299},
                 {3, "pe=16,compat=1,bias=1", 1, 299},
                 {8, "pe=8,unit=4,compat=1,bias=1", 1, 6951},
                 {8, "pe=8,unit=4,compat=1", 0, 6885}};
    for (int i = 0; i < 4; i++) {
        lac_layer layer = layer_of(&table, cases[i].row);
        int64_t out = lac_layer_dim_get(&layer, "out");
        if (cases[i].bias) /* an all-zero column */
            assert_int_equal(
                lac_tensor_make(&layer.operand[LAC_ROLE_BIAS].tensor, LAC_I8, 1, &out, NULL),
                LAC_OK);
        lac_result result = run(&layer, cases[i].set, false);
        assert_int_equal(result.cycles, cases[i].cycles);
        assert_true(result.exact);
        lac_result_release(&result);
        lac_layer_release(&layer);
    }
    golden_free(&table);
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
        lac_result result = run(&layer, with, false);
        check_row(&table, row, &result, pe_of(set));
        if (row == 0) { /* 9.9075 us; the paper says 9.9 */
            assert_true(
                (double)result.cycles /
                    eie->clock_mhz(&(lac_params){.schema = eie->params, .number = {[1] = 800}}) ==
                9.9075);
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
        lac_result result = run(&layer, set, true);
        assert_int_equal(count(&result, "spm_reads"), reads[i]);
        lac_result_release(&result);
    }
    for (int i = 0; i < 7; i++) {
        snprintf(set, sizeof set, "bias=1,fifo=%d", rings[i]);
        lac_result result = run(&layer, set, true);
        double ours = (double)count(&result, "macs") / (64.0 * (double)result.cycles);
        assert_true(fabs(ours - balance[i]) <= 0.00005);
        lac_result_release(&result);
    }
    for (int i = 0; i < 10; i++) {
        int pe = 1 << i;
        snprintf(set, sizeof set, "bias=1,pe=%d", pe);
        lac_result result = run(&layer, set, true);
        assert_int_equal(result.cycles, cycles[i]);
        assert_int_equal(count(&result, "pad"), pads[i]);
        double ours = (double)count(&result, "macs") / (pe * (double)result.cycles);
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
    lac_result result = run(&layer, "bias=1,acc16=1", false);
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
    lac_params_init(&params, eie->params);
    if (real)
        *strstr(path, "/eie_fc8") = 0;
    if (eie->reproduce(&params, real ? path : NULL, see_row, &seen, &err) != LAC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(seen.times, 9);
    assert_int_equal(seen.real, real);
    assert_int_equal(seen.peak, 1);
    assert_int_equal(seen.power, 3);
    golden_free(&table);
}

/* ---- captured layers ---------------------------------------------------------------------------
 */

/* A 1x1 convolution gives the same numbers, in plain order, from channels-last activations. */
static void test_channels_last(void **state)
{
    (void)state;
    const char *text = "conv:c=20,h=3,w=5,k=30,r=1,s=1,stride=1,pad=0,groups=1,batch=2";
    lac_layer layer = golden_layer(text, "0.3", "0.4", 5);
    lac_result plain = run(&layer, "pe=7", false);
    int8_t *a = layer.operand[LAC_ROLE_ACTIVATIONS].tensor.data, turned[2 * 20 * 15];
    for (int b = 0; b < 2; b++)
        for (int c = 0; c < 20; c++)
            for (int p = 0; p < 15; p++)
                turned[(b * 15 + p) * 20 + c] = a[(b * 20 + c) * 15 + p];
    memcpy(a, turned, sizeof turned);
    layer.channels_last = true;
    lac_result last = run(&layer, "pe=7", false);
    assert_int_equal(last.cycles, plain.cycles);
    assert_true(last.exact && plain.exact);
    assert_memory_equal(last.output.data, plain.output.data, lac_tensor_bytes(&plain.output));
    lac_result_release(&plain);
    lac_result_release(&last);
    lac_layer_release(&layer);
}

/* Captured weights with at most 15 values keep them: the plain integer reference. Packed ones too.
 */
static void test_own_codebook(void **state)
{
    (void)state;
    lac_layer layer = golden_layer("gemm:m=3,n=40,k=50", "0.3", "0.5", 6);
    lac_operand *w = &layer.operand[LAC_ROLE_WEIGHTS];
    int8_t *weight = w->tensor.data;
    float scale = 0.25f;
    lac_error err = {0};
    for (int i = 0; i < 40 * 50; i++)
        weight[i] = (int8_t)(weight[i] % 8); /* -7..7 */
    w->scale = &scale;
    w->scale_count = 1;
    lac_tensor reference;
    assert_int_equal(layer.kind->reference(&layer, &reference, &err), LAC_OK);
    lac_result result = run(&layer, "pe=8", false);
    assert_true(result.exact);
    assert_int_equal(count(&result, "linear_codebook"), 0);
    assert_memory_equal(result.output.data, reference.data, lac_tensor_bytes(&reference));
    assert_int_equal(result.macs, 3 * 40 * 50);

    const lac_format *format;
    lac_params params;
    lac_packed packed;
    lac_tensor kept = w->tensor;
    assert_int_equal(lac_format_parse("eie-csc:pe=3", &format, &params, &err), LAC_OK);
    assert_int_equal(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &kept, &err), LAC_OK);
    memset(&w->tensor, 0, sizeof w->tensor);
    w->packed = &packed;
    lac_result again = run(&layer, "pe=8", false);
    assert_int_equal(again.cycles, result.cycles);
    assert_memory_equal(again.output.data, reference.data, lac_tensor_bytes(&reference));
    w->packed = NULL;
    w->tensor = kept;
    lac_packed_release(&packed);
    lac_result_release(&again);
    lac_result_release(&result);
    lac_tensor_release(&reference);

    weight[0] = 100; /* the sixteenth value: shared by the linear codebook */
    weight[1] = 99;
    lac_result linear = run(&layer, "pe=8", false);
    assert_true(linear.exact);
    assert_int_equal(count(&linear, "linear_codebook"), 1);
    lac_result_release(&linear);

    int8_t turned[50 * 40]; /* stored [k][n] */
    for (int i = 0; i < 40; i++)
        for (int j = 0; j < 50; j++)
            turned[j * 40 + i] = weight[i * 50 + j];
    lac_result straight = run(&layer, "pe=5", false);
    memcpy(weight, turned, sizeof turned);
    w->transposed = true;
    w->tensor.dims[0] = 50;
    w->tensor.dims[1] = 40;
    lac_result crossed = run(&layer, "pe=5", false);
    assert_int_equal(crossed.cycles, straight.cycles);
    assert_memory_equal(crossed.output.data, straight.output.data, 3 * 40 * sizeof(int32_t));
    lac_result_release(&straight);
    lac_result_release(&crossed);
    lac_layer_release(&layer);
}

static void check_host(const char *text, const char *reason)
{
    lac_layer layer;
    lac_params params;
    lac_error err = {0};
    char why[256] = "";
    assert_int_equal(lac_layer_parse(&layer, text, &err), LAC_OK);
    lac_params_init(&params, eie->params);
    assert_false(eie->supports(&layer, &params, why, sizeof why));
    if (!strstr(why, reason))
        fail_msg("%s: '%s' does not say '%s'", text, why, reason);
    lac_layer_release(&layer);
}

static void test_host_layers(void **state)
{
    (void)state;
    check_host("conv:c=4,h=8,w=8,k=4,r=3,s=3,stride=1,pad=1,groups=1,batch=1", "3x3 convolution");
    check_host("conv:c=4,h=8,w=8,k=4,r=1,s=1,stride=2,pad=0,groups=1,batch=1", "stride");
    check_host("conv:c=4,h=8,w=8,k=4,r=1,s=1,stride=1,pad=1,groups=1,batch=1", "padding");
    check_host("conv:c=4,h=8,w=8,k=4,r=1,s=1,stride=1,pad=0,groups=4,batch=1", "groups");
    check_host("attention:heads=2,tokens=8,dim=4", "attention: no dataflow");
    check_host("spmm:rows=10,cols=10,n=4,avg=2", "spmm: no dataflow");
}

static void check_refused(const lac_layer *layer, const char *set, const char *reason)
{
    lac_params params;
    lac_result result;
    lac_error err = {0};
    lac_params_init(&params, eie->params);
    lac_status status = lac_params_parse(&params, set, &err);
    if (status == LAC_OK)
        status = lac_simulate(eie, layer, &params, NULL, &result, &err);
    assert_int_equal(status, LAC_ERROR_INPUT);
    if (!strstr(err.message, reason))
        fail_msg("%s: '%s' does not say '%s'", set, err.message, reason);
}

static void test_refusals(void **state)
{
    (void)state;
    lac_layer layer = golden_layer("fc:in=20,out=24,batch=1", "0.5", "0.5", 1);
    check_refused(&layer, "pe=0", "pe");
    check_refused(&layer, "fifo=1", "fifo");
    check_refused(&layer, "jump=12", "power of two");
    check_refused(&layer, "unit=0", "unit");
    check_refused(&layer, "nothing=1", "nothing");
    float scale = 1;
    layer.operand[LAC_ROLE_WEIGHTS].scale = &scale;
    layer.operand[LAC_ROLE_WEIGHTS].scale_count = 1;
    check_refused(&layer, "bias=1", "biases");
    lac_tensor_release(&layer.operand[LAC_ROLE_ACTIVATIONS].tensor);
    check_refused(&layer, "", "activations are not given");
    lac_layer_release(&layer);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    lac_layer layer = golden_layer("fc:in=20,out=24,batch=3", "0.5", "0.5", 1);
    lac_params params;
    int failed = 0;
    lac_params_init(&params, eie->params);
    for (int64_t n = 0; n < 200; n++) {
        lac_result result;
        lac_error err;
        lac_alloc_fail_after(n);
        lac_status status = lac_simulate(eie, &layer, &params, NULL, &result, &err);
        lac_alloc_fail_after(-1);
        if (status == LAC_OK) {
            lac_result_release(&result);
            break;
        }
        assert_int_equal(status, LAC_ERROR_MEMORY);
        failed++;
    }
    assert_in_range(failed, 10, 190);
    lac_layer_release(&layer);
}

/* Power times time; the parts add up to 9.157 mW per PE and 0.023 mW per LNZD node. */
static void test_energy(void **state)
{
    (void)state;
    lac_layer layer = golden_layer("fc:in=64,out=64,batch=1", "0.5", "0.5", 1);
    lac_result result = run(&layer, "", true);
    double microseconds = (double)result.cycles / 800;
    assert_true(fabs(lac_result_energy_pj(&result) - microseconds * 586.531 * 1000) < 1e-3);
    assert_true(fabs(lac_eie_power_mw(64) - 586.531) < 1e-9);
    assert_true(fabs(lac_eie_power_mw(1) - 9.157) < 1e-9);
    assert_int_equal(result.multipliers, 64);
    assert_int_equal(result.dram_bytes, 0);
    lac_result_release(&result);
    lac_layer_release(&layer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_synthetic_table), cmocka_unit_test(test_copy_equals_the_dossier),
        cmocka_unit_test(test_fifo_and_unit),   cmocka_unit_test(test_closed_form),
        cmocka_unit_test(test_stepper),         cmocka_unit_test(test_compat),
        cmocka_unit_test(test_fc8_table),       cmocka_unit_test(test_fc8_sweeps),
        cmocka_unit_test(test_fc8_coding),      cmocka_unit_test(test_fc8_fixed_point),
        cmocka_unit_test(test_reproduce),       cmocka_unit_test(test_channels_last),
        cmocka_unit_test(test_own_codebook),    cmocka_unit_test(test_host_layers),
        cmocka_unit_test(test_refusals),        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_energy),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
