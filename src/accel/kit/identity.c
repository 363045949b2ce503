/* A recursive-descent reader that evaluates as it reads; no identity is worth a syntax tree. */
#include "accel/kit/identity.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

typedef struct reader {
    const char *at, *end;
    const lac_result *result;
    const lac_params *params;
    int depth;
    lac_error *err;
} reader;

static void skip(reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t'))
        r->at++;
}

static bool take(reader *r, char c)
{
    skip(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static lac_status word_value(reader *r, const char *word, int64_t *value)
{
    const struct {
        const char *name;
        int64_t value;
    } own[] = {{"cycles", r->result->cycles},
               {"macs", r->result->macs},
               {"effectual_macs", r->result->effectual_macs},
               {"multipliers", r->result->multipliers},
               {"dram_bytes", r->result->dram_bytes},
               {"sram_bytes", r->result->sram_bytes}};
    *value = lac_result_get(r->result, word);
    if (*value != INT64_MIN)
        return LAC_OK;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (strcmp(own[i].name, word) == 0) {
            *value = own[i].value;
            return LAC_OK;
        }
    for (const lac_param *p = r->params ? r->params->schema : NULL; p && p->name; p++)
        if (strcmp(p->name, word) == 0 && p->type == LAC_PARAM_INT) {
            *value = lac_params_int(r->params, word);
            return LAC_OK;
        }
    return lac_fail(r->err, LAC_ERROR_INTERNAL, "identity: '%s' is no counter or integer parameter",
                    word);
}

static lac_status sum(reader *r, int64_t *value);

static lac_status factor(reader *r, int64_t *value)
{
    skip(r);
    if (r->at < r->end && isdigit((unsigned char)*r->at)) {
        *value = 0;
        for (; r->at < r->end && isdigit((unsigned char)*r->at); r->at++)
            if (__builtin_mul_overflow(*value, 10, value) ||
                __builtin_add_overflow(*value, *r->at - '0', value))
                return lac_fail(r->err, LAC_ERROR_INTERNAL, "identity: a number is too large");
        return LAC_OK;
    }
    if (take(r, '(')) {
        if (++r->depth > 16)
            return lac_fail(r->err, LAC_ERROR_INTERNAL, "identity: brackets are nested too deep");
        LAC_TRY(sum(r, value));
        r->depth--;
        if (!take(r, ')'))
            return lac_fail(r->err, LAC_ERROR_INTERNAL, "identity: ) is missing");
        return LAC_OK;
    }
    char word[64];
    size_t length = 0;
    while (r->at < r->end && length + 1 < sizeof word &&
           (isalnum((unsigned char)*r->at) || *r->at == '_'))
        word[length++] = *r->at++;
    word[length] = '\0';
    if (length == 0)
        return lac_fail(r->err, LAC_ERROR_INTERNAL, "identity: a word is missing before '%.*s'",
                        (int)(r->end - r->at), r->at);
    return word_value(r, word, value);
}

static lac_status product(reader *r, int64_t *value)
{
    LAC_TRY(factor(r, value));
    while (take(r, '*')) {
        int64_t next;
        LAC_TRY(factor(r, &next));
        if (__builtin_mul_overflow(*value, next, value))
            return lac_fail(r->err, LAC_ERROR_INTERNAL, "identity: a product leaves int64");
    }
    return LAC_OK;
}

static lac_status sum(reader *r, int64_t *value)
{
    LAC_TRY(product(r, value));
    for (;;) {
        int64_t next;
        bool plus = take(r, '+');
        if (!plus && !take(r, '-'))
            return LAC_OK;
        LAC_TRY(product(r, &next));
        if (plus ? __builtin_add_overflow(*value, next, value)
                 : __builtin_sub_overflow(*value, next, value))
            return lac_fail(r->err, LAC_ERROR_INTERNAL, "identity: a sum leaves int64");
    }
}

static lac_status check_line(reader *r, const char *line)
{
    int64_t left, right;
    LAC_TRY(sum(r, &left));
    bool less = take(r, '<'), more = !less && take(r, '>');
    if (!take(r, '='))
        return lac_fail(r->err, LAC_ERROR_INTERNAL, "identity: no =, <= or >=");
    LAC_TRY(sum(r, &right));
    skip(r);
    if (r->at != r->end)
        return lac_fail(r->err, LAC_ERROR_INTERNAL, "identity: '%.*s' is left over",
                        (int)(r->end - r->at), r->at);
    if (less ? left <= right : more ? left >= right : left == right)
        return LAC_OK;
    return lac_fail(r->err, LAC_ERROR_INTERNAL,
                    "identity '%.*s' does not hold: %" PRId64 " and %" PRId64, (int)(r->end - line),
                    line, left, right);
}

/* "word: ..." holds for results that have the counter `word`: false when it is not there. */
static bool guard(reader *r)
{
    char word[64];
    const char *colon = memchr(r->at, ':', (size_t)(r->end - r->at));
    size_t length = colon ? (size_t)(colon - r->at) : 0;
    if (!colon || length >= sizeof word)
        return true;
    memcpy(word, r->at, length);
    word[length] = '\0';
    r->at = colon + 1;
    return lac_result_get(r->result, word) != INT64_MIN;
}

lac_status lac_identity_check(const char *identity, const lac_result *result,
                              const lac_params *params, lac_error *err)
{
    for (const char *line = identity; line && *line;) {
        const char *end = line + strcspn(line, "\n");
        reader r = {line, end, result, params, 0, err};
        skip(&r);
        if (r.at != r.end && guard(&r))
            LAC_TRY(check_line(&r, line));
        line = *end ? end + 1 : end;
    }
    return LAC_OK;
}
