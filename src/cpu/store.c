/* See <lacuna/kernel.h>: a short list, searched when a plan is made. */
#include "core/memory.h"

#include <lacuna/kernel.h>

#include <string.h>

typedef struct entry {
    struct entry *next;
    const void *source;
    void (*release)(void *object);
    void *object;
    int users;
    size_t key_bytes;
    unsigned char key[];
} entry;

struct lac_store {
    entry *first;
};

lac_status lac_store_make(lac_store **store, lac_error *err)
{
    *store = lac_alloc(1, sizeof **store, err);
    return *store ? LAC_OK : LAC_ERROR_MEMORY;
}

void lac_store_free(lac_store *store)
{
    if (!store)
        return;
    for (entry *e = store->first, *next; e; e = next) {
        next = e->next;
        e->release(e->object);
        lac_free(e);
    }
    lac_free(store);
}

void *lac_store_find(lac_store *store, const void *source, const void *key, size_t key_bytes,
                     void (*release)(void *object))
{
    for (entry *e = store ? store->first : NULL; e; e = e->next)
        if (e->source == source && e->release == release && e->key_bytes == key_bytes &&
            memcmp(e->key, key, key_bytes) == 0) {
            e->users++;
            return e->object;
        }
    return NULL;
}

lac_status lac_store_put(lac_store *store, const void *source, const void *key, size_t key_bytes,
                         void (*release)(void *object), void *object, lac_error *err)
{
    if (!store)
        return LAC_OK;
    entry *e = lac_alloc(1, sizeof *e + key_bytes, err);
    if (!e)
        return LAC_ERROR_MEMORY;
    *e = (entry){.next = store->first,
                 .source = source,
                 .release = release,
                 .object = object,
                 .users = 1,
                 .key_bytes = key_bytes};
    memcpy(e->key, key, key_bytes);
    store->first = e;
    return LAC_OK;
}

void lac_store_drop(lac_store *store, void (*release)(void *object), void *object)
{
    if (!object)
        return;
    for (entry **at = store ? &store->first : NULL; at && *at; at = &(*at)->next) {
        entry *e = *at;
        if (e->object != object)
            continue;
        if (--e->users == 0) {
            *at = e->next;
            release(object);
            lac_free(e);
        }
        return;
    }
    release(object); /* never stored: no store, or no memory for the entry */
}
