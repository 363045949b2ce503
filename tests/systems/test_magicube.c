/* magicube.md, the part that needs no GPU: bytes and counts of SR-BCRS, products with sparse
 * weights (exact, and by every kernel modulo 2^32) and products at chosen places, against the
 * golden tables. */
#include "core/random.h"
#include "format/sr_bcrs.h"
#include "helpers/golden.h"

#include <lacuna/kernel.h>
#include <lacuna/lacuna.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void check(lac_status status, const lac_error *err)
{
    if (status != LAC_OK)
        fail_msg("%s", err->message);
}

/* "L16-R8": bits of both sides; kd of the pair (table of section 2.1). */
static void precision(const char *text, int *left, int *right, int *kd)
{
    assert_int_equal(sscanf(text, "L%d-R%d", left, right), 2);
    *kd = *right == 4 ? 32 : 16;
}

/* One element of a stream: kept with `density`, magnitude 1 to 2^(bits - 1) - 1. */
static int draw(lac_random *random, double density, int bits, bool is_signed)
{
    bool keep = lac_random_unit(random) < density;
    uint64_t r2 = lac_random_next(random);
    int value = 1 + (int)((r2 >> 32) % ((UINT64_C(1) << (bits - 1)) - 1));
    return !keep ? 0 : is_signed && (r2 & 1) ? -value : value;
}

static int *draw_all(uint64_t seed, lac_role role, int64_t count, double density, int bits,
                     bool is_signed)
{
    lac_random random = lac_random_stream(seed, (uint64_t)role);
    int *x = malloc((size_t)count * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < count; i++)
        x[i] = draw(&random, density, bits, is_signed);
    return x;
}

static void to_tensor(lac_tensor *tensor, lac_dtype dtype, const int *x, int64_t rows, int64_t cols)
{
    lac_error err;
    check(lac_tensor_make(tensor, dtype, 2, (int64_t[]){rows, cols}, &err), &err);
    for (int64_t i = 0; i < rows * cols; i++)
        lac_tensor_set(tensor, i, x[i]);
}

static void pack(lac_packed *packed, const lac_tensor *tensor, int v, int bits, int kd)
{
    lac_error err;
    lac_params params;
    const lac_format *format;
    char text[64];
    snprintf(text, sizeof text, "sr-bcrs:v=%d,bits=%d,kd=%d", v, bits, kd);
    check(lac_format_parse(text, &format, &params, &err), &err);
    check(lac_pack(packed, format, &params, LAC_VIEW_ROWS, tensor, &err), &err);
}

static uint64_t fnv(const lac_tensor *field)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    const uint8_t *byte = field->data;
    for (size_t i = 0; i < lac_tensor_bytes(field); i++)
        hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
    return hash;
}

typedef struct sums {
    uint64_t sum, weighted, overflow;
} sums;

static void add(sums *s, int64_t i, int64_t y)
{
    s->sum += (uint64_t)y;
    s->weighted += (uint64_t)y * (uint64_t)(i % 251 + 1);
    s->overflow += y < INT32_MIN || y > INT32_MAX;
}

static void expect(const golden_table *table, int row, const char *column, uint64_t got)
{
    if (golden_int(table, row, column) != got)
        fail_msg("%s: %s is %llu, want %s", golden_cell(table, row, "case"), column,
                 (unsigned long long)got, golden_cell(table, row, column));
}

