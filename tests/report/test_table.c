/* One table in every form it is printed in, to the byte. */
#include "report/json.h"
#include "report/table.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Escapes, a missing figure, a remark, grouped digits, an empty cell, two-byte letters. */
static lac_report *sample(void)
{
    lac_error err;
    lac_report *r = lac_report_make("A & B", &err);
    assert_non_null(r);
    assert_int_equal(lac_report_column(r, "name", "Name", "", LAC_LABEL_NONE, &err), LAC_OK);
    assert_int_equal(lac_report_column(r, "ms", "Time", "ms", LAC_LABEL_MEASURED, &err), LAC_OK);
    assert_int_equal(lac_report_column(r, "cycles", "Cycles", "", LAC_LABEL_SIMULATED, &err),
                     LAC_OK);
    assert_int_equal(lac_report_row(r, &err), LAC_OK);
    assert_int_equal(lac_report_text(r, "name", "caf\xc3\xa9 <\"x\", y>|z", &err), LAC_OK);
    assert_int_equal(lac_report_number(r, "ms", 1.25, 2, &err), LAC_OK);
    assert_int_equal(lac_report_integer(r, "cycles", 1234567, &err), LAC_OK);
    assert_int_equal(lac_report_remark(r, "cycles", "host 2 of 14", &err), LAC_OK);
    assert_int_equal(lac_report_row(r, &err), LAC_OK);
    assert_int_equal(lac_report_text(r, "name", "int8", &err), LAC_OK);
    assert_int_equal(lac_report_number(r, "ms", NAN, 2, &err), LAC_OK);
    assert_int_equal(lac_report_note(r, "1 < 2", &err), LAC_OK);
    return r;
}

static void print_text(const lac_report *r, lac_text *out)
{
    lac_report_print(r, out);
}

static void prints(void (*print)(const lac_report *, lac_text *), lac_report *r,
                   const char *expected)
{
    lac_text out = {0};
    print(r, &out);
    assert_false(out.failed);
    assert_string_equal(out.data, expected);
    lac_text_release(&out);
    lac_report_free(r);
}

static void test_text(void **state)
{
    (void)state;
    prints(print_text, sample(),
           "A & B\n"
           "Name             Time [ms]                    Cycles\n"
           "                  measured                 simulated\n"
           "---------------  ---------  ------------------------\n"
           "caf\xc3\xa9 <\"x\", y>|z       1.25  1,234,567 (host 2 of 14)\n"
           "int8                     -\n"
           "1 < 2\n");
}

static void test_markdown(void **state)
{
    (void)state;
    prints(lac_report_markdown, sample(),
           "| Name | Time [ms] (measured) | Cycles (simulated) |\n"
           "|---|---:|---:|\n"
           "| caf\xc3\xa9 <\"x\", y>\\|z | 1.25 | 1,234,567 (host 2 of 14) |\n"
           "| int8 | - |  |\n"
           "\n1 < 2\n");
}

static void test_csv(void **state)
{
    (void)state;
    prints(lac_report_csv, sample(),
           "name,ms,cycles\r\n"
           "\"caf\xc3\xa9 <\"\"x\"\", y>|z\",1.25,1234567\r\n"
           "int8,,\r\n");
}

static void test_html(void **state)
{
    (void)state;
    prints(
        lac_report_html, sample(),
        "<table>\n<caption>A &amp; B</caption>\n<thead><tr><th>Name</th>"
        "<th class=\"number\">Time <span class=\"unit\">ms</span><br>"
        "<span class=\"label measured\">measured</span></th>"
        "<th class=\"number\">Cycles<br><span class=\"label simulated\">simulated</span></th>"
        "</tr></thead>\n<tbody>\n"
        "<tr><td>caf\xc3\xa9 &lt;&quot;x&quot;, y&gt;|z</td><td class=\"number\">1.25</td>"
        "<td class=\"number\">1,234,567<br><span class=\"remark\">host 2 of 14</span></td></tr>\n"
        "<tr><td>int8</td><td class=\"number\">-</td><td class=\"number\"></td></tr>\n"
        "</tbody>\n</table>\n<p class=\"note\">1 &lt; 2</p>\n");
}

