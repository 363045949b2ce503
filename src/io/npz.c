/* .npz: a zip archive of .npy files, stored or deflated. Only the central directory is believed;
 * every offset and size is checked against the file. ZIP: PKWARE APPNOTE 6.3, sections 4.3, 4.4. */
#include "core/memory.h"
#include "io/npy.h"

#include <string.h>

#if LACUNA_HAVE_ZLIB
#include <zlib.h>
#endif

enum { ENTRY_LIMIT = 100000 };

static uint32_t u16(const uint8_t *p)
{
    return (uint32_t)(p[0] | p[1] << 8);
}

static uint32_t u32(const uint8_t *p)
{
    return u16(p) | u16(p + 2) << 16;
}

/* Deflated bytes -> out[bytes]. */
static lac_status inflate_entry(const uint8_t *data, size_t packed, void *out, size_t bytes,
                                lac_error *err)
{
#if LACUNA_HAVE_ZLIB
    z_stream stream = {.next_in = (Bytef *)data,
                       .avail_in = (uInt)packed,
                       .next_out = out,
                       .avail_out = (uInt)bytes};
    if (inflateInit2(&stream, -MAX_WBITS) != Z_OK)
        return lac_fail(err, LAC_ERROR_MEMORY, "zlib does not start");
    int end = inflate(&stream, Z_FINISH);
    bool good = end == Z_STREAM_END && stream.total_out == bytes;
    inflateEnd(&stream);
    return good ? LAC_OK : lac_fail(err, LAC_ERROR_INPUT, "its deflated data are damaged");
#else
    (void)data, (void)packed, (void)out, (void)bytes;
    return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                    "it is deflated, and lacuna was built without zlib");
#endif
}

static lac_status check_sum(const void *data, size_t bytes, uint32_t want, lac_error *err)
{
#if LACUNA_HAVE_ZLIB
    uint32_t sum = (uint32_t)crc32_z(0, data, bytes);
    if (sum != want)
        return lac_fail(err, LAC_ERROR_INPUT, "its checksum is %08x, the archive says %08x", sum,
                        want);
#else
    (void)data, (void)bytes, (void)want, (void)err;
#endif
    return LAC_OK;
}

static lac_status read_entry(const uint8_t *file, size_t size, const uint8_t *entry,
                             const char *name, lac_npz_visit *visit, void *context, lac_error *err)
{
    uint32_t method = u16(entry + 10), packed = u32(entry + 20), bytes = u32(entry + 24);
    uint32_t offset = u32(entry + 42);
    if (packed == UINT32_MAX || bytes == UINT32_MAX || offset == UINT32_MAX)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "zip64 sizes");
    if (offset > size || size - offset < 30 || u32(file + offset) != 0x04034b50)
        return lac_fail(err, LAC_ERROR_INPUT, "no local header at %u", offset);
    size_t begin = (size_t)offset + 30 + u16(file + offset + 26) + u16(file + offset + 28);
    if (begin > size || size - begin < packed)
        return lac_fail(err, LAC_ERROR_INPUT, "%u bytes at %zu reach behind the file of %zu",
                        packed, begin, size);
    lac_tensor tensor;
    lac_status status;
    if (method == 0) {
        status = check_sum(file + begin, packed, u32(entry + 16), err);
        if (status == LAC_OK)
            status = lac_npy_parse(&tensor, file + begin, packed, err);
    } else if (method == 8) {
        /* No deflate stream unpacks to more than 1032 times its size. */
        if (bytes > (uint64_t)packed * 1032 + 64)
            return lac_fail(err, LAC_ERROR_INPUT, "%u bytes cannot unpack to %u", packed, bytes);
        void *out = lac_alloc_raw(bytes, 1, err);
        if (!out)
            return LAC_ERROR_MEMORY;
        status = inflate_entry(file + begin, packed, out, bytes, err);
        if (status == LAC_OK)
            status = check_sum(out, bytes, u32(entry + 16), err);
        if (status == LAC_OK)
            status = lac_npy_parse(&tensor, out, bytes, err);
        lac_free(out);
    } else {
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "compression method %u", method);
    }
    if (status == LAC_OK) {
        status = visit(context, name, &tensor, err);
        lac_tensor_release(&tensor);
    }
    return status;
}

lac_status lac_npz_parse(const void *data, size_t bytes, lac_npz_visit *visit, void *context,
                         lac_error *err)
{
    const uint8_t *file = data;
    size_t end = bytes;
    /* The end record lies within the last 64 KiB + 22 bytes. */
    for (size_t back = 22; back <= bytes && back < 65536 + 22 && end == bytes; back++)
        if (u32(file + bytes - back) == 0x06054b50)
            end = bytes - back;
    if (end == bytes)
        return lac_fail(err, LAC_ERROR_INPUT, "not an .npz file (no zip directory)");
    uint32_t count = u16(file + end + 10);
    uint64_t total = 0; /* of packed bytes */
    size_t at = u32(file + end + 16);
    if (count > ENTRY_LIMIT)
        return lac_fail(err, LAC_ERROR_INPUT, "%u entries, limit %d", count, ENTRY_LIMIT);
    for (uint32_t i = 0; i < count; i++) {
        char name[256];
        if (at > end || end - at < 46 || u32(file + at) != 0x02014b50)
            return lac_fail(err, LAC_ERROR_INPUT, "directory entry %u is damaged", i);
        size_t length = u16(file + at + 28);
        if (length >= sizeof name || end - at - 46 < length)
            return lac_fail(err, LAC_ERROR_INPUT, "directory entry %u: name of %zu bytes", i,
                            length);
        memcpy(name, file + at + 46, length);
        name[length] = 0;
        if (length > 4 && strcmp(name + length - 4, ".npy") == 0)
            name[length - 4] = 0;
        total += u32(file + at + 20);
        if (total > bytes) /* or a small file could unpack to anything, again and again */
            return lac_fail(err, LAC_ERROR_INPUT, "array '%s': the entries overlap", name);
        lac_status status = read_entry(file, bytes, file + at, name, visit, context, err);
        if (status != LAC_OK)
            return lac_fail_in(err, status, "array '%s'", name);
        at += 46 + length + u16(file + at + 30) + u16(file + at + 32);
    }
    return LAC_OK;
}

lac_status lac_npz_load(const char *path, lac_npz_visit *visit, void *context, lac_error *err)
{
    lac_buffer *buffer;
    const void *data;
    size_t bytes;
    LAC_TRY(lac_map_file(&buffer, &data, &bytes, path, err));
    lac_status status = lac_npz_parse(data, bytes, visit, context, err);
    lac_buffer_drop(buffer);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", path);
}
