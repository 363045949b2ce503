/* nm: at most N non-zeros in every M consecutive elements of a row; the CPU's canonical layout.
 *
 * Each group of M (the last one padded with zeros) keeps exactly N positions: its non-zeros, then
 * the lowest free positions with value 0. A row stores its kept values group by group, and beside
 * them their positions within the group, ceil(log2 M) bits each, LSB first, each row starting at a
 * byte. Positions rise within a group. Reference: the index form of sta.md 3.2, without tiles. */
#include "core/bits.h"
#include "format/packed.h"
#include "format/pattern.h"

#include <string.h>

enum { VALUES, INDEX };

typedef struct shape {
    int n, m, bits;
    int64_t groups, kept, row_bytes; /* kept = groups * n values a row */
    size_t size;
} shape;

static lac_status shape_of(const lac_packed *packed, shape *s, lac_error *err)
{
    s->n = (int)lac_params_int(&packed->params, "n");
    s->m = (int)lac_params_int(&packed->params, "m");
    if (s->n > s->m)
        return lac_fail(err, LAC_ERROR_INPUT, "nm: n = %d is above m = %d", s->n, s->m);
    s->bits = lac_bits_for(s->m);
    s->groups = (packed->cols + s->m - 1) / s->m;
    s->kept = s->groups * s->n;
    s->row_bytes = (s->kept * s->bits + 7) / 8;
    s->size = (size_t)lac_dtype_bits(packed->dtype) / 8;
    int64_t total; /* the padded matrix must be countable too: cols up to m - 1 longer */
    return lac_shape_count(2, (int64_t[]){packed->rows, s->groups * s->m}, &total, err);
}

static lac_status bytes_after(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                              lac_error *err)
{
    (void)matrix;
    shape s;
    LAC_TRY(shape_of(packed, &s, err));
    *result = packed->rows * (s.kept * (int64_t)s.size + s.row_bytes);
    return LAC_OK;
}

static bool is_zero(const char *element, lac_dtype dtype)
{
    if (dtype == LAC_F32) { /* minus zero counts as zero */
        float value;
        memcpy(&value, element, sizeof value);
        return value == 0;
    }
    if (dtype == LAC_F16) {
        uint16_t bits;
        memcpy(&bits, element, sizeof bits);
        return (bits & 0x7fff) == 0;
    }
    return *element == 0; /* int8 */
}

/* The places of the non-zeros of group g of row r; LAC_ERROR_INPUT when they are too many. */
static lac_status places(const lac_packed *packed, const shape *s, const lac_tensor *matrix,
                         int64_t r, int64_t g, uint32_t *keep, int *nonzeros, lac_error *err)
{
    const char *group =
        (const char *)matrix->data + (size_t)(r * packed->cols + g * s->m) * s->size;
    *keep = 0;
    *nonzeros = 0;
    for (int i = 0; i < s->m && g * s->m + i < packed->cols; i++)
        if (!is_zero(group + (size_t)i * s->size, packed->dtype)) {
            *keep |= UINT32_C(1) << i;
            ++*nonzeros;
        }
    if (*nonzeros > s->n)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "nm: row %lld has %d non-zeros in columns %lld..%lld, limit n = %d",
                        (long long)r, *nonzeros, (long long)(g * s->m),
                        (long long)(g * s->m + s->m - 1), s->n);
    return LAC_OK;
}

static lac_status bytes(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                        lac_error *err)
{
    shape s;
    uint32_t keep;
    int nonzeros;
    LAC_TRY(shape_of(packed, &s, err));
    for (int64_t r = 0; r < packed->rows; r++)
        for (int64_t g = 0; g < s.groups; g++)
            LAC_TRY(places(packed, &s, matrix, r, g, &keep, &nonzeros, err));
    return bytes_after(packed, matrix, result, err);
}

