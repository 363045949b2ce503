/* The portable attention kernel of int8: pairs of 16-bit elements in lanes of 32. */
#include "cpu/attention_ref.h"

#include <math.h>

/* Correctly rounded like the instruction, so that the bits are those of the other kernels. */
static inline four fused(four a, four b, four c)
{
    return (four){fmaf(a[0], b[0], c[0]), fmaf(a[1], b[1], c[1]), fmaf(a[2], b[2], c[2]),
                  fmaf(a[3], b[3], c[3])};
}

static inline four_ints low(four_ints x)
{
    return x << 16 >> 16;
}

#define INTEGERS              1
#define MULTIPLY_ADD(a, b, c) fused(a, b, c)
#define PER                   2
#define HALF                  int16_t
#define SHIFT                 0
#define DOT(sum, a, b)        ((sum) + low(a) * low(b) + (a >> 16) * (b >> 16))
#define NAME                  "attention_dense_s8_ref"
#define ROW                   lac_kernel_attention_s8_ref
#include "cpu/attention_body.inc"
