/* Errors, half floats, tensors, parameters, text files, arenas. */
#include "core/memory.h"
#include "core/random.h"
#include "core/text.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_error_is_one_line(void **state)
{
    (void)state;
    lac_error err;
    assert_int_equal(lac_fail(&err, LAC_ERROR_INPUT, "a\nb %d", 7), LAC_ERROR_INPUT);
    assert_string_equal(err.message, "a b 7");
    lac_fail_in(&err, LAC_ERROR_IO, "file '%s'", "x");
    assert_string_equal(err.message, "file 'x': a b 7");
    lac_fail_in(&err, LAC_ERROR_IO, "file '%s'", "x"); /* two callers that know the file */
    assert_string_equal(err.message, "file 'x': a b 7");
    lac_fail_in(&err, LAC_ERROR_IO, "file '%s", "x"); /* the beginning of a word is another one */
    assert_string_equal(err.message, "file 'x: file 'x': a b 7");
    assert_int_equal(lac_fail(NULL, LAC_ERROR_MEMORY, "x"), LAC_ERROR_MEMORY);
}

static void test_every_half_float_round_trips(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        float value = lac_f16_to_f32((uint16_t)half);
        if (isnan(value))
            assert_true((lac_f32_to_f16(value) & 0x7c00) == 0x7c00 &&
                        (lac_f32_to_f16(value) & 0x3ff));
        else
            assert_int_equal(lac_f32_to_f16(value), half);
    }
    assert_int_equal(lac_f32_to_f16(65520.0f), 0x7c00); /* ties to even: infinity */
    assert_int_equal(lac_f32_to_f16(65519.0f), 0x7bff);
    assert_int_equal(lac_f32_to_f16(0x1p-25f), 0); /* half of the least: to even */
    assert_int_equal(lac_f32_to_f16(0x1.8p-25f), 1);
    assert_int_equal(lac_f32_to_bf16(1.00390625f), 0x3f80);
    assert_int_equal(lac_f32_to_bf16(1.01171875f), 0x3f82);
}

