/* The format table, and "name:params" texts. */
#include <lacuna/format.h>

#include "core/table.h"

#include <string.h>

#define LAC_ROW_OF(row) extern const lac_format row;
#include "format/rows.inc"
#undef LAC_ROW_OF
#define LAC_ROW_OF(format) &format.row,
static const lac_row *const builtin[] = {
#include "format/rows.inc"
    NULL};
lac_table lac_formats = LAC_TABLE("format", builtin, sizeof(lac_format));

lac_status lac_register_format(const lac_format *row, lac_error *err)
{
    return lac_table_register(&lac_formats, &row->row, err);
}

lac_status lac_format_parse(const char *text, const lac_format **format, lac_params *params,
                            lac_error *err)
{
    char name[64];
    size_t length = strcspn(text, ":");
    if (length >= sizeof name)
        return lac_fail(err, LAC_ERROR_INPUT, "format '%.40s...': no such format", text);
    memcpy(name, text, length);
    name[length] = 0;
    *format = (const lac_format *)lac_table_find(&lac_formats, name);
    if (!*format)
        return lac_fail(err, LAC_ERROR_INPUT, "unknown format '%s': see 'lacuna list formats'",
                        name);
    lac_params_init(params, (*format)->params);
    if (text[length] == ':') {
        lac_status status = lac_params_parse(params, text + length + 1, err);
        if (status != LAC_OK)
            return lac_fail_in(err, status, "format %s", name);
    }
    return LAC_OK;
}
