/* LSTM layers as their operator has them: what the kernels of all instruction sets share.
 *
 * Weights are packed in panels of `lanes` hidden units with their four gates side by side
 * ([panel][k][gate][lane]), so that one pass over a panel finishes these units of h and c. The
 * inputs of some steps at a time meet W in one product; then each step adds h U and applies the
 * gates. Items of every parallel loop are panels of directions: they read the h of the step before
 * and write the next one's, in another buffer. */
#ifndef LACUNA_CPU_LSTM_H
#define LACUNA_CPU_LSTM_H

#include <lacuna/kernel.h>

enum { LAC_LSTM_GATES = 4 };

/* Of all directions, one behind the other; units past the last have weights and bias 0. */
typedef struct lac_lstm_weights {
    float *w;    /* [directions][panels][in][gates * lanes] */
    float *u;    /* [directions][panels][hidden][gates * lanes] */
    float *bias; /* [directions][panels][gates * lanes] */
    size_t bytes;
} lac_lstm_weights;

typedef struct lac_lstm {
    int64_t in, hidden, steps, batch;
    int64_t directions, panels, lanes, padded; /* padded: hidden rounded up to lanes */
    lac_steps_order order;
    lac_store *store;
    lac_lstm_weights *weights;
    int64_t chunk; /* steps whose inputs are multiplied at once */
    float *memory;
    float *gates; /* [directions * panels][chunk * batch][gates * lanes], steps in order of time */
    float *h[2];  /* [directions][batch][padded]; h[i % 2] is what step i reads */
    float *c;     /* the same */
    /* during a run */
    const float *x;
    float *y;             /* or NULL */
    int64_t first, count; /* steps of the chunk, by the order in which they are taken */
    int64_t step;         /* the running one of them */
    bool from_zero;       /* the first h is 0 */
    void (*inputs)(void *lstm, int64_t begin, int64_t end); /* bodies, over panels */
    void (*advance)(void *lstm, int64_t begin, int64_t end);
} lac_lstm;

static inline bool lac_lstm_backwards(const lac_lstm *l, int64_t direction)
{
    return direction == 1 || l->order == LAC_STEPS_REVERSE;
}

/* The parts of a kernel row that know no instruction set. */
bool lac_lstm_can_run(const lac_layer *layer, char *why, size_t why_size);
double lac_lstm_seconds(const lac_layer *layer, int lanes, double seconds_per_mac);
lac_status lac_lstm_prepare(const lac_layer *layer, int lanes, void **state, lac_error *err);
/* With inputs and advance set. */
lac_status lac_lstm_run(const lac_layer *layer, lac_lstm *l, lac_error *err);
void lac_lstm_release(void *state);
size_t lac_lstm_bytes(const void *state);

#endif
