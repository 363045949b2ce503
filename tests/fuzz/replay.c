/* Runs a fuzz target over every file of a corpus folder, so that the suite replays it; then over
 * the same files cut short and with single bits flipped, at places that a seed decides. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/random.h"

enum { CUTS = 24, FLIPS = 64, DAMAGE_LIMIT = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* In a block of exactly `size` bytes, so that sanitizers see a read behind it. */
static void run(const uint8_t *data, size_t size, size_t flipped_bit)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        exit(1);
    memcpy(copy, data, size);
    if (flipped_bit < 8 * size)
        copy[flipped_bit / 8] ^= (uint8_t)(1 << flipped_bit % 8);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void run_damaged(const uint8_t *data, size_t size)
{
    lac_random random = lac_random_stream(1, size);
    if (size == 0 || size > DAMAGE_LIMIT)
        return;
    for (int i = 0; i < CUTS; i++)
        run(data, lac_random_next(&random) % size, SIZE_MAX);
    for (int i = 0; i < FLIPS; i++)
        run(data, size, lac_random_next(&random) % (8 * size));
}

int main(int argc, char **argv)
{
    DIR *folder = argc == 2 ? opendir(argv[1]) : NULL;
    if (!folder) {
        fprintf(stderr, "usage: %s CORPUS-FOLDER (must exist)\n", argv[0]);
        return 1;
    }
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[4096];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        FILE *file = fopen(path, "rb");
        if (!file || fseek(file, 0, SEEK_END) != 0)
            return 1;
        size_t size = (size_t)ftell(file);
        rewind(file);
        uint8_t *data = malloc(size + 1);
        if (!data || fread(data, 1, size, file) != size)
            return 1;
        fclose(file);
        run(data, size, SIZE_MAX);
        run_damaged(data, size);
        free(data);
        count++;
    }
    closedir(folder);
    printf("%d inputs replayed, whole and damaged\n", count);
    return count == 0;
}
