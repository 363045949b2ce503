/* Arrays and images: .npy, .npz, IDX, JPEG, PNG, and what turns them into a network's input. */
#include "core/memory.h"
#include "core/text.h"
#include "helpers/golden.h"
#include "io/idx.h"
#include "io/image.h"
#include "io/npy.h"
#include "io/preprocess.h"

#include <glob.h>
#include <lacuna/lacuna.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "io/temporary.h"

#define CORPUS LACUNA_SOURCE_DIR "/tests/fuzz/corpus/"

/* ---- .npy --------------------------------------------------------------------------------------
 */

static const lac_dtype numeric[] = {LAC_F32, LAC_F64, LAC_F16, LAC_I8,  LAC_U8,  LAC_I16,
                                    LAC_U16, LAC_I32, LAC_U32, LAC_I64, LAC_U64, LAC_BOOL};

static void npy_round_trip(void **state)
{
    (void)state;
    static const struct {
        int rank;
        int64_t dims[8];
    } shapes[] = {{0, {0}}, {1, {5}}, {2, {2, 3}}, {3, {2, 0, 3}}, {8, {1, 2, 1, 2, 1, 2, 1, 2}}};
    for (size_t t = 0; t < sizeof numeric / sizeof *numeric; t++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
            lac_error err = {0};
            lac_tensor a, b;
            ok(lac_tensor_make(&a, numeric[t], shapes[s].rank, shapes[s].dims, &err), &err);
            for (int64_t i = 0; i < lac_tensor_count(&a); i++)
                lac_tensor_set(&a, i, (double)(numeric[t] == LAC_BOOL ? i % 2 : i));
            ok(lac_npy_save(&a, in_folder("a.npy"), &err), &err);
            ok(lac_npy_load(&b, in_folder("a.npy"), &err), &err);
            assert_int_equal(a.dtype, b.dtype);
            assert_int_equal(a.rank, b.rank);
            for (int i = 0; i < a.rank; i++)
                assert_int_equal(a.dims[i], b.dims[i]);
            if (lac_tensor_bytes(&a))
                assert_memory_equal(a.data, b.data, lac_tensor_bytes(&a));
            lac_tensor_release(&a);
            lac_tensor_release(&b);
        }
}

/* Files that NumPy wrote. */
static void npy_of_numpy(void **state)
{
    (void)state;
    static const char *const names[] = {"f4", "f8", "f2", "i1", "u1", "i2", "u2",
                                        "i4", "u4", "i8", "u8", "v2", "v3", "fortran1"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
        char path[512];
        lac_error err = {0};
        lac_tensor tensor;
        snprintf(path, sizeof path, CORPUS "npy/%s", names[n]);
        ok(lac_npy_load(&tensor, path, &err), &err);
        for (int64_t i = 0; i < lac_tensor_count(&tensor); i++)
            assert_true(lac_tensor_get(&tensor, i) == (double)i);
        assert_true(lac_tensor_count(&tensor) >= 3);
        lac_tensor_release(&tensor);
    }
}

static void npy_refused(void **state)
{
    (void)state;
    static const struct {
        const char *name, *part;
        lac_status status;
    } cases[] = {
        {"fortran", "fortran_order", LAC_ERROR_UNSUPPORTED},
        {"bigendian", "big-endian", LAC_ERROR_UNSUPPORTED},
        {"complex", "not a numeric type", LAC_ERROR_UNSUPPORTED},
        {"structured", "descr", LAC_ERROR_INPUT},
        {"rank9", "more than 8 dimensions", LAC_ERROR_INPUT},
        {"negative", "no size", LAC_ERROR_INPUT},
        {"huge", "", LAC_ERROR_INPUT},
        {"cut", "19 bytes of data, the shape needs 24", LAC_ERROR_INPUT},
        {"noshape", "'shape'", LAC_ERROR_INPUT},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char path[512];
        lac_error err = {0};
        lac_tensor tensor;
        snprintf(path, sizeof path, CORPUS "npy/%s", cases[c].name);
        assert_int_equal(lac_npy_load(&tensor, path, &err), cases[c].status);
        says(&err, path);
        says(&err, cases[c].part);
    }
    lac_error err = {0};
    lac_tensor tensor;
    ok(lac_tensor_make(&tensor, LAC_BF16, 1, (int64_t[]){2}, &err), &err);
    assert_int_equal(lac_npy_save(&tensor, in_folder("b.npy"), &err), LAC_ERROR_UNSUPPORTED);
    assert_int_not_equal(access(in_folder("b.npy"), F_OK), 0);
    tensor.dtype = LAC_F16;
    assert_int_equal(lac_npy_save(&tensor, in_folder("no/b.npy"), &err), LAC_ERROR_IO);
    says(&err, "no/b.npy");
    lac_tensor_release(&tensor);
}

