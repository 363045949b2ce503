/* Allocation with overflow checks, arenas, counted buffers; tests inject failures here. */
#ifndef LACUNA_CORE_MEMORY_H
#define LACUNA_CORE_MEMORY_H

#include <lacuna/core.h>

/* `count * size` bytes, zeroed, aligned to 64, with 64 readable bytes behind. NULL and a filled
 * err when the product overflows or memory is short. Free with lac_free. count 0 gives a valid
 * pointer. */
void *lac_alloc(size_t count, size_t size, lac_error *err);
/* Same, but the contents are undefined. */
void *lac_alloc_raw(size_t count, size_t size, lac_error *err);
/* Grows `pointer` (from lac_alloc or NULL) keeping `old_count` elements; on failure NULL and
 * `pointer` stays valid. */
void *lac_grow(void *pointer, size_t old_count, size_t new_count, size_t size, lac_error *err);
void lac_free(void *pointer);
char *lac_strdup(const char *text, lac_error *err);

/* For tests: the allocation number `n` from now (0: the next) and all later ones fail; -1: off. */
void lac_alloc_fail_after(int64_t n);

/* Things that live and die together. */
typedef struct lac_arena lac_arena;
lac_arena *lac_arena_make(lac_error *err);
void lac_arena_free(lac_arena *arena);
void *lac_arena_alloc(lac_arena *arena, size_t count, size_t size, lac_error *err);
char *lac_arena_strdup(lac_arena *arena, const char *text, size_t length, lac_error *err);
/* One pointer per distinct string. */
const char *lac_arena_intern(lac_arena *arena, const char *text, size_t length, lac_error *err);

/* Counted buffers. `release(data, bytes, context)` runs when the last claim is dropped. */
lac_buffer *lac_buffer_make(void *data, size_t bytes, void (*release)(void *, size_t, void *),
                            void *context, lac_error *err);
lac_buffer *lac_buffer_claim(lac_buffer *buffer); /* NULL stays NULL */
void lac_buffer_drop(lac_buffer *buffer);

/* Bytes that read as zeros and take no memory: for what wants an address but no values. */
lac_status lac_map_blank(lac_buffer **buffer, const void **data, size_t bytes, lac_error *err);
bool lac_buffer_is_mapped(const lac_buffer *buffer); /* a file; NULL: no */
/* Nobody will read `tensor` for a while: if its bytes are those of a mapped file, their memory may
 * go; a later read brings them back from the file. */
void lac_tensor_rest(const lac_tensor *tensor);

/* The whole file mapped read-only. Errors name the path. */
lac_status lac_map_file(lac_buffer **buffer, const void **data, size_t *bytes, const char *path,
                        lac_error *err);

#endif
