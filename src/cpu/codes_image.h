/* Dense weights of few bits as vector kernels read them: a byte a weight, or a half when the table
 * has at most 16 entries, that indexes a table of floats (format codebook) or is the weight itself
 * (format int8). Panel by panel of `columns` outputs, and within it by k. */
#ifndef LACUNA_CPU_CODES_IMAGE_H
#define LACUNA_CPU_CODES_IMAGE_H

#include <lacuna/format.h>

typedef enum lac_codes_mode {
    LAC_CODES_INT8,  /* the byte is the weight */
    LAC_CODES_HALF,  /* [panel][ceil(k / 2)][columns], even k in the low half */
    LAC_CODES_TABLE, /* [panel][k][columns] */
    LAC_CODES_MODES
} lac_codes_mode;

typedef struct lac_codes_image {
    lac_codes_mode mode;
    int64_t panels, panel_bytes;
    float table[256]; /* by code; int8: by byte */
    uint8_t *code;
    float *scale; /* [rows] of format int8, else NULL */
} lac_codes_image;

/* What `packed` will be laid out as; `halves`: two codes may share a byte. */
lac_codes_mode lac_codes_mode_of(const lac_packed *packed, bool halves);
/* Validates `packed` (format codebook with float32 or int8 elements, or int8) and repacks it. */
lac_status lac_codes_image_make(lac_codes_image *image, int columns, bool halves,
                                const lac_packed *packed, lac_error *err);
void lac_codes_image_release(lac_codes_image *image);

#endif
