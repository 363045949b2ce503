/* The format `eie-csc`: Deep Compression's shared weights with relative row indices, interleaved
 * over `pe` processing elements as EIE stores them. Every entry is one element of a little-endian
 * bit string, its code in the low bits and its run above: with 4 + 4 bits exactly EIE's bytes.
 * The codes of a matrix are its distinct non-zero values in ascending order, from 1. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/bits.h"
#include "core/memory.h"
#include "format/eie_csc.h"
#include "format/eie_csc_graph.h"
#include "format/packed.h"

enum { ENTRIES, POINTERS, CODEBOOK };

static const lac_param eie_csc_params[] = {
    {"pe", LAC_PARAM_INT, "", 1, 1, LAC_EIE_MAX_PE, NULL, NULL, LAC_OPTION,
     "1 is the CPU's layout: fewest pointers; EIE has 64",
     "processing elements that the rows are dealt to"},
    {"index_bits", LAC_PARAM_INT, "bits", 4, 1, 8, NULL, NULL, LAC_PUBLISHED,
     "EIE, ISCA 2016, and the authors' public files: 4", "bits of a zero run; 2^bits = jump"},
    {"code_bits", LAC_PARAM_INT, "bits", 4, 1, 8, NULL, NULL, LAC_PUBLISHED,
     "authors' public files: 4 (fully connected), 8 (convolution)",
     "bits of a code; code 0 is padding, 2^bits - 1 values remain"},
    {0}};

typedef struct geometry {
    int64_t pe;
    int index_bits, code_bits, width, jump, codes;
} geometry;

static lac_status read_params(const lac_packed *packed, geometry *g, lac_error *err)
{
    g->pe = lac_params_int(&packed->params, "pe");
    g->index_bits = (int)lac_params_int(&packed->params, "index_bits");
    g->code_bits = (int)lac_params_int(&packed->params, "code_bits");
    if (g->pe < 1 || g->pe > LAC_EIE_MAX_PE || g->index_bits < 1 || g->index_bits > 8 ||
        g->code_bits < 1 || g->code_bits > 8)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "eie-csc: pe = %lld, index_bits = %d, code_bits = %d are out of range",
                        (long long)g->pe, g->index_bits, g->code_bits);
    g->width = g->index_bits + g->code_bits;
    g->jump = 1 << g->index_bits;
    g->codes = 1 << g->code_bits;
    return LAC_OK;
}

/* Distinct non-zero values, ascending. */
typedef struct value_set {
    int n, limit;
    double value[255];
} value_set;

