/* Charts and the page: well-formed XML, what is drawn for odd values, nothing external. */
#include "report/chart.h"
#include "report/page.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Checks what well-formedness asks of markup: every element closed in order, attributes quoted
 * without < inside, every & the start of one of the predefined entities. */
static void assert_well_formed(const char *s)
{
    char open[32][24];
    int depth = 0;
    while (*s) {
        if (*s == '&') {
            static const char *const entities[] = {"&amp;", "&lt;", "&gt;", "&quot;"};
            bool known = false;
            for (int i = 0; i < 4; i++)
                known |= strncmp(s, entities[i], strlen(entities[i])) == 0;
            assert_true(known);
        }
        assert_true(*s != '>');
        if (*s++ != '<')
            continue;
        bool closing = *s == '/';
        s += closing;
        size_t length = strcspn(s, " >/");
        assert_in_range(length, 1, 23);
        if (closing) {
            assert_true(depth > 0);
            assert_int_equal(strlen(open[--depth]), length);
            assert_memory_equal(open[depth], s, length);
            s += length;
        } else {
            assert_true(depth < 32);
            memcpy(open[depth], s, length);
            open[depth++][length] = 0;
            s += length;
            while (*s == ' ') {
                s += 1 + strcspn(s + 1, "=<>\"");
                assert_memory_equal(s, "=\"", 2);
                s += 2;
                s += strcspn(s, "\"<");
                assert_true(*s == '"');
                s++;
            }
            if (*s == '/') {
                s++;
                depth--;
            }
        }
        assert_true(*s == '>');
        s++;
    }
    assert_int_equal(depth, 0);
}

static int count(const char *text, const char *what)
{
    int n = 0;
    for (; (text = strstr(text, what)); text += strlen(what))
        n++;
    return n;
}

/* The attribute `name` of the nth element that starts with `element`. */
static double attribute(const char *text, const char *element, int n, const char *name)
{
    for (int i = 0; (text = strstr(text, element)) && i < n; i++)
        text++;
    assert_non_null(text);
    text = strstr(text, name);
    assert_non_null(text);
    return strtod(text + strlen(name) + 2, NULL);
}

static const char *const groups[] = {"dense <fp32> & \"more\"", "int8",
                                     "a very long scheme name that cannot fit beside its bars",
                                     "\xe5\xae\xbd\xe5\xad\x97 caf\xc3\xa9"};
static const char *const series[] = {"systolic", "R&D"};

static void test_bars(void **state)
{
    (void)state;
    const double values[] = {NAN, 1, 2, 4, 8, INFINITY, 3, 0};
    lac_chart_bar_data bars = {.title = "T & <t>",
                               .unit = "cycles",
                               .label = LAC_LABEL_SIMULATED,
                               .n_groups = 4,
                               .n_series = 2,
                               .groups = groups,
                               .series = series,
                               .values = values,
                               .decimals = 1,
                               .scale = LAC_CHART_AUTO};
    lac_text out = {0}, again = {0};
    lac_chart_bars(&out, &bars);
    assert_false(out.failed);
    assert_well_formed(out.data);
    /* Two of eight values are missing; two rectangles are the legend's. */
    assert_int_equal(count(out.data, ">-</text>"), 2);
    assert_int_equal(count(out.data, "<rect"), 2 + 6);
    assert_non_null(strstr(out.data, "T &amp; &lt;t&gt; <span class=\"unit\">cycles</span> "
                                     "<span class=\"label simulated\">simulated</span>"));
    assert_non_null(strstr(out.data, "int8, systolic: 2 cycles (simulated)</title>"));
    assert_non_null(strstr(out.data, ">4.0</text>"));
    assert_non_null(strstr(out.data, "\xe2\x80\xa6</text>"));
    assert_non_null(strstr(out.data, "\xe5\xae\xbd\xe5\xad\x97 caf\xc3\xa9</text>"));
    assert_null(strstr(out.data, "log scale"));
    assert_null(strstr(out.data, "nan"));
    assert_null(strstr(out.data, "inf\""));
    /* Lengths are in proportion: rectangles 3, 4, 5 (after the legend's 0, 1) are 2, 4, 8. */
    double one = attribute(out.data, "<rect", 2, "width");
    assert_true(fabs(attribute(out.data, "<rect", 4, "width") - 4 * one) < 0.5);
    assert_true(fabs(attribute(out.data, "<rect", 5, "width") - 8 * one) < 0.5);
    lac_chart_bars(&again, &bars);
    assert_string_equal(out.data, again.data);
    lac_text_release(&out);
    lac_text_release(&again);
}

