/* Matrix products of the portable operators: C[m][n] = sum_k A[m][k] B[k][n], any strides of A and
 * B. Integers wrap modulo 2^32 or 2^64. Each element is summed in ascending k, so the bits do not
 * depend on threads or on the vector width. */
#ifndef LACUNA_OP_PRODUCT_H
#define LACUNA_OP_PRODUCT_H

#include <lacuna/core.h>

enum { LAC_PANEL = 16 }; /* columns that are computed together */

/* Element (i, k) of A is a[i * a_row + k * a_col], (k, j) of B is b[k * b_row + j * b_col]; `c` is
 * contiguous in j with rows `c_row` apart. */
#define LAC_PRODUCT_DECLARE(suffix, type)                                                          \
    typedef struct lac_product_##suffix {                                                          \
        int64_t m, n, k;                                                                           \
        const type *a;                                                                             \
        int64_t a_row, a_col;                                                                      \
        const type *b;                                                                             \
        int64_t b_row, b_col;                                                                      \
        type *c;                                                                                   \
        int64_t c_row;                                                                             \
    } lac_product_##suffix;                                                                        \
    /* All of the shape of the first; split over the threads. */                                   \
    lac_status lac_multiply_##suffix(const lac_product_##suffix *products, int64_t count,          \
                                     lac_error *err);                                              \
    /* `columns` (at most LAC_PANEL) columns of C; b holds LAC_PANEL readable elements in each     \
     * row. */                                                                                     \
    void lac_panel_##suffix(int64_t m, int64_t k, const type *a, int64_t a_row, int64_t a_col,     \
                            const type *b, int64_t b_row, type *c, int64_t c_row,                  \
                            int64_t columns);                                                      \
    /* y[i] = a[i] . x for m rows of a, each k contiguous elements: sixteen sums side by side,     \
     * then their total. */                                                                        \
    void lac_dots_##suffix(int64_t m, int64_t k, const type *a, int64_t a_row, const type *x,      \
                           type *y);

LAC_PRODUCT_DECLARE(f32, float)
LAC_PRODUCT_DECLARE(f64, double)
LAC_PRODUCT_DECLARE(u32, uint32_t)
LAC_PRODUCT_DECLARE(u64, uint64_t)

#endif
