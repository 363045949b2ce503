/* What `lacuna compress --scheme auto` prints. */
#ifndef LACUNA_CLI_AUTO_REPORT_H
#define LACUNA_CLI_AUTO_REPORT_H

#include "report/table.h"
#include "study/auto.h"

/* One row per weight; `json`: reasons in a column, else as numbered notes. *report is the caller's
 * even on failure. */
lac_status auto_report(const lac_auto *chosen, const char *title, bool json, lac_report **report,
                       lac_error *err);
/* The network as a whole. */
json_t *auto_json(const lac_auto *chosen);

#endif
