/* Every kernel of packed weights, walked from the table, against sums in 64-bit integers or
 * doubles: shapes below, at and above the tiles, all kinds of patterns, extremes of 8 bits, every
 * epilogue; one and two threads give the same bits. A kernel that this CPU lacks is skipped loudly.
 */
#include "core/memory.h"
#include "core/random.h"

#include "helpers/thin.h"

#include <lacuna/kernel.h>
#include <lacuna/lacuna.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const int64_t shapes[][3] = {
    /* m, n, k */
    {1, 1, 1},    {1, 16, 64},   {2, 17, 65},   {3, 7, 33},   {4, 8, 16},
    {5, 31, 100}, {7, 15, 31},   {8, 16, 32},   {9, 33, 129}, {17, 48, 200},
    {13, 40, 63}, {33, 65, 257}, {1, 300, 784}, {6, 520, 12},
};
static const int patterns[][2] = {{1, 1},  {1, 2},  {2, 4}, {1, 4},  {2, 8}, {4, 8},
                                  {8, 16}, {1, 16}, {3, 5}, {5, 16}, {7, 32}};
enum { N_SHAPES = sizeof shapes / sizeof *shapes, N_PATTERNS = sizeof patterns / sizeof *patterns };

typedef struct test_case {
    int64_t m, n, k;
    int pattern_n, pattern_m; /* nm */
    int bits;                 /* codebook, eie-csc: of a code */
    lac_dtype weight_dtype;   /* of the unpacked elements */
    lac_dtype output;
    bool extremes; /* 8-bit operands at their limits */
    bool finish;   /* scales, bias, residual */
    int32_t zero_point;
    lac_activation activation;
} test_case;

static lac_random generator;

static double uniform(void)
{
    return (double)(lac_random_next(&generator) >> 11) * 0x1p-53;
}

static int64_t below(int64_t n)
{
    return (int64_t)(uniform() * (double)n);
}

static void check(lac_status status, const lac_error *err)
{
    if (status != LAC_OK)
        fail_msg("%s", err->message);
}

static void make(lac_tensor *tensor, lac_dtype dtype, int64_t rows, int64_t cols)
{
    lac_error err;
    check(lac_tensor_make(tensor, dtype, cols ? 2 : 1, (int64_t[]){rows, cols}, &err), &err);
}

/* Formats with a float scale for each group: integer sums are exact inside a group only. */
static bool has_groups(const char *format)
{
    return strcmp(format, "intq") == 0 || strcmp(format, "bcq") == 0;
}

static int group_of(const test_case *c)
{
    return 32 << c->pattern_m % 3;
}

/* intq: any codes; bcq: any signs, scales in a ratio of more than 2. */
static void fill_groups(lac_tensor *w, const char *format, const test_case *c)
{
    int group = group_of(c), bits = c->bits % 3 + 2, planes = c->bits % 4 + 1;
    for (int64_t i = 0; i < c->n * c->k; i++) {
        int64_t block = i / c->k * 64 + i % c->k / group;
        double scale = 0.0625 * (double)(block % 7 + 1), value = 0;
        int zero = c->pattern_n % 2 ? 1 << (bits - 1) : (int)(block % (1 << bits));
        if (strcmp(format, "intq") == 0) {
            value = c->extremes ? (i % 5 ? (1 << bits) - 1 : 0) : (double)below(1 << bits);
            value = (value - zero) * scale;
        } else {
            /* the largest value of the group and those one sign away are there: a grid that the
             * packer finds */
            for (int p = 0; p < planes; p++) {
                int64_t at = i % c->k % group;
                bool plus = at == 0 || (at <= planes ? at != p + 1 : below(2));
                value += (c->extremes || plus ? 1 : -1) * scale * (double)(1 << 2 * p);
            }
        }
        lac_tensor_set(w, i, value);
    }
}

