/* Products of dense bytes by kernels of our own (cpu/conv_i8.h) and by every other dense row: sums
 * exactly, bytes to the step, floats to rounding; over windows, strides, borders, tiles and their
 * neighbours, one channel, extreme values. Rows of one family give the same bits on every
 * instruction set, and with any number of threads. */
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
static uint32_t draw(uint32_t below)
{
    state_ = state_ * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)state_ * below) >> 32);
}

/* Bytes of the whole range; every third tensor has extremes only. */
static lac_tensor make_bytes(lac_dtype dtype, int rank, const int64_t *dims, bool extreme)
{
    lac_tensor t;
    assert_int_equal(lac_tensor_make(&t, dtype, rank, dims, NULL), LAC_OK);
    int low = dtype == LAC_U8 ? 0 : -128;
    for (int64_t i = 0; i < lac_tensor_count(&t); i++)
        lac_tensor_set(&t, i,
                       extreme ? (draw(8) ? low + (dtype == LAC_U8) * 255 : low + 255)
                               : low + (int)draw(256));
    return t;
}

static lac_tensor make_floats(int rank, const int64_t *dims, double size)
{
    lac_tensor t;
    assert_int_equal(lac_tensor_make(&t, LAC_F32, rank, dims, NULL), LAC_OK);
    for (int64_t i = 0; i < lac_tensor_count(&t); i++)
        ((float *)t.data)[i] = (float)(((double)draw(2000001) - 1000000) / 1000000 * size);
    return t;
}

static int64_t sum_at(const lac_layer *l, const lac_conv_geometry *g, int64_t b, int64_t n,
                      int64_t p, int64_t q)
{
    const lac_operand *x = &l->operand[LAC_ROLE_ACTIVATIONS], *w = &l->operand[LAC_ROLE_WEIGHTS];
    int64_t per = g->c / g->groups, first = n / (g->k / g->groups) * per, sum = 0;
    const uint8_t *u = x->tensor.data;
    const int8_t *s = x->tensor.data, *v = w->tensor.data;
    for (int64_t r = 0; r < g->r; r++)
        for (int64_t t = 0; t < g->s; t++) {
            int64_t h = p * g->stride_h + r * g->dilation_h - g->pad_top;
            int64_t z = q * g->stride_w + t * g->dilation_w - g->pad_left;
            if (h < 0 || h >= g->h || z < 0 || z >= g->w)
                continue;
            for (int64_t c = 0; c < per; c++) {
                int64_t at = ((b * g->h + h) * g->w + z) * g->c + first + c;
                int64_t wi = w->transposed ? c * g->k + n : ((n * per + c) * g->r + r) * g->s + t;
                int value = x->tensor.dtype == LAC_U8 ? u[at] : s[at];
                sum += (int64_t)(value - x->zero_point) * v[wi];
            }
        }
    return sum;
}

/* What the layer's output is before its type, for sums[]. */
static double real_at(const lac_layer *l, int64_t n, int64_t at, int64_t sum)
{
    const lac_operand *w = &l->operand[LAC_ROLE_WEIGHTS];
    double x = (double)sum * (double)l->operand[LAC_ROLE_ACTIVATIONS].scale[0] *
               (double)w->scale[w->scale_count > 1 ? n : 0];
    if (l->operand[LAC_ROLE_BIAS].tensor.data)
        x += lac_tensor_get(&l->operand[LAC_ROLE_BIAS].tensor, n);
    if (l->operand[LAC_ROLE_RESIDUAL].tensor.data)
        x += lac_tensor_get(&l->operand[LAC_ROLE_RESIDUAL].tensor, at);
    if (l->activation == LAC_ACT_CLIP)
        x = fmin(fmax(x, (double)l->low), (double)l->high);
    else if (l->activation == LAC_ACT_SILU)
        x = x / (1 + exp(-x));
    return x;
}

static bool is_right(const lac_layer *l, int64_t n, int64_t at, int64_t sum, double largest)
{
    double got = lac_tensor_get(&l->output, at), x = real_at(l, n, at, sum);
    if (l->output.dtype == LAC_I32)
        return got == (double)sum;
    if (l->output.dtype == LAC_F32)
        return fabs(got - x) <= 1e-5 * largest;
    double steps = x / (double)l->output_scale, low = l->output.dtype == LAC_U8 ? 0 : -128;
    double near = 1e-4 + 1e-6 * largest / (double)l->output_scale; /* of an edge between steps */
    double a = fmin(fmax(rint(steps - near) + l->output_zero, low), low + 255);
    double b = fmin(fmax(rint(steps + near) + l->output_zero, low), low + 255);
    return got == a || got == b;
}

