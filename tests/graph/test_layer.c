/* Layer kinds: text, the generator's check values, references against loops written here. */
#include <lacuna/layer.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/memory.h"
#include "core/random.h"
#include "graph/layer_conv.h"
#include "graph/layer_tools.h"
#include "graph/softmax.h"

static lac_error err;

static lac_layer make(const char *text, const char *wd, const char *ad, uint64_t seed)
{
    lac_layer layer;
    if (lac_layer_parse(&layer, text, &err) != LAC_OK)
        fail_msg("%s", err.message);
    if (wd)
        assert_int_equal(lac_operand_pattern(&layer.operand[LAC_ROLE_WEIGHTS], wd, &err), LAC_OK);
    if (ad)
        assert_int_equal(lac_operand_pattern(&layer.operand[LAC_ROLE_ACTIVATIONS], ad, &err),
                         LAC_OK);
    layer.seed = seed;
    if (layer.kind->generate(&layer, &err) != LAC_OK)
        fail_msg("%s", err.message);
    return layer;
}

static int64_t sum_of(const lac_tensor *tensor)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < lac_tensor_count(tensor); i++)
        sum += (int64_t)lac_tensor_get(tensor, i);
    return sum;
}

static int64_t non_zeros(const lac_tensor *tensor)
{
    int64_t count = 0;
    for (int64_t i = 0; i < lac_tensor_count(tensor); i++)
        count += lac_tensor_get(tensor, i) != 0;
    return count;
}

static void test_text_round_trips(void **state)
{
    (void)state;
    const struct {
        const char *text, *canonical;
    } cases[] = {
        {"gemm:m=512,n=768,k=768", "gemm:m=512,n=768,k=768,batch=1"},
        {"fc:out=1000,in=4096", "fc:in=4096,out=1000,batch=1"},
        {"conv:c=64,h=56,w=55,k=32,r=3,s=5,stride=2,pad=1,groups=4,batch=2",
         "conv:c=64,h=56,w=55,k=32,r=3,s=5,stride=2,pad=1,dilation=1,groups=4,batch=2"},
        {"conv:c=1,h=5,w=5,k=1,r=3,s=3,pad_bottom=1,stride_w=2",
         "conv:c=1,h=5,w=5,k=1,r=3,s=3,stride_h=1,stride_w=2,pad_top=0,pad_left=0,pad_bottom=1,"
         "pad_right=0,dilation=1,groups=1,batch=1"},
        {"attention:heads=12,tokens=197,dim=64",
         "attention:heads=12,tokens=197,dim=64,batch=1,kv_tokens=197"},
        {"lstm:in=123,hidden=1024,steps=16", "lstm:in=123,hidden=1024,steps=16,batch=1"},
        {"spmm:rows=2708,cols=2708,n=16,avg=4", "spmm:rows=2708,cols=2708,n=16,avg=4"}};
    lac_layer layer, again;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256], twice[256];
        assert_int_equal(lac_layer_parse(&layer, cases[i].text, &err), LAC_OK);
        assert_string_equal(layer.name, cases[i].text);
        assert_string_equal(lac_layer_text(&layer, text, sizeof text), cases[i].canonical);
        assert_int_equal(lac_layer_parse(&again, text, &err), LAC_OK);
        assert_string_equal(lac_layer_text(&again, twice, sizeof twice), text);
        assert_memory_equal(layer.dim, again.dim, sizeof layer.dim);
        assert_int_equal(strlen(lac_layer_text(&layer, text, 7)), 6);
    }
    assert_int_equal(lac_layer_parse(&layer, "conv:c=1,h=5,w=5,k=1,r=3,s=3,pad=1,stride_w=2", &err),
                     LAC_OK);
    assert_int_equal(lac_layer_dim_get(&layer, "pad"), 1);
    assert_int_equal(lac_layer_dim_get(&layer, "pad_left"), 1);
    assert_int_equal(lac_layer_dim_get(&layer, "stride"), -1);
    assert_int_equal(lac_layer_dim_get(&layer, "stride_h"), 1);
    assert_int_equal(lac_layer_dim_get(&layer, "colour"), -1);
}

