/* See text.h. */
#include "core/text.h"

#include "core/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool reserve(lac_text *text, size_t more)
{
    if (text->failed)
        return false;
    size_t need = text->length + more + 1;
    if (need <= text->capacity)
        return true;
    size_t capacity = need < 256 ? 256 : 2 * need;
    char *data = lac_grow(text->data, text->data ? text->length + 1 : 0, capacity, 1, NULL);
    if (!data) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void lac_text_bytes(lac_text *text, const void *data, size_t length)
{
    if (!reserve(text, length))
        return;
    memcpy(text->data + text->length, data, length);
    text->length += length;
    text->data[text->length] = 0;
}

void lac_text_add(lac_text *text, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (length >= 0 && reserve(text, (size_t)length)) {
        vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
}

/* Bytes of the character that `text` begins with; 0: they are none (Unicode 15, table 3-7). */
static size_t character(const unsigned char *text)
{
    unsigned char lead = text[0];
    unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80; /* of the second byte */
    unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    size_t length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead > 0xf4)
        return 0;
    for (size_t i = 1; i < length; i++, low = 0x80, high = 0xbf)
        if (text[i] < low || text[i] > high)
            return 0;
    return length;
}

void lac_text_utf8(lac_text *text, const char *bytes)
{
    while (*bytes) {
        size_t length = character((const unsigned char *)bytes);
        lac_text_bytes(text, length ? bytes : "\xef\xbf\xbd", length ? length : 3);
        bytes += length ? length : 1;
    }
}

void lac_text_release(lac_text *text)
{
    lac_free(text->data);
    memset(text, 0, sizeof *text);
}

bool lac_parse_i64(const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end || errno)
        return false;
    *value = number;
    return true;
}

bool lac_parse_f64(const char *text, double *value)
{
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    if (end == text || *end || (errno == ERANGE && (number > 1 || number < -1)))
        return false;
    *value = number;
    return true;
}

static bool write_all(int file, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t written = write(file, data, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        data += written;
        bytes -= (size_t)written;
    }
    return true;
}

lac_status lac_write_file(const char *path, const void *data, size_t bytes, lac_error *err)
{
    lac_text aside = {0};
    struct stat there;
    /* A device or pipe (/dev/stdout) is written to, never replaced. */
    bool special = stat(path, &there) == 0 && !S_ISREG(there.st_mode);
    if (special)
        lac_text_add(&aside, "%s", path);
    else
        lac_text_add(&aside, "%s.%ld.tmp", path, (long)getpid());
    if (aside.failed)
        return lac_fail(err, LAC_ERROR_MEMORY, "%s: out of memory", path);
    lac_status status = LAC_OK;
    int file = open(aside.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file < 0) {
        status = lac_fail(err, LAC_ERROR_IO, "%s: cannot write: %s", path, strerror(errno));
    } else {
        bool good = write_all(file, data, bytes) && (special || fsync(file) == 0);
        int cause = errno;
        if (close(file) != 0 && good) {
            cause = errno;
            good = false;
        }
        if (good && !special && rename(aside.data, path) != 0) {
            cause = errno;
            good = false;
        }
        if (!good) {
            if (!special)
                unlink(aside.data);
            status = lac_fail(err, LAC_ERROR_IO, "%s: cannot write %zu bytes: %s", path, bytes,
                              strerror(cause));
        }
    }
    lac_text_release(&aside);
    return status;
}

lac_status lac_read_file(char **data, size_t *bytes, const char *path, size_t limit, lac_error *err)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return lac_fail(err, LAC_ERROR_IO, "%s: %s", path, strerror(errno));
    lac_text text = {0};
    char block[1 << 14];
    ssize_t got = 0;
    while (text.length <= limit && (got = read(file, block, sizeof block)) > 0)
        lac_text_bytes(&text, block, (size_t)got);
    int cause = errno;
    close(file);
    lac_text_bytes(&text, "", 0); /* an empty file still gives a string */
    if (got < 0 || text.failed || text.length > limit) {
        lac_text_release(&text);
        if (got < 0)
            return lac_fail(err, LAC_ERROR_IO, "%s: %s", path, strerror(cause));
        return lac_fail(err, LAC_ERROR_INPUT, "%s: longer than the limit of %zu bytes", path,
                        limit);
    }
    *data = text.data;
    *bytes = text.length;
    return LAC_OK;
}
