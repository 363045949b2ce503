/* Products at chosen places with VNNI. A register of a key, 128 added, multiplies the same elements
 * of every query; sums of different lanes are joined at the end, sixteen registers at a time.
 *
 * Long keys: a register holds 64 elements of one key. 16 registers of sums, of all queries with as
 * many keys as fit, take 16 products for 4 + 4 to 8 + 2 loads of a line: the peak of the products,
 * one a cycle. Joining 16 registers takes 30 shuffles, hidden behind the products of 256 elements.
 * Short keys: 16 elements of four keys side by side, three more operations for each of these, and
 * a quarter of the joining. */
#if defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#include <immintrin.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "cpu/sddmm.h"

#define SDDMM_INLINE static inline __attribute__((always_inline))

enum { WIDTH = 64, LONG = 64 };

typedef struct queries {
    __m512i start[8];    /* -128 times sums of every 16th four elements */
    __m512i quarters[8]; /* the same of every 4th */
} queries;

/* In its register: GCC 12 copies sums around the intrinsic in loops. */
SDDMM_INLINE void multiply(__m512i *sum, __m512i u, __m512i s)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(*sum) : "v"(u), "v"(s));
}

static void begin(queries *q, int v, const int8_t *query, int64_t stride, int64_t dim)
{
    const __m512i high = _mm512_set1_epi8(-128);
    for (int i = 0; i < v; i++) {
        __m512i a = _mm512_setzero_si512(), b = a;
        for (int64_t k = 0; k < dim; k += 2 * WIDTH) {
            a = _mm512_dpbusd_epi32(a, high, _mm512_loadu_si512(query + i * stride + k));
            if (k + WIDTH < dim)
                b = _mm512_dpbusd_epi32(b, high,
                                        _mm512_loadu_si512(query + i * stride + k + WIDTH));
        }
        a = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_add_epi32(a, b));
        q->start[i] = a;
        a = _mm512_add_epi32(a, _mm512_shuffle_i64x2(a, a, 0x4e));
        a = _mm512_add_epi32(a, _mm512_shuffle_i64x2(a, a, 0xb1));
        q->quarters[i] = _mm512_broadcast_i32x4(_mm512_castsi512_si128(a));
    }
}

/* ---- joining ----------------------------------------------------------------------------------
 */

