/* Every format row, walked from the table: pack -> unpack is the identity, bytes by formula equal
 * the bytes written, hostile fields are refused or unpacked without harm. */
#include "core/memory.h"
#include "core/random.h"
#include "format/packed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* A matrix that fits every format: 2:4, at most 8 distinct small values on an int8 grid (of 127
 * steps; of at most 7 where codes have 4 bits). */
static void fill(const lac_format *format, lac_tensor *tensor, lac_dtype dtype, int rank,
                 const int64_t *dims, lac_view view, uint64_t seed)
{
    lac_error err;
    lac_tensor matrix;
    int64_t rows, cols;
    assert_int_equal(lac_view_size(view, rank, dims, &rows, &cols, &err), LAC_OK);
    assert_int_equal(lac_tensor_make(&matrix, dtype, 2, (int64_t[]){rows, cols}, &err), LAC_OK);
    lac_random random = lac_random_stream(seed, 1);
    bool few = strcmp(format->row.name, "intq") == 0 || strcmp(format->row.name, "bcq") == 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < cols; k++) {
            uint64_t draw = lac_random_next(&random);
            double value = (double)((int)(draw >> 32 & 3) + 1) * (draw & 8 ? -1 : 1);
            if (k % 4 >= 2 || (draw & 1)) /* the first two of a group of four */
                value = 0;
            if (k == 0) /* the largest of the row is 127 (7) steps of 1 */
                value = few ? 7 : 127;
            lac_tensor_set(&matrix, r * cols + k, dtype == LAC_U8 && value < 0 ? 3 : value);
        }
    assert_int_equal(lac_view_tensor(view, &matrix, rank, dims, tensor, &err), LAC_OK);
    lac_tensor_release(&matrix);
}

typedef void visitor(const lac_format *format, lac_packed *packed, const lac_tensor *tensor);

static const struct {
    lac_view view;
    int rank;
    int64_t dims[4];
} shapes[] = {
    {LAC_VIEW_ROWS, 2, {5, 8}},     {LAC_VIEW_ROWS, 2, {3, 9}},       {LAC_VIEW_ROWS, 1, {7}},
    {LAC_VIEW_COLUMNS, 2, {11, 6}}, {LAC_VIEW_CONV, 4, {4, 5, 3, 3}}, {LAC_VIEW_ROWS, 2, {1, 1}},
    {LAC_VIEW_CONV, 3, {2, 4, 5}},  {LAC_VIEW_ROWS, 3, {2, 3, 70}},
};

static void for_each(visitor *visit)
{
    lac_error err = {0};
    int visited = 0;
    for (int f = 0; f < lac_table_count(&lac_formats); f++) {
        const lac_format *format = (const lac_format *)lac_table_at(&lac_formats, f);
        for (int dtype = 0; dtype < LAC_DTYPE_LIMIT; dtype++)
            for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
                if (!(format->dtypes & LAC_BIT(dtype)))
                    continue;
                lac_tensor tensor;
                lac_packed packed;
                fill(format, &tensor, (lac_dtype)dtype, shapes[s].rank, shapes[s].dims,
                     shapes[s].view, s);
                lac_status status = lac_pack(&packed, format, NULL, shapes[s].view, &tensor, &err);
                if (status != LAC_OK)
                    fail_msg("%s %s: %s", format->row.name, lac_dtype_name((lac_dtype)dtype),
                             err.message);
                visit(format, &packed, &tensor);
                lac_packed_release(&packed);
                lac_tensor_release(&tensor);
                visited++;
            }
    }
    assert_true(visited >= 8 * lac_table_count(&lac_formats));
}

