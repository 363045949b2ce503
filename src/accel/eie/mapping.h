/* How a layer becomes products of one encoded matrix with vectors (dossier eie.md, 4.2 and 3.3). */
#ifndef LACUNA_ACCEL_EIE_MAPPING_H
#define LACUNA_ACCEL_EIE_MAPPING_H

#include <lacuna/layer.h>

/* Where element i of product q = b * inner + p stands: b * outer_step + p * inner_step + i * step.
 */
typedef struct lac_eie_walk {
    int64_t inner, outer_step, inner_step, step;
} lac_eie_walk;

typedef struct lac_eie_problem {
    int64_t rows, in, cols; /* outputs, inputs, in + bias column */
    bool bias;
    int32_t bias_input;   /* 1, or 256 in the Q8.8 of int16 operands */
    uint8_t *codes;       /* [rows][cols], 0 = pruned */
    int32_t codebook[16]; /* codebook[0] = 0 */
    bool requantised;     /* the weights had more than 15 values: integer linear codebook */
    int64_t products;
    lac_eie_walk from, to;
    lac_tensor activations; /* borrowed */
    int rank;               /* of the output */
    int64_t dims[4];
} lac_eie_problem;

/* True when the layer is one that EIE runs; else the reason in `why`. */
bool lac_eie_supports(const lac_layer *layer, char *why, size_t size);
/* `layer` is in plain order, as lac_simulate hands it over. Release with lac_eie_problem_release.
 */
lac_status lac_eie_map(lac_eie_problem *problem, const lac_layer *layer, bool bias, lac_error *err);
void lac_eie_problem_release(lac_eie_problem *problem);

/* Activation vector of product q, bias input included: value[cols]. */
void lac_eie_vector(const lac_eie_problem *problem, int64_t q, int32_t *value);
/* Element number of output i of product q. */
static inline int64_t lac_eie_place(const lac_eie_walk *walk, int64_t q, int64_t i)
{
    return q / walk->inner * walk->outer_step + q % walk->inner * walk->inner_step + i * walk->step;
}

#endif
