/* Glyphs: the project's own labelled image set, drawn on demand instead of stored.
 * It gives the default models something to classify, so that what compression does to accuracy
 * can be measured with no download: sixteen invented symbols under random stroke width, bending,
 * affine maps, clutter, occlusion and noise. A linear classifier stays below 90 % on it.
 *
 * Image `index` of the set `seed` is a pure function of (seed, index): any image can be drawn
 * alone, in any order and by any thread, and all arithmetic is on integers, so that the bytes are
 * the same on every machine, with every compiler and under every floating-point option. */
#ifndef LACUNA_IO_GLYPHS_H
#define LACUNA_IO_GLYPHS_H

#include <stdint.h>

#define LAC_GLYPHS_SIDE    28
#define LAC_GLYPHS_PIXELS  (LAC_GLYPHS_SIDE * LAC_GLYPHS_SIDE)
#define LAC_GLYPHS_CLASSES 16

/* The two sets the models in data/ were made with: images 0 to count - 1 of each seed. */
#define LAC_GLYPHS_TRAIN_SEED  UINT64_C(1)
#define LAC_GLYPHS_TRAIN_COUNT 1048576
#define LAC_GLYPHS_TEST_SEED   UINT64_C(2)
#define LAC_GLYPHS_TEST_COUNT  4000

/* Draws image `index` of the set `seed`: LAC_GLYPHS_PIXELS bytes, row by row from the top, 0 dark
 * and 255 bright (bright ink on a dark ground). Sets *label to its class, 0 to
 * LAC_GLYPHS_CLASSES - 1. Never fails; either pointer may be NULL to leave that result out, and
 * the label alone costs next to nothing. */
void lac_glyphs_draw(uint64_t seed, int64_t index, uint8_t image[LAC_GLYPHS_PIXELS],
                     uint8_t *label);

/* The next two are for scripts/train, which compiles glyphs.c for itself: the networks in data/
 * were trained on these very images.
 *
 * Draws images first to first + count - 1 one after another into `images`
 * (count * LAC_GLYPHS_PIXELS bytes) and their classes into `labels` (count bytes); NULL as
 * above. */
void lac_glyphs_draw_range(uint64_t seed, int64_t first, int64_t count, uint8_t *images,
                           uint8_t *labels);

/* The name of a class, a lower-case word, or NULL if there is no such class. */
const char *lac_glyphs_class_name(int label);

#endif
