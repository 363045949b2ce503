/* Format csr as kernels read it: docs/formats/csr.md. */
#ifndef LACUNA_FORMAT_CSR_H
#define LACUNA_FORMAT_CSR_H

#include <lacuna/format.h>

enum {
    LAC_CSR_STRIP = 256, /* rows of a strip: their numbers are bytes */
    LAC_CSR_BLOCK = 128, /* columns of a block; */
    LAC_CSR_WIDE = 192,  /* of matrices with few non-zeros */
    LAC_CSR_PAD = 3      /* elements behind the last, so that four can be loaded anywhere */
};

typedef struct lac_csr {
    int64_t rows, cols, nonzeros, block, blocks, strips;
    const uint32_t *start;      /* [strips][blocks] and the end */
    const uint8_t *row, *count; /* [strips][blocks][rows of the strip] */
    const uint8_t *col;
    const float *values;
} lac_csr;

/* Sizes and fields of validated packed weights. */
lac_csr lac_csr_of(const lac_packed *packed);

static inline int64_t lac_csr_strip_rows(const lac_csr *m, int64_t strip)
{
    int64_t left = m->rows - strip * LAC_CSR_STRIP;
    return left < LAC_CSR_STRIP ? left : LAC_CSR_STRIP;
}

/* Where `row` and `count` of a cell begin. */
static inline int64_t lac_csr_entry(const lac_csr *m, int64_t strip, int64_t block)
{
    return strip * LAC_CSR_STRIP * m->blocks + block * lac_csr_strip_rows(m, strip);
}

#endif
