/* See auto_report.h. */
#include "cli/auto_report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *key, *heading, *unit;
    lac_label label;
} columns[] = {
    {"layer", "layer", "", LAC_LABEL_NONE},
    {"form", "form", "", LAC_LABEL_NONE},
    {"sparsity", "zeros", "%", LAC_LABEL_NONE},
    {"error", "error", "", LAC_LABEL_NONE},
    {"ms", "time", "ms", LAC_LABEL_MEASURED},
    {"ms_float", "dense float32", "ms", LAC_LABEL_MEASURED},
    {"ms_int8", "dense int8", "ms", LAC_LABEL_MEASURED},
    {"runner_up", "runner-up", "", LAC_LABEL_NONE},
    {"ms_runner_up", "its time", "ms", LAC_LABEL_MEASURED},
};

static lac_status row(lac_report *report, const lac_auto_layer *layer, lac_error *err)
{
    LAC_TRY(lac_report_row(report, err));
    LAC_TRY(lac_report_text(report, "layer", layer->name, err));
    LAC_TRY(lac_report_text(report, "form", layer->form, err));
    LAC_TRY(lac_report_number(report, "sparsity", 100 * layer->sparsity, 1, err));
    LAC_TRY(lac_report_number(report, "error", layer->error, 4, err));
    LAC_TRY(lac_report_number(report, "ms", layer->ms, 4, err));
    LAC_TRY(lac_report_number(report, "ms_float", layer->ms_float, 4, err));
    LAC_TRY(lac_report_number(report, "ms_int8", layer->ms_int8, 4, err));
    LAC_TRY(lac_report_text(report, "runner_up", layer->runner_up, err));
    return lac_report_number(report, "ms_runner_up", layer->ms_runner_up, 4, err);
}

static lac_status notes(lac_report *report, const lac_auto *a, lac_error *err)
{
    char note[1000], int8[64] = "";
    if (isfinite(a->ms_int8))
        snprintf(int8, sizeof int8, ", dense int8 %.4f ms", a->ms_int8);
    snprintf(note, sizeof note, "whole network: %.4f ms, dense float32 %.4f ms%s (input: %s)",
             a->ms, a->ms_float, int8, a->source);
    LAC_TRY(lac_report_note(report, note, err));
    if (a->metric[0])
        snprintf(note, sizeof note, "%s %.4f, was %.4f (%lld items, the same that the choice saw)",
                 a->metric, a->score, a->score_before, (long long)a->items);
    if (a->metric[0])
        LAC_TRY(lac_report_note(report, note, err));
    snprintf(note, sizeof note, "%s; %d networks measured in %.0f s%s", a->why, a->networks,
             a->seconds, a->out_of_time ? "; the budget ended before all was tried" : "");
    return lac_report_note(report, note, err);
}

lac_status auto_report(const lac_auto *chosen, const char *title, bool json, lac_report **result,
                       lac_error *err)
{
    lac_report *report = *result = lac_report_make(title, err);
    if (!report)
        return LAC_ERROR_MEMORY;
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        LAC_TRY(lac_report_column(report, columns[i].key, columns[i].heading, columns[i].unit,
                                  columns[i].label, err));
    if (json)
        LAC_TRY(lac_report_column(report, "why", "", "", LAC_LABEL_NONE, err));
    for (int i = 0; i < chosen->n; i++) {
        LAC_TRY(row(report, &chosen->layer[i], err));
        if (json)
            LAC_TRY(lac_report_text(report, "why", chosen->layer[i].why, err));
        else
            LAC_TRY(lac_report_footnote(report, "form", chosen->layer[i].why, err));
    }
    return json ? LAC_OK : notes(report, chosen, err);
}

static json_t *figure(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *auto_json(const lac_auto *a)
{
    return json_pack("{s:o, s:o, s:o, s:s, s:o, s:o, s:I, s:s, s:s, s:s, s:i, s:f, s:b}", "ms",
                     figure(a->ms), "ms_float", figure(a->ms_float), "ms_int8", figure(a->ms_int8),
                     "metric", a->metric, "score", figure(a->score), "score_before",
                     figure(a->score_before), "items", (json_int_t)a->items, "why", a->why, "input",
                     a->source, "calibration", a->calibration, "networks", a->networks, "seconds",
                     a->seconds, "out_of_time", a->out_of_time);
}
