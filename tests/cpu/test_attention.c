/* Attention kernels: of int8, the integers exactly: the sums of what the definition gives in double
 * precision, but for probabilities on the edge between two steps, and the same bits from every
 * instruction set, thread count and thread partition; bytes as QuantizeLinear makes them of the
 * floats; of floats, the bound that the row states. */
#include "cpu/epilogue.h"
#include "cpu/geometry.h"

#include <lacuna/kernel.h>
#include <lacuna/lacuna.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint32_t random_ = 1;
static uint32_t draw(void)
{
    random_ = random_ * 1664525u + 1013904223u;
    return random_ >> 8;
}

typedef enum values { RANDOM, LOWEST, HIGHEST, ZERO, PEAKED, VALUES } values;
typedef enum masking { NONE, KEYS, ROWS, HEADS, ONE, BLIND, MASKS } masking;

static float scales_[4];

static lac_tensor operand(lac_dtype dtype, values v, int role, const int64_t *dims)
{
    lac_tensor t;
    assert_int_equal(lac_tensor_make(&t, dtype, 4, dims, NULL), LAC_OK);
    for (int64_t i = 0; i < lac_tensor_count(&t); i++) {
        int x = (int)(draw() % 256) - 128;
        if (v == LOWEST)
            x = -128;
        else if (v == HIGHEST)
            x = role == LAC_ROLE_VALUE ? -128 : 127;
        else if (v == ZERO)
            x = 0;
        else if (v == PEAKED && role != LAC_ROLE_VALUE)
            x = draw() % 8 ? 0 : x;
        lac_tensor_set(&t, i, dtype == LAC_F32 ? x / 128.0 : x);
    }
    return t;
}

static void put_mask(lac_layer *l, masking kind, int64_t b, int64_t h, int64_t t, int64_t keys)
{
    const int64_t shapes[MASKS][4] = {
        {0}, {b, 1, 1, keys}, {1, 1, t, keys}, {b, h, t, keys}, {1, 1, t, 1}, {1, 1, t, keys}};
    lac_tensor *mask = &l->operand[LAC_ROLE_MASK].tensor;
    if (kind == NONE)
        return;
    assert_int_equal(lac_tensor_make(mask, LAC_F32, 4, shapes[kind], NULL), LAC_OK);
    for (int64_t i = 0; i < lac_tensor_count(mask); i++) {
        float x = (float)(draw() % 512) / 256 - 1;
        if (kind != ONE && draw() % 4 == 0)
            x = draw() % 2 ? -10000 : -INFINITY;
        ((float *)mask->data)[i] = kind == BLIND && i / keys == t / 2 ? -INFINITY : x;
    }
    if (kind == KEYS) /* no row sees nothing but in BLIND */
        for (int64_t i = 0; i < b; i++)
            ((float *)mask->data)[i * keys] = 0;
    else if (kind == ROWS || kind == HEADS)
        for (int64_t i = 0; i < lac_tensor_count(mask); i += keys)
            ((float *)mask->data)[i] = 0;
}

static lac_layer *make(lac_dtype dtype, int64_t b, int64_t h, int64_t t, int64_t keys, int64_t d,
                       bool last, values v, masking mask)
{
    char text[160];
    lac_layer *l = calloc(1, sizeof *l);
    snprintf(text, sizeof text, "attention:heads=%d,tokens=%d,dim=%d,batch=%d,kv_tokens=%d", (int)h,
             (int)t, (int)d, (int)b, (int)keys);
    assert_int_equal(lac_layer_parse(l, text, NULL), LAC_OK);
    for (int role = LAC_ROLE_QUERY; role <= LAC_ROLE_VALUE; role++) {
        int64_t n = role == LAC_ROLE_QUERY ? t : keys;
        l->operand[role].tensor =
            operand(dtype, v, role, last ? (int64_t[]){b, n, h, d} : (int64_t[]){b, h, n, d});
    }
    if (dtype == LAC_I8) {
        scales_[0] = 0.031f;
        scales_[1] = 0.027f;
        scales_[2] = 0.019f;
        scales_[3] = 1.0f / 255;
        for (int i = 0; i < 4; i++) {
            lac_operand *x = &l->operand[i < 3 ? LAC_ROLE_QUERY + i : LAC_ROLE_ACTIVATIONS];
            x->scale = &scales_[i];
            x->scale_count = 1;
        }
    }
    assert_int_equal(lac_tensor_make(&l->output, LAC_F32, 4,
                                     last ? (int64_t[]){b, t, h, d} : (int64_t[]){b, h, t, d},
                                     NULL),
                     LAC_OK);
    l->channels_last = last;
    l->softmax_scale = 1 / sqrt((double)d);
    put_mask(l, mask, b, h, t, keys);
    return l;
}