/* A matrix that the format holds. */
static void fill_weights(lac_tensor *w, const char *format, const test_case *c)
{
    double book[256];
    int64_t codes = INT64_C(1) << c->bits;
    for (int64_t i = 0; i < codes; i++)
        book[i] = c->weight_dtype == LAC_I8 ? (double)(below(255) - 127) : uniform() * 2 - 1;
    make(w, c->weight_dtype, c->n, c->k);
    if (has_groups(format)) {
        fill_groups(w, format, c);
        return;
    }
    for (int64_t n = 0; n < c->n; n++) {
        float scale = 0.01f * (float)(n % 7 + 1);
        for (int64_t group = 0; group < c->k; group += c->pattern_m) {
            int left = c->pattern_n;
            for (int64_t k = group; k < group + c->pattern_m && k < c->k; k++) {
                int64_t rest = group + c->pattern_m - k;
                double value;
                if (strcmp(format, "nm") == 0) {
                    if (below(rest) >= left) /* left of rest: a uniform choice */
                        continue;
                    left--;
                    value = c->weight_dtype == LAC_F32 ? uniform() * 2 - 1
                            : c->extremes ? (double)(int[]){127, -127, -128}[(n + below(2)) % 3]
                                          : (double)(below(256) - 128);
                } else if (strcmp(format, "codebook") == 0) {
                    value = book[below(codes)];
                } else if (strcmp(format, "eie-csc") == 0) {
                    value = uniform() < 0.2 ? book[below(codes - 1)] : 0;
                } else if (strcmp(format, "block") == 0) {
                    if (k % 4 == 0) /* blocks of four, as dense as the pattern */
                        left = below(c->pattern_m) < c->pattern_n;
                    if (!left)
                        continue;
                    value = c->weight_dtype != LAC_I8 ? uniform() * 2 - 1
                            : c->extremes ? (double)(int[]){127, -127, -128}[(n + below(2)) % 3]
                                          : (double)(below(256) - 128);
                } else if (strcmp(format, "csr") == 0) {
                    if (below(c->pattern_m) >= c->pattern_n || n % 11 == 3) /* and empty rows */
                        continue;
                    value = uniform() * 2 - 1;
                } else if (c->weight_dtype == LAC_I8) {
                    if (below(c->pattern_m) >= c->pattern_n)
                        continue;
                    value = c->extremes ? (double)(int[]){127, -127, -128}[(n + below(2)) % 3]
                                        : (double)(below(256) - 128);
                } else {
                    value = scale * (float)(k == 0 ? 127 : below(255) - 127);
                }
                lac_tensor_set(w, n * c->k + k, value);
            }
        }
    }
}

static void fill_activations(lac_tensor *x, lac_dtype dtype, const test_case *c)
{
    make(x, dtype, c->m, c->k);
    for (int64_t i = 0; i < c->m * c->k; i++) {
        double value = uniform() * 2 - 1;
        if (dtype == LAC_F32 && below(3) == 0)
            value = 0;
        if (dtype == LAC_U8)
            value = c->extremes ? 255 : (double)below(256);
        if (dtype == LAC_I8)
            value = c->extremes ? (i / c->k % 2 ? -128 : 127) : (double)(below(256) - 128);
        lac_tensor_set(x, i, value);
    }
}

static double activate(const lac_layer *layer, double x)
{
    switch (layer->activation) {
    case LAC_ACT_CLIP:
        return fmin(fmax(x, (double)layer->low), (double)layer->high);
    case LAC_ACT_GELU:
        return x * (1 + erf(x / sqrt(2))) / 2;
    case LAC_ACT_GELU_TANH:
        return x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x))) / 2;
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

