/* See trial.h. */
#include "study/trial.h"

#include "core/clock.h"
#include "core/memory.h"
#include "core/random.h"
#include "graph/layer_conv.h"

#include <lacuna/lacuna.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct lac_trial {
    const lac_kernel *kernel;
    void *state;
    bool prepared;
    lac_layer layer;
    lac_packed packed;
    lac_tensor weights; /* dense, empty once packed */
    double density;
    float weight_scale, activation_scale;
};

/* ---- weights */

typedef struct matrix {
    lac_tensor *w;
    int64_t rows, cols;
    int bits;
    lac_random random;
} matrix;

static void put(matrix *m, int64_t row, int64_t col)
{
    uint64_t word = lac_random_next(&m->random);
    if (m->bits == 1) {
        ((float *)m->w->data)[row * m->cols + col] = word >> 63 ? 0.25f : -0.25f;
    } else if (m->bits > 1) { /* the first of a row is the largest: it gives the step */
        int half = 1 << (m->bits - 1), code = (int)((word >> 32) % (2 * (unsigned)half)) - half;
        if (col == 0 || (m->bits == 8 && code == -half))
            code = half - 1;
        ((float *)m->w->data)[row * m->cols + col] = 0.25f * (float)code;
    } else if (m->w->dtype == LAC_F32) {
        float value = (float)(int32_t)(word >> 32) * 0x1p-31f;
        ((float *)m->w->data)[row * m->cols + col] = value != 0 ? value : 0.5f;
    } else {
        int8_t value = (int8_t)(word >> 56);
        ((int8_t *)m->w->data)[row * m->cols + col] = value ? value : 1;
    }
}

static void put_block(matrix *m, const lac_sparsity *s, int64_t row, int64_t col)
{
    for (int64_t i = row; i < row + s->rows && i < m->rows; i++)
        for (int64_t k = col; k < col + s->cols && k < m->cols; k++)
            put(m, i, k);
}

static void fill(matrix *m, const lac_sparsity *asked)
{
    lac_sparsity s = *asked;
    s.rows = s.rows > 0 ? s.rows : 1;
    s.cols = s.cols > 0 ? s.cols : 1;
    for (int64_t row = 0; row < m->rows; row += s.rows) {
        int left = s.n, rest = s.m;
        for (int64_t col = 0; col < m->cols; col += s.cols) {
            double keep = s.density;
            if (s.m) { /* `left` of the `rest` places of this group: a uniform choice */
                if (rest == 0) {
                    left = s.n;
                    rest = s.m;
                }
                keep = (double)left / rest--;
            }
            if (lac_random_unit(&m->random) < keep) {
                put_block(m, &s, row, col);
                left--;
            }
        }
    }
}

static double density_of(const lac_tensor *w)
{
    int64_t count = lac_tensor_count(w), left = 0;
    if (w->dtype == LAC_F32)
        for (int64_t i = 0; i < count; i++)
            left += ((const float *)w->data)[i] != 0;
    else
        for (int64_t i = 0; i < count; i++)
            left += ((const int8_t *)w->data)[i] != 0;
    return count ? (double)left / (double)count : 1;
}

/* Shapes of weights, activations and output in the plain order of the kind. */
typedef struct shapes {
    int rank, w_rank;
    int64_t w[LAC_MAX_RANK], x[LAC_MAX_RANK], y[LAC_MAX_RANK];
    int64_t tokens, in, out; /* as layouts count them */
    bool conv;
} shapes;

static lac_status shapes_of(const lac_layer *layer, shapes *s, lac_error *err)
{
    const char *kind = layer->kind->row.name;
    memset(s, 0, sizeof *s);
    if (strcmp(kind, "gemm") == 0 && lac_layer_dim_get(layer, "batch") == 1) {
        s->tokens = lac_layer_dim_get(layer, "m");
        s->out = lac_layer_dim_get(layer, "n");
        s->in = lac_layer_dim_get(layer, "k");
        s->rank = s->w_rank = 2;
        s->w[0] = s->y[1] = s->out;
        s->w[1] = s->x[1] = s->in;
        s->x[0] = s->y[0] = s->tokens;
        return LAC_OK;
    }
    if (strcmp(kind, "conv") != 0)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "no synthetic layers like %s", layer->name);
    lac_conv c = lac_conv_of(layer);
    if (c.out_h < 1 || c.out_w < 1)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: the kernel is larger than the image",
                        layer->name);
    s->conv = true;
    s->rank = s->w_rank = 4;
    s->in = c.c;
    s->out = c.k;
    s->tokens = c.batch * c.h * c.w;
    memcpy(s->x, (int64_t[]){c.batch, c.h, c.w, c.c}, 4 * sizeof *s->x);
    memcpy(s->y, (int64_t[]){c.batch, c.out_h, c.out_w, c.k}, 4 * sizeof *s->y);
    memcpy(s->w, (int64_t[]){c.k, c.c_group, c.r, c.s}, 4 * sizeof *s->w);
    return LAC_OK;
}

