/* Weights of few bits: with 8-bit activations every row of the kernel table gives the bits of the
 * portable one, for any codes, signs and scales, extremes included, and for any thread count. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/random.h"

#include <lacuna/kernel.h>
#include <lacuna/lacuna.h>

#include <stdio.h>
#include <string.h>

static lac_random generator;

static void check(lac_status status, const lac_error *err)
{
    if (status != LAC_OK)
        fail_msg("%s", err->message);
}

/* Any valid fields: these formats pack only matrices that are on their grids. */
static void fill(lac_packed *packed, bool extremes)
{
    const lac_format *format = packed->format;
    for (int i = 0; i < LAC_MAX_FIELDS && format->fields[i].name; i++) {
        lac_tensor *field = &packed->field[i];
        bool planes = strcmp(format->fields[i].name, "planes") == 0;
        bool zeros = strcmp(format->fields[i].name, "zero") == 0;
        int64_t count = lac_tensor_count(field);
        int tail = (int)(packed->cols % 32);
        int64_t last = count - packed->rows * lac_params_int(&packed->params, "planes");
        for (int64_t at = 0; at < count; at++) {
            uint64_t draw = lac_random_next(&generator) >> 16;
            if (extremes && (planes || field->dtype == LAC_U8))
                draw = zeros ? 0 : UINT64_MAX;
            if (field->dtype == LAC_F16)
                ((uint16_t *)field->data)[at] = (uint16_t)(0x2c00 + draw % 2048);
            else if (field->dtype == LAC_F32)
                ((float *)field->data)[at] = (float)(draw % 4096) * 0x1p-12f;
            else if (field->dtype == LAC_U32)
                ((uint32_t *)field->data)[at] =
                    (uint32_t)draw & (tail && at >= last ? (1u << tail) - 1 : UINT32_MAX);
            else
                ((uint8_t *)field->data)[at] = (uint8_t)(zeros ? draw % 4 : draw);
        }
    }
}

typedef struct test_case {
    const char *format;
    int64_t m, n, k;
    lac_dtype dtype;
    int zero;
    bool extremes; /* largest sums: every activation as far from zero as bytes go */
} test_case;

static void run(const lac_kernel *kernel, lac_layer *layer, int threads)
{
    lac_error err = {0};
    void *state;
    char why[200] = "";
    if (!kernel->can_run(layer, why, sizeof why))
        fail_msg("%s: %s", kernel->row.name, why);
    lac_threads_set(threads);
    check(kernel->prepare(layer, &state, &err), &err);
    memset(layer->output.data, 0x5a, lac_tensor_bytes(&layer->output));
    check(kernel->run(layer, state, &err), &err);
    kernel->release(state);
}

static int compared;

