/* The kernel table, and the choice among its rows: the cheapest that runs the layer. */
#include <lacuna/kernel.h>

#include "core/table.h"

#include <stdio.h>
#include <string.h>

#define LAC_ROW_OF(row) extern const lac_kernel row;
#include "cpu/rows.inc"
#undef LAC_ROW_OF
#define LAC_ROW_OF(kernel) &kernel.row,
static const lac_row *const builtin[] = {
#include "cpu/rows.inc"
    NULL};
lac_table lac_kernels = LAC_TABLE("kernel", builtin, sizeof(lac_kernel));

lac_status lac_register_kernel(const lac_kernel *row, lac_error *err)
{
    return lac_table_register(&lac_kernels, &row->row, err);
}

/* The format that the layer's weights are in; layers without weights count as dense. */
static const char *weight_format(const lac_layer *layer)
{
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    return packed ? packed->format->row.name : "dense";
}

static lac_dtype activation_dtype(const lac_layer *layer)
{
    lac_dtype dtype = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype;
    return dtype != LAC_NONE ? dtype : layer->operand[LAC_ROLE_QUERY].tensor.dtype;
}

const lac_kernel *lac_kernel_choose(const lac_layer *layer, uint32_t isa, char *why,
                                    size_t why_size)
{
    const lac_kernel *best = NULL;
    double best_cost = 0;
    size_t length = 0;
    int count = lac_table_count(&lac_kernels);
    const char *format = weight_format(layer);
    lac_dtype dtype = activation_dtype(layer);
    if (why_size)
        why[0] = 0;
    for (int i = 0; layer->kind && i < count; i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        char reason[160] = "";
        if (strcmp(kernel->kind, layer->kind->row.name) != 0 ||
            strcmp(kernel->format, format) != 0 || kernel->dtype != dtype)
            continue;
        bool runs = (kernel->isa & ~isa) == 0;
        if (!runs)
            lac_isa_text(kernel->isa & ~isa, reason, sizeof reason);
        else
            runs = kernel->can_run(layer, reason, sizeof reason);
        if (runs) {
            double cost = kernel->cost(layer);
            if (!best || cost < best_cost) {
                best = kernel;
                best_cost = cost;
            }
        } else if (length < why_size) {
            int n = snprintf(why + length, why_size - length, "%s%s: %s%s", length ? "; " : "",
                             kernel->row.name, (kernel->isa & ~isa) ? "needs " : "", reason);
            length += n > 0 ? (size_t)n : 0;
        }
    }
    if (!best && length == 0 && why_size)
        snprintf(why, why_size, "no kernel for %s, format %s, %s activations",
                 layer->kind ? layer->kind->row.name : "this", format, lac_dtype_name(dtype));
    return best;
}
