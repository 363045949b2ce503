/* A layer's text, dims and life. All knowledge of single kinds is in their rows: this file only
 * walks dims and aliases. A dim that nobody gave yet holds -1. */
#include <lacuna/layer.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "core/text.h"
#include "graph/layer_tools.h"

static int dim_index(const lac_layer_kind *kind, const char *name, size_t length)
{
    for (int i = 0; i < LAC_LAYER_DIMS && kind->dims[i].name; i++)
        if (strlen(kind->dims[i].name) == length && !memcmp(kind->dims[i].name, name, length))
            return i;
    return -1;
}

/* The dims that `name` stands for: itself, or those of an alias. Returns how many. */
static int dims_of(const lac_layer_kind *kind, const char *name, int index[LAC_LAYER_DIMS])
{
    size_t length = strlen(name);
    index[0] = dim_index(kind, name, length);
    if (index[0] >= 0)
        return 1;
    for (const char *const *alias = kind->aliases; alias && *alias; alias++) {
        const char *equals = strchr(*alias, '=');
        if (!equals || (size_t)(equals - *alias) != length || memcmp(*alias, name, length) != 0)
            continue;
        int count = 0;
        for (const char *word = equals + 1; *word && count < LAC_LAYER_DIMS;) {
            size_t end = strcspn(word, ",");
            int i = dim_index(kind, word, end);
            if (i >= 0)
                index[count++] = i;
            word += end + (word[end] == ',');
        }
        return count;
    }
    return 0;
}

/* "m, n, k, batch" for messages. */
static const char *known(const lac_layer_kind *kind, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (const char *const *alias = kind->aliases; alias && *alias && used < size; alias++)
        used += (size_t)snprintf(text + used, size - used, "%s%.*s", used ? ", " : "",
                                 (int)strcspn(*alias, "="), *alias);
    for (int i = 0; i < LAC_LAYER_DIMS && kind->dims[i].name && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", used ? ", " : "",
                                 kind->dims[i].name);
    return text;
}

lac_status lac_layer_begin(lac_layer *layer, const char *kind, lac_error *err)
{
    memset(layer, 0, sizeof *layer);
    layer->kind = (const lac_layer_kind *)lac_table_find(&lac_layer_kinds, kind);
    if (!layer->kind) {
        char names[256] = "";
        size_t used = 0;
        for (int i = 0; i < lac_table_count(&lac_layer_kinds) && used < sizeof names; i++)
            used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                     lac_table_at(&lac_layer_kinds, i)->name);
        return lac_fail(err, LAC_ERROR_INPUT, "layer kind '%s' is unknown; there are: %s", kind,
                        names);
    }
    for (int i = 0; i < LAC_LAYER_DIMS; i++)
        layer->dim[i] = -1;
    for (int i = 0; i < LAC_ROLE_LIMIT; i++)
        layer->operand[i].density = -1;
    return LAC_OK;
}

lac_status lac_layer_dim_set(lac_layer *layer, const char *name, int64_t value, lac_error *err)
{
    int index[LAC_LAYER_DIMS];
    int count = dims_of(layer->kind, name, index);
    if (count == 0) {
        char names[256];
        return lac_fail(err, LAC_ERROR_INPUT, "%s has no '%s'; it has: %s", layer->kind->row.name,
                        name, known(layer->kind, names, sizeof names));
    }
    for (int i = 0; i < count; i++) {
        const lac_layer_dim *dim = &layer->kind->dims[index[i]];
        if (value < dim->min || value > dim->max)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "%s: %s=%" PRId64 " is outside %" PRId64 "..%" PRId64,
                            layer->kind->row.name, name, value, dim->min, dim->max);
        layer->dim[index[i]] = value;
    }
    return LAC_OK;
}

lac_status lac_layer_check(lac_layer *layer, lac_error *err)
{
    const lac_layer_kind *kind = layer->kind;
    for (int i = 0; i < LAC_LAYER_DIMS && kind->dims[i].name; i++) {
        const lac_layer_dim *dim = &kind->dims[i];
        if (layer->dim[i] == -1) {
            if (dim->initial == -1)
                return lac_fail(err, LAC_ERROR_INPUT, "%s: %s is missing", kind->row.name,
                                dim->name);
            layer->dim[i] = dim->initial < -1 ? layer->dim[-2 - dim->initial] : dim->initial;
        }
        if (layer->dim[i] < dim->min || layer->dim[i] > dim->max)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "%s: %s=%" PRId64 " is outside %" PRId64 "..%" PRId64, kind->row.name,
                            dim->name, layer->dim[i], dim->min, dim->max);
    }
    return kind->check ? kind->check(layer, err) : LAC_OK;
}

