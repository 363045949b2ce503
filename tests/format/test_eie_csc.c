/* The interleaved columns: the dossier's worked example (3.2) and sizes (section 2), round trips,
 * what validate refuses. */
#include "core/memory.h"
#include "core/random.h"
#include "format/eie_csc.h"
#include "format/huffman.h"
#include "format/packed.h"
#include "helpers/eie_layers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Column 0: codes 0 0 1 2 0*18 3; column 1 empty; column 2: 5 in row 0. One PE. */
static void example(float matrix[23][3])
{
    memset(matrix, 0, 23 * 3 * sizeof(float));
    matrix[2][0] = 1;
    matrix[3][0] = 2;
    matrix[22][0] = 3;
    matrix[0][2] = 5;
    matrix[1][2] = 4; /* so that 5 is the fifth value */
}

static void pack_text(lac_packed *packed, const char *text, const lac_tensor *tensor)
{
    const lac_format *format;
    lac_params params;
    lac_error err = {0};
    assert_int_equal(lac_format_parse(text, &format, &params, &err), LAC_OK);
    if (lac_pack(packed, format, &params, LAC_VIEW_ROWS, tensor, &err) != LAC_OK)
        fail_msg("%s", err.message);
}

static void test_worked_example(void **state)
{
    (void)state;
    static const uint8_t bytes[6] = {0x21, 0x02, 0xf0, 0x23, 0x05, 0x04};
    static const uint32_t pointers[4] = {0, 4, 4, 6};
    float matrix[23][3];
    example(matrix);
    lac_tensor tensor = lac_tensor_view(LAC_F32, 2, (int64_t[]){23, 3}, matrix);
    lac_packed packed;
    pack_text(&packed, "eie-csc", &tensor);
    assert_int_equal(packed.field[0].dims[0], 6);
    assert_memory_equal(packed.field[0].data, bytes, 6);
    assert_memory_equal(packed.field[1].data, pointers, sizeof pointers);
    for (int i = 0; i < 16; i++)
        assert_true(((float *)packed.field[2].data)[i] == (i <= 5 ? (float)i : 0));
    assert_int_equal(lac_packed_bytes(&packed), 6 + 16 + 64);
    lac_packed_release(&packed);

    /* The dossier's own line, where code 5 stands alone in column 2. */
    uint8_t codes[23][3] = {{0}};
    codes[2][0] = 1;
    codes[3][0] = 2;
    codes[22][0] = 3;
    codes[0][2] = 5;
    static const uint32_t expected[4] = {0, 4, 4, 5};
    lac_eie_csc csc;
    assert_int_equal(lac_eie_csc_encode(&csc, codes[0], 23, 3, 1, 16, NULL), LAC_OK);
    assert_int_equal(csc.entries, 5);
    assert_memory_equal(csc.pointer, expected, sizeof expected);
    for (int e = 0; e < 5; e++)
        assert_int_equal(csc.run[e] << 4 | csc.code[e], bytes[e]);
    lac_eie_csc_release(&csc);
}

/* Section 2, straight from its pseudocode: entries of one column of one PE. */
static int64_t entries_by_definition(const uint8_t *codes, int64_t rows, int64_t cols, int64_t pe,
                                     int jump)
{
    int64_t entries = 0;
    for (int64_t p = 0; p < pe; p++)
        for (int64_t j = 0; j < cols; j++) {
            int64_t last = -1;
            for (int64_t r = 0; r * pe + p < rows; r++) {
                if (codes[(r * pe + p) * cols + j] == 0)
                    continue;
                for (int64_t gap = r - last - 1; gap >= jump; gap -= jump)
                    entries++;
                entries++;
                last = r;
            }
        }
    return entries;
}

