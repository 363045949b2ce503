/* What do zeros and low bits bring on this machine, kernel by kernel, against the best dense?
 *
 *     bench_kernels [--case GLOB] [--threads N] [--cpu N] [--fresh] [--json]
 *                   [--quick]
 *
 * One table of cases: a layer, a format, a pattern of zeros, a baseline, a target. The fastest
 * kernel row that runs the case and its baseline take turns in one process, pinned; `ratio` is of
 * medians. `limit` is what the ratio can reach: operations on non-zeros at the machine's peak, over
 * the rate that the baseline reached in the same run. A case whose format or kernel does not exist
 * is reported as missing. --fresh measures the machine's ceilings anew. --quick: tiny layers and no
 * repeats, to test the program. */
#include "networks.h"

#include "core/memory.h"
#include "core/parallel.h"
#include "report/json.h"
#include "study/machine.h"
#include "study/trial.h"

#include <lacuna/lacuna.h>

#include <fnmatch.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = LAC_BIT(LAC_U8) | LAC_BIT(LAC_I8), FLOATS = LAC_BIT(LAC_F32), ANY = BYTES | FLOATS };

typedef enum measure {
    OVER_DENSE_F32, /* time of the dense library's float32 product over this one */
    OVER_DENSE_I8,  /* of its int8 product */
    SHARE_OF_PEAK,  /* operations on stored elements over the measured int8 peak */
    SHARE_OF_READ,  /* stored bytes per second over the measured read bandwidth */
    WEIGHTS_RATE,   /* 170e9 weights per second is 1 */
    OVER_ONE_THREAD,
    OVER_OWN_FLOATS /* a whole network: time of the same one, dense float32, on this executor */
} measure;

static const char *const baselines[] = {
    "oneDNN float32",  "oneDNN int8", "int8 peak",     "read bandwidth",
    "170 G weights/s", "one thread",  "dense float32",
};

typedef struct bench_case {
    const char *name, *layer; /* of a network: its file */
    const char
        *formats; /* of a network: the scheme; "intq:bits=4": alternatives are separated by | */
    lac_dtype weights;
    uint32_t activations; /* types */
    lac_sparsity sparsity;
    int bits; /* of a grid, see trial.h */
    measure measure;
    double target;       /* NAN: none */
    double target_intel; /* 0: the same; of server cores without VBMI */
    bool dram;           /* copies of the weights beyond the last cache */
    lac_dtype output;    /* LAC_NONE: float32, or uint8 where the kernel writes quads of bytes */
} bench_case;

#define WIDE "gemm:m=1024,n=512,k=512"
#define BERT "gemm:m=128,n=768,k=768"
#define ONE  "gemm:m=1,n=4096,k=4096"

/* A product of float32, or of int8 activations, over the dense library's. */
#define SPMM_F32(name_, format_, goal, intel, ...)                                                 \
    {                                                                                              \
        .name = "spmm.f32." name_, .layer = WIDE, .formats = format_, .weights = LAC_F32,          \
        .activations = FLOATS, .sparsity = {__VA_ARGS__}, .measure = OVER_DENSE_F32,               \
        .target = goal, .target_intel = intel                                                      \
    }
#define SPMM_I8(name_, layer_, format_, goal, made, ...)                                           \
    {                                                                                              \
        .name = "spmm.i8." name_, .layer = layer_, .formats = format_, .weights = LAC_I8,          \
        .activations = BYTES, .sparsity = {__VA_ARGS__}, .measure = OVER_DENSE_I8, .target = goal, \
        .output = made                                                                             \
    }
