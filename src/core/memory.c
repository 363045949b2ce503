/* Every allocation of the library goes through here, so that sizes are multiplied with overflow
 * checks once and tests can make any single allocation fail. Blocks are aligned to 64 bytes and
 * have 64 readable bytes behind, so that vector kernels may read whole registers at the end. */
#include "core/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ALIGNMENT = 64, TAIL = 64, LARGE_PAGE = 2 << 20 };

static _Atomic int64_t fail_after = -1;

void lac_alloc_fail_after(int64_t n)
{
    atomic_store(&fail_after, n);
}

static bool injected_failure(void)
{
    int64_t left = atomic_load_explicit(&fail_after, memory_order_relaxed);
    if (left < 0)
        return false;
    if (left == 0)
        return true;
    atomic_fetch_sub(&fail_after, 1);
    return false;
}

/* Large blocks ask for large pages: streaming weights from memory with pages of 4 KiB waits for the
 * page tables (measured in a virtual machine: 21 GB/s instead of 29). Only whole large pages inside
 * the block, so that it takes no more memory than it would. */
static void *large_pages(size_t padded)
{
    char *pointer = aligned_alloc(LARGE_PAGE, (padded + LARGE_PAGE - 1) / LARGE_PAGE * LARGE_PAGE);
#ifdef MADV_HUGEPAGE
    if (pointer)
        (void)madvise(pointer, padded / LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE);
#endif
    return pointer;
}

void *lac_alloc_raw(size_t count, size_t size, lac_error *err)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 2 - 2 * LARGE_PAGE) {
        lac_fail(err, LAC_ERROR_MEMORY, "out of memory: %zu elements of %zu bytes", count, size);
        return NULL;
    }
    size_t padded = (bytes + TAIL + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    void *pointer = injected_failure()        ? NULL
                    : padded < 2 * LARGE_PAGE ? aligned_alloc(ALIGNMENT, padded)
                                              : large_pages(padded);
    if (!pointer) {
        lac_fail(err, LAC_ERROR_MEMORY, "out of memory: %zu bytes", bytes);
        return NULL;
    }
    memset((char *)pointer + bytes, 0, padded - bytes);
    return pointer;
}

void *lac_alloc(size_t count, size_t size, lac_error *err)
{
    void *pointer = lac_alloc_raw(count, size, err);
    if (pointer)
        memset(pointer, 0, count * size);
    return pointer;
}

void *lac_grow(void *pointer, size_t old_count, size_t new_count, size_t size, lac_error *err)
{
    char *bigger = lac_alloc(new_count, size, err);
    if (!bigger)
        return NULL;
    if (pointer)
        memcpy(bigger, pointer, old_count * size);
    lac_free(pointer);
    return bigger;
}

void lac_free(void *pointer)
{
    free(pointer);
}

char *lac_strdup(const char *text, lac_error *err)
{
    size_t bytes = strlen(text) + 1;
    char *copy = lac_alloc_raw(bytes, 1, err);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

/* ---- counted buffers ---------------------------------------------------------------------- */

struct lac_buffer {
    _Atomic int claims;
    void *data;
    size_t bytes;
    void (*release)(void *, size_t, void *);
    void *context;
};

lac_buffer *lac_buffer_make(void *data, size_t bytes, void (*release)(void *, size_t, void *),
                            void *context, lac_error *err)
{
    lac_buffer *buffer = lac_alloc(1, sizeof *buffer, err);
    if (!buffer)
        return NULL;
    atomic_init(&buffer->claims, 1);
    buffer->data = data;
    buffer->bytes = bytes;
    buffer->release = release;
    buffer->context = context;
    return buffer;
}

lac_buffer *lac_buffer_claim(lac_buffer *buffer)
{
    if (buffer)
        atomic_fetch_add(&buffer->claims, 1);
    return buffer;
}

void lac_buffer_drop(lac_buffer *buffer)
{
    if (!buffer || atomic_fetch_sub(&buffer->claims, 1) != 1)
        return;
    if (buffer->release)
        buffer->release(buffer->data, buffer->bytes, buffer->context);
    lac_free(buffer);
}

static void unmap(void *data, size_t bytes, void *context)
{
    (void)context;
    if (bytes)
        munmap(data, bytes);
}

/* Told apart from files by its address. */
static void unmap_blank(void *data, size_t bytes, void *context)
{
    unmap(data, bytes, context);
}

lac_status lac_map_blank(lac_buffer **buffer, const void **data, size_t bytes, lac_error *err)
{
    void *map = NULL;
    if (bytes > 0) {
        map = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (map == MAP_FAILED)
            return lac_fail(err, LAC_ERROR_MEMORY, "out of memory: %zu bytes", bytes);
    }
    *buffer = lac_buffer_make(map, bytes, unmap_blank, NULL, err);
    if (!*buffer) {
        unmap(map, bytes, NULL);
        return LAC_ERROR_MEMORY;
    }
    *data = map;
    return LAC_OK;
}

bool lac_buffer_is_mapped(const lac_buffer *buffer)
{
    return buffer && buffer->release == unmap;
}

void lac_tensor_rest(const lac_tensor *tensor)
{
    if (!lac_buffer_is_mapped(tensor->buffer) || !tensor->data)
        return;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)tensor->data;
    uintptr_t end = (begin + lac_tensor_bytes(tensor)) / page * page; /* whole pages only */
    begin = (begin + page - 1) / page * page;
    if (begin < end)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}

lac_status lac_map_file(lac_buffer **buffer, const void **data, size_t *bytes, const char *path,
                        lac_error *err)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return lac_fail(err, LAC_ERROR_IO, "%s: %s", path, strerror(errno));
    struct stat status;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(file);
        return lac_fail(err, LAC_ERROR_IO, "%s: not a regular file", path);
    }
    size_t length = (size_t)status.st_size;
    void *map = NULL;
    if (length > 0) {
        map = mmap(NULL, length, PROT_READ, MAP_PRIVATE, file, 0);
        if (map == MAP_FAILED) {
            int cause = errno;
            close(file);
            return lac_fail(err, LAC_ERROR_IO, "%s: cannot map: %s", path, strerror(cause));
        }
    }
    close(file);
    *buffer = lac_buffer_make(map, length, unmap, NULL, err);
    if (!*buffer) {
        unmap(map, length, NULL);
        return LAC_ERROR_MEMORY;
    }
    *data = map;
    *bytes = length;
    return LAC_OK;
}
