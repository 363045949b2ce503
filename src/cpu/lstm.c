/* See lstm.h: packing, memory, and the order of a run. */
#include "cpu/lstm.h"

#include "core/memory.h"
#include "core/parallel.h"

#include <stdio.h>
#include <string.h>

/* Rows whose products with W are made at once: enough for the tiles of any instruction set, few
 * enough that the sums stay in a cache. Multiply-accumulates worth a thread, see exec.h. */
enum { CHUNK_ROWS = 48, THREAD_MACS = 400000 };

static void weights_release(void *object)
{
    lac_lstm_weights *weights = object;
    lac_free(weights->w);
    lac_free(weights->u);
    lac_free(weights->bias);
    lac_free(weights);
}

/* [4 * hidden][k] of one direction -> panels */
static void pack(const lac_lstm *l, const float *from, int64_t k, float *to)
{
    int64_t wide = LAC_LSTM_GATES * l->lanes;
    for (int64_t gate = 0; gate < LAC_LSTM_GATES; gate++)
        for (int64_t unit = 0; unit < l->hidden; unit++) {
            const float *row = from + (gate * l->hidden + unit) * k;
            float *at = to + unit / l->lanes * k * wide + gate * l->lanes + unit % l->lanes;
            for (int64_t i = 0; i < k; i++)
                at[i * wide] = row[i];
        }
}

static lac_status weights_make(const lac_layer *layer, const lac_lstm *l,
                               lac_lstm_weights **weights, lac_error *err)
{
    const float *w = layer->operand[LAC_ROLE_WEIGHTS].tensor.data;
    const float *u = layer->operand[LAC_ROLE_RECURRENT].tensor.data;
    const float *bias = layer->operand[LAC_ROLE_BIAS].tensor.data;
    lac_lstm_weights *made = lac_alloc(1, sizeof *made, err);
    if (!made)
        return LAC_ERROR_MEMORY;
    size_t units = (size_t)(l->directions * l->padded), gates = LAC_LSTM_GATES * sizeof(float);
    made->w = lac_alloc(units * (size_t)l->in, gates, err);
    made->u = lac_alloc(units * (size_t)l->hidden, gates, err);
    made->bias = lac_alloc(units, gates, err);
    if (!made->w || !made->u || !made->bias) {
        weights_release(made);
        return LAC_ERROR_MEMORY;
    }
    made->bytes = units * gates * (size_t)(l->in + l->hidden + 1);
    int64_t rows = LAC_LSTM_GATES * l->hidden, wide = LAC_LSTM_GATES * l->padded;
    for (int64_t d = 0; d < l->directions; d++) {
        pack(l, w + d * rows * l->in, l->in, made->w + d * wide * l->in);
        pack(l, u + d * rows * l->hidden, l->hidden, made->u + d * wide * l->hidden);
        for (int64_t i = 0; bias && i < rows; i++) {
            int64_t gate = i / l->hidden, unit = i % l->hidden;
            const float *both = bias + d * 2 * rows;
            made->bias[d * wide + unit / l->lanes * LAC_LSTM_GATES * l->lanes + gate * l->lanes +
                       unit % l->lanes] = both[i] + both[rows + i];
        }
    }
    *weights = made;
    return LAC_OK;
}

/* Those that another plan has packed already, or new ones. */
static lac_status weights_of(const lac_layer *layer, lac_lstm *l, lac_error *err)
{
    struct {
        const void *u, *bias;
        int64_t in, hidden, directions, lanes;
    } key = {layer->operand[LAC_ROLE_RECURRENT].tensor.data,
             layer->operand[LAC_ROLE_BIAS].tensor.data,
             l->in,
             l->hidden,
             l->directions,
             l->lanes};
    const void *source = layer->operand[LAC_ROLE_WEIGHTS].tensor.data;
    l->store = layer->store;
    l->weights = lac_store_find(l->store, source, &key, sizeof key, weights_release);
    if (l->weights)
        return LAC_OK;
    lac_lstm_weights *made;
    LAC_TRY(weights_make(layer, l, &made, err));
    lac_status status =
        lac_store_put(l->store, source, &key, sizeof key, weights_release, made, err);
    if (status == LAC_OK)
        l->weights = made;
    else
        weights_release(made);
    return status;
}