static void test_bad_text_is_one_clear_line(void **state)
{
    (void)state;
    const struct {
        const char *text, *words;
    } cases[] = {{"gem:m=1", "layer kind 'gem' is unknown; there are: gemm, fc"},
                 {"", "layer kind '' is unknown"},
                 {"gemm", "m is missing"},
                 {"gemm:m=1,n=2", "k is missing"},
                 {"gemm:m=1,n=2,k=3,colour=4", "gemm has no 'colour'; it has: m, n, k, batch"},
                 {"gemm:m=1,n=2,k=3,", "'' is not name=number"},
                 {"gemm:m=1,n=2,k=3 ", "k=3  is not an integer"},
                 {"gemm:m=1,n=2,k=3junk", "k=3junk is not an integer"},
                 {"gemm:m=1,n=2,k=0x3", "k=0x3 is not an integer"},
                 {"gemm:m,n=2,k=3", "'m' is not name=number"},
                 {"gemm:=1,n=2,k=3", "'=1' is not name=number"},
                 {"gemm:m=0,n=2,k=3", "m=0 is outside 1..2147483647"},
                 {"gemm:m=-1,n=2,k=3", "m=-1 is outside"},
                 {"gemm:m=99999999999,n=2,k=3", "m=99999999999 is outside"},
                 {"gemm:m=99999999999999999999,n=2,k=3", "is not an integer"},
                 {"gemm:m=1,n=2,k=3,m=1", "m is given twice"},
                 {"gemm:m=2147483647,n=2147483647,k=2147483647", ""},
                 {"gemm::m=1,n=2,k=3", "gemm has no ':m'"},
                 {"conv:c=4,h=4,w=4,k=4,r=5,s=1", "kernel 5x1 is larger than the padded input 4x4"},
                 {"conv:c=4,h=4,w=4,k=6,r=1,s=1,groups=4", "groups=4 does not divide"},
                 {"conv:c=4,h=4,w=4,k=4,r=1,s=1,pad=1,pad_left=1", "pad_left is given twice"},
                 {"conv:c=4,h=4,w=4,k=4,r=1,s=1,stride=0", "stride=0 is outside"},
                 {"conv:c=1,h=2147483647,w=2147483647,k=2147483647,r=1,s=1", ""},
                 {"conv:c=1,h=1,w=1,k=1,r=2147483647,s=1,dilation=2147483647", "kernel"},
                 {"attention:heads=1,tokens=4", "dim is missing"},
                 {"spmm:rows=4,cols=4,n=1,avg=5", "avg=5 is larger than cols=4"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lac_layer layer;
        err.message[0] = '\0';
        assert_int_equal(lac_layer_parse(&layer, cases[i].text, &err), LAC_ERROR_INPUT);
        if (!strstr(err.message, cases[i].words) || !strstr(err.message, "layer '"))
            fail_msg("%s: %s", cases[i].text, err.message);
        assert_null(strchr(err.message, '\n'));
    }
    lac_operand operand;
    const char *patterns[] = {"",    ":",    "0:4", "5:4", "2:300", "2:4x", "-1:4", "1:1:1",
                              "1.5", "-0.1", "nan", "x",   "0.5 ",  "inf",  "2:",   ":4"};
    for (size_t i = 0; i < sizeof patterns / sizeof *patterns; i++)
        assert_int_equal(lac_operand_pattern(&operand, patterns[i], &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_operand_pattern(&operand, "2:4", &err), LAC_OK);
    assert_true(operand.n == 2 && operand.m == 4 && operand.density == 0.5);
    assert_int_equal(lac_operand_pattern(&operand, "1.0", &err), LAC_OK);
    assert_true(operand.n == 0 && operand.m == 0 && operand.density == 1);
}

static void test_generator_check_values(void **state)
{
    (void)state;
    lac_random stream = lac_random_stream(1, LAC_ROLE_WEIGHTS);
    assert_true(lac_random_next(&stream) == UINT64_C(0x41f9d639c82caba3));
    assert_true(lac_random_next(&stream) == UINT64_C(0x604fc2bd55323e12));
    assert_true(lac_random_next(&stream) == UINT64_C(0x3ba44ff41a666c22));
    lac_layer layer = make("gemm:m=64,n=64,k=64", "0.5", "0.3", 1);
    assert_int_equal(non_zeros(&layer.operand[LAC_ROLE_WEIGHTS].tensor), 2042);
    assert_int_equal(sum_of(&layer.operand[LAC_ROLE_WEIGHTS].tensor), 2972);
    assert_int_equal(non_zeros(&layer.operand[LAC_ROLE_ACTIVATIONS].tensor), 1226);
    assert_int_equal(sum_of(&layer.operand[LAC_ROLE_ACTIVATIONS].tensor), 77011);
    lac_layer_release(&layer);
    layer = make("gemm:m=1,n=64,k=64", "2:4", "1:1", 1);
    assert_int_equal(non_zeros(&layer.operand[LAC_ROLE_WEIGHTS].tensor), 2048);
    assert_int_equal(sum_of(&layer.operand[LAC_ROLE_WEIGHTS].tensor), -27);
    assert_int_equal(non_zeros(&layer.operand[LAC_ROLE_ACTIVATIONS].tensor), 64);
    lac_layer_release(&layer);
    layer = make("attention:heads=3,tokens=197,dim=64", NULL, NULL, 7);
    const int8_t *q = layer.operand[LAC_ROLE_QUERY].tensor.data;
    assert_int_equal(sum_of(&layer.operand[LAC_ROLE_QUERY].tensor), -14836);
    assert_int_equal(sum_of(&layer.operand[LAC_ROLE_KEY].tensor), -34846);
    assert_int_equal(sum_of(&layer.operand[LAC_ROLE_VALUE].tensor), 6106);
    assert_true(q[0] == 62 && q[1] == 31 && q[2] == 45 && q[3] == -19);
    lac_layer product;
    lac_tensor s;
    assert_int_equal(layer.kind->gemm(&layer, 0, &product, &err), LAC_OK);
    assert_int_equal(product.kind->reference(&product, &s, &err), LAC_OK);
    const int32_t *score = s.data;
    assert_true(score[0] == 482 && score[1] == -18899 && score[2] == 2008);
    lac_tensor_release(&s);
    lac_layer_release(&product);
    lac_layer_release(&layer);
}

/* The counts of other dossiers' golden tables that depend on the layout alone. */
static void test_patterns_of_convolutions(void **state)
{
    (void)state;
    lac_layer layer =
        make("conv:c=40,h=9,w=11,k=36,r=3,s=3,stride=1,pad=1,groups=2,batch=2", "4:8", "2:8", 12);
    assert_int_equal(non_zeros(&layer.operand[LAC_ROLE_WEIGHTS].tensor), 3888);
    assert_int_equal(non_zeros(&layer.operand[LAC_ROLE_ACTIVATIONS].tensor), 1980);
    const int8_t *w = layer.operand[LAC_ROLE_WEIGHTS].tensor.data;
    for (int k = 0; k < 36; k++)
        for (int rs = 0; rs < 9; rs++)
            for (int block = 0; block < 20; block += 8) {
                int count = 0;
                for (int c = block; c < block + 8 && c < 20; c++)
                    count += w[(k * 20 + c) * 9 + rs] != 0;
                assert_int_equal(count, 4);
            }
    lac_layer_release(&layer);
    layer =
        make("conv:c=20,h=3,w=5,k=30,r=1,s=1,stride=1,pad=0,groups=1,batch=2", "2:4", "3:8", 14);
    assert_int_equal(non_zeros(&layer.operand[LAC_ROLE_WEIGHTS].tensor), 300);
    lac_layer_release(&layer);
    layer = make("lstm:in=123,hidden=128,steps=2", "0.1", "1.0", 11);
    assert_int_equal(non_zeros(&layer.operand[LAC_ROLE_WEIGHTS].tensor) +
                         non_zeros(&layer.operand[LAC_ROLE_RECURRENT].tensor),
                     12662);
    lac_layer_release(&layer);
}

/* Element by element, one after the other, as CONVENTIONS.md words it. */
static void test_generator_is_sequential(void **state)
{
    (void)state;
    lac_layer layer = make("conv:c=5,h=7,w=3,k=1,r=1,s=1", "0.5", "0.4", 99);
    const int8_t *a = layer.operand[LAC_ROLE_ACTIVATIONS].tensor.data;
    uint64_t s = 99 + 2 * UINT64_C(0x632BE59BD9B4E019), r[2];
    for (int i = 0; i < 105; i++) {
        for (int j = 0; j < 2; j++) {
            s += UINT64_C(0x9E3779B97F4A7C15);
            uint64_t z = s;
            z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
            z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
            r[j] = z ^ (z >> 31);
        }
        int expected = (double)(r[0] >> 11) * 0x1p-53 < 0.4 ? 1 + (int)((r[1] >> 32) % 127) : 0;
        assert_int_equal(a[i], expected);
    }
    lac_layer_release(&layer);
}

static int64_t random_below(lac_random *random, int64_t limit)
{
    return (int64_t)(lac_random_next(random) % (uint64_t)limit);
}

static int between(lac_random *random, int from, int to)
{
    return from + (int)random_below(random, to - from + 1);
}

/* Replaces an operand by random elements of the whole range of `dtype`. */
static void fill(lac_operand *operand, lac_dtype dtype, lac_random *random)
{
    lac_tensor tensor;
    assert_int_equal(
        lac_tensor_make(&tensor, dtype, operand->tensor.rank, operand->tensor.dims, &err), LAC_OK);
    int64_t count = lac_tensor_count(&tensor);
    for (int64_t i = 0; i < count; i++)
        lac_tensor_set(&tensor, i,
                       dtype == LAC_I8   ? (double)random_below(random, 256) - 128
                       : dtype == LAC_U8 ? (double)random_below(random, 256)
                                         : (double)random_below(random, 65536) - 32768);
    lac_tensor_release(&operand->tensor);
    operand->tensor = tensor;
}

static lac_dtype dtype_of(int round)
{
    return round % 3 == 0 ? LAC_I8 : round % 3 == 1 ? LAC_U8 : LAC_I16;
}

static double conv_at(const lac_layer *layer, int64_t b, int64_t k, int64_t y, int64_t x)
{
    lac_conv g = lac_conv_of(layer);
    const lac_tensor *a = &layer->operand[LAC_ROLE_ACTIVATIONS].tensor;
    const lac_tensor *w = &layer->operand[LAC_ROLE_WEIGHTS].tensor;
    double sum = 0;
    for (int64_t c = 0; c < g.c_group; c++)
        for (int64_t r = 0; r < g.r; r++)
            for (int64_t s = 0; s < g.s; s++) {
                int64_t iy = y * g.stride_h + r * g.dilation_h - g.pad_top;
                int64_t ix = x * g.stride_w + s * g.dilation_w - g.pad_left;
                int64_t channel = k / g.k_group * g.c_group + c;
                if (iy < 0 || iy >= g.h || ix < 0 || ix >= g.w)
                    continue;
                int64_t at = layer->channels_last ? ((b * g.h + iy) * g.w + ix) * g.c + channel
                                                  : ((b * g.c + channel) * g.h + iy) * g.w + ix;
                sum += lac_tensor_get(a, at) *
                       lac_tensor_get(w, ((k * g.c_group + c) * g.r + r) * g.s + s);
            }
    return sum;
}

/* The products of a convolution against its output y. */
static void check_products(const lac_layer *layer, const int32_t *y)
{
    lac_conv g = lac_conv_of(layer);
    int64_t macs = 0, pixels = g.out_h * g.out_w;
    for (int64_t group = 0; group < layer->kind->gemm_count(layer); group++) {
        lac_layer product;
        lac_tensor part;
        assert_int_equal(layer->kind->gemm(layer, group, &product, &err), LAC_OK);
        assert_int_equal(product.kind->reference(&product, &part, &err), LAC_OK);
        for (int64_t row = 0; row < part.dims[0]; row++)
            for (int64_t n = 0; n < g.k_group; n++) {
                int64_t k = group * g.k_group + n;
                int64_t at = layer->channels_last
                                 ? row * g.k + k
                                 : (row / pixels * g.k + k) * pixels + row % pixels;
                assert_int_equal(((int32_t *)part.data)[row * g.k_group + n], y[at]);
            }
        macs += product.kind->macs(&product);
        lac_tensor_release(&part);
        lac_layer_release(&product);
    }
    assert_int_equal(macs, layer->kind->macs(layer));
}

static void test_convolutions_against_loops(void **state)
{
    (void)state;
    lac_random random = lac_random_stream(5, 100);
    int checked = 0;
    for (int round = 0; round < 200; round++) {
        char text[256];
        int groups = between(&random, 1, 3), v[15];
        const int low[15] = {1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1};
        const int high[15] = {4, 9, 9, 4, 4, 4, 3, 3, 2, 2, 2, 2, 2, 2, 2};
        for (int i = 0; i < 15; i++)
            v[i] = between(&random, low[i], high[i]);
        snprintf(
            text, sizeof text,
            "conv:c=%d,h=%d,w=%d,k=%d,r=%d,s=%d,stride_h=%d,stride_w=%d,pad_top=%d,pad_left=%d,"
            "pad_bottom=%d,pad_right=%d,dilation_h=%d,dilation_w=%d,groups=%d,batch=%d",
            groups * v[0], v[1], v[2], groups * v[3], v[4], v[5], v[6], v[7], v[8], v[9], v[10],
            v[11], v[12], v[13], groups, v[14]);
        lac_layer layer;
        if (lac_layer_parse(&layer, text, &err) != LAC_OK)
            continue; /* a kernel larger than its input */
        layer.seed = (uint64_t)round;
        assert_int_equal(layer.kind->generate(&layer, &err), LAC_OK);
        fill(&layer.operand[LAC_ROLE_WEIGHTS], LAC_I8, &random);
        fill(&layer.operand[LAC_ROLE_ACTIVATIONS], dtype_of(round), &random);
        layer.channels_last = round % 2;
        lac_conv g = lac_conv_of(&layer);
        lac_tensor output;
        assert_int_equal(layer.kind->reference(&layer, &output, &err), LAC_OK);
        const int32_t *y = output.data;
        for (int64_t b = 0; b < g.batch; b++)
            for (int64_t k = 0; k < g.k; k++)
                for (int64_t i = 0; i < g.out_h; i++)
                    for (int64_t j = 0; j < g.out_w; j++) {
                        int64_t at = layer.channels_last
                                         ? ((b * g.out_h + i) * g.out_w + j) * g.k + k
                                         : ((b * g.k + k) * g.out_h + i) * g.out_w + j;
                        assert_true(y[at] == conv_at(&layer, b, k, i, j));
                    }
        check_products(&layer, y);
        lac_tensor_release(&output);
        lac_layer_release(&layer);
        checked++;
    }
    assert_true(checked > 120);
}

static void test_products_against_loops(void **state)
{
    (void)state;
    lac_random random = lac_random_stream(6, 100);
    for (int round = 0; round < 60; round++) {
        char text[128];
        int m = between(&random, 1, 20), n = between(&random, 1, 20), k = between(&random, 1, 60);
        int batch = between(&random, 1, 3);
        snprintf(text, sizeof text, "gemm:m=%d,n=%d,k=%d,batch=%d", m, n, k, batch);
        lac_layer layer = make(text, "0.5", "0.5", (uint64_t)round);
        lac_operand *w = &layer.operand[LAC_ROLE_WEIGHTS];
        lac_operand *a = &layer.operand[LAC_ROLE_ACTIVATIONS];
        bool shared = round % 5 == 0;
        if (shared) {
            w->tensor.rank = 2;
            w->tensor.dims[0] = n;
            w->tensor.dims[1] = k;
        }
        fill(w, LAC_I8, &random);
        fill(a, dtype_of(round), &random);
        w->transposed = round % 2;
        if (w->transposed) {
            w->tensor.dims[w->tensor.rank - 2] = k;
            w->tensor.dims[w->tensor.rank - 1] = n;
        }
        lac_tensor output;
        assert_int_equal(layer.kind->reference(&layer, &output, &err), LAC_OK);
        assert_int_equal(layer.kind->gemm_count(&layer), batch);
        for (int64_t b = 0; b < batch; b++) {
            lac_layer product;
            lac_tensor part;
            assert_int_equal(layer.kind->gemm(&layer, b, &product, &err), LAC_OK);
            assert_int_equal(product.kind->reference(&product, &part, &err), LAC_OK);
            for (int64_t i = 0; i < m; i++)
                for (int64_t j = 0; j < n; j++) {
                    double sum = 0;
                    for (int64_t l = 0; l < k; l++)
                        sum +=
                            lac_tensor_get(&a->tensor, (b * m + i) * k + l) *
                            lac_tensor_get(&w->tensor, (shared ? 0 : b * n * k) +
                                                           (w->transposed ? l * n + j : j * k + l));
                    assert_true(((int32_t *)output.data)[(b * m + i) * n + j] == sum);
                    assert_true(((int32_t *)part.data)[i * n + j] == sum);
                }
            lac_tensor_release(&part);
            lac_layer_release(&product);
        }
        lac_tensor_release(&output);
        lac_layer_release(&layer);
    }
}

static void check_sums(lac_layer layer, uint64_t sum, uint64_t weighted)
{
    lac_tensor output;
    uint64_t s, w;
    if (layer.kind->reference(&layer, &output, &err) != LAC_OK)
        fail_msg("%s", err.message);
    lac_checksum(&output, &s, &w);
    assert_true(s == sum);
    assert_true(w == weighted);
    lac_tensor_release(&output);
    lac_layer_release(&layer);
}

/* Small cases of the golden tables of systolic.md and awb-gcn.md. */
static void test_sums_of_golden_tables(void **state)
{
    (void)state;
    check_sums(make("gemm:m=33,n=65,k=31", "0.3", "0.7", 2), (uint64_t)-4164864,
               UINT64_C(18446744073196151232));
    check_sums(make("conv:c=32,h=28,w=28,k=32,r=3,s=3,stride=1,pad=1,groups=32", "0.5", "0.6", 6),
               (uint64_t)-25615056, UINT64_C(18446744070567322648));
    check_sums(make("lstm:in=100,hidden=30,steps=3", "0.3", "0.5", 8), 679559, 85284046);
    check_sums(make("attention:heads=2,tokens=50,dim=24", NULL, NULL, 9), (uint64_t)-881853,
               UINT64_C(18446744073612319387));
    check_sums(make("spmm:rows=64,cols=64,n=16,avg=4", "1.0", NULL, 1),
               UINT64_C(18446744073709272318), UINT64_C(18446744073687909778));
    check_sums(make("spmm:rows=257,cols=300,n=7,avg=3", "1.0", NULL, 2),
               UINT64_C(18446744073708529157), UINT64_C(18446744073585680790));
}

static void test_attention_orders_and_masks(void **state)
{
    (void)state;
    lac_layer layer = make("attention:heads=3,tokens=11,dim=8,batch=2,kv_tokens=7", NULL, NULL, 3);
    lac_tensor output, other, swapped;
    assert_int_equal(layer.kind->gemm_count(&layer), 12);
    assert_int_equal(layer.kind->macs(&layer), 2 * 6 * 11 * 7 * 8);
    assert_int_equal(layer.kind->reference(&layer, &output, &err), LAC_OK);
    /* tokens before heads: the same numbers in another order */
    lac_layer last = layer;
    for (int role = LAC_ROLE_QUERY; role <= LAC_ROLE_VALUE; role++)
        assert_int_equal(lac_swap_axes(&last.operand[role].tensor, &layer.operand[role].tensor, 2,
                                       3, role == LAC_ROLE_QUERY ? 11 : 7, 8, &err),
                         LAC_OK);
    last.channels_last = true;
    assert_int_equal(last.kind->reference(&last, &other, &err), LAC_OK);
    assert_int_equal(lac_swap_axes(&swapped, &output, 2, 3, 11, 8, &err), LAC_OK);
    assert_memory_equal(other.data, swapped.data, lac_tensor_bytes(&swapped));
    lac_tensor_release(&swapped);
    lac_tensor_release(&other);
    for (int role = LAC_ROLE_QUERY; role <= LAC_ROLE_VALUE; role++)
        lac_tensor_release(&last.operand[role].tensor);
    /* one kept key: P is 255 there; no kept key: the row is 0 */
    lac_tensor *mask = &layer.operand[LAC_ROLE_MASK].tensor;
    assert_int_equal(lac_tensor_make(mask, LAC_BOOL, 4, (int64_t[]){2, 3, 11, 7}, &err), LAC_OK);
    ((uint8_t *)mask->data)[4] = 1;
    assert_int_equal(layer.kind->reference(&layer, &other, &err), LAC_OK);
    const int8_t *v = layer.operand[LAC_ROLE_VALUE].tensor.data;
    for (int64_t i = 0; i < lac_tensor_count(&other); i++)
        assert_int_equal(((int32_t *)other.data)[i], i < 8 ? 255 * v[4 * 8 + i] : 0);
    lac_tensor_release(&other);
    lac_tensor_release(&output);
    lac_layer_release(&layer);
}

static void test_softmax_values(void **state)
{
    (void)state;
    const int dims[] = {8, 16, 20, 24, 32, 48, 64, 80, 96, 128};
    const int multipliers[] = {50334, 35592, 31834, 29060, 25167,
                               20549, 17796, 15917, 14530, 12583};
    lac_layer layer;
    int64_t multiplier;
    uint64_t sum = 0;
    for (uint64_t f = 0; f < 256; f++)
        sum += lac_softmax_weight(f);
    assert_int_equal(sum, 12118596);
    assert_int_equal(lac_softmax_weight(1), 65359);
    assert_int_equal(lac_softmax_weight(128), 46341);
    assert_int_equal(lac_softmax_weight(255), 32857);
    assert_int_equal(lac_softmax_weight(32 * 256), 0);
    for (int i = 0; i < 10; i++) {
        char text[64];
        snprintf(text, sizeof text, "attention:heads=1,tokens=1,dim=%d", dims[i]);
        assert_int_equal(lac_layer_parse(&layer, text, &err), LAC_OK);
        assert_int_equal(lac_softmax_multiplier(&layer, &multiplier, &err), LAC_OK);
        assert_int_equal(multiplier, multipliers[i]);
    }
    /* a captured layer: its own scales */
    const float scale = 0.0625f;
    layer.softmax_scale = 0.125;
    layer.operand[LAC_ROLE_QUERY].scale = layer.operand[LAC_ROLE_KEY].scale = &scale;
    layer.operand[LAC_ROLE_QUERY].scale_count = layer.operand[LAC_ROLE_KEY].scale_count = 1;
    assert_int_equal(lac_softmax_multiplier(&layer, &multiplier, &err), LAC_OK);
    assert_int_equal(multiplier, 189097); /* 2^-11 * log2(e) * 2^28 = 189096.9 */
    const int32_t score[] = {1000, -20000, 30000, 5000};
    const uint8_t kept[] = {1, 0, 1, 1};
    uint16_t p[4];
    lac_softmax_row(p, score, kept, 4, 17796);
    assert_true(p[0] == 683 && p[1] == 0 && p[2] == 2590 && p[3] == 822);
    for (uint64_t root = 1; root < 100; root++)
        assert_true(lac_isqrt(root * root) == root && lac_isqrt(root * root - 1) == root - 1);
    assert_true(lac_isqrt(UINT64_MAX) == UINT32_MAX);
}

static void test_wrong_operands_are_refused(void **state)
{
    (void)state;
    lac_layer layer;
    lac_tensor output;
    assert_int_equal(lac_layer_parse(&layer, "fc:in=4,out=3", &err), LAC_OK);
    assert_int_equal(layer.kind->reference(&layer, &output, &err), LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "weights are not given"));
    layer = make("fc:in=4,out=3", "1.0", "1.0", 1);
    layer.dim[0] = 5;
    assert_int_equal(layer.kind->reference(&layer, &output, &err), LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "12 elements, the dims say 15"));
    layer.dim[0] = 4;
    layer.operand[LAC_ROLE_ACTIVATIONS].zero_point = 3;
    assert_int_equal(layer.kind->reference(&layer, &output, &err), LAC_ERROR_INPUT);
    lac_layer_release(&layer);
    assert_int_equal(lac_layer_parse(&layer, "attention:heads=1,tokens=2,dim=4", &err), LAC_OK);
    assert_int_equal(lac_operand_pattern(&layer.operand[LAC_ROLE_WEIGHTS], "0.5", &err), LAC_OK);
    assert_int_equal(layer.kind->generate(&layer, &err), LAC_ERROR_INPUT);
    /* 70,000 products of 255 * 127 leave int32 */
    layer = make("fc:in=70000,out=2", "1.0", "1.0", 1);
    memset(layer.operand[LAC_ROLE_WEIGHTS].tensor.data, 127, 140000);
    layer.operand[LAC_ROLE_ACTIVATIONS].tensor.dtype = LAC_U8;
    memset(layer.operand[LAC_ROLE_ACTIVATIONS].tensor.data, 255, 70000);
    assert_int_equal(layer.kind->reference(&layer, &output, &err), LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "leaves int32"));
    lac_layer_release(&layer);
}

