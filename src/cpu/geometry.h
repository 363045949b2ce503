/* The numbers of gemm, conv and attention layers, read once by name: kernels work on these. */
#ifndef LACUNA_CPU_GEOMETRY_H
#define LACUNA_CPU_GEOMETRY_H

#include <lacuna/layer.h>

/* A convolution; a gemm is the one of 1 x 1 windows over m pixels. */
typedef struct lac_conv_geometry {
    int64_t batch, c, h, w; /* input */
    int64_t k, r, s, groups;
    int64_t stride_h, stride_w, dilation_h, dilation_w;
    int64_t pad_top, pad_left, pad_bottom, pad_right;
    int64_t p, q; /* output height and width */
} lac_conv_geometry;

/* False when the layer is neither gemm (nor fc) nor conv. */
bool lac_conv_geometry_of(const lac_layer *layer, lac_conv_geometry *geometry);

typedef struct lac_attention_geometry {
    int64_t batch, heads, tokens, keys, dim, value_dim;
    bool tokens_first;                                 /* [batch][tokens][heads][dim] */
    int64_t mask_batch, mask_head, mask_row, mask_col; /* strides of the additive mask, elements */
} lac_attention_geometry;

/* False when it is not an attention layer or its operands have other ranks. */
bool lac_attention_geometry_of(const lac_layer *layer, lac_attention_geometry *geometry);

#endif