static void round_trip(const uint8_t *codes, int64_t rows, int64_t cols, int64_t pe, int jump)
{
    lac_eie_csc csc;
    lac_error err = {0};
    int64_t nonzeros = 0, padding = 0, counted;
    assert_int_equal(lac_eie_csc_encode(&csc, codes, rows, cols, pe, jump, &err), LAC_OK);
    for (int64_t i = 0; i < rows * cols; i++)
        nonzeros += codes[i] != 0;
    for (int64_t e = 0; e < csc.entries; e++)
        padding += csc.code[e] == 0;
    assert_int_equal(csc.nonzeros, nonzeros);
    assert_int_equal(csc.entries, nonzeros + padding);
    assert_int_equal(csc.entries, entries_by_definition(codes, rows, cols, pe, jump));
    assert_int_equal(lac_eie_csc_count(codes, rows, cols, pe, jump, &counted, &err), LAC_OK);
    assert_int_equal(counted, csc.entries);
    if (lac_eie_csc_check(&csc, 16, &err) != LAC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(csc.nonzeros, nonzeros);
    uint8_t *back = malloc((size_t)(rows * cols));
    lac_eie_csc_decode(&csc, back);
    assert_memory_equal(back, codes, (size_t)(rows * cols));
    free(back);
    lac_eie_csc_release(&csc);
}

static void test_round_trips(void **state)
{
    (void)state;
    static const int pes[] = {1, 2, 3, 64, 100}, jumps[] = {4, 16, 32};
    static const double densities[] = {0, 0.01, 0.3, 1};
    static const int64_t shapes[][2] = {{1, 1}, {37, 11}, {64, 5}, {300, 7}, {5, 90}};
    uint8_t codes[300 * 11];
    lac_random random = lac_random_stream(5, 1);
    for (int s = 0; s < 5; s++)
        for (int d = 0; d < 4; d++) {
            int64_t count = shapes[s][0] * shapes[s][1];
            for (int64_t i = 0; i < count; i++) {
                bool keep = lac_random_unit(&random) < densities[d];
                codes[i] = keep ? (uint8_t)(1 + lac_random_next(&random) % 15) : 0;
            }
            for (int p = 0; p < 5; p++)
                for (int j = 0; j < 3; j++)
                    round_trip(codes, shapes[s][0], shapes[s][1], pes[p], jumps[j]);
        }
}

/* 64x64, density 0.5, seed 1, four PEs: the table of section 2. */
static void test_sizes(void **state)
{
    (void)state;
    int8_t weights[64 * 64];
    uint8_t codes[64 * 64];
    int32_t codebook[16];
    uint64_t code[256], run[256];
    int64_t bits;
    lac_eie_csc csc;
    lac_huffman tree;
    eie_draw_weights(weights, 64 * 64, 0.5, 1, 1);
    eie_linear_codes(weights, 64 * 64, codebook, codes);
    assert_int_equal(lac_eie_csc_encode(&csc, codes, 64, 64, 4, 16, NULL), LAC_OK);
    assert_int_equal(csc.entries, 2042);
    lac_eie_csc_histogram(&csc, code, run);
    assert_int_equal(lac_huffman_make(&tree, code, 16, NULL), LAC_OK);
    assert_int_equal(lac_huffman_bits(&tree, code), 7992);
    assert_int_equal(lac_huffman_make(&tree, run, 16, NULL), LAC_OK);
    assert_int_equal(lac_huffman_bits(&tree, run), 3834);
    assert_int_equal(lac_eie_csc_size_bits(&csc, 4, 16, 0, false, &bits, NULL), LAC_OK);
    assert_int_equal(bits, 20752);
    assert_int_equal(lac_eie_csc_size_bits(&csc, 4, 32, 64 * 32, false, &bits, NULL), LAC_OK);
    assert_int_equal(bits, 23056);
    assert_int_equal(lac_eie_csc_size_bits(&csc, 4, 16, 0, true, &bits, NULL), LAC_OK);
    assert_int_equal(bits, 16626);
    assert_int_equal(lac_eie_csc_pointer_bits(&csc), 16);
    lac_eie_csc_release(&csc);
    /* 65,537 entries in one PE need a 17th pointer bit. */
    uint8_t *ones = malloc(65537);
    memset(ones, 1, 65537);
    for (int64_t n = 65536; n <= 65537; n++) {
        assert_int_equal(lac_eie_csc_encode(&csc, ones, n, 1, 1, 16, NULL), LAC_OK);
        assert_int_equal(lac_eie_csc_pointer_bits(&csc), n == 65536 ? 16 : 17);
        lac_eie_csc_release(&csc);
    }
    free(ones);
}

static void test_widths_and_types(void **state)
{
    (void)state;
    lac_random random = lac_random_stream(8, 1);
    for (int code_bits = 1; code_bits <= 8; code_bits++)
        for (int index_bits = 1; index_bits <= 8; index_bits++) {
            int values = (1 << code_bits) - 1;
            float matrix[41 * 13];
            char text[64];
            for (int i = 0; i < 41 * 13; i++)
                matrix[i] = lac_random_next(&random) % 3
                                ? 0
                                : (float)(lac_random_next(&random) % (uint64_t)values) - 100.5f;
            lac_tensor tensor = lac_tensor_view(LAC_F32, 2, (int64_t[]){41, 13}, matrix), back;
            lac_packed packed;
            int64_t bytes;
            snprintf(text, sizeof text, "eie-csc:pe=%d,code_bits=%d,index_bits=%d",
                     1 + (int)(lac_random_next(&random) % 50), code_bits, index_bits);
            pack_text(&packed, text, &tensor);
            assert_int_equal(lac_unpack(&packed, &back, NULL), LAC_OK);
            assert_memory_equal(back.data, matrix, sizeof matrix);
            assert_int_equal(lac_format_bytes(packed.format, &packed.params, LAC_VIEW_ROWS, &tensor,
                                              &bytes, NULL),
                             LAC_OK);
            assert_int_equal(bytes, lac_packed_bytes(&packed));
            lac_tensor_release(&back);
            lac_packed_release(&packed);
        }
}

static void refuse(const lac_packed *packed, const char *part)
{
    lac_error err = {0};
    assert_int_equal(lac_packed_validate(packed, &err), LAC_ERROR_INPUT);
    if (!strstr(err.message, part))
        fail_msg("'%s' does not say '%s'", err.message, part);
}

static void test_refusals(void **state)
{
    (void)state;
    float matrix[23][3];
    example(matrix);
    lac_tensor tensor = lac_tensor_view(LAC_F32, 2, (int64_t[]){23, 3}, matrix);
    lac_packed packed;
    lac_error err;
    pack_text(&packed, "eie-csc", &tensor);
    uint8_t *entry = packed.field[0].data;
    uint32_t *pointer = packed.field[1].data;
    float *codebook = packed.field[2].data;
    entry[3] += 0x10; /* row 23 of 23 */
    refuse(&packed, "local row 23");
    entry[3] = 0x20; /* padding at the end of a column, too short */
    refuse(&packed, "padding");
    entry[3] = 0x23;
    entry[2] = 0xe0;
    refuse(&packed, "shorter than the longest run");
    entry[2] = 0xf0;
    pointer[0] = 1;
    refuse(&packed, "first pointer");
    pointer[0] = 0;
    pointer[2] = 3;
    refuse(&packed, "below the one before");
    pointer[2] = 4;
    pointer[3] = 7;
    refuse(&packed, "entries");
    pointer[3] = UINT32_MAX;
    refuse(&packed, "entries");
    pointer[3] = 6;
    codebook[0] = 1;
    refuse(&packed, "codebook[0]");
    codebook[0] = 0;
    assert_int_equal(lac_packed_validate(&packed, &err), LAC_OK);
    lac_packed_release(&packed);

    const lac_format *format;
    lac_params params;
    float many[17];
    for (int i = 0; i < 17; i++)
        many[i] = (float)i; /* 0 and 16 others */
    tensor = lac_tensor_view(LAC_F32, 2, (int64_t[]){1, 17}, many);
    assert_int_equal(lac_format_parse("eie-csc", &format, &params, &err), LAC_OK);
    assert_int_equal(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &tensor, &err),
                     LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "more than 15 distinct"));
    many[3] = (float)(0.0 / (many[0] - many[0] + 1e-300 * 0)); /* not a number */
    assert_int_equal(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &tensor, &err),
                     LAC_ERROR_INPUT);
    lac_eie_csc csc;
    assert_int_equal(lac_eie_csc_encode(&csc, entry, 1, 1, 0, 16, &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_eie_csc_encode(&csc, entry, 1, 1, 1, 1, &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_eie_csc_encode(&csc, entry, INT64_MAX, 3, 1, 16, &err), LAC_ERROR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example), cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_sizes),          cmocka_unit_test(test_widths_and_types),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
