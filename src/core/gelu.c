/* GELU: x times the normal distribution's integral, 1/2 + h(|x|) with the sign of x. h is a
 * polynomial of degree 4 about the nearest of 16 centres, a third apart: its five coefficients come
 * out of registers, so that a vector takes a dozen cycles, where one polynomial for all x would
 * take thirty and exp alone twenty. Fitted like those of vmath.c; what counts is the error of y
 * beside |x|, 2.6e-7 with rounding. From 5.15 on the integral is 0 or 1.
 *
 * One body, whose operations have the same results in every width; the last elements, fewer than a
 * vector, take the narrowest. */
#include "core/vmath.h"

#include <string.h>

#define CENTRES 16

_Alignas(64) static const float coefficient[5][CENTRES] = {
    {0.000000000e+00f, 1.305586547e-01f, 2.475074530e-01f, 3.413447440e-01f, 4.087887704e-01f,
     4.522096515e-01f, 4.772498608e-01f, 4.901846647e-01f, 4.961696267e-01f, 4.986501038e-01f,
     4.995709360e-01f, 4.998771250e-01f, 4.999683201e-01f, 4.999926686e-01f, 4.999984801e-01f,
     4.999998808e-01f},
    {3.989417553e-01f, 3.773814440e-01f, 3.194476664e-01f, 2.419716865e-01f, 1.640115529e-01f,
     9.947832674e-02f, 5.399150774e-02f, 2.622189187e-02f, 1.139573846e-02f, 4.431582056e-03f,
     1.542093698e-03f, 4.801709147e-04f, 1.337861613e-04f, 3.335444126e-05f, 7.440803529e-06f,
     1.485271696e-06f},
    {3.086566721e-05f, -6.289569288e-02f, -1.064807102e-01f, -1.209841073e-01f, -1.093399748e-01f,
     -8.289834112e-02f, -5.399180949e-02f, -3.059259988e-02f, -1.519479603e-02f, -6.647704635e-03f,
     -2.570343204e-03f, -8.804022800e-04f, -2.676085860e-04f, -7.228077448e-05f, -1.736582453e-05f,
     -3.714245622e-06f},
    {-6.705116481e-02f, -5.565332994e-02f, -2.952962741e-02f, -1.391687692e-04f, 2.104751766e-02f,
     2.930376679e-02f, 2.691728622e-02f, 1.942327246e-02f, 1.164274104e-02f, 5.947511643e-03f,
     2.625706606e-03f, 1.010471024e-03f, 3.409128403e-04f, 1.012366920e-04f, 2.653833144e-05f,
     6.154686162e-06f},
    {4.020831548e-03f, 1.502440125e-02f, 2.252350934e-02f, 2.006647922e-02f, 1.113064215e-02f,
     1.591461012e-03f, -4.433851223e-03f, -6.195478141e-03f, -5.194127094e-03f, -3.329195781e-03f,
     -1.746899332e-03f, -7.736423868e-04f, -2.939842525e-04f, -9.682837845e-05f, -2.782812589e-05f,
     -7.011523394e-06f}};

/* Adding it rounds to an integer, which then stands in the low bits. */
#define ROUND 12582912.0f

/* The first elements of x, a multiple of the vector's; returns how many. PICK(j, at): coefficient j
 * of the centres `at`; LEAST and MOST take the second operand if one is no number. */
#define BODY(FLOATS, WORDS, ALL, PICK, LEAST, MOST)                                                \
    {                                                                                              \
        int64_t i = 0;                                                                             \
        const int64_t step = sizeof(FLOATS) / sizeof(float);                                       \
        for (; i + step <= n; i += step) {                                                         \
            FLOATS v, t, k, r, h;                                                                  \
            WORDS bits, at;                                                                        \
            memcpy(&v, x + i, sizeof v);                                                           \
            memcpy(&bits, &v, sizeof bits);                                                        \
            WORDS sign = bits & 0x80000000u;                                                       \
            bits ^= sign;                                                                          \
            memcpy(&t, &bits, sizeof t);                                                           \
            t = LEAST(t, ALL(5.15f));                                                              \
            k = t * 3.0f + ROUND;                                                                  \
            memcpy(&at, &k, sizeof at);                                                            \
            r = t - (k - ROUND) * 0.333333343f;                                                    \
            at &= CENTRES - 1;                                                                     \
            h = PICK(4, at);                                                                       \
            h = h * r + PICK(3, at);                                                               \
            h = h * r + PICK(2, at);                                                               \
            h = h * r + PICK(1, at);                                                               \
            h = h * r + PICK(0, at);                                                               \
            h = LEAST(h, ALL(0.5f));                                                               \
            memcpy(&bits, &h, sizeof bits);                                                        \
            bits |= sign; /* h is not negative */                                                  \
            memcpy(&h, &bits, sizeof h);                                                           \
            v = MOST(ALL(-16.0f), v) * (h + 0.5f); /* keeps infinity away from 0 */                \
            memcpy(y + i, &v, sizeof v);                                                           \
        }                                                                                          \
        return i;                                                                                  \
    }

#define ONE(value)      (value)
#define ONE_PICK(j, i)  coefficient[j][i]
#define ONE_LEAST(a, b) ((a) < (b) ? (a) : (b))
#define ONE_MOST(a, b)  ((a) > (b) ? (a) : (b))
static int64_t gelu_one(const float *x, float *y, int64_t n)
    BODY(float, uint32_t, ONE, ONE_PICK, ONE_LEAST, ONE_MOST)

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

        typedef uint32_t words8 __attribute__((vector_size(32)));
typedef uint32_t words16 __attribute__((vector_size(64)));

/* The upper half of the centres by the sign bit of at << 28. */
#define EIGHT_PICK(j, at)                                                                          \
    _mm256_blendv_ps(_mm256_permutevar8x32_ps(_mm256_load_ps(coefficient[j]), (__m256i)(at)),      \
                     _mm256_permutevar8x32_ps(_mm256_load_ps(coefficient[j] + 8), (__m256i)(at)),  \
                     (__m256)((at) << 28))
__attribute__((target("avx2"))) static int64_t gelu_eight(const float *x, float *y, int64_t n)
    BODY(__m256, words8, _mm256_set1_ps, EIGHT_PICK, _mm256_min_ps, _mm256_max_ps)

#define SIXTEEN_PICK(j, at) _mm512_permutexvar_ps((__m512i)(at), _mm512_load_ps(coefficient[j]))
        __attribute__((target("avx512f"))) static int64_t
    gelu_sixteen(const float *x, float *y, int64_t n)
        BODY(__m512, words16, _mm512_set1_ps, SIXTEEN_PICK, _mm512_min_ps, _mm512_max_ps)

            static int64_t gelu_vectors(const float *x, float *y, int64_t n)
{
    if (__builtin_cpu_supports("avx512f"))
        return gelu_sixteen(x, y, n);
    return __builtin_cpu_supports("avx2") ? gelu_eight(x, y, n) : 0;
}
#else
        static int64_t gelu_vectors(const float *x, float *y, int64_t n)
{
    (void)x;
    (void)y;
    (void)n;
    return 0;
}
#endif

void lac_vec_gelu(const float *x, float *y, int64_t n)
{
    int64_t done = gelu_vectors(x, y, n);
    gelu_one(x + done, y + done, n - done);
}
