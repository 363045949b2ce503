/* Parameters by name: one schema, one parser, one way to print. */
#include "core/memory.h"
#include "core/text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *lac_provenance_name(lac_provenance provenance)
{
    static const char *const names[] = {"published", "from memory", "derived", "assumed", "option"};
    return (unsigned)provenance < sizeof names / sizeof *names ? names[provenance] : "?";
}

static int find(const lac_params *params, const char *name)
{
    for (int i = 0; params->schema && params->schema[i].name; i++)
        if (strcmp(params->schema[i].name, name) == 0)
            return i;
    return -1;
}

bool lac_params_has(const lac_params *params, const char *name)
{
    return find(params, name) >= 0;
}

void lac_params_init(lac_params *params, const lac_param *schema)
{
    memset(params, 0, sizeof *params);
    params->schema = schema;
    for (int i = 0; schema && schema[i].name && i < LAC_MAX_PARAMS; i++) {
        params->number[i] = schema[i].initial;
        if (schema[i].text)
            snprintf(params->text[i], sizeof params->text[i], "%s", schema[i].text);
    }
}

static bool is_choice(const char *choices, const char *word)
{
    size_t length = strlen(word);
    for (const char *c = choices; length > 0 && c; c = strchr(c, '|')) {
        c += *c == '|';
        if (strncmp(c, word, length) == 0 && (c[length] == '|' || c[length] == 0))
            return true;
    }
    return false;
}

static lac_status unknown(const lac_params *params, const char *name, lac_error *err)
{
    lac_text known = {0};
    for (int i = 0; params->schema && params->schema[i].name; i++)
        lac_text_add(&known, "%s%s", i ? ", " : "", params->schema[i].name);
    lac_status status = lac_fail(err, LAC_ERROR_INPUT, "unknown parameter '%s'; known: %s", name,
                                 known.length ? known.data : "none");
    lac_text_release(&known);
    return status;
}

lac_status lac_params_set(lac_params *params, const char *name, const char *value, lac_error *err)
{
    int i = find(params, name);
    if (i < 0)
        return unknown(params, name, err);
    const lac_param *p = &params->schema[i];
    if (p->type == LAC_PARAM_INT || p->type == LAC_PARAM_REAL) {
        double number = 0;
        int64_t integer = 0;
        bool good = p->type == LAC_PARAM_INT ? lac_parse_i64(value, &integer)
                                             : lac_parse_f64(value, &number);
        if (p->type == LAC_PARAM_INT)
            number = (double)integer;
        if (!good || !(number >= p->min && number <= p->max))
            return lac_fail(err, LAC_ERROR_INPUT,
                            "parameter %s = '%s': want %s in %.15g..%.15g%s%s", name, value,
                            p->type == LAC_PARAM_INT ? "an integer" : "a number", p->min, p->max,
                            p->unit && p->unit[0] ? " " : "", p->unit ? p->unit : "");
        params->number[i] = number;
    } else {
        if (p->type == LAC_PARAM_CHOICE && !is_choice(p->choices, value))
            return lac_fail(err, LAC_ERROR_INPUT, "parameter %s = '%s': want one of %s", name,
                            value, p->choices);
        if (strlen(value) >= sizeof params->text[i])
            return lac_fail(err, LAC_ERROR_INPUT,
                            "parameter %s: the text has %zu characters, the limit is %zu", name,
                            strlen(value), sizeof params->text[i] - 1);
        snprintf(params->text[i], sizeof params->text[i], "%s", value);
    }
    params->is_set[i] = true;
    return LAC_OK;
}

lac_status lac_params_parse(lac_params *params, const char *text, lac_error *err)
{
    char *copy = lac_strdup(text, err);
    if (!copy)
        return LAC_ERROR_MEMORY;
    lac_status status = LAC_OK;
    char *next = copy;
    while (status == LAC_OK && next && *next) {
        char *item = next, *comma = strchr(item, ',');
        next = comma ? comma + 1 : NULL;
        if (comma)
            *comma = 0;
        char *equals = strchr(item, '=');
        if (!equals) {
            status = lac_fail(err, LAC_ERROR_INPUT, "parameter '%s': want name=value", item);
            break;
        }
        *equals = 0;
        status = lac_params_set(params, item, equals + 1, err);
    }
    lac_free(copy);
    return status;
}

int64_t lac_params_int(const lac_params *params, const char *name)
{
    return (int64_t)lac_params_real(params, name);
}

double lac_params_real(const lac_params *params, const char *name)
{
    int i = find(params, name);
    return i < 0 ? 0 : params->number[i];
}

const char *lac_params_text(const lac_params *params, const char *name)
{
    int i = find(params, name);
    return i < 0 ? "" : params->text[i];
}

const char *lac_params_print(const lac_params *params, char *text, size_t size)
{
    size_t used = 0;
    if (size)
        text[0] = 0;
    for (int i = 0; params->schema && params->schema[i].name && used < size; i++) {
        const lac_param *p = &params->schema[i];
        const char *comma = used ? "," : "";
        if (p->type == LAC_PARAM_INT || p->type == LAC_PARAM_REAL)
            used += (size_t)snprintf(text + used, size - used, "%s%s=%.15g", comma, p->name,
                                     params->number[i]);
        else if (params->text[i][0])
            used += (size_t)snprintf(text + used, size - used, "%s%s=%s", comma, p->name,
                                     params->text[i]);
    }
    return text;
}
