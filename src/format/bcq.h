/* Format bcq as the kernels read it. */
#ifndef LACUNA_FORMAT_BCQ_H
#define LACUNA_FORMAT_BCQ_H

#include <lacuna/format.h>

/* w[row][k] = sum over planes i of +-scale, in order, + offset. */
typedef struct lac_bcq {
    int planes, group;
    int64_t words, groups; /* ceil(cols / 32), ceil(cols / group) */
    const uint32_t *plane; /* [words][planes][rows]; bit k % 32: + */
    const uint16_t *scale; /* [groups][planes][rows] float16, or NULL */
    const float *scale32;  /* the same as float32, or NULL */
    const float *offset;   /* [groups][rows] or NULL */
} lac_bcq;

lac_status lac_bcq_of(const lac_packed *packed, lac_bcq *q, lac_error *err);

/* Sets the bits of one code in planes that hold zeros. */
static inline void lac_bcq_put(uint32_t *plane, int planes, int64_t rows, int64_t row, int64_t k,
                               unsigned code)
{
    for (int i = 0; i < planes; i++)
        plane[(k / 32 * planes + i) * rows + row] |= (uint32_t)(code >> i & 1) << k % 32;
}

static inline float lac_bcq_scale(const lac_bcq *q, int64_t at)
{
    return q->scale32 ? q->scale32[at] : lac_f16_to_f32(q->scale[at]);
}

#endif
