/* Vectors of floats of the instruction set that the file is compiled for, for bodies that are
 * written once: LAC_LANES floats each; four floats ("quad") that are loaded once and picked from.
 */
#ifndef LACUNA_CPU_VECTORS_H
#define LACUNA_CPU_VECTORS_H

#include <string.h>

#define LAC_VECTOR static inline __attribute__((always_inline))

#if defined(__AVX512F__)
#include <immintrin.h>
enum { LAC_LANES = 16 };
typedef __m512 lac_vector, lac_quad;
LAC_VECTOR lac_vector lac_vector_zero(void)
{
    return _mm512_setzero_ps();
}
LAC_VECTOR lac_vector lac_vector_load(const void *p)
{
    return _mm512_loadu_ps(p);
}
LAC_VECTOR void lac_vector_store(void *p, lac_vector x)
{
    _mm512_storeu_ps(p, x);
}
LAC_VECTOR lac_vector lac_vector_all(const float *p)
{
    return _mm512_set1_ps(*p);
}
LAC_VECTOR lac_vector lac_vector_fma(lac_vector a, lac_vector b, lac_vector sum)
{
    return _mm512_fmadd_ps(a, b, sum);
}
LAC_VECTOR lac_quad lac_quad_load(const float *p)
{
    return _mm512_broadcast_f32x4(_mm_loadu_ps(p));
}
#define LAC_QUAD_PICK(quad, i) _mm512_permute_ps(quad, (i)*0x55)
typedef __mmask16 lac_lanes; /* the first n lanes, n from 1 on */
LAC_VECTOR lac_lanes lac_lanes_first(int n)
{
    return (__mmask16)(n >= 16 ? 0xffff : (1 << n) - 1);
}
LAC_VECTOR lac_vector lac_vector_load_lanes(const float *p, lac_lanes lanes)
{
    return _mm512_maskz_loadu_ps(lanes, p);
}
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
enum { LAC_LANES = 8 };
typedef __m256 lac_vector, lac_quad;
LAC_VECTOR lac_vector lac_vector_zero(void)
{
    return _mm256_setzero_ps();
}
LAC_VECTOR lac_vector lac_vector_load(const void *p)
{
    return _mm256_loadu_ps(p);
}
LAC_VECTOR void lac_vector_store(void *p, lac_vector x)
{
    _mm256_storeu_ps(p, x);
}
LAC_VECTOR lac_vector lac_vector_all(const float *p)
{
    return _mm256_set1_ps(*p);
}
LAC_VECTOR lac_vector lac_vector_fma(lac_vector a, lac_vector b, lac_vector sum)
{
    return _mm256_fmadd_ps(a, b, sum);
}
LAC_VECTOR lac_quad lac_quad_load(const float *p)
{
    return _mm256_broadcast_ps((const __m128 *)p);
}
#define LAC_QUAD_PICK(quad, i) _mm256_permute_ps(quad, (i)*0x55)
typedef __m256i lac_lanes;
LAC_VECTOR lac_lanes lac_lanes_first(int n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
LAC_VECTOR lac_vector lac_vector_load_lanes(const float *p, lac_lanes lanes)
{
    return _mm256_maskload_ps(p, lanes);
}
#else
enum { LAC_LANES = 4 };
typedef float lac_vector __attribute__((vector_size(16)));
typedef const float *lac_quad;
LAC_VECTOR lac_vector lac_vector_zero(void)
{
    return (lac_vector){0};
}
LAC_VECTOR lac_vector lac_vector_load(const void *p)
{
    lac_vector x;
    memcpy(&x, p, sizeof x);
    return x;
}
LAC_VECTOR void lac_vector_store(void *p, lac_vector x)
{
    memcpy(p, &x, sizeof x);
}
LAC_VECTOR lac_vector lac_vector_all(const float *p)
{
    return (lac_vector){*p, *p, *p, *p};
}
LAC_VECTOR lac_vector lac_vector_fma(lac_vector a, lac_vector b, lac_vector sum)
{
    return a * b + sum;
}
LAC_VECTOR lac_quad lac_quad_load(const float *p)
{
    return p;
}
#define LAC_QUAD_PICK(quad, i) lac_vector_all((quad) + (i))
typedef int lac_lanes;
LAC_VECTOR lac_lanes lac_lanes_first(int n)
{
    return n < LAC_LANES ? n : LAC_LANES;
}
LAC_VECTOR lac_vector lac_vector_load_lanes(const float *p, lac_lanes lanes)
{
    lac_vector x = {0};
    memcpy(&x, p, (size_t)lanes * sizeof *p);
    return x;
}
#endif

/* Vectors that 16 columns take. */
enum { LAC_PER_16 = 16 / LAC_LANES };

#endif
