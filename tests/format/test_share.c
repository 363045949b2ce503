/* Weight sharing and Huffman coding against the golden values of the dossier eie.md, section 2
 * (64x64 weights, density 0.5, seed 1). */
#include "core/memory.h"
#include "core/random.h"
#include "format/eie_csc.h"
#include "format/huffman.h"
#include "format/share.h"
#include "helpers/eie_layers.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N (64 * 64)

static int8_t weights[N];
static double nonzero[N];
static int nonzeros;

static int setup(void **state)
{
    (void)state;
    eie_draw_weights(weights, N, 0.5, 1, 1);
    for (int i = 0; i < N; i++)
        if (weights[i])
            nonzero[nonzeros++] = weights[i];
    return nonzeros == 2042 ? 0 : -1;
}

static void test_integer_linear_codebook(void **state)
{
    (void)state;
    static const int expected[16] = {0, -127, -109, -91, -73, -54, -36, -18,
                                     0, 18,   36,   54,  73,  91,  109, 127};
    static const int occurrences[16] = {2054, 74,  161, 146, 117, 165, 122, 160,
                                        134,  145, 130, 167, 146, 152, 141, 82};
    int32_t codebook[16];
    uint8_t codes[N];
    int count[16] = {0};
    eie_linear_codes(weights, N, codebook, codes);
    for (int i = 0; i < 16; i++)
        assert_int_equal(codebook[i], expected[i]);
    for (int i = 0; i < N; i++) {
        count[codes[i]]++;
        assert_int_equal(codes[i] == 0, weights[i] == 0); /* a kept weight never gets code 0 */
    }
    for (int i = 0; i < 16; i++)
        assert_int_equal(count[i], occurrences[i]);
    lac_share_linear_codebook(0, 0, codebook);
    for (int i = 0; i < 16; i++)
        assert_int_equal(codebook[i], 0);
    lac_share_linear_codebook(-5, -2, codebook); /* floor, also below 0 */
    assert_int_equal(codebook[1], -5);
    assert_int_equal(codebook[2], -5); /* (-70 + 3 + 7) / 14 = -4.29 */
    assert_int_equal(codebook[15], -2);
}

static void check_lloyd(lac_share_start start, const double *begin, int iterations,
                        const double *expected)
{
    double centroid[15];
    int took = 0;
    lac_error err;
    assert_int_equal(lac_share_begin(start, nonzero, nonzeros, 15, 1, centroid, &err), LAC_OK);
    for (int i = 0; i < 15 && begin; i++)
        assert_true(centroid[i] == begin[i]);
    assert_int_equal(lac_share_lloyd(nonzero, nonzeros, 15, centroid, &took, &err), LAC_OK);
    assert_int_equal(took, iterations);
    for (int i = 0; i < 15; i++)
        assert_true(fabs(centroid[i] - expected[i]) <= 5.1e-7);
}

static void test_lloyd_linear(void **state)
{
    (void)state;
    static const double expected[15] = {-119.771186, -104.984496, -89.089552, -73.051282,
                                        -54.448052,  -36.052632,  -16.1,      2.601562,
                                        18.893617,   36.476923,   55.0,       73.779412,
                                        89.269504,   106.753968,  121.350877};
    check_lloyd(LAC_SHARE_LINEAR, NULL, 6, expected);
}

static void test_lloyd_density(void **state)
{
    (void)state;
    static const double begin[15] = {-119, -102, -85, -66, -50, -31, -15, 4,
                                     20,   37,   54,  70,  86,  104, 121};
    static const double expected[15] = {-118.819549, -102.503497, -84.562914, -65.733333,
                                        -49.597122,  -31.573643,  -13.503268, 4.786765,
                                        20.472,      36.816,      54.316456,  71.02521,
                                        86.709677,   104.483871,  120.310606};
    check_lloyd(LAC_SHARE_DENSITY, begin, 3, expected);
}