static void test_shapes_are_checked(void **state)
{
    (void)state;
    lac_error err;
    int64_t count;
    assert_int_equal(lac_shape_count(3, (int64_t[]){2, 3, 4}, &count, &err), LAC_OK);
    assert_int_equal(count, 24);
    assert_int_equal(lac_shape_count(2, (int64_t[]){INT64_MAX, 0}, &count, &err), LAC_OK);
    assert_int_equal(count, 0);
    assert_int_equal(lac_shape_count(2, (int64_t[]){-1, 0}, &count, &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_shape_count(2, (int64_t[]){INT64_MAX, 3}, &count, &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_shape_count(9, NULL, &count, &err), LAC_ERROR_INPUT);
    lac_tensor tensor;
    assert_int_equal(lac_tensor_make(&tensor, LAC_STRING, 0, NULL, &err), LAC_ERROR_UNSUPPORTED);
}

static void test_elements_of_every_type(void **state)
{
    (void)state;
    lac_error err;
    const double values[] = {0, 1, 5, -3, 300, -70000, 1e20, -1e20, 0.5};
    for (int dtype = 1; dtype < LAC_DTYPE_LIMIT; dtype++) {
        if (lac_dtype_bits((lac_dtype)dtype) == 0)
            continue;
        lac_tensor tensor, wide, back;
        assert_int_equal(lac_tensor_make(&tensor, (lac_dtype)dtype, 1, (int64_t[]){9}, &err), 0);
        for (int i = 0; i < 9; i++)
            lac_tensor_set(&tensor, i, values[i]);
        assert_int_equal((int)lac_tensor_get(&tensor, 1), 1);
        assert_int_equal(lac_tensor_convert(&wide, LAC_F64, &tensor, &err), 0);
        assert_int_equal(lac_tensor_convert(&back, (lac_dtype)dtype, &wide, &err), 0);
        if (dtype != LAC_U64 && dtype != LAC_I64) /* 2^64 - 1 is no double */
            assert_memory_equal(tensor.data, back.data, lac_tensor_bytes(&tensor));
        lac_tensor_release(&tensor);
        lac_tensor_release(&wide);
        lac_tensor_release(&back);
    }
}

static const lac_param schema[] = {
    {"n", LAC_PARAM_INT, "", 2, 1, 32, NULL, NULL, LAC_OPTION, "", "kept"},
    {"rate", LAC_PARAM_REAL, "", 0.5, 0, 1, NULL, NULL, LAC_OPTION, "", "rate"},
    {"flow", LAC_PARAM_CHOICE, "", 0, 0, 0, "ws", "ws|os|is", LAC_OPTION, "", "dataflow"},
    {"mix", LAC_PARAM_TEXT, "", 0, 0, 0, "", NULL, LAC_OPTION, "", "free"},
    {0}};

static void test_parameters(void **state)
{
    (void)state;
    lac_error err;
    lac_params params;
    char text[200];
    lac_params_init(&params, schema);
    assert_int_equal(lac_params_parse(&params, "n=4,flow=os,mix=q=1:1", &err), LAC_OK);
    assert_string_equal(lac_params_print(&params, text, sizeof text),
                        "n=4,rate=0.5,flow=os,mix=q=1:1");
    assert_int_equal(lac_params_int(&params, "n"), 4);
    assert_int_equal(lac_params_set(&params, "n", "33", &err), LAC_ERROR_INPUT);
    assert_string_equal(err.message, "parameter n = '33': want an integer in 1..32");
    assert_int_equal(lac_params_set(&params, "n", "4x", &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_params_set(&params, "rate", "nan", &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_params_set(&params, "flow", "o", &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_params_parse(&params, "what=1", &err), LAC_ERROR_INPUT);
    assert_string_equal(err.message, "unknown parameter 'what'; known: n, rate, flow, mix");
}

static void test_random_streams(void **state)
{
    (void)state;
    lac_random random = lac_random_stream(1, 1);
    assert_true(lac_random_next(&random) == UINT64_C(0x41f9d639c82caba3));
    assert_true(lac_random_next(&random) == UINT64_C(0x604fc2bd55323e12));
    assert_true(lac_random_next(&random) == UINT64_C(0x3ba44ff41a666c22));
}

static void test_files_appear_whole(void **state)
{
    (void)state;
    lac_error err;
    char path[] = "/tmp/lacuna_test_XXXXXX", inside[64];
    assert_non_null(mkdtemp(path));
    snprintf(inside, sizeof inside, "%s/f", path);
    assert_int_equal(lac_write_file(inside, "hello", 5, &err), LAC_OK);
    char *data;
    size_t bytes;
    assert_int_equal(lac_read_file(&data, &bytes, inside, 5, &err), LAC_OK);
    assert_int_equal(bytes, 5);
    assert_string_equal(data, "hello");
    lac_free(data);
    assert_int_equal(lac_read_file(&data, &bytes, inside, 4, &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_write_file("/dev/full", "x", 1, &err), LAC_ERROR_IO);
    assert_int_equal(lac_write_file("/nonexistent/x", "x", 1, &err), LAC_ERROR_IO);
    remove(inside);
    remove(path);
}

/* Unicode's table of well-formed sequences: each pair is bytes, and what becomes of them. */
static void test_any_bytes_become_utf8(void **state)
{
    (void)state;
#define BAD "\xef\xbf\xbd"
    static const char *const pairs[][2] = {
        {"", ""},
        {"plain /x:0", "plain /x:0"},
        {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\x80", BAD},                            /* continuation alone */
        {"a\xffz", "a" BAD "z"},                  /* no lead at all */
        {"\xc0\xaf", BAD BAD},                    /* overlong slash */
        {"\xe0\x9f\xbf", BAD BAD BAD},            /* overlong in three */
        {"\xed\x9f\xbf", "\xed\x9f\xbf"},         /* the last before the surrogates */
        {"\xed\xa0\x80", BAD BAD BAD},            /* a surrogate */
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"}, /* U+10FFFF */
        {"\xf4\x90\x80\x80", BAD BAD BAD BAD},    /* above it */
        {"\xf5\x80\x80\x80", BAD BAD BAD BAD},
        {"\xe2\x82", BAD BAD},      /* cut short by the end */
        {"\xc3(\xa9", BAD "(" BAD}, /* ... and by a letter */
        {"\xf0\x9f\x98z", BAD BAD BAD "z"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        lac_text text = {0};
        lac_text_utf8(&text, pairs[i][0]);
        assert_string_equal(text.data ? text.data : "", pairs[i][1]);
        lac_text_release(&text);
    }
}

static void test_allocation_failures_are_reported(void **state)
{
    (void)state;
    lac_error err;
    lac_tensor tensor;
    for (int n = 0; n < 2; n++) {
        lac_alloc_fail_after(n);
        assert_int_equal(lac_tensor_make(&tensor, LAC_F32, 1, (int64_t[]){4}, &err),
                         LAC_ERROR_MEMORY);
        lac_alloc_fail_after(-1);
    }
    assert_null(lac_alloc(SIZE_MAX / 2, 4, &err));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_error_is_one_line),
        cmocka_unit_test(test_every_half_float_round_trips),
        cmocka_unit_test(test_shapes_are_checked),
        cmocka_unit_test(test_elements_of_every_type),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_random_streams),
        cmocka_unit_test(test_files_appear_whole),
        cmocka_unit_test(test_any_bytes_become_utf8),
        cmocka_unit_test(test_allocation_failures_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
