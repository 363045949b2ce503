/* The layers of a network with their operands, from one run: what simulators and schemes look at. */
#ifndef LACUNA_EXEC_CAPTURE_H
#define LACUNA_EXEC_CAPTURE_H

#include <lacuna/lacuna.h>

/* Gets each layer of the run in order, after its kernel's inputs are known: operands are deep copies
 * that `layer` owns (the callee may keep it and must then zero the struct it was given; else it is
 * released behind the call). Weights are float32 tensors, also where the file holds them as
 * integers or packed; `packed` (or NULL) is then the packed form, valid during the call only. The
 * output is empty. Another status than LAC_OK ends the capture with it. */
typedef lac_status (*lac_capture_layer)(void *context, lac_layer *layer,
                                        const struct lac_packed *packed, lac_error *err);

/* Runs `graph` once on `in` (one tensor per graph input) and shows every layer. `out`, where not
 * NULL, becomes the graph's outputs, which the caller releases. */
lac_status lac_capture(const lac_graph *graph, const lac_tensor *in, lac_tensor *out,
                       lac_capture_layer callback, void *context, lac_error *err);

#endif
