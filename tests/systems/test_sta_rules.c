/* What must hold for sta beyond its tables: section 7 of the dossier, "done means". */
#include <lacuna/accel.h>
#include <lacuna/format.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "accel/sta/sta.h"
#include "core/memory.h"
#include "core/random.h"
#include "helpers/golden.h"
#include "helpers/sta.h"

static lac_error err;

/* ---- 2: bytes from DRAM are the image's, once per token block ---- */

static void test_image_sizes(void **state)
{
    (void)state;
    char *dossier = golden_system("sta");
    golden_table table = golden_find(dossier, "5.1", 0), counts = golden_find(dossier, "5.1", 1);
    for (int r = 0; r < table.rows; r++) {
        const char *set = golden_cell(&table, r, "set");
        lac_layer layer =
            golden_layer(golden_cell(&table, r, "layer"), golden_cell(&table, r, "wd"), NULL, 1);
        const lac_operand *w = &layer.operand[LAC_ROLE_WEIGHTS];
        lac_params params = *sta_defaults(), packing;
        const lac_format *format = (const lac_format *)lac_table_find(&lac_formats, "sta");
        lac_view view =
            layer.operand[LAC_ROLE_WEIGHTS].tensor.rank == 4 ? LAC_VIEW_CONV : LAC_VIEW_ROWS;
        lac_packed packed;
        char text[96];
        if (view == LAC_VIEW_CONV) { /* its image has padded channels: 60 -> 64 of a 2:8 */
            lac_layer_release(&layer);
            continue;
        }
        golden_set(&params, set);
        lac_params_init(&packing, format->params);
        snprintf(text, sizeof text, "n=%d,m=%d,c=%d,l=%d,enc=%s", w->m > 1 ? w->n : 1,
                 w->m > 1 ? w->m : 1, (int)lac_params_int(&params, "C"),
                 (int)lac_params_int(&params, "L"), lac_params_text(&params, "enc"));
        assert_int_equal(lac_params_parse(&packing, text, &err), LAC_OK);
        if (lac_pack(&packed, format, &packing, view, &w->tensor, &err) != LAC_OK)
            fail_msg("%s", err.message);
        int blocks = strstr(set, "act=20000") ? 4 : 1; /* 64 of 256 rows at a time */
        assert_int_equal((lac_packed_bytes(&packed) - LAC_STA_HEADER_BYTES) * blocks,
                         golden_int(&counts, r, "dram_w"));
        lac_packed_release(&packed);
        lac_layer_release(&layer);
    }
    golden_free(&table);
    golden_free(&counts);
    free(dossier);
}

/* ---- 3, 4: same N/M, same cycles but for fetches and rounding ---- */

static void test_same_density_same_cycles(void **state)
{
    (void)state;
    const char *layer = "gemm:m=100,n=130,k=512";
    int64_t cycles = sta_schedule(layer, "1:2", "").cycles;
    assert_int_equal(sta_schedule(layer, "2:4", "").cycles, cycles);
    assert_int_equal(sta_schedule(layer, "4:8", "").cycles, cycles);
    assert_int_equal(sta_schedule(layer, "1:4", "").cycles, sta_schedule(layer, "2:8", "").cycles);
    assert_int_equal(sta_schedule(layer, "8:16", "PA=64").cycles, cycles);
}

/* ---- 5: the closed form ---- */

static void test_closed_form(void **state)
{
    (void)state;
    static const char *const patterns[] = {"1:1", "1:2", "2:4", "2:8", "1:16", "3:5", "16:16"};
    static const int sizes[][3] = {{64, 256, 512}, {17, 33, 100}, {5, 7, 3}, {197, 64, 768}};
    for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            char text[64];
            int n = atoi(patterns[p]), m = atoi(strchr(patterns[p], ':') + 1);
            snprintf(text, sizeof text, "gemm:m=%d,n=%d,k=%d", sizes[s][0], sizes[s][1],
                     sizes[s][2]);
            lac_result r = sta_schedule(text, patterns[p], "lat=0,rd=1000000000");
            int groups = (sizes[s][2] + m - 1) / m, steps = (groups + 3) / 4;
            int fetches = (4 * m + 31) / 32, phase = n > fetches ? n : fetches;
            int tiles = (sizes[s][0] + 15) / 16 * ((sizes[s][1] + 15) / 16);
            int length = steps * phase, off = (steps - 1) * phase + fetches + n + 3;
            int closed = (tiles - 1) * (length > 16 ? length : 16) + off + 16 + 4 + 1;
            assert_int_equal(lac_result_get(&r, "load_stall"), 2);
            assert_int_equal(r.cycles, closed + 2);
            assert_int_equal(lac_result_get(&r, "mac_cycles"), tiles * steps * n);
            if (m == 1)
                assert_int_equal(lac_result_get(&r, "mac_cycles"), tiles * ((sizes[s][2] + 3) / 4));
        }
}

