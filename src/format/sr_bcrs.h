/* SR-BCRS as its fields lie in memory; for packing and for kernels. */
#ifndef LACUNA_FORMAT_SR_BCRS_H
#define LACUNA_FORMAT_SR_BCRS_H

#include <lacuna/format.h>

enum { LAC_SR_BCRS_ROW, LAC_SR_BCRS_COL, LAC_SR_BCRS_VALUES }; /* fields */

typedef struct lac_sr_bcrs {
    int v;             /* rows of a strip: elements of a vector */
    int bits;          /* of an element */
    int kd;            /* vectors of a step */
    int planes, width; /* of an element: planes of `width` bits, the lowest first */
    int64_t strips;
    int64_t step_bytes; /* of values */
} lac_sr_bcrs;

/* The numbers that follow from parameters and shape; LAC_ERROR_INPUT for parameters that do not go
 * together. */
lac_status lac_sr_bcrs_of(const lac_packed *packed, lac_sr_bcrs *s, lac_error *err);
/* Where vector j of a step stands among its columns. */
int lac_sr_bcrs_place(const lac_sr_bcrs *s, int j);
/* Element of row v of vector j of the step at `step`. */
int32_t lac_sr_bcrs_value(const lac_sr_bcrs *s, const uint8_t *step, int v, int j);

#endif
