/* See machine.h. Every figure is the best of five: whatever disturbs a measurement makes it worse.
 * The file in the cache is a cell (cells.h) whose key names all that the figures depend on. */
#include "study/machine.h"

#include "core/clock.h"
#include "core/memory.h"
#include "core/parallel.h"
#include "core/text.h"
#include "cpu/ceiling.h"
#include "study/cells.h"

#include <lacuna/kernel.h>
#include <lacuna/lacuna.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { REPEATS = 5 };
static const double shortest = 4e-3; /* seconds of one timed run of a loop */

/* ---- what it is */

/* The value behind "name : " in /proc/cpuinfo. */
static void cpuinfo(const char *name, char *value, size_t size)
{
    char line[512];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(value, size, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, name, strlen(name)) != 0 || !colon)
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        colon[strcspn(colon, "\n")] = 0;
        snprintf(value, size, "%s", colon);
        break;
    }
    if (file)
        fclose(file);
}

static bool cache_line(int index, const char *name, char *value, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, name);
    FILE *file = fopen(path, "r");
    bool read = file && fgets(value, (int)size, file) != NULL;
    if (file)
        fclose(file);
    return read;
}

/* Sizes of the data caches by sysfs; where it says nothing, those of most cores of today. */
static void cache_sizes(lac_machine *machine)
{
    int64_t *level[] = {&machine->l1_bytes, &machine->l2_bytes, &machine->l3_bytes};
    machine->l1_bytes = 32 << 10;
    machine->l2_bytes = 1 << 20;
    machine->l3_bytes = 16 << 20;
    for (int index = 0; index < 8; index++) {
        char text[32], type[32];
        if (!cache_line(index, "level", text, sizeof text) ||
            !cache_line(index, "type", type, sizeof type))
            break;
        long at = strtol(text, NULL, 10);
        if (at < 1 || at > 3 || strncmp(type, "Instruction", 11) == 0 ||
            !cache_line(index, "size", text, sizeof text))
            continue;
        char *unit;
        long size = strtol(text, &unit, 10);
        int shift = *unit == 'K' ? 10 : *unit == 'M' ? 20 : 0;
        if (size > 0 && size < 1 << 24)
            *level[at - 1] = (int64_t)size << shift;
    }
}

/* ---- measuring */

typedef struct measuring {
    const lac_ceiling *ceiling;
    const char *data;
    int64_t (*compute)(int64_t rounds);
    int64_t rounds;
    const lac_machine_options *options;
    double done;
} measuring;

static void step(measuring *m, double of_all)
{
    m->done += of_all;
    if (m->options->progress)
        m->options->progress(m->options->progress_context, "machine", fmin(m->done, 1));
}

static void compute_range(void *context, int64_t begin, int64_t end)
{
    const measuring *m = context;
    for (int64_t i = begin; i < end; i++)
        m->compute(m->rounds);
}

/* 1e9 operations per second of `threads` threads. */
static double measure_compute(measuring *m, int64_t (*compute)(int64_t rounds), int threads)
{
    double best = 0;
    m->compute = compute;
    int64_t operations = compute(1);
    lac_threads_set(threads);
    for (m->rounds = 1 << 12;; m->rounds *= 2) {
        double begin = lac_seconds();
        lac_parallel_for(threads, 1, compute_range, m);
        if (lac_seconds() - begin > shortest || m->rounds > INT64_C(1) << 40)
            break;
    }
    for (int i = 0; i < REPEATS; i++) {
        double begin = lac_seconds();
        lac_parallel_for(threads, 1, compute_range, m);
        best =
            fmax(best, (double)operations * (double)m->rounds * threads / (lac_seconds() - begin));
    }
    return 1e-9 * best;
}

enum { PART = 1 << 16 }; /* bytes that a thread reads at least */

static void read_range(void *context, int64_t begin, int64_t end)
{
    const measuring *m = context;
    m->ceiling->read(m->data + begin * PART, (size_t)(end - begin) * PART);
}

static double measure_dram(measuring *m, int64_t bytes, int threads)
{
    double best = 0;
    lac_threads_set(threads);
    for (int i = 0; i < REPEATS; i++) {
        double begin = lac_seconds();
        lac_parallel_for(bytes / PART, 1, read_range, m);
        best = fmax(best, (double)(bytes / PART * PART) / (lac_seconds() - begin));
    }
    return 1e-9 * best;
}

