/* See vectors.h. */
#include "cpu/vectors.h"

#include <stdio.h>
#include <string.h>

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

void lac_vectors_dot_wide(const lac_packed *weights, int64_t first, int64_t last, const uint8_t *x,
                          int32_t *sums)
{
    const int32_t *row = weights->field[LAC_SR_BCRS_ROW].data;
    const int32_t *col = weights->field[LAC_SR_BCRS_COL].data;
    const uint8_t *values = weights->field[LAC_SR_BCRS_VALUES].data;
    int v = (int)lac_params_int(&weights->params, "v");
    for (int64_t strip = first; strip < last; strip++, sums += v) {
        uint32_t sum[8] = {0};
        for (int64_t i = row[2 * strip]; i < row[2 * strip + 1]; i++) {
            const uint8_t *low = values + i / 4 * 8 * v + i % 4, *high = low + 4 * v;
            for (int j = 0; j < v; j++)
                sum[j] += (uint32_t)(x[col[i]] * (int16_t)(low[4 * j] | high[4 * j] << 8));
        }
        memcpy(sums, sum, (size_t)v * sizeof *sums);
    }
}
