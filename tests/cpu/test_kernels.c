/* Every kernel row of the table against a plain definition, over shapes below, at and above its
 * tiles, odd ones, all epilogues; integer rows also against the layer kind's own reference, exactly.
 * And the same bits for any number of threads. */
#include "cpu/geometry.h"

#include <lacuna/kernel.h>
#include <lacuna/lacuna.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t state_ = 1;
static float real(void)
{
    state_ = state_ * 1664525u + 1013904223u;
    return (float)(state_ >> 8) / (float)(1 << 23) - 1;
}

static lac_tensor make(lac_dtype dtype, int rank, const int64_t *dims)
{
    lac_tensor t;
    assert_int_equal(lac_tensor_make(&t, dtype, rank, dims, NULL), LAC_OK);
    for (int64_t i = 0; i < lac_tensor_count(&t); i++)
        lac_tensor_set(&t, i,
                       dtype == LAC_F32 ? (double)real() : rint((double)real() * 120 + (dtype == LAC_U8 ? 120 : 0)));
    return t;
}

static double activate(const lac_layer *l, double x)
{
    switch (l->activation) {
    case LAC_ACT_CLIP:
        return fmin(fmax(x, (double)l->low), (double)l->high);
    case LAC_ACT_GELU:
        return x * (1 + erf(x / sqrt(2))) / 2;
    case LAC_ACT_GELU_TANH:
        return x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))) / 2;
    case LAC_ACT_SIGMOID:
        return 1 / (1 + exp(-x));
    case LAC_ACT_TANH:
        return tanh(x);
    case LAC_ACT_SILU:
        return x / (1 + exp(-x));
    default:
        return x;
    }
}

/* ---- products: the definition in double precision ---- */

static double scale_of(const lac_layer *l, int64_t n)
{
    const lac_operand *x = &l->operand[LAC_ROLE_ACTIVATIONS], *w = &l->operand[LAC_ROLE_WEIGHTS];
    double scale = x->scale_count ? (double)x->scale[0] : 1;
    return scale * (w->scale_count ? (double)w->scale[w->scale_count > 1 ? n : 0] : 1);
}

static double product_at(const lac_layer *l, const lac_conv_geometry *g, int64_t b, int64_t n,
                         int64_t p, int64_t q, int64_t out)
{
    const lac_operand *x = &l->operand[LAC_ROLE_ACTIVATIONS], *w = &l->operand[LAC_ROLE_WEIGHTS];
    int64_t per = g->c / g->groups, first = n / (g->k / g->groups) * per;
    double sum = 0;
    for (int64_t c = 0; c < per; c++)
        for (int64_t r = 0; r < g->r; r++)
            for (int64_t s = 0; s < g->s; s++) {
                int64_t h = p * g->stride_h + r * g->dilation_h - g->pad_top;
                int64_t v = q * g->stride_w + s * g->dilation_w - g->pad_left;
                if (h < 0 || h >= g->h || v < 0 || v >= g->w)
                    continue;
                bool last = l->channels_last || strcmp(l->kind->row.name, "gemm") == 0;
                int64_t at = last ? ((b * g->h + h) * g->w + v) * g->c + first + c
                                  : ((b * g->c + first + c) * g->h + h) * g->w + v;
                int64_t wi = w->transposed ? c * g->k + n : ((n * per + c) * g->r + r) * g->s + s;
                sum += (lac_tensor_get(&x->tensor, at) - x->zero_point) *
                       (lac_tensor_get(&w->tensor, wi) - w->zero_point);
            }
    sum *= scale_of(l, n);
    if (l->operand[LAC_ROLE_BIAS].tensor.data)
        sum += lac_tensor_get(&l->operand[LAC_ROLE_BIAS].tensor, n);
    if (l->operand[LAC_ROLE_RESIDUAL].tensor.data)
        sum += lac_tensor_get(&l->operand[LAC_ROLE_RESIDUAL].tensor, out);
    return activate(l, sum);
}

static void product_want(const lac_layer *l, double *want)
{
    lac_conv_geometry g;
    assert_true(lac_conv_geometry_of(l, &g));
    bool last = l->channels_last || strcmp(l->kind->row.name, "gemm") == 0;
    for (int64_t b = 0; b < g.batch; b++)
        for (int64_t p = 0; p < g.p; p++)
            for (int64_t q = 0; q < g.q; q++)
                for (int64_t n = 0; n < g.k; n++) {
                    int64_t at = last ? ((b * g.p + p) * g.q + q) * g.k + n
                                      : ((b * g.k + n) * g.p + p) * g.q + q;
                    want[at] = product_at(l, &g, b, n, p, q, at);
                }
}