static void discard(lac_layer *l)
{
    lac_layer_release(l);
    free(l);
}

/* Runs one row on `threads` threads; places behind the output must stay as they are. */
static void run(const lac_kernel *row, const lac_layer *layer, int threads, void *y)
{
    lac_layer l = *layer;
    lac_error err = {0};
    void *state = NULL;
    size_t bytes = lac_tensor_bytes(&l.output);
    unsigned char *place = malloc(bytes + 64);
    memset(place, 0xa5, bytes + 64);
    l.output.data = place;
    lac_threads_set(threads);
    if (row->prepare(&l, &state, &err) != LAC_OK)
        fail_msg("%s: %s", row->row.name, err.message);
    for (int again = 0; again < 2; again++) /* the state carries nothing over */
        if (row->run(&l, state, &err) != LAC_OK)
            fail_msg("%s: %s", row->row.name, err.message);
    assert_true(row->state_bytes(state) > 0);
    row->release(state);
    lac_threads_set(0);
    for (int i = 0; i < 64; i++)
        assert_int_equal(place[bytes + (size_t)i], 0xa5);
    memcpy(y, place, bytes);
    free(place);
}

/* Calls `check` for each row of the CPU that runs the layer; returns how many. */
static int each_row(const lac_layer *l, lac_dtype dtype,
                    void (*check)(const lac_kernel *row, const lac_layer *l, void *context),
                    void *context)
{
    uint32_t isa;
    int count = 0;
    assert_int_equal(lac_isa(&isa, NULL), LAC_OK);
    for (int k = 0; k < lac_table_count(&lac_kernels); k++) {
        const lac_kernel *row = (const lac_kernel *)lac_table_at(&lac_kernels, k);
        char why[200] = "";
        if (strcmp(row->kind, "attention") != 0 || row->dtype != dtype || (row->isa & ~isa))
            continue;
        if (!row->can_run(l, why, sizeof why))
            fail_msg("%s: %s", row->row.name, why);
        assert_true(row->cost(l) > 0);
        check(row, l, context);
        count++;
    }
    return count;
}

/* ---- the definition ---- */

typedef struct wanted {
    double *y;     /* integers: sums of steps times V; floats: the result */
    double *slack; /* integers: what steps on an edge may add or take */
    double bound;  /* floats */
    void *first;   /* bytes of the first row that ran */
} wanted;

static int64_t place_of(const lac_layer *l, const lac_attention_geometry *g, int64_t n, int64_t b,
                        int64_t h, int64_t i, int64_t d)
{
    return l->channels_last ? ((b * n + i) * g->heads + h) * g->dim + d
                            : ((b * g->heads + h) * n + i) * g->dim + d;
}

static void define(const lac_layer *l, bool integers, wanted *want)
{
    lac_attention_geometry g;
    assert_true(lac_attention_geometry_of(l, &g));
    const lac_tensor *q = &l->operand[LAC_ROLE_QUERY].tensor;
    const lac_tensor *k = &l->operand[LAC_ROLE_KEY].tensor;
    const lac_tensor *v = &l->operand[LAC_ROLE_VALUE].tensor;
    const float *mask = l->operand[LAC_ROLE_MASK].tensor.data;
    double *p = malloc((size_t)g.keys * sizeof *p), factor = l->softmax_scale;
    if (integers)
        factor *= (double)scales_[0] * (double)scales_[1];
    for (int64_t b = 0; b < g.batch; b++)
        for (int64_t h = 0; h < g.heads; h++)
            for (int64_t i = 0; i < g.tokens; i++) {
                double high = -INFINITY, sum = 0;
                for (int64_t j = 0; j < g.keys; j++) {
                    p[j] = 0;
                    for (int64_t d = 0; d < g.dim; d++)
                        p[j] += lac_tensor_get(q, place_of(l, &g, g.tokens, b, h, i, d)) *
                                lac_tensor_get(k, place_of(l, &g, g.keys, b, h, j, d));
                    p[j] *= factor;
                    if (mask)
                        p[j] += (double)mask[b * g.mask_batch + h * g.mask_head + i * g.mask_row +
                                             j * g.mask_col];
                    high = fmax(high, p[j]);
                }
                for (int64_t j = 0; j < g.keys; j++)
                    sum += p[j] = exp(p[j] - high);
                for (int64_t d = 0; d < g.dim; d++) {
                    int64_t at = place_of(l, &g, g.tokens, b, h, i, d);
                    double y = 0, slack = 0;
                    for (int64_t j = 0; j < g.keys; j++) {
                        double x = lac_tensor_get(v, place_of(l, &g, g.keys, b, h, j, d));
                        double step = p[j] / sum * 255, edge = fabs(step - floor(step) - 0.5);
                        if (isnan(sum))
                            y = integers ? 0 : NAN; /* a row that sees nothing */
                        else
                            y += (integers ? rint(step) : p[j] / sum) * x;
                        slack += edge < 255 * 4e-6 ? fabs(x) : 0;
                    }
                    want->y[at] = y;
                    want->slack[at] = slack;
                }
            }
    free(p);
}

