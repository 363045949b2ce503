/* Portable dense products: gemm and conv by one implicit-gemm loop. */
#ifndef LACUNA_CPU_REF_PRODUCT_H
#define LACUNA_CPU_REF_PRODUCT_H

#include "cpu/geometry.h"

enum { LAC_PANEL = 16, LAC_PIXELS = 4 }; /* outputs and pixels of one register block */

typedef struct lac_product {
    lac_conv_geometry g;
    const lac_layer *layer; /* during a run */
    bool depthwise;
    int64_t x_b, x_c, x_h, x_w; /* element strides of the activations */
    int64_t y_b, y_k, y_p, y_q; /* and of the output and residual */
    int64_t panels, panel_size; /* per group; elements of one panel */
    void *weights;              /* [group][panel][r][s][c][LAC_PANEL] */
    void *zeros;                /* a row of padding: the activations' zero point */
    size_t weight_bytes;
} lac_product;

/* Floats `sum` of `n` <= LAC_PANEL outputs of one pixel, as the layer wants them: scales, bias,
 * residual, activation, output type. `y` is the element index of the first, outputs are y_k apart.
 */
void lac_product_finish(const lac_product *w, int64_t channel, int64_t y, int n, float *sum);

#endif
