/* sta: STA's bitmap-packed N:M weights as one field, the 64-byte header and the image behind it
 * (dossier 3.1). The header says all that is needed to read the image on its own. */
#include "core/memory.h"
#include "format/packed.h"
#include "format/pattern.h"
#include "format/sta_image.h"

#include <string.h>

static lac_status shape_of(const lac_packed *packed, lac_sta_image *image, lac_error *err)
{
    const lac_params *p = &packed->params;
    return lac_sta_image_shape(image, (int)lac_params_int(p, "n"), (int)lac_params_int(p, "m"),
                               (int)lac_params_int(p, "c"), (int)lac_params_int(p, "l"),
                               strcmp(lac_params_text(p, "enc"), "index") == 0, packed->rows,
                               packed->cols, err);
}

static lac_status bytes_after(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                              lac_error *err)
{
    lac_sta_image image;
    (void)matrix;
    LAC_TRY(shape_of(packed, &image, err));
    *result = LAC_STA_HEADER_BYTES + image.bytes;
    return LAC_OK;
}

static lac_status bytes(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                        lac_error *err)
{
    lac_sta_image image;
    LAC_TRY(shape_of(packed, &image, err));
    LAC_TRY(lac_sta_image_fits(&image, matrix->data, err));
    return bytes_after(packed, matrix, result, err);
}

static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    lac_sta_image image;
    LAC_TRY(shape_of(packed, &image, err));
    LAC_TRY(lac_field_make(packed, 0, LAC_STA_HEADER_BYTES + image.bytes, err));
    uint8_t *header = packed->field[0].data, *payload = header + LAC_STA_HEADER_BYTES;
    LAC_TRY(lac_sta_image_pack(&image, matrix->data, payload, err));
    lac_sta_header_put(&image, lac_sta_crc(payload, image.bytes), header);
    return LAC_OK;
}

static lac_status validate(const lac_packed *packed, lac_error *err)
{
    lac_sta_image want, image;
    uint32_t stored;
    const uint8_t *header = packed->field[0].data;
    int64_t count = lac_tensor_count(&packed->field[0]);
    LAC_TRY(shape_of(packed, &want, err));
    if (count < LAC_STA_HEADER_BYTES)
        return lac_fail(err, LAC_ERROR_INPUT, "field 'image' has %lld bytes, the header alone %d",
                        (long long)count, LAC_STA_HEADER_BYTES);
    LAC_TRY(lac_sta_header_get(&image, &stored, header, count - LAC_STA_HEADER_BYTES, err));
    if (image.n != want.n || image.m != want.m || image.c != want.c || image.l != want.l ||
        image.index != want.index || image.n_out != want.n_out || image.k != want.k)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "header: a %lld x %lld image of %d:%d, c=%d, l=%d is not what the "
                        "parameters and the shape say",
                        (long long)image.n_out, (long long)image.k, image.n, image.m, image.c,
                        image.l);
    uint32_t crc = lac_sta_crc(header + LAC_STA_HEADER_BYTES, image.bytes);
    if (crc != stored)
        return lac_fail(err, LAC_ERROR_INPUT, "header: crc = 0x%08x, the image has 0x%08x",
                        (unsigned)stored, (unsigned)crc);
    return lac_sta_image_check(&image, header + LAC_STA_HEADER_BYTES, err);
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    lac_sta_image image;
    const uint8_t *payload = (const uint8_t *)packed->field[0].data + LAC_STA_HEADER_BYTES;
    int8_t *out = matrix->data, value[LAC_STA_M_MAX];
    int place[LAC_STA_M_MAX];
    LAC_TRY(shape_of(packed, &image, err));
    memset(out, 0, lac_tensor_bytes(matrix));
    for (int64_t row = 0; row < image.n_out; row++)
        for (int64_t group = 0; group < image.groups; group++) {
            lac_sta_image_group(&image, payload, row / image.c, group / image.l,
                                (int)(row % image.c), (int)(group % image.l), place, value);
            for (int j = 0; j < image.n; j++)
                if (group * image.m + place[j] < image.k)
                    out[row * image.k + group * image.m + place[j]] = value[j];
        }
    return LAC_OK;
}