/* A bar of a part is drawn, hatched, and says what is missing; whole bars beside it are not. */
static void test_partial_bars(void **state)
{
    (void)state;
    const double values[] = {4, 2, 1, NAN};
    const char *const partial[] = {NULL, "host 5 of 30 <layers>", NULL, "host 30 of 30"};
    lac_chart_bar_data bars = {.title = "T",
                               .unit = "cycles",
                               .label = LAC_LABEL_SIMULATED,
                               .n_groups = 2,
                               .n_series = 2,
                               .groups = groups,
                               .series = series,
                               .values = values,
                               .partial = partial,
                               .decimals = 0,
                               .scale = LAC_CHART_LINEAR};
    lac_text out = {0};
    lac_chart_bars(&out, &bars);
    assert_false(out.failed);
    assert_well_formed(out.data);
    assert_int_equal(count(out.data, "class=\"hatch\""), 1);
    assert_int_equal(count(out.data, "<rect"), 2 + 3);
    assert_non_null(strstr(out.data, ">2 (host 5 of 30 &lt;layers&gt;)</text>"));
    assert_non_null(strstr(out.data, "2 cycles (simulated), host 5 of 30 &lt;layers&gt;</title>"));
    assert_non_null(strstr(out.data, ">-</text>"));
    assert_null(strstr(out.data, "30 of 30"));
    /* Stripes stay on the bar: all between its ends. */
    double left = attribute(out.data, "<rect", 3, "x");
    double right = left + attribute(out.data, "<rect", 3, "width");
    int stripes = 0;
    for (const char *at = strstr(strstr(out.data, "class=\"hatch\""), " d=\"") + 4; *at == 'M';) {
        char *end;
        double from = strtod(at + 1, &end);
        strtod(end, &end);
        double to = strtod(end + 1, &end);
        strtod(end, &end);
        assert_true(from >= left - 0.1 && from < to && to <= right + 0.1);
        at = end;
        stripes++;
    }
    assert_true(stripes > 3);
    lac_text_release(&out);
}

static void test_bars_scale(void **state)
{
    (void)state;
    double values[] = {10, 1000, 100000};
    lac_chart_bar_data bars = {.title = "t",
                               .unit = "",
                               .n_groups = 3,
                               .n_series = 1,
                               .groups = groups,
                               .values = values,
                               .decimals = -1,
                               .scale = LAC_CHART_AUTO};
    lac_text out = {0};
    lac_chart_bars(&out, &bars);
    assert_well_formed(out.data);
    assert_non_null(strstr(out.data, "log scale"));
    assert_non_null(strstr(out.data, ">100k</text>"));
    /* Equal ratios, equal distances; and the smallest value has a bar. */
    double a = attribute(out.data, "<rect", 0, "width"),
           b = attribute(out.data, "<rect", 1, "width"),
           c = attribute(out.data, "<rect", 2, "width");
    assert_true(a > 10 && fabs((c - b) - (b - a)) < 0.5);
    out.length = 0;
    values[0] = 0; /* has no logarithm */
    bars.scale = LAC_CHART_LOG;
    lac_chart_bars(&out, &bars);
    assert_null(strstr(out.data, "log scale"));
    out.length = 0;
    values[0] = -50000; /* left of the axis, its figure at its left */
    lac_chart_bars(&out, &bars);
    assert_well_formed(out.data);
    double axis = attribute(out.data, "<line class=\"axis\"", 0, "x1");
    assert_true(fabs(attribute(out.data, "<rect", 0, " x") +
                     attribute(out.data, "<rect", 0, "width") - axis) < 0.2);
    assert_true(fabs(attribute(out.data, "<rect", 2, " x") - axis) < 0.2);
    lac_text_release(&out);
}

/* Any doubles give a finite, well-formed chart. */
static void test_extremes(void **state)
{
    (void)state;
    static const double sets[][3] = {{0, 0, 0},
                                     {NAN, NAN, NAN},
                                     {5e-324, 1e-310, 0},
                                     {1e289, -1e289, 1},
                                     {1.7e308, -1.7e308, INFINITY},
                                     {1e-280, 1e280, 1},
                                     {1e15, 1e15 + 1, 1e15 + 2},
                                     {-3, -3, -3},
                                     {99.95, 100, 99.9999}};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        for (int scale = LAC_CHART_LINEAR; scale <= LAC_CHART_AUTO; scale++) {
            lac_chart_bar_data bars = {.title = "t",
                                       .unit = "%",
                                       .n_groups = 3,
                                       .n_series = 1,
                                       .groups = groups,
                                       .values = sets[i],
                                       .decimals = -1,
                                       .scale = (lac_chart_scale)scale};
            lac_chart_scatter_data scatter = {.title = "t",
                                              .x = {"x", "ms", LAC_LABEL_MEASURED},
                                              .y = {"y", "%", LAC_LABEL_NONE},
                                              .n_points = 3,
                                              .names = groups,
                                              .x_values = sets[i],
                                              .y_values = sets[i],
                                              .x_scale = (lac_chart_scale)scale};
            lac_text out = {0};
            lac_chart_bars(&out, &bars);
            lac_chart_scatter(&out, &scatter);
            const lac_chart_ceiling lines[] = {
                {"a", sets[i][0]}, {"b", sets[i][1]}, {"c", sets[i][2]}};
            lac_chart_roofline_data roofline = {.title = "t",
                                                .x = scatter.x,
                                                .y = scatter.y,
                                                .n_flat = scale,
                                                .flat = lines,
                                                .n_slanted = 3 - scale,
                                                .slanted = lines,
                                                .slanted_unit = "",
                                                .n_points = 3,
                                                .names = groups,
                                                .x_values = sets[i],
                                                .y_values = sets[i]};
            lac_chart_roofline(&out, &roofline);
            assert_false(out.failed);
            assert_well_formed(out.data);
            assert_null(strstr(out.data, "nan"));
            assert_null(strstr(out.data, "\"inf"));
            assert_null(strstr(out.data, "\"-inf"));
            assert_null(strstr(out.data, "\"-0.0\""));
            lac_text_release(&out);
        }
}

