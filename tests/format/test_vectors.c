/* Formats sr-bcrs and delta: all parameters over ragged sizes, empty strips, nothing at all; what
 * is refused; their function bodies, run. */
#include "core/random.h"
#include "format/packed.h"

#include <lacuna/lacuna.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void check(lac_status status, const lac_error *err)
{
    if (status != LAC_OK)
        fail_msg("%s", err->message);
}

static lac_status pack_text(lac_packed *packed, const char *text, const lac_tensor *tensor,
                            lac_error *err)
{
    lac_params params;
    const lac_format *format;
    check(lac_format_parse(text, &format, &params, err), err);
    return lac_pack(packed, format, &params, LAC_VIEW_ROWS, tensor, err);
}

/* The function body of saved models gives the same matrix. */
static void run_body(const lac_packed *packed, const lac_tensor *tensor, const char *text)
{
    lac_error err;
    lac_graph *graph;
    lac_tensor back;
    int field[LAC_MAX_FIELDS], matrix;
    check(lac_graph_make(&graph, "g", 17, &err), &err);
    for (int i = 0; packed->format->fields[i].name; i++) {
        lac_tensor copy;
        check(lac_tensor_copy(&copy, &packed->field[i], &err), &err);
        check(lac_graph_constant(graph, NULL, &copy, &field[i], &err), &err);
        lac_tensor_release(&copy);
    }
    check(packed->format->unpack_graph(packed, graph, field, &matrix, &err), &err);
    check(lac_graph_output(graph, matrix, &err), &err);
    check(lac_graph_settle(graph, &err), &err);
    lac_session *session;
    check(lac_session_make(&session, graph, &(lac_session_options){.no_fusion = true}, &err), &err);
    if (lac_session_run(session, NULL, &back, &err) != LAC_OK)
        fail_msg("%s: %s", text, err.message);
    assert_int_equal(back.dtype, tensor->dtype);
    assert_int_equal(back.dims[0], tensor->dims[0]);
    assert_int_equal(back.dims[1], tensor->dims[1]);
    assert_memory_equal(back.data, tensor->data, lac_tensor_bytes(tensor));
    lac_tensor_release(&back);
    lac_session_free(session);
    lac_graph_free(graph);
}

/* density in 1/16; `from` rows at the beginning stay empty. */
static void fill(lac_tensor *tensor, lac_dtype dtype, int64_t rows, int64_t cols, int bits,
                 unsigned density, int64_t from, lac_random *random)
{
    lac_error err;
    check(lac_tensor_make(tensor, dtype, 2, (int64_t[]){rows, cols}, &err), &err);
    for (int64_t i = from * cols; i < rows * cols; i++) {
        uint64_t draw = lac_random_next(random);
        int64_t limit = INT64_C(1) << (bits - 1);
        int64_t value = (int64_t)((draw >> 32) % (uint64_t)(2 * limit)) - limit;
        lac_tensor_set(tensor, i, draw % 16 < density ? (double)value : 0);
    }
}

static void round_trip(const char *text, const lac_tensor *tensor)
{
    lac_error err;
    lac_packed packed;
    lac_tensor back;
    int64_t bytes;
    if (pack_text(&packed, text, tensor, &err) != LAC_OK)
        fail_msg("%s: %s", text, err.message);
    if (lac_unpack(&packed, &back, &err) != LAC_OK)
        fail_msg("%s: %s", text, err.message);
    assert_memory_equal(back.data, tensor->data, lac_tensor_bytes(tensor));
    check(lac_format_bytes(packed.format, &packed.params, LAC_VIEW_ROWS, tensor, &bytes, &err),
          &err);
    assert_int_equal(bytes, lac_packed_bytes(&packed));
    run_body(&packed, tensor, text);
    lac_tensor_release(&back);
    lac_packed_release(&packed);
}

static void test_sr_bcrs(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {7, 33}, {16, 64}, {9, 100}};
    lac_random random = lac_random_stream(1, 1);
    int cases = 0;
    for (int v = 2; v <= 8; v *= 2)
        for (int bits = 4; bits <= 16; bits += 4)
            for (int kd = 4; kd <= 32; kd += kd == 4 ? 12 : 16)
                for (int i = 0; i < 4 * 4; i++) {
                    char text[64];
                    lac_tensor tensor;
                    int64_t rows = sizes[i / 4][0];
                    snprintf(text, sizeof text, "sr-bcrs:v=%d,bits=%d,kd=%d", v, bits, kd);
                    fill(&tensor, bits > 8 || i % 2 ? LAC_I16 : LAC_I8, rows, sizes[i / 4][1], bits,
                         (unsigned[]){0, 1, 5, 16}[i % 4], i % 3 ? rows / 2 : 0, &random);
                    round_trip(text, &tensor);
                    lac_tensor_release(&tensor);
                    cases++;
                }
    assert_int_equal(cases, 3 * 4 * 3 * 16);
}

