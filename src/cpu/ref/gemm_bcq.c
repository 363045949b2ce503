/* Format bcq, portable: signed sums bit by bit; those of integers are the fast kernels' bits. */
#include "cpu/bcq.h"

#include "core/parallel.h"

#include <math.h>

static float part(const bcq_state *w, int64_t row, int64_t n, int plane, int64_t k, int64_t end)
{
    int32_t exact = 0;
    float sum = 0;
    for (; k < end; k++) {
        uint32_t word = w->q.plane[(k / 32 * w->q.planes + plane) * w->shape.n + n];
        bool plus = word >> k % 32 & 1;
        if (w->floats)
            sum += plus ? ((const float *)w->x)[row * w->padded + k]
                        : -((const float *)w->x)[row * w->padded + k];
        else
            exact += plus ? ((const int16_t *)w->x)[row * w->padded + k]
                          : -((const int16_t *)w->x)[row * w->padded + k];
    }
    return w->floats ? sum : (float)exact;
}

static void outputs(void *context, int64_t begin, int64_t end)
{
    const bcq_state *w = context;
    const lac_bcq *q = &w->q;
    for (int64_t item = begin; item < end; item++) {
        int64_t row = item / w->shape.n, n = item % w->shape.n;
        float sum = 0;
        for (int64_t g = 0; g < q->groups; g++) {
            int64_t k = g * q->group, last = w->shape.k - k < q->group ? w->shape.k : k + q->group;
            for (; k < last; k += LAC_BCQ_FLUSH) {
                int64_t stop = last - k < LAC_BCQ_FLUSH ? last : k + LAC_BCQ_FLUSH;
                for (int i = 0; i < q->planes; i++)
                    sum = fmaf(lac_bcq_scale(q, (g * q->planes + i) * w->shape.n + n),
                               part(w, row, n, i, k, stop), sum);
            }
            if (q->offset)
                sum = fmaf(q->offset[g * w->shape.n + n], w->sum[row * q->groups + g], sum);
        }
        lac_epilogue_floats(&w->epilogue, row, n, 1, &sum);
    }
}

static lac_status bcq_run(const lac_layer *layer, void *state, lac_error *err)
{
    bcq_state *w = state;
    (void)err;
    lac_bcq_begin(w, layer);
    lac_parallel_for(w->shape.m * w->shape.n, 1 + 16384 / w->padded, outputs, w);
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

#define bcq_can_run lac_bcq_can_run
#define bcq_prepare lac_bcq_prepare
#define bcq_release lac_bcq_release
#define bcq_bytes   lac_bcq_bytes

LAC_PACKED_ROWS(bcq_f32_ref, "bcq", LAC_F32, 0, bcq, "binary codes, portable")
LAC_PACKED_ROWS(bcq_s8_ref, "bcq", LAC_I8, 0, bcq, "binary codes, portable")
LAC_PACKED_ROWS(bcq_u8_ref, "bcq", LAC_U8, 0, bcq, "binary codes, portable")
