/* See block_i8.h. */
#include "cpu/block_i8.h"

#include <stdio.h>
#include <string.h>

bool lac_block_i8_can_run(const lac_packed *packed, char *why, size_t why_size)
{
    int64_t c = lac_params_int(&packed->params, "c");
    if (c % 4 == 0)
        return true;
    if (why_size)
        snprintf(why, why_size, "blocks are %lld columns wide, no multiple of 4", (long long)c);
    return false;
}

void lac_block_i8_sum(const lac_packed *packed, int32_t *sum)
{
    lac_block_i8 w = lac_block_i8_of(packed);
    int64_t line = 4 * w.quads;
    memset(sum, 0, (size_t)packed->rows * sizeof *sum);
    for (int64_t first = 0, strip = 0; first < packed->rows; first += w.r, strip++)
        for (int64_t at = w.start[strip]; at < w.start[strip + 1]; at++)
            for (int64_t i = 0; i < w.r && first + i < packed->rows; i++)
                for (int64_t j = 0; j < line; j++)
                    sum[first + i] += w.values[at * w.bytes + i * line + j];
}

void lac_block_i8_dot(const lac_packed *packed, int64_t begin, int64_t end, const void *x,
                      void *sums)
{
    lac_block_i8 w = lac_block_i8_of(packed);
    const uint8_t *bytes = x;
    int64_t line = 4 * w.quads;
    for (int64_t n = begin; n < end; n++) {
        int64_t strip = n / w.r;
        int32_t sum = 0;
        for (int64_t at = w.start[strip]; at < w.start[strip + 1]; at++)
            for (int64_t j = 0; j < line; j++)
                sum += bytes[w.col[at] * line + j] * w.values[at * w.bytes + n % w.r * line + j];
        ((int32_t *)sums)[n - begin] = sum;
    }
}
