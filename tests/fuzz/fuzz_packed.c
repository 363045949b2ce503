/* Packed weights whose every part comes from the input: the format's row and parameters, view,
 * shape, types and lengths of the fields, right or wrong. Refused with one line, or unpacked; what
 * unpacks is packed again, which is refused or keeps every number and has the bytes that the
 * formula says. Its function body can be built.
 *
 * Input: format, view, dtype, rank, dims (a byte each), flags, length of the parameter text, the
 * text; then each field: its length (16 bits, little-endian), its bytes. A short input ends in
 * zeros. */
#include "format/packed.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RANK_LIMIT = 4, DIM_LIMIT = 48, TEXT_LIMIT = 64, COUNT_LIMIT = 1 << 22 };
enum { WRONG_DTYPE = 1, WRONG_MATRIX = 2, HUGE_SHAPE = 4, MISSING_FIELD = 8 }; /* the flags */

typedef struct input {
    const uint8_t *data;
    size_t size;
} input;

static unsigned byte_of(input *in)
{
    if (in->size == 0)
        return 0;
    in->size--;
    return *in->data++;
}

static void check(bool promise)
{
    if (!promise)
        abort();
}

static void check_refusal(const lac_error *err)
{
    check(err->message[0] && !strchr(err->message, '\n') && err->status != LAC_ERROR_INTERNAL);
}

/* One field of as many elements as the input says, in a block of just these bytes. */
static void fill_field(lac_packed *packed, int index, unsigned flags, input *in)
{
    lac_tensor *field = &packed->field[index];
    lac_dtype dtype = packed->format->fields[index].dtype;
    int64_t count = byte_of(in);
    count += (int64_t)byte_of(in) << 8;
    if (dtype == LAC_NONE)
        dtype = packed->dtype;
    if (index == 0 && (flags & WRONG_DTYPE))
        dtype = dtype == LAC_U8 ? LAC_I64 : LAC_U8;
    size_t bytes = ((size_t)count * (size_t)lac_dtype_bits(dtype) + 7) / 8;
    size_t given = bytes < in->size ? bytes : in->size;
    if (index > 0 && (flags & MISSING_FIELD))
        return;
    void *block = calloc(bytes ? bytes : 1, 1);
    check(block != NULL);
    memcpy(block, in->data, given);
    in->data += given;
    in->size -= given;
    *field = lac_tensor_view(dtype, 1, &count, block);
}

/* Equal numbers; bytes may differ, as in the sign of zero. */
static bool same(const lac_tensor *a, const lac_tensor *b)
{
    if (a->dtype != b->dtype || a->rank != b->rank ||
        memcmp(a->dims, b->dims, (size_t)a->rank * sizeof *a->dims) != 0)
        return false;
    for (int64_t i = 0; i < lac_tensor_count(a); i++) {
        double x = lac_tensor_get(a, i), y = lac_tensor_get(b, i);
        if (x != y && !(x != x && y != y))
            return false;
    }
    return true;
}

/* Not every tensor that unpacks packs (int8 wants its own scale); one that does is kept exactly. */
static void pack_again(const lac_packed *packed, const lac_tensor *tensor)
{
    const lac_format *format = packed->format;
    lac_packed again;
    lac_tensor back;
    lac_error err = {0};
    int64_t bytes;
    if (lac_pack(&again, format, &packed->params, packed->view, tensor, &err) != LAC_OK) {
        check_refusal(&err);
        return;
    }
    check(lac_format_bytes(format, &packed->params, packed->view, tensor, &bytes, &err) == LAC_OK);
    check(bytes == lac_packed_bytes(&again));
    check(lac_unpack(&again, &back, &err) == LAC_OK);
    check(same(tensor, &back));
    lac_tensor_release(&back);
    lac_packed_release(&again);
}

static void check_valid(const lac_packed *packed)
{
    lac_error err = {0};
    lac_tensor tensor;
    lac_graph *body;
    if (packed->rows > 0 && packed->cols > COUNT_LIMIT / packed->rows)
        return; /* coo: true, but no memory for it */
    check(lac_unpack(packed, &tensor, &err) == LAC_OK);
    check(lac_tensor_count(&tensor) == packed->rows * packed->cols);
    pack_again(packed, &tensor);
    lac_tensor_release(&tensor);
    if (lac_unpack_body(packed, &body, &err) == LAC_OK)
        lac_graph_free(body);
    else
        check_refusal(&err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    lac_packed packed = {0};
    lac_error err = {0};
    int row = (int)byte_of(&in) % lac_table_count(&lac_formats);
    packed.format = (const lac_format *)lac_table_at(&lac_formats, row);
    packed.view = (lac_view)(byte_of(&in) % 4); /* one of them does not exist */
    packed.dtype = (lac_dtype)(byte_of(&in) % LAC_DTYPE_LIMIT);
    packed.rank = (int)(byte_of(&in) % (RANK_LIMIT + 1));
    for (int i = 0; i < packed.rank; i++)
        packed.dims[i] = byte_of(&in) % DIM_LIMIT;
    unsigned flags = byte_of(&in);
    if (packed.rank > 0 && (flags & HUGE_SHAPE))
        packed.dims[0] = (packed.dims[0] - 1) * INT64_C(0x0123456789abcdef);

    char text[TEXT_LIMIT + 1] = {0};
    size_t length = byte_of(&in) % (TEXT_LIMIT + 1);
    for (size_t i = 0; i < length; i++)
        text[i] = (char)byte_of(&in);
    lac_params_init(&packed.params, packed.format->params);
    if (lac_params_parse(&packed.params, text, &err) != LAC_OK) /* the rest: as by default */
        check_refusal(&err);

    /* A shape that the view refuses is refused by validate too. */
    (void)lac_view_size(packed.view, packed.rank, packed.dims, &packed.rows, &packed.cols, &err);
    if (flags & WRONG_MATRIX)
        packed.rows ^= byte_of(&in);

    for (int i = 0; i < LAC_MAX_FIELDS && packed.format->fields[i].name; i++)
        fill_field(&packed, i, flags, &in);
    if (lac_packed_validate(&packed, &err) == LAC_OK)
        check_valid(&packed);
    else
        check_refusal(&err);
    for (int i = 0; i < LAC_MAX_FIELDS; i++)
        free(packed.field[i].data);
    return 0;
}
