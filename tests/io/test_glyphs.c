/* The glyph set: the same bytes everywhere, whichever way an image is asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/glyphs.h"

enum { FIRST = 64 };

/* CRC-32 of the first 64 images of each set, of their labels, and of 4 images far from the start.
 * They are part of the contract: the accuracies stated in data/ hold for these very bytes. */
#define TRAIN_CRC       UINT32_C(0x92D00368)
#define TEST_CRC        UINT32_C(0x8FC168A7)
#define TEST_LABELS_CRC UINT32_C(0xB4386C45)
#define FAR_CRC         UINT32_C(0xD8729CE4)

/* The CRC-32 of zip and PNG, bit by bit: the test must not lean on code it does not test. */
static uint32_t crc32_of(const uint8_t *bytes, size_t count)
{
    uint32_t crc = UINT32_C(0xFFFFFFFF);
    for (size_t i = 0; i < count; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = (crc >> 1) ^ (UINT32_C(0xEDB88320) & (0 - (crc & 1)));
        }
    }
    return crc ^ UINT32_C(0xFFFFFFFF);
}

static void test_bytes_are_the_known_ones(void **state)
{
    (void)state;
    static uint8_t images[FIRST * LAC_GLYPHS_PIXELS];
    uint8_t labels[FIRST];
    assert_int_equal(crc32_of((const uint8_t *)"123456789", 9), 0xCBF43926);
    lac_glyphs_draw_range(LAC_GLYPHS_TRAIN_SEED, 0, FIRST, images, labels);
    assert_int_equal(crc32_of(images, sizeof images), TRAIN_CRC);
    lac_glyphs_draw_range(LAC_GLYPHS_TEST_SEED, 0, FIRST, images, labels);
    assert_int_equal(crc32_of(images, sizeof images), TEST_CRC);
    assert_int_equal(crc32_of(labels, sizeof labels), TEST_LABELS_CRC);
    lac_glyphs_draw_range(UINT64_MAX, INT64_MAX - 4, 4, images, labels);
    assert_int_equal(crc32_of(images, 4 * LAC_GLYPHS_PIXELS), FAR_CRC);
}

static void test_an_image_depends_on_seed_and_index_alone(void **state)
{
    (void)state;
    static uint8_t images[FIRST * LAC_GLYPHS_PIXELS];
    uint8_t labels[FIRST];
    lac_glyphs_draw_range(7, 100, FIRST, images, labels);
    for (int i = FIRST - 1; i >= 0; i--) {
        uint8_t image[LAC_GLYPHS_PIXELS];
        uint8_t again[LAC_GLYPHS_PIXELS];
        uint8_t label = 255;
        uint8_t label_alone = 255;
        lac_glyphs_draw(7, 100 + i, image, &label);
        lac_glyphs_draw(7, 100 + i, again, NULL);
        lac_glyphs_draw(7, 100 + i, NULL, &label_alone);
        assert_memory_equal(image, images + i * LAC_GLYPHS_PIXELS, LAC_GLYPHS_PIXELS);
        assert_memory_equal(image, again, LAC_GLYPHS_PIXELS);
        assert_int_equal(label, labels[i]);
        assert_int_equal(label_alone, labels[i]);
    }
}

static void test_sets_do_not_share_images(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    static uint8_t a[COUNT * LAC_GLYPHS_PIXELS];
    static uint8_t b[COUNT * LAC_GLYPHS_PIXELS];
    lac_glyphs_draw_range(LAC_GLYPHS_TRAIN_SEED, 0, COUNT, a, NULL);
    lac_glyphs_draw_range(LAC_GLYPHS_TEST_SEED, 0, COUNT, b, NULL);
    for (int i = 0; i < COUNT; i++) {
        for (int j = 0; j < COUNT; j++) {
            assert_memory_not_equal(a + i * LAC_GLYPHS_PIXELS, b + j * LAC_GLYPHS_PIXELS,
                                    LAC_GLYPHS_PIXELS);
        }
    }
}

static void test_classes_are_about_equally_frequent(void **state)
{
    (void)state;
    int frequency[LAC_GLYPHS_CLASSES] = {0};
    for (int64_t i = 0; i < LAC_GLYPHS_TEST_COUNT; i++) {
        uint8_t label = 255;
        lac_glyphs_draw(LAC_GLYPHS_TEST_SEED, i, NULL, &label);
        assert_true(label < LAC_GLYPHS_CLASSES);
        frequency[label]++;
    }
    int mean = LAC_GLYPHS_TEST_COUNT / LAC_GLYPHS_CLASSES;
    for (int c = 0; c < LAC_GLYPHS_CLASSES; c++) {
        assert_in_range(frequency[c], mean * 3 / 4, mean * 5 / 4);
    }
}

/* Ink on a ground: every image has pixels well apart in brightness, and ink covers less of it than
 * the ground does. */
static void test_images_show_bright_ink_on_dark_ground(void **state)
{
    (void)state;
    for (int64_t i = 0; i < 500; i++) {
        uint8_t image[LAC_GLYPHS_PIXELS];
        int darkest = 255;
        int brightest = 0;
        int above = 0;
        lac_glyphs_draw(LAC_GLYPHS_TRAIN_SEED, i, image, NULL);
        for (int p = 0; p < LAC_GLYPHS_PIXELS; p++) {
            darkest = image[p] < darkest ? image[p] : darkest;
            brightest = image[p] > brightest ? image[p] : brightest;
        }
        for (int p = 0; p < LAC_GLYPHS_PIXELS; p++) {
            above += image[p] > (darkest + brightest) / 2;
        }
        assert_true(brightest - darkest > 80);
        assert_in_range(above, 8, LAC_GLYPHS_PIXELS / 2);
    }
}

static void test_class_names_are_distinct(void **state)
{
    (void)state;
    for (int c = 0; c < LAC_GLYPHS_CLASSES; c++) {
        const char *name = lac_glyphs_class_name(c);
        assert_non_null(name);
        assert_true(strlen(name) > 0);
        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz"), strlen(name));
        for (int d = 0; d < c; d++) {
            assert_string_not_equal(name, lac_glyphs_class_name(d));
        }
    }
    assert_string_equal(lac_glyphs_class_name(0), "ring");
    assert_null(lac_glyphs_class_name(-1));
    assert_null(lac_glyphs_class_name(LAC_GLYPHS_CLASSES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_are_the_known_ones),
        cmocka_unit_test(test_an_image_depends_on_seed_and_index_alone),
        cmocka_unit_test(test_sets_do_not_share_images),
        cmocka_unit_test(test_classes_are_about_equally_frequent),
        cmocka_unit_test(test_images_show_bright_ink_on_dark_ground),
        cmocka_unit_test(test_class_names_are_distinct),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
