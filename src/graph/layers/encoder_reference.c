/* The encoder's fixed point once more, straight from its definition (dossier sta 2.5): plain loops
 * over dense weights, tables from their formulas. The simulator's own arithmetic is elsewhere; the
 * two must agree to the bit. */
#include "graph/layer_encoder.h"

#include <math.h>
#include <string.h>

#include "core/memory.h"
#include "graph/layer_tools.h"

static int64_t clamp(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* floor(x / 2^s + 1/2) */
static int64_t round_half_up(int64_t x, int s)
{
    if (s == 0)
        return x;
    int64_t unit = INT64_C(1) << s, shifted = x + unit / 2;
    int64_t quotient = shifted / unit;
    return shifted % unit < 0 ? quotient - 1 : quotient;
}

/* E(d) of the softmax with T[f] from its formula; `table` is filled once per head. */
static int64_t two_to_minus(const int64_t table[256], int64_t d)
{
    return d >= 17 * 256 ? 0 : table[d % 256] >> (d / 256);
}

static void softmax(const int64_t table[256], const int64_t *x, int64_t count, int64_t segment,
                    int32_t *p)
{
    int64_t maximum = -128, sum = 0;
    for (int64_t j = 0; j < count; j++) {
        if (j % segment == 0) { /* a new segment: ceiling of its maximum */
            int64_t top = INT16_MIN;
            for (int64_t i = j; i < count && i < j + segment; i++)
                top = x[i] > top ? x[i] : top;
            int64_t ceiling = (int64_t)ceil((double)top / 256);
            if (ceiling > maximum) {
                sum = ceiling - maximum > 62 ? 0 : sum / (INT64_C(1) << (ceiling - maximum));
                maximum = ceiling;
            }
        }
        sum += two_to_minus(table, maximum * 256 - x[j]);
    }
    int n = 0;
    while ((INT64_C(2) << n) <= sum)
        n++;
    int64_t reciprocal = (INT64_C(65536) << n) / sum;
    for (int64_t j = 0; j < count; j++)
        p[j] = (int32_t)clamp(
            round_half_up(two_to_minus(table, maximum * 256 - x[j]) * reciprocal, n + 8), 0, 255);
}

lac_status lac_streamed_head_reference(int32_t *out, const int8_t *q, const int8_t *k,
                                       const int8_t *v, int64_t stride, int64_t tokens, int64_t dim,
                                       int32_t multiplier, int shift, int64_t segment,
                                       lac_error *err)
{
    int64_t table[256];
    for (int f = 0; f < 256; f++)
        table[f] = (int64_t)floor(65535 * exp2(-f / 256.0) + 0.5);
    int64_t *x = lac_alloc((size_t)tokens, sizeof *x, err);
    int32_t *p = x ? lac_alloc((size_t)tokens, sizeof *p, err) : NULL;
    for (int64_t i = 0; i < tokens && p; i++) {
        for (int64_t j = 0; j < tokens; j++) {
            int64_t sum = 0;
            for (int64_t d = 0; d < dim; d++)
                sum += q[i * stride + d] * k[j * stride + d];
            x[j] = clamp(round_half_up(sum * multiplier, shift), INT16_MIN, INT16_MAX);
        }
        softmax(table, x, tokens, segment, p);
        int32_t *row = out + i * dim;
        memset(row, 0, (size_t)dim * sizeof *row);
        for (int64_t j = 0; j < tokens; j++)
            for (int64_t d = 0; d < dim; d++)
                row[d] += p[j] * v[j * stride + d];
    }
    lac_free(x);
    lac_free(p);
    return p ? LAC_OK : LAC_ERROR_MEMORY;
}

static void layer_norm(const int64_t *u, int64_t count, int8_t *y)
{
    int64_t s1 = 0, s2 = 0;
    for (int64_t i = 0; i < count; i++) {
        s1 += u[i];
        s2 += u[i] * u[i];
    }
    int64_t square = count * s2 - s1 * s1, s = 0;
    for (int64_t bit = INT64_C(1) << 31; bit; bit /= 2) /* the root, digit by digit */
        if ((s + bit) * (s + bit) <= square)
            s += bit;
    s = s ? s : 1;
    int n = 0;
    while ((INT64_C(2) << n) <= s)
        n++;
    int64_t inverse = (INT64_C(65536) << n) / s;
    for (int64_t i = 0; i < count; i++) {
        int64_t z =
            clamp(round_half_up((u[i] * count - s1) * inverse, n + 8), INT16_MIN, INT16_MAX);
        y[i] = (int8_t)clamp(round_half_up(z * 64, 9), -127, 127); /* gamma 1, beta 0 */
    }
}

typedef struct room { /* what one layer needs between its operations */
    int8_t *q, *k, *v, *o, *x1, *h;
    int32_t *sums; /* of the widest product */
    int64_t *u;    /* one row before layer norm */
    void *block;
} room;

static lac_status room_make(room *r, const lac_encoder *e, lac_error *err)
{
    int64_t td = e->tokens * e->dim, tf = e->tokens * e->ffn, wide = td > tf ? td : tf;
    char *at = r->block = lac_alloc((size_t)(5 * td + tf + 4 * wide + 8 * e->dim + 256), 1, err);
    if (!at)
        return LAC_ERROR_MEMORY;
    r->u = (int64_t *)(void *)at;
    r->sums = (int32_t *)(void *)(at += 8 * e->dim);
    r->q = (int8_t *)(at += 4 * wide);
    r->k = r->q + td;
    r->v = r->k + td;
    r->o = r->v + td;
    r->x1 = r->o + td;
    r->h = r->x1 + td;
    return LAC_OK;
}

/* sums = a W^T; returns the shift of lin(.., c). */
static lac_status multiply(const lac_encoder *e, const room *r, int op, const int8_t *a,
                           const int8_t *layer_weights, lac_error *err)
{
    lac_tensor x =
        lac_tensor_view(LAC_I8, 2, (int64_t[]){e->tokens, e->cols[op]}, (void *)(uintptr_t)a);
    lac_tensor w = lac_tensor_view(LAC_I8, 2, (int64_t[]){e->rows[op], e->cols[op]},
                                   (void *)(uintptr_t)(layer_weights + e->first[op]));
    return lac_gemm_reference(r->sums, &x, 0, &w, 0, e->tokens, e->rows[op], e->cols[op], err);
}

static int shift_of(const lac_encoder *e, int op, const int n[], const int m[], int c)
{
    int64_t k = (e->cols[op] + m[op] - 1) / m[op] * n[op], power = 1;
    int exponent = 0;
    for (; power < k; power *= 4)
        exponent++;
    return 14 + exponent + c;
}

/* int8 results of sums, through `gelu` when not NULL. */
static void requantise(const lac_encoder *e, const room *r, int op, int shift, const int8_t *gelu,
                       int8_t *y)
{
    for (int64_t i = 0; i < e->tokens * e->rows[op]; i++) {
        int8_t q = (int8_t)clamp(round_half_up((int64_t)r->sums[i] * 16384, shift), -127, 127);
        y[i] = gelu ? gelu[q + 128] : q;
    }
}

static void add_and_norm(const lac_encoder *e, const room *r, int shift, const int8_t *residual,
                         int8_t *y)
{
    for (int64_t t = 0; t < e->tokens; t++) {
        for (int64_t d = 0; d < e->dim; d++) {
            int64_t i = t * e->dim + d;
            int64_t part =
                clamp(round_half_up((int64_t)r->sums[i] * 16384, shift), INT16_MIN, INT16_MAX);
            r->u[d] = clamp(part + residual[i] * 8, INT16_MIN, INT16_MAX);
        }
        layer_norm(r->u, e->dim, y + t * e->dim);
    }
}

static lac_status heads(const lac_encoder *e, const room *r, int64_t segment, lac_error *err)
{
    int64_t d = e->dim / e->heads;
    double factor = 1.4426950408889634074 * 256 / (1024 * sqrt((double)d));
    int shift = 0;
    while (ldexp(factor, shift + 1) < 32768)
        shift++;
    int32_t multiplier = (int32_t)floor(ldexp(factor, shift) + 0.5);
    for (int64_t h = 0; h < e->heads; h++) {
        LAC_TRY(lac_streamed_head_reference(r->sums, r->q + h * d, r->k + h * d, r->v + h * d,
                                            e->dim, e->tokens, d, multiplier, shift, segment, err));
        for (int64_t t = 0; t < e->tokens; t++)
            for (int64_t i = 0; i < d; i++)
                r->o[t * e->dim + h * d + i] =
                    (int8_t)clamp(round_half_up(r->sums[t * d + i], 8), -127, 127);
    }
    return LAC_OK;
}

static lac_status one_layer(const lac_encoder *e, const room *r, const int n[], const int m[],
                            const int8_t *gelu, const int8_t *weights, int64_t segment, int8_t *x,
                            lac_error *err)
{
    int8_t *to[3] = {r->q, r->k, r->v};
    for (int op = LAC_ENCODER_Q; op <= LAC_ENCODER_V; op++) {
        LAC_TRY(multiply(e, r, op, x, weights, err));
        requantise(e, r, op, shift_of(e, op, n, m, 7), NULL, to[op]);
    }
    LAC_TRY(heads(e, r, segment, err));
    LAC_TRY(multiply(e, r, LAC_ENCODER_O, r->o, weights, err));
    add_and_norm(e, r, shift_of(e, LAC_ENCODER_O, n, m, 2), x, r->x1);
    LAC_TRY(multiply(e, r, LAC_ENCODER_F1, r->x1, weights, err));
    requantise(e, r, LAC_ENCODER_F1, shift_of(e, LAC_ENCODER_F1, n, m, 6), gelu, r->h);
    LAC_TRY(multiply(e, r, LAC_ENCODER_F2, r->h, weights, err));
    add_and_norm(e, r, shift_of(e, LAC_ENCODER_F2, n, m, 3), r->x1, x);
    return LAC_OK;
}

lac_status lac_encoder_reference(const lac_layer *layer, int64_t segment, lac_tensor *output,
                                 lac_error *err)
{
    lac_encoder e = lac_encoder_of(layer);
    int n[LAC_ENCODER_OPS], m[LAC_ENCODER_OPS];
    int8_t gelu[256];
    room r;
    memset(output, 0, sizeof *output);
    LAC_TRY(lac_operand_need(layer, LAC_ROLE_QUERY, e.tokens * e.dim, err));
    LAC_TRY(lac_operand_need(layer, LAC_ROLE_WEIGHTS, e.layers * e.layer_elements, err));
    const lac_tensor *x = &layer->operand[LAC_ROLE_QUERY].tensor;
    const lac_tensor *w = &layer->operand[LAC_ROLE_WEIGHTS].tensor;
    if (x->dtype != LAC_I8 || w->dtype != LAC_I8)
        return lac_fail(err, LAC_ERROR_INPUT, "%s: an encoder's operands are int8", layer->name);
    LAC_TRY(lac_encoder_patterns(layer, layer->text[0], n, m, err));
    for (int i = 0; i < 256; i++) {
        double real = (i - 128) / 32.0;
        gelu[i] = (int8_t)floor(32 * (real * (1 + erf(real / sqrt(2))) / 2) + 0.5);
    }
    LAC_TRY(room_make(&r, &e, err));
    lac_status status = lac_tensor_copy(output, x, err);
    for (int64_t i = 0; i < e.layers && status == LAC_OK; i++)
        status = one_layer(&e, &r, n, m, gelu, (const int8_t *)w->data + i * e.layer_elements,
                           segment, output->data, err);
    lac_free(r.block);
    if (status != LAC_OK)
        lac_tensor_release(output);
    return status;
}
