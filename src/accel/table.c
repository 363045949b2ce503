/* The accelerator table. */
#include <lacuna/accel.h>

#include "core/table.h"

#define LAC_ROW_OF(row) extern const lac_accel row;
#include "accel/rows.inc"
#undef LAC_ROW_OF
#define LAC_ROW_OF(accel) &accel.row,
static const lac_row *const builtin[] = {
#include "accel/rows.inc"
    NULL};
lac_table lac_accels = LAC_TABLE("accelerator", builtin, sizeof(lac_accel));

lac_status lac_register_accel(const lac_accel *row, lac_error *err)
{
    return lac_table_register(&lac_accels, &row->row, err);
}
