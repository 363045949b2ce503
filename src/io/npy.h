/* NumPy files (format versions 1.0 to 3.0), little endian, C order; .npz archives of them. */
#ifndef LACUNA_IO_NPY_H
#define LACUNA_IO_NPY_H

#include "core/text.h"

#include <lacuna/core.h>

/* An array in memory; the tensor gets bytes of its own. */
lac_status lac_npy_parse(lac_tensor *tensor, const void *data, size_t bytes, lac_error *err);

/* Appends the array as the bytes of an .npy file. */
lac_status lac_npy_format(const lac_tensor *tensor, lac_text *file, lac_error *err);

/* One array of an .npz: called with its name without ".npy"; the tensor is the callee's to share.
 */
typedef lac_status lac_npz_visit(void *context, const char *name, const lac_tensor *tensor,
                                 lac_error *err);
lac_status lac_npz_parse(const void *data, size_t bytes, lac_npz_visit *visit, void *context,
                         lac_error *err);
lac_status lac_npz_load(const char *path, lac_npz_visit *visit, void *context, lac_error *err);

#endif
