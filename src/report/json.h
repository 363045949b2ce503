/* Reports as JSON values, for commands that put them into a larger object. */
#ifndef LACUNA_REPORT_JSON_H
#define LACUNA_REPORT_JSON_H

#include "report/table.h"

#include <jansson.h>

/* {"title", "rows": [{key: value}], "columns": [{"key", "unit", "label"}],
 * "notes": []}; the caller's. */
json_t *lac_report_to_json(const lac_report *report);

/* A JSON string of text that may come from a file and be any bytes: those that are not UTF-8 become
 * U+FFFD. NULL when memory is short. */
json_t *lac_json_text(const char *text);

#endif