/* The bytes beside are those of QuantizeLinear, exactly. */
static bool is_quantised(const lac_layer *l)
{
    double low = l->beside.dtype == LAC_U8 ? 0 : -128;
    for (int64_t i = 0; i < lac_tensor_count(&l->beside); i++) {
        float x = ((const float *)l->output.data)[i];
        double q = (double)nearbyintf(x / l->output_scale) + l->output_zero;
        if (lac_tensor_get(&l->beside, i) != fmin(fmax(q, low), low + 255))
            return false;
    }
    return true;
}

static int ran_;

/* The family of a row: its name up to the instruction set, or NULL where rows of other instruction
 * sets may round otherwise. */
static size_t family_length(const char *name)
{
    const char *isa = strstr(name, "_avx");
    return isa ? (size_t)(isa - name) : 0;
}

static void run_all(lac_layer *l, const lac_conv_geometry *g)
{
    uint32_t isa;
    int64_t count = lac_tensor_count(&l->output);
    size_t bytes = lac_tensor_bytes(&l->output);
    int64_t *sums = malloc((size_t)count * sizeof *sums);
    char *first[64];
    const char *name[64];
    int n_first = 0;
    double largest = 1e-6;
    assert_int_equal(lac_isa(&isa, NULL), LAC_OK);
    for (int64_t i = 0; i < count; i++) {
        sums[i] = sum_at(l, g, i / (g->k * g->q * g->p), i % g->k, i / (g->k * g->q) % g->p,
                         i / g->k % g->q);
        largest = fmax(largest, fabs(real_at(l, i % g->k, i, sums[i])));
    }
    for (int k = 0; k < lac_table_count(&lac_kernels); k++) {
        const lac_kernel *row = (const lac_kernel *)lac_table_at(&lac_kernels, k);
        char why[200] = "", text[300];
        if (strcmp(row->kind, l->kind->row.name) != 0 || strcmp(row->format, "dense") != 0 ||
            row->dtype != l->operand[LAC_ROLE_ACTIVATIONS].tensor.dtype || (row->isa & ~isa) ||
            !row->can_run(l, why, sizeof why))
            continue;
        assert_true(row->cost(l) > 0);
        for (int threads = 1; threads <= 2; threads++) {
            void *state = NULL;
            lac_error err = {0};
            lac_threads_set(threads);
            if (row->prepare(l, &state, &err) != LAC_OK)
                fail_msg("%s: %s", row->row.name, err.message);
            for (int again = 0; again < 2; again++) {
                memset(l->output.data, 0x55, bytes);
                if (l->beside.data)
                    memset(l->beside.data, 0x55, lac_tensor_bytes(&l->beside));
                if (row->run(l, state, &err) != LAC_OK)
                    fail_msg("%s: %s", row->row.name, err.message);
            }
            if (state)
                row->release(state);
            for (int64_t i = 0; i < count; i++)
                if (!is_right(l, i % g->k, i, sums[i], largest))
                    fail_msg("%s, %s, %s, element %d: %.9g, sum %lld, want %.9g", row->row.name,
                             lac_layer_text(l, text, sizeof text), lac_dtype_name(l->output.dtype),
                             (int)i, lac_tensor_get(&l->output, i), (long long)sums[i],
                             real_at(l, i % g->k, i, sums[i]));
            if (row->beside && l->beside.data && !is_quantised(l))
                fail_msg("%s, %s: other bytes beside than QuantizeLinear makes", row->row.name,
                         lac_layer_text(l, text, sizeof text));
            size_t length = family_length(row->row.name);
            int f = 0;
            while (f < n_first && (family_length(name[f]) != length ||
                                   strncmp(name[f], row->row.name, length) != 0 ||
                                   (length == 0 && strcmp(name[f], row->row.name) != 0)))
                f++;
            if (f == n_first) {
                assert_true(n_first < 64);
                name[f] = row->row.name;
                first[f] = malloc(bytes);
                memcpy(first[f], l->output.data, bytes);
                n_first++;
            } else if (memcmp(first[f], l->output.data, bytes) != 0) {
                fail_msg("%s, %s: other bits than %s", row->row.name,
                         lac_layer_text(l, text, sizeof text), name[f]);
            }
        }
        ran_++;
    }
    lac_threads_set(0);
    for (int f = 0; f < n_first; f++)
        free(first[f]);
    free(sums);
}

