/* N:M kernels beyond what test_packed_kernels.c walks: convolutions of any window, stride, padding
 * and dilation, 4-bit weights, every pattern; each against sums in 64-bit integers or doubles, with
 * one and two threads. A kernel that this CPU lacks is skipped loudly. */
#include "core/memory.h"
#include "core/random.h"
#include "graph/layer_conv.h"

#include <lacuna/kernel.h>
#include <lacuna/lacuna.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static lac_random generator;
static int cases;

static int64_t below(int64_t n)
{
    return (int64_t)((lac_random_next(&generator) >> 33) % (uint64_t)n);
}

static void check(lac_status status, const lac_error *err)
{
    if (status != LAC_OK)
        fail_msg("%s", err->message);
}

/* Runs the layer `text` with weights n:m of `bits` bits (0: of 8, integers also where activations
 * are floats) on `kernel` and compares every output. */
static void run_case(const lac_kernel *kernel, const char *text, int n, int m, int bits)
{
    lac_error err = {0};
    lac_layer layer;
    lac_packed packed;
    lac_tensor matrix, weights, first;
    const lac_format *format;
    lac_params params;
    char spec[48], why[200] = "";
    void *state;
    check(lac_layer_parse(&layer, text, &err), &err);
    layer.channels_last = true;
    lac_conv g = lac_conv_of(&layer);
    bool floats = kernel->dtype == LAC_F32;
    int64_t k = g.c * g.r * g.s, outputs = g.batch * g.out_h * g.out_w;
    lac_dtype dtype = floats && bits == 8 ? LAC_F32 : LAC_I8;
    check(lac_tensor_make(&matrix, dtype, 2, (int64_t[]){g.k, k}, &err), &err);
    for (int64_t i = 0; i < g.k; i++)
        for (int64_t group = 0; group < k; group += m) {
            int left = n;
            for (int64_t j = group; j < group + m && j < k; j++)
                if (below(group + m - j) < left) {
                    left--;
                    lac_tensor_set(&matrix, i * k + j,
                                   bits == 4 ? (double)(below(16) - 8)
                                             : (double)(below(256) - 128));
                }
        }
    check(
        lac_view_tensor(LAC_VIEW_CONV, &matrix, 4, (int64_t[]){g.k, g.c, g.r, g.s}, &weights, &err),
        &err);
    snprintf(spec, sizeof spec, "nm:n=%d,m=%d,bits=%d", n, m, bits == 4 ? 4 : 8);
    check(lac_format_parse(spec, &format, &params, &err), &err);
    check(lac_pack(&packed, format, &params, LAC_VIEW_CONV, &weights, &err), &err);
    layer.operand[LAC_ROLE_WEIGHTS].packed = &packed;
    lac_operand *x = &layer.operand[LAC_ROLE_ACTIVATIONS];
    check(lac_tensor_make(&x->tensor, kernel->dtype, 4, (int64_t[]){g.batch, g.h, g.w, g.c}, &err),
          &err);
    for (int64_t i = 0; i < g.batch * g.h * g.w * g.c; i++)
        lac_tensor_set(&x->tensor, i, (double)(below(256) - (kernel->dtype == LAC_U8 ? 0 : 128)));
    x->zero_point = floats ? 0 : kernel->dtype == LAC_U8 ? 131 : -7;
    check(lac_tensor_make(&layer.output, floats ? LAC_F32 : LAC_I32, 2, (int64_t[]){outputs, g.k},
                          &err),
          &err);
    if (!kernel->can_run(&layer, why, sizeof why))
        fail_msg("%s refuses %s, %s: %s", kernel->row.name, text, spec, why);
    lac_threads_set(1);
    check(kernel->prepare(&layer, &state, &err), &err);
    check(kernel->run(&layer, state, &err), &err);
    for (int64_t at = 0; at < outputs * g.k; at++) {
        int64_t o = at % g.k, q = at / g.k % g.out_w, p = at / g.k / g.out_w % g.out_h;
        int64_t b = at / g.k / g.out_w / g.out_h;
        double sum = 0, magnitude = 0;
        for (int64_t j = 0; j < k; j++) {
            int64_t c = j % g.c, s = j / g.c % g.s, r = j / g.c / g.s;
            int64_t y = p * g.stride_h + r * g.dilation_h - g.pad_top;
            int64_t z = q * g.stride_w + s * g.dilation_w - g.pad_left;
            if (y < 0 || y >= g.h || z < 0 || z >= g.w)
                continue;
            double product =
                (lac_tensor_get(&x->tensor, ((b * g.h + y) * g.w + z) * g.c + c) - x->zero_point) *
                lac_tensor_get(&matrix, o * k + j);
            sum += product;
            magnitude += fabs(product);
        }
        double got = lac_tensor_get(&layer.output, at);
        if (!(fabs(got - sum) <= (floats ? magnitude * 1e-5 : 0)))
            fail_msg("%s, %s, %s: element %d is %.9g, want %.9g", kernel->row.name, text, spec,
                     (int)at, got, sum);
    }
    check(lac_tensor_copy(&first, &layer.output, &err), &err);
    lac_threads_set(2);
    memset(layer.output.data, 0x5a, lac_tensor_bytes(&layer.output));
    check(kernel->run(&layer, state, &err), &err);
    assert_memory_equal(first.data, layer.output.data, lac_tensor_bytes(&first));
    kernel->release(state);
    lac_tensor_release(&first);
    lac_tensor_release(&matrix);
    lac_tensor_release(&weights);
    lac_packed_release(&packed);
    lac_layer_release(&layer);
    cases++;
}