static void round_trip(const lac_format *format, lac_packed *packed, const lac_tensor *tensor)
{
    lac_error err = {0};
    lac_tensor back;
    int64_t bytes;
    if (lac_unpack(packed, &back, &err) != LAC_OK)
        fail_msg("%s: %s", format->row.name, err.message);
    assert_int_equal(back.rank, tensor->rank);
    assert_memory_equal(back.data, tensor->data, lac_tensor_bytes(tensor));
    lac_tensor_release(&back);
    assert_int_equal(lac_format_bytes(format, &packed->params, packed->view, tensor, &bytes, &err),
                     LAC_OK);
    assert_int_equal(bytes, lac_packed_bytes(packed));
    if (!format->bytes_after)
        return;
    lac_status status =
        lac_format_bytes_after(format, &packed->params, packed->view, tensor, &bytes, &err);
    int64_t group = format->group ? lac_params_int(&packed->params, format->group) : 1;
    if (!lac_view_groups(packed->view, tensor->rank, tensor->dims, group)) {
        assert_int_equal(status, LAC_ERROR_UNSUPPORTED);
        return;
    }
    assert_int_equal(status, LAC_OK); /* what fits stays as it is */
    assert_int_equal(bytes, lac_packed_bytes(packed));
}

static void test_round_trip(void **state)
{
    (void)state;
    for_each(round_trip);
}

/* Flips bits and cuts fields: validate refuses, or unpack reads nothing outside (sanitizers). */
static void attack(const lac_format *format, lac_packed *packed, const lac_tensor *tensor)
{
    (void)tensor;
    lac_error err;
    lac_tensor back;
    lac_random random = lac_random_stream(lac_tensor_bytes(tensor), 99);
    for (int i = 0; i < LAC_MAX_FIELDS && format->fields[i].name; i++) {
        lac_tensor *field = &packed->field[i];
        size_t bytes = lac_tensor_bytes(field);
        for (int round = 0; round < 64 && bytes; round++) {
            unsigned char *byte = (unsigned char *)field->data + lac_random_next(&random) % bytes;
            unsigned char before = *byte;
            *byte ^= (unsigned char)(1u << lac_random_next(&random) % 8);
            if (lac_unpack(packed, &back, &err) == LAC_OK)
                lac_tensor_release(&back);
            *byte = before;
        }
        field->dims[0]--;
        if (lac_packed_validate(packed, &err) == LAC_OK)
            fail_msg("%s: a field '%s' cut short is accepted", format->row.name,
                     format->fields[i].name);
        field->dims[0]++;
    }
}

static void test_hostile_fields(void **state)
{
    (void)state;
    for_each(attack);
}

static void through_node(const lac_format *format, lac_packed *packed, const lac_tensor *tensor)
{
    (void)format;
    lac_error err = {0};
    lac_graph *graph;
    lac_packed again;
    int value, n = 0;
    const lac_tensor *in[LAC_MAX_FIELDS];
    assert_int_equal(lac_graph_make(&graph, "g", 17, &err), LAC_OK);
    assert_int_equal(lac_packed_to_graph(packed, graph, "w", &value, &err), LAC_OK);
    const lac_node *node = &graph->nodes[graph->values[value].producer];
    for (; n < node->n_in; n++)
        in[n] = &graph->values[node->in[n]].constant;
    if (lac_packed_from_node(&again, node, n, in, &err) != LAC_OK)
        fail_msg("%s", err.message);
    lac_tensor back;
    assert_int_equal(lac_unpack(&again, &back, &err), LAC_OK);
    assert_memory_equal(back.data, tensor->data, lac_tensor_bytes(tensor));
    lac_tensor_release(&back);
    lac_packed_release(&again);
    lac_graph_free(graph);
}

static void test_through_a_node(void **state)
{
    (void)state;
    for_each(through_node);
}

static void with_failing_memory(const lac_format *format, lac_packed *packed,
                                const lac_tensor *tensor)
{
    lac_error err;
    lac_packed again;
    for (int n = 0; n < 40; n++) {
        lac_alloc_fail_after(n);
        lac_status status = lac_pack(&again, format, &packed->params, packed->view, tensor, &err);
        lac_alloc_fail_after(-1);
        if (status == LAC_OK) {
            lac_packed_release(&again);
            return;
        }
        assert_int_equal(status, LAC_ERROR_MEMORY);
    }
    fail_msg("%s: still failing", format->row.name);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    for_each(with_failing_memory);
}

