/* Runs of the sta row in tests. */
#include "helpers/sta.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "helpers/golden.h"

static lac_error err;

const lac_accel *sta_row(void)
{
    const lac_accel *accel = (const lac_accel *)lac_table_find(&lac_accels, "sta");
    assert_non_null(accel);
    return accel;
}

const lac_params *sta_defaults(void)
{
    static lac_params params;
    lac_params_init(&params, sta_row()->params);
    return &params;
}

lac_result sta_run(const lac_layer *layer, const char *set, const lac_sim_options *options)
{
    lac_params params = *sta_defaults();
    lac_result result;
    golden_set(&params, set);
    if (lac_simulate(sta_row(), layer, &params, options, &result, &err) != LAC_OK)
        fail_msg("%s with %s: %s", layer->name, set, err.message);
    return result;
}

static lac_layer parse(const char *text, const char *wd)
{
    lac_layer layer;
    if (lac_layer_parse(&layer, text, &err) != LAC_OK)
        fail_msg("%s", err.message);
    if (wd && *wd)
        assert_int_equal(lac_operand_pattern(&layer.operand[LAC_ROLE_WEIGHTS], wd, &err), LAC_OK);
    return layer;
}

lac_result sta_schedule(const char *text, const char *wd, const char *set)
{
    lac_layer layer = parse(text, wd);
    lac_sim_options options = {.schedule_only = true};
    lac_result result = sta_run(&layer, set, &options);
    lac_layer_release(&layer);
    return result;
}

void sta_refuses(const char *text, const char *wd, const char *set, lac_status status,
                 const char *word)
{
    lac_params params = *sta_defaults();
    lac_layer layer = golden_layer(text, wd, NULL, 1);
    lac_result result;
    golden_set(&params, set);
    assert_int_equal(lac_simulate(sta_row(), &layer, &params, NULL, &result, &err), status);
    if (!strstr(err.message, word) || strchr(err.message, '\n'))
        fail_msg("refused with '%s', not '%s'", err.message, word);
    assert_int_equal(result.n_counters, 0);
    lac_layer_release(&layer);
}
