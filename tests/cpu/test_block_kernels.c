/* Kernels of int8 weights in blocks and of shared int8 values, every instruction set of this
 * machine: matrices in every layout of activations, windows of convolutions, blocks that the matrix
 * does not divide, codes of every width. Integers equal sums in 64 bits; floats and bytes equal the
 * same steps done one by one, bit for bit. */
#include "core/memory.h"
#include "core/random.h"
#include "cpu/epilogue.h"

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

static int64_t below(int64_t n)
{
    return (int64_t)(lac_random_next(&generator) >> 33) % n;
}

static void check(lac_status status, const lac_error *err)
{
    if (status != LAC_OK)
        fail_msg("%s", err->message);
}

/* A layer, its weights as plain numbers [n][k] in the order of the packed matrix, its activations
 * as rows of a matrix of what each output position sees, [m][k]. */
typedef struct sample {
    const char *text;
    int r, c, keep; /* of 100 blocks */
    int bits;       /* > 0: codes of format codebook instead */
    bool extremes;
    lac_layer layer;
    lac_packed packed;
    int64_t m, n, k;
    int8_t *weights;
    int32_t *seen; /* less the zero point */
    int64_t *sum;
    float *weight_scale, activation_scale;
} sample;

static int8_t weight(const sample *s)
{
    return (int8_t)(s->extremes ? (below(2) ? -128 : 127) : below(256) - 128);
}

static void fill_weights(sample *s)
{
    s->weights = calloc((size_t)(s->n * s->k), 1);
    if (s->bits) {
        int8_t book[256] = {127, -128};
        for (int i = 2; i < 256; i++)
            book[i] = weight(s);
        for (int64_t i = 0; i < s->n * s->k; i++)
            s->weights[i] = book[below(1 << s->bits)];
        return;
    }
    for (int64_t i = 0; i < s->n; i += s->r)
        for (int64_t k = 0; k < s->k; k += s->c)
            if (below(100) < s->keep)
                for (int64_t y = i; y < i + s->r && y < s->n; y++)
                    for (int64_t x = k; x < k + s->c && x < s->k; x++)
                        s->weights[y * s->k + x] = weight(s);
}

static void pack(sample *s, lac_view view, int rank, const int64_t *dims)
{
    char text[64];
    const lac_format *format;
    lac_params params;
    lac_error err = {0};
    lac_tensor matrix = lac_tensor_view(LAC_I8, 2, (int64_t[]){s->n, s->k}, s->weights), tensor;
    if (s->bits)
        snprintf(text, sizeof text, "codebook:bits=%d", s->bits);
    else
        snprintf(text, sizeof text, "block:r=%d,c=%d", s->r, s->c);
    check(lac_format_parse(text, &format, &params, &err), &err);
    check(lac_view_tensor(view, &matrix, rank, dims, &tensor, &err), &err);
    check(lac_pack(&s->packed, format, &params, view, &tensor, &err), &err);
    lac_tensor_release(&tensor);
}

static int64_t dim(const sample *s, const char *name)
{
    return lac_layer_dim_get(&s->layer, name);
}

static void activations(sample *s, lac_dtype dtype, int64_t rows, int64_t features)
{
    lac_error err;
    lac_operand *x = &s->layer.operand[LAC_ROLE_ACTIVATIONS];
    check(lac_tensor_make(&x->tensor, dtype, 2, (int64_t[]){rows, features}, &err), &err);
    for (int64_t i = 0; i < rows * features; i++) {
        int64_t value = s->extremes ? (below(2) ? 255 : 0) : below(256);
        lac_tensor_set(&x->tensor, i, (double)(dtype == LAC_I8 ? value - 128 : value));
    }
    x->zero_point = s->extremes ? 255 - 128 * (dtype == LAC_I8) : 7;
    x->scale = &s->activation_scale;
    x->scale_count = 1;
}

