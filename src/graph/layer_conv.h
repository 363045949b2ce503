/* The geometry of a convolution layer, for kernels, simulators and counting. */
#ifndef LACUNA_GRAPH_LAYER_CONV_H
#define LACUNA_GRAPH_LAYER_CONV_H

#include <lacuna/layer.h>

typedef struct lac_conv {
    int64_t batch, c, h, w, k, r, s, groups;
    int64_t stride_h, stride_w, dilation_h, dilation_w;
    int64_t pad_top, pad_left, pad_bottom, pad_right;
    int64_t out_h, out_w;     /* may be < 1 for a kernel larger than the padded input */
    int64_t c_group, k_group; /* channels and outputs of one group */
} lac_conv;

/* `layer` is of the kind conv. */
lac_conv lac_conv_of(const lac_layer *layer);

#endif
