/* Runs a fuzz target over every file of a corpus folder, so that the suite replays it. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
        LLVMFuzzerTestOneInput(data, size);
        free(data);
        count++;
    }
    closedir(folder);
    printf("%d inputs replayed\n", count);
    return count == 0;
}
