/* From stored samples to a network's input, as a task's "preprocess" object says. */
#ifndef LACUNA_IO_PREPROCESS_H
#define LACUNA_IO_PREPROCESS_H

#include <jansson.h>
#include <lacuna/core.h>

typedef enum lac_preprocess_kind {
    LAC_PREPROCESS_NONE,      /* float32 as stored */
    LAC_PREPROCESS_SCALE,     /* float(u8) * scale */
    LAC_PREPROCESS_U8_AFFINE, /* float(u8) * scale[c] + bias[c] of an image, cropped */
    LAC_PREPROCESS_DEQUANT    /* (float(q) - zero_point) * scale, reshaped */
} lac_preprocess_kind;

typedef struct lac_preprocess {
    lac_preprocess_kind kind;
    int64_t size;           /* short side after a bilinear resize; 0: no resize */
    int64_t crop;           /* side of the crop; 0: all */
    int64_t crop_y, crop_x; /* -1: centre */
    bool bgr, nhwc;
    float scale[3], bias[3];
    float zero_point;
    int rank; /* of reshape; 0: keep */
    int64_t reshape[LAC_MAX_RANK];
} lac_preprocess;

/* {"kind": "u8_affine", "size": 256, "crop": 224, "crop_offset": [16, 16], "order": "RGB",
 *  "scale": [..], "bias": [..] (or "mean", "std" of values in 0..1), "layout": "NCHW"}, and
 * likewise "scale" (scale), "dequant" (scale, zero_point, reshape), "none". `object` NULL: none.
 * Unknown kinds and malformed fields are errors. */
lac_status lac_preprocess_read(lac_preprocess *preprocess, const json_t *object, lac_error *err);
/* An image uint8 [h][w][3] or [h][w] -> float32 [1][c][h][w] (or [1][h][w][c]). */
lac_status lac_preprocess_image(const lac_preprocess *preprocess, const lac_tensor *image,
                                lac_tensor *input, lac_error *err);
/* A sample of any shape -> float32 with a leading dimension 1. */
lac_status lac_preprocess_array(const lac_preprocess *preprocess, const lac_tensor *sample,
                                lac_tensor *input, lac_error *err);

#endif
