/* The bench of the matrix engine's RTL. Whatever no enable asked for is random: data of cycles
 * without a read, elements outside the window or behind K, job fields that are not offered. */
#include "helpers/dmme.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "accel/sta/sta.h"
#include "core/random.h"
#include "helpers/golden.h"
#include "helpers/sta.h"

static lac_error err;
static lac_random dice;

/* ---- works and tiles ---- */

static void check(lac_status status)
{
    if (status != LAC_OK)
        fail_msg("%s", err.message);
}

static void randomise(lac_tensor *a, lac_dtype dtype, uint64_t seed)
{
    lac_random random = lac_random_stream(seed, 77);
    uint8_t *data = a->data;
    a->dtype = dtype;
    for (int64_t i = 0; i < lac_tensor_count(a); i++) {
        uint8_t byte = (uint8_t)(lac_random_next(&random) >> 32);
        data[i] = dtype == LAC_I8 && byte == 0x80 ? 0x81 : byte; /* int8 is [-127, 127] */
    }
}

dmme_work dmme_work_make(const dmme_model *model, const char *text, const char *wd, const char *ad,
                         lac_dtype activations, uint64_t seed)
{
    dmme_work work = {.layer = golden_layer(text, wd, ad, seed)};
    lac_operand *w = &work.layer.operand[LAC_ROLE_WEIGHTS];
    const lac_format *format;
    lac_params params;
    char packing[64];
    uint32_t crc;
    if (activations != LAC_NONE)
        randomise(&work.layer.operand[LAC_ROLE_ACTIVATIONS].tensor, activations, seed);
    work.m = lac_layer_dim_get(&work.layer, "m");
    snprintf(packing, sizeof packing, "sta:n=%d,m=%d,c=%d,l=%d", w->m > 1 ? w->n : 1,
             w->m > 1 ? w->m : 1, model->cols, model->lanes);
    check(lac_format_parse(packing, &format, &params, &err));
    check(lac_pack(&work.packed, format, &params, LAC_VIEW_ROWS, &w->tensor, &err));
    const uint8_t *header = work.packed.field[0].data;
    check(lac_sta_header_get(&work.image, &crc, header,
                             lac_packed_bytes(&work.packed) - LAC_STA_HEADER_BYTES, &err));
    work.payload = header + LAC_STA_HEADER_BYTES;
    int64_t dims[] = {work.m, work.image.n_out};
    check(lac_tensor_make(&work.got, LAC_I32, 2, dims, &err));
    check(work.layer.kind->reference(&work.layer, &work.want, &err));
    return work;
}

void dmme_work_release(dmme_work *work)
{
    lac_tensor_release(&work->want);
    lac_tensor_release(&work->got);
    lac_packed_release(&work->packed);
    lac_layer_release(&work->layer);
}

dmme_job *dmme_tiles(const dmme_model *model, dmme_work *work, int *count)
{
    int64_t row_tiles = (work->m + model->rows - 1) / model->rows;
    *count = (int)(work->image.tiles * row_tiles);
    dmme_job *jobs = malloc((size_t)*count * sizeof *jobs);
    assert_non_null(jobs);
    for (int i = 0; i < *count; i++)
        jobs[i] = (dmme_job){work, i / row_tiles, i % row_tiles * model->rows, 0};
    return jobs;
}

/* ---- the buffers behind the read ports ---- */

typedef struct port {
    uint32_t *word;
    int64_t bits;
} port;

static port port_make(int64_t bits)
{
    port p = {calloc((size_t)(bits + 31) / 32, 4), bits};
    assert_non_null(p.word);
    return p;
}

static void put(port *p, int64_t at, int bits, uint32_t value)
{
    for (int i = 0; i < bits; i++, at++) {
        uint32_t bit = UINT32_C(1) << (at & 31);
        p->word[at >> 5] = (value >> i & 1) ? p->word[at >> 5] | bit : p->word[at >> 5] & ~bit;
    }
}

