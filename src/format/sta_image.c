/* The image of dossier 3.1, group by group: a group keeps its non-zeros and, up to N, the lowest
 * free places with value 0; so does a group behind the matrix. */
#include "format/sta_image.h"

#include <inttypes.h>
#include <string.h>

#include "core/bits.h"

static int64_t meta_bits(int n, int m, int64_t c, int64_t l, bool index)
{
    int bits = lac_bits_for(m);
    if (m == 1)
        return 0;
    return c * l * (index ? n * (bits ? bits : 1) : m);
}

int64_t lac_sta_step_bytes(int n, int m, int64_t c, int64_t l, bool index)
{
    return c * l * n + (meta_bits(n, m, c, l, index) + 7) / 8;
}

lac_status lac_sta_image_shape(lac_sta_image *image, int n, int m, int c, int l, bool index,
                               int64_t n_out, int64_t k, lac_error *err)
{
    if (n < 1 || n > m || m > LAC_STA_M_MAX)
        return lac_fail(err, LAC_ERROR_INPUT, "sta: pattern %d:%d, want 1 <= n <= m <= %d", n, m,
                        LAC_STA_M_MAX);
    if (c < 1 || l < 1 || c > UINT16_MAX || l > UINT16_MAX)
        return lac_fail(err, LAC_ERROR_INPUT, "sta: c = %d, l = %d, want 1..65535", c, l);
    if (n_out < 0 || k < 0 || n_out > INT32_MAX || k > INT32_MAX)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "sta: a %" PRId64 " x %" PRId64 " matrix is beyond the header's 32 bits",
                        n_out, k);
    *image = (lac_sta_image){
        .n = n, .m = m, .c = c, .l = l, .index = index && m > 1, .n_out = n_out, .k = k};
    image->index_bits = lac_bits_for(m) ? lac_bits_for(m) : 1;
    image->groups = (k + m - 1) / m;
    image->steps = (image->groups + l - 1) / l;
    image->tiles = (n_out + c - 1) / c;
    image->meta_bytes = (meta_bits(n, m, c, l, index) + 7) / 8;
    image->step_bytes = lac_sta_step_bytes(n, m, c, l, index);
    LAC_TRY(
        lac_shape_count(2, (int64_t[]){image->steps, image->step_bytes}, &image->tile_bytes, err));
    LAC_TRY(lac_shape_count(2, (int64_t[]){image->tiles, image->tile_bytes}, &image->bytes, err));
    if (image->bytes > INT64_MAX / 64) /* room for the header and for bits as elements */
        return lac_fail(err, LAC_ERROR_INPUT, "sta: the image would have %" PRId64 " bytes",
                        image->bytes);
    return LAC_OK;
}

static const uint8_t *step_at(const lac_sta_image *image, const uint8_t *bytes, int64_t tile,
                              int64_t step)
{
    return bytes + tile * image->tile_bytes + step * image->step_bytes;
}

/* Where the j-th value of (c, lane) stands in a step. */
static int64_t value_at(const lac_sta_image *image, int c, int lane, int j)
{
    return image->meta_bytes + ((int64_t)j * image->c + c) * image->l + lane;
}

/* The non-zeros of a group (bit i: place i); LAC_ERROR_INPUT when they are more than N. *inside:
 * its elements that lie in the matrix. */
static lac_status find_nonzeros(const lac_sta_image *image, const int8_t *matrix, int64_t row,
                                int64_t group, uint32_t *keep, int *nonzeros, int *inside,
                                lac_error *err)
{
    const int8_t *element = matrix + row * image->k + group * image->m;
    int64_t left = row < image->n_out ? image->k - group * image->m : 0;
    *inside = left < 0 ? 0 : left > image->m ? image->m : (int)left;
    *keep = 0;
    *nonzeros = 0;
    for (int i = 0; i < *inside; i++)
        if (element[i]) {
            *keep |= UINT32_C(1) << i;
            ++*nonzeros;
        }
    if (*nonzeros > image->n)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "sta: row %" PRId64 " has %d non-zeros in columns %" PRId64 "..%" PRId64
                        ", limit n = %d",
                        row, *nonzeros, group * image->m, group * image->m + *inside - 1, image->n);
    return LAC_OK;
}

lac_status lac_sta_image_fits(const lac_sta_image *image, const int8_t *matrix, lac_error *err)
{
    uint32_t keep;
    int nonzeros, inside;
    for (int64_t row = 0; row < image->n_out; row++)
        for (int64_t group = 0; group < image->groups; group++)
            LAC_TRY(find_nonzeros(image, matrix, row, group, &keep, &nonzeros, &inside, err));
    return LAC_OK;
}

