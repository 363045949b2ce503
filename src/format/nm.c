/* nm: at most N non-zeros in every M consecutive elements of a row, laid out as vector kernels read
 * it: 16 outputs side by side, so that one shuffle picks for each of them its own kept activations
 * out of a window (sta.md, "On a CPU"). Each group of M (the last one padded with zeros) keeps
 * exactly N places: its non-zeros, then the lowest free places with value 0, rising. */
#include "format/nm.h"
#include "format/packed.h"
#include "format/pattern.h"

#include <stdio.h>
#include <string.h>

enum { VALUES = LAC_NM_VALUES, INDEX = LAC_NM_INDEX, COLUMNS = LAC_NM_COLUMNS };

/* Sub-windows of a window: a step takes 4 slots, so 1, 2 or 4 of them fill steps better.
 * The fewest that waste at most one slot in eight, else those that waste least. */
static int subs_of(const lac_nm_cut *cut)
{
    int best = 1, best_steps = 0;
    for (int subs = 1; subs * cut->sub <= LAC_NM_WINDOW && subs <= 4; subs *= 2) {
        int used = subs * cut->kept, steps = (used + 3) / 4;
        if (best_steps == 0 || steps * best < best_steps * subs) {
            best = subs;
            best_steps = steps;
        }
        if (steps * 4 - used <= steps / 2)
            break;
    }
    return best;
}

lac_status lac_nm_cut_of(const lac_packed *packed, lac_nm_cut *cut, lac_error *err)
{
    int n = (int)lac_params_int(&packed->params, "n"),
        m = (int)lac_params_int(&packed->params, "m");
    int bits = (int)lac_params_int(&packed->params, "bits");
    bool bytes = packed->dtype == LAC_I8;
    if (n > m)
        return lac_fail(err, LAC_ERROR_INPUT, "nm: n = %d is above m = %d", n, m);
    if (bits != 8 && (bits != 4 || !bytes))
        return lac_fail(err, LAC_ERROR_INPUT, "nm: bits = %d of %s, want 8, or 4 of int8", bits,
                        lac_dtype_name(packed->dtype));
    int groups = m <= 16 ? 16 / m : 1;
    *cut = (lac_nm_cut){.n = n,
                        .m = m,
                        .depth = LAC_NM_DEPTH,
                        .sub = groups * m,
                        .kept = groups * n,
                        .subs = 1,
                        .place_bits = m <= 4    ? 2
                                      : m <= 16 ? 4
                                                : 8,
                        .value_bits = bytes ? bits : lac_dtype_bits(packed->dtype)};
    cut->subs = subs_of(cut);
    cut->window = cut->subs * cut->sub;
    cut->steps = (cut->subs * cut->kept + cut->depth - 1) / cut->depth;
    cut->slots = cut->steps * cut->depth;
    cut->windows = (packed->cols + cut->window - 1) / cut->window;
    cut->panels = (packed->rows + COLUMNS - 1) / COLUMNS;
    cut->unit = COLUMNS * cut->depth;
    int64_t total; /* the padded matrix and the fields must be countable too */
    LAC_TRY(lac_shape_count(
        4, (int64_t[]){cut->panels + 1, cut->windows + 4, COLUMNS, cut->window + cut->slots * 5},
        &total, err));
    cut->panel_steps = cut->windows * cut->steps;
    cut->panel_index = (cut->panel_steps * cut->place_bits + 7) / 8 * cut->unit;
    cut->panel_values = (cut->panel_steps * cut->value_bits + 7) / 8 * cut->unit;
    return LAC_OK;
}

static lac_status bytes_after(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                              lac_error *err)
{
    (void)matrix;
    lac_nm_cut cut = {0};
    LAC_TRY(lac_nm_cut_of(packed, &cut, err));
    *result = cut.panels * (cut.panel_values + cut.panel_index);
    return LAC_OK;
}

