/* Format block: every size of blocks over matrices that it does not divide, by every view; what
 * validate refuses; the limits of the counters. */
#include "core/random.h"
#include "exec/fold.h"
#include "format/packed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void pack_text(lac_packed *packed, const char *text, const lac_tensor *tensor)
{
    const lac_format *format;
    lac_params params;
    lac_error err = {0};
    if (lac_format_parse(text, &format, &params, &err) != LAC_OK ||
        lac_pack(packed, format, &params, LAC_VIEW_ROWS, tensor, &err) != LAC_OK)
        fail_msg("%s: %s", text, err.message);
}

/* The bytes of the formula, counted here block by block. */
static int64_t bytes_of(const lac_tensor *tensor, int64_t r, int64_t c, int64_t size)
{
    int64_t rows = tensor->dims[0], cols = tensor->dims[1], blocks = 0;
    for (int64_t i = 0; i < rows; i += r)
        for (int64_t k = 0; k < cols; k += c) {
            bool any = false;
            for (int64_t y = i; y < i + r && y < rows; y++)
                for (int64_t x = k; x < k + c && x < cols; x++)
                    any = any || lac_tensor_get(tensor, y * cols + x) != 0;
            blocks += any;
        }
    return 4 * ((rows + r - 1) / r + 1) + blocks * (2 + r * c * size);
}

static void test_sizes(void **state)
{
    (void)state;
    static const int64_t r_of[] = {1, 2, 3, 4, 8, 16, 63, 64}, c_of[] = {1, 3, 4, 8, 31, 32};
    static const int64_t shapes[][2] = {{1, 1}, {1, 70}, {70, 1}, {33, 65}, {64, 64}, {17, 130}};
    static const lac_dtype dtypes[] = {LAC_F32, LAC_F16, LAC_I8};
    lac_random random = lac_random_stream(4, 1);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int i = 0; i < 8 * 6 * 3 * 3; i++) {
            int64_t r = r_of[i % 8], c = c_of[i / 8 % 6];
            lac_dtype dtype = dtypes[i / 48 % 3];
            unsigned keep = (unsigned[]){0, 10, 256}[i / 144]; /* none, few, all of 256 */
            lac_tensor tensor, back;
            lac_packed packed;
            lac_error err = {0};
            char text[64];
            assert_int_equal(lac_tensor_make(&tensor, dtype, 2, shapes[s], &err), LAC_OK);
            for (int64_t j = 0; j < lac_tensor_count(&tensor); j++) {
                uint64_t draw = lac_random_next(&random);
                lac_tensor_set(&tensor, j,
                               (draw >> 8 & 255) < keep ? (double)(draw >> 40 & 127) - 128 : 0);
            }
            snprintf(text, sizeof text, "block:r=%d,c=%d", (int)r, (int)c);
            pack_text(&packed, text, &tensor);
            assert_int_equal(lac_packed_bytes(&packed),
                             bytes_of(&tensor, r, c, lac_dtype_bits(dtype) / 8));
            assert_int_equal(lac_unpack(&packed, &back, &err), LAC_OK);
            assert_memory_equal(back.data, tensor.data, lac_tensor_bytes(&tensor));
            lac_tensor_release(&back);
            lac_tensor_release(&tensor);
            lac_packed_release(&packed);
        }
}

static void refused(const lac_packed *packed, const char *part)
{
    lac_error err = {0};
    assert_int_equal(lac_packed_validate(packed, &err), LAC_ERROR_INPUT);
    if (!strstr(err.message, part))
        fail_msg("'%s' does not say '%s'", err.message, part);
}

static void test_refusals(void **state)
{
    (void)state;
    static const int8_t w[5 * 9] = {0, 5, -7, 0, 0, 0, 0, 0, 3, /* */
                                    1, 0, 0,  2, 0, 0, 0, 0, 0, /* */
                                    0, 0, 0,  0, 0, 0, 0, 0, 0, /* */
                                    0, 0, 0,  0, 0, 0, 0, 0, 0, /* */
                                    0, 0, 0,  0, 0, 8, 0, 0, 0};
    lac_error err = {0};
    lac_packed packed;
    lac_tensor tensor = lac_tensor_view(LAC_I8, 2, (int64_t[]){5, 9}, (void *)(uintptr_t)w);
    pack_text(&packed, "block:r=2,c=4", &tensor);
    assert_int_equal(lac_packed_validate(&packed, &err), LAC_OK);
    uint32_t *start = packed.field[0].data;
    uint16_t *col = packed.field[1].data;
    int8_t *values = packed.field[2].data;
    start[0] = 1;
    refused(&packed, "start runs from 1 to 3, want 0 to 3");
    start[0] = 0;
    start[3] = 2;
    refused(&packed, "start runs from 0 to 2, want 0 to 3");
    start[3] = 3;
    start[1] = 4;
    refused(&packed, "start[1] = 4, want at least 0 and at most 3");
    start[1] = 2;
    start[2] = 1;
    refused(&packed, "start[2] = 1, want at least 2");
    start[2] = 2;
    col[1] = 0;
    refused(&packed, "col[1] = 0, want rising");
    col[1] = 3;
    refused(&packed, "col[1] = 3, want rising in its strip and below 3");
    col[1] = 2;
    values[9] = 1; /* the block at the right edge has one column */
    refused(&packed, "block 1 of strip 0 has elements outside");
    values[9] = 0;
    values[20] = 1; /* the last strip has one row */
    refused(&packed, "block 2 of strip 2 has elements outside");
    values[20] = 0;
    assert_int_equal(lac_packed_validate(&packed, &err), LAC_OK);
    lac_packed_release(&packed);
}

