/* IDX files (the MNIST container), plain or gzip. */
#ifndef LACUNA_IO_IDX_H
#define LACUNA_IO_IDX_H

#include <lacuna/core.h>

lac_status lac_idx_parse(lac_tensor *tensor, const void *data, size_t bytes, lac_error *err);
/* A file whose name ends in .gz is unpacked. */
lac_status lac_idx_load(lac_tensor *tensor, const char *path, lac_error *err);

#endif
