/* Tensors: checked sizes, owners, element access in any numeric type. */
#include "core/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

lac_status lac_shape_count(int rank, const int64_t *dims, int64_t *count, lac_error *err)
{
    if (rank < 0 || rank > LAC_MAX_RANK)
        return lac_fail(err, LAC_ERROR_INPUT, "rank %d is outside 0..%d", rank, LAC_MAX_RANK);
    int64_t product = 1;
    bool overflow = false, empty = false;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0)
            return lac_fail(err, LAC_ERROR_INPUT, "dimension %d is %lld, below 0", i,
                            (long long)dims[i]);
        empty |= dims[i] == 0;
        overflow |= __builtin_mul_overflow(product, dims[i], &product);
        if (overflow && !empty)
            product = INT64_MAX; /* keep looking for a zero */
    }
    /* 64 bits an element is the widest type; a count whose bytes overflow is refused too. */
    if (!empty && (overflow || product > INT64_MAX / 16)) {
        char text[LAC_MAX_RANK * 24];
        size_t used = 0;
        for (int i = 0; i < rank; i++)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%lld", i ? " x " : "",
                                     (long long)dims[i]);
        return lac_fail(err, LAC_ERROR_INPUT, "%s overflows: the limit is %lld elements", text,
                        (long long)(INT64_MAX / 16));
    }
    *count = empty ? 0 : product;
    return LAC_OK;
}

int64_t lac_tensor_count(const lac_tensor *tensor)
{
    uint64_t count = 1; /* a shape with a 0 behind huge sizes is legal and wraps on the way */
    for (int i = 0; i < tensor->rank; i++)
        count *= (uint64_t)tensor->dims[i];
    return (int64_t)count;
}

size_t lac_tensor_bytes(const lac_tensor *tensor)
{
    return ((size_t)lac_tensor_count(tensor) * (size_t)lac_dtype_bits(tensor->dtype) + 7) / 8;
}

static void free_heap(void *data, size_t bytes, void *context)
{
    (void)bytes;
    (void)context;
    lac_free(data);
}

lac_status lac_tensor_make(lac_tensor *tensor, lac_dtype dtype, int rank, const int64_t *dims,
                           lac_error *err)
{
    int64_t count, own[LAC_MAX_RANK];
    if (rank > 0 && rank <= LAC_MAX_RANK) { /* `dims` may be the tensor's own */
        memcpy(own, dims, (size_t)rank * sizeof *own);
        dims = own;
    }
    memset(tensor, 0, sizeof *tensor);
    if (lac_dtype_bits(dtype) == 0)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "element type %d (%s) has no tensors",
                        (int)dtype, lac_dtype_name(dtype));
    LAC_TRY(lac_shape_count(rank, dims, &count, err));
    size_t bytes = ((size_t)count * (size_t)lac_dtype_bits(dtype) + 7) / 8;
    void *data = lac_alloc(bytes, 1, err);
    if (!data)
        return LAC_ERROR_MEMORY;
    lac_buffer *buffer = lac_buffer_make(data, bytes, free_heap, NULL, err);
    if (!buffer) {
        lac_free(data);
        return LAC_ERROR_MEMORY;
    }
    *tensor = lac_tensor_view(dtype, rank, dims, data);
    tensor->buffer = buffer;
    return LAC_OK;
}

lac_tensor lac_tensor_view(lac_dtype dtype, int rank, const int64_t *dims, void *data)
{
    lac_tensor tensor = {.dtype = dtype, .rank = rank, .data = data};
    for (int i = 0; i < rank; i++)
        tensor.dims[i] = dims[i];
    return tensor;
}

void lac_tensor_share(lac_tensor *target, const lac_tensor *source)
{
    *target = *source;
    lac_buffer_claim(target->buffer);
}

lac_status lac_tensor_copy(lac_tensor *target, const lac_tensor *source, lac_error *err)
{
    lac_tensor copy;
    LAC_TRY(lac_tensor_make(&copy, source->dtype, source->rank, source->dims, err));
    if (source->data)
        memcpy(copy.data, source->data, lac_tensor_bytes(source));
    *target = copy;
    return LAC_OK;
}

void lac_tensor_release(lac_tensor *tensor)
{
    lac_buffer_drop(tensor->buffer);
    memset(tensor, 0, sizeof *tensor);
}

