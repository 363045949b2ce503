/* Depthwise convolutions of bytes with VNNI, 64, 32 or 16 channels at a time. */
#if defined(__AVX512VNNI__)
#include <immintrin.h>

#include "cpu/conv_i8.h"

#define DEPTHWISE_INLINE static inline __attribute__((always_inline))

/* What finishing needs, loaded once: stores of vectors might change anything. */
typedef struct finish_of {
    const float *factor, *shift;
    __m512i zero, low, high;
    bool is_signed, moved;
} finish_of;

DEPTHWISE_INLINE finish_of finish_numbers(const lac_conv_i8 *w, int64_t first)
{
    return (finish_of){.factor = w->factor + first,
                       .shift = w->shift + first,
                       .zero = _mm512_set1_epi16((short)w->e.output_zero),
                       .low = _mm512_set1_epi8((char)w->low),
                       .high = _mm512_set1_epi8((char)w->high),
                       .is_signed = w->e.dtype == LAC_I8,
                       .moved = w->e.output_zero != 0};
}

/* Bytes of four vectors; `part` picks the width. */
#define FINISH_BYTES(vector, prefix, part, si)                                                     \
    vector a, b, bytes, q[4];                                                                      \
    _Pragma("GCC unroll 4") for (int j = 0; j < 4; j++) q[j] = prefix##_cvtps_epi32(               \
        prefix##_fmadd_ps(prefix##_cvtepi32_ps(sum[j]), prefix##_loadu_ps(f->factor + j * LANES),  \
                          prefix##_loadu_ps(f->shift + j * LANES)));                               \
    a = prefix##_packs_epi32(q[0], q[1]);                                                          \
    b = prefix##_packs_epi32(q[2], q[3]);                                                          \
    if (f->moved) {                                                                                \
        a = prefix##_adds_epi16(a, part(f->zero));                                                 \
        b = prefix##_adds_epi16(b, part(f->zero));                                                 \
    }                                                                                              \
    if (f->is_signed) {                                                                            \
        bytes = prefix##_packs_epi16(a, b);                                                        \
        bytes = prefix##_min_epi8(prefix##_max_epi8(bytes, part(f->low)), part(f->high));          \
    } else {                                                                                       \
        bytes = prefix##_packus_epi16(a, b);                                                       \
        bytes = prefix##_min_epu8(prefix##_max_epu8(bytes, part(f->low)), part(f->high));          \
    }                                                                                              \
    if (count == WIDTH)                                                                            \
        prefix##_storeu_##si((vector *)(void *)y, bytes);                                          \
    else                                                                                           \
        prefix##_mask_storeu_epi8(y, MASK(count), bytes)

#define FINISH_NUMBERS finish_of
#define WHOLE(v)       (v)

#define WIDTH                    64
#define LANES                    16
#define VECTOR                   __m512i
#define BYTES                    __m512i
#define START(p)                 _mm512_loadu_si512(p)
#define LOAD(p)                  _mm512_loadu_si512(p)
#define LOW8(a, b)               _mm512_unpacklo_epi8(a, b)
#define HIGH8(a, b)              _mm512_unpackhi_epi8(a, b)
#define LOW16(a, b)              _mm512_unpacklo_epi16(a, b)
#define HIGH16(a, b)             _mm512_unpackhi_epi16(a, b)
#define STEP(sum, words, p)      _mm512_dpbusd_epi32(sum, words, _mm512_loadu_si512(p))
#define STEP_BYTES               64
#define STORE(p, sum)            _mm512_storeu_si512(p, sum)
#define FINISH(f, sum, y, count) finish64(f, sum, y, count)
#define MASK(count)              (~UINT64_C(0) >> (64 - (count)))
#define NAME(x)                  depthwise64_##x
DEPTHWISE_INLINE void finish64(const finish_of *f, const __m512i *sum, char *y, int count)
{
    FINISH_BYTES(__m512i, _mm512, WHOLE, si512);
}
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
#undef MASK
#undef NAME

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
#define STEP(sum, words, p)      _mm256_dpbusd_epi32(sum, words, LOAD(p))
#define STEP_BYTES               32
#define STORE(p, sum)            _mm256_storeu_si256((__m256i *)(void *)(p), sum)
#define FINISH(f, sum, y, count) finish32(f, sum, y, count)
#define MASK(count)              (~UINT32_C(0) >> (32 - (count)))
#define NAME(x)                  depthwise32_##x
DEPTHWISE_INLINE void finish32(const finish_of *f, const __m256i *sum, char *y, int count)
{
    FINISH_BYTES(__m256i, _mm256, _mm512_castsi512_si256, si256);
}
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
#undef MASK
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
#define STEP(sum, words, p)      _mm_dpbusd_epi32(sum, words, LOAD(p))
#define STEP_BYTES               16
#define STORE(p, sum)            _mm_storeu_si128((__m128i *)(void *)(p), sum)
#define FINISH(f, sum, y, count) finish16(f, sum, y, count)
#define MASK(count)              ((__mmask16)(0xffffu >> (16 - (count))))
#define NAME(x)                  depthwise16_##x
DEPTHWISE_INLINE void finish16(const finish_of *f, const __m128i *sum, char *y, int count)
{
    FINISH_BYTES(__m128i, _mm, _mm512_castsi512_si128, si128);
}
#include "cpu/depthwise_i8.inc"

static void depthwise_row(const lac_conv_i8 *w, const lac_conv_i8_row *r)
{
    if (r->count > 32)
        depthwise64_row(w, r);
    else if (r->count > 16)
        depthwise32_row(w, r);
    else
        depthwise16_row(w, r);
}

static const lac_conv_i8_family depthwise = {.depthwise = true,
                                             .element = 1,
                                             .weight = 1,
                                             .lanes = 16,
                                             .block = 64,
                                             .cache = 24 << 10,
                                             .row = depthwise_row,
                                             .mac = 1 / 100e9,
                                             .output = 0.06e-9};
#define ISA (LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI)
LAC_CONV_I8_FAMILY(depthwise)
LAC_CONV_I8_ROW(conv, dense_u8_depthwise_avx512vnni, LAC_U8, ISA, depthwise,
                "depthwise convolution of bytes, VNNI")
LAC_CONV_I8_ROW(conv, dense_s8_depthwise_avx512vnni, LAC_I8, ISA, depthwise,
                "depthwise convolution of bytes, VNNI")
#endif
