/* Inputs for commands that need one run of a network: a stored sample, given files, or noise. */
#ifndef LACUNA_STUDY_SAMPLE_H
#define LACUNA_STUDY_SAMPLE_H

#include "study/model.h"

#include <lacuna/scheme.h>

/* The data of the model's first task that opens; *dataset NULL when none does. Close it. */
lac_status lac_sample_dataset(const lac_model *model, lac_dataset **dataset, lac_error *err);

/* One tensor per graph input: item `index` of `dataset`, or, without one (NULL) or with `sizes`
 * ("N=1,T=32"), seeded noise of the inputs' shapes, symbols not named being 1. *source says which.
 * Release each and free the array with lac_free. */
lac_status lac_sample_inputs(const lac_model *model, lac_dataset *dataset, int64_t index,
                             const char *sizes, lac_tensor **in, char *source, size_t source_size,
                             lac_error *err);

/* lac_sample_dataset, and the part of it that calibrates; `calibration` borrows the data set. */
lac_status lac_sample_calibration(const lac_model *model, lac_dataset **dataset,
                                  lac_calibration *calibration, int64_t *left_out, lac_error *err);

#endif
