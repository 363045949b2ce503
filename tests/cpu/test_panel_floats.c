/* Float kernels of columns side by side beyond what test_packed_kernels walks: panels in and out,
 * sizes around strips, blocks of columns and panels, windows of convolutions. Every result against
 * sums in doubles; one and two threads give the same bits. */
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

static lac_random generator;
static int cases_run;

static double uniform(void)
{
    return (double)(lac_random_next(&generator) >> 11) * 0x1p-53;
}

static void check(lac_status status, const lac_error *err)
{
    if (status != LAC_OK)
        fail_msg("%s", err->message);
}

static void make(lac_tensor *tensor, lac_dtype dtype, int rank, const int64_t *dims)
{
    lac_error err;
    check(lac_tensor_make(tensor, dtype, rank, dims, &err), &err);
}

/* Calls visit for each float kernel of `kind` that takes panels and that this machine runs. */
static void each_kernel(const char *kind, void (*visit)(const lac_kernel *kernel))
{
    lac_error err = {0};
    uint32_t isa;
    char text[64];
    int seen = 0;
    check(lac_isa(&isa, &err), &err);
    generator = lac_random_stream(9, 1);
    cases_run = 0;
    for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        if (kernel->dtype != LAC_F32 || !(kernel->reads & LAC_BIT(LAC_LAYOUT_PANELS)) ||
            strcmp(kernel->kind, kind) != 0 || strcmp(kernel->format, "nm") == 0)
            continue;
        if (kernel->isa & ~isa) {
            printf("SKIP %s: this machine has no %s\n", kernel->row.name,
                   lac_isa_text(kernel->isa & ~isa, text, sizeof text));
            continue;
        }
        visit(kernel);
        seen++;
    }
    assert_true(seen >= 2);
    printf("%d cases\n", cases_run);
}

typedef struct built {
    lac_layer layer;
    lac_packed packed;
    lac_tensor weights;          /* as the kind has them */
    void *field[LAC_MAX_FIELDS]; /* exact in size, so that sanitizers see what lies outside */
    int64_t m, n, k;
    float scale[1024];
} built;

static void tighten(built *b)
{
    for (int i = 0; b->packed.format->fields[i].name; i++) {
        lac_tensor *field = &b->packed.field[i];
        size_t bytes = lac_tensor_bytes(field);
        b->field[i] = malloc(bytes);
        memcpy(b->field[i], field->data, bytes);
        lac_tensor view = lac_tensor_view(field->dtype, 1, field->dims, b->field[i]);
        lac_tensor_release(field);
        *field = view;
    }
}

/* A value that the format holds: of 2^bits floats, of a grid of 127 steps, or any. */
static float value(const char *format, double density, int64_t column)
{
    int bits = 0;
    if (sscanf(format, "codebook:bits=%d", &bits) == 1)
        return (float)(lac_random_next(&generator) >> 33 & ((1u << bits) - 1)) * 0.07f - 1;
    if (strcmp(format, "int8") == 0)
        return 0.01f * (float)(column ? (int)(uniform() * 255) - 127 : 127);
    return uniform() < density ? (float)(uniform() * 2 - 1) : 0;
}

