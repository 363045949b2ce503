/* Exact integer products, fast enough for a simulator's functional output. */
#ifndef LACUNA_ACCEL_KIT_PRODUCT_H
#define LACUNA_ACCEL_KIT_PRODUCT_H

#include <lacuna/accel.h>

/* y[m][n] = sum over k of a[m][k] * w[n][k]; int8, uint8 or int16 elements. LAC_ERROR_INPUT when a
 * sum leaves int32. */
lac_status lac_product(int32_t *y, const lac_tensor *a, const lac_tensor *w, int64_t m, int64_t n,
                       int64_t k, lac_error *err);

/* The int32 output of a layer in plain order, by its matrix products; the layout is that of the
 * kind's reference. Needs kind->gemm. */
lac_status lac_product_output(const lac_layer *layer, lac_tensor *output, lac_error *err);

/* Puts the product of `index` (int32 [m][n]) where it belongs in the layer's output, already made:
 * conv scatters to [batch][k][h][w]; of attention's products only P V stays. */
void lac_product_place(const lac_layer *layer, int64_t index, const int32_t *y, lac_tensor *output);
/* The empty output of the layer, int32, in the layout of CONVENTIONS. */
lac_status lac_product_output_make(const lac_layer *layer, lac_tensor *output, lac_error *err);

/* Unless options say no_check: result->exact = result->output equals the kind's integer
 * reference. */
lac_status lac_result_compare(lac_result *result, const lac_layer *layer,
                              const lac_sim_options *options, lac_error *err);

#endif
