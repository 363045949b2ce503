/* .dcz: golden bytes and CRC-32 (dossier eie.md, section 2 and 3.4), round trips, refusals; import
 * of the authors' SqueezeNet. */
#include "core/memory.h"
#include "core/random.h"
#include "format/packed.h"
#include "helpers/eie_layers.h"
#include "io/dcz.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static uint32_t crc32_of(const uint8_t *data, size_t size)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* The 64x64 layer of section 2 on four PEs with the integer linear codebook. */
static void golden_layer(lac_dcz *dcz, bool huffman, bool bias)
{
    int8_t weights[64 * 64], drawn[64];
    uint8_t codes[64 * 64];
    int32_t codebook[16];
    eie_draw_weights(weights, 64 * 64, 0.5, 1, 1);
    eie_linear_codes(weights, 64 * 64, codebook, codes);
    memset(dcz, 0, sizeof *dcz);
    dcz->index_bits = dcz->code_bits = 4;
    dcz->huffman = huffman;
    assert_int_equal(lac_eie_csc_encode(&dcz->csc, codes, 64, 64, 4, 16, NULL), LAC_OK);
    dcz->codebook = lac_alloc(16, sizeof(float), NULL);
    for (int i = 0; i < 16; i++)
        dcz->codebook[i] = (float)codebook[i];
    if (!bias)
        return;
    eie_draw_weights(drawn, 64, 1, 1, 3);
    dcz->bias = lac_alloc(64, sizeof(float), NULL);
    for (int i = 0; i < 64; i++)
        dcz->bias[i] = drawn[i];
}

static void check_same(const lac_dcz *a, const lac_dcz *b)
{
    assert_int_equal(a->csc.rows, b->csc.rows);
    assert_int_equal(a->csc.cols, b->csc.cols);
    assert_int_equal(a->csc.pe, b->csc.pe);
    assert_int_equal(a->csc.entries, b->csc.entries);
    assert_int_equal(a->csc.nonzeros, b->csc.nonzeros);
    assert_memory_equal(a->csc.code, b->csc.code, (size_t)a->csc.entries);
    assert_memory_equal(a->csc.run, b->csc.run, (size_t)a->csc.entries);
    assert_memory_equal(a->csc.pointer, b->csc.pointer,
                        (size_t)(a->csc.pe * (a->csc.cols + 1)) * sizeof(uint32_t));
    assert_memory_equal(a->codebook, b->codebook, sizeof(float) << a->code_bits);
    assert_int_equal(!a->bias, !b->bias);
    if (a->bias)
        assert_memory_equal(a->bias, b->bias, (size_t)a->csc.rows * sizeof(float));
}

static void test_golden_files(void **state)
{
    (void)state;
    static const struct {
        bool huffman, bias;
        size_t bytes;
        uint32_t crc;
    } golden[] = {{false, false, 2698, 0x3b93d6f1},
                  {true, false, 2183, 0xf4cf5c9a},
                  {true, true, 2439, 0x3a9e151a}};
    for (int i = 0; i < 3; i++) {
        lac_dcz dcz, back;
        lac_text out = {0};
        lac_error err = {0};
        golden_layer(&dcz, golden[i].huffman, golden[i].bias);
        assert_int_equal(lac_dcz_format(&dcz, &out, &err), LAC_OK);
        assert_int_equal(out.length, golden[i].bytes);
        assert_int_equal(crc32_of((const uint8_t *)out.data, out.length), golden[i].crc);
        if (lac_dcz_parse(&back, out.data, out.length, "golden", &err) != LAC_OK)
            fail_msg("%s", err.message);
        check_same(&dcz, &back);
        /* Every truncation is refused; every flipped bit is refused or read without harm. */
        for (size_t n = 0; n < out.length; n++) {
            lac_dcz cut;
            assert_int_equal(lac_dcz_parse(&cut, out.data, n, "cut", &err), LAC_ERROR_INPUT);
        }
        for (size_t bit = 0; bit < out.length * 8; bit += 3) {
            lac_dcz flipped;
            out.data[bit / 8] ^= (char)(1 << bit % 8);
            if (lac_dcz_parse(&flipped, out.data, out.length, "flipped", &err) == LAC_OK)
                lac_dcz_release(&flipped);
            out.data[bit / 8] ^= (char)(1 << bit % 8);
        }
        lac_dcz_release(&back);
        lac_dcz_release(&dcz);
        lac_text_release(&out);
    }
}

