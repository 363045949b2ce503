/* protobuf-c unpacks messages recursively without a limit, so a small hostile file of nested
 * subgraphs could exhaust the stack. This walks the wire format by the same descriptors, with an
 * explicit limit, before the unpacker sees a byte. */
#include "io/onnx_private.h"

enum { DEPTH_LIMIT = 48 };

typedef struct wire {
    const uint8_t *at, *end;
} wire;

static bool varint(wire *w, uint64_t *value)
{
    *value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        if (w->at == w->end)
            return false;
        uint8_t byte = *w->at++;
        if (shift < 64)
            *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static const ProtobufCFieldDescriptor *field_of(const ProtobufCMessageDescriptor *type,
                                                uint64_t tag)
{
    for (unsigned i = 0; i < type->n_fields; i++)
        if (type->fields[i].id == tag)
            return &type->fields[i];
    return NULL;
}

/* False when too deep; malformed bytes are left for the unpacker to refuse. */
static bool walk(const ProtobufCMessageDescriptor *type, wire w, int depth)
{
    uint64_t key, length;
    if (depth > DEPTH_LIMIT)
        return false;
    while (w.at < w.end && varint(&w, &key)) {
        switch (key & 7) {
        case 0:
            if (!varint(&w, &length))
                return true;
            break;
        case 1:
            if (w.end - w.at < 8)
                return true;
            w.at += 8;
            break;
        case 5:
            if (w.end - w.at < 4)
                return true;
            w.at += 4;
            break;
        case 2: {
            if (!varint(&w, &length) || length > (uint64_t)(w.end - w.at))
                return true;
            const ProtobufCFieldDescriptor *field = field_of(type, key >> 3);
            if (field && field->type == PROTOBUF_C_TYPE_MESSAGE &&
                !walk(field->descriptor, (wire){w.at, w.at + length}, depth + 1))
                return false;
            w.at += length;
            break;
        }
        default:
            return true;
        }
    }
    return true;
}

lac_status lac_onnx_check_depth(const ProtobufCMessageDescriptor *type, const uint8_t *data,
                                size_t bytes, lac_error *err)
{
    if (!walk(type, (wire){data, data + bytes}, 0))
        return lac_fail(err, LAC_ERROR_INPUT, "messages are nested deeper than %d levels",
                        DEPTH_LIMIT);
    return LAC_OK;
}