static lac_status make_weights(lac_trial *t, const lac_trial_spec *spec, const shapes *s,
                               lac_error *err)
{
    LAC_TRY(lac_tensor_make(&t->weights, spec->weights, s->w_rank, s->w, err));
    matrix m = {.w = &t->weights,
                .rows = s->w[0],
                .bits = spec->bits,
                .random = lac_random_stream(spec->seed, 1)};
    m.cols = lac_tensor_count(&t->weights) / m.rows;
    if (s->conv && m.cols != s->w[1]) { /* the pattern runs along r, s, c: fill that matrix */
        lac_tensor shaped, flat;
        LAC_TRY(lac_tensor_make(&flat, spec->weights, 2, (int64_t[]){m.rows, m.cols}, err));
        m.w = &flat;
        fill(&m, &spec->sparsity);
        lac_status status = lac_view_tensor(LAC_VIEW_CONV, &flat, 4, s->w, &shaped, err);
        lac_tensor_release(&flat);
        LAC_TRY(status);
        lac_tensor_release(&t->weights);
        t->weights = shaped;
    } else {
        fill(&m, &spec->sparsity);
    }
    t->density = density_of(&t->weights);
    if (strcmp(spec->format, "dense") == 0) {
        lac_tensor_share(&t->layer.operand[LAC_ROLE_WEIGHTS].tensor, &t->weights);
        return LAC_OK;
    }
    const lac_format *format;
    lac_params params;
    LAC_TRY(lac_format_parse(spec->format, &format, &params, err));
    LAC_TRY(lac_pack(&t->packed, format, &params, s->conv ? LAC_VIEW_CONV : LAC_VIEW_ROWS,
                     &t->weights, err));
    t->layer.operand[LAC_ROLE_WEIGHTS].packed = &t->packed;
    lac_tensor_release(&t->weights);
    return LAC_OK;
}

/* ---- activations */

static lac_status make_laid_out(lac_tensor *tensor, lac_dtype dtype, lac_layout layout,
                                const shapes *s, bool output, lac_error *err)
{
    int64_t features = output ? s->out : s->in;
    int64_t tokens = output && s->conv ? s->y[0] * s->y[1] * s->y[2] : s->tokens;
    int64_t panels = (tokens + LAC_PANEL_COLUMNS - 1) / LAC_PANEL_COLUMNS;
    lac_tensor_release(tensor);
    if (layout == LAC_LAYOUT_PANELS)
        return lac_tensor_make(tensor, dtype, 3, (int64_t[]){panels, features, LAC_PANEL_COLUMNS},
                               err);
    if (layout == LAC_LAYOUT_QUADS)
        return lac_tensor_make(tensor, dtype, 4,
                               (int64_t[]){panels, (features + 3) / 4, LAC_PANEL_COLUMNS, 4}, err);
    return lac_tensor_make(tensor, dtype, s->rank, output ? s->y : s->x, err);
}

static void fill_activations(lac_tensor *x, lac_random *random)
{
    int64_t count = lac_tensor_count(x);
    for (int64_t i = 0; i < count; i++) {
        uint64_t word = lac_random_next(random);
        if (x->dtype == LAC_F32)
            ((float *)x->data)[i] = (float)(int32_t)(word >> 32) * 0x1p-31f;
        else
            ((uint8_t *)x->data)[i] = (uint8_t)(word >> 56);
    }
}

/* The first that the kernel accepts: as between layers of a network if it can, else plain. */
static lac_status settle(lac_trial *t, const lac_trial_spec *spec, const shapes *s, lac_error *err)
{
    const lac_kernel *kernel = t->kernel;
    lac_operand *x = &t->layer.operand[LAC_ROLE_ACTIVATIONS];
    lac_random random = lac_random_stream(spec->seed, 2);
    char why[200] = "";
    for (int in = LAC_LAYOUT_QUADS; in >= LAC_LAYOUT_ROWS; in--)
        for (int out = LAC_LAYOUT_QUADS; out >= LAC_LAYOUT_ROWS; out--) {
            if ((in != LAC_LAYOUT_ROWS && (spec->plain || !(kernel->reads & LAC_BIT(in)))) ||
                (out != LAC_LAYOUT_ROWS && (spec->plain || !(kernel->writes & LAC_BIT(out)))))
                continue;
            t->layer.input_layout = (lac_layout)in;
            t->layer.output_layout = (lac_layout)out;
            lac_dtype made = spec->output != LAC_NONE  ? spec->output
                             : out == LAC_LAYOUT_QUADS ? LAC_U8
                                                       : LAC_F32;
            LAC_TRY(make_laid_out(&x->tensor, kernel->dtype, (lac_layout)in, s, false, err));
            LAC_TRY(make_laid_out(&t->layer.output, made, (lac_layout)out, s, true, err));
            if (kernel->can_run(&t->layer, why, sizeof why)) {
                fill_activations(&x->tensor, &random);
                return LAC_OK;
            }
        }
    return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s: %s", kernel->row.name, why);
}

