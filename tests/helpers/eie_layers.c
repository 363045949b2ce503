#include "helpers/eie_layers.h"

#include "core/random.h"
#include "format/share.h"

void eie_draw_weights(int8_t *weights, int64_t n, double density, uint64_t seed, int role)
{
    lac_random random = lac_random_stream(seed, (uint64_t)role);
    for (int64_t i = 0; i < n; i++) {
        double keep = lac_random_unit(&random);
        uint64_t r2 = lac_random_next(&random);
        int magnitude = 1 + (int)((r2 >> 32) % 127);
        weights[i] = (int8_t)(keep < density ? (r2 & 1 ? -magnitude : magnitude) : 0);
    }
}

void eie_linear_codes(const int8_t *weights, int64_t n, int32_t codebook[16], uint8_t *codes)
{
    int lo = 0, hi = 0;
    bool any = false;
    for (int64_t i = 0; i < n; i++) {
        if (weights[i] == 0)
            continue;
        lo = !any || weights[i] < lo ? weights[i] : lo;
        hi = !any || weights[i] > hi ? weights[i] : hi;
        any = true;
    }
    lac_share_linear_codebook(lo, hi, codebook);
    for (int64_t i = 0; i < n; i++)
        codes[i] = (uint8_t)lac_share_linear_code(codebook, weights[i]);
}
