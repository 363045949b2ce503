/* Glyphs. A symbol is a few strokes in the unit square, polylines and arcs of ellipses. Drawing
 * one flattens the strokes to segments, bends them with a small lattice of random displacements,
 * maps them to the image with a random affine map, and shades each pixel by its distance to the
 * nearest segment, which anti-aliases them. Clutter strokes, a dark patch, uneven light and noise
 * follow.
 *
 * Everything is an integer: lengths in pixels and in the unit square, factors, sines are all
 * multiples of 1/4096 (ONE). Products stay below 2^55. Negative numbers are divided, never
 * shifted, because C leaves the shift to the compiler. */
#include "io/glyphs.h"

#include <stddef.h>

#include "core/random.h"

#define ONE             INT64_C(4096)
#define SIDE            LAC_GLYPHS_SIDE
#define MAX_STROKES     4
#define MAX_COORDINATES 12
#define MAX_SEGMENTS    128
#define TURN            32 /* directions in which an arc is flattened */
#define LATTICE         4
#define UNTOUCHED       (INT64_C(1) << 40) /* a squared distance that leaves no ink */

/* What is drawn and the noise over it come from streams of their own, so that the noise of a pixel
 * does not depend on how many numbers the strokes took. */
enum { ROLE_SHAPE = 64, ROLE_NOISE = 65 };

/* Coordinates in hundredths of the unit square, x to the right and y down. A polyline has `points`
 * pairs x, y. An arc has points 0 and x, y of its centre, its half axes along x and y, and its
 * first and last direction in 1/32 turn clockwise from the right. */
typedef struct stroke {
    int16_t points;
    int16_t at[MAX_COORDINATES];
} stroke;

typedef struct symbol {
    const char *name;
    int strokes;
    stroke stroke[MAX_STROKES];
} symbol;

static const symbol symbols[LAC_GLYPHS_CLASSES] = {
    {"ring", 1, {{0, {50, 50, 40, 40, 0, 32}}}},
    {"dagger", 2, {{2, {50, 5, 50, 95}}, {2, {22, 30, 78, 30}}}},
    {"hourglass", 1, {{5, {20, 8, 80, 8, 20, 92, 80, 92, 20, 8}}}},
    {"chevron", 1, {{3, {12, 80, 50, 20, 88, 80}}}},
    {"hook", 2, {{2, {70, 8, 70, 68}}, {0, {45, 68, 25, 24, 0, 16}}}},
    {"arch", 3, {{2, {20, 92, 20, 40}}, {0, {50, 40, 30, 32, 16, 32}}, {2, {80, 40, 80, 92}}}},
    {"wave", 2, {{0, {28, 50, 22, 30, 16, 32}}, {0, {72, 50, 22, 30, 16, 0}}}},
    {"spiral",
     3,
     {{0, {50, 50, 42, 42, 8, 24}}, {0, {50, 36, 28, 28, -8, 8}}, {0, {50, 48, 16, 16, 8, 24}}}},
    {"trident", 3, {{2, {50, 8, 50, 95}}, {0, {50, 15, 34, 40, 0, 16}}, {2, {35, 80, 65, 80}}}},
    {"ladder",
     4,
     {{2, {25, 5, 25, 95}}, {2, {75, 5, 75, 95}}, {2, {25, 32, 75, 32}}, {2, {25, 68, 75, 68}}}},
    {"kite",
     3,
     {{5, {50, 5, 82, 35, 50, 70, 18, 35, 50, 5}}, {2, {50, 70, 50, 97}}, {2, {18, 35, 82, 35}}}},
    {"bolt", 1, {{4, {66, 5, 26, 52, 74, 48, 34, 95}}}},
    {"anchor", 3, {{2, {50, 5, 50, 92}}, {0, {50, 56, 38, 36, 0, 16}}, {2, {32, 22, 68, 22}}}},
    {"key",
     3,
     {{0, {50, 24, 20, 19, 0, 32}}, {2, {50, 43, 50, 95}}, {3, {50, 70, 74, 70, 74, 82}}}},
    {"lens", 2, {{0, {28, 50, 22, 24, 0, 32}}, {0, {72, 50, 22, 24, 0, 32}}}},
    {"crescent", 2, {{0, {46, 50, 40, 44, 5, 27}}, {0, {60, 50, 24, 28, 5, 27}}}},
};

typedef struct point {
    int64_t x, y;
} point;

typedef struct segment {
    point a, b;
} segment;

typedef struct path {
    int count;
    segment segment[MAX_SEGMENTS];
} path;

