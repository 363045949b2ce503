/* Format intq as the kernels read it: where codes, scales and zero points lie; rounding to its
 * grid. */
#ifndef LACUNA_FORMAT_INTQ_H
#define LACUNA_FORMAT_INTQ_H

#include <lacuna/format.h>

#define LAC_INTQ_OUTPUTS 16 /* outputs of a panel */
#define LAC_INTQ_BLOCK   32 /* columns whose codes lie together */

/* w[row][k] = scale * (code - zero). A block holds the codes of 16 outputs and 32 columns in
 * `bits` units of 64 bytes; byte 4 o + j of a unit belongs to output o and to the columns j, j + 4,
 * ... of the block: quad i is columns 4 i .. 4 i + 3.
 *   2 bits: unit u holds quads 4 u .. 4 u + 3 in its bits 0-1, 2-3, 4-5, 6-7
 *   4 bits: unit u holds quads 2 u, 2 u + 1 in its bits 0-3, 4-7
 *   3 bits: unit u holds quads 2 u, 2 u + 1 in its bits 0-2, 3-5; bits 6-7 of units 0, 1, 2 are
 * bits 0-1, 2-3, 4-5 of the pair of quads 6 (low three) and 7 */
typedef struct lac_intq {
    int bits, group, middle;        /* middle: the zero point of the symmetric grid */
    bool asymmetric;                /* zero points are stored */
    int64_t panels, blocks, groups; /* of 16 outputs; of 32 columns; of `group` columns */
    const uint8_t *codes;           /* [panels][blocks][bits][64] */
    const uint16_t *scale;          /* [panels][groups][16], float16 */
    const uint8_t *zero;            /* [panels][groups][16]; NULL: all `middle` */
} lac_intq;

/* The numbers of `packed`; its fields may be missing still. LAC_ERROR_INPUT: parameters or sizes
 * that the format has not. */
lac_status lac_intq_of(const lac_packed *packed, lac_intq *q, lac_error *err);

/* Bytes of a block. */
static inline int64_t lac_intq_block_bytes(const lac_intq *q)
{
    return 64 * q->bits;
}

/* The code of column `at` (0..31) of output `output` (0..15) of a block. */
static inline int lac_intq_code(const uint8_t *block, int bits, int output, int at)
{
    int quad = at / 4, byte = 4 * output + at % 4;
    if (bits == 2)
        return block[64 * (quad / 4) + byte] >> 2 * (quad % 4) & 3;
    if (bits == 4)
        return block[64 * (quad / 2) + byte] >> 4 * (quad % 2) & 15;
    if (quad < 6)
        return block[64 * (quad / 2) + byte] >> 3 * (quad % 2) & 7;
    int pair = block[byte] >> 6 | (block[64 + byte] >> 6) << 2 | (block[128 + byte] >> 6) << 4;
    return pair >> 3 * (quad - 6) & 7;
}

/* The step and the zero point of a grid that holds the `count` values exactly; a group of zeros has
 * step 0. False: there is none of float16 step. */
bool lac_intq_grid(const float *value, int64_t count, int bits, bool asymmetric, float *step,
                   int *zero);

/* Rounds every group of every row to a grid of this kind, of the least squared error among a few
 * dozen steps: the format then takes the matrix. Elements must be finite. */
void lac_intq_round(float *matrix, int64_t rows, int64_t cols, int bits, int group,
                    bool asymmetric);

#endif
