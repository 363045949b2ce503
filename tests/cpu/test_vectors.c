/* Kernels of column vectors and byte distances beyond what test_packed_kernels.c walks: vectors of
 * every length and width at the extremes, convolutions with windows, panels in and out; products at
 * chosen places, and their softmax. Exact against 64 bits modulo 2^32; one and two threads. */
#include "core/random.h"
#include "cpu/sddmm.h"

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

/* Runs with one and two threads; the same bits. */
static void run_twice(const lac_kernel *kernel, lac_layer *layer)
{
    lac_error err;
    char why[200];
    void *state;
    lac_tensor first;
    if (!kernel->can_run(layer, why, sizeof why))
        fail_msg("%s: %s", kernel->row.name, why);
    double cost = kernel->cost(layer);
    assert_true(cost > 0 && cost < 1);
    check(kernel->prepare(layer, &state, &err), &err);
    lac_threads_set(2);
    memset(layer->output.data, 0x3c, lac_tensor_bytes(&layer->output));
    check(kernel->run(layer, state, &err), &err);
    check(lac_tensor_copy(&first, &layer->output, &err), &err);
    lac_threads_set(1);
    memset(layer->output.data, 0xa5, lac_tensor_bytes(&layer->output));
    check(kernel->run(layer, state, &err), &err);
    assert_memory_equal(first.data, layer->output.data, lac_tensor_bytes(&first));
    lac_tensor_release(&first);
    kernel->release(state);
}

typedef void visitor(const lac_kernel *kernel);

static int each_kernel(const char *kind, const char *format, visitor *visit)
{
    lac_error err;
    uint32_t isa;
    int seen = 0;
    check(lac_isa(&isa, &err), &err);
    generator = lac_random_stream(3, 7);
    for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        char text[64];
        if (strcmp(kernel->kind, kind) != 0 || strcmp(kernel->format, format) != 0)
            continue;
        if (kernel->isa & ~isa) {
            printf("SKIP %s: this machine has no %s\n", kernel->row.name,
                   lac_isa_text(kernel->isa & ~isa, text, sizeof text));
            continue;
        }
        visit(kernel);
        seen++;
    }
    assert_true(seen > 0);
    return seen;
}

static void fill(lac_tensor *tensor, lac_dtype dtype, int64_t rows, int64_t cols, bool extreme)
{
    lac_error err;
    int bits = dtype == LAC_I16 ? 16 : 8;
    int64_t low = dtype == LAC_U8 ? 0 : -(INT64_C(1) << (bits - 1));
    int64_t high = low + (INT64_C(1) << bits) - 1;
    check(lac_tensor_make(tensor, dtype, 2, (int64_t[]){rows, cols}, &err), &err);
    for (int64_t i = 0; i < rows * cols; i++)
        lac_tensor_set(tensor, i,
                       (double)(extreme ? (below(4) ? high : low) : low + below(high - low + 1)));
}

/* Rows of a strip share their columns; density in 1/16. */
static void thin(lac_tensor *w, int v, int64_t density)
{
    for (int64_t r = 0; r < w->dims[0]; r += v)
        for (int64_t k = 0; k < w->dims[1]; k++)
            if (below(16) >= density)
                for (int64_t i = r; i < r + v && i < w->dims[0]; i++)
                    lac_tensor_set(w, i * w->dims[1] + k, 0);
}

static void pack(lac_packed *packed, const char *text, lac_view view, const lac_tensor *w)
{
    lac_error err;
    lac_params params;
    const lac_format *format;
    check(lac_format_parse(text, &format, &params, &err), &err);
    check(lac_pack(packed, format, &params, view, w, &err), &err);
}

/* Products of rows of integers, modulo 2^32. */
static uint32_t product(const lac_tensor *w, int64_t n, const lac_tensor *x, int64_t m, int64_t k)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < k; i++)
        sum += (uint64_t)((int64_t)lac_tensor_get(w, n * k + i) *
                          (int64_t)lac_tensor_get(x, m * k + i));
    return (uint32_t)sum;
}

static void product_case(const lac_kernel *kernel, const char *text, lac_dtype dtype, int v,
                         int64_t m, int64_t n, int64_t k, int64_t density, bool extreme)
{
    lac_error err;
    lac_layer layer;
    lac_packed packed;
    lac_tensor w;
    char spec[96];
    snprintf(spec, sizeof spec, "gemm:m=%d,n=%d,k=%d", (int)m, (int)n, (int)k);
    check(lac_layer_parse(&layer, spec, &err), &err);
    fill(&w, dtype, n, k, extreme);
    thin(&w, v, density);
    lac_tensor *x = &layer.operand[LAC_ROLE_ACTIVATIONS].tensor;
    fill(x, kernel->dtype, m, k, extreme);
    pack(&packed, text, LAC_VIEW_ROWS, &w);
    layer.operand[LAC_ROLE_WEIGHTS].packed = &packed;
    check(lac_tensor_make(&layer.output, LAC_I32, 2, (int64_t[]){m, n}, &err), &err);
    run_twice(kernel, &layer);
    const uint32_t *y = layer.output.data;
    for (int64_t i = 0; i < m * n; i++)
        if (y[i] != product(&w, i % n, x, i / n, k))
            fail_msg("%s, %s, %s: output %d is %d", kernel->row.name, text, spec, (int)i,
                     (int)(int32_t)y[i]);
    lac_packed_release(&packed);
    lac_tensor_release(&w);
    lac_layer_release(&layer);
}

