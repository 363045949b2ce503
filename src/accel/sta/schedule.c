/* The array's tile recurrence, the read channel and a single matrix product (dossier 4.4, 4.5).
 * Only the tile before matters for the start of a tile; requests to DRAM are served in program
 * order, so both can be computed in one pass. */
#include "accel/sta/schedule.h"

#include <inttypes.h>

#include "format/sta_image.h"

static int64_t max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

lac_sta_tile lac_sta_tile_make(const lac_sta_machine *machine, int n, int m, int64_t k,
                               bool weights)
{
    lac_sta_tile t = {.n = n, .m = m, .sparse = m > 1, .k = k};
    t.steps = ceil_div(ceil_div(k, m), machine->lanes);
    t.fetches = ceil_div(machine->lanes * m, machine->fetch_bytes);
    t.phase = max(n, t.fetches);
    t.length = t.steps * t.phase;
    int64_t last = (t.steps - 1) * t.phase + t.fetches;
    t.off = last + n + 3;
    t.select = t.weight_free = last + n;
    t.activation_free = last;
    if (weights)
        t.bytes = t.steps * lac_sta_step_bytes(n, m, machine->cols, machine->lanes, machine->index);
    return t;
}

int64_t lac_sta_issue(lac_sta_run *run, const lac_sta_tile *tile, int64_t dep, int64_t mem)
{
    const lac_sta_machine *machine = run->machine;
    lac_sta_events *e = run->events;
    int64_t t0 = 0, t1 = 0;
    if (run->begun) {
        t0 = run->start + run->last.length;
        t1 = max(t0, max(run->start + run->last.select - tile->fetches,
                         run->accumulate + machine->rows - tile->off));
    }
    int64_t t2 = max(t1, dep), t3 = max(t2, mem);
    e->drain_stall += t1 - t0;
    e->dep_stall += t2 - t1;
    e->load_stall += t3 - t2;
    run->begun = true;
    run->start = t3;
    run->accumulate = t3 + tile->off;
    run->end = t3 + tile->length;
    run->last = *tile;
    e->mac_cycles += tile->steps * tile->n;
    e->window_stall += tile->steps * (tile->phase - tile->n);
    e->tiles++;
    e->macs_issued += machine->rows * machine->cols * machine->lanes * tile->steps * tile->n;
    e->abuf_reads += tile->steps * tile->fetches * machine->rows;
    e->wbuf_reads += tile->steps * tile->n * machine->cols;
    if (tile->sparse) {
        e->bitmap_reads += tile->steps * machine->cols;
        e->bitmap_bytes += tile->steps * machine->cols * ceil_div(machine->lanes * tile->m, 8);
    }
    e->rows_drained += machine->rows;
    return run->accumulate + machine->rows + machine->output_stages + 1;
}

int64_t lac_sta_read(lac_sta_run *run, int64_t bytes, int64_t condition)
{
    run->channel = max(run->channel, condition) + ceil_div(bytes, run->machine->read_bytes);
    return run->channel + run->machine->latency;
}

int64_t lac_sta_read_weights(lac_sta_run *run, const lac_sta_tile *tile)
{
    run->events->dram_w += tile->bytes;
    return lac_sta_read(run, tile->bytes, run->slot_free[run->weight_tiles++ & 1]);
}

void lac_sta_weights_done(lac_sta_run *run)
{
    run->slot_free[(run->weight_tiles - 1) & 1] = run->start + run->last.weight_free;
}

lac_status lac_sta_fits(const lac_sta_machine *machine, const lac_sta_tile *tile, lac_error *err)
{
    if (machine->write_bytes < 4 * machine->cols)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "wr = %" PRId64 " bytes/cycle, a drained row has 4*C = %" PRId64,
                        machine->write_bytes, 4 * machine->cols);
    if (tile->bytes > machine->weight_slot)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "K = %" PRId64 " is too large for the weight slot: a column tile has "
                        "%" PRId64 " bytes, wslot = %" PRId64,
                        tile->k, tile->bytes, machine->weight_slot);
    return LAC_OK;
}

lac_status lac_sta_gemm_block(const lac_sta_machine *machine, int64_t k, int64_t *rows,
                              lac_error *err)
{
    *rows = machine->rows * (machine->activation_bytes / (machine->rows * k));
    if (*rows == 0)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "%" PRId64 " activation rows of K = %" PRId64
                        " bytes do not fit the activation memory, act = %" PRId64,
                        machine->rows, k, machine->activation_bytes);
    return LAC_OK;
}

lac_status lac_sta_schedule_gemm(const lac_sta_machine *machine, int64_t m, int64_t n, int64_t k,
                                 int pattern_n, int pattern_m, lac_sta_events *events,
                                 lac_error *err)
{
    lac_sta_tile tile = lac_sta_tile_make(machine, pattern_n, pattern_m, k, true);
    int64_t block, col_tiles = ceil_div(n, machine->cols), usable = 0, block_end = 0;
    LAC_TRY(lac_sta_fits(machine, &tile, err));
    LAC_TRY(lac_sta_gemm_block(machine, k, &block, err));
    lac_sta_run run = {.machine = machine, .events = events};
    for (int64_t first = 0; first < m; first += block) {
        int64_t rows = m - first < block ? m - first : block;
        int64_t row_tiles = ceil_div(rows, machine->rows);
        for (int64_t ct = 0; ct < col_tiles; ct++) {
            int64_t weights = lac_sta_read_weights(&run, &tile);
            for (int64_t rt = 0; rt < row_tiles; rt++) {
                int64_t mem = weights;
                if (ct == 0) {
                    int64_t left = rows - rt * machine->rows;
                    int64_t bytes = (left < machine->rows ? left : machine->rows) * k;
                    events->dram_a += bytes;
                    /* all A of the block follow W(0): requests wait for nothing newer than the
                     * block before, so asking one by one keeps the order */
                    mem = max(mem, lac_sta_read(&run, bytes, block_end));
                }
                usable = lac_sta_issue(&run, &tile, 0, mem);
            }
            lac_sta_weights_done(&run);
        }
        block_end = run.start + tile.activation_free;
    }
    events->cycles += usable;
    events->tail += usable - run.end;
    events->dram_y += 4 * m * n;
    return LAC_OK;
}
