/* Fast bodies for operators that are no layers: QuantizeLinear per tensor, which stands before
 * every integer layer. Same bits as the operator's own body: the quotient is that of a division. */
#include "exec/exec.h"

#include "core/parallel.h"
#include "cpu/panel.h"
#include "cpu/quantise.h"

#include <string.h>

enum { GRAIN = 32768 }; /* elements worth waking a thread */

typedef struct quantize {
    const lac_panel_moves *moves;
    lac_epilogue to;
    const float *x;
    int64_t tokens;
    lac_layout in, out;
} quantize;

/* A panel of rows: a few tokens and features at a time, which stay in the nearest cache. */
static void quantize_rows(const quantize *q, int64_t panel, int64_t tokens)
{
    enum { TOKENS = 16, FEATURES = 1024 };
    uint8_t block[TOKENS * FEATURES];
    int64_t n = q->to.n, quad = (n + 3) / 4 * 4;
    int flip = q->to.dtype == LAC_I8 ? 128 : 0;
    bool quads = q->out == LAC_LAYOUT_QUADS;
    char *to = (char *)q->to.output + panel * LAC_PANEL_COLUMNS * (quads ? quad : n);
    for (int64_t f = 0; f < n; f += FEATURES)
        for (int64_t t = 0; t < tokens; t += TOKENS) {
            int64_t count = tokens - t < TOKENS ? tokens - t : TOKENS;
            int64_t width = n - f < FEATURES ? n - f : FEATURES;
            for (int64_t i = 0; i < count; i++)
                q->moves->quantise(&q->to, q->x + (panel * LAC_PANEL_COLUMNS + t + i) * n + f,
                                   width, block + i * FEATURES);
            if (quads)
                q->moves->quads(block, FEATURES, count, width, to + f * LAC_PANEL_COLUMNS + 4 * t,
                                4 * LAC_PANEL_COLUMNS, flip);
            else
                q->moves->bytes(block, FEATURES, count, width, to + f * LAC_PANEL_COLUMNS + t,
                                LAC_PANEL_COLUMNS, flip);
        }
}

static void quantize_panels(void *context, int64_t begin, int64_t end)
{
    const quantize *q = context;
    int64_t n = q->to.n, row[LAC_PANEL_COLUMNS];
    for (int64_t panel = begin; panel < end; panel++) {
        int64_t first = panel * LAC_PANEL_COLUMNS, tokens = q->tokens - first;
        tokens = tokens < LAC_PANEL_COLUMNS ? tokens : LAC_PANEL_COLUMNS;
        if (q->in == LAC_LAYOUT_ROWS) {
            quantize_rows(q, panel, tokens);
        } else if (q->out != LAC_LAYOUT_ROWS) {
            q->moves->finish_panels(&q->to, false, q->x + first * n, 0, (int)n, panel, q->out);
        } else {
            for (int64_t i = 0; i < tokens; i++)
                row[i] = first + i;
            q->moves->finish_rows(&q->to, false, q->x + first * n, 0, (int)n, (int)tokens, row);
        }
    }
}

static lac_status quantize_run(const lac_call *call, lac_layout in, lac_layout out, lac_error *err)
{
    const lac_tensor *x = call->in[0], *zero = call->n_in > 2 ? call->in[2] : NULL;
    int64_t count = lac_tensor_count(x), n = x->rank > 0 ? x->dims[x->rank - 1] : 1;
    quantize q = {.moves = lac_panel_moves_here(),
                  .to = {.n = n,
                         .output = call->out[0].data,
                         .dtype = call->out[0].dtype,
                         .output_scale = ((const float *)call->in[1]->data)[0],
                         .output_zero = zero ? (int32_t)lac_tensor_get(zero, 0) : 0},
                  .x = x->data,
                  .tokens = n > 0 ? count / n : 0,
                  .in = in,
                  .out = out};
    (void)err;
    if (in == LAC_LAYOUT_ROWS && out == LAC_LAYOUT_ROWS)
        lac_quantise_floats(q.x, &call->out[0], q.to.output_scale, q.to.output_zero);
    else
        lac_parallel_for((q.tokens + LAC_PANEL_COLUMNS - 1) / LAC_PANEL_COLUMNS,
                         1 + GRAIN / (LAC_PANEL_COLUMNS * (n + 1)), quantize_panels, &q);
    return LAC_OK;
}

static bool is_one(const lac_tensor *t)
{
    return !t || lac_tensor_count(t) == 1;
}

const lac_fast *lac_fast_find(const lac_call *call)
{
    static const lac_fast quantize_fast[] = {
        {0, 0, quantize_run},
        {LAC_BIT(LAC_LAYOUT_PANELS), LAC_BIT(LAC_LAYOUT_PANELS) | LAC_BIT(LAC_LAYOUT_QUADS),
         quantize_run}};
    const lac_tensor *x = call->in[0];
    const lac_node *node = call->node;
    bool bytes = call->out[0].dtype == LAC_I8 || call->out[0].dtype == LAC_U8;
    if (node->domain[0] != 0)
        return NULL;
    if (strcmp(node->op, "Transpose") == 0)
        return lac_fast_interleave(call);
    if (call->in[0]->dtype != LAC_F32)
        return NULL;
    if (strcmp(node->op, "LayerNormalization") == 0)
        return lac_fast_norm(call);
    if (strcmp(node->op, "QuantizeLinear") == 0 && bytes && is_one(call->in[1]) &&
        is_one(call->n_in > 2 ? call->in[2] : NULL))
        /* four features are read together */
        return &quantize_fast[x->rank > 0 && x->dims[x->rank - 1] % 4 == 0];
    return NULL;
}
