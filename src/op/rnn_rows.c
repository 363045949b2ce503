/* The rows LSTM, GRU and RNN: reading of attributes and shapes, and the LSTM as a layer. */
#include "op/rnn.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FLOATS LAC_NN_FLOATS

/* name, and the defaults of alpha and beta in the standard (those of the operator of that name) */
static const struct {
    const char *name;
    float alpha, beta;
} functions[] = {[LAC_RNN_SIGMOID] = {"Sigmoid", 0, 0},
                 [LAC_RNN_TANH] = {"Tanh", 0, 0},
                 [LAC_RNN_RELU] = {"Relu", 0, 0},
                 [LAC_RNN_AFFINE] = {"Affine", 1, 0},
                 [LAC_RNN_LEAKY_RELU] = {"LeakyRelu", 0.01F, 0},
                 [LAC_RNN_THRESHOLDED_RELU] = {"ThresholdedRelu", 1, 0},
                 [LAC_RNN_SCALED_TANH] = {"ScaledTanh", 1, 1},
                 [LAC_RNN_HARD_SIGMOID] = {"HardSigmoid", 0.2F, 0.5F},
                 [LAC_RNN_ELU] = {"Elu", 1, 0},
                 [LAC_RNN_SOFTSIGN] = {"Softsign", 0, 0},
                 [LAC_RNN_SOFTPLUS] = {"Softplus", 0, 0}};

static bool takes_alpha(lac_rnn_function kind)
{
    return functions[kind].alpha != 0;
}
static bool takes_beta(lac_rnn_function kind)
{
    return kind == LAC_RNN_AFFINE || functions[kind].beta != 0;
}

static lac_status read_activations(const lac_call *call, lac_rnn *g, lac_error *err)
{
    static const lac_rnn_function usual[5][3] = {
        [1] = {LAC_RNN_TANH},
        [3] = {LAC_RNN_SIGMOID, LAC_RNN_TANH},
        [4] = {LAC_RNN_SIGMOID, LAC_RNN_TANH, LAC_RNN_TANH}};
    int each = g->gates == 4 ? 3 : g->gates == 3 ? 2 : 1;
    const lac_attr *names = lac_node_attr(call->node, "activations");
    const lac_attr *alpha = lac_node_attr(call->node, "activation_alpha");
    const lac_attr *beta = lac_node_attr(call->node, "activation_beta");
    int64_t next_alpha = 0, next_beta = 0;
    if (names && names->type == LAC_ATTR_STRINGS && names->n == 0)
        names = NULL;
    if (names && (names->type != LAC_ATTR_STRINGS || names->n != each * g->directions))
        return lac_fail(err, LAC_ERROR_INPUT, "activations has %" PRId64 " entries, want %d",
                        names->n, each * g->directions);
    for (int i = 0; i < each * g->directions; i++) {
        lac_rnn_activation *f = &g->activation[i / each][i % each];
        f->kind = usual[g->gates][i % each];
        if (names) {
            size_t k = 0, count = sizeof functions / sizeof *functions;
            while (k < count && strcasecmp(functions[k].name, names->strings[i]) != 0)
                k++;
            if (k == count)
                return lac_fail(err, LAC_ERROR_INPUT, "activations[%d] is '%.40s': unknown", i,
                                names->strings[i]);
            f->kind = (lac_rnn_function)k;
        }
        f->alpha = functions[f->kind].alpha;
        f->beta = functions[f->kind].beta;
        /* the lists hold values only for functions that take them, in order */
        if (takes_alpha(f->kind) && alpha && alpha->type == LAC_ATTR_FLOATS &&
            next_alpha < alpha->n)
            f->alpha = alpha->floats[next_alpha++];
        if (takes_beta(f->kind) && beta && beta->type == LAC_ATTR_FLOATS && next_beta < beta->n)
            f->beta = beta->floats[next_beta++];
    }
    return LAC_OK;
}

