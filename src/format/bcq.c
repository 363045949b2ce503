/* bcq: binary-coding quantisation, w = sum over planes of +-scale, + an offset, with one set of
 * scales for each row and group of columns; the layout of LUT-GEMM (Park et al., ICLR 2024, arXiv
 * 2206.09557; public code). The format only stores: the scales of a group are found again from its
 * distinct values: those of a uniform grid, or half the distances of values from the largest. */
#include "format/bcq.h"

#include "format/intq.h"
#include "format/packed.h"

#include <math.h>
#include <string.h>

enum { PLANES, SCALE, SCALE32, OFFSET };
enum { MOST_PLANES = 8, MOST_VALUES = 256, SEARCHED_PLANES = 4 };

typedef struct shape {
    lac_bcq q;
    bool wide, shifted; /* float32 scales; offsets */
    int64_t plane_count, scale_count, offset_count;
} shape;

static lac_status shape_of(const lac_packed *packed, shape *s, lac_error *err)
{
    memset(s, 0, sizeof *s);
    s->q.planes = (int)lac_params_int(&packed->params, "planes");
    s->q.group = (int)lac_params_int(&packed->params, "group");
    s->wide = strcmp(lac_params_text(&packed->params, "scale"), "float32") == 0;
    s->shifted = strcmp(lac_params_text(&packed->params, "offset"), "stored") == 0;
    if (s->q.group % 8)
        return lac_fail(err, LAC_ERROR_INPUT, "bcq: group = %d, want a multiple of 8", s->q.group);
    s->q.words = packed->cols / 32 + (packed->cols % 32 != 0);
    s->q.groups = packed->cols / s->q.group + (packed->cols % s->q.group != 0);
    int64_t longest = s->q.groups * s->q.group, total;
    longest = longest < s->q.words * 32 ? s->q.words * 32 : longest;
    LAC_TRY(lac_shape_count(3, (int64_t[]){packed->rows, longest, s->q.planes}, &total, err));
    s->plane_count = s->q.words * s->q.planes * packed->rows;
    s->scale_count = s->q.groups * s->q.planes * packed->rows;
    s->offset_count = s->shifted ? s->q.groups * packed->rows : 0;
    return LAC_OK;
}

lac_status lac_bcq_of(const lac_packed *packed, lac_bcq *q, lac_error *err)
{
    shape s;
    LAC_TRY(shape_of(packed, &s, err));
    *q = s.q;
    q->plane = packed->field[PLANES].data;
    q->scale = s.wide ? NULL : packed->field[SCALE].data;
    q->scale32 = s.wide ? packed->field[SCALE32].data : NULL;
    q->offset = s.shifted ? packed->field[OFFSET].data : NULL;
    return LAC_OK;
}

static lac_status bytes_after(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                              lac_error *err)
{
    (void)matrix;
    shape s;
    LAC_TRY(shape_of(packed, &s, err));
    *result = 4 * s.plane_count + (s.wide ? 4 : 2) * s.scale_count + 4 * s.offset_count;
    return LAC_OK;
}

/* ---- the scales of a group --------------------------------------------------------------------
 */

typedef struct coding {
    int planes;
    bool wide, shifted;
    float scale[MOST_PLANES], offset;
} coding;

/* As the kernels and unpack: planes in order, then the offset. */
static float value_of(const coding *c, unsigned code)
{
    float value = 0;
    for (int i = 0; i < c->planes; i++)
        value += code >> i & 1 ? c->scale[i] : -c->scale[i];
    return value + c->offset;
}

/* The code of `value`, or -1. */
static int code_of(const coding *c, float value)
{
    for (unsigned code = 0; code < 1u << c->planes; code++)
        if (value_of(c, code) == value)
            return (int)code;
    return -1;
}

static bool codes_all(const coding *c, const float *value, int count)
{
    for (int i = 0; i < c->planes; i++) {
        float stored = c->wide ? c->scale[i] : lac_f16_to_f32(lac_f32_to_f16(c->scale[i]));
        if (stored != c->scale[i] || isinf(stored))
            return false;
    }
    for (int i = 0; i < count; i++)
        if (code_of(c, value[i]) < 0)
            return false;
    return true;
}

/* Distinct values, ascending; -1: more than `most` or no numbers. */
static int distinct(const float *value, int64_t count, int most, float *found)
{
    int n = 0;
    for (int64_t i = 0; i < count; i++) {
        int at = 0;
        if (!isfinite(value[i]))
            return -1;
        while (at < n && found[at] < value[i])
            at++;
        if (at < n && found[at] == value[i])
            continue;
        if (n == most)
            return -1;
        memmove(found + at + 1, found + at, (size_t)(n - at) * sizeof *found);
        found[at] = value[i] + 0.0f;
        n++;
    }
    return n;
}

