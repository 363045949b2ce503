/* See column_vectors.h. */
#include "cpu/column_vectors.h"

#include <stdio.h>

bool lac_vectors_can_run(const lac_packed *weights, char *why, size_t why_size)
{
    int kd = (int)lac_params_int(&weights->params, "kd");
    if (kd != 4 && why_size)
        snprintf(why, why_size, "steps of %d vectors are for tensor cores, only kd = 4", kd);
    return kd == 4;
}

void lac_vectors_sum(const lac_packed *weights, int32_t *sum)
{
    const int32_t *row = weights->field[LAC_SR_BCRS_ROW].data;
    const uint8_t *values = weights->field[LAC_SR_BCRS_VALUES].data;
    lac_sr_bcrs s;
    if (lac_sr_bcrs_of(weights, &s, NULL) != LAC_OK)
        return; /* never: it was packed */
    for (int64_t n = 0; n < weights->rows; n++) {
        int64_t strip = n / s.v;
        uint32_t total = 0;
        for (int64_t i = row[2 * strip]; i < row[2 * strip + 1]; i++)
            total += (uint32_t)lac_sr_bcrs_value(&s, values + i / s.kd * s.step_bytes,
                                                 (int)(n % s.v), (int)(i % s.kd));
        sum[n] = (int32_t)total;
    }
}

void lac_delta_sum(const lac_packed *weights, int32_t *sum)
{
    const int32_t *row = weights->field[LAC_DELTA_ROW].data;
    const int8_t *values = weights->field[LAC_DELTA_VALUES].data;
    for (int64_t n = 0; n < weights->rows; n++) {
        uint32_t total = 0;
        for (int64_t i = 4 * (int64_t)row[n]; i < 4 * (int64_t)row[n + 1]; i++)
            total += (uint32_t)values[i];
        sum[n] = (int32_t)total;
    }
}
