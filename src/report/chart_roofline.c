/* A roofline: operations per second over operations per byte, both logarithmic. What memory allows
 * rises in slanted lines, one for each level; what the units allow lies flat above. A layer is a
 * dot with its name in the tooltip: a network has dozens, and their names would cover the picture.
 */
#include "report/chart_svg.h"

#include "core/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct plane {
    lac_chart_scaled x, y;
    double left, top, right, bottom;
} plane;

/* And such that quotients of two stay far from the ends of the doubles. */
static bool positive(double value)
{
    return value > 1e-120 && value < 1e120;
}

static void include(lac_chart_range *range, double value)
{
    range->low = !range->count || value < range->low ? value : range->low;
    range->high = !range->count || value > range->high ? value : range->high;
    range->count++;
}

/* Both axes hold all dots, the flat lines, and the points where lines meet. */
static bool layout(const lac_chart_roofline_data *r, plane *p, int *shown)
{
    lac_chart_range rx = {0, 0, 0}, ry = rx;
    for (int i = 0; i < r->n_points; i++)
        if (positive(r->x_values[i]) && positive(r->y_values[i])) {
            include(&rx, r->x_values[i]);
            include(&ry, r->y_values[i]);
            ++*shown;
        }
    for (int i = 0; i < r->n_flat; i++)
        if (positive(r->flat[i].value)) {
            include(&ry, r->flat[i].value);
            for (int k = 0; k < r->n_slanted; k++)
                if (positive(r->slanted[k].value))
                    include(&rx, r->flat[i].value / r->slanted[k].value);
        }
    if (!rx.count || !ry.count)
        return false;
    *p = (plane){.left = 58, .top = 34, .right = LAC_CHART_WIDTH - 16, .bottom = 354};
    p->x = lac_chart_log(rx.low * 0.9, rx.high * 1.6, 0);
    p->y = lac_chart_log(ry.low * 0.9, ry.high * 1.4, 0);
    p->x.start = p->left;
    p->x.stop = p->right;
    p->y.start = p->bottom;
    p->y.stop = p->top;
    return true;
}

static void grid(lac_text *out, const plane *p)
{
    char text[64];
    for (int i = 0; i < p->x.n_ticks; i++) {
        double at = lac_chart_position(&p->x, p->x.ticks[i]);
        lac_chart_line(out, "grid", "#dde2e8", at, p->top, at, p->bottom);
        lac_chart_tick(&p->x, p->x.ticks[i], text, sizeof text);
        lac_chart_label(out, at, p->bottom + 17, "middle", true, text);
    }
    for (int i = 0; i < p->y.n_ticks; i++) {
        double at = lac_chart_position(&p->y, p->y.ticks[i]);
        lac_chart_line(out, "grid", "#dde2e8", p->left, at, p->right, at);
        lac_chart_tick(&p->y, p->y.ticks[i], text, sizeof text);
        lac_chart_label(out, p->left - 7, at + 4, "end", true, text);
    }
    lac_chart_line(out, "axis", "#5a6675", p->left, p->top, p->left, p->bottom);
    lac_chart_line(out, "axis", "#5a6675", p->left, p->bottom, p->right, p->bottom);
}

static double largest(const lac_chart_ceiling *lines, int n)
{
    double high = 0;
    for (int i = 0; i < n; i++)
        if (positive(lines[i].value) && lines[i].value > high)
            high = lines[i].value;
    return high;
}

static void ceiling_name(const lac_chart_ceiling *c, const char *unit, char *text, size_t size)
{
    char figure[32];
    lac_chart_short(c->value, c->value < 100 ? 1 : 0, figure, sizeof figure);
    snprintf(text, size, "%s %s%s%s", c->name, figure, unit[0] ? " " : "", unit);
}

/* y = value, from where the fastest memory allows it to the right edge. */
static void flat_line(lac_text *out, const lac_chart_roofline_data *r, const plane *p,
                      const lac_chart_ceiling *c, double *taken)
{
    char text[160];
    double fastest = largest(r->slanted, r->n_slanted);
    double x = fastest > 0 ? fmax(c->value / fastest, p->x.low) : p->x.low;
    double y = lac_chart_position(&p->y, c->value);
    lac_chart_line(out, "axis", "#5a6675", lac_chart_position(&p->x, x), y, p->right, y);
    ceiling_name(c, r->y.unit, text, sizeof text);
    double at = fmax(y - 5, *taken + 13); /* names of close lines: one below the other */
    lac_chart_label(out, p->right - 2, at, "end", false, text);
    *taken = at;
}

/* y = value * x, up to the highest flat line; its name along it. */
static void slanted_line(lac_text *out, const lac_chart_roofline_data *r, const plane *p, int index)
{
    const lac_chart_ceiling *c = &r->slanted[index];
    char text[160];
    double top = largest(r->flat, r->n_flat);
    if (!(top > 0))
        top = p->y.high;
    double x1 = fmax(p->x.low, p->y.low / c->value), x2 = fmin(p->x.high, top / c->value);
    if (!(x1 < x2))
        return;
    double ax = lac_chart_position(&p->x, x1), ay = lac_chart_position(&p->y, x1 * c->value);
    double bx = lac_chart_position(&p->x, x2), by = lac_chart_position(&p->y, x2 * c->value);
    lac_chart_line(out, "axis", "#5a6675", ax, ay, bx, by);
    ceiling_name(c, r->slanted_unit, text, sizeof text);
    /* Above the line, but below when a faster one is close. */
    bool below = false;
    for (int i = 0; i < r->n_slanted; i++)
        if (r->slanted[i].value > c->value)
            below |= lac_chart_position(&p->y, x1 * c->value) -
                         lac_chart_position(&p->y, x1 * r->slanted[i].value) <
                     20;
    if (hypot(bx - ax, by - ay) < lac_chart_width(text, LAC_CHART_TEXT) + 20)
        return;
    lac_text_add(out,
                 "<text class=\"soft\" fill=\"#5a6675\" text-anchor=\"start\" "
                 "y=\"%d\" transform=\"translate(%.1f %.1f) rotate(%.1f)\">",
                 below ? 14 : -5, ax + 0.06 * (bx - ax), ay + 0.06 * (by - ay),
                 atan2(by - ay, bx - ax) * 57.29577951308232);
    lac_html_escape(out, text);
    lac_text_add(out, "</text>\n");
}

