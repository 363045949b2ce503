/* Weights of few bits: how near the memory they stream, how near the dense library's int8 they
 * multiply, and where an exact table look-up beats VNNI.
 *
 *     bench_lowbit [dram | gemm | width]...
 *
 * One thread on the processor it is started on (pin it). `dram`: matrix-vector of 4096 x 4096 from
 * distinct copies of 160 MiB together, in stored bytes against reading 512 MiB. `gemm`: 128 rows,
 * against the dense library's uint8 product. `width`: 1024 x 4096 from the cache, 10^9 weights a
 * second for 1 to 4 bits: planes looked up (format bcq) and integers multiplied (format intq). */
#include "core/clock.h"
#include "core/memory.h"
#include "core/random.h"
#include "format/intq.h"

#include <lacuna/kernel.h>
#include <lacuna/lacuna.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(lac_status status, const lac_error *err)
{
    if (status == LAC_OK)
        return;
    fprintf(stderr, "bench_lowbit: %s\n", err->message);
    exit(1);
}

static lac_random generator;

static float uniform(void)
{
    return (float)(lac_random_next(&generator) >> 40) * 0x1p-24f * 2 - 1;
}

/* 10^9 bytes a second of a sum over 512 MiB, best of five. */
static double read_bandwidth(void)
{
    enum { WORDS = (512 << 20) / 8 };
    lac_error err;
    uint64_t *words = lac_alloc_raw(WORDS, sizeof *words, &err), sum = 0;
    double best = 0;
    if (!words)
        must(LAC_ERROR_MEMORY, &err);
    for (int64_t i = 0; i < WORDS; i++)
        words[i] = (uint64_t)i;
    for (int round = 0; round < 5; round++) {
        double start = lac_seconds();
#if defined(__x86_64__) && defined(__GNUC__)
        typedef uint64_t vector __attribute__((vector_size(64)));
        vector part[4] = {{0}};
        const vector *at = (const vector *)words;
        for (int64_t i = 0; i < WORDS / 8; i += 4)
            for (int j = 0; j < 4; j++)
                part[j] += at[i + j];
        for (int j = 0; j < 32; j++)
            sum += part[j / 8][j % 8];
#else
        for (int64_t i = 0; i < WORDS; i++)
            sum += words[i];
#endif
        double rate = WORDS * 8 / (lac_seconds() - start) / 1e9;
        best = rate > best ? rate : best;
    }
    if (sum == 1)
        printf("?");
    lac_free(words);
    return best;
}

typedef struct bed {
    lac_layer layer;
    lac_packed packed;
    const lac_kernel *kernel;
    void *state;
    float scale;
} bed;

/* Random codes and planes do not need packing: fields are filled. */
static void fill_fields(lac_packed *packed)
{
    for (int i = 0; i < LAC_MAX_FIELDS && packed->format->fields[i].name; i++) {
        lac_tensor *field = &packed->field[i];
        for (int64_t at = 0; at < lac_tensor_count(field); at++) {
            uint64_t draw = lac_random_next(&generator);
            if (field->dtype == LAC_F16)
                ((uint16_t *)field->data)[at] =
                    lac_f32_to_f16(0.01f + (float)(draw >> 60) * 0.001f);
            else if (field->dtype == LAC_F32)
                ((float *)field->data)[at] = (float)(draw >> 40) * 0x1p-24f;
            else
                memcpy((char *)field->data + at * lac_dtype_bits(field->dtype) / 8, &draw,
                       (size_t)lac_dtype_bits(field->dtype) / 8);
        }
    }
}

