/* A set of accelerator parameters as a YAML file: one mapping, `name: value` a line.
 *
 *     # STA at half the array
 *     R: 8
 *     enc: index
 *
 * What names there are comes from the row's parameter table. */
#ifndef LACUNA_IO_ARCH_H
#define LACUNA_IO_ARCH_H

#include <lacuna/core.h>

/* Sets the parameters that the text names, on top of what *params holds. Total: any bytes give
 * parameters within their limits, or LAC_ERROR_INPUT and *params unchanged. An unknown key is
 * named with the known ones. */
lac_status lac_arch_parse(lac_params *params, const void *data, size_t bytes, lac_error *err);
/* The same from a file, which errors name. */
lac_status lac_arch_load(lac_params *params, const char *path, lac_error *err);

#endif