/* ---- .npz --------------------------------------------------------------------------------------
 */

typedef struct seen {
    int n;
    char names[4][16];
    double last[4];
} seen;

static lac_status note(void *context, const char *name, const lac_tensor *tensor, lac_error *err)
{
    (void)err;
    seen *s = context;
    assert_true(s->n < 4);
    snprintf(s->names[s->n], sizeof s->names[0], "%s", name);
    s->last[s->n++] = lac_tensor_get(tensor, lac_tensor_count(tensor) - 1);
    return LAC_OK;
}

static void npz(void **state)
{
    (void)state;
    lac_error err = {0};
    seen s = {0};
    ok(lac_npz_load(CORPUS "npz/stored", note, &s, &err), &err);
    assert_int_equal(s.n, 2);
    assert_string_equal(s.names[0], "a");
    assert_string_equal(s.names[1], "b");
    assert_true(s.last[0] == 11 && s.last[1] == 11);
#if LACUNA_HAVE_ZLIB
    s.n = 0;
    ok(lac_npz_load(CORPUS "npz/deflated", note, &s, &err), &err);
    assert_int_equal(s.n, 2);
    assert_true(s.last[0] == 0 && s.last[1] == 11);
#endif
    static const struct {
        const char *name, *part;
    } cases[] = {
        {"bzip2", "array 'a': compression method 12"},
        {"nodirectory", "no zip directory"},
        {"bomb", "cannot unpack to 2147483647"},
        {"offset", "no local header"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char path[512];
        snprintf(path, sizeof path, CORPUS "npz/%s", cases[c].name);
        assert_int_not_equal(lac_npz_load(path, note, &s, &err), LAC_OK);
        says(&err, cases[c].part);
        says(&err, path);
    }
    char *data;
    size_t bytes;
    ok(lac_read_file(&data, &bytes, CORPUS "npz/stored", 1 << 20, &err), &err);
    data[200] ^= 4; /* inside array a */
#if LACUNA_HAVE_ZLIB
    assert_int_equal(lac_npz_parse(data, bytes, note, &s, &err), LAC_ERROR_INPUT);
    says(&err, "array 'a': its checksum is");
#endif
    lac_free(data);
}

/* ---- IDX ---------------------------------------------------------------------------------------
 */

static void idx(void **state)
{
    (void)state;
    lac_error err = {0};
    lac_tensor tensor;
    ok(lac_idx_load(&tensor, CORPUS "idx/u8", &err), &err);
    assert_int_equal(tensor.dtype, LAC_U8);
    assert_int_equal(tensor.rank, 3);
    for (int i = 0; i < 12; i++)
        assert_true(lac_tensor_get(&tensor, i) == i);
    lac_tensor_release(&tensor);
    static const char *const wide[] = {"i16", "f32", "f64", "i32"};
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++) { /* big endian */
        char path[512];
        snprintf(path, sizeof path, CORPUS "idx/%s", wide[i]);
        ok(lac_idx_load(&tensor, path, &err), &err);
        assert_true(lac_tensor_get(&tensor, 0) == 0 && lac_tensor_get(&tensor, 1) == 1);
        lac_tensor_release(&tensor);
    }
    static const struct {
        const char *name, *part;
    } cases[] = {{"huge", ""},
                 {"rank", "IDX rank 255, limit 8"},
                 {"type", "element type 0x11"},
                 {"cut", "5 bytes of data, the shape needs 6"}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char path[512];
        snprintf(path, sizeof path, CORPUS "idx/%s", cases[c].name);
        assert_int_equal(lac_idx_load(&tensor, path, &err), LAC_ERROR_INPUT);
        says(&err, cases[c].part);
        says(&err, path);
    }
#if LACUNA_HAVE_ZLIB
    ok(lac_write_file(in_folder("x.gz"), "\x1f\x8b\x08\0\0\0\0\0\0\3damaged", 17, &err), &err);
    assert_int_equal(lac_idx_load(&tensor, in_folder("x.gz"), &err), LAC_ERROR_INPUT);
    says(&err, "damaged gzip");
    char path[512];
    if (golden_shared(path, sizeof path, "data/sets/mnist/t10k-labels-idx1-ubyte.gz")) {
        ok(lac_idx_load(&tensor, path, &err), &err);
        assert_int_equal(tensor.rank, 1);
        assert_int_equal(tensor.dims[0], 10000);
        lac_tensor_release(&tensor);
    }
#endif
}

