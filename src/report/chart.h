/* Charts as inline SVG for the HTML report: grouped bars, a labelled scatter, a roofline. Each call
 * appends one <figure class="chart"> that is well-formed XML, needs no script, and takes its
 * colours from the page's style sheet (page.h) with fallbacks in the SVG itself. The same input
 * gives the same bytes. A chart computes no figures: what it shows is what it is given.
 *
 * All texts are UTF-8 and are escaped here. A value that is not finite is left out and shown as
 * "-". A failed allocation sets out->failed. */
#ifndef LACUNA_REPORT_CHART_H
#define LACUNA_REPORT_CHART_H

#include "report/table.h"

typedef enum lac_chart_scale {
    LAC_CHART_LINEAR, /* bars start at 0 */
    LAC_CHART_LOG,    /* base 10; linear if any value is <= 0 */
    LAC_CHART_AUTO    /* LOG where all values are > 0 and max / min > 50 */
} lac_chart_scale;

/* Horizontal bars, one block per group, one colour per series (8 colours, then again from the
 * first). The log axis of bars starts below the smallest value and says "log scale". */
typedef struct lac_chart_bar_data {
    const char *title, *unit; /* unit may be "" */
    lac_label label;          /* what all the values are */
    int n_groups, n_series;
    const char *const *groups; /* [n_groups]: names at the left, cut with an ellipsis if long */
    const char *const *series; /* [n_series]: the legend; unused when n_series is 1, may be NULL */
    const double *values;      /* [n_groups][n_series] */
    /* [n_groups][n_series] or NULL: where a text stands ("host 5 of 30 layers"), the bar counts
     * only a part: it is hatched, and the text stands beside its figure. NULL elements: whole bars.
     */
    const char *const *partial;
    int decimals; /* of the figures beside the bars; -1: four significant digits */
    lac_chart_scale scale;
} lac_chart_bar_data;
void lac_chart_bars(lac_text *out, const lac_chart_bar_data *bars);

/* Named points, e.g. accuracy over latency. Only x can be logarithmic. */
typedef struct lac_chart_axis {
    const char *name, *unit; /* "CPU latency", "ms"; unit may be "" */
    lac_label label;
} lac_chart_axis;
typedef struct lac_chart_scatter_data {
    const char *title;
    lac_chart_axis x, y;
    int n_points;
    const char *const *names; /* [n_points] */
    const double *x_values;   /* [n_points] */
    const double *y_values;   /* [n_points] */
    lac_chart_scale x_scale;
} lac_chart_scatter_data;
void lac_chart_scatter(lac_text *out, const lac_chart_scatter_data *scatter);

/* Layers under the ceilings of a machine, both axes logarithmic: x is operations per byte, y 1e9
 * operations per second. Names of dots are in their tooltips. */
typedef struct lac_chart_ceiling {
    const char *name; /* "DRAM" */
    double value;
} lac_chart_ceiling;
typedef struct lac_chart_roofline_data {
    const char *title;
    lac_chart_axis x, y;
    int n_flat, n_slanted;
    const lac_chart_ceiling *flat;    /* [n_flat]: y, in its unit; the lowest first */
    const lac_chart_ceiling *slanted; /* [n_slanted]: y / x */
    const char *slanted_unit;         /* "GB/s" */
    int n_points;
    const char *const *names; /* [n_points] */
    const double *x_values, *y_values;
    int n_series; /* of the legend */
    const char *const *series;
    const int *point_series; /* [n_points], or NULL: all of the first */
} lac_chart_roofline_data;
void lac_chart_roofline(lac_text *out, const lac_chart_roofline_data *roofline);
/* A file of its own: one <svg>. False, and nothing appended, when there is nothing to draw. */
bool lac_chart_roofline_svg(lac_text *out, const lac_chart_roofline_data *roofline);

#endif
