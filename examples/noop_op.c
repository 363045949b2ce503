/* example.NoOp: an operator that hands its input on. The smallest row of the operator table; a
 * plug-in and a built-in alike: see plugin_accel.c. */
#include <lacuna/op.h>
#include <string.h>

static lac_status infer(const lac_call *call, lac_error *err)
{
    if (call->n_in != 1 || !call->in[0])
        return lac_fail(err, LAC_ERROR_INPUT, "NoOp has %d inputs, want 1", call->n_in);
    if (call->n_out != 1)
        return lac_fail(err, LAC_ERROR_INPUT, "NoOp has %d outputs, want 1", call->n_out);
    if (call->in[0]->dtype != LAC_F32)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "NoOp of %s, want float32",
                        lac_dtype_name(call->in[0]->dtype));
    call->out[0].dtype = call->in[0]->dtype;
    call->out[0].rank = call->in[0]->rank;
    memcpy(call->out[0].dims, call->in[0]->dims, sizeof call->out[0].dims);
    return LAC_OK;
}

static lac_status run(const lac_call *call, lac_error *err)
{
    (void)err;
    if (call->out[0].data != call->in[0]->data) /* LAC_OP_VIEW: they may be the same bytes */
        memcpy(call->out[0].data, call->in[0]->data, lac_tensor_bytes(call->in[0]));
    return LAC_OK;
}

const lac_op lac_op_noop = {
    .row = LAC_ROW(lac_op, "NoOp", "the input unchanged"),
    .domain = "example",
    .since = 1,
    .dtypes = LAC_BIT(LAC_F32),
    .attributes = "",
    .flags = LAC_OP_VIEW | LAC_OP_ELEMENTWISE,
    .infer = infer,
    .run = run,
};

#ifdef LACUNA_PLUGIN_H
lac_status lac_plugin_load(lac_error *err)
{
    return lac_register_op(&lac_op_noop, err);
}
#endif
