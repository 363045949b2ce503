/* The instruction stream of dossier 4.9 (assumed encoding) as text, for the hardware's test bench:
 * one 64-bit word a job, in issue order. */
#include "accel/sta/sta.h"

#include <inttypes.h>
#include <string.h>

#include "graph/layer_conv.h"
#include "graph/layer_encoder.h"

enum { GEMM, SCORE, PV, LN, END = 15 };
enum { RAW, INT8, INT8_TABLE, INT16_RESIDUAL, SCORES };

typedef struct word {
    int op, n, m;
    bool sparse;
    int64_t steps, col_tiles, row_tiles;
    int mode;
} word;

static lac_status emit(lac_text *text, const word *w, lac_error *err)
{
    static const char *const names[16] = {
        [GEMM] = "GEMM", [SCORE] = "SCORE", [PV] = "PV", [LN] = "LN", [END] = "END"};
    if (w->n > 31 || w->m > 31 || w->steps > 65535 || w->col_tiles > 4095 || w->row_tiles > 4095)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "a %s word has steps %" PRId64 ", col_tiles %" PRId64 ", row_tiles %" PRId64
                        "; the fields hold 65535, 4095, 4095",
                        names[w->op], w->steps, w->col_tiles, w->row_tiles);
    uint64_t bits = (uint64_t)w->op << 60 | (uint64_t)w->n << 55 | (uint64_t)w->m << 50 |
                    (uint64_t)w->sparse << 49 | (uint64_t)w->steps << 33 |
                    (uint64_t)w->col_tiles << 21 | (uint64_t)w->row_tiles << 9 |
                    (uint64_t)w->mode << 6;
    lac_text_add(text,
                 "%016" PRIx64 "  %s n=%d m=%d sparse=%d steps=%" PRId64 " col_tiles=%" PRId64
                 " row_tiles=%" PRId64 " mode=%d\n",
                 bits, names[w->op], w->n, w->m, w->sparse, w->steps, w->col_tiles, w->row_tiles,
                 w->mode);
    return LAC_OK;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static lac_status emit_gemm(lac_text *text, const lac_sta_machine *machine, int n, int m, int64_t k,
                            int64_t cols, int64_t rows, int mode, lac_error *err)
{
    lac_sta_tile tile = lac_sta_tile_make(machine, n, m, k, true);
    return emit(text,
                &(word){GEMM, n, m, tile.sparse, tile.steps, ceil_div(cols, machine->cols),
                        ceil_div(rows, machine->rows), mode},
                err);
}

/* One word per token block. */
static lac_status emit_blocks(lac_text *text, const lac_sta_machine *machine, int n, int m,
                              int64_t rows, int64_t cols, int64_t k, lac_error *err)
{
    int64_t block;
    LAC_TRY(lac_sta_gemm_block(machine, k, &block, err));
    for (int64_t first = 0; first < rows; first += block)
        LAC_TRY(emit_gemm(text, machine, n, m, k, cols, rows - first < block ? rows - first : block,
                          RAW, err));
    return LAC_OK;
}

static lac_status emit_item(lac_text *text, const lac_sta_machine *machine, int op, int64_t tokens,
                            int64_t dim, int mode, lac_error *err)
{
    int64_t k = op == SCORE ? dim : tokens, cols = op == SCORE ? tokens : dim;
    lac_sta_tile tile = lac_sta_tile_make(machine, 1, 1, k, false);
    return emit(text, &(word){op, 1, 1, false, tile.steps, ceil_div(cols, machine->cols), 1, mode},
                err);
}

/* S(0), S(1), V(0), S(2), V(1), .., V(n-1). */
static lac_status emit_attention(lac_text *text, const lac_sta_machine *machine, int64_t heads,
                                 int64_t tokens, int64_t dim, int mode, lac_error *err)
{
    int64_t items = heads * ceil_div(tokens, machine->rows);
    for (int64_t i = 0; i <= items; i++) {
        if (i < items)
            LAC_TRY(emit_item(text, machine, SCORE, tokens, dim, SCORES, err));
        if (i > 0)
            LAC_TRY(emit_item(text, machine, PV, tokens, dim, mode, err));
    }
    return LAC_OK;
}

