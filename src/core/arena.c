/* Things that live and die together: a chain of blocks and a set of interned strings. */
#include "core/memory.h"

#include <string.h>

typedef struct block {
    struct block *next;
    size_t used, size;
} block;

struct lac_arena {
    block *blocks;
    const char **interned; /* open-addressing hash table, size a power of two */
    size_t n_interned, interned_size;
};

enum { BLOCK_BYTES = 1 << 16, HEADER = 64 };

lac_arena *lac_arena_make(lac_error *err)
{
    return lac_alloc(1, sizeof(lac_arena), err);
}

void lac_arena_free(lac_arena *arena)
{
    if (!arena)
        return;
    lac_free((void *)arena->interned);
    for (block *b = arena->blocks; b;) {
        block *next = b->next;
        lac_free(b);
        b = next;
    }
    lac_free(arena);
}

void *lac_arena_alloc(lac_arena *arena, size_t count, size_t size, lac_error *err)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX / 4) {
        lac_fail(err, LAC_ERROR_MEMORY, "out of memory: %zu elements of %zu bytes", count, size);
        return NULL;
    }
    bytes = (bytes + 15) & ~(size_t)15;
    block *b = arena->blocks;
    if (!b || b->size - b->used < bytes) {
        size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        b = lac_alloc(1, HEADER + room, err);
        if (!b)
            return NULL;
        b->size = room;
        b->next = arena->blocks;
        arena->blocks = b;
    }
    void *pointer = (char *)b + HEADER + b->used;
    b->used += bytes;
    return pointer;
}

char *lac_arena_strdup(lac_arena *arena, const char *text, size_t length, lac_error *err)
{
    char *copy = lac_arena_alloc(arena, length + 1, 1, err);
    if (copy) {
        memcpy(copy, text, length);
        copy[length] = 0;
    }
    return copy;
}

static size_t hash(const char *text, size_t length)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325); /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        h = (h ^ (unsigned char)text[i]) * UINT64_C(0x100000001b3);
    return (size_t)(h ^ (h >> 32));
}

/* The slot of `text`, or the free slot where it belongs. */
static size_t slot_of(const char **slots, size_t size, const char *text, size_t length)
{
    size_t i = hash(text, length) & (size - 1);
    while (slots[i] && !(strncmp(slots[i], text, length) == 0 && slots[i][length] == 0))
        i = (i + 1) & (size - 1);
    return i;
}

static bool grow_interned(lac_arena *arena, lac_error *err)
{
    size_t size = arena->interned_size ? 2 * arena->interned_size : 256;
    const char **slots = lac_alloc(size, sizeof *slots, err);
    if (!slots)
        return false;
    for (size_t i = 0; i < arena->interned_size; i++)
        if (arena->interned[i]) {
            const char *text = arena->interned[i];
            slots[slot_of(slots, size, text, strlen(text))] = text;
        }
    lac_free((void *)arena->interned);
    arena->interned = slots;
    arena->interned_size = size;
    return true;
}

const char *lac_arena_intern(lac_arena *arena, const char *text, size_t length, lac_error *err)
{
    if (length > 0) { /* names never hold NUL: cut there, so that compares agree with strcmp */
        const char *end = memchr(text, 0, length);
        length = end ? (size_t)(end - text) : length;
    }
    if (2 * (arena->n_interned + 1) > arena->interned_size && !grow_interned(arena, err))
        return NULL;
    size_t slot = slot_of(arena->interned, arena->interned_size, text, length);
    if (!arena->interned[slot]) {
        arena->interned[slot] = lac_arena_strdup(arena, text, length, err);
        if (!arena->interned[slot])
            return NULL;
        arena->n_interned++;
    }
    return arena->interned[slot];
}
