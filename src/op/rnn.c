/* LSTM, GRU and RNN. The inputs of all steps meet the weights in one product; then each step adds
 * h R^T as dot products with the rows of R, which stand in the order they are read. */
#include "op/rnn.h"

#include "core/clones.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "core/vmath.h"
#include "op/nn_math.h"
#include "op/product.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { BLOCK = 64 };

typedef struct state { /* one direction of one run */
    const lac_rnn *g;
    int direction;
    const float *r, *gate_bias;  /* R; sums of Wb and Rb that are added to the gates */
    const float *recurrent_bias; /* GRU with linear_before_reset: Rb of the h gate */
    const float *peephole;       /* i, o, f, each [hidden], or NULL */
    float *gates;                /* [steps][batch][gates * hidden]: x W^T + bias */
    float *product;              /* [batch][gates * hidden] */
    float *h, *c;                /* [batch][hidden] */
    const float *h_in;           /* operand of the running recurrent product */
    int64_t from, to;            /* rows of that product */
} state;

/* product[b][...] = h[b] R^T for some blocks of rows */
static void recur(void *context, int64_t begin, int64_t end)
{
    const state *s = context;
    int64_t hidden = s->g->hidden, rows = s->g->gates * hidden;
    for (int64_t i = s->from + begin * BLOCK; i < s->to && i < s->from + end * BLOCK; i += BLOCK)
        for (int64_t b = 0; b < s->g->batch; b++)
            lac_dots_f32(s->to - i < BLOCK ? s->to - i : BLOCK, hidden, s->r + i * hidden, hidden,
                         s->h_in + b * hidden, s->product + b * rows + i);
}

/* Rows [from, to) of R times each h. */
static void multiply(state *s, const float *h, int64_t from, int64_t to)
{
    s->h_in = h;
    s->from = from;
    s->to = to;
    int64_t work = s->g->hidden * BLOCK * s->g->batch;
    lac_parallel_for((to - from + BLOCK - 1) / BLOCK, 131072 / (work + 1) + 1, recur, s);
}

static float activate(const lac_rnn_activation *f, float x)
{
    float a = f->alpha, b = f->beta;
    switch (f->kind) {
    case LAC_RNN_SIGMOID:
        return lac_nn_sigmoid(x);
    case LAC_RNN_TANH:
        return lac_nn_tanh(x);
    case LAC_RNN_RELU:
        return x > 0 ? x : 0;
    case LAC_RNN_AFFINE:
        return a * x + b;
    case LAC_RNN_LEAKY_RELU:
        return x >= 0 ? x : a * x;
    case LAC_RNN_THRESHOLDED_RELU:
        return x > a ? x : 0;
    case LAC_RNN_SCALED_TANH:
        return a * tanhf(b * x);
    case LAC_RNN_HARD_SIGMOID:
        return fminf(fmaxf(a * x + b, 0), 1);
    case LAC_RNN_ELU:
        return x >= 0 ? x : a * (expf(x) - 1);
    case LAC_RNN_SOFTSIGN:
        return x / (1 + fabsf(x));
    default: /* LAC_RNN_SOFTPLUS */
        return x > 30 ? x : logf(1 + expf(x));
    }
}

static void activate_row(const lac_rnn_activation *f, float *x, int64_t n)
{
    if (f->kind == LAC_RNN_SIGMOID)
        lac_vec_sigmoid(x, x, n);
    else if (f->kind == LAC_RNN_TANH)
        lac_vec_tanh(x, x, n);
    else
        for (int64_t i = 0; i < n; i++)
            x[i] = activate(f, x[i]);
}

LAC_CLONES static void add_row(float *x, const float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] += y[i];
}

static void clip_row(float *x, int64_t n, float clip)
{
    if (clip > 0)
        for (int64_t i = 0; i < n; i++)
            x[i] = x[i] > clip ? clip : x[i] < -clip ? -clip : x[i];
}

/* x += peephole * c */
static void peep(float *x, const float *peephole, const float *c, int64_t n)
{
    for (int64_t i = 0; peephole && i < n; i++)
        x[i] += peephole[i] * c[i];
}

/* gates i, o, f, c; x holds W x + bias, becomes gate values */
LAC_CLONES static void lstm_row(const state *s, const lac_rnn_activation *f, float *x,
                                const float *r, float *h, float *c)
{
    const lac_rnn *g = s->g;
    int64_t n = g->hidden;
    const float *p = s->peephole;
    float *in = x, *out = x + n, *forget = x + 2 * n, *cell = x + 3 * n;
    add_row(x, r, 4 * n);
    peep(in, p, c, n);
    peep(forget, p ? p + 2 * n : NULL, c, n);
    clip_row(in, n, g->clip);
    clip_row(forget, 2 * n, g->clip);
    activate_row(&f[0], in, n);
    activate_row(&f[0], forget, n);
    if (g->input_forget)
        for (int64_t i = 0; i < n; i++)
            forget[i] = 1 - in[i];
    activate_row(&f[1], cell, n);
    for (int64_t i = 0; i < n; i++)
        c[i] = forget[i] * c[i] + in[i] * cell[i];
    peep(out, p ? p + n : NULL, c, n);
    clip_row(out, n, g->clip);
    activate_row(&f[0], out, n);
    memcpy(cell, c, (size_t)n * sizeof(float));
    activate_row(&f[2], cell, n);
    for (int64_t i = 0; i < n; i++)
        h[i] = out[i] * cell[i];
}