/* One thread, the same `bytes` again and again. */
static double measure_cache(const measuring *m, int64_t bytes)
{
    double best = 0;
    int64_t passes = 1;
    bytes = bytes / 512 * 512;
    for (int i = 0; i < REPEATS;) {
        double begin = lac_seconds();
        for (int64_t p = 0; p < passes; p++)
            m->ceiling->read(m->data, (size_t)bytes);
        double seconds = lac_seconds() - begin;
        if (seconds < shortest) {
            passes *= 2;
            continue;
        }
        best = fmax(best, (double)bytes * (double)passes / seconds);
        i++;
    }
    return 1e-9 * best;
}

static void touch(void *context, int64_t begin, int64_t end)
{
    memset((char *)context + begin * PART, 1, (size_t)(end - begin) * PART);
}

/* 1, 2, 3, ... while the list has room, else in doubling steps; always all. */
static int next_count(int threads, int all)
{
    int next = all <= LAC_MACHINE_COUNTS ? threads + 1 : threads * 2;
    return next < all ? next : all;
}

/* The portable one, and on x86 the wider ones; the last that `isa` allows is the widest. */
static const lac_ceiling *const ceilings[] = {&lac_ceiling_ref,
#if defined(__x86_64__)
                                              &lac_ceiling_avx2, &lac_ceiling_avx512
#endif
};
enum { N_CEILINGS = sizeof ceilings / sizeof *ceilings };

lac_status lac_machine_read_now(double *gbps, int threads, int64_t bytes, lac_error *err)
{
    measuring m = {0};
    uint32_t isa;
    int before = lac_threads();
    LAC_TRY(lac_isa(&isa, err));
    bytes = (bytes ? bytes : INT64_C(512) << 20) / PART * PART;
    char *data = lac_alloc_raw((size_t)bytes, 1, err);
    if (!data)
        return LAC_ERROR_MEMORY;
    for (int i = 0; i < N_CEILINGS; i++)
        if ((ceilings[i]->isa & ~isa) == 0)
            m.ceiling = ceilings[i];
    m.data = data;
    lac_threads_set(threads);
    lac_parallel_for(bytes / PART, 1, touch, data);
    *gbps = measure_dram(&m, bytes, threads);
    lac_threads_set(before);
    lac_free(data);
    return LAC_OK;
}

static lac_status measure(lac_machine *machine, uint32_t isa, int threads,
                          const lac_machine_options *options, lac_error *err)
{
    measuring m = {.options = options};
    int64_t bytes = options->read_bytes ? options->read_bytes : INT64_C(512) << 20;
    int before = lac_threads();
    int64_t largest = machine->l3_bytes / 2 > bytes ? machine->l3_bytes / 2 : bytes;
    char *data = lac_alloc_raw((size_t)(largest + PART), 1, err);
    if (!data)
        return LAC_ERROR_MEMORY;
    m.data = data;
    for (int i = 0; i < N_CEILINGS; i++)
        if ((ceilings[i]->isa & ~isa) == 0) {
            lac_machine_peak *peak = &machine->peak[machine->n_isas++];
            m.ceiling = ceilings[i];
            snprintf(peak->isa, sizeof peak->isa, "%s", m.ceiling->name);
            peak->f32_gflops = measure_compute(&m, m.ceiling->f32, 1);
            peak->i8_gops = measure_compute(&m, m.ceiling->i8, 1);
            peak->bf16_gflops = m.ceiling->bf16 && (m.ceiling->isa_bf16 & ~isa) == 0
                                    ? measure_compute(&m, m.ceiling->bf16, 1)
                                    : NAN;
            step(&m, 0.1);
        }
    lac_threads_set(threads);
    lac_parallel_for(largest / PART + 1, 1, touch, data); /* each page near the thread that reads */
    step(&m, 0.2);
    for (int n = 1;; n = next_count(n, threads)) {
        lac_machine_threads *count = &machine->count[machine->n_counts++];
        count->threads = n;
        count->read_gbps = measure_dram(&m, bytes, n);
        count->f32_gflops = measure_compute(&m, m.ceiling->f32, n);
        count->i8_gops = measure_compute(&m, m.ceiling->i8, n);
        step(&m, 0.4 / threads);
        if (n == threads || machine->n_counts == LAC_MACHINE_COUNTS)
            break;
    }
    int64_t l3 = machine->l3_bytes / 4 > 4 * machine->l2_bytes ? machine->l3_bytes / 4
                                                               : 4 * machine->l2_bytes;
    lac_threads_set(1);
    machine->read_gbps[LAC_LEVEL_L1] = measure_cache(&m, machine->l1_bytes / 2);
    machine->read_gbps[LAC_LEVEL_L2] = measure_cache(&m, machine->l2_bytes / 2);
    machine->read_gbps[LAC_LEVEL_L3] = measure_cache(&m, l3 < largest ? l3 : largest);
    lac_threads_set(before);
    lac_free(data);
    return LAC_OK;
}

/* ---- JSON and the cache */

