/* The convolution that Conv, ConvInteger and QLinearConv share. */
#ifndef LACUNA_OP_CONV_H
#define LACUNA_OP_CONV_H

#include "op/nn.h"

typedef struct lac_conv_shape {
    lac_window window;
    int64_t batch, channels, outputs, groups; /* outputs: output channels of all groups */
} lac_conv_shape;

/* Geometry of a convolution of input x with weights w, all attributes checked. */
lac_status lac_conv_read(const lac_call *call, int x, int w, lac_conv_shape *shape, lac_error *err);
/* Sets output 0 to that geometry. */
lac_status lac_conv_infer(const lac_call *call, const lac_conv_shape *shape, lac_dtype dtype,
                          lac_error *err);
/* y = x * w; what lies outside x is 0. u32: integers modulo 2^32. */
lac_status lac_conv_f32(const lac_conv_shape *shape, const float *x, const float *w, float *y,
                        lac_error *err);
lac_status lac_conv_f64(const lac_conv_shape *shape, const double *x, const double *w, double *y,
                        lac_error *err);
lac_status lac_conv_u32(const lac_conv_shape *shape, const uint32_t *x, const uint32_t *w,
                        uint32_t *y, lac_error *err);
/* The conv layer of input x and weights w: kind, dims, both operands, output. */
lac_status lac_conv_layer(const lac_call *call, int x, int w, lac_layer *layer, lac_error *err);

#endif