/* Weights of `density`, packed; activations; scale, bias, residual with `finish`. */
static void build(built *b, const lac_kernel *kernel, const char *layer, const char *format,
                  double density, bool finish)
{
    lac_error err = {0};
    lac_params params;
    const lac_format *row;
    memset(b, 0, sizeof *b);
    check(lac_layer_parse(&b->layer, layer, &err), &err);
    lac_operand *w = &b->layer.operand[LAC_ROLE_WEIGHTS];
    lac_tensor *x = &b->layer.operand[LAC_ROLE_ACTIVATIONS].tensor;
    bool conv = strcmp(kernel->kind, "conv") == 0;
    int64_t dims[4] = {0};
    const char *const names[] = {"k", "c", "r", "s"};
    if (conv) {
        for (int i = 0; i < 4; i++)
            dims[i] = lac_layer_dim_get(&b->layer, names[i]);
        b->n = dims[0];
        b->k = dims[1] * dims[2] * dims[3];
        b->layer.channels_last = true;
    } else {
        b->m = lac_layer_dim_get(&b->layer, "m");
        b->n = dims[0] = lac_layer_dim_get(&b->layer, "n");
        b->k = dims[1] = lac_layer_dim_get(&b->layer, "k");
    }
    make(&b->weights, LAC_F32, conv ? 4 : 2, dims);
    for (int64_t i = 0; i < b->n * b->k; i++)
        ((float *)b->weights.data)[i] = value(format, density, i % b->k);
    check(lac_format_parse(format, &row, &params, &err), &err);
    check(
        lac_pack(&b->packed, row, &params, conv ? LAC_VIEW_CONV : LAC_VIEW_ROWS, &b->weights, &err),
        &err);
    tighten(b);
    w->packed = &b->packed;
    if (conv)
        make(x, LAC_F32, 4,
             (int64_t[]){lac_layer_dim_get(&b->layer, "batch"), lac_layer_dim_get(&b->layer, "h"),
                         lac_layer_dim_get(&b->layer, "w"), dims[1]});
    else
        make(x, LAC_F32, 2, (int64_t[]){b->m, b->k});
    for (int64_t i = 0; i < lac_tensor_count(x); i++)
        ((float *)x->data)[i] = (float)(uniform() * 2 - 1);
    if (!finish)
        return;
    for (int64_t i = 0; i < b->n; i++)
        b->scale[i] = (float)(uniform() + 0.5);
    w->scale = b->scale;
    w->scale_count = b->n;
    make(&b->layer.operand[LAC_ROLE_BIAS].tensor, LAC_F32, 1, &b->n);
    for (int64_t i = 0; i < b->n; i++)
        lac_tensor_set(&b->layer.operand[LAC_ROLE_BIAS].tensor, i, uniform() * 4 - 2);
}

static void unbuild(built *b)
{
    lac_packed_release(&b->packed);
    for (int i = 0; i < LAC_MAX_FIELDS; i++)
        free(b->field[i]);
    lac_tensor_release(&b->weights);
    lac_layer_release(&b->layer);
}

static int64_t place(lac_layout layout, int64_t features, int64_t token, int64_t feature)
{
    if (layout == LAC_LAYOUT_PANELS)
        return (token / 64 * features + feature) * 64 + token % 64;
    if (layout == LAC_LAYOUT_QUADS)
        return (token / 64 * ((features + 3) / 4) + feature / 4) * 256 + token % 64 * 4 +
               feature % 4;
    return token * features + feature;
}

/* Prepares and runs with one thread and with two. */
static void run(const lac_kernel *kernel, built *b)
{
    lac_layer *layer = &b->layer;
    size_t size = (size_t)lac_dtype_bits(layer->output.dtype) / 8;
    lac_error err = {0};
    char why[200] = "";
    void *state;
    lac_tensor first;
    if (!kernel->can_run(layer, why, sizeof why))
        fail_msg("%s refuses: %s", kernel->row.name, why);
    assert_true(kernel->cost(layer) > 0);
    lac_threads_set(1);
    check(kernel->prepare(layer, &state, &err), &err);
    check(kernel->run(layer, state, &err), &err);
    check(lac_tensor_copy(&first, &layer->output, &err), &err);
    lac_threads_set(2);
    check(kernel->run(layer, state, &err), &err);
    for (int64_t i = 0; i < b->m * b->n; i++) { /* places past the last may hold anything */
        int64_t at = place(layer->output_layout, b->n, i / b->n, i % b->n);
        assert_memory_equal((const char *)first.data + (size_t)at * size,
                            (const char *)layer->output.data + (size_t)at * size, size);
    }
    lac_tensor_release(&first);
    kernel->release(state);
    cases_run++;
}