static void compare(const lac_kernel *kernel, const lac_layer *layer, const lac_tensor *w,
                    const test_case *c)
{
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    const lac_operand *weights = &layer->operand[LAC_ROLE_WEIGHTS];
    lac_error err;
    lac_tensor xs, ws;
    check(lac_tensor_convert(&xs, LAC_F64, &x->tensor, &err), &err);
    check(lac_tensor_convert(&ws, LAC_F64, w, &err), &err);
    for (int64_t i = 0; i < c->m * c->n; i++) {
        int64_t m = i / c->n, n = i % c->n;
        const double *a = (const double *)xs.data + m * c->k;
        const double *b = (const double *)ws.data + n * c->k;
        double sum = 0, magnitude = 0; /* exact for 8-bit operands */
        for (int64_t k = 0; k < c->k; k++) {
            double product = (a[k] - x->zero_point) * b[k];
            sum += product;
            magnitude += fabs(product);
        }
        double got = lac_tensor_get(&layer->output, i), want = sum, slack = 0;
        if (c->output != LAC_I32) {
            double scale = (x->scale_count ? (double)x->scale[0] : 1) *
                           (weights->scale_count ? (double)weights->scale[n] : 1);
            want *= scale;
            magnitude *= scale;
            if (c->finish) {
                want += lac_tensor_get(&layer->operand[LAC_ROLE_BIAS].tensor, n);
                want += lac_tensor_get(&layer->operand[LAC_ROLE_RESIDUAL].tensor, i);
                magnitude += fabs(want) + 2;
            }
            want = activate(layer, want);
            slack = 2e-6 * (magnitude + fabs(want)) + 1e-6;
        }
        if (c->output == LAC_I8 || c->output == LAC_U8) {
            double low = c->output == LAC_I8 ? -128 : 0;
            want = nearbyint(want / (double)layer->output_scale) + layer->output_zero;
            want = fmin(fmax(want, low), low + 255);
            slack = 1; /* a value between two steps may fall to either side */
        }
        if (!(fabs(got - want) <= slack))
            fail_msg("%s: m=%d n=%d k=%d, %d:%d, %d bits, activation %d, output %s: element %d is "
                     "%.9g, want %.9g",
                     kernel->row.name, (int)c->m, (int)c->n, (int)c->k, c->pattern_n, c->pattern_m,
                     c->bits, (int)c->activation, lac_dtype_name(c->output), (int)i, got, want);
    }
    lac_tensor_release(&xs);
    lac_tensor_release(&ws);
}

typedef struct built {
    lac_layer layer;
    lac_packed packed;
    lac_tensor weights;
    float *weight_scale, activation_scale;
} built;

