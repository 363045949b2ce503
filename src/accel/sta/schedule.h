/* When everything happens: the recurrences of dossier 4.4 to 4.7. A schedule never sees a number of
 * a tensor, so cycles cannot depend on data. All times are cycles from the start of the run. */
#ifndef LACUNA_ACCEL_STA_SCHEDULE_H
#define LACUNA_ACCEL_STA_SCHEDULE_H

#include <lacuna/core.h>

/* The parameters of dossier 4.1. */
typedef struct lac_sta_machine {
    int64_t rows, cols, lanes;                                      /* R, C, L */
    int64_t m_max, fetch_bytes, output_stages;                      /* MMAX, PA, Q */
    int64_t softmax_statistics, reciprocal, softmax_normalise;      /* SM1, RCP, SM2 */
    int64_t norm_statistics, norm_root, norm_normalise, norm_lanes; /* LN1, LNR, LN2, VL */
    int64_t read_bytes, write_bytes, latency;                       /* rd, wr, lat */
    int64_t weight_slot, activation_bytes;                          /* wslot, act */
    bool index;                                                     /* enc=index */
} lac_sta_machine;

/* One operation's tiles: N:M (1:1 is dense) over a reduction of length k. */
typedef struct lac_sta_tile {
    int n, m;
    bool sparse;
    int64_t k, steps, fetches, phase; /* S, G, P */
    int64_t length;                   /* SP = S * P */
    int64_t off, select, weight_free, activation_free;
    int64_t bytes; /* of its weights, 0 for dense-dense */
} lac_sta_tile;

typedef struct lac_sta_events { /* dossier 4.8 */
    int64_t mac_cycles, window_stall, drain_stall, dep_stall, load_stall, tail, cycles;
    int64_t tiles, macs_issued, abuf_reads, wbuf_reads, bitmap_reads, rows_drained;
    int64_t bitmap_bytes; /* read with bitmap_reads: ceil(L*M/8) each */
    int64_t softmax_elems, layernorm_elems, dram_w, dram_a, dram_y;
    int64_t phase[5]; /* qkv, attention, proj, ffn1, ffn2; the sixth is the tail */
} lac_sta_events;

/* The shape of tiles; `weights`: their weights come from DRAM (bytes are set). */
lac_sta_tile lac_sta_tile_make(const lac_sta_machine *machine, int n, int m, int64_t k,
                               bool weights);

/* Y[m][n] over k, one run from a cold start, its counts added to `events` (also for a product
 * after others: "one after the other"). Refusals (LAC_ERROR_INPUT) name the parameter. */
lac_status lac_sta_schedule_gemm(const lac_sta_machine *machine, int64_t m, int64_t n, int64_t k,
                                 int pattern_n, int pattern_m, lac_sta_events *events,
                                 lac_error *err);
/* Rows of a token block; LAC_ERROR_INPUT when not even R rows fit. */
lac_status lac_sta_gemm_block(const lac_sta_machine *machine, int64_t k, int64_t *rows,
                              lac_error *err);

lac_status lac_sta_schedule_attention(const lac_sta_machine *machine, int64_t heads, int64_t tokens,
                                      int64_t dim, lac_sta_events *events, lac_error *err);

/* Operations of an encoder layer: q, k, v, o, f1, f2. */
typedef struct lac_sta_encoder {
    int64_t tokens, dim, heads, ffn, layers;
    int n[6], m[6]; /* pattern of each operation; 1:1 is dense */
} lac_sta_encoder;
lac_status lac_sta_schedule_encoder(const lac_sta_machine *machine, const lac_sta_encoder *shape,
                                    lac_sta_events *events, lac_error *err);
/* Tokens of an FFN block (dossier 4.7); LAC_ERROR_INPUT when not even R fit. */
lac_status lac_sta_ffn_block(const lac_sta_machine *machine, const lac_sta_encoder *shape,
                             int64_t *tokens, lac_error *err);

/* ---- shared by the three ------------------------------------------------------------------- */

/* A run: the array, the read channel, the two weight slots. */
typedef struct lac_sta_run {
    const lac_sta_machine *machine;
    lac_sta_events *events;
    int64_t start, accumulate; /* is, la of the last tile */
    int64_t end;               /* is + SP of the last tile */
    bool begun;
    lac_sta_tile last;
    int64_t channel;      /* free from */
    int64_t weight_tiles; /* requested so far */
    int64_t slot_free[2]; /* of the last tile that used the slot */
} lac_sta_run;

/* Issues a tile; returns the cycle from which its results can be used (dw). */
int64_t lac_sta_issue(lac_sta_run *run, const lac_sta_tile *tile, int64_t dep, int64_t mem);
/* Requests bytes; returns `ready`. */
int64_t lac_sta_read(lac_sta_run *run, int64_t bytes, int64_t condition);
/* Requests the next weight tile; every tile issued until the next call uses it. */
int64_t lac_sta_read_weights(lac_sta_run *run, const lac_sta_tile *tile);
/* To be called when the last row tile that uses the present weight tile has been issued. */
void lac_sta_weights_done(lac_sta_run *run);

/* One head-and-row-tile item after another (dossier 4.6). `q_ready[rt]`, `k_ready`, `v_ready` are
 * dependencies inside an encoder (NULL, 0, 0 standalone); `mem_s[h]`, `mem_v[h]` the loads of a
 * standalone layer (NULL inside an encoder). out[rt] receives dw of the last V tile of (H-1, rt).
 */
typedef struct lac_sta_heads {
    int64_t heads, tokens, dim;
    const int64_t *q_ready;
    int64_t k_ready, v_ready;
    const int64_t *mem_s, *mem_v;
    int64_t *out;
} lac_sta_heads;
void lac_sta_attention_phase(lac_sta_run *run, const lac_sta_heads *heads);
lac_status lac_sta_attention_fits(const lac_sta_machine *machine, int64_t heads, int64_t tokens,
                                  int64_t dim, lac_error *err);
/* wr >= 4*C, weight tiles fit their slot. */
lac_status lac_sta_fits(const lac_sta_machine *machine, const lac_sta_tile *tile, lac_error *err);

#endif
