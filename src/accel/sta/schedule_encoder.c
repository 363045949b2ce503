/* Attention and whole encoder layers (dossier 4.6, 4.7): score tiles, the softmax unit and value
 * tiles as a pipeline over (head, row tile) items; layer norm as one unit for the run. */
#include "accel/sta/schedule.h"

#include <inttypes.h>

#include "core/memory.h"

static int64_t max(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

lac_status lac_sta_attention_fits(const lac_sta_machine *machine, int64_t heads, int64_t tokens,
                                  int64_t dim, lac_error *err)
{
    int64_t padded = ceil_div(tokens, machine->rows) * machine->rows, rows, need;
    int64_t keys = ceil_div(tokens, machine->cols) * machine->cols;
    LAC_TRY(lac_shape_count(4, (int64_t[]){4, padded, heads, dim}, &need, err));
    LAC_TRY(lac_shape_count(3, (int64_t[]){6, machine->rows, keys}, &rows, err));
    if (rows > machine->activation_bytes || need > machine->activation_bytes - rows)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "attention over %" PRId64 " tokens x %" PRId64 " x %" PRId64
                        " needs more than act = %" PRId64 " bytes on chip",
                        tokens, heads, dim, machine->activation_bytes);
    return LAC_OK;
}

/* Ends of the softmax unit and of the value product, for the two items before. */
typedef struct pipeline {
    lac_sta_run *run;
    const lac_sta_heads *heads;
    lac_sta_tile score, value;
    int64_t row_tiles, key_tiles, dim_tiles;
    int64_t softmax_end[3], value_free[3]; /* of item i at i mod 3 */
} pipeline;

static void score(pipeline *p, int64_t i)
{
    const lac_sta_machine *machine = p->run->machine;
    int64_t head = i / p->row_tiles, rt = i % p->row_tiles;
    int64_t dep = i >= 2 ? p->softmax_end[(i - 2) % 3] : 0;
    int64_t mem = p->heads->mem_s ? p->heads->mem_s[head] : 0;
    dep = max(dep, p->heads->k_ready);
    if (p->heads->q_ready)
        dep = max(dep, p->heads->q_ready[rt]);
    for (int64_t t = 0; t < p->key_tiles; t++)
        lac_sta_issue(p->run, &p->score, dep, mem);
    int64_t start = p->run->accumulate + 1 + machine->output_stages + machine->softmax_statistics +
                    machine->reciprocal;
    if (i >= 1)
        start = max(start, p->softmax_end[(i - 1) % 3]);
    if (i >= 2)
        start = max(start, p->value_free[(i - 2) % 3]);
    p->softmax_end[i % 3] = start + machine->rows * p->key_tiles;
    p->run->events->softmax_elems += machine->rows * p->key_tiles * machine->cols;
}

static void value(pipeline *p, int64_t i)
{
    int64_t head = i / p->row_tiles, rt = i % p->row_tiles, usable = 0;
    int64_t dep = p->softmax_end[i % 3] + p->run->machine->softmax_normalise;
    int64_t mem = p->heads->mem_v ? p->heads->mem_v[head] : 0;
    dep = max(dep, p->heads->v_ready);
    for (int64_t t = 0; t < p->dim_tiles; t++)
        usable = lac_sta_issue(p->run, &p->value, dep, mem);
    p->value_free[i % 3] = p->run->start + p->value.activation_free;
    if (head == p->heads->heads - 1)
        p->heads->out[rt] = usable;
}

void lac_sta_attention_phase(lac_sta_run *run, const lac_sta_heads *heads)
{
    const lac_sta_machine *machine = run->machine;
    pipeline p = {.run = run,
                  .heads = heads,
                  .score = lac_sta_tile_make(machine, 1, 1, heads->dim, false),
                  .value = lac_sta_tile_make(machine, 1, 1, heads->tokens, false),
                  .row_tiles = ceil_div(heads->tokens, machine->rows),
                  .key_tiles = ceil_div(heads->tokens, machine->cols),
                  .dim_tiles = ceil_div(heads->dim, machine->cols)};
    int64_t items = heads->heads * p.row_tiles;
    score(&p, 0);
    for (int64_t i = 1; i < items; i++) {
        score(&p, i);
        value(&p, i - 1);
    }
    value(&p, items - 1);
}

