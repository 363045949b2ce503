/* Capture is a layer runner that copies what it is shown and lets the kernel compute. */
#include "exec/capture.h"

#include "core/memory.h"

#include <lacuna/format.h>
#include <string.h>

typedef struct capture {
    lac_capture_layer callback;
    void *context;
    lac_status status; /* of the callback, when it was not LAC_OK */
} capture;

/* Float weights from what the layer has: packed, integers with scales, or floats. */
static lac_status copy_weights(lac_operand *to, const lac_operand *from, lac_error *err)
{
    lac_tensor raw;
    if (from->packed)
        LAC_TRY(lac_unpack(from->packed, &raw, err));
    else
        lac_tensor_share(&raw, &from->tensor);
    lac_status status = lac_tensor_convert(&to->tensor, LAC_F32, &raw, err);
    lac_tensor_release(&raw);
    LAC_TRY(status);
    if (from->packed) {
        to->transposed = from->packed->view == LAC_VIEW_COLUMNS;
        to->packed = NULL;
    }
    if (from->scale_count && to->tensor.rank >= 1) {
        float *w = to->tensor.data;
        int64_t count = lac_tensor_count(&to->tensor), last = to->tensor.dims[to->tensor.rank - 1];
        int64_t rows = to->transposed ? last : to->tensor.dims[0];
        for (int64_t i = 0; i < count; i++) {
            int64_t row = to->transposed ? i % last : i / (count / rows);
            w[i] = (w[i] - (float)from->zero_point) * from->scale[from->scale_count > 1 ? row : 0];
        }
        to->scale = NULL;
        to->scale_count = 0;
        to->zero_point = 0;
    }
    return LAC_OK;
}

static lac_status copy_layer(lac_layer *copy, const lac_layer *layer, lac_error *err)
{
    *copy = *layer;
    copy->store = NULL; /* the copy may outlive the session */
    memset(&copy->output, 0, sizeof copy->output);
    memset(&copy->last_h, 0, sizeof copy->last_h);
    memset(&copy->last_c, 0, sizeof copy->last_c);
    for (int role = 0; role < LAC_ROLE_LIMIT; role++)
        memset(&copy->operand[role].tensor, 0, sizeof copy->operand[role].tensor);
    for (int role = 0; role < LAC_ROLE_LIMIT; role++) {
        const lac_operand *from = &layer->operand[role];
        if (role == LAC_ROLE_WEIGHTS && (from->packed || from->tensor.data))
            LAC_TRY(copy_weights(&copy->operand[role], from, err));
        else if (from->tensor.data)
            LAC_TRY(lac_tensor_copy(&copy->operand[role].tensor, &from->tensor, err));
    }
    return LAC_OK;
}

static lac_status show(void *context, const lac_layer *layer, lac_error *err)
{
    capture *c = context;
    lac_layer *copy = lac_alloc(1, sizeof *copy, err);
    if (!copy)
        return LAC_ERROR_MEMORY;
    lac_status status = copy_layer(copy, layer, err);
    if (status == LAC_OK)
        status = c->callback(c->context, copy, layer->operand[LAC_ROLE_WEIGHTS].packed, err);
    lac_layer_release(copy);
    lac_free(copy);
    c->status = status;
    if (status == LAC_ERROR_UNSUPPORTED)
        return LAC_ERROR_INPUT; /* not to be taken for "let the kernel run it" */
    return status == LAC_OK ? LAC_ERROR_UNSUPPORTED : status;
}

lac_status lac_capture(const lac_graph *graph, const lac_tensor *in, lac_tensor *out,
                       lac_capture_layer callback, void *context, lac_error *err)
{
    capture c = {callback, context, LAC_OK};
    lac_session_options options = {.runner = show, .runner_context = &c};
    lac_session *session;
    lac_tensor *own = lac_alloc((size_t)graph->n_outputs + 1, sizeof *own, err);
    if (!own)
        return LAC_ERROR_MEMORY;
    lac_status status = lac_session_make(&session, graph, &options, err);
    if (status == LAC_OK) {
        status = lac_session_run(session, in, own, err);
        lac_session_free(session);
    }
    for (int k = 0; status == LAC_OK && k < graph->n_outputs; k++)
        if (out)
            out[k] = own[k];
        else
            lac_tensor_release(&own[k]);
    lac_free(own);
    return status != LAC_OK && c.status != LAC_OK ? c.status : status;
}
