/* JPEG (libjpeg-turbo) and PNG (libspng) as uint8 [height][width][3] RGB. */
#ifndef LACUNA_IO_IMAGE_H
#define LACUNA_IO_IMAGE_H

#include <lacuna/core.h>

lac_status lac_image_parse(lac_tensor *image, const void *data, size_t bytes, lac_error *err);
lac_status lac_image_load(lac_tensor *image, const char *path, lac_error *err);

#endif
