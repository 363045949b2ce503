/* Format csr: matrices around the sizes of strips and blocks at many densities, the bytes of the
 * formula, what validate refuses, the function body run. */
#include "core/random.h"
#include "format/csr.h"
#include "format/packed.h"

#include <lacuna/lacuna.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { START, ROW, COUNT, COL, VALUES };

static void pack(lac_packed *packed, const lac_tensor *tensor)
{
    lac_error err = {0};
    const lac_format *csr = (const lac_format *)lac_table_find(&lac_formats, "csr");
    if (lac_pack(packed, csr, NULL, LAC_VIEW_ROWS, tensor, &err) != LAC_OK)
        fail_msg("%s", err.message);
}

/* Of 256 elements `keep` are not zero, fewer in some rows and none in others. */
static void fill(lac_tensor *tensor, int64_t rows, int64_t cols, unsigned keep, lac_random *random)
{
    lac_error err = {0};
    assert_int_equal(lac_tensor_make(tensor, LAC_F32, 2, (int64_t[]){rows, cols}, &err), LAC_OK);
    for (int64_t i = 0; i < rows * cols; i++) {
        uint64_t draw = lac_random_next(random);
        unsigned share = keep == 256 ? 256 : keep * (unsigned)(i / cols % 5) / 4;
        if ((draw >> 8 & 255) < share)
            ((float *)tensor->data)[i] = (float)(draw >> 40 & 127) - 128;
    }
}

