/* Streamed softmax, layer norm, requantisation (dossier 2.5). The softmax keeps an integer running
 * maximum, so rescaling the running sum is a shift and any number of keys streams through. */
#include "accel/sta/numerics.h"

#include <math.h>

/* Dossier 2.5, table A (assumed). */
const uint16_t lac_sta_exp2[256] = {
    0xffff, 0xff4e, 0xfe9d, 0xfded, 0xfd3d, 0xfc8e, 0xfbdf, 0xfb31, 0xfa83, 0xf9d5, 0xf928, 0xf87c,
    0xf7d0, 0xf724, 0xf679, 0xf5cf, 0xf525, 0xf47b, 0xf3d2, 0xf329, 0xf281, 0xf1d9, 0xf131, 0xf08a,
    0xefe4, 0xef3e, 0xee98, 0xedf3, 0xed4e, 0xecaa, 0xec06, 0xeb63, 0xeac0, 0xea1d, 0xe97b, 0xe8da,
    0xe839, 0xe798, 0xe6f7, 0xe658, 0xe5b8, 0xe519, 0xe47b, 0xe3dc, 0xe33f, 0xe2a1, 0xe204, 0xe168,
    0xe0cc, 0xe030, 0xdf95, 0xdefa, 0xde60, 0xddc6, 0xdd2d, 0xdc94, 0xdbfb, 0xdb63, 0xdacb, 0xda33,
    0xd99c, 0xd906, 0xd86f, 0xd7da, 0xd744, 0xd6af, 0xd61b, 0xd586, 0xd4f3, 0xd45f, 0xd3cc, 0xd33a,
    0xd2a7, 0xd215, 0xd184, 0xd0f3, 0xd062, 0xcfd2, 0xcf42, 0xceb3, 0xce24, 0xcd95, 0xcd07, 0xcc79,
    0xcbeb, 0xcb5e, 0xcad1, 0xca45, 0xc9b9, 0xc92d, 0xc8a2, 0xc817, 0xc78d, 0xc703, 0xc679, 0xc5ef,
    0xc566, 0xc4de, 0xc455, 0xc3ce, 0xc346, 0xc2bf, 0xc238, 0xc1b2, 0xc12c, 0xc0a6, 0xc020, 0xbf9b,
    0xbf17, 0xbe93, 0xbe0f, 0xbd8b, 0xbd08, 0xbc85, 0xbc03, 0xbb80, 0xbaff, 0xba7d, 0xb9fc, 0xb97b,
    0xb8fb, 0xb87b, 0xb7fb, 0xb77c, 0xb6fd, 0xb67e, 0xb600, 0xb582, 0xb504, 0xb487, 0xb40a, 0xb38d,
    0xb311, 0xb295, 0xb219, 0xb19e, 0xb123, 0xb0a9, 0xb02e, 0xafb4, 0xaf3b, 0xaec1, 0xae49, 0xadd0,
    0xad58, 0xace0, 0xac68, 0xabf1, 0xab7a, 0xab03, 0xaa8c, 0xaa16, 0xa9a1, 0xa92b, 0xa8b6, 0xa841,
    0xa7cd, 0xa759, 0xa6e5, 0xa671, 0xa5fe, 0xa58b, 0xa519, 0xa4a6, 0xa434, 0xa3c3, 0xa351, 0xa2e0,
    0xa270, 0xa1ff, 0xa18f, 0xa11f, 0xa0b0, 0xa040, 0x9fd2, 0x9f63, 0x9ef5, 0x9e87, 0x9e19, 0x9dab,
    0x9d3e, 0x9cd1, 0x9c65, 0x9bf9, 0x9b8d, 0x9b21, 0x9ab6, 0x9a4a, 0x99e0, 0x9975, 0x990b, 0x98a1,
    0x9837, 0x97ce, 0x9765, 0x96fc, 0x9694, 0x962b, 0x95c3, 0x955c, 0x94f4, 0x948d, 0x9426, 0x93c0,
    0x935a, 0x92f4, 0x928e, 0x9228, 0x91c3, 0x915e, 0x90fa, 0x9095, 0x9031, 0x8fcd, 0x8f6a, 0x8f07,
    0x8ea4, 0x8e41, 0x8dde, 0x8d7c, 0x8d1a, 0x8cb9, 0x8c57, 0x8bf6, 0x8b95, 0x8b35, 0x8ad4, 0x8a74,
    0x8a14, 0x89b5, 0x8955, 0x88f6, 0x8898, 0x8839, 0x87db, 0x877d, 0x871f, 0x86c1, 0x8664, 0x8607,
    0x85aa, 0x854e, 0x84f1, 0x8495, 0x843a, 0x83de, 0x8383, 0x8328, 0x82cd, 0x8272, 0x8218, 0x81be,
    0x8164, 0x810b, 0x80b1, 0x8058,
};

