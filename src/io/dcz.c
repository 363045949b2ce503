/* .dcz: a 64-byte header, codebook, bias, entry counts, the stream of codes, the stream of runs;
 * docs/formats/dcz.md is the definition. The reader knows every size before it allocates: nothing
 * is made larger than a small multiple of the file. */
#include "io/dcz.h"

#include <math.h>
#include <string.h>

#include "core/bits.h"
#include "core/memory.h"
#include "format/huffman.h"

#define HEADER_BYTES 64
#define FLAG_HUFFMAN 1U
#define FLAG_BIAS    2U
#define FILE_LIMIT   ((size_t)1 << 36)

static void put_le(lac_text *out, uint64_t value, int bytes)
{
    uint8_t le[8];
    for (int i = 0; i < bytes; i++)
        le[i] = (uint8_t)(value >> 8 * i);
    lac_text_bytes(out, le, (size_t)bytes);
}

static uint64_t get_le(const uint8_t *data, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)data[i] << 8 * i;
    return value;
}

static void put_floats(lac_text *out, const float *value, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &value[i], sizeof bits);
        put_le(out, bits, 4);
    }
}

/* ---- writing --------------------------------------------------------------------------------- */

static lac_status put_stream(lac_text *out, const uint8_t *symbol, int64_t n, int width,
                             bool huffman, lac_error *err)
{
    lac_huffman tree;
    uint64_t count[256] = {0}, bits = 0;
    int64_t bytes = lac_bit_bytes(n, width);
    if (huffman) {
        for (int64_t i = 0; i < n; i++)
            count[symbol[i]]++;
        LAC_TRY(lac_huffman_make(&tree, count, 1 << width, err));
        bits = lac_huffman_bits(&tree, count);
        bytes = (int64_t)(bits / 8 + (bits % 8 != 0));
        lac_text_bytes(out, tree.length, (size_t)1 << width);
        put_le(out, bits, 8);
    }
    uint8_t *stream = lac_alloc((size_t)bytes, 1, err);
    if (!stream)
        return LAC_ERROR_MEMORY;
    if (huffman)
        lac_huffman_encode(&tree, symbol, n, stream);
    else
        for (int64_t i = 0; i < n; i++)
            lac_bits_put(stream, i * width, width, symbol[i]);
    lac_text_bytes(out, stream, (size_t)bytes);
    lac_free(stream);
    return LAC_OK;
}

static lac_status put_counts(const lac_eie_csc *csc, lac_text *out, lac_error *err)
{
    for (int64_t p = 0; p < csc->pe; p++)
        put_le(out, csc->pointer[p * (csc->cols + 1) + csc->cols], 4);
    for (int64_t p = 0; p < csc->pe; p++) {
        const uint32_t *pointer = csc->pointer + p * (csc->cols + 1);
        for (int64_t j = 0; j < csc->cols; j++) {
            uint32_t n = pointer[j + 1] - pointer[j];
            if (n > UINT16_MAX)
                return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                                ".dcz: PE %lld has %lu entries in column %lld, the limit is 65535",
                                (long long)p, (unsigned long)n, (long long)j);
            put_le(out, n, 2);
        }
    }
    return LAC_OK;
}

lac_status lac_dcz_format(const lac_dcz *dcz, lac_text *out, lac_error *err)
{
    const lac_eie_csc *csc = &dcz->csc;
    if (csc->rows > UINT32_MAX || csc->cols > UINT32_MAX)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                        ".dcz: %lld rows, %lld columns: more than 32 bits", (long long)csc->rows,
                        (long long)csc->cols);
    lac_text_bytes(out, "DCZ1", 4);
    put_le(out, (uint64_t)csc->rows, 4);
    put_le(out, (uint64_t)csc->cols, 4);
    put_le(out, (uint64_t)csc->pe, 4);
    put_le(out, (uint64_t)dcz->index_bits, 4);
    put_le(out, (uint64_t)dcz->code_bits, 4);
    put_le(out, (dcz->huffman ? FLAG_HUFFMAN : 0) | (dcz->bias ? FLAG_BIAS : 0), 4);
    put_le(out, 0, 4);
    put_le(out, (uint64_t)csc->entries, 8);
    for (int i = 40; i < HEADER_BYTES; i += 8)
        put_le(out, 0, 8);
    put_floats(out, dcz->codebook, (int64_t)1 << dcz->code_bits);
    if (dcz->bias)
        put_floats(out, dcz->bias, csc->rows);
    LAC_TRY(put_counts(csc, out, err));
    LAC_TRY(put_stream(out, csc->code, csc->entries, dcz->code_bits, dcz->huffman, err));
    LAC_TRY(put_stream(out, csc->run, csc->entries, dcz->index_bits, dcz->huffman, err));
    return out->failed ? lac_fail(err, LAC_ERROR_MEMORY, ".dcz: out of memory") : LAC_OK;
}

