/* A product is cut into RF x CF folds, columns outer, rows inner. A fold has one of four shapes
 * (whole or last rows, whole or last columns), so that everything but the waiting for DRAM is a
 * closed form; with DRAM the folds are walked.
 *
 *            on rows  on columns  streamed T
 *      ws    K        N           M
 *      os    M        N           K
 *      is    K        M           N */
#include "accel/systolic/schedule.h"

#include <inttypes.h>

typedef struct folding {
    const systolic_array *array;
    const systolic_shape *shape;
    int64_t row_dim, col_dim, t;
    int64_t rf, cf;
} folding;

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int64_t larger(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t used(int64_t dim, int64_t size, int64_t fold)
{
    int64_t left = dim - fold * size;
    return left < size ? left : size;
}

/* Rows and columns that a fold is charged for. */
static int64_t charged_rows(const folding *f, int64_t fr)
{
    return f->array->exact_edge ? used(f->row_dim, f->array->rows, fr) : f->array->rows;
}

static int64_t charged_cols(const folding *f, int64_t fc)
{
    return f->array->exact_edge ? used(f->col_dim, f->array->cols, fc) : f->array->cols;
}

static bool is_os(const folding *f)
{
    return f->array->dataflow == SYSTOLIC_OS;
}

static int64_t serial_cycles(const folding *f, int64_t re, int64_t ce)
{
    bool twice = !is_os(f) || f->array->drain; /* load, or shift the sums out */
    return (twice ? 2 : 1) * re + ce + f->t - 2;
}

/* From a pipelined fold's start to the next: the array streams, loads or drains. `fr` is the row
 * fold whose rows count: its own (os) or the next one's (ws, is). */
static int64_t pipelined_step(const folding *f, int64_t fr)
{
    return larger(f->t, charged_rows(f, fr));
}

/* Sum of pipelined_step over row folds 0..count-1. */
static int64_t steps(const folding *f, int64_t count)
{
    if (count < f->rf)
        return count * pipelined_step(f, 0);
    return (f->rf - 1) * pipelined_step(f, 0) + pipelined_step(f, f->rf - 1);
}

static int64_t serial_total(const folding *f)
{
    int64_t total = 0;
    for (int row = 0; row < 2; row++)
        for (int col = 0; col < 2; col++) {
            int64_t count = (row ? 1 : f->rf - 1) * (col ? 1 : f->cf - 1);
            total += count * serial_cycles(f, charged_rows(f, row ? f->rf - 1 : 0),
                                           charged_cols(f, col ? f->cf - 1 : 0));
        }
    return total * f->shape->groups;
}

/* Starts only grow, so that the last fold of each shape, in the last group, bounds the end. */
static int64_t pipelined_total(const folding *f)
{
    int64_t sweep = steps(f, f->rf), end = 0;
    int64_t before = (f->shape->groups - 1) * f->cf * sweep;
    for (int row = 0; row < 2; row++)
        for (int col = 0; col < 2; col++) {
            int64_t fr = f->rf - (row ? 1 : 2), fc = f->cf - (col ? 1 : 2);
            if (fr < 0 || fc < 0)
                continue;
            int64_t re = charged_rows(f, fr), ce = charged_cols(f, fc);
            int64_t start = before + fc * sweep;
            if (is_os(f))
                start += steps(f, fr);
            else /* start_0 = Re_0, then the step of every later fold up to this one */
                start += charged_rows(f, 0) + steps(f, fr + 1) - pipelined_step(f, 0);
            end = larger(end, start + f->t + re + ce - 2 + (is_os(f) ? re : 0));
        }
    return end;
}

/* ---- bytes ---- */

/* floor(x (i+1) / n) - floor(x i / n); split so that nothing leaves int64 (n <= 10^9 folds) */
static int64_t share(int64_t x, int64_t i, int64_t n)
{
    int64_t rest = x % n;
    return x / n + rest * (i + 1) / n - rest * i / n;
}

typedef struct bytes {
    int64_t i, w, pr, wr;
} bytes;

static int64_t results(const folding *f, int64_t fr, int64_t fc)
{
    int64_t cu = used(f->col_dim, f->array->cols, fc);
    return is_os(f) ? used(f->row_dim, f->array->rows, fr) * cu : f->t * cu;
}

static bool filter_again(const folding *f, int64_t cu)
{
    return f->shape->n * f->shape->k > f->array->filter && 2 * f->shape->k * cu > f->array->filter;
}

static bytes fold_bytes(const folding *f, int64_t fr, int64_t fc)
{
    const systolic_array *a = f->array;
    const systolic_shape *s = f->shape;
    int64_t ru = used(f->row_dim, a->rows, fr), cu = used(f->col_dim, a->cols, fc);
    int64_t n = results(f, fr, fc);
    bool spill = 4 * n > a->ofmap;
    bytes b = {0, 0, 0, 0};
    if (a->dataflow == SYSTOLIC_IS)
        b.i = share(s->input, fc * f->rf + fr, f->rf * f->cf);
    else if (fc == 0 || s->input > a->ifmap)
        b.i = share(s->input, fr, f->rf);
    if (a->dataflow == SYSTOLIC_WS)
        b.w = ru * cu;
    else if (a->dataflow == SYSTOLIC_OS)
        b.w = fr == 0 || filter_again(f, cu) ? s->k * cu : 0;
    else if (fc == 0 || s->n * s->k > a->filter)
        b.w = share(s->n * s->k, fr, f->rf);
    if (is_os(f) || fr == f->rf - 1)
        b.wr = n * a->out_bytes;
    else
        b.wr = spill ? 4 * n : 0;
    if (!is_os(f) && fr > 0 && spill)
        b.pr = 4 * n;
    return b;
}

/* The sums of fold_bytes over all folds of one group, in closed form. */
static bytes group_bytes(const folding *f)
{
    const systolic_array *a = f->array;
    const systolic_shape *s = f->shape;
    bytes b = {s->input, s->n * s->k, 0, s->m * s->n * a->out_bytes};
    if (a->dataflow != SYSTOLIC_IS && s->input > a->ifmap)
        b.i *= f->cf;
    if (a->dataflow == SYSTOLIC_IS && b.w > a->filter)
        b.w *= f->cf;
    for (int last = 0; last < 2; last++) { /* the last column fold, and the others */
        int64_t count = last ? 1 : f->cf - 1, cu = used(f->col_dim, a->cols, last ? f->cf - 1 : 0);
        if (is_os(f)) {
            if (filter_again(f, cu))
                b.w += count * (f->rf - 1) * s->k * cu;
        } else if (4 * f->t * cu > a->ofmap) {
            b.wr += count * (f->rf - 1) * 4 * f->t * cu;
            b.pr += count * (f->rf - 1) * 4 * f->t * cu;
        }
    }
    return b;
}

/* ---- waiting for DRAM ---- */

/* Interval of fold `index` of the whole layer: what memory can hide behind. */
static int64_t interval(const folding *f, int64_t fr, int64_t fc, bool last_of_all)
{
    if (!f->array->pipelined)
        return serial_cycles(f, charged_rows(f, fr), charged_cols(f, fc));
    if (is_os(f))
        return pipelined_step(f, fr);
    return last_of_all ? f->t : pipelined_step(f, fr + 1 < f->rf ? fr + 1 : 0);
}

static int64_t dram_stall(const folding *f)
{
    int64_t bw = f->array->dram_bw, groups = f->shape->groups;
    int64_t c_before = 0, wb_before = 0, wb_last = 0, stall = 0;
    /* At fold f its load is known: settle what fold f-1 waits for, which needs wb_{f-2} too. */
    for (int64_t g = 0; g < groups; g++)
        for (int64_t fc = 0; fc < f->cf; fc++)
            for (int64_t fr = 0; fr < f->rf; fr++) {
                bool first = g == 0 && fc == 0 && fr == 0;
                bool last = g == groups - 1 && fc == f->cf - 1 && fr == f->rf - 1;
                bytes b = fold_bytes(f, fr, fc);
                int64_t load = ceil_div(b.i + b.w + b.pr, bw);
                stall += first ? load : larger(c_before, load + wb_before) - c_before;
                wb_before = wb_last;
                wb_last = ceil_div(b.wr, bw);
                c_before = interval(f, fr, fc, last);
            }
    stall += larger(c_before, wb_before) - c_before; /* the last fold: nothing left to load */
    return stall + wb_last;
}

/* Every count is below these products; 2^60 leaves room for the sums. */
static bool too_large(const folding *f)
{
    const systolic_shape *s = f->shape;
    double folds = (double)f->rf * (double)f->cf * (double)s->groups;
    double words = (double)s->m * (double)s->n * ((double)s->k + 8) * (double)s->groups * 8;
    return folds * ((double)f->t + 3 * 4096) > 0x1p60 || words > 0x1p60 ||
           (double)s->input * (double)f->cf * (double)s->groups > 0x1p60;
}

lac_status systolic_schedule(const systolic_array *array, const systolic_shape *shape,
                             systolic_counts *counts, lac_error *err)
{
    folding f = {.array = array, .shape = shape};
    bool os = array->dataflow == SYSTOLIC_OS;
    f.row_dim = os ? shape->m : shape->k;
    f.col_dim = array->dataflow == SYSTOLIC_IS ? shape->m : shape->n;
    f.t = os ? shape->k : array->dataflow == SYSTOLIC_IS ? shape->n : shape->m;
    f.rf = ceil_div(f.row_dim, array->rows);
    f.cf = ceil_div(f.col_dim, array->cols);
    if (too_large(&f))
        return lac_fail(err, LAC_ERROR_INPUT,
                        "the product %" PRId64 " x %" PRId64 " x %" PRId64
                        " is too large: its counts leave 60 bits",
                        shape->m, shape->n, shape->k);
    int64_t g = shape->groups, folds = f.rf * f.cf;
    int64_t mk = shape->m * shape->k * g, nk = shape->n * shape->k * g;
    int64_t mn = shape->m * shape->n * g;
    bytes b = group_bytes(&f);
    *counts =
        (systolic_counts){.folds = folds * g,
                          .cycles_ideal = array->pipelined ? pipelined_total(&f) : serial_total(&f),
                          .ifmap_reads = array->dataflow == SYSTOLIC_IS ? mk : mk * f.cf,
                          .filter_reads = os                               ? nk * f.rf
                                          : array->dataflow == SYSTOLIC_IS ? nk * f.cf
                                                                           : nk,
                          .psum_writes = os ? mn : mn * f.rf,
                          .psum_reads = os ? 0 : mn * (f.rf - 1),
                          .dram_ifmap = b.i * g,
                          .dram_filter = b.w * g,
                          .dram_psum = b.pr * g,
                          .dram_out = b.wr * g};
    if (!array->dram)
        return LAC_OK;
    if (counts->folds > INT64_C(1000000000))
        return lac_fail(err, LAC_ERROR_INPUT,
                        "mem=dram walks every fold: %" PRId64 " folds are more than 10^9",
                        counts->folds);
    counts->stall_dram = dram_stall(&f);
    return LAC_OK;
}

void systolic_add(systolic_counts *a, const systolic_counts *b, int64_t times)
{
    a->folds += b->folds * times;
    a->cycles_ideal += b->cycles_ideal * times;
    a->stall_dram += b->stall_dram * times;
    a->ifmap_reads += b->ifmap_reads * times;
    a->filter_reads += b->filter_reads * times;
    a->psum_writes += b->psum_writes * times;
    a->psum_reads += b->psum_reads * times;
    a->dram_ifmap += b->dram_ifmap * times;
    a->dram_filter += b->dram_filter * times;
    a->dram_psum += b->dram_psum * times;
    a->dram_out += b->dram_out * times;
}