/* ---- which layers ---- */

static bool holds(const lac_layer *layer, lac_role role, int64_t count)
{
    const lac_tensor *tensor = &layer->operand[role].tensor;
    return tensor->dtype == LAC_F32 && lac_tensor_count(tensor) == count;
}

static bool absent(const lac_layer *layer, lac_role role)
{
    return layer->operand[role].tensor.dtype == LAC_NONE;
}

static void geometry(const lac_layer *layer, lac_lstm *l)
{
    l->in = lac_layer_dim_get(layer, "in");
    l->hidden = lac_layer_dim_get(layer, "hidden");
    l->steps = lac_layer_dim_get(layer, "steps");
    l->batch = lac_layer_dim_get(layer, "batch");
    l->order = layer->steps_order;
    l->directions = l->order == LAC_STEPS_BOTH ? 2 : 1;
}

bool lac_lstm_can_run(const lac_layer *layer, char *why, size_t why_size)
{
    lac_lstm l = {0};
    const char *reason = NULL;
    geometry(layer, &l);
    int64_t rows = l.directions * LAC_LSTM_GATES * l.hidden;
    int64_t states = l.directions * l.batch * l.hidden;
    const lac_tensor *u = &layer->operand[LAC_ROLE_RECURRENT].tensor;
    const lac_tensor *bias = &layer->operand[LAC_ROLE_BIAS].tensor;
    if (!layer->operator_gates)
        reason = "gate sums alone";
    else if (!holds(layer, LAC_ROLE_WEIGHTS, rows * l.in) ||
             !holds(layer, LAC_ROLE_RECURRENT, rows * l.hidden) ||
             !layer->operand[LAC_ROLE_WEIGHTS].tensor.data || !u->data)
        reason = "weights are not constants of float32";
    else if (!absent(layer, LAC_ROLE_BIAS) &&
             (!holds(layer, LAC_ROLE_BIAS, 2 * rows) || !bias->data))
        reason = "bias is no constant of float32";
    else if (!holds(layer, LAC_ROLE_ACTIVATIONS, l.steps * l.batch * l.in) ||
             (!absent(layer, LAC_ROLE_STATE_H) && !holds(layer, LAC_ROLE_STATE_H, states)) ||
             (!absent(layer, LAC_ROLE_STATE_C) && !holds(layer, LAC_ROLE_STATE_C, states)))
        reason = "inputs or states are not float32";
    else if (layer->input_layout != LAC_LAYOUT_ROWS || layer->output_layout != LAC_LAYOUT_ROWS)
        reason = "activations stand in another layout";
    if (reason && why_size)
        snprintf(why, why_size, "%s", reason);
    return !reason;
}

double lac_lstm_seconds(const lac_layer *layer, int lanes, double seconds_per_mac)
{
    /* Hidden units come in whole vectors. 20 ns: the gate functions of 16 units, as all figures of
     * the rows measured by lacuna bench on one core of an AMD EPYC 9xx4. */
    double hidden = (double)lac_layer_dim_get(layer, "hidden");
    double padded = (double)((lac_layer_dim_get(layer, "hidden") + lanes - 1) / lanes * lanes);
    double units = padded * (double)lac_layer_dim_get(layer, "steps") *
                   (double)lac_layer_dim_get(layer, "batch");
    double macs = (double)layer->kind->macs(layer) * padded / hidden;
    return 1e-6 + seconds_per_mac * macs + units / 16 * 20e-9;
}

/* ---- states ---- */

void lac_lstm_release(void *state)
{
    lac_lstm *l = state;
    if (!l)
        return;
    lac_store_drop(l->store, weights_release, l->weights);
    lac_free(l->memory);
    lac_free(l);
}

