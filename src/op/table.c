/* The operator table. Names are unique within a domain. */
#include <lacuna/op.h>

#include "core/table.h"

#include <string.h>

#define LAC_ROW_OF(row) extern const lac_op row;
#include "op/rows.inc"
#undef LAC_ROW_OF
#define LAC_ROW_OF(op) &op.row,
static const lac_row *const builtin[] = {
#include "op/rows.inc"
    NULL};

/* Files write the standard domain in two ways. */
static const char *plain_domain(const char *domain)
{
    return !domain || strcmp(domain, "ai.onnx") == 0 ? "" : domain;
}

static bool same_op(const lac_row *a, const lac_row *b)
{
    return strcmp(a->name, b->name) == 0 && strcmp(plain_domain(((const lac_op *)a)->domain),
                                                   plain_domain(((const lac_op *)b)->domain)) == 0;
}

lac_table lac_ops = {"operator", builtin, sizeof(lac_op), NULL, 0, same_op};

lac_status lac_register_op(const lac_op *row, lac_error *err)
{
    return lac_table_register(&lac_ops, &row->row, err);
}

const lac_op *lac_op_find(const char *domain, const char *name)
{
    int count = lac_table_count(&lac_ops);
    for (int i = 0; i < count; i++) {
        const lac_op *op = (const lac_op *)lac_table_at(&lac_ops, i);
        if (strcmp(op->row.name, name) == 0 &&
            strcmp(plain_domain(op->domain), plain_domain(domain)) == 0)
            return op;
    }
    return NULL;
}