int64_t lac_layer_dim_get(const lac_layer *layer, const char *name)
{
    int index[LAC_LAYER_DIMS];
    int count = dims_of(layer->kind, name, index);
    if (count == 0)
        return -1;
    for (int i = 1; i < count; i++)
        if (layer->dim[index[i]] != layer->dim[index[0]])
            return -1;
    return layer->dim[index[0]];
}

/* "m=512" of the text; a dim given twice (through an alias too) is an error. */
static lac_status parse_dim(lac_layer *layer, const char *word, size_t length, lac_error *err)
{
    char name[32], number[32];
    const char *equals = memchr(word, '=', length);
    if (!equals || equals == word)
        return lac_fail(err, LAC_ERROR_INPUT, "'%.*s' is not name=number", (int)length, word);
    size_t name_length = (size_t)(equals - word), number_length = length - name_length - 1;
    if (name_length >= sizeof name || number_length >= sizeof number)
        return lac_fail(err, LAC_ERROR_INPUT, "'%.*s' is too long", (int)length, word);
    memcpy(name, word, name_length);
    name[name_length] = '\0';
    memcpy(number, equals + 1, number_length);
    number[number_length] = '\0';
    int index[LAC_LAYER_DIMS];
    int count = dims_of(layer->kind, name, index);
    int64_t value = 0;
    if (count && !lac_parse_i64(number, &value))
        return lac_fail(err, LAC_ERROR_INPUT, "%s=%s is not an integer", name, number);
    for (int i = 0; i < count; i++)
        if (layer->dim[index[i]] != -1)
            return lac_fail(err, LAC_ERROR_INPUT, "%s is given twice",
                            layer->kind->dims[index[i]].name);
    return lac_layer_dim_set(layer, name, value, err);
}

static lac_status parse(lac_layer *layer, const char *text, lac_error *err)
{
    char kind[32];
    size_t length = strcspn(text, ":");
    if (length >= sizeof kind)
        return lac_fail(err, LAC_ERROR_INPUT, "the layer kind is too long");
    memcpy(kind, text, length);
    kind[length] = '\0';
    LAC_TRY(lac_layer_begin(layer, kind, err));
    for (const char *word = text + length; *word;) {
        word++; /* the colon or comma */
        size_t end = strcspn(word, ",");
        LAC_TRY(parse_dim(layer, word, end, err));
        word += end;
    }
    snprintf(layer->name, sizeof layer->name, "%s", text);
    return lac_layer_check(layer, err);
}

lac_status lac_layer_parse(lac_layer *layer, const char *text, lac_error *err)
{
    memset(layer, 0, sizeof *layer);
    lac_status status = parse(layer, text, err);
    if (status != LAC_OK) {
        memset(layer, 0, sizeof *layer);
        return lac_fail_in(err, status, "layer '%.120s'", text);
    }
    return LAC_OK;
}

const char *lac_layer_text(const lac_layer *layer, char *text, size_t size)
{
    const lac_layer_kind *kind = layer->kind;
    bool told[LAC_LAYER_DIMS] = {false};
    char separator = ':';
    if (size == 0)
        return text;
    size_t used = (size_t)snprintf(text, size, "%s", kind->row.name);
    for (int i = 0; i < LAC_LAYER_DIMS && kind->dims[i].name && used < size; i++) {
        char name[32];
        if (told[i])
            continue;
        snprintf(name, sizeof name, "%s", kind->dims[i].name);
        for (const char *const *alias = kind->aliases; alias && *alias; alias++) {
            char word[32];
            int index[LAC_LAYER_DIMS], count;
            snprintf(word, sizeof word, "%.*s", (int)strcspn(*alias, "="), *alias);
            count = dims_of(kind, word, index);
            if (count && index[0] == i && lac_layer_dim_get(layer, word) != -1) {
                memcpy(name, word, sizeof name);
                for (int j = 0; j < count; j++)
                    told[index[j]] = true;
            }
        }
        used += (size_t)snprintf(text + used, size - used, "%c%s=%" PRId64, separator, name,
                                 layer->dim[i]);
        separator = ',';
    }
    return text;
}

