/* The parts of the sta simulator behind its row: numbers on one side, the schedule on the other. */
#ifndef LACUNA_ACCEL_STA_STA_H
#define LACUNA_ACCEL_STA_STA_H

#include <lacuna/accel.h>

#include "accel/sta/numerics.h"
#include "accel/sta/schedule.h"
#include "core/text.h"
#include "format/sta_image.h"

/* One simulation under way. */
typedef struct lac_sta_job {
    lac_sta_machine machine;
    const char *mix; /* pattern of each encoder operation, or "" */
    const lac_sim_options *options;
    lac_sta_events events;
    int64_t effectual, nnz_w;
    double max_prob_error; /* < 0: not computed */
    lac_result *result;
} lac_sta_job;

lac_sta_machine lac_sta_machine_of(const lac_params *params);
extern const lac_param lac_sta_params[];
extern const lac_accel lac_accel_sta;

/* The image of a weight matrix [rows][k] in the array's own C and L. Release it. */
typedef struct lac_sta_weights {
    lac_sta_image shape;
    uint8_t *bytes;
} lac_sta_weights;
lac_status lac_sta_weights_make(lac_sta_weights *weights, const lac_sta_machine *machine, int n,
                                int m, const int8_t *matrix, int64_t rows, int64_t k,
                                lac_error *err);
void lac_sta_weights_release(lac_sta_weights *weights);
/* True when every group of m of every row has at most n non-zeros. */
bool lac_sta_pattern_fits(const int8_t *matrix, int64_t rows, int64_t k, int n, int m);
/* y[rows][n_out] from the packed image; `a` holds rows x k int8 or uint8 elements. */
lac_status lac_sta_multiply(int32_t *y, const lac_sta_weights *weights, const lac_tensor *a,
                            int64_t rows, lac_error *err);
/* sum over columns of nnz(a[:, i]) * nnz(b[:, i]). */
lac_status lac_sta_effectual(const lac_tensor *a, int64_t a_rows, const lac_tensor *b,
                             int64_t b_rows, int64_t cols, int64_t *macs, lac_error *err);

/* Each fills job->events and, unless options say schedule_only, result->output and `exact`. */
lac_status lac_sta_simulate_gemm(lac_sta_job *job, const lac_layer *layer, lac_error *err);
lac_status lac_sta_simulate_conv(lac_sta_job *job, const lac_layer *layer, lac_error *err);
lac_status lac_sta_simulate_attention(lac_sta_job *job, const lac_layer *layer, lac_error *err);
lac_status lac_sta_simulate_encoder(lac_sta_job *job, const lac_layer *layer, lac_error *err);

/* One head: Q, K, V rows `stride` elements apart; out int32 [tokens][dim] are the sums of P V. Adds
 * to job->effectual and, when job->max_prob_error >= 0, keeps the largest error there. */
lac_status lac_sta_head(lac_sta_job *job, const int8_t *q, const int8_t *k, const int8_t *v,
                        int64_t stride, int64_t tokens, int64_t dim, lac_sta_scale scale,
                        int32_t *out, lac_error *err);

/* The instruction listing of dossier 4.9 for a gemm, fc, conv, attention or encoder layer: one line
 * a word, "hexadecimal  mnemonic fields". */
lac_status lac_sta_program(const lac_layer *layer, const lac_params *params, lac_text *text,
                           lac_error *err);

lac_status lac_sta_reproduce(const lac_params *params, const char *data_dir,
                             void (*row)(void *context, const struct lac_reproduced *row),
                             void *context, lac_error *err);

#endif