/* op(a, constant) with an int32 constant. */
static lac_status with_number(lac_graph *graph, const char *op, int a, int32_t number, int *out,
                              lac_error *err)
{
    int pair[2] = {a};
    LAC_TRY(lac_body_int32s(graph, 1, &number, &pair[1], err));
    return lac_body_op(graph, op, 2, pair, out, NULL, err);
}

/* uint8 bytes as the signed numbers they stand for, int32: b - 256 * (b / 128). */
static lac_status signed_bytes(lac_graph *graph, int in, int *out, lac_error *err)
{
    int pair[2], high;
    LAC_TRY(lac_body_cast(graph, in, LAC_I32, &pair[0], err));
    LAC_TRY(with_number(graph, "Div", pair[0], 128, &high, err));
    LAC_TRY(with_number(graph, "Mul", high, 256, &pair[1], err));
    return lac_body_op(graph, "Sub", 2, pair, out, NULL, err);
}

/* Bitmaps [all][m] of 0 and 1, kept values [all][n]: a kept place takes the value of its rank. */
static lac_status spread_bitmap(lac_graph *graph, const lac_sta_image *s, int meta, int values,
                                int64_t all, int *out, lac_error *err)
{
    int bits, pair[2], rank, picked;
    lac_node *node;
    int64_t axis = 1;
    LAC_TRY(lac_body_bits(graph, meta, s->tiles * s->steps, s->meta_bytes,
                          (int64_t)s->c * s->l * s->m, 1, &bits, err));
    LAC_TRY(lac_body_reshape(graph, bits, 2, (int64_t[]){all, s->m}, &bits, err));
    LAC_TRY(lac_body_cast(graph, bits, LAC_I32, &bits, err));
    lac_tensor scalar; /* the axis of CumSum is a 0-dimensional tensor */
    LAC_TRY(lac_tensor_make(&scalar, LAC_I64, 0, &axis, err));
    *(int64_t *)scalar.data = axis;
    lac_status status = lac_graph_constant(graph, NULL, &scalar, &pair[1], err);
    lac_tensor_release(&scalar);
    LAC_TRY(status);
    pair[0] = bits;
    LAC_TRY(lac_body_op(graph, "CumSum", 2, pair, &rank, &node, err));
    LAC_TRY(lac_node_set_int(graph, node, "exclusive", 1, err));
    /* Behind the last kept place the rank is n, one too far: any rank will do, its bit is 0. */
    LAC_TRY(lac_body_cast(graph, rank, LAC_I64, &pair[0], err));
    int64_t n = s->n;
    LAC_TRY(lac_body_ints(graph, 1, &n, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Mod", 2, pair, &rank, NULL, err));
    LAC_TRY(lac_body_op(graph, "GatherElements", 2, (int[]){values, rank}, &picked, &node, err));
    LAC_TRY(lac_node_set_int(graph, node, "axis", 1, err));
    return lac_body_op(graph, "Mul", 2, (int[]){picked, bits}, out, NULL, err);
}

static lac_status spread_index(lac_graph *graph, const lac_sta_image *s, int meta, int values,
                               int64_t all, int *out, lac_error *err)
{
    int list[3] = {0, 0, values};
    lac_node *node;
    LAC_TRY(lac_body_zeros(graph, LAC_I32, 2, (int64_t[]){all, s->m}, &list[0], err));
    LAC_TRY(lac_body_bits(graph, meta, s->tiles * s->steps, s->meta_bytes,
                          (int64_t)s->c * s->l * s->n, s->index_bits, &list[1], err));
    LAC_TRY(lac_body_reshape(graph, list[1], 2, (int64_t[]){all, s->n}, &list[1], err));
    LAC_TRY(lac_body_op(graph, "ScatterElements", 3, list, out, &node, err));
    return lac_node_set_int(graph, node, "axis", 1, err);
}

static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    lac_sta_image s;
    int image, values, v;
    lac_node *node;
    LAC_TRY(shape_of(packed, &s, err));
    int64_t steps = s.tiles * s.steps, all = steps * s.c * s.l;
    LAC_TRY(lac_body_slice(graph, field[0], 0, LAC_STA_HEADER_BYTES, LAC_STA_HEADER_BYTES + s.bytes,
                           &image, err));
    LAC_TRY(lac_body_reshape(graph, image, 2, (int64_t[]){steps, s.step_bytes}, &image, err));
    /* value planes [step][j][c][lane] -> [step c lane][j] */
    LAC_TRY(lac_body_slice(graph, image, 1, s.meta_bytes, s.step_bytes, &values, err));
    LAC_TRY(lac_body_reshape(graph, values, 3, (int64_t[]){steps, s.n, (int64_t)s.c * s.l}, &values,
                             err));
    LAC_TRY(lac_body_op(graph, "Transpose", 1, &values, &v, &node, err));
    LAC_TRY(lac_node_set_ints(graph, node, "perm", 3, (int64_t[]){0, 2, 1}, err));
    LAC_TRY(lac_body_reshape(graph, v, 2, (int64_t[]){all, s.n}, &v, err));
    LAC_TRY(signed_bytes(graph, v, &values, err));
    if (s.m == 1) {
        v = values;
    } else {
        int meta;
        LAC_TRY(lac_body_slice(graph, image, 1, 0, s.meta_bytes, &meta, err));
        LAC_TRY((s.index ? spread_index : spread_bitmap)(graph, &s, meta, values, all, &v, err));
    }
    /* [tile][step][c][lane m] -> [tile c][step lane m] */
    LAC_TRY(lac_body_reshape(graph, v, 4, (int64_t[]){s.tiles, s.steps, s.c, (int64_t)s.l * s.m},
                             &v, err));
    LAC_TRY(lac_body_op(graph, "Transpose", 1, &v, &values, &node, err));
    LAC_TRY(lac_node_set_ints(graph, node, "perm", 4, (int64_t[]){0, 2, 1, 3}, err));
    LAC_TRY(lac_body_reshape(graph, values, 2, (int64_t[]){s.tiles * s.c, s.steps * s.l * s.m}, &v,
                             err));
    LAC_TRY(lac_body_slice(graph, v, 0, 0, s.n_out, &v, err));
    LAC_TRY(lac_body_slice(graph, v, 1, 0, s.k, &v, err));
    return lac_body_cast(graph, v, LAC_I8, matrix, err);
}

static const lac_param params[] = {
    {"n", LAC_PARAM_INT, "", 2, 1, LAC_STA_M_MAX, NULL, NULL, LAC_OPTION, "", "kept of each group"},
    {"m", LAC_PARAM_INT, "", 4, 1, LAC_STA_M_MAX, NULL, NULL, LAC_OPTION, "",
     "group length along K"},
    {"c", LAC_PARAM_INT, "", 16, 1, 1024, NULL, NULL, LAC_ASSUMED,
     "our choice: C*L = 64 makes a value plane one 64-byte beat", "outputs of a column tile"},
    {"l", LAC_PARAM_INT, "", 4, 1, 1024, NULL, NULL, LAC_ASSUMED, "our choice, as c",
     "lanes: groups of a step"},
    {"enc", LAC_PARAM_CHOICE, "", 0, 0, 0, "bitmap", "bitmap|index", LAC_ASSUMED,
     "a reading note names the bitmap; indices are our alternative", "metadata of the kept places"},
    {0}};

const lac_format lac_format_sta = {
    .row = LAC_ROW(lac_format, "sta", "STA's bitmap-packed N:M image, tile by tile"),
    .params = params,
    .dtypes = LAC_BIT(LAC_I8),
    .fields = {{"image", LAC_U8, "64-byte header, then column tiles of steps: metadata, values"}},
    .pack = pack,
    .unpack = unpack,
    .validate = validate,
    .bytes = bytes,
    .unpack_graph = unpack_graph,
    .remedy = "pruning to n:m",
    .bytes_after = bytes_after,
    .fit = lac_pattern_fit,
    .group = "m",
};
