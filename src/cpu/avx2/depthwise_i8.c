/* Depthwise convolutions of bytes with AVX2, 32 or 16 channels at a time: bytes 0 and 2 of a word,
 * then 1 and 3, as 16-bit numbers times weights that were widened; vpmaddwd is exact. */
#if defined(__AVX2__)
#include <immintrin.h>
#include <string.h>

#include "cpu/conv_i8.h"

#define DEPTHWISE_INLINE static inline __attribute__((always_inline))

/* What finishing needs, loaded once: stores of vectors might change anything. */
typedef struct finish_of {
    const float *factor, *shift;
    __m256i zero, low, high;
    bool is_signed;
} finish_of;

DEPTHWISE_INLINE finish_of finish_numbers(const lac_conv_i8 *w, int64_t first)
{
    return (finish_of){.factor = w->factor + first,
                       .shift = w->shift + first,
                       .zero = _mm256_set1_epi16((short)w->e.output_zero),
                       .low = _mm256_set1_epi8((char)w->low),
                       .high = _mm256_set1_epi8((char)w->high),
                       .is_signed = w->e.dtype == LAC_I8};
}

/* Bytes of four vectors; `part` picks the width. */
#define FINISH_BYTES(vector, prefix, part, si)                                                     \
    vector a, b, bytes, q[4];                                                                      \
    char some[WIDTH];                                                                              \
    _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) q[j] = prefix##_cvtps_epi32(               \
        prefix##_fmadd_ps(prefix##_cvtepi32_ps(sum[j]), prefix##_loadu_ps(f->factor + j * LANES),  \
                          prefix##_loadu_ps(f->shift + j * LANES)));                               \
    a = prefix##_adds_epi16(prefix##_packs_epi32(q[0], q[1]), part(f->zero));                      \
    b = prefix##_adds_epi16(prefix##_packs_epi32(q[2], q[3]), part(f->zero));                      \
    if (f->is_signed) {                                                                            \
        bytes = prefix##_packs_epi16(a, b);                                                        \
        bytes = prefix##_min_epi8(prefix##_max_epi8(bytes, part(f->low)), part(f->high));          \
    } else {                                                                                       \
        bytes = prefix##_packus_epi16(a, b);                                                       \
        bytes = prefix##_min_epu8(prefix##_max_epu8(bytes, part(f->low)), part(f->high));          \
    }                                                                                              \
    if (count == WIDTH) {                                                                          \
        prefix##_storeu_##si((vector *)(void *)y, bytes);                                          \
    } else {                                                                                       \
        prefix##_storeu_##si((vector *)(void *)some, bytes);                                       \
        memcpy(y, some, (size_t)count);                                                            \
    }

/* Sum + words times the weights at p: those of even columns, then those of odd ones. */
#define STEP_WORDS(prefix, si, vector)                                                             \
    const vector *w = (const vector *)(const void *)p;                                             \
    vector even = prefix##_madd_epi16(prefix##_and_##si(words, prefix##_set1_epi16(255)),          \
                                      prefix##_loadu_##si(w));                                     \
    vector odd = prefix##_madd_epi16(prefix##_srli_epi16(words, 8), prefix##_loadu_##si(w + 1));   \
    return prefix##_add_epi32(sum, prefix##_add_epi32(even, odd))

#define FINISH_NUMBERS finish_of
#define WHOLE(v)       (v)

#define WIDTH                    32
#define LANES                    8
#define VECTOR                   __m256i
#define BYTES                    __m256i
#define START(p)                 _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define LOAD(p)                  _mm256_loadu_si256((const __m256i *)(const void *)(p))
#define LOW8(a, b)               _mm256_unpacklo_epi8(a, b)
#define HIGH8(a, b)              _mm256_unpackhi_epi8(a, b)
#define LOW16(a, b)              _mm256_unpacklo_epi16(a, b)
#define HIGH16(a, b)             _mm256_unpackhi_epi16(a, b)
#define STEP(sum, words, p)      step32(sum, words, p)
#define STEP_BYTES               64
#define STORE(p, sum)            _mm256_storeu_si256((__m256i *)(void *)(p), sum)
#define FINISH(f, sum, y, count) finish32(f, sum, y, count)
#define NAME(x)                  depthwise32_##x
DEPTHWISE_INLINE __m256i step32(__m256i sum, __m256i words, const char *p)
{
    STEP_WORDS(_mm256, si256, __m256i);
}
DEPTHWISE_INLINE void finish32(const finish_of *f, const __m256i *sum, char *y,
                               int count){FINISH_BYTES(__m256i, _mm256, WHOLE, si256)}
#include "cpu/depthwise_i8.inc"
#undef WIDTH
#undef LANES
#undef VECTOR
#undef BYTES
#undef START
#undef LOAD
#undef LOW8
#undef HIGH8
#undef LOW16
#undef HIGH16
#undef STEP
#undef STEP_BYTES
#undef STORE
#undef FINISH
#undef NAME

#define WIDTH                    16
#define LANES                    4
#define VECTOR                   __m128i
#define BYTES                    __m128i
#define START(p)                 _mm_loadu_si128((const __m128i *)(const void *)(p))
#define LOAD(p)                  _mm_loadu_si128((const __m128i *)(const void *)(p))
#define LOW8(a, b)               _mm_unpacklo_epi8(a, b)
#define HIGH8(a, b)              _mm_unpackhi_epi8(a, b)
#define LOW16(a, b)              _mm_unpacklo_epi16(a, b)
#define HIGH16(a, b)             _mm_unpackhi_epi16(a, b)
#define STEP(sum, words, p)      step16(sum, words, p)
#define STEP_BYTES               32
#define STORE(p, sum)            _mm_storeu_si128((__m128i *)(void *)(p), sum)
#define FINISH(f, sum, y, count) finish16(f, sum, y, count)
#define NAME(x)                  depthwise16_##x
DEPTHWISE_INLINE __m128i step16(__m128i sum, __m128i words, const char *p)
{
    STEP_WORDS(_mm, si128, __m128i);
}
DEPTHWISE_INLINE void finish16(const finish_of *f, const __m128i *sum, char *y, int count)
{
    FINISH_BYTES(__m128i, _mm, _mm256_castsi256_si128, si128)
}
#include "cpu/depthwise_i8.inc"

static void depthwise_row(const lac_conv_i8 *w, const lac_conv_i8_row *r)
{
    (r->count > 16 ? depthwise32_row : depthwise16_row)(w, r);
}

static const lac_conv_i8_family depthwise = {.depthwise = true,
                                             .element = 1,
                                             .weight = 2,
                                             .lanes = 16,
                                             .block = 32,
                                             .cache = 24 << 10,
                                             .row = depthwise_row,
                                             .mac = 1 / 50e9,
                                             .output = 0.1e-9};
LAC_CONV_I8_FAMILY(depthwise)
LAC_CONV_I8_ROW(conv, dense_u8_depthwise_avx2, LAC_U8, LAC_ISA_AVX2, depthwise,
                "depthwise convolution of bytes")
LAC_CONV_I8_ROW(conv, dense_s8_depthwise_avx2, LAC_I8, LAC_ISA_AVX2, depthwise,
                "depthwise convolution of bytes")
#endif
