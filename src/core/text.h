/* Text: growing strings, parsing of numbers, whole-file reading and writing. */
#ifndef LACUNA_CORE_TEXT_H
#define LACUNA_CORE_TEXT_H

#include <lacuna/core.h>

/* A growing string. Zeroed is empty; `failed` stays set after the first failed allocation, so that
 * a sequence of appends needs one check at the end. */
typedef struct lac_text {
    char *data; /* NUL-terminated when not NULL */
    size_t length, capacity;
    bool failed;
} lac_text;
void lac_text_add(lac_text *text, const char *format, ...) LAC_PRINTF(2, 3);
void lac_text_bytes(lac_text *text, const void *data, size_t length);
/* Appends `bytes` as valid UTF-8: each byte that is not part of a character becomes U+FFFD. */
void lac_text_utf8(lac_text *text, const char *bytes);
void lac_text_release(lac_text *text);

/* The whole of `text` as a number: false for trailing characters, overflow, empty. */
bool lac_parse_i64(const char *text, int64_t *value);
bool lac_parse_f64(const char *text, double *value);

/* Writes aside (same folder), syncs, renames: the file appears whole or not at all. */
lac_status lac_write_file(const char *path, const void *data, size_t bytes, lac_error *err);
/* Reads at most `limit` bytes; longer files are an error. Free *data with lac_free; it has a NUL
 * behind. */
lac_status lac_read_file(char **data, size_t *bytes, const char *path, size_t limit,
                         lac_error *err);

#endif