/* ---- int8 ---- */

static void check_integers(const lac_kernel *row, const lac_layer *l, void *context)
{
    wanted *want = context;
    int64_t count = lac_tensor_count(&l->output);
    float *y = malloc((size_t)count * sizeof *y), factor = scales_[2] * scales_[3];
    char text[300];
    for (int threads = 1; threads <= 3; threads++) {
        run(row, l, threads, y);
        for (int64_t i = 0; i < count; i++) {
            double sum = rint((double)y[i] / (double)factor);
            if (y[i] != (float)sum * factor || !(fabs(sum - want->y[i]) <= want->slack[i]))
                fail_msg("%s, %s, element %d: %.9g, want %.9g +- %g steps", row->row.name,
                         lac_layer_text(l, text, sizeof text), (int)i, sum, want->y[i],
                         want->slack[i]);
        }
        if (!want->first)
            want->first = memcpy(malloc((size_t)count * sizeof *y), y, (size_t)count * sizeof *y);
        assert_memory_equal(want->first, y, (size_t)count * sizeof *y);
    }
    free(y);
}

/* The same as bytes. */
static void check_bytes(const lac_kernel *row, const lac_layer *layer, void *context)
{
    const wanted *want = context;
    const float *real = want->first;
    int64_t count = lac_tensor_count(&layer->output);
    signed char *y = malloc((size_t)count);
    for (int what = 0; what < 4; what++) {
        static const struct {
            lac_dtype dtype;
            float scale;
            int zero;
        } grid[] = {
            {LAC_I8, 0.019f, 0}, {LAC_U8, 0.01f, 128}, {LAC_U8, 0.007f, 0}, {LAC_I8, 0.02f, -7}};
        lac_layer l = *layer;
        l.output.dtype = grid[what].dtype;
        l.output_scale = grid[what].scale;
        l.output_zero = grid[what].zero;
        run(row, &l, 1 + what % 2, y);
        for (int64_t i = 0; i < count; i++) {
            bool is_signed = l.output.dtype == LAC_I8;
            int got = is_signed ? y[i] : (uint8_t)y[i];
            assert_int_equal(got, lac_quantise(real[i], l.output_scale, l.output_zero,
                                               is_signed ? -128 : 0, is_signed ? 127 : 255));
        }
    }
    free(y);
}

static int integer_case(lac_layer *l)
{
    size_t n = (size_t)lac_tensor_count(&l->output);
    wanted want = {malloc(n * sizeof(double)), malloc(n * sizeof(double)), 0, NULL};
    define(l, true, &want);
    int count = each_row(l, LAC_I8, check_integers, &want);
    each_row(l, LAC_I8, check_bytes, &want);
    free(want.y);
    free(want.slack);
    free(want.first);
    discard(l);
    return count;
}

static const int64_t sizes_[] = {1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 24, 25, 31, 33, 63, 64, 65};
enum { SIZES = sizeof sizes_ / sizeof *sizes_ };