/* Dossier 2.5, table B (assumed): floor(32 * gelu(q / 32) + 0.5), gelu with erf. */
const int8_t lac_sta_gelu[256] = {
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,
    0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   0,   -1,  -1,  -1,  -1,  -1,  -1,  -1,  -1,
    -1,  -1,  -1,  -1,  -1,  -1,  -1,  -1,  -2,  -2,  -2,  -2,  -2,  -2,  -2,  -2,  -2,  -2,  -3,
    -3,  -3,  -3,  -3,  -3,  -3,  -3,  -4,  -4,  -4,  -4,  -4,  -4,  -4,  -4,  -5,  -5,  -5,  -5,
    -5,  -5,  -5,  -5,  -5,  -5,  -5,  -5,  -5,  -5,  -5,  -5,  -5,  -5,  -5,  -5,  -5,  -5,  -5,
    -5,  -4,  -4,  -4,  -4,  -4,  -3,  -3,  -3,  -2,  -2,  -1,  -1,  0,   0,   1,   1,   2,   2,
    3,   3,   4,   5,   5,   6,   7,   8,   9,   9,   10,  11,  12,  13,  14,  15,  16,  17,  18,
    19,  20,  21,  22,  23,  24,  25,  26,  27,  28,  29,  30,  31,  32,  34,  35,  36,  37,  38,
    39,  40,  41,  43,  44,  45,  46,  47,  48,  49,  50,  52,  53,  54,  55,  56,  57,  58,  59,
    60,  61,  63,  64,  65,  66,  67,  68,  69,  70,  71,  72,  73,  74,  75,  76,  77,  78,  80,
    81,  82,  83,  84,  85,  86,  87,  88,  89,  90,  91,  92,  93,  94,  95,  96,  97,  98,  99,
    100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116, 117, 118,
    119, 120, 121, 122, 123, 124, 125, 126, 127,
};

static int floor_log2(uint64_t x)
{
    return 63 - __builtin_clzll(x);
}

/* Largest r with r * r <= x, for x < 2^62: the rounded double root is off by at most a few. */
static int64_t integer_root(int64_t x)
{
    int64_t r = (int64_t)sqrt((double)x);
    while (r * r > x)
        r--;
    while ((r + 1) * (r + 1) <= x)
        r++;
    return r;
}

lac_status lac_sta_score_scale(double factor, lac_sta_scale *scale, lac_error *err)
{
    if (!(factor > 0) || factor >= 32768)
        return lac_fail(err, LAC_ERROR_INPUT, "score factor %g is not within 0..32768", factor);
    int shift = 0;
    while (shift < 62 && ldexp(factor, shift + 1) < 32768)
        shift++;
    scale->multiplier = (int32_t)floor(ldexp(factor, shift) + 0.5);
    scale->shift = shift;
    if (scale->multiplier > 32767) /* rounded up out of 15 bits */
        scale->multiplier = 32767;
    return LAC_OK;
}

double lac_sta_score_factor(int64_t dim)
{
    return 1.4426950408889634074 /* log2 e */ * 256 / (1024 * sqrt((double)dim));
}

lac_sta_scale lac_sta_linear_scale(int64_t k_effective, int c)
{
    int e = 0;
    while (e < 31 && (INT64_C(1) << (2 * e)) < k_effective)
        e++;
    return (lac_sta_scale){16384, 14 + e + c};
}

int16_t lac_sta_score(int32_t accumulator, lac_sta_scale scale)
{
    int64_t x = lac_sta_round_shift((int64_t)accumulator * scale.multiplier, scale.shift);
    return (int16_t)lac_sta_saturate(x, INT16_MIN, INT16_MAX);
}

int8_t lac_sta_requant(int32_t accumulator, lac_sta_scale scale)
{
    int64_t x = lac_sta_round_shift((int64_t)accumulator * scale.multiplier, scale.shift);
    return (int8_t)lac_sta_saturate(x, -127, 127);
}

static int64_t exponential(int64_t d)
{
    int64_t q = d >> 8;
    return q < 17 ? lac_sta_exp2[d & 255] >> q : 0;
}

void lac_sta_softmax(const int16_t *x, int64_t count, int64_t segment, uint8_t *p)
{
    int64_t m = -128, l = 0;
    for (int64_t first = 0; first < count; first += segment) {
        int64_t end = count - first < segment ? count : first + segment, top = x[first];
        for (int64_t j = first + 1; j < end; j++)
            top = x[j] > top ? x[j] : top;
        int64_t ceiling = (top + 255) >> 8, next = m > ceiling ? m : ceiling;
        l >>= next - m < 63 ? next - m : 63;
        for (int64_t j = first; j < end; j++)
            l += exponential(next * 256 - x[j]);
        m = next;
    }
    int n = floor_log2((uint64_t)l); /* l >= 1: the largest element gives at least T[255] */
    int64_t reciprocal = (INT64_C(1) << (n + 16)) / l;
    for (int64_t j = 0; j < count; j++) {
        int64_t value =
            (exponential(m * 256 - x[j]) * reciprocal + (INT64_C(1) << (n + 7))) >> (n + 8);
        p[j] = (uint8_t)(value > 255 ? 255 : value);
    }
}

void lac_sta_layer_norm(const int16_t *u, int64_t count, const int8_t *gamma, const int8_t *beta,
                        int8_t *y)
{
    int64_t s1 = 0, s2 = 0;
    for (int64_t i = 0; i < count; i++) {
        s1 += u[i];
        s2 += (int64_t)u[i] * u[i];
    }
    int64_t s = integer_root(count * s2 - s1 * s1);
    s = s < 1 ? 1 : s;
    int n = floor_log2((uint64_t)s);
    int64_t inverse = (INT64_C(1) << (n + 16)) / s;
    for (int64_t i = 0; i < count; i++) {
        int64_t z = ((u[i] * count - s1) * inverse + (INT64_C(1) << (n + 7))) >> (n + 8);
        z = lac_sta_saturate(z, INT16_MIN, INT16_MAX);
        z = ((z * (gamma ? gamma[i] : 64) + 256) >> 9) + (beta ? beta[i] : 0);
        y[i] = (int8_t)lac_sta_saturate(z, -127, 127);
    }
}
