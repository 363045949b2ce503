/* Vectors of four floats for the portable attention kernels; what the body wants is in
 * attention_body.inc. */
#ifndef LACUNA_CPU_ATTENTION_REF_H
#define LACUNA_CPU_ATTENTION_REF_H

#include <stdint.h>

typedef float four __attribute__((vector_size(16)));
typedef int32_t four_ints __attribute__((vector_size(16)));

static inline four four_maximum(four a, four b)
{
    four_ints larger = a > b;
    return (four)((larger & (four_ints)a) | (~larger & (four_ints)b));
}

#define VECTOR        four
#define INTS          four_ints
#define LANES         4
#define ROWS          4
#define COLS          2
#define MAXIMUM(a, b) four_maximum(a, b)
#define ISA           0

#endif
