/* A self-contained HTML page: one file, no script, no external resource; follows the reader's light
 * or dark preference and prints in black on white. Call begin, then any of the middle ones and
 * the charts of chart.h in reading order, then end. Charts that follow each other stand side by
 * side on wide screens. All texts are UTF-8 and are escaped here; nothing depends on time or
 * machine. A failed allocation sets out->failed. */
#ifndef LACUNA_REPORT_PAGE_H
#define LACUNA_REPORT_PAGE_H

#include "report/table.h"

void lac_page_begin(lac_text *out, const char *title, const char *subtitle); /* subtitle: or "" */
void lac_page_section(lac_text *out, const char *heading);
void lac_page_command(lac_text *out, const char *text); /* preformatted: the command behind it */
void lac_page_report(lac_text *out, const lac_report *report);
void lac_page_end(lac_text *out, const char *footer); /* footer: or "" */

#endif
