/* How fast are the kernels of packed weights, against the dense library on the same shape?
 *
 *     bench_packed [FILTER] [--threads N]
 *
 * Pinned to the first N processors (1 if not given), weights in cache as far as they fit, median of
 * repeated runs. `speedup` is over the dense library's int8 or float32 product; `cost` is the
 * planner's estimate. FILTER: only kernels whose name contains it. The constants of the kernels'
 * cost functions come from this table. */
#include "core/clock.h"
#include "core/memory.h"
#include "core/random.h"

#include <lacuna/kernel.h>
#include <lacuna/lacuna.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int64_t shapes[][3] = {
    {1, 768, 768}, {128, 768, 768}, {1, 3072, 768}, {128, 3072, 768}, {197, 192, 192}};
static const int patterns[][2] = {{1, 1}, {2, 4}, {1, 4}, {4, 8}, {2, 8}, {1, 8}, {8, 16}, {1, 16}};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void must(lac_status status, const lac_error *err)
{
    if (status == LAC_OK)
        return;
    fprintf(stderr, "bench_packed: %s\n", err->message);
    exit(1);
}

/* Median seconds of a run; negative if the kernel refuses. */
static double seconds(const lac_kernel *kernel, const lac_layer *layer, char *why, size_t why_size)
{
    lac_error err = {0};
    void *state;
    double sample[200], begin = lac_seconds();
    int n = 0;
    if (!kernel->can_run(layer, why, why_size))
        return -1;
    must(kernel->prepare(layer, &state, &err), &err);
    for (int i = 0; i < 3; i++)
        must(kernel->run(layer, state, &err), &err);
    while (n < 200 && (n < 15 || lac_seconds() - begin < 0.15)) {
        double start = lac_seconds();
        must(kernel->run(layer, state, &err), &err);
        sample[n++] = lac_seconds() - start;
    }
    kernel->release(state);
    qsort(sample, (size_t)n, sizeof *sample, ascending);
    return sample[n / 2];
}

static lac_random generator;

static int draw(int n)
{
    return (int)((lac_random_next(&generator) >> 33) % (uint64_t)n);
}

/* Weights that `text` can pack, float32 or int8. */
static void fill(lac_tensor *w, const char *text, int n, int m)
{
    int64_t cols = w->dims[1];
    bool nm = strncmp(text, "nm", 2) == 0, csc = strncmp(text, "eie", 3) == 0;
    bool small = strstr(text, "bits=4") != NULL;
    for (int64_t i = 0; i < w->dims[0]; i++)
        for (int64_t group = 0; group < cols; group += m) {
            int left = n;
            for (int64_t k = group; k < group + m && k < cols; k++) {
                double value = small ? draw(15) + 1 : draw(254) - 127;
                if (csc && draw(100) >= 10)
                    value = 0;
                if (nm && draw((int)(group + m - k)) >= left--) {
                    left++;
                    value = 0;
                }
                if (k == 0 && strcmp(text, "int8") == 0)
                    value = 127;
                lac_tensor_set(w, i * cols + k, w->dtype == LAC_F32 ? value * 0.25 : value);
            }
        }
}

/* The dense library's row for these activations. */
static const lac_kernel *library(lac_dtype dtype)
{
    for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        if (kernel->dtype == dtype && (kernel->isa & LAC_ISA_LIBRARY) &&
            strcmp(kernel->kind, "gemm") == 0 && strcmp(kernel->format, "dense") == 0)
            return kernel;
    }
    return NULL;
}

