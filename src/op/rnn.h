/* Geometry and attributes of LSTM, GRU and RNN, and the run they share. */
#ifndef LACUNA_OP_RNN_H
#define LACUNA_OP_RNN_H

#include "op/nn.h"

typedef enum lac_rnn_function {
    LAC_RNN_SIGMOID,
    LAC_RNN_TANH,
    LAC_RNN_RELU,
    LAC_RNN_AFFINE,
    LAC_RNN_LEAKY_RELU,
    LAC_RNN_THRESHOLDED_RELU,
    LAC_RNN_SCALED_TANH,
    LAC_RNN_HARD_SIGMOID,
    LAC_RNN_ELU,
    LAC_RNN_SOFTSIGN,
    LAC_RNN_SOFTPLUS
} lac_rnn_function;

typedef struct lac_rnn_activation {
    lac_rnn_function kind;
    float alpha, beta;
} lac_rnn_activation;

typedef struct lac_rnn {
    int gates; /* 4: LSTM, 3: GRU, 1: RNN */
    int64_t steps, batch, in, hidden;
    int directions;
    bool reverse, layout, input_forget, linear_before_reset;
    float clip; /* 0: none */
    lac_rnn_activation activation[2][3];
} lac_rnn;

/* Attributes and shapes, all checked. */
lac_status lac_rnn_read(const lac_call *call, lac_rnn *geometry, lac_error *err);
lac_status lac_rnn_run(const lac_call *call, lac_error *err);

#endif