/* gates z, r, h */
static void gru_step(state *s, const lac_rnn_activation *f, float *gates, float *reset_h)
{
    const lac_rnn *g = s->g;
    int64_t n = g->hidden, rows = 3 * n;
    multiply(s, s->h, 0, g->linear_before_reset ? rows : 2 * n);
    for (int64_t b = 0; b < g->batch; b++) {
        float *x = gates + b * rows, *r = s->product + b * rows, *h = s->h + b * n;
        add_row(x, r, 2 * n);
        clip_row(x, 2 * n, g->clip);
        activate_row(&f[0], x, 2 * n);
        for (int64_t i = 0; i < n; i++)
            if (g->linear_before_reset)
                x[2 * n + i] +=
                    x[n + i] * (r[2 * n + i] + (s->recurrent_bias ? s->recurrent_bias[i] : 0));
            else
                reset_h[b * n + i] = x[n + i] * h[i];
    }
    if (!g->linear_before_reset)
        multiply(s, reset_h, 2 * n, rows);
    for (int64_t b = 0; b < g->batch; b++) {
        float *x = gates + b * rows, *h = s->h + b * n;
        if (!g->linear_before_reset)
            add_row(x + 2 * n, s->product + b * rows + 2 * n, n);
        clip_row(x + 2 * n, n, g->clip);
        activate_row(&f[1], x + 2 * n, n);
        for (int64_t i = 0; i < n; i++)
            h[i] = (1 - x[i]) * x[2 * n + i] + x[i] * h[i];
    }
}

/* [steps][batch] offsets of Y, depending on layout 0 or 1, in rows of `hidden` */
static int64_t y_row(const lac_rnn *g, int direction, int64_t t, int64_t b)
{
    return g->layout ? (b * g->steps + t) * g->directions + direction
                     : (t * g->directions + direction) * g->batch + b;
}

static int64_t h_row(const lac_rnn *g, int direction, int64_t b)
{
    return g->layout ? b * g->directions + direction : direction * g->batch + b;
}

static void step(state *s, int64_t t, float *scratch)
{
    const lac_rnn *g = s->g;
    int64_t n = g->hidden, rows = g->gates * n;
    const lac_rnn_activation *f = g->activation[s->direction];
    float *gates = s->gates + t * g->batch * rows;
    if (g->gates == 3) {
        gru_step(s, f, gates, scratch);
        return;
    }
    multiply(s, s->h, 0, rows);
    for (int64_t b = 0; b < g->batch; b++) {
        float *x = gates + b * rows, *h = s->h + b * n;
        if (g->gates == 4) {
            lstm_row(s, f, x, s->product + b * rows, h, s->c + b * n);
            continue;
        }
        add_row(x, s->product + b * rows, n);
        clip_row(x, n, g->clip);
        activate_row(&f[0], x, n);
        memcpy(h, x, (size_t)n * sizeof(float));
    }
}

/* All steps of one direction. A sequence that has ended keeps its state and yields zeros. */
static void walk(const lac_call *call, state *s, float *scratch)
{
    const lac_rnn *g = s->g;
    const lac_tensor *lengths = lac_op_in(call, 4);
    lac_tensor *y = lac_nn_out(call, 0);
    int64_t n = g->hidden, size = g->batch * n;
    size_t row_bytes = (size_t)n * sizeof(float);
    float *old_h = scratch + size, *old_c = scratch + 2 * size;
    bool backwards = g->reverse || s->direction == 1;
    for (int64_t i = 0; i < g->steps; i++) {
        int64_t t = backwards ? g->steps - 1 - i : i;
        if (lengths) {
            memcpy(old_h, s->h, (size_t)size * sizeof(float));
            memcpy(old_c, s->c, (size_t)size * sizeof(float));
        }
        step(s, t, scratch);
        for (int64_t b = 0; b < g->batch; b++) {
            bool ended = lengths && t >= ((const int32_t *)lengths->data)[b];
            if (ended) {
                memcpy(s->h + b * n, old_h + b * n, row_bytes);
                memcpy(s->c + b * n, old_c + b * n, row_bytes);
            }
            if (y) {
                float *to = (float *)y->data + y_row(g, s->direction, t, b) * n;
                if (ended)
                    memset(to, 0, row_bytes);
                else
                    memcpy(to, s->h + b * n, row_bytes);
            }
        }
    }
}