/* ---- images ------------------------------------------------------------------------------------
 */

static void png(void **state)
{
    (void)state;
#if LACUNA_HAVE_SPNG
    lac_error err = {0};
    lac_tensor image;
    ok(lac_image_load(&image, CORPUS "image/known.png", &err), &err);
    assert_int_equal(image.rank, 3);
    assert_true(image.dims[0] == 2 && image.dims[1] == 3 && image.dims[2] == 3);
    for (int i = 0; i < 18; i++)
        assert_int_equal(((const uint8_t *)image.data)[i], i);
    lac_tensor_release(&image);
    static const char *const names[] = {"gray16.png", "rgba.png", "palette.png", "rgb.png"};
    for (size_t i = 0; i < 4; i++) {
        char path[512];
        snprintf(path, sizeof path, CORPUS "image/%s", names[i]);
        ok(lac_image_load(&image, path, &err), &err);
        lac_tensor_release(&image);
    }
    assert_int_equal(lac_image_load(&image, CORPUS "image/cut.png", &err), LAC_ERROR_INPUT);
    says(&err, "cut.png: PNG: ");
    assert_int_equal(lac_image_load(&image, CORPUS "image/bomb.png", &err), LAC_ERROR_INPUT);
#else
    skip();
#endif
}

static void jpeg(void **state)
{
    (void)state;
#if LACUNA_HAVE_JPEG
    lac_error err = {0};
    lac_tensor image, row, stored, labels;
    ok(lac_image_load(&image, CORPUS "image/gray.jpg", &err), &err);
    assert_true(image.dims[0] == 9 && image.dims[1] == 8 && image.dims[2] == 3);
    for (int i = 0; i < 72; i++) {
        const uint8_t *pixel = (const uint8_t *)image.data + 3 * i;
        assert_true(pixel[0] == pixel[1] && pixel[1] == pixel[2]);
    }
    lac_tensor_release(&image);
    ok(lac_image_load(&image, CORPUS "image/progressive.jpg", &err), &err);
    assert_true(image.dims[0] == 17 && image.dims[1] == 17);
    lac_tensor_release(&image);
    assert_int_equal(lac_image_load(&image, CORPUS "image/cut.jpg", &err), LAC_ERROR_INPUT);
    says(&err, "cut.jpg: JPEG: ");
    assert_int_equal(lac_image_load(&image, CORPUS "npy/f4", &err), LAC_ERROR_INPUT);
    says(&err, "neither JPEG nor PNG");

    /* Eight photographs decoded elsewhere. */
    char path[512], set[512];
    if (!golden_shared(set, sizeof set, "data/sets/imagenet500")) {
        print_message("SKIP: no shared images (LACUNA_SHARED)\n");
        return;
    }
    snprintf(path, sizeof path, "%s/ref8_256_u8.npy", set);
    ok(lac_npy_load(&stored, path, &err), &err);
    snprintf(path, sizeof path, "%s/ref8_labels.npy", set);
    ok(lac_npy_load(&labels, path, &err), &err);
    int compared = 0;
    for (int64_t i = 0; i < stored.dims[0]; i++) {
        glob_t found;
        snprintf(path, sizeof path, "%s/img/%03d_*.jpg", set, (int)lac_tensor_get(&labels, i));
        if (glob(path, 0, NULL, &found) == 0) {
            ok(lac_image_load(&image, found.gl_pathv[0], &err), &err);
            row = lac_tensor_view(LAC_U8, 3, stored.dims + 1,
                                  (uint8_t *)stored.data + i * 256 * 256 * 3);
            assert_memory_equal(image.data, row.data, lac_tensor_bytes(&row));
            lac_tensor_release(&image);
            compared++;
        }
        globfree(&found);
    }
    assert_true(compared > 0);
    lac_tensor_release(&stored);
    lac_tensor_release(&labels);
#else
    skip();
#endif
}

