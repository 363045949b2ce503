/* The bench of the matrix engine's RTL: buffers that answer its ports from packed images and
 * activations, and the checks of everything it does. A difference fails the running test. */
#ifndef LACUNA_TESTS_HELPERS_DMME_H
#define LACUNA_TESTS_HELPERS_DMME_H

#include "accel/sta/schedule.h"
#include "format/sta_image.h"
#include "sta/cosim.h"
#include <lacuna/format.h>
#include <lacuna/layer.h>

/* A gemm layer as the engine sees it: weights packed by the format row `sta` for the model's C and
 * L, and the integer reference. */
typedef struct dmme_work {
    lac_layer layer;
    lac_packed packed;
    lac_sta_image image;
    const uint8_t *payload;
    lac_tensor want; /* [m][n] int32 */
    lac_tensor got;
    int64_t m;
} dmme_work;

/* activations: LAC_NONE those of the generator, LAC_I8 or LAC_U8 random over the whole range. */
dmme_work dmme_work_make(const dmme_model *model, const char *text, const char *wd, const char *ad,
                         lac_dtype activations, uint64_t seed);
void dmme_work_release(dmme_work *work);

/* One tile: column tile `tile` of the image, activation rows from `row` on. */
typedef struct dmme_job {
    dmme_work *work;
    int64_t tile, row;
    int64_t offered; /* job_valid from this cycle on */
} dmme_job;
/* All tiles of a work, column tile by column tile; free() them. */
dmme_job *dmme_tiles(const dmme_model *model, dmme_work *work, int *count);

enum { DMME_TRACE = 64 };
enum { DMME_A = 1, DMME_B = 2, DMME_V = 4, DMME_Y = 8, DMME_IDLE = 16 };

typedef struct dmme_counts {
    int64_t cycles; /* first fetch .. last y, both included */
    int64_t abuf_reads, wbuf_reads, bitmap_reads;
    int64_t selects_bind;      /* tiles that start late only because of the order of selections */
    int64_t *start;            /* first fetch of each job; dmme_counts_release */
    uint8_t trace[DMME_TRACE]; /* what was on in the first cycles */
    lac_sta_events events;     /* of the recurrence, for the same jobs */
} dmme_counts;

/* Resets the engine (after cycles of nonsense), offers the jobs in order with memory always ready,
 * and checks against the recurrence of src/accel/sta/schedule.c and the dossier's 4.4 and 4.10:
 * cycle and address of every read, cycle and row of every result, every result, `idle`. */
dmme_counts dmme_run(const dmme_model *model, void *engine, const dmme_job *jobs, int count);
void dmme_counts_release(dmme_counts *counts);

#endif