/* All kernels of sr-bcrs that this machine has, kd = 4, against the exact sums modulo 2^32. */
static int run_kernels(const lac_tensor *w, const lac_tensor *x, int v, int bits,
                       const int64_t *exact)
{
    lac_error err;
    uint32_t isa;
    lac_layer layer;
    lac_packed packed;
    char text[96], why[200];
    int runs = 0;
    int64_t m = x->dims[0], n = w->dims[0], k = w->dims[1];
    check(lac_isa(&isa, &err), &err);
    snprintf(text, sizeof text, "gemm:m=%d,n=%d,k=%d", (int)m, (int)n, (int)k);
    check(lac_layer_parse(&layer, text, &err), &err);
    pack(&packed, w, v, bits, 4);
    layer.operand[LAC_ROLE_WEIGHTS].packed = &packed;
    lac_tensor_share(&layer.operand[LAC_ROLE_ACTIVATIONS].tensor, x);
    check(lac_tensor_make(&layer.output, LAC_I32, 2, (int64_t[]){m, n}, &err), &err);
    for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        void *state;
        if (strcmp(kernel->kind, "gemm") != 0 || strcmp(kernel->format, "sr-bcrs") != 0 ||
            kernel->dtype != x->dtype || (kernel->isa & ~isa))
            continue;
        if (!kernel->can_run(&layer, why, sizeof why))
            fail_msg("%s: %s", kernel->row.name, why);
        memset(layer.output.data, 0x5a, lac_tensor_bytes(&layer.output));
        check(kernel->prepare(&layer, &state, &err), &err);
        check(kernel->run(&layer, state, &err), &err);
        kernel->release(state);
        const int32_t *y = layer.output.data;
        for (int64_t j = 0; j < m * n; j++)
            if ((uint32_t)y[j] != (uint32_t)exact[j])
                fail_msg("%s: output %d is %d, exact %lld", kernel->row.name, (int)j, (int)y[j],
                         (long long)exact[j]);
        runs++;
    }
    lac_packed_release(&packed);
    lac_layer_release(&layer);
    return runs;
}

static void count_vectors(const golden_table *b, const golden_table *c, int row,
                          const lac_packed *packed, int64_t m)
{
    lac_error err;
    lac_sr_bcrs s;
    check(lac_sr_bcrs_of(packed, &s, &err), &err);
    const int32_t *range = packed->field[LAC_SR_BCRS_ROW].data;
    uint64_t vectors = 0, padded = (uint64_t)packed->field[LAC_SR_BCRS_COL].dims[0];
    for (int64_t i = 0; i < s.strips; i++)
        vectors += (uint64_t)(range[2 * i + 1] - range[2 * i]);
    expect(b, row, "vectors", vectors);
    expect(b, row, "padded_vectors", padded);
    expect(c, row, "value_bytes", lac_tensor_bytes(&packed->field[LAC_SR_BCRS_VALUES]));
    expect(c, row, "index_bytes", 4 * padded + 8 * (uint64_t)s.strips);
    expect(c, row, "macs", vectors * (uint64_t)s.v * (uint64_t)m);
}

static int runs;