static void dot(lac_text *out, const lac_chart_roofline_data *r, const plane *p, int i)
{
    char x[64], y[64];
    int series = r->point_series ? r->point_series[i] : 0;
    if (!positive(r->x_values[i]) || !positive(r->y_values[i]))
        return;
    snprintf(x, sizeof x, "%.3g", r->x_values[i]);
    snprintf(y, sizeof y, "%.4g", r->y_values[i]);
    lac_text_add(out,
                 "<circle class=\"dot s%d\" fill=\"%s\" fill-opacity=\"0.85\" stroke=\"#fff\" ",
                 series % LAC_CHART_COLOURS + 1, lac_chart_colour(series));
    lac_text_add(out, "cx=\"%.1f\" cy=\"%.1f\" r=\"5.0\"><title>",
                 lac_chart_position(&p->x, r->x_values[i]),
                 lac_chart_position(&p->y, r->y_values[i]));
    lac_html_escape(out, r->names[i]);
    lac_text_add(out, ": %s ", y);
    lac_html_escape(out, r->y.unit);
    lac_text_add(out, ", %s ", x);
    lac_html_escape(out, r->x.name);
    lac_text_add(out, "</title></circle>\n");
}

static void axis_text(lac_text *out, const lac_chart_axis *a)
{
    lac_html_escape(out, a->name);
    if (a->unit[0]) {
        lac_text_add(out, " [");
        lac_html_escape(out, a->unit);
        lac_text_add(out, "]");
    }
    lac_text_add(out, "%s%s", a->label ? ", " : "", lac_label_name(a->label));
}

static void legend(lac_text *out, const lac_chart_roofline_data *r, double x, double y)
{
    for (int i = 0; i < r->n_series; i++) {
        lac_text_add(out, "<circle class=\"s%d\" fill=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"5.0\"/>\n",
                     i % LAC_CHART_COLOURS + 1, lac_chart_colour(i), x + 5, y - 4);
        lac_chart_label(out, x + 15, y, "start", false, r->series[i]);
        x += 35 + lac_chart_width(r->series[i], LAC_CHART_TEXT);
    }
}

/* The drawing alone; nothing and false when there is nothing to draw. */
static bool draw(lac_text *out, const lac_chart_roofline_data *r, bool alone)
{
    plane p;
    int shown = 0;
    double taken = -1e9;
    char text[96];
    if (!layout(r, &p, &shown))
        return false;
    lac_chart_svg(out, p.bottom + (shown < r->n_points ? 62 : 46), r->title);
    if (alone) { /* no page around it: its own paper and caption */
        lac_text_add(out, "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n");
        double room = 280, width = fmin(lac_chart_width(r->title, LAC_CHART_TEXT), room);
        lac_text_add(out, "<text x=\"%.1f\" y=\"18\">", p.left);
        lac_chart_cut(out, r->title, LAC_CHART_TEXT, room);
        lac_text_add(out, "</text>\n");
        legend(out, r, p.left + width + 20, 18);
    } else {
        legend(out, r, p.left, 18);
    }
    grid(out, &p);
    for (int i = 0; i < r->n_slanted; i++)
        if (positive(r->slanted[i].value))
            slanted_line(out, r, &p, i);
    for (int i = r->n_flat - 1; i >= 0; i--)
        if (positive(r->flat[i].value))
            flat_line(out, r, &p, &r->flat[i], &taken);
    lac_text_add(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">", (p.left + p.right) / 2,
                 p.bottom + 37);
    axis_text(out, &r->x);
    lac_text_add(out,
                 "</text>\n<text transform=\"translate(13 %.1f) rotate(-90)\" "
                 "text-anchor=\"middle\">",
                 (p.top + p.bottom) / 2);
    axis_text(out, &r->y);
    lac_text_add(out, "</text>\n");
    for (int i = 0; i < r->n_points; i++)
        dot(out, r, &p, i);
    if (shown < r->n_points) {
        snprintf(text, sizeof text, "%d without both figures: not shown", r->n_points - shown);
        lac_chart_label(out, p.left, p.bottom + 55, "start", true, text);
    }
    lac_text_add(out, "</svg>\n");
    return true;
}

void lac_chart_roofline(lac_text *out, const lac_chart_roofline_data *r)
{
    lac_chart_begin(out, r->title, "", LAC_LABEL_NONE);
    if (draw(out, r, false))
        lac_text_add(out, "</figure>\n");
    else
        lac_chart_nothing(out);
}

bool lac_chart_roofline_svg(lac_text *out, const lac_chart_roofline_data *r)
{
    return draw(out, r, true);
}