static const int64_t sizes[][3] = {{1, 1, 1},     {1, 130, 200}, {3, 7, 33},  {64, 64, 256},
                                   {65, 129, 64}, {17, 9, 300},  {50, 24, 64}};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

static void visit_products(const lac_kernel *kernel)
{
    for (int v = 2; v <= 8; v *= 2)
        for (int bits = 4; bits <= 16; bits += 4)
            for (int s = 0; s < N_SIZES; s++) {
                char text[64];
                if (bits == 4 || bits == 12) /* values of all bits: as 8 and 16 */
                    continue;
                snprintf(text, sizeof text, "sr-bcrs:v=%d,bits=%d", v, bits);
                for (int e = 0; e < 2; e++)
                    product_case(kernel, text, bits > 8 ? LAC_I16 : LAC_I8, v, sizes[s][0],
                                 sizes[s][1], sizes[s][2], (int64_t[]){0, 2, 9, 16}[(s + v) % 4],
                                 e);
            }
}

static void visit_delta(const lac_kernel *kernel)
{
    for (int s = 0; s < N_SIZES; s++)
        for (int e = 0; e < 2; e++)
            for (int density = 0; density <= 16; density += 4)
                product_case(kernel, "delta", LAC_I8, 1, sizes[s][0], sizes[s][1], sizes[s][2],
                             density, e);
    product_case(kernel, "delta", LAC_I8, 1, 66, 3, 4000, 0, false);
    product_case(kernel, "delta", LAC_I8, 1, 66, 5, 4000, 1, true); /* bridges */
}

static void test_products(void **state)
{
    (void)state;
    assert_true(each_kernel("gemm", "sr-bcrs", visit_products) >= 2);
    assert_true(each_kernel("gemm", "delta", visit_delta) >= 2);
}

/* Sums of 2^31 and more wrap. */
static void visit_wrap(const lac_kernel *kernel)
{
    product_case(kernel, "sr-bcrs:v=4,bits=16", LAC_I16, 4, 2, 5, 3000, 16, true);
    product_case(kernel, "sr-bcrs:v=4,bits=16", LAC_I16, 4, 70, 5, 3000, 16, true);
}

static void test_wrap(void **state)
{
    (void)state;
    each_kernel("gemm", "sr-bcrs", visit_wrap);
}

/* A convolution: output pixel (b, p, q), channel n. */
static uint32_t window(const lac_layer *layer, const lac_tensor *w, int64_t n, int64_t b, int64_t p,
                       int64_t q)
{
    const lac_operand *x = &layer->operand[LAC_ROLE_ACTIVATIONS];
    int64_t c = lac_layer_dim_get(layer, "c"), h = lac_layer_dim_get(layer, "h");
    int64_t width = lac_layer_dim_get(layer, "w"), stride = lac_layer_dim_get(layer, "stride_h");
    int64_t r = lac_layer_dim_get(layer, "r"), s = lac_layer_dim_get(layer, "s");
    int64_t pad = lac_layer_dim_get(layer, "pad_top"), sum = 0;
    for (int64_t i = 0; i < c * r * s; i++) {
        int64_t y = p * stride + i / s % r - pad, z = q * stride + i % s - pad;
        if (y < 0 || y >= h || z < 0 || z >= width)
            continue;
        int64_t at = ((b * h + y) * width + z) * c + i / (r * s);
        sum += ((int64_t)lac_tensor_get(&x->tensor, at) - x->zero_point) *
               (int64_t)lac_tensor_get(w, n * c * r * s + i);
    }
    return (uint32_t)(uint64_t)sum;
}