static void compare(const test_case *c)
{
    lac_error err = {0};
    char text[96], name[64];
    lac_layer layer;
    lac_packed packed;
    lac_tensor zeros, want;
    const lac_format *format;
    lac_params params;
    uint32_t isa;
    check(lac_isa(&isa, &err), &err);
    snprintf(text, sizeof text, "gemm:m=%d,n=%d,k=%d", (int)c->m, (int)c->n, (int)c->k);
    check(lac_layer_parse(&layer, text, &err), &err);
    check(lac_format_parse(c->format, &format, &params, &err), &err);
    check(lac_tensor_make(&zeros, LAC_F32, 2, (int64_t[]){c->n, c->k}, &err), &err);
    check(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &zeros, &err), &err);
    lac_tensor_release(&zeros);
    fill(&packed, c->extremes);
    lac_operand *x = &layer.operand[LAC_ROLE_ACTIVATIONS];
    layer.operand[LAC_ROLE_WEIGHTS].packed = &packed;
    check(lac_tensor_make(&x->tensor, c->dtype, 2, (int64_t[]){c->m, c->k}, &err), &err);
    int low = c->dtype == LAC_I8 ? -128 : 0;
    for (int64_t i = 0; i < c->m * c->k; i++)
        lac_tensor_set(&x->tensor, i,
                       c->extremes ? (c->zero > low ? low : low + 255)
                                   : (double)(lac_random_next(&generator) >> 56) + low);
    x->zero_point = c->zero;
    check(lac_tensor_make(&layer.output, LAC_F32, 2, (int64_t[]){c->m, c->n}, &err), &err);

    snprintf(name, sizeof name, "gemm_%s_%s_ref", format->row.name,
             c->dtype == LAC_I8 ? "s8" : "u8");
    const lac_kernel *ref = (const lac_kernel *)lac_table_find(&lac_kernels, name);
    assert_non_null(ref);
    run(ref, &layer, 1);
    check(lac_tensor_copy(&want, &layer.output, &err), &err);
    for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        if (strcmp(kernel->kind, "gemm") != 0 || strcmp(kernel->format, format->row.name) != 0 ||
            kernel->dtype != c->dtype || (kernel->isa & ~isa))
            continue;
        for (int threads = 1; threads <= 2; threads++) {
            run(kernel, &layer, threads);
            for (int64_t at = 0; at < c->m * c->n; at++)
                if (((uint32_t *)layer.output.data)[at] != ((uint32_t *)want.data)[at])
                    fail_msg("%s, %s m=%d n=%d k=%d zero=%d, %d threads: element %d is %.9g, want "
                             "%.9g",
                             kernel->row.name, c->format, (int)c->m, (int)c->n, (int)c->k, c->zero,
                             threads, (int)at, (double)((float *)layer.output.data)[at],
                             (double)((float *)want.data)[at]);
            compared++;
        }
    }
    lac_tensor_release(&want);
    lac_packed_release(&packed);
    lac_layer_release(&layer);
}

static void grid(const char *const *formats, int n_formats, const int64_t (*shapes)[3],
                 int n_shapes)
{
    static const struct {
        lac_dtype dtype;
        int zero;
    } activations[] = {{LAC_I8, 0}, {LAC_U8, 128}, {LAC_U8, 0}, {LAC_I8, 127}, {LAC_U8, 37}};
    generator = lac_random_stream(23, 1);
    compared = 0;
    for (int f = 0; f < n_formats; f++)
        for (int s = 0; s < n_shapes; s++)
            for (int a = 0; a < 5; a++)
                for (int extremes = 0; extremes < 2; extremes++) {
                    test_case c = {formats[f],
                                   shapes[s][0],
                                   shapes[s][1],
                                   shapes[s][2],
                                   activations[a].dtype,
                                   activations[a].zero,
                                   extremes && s % 2 == a % 2};
                    if (!extremes || c.extremes)
                        compare(&c);
                }
    assert_true(compared >= n_formats * n_shapes * 10);
}

static void test_bcq(void **state)
{
    (void)state;
    static const char *const formats[] = {"bcq:planes=1", "bcq:planes=2,group=32,offset=none",
                                          "bcq:planes=3,group=64,scale=float32",
                                          "bcq:planes=1,group=1024,offset=none"};
    /* steps of 32 and 128 outputs, sweeps of 2048; 8 tokens at a time */
    static const int64_t shapes[][3] = {{1, 1, 32},   {1, 31, 200},   {2, 33, 128},
                                        {3, 127, 96}, {1, 128, 1000}, {9, 129, 160},
                                        {1, 300, 72}, {2, 2051, 130}};
    grid(formats, 4, shapes, 8);
}

static void test_intq(void **state)
{
    (void)state;
    static const char *const formats[] = {"intq:bits=2,group=32",
                                          "intq:bits=3,group=32",
                                          "intq:bits=4,group=32",
                                          "intq:bits=4,group=128",
                                          "intq:bits=2,group=64,zero=stored",
                                          "intq:bits=3,group=128,zero=stored"};
    static const int64_t shapes[][3] = {{1, 1, 32},  {1, 17, 160}, {2, 16, 128}, {3, 33, 608},
                                        {4, 48, 96}, {5, 31, 576}, {7, 64, 64},  {200, 20, 32}};
    grid(formats, 6, shapes, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_bcq), cmocka_unit_test(test_intq)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
