/* The systolic row against its dossier: golden tables and the list "done means". */
#include <lacuna/accel.h>

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/random.h"
#include "helpers/golden.h"

static lac_error err;
static lac_random dice;

static int between(int from, int to)
{
    return from + (int)(lac_random_next(&dice) % (uint64_t)(to - from + 1));
}

static const lac_accel *systolic(void)
{
    const lac_accel *accel = (const lac_accel *)lac_table_find(&lac_accels, "systolic");
    assert_non_null(accel);
    return accel;
}

static lac_result simulate(const lac_layer *layer, const char *set, bool schedule_only)
{
    lac_params params;
    lac_result result;
    lac_sim_options options = {.schedule_only = schedule_only};
    lac_params_init(&params, systolic()->params);
    golden_set(&params, set);
    if (lac_simulate(systolic(), layer, &params, &options, &result, &err) != LAC_OK)
        fail_msg("%s with %s: %s", layer->name, set, err.message);
    return result;
}

/* Shapes only. */
static lac_result schedule(const char *text, const char *set)
{
    lac_layer layer;
    if (lac_layer_parse(&layer, text, &err) != LAC_OK)
        fail_msg("%s", err.message);
    return simulate(&layer, set, true);
}

static int64_t cycles_of(const char *text, const char *set)
{
    return schedule(text, set).cycles;
}

/* ---- 1: section 5, every column of every row, and the energies of 4.6 ---- */

static void check_energies(const char *text, const double *pj)
{
    static const char words[] = "of golden rows ";
    const char *at = strstr(text, words);
    int rows[16], count = 0;
    assert_non_null(at);
    for (at += sizeof words - 1; *at != ':' && count < 16; at += *at == ',') {
        rows[count++] = (int)strtol(at, (char **)&at, 10);
        assert_in_range(rows[count - 1], 1, 13);
    }
    assert_int_equal(count, 6);
    for (int i = 0; i < count; i++) {
        double expected = strtod(at + 1, (char **)&at);
        assert_true(expected > 1e6);
        if (floor(pj[rows[i]] + 0.5) != expected)
            fail_msg("energy of row %d: %.3f, not %.0f", rows[i], pj[rows[i]], expected);
    }
}

static void test_golden_tables(void **state)
{
    (void)state;
    static const char *const second[] = {"stall_dram", "effectual", "gated", "folds"};
    static const char *const third[] = {"ifmap_reads", "filter_reads", "psum_writes", "psum_reads",
                                        "dram_ifmap",  "dram_filter",  "dram_psum",   "dram_out"};
    char *text = golden_system("systolic");
    golden_table cases = golden_find(text, "5. Golden tables", 0);
    golden_table cycles = golden_find(text, "5. Golden tables", 1);
    golden_table words = golden_find(text, "5. Golden tables", 2);
    double pj[16] = {0};
    assert_int_equal(cases.rows, 13);
    assert_int_equal(cycles.rows, 13);
    assert_int_equal(words.rows, 13);
    for (int row = 0; row < cases.rows; row++) {
        assert_string_equal(golden_cell(&cases, row, "#"), golden_cell(&cycles, row, "#"));
        assert_string_equal(golden_cell(&cases, row, "#"), golden_cell(&words, row, "#"));
        lac_layer layer =
            golden_layer(golden_cell(&cases, row, "layer"), golden_cell(&cases, row, "wd"),
                         golden_cell(&cases, row, "ad"), golden_int(&cases, row, "seed"));
        lac_result r = simulate(&layer, golden_cell(&cases, row, "set"), false);
        assert_int_equal(lac_result_get(&r, "nnz_w"), golden_int(&cases, row, "nnz_w"));
        assert_int_equal(lac_result_get(&r, "nnz_a"), golden_int(&cases, row, "nnz_a"));
        assert_true(r.has_output && r.exact);
        assert_true(r.sum == golden_int(&cases, row, "sum"));
        assert_true(r.weighted == golden_int(&cases, row, "check"));
        assert_int_equal(r.cycles, golden_int(&cycles, row, "cycles"));
        assert_int_equal(r.macs, golden_int(&cycles, row, "macs"));
        assert_int_equal(r.effectual_macs, golden_int(&cycles, row, "effectual"));
        assert_int_equal(r.n_stalls, 1);
        for (size_t i = 0; i < sizeof second / sizeof *second; i++)
            assert_int_equal(lac_result_get(&r, second[i]), golden_int(&cycles, row, second[i]));
        for (size_t i = 0; i < sizeof third / sizeof *third; i++)
            assert_int_equal(lac_result_get(&r, third[i]), golden_int(&words, row, third[i]));
        pj[row + 1] = lac_result_energy_pj(&r);
        lac_result_release(&r);
        lac_layer_release(&layer);
    }
    check_energies(text, pj);
    golden_free(&cases);
    golden_free(&cycles);
    golden_free(&words);
    free(text);
}

