/* The fixed point of STA's inference path, to the bit (dossier 2.5, all assumed: the paper's own
 * arithmetic is not available). Everything but the int32 accumulator is signed 64-bit. */
#ifndef LACUNA_ACCEL_STA_NUMERICS_H
#define LACUNA_ACCEL_STA_NUMERICS_H

#include <lacuna/core.h>

extern const uint16_t lac_sta_exp2[256]; /* table A: floor(65535 * 2^(-f/256) + 0.5) */
extern const int8_t lac_sta_gelu[256];   /* table B at [q + 128], q of scale 1/32 */

/* Shifts right and rounds half towards plus infinity. shift 0..62 */
static inline int64_t lac_sta_round_shift(int64_t x, int shift)
{
    return shift == 0 ? x : (x + (INT64_C(1) << (shift - 1))) >> shift;
}

static inline int64_t lac_sta_saturate(int64_t x, int64_t low, int64_t high)
{
    return x < low ? low : x > high ? high : x;
}

/* The scale of a requantisation: y = saturate(round_shift(acc * multiplier, shift)). */
typedef struct lac_sta_scale {
    int32_t multiplier; /* 15 bits */
    int shift;
} lac_sta_scale;

/* Score scale for a real factor (scores get 8 fraction bits in the base-2 logarithm domain):
 * log2(e) * 256 * scale_q * scale_k * softmax_scale. LAC_ERROR_INPUT when it is not a positive
 * number below 32768. */
lac_status lac_sta_score_scale(double factor, lac_sta_scale *scale, lac_error *err);
/* The factor when Q and K have scale 1/32 and the softmax 1/sqrt(dim). */
double lac_sta_score_factor(int64_t dim);
/* `lin` of an encoder: multiplier 2^14, shift 14 + e + c, smallest e with 4^e >= k_effective. */
lac_sta_scale lac_sta_linear_scale(int64_t k_effective, int c);

int16_t lac_sta_score(int32_t accumulator, lac_sta_scale scale);
int8_t lac_sta_requant(int32_t accumulator, lac_sta_scale scale);

/* Streamed softmax of one row of `count` >= 1 scores in segments of `segment`; p/256. */
void lac_sta_softmax(const int16_t *x, int64_t count, int64_t segment, uint8_t *p);

/* Layer norm of one row; gamma 64 is 1.0, output scale 1/32. NULL gamma: 64, NULL beta: 0. */
void lac_sta_layer_norm(const int16_t *u, int64_t count, const int8_t *gamma, const int8_t *beta,
                        int8_t *y);

#endif