static void test_misfits_are_refused(void **state)
{
    (void)state;
    lac_error err;
    lac_packed packed;
    const lac_format *format;
    lac_params params;
    float row[8] = {1, 2, 3, 0, 0, 0, 0, 0};
    lac_tensor tensor = lac_tensor_view(LAC_F32, 2, (int64_t[]){1, 8}, row);
    assert_int_equal(lac_format_parse("nm:n=2,m=4", &format, &params, &err), LAC_OK);
    assert_int_equal(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &tensor, &err),
                     LAC_ERROR_INPUT);
    assert_string_equal(err.message, "nm: row 0 has 3 non-zeros in columns 0..3, limit n = 2");
    assert_int_equal(lac_format_parse("nm:n=5,m=4", &format, &params, &err), LAC_OK);
    assert_int_equal(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &tensor, &err),
                     LAC_ERROR_INPUT);
    assert_int_equal(lac_format_parse("codebook:bits=1", &format, &params, &err), LAC_OK);
    assert_int_equal(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &tensor, &err),
                     LAC_ERROR_INPUT);
    row[1] = 0.3f;
    assert_int_equal(lac_format_parse("int8", &format, &params, &err), LAC_OK);
    assert_int_equal(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &tensor, &err),
                     LAC_ERROR_INPUT);
    assert_int_equal(lac_format_parse("what", &format, &params, &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_format_parse("nm:n=99", &format, &params, &err), LAC_ERROR_INPUT);
}

/* A row that says what makes a matrix fit refuses one that does not, in pack and in bytes alike;
 * all others take it. */
static void test_bytes_refuse_what_pack_refuses(void **state)
{
    (void)state;
    int misfits = 0;
    for (int f = 0; f < lac_table_count(&lac_formats); f++) {
        const lac_format *format = (const lac_format *)lac_table_at(&lac_formats, f);
        assert_int_equal(!format->remedy, !format->bytes_after);
        for (int dtype = 0; dtype < LAC_DTYPE_LIMIT; dtype++) {
            if (!(format->dtypes & LAC_BIT(dtype)))
                continue;
            lac_error err = {0};
            lac_tensor tensor;
            lac_packed packed;
            int64_t bytes = -1;
            assert_int_equal(
                lac_tensor_make(&tensor, (lac_dtype)dtype, 2, (int64_t[]){8, 64}, &err), LAC_OK);
            lac_random random = lac_random_stream(5, (uint64_t)dtype);
            for (int i = 0; i < 512; i++) /* no zero, many values, on no grid */
                lac_tensor_set(&tensor, i,
                               lac_dtype_is_float((lac_dtype)dtype)
                                   ? 0.1 + lac_random_unit(&random)
                                   : (double)(1 + lac_random_next(&random) % 127));
            lac_status status = lac_pack(&packed, format, NULL, LAC_VIEW_ROWS, &tensor, &err);
            if (status == LAC_OK)
                lac_packed_release(&packed);
            assert_int_equal(status, format->remedy ? LAC_ERROR_INPUT : LAC_OK);
            char refusal[sizeof err.message];
            memcpy(refusal, err.message, sizeof refusal);
            assert_int_equal(lac_format_bytes(format, NULL, LAC_VIEW_ROWS, &tensor, &bytes, &err),
                             status);
            assert_string_equal(err.message, refusal);
            misfits += format->remedy != NULL;
            if (format->remedy) {
                assert_int_equal(
                    lac_format_bytes_after(format, NULL, LAC_VIEW_ROWS, &tensor, &bytes, &err),
                    LAC_OK);
                assert_true(bytes > 0);
            } else {
                assert_int_equal(
                    lac_format_bytes_after(format, NULL, LAC_VIEW_ROWS, &tensor, &bytes, &err),
                    LAC_ERROR_UNSUPPORTED);
            }
            lac_tensor_release(&tensor);
        }
    }
    assert_true(misfits >= 5); /* nm, int8, codebook, sta, eie-csc */
}