lac_status lac_operand_pattern(lac_operand *operand, const char *text, lac_error *err)
{
    int64_t n, m;
    double density;
    const char *colon = strchr(text, ':');
    if (colon) {
        char first[24];
        size_t length = (size_t)(colon - text);
        if (length >= sizeof first)
            return lac_fail(err, LAC_ERROR_INPUT, "pattern '%.40s' is not N:M", text);
        memcpy(first, text, length);
        first[length] = '\0';
        if (!lac_parse_i64(first, &n) || !lac_parse_i64(colon + 1, &m))
            return lac_fail(err, LAC_ERROR_INPUT, "pattern '%.40s' is not N:M", text);
        if (m < 1 || m > LAC_PATTERN_M_MAX || n < 1 || n > m)
            return lac_fail(err, LAC_ERROR_INPUT, "pattern '%.40s' needs 1 <= N <= M <= %d", text,
                            LAC_PATTERN_M_MAX);
        operand->n = (int)n;
        operand->m = (int)m;
        operand->density = (double)n / (double)m;
        return LAC_OK;
    }
    if (!lac_parse_f64(text, &density))
        return lac_fail(err, LAC_ERROR_INPUT, "density '%.40s' is neither a number nor N:M", text);
    if (!(density >= 0 && density <= 1))
        return lac_fail(err, LAC_ERROR_INPUT, "density '%.40s' is outside 0..1", text);
    operand->n = operand->m = 0;
    operand->density = density;
    return LAC_OK;
}

/* [..][k][n] -> [..][n][k] */
static lac_status transpose(lac_operand *operand, lac_error *err)
{
    lac_tensor *tensor = &operand->tensor, plain;
    int rank = tensor->rank;
    if (rank < 2)
        return lac_fail(err, LAC_ERROR_INPUT, "a transposed operand needs two dimensions, has %d",
                        rank);
    int64_t k = tensor->dims[rank - 2], n = tensor->dims[rank - 1], outer = 1;
    for (int i = 0; i < rank - 2; i++)
        outer *= tensor->dims[i];
    LAC_TRY(lac_swap_axes(&plain, tensor, outer, k, n, 1, err));
    plain.rank = rank;
    memcpy(plain.dims, tensor->dims, sizeof plain.dims);
    plain.dims[rank - 2] = n;
    plain.dims[rank - 1] = k;
    lac_tensor_release(tensor);
    *tensor = plain;
    operand->transposed = false;
    return LAC_OK;
}

lac_status lac_layer_plain(const lac_layer *layer, lac_layer *plain, lac_error *err)
{
    lac_status status = LAC_OK;
    *plain = *layer;
    memset(&plain->output, 0, sizeof plain->output);
    for (int i = 0; i < LAC_ROLE_LIMIT; i++)
        lac_tensor_share(&plain->operand[i].tensor, &layer->operand[i].tensor);
    for (int i = 0; i < LAC_ROLE_LIMIT && status == LAC_OK; i++)
        if (plain->operand[i].transposed && plain->operand[i].tensor.data)
            status = transpose(&plain->operand[i], err);
    memset(&plain->last_h, 0, sizeof plain->last_h);
    memset(&plain->last_c, 0, sizeof plain->last_c);
    if (status == LAC_OK && (layer->channels_last || layer->operator_gates) && layer->kind->plain)
        status = layer->kind->plain(plain, err);
    plain->channels_last = plain->operator_gates = false;
    if (status != LAC_OK)
        lac_layer_release(plain);
    return status;
}

void lac_layer_release(lac_layer *layer)
{
    for (int i = 0; i < LAC_ROLE_LIMIT; i++)
        lac_tensor_release(&layer->operand[i].tensor);
    lac_tensor_release(&layer->output);
    lac_tensor_release(&layer->last_h);
    lac_tensor_release(&layer->last_c);
    memset(layer, 0, sizeof *layer);
}

#define ADD_UP(type)                                                                               \
    do {                                                                                           \
        const type *y = tensor->data;                                                              \
        for (int64_t i = 0; i < count; i++) {                                                      \
            *sum += (uint64_t)y[i];                                                                \
            *weighted += (uint64_t)y[i] * (uint64_t)(i % 251 + 1);                                 \
        }                                                                                          \
    } while (0)

void lac_checksum(const lac_tensor *tensor, uint64_t *sum, uint64_t *weighted)
{
    int64_t count = tensor->data ? lac_tensor_count(tensor) : 0;
    *sum = *weighted = 0;
    switch (tensor->dtype) { /* a signed element converts to its value modulo 2^64 */
    case LAC_I8:
        ADD_UP(int8_t);
        break;
    case LAC_U8:
    case LAC_BOOL:
        ADD_UP(uint8_t);
        break;
    case LAC_I16:
        ADD_UP(int16_t);
        break;
    case LAC_U16:
        ADD_UP(uint16_t);
        break;
    case LAC_I32:
        ADD_UP(int32_t);
        break;
    case LAC_U32:
        ADD_UP(uint32_t);
        break;
    case LAC_I64:
        ADD_UP(int64_t);
        break;
    case LAC_U64:
        ADD_UP(uint64_t);
        break;
    default:
        break; /* not integers: 0, 0 */
    }
}