static void spmm_case(const golden_table *a, const golden_table *b, const golden_table *c,
                      const golden_table *d, int row)
{
    lac_error err;
    int left, right, kd;
    uint64_t seed = golden_int(a, row, "seed");
    int64_t m = (int64_t)golden_int(a, row, "m"), n = (int64_t)golden_int(a, row, "n");
    int64_t k = (int64_t)golden_int(a, row, "k");
    int v = (int)golden_int(a, row, "V");
    double wd = golden_real(a, row, "wd");
    precision(golden_cell(a, row, "precision"), &left, &right, &kd);
    bool by_vector = strcmp(golden_cell(a, row, "mask"), "vector") == 0;
    bool is_signed = strcmp(golden_cell(a, row, "rhs"), "signed") == 0;

    int *w = draw_all(seed, LAC_ROLE_WEIGHTS, n * k, by_vector ? 1 : wd, left, true);
    int *x = draw_all(seed, is_signed ? LAC_ROLE_VALUE : LAC_ROLE_ACTIVATIONS, m * k,
                      golden_real(a, row, "ad"), right, is_signed);
    int *mask = draw_all(seed, LAC_ROLE_ADJACENCY, (n + v - 1) / v * k, wd, 8, false);
    uint64_t nonzero = 0;
    for (int64_t i = 0; i < n * k; i++) {
        if (by_vector && !mask[i / k / v * k + i % k])
            w[i] = 0;
        nonzero += w[i] != 0;
    }
    expect(b, row, "nnz", nonzero);

    lac_tensor weights, back;
    lac_packed packed;
    to_tensor(&weights, left > 8 ? LAC_I16 : LAC_I8, w, n, k);
    pack(&packed, &weights, v, left, kd);
    count_vectors(b, c, row, &packed, m);
    char text[32];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)fnv(&packed.field[LAC_SR_BCRS_COL]));
    assert_string_equal(text, golden_cell(d, row, "col_fnv"));
    snprintf(text, sizeof text, "%016llx",
             (unsigned long long)fnv(&packed.field[LAC_SR_BCRS_VALUES]));
    assert_string_equal(text, golden_cell(d, row, "val_fnv"));
    check(lac_unpack(&packed, &back, &err), &err);
    assert_memory_equal(back.data, weights.data, lac_tensor_bytes(&weights));

    int64_t *exact = malloc((size_t)(m * n) * sizeof *exact);
    assert_non_null(exact);
    sums total = {0};
    for (int64_t i = 0; i < m * n; i++) {
        const int *p = x + i / n * k, *q = w + i % n * k;
        exact[i] = 0;
        for (int64_t j = 0; j < k; j++)
            exact[i] += (int64_t)p[j] * q[j];
        add(&total, i, exact[i]);
    }
    expect(d, row, "sum", total.sum);
    expect(d, row, "wsum", total.weighted);
    expect(c, row, "overflow", total.overflow);
    if (right <= 8) { /* the dense side as bytes, whatever its bits */
        lac_tensor activations;
        to_tensor(&activations, is_signed ? LAC_I8 : LAC_U8, x, m, k);
        runs += run_kernels(&weights, &activations, v, left, exact);
        lac_tensor_release(&activations);
    }
    free(exact);
    lac_tensor_release(&back);
    lac_tensor_release(&weights);
    lac_packed_release(&packed);
    free(w);
    free(x);
    free(mask);
}

static void test_spmm(void **state)
{
    (void)state;
    char *text = golden_system("magicube");
    golden_table t[4];
    for (int i = 0; i < 4; i++)
        t[i] = golden_find(text, "5. Golden", i);
    assert_int_equal(t[0].rows, 12);
    for (int row = 0; row < t[0].rows; row++)
        spmm_case(&t[0], &t[1], &t[2], &t[3], row);
    printf("%d runs of kernels\n", runs);
    assert_true(runs >= 11); /* the portable one, of all but S5 */
    for (int i = 0; i < 4; i++)
        golden_free(&t[i]);
    free(text);
}

/* Kernels of sddmm: int8 only. */
static int run_sddmm(lac_layer *layer, const int32_t *want)
{
    lac_error err;
    uint32_t isa;
    char why[200];
    int ran = 0;
    check(lac_isa(&isa, &err), &err);
    for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        void *made;
        if (strcmp(kernel->kind, "sddmm") != 0 || (kernel->isa & ~isa))
            continue;
        if (!kernel->can_run(layer, why, sizeof why))
            fail_msg("%s: %s", kernel->row.name, why);
        memset(layer->output.data, 0x5a, lac_tensor_bytes(&layer->output));
        check(kernel->prepare(layer, &made, &err), &err);
        check(kernel->run(layer, made, &err), &err);
        kernel->release(made);
        assert_memory_equal(layer->output.data, want, lac_tensor_bytes(&layer->output));
        ran++;
    }
    return ran;
}

