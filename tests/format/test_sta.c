/* The format row sta: the worked example of its dossier to the byte, every N:M there and back, what
 * must be refused, the formula in standard operators. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <lacuna/op.h>

#include "core/memory.h"
#include "core/random.h"
#include "format/packed.h"
#include "format/sta_image.h"

static lac_error err;

static const int8_t example[3][9] = {{0, 0, 112, 124, 0, -18, 0, -20, -105},
                                     {81, -105, 0, 0, 0, -47, -32, 0, -62},
                                     {-52, -83, 0, 0, 0, 0, -43, -119, 36}};

static const uint8_t bitmap_image[40] = {
    0xac, 0x63, 0x70, 0xee, 0x51, 0xd1, 0x7c, 0xec, 0x97, 0xe0, 0x33, 0x33, 0x97, 0x00,
    0xc2, 0x00, 0x00, 0x00, 0x00, 0x00, 0xc3, 0x33, 0xcc, 0xd5, 0x00, 0x00, 0xad, 0x89,
    0x00, 0x00, 0x33, 0x33, 0x24, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
static const uint8_t index_metadata[4][2] = {
    {0xde, 0x94}, {0x44, 0x44}, {0xe4, 0x44}, {0x44, 0x44}};
static const uint8_t bitmap_header[64] = {
    0x53, 0x54, 0x41, 0x31, 0x02, 0x00, 0x04, 0x00, 0x02, 0x00, 0x02, 0x00, 0x00, 0x08, 0x00,
    0x00, 0x03, 0x00, 0x00, 0x00, 0x09, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x02, 0x00,
    0x00, 0x00, 0x28, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x54, 0x80, 0x5c, 0x96};

static lac_packed pack(const char *spec, const int8_t *data, int64_t rows, int64_t cols)
{
    const lac_format *format;
    lac_params params;
    lac_packed packed = {0};
    lac_tensor tensor =
        lac_tensor_view(LAC_I8, 2, (int64_t[]){rows, cols}, (void *)(uintptr_t)data);
    if (lac_format_parse(spec, &format, &params, &err) != LAC_OK ||
        lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &tensor, &err) != LAC_OK)
        fail_msg("%s: %s", spec, err.message);
    return packed;
}

static void test_worked_example(void **state)
{
    (void)state;
    lac_packed packed = pack("sta:n=2,m=4,c=2,l=2", example[0], 3, 9);
    const uint8_t *bytes = packed.field[0].data;
    assert_int_equal(lac_packed_bytes(&packed), 104);
    assert_memory_equal(bytes, bitmap_header, 64);
    assert_memory_equal(bytes + 64, bitmap_image, 40);
    lac_packed_release(&packed);

    uint8_t index_image[40];
    memcpy(index_image, bitmap_image, 40);
    for (int step = 0; step < 4; step++)
        memcpy(index_image + 10 * step, index_metadata[step], 2);
    packed = pack("sta:n=2,m=4,c=2,l=2,enc=index", example[0], 3, 9);
    bytes = packed.field[0].data;
    assert_memory_equal(bytes + 64, index_image, 40);
    assert_int_equal(bytes[12], 1);
    assert_int_equal(lac_sta_crc(bytes + 64, 40), 0xffbef564);
    assert_memory_equal(bytes + 40, ((uint8_t[]){0x64, 0xf5, 0xbe, 0xff}), 4);
    lac_packed_release(&packed);
}

/* A random matrix with at most n of m. */
static void fill(int8_t *matrix, int64_t rows, int64_t cols, int n, int m, lac_random *random)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t g = 0; g < cols; g += m)
            for (int64_t i = g, left = n; i < cols && i < g + m; i++) {
                uint64_t draw = lac_random_next(random);
                bool keep = left > 0 && draw % (uint64_t)m < (uint64_t)n;
                matrix[r * cols + i] = keep ? (int8_t)(draw >> 32) : 0;
                left -= keep;
            }
}

/* Every N <= M <= 16, K of 1..70 and n_out of 1..35 (sta.md, 7, 1), 333,200 images; a few of each
 * pattern where LACUNA_SHORT says that everything is slow. */