static void test_lloyd_forgy(void **state)
{
    (void)state;
    static const double begin[15] = {-125, -121, -96, -83, -25, -5,  9,  16,
                                     38,   48,   87,  110, 115, 121, 123};
    static const double expected[15] = {-119.455285, -103.058824, -82.966102, -59.23494,
                                        -38.823899,  -16.075676,  4.899329,   22.067164,
                                        39.546154,   56.477419,   74.184615,  88.28,
                                        101.915663,  112.813187,  123.317073};
    check_lloyd(LAC_SHARE_FORGY, begin, 17, expected);
}

/* The definition, word by word: nearest of all by linear search, no sorting. */
static void naive_lloyd(const double *value, int n, int k, double *centroid, int *iterations)
{
    bool moved = true;
    for (*iterations = 0; moved && *iterations < 100; ++*iterations) {
        double sum[32] = {0};
        int members[32] = {0};
        for (int i = 0; i < n; i++) {
            int best = 0;
            for (int c = 1; c < k; c++)
                if (fabs(value[i] - centroid[c]) < fabs(value[i] - centroid[best]))
                    best = c;
            sum[best] += value[i];
            members[best]++;
        }
        moved = false;
        for (int c = 0; c < k; c++) {
            if (members[c] == 0)
                continue;
            moved = moved || fabs(sum[c] / members[c] - centroid[c]) > 1e-12;
            centroid[c] = sum[c] / members[c];
        }
    }
}

static void test_lloyd_equals_the_definition(void **state)
{
    (void)state;
    lac_random random = lac_random_stream(77, 1);
    for (int trial = 0; trial < 200; trial++) {
        double value[300], fast[32], slow[32];
        int n = 1 + (int)(lac_random_next(&random) % 300),
            k = 1 + (int)(lac_random_next(&random) % 31);
        int range = 1 + (int)(lac_random_next(&random) % 60); /* small: empty cells and ties */
        int took = 0, expected = 0;
        for (int i = 0; i < n; i++)
            value[i] = (double)(int)(lac_random_next(&random) % (uint64_t)range) - range / 3;
        assert_int_equal(lac_share_begin(trial % 2 ? LAC_SHARE_LINEAR : LAC_SHARE_DENSITY, value, n,
                                         k, 0, fast, NULL),
                         LAC_OK);
        memcpy(slow, fast, sizeof slow);
        assert_int_equal(lac_share_lloyd(value, n, k, fast, &took, NULL), LAC_OK);
        naive_lloyd(value, n, k, slow, &expected);
        assert_int_equal(took, expected);
        for (int c = 0; c < k; c++)
            assert_true(fast[c] == slow[c]); /* integers: sums are exact in any order */
        for (int i = 0; i < n; i++) {
            int best = 0;
            for (int c = 1; c < k; c++)
                if (fabs(value[i] - fast[c]) < fabs(value[i] - fast[best]))
                    best = c;
            assert_int_equal(lac_share_nearest(fast, k, value[i]), best);
        }
    }
}

static void test_sharing_refuses(void **state)
{
    (void)state;
    double value[3] = {1, 1, 2}, centroid[4];
    lac_error err;
    assert_int_equal(lac_share_begin(LAC_SHARE_FORGY, value, 3, 3, 0, centroid, &err),
                     LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "3 distinct values, the layer has 2"));
    assert_int_equal(lac_share_begin(LAC_SHARE_FORGY, value, 3, 2, 0, centroid, &err), LAC_OK);
    assert_true(centroid[0] == 1 && centroid[1] == 2);
    value[1] = NAN;
    assert_int_equal(lac_share_begin(LAC_SHARE_LINEAR, value, 3, 2, 0, centroid, &err),
                     LAC_ERROR_INPUT);
    assert_int_equal(lac_share_lloyd(value, 3, 2, centroid, NULL, &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_share_begin(LAC_SHARE_LINEAR, value, 1, 0, 0, centroid, &err),
                     LAC_ERROR_INPUT);
    assert_int_equal(lac_share_begin(LAC_SHARE_LINEAR, NULL, 0, 4, 0, centroid, &err), LAC_OK);
    for (int64_t n = 0; n < 8; n++) { /* every failing allocation is an error, none leaks */
        value[1] = 1;
        lac_alloc_fail_after(n);
        lac_status status = lac_share_begin(LAC_SHARE_DENSITY, value, 3, 2, 0, centroid, &err);
        if (status == LAC_OK)
            status = lac_share_lloyd(value, 3, 2, centroid, NULL, &err);
        lac_alloc_fail_after(-1);
        assert_int_equal(status, n < 4 ? LAC_ERROR_MEMORY : LAC_OK);
    }
}

