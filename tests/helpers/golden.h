/* Golden tables: Markdown tables read from a dossier, or from the copy under
 * tests/systems/golden/ where the shared folder is absent. A wrong heading, column or number fails
 * the running test with a message. */
#ifndef LACUNA_TESTS_HELPERS_GOLDEN_H
#define LACUNA_TESTS_HELPERS_GOLDEN_H

#include <lacuna/layer.h>

typedef struct golden_table {
    int columns, rows;
    char **cell; /* header first, then rows, without blanks around and backticks */
} golden_table;

/* "$LACUNA_SHARED/relative" (default: ../shared beside the source tree) into path; false when there
 * is no such file. */
bool golden_shared(char *path, size_t size, const char *relative);
/* The whole file as text, or NULL; free() it. */
char *golden_read(const char *path);
/* The dossier "systems/NAME.md", or the copy "NAME.txt"; free() it. */
char *golden_system(const char *name);

/* Table number `index` (from 0) behind the first heading line ("#...") that contains `heading`. */
golden_table golden_find(const char *text, const char *heading, int index);
void golden_free(golden_table *table);
bool golden_has(const golden_table *table, const char *column);
const char *golden_cell(const golden_table *table, int row, const char *column);
/* A decimal number modulo 2^64: "-5" and "18446744073709551611" are the same. Commas between
 * thousands are skipped. */
uint64_t golden_int(const golden_table *table, int row, const char *column);
double golden_real(const golden_table *table, int row, const char *column);
/* The row whose `column` holds `value`, or -1. */
int golden_row(const golden_table *table, const char *column, const char *value);
/* Fails unless both hold the same cells. */
void golden_same(const golden_table *a, const golden_table *b);

/* A synthetic layer with its operands; wd, ad: "-", "" or NULL for not given. */
lac_layer golden_layer(const char *text, const char *wd, const char *ad, uint64_t seed);
/* "a=1 b=2", "a=1,b=2" or "--set a=1 --set b=2"; "-" or "": nothing. */
void golden_set(lac_params *params, const char *set);

#endif