/* `form` picks types, zero points, scales, epilogue. */
static void one_case(const char *text, lac_dtype dtype, lac_dtype output, int form)
{
    lac_layer *l = calloc(1, sizeof *l);
    lac_conv_geometry g;
    lac_error err = {0};
    if (lac_layer_parse(l, text, &err) != LAC_OK)
        fail_msg("%s", err.message);
    assert_true(lac_conv_geometry_of(l, &g));
    bool gemm = strcmp(l->kind->row.name, "gemm") == 0, extreme = form % 5 == 4;
    lac_operand *x = &l->operand[LAC_ROLE_ACTIVATIONS], *w = &l->operand[LAC_ROLE_WEIGHTS];
    int64_t k = g.c / g.groups * g.r * g.s;
    float x_scale = 0.02f, *w_scale = malloc((size_t)g.k * sizeof *w_scale);
    for (int64_t n = 0; n < g.k; n++)
        w_scale[n] = 0.01f + 0.001f * (float)(n % 7);
    l->channels_last = !gemm;
    if (gemm) {
        w->transposed = form & 1;
        x->tensor = make_bytes(dtype, 2, (int64_t[]){g.w, g.c}, extreme);
        w->tensor = make_bytes(
            LAC_I8, 2, w->transposed ? (int64_t[]){g.c, g.k} : (int64_t[]){g.k, g.c}, extreme);
        l->output = lac_tensor_view(output, 2, (int64_t[]){g.w, g.k}, NULL);
    } else {
        x->tensor = make_bytes(dtype, 4, (int64_t[]){g.batch, g.h, g.w, g.c}, extreme);
        w->tensor = make_bytes(LAC_I8, 4, (int64_t[]){g.k, g.c / g.groups, g.r, g.s}, extreme);
        l->output = lac_tensor_view(output, 4, (int64_t[]){g.batch, g.p, g.q, g.k}, NULL);
    }
    int64_t dims[4];
    memcpy(dims, l->output.dims, sizeof dims);
    assert_int_equal(lac_tensor_make(&l->output, output, l->output.rank, dims, &err), LAC_OK);
    double size = (double)x_scale * 0.013 * 128 * 128 * sqrt((double)k);
    x->scale = &x_scale;
    x->scale_count = 1;
    x->zero_point = (form & 2) ? (dtype == LAC_U8 ? 113 : -5) : 0;
    w->scale = w_scale;
    w->scale_count = (form & 1) ? g.k : 1;
    if (form & 1)
        l->operand[LAC_ROLE_BIAS].tensor = make_floats(1, &g.k, size);
    if (form % 3 == 2 && output != LAC_I32)
        l->operand[LAC_ROLE_RESIDUAL].tensor = make_floats(l->output.rank, dims, size);
    if (output != LAC_I32)
        l->activation = form % 7 == 6 ? LAC_ACT_SILU : (form & 4) ? LAC_ACT_CLIP : LAC_ACT_NONE;
    l->low = form & 8 ? 0 : (float)(-0.3 * size);
    l->high = form & 8 ? INFINITY : (float)(0.8 * size);
    l->output_scale = (float)(size / (extreme ? 3000 : 100));
    l->output_zero = output == LAC_U8 ? (form & 8 ? 0 : 96) : (form & 8 ? -4 : 0);
    lac_tensor beside = {0};
    if (output == LAC_F32 && form % 4 != 3) {
        lac_dtype type = form & 8 ? LAC_I8 : LAC_U8;
        assert_int_equal(lac_tensor_make(&beside, type, l->output.rank, dims, &err), LAC_OK);
        l->beside = lac_tensor_view(type, l->output.rank, dims, beside.data);
        l->output_zero = type == LAC_U8 ? 18 : -4;
        if (form % 11 == 5)
            l->output_scale = 0x1p-70f;
    }
    run_all(l, &g);
    lac_tensor_release(&beside);
    lac_layer_release(l);
    free(w_scale);
    free(l);
}

static void all_forms(const char *text, int *form)
{
    static const lac_dtype in[] = {LAC_U8, LAC_I8}, out[] = {LAC_U8, LAC_I8, LAC_F32, LAC_I32};
    for (int i = 0; i < 2; i++)
        for (int o = 0; o < 4; o++)
            one_case(text, in[i], out[o], *form += 1);
}