static void see_matrix(sample *s)
{
    const lac_operand *x = &s->layer.operand[LAC_ROLE_ACTIVATIONS];
    for (int64_t i = 0; i < s->m * s->k; i++)
        s->seen[i] = (int32_t)lac_tensor_get(&x->tensor, i) - x->zero_point;
}

/* [batch p q][r s c] */
static void see_windows(sample *s)
{
    const lac_operand *x = &s->layer.operand[LAC_ROLE_ACTIVATIONS];
    int64_t c = dim(s, "c"), h = dim(s, "h"), w = dim(s, "w"), n_r = dim(s, "r"), n_s = dim(s, "s");
    int64_t q = s->layer.output.dims[2], p = s->layer.output.dims[1];
    for (int64_t i = 0; i < s->m; i++)
        for (int64_t k = 0; k < s->k; k++) {
            int64_t y = i / q % p * dim(s, "stride_h") - dim(s, "pad_top") +
                        k / c / n_s * dim(s, "dilation_h");
            int64_t z = i % q * dim(s, "stride_w") - dim(s, "pad_left") +
                        k / c % n_s * dim(s, "dilation_w");
            int64_t at = ((i / q / p * h + y) * w + z) * c + k % c;
            s->seen[i * s->k + k] = y < 0 || y >= h || z < 0 || z >= w
                                        ? 0
                                        : (int32_t)lac_tensor_get(&x->tensor, at) - x->zero_point;
        }
    (void)n_r;
}

static void make(sample *s, lac_dtype dtype)
{
    lac_error err = {0};
    bool conv = strncmp(s->text, "conv", 4) == 0;
    check(lac_layer_parse(&s->layer, s->text, &err), &err);
    s->layer.channels_last = conv;
    s->activation_scale = 0.037f;
    if (conv) {
        int64_t batch = dim(s, "batch"), c = dim(s, "c"), h = dim(s, "h"), w = dim(s, "w");
        int64_t r = dim(s, "r"), n_s = dim(s, "s");
        int64_t p =
            (h + dim(s, "pad_top") + dim(s, "pad_bottom") - dim(s, "dilation_h") * (r - 1) - 1) /
                dim(s, "stride_h") +
            1;
        int64_t q =
            (w + dim(s, "pad_left") + dim(s, "pad_right") - dim(s, "dilation_w") * (n_s - 1) - 1) /
                dim(s, "stride_w") +
            1;
        s->n = dim(s, "k");
        s->k = c * r * n_s;
        s->m = batch * p * q;
        fill_weights(s);
        pack(s, LAC_VIEW_CONV, 4, (int64_t[]){s->n, c, r, n_s});
        activations(s, dtype, batch * h * w, c);
        s->layer.output.dims[1] = p;
        s->layer.output.dims[2] = q;
    } else {
        s->m = dim(s, "m");
        s->n = dim(s, "n");
        s->k = dim(s, "k");
        fill_weights(s);
        pack(s, LAC_VIEW_ROWS, 2, (int64_t[]){s->n, s->k});
        activations(s, dtype, s->m, s->k);
    }
    s->seen = calloc((size_t)(s->m * s->k), sizeof *s->seen);
    s->sum = calloc((size_t)(s->m * s->n), sizeof *s->sum);
    s->weight_scale = calloc((size_t)s->n, sizeof *s->weight_scale);
    if (conv)
        see_windows(s);
    else
        see_matrix(s);
    for (int64_t i = 0; i < s->m; i++)
        for (int64_t n = 0; n < s->n; n++)
            for (int64_t k = 0; k < s->k; k++)
                s->sum[i * s->n + n] += (int64_t)s->seen[i * s->k + k] * s->weights[n * s->k + k];
    lac_operand *w = &s->layer.operand[LAC_ROLE_WEIGHTS];
    w->packed = &s->packed;
    w->scale = s->weight_scale;
    w->scale_count = s->n;
    lac_tensor *bias = &s->layer.operand[LAC_ROLE_BIAS].tensor;
    check(lac_tensor_make(bias, LAC_F32, 1, (int64_t[]){s->n}, &err), &err);
    for (int64_t n = 0; n < s->n; n++) {
        s->weight_scale[n] = 0.001f + 0.0001f * (float)below(100);
        ((float *)bias->data)[n] = (float)(below(4000) - 2000) * 0.001f;
    }
    memset(&s->layer.output, 0, sizeof s->layer.output);
}

