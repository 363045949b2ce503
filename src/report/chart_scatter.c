/* A scatter of named points: each name stands beside its point where there is room, else it is
 * moved and led back by a line. */
#include "report/chart_svg.h"

#include "core/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct box {
    double x, y, width, height;
} box;

static bool overlap(box a, box b)
{
    return a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height &&
           b.y < a.y + a.height;
}

static const double radius = 5.5;

static box dot_box(double x, double y)
{
    return (box){x - radius, y - radius, 2 * radius, 2 * radius};
}

/* Room for the name of point n beside it: right, else left, else moved up or down in small steps;
 * free of all dots and of the names already placed, if there is such a place. */
static box place_name(const box *dots, const box *placed, int n, int n_points, double width,
                      box plot)
{
    box best = {0};
    for (int step = 0; step < 48; step++) {
        double away = (step + 1) / 2 * 6.0;
        for (int left = 0; left < 2; left++) {
            double x = dots[n].x, middle = dots[n].y + radius + (step % 2 ? -away : away);
            box b = {left ? x - width - 3 : x + 2 * radius + 3, middle - 7.5, width + 2, 15};
            bool free_here = b.x >= plot.x && b.x + b.width <= LAC_CHART_WIDTH && b.y >= plot.y &&
                             b.y + b.height <= plot.y + plot.height;
            for (int i = 0; i < n_points && free_here; i++)
                free_here = !overlap(b, dots[i]) && (i >= n || !overlap(b, placed[i]));
            if (free_here)
                return b;
            if (step == 0 && left == (x + width + 20 > LAC_CHART_WIDTH))
                best = b;
        }
    }
    return best;
}

static void axis_name(lac_text *out, const lac_chart_axis *a, bool log)
{
    lac_html_escape(out, a->name);
    if (a->unit[0]) {
        lac_text_add(out, " [");
        lac_html_escape(out, a->unit);
        lac_text_add(out, "]");
    }
    lac_text_add(out, a->label ? ", %s" : "%s", lac_label_name(a->label));
    lac_text_add(out, log ? ", log scale" : "");
}

static void one_point(lac_text *out, const lac_chart_scatter_data *s, int i, box dot, box name,
                      double width)
{
    char x[64], y[64];
    lac_chart_long(s->x_values[i], x, sizeof x);
    lac_chart_long(s->y_values[i], y, sizeof y);
    double cx = dot.x + radius, cy = dot.y + radius, middle = name.y + name.height / 2;
    if (fabs(middle - cy) > 9)
        lac_chart_line(out, "leader", "#5a6675", cx, cy,
                       name.x > cx ? name.x - 1 : name.x + width + 1, middle);
    lac_text_add(out, "<g><title>");
    lac_html_escape(out, s->names[i]);
    lac_text_add(out, ": %s%s", y, s->y.unit[0] ? " " : "");
    lac_html_escape(out, s->y.unit);
    lac_text_add(out, ", %s%s", x, s->x.unit[0] ? " " : "");
    lac_html_escape(out, s->x.unit);
    lac_text_add(out,
                 "</title>\n<circle class=\"dot s1\" fill=\"%s\" stroke=\"#fff\" cx=\"%.1f\" "
                 "cy=\"%.1f\" r=\"%.1f\"/>\n<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
                 lac_chart_colour(0), cx, cy, radius - 0.5,
                 name.x > cx ? name.x : name.x + name.width, middle + 4,
                 name.x > cx ? "start" : "end");
    lac_chart_cut(out, s->names[i], LAC_CHART_TEXT, width);
    lac_text_add(out, "</text></g>\n");
}

