/* The table of layer kinds. */
#include <lacuna/layer.h>

#include "core/table.h"

#define LAC_ROW_OF(kind) extern const lac_layer_kind kind;
#include "graph/rows.inc"
#undef LAC_ROW_OF
#define LAC_ROW_OF(kind) &kind.row,
static const lac_row *const builtin[] = {
#include "graph/rows.inc"
    NULL};
lac_table lac_layer_kinds = LAC_TABLE("layer kind", builtin, sizeof(lac_layer_kind));

lac_status lac_register_layer_kind(const lac_layer_kind *row, lac_error *err)
{
    return lac_table_register(&lac_layer_kinds, &row->row, err);
}
