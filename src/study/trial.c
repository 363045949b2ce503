/* See trial.h. */
#include "study/trial.h"

#include "study/trial_weights.h"

#include "core/clock.h"
#include "core/memory.h"
#include "core/random.h"
#include "cpu/sddmm.h"
#include "graph/layer_conv.h"

#include <lacuna/lacuna.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct lac_trial {
    const lac_kernel *kernel;
    void *state;
    bool prepared;
    lac_layer layer;
    lac_trial_weights *weights;
    float weight_scale, activation_scale;
};

/* Shapes of weights, activations and output in the plain order of the kind. */
typedef struct shapes {
    int rank, w_rank;
    int64_t w[LAC_MAX_RANK], x[LAC_MAX_RANK], y[LAC_MAX_RANK];
    int64_t tokens, in, out; /* as layouts count them */
    bool conv;
    bool places; /* sddmm: x is queries and keys, w the mask; y depends on it */
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
    if (strcmp(kind, "sddmm") == 0) {
        s->places = true;
        s->rank = 3;
        s->w_rank = 2;
        s->tokens = s->w[0] = s->w[1] = s->x[1] = lac_layer_dim_get(layer, "tokens");
        s->in = s->x[2] = lac_layer_dim_get(layer, "dim");
        s->x[0] = lac_layer_dim_get(layer, "heads");
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

typedef struct layouts {
    lac_layout in, out;
} layouts;

/* What the kernel may be given, in the order of preference: as between the layers of a network
 * first, plain last. */
static int layouts_of(const lac_kernel *kernel, bool plain, layouts list[9])
{
    int n = 0;
    bool floats = kernel->dtype == LAC_F32; /* quads are bytes */
    for (int in = LAC_LAYOUT_QUADS; in >= LAC_LAYOUT_ROWS; in--)
        for (int out = LAC_LAYOUT_QUADS; out >= LAC_LAYOUT_ROWS; out--) {
            bool reads = in == LAC_LAYOUT_ROWS || (kernel->reads & LAC_BIT(in));
            bool writes = out == LAC_LAYOUT_ROWS || (kernel->writes & LAC_BIT(out));
            if ((plain && (in || out)) || (floats && out == LAC_LAYOUT_QUADS))
                continue;
            if (reads && writes)
                list[n++] = (layouts){(lac_layout)in, (lac_layout)out};
        }
    return n;
}

/* Queries, keys and sums of the places that the mask keeps. */
static lac_status build_places(lac_trial *t, const shapes *s, lac_random *random, lac_error *err)
{
    int64_t heads = s->x[0], count = 0;
    if (t->weights->is_packed)
        count = lac_sddmm_outputs(&t->weights->packed);
    for (int role = LAC_ROLE_QUERY; role <= LAC_ROLE_KEY; role++) {
        lac_tensor *x = &t->layer.operand[role].tensor;
        LAC_TRY(lac_tensor_make(x, t->kernel->dtype, 3, s->x, err));
        fill_activations(x, random);
    }
    return lac_tensor_make(&t->layer.output, LAC_I32, 1, (int64_t[]){heads * count}, err);
}

/* Activations and output of a product. */
static lac_status build_product(lac_trial *t, const lac_trial_spec *spec, const shapes *s,
                                layouts as, lac_random *random, lac_error *err)
{
    const lac_kernel *kernel = t->kernel;
    lac_operand *w = &t->layer.operand[LAC_ROLE_WEIGHTS];
    lac_operand *x = &t->layer.operand[LAC_ROLE_ACTIVATIONS];
    t->weight_scale = t->activation_scale = 0.01f;
    t->layer.output_scale = 1;
    t->layer.output_zero = 128;
    if (spec->weights != LAC_F32) {
        w->scale = &t->weight_scale;
        w->scale_count = 1;
    }
    if (kernel->dtype != LAC_F32) {
        x->scale = &t->activation_scale;
        x->scale_count = 1;
    }
    t->layer.input_layout = as.in;
    t->layer.output_layout = as.out;
    lac_dtype made = spec->output != LAC_NONE     ? spec->output
                     : as.out == LAC_LAYOUT_QUADS ? LAC_U8
                                                  : LAC_F32;
    LAC_TRY(make_laid_out(&x->tensor, kernel->dtype, as.in, s, false, err));
    LAC_TRY(make_laid_out(&t->layer.output, made, as.out, s, true, err));
    fill_activations(&x->tensor, random);
    return LAC_OK;
}

static lac_status build(lac_trial *t, const lac_trial_spec *spec, layouts as, bool prepare,
                        lac_error *err)
{
    shapes s;
    char why[200] = "";
    const lac_kernel *kernel = t->kernel;
    lac_random random = lac_random_stream(spec->seed, 2);
    LAC_TRY(lac_layer_parse(&t->layer, spec->layer, err));
    LAC_TRY(shapes_of(&t->layer, &s, err));
    lac_operand *w = &t->layer.operand[s.places ? LAC_ROLE_MASK : LAC_ROLE_WEIGHTS];
    t->layer.channels_last = s.conv;
    if (t->weights->is_packed)
        w->packed = &t->weights->packed;
    else
        lac_tensor_share(&w->tensor, &t->weights->tensor);
    LAC_TRY(s.places ? build_places(t, &s, &random, err)
                     : build_product(t, spec, &s, as, &random, err));
    if (!kernel->can_run(&t->layer, why, sizeof why))
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "%s: %s", kernel->row.name, why);
    if (!prepare)
        return LAC_OK;
    LAC_TRY(kernel->prepare(&t->layer, &t->state, err));
    t->prepared = true;
    return LAC_OK;
}

static lac_status make(lac_trial **trial, const lac_trial_spec *spec, const lac_kernel *kernel,
                       lac_trial_weights *weights, layouts as, bool prepare, lac_error *err)
{
    lac_trial *t = lac_alloc(1, sizeof *t, err);
    if (!t)
        return LAC_ERROR_MEMORY;
    t->kernel = kernel;
    t->weights = weights;
    weights->users++;
    lac_status status = build(t, spec, as, prepare, err);
    if (status == LAC_OK)
        *trial = t;
    else
        lac_trial_free(t);
    return status;
}

static lac_status spec_shapes(const lac_trial_spec *spec, shapes *s, lac_error *err)
{
    lac_layer layer;
    LAC_TRY(lac_layer_parse(&layer, spec->layer, err));
    lac_status status = shapes_of(&layer, s, err);
    lac_layer_release(&layer);
    return status;
}

static lac_status make_weights(lac_trial_weights **weights, const lac_trial_spec *spec,
                               lac_error *err)
{
    shapes s;
    LAC_TRY(spec_shapes(spec, &s, err));
    return lac_trial_weights_make(weights, spec, s.w_rank, s.w, err);
}

lac_status lac_trial_like(lac_trial **trial, const lac_trial *like, const lac_trial_spec *spec,
                          lac_error *err)
{
    lac_trial_weights *weights;
    layouts as = {like->layer.input_layout, like->layer.output_layout};
    LAC_TRY(make_weights(&weights, spec, err));
    lac_status status = make(trial, spec, like->kernel, weights, as, true, err);
    lac_trial_weights_drop(weights);
    return status;
}

void lac_trial_free(lac_trial *trial)
{
    if (!trial)
        return;
    if (trial->prepared)
        trial->kernel->release(trial->state);
    lac_layer_release(&trial->layer);
    lac_trial_weights_drop(trial->weights);
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
    const lac_trial_weights *w = trial->weights;
    return w->is_packed ? lac_packed_bytes(&w->packed) : (int64_t)lac_tensor_bytes(&w->tensor);
}

int64_t lac_trial_bytes(const lac_trial *trial)
{
    static const lac_role read[] = {LAC_ROLE_ACTIVATIONS, LAC_ROLE_QUERY, LAC_ROLE_KEY};
    int64_t bytes = lac_trial_stored_bytes(trial) + (int64_t)lac_tensor_bytes(&trial->layer.output);
    for (int i = 0; i < 3; i++)
        bytes += (int64_t)lac_tensor_bytes(&trial->layer.operand[read[i]].tensor);
    return bytes;
}

double lac_trial_density(const lac_trial *trial)
{
    return trial->weights->density;
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

typedef struct looking {
    const lac_trial_spec *spec;
    lac_trial_weights *weights;
    bool run;        /* else estimated */
    bool few;        /* tokens: panels would be nearly empty */
    lac_trial *best; /* run */
    double seconds;  /* of the best; negative: none yet */
} looking;

/* All layouts of one row, but plain input only where nothing else is accepted. */
static lac_status try_row(looking *l, const lac_kernel *kernel, lac_error *err)
{
    layouts list[9];
    int n = layouts_of(kernel, l->spec->plain || l->few, list);
    bool accepted = false;
    for (int i = 0; i < n && !(accepted && list[i].in == LAC_LAYOUT_ROWS && list[0].in); i++) {
        lac_trial *t;
        lac_status status = make(&t, l->spec, kernel, l->weights, list[i], l->run, err);
        if (status == LAC_ERROR_UNSUPPORTED)
            continue;
        LAC_TRY(status);
        accepted = true;
        lac_side side = {.trial = &t, .copies = 1, .seconds = kernel->cost(&t->layer)};
        if (l->run)
            status = lac_race(&side, 1, 0.02, err);
        bool better = status == LAC_OK && (l->seconds < 0 || side.seconds < l->seconds);
        if (better)
            l->seconds = side.seconds;
        if (better && l->run) {
            lac_trial_free(l->best);
            l->best = t;
        } else {
            lac_trial_free(t);
        }
        LAC_TRY(status);
    }
    return accepted ? LAC_OK : LAC_ERROR_UNSUPPORTED;
}

/* What is the same for all rows. */
static lac_status prepare(looking *l, lac_error *err)
{
    shapes s;
    LAC_TRY(spec_shapes(l->spec, &s, err));
    l->few = s.tokens < 16;
    return make_weights(&l->weights, l->spec, err);
}

static lac_status try_rows(looking *l, uint32_t activations, uint32_t isa, bool library,
                           lac_error *err)
{
    int seen = 0;
    /* Portable rows are for CPUs that have nothing else, and take long. */
    for (int portable = 0; portable < 2 && l->seconds < 0; portable++)
        for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
            const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
            if ((kernel->isa == 0) != portable || !fits(kernel, l->spec, activations, isa, library))
                continue;
            if (!l->weights)
                LAC_TRY(prepare(l, err));
            seen++;
            lac_status status = try_row(l, kernel, err);
            if (status != LAC_OK && status != LAC_ERROR_UNSUPPORTED)
                return status;
        }
    if (l->seconds >= 0)
        return LAC_OK;
    if (!seen)
        lac_fail(err, LAC_ERROR_UNSUPPORTED, "no kernel for %s, format %s", l->spec->layer,
                 l->spec->format);
    return LAC_ERROR_UNSUPPORTED;
}

/* Where the buffers of a trial come to lie in the caches can cost half of the speed: the best of a
 * few places, which are held until all were tried. */
static lac_status try_places(looking *l, lac_error *err)
{
    enum { PLACES = 3 };
    lac_trial *held[PLACES] = {l->best};
    lac_side side[PLACES];
    int n = 1, best = 0;
    layouts as = {l->best->layer.input_layout, l->best->layer.output_layout};
    lac_status status = LAC_OK;
    for (; status == LAC_OK && n < PLACES; n += status == LAC_OK)
        status = make(&held[n], l->spec, l->best->kernel, l->weights, as, true, err);
    for (int i = 0; i < n; i++)
        side[i] = (lac_side){.trial = &held[i], .copies = 1};
    if (status == LAC_OK)
        status = lac_race(side, n, 0.06, err);
    for (int i = 1; status == LAC_OK && i < n; i++)
        if (side[i].seconds < side[best].seconds)
            best = i;
    l->best = held[best];
    for (int i = 0; i < n; i++)
        if (i != best)
            lac_trial_free(held[i]);
    return status;
}

lac_status lac_trial_best(lac_trial **trial, const lac_trial_spec *spec, uint32_t activations,
                          uint32_t isa, bool library, lac_error *err)
{
    looking l = {.spec = spec, .run = true, .seconds = -1};
    lac_status status = try_rows(&l, activations, isa, library, err);
    if (status == LAC_OK)
        status = try_places(&l, err);
    lac_trial_weights_drop(l.weights);
    if (status == LAC_OK)
        *trial = l.best;
    else
        lac_trial_free(l.best);
    return status;
}

lac_status lac_trial_estimate(double *seconds, const lac_trial_spec *spec, uint32_t activations,
                              uint32_t isa, bool library, lac_error *err)
{
    looking l = {.spec = spec, .seconds = -1};
    lac_status status = try_rows(&l, activations, isa, library, err);
    lac_trial_weights_drop(l.weights);
    *seconds = l.seconds;
    return status;
}

/* ---- timing */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static lac_status turn(const lac_side *side, int rounds, double *seconds, lac_error *err)
{
    if (side->threads)
        lac_threads_set(side->threads);
    if (side->warm)
        for (int i = 0; i < side->copies; i++)
            LAC_TRY(lac_trial_run(side->trial[i], err));
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
        long before = lac_interruptions();
        for (int i = 0; status == LAC_OK && i < n; i++)
            status = turn(&sides[i], rounds[i], &sample[i * TURNS + turns], err);
        if (lac_interruptions() == before || disturbed++ >= turns + LEAST)
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