lac_status lac_rnn_read(const lac_call *call, lac_rnn *g, lac_error *err)
{
    const lac_node *node = call->node;
    const lac_tensor *x = call->in[0], *r = call->in[2];
    int64_t count;
    memset(g, 0, sizeof *g);
    g->gates = strcmp(node->op, "LSTM") == 0 ? 4 : strcmp(node->op, "GRU") == 0 ? 3 : 1;
    LAC_TRY(lac_nn_shape(call, 0, 3, (int64_t[]){-1, -1, -1}, "X", err));
    LAC_TRY(lac_nn_shape(call, 2, 3, (int64_t[]){-1, -1, -1}, "R", err));
    const char *way = lac_node_string(node, "direction", "forward");
    g->directions = strcmp(way, "bidirectional") == 0 ? 2 : 1;
    g->reverse = strcmp(way, "reverse") == 0;
    if (g->directions == 1 && !g->reverse && strcmp(way, "forward") != 0)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "direction is '%.40s', want forward, reverse or bidirectional", way);
    g->layout = lac_node_int(node, "layout", 0) != 0;
    g->steps = x->dims[g->layout];
    g->batch = x->dims[!g->layout];
    g->in = x->dims[2];
    g->hidden = lac_node_int(node, "hidden_size", r->dims[2]);
    g->input_forget = lac_node_int(node, "input_forget", 0) != 0;
    g->linear_before_reset = lac_node_int(node, "linear_before_reset", 0) != 0;
    g->clip = lac_node_float(node, "clip", 0);
    if (g->hidden < 1 || g->hidden > INT32_MAX / 8)
        return lac_fail(err, LAC_ERROR_INPUT, "hidden_size is %" PRId64 ", outside 1..%d",
                        g->hidden, INT32_MAX / 8);
    int64_t d = g->directions, n = g->hidden, rows = g->gates * n;
    int64_t states[] = {g->layout ? g->batch : d, g->layout ? d : g->batch, n};
    LAC_TRY(lac_nn_shape(call, 1, 3, (int64_t[]){d, rows, g->in}, "W", err));
    LAC_TRY(lac_nn_shape(call, 2, 3, (int64_t[]){d, rows, n}, "R", err));
    LAC_TRY(lac_nn_shape(call, 3, 2, (int64_t[]){d, 2 * rows}, "B", err));
    LAC_TRY(lac_nn_shape(call, 4, 1, &g->batch, "sequence_lens", err));
    LAC_TRY(lac_nn_shape(call, 5, 3, states, "initial_h", err));
    if (g->gates == 4) {
        LAC_TRY(lac_nn_shape(call, 6, 3, states, "initial_c", err));
        LAC_TRY(lac_nn_shape(call, 7, 2, (int64_t[]){d, 3 * n}, "P", err));
    }
    LAC_TRY(lac_shape_count(4, (int64_t[]){g->steps, g->batch, rows, 8}, &count, err));
    return read_activations(call, g, err);
}

static lac_status infer(const lac_call *call, lac_error *err)
{
    lac_rnn g;
    int lstm = strcmp(call->node->op, "LSTM") == 0;
    LAC_TRY(lac_nn_count(call, 3, lstm ? 8 : 6, lstm ? 3 : 2, err));
    LAC_TRY(lac_nn_dtype(call, 0, FLOATS, err));
    for (int i = 1; i < call->n_in; i++)
        if (i != 4)
            LAC_TRY(lac_nn_same(call, i, err));
    LAC_TRY(lac_nn_dtype(call, 4, LAC_BIT(LAC_I32), err));
    LAC_TRY(lac_rnn_read(call, &g, err));
    int64_t y[2][4] = {{g.steps, g.directions, g.batch, g.hidden},
                       {g.batch, g.steps, g.directions, g.hidden}};
    int64_t h[2][3] = {{g.directions, g.batch, g.hidden}, {g.batch, g.directions, g.hidden}};
    lac_dtype dtype = call->in[0]->dtype;
    LAC_TRY(lac_op_out(call, 0, dtype, 4, y[g.layout], err));
    LAC_TRY(lac_op_out(call, 1, dtype, 3, h[g.layout], err));
    return lac_op_out(call, 2, dtype, 3, h[g.layout], err);
}