static void test_copy_agrees_with_the_dossier(void **state)
{
    (void)state;
    char path[4096];
    if (!golden_shared(path, sizeof path, "systems/systolic.md")) {
        fprintf(stderr, "SKIP: LACUNA_SHARED holds no systems/systolic.md to compare with\n");
        skip();
    }
    char *dossier = golden_read(path);
    snprintf(path, sizeof path, "%s/tests/systems/golden/systolic.txt", LACUNA_SOURCE_DIR);
    char *copy = golden_read(path);
    assert_non_null(dossier);
    assert_non_null(copy);
    for (int i = 0; i < 3; i++) {
        golden_table a = golden_find(dossier, "5. Golden tables", i);
        golden_table b = golden_find(copy, "5. Golden tables", i);
        golden_same(&a, &b);
        golden_free(&a);
        golden_free(&b);
    }
    const char *from = strstr(copy, "Energy in pJ"), *in = strstr(dossier, "Energy in pJ");
    assert_true(from != NULL);
    while (in && strncmp(in, from, strcspn(from, "\n")) != 0)
        in = strstr(in + 1, "Energy in pJ");
    assert_non_null(in);
    free(copy);
    free(dossier);
}

/* ---- 2: closed form ---- */

static int64_t ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static void test_serial_closed_form(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        int m = between(1, 300), n = between(1, 300), k = between(1, 300);
        int rows = between(1, 64), cols = between(1, 64), drain = between(0, 1);
        char text[64], set[96];
        snprintf(text, sizeof text, "gemm:m=%d,n=%d,k=%d", m, n, k);
        for (int d = 0; d < 3; d++) {
            static const char *const dataflow[] = {"ws", "os", "is"};
            int row_dim = d == 1 ? m : k, col_dim = d == 2 ? m : n, t = d == 0 ? m : d == 1 ? k : n;
            snprintf(set, sizeof set, "rows=%d cols=%d dataflow=%s drain=%d", rows, cols,
                     dataflow[d], drain);
            int64_t folds = ceil_div(row_dim, rows) * ceil_div(col_dim, cols);
            lac_result r = schedule(text, set);
            assert_int_equal(lac_result_get(&r, "folds"), folds);
            assert_int_equal(r.cycles, folds * ((d == 1 && !drain ? 1 : 2) * rows + cols + t - 2));
        }
    }
}

/* ---- 3: an array of cells, stepped ---- */

enum { SIDE = 12, LONG = 40 };

/* Stationary operand s[i][j], streamed vectors x[t][i] (0 beyond the used rows): loads row by row,
 * then operands move right and sums move down, one cell a cycle. Adds to y[t][j]; returns cycles.
 */
static int step_stationary(int rows, int cols, int t_count, int s[SIDE][SIDE], int x[LONG][SIDE],
                           int y[LONG][SIDE])
{
    int operand[SIDE][SIDE] = {{0}}, sum[SIDE][SIDE] = {{0}}, cycle = rows, done = 0;
    for (int c = 0; done < t_count * cols; c++, cycle++) {
        int next_operand[SIDE][SIDE], next_sum[SIDE][SIDE];
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < cols; j++) {
                int t = c - i; /* row i is fed vector t */
                int in = j ? operand[i][j - 1] : t >= 0 && t < t_count ? x[t][i] : 0;
                next_operand[i][j] = in;
                next_sum[i][j] = (i ? sum[i - 1][j] : 0) + in * s[i][j];
            }
        memcpy(operand, next_operand, sizeof operand);
        memcpy(sum, next_sum, sizeof sum);
        for (int j = 0; j < cols; j++) {
            int t = c - (rows - 1) - j; /* whose sum leaves the last row at the end of c */
            if (t >= 0 && t < t_count) {
                y[t][j] += sum[rows - 1][j];
                done++;
            }
        }
    }
    return cycle;
}