/* Elements of the field of values. */
static int64_t value_count(const lac_packed *packed, const lac_nm_cut *cut)
{
    return cut->panels * cut->panel_values * 8 / lac_dtype_bits(packed->dtype);
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

/* The places of the non-zeros of the group of row r at column `first`; LAC_ERROR_INPUT when they
 * are too many or too large. */
static lac_status places(const lac_packed *packed, const lac_nm_cut *cut, const lac_tensor *matrix,
                         int64_t r, int64_t first, uint32_t *keep, int *nonzeros, lac_error *err)
{
    size_t size = (size_t)lac_dtype_bits(packed->dtype) / 8;
    *keep = 0;
    *nonzeros = 0;
    for (int i = 0; r < packed->rows && i < cut->m && first + i < packed->cols; i++) {
        const char *element =
            (const char *)matrix->data + (size_t)(r * packed->cols + first + i) * size;
        if (is_zero(element, packed->dtype))
            continue;
        *keep |= UINT32_C(1) << i;
        ++*nonzeros;
        if (cut->value_bits == 4 && (*element & 0xff) > 7 && (*element & 0xff) < 0xf8)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "nm: row %lld, column %lld is %d, limit -8..7 of bits = 4",
                            (long long)r, (long long)(first + i), *(const int8_t *)element);
    }
    if (*nonzeros > cut->n)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "nm: row %lld has %d non-zeros in columns %lld..%lld, limit n = %d",
                        (long long)r, *nonzeros, (long long)first, (long long)(first + cut->m - 1),
                        cut->n);
    return LAC_OK;
}

static lac_status bytes(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                        lac_error *err)
{
    lac_nm_cut cut = {0};
    uint32_t keep;
    int nonzeros;
    LAC_TRY(lac_nm_cut_of(packed, &cut, err));
    for (int64_t r = 0; r < packed->rows; r++)
        for (int64_t first = 0; first < packed->cols; first += cut.window)
            for (int slot = 0; slot < cut.subs * cut.kept; slot += cut.n)
                LAC_TRY(places(packed, &cut, matrix, r, first + lac_nm_base(&cut, slot), &keep,
                               &nonzeros, err));
    return bytes_after(packed, matrix, result, err);
}

/* A kept element: its row of the padded matrix, and where it stands. */
typedef struct spot {
    int64_t panel, step;
    int element;
} spot;

static spot spot_of(const lac_nm_cut *cut, int64_t r, int64_t window, int slot)
{
    return (spot){r / COLUMNS, lac_nm_step(cut, window, slot),
                  (int)(r % COLUMNS) * cut->depth + slot % cut->depth};
}

static uint8_t *index_of(const lac_packed *packed, const lac_nm_cut *cut, spot at)
{
    return (uint8_t *)packed->field[INDEX].data + at.panel * cut->panel_index;
}

/* The bytes of an element of 8 bits or more; of 4: of the panel. */
static uint8_t *value_at(const lac_packed *packed, const lac_nm_cut *cut, spot at)
{
    uint8_t *panel = (uint8_t *)packed->field[VALUES].data + at.panel * cut->panel_values;
    return cut->value_bits == 4
               ? panel
               : panel + (at.step * cut->unit + at.element) * (cut->value_bits / 8);
}

static void value_get(const lac_packed *packed, const lac_nm_cut *cut, spot at, char *value)
{
    const uint8_t *from = value_at(packed, cut, at);
    if (cut->value_bits == 4)
        *value = (char)((lac_nm_get(from, cut->unit, 4, at.step, at.element) ^ 8) - 8);
    else
        memcpy(value, from, (size_t)cut->value_bits / 8);
}

