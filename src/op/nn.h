/* What the operators of neural layers share: checks that name the node, sliding-window geometry,
 * and running half-precision tensors through a float32 kernel. */
#ifndef LACUNA_OP_NN_H
#define LACUNA_OP_NN_H

#include "op/common.h"

#define LAC_NN_HALVES (LAC_BIT(LAC_F16) | LAC_BIT(LAC_BF16))
#define LAC_NN_FLOATS (LAC_BIT(LAC_F32) | LAC_NN_HALVES)

/* Output i during run; NULL where unwanted. */
lac_tensor *lac_nn_out(const lac_call *call, int i);
/* Between `least` and `most` inputs, the first `least` of them present; at most `outputs`. */
lac_status lac_nn_count(const lac_call *call, int least, int most, int outputs, lac_error *err);
/* Input i, where present, has an element type of `set`. */
lac_status lac_nn_dtype(const lac_call *call, int i, uint32_t set, lac_error *err);
/* Input i, where present, is like input 0 in element type. */
lac_status lac_nn_same(const lac_call *call, int i, lac_error *err);
/* Input i, where present, has `rank` dims, equal to `dims` (an entry -1: any). */
lac_status lac_nn_shape(const lac_call *call, int i, int rank, const int64_t *dims,
                        const char *what, lac_error *err);
/* An attribute `axis` of a tensor of `rank` dims, negative ones counted from the end;
 * axis == rank allowed if `end`. */
lac_status lac_nn_axis(int64_t axis, int rank, bool end, int *result, lac_error *err);

/* Runs `run` on float32 copies where input 0 has 16 bits (every float16 / bfloat16 input and
 * output of that type is converted); directly otherwise. */
lac_status lac_nn_widened(const lac_call *call, lac_status (*run)(const lac_call *, lac_error *),
                          lac_error *err);

/* A sliding window over up to three spatial axes, aligned to the right: a 2-D one has depth 1. */
typedef struct lac_window {
    int axes; /* spatial axes of the tensor: 1, 2 or 3 */
    int64_t in[3], kernel[3], stride[3], dilation[3], pad[3], pad_end[3], out[3];
} lac_window;

/* Reads strides, dilations, pads, auto_pad (and ceil_mode, if `pooling`) for an input of `dims`
 * [batch][channels][spatial...] and a kernel of spatial sizes `kernel` (unaligned). Checks that
 * nothing overflows and that the kernel fits into the padded input. */
lac_status lac_window_read(const lac_call *call, lac_window *window, int rank, const int64_t *dims,
                           const int64_t *kernel, bool pooling, lac_error *err);
/* [batch][channels][out...] into dims. */
void lac_window_shape(const lac_window *window, int64_t batch, int64_t channels, int64_t *dims);

#endif
