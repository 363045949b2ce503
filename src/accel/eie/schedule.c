/* One product: broadcasts P_i in order; every PE starts column i at S_p(i) and holds it for
 * max(1, n_p) cycles; a broadcast waits for the slot that the (fifo - 1)-th before it frees last.
 * The inner loop runs over the PEs. */
#include "accel/eie/schedule.h"

#include <string.h>

#include "core/clones.h"
#include "core/memory.h"

/* No product is shorter: the simulator's first possible end (dossier 4.3, 4.6). */
#define LEAST_CYCLES 9
/* Last cycle of an entry in PTR -> end of its write-back. */
#define TAIL 6

static lac_status fill_image(lac_eie_image *image, int unit, lac_error *err)
{
    const lac_eie_csc *csc = image->csc;
    size_t cells = (size_t)(image->cols * image->pe), cols = (size_t)image->cols;
    image->n = lac_alloc(cells, sizeof(int32_t), err);
    image->first = lac_alloc(cells, sizeof(int32_t), err);
    image->last = lac_alloc(cells, sizeof(int32_t), err);
    image->macs = lac_alloc(cols, sizeof(int64_t), err);
    image->pad = lac_alloc(cols, sizeof(int64_t), err);
    image->empty = lac_alloc(cols, sizeof(int64_t), err);
    image->inside = lac_alloc(cols, sizeof(int64_t), err);
    if (!image->n || !image->first || !image->last || !image->macs || !image->pad ||
        !image->empty || !image->inside)
        return LAC_ERROR_MEMORY;
    for (int64_t p = 0; p < csc->pe; p++) {
        const uint32_t *pointer = csc->pointer + p * (csc->cols + 1);
        for (int64_t j = 0; j < csc->cols; j++) {
            int64_t begin = pointer[j], end = pointer[j + 1], at = j * image->pe + p;
            image->n[at] = (int32_t)(end - begin);
            if (begin == end) {
                image->empty[j]++;
                continue;
            }
            image->first[at] = (int32_t)(begin / unit);
            image->last[at] = (int32_t)((end - 1) / unit);
            image->inside[j] += image->last[at] - image->first[at];
            for (int64_t e = csc->first[p] + begin; e < csc->first[p] + end; e++)
                *(csc->code[e] ? &image->macs[j] : &image->pad[j]) += 1;
        }
    }
    return LAC_OK;
}

lac_status lac_eie_image_make(lac_eie_image *image, const lac_eie_csc *csc, int64_t in, bool bias,
                              int fifo, int unit, bool compat, lac_error *err)
{
    int64_t longest = (csc->rows + csc->pe - 1) / csc->pe; /* entries of a column in one PE */
    *image = (lac_eie_image){.in = in,
                             .cols = csc->cols,
                             .pe = csc->pe,
                             .fifo = fifo,
                             .bias = bias,
                             .compat = compat,
                             .csc = csc};
    int64_t columns = 2 * csc->cols + 16; /* broadcasts, and loads of groups */
    if (longest > (INT32_MAX - 16) / columns - 3)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        "a product of %lld x %lld on %lld PEs may take more than 2^31 cycles",
                        (long long)csc->rows, (long long)csc->cols, (long long)csc->pe);
    image->bound = columns * (longest + 3) + 16;
    lac_status status = fill_image(image, unit, err);
    if (status != LAC_OK)
        lac_eie_image_release(image);
    return status;
}

void lac_eie_image_release(lac_eie_image *image)
{
    lac_free(image->n);
    lac_free(image->first);
    lac_free(image->last);
    lac_free(image->macs);
    lac_free(image->pad);
    lac_free(image->empty);
    lac_free(image->inside);
    memset(image, 0, sizeof *image);
}

lac_status lac_eie_scratch_make(lac_eie_scratch *scratch, const lac_eie_image *image,
                                lac_error *err)
{
    memset(scratch, 0, sizeof *scratch);
    scratch->end = lac_alloc((size_t)image->pe, sizeof(int32_t), err);
    scratch->line = lac_alloc((size_t)image->pe, sizeof(int32_t), err);
    scratch->top = lac_alloc((size_t)image->fifo, sizeof(int32_t), err);
    scratch->column = lac_alloc((size_t)image->cols, sizeof(int32_t), err);
    if (image->compat)
        scratch->busy = lac_alloc((size_t)image->bound, 1, err);
    if (scratch->end && scratch->line && scratch->top && scratch->column &&
        (scratch->busy || !image->compat))
        return LAC_OK;
    lac_eie_scratch_release(scratch);
    return LAC_ERROR_MEMORY;
}

void lac_eie_scratch_release(lac_eie_scratch *scratch)
{
    lac_free(scratch->end);
    lac_free(scratch->line);
    lac_free(scratch->top);
    lac_free(scratch->column);
    lac_free(scratch->busy);
    memset(scratch, 0, sizeof *scratch);
}