static void drop(sample *s)
{
    free(s->weights);
    free(s->seen);
    free(s->sum);
    free(s->weight_scale);
    lac_packed_release(&s->packed);
    lac_layer_release(&s->layer);
}

/* Element (row, feature) of `features` in a layout. */
static int64_t place(lac_layout layout, int64_t features, int64_t row, int64_t feature)
{
    int64_t tile = row / 64, column = row % 64;
    if (layout == LAC_LAYOUT_PANELS)
        return (tile * features + feature) * 64 + column;
    if (layout == LAC_LAYOUT_QUADS)
        return ((tile * ((features + 3) / 4) + feature / 4) * 64 + column) * 4 + feature % 4;
    return row * features + feature;
}

static int64_t room(lac_layout layout, int64_t rows, int64_t features)
{
    return layout == LAC_LAYOUT_ROWS ? rows * features
                                     : (rows + 63) / 64 * 64 * ((features + 3) / 4 * 4);
}

/* What the layer's finish makes of the sums, one step after the other. */
static double finished(const sample *s, int64_t row, int64_t n, lac_dtype dtype, lac_layout layout)
{
    const lac_layer *l = &s->layer;
    int64_t sum = s->sum[row * s->n + n];
    if (dtype == LAC_I32)
        return (double)(int32_t)sum;
    const lac_tensor *residual = &l->operand[LAC_ROLE_RESIDUAL].tensor;
    float least, most;
    lac_layer bytes = *l;
    bytes.output.dtype = dtype;
    if (lac_counts_steps(&bytes, &least, &most)) {
        float step, bias = ((const float *)l->operand[LAC_ROLE_BIAS].tensor.data)[n];
        lac_steps_of(s->activation_scale * s->weight_scale[n], bias, l->output_scale, &step, &bias);
        return (double)nearbyintf(lac_steps((float)(int32_t)sum, step, bias, least, most)) +
               l->output_zero;
    }
    volatile float x = (float)(int32_t)sum, scale = s->activation_scale * s->weight_scale[n];
    x = x * scale;
    x = x + ((const float *)l->operand[LAC_ROLE_BIAS].tensor.data)[n];
    if (residual->data)
        x = x + ((const float *)
                     residual->data)[place(/* floats beside quads stand in panels */
                                           layout == LAC_LAYOUT_QUADS ? LAC_LAYOUT_PANELS : layout,
                                           s->n, row, n)];
    float y = x;
    lac_activate(l->activation, l->low, l->high, 1, &y);
    if (dtype == LAC_F32)
        return (double)y;
    int32_t low = dtype == LAC_I8 ? -128 : 0;
    return lac_quantise(y, l->output_scale, l->output_zero, low, low + 255);
}

static int runs;

