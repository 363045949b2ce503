/* Reports as JSON values, for commands that put them into a larger object. */
#ifndef LACUNA_REPORT_JSON_H
#define LACUNA_REPORT_JSON_H

#include "report/table.h"

#include <jansson.h>

/* {"title", "rows": [{key: value}], "columns": [{"key", "unit", "label"}],
 * "notes": []}; the caller's. */
json_t *lac_report_to_json(const lac_report *report);

#endif
