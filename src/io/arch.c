/* The YAML schema is built from the parameter table: every parameter an optional string, which
 * lac_params_set then reads as it reads --set. So numbers, limits and messages are the same. */
#include "io/arch.h"

#include "core/memory.h"
#include "core/text.h"

#include <cyaml/cyaml.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARCH_LIMIT = 1 << 16, VALUE_LIMIT = 255 };

typedef struct values {
    char *text[LAC_MAX_PARAMS]; /* by parameter number; NULL: not in the file */
} values;

/* What libcyaml logs about a failure: its first line says what, the backtrace where. */
typedef struct failure {
    char what[160], key[64], where[64];
} failure;

static void keep_log(cyaml_log_t level, void *context, const char *format, va_list list)
{
    failure *f = context;
    char line[240];
    static const char prefix[] = "Load: ", unexpected[] = "Unexpected key: ";
    if (level < CYAML_LOG_WARNING)
        return;
    vsnprintf(line, sizeof line, format, list);
    char *text = strncmp(line, prefix, sizeof prefix - 1) == 0 ? line + sizeof prefix - 1 : line;
    text[strcspn(text, "\n")] = 0;
    char *place = strstr(text, "(line: ");
    if (place && !f->where[0]) {
        place[strcspn(place, ")")] = 0;
        snprintf(f->where, sizeof f->where, "%s", place + 1);
    }
    if (!f->what[0])
        snprintf(f->what, sizeof f->what, "%s", text);
    if (!f->key[0] && strncmp(text, unexpected, sizeof unexpected - 1) == 0)
        snprintf(f->key, sizeof f->key, "%s", text + sizeof unexpected - 1);
}

/* lac_params_set's own words for a name that is not there. */
static lac_status refuse_key(const lac_params *params, const failure *f, lac_error *err)
{
    lac_params scratch = *params;
    lac_status status = lac_params_set(&scratch, f->key, "", err);
    return f->where[0] ? lac_fail_in(err, status, "%s", f->where) : status;
}

static lac_status apply(lac_params *params, const values *found, lac_error *err)
{
    lac_params changed = *params;
    for (int i = 0; i < LAC_MAX_PARAMS && params->schema && params->schema[i].name; i++)
        if (found->text[i])
            LAC_TRY(lac_params_set(&changed, params->schema[i].name, found->text[i], err));
    *params = changed;
    return LAC_OK;
}

lac_status lac_arch_parse(lac_params *params, const void *data, size_t bytes, lac_error *err)
{
    cyaml_schema_field_t fields[LAC_MAX_PARAMS + 1];
    failure f = {0};
    values *found = NULL;
    int n = 0;
    if (bytes > ARCH_LIMIT)
        return lac_fail(err, LAC_ERROR_INPUT, "%zu bytes, limit %d", bytes, ARCH_LIMIT);
    memset(fields, 0, sizeof fields);
    for (; n < LAC_MAX_PARAMS && params->schema && params->schema[n].name; n++)
        fields[n] = (cyaml_schema_field_t){
            .key = params->schema[n].name,
            .data_offset = (uint32_t)((size_t)n * sizeof(char *)),
            .value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char, 0,
                                         VALUE_LIMIT)}};
    const cyaml_schema_value_t schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, values, fields)};
    const cyaml_config_t config = {.log_fn = keep_log,
                                   .log_ctx = &f,
                                   .mem_fn = cyaml_mem,
                                   .log_level = CYAML_LOG_WARNING,
                                   .flags = CYAML_CFG_NO_ALIAS};
    cyaml_err_t result =
        cyaml_load_data(data, bytes, &config, &schema, (cyaml_data_t **)&found, NULL);
    if (result == CYAML_ERR_OOM)
        return lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
    if (result == CYAML_ERR_INVALID_KEY && f.key[0])
        return refuse_key(params, &f, err);
    if (result != CYAML_OK)
        return lac_fail(err, LAC_ERROR_INPUT, "want a YAML mapping of parameters: %s%s%s%s",
                        f.what[0] ? f.what : cyaml_strerror(result), f.where[0] ? " (" : "",
                        f.where, f.where[0] ? ")" : "");
    lac_status status =
        found ? apply(params, found, err) : lac_fail(err, LAC_ERROR_INPUT, "no parameters in it");
    cyaml_free(&config, &schema, found, 0);
    return status;
}

lac_status lac_arch_load(lac_params *params, const char *path, lac_error *err)
{
    char *data;
    size_t bytes;
    LAC_TRY(lac_read_file(&data, &bytes, path, ARCH_LIMIT, err));
    lac_status status = lac_arch_parse(params, data, bytes, err);
    lac_free(data);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", path);
}
