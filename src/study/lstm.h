/* The hidden states that a captured LSTM meets, for simulators that see it as matrix products. */
#ifndef LACUNA_STUDY_LSTM_H
#define LACUNA_STUDY_LSTM_H

#include <lacuna/layer.h>

/* Runs the float32 layer (weights in gate order i, g, f, o) and replaces its activations x
 * [steps][batch][in] by [steps][batch][in + hidden]: x_t, then h_{t-1}. Drops bias and states. */
lac_status lac_lstm_unroll(lac_layer *layer, lac_error *err);

#endif
