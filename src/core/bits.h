/* Bit strings, least significant bit of byte 0 first. */
#ifndef LACUNA_CORE_BITS_H
#define LACUNA_CORE_BITS_H

#include <stdint.h>

/* Bits to tell `values` things apart: 0 for one, 3 for five. */
static inline int lac_bits_for(int64_t values)
{
    int bits = 0;
    while (bits < 62 && (INT64_C(1) << bits) < values)
        bits++;
    return bits;
}

/* `width` (0..16) bits at bit position `at`. Reads only the bytes that hold them. */
static inline uint32_t lac_bits_get(const uint8_t *bytes, int64_t at, int width)
{
    uint32_t value = 0;
    for (int got = 0; got < width;) {
        int in_byte = (int)((at + got) & 7), take = 8 - in_byte;
        if (take > width - got)
            take = width - got;
        value |= ((uint32_t)(bytes[(at + got) >> 3] >> in_byte) & ((1u << take) - 1)) << got;
        got += take;
    }
    return value;
}

/* Ors `width` (0..16) bits in; the place must hold zeros. */
static inline void lac_bits_put(uint8_t *bytes, int64_t at, int width, uint32_t value)
{
    for (int put = 0; put < width;) {
        int in_byte = (int)((at + put) & 7), take = 8 - in_byte;
        if (take > width - put)
            take = width - put;
        bytes[(at + put) >> 3] |= (uint8_t)(((value >> put) & ((1u << take) - 1)) << in_byte);
        put += take;
    }
}

#endif