static lac_status pack_group(const lac_sta_image *image, const int8_t *matrix, uint8_t *step,
                             int64_t row, int64_t group, int c, int lane, lac_error *err)
{
    const int8_t *element = matrix + row * image->k + group * image->m;
    uint32_t keep;
    int nonzeros, count;
    LAC_TRY(find_nonzeros(image, matrix, row, group, &keep, &nonzeros, &count, err));
    for (int i = 0; nonzeros < image->n; i++)
        if (!(keep >> i & 1)) {
            keep |= UINT32_C(1) << i;
            nonzeros++;
        }
    int64_t slot = (int64_t)c * image->l + lane;
    for (int i = 0, j = 0; i < image->m; i++) {
        if (!(keep >> i & 1))
            continue;
        step[value_at(image, c, lane, j)] = i < count ? (uint8_t)element[i] : 0;
        if (image->index)
            lac_bits_put(step, (slot * image->n + j) * image->index_bits, image->index_bits,
                         (uint32_t)i);
        else if (image->m > 1)
            lac_bits_put(step, slot * image->m + i, 1, 1);
        j++;
    }
    return LAC_OK;
}

lac_status lac_sta_image_pack(const lac_sta_image *image, const int8_t *matrix, uint8_t *bytes,
                              lac_error *err)
{
    for (int64_t tile = 0; tile < image->tiles; tile++)
        for (int64_t step = 0; step < image->steps; step++)
            for (int c = 0; c < image->c; c++)
                for (int lane = 0; lane < image->l; lane++)
                    LAC_TRY(pack_group(image, matrix,
                                       bytes + tile * image->tile_bytes + step * image->step_bytes,
                                       tile * image->c + c, step * image->l + lane, c, lane, err));
    return LAC_OK;
}

void lac_sta_image_group(const lac_sta_image *image, const uint8_t *bytes, int64_t tile,
                         int64_t step, int c, int lane, int place[LAC_STA_M_MAX],
                         int8_t value[LAC_STA_M_MAX])
{
    const uint8_t *at = step_at(image, bytes, tile, step);
    int64_t slot = (int64_t)c * image->l + lane;
    if (image->m == 1) {
        place[0] = 0;
    } else if (image->index) {
        for (int j = 0; j < image->n; j++)
            place[j] =
                (int)lac_bits_get(at, (slot * image->n + j) * image->index_bits, image->index_bits);
    } else {
        int low = image->m < 16 ? image->m : 16;
        uint32_t bitmap = lac_bits_get(at, slot * image->m, low);
        bitmap |= lac_bits_get(at, slot * image->m + low, image->m - low) << (low & 31);
        for (int j = 0; j < image->n; j++, bitmap &= bitmap - 1)
            place[j] = __builtin_ctz(bitmap);
    }
    for (int j = 0; j < image->n; j++)
        value[j] = (int8_t)at[value_at(image, c, lane, j)];
}

static lac_status check_group(const lac_sta_image *image, const uint8_t *bytes, int64_t tile,
                              int64_t step, int c, int lane, lac_error *err)
{
    const uint8_t *at = step_at(image, bytes, tile, step);
    int64_t slot = (int64_t)c * image->l + lane, row = tile * image->c + c;
    int64_t group = step * image->l + lane;
    int place[LAC_STA_M_MAX], kept = 0, last = -1;
    int8_t value[LAC_STA_M_MAX];
    if (image->m > 1 && !image->index) {
        for (int i = 0; i < image->m; i++)
            kept += (int)lac_bits_get(at, slot * image->m + i, 1);
        if (kept != image->n)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "row %" PRId64 ", group %" PRId64 ": the bitmap keeps %d, want n = %d",
                            row, group, kept, image->n);
    }
    lac_sta_image_group(image, bytes, tile, step, c, lane, place, value);
    for (int j = 0; j < image->n; last = place[j++]) {
        if (place[j] <= last || place[j] >= image->m)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "row %" PRId64 ", group %" PRId64
                            ": index %d, want rising and below m = %d",
                            row, group, place[j], image->m);
        bool outside = row >= image->n_out || group >= image->groups;
        if (outside && place[j] != j)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "row %" PRId64 ", group %" PRId64
                            ": padding keeps place %d, want the %d lowest",
                            row, group, place[j], image->n);
        if (value[j] && (outside || group * image->m + place[j] >= image->k))
            return lac_fail(err, LAC_ERROR_INPUT,
                            "row %" PRId64 ", group %" PRId64 ": value %d lies behind the matrix",
                            row, group, j);
    }
    return LAC_OK;
}