static void attention_want(const lac_layer *l, double *want)
{
    lac_attention_geometry g;
    assert_true(lac_attention_geometry_of(l, &g));
    const lac_tensor *t[3], *mask = &l->operand[LAC_ROLE_MASK].tensor;
    double *p = malloc((size_t)g.keys * sizeof *p);
    for (int i = 0; i < 3; i++)
        t[i] = &l->operand[LAC_ROLE_QUERY + i].tensor;
#define AT(n, b, h, i, d)                                                                          \
    (g.tokens_first ? (((b) * (n) + (i)) * g.heads + (h)) * g.dim + (d)                            \
                    : (((b) * g.heads + (h)) * (n) + (i)) * g.dim + (d))
    for (int64_t b = 0; b < g.batch; b++)
        for (int64_t h = 0; h < g.heads; h++)
            for (int64_t i = 0; i < g.tokens; i++) {
                double high = -INFINITY, sum = 0;
                for (int64_t j = 0; j < g.keys; j++) {
                    p[j] = 0;
                    for (int64_t d = 0; d < g.dim; d++)
                        p[j] += lac_tensor_get(t[0], AT(g.tokens, b, h, i, d)) *
                                lac_tensor_get(t[1], AT(g.keys, b, h, j, d));
                    p[j] *= l->softmax_scale;
                    if (mask->data)
                        p[j] += lac_tensor_get(mask, b * g.mask_batch + h * g.mask_head +
                                                         i * g.mask_row + j * g.mask_col);
                    high = fmax(high, p[j]);
                }
                for (int64_t j = 0; j < g.keys; j++)
                    sum += p[j] = exp(p[j] - high);
                for (int64_t d = 0; d < g.dim; d++) {
                    double y = 0;
                    for (int64_t j = 0; j < g.keys; j++)
                        y += p[j] * lac_tensor_get(t[2], AT(g.keys, b, h, j, d));
                    want[AT(g.tokens, b, h, i, d)] = y / sum;
                }
            }
    free(p);
}

/* ---- every row on one layer ---- */

static int ran_;

static void run_all(lac_layer *l, lac_dtype dtype)
{
    uint32_t isa;
    int64_t count = lac_tensor_count(&l->output);
    double *want = malloc((size_t)count * sizeof *want), largest = 1e-6;
    char *one = malloc(lac_tensor_bytes(&l->output));
    assert_int_equal(lac_isa(&isa, NULL), LAC_OK);
    if (strcmp(l->kind->row.name, "attention") == 0)
        attention_want(l, want);
    else
        product_want(l, want);
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(want[i]));
    for (int k = 0; k < lac_table_count(&lac_kernels); k++) {
        const lac_kernel *row = (const lac_kernel *)lac_table_at(&lac_kernels, k);
        char why[200] = "", text[300];
        if (strcmp(row->kind, l->kind->row.name) != 0 || strcmp(row->format, "dense") != 0 ||
            row->dtype != dtype || (row->isa & ~isa) || !row->can_run(l, why, sizeof why))
            continue;
        assert_true(row->cost(l) > 0);
        for (int threads = 1; threads <= 2; threads++) {
            void *state = NULL;
            lac_error err = {0};
            lac_threads_set(threads);
            memset(l->output.data, 0xff, lac_tensor_bytes(&l->output));
            if (row->prepare(l, &state, &err) != LAC_OK || row->run(l, state, &err) != LAC_OK)
                fail_msg("%s: %s", row->row.name, err.message);
            if (state)
                row->release(state);
            for (int64_t i = 0; i < count; i++) {
                double got = lac_tensor_get(&l->output, i);
                if (!(fabs(got - want[i]) <= 2e-5 * largest))
                    fail_msg("%s, %s, element %d: %g, want %g", row->row.name,
                             lac_layer_text(l, text, sizeof text), (int)i, got, want[i]);
            }
            if (threads == 2)
                assert_memory_equal(one, l->output.data, lac_tensor_bytes(&l->output));
            memcpy(one, l->output.data, lac_tensor_bytes(&l->output));
        }
        ran_++;
    }
    lac_threads_set(0);
    free(want);
    free(one);
}

static const float x_scale_ = 0.02f;
static float w_scale_[512];

