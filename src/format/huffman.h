/* Canonical Huffman codes over at most 256 symbols (the code and index streams of a .dcz file). */
#ifndef LACUNA_FORMAT_HUFFMAN_H
#define LACUNA_FORMAT_HUFFMAN_H

#include <lacuna/core.h>

#define LAC_HUFFMAN_SYMBOLS 256
/* No code of fewer than 2^38 symbols can be longer (Fibonacci counts are the worst case). */
#define LAC_HUFFMAN_LONGEST 57

typedef struct lac_huffman {
    int symbols;
    uint8_t length[LAC_HUFFMAN_SYMBOLS]; /* bits; 0: the symbol does not occur */
    uint64_t code[LAC_HUFFMAN_SYMBOLS];
} lac_huffman;

/* The code for count[0..symbols): a tree from a heap keyed by (count, smallest symbol of the
 * subtree), then canonical codes by (length, symbol). A single symbol gets length 1. */
lac_status lac_huffman_make(lac_huffman *huffman, const uint64_t *count, int symbols,
                            lac_error *err);
/* The canonical code with these lengths. Total: LAC_ERROR_INPUT unless they are those of a complete
 * code, of a single symbol of length 1, or all 0. */
lac_status lac_huffman_from_lengths(lac_huffman *huffman, const uint8_t *length, int symbols,
                                    lac_error *err);
/* Bits of a stream in which symbol i occurs count[i] times. */
uint64_t lac_huffman_bits(const lac_huffman *huffman, const uint64_t *count);
/* Writes the n symbols, most significant bit first, into bytes[0..(bits + 7) / 8), the rest of the
 * last byte 0. Every symbol must have a code. */
void lac_huffman_encode(const lac_huffman *huffman, const uint8_t *symbol, int64_t n,
                        uint8_t *bytes);
/* Reads exactly n symbols out of exactly `bits` bits. Total: LAC_ERROR_INPUT when they do not
 * match or the bits behind the last one are not 0. `bytes` holds (bits + 7) / 8 bytes. */
lac_status lac_huffman_decode(const lac_huffman *huffman, const uint8_t *bytes, uint64_t bits,
                              uint8_t *symbol, int64_t n, lac_error *err);

#endif