double lac_tensor_get(const lac_tensor *tensor, int64_t i)
{
    const void *data = tensor->data;
    switch (tensor->dtype) {
    case LAC_F32:
        return (double)((const float *)data)[i];
    case LAC_F64:
        return ((const double *)data)[i];
    case LAC_F16:
        return (double)lac_f16_to_f32(((const uint16_t *)data)[i]);
    case LAC_BF16:
        return (double)lac_bf16_to_f32(((const uint16_t *)data)[i]);
    case LAC_U8:
    case LAC_BOOL:
        return ((const uint8_t *)data)[i];
    case LAC_I8:
        return ((const int8_t *)data)[i];
    case LAC_U16:
        return ((const uint16_t *)data)[i];
    case LAC_I16:
        return ((const int16_t *)data)[i];
    case LAC_U32:
        return ((const uint32_t *)data)[i];
    case LAC_I32:
        return ((const int32_t *)data)[i];
    case LAC_U64:
        return (double)((const uint64_t *)data)[i];
    case LAC_I64:
        return (double)((const int64_t *)data)[i];
    case LAC_U4:
        return ((const uint8_t *)data)[i / 2] >> (i % 2 * 4) & 15;
    case LAC_I4:
        return (((((const uint8_t *)data)[i / 2] >> (i % 2 * 4)) & 15) ^ 8) - 8;
    default:
        return 0;
    }
}

/* Truncates towards zero and saturates; NaN becomes 0. */
static double saturate(double value, double low, double high)
{
    if (!(value > low))
        return value <= low ? low : 0;
    return value < high ? trunc(value) : high;
}

void lac_tensor_set(lac_tensor *tensor, int64_t i, double value)
{
    void *data = tensor->data;
    switch (tensor->dtype) {
    case LAC_F32:
        ((float *)data)[i] = (float)value;
        break;
    case LAC_F64:
        ((double *)data)[i] = value;
        break;
    case LAC_F16:
        ((uint16_t *)data)[i] = lac_f32_to_f16((float)value);
        break;
    case LAC_BF16:
        ((uint16_t *)data)[i] = lac_f32_to_bf16((float)value);
        break;
    case LAC_BOOL:
        ((uint8_t *)data)[i] = value != 0;
        break;
    case LAC_U8:
        ((uint8_t *)data)[i] = (uint8_t)saturate(value, 0, UINT8_MAX);
        break;
    case LAC_I8:
        ((int8_t *)data)[i] = (int8_t)saturate(value, INT8_MIN, INT8_MAX);
        break;
    case LAC_U16:
        ((uint16_t *)data)[i] = (uint16_t)saturate(value, 0, UINT16_MAX);
        break;
    case LAC_I16:
        ((int16_t *)data)[i] = (int16_t)saturate(value, INT16_MIN, INT16_MAX);
        break;
    case LAC_U32:
        ((uint32_t *)data)[i] = (uint32_t)saturate(value, 0, UINT32_MAX);
        break;
    case LAC_I32:
        ((int32_t *)data)[i] = (int32_t)saturate(value, INT32_MIN, INT32_MAX);
        break;
    case LAC_U64:
        ((uint64_t *)data)[i] = value >= 0x1p64 ? UINT64_MAX : (uint64_t)saturate(value, 0, 0x1p64);
        break;
    case LAC_I64:
        ((int64_t *)data)[i] =
            value >= 0x1p63 ? INT64_MAX : (int64_t)saturate(value, -0x1p63, 0x1p63);
        break;
    case LAC_U4:
    case LAC_I4: {
        uint8_t *byte = (uint8_t *)data + i / 2;
        int nibble =
            (int)(tensor->dtype == LAC_U4 ? saturate(value, 0, 15) : saturate(value, -8, 7));
        int shift = (int)(i % 2 * 4);
        *byte = (uint8_t)((*byte & ~(15 << shift)) | (nibble & 15) << shift);
        break;
    }
    default:
        break;
    }
}

lac_status lac_tensor_convert(lac_tensor *target, lac_dtype dtype, const lac_tensor *source,
                              lac_error *err)
{
    if (lac_dtype_bits(source->dtype) == 0)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "cannot convert from %s",
                        lac_dtype_name(source->dtype));
    if (dtype == source->dtype)
        return lac_tensor_copy(target, source, err);
    lac_tensor result;
    LAC_TRY(lac_tensor_make(&result, dtype, source->rank, source->dims, err));
    int64_t count = lac_tensor_count(source);
    if (dtype == LAC_F32 && source->dtype == LAC_F16) { /* weights: the common case, fast */
        const uint16_t *from = source->data;
        float *to = result.data;
        for (int64_t i = 0; i < count; i++)
            to[i] = lac_f16_to_f32(from[i]);
    } else {
        for (int64_t i = 0; i < count; i++)
            lac_tensor_set(&result, i, lac_tensor_get(source, i));
    }
    *target = result;
    return LAC_OK;
}

const char *lac_tensor_text(const lac_tensor *tensor, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "%s[", lac_dtype_name(tensor->dtype));
    for (int i = 0; i < tensor->rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, i ? ",%lld" : "%lld",
                                 (long long)tensor->dims[i]);
    if (used < size)
        snprintf(text + used, size - used, "]");
    return text;
}