lac_status lac_dcz_save(const lac_dcz *dcz, const char *path, lac_error *err)
{
    lac_text out = {0};
    lac_status status = lac_dcz_format(dcz, &out, err);
    if (status == LAC_OK)
        status = lac_write_file(path, out.data, out.length, err);
    lac_text_release(&out);
    return status;
}

/* ---- reading --------------------------------------------------------------------------------- */

typedef struct reader {
    const uint8_t *data;
    size_t size, at;
    lac_error *err;
} reader;

/* The next n bytes, or NULL with the error set. */
static const uint8_t *take(reader *in, uint64_t n, const char *field)
{
    if (n > in->size - in->at) {
        lac_fail(in->err, LAC_ERROR_INPUT, "%s: %llu bytes needed at %zu, the file has %zu", field,
                 (unsigned long long)n, in->at, in->size);
        return NULL;
    }
    const uint8_t *taken = in->data + in->at;
    in->at += (size_t)n;
    return taken;
}

static lac_status take_floats(reader *in, int64_t n, float *value, const char *field)
{
    const uint8_t *from = take(in, 4 * (uint64_t)n, field);
    if (!from)
        return LAC_ERROR_INPUT;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)get_le(from + 4 * i, 4);
        memcpy(&value[i], &bits, sizeof bits);
        if (!isfinite(value[i]))
            return lac_fail(in->err, LAC_ERROR_INPUT, "%s[%lld] is not finite", field,
                            (long long)i);
    }
    return LAC_OK;
}

static lac_status take_stream(reader *in, uint8_t *symbol, int64_t n, int width, bool huffman,
                              const char *field)
{
    lac_huffman tree;
    const uint8_t *from;
    if (!huffman) {
        int64_t bytes = lac_bit_bytes(n, width);
        int used = (int)(n % 8 * width % 8); /* bits of the last byte, 0: all */
        if (!(from = take(in, (uint64_t)bytes, field)))
            return LAC_ERROR_INPUT;
        if (used > 0 && from[bytes - 1] >> used != 0)
            return lac_fail(in->err, LAC_ERROR_INPUT, "%s: bits behind the end are not 0", field);
        for (int64_t i = 0; i < n; i++)
            symbol[i] = (uint8_t)lac_bits_get(from, i * width, width);
        return LAC_OK;
    }
    if (!(from = take(in, ((uint64_t)1 << width) + 8, field)))
        return LAC_ERROR_INPUT;
    uint64_t bits = get_le(from + ((size_t)1 << width), 8);
    if (lac_huffman_from_lengths(&tree, from, 1 << width, in->err) != LAC_OK)
        return lac_fail_in(in->err, LAC_ERROR_INPUT, "%s", field);
    if (!(from = take(in, bits / 8 + (bits % 8 != 0), field)))
        return LAC_ERROR_INPUT;
    if (n == 0)
        for (int i = 0; i < 1 << width; i++)
            if (tree.length[i] != 0)
                return lac_fail(in->err, LAC_ERROR_INPUT, "%s: code lengths without entries",
                                field);
    if (lac_huffman_decode(&tree, from, bits, symbol, n, in->err) != LAC_OK)
        return lac_fail_in(in->err, LAC_ERROR_INPUT, "%s", field);
    return LAC_OK;
}

static lac_status check_range(reader *in, const char *field, uint64_t value, uint64_t low,
                              uint64_t high)
{
    if (value >= low && value <= high)
        return LAC_OK;
    return lac_fail(in->err, LAC_ERROR_INPUT, "%s = %llu, must be %llu to %llu", field,
                    (unsigned long long)value, (unsigned long long)low, (unsigned long long)high);
}

