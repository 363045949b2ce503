/* Weight sharing of Deep Compression (Han, Mao, Dally, ICLR 2016): k centroids for the
 * non-zero weights of one layer, by k-means, or by EIE's integer linear codebook. */
#ifndef LACUNA_FORMAT_SHARE_H
#define LACUNA_FORMAT_SHARE_H

#include <lacuna/core.h>

/* Code 0 stands for a pruned weight (and for padding), so 4 bits leave 15 centroids. */
#define LAC_LINEAR_CENTROIDS 15

typedef enum lac_share_start {
    LAC_SHARE_LINEAR,  /* evenly spaced between the smallest and the largest value */
    LAC_SHARE_DENSITY, /* evenly spaced along the empirical distribution */
    LAC_SHARE_FORGY    /* k distinct values at random */
} lac_share_start;

/* Fills centroid[0..k), ascending, from the n values (the non-zeros in flat order). All 0 for
 * n = 0. `seed` is read by LAC_SHARE_FORGY only. LAC_ERROR_INPUT: a value that is not finite,
 * k < 1, or (forgy) fewer than k distinct values. */
lac_status lac_share_begin(lac_share_start start, const double *value, int64_t n, int k,
                           uint64_t seed, double *centroid, lac_error *err);

/* Lloyd's iterations in float64: nearest centroid (ties to the lower),
 * mean of the members, an empty cluster stays; ends when no centroid moves by more than 1e-12 or
 * after 100 iterations. *iterations (may be NULL) counts the one that found nothing to move. */
lac_status lac_share_lloyd(const double *value, int64_t n, int k, double *centroid, int *iterations,
                           lac_error *err);

/* The index of the nearest of k centroids, ties to the lower index. */
int lac_share_nearest(const double *centroid, int k, double value);

/* The integer linear codebook between lo and hi: codebook[0] = 0, codebook[1 + i] =
 * floor((lo*(14-i) + hi*i + 7) / 14). */
void lac_share_linear_codebook(int32_t lo, int32_t hi, int32_t codebook[16]);
/* The code of an integer: 0 for 0, else 1 + the first nearest of codebook[1..15]. */
int lac_share_linear_code(const int32_t codebook[16], int32_t value);

#endif
