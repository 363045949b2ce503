/* Any bytes as a JPEG or PNG image. */
#include <stdlib.h>

#include "io/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lac_error err;
    lac_tensor image;
    if (lac_image_parse(&image, data, size, &err) == LAC_OK) {
        if (image.dtype != LAC_U8 || image.rank != 3 || image.dims[2] != 3)
            abort();
        lac_tensor_release(&image);
    }
    return 0;
}
