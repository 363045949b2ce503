/* See table.h. */
#include "report/table.h"

#include "core/memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct column {
    char *key, *heading, *unit;
    lac_label label;
} column;

typedef struct cell {
    char *text; /* as printed; NULL: empty */
    char *remark;
    int mark;      /* of a footnote, from 1; its text is the remark */
    double number; /* NAN: none */
    bool missing;  /* a number that there is not: "-" for people only */
    bool integer;
    int64_t whole;
} cell;

struct lac_report {
    char *title;
    int n_columns, n_rows, n_notes, n_marks;
    column *columns;
    cell *cells; /* [n_rows][n_columns] */
    char **notes;
};

const char *lac_label_name(lac_label label)
{
    static const char *const names[] = {"",          "measured", "simulated",
                                        "published", "derived",  "stated"};
    return (unsigned)label < sizeof names / sizeof *names ? names[label] : "";
}

lac_report *lac_report_make(const char *title, lac_error *err)
{
    lac_report *report = lac_alloc(1, sizeof *report, err);
    if (report && !(report->title = lac_strdup(title, err))) {
        lac_free(report);
        return NULL;
    }
    return report;
}

void lac_report_free(lac_report *report)
{
    if (!report)
        return;
    for (int i = 0; i < report->n_columns; i++) {
        lac_free(report->columns[i].key);
        lac_free(report->columns[i].heading);
        lac_free(report->columns[i].unit);
    }
    for (int i = 0; i < report->n_rows * report->n_columns; i++) {
        lac_free(report->cells[i].text);
        lac_free(report->cells[i].remark);
    }
    for (int i = 0; i < report->n_notes; i++)
        lac_free(report->notes[i]);
    lac_free(report->columns);
    lac_free(report->cells);
    lac_free((void *)report->notes);
    lac_free(report->title);
    lac_free(report);
}

lac_status lac_report_column(lac_report *report, const char *key, const char *heading,
                             const char *unit, lac_label label, lac_error *err)
{
    size_t n = (size_t)report->n_columns;
    if (report->n_rows)
        return lac_fail(err, LAC_ERROR_INTERNAL, "report: column %s after the first row", key);
    column *columns = lac_grow(report->columns, n, n + 1, sizeof *columns, err);
    if (!columns)
        return LAC_ERROR_MEMORY;
    report->columns = columns;
    report->n_columns++;
    columns[n].key = lac_strdup(key, err);
    columns[n].heading = lac_strdup(heading, err);
    columns[n].unit = lac_strdup(unit, err);
    columns[n].label = label;
    return columns[n].key && columns[n].heading && columns[n].unit ? LAC_OK : LAC_ERROR_MEMORY;
}

lac_status lac_report_row(lac_report *report, lac_error *err)
{
    size_t used = (size_t)(report->n_rows * report->n_columns), width = (size_t)report->n_columns;
    cell *cells = lac_grow(report->cells, used, used + width, sizeof *cells, err);
    if (!cells)
        return LAC_ERROR_MEMORY;
    for (size_t i = used; i < used + width; i++)
        cells[i].number = NAN;
    report->cells = cells;
    report->n_rows++;
    return LAC_OK;
}

static int find(const lac_report *report, const char *key)
{
    for (int i = 0; i < report->n_columns; i++)
        if (strcmp(report->columns[i].key, key) == 0)
            return i;
    return -1;
}

static cell *last_cell(lac_report *report, const char *key, lac_error *err)
{
    int i = find(report, key);
    if (i < 0 || report->n_rows == 0) {
        lac_fail(err, LAC_ERROR_INTERNAL, "report '%s' has no column %s", report->title, key);
        return NULL;
    }
    return &report->cells[(report->n_rows - 1) * report->n_columns + i];
}

static lac_status replace(char **text, const char *with, lac_error *err)
{
    char *copy = lac_strdup(with, err);
    if (!copy)
        return LAC_ERROR_MEMORY;
    lac_free(*text);
    *text = copy;
    return LAC_OK;
}

lac_status lac_report_text(lac_report *report, const char *key, const char *text, lac_error *err)
{
    cell *c = last_cell(report, key, err);
    return c ? replace(&c->text, text, err) : LAC_ERROR_INTERNAL;
}

lac_status lac_report_remark(lac_report *report, const char *key, const char *text, lac_error *err)
{
    cell *c = last_cell(report, key, err);
    return c ? replace(&c->remark, text, err) : LAC_ERROR_INTERNAL;
}