/* w = s (c - z): scales s 2^(i-1), offset s ((2^planes - 1) / 2 - z). */
static bool uniform(coding *c, const float *value, int count)
{
    float step;
    int zero;
    if (!c->shifted || !lac_intq_grid(value, count, c->planes, true, &step, &zero))
        return false;
    for (int i = 0; i < c->planes; i++)
        c->scale[i] = ldexpf(step, i - 1);
    c->offset = step * ((float)((1 << c->planes) - 1) / 2 - (float)zero);
    return codes_all(c, value, count);
}

/* Chooses `left` more scales among half[from..n), the rest 0; without offsets the last plane takes
 * what is missing to `top`. */
static bool search(coding *c, const float *value, int count, const float *half, int n, int from,
                   int chosen, int left, float top)
{
    if (left == 0) {
        coding with = *c;
        double sum = 0;
        for (int i = chosen; i < with.planes; i++)
            with.scale[i] = 0;
        for (int i = 0; i < chosen; i++)
            sum += (double)with.scale[i];
        if (with.shifted)
            with.offset = (float)((double)top - sum);
        else
            with.scale[with.planes - 1] = (float)((double)top - sum);
        if (!codes_all(&with, value, count))
            return false;
        *c = with;
        return true;
    }
    for (int i = from; i + left <= n; i++) {
        c->scale[chosen] = half[i];
        if (search(c, value, count, half, n, i + 1, chosen + 1, left - 1, top))
            return true;
    }
    return false;
}

static bool coding_of(const shape *s, const float *value, int64_t count, coding *c)
{
    float found[MOST_VALUES], both[2 * MOST_VALUES], half[MOST_VALUES];
    memset(c, 0, sizeof *c);
    c->planes = s->q.planes;
    c->wide = s->wide;
    c->shifted = s->shifted;
    int n = distinct(value, count, 1 << c->planes, found), m = n;
    if (n < 0)
        return false;
    if (uniform(c, found, n))
        return true;
    memset(c->scale, 0, sizeof c->scale);
    c->offset = 0;
    memcpy(both, found, (size_t)n * sizeof *found);
    if (!c->shifted) { /* the values come in pairs of either sign */
        for (int i = 0; i < n; i++)
            both[n + i] = -found[i];
        float pairs[MOST_VALUES];
        m = distinct(both, 2 * n, 1 << c->planes, pairs);
        if (m < 0)
            return false;
        memcpy(both, pairs, (size_t)m * sizeof *pairs);
    }
    if (c->planes > SEARCHED_PLANES)
        return false;
    float top = both[m - 1];
    for (int i = 0; i < m - 1; i++) { /* ascending */
        float exact = (float)(((double)top - (double)both[m - 2 - i]) / 2);
        half[i] = c->wide ? exact : lac_f16_to_f32(lac_f32_to_f16(exact));
    }
    int most = c->planes - !c->shifted;
    for (int chosen = 0; chosen <= most; chosen++)
        if (search(c, found, n, half, m - 1, 0, 0, chosen, top))
            return true;
    return false;
}

/* ---- the row ----------------------------------------------------------------------------------
 */

static lac_status find(const lac_packed *packed, const shape *s, const lac_tensor *matrix,
                       int64_t row, int64_t g, coding *c, lac_error *err)
{
    int64_t k = g * s->q.group, left = packed->cols - k;
    const float *value = (const float *)matrix->data + row * packed->cols + k;
    if (coding_of(s, value, left < s->q.group ? left : s->q.group, c))
        return LAC_OK;
    return lac_fail(err, LAC_ERROR_INPUT,
                    "bcq: row %lld, columns from %lld are not sums of %d scales of either sign: "
                    "code them first",
                    (long long)row, (long long)k, s->q.planes);
}

static lac_status bytes(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                        lac_error *err)
{
    shape s;
    coding c;
    LAC_TRY(shape_of(packed, &s, err));
    for (int64_t r = 0; r < packed->rows; r++)
        for (int64_t g = 0; g < s.q.groups; g++)
            LAC_TRY(find(packed, &s, matrix, r, g, &c, err));
    return bytes_after(packed, matrix, result, err);
}

