/* EIE's interleaved compressed sparse columns as arrays in memory: what the format row, the .dcz
 * container and the simulator share. Source: Han et al., EIE, ISCA 2016, and the authors' public
 * simulator. */
#ifndef LACUNA_FORMAT_EIE_CSC_H
#define LACUNA_FORMAT_EIE_CSC_H

#include <lacuna/core.h>

/* The row's name. */
#define LAC_EIE_CSC_NAME "eie-csc"

#define LAC_EIE_MAX_PE 65536

/* PE p owns the rows p, p + pe, p + 2 pe, ... Its entries stand column after column, inside a
 * column by row: entry e moves the local row (-1 at the start of a column) by run[e] + 1 and holds
 * code[e]; code 0 is padding, with run jump - 1, and always followed by a real entry of the same
 * column. */
typedef struct lac_eie_csc {
    int64_t rows, cols;
    int64_t pe;
    int jump; /* largest run + 1: 2..256 */
    int64_t entries, nonzeros;
    uint8_t *code, *run; /* [entries], PE after PE */
    uint32_t *pointer;   /* [pe][cols + 1]: entry numbers within the PE, from 0 */
    int64_t *first;      /* [pe + 1]: where the entries of a PE begin */
} lac_eie_csc;

/* Encodes codes[rows][cols], 0 = pruned. Release with lac_eie_csc_release. */
lac_status lac_eie_csc_encode(lac_eie_csc *csc, const uint8_t *codes, int64_t rows, int64_t cols,
                              int64_t pe, int jump, lac_error *err);
/* Sizes and zeroed arrays for a reader to fill: pointer and first, code and run (entries). */
lac_status lac_eie_csc_alloc(lac_eie_csc *csc, int64_t rows, int64_t cols, int64_t pe, int jump,
                             int64_t entries, lac_error *err);
/* Sets `first` from the pointers, and checks everything the comment above promises, codes below
 * `codes` included; counts nonzeros. Total for any array contents. */
lac_status lac_eie_csc_check(lac_eie_csc *csc, int codes, lac_error *err);
/* The inverse of encode, into codes[rows][cols]. Only for what encode made or check accepted. */
void lac_eie_csc_decode(const lac_eie_csc *csc, uint8_t *codes);
void lac_eie_csc_release(lac_eie_csc *csc);

/* Entries that lac_eie_csc_encode would make, without making them. */
lac_status lac_eie_csc_count(const uint8_t *codes, int64_t rows, int64_t cols, int64_t pe, int jump,
                             int64_t *entries, lac_error *err);

/* Counts of each code and each run. */
void lac_eie_csc_histogram(const lac_eie_csc *csc, uint64_t code[256], uint64_t run[256]);

/* Complete size of a layer in bits, the figure that papers give (inspect prints it of a .dcz):
 * entries, pointers of 16 bits (17 when a PE holds more than
 * 65,536 entries), codebook, bias. With `huffman` the entries are the two coded streams and their
 * headers (2^bits lengths of 8 bits and a 64-bit count each). */
lac_status lac_eie_csc_size_bits(const lac_eie_csc *csc, int code_bits, int value_bits,
                                 int64_t bias_bits, bool huffman, int64_t *bits, lac_error *err);
int lac_eie_csc_pointer_bits(const lac_eie_csc *csc);

/* Whole bytes of n (below 2^58) elements of `width` bits. */
static inline int64_t lac_bit_bytes(int64_t n, int width)
{
    return (n * width + 7) / 8;
}

#endif