static void test_header_refusals(void **state)
{
    (void)state;
    static const struct {
        int at;
        uint8_t value;
        const char *message;
    } wrong[] = {{0, 'X', "magic"},         {7, 0xff, "local row"},    {12, 0, "pe = 0"},
                 {16, 9, "index_bits = 9"}, {20, 0, "code_bits = 0"},  {24, 4, "flags = 4"},
                 {28, 1, "header byte 28"}, {45, 1, "header byte 45"}, {38, 1, "entries"},
                 {11, 0x7f, "do not fit"}};
    lac_dcz dcz, back;
    lac_text out = {0};
    golden_layer(&dcz, false, false);
    assert_int_equal(lac_dcz_format(&dcz, &out, NULL), LAC_OK);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        lac_error err = {0};
        char before = out.data[wrong[i].at];
        out.data[wrong[i].at] = (char)wrong[i].value;
        lac_status status = lac_dcz_parse(&back, out.data, out.length, "file.dcz", &err);
        if (i == 1) { /* more rows than needed are no contradiction */
            assert_int_equal(status, LAC_OK);
            lac_dcz_release(&back);
        } else {
            assert_int_equal(status, LAC_ERROR_INPUT);
            if (strncmp(err.message, "file.dcz: ", 10) != 0 ||
                !strstr(err.message, wrong[i].message))
                fail_msg("'%s' does not say '%s'", err.message, wrong[i].message);
        }
        out.data[wrong[i].at] = before;
    }
    lac_text_bytes(&out, "x", 1);
    assert_int_equal(lac_dcz_parse(&back, out.data, out.length, "long", NULL), LAC_ERROR_INPUT);
    lac_dcz_release(&dcz);
    lac_text_release(&out);
}

/* Random layers through files and packed weights; the Huffman file is at most its header longer. */
static void test_round_trips(void **state)
{
    (void)state;
    lac_random random = lac_random_stream(21, 1);
    char path[] = "/tmp/lacuna-test-dcz-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    for (int trial = 0; trial < 60; trial++) {
        int64_t rows = 1 + (int64_t)(lac_random_next(&random) % 90);
        int64_t cols = 1 + (int64_t)(lac_random_next(&random) % 40);
        int code_bits = 1 + trial % 8, index_bits = 1 + trial / 8 % 8;
        double density = trial % 5 == 0 ? 0 : lac_random_unit(&random);
        int values = trial % 5 == 1 ? 1 : (1 << code_bits) - 1;
        float *matrix = calloc((size_t)(rows * cols), sizeof(float)), bias[90];
        for (int64_t i = 0; i < rows * cols; i++)
            if (lac_random_unit(&random) < density)
                matrix[i] = (float)(1 + lac_random_next(&random) % (uint64_t)values) / 7;
        for (int64_t i = 0; i < rows; i++)
            bias[i] = (float)i - 3;
        lac_tensor tensor = lac_tensor_view(LAC_F32, 2, (int64_t[]){rows, cols}, matrix), back;
        lac_packed packed;
        lac_params params;
        const lac_format *format;
        lac_error err = {0};
        char text[64];
        size_t length[2];
        snprintf(text, sizeof text, "eie-csc:pe=%d,code_bits=%d,index_bits=%d", 1 + trial % 9,
                 code_bits, index_bits);
        assert_int_equal(lac_format_parse(text, &format, &params, &err), LAC_OK);
        assert_int_equal(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &tensor, &err), LAC_OK);
        for (int huffman = 0; huffman < 2; huffman++) {
            lac_dcz dcz, loaded;
            lac_text out = {0};
            if (lac_dcz_from_packed(&dcz, &packed, trial % 2 ? bias : NULL, huffman, &err) !=
                LAC_OK)
                fail_msg("%s", err.message);
            assert_int_equal(lac_dcz_format(&dcz, &out, &err), LAC_OK);
            length[huffman] = out.length;
            assert_int_equal(lac_dcz_save(&dcz, path, &err), LAC_OK);
            if (lac_dcz_load(&loaded, path, &err) != LAC_OK)
                fail_msg("%s", err.message);
            check_same(&dcz, &loaded);
            assert_int_equal(lac_dcz_matrix(&loaded, &back, &err), LAC_OK);
            assert_memory_equal(back.data, matrix, lac_tensor_bytes(&tensor));
            lac_tensor_release(&back);
            lac_dcz_release(&loaded);
            lac_dcz_release(&dcz);
            lac_text_release(&out);
        }
        size_t header = ((size_t)1 << code_bits) + ((size_t)1 << index_bits) + 16;
        assert_true(length[1] <= length[0] + header);
        lac_packed_release(&packed);
        free(matrix);
    }
    unlink(path);
    lac_dcz dcz;
    lac_error err;
    assert_int_equal(lac_dcz_load(&dcz, path, &err), LAC_ERROR_IO);
    assert_non_null(strstr(err.message, path));
}