static void conv_case(const lac_kernel *kernel, const char *text, const char *spec, int32_t zero)
{
    lac_error err;
    lac_layer layer;
    lac_packed packed;
    lac_tensor w;
    check(lac_layer_parse(&layer, spec, &err), &err);
    layer.channels_last = true;
    int64_t c = lac_layer_dim_get(&layer, "c"), n = lac_layer_dim_get(&layer, "k");
    int64_t r = lac_layer_dim_get(&layer, "r"), s = lac_layer_dim_get(&layer, "s");
    int64_t h = lac_layer_dim_get(&layer, "h"), wide = lac_layer_dim_get(&layer, "w");
    int64_t pad = lac_layer_dim_get(&layer, "pad_top"), batch = lac_layer_dim_get(&layer, "batch");
    int64_t stride = lac_layer_dim_get(&layer, "stride_h");
    int64_t p = (h + 2 * pad - r) / stride + 1, q = (wide + 2 * pad - s) / stride + 1;
    fill(&w, LAC_I8, n, c * r * s, false);
    thin(&w, 2, 6);
    fill(&layer.operand[LAC_ROLE_ACTIVATIONS].tensor, kernel->dtype, batch * h * wide, c, false);
    layer.operand[LAC_ROLE_ACTIVATIONS].zero_point = zero;
    lac_tensor shaped = w;
    shaped.rank = 4;
    memcpy(shaped.dims, (int64_t[]){n, c, r, s}, 4 * sizeof *shaped.dims);
    pack(&packed, text, LAC_VIEW_CONV, &shaped);
    layer.operand[LAC_ROLE_WEIGHTS].packed = &packed;
    check(lac_tensor_make(&layer.output, LAC_I32, 4, (int64_t[]){batch, p, q, n}, &err), &err);
    run_twice(kernel, &layer);
    const uint32_t *y = layer.output.data;
    for (int64_t i = 0; i < batch * p * q * n; i++)
        if (y[i] != window(&layer, &w, i % n, i / n / q / p, i / n / q % p, i / n % q))
            fail_msg("%s, %s, %s: output %d is %d", kernel->row.name, text, spec, (int)i,
                     (int)(int32_t)y[i]);
    lac_packed_release(&packed);
    lac_tensor_release(&w);
    lac_layer_release(&layer);
}

static void visit_conv(const lac_kernel *kernel)
{
    static const char *const specs[] = {"conv:c=8,h=9,w=11,k=20,r=3,s=3,stride=1,pad=1",
                                        "conv:c=5,h=8,w=7,k=6,r=3,s=3,stride=1",
                                        "conv:c=12,h=15,w=14,k=9,r=3,s=3,stride=2,pad=1,batch=2",
                                        "conv:c=16,h=6,w=6,k=8,r=1,s=1,stride=2"};
    bool delta = strcmp(kernel->format, "delta") == 0;
    for (int i = 0; i < 4; i++)
        for (int v = 2; v <= 8; v *= 2) {
            char text[32];
            snprintf(text, sizeof text, delta ? "delta" : "sr-bcrs:v=%d", v);
            conv_case(kernel, text, specs[i], kernel->dtype == LAC_U8 ? 3 * v : v - 5);
        }
}

static void test_convolutions(void **state)
{
    (void)state;
    each_kernel("conv", "sr-bcrs", visit_conv);
    each_kernel("conv", "delta", visit_conv);
}

/* Files for tensor cores are refused with the reason. */
static void visit_steps(const lac_kernel *kernel)
{
    lac_error err;
    lac_layer layer;
    lac_packed packed;
    lac_tensor w;
    char why[200] = "";
    check(lac_layer_parse(&layer, "gemm:m=2,n=4,k=8", &err), &err);
    fill(&w, LAC_I8, 4, 8, false);
    fill(&layer.operand[LAC_ROLE_ACTIVATIONS].tensor, kernel->dtype, 2, 8, false);
    pack(&packed, "sr-bcrs:kd=16", LAC_VIEW_ROWS, &w);
    layer.operand[LAC_ROLE_WEIGHTS].packed = &packed;
    check(lac_tensor_make(&layer.output, LAC_I32, 2, (int64_t[]){2, 4}, &err), &err);
    assert_false(kernel->can_run(&layer, why, sizeof why));
    assert_non_null(strstr(why, "kd = 4"));
    lac_packed_release(&packed);
    lac_tensor_release(&w);
    lac_layer_release(&layer);
}

static void test_steps(void **state)
{
    (void)state;
    each_kernel("gemm", "sr-bcrs", visit_steps);
}

/* ---- products at chosen places ----------------------------------------------------------------
 */