static void test_empty(void **state)
{
    (void)state;
    lac_chart_bar_data bars = {.title = "t", .unit = ""};
    lac_chart_scatter_data scatter = {
        .title = "t", .x = {"x", "", LAC_LABEL_NONE}, .y = {"y", "", LAC_LABEL_NONE}};
    lac_text out = {0};
    lac_chart_bars(&out, &bars);
    lac_chart_scatter(&out, &scatter);
    lac_chart_roofline_data roofline = {
        .title = "t", .x = scatter.x, .y = scatter.y, .slanted_unit = ""};
    assert_false(lac_chart_roofline_svg(&out, &roofline));
    lac_chart_roofline(&out, &roofline);
    assert_well_formed(out.data);
    assert_int_equal(count(out.data, "no figures"), 3);
    assert_int_equal(count(out.data, "<svg"), 0);
    lac_text_release(&out);
}

static void test_scatter(void **state)
{
    (void)state;
    /* Four points in nearly one place, one without latency, and a far one that sets the axis. */
    static const char *const names[] = {"first", "second", "third", "fo&rth", "gone", "far"};
    const double x[] = {1.00, 1.001, 1.002, 1.003, NAN, 10}, y[] = {97.8, 97.8, 97.8, 97.8, 96, 90};
    lac_chart_scatter_data s = {.title = "t",
                                .x = {"latency", "ms", LAC_LABEL_MEASURED},
                                .y = {"top-1", "%", LAC_LABEL_MEASURED},
                                .n_points = 6,
                                .names = names,
                                .x_values = x,
                                .y_values = y};
    lac_text out = {0};
    lac_chart_scatter(&out, &s);
    assert_well_formed(out.data);
    assert_int_equal(count(out.data, "<circle"), 5);
    assert_non_null(strstr(out.data, "latency [ms], measured"));
    assert_non_null(strstr(out.data, "1 without both figures: not shown"));
    assert_null(strstr(out.data, "gone"));
    assert_true(count(out.data, "class=\"leader\"") >= 1);
    /* Names that would stand on each other were moved apart by at least a line. */
    double at_x[4], at_y[4];
    bool at_end[4];
    const char *point = out.data;
    for (int i = 0; i < 4; i++) {
        point = strstr(point, "<circle");
        assert_non_null(point);
        at_x[i] = attribute(point, "<text", 0, " x");
        at_y[i] = attribute(point, "<text", 0, " y");
        at_end[i] = strncmp(strstr(point, "text-anchor"), "text-anchor=\"end", 16) == 0;
        for (int j = 0; j < i; j++)
            assert_true(at_end[i] != at_end[j] || fabs(at_y[i] - at_y[j]) >= 14 ||
                        fabs(at_x[i] - at_x[j]) >= 40);
        point++;
    }
    lac_text_release(&out);
}

/* Equal ratios are equal distances on both axes; a slanted line meets the flat one where it says.
 */