/* Position of the first value >= x. */
static int value_position(const value_set *set, double x)
{
    int low = 0, high = set->n;
    while (low < high) {
        int middle = (low + high) / 2;
        if (set->value[middle] < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static double element(const lac_tensor *matrix, int64_t i)
{
    return matrix->dtype == LAC_I8 ? ((const int8_t *)matrix->data)[i]
                                   : (double)((const float *)matrix->data)[i];
}

static lac_status find_values(const lac_tensor *matrix, const geometry *g, value_set *set,
                              lac_error *err)
{
    int64_t count = lac_tensor_count(matrix);
    set->n = 0;
    set->limit = g->codes - 1;
    for (int64_t i = 0; i < count; i++) {
        double x = element(matrix, i);
        if (x == 0)
            continue;
        if (isnan(x))
            return lac_fail(err, LAC_ERROR_INPUT, "eie-csc: element %lld is not a number",
                            (long long)i);
        int at = value_position(set, x);
        if (at < set->n && set->value[at] == x)
            continue;
        if (set->n == set->limit)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "eie-csc: more than %d distinct non-zero values for code_bits = %d",
                            set->limit, g->code_bits);
        memmove(set->value + at + 1, set->value + at, (size_t)(set->n - at) * sizeof(double));
        set->value[at] = x;
        set->n++;
    }
    return LAC_OK;
}

/* The values of the matrix, then its codes (a new array). */
static lac_status make_codes(const lac_tensor *matrix, const geometry *g, value_set *set,
                             uint8_t **codes, lac_error *err)
{
    int64_t count = lac_tensor_count(matrix);
    LAC_TRY(find_values(matrix, g, set, err));
    *codes = lac_alloc((size_t)count, 1, err);
    if (!*codes)
        return LAC_ERROR_MEMORY;
    for (int64_t i = 0; i < count; i++) {
        double x = element(matrix, i);
        if (x != 0)
            (*codes)[i] = (uint8_t)(1 + value_position(set, x));
    }
    return LAC_OK;
}

static lac_status fill_fields(lac_packed *packed, const lac_eie_csc *csc, const geometry *g,
                              const value_set *set, lac_error *err)
{
    int64_t pointers = g->pe * (packed->cols + 1);
    LAC_TRY(lac_field_make(packed, ENTRIES, lac_bit_bytes(csc->entries, g->width), err));
    LAC_TRY(lac_field_make(packed, POINTERS, pointers, err));
    LAC_TRY(lac_field_make(packed, CODEBOOK, g->codes, err));
    uint8_t *entry = packed->field[ENTRIES].data;
    for (int64_t e = 0; e < csc->entries; e++)
        lac_bits_put(entry, e * g->width, g->width,
                     (uint32_t)csc->run[e] << g->code_bits | csc->code[e]);
    memcpy(packed->field[POINTERS].data, csc->pointer, (size_t)pointers * sizeof(uint32_t));
    for (int i = 0; i < set->n; i++)
        lac_tensor_set(&packed->field[CODEBOOK], 1 + i, set->value[i]);
    return LAC_OK;
}

static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    geometry g;
    value_set set;
    uint8_t *codes = NULL;
    lac_eie_csc csc = {0};
    LAC_TRY(read_params(packed, &g, err));
    LAC_TRY(make_codes(matrix, &g, &set, &codes, err));
    lac_status status =
        lac_eie_csc_encode(&csc, codes, packed->rows, packed->cols, g.pe, g.jump, err);
    if (status == LAC_OK)
        status = fill_fields(packed, &csc, &g, &set, err);
    lac_eie_csc_release(&csc);
    lac_free(codes);
    return status;
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    geometry g;
    LAC_TRY(read_params(packed, &g, err));
    const uint8_t *entry = packed->field[ENTRIES].data;
    const uint32_t *pointer = packed->field[POINTERS].data;
    size_t size = lac_dtype_bits(packed->dtype) / 8;
    const char *codebook = packed->field[CODEBOOK].data;
    char *out = matrix->data;
    memset(out, 0, lac_tensor_bytes(matrix));
    int64_t first = 0;
    for (int64_t p = 0; p < g.pe; p++, pointer += packed->cols + 1) {
        for (int64_t j = 0; j < packed->cols; j++) {
            int64_t row = -1;
            for (int64_t e = first + pointer[j]; e < first + pointer[j + 1]; e++) {
                unsigned held = lac_bits_get(entry, e * g.width, g.width);
                row += (held >> g.code_bits) + 1;
                unsigned code = held & (unsigned)(g.codes - 1);
                if (code != 0) /* where a padding entry lands the matrix is 0 anyway */
                    memcpy(out + (size_t)((row * g.pe + p) * packed->cols + j) * size,
                           codebook + code * size, size);
            }
        }
        first += pointer[packed->cols];
    }
    return LAC_OK;
}

/* Field lengths; the number of entries that the pointers count. */
static lac_status check_lengths(const lac_packed *packed, const geometry *g, int64_t *entries,
                                lac_error *err)
{
    int64_t pointers;
    if (packed->cols >= INT32_MAX)
        return lac_fail(err, LAC_ERROR_INPUT, "eie-csc: %lld columns, the limit is 2^31 - 2",
                        (long long)packed->cols);
    LAC_TRY(lac_shape_count(2, (int64_t[]){g->pe, packed->cols + 1}, &pointers, err));
    LAC_TRY(lac_field_check(packed, POINTERS, pointers, err));
    LAC_TRY(lac_field_check(packed, CODEBOOK, g->codes, err));
    const uint32_t *pointer = packed->field[POINTERS].data;
    *entries = 0; /* at most 65536 * 2^32 */
    for (int64_t p = 0; p < g->pe; p++)
        *entries += pointer[p * (packed->cols + 1) + packed->cols];
    return lac_field_check(packed, ENTRIES, lac_bit_bytes(*entries, g->width), err);
}

static lac_status validate(const lac_packed *packed, lac_error *err)
{
    geometry g;
    int64_t entries = 0;
    LAC_TRY(read_params(packed, &g, err));
    LAC_TRY(check_lengths(packed, &g, &entries, err));
    const uint8_t *entry = packed->field[ENTRIES].data;
    int64_t bytes = packed->field[ENTRIES].dims[0];
    int spare = (int)(8 * bytes - entries * g.width);
    if (spare > 0 && entry[bytes - 1] >> (8 - spare) != 0)
        return lac_fail(err, LAC_ERROR_INPUT, "eie-csc: bits behind the last entry are not 0");
    if (lac_tensor_get(&packed->field[CODEBOOK], 0) != 0)
        return lac_fail(err, LAC_ERROR_INPUT, "eie-csc: codebook[0] is %g, must be 0 (padding)",
                        lac_tensor_get(&packed->field[CODEBOOK], 0));
    lac_eie_csc csc;
    LAC_TRY(lac_eie_csc_alloc(&csc, packed->rows, packed->cols, g.pe, g.jump, entries, err));
    memcpy(csc.pointer, packed->field[POINTERS].data,
           (size_t)(g.pe * (packed->cols + 1)) * sizeof(uint32_t));
    for (int64_t e = 0; e < entries; e++) {
        unsigned held = lac_bits_get(entry, e * g.width, g.width);
        csc.code[e] = (uint8_t)(held & (unsigned)(g.codes - 1));
        csc.run[e] = (uint8_t)(held >> g.code_bits);
    }
    lac_status status = lac_eie_csc_check(&csc, g.codes, err);
    lac_eie_csc_release(&csc);
    return status;
}

/* bytes = ceil(entries * (code_bits + index_bits) / 8) + 4 pe (cols + 1) + 2^code_bits * element */
static lac_status count_bytes(const lac_packed *packed, const geometry *g, const uint8_t *codes,
                              int64_t *bytes, lac_error *err)
{
    int64_t entries;
    LAC_TRY(lac_eie_csc_count(codes, packed->rows, packed->cols, g->pe, g->jump, &entries, err));
    *bytes = lac_bit_bytes(entries, g->width) + 4 * g->pe * (packed->cols + 1) +
             (int64_t)g->codes * lac_dtype_bits(packed->dtype) / 8;
    return LAC_OK;
}

static lac_status bytes_by_formula(const lac_packed *packed, const lac_tensor *matrix,
                                   int64_t *bytes, lac_error *err)
{
    geometry g;
    value_set set;
    uint8_t *codes;
    LAC_TRY(read_params(packed, &g, err));
    LAC_TRY(make_codes(matrix, &g, &set, &codes, err));
    lac_status status = count_bytes(packed, &g, codes, bytes, err);
    lac_free(codes);
    return status;
}

/* Entries depend on where the non-zeros are, not on their values. */
static lac_status bytes_after(const lac_packed *packed, const lac_tensor *matrix, int64_t *bytes,
                              lac_error *err)
{
    geometry g;
    int64_t count = lac_tensor_count(matrix);
    LAC_TRY(read_params(packed, &g, err));
    uint8_t *codes = lac_alloc((size_t)count, 1, err);
    if (!codes)
        return LAC_ERROR_MEMORY;
    for (int64_t i = 0; i < count; i++)
        codes[i] = element(matrix, i) != 0;
    lac_status status = count_bytes(packed, &g, codes, bytes, err);
    lac_free(codes);
    return status;
}

static lac_status fit(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    geometry g;
    value_set set;
    char text[8];
    LAC_TRY(read_params(packed, &g, err));
    g.codes = 256;
    if (find_values(matrix, &g, &set, NULL) != LAC_OK)
        return LAC_OK;
    snprintf(text, sizeof text, "%d", set.n > 1 ? lac_bits_for(set.n + 1) : 1);
    return lac_params_set(&packed->params, "code_bits", text, err);
}

static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    geometry g;
    LAC_TRY(read_params(packed, &g, err));
    return lac_eie_csc_graph(graph, packed->rows, packed->cols, g.pe, g.code_bits, g.index_bits,
                             packed->dtype, field, matrix, err);
}

const lac_format lac_format_eie_csc = {
    .row = LAC_ROW(lac_format, "eie-csc",
                   "EIE's interleaved sparse columns: codes of shared weights and zero runs"),
    .params = eie_csc_params,
    .dtypes = LAC_BIT(LAC_F32) | LAC_BIT(LAC_I8),
    .fields = {{"entries", LAC_U8,
                "bit string, per entry code_bits of code (low) and index_bits of zero run"},
               {"pointers", LAC_U32, "[pe][cols + 1] entry numbers within the PE"},
               {"codebook", LAC_NONE, "[2^code_bits] shared weights; element 0 is 0"},
               {0}},
    .pack = pack,
    .unpack = unpack,
    .validate = validate,
    .bytes = bytes_by_formula,
    .unpack_graph = unpack_graph,
    .remedy = "sharing 2^code_bits - 1 values",
    .bytes_after = bytes_after,
    .fit = fit,
    .book = "codebook",
};