static void run(const lac_kernel *kernel, sample *s, lac_layout in, lac_layout out, lac_dtype dtype,
                bool residual)
{
    lac_error err = {0};
    char why[200];
    lac_layer l = s->layer;
    lac_operand *x = &l.operand[LAC_ROLE_ACTIVATIONS];
    bool is_signed = x->tensor.dtype == LAC_I8;
    lac_tensor packed_x = {0}, first, more = {0};
    if (in != LAC_LAYOUT_ROWS) {
        check(
            lac_tensor_make(&packed_x, x->tensor.dtype, 1, (int64_t[]){room(in, s->m, s->k)}, &err),
            &err);
        memset(packed_x.data, 0xa5, lac_tensor_bytes(&packed_x)); /* may hold anything elsewhere */
        for (int64_t i = 0; i < s->m * s->k; i++)
            ((uint8_t *)packed_x.data)[place(in, s->k, i / s->k, i % s->k)] =
                (uint8_t)(((const uint8_t *)x->tensor.data)[i] ^ (is_signed ? 128 : 0));
        x->tensor = packed_x;
    }
    l.input_layout = in;
    l.output_layout = out;
    l.output_scale = below(8) == 0 ? 0x1p-70f : 0.021f + 0.001f * (float)below(50);
    l.output_zero = dtype == LAC_U8 ? (int32_t)below(256) : (int32_t)below(256) - 128;
    l.activation =
        (lac_activation[]){LAC_ACT_NONE, LAC_ACT_CLIP, LAC_ACT_CLIP, LAC_ACT_GELU}[below(4)];
    l.low = below(2) ? 0 : -1.5f;
    l.high = below(2) ? INFINITY : 2.25f;
    check(lac_tensor_make(&l.output, dtype, 1, (int64_t[]){room(out, s->m, s->n)}, &err), &err);
    if (residual) {
        check(lac_tensor_make(&more, LAC_F32, 1, (int64_t[]){room(out, s->m, s->n)}, &err), &err);
        for (int64_t i = 0; i < more.dims[0]; i++)
            ((float *)more.data)[i] = (float)below(1000) * 0.01f - 5;
        l.operand[LAC_ROLE_RESIDUAL].tensor = more;
        l.operand[LAC_ROLE_RESIDUAL].tensor.dims[0] = s->m * s->n; /* as far as the layer counts */
    }
    if (!kernel->can_run(&l, why, sizeof why))
        fail_msg("%s refuses %s: %s", kernel->row.name, s->text, why);
    for (int threads = 1; threads <= 2; threads++) {
        void *state;
        lac_threads_set(threads);
        memset(l.output.data, 0x5a, lac_tensor_bytes(&l.output));
        check(kernel->prepare(&l, &state, &err), &err);
        check(kernel->run(&l, state, &err), &err);
        check(kernel->run(&l, state, &err), &err); /* a state serves many runs */
        kernel->release(state);
        if (threads == 1)
            check(lac_tensor_copy(&first, &l.output, &err), &err);
    }
    s->layer.output_scale = l.output_scale;
    s->layer.output_zero = l.output_zero;
    s->layer.activation = l.activation;
    s->layer.low = l.low;
    s->layer.high = l.high;
    s->layer.operand[LAC_ROLE_RESIDUAL].tensor = l.operand[LAC_ROLE_RESIDUAL].tensor;
    for (int64_t i = 0; i < s->m * s->n; i++) {
        int64_t at = place(out, s->n, i / s->n, i % s->n);
        double want = finished(s, i / s->n, i % s->n, dtype, out);
        double got = lac_tensor_get(&l.output, at), one = lac_tensor_get(&first, at);
        if (out != LAC_LAYOUT_ROWS && dtype == LAC_I8) { /* uint8 with 128 added */
            got = ((const uint8_t *)l.output.data)[at] - 128;
            one = ((const uint8_t *)first.data)[at] - 128;
        }
        /* GELU in vectors may differ in the last place, and so may its rounding */
        double slack = l.activation != LAC_ACT_GELU ? 0
                       : dtype == LAC_F32           ? 1e-6 * (1 + fabs(want))
                                                    : 1;
        if (dtype == LAC_I32)
            slack = 0;
        if (one != got || !(fabs(got - want) <= slack))
            fail_msg("%s, %s, block %dx%d, %d bits, layouts %d %d, output %s: element %d is %.9g, "
                     "want %.9g",
                     kernel->row.name, s->text, s->r, s->c, s->bits, (int)in, (int)out,
                     lac_dtype_name(dtype), (int)i, got, want);
    }
    memset(&s->layer.operand[LAC_ROLE_RESIDUAL].tensor, 0, sizeof(lac_tensor));
    lac_tensor_release(&first);
    lac_tensor_release(&l.output);
    lac_tensor_release(&packed_x);
    lac_tensor_release(&more);
    runs++;
}

