/* See preprocess.h. */
#include "io/preprocess.h"

#include <math.h>
#include <string.h>

enum { PIXEL_LIMIT = 1 << 26 };

static float number(const json_t *object, const char *key, float initial)
{
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? (float)json_number_value(value) : initial;
}

/* A number for all channels, or one per channel. */
static lac_status channels(const json_t *object, const char *key, float initial, float out[3],
                           lac_error *err)
{
    const json_t *value = json_object_get(object, key);
    for (size_t i = 0; i < 3; i++)
        out[i] = json_is_number(value) ? (float)json_number_value(value) : initial;
    if (!json_is_array(value))
        return LAC_OK;
    size_t n = json_array_size(value);
    if (n != 1 && n != 3)
        return lac_fail(err, LAC_ERROR_INPUT, "preprocess.%s has %zu numbers, want 1 or 3", key, n);
    for (size_t i = 0; i < 3; i++)
        out[i] = (float)json_number_value(json_array_get(value, n == 1 ? 0 : i));
    return LAC_OK;
}

static lac_status read_kind(lac_preprocess *p, const char *kind, lac_error *err)
{
    static const char *const kinds[] = {"none", "scale", "u8_affine", "dequant"};
    for (int i = 0; i < 4; i++)
        if (strcmp(kind, kinds[i]) == 0) {
            p->kind = (lac_preprocess_kind)i;
            return LAC_OK;
        }
    return lac_fail(err, LAC_ERROR_INPUT,
                    "preprocess.kind '%s': want none, scale, u8_affine or dequant", kind);
}

/* "mean" and "std" of values in 0..1, as most training code has them: (u8 / 255 - mean) / std. */
static lac_status read_mean(lac_preprocess *p, const json_t *object, lac_error *err)
{
    float mean[3], std[3];
    if (!json_object_get(object, "mean") && !json_object_get(object, "std"))
        return LAC_OK;
    LAC_TRY(channels(object, "mean", 0, mean, err));
    LAC_TRY(channels(object, "std", 1, std, err));
    p->kind = LAC_PREPROCESS_U8_AFFINE;
    for (int i = 0; i < 3; i++) {
        if (!(std[i] > 0))
            return lac_fail(err, LAC_ERROR_INPUT, "preprocess.std is %g: want above 0", std[i]);
        p->scale[i] = 1 / (255 * std[i]);
        p->bias[i] = -mean[i] / std[i];
    }
    return LAC_OK;
}

static bool is(const json_t *object, const char *key, const char *text)
{
    const char *value = json_string_value(json_object_get(object, key));
    return value && strcmp(value, text) == 0;
}

lac_status lac_preprocess_read(lac_preprocess *p, const json_t *object, lac_error *err)
{
    memset(p, 0, sizeof *p);
    if (!object)
        return LAC_OK;
    const char *kind = json_string_value(json_object_get(object, "kind"));
    LAC_TRY(read_kind(p, kind ? kind : "none", err));
    LAC_TRY(channels(object, "scale", 1, p->scale, err));
    LAC_TRY(channels(object, "bias", 0, p->bias, err));
    LAC_TRY(read_mean(p, object, err));
    p->zero_point = number(object, "zero_point", 0);
    p->size = json_integer_value(json_object_get(object, "size"));
    p->crop = json_integer_value(json_object_get(object, "crop"));
    const json_t *offset = json_object_get(object, "crop_offset");
    p->crop_y = p->crop_x = -1;
    if (json_array_size(offset) == 2) {
        p->crop_y = json_integer_value(json_array_get(offset, 0));
        p->crop_x = json_integer_value(json_array_get(offset, 1));
    }
    if (p->size < 0 || p->size > 16384 || p->crop < 0 || p->crop > 16384)
        return lac_fail(err, LAC_ERROR_INPUT, "preprocess size %lld, crop %lld: want 0..16384",
                        (long long)p->size, (long long)p->crop);
    p->bgr = is(object, "order", "BGR");
    p->nhwc = is(object, "layout", "NHWC");
    const json_t *reshape = json_object_get(object, "reshape");
    if (json_array_size(reshape) >= LAC_MAX_RANK)
        return lac_fail(err, LAC_ERROR_INPUT, "preprocess.reshape has %zu sizes, limit %d",
                        json_array_size(reshape), LAC_MAX_RANK - 1);
    p->rank = (int)json_array_size(reshape);
    for (int i = 0; i < p->rank; i++)
        p->reshape[i] = json_integer_value(json_array_get(reshape, (size_t)i));
    return LAC_OK;
}