static int sddmm_case(const golden_table *t, int row)
{
    lac_error err;
    lac_layer layer;
    int bits, right, kd, ran = 0;
    char text[96];
    int64_t tokens = (int64_t)golden_int(t, row, "tokens"),
            dim = (int64_t)golden_int(t, row, "dim");
    int64_t v = (int64_t)golden_int(t, row, "V"), strips = (tokens + v - 1) / v;
    uint64_t seed = golden_int(t, row, "seed"), vectors = 0, padded = 0;
    precision(golden_cell(t, row, "precision"), &bits, &right, &kd);
    int *q = draw_all(seed, LAC_ROLE_QUERY, tokens * dim, 1, bits, true);
    int *k = draw_all(seed, LAC_ROLE_KEY, tokens * dim, 1, bits, true);
    int *mask = draw_all(seed, LAC_ROLE_ADJACENCY, strips * tokens, golden_real(t, row, "density"),
                         8, false);
    int64_t *y = calloc((size_t)(strips * (tokens + 8) * v), sizeof *y), at = 0;
    assert_non_null(y);
    for (int64_t s = 0; s < strips; s++) {
        int64_t kept = 0;
        for (int64_t j = 0; j < tokens; j++) {
            if (!mask[s * tokens + j])
                continue;
            for (int64_t i = 0; i < v && s * v + i < tokens; i++)
                for (int64_t c = 0; c < dim; c++)
                    y[at + kept / 8 * 8 * v + 8 * i + kept % 8] +=
                        (int64_t)q[(s * v + i) * dim + c] * k[j * dim + c];
            kept++;
        }
        vectors += (uint64_t)kept;
        padded += (uint64_t)(kept + 7) / 8 * 8;
        at += (kept + 7) / 8 * 8 * v;
    }
    sums total = {0};
    for (int64_t i = 0; i < at; i++)
        add(&total, i, y[i]);
    expect(t, row, "vectors", vectors);
    expect(t, row, "padded_vectors", padded);
    expect(t, row, "macs", vectors * (uint64_t)(v * dim));
    expect(t, row, "sum", total.sum);
    expect(t, row, "wsum", total.weighted);
    expect(t, row, "overflow", total.overflow);

    /* the layer kind and its kernels */
    snprintf(text, sizeof text, "sddmm:tokens=%d,dim=%d,v=%d", (int)tokens, (int)dim, (int)v);
    check(lac_layer_parse(&layer, text, &err), &err);
    lac_dtype dtype = bits > 8 ? LAC_I16 : LAC_I8;
    to_tensor(&layer.operand[LAC_ROLE_QUERY].tensor, dtype, q, tokens, dim);
    to_tensor(&layer.operand[LAC_ROLE_KEY].tensor, dtype, k, tokens, dim);
    to_tensor(&layer.operand[LAC_ROLE_MASK].tensor, LAC_U8, mask, strips, tokens);
    lac_tensor reference;
    lac_status status = layer.kind->reference(&layer, &reference, &err);
    if (total.overflow) {
        assert_int_equal(status, LAC_ERROR_INPUT);
    } else {
        check(status, &err);
        assert_int_equal(lac_tensor_count(&reference), at);
        for (int64_t i = 0; i < at; i++)
            assert_int_equal(((const int32_t *)reference.data)[i], y[i]);
    }
    if (bits <= 8) {
        int *full = malloc((size_t)(tokens * tokens) * sizeof *full);
        assert_non_null(full);
        for (int64_t i = 0; i < tokens * tokens; i++)
            full[i] = mask[i / tokens / v * tokens + i % tokens] != 0;
        for (int step = 4; step <= 32; step += step == 4 ? 12 : 16) {
            lac_tensor ones;
            lac_packed packed;
            to_tensor(&ones, LAC_I8, full, tokens, tokens);
            pack(&packed, &ones, (int)v, 8, step);
            layer.operand[LAC_ROLE_MASK].packed = &packed;
            check(lac_tensor_make(&layer.output, LAC_I32, 1, &at, &err), &err);
            ran += run_sddmm(&layer, reference.data);
            lac_tensor_release(&layer.output);
            lac_packed_release(&packed);
            lac_tensor_release(&ones);
        }
        free(full);
    }
    if (status == LAC_OK)
        lac_tensor_release(&reference);
    lac_layer_release(&layer);
    free(q);
    free(k);
    free(mask);
    free(y);
    return ran;
}

static void test_sddmm(void **state)
{
    (void)state;
    char *text = golden_system("magicube");
    golden_table table = golden_find(text, "5. Golden", 4);
    int ran = 0;
    assert_int_equal(table.rows, 5);
    for (int row = 0; row < table.rows; row++)
        ran += sddmm_case(&table, row);
    printf("%d runs of kernels\n", ran);
    assert_true(ran >= 9); /* the portable one, three cases, three kd */
    golden_free(&table);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_spmm), cmocka_unit_test(test_sddmm)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
