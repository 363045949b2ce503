/* A report as JSON, through jansson: numbers stay numbers, empty cells are absent. */
#include "report/table.h"

#include "report/json.h"

#include <math.h>
#include <string.h>

json_t *lac_json_text(const char *text)
{
    json_t *string = json_string(text);
    if (string) /* it was UTF-8 */
        return string;
    lac_text plain = {0};
    lac_text_utf8(&plain, text);
    if (!plain.failed)
        string = json_string(plain.data ? plain.data : "");
    lac_text_release(&plain);
    return string;
}

json_t *lac_report_to_json(const lac_report *report)
{
    json_t *root = json_object(), *rows = json_array();
    json_object_set_new(root, "title", lac_json_text(lac_report_title(report)));
    lac_text keys = {0};
    for (int r = 0; r < lac_report_rows(report); r++) {
        json_t *row = json_object();
        for (int i = 0; i < lac_report_columns(report); i++) {
            const char *key = lac_report_key(report, i);
            int64_t whole;
            double number = lac_report_value(report, r, key);
            if (lac_report_whole(report, r, key, &whole))
                json_object_set_new(row, key, json_integer(whole));
            else if (!isnan(number) && !isinf(number))
                json_object_set_new(row, key, json_real(number));
            else if (lac_report_cell(report, r, key)[0] &&
                     strcmp(lac_report_cell(report, r, key), "-") != 0)
                json_object_set_new(row, key, lac_json_text(lac_report_cell(report, r, key)));
            if (lac_report_remark_of(report, r, key)) {
                keys.length = 0;
                lac_text_add(&keys, "%s_remark", key);
                json_object_set_new(row, keys.data ? keys.data : "remark",
                                    lac_json_text(lac_report_remark_of(report, r, key)));
            }
        }
        json_array_append_new(rows, row);
    }
    lac_text_release(&keys);
    json_object_set_new(root, "rows", rows);
    json_t *columns = json_array();
    for (int i = 0; i < lac_report_columns(report); i++)
        json_array_append_new(columns,
                              json_pack("{s:s, s:s, s:s}", "key", lac_report_key(report, i), "unit",
                                        lac_report_unit(report, i), "label",
                                        lac_label_name(lac_report_label(report, i))));
    json_object_set_new(root, "columns", columns);
    json_t *notes = json_array();
    for (int i = 0; lac_report_note_at(report, i); i++)
        json_array_append_new(notes, lac_json_text(lac_report_note_at(report, i)));
    json_object_set_new(root, "notes", notes);
    return root;
}