/* Rows [tokens][features] of floats in another layout; what lies outside is NaN. */
static void arrange(lac_tensor *tensor, lac_layout layout, int64_t tokens, int64_t features)
{
    lac_tensor to;
    if (layout == LAC_LAYOUT_ROWS)
        return;
    make(&to, LAC_F32, 2, (int64_t[]){tokens, features});
    memcpy(to.data, tensor->data, lac_tensor_bytes(&to));
    lac_tensor_release(tensor);
    make(tensor, LAC_F32, 2, (int64_t[]){(tokens + 63) / 64 * 64, features});
    for (int64_t i = 0; i < lac_tensor_count(tensor); i++)
        ((float *)tensor->data)[i] = NAN;
    for (int64_t t = 0; t < tokens; t++)
        for (int64_t f = 0; f < features; f++)
            ((float *)tensor->data)[place(layout, features, t, f)] =
                ((float *)to.data)[t * features + f];
    lac_tensor_release(&to);
}

static void compare_gemm(const lac_kernel *kernel, const built *b, const lac_tensor *x,
                         const lac_tensor *residual)
{
    const lac_layer *layer = &b->layer;
    const lac_tensor *bias = &layer->operand[LAC_ROLE_BIAS].tensor;
    for (int64_t t = 0; t < b->m; t++)
        for (int64_t n = 0; n < b->n; n++) {
            double sum = 0, magnitude = 1, scale = bias->data ? (double)b->scale[n] : 1;
            const float *w = (const float *)b->weights.data + n * b->k;
            for (int64_t k = 0; k < b->k; k++) {
                double product = (double)w[k] * (double)((const float *)x->data)[t * b->k + k];
                sum += product;
                magnitude += fabs(product);
            }
            double want = sum * scale, slack = 3e-6 * magnitude * scale;
            if (bias->data)
                want += (double)((const float *)bias->data)[n];
            if (residual->data)
                want += (double)((const float *)residual->data)[t * b->n + n];
            if (layer->activation == LAC_ACT_CLIP)
                want = fmax(want, 0);
            int64_t at = place(layer->output_layout, b->n, t, n);
            double got;
            if (layer->output.dtype == LAC_F32) {
                got = (double)((const float *)layer->output.data)[at];
            } else { /* bytes; int8 stands in panels and quads with 128 added */
                uint8_t byte = ((const uint8_t *)layer->output.data)[at];
                bool is_signed = layer->output.dtype == LAC_I8;
                double low = is_signed ? -128 : 0;
                want = nearbyint(want / (double)layer->output_scale) + layer->output_zero;
                want = fmin(fmax(want, low), low + 255);
                got = !is_signed                                ? byte
                      : layer->output_layout == LAC_LAYOUT_ROWS ? (double)(int8_t)byte
                                                                : (double)byte - 128;
                slack = 1;
            }
            if (!(fabs(got - want) <= slack))
                fail_msg("%s: m=%d n=%d k=%d, layouts %d and %d, output %s: token %d, output %d "
                         "is %.9g, want %.9g",
                         kernel->row.name, (int)b->m, (int)b->n, (int)b->k,
                         (int)layer->input_layout, (int)layer->output_layout,
                         lac_dtype_name(layer->output.dtype), (int)t, (int)n, got, want);
        }
}