static void integers(void **state)
{
    int rows = 0, cases = 0;
    (void)state;
    for (int i = 0; i < SIZES; i++)
        for (int j = 0; j < 4; j++, cases++) {
            int64_t t = sizes_[i], keys = sizes_[(i * 5 + j * 7 + 1) % SIZES];
            int64_t d = sizes_[(i * 7 + j * 3 + 2) % SIZES];
            rows += integer_case(make(LAC_I8, 1 + (i + j) % 2, 1 + j % 3, t, keys, d, j % 2,
                                      (values)((i + j) % VALUES), (masking)((i + 2 * j) % MASKS)));
        }
    rows += integer_case(make(LAC_I8, 1, 3, 197, 197, 64, true, RANDOM, NONE));
    rows += integer_case(make(LAC_I8, 1, 2, 50, 300, 80, true, PEAKED, HEADS));
    rows += integer_case(make(LAC_I8, 1, 1, 3, 1000, 257, false, HIGHEST, NONE));
    print_message("%d layers, %d runs of rows\n", cases + 3, rows);
    assert_true(rows >= cases + 3);
}

/* What a kernel of integers refuses. */
static void refusals(void **state)
{
    static float zero = 0, small = 1.0f / 300, good = 0.01f, pair[2] = {0.01f, 0.01f};
    (void)state;
    for (int what = 0; what < 6; what++) {
        lac_layer *l = make(LAC_I8, 1, 1, 4, 4, 8, true, RANDOM, NONE);
        lac_operand *k = &l->operand[LAC_ROLE_KEY], *p = &l->operand[LAC_ROLE_ACTIVATIONS];
        char why[200] = "";
        if (what == 0)
            k->scale = &zero;
        else if (what == 1)
            p->scale = &small;
        else if (what == 2)
            k->scale = pair, k->scale_count = 2;
        else if (what == 3)
            k->zero_point = 1;
        else if (what == 4)
            p->scale_count = 0;
        else
            k->scale = &good, l->activation = LAC_ACT_TANH;
        assert_null(lac_kernel_choose(l, 0, why, sizeof why));
        assert_true(strlen(why) > 0);
        discard(l);
    }
}

/* ---- floats ---- */

static void check_floats(const lac_kernel *row, const lac_layer *l, void *context)
{
    wanted *want = context;
    int64_t count = lac_tensor_count(&l->output);
    size_t bytes = (size_t)count * sizeof(float);
    float *y = malloc(bytes), *one = malloc(bytes);
    char text[300];
    for (int threads = 1; threads <= 3; threads++) {
        run(row, l, threads, y);
        for (int64_t i = 0; i < count; i++)
            if (isnan(want->y[i]) ? !isnan(y[i])
                                  : !(fabs((double)y[i] - want->y[i]) <= want->bound))
                fail_msg("%s, %s, element %d: %g, want %g +- %g", row->row.name,
                         lac_layer_text(l, text, sizeof text), (int)i, (double)y[i], want->y[i],
                         want->bound);
        if (threads > 1)
            assert_memory_equal(one, y, bytes);
        memcpy(one, y, bytes);
    }
    free(y);
    free(one);
}

static int float_case(lac_layer *l)
{
    size_t n = (size_t)lac_tensor_count(&l->output);
    double d = (double)lac_layer_dim_get(l, "dim"),
           keys = (double)lac_layer_dim_get(l, "kv_tokens");
    wanted want = {malloc(n * sizeof(double)), malloc(n * sizeof(double)), 0, NULL};
    define(l, false, &want);
    /* |q|, |k|, |v| <= 1, |scale| = 1 / sqrt(dim); finite masks that matter are at most 1 */
    want.bound = (2 * (d * sqrt(d) + 2) + keys + 8) * ldexp(1, -23);
    int count = each_row(l, LAC_F32, check_floats, &want);
    free(want.y);
    free(want.slack);
    discard(l);
    return count;
}

static void floats(void **state)
{
    int rows = 0, cases = 0;
    (void)state;
    for (int i = 0; i < SIZES; i++)
        for (int j = 0; j < 4; j++, cases++) {
            int64_t t = sizes_[i], keys = sizes_[(i * 5 + j * 7 + 1) % SIZES];
            int64_t d = sizes_[(i * 7 + j * 3 + 2) % SIZES];
            rows += float_case(make(LAC_F32, 1 + (i + j) % 2, 1 + j % 3, t, keys, d, j % 2,
                                    (values)((i + j) % VALUES), (masking)((i + 2 * j) % MASKS)));
        }
    rows += float_case(make(LAC_F32, 1, 3, 197, 197, 64, true, RANDOM, NONE));
    rows += float_case(make(LAC_F32, 1, 2, 50, 300, 80, true, PEAKED, HEADS));
    print_message("%d layers, %d runs of rows\n", cases + 2, rows);
    assert_true(rows >= cases + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(integers), cmocka_unit_test(refusals),
                                       cmocka_unit_test(floats)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