/* ---- preprocessing -----------------------------------------------------------------------------
 */

static lac_status describe(lac_preprocess *how, const char *text, lac_error *err)
{
    json_t *object = json_loads(text, 0, NULL);
    assert_non_null(object);
    memset(err, 0, sizeof *err);
    lac_status status = lac_preprocess_read(how, object, err);
    json_decref(object);
    return status;
}

/* [4][6][3] with value 20 y + 3 x + c. */
static lac_tensor test_image(uint8_t pixels[72])
{
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 6; x++)
            for (int c = 0; c < 3; c++)
                pixels[(y * 6 + x) * 3 + c] = (uint8_t)(20 * y + 3 * x + c);
    return lac_tensor_view(LAC_U8, 3, (int64_t[]){4, 6, 3}, pixels);
}

static void image_input(void **state)
{
    (void)state;
    uint8_t pixels[72];
    lac_tensor image = test_image(pixels), input;
    lac_preprocess how;
    lac_error err;
    ok(describe(&how,
                "{\"kind\":\"u8_affine\",\"crop\":2,\"crop_offset\":[1,3],\"order\":\"BGR\","
                "\"scale\":[1,2,4],\"bias\":[0.5,0,-1]}",
                &err),
       &err);
    ok(lac_preprocess_image(&how, &image, &input, &err), &err);
    assert_true(input.dims[0] == 1 && input.dims[1] == 3 && input.dims[2] == 2 &&
                input.dims[3] == 2);
    for (int c = 0; c < 3; c++)
        for (int y = 0; y < 2; y++)
            for (int x = 0; x < 2; x++) {
                float u8 = (float)(20 * (y + 1) + 3 * (x + 3) + (2 - c));
                float want = c == 0 ? u8 + 0.5f : c == 1 ? u8 * 2 : u8 * 4 - 1;
                assert_true(((const float *)input.data)[(c * 2 + y) * 2 + x] == want);
            }
    lac_tensor_release(&input);
    /* The centre, channels last, mean and deviation of values in 0..1. */
    ok(describe(&how,
                "{\"kind\":\"u8_affine\",\"crop\":2,\"layout\":\"NHWC\",\"mean\":0.5,"
                "\"std\":[0.25,0.5,1]}",
                &err),
       &err);
    ok(lac_preprocess_image(&how, &image, &input, &err), &err);
    assert_true(input.dims[1] == 2 && input.dims[2] == 2 && input.dims[3] == 3);
    for (int c = 0; c < 3; c++) {
        double u8 = 20 * 1 + 3 * 2 + c, deviation = c == 0 ? 0.25 : c == 1 ? 0.5 : 1;
        double got = ((const float *)input.data)[c];
        assert_true(got > (u8 / 255 - 0.5) / deviation - 1e-5 &&
                    got < (u8 / 255 - 0.5) / deviation + 1e-5);
    }
    lac_tensor_release(&input);
    /* Twice as large: a linear ramp stays one, inside. */
    ok(describe(&how, "{\"kind\":\"none\",\"size\":8}", &err), &err);
    ok(lac_preprocess_image(&how, &image, &input, &err), &err);
    assert_true(input.dims[2] == 8 && input.dims[3] == 12);
    for (int x = 1; x < 11; x++) {
        float want = (float)(20 * 1.25 + 3 * ((x + 0.5) / 2 - 0.5));
        float got = ((const float *)input.data)[3 * 12 + x];
        assert_true(got >= want - 0.51f && got <= want + 0.51f);
    }
    lac_tensor_release(&input);
    /* Grey: one channel. */
    lac_tensor grey = lac_tensor_view(LAC_U8, 2, (int64_t[]){4, 6}, pixels);
    ok(describe(&how, "{\"kind\":\"scale\",\"scale\":0.5}", &err), &err);
    ok(lac_preprocess_image(&how, &grey, &input, &err), &err);
    assert_true(input.rank == 4 && input.dims[1] == 1 && input.dims[3] == 6);
    assert_true(((const float *)input.data)[5] == 0.5f * pixels[5]);
    lac_tensor_release(&input);

    ok(describe(&how, "{\"kind\":\"none\",\"crop\":5}", &err), &err);
    assert_int_equal(lac_preprocess_image(&how, &image, &input, &err), LAC_ERROR_INPUT);
    says(&err, "a crop of 5 at 0,0 does not fit an image of 6 x 4");
    ok(describe(&how, "{\"kind\":\"none\",\"size\":16384}", &err), &err);
    assert_int_equal(lac_preprocess_image(&how, &image, &input, &err), LAC_ERROR_INPUT);
    says(&err, "preprocess.size 16384");
    lac_tensor empty = lac_tensor_view(LAC_U8, 3, (int64_t[]){0, 6, 3}, pixels);
    assert_int_equal(lac_preprocess_image(&how, &empty, &input, &err), LAC_ERROR_INPUT);
    says(&err, "without pixels");
    assert_int_equal(describe(&how, "{\"kind\":\"magic\"}", &err), LAC_ERROR_INPUT);
    says(&err, "preprocess.kind 'magic': want");
    assert_int_equal(describe(&how, "{\"kind\":\"scale\",\"scale\":[1,2]}", &err), LAC_ERROR_INPUT);
    says(&err, "preprocess.scale has 2 numbers");
    assert_int_equal(describe(&how, "{\"kind\":\"none\",\"std\":0}", &err), LAC_ERROR_INPUT);
    says(&err, "preprocess.std is 0");
    assert_int_equal(describe(&how, "{\"kind\":\"none\",\"crop\":99999}", &err), LAC_ERROR_INPUT);
    says(&err, "crop 99999");
}