/* Bilinear resize with half-pixel centres so that the short side becomes `size`. */
static lac_status resize(const lac_tensor *image, int64_t size, lac_tensor *out, lac_error *err)
{
    int64_t h = image->dims[0], w = image->dims[1], c = image->rank == 3 ? image->dims[2] : 1;
    int64_t shorter = h < w ? h : w;
    int64_t to_h = (h * size + shorter / 2) / shorter, to_w = (w * size + shorter / 2) / shorter;
    if (to_h > PIXEL_LIMIT / to_w)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "preprocess.size %lld makes %lld x %lld pixels of an image of %lld x %lld, "
                        "limit %d pixels",
                        (long long)size, (long long)to_w, (long long)to_h, (long long)w,
                        (long long)h, PIXEL_LIMIT);
    LAC_TRY(lac_tensor_make(out, LAC_U8, image->rank, (int64_t[]){to_h, to_w, c}, err));
    const uint8_t *from = image->data;
    uint8_t *to = out->data;
    for (int64_t y = 0; y < to_h; y++)
        for (int64_t x = 0; x < to_w; x++) {
            double fy = ((double)y + 0.5) * (double)h / (double)to_h - 0.5;
            double fx = ((double)x + 0.5) * (double)w / (double)to_w - 0.5;
            fy = fmin(fmax(fy, 0), (double)(h - 1));
            fx = fmin(fmax(fx, 0), (double)(w - 1));
            int64_t y0 = (int64_t)fy, x0 = (int64_t)fx;
            int64_t y1 = y0 + 1 < h ? y0 + 1 : y0, x1 = x0 + 1 < w ? x0 + 1 : x0;
            double dy = fy - (double)y0, dx = fx - (double)x0;
            for (int64_t ch = 0; ch < c; ch++) {
                double top =
                    from[(y0 * w + x0) * c + ch] * (1 - dx) + from[(y0 * w + x1) * c + ch] * dx;
                double low =
                    from[(y1 * w + x0) * c + ch] * (1 - dx) + from[(y1 * w + x1) * c + ch] * dx;
                to[(y * to_w + x) * c + ch] = (uint8_t)(top * (1 - dy) + low * dy + 0.5);
            }
        }
    return LAC_OK;
}

static lac_status crop_and_scale(const lac_preprocess *p, const lac_tensor *image,
                                 lac_tensor *input, lac_error *err)
{
    int64_t h = image->dims[0], w = image->dims[1], c = image->rank == 3 ? image->dims[2] : 1;
    int64_t ch = p->crop ? p->crop : h, cw = p->crop ? p->crop : w;
    int64_t top = p->crop && p->crop_y >= 0 ? p->crop_y : (h - ch) / 2;
    int64_t left = p->crop && p->crop_x >= 0 ? p->crop_x : (w - cw) / 2;
    if (ch > h || cw > w || top < 0 || left < 0 || top + ch > h || left + cw > w)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "a crop of %lld at %lld,%lld does not fit an image of %lld x %lld",
                        (long long)ch, (long long)top, (long long)left, (long long)w, (long long)h);
    int64_t nchw[4] = {1, c, ch, cw}, nhwc[4] = {1, ch, cw, c};
    LAC_TRY(lac_tensor_make(input, LAC_F32, 4, p->nhwc ? nhwc : nchw, err));
    const uint8_t *from = image->data;
    float *to = input->data;
    for (int64_t k = 0; k < c; k++) {
        int64_t source = p->bgr && c == 3 ? 2 - k : k;
        float scale = p->kind == LAC_PREPROCESS_NONE ? 1 : p->scale[k % 3];
        float bias = p->kind == LAC_PREPROCESS_U8_AFFINE ? p->bias[k % 3] : 0;
        for (int64_t y = 0; y < ch; y++)
            for (int64_t x = 0; x < cw; x++) {
                float value = (float)from[((top + y) * w + left + x) * c + source];
                to[p->nhwc ? (y * cw + x) * c + k : (k * ch + y) * cw + x] = value * scale + bias;
            }
    }
    return LAC_OK;
}

lac_status lac_preprocess_image(const lac_preprocess *p, const lac_tensor *image, lac_tensor *input,
                                lac_error *err)
{
    if (image->dtype != LAC_U8 || image->rank < 2 || image->rank > 3)
        return lac_fail(err, LAC_ERROR_INPUT, "an image is uint8 [h][w] or [h][w][c]");
    if (lac_tensor_count(image) == 0)
        return lac_fail(err, LAC_ERROR_INPUT, "an image without pixels");
    if (!p->size)
        return crop_and_scale(p, image, input, err);
    lac_tensor resized;
    LAC_TRY(resize(image, p->size, &resized, err));
    lac_status status = crop_and_scale(p, &resized, input, err);
    lac_tensor_release(&resized);
    return status;
}

lac_status lac_preprocess_array(const lac_preprocess *p, const lac_tensor *sample,
                                lac_tensor *input, lac_error *err)
{
    int64_t dims[LAC_MAX_RANK] = {1}, count;
    int rank = p->rank ? p->rank : sample->rank;
    if (rank + 1 > LAC_MAX_RANK)
        return lac_fail(err, LAC_ERROR_INPUT, "a sample of rank %d", rank);
    for (int i = 0; i < rank; i++)
        dims[i + 1] = p->rank ? p->reshape[i] : sample->dims[i];
    LAC_TRY(lac_shape_count(rank + 1, dims, &count, err));
    if (count != lac_tensor_count(sample))
        return lac_fail(err, LAC_ERROR_INPUT,
                        "preprocess.reshape makes %lld elements of a sample of %lld",
                        (long long)count, (long long)lac_tensor_count(sample));
    LAC_TRY(lac_tensor_make(input, LAC_F32, rank + 1, dims, err));
    float *to = input->data;
    for (int64_t i = 0; i < count; i++) {
        float value = (float)lac_tensor_get(sample, i);
        if (p->kind == LAC_PREPROCESS_DEQUANT)
            value = (value - p->zero_point) * p->scale[0];
        else if (p->kind == LAC_PREPROCESS_SCALE)
            value *= p->scale[0];
        else if (p->kind == LAC_PREPROCESS_U8_AFFINE)
            value = value * p->scale[0] + p->bias[0];
        to[i] = value;
    }
    return LAC_OK;
}