/* ---- 7: softmax ---- */

static lac_random dice;

static int between(int from, int to)
{
    return from + (int)(lac_random_next(&dice) % (uint64_t)(to - from + 1));
}

static void test_softmax_example(void **state)
{
    (void)state;
    const int16_t x[] = {300, -100, 0, 512, 511};
    const uint8_t want[] = {48, 16, 21, 85, 85};
    uint8_t p[5];
    for (int segment = 2; segment <= 16; segment++) {
        lac_sta_softmax(x, 5, segment, p);
        assert_memory_equal(p, want, 5);
    }
}

static void test_softmax_properties(void **state)
{
    (void)state;
    enum { LONGEST = 300 };
    int16_t x[LONGEST], moved[LONGEST];
    uint8_t p[LONGEST], q[LONGEST];
    dice = lac_random_stream(7, 0);
    for (int round = 0; round < 3000; round++) {
        int count = between(1, LONGEST), spread = between(0, 12000), sum = 0, top = INT16_MIN;
        double total = 0;
        for (int j = 0; j < count; j++) {
            x[j] = (int16_t)between(-spread, spread);
            top = x[j] > top ? x[j] : top;
        }
        lac_sta_softmax(x, count, 16, p);
        for (int j = 0; j < count; j++) {
            sum += p[j];
            total += exp2((x[j] - top) / 256.0);
        }
        assert_true(abs(sum - 256) <= count / 2 + 1);
        for (int j = 0; j < count; j++)
            assert_true(fabs(p[j] / 256.0 - exp2((x[j] - top) / 256.0) / total) <= 0.005);
        int shift = between(-60, 60) * 256;
        for (int j = 0; j < count; j++)
            moved[j] = (int16_t)(x[j] + shift);
        lac_sta_softmax(moved, count, 16, q);
        assert_memory_equal(p, q, (size_t)count);
        lac_sta_softmax(x, count, between(1, LONGEST), q);
        for (int j = 0; j < count; j++)
            assert_true(abs(p[j] - q[j]) <= 1);
    }
}

static void test_tables(void **state)
{
    (void)state;
    int64_t sum = 0, weighted = 0;
    for (int i = 0; i < 256; i++) {
        sum += lac_sta_exp2[i];
        weighted += lac_sta_exp2[i] * (int64_t)(i % 251 + 1);
        assert_int_equal(lac_sta_exp2[i], floor(65535 * exp2(-i / 256.0) + 0.5));
        double q = (i - 128) / 32.0;
        assert_int_equal(lac_sta_gelu[i], floor(32 * (q * (1 + erf(q / sqrt(2))) / 2) + 0.5));
    }
    assert_int_equal(sum, 12118406);
    assert_int_equal(weighted, 1337980710);
    for (int i = sum = weighted = 0; i < 256; i++) {
        sum += lac_sta_gelu[i];
        weighted += lac_sta_gelu[i] * (int64_t)(i % 251 + 1);
    }
    assert_int_equal(sum, 7634);
    assert_int_equal(weighted, 1518791);
}

