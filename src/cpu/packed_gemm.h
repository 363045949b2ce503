/* What the kernels of packed weights share: which layers they take, the numbers around the
 * product, tables of rows. */
#ifndef LACUNA_CPU_PACKED_GEMM_H
#define LACUNA_CPU_PACKED_GEMM_H

#include "cpu/epilogue.h"

#include <lacuna/format.h>
#include <lacuna/kernel.h>

/* Y[m][n] = sum_k A[m][k] W[n][k] */
typedef struct lac_gemm_shape {
    int64_t m, n, k;
} lac_gemm_shape;

/* gemm (a batch shares the weights), fc, and conv of 1 x 1 windows with channels last. False, and
 * the reason in `why`, for anything else. */
bool lac_gemm_shape_of(const lac_layer *layer, lac_gemm_shape *shape, char *why, size_t why_size);

/* Whether a kernel of packed weights takes the layer: the shape above; the packed matrix is [n][k]
 * with elements among the bits `dtypes`, no zero point; float32 bias and residual; scales per
 * tensor or per output; an output that lac_epilogue writes. */
bool lac_packed_can_run(const lac_layer *layer, uint32_t dtypes, char *why, size_t why_size);
/* The same for a shape that the caller worked out, of any convolution. */
bool lac_packed_fits(const lac_layer *layer, const lac_gemm_shape *shape, uint32_t dtypes,
                     char *why, size_t why_size);

/* The part of that which is not about packing: scales, bias, residual, output. */
bool lac_product_fits(const lac_layer *layer, const lac_gemm_shape *shape, char *why,
                      size_t why_size);

/* Numbers of one run, made anew each time because scales may come from the data. */
typedef struct lac_packed_numbers {
    float *scale;    /* [n] room */
    int32_t *offset; /* [n] room; integer products */
    int32_t *sum;    /* [n] sums of the weights of each output; integer products */
    float *step;     /* [2][n] room; integer products */
} lac_packed_numbers;

lac_status lac_packed_numbers_make(lac_packed_numbers *numbers, int64_t n, bool integer,
                                   lac_error *err);
void lac_packed_numbers_release(lac_packed_numbers *numbers);
/* Fills `e` from the layer. Integer products: sums of (element + shift) * weight are corrected by
 * the shift and the zero point; scales of both operands apply. Products of floats: the scale of
 * the weights applies. */
void lac_epilogue_begin(lac_epilogue *e, const lac_layer *layer, lac_packed_numbers *numbers,
                        const lac_gemm_shape *shape, int32_t shift);

/* Cost of a run: `seconds` of arithmetic or reading `bytes` of weights, whichever takes longer, and
 * reading the activations and finishing the outputs. */
double lac_packed_seconds(double seconds, double bytes, const lac_gemm_shape *shape);

/* Rows lac_kernel_gemm_NAME and lac_kernel_conv_NAME from the functions called PREFIX_... */
#define LAC_PACKED_ROW(kind_, name_, format_, dtype_, isa_, prefix, text)                          \
    const lac_kernel lac_kernel_##kind_##_##name_ = {LAC_ROW(lac_kernel, #kind_ "_" #name_, text), \
                                                     .kind = #kind_,                               \
                                                     .format = format_,                            \
                                                     .dtype = dtype_,                              \
                                                     .isa = isa_,                                  \
                                                     .can_run = prefix##_can_run,                  \
                                                     .cost = prefix##_cost,                        \
                                                     .prepare = prefix##_prepare,                  \
                                                     .run = prefix##_run,                          \
                                                     .release = prefix##_release,                  \
                                                     .state_bytes = prefix##_bytes};
#define LAC_PACKED_ROWS(name_, format_, dtype_, isa_, prefix, text)                                \
    LAC_PACKED_ROW(gemm, name_, format_, dtype_, isa_, prefix, text)                               \
    LAC_PACKED_ROW(conv, name_, format_, dtype_, isa_, prefix, text ", 1 x 1 convolution")

#endif