static void test_there_and_back(void **state)
{
    (void)state;
    static int8_t matrix[35 * 70];
    lac_random random = lac_random_stream(2, 0);
    int step = getenv("LACUNA_SHORT") ? 131 : 1;
    for (int m = 1; m <= 16; m++)
        for (int n = 1; n <= m; n++)
            for (int shape = (n + 16 * m) % step; shape < 35 * 70; shape += step) {
                int64_t rows = 1 + shape / 70, cols = 1 + shape % 70;
                char spec[64];
                lac_tensor back;
                snprintf(spec, sizeof spec, "sta:n=%d,m=%d,enc=%s", n, m,
                         shape % 2 ? "index" : "bitmap");
                fill(matrix, rows, cols, n, m, &random);
                lac_packed packed = pack(spec, matrix, rows, cols);
                if (lac_unpack(&packed, &back, &err) != LAC_OK)
                    fail_msg("%s: %s", spec, err.message);
                if (memcmp(back.data, matrix, (size_t)(rows * cols)) != 0)
                    fail_msg("%s, %d x %d: not what was packed", spec, (int)rows, (int)cols);
                lac_tensor_release(&back);
                lac_packed_release(&packed);
            }
}

static void refused(lac_packed *packed, const char *word)
{
    if (lac_packed_validate(packed, &err) == LAC_OK)
        fail_msg("accepted, want '%s'", word);
    if (!strstr(err.message, word))
        fail_msg("refused with '%s', not '%s'", err.message, word);
}

/* Makes the checksum right again behind a change, so that the change itself is looked at. */
static void seal(lac_packed *packed)
{
    uint8_t *bytes = packed->field[0].data;
    uint32_t crc = lac_sta_crc(bytes + 64, packed->field[0].dims[0] - 64);
    for (int i = 0; i < 4; i++)
        bytes[40 + i] = (uint8_t)(crc >> (8 * i));
}

static void test_refusals(void **state)
{
    (void)state;
    static const struct {
        int at;
        uint8_t value;
        const char *word;
    } changes[] = {{0, 'X', "STA1"},
                   {4, 1, "crc"}, /* N = 1: see below, another size */
                   {12, 3, "enc = 3"},
                   {12, 2, "enc = 2"},
                   {13, 16, "value bits = 16"},
                   {14, 1, "reserved"},
                   {63, 1, "reserved"},
                   {24, 3, "tiles of 3 steps"},
                   {28, 3, "3 tiles"},
                   {32, 41, "image bytes = 41"},
                   {39, 0x80, "image bytes = 9223372036854775848"},
                   {40, 0, "crc"},
                   {8, 3, "want 1 of 2"},
                   {16, 4, "parameters"},
                   {20, 10, "parameters"}};
    lac_packed packed = pack("sta:n=2,m=4,c=2,l=2", example[0], 3, 9);
    uint8_t *bytes = packed.field[0].data;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        uint8_t before = bytes[changes[i].at];
        bytes[changes[i].at] = changes[i].value;
        refused(&packed, changes[i].at == 4 ? "image bytes" : changes[i].word);
        bytes[changes[i].at] = before;
    }
    static const struct {
        int at;
        uint8_t value;
        const char *word;
    } inside[] = {{64, 0xad, "keeps 3"}, {64, 0xa8, "keeps 1"}, {74, 0x53, "2 lowest"},
                  {77, 1, "behind"},     {80, 1, "behind"},     {88, 1, "behind"}};
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        uint8_t before = bytes[inside[i].at];
        bytes[inside[i].at] = inside[i].value;
        seal(&packed);
        refused(&packed, inside[i].word);
        bytes[inside[i].at] = before;
    }
    seal(&packed);
    assert_int_equal(lac_packed_validate(&packed, &err), LAC_OK);
    for (int64_t cut = 0; cut < 104; cut++) {
        packed.field[0].dims[0] = cut;
        assert_int_equal(lac_packed_validate(&packed, &err), LAC_ERROR_INPUT);
    }
    packed.field[0].dims[0] = 104;
    lac_packed_release(&packed);

    packed = pack("sta:n=2,m=4,c=2,l=2,enc=index", example[0], 3, 9);
    ((uint8_t *)packed.field[0].data)[64] = 0xdf; /* 3, 3: does not rise */
    seal(&packed);
    refused(&packed, "rising");
    lac_packed_release(&packed);

    const lac_format *format;
    lac_params params;
    lac_tensor tensor = lac_tensor_view(LAC_I8, 2, (int64_t[]){3, 9}, (void *)(uintptr_t)example);
    assert_int_equal(lac_format_parse("sta:n=1,m=4", &format, &params, &err), LAC_OK);
    assert_int_equal(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &tensor, &err),
                     LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "row 0 has 2 non-zeros in columns 0..3, limit n = 1"));
    assert_int_equal(lac_format_parse("sta:n=5,m=4", &format, &params, &err), LAC_OK);
    assert_int_equal(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &tensor, &err),
                     LAC_ERROR_INPUT);
    tensor.dtype = LAC_U8;
    assert_int_equal(lac_pack(&packed, format, NULL, LAC_VIEW_ROWS, &tensor, &err),
                     LAC_ERROR_INPUT);
}

