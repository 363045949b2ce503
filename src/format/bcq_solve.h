/* Binary codes of a group of weights: w ~ sum over planes of +-scale. Solvers of nuQmm / LUT-GEMM
 * (Park et al., arXiv 2206.09557): greedy (Rastegari et al. 2016), refined (Guo et al., CVPR 2017),
 * alternating (Xu et al., ICLR 2018). */
#ifndef LACUNA_FORMAT_BCQ_SOLVE_H
#define LACUNA_FORMAT_BCQ_SOLVE_H

#include <lacuna/core.h>

#define LAC_BCQ_PLANES 4   /* most planes */
#define LAC_BCQ_GROUP  256 /* most weights of a group */

typedef enum lac_bcq_solver {
    LAC_BCQ_GREEDY,     /* sign and mean of what is left, plane by plane */
    LAC_BCQ_REFINED,    /* least squares for all scales after each plane */
    LAC_BCQ_ALTERNATING /* greedy, then scales and signs in turn */
} lac_bcq_solver;

/* `code[t]`: bit i set means + for plane i. `scale[planes]`; alternating: not negative, descending.
 * *rounds (may be NULL): rounds of alternation done, at most `rounds_most`. count 1..256, planes
 * 1..4; weights finite. */
void lac_bcq_solve(lac_bcq_solver solver, const double *weight, int count, int planes,
                   int rounds_most, double *scale, uint8_t *code, int *rounds);

#endif
