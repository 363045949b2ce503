/* See lstm.h. Equations: ONNX LSTM with Sigmoid, Tanh, Tanh; one pass, in double. */
#include "study/lstm.h"

#include "core/memory.h"

#include <math.h>
#include <string.h>

typedef struct lstm {
    int64_t in, hidden, steps, batch;
    const float *w, *u, *bias;
    double *h, *c, *gates; /* h, c: [batch][hidden] */
} lstm;

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* One step of one batch element: reads x and h (both in `row`), renews h and c. */
static void step(const lstm *l, const float *row, double *h, double *c)
{
    for (int64_t g = 0; g < 4 * l->hidden; g++) {
        double sum = l->bias ? (double)l->bias[g] : 0;
        for (int64_t k = 0; k < l->in; k++)
            sum += (double)l->w[g * l->in + k] * (double)row[k];
        for (int64_t k = 0; k < l->hidden; k++)
            sum += (double)l->u[g * l->hidden + k] * h[k];
        l->gates[g] = sum;
    }
    for (int64_t k = 0; k < l->hidden; k++) { /* i, g, f, o */
        const double *gate = l->gates + k;
        c[k] = sigmoid(gate[2 * l->hidden]) * c[k] + sigmoid(gate[0]) * tanh(gate[l->hidden]);
        h[k] = sigmoid(gate[3 * l->hidden]) * tanh(c[k]);
    }
}

static lac_status load_state(const lac_layer *layer, lac_role role, int64_t count, double *state,
                             lac_error *err)
{
    const lac_tensor *given = &layer->operand[role].tensor;
    if (given->data && lac_tensor_count(given) != count)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "an initial state of %lld elements, want %lld",
                        (long long)lac_tensor_count(given), (long long)count);
    for (int64_t i = 0; given->data && i < count; i++)
        state[i] = lac_tensor_get(given, i);
    return LAC_OK;
}

static lac_status unroll(const lstm *l, const lac_layer *layer, lac_tensor *whole, lac_error *err)
{
    const float *x = layer->operand[LAC_ROLE_ACTIVATIONS].tensor.data;
    int64_t width = l->in + l->hidden;
    LAC_TRY(load_state(layer, LAC_ROLE_STATE_H, l->batch * l->hidden, l->h, err));
    LAC_TRY(load_state(layer, LAC_ROLE_STATE_C, l->batch * l->hidden, l->c, err));
    LAC_TRY(lac_tensor_make(whole, LAC_F32, 3, (int64_t[]){l->steps, l->batch, width}, err));
    for (int64_t s = 0; s < l->steps * l->batch; s++) {
        float *row = (float *)whole->data + s * width;
        double *h = l->h + s % l->batch * l->hidden, *c = l->c + s % l->batch * l->hidden;
        memcpy(row, x + s * l->in, (size_t)l->in * sizeof *row);
        for (int64_t k = 0; k < l->hidden; k++)
            row[l->in + k] = (float)h[k];
        step(l, row, h, c);
    }
    return LAC_OK;
}

lac_status lac_lstm_unroll(lac_layer *layer, lac_error *err)
{
    lac_operand *operand = layer->operand;
    lstm l = {.in = lac_layer_dim_get(layer, "in"),
              .hidden = lac_layer_dim_get(layer, "hidden"),
              .steps = lac_layer_dim_get(layer, "steps"),
              .batch = lac_layer_dim_get(layer, "batch"),
              .w = operand[LAC_ROLE_WEIGHTS].tensor.data,
              .u = operand[LAC_ROLE_RECURRENT].tensor.data,
              .bias = operand[LAC_ROLE_BIAS].tensor.data};
    const lac_tensor *x = &operand[LAC_ROLE_ACTIVATIONS].tensor;
    if (!l.w || !l.u || x->dtype != LAC_F32 || operand[LAC_ROLE_WEIGHTS].tensor.dtype != LAC_F32 ||
        lac_tensor_count(x) != l.steps * l.batch * l.in)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "an lstm whose operands are not float32");
    size_t states = (size_t)(l.batch * l.hidden);
    l.h = lac_alloc(states, sizeof *l.h, err);
    l.c = lac_alloc(states, sizeof *l.c, err);
    l.gates = lac_alloc(4 * (size_t)l.hidden, sizeof *l.gates, err);
    lac_tensor whole = {0};
    lac_status status = l.h && l.c && l.gates ? unroll(&l, layer, &whole, err) : LAC_ERROR_MEMORY;
    lac_free(l.h);
    lac_free(l.c);
    lac_free(l.gates);
    if (status != LAC_OK)
        return status;
    lac_tensor_release(&operand[LAC_ROLE_ACTIVATIONS].tensor);
    operand[LAC_ROLE_ACTIVATIONS].tensor = whole;
    lac_tensor_release(&operand[LAC_ROLE_BIAS].tensor);
    lac_tensor_release(&operand[LAC_ROLE_STATE_H].tensor);
    lac_tensor_release(&operand[LAC_ROLE_STATE_C].tensor);
    return LAC_OK;
}