/* format NULL: dense. */
static void begin(bed *b, const char *format_text, const char *kernel, lac_dtype dtype, int64_t m,
                  int64_t n, int64_t k)
{
    lac_error err = {0};
    char text[96], why[200] = "";
    uint32_t isa;
    const lac_format *format;
    lac_params params;
    must(lac_isa(&isa, &err), &err);
    snprintf(text, sizeof text, "gemm:m=%lld,n=%lld,k=%lld", (long long)m, (long long)n,
             (long long)k);
    must(lac_layer_parse(&b->layer, text, &err), &err);
    lac_operand *w = &b->layer.operand[LAC_ROLE_WEIGHTS];
    lac_operand *x = &b->layer.operand[LAC_ROLE_ACTIVATIONS];
    if (format_text) {
        lac_tensor zeros;
        must(lac_format_parse(format_text, &format, &params, &err), &err);
        must(lac_tensor_make(&zeros, LAC_F32, 2, (int64_t[]){n, k}, &err), &err);
        must(lac_pack(&b->packed, format, &params, LAC_VIEW_ROWS, &zeros, &err), &err);
        lac_tensor_release(&zeros);
        fill_fields(&b->packed);
        w->packed = &b->packed;
    } else {
        must(lac_tensor_make(&w->tensor, dtype == LAC_F32 ? LAC_F32 : LAC_I8, 2, (int64_t[]){n, k},
                             &err),
             &err);
        for (int64_t i = 0; i < n * k; i++)
            lac_tensor_set(&w->tensor, i, (double)uniform() * (dtype == LAC_F32 ? 1 : 127));
        b->scale = 0.01f;
        if (dtype != LAC_F32) {
            w->scale = &b->scale;
            w->scale_count = 1;
        }
    }
    must(lac_tensor_make(&x->tensor, dtype, 2, (int64_t[]){m, k}, &err), &err);
    for (int64_t i = 0; i < m * k; i++)
        lac_tensor_set(&x->tensor, i,
                       (double)uniform() * (dtype == LAC_F32 ? 1 : 127) + (dtype == LAC_U8) * 128);
    b->scale = 0.01f;
    if (dtype != LAC_F32) {
        x->scale = &b->scale;
        x->scale_count = 1;
        x->zero_point = dtype == LAC_U8 ? 128 : 0;
    }
    must(lac_tensor_make(&b->layer.output, LAC_F32, 2, (int64_t[]){m, n}, &err), &err);
    b->kernel = kernel ? (const lac_kernel *)lac_table_find(&lac_kernels, kernel)
                       : lac_kernel_choose(&b->layer, isa, why, sizeof why);
    if (!b->kernel) {
        fprintf(stderr, "bench_lowbit: no kernel: %s\n", why);
        exit(1);
    }
    must(b->kernel->prepare(&b->layer, &b->state, &err), &err);
}