/* The function body of saved models, run: the same matrix. */
static void test_body(void **state)
{
    (void)state;
    static const char *const texts[] = {"block:r=1,c=4", "block:r=4,c=4", "block:r=3,c=5",
                                        "block:r=16,c=1", "block:r=64,c=32"};
    static const lac_dtype dtypes[] = {LAC_F32, LAC_F16, LAC_I8};
    lac_random random = lac_random_stream(4, 2);
    for (int i = 0; i < 5 * 3 * 3; i++) {
        lac_tensor tensor, back;
        lac_packed packed;
        lac_error err = {0};
        lac_graph *graph;
        int field[3], matrix;
        assert_int_equal(lac_tensor_make(&tensor, dtypes[i / 5 % 3], 2, (int64_t[]){19, 37}, &err),
                         LAC_OK);
        for (int64_t j = 0; j < lac_tensor_count(&tensor); j++)
            if (lac_random_next(&random) >> 32 < UINT64_C(0x7fffffff) * (uint64_t)(i / 15))
                lac_tensor_set(&tensor, j, (double)(1 + j % 100));
        pack_text(&packed, texts[i % 5], &tensor);
        assert_int_equal(lac_graph_make(&graph, "g", 17, &err), LAC_OK);
        for (int f = 0; f < 3; f++) {
            lac_tensor shared;
            assert_int_equal(lac_tensor_copy(&shared, &packed.field[f], &err), LAC_OK);
            assert_int_equal(lac_graph_constant(graph, NULL, &shared, &field[f], &err), LAC_OK);
            lac_tensor_release(&shared);
        }
        if (packed.format->unpack_graph(&packed, graph, field, &matrix, &err) != LAC_OK)
            fail_msg("%s: %s", texts[i % 5], err.message);
        assert_int_equal(lac_graph_output(graph, matrix, &err), LAC_OK);
        if (lac_graph_settle(graph, &err) != LAC_OK)
            fail_msg("%s", err.message);
        if (lac_fold_value(graph, matrix, &back, &err) != LAC_OK)
            fail_msg("%s: %s", texts[i % 5], err.message);
        assert_int_equal(back.dims[0], 19);
        assert_int_equal(back.dims[1], 37);
        assert_memory_equal(back.data, tensor.data, lac_tensor_bytes(&tensor));
        lac_tensor_release(&back);
        lac_tensor_release(&tensor);
        lac_packed_release(&packed);
        lac_graph_free(graph);
    }
}

static void test_limits(void **state)
{
    (void)state;
    lac_error err = {0};
    lac_packed packed;
    lac_params params;
    const lac_format *format;
    lac_tensor tensor;
    assert_int_equal(lac_tensor_make(&tensor, LAC_I8, 2, (int64_t[]){1, 65536 * 4 + 1}, &err),
                     LAC_OK);
    lac_tensor_set(&tensor, 65536 * 4 - 1, 9);
    assert_int_equal(lac_format_parse("block", &format, &params, &err), LAC_OK);
    assert_int_equal(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &tensor, &err),
                     LAC_ERROR_INPUT);
    assert_string_equal(err.message, "block: 65537 blocks of c = 4 columns, limit 65536");
    tensor.dims[1]--; /* the largest column */
    assert_int_equal(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &tensor, &err), LAC_OK);
    assert_int_equal(*(uint16_t *)packed.field[1].data, 65535);
    lac_packed_release(&packed);
    lac_tensor_release(&tensor);
    assert_int_equal(lac_format_parse("block:r=65", &format, &params, &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_format_parse("block:c=0", &format, &params, &err), LAC_ERROR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_body),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