static lac_status build(lac_trial *t, const lac_trial_spec *spec, bool prepare, lac_error *err)
{
    shapes s;
    LAC_TRY(lac_layer_parse(&t->layer, spec->layer, err));
    LAC_TRY(shapes_of(&t->layer, &s, err));
    t->layer.channels_last = s.conv;
    LAC_TRY(make_weights(t, spec, &s, err));
    lac_operand *w = &t->layer.operand[LAC_ROLE_WEIGHTS];
    lac_operand *x = &t->layer.operand[LAC_ROLE_ACTIVATIONS];
    t->weight_scale = t->activation_scale = 0.01f;
    t->layer.output_scale = 1;
    t->layer.output_zero = 128;
    if (spec->weights != LAC_F32) {
        w->scale = &t->weight_scale;
        w->scale_count = 1;
    }
    if (t->kernel->dtype != LAC_F32) {
        x->scale = &t->activation_scale;
        x->scale_count = 1;
    }
    LAC_TRY(settle(t, spec, &s, err));
    if (!prepare)
        return LAC_OK;
    LAC_TRY(t->kernel->prepare(&t->layer, &t->state, err));
    t->prepared = true;
    return LAC_OK;
}

static lac_status make(lac_trial **trial, const lac_trial_spec *spec, const lac_kernel *kernel,
                       bool prepare, lac_error *err)
{
    lac_trial *t = lac_alloc(1, sizeof *t, err);
    if (!t)
        return LAC_ERROR_MEMORY;
    t->kernel = kernel;
    lac_status status = build(t, spec, prepare, err);
    if (status == LAC_OK)
        *trial = t;
    else
        lac_trial_free(t);
    return status;
}

lac_status lac_trial_make(lac_trial **trial, const lac_trial_spec *spec, const lac_kernel *kernel,
                          lac_error *err)
{
    return make(trial, spec, kernel, true, err);
}

void lac_trial_free(lac_trial *trial)
{
    if (!trial)
        return;
    if (trial->prepared)
        trial->kernel->release(trial->state);
    lac_tensor_release(&trial->weights);
    lac_packed_release(&trial->packed);
    lac_layer_release(&trial->layer);
    lac_free(trial);
}

lac_status lac_trial_run(lac_trial *trial, lac_error *err)
{
    return trial->kernel->run(&trial->layer, trial->state, err);
}

const lac_kernel *lac_trial_kernel(const lac_trial *trial)
{
    return trial->kernel;
}

const lac_layer *lac_trial_layer(const lac_trial *trial)
{
    return &trial->layer;
}

int64_t lac_trial_stored_bytes(const lac_trial *trial)
{
    const lac_operand *w = &trial->layer.operand[LAC_ROLE_WEIGHTS];
    return w->packed ? lac_packed_bytes(w->packed) : (int64_t)lac_tensor_bytes(&w->tensor);
}

int64_t lac_trial_bytes(const lac_trial *trial)
{
    return lac_trial_stored_bytes(trial) +
           (int64_t)lac_tensor_bytes(&trial->layer.operand[LAC_ROLE_ACTIVATIONS].tensor) +
           (int64_t)lac_tensor_bytes(&trial->layer.output);
}

double lac_trial_density(const lac_trial *trial)
{
    return trial->density;
}

/* ---- the fastest row */

static bool format_is(const char *text, const char *name)
{
    size_t length = strcspn(text, ":");
    return strlen(name) == length && strncmp(text, name, length) == 0;
}

static bool fits(const lac_kernel *kernel, const lac_trial_spec *spec, uint32_t activations,
                 uint32_t isa, bool library)
{
    size_t kind = strcspn(spec->layer, ":");
    return strlen(kernel->kind) == kind && strncmp(kernel->kind, spec->layer, kind) == 0 &&
           format_is(spec->format, kernel->format) && (activations & LAC_BIT(kernel->dtype)) &&
           (kernel->isa & ~isa) == 0 && (!library || (kernel->isa & LAC_ISA_LIBRARY));
}