static void each_kernel(void (*visit)(const lac_kernel *kernel))
{
    lac_error err = {0};
    uint32_t isa;
    int seen = 0;
    check(lac_isa(&isa, &err), &err);
    generator = lac_random_stream(9, 1);
    for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        if (strcmp(kernel->format, "nm") != 0 || strcmp(kernel->kind, "conv") != 0)
            continue;
        if (kernel->isa & ~isa) {
            printf("SKIP %s: not on this machine\n", kernel->row.name);
            continue;
        }
        visit(kernel);
        seen++;
    }
    assert_true(seen >= 3);
}

static const char *const convolutions[] = {
    "conv:c=64,h=7,w=9,k=20,r=3,s=3,pad=1",
    "conv:c=64,h=8,w=8,k=17,r=3,s=3,stride=2,pad=1,batch=2",
    "conv:c=64,h=9,w=5,k=5,r=2,s=4,dilation=2,pad=3",
    "conv:c=128,h=1,w=6,k=16,r=1,s=3,pad_left=2,pad_right=1",
    "conv:c=37,h=6,w=6,k=18,r=1,s=1,stride=2",
    "conv:c=50,h=5,w=4,k=9,r=1,s=1,pad=1,stride=3",
    "conv:c=12,h=9,w=8,k=19,r=3,s=2,pad=1", /* windows that cross taps */
};
/* Windows of 16, 32 and 64 columns divide 64 channels. */
static const int whole[][2] = {{1, 1}, {2, 4}, {1, 4}, {1, 8}, {1, 16}, {3, 8}, {5, 16}, {7, 32}};

static void visit_convolutions(const lac_kernel *kernel)
{
    for (size_t i = 0; i < sizeof convolutions / sizeof *convolutions; i++)
        for (size_t p = 0; p < sizeof whole / sizeof *whole; p++)
            for (int bits = 4; bits <= 8; bits += 4)
                run_case(kernel, convolutions[i], whole[p][0], whole[p][1], bits);
}

static void test_convolutions(void **unused)
{
    (void)unused;
    each_kernel(visit_convolutions);
    printf("%d cases\n", cases);
}

static void visit_patterns(const lac_kernel *kernel)
{
    for (int m = 1; m <= 32; m++)
        for (int n = 1; n <= m; n += 1 + m / 8) {
            run_case(kernel, "conv:c=149,h=1,w=19,k=33,r=1,s=1", n, m, 8);
            run_case(kernel, "conv:c=64,h=1,w=3,k=8,r=1,s=1", n, m, 4);
        }
}

/* Patterns with loops of their own: whole blocks of tokens and a rest, K of many blocks. */
static void visit_common(const lac_kernel *kernel)
{
    static const int common[][2] = {{2, 4}, {1, 4},  {4, 8},  {2, 8},
                                    {1, 8}, {4, 16}, {2, 16}, {1, 16}};
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        for (int bits = 0; bits <= 8; bits += 4) {
            run_case(kernel, "conv:c=592,h=1,w=70,k=33,r=1,s=1", common[i][0], common[i][1], bits);
            run_case(kernel, "conv:c=128,h=9,w=8,k=17,r=3,s=1", common[i][0], common[i][1], bits);
            run_case(kernel, "conv:c=77,h=1,w=128,k=16,r=1,s=1", common[i][0], common[i][1], bits);
        }
}

static void test_common_patterns(void **unused)
{
    (void)unused;
    each_kernel(visit_common);
    printf("%d cases\n", cases);
}

static void test_every_pattern(void **unused)
{
    (void)unused;
    each_kernel(visit_patterns);
    printf("%d cases\n", cases);
}

/* What a kernel asks of a convolution, with the reason. */
static void visit_refusals(const lac_kernel *kernel)
{
    lac_error err = {0};
    lac_layer layer;
    lac_packed packed;
    lac_params params;
    const lac_format *format;
    lac_tensor weights;
    char why[200] = "";
    check(lac_layer_parse(&layer, "conv:c=24,h=4,w=4,k=8,r=3,s=3", &err), &err);
    layer.channels_last = true;
    check(lac_format_parse("nm:n=2,m=4", &format, &params, &err), &err);
    check(lac_tensor_make(&weights, kernel->dtype == LAC_F32 ? LAC_F32 : LAC_I8, 4,
                          (int64_t[]){8, 24, 3, 3}, &err),
          &err);
    check(lac_pack(&packed, format, &params, LAC_VIEW_CONV, &weights, &err), &err);
    layer.operand[LAC_ROLE_WEIGHTS].packed = &packed;
    layer.operand[LAC_ROLE_ACTIVATIONS].tensor.dtype = kernel->dtype;
    layer.output.dtype = LAC_F32;
    assert_true(kernel->can_run(&layer, why, sizeof why));
    layer.channels_last = false;
    assert_false(kernel->can_run(&layer, why, sizeof why));
    assert_string_equal(why, "channels are not last");
    layer.channels_last = true;
    check(lac_layer_dim_set(&layer, "groups", 2, &err), &err);
    assert_false(kernel->can_run(&layer, why, sizeof why));
    assert_non_null(strstr(why, "groups"));
    lac_packed_release(&packed);
    lac_tensor_release(&weights);
    lac_layer_release(&layer);
}

static void test_refusals(void **unused)
{
    (void)unused;
    each_kernel(visit_refusals);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolutions),
        cmocka_unit_test(test_every_pattern),
        cmocka_unit_test(test_common_patterns),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