/* The mark of a footnote that says `text`, or 0. */
static int mark_of(const lac_report *report, const char *text)
{
    for (int i = 0; i < report->n_rows * report->n_columns; i++)
        if (report->cells[i].mark && strcmp(report->cells[i].remark, text) == 0)
            return report->cells[i].mark;
    return 0;
}

lac_status lac_report_footnote(lac_report *report, const char *key, const char *text,
                               lac_error *err)
{
    int mark = mark_of(report, text);
    if (!mark) {
        lac_text note = {0};
        lac_text_add(&note, "[%d] %s", report->n_marks + 1, text);
        lac_status status = note.failed ? lac_fail(err, LAC_ERROR_MEMORY, "out of memory")
                                        : lac_report_note(report, note.data, err);
        lac_text_release(&note);
        LAC_TRY(status);
        mark = ++report->n_marks;
    }
    LAC_TRY(lac_report_remark(report, key, text, err));
    last_cell(report, key, err)->mark = mark;
    return LAC_OK;
}

const char *lac_group_digits(int64_t value, char *text, size_t size)
{
    char digits[32], *out = text;
    snprintf(digits, sizeof digits, "%" PRId64, value);
    size_t length = strlen(digits), sign = digits[0] == '-';
    for (size_t i = 0; i < length && (size_t)(out - text) + 2 < size; i++) {
        if (i > sign && (length - i) % 3 == 0)
            *out++ = ',';
        *out++ = digits[i];
    }
    *out = 0;
    return text;
}

lac_status lac_report_number(lac_report *report, const char *key, double value, int decimals,
                             lac_error *err)
{
    char text[64];
    cell *c = last_cell(report, key, err);
    if (!c)
        return LAC_ERROR_INTERNAL;
    if (isnan(value))
        snprintf(text, sizeof text, "-");
    else if (decimals < 0 || fabs(value) >= 1e15) /* beyond: no exact digits to group */
        snprintf(text, sizeof text, "%.6g", value);
    else if (fabs(value) >= 1e4 && decimals == 0)
        lac_group_digits((int64_t)llround(value), text, sizeof text);
    else
        snprintf(text, sizeof text, "%.*f", decimals, value);
    c->number = value;
    c->missing = isnan(value);
    return replace(&c->text, text, err);
}

lac_status lac_report_integer(lac_report *report, const char *key, int64_t value, lac_error *err)
{
    char text[64];
    cell *c = last_cell(report, key, err);
    if (!c)
        return LAC_ERROR_INTERNAL;
    c->number = (double)value;
    c->integer = true;
    c->whole = value;
    return replace(&c->text, lac_group_digits(value, text, sizeof text), err);
}

lac_status lac_report_note(lac_report *report, const char *text, lac_error *err)
{
    size_t n = (size_t)report->n_notes;
    char **notes = lac_grow((void *)report->notes, n, n + 1, sizeof *notes, err);
    if (!notes)
        return LAC_ERROR_MEMORY;
    report->notes = notes;
    if (!(notes[n] = lac_strdup(text, err)))
        return LAC_ERROR_MEMORY;
    report->n_notes++;
    return LAC_OK;
}

int lac_report_rows(const lac_report *report)
{
    return report->n_rows;
}

int lac_report_columns(const lac_report *report)
{
    return report->n_columns;
}

const char *lac_report_title(const lac_report *report)
{
    return report->title;
}

static const cell *cell_at(const lac_report *report, int row, const char *key)
{
    int i = find(report, key);
    return i < 0 || row < 0 || row >= report->n_rows ? NULL
                                                     : &report->cells[row * report->n_columns + i];
}

const char *lac_report_cell(const lac_report *report, int row, const char *key)
{
    const cell *c = cell_at(report, row, key);
    return c && c->text ? c->text : "";
}

double lac_report_value(const lac_report *report, int row, const char *key)
{
    const cell *c = cell_at(report, row, key);
    return c ? c->number : NAN;
}

bool lac_report_whole(const lac_report *report, int row, const char *key, int64_t *value)
{
    const cell *c = cell_at(report, row, key);
    if (c && c->integer)
        *value = c->whole;
    return c && c->integer;
}

const char *lac_report_remark_of(const lac_report *report, int row, const char *key)
{
    const cell *c = cell_at(report, row, key);
    return c ? c->remark : NULL;
}

const char *lac_report_note_at(const lac_report *report, int index)
{
    return index < report->n_notes ? report->notes[index] : NULL;
}

const char *lac_report_key(const lac_report *report, int index)
{
    return report->columns[index].key;
}

