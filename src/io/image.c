/* See image.h. */
#include "io/image.h"

#include "core/memory.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#if LACUNA_HAVE_JPEG
#include <jpeglib.h>
#endif
#if LACUNA_HAVE_SPNG
#include <spng.h>
#endif

/* A file of a few bytes may claim any size and any number of passes over it. */
enum { SIDE_LIMIT = 16384, PIXEL_LIMIT = 1 << 26, SCAN_LIMIT = 200 };

static lac_status make(lac_tensor *image, int64_t height, int64_t width, lac_error *err)
{
    if (height < 1 || width < 1 || height > SIDE_LIMIT || width > SIDE_LIMIT)
        return lac_fail(err, LAC_ERROR_INPUT, "an image of %lld x %lld, limit %d x %d",
                        (long long)width, (long long)height, SIDE_LIMIT, SIDE_LIMIT);
    if (height * width > PIXEL_LIMIT)
        return lac_fail(err, LAC_ERROR_INPUT, "an image of %lld x %lld, limit %d pixels",
                        (long long)width, (long long)height, PIXEL_LIMIT);
    return lac_tensor_make(image, LAC_U8, 3, (int64_t[]){height, width, 3}, err);
}

#if LACUNA_HAVE_JPEG
/* libjpeg reports errors by a callback that must not return. */
typedef struct jpeg_state {
    struct jpeg_error_mgr manager;
    jmp_buf back;
    char message[JMSG_LENGTH_MAX];
} jpeg_state;

static void jpeg_fail(j_common_ptr info)
{
    jpeg_state *state = (jpeg_state *)info->err;
    info->err->format_message(info, state->message);
    longjmp(state->back, 1);
}

static void jpeg_pass(j_common_ptr info)
{
    jpeg_state *state = (jpeg_state *)info->err;
    if (((j_decompress_ptr)info)->input_scan_number <= SCAN_LIMIT)
        return;
    snprintf(state->message, sizeof state->message, "more than %d scans", SCAN_LIMIT);
    longjmp(state->back, 1);
}

static void jpeg_silent(j_common_ptr info, int level)
{
    (void)info, (void)level;
}

static lac_status parse_jpeg(lac_tensor *image, const void *data, size_t bytes, lac_error *err)
{
    struct jpeg_decompress_struct info;
    struct jpeg_progress_mgr progress = {.progress_monitor = jpeg_pass};
    jpeg_state state;
    memset(&info, 0, sizeof info);
    info.err = jpeg_std_error(&state.manager);
    state.manager.error_exit = jpeg_fail;
    state.manager.emit_message = jpeg_silent;
    if (setjmp(state.back)) {
        jpeg_destroy_decompress(&info);
        lac_tensor_release(image);
        return lac_fail(err, LAC_ERROR_INPUT, "JPEG: %s", state.message);
    }
    jpeg_create_decompress(&info);
    info.progress = &progress;
    jpeg_mem_src(&info, data, bytes);
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    lac_status status = make(image, info.image_height, info.image_width, err);
    if (status == LAC_OK) {
        jpeg_start_decompress(&info);
        while (info.output_scanline < info.output_height) {
            JSAMPROW row =
                (JSAMPROW)image->data + (size_t)info.output_scanline * info.output_width * 3;
            jpeg_read_scanlines(&info, &row, 1);
        }
        jpeg_finish_decompress(&info);
        if (info.err->num_warnings > 0) { /* cut short: libjpeg fills with grey */
            lac_tensor_release(image);
            status = lac_fail(err, LAC_ERROR_INPUT, "JPEG: the data are damaged or cut short");
        }
    }
    jpeg_destroy_decompress(&info);
    return status;
}
#endif

#if LACUNA_HAVE_SPNG
static lac_status parse_png(lac_tensor *image, const void *data, size_t bytes, lac_error *err)
{
    struct spng_ihdr header;
    spng_ctx *context = spng_ctx_new(0);
    if (!context)
        return lac_fail(err, LAC_ERROR_MEMORY, "out of memory");
    spng_set_image_limits(context, SIDE_LIMIT, SIDE_LIMIT);
    spng_set_chunk_limits(context, 1 << 24, 1 << 26);
    int failed = spng_set_png_buffer(context, data, bytes);
    failed = failed ? failed : spng_get_ihdr(context, &header);
    lac_status status = LAC_OK;
    if (!failed) {
        status = make(image, header.height, header.width, err);
        if (status == LAC_OK)
            failed =
                spng_decode_image(context, image->data, lac_tensor_bytes(image), SPNG_FMT_RGB8, 0);
    }
    spng_ctx_free(context);
    if (failed) {
        lac_tensor_release(image);
        return lac_fail(err, LAC_ERROR_INPUT, "PNG: %s", spng_strerror(failed));
    }
    return status;
}
#endif

lac_status lac_image_parse(lac_tensor *image, const void *data, size_t bytes, lac_error *err)
{
    const uint8_t *file = data;
    memset(image, 0, sizeof *image);
    if (bytes >= 3 && memcmp(file, "\xff\xd8\xff", 3) == 0) {
#if LACUNA_HAVE_JPEG
        return parse_jpeg(image, data, bytes, err);
#else
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "JPEG: lacuna was built without libjpeg");
#endif
    }
    if (bytes >= 8 && memcmp(file, "\x89PNG\r\n\x1a\n", 8) == 0) {
#if LACUNA_HAVE_SPNG
        return parse_png(image, data, bytes, err);
#else
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "PNG: lacuna was built without libspng");
#endif
    }
    return lac_fail(err, LAC_ERROR_INPUT, "neither JPEG nor PNG");
}

lac_status lac_image_load(lac_tensor *image, const char *path, lac_error *err)
{
    lac_buffer *buffer;
    const void *data;
    size_t bytes;
    LAC_TRY(lac_map_file(&buffer, &data, &bytes, path, err));
    lac_status status = lac_image_parse(image, data, bytes, err);
    lac_buffer_drop(buffer);
    return status == LAC_OK ? LAC_OK : lac_fail_in(err, status, "%s", path);
}
