/* Huffman coding. The deterministic tree (ties by the smallest symbol of a subtree) fixes the
 * lengths, the canonical order fixes the codes, so that a file holds the lengths alone. Decoding
 * looks up ten bits at a time; longer codes walk the first code of each length. */
#include "format/huffman.h"

#include <string.h>

#define TABLE_BITS 10

typedef struct tree_node {
    uint64_t count;
    int smallest; /* symbol */
    int parent;   /* -1 while it is a root */
} tree_node;

/* The root with the least (count, smallest symbol). */
static int least_root(const tree_node *node, int n, int other)
{
    int best = -1;
    for (int i = 0; i < n; i++) {
        if (node[i].parent >= 0 || i == other)
            continue;
        if (best < 0 || node[i].count < node[best].count ||
            (node[i].count == node[best].count && node[i].smallest < node[best].smallest))
            best = i;
    }
    return best;
}

/* Gives the canonical codes to the lengths that are set. `next` is volatile because GCC 12.2, from
 * -O1 on, can take the shift of what begins as 0 to give 0 for ever and forget the additions
 * between: every code is 0 then. */
static void canonical_codes(lac_huffman *huffman)
{
    volatile uint64_t next = 0;
    for (int bits = 1; bits <= LAC_HUFFMAN_LONGEST; bits++) {
        for (int symbol = 0; symbol < huffman->symbols; symbol++)
            if (huffman->length[symbol] == bits)
                huffman->code[symbol] = next++;
        next <<= 1;
    }
}

lac_status lac_huffman_make(lac_huffman *huffman, const uint64_t *count, int symbols,
                            lac_error *err)
{
    if (symbols < 1 || symbols > LAC_HUFFMAN_SYMBOLS)
        return lac_fail(err, LAC_ERROR_INPUT, "huffman: %d symbols, must be 1 to %d", symbols,
                        LAC_HUFFMAN_SYMBOLS);
    memset(huffman, 0, sizeof *huffman);
    huffman->symbols = symbols;
    tree_node node[2 * LAC_HUFFMAN_SYMBOLS];
    int leaf[LAC_HUFFMAN_SYMBOLS], n = 0; /* leaf[symbol]: its node */
    for (int symbol = 0; symbol < symbols; symbol++) {
        leaf[symbol] = -1;
        if (count[symbol] == 0)
            continue;
        leaf[symbol] = n;
        node[n++] = (tree_node){count[symbol], symbol, -1};
    }
    int leaves = n;
    for (int roots = leaves; roots > 1; roots--) {
        int a = least_root(node, n, -1), b = least_root(node, n, a);
        int smallest = node[a].smallest < node[b].smallest ? node[a].smallest : node[b].smallest;
        node[n] = (tree_node){node[a].count + node[b].count, smallest, -1};
        node[a].parent = node[b].parent = n++;
    }
    for (int symbol = 0; symbol < symbols; symbol++) {
        if (leaf[symbol] < 0)
            continue;
        int bits = leaves == 1;
        for (int i = leaf[symbol]; node[i].parent >= 0; i = node[i].parent)
            bits++;
        if (bits > LAC_HUFFMAN_LONGEST)
            return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                            "huffman: a code of %d bits, the limit is %d", bits,
                            LAC_HUFFMAN_LONGEST);
        huffman->length[symbol] = (uint8_t)bits;
    }
    canonical_codes(huffman);
    return LAC_OK;
}

lac_status lac_huffman_from_lengths(lac_huffman *huffman, const uint8_t *length, int symbols,
                                    lac_error *err)
{
    if (symbols < 1 || symbols > LAC_HUFFMAN_SYMBOLS)
        return lac_fail(err, LAC_ERROR_INPUT, "huffman: %d symbols, must be 1 to %d", symbols,
                        LAC_HUFFMAN_SYMBOLS);
    memset(huffman, 0, sizeof *huffman);
    huffman->symbols = symbols;
    uint64_t used = 0; /* Kraft's sum, in units of 2^-57; 256 terms of at most 2^56 fit */
    int present = 0;
    for (int symbol = 0; symbol < symbols; symbol++) {
        int bits = length[symbol];
        if (bits == 0)
            continue;
        if (bits > LAC_HUFFMAN_LONGEST)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "huffman: symbol %d has a code of %d bits, the limit is %d", symbol,
                            bits, LAC_HUFFMAN_LONGEST);
        used += UINT64_C(1) << (LAC_HUFFMAN_LONGEST - bits);
        present++;
    }
    uint64_t whole = UINT64_C(1) << LAC_HUFFMAN_LONGEST;
    if (present > 0 && used != (present == 1 ? whole / 2 : whole))
        return lac_fail(err, LAC_ERROR_INPUT,
                        "huffman: the %d code lengths are not those of a complete code", present);
    memcpy(huffman->length, length, (size_t)symbols);
    canonical_codes(huffman);
    return LAC_OK;
}

