/* What the files of the systolic row share. */
#ifndef LACUNA_ACCEL_SYSTOLIC_SYSTOLIC_H
#define LACUNA_ACCEL_SYSTOLIC_SYSTOLIC_H

#include <lacuna/accel.h>

#include "accel/systolic/schedule.h"

/* Rows against the public tool and the published formula. */
lac_status systolic_reproduce(const lac_params *params, const char *data_dir,
                              void (*row)(void *context, const lac_reproduced *row), void *context,
                              lac_error *err);

extern const lac_accel lac_accel_systolic;

#endif
