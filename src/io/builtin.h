/* The networks that are part of the program: trained by the project on its own glyphs
 * (scripts/train, data/README.md). */
#ifndef LACUNA_IO_BUILTIN_H
#define LACUNA_IO_BUILTIN_H

#include <stddef.h>

/* Name and bytes of network `index`; NULL past the last. */
const char *lac_builtin(int index, const void **data, size_t *bytes);

#endif
