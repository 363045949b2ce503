/* The cycle model of EIE: the recurrence of the dossier eie.md, 4.4 (it equals the stepping of all
 * registers, which the tests do), and the counts of 4.5. */
#ifndef LACUNA_ACCEL_EIE_SCHEDULE_H
#define LACUNA_ACCEL_EIE_SCHEDULE_H

#include <lacuna/core.h>

#include "format/eie_csc.h"

/* The encoded matrix as the schedule sees it; columns are `pe` numbers wide. */
typedef struct lac_eie_image {
    int64_t in, cols, pe; /* cols = in + bias column */
    int fifo;
    bool bias, compat;
    int64_t bound; /* no product takes more cycles */
    const lac_eie_csc *csc;
    int32_t *n;            /* [cols][pe] entries, padding included */
    int32_t *first, *last; /* [cols][pe] SpMat line of the first and of the last entry */
    int64_t *macs, *pad, *empty, *inside; /* [cols]; inside: line changes within the column */
} lac_eie_image;

typedef struct lac_eie_counts {
    int64_t cycles, groups, acts, macs, pad, empty_col, blocked, spm_reads;
} lac_eie_counts;

lac_status lac_eie_image_make(lac_eie_image *image, const lac_eie_csc *csc, int64_t in, bool bias,
                              int fifo, int unit, bool compat, lac_error *err);
void lac_eie_image_release(lac_eie_image *image);

/* Scratch of one thread. */
typedef struct lac_eie_scratch {
    int32_t *end, *line; /* [pe] */
    int32_t *top;        /* [fifo - 1] ring: latest start over the PEs of each broadcast */
    uint8_t *busy;       /* compat: cycles in which a real entry is in some PTR */
    int32_t *column;     /* [cols] */
} lac_eie_scratch;
lac_status lac_eie_scratch_make(lac_eie_scratch *scratch, const lac_eie_image *image,
                                lac_error *err);
void lac_eie_scratch_release(lac_eie_scratch *scratch);

/* One product, cold start, with the input value[cols]. */
void lac_eie_schedule(const lac_eie_image *image, lac_eie_scratch *scratch, const int32_t *value,
                      lac_eie_counts *counts);

#endif
