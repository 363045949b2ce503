/* See break_even.h. A family is a format whose zeros can be dialled: by the density of elements or
 * blocks, or by the N of N:M. Time falls with every zero, so bisection finds the first that wins.
 */
#include "study/break_even.h"

#include "study/trial.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { BYTES = LAC_BIT(LAC_U8) | LAC_BIT(LAC_I8), FLOATS = LAC_BIT(LAC_F32) };

typedef struct family {
    const char *format;   /* row */
    const char *text;     /* with its parameters; "%d": the N of N:M */
    uint32_t activations; /* types */
    lac_dtype weights;
    int rows, cols; /* of a block */
    int m;          /* of N:M; 0: any density */
} family;

static const family families[] = {
    {"csr", "csr", FLOATS, LAC_F32, 1, 1, 0},
    {"nm", "nm:n=%d,m=16", FLOATS, LAC_F32, 1, 1, 16},
    {"nm", "nm:n=%d,m=16", BYTES, LAC_I8, 1, 1, 16},
    {"block", "block:r=1,c=4", BYTES, LAC_I8, 1, 4, 0},
};
enum { N_FAMILIES = sizeof families / sizeof *families, STEPS = 64 };

typedef struct search {
    char layer[256];
    uint32_t isa, activations;
    bool measure;
    lac_trial *dense;
    double dense_seconds; /* estimated */
} search;

/* Whether the family wins with `step` of `steps` parts zero. */
static lac_status wins(const search *s, const family *f, int step, int steps, char *text,
                       size_t text_size, bool *won, lac_error *err)
{
    lac_trial_spec spec = {.layer = s->layer, .format = text, .weights = f->weights, .seed = 1};
    lac_trial *packed;
    spec.sparsity = (lac_sparsity){.rows = f->rows, .cols = f->cols};
    if (f->m) {
        spec.sparsity.n = f->m - step;
        spec.sparsity.m = f->m;
        char *at = strstr(f->text, "%d");
        snprintf(text, text_size, "%.*s%d%s", (int)(at - f->text), f->text, f->m - step, at + 2);
    } else {
        spec.sparsity.density = 1 - (double)step / steps;
        snprintf(text, text_size, "%s", f->text);
    }
    if (!s->measure) {
        double seconds;
        LAC_TRY(lac_trial_estimate(&seconds, &spec, s->activations, s->isa, false, err));
        *won = seconds < s->dense_seconds;
        return LAC_OK;
    }
    LAC_TRY(lac_trial_best(&packed, &spec, s->activations, s->isa, false, err));
    lac_trial *dense = s->dense;
    lac_side sides[] = {{.trial = &packed, .copies = 1}, {.trial = &dense, .copies = 1}};
    lac_status status = lac_race(sides, 2, 0.06, err);
    *won = sides[0].seconds < sides[1].seconds;
    lac_trial_free(packed);
    return status;
}

static lac_status search_family(const search *s, const family *f, lac_break_even *result,
                                lac_error *err)
{
    int steps = f->m ? f->m : STEPS, lose = -1, win = steps - 1;
    char text[64];
    bool won;
    LAC_TRY(wins(s, f, win, steps, text, sizeof text, &won, err));
    if (!won)
        return LAC_OK;
    lac_break_even found = {.measured = s->measure};
    snprintf(found.format, sizeof found.format, "%s", text);
    while (win - lose > 1) {
        int middle = (win + lose) / 2;
        LAC_TRY(wins(s, f, middle, steps, text, sizeof text, &won, err));
        if (won) {
            win = middle;
            snprintf(found.format, sizeof found.format, "%s", text);
        } else {
            lose = middle;
        }
    }
    found.sparsity = (double)win / steps;
    if (!(result->sparsity <= found.sparsity))
        *result = found;
    return LAC_OK;
}

/* Estimates grow with the outputs on either side: a slice of them says the same in less time. */
static lac_status slice(search *s, const char *text, lac_error *err)
{
    enum { OUTPUTS = 128 };
    lac_layer layer;
    LAC_TRY(lac_layer_parse(&layer, text, err));
    const char *name = strcmp(layer.kind->row.name, "conv") == 0 ? "k" : "n";
    lac_status status = LAC_OK;
    if (!s->measure && lac_layer_dim_get(&layer, name) > OUTPUTS &&
        (lac_layer_dim_get(&layer, "groups") < 2))
        status = lac_layer_dim_set(&layer, name, OUTPUTS, err);
    if (status == LAC_OK)
        status = lac_layer_check(&layer, err);
    if (status == LAC_OK)
        lac_layer_text(&layer, s->layer, sizeof s->layer);
    lac_layer_release(&layer);
    return status;
}

/* The family of a packed layer, its parameters those of the layer; false: it has none. */
static bool family_of(const lac_packed *packed, uint32_t activations, family *own, char *text,
                      size_t size)
{
    for (int i = 0; i < N_FAMILIES; i++) {
        const lac_params *p = &packed->params;
        *own = families[i];
        if (strcmp(own->format, packed->format->row.name) != 0 || !(own->activations & activations))
            continue;
        own->text = text;
        if (own->m) {
            own->m = (int)lac_params_int(p, "m");
            snprintf(text, size, "%s:n=%%d,m=%d", own->format, own->m);
        } else if (lac_params_has(p, "r") && lac_params_has(p, "c")) {
            own->rows = (int)lac_params_int(p, "r");
            own->cols = (int)lac_params_int(p, "c");
            snprintf(text, size, "%s:r=%d,c=%d", own->format, own->rows, own->cols);
        } else {
            snprintf(text, size, "%s", own->format);
        }
        return own->m != 1;
    }
    return false;
}

static lac_status search_all(const search *s, const lac_packed *packed, lac_break_even *result,
                             lac_error *err)
{
    char text[64];
    family own;
    bool known = packed && family_of(packed, s->activations, &own, text, sizeof text);
    for (int i = 0; i < (packed ? known : N_FAMILIES); i++) {
        const family *f = packed ? &own : &families[i];
        if (!(f->activations & s->activations) || !lac_table_find(&lac_formats, f->format))
            continue;
        lac_status status = search_family(s, f, result, err);
        if (status != LAC_OK && status != LAC_ERROR_UNSUPPORTED)
            return status;
    }
    return LAC_OK;
}

lac_status lac_break_even_find(lac_break_even *result, const char *text, lac_dtype activations,
                               const lac_packed *packed, bool measure, lac_error *err)
{
    search s = {.measure = measure, .activations = activations == LAC_F32 ? FLOATS : BYTES};
    lac_trial_spec spec = {.layer = s.layer,
                           .format = "dense",
                           .weights = activations == LAC_F32 ? LAC_F32 : LAC_I8,
                           .sparsity = {.density = 1},
                           .seed = 2};
    *result = (lac_break_even){.sparsity = NAN, .measured = measure};
    LAC_TRY(lac_isa(&s.isa, err));
    LAC_TRY(slice(&s, text, err));
    lac_status status =
        measure ? lac_trial_best(&s.dense, &spec, s.activations, s.isa, false, err)
                : lac_trial_estimate(&s.dense_seconds, &spec, s.activations, s.isa, false, err);
    if (status == LAC_OK)
        status = search_all(&s, packed, result, err);
    lac_trial_free(s.dense);
    return status == LAC_ERROR_UNSUPPORTED ? LAC_OK : status;
}
