/* Portable N:M products: the weights of an output are decoded one after the other and gather their
 * activations for several tokens. Integer sums wrap, as those of the vector units do. Floats: the
 * error of an output is at most 2^-23 times its kept weights times sum |w| |x|. */
#include "cpu/nm_gemm.h"

#include <string.h>

enum { ROWS = 16 };

/* Kept weight `slot` of output `column` of a panel in `window`: value, and column of the window. */
static inline int kept_at(const lac_nm_state *w, int64_t panel, int64_t window, int column,
                          int slot, float *value, int *number)
{
    const lac_nm_cut *cut = &w->cut;
    int64_t step = lac_nm_step(cut, window, slot);
    int e = column * cut->depth + slot % cut->depth;
    const uint8_t *values = w->values + panel * cut->panel_values;
    if (cut->value_bits == 32)
        memcpy(value, values + (size_t)(step * cut->unit + e) * sizeof(float), sizeof(float));
    else if (cut->value_bits == 8)
        *number = (int8_t)values[step * cut->unit + e];
    else
        *number = (lac_nm_get(values, cut->unit, 4, step, e) ^ 8) - 8;
    return w->slot_base[slot] +
           lac_nm_get(w->index + panel * cut->panel_index, cut->unit, cut->place_bits, step, e);
}

#define NM_COLUMN(name, ELEMENT, SUM, VALUE, FINISH, OUT)                                          \
    static void name(const lac_nm_state *w, const lac_nm_rows *rows, int64_t panel, int column)    \
    {                                                                                              \
        SUM sum[ROWS] = {0};                                                                       \
        for (int64_t window = 0; window < w->cut.windows; window++)                                \
            for (int slot = 0; slot < w->cut.slots; slot++) {                                      \
                float value = 0;                                                                   \
                int number = 0;                                                                    \
                int k = kept_at(w, panel, window, column, slot, &value, &number);                  \
                for (int r = 0; r < rows->rows; r++) {                                             \
                    const ELEMENT *x =                                                             \
                        (const ELEMENT *)(const void *)(rows->x + r * rows->stride +               \
                                                        window * w->load_bytes);                   \
                    sum[r] += (SUM)(VALUE);                                                        \
                }                                                                                  \
            }                                                                                      \
        for (int r = 0; r < rows->rows; r++) {                                                     \
            OUT out = (OUT)sum[r];                                                                 \
            FINISH(&w->epilogue, rows->row + r, panel * LAC_NM_COLUMNS + column, 1, &out);         \
        }                                                                                          \
    }
NM_COLUMN(column_f32, float, float, x[k] * value, lac_epilogue_floats, float)
NM_COLUMN(column_weight_only, float, float, x[k] * (float)number, lac_epilogue_floats, float)
NM_COLUMN(column_int, uint8_t, uint32_t, x[k] * number, lac_epilogue_integers, int32_t)

static void nm_block(const lac_nm_state *w, const lac_nm_rows *rows, int64_t panel, int64_t end)
{
    void (*column)(const lac_nm_state *, const lac_nm_rows *, int64_t, int) =
        w->element == 1           ? column_int
        : w->cut.value_bits == 32 ? column_f32
                                  : column_weight_only;
    for (; panel < end; panel++)
        for (int c = 0; c < LAC_NM_COLUMNS && panel * LAC_NM_COLUMNS + c < w->shape.n; c++)
            column(w, rows, panel, c);
}

static const lac_nm_plan nm_plan = {.block = nm_block, .rows = ROWS};
#define nm_STEP 25e-9 /* measured by bench_kernels */

LAC_NM_ROWS(nm_f32_ref, LAC_F32, 0, nm, "N:M float32, portable")
LAC_NM_ROWS(nm_s8_ref, LAC_I8, 0, nm, "N:M int8, portable")
LAC_NM_ROWS(nm_u8_ref, LAC_U8, 0, nm, "N:M uint8, portable")
