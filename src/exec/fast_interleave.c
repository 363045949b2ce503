/* The Transpose that brings the few channels of an image of bytes side by side. */
#include "exec/exec.h"

#include "core/clones.h"
#include "core/parallel.h"

enum { GRAIN = 32768 }; /* elements worth waking a thread */

typedef struct interleave {
    const uint8_t *x;
    uint8_t *y;
    int64_t channels, pixels; /* of an image */
} interleave;

LAC_CLONES static void interleave_range(void *context, int64_t begin, int64_t end)
{
    const interleave *w = context;
    for (int64_t image = begin; image < end; image++) {
        const int64_t pixels = w->pixels;
        const uint8_t *restrict a = w->x + image * w->channels * pixels;
        const uint8_t *restrict b = a + pixels, *restrict c = b + pixels, *restrict d = c + pixels;
        uint8_t *restrict y = w->y + image * w->channels * pixels;
        if (w->channels == 2)
            for (int64_t i = 0; i < pixels; i++) {
                y[2 * i] = a[i];
                y[2 * i + 1] = b[i];
            }
        else if (w->channels == 3)
            for (int64_t i = 0; i < pixels; i++) {
                y[3 * i] = a[i];
                y[3 * i + 1] = b[i];
                y[3 * i + 2] = c[i];
            }
        else
            for (int64_t i = 0; i < pixels; i++) {
                y[4 * i] = a[i];
                y[4 * i + 1] = b[i];
                y[4 * i + 2] = c[i];
                y[4 * i + 3] = d[i];
            }
    }
}

static lac_status interleave_run(const lac_call *call, lac_layout in_layout, lac_layout out_layout,
                                 lac_error *err)
{
    const lac_tensor *in = call->in[0];
    interleave w = {.x = in->data,
                    .y = call->out[0].data,
                    .channels = in->dims[1],
                    .pixels = in->dims[2] * in->dims[3]};
    (void)in_layout;
    (void)out_layout;
    (void)err;
    lac_parallel_for(in->dims[0], 1 + GRAIN / (w.channels * w.pixels + 1), interleave_range, &w);
    return LAC_OK;
}

const lac_fast *lac_fast_interleave(const lac_call *call)
{
    static const lac_fast fast = {0, 0, interleave_run};
    const lac_tensor *in = call->in[0];
    int64_t n;
    const int64_t *perm = lac_node_ints(call->node, "perm", &n);
    bool few = in->rank == 4 && perm && n == 4 && perm[0] == 0 && perm[1] == 2 && perm[2] == 3 &&
               perm[3] == 1 && (in->dtype == LAC_U8 || in->dtype == LAC_I8) && in->dims[1] >= 2 &&
               in->dims[1] <= 4;
    return few ? &fast : NULL;
}