size_t lac_lstm_bytes(const void *state)
{
    return ((const lac_lstm *)state)->weights->bytes;
}

static lac_status lay_out(lac_lstm *l, lac_error *err)
{
    int64_t wide = LAC_LSTM_GATES * l->padded, states, gates, count;
    l->chunk = l->batch < CHUNK_ROWS ? CHUNK_ROWS / l->batch : 1;
    if (l->chunk > l->steps)
        l->chunk = l->steps;
    LAC_TRY(lac_shape_count(3, (int64_t[]){l->directions, l->batch, l->padded}, &states, err));
    LAC_TRY(lac_shape_count(4, (int64_t[]){l->directions, l->chunk, l->batch, wide}, &gates, err));
    LAC_TRY(lac_shape_count(2, (int64_t[]){4, states > gates ? states : gates}, &count, err));
    l->memory = lac_alloc((size_t)(gates + 3 * states), sizeof(float), err);
    if (!l->memory)
        return LAC_ERROR_MEMORY;
    l->gates = l->memory;
    l->h[0] = l->gates + gates;
    l->h[1] = l->h[0] + states;
    l->c = l->h[1] + states;
    return LAC_OK;
}

lac_status lac_lstm_prepare(const lac_layer *layer, int lanes, void **state, lac_error *err)
{
    lac_lstm *l = lac_alloc(1, sizeof *l, err);
    if (!l)
        return LAC_ERROR_MEMORY;
    geometry(layer, l);
    l->lanes = lanes;
    l->panels = (l->hidden + lanes - 1) / lanes;
    l->padded = l->panels * lanes;
    lac_status status = lay_out(l, err);
    if (status == LAC_OK)
        status = weights_of(layer, l, err);
    if (status == LAC_OK)
        *state = l;
    else
        lac_lstm_release(l);
    return status;
}

/* ---- a run ---- */

/* Rows [directions * batch] of `hidden` values between the caller's tensor and rows of `padded`. */
static void load_state(const lac_lstm *l, const lac_layer *layer, lac_role role, float *to)
{
    const float *from = layer->operand[role].tensor.data;
    int64_t rows = l->directions * l->batch;
    if (!from)
        memset(to, 0, (size_t)(rows * l->padded) * sizeof *to);
    for (int64_t i = 0; from && i < rows; i++)
        memcpy(to + i * l->padded, from + i * l->hidden, (size_t)l->hidden * sizeof *to);
}

static void store_state(const lac_lstm *l, const float *from, const lac_tensor *to)
{
    for (int64_t i = 0; to->data && i < l->directions * l->batch; i++)
        memcpy((float *)to->data + i * l->hidden, from + i * l->padded,
               (size_t)l->hidden * sizeof *from);
}

lac_status lac_lstm_run(const lac_layer *layer, lac_lstm *l, lac_error *err)
{
    int64_t items = l->directions * l->panels, gates = LAC_LSTM_GATES * l->lanes;
    (void)err;
    l->x = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.data;
    l->y = layer->output.data;
    l->from_zero = !layer->operand[LAC_ROLE_STATE_H].tensor.data;
    load_state(l, layer, LAC_ROLE_STATE_H, l->h[0]);
    load_state(l, layer, LAC_ROLE_STATE_C, l->c);
    for (l->first = 0; l->first < l->steps; l->first += l->chunk) {
        l->count = l->steps - l->first < l->chunk ? l->steps - l->first : l->chunk;
        lac_parallel_for(items, 1 + THREAD_MACS / (l->count * l->batch * l->in * gates), l->inputs,
                         l);
        for (l->step = l->first; l->step < l->first + l->count; l->step++)
            lac_parallel_for(items, 1 + THREAD_MACS / (l->batch * l->hidden * gates), l->advance,
                             l);
    }
    store_state(l, l->h[l->steps % 2], &layer->last_h);
    store_state(l, l->c, &layer->last_c);
    return LAC_OK;
}
