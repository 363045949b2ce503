/* The sta row against its dossier: every column of the golden tables 4.8 and 5.1 to 5.5. */
#include <lacuna/accel.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "helpers/golden.h"
#include "helpers/sta.h"

static char *dossier;

static int load(void **state)
{
    (void)state;
    dossier = golden_system("sta");
    return dossier ? 0 : -1;
}

static int unload(void **state)
{
    (void)state;
    free(dossier);
    return 0;
}

/* Columns that are no counters, or are read elsewhere. */
static bool skipped(const char *column)
{
    static const char *const words[] = {"#", "layer", "wd", "ad", "set", "max_prob_err"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(column, words[i]) == 0)
            return true;
    return false;
}

static uint64_t value_of(const lac_result *result, const char *column)
{
    if (strcmp(column, "cycles") == 0)
        return (uint64_t)result->cycles;
    if (strcmp(column, "sum") == 0)
        return result->sum;
    if (strcmp(column, "checksum") == 0)
        return result->weighted;
    if (strcmp(column, "macs_effectual") == 0)
        return (uint64_t)result->effectual_macs;
    if (strcmp(column, "macs_dense") == 0)
        return (uint64_t)result->macs;
    int64_t value = lac_result_get(result, column);
    if (value == INT64_MIN) { /* only attention has no such unit */
        assert_string_equal(column, "layernorm_elems");
        return 0;
    }
    return (uint64_t)value;
}

static int compare_row(const golden_table *table, int row, const lac_result *result)
{
    int compared = 0;
    for (int c = 0; c < table->columns; c++) {
        const char *column = table->cell[c];
        if (skipped(column))
            continue;
        if (value_of(result, column) != golden_int(table, row, column))
            fail_msg("row %s, %s: %lld, not %s", table->cell[(row + 1) * table->columns], column,
                     (long long)value_of(result, column), golden_cell(table, row, column));
        compared++;
    }
    return compared;
}

static double pj_of_row1;

static void test_gemm_rows(void **state)
{
    (void)state;
    golden_table shape = golden_find(dossier, "5.1", 0), counts = golden_find(dossier, "5.1", 1);
    assert_int_equal(shape.rows, 25);
    assert_int_equal(counts.rows, 25);
    for (int r = 0; r < shape.rows; r++) {
        lac_layer layer =
            golden_layer(golden_cell(&shape, r, "layer"), golden_cell(&shape, r, "wd"),
                         golden_cell(&shape, r, "ad"), 1);
        lac_result result = sta_run(&layer, golden_cell(&shape, r, "set"), NULL);
        assert_string_equal(golden_cell(&shape, r, "#"), golden_cell(&counts, r, "#"));
        assert_true(result.exact);
        assert_int_equal(lac_result_get(&result, "dep_stall"), 0);
        assert_int_equal(compare_row(&shape, r, &result), 7);
        assert_int_equal(compare_row(&counts, r, &result), 10);
        if (r == 0)
            pj_of_row1 = lac_result_energy_pj(&result);
        lac_result_release(&result);
        lac_layer_release(&layer);
    }
    assert_int_equal((int64_t)(pj_of_row1 * 1000 + 0.5), INT64_C(138679910400)); /* 4.8, fJ */
    golden_free(&shape);
    golden_free(&counts);
}

static void test_attention_rows(void **state)
{
    (void)state;
    golden_table table = golden_find(dossier, "5.2", 0);
    assert_int_equal(table.rows, 6);
    for (int r = 0; r < table.rows; r++) {
        lac_layer layer = golden_layer(golden_cell(&table, r, "layer"), NULL, NULL, 1);
        lac_result result = sta_run(&layer, golden_cell(&table, r, "set"), NULL);
        assert_true(result.exact);
        assert_int_equal(compare_row(&table, r, &result), 12);
        double error = (double)lac_result_get(&result, "max_prob_err_ppm") * 1e-6;
        if (error > 0.005 || fabs(error - golden_real(&table, r, "max_prob_err")) > 0.0001)
            fail_msg("row %d: max_prob_err %f", r, error);
        lac_result_release(&result);
        lac_layer_release(&layer);
    }
    golden_free(&table);
}

static void check_tensors(const lac_result *result)
{
    golden_table table = golden_find(dossier, "5.3", 2);
    assert_int_equal(table.rows, 9);
    assert_int_equal(result->n_tensors, 9);
    for (int r = 0; r < table.rows; r++) {
        uint64_t sum, weighted;
        assert_string_equal(result->tensor[r].name, golden_cell(&table, r, "tensor of case E3"));
        lac_checksum(&result->tensor[r].tensor, &sum, &weighted);
        if (sum != golden_int(&table, r, "sum") || weighted != golden_int(&table, r, "checksum"))
            fail_msg("tensor %s of E3 differs", result->tensor[r].name);
    }
    golden_free(&table);
}