static void test_score_scales(void **state)
{
    (void)state;
    static const int want[][3] = {{8, 16714, 17},  {16, 23637, 18}, {32, 16714, 18},
                                  {40, 29899, 19}, {48, 27294, 19}, {64, 23637, 19},
                                  {80, 21142, 19}, {96, 19300, 19}, {128, 16714, 19}};
    lac_sta_scale scale;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        assert_int_equal(lac_sta_score_scale(lac_sta_score_factor(want[i][0]), &scale, &err),
                         LAC_OK);
        assert_int_equal(scale.multiplier, want[i][1]);
        assert_int_equal(scale.shift, want[i][2]);
    }
    assert_int_equal(lac_sta_score_scale(32768, &scale, &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_sta_score_scale(0, &scale, &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_sta_score_scale(NAN, &scale, &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_sta_score_scale(1e-300, &scale, &err), LAC_OK);
    assert_int_equal(lac_sta_score(INT32_MAX, scale), 0);
    assert_int_equal(lac_sta_score_scale(32767.9999, &scale, &err), LAC_OK);
    assert_in_range(scale.multiplier, 16384, 32767);
}

/* ---- 8: layer norm ---- */

static void test_layer_norm(void **state)
{
    (void)state;
    static const int dims[] = {64, 192, 768};
    static int16_t u[768];
    static int8_t y[768], gamma[768], beta[768];
    lac_sta_layer_norm((int16_t[]){100, -50, 30, 7}, 4, NULL, NULL, y);
    assert_memory_equal(y, ((int8_t[]){47, -43, 5, -9}), 4);
    for (int i = 0; i < 768; i++) {
        u[i] = 1234;
        gamma[i] = (int8_t)(i % 255 - 127);
        beta[i] = (int8_t)(i % 251 - 125);
    }
    lac_sta_layer_norm(u, 768, gamma, beta, y);
    assert_memory_equal(y, beta, 768);
    dice = lac_random_stream(8, 0);
    double worst = 0;
    for (int round = 0; round < 10000; round++) {
        int d = dims[round % 3];
        double deviation = 4 * pow(250, lac_random_unit(&dice)), s1 = 0, s2 = 0;
        for (int i = 0; i < d; i++) { /* a sum of uniforms is close enough to normal */
            double x = 0;
            for (int j = 0; j < 12; j++)
                x += lac_random_unit(&dice);
            u[i] = (int16_t)floor((x - 6) * deviation + 0.5);
            s1 += u[i];
            s2 += (double)u[i] * u[i];
        }
        double mean = s1 / d, sigma = sqrt(s2 / d - mean * mean);
        lac_sta_layer_norm(u, d, NULL, NULL, y);
        for (int i = 0; i < d && sigma > 0; i++) {
            double real = 32 * (u[i] - mean) / sigma;
            real = real > 127 ? 127 : real < -127 ? -127 : real;
            worst = fmax(worst, fabs(real - y[i]));
        }
    }
    if (worst > 1)
        fail_msg("layer norm is off by %f", worst);
}

/* ---- 10: refusals ---- */

static void test_refusals(void **state)
{
    (void)state;
    const char *gemm = "gemm:m=8,n=8,k=64", *encoder = "encoder:tokens=8,dim=32,heads=2,ffn=64";
    sta_refuses(gemm, "2:32", "", LAC_ERROR_UNSUPPORTED, "MMAX = 16");
    sta_refuses(gemm, "2:8", "MMAX=4", LAC_ERROR_UNSUPPORTED, "MMAX = 4");
    sta_refuses("gemm:m=1,n=1,k=20000", "1:1", "", LAC_ERROR_INPUT,
                "too large for the weight slot");
    sta_refuses(gemm, "1:1", "wslot=1000", LAC_ERROR_INPUT, "wslot = 1000");
    sta_refuses(gemm, "1:1", "act=1000", LAC_ERROR_INPUT, "act = 1000");
    sta_refuses(gemm, "1:1", "wr=63", LAC_ERROR_INPUT, "wr = 63");
    sta_refuses("attention:heads=1,tokens=8,dim=8", NULL, "wr=1", LAC_ERROR_INPUT, "wr = 1");
    sta_refuses(encoder, "1:1", "wr=1", LAC_ERROR_INPUT, "wr = 1");
    sta_refuses("attention:heads=64,tokens=400,dim=64", NULL, "", LAC_ERROR_INPUT, "act = 4194304");
    sta_refuses(encoder, "1:1", "act=3000", LAC_ERROR_INPUT, "act = 3000");
    sta_refuses("encoder:tokens=8,dim=32,heads=2,ffn=1024", "1:1", "act=4000", LAC_ERROR_INPUT,
                "feed-forward");
    sta_refuses(encoder, "1:1", "mix=q=5:4", LAC_ERROR_INPUT, "5:4");
    sta_refuses(encoder, "1:1", "mix=x=1:4", LAC_ERROR_INPUT, "x=1:4");
    sta_refuses(encoder, "1:1", "mix=q=1:4/q=1:4", LAC_ERROR_INPUT, "twice");
    sta_refuses(encoder, "1:1", "mix=q=1:17", LAC_ERROR_INPUT, "1:17");
    sta_refuses("conv:c=4,h=4,w=4,k=4,r=3,s=3,groups=2", NULL, "", LAC_ERROR_UNSUPPORTED,
                "grouped");
    sta_refuses("lstm:in=4,hidden=4,steps=1", NULL, "", LAC_ERROR_UNSUPPORTED, "lstm");
    sta_refuses("attention:heads=1,tokens=8,dim=8,kv_tokens=9", NULL, "", LAC_ERROR_UNSUPPORTED,
                "token count");
    lac_layer layer;
    assert_int_equal(lac_layer_parse(&layer, "encoder:tokens=8,dim=32,heads=3,ffn=64", &err),
                     LAC_ERROR_INPUT);
    lac_operand operand;
    assert_int_equal(lac_operand_pattern(&operand, "5:4", &err), LAC_ERROR_INPUT);
}

/* A layer of a real network that does not fit is the host's; the reason names the parameter. */
static void test_captured_misfits(void **state)
{
    (void)state;
    static const char *const texts[] = {"fc:in=25088,out=16",
                                        "conv:c=2048,h=3,w=3,k=2,r=3,s=3,pad=1",
                                        "attention:heads=64,tokens=400,dim=64"};
    float scale = 1;
    char why[256];
    for (size_t i = 0; i < 3; i++) {
        lac_layer layer;
        assert_int_equal(lac_layer_parse(&layer, texts[i], &err), LAC_OK);
        assert_true(sta_row()->supports(&layer, sta_defaults(), why, sizeof why));
        layer.operand[LAC_ROLE_ACTIVATIONS].scale = &scale;
        layer.operand[LAC_ROLE_ACTIVATIONS].scale_count = 1;
        assert_false(sta_row()->supports(&layer, sta_defaults(), why, sizeof why));
        assert_non_null(strstr(why, i == 2 ? "act =" : "wslot ="));
    }
}

/* An image packed for another array is refused; broken promises of N:M run dense. */
static void test_real_weights(void **state)
{
    (void)state;
    lac_layer layer = golden_layer("gemm:m=9,n=20,k=40", "0.6", NULL, 3);
    lac_result dense = sta_run(&layer, "", NULL);
    layer.operand[LAC_ROLE_WEIGHTS].n = 1;
    layer.operand[LAC_ROLE_WEIGHTS].m = 4;
    lac_result promised = sta_run(&layer, "", NULL);
    assert_true(promised.exact && dense.exact);
    assert_int_equal(promised.cycles, dense.cycles);
    assert_int_equal(lac_result_get(&promised, "bitmap_reads"), 0);
    lac_result_release(&dense);
    lac_result_release(&promised);
    lac_layer_release(&layer);

    layer = golden_layer("gemm:m=9,n=20,k=40", "2:4", NULL, 3);
    lac_packed packed;
    const lac_format *format;
    lac_params params, defaults = *sta_defaults();
    assert_int_equal(lac_format_parse("sta:c=8,l=8", &format, &params, &err), LAC_OK);
    lac_operand *w = &layer.operand[LAC_ROLE_WEIGHTS];
    assert_int_equal(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &w->tensor, &err), LAC_OK);
    w->packed = &packed;
    lac_result result;
    assert_int_equal(lac_simulate(sta_row(), &layer, &defaults, NULL, &result, &err),
                     LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "c=8, l=8"));
    result = sta_run(&layer, "C=8,L=8", NULL);
    assert_true(result.exact);
    lac_result_release(&result);
    lac_packed_release(&packed);
    lac_layer_release(&layer);
}