static void build(built *b, const lac_kernel *kernel, const test_case *c)
{
    lac_error err = {0};
    char text[128];
    memset(b, 0, sizeof *b);
    bool conv = strcmp(kernel->kind, "conv") == 0;
    if (conv)
        snprintf(text, sizeof text, "conv:c=%d,h=1,w=%d,k=%d,r=1,s=1", (int)c->k, (int)c->m,
                 (int)c->n);
    else
        snprintf(text, sizeof text, "gemm:m=%d,n=%d,k=%d", (int)c->m, (int)c->n, (int)c->k);
    check(lac_layer_parse(&b->layer, text, &err), &err);
    b->layer.channels_last = conv;
    fill_weights(&b->weights, kernel->format, c);

    const lac_format *format;
    lac_params params;
    if (strcmp(kernel->format, "nm") == 0)
        snprintf(text, sizeof text, "nm:n=%d,m=%d", c->pattern_n, c->pattern_m);
    else if (strcmp(kernel->format, "codebook") == 0)
        snprintf(text, sizeof text, "codebook:bits=%d", c->bits);
    else if (strcmp(kernel->format, "eie-csc") == 0)
        snprintf(text, sizeof text, "eie-csc:pe=%d,code_bits=%d,index_bits=%d", c->pattern_m,
                 c->bits, c->pattern_n % 5 + 1);
    else if (strcmp(kernel->format, "intq") == 0)
        snprintf(text, sizeof text, "intq:bits=%d,group=%d,zero=%s", c->bits % 3 + 2, group_of(c),
                 c->pattern_n % 2 ? "middle" : "stored");
    else if (strcmp(kernel->format, "bcq") == 0)
        snprintf(text, sizeof text, "bcq:planes=%d,group=%d", c->bits % 4 + 1, group_of(c));
    else if (strcmp(kernel->format, "block") == 0)
        snprintf(text, sizeof text, "block:r=%d,c=%d",
                 (int[]){1, 4, 16, 8, 3, 2, 64, 32}[c->bits - 1],
                 kernel->dtype == LAC_F32 ? 1
                 : c->pattern_n % 3 == 0  ? 8
                                          : 4);
    else
        snprintf(text, sizeof text, "%s", kernel->format);
    check(lac_format_parse(text, &format, &params, &err), &err);
    lac_tensor shaped = b->weights;
    if (conv) {
        shaped.rank = 4;
        shaped.dims[2] = shaped.dims[3] = 1;
    }
    check(
        lac_pack(&b->packed, format, &params, conv ? LAC_VIEW_CONV : LAC_VIEW_ROWS, &shaped, &err),
        &err);

    lac_operand *w = &b->layer.operand[LAC_ROLE_WEIGHTS];
    lac_operand *x = &b->layer.operand[LAC_ROLE_ACTIVATIONS];
    w->packed = &b->packed;
    fill_activations(&x->tensor, kernel->dtype, c);
    if (kernel->dtype != LAC_F32)
        x->zero_point = c->zero_point;
    make(&b->layer.output, c->output, c->m, c->n);
    b->layer.activation = c->activation;
    b->layer.low = -0.25f;
    b->layer.high = INFINITY;
    b->layer.output_scale = 0.05f;
    b->layer.output_zero = c->output == LAC_U8 ? 100 : -3;
    if (!c->finish)
        return;
    b->weight_scale = malloc((size_t)c->n * sizeof(float));
    for (int64_t n = 0; n < c->n; n++)
        b->weight_scale[n] = (float)(uniform() * 0.01 + 0.001);
    w->scale = b->weight_scale;
    w->scale_count = c->n;
    if (kernel->dtype != LAC_F32) {
        b->activation_scale = 0.037f;
        x->scale = &b->activation_scale;
        x->scale_count = 1;
    }
    make(&b->layer.operand[LAC_ROLE_BIAS].tensor, LAC_F32, c->n, 0);
    make(&b->layer.operand[LAC_ROLE_RESIDUAL].tensor, LAC_F32, c->m, c->n);
    for (int64_t n = 0; n < c->n; n++)
        lac_tensor_set(&b->layer.operand[LAC_ROLE_BIAS].tensor, n, uniform() * 4 - 2);
    for (int64_t i = 0; i < c->m * c->n; i++)
        lac_tensor_set(&b->layer.operand[LAC_ROLE_RESIDUAL].tensor, i, uniform() * 4 - 2);
}

static void unbuild(built *b)
{
    free(b->weight_scale);
    lac_packed_release(&b->packed);
    lac_tensor_release(&b->weights);
    lac_layer_release(&b->layer);
}

static int cases_run;

static void run_case(const lac_kernel *kernel, const test_case *c)
{
    lac_error err = {0};
    char why[200] = "";
    built b;
    void *state;
    lac_tensor first;
    build(&b, kernel, c);
    if (!kernel->can_run(&b.layer, why, sizeof why))
        fail_msg("%s refuses m=%d n=%d k=%d: %s", kernel->row.name, (int)c->m, (int)c->n, (int)c->k,
                 why);
    double cost = kernel->cost(&b.layer);
    assert_true(cost > 0 && cost < 1);
    lac_threads_set(1);
    check(kernel->prepare(&b.layer, &state, &err), &err);
    assert_true(kernel->state_bytes(state) > 0);
    check(kernel->run(&b.layer, state, &err), &err);
    compare(kernel, &b.layer, &b.weights, c);
    check(lac_tensor_copy(&first, &b.layer.output, &err), &err);
    lac_threads_set(2);
    memset(b.layer.output.data, 0x5a, lac_tensor_bytes(&b.layer.output));
    check(kernel->run(&b.layer, state, &err), &err);
    assert_memory_equal(first.data, b.layer.output.data, lac_tensor_bytes(&first));
    lac_tensor_release(&first);
    kernel->release(state);
    unbuild(&b);
    cases_run++;
}

