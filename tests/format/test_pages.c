/* Every format of the table has its page in docs/formats: the matrix of its worked example packs to
 * the bytes on the page, and the page lists the fields and parameters of the row. */
#include <lacuna/format.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PAGE_BYTES = 65536 };

/* Moves *at behind the next line, which it ends with a 0. */
static char *next_line(char **at)
{
    char *line = *at, *end = strchr(line, '\n');
    assert_non_null(end);
    *end = 0;
    *at = end + 1;
    return line;
}

static void read_matrix(lac_tensor *tensor, int64_t rows, int64_t cols, char **at)
{
    for (int64_t r = 0; r < rows; r++) {
        char *line = next_line(at);
        for (int64_t k = 0; k < cols; k++) {
            char *end;
            line += strspn(line, " |");
            lac_tensor_set(tensor, r * cols + k, strtod(line, &end));
            assert_true(end > line);
            line = end;
        }
        assert_int_equal(strspn(line, " |"), strlen(line));
    }
}

/* "name  00 01 ..." and further lines that begin with a space. */
static void compare_field(const char *name, const lac_tensor *field, char **at)
{
    size_t length = strlen(name), size = lac_tensor_bytes(field), read = 0;
    char *line = next_line(at);
    assert_int_equal(strncmp(line, name, length), 0);
    for (line += length;; line = next_line(at)) {
        char *end;
        for (unsigned long byte; byte = strtoul(line, &end, 16), end > line; line = end) {
            assert_true(read < size);
            assert_int_equal(((const uint8_t *)field->data)[read++], byte);
        }
        if (**at != ' ')
            break;
    }
    assert_int_equal(read, size);
}

static void check_page(const lac_format *format)
{
    static char page[PAGE_BYTES];
    char path[512], text[64], type[16], cell[80];
    lac_error err = {0};
    snprintf(path, sizeof path, "%s/docs/formats/%s.md", LACUNA_SOURCE_DIR, format->row.name);
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s is missing", path);
    page[fread(page, 1, sizeof page - 1, file)] = 0;
    fclose(file);
    for (const lac_field *field = format->fields; field->name; field++) {
        snprintf(cell, sizeof cell, "\n| `%s` |", field->name);
        assert_non_null(strstr(page, cell));
    }
    for (const lac_param *param = format->params; param && param->name; param++) {
        if (param->type == LAC_PARAM_CHOICE)
            snprintf(cell, sizeof cell, "\n| `%s` | %s |", param->name, param->text);
        else
            snprintf(cell, sizeof cell, "\n| `%s` | %g |", param->name, param->initial);
        assert_non_null(strstr(page, cell));
    }

    char *at = strstr(page, "\n```\n");
    assert_non_null(at);
    at += 5;
    long rows, cols;
    assert_int_equal(sscanf(next_line(&at), "%63s %15s %ldx%ld", text, type, &rows, &cols), 4);
    lac_dtype dtype = LAC_NONE;
    for (int i = 1; i < LAC_DTYPE_LIMIT; i++)
        if (strcmp(lac_dtype_name((lac_dtype)i), type) == 0)
            dtype = (lac_dtype)i;
    lac_tensor tensor, back;
    lac_params params;
    lac_packed packed;
    assert_int_equal(lac_tensor_make(&tensor, dtype, 2, (int64_t[]){rows, cols}, &err), LAC_OK);
    read_matrix(&tensor, rows, cols, &at);
    const lac_format *named;
    assert_int_equal(lac_format_parse(text, &named, &params, &err), LAC_OK);
    assert_ptr_equal(named, format);
    assert_int_equal(lac_pack(&packed, format, &params, LAC_VIEW_ROWS, &tensor, &err), LAC_OK);
    for (int i = 0; format->fields[i].name; i++)
        compare_field(format->fields[i].name, &packed.field[i], &at);
    assert_int_equal(strncmp(at, "```\n", 4), 0);
    snprintf(cell, sizeof cell, "%lld bytes", (long long)lac_packed_bytes(&packed));
    assert_non_null(strstr(at, cell));
    assert_int_equal(lac_unpack(&packed, &back, &err), LAC_OK);
    assert_memory_equal(back.data, tensor.data, lac_tensor_bytes(&tensor));
    lac_tensor_release(&back);
    lac_tensor_release(&tensor);
    lac_packed_release(&packed);
}

static void pages(void **state)
{
    (void)state;
    assert_true(lac_table_count(&lac_formats) > 0);
    for (int i = 0; i < lac_table_count(&lac_formats); i++)
        check_page((const lac_format *)lac_table_at(&lac_formats, i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(pages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