/* Output stationary: a[i][k] from the left, w[j][k] from above. */
static int step_output(int rows, int cols, int k_count, int a[SIDE][LONG], int w[SIDE][LONG],
                       int y[SIDE][SIDE])
{
    int left[SIDE][SIDE] = {{0}}, top[SIDE][SIDE] = {{0}}, cycle = 0, last = rows + cols - 2;
    memset(y, 0, sizeof(int) * SIDE * SIDE);
    for (; cycle < last + k_count; cycle++) {
        int next_left[SIDE][SIDE], next_top[SIDE][SIDE];
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < cols; j++) {
                int ki = cycle - i, kj = cycle - j;
                next_left[i][j] = j ? left[i][j - 1] : ki >= 0 && ki < k_count ? a[i][ki] : 0;
                next_top[i][j] = i ? top[i - 1][j] : kj >= 0 && kj < k_count ? w[j][kj] : 0;
                y[i][j] += next_left[i][j] * next_top[i][j];
            }
        memcpy(left, next_left, sizeof left);
        memcpy(top, next_top, sizeof top);
    }
    return cycle;
}

static void test_stepped_array(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        int m = between(1, 30), n = between(1, 30), k = between(1, 30);
        int rows = between(1, SIDE), cols = between(1, SIDE), exact = between(0, 1);
        static int y[LONG][LONG];
        char text[64], set[96];
        snprintf(text, sizeof text, "gemm:m=%d,n=%d,k=%d", m, n, k);
        lac_layer layer = golden_layer(text, "0.6", "0.6", (uint64_t)round);
        const int8_t *a = layer.operand[LAC_ROLE_ACTIVATIONS].tensor.data;
        const int8_t *w = layer.operand[LAC_ROLE_WEIGHTS].tensor.data;
        for (int d = 0; d < 3; d++) {
            static const char *const dataflow[] = {"ws", "os", "is"};
            int row_dim = d == 1 ? m : k, col_dim = d == 2 ? m : n, t_dim = d == 2 ? n : m;
            int64_t cycles = 0;
            memset(y, 0, sizeof y);
            for (int fc = 0; fc < col_dim; fc += cols)
                for (int fr = 0; fr < row_dim; fr += rows) {
                    int ru = row_dim - fr < rows ? row_dim - fr : rows;
                    int cu = col_dim - fc < cols ? col_dim - fc : cols;
                    int re = exact ? ru : rows, ce = exact ? cu : cols;
                    if (d == 1) {
                        int left[SIDE][LONG] = {{0}}, top[SIDE][LONG] = {{0}}, out[SIDE][SIDE];
                        for (int l = 0; l < k; l++) {
                            for (int i = 0; i < ru; i++)
                                left[i][l] = a[(fr + i) * k + l];
                            for (int j = 0; j < cu; j++)
                                top[j][l] = w[(fc + j) * k + l];
                        }
                        cycles += step_output(re, ce, k, left, top, out);
                        for (int i = 0; i < ru; i++)
                            for (int j = 0; j < cu; j++)
                                y[fr + i][fc + j] = out[i][j];
                        continue;
                    }
                    const int8_t *still = d == 0 ? w : a, *stream = d == 0 ? a : w;
                    int s[SIDE][SIDE] = {{0}}, x[LONG][SIDE] = {{0}}, out[LONG][SIDE] = {{0}};
                    for (int i = 0; i < ru; i++) {
                        for (int j = 0; j < cu; j++)
                            s[i][j] = still[(fc + j) * k + fr + i];
                        for (int t = 0; t < t_dim; t++)
                            x[t][i] = stream[t * k + fr + i];
                    }
                    cycles += step_stationary(re, ce, t_dim, s, x, out);
                    for (int t = 0; t < t_dim; t++)
                        for (int j = 0; j < cu; j++)
                            *(d == 0 ? &y[t][fc + j] : &y[fc + j][t]) += out[t][j];
                }
            snprintf(set, sizeof set, "rows=%d cols=%d dataflow=%s edge=%s", rows, cols,
                     dataflow[d], exact ? "exact" : "full");
            lac_result r = simulate(&layer, set, false);
            assert_int_equal(r.cycles, cycles);
            for (int i = 0; i < m; i++)
                for (int j = 0; j < n; j++)
                    assert_int_equal(((int32_t *)r.output.data)[i * n + j], y[i][j]);
            lac_result_release(&r);
        }
        lac_layer_release(&layer);
    }
}