static void print_json(const lac_report *r, lac_text *out)
{
    json_t *json = lac_report_to_json(r);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_non_null(text);
    lac_text_add(out, "%s", text);
    free(text);
    json_decref(json);
}

static void test_json(void **state)
{
    (void)state;
    prints(print_json, sample(),
           "{\"title\":\"A & B\",\"rows\":[{\"name\":\"caf\xc3\xa9 <\\\"x\\\", y>|z\",\"ms\":1.25,"
           "\"cycles\":1234567,\"cycles_remark\":\"host 2 of 14\"},{\"name\":\"int8\"}],"
           "\"columns\":[{\"key\":\"name\",\"unit\":\"\",\"label\":\"\"},"
           "{\"key\":\"ms\",\"unit\":\"ms\",\"label\":\"measured\"},"
           "{\"key\":\"cycles\",\"unit\":\"\",\"label\":\"simulated\"}],\"notes\":[\"1 < 2\"]}");
}

static lac_report *empty(void)
{
    lac_error err;
    lac_report *r = lac_report_make("", &err);
    assert_int_equal(lac_report_column(r, "a", "A", "s", LAC_LABEL_NONE, &err), LAC_OK);
    assert_int_equal(lac_report_column(r, "b", "Bee", "", LAC_LABEL_NONE, &err), LAC_OK);
    return r;
}

/* Long texts stand once under the table; names may be any bytes. */
static lac_report *with_footnotes(void)
{
    lac_error err;
    static const char *const why[] = {"first cause", "other cause", "first cause", NULL};
    lac_report *r = lac_report_make("", &err);
    assert_int_equal(lac_report_column(r, "k", "kernel", "", LAC_LABEL_NONE, &err), LAC_OK);
    assert_int_equal(lac_report_column(r, "v", "value", "", LAC_LABEL_STATED, &err), LAC_OK);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(lac_report_row(r, &err), LAC_OK);
        assert_int_equal(lac_report_text(r, "k", i == 3 ? "bad \xff\xc3" : "slow", &err), LAC_OK);
        assert_int_equal(lac_report_integer(r, "v", i, &err), LAC_OK);
        if (why[i])
            assert_int_equal(lac_report_footnote(r, "k", why[i], &err), LAC_OK);
    }
    assert_int_equal(lac_report_note(r, "the end", &err), LAC_OK);
    return r;
}

static void test_footnotes(void **state)
{
    (void)state;
    prints(print_text, with_footnotes(),
           "kernel     value\n"
           "          stated\n"
           "--------  ------\n"
           "slow [1]       0\n"
           "slow [2]       1\n"
           "slow [1]       2\n"
           "bad \xff\xc3         3\n"
           "[1] first cause\n"
           "[2] other cause\n"
           "the end\n");
    prints(lac_report_html, with_footnotes(),
           "<table>\n<caption></caption>\n<thead><tr><th>kernel</th><th class=\"number\">value<br>"
           "<span class=\"label stated\">stated</span></th></tr></thead>\n<tbody>\n"
           "<tr><td>slow <sup>[1]</sup></td><td class=\"number\">0</td></tr>\n"
           "<tr><td>slow <sup>[2]</sup></td><td class=\"number\">1</td></tr>\n"
           "<tr><td>slow <sup>[1]</sup></td><td class=\"number\">2</td></tr>\n"
           "<tr><td>bad \xef\xbf\xbd\xef\xbf\xbd</td><td class=\"number\">3</td></tr>\n"
           "</tbody>\n</table>\n<p class=\"note\">[1] first cause</p>\n"
           "<p class=\"note\">[2] other cause</p>\n<p class=\"note\">the end</p>\n");
    prints(print_json, with_footnotes(),
           "{\"title\":\"\",\"rows\":["
           "{\"k\":\"slow\",\"k_remark\":\"first cause\",\"v\":0},"
           "{\"k\":\"slow\",\"k_remark\":\"other cause\",\"v\":1},"
           "{\"k\":\"slow\",\"k_remark\":\"first cause\",\"v\":2},"
           "{\"k\":\"bad \xef\xbf\xbd\xef\xbf\xbd\",\"v\":3}],"
           "\"columns\":[{\"key\":\"k\",\"unit\":\"\",\"label\":\"\"},"
           "{\"key\":\"v\",\"unit\":\"\",\"label\":\"stated\"}],"
           "\"notes\":[\"[1] first cause\",\"[2] other cause\",\"the end\"]}");
}

