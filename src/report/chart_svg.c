/* See chart_svg.h. Widths of texts are estimated from average glyph widths, since nobody can be
 * asked at this point. An axis maps a value to a position and knows its ticks: multiples of 1, 2 or
 * 5 times a power of ten, or those numbers themselves on a logarithmic one. */
#include "report/chart_svg.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static const double too_large = 1e290; /* sums and differences of values below it stay finite */

const char *lac_chart_colour(int series)
{
    static const char *const colours[LAC_CHART_COLOURS] = {
        "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#767676", "#3b3b3b"};
    return colours[series % LAC_CHART_COLOURS];
}

bool lac_chart_has(double value)
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

double lac_chart_width(const char *text, double size)
{
    double width = 0;
    unsigned code;
    for (; *text; text += code_point(text, &code), width += glyph_width(code) * size)
        ;
    return width;
}

/* The text, cut with an ellipsis where it would be wider than `room`. */
void lac_chart_cut(lac_text *out, const char *text, double size, double room)
{
    bool cut = lac_chart_width(text, size) > room;
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

static lac_chart_prefix prefix_of(double value)
{
    static const lac_chart_prefix prefixes[] = {{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}};
    /* 9999.5 would be printed as 10000, 999.95 k as 1000 k. */
    for (int i = 0; i < 4; i++)
        if (fabs(value) >= prefixes[i].factor * (i == 3 ? 9.9995 : 0.99995))
            return prefixes[i];
    return (lac_chart_prefix){1, ""};
}

/* Beside a bar: short. */
void lac_chart_short(double value, int decimals, char *text, size_t size)
{
    lac_chart_prefix p = prefix_of(value);
    if (!lac_chart_has(value))
        snprintf(text, size, "-");
    else if (p.factor > 1 || decimals < 0)
        snprintf(text, size, "%.4g%s", value / p.factor, p.name);
    else
        snprintf(text, size, "%.*f", decimals, value);
}

/* In a tooltip: all of it. */
void lac_chart_long(double value, char *text, size_t size)
{
    if (value == floor(value) && fabs(value) < 9e15)
        lac_group_digits((int64_t)value, text, size);
    else
        snprintf(text, size, "%.10g", value);
}

/* ---- axes */

/* The smallest 1, 2 or 5 times a power of ten that is >= value > 0. */
static double nice_above(double value)
{
    double power = pow(10, floor(log10(value)));
    double digit = value / power;
    return power * (digit <= 1 + 1e-9 ? 1 : digit <= 2 + 1e-9 ? 2 : digit <= 5 + 1e-9 ? 5 : 10);
}

lac_chart_scaled lac_chart_linear(double low, double high)
{
    lac_chart_scaled a = {.log = false};
    if (!(high - low > 1e-290))
        high = low + (fabs(low) > 1 ? fabs(low) * 0.1 : 1);
    double step = nice_above((high - low) / 6);
    a.low = floor(low / step + 1e-9) * step;
    a.high = ceil(high / step - 1e-9) * step;
    a.prefix = prefix_of(fabs(a.high) > fabs(a.low) ? a.high : a.low);
    double digits = -floor(log10(step / a.prefix.factor) + 1e-9);
    a.decimals = digits < 0 ? 0 : digits > 5 ? -1 : (int)digits;
    for (int i = 0; i < LAC_CHART_TICKS && a.low + i * step <= a.high + step * 0.5; i++)
        a.ticks[a.n_ticks++] = a.low + i * step;
    return a;
}

/* Starts at the power of ten that is at least `below` decades under `low`, so that a bar of the
 * smallest value is still seen. */
lac_chart_scaled lac_chart_log(double low, double high, double below)
{
    lac_chart_scaled a = {.log = true, .prefix = {1, ""}, .decimals = -1};
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
            if (digit * pow(10, e) <= a.high * (1 + 1e-9) && a.n_ticks < LAC_CHART_TICKS)
                a.ticks[a.n_ticks++] = digit * pow(10, e);
    return a;
}

double lac_chart_position(const lac_chart_scaled *a, double value)
{
    /* Differences of logarithms, not the logarithm of a ratio that may overflow. */
    double part = a->log ? (log(value) - log(a->low)) / (log(a->high) - log(a->low))
                         : (value - a->low) / (a->high - a->low);
    double at = a->start + part * (a->stop - a->start);
    return fabs(at) < 0.05 ? 0 : at;
}

void lac_chart_tick(const lac_chart_scaled *a, double value, char *text, size_t size)
{
    if (a->log)
        lac_chart_short(value, -1, text, size);
    else if (fabs(value) < (a->high - a->low) * 1e-9)
        snprintf(text, size, "0");
    else if (a->decimals < 0 || fabs(value / a->prefix.factor) >= 1e6)
        snprintf(text, size, "%.3g%s", value / a->prefix.factor, a->prefix.name);
    else
        snprintf(text, size, "%.*f%s", a->decimals, value / a->prefix.factor, a->prefix.name);
}

lac_chart_range lac_chart_range_of(const double *values, size_t n)
{
    lac_chart_range r = {0, 0, 0};
    for (size_t i = 0; i < n; i++) {
        if (!lac_chart_has(values[i]))
            continue;
        r.low = !r.count || values[i] < r.low ? values[i] : r.low;
        r.high = !r.count || values[i] > r.high ? values[i] : r.high;
        r.count++;
    }
    return r;
}

bool lac_chart_wants_log(lac_chart_range r, lac_chart_scale scale)
{
    return r.count && r.low > 1e-290 &&
           (scale == LAC_CHART_LOG || (scale == LAC_CHART_AUTO && r.high / r.low > 50));
}

/* ---- pieces of SVG */

void lac_chart_line(lac_text *out, const char *name, const char *colour, double x1, double y1,
                    double x2, double y2)
{
    lac_text_add(out,
                 "<line class=\"%s\" stroke=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" "
                 "y2=\"%.1f\"/>\n",
                 name, colour, x1, y1, x2, y2);
}

/* `anchor`: start, middle or end. */
void lac_chart_label(lac_text *out, double x, double y, const char *anchor, bool soft,
                     const char *text)
{
    lac_text_add(out, "<text%s x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">",
                 soft ? " class=\"soft\" fill=\"#5a6675\"" : "", x, y, anchor);
    lac_html_escape(out, text);
    lac_text_add(out, "</text>\n");
}

void lac_chart_begin(lac_text *out, const char *title, const char *unit, lac_label label)
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

void lac_chart_svg(lac_text *out, double height, const char *title)
{
    lac_text_add(out,
                 "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %.0f\" "
                 "font-family=\"sans-serif\" font-size=\"%d\" role=\"img\" aria-label=\"",
                 LAC_CHART_WIDTH, height, LAC_CHART_TEXT);
    lac_html_escape(out, title);
    lac_text_add(out, "\">\n");
}

/* For a chart with nothing in it. */
void lac_chart_nothing(lac_text *out)
{
    lac_text_add(out, "<p class=\"soft\">no figures</p>\n</figure>\n");
}
