/* Counting zeros of operands: what depends on data in an otherwise closed-form model. */
#ifndef LACUNA_ACCEL_KIT_COUNT_H
#define LACUNA_ACCEL_KIT_COUNT_H

#include <lacuna/layer.h>

/* Non-zero elements of an int8, uint8 or int16 tensor. */
int64_t lac_count_nonzeros(const lac_tensor *tensor);
/* count[k] += non-zeros in column k of a matrix [rows][cols] whose rows start at element `first`,
 * `step` elements apart. */
void lac_count_columns(int64_t *count, const lac_tensor *tensor, int64_t first, int64_t step,
                       int64_t rows, int64_t cols);

typedef struct lac_effectual {
    int64_t macs;         /* multiply-accumulates with both operands non-zero */
    int64_t nnz_w, nnz_a; /* each tensor once; attention: key and value, query and P */
} lac_effectual;

/* Of a layer in plain order (lac_layer_plain) with its operands; a kind other than conv through its
 * matrix products: sum over k of nzA[k] * nzW[k]. */
lac_status lac_count_effectual(const lac_layer *layer, lac_effectual *effectual, lac_error *err);

#endif
