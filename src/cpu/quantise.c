/* See quantise.h. */
#include "cpu/quantise.h"

#include "core/parallel.h"
#include "cpu/panel.h"

enum { GRAIN = 32768 }; /* elements worth waking a thread */

typedef struct quantise {
    const lac_panel_moves *moves;
    lac_epilogue to;
    const float *x;
} quantise;

static void quantise_range(void *context, int64_t begin, int64_t end)
{
    const quantise *q = context;
    q->moves->quantise(&q->to, q->x + begin, end - begin, (char *)q->to.output + begin);
}

void lac_quantise_floats(const float *x, const lac_tensor *bytes, float scale, int32_t zero)
{
    quantise q = {.moves = lac_panel_moves_here(),
                  .to = {.output = bytes->data,
                         .dtype = bytes->dtype,
                         .output_scale = scale,
                         .output_zero = zero},
                  .x = x};
    lac_parallel_for(lac_tensor_count(bytes), GRAIN, quantise_range, &q);
}

void lac_quantise_beside(const lac_layer *layer)
{
    if (layer->beside.dtype != LAC_NONE)
        lac_quantise_floats(layer->output.data, &layer->beside, layer->output_scale,
                            layer->output_zero);
}
