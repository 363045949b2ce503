/* See codes_image.h. */
#include "cpu/codes_image.h"

#include "core/bits.h"
#include "core/memory.h"

#include <string.h>

lac_codes_mode lac_codes_mode_of(const lac_packed *packed, bool halves)
{
    if (strcmp(packed->format->row.name, "int8") == 0)
        return LAC_CODES_INT8;
    return halves && lac_params_int(&packed->params, "bits") <= 4 ? LAC_CODES_HALF
                                                                  : LAC_CODES_TABLE;
}

static lac_status make_table(lac_codes_image *image, const lac_packed *packed, lac_error *err)
{
    if (image->mode == LAC_CODES_INT8) {
        for (int i = 0; i < 256; i++)
            image->table[i] = (float)(int8_t)i;
        image->scale = lac_alloc((size_t)packed->rows, sizeof *image->scale, err);
        if (!image->scale)
            return LAC_ERROR_MEMORY;
        memcpy(image->scale, packed->field[1].data, (size_t)packed->rows * sizeof(float));
        return LAC_OK;
    }
    for (int64_t i = 0; i < lac_tensor_count(&packed->field[1]); i++)
        image->table[i] = (float)lac_tensor_get(&packed->field[1], i);
    return LAC_OK;
}

lac_status lac_codes_image_make(lac_codes_image *image, int columns, bool halves,
                                const lac_packed *packed, lac_error *err)
{
    int64_t rows = packed->rows, cols = packed->cols, count;
    LAC_TRY(lac_packed_validate(packed, err));
    image->mode = lac_codes_mode_of(packed, halves);
    bool half = image->mode == LAC_CODES_HALF;
    LAC_TRY(make_table(image, packed, err));
    image->panels = (rows + columns - 1) / columns;
    LAC_TRY(lac_shape_count(3, (int64_t[]){image->panels, cols, columns}, &count, err));
    image->panel_bytes = (half ? (cols + 1) / 2 : cols) * columns;
    image->code = lac_alloc((size_t)image->panels, (size_t)image->panel_bytes, err);
    if (!image->code)
        return LAC_ERROR_MEMORY;
    int bits = image->mode == LAC_CODES_INT8 ? 8 : (int)lac_params_int(&packed->params, "bits");
    for (int64_t row = 0; row < rows; row++) {
        uint8_t *to = image->code + row / columns * image->panel_bytes + row % columns;
        for (int64_t k = 0; k < cols; k++) {
            uint32_t code =
                bits == 8 ? ((const uint8_t *)packed->field[0].data)[row * cols + k]
                          : lac_bits_get(packed->field[0].data, (row * cols + k) * bits, bits);
            to[(half ? k / 2 : k) * columns] |= (uint8_t)(half && k % 2 ? code << 4 : code);
        }
    }
    return LAC_OK;
}

void lac_codes_image_release(lac_codes_image *image)
{
    lac_free(image->code);
    lac_free(image->scale);
    memset(image, 0, sizeof *image);
}