lac_status lac_trial_best(lac_trial **trial, const lac_trial_spec *spec, uint32_t activations,
                          uint32_t isa, bool library, lac_error *err)
{
    lac_trial *best = NULL;
    double best_seconds = 0;
    int seen = 0;
    lac_status status = LAC_OK;
    for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        lac_trial *t;
        if (!fits(kernel, spec, activations, isa, library))
            continue;
        /* Portable rows are there for CPUs that have nothing else. */
        if (best && !kernel->isa && lac_trial_kernel(best)->isa)
            continue;
        seen++;
        status = lac_trial_make(&t, spec, kernel, err);
        if (status == LAC_ERROR_UNSUPPORTED)
            continue;
        lac_side side = {.trial = &t, .copies = 1};
        if (status == LAC_OK) {
            status = lac_race(&side, 1, 0.02, err);
            if (status != LAC_OK)
                lac_trial_free(t);
        }
        if (status != LAC_OK)
            break;
        bool better = !best || side.seconds < best_seconds;
        if (better)
            best_seconds = side.seconds;
        lac_trial_free(better ? best : t);
        best = better ? t : best;
    }
    if (best && (status == LAC_OK || status == LAC_ERROR_UNSUPPORTED)) {
        *trial = best;
        return LAC_OK;
    }
    lac_trial_free(best);
    if (!seen)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "no kernel for %s, format %s", spec->layer,
                        spec->format);
    return status;
}

lac_status lac_trial_estimate(double *seconds, const lac_trial_spec *spec, uint32_t activations,
                              uint32_t isa, bool library, lac_error *err)
{
    lac_status status = LAC_OK;
    *seconds = NAN;
    for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        lac_trial *t;
        if (!fits(kernel, spec, activations, isa, library))
            continue;
        status = make(&t, spec, kernel, false, err);
        if (status == LAC_ERROR_UNSUPPORTED)
            continue;
        LAC_TRY(status);
        double cost = kernel->cost(&t->layer);
        if (!(*seconds <= cost))
            *seconds = cost;
        lac_trial_free(t);
    }
    if (!isnan(*seconds))
        return LAC_OK;
    return status != LAC_OK ? status
                            : lac_fail(err, LAC_ERROR_UNSUPPORTED, "no kernel for %s, format %s",
                                       spec->layer, spec->format);
}

/* ---- timing */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* How often somebody else was given this program's processor. */
static long interruptions(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? usage.ru_nivcsw : 0;
}

static lac_status turn(const lac_side *side, int rounds, double *seconds, lac_error *err)
{
    if (side->threads)
        lac_threads_set(side->threads);
    double begin = lac_seconds();
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < side->copies; i++)
            LAC_TRY(lac_trial_run(side->trial[i], err));
    *seconds = (lac_seconds() - begin) / rounds / side->copies;
    return LAC_OK;
}

lac_status lac_race(lac_side *sides, int n, double budget_seconds, lac_error *err)
{
    enum { TURNS = 400, LEAST = 3 };
    static const double shortest = 50e-6; /* of a turn: the clock's own time is then nothing */
    int *rounds = lac_alloc((size_t)n, sizeof *rounds, err);
    double *sample = lac_alloc((size_t)n * TURNS, sizeof *sample, err);
    int threads = lac_threads(), turns = 0;
    lac_status status = rounds && sample ? LAC_OK : LAC_ERROR_MEMORY;
    double begin = lac_seconds();
    for (int i = 0; status == LAC_OK && i < n; i++) {
        double seconds = 0;
        for (int warm = 0; status == LAC_OK && warm < 2; warm++)
            status = turn(&sides[i], 1, &seconds, err);
        double each = seconds * sides[i].copies;
        rounds[i] = each > 0 && each < shortest ? (int)fmin(ceil(shortest / each), 1000) : 1;
    }
    /* A turn in which somebody else got the processor counts only where there are no others: such
     * gaps hit long runs more often than short ones. */
    for (int disturbed = 0; status == LAC_OK && turns < TURNS &&
                            (turns < LEAST || lac_seconds() - begin < budget_seconds);) {
        long before = interruptions();
        for (int i = 0; status == LAC_OK && i < n; i++)
            status = turn(&sides[i], rounds[i], &sample[i * TURNS + turns], err);
        if (interruptions() == before || disturbed++ >= turns + LEAST)
            turns++;
    }
    for (int i = 0; status == LAC_OK && i < n; i++) {
        qsort(sample + i * TURNS, (size_t)turns, sizeof *sample, ascending);
        sides[i].seconds = sample[i * TURNS + turns / 2];
    }
    lac_threads_set(threads);
    lac_free(rounds);
    lac_free(sample);
    return status;
}