/* Runs the nodes of `graph` in order by their operators' reference kernels. */
static void run_graph(const lac_graph *graph, int out, lac_tensor *result)
{
    static lac_tensor value[256];
    assert_true(graph->n_values < 256);
    for (int i = 0; i < graph->n_values; i++)
        lac_tensor_share(&value[i], &graph->values[i].constant);
    for (int i = 0; i < graph->n_nodes; i++) {
        const lac_node *node = &graph->nodes[i];
        const lac_op *op = lac_op_find(node->domain, node->op);
        const lac_tensor *in[8];
        lac_tensor made = {.dtype = LAC_I32};
        lac_call call = {node, graph->opset, node->n_in, node->n_out, in, &made};
        if (!op)
            fail_msg("no operator %s", node->op);
        for (int j = 0; j < node->n_in; j++)
            in[j] = &value[node->in[j]];
        if (op->infer(&call, &err) != LAC_OK ||
            lac_tensor_make(&made, made.dtype, made.rank, made.dims, &err) != LAC_OK ||
            op->run(&call, &err) != LAC_OK)
            fail_msg("%s: %s", node->op, err.message);
        value[node->out[0]] = made;
    }
    lac_tensor_share(result, &value[out]);
    for (int i = 0; i < graph->n_values; i++)
        lac_tensor_release(&value[i]);
}

/* The same numbers from standard operators, run by their reference kernels. */
static void test_body(void **state)
{
    (void)state;
    static const char *const specs[] = {"n=2,m=4", "n=2,m=4,enc=index", "n=1,m=1",
                                        "n=3,m=3", "n=3,m=5,enc=index", "n=7,m=31,c=3,l=2",
                                        "n=1,m=16"};
    static int8_t matrix[21 * 70];
    lac_random random = lac_random_stream(3, 0);
    for (size_t s = 0; s < sizeof specs / sizeof *specs; s++) {
        char spec[64];
        int n = 1, m = 1;
        sscanf(specs[s], "n=%d,m=%d", &n, &m);
        snprintf(spec, sizeof spec, "sta:%s", specs[s]);
        fill(matrix, 21, 70, n, m, &random);
        for (int i = 0; i < 21 * 70; i += 35) /* the lowest value, where something is kept */
            matrix[i] = matrix[i] ? -128 : 0;
        lac_packed packed = pack(spec, matrix, 21, 70);
        lac_graph *graph;
        lac_tensor field, back;
        int in, out;
        assert_int_equal(lac_graph_make(&graph, "body", 17, &err), LAC_OK);
        lac_tensor_share(&field, &packed.field[0]);
        assert_int_equal(lac_graph_constant(graph, "image", &field, &in, &err), LAC_OK);
        lac_tensor_release(&field);
        if (packed.format->unpack_graph(&packed, graph, &in, &out, &err) != LAC_OK ||
            lac_graph_output(graph, out, &err) != LAC_OK || lac_graph_settle(graph, &err) != LAC_OK)
            fail_msg("%s: %s", spec, err.message);
        run_graph(graph, out, &back);
        assert_int_equal(back.dtype, LAC_I8);
        assert_int_equal(lac_tensor_count(&back), 21 * 70);
        assert_memory_equal(back.data, matrix, 21 * 70);
        lac_tensor_release(&back);
        lac_graph_free(graph);
        lac_packed_release(&packed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
