/* IDX: two zero bytes, a type, a rank, big-endian sizes, big-endian data
 * (http://yann.lecun.com/exdb/mnist, "THE IDX FILE FORMAT"). */
#include "io/idx.h"

#include "core/memory.h"
#include "core/text.h"

#include <string.h>

#if LACUNA_HAVE_ZLIB
#include <zlib.h>
#endif

static lac_dtype dtype_of(int code)
{
    switch (code) {
    case 0x08:
        return LAC_U8;
    case 0x09:
        return LAC_I8;
    case 0x0b:
        return LAC_I16;
    case 0x0c:
        return LAC_I32;
    case 0x0d:
        return LAC_F32;
    case 0x0e:
        return LAC_F64;
    default:
        return LAC_NONE;
    }
}

lac_status lac_idx_parse(lac_tensor *tensor, const void *data, size_t bytes, lac_error *err)
{
    const uint8_t *file = data;
    int64_t dims[LAC_MAX_RANK], count;
    memset(tensor, 0, sizeof *tensor);
    if (bytes < 4 || file[0] || file[1])
        return lac_fail(err, LAC_ERROR_INPUT, "not an IDX file");
    lac_dtype dtype = dtype_of(file[2]);
    int rank = file[3];
    if (dtype == LAC_NONE)
        return lac_fail(err, LAC_ERROR_INPUT, "IDX element type 0x%02x", file[2]);
    if (rank > LAC_MAX_RANK || bytes < 4 + 4 * (size_t)rank)
        return lac_fail(err, LAC_ERROR_INPUT, "IDX rank %d, limit %d", rank, LAC_MAX_RANK);
    for (int i = 0; i < rank; i++) {
        const uint8_t *p = file + 4 + 4 * i;
        dims[i] = (int64_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
    }
    LAC_TRY(lac_shape_count(rank, dims, &count, err));
    size_t size = (size_t)lac_dtype_bits(dtype) / 8, begin = 4 + 4 * (size_t)rank;
    if ((uint64_t)count * size != bytes - begin)
        return lac_fail(err, LAC_ERROR_INPUT, "%zu bytes of data, the shape needs %llu",
                        bytes - begin, (unsigned long long)count * size);
    LAC_TRY(lac_tensor_make(tensor, dtype, rank, dims, err));
    for (size_t i = 0; i < bytes - begin; i++) /* big endian: the bytes of each element reversed */
        ((uint8_t *)tensor->data)[i - i % size + (size - 1 - i % size)] = file[begin + i];
    return LAC_OK;
}

static lac_status load_gzip(lac_tensor *tensor, const char *path, lac_error *err)
{
#if LACUNA_HAVE_ZLIB
    enum { LIMIT = 1 << 30 };
    gzFile file = gzopen(path, "rb");
    if (!file)
        return lac_fail(err, LAC_ERROR_IO, "cannot open");
    lac_text text = {0};
    char block[1 << 14];
    int got;
    while ((got = gzread(file, block, sizeof block)) > 0 && text.length < LIMIT && !text.failed)
        lac_text_bytes(&text, block, (size_t)got);
    bool whole = gzclose(file) == Z_OK && got == 0; /* closing tells of a stream cut short */
    lac_status status;
    if (text.failed)
        status = lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
    else if (text.length >= LIMIT)
        status =
            lac_fail(err, LAC_ERROR_INPUT, "unpacks to more than the limit of %d bytes", LIMIT);
    else if (!whole)
        status = lac_fail(err, LAC_ERROR_INPUT, "damaged gzip data");
    else
        status = lac_idx_parse(tensor, text.data ? text.data : "", text.length, err);
    lac_text_release(&text);
    return status;
#else
    (void)tensor, (void)path;
    return lac_fail(err, LAC_ERROR_UNSUPPORTED, "gzip, and lacuna was built without zlib");
#endif
}

lac_status lac_idx_load(lac_tensor *tensor, const char *path, lac_error *err)
{
    size_t length = strlen(path);
    lac_status status;
    if (length > 3 && strcmp(path + length - 3, ".gz") == 0) {
        status = load_gzip(tensor, path, err);
    } else {
        lac_buffer *buffer;
        const void *data;
        size_t bytes;
        LAC_TRY(lac_map_file(&buffer, &data, &bytes, path, err));
        status = lac_idx_parse(tensor, data, bytes, err);
        lac_buffer_drop(buffer);
    }
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", path);
}