#define CSR(percent, amd, intel)                                                                   \
    SPMM_F32("unstructured." #percent, "csr", amd, intel, .density = 1 - percent / 100.0)
#define NM_SHARED(n_, m_, amd, intel)                                                              \
    SPMM_F32("nm-shared." #n_ ":" #m_, "block:r=16,c=1", amd, intel, .rows = 16, .n = n_, .m = m_)
#define NM_F32(n_, m_, goal)                                                                       \
    SPMM_F32("nm." #n_ ":" #m_, "nm:n=" #n_ ",m=" #m_, goal, 0, .n = n_, .m = m_)
/* Sums of int32, as the dense library's; and the same requantised to bytes, no target. */
#define BLOCK(name_, r_, c_, percent, goal)                                                        \
    SPMM_I8(name_ "." #percent, WIDE, "block:r=" #r_ ",c=" #c_, goal, LAC_I32, .rows = r_,         \
            .cols = c_, .density = 1 - percent / 100.0),                                           \
        SPMM_I8(name_ "." #percent ".u8", WIDE, "block:r=" #r_ ",c=" #c_, NAN, LAC_U8, .rows = r_, \
                .cols = c_, .density = 1 - percent / 100.0)
#define NM_I8(n_, m_, goal)                                                                        \
    SPMM_I8("nm." #n_ ":" #m_, BERT, "nm:n=" #n_ ",m=" #m_, goal, LAC_NONE, .n = n_, .m = m_)
#define SR_BCRS(product, layer_, v, percent, goal)                                                 \
    {                                                                                              \
        .name = product ".i8.srbcrs" #v "." #percent, .layer = layer_, .formats = "sr-bcrs:v=" #v, \
        .weights = LAC_I8, .activations = BYTES,                                                   \
        .sparsity = {.rows = v, .density = percent / 100.0}, .measure = SHARE_OF_PEAK,             \
        .target = goal                                                                             \
    }
#define SR_BCRS_ALL(product, layer_, v, goal)                                                      \
    SR_BCRS(product, layer_, v, 5, goal), SR_BCRS(product, layer_, v, 10, goal),                   \
        SR_BCRS(product, layer_, v, 30, goal), SR_BCRS(product, layer_, v, 50, goal),              \
        SR_BCRS(product, layer_, v, 100, goal)
#define GEMV(name_, formats_, weights_, bits_, goal, ...)                                          \
    {                                                                                              \
        .name = "gemv." name_ ".dram", .layer = ONE, .formats = formats_, .weights = weights_,     \
        .activations = ANY, .sparsity = {__VA_ARGS__}, .bits = bits_, .measure = SHARE_OF_READ,    \
        .target = goal, .dram = true                                                               \
    }
#define THREADS(name_, layer_, formats_, weights_, activations_, ...)                              \
    {                                                                                              \
        .name = "threads." name_, .layer = layer_, .formats = formats_, .weights = weights_,       \
        .activations = activations_, .sparsity = {__VA_ARGS__}, .measure = OVER_ONE_THREAD,        \
        .target = 1.9                                                                              \
    }
#define NETWORK(name_, file_, scheme)                                                              \
    {                                                                                              \
        .name = "network." name_, .layer = file_, .formats = scheme, .measure = OVER_OWN_FLOATS,   \
        .target = NAN                                                                              \
    }
#define INT8(name_) NETWORK(#name_ ".int8", #name_ "/model.onnx", "int8")
#define DENSE                                                                                      \
    {                                                                                              \
        .density = 1                                                                               \
    }

static const bench_case cases[] = {
    CSR(50, 1.65, 1.1),
    CSR(60, 2.1, 1.35),
    CSR(70, 2.8, 1.8),
    CSR(80, 4.1, 2.6),
    CSR(90, 7.5, 4.8),
    CSR(95, 14, 9),
    NM_SHARED(2, 4, 1.95, 1.6),
    NM_SHARED(1, 4, 4.0, 3.0),
    NM_SHARED(1, 8, 8.0, 5.5),
    NM_F32(2, 4, 1.5),
    NM_F32(1, 4, 3.0),
    NM_F32(2, 8, 3.0),
    NM_F32(1, 16, 10),
    BLOCK("block1x4", 1, 4, 50, 1.75),
    BLOCK("block1x4", 1, 4, 80, 4.3),
    BLOCK("block1x4", 1, 4, 90, 8),
    BLOCK("block1x4", 1, 4, 95, 14),
    BLOCK("shared4x4", 4, 4, 50, 2.0),
    BLOCK("shared4x4", 4, 4, 75, 4.0),
    BLOCK("shared4x4", 4, 4, 87.5, 7.8),
    NM_I8(2, 4, 1.35),
    NM_I8(1, 4, 2.4),
    NM_I8(1, 8, 4.4),
    NM_I8(1, 16, 9.5),
    SR_BCRS_ALL("spmm", WIDE, 2, 0.65),
    SR_BCRS_ALL("spmm", WIDE, 4, 0.88),
    SR_BCRS_ALL("spmm", WIDE, 8, 0.88),
    SR_BCRS_ALL("sddmm", "sddmm:tokens=512,dim=512,v=2", 2, 0.70),
    SR_BCRS_ALL("sddmm", "sddmm:tokens=512,dim=512,v=4", 4, 0.70),
    SR_BCRS_ALL("sddmm", "sddmm:tokens=512,dim=512,v=8", 8, 0.70),
    GEMV("i8", "dense", LAC_I8, 0, 0.92, .density = 1),
    GEMV("i8-f32", "int8", LAC_F32, 8, 0.92, .density = 1),
    GEMV("nm-i8", "nm:n=2,m=4", LAC_I8, 0, 0.92, .n = 2, .m = 4),
    GEMV("block-i8", "block:r=1,c=4|block:r=4,c=4", LAC_I8, 0, 0.92, .rows = 4, .cols = 4,
         .density = 0.5),
    GEMV("q4", "intq:bits=4,group=32", LAC_F32, 4, 0.90, .density = 1),
    GEMV("q3", "intq:bits=3,group=32", LAC_F32, 3, 0.85, .density = 1),
    GEMV("q2", "intq:bits=2,group=32", LAC_F32, 2, 0.85, .density = 1),
    GEMV("codebook4", "codebook:bits=4", LAC_I8, 4, 0.85, .density = 1),
    GEMV("codebook4-f32", "codebook:bits=4", LAC_F32, 4, NAN, .density = 1),
    {.name = "spmm.f32.codebook4",
     .layer = BERT,
     .formats = "codebook:bits=4",
     .weights = LAC_F32,
     .activations = FLOATS,
     .sparsity = DENSE,
     .bits = 4,
     .measure = OVER_DENSE_F32,
     .target = NAN},
    {.name = "spmm.i8.codebook4",
     .layer = BERT,
     .formats = "codebook:bits=4",
     .weights = LAC_I8,
     .activations = BYTES,
     .sparsity = DENSE,
     .bits = 4,
     .measure = OVER_DENSE_I8,
     .target = NAN},
    {.name = "gemm.q4",
     .layer = "gemm:m=128,n=4096,k=4096",
     .formats = "intq:bits=4,group=32",
     .weights = LAC_F32,
     .activations = ANY,
     .sparsity = DENSE,
     .bits = 4,
     .measure = OVER_DENSE_I8,
     .target = 0.75},
    {.name = "lut.1bit",
     .layer = "gemm:m=1,n=1024,k=4096",
     .formats = "bcq:planes=1",
     .weights = LAC_F32,
     .activations = ANY,
     .sparsity = DENSE,
     .bits = 1,
     .measure = WEIGHTS_RATE,
     .target = 1},
    THREADS("f32.dense", WIDE, "dense", LAC_F32, FLOATS, .density = 1),
    THREADS("f32.unstructured.80", WIDE, "csr", LAC_F32, FLOATS, .density = 0.2),
    THREADS("f32.nm.2:4", WIDE, "nm:n=2,m=4", LAC_F32, FLOATS, .n = 2, .m = 4),
    THREADS("i8.block1x4.80", WIDE, "block:r=1,c=4", LAC_I8, BYTES, .cols = 4, .density = 0.2),
    THREADS("i8.nm.2:4", BERT, "nm:n=2,m=4", LAC_I8, BYTES, .n = 2, .m = 4),
    THREADS("i8.srbcrs8.30", WIDE, "sr-bcrs:v=8", LAC_I8, BYTES, .rows = 8, .density = 0.3),
    INT8(deit_tiny),
    NETWORK("deit_tiny.nm:2:4", "deit_tiny/model.onnx", "nm:2:4"),
    NETWORK("deit_tiny.nm:2:4+int8", "deit_tiny/model.onnx", "nm:2:4+int8"),
    NETWORK("deit_tiny.block:1:4:0.2+int8", "deit_tiny/model.onnx", "block:1:4:0.2+int8"),
    NETWORK("minilm_l6_sst2.int8", "minilm_l6_sst2/model_dense.onnx", "int8"),
    NETWORK("minilm_l6_sst2_2to4.nm:2:4+int8", "minilm_l6_sst2/model_2to4.onnx", "nm:2:4+int8"),
    INT8(kwt1),
    INT8(mobilenet_v1),
    INT8(mobilenet_v2),
    INT8(squeezenet_deep_compression),
    INT8(resnet20_cifar10),
    INT8(resnet56_cifar10),
    INT8(mlperf_tiny_resnet8),
    INT8(mlperf_tiny_ds_cnn),
    INT8(mlperf_tiny_autoencoder),
    INT8(mnist_lstm),
    INT8(stories260k),
    INT8(lenet5_dense),
    INT8(lenet5_pruned),
    INT8(lenet300_dense),
    NETWORK("lenet300_pruned.magnitude:density=0.1", "lenet300_pruned/model.onnx",
            "magnitude:density=0.1"),
    NETWORK("lenet300_2to4.nm:2:4+int8", "lenet300_2to4/model.onnx", "nm:2:4+int8"),
};
enum { N_CASES = sizeof cases / sizeof *cases };

typedef struct options {
    const char *glob;
    int threads, cpu;
    bool fresh, json, quick;
} options;

typedef struct bench {
    options o;
    lac_machine machine;
    uint32_t isa;    /* of the kernels */
    uint32_t native; /* of the baselines: LACUNA_ISA does not slow them down */
    bool intel;
} bench;

typedef struct result {
    const bench_case *c;
    char missing[256]; /* why; "": measured */
    char kernel[64], isa[64], format[64], layouts[64];
    double ms, baseline_ms, ratio, limit, gflops, effectual_gflops, gbps, roofline, density, target;
    int64_t stored_bytes;
    int copies;
} result;

static void must(lac_status status, const lac_error *err)
{
    if (status == LAC_OK)
        return;
    fprintf(stderr, "bench_kernels: %s\n", err->message);
    exit(1);
}

/* ---- one case */

/* The best over the formats that the case allows; the text of the one chosen goes to `format`. */
static lac_status make_best(const bench *b, lac_trial **best, lac_trial_spec *spec,
                            const bench_case *c, char *format, size_t size, lac_error *err)
{
    lac_status status = LAC_ERROR_UNSUPPORTED;
    double best_seconds = 0;
    char chosen[64] = "", text[64];
    *best = NULL;
    for (const char *at = c->formats; *at; at += strcspn(at, "|"), at += *at == '|') {
        lac_trial *t;
        snprintf(text, sizeof text, "%.*s", (int)strcspn(at, "|"), at);
        spec->format = text;
        char row[64];
        snprintf(row, sizeof row, "%.*s", (int)strcspn(text, ":"), text);
        if (strcmp(row, "dense") != 0 && !lac_table_find(&lac_formats, row)) {
            status = *best
                         ? LAC_OK
                         : lac_fail(err, LAC_ERROR_UNSUPPORTED, "no format %s in this build", row);
            continue;
        }
        status = lac_trial_best(&t, spec, c->activations, b->isa, false, err);
        if (status != LAC_OK)
            continue;
        lac_side side = {.trial = &t, .copies = 1, .warm = true};
        must(lac_race(&side, 1, 0.05, err), err);
        bool better = !*best || side.seconds < best_seconds;
        lac_trial_free(better ? *best : t);
        if (better) {
            *best = t;
            best_seconds = side.seconds;
            snprintf(chosen, sizeof chosen, "%s", text);
        }
    }
    snprintf(format, size, "%s", chosen);
    spec->format = format;
    return *best ? LAC_OK : status;
}

static const char *layout_name(lac_layout layout)
{
    static const char *const names[] = {"rows", "panels", "quads"};
    return names[layout];
}

static void describe(result *r, const lac_trial *t)
{
    const lac_layer *layer = lac_trial_layer(t);
    const lac_kernel *kernel = lac_trial_kernel(t);
    snprintf(r->kernel, sizeof r->kernel, "%s", kernel->row.name);
    lac_isa_text(kernel->isa, r->isa, sizeof r->isa);
    snprintf(r->layouts, sizeof r->layouts, "%s %s to %s %s", lac_dtype_name(kernel->dtype),
             layout_name(layer->input_layout), lac_dtype_name(layer->output.dtype),
             layout_name(layer->output_layout));
    r->stored_bytes = lac_trial_stored_bytes(t);
    r->density = lac_trial_density(t);
}

/* Times, rates and shares; dense-equivalent unless said otherwise. */
static void rates(const bench *b, result *r, const lac_trial *t, double seconds, int copies)
{
    const lac_layer *layer = lac_trial_layer(t);
    double operations = 2.0 * (double)layer->kind->macs(layer);
    double bytes = (double)lac_trial_bytes(t);
    r->ms = 1e3 * seconds;
    r->copies = copies;
    r->gflops = 1e-9 * operations / seconds;
    r->effectual_gflops = r->gflops * r->density;
    r->gbps = 1e-9 * (double)r->stored_bytes / seconds;
    r->roofline = r->effectual_gflops / lac_machine_roof(&b->machine, lac_trial_kernel(t)->dtype,
                                                         b->o.threads, operations * r->density,
                                                         bytes, r->stored_bytes * copies);
}

static lac_status over_dense(const bench *b, result *r, lac_trial *t, lac_dtype dtype,
                             lac_error *err)
{
    lac_trial *dense;
    lac_trial_spec spec = {.layer = lac_trial_layer(t)->name,
                           .format = "dense",
                           .weights = dtype == LAC_F32 ? LAC_F32 : LAC_I8,
                           .sparsity = DENSE,
                           .seed = 77,
                           .output = lac_trial_layer(t)->output.dtype,
                           .plain = true};
    LAC_TRY(lac_trial_best(&dense, &spec, dtype == LAC_F32 ? FLOATS : BYTES, b->native, true, err));
    lac_side sides[] = {{.trial = &t, .copies = 1, .warm = true},
                        {.trial = &dense, .copies = 1, .warm = true}};
    lac_status status = lac_race(sides, 2, b->o.quick ? 0 : 1.0, err);
    lac_trial_free(dense);
    LAC_TRY(status);
    rates(b, r, t, sides[0].seconds, 1);
    r->baseline_ms = 1e3 * sides[1].seconds;
    r->ratio = sides[1].seconds / sides[0].seconds;
    double reached = r->gflops / r->ratio; /* of the baseline */
    r->limit = lac_machine_gops(&b->machine, dtype, b->o.threads) / reached / r->density;
    return LAC_OK;
}

static lac_status alone(const bench *b, result *r, lac_trial *t, lac_error *err)
{
    lac_side side = {.trial = &t, .copies = 1, .warm = true};
    LAC_TRY(lac_race(&side, 1, b->o.quick ? 0 : 0.6, err));
    rates(b, r, t, side.seconds, 1);
    if (r->c->measure == WEIGHTS_RATE) {
        r->ratio = r->gflops / 2 / 170;
        r->limit = NAN;
    } else {
        r->ratio = r->effectual_gflops / lac_machine_gops(&b->machine, LAC_U8, b->o.threads);
        r->limit = 1;
    }
    return LAC_OK;
}

static lac_status over_one_thread(const bench *b, result *r, lac_trial *t, lac_error *err)
{
    lac_side sides[] = {{.trial = &t, .copies = 1, .threads = b->o.threads, .warm = true},
                        {.trial = &t, .copies = 1, .threads = 1, .warm = true}};
    LAC_TRY(lac_race(sides, 2, b->o.quick ? 0 : 1.0, err));
    rates(b, r, t, sides[0].seconds, 1);
    r->baseline_ms = 1e3 * sides[1].seconds;
    r->ratio = sides[1].seconds / sides[0].seconds;
    r->limit = b->o.threads;
    return LAC_OK;
}

static lac_status race_copies(const bench *b, result *r, lac_trial **copy, int copies,
                              lac_error *err)
{
    int64_t sum = b->o.quick ? 1 << 20 : 0;
    double before, after;
    lac_side side = {.trial = copy, .copies = copies};
    LAC_TRY(lac_machine_read_now(&before, b->o.threads, sum, err));
    LAC_TRY(lac_race(&side, 1, b->o.quick ? 0 : 1.0, err));
    LAC_TRY(lac_machine_read_now(&after, b->o.threads, sum, err));
    rates(b, r, copy[0], side.seconds, copies);
    r->ratio = r->gbps / fmax(before, after);
    r->baseline_ms = 1e-6 * (double)r->stored_bytes / fmax(before, after);
    r->limit = 1;
    return LAC_OK;
}

/* Enough copies, each with numbers of its own, that none is left in the last cache. */
static lac_status from_dram(const bench *b, result *r, lac_trial *first, const lac_trial_spec *spec,
                            lac_error *err)
{
    int64_t room = b->o.quick ? 2 * r->stored_bytes : 5 * b->machine.l3_bytes / 2;
    int copies = (int)(room / r->stored_bytes) + 1, made = 1;
    lac_trial **copy = lac_alloc((size_t)copies, sizeof *copy, err);
    if (!copy)
        return LAC_ERROR_MEMORY;
    copy[0] = first;
    lac_status status = LAC_OK;
    for (; status == LAC_OK && made < copies; made += status == LAC_OK) {
        lac_trial_spec own = *spec;
        own.seed += (uint64_t)made;
        status = lac_trial_like(&copy[made], first, &own, err);
    }
    if (status == LAC_OK)
        status = race_copies(b, r, copy, copies, err);
    while (made > 1)
        lac_trial_free(copy[--made]);
    lac_free((void *)copy);
    return status;
}

static lac_status measure_case(const bench *b, result *r, lac_error *err)
{
    const bench_case *c = r->c;
    const char *small = c->measure == SHARE_OF_READ ? "gemm:m=1,n=64,k=64" : "gemm:m=70,n=64,k=64";
    lac_trial_spec spec = {.layer = c->layer,
                           .weights = c->weights,
                           .sparsity = c->sparsity,
                           .bits = c->bits,
                           .output = c->output,
                           .seed = 1};
    lac_trial *t;
    if (b->o.quick && strncmp(c->layer, "gemm:", 5) == 0)
        spec.layer = small;
    snprintf(r->format, sizeof r->format, "%s", c->formats);
    if (c->measure == OVER_ONE_THREAD && b->o.threads < 2)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "needs --threads 2 or more");
    LAC_TRY(make_best(b, &t, &spec, c, r->format, sizeof r->format, err));
    describe(r, t);
    lac_status status = c->measure == OVER_DENSE_F32    ? over_dense(b, r, t, LAC_F32, err)
                        : c->measure == OVER_DENSE_I8   ? over_dense(b, r, t, LAC_U8, err)
                        : c->measure == SHARE_OF_READ   ? from_dram(b, r, t, &spec, err)
                        : c->measure == OVER_ONE_THREAD ? over_one_thread(b, r, t, err)
                                                        : alone(b, r, t, err);
    lac_trial_free(t);
    return status;
}

static lac_status measure_network(const bench *b, result *r, lac_error *err)
{
    bench_network n;
    LAC_TRY(bench_network_run(&n, r->c->layer, r->c->formats, b->o.quick ? 0 : 2, err));
    snprintf(r->kernel, sizeof r->kernel, "executor");
    snprintf(r->format, sizeof r->format, "%s", r->c->formats);
    lac_isa_text(b->isa, r->isa, sizeof r->isa);
    r->ms = 1e3 * n.seconds;
    r->baseline_ms = 1e3 * n.dense_seconds;
    r->ratio = n.dense_seconds / n.seconds;
    r->gflops = 2e-9 * (double)n.macs / n.seconds;
    r->gbps = 1e-9 * (double)n.stored_bytes / n.seconds;
    r->stored_bytes = n.stored_bytes;
    return LAC_OK;
}

static void run_case(const bench *b, result *r)
{
    lac_error err = {0};
    bool intel = b->intel && r->c->target_intel > 0;
    r->baseline_ms = r->ms = r->ratio = r->limit = r->gflops = r->effectual_gflops = NAN;
    r->gbps = r->roofline = r->density = NAN;
    r->target = intel ? r->c->target_intel : r->c->target;
    if (!(b->isa & LAC_ISA_AVX512)) /* the goal there: half of the above */
        r->target *= 0.5;
    lac_status status =
        r->c->measure == OVER_OWN_FLOATS ? measure_network(b, r, &err) : measure_case(b, r, &err);
    if (status == LAC_ERROR_MEMORY)
        must(status, &err);
    if (status != LAC_OK) {
        snprintf(r->missing, sizeof r->missing, "%s", err.message);
        r->kernel[0] = r->isa[0] = r->layouts[0] = 0;
        r->ratio = NAN;
    }
}

/* ---- printing */

static json_t *figure(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *case_json(const bench *b, const result *r)
{
    json_t *row =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i}", "case", r->c->name, "state",
                  r->missing[0] ? "missing" : "measured", "layer", r->c->layer, "format",
                  r->format[0] ? r->format : r->c->formats, "baseline", baselines[r->c->measure],
                  "layouts", r->layouts, "threads", b->o.threads);
    struct {
        const char *key;
        double value;
    } figures[] = {
        {"ratio", r->ratio},
        {"limit", r->limit},
        {"target", r->target},
        {"ms", r->ms},
        {"baseline_ms", r->baseline_ms},
        {"gflops", r->gflops},
        {"effectual_gflops", r->effectual_gflops},
        {"gbps", r->gbps},
        {"roofline", r->roofline},
        {"density", r->density},
    };
    for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
        json_object_set_new(row, figures[i].key, figure(figures[i].value));
    json_object_set_new(row, "stored_bytes",
                        r->missing[0] ? json_null() : json_integer(r->stored_bytes));
    json_object_set_new(row, "isa", r->isa[0] ? json_string(r->isa) : json_null());
    json_object_set_new(row, "kernel", r->kernel[0] ? json_string(r->kernel) : json_null());
    if (r->missing[0])
        json_object_set_new(row, "why", lac_json_text(r->missing));
    return row;
}

static void print_json(const bench *b, const result *results, int n)
{
    json_t *rows = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(rows, case_json(b, &results[i]));
    json_t *whole = json_pack("{s:s, s:s, s:i, s:o, s:o}", "schema", "lacuna.kernels/1", "version",
                              lac_version(), "threads", b->o.threads, "machine",
                              lac_machine_json(&b->machine), "cases", rows);
    char *text = whole ? json_dumps(whole, JSON_INDENT(1) | JSON_REAL_PRECISION(10)) : NULL;
    printf("%s\n", text ? text : "");
    free(text);
    json_decref(whole);
}

static void print_head(const bench *b)
{
    printf("%s, %s; %d thread%s: read %.1f GB/s, float32 %.1f GFLOP/s, int8 %.1f GOP/s\n",
           b->machine.cpu, b->machine.isa, b->o.threads, b->o.threads > 1 ? "s" : "",
           lac_machine_gbps(&b->machine, LAC_LEVEL_DRAM, b->o.threads),
           lac_machine_gops(&b->machine, LAC_F32, b->o.threads),
           lac_machine_gops(&b->machine, LAC_U8, b->o.threads));
    printf("%-28s %-16s %7s %7s %7s %4s %9s %9s %8s %8s %6s  %s\n", "case", "baseline", "ratio",
           "target", "limit", "met", "ms", "base ms", "GFLOP/s", "GB/s", "roof %", "kernel");
}

static void print_row(const result *r)
{
    char target[16] = "-";
    if (isfinite(r->target))
        snprintf(target, sizeof target, "%.4g", r->target);
    if (r->missing[0])
        printf("%-28s %-16s %7s %7s %7s %4s  missing: %s\n", r->c->name, baselines[r->c->measure],
               "-", target, "-", "no", r->missing);
    else
        printf("%-28s %-16s %7.3f %7s %7.2f %4s %9.4f %9.4f %8.1f %8.2f %6.1f  %s (%s)\n",
               r->c->name, baselines[r->c->measure], r->ratio, target, r->limit,
               isfinite(r->target) ? r->ratio >= r->target ? "yes" : "no" : "-", r->ms,
               r->baseline_ms, r->gflops, r->gbps, 100 * r->roofline, r->kernel, r->layouts);
    fflush(stdout);
}

/* ---- the program */

static int usage(void)
{
    fprintf(stderr, "usage: bench_kernels [--case GLOB] [--threads N] [--cpu N] [--fresh] [--json] "
                    "[--quick]\n");
    return 2;
}

static bool read_options(options *o, int argc, char **argv)
{
    *o = (options){.glob = "*", .threads = 1, .cpu = -1};
    for (int i = 1; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--json") == 0)
            o->json = true;
        else if (strcmp(argv[i], "--fresh") == 0)
            o->fresh = true;
        else if (strcmp(argv[i], "--quick") == 0)
            o->quick = true;
        else if (strcmp(argv[i], "--case") == 0 && more)
            o->glob = argv[++i];
        else if (strcmp(argv[i], "--threads") == 0 && more)
            o->threads = atoi(argv[++i]);
        else if (strcmp(argv[i], "--cpu") == 0 && more)
            o->cpu = atoi(argv[++i]);
        else
            return false;
    }
    return o->threads >= 1 && o->threads <= 1024;
}

/* One thread: the processor asked for, else the second, which other work uses less; several: the
 * first of those that the process may use. */
static void pin(const options *o)
{
    cpu_set_t may, set;
    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof may, &may) != 0)
        return;
    int left = o->threads, cpu = o->cpu >= 0 ? o->cpu : CPU_COUNT(&may) > 1 && CPU_ISSET(1, &may);
    if (left == 1 && cpu < CPU_SETSIZE && CPU_ISSET((size_t)cpu, &may))
        CPU_SET((size_t)cpu, &set);
    else
        for (size_t i = 0; i < CPU_SETSIZE && left > 0; i++)
            if (CPU_ISSET(i, &may)) {
                CPU_SET(i, &set);
                left--;
            }
    if (sched_setaffinity(0, sizeof set, &set) != 0)
        fprintf(stderr, "bench_kernels: not pinned\n");
}