static void windows(void **state)
{
    static const char *const cases[] = {
        "conv:c=3,h=9,w=13,k=33,r=3,s=3,stride=2,pad=1",
        "conv:c=3,h=15,w=15,k=96,r=7,s=7,stride=2",
        "conv:c=16,h=8,w=8,k=16,r=3,s=3,pad=1",
        "conv:c=16,h=8,w=23,k=32,r=3,s=3,pad=1,batch=3",
        "conv:c=1,h=6,w=5,k=1,r=3,s=3,pad=1",
        "conv:c=1,h=1,w=1,k=1,r=1,s=1",
        "conv:c=5,h=6,w=11,k=47,r=5,s=3,pad=2,batch=2",
        "conv:c=4,h=10,w=10,k=8,r=3,s=3,dilation_h=2,dilation_w=2",
        "conv:c=6,h=10,w=10,k=49,r=3,s=2,dilation_w=3,pad=1,stride_w=2",
        "conv:c=8,h=1,w=40,k=12,r=1,s=9,pad_left=4,pad_right=3",
        "conv:c=1,h=49,w=10,k=64,r=10,s=4,stride=2,pad_top=4,pad_bottom=5,pad_left=1,pad_right=1",
        "conv:c=64,h=7,w=7,k=64,r=3,s=3,pad_bottom=1,pad_right=1,stride=2",
        "conv:c=12,h=7,w=9,k=65,r=1,s=1",
        "conv:c=7,h=7,w=9,k=24,r=1,s=1,stride=2",
        "conv:c=9,h=3,w=3,k=80,r=1,s=1,pad=1",
        "conv:c=2,h=2,w=2,k=3,r=2,s=2,pad=3",
        "conv:c=130,h=30,w=6,k=70,r=3,s=3,pad=1"};
    int form = 0;
    (void)state;
    ran_ = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        all_forms(cases[i], &form);
    printf("%d runs\n", ran_);
    assert_true(ran_ >= 17 * 8);
}

static void depthwise(void **state)
{
    static const int channels[] = {2, 15, 16, 17, 24, 32, 33, 48, 63, 64, 65, 96, 144};
    static const char *const rest[] = {
        "h=7,w=7,r=3,s=3,pad=1",  "h=12,w=11,r=3,s=3,stride=2,pad=1,batch=2",
        "h=9,w=6,r=5,s=5,pad=2",  "h=9,w=9,r=3,s=3,dilation_h=2,dilation_w=2,pad=2",
        "h=1,w=17,r=1,s=2",       "h=6,w=8,r=2,s=4,stride_h=2,pad_right=1",
        "h=40,w=33,r=3,s=3,pad=1"};
    int form = 3;
    (void)state;
    ran_ = 0;
    for (size_t i = 0; i < sizeof channels / sizeof *channels; i++)
        for (size_t j = 0; j < sizeof rest / sizeof *rest; j++) {
            char text[160];
            if (j == 6 && i % 4)
                continue;
            snprintf(text, sizeof text, "conv:c=%d,k=%d,groups=%d,%s", channels[i], channels[i],
                     channels[i], rest[j]);
            all_forms(text, &form);
        }
    printf("%d runs\n", ran_);
    assert_true(ran_ >= 13 * 6 * 8);
}

/* Every tile and its neighbours. */
static void products(void **state)
{
    static const int tokens[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 25, 100};
    static const int outputs[] = {1, 15, 16, 17, 32, 40, 48, 64, 65, 130}, k[] = {1, 4, 7, 32, 77};
    int form = 0;
    (void)state;
    ran_ = 0;
    for (int i = 0; i < 14; i++)
        for (int j = 0; j < 10; j++) {
            char text[80];
            snprintf(text, sizeof text, "gemm:m=%d,n=%d,k=%d", tokens[i], outputs[j],
                     k[(i + 2 * j) % 5]);
            one_case(text, form & 1 ? LAC_I8 : LAC_U8,
                     form % 4 == 0   ? LAC_F32
                     : form % 4 == 1 ? LAC_U8
                     : form % 4 == 2 ? LAC_I8
                                     : LAC_I32,
                     form);
            form++;
        }
    printf("%d runs\n", ran_);
    assert_true(ran_ >= 140);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(windows), cmocka_unit_test(depthwise),
                                       cmocka_unit_test(products)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