static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    shape s;
    LAC_TRY(shape_of(packed, &s, err));
    LAC_TRY(lac_field_make(packed, VALUES, packed->rows * s.kept, err));
    LAC_TRY(lac_field_make(packed, INDEX, packed->rows * s.row_bytes, err));
    for (int64_t r = 0; r < packed->rows; r++) {
        const char *row = (const char *)matrix->data + (size_t)(r * packed->cols) * s.size;
        char *values = (char *)packed->field[VALUES].data + (size_t)(r * s.kept) * s.size;
        uint8_t *index = (uint8_t *)packed->field[INDEX].data + r * s.row_bytes;
        for (int64_t g = 0; g < s.groups; g++) {
            uint32_t keep;
            int nonzeros;
            LAC_TRY(places(packed, &s, matrix, r, g, &keep, &nonzeros, err));
            for (int i = 0; nonzeros < s.n; i++)
                if (!(keep >> i & 1)) {
                    keep |= UINT32_C(1) << i;
                    nonzeros++;
                }
            for (int i = 0, j = 0; i < s.m; i++) {
                if (!(keep >> i & 1))
                    continue;
                int64_t at = g * s.n + j++;
                if (g * s.m + i < packed->cols)
                    memcpy(values + (size_t)at * s.size, row + (size_t)(g * s.m + i) * s.size,
                           s.size);
                lac_bits_put(index, at * s.bits, s.bits, (uint32_t)i);
            }
        }
    }
    return LAC_OK;
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    shape s;
    LAC_TRY(shape_of(packed, &s, err));
    memset(matrix->data, 0, lac_tensor_bytes(matrix));
    for (int64_t r = 0; r < packed->rows; r++) {
        char *row = (char *)matrix->data + (size_t)(r * packed->cols) * s.size;
        const char *values =
            (const char *)packed->field[VALUES].data + (size_t)(r * s.kept) * s.size;
        const uint8_t *index = (const uint8_t *)packed->field[INDEX].data + r * s.row_bytes;
        for (int64_t at = 0; at < s.kept; at++) {
            int64_t k = at / s.n * s.m + lac_bits_get(index, at * s.bits, s.bits);
            if (k < packed->cols)
                memcpy(row + (size_t)k * s.size, values + (size_t)at * s.size, s.size);
        }
    }
    return LAC_OK;
}

static lac_status validate(const lac_packed *packed, lac_error *err)
{
    shape s;
    LAC_TRY(shape_of(packed, &s, err));
    LAC_TRY(lac_field_check(packed, VALUES, packed->rows * s.kept, err));
    LAC_TRY(lac_field_check(packed, INDEX, packed->rows * s.row_bytes, err));
    for (int64_t r = 0; r < packed->rows; r++) {
        const uint8_t *index = (const uint8_t *)packed->field[INDEX].data + r * s.row_bytes;
        const char *values =
            (const char *)packed->field[VALUES].data + (size_t)(r * s.kept) * s.size;
        int last = -1;
        for (int64_t at = 0; at < s.kept; at++) {
            int place = (int)lac_bits_get(index, at * s.bits, s.bits);
            last = at % s.n ? last : -1;
            if (place <= last || place >= s.m)
                return lac_fail(err, LAC_ERROR_INPUT,
                                "index %lld of row %lld is %d, want rising and below m = %d",
                                (long long)at, (long long)r, place, s.m);
            if (at / s.n * s.m + place >= packed->cols &&
                !is_zero(values + (size_t)at * s.size, packed->dtype))
                return lac_fail(err, LAC_ERROR_INPUT,
                                "value %lld of row %lld lies behind the last column", (long long)at,
                                (long long)r);
            last = place;
        }
        if (s.kept * s.bits % 8 && index[s.row_bytes - 1] >> (s.kept * s.bits % 8))
            return lac_fail(err, LAC_ERROR_INPUT, "row %lld: the bits behind its indices are not 0",
                            (long long)r);
    }
    return LAC_OK;
}

static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    shape s;
    int list[3], v;
    lac_node *node;
    LAC_TRY(shape_of(packed, &s, err));
    int64_t all = packed->rows * s.groups;
    LAC_TRY(lac_body_zeros(graph, packed->dtype, 2, (int64_t[]){all, s.m}, &list[0], err));
    LAC_TRY(lac_body_bits(graph, field[INDEX], packed->rows, s.row_bytes, s.kept, s.bits, &v, err));
    LAC_TRY(lac_body_reshape(graph, v, 2, (int64_t[]){all, s.n}, &list[1], err));
    LAC_TRY(lac_body_reshape(graph, field[VALUES], 2, (int64_t[]){all, s.n}, &list[2], err));
    LAC_TRY(lac_body_op(graph, "ScatterElements", 3, list, &v, &node, err));
    LAC_TRY(lac_node_set_int(graph, node, "axis", 1, err));
    LAC_TRY(lac_body_reshape(graph, v, 2, (int64_t[]){packed->rows, s.groups * s.m}, &v, err));
    return lac_body_slice(graph, v, 1, 0, packed->cols, matrix, err);
}

static const lac_param params[] = {
    {"n", LAC_PARAM_INT, "", 2, 1, 32, NULL, NULL, LAC_OPTION, "", "kept of each group"},
    {"m", LAC_PARAM_INT, "", 4, 1, 32, NULL, NULL, LAC_OPTION, "", "group length along K"},
    {0}};

const lac_format lac_format_nm = {
    .row = LAC_ROW(lac_format, "nm", "N:M sparse, values and positions row by row"),
    .params = params,
    .dtypes = LAC_BIT(LAC_F32) | LAC_BIT(LAC_F16) | LAC_BIT(LAC_I8),
    .fields = {{"values", LAC_NONE, "rows x groups x n kept elements"},
               {"index", LAC_U8, "position of each in its group, ceil(log2 m) bits, LSB first"}},
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
