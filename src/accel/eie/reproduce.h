/* Published figures of EIE beside ours, and the real layer that the authors published. */
#ifndef LACUNA_ACCEL_EIE_REPRODUCE_H
#define LACUNA_ACCEL_EIE_REPRODUCE_H

#include <lacuna/accel.h>

/* AlexNet FC8 (4096 -> 1000) pruned and shared, with one real input: the int16 layer in `folder`
 * (data set eie_fc8). Weights Q3.12, activations Q8.8; biases in operand LAC_ROLE_BIAS. Release
 * with lac_layer_release. */
lac_status lac_eie_fc8_load(lac_layer *layer, const char *folder, lac_error *err);

lac_status lac_eie_reproduce(const lac_params *params, const char *data_dir,
                             void (*row)(void *context, const struct lac_reproduced *row),
                             void *context, lac_error *err);

/* Of `pe` PEs and their LNZD nodes, 45 nm (EIE's table of one PE, from memory). */
double lac_eie_power_mw(int64_t pe);
double lac_eie_area_mm2(int64_t pe);

#endif
