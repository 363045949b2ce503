/* Grouped horizontal bars. A bar that counts only a part is hatched, since next to whole ones it
 * would look like a win. */
#include "report/chart_svg.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* Where the next legend entry stands; entries wrap. Draws unless `out` is NULL; returns the height
 * of the legend. */
static double legend(lac_text *out, const lac_chart_bar_data *bars)
{
    double x = 0, y = 0;
    if (bars->n_series < 2)
        return 0;
    for (int i = 0; i < bars->n_series; i++) {
        double text = lac_chart_width(bars->series[i], LAC_CHART_TEXT), wide = 16 + text + 18;
        if (x > 0 && x + wide > LAC_CHART_WIDTH) {
            x = 0;
            y += 20;
        }
        if (out) {
            lac_text_add(out,
                         "<rect class=\"s%d\" fill=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"11\" "
                         "height=\"11\" rx=\"2\"/>\n<text x=\"%.1f\" y=\"%.1f\">",
                         i % LAC_CHART_COLOURS + 1, lac_chart_colour(i), x, y + 3, x + 16,
                         y + 12.5);
            lac_chart_cut(out, bars->series[i], LAC_CHART_TEXT, LAC_CHART_WIDTH - 20);
            lac_text_add(out, "</text>\n");
        }
        x += wide;
    }
    return y + 26;
}

static const char *partial_of(const lac_chart_bar_data *bars, size_t at)
{
    return bars->partial ? bars->partial[at] : NULL;
}

/* Figure, and the note of a partial bar. */
static void figure_of(const lac_chart_bar_data *bars, size_t at, char *text, size_t size)
{
    const char *note = partial_of(bars, at);
    lac_chart_short(bars->values[at], bars->decimals, text, size);
    if (note && lac_chart_has(bars->values[at])) {
        size_t used = strlen(text);
        snprintf(text + used, size - used, " (%s)", note);
    }
}

/* Stripes in the colour of the paper over a bar, cut at its ends; no pattern, which would need an
 * id that is unique in the page. */
static void hatch(lac_text *out, double left, double top, double width, double height)
{
    lac_text_add(out,
                 "<path class=\"hatch\" fill=\"none\" stroke=\"#fff\" stroke-width=\"2\" d=\"");
    for (double x = left - height + 3; x < left + width; x += 7) {
        double from = fmax(x, left), to = fmin(x + height, left + width);
        if (to > from)
            lac_text_add(out, "M%.1f %.1fL%.1f %.1f", from, top + height - (from - x), to,
                         top + height - (to - x));
    }
    lac_text_add(out, "\"/>\n");
}

static void one_bar(lac_text *out, const lac_chart_bar_data *bars, const lac_chart_scaled *x,
                    int group, int series, double top, double thick)
{
    size_t at = (size_t)group * (size_t)bars->n_series + (size_t)series;
    double value = bars->values[at];
    double base = x->log ? x->start : lac_chart_position(x, 0), middle = top + thick / 2 + 4;
    char text[128];
    if (!lac_chart_has(value)) {
        lac_chart_label(out, base + 5, middle, "start", true, "-");
        return;
    }
    double end = lac_chart_position(x, value), left = fmin(base, end);
    lac_chart_long(value, text, sizeof text);
    lac_text_add(out, "<g><title>");
    lac_html_escape(out, bars->groups[group]);
    if (bars->n_series > 1) {
        lac_text_add(out, ", ");
        lac_html_escape(out, bars->series[series]);
    }
    lac_text_add(out, ": %s%s", text, bars->unit[0] ? " " : "");
    lac_html_escape(out, bars->unit);
    lac_text_add(out, bars->label ? " (%s)" : "%s", lac_label_name(bars->label));
    if (partial_of(bars, at)) {
        lac_text_add(out, ", ");
        lac_html_escape(out, partial_of(bars, at));
    }
    lac_text_add(out,
                 "</title>\n<rect class=\"s%d\" fill=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                 "height=\"%.1f\" rx=\"1.5\"/>\n",
                 series % LAC_CHART_COLOURS + 1, lac_chart_colour(series), left, top,
                 fabs(end - base), thick);
    if (partial_of(bars, at))
        hatch(out, left, top, fabs(end - base), thick);
    figure_of(bars, at, text, sizeof text);
    lac_chart_label(out, value < 0 ? end - 5 : end + 5, middle, value < 0 ? "end" : "start", false,
                    text);
    lac_text_add(out, "</g>\n");
}

void lac_chart_bars(lac_text *out, const lac_chart_bar_data *bars)
{
    size_t count = bars->n_groups > 0 && bars->n_series > 0
                       ? (size_t)bars->n_groups * (size_t)bars->n_series
                       : 0;
    lac_chart_range r = lac_chart_range_of(bars->values, count);
    lac_chart_begin(out, bars->title, bars->unit, bars->label);
    if (count == 0) {
        lac_chart_nothing(out);
        return;
    }
    lac_chart_scaled x =
        lac_chart_wants_log(r, bars->scale)
            ? lac_chart_log(r.low, r.high, 0.1)
            : lac_chart_linear(fmin(r.low, 0), r.low == 0 && r.high == 0 ? 1 : fmax(r.high, 0));
    char text[128];
    double names = 40, figures = 20;
    for (int g = 0; g < bars->n_groups; g++)
        names = fmax(names, lac_chart_width(bars->groups[g], LAC_CHART_TEXT));
    for (size_t i = 0; i < count; i++) {
        figure_of(bars, i, text, sizeof text);
        figures = fmax(figures, lac_chart_width(text, LAC_CHART_TEXT));
    }
    names = fmin(names, 210);
    x.start = names + 12 + (r.low < 0 ? figures + 5 : 0);
    x.stop = LAC_CHART_WIDTH - figures - 10;

    double thick = bars->n_series == 1 ? 18 : bars->n_series == 2 ? 15 : 13;
    double block = bars->n_series * (thick + 2), gap = bars->n_series == 1 ? 10 : 14;
    double top = legend(NULL, bars) + 4, bottom = top + bars->n_groups * (block + gap);
    lac_chart_svg(out, bottom + (x.log ? 40 : 24), bars->title);
    legend(out, bars);
    for (int i = 0; i < x.n_ticks; i++) {
        double at = lac_chart_position(&x, x.ticks[i]);
        lac_chart_line(out, "grid", "#dde2e8", at, top, at, bottom);
        lac_chart_tick(&x, x.ticks[i], text, sizeof text);
        lac_chart_label(out, at, bottom + 16, "middle", true, text);
    }
    if (x.log)
        lac_chart_label(out, (x.start + x.stop) / 2, bottom + 33, "middle", true, "log scale");
    for (int g = 0; g < bars->n_groups; g++) {
        double y = top + g * (block + gap) + gap / 2;
        lac_text_add(out, "<g><title>");
        lac_html_escape(out, bars->groups[g]);
        lac_text_add(out, "</title><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", names + 4,
                     y + block / 2 + 3);
        lac_chart_cut(out, bars->groups[g], LAC_CHART_TEXT, 210);
        lac_text_add(out, "</text></g>\n");
        for (int s = 0; s < bars->n_series; s++)
            one_bar(out, bars, &x, g, s, y + s * (thick + 2), thick);
    }
    double base = x.log ? x.start : lac_chart_position(&x, 0);
    lac_chart_line(out, "axis", "#5a6675", base, top, base, bottom);
    lac_text_add(out, "</svg>\n</figure>\n");
}