/* Fills the operands of a described product; epilogue 0..8 picks bias, residual, activation. */
static void product_case(const char *text, bool last, bool transposed, lac_dtype dtype, int epilogue)
{
    lac_layer *l = calloc(1, sizeof *l);
    lac_conv_geometry g;
    lac_error err = {0};
    if (lac_layer_parse(l, text, &err) != LAC_OK)
        fail_msg("%s", err.message);
    assert_true(lac_conv_geometry_of(l, &g));
    bool gemm = strcmp(l->kind->row.name, "gemm") == 0;
    lac_dtype w_dtype = dtype == LAC_F32 ? LAC_F32 : LAC_I8;
    l->channels_last = last;
    lac_operand *x = &l->operand[LAC_ROLE_ACTIVATIONS], *w = &l->operand[LAC_ROLE_WEIGHTS];
    if (gemm) {
        x->tensor = make(dtype, 2, (int64_t[]){g.w, g.c});
        w->tensor = make(w_dtype, 2,
                         transposed ? (int64_t[]){g.c, g.k} : (int64_t[]){g.k, g.c});
        l->output = make(LAC_F32, 2, (int64_t[]){g.w, g.k});
    } else {
        x->tensor = make(dtype, 4, last ? (int64_t[]){g.batch, g.h, g.w, g.c}
                                        : (int64_t[]){g.batch, g.c, g.h, g.w});
        w->tensor = make(w_dtype, 4, (int64_t[]){g.k, g.c / g.groups, g.r, g.s});
        l->output = make(LAC_F32, 4, last ? (int64_t[]){g.batch, g.p, g.q, g.k}
                                          : (int64_t[]){g.batch, g.k, g.p, g.q});
    }
    w->transposed = transposed;
    if (dtype != LAC_F32) {
        for (int64_t n = 0; n < g.k && n < 512; n++)
            w_scale_[n] = 0.01f + 0.001f * (float)(n % 7);
        x->scale = &x_scale_;
        x->scale_count = 1;
        x->zero_point = dtype == LAC_U8 ? 113 * (epilogue & 1) : 0;
        w->scale = w_scale_;
        w->scale_count = g.k <= 512 && (epilogue & 2) ? g.k : 1;
    }
    if (epilogue & 1)
        l->operand[LAC_ROLE_BIAS].tensor = make(LAC_F32, 1, &g.k);
    if (epilogue & 2)
        l->operand[LAC_ROLE_RESIDUAL].tensor = make(LAC_F32, l->output.rank, l->output.dims);
    l->activation = (lac_activation)(epilogue % (LAC_ACT_SILU + 1));
    l->low = 0;
    l->high = epilogue & 4 ? 6 : INFINITY;
    run_all(l, dtype);
    lac_layer_release(l);
    free(l);
}

static void products(void **state)
{
    static const lac_dtype dtypes[] = {LAC_F32, LAC_U8, LAC_I8};
    static const int64_t sizes[] = {1, 3, 4, 5, 15, 16, 17, 33, 64};
    (void)state;
    ran_ = 0;
    for (int d = 0; d < 3; d++) {
        int epilogue = 0;
        for (int i = 0; i < 9; i++)
            for (int j = 0; j < 9; j++) {
                char text[100];
                snprintf(text, sizeof text, "gemm:m=%d,n=%d,k=%d", (int)sizes[i], (int)sizes[j],
                         (int)sizes[(i + 2 * j) % 9]);
                product_case(text, false, j & 1, dtypes[d], epilogue++ % 16);
            }
    }
    printf("%d gemm runs\n", ran_);
    assert_true(ran_ > 3 * 81);
}

static void convolutions(void **state)
{
    static const lac_dtype dtypes[] = {LAC_F32, LAC_U8, LAC_I8};
    static const char *const cases[] = {
        "conv:c=3,h=9,w=7,k=16,r=3,s=3,stride=2,pad=1",
        "conv:c=16,h=8,w=8,k=17,r=1,s=1",
        "conv:c=5,h=6,w=11,k=33,r=5,s=3,pad=2,batch=2",
        "conv:c=16,h=9,w=9,k=16,r=3,s=3,pad=1,groups=16",
        "conv:c=35,h=5,w=6,k=35,r=3,s=3,stride=2,pad=1,groups=35",
        "conv:c=32,h=7,w=7,k=64,r=3,s=3,pad=1,groups=4",
        "conv:c=4,h=10,w=10,k=8,r=3,s=3,dilation_h=2,dilation_w=2",
        "conv:c=8,h=1,w=40,k=12,r=1,s=9,pad_left=4,pad_right=3",
        "conv:c=1,h=49,w=10,k=64,r=10,s=4,stride=2,pad_top=4,pad_bottom=5,pad_left=1,pad_right=1",
        "conv:c=64,h=4,w=4,k=64,r=3,s=3,pad_bottom=1,pad_right=1,stride=2",
    };
    (void)state;
    ran_ = 0;
    for (int d = 0; d < 3; d++)
        for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++)
            for (int e = 0; e < 4; e++)
                product_case(cases[i], e & 1, false, dtypes[d], (i * 4 + e * 5) % 16);
    printf("%d conv runs\n", ran_);
    assert_true(ran_ > 120);
}

