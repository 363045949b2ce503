/* See nm_image.h. */
#include "cpu/nm_image.h"

#include "core/bits.h"
#include "core/memory.h"

#include <string.h>

lac_nm_cut lac_nm_cut_of(const lac_nm_layout *layout, int n, int m)
{
    lac_nm_cut best = {0};
    int max = layout->unit << (layout->spans - 1);
    for (int window = m; window <= max; window += m) {
        int i = 0;
        while (layout->unit << i < window)
            i++;
        lac_nm_cut cut = {.window = window, .span = layout->unit << i};
        cut.steps = (window / m * n + layout->depth - 1) / layout->depth;
        cut.cost = cut.steps * layout->cost[i] + layout->load[i];
        if (!best.window || cut.cost * best.window < best.cost * window)
            best = cut;
    }
    return best;
}

lac_status lac_nm_each(const lac_packed *packed,
                       lac_status (*visit)(void *context, int64_t row, int64_t k, double value,
                                           lac_error *err),
                       void *context, lac_error *err)
{
    int64_t n = lac_params_int(&packed->params, "n"), m = lac_params_int(&packed->params, "m");
    int bits = lac_bits_for(m);
    int64_t kept = (packed->cols + m - 1) / m * n, row_bytes = (kept * bits + 7) / 8;
    for (int64_t row = 0; row < packed->rows; row++) {
        const uint8_t *index = (const uint8_t *)packed->field[1].data + row * row_bytes;
        for (int64_t i = 0; i < kept; i++) {
            double value = lac_tensor_get(&packed->field[0], row * kept + i);
            if (value != 0)
                LAC_TRY(visit(context, row, i / n * m + lac_bits_get(index, i * bits, bits), value,
                              err));
        }
    }
    return LAC_OK;
}

typedef struct fill_state {
    const lac_nm_layout *layout;
    lac_nm_image *image;
    int32_t *sum;
    int64_t row, window; /* of the last kept weight */
    int used;            /* slots of that window */
} fill_state;

static lac_status fill(void *context, int64_t row, int64_t k, double value, lac_error *err)
{
    fill_state *f = context;
    const lac_nm_layout *layout = f->layout;
    lac_nm_image *image = f->image;
    int64_t window = k / image->cut.window;
    if (row != f->row || window != f->window) {
        f->row = row;
        f->window = window;
        f->used = 0;
    }
    if (f->used == image->cut.steps * layout->depth || window >= image->windows)
        return lac_fail(err, LAC_ERROR_INTERNAL, "nm: row %lld overflows window %lld",
                        (long long)row, (long long)window);
    int step = f->used / layout->depth, slot = f->used % layout->depth;
    int column = (int)(row % layout->columns), position = column * layout->depth + slot;
    int at = position;
    if (layout->place)
        layout->place(column, slot, &position, &at);
    int64_t base = ((row / layout->columns * image->windows + window) * image->cut.steps + step) *
                   layout->columns * layout->depth;
    image->position[base + position] = (uint8_t)(k % image->cut.window);
    if (layout->value == LAC_F32)
        ((float *)image->value)[base + at] = (float)value;
    else if (layout->value == LAC_I16)
        ((int16_t *)image->value)[base + at] = (int16_t)value;
    else
        ((int8_t *)image->value)[base + at] = (int8_t)value;
    if (f->sum)
        f->sum[row] = (int32_t)((uint32_t)f->sum[row] + (uint32_t)(int32_t)value);
    f->used++;
    return LAC_OK;
}

lac_status lac_nm_image_make(lac_nm_image *image, const lac_nm_layout *layout,
                             const lac_packed *packed, int32_t *sum, lac_error *err)
{
    fill_state f = {layout, image, sum, -1, -1, 0};
    int64_t count;
    LAC_TRY(lac_packed_validate(packed, err));
    image->cut = lac_nm_cut_of(layout, (int)lac_params_int(&packed->params, "n"),
                               (int)lac_params_int(&packed->params, "m"));
    image->panels = (packed->rows + layout->columns - 1) / layout->columns;
    image->windows = (packed->cols + image->cut.window - 1) / image->cut.window;
    image->stride = (image->windows - 1) * image->cut.window + image->cut.span;
    LAC_TRY(lac_shape_count(4,
                            (int64_t[]){image->panels, image->windows, image->cut.steps,
                                        layout->columns * layout->depth},
                            &count, err));
    size_t size = (size_t)lac_dtype_bits(layout->value) / 8;
    image->position = lac_alloc((size_t)count, 1, err);
    image->value = lac_alloc((size_t)count, size, err);
    if (!image->position || !image->value)
        return LAC_ERROR_MEMORY;
    image->bytes = (size_t)count * (1 + size);
    return lac_nm_each(packed, fill, &f, err);
}

void lac_nm_image_release(lac_nm_image *image)
{
    lac_free(image->position);
    lac_free(image->value);
    memset(image, 0, sizeof *image);
}