static const int sizes[][2] = {{1, 4}, {4, 4}, {16, 4}, {8, 4}, {3, 8}, {64, 32}, {2, 12}, {63, 4}};
static const lac_dtype dtypes[] = {LAC_I32, LAC_F32, LAC_U8, LAC_I8};

static int grid;

static void visit(const lac_kernel *kernel, const char *const *texts, int count)
{
    for (int t = 0; t < count; t++)
        for (int i = 0; i < 8; i++) {
            sample s = {.text = texts[t],
                        .r = sizes[i][0],
                        .c = sizes[i][1],
                        .keep = (int[]){50, 100, 20, 0}[(t + i) % 4],
                        .bits = strcmp(kernel->format, "codebook") == 0 ? (i + t) % 8 + 1 : 0,
                        .extremes = (t + i / 2) % 3 == 0};
            if (thin(&grid, 1, 11))
                continue;
            make(&s, kernel->dtype);
            bool window = strncmp(s.text, "conv", 4) == 0;
            for (int d = 0; d < 4; d++)
                for (int in = 0; in <= 2 && !(window && in); in += 2)
                    for (int out = 0; out < 3 && !(window && out); out++)
                        if (out < 2 || dtypes[d] == LAC_U8 || dtypes[d] == LAC_I8)
                            run(kernel, &s, (lac_layout)in, (lac_layout)out, dtypes[d],
                                dtypes[d] != LAC_I32 && below(3) == 0);
            drop(&s);
        }
}

static void each(const char *kind, const char *const *texts, int count)
{
    lac_error err = {0};
    uint32_t isa;
    int seen = 0;
    check(lac_isa(&isa, &err), &err);
    generator = lac_random_stream(9, 1);
    for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        bool block = strcmp(kernel->format, "block") == 0;
        if ((!block && strcmp(kernel->format, "codebook") != 0) ||
            strcmp(kernel->kind, kind) != 0 || kernel->dtype == LAC_F32)
            continue;
        if (kernel->isa & ~isa) {
            printf("SKIP %s: not on this machine\n", kernel->row.name);
            continue;
        }
        visit(kernel, texts, count);
        seen++;
    }
    assert_true(seen >= 2);
    printf("%d runs\n", runs);
}

static void test_matrices(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "gemm:m=1,n=1,k=1",    "gemm:m=1,n=70,k=130",   "gemm:m=1,n=130,k=516",
        "gemm:m=15,n=17,k=33", "gemm:m=33,n=66,k=64",   "gemm:m=64,n=64,k=100",
        "gemm:m=65,n=31,k=65", "gemm:m=130,n=130,k=72", "gemm:m=66,n=67,k=1541",
        "gemm:m=8,n=65,k=257", "gemm:m=9,n=144,k=31"};
    each("gemm", texts, 11);
}

static void test_windows(void **state)
{
    (void)state;
    static const char *const texts[] = {"conv:c=4,h=7,w=9,k=5,r=3,s=3,pad=1",
                                        "conv:c=8,h=9,w=12,k=18,r=3,s=3,pad=1,stride=2",
                                        "conv:c=4,h=11,w=10,k=7,r=3,s=3,pad=2,dilation=2,batch=2",
                                        "conv:c=12,h=8,w=8,k=65,r=5,s=5,pad=2,stride=2,batch=2",
                                        "conv:c=4,h=5,w=6,k=3,r=1,s=1,stride=2",
                                        "conv:c=4,h=6,w=17,k=9,r=2,s=4",
                                        "conv:c=8,h=1,w=70,k=16,r=1,s=1"};
    each("conv", texts, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrices),
        cmocka_unit_test(test_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