static void finish(bed *b)
{
    b->kernel->release(b->state);
    lac_packed_release(&b->packed);
    lac_layer_release(&b->layer);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of one run over all beds in turn: the median of `rounds` rounds, and the least. */
static double seconds(bed *beds, int count, int rounds, double *least)
{
    lac_error err = {0};
    double sample[200];
    for (int r = -1; r < rounds; r++) {
        double start = lac_seconds();
        for (int i = 0; i < count; i++)
            must(beds[i].kernel->run(&beds[i].layer, beds[i].state, &err), &err);
        if (r >= 0)
            sample[r] = (lac_seconds() - start) / count;
    }
    qsort(sample, (size_t)rounds, sizeof *sample, ascending);
    *least = sample[0];
    return sample[rounds / 2];
}

enum { N = 4096, K = 4096, MOST_COPIES = 160 };

static void dram(const char *format, lac_dtype dtype)
{
    static bed beds[MOST_COPIES];
    int count = 0;
    int64_t bytes = 0;
    double least;
    memset(beds, 0, sizeof beds);
    while (count < MOST_COPIES && bytes < (160 << 20)) {
        begin(&beds[count], format, NULL, dtype, 1, N, K);
        bytes += lac_packed_bytes(&beds[count++].packed);
    }
    double bandwidth = read_bandwidth();
    double time = seconds(beds, count, 15, &least), each = (double)bytes / count;
    double after = read_bandwidth();
    bandwidth = after > bandwidth ? after : bandwidth;
    printf("%-24s %-26s %-7s %7.3f ms %6.2f GB/s of %5.2f = %5.1f %%  best %5.1f %%  %6.1f Gw/s\n",
           format, beds[0].kernel->row.name, lac_dtype_name(dtype), time * 1e3, each / time / 1e9,
           bandwidth, each / time / 1e7 / bandwidth, each / least / 1e7 / bandwidth,
           (double)N * K / time / 1e9);
    fflush(stdout);
    for (int i = 0; i < count; i++)
        finish(&beds[i]);
}

static void gemm(const char *format, lac_dtype dtype, int64_t m, int64_t n, int64_t k)
{
    bed ours = {0}, dense = {0};
    double least;
    begin(&ours, format, NULL, dtype, m, n, k);
    begin(&dense, NULL, NULL, dtype, m, n, k);
    double macs = (double)m * (double)n * (double)k;
    double b = seconds(&dense, 1, 51, &least), a = seconds(&ours, 1, 51, &least);
    printf("%-24s %-26s %-7s %4lld x %4lld x %4lld  %7.3f ms %6.1f GMAC/s  dense %6.1f  %5.1f %%  "
           "cost %7.3f ms\n",
           format, ours.kernel->row.name, lac_dtype_name(dtype), (long long)m, (long long)n,
           (long long)k, a * 1e3, macs / a / 1e9, macs / b / 1e9, 100 * b / a,
           ours.kernel->cost(&ours.layer) * 1e3);
    fflush(stdout);
    finish(&ours);
    finish(&dense);
}

static void width(const char *format, lac_dtype dtype)
{
    bed b = {0};
    double least;
    begin(&b, format, NULL, dtype, 1, 1024, 4096);
    double time = seconds(&b, 1, 200, &least);
    printf("%-24s %-26s %-7s %8.2f us %6.1f G weights/s  best %6.1f  cost %8.2f us\n", format,
           b.kernel->row.name, lac_dtype_name(dtype), time * 1e6, 1024 * 4096 / time / 1e9,
           1024 * 4096 / least / 1e9, b.kernel->cost(&b.layer) * 1e6);
    fflush(stdout);
    finish(&b);
}

int main(int argc, char **argv)
{
    bool all = argc == 1, part[3] = {all, all, all};
    generator = lac_random_stream(3, 1);
    for (int i = 1; i < argc; i++) {
        part[0] |= strcmp(argv[i], "dram") == 0;
        part[1] |= strcmp(argv[i], "gemm") == 0;
        part[2] |= strcmp(argv[i], "width") == 0;
    }
    lac_threads_set(1);
    char text[64];
    if (part[0])
        for (int bits = 4; bits >= 2; bits--)
            for (int group = 32; group <= 128; group *= 4) {
                snprintf(text, sizeof text, "intq:bits=%d,group=%d", bits, group);
                dram(text, LAC_I8);
                dram(text, LAC_F32);
            }
    if (part[1])
        for (int bits = 4; bits >= 2; bits--) {
            snprintf(text, sizeof text, "intq:bits=%d", bits);
            gemm(text, LAC_U8, 128, 4096, 4096);
            gemm(text, LAC_I8, 128, 768, 768);
            gemm(text, LAC_F32, 128, 768, 768);
            gemm(text, LAC_U8, 8, 4096, 4096);
        }
    if (part[2])
        for (int planes = 1; planes <= 4; planes++) {
            snprintf(text, sizeof text, "bcq:planes=%d,group=128,offset=none", planes);
            width(text, LAC_I8);
            width(text, LAC_F32);
        }
    if (part[2])
        for (int bits = 2; bits <= 4; bits++) {
            snprintf(text, sizeof text, "intq:bits=%d,group=128", bits);
            width(text, LAC_I8);
            width(text, LAC_F32);
        }
    return 0;
}