static void measure(const lac_kernel *kernel, const int64_t *shape, const char *format_text, int n,
                    int m)
{
    lac_error err = {0};
    char text[96], why[200] = "", dense_text[32] = "-", ratio[32] = "-";
    lac_layer layer;
    lac_packed packed;
    const lac_format *format;
    lac_params params;
    lac_tensor weights;
    float scale = 0.01f;
    snprintf(text, sizeof text, "gemm:m=%lld,n=%lld,k=%lld", (long long)shape[0],
             (long long)shape[1], (long long)shape[2]);
    must(lac_layer_parse(&layer, text, &err), &err);
    lac_dtype w_dtype = kernel->dtype == LAC_F32 ? LAC_F32 : LAC_I8;
    must(lac_tensor_make(&weights, w_dtype, 2, (int64_t[]){shape[1], shape[2]}, &err), &err);
    fill(&weights, format_text, n, m);
    must(lac_format_parse(format_text, &format, &params, &err), &err);
    must(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &weights, &err), &err);
    lac_operand *w = &layer.operand[LAC_ROLE_WEIGHTS], *x = &layer.operand[LAC_ROLE_ACTIVATIONS];
    must(lac_tensor_make(&x->tensor, kernel->dtype, 2, (int64_t[]){shape[0], shape[2]}, &err),
         &err);
    for (int64_t i = 0; i < shape[0] * shape[2]; i++)
        lac_tensor_set(&x->tensor, i, draw(127));
    must(lac_tensor_make(&layer.output, LAC_F32, 2, (int64_t[]){shape[0], shape[1]}, &err), &err);
    if (kernel->dtype != LAC_F32) {
        w->scale = x->scale = &scale;
        w->scale_count = x->scale_count = 1;
    }

    w->packed = &packed;
    double packed_seconds = seconds(kernel, &layer, why, sizeof why);
    double cost = kernel->cost(&layer);
    w->packed = NULL;
    lac_tensor_share(&w->tensor, &weights);
    const lac_kernel *dense = library(kernel->dtype);
    double dense_seconds = dense ? seconds(dense, &layer, why, sizeof why) : -1;
    if (dense_seconds > 0) {
        snprintf(dense_text, sizeof dense_text, "%.4f", dense_seconds * 1e3);
        snprintf(ratio, sizeof ratio, "%.2f", dense_seconds / packed_seconds);
    }
    printf("%-24s %-16s %5lld x %4lld x %4lld %9.4f %9s %8s %9.4f\n", kernel->row.name, format_text,
           (long long)shape[0], (long long)shape[1], (long long)shape[2], packed_seconds * 1e3,
           dense_text, ratio, cost * 1e3);
    fflush(stdout);
    lac_packed_release(&packed);
    lac_tensor_release(&weights);
    lac_layer_release(&layer);
}

int main(int argc, char **argv)
{
    lac_error err = {0};
    uint32_t isa;
    int threads = 1;
    const char *filter = "";
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc)
            threads = atoi(argv[++i]);
        else
            filter = argv[i];
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < threads; i++)
        CPU_SET((size_t)i, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        fprintf(stderr, "bench_packed: cannot pin to %d processors\n", threads);
    lac_threads_set(threads);
    must(lac_isa(&isa, &err), &err);
    generator = lac_random_stream(1, 1);
    printf("%-24s %-16s %20s %9s %9s %8s %9s\n", "kernel", "format", "m x n x k", "ms", "dense ms",
           "speedup", "cost ms");
    for (int i = 0; i < lac_table_count(&lac_kernels); i++) {
        const lac_kernel *kernel = (const lac_kernel *)lac_table_at(&lac_kernels, i);
        if (strcmp(kernel->kind, "gemm") != 0 || strcmp(kernel->format, "dense") == 0 ||
            !strstr(kernel->row.name, filter) || (kernel->isa & ~isa) ||
            !lac_table_find(&lac_formats, kernel->format))
            continue;
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            if (strcmp(kernel->format, "nm") == 0) {
                for (size_t p = 0; p < sizeof patterns / sizeof *patterns; p++) {
                    char text[32];
                    int n = patterns[p][0], m = patterns[p][1];
                    snprintf(text, sizeof text, "nm:n=%d,m=%d", n, m);
                    measure(kernel, shapes[s], text, n, m);
                }
            } else if (strcmp(kernel->format, "codebook") == 0) {
                measure(kernel, shapes[s], "codebook:bits=4", 1, 1);
                measure(kernel, shapes[s], "codebook:bits=8", 1, 1);
            } else if (strcmp(kernel->format, "eie-csc") == 0) {
                measure(kernel, shapes[s], "eie-csc:code_bits=8", 1, 1);
            } else {
                measure(kernel, shapes[s], kernel->format, 1, 1);
            }
    }
    return 0;
}
