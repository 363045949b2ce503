/* A table: the built-in rows of a list file, then the rows that plug-ins registered.
 *
 * Each room writes its list once, `rows.inc`, one line a row: LAC_ROW_OF(row_variable). Its table.c
 * then says
 *     #define LAC_ROW_OF(row) extern const lac_op row;
 *     #include "rows.inc"
 *     #undef LAC_ROW_OF
 *     #define LAC_ROW_OF(row) &row.row,
 *     static const lac_row *const builtin[] = {
 *     #include "rows.inc"
 *         NULL};
 *     lac_table lac_ops = LAC_TABLE("operator", builtin, sizeof(lac_op));
 */
#ifndef LACUNA_CORE_TABLE_H
#define LACUNA_CORE_TABLE_H

#include <lacuna/core.h>

struct lac_table {
    const char *what; /* "operator", "format", ...: for messages */
    const lac_row *const *builtin;
    size_t row_size;
    const lac_row **extra;
    int n_extra;
    /* Whether two rows cannot stand beside each other; NULL: when they have the same name. */
    bool (*same)(const lac_row *a, const lac_row *b);
};
#define LAC_TABLE(what_, builtin_, row_size_)                                                      \
    {                                                                                              \
        what_, builtin_, row_size_, NULL, 0, NULL                                                  \
    }

/* Appends a plug-in's row after checking size, ABI number and that no row is `same` yet. */
lac_status lac_table_register(lac_table *table, const lac_row *row, lac_error *err);

#endif