/* ---- folds walked one by one as sections 4.3 and 4.4 word them ---- */

typedef struct walked {
    int64_t t, re, ce, load_bytes, write_bytes, c;
} walked;

static int64_t part(int64_t x, int64_t i, int64_t n)
{
    return x * (i + 1) / n - x * i / n;
}

static void test_folds_walked(void **state)
{
    (void)state;
    static const char *const dataflow[] = {"ws", "os", "is"};
    for (int round = 0; round < 600; round++) {
        int c = between(1, 12), h = between(1, 12), k = between(1, 40), groups = between(1, 3);
        int r = between(1, h < 3 ? h : 3), stride = between(1, 2), batch = between(1, 2);
        int64_t rows = between(1, 16), cols = between(1, 16), bw = between(1, 20);
        int exact = between(0, 1), piped = between(0, 1), d = between(0, 2);
        int out_bytes = between(0, 1) ? 4 : 1, drain = between(0, 1);
        int64_t out = (h - r) / stride + 1, ifmap = between(1, 3), filter = between(1, 3),
                ofmap = between(1, 3);
        int64_t m = batch * out * out, n = k, kk = (int64_t)c * r * r;
        int64_t input = (int64_t)batch * c * h * h;
        char text[160], set[256];
        snprintf(text, sizeof text,
                 "conv:c=%d,h=%d,w=%d,k=%d,r=%d,s=%d,stride=%d,groups=%d,batch=%d", c * groups, h,
                 h, k * groups, r, r, stride, groups, batch);
        snprintf(set, sizeof set,
                 "rows=%d cols=%d dataflow=%s edge=%s fold=%s mem=dram dram_bw=%d out_bytes=%d "
                 "ifmap_kb=%d filter_kb=%d ofmap_kb=%d drain=%d",
                 (int)rows, (int)cols, dataflow[d], exact ? "exact" : "full",
                 piped ? "pipelined" : "serial", (int)bw, out_bytes, (int)ifmap, (int)filter,
                 (int)ofmap, drain);
        ifmap *= 1024, filter *= 1024, ofmap *= 1024;
        int64_t row_dim = d == 1 ? m : kk, col_dim = d == 2 ? m : n,
                t = d == 0   ? m
                    : d == 1 ? kk
                             : n;
        int64_t rf = ceil_div(row_dim, rows), cf = ceil_div(col_dim, cols), count = 0;
        int64_t di = 0, dw = 0, dp = 0, dout = 0;
        walked *f = calloc((size_t)(rf * cf * groups), sizeof *f);
        assert_non_null(f);
        for (int g = 0; g < groups; g++)
            for (int64_t fc = 0; fc < cf; fc++)
                for (int64_t fr = 0; fr < rf; fr++) {
                    int64_t ru = row_dim - fr * rows < rows ? row_dim - fr * rows : rows;
                    int64_t cu = col_dim - fc * cols < cols ? col_dim - fc * cols : cols;
                    int64_t i = 0, w = 0, pr = 0, wr = 0;
                    int64_t res = d == 0 ? m * cu : d == 1 ? ru * cu : n * cu;
                    if (d == 2)
                        i = part(input, fc * rf + fr, rf * cf);
                    else if (fc == 0 || input > ifmap)
                        i = part(input, fr, rf);
                    if (d == 0)
                        w = ru * cu;
                    else if (d == 1 && (fr == 0 || (n * kk > filter && 2 * kk * cu > filter)))
                        w = kk * cu;
                    else if (d == 2 && (fc == 0 || n * kk > filter))
                        w = part(n * kk, fr, rf);
                    if (d == 1 || fr == rf - 1)
                        wr = res * out_bytes;
                    else if (4 * res > ofmap)
                        wr = 4 * res;
                    if (d != 1 && fr > 0 && 4 * res > ofmap)
                        pr = 4 * res;
                    f[count++] =
                        (walked){t, exact ? ru : rows, exact ? cu : cols, i + w + pr, wr, 0};
                    di += i, dw += w, dp += pr, dout += wr;
                }
        int64_t ideal = 0, start = d == 1 ? 0 : f[0].re;
        for (int64_t i = 0; i < count; i++) {
            int64_t next = i + 1 < count ? f[i + 1].re : 0;
            f[i].c = (d == 1 && !drain ? 1 : 2) * f[i].re + f[i].ce + t - 2;
            if (piped) {
                int64_t step = d == 1 ? f[i].re : next;
                int64_t end = start + t + f[i].re + f[i].ce - 2 + (d == 1 ? f[i].re : 0);
                ideal = end > ideal ? end : ideal;
                f[i].c = t > step ? t : step;
                start += f[i].c;
            } else {
                ideal += f[i].c;
            }
        }
        int64_t stall = ceil_div(f[0].load_bytes, bw) + ceil_div(f[count - 1].write_bytes, bw);
        for (int64_t i = 0; i < count; i++) {
            int64_t load = i + 1 < count ? ceil_div(f[i + 1].load_bytes, bw) : 0;
            int64_t wb = i > 0 ? ceil_div(f[i - 1].write_bytes, bw) : 0;
            stall += load + wb > f[i].c ? load + wb - f[i].c : 0;
        }
        free(f);
        lac_result got = schedule(text, set);
        assert_int_equal(lac_result_get(&got, "folds"), count);
        assert_int_equal(lac_result_get(&got, "cycles_ideal"), ideal);
        assert_int_equal(lac_result_get(&got, "stall_dram"), stall);
        assert_int_equal(lac_result_get(&got, "dram_ifmap"), di);
        assert_int_equal(lac_result_get(&got, "dram_filter"), dw);
        assert_int_equal(lac_result_get(&got, "dram_psum"), dp);
        assert_int_equal(lac_result_get(&got, "dram_out"), dout);
    }
}

