/* EIE against the dossier eie.md: golden tables 5.1, 5.2 and 6.1 in every column, the
 * register-level stepper, fixed point, the quirk of the public simulator, what it refuses. */
#include "accel/eie/reproduce.h"
#include "core/memory.h"
#include "core/random.h"
#include "format/eie_csc.h"
#include "helpers/eie_layers.h"
#include "helpers/eie_run.h"
#include "helpers/eie_stepper.h"

#include <lacuna/accel.h>
#include <lacuna/format.h>
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
        lac_result result = eie_run(&layer, set, false);
        eie_check_row(&table, row, &result, eie_pe_of(set));
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
            lac_result result = eie_run(&layer, set[0] == '-' ? set + 2 : set, true);
            assert_true(result.cycles <= before);
            before = result.cycles;
            lac_result_release(&result);
        }
        lac_result first = eie_run(&layer, golden_cell(&table, row, "set"), true);
        for (int unit = 1; unit <= 64; unit *= 4) {
            char set[256];
            snprintf(set, sizeof set, "%s,unit=%d", golden_cell(&table, row, "set"), unit);
            lac_result result = eie_run(&layer, set[0] == '-' ? set + 2 : set, true);
            assert_int_equal(result.cycles, first.cycles);
            for (size_t i = 0; i < sizeof same / sizeof *same; i++)
                assert_int_equal(lac_result_get(&result, same[i]), lac_result_get(&first, same[i]));
            assert_true(lac_result_get(&result, "spm_reads") <= reads);
            reads = lac_result_get(&result, "spm_reads");
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
                lac_result result = eie_run(&layer, set, true);
                int64_t one = in * r + 8;
                assert_int_equal(result.cycles, 2 * (one > 9 ? one : 9));
                assert_int_equal(lac_result_get(&result, "pad"), 0);
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
    lac_result result = eie_run(&layer, set, false);

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
    assert_int_equal(steps.acts, lac_result_get(&result, "acts"));
    assert_int_equal(steps.macs, lac_result_get(&result, "macs"));
    assert_int_equal(steps.pad, lac_result_get(&result, "pad"));
    assert_int_equal(steps.empty_col, lac_result_get(&result, "empty_col"));
    assert_int_equal(steps.blocked, lac_result_get(&result, "blocked"));
    assert_int_equal(steps.spm_reads, lac_result_get(&result, "spm_reads"));
    assert_int_equal(steps.ptr_reads, lac_result_get(&result, "ptr_reads"));
    assert_int_equal(csc.entries, lac_result_get(&result, "entries"));
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
        lac_result result = eie_run(&layer, cases[i].set, false);
        assert_int_equal(result.cycles, cases[i].cycles);
        assert_true(result.exact);
        lac_result_release(&result);
        lac_layer_release(&layer);
    }
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
    lac_result plain = eie_run(&layer, "pe=7", false);
    int8_t *a = layer.operand[LAC_ROLE_ACTIVATIONS].tensor.data, turned[2 * 20 * 15];
    for (int b = 0; b < 2; b++)
        for (int c = 0; c < 20; c++)
            for (int p = 0; p < 15; p++)
                turned[(b * 15 + p) * 20 + c] = a[(b * 20 + c) * 15 + p];
    memcpy(a, turned, sizeof turned);
    layer.channels_last = true;
    lac_result last = eie_run(&layer, "pe=7", false);
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
    lac_result result = eie_run(&layer, "pe=8", false);
    assert_true(result.exact);
    assert_int_equal(lac_result_get(&result, "linear_codebook"), 0);
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
    lac_result again = eie_run(&layer, "pe=8", false);
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
    lac_result linear = eie_run(&layer, "pe=8", false);
    assert_true(linear.exact);
    assert_int_equal(lac_result_get(&linear, "linear_codebook"), 1);
    lac_result_release(&linear);

    int8_t turned[50 * 40]; /* stored [k][n] */
    for (int i = 0; i < 40; i++)
        for (int j = 0; j < 50; j++)
            turned[j * 40 + i] = weight[i * 50 + j];
    lac_result straight = eie_run(&layer, "pe=5", false);
    memcpy(weight, turned, sizeof turned);
    w->transposed = true;
    w->tensor.dims[0] = 50;
    w->tensor.dims[1] = 40;
    lac_result crossed = eie_run(&layer, "pe=5", false);
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
    lac_params_init(&params, eie_row()->params);
    assert_false(eie_row()->supports(&layer, &params, why, sizeof why));
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
    lac_params_init(&params, eie_row()->params);
    lac_status status = lac_params_parse(&params, set, &err);
    if (status == LAC_OK)
        status = lac_simulate(eie_row(), layer, &params, NULL, &result, &err);
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
    lac_params_init(&params, eie_row()->params);
    for (int64_t n = 0; n < 200; n++) {
        lac_result result;
        lac_error err;
        lac_alloc_fail_after(n);
        lac_status status = lac_simulate(eie_row(), &layer, &params, NULL, &result, &err);
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
    lac_result result = eie_run(&layer, "", true);
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
        cmocka_unit_test(test_synthetic_table),
        cmocka_unit_test(test_copy_equals_the_dossier),
        cmocka_unit_test(test_fifo_and_unit),
        cmocka_unit_test(test_closed_form),
        cmocka_unit_test(test_stepper),
        cmocka_unit_test(test_compat),
        cmocka_unit_test(test_channels_last),
        cmocka_unit_test(test_own_codebook),
        cmocka_unit_test(test_host_layers),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_energy),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
