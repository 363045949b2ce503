/* The reader of golden tables, on a table written here; the copies against the dossiers. */
#include "helpers/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char text[] = "# Top\n"
                           "| a | b |\n|---|---|\n| x | y |\n"
                           "## 5. Golden\nwords | with bars\n"
                           "| # | layer `l` | sum |\n|---|:--|---|\n"
                           "| 1 | `fc:in=1,out=2` | -5 |\n"
                           "| 2 | a\\|b | 18446744073709551611 |\n"
                           "\n| n |\n|---|\n| 1,234 |\n";

static void test_cells(void **state)
{
    (void)state;
    golden_table table = golden_find(text, "Golden", 0);
    assert_int_equal(table.rows, 2);
    assert_int_equal(table.columns, 3);
    assert_string_equal(golden_cell(&table, 0, "layer l"), "fc:in=1,out=2");
    assert_string_equal(golden_cell(&table, 1, "layer l"), "a|b");
    assert_true(golden_int(&table, 0, "sum") == golden_int(&table, 1, "sum"));
    assert_int_equal(golden_row(&table, "#", "2"), 1);
    assert_int_equal(golden_row(&table, "#", "3"), -1);
    assert_true(golden_has(&table, "sum") && !golden_has(&table, "su"));
    golden_same(&table, &table);
    golden_free(&table);
    table = golden_find(text, "Golden", 1);
    assert_int_equal(golden_int(&table, 0, "n"), 1234);
    golden_free(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cells)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
