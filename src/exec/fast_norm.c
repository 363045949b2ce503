/* LayerNormalization over the features of tokens that stand side by side (panels): all sums are
 * vertical, 64 tokens at once. From or to rows they are turned on the way. */
#include "exec/exec.h"

#include "core/clones.h"
#include "core/parallel.h"
#include "cpu/panel.h"

#include <math.h>
#include <string.h>

/* 64 columns */
typedef float lanes __attribute__((vector_size(64)));
enum { PARTS = 4, LANES = 16, FEATURES = 32 };

typedef struct norm {
    const lac_panel_moves *moves;
    const float *x, *scale, *bias; /* no bias: NULL */
    float *y;
    int64_t n, tokens;
    float epsilon;
    lac_layout in, out;
} norm;

/* (x - mean) * factor * scale + bias of the columns. */
typedef struct columns {
    _Alignas(64) float mean[LAC_PANEL_COLUMNS];
    _Alignas(64) float factor[LAC_PANEL_COLUMNS];
} columns;

LAC_CLONES static void measure(const norm *w, const float *x, columns *c)
{
    lanes sum[PARTS] = {{0}, {0}, {0}, {0}}, square[PARTS] = {{0}, {0}, {0}, {0}}, v;
    const float n = (float)w->n, epsilon = w->epsilon;
    for (int64_t f = 0; f < w->n; f++)
#pragma GCC unroll 4
        for (int j = 0; j < PARTS; j++) {
            memcpy(&v, x + f * LAC_PANEL_COLUMNS + j * LANES, sizeof v);
            sum[j] += v;
        }
#pragma GCC unroll 4
    for (int j = 0; j < PARTS; j++)
        sum[j] /= n;
    for (int64_t f = 0; f < w->n; f++)
#pragma GCC unroll 4
        for (int j = 0; j < PARTS; j++) {
            memcpy(&v, x + f * LAC_PANEL_COLUMNS + j * LANES, sizeof v);
            v -= sum[j];
            square[j] += v * v;
        }
    memcpy(c->mean, sum, sizeof c->mean);
    memcpy(c->factor, square, sizeof c->factor);
    for (int i = 0; i < LAC_PANEL_COLUMNS; i++)
        c->factor[i] = 1 / sqrtf(c->factor[i] / n + epsilon);
}

/* Features first .. first + count - 1, which stand at x, to y, which may be x. */
LAC_CLONES static void apply(const norm *w, const columns *c, const float *x, int64_t first,
                             int64_t count, float *y)
{
    lanes mean[PARTS], factor[PARTS], v;
    memcpy(mean, c->mean, sizeof mean);
    memcpy(factor, c->factor, sizeof factor);
    for (int64_t f = 0; f < count; f++) {
        float scale = w->scale[first + f], bias = w->bias ? w->bias[first + f] : -0.0f;
#pragma GCC unroll 4
        for (int j = 0; j < PARTS; j++) {
            memcpy(&v, x + f * LAC_PANEL_COLUMNS + j * LANES, sizeof v);
            v = (v - mean[j]) * factor[j] * scale + bias;
            memcpy(y + f * LAC_PANEL_COLUMNS + j * LANES, &v, sizeof v);
        }
    }
}

static void norm_panels(void *context, int64_t begin, int64_t end)
{
    const norm *w = context;
    const int64_t n = w->n;
    columns c;
    for (int64_t panel = begin; panel < end; panel++) {
        int64_t first = panel * LAC_PANEL_COLUMNS, row[LAC_PANEL_COLUMNS];
        int64_t tokens = w->tokens - first;
        const float *x = w->x + first * n;
        float *y = w->y + first * n;
        tokens = tokens < LAC_PANEL_COLUMNS ? tokens : LAC_PANEL_COLUMNS;
        if (w->in == LAC_LAYOUT_ROWS) {
            w->moves->floats(x, n * (int64_t)sizeof *x, tokens, n, (char *)y,
                             LAC_PANEL_COLUMNS * sizeof *y, 0);
            x = y;
        }
        measure(w, x, &c);
        if (w->out != LAC_LAYOUT_ROWS) {
            apply(w, &c, x, 0, n, y);
            continue;
        }
        const lac_epilogue to = {.n = n, .output = w->y, .dtype = LAC_F32};
        for (int64_t i = 0; i < tokens; i++)
            row[i] = first + i;
        for (int64_t f = 0; f < n; f += FEATURES) {
            _Alignas(64) float block[FEATURES * LAC_PANEL_COLUMNS];
            int64_t count = n - f < FEATURES ? n - f : FEATURES;
            apply(w, &c, x + f * LAC_PANEL_COLUMNS, f, count, block);
            w->moves->finish_rows(&to, false, block, f, (int)count, (int)tokens, row);
        }
    }
}

static lac_status norm_run(const lac_call *call, lac_layout in, lac_layout out, lac_error *err)
{
    const lac_tensor *x = call->in[0], *bias = call->n_in > 2 ? call->in[2] : NULL;
    if (in == LAC_LAYOUT_ROWS && out == LAC_LAYOUT_ROWS)
        return lac_exec_op(call->node)->run(call, err);
    norm w = {.moves = lac_panel_moves_here(),
              .x = x->data,
              .scale = call->in[1]->data,
              .bias = bias ? bias->data : NULL,
              .y = call->out[0].data,
              .n = x->dims[x->rank - 1],
              .epsilon = lac_node_float(call->node, "epsilon", 1e-5F),
              .in = in,
              .out = out};
    w.tokens = lac_tensor_count(x) / w.n;
    lac_parallel_for((w.tokens + LAC_PANEL_COLUMNS - 1) / LAC_PANEL_COLUMNS,
                     1 + 8192 / (LAC_PANEL_COLUMNS * w.n), norm_panels, &w);
    return LAC_OK;
}

const lac_fast *lac_fast_norm(const lac_call *call)
{
    static const lac_fast fast = {LAC_BIT(LAC_LAYOUT_PANELS), LAC_BIT(LAC_LAYOUT_PANELS), norm_run};
    const lac_tensor *x = call->in[0];
    int64_t axis = lac_node_int(call->node, "axis", -1);
    if (call->n_out != 1 || x->rank < 1 || (axis != -1 && axis != x->rank - 1) ||
        x->dims[x->rank - 1] < 1 || call->in[1]->dtype != LAC_F32)
        return NULL;
    return &fast;
}