static void scramble(port *p)
{
    for (int64_t i = 0; i < (p->bits + 31) / 32; i++)
        p->word[i] = (uint32_t)(lac_random_next(&dice) >> 32);
    if (p->bits & 31)
        p->word[p->bits >> 5] &= (UINT32_C(1) << (p->bits & 31)) - 1;
}

/* PA elements of R rows from `offset` on; what is no part of the step's window stays random. */
static void read_activations(port *p, const dmme_model *model, const dmme_job *job, int64_t offset)
{
    const lac_tensor *a = &job->work->layer.operand[LAC_ROLE_ACTIVATIONS].tensor;
    const lac_sta_image *image = &job->work->image;
    int64_t window = (int64_t)image->l * image->m, end = (offset / window + 1) * window;
    end = end < image->k ? end : image->k;
    for (int64_t r = 0; r < model->rows; r++)
        for (int64_t e = offset; e < end && e < offset + model->fetch_bytes; e++) {
            int64_t row = job->row + r, at = row * image->k + e, value = 0;
            if (row < job->work->m)
                value = a->dtype == LAC_U8 ? ((const uint8_t *)a->data)[at]
                                           : ((const int8_t *)a->data)[at];
            put(p, (r * model->fetch_bytes + e - offset) * 9, 9, (uint32_t)value);
        }
}

static const uint8_t *step_of(const dmme_job *job, int64_t step)
{
    const lac_sta_image *image = &job->work->image;
    return job->work->payload + job->tile * image->tile_bytes + step * image->step_bytes;
}

static void read_bitmaps(port *p, const dmme_model *model, const dmme_job *job, int64_t step)
{
    const lac_sta_image *image = &job->work->image;
    const uint8_t *bitmaps = step_of(job, step);
    for (int64_t i = 0; i < (int64_t)image->c * image->l * image->m; i++)
        put(p, i / image->m * model->m_max + i % image->m, 1, bitmaps[i >> 3] >> (i & 7) & 1);
}

static void read_values(port *p, const dmme_job *job, int64_t step, int j)
{
    const lac_sta_image *image = &job->work->image;
    const uint8_t *plane = step_of(job, step) + image->meta_bytes + j * image->c * image->l;
    for (int64_t i = 0; i < image->c * image->l; i++)
        put(p, i * 8, 8, plane[i]);
}

/* ---- a run ---- */

/* Job i on the ports: any bits will do, so all 32 are used. */
static const uint32_t id_bits = UINT32_C(0xa5c30f00);

typedef struct bench {
    const dmme_model *model;
    void *engine;
    const dmme_job *jobs;
    int count;
    lac_sta_machine machine;
    lac_sta_tile *tile;    /* of each job */
    int accepted, drained; /* jobs so far */
    int64_t row;           /* next to be drained */
    int64_t cycle, busy_until;
    port a, b, v;
    dmme_in in;
    dmme_out out;
    lac_sta_run run; /* the recurrence */
    dmme_counts counts;
} bench;

static void must(const bench *b, bool holds, const char *what, int64_t seen)
{
    if (!holds)
        fail_msg("%dx%dx%d PA=%d, cycle %" PRId64 ", %d jobs accepted: %s (%" PRId64 ")",
                 b->model->rows, b->model->cols, b->model->lanes, b->model->fetch_bytes, b->cycle,
                 b->accepted, what, seen);
}

static void shape(dmme_in *in, const lac_sta_tile *tile)
{
    in->cfg_n = (uint8_t)tile->n;
    in->cfg_m = (uint8_t)tile->m;
    in->cfg_sparse = tile->sparse;
    in->cfg_steps = (uint16_t)tile->steps;
    in->cfg_g = (uint8_t)tile->fetches;
    in->cfg_p = (uint8_t)tile->phase;
}

static void nonsense(dmme_in *in)
{
    uint64_t bits = lac_random_next(&dice);
    in->cfg_n = bits & 31;
    in->cfg_m = bits >> 5 & 31;
    in->cfg_sparse = bits >> 10 & 1;
    in->cfg_steps = bits >> 11 & 0xffff;
    in->cfg_g = bits >> 27 & 7;
    in->cfg_p = bits >> 30 & 31;
    in->job_valid = bits >> 35 & 1;
    in->job_id = (uint32_t)(bits >> 32);
}