static void test_crowded_column(void **state)
{
    (void)state;
    uint8_t *codes = malloc(65536);
    lac_dcz dcz = {.index_bits = 4, .code_bits = 4};
    lac_text out = {0};
    lac_error err;
    memset(codes, 1, 65536);
    dcz.codebook = lac_alloc(16, sizeof(float), NULL);
    assert_int_equal(lac_eie_csc_encode(&dcz.csc, codes, 65536, 1, 1, 16, NULL), LAC_OK);
    assert_int_equal(lac_dcz_format(&dcz, &out, &err), LAC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "65536 entries"));
    lac_text_release(&out);
    lac_dcz_release(&dcz);
    free(codes);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    lac_dcz dcz, back;
    lac_text out = {0};
    lac_error err;
    golden_layer(&dcz, true, true);
    assert_int_equal(lac_dcz_format(&dcz, &out, NULL), LAC_OK);
    int failed = 0;
    for (int64_t n = 0; n < 40; n++) {
        lac_alloc_fail_after(n);
        lac_status status = lac_dcz_parse(&back, out.data, out.length, "x", &err);
        lac_alloc_fail_after(-1);
        if (status == LAC_OK) {
            lac_dcz_release(&back);
            break;
        }
        assert_int_equal(status, LAC_ERROR_MEMORY);
        failed++;
    }
    assert_int_equal(failed, 6); /* codes, runs, pointers, firsts, codebook, bias */
    lac_dcz_release(&dcz);
    lac_text_release(&out);
}

