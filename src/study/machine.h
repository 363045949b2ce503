/* What this machine can do at most: bytes it reads per second from each level of its memory,
 * operations per second. Measured once and kept in a file of the user's cache; every share of a
 * roofline is a share of these. */
#ifndef LACUNA_STUDY_MACHINE_H
#define LACUNA_STUDY_MACHINE_H

#include <jansson.h>
#include <lacuna/core.h>

enum { LAC_MACHINE_ISAS = 3, LAC_MACHINE_COUNTS = 16 };

typedef enum lac_level { LAC_LEVEL_L1, LAC_LEVEL_L2, LAC_LEVEL_L3, LAC_LEVEL_DRAM } lac_level;

typedef struct lac_machine_peak { /* operations: a multiplication and an addition are two */
    char isa[16];
    double f32_gflops, i8_gops, bf16_gflops; /* one thread; bf16 NAN: not there */
} lac_machine_peak;

typedef struct lac_machine_threads { /* all of them together */
    int threads;
    double read_gbps;           /* from DRAM */
    double f32_gflops, i8_gops; /* of the widest instruction set */
} lac_machine_threads;

typedef struct lac_machine {
    char cpu[128], microcode[32];
    char isa[64]; /* instruction sets, as LACUNA_ISA allows them */
    int64_t l1_bytes, l2_bytes, l3_bytes;
    double read_gbps[3]; /* one thread: L1, L2, L3 */
    int n_isas;
    lac_machine_peak peak[LAC_MACHINE_ISAS]; /* the narrowest first */
    int n_counts;
    lac_machine_threads count[LAC_MACHINE_COUNTS]; /* from one thread up to all */
    bool kept;                                     /* taken from the cache */
} lac_machine;

typedef struct lac_machine_options {
    const char *folder; /* of the cache; NULL: $XDG_CACHE_HOME/lacuna or ~/.cache/lacuna; "":
                         * nothing is kept */
    int threads;        /* 0: lac_threads() */
    bool fresh;         /* measure although there is a cached file */
    int64_t read_bytes; /* summed up from DRAM; 0: 512 MiB */
    void (*progress)(void *context, const char *stage, double done);
    void *progress_context;
} lac_machine_options;

/* From the cache, else measured (a second or two) and put there. A cache that cannot be read or
 * written is no error: the machine is measured. `options` NULL: defaults. */
lac_status lac_machine_open(lac_machine *machine, const lac_machine_options *options,
                            lac_error *err);
/* Peak of `threads` threads. The type is that of the activations: int8 and uint8, or float. */
double lac_machine_gops(const lac_machine *machine, lac_dtype activations, int threads);
/* The level that holds a working set that is read again and again by `threads` threads, each its
 * part, and what they read from a level. Between the measured thread counts: in proportion. */
lac_level lac_machine_level(const lac_machine *machine, int64_t bytes, int threads);
double lac_machine_gbps(const lac_machine *machine, lac_level level, int threads);
/* The roofline: 1e9 operations per second that `operations` over `bytes` can reach, `weight_bytes`
 * of which stay in the level that holds them and give the bandwidth. */
double lac_machine_roof(const lac_machine *machine, lac_dtype activations, int threads,
                        double operations, double bytes, int64_t weight_bytes);
/* Read bandwidth now, for what is compared with it in the same run: best of five, `bytes` 0 as
 * above. */
lac_status lac_machine_read_now(double *gbps, int threads, int64_t bytes, lac_error *err);
const char *lac_level_name(lac_level level); /* "L2" */

/* The machine as JSON, the unit in every key, and back: false for anything but what
 * lac_machine_json makes. */
json_t *lac_machine_json(const lac_machine *machine);
bool lac_machine_read(lac_machine *machine, const json_t *json);

#endif