lac_status lac_sta_image_check(const lac_sta_image *image, const uint8_t *bytes, lac_error *err)
{
    int used = (int)(meta_bits(image->n, image->m, image->c, image->l, image->index) % 8);
    for (int64_t tile = 0; tile < image->tiles; tile++)
        for (int64_t step = 0; step < image->steps; step++) {
            if (used && step_at(image, bytes, tile, step)[image->meta_bytes - 1] >> used)
                return lac_fail(err, LAC_ERROR_INPUT,
                                "tile %" PRId64 ", step %" PRId64
                                ": the bits behind its metadata are not 0",
                                tile, step);
            for (int c = 0; c < image->c; c++)
                for (int lane = 0; lane < image->l; lane++)
                    LAC_TRY(check_group(image, bytes, tile, step, c, lane, err));
        }
    return LAC_OK;
}

/* ---- header ---------------------------------------------------------------------------------- */

enum { ENC_BITMAP, ENC_INDEX, ENC_DENSE };

static void put(uint8_t **at, int bytes, uint64_t value)
{
    for (int i = 0; i < bytes; i++)
        *(*at)++ = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t **at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t) * (*at)++ << (8 * i);
    return value;
}

void lac_sta_header_put(const lac_sta_image *image, uint32_t crc, uint8_t *header)
{
    uint8_t *at = header;
    memset(header, 0, LAC_STA_HEADER_BYTES);
    memcpy(at, "STA1", 4);
    at += 4;
    put(&at, 2, (uint64_t)image->n);
    put(&at, 2, (uint64_t)image->m);
    put(&at, 2, (uint64_t)image->c);
    put(&at, 2, (uint64_t)image->l);
    put(&at, 1, image->m == 1 ? ENC_DENSE : image->index ? ENC_INDEX : ENC_BITMAP);
    put(&at, 1, 8);
    put(&at, 2, 0);
    put(&at, 4, (uint64_t)image->n_out);
    put(&at, 4, (uint64_t)image->k);
    put(&at, 4, (uint64_t)image->steps);
    put(&at, 4, (uint64_t)image->tiles);
    put(&at, 8, (uint64_t)image->bytes);
    put(&at, 4, crc);
}

lac_status lac_sta_header_get(lac_sta_image *image, uint32_t *crc, const uint8_t *header,
                              int64_t bytes, lac_error *err)
{
    const uint8_t *at = header + 4;
    if (memcmp(header, "STA1", 4) != 0)
        return lac_fail(err, LAC_ERROR_INPUT, "the image does not begin with 'STA1'");
    int n = (int)get(&at, 2), m = (int)get(&at, 2), c = (int)get(&at, 2), l = (int)get(&at, 2);
    int enc = (int)get(&at, 1), value_bits = (int)get(&at, 1), reserved = (int)get(&at, 2);
    int64_t n_out = (int64_t)get(&at, 4), k = (int64_t)get(&at, 4);
    int64_t steps = (int64_t)get(&at, 4), tiles = (int64_t)get(&at, 4);
    uint64_t image_bytes = get(&at, 8);
    *crc = (uint32_t)get(&at, 4);
    for (int i = 0; i < 20; i++)
        reserved |= *at++;
    LAC_TRY(lac_sta_image_shape(image, n, m, c, l, enc == ENC_INDEX, n_out, k, err));
    if (enc > ENC_DENSE || (enc == ENC_DENSE) != (m == 1))
        return lac_fail(err, LAC_ERROR_INPUT, "header: enc = %d does not fit %d:%d", enc, n, m);
    if (value_bits != 8 || reserved)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "header: value bits = %d, want 8 and zeros where reserved", value_bits);
    if (steps != image->steps || tiles != image->tiles)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "header: %" PRId64 " tiles of %" PRId64 " steps, want %" PRId64
                        " of %" PRId64,
                        tiles, steps, image->tiles, image->steps);
    if (image_bytes != (uint64_t)image->bytes || image->bytes != bytes)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "header: image bytes = %" PRIu64 ", want %" PRId64 "; %" PRId64
                        " follow the header",
                        image_bytes, image->bytes, bytes);
    return LAC_OK;
}

uint32_t lac_sta_crc(const uint8_t *bytes, int64_t count)
{
    uint32_t table[256], crc = UINT32_MAX;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? UINT32_C(0xEDB88320) : 0);
    }
    for (int64_t i = 0; i < count; i++)
        crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 255];
    return ~crc;
}