lac_status lac_sta_schedule_attention(const lac_sta_machine *machine, int64_t heads, int64_t tokens,
                                      int64_t dim, lac_sta_events *events, lac_error *err)
{
    LAC_TRY(lac_sta_fits(machine, &(lac_sta_tile){0}, err));
    LAC_TRY(lac_sta_attention_fits(machine, heads, tokens, dim, err));
    int64_t row_tiles = ceil_div(tokens, machine->rows);
    int64_t *memory = lac_alloc((size_t)(2 * heads + row_tiles), sizeof *memory, err);
    if (!memory)
        return LAC_ERROR_MEMORY;
    lac_sta_run run = {.machine = machine, .events = events};
    lac_sta_heads phase = {
        heads, tokens, dim, NULL, 0, 0, memory, memory + heads, memory + 2 * heads};
    for (int64_t h = 0; h < heads; h++) {
        lac_sta_read(&run, tokens * dim, 0);                     /* K */
        memory[h] = lac_sta_read(&run, tokens * dim, 0);         /* Q, after K */
        memory[heads + h] = lac_sta_read(&run, tokens * dim, 0); /* V */
    }
    lac_sta_attention_phase(&run, &phase);
    events->cycles += phase.out[row_tiles - 1];
    events->tail += phase.out[row_tiles - 1] - run.end;
    events->dram_a += 3 * heads * tokens * dim;
    events->dram_y += 4 * heads * tokens * dim;
    lac_free(memory);
    return LAC_OK;
}

/* ---- encoder ------------------------------------------------------------------------------- */

enum { Q, K, V, O, F1, F2 };

typedef struct encoder {
    lac_sta_run run;
    const lac_sta_encoder *shape;
    lac_sta_tile tile[6];
    int64_t row_tiles, ffn_tiles; /* row tiles in all, in one FFN block */
    int64_t norm_free, latest;    /* layer-norm unit free; last cycle of anything */
    int64_t *ready[6];            /* dw of the last column tile of q, k, v, heads, h; [row tile] */
    int64_t *norm, *input;        /* layer-norm output of a row tile; X from DRAM (first layer) */
} encoder;

enum { HEADS = O }; /* ready[HEADS]: the attention's output, which feeds O */

/* One operation over row tiles [first, end). dep: [row tile] or NULL. `mem`: wait for the input.
 * Results go to `usable` and, for layer norm, the time of the last accumulate to `accumulated`. */
static void operation(encoder *e, int op, int64_t first, int64_t end, const int64_t *dep,
                      const int64_t *mem, int64_t *usable, int64_t *accumulated)
{
    const lac_sta_machine *machine = e->run.machine;
    const lac_sta_encoder *s = e->shape;
    int64_t cols = ceil_div(op == F1 ? s->ffn : s->dim, machine->cols);
    for (int64_t ct = 0; ct < cols; ct++) {
        int64_t weights = lac_sta_read_weights(&e->run, &e->tile[op]);
        for (int64_t rt = first; rt < end; rt++) {
            if (mem && op == Q && ct == 0) { /* X follows the very first weight tile */
                int64_t left = s->tokens - rt * machine->rows;
                int64_t bytes = (left < machine->rows ? left : machine->rows) * s->dim;
                e->run.events->dram_a += bytes;
                e->input[rt] = lac_sta_read(&e->run, bytes, 0);
            }
            int64_t done = lac_sta_issue(&e->run, &e->tile[op], dep ? dep[rt] : 0,
                                         mem ? max(weights, mem[rt]) : weights);
            if (usable)
                usable[rt] = done;
            if (accumulated)
                accumulated[rt] = e->run.accumulate;
            e->latest = max(e->latest, done);
        }
        lac_sta_weights_done(&e->run);
    }
}

static void layer_norm(encoder *e, int64_t first, int64_t end, const int64_t *accumulated)
{
    const lac_sta_machine *machine = e->run.machine;
    int64_t segments = ceil_div(e->shape->dim, machine->norm_lanes);
    for (int64_t rt = first; rt < end; rt++) {
        int64_t start = max(e->norm_free, accumulated[rt] + machine->rows + machine->output_stages +
                                              machine->norm_statistics + machine->norm_root);
        e->norm_free = start + machine->rows * segments;
        e->norm[rt] = e->norm_free + machine->norm_normalise;
        e->latest = max(e->latest, e->norm[rt]);
        e->run.events->layernorm_elems += machine->rows * segments * machine->norm_lanes;
    }
}

