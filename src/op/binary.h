/* The driver of operators on two broadcast inputs; a kernel per element type does a run. */
#ifndef LACUNA_OP_BINARY_H
#define LACUNA_OP_BINARY_H

#include "op/common.h"

/* y[i] = f(a[i * a_step], b[i * b_step]) */
typedef void (*lac_binary_kernel)(const void *a, int64_t a_step, const void *b, int64_t b_step,
                                  void *y, int64_t n);

/* `kernels` by input element type; 16-bit floats use that of LAC_F32 on widened blocks. `out` has
 * the broadcast shape (or a larger one) and may be `a` or `b` where these have the same shape. */
void lac_binary_apply(const lac_binary_kernel *kernels, const lac_tensor *a, const lac_tensor *b,
                      lac_tensor *out);
/* infer: two inputs of one type of the set, broadcast; `result` LAC_NONE: the same type. */
lac_status lac_binary_infer(const lac_call *call, uint32_t dtypes, lac_dtype result,
                            lac_error *err);

/* The loop over one run, with the steps that matter as constants; `x` and `y` are the elements. */
#define LAC_BINARY_KERNEL(name, type, result_type, expression)                                     \
    static void name(const void *a_, int64_t a_step, const void *b_, int64_t b_step, void *y_,     \
                     int64_t n)                                                                    \
    {                                                                                              \
        const type *a = a_, *b = b_;                                                               \
        result_type *out = y_;                                                                     \
        if (a_step == 1 && b_step == 1) {                                                          \
            for (int64_t i = 0; i < n; i++) {                                                      \
                const type x = a[i], y = b[i];                                                     \
                out[i] = (result_type)(expression);                                                \
            }                                                                                      \
        } else if (a_step == 1 && b_step == 0) {                                                   \
            const type y = b[0];                                                                   \
            for (int64_t i = 0; i < n; i++) {                                                      \
                const type x = a[i];                                                               \
                out[i] = (result_type)(expression);                                                \
            }                                                                                      \
        } else if (a_step == 0 && b_step == 1) {                                                   \
            const type x = a[0];                                                                   \
            for (int64_t i = 0; i < n; i++) {                                                      \
                const type y = b[i];                                                               \
                out[i] = (result_type)(expression);                                                \
            }                                                                                      \
        } else {                                                                                   \
            for (int64_t i = 0; i < n; i++) {                                                      \
                const type x = a[i * a_step], y = b[i * b_step];                                   \
                out[i] = (result_type)(expression);                                                \
            }                                                                                      \
        }                                                                                          \
    }

#endif
