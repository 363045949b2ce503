/* encoder: `layers` post-norm transformer encoder layers as one unit of work, in the fixed point of
 * dossier sta 2.5. Its reference is in encoder_reference.c. */
#include "graph/layer_encoder.h"

#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "graph/layer_tools.h"

enum { TOKENS, DIM, HEADS, FFN, LAYERS };

lac_encoder lac_encoder_of(const lac_layer *layer)
{
    const int64_t *d = layer->dim;
    lac_encoder e = {
        .tokens = d[TOKENS], .dim = d[DIM], .heads = d[HEADS], .ffn = d[FFN], .layers = d[LAYERS]};
    for (int op = 0; op < LAC_ENCODER_OPS; op++) {
        e.rows[op] = op == LAC_ENCODER_F1 ? e.ffn : e.dim;
        e.cols[op] = op == LAC_ENCODER_F2 ? e.ffn : e.dim;
        e.first[op] = e.layer_elements;
        e.layer_elements += e.rows[op] * e.cols[op];
    }
    return e;
}

static lac_status check(const lac_layer *layer, lac_error *err)
{
    const int64_t *d = layer->dim;
    int64_t count;
    if (d[DIM] % d[HEADS])
        return lac_fail(err, LAC_ERROR_INPUT, "encoder: heads=%lld does not divide dim=%lld",
                        (long long)d[HEADS], (long long)d[DIM]);
    if (d[DIM] > 65536 || d[FFN] > 65536 || d[TOKENS] > 65536)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "encoder: dim, ffn and tokens are at most 65536 (int32 sums)");
    LAC_TRY(lac_shape_count(5, (int64_t[]){d[LAYERS], 8, d[DIM] + d[FFN], d[DIM], d[TOKENS]},
                            &count, err)); /* multiply-accumulates */
    return lac_shape_count(5, (int64_t[]){d[LAYERS], 4, d[TOKENS], d[TOKENS], d[DIM]}, &count, err);
}

static lac_status parse_pattern(const char *text, size_t length, int *n, int *m, lac_error *err)
{
    char word[32];
    lac_operand operand = {0};
    if (length >= sizeof word)
        return lac_fail(err, LAC_ERROR_INPUT, "mix: '%.40s' is not N:M", text);
    memcpy(word, text, length);
    word[length] = '\0';
    if (!strchr(word, ':'))
        return lac_fail(err, LAC_ERROR_INPUT, "mix: '%s' is not N:M", word);
    LAC_TRY(lac_operand_pattern(&operand, word, err));
    *n = operand.n;
    *m = operand.m;
    return LAC_OK;
}

lac_status lac_encoder_patterns(const lac_layer *layer, const char *mix, int n[LAC_ENCODER_OPS],
                                int m[LAC_ENCODER_OPS], lac_error *err)
{
    static const char *const names[LAC_ENCODER_OPS] = {"q", "k", "v", "o", "f1", "f2"};
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    for (int op = 0; op < LAC_ENCODER_OPS; op++) {
        n[op] = w->m ? w->n : 1;
        m[op] = w->m ? w->m : 1;
    }
    bool given[LAC_ENCODER_OPS] = {false};
    for (const char *word = mix ? mix : ""; *word;) {
        size_t end = strcspn(word, "/"), equals = strcspn(word, "=");
        int op = 0;
        while (op < LAC_ENCODER_OPS &&
               (strlen(names[op]) != equals || memcmp(names[op], word, equals) != 0))
            op++;
        if (equals >= end || op == LAC_ENCODER_OPS)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "mix: '%.*s' is not op=N:M with op one of q, k, v, o, f1, f2", (int)end,
                            word);
        if (given[op])
            return lac_fail(err, LAC_ERROR_INPUT, "mix: %s is given twice", names[op]);
        given[op] = true;
        LAC_TRY(parse_pattern(word + equals + 1, end - equals - 1, &n[op], &m[op], err));
        word += end + (word[end] == '/');
    }
    return LAC_OK;
}

static lac_status generate(lac_layer *layer, lac_error *err)
{
    lac_encoder e = lac_encoder_of(layer);
    const lac_operand *w = &layer->operand[LAC_ROLE_WEIGHTS];
    const lac_operand *a = &layer->operand[LAC_ROLE_ACTIVATIONS], dense = {.density = 1};
    lac_tensor all, *x = &layer->operand[LAC_ROLE_QUERY].tensor;
    int n[LAC_ENCODER_OPS], m[LAC_ENCODER_OPS];
    if (a->m > a->n || (a->density >= 0 && a->density < 1))
        return lac_fail(err, LAC_ERROR_INPUT, "%s: an encoder takes no activation density",
                        layer->name);
    LAC_TRY(lac_encoder_patterns(layer, layer->text[0], n, m, err));
    lac_tensor_release(x);
    LAC_TRY(lac_generate(x, &dense, layer->seed, LAC_ROLE_QUERY, true, 2,
                         (int64_t[]){e.tokens, e.dim}, e.dim, 1, err));
    LAC_TRY(lac_tensor_make(&all, LAC_I8, 1, (int64_t[]){e.layers * e.layer_elements}, err));
    lac_status status = LAC_OK;
    for (int64_t i = 0; i < e.layers * LAC_ENCODER_OPS && status == LAC_OK; i++) {
        int op = (int)(i % LAC_ENCODER_OPS);
        lac_operand pattern = {.n = n[op], .m = m[op], .density = w->density};
        if (m[op] == 1 && w->m == 0)
            pattern.n = pattern.m = 0; /* a density, or nothing given */
        lac_tensor part;
        status = lac_generate(&part, &pattern, layer->seed + (uint64_t)i, LAC_ROLE_WEIGHTS, true, 2,
                              (int64_t[]){e.rows[op], e.cols[op]}, e.cols[op], 1, err);
        if (status == LAC_OK)
            memcpy((int8_t *)all.data + i / LAC_ENCODER_OPS * e.layer_elements + e.first[op],
                   part.data, lac_tensor_bytes(&part));
        lac_tensor_release(&part);
    }
    if (status != LAC_OK) {
        lac_tensor_release(&all);
        return status;
    }
    lac_tensor_release(&layer->operand[LAC_ROLE_WEIGHTS].tensor);
    layer->operand[LAC_ROLE_WEIGHTS].tensor = all;
    snprintf(layer->text[1], sizeof layer->text[1], LAC_ENCODER_SYNTHETIC);
    return LAC_OK;
}

static lac_status reference(const lac_layer *layer, lac_tensor *output, lac_error *err)
{
    return lac_encoder_reference(layer, 16, output, err);
}

static int64_t macs(const lac_layer *layer)
{
    const int64_t *d = layer->dim;
    return d[LAYERS] * d[TOKENS] * d[DIM] * (4 * d[DIM] + 2 * d[FFN] + 2 * d[TOKENS]);
}

const lac_layer_kind lac_layer_encoder = {
    .row = LAC_ROW(lac_layer_kind, "encoder",
                   "post-norm transformer encoder layers in the fixed point of sta"),
    .dims = {{"tokens", -1, 1, 65536},
             {"dim", -1, 1, 65536},
             {"heads", -1, 1, 65536},
             {"ffn", -1, 1, 65536},
             {"layers", 1, 1, 1024},
             {NULL, 0, 0, 0}},
    .check = check,
    .generate = generate,
    .reference = reference,
    .macs = macs,
};
