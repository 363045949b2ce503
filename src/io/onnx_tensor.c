/* TensorProto: raw bytes, typed fields, or a piece of a file beside the model, which is mapped. */
#include "core/memory.h"
#include "core/text.h"
#include "io/onnx.h"
#include "io/onnx_private.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BEHIND = 64 };

static const char *name_of(const Onnx__TensorProto *proto)
{
    return proto->name ? proto->name : "";
}

/* A file inside `folder`, after links: nothing outside may be read on a model's word. */
static lac_status path_inside(const char *folder, const char *location, char path[PATH_MAX],
                              lac_error *err)
{
    char joined[PATH_MAX], home[PATH_MAX];
    if (!location[0] || location[0] == '/' ||
        snprintf(joined, sizeof joined, "%s/%s", folder, location) >= (int)sizeof joined)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "external data location '%.80s': want a relative path", location);
    if (!realpath(folder, home) || !realpath(joined, path))
        return lac_fail(err, LAC_ERROR_IO, "external data location '%.80s': no such file",
                        location);
    size_t length = strlen(home);
    if (strncmp(path, home, length) != 0 || (path[length] != '/' && length > 1))
        return lac_fail(err, LAC_ERROR_INPUT,
                        "external data location '%.80s' lies outside the model's folder", location);
    return LAC_OK;
}

static lac_status external(lac_tensor *tensor, const Onnx__TensorProto *proto, const char *folder,
                           size_t want, lac_error *err)
{
    const char *location = "";
    int64_t offset = 0, length = -1;
    for (size_t i = 0; i < proto->n_external_data; i++) {
        const char *key = proto->external_data[i]->key, *value = proto->external_data[i]->value;
        if (!key || !value)
            continue;
        if (strcmp(key, "location") == 0)
            location = value;
        else if ((strcmp(key, "offset") == 0 && (!lac_parse_i64(value, &offset) || offset < 0)) ||
                 (strcmp(key, "length") == 0 && (!lac_parse_i64(value, &length) || length < 0)))
            return lac_fail(err, LAC_ERROR_INPUT, "external data %s = '%.40s': want a size", key,
                            value);
    }
    if (!folder)
        return lac_fail(err, LAC_ERROR_INPUT, "external data, but the model is not a file");
    char path[PATH_MAX];
    LAC_TRY(path_inside(folder, location, path, err));
    if (length >= 0 && (uint64_t)length != want)
        return lac_fail(err, LAC_ERROR_INPUT, "external data length %lld, the shape needs %zu",
                        (long long)length, want);
    lac_buffer *buffer;
    const void *data;
    size_t bytes;
    LAC_TRY(lac_map_file(&buffer, &data, &bytes, path, err));
    if ((uint64_t)offset > bytes || bytes - (size_t)offset < want) {
        lac_buffer_drop(buffer);
        return lac_fail(err, LAC_ERROR_INPUT,
                        "external data at %lld + %zu reaches behind the %zu bytes of '%.80s'",
                        (long long)offset, want, bytes, location);
    }
    tensor->data = (char *)data + offset; /* mapped read-only; tensors of a graph are constant */
    tensor->buffer = buffer;
    /* In place unless elements are misaligned, or so near the end of the last page that vector code
     * (which may read READ_BEHIND bytes more) would leave the mapping. */
    size_t size = (size_t)(lac_dtype_bits(tensor->dtype) + 7) / 8;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), mapped = (bytes + page - 1) / page * page;
    if ((size_t)offset % size == 0 && (size_t)offset + want + READ_BEHIND <= mapped)
        return LAC_OK;
    lac_tensor aligned;
    lac_status status = lac_tensor_make(&aligned, tensor->dtype, tensor->rank, tensor->dims, err);
    if (status == LAC_OK)
        memcpy(aligned.data, tensor->data, want);
    lac_buffer_drop(buffer);
    if (status == LAC_OK)
        *tensor = aligned;
    return status;
}

