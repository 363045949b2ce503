/* See table.h. */
#include "core/table.h"

#include "core/memory.h"

#include <string.h>

static int builtin_count(const lac_table *table)
{
    int count = 0;
    while (table->builtin[count])
        count++;
    return count;
}

int lac_table_count(const lac_table *table)
{
    return builtin_count(table) + table->n_extra;
}

const lac_row *lac_table_at(const lac_table *table, int index)
{
    int builtin = builtin_count(table);
    if (index < 0 || index >= builtin + table->n_extra)
        return NULL;
    return index < builtin ? table->builtin[index] : table->extra[index - builtin];
}

const lac_row *lac_table_find(const lac_table *table, const char *name)
{
    for (const lac_row *const *row = table->builtin; *row; row++)
        if (strcmp((*row)->name, name) == 0)
            return *row;
    for (int i = 0; i < table->n_extra; i++)
        if (strcmp(table->extra[i]->name, name) == 0)
            return table->extra[i];
    return NULL;
}

static bool is_taken(const lac_table *table, const lac_row *row)
{
    if (!table->same)
        return lac_table_find(table, row->name) != NULL;
    for (int i = 0; i < lac_table_count(table); i++)
        if (table->same(lac_table_at(table, i), row))
            return true;
    return false;
}

lac_status lac_table_register(lac_table *table, const lac_row *row, lac_error *err)
{
    if (!row || !row->name || !row->name[0])
        return lac_fail(err, LAC_ERROR_INPUT, "%s: a row without a name", table->what);
    if (row->abi != LAC_ABI)
        return lac_fail(err, LAC_ERROR_INPUT, "%s %s: made for ABI %u, this is %d", table->what,
                        row->name, row->abi, LAC_ABI);
    if (row->size != table->row_size)
        return lac_fail(err, LAC_ERROR_INPUT, "%s %s: row of %u bytes, this lacuna has %zu",
                        table->what, row->name, row->size, table->row_size);
    if (is_taken(table, row))
        return lac_fail(err, LAC_ERROR_INPUT, "%s %s: the name is taken", table->what, row->name);
    const lac_row **extra = lac_grow((void *)table->extra, (size_t)table->n_extra,
                                     (size_t)table->n_extra + 1, sizeof *extra, err);
    if (!extra)
        return LAC_ERROR_MEMORY;
    extra[table->n_extra] = row;
    table->extra = extra;
    table->n_extra++;
    return LAC_OK;
}