/* ---- 4 to 8: properties ---- */

static void test_properties(void **state)
{
    (void)state;
    static const char *const dataflow[] = {"ws", "os", "is"};
    for (int round = 0; round < 500; round++) {
        int m = between(1, 200), n = between(1, 200), k = between(1, 200);
        int rows = between(1, 40), cols = between(1, 40), bw = between(1, 30);
        char text[64], swapped[64], whole[64], array[48], set[160], other[160];
        snprintf(text, sizeof text, "gemm:m=%d,n=%d,k=%d", m, n, k);
        snprintf(swapped, sizeof swapped, "gemm:m=%d,n=%d,k=%d", n, m, k);
        snprintf(array, sizeof array, "rows=%d cols=%d", rows, cols);
        for (int variant = 0; variant < 4; variant++) { /* 4: is is ws of the transposed product */
            const char *fold = variant & 1 ? "pipelined" : "serial";
            const char *edge = variant & 2 ? "exact" : "full";
            snprintf(set, sizeof set, "%s dataflow=is fold=%s edge=%s", array, fold, edge);
            snprintf(other, sizeof other, "%s dataflow=ws fold=%s edge=%s", array, fold, edge);
            assert_int_equal(cycles_of(text, set), cycles_of(swapped, other));
        }
        for (int d = 0; d < 3; d++) {
            snprintf(set, sizeof set, "%s dataflow=%s fold=pipelined", array, dataflow[d]);
            snprintf(other, sizeof other, "%s dataflow=%s drain=1", array, dataflow[d]);
            assert_true(cycles_of(text, set) <= cycles_of(text, other)); /* 5 */
            for (int piped = 0; piped < 2; piped++) {                    /* 6 */
                const char *fold = piped ? "pipelined" : "serial";
                snprintf(set, sizeof set, "%s dataflow=%s fold=%s edge=exact", array, dataflow[d],
                         fold);
                snprintf(other, sizeof other, "%s dataflow=%s fold=%s", array, dataflow[d], fold);
                assert_true(cycles_of(text, set) <= cycles_of(text, other));
                int unit = rows * cols; /* a multiple of both */
                snprintf(whole, sizeof whole, "gemm:m=%d,n=%d,k=%d", unit * between(1, 2),
                         unit * between(1, 2), unit * between(1, 2));
                assert_int_equal(cycles_of(whole, set), cycles_of(whole, other));
            }
            snprintf(set, sizeof set, "%s dataflow=%s mem=dram dram_bw=%d ifmap_kb=%d filter_kb=%d",
                     array, dataflow[d], bw, between(1, 8), between(1, 8));
            lac_result r = schedule(text, set); /* 7 */
            assert_int_equal(lac_result_get(&r, "active") + lac_result_get(&r, "gated"), r.macs);
            assert_true(lac_result_get(&r, "dram_filter") >= (int64_t)n * k);
            assert_true(lac_result_get(&r, "dram_ifmap") >= (int64_t)m * k);
            assert_int_equal(r.cycles,
                             lac_result_get(&r, "cycles_ideal") + lac_result_get(&r, "stall_dram"));
            snprintf(set, sizeof set, "%s dataflow=%s mem=dram dram_bw=2147483647 fold=%s", array,
                     dataflow[d], round % 2 ? "serial" : "pipelined");
            r = schedule(text, set); /* 8 */
            assert_true(lac_result_get(&r, "stall_dram") <= 2 + lac_result_get(&r, "folds"));
        }
    }
}