static json_t *figure(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *lac_machine_json(const lac_machine *machine)
{
    json_t *peaks = json_array(), *counts = json_array();
    for (int i = 0; i < machine->n_isas; i++) {
        const lac_machine_peak *p = &machine->peak[i];
        json_array_append_new(peaks, json_pack("{s:s, s:f, s:f, s:o}", "isa", p->isa, "f32_gflops",
                                               p->f32_gflops, "i8_gops", p->i8_gops, "bf16_gflops",
                                               figure(p->bf16_gflops)));
    }
    for (int i = 0; i < machine->n_counts; i++) {
        const lac_machine_threads *c = &machine->count[i];
        json_array_append_new(counts, json_pack("{s:i, s:f, s:f, s:f}", "threads", c->threads,
                                                "dram_read_gbps", c->read_gbps, "f32_gflops",
                                                c->f32_gflops, "i8_gops", c->i8_gops));
    }
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:o, s:o}", "cpu", machine->cpu,
                     "microcode", machine->microcode, "isa", machine->isa, "l1_bytes",
                     (json_int_t)machine->l1_bytes, "l2_bytes", (json_int_t)machine->l2_bytes,
                     "l3_bytes", (json_int_t)machine->l3_bytes, "l1_read_gbps",
                     machine->read_gbps[LAC_LEVEL_L1], "l2_read_gbps",
                     machine->read_gbps[LAC_LEVEL_L2], "l3_read_gbps",
                     machine->read_gbps[LAC_LEVEL_L3], "one_thread", peaks, "threads", counts);
}

static bool read_text(const json_t *object, const char *key, char *text, size_t size)
{
    const char *value = json_string_value(json_object_get(object, key));
    if (!value || strlen(value) >= size)
        return false;
    snprintf(text, size, "%s", value);
    return true;
}

/* A rate: positive and of this world. */
static bool read_rate(const json_t *object, const char *key, double *rate)
{
    *rate = json_number_value(json_object_get(object, key));
    return *rate > 0 && *rate < 1e9;
}

static bool read_bytes(const json_t *object, const char *key, int64_t *bytes)
{
    *bytes = json_integer_value(json_object_get(object, key));
    return *bytes > 0 && *bytes < INT64_C(1) << 40;
}

bool lac_machine_read(lac_machine *machine, const json_t *json)
{
    const json_t *peaks = json_object_get(json, "one_thread");
    const json_t *counts = json_object_get(json, "threads");
    size_t n_isas = json_array_size(peaks), n_counts = json_array_size(counts);
    memset(machine, 0, sizeof *machine);
    bool good = read_text(json, "cpu", machine->cpu, sizeof machine->cpu) &&
                read_text(json, "microcode", machine->microcode, sizeof machine->microcode) &&
                read_text(json, "isa", machine->isa, sizeof machine->isa) &&
                read_bytes(json, "l1_bytes", &machine->l1_bytes) &&
                read_bytes(json, "l2_bytes", &machine->l2_bytes) &&
                read_bytes(json, "l3_bytes", &machine->l3_bytes) &&
                read_rate(json, "l1_read_gbps", &machine->read_gbps[LAC_LEVEL_L1]) &&
                read_rate(json, "l2_read_gbps", &machine->read_gbps[LAC_LEVEL_L2]) &&
                read_rate(json, "l3_read_gbps", &machine->read_gbps[LAC_LEVEL_L3]) && n_isas >= 1 &&
                n_isas <= LAC_MACHINE_ISAS && n_counts >= 1 && n_counts <= LAC_MACHINE_COUNTS;
    for (size_t i = 0; good && i < n_isas; i++) {
        const json_t *from = json_array_get(peaks, i);
        lac_machine_peak *p = &machine->peak[machine->n_isas++];
        good = read_text(from, "isa", p->isa, sizeof p->isa) &&
               read_rate(from, "f32_gflops", &p->f32_gflops) &&
               read_rate(from, "i8_gops", &p->i8_gops);
        if (json_is_null(json_object_get(from, "bf16_gflops")))
            p->bf16_gflops = NAN;
        else
            good = good && read_rate(from, "bf16_gflops", &p->bf16_gflops);
    }
    for (size_t i = 0; good && i < n_counts; i++) {
        const json_t *from = json_array_get(counts, i);
        lac_machine_threads *c = &machine->count[machine->n_counts++];
        json_int_t threads = json_integer_value(json_object_get(from, "threads"));
        int least = i ? machine->count[i - 1].threads + 1 : 1;
        good = threads >= least && threads <= (i ? 1 << 20 : 1) &&
               read_rate(from, "dram_read_gbps", &c->read_gbps) &&
               read_rate(from, "f32_gflops", &c->f32_gflops) &&
               read_rate(from, "i8_gops", &c->i8_gops);
        c->threads = good ? (int)threads : 1;
    }
    return good;
}