static void step(bench *b)
{
    b->model->step(b->engine, &b->in, &b->out);
    scramble(&b->a);
    scramble(&b->b);
    scramble(&b->v);
}

/* Leaves the engine somewhere in the middle of something, then resets it for one cycle. */
static void reset(bench *b)
{
    for (int i = 0; i < 40; i++) {
        nonsense(&b->in);
        step(b);
    }
    nonsense(&b->in);
    b->in.rst = 1;
    step(b);
    must(b, !b->out.job_ready, "ready in reset", 0);
    b->in.rst = 0;
}

/* The port that acts names an accepted job. */
static int job_of(const bench *b, uint32_t id, const char *what)
{
    int64_t i = id ^ id_bits;
    must(b, i < b->accepted, what, i);
    return (int)i;
}

static void offer(bench *b)
{
    nonsense(&b->in);
    b->in.job_valid = b->accepted < b->count && b->cycle >= b->jobs[b->accepted].offered;
    if (b->in.job_valid) {
        shape(&b->in, &b->tile[b->accepted]);
        b->in.job_id = (uint32_t)b->accepted ^ id_bits;
    }
}

static void accept(bench *b)
{
    const lac_sta_tile *tile = &b->tile[b->accepted];
    lac_sta_run *run = &b->run;
    int64_t dep = b->jobs[b->accepted].offered;
    if (run->begun) {
        int64_t others = run->accumulate + b->machine.rows - tile->off;
        others = others > run->end ? others : run->end;
        others = others > dep ? others : dep;
        b->counts.selects_bind += run->start + run->last.select - tile->fetches > others;
    }
    int64_t usable = lac_sta_issue(run, tile, dep, 0);
    must(b, b->cycle == run->start, "job accepted, but the recurrence has it in", run->start);
    b->busy_until = usable - 1;
    b->counts.start[b->accepted++] = b->cycle;
}

static void check_reads(bench *b)
{
    const dmme_out *out = &b->out;
    if (out->a_en) { /* only the newest job fetches */
        int i = job_of(b, out->a_job, "fetch of a job not accepted");
        const lac_sta_tile *t = &b->tile[i];
        int64_t since = b->cycle - b->counts.start[i], s = since / t->phase, g = since % t->phase;
        must(b, i == b->accepted - 1 && since < t->length && g < t->fetches, "fetch", since);
        must(b, out->a_off == s * b->machine.lanes * t->m + g * b->machine.fetch_bytes, "a_off",
             out->a_off);
        read_activations(&b->a, b->model, &b->jobs[i], out->a_off);
        b->counts.abuf_reads += b->machine.rows;
    }
    if (out->b_en) {
        int i = job_of(b, out->b_job, "bitmaps of a job not accepted");
        const lac_sta_tile *t = &b->tile[i];
        must(b, t->sparse, "bitmaps of a dense job", i);
        must(b,
             out->b_step < t->steps &&
                 b->cycle == b->counts.start[i] + out->b_step * t->phase + t->fetches - 1,
             "b_step", out->b_step);
        read_bitmaps(&b->b, b->model, &b->jobs[i], out->b_step);
        b->counts.bitmap_reads += b->machine.cols;
    }
    if (out->v_en) {
        int i = job_of(b, out->v_job, "values of a job not accepted");
        const lac_sta_tile *t = &b->tile[i];
        must(b,
             out->v_step < t->steps && out->v_j < t->n &&
                 b->cycle == b->counts.start[i] + out->v_step * t->phase + t->fetches + out->v_j,
             "v_step", out->v_step);
        read_values(&b->v, &b->jobs[i], out->v_step, out->v_j);
        b->counts.wbuf_reads += b->machine.cols;
    }
}

