/* Broadcast matrix products, shared by MatMul and its integer kin. */
#ifndef LACUNA_OP_MATMUL_H
#define LACUNA_OP_MATMUL_H

#include "op/nn.h"

typedef struct lac_matmul {
    int64_t m, n, k, batch;   /* `batch` products of m x k times k x n */
    int64_t a_count, b_count; /* matrices in each operand */
    int batch_rank;
    int64_t a_dims[LAC_MAX_RANK], b_dims[LAC_MAX_RANK]; /* batch dims, aligned */
    int rank;                                           /* of the result, with dims */
    int64_t dims[LAC_MAX_RANK + 2];
} lac_matmul;

/* Geometry of the product of inputs a and b. */
lac_status lac_matmul_read(const lac_call *call, int a, int b, lac_matmul *geometry,
                           lac_error *err);
/* u32 and u64: integers modulo 2^32, 2^64. */
lac_status lac_matmul_f32(const lac_matmul *geometry, const float *a, const float *b, float *y,
                          lac_error *err);
lac_status lac_matmul_f64(const lac_matmul *geometry, const double *a, const double *b, double *y,
                          lac_error *err);
lac_status lac_matmul_u32(const lac_matmul *geometry, const uint32_t *a, const uint32_t *b,
                          uint32_t *y, lac_error *err);
lac_status lac_matmul_u64(const lac_matmul *geometry, const uint64_t *a, const uint64_t *b,
                          uint64_t *y, lac_error *err);
/* The gemm layer of inputs a and b. */
lac_status lac_matmul_layer(const lac_call *call, int a, int b, lac_layer *layer, lac_error *err);

#endif