/* $XDG_CACHE_HOME/lacuna or ~/.cache/lacuna, made with the folder above; false: nowhere. */
static bool cache_folder(char *folder, size_t size)
{
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    char above[3900];
    if (cache && cache[0] == '/') /* others are to be ignored, says the XDG specification */
        snprintf(above, sizeof above, "%s", cache);
    else if (home && home[0])
        snprintf(above, sizeof above, "%s/.cache", home);
    else
        return false;
    if (mkdir(above, 0700) != 0 && errno != EEXIST)
        return false;
    snprintf(folder, size, "%s/lacuna", above);
    return true;
}

lac_status lac_machine_open(lac_machine *machine, const lac_machine_options *options,
                            lac_error *err)
{
    static const lac_machine_options defaults = {0};
    char folder[4000], key[512];
    uint32_t isa;
    lac_cells cells;
    lac_error ignored;
    if (!options)
        options = &defaults;
    LAC_TRY(lac_isa(&isa, err));
    int threads = options->threads ? options->threads : lac_threads();
    memset(machine, 0, sizeof *machine);
    cpuinfo("model name", machine->cpu, sizeof machine->cpu);
    cpuinfo("microcode", machine->microcode, sizeof machine->microcode);
    lac_isa_text(isa, machine->isa, sizeof machine->isa);
    cache_sizes(machine);
    snprintf(key, sizeof key, "machine: lacuna %s; %s; microcode %s; %s; %d threads; L3 %lld",
             lac_version(), machine->cpu, machine->microcode, machine->isa, threads,
             (long long)machine->l3_bytes);

    const char *where = options->folder;
    if (!where && cache_folder(folder, sizeof folder))
        where = folder;
    if (lac_cells_open(&cells, where && where[0] ? where : NULL, options->fresh, &ignored) !=
        LAC_OK)
        cells.folder = NULL;
    json_t *cell = lac_cells_get(&cells, key);
    lac_machine kept;
    if (cell && lac_machine_read(&kept, json_object_get(cell, "machine"))) {
        *machine = kept;
        machine->kept = true;
        json_decref(cell);
        return LAC_OK;
    }
    json_decref(cell);
    LAC_TRY(measure(machine, isa, threads, options, err));
    cell = json_pack("{s:o}", "machine", lac_machine_json(machine));
    if (cell)
        lac_cells_put(&cells, key, cell, &ignored); /* not kept: measured again next time */
    json_decref(cell);
    return LAC_OK;
}

/* ---- ceilings of a piece of work */

/* A figure of n threads from those measured: that of the next larger count in proportion. */
static double at_count(const lac_machine *machine, int threads, size_t member)
{
    const lac_machine_threads *c = machine->count;
    int i = 0;
    while (i + 1 < machine->n_counts && c[i].threads < threads)
        i++;
    double value = *(const double *)(const void *)((const char *)&c[i] + member);
    return c[i].threads <= threads ? value : value * threads / c[i].threads;
}

double lac_machine_gops(const lac_machine *machine, lac_dtype activations, int threads)
{
    bool bytes = activations == LAC_I8 || activations == LAC_U8;
    return at_count(machine, threads,
                    bytes ? offsetof(lac_machine_threads, i8_gops)
                          : offsetof(lac_machine_threads, f32_gflops));
}

lac_level lac_machine_level(const lac_machine *machine, int64_t bytes, int threads)
{
    int64_t each = bytes / (threads > 0 ? threads : 1);
    return each <= machine->l1_bytes    ? LAC_LEVEL_L1
           : each <= machine->l2_bytes  ? LAC_LEVEL_L2
           : bytes <= machine->l3_bytes ? LAC_LEVEL_L3
                                        : LAC_LEVEL_DRAM;
}

double lac_machine_gbps(const lac_machine *machine, lac_level level, int threads)
{
    return level == LAC_LEVEL_DRAM
               ? at_count(machine, threads, offsetof(lac_machine_threads, read_gbps))
               : machine->read_gbps[level] * threads;
}

double lac_machine_roof(const lac_machine *machine, lac_dtype activations, int threads,
                        double operations, double bytes, int64_t weight_bytes)
{
    lac_level level = lac_machine_level(machine, weight_bytes, threads);
    double reading = lac_machine_gbps(machine, level, threads) * operations / bytes;
    return fmin(lac_machine_gops(machine, activations, threads), reading);
}

const char *lac_level_name(lac_level level)
{
    static const char *const names[] = {"L1", "L2", "L3", "DRAM"};
    return names[level];
}
