/* The reader of golden tables, on a table written here; every copy of tests/systems/golden against
 * its dossier, word for word. */
#include "helpers/golden.h"

#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* The lines of tables in `copy` stand in `dossier`, in that order. Returns how many. */
static int same_lines(const char *name, const char *copy, const char *dossier)
{
    int lines = 0;
    while (*copy) {
        size_t length = strcspn(copy, "\n");
        if (*copy == '|') {
            const char *line = dossier;
            while (*line && (strcspn(line, "\n") != length || strncmp(line, copy, length) != 0)) {
                line += strcspn(line, "\n");
                line += *line == '\n';
            }
            if (!*line)
                fail_msg("%s: not in the dossier, or in another order: %.*s", name, (int)length,
                         copy);
            dossier = line + length;
            lines++;
        }
        copy += length;
        copy += *copy == '\n';
    }
    return lines;
}

static void test_copies(void **state)
{
    (void)state;
    glob_t found;
    int compared = 0;
    assert_int_equal(glob(LACUNA_SOURCE_DIR "/tests/systems/golden/*.txt", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *name = strrchr(found.gl_pathv[i], '/') + 1;
        char relative[128], path[4096];
        snprintf(relative, sizeof relative, "systems/%.*s.md", (int)strcspn(name, "."), name);
        if (!golden_shared(path, sizeof path, relative)) {
            fprintf(stderr, "SKIP: LACUNA_SHARED holds no %s to compare with\n", relative);
            continue;
        }
        char *copy = golden_read(found.gl_pathv[i]), *dossier = golden_read(path);
        assert_true(copy && dossier);
        int lines = same_lines(name, copy, dossier);
        printf("%s: %d lines of tables as in the dossier\n", name, lines);
        assert_true(lines > 10);
        free(copy);
        free(dossier);
        compared++;
    }
    globfree(&found);
    if (!compared)
        skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cells), cmocka_unit_test(test_copies)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