static void sddmm_case(const lac_kernel *kernel, int64_t tokens, int64_t dim, int v, int64_t heads,
                       int64_t density, bool extreme)
{
    lac_error err;
    lac_layer layer;
    lac_packed packed;
    lac_tensor mask, want;
    char text[96];
    snprintf(text, sizeof text, "sddmm:tokens=%d,dim=%d,v=%d,heads=%d", (int)tokens, (int)dim, v,
             (int)heads);
    check(lac_layer_parse(&layer, text, &err), &err);
    fill(&layer.operand[LAC_ROLE_QUERY].tensor, LAC_I8, heads * tokens, dim, extreme);
    fill(&layer.operand[LAC_ROLE_KEY].tensor, LAC_I8, heads * tokens, dim, extreme);
    lac_tensor *bits = &layer.operand[LAC_ROLE_MASK].tensor;
    int64_t strips = (tokens + v - 1) / v;
    check(lac_tensor_make(bits, LAC_U8, 2, (int64_t[]){strips, tokens}, &err), &err);
    check(lac_tensor_make(&mask, LAC_I8, 2, (int64_t[]){tokens, tokens}, &err), &err);
    for (int64_t i = 0; i < strips * tokens; i++)
        if (below(16) < density) {
            ((uint8_t *)bits->data)[i] = 1;
            for (int64_t r = i / tokens * v; r < (i / tokens + 1) * v && r < tokens; r++)
                ((int8_t *)mask.data)[r * tokens + i % tokens] = 1;
        }
    snprintf(text, sizeof text, "sr-bcrs:v=%d", v);
    pack(&packed, text, LAC_VIEW_ROWS, &mask);
    layer.operand[LAC_ROLE_MASK].packed = &packed;
    check(layer.kind->reference(&layer, &want, &err), &err);
    check(lac_tensor_make(&layer.output, LAC_I32, 1, want.dims, &err), &err);
    run_twice(kernel, &layer);
    const int32_t *y = layer.output.data;
    for (int64_t i = 0; i < lac_tensor_count(&want); i++)
        if (y[i] != ((const int32_t *)want.data)[i])
            fail_msg("%s: %d tokens, dim %d, v %d: output %d is %d, want %d", kernel->row.name,
                     (int)tokens, (int)dim, v, (int)i, (int)y[i],
                     (int)((const int32_t *)want.data)[i]);
    lac_tensor_release(&want);
    lac_tensor_release(&mask);
    lac_packed_release(&packed);
    lac_layer_release(&layer);
}

static void visit_sddmm(const lac_kernel *kernel)
{
    static const int64_t dims[] = {1, 15, 16, 17, 40, 64, 100};
    for (int v = 2; v <= 8; v *= 2)
        for (int d = 0; d < 7; d++)
            for (int e = 0; e < 2; e++) {
                sddmm_case(kernel, 1 + 7 * d, dims[d], v, 1 + d % 2, (int64_t[]){1, 6, 16}[d % 3],
                           e);
                sddmm_case(kernel, 33, dims[d], v, 1, 0, e); /* nothing kept */
            }
    /* Long keys; more of them than are looked up together, with every remainder of eight. */
    for (int v = 2; v <= 8; v *= 2)
        for (int d = 0; d < 9; d++)
            sddmm_case(kernel, 144 + d, (int64_t[]){128, 129, 192, 320}[d % 4], v, 1,
                       (int64_t[]){16, 15, 3}[d % 3], d % 2);
    sddmm_case(kernel, 5, LAC_SDDMM_DIM, 8, 1, 16, true);
    sddmm_case(kernel, 21, LAC_SDDMM_DIM, 2, 1, 14, true);
}

static void test_sddmm(void **state)
{
    (void)state;
    each_kernel("sddmm", "sr-bcrs", visit_sddmm);
}

static void test_softmax(void **state)
{
    (void)state;
    generator = lac_random_stream(5, 1);
    for (int v = 2; v <= 8; v *= 2)
        for (int64_t kept = 0; kept < 70; kept += 1 + kept / 3) {
            int64_t groups = (kept + 7) / 8, count = groups * 8 * v;
            int32_t *score = malloc((size_t)(count + 1) * sizeof *score);
            float *p = malloc((size_t)(count + 1) * sizeof *p);
            assert_true(score && p);
            for (int64_t i = 0; i < count; i++)
                score[i] = kept % 2 ? (int32_t)(below(200000) - 100000)
                                    : (below(2) ? INT32_MAX : INT32_MIN);
            p[count] = 42;
            lac_sparse_softmax(score, kept, v, 1e-4f, p);
            assert_true(p[count] == 42);
            for (int row = 0; row < v; row++) {
                double largest = -1e300, sum = 0;
                for (int64_t i = 0; i < kept; i++)
                    largest = fmax(largest, score[(i / 8 * v + row) * 8 + i % 8]);
                for (int64_t i = 0; i < kept; i++)
                    sum += exp((double)1e-4f * (score[(i / 8 * v + row) * 8 + i % 8] - largest));
                for (int64_t i = 0; i < 8 * groups; i++) {
                    int64_t at = (i / 8 * v + row) * 8 + i % 8;
                    double want = i < kept ? exp((double)1e-4f * (score[at] - largest)) / sum : 0;
                    assert_true(fabs((double)p[at] - want) <= 1e-6);
                }
            }
            free(score);
            free(p);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),     cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_convolutions), cmocka_unit_test(test_steps),
        cmocka_unit_test(test_sddmm),        cmocka_unit_test(test_softmax),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
