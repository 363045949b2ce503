/* Binary codes: the solvers against the golden rows of the dossier, the packed words and products
 * of its LUT-GEMM table, and that rounding to format intq makes a matrix that it takes. */
#include "core/random.h"
#include "format/bcq.h"
#include "format/bcq_solve.h"
#include "format/intq.h"
#include "helpers/golden.h"

#include <lacuna/kernel.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check(lac_status status, const lac_error *err)
{
    if (status != LAC_OK)
        fail_msg("%s", err->message);
}

static double squared_error(const double *w, int count, int planes, const double *scale,
                            const uint8_t *code)
{
    double sum = 0;
    for (int t = 0; t < count; t++) {
        double left = w[t];
        for (int i = 0; i < planes; i++)
            left -= code[t] >> i & 1 ? scale[i] : -scale[i];
        sum += left * left;
    }
    return sum;
}

/* Element t is bit t of the hexadecimal number. */
static const char *compare_plane(const char *text, const uint8_t *code, int count, int plane)
{
    while (!strchr("0123456789abcdef", *text))
        text++;
    int digits = (int)strspn(text, "0123456789abcdef");
    assert_int_equal(digits, (count + 3) / 4);
    for (int t = 0; t < count; t++) {
        char digit[2] = {text[digits - 1 - t / 4], 0};
        assert_int_equal(strtol(digit, NULL, 16) >> t % 4 & 1, code[t] >> plane & 1);
    }
    return text + digits;
}

static void test_golden_solvers(void **state)
{
    (void)state;
    char *text = golden_system("nuqmm");
    assert_non_null(text);
    golden_table table = golden_find(text, "Golden", 0);
    assert_true(table.rows >= 20);
    for (int r = 0; r < table.rows; r++) {
        char layer_text[64];
        int64_t k = (int64_t)golden_int(&table, r, "K");
        int g = (int)golden_int(&table, r, "g"), q = (int)golden_int(&table, r, "q");
        int first = (int)golden_int(&table, r, "group") * g, rounds = -1;
        const char *solver = golden_cell(&table, r, "solver");
        double w[LAC_BCQ_GROUP], scale[LAC_BCQ_PLANES];
        uint8_t code[LAC_BCQ_GROUP];
        snprintf(layer_text, sizeof layer_text, "gemm:m=1,n=1,k=%d", (int)k);
        lac_layer layer = golden_layer(layer_text, NULL, NULL, golden_int(&table, r, "seed"));
        for (int t = 0; t < g; t++)
            w[t] = lac_tensor_get(&layer.operand[LAC_ROLE_WEIGHTS].tensor, first + t) / 128;
        lac_layer_release(&layer);
        lac_bcq_solve(strcmp(solver, "greedy") == 0    ? LAC_BCQ_GREEDY
                      : strcmp(solver, "refined") == 0 ? LAC_BCQ_REFINED
                                                       : LAC_BCQ_ALTERNATING,
                      w, g, q, 15, scale, code, &rounds);
        const char *scales = golden_cell(&table, r, "scales (12 digits)");
        const char *planes = golden_cell(&table, r, "bit planes (hex, bit t = element t)");
        for (int i = 0; i < q; i++) {
            char *end;
            double want = strtod(scales, &end);
            assert_true(fabs(scale[i] - want) <= 1e-10 * want);
            scales = end + strspn(end, ", ");
            planes = compare_plane(planes, code, g, i);
        }
        double error = golden_real(&table, r, "SSE");
        assert_true(fabs(squared_error(w, g, q, scale, code) - error) <= 1e-8 * error);
        assert_int_equal(rounds, golden_int(&table, r, "rounds"));
    }
    golden_free(&table);
    free(text);
}

static void test_alternating_is_no_worse(void **state)
{
    (void)state;
    lac_random random = lac_random_stream(7, 1);
    for (int n = 0; n < 1000; n++) {
        double w[64], greedy[LAC_BCQ_PLANES], better[LAC_BCQ_PLANES], mean = 0;
        uint8_t a[64], b[64];
        int planes = n % LAC_BCQ_PLANES + 1, count = 8 + n % 57;
        for (int t = 0; t < count; t++) {
            w[t] = lac_random_unit(&random) - lac_random_unit(&random);
            mean += fabs(w[t]) / count;
        }
        lac_bcq_solve(LAC_BCQ_GREEDY, w, count, planes, 15, greedy, a, NULL);
        lac_bcq_solve(LAC_BCQ_ALTERNATING, w, count, planes, 15, better, b, NULL);
        assert_true(squared_error(w, count, planes, better, b) <=
                    squared_error(w, count, planes, greedy, a) * (1 + 1e-12) + 1e-30);
        if (planes == 1)
            assert_true(fabs(better[0] - mean) <= 1e-12);
    }
}

static void run(const lac_kernel *kernel, lac_layer *layer, const golden_table *table, int r)
{
    lac_error err = {0};
    void *held;
    uint64_t sum, weighted;
    lac_tensor exact;
    check(kernel->prepare(layer, &held, &err), &err);
    check(kernel->run(layer, held, &err), &err);
    kernel->release(held);
    check(lac_tensor_convert(&exact, LAC_I32, &layer->output, &err), &err);
    lac_checksum(&exact, &sum, &weighted);
    assert_true(sum == golden_int(table, r, "sum y"));
    assert_true(weighted == golden_int(table, r, "wsum y"));
    lac_tensor_release(&exact);
}

