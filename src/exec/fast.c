/* Fast bodies for operators that are no layers: QuantizeLinear per tensor, which stands before
 * every integer layer. Same bits as the operator's own body: the quotient is that of a division. */
#include "exec/exec.h"

#include "core/parallel.h"
#include "cpu/panel.h"

#include <string.h>

enum { GRAIN = 32768 }; /* elements worth waking a thread */

typedef struct quantize {
    const lac_panel_moves *moves;
    lac_epilogue to;
    const float *x;
} quantize;

static const lac_panel_moves *moves(void)
{
    uint32_t isa = 0;
    if (lac_isa(&isa, NULL) != LAC_OK)
        return NULL;
#if defined(__x86_64__)
    if (isa & LAC_ISA_AVX512)
        return &lac_panel_moves_avx512;
    if (isa & LAC_ISA_AVX2)
        return &lac_panel_moves_avx2;
#endif
    return &lac_panel_moves_ref;
}

static void quantize_range(void *context, int64_t begin, int64_t end)
{
    const quantize *q = context;
    q->moves->quantise(&q->to, q->x + begin, end - begin, (char *)q->to.output + begin);
}

static lac_status quantize_run(const lac_call *call, lac_error *err)
{
    const lac_tensor *zero = call->n_in > 2 ? call->in[2] : NULL;
    quantize q = {.moves = moves(),
                  .to = {.output = call->out[0].data,
                         .dtype = call->out[0].dtype,
                         .output_scale = ((const float *)call->in[1]->data)[0],
                         .output_zero = zero ? (int32_t)lac_tensor_get(zero, 0) : 0},
                  .x = call->in[0]->data};
    (void)err;
    lac_parallel_for(lac_tensor_count(call->in[0]), GRAIN, quantize_range, &q);
    return LAC_OK;
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
        is_one(call->n_in > 2 ? call->in[2] : NULL) && moves())
        return quantize_run;
    return NULL;
}