static void test_no_leak_when_memory_is_short(void **state)
{
    (void)state;
    const char *texts[] = {"gemm:m=3,n=4,k=5,batch=2",
                           "fc:in=4,out=3",
                           "conv:c=2,h=4,w=4,k=2,r=3,s=3,pad=1,groups=2",
                           "attention:heads=2,tokens=5,dim=4",
                           "lstm:in=3,hidden=2,steps=2",
                           "spmm:rows=4,cols=5,n=2,avg=2"};
    for (size_t i = 0; i < 2 * sizeof texts / sizeof *texts; i++) {
        bool done = false;
        for (int64_t n = 0; n < 200 && !done; n++) {
            lac_layer layer, product;
            lac_tensor output;
            assert_int_equal(lac_layer_parse(&layer, texts[i / 2], &err), LAC_OK);
            lac_alloc_fail_after(n);
            lac_status status = layer.kind->generate(&layer, &err);
            layer.channels_last = i % 2;
            if (status == LAC_OK) {
                status = layer.kind->reference(&layer, &output, &err);
                if (status == LAC_OK)
                    lac_tensor_release(&output);
            }
            if (status == LAC_OK && layer.kind->gemm_count) {
                int64_t last = layer.kind->gemm_count(&layer) - 1;
                status = layer.kind->gemm(&layer, last, &product, &err);
                if (status == LAC_OK)
                    lac_layer_release(&product);
            }
            lac_alloc_fail_after(-1);
            assert_true(status == LAC_OK || status == LAC_ERROR_MEMORY);
            done = status == LAC_OK;
            lac_layer_release(&layer);
        }
        assert_true(done);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_text_round_trips),
                                       cmocka_unit_test(test_bad_text_is_one_clear_line),
                                       cmocka_unit_test(test_generator_check_values),
                                       cmocka_unit_test(test_patterns_of_convolutions),
                                       cmocka_unit_test(test_generator_is_sequential),
                                       cmocka_unit_test(test_convolutions_against_loops),
                                       cmocka_unit_test(test_products_against_loops),
                                       cmocka_unit_test(test_sums_of_golden_tables),
                                       cmocka_unit_test(test_attention_orders_and_masks),
                                       cmocka_unit_test(test_softmax_values),
                                       cmocka_unit_test(test_wrong_operands_are_refused),
                                       cmocka_unit_test(test_no_leak_when_memory_is_short)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
