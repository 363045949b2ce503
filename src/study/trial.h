/* One synthetic layer on one kernel, to be timed: what `bench` compares a network's layers with,
 * and what bench_kernels measures. Weights have a pattern of zeros that a format can hold,
 * activations the layouts that the kernel reads and writes best. */
#ifndef LACUNA_STUDY_TRIAL_H
#define LACUNA_STUDY_TRIAL_H

#include <lacuna/kernel.h>

/* Which weights are not zero. Blocks of rows x cols live or die together: n of every m of them
 * along K, placed anew for every row of blocks, or, with m 0, each with the probability `density`.
 */
typedef struct lac_sparsity {
    int rows, cols; /* 0 counts as 1 */
    int n, m;
    double density;
} lac_sparsity;

typedef struct lac_trial_spec {
    const char *layer;  /* "gemm:m=1024,n=512,k=512" */
    const char *format; /* "nm:n=2,m=4"; "dense": not packed */
    lac_dtype weights;  /* of the unpacked elements: LAC_F32, LAC_I8 */
    lac_sparsity sparsity;
    int bits; /* > 0: weights are integers of so many bits (floats: quarters of them), for formats
               * of a grid or of few values */
    uint64_t seed;
    lac_dtype output; /* LAC_NONE: float32, or uint8 where the kernel writes quads of bytes */
    bool plain;       /* activations and output in LAC_LAYOUT_ROWS, whatever the kernel prefers */
} lac_trial_spec;

typedef struct lac_trial lac_trial;

/* Packs random weights (all values of int8; floats in [-1, 1)) and prepares the fastest row for
 * them, by a few runs, in the layouts that suit it best, among those whose kind, format and weights
 * fit the spec, whose activations are among the types `activations` (LAC_BIT) and whose instruction
 * sets are among `isa`; `library`: of the dense library only. LAC_ERROR_UNSUPPORTED and the reasons
 * when there is none, LAC_ERROR_INPUT when the format cannot hold the matrix. */
lac_status lac_trial_best(lac_trial **trial, const lac_trial_spec *spec, uint32_t activations,
                          uint32_t isa, bool library, lac_error *err);
/* The same kernel and layouts on weights of another seed: `spec` but for that as it was. */
lac_status lac_trial_like(lac_trial **trial, const lac_trial *like, const lac_trial_spec *spec,
                          lac_error *err);
void lac_trial_free(lac_trial *trial);
lac_status lac_trial_run(lac_trial *trial, lac_error *err);

const lac_kernel *lac_trial_kernel(const lac_trial *trial);
const lac_layer *lac_trial_layer(const lac_trial *trial);
int64_t lac_trial_stored_bytes(const lac_trial *trial); /* of the weights */
int64_t lac_trial_bytes(const lac_trial *trial);        /* and activations and output */
double lac_trial_density(const lac_trial *trial);       /* share of weights that are not zero */
/* The least estimate of the rows that lac_trial_best tries; nothing runs. */
lac_status lac_trial_estimate(double *seconds, const lac_trial_spec *spec, uint32_t activations,
                              uint32_t isa, bool library, lac_error *err);

/* Seconds of one run of each of `n` sides, medians. A side is `copies[i]` trials that are run one
 * after the other, so that their weights do not stay in the caches. The sides take turns for about
 * `budget_seconds` altogether, each turn long enough for the clock; turns that other programs
 * interrupted are left out. */
typedef struct lac_side {
    lac_trial **trial;
    int copies;
    int threads; /* 0: as they are */
    bool warm;   /* each turn begins with a run that is not timed: caches hold what is the side's */
    double seconds;
} lac_side;
lac_status lac_race(lac_side *sides, int n, double budget_seconds, lac_error *err);

#endif