/* Typed fields: narrow types share int32_data, so each element is stored through its own type. */
static lac_status typed(lac_tensor *tensor, const Onnx__TensorProto *proto, int64_t count,
                        lac_error *err)
{
    size_t have;
    if (lac_dtype_bits(tensor->dtype) < 8) { /* a byte of packed elements in each number */
        size_t want = lac_tensor_bytes(tensor);
        if (proto->n_int32_data != want)
            return lac_fail(err, LAC_ERROR_INPUT, "%zu packed bytes, the shape needs %zu",
                            proto->n_int32_data, want);
        for (size_t i = 0; i < want; i++)
            ((uint8_t *)tensor->data)[i] = (uint8_t)proto->int32_data[i];
        return LAC_OK;
    }
    switch (tensor->dtype) {
    case LAC_F32:
        have = proto->n_float_data;
        break;
    case LAC_F64:
        have = proto->n_double_data;
        break;
    case LAC_I64:
        have = proto->n_int64_data;
        break;
    case LAC_U32:
    case LAC_U64:
        have = proto->n_uint64_data;
        break;
    default:
        have = proto->n_int32_data;
    }
    if (have != (uint64_t)count)
        return lac_fail(err, LAC_ERROR_INPUT, "%zu elements of data, the shape needs %lld", have,
                        (long long)count);
    for (int64_t i = 0; i < count; i++)
        switch (tensor->dtype) {
        case LAC_F32:
            ((float *)tensor->data)[i] = proto->float_data[i];
            break;
        case LAC_F64:
            ((double *)tensor->data)[i] = proto->double_data[i];
            break;
        case LAC_I64:
            ((int64_t *)tensor->data)[i] = proto->int64_data[i];
            break;
        case LAC_U64:
            ((uint64_t *)tensor->data)[i] = proto->uint64_data[i];
            break;
        case LAC_U32:
            ((uint32_t *)tensor->data)[i] = (uint32_t)proto->uint64_data[i];
            break;
        case LAC_F16:
        case LAC_BF16:
            ((uint16_t *)tensor->data)[i] = (uint16_t)proto->int32_data[i];
            break;
        default:
            lac_tensor_set(tensor, i, proto->int32_data[i]);
        }
    return LAC_OK;
}

static lac_status fill(lac_tensor *tensor, const Onnx__TensorProto *proto, const char *folder,
                       lac_error *err)
{
    int64_t count;
    if (proto->n_dims > LAC_MAX_RANK)
        return lac_fail(err, LAC_ERROR_INPUT, "rank %zu, limit %d", proto->n_dims, LAC_MAX_RANK);
    if (proto->segment)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "a tensor stored in segments");
    lac_dtype dtype = proto->data_type > 0 && proto->data_type < LAC_DTYPE_LIMIT
                          ? (lac_dtype)proto->data_type
                          : LAC_NONE;
    if (lac_dtype_bits(dtype) == 0)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "element type %d (%s)", proto->data_type,
                        lac_dtype_name(dtype));
    LAC_TRY(lac_shape_count((int)proto->n_dims, proto->dims, &count, err));
    size_t want = ((size_t)count * (size_t)lac_dtype_bits(dtype) + 7) / 8;
    if (proto->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL) {
        *tensor = lac_tensor_view(dtype, (int)proto->n_dims, proto->dims, NULL);
        return external(tensor, proto, folder, want, err);
    }
    if (proto->has_raw_data && proto->raw_data.len != want)
        return lac_fail(err, LAC_ERROR_INPUT, "%zu bytes of raw data, the shape needs %zu",
                        proto->raw_data.len, want);
    /* Typed data must be there before a tensor of a claimed size is allocated. */
    if (!proto->has_raw_data &&
        (uint64_t)want > 8 * ((uint64_t)proto->n_float_data + proto->n_int32_data +
                              proto->n_int64_data + proto->n_double_data + proto->n_uint64_data))
        return lac_fail(err, LAC_ERROR_INPUT, "less data than the %lld elements of the shape",
                        (long long)count);
    LAC_TRY(lac_tensor_make(tensor, dtype, (int)proto->n_dims, proto->dims, err));
    if (!proto->has_raw_data)
        return typed(tensor, proto, count, err);
    if (want)
        memcpy(tensor->data, proto->raw_data.data, want);
    return LAC_OK;
}

lac_status lac_onnx_tensor(lac_tensor *tensor, const Onnx__TensorProto *proto, const char *folder,
                           lac_error *err)
{
    memset(tensor, 0, sizeof *tensor);
    lac_status status = fill(tensor, proto, folder, err);
    if (status == LAC_OK)
        return LAC_OK;
    lac_tensor_release(tensor);
    return lac_fail_in(err, status, "tensor '%.80s'", name_of(proto));
}

lac_status lac_onnx_tensor_load(lac_tensor *tensor, const char *path, lac_error *err)
{
    lac_buffer *buffer;
    const void *data;
    size_t bytes;
    LAC_TRY(lac_map_file(&buffer, &data, &bytes, path, err));
    lac_status status = lac_onnx_check_depth(&onnx__tensor_proto__descriptor, data, bytes, err);
    Onnx__TensorProto *proto =
        status == LAC_OK ? onnx__tensor_proto__unpack(NULL, bytes, data) : NULL;
    if (status == LAC_OK)
        status = proto ? lac_onnx_tensor(tensor, proto, NULL, err)
                       : lac_fail(err, LAC_ERROR_INPUT, "not an ONNX tensor");
    onnx__tensor_proto__free_unpacked(proto, NULL);
    lac_buffer_drop(buffer);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", path);
}
