/* The scheme table, and compositions "a:x=1+b". */
#include <lacuna/scheme.h>

#include "core/memory.h"
#include "core/table.h"
#include "core/text.h"

#include <ctype.h>
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

const char *lac_scheme_alias_text(const lac_scheme *scheme, char *text, size_t size)
{
    const char *from = scheme->alias ? scheme->alias : "";
    bool parameter = false;
    size_t i = 0;
    for (; from[i] && i + 1 < size; i++) {
        parameter |= from[i] == ':';
        text[i] = parameter ? (char)toupper((unsigned char)from[i]) : from[i];
    }
    text[i] = 0;
    return text;
}

/* The row whose own name, or else whose alias begins with `name`. */
static const lac_scheme *find(const char *name, bool *by_alias)
{
    const lac_row *row = lac_table_find(&lac_schemes, name);
    size_t length = strlen(name);
    *by_alias = false;
    for (int i = 0; !row && length && i < lac_table_count(&lac_schemes); i++) {
        const char *alias = ((const lac_scheme *)lac_table_at(&lac_schemes, i))->alias;
        if (alias && strncmp(alias, name, length) == 0 && alias[length] == ':') {
            row = lac_table_at(&lac_schemes, i);
            *by_alias = true;
        }
    }
    return (const lac_scheme *)row;
}

/* A default of 0 switches a parameter off; in an alias it is given, and so starts at 1. */
static lac_status check_positional(const lac_param *params, const char *name, const char *value,
                                   const char *typed, lac_error *err)
{
    int64_t number;
    for (const lac_param *p = params; p && p->name; p++) {
        double min = p->min == 0 && p->initial == 0 ? 1 : p->min;
        if (strcmp(p->name, name) == 0 && p->type == LAC_PARAM_INT &&
            (!lac_parse_i64(value, &number) || (double)number < min || (double)number > p->max))
            return lac_fail(err, LAC_ERROR_INPUT,
                            "'%s': %s = '%s': want an integer in %.15g..%.15g", typed, name, value,
                            min, p->max);
    }
    return LAC_OK;
}

/* Values by position, "2:4", for the parameters that the alias "nm:n:m" names. */
static lac_status parse_alias(const lac_scheme *scheme, char *values, lac_params *params,
                              const char *typed, lac_error *err)
{
    char names[64], form[64], *name = names, *rest = values;
    snprintf(names, sizeof names, "%s", strchr(scheme->alias, ':') + 1);
    while (name) {
        char *next = strchr(name, ':'), *value = strsep(&rest, ":");
        if (next)
            *next++ = 0;
        if (!value || !*value || (!next && rest))
            return lac_fail(err, LAC_ERROR_INPUT, "'%s': want %s", typed,
                            lac_scheme_alias_text(scheme, form, sizeof form));
        LAC_TRY(check_positional(scheme->params, name, value, typed, err));
        LAC_TRY(lac_params_set(params, name, value, err));
        name = next;
    }
    return LAC_OK;
}

static lac_status parse_part(char *part, lac_composition *composition, lac_error *err)
{
    char none[] = "", typed[64], *colon = strchr(part, ':');
    bool by_alias;
    snprintf(typed, sizeof typed, "%s", part);
    if (colon)
        *colon = 0;
    const lac_scheme *scheme = find(part, &by_alias);
    if (!scheme)
        return lac_fail(err, LAC_ERROR_INPUT, "unknown scheme '%s': see 'lacuna list schemes'",
                        part);
    lac_params *params = &composition->params[composition->n];
    lac_params_init(params, scheme->params);
    lac_status status = LAC_OK;
    if (by_alias)
        status = parse_alias(scheme, colon ? colon + 1 : none, params, typed, err);
    else if (colon)
        status = lac_params_parse(params, colon + 1, err);
    if (status != LAC_OK)
        return lac_fail_in(err, status, "scheme %s", part);
    composition->scheme[composition->n++] = scheme;
    return LAC_OK;
}

lac_status lac_scheme_parse(const char *text, lac_composition *composition, lac_error *err)
{
    memset(composition, 0, sizeof *composition);
    char *copy = lac_strdup(text, err), *part = copy;
    if (!copy)
        return LAC_ERROR_MEMORY;
    lac_status status = LAC_OK;
    while (part && status == LAC_OK) {
        char *plus = strchr(part, '+');
        if (plus)
            *plus = 0;
        if (!*text)
            status =
                lac_fail(err, LAC_ERROR_INPUT, "the scheme is empty: see 'lacuna list schemes'");
        else if (!*part)
            status = lac_fail(err, LAC_ERROR_INPUT, "scheme '%s': a part of it is empty", text);
        else
            status = composition->n < LAC_MAX_SCHEMES
                         ? parse_part(part, composition, err)
                         : lac_fail(err, LAC_ERROR_INPUT, "scheme '%s': more than %d parts", text,
                                    LAC_MAX_SCHEMES);
        part = plus ? plus + 1 : NULL;
    }
    lac_free(copy);
    return status;
}

bool lac_scheme_is_identity(const lac_composition *composition)
{
    for (int i = 0; i < composition->n; i++) {
        const lac_scheme *scheme = composition->scheme[i];
        if (scheme->prepare || scheme->step || scheme->finish)
            return false;
    }
    return true;
}

bool lac_scheme_calibrates(const lac_composition *composition)
{
    for (int i = 0; i < composition->n; i++)
        if (composition->scheme[i]->calibrates)
            return true;
    return false;
}
