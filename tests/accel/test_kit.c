/* The accelerator kit: identities, energy, counting, products, and what lac_simulate refuses. */
#include <lacuna/accel.h>
#include <lacuna/format.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "accel/kit/count.h"
#include "accel/kit/energy.h"
#include "accel/kit/identity.h"
#include "accel/kit/product.h"
#include "core/memory.h"
#include "core/random.h"
#include "helpers/golden.h"

static lac_error err;
static lac_random dice;

static int between(int from, int to)
{
    return from + (int)(lac_random_next(&dice) % (uint64_t)(to - from + 1));
}

static void test_identities(void **state)
{
    (void)state;
    lac_result result = {.cycles = 100, .macs = 30};
    static const lac_param schema[] = {
        {.name = "pe", .type = LAC_PARAM_INT, .initial = 4, .min = 1, .max = 8}, {.name = NULL}};
    lac_params params;
    lac_params_init(&params, schema);
    lac_result_count(&result, "busy", 60);
    lac_result_stall(&result, "wait_1", 40);
    static const struct {
        const char *text;
        lac_status status;
        const char *words;
    } cases[] = {{"busy + wait_1 = cycles", LAC_OK, ""},
                 {"", LAC_OK, ""},
                 {"busy + wait_1 = cycles\n\n  \nmacs <= busy\nbusy >= macs", LAC_OK, ""},
                 {"pe * (cycles - busy) - 2*3*10 = 100", LAC_OK, ""},
                 {"10 - 5 - 5 = 0", LAC_OK, ""},
                 {"cycles = busy\nbusy = busy", LAC_ERROR_INTERNAL, "100 and 60"},
                 {"busy + wait_1 = cycles\ncycles = busy", LAC_ERROR_INTERNAL, "'cycles = busy'"},
                 {"busy <= macs", LAC_ERROR_INTERNAL, "60 and 30"},
                 {"idle = 0", LAC_ERROR_INTERNAL, "'idle' is no counter"},
                 {"busy + = cycles", LAC_ERROR_INTERNAL, "a word is missing"},
                 {"busy", LAC_ERROR_INTERNAL, "no ="},
                 {"(busy = 60", LAC_ERROR_INTERNAL, ") is missing"},
                 {"busy = 60 60", LAC_ERROR_INTERNAL, "left over"},
                 {"cycles * 9223372036854775807 = 0", LAC_ERROR_INTERNAL, "leaves int64"},
                 {"cycles + 9223372036854775807 = 0", LAC_ERROR_INTERNAL, "leaves int64"},
                 {"99999999999999999999 = 0", LAC_ERROR_INTERNAL, "too large"},
                 {"((((((((((((((((((1)))))))))))))))))) = 1", LAC_ERROR_INTERNAL, "too deep"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        err.message[0] = '\0';
        if (lac_identity_check(cases[i].text, &result, &params, &err) != cases[i].status ||
            !strstr(err.message, cases[i].words))
            fail_msg("%s: %s", cases[i].text, err.message);
    }
    assert_int_equal(lac_result_get(&result, "wait_1"), 40); /* a stall is a counter too */
    assert_true(lac_result_get(&result, "idle") == INT64_MIN);
}

static void test_energy(void **state)
{
    (void)state;
    /* per 64 bits: the values of the metrics dossier */
    static const double points[][2] = {{4, 10},      {8, 10},       {16, 14.142}, {32, 20},
                                       {64, 27.116}, {256, 51.411}, {1024, 100},  {2048, 100}};
    for (size_t i = 0; i < sizeof points / sizeof *points; i++)
        assert_true(fabs(lac_sram_pj_per_byte(points[i][0]) * 8 - points[i][1]) < 0.0005);
    lac_result result = {0};
    lac_result_energy(&result, "mac", 2, "x");
    lac_result_energy(&result, "dram", 3.5, "x");
    assert_true(lac_result_energy_pj(&result) == 5.5);
}

static void fill(lac_operand *operand, lac_dtype dtype)
{
    lac_tensor tensor;
    assert_int_equal(
        lac_tensor_make(&tensor, dtype, operand->tensor.rank, operand->tensor.dims, &err), LAC_OK);
    int64_t low = dtype == LAC_I8 ? -128 : dtype == LAC_U8 ? 0 : -300;
    for (int64_t i = 0; i < lac_tensor_count(&tensor); i++)
        lac_tensor_set(&tensor, i, between(0, 2) ? (double)(low + between(0, 255)) : 0);
    lac_tensor_release(&operand->tensor);
    operand->tensor = tensor;
}

static int64_t brute_effectual(const lac_layer *layer)
{
    int64_t total = 0;
    for (int64_t p = 0; p < layer->kind->gemm_count(layer); p++) {
        lac_layer gemm;
        assert_int_equal(layer->kind->gemm(layer, p, &gemm, &err), LAC_OK);
        const lac_tensor *a = &gemm.operand[LAC_ROLE_ACTIVATIONS].tensor;
        const lac_tensor *w = &gemm.operand[LAC_ROLE_WEIGHTS].tensor;
        int64_t k = a->dims[1];
        for (int64_t m = 0; m < a->dims[0]; m++)
            for (int64_t n = 0; n < w->dims[0]; n++)
                for (int64_t i = 0; i < k; i++)
                    total += lac_tensor_get(a, m * k + i) != 0 && lac_tensor_get(w, n * k + i) != 0;
        lac_layer_release(&gemm);
    }
    return total;
}

static int64_t nonzeros(const lac_tensor *tensor)
{
    int64_t total = 0;
    for (int64_t i = 0; i < lac_tensor_count(tensor); i++)
        total += lac_tensor_get(tensor, i) != 0;
    return total;
}

/* Counts and products of random layers against loops and references, every element type. */
static void test_counts_and_products(void **state)
{
    (void)state;
    for (int round = 0; round < 150; round++) {
        char text[256];
        int groups = between(1, 3);
        switch (round % 5) {
        case 0:
            snprintf(text, sizeof text, "gemm:m=%d,n=%d,k=%d,batch=%d", between(1, 20),
                     between(1, 20), between(1, 90), between(1, 3));
            break;
        case 1:
            snprintf(text, sizeof text, "fc:in=%d,out=%d,batch=%d", between(1, 90), between(1, 40),
                     between(1, 600));
            break;
        case 2:
            snprintf(text, sizeof text, "lstm:in=%d,hidden=%d,steps=%d", between(1, 30),
                     between(1, 20), between(1, 4));
            break;
        case 3:
            snprintf(text, sizeof text, "attention:heads=%d,tokens=%d,dim=%d,kv_tokens=%d",
                     between(1, 3), between(1, 20), between(1, 20), between(1, 20));
            break;
        default:
            snprintf(text, sizeof text,
                     "conv:c=%d,h=%d,w=%d,k=%d,r=%d,s=%d,stride_h=%d,stride_w=%d,pad_top=%d,"
                     "pad_left=%d,pad_bottom=%d,pad_right=%d,dilation_h=%d,groups=%d,batch=%d",
                     groups * between(1, 4), between(5, 20), between(4, 20), groups * between(1, 4),
                     between(1, 3), between(1, 4), between(1, 3), between(1, 3), between(0, 3),
                     between(0, 3), between(0, 3), between(0, 3), between(1, 2), groups,
                     between(1, 2));
        }
        bool attention = round % 5 == 3;
        lac_layer layer =
            golden_layer(text, attention ? "-" : "0.5", attention ? "-" : "0.5", (uint64_t)round);
        if (!attention) {
            static const lac_dtype types[] = {LAC_I8, LAC_U8, LAC_I16};
            fill(&layer.operand[LAC_ROLE_ACTIVATIONS], types[round / 5 % 3]);
            fill(&layer.operand[LAC_ROLE_WEIGHTS], LAC_I8);
        }
        lac_effectual effectual;
        lac_tensor output, reference;
        assert_int_equal(lac_count_effectual(&layer, &effectual, &err), LAC_OK);
        assert_int_equal(effectual.macs, brute_effectual(&layer));
        if (round % 5 == 4) {
            assert_int_equal(effectual.nnz_a,
                             nonzeros(&layer.operand[LAC_ROLE_ACTIVATIONS].tensor));
            assert_int_equal(effectual.nnz_w, nonzeros(&layer.operand[LAC_ROLE_WEIGHTS].tensor));
        }
        assert_int_equal(lac_product_output(&layer, &output, &err), LAC_OK);
        assert_int_equal(layer.kind->reference(&layer, &reference, &err), LAC_OK);
        assert_int_equal(lac_tensor_bytes(&output), lac_tensor_bytes(&reference));
        assert_memory_equal(output.data, reference.data, lac_tensor_bytes(&output));
        lac_tensor_release(&output);
        lac_tensor_release(&reference);
        lac_layer_release(&layer);
    }
}

static void test_deep_products_are_checked(void **state)
{
    (void)state;
    lac_layer layer = golden_layer("gemm:m=2,n=2,k=70000", "-", "-", 1);
    lac_tensor *a = &layer.operand[LAC_ROLE_ACTIVATIONS].tensor, output;
    assert_int_equal(lac_product_output(&layer, &output, &err), LAC_OK); /* random signs cancel */
    lac_tensor_release(&output);
    memset(layer.operand[LAC_ROLE_WEIGHTS].tensor.data, 127, 140000);
    a->dtype = LAC_U8;
    memset(a->data, 255, 140000);
    assert_int_equal(lac_product_output(&layer, &output, &err), LAC_ERROR_INPUT);
    lac_layer_release(&layer);
}

/* ---- rows made to misbehave ---- */

static bool yes(const lac_layer *layer, const lac_params *params, char *why, size_t why_size)
{
    (void)layer, (void)params, (void)why, (void)why_size;
    return true;
}

static bool no(const lac_layer *layer, const lac_params *params, char *why, size_t why_size)
{
    (void)layer, (void)params;
    snprintf(why, why_size, "no dataflow in the paper");
    return false;
}

static lac_status lying(const lac_layer *layer, const lac_params *params,
                        const lac_sim_options *options, lac_result *result, lac_error *error)
{
    (void)params, (void)options;
    result->cycles = 5;
    lac_result_count(result, "busy", 4);
    return lac_product_output(layer, &result->output, error);
}

static lac_status talkative(const lac_layer *layer, const lac_params *params,
                            const lac_sim_options *options, lac_result *result, lac_error *error)
{
    (void)layer, (void)params, (void)options, (void)error;
    for (int i = 0; i <= LAC_MAX_COUNTERS; i++)
        lac_result_count(result, "x", 1);
    return LAC_OK;
}

/* Echoes the weights it is given. */
static lac_status echo(const lac_layer *layer, const lac_params *params,
                       const lac_sim_options *options, lac_result *result, lac_error *error)
{
    (void)params, (void)options;
    assert_false(layer->operand[LAC_ROLE_WEIGHTS].transposed || layer->channels_last);
    return lac_tensor_copy(&result->output, &layer->operand[LAC_ROLE_WEIGHTS].tensor, error);
}

static const lac_param nothing[] = {{.name = NULL}};

static void test_simulate_checks_its_rows(void **state)
{
    (void)state;
    lac_layer layer = golden_layer("gemm:m=3,n=4,k=5", "-", "-", 1);
    lac_result result;
    lac_accel accel = {.row = LAC_ROW(lac_accel, "fake", "for this test"),
                       .params = nothing,
                       .identity = "busy = cycles",
                       .supports = no,
                       .simulate = lying};
    assert_int_equal(lac_simulate(&accel, &layer, NULL, NULL, &result, &err),
                     LAC_ERROR_UNSUPPORTED);
    assert_string_equal(err.message, "no dataflow in the paper");
    accel.supports = yes;
    assert_int_equal(lac_simulate(&accel, &layer, NULL, NULL, &result, &err), LAC_ERROR_INTERNAL);
    assert_non_null(strstr(err.message, "fake, gemm:m=3,n=4,k=5: identity 'busy = cycles'"));
    assert_null(result.output.data);
    accel.identity = "busy + 1 = cycles";
    assert_int_equal(lac_simulate(&accel, &layer, NULL, NULL, &result, &err), LAC_OK);
    uint64_t sum, weighted;
    lac_checksum(&result.output, &sum, &weighted);
    assert_true(result.has_output && result.sum == sum && result.weighted == weighted);
    lac_result_release(&result);
    accel.identity = NULL;
    accel.simulate = talkative;
    assert_int_equal(lac_simulate(&accel, &layer, NULL, NULL, &result, &err), LAC_ERROR_INTERNAL);
    lac_layer_release(&layer);
}

/* A transposed weight arrives plain, a packed one unpacked. */
static void test_simulate_prepares_operands(void **state)
{
    (void)state;
    lac_layer layer = golden_layer("gemm:m=3,n=4,k=8", "2:4", "-", 1);
    lac_operand *w = &layer.operand[LAC_ROLE_WEIGHTS];
    lac_accel accel = {.row = LAC_ROW(lac_accel, "echo", "for this test"),
                       .params = nothing,
                       .supports = yes,
                       .simulate = echo};
    lac_tensor kept = w->tensor, columns;
    lac_result result;
    lac_packed packed;
    const lac_format *format;
    lac_params params;
    assert_int_equal(lac_tensor_make(&columns, LAC_I8, 2, (int64_t[]){8, 4}, &err), LAC_OK);
    for (int n = 0; n < 4; n++)
        for (int k = 0; k < 8; k++)
            ((int8_t *)columns.data)[k * 4 + n] = ((int8_t *)kept.data)[n * 8 + k];
    w->tensor = columns;
    w->transposed = true;
    assert_int_equal(lac_simulate(&accel, &layer, NULL, NULL, &result, &err), LAC_OK);
    assert_memory_equal(result.output.data, kept.data, 32);
    lac_result_release(&result);
    lac_tensor_release(&w->tensor);
    w->transposed = false;
    assert_int_equal(lac_format_parse("nm:n=2,m=4", &format, &params, &err), LAC_OK);
    assert_int_equal(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &kept, &err), LAC_OK);
    w->packed = &packed;
    if (lac_simulate(&accel, &layer, NULL, NULL, &result, &err) != LAC_OK)
        fail_msg("%s", err.message);
    assert_memory_equal(result.output.data, kept.data, 32);
    lac_result_release(&result);
    lac_packed_release(&packed);
    lac_tensor_release(&kept);
    lac_layer_release(&layer);
}

