/* See aside.h. */
#include "io/aside.h"

#include "core/memory.h"
#include "core/text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static lac_status refused(const lac_aside *aside, const char *what, lac_error *err)
{
    return lac_fail(err, LAC_ERROR_IO, "%s: cannot %s: %s", aside->path, what, strerror(errno));
}

lac_status lac_aside_open(lac_aside *aside, const char *path, lac_error *err)
{
    lac_text name = {0};
    memset(aside, 0, sizeof *aside);
    aside->file = -1;
    lac_text_add(&name, "%s.%ld.tmp", path, (long)getpid());
    aside->path = lac_strdup(path, err);
    aside->temporary = name.failed ? NULL : name.data;
    if (!aside->path || !aside->temporary) {
        lac_text_release(&name);
        lac_free(aside->path);
        memset(aside, 0, sizeof *aside);
        return lac_fail(err, LAC_ERROR_MEMORY, "%s: out of memory", path);
    }
    aside->file = open(aside->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (aside->file >= 0)
        return LAC_OK;
    lac_status status = refused(aside, "write", err);
    lac_free(aside->path);
    lac_free(aside->temporary);
    memset(aside, 0, sizeof *aside);
    return status;
}

lac_status lac_aside_write(lac_aside *aside, const void *data, size_t bytes, lac_error *err)
{
    const char *at = data;
    while (bytes > 0) {
        ssize_t written = write(aside->file, at, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return refused(aside, "write", err);
        at += written;
        bytes -= (size_t)written;
    }
    return LAC_OK;
}

lac_status lac_aside_sync(lac_aside *aside, lac_error *err)
{
    if (fsync(aside->file) != 0)
        return refused(aside, "write", err);
    int failed = close(aside->file);
    aside->file = -1;
    return failed ? refused(aside, "write", err) : LAC_OK;
}

lac_status lac_aside_rename(lac_aside *aside, int n, lac_error *err)
{
    struct stat there;
    for (int i = 0; i < n; i++)
        if (lstat(aside[i].path, &there) == 0 && S_ISDIR(there.st_mode)) {
            errno = EISDIR;
            return refused(&aside[i], "replace", err);
        }
    for (int i = 0; i < n; i++) {
        if (rename(aside[i].temporary, aside[i].path) != 0) {
            lac_status status = refused(&aside[i], "replace", err);
            while (i-- > 0)
                unlink(aside[i].path);
            return status;
        }
        aside[i].renamed = true;
    }
    return LAC_OK;
}

void lac_aside_release(lac_aside *aside)
{
    if (!aside->path)
        return;
    if (aside->file >= 0)
        close(aside->file);
    if (!aside->renamed)
        unlink(aside->temporary);
    lac_free(aside->path);
    lac_free(aside->temporary);
    memset(aside, 0, sizeof *aside);
}

lac_status lac_aside_add(lac_aside_set *set, const char *path, const void *data, size_t bytes,
                         lac_error *err)
{
    size_t n = (size_t)set->n;
    lac_aside *files = lac_grow(set->file, n, n + 1, sizeof *files, err);
    if (!files)
        return LAC_ERROR_MEMORY;
    set->file = files;
    LAC_TRY(lac_aside_open(&files[n], path, err));
    set->n++;
    LAC_TRY(lac_aside_write(&files[n], data, bytes, err));
    return lac_aside_sync(&files[n], err);
}

lac_status lac_aside_finish(lac_aside_set *set, lac_error *err)
{
    return lac_aside_rename(set->file, set->n, err);
}

void lac_aside_set_release(lac_aside_set *set)
{
    for (int i = 0; i < set->n; i++)
        lac_aside_release(&set->file[i]);
    lac_free(set->file);
    memset(set, 0, sizeof *set);
}
