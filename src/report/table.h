/* One table model for everything that people or programs read: columns with a unit and a label,
 * rows of cells; printed as aligned text, Markdown, CSV, JSON or HTML. A report computes nothing:
 * every figure is in its rows. */
#ifndef LACUNA_REPORT_TABLE_H
#define LACUNA_REPORT_TABLE_H

#include "core/text.h"

#include <lacuna/core.h>

/* What a figure is; printed with the column. */
typedef enum lac_label {
    LAC_LABEL_NONE,
    LAC_LABEL_MEASURED,
    LAC_LABEL_SIMULATED,
    LAC_LABEL_PUBLISHED,
    LAC_LABEL_DERIVED,
    LAC_LABEL_STATED /* by whoever made the model: its meta.json or metadata */
} lac_label;
const char *lac_label_name(lac_label label); /* "measured"; "" for none */

typedef struct lac_report lac_report; /* a titled table */

lac_report *lac_report_make(const char *title, lac_error *err);
void lac_report_free(lac_report *report);
/* Columns come before rows. `key` is the JSON and CSV name, `unit` may be "". */
lac_status lac_report_column(lac_report *report, const char *key, const char *heading,
                             const char *unit, lac_label label, lac_error *err);
lac_status lac_report_row(lac_report *report, lac_error *err); /* starts a row of empty cells */
/* Cell `key` of the last row. A number is printed with `decimals` (-1: shortest that fits 6
 * digits); thousands are grouped in text and HTML only. A NAN is "-". */
lac_status lac_report_text(lac_report *report, const char *key, const char *text, lac_error *err);
lac_status lac_report_number(lac_report *report, const char *key, double value, int decimals,
                             lac_error *err);
lac_status lac_report_integer(lac_report *report, const char *key, int64_t value, lac_error *err);
/* A small remark behind the cell's figure ("host 2 of 14 layers: softmax"). */
lac_status lac_report_remark(lac_report *report, const char *key, const char *text, lac_error *err);
/* The same for a long text: the cell gets a mark, [1], and the text stands once under the table,
 * however many cells share it. */
lac_status lac_report_footnote(lac_report *report, const char *key, const char *text,
                               lac_error *err);
/* A line under the table. */
lac_status lac_report_note(lac_report *report, const char *text, lac_error *err);

int lac_report_rows(const lac_report *report);
int lac_report_columns(const lac_report *report);
const char *lac_report_title(const lac_report *report);
/* The cell as printed in text ("" if empty), and its number (NAN if it has none). */
const char *lac_report_cell(const lac_report *report, int row, const char *key);
double lac_report_value(const lac_report *report, int row, const char *key);
bool lac_report_whole(const lac_report *report, int row, const char *key, int64_t *value);
const char *lac_report_remark_of(const lac_report *report, int row, const char *key); /* or NULL */
const char *lac_report_note_at(const lac_report *report, int index); /* NULL past the last */
const char *lac_report_key(const lac_report *report, int column);
const char *lac_report_unit(const lac_report *report, int column);
lac_label lac_report_label(const lac_report *report, int column);

void lac_report_print(const lac_report *report, lac_text *out); /* aligned columns */
void lac_report_markdown(const lac_report *report, lac_text *out);
void lac_report_csv(const lac_report *report, lac_text *out);  /* RFC 4180 */
void lac_report_html(const lac_report *report, lac_text *out); /* <table>, escaped */

/* 1234567 -> "1,234,567" */
const char *lac_group_digits(int64_t value, char *text, size_t size);
/* & < > " as entities, bytes that are not UTF-8 as U+FFFD. */
void lac_html_escape(lac_text *out, const char *text);

#endif