const char *lac_report_unit(const lac_report *report, int index)
{
    return report->columns[index].unit;
}

lac_label lac_report_label(const lac_report *report, int index)
{
    return report->columns[index].label;
}

/* Columns on the screen, not bytes: continuation bytes of UTF-8 take none. */
static int width_of(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

static void pad(lac_text *out, int spaces)
{
    if (spaces > 0)
        lac_text_add(out, "%*s", spaces, "");
}

static void heading_of(const column *c, lac_text *out)
{
    lac_text_add(out, "%s", c->heading);
    if (c->unit[0])
        lac_text_add(out, " [%s]", c->unit);
}

/* The whole text of a cell: figure and remark. */
static void cell_text(const cell *c, lac_text *out)
{
    const char *gap = c->text && c->text[0] ? " " : "";
    lac_text_add(out, "%s", c->text ? c->text : "");
    if (c->mark)
        lac_text_add(out, "%s[%d]", gap, c->mark);
    else if (c->remark)
        lac_text_add(out, "%s(%s)", gap, c->remark);
}

static bool is_numeric(const lac_report *report, int column_index)
{
    for (int r = 0; r < report->n_rows; r++)
        if (!isnan(report->cells[r * report->n_columns + column_index].number))
            return true;
    return false;
}

static void aligned(lac_text *out, const char *text, int width, bool right, bool last)
{
    int spaces = width - width_of(text);
    if (right)
        pad(out, spaces);
    lac_text_add(out, "%s", text);
    if (!last)
        pad(out, (right ? 0 : spaces) + 2);
}

void lac_report_print(const lac_report *report, lac_text *out)
{
    lac_text line = {0};
    int n = report->n_columns;
    if (report->title[0])
        lac_text_add(out, "%s\n", report->title);
    /* Lines: headings, labels (if any), a rule, the rows. */
    for (int line_index = -3; line_index < report->n_rows; line_index++) {
        bool any_label = false;
        for (int i = 0; i < n; i++)
            any_label |= report->columns[i].label != LAC_LABEL_NONE;
        if (line_index == -2 && !any_label)
            continue;
        for (int i = 0; i < n; i++) {
            const column *c = &report->columns[i];
            lac_text text = {0};
            heading_of(c, &text);
            int width = width_of(text.data ? text.data : "");
            int label = width_of(lac_label_name(c->label));
            width = width > label ? width : label;
            for (int r = 0; r < report->n_rows; r++) {
                lac_text each = {0};
                cell_text(&report->cells[r * n + i], &each);
                int w = width_of(each.data ? each.data : "");
                width = width > w ? width : w;
                lac_text_release(&each);
            }
            bool right = is_numeric(report, i);
            if (line_index == -3) {
                aligned(&line, text.data ? text.data : "", width, right, i == n - 1);
            } else if (line_index == -2) {
                aligned(&line, lac_label_name(c->label), width, right, i == n - 1);
            } else if (line_index == -1) {
                for (int d = 0; d < width; d++)
                    lac_text_add(&line, "-");
                pad(&line, i == n - 1 ? 0 : 2);
            } else {
                lac_text each = {0};
                cell_text(&report->cells[line_index * n + i], &each);
                aligned(&line, each.data ? each.data : "", width, right, i == n - 1);
                lac_text_release(&each);
            }
            lac_text_release(&text);
        }
        while (line.length && line.data[line.length - 1] == ' ')
            line.data[--line.length] = 0;
        lac_text_add(out, "%s\n", line.data ? line.data : "");
        line.length = 0;
    }
    lac_text_release(&line);
    for (int i = 0; i < report->n_notes; i++)
        lac_text_add(out, "%s\n", report->notes[i]);
}

/* A bar would end the cell, a line break the row. */
static void markdown_text(lac_text *out, const char *text)
{
    for (; *text; text++)
        if (*text == '|')
            lac_text_add(out, "\\|");
        else
            lac_text_bytes(out, *text == '\n' || *text == '\r' ? " " : text, 1);
}

void lac_report_markdown(const lac_report *report, lac_text *out)
{
    lac_text text = {0};
    for (int i = 0; i < report->n_columns; i++) {
        text.length = 0;
        heading_of(&report->columns[i], &text);
        lac_text_add(out, "| ");
        markdown_text(out, text.data ? text.data : "");
        if (report->columns[i].label)
            lac_text_add(out, " (%s)", lac_label_name(report->columns[i].label));
        lac_text_add(out, " ");
    }
    lac_text_add(out, "|\n");
    for (int i = 0; i < report->n_columns; i++)
        lac_text_add(out, is_numeric(report, i) ? "|---:" : "|---");
    lac_text_add(out, "|\n");
    for (int r = 0; r < report->n_rows; r++) {
        for (int i = 0; i < report->n_columns; i++) {
            text.length = 0;
            cell_text(&report->cells[r * report->n_columns + i], &text);
            lac_text_add(out, "| ");
            markdown_text(out, text.data ? text.data : "");
            lac_text_add(out, " ");
        }
        lac_text_add(out, "|\n");
    }
    out->failed |= text.failed;
    lac_text_release(&text);
    for (int i = 0; i < report->n_notes; i++)
        lac_text_add(out, "\n%s\n", report->notes[i]);
}

static void csv_field(lac_text *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        lac_text_add(out, "%s", text);
        return;
    }
    lac_text_add(out, "\"");
    for (; *text; text++)
        lac_text_add(out, *text == '"' ? "\"\"" : "%c", *text);
    lac_text_add(out, "\"");
}