uint64_t lac_huffman_bits(const lac_huffman *huffman, const uint64_t *count)
{
    uint64_t bits = 0;
    for (int symbol = 0; symbol < huffman->symbols; symbol++)
        bits += count[symbol] * huffman->length[symbol];
    return bits;
}

void lac_huffman_encode(const lac_huffman *huffman, const uint8_t *symbol, int64_t n,
                        uint8_t *bytes)
{
    uint64_t held = 0; /* the low `bits` bits wait to be written: at most 7 + 57 */
    int bits = 0;
    for (int64_t i = 0; i < n; i++) {
        held = held << huffman->length[symbol[i]] | huffman->code[symbol[i]];
        bits += huffman->length[symbol[i]];
        for (; bits >= 8; bits -= 8)
            *bytes++ = (uint8_t)(held >> (bits - 8));
    }
    if (bits > 0)
        *bytes = (uint8_t)(held << (8 - bits));
}

typedef struct decoder {
    struct {
        uint8_t symbol, length; /* length 0: longer than the table, or no code */
    } table[1 << TABLE_BITS];
    uint64_t first[LAC_HUFFMAN_LONGEST + 2]; /* first code of each length */
    int count[LAC_HUFFMAN_LONGEST + 2], start[LAC_HUFFMAN_LONGEST + 2];
    uint8_t order[LAC_HUFFMAN_SYMBOLS]; /* symbols by (length, symbol) */
} decoder;

static void make_decoder(decoder *d, const lac_huffman *huffman)
{
    memset(d, 0, sizeof *d);
    int n = 0;
    for (int bits = 1; bits <= LAC_HUFFMAN_LONGEST; bits++) {
        d->start[bits] = n;
        for (int symbol = 0; symbol < huffman->symbols; symbol++) {
            if (huffman->length[symbol] != bits)
                continue;
            if (d->count[bits]++ == 0)
                d->first[bits] = huffman->code[symbol];
            d->order[n++] = (uint8_t)symbol;
            if (bits > TABLE_BITS)
                continue;
            uint64_t from = huffman->code[symbol] << (TABLE_BITS - bits);
            for (uint64_t i = 0; i < UINT64_C(1) << (TABLE_BITS - bits); i++) {
                d->table[from + i].symbol = (uint8_t)symbol;
                d->table[from + i].length = (uint8_t)bits;
            }
        }
    }
}

lac_status lac_huffman_decode(const lac_huffman *huffman, const uint8_t *bytes, uint64_t bits,
                              uint8_t *symbol, int64_t n, lac_error *err)
{
    decoder d;
    make_decoder(&d, huffman);
    uint64_t size = bits / 8 + (bits % 8 != 0), next = 0; /* bytes, and those already held */
    uint64_t held = 0, used = 0; /* the top `ready` bits of held are the next of the stream */
    int ready = 0;
    for (int64_t i = 0; i < n; i++) {
        for (; ready <= 56; ready += 8)
            held |= (uint64_t)(next < size ? bytes[next] : 0) << (56 - ready), next++;
        int length = d.table[held >> (64 - TABLE_BITS)].length;
        symbol[i] = d.table[held >> (64 - TABLE_BITS)].symbol;
        for (int longer = TABLE_BITS + 1; length == 0 && longer <= LAC_HUFFMAN_LONGEST; longer++) {
            uint64_t code = held >> (64 - longer);
            if (d.count[longer] > 0 && code >= d.first[longer] &&
                code - d.first[longer] < (uint64_t)d.count[longer]) {
                length = longer;
                symbol[i] = d.order[d.start[longer] + (int)(code - d.first[longer])];
            }
        }
        if (length == 0 || used + (uint64_t)length > bits)
            return lac_fail(
                err, LAC_ERROR_INPUT,
                "huffman: the stream of %llu bits ends or breaks at symbol %lld of %lld",
                (unsigned long long)bits, (long long)i, (long long)n);
        held <<= length;
        ready -= length;
        used += (uint64_t)length;
    }
    if (used != bits)
        return lac_fail(err, LAC_ERROR_INPUT, "huffman: %lld symbols use %llu of %llu bits",
                        (long long)n, (unsigned long long)used, (unsigned long long)bits);
    if (bits % 8 != 0 && (uint8_t)(bytes[size - 1] << (bits % 8)) != 0)
        return lac_fail(err, LAC_ERROR_INPUT, "huffman: bits behind the end are not 0");
    return LAC_OK;
}