/* The tensors as they are, borrowed. */
static lac_status lstm_operands(const lac_call *call, const lac_rnn *g, lac_layer *layer,
                                lac_error *err)
{
    const lac_tensor *x = call->in[0], *b = lac_op_in(call, 3);
    const lac_tensor *y = lac_nn_out(call, 0), *h = lac_nn_out(call, 1), *c = lac_nn_out(call, 2);
    int64_t rows = 4 * g->hidden * g->directions;
    LAC_TRY(lac_layer_begin(layer, "lstm", err));
    LAC_TRY(lac_layer_dim_set(layer, "in", g->in, err));
    LAC_TRY(lac_layer_dim_set(layer, "hidden", g->hidden, err));
    LAC_TRY(lac_layer_dim_set(layer, "steps", g->steps, err));
    LAC_TRY(lac_layer_dim_set(layer, "batch", g->batch, err));
    snprintf(layer->name, sizeof layer->name, "%s", call->node->name);
    LAC_TRY(lac_layer_check(layer, err));
    layer->operator_gates = true;
    layer->steps_order = g->directions == 2 ? LAC_STEPS_BOTH
                         : g->reverse       ? LAC_STEPS_REVERSE
                                            : LAC_STEPS_FORWARD;
    layer->operand[LAC_ROLE_ACTIVATIONS].tensor = lac_tensor_view(x->dtype, 3, x->dims, x->data);
    layer->operand[LAC_ROLE_WEIGHTS].tensor =
        lac_tensor_view(LAC_F32, 2, (int64_t[]){rows, g->in}, call->in[1]->data);
    layer->operand[LAC_ROLE_RECURRENT].tensor =
        lac_tensor_view(LAC_F32, 2, (int64_t[]){rows, g->hidden}, call->in[2]->data);
    if (b)
        layer->operand[LAC_ROLE_BIAS].tensor =
            lac_tensor_view(LAC_F32, 1, (int64_t[]){2 * rows}, b->data);
    for (int i = 0; i < 2; i++) {
        const lac_tensor *state = lac_op_in(call, 5 + i);
        if (state)
            layer->operand[LAC_ROLE_STATE_H + i].tensor =
                lac_tensor_view(state->dtype, state->rank, state->dims, state->data);
    }
    int64_t all[] = {g->steps, g->batch, g->directions * g->hidden};
    if (y)
        layer->output = lac_tensor_view(y->dtype, 3, all, y->data);
    if (h)
        layer->last_h = lac_tensor_view(h->dtype, h->rank, h->dims, h->data);
    if (c)
        layer->last_c = lac_tensor_view(c->dtype, c->rank, c->dims, c->data);
    return LAC_OK;
}

/* The activations operand holds x only, the states what comes before the first step; who runs the
 * layer brings h along. */
static lac_status lstm_as_layer(const lac_call *call, lac_layer *layer, lac_error *err)
{
    lac_rnn g;
    LAC_TRY(lac_rnn_read(call, &g, err));
    const char *why = NULL;
    bool usual = true;
    for (int d = 0; d < g.directions; d++)
        for (int i = 0; i < 3; i++)
            usual &= g.activation[d][i].kind == (i ? LAC_RNN_TANH : LAC_RNN_SIGMOID);
    if (call->in[0]->dtype != LAC_F32)
        why = "other elements than float32";
    else if (lac_op_in(call, 4))
        why = "sequence_lens";
    else if (g.layout)
        why = "layout 1";
    else if (lac_op_in(call, 7))
        why = "peepholes";
    else if (g.clip != 0 || g.input_forget)
        why = "clip or input_forget";
    else if (!usual)
        why = "activations other than Sigmoid, Tanh, Tanh";
    if (why)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "an LSTM with %s is not a layer", why);
    lac_status status = lstm_operands(call, &g, layer, err);
    if (status != LAC_OK)
        lac_layer_release(layer);
    return status;
}

#define COMMON                                                                                     \
    "activation_alpha:floats activation_beta:floats activations:strings clip:float "               \
    "direction:string=forward hidden_size:int layout:int=0 output_sequence:int=0"

const lac_op lac_op_lstm = {
    .row = LAC_ROW(lac_op, "LSTM", "long short-term memory"),
    .domain = "",
    .since = 1,
    .dtypes = FLOATS,
    .attributes = COMMON " input_forget:int=0",
    .infer = infer,
    .run = lac_rnn_run,
    .as_layer = lstm_as_layer,
};
const lac_op lac_op_gru = {
    .row = LAC_ROW(lac_op, "GRU", "gated recurrent unit"),
    .domain = "",
    .since = 3,
    .dtypes = FLOATS,
    .attributes = COMMON " linear_before_reset:int=0",
    .infer = infer,
    .run = lac_rnn_run,
};
const lac_op lac_op_rnn = {
    .row = LAC_ROW(lac_op, "RNN", "recurrent layer with one activation"),
    .domain = "",
    .since = 1,
    .dtypes = FLOATS,
    .attributes = COMMON,
    .infer = infer,
    .run = lac_rnn_run,
};
