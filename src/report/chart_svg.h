/* What the charts are drawn with: estimated widths of texts, short figures, axes, pieces of SVG.
 * All is laid out in viewBox units, which are pixels at the usual width. */
#ifndef LACUNA_REPORT_CHART_SVG_H
#define LACUNA_REPORT_CHART_SVG_H

#include "report/chart.h"

enum { LAC_CHART_WIDTH = 640, LAC_CHART_TEXT = 12, LAC_CHART_COLOURS = 8, LAC_CHART_TICKS = 24 };

/* The fallback colour of series 0, 1, ...; the style sheet's is class s1, s2, ... s8, s1, ... */
const char *lac_chart_colour(int series);

/* A figure that can be drawn: finite, and small enough that sums with others stay so. */
bool lac_chart_has(double value);
/* Of a text in a font of `size`; rather too much than too little. */
double lac_chart_width(const char *text, double size);
/* The text, escaped, cut with an ellipsis where it would be wider than `room`. */
void lac_chart_cut(lac_text *out, const char *text, double size, double room);
/* Beside a bar: "1.234M"; `decimals` as in lac_chart_bar_data. */
void lac_chart_short(double value, int decimals, char *text, size_t size);
/* In a tooltip: all digits. */
void lac_chart_long(double value, char *text, size_t size);

typedef struct lac_chart_prefix {
    double factor;
    const char *name; /* "k" */
} lac_chart_prefix;

typedef struct lac_chart_scaled { /* an axis */
    bool log;
    double low, high;   /* values; low < high, > 0 when log */
    double start, stop; /* positions */
    int n_ticks, decimals;
    lac_chart_prefix prefix; /* of the labels of a linear axis */
    double ticks[LAC_CHART_TICKS];
} lac_chart_scaled;

typedef struct lac_chart_range { /* of the values that can be drawn */
    int count;
    double low, high;
} lac_chart_range;

lac_chart_range lac_chart_range_of(const double *values, size_t n);
bool lac_chart_wants_log(lac_chart_range r, lac_chart_scale scale);
lac_chart_scaled lac_chart_linear(double low, double high);
/* Starts at the power of ten that is at least `below` decades under `low`, so that a bar of the
 * smallest value is still seen. */
lac_chart_scaled lac_chart_log(double low, double high, double below);
double lac_chart_position(const lac_chart_scaled *a, double value);
void lac_chart_tick(const lac_chart_scaled *a, double value, char *text, size_t size);

void lac_chart_line(lac_text *out, const char *name, const char *colour, double x1, double y1,
                    double x2, double y2);
/* `anchor`: start, middle or end. */
void lac_chart_label(lac_text *out, double x, double y, const char *anchor, bool soft,
                     const char *text);
/* Opens the figure with its caption; opens the drawing in it. */
void lac_chart_begin(lac_text *out, const char *title, const char *unit, lac_label label);
void lac_chart_svg(lac_text *out, double height, const char *title);
/* Closes the figure of a chart with nothing in it. */
void lac_chart_nothing(lac_text *out);

#endif
