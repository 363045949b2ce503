/* Everything is laid out in viewBox units, which are pixels at the usual width; widths of texts are
 * estimated from average glyph widths, since nobody can be asked at this point. An axis maps a
 * value to a position and knows its ticks: multiples of 1, 2 or 5 times a power of ten, or those
 * numbers themselves on a logarithmic one. */
#include "report/chart.h"

#include "core/memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WIDTH = 640, TEXT = 12, COLOURS = 8, MAX_TICKS = 24 };
static const double too_large = 1e290; /* sums and differences of values below it stay finite */

static const char *const colours[COLOURS] = {"#0072b2", "#e69f00", "#009e73", "#cc79a7",
                                             "#56b4e9", "#d55e00", "#767676", "#3b3b3b"};

static bool is_there(double value)
{
    return isfinite(value) && fabs(value) < too_large;
}

/* ---- text */

/* Reads one code point of valid UTF-8; of other bytes, one byte. */
static int code_point(const char *text, unsigned *code)
{
    const unsigned char *s = (const unsigned char *)text;
    int length = s[0] < 0xc0 ? 1 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    *code = length == 1 ? s[0] : s[0] & (0x7fu >> length);
    for (int i = 1; i < length; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return i;
        *code = *code << 6 | (s[i] & 0x3f);
    }
    return length;
}

/* In units of the font size; those of a wide face, since too much room does no harm. */
static double glyph_width(unsigned code)
{
    if (code >= 0x2e80)
        return 1.0;
    if (code < 0x80 && strchr("iljtfr.,:;|!'()[] ", (int)code))
        return 0.38;
    if (code < 0x80 && strchr("mwMW@%", (int)code))
        return 0.95;
    return code >= 'A' && code <= 'Z' ? 0.7 : 0.62;
}

static double text_width(const char *text, double size)
{
    double width = 0;
    unsigned code;
    for (; *text; text += code_point(text, &code), width += glyph_width(code) * size)
        ;
    return width;
}

/* The text, cut with an ellipsis where it would be wider than `room`. */
static void add_cut(lac_text *out, const char *text, double size, double room)
{
    bool cut = text_width(text, size) > room;
    double used = cut ? size * 0.8 : 0;
    lac_text part = {0};
    while (*text) {
        unsigned code;
        int length = code_point(text, &code);
        used += glyph_width(code) * size;
        if (cut && used > room)
            break;
        lac_text_bytes(&part, text, (size_t)length);
        text += length;
    }
    lac_html_escape(out, part.data ? part.data : "");
    out->failed |= part.failed;
    lac_text_release(&part);
    if (cut)
        lac_text_add(out, "\xe2\x80\xa6");
}

/* ---- numbers */

typedef struct prefix {
    double factor;
    const char *name;
} prefix;

