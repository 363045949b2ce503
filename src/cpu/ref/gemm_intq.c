/* Format intq, portable: a group of one output taken apart at a time; the sums of the fast kernels
 * in the same order, so with 8-bit activations the same bits. */
#include "cpu/lowbit.h"

#include <math.h>

enum { GROUP_MOST = 128, ROWS = 32 };

/* Weights of a group less its zero point. */
static int group_weights(const lac_intq *q, int64_t n, int64_t g, int8_t *weight)
{
    int64_t panel = n / LAC_INTQ_OUTPUTS, first = g * q->group / LAC_INTQ_BLOCK;
    int output = (int)(n % LAC_INTQ_OUTPUTS), count = 0;
    int64_t place = (panel * q->groups + g) * LAC_INTQ_OUTPUTS + output;
    int zero = q->zero ? q->zero[place] : q->middle;
    for (int64_t b = first; b < first + q->group / LAC_INTQ_BLOCK && b < q->blocks; b++) {
        const uint8_t *block = q->codes + (panel * q->blocks + b) * lac_intq_block_bytes(q);
        for (int at = 0; at < LAC_INTQ_BLOCK; at++)
            weight[count++] = (int8_t)(lac_intq_code(block, q->bits, output, at) - zero);
    }
    return count;
}

static float group_integers(const int8_t *weight, int count, const int8_t *x, int32_t zero)
{
    int32_t sum = 0;
    for (int k = 0; k < count; k++)
        sum += weight[k] * (x[k] - zero);
    return (float)sum;
}

static float group_floats(const int8_t *weight, int count, const float *x)
{
    float sum = 0;
    for (int k = 0; k < count; k++)
        sum += (float)weight[k] * x[k];
    return sum;
}

static void outputs(const lac_lowbit *w, int64_t first, int64_t last, int64_t row, int64_t end)
{
    const lac_intq *q = &w->intq;
    int8_t weight[GROUP_MOST];
    for (int64_t n = first; n < last; n++) {
        float sum[ROWS] = {0};
        for (int64_t g = 0; g < q->groups; g++) {
            int count = group_weights(q, n, g, weight);
            int64_t place =
                (n / LAC_INTQ_OUTPUTS * q->groups + g) * LAC_INTQ_OUTPUTS + n % LAC_INTQ_OUTPUTS;
            float step = lac_f16_to_f32(q->scale[place]);
            for (int64_t r = row; r < end; r++) {
                int64_t at = r * w->stride + g * q->group;
                float part =
                    w->floats ? group_floats(weight, count, (const float *)w->x + at)
                              : group_integers(weight, count, (const int8_t *)w->x + at, w->zero);
                sum[r - row] = fmaf(step, part, sum[r - row]);
            }
        }
        for (int64_t r = row; r < end; r++)
            lac_epilogue_floats(&w->epilogue, r, n, 1, &sum[r - row]);
    }
}

static lac_status intq_run(const lac_layer *layer, void *state, lac_error *err)
{
    lac_lowbit *w = state;
    (void)err;
    lac_lowbit_begin(w, layer, true, 0);
    lac_lowbit_products(w, 1, 0, w->shape.m, ROWS, outputs);
    return LAC_OK;
}

static double intq_cost(const lac_layer *layer)
{
    lac_gemm_shape shape;
    if (!lac_gemm_shape_of(layer, &shape, NULL, 0))
        return 1e30;
    double weights = (double)shape.n * (double)shape.k;
    return lac_packed_seconds(weights * (2e-9 + 0.5e-9 * (double)shape.m), weights, &shape);
}

#define intq_can_run lac_lowbit_can_run
#define intq_prepare lac_lowbit_prepare
#define intq_release lac_lowbit_release
#define intq_bytes   lac_lowbit_bytes

LAC_PACKED_ROWS(intq_f32_ref, "intq", LAC_F32, 0, intq, "few-bit integers, portable")
LAC_PACKED_ROWS(intq_s8_ref, "intq", LAC_I8, 0, intq, "few-bit integers, portable")
LAC_PACKED_ROWS(intq_u8_ref, "intq", LAC_U8, 0, intq, "few-bit integers, portable")