/* Values 0, 1, 2, ...: the narrowest codes that hold them. */
static void test_fit_chooses_the_fewest_bits(void **state)
{
    (void)state;
    static const struct {
        int values, codebook, eie;
    } want[] = {{1, 1, 1},  {2, 1, 1},  {3, 2, 2},   {4, 2, 2},   {5, 3, 3},  {8, 3, 3},
                {16, 4, 4}, {17, 5, 5}, {128, 7, 7}, {129, 8, 8}, {256, 8, 8}};
    float w[512];
    lac_error err;
    lac_params params;
    const lac_format *format;
    lac_tensor tensor = lac_tensor_view(LAC_F32, 2, (int64_t[]){2, 256}, w);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        for (int k = 0; k < 512; k++)
            w[k] = (float)(k % want[i].values);
        for (int e = 0; e < 2; e++) {
            int64_t least, bytes;
            assert_int_equal(lac_format_parse(e ? "eie-csc" : "codebook", &format, &params, &err),
                             LAC_OK);
            assert_int_equal(lac_format_fit(format, &params, LAC_VIEW_ROWS, &tensor, &err), LAC_OK);
            const char *bits = e ? "code_bits" : "bits";
            assert_int_equal(lac_params_int(&params, bits), e ? want[i].eie : want[i].codebook);
            assert_int_equal(
                lac_format_bytes(format, &params, LAC_VIEW_ROWS, &tensor, &least, &err), LAC_OK);
            for (int other = 1; other <= 8; other++) { /* narrower is refused, wider is larger */
                char text[8];
                snprintf(text, sizeof text, "%d", other);
                assert_int_equal(lac_params_set(&params, bits, text, &err), LAC_OK);
                if (lac_format_bytes(format, &params, LAC_VIEW_ROWS, &tensor, &bytes, &err) ==
                    LAC_OK)
                    assert_true(bytes >= least);
            }
        }
    }
    for (int k = 0; k < 512; k++)
        w[k] = (float)k;
    assert_int_equal(lac_format_parse("codebook:bits=3", &format, &params, &err), LAC_OK);
    assert_int_equal(lac_format_fit(format, &params, LAC_VIEW_ROWS, &tensor, &err), LAC_OK);
    assert_int_equal(lac_params_int(&params, "bits"), 3); /* nothing holds it: left alone */
}

/* What `fit` finds of `n` non-zeros in groups of `m`; nothing where it would not pay. */
static void pattern(int n, int m, int64_t channels, const char *want)
{
    lac_error err;
    lac_params params;
    const lac_format *format;
    lac_tensor matrix, tensor;
    char text[64];
    assert_int_equal(lac_tensor_make(&matrix, LAC_F32, 2, (int64_t[]){4, 48}, &err), LAC_OK);
    for (int i = 0; i < 4 * 48; i++)
        ((float *)matrix.data)[i] = (float)(i % m < n);
    int64_t dims[] = {4, channels, 48 / channels, 1};
    assert_int_equal(lac_view_tensor(LAC_VIEW_CONV, &matrix, 4, dims, &tensor, &err), LAC_OK);
    assert_int_equal(lac_format_parse("nm:n=1,m=3", &format, &params, &err), LAC_OK);
    assert_int_equal(lac_format_fit(format, &params, LAC_VIEW_CONV, &tensor, &err), LAC_OK);
    assert_string_equal(lac_params_print(&params, text, sizeof text), want);
    lac_tensor_release(&matrix);
    lac_tensor_release(&tensor);
}

static void test_fit_finds_patterns_that_pay(void **state)
{
    (void)state;
    pattern(2, 4, 48, "n=2,m=4,bits=8");
    pattern(1, 4, 48, "n=1,m=4,bits=8");
    pattern(1, 16, 48, "n=1,m=16,bits=8");
    pattern(8, 16, 48, "n=8,m=16,bits=8");
    pattern(9, 16, 48, "n=1,m=3,bits=8"); /* as given: more than half are kept, that does not pay */
    pattern(3, 4, 48, "n=1,m=3,bits=8");
    pattern(2, 4, 12, "n=2,m=4,bits=8"); /* a window's 12 channels are three groups */
    pattern(2, 4, 3, "n=1,m=3,bits=8");  /* its 3 channels hold none */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_hostile_fields),
        cmocka_unit_test(test_through_a_node),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_misfits_are_refused),
        cmocka_unit_test(test_bytes_refuse_what_pack_refuses),
        cmocka_unit_test(test_fit_chooses_the_fewest_bits),
        cmocka_unit_test(test_fit_finds_patterns_that_pay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