/* Calls visit for each kernel of packed weights that this machine runs. */
static void each_kernel(void (*visit)(const lac_kernel *kernel))
{
    lac_error err = {0};
    uint32_t isa;
    char text[64];
    int seen = 0;
    check(lac_isa(&isa, &err), &err);
    generator = lac_random_stream(8, 1);
    for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        if (strcmp(kernel->format, "dense") == 0 ||
            (strcmp(kernel->kind, "gemm") != 0 && strcmp(kernel->kind, "conv") != 0))
            continue;
        if (kernel->isa & ~isa) {
            printf("SKIP %s: this machine has no %s\n", kernel->row.name,
                   lac_isa_text(kernel->isa & ~isa, text, sizeof text));
        } else if (!lac_table_find(&lac_formats, kernel->format)) {
            printf("SKIP %s: no format %s in this build\n", kernel->row.name, kernel->format);
        } else {
            visit(kernel);
            seen++;
        }
    }
    assert_true(seen >= 10);
}

static test_case plain_case(const lac_kernel *kernel, int shape, int pattern)
{
    test_case c = {.m = shapes[shape][0],
                   .n = shapes[shape][1],
                   .k = shapes[shape][2],
                   .pattern_n = patterns[pattern][0],
                   .pattern_m = patterns[pattern][1],
                   .bits = pattern % 8 + 1,
                   .weight_dtype = kernel->dtype == LAC_F32 ? LAC_F32 : LAC_I8,
                   .output = kernel->dtype == LAC_F32 ? LAC_F32 : LAC_I32};
    if (has_groups(kernel->format))
        c.weight_dtype = c.output = LAC_F32;
    return c;
}

static int grid;

static void visit_shapes(const lac_kernel *kernel)
{
    for (int s = 0; s < N_SHAPES; s++)
        for (int p = 0; p < N_PATTERNS; p++) {
            if (thin(&grid, 3, 17))
                continue;
            test_case c = plain_case(kernel, s, p);
            run_case(kernel, &c);
            c.extremes = true; /* saturation would show */
            c.zero_point = kernel->dtype == LAC_U8 ? 128 : -5;
            if (kernel->dtype != LAC_F32)
                run_case(kernel, &c);
        }
}

static void test_shapes(void **unused)
{
    (void)unused;
    each_kernel(visit_shapes);
    printf("%d cases\n", cases_run);
}

static void visit_epilogues(const lac_kernel *kernel)
{
    static const lac_dtype outputs[] = {LAC_F32, LAC_I8, LAC_U8};
    for (int s = 0; s < N_SHAPES; s += 3)
        for (int a = LAC_ACT_NONE; a <= LAC_ACT_SILU; a++)
            for (int o = 0; o < 3; o++) {
                if (thin(&grid, 2, 11))
                    continue;
                test_case c = plain_case(kernel, s, (s + a + o) % N_PATTERNS);
                c.output = outputs[o];
                c.activation = (lac_activation)a;
                c.finish = true;
                c.zero_point = 7;
                run_case(kernel, &c);
            }
}

static void test_epilogues(void **unused)
{
    (void)unused;
    each_kernel(visit_epilogues);
    printf("%d cases\n", cases_run);
}

/* Float activations with integers packed: the scale turns them into weights. */
static void visit_weight_only(const lac_kernel *kernel)
{
    if (kernel->dtype != LAC_F32 || strcmp(kernel->format, "int8") == 0 ||
        strcmp(kernel->format, "csr") == 0 || strcmp(kernel->format, "block") == 0 ||
        has_groups(kernel->format))
        return; /* these hold other types, or their kernels take floats only */
    for (int s = 0; s < N_SHAPES; s += 2) {
        test_case c = plain_case(kernel, s, s % N_PATTERNS);
        c.weight_dtype = LAC_I8;
        c.finish = true;
        run_case(kernel, &c);
    }
}

static void test_weight_only(void **unused)
{
    (void)unused;
    each_kernel(visit_weight_only);
}