static void test_delta(void **state)
{
    (void)state;
    static const int64_t sizes[][2] = {{1, 1}, {7, 33}, {5, 1100}, {3, 255}, {2, 511}};
    lac_random random = lac_random_stream(2, 1);
    for (int i = 0; i < 5 * 4; i++) {
        lac_tensor tensor;
        fill(&tensor, LAC_I8, sizes[i / 4][0], sizes[i / 4][1], 8, (unsigned[]){0, 1, 5, 16}[i % 4],
             i % 3 ? 1 : 0, &random);
        round_trip("delta", &tensor);
        lac_tensor_release(&tensor);
    }
    for (int64_t gap = 253; gap < 1100; gap += gap == 257 ? 251 : 1) { /* about the bridges */
        lac_tensor tensor;
        fill(&tensor, LAC_I8, 3, 1100, 8, 0, 0, &random);
        int8_t *w = tensor.data;
        w[gap] = 5;
        w[1100] = -3;
        w[1100 + gap] = 9;
        round_trip("delta", &tensor);
        lac_tensor_release(&tensor);
    }
}

static void refuse(const char *text, const lac_tensor *tensor, const char *part)
{
    lac_error err;
    lac_packed packed;
    assert_int_equal(pack_text(&packed, text, tensor, &err), LAC_ERROR_INPUT);
    if (!strstr(err.message, part))
        fail_msg("'%s' does not say '%s'", err.message, part);
}

static void damaged(lac_packed *packed, int field, int64_t at, int32_t value, const char *part)
{
    lac_error err;
    lac_tensor *tensor = &packed->field[field];
    double before = lac_tensor_get(tensor, at);
    lac_tensor_set(tensor, at, value);
    assert_int_equal(lac_packed_validate(packed, &err), LAC_ERROR_INPUT);
    if (!strstr(err.message, part))
        fail_msg("'%s' does not say '%s'", err.message, part);
    lac_tensor_set(tensor, at, before);
    check(lac_packed_validate(packed, &err), &err);
}

static void test_refusals(void **state)
{
    (void)state;
    lac_error err;
    lac_packed packed;
    int8_t w[3][8] = {{0, 9, 0, -8, 0, 0, 0, 1}, {0, 1, 0, 0, 0, 0, 0, 0}, {0}};
    lac_tensor tensor = lac_tensor_view(LAC_I8, 2, (int64_t[]){3, 8}, w);
    refuse("sr-bcrs:v=3", &tensor, "v = 3, want 2, 4 or 8");
    refuse("sr-bcrs:bits=5", &tensor, "bits = 5");
    refuse("sr-bcrs:kd=8", &tensor, "kd = 8");
    refuse("sr-bcrs:bits=16", &tensor, "bits = 16 of int8");
    refuse("sr-bcrs:bits=4", &tensor, "element (0, 1) is 9, 4 bits hold -8 to 7");
    w[0][1] = 7;
    check(pack_text(&packed, "sr-bcrs:v=2,bits=4", &tensor, &err), &err);
    damaged(&packed, 0, 0, 4, "strip 0 is 4 to 3");
    damaged(&packed, 0, 1, 9, "strip 0 is 0 to 9");
    damaged(&packed, 0, 1, -1, "strip 0 is 0 to -1");
    damaged(&packed, 0, 1, 2, "column 2 of strip 0 is 7");
    damaged(&packed, 1, 2, 8, "column 2 of strip 0 is 8");
    damaged(&packed, 1, 1, 1, "column 1 of strip 0 is 1");
    damaged(&packed, 1, 3, 0, "column 3 of strip 0 is 0");
    damaged(&packed, 2, 0, 8, "value of row 0, vector 0 of strip 0 is 8");
    damaged(&packed, 2, 3, 1, "value of row 0, vector 3 of strip 0 is 1, want 0");
    lac_packed_release(&packed);
    check(pack_text(&packed, "sr-bcrs:v=2", &tensor, &err), &err);
    packed.rows = packed.dims[0] = 1; /* row 1 is behind the matrix now */
    packed.field[0].dims[0] = 2;
    assert_int_equal(lac_packed_validate(&packed, &err), LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "it is padding"));
    lac_packed_release(&packed);

    check(pack_text(&packed, "delta", &tensor, &err), &err);
    damaged(&packed, 0, 0, 1, "row[0] = 1");
    damaged(&packed, 0, 1, 3, "row[2] = 2, want at least 3");
    damaged(&packed, 0, 3, -1, "row[3] = -1");
    damaged(&packed, 1, 2, 5, "entry 2 of row 0 is column 8 of 8");
    damaged(&packed, 1, 1, 0, "entry 1 of row 0 is the second of its column");
    lac_packed_release(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sr_bcrs),
        cmocka_unit_test(test_delta),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
