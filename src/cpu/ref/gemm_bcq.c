/* Format bcq, portable: signed sums bit by bit; those of integers are the fast kernels' bits. */
#include "cpu/lowbit.h"

#include <math.h>

static float part(const lac_lowbit *w, int64_t row, int64_t n, int plane, int64_t k, int64_t end)
{
    int32_t exact = 0;
    float sum = 0;
    for (; k < end; k++) {
        uint32_t word = w->bcq.plane[(k / 32 * w->bcq.planes + plane) * w->shape.n + n];
        int64_t at = row * w->stride + k;
        bool plus = word >> k % 32 & 1;
        if (w->floats)
            sum += plus ? ((const float *)w->x)[at] : -((const float *)w->x)[at];
        else
            exact += (plus ? 1 : -1) * (((const int8_t *)w->x)[at] - w->zero);
    }
    return w->floats ? sum : (float)exact;
}

static float output(const lac_lowbit *w, int64_t n, int64_t row)
{
    const lac_bcq *q = &w->bcq;
    float sum = 0;
    for (int64_t g = 0; g < q->groups; g++) {
        int64_t k = g * q->group, last = w->shape.k - k < q->group ? w->shape.k : k + q->group;
        for (; k < last; k += LAC_BCQ_FLUSH) {
            int64_t stop = last - k < LAC_BCQ_FLUSH ? last : k + LAC_BCQ_FLUSH;
            for (int i = 0; i < q->planes; i++)
                sum = fmaf(lac_bcq_scale(q, (g * q->planes + i) * w->shape.n + n),
                           part(w, row, n, i, k, stop), sum);
        }
        int64_t at = row * q->groups + g;
        if (q->offset)
            sum = fmaf(q->offset[g * w->shape.n + n], w->floats ? w->sum[at] : (float)w->base[at],
                       sum);
    }
    return sum;
}

static void outputs(const lac_lowbit *w, int64_t first, int64_t last, int64_t row, int64_t end)
{
    for (; row < end; row++)
        for (int64_t n = first; n < last; n++) {
            float sum = output(w, n, row);
            lac_epilogue_floats(&w->epilogue, row, n, 1, &sum);
        }
}

static lac_status bcq_run(const lac_layer *layer, void *state, lac_error *err)
{
    lac_lowbit *w = state;
    (void)err;
    lac_lowbit_begin(w, layer, true, 0);
    lac_lowbit_products(w, 1, 0, w->shape.m, 1, outputs);
    return LAC_OK;
}

static double bcq_cost(const lac_layer *layer)
{
    lac_gemm_shape shape;
    lac_bcq q;
    const lac_packed *packed = layer->operand[LAC_ROLE_WEIGHTS].packed;
    if (!packed || !lac_gemm_shape_of(layer, &shape, NULL, 0) ||
        lac_bcq_of(packed, &q, NULL) != LAC_OK)
        return 1e30;
    double bits = (double)shape.n * (double)shape.k * q.planes;
    return lac_packed_seconds(bits * 2e-9 * (double)shape.m, bits / 8, &shape);
}

#define bcq_can_run lac_lowbit_can_run
#define bcq_prepare lac_lowbit_prepare
#define bcq_release lac_lowbit_release
#define bcq_bytes   lac_lowbit_bytes

LAC_PACKED_ROWS(bcq_f32_ref, "bcq", LAC_F32, 0, bcq, "binary codes, portable")
LAC_PACKED_ROWS(bcq_s8_ref, "bcq", LAC_I8, 0, bcq, "binary codes, portable")
LAC_PACKED_ROWS(bcq_u8_ref, "bcq", LAC_U8, 0, bcq, "binary codes, portable")
