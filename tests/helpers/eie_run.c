#include "helpers/eie_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

const lac_accel *eie_row(void)
{
    const lac_accel *row = (const lac_accel *)lac_table_find(&lac_accels, "eie");
    assert_non_null(row);
    return row;
}

lac_result eie_run(const lac_layer *layer, const char *set, bool schedule_only)
{
    lac_params params;
    lac_result result;
    lac_error err = {0};
    lac_sim_options options = {.schedule_only = schedule_only};
    lac_params_init(&params, eie_row()->params);
    golden_set(&params, set);
    if (lac_simulate(eie_row(), layer, &params, &options, &result, &err) != LAC_OK)
        fail_msg("%s: %s", layer->name, err.message);
    return result;
}

void eie_check_row(const golden_table *table, int row, const lac_result *result, int64_t pe)
{
    static const char *const names[] = {"nonzeros",  "entries",  "acts",      "macs",
                                        "pad",       "idle",     "empty_col", "blocked",
                                        "spm_reads", "ptr_reads"};
    assert_int_equal(result->cycles, golden_int(table, row, "cycles"));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (lac_result_get(result, names[i]) != (int64_t)golden_int(table, row, names[i]))
            fail_msg("row %d: %s = %lld, the table says %s", row, names[i],
                     (long long)lac_result_get(result, names[i]),
                     golden_cell(table, row, names[i]));
    assert_true(result->exact);
    assert_true(result->sum == golden_int(table, row, "y_sum"));
    assert_true(result->weighted == golden_int(table, row, "y_wsum"));
    assert_int_equal(lac_result_get(result, "macs") + lac_result_get(result, "pad") +
                         lac_result_get(result, "empty_col") + lac_result_get(result, "idle"),
                     pe * result->cycles);
    assert_int_equal(result->effectual_macs, lac_result_get(result, "macs"));
}

int64_t eie_pe_of(const char *set)
{
    const char *at = strstr(set, "pe=");
    return at ? atoll(at + 3) : 64;
}