static void test_no_leak_when_memory_is_short(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "gemm:m=3,n=4,k=5,batch=2", "fc:in=4,out=3", "conv:c=2,h=4,w=4,k=2,r=3,s=3,pad=1,groups=2",
        "attention:heads=2,tokens=5,dim=4", "lstm:in=3,hidden=2,steps=2"};
    const lac_accel *accel = (const lac_accel *)lac_table_find(&lac_accels, "systolic");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lac_layer layer = golden_layer(texts[i], "-", "-", 1);
        lac_status status = LAC_ERROR_MEMORY;
        for (int64_t n = 0; n < 400 && status == LAC_ERROR_MEMORY; n++) {
            lac_result result;
            lac_alloc_fail_after(n);
            status = lac_simulate(accel, &layer, NULL, NULL, &result, &err);
            lac_alloc_fail_after(-1);
            if (status == LAC_OK)
                lac_result_release(&result);
        }
        assert_int_equal(status, LAC_OK);
        lac_layer_release(&layer);
    }
}

int main(void)
{
    dice = lac_random_stream(45, 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_identities),
                                       cmocka_unit_test(test_energy),
                                       cmocka_unit_test(test_counts_and_products),
                                       cmocka_unit_test(test_deep_products_are_checked),
                                       cmocka_unit_test(test_simulate_checks_its_rows),
                                       cmocka_unit_test(test_simulate_prepares_operands),
                                       cmocka_unit_test(test_no_leak_when_memory_is_short)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