/* W x of all steps, biases added, [steps][batch][gates * hidden]. */
static lac_status input_gates(const lac_call *call, const state *s, lac_error *err)
{
    const lac_rnn *g = s->g;
    int64_t rows = g->gates * g->hidden;
    const float *x = call->in[0]->data;
    const float *w = (const float *)call->in[1]->data + s->direction * rows * g->in;
    /* layout 1 is [batch][steps][in]: one product per batch element, rows spread over the steps */
    int64_t count = g->layout ? g->batch : 1;
    for (int64_t b = 0; b < count; b++) {
        lac_product_f32 product = {.m = g->layout ? g->steps : g->steps * g->batch,
                                   .n = rows,
                                   .k = g->in,
                                   .a = x + b * g->steps * g->in,
                                   .a_row = g->in,
                                   .a_col = 1,
                                   .b = w,
                                   .b_row = 1,
                                   .b_col = g->in,
                                   .c = s->gates + b * rows,
                                   .c_row = g->layout ? g->batch * rows : rows};
        LAC_TRY(lac_multiply_f32(&product, 1, err));
    }
    for (int64_t i = 0; i < g->steps * g->batch; i++)
        add_row(s->gates + i * rows, s->gate_bias, rows);
    return LAC_OK;
}

static void initial(const lac_call *call, const state *s, int input, float *h)
{
    const lac_tensor *from = input < 0 ? NULL : lac_op_in(call, input);
    int64_t n = s->g->hidden;
    memset(h, 0, (size_t)(s->g->batch * n) * sizeof(float));
    for (int64_t b = 0; from && b < s->g->batch; b++)
        memcpy(h + b * n, (const float *)from->data + h_row(s->g, s->direction, b) * n,
               (size_t)n * sizeof(float));
}

static void final(const lac_call *call, const state *s, int output, const float *h)
{
    lac_tensor *to = lac_nn_out(call, output);
    int64_t n = s->g->hidden;
    for (int64_t b = 0; to && b < s->g->batch; b++)
        memcpy((float *)to->data + h_row(s->g, s->direction, b) * n, h + b * n,
               (size_t)n * sizeof(float));
}

static lac_status direction(const lac_call *call, const lac_rnn *g, int d, float *memory,
                            lac_error *err)
{
    int64_t n = g->hidden, rows = g->gates * n, size = g->batch * n;
    const lac_tensor *bias = lac_op_in(call, 3),
                     *peepholes = g->gates == 4 ? lac_op_in(call, 7) : NULL;
    state s = {.g = g, .direction = d};
    float *gate_bias = memory;
    s.gates = gate_bias + rows;
    s.product = s.gates + g->steps * g->batch * rows;
    s.h = s.product + g->batch * rows;
    s.c = s.h + size;
    s.gate_bias = gate_bias;
    s.r = (const float *)call->in[2]->data + d * rows * n;
    s.peephole = peepholes ? (const float *)peepholes->data + d * 3 * n : NULL;
    memset(gate_bias, 0, (size_t)rows * sizeof(float));
    if (bias) {
        const float *wb = (const float *)bias->data + d * 2 * rows, *rb = wb + rows;
        bool apart = g->gates == 3 && g->linear_before_reset;
        for (int64_t i = 0; i < rows; i++)
            gate_bias[i] = wb[i] + (apart && i >= 2 * n ? 0 : rb[i]);
        s.recurrent_bias = apart ? rb + 2 * n : NULL;
    }
    initial(call, &s, 5, s.h);
    initial(call, &s, g->gates == 4 ? 6 : -1, s.c);
    LAC_TRY(input_gates(call, &s, err));
    walk(call, &s, s.c + size);
    final(call, &s, 1, s.h);
    if (g->gates == 4)
        final(call, &s, 2, s.c);
    return LAC_OK;
}

static lac_status run_wide(const lac_call *call, lac_error *err)
{
    lac_rnn g;
    LAC_TRY(lac_rnn_read(call, &g, err));
    int64_t rows = g.gates * g.hidden, floats;
    /* everything of one direction; five states: h, c, scratch of a step, copies of h and c */
    int64_t parts[] = {rows, g.steps * g.batch * rows, g.batch * rows, 5 * g.batch * g.hidden};
    floats = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (__builtin_add_overflow(floats, parts[i], &floats))
            return lac_fail(err, LAC_ERROR_INPUT, "hidden_size=%" PRId64 ": the gates overflow",
                            g.hidden);
    float *memory = lac_alloc_raw((size_t)floats, sizeof(float), err);
    if (!memory)
        return LAC_ERROR_MEMORY;
    lac_status status = LAC_OK;
    for (int d = 0; d < g.directions && status == LAC_OK; d++)
        status = direction(call, &g, d, memory, err);
    lac_free(memory);
    return status;
}

lac_status lac_rnn_run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, run_wide, err);
}