/* A two-layer .net made by hand: a 1x1 conv and a fully connected layer. */
static void test_net_by_hand(void **state)
{
    (void)state;
    uint8_t file[8 + 4 * 256 + 4 * 2 + 3 + 2 + 4 * 16 + 4 * 1 + 1 + 1] = {3, 0, 0, 0, 2};
    uint8_t *at = file + 8;
    float value = 2.5f;
    memcpy(at + 4 * 200, &value, 4);
    at += 4 * 256 + 4 * 2;
    at[0] = 200; /* codes: 200, padding, 200 */
    at[2] = 200;
    at[3] = 0x11; /* runs 1, 1, 0: positions 1, 3, 4 */
    at += 5;
    value = -1;
    memcpy(at + 4 * 7, &value, 4);
    at += 4 * 16;
    memcpy(at, &value, 4);
    at += 4;
    at[0] = 0x77;
    at[1] = 0x20; /* positions 0 and 3 */
    lac_net_layer layer[2] = {{.rank = 4, .dims = {2, 3, 1, 1}, .conv = true},
                              {.rank = 2, .dims = {1, 4}}};
    lac_error err = {0};
    if (lac_net_parse(layer, 2, file, sizeof file, "hand", &err) != LAC_OK)
        fail_msg("%s", err.message);
    static const float conv[6] = {0, 2.5f, 0, 0, 2.5f, 0}, fc[4] = {-1, 0, 0, -1};
    assert_memory_equal(layer[0].weights.data, conv, sizeof conv);
    assert_memory_equal(layer[1].weights.data, fc, sizeof fc);
    assert_true(((float *)layer[1].bias.data)[0] == -1);
    assert_int_equal(layer[0].entries, 3);
    assert_int_equal(layer[0].nonzeros, 2);
    for (int i = 0; i < 2; i++) {
        lac_tensor_release(&layer[i].weights);
        lac_tensor_release(&layer[i].bias);
    }
    for (size_t n = 0; n < sizeof file; n++)
        assert_int_equal(lac_net_parse(layer, 2, file, n, "cut", &err), LAC_ERROR_INPUT);
    layer[1].dims[1] = 3; /* position 3 is outside */
    assert_int_equal(lac_net_parse(layer, 2, file, sizeof file, "hand", &err), LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "position 3"));
}

/* SqueezeNet v1.0: conv1, fire2..9 (squeeze 1x1, expand 1x1, expand 3x3), conv10. */
static void test_squeezenet(void **state)
{
    (void)state;
    const char *shared = getenv("LACUNA_SHARED");
    char path[4096];
    snprintf(path, sizeof path,
             "%s/data/models/squeezenet_deep_compression/compressed_SqueezeNet.net",
             shared ? shared : LACUNA_SOURCE_DIR "/../shared");
    if (access(path, R_OK) != 0) {
        fprintf(stderr, "SKIP: %s is absent\n", path);
        skip();
    }
    static const int squeeze[8] = {16, 16, 32, 32, 48, 48, 64, 64};
    lac_net_layer layer[26] = {{.rank = 4, .dims = {96, 3, 7, 7}, .conv = true}};
    int64_t in = 96, entries = 0, nonzeros = 0;
    int n = 1;
    for (int fire = 0; fire < 8; fire++) {
        int64_t s = squeeze[fire], dims[3][4] = {{s, in, 1, 1}, {4 * s, s, 1, 1}, {4 * s, s, 3, 3}};
        for (int i = 0; i < 3; i++, n++) {
            layer[n] = (lac_net_layer){.rank = 4, .conv = true};
            memcpy(layer[n].dims, dims[i], sizeof dims[i]);
        }
        in = 8 * s;
    }
    layer[n++] = (lac_net_layer){.rank = 4, .dims = {1000, 512, 1, 1}, .conv = true};
    assert_int_equal(n, 26);
    lac_error err = {0};
    if (lac_net_load(layer, 26, path, &err) != LAC_OK) /* consumes the file to its last byte */
        fail_msg("%s", err.message);
    for (int i = 0; i < 26; i++) {
        entries += layer[i].entries;
        nonzeros += layer[i].nonzeros;
        lac_tensor_release(&layer[i].weights);
        lac_tensor_release(&layer[i].bias);
    }
    assert_int_equal(entries, 422083);
    assert_int_equal(nonzeros, 415921);
    assert_int_equal(layer[0].entries, 13902);
    assert_int_equal(layer[25].entries, 105973);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_files),        cmocka_unit_test(test_header_refusals),
        cmocka_unit_test(test_round_trips),         cmocka_unit_test(test_crowded_column),
        cmocka_unit_test(test_failing_allocations), cmocka_unit_test(test_net_by_hand),
        cmocka_unit_test(test_squeezenet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