typedef struct broadcast {
    int32_t top;   /* latest start over the PEs */
    int32_t last;  /* first cycle after the last entry, 0 if there is none */
    int32_t lines; /* changes of the SpMat line at the start of the column */
} broadcast;

/* One column reaches all PEs, visible in their queues from `ready` on. */
LAC_CLONES
static broadcast push(int64_t pe, int32_t ready, const int32_t *restrict n,
                      const int32_t *restrict first, const int32_t *restrict last,
                      int32_t *restrict end, int32_t *restrict line)
{
    int32_t top = 0, behind = 0, lines = 0;
    for (int64_t p = 0; p < pe; p++) {
        int32_t start = end[p] > ready ? end[p] : ready;
        int32_t some = n[p] > 0;
        int32_t stop = start + n[p] + !some; /* an empty column takes one cycle */
        int32_t entries_end = some ? stop : 0;
        top = start > top ? start : top;
        behind = entries_end > behind ? entries_end : behind;
        lines += some & (first[p] != line[p]);
        line[p] = some ? last[p] : line[p];
        end[p] = stop;
    }
    return (broadcast){top, behind, lines};
}

/* Marks the cycles in which a PE has a real entry of column j in PTR; before push moves `end`. */
static void mark_busy(const lac_eie_image *image, const lac_eie_scratch *scratch, int32_t j,
                      int32_t ready)
{
    const lac_eie_csc *csc = image->csc;
    for (int64_t p = 0; p < image->pe; p++) {
        int32_t start = scratch->end[p] > ready ? scratch->end[p] : ready;
        const uint8_t *code = csc->code + csc->first[p] + csc->pointer[p * (csc->cols + 1) + j];
        for (int32_t e = 0; e < image->n[j * image->pe + p]; e++)
            if (code[e])
                scratch->busy[start + e] = 1;
    }
}

/* Active columns in order, the bias column last; their number. */
static int64_t find_active(const lac_eie_image *image, const int32_t *value, int32_t *column)
{
    int64_t n = 0;
    for (int64_t j = 0; j < image->cols; j++) {
        column[n] = (int32_t)j;
        n += value[j] != 0;
    }
    return n;
}

void lac_eie_schedule(const lac_eie_image *image, lac_eie_scratch *scratch, const int32_t *value,
                      lac_eie_counts *counts)
{
    const int64_t pe = image->pe, slots = image->fifo - 1;
    *counts = (lac_eie_counts){.groups = (image->in + pe - 1) / pe + image->bias};
    memset(scratch->end, 0, (size_t)pe * sizeof(int32_t));
    memset(scratch->line, 0xff, (size_t)pe * sizeof(int32_t)); /* -1: no line held */
    if (image->compat)
        memset(scratch->busy, 0, (size_t)image->bound);
    counts->acts = find_active(image, value, scratch->column);

    int64_t group = 0, load = 1; /* L of `group` */
    int64_t next = 1;            /* F, if another hit follows in this group */
    int64_t end = 0;             /* t + 1 */
    int64_t last_position = 0;
    bool hit = false;
    for (int64_t i = 0; i < counts->acts; i++) {
        int32_t j = scratch->column[i];
        bool is_bias = j == image->in;
        int64_t g = is_bias ? counts->groups - 1 : j / pe;
        if (g > group) { /* leave the held group, pass those without a hit */
            load = hit ? next - 1 + (last_position == pe - 1 ? 1 : 2) : load + 1;
            load += g - group - 1;
            group = g;
            next = load;
        }
        last_position = is_bias ? 0 : j % pe;
        hit = true;
        int64_t pushed = next;
        if (i >= slots && scratch->top[i % slots] > pushed)
            pushed = scratch->top[i % slots];
        counts->blocked += pushed - next;
        next = pushed + 1;
        if (image->compat)
            mark_busy(image, scratch, j, (int32_t)pushed + 2);
        int64_t at = (int64_t)j * pe;
        broadcast b = push(pe, (int32_t)pushed + 2, image->n + at, image->first + at,
                           image->last + at, scratch->end, scratch->line);
        scratch->top[i % slots] = b.top;
        end = b.last > end ? b.last : end;
        counts->spm_reads += b.lines + image->inside[j];
        counts->macs += image->macs[j];
        counts->pad += image->pad[j];
        counts->empty_col += image->empty[j];
    }
    if (group < counts->groups - 1) {
        load = hit ? next - 1 + (last_position == pe - 1 ? 1 : 2) : load + 1;
        load += counts->groups - 1 - group - 1;
    }
    counts->cycles = load > LEAST_CYCLES ? load : LEAST_CYCLES;
    if (image->compat) { /* the public simulator's premature stop (dossier 4.6) */
        while (counts->cycles - 5 < image->bound && scratch->busy[counts->cycles - 5])
            counts->cycles++;
        return;
    }
    if (end - 1 + TAIL > counts->cycles)
        counts->cycles = end - 1 + TAIL;
}
