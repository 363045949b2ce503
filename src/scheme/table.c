/* The scheme table, and compositions "a:x=1+b". */
#include <lacuna/scheme.h>

#include "core/memory.h"
#include "core/table.h"

#include <stdio.h>
#include <string.h>

#define LAC_ROW_OF(row) extern const lac_scheme row;
#include "scheme/rows.inc"
#undef LAC_ROW_OF
#define LAC_ROW_OF(scheme) &scheme.row,
static const lac_row *const builtin[] = {
#include "scheme/rows.inc"
    NULL};
lac_table lac_schemes = LAC_TABLE("scheme", builtin, sizeof(lac_scheme));

lac_status lac_register_scheme(const lac_scheme *row, lac_error *err)
{
    return lac_table_register(&lac_schemes, &row->row, err);
}

/* "nm:2:4" is how the field writes magnitude:n=2,m=4. */
static lac_status parse_alias(const char *part, char *text, size_t size, lac_error *err)
{
    int n, m, end = 0;
    if (sscanf(part, "nm:%d:%d%n", &n, &m, &end) != 2 || part[end])
        return lac_fail(err, LAC_ERROR_INPUT, "scheme '%s': want nm:N:M, e.g. nm:2:4", part);
    snprintf(text, size, "magnitude:n=%d,m=%d", n, m);
    return LAC_OK;
}

static lac_status parse_part(char *part, lac_composition *composition, lac_error *err)
{
    char alias[64];
    if (strncmp(part, "nm:", 3) == 0) {
        LAC_TRY(parse_alias(part, alias, sizeof alias, err));
        part = alias;
    }
    char *colon = strchr(part, ':');
    if (colon)
        *colon = 0;
    const lac_scheme *scheme = (const lac_scheme *)lac_table_find(&lac_schemes, part);
    if (!scheme)
        return lac_fail(err, LAC_ERROR_INPUT, "unknown scheme '%s': see 'lacuna list schemes'",
                        part);
    lac_params *params = &composition->params[composition->n];
    lac_params_init(params, scheme->params);
    if (colon) {
        lac_status status = lac_params_parse(params, colon + 1, err);
        if (status != LAC_OK)
            return lac_fail_in(err, status, "scheme %s", part);
    }
    composition->scheme[composition->n++] = scheme;
    return LAC_OK;
}

lac_status lac_scheme_parse(const char *text, lac_composition *composition, lac_error *err)
{
    memset(composition, 0, sizeof *composition);
    if (strcmp(text, "dense") == 0)
        return LAC_OK;
    char *copy = lac_strdup(text, err), *part = copy;
    if (!copy)
        return LAC_ERROR_MEMORY;
    lac_status status = LAC_OK;
    while (part && status == LAC_OK) {
        char *plus = strchr(part, '+');
        if (plus)
            *plus = 0;
        status = composition->n < LAC_MAX_SCHEMES
                     ? parse_part(part, composition, err)
                     : lac_fail(err, LAC_ERROR_INPUT, "scheme '%s': more than %d parts", text,
                                LAC_MAX_SCHEMES);
        part = plus ? plus + 1 : NULL;
    }
    lac_free(copy);
    return status;
}

bool lac_scheme_calibrates(const lac_composition *composition)
{
    for (int i = 0; i < composition->n; i++)
        if (composition->scheme[i]->calibrates)
            return true;
    return false;
}
