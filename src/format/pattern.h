/* N:M patterns that a matrix obeys without having been told. */
#ifndef LACUNA_FORMAT_PATTERN_H
#define LACUNA_FORMAT_PATTERN_H

#include <lacuna/format.h>

/* The least N/M that every group of M = 2, 4, 8 or 16 elements along K obeys, the shorter group
 * where two are equal; only patterns that pay: N at most half of M. False, and *n = *m = 0: none.
 * The groups of a convolution lie in the channels of one window position (lac_view_groups). */
bool lac_pattern_find(const lac_tensor *matrix, lac_view view, int rank, const int64_t *dims,
                      int *n, int *m);
/* The rows' `fit`: parameters n and m are the pattern found, if any. */
lac_status lac_pattern_fit(lac_packed *packed, const lac_tensor *matrix, lac_error *err);

#endif