/* The function body of saved models, run: the same matrix. */
static void run_body(const lac_packed *packed, const lac_tensor *tensor)
{
    lac_error err = {0};
    lac_graph *graph;
    lac_tensor back;
    int field[5], matrix;
    lac_session *session;
    assert_int_equal(lac_graph_make(&graph, "g", 17, &err), LAC_OK);
    for (int f = 0; f < 5; f++) {
        lac_tensor copy;
        assert_int_equal(lac_tensor_copy(&copy, &packed->field[f], &err), LAC_OK);
        assert_int_equal(lac_graph_constant(graph, NULL, &copy, &field[f], &err), LAC_OK);
        lac_tensor_release(&copy);
    }
    if (packed->format->unpack_graph(packed, graph, field, &matrix, &err) != LAC_OK ||
        lac_graph_output(graph, matrix, &err) != LAC_OK ||
        lac_graph_settle(graph, &err) != LAC_OK ||
        lac_session_make(&session, graph, &(lac_session_options){.no_fusion = true}, &err) !=
            LAC_OK ||
        lac_session_run(session, NULL, &back, &err) != LAC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(back.rank, 2);
    assert_memory_equal(back.dims, tensor->dims, 2 * sizeof *back.dims);
    assert_memory_equal(back.data, tensor->data, lac_tensor_bytes(tensor));
    lac_tensor_release(&back);
    lac_session_free(session);
    lac_graph_free(graph);
}

static void test_sizes(void **state)
{
    (void)state;
    static const int64_t shapes[][2] = {{1, 1},     {1, 127},   {1, 128},   {2, 129},  {3, 191},
                                        {5, 192},   {7, 193},   {255, 40},  {256, 33}, {257, 130},
                                        {300, 385}, {513, 257}, {600, 200}, {70, 1}};
    static const unsigned kept[] = {0, 4, 25, 40, 120, 256};
    lac_random random = lac_random_stream(6, 1);
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int k = 0; k < 6; k++) {
            lac_tensor tensor, back;
            lac_packed packed;
            lac_error err = {0};
            int64_t rows = shapes[s][0], cols = shapes[s][1], nonzeros = 0;
            fill(&tensor, rows, cols, kept[k], &random);
            for (int64_t i = 0; i < rows * cols; i++)
                nonzeros += ((float *)tensor.data)[i] != 0;
            int64_t block = nonzeros <= (rows * cols - 1) / 8 ? 192 : 128;
            int64_t blocks = (cols + block - 1) / block, strips = (rows + 255) / 256;
            pack(&packed, &tensor);
            assert_int_equal(lac_packed_bytes(&packed),
                             4 * (strips * blocks + 1) + 2 * rows * blocks + 5 * (nonzeros + 3));
            assert_int_equal(lac_unpack(&packed, &back, &err), LAC_OK);
            assert_memory_equal(back.data, tensor.data, lac_tensor_bytes(&tensor));
            run_body(&packed, &tensor);
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

/* Puts `value` into a byte, expects the refusal and puts the byte back. */
static void spoil(lac_packed *packed, int field, int at, int value, const char *part)
{
    uint8_t *byte = (uint8_t *)packed->field[field].data + at, before = *byte;
    *byte = (uint8_t)value;
    refused(packed, part);
    *byte = before;
}

static void test_refusals(void **state)
{
    (void)state;
    float w[3 * 200] = {0}; /* two blocks: row 2 has most in the first, rows 0 and 1 in the other */
    lac_error err = {0};
    lac_packed packed;
    w[7] = 1;
    w[195] = 2;
    w[200 + 196] = 3;
    w[400] = 4;
    w[401] = 5;
    lac_tensor tensor = lac_tensor_view(LAC_F32, 2, (int64_t[]){3, 200}, w);
    pack(&packed, &tensor);
    assert_int_equal(lac_packed_validate(&packed, &err), LAC_OK);
    static const uint8_t row[] = {2, 0, 1, 0, 1, 2}, count[] = {2, 1, 0, 1, 1, 0};
    static const uint8_t col[] = {0, 1, 7, 3, 4, 0, 0, 0};
    assert_memory_equal(packed.field[ROW].data, row, sizeof row);
    assert_memory_equal(packed.field[COUNT].data, count, sizeof count);
    assert_memory_equal(packed.field[COL].data, col, sizeof col);
    spoil(&packed, START, 0, 1, "start runs from 1 to 5, want 0 to 5");
    spoil(&packed, START, 8, 4, "start runs from 0 to 4, want 0 to 5");
    spoil(&packed, START, 4, 6, "start[1] = 6, want at least 0 and at most 5");
    spoil(&packed, START, 4, 2, "count[1] = 1, cell 0 has 0 left");
    spoil(&packed, START, 4, 4, "cell 0 has 4 elements, its counts add up to 3");
    spoil(&packed, ROW, 0, 3, "row[0] = 3, want each below 3 once in cell 0");
    spoil(&packed, ROW, 1, 2, "row[1] = 2, want each below 3 once in cell 0");
    spoil(&packed, COUNT, 0, 0, "count[1] = 1 of row 0 follows 0 of row 2");
    spoil(&packed, COUNT, 2, 1, "count[2] = 1, cell 0 has 0 left");
    ((uint8_t *)packed.field[ROW].data)[3] = 1; /* equal counts, falling rows */
    spoil(&packed, ROW, 4, 0, "count[4] = 1 of row 0 follows 1 of row 1");
    ((uint8_t *)packed.field[ROW].data)[3] = 0;
    spoil(&packed, COL, 1, 0, "col[1] = 0, want rising in its row and below 192");
    spoil(&packed, COL, 2, 192, "col[2] = 192, want rising in its row and below 192");
    spoil(&packed, COL, 4, 8, "col[4] = 8, want rising in its row and below 8");
    spoil(&packed, COL, 7, 1, "the 3 elements behind the last are not 0");
    spoil(&packed, VALUES, 5 * 4 + 3, 0x80, "the 3 elements behind the last are not 0");
    packed.field[VALUES].dims[0] = 2;
    refused(&packed, "field 'values' has 2 elements, want at least 3");
    packed.field[VALUES].dims[0] = 7;
    refused(&packed, "field 'col' has 8 elements, want 7");
    packed.field[VALUES].dims[0] = 8;
    assert_int_equal(lac_packed_validate(&packed, &err), LAC_OK);
    lac_packed_release(&packed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