/* Row r of the padded matrix, the group of `slot` in `window`. */
static lac_status pack_group(lac_packed *packed, const lac_nm_cut *cut, const lac_tensor *matrix,
                             int64_t r, int64_t window, int slot, lac_error *err)
{
    size_t size = (size_t)lac_dtype_bits(packed->dtype) / 8;
    int64_t first = window * cut->window + lac_nm_base(cut, slot);
    uint32_t keep;
    int nonzeros;
    LAC_TRY(places(packed, cut, matrix, r, first, &keep, &nonzeros, err));
    for (int i = 0; nonzeros < cut->n; i++)
        if (!(keep >> i & 1)) {
            keep |= UINT32_C(1) << i;
            nonzeros++;
        }
    for (int i = 0; i < cut->m; i++) {
        if (!(keep >> i & 1))
            continue;
        spot at = spot_of(cut, r, window, slot++);
        lac_nm_put(index_of(packed, cut, at), cut->unit, cut->place_bits, at.step, at.element, i);
        if (r >= packed->rows || first + i >= packed->cols)
            continue;
        const char *from =
            (const char *)matrix->data + (size_t)(r * packed->cols + first + i) * size;
        if (cut->value_bits == 4)
            lac_nm_put(value_at(packed, cut, at), cut->unit, 4, at.step, at.element, *from & 15);
        else
            memcpy(value_at(packed, cut, at), from, size);
    }
    return LAC_OK;
}

static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    lac_nm_cut cut = {0};
    LAC_TRY(lac_nm_cut_of(packed, &cut, err));
    LAC_TRY(lac_field_make(packed, VALUES, value_count(packed, &cut), err));
    LAC_TRY(lac_field_make(packed, INDEX, cut.panels * cut.panel_index, err));
    for (int64_t r = 0; r < cut.panels * COLUMNS; r++)
        for (int64_t window = 0; window < cut.windows; window++)
            for (int slot = 0; slot < cut.subs * cut.kept; slot += cut.n)
                LAC_TRY(pack_group(packed, &cut, matrix, r, window, slot, err));
    return LAC_OK;
}

static int place_of(const lac_packed *packed, const lac_nm_cut *cut, spot at)
{
    return lac_nm_get(index_of(packed, cut, at), cut->unit, cut->place_bits, at.step, at.element);
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    lac_nm_cut cut = {0};
    size_t size = (size_t)lac_dtype_bits(packed->dtype) / 8;
    LAC_TRY(lac_nm_cut_of(packed, &cut, err));
    memset(matrix->data, 0, lac_tensor_bytes(matrix));
    for (int64_t r = 0; r < packed->rows; r++)
        for (int64_t window = 0; window < cut.windows; window++)
            for (int slot = 0; slot < cut.subs * cut.kept; slot++) {
                spot at = spot_of(&cut, r, window, slot);
                int64_t k =
                    window * cut.window + lac_nm_base(&cut, slot) + place_of(packed, &cut, at);
                if (k < packed->cols)
                    value_get(packed, &cut, at,
                              (char *)matrix->data + (size_t)(r * packed->cols + k) * size);
            }
    return LAC_OK;
}

/* All slots of one output in one window. */
static lac_status validate_window(const lac_packed *packed, const lac_nm_cut *cut, int64_t r,
                                  int64_t window, lac_error *err)
{
    int last = -1;
    for (int slot = 0; slot < cut->slots; slot++) {
        spot at = spot_of(cut, r, window, slot);
        bool filled = slot < cut->subs * cut->kept;
        char value[4] = {0};
        int place = place_of(packed, cut, at);
        int64_t k = window * cut->window + lac_nm_base(cut, slot) + place;
        last = slot % cut->kept % cut->n && filled ? last : -1;
        if (filled ? place <= last || place >= cut->m : place != 0)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "index %d of row %lld, window %lld is %d, want rising and below m = %d",
                            slot, (long long)r, (long long)window, place, filled ? cut->m : 1);
        last = place;
        if (filled && r < packed->rows && k < packed->cols)
            continue;
        value_get(packed, cut, at, value);
        if (!is_zero(value, packed->dtype))
            return lac_fail(err, LAC_ERROR_INPUT,
                            "value %d of row %lld, window %lld lies outside the matrix", slot,
                            (long long)r, (long long)window);
    }
    return LAC_OK;
}