static void gemm_case(const lac_kernel *kernel, const int64_t *size, const char *format,
                      double density, int variant)
{
    built b;
    char text[96];
    lac_tensor x, residual = {0};
    lac_error err;
    static const lac_dtype outputs[] = {LAC_F32, LAC_F32, LAC_F32, LAC_U8, LAC_I8};
    bool finish = variant % 3 == 1;
    snprintf(text, sizeof text, "gemm:m=%d,n=%d,k=%d", (int)size[0], (int)size[1], (int)size[2]);
    build(&b, kernel, text, format, density, finish);
    b.layer.input_layout = variant & 1 ? LAC_LAYOUT_ROWS : LAC_LAYOUT_PANELS;
    b.layer.output_layout = variant & 2 ? LAC_LAYOUT_ROWS : LAC_LAYOUT_PANELS;
    lac_dtype dtype = outputs[variant % 5];
    if (dtype != LAC_F32 && variant & 4 && b.layer.output_layout == LAC_LAYOUT_PANELS)
        b.layer.output_layout = LAC_LAYOUT_QUADS;
    if (variant % 4 == 0) {
        b.layer.activation = LAC_ACT_CLIP;
        b.layer.high = INFINITY;
    }
    b.layer.output_scale = 0.03f;
    b.layer.output_zero = dtype == LAC_U8 ? 100 : -3;
    lac_tensor *in = &b.layer.operand[LAC_ROLE_ACTIVATIONS].tensor;
    check(lac_tensor_copy(&x, in, &err), &err);
    arrange(in, b.layer.input_layout, b.m, b.k);
    if (finish && variant & 8 && b.layer.output_layout == LAC_LAYOUT_ROWS) {
        lac_tensor *r = &b.layer.operand[LAC_ROLE_RESIDUAL].tensor;
        make(r, LAC_F32, 2, (int64_t[]){b.m, b.n});
        for (int64_t i = 0; i < b.m * b.n; i++)
            ((float *)r->data)[i] = (float)(uniform() * 2 - 1);
        residual = *r;
    }
    make(&b.layer.output, dtype, 2, (int64_t[]){(b.m + 63) / 64 * 64, (b.n + 3) / 4 * 4});
    memset(b.layer.output.data, 0x5a, lac_tensor_bytes(&b.layer.output));
    run(kernel, &b);
    compare_gemm(kernel, &b, &x, &residual);
    lac_tensor_release(&x);
    unbuild(&b);
}

/* A form of the kernel's format. */
static const char *form(const lac_kernel *kernel, int i)
{
    static const char *const blocks[] = {"block:r=16,c=1", "block:r=4,c=1",  "block:r=8,c=1",
                                         "block:r=32,c=1", "block:r=13,c=1", "block:r=1,c=1"};
    static const char *const books[] = {"codebook:bits=4", "codebook:bits=1", "codebook:bits=5",
                                        "codebook:bits=2", "codebook:bits=6", "codebook:bits=3",
                                        "codebook:bits=8", "codebook:bits=7"};
    return strcmp(kernel->format, "block") == 0      ? blocks[i % 6]
           : strcmp(kernel->format, "codebook") == 0 ? books[i % 8]
                                                     : kernel->format;
}

static void visit_gemm(const lac_kernel *kernel)
{
    static const int64_t sizes[][3] = {{1, 1, 1},      {1, 257, 200},  {1, 300, 385},
                                       {3, 255, 127},  {16, 256, 128}, {17, 257, 129},
                                       {33, 40, 384},  {48, 64, 192},  {63, 128, 193},
                                       {64, 129, 256}, {65, 512, 90},  {130, 33, 391}};
    static const double densities[] = {0, 0.02, 0.1, 0.3, 0.9, 1};
    int variant = 0;
    static int grid;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
        for (int d = 0; d < 6; d++)
            for (int i = 0; i < 4; i++, variant += 7)
                if (!thin(&grid, 1, 7))
                    gemm_case(kernel, sizes[s], form(kernel, d + i + (int)s), densities[d],
                              variant % 120);
}

static void test_gemm(void **unused)
{
    (void)unused;
    each_kernel("gemm", visit_gemm);
}

static int64_t dim(const built *b, const char *name)
{
    return lac_layer_dim_get(&b->layer, name);
}