static prefix prefix_of(double value)
{
    static const prefix prefixes[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
    /* 9999.5 would be printed as 10000, 999.95 k as 1000 k. */
    for (int i = 0; i < 4; i++)
        if (fabs(value) >= prefixes[i].factor * (i == 3 ? 9.9995 : 0.99995))
            return prefixes[i];
    return (prefix){1, ""};
}

/* Beside a bar: short. */
static void short_number(double value, int decimals, char *text, size_t size)
{
    prefix p = prefix_of(value);
    if (!is_there(value))
        snprintf(text, size, "-");
    else if (p.factor > 1 || decimals < 0)
        snprintf(text, size, "%.4g%s", value / p.factor, p.name);
    else
        snprintf(text, size, "%.*f", decimals, value);
}

/* In a tooltip: all of it. */
static void long_number(double value, char *text, size_t size)
{
    if (value == floor(value) && fabs(value) < 9e15)
        lac_group_digits((int64_t)value, text, size);
    else
        snprintf(text, size, "%.10g", value);
}

/* ---- axes */

typedef struct axis {
    bool log;
    double low, high;   /* values; low < high, > 0 when log */
    double start, stop; /* positions */
    int n_ticks, decimals;
    prefix prefix; /* of the labels of a linear axis */
    double ticks[MAX_TICKS];
} axis;

/* The smallest 1, 2 or 5 times a power of ten that is >= value > 0. */
static double nice_above(double value)
{
    double power = pow(10, floor(log10(value)));
    double digit = value / power;
    return power * (digit <= 1 + 1e-9 ? 1 : digit <= 2 + 1e-9 ? 2 : digit <= 5 + 1e-9 ? 5 : 10);
}

static axis linear_axis(double low, double high)
{
    axis a = {.log = false};
    if (!(high - low > 1e-290))
        high = low + (fabs(low) > 1 ? fabs(low) * 0.1 : 1);
    double step = nice_above((high - low) / 6);
    a.low = floor(low / step + 1e-9) * step;
    a.high = ceil(high / step - 1e-9) * step;
    a.prefix = prefix_of(fabs(a.high) > fabs(a.low) ? a.high : a.low);
    double digits = -floor(log10(step / a.prefix.factor) + 1e-9);
    a.decimals = digits < 0 ? 0 : digits > 5 ? -1 : (int)digits;
    for (int i = 0; i < MAX_TICKS && a.low + i * step <= a.high + step * 0.5; i++)
        a.ticks[a.n_ticks++] = a.low + i * step;
    return a;
}

/* Starts at the power of ten that is at least `below` decades under `low`, so that a bar of the
 * smallest value is still seen. */
static axis log_axis(double low, double high, double below)
{
    axis a = {.log = true, .prefix = {1, ""}, .decimals = -1};
    int first = (int)floor(log10(low) - below), last = (int)ceil(log10(high) - 1e-9);
    a.low = pow(10, first);
    a.high = nice_above(high);
    if (!(a.high > a.low)) { /* one value, itself a power of ten */
        a.high = a.low * 10;
        last = first + 1;
    }
    int stride = (last - first) / 8 + 1;
    bool fine = last - first <= 2;
    for (int e = first; e <= last; e += stride)
        for (int digit = 1; digit <= (fine ? 5 : 1); digit += digit == 1 ? 1 : 3)
            if (digit * pow(10, e) <= a.high * (1 + 1e-9) && a.n_ticks < MAX_TICKS)
                a.ticks[a.n_ticks++] = digit * pow(10, e);
    return a;
}

static double position(const axis *a, double value)
{
    /* Differences of logarithms, not the logarithm of a ratio that may overflow. */
    double part = a->log ? (log(value) - log(a->low)) / (log(a->high) - log(a->low))
                         : (value - a->low) / (a->high - a->low);
    double at = a->start + part * (a->stop - a->start);
    return fabs(at) < 0.05 ? 0 : at;
}

static void tick_label(const axis *a, double value, char *text, size_t size)
{
    if (a->log)
        short_number(value, -1, text, size);
    else if (fabs(value) < (a->high - a->low) * 1e-9)
        snprintf(text, size, "0");
    else if (a->decimals < 0 || fabs(value / a->prefix.factor) >= 1e6)
        snprintf(text, size, "%.3g%s", value / a->prefix.factor, a->prefix.name);
    else
        snprintf(text, size, "%.*f%s", a->decimals, value / a->prefix.factor, a->prefix.name);
}

typedef struct range {
    int count;
    double low, high;
} range;

static range range_of(const double *values, size_t n)
{
    range r = {0, 0, 0};
    for (size_t i = 0; i < n; i++) {
        if (!is_there(values[i]))
            continue;
        r.low = !r.count || values[i] < r.low ? values[i] : r.low;
        r.high = !r.count || values[i] > r.high ? values[i] : r.high;
        r.count++;
    }
    return r;
}

static bool wants_log(range r, lac_chart_scale scale)
{
    return r.count && r.low > 1e-290 &&
           (scale == LAC_CHART_LOG || (scale == LAC_CHART_AUTO && r.high / r.low > 50));
}

/* ---- pieces of SVG */

static void line(lac_text *out, const char *name, const char *colour, double x1, double y1,
                 double x2, double y2)
{
    lac_text_add(out,
                 "<line class=\"%s\" stroke=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                 "y2=\"%.1f\"/>\n",
                 name, colour, x1, y1, x2, y2);
}

/* `anchor`: start, middle or end. */
static void label_at(lac_text *out, double x, double y, const char *anchor, bool soft,
                     const char *text)
{
    lac_text_add(out, "<text%s x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
                 soft ? " class=\"soft\" fill=\"#5a6675\"" : "", x, y, anchor);
    lac_html_escape(out, text);
    lac_text_add(out, "</text>\n");
}

static void begin_figure(lac_text *out, const char *title, const char *unit, lac_label label)
{
    lac_text_add(out, "<figure class=\"chart\">\n<figcaption>");
    lac_html_escape(out, title);
    if (unit[0]) {
        lac_text_add(out, " <span class=\"unit\">");
        lac_html_escape(out, unit);
        lac_text_add(out, "</span>");
    }
    if (lac_label_name(label)[0])
        lac_text_add(out, " <span class=\"label %s\">%s</span>", lac_label_name(label),
                     lac_label_name(label));
    lac_text_add(out, "</figcaption>\n");
}

static void begin_svg(lac_text *out, double height, const char *title)
{
    lac_text_add(out,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" "
                 "font-family=\"sans-serif\" font-size=\"%d\" role=\"img\" aria-label=\"",
                 WIDTH, height, TEXT);
    lac_html_escape(out, title);
    lac_text_add(out, "\">\n");
}

/* For a chart with nothing in it. */
static void nothing(lac_text *out)
{
    lac_text_add(out, "<p class=\"soft\">no figures</p>\n</figure>\n");
}

/* ---- bars */

/* Where the next legend entry stands; entries wrap. Draws unless `out` is NULL; returns the height
 * of the legend. */
static double legend(lac_text *out, const lac_chart_bar_data *bars)
{
    double x = 0, y = 0;
    if (bars->n_series < 2)
        return 0;
    for (int i = 0; i < bars->n_series; i++) {
        double text = text_width(bars->series[i], TEXT), wide = 16 + text + 18;
        if (x > 0 && x + wide > WIDTH) {
            x = 0;
            y += 20;
        }
        if (out) {
            lac_text_add(out,
                         "<rect class=\"s%d\" fill=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"11\" "
                         "height=\"11\" rx=\"2\"/>\n<text x=\"%.1f\" y=\"%.1f\">",
                         i % COLOURS + 1, colours[i % COLOURS], x, y + 3, x + 16, y + 12.5);
            add_cut(out, bars->series[i], TEXT, WIDTH - 20);
            lac_text_add(out, "</text>\n");
        }
        x += wide;
    }
    return y + 26;
}

static void one_bar(lac_text *out, const lac_chart_bar_data *bars, const axis *x, int group,
                    int series, double top, double thick)
{
    double value = bars->values[(size_t)group * (size_t)bars->n_series + (size_t)series];
    double base = x->log ? x->start : position(x, 0), middle = top + thick / 2 + 4;
    char text[64];
    if (!is_there(value)) {
        label_at(out, base + 5, middle, "start", true, "-");
        return;
    }
    double end = position(x, value), left = fmin(base, end);
    long_number(value, text, sizeof text);
    lac_text_add(out, "<g><title>");
    lac_html_escape(out, bars->groups[group]);
    if (bars->n_series > 1) {
        lac_text_add(out, ", ");
        lac_html_escape(out, bars->series[series]);
    }
    lac_text_add(out, ": %s%s", text, bars->unit[0] ? " " : "");
    lac_html_escape(out, bars->unit);
    lac_text_add(out, bars->label ? " (%s)" : "%s", lac_label_name(bars->label));
    lac_text_add(out,
                 "</title>\n<rect class=\"s%d\" fill=\"%s\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" "
                 "height=\"%.1f\" rx=\"1.5\"/>\n",
                 series % COLOURS + 1, colours[series % COLOURS], left, top, fabs(end - base),
                 thick);
    short_number(value, bars->decimals, text, sizeof text);
    label_at(out, value < 0 ? end - 5 : end + 5, middle, value < 0 ? "end" : "start", false, text);
    lac_text_add(out, "</g>\n");
}

void lac_chart_bars(lac_text *out, const lac_chart_bar_data *bars)
{
    size_t count = bars->n_groups > 0 && bars->n_series > 0
                       ? (size_t)bars->n_groups * (size_t)bars->n_series
                       : 0;
    range r = range_of(bars->values, count);
    begin_figure(out, bars->title, bars->unit, bars->label);
    if (count == 0) {
        nothing(out);
        return;
    }
    axis x = wants_log(r, bars->scale)
                 ? log_axis(r.low, r.high, 0.1)
                 : linear_axis(fmin(r.low, 0), r.low == 0 && r.high == 0 ? 1 : fmax(r.high, 0));
    char text[64];
    double names = 40, figures = 20;
    for (int g = 0; g < bars->n_groups; g++)
        names = fmax(names, text_width(bars->groups[g], TEXT));
    for (size_t i = 0; i < count; i++) {
        short_number(bars->values[i], bars->decimals, text, sizeof text);
        figures = fmax(figures, text_width(text, TEXT));
    }
    names = fmin(names, 210);
    x.start = names + 12 + (r.low < 0 ? figures + 5 : 0);
    x.stop = WIDTH - figures - 10;

    double thick = bars->n_series == 1 ? 18 : bars->n_series == 2 ? 15 : 13;
    double block = bars->n_series * (thick + 2), gap = bars->n_series == 1 ? 10 : 14;
    double top = legend(NULL, bars) + 4, bottom = top + bars->n_groups * (block + gap);
    begin_svg(out, bottom + (x.log ? 40 : 24), bars->title);
    legend(out, bars);
    for (int i = 0; i < x.n_ticks; i++) {
        double at = position(&x, x.ticks[i]);
        line(out, "grid", "#dde2e8", at, top, at, bottom);
        tick_label(&x, x.ticks[i], text, sizeof text);
        label_at(out, at, bottom + 16, "middle", true, text);
    }
    if (x.log)
        label_at(out, (x.start + x.stop) / 2, bottom + 33, "middle", true, "log scale");
    for (int g = 0; g < bars->n_groups; g++) {
        double y = top + g * (block + gap) + gap / 2;
        lac_text_add(out, "<g><title>");
        lac_html_escape(out, bars->groups[g]);
        lac_text_add(out, "</title><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">", names + 4,
                     y + block / 2 + 3);
        add_cut(out, bars->groups[g], TEXT, 210);
        lac_text_add(out, "</text></g>\n");
        for (int s = 0; s < bars->n_series; s++)
            one_bar(out, bars, &x, g, s, y + s * (thick + 2), thick);
    }
    double base = x.log ? x.start : position(&x, 0);
    line(out, "axis", "#5a6675", base, top, base, bottom);
    lac_text_add(out, "</svg>\n</figure>\n");
}

/* ---- scatter */

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
            bool free_here = b.x >= plot.x && b.x + b.width <= WIDTH && b.y >= plot.y &&
                             b.y + b.height <= plot.y + plot.height;
            for (int i = 0; i < n_points && free_here; i++)
                free_here = !overlap(b, dots[i]) && (i >= n || !overlap(b, placed[i]));
            if (free_here)
                return b;
            if (step == 0 && left == (x + width + 20 > WIDTH))
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
    long_number(s->x_values[i], x, sizeof x);
    long_number(s->y_values[i], y, sizeof y);
    double cx = dot.x + radius, cy = dot.y + radius, middle = name.y + name.height / 2;
    if (fabs(middle - cy) > 9)
        line(out, "leader", "#5a6675", cx, cy, name.x > cx ? name.x - 1 : name.x + width + 1,
             middle);
    lac_text_add(out, "<g><title>");
    lac_html_escape(out, s->names[i]);
    lac_text_add(out, ": %s%s", y, s->y.unit[0] ? " " : "");
    lac_html_escape(out, s->y.unit);
    lac_text_add(out, ", %s%s", x, s->x.unit[0] ? " " : "");
    lac_html_escape(out, s->x.unit);
    lac_text_add(out,
                 "</title>\n<circle class=\"dot s1\" fill=\"%s\" stroke=\"#fff\" cx=\"%.1f\" "
                 "cy=\"%.1f\" r=\"%.1f\"/>\n<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
                 colours[0], cx, cy, radius - 0.5, name.x > cx ? name.x : name.x + name.width,
                 middle + 4, name.x > cx ? "start" : "end");
    add_cut(out, s->names[i], TEXT, width);
    lac_text_add(out, "</text></g>\n");
}