/* ---- 9: the output knows no parameter; zvcg gates what is not effectual ---- */

static void test_output_is_independent_of_parameters(void **state)
{
    (void)state;
    static const char *const sets[] = {
        "-", "dataflow=os rows=7 cols=3 zvcg=1", "dataflow=is fold=pipelined edge=exact mem=dram",
        "rows=1 cols=1 mem=dram dram_bw=1 ifmap_kb=1 filter_kb=1 ofmap_kb=1 out_bytes=4"};
    static const char *const layers[] = {
        "gemm:m=33,n=65,k=31,batch=2", "fc:in=70,out=30,batch=3",
        "conv:c=6,h=9,w=7,k=8,r=3,s=2,stride_h=2,pad_top=1,pad_right=2,groups=2,batch=2",
        "lstm:in=20,hidden=7,steps=3", "attention:heads=2,tokens=9,dim=8"};
    for (size_t l = 0; l < sizeof layers / sizeof *layers; l++) {
        bool attention = layers[l][0] == 'a';
        lac_layer layer =
            golden_layer(layers[l], attention ? "-" : "0.4", attention ? "-" : "0.6", l);
        uint64_t sum = 0, weighted = 0;
        int64_t effectual = 0;
        for (size_t s = 0; s < sizeof sets / sizeof *sets; s++) {
            lac_result r = simulate(&layer, sets[s], false);
            assert_true(r.exact);
            if (s == 0) {
                sum = r.sum;
                weighted = r.weighted;
                effectual = r.effectual_macs;
            }
            assert_true(r.sum == sum && r.weighted == weighted);
            assert_int_equal(r.effectual_macs, effectual);
            assert_int_equal(lac_result_get(&r, "gated"), s == 1 ? r.macs - effectual : 0);
            lac_result_release(&r);
        }
        lac_layer_release(&layer);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    lac_params params;
    lac_result result;
    lac_layer layer;
    lac_sim_options options = {.schedule_only = true};
    lac_params_init(&params, systolic()->params);
    assert_int_equal(lac_params_set(&params, "rows", "0", &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_params_set(&params, "cols", "4097", &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_params_set(&params, "ifmap_kb", "0", &err), LAC_ERROR_INPUT);
    assert_int_equal(lac_params_set(&params, "dataflow", "rs", &err), LAC_ERROR_INPUT);
    layer = golden_layer("spmm:rows=9,cols=9,n=2,avg=2", "-", "-", 1);
    assert_int_equal(lac_simulate(systolic(), &layer, &params, NULL, &result, &err),
                     LAC_ERROR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "dense"));
    lac_layer_release(&layer);
    assert_int_equal(lac_layer_parse(&layer, "gemm:m=4,n=4,k=4", &err), LAC_OK);
    assert_int_equal(lac_simulate(systolic(), &layer, &params, NULL, &result, &err),
                     LAC_ERROR_INPUT); /* no operands */
    assert_int_equal(lac_params_set(&params, "zvcg", "1", &err), LAC_OK);
    assert_int_equal(lac_simulate(systolic(), &layer, &params, &options, &result, &err),
                     LAC_ERROR_INPUT);
    assert_int_equal(lac_params_set(&params, "zvcg", "0", &err), LAC_OK);
    assert_int_equal(lac_params_set(&params, "out_bytes", "2", &err), LAC_OK);
    assert_int_equal(lac_simulate(systolic(), &layer, &params, &options, &result, &err),
                     LAC_ERROR_INPUT);
    lac_params_init(&params, systolic()->params);
    assert_int_equal(lac_layer_parse(&layer, "gemm:m=2147483647,n=100000,k=1000", &err), LAC_OK);
    assert_int_equal(lac_simulate(systolic(), &layer, &params, &options, &result, &err),
                     LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "too large"));
    assert_int_equal(lac_params_parse(&params, "mem=dram,rows=1,cols=1", &err), LAC_OK);
    assert_int_equal(lac_layer_parse(&layer, "gemm:m=1,n=100000,k=100000", &err), LAC_OK);
    assert_int_equal(lac_simulate(systolic(), &layer, &params, &options, &result, &err),
                     LAC_ERROR_INPUT);
    assert_non_null(strstr(err.message, "10^9"));
}

/* ---- section 6 ---- */

typedef struct reproduced {
    int rows, exact, stalls;
} reproduced;

static void count_row(void *context, const lac_reproduced *row)
{
    reproduced *seen = context;
    bool equal = row->paper == row->ours;
    seen->rows++;
    seen->exact += equal;
    if (strcmp(row->table, "SCALE-Sim 3.0.0") == 0 || strstr(row->table, "ISPASS"))
        assert_true(equal);
    else if (strcmp(row->table, "SCALE-Sim 1") == 0)
        assert_true(row->ours == 2614 || row->ours == 2248);
    else {
        static const double ours[] = {5881, 38, 55, 38};
        assert_true(seen->stalls < 4 && row->ours == ours[seen->stalls]);
        seen->stalls++;
    }
}

static void test_reproduce(void **state)
{
    (void)state;
    lac_params params;
    reproduced seen = {0, 0, 0};
    lac_params_init(&params, systolic()->params);
    if (systolic()->reproduce(&params, NULL, count_row, &seen, &err) != LAC_OK)
        fail_msg("%s", err.message);
    assert_int_equal(seen.rows, 6 + 2 + 4 + 81);
    assert_int_equal(seen.exact, 6 + 1 + 81);
    assert_int_equal(seen.stalls, 4);
}

int main(void)
{
    dice = lac_random_stream(2018, 1);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden_tables),
                                       cmocka_unit_test(test_copy_agrees_with_the_dossier),
                                       cmocka_unit_test(test_serial_closed_form),
                                       cmocka_unit_test(test_stepped_array),
                                       cmocka_unit_test(test_folds_walked),
                                       cmocka_unit_test(test_properties),
                                       cmocka_unit_test(test_output_is_independent_of_parameters),
                                       cmocka_unit_test(test_refusals),
                                       cmocka_unit_test(test_reproduce)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