/* Captured layers: uint8 activations, real scales, other layouts, batches, dilated convolutions. */
static void test_other_layers(void **state)
{
    (void)state;
    static const char *const texts[] = {"gemm:m=33,n=20,k=40,batch=3",
                                        "conv:c=5,h=9,w=8,k=20,r=3,s=2,stride=2,pad=1,dilation=2",
                                        "conv:c=16,h=30,w=30,k=3,r=1,s=1,batch=2",
                                        "attention:heads=2,tokens=35,dim=8,batch=2",
                                        "fc:in=1,out=1",
                                        "gemm:m=130,n=1,k=1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        bool attention = !strncmp(texts[i], "att", 3);
        lac_layer layer = golden_layer(texts[i], attention ? NULL : "2:4", NULL, 5);
        lac_tensor *a = &layer.operand[LAC_ROLE_ACTIVATIONS].tensor;
        if (!attention) {
            a->dtype = LAC_U8;
            ((uint8_t *)a->data)[0] = 255;
        }
        float scale = 0.01f;
        for (int role = LAC_ROLE_QUERY; role <= LAC_ROLE_VALUE; role++) {
            layer.operand[role].scale = &scale;
            layer.operand[role].scale_count = attention;
        }
        layer.softmax_scale = attention ? 0.3 : 0;
        lac_result result = sta_run(&layer, "C=5,L=3", NULL);
        if (!result.exact)
            fail_msg("%s is not exact", texts[i]);
        lac_result_release(&result);
        lac_layer_release(&layer);
    }
}

/* ---- 12 (phases of case E8 are checked by the identity), 13 ---- */