static void check_row(bench *b)
{
    int i = job_of(b, b->out.y_job, "y of a job not accepted");
    const dmme_job *job = &b->jobs[i];
    int64_t n = job->work->image.n_out, row = job->row + b->row;
    must(b, i == b->drained && b->out.y_row == b->row, "y out of order", b->out.y_row);
    must(b, b->cycle == b->counts.start[i] + b->tile[i].off + 1 + b->row + b->machine.output_stages,
         "y in the wrong cycle", b->row);
    for (int64_t c = 0; c < b->machine.cols; c++) {
        int64_t column = job->tile * b->machine.cols + c, at = row * n + column;
        bool inside = row < job->work->m && column < n;
        int32_t want = inside ? ((const int32_t *)job->work->want.data)[at] : 0;
        must(b, (int32_t)b->out.y_data[c] == want, "y differs from the reference in column", c);
        if (inside)
            ((int32_t *)job->work->got.data)[at] = (int32_t)b->out.y_data[c];
    }
    b->counts.cycles = b->cycle + 1 - b->counts.start[0];
    if (++b->row == b->machine.rows) {
        b->row = 0;
        b->drained++;
    }
}

static lac_sta_machine machine_of(const dmme_model *m)
{
    lac_params params = *sta_defaults();
    char set[128];
    snprintf(set, sizeof set, "R=%d,C=%d,L=%d,PA=%d,MMAX=%d,Q=%d", m->rows, m->cols, m->lanes,
             m->fetch_bytes, m->m_max, m->output_stages);
    golden_set(&params, set);
    return lac_sta_machine_of(&params);
}

dmme_counts dmme_run(const dmme_model *model, void *engine, const dmme_job *jobs, int count)
{
    bench b = {.model = model,
               .engine = engine,
               .jobs = jobs,
               .count = count,
               .machine = machine_of(model),
               .busy_until = -1,
               .a = port_make((int64_t)model->rows * model->fetch_bytes * 9),
               .b = port_make((int64_t)model->cols * model->lanes * model->m_max),
               .v = port_make((int64_t)model->cols * model->lanes * 8)};
    b.in = (dmme_in){.a_data = b.a.word, .b_data = b.b.word, .v_data = b.v.word};
    b.run = (lac_sta_run){.machine = &b.machine, .events = &b.counts.events};
    b.tile = malloc((size_t)count * sizeof *b.tile);
    b.counts.start = malloc((size_t)count * sizeof *b.counts.start);
    assert_true(b.tile && b.counts.start);
    for (int i = 0; i < count; i++) {
        const lac_sta_image *image = &jobs[i].work->image;
        b.tile[i] = lac_sta_tile_make(&b.machine, image->n, image->m, image->k, true);
        assert_in_range(b.tile[i].fetches, 1, 7); /* limits of the ports */
        assert_in_range(b.tile[i].steps, 1, 65535);
    }
    dice = lac_random_stream((uint64_t)count, 78);
    reset(&b);
    /* 50 cycles more show that nothing comes behind the last row */
    for (; b.drained < count || b.cycle < b.busy_until + 50; b.cycle++) {
        offer(&b);
        step(&b);
        if (b.in.job_valid && b.out.job_ready)
            accept(&b);
        check_reads(&b);
        if (b.out.y_valid)
            check_row(&b);
        must(&b, b.out.idle == (b.cycle > b.busy_until), "idle", b.out.idle);
        must(&b, b.accepted == count || b.cycle < b.busy_until + 10000, "no job accepted", 0);
        must(&b, b.drained == count || b.accepted < count || b.cycle <= b.busy_until,
             "rows are missing", b.row);
        if (b.cycle < DMME_TRACE)
            b.counts.trace[b.cycle] =
                (uint8_t)(b.out.a_en * DMME_A + b.out.b_en * DMME_B + b.out.v_en * DMME_V +
                          b.out.y_valid * DMME_Y + b.out.idle * DMME_IDLE);
    }
    b.counts.events.cycles = b.busy_until + 1;
    free(b.tile);
    free(b.a.word);
    free(b.b.word);
    free(b.v.word);
    return b.counts;
}

void dmme_counts_release(dmme_counts *counts)
{
    free(counts->start);
    counts->start = NULL;
}
