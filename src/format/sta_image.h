/* STA's bitmap-packed N:M image (dossier 3.1): column tiles of C outputs, steps of L groups, value
 * planes of one byte per lane. Shared by the format row and the simulator, which packs the image
 * of its own array and computes from it. */
#ifndef LACUNA_FORMAT_STA_IMAGE_H
#define LACUNA_FORMAT_STA_IMAGE_H

#include <lacuna/core.h>

#define LAC_STA_HEADER_BYTES 64
#define LAC_STA_M_MAX        32

typedef struct lac_sta_image {
    int n, m, c, l;
    bool index;     /* metadata are indices instead of bitmaps; without meaning for 1:1 */
    int index_bits; /* of one index */
    int64_t n_out, k;
    int64_t groups, steps, tiles;                      /* steps of one tile */
    int64_t meta_bytes, step_bytes, tile_bytes, bytes; /* bytes: of the image, header apart */
} lac_sta_image;

/* ceil((8*C*L*N + metadata bits) / 8); 1:1 has no metadata. */
int64_t lac_sta_step_bytes(int n, int m, int64_t c, int64_t l, bool index);
/* Sizes; LAC_ERROR_INPUT for N > M, M > LAC_STA_M_MAX, sizes beyond the header's 32 bits. */
lac_status lac_sta_image_shape(lac_sta_image *image, int n, int m, int c, int l, bool index,
                               int64_t n_out, int64_t k, lac_error *err);
/* LAC_ERROR_INPUT: a group of the matrix [n_out][k] has more than N non-zeros. */
lac_status lac_sta_image_fits(const lac_sta_image *image, const int8_t *matrix, lac_error *err);
/* Fills `bytes` zeroed bytes from the matrix [n_out][k]. LAC_ERROR_INPUT: a group has more than N
 * non-zeros. */
lac_status lac_sta_image_pack(const lac_sta_image *image, const int8_t *matrix, uint8_t *bytes,
                              lac_error *err);
/* Every bitmap has N bits (indices rise and are below M), everything behind the matrix is 0. */
lac_status lac_sta_image_check(const lac_sta_image *image, const uint8_t *bytes, lac_error *err);
/* Kept elements of group `step * L + lane` of column c of a tile: their places in the group and
 * values, N of each. Only after lac_sta_image_check. */
void lac_sta_image_group(const lac_sta_image *image, const uint8_t *bytes, int64_t tile,
                         int64_t step, int c, int lane, int place[LAC_STA_M_MAX],
                         int8_t value[LAC_STA_M_MAX]);

/* The 64-byte header (dossier 3.1). */
void lac_sta_header_put(const lac_sta_image *image, uint32_t crc, uint8_t *header);
/* Total: sizes agree with each other and with `bytes`, which follow the header; fills `image` and
 * the stored checksum. */
lac_status lac_sta_header_get(lac_sta_image *image, uint32_t *crc, const uint8_t *header,
                              int64_t bytes, lac_error *err);
/* CRC-32 of IEEE 802.3 (reflected 0xEDB88320). */
uint32_t lac_sta_crc(const uint8_t *bytes, int64_t count);

#endif