/* A bend of the unit square and the affine map of the bent square to the image. */
typedef struct placement {
    point bend[LATTICE][LATTICE];
    int64_t xx, xy, yx, yy;
    point origin;
} placement;

/* Uniform in low .. high, both included, for spans below 2^32. */
static int64_t uniform(lac_random *random, int64_t low, int64_t high)
{
    uint64_t span = (uint64_t)(high - low) + 1;
    return low + (int64_t)(((lac_random_next(random) >> 32) * span) >> 32);
}

static int64_t smallest(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t largest(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t clamp(int64_t value, int64_t low, int64_t high)
{
    return smallest(largest(value, low), high);
}

/* The largest whole number whose square is at most n, for n below 2^48. */
static int64_t square_root(int64_t n)
{
    int64_t root = 0;
    for (int64_t bit = INT64_C(1) << 23; bit > 0; bit >>= 1) {
        if ((root + bit) * (root + bit) <= n) {
            root += bit;
        }
    }
    return root;
}

/* The cosine of direction / TURN turns. */
static int64_t cosine(int direction)
{
    static const int16_t quarter[TURN / 4 + 1] = {4096, 4017, 3784, 3406, 2896, 2276, 1567, 799, 0};
    int d = ((direction % TURN) + TURN) % TURN;
    d = d > TURN / 2 ? TURN - d : d;
    return d > TURN / 4 ? -quarter[TURN / 2 - d] : quarter[d];
}

static int64_t sine(int direction)
{
    return cosine(direction - TURN / 4);
}

static placement place(lac_random *random)
{
    placement p;
    for (int i = 0; i < LATTICE; i++) {
        for (int j = 0; j < LATTICE; j++) {
            p.bend[i][j].x = uniform(random, -300, 300);
            p.bend[i][j].y = uniform(random, -300, 300);
        }
    }
    /* A rotation by up to 27 degrees, from the tangent of half its angle, which needs no sine. */
    int64_t t = uniform(random, -980, 980);
    int64_t norm = ONE * ONE + t * t;
    int64_t cos = (ONE * ONE - t * t) * ONE / norm;
    int64_t sin = 2 * t * ONE * ONE / norm;
    int64_t shear = uniform(random, -1000, 1000);
    int64_t size = uniform(random, 15 * ONE, 23 * ONE);
    int64_t aspect = uniform(random, -600, 600);
    int64_t width = size * (ONE - aspect) / ONE;
    int64_t height = size * (ONE + aspect) / ONE;
    /* Rotation times shear along x times scale. */
    p.xx = cos * width / ONE;
    p.yx = sin * width / ONE;
    p.xy = (cos * shear / ONE - sin) * height / ONE;
    p.yy = (sin * shear / ONE + cos) * height / ONE;
    /* A small glyph may lie further from the middle than one that fills the image. */
    int64_t room = (SIDE + 1) * ONE / 2 - size / 2;
    p.origin.x = SIDE * ONE / 2 + uniform(random, -room, room) * 3 / 4;
    p.origin.y = SIDE * ONE / 2 + uniform(random, -room, room) * 3 / 4;
    return p;
}

/* A point of the unit square, bent and mapped to the image. */
static point map(const placement *p, point u)
{
    int64_t gx = clamp(u.x, 0, ONE - 1) * (LATTICE - 1);
    int64_t gy = clamp(u.y, 0, ONE - 1) * (LATTICE - 1);
    const point *top = p->bend[gy / ONE] + gx / ONE;
    const point *bottom = p->bend[gy / ONE + 1] + gx / ONE;
    int64_t fx = gx % ONE;
    int64_t fy = gy % ONE;
    int64_t dx = (top[0].x * (ONE - fx) + top[1].x * fx) * (ONE - fy) +
                 (bottom[0].x * (ONE - fx) + bottom[1].x * fx) * fy;
    int64_t dy = (top[0].y * (ONE - fx) + top[1].y * fx) * (ONE - fy) +
                 (bottom[0].y * (ONE - fx) + bottom[1].y * fx) * fy;
    int64_t x = u.x + dx / (ONE * ONE) - ONE / 2;
    int64_t y = u.y + dy / (ONE * ONE) - ONE / 2;
    return (point){p->origin.x + (p->xx * x + p->xy * y) / ONE,
                   p->origin.y + (p->yx * x + p->yy * y) / ONE};
}

static void add_line(path *out, const placement *p, point a, point b)
{
    /* Long lines are cut, so that the bend curves them rather than moving their ends only. */
    enum { PIECES = 4 };
    point from = map(p, a);
    for (int i = 1; i <= PIECES; i++) {
        point next = {a.x + (b.x - a.x) * i / PIECES, a.y + (b.y - a.y) * i / PIECES};
        point to = map(p, next);
        out->segment[out->count++] = (segment){from, to};
        from = to;
    }
}

static point hundredths(int64_t x, int64_t y)
{
    return (point){x * ONE / 100, y * ONE / 100};
}

/* The segments of one symbol. Ends of polylines and centres and axes of arcs are jittered before
 * the placement, each alone, so that strokes that should meet may miss each other a little. */
static void add_symbol(path *out, const symbol *s, const placement *p, lac_random *random)
{
    for (int i = 0; i < s->strokes; i++) {
        const stroke *k = &s->stroke[i];
        if (k->points > 0) {
            point from = {0, 0};
            for (int j = 0; j < k->points; j++) {
                point to = hundredths(k->at[2 * j], k->at[2 * j + 1]);
                to.x += uniform(random, -140, 140);
                to.y += uniform(random, -140, 140);
                if (j > 0) {
                    add_line(out, p, from, to);
                }
                from = to;
            }
            continue;
        }
        point centre = hundredths(k->at[0], k->at[1]);
        point axes = hundredths(k->at[2], k->at[3]);
        centre.x += uniform(random, -80, 80);
        centre.y += uniform(random, -80, 80);
        axes.x = axes.x * uniform(random, ONE - 400, ONE + 400) / ONE;
        axes.y = axes.y * uniform(random, ONE - 400, ONE + 400) / ONE;
        int step = k->at[5] > k->at[4] ? 1 : -1;
        point from = {0, 0};
        for (int d = k->at[4];; d += step) {
            point on = {centre.x + axes.x * cosine(d) / ONE, centre.y + axes.y * sine(d) / ONE};
            point to = map(p, on);
            if (d != k->at[4]) {
                out->segment[out->count++] = (segment){from, to};
            }
            from = to;
            if (d == k->at[5]) {
                break;
            }
        }
    }
}

static int64_t squared_distance(point q, segment s)
{
    point along = {s.b.x - s.a.x, s.b.y - s.a.y};
    point to = {q.x - s.a.x, q.y - s.a.y};
    int64_t length = along.x * along.x + along.y * along.y;
    if (length > 0) {
        int64_t t = clamp(to.x * along.x + to.y * along.y, 0, length);
        to.x -= along.x * t / length;
        to.y -= along.y * t / length;
    }
    return to.x * to.x + to.y * to.y;
}

/* Lowers distance[], one squared distance per pixel, to that of the path where it is within
 * `reach`; the pixels further away keep theirs. */
static void measure(const path *from, int64_t reach, int64_t distance[LAC_GLYPHS_PIXELS])
{
    for (int i = 0; i < from->count; i++) {
        segment s = from->segment[i];
        int64_t left = clamp((smallest(s.a.x, s.b.x) - reach) / ONE, 0, SIDE - 1);
        int64_t right = clamp((largest(s.a.x, s.b.x) + reach) / ONE, 0, SIDE - 1);
        int64_t top = clamp((smallest(s.a.y, s.b.y) - reach) / ONE, 0, SIDE - 1);
        int64_t bottom = clamp((largest(s.a.y, s.b.y) + reach) / ONE, 0, SIDE - 1);
        for (int64_t y = top; y <= bottom; y++) {
            for (int64_t x = left; x <= right; x++) {
                point middle = {x * ONE + ONE / 2, y * ONE + ONE / 2};
                int64_t d = squared_distance(middle, s);
                distance[y * SIDE + x] = smallest(distance[y * SIDE + x], d);
            }
        }
    }
}

/* Raises light[], grey levels times ONE, to `level` where a stroke of half-width `half` along the
 * path covers the pixel. */
static void ink(const path *from, int64_t half, int64_t level, int64_t light[LAC_GLYPHS_PIXELS])
{
    int64_t distance[LAC_GLYPHS_PIXELS];
    for (int i = 0; i < LAC_GLYPHS_PIXELS; i++) {
        distance[i] = UNTOUCHED;
    }
    measure(from, half + ONE, distance);
    for (int i = 0; i < LAC_GLYPHS_PIXELS; i++) {
        int64_t cover = clamp(half + ONE / 2 - square_root(distance[i]), 0, ONE);
        light[i] += largest(level * ONE - light[i], 0) * cover / ONE;
    }
}

/* Up to three short strokes anywhere, fainter or as bright as the glyph. */
static void add_clutter(lac_random *random, int64_t level, int64_t light[LAC_GLYPHS_PIXELS])
{
    int count = (int)uniform(random, 0, 3);
    for (int i = 0; i < count; i++) {
        /* One number per statement: C leaves open in which order an initializer's parts run. */
        point a, b;
        a.x = uniform(random, 0, SIDE * ONE);
        a.y = uniform(random, 0, SIDE * ONE);
        b.x = a.x + uniform(random, -6 * ONE, 6 * ONE);
        b.y = a.y + uniform(random, -6 * ONE, 6 * ONE);
        path line = {.count = 1, .segment = {{a, b}}};
        int64_t half = uniform(random, ONE / 4, ONE * 3 / 4);
        ink(&line, half, level * uniform(random, 50, 100) / 100, light);
    }
}

/* Darkens a rectangle to the ground, in every second image. */
static void occlude(lac_random *random, int64_t ground, int64_t light[LAC_GLYPHS_PIXELS])
{
    int64_t drawn = uniform(random, 0, 1);
    int64_t width = uniform(random, 3, 6);
    int64_t height = uniform(random, 3, 6);
    int64_t left = uniform(random, 3, SIDE - 3 - width);
    int64_t top = uniform(random, 3, SIDE - 3 - height);
    for (int64_t y = top; drawn && y < top + height; y++) {
        for (int64_t x = left; x < left + width; x++) {
            light[y * SIDE + x] = ground * ONE;
        }
    }
}

static void shade(lac_random *random, const int64_t light[LAC_GLYPHS_PIXELS],
                  uint8_t image[LAC_GLYPHS_PIXELS])
{
    int64_t amplitude = uniform(random, 4, 22);
    int64_t slope_x = uniform(random, -ONE, ONE);
    int64_t slope_y = uniform(random, -ONE, ONE);
    for (int y = 0; y < SIDE; y++) {
        for (int x = 0; x < SIDE; x++) {
            /* The sum of the four 16-bit parts of one number: nearly a normal distribution, of
             * mean 2^17 and a standard deviation of 37837. */
            uint64_t bits = lac_random_next(random);
            int64_t sum = 0;
            for (int part = 0; part < 4; part++) {
                sum += (int64_t)((bits >> (16 * part)) & 0xFFFF);
            }
            int64_t noise = (sum - (INT64_C(1) << 17)) * amplitude * ONE / 37837;
            int64_t slope = slope_x * (2 * x - SIDE + 1) / 2 + slope_y * (2 * y - SIDE + 1) / 2;
            int64_t value = light[y * SIDE + x] + slope + noise;
            image[y * SIDE + x] = (uint8_t)(clamp(value + ONE / 2, 0, 255 * ONE) / ONE);
        }
    }
}

void lac_glyphs_draw(uint64_t seed, int64_t index, uint8_t image[LAC_GLYPHS_PIXELS], uint8_t *label)
{
    /* The index goes through the generator's mixing before the seed is added: seed and index added
     * as they are would make image i + 1 of one set image i of the next. */
    lac_random mixed = {(uint64_t)index};
    uint64_t own = seed + lac_random_next(&mixed);
    lac_random random = lac_random_stream(own, ROLE_SHAPE);
    int class = (int)uniform(&random, 0, LAC_GLYPHS_CLASSES - 1);
    if (label != NULL) {
        *label = (uint8_t) class;
    }
    if (image == NULL) {
        return;
    }
    int64_t ground = uniform(&random, 8, 60);
    int64_t level = ground + uniform(&random, 110, 195);
    int64_t half = uniform(&random, ONE * 45 / 100, ONE * 140 / 100);
    placement where = place(&random);
    path glyph = {.count = 0};
    add_symbol(&glyph, &symbols[class], &where, &random);

    int64_t light[LAC_GLYPHS_PIXELS];
    for (int i = 0; i < LAC_GLYPHS_PIXELS; i++) {
        light[i] = ground * ONE;
    }
    ink(&glyph, half, level, light);
    occlude(&random, ground, light);
    add_clutter(&random, level, light);
    lac_random noise = lac_random_stream(own, ROLE_NOISE);
    shade(&noise, light, image);
}

void lac_glyphs_draw_range(uint64_t seed, int64_t first, int64_t count, uint8_t *images,
                           uint8_t *labels)
{
    for (int64_t i = 0; i < count; i++) {
        lac_glyphs_draw(seed, first + i, images == NULL ? NULL : images + i * LAC_GLYPHS_PIXELS,
                        labels == NULL ? NULL : labels + i);
    }
}

const char *lac_glyphs_class_name(int label)
{
    return label >= 0 && label < LAC_GLYPHS_CLASSES ? symbols[label].name : NULL;
}