static void phase_end(encoder *e, int phase, int64_t *before)
{
    e->run.events->phase[phase] += e->run.end - *before;
    *before = e->run.end;
}

/* `accumulated`: room for one time per row tile. */
static void one_layer(encoder *e, bool first_layer, int64_t *accumulated, int64_t *before)
{
    const lac_sta_encoder *s = e->shape;
    int64_t all = e->row_tiles;
    for (int op = Q; op <= V; op++)
        operation(e, op, 0, all, first_layer ? NULL : e->norm, first_layer ? e->input : NULL,
                  e->ready[op], NULL);
    phase_end(e, 0, before);
    lac_sta_heads heads = {.heads = s->heads,
                           .tokens = s->tokens,
                           .dim = s->dim / s->heads,
                           .q_ready = e->ready[Q],
                           .out = e->ready[HEADS]};
    for (int64_t rt = 0; rt < all; rt++) {
        heads.k_ready = max(heads.k_ready, e->ready[K][rt]);
        heads.v_ready = max(heads.v_ready, e->ready[V][rt]);
    }
    lac_sta_attention_phase(&e->run, &heads);
    e->latest = max(e->latest, e->ready[HEADS][all - 1]);
    phase_end(e, 1, before);
    operation(e, O, 0, all, e->ready[HEADS], NULL, NULL, accumulated);
    layer_norm(e, 0, all, accumulated);
    phase_end(e, 2, before);
    for (int64_t rt = 0; rt < all; rt += e->ffn_tiles) {
        int64_t end = all - rt < e->ffn_tiles ? all : rt + e->ffn_tiles;
        operation(e, F1, rt, end, e->norm, NULL, e->ready[F1], NULL);
        phase_end(e, 3, before);
        operation(e, F2, rt, end, e->ready[F1], NULL, NULL, accumulated);
        layer_norm(e, rt, end, accumulated);
        phase_end(e, 4, before);
    }
}

lac_status lac_sta_ffn_block(const lac_sta_machine *machine, const lac_sta_encoder *s,
                             int64_t *tokens, lac_error *err)
{
    int64_t padded = ceil_div(s->tokens, machine->rows) * machine->rows;
    int64_t left = machine->activation_bytes - padded * s->dim;
    int64_t fit = left < 0 ? 0 : machine->rows * (left / (machine->rows * (s->ffn + 2 * s->dim)));
    *tokens = padded < fit ? padded : fit;
    if (*tokens < machine->rows)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "not even %" PRId64 " tokens of the feed-forward part fit on chip, "
                        "act = %" PRId64,
                        machine->rows, machine->activation_bytes);
    return LAC_OK;
}

lac_status lac_sta_schedule_encoder(const lac_sta_machine *machine, const lac_sta_encoder *s,
                                    lac_sta_events *events, lac_error *err)
{
    encoder e = {.run = {.machine = machine, .events = events}, .shape = s};
    int64_t block, before = 0;
    for (int op = Q; op <= F2; op++) {
        e.tile[op] =
            lac_sta_tile_make(machine, s->n[op], s->m[op], op == F2 ? s->ffn : s->dim, true);
        LAC_TRY(lac_sta_fits(machine, &e.tile[op], err));
    }
    LAC_TRY(lac_sta_attention_fits(machine, s->heads, s->tokens, s->dim / s->heads, err));
    LAC_TRY(lac_sta_ffn_block(machine, s, &block, err));
    e.row_tiles = ceil_div(s->tokens, machine->rows);
    e.ffn_tiles = block / machine->rows;
    int64_t *times = lac_alloc((size_t)e.row_tiles * 8, sizeof *times, err);
    if (!times)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < 5; i++)
        e.ready[i] = times + i * e.row_tiles;
    e.norm = times + 5 * e.row_tiles;
    e.input = times + 6 * e.row_tiles;
    for (int64_t layer = 0; layer < s->layers; layer++)
        one_layer(&e, layer == 0, times + 7 * e.row_tiles, &before);
    events->cycles += e.latest;
    events->tail += e.latest - e.run.end;
    events->dram_y += s->tokens * s->dim;
    lac_free(times);
    return LAC_OK;
}