/* The header; then sizes that the file is long enough for, so that they may be allocated. */
static lac_status take_header(reader *in, lac_dcz *dcz, uint32_t *flags)
{
    const uint8_t *h = take(in, HEADER_BYTES, "header");
    if (!h)
        return LAC_ERROR_INPUT;
    if (memcmp(h, "DCZ1", 4) != 0)
        return lac_fail(in->err, LAC_ERROR_INPUT, "magic is not DCZ1");
    uint64_t rows = get_le(h + 4, 4), cols = get_le(h + 8, 4), pe = get_le(h + 12, 4);
    uint64_t index_bits = get_le(h + 16, 4), code_bits = get_le(h + 20, 4);
    uint64_t entries = get_le(h + 32, 8), rest = in->size - in->at;
    *flags = (uint32_t)get_le(h + 24, 4);
    LAC_TRY(check_range(in, "rows", rows, 1, UINT32_MAX));
    LAC_TRY(check_range(in, "cols", cols, 1, INT32_MAX - 1));
    LAC_TRY(check_range(in, "pe", pe, 1, LAC_EIE_MAX_PE));
    LAC_TRY(check_range(in, "index_bits", index_bits, 1, 8));
    LAC_TRY(check_range(in, "code_bits", code_bits, 1, 8));
    LAC_TRY(check_range(in, "flags", *flags, 0, FLAG_HUFFMAN | FLAG_BIAS));
    for (int i = 28; i < HEADER_BYTES; i++)
        if ((i < 32 || i >= 40) && h[i] != 0)
            return lac_fail(in->err, LAC_ERROR_INPUT, "header byte %d is %d, must be 0", i, h[i]);
    if (pe * cols > rest / 2) /* below 2^47 */
        return lac_fail(in->err, LAC_ERROR_INPUT,
                        "pe = %llu, cols = %llu: the entry counts do not fit into %zu bytes",
                        (unsigned long long)pe, (unsigned long long)cols, in->size);
    if (*flags & FLAG_BIAS && rows > rest / 4)
        return lac_fail(in->err, LAC_ERROR_INPUT,
                        "rows = %llu: the bias does not fit into %zu bytes",
                        (unsigned long long)rows, in->size);
    if (entries / 8 > rest) /* an entry has at least one bit */
        return lac_fail(in->err, LAC_ERROR_INPUT, "entries = %llu do not fit into %zu bytes",
                        (unsigned long long)entries, in->size);
    dcz->index_bits = (int)index_bits;
    dcz->code_bits = (int)code_bits;
    dcz->huffman = (*flags & FLAG_HUFFMAN) != 0;
    return lac_eie_csc_alloc(&dcz->csc, (int64_t)rows, (int64_t)cols, (int64_t)pe,
                             1 << dcz->index_bits, (int64_t)entries, in->err);
}

/* Pointers from the counts of each column; they must add up to those of each PE. */
static lac_status take_counts(reader *in, lac_eie_csc *csc)
{
    const uint8_t *total = take(in, 4 * (uint64_t)csc->pe, "entry counts");
    const uint8_t *count =
        total ? take(in, 2 * (uint64_t)(csc->pe * csc->cols), "column counts") : NULL;
    if (!count)
        return LAC_ERROR_INPUT;
    for (int64_t p = 0; p < csc->pe; p++) {
        uint32_t *pointer = csc->pointer + p * (csc->cols + 1);
        uint64_t n = 0;
        for (int64_t j = 0; j < csc->cols; j++) {
            n += get_le(count + 2 * (p * csc->cols + j), 2);
            if (n > UINT32_MAX)
                break;
            pointer[j + 1] = (uint32_t)n;
        }
        if (n != get_le(total + 4 * p, 4))
            return lac_fail(in->err, LAC_ERROR_INPUT,
                            "PE %lld: the columns have %llu entries, its count is %llu",
                            (long long)p, (unsigned long long)n,
                            (unsigned long long)get_le(total + 4 * p, 4));
    }
    return LAC_OK;
}

static lac_status parse(reader *in, lac_dcz *dcz)
{
    uint32_t flags = 0;
    LAC_TRY(take_header(in, dcz, &flags));
    int64_t codes = (int64_t)1 << dcz->code_bits;
    dcz->codebook = lac_alloc((size_t)codes, sizeof(float), in->err);
    if (!dcz->codebook)
        return LAC_ERROR_MEMORY;
    LAC_TRY(take_floats(in, codes, dcz->codebook, "codebook"));
    if (dcz->codebook[0] != 0)
        return lac_fail(in->err, LAC_ERROR_INPUT, "codebook[0] is %g, must be 0",
                        (double)dcz->codebook[0]);
    if (flags & FLAG_BIAS) {
        dcz->bias = lac_alloc((size_t)dcz->csc.rows, sizeof(float), in->err);
        if (!dcz->bias)
            return LAC_ERROR_MEMORY;
        LAC_TRY(take_floats(in, dcz->csc.rows, dcz->bias, "bias"));
    }
    LAC_TRY(take_counts(in, &dcz->csc));
    LAC_TRY(take_stream(in, dcz->csc.code, dcz->csc.entries, dcz->code_bits, dcz->huffman,
                        "code stream"));
    LAC_TRY(take_stream(in, dcz->csc.run, dcz->csc.entries, dcz->index_bits, dcz->huffman,
                        "run stream"));
    if (in->at != in->size)
        return lac_fail(in->err, LAC_ERROR_INPUT, "%zu bytes behind the end", in->size - in->at);
    return lac_eie_csc_check(&dcz->csc, (int)codes, in->err);
}