static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    shape s;
    coding c;
    LAC_TRY(shape_of(packed, &s, err));
    LAC_TRY(lac_field_make(packed, PLANES, s.plane_count, err));
    LAC_TRY(lac_field_make(packed, SCALE, s.wide ? 0 : s.scale_count, err));
    LAC_TRY(lac_field_make(packed, SCALE32, s.wide ? s.scale_count : 0, err));
    LAC_TRY(lac_field_make(packed, OFFSET, s.offset_count, err));
    int64_t rows = packed->rows;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t g = 0; g < s.q.groups; g++) {
            LAC_TRY(find(packed, &s, matrix, r, g, &c, err));
            for (int i = 0; i < c.planes; i++) {
                int64_t at = (g * c.planes + i) * rows + r;
                if (s.wide)
                    ((float *)packed->field[SCALE32].data)[at] = c.scale[i];
                else
                    ((uint16_t *)packed->field[SCALE].data)[at] = lac_f32_to_f16(c.scale[i]);
            }
            if (s.shifted)
                ((float *)packed->field[OFFSET].data)[g * rows + r] = c.offset;
            int64_t k = g * s.q.group, end = k + s.q.group;
            for (; k < end && k < packed->cols; k++) {
                int code = code_of(&c, ((const float *)matrix->data)[r * packed->cols + k]);
                lac_bcq_put(packed->field[PLANES].data, c.planes, rows, r, k, (unsigned)code);
            }
        }
    return LAC_OK;
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    lac_bcq q;
    LAC_TRY(lac_bcq_of(packed, &q, err));
    int64_t rows = packed->rows;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < packed->cols; k++) {
            int64_t g = k / q.group;
            float value = 0;
            for (int i = 0; i < q.planes; i++) {
                float scale = lac_bcq_scale(&q, (g * q.planes + i) * rows + r);
                bool plus = q.plane[(k / 32 * q.planes + i) * rows + r] >> k % 32 & 1;
                value += plus ? scale : -scale;
            }
            value += q.offset ? q.offset[g * rows + r] : 0;
            ((float *)matrix->data)[r * packed->cols + k] = value;
        }
    return LAC_OK;
}

static lac_status validate(const lac_packed *packed, lac_error *err)
{
    shape s;
    lac_bcq q;
    LAC_TRY(shape_of(packed, &s, err));
    LAC_TRY(lac_field_check(packed, PLANES, s.plane_count, err));
    LAC_TRY(lac_field_check(packed, SCALE, s.wide ? 0 : s.scale_count, err));
    LAC_TRY(lac_field_check(packed, SCALE32, s.wide ? s.scale_count : 0, err));
    LAC_TRY(lac_field_check(packed, OFFSET, s.offset_count, err));
    LAC_TRY(lac_bcq_of(packed, &q, err));
    for (int64_t i = 0; i < s.scale_count; i++)
        if (!isfinite(lac_bcq_scale(&q, i)))
            return lac_fail(err, LAC_ERROR_INPUT, "scale[%lld] is not finite", (long long)i);
    for (int64_t i = 0; i < s.offset_count; i++)
        if (!isfinite(q.offset[i]))
            return lac_fail(err, LAC_ERROR_INPUT, "offset[%lld] is not finite", (long long)i);
    int tail = (int)(packed->cols % 32);
    for (int64_t i = 0; tail && i < packed->rows * q.planes; i++)
        if (q.plane[s.plane_count - 1 - i] >> tail)
            return lac_fail(err, LAC_ERROR_INPUT, "plane bits behind the last column are not 0");
    return LAC_OK;
}