static void expect_refusal(const lac_kernel *kernel, const lac_layer *layer, const char *part)
{
    char why[200] = "";
    assert_false(kernel->can_run(layer, why, sizeof why));
    if (!strstr(why, part))
        fail_msg("%s: '%s' does not say '%s'", kernel->row.name, why, part);
}

static void visit_refusals(const lac_kernel *kernel)
{
    lac_error err = {0};
    built b;
    test_case c = plain_case(kernel, 4, 2);
    c.finish = true;
    c.output = LAC_F32;
    build(&b, kernel, &c);
    lac_layer bad = b.layer;
    bad.operand[LAC_ROLE_WEIGHTS].packed = NULL;
    expect_refusal(kernel, &bad, "not packed");
    bad = b.layer;
    check(lac_layer_dim_set(&bad, strcmp(kernel->kind, "conv") == 0 ? "c" : "k", 17, &err), &err);
    expect_refusal(kernel, &bad, "packed weights are 8 x 16, the layer has 8 x 17");
    bad = b.layer;
    bad.operand[LAC_ROLE_BIAS].tensor.dtype = LAC_F16;
    expect_refusal(kernel, &bad, "bias");
    bad = b.layer;
    bad.operand[LAC_ROLE_RESIDUAL].tensor.dims[0]--;
    expect_refusal(kernel, &bad, "residual");
    bad = b.layer;
    bad.operand[LAC_ROLE_WEIGHTS].zero_point = 1;
    expect_refusal(kernel, &bad, "zero point");
    bad = b.layer;
    bad.operand[LAC_ROLE_WEIGHTS].scale_count = 3;
    expect_refusal(kernel, &bad, "scales");
    bad = b.layer;
    bad.operand[LAC_ROLE_ACTIVATIONS].scale_count = 2;
    expect_refusal(kernel, &bad, "scale");
    bad = b.layer;
    bad.output.dtype = LAC_F64;
    expect_refusal(kernel, &bad, "output is float64");
    lac_packed half = b.packed;
    half.dtype = LAC_F16;
    bad = b.layer;
    bad.operand[LAC_ROLE_WEIGHTS].packed = &half;
    expect_refusal(kernel, &bad, "packed weights are float16");
    if (strcmp(kernel->kind, "conv") == 0 && !kernel->reads) { /* those of panels take windows */
        bad = b.layer;
        check(lac_layer_dim_set(&bad, "stride_w", 2, &err), &err);
        if (strcmp(kernel->format, "nm") != 0) /* takes any stride: tests/cpu/test_nm.c */
            expect_refusal(kernel, &bad, "stride_w is 2, only 1");
        bad = b.layer;
        bad.channels_last = false;
        expect_refusal(kernel, &bad, "channels are not last");
    }
    unbuild(&b);
}

static void test_refusals(void **unused)
{
    (void)unused;
    each_kernel(visit_refusals);
}

/* Every allocation of prepare may fail; damaged fields are refused before they are read. */
static void visit_failures(const lac_kernel *kernel)
{
    lac_error err = {0};
    built b;
    test_case c = plain_case(kernel, 5, 2);
    build(&b, kernel, &c);
    lac_status status = LAC_ERROR_MEMORY;
    for (int64_t n = 0; status != LAC_OK; n++) {
        void *state = NULL;
        assert_true(n < 100);
        lac_alloc_fail_after(n);
        status = kernel->prepare(&b.layer, &state, &err);
        lac_alloc_fail_after(-1);
        if (status == LAC_OK)
            kernel->release(state);
        else
            assert_int_equal(status, LAC_ERROR_MEMORY);
    }
    void *state = NULL;
    b.packed.field[0].dims[0]--;
    assert_int_equal(kernel->prepare(&b.layer, &state, &err), LAC_ERROR_INPUT);
    b.packed.field[0].dims[0]++;
    kernel->release(NULL);
    unbuild(&b);
}

static void test_failures(void **unused)
{
    (void)unused;
    each_kernel(visit_failures);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),      cmocka_unit_test(test_epilogues),
        cmocka_unit_test(test_weight_only), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