/* Integer sums are the layer kind's reference exactly. */
static void integers(void **state)
{
    static const char *const cases[] = {"gemm:m=5,n=19,k=77",
                                        "conv:c=7,h=6,w=5,k=18,r=3,s=3,pad=1,stride=2"};
    (void)state;
    for (int i = 0; i < 2; i++) {
        lac_layer *l = calloc(1, sizeof *l);
        lac_tensor want;
        lac_error err = {0};
        void *kernel_state = NULL;
        assert_int_equal(lac_layer_parse(l, cases[i], &err), LAC_OK);
        l->seed = 7;
        l->operand[LAC_ROLE_WEIGHTS].density = 0.5;
        l->operand[LAC_ROLE_ACTIVATIONS].density = 0.7;
        if (l->kind->generate(l, &err) != LAC_OK || l->kind->reference(l, &want, &err) != LAC_OK)
            fail_msg("%s", err.message);
        assert_int_equal(lac_tensor_make(&l->output, LAC_I32, want.rank, want.dims, &err), LAC_OK);
        const lac_kernel *row = lac_kernel_choose(l, 0, err.message, sizeof err.message);
        if (!row)
            fail_msg("%s", err.message);
        assert_int_equal(row->prepare(l, &kernel_state, &err), LAC_OK);
        assert_int_equal(row->run(l, kernel_state, &err), LAC_OK);
        row->release(kernel_state);
        assert_memory_equal(l->output.data, want.data, lac_tensor_bytes(&want));
        lac_tensor_release(&want);
        lac_layer_release(l);
        free(l);
    }
}

static void attentions(void **state)
{
    static const int64_t sizes[] = {1, 7, 8, 9, 31, 32, 33, 65};
    (void)state;
    ran_ = 0;
    for (int i = 0; i < 8; i++)
        for (int last = 0; last < 2; last++) {
            char text[120];
            lac_layer *l = calloc(1, sizeof *l);
            int64_t b = 1 + i % 2, h = 1 + i % 3, t = sizes[i], keys = sizes[(i * 3 + 1) % 8];
            int64_t d = sizes[(i * 5 + 2) % 8];
            snprintf(text, sizeof text, "attention:heads=%d,tokens=%d,dim=%d,batch=%d,kv_tokens=%d",
                     (int)h, (int)t, (int)d, (int)b, (int)keys);
            assert_int_equal(lac_layer_parse(l, text, NULL), LAC_OK);
            for (int role = 0; role < 3; role++) {
                int64_t n = role ? keys : t;
                l->operand[LAC_ROLE_QUERY + role].tensor =
                    make(LAC_F32, 4, last ? (int64_t[]){b, n, h, d} : (int64_t[]){b, h, n, d});
            }
            l->output = make(LAC_F32, 4, last ? (int64_t[]){b, t, h, d} : (int64_t[]){b, h, t, d});
            l->channels_last = last;
            l->softmax_scale = 0.3;
            if (i % 4 == 1)
                l->operand[LAC_ROLE_MASK].tensor = make(LAC_F32, 4, (int64_t[]){b, 1, 1, keys});
            else if (i % 4 == 2)
                l->operand[LAC_ROLE_MASK].tensor = make(LAC_F32, 2, (int64_t[]){t, keys});
            run_all(l, LAC_F32);
            lac_layer_release(l);
            free(l);
        }
    printf("%d attention runs\n", ran_);
    assert_true(ran_ >= 16);
}

static void isa(void **state)
{
    uint32_t bits;
    lac_error err;
    char text[80];
    (void)state;
    setenv("LACUNA_ISA", "sse9", 1);
    assert_int_equal(lac_isa(&bits, &err), LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "sse9"));
    setenv("LACUNA_ISA", "ref", 1);
    assert_int_equal(lac_isa(&bits, &err), LAC_OK);
    assert_int_equal(bits, 0);
    assert_string_equal(lac_isa_text(bits, text, sizeof text), "ref");
    unsetenv("LACUNA_ISA");
    assert_int_equal(lac_isa(&bits, &err), LAC_OK);
    assert_true(bits & LAC_ISA_LIBRARY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(products), cmocka_unit_test(convolutions),
                                       cmocka_unit_test(integers), cmocka_unit_test(attentions),
                                       cmocka_unit_test(isa)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
