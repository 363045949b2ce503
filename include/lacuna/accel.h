/* lacuna/accel.h - a row of the accelerator table: one simulated accelerator.
 *
 * `simulate` gets one layer with integer operands and fills a result: counters, stalls, energy
 * and the output in the accelerator's own number format. It never sees a graph. */
#ifndef LACUNA_ACCEL_H
#define LACUNA_ACCEL_H

#include <lacuna/layer.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LAC_MAX_COUNTERS 64
#define LAC_MAX_ENERGIES 24

typedef struct lac_counter {
    const char *name; /* the dossier's own name, a literal */
    int64_t value;
} lac_counter;

typedef struct lac_energy {
    const char *component; /* literal: "mac", "sram ifmap", "dram" */
    double pj;
    const char *source; /* constant, node and where it is from */
} lac_energy;

typedef struct lac_result {
    int64_t cycles, macs, effectual_macs; /* effectual: -1 when the layer has no operands */
    int64_t multipliers; /* of the array: utilization = effectual_macs / (multipliers * cycles) */
    int64_t dram_bytes, sram_bytes;
    int n_counters, n_stalls, n_energies;
    lac_counter counter[LAC_MAX_COUNTERS]; /* every count, stalls included */
    lac_counter stall[16];                 /* cycles lost, by reason */
    lac_energy energy[LAC_MAX_ENERGIES];
    lac_tensor output; /* row-major layout of CONVENTIONS; empty when only the schedule ran */
    bool exact;        /* output equals the reference of the accelerator's number format */
    bool has_output;
    uint64_t sum, weighted; /* checksums of output */
    /* Further tensors for checks ("q", "x1" of an encoder): only with options->keep_tensors. */
    int n_tensors;
    struct {
        const char *name;
        lac_tensor tensor;
    } tensor[16];
} lac_result;

typedef struct lac_sim_options {
    bool schedule_only; /* no numerics: cycles and counts that do not need the output */
    bool no_check;      /* skip the comparison with the reference (exact = false) */
    bool keep_tensors;
} lac_sim_options;

struct lac_reproduced;

typedef struct lac_accel {
    lac_row row;
    const char *title;  /* "EIE: efficient inference engine on compressed DNNs" */
    const char *source; /* papers and code */
    const char *card;   /* what is modelled, simplified, left out: a short text */
    const lac_param *params;
    double (*clock_mhz)(const lac_params *params);
    /* The identities that the counters obey, checked after every layer in int64, one a line:
     * "mac_cycles + window_stall + tail = cycles" or "macs + pad + empty_col + idle = pe * cycles";
     * a word is a counter, cycles, macs, effectual_macs or an integer parameter. A line that begins
     * with "counter:" holds only for results that have that counter. */
    const char *identity;
    /* False with one line in `why` ("3x3 convolution: no dataflow in the paper"): the layer is a
     * row `host`. */
    bool (*supports)(const lac_layer *layer, const lac_params *params, char *why, size_t why_size);
    /* LAC_ERROR_INPUT for parameters that fit no hardware (a buffer smaller than a tile). Call
     * through lac_simulate, which checks identities and fills checksums. */
    lac_status (*simulate)(const lac_layer *layer, const lac_params *params,
                           const lac_sim_options *options, lac_result *result, lac_error *err);
    /* Published figures beside ours, for `reproduce`; NULL: none. Calls `row` once per figure. */
    lac_status (*reproduce)(const lac_params *params, const char *data_dir,
                            void (*row)(void *context, const struct lac_reproduced *row),
                            void *context, lac_error *err);
} lac_accel;

typedef struct lac_reproduced {
    const char *table;      /* "EIE Table IV" */
    const char *row;        /* "Alex-7" */
    const char *metric;     /* "time_us" */
    double paper, ours;     /* NAN: not available */
    const char *provenance; /* of the paper's figure: published, from memory, derived */
    const char *note;       /* assumption or cause of the deviation */
    const char *unit;       /* of both figures; NULL: none */
    const char *kind;       /* what ours is: simulated (NULL), computed, measured */
} lac_reproduced;

LAC_API extern lac_table lac_accels;
/* For plug-ins: `row` must live as long as the process. */
LAC_API lac_status lac_register_accel(const lac_accel *row, lac_error *err);

/* Runs the layer and checks: supports() (LAC_ERROR_UNSUPPORTED with the reason if not), counters
 * against the identities (LAC_ERROR_INTERNAL naming both sides), checksums. */
LAC_API lac_status lac_simulate(const lac_accel *accel, const lac_layer *layer,
                                const lac_params *params, const lac_sim_options *options,
                                lac_result *result, lac_error *err);
LAC_API void lac_result_release(lac_result *result);

/* For rows: fill the result. More than the arrays hold is a programming error, reported by
 * lac_simulate. */
LAC_API void lac_result_count(lac_result *result, const char *name, int64_t value);
LAC_API void lac_result_stall(lac_result *result, const char *name, int64_t cycles);
LAC_API void lac_result_energy(lac_result *result, const char *component, double pj,
                               const char *source);
LAC_API int64_t lac_result_get(const lac_result *result, const char *counter); /* INT64_MIN: none */
LAC_API double lac_result_energy_pj(const lac_result *result);

#ifdef __cplusplus
}
#endif
#endif