/* Lane by lane: sums of four registers, [4 lanes][4]. */
SDDMM_INLINE __m512i join_lanes(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/* Sums over the lanes of each of four. */
SDDMM_INLINE __m512i join_four(__m512i a, __m512i b, __m512i c, __m512i d)
{
    __m512i ab =
        _mm512_add_epi32(_mm512_shuffle_i32x4(a, b, 0x44), _mm512_shuffle_i32x4(a, b, 0xee));
    __m512i cd =
        _mm512_add_epi32(_mm512_shuffle_i32x4(c, d, 0x44), _mm512_shuffle_i32x4(c, d, 0xee));
    return _mm512_add_epi32(_mm512_shuffle_i32x4(ab, cd, 0x88), _mm512_shuffle_i32x4(ab, cd, 0xdd));
}

/* Sums of n registers, n 4 or 16, into to[n]. */
SDDMM_INLINE void join(const __m512i *sum, int n, int32_t *to)
{
    __m512i x[4];
#pragma GCC unroll 4
    for (int i = 0; i < n / 4; i++)
        x[i] = join_lanes(sum[4 * i], sum[4 * i + 1], sum[4 * i + 2], sum[4 * i + 3]);
    if (n == 16) {
        _mm512_storeu_si512(to, join_four(x[0], x[1], x[2], x[3]));
    } else {
#pragma GCC unroll 2
        for (int i = 0; i < n / 4; i++) {
            __m256i y =
                _mm256_add_epi32(_mm512_castsi512_si256(x[i]), _mm512_extracti64x4_epi64(x[i], 1));
            _mm_storeu_si128(
                (__m128i *)(to + 4 * i),
                _mm_add_epi32(_mm256_castsi256_si128(y), _mm256_extracti128_si256(y, 1)));
        }
    }
}

/* ---- long keys --------------------------------------------------------------------------------
 */

SDDMM_INLINE void step(__m512i *sum, int v, int keys, const int8_t *query, int64_t stride,
                       const int8_t *const *key, int64_t k, bool whole, __mmask64 mask)
{
    const __m512i high = _mm512_set1_epi8(-128);
    __m512i x[8];
#pragma GCC unroll 8
    for (int j = 0; j < keys; j++)
        x[j] = _mm512_xor_si512(high, whole ? _mm512_loadu_si512(key[j] + k)
                                            : _mm512_maskz_loadu_epi8(mask, key[j] + k));
#pragma GCC unroll 8
    for (int i = 0; i < v; i++) {
        __m512i y = _mm512_loadu_si512(query + i * stride + k);
#pragma GCC unroll 8
        for (int j = 0; j < keys; j++)
            multiply(&sum[i * keys + j], x[j], y);
    }
}

/* `keys` keys, to[v][8]. */
SDDMM_INLINE void some(const queries *q, int v, int keys, const int8_t *query, int64_t stride,
                       int64_t dim, const int8_t *const *key, int32_t *to)
{
    __m512i sum[16];
    _Alignas(64) int32_t all[16];
    int64_t k = 0;
#pragma GCC unroll 8
    for (int i = 0; i < v; i++)
#pragma GCC unroll 8
        for (int j = 0; j < keys; j++)
            sum[i * keys + j] = q->start[i];
    const int8_t *const *soon = key + keys, *line = *soon, *end = line + dim;
    for (; k + WIDTH <= dim; k += WIDTH) {
#pragma GCC unroll 8
        for (int j = 0; j < keys; j++)
            _mm_prefetch(line + j * WIDTH, _MM_HINT_T0);
        line += keys * WIDTH;
        if (line >= end) {
            line = *++soon;
            end = line + dim;
        }
        step(sum, v, keys, query, stride, key, k, true, 0);
    }
    if (k < dim)
        step(sum, v, keys, query, stride, key, k, false, ((__mmask64)1 << (dim - k)) - 1);
    if (keys == 8) {
        join(sum, 16, to);
        return;
    }
    join(sum, v * keys, all);
#pragma GCC unroll 8
    for (int i = 0; i < v; i++)
        memcpy(to + 8 * i, all + i * keys, (size_t)keys * sizeof *to);
}

SDDMM_INLINE void long_keys(const queries *q, int v, const int8_t *query, int64_t stride,
                            int64_t dim, const int8_t *const *key, int count, int32_t *out)
{
    int at = 0;
    if (v < 8)
        for (; at + 16 / v <= count; at += 16 / v)
            some(q, v, 16 / v, query, stride, dim, key + at, out + at / 8 * 8 * v + at % 8);
    for (; at < count; at += 2)
        some(q, v, 2, query, stride, dim, key + at, out + at / 8 * 8 * v + at % 8);
}

/* ---- short keys -------------------------------------------------------------------------------
 */

SDDMM_INLINE __m512i four_keys(const int8_t *const *key, int64_t k, bool whole, __mmask16 mask)
{
    __m128i a[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++)
        a[j] = whole ? _mm_loadu_si128((const __m128i *)(key[j] + k))
                     : _mm_maskz_loadu_epi8(mask, key[j] + k);
    __m512i x = _mm512_castsi128_si512(a[0]);
    x = _mm512_mask_broadcast_i32x4(x, 0x00f0, a[1]);
    x = _mm512_mask_broadcast_i32x4(x, 0x0f00, a[2]);
    return _mm512_mask_broadcast_i32x4(x, 0xf000, a[3]);
}

SDDMM_INLINE void short_step(__m512i *sum, int v, const int8_t *query, int64_t stride,
                             const int8_t *const *key, int64_t k, bool whole, __mmask16 mask)
{
    const __m512i high = _mm512_set1_epi8(-128);
    __m512i x = _mm512_xor_si512(high, four_keys(key, k, whole, mask));
    __m512i y = _mm512_xor_si512(high, four_keys(key + 4, k, whole, mask));
#pragma GCC unroll 8
    for (int i = 0; i < v; i++) {
        __m512i z =
            _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(query + i * stride + k)));
        multiply(&sum[2 * i], x, z);
        multiply(&sum[2 * i + 1], y, z);
    }
}

/* Eight keys. */
SDDMM_INLINE void short_keys(const queries *q, int v, const int8_t *query, int64_t stride,
                             int64_t dim, const int8_t *const *key, int count, int32_t *out)
{
    /* Lane of a key, word of a query or half: two queries, eight keys each. */
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (int at = 0; at < count; at += 8, out += 8 * v, key += 8) {
        __m512i sum[16];
        int64_t k = 0;
#pragma GCC unroll 8
        for (int i = 0; i < v; i++)
            sum[2 * i] = sum[2 * i + 1] = q->quarters[i];
        for (; k + 16 <= dim; k += 16)
            short_step(sum, v, query, stride, key, k, true, 0);
        if (k < dim)
            short_step(sum, v, query, stride, key, k, false, (__mmask16)((1u << (dim - k)) - 1));
#pragma GCC unroll 4
        for (int i = 0; i < v; i += 2) {
            __m512i x = join_lanes(sum[2 * i], sum[2 * i + 1], sum[2 * i + 2], sum[2 * i + 3]);
            _mm512_storeu_si512(out + 8 * i, _mm512_permutexvar_epi32(order, x));
        }
    }
}

SDDMM_INLINE void products(const queries *q, int v, const int8_t *query, int64_t stride,
                           int64_t dim, const int8_t *const *key, int count, int32_t *out)
{
    if (dim > LONG)
        long_keys(q, v, query, stride, dim, key, count, out);
    else
        short_keys(q, v, query, stride, dim, key, count, out);
}

/* Measured on one core of an AMD EPYC (family 25, model 17): 64 elements, strips of 8. */
#define NAME          "sddmm_sr_bcrs_s8_avx512vnni"
#define ISA           (LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI)
#define ROW           lac_kernel_sddmm_sr_bcrs_s8_avx512vnni
#define SECONDS       (1 / 130e9)
#define SECONDS_STRIP 1.5e-7
#include "cpu/sddmm_body.inc"
#endif