static void test_encoder_rows(void **state)
{
    (void)state;
    golden_table stalls = golden_find(dossier, "5.3", 0), phases = golden_find(dossier, "5.3", 1);
    golden_table events = golden_find(dossier, "4.8", 0);
    int seen = 0;
    assert_int_equal(stalls.rows, 8);
    assert_int_equal(phases.rows, 8);
    for (int r = 0; r < stalls.rows; r++) {
        const char *name = golden_cell(&stalls, r, "#");
        lac_layer layer =
            golden_layer(golden_cell(&stalls, r, "layer"), golden_cell(&stalls, r, "wd"), NULL, 1);
        lac_sim_options options = {.keep_tensors = strcmp(name, "E3") == 0};
        lac_result result = sta_run(&layer, golden_cell(&stalls, r, "set"), &options);
        assert_true(result.exact);
        assert_string_equal(name, golden_cell(&phases, r, "#"));
        assert_int_equal(compare_row(&stalls, r, &result), 8);
        assert_int_equal(compare_row(&phases, r, &result), 11);
        if (golden_row(&events, "layer", name) >= 0) {
            assert_int_equal(compare_row(&events, golden_row(&events, "layer", name), &result), 8);
            seen++;
        }
        if (options.keep_tensors)
            check_tensors(&result);
        else
            assert_int_equal(result.n_tensors, 0);
        lac_result_release(&result);
        lac_layer_release(&layer);
    }
    assert_int_equal(seen, 2);
    golden_free(&stalls);
    golden_free(&phases);
    golden_free(&events);
}

static void test_event_counts_of_attention(void **state)
{
    (void)state;
    golden_table events = golden_find(dossier, "4.8", 0), table = golden_find(dossier, "5.2", 0);
    lac_layer layer = golden_layer(golden_cell(&table, 0, "layer"), NULL, NULL, 1);
    lac_result result = sta_run(&layer, "", NULL);
    assert_string_equal(golden_cell(&events, 0, "layer"), "row 1 of 5.2");
    assert_int_equal(compare_row(&events, 0, &result), 8);
    lac_result_release(&result);
    lac_layer_release(&layer);
    golden_free(&events);
    golden_free(&table);
}

static lac_result bert_layer(int tokens, const char *wd)
{
    char text[96];
    snprintf(text, sizeof text, "encoder:tokens=%d,dim=768,heads=12,ffn=3072", tokens);
    return sta_schedule(text, wd, "");
}

static void test_schedule_over_patterns(void **state)
{
    (void)state;
    golden_table table = golden_find(dossier, "5.4", 0);
    lac_result dense = bert_layer(128, "1:1");
    assert_int_equal(table.rows, 11);
    for (int r = 0; r < table.rows; r++) {
        const char *pattern = golden_cell(&table, r, "N:M");
        lac_result result = bert_layer(128, pattern);
        static const char *const columns[][2] = {{"mac", "mac_cycles"}, {"window", "window_stall"},
                                                 {"dep", "dep_stall"},  {"load", "load_stall"},
                                                 {"tail", "tail"},      {"dram_w", "dram_w"}};
        assert_false(result.has_output);
        assert_int_equal(result.cycles, golden_int(&table, r, "cycles"));
        for (size_t c = 0; c < sizeof columns / sizeof *columns; c++)
            if (lac_result_get(&result, columns[c][1]) !=
                (int64_t)golden_int(&table, r, columns[c][0]))
                fail_msg("%s, %s: %lld", pattern, columns[c][0],
                         (long long)lac_result_get(&result, columns[c][1]));
        int n = atoi(pattern), m = atoi(strchr(pattern, ':') + 1);
        double speedup = (double)dense.cycles / (double)result.cycles;
        double ms = (double)result.cycles / (sta_row()->clock_mhz(&sta_defaults()[0]) * 1000);
        assert_true(fabs(speedup - golden_real(&table, r, "speedup over dense")) < 0.00051);
        assert_true(fabs((double)m / n - golden_real(&table, r, "ideal")) < 0.0051);
        assert_true(fabs(ms - golden_real(&table, r, "ms at 200 MHz")) < 0.00051);
    }
    golden_free(&table);
}

static void test_schedule_over_tokens(void **state)
{
    (void)state;
    golden_table table = golden_find(dossier, "5.5", 0);
    assert_int_equal(table.rows, 9);
    for (int r = 0; r < table.rows; r++) {
        int tokens = (int)golden_int(&table, r, "tokens");
        for (int c = 1; c <= 4; c++) {
            lac_result result = bert_layer(tokens, table.cell[c]);
            if ((uint64_t)result.cycles != golden_int(&table, r, table.cell[c]))
                fail_msg("%d tokens, %s: %lld cycles", tokens, table.cell[c],
                         (long long)result.cycles);
        }
        lac_result dense = bert_layer(tokens, "1:1"); /* weights of F1, F2 once per block */
        int64_t once = 4 * 768 * 768 + 2 * 768 * 3072;
        assert_int_equal((lac_result_get(&dense, "dram_w") - once) / (2 * 768 * 3072) + 1,
                         golden_int(&table, r, "FFN blocks"));
    }
    golden_free(&table);
}

/* The checked copy holds what the dossier says. */
static void test_copy(void **state)
{
    (void)state;
    static const struct {
        const char *heading;
        int tables;
    } parts[] = {{"4.8", 1}, {"5.1", 2}, {"5.2", 1}, {"5.3", 3}, {"5.4", 1}, {"5.5", 1}};
    char *copy = golden_read(LACUNA_SOURCE_DIR "/tests/systems/golden/sta.txt");
    assert_non_null(copy);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        for (int t = 0; t < parts[i].tables; t++) {
            golden_table a = golden_find(dossier, parts[i].heading, t);
            golden_table b = golden_find(copy, parts[i].heading, t);
            golden_same(&a, &b);
            golden_free(&a);
            golden_free(&b);
        }
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm_rows),
        cmocka_unit_test(test_attention_rows),
        cmocka_unit_test(test_encoder_rows),
        cmocka_unit_test(test_event_counts_of_attention),
        cmocka_unit_test(test_schedule_over_patterns),
        cmocka_unit_test(test_schedule_over_tokens),
        cmocka_unit_test(test_copy),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
