/* A folder for one test program's files, made by its group setup and removed by its teardown; to be
 * included once, after cmocka.h. */
#ifndef LACUNA_TESTS_IO_TEMPORARY_H
#define LACUNA_TESTS_IO_TEMPORARY_H

#include <dirent.h>
#include <lacuna/core.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[256];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s/test_io_XXXXXX", LACUNA_BINARY_DIR);
    return mkdtemp(folder) ? 0 : -1;
}

static void remove_all(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *each;
    while (dir && (each = readdir(dir))) {
        char inner[1024];
        if (strcmp(each->d_name, ".") == 0 || strcmp(each->d_name, "..") == 0)
            continue;
        snprintf(inner, sizeof inner, "%s/%s", path, each->d_name);
        if (unlink(inner) != 0)
            remove_all(inner);
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

static int remove_folder(void **state)
{
    (void)state;
    remove_all(folder);
    return 0;
}

/* "FOLDER/name"; good until the fourth call after. */
static inline const char *in_folder(const char *name)
{
    static char path[4][512];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, name);
    return path[turn];
}

static inline void ok(lac_status status, const lac_error *err)
{
    if (status != LAC_OK)
        fail_msg("%s", err->message);
}

/* The message holds `part` and is one line. */
static inline void says(const lac_error *err, const char *part)
{
    if (!strstr(err->message, part))
        fail_msg("'%s' does not say '%s'", err->message, part);
    assert_null(strchr(err->message, '\n'));
}

#endif
