/* Format codebook as the kernels read it: where the code of an element lies. */
#ifndef LACUNA_FORMAT_CODEBOOK_H
#define LACUNA_FORMAT_CODEBOOK_H

#include <lacuna/format.h>

#define LAC_CODEBOOK_OUTPUTS 16 /* outputs of a panel */
#define LAC_CODEBOOK_BLOCK   32 /* columns whose codes lie together */
#define LAC_CODEBOOK_MOST    256

/* A block holds the codes of 16 outputs and 32 columns in `bits` units of 64 bytes. The bits of a
 * code are split into parts of 8, 4, 2, 1 bits, as the binary digits of `bits` say, the widest part
 * being the lowest bits; a part of w bits takes w units, the widest part first. Byte 4 o + j of a
 * unit belongs to output o and to the columns j, j + 4, ... of the block: quad i is columns
 * 4 i .. 4 i + 3, and unit u of a part holds quads 8 u / w and on, lowest bits first. */
typedef struct lac_codebook {
    int bits;
    int64_t rows, cols, panels, blocks; /* of 16 outputs; of 32 columns */
    const uint8_t *codes;               /* [panels][blocks][bits][64] */
} lac_codebook;

/* The numbers of `packed`; its fields may be missing still. LAC_ERROR_INPUT: sizes out of range. */
lac_status lac_codebook_of(const lac_packed *packed, lac_codebook *c, lac_error *err);

/* The values as floats, and as integers where `packed` has such elements; book[i] for every i, the
 * values over and over. */
void lac_codebook_floats(const lac_packed *packed, float book[LAC_CODEBOOK_MOST]);
void lac_codebook_bytes(const lac_packed *packed, int8_t book[LAC_CODEBOOK_MOST]);

/* The block of `panel` and of the columns 32 block and on. */
static inline const uint8_t *lac_codebook_block(const lac_codebook *c, int64_t panel, int64_t block)
{
    return c->codes + (panel * c->blocks + block) * c->bits * 64;
}

/* The code of column `at` (0..31) of output `output` (0..15) of a block. */
static inline int lac_codebook_code(const uint8_t *block, int bits, int output, int at)
{
    int quad = at / 4, code = 0, done = 0;
    const uint8_t *unit = block + 4 * output + at % 4;
    for (int width = 8; width; width /= 2)
        if (bits & width) {
            int each = 8 / width, shift = width * (quad % each);
            code |= (unit[64 * (quad / each)] >> shift & ((1 << width) - 1)) << done;
            unit += 64 * width;
            done += width;
        }
    return code;
}

#endif
