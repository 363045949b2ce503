/* Files that appear whole or not at all: each is written under another name in the same folder,
 * synced, and renamed only when everything that belongs together was written. */
#ifndef LACUNA_IO_ASIDE_H
#define LACUNA_IO_ASIDE_H

#include <lacuna/core.h>

typedef struct lac_aside {
    char *path, *temporary;
    int file; /* descriptor, -1 when closed */
    bool renamed;
} lac_aside;

/* Opens a temporary file beside `path`. */
lac_status lac_aside_open(lac_aside *aside, const char *path, lac_error *err);
lac_status lac_aside_write(lac_aside *aside, const void *data, size_t bytes, lac_error *err);
/* Everything is on the disk after this; the file still has its temporary name. */
lac_status lac_aside_sync(lac_aside *aside, lac_error *err);
/* Renames `n` synced files, all or none: names that cannot be replaced are found first, and when a
 * rename fails all the same, the files that it would leave behind are removed. */
lac_status lac_aside_rename(lac_aside *aside, int n, lac_error *err);
/* Removes the temporary file if it was not renamed; harmless on a zeroed struct. */
void lac_aside_release(lac_aside *aside);

/* A growing set of files that belong together. */
typedef struct lac_aside_set {
    lac_aside *file;
    int n;
} lac_aside_set;

/* One more file with these bytes, synced, not yet renamed. */
lac_status lac_aside_add(lac_aside_set *set, const char *path, const void *data, size_t bytes,
                         lac_error *err);
/* All get their names, or none does. */
lac_status lac_aside_finish(lac_aside_set *set, lac_error *err);
void lac_aside_set_release(lac_aside_set *set);

#endif