/* A cell for programs: full precision, no grouping. */
static void plain_cell(const cell *c, lac_text *out)
{
    if (c->integer)
        lac_text_add(out, "%" PRId64, c->whole);
    else if (!isnan(c->number))
        lac_text_add(out, "%.17g", c->number);
    else if (!c->missing)
        csv_field(out, c->text ? c->text : "");
}

void lac_report_csv(const lac_report *report, lac_text *out)
{
    for (int i = 0; i < report->n_columns; i++) {
        lac_text_add(out, i ? "," : "");
        csv_field(out, report->columns[i].key);
    }
    lac_text_add(out, "\r\n");
    for (int r = 0; r < report->n_rows; r++) {
        for (int i = 0; i < report->n_columns; i++) {
            lac_text_add(out, i ? "," : "");
            plain_cell(&report->cells[r * report->n_columns + i], out);
        }
        lac_text_add(out, "\r\n");
    }
}

void lac_html_escape(lac_text *out, const char *text)
{
    lac_text plain = {0};
    lac_text_utf8(&plain, text);
    out->failed |= plain.failed;
    for (const char *c = plain.data ? plain.data : ""; *c; c++)
        switch (*c) {
        case '&':
            lac_text_add(out, "&amp;");
            break;
        case '<':
            lac_text_add(out, "&lt;");
            break;
        case '>':
            lac_text_add(out, "&gt;");
            break;
        case '"':
            lac_text_add(out, "&quot;");
            break;
        default:
            lac_text_bytes(out, c, 1);
        }
    lac_text_release(&plain);
}

void lac_report_html(const lac_report *report, lac_text *out)
{
    lac_text_add(out, "<table>\n<caption>");
    lac_html_escape(out, report->title);
    lac_text_add(out, "</caption>\n<thead><tr>");
    for (int i = 0; i < report->n_columns; i++) {
        const column *c = &report->columns[i];
        lac_text_add(out, "<th%s>", is_numeric(report, i) ? " class=\"number\"" : "");
        lac_html_escape(out, c->heading);
        if (c->unit[0]) {
            lac_text_add(out, " <span class=\"unit\">");
            lac_html_escape(out, c->unit);
            lac_text_add(out, "</span>");
        }
        if (c->label)
            lac_text_add(out, "<br><span class=\"label %s\">%s</span>", lac_label_name(c->label),
                         lac_label_name(c->label));
        lac_text_add(out, "</th>");
    }
    lac_text_add(out, "</tr></thead>\n<tbody>\n");
    for (int r = 0; r < report->n_rows; r++) {
        lac_text_add(out, "<tr>");
        for (int i = 0; i < report->n_columns; i++) {
            const cell *c = &report->cells[r * report->n_columns + i];
            lac_text_add(out, "<td%s>", is_numeric(report, i) ? " class=\"number\"" : "");
            lac_html_escape(out, c->text ? c->text : "");
            if (c->mark) {
                lac_text_add(out, " <sup>[%d]</sup>", c->mark);
            } else if (c->remark) {
                lac_text_add(out, "<br><span class=\"remark\">");
                lac_html_escape(out, c->remark);
                lac_text_add(out, "</span>");
            }
            lac_text_add(out, "</td>");
        }
        lac_text_add(out, "</tr>\n");
    }
    lac_text_add(out, "</tbody>\n</table>\n");
    for (int i = 0; i < report->n_notes; i++) {
        lac_text_add(out, "<p class=\"note\">");
        lac_html_escape(out, report->notes[i]);
        lac_text_add(out, "</p>\n");
    }
}