static void test_data_changes_no_cycle(void **state)
{
    (void)state;
    static const char *const texts[] = {"gemm:m=33,n=50,k=70", "encoder:tokens=20,dim=32,heads=2,"
                                                               "ffn=64,layers=2"};
    for (size_t i = 0; i < 2; i++) {
        lac_result first = {0};
        for (int seed = 1; seed <= 3; seed++) {
            lac_layer layer = golden_layer(texts[i], "2:4",
                                           i           ? NULL
                                           : seed == 2 ? "0.1"
                                                       : "1.0",
                                           (uint64_t)seed);
            lac_result result = sta_run(&layer, i ? "mix=q=1:1/f2=1:8" : "", NULL);
            assert_true(result.exact);
            if (seed == 1)
                first = result;
            else {
                assert_int_equal(result.cycles, first.cycles);
                assert_int_equal(result.dram_bytes, first.dram_bytes);
                assert_int_not_equal(result.sum, first.sum);
                lac_result_release(&result);
            }
            lac_layer_release(&layer);
        }
        lac_result_release(&first);
    }
}

static void test_program(void **state)
{
    (void)state;
    lac_text text = {0};
    lac_layer layer;
    assert_int_equal(lac_layer_parse(&layer, "encoder:tokens=20,dim=32,heads=2,ffn=64", &err),
                     LAC_OK);
    assert_int_equal(lac_operand_pattern(&layer.operand[LAC_ROLE_WEIGHTS], "2:8", &err), LAC_OK);
    assert_int_equal(lac_sta_program(&layer, sta_defaults(), &text, &err), LAC_OK);
    int lines = 0;
    for (const char *at = text.data; *at; at++)
        lines += *at == '\n';
    assert_int_equal(lines, 3 + 2 * 4 + 2 + 3 + 1);
    /* GEMM n=2 m=8 sparse, 1 step, 2 column tiles, 2 row tiles, int8 out */
    uint64_t word = (uint64_t)2 << 55 | (uint64_t)8 << 50 | (uint64_t)1 << 49 | (uint64_t)1 << 33 |
                    2 << 21 | 2 << 9 | 1 << 6;
    assert_int_equal(strtoull(text.data, NULL, 16), word);
    const char *score = strstr(text.data, "SCORE"), *pv = strstr(text.data, "PV");
    assert_true(score && pv && score < pv);
    assert_non_null(strstr(text.data, "f000000000000000  END"));
    lac_text_release(&text);
    assert_int_equal(lac_layer_parse(&layer, "gemm:m=1,n=70000,k=8", &err), LAC_OK);
    assert_int_equal(lac_sta_program(&layer, sta_defaults(), &text, &err), LAC_ERROR_INPUT);
    lac_text_release(&text);
}

static void count_row(void *context, const struct lac_reproduced *row)
{
    int *count = context;
    assert_non_null(row->provenance);
    assert_true(isnan(row->paper) != isnan(row->ours)); /* either side alone, never compared */
    (*count)++;
}

static void test_reproduce(void **state)
{
    (void)state;
    int count = 0;
    assert_int_equal(sta_row()->reproduce(sta_defaults(), ".", count_row, &count, &err), LAC_OK);
    assert_int_equal(count, 22 + 5);
}

static void test_allocation_failures(void **state)
{
    (void)state;
    static const char *const texts[] = {"gemm:m=3,n=4,k=8", "conv:c=2,h=3,w=3,k=2,r=2,s=2",
                                        "attention:heads=1,tokens=3,dim=2",
                                        "encoder:tokens=2,dim=4,heads=1,ffn=4"};
    for (size_t i = 0; i < 4; i++) {
        lac_layer layer = golden_layer(texts[i], i == 2 ? NULL : "1:2", NULL, 1);
        lac_status status = LAC_ERROR_MEMORY;
        for (int n = 0; n < 300 && status != LAC_OK; n++) {
            lac_result result;
            lac_alloc_fail_after(n);
            status = lac_simulate(sta_row(), &layer, sta_defaults(), NULL, &result, &err);
            lac_alloc_fail_after(-1);
            if (status == LAC_OK)
                lac_result_release(&result);
            else
                assert_int_equal(status, LAC_ERROR_MEMORY);
        }
        assert_int_equal(status, LAC_OK);
        lac_layer_release(&layer);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_image_sizes),
        cmocka_unit_test(test_same_density_same_cycles),
        cmocka_unit_test(test_closed_form),
        cmocka_unit_test(test_softmax_example),
        cmocka_unit_test(test_softmax_properties),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_score_scales),
        cmocka_unit_test(test_layer_norm),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_captured_misfits),
        cmocka_unit_test(test_real_weights),
        cmocka_unit_test(test_other_layers),
        cmocka_unit_test(test_data_changes_no_cycle),
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_reproduce),
        cmocka_unit_test(test_allocation_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