/* ---- Huffman --------------------------------------------------------------------------------- */

static void check_round_trip(const lac_huffman *tree, const uint8_t *symbol, int64_t n,
                             const uint64_t *count)
{
    uint64_t bits = lac_huffman_bits(tree, count);
    size_t bytes = (size_t)(bits / 8 + (bits % 8 != 0));
    uint8_t *stream = calloc(bytes + 1, 1), *back = calloc((size_t)n + 1, 1);
    lac_huffman again;
    lac_error err;
    lac_huffman_encode(tree, symbol, n, stream);
    assert_int_equal(stream[bytes], 0);
    assert_int_equal(lac_huffman_from_lengths(&again, tree->length, tree->symbols, &err), LAC_OK);
    assert_memory_equal(again.code, tree->code, sizeof again.code);
    assert_int_equal(lac_huffman_decode(&again, stream, bits, back, n, &err), LAC_OK);
    assert_memory_equal(back, symbol, (size_t)n);
    if (n > 0)
        assert_int_equal(lac_huffman_decode(&again, stream, bits - 1, back, n, &err),
                         LAC_ERROR_INPUT);
    free(stream);
    free(back);
}

static void test_huffman_example(void **state)
{
    (void)state;
    static const uint8_t v[5] = {1, 2, 0, 3, 5}, z[5] = {2, 0, 15, 2, 0};
    static const uint8_t v_lengths[6] = {3, 3, 2, 2, 0, 2}, v_codes[6] = {6, 7, 0, 1, 0, 2};
    uint64_t count[16] = {0};
    uint8_t bytes[2] = {0};
    lac_huffman tree;
    lac_error err;
    for (int i = 0; i < 5; i++)
        count[v[i]]++;
    assert_int_equal(lac_huffman_make(&tree, count, 16, &err), LAC_OK);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(tree.length[i], v_lengths[i]);
        assert_int_equal(tree.code[i], v_codes[i]);
    }
    assert_int_equal(lac_huffman_bits(&tree, count), 12);
    lac_huffman_encode(&tree, v, 5, bytes);
    assert_int_equal(bytes[0], 0xe6);
    assert_int_equal(bytes[1], 0x60);
    check_round_trip(&tree, v, 5, count);
    memset(count, 0, sizeof count);
    for (int i = 0; i < 5; i++)
        count[z[i]]++;
    assert_int_equal(lac_huffman_make(&tree, count, 16, &err), LAC_OK);
    assert_int_equal(lac_huffman_bits(&tree, count), 8);
    assert_int_equal(tree.code[0], 2);
    assert_int_equal(tree.length[2], 1);
    assert_int_equal(tree.code[15], 3);
    lac_huffman_encode(&tree, z, 5, bytes);
    assert_int_equal(bytes[0], 0x5a);
}

static void test_huffman_streams(void **state)
{
    (void)state;
    lac_random random = lac_random_stream(3, 1);
    uint8_t *symbol = malloc(20000);
    for (int trial = 0; trial < 60; trial++) {
        int symbols = 1 << (trial % 9);
        int64_t n = (int64_t)(lac_random_next(&random) % 20000);
        uint64_t count[256] = {0};
        for (int64_t i = 0; i < n; i++) { /* skewed: long codes for large symbols */
            int s = 0;
            while (s < symbols - 1 && lac_random_next(&random) % 4 != 0)
                s++;
            symbol[i] = (uint8_t)s;
            count[s]++;
        }
        lac_huffman tree;
        assert_int_equal(lac_huffman_make(&tree, count, symbols, NULL), LAC_OK);
        check_round_trip(&tree, symbol, n, count);
        uint64_t raw = (uint64_t)n * (uint64_t)(trial % 9);
        if (trial % 9 > 0) /* never longer than fixed-width codes */
            assert_true(lac_huffman_bits(&tree, count) <= raw);
    }
    memset(symbol, 7, 100);
    uint64_t one[16] = {[7] = 100};
    lac_huffman tree;
    assert_int_equal(lac_huffman_make(&tree, one, 16, NULL), LAC_OK);
    assert_int_equal(tree.length[7], 1);
    assert_int_equal(lac_huffman_bits(&tree, one), 100);
    check_round_trip(&tree, symbol, 100, one);
    free(symbol);
}