static lac_status validate(const lac_packed *packed, lac_error *err)
{
    lac_nm_cut cut = {0};
    LAC_TRY(lac_nm_cut_of(packed, &cut, err));
    LAC_TRY(lac_field_check(packed, VALUES, value_count(packed, &cut), err));
    LAC_TRY(lac_field_check(packed, INDEX, cut.panels * cut.panel_index, err));
    for (int64_t panel = 0; panel < cut.panels; panel++)
        for (int e = 0; e < cut.unit; e++) {
            spot at = {panel, cut.panel_steps, e};
            bool rest = false;
            for (; at.step % (8 / cut.place_bits); at.step++)
                rest |= place_of(packed, &cut, at) != 0;
            for (at.step = cut.panel_steps; cut.value_bits == 4 && at.step % 2; at.step++)
                rest |= lac_nm_get(value_at(packed, &cut, at), cut.unit, 4, at.step, e) != 0;
            if (rest)
                return lac_fail(err, LAC_ERROR_INPUT,
                                "panel %lld: the bits behind its last step are not 0",
                                (long long)panel);
        }
    for (int64_t r = 0; r < cut.panels * COLUMNS; r++)
        for (int64_t window = 0; window < cut.windows; window++)
            LAC_TRY(validate_window(packed, &cut, r, window, err));
    return LAC_OK;
}

/* Elements of `bits` bits in the order of the steps: [panels][steps * unit]. */
static lac_status widen(const lac_nm_cut *cut, lac_graph *graph, int in, int64_t panel_bytes,
                        int bits, int *out, lac_error *err)
{
    lac_node *node;
    int per = 8 / bits, v;
    int64_t units = panel_bytes / cut->unit;
    LAC_TRY(lac_body_bits(graph, in, cut->panels, panel_bytes, panel_bytes * per, bits, &v, err));
    LAC_TRY(
        lac_body_reshape(graph, v, 3, (int64_t[]){cut->panels * units, cut->unit, per}, &v, err));
    LAC_TRY(lac_body_op(graph, "Transpose", 1, &v, out, &node, err));
    LAC_TRY(lac_node_set_ints(graph, node, "perm", 3, (int64_t[]){0, 2, 1}, err));
    LAC_TRY(lac_body_reshape(graph, *out, 2, (int64_t[]){cut->panels, units * per * cut->unit}, out,
                             err));
    return lac_body_slice(graph, *out, 1, 0, cut->panel_steps * cut->unit, out, err);
}

/* Steps to the kept elements of each sub-window: [rows, windows, subs][kept]. */
static lac_status by_row(const lac_nm_cut *cut, lac_graph *graph, int *value, lac_error *err)
{
    lac_node *node;
    int64_t rows = cut->panels * COLUMNS;
    int v;
    LAC_TRY(lac_body_reshape(
        graph, *value, 4, (int64_t[]){cut->panels, cut->windows * cut->steps, COLUMNS, cut->depth},
        &v, err));
    LAC_TRY(lac_body_op(graph, "Transpose", 1, &v, value, &node, err));
    LAC_TRY(lac_node_set_ints(graph, node, "perm", 4, (int64_t[]){0, 2, 1, 3}, err));
    LAC_TRY(lac_body_reshape(graph, *value, 2, (int64_t[]){rows * cut->windows, cut->slots}, value,
                             err));
    LAC_TRY(lac_body_slice(graph, *value, 1, 0, cut->subs * cut->kept, value, err));
    return lac_body_reshape(
        graph, *value, 2,
        (int64_t[]){rows * cut->windows * cut->subs * (cut->kept / cut->n), cut->n}, value, err);
}