lac_status lac_dcz_parse(lac_dcz *dcz, const void *data, size_t bytes, const char *name,
                         lac_error *err)
{
    reader in = {data, bytes, 0, err};
    memset(dcz, 0, sizeof *dcz);
    lac_status status = parse(&in, dcz);
    if (status != LAC_OK) {
        lac_dcz_release(dcz);
        lac_fail_in(err, status, "%s", name);
    }
    return status;
}

lac_status lac_dcz_load(lac_dcz *dcz, const char *path, lac_error *err)
{
    char *data;
    size_t bytes;
    memset(dcz, 0, sizeof *dcz);
    LAC_TRY(lac_read_file(&data, &bytes, path, FILE_LIMIT, err));
    lac_status status = lac_dcz_parse(dcz, data, bytes, path, err);
    lac_free(data);
    return status;
}

void lac_dcz_release(lac_dcz *dcz)
{
    lac_eie_csc_release(&dcz->csc);
    lac_free(dcz->codebook);
    lac_free(dcz->bias);
    memset(dcz, 0, sizeof *dcz);
}

/* ---- packed weights -------------------------------------------------------------------------- */

static lac_status copy_packed(lac_dcz *dcz, const lac_packed *packed, const float *bias,
                              lac_error *err)
{
    int64_t pe = lac_params_int(&packed->params, "pe"), entries = 0;
    const uint32_t *pointer = packed->field[1].data;
    for (int64_t p = 0; p < pe; p++)
        entries += pointer[p * (packed->cols + 1) + packed->cols];
    LAC_TRY(lac_eie_csc_alloc(&dcz->csc, packed->rows, packed->cols, pe, 1 << dcz->index_bits,
                              entries, err));
    size_t codes = (size_t)1 << dcz->code_bits;
    dcz->codebook = lac_alloc(codes, sizeof(float), err);
    if (bias)
        dcz->bias = lac_alloc((size_t)packed->rows, sizeof(float), err);
    if (!dcz->codebook || (bias && !dcz->bias))
        return LAC_ERROR_MEMORY;
    memcpy(dcz->codebook, packed->field[2].data, codes * sizeof(float));
    if (bias)
        memcpy(dcz->bias, bias, (size_t)packed->rows * sizeof(float));
    memcpy(dcz->csc.pointer, pointer, lac_tensor_bytes(&packed->field[1]));
    int width = dcz->code_bits + dcz->index_bits;
    for (int64_t e = 0; e < entries; e++) {
        unsigned held = lac_bits_get(packed->field[0].data, e * width, width);
        dcz->csc.code[e] = (uint8_t)(held & (unsigned)(codes - 1));
        dcz->csc.run[e] = (uint8_t)(held >> dcz->code_bits);
    }
    return lac_eie_csc_check(&dcz->csc, (int)codes, err);
}

lac_status lac_dcz_from_packed(lac_dcz *dcz, const lac_packed *packed, const float *bias,
                               bool huffman, lac_error *err)
{
    memset(dcz, 0, sizeof *dcz);
    if (strcmp(packed->format->row.name, LAC_EIE_CSC_NAME) != 0 || packed->dtype != LAC_F32)
        return lac_fail(err, LAC_ERROR_INPUT,
                        ".dcz: a %s weight of type %s, must be eie-csc of float32",
                        packed->format->row.name, lac_dtype_name(packed->dtype));
    LAC_TRY(packed->format->validate(packed, err));
    dcz->index_bits = (int)lac_params_int(&packed->params, "index_bits");
    dcz->code_bits = (int)lac_params_int(&packed->params, "code_bits");
    dcz->huffman = huffman;
    lac_status status = copy_packed(dcz, packed, bias, err);
    if (status != LAC_OK)
        lac_dcz_release(dcz);
    return status;
}

lac_status lac_dcz_matrix(const lac_dcz *dcz, lac_tensor *matrix, lac_error *err)
{
    int64_t dims[2] = {dcz->csc.rows, dcz->csc.cols}, count;
    LAC_TRY(lac_shape_count(2, dims, &count, err));
    LAC_TRY(lac_tensor_make(matrix, LAC_F32, 2, dims, err));
    uint8_t *codes = lac_alloc((size_t)count, 1, err);
    if (!codes) {
        lac_tensor_release(matrix);
        return LAC_ERROR_MEMORY;
    }
    lac_eie_csc_decode(&dcz->csc, codes);
    for (int64_t i = 0; i < count; i++)
        ((float *)matrix->data)[i] = dcz->codebook[codes[i]];
    lac_free(codes);
    return LAC_OK;
}