/* Fibonacci counts make the longest codes there are. */
static void test_huffman_long_codes(void **state)
{
    (void)state;
    uint64_t count[60] = {1, 1};
    for (int i = 2; i < 60; i++)
        count[i] = count[i - 1] + count[i - 2];
    lac_huffman tree;
    lac_error err;
    uint8_t symbol[58], back[58], stream[256] = {0};
    assert_int_equal(lac_huffman_make(&tree, count, 58, &err), LAC_OK);
    assert_int_equal(tree.length[0], 57);
    uint64_t ones[58], bits;
    for (int i = 0; i < 58; i++) {
        symbol[i] = (uint8_t)i;
        ones[i] = 1;
    }
    bits = lac_huffman_bits(&tree, ones);
    lac_huffman_encode(&tree, symbol, 58, stream);
    assert_int_equal(lac_huffman_decode(&tree, stream, bits, back, 58, &err), LAC_OK);
    assert_memory_equal(back, symbol, 58);
    assert_int_equal(lac_huffman_make(&tree, count, 60, &err), LAC_ERROR_UNSUPPORTED);
}

static void test_huffman_refuses(void **state)
{
    (void)state;
    lac_huffman tree;
    lac_error err;
    uint8_t out[4];
    assert_int_equal(lac_huffman_from_lengths(&tree, (uint8_t[]){1, 1, 1, 0}, 4, &err),
                     LAC_ERROR_INPUT); /* over-full */
    assert_int_equal(lac_huffman_from_lengths(&tree, (uint8_t[]){2, 2, 2, 0}, 4, &err),
                     LAC_ERROR_INPUT); /* incomplete */
    assert_int_equal(lac_huffman_from_lengths(&tree, (uint8_t[]){0, 2, 0, 0}, 4, &err),
                     LAC_ERROR_INPUT); /* one symbol must have length 1 */
    assert_int_equal(lac_huffman_from_lengths(&tree, (uint8_t[]){1, 58, 0, 0}, 4, &err),
                     LAC_ERROR_INPUT);
    assert_int_equal(lac_huffman_from_lengths(&tree, (uint8_t[]){0, 1, 0, 0}, 4, &err), LAC_OK);
    assert_int_equal(lac_huffman_decode(&tree, (uint8_t[]){0x10}, 4, out, 4, &err),
                     LAC_ERROR_INPUT); /* a 1 where only 0 exists */
    assert_int_equal(lac_huffman_decode(&tree, (uint8_t[]){0x01}, 4, out, 4, &err),
                     LAC_ERROR_INPUT); /* behind the end */
    assert_int_equal(lac_huffman_decode(&tree, (uint8_t[]){0x00}, 4, out, 4, &err), LAC_OK);
    assert_int_equal(lac_huffman_decode(&tree, (uint8_t[]){0x00}, 5, out, 4, &err),
                     LAC_ERROR_INPUT);
    assert_int_equal(lac_huffman_make(&tree, (uint64_t[]){1}, 0, &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_huffman_from_lengths(&tree, (uint8_t[]){0, 0}, 257, &err),
                     LAC_ERROR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integer_linear_codebook),
        cmocka_unit_test(test_lloyd_linear),
        cmocka_unit_test(test_lloyd_density),
        cmocka_unit_test(test_lloyd_forgy),
        cmocka_unit_test(test_lloyd_equals_the_definition),
        cmocka_unit_test(test_sharing_refuses),
        cmocka_unit_test(test_huffman_example),
        cmocka_unit_test(test_huffman_streams),
        cmocka_unit_test(test_huffman_long_codes),
        cmocka_unit_test(test_huffman_refuses),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
