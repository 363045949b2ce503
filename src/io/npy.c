/* The header of an .npy is a Python dictionary literal of three known keys; this reads just that:
 * {'descr': '<f4', 'fortran_order': False, 'shape': (8, 3), }
 * Format: numpy/lib/format.py, "Format Version 1.0" to "3.0". */
#include "io/npy.h"

#include "core/memory.h"
#include "core/text.h"

#include <inttypes.h>
#include <lacuna/lacuna.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *descr;
    lac_dtype dtype;
} types[] = {
    {"f4", LAC_F32}, {"f8", LAC_F64}, {"f2", LAC_F16}, {"i1", LAC_I8},
    {"u1", LAC_U8},  {"i2", LAC_I16}, {"u2", LAC_U16}, {"i4", LAC_I32},
    {"u4", LAC_U32}, {"i8", LAC_I64}, {"u8", LAC_U64}, {"b1", LAC_BOOL},
};

/* The text behind 'key': in the header, or NULL. */
static const char *value_of(const char *header, const char *key)
{
    char quoted[32];
    snprintf(quoted, sizeof quoted, "'%s'", key);
    const char *at = strstr(header, quoted);
    if (!at)
        return NULL;
    at += strlen(quoted);
    at += strspn(at, " ");
    if (*at++ != ':')
        return NULL;
    return at + strspn(at, " ");
}

static lac_status read_dtype(const char *header, lac_dtype *dtype, lac_error *err)
{
    const char *at = value_of(header, "descr");
    *dtype = LAC_NONE;
    if (!at || *at != '\'')
        return lac_fail(err, LAC_ERROR_INPUT, "the header has no 'descr'");
    at++;
    if (*at == '>')
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "big-endian elements");
    at += *at == '<' || *at == '|' || *at == '=';
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strncmp(at, types[i].descr, 2) == 0 && at[2] == '\'')
            *dtype = types[i].dtype;
    if (*dtype == LAC_NONE)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "descr '%.16s': not a numeric type", at);
    return LAC_OK;
}

static lac_status read_shape(const char *header, int *rank, int64_t *dims, lac_error *err)
{
    const char *at = value_of(header, "shape");
    *rank = 0;
    if (!at || *at != '(')
        return lac_fail(err, LAC_ERROR_INPUT, "the header has no 'shape'");
    at++;
    for (;;) {
        at += strspn(at, " ");
        if (*at == ')')
            return LAC_OK;
        char *end;
        long long size = strtoll(at, &end, 10);
        if (end == at || size < 0 || size == INT64_MAX)
            return lac_fail(err, LAC_ERROR_INPUT, "shape: '%.16s' is no size", at);
        if (*rank == LAC_MAX_RANK)
            return lac_fail(err, LAC_ERROR_INPUT, "shape: more than %d dimensions", LAC_MAX_RANK);
        dims[(*rank)++] = size;
        at = end + strspn(end, " L");
        at += *at == ',';
    }
}

lac_status lac_npy_parse(lac_tensor *tensor, const void *data, size_t bytes, lac_error *err)
{
    const unsigned char *file = data;
    memset(tensor, 0, sizeof *tensor);
    if (bytes < 10 || memcmp(file, "\x93NUMPY", 6) != 0)
        return lac_fail(err, LAC_ERROR_INPUT, "not an .npy file");
    if (file[6] < 1 || file[6] > 3)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, ".npy version %d.%d", file[6], file[7]);
    size_t prefix = file[6] == 1 ? 10 : 12;
    if (bytes < prefix)
        return lac_fail(err, LAC_ERROR_INPUT, "cut short in the header");
    size_t length = file[8] | (size_t)file[9] << 8;
    if (file[6] > 1)
        length |= (size_t)file[10] << 16 | (size_t)file[11] << 24;
    if (length > bytes - prefix || length > 65536)
        return lac_fail(err, LAC_ERROR_INPUT, "header of %zu bytes in a file of %zu", length,
                        bytes);
    char *header = lac_alloc(length + 1, 1, err);
    if (!header)
        return LAC_ERROR_MEMORY;
    memcpy(header, file + prefix, length);
    lac_dtype dtype;
    int rank = 0;
    int64_t dims[LAC_MAX_RANK], count = 0;
    lac_status status = read_dtype(header, &dtype, err);
    if (status == LAC_OK)
        status = read_shape(header, &rank, dims, err);
    const char *order = value_of(header, "fortran_order");
    if (status == LAC_OK && (!order || strncmp(order, "False", 5) != 0) && rank > 1)
        status = lac_fail(err, LAC_ERROR_UNSUPPORTED,
                          "fortran_order: want C order (numpy.ascontiguousarray)");
    lac_free(header);
    if (status == LAC_OK)
        status = lac_shape_count(rank, dims, &count, err);
    LAC_TRY(status);
    size_t want = (size_t)count * (size_t)lac_dtype_bits(dtype) / 8;
    if (bytes - prefix - length != want)
        return lac_fail(err, LAC_ERROR_INPUT, "%zu bytes of data, the shape needs %zu",
                        bytes - prefix - length, want);
    LAC_TRY(lac_tensor_make(tensor, dtype, rank, dims, err));
    if (want)
        memcpy(tensor->data, file + prefix + length, want);
    return LAC_OK;
}

lac_status lac_npy_load(lac_tensor *tensor, const char *path, lac_error *err)
{
    lac_buffer *buffer;
    const void *data;
    size_t bytes;
    LAC_TRY(lac_map_file(&buffer, &data, &bytes, path, err));
    lac_status status = lac_npy_parse(tensor, data, bytes, err);
    lac_buffer_drop(buffer);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", path);
}

lac_status lac_npy_format(const lac_tensor *tensor, lac_text *file, lac_error *err)
{
    const char *descr = NULL;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].dtype == tensor->dtype)
            descr = types[i].descr;
    if (!descr)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, ".npy has no %s",
                        lac_dtype_name(tensor->dtype));
    lac_text text = {0};
    lac_text_add(&text, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                 lac_dtype_bits(tensor->dtype) == 8 ? '|' : '<', descr);
    for (int i = 0; i < tensor->rank; i++)
        lac_text_add(&text, "%" PRId64 "%s", tensor->dims[i],
                     i + 1 < tensor->rank ? ", "
                     : tensor->rank == 1  ? ","
                                          : "");
    lac_text_add(&text, "), }");
    while ((10 + text.length + 1) % 64 && !text.failed)
        lac_text_add(&text, " ");
    lac_text_add(&text, "\n");
    const unsigned char prefix[10] = {0x93,
                                      'N',
                                      'U',
                                      'M',
                                      'P',
                                      'Y',
                                      1,
                                      0,
                                      (unsigned char)(text.length & 255),
                                      (unsigned char)(text.length >> 8)};
    lac_text_bytes(file, prefix, sizeof prefix);
    lac_text_bytes(file, text.data ? text.data : "", text.length);
    lac_text_bytes(file, tensor->data, lac_tensor_bytes(tensor));
    file->failed |= text.failed;
    lac_text_release(&text);
    return file->failed ? lac_fail(err, LAC_ERROR_MEMORY, "out of memory") : LAC_OK;
}

lac_status lac_npy_save(const lac_tensor *tensor, const char *path, lac_error *err)
{
    lac_text file = {0};
    lac_status status = lac_npy_format(tensor, &file, err);
    if (status != LAC_OK)
        status = lac_fail_in(err, status, "%s", path);
    else
        status = lac_write_file(path, file.data, file.length, err);
    lac_text_release(&file);
    return status;
}