static lac_status emit_norm(lac_text *text, const lac_sta_machine *machine, int64_t dim,
                            int64_t rows, lac_error *err)
{
    return emit(text,
                &(word){.op = LN,
                        .col_tiles = ceil_div(dim, machine->cols),
                        .row_tiles = ceil_div(rows, machine->rows),
                        .mode = INT8},
                err);
}

static lac_status emit_encoder(lac_text *text, const lac_sta_machine *machine,
                               const lac_layer *layer, const char *mix, lac_error *err)
{
    lac_encoder e = lac_encoder_of(layer);
    int n[LAC_ENCODER_OPS], m[LAC_ENCODER_OPS];
    int64_t block, t = e.tokens;
    LAC_TRY(lac_encoder_patterns(layer, mix[0] ? mix : layer->text[0], n, m, err));
    lac_sta_encoder shape = {.tokens = t, .dim = e.dim, .ffn = e.ffn};
    LAC_TRY(lac_sta_ffn_block(machine, &shape, &block, err));
    for (int64_t i = 0; i < e.layers; i++) {
        for (int op = LAC_ENCODER_Q; op <= LAC_ENCODER_V; op++)
            LAC_TRY(emit_gemm(text, machine, n[op], m[op], e.dim, e.dim, t, INT8, err));
        LAC_TRY(emit_attention(text, machine, e.heads, t, e.dim / e.heads, INT8, err));
        LAC_TRY(emit_gemm(text, machine, n[LAC_ENCODER_O], m[LAC_ENCODER_O], e.dim, e.dim, t,
                          INT16_RESIDUAL, err));
        LAC_TRY(emit_norm(text, machine, e.dim, t, err));
        for (int64_t first = 0; first < t; first += block) {
            int64_t rows = t - first < block ? t - first : block;
            LAC_TRY(emit_gemm(text, machine, n[LAC_ENCODER_F1], m[LAC_ENCODER_F1], e.dim, e.ffn,
                              rows, INT8_TABLE, err));
            LAC_TRY(emit_gemm(text, machine, n[LAC_ENCODER_F2], m[LAC_ENCODER_F2], e.ffn, e.dim,
                              rows, INT16_RESIDUAL, err));
            LAC_TRY(emit_norm(text, machine, e.dim, rows, err));
        }
    }
    return LAC_OK;
}

lac_status lac_sta_program(const lac_layer *layer, const lac_params *params, lac_text *text,
                           lac_error *err)
{
    lac_sta_machine machine = lac_sta_machine_of(params);
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    const char *kind = layer->kind->row.name;
    int n = w->m > 1 ? w->n : 1, m = w->m > 1 ? w->m : 1;
    char why[256];
    if (!lac_accel_sta.supports(layer, params, why, sizeof why))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s", why);
    if (strcmp(kind, "encoder") == 0) {
        LAC_TRY(emit_encoder(text, &machine, layer, lac_params_text(params, "mix"), err));
    } else if (strcmp(kind, "attention") == 0) {
        for (int64_t i = 0; i < lac_layer_dim_get(layer, "batch"); i++)
            LAC_TRY(emit_attention(text, &machine, lac_layer_dim_get(layer, "heads"),
                                   lac_layer_dim_get(layer, "tokens"),
                                   lac_layer_dim_get(layer, "dim"), RAW, err));
    } else if (strcmp(kind, "conv") == 0) {
        lac_conv g = lac_conv_of(layer);
        LAC_TRY(emit_blocks(text, &machine, n, m, g.batch * g.out_h * g.out_w, g.k,
                            g.r * g.s * (ceil_div(g.c, m) * m), err));
    } else {
        bool fc = strcmp(kind, "fc") == 0;
        for (int64_t i = 0; i < layer->kind->gemm_count(layer); i++)
            LAC_TRY(emit_blocks(text, &machine, n, m, lac_layer_dim_get(layer, fc ? "batch" : "m"),
                                lac_layer_dim_get(layer, fc ? "out" : "n"),
                                lac_layer_dim_get(layer, fc ? "in" : "k"), err));
    }
    LAC_TRY(emit(text, &(word){.op = END}, err));
    return text->failed ? lac_fail(err, LAC_ERROR_MEMORY, "no memory for the listing") : LAC_OK;
}