static void compare_conv(const lac_kernel *kernel, const built *b, const char *text, int64_t p,
                         int64_t q)
{
    int64_t batch = dim(b, "batch"), c = dim(b, "c"), h = dim(b, "h"), w = dim(b, "w");
    int64_t r = dim(b, "r"), s = dim(b, "s"), n = b->n;
    const float *x = b->layer.operand[LAC_ROLE_ACTIVATIONS].tensor.data;
    const float *weights = b->weights.data, *y = b->layer.output.data;
    for (int64_t i = 0; i < batch * p * q * n; i++) {
        int64_t out = i % n, column = i / n % q, row = i / n / q % p, image = i / n / q / p;
        double want = 0, magnitude = 1;
        for (int64_t tap = 0; tap < r * s; tap++) {
            int64_t iy =
                row * dim(b, "stride_h") - dim(b, "pad_top") + tap / s * dim(b, "dilation_h");
            int64_t ix =
                column * dim(b, "stride_w") - dim(b, "pad_left") + tap % s * dim(b, "dilation_w");
            if (iy < 0 || iy >= h || ix < 0 || ix >= w)
                continue;
            for (int64_t ch = 0; ch < c; ch++) {
                double product = (double)x[((image * h + iy) * w + ix) * c + ch] *
                                 (double)weights[(out * c + ch) * r * s + tap];
                want += product;
                magnitude += fabs(product);
            }
        }
        if (b->layer.operand[LAC_ROLE_BIAS].tensor.data) {
            want = want * (double)b->scale[out] +
                   lac_tensor_get(&b->layer.operand[LAC_ROLE_BIAS].tensor, out);
            magnitude *= 2;
        }
        if (!(fabs((double)y[i] - want) <= 3e-6 * magnitude))
            fail_msg("%s %s: image %d, row %d, column %d, output %d is %.9g, want %.9g",
                     kernel->row.name, text, (int)image, (int)row, (int)column, (int)out,
                     (double)y[i], want);
    }
}

static void visit_conv(const lac_kernel *kernel)
{
    static const char *const layers[] = {
        "conv:c=5,h=9,w=11,k=7,r=3,s=3,pad=1",
        "conv:c=17,h=8,w=8,k=33,r=3,s=3,pad=1,batch=2",
        "conv:c=3,h=15,w=13,k=19,r=3,s=3,pad=1,stride=2,batch=2",
        "conv:c=6,h=17,w=16,k=5,r=3,s=3,pad=2,dilation=2",
        "conv:c=4,h=23,w=23,k=9,r=7,s=7,pad=3,stride=2",
        "conv:c=9,h=12,w=10,k=300,r=1,s=1,stride=2,batch=3",
        "conv:c=2,h=20,w=31,k=6,r=5,s=3,pad_top=2,pad_left=0,pad_bottom=1,pad_right=2,stride_h=3,"
        "stride_w=2,dilation_h=1,dilation_w=3,batch=2",
        "conv:c=70,h=6,w=6,k=20,r=3,s=3",
        "conv:c=1,h=3,w=3,k=1,r=3,s=3",
    };
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        for (int d = 0; d < 3; d++) {
            built b;
            build(&b, kernel, layers[i], form(kernel, d), (double[]){0.05, 0.4, 1}[d], d == 2);
            int64_t window_h = (dim(&b, "r") - 1) * dim(&b, "dilation_h") + 1;
            int64_t window_w = (dim(&b, "s") - 1) * dim(&b, "dilation_w") + 1;
            int64_t p = (dim(&b, "h") + dim(&b, "pad_top") + dim(&b, "pad_bottom") - window_h) /
                            dim(&b, "stride_h") +
                        1;
            int64_t q = (dim(&b, "w") + dim(&b, "pad_left") + dim(&b, "pad_right") - window_w) /
                            dim(&b, "stride_w") +
                        1;
            b.m = dim(&b, "batch") * p * q;
            make(&b.layer.output, LAC_F32, 2, (int64_t[]){b.m, b.n});
            run(kernel, &b);
            compare_conv(kernel, &b, layers[i], p, q);
            unbuild(&b);
        }
}

static void test_conv(void **unused)
{
    (void)unused;
    each_kernel("conv", visit_conv);
}

static void test_refusals(void **unused)
{
    (void)unused;
    built b;
    char why[200] = "";
    const lac_kernel *kernel =
        (const lac_kernel *)lac_table_find(&lac_kernels, "gemm_block_f32_ref");
    build(&b, kernel, "gemm:m=2,n=8,k=8", "block:r=4,c=4", 1, false);
    make(&b.layer.output, LAC_F32, 2, (int64_t[]){2, 8});
    assert_false(kernel->can_run(&b.layer, why, sizeof why));
    assert_string_equal(why, "blocks are 4 columns wide, only 1");
    unbuild(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
