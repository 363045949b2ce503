/* The portable attention kernel of int8: pairs of 16-bit elements in lanes of 32. */
#include "cpu/attention_ref.h"
#define INTEGERS              1
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define PER                   2
#define HALF                  int16_t
#define SHIFT                 0
#define NAME                  "attention_dense_s8_ref"
#define ROW                   lac_kernel_attention_s8_ref

static inline four_ints dot(four_ints sum, four_ints a, four_ints b)
{
    typedef int16_t halves __attribute__((vector_size(16)));
    halves x = (halves)a, y = (halves)b;
    for (int i = 0; i < 4; i++)
        sum[i] += x[2 * i] * y[2 * i] + x[2 * i + 1] * y[2 * i + 1];
    return sum;
}
#define DOT(sum, a, b) dot(sum, a, b)
#include "cpu/attention_body.inc"