void lac_chart_scatter(lac_text *out, const lac_chart_scatter_data *s)
{
    lac_chart_range rx = {0, 0, 0}, ry = rx;
    size_t n = s->n_points > 0 ? (size_t)s->n_points : 0;
    double *pairs = lac_alloc(2 * n + 1, sizeof *pairs, NULL);
    box *boxes = lac_alloc(2 * n + 1, sizeof *boxes, NULL);
    int *index = lac_alloc(n + 1, sizeof *index, NULL), shown = 0, left_out = 0;
    lac_chart_begin(out, s->title, "", LAC_LABEL_NONE);
    if (!pairs || !boxes || !index) {
        out->failed = true;
        goto done;
    }
    /* A point with half its figures is not a point. */
    for (size_t i = 0; i < n; i++) {
        if (!lac_chart_has(s->x_values[i]) || !lac_chart_has(s->y_values[i])) {
            left_out++;
            continue;
        }
        pairs[shown] = s->x_values[i];
        pairs[n + (size_t)shown] = s->y_values[i];
        index[shown++] = (int)i;
    }
    rx = lac_chart_range_of(pairs, (size_t)shown);
    ry = lac_chart_range_of(pairs + n, (size_t)shown);
    if (!shown) {
        lac_chart_nothing(out);
        goto done;
    }
    box plot = {58, 8, LAC_CHART_WIDTH - 58 - 16, 300};
    lac_chart_scaled x =
        lac_chart_wants_log(rx, s->x_scale)
            ? lac_chart_log(rx.low, rx.high, 0)
            : lac_chart_linear(rx.low > 0 && rx.low < 0.6 * rx.high ? 0 : rx.low, rx.high);
    double margin = (ry.high - ry.low) * 0.08;
    bool percent = strcmp(s->y.unit, "%") == 0 && ry.high <= 100;
    lac_chart_scaled y =
        lac_chart_linear(ry.low - margin, percent ? fmin(ry.high + margin, 100) : ry.high + margin);
    x.start = plot.x;
    x.stop = plot.x + plot.width;
    y.start = plot.y + plot.height;
    y.stop = plot.y;

    char text[64];
    lac_chart_svg(out, plot.y + plot.height + (left_out ? 60 : 44), s->title);
    for (int i = 0; i < x.n_ticks; i++) {
        double at = lac_chart_position(&x, x.ticks[i]);
        lac_chart_line(out, "grid", "#dde2e8", at, plot.y, at, plot.y + plot.height);
        lac_chart_tick(&x, x.ticks[i], text, sizeof text);
        lac_chart_label(out, at, plot.y + plot.height + 17, "middle", true, text);
    }
    for (int i = 0; i < y.n_ticks; i++) {
        double at = lac_chart_position(&y, y.ticks[i]);
        lac_chart_line(out, "grid", "#dde2e8", plot.x, at, plot.x + plot.width, at);
        lac_chart_tick(&y, y.ticks[i], text, sizeof text);
        lac_chart_label(out, plot.x - 7, at + 4, "end", true, text);
    }
    lac_chart_line(out, "axis", "#5a6675", plot.x, plot.y, plot.x, plot.y + plot.height);
    lac_chart_line(out, "axis", "#5a6675", plot.x, plot.y + plot.height, plot.x + plot.width,
                   plot.y + plot.height);
    lac_text_add(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">",
                 plot.x + plot.width / 2, plot.y + plot.height + 37);
    axis_name(out, &s->x, x.log);
    lac_text_add(out,
                 "</text>\n<text transform=\"translate(13 %.1f) rotate(-90)\" "
                 "text-anchor=\"middle\">",
                 plot.y + plot.height / 2);
    axis_name(out, &s->y, false);
    lac_text_add(out, "</text>\n");
    for (int i = 0; i < shown; i++)
        boxes[i] =
            dot_box(lac_chart_position(&x, pairs[i]), lac_chart_position(&y, pairs[n + (size_t)i]));
    for (int i = 0; i < shown; i++) {
        double width = fmin(lac_chart_width(s->names[index[i]], LAC_CHART_TEXT) + 1, 240);
        boxes[n + (size_t)i] = place_name(boxes, boxes + n, i, shown, width, plot);
        one_point(out, s, index[i], boxes[i], boxes[n + (size_t)i], width);
    }
    if (left_out) {
        snprintf(text, sizeof text, "%d without both figures: not shown", left_out);
        lac_chart_label(out, plot.x, plot.y + plot.height + 55, "start", true, text);
    }
    lac_text_add(out, "</svg>\n</figure>\n");
done:
    if (!pairs || !boxes || !index)
        lac_text_add(out, "</figure>\n");
    lac_free(pairs);
    lac_free(boxes);
    lac_free(index);
}