static void prepare(bench *b)
{
    lac_error err = {0};
    char asked[64] = "";
    if (getenv("LACUNA_ISA"))
        snprintf(asked, sizeof asked, "%s", getenv("LACUNA_ISA"));
    must(lac_isa(&b->isa, &err), &err);
    unsetenv("LACUNA_ISA");
    must(lac_isa(&b->native, &err), &err);
    if (asked[0])
        setenv("LACUNA_ISA", asked, 1);
    lac_threads_set(b->o.threads);
    lac_machine_options machine = {.threads = b->o.threads, .fresh = b->o.fresh};
    if (b->o.quick) {
        machine.folder = "";
        machine.read_bytes = 1 << 20;
    }
    must(lac_machine_open(&b->machine, &machine, &err), &err);
    b->intel = strstr(b->machine.cpu, "Intel") != NULL;
}

int main(int argc, char **argv)
{
    bench b = {0};
    int n = 0;
    static result results[N_CASES];
    if (!read_options(&b.o, argc, argv))
        return usage();
    lac_threads_calm(argv);
    pin(&b.o);
    prepare(&b);
    if (!b.o.json)
        print_head(&b);
    for (int i = 0; i < N_CASES; i++) {
        if (fnmatch(b.o.glob, cases[i].name, 0) != 0)
            continue;
        results[n].c = &cases[i];
        run_case(&b, &results[n]);
        if (!b.o.json)
            print_row(&results[n]);
        n++;
    }
    if (b.o.json)
        print_json(&b, results, n);
    if (!n)
        fprintf(stderr, "bench_kernels: no case matches %s\n", b.o.glob);
    return n ? 0 : 1;
}