static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    lac_nm_cut cut = {0};
    lac_node *node;
    int list[3], pair[2], v;
    LAC_TRY(lac_nm_cut_of(packed, &cut, err));
    int64_t rows = cut.panels * COLUMNS;
    int64_t groups = rows * cut.windows * cut.subs * (cut.kept / cut.n);
    LAC_TRY(lac_body_zeros(graph, packed->dtype, 2, (int64_t[]){groups, cut.m}, &list[0], err));
    LAC_TRY(widen(&cut, graph, field[INDEX], cut.panel_index, cut.place_bits, &list[1], err));
    LAC_TRY(by_row(&cut, graph, &list[1], err));
    list[2] = field[VALUES];
    if (cut.value_bits == 4) { /* -128..127 to 0..255, two numbers of 4 bits, to -8..7 */
        static const int32_t all = 256, half = 8;
        LAC_TRY(lac_body_cast(graph, list[2], LAC_I32, &pair[0], err));
        LAC_TRY(lac_body_int32s(graph, 1, &all, &pair[1], err));
        LAC_TRY(lac_body_op(graph, "Add", 2, pair, &v, NULL, err));
        pair[0] = v;
        LAC_TRY(lac_body_op(graph, "Mod", 2, pair, &v, NULL, err));
        LAC_TRY(widen(&cut, graph, v, cut.panel_values, 4, &v, err));
        LAC_TRY(lac_body_cast(graph, v, LAC_I32, &pair[0], err));
        LAC_TRY(lac_body_int32s(graph, 1, &half, &pair[1], err));
        LAC_TRY(lac_body_op(graph, "Add", 2, pair, &v, NULL, err));
        static const int32_t sixteen = 16;
        pair[0] = v;
        LAC_TRY(lac_body_int32s(graph, 1, &sixteen, &pair[1], err));
        LAC_TRY(lac_body_op(graph, "Mod", 2, pair, &v, NULL, err));
        pair[0] = v;
        LAC_TRY(lac_body_int32s(graph, 1, &half, &pair[1], err));
        LAC_TRY(lac_body_op(graph, "Sub", 2, pair, &v, NULL, err));
        LAC_TRY(lac_body_cast(graph, v, LAC_I8, &list[2], err));
    }
    LAC_TRY(by_row(&cut, graph, &list[2], err));
    LAC_TRY(lac_body_op(graph, "ScatterElements", 3, list, &v, &node, err));
    LAC_TRY(lac_node_set_int(graph, node, "axis", 1, err));
    LAC_TRY(lac_body_reshape(graph, v, 2, (int64_t[]){rows, cut.windows * cut.window}, &v, err));
    LAC_TRY(lac_body_slice(graph, v, 0, 0, packed->rows, &v, err));
    return lac_body_slice(graph, v, 1, 0, packed->cols, matrix, err);
}

/* The pattern, and 4 bits where they hold all elements. */
static lac_status fit(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    bool small = packed->dtype == LAC_I8;
    for (int64_t i = 0; small && i < packed->rows * packed->cols; i++) {
        int8_t value = ((const int8_t *)matrix->data)[i];
        small = value >= -8 && value <= 7;
    }
    LAC_TRY(lac_params_set(&packed->params, "bits", small ? "4" : "8", err));
    return lac_pattern_fit(packed, matrix, err);
}

static const lac_param params[] = {
    {"n", LAC_PARAM_INT, "", 2, 1, 32, NULL, NULL, LAC_OPTION, "", "kept of each group"},
    {"m", LAC_PARAM_INT, "", 4, 1, 32, NULL, NULL, LAC_OPTION, "", "group length along K"},
    {"bits", LAC_PARAM_INT, "", 8, 4, 8, NULL, NULL, LAC_OPTION, "",
     "of a kept int8 element: 8, or 4 where all are in [-8, 7]"},
    {0}};

const lac_format lac_format_nm = {
    .row = LAC_ROW(lac_format, "nm", "N:M sparse, 16 outputs side by side as vectors read them"),
    .params = params,
    .dtypes = LAC_BIT(LAC_F32) | LAC_BIT(LAC_F16) | LAC_BIT(LAC_I8),
    .fields = {{"values", LAC_NONE, "kept elements, [panel][window][step][16 outputs][depth]"},
               {"index", LAC_U8, "place of each in its group, 2, 4 or 8 bits, the same order"}},
    .pack = pack,
    .unpack = unpack,
    .validate = validate,
    .bytes = bytes,
    .unpack_graph = unpack_graph,
    .remedy = "pruning to n:m",
    .bytes_after = bytes_after,
    .fit = fit,
    .group = "m",
};