static void array_input(void **state)
{
    (void)state;
    int8_t q[4] = {-3, 0, 5, 127};
    lac_tensor sample = lac_tensor_view(LAC_I8, 1, (int64_t[]){4}, q), input;
    lac_preprocess how;
    lac_error err;
    ok(describe(&how, "{\"kind\":\"dequant\",\"scale\":0.5,\"zero_point\":3,\"reshape\":[1,2,2]}",
                &err),
       &err);
    ok(lac_preprocess_array(&how, &sample, &input, &err), &err);
    assert_true(input.rank == 4 && input.dims[0] == 1 && input.dims[1] == 1 && input.dims[3] == 2);
    for (int i = 0; i < 4; i++)
        assert_true(((const float *)input.data)[i] == ((float)q[i] - 3) * 0.5f);
    lac_tensor_release(&input);
    ok(describe(&how, "{\"kind\":\"dequant\",\"reshape\":[5]}", &err), &err);
    assert_int_equal(lac_preprocess_array(&how, &sample, &input, &err), LAC_ERROR_INPUT);
    says(&err, "preprocess.reshape makes 5 elements of a sample of 4");
    ok(describe(&how, "{\"kind\":\"dequant\",\"reshape\":[-4]}", &err), &err);
    assert_int_equal(lac_preprocess_array(&how, &sample, &input, &err), LAC_ERROR_INPUT);
    ok(lac_preprocess_read(&how, NULL, &err), &err);
    ok(lac_preprocess_array(&how, &sample, &input, &err), &err);
    assert_true(input.rank == 2 && ((const float *)input.data)[3] == 127);
    lac_tensor_release(&input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(npy_round_trip),
        cmocka_unit_test(npy_of_numpy),
        cmocka_unit_test(npy_refused),
        cmocka_unit_test(npz),
        cmocka_unit_test(idx),
        cmocka_unit_test(png),
        cmocka_unit_test(jpeg),
        cmocka_unit_test(image_input),
        cmocka_unit_test(array_input),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