static void test_roofline(void **state)
{
    (void)state;
    static const char *const names[] = {"one <1>", "two", "three", "none"};
    static const char *const kinds[] = {"float32", "int8"};
    const double x[] = {1, 10, 100, 5}, y[] = {20, 200, 300, NAN};
    const int of[] = {0, 1, 1, 0};
    const lac_chart_ceiling flat[] = {{"float32", 100}, {"int8", 400}};
    const lac_chart_ceiling slanted[] = {{"DRAM", 25}, {"L3", 100}, {"L2 & more", 110}};
    lac_chart_roofline_data r = {.title = "m <t>",
                                 .x = {"operations per byte", "", LAC_LABEL_DERIVED},
                                 .y = {"operations", "GOP/s", LAC_LABEL_MEASURED},
                                 .n_flat = 2,
                                 .flat = flat,
                                 .n_slanted = 3,
                                 .slanted = slanted,
                                 .slanted_unit = "GB/s",
                                 .n_points = 4,
                                 .names = names,
                                 .x_values = x,
                                 .y_values = y,
                                 .n_series = 2,
                                 .series = kinds,
                                 .point_series = of};
    lac_text out = {0}, again = {0};
    lac_chart_roofline(&out, &r);
    assert_false(out.failed);
    assert_well_formed(out.data);
    assert_int_equal(count(out.data, "<circle"), 2 + 3); /* the legend's, the points' */
    assert_non_null(strstr(out.data, "one &lt;1&gt;: 20 GOP/s, 1 operations per byte</title>"));
    assert_non_null(strstr(out.data, ">int8 400 GOP/s</text>"));
    assert_non_null(strstr(out.data, ">DRAM 25.0 GB/s</text>"));
    assert_non_null(strstr(out.data, ">L2 &amp; more 110 GB/s</text>"));
    assert_non_null(strstr(out.data, "1 without both figures: not shown"));
    double px[3], py[3];
    for (int i = 0; i < 3; i++) {
        px[i] = attribute(out.data, "<circle class=\"dot", i, " cx");
        py[i] = attribute(out.data, "<circle class=\"dot", i, " cy");
    }
    assert_true(px[1] > px[0] && py[1] < py[0]);
    assert_true(fabs((px[2] - px[1]) - (px[1] - px[0])) < 0.3);
    /* Lines: both axes, the three slanted ones, the flat ones from the highest down. */
    double decade = py[0] - py[1], full = attribute(out.data, "<line class=\"axis\"", 5, "y1");
    assert_true(fabs(py[1] - full - decade * log10(2)) < 0.3);
    double dram = attribute(out.data, "<line class=\"axis\"", 2, "x2");
    assert_true(fabs(dram - px[0] - (px[1] - px[0]) * log10(16)) < 0.3); /* 400 / 25 */
    assert_true(fabs(attribute(out.data, "<line class=\"axis\"", 2, "y2") - full) < 0.2);
    assert_true(lac_chart_roofline_svg(&again, &r));
    assert_well_formed(again.data);
    assert_int_equal(strncmp(again.data, "<svg xmlns=", 11), 0);
    assert_non_null(strstr(again.data, ">m &lt;t&gt;</text>"));
    lac_text_release(&out);
    lac_text_release(&again);
}

static void test_page(void **state)
{
    (void)state;
    lac_error err;
    lac_report *r = lac_report_make("R", &err);
    assert_int_equal(lac_report_column(r, "a", "A", "", LAC_LABEL_NONE, &err), LAC_OK);
    lac_text out = {0};
    lac_page_begin(&out, "a < b", "sub & title");
    lac_page_section(&out, "<section>");
    lac_page_command(&out, "lacuna compare \"m\"");
    lac_page_report(&out, r);
    lac_page_end(&out, "foot>");
    assert_false(out.failed);
    assert_int_equal(strncmp(out.data, "<!DOCTYPE html>\n", 16), 0);
    assert_non_null(strstr(out.data, "<title>a &lt; b</title>"));
    assert_non_null(strstr(out.data, "<p>sub &amp; title</p>"));
    assert_non_null(strstr(out.data, "<h2>&lt;section&gt;</h2>"));
    assert_non_null(strstr(out.data, "<pre class=\"command\">lacuna compare &quot;m&quot;</pre>"));
    assert_non_null(strstr(out.data, "<footer>foot&gt;</footer>"));
    assert_non_null(strstr(out.data, "prefers-color-scheme:dark"));
    assert_non_null(strstr(out.data, "@media print"));
    static const char *const external[] = {"http://", "https://", "url(", "@import",
                                           "<script", "<link",    "src=", "href="};
    for (size_t i = 0; i < sizeof external / sizeof *external; i++)
        assert_null(strstr(out.data, external[i]));
    const char *main_part = strstr(out.data, "<main>"), *end = strstr(out.data, "</main>");
    assert_true(main_part && end);
    out.data[end - out.data] = 0;
    /* <br> aside (none here), the body is well-formed as well. */
    assert_well_formed(main_part + strlen("<main>"));
    /* The braces of the style sheet balance. */
    assert_int_equal(count(out.data, "{"), count(out.data, "}"));
    lac_text_release(&out);
    lac_report_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bars),       cmocka_unit_test(test_partial_bars),
        cmocka_unit_test(test_bars_scale), cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_empty),      cmocka_unit_test(test_scatter),
        cmocka_unit_test(test_roofline),   cmocka_unit_test(test_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