static void test_golden_words(void **state)
{
    (void)state;
    char *text = golden_system("nuqmm");
    golden_table table = golden_find(text, "Golden", 2);
    int products = 0;
    uint32_t isa;
    lac_error err = {0};
    check(lac_isa(&isa, &err), &err);
    assert_true(table.rows >= 8);
    for (int r = 0; r < table.rows; r++) {
        int64_t m = (int64_t)golden_int(&table, r, "m"), n = (int64_t)golden_int(&table, r, "n");
        int64_t k = (int64_t)golden_int(&table, r, "k");
        int bits = (int)golden_int(&table, r, "bits"), g = (int)golden_int(&table, r, "g");
        int z = (int)golden_int(&table, r, "z");
        uint64_t seed = golden_int(&table, r, "seed");
        char name[96];
        const lac_format *format;
        lac_params params;
        lac_packed packed;
        lac_tensor zeros;
        snprintf(name, sizeof name, "bcq:planes=%d,group=%d,scale=float32", bits, g);
        check(lac_format_parse(name, &format, &params, &err), &err);
        check(lac_tensor_make(&zeros, LAC_F32, 2, (int64_t[]){n, k}, &err), &err);
        check(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &zeros, &err), &err);
        lac_tensor_release(&zeros);
        uint32_t *plane = packed.field[0].data;
        size_t bytes = lac_tensor_bytes(&packed.field[0]);
        memset(plane, 0, bytes);
        lac_random random = lac_random_stream(seed, LAC_ROLE_WEIGHTS);
        for (int64_t i = 0; i < n * k; i++) {
            (void)lac_random_next(&random);
            lac_bcq_put(plane, bits, n, i / k, i % k,
                        (unsigned)(lac_random_next(&random) >> 40) & ((1u << bits) - 1));
        }
        uint64_t hash = 0xcbf29ce484222325;
        for (size_t i = 0; i < bytes; i++)
            hash = (hash ^ ((const uint8_t *)plane)[i]) * 0x100000001b3;
        assert_true(hash == strtoull(golden_cell(&table, r, "words FNV"), NULL, 16));
        int64_t groups = (k + g - 1) / g;
        for (int64_t i = 0; i < groups * bits * n; i++)
            ((float *)packed.field[2].data)[i] = ldexpf(1, (int)(i / n % bits) - 1);
        for (int64_t i = 0; i < groups * n; i++)
            ((float *)packed.field[3].data)[i] = (float)((1 << bits) - 1) / 2 - (float)z;
        snprintf(name, sizeof name, "gemm:m=%d,n=%d,k=%d", (int)m, (int)n, (int)k);
        lac_layer layer = golden_layer(name, NULL, NULL, seed);
        layer.operand[LAC_ROLE_WEIGHTS].packed = &packed;
        check(lac_tensor_make(&layer.output, LAC_F32, 2, (int64_t[]){m, n}, &err), &err);
        for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
            const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
            if (strcmp(kernel->format, "bcq") == 0 && strcmp(kernel->kind, "gemm") == 0 &&
                kernel->dtype == layer.operand[LAC_ROLE_ACTIVATIONS].tensor.dtype &&
                !(kernel->isa & ~isa) && kernel->can_run(&layer, NULL, 0)) {
                run(kernel, &layer, &table, r);
                products++;
            }
        }
        lac_layer_release(&layer);
        lac_packed_release(&packed);
    }
    assert_true(products >= 5);
    golden_free(&table);
    free(text);
}

static void test_rounded_matrices_pack(void **state)
{
    (void)state;
    lac_random random = lac_random_stream(11, 1);
    for (int n = 0; n < 54; n++) {
        float w[5 * 150];
        double before = 0, error = 0, size = n % 2 ? 1 : 1e-4;
        int bits = 2 + n % 3, group = 32 << n / 3 % 3;
        bool asymmetric = n / 9 % 2;
        char text[64];
        lac_error err = {0};
        const lac_format *format;
        lac_params params;
        lac_packed packed;
        float was[5 * 150];
        for (int i = 0; i < 5 * 150; i++)
            was[i] = w[i] = (float)((lac_random_unit(&random) - 0.4) * size);
        lac_intq_round(w, 5, 150, bits, group, asymmetric);
        for (int i = 0; i < 5 * 150; i++) {
            before += (double)was[i] * (double)was[i];
            error += (double)(w[i] - was[i]) * (double)(w[i] - was[i]);
        }
        static const double most[] = {0.15, 0.05, 0.02};
        assert_true(error < before * most[bits - 2]);
        snprintf(text, sizeof text, "intq:bits=%d,group=%d,zero=%s", bits, group,
                 asymmetric ? "stored" : "middle");
        lac_tensor tensor = lac_tensor_view(LAC_F32, 2, (int64_t[]){5, 150}, w), back;
        check(lac_format_parse(text, &format, &params, &err), &err);
        check(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &tensor, &err), &err);
        check(lac_unpack(&packed, &back, &err), &err);
        for (int i = 0; i < 5 * 150; i++)
            assert_true(((float *)back.data)[i] == w[i]);
        lac_tensor_release(&back);
        lac_packed_release(&packed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_solvers),
        cmocka_unit_test(test_alternating_is_no_worse),
        cmocka_unit_test(test_golden_words),
        cmocka_unit_test(test_rounded_matrices_pack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