void lac_chart_scatter(lac_text *out, const lac_chart_scatter_data *s)
{
    range rx = {0, 0, 0}, ry = rx;
    size_t n = s->n_points > 0 ? (size_t)s->n_points : 0;
    double *pairs = lac_alloc(2 * n + 1, sizeof *pairs, NULL);
    box *boxes = lac_alloc(2 * n + 1, sizeof *boxes, NULL);
    int *index = lac_alloc(n + 1, sizeof *index, NULL), shown = 0, left_out = 0;
    begin_figure(out, s->title, "", LAC_LABEL_NONE);
    if (!pairs || !boxes || !index) {
        out->failed = true;
        goto done;
    }
    /* A point with half its figures is not a point. */
    for (size_t i = 0; i < n; i++) {
        if (!is_there(s->x_values[i]) || !is_there(s->y_values[i])) {
            left_out++;
            continue;
        }
        pairs[shown] = s->x_values[i];
        pairs[n + (size_t)shown] = s->y_values[i];
        index[shown++] = (int)i;
    }
    rx = range_of(pairs, (size_t)shown);
    ry = range_of(pairs + n, (size_t)shown);
    if (!shown) {
        nothing(out);
        goto done;
    }
    box plot = {58, 8, WIDTH - 58 - 16, 300};
    axis x = wants_log(rx, s->x_scale)
                 ? log_axis(rx.low, rx.high, 0)
                 : linear_axis(rx.low > 0 && rx.low < 0.6 * rx.high ? 0 : rx.low, rx.high);
    double margin = (ry.high - ry.low) * 0.08;
    bool percent = strcmp(s->y.unit, "%") == 0 && ry.high <= 100;
    axis y = linear_axis(ry.low - margin, percent ? fmin(ry.high + margin, 100) : ry.high + margin);
    x.start = plot.x;
    x.stop = plot.x + plot.width;
    y.start = plot.y + plot.height;
    y.stop = plot.y;

    char text[64];
    begin_svg(out, plot.y + plot.height + (left_out ? 60 : 44), s->title);
    for (int i = 0; i < x.n_ticks; i++) {
        double at = position(&x, x.ticks[i]);
        line(out, "grid", "#dde2e8", at, plot.y, at, plot.y + plot.height);
        tick_label(&x, x.ticks[i], text, sizeof text);
        label_at(out, at, plot.y + plot.height + 17, "middle", true, text);
    }
    for (int i = 0; i < y.n_ticks; i++) {
        double at = position(&y, y.ticks[i]);
        line(out, "grid", "#dde2e8", plot.x, at, plot.x + plot.width, at);
        tick_label(&y, y.ticks[i], text, sizeof text);
        label_at(out, plot.x - 7, at + 4, "end", true, text);
    }
    line(out, "axis", "#5a6675", plot.x, plot.y, plot.x, plot.y + plot.height);
    line(out, "axis", "#5a6675", plot.x, plot.y + plot.height, plot.x + plot.width,
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
        boxes[i] = dot_box(position(&x, pairs[i]), position(&y, pairs[n + (size_t)i]));
    for (int i = 0; i < shown; i++) {
        double width = fmin(text_width(s->names[index[i]], TEXT) + 1, 240);
        boxes[n + (size_t)i] = place_name(boxes, boxes + n, i, shown, width, plot);
        one_point(out, s, index[i], boxes[i], boxes[n + (size_t)i], width);
    }
    if (left_out) {
        snprintf(text, sizeof text, "%d without both figures: not shown", left_out);
        label_at(out, plot.x, plot.y + plot.height + 55, "start", true, text);
    }
    lac_text_add(out, "</svg>\n</figure>\n");
done:
    if (!pairs || !boxes || !index)
        lac_text_add(out, "</figure>\n");
    lac_free(pairs);
    lac_free(boxes);
    lac_free(index);
}