static void test_no_rows(void **state)
{
    (void)state;
    prints(print_text, empty(), "A [s]  Bee\n-----  ---\n");
    prints(lac_report_markdown, empty(), "| A [s] | Bee |\n|---|---|\n");
    prints(lac_report_csv, empty(), "a,b\r\n");
    prints(print_json, empty(),
           "{\"title\":\"\",\"rows\":[],\"columns\":[{\"key\":\"a\",\"unit\":\"s\",\"label\":\"\"},"
           "{\"key\":\"b\",\"unit\":\"\",\"label\":\"\"}],\"notes\":[]}");
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        double value;
        int decimals;
        const char *text;
    } cases[] = {{0.1 + 0.2, -1, "0.3"},
                 {1234567.8, -1, "1.23457e+06"},
                 {9999, 0, "9999"},
                 {12345.6, 0, "12,346"},
                 {-1234567, 0, "-1,234,567"},
                 {2.5, 3, "2.500"},
                 {1e300, 0, "1e+300"},
                 {1e300, 2, "1e+300"},
                 {INFINITY, 0, "inf"},
                 {-INFINITY, 1, "-inf"},
                 {NAN, -1, "-"}};
    lac_error err;
    lac_report *r = lac_report_make("", &err);
    assert_int_equal(lac_report_column(r, "a", "A", "", LAC_LABEL_NONE, &err), LAC_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(lac_report_row(r, &err), LAC_OK);
        assert_int_equal(lac_report_number(r, "a", cases[i].value, cases[i].decimals, &err),
                         LAC_OK);
        assert_string_equal(lac_report_cell(r, (int)i, "a"), cases[i].text);
    }
    lac_report_free(r);
}

static void test_group_digits(void **state)
{
    (void)state;
    char text[32];
    assert_string_equal(lac_group_digits(0, text, sizeof text), "0");
    assert_string_equal(lac_group_digits(-999, text, sizeof text), "-999");
    assert_string_equal(lac_group_digits(-1000, text, sizeof text), "-1,000");
    assert_string_equal(lac_group_digits(INT64_MIN, text, sizeof text),
                        "-9,223,372,036,854,775,808");
}

/* A text longer than any fixed buffer comes out whole. */
static void test_long_text(void **state)
{
    (void)state;
    char text[2001];
    memset(text, 'x', 2000);
    text[2000] = 0;
    lac_error err;
    lac_report *r = empty();
    assert_int_equal(lac_report_row(r, &err), LAC_OK);
    assert_int_equal(lac_report_text(r, "a", text, &err), LAC_OK);
    lac_text out = {0};
    lac_report_csv(r, &out);
    assert_int_equal(out.length, strlen("a,b\r\n") + 2000 + strlen(",\r\n"));
    lac_text_release(&out);
    lac_report_free(r);
}

static void test_misuse(void **state)
{
    (void)state;
    lac_error err;
    lac_report *r = empty();
    assert_int_equal(lac_report_text(r, "a", "x", &err), LAC_ERROR_INTERNAL); /* no row yet */
    assert_int_equal(lac_report_row(r, &err), LAC_OK);
    assert_int_equal(lac_report_integer(r, "c", 1, &err), LAC_ERROR_INTERNAL);
    assert_int_equal(lac_report_column(r, "c", "C", "", LAC_LABEL_NONE, &err), LAC_ERROR_INTERNAL);
    assert_string_equal(lac_report_cell(r, 0, "c"), "");
    assert_string_equal(lac_report_cell(r, 5, "a"), "");
    assert_true(isnan(lac_report_value(r, 0, "a")));
    lac_report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),         cmocka_unit_test(test_markdown),
        cmocka_unit_test(test_csv),          cmocka_unit_test(test_html),
        cmocka_unit_test(test_json),         cmocka_unit_test(test_footnotes),
        cmocka_unit_test(test_no_rows),      cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_group_digits), cmocka_unit_test(test_long_text),
        cmocka_unit_test(test_misuse),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