/* [..., groups, 1] float32 of rank `n` -> [..., cols]. */
static lac_status spread(const lac_packed *packed, const lac_bcq *q, lac_graph *graph, int in,
                         int n, const int64_t *dims, int *out, lac_error *err)
{
    int64_t ones[LAC_MAX_RANK], flat[LAC_MAX_RANK];
    int pair[2] = {in}, v;
    for (int i = 0; i < n; i++) {
        ones[i] = i == n - 1 ? q->group : 1;
        flat[i] = dims[i];
    }
    flat[n - 2] = q->groups * q->group;
    LAC_TRY(lac_body_ints(graph, n, ones, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Expand", 2, pair, &v, NULL, err));
    LAC_TRY(lac_body_reshape(graph, v, n - 1, flat, &v, err));
    return lac_body_slice(graph, v, n - 2, 0, packed->cols, out, err);
}

static lac_status turn(lac_graph *graph, int in, int n, const int64_t *dims, const int64_t *perm,
                       int *out, lac_error *err)
{
    int v;
    lac_node *node;
    LAC_TRY(lac_body_reshape(graph, in, n, dims, &v, err));
    LAC_TRY(lac_body_op(graph, "Transpose", 1, &v, out, &node, err));
    return lac_node_set_ints(graph, node, "perm", n, perm, err);
}

static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    lac_bcq q;
    lac_node *node;
    int v, signs, pair[2];
    int64_t powers[32], first = 0, rows = packed->rows;
    LAC_TRY(lac_bcq_of(packed, &q, err));
    for (int i = 0; i < 32; i++)
        powers[i] = INT64_C(1) << i;
    LAC_TRY(lac_body_cast(graph, field[PLANES], LAC_I64, &v, err));
    LAC_TRY(lac_body_reshape(graph, v, 4, (int64_t[]){q.words, q.planes, rows, 1}, &pair[0], err));
    LAC_TRY(lac_body_ints(graph, 32, powers, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Div", 2, pair, &v, NULL, err));
    pair[0] = v;
    LAC_TRY(lac_body_ints(graph, 1, &powers[1], &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Mod", 2, pair, &v, NULL, err));
    pair[0] = v;
    LAC_TRY(lac_body_op(graph, "Mul", 2, pair, &v, NULL, err));
    pair[0] = v;
    LAC_TRY(lac_body_ints(graph, 1, &powers[0], &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Sub", 2, pair, &v, NULL, err));
    LAC_TRY(turn(graph, v, 4, (int64_t[]){q.words, q.planes, rows, 32}, (int64_t[]){1, 2, 0, 3}, &v,
                 err));
    LAC_TRY(lac_body_reshape(graph, v, 3, (int64_t[]){q.planes, rows, q.words * 32}, &v, err));
    LAC_TRY(lac_body_slice(graph, v, 2, 0, packed->cols, &v, err));
    LAC_TRY(lac_body_cast(graph, v, LAC_F32, &signs, err));
    /* of the fields only the lengths are known here */
    bool half = packed->field[SCALE].dims[0] > 0;
    LAC_TRY(lac_body_cast(graph, field[half ? SCALE : SCALE32], LAC_F32, &v, err));
    LAC_TRY(turn(graph, v, 4, (int64_t[]){q.groups, q.planes, rows, 1}, (int64_t[]){1, 2, 0, 3}, &v,
                 err));
    LAC_TRY(
        spread(packed, &q, graph, v, 4, (int64_t[]){q.planes, rows, q.groups, 1}, &pair[1], err));
    pair[0] = signs;
    LAC_TRY(lac_body_op(graph, "Mul", 2, pair, &v, NULL, err));
    pair[0] = v;
    LAC_TRY(lac_body_ints(graph, 1, &first, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "ReduceSum", 2, pair, &v, &node, err));
    LAC_TRY(lac_node_set_int(graph, node, "keepdims", 0, err));
    *matrix = v;
    if (packed->field[OFFSET].dims[0] == 0)
        return LAC_OK;
    pair[0] = v;
    LAC_TRY(turn(graph, field[OFFSET], 3, (int64_t[]){q.groups, rows, 1}, (int64_t[]){1, 0, 2}, &v,
                 err));
    LAC_TRY(spread(packed, &q, graph, v, 3, (int64_t[]){rows, q.groups, 1}, &pair[1], err));
    return lac_body_op(graph, "Add", 2, pair, matrix, NULL, err);
}

static const lac_param params[] = {
    {"planes", LAC_PARAM_INT, "", 4, 1, MOST_PLANES, NULL, NULL, LAC_OPTION, "", "sign matrices"},
    {"group", LAC_PARAM_INT, "", 128, 8, 65536, NULL, NULL, LAC_OPTION, "",
     "columns of a row with one set of scales, a multiple of 8"},
    {"scale", LAC_PARAM_CHOICE, "", 0, 0, 0, "float16", "float16|float32", LAC_OPTION, "",
     "type of the scales"},
    {"offset", LAC_PARAM_CHOICE, "", 0, 0, 0, "stored", "stored|none", LAC_OPTION, "",
     "whether a number is added to the weights of a group"},
    {0}};

const lac_format lac_format_bcq = {
    .row = LAC_ROW(lac_format, "bcq", "binary codes: sums of scaled sign matrices"),
    .params = params,
    .dtypes = LAC_BIT(LAC_F32),
    .fields = {{"planes", LAC_U32, "ceil(cols / 32) x planes x rows words, bit k mod 32: +"},
               {"scale", LAC_F16, "groups x planes x rows"},
               {"scale32", LAC_F32, "groups x planes x rows, in place of `scale`"},
               {"offset", LAC_F32, "groups x rows"}},
    .pack = pack,
    .unpack = unpack,
    .validate = validate,
    .bytes = bytes,
    .unpack_graph = unpack_graph,
    .remedy = "binary coding",
    .bytes_after = bytes_after,
    .group = "group",
};
