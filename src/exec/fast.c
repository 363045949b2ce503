/* Fast bodies for operators that are no layers: QuantizeLinear per tensor, which stands before
 * every integer layer, with the same bits as the operator's own body (the quotient is
 * divided, not multiplied by the inverse); and the Transpose that brings
 * the few channels of an image side by side. */
#include "exec/exec.h"

#include "core/clones.h"
#include "core/parallel.h"
#include "cpu/quantise.h"

#include <string.h>

enum { GRAIN = 32768 }; /* elements worth waking a thread */

static lac_status quantize_run(const lac_call *call, lac_error *err)
{
    const lac_tensor *zero = call->n_in > 2 ? call->in[2] : NULL;
    (void)err;
    lac_quantise_floats(call->in[0]->data, &call->out[0], ((const float *)call->in[1]->data)[0],
                        zero ? (int32_t)lac_tensor_get(zero, 0) : 0);
    return LAC_OK;
}

/* ---- images of few channels, channels last ------------------------------------------------------
 */

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

static lac_status interleave_run(const lac_call *call, lac_error *err)
{
    const lac_tensor *in = call->in[0];
    interleave w = {.x = in->data,
                    .y = call->out[0].data,
                    .channels = in->dims[1],
                    .pixels = in->dims[2] * in->dims[3]};
    (void)err;
    lac_parallel_for(in->dims[0], 1 + GRAIN / (w.channels * w.pixels + 1), interleave_range, &w);
    return LAC_OK;
}

static bool is_interleave(const lac_call *call)
{
    const lac_tensor *in = call->in[0];
    int64_t n;
    const int64_t *perm = lac_node_ints(call->node, "perm", &n);
    return in->rank == 4 && perm && n == 4 && perm[0] == 0 && perm[1] == 2 && perm[2] == 3 &&
           perm[3] == 1 && (in->dtype == LAC_U8 || in->dtype == LAC_I8) && in->dims[1] >= 2 &&
           in->dims[1] <= 4;
}

static bool is_one(const lac_tensor *t)
{
    return !t || lac_tensor_count(t) == 1;
}

lac_fast_run lac_fast_find(const lac_call *call)
{
    const lac_node *node = call->node;
    bool bytes = call->out[0].dtype == LAC_I8 || call->out[0].dtype == LAC_U8;
    if (strcmp(node->op, "QuantizeLinear") == 0 && node->domain[0] == 0 && bytes &&
        call->in[0]->dtype == LAC_F32 && is_one(call->in[1]) &&
        is_one(call->n_in > 2 ? call->in[2] : NULL))
        return quantize_run;
    if (strcmp(node->op, "Transpose") == 0 && node->domain[0] == 0 && is_interleave(call))
        return interleave_run;
    return NULL;
}
