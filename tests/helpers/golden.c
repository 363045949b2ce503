/* Markdown tables as test data. */
#include "helpers/golden.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

bool golden_shared(char *path, size_t size, const char *relative)
{
    const char *root = getenv("LACUNA_SHARED");
    if (root && *root)
        snprintf(path, size, "%s/%s", root, relative);
    else
        snprintf(path, size, "%s/../shared/%s", LACUNA_SOURCE_DIR, relative);
    FILE *file = fopen(path, "rb");
    if (file)
        fclose(file);
    return file != NULL;
}

char *golden_read(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return NULL;
    char *text = NULL;
    size_t length = 0, room = 0, got;
    do {
        if (room - length < 65536) {
            room = room * 2 + 131072;
            char *more = realloc(text, room);
            if (!more) {
                free(text);
                fclose(file);
                return NULL;
            }
            text = more;
        }
        got = fread(text + length, 1, room - length - 1, file);
        length += got;
    } while (got > 0);
    text[length] = '\0';
    fclose(file);
    return text;
}

char *golden_system(const char *name)
{
    char relative[128], path[4096];
    snprintf(relative, sizeof relative, "systems/%s.md", name);
    if (!golden_shared(path, sizeof path, relative))
        snprintf(path, sizeof path, "%s/tests/systems/golden/%s.txt", LACUNA_SOURCE_DIR, name);
    char *text = golden_read(path);
    if (!text)
        fail_msg("%s: cannot be read", path);
    return text;
}

static char *trimmed(const char *from, const char *to)
{
    char *cell = malloc((size_t)(to - from) + 1);
    size_t length = 0;
    assert_non_null(cell);
    for (; from < to; from++)
        if (*from != '`' && !(*from == '\\' && from[1] == '|') && (length || *from != ' '))
            cell[length++] = *from;
    while (length && cell[length - 1] == ' ')
        length--;
    cell[length] = '\0';
    return cell;
}

/* Appends the cells of the line "| a | b |"; returns how many. */
static int add_line(golden_table *table, int *used, const char *line, const char *end)
{
    int count = 0;
    const char *from = line + 1;
    for (const char *at = from; at < end; at++) {
        if (*at != '|' || at[-1] == '\\')
            continue;
        table->cell = realloc(table->cell, (size_t)(*used + 1) * sizeof *table->cell);
        assert_non_null(table->cell);
        table->cell[(*used)++] = trimmed(from, at);
        from = at + 1;
        count++;
    }
    return count;
}

static const char *line_end(const char *line)
{
    const char *end = strchr(line, '\n');
    return end ? end : line + strlen(line);
}

golden_table golden_find(const char *text, const char *heading, int index)
{
    golden_table table = {0};
    bool found = false, inside = false, wanted = false;
    int number = -1, used = 0, line_number = 0;
    for (const char *line = text; *line;) {
        const char *end = line_end(line);
        if (*line == '#' && !found) {
            const char *at = strstr(line, heading);
            found = at && at < end;
        } else if (found && *line == '|') {
            if (!inside) {
                number++;
                line_number = 0;
                wanted = number == index;
            }
            inside = true;
            if (wanted && line_number != 1) { /* 1 is the rule under the header */
                int count = add_line(&table, &used, line, end);
                if (line_number == 0)
                    table.columns = count;
                else if (count != table.columns)
                    fail_msg("%s, table %d, row %d: %d cells of %d", heading, index,
                             line_number - 1, count, table.columns);
                else
                    table.rows++;
            }
            line_number++;
        } else {
            inside = false;
        }
        line = *end ? end + 1 : end;
    }
    if (table.rows == 0)
        fail_msg("no table %d behind the heading '%s'", index, heading);
    return table;
}

void golden_free(golden_table *table)
{
    for (int i = 0; i < (table->rows + 1) * table->columns; i++)
        free(table->cell[i]);
    free(table->cell);
    memset(table, 0, sizeof *table);
}

static int column_index(const golden_table *table, const char *column)
{
    for (int i = 0; i < table->columns; i++)
        if (strcmp(table->cell[i], column) == 0)
            return i;
    return -1;
}

bool golden_has(const golden_table *table, const char *column)
{
    return column_index(table, column) >= 0;
}

const char *golden_cell(const golden_table *table, int row, const char *column)
{
    int i = column_index(table, column);
    if (i < 0 || row < 0 || row >= table->rows)
        fail_msg("no cell in row %d, column '%s'", row, column);
    return table->cell[(row + 1) * table->columns + i];
}

uint64_t golden_int(const golden_table *table, int row, const char *column)
{
    const char *cell = golden_cell(table, row, column);
    bool negative = *cell == '-';
    uint64_t value = 0;
    int digits = 0;
    for (const char *at = cell + negative; *at; at++) {
        if (*at == ',')
            continue;
        if (*at < '0' || *at > '9')
            fail_msg("row %d, column '%s': '%s' is not an integer", row, column, cell);
        value = value * 10 + (uint64_t)(*at - '0');
        digits++;
    }
    if (digits == 0)
        fail_msg("row %d, column '%s': '%s' is not an integer", row, column, cell);
    return negative ? 0 - value : value;
}

double golden_real(const golden_table *table, int row, const char *column)
{
    const char *cell = golden_cell(table, row, column);
    char *end;
    double value = strtod(cell, &end);
    if (end == cell || *end)
        fail_msg("row %d, column '%s': '%s' is not a number", row, column, cell);
    return value;
}

int golden_row(const golden_table *table, const char *column, const char *value)
{
    for (int row = 0; row < table->rows; row++)
        if (strcmp(golden_cell(table, row, column), value) == 0)
            return row;
    return -1;
}

void golden_same(const golden_table *a, const golden_table *b)
{
    assert_int_equal(a->rows, b->rows);
    assert_int_equal(a->columns, b->columns);
    for (int i = 0; i < (a->rows + 1) * a->columns; i++)
        assert_string_equal(a->cell[i], b->cell[i]);
}

static bool given(const char *text)
{
    return text && *text && strcmp(text, "-") != 0;
}

lac_layer golden_layer(const char *text, const char *wd, const char *ad, uint64_t seed)
{
    lac_layer layer;
    lac_error err;
    if (lac_layer_parse(&layer, text, &err) != LAC_OK)
        fail_msg("%s", err.message);
    if (given(wd) && lac_operand_pattern(&layer.operand[LAC_ROLE_WEIGHTS], wd, &err) != LAC_OK)
        fail_msg("%s", err.message);
    if (given(ad) && lac_operand_pattern(&layer.operand[LAC_ROLE_ACTIVATIONS], ad, &err) != LAC_OK)
        fail_msg("%s", err.message);
    layer.seed = seed;
    if (layer.kind->generate(&layer, &err) != LAC_OK)
        fail_msg("%s", err.message);
    return layer;
}

void golden_set(lac_params *params, const char *set)
{
    char copy[1024], *rest = copy;
    lac_error err;
    snprintf(copy, sizeof copy, "%s", given(set) ? set : "");
    for (char *word = strtok_r(copy, " ,", &rest); word; word = strtok_r(NULL, " ,", &rest)) {
        if (strcmp(word, "--set") == 0)
            continue;
        char *equals = strchr(word, '=');
        if (!equals)
            fail_msg("'%s' is not name=value", word);
        *equals = '\0';
        if (lac_params_set(params, word, equals + 1, &err) != LAC_OK)
            fail_msg("%s", err.message);
    }
}
