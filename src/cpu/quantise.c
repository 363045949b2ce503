/* See quantise.h. */
#include "cpu/quantise.h"

#include "core/clones.h"
#include "core/parallel.h"

#include <string.h>

enum { GRAIN = 32768 }; /* elements worth waking a thread */

/* Adding it to a float below 2^22 rounds to an integer, to nearest even, in the low bits. */
#define ROUND 0x1.8p23f

typedef struct quantize {
    const float *x;
    uint8_t *y;
    float scale;
    int32_t zero, low, high;
} quantize;

static inline int32_t nearest(float v)
{
    float sum = v + ROUND, round = ROUND;
    int32_t bits, base;
    memcpy(&bits, &sum, sizeof bits);
    memcpy(&base, &round, sizeof base);
    return (int32_t)((uint32_t)bits - (uint32_t)base);
}

LAC_CLONES static void quantize_range(void *context, int64_t begin, int64_t end)
{
    const quantize q = *(const quantize *)context;
    const float *restrict x = q.x;
    uint8_t *restrict y = q.y;
    for (int64_t i = begin; i < end; i++) {
        float v = x[i] / q.scale;
        v = v < -1024.0f ? -1024.0f : v;
        v = v > 1024.0f ? 1024.0f : v;
        int32_t r = nearest(v);
        r = r < -1024 ? -1024 : r; /* NaN */
        r = (r > 1024 ? 1024 : r) + q.zero;
        r = r < q.low ? q.low : r;
        y[i] = (uint8_t)(r > q.high ? q.high : r); /* the low 8 bits are right for both types */
    }
}

void lac_quantise_floats(const float *x, const lac_tensor *bytes, float scale, int32_t zero)
{
    bool is_signed = bytes->dtype == LAC_I8;
    quantize q = {.x = x,
                  .y = bytes->data,
                  .scale = scale,
                  .zero = zero,
                  .low = is_signed ? -128 : 0,
                  .high = is_signed ? 127 : 255};
    lac_parallel_for(lac_tensor_count(bytes), GRAIN, quantize_range, &q);
}

void lac_quantise_beside(const lac_layer *layer)
{
    if (layer->beside.dtype != LAC_NONE)
        lac_quantise_floats(layer->output.data, &layer->beside, layer->output_scale,
                            layer->output_zero);
}
