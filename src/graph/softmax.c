/* Exponentials are a table of one octave and a shift, so that the same bits come out on every
 * machine. Widths and table are our choice; they only fix the numbers to compare with. */
#include "graph/softmax.h"

#include <inttypes.h>
#include <math.h>

/* floor(65536 * 2^(-f/256) + 0.5) */
static const uint32_t octave[256] = {
#include "graph/softmax_lut.inc"
};

uint32_t lac_softmax_weight(uint64_t t)
{
    return t >> 8 > 31 ? 0 : octave[t & 255] >> (t >> 8);
}

uint64_t lac_isqrt(uint64_t value)
{
    uint64_t root = (uint64_t)sqrt((double)value); /* right to one or two units: correct it */
    while (root > UINT32_MAX || root * root > value)
        root--;
    while (root < UINT32_MAX && (root + 1) * (root + 1) <= value)
        root++;
    return root;
}

lac_status lac_softmax_multiplier(const lac_layer *layer, int64_t *multiplier, lac_error *err)
{
    const lac_operand *q = &layer->operand[LAC_ROLE_QUERY], *k = &layer->operand[LAC_ROLE_KEY];
    if (layer->softmax_scale == 0 || q->scale_count == 0 || k->scale_count == 0) {
        *multiplier =
            (int64_t)lac_isqrt(UINT64_C(20268647424) / (uint64_t)lac_layer_dim_get(layer, "dim"));
        return LAC_OK;
    }
    if (q->scale_count != 1 || k->scale_count != 1)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "%s: query and key need one scale each, not %" PRId64 " and %" PRId64,
                        layer->name, q->scale_count, k->scale_count);
    const double log2_e = 1.4426950408889634;
    double factor = layer->softmax_scale * q->scale[0] * k->scale[0] * log2_e * 256 * 0x1p20;
    if (!(factor >= 0.5 && factor < 0x1p30)) /* a score difference of 33 bits still fits int64 */
        return lac_fail(err, LAC_ERROR_INPUT, "%s: softmax scale %g is outside 2^-1..2^30",
                        layer->name, factor);
    *multiplier = (int64_t)(factor + 0.5);
    return LAC_OK;
}

void lac_softmax_row(uint16_t *p, const int32_t *score, const uint8_t *kept, int64_t n,
                     int64_t multiplier)
{
    int64_t maximum = INT64_MIN;
    uint64_t total = 0;
    for (int64_t j = 0; j < n; j++)
        if ((!kept || kept[j]) && score[j] > maximum)
            maximum = score[j];
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < n; j++) {
            uint64_t weight = 0;
            if (!kept || kept[j])
                weight = lac_softmax_weight((uint64_t)((maximum - score[j]) * multiplier) >> 20);
            if (pass == 0)
                total += weight;
            else
                p[j] = (uint16_t)(total ? (weight * 4095 + total / 2) / total : 0);
        }
}
