/* N:M products with AVX-512, without VBMI: bytes by gemm_nm_bytes.inc. Floats, for few tokens (many
 * go side by side, panel_nm.c): 16 elements of a step, 4 of each of 4 outputs, pick their
 * activations out of a window by vpermps or vpermt2ps; the 4 sums of an output are added at the
 * end. Error of a float output: at most 2^-23 times its kept weights times sum |w| |x|. */
#if defined(__AVX512VNNI__)
#define NAME(x) nm_bytes_##x
#define VBMI    0
#include "cpu/avx512/gemm_nm_bytes.inc"

#define nm_bytes_STEP 0.48e-9 /* measured by bench_kernels */
#define ISA           (LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI)
LAC_NM_ROWS(nm_s8_avx512vnni, LAC_I8, ISA, nm_bytes, "N:M int8, byte shuffles and VNNI")
LAC_NM_ROWS(nm_u8_avx512vnni, LAC_U8, ISA, nm_bytes, "N:M uint8, byte shuffles and VNNI")

/* 16 elements from element 16 * q of a step on. */
INLINE __m512 nm_floats_value(const uint8_t *values, int q, const int bits, bool high)
{
    if (bits == 32)
        return _mm512_loadu_ps((const float *)(const void *)values + 16 * q);
    __m512i value =
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(values + 16 * q)));
    if (bits == 4) {
        value = _mm512_sll_epi32(value, _mm_cvtsi32_si128(high ? 24 : 28));
        value = _mm512_srai_epi32(value, 28);
    }
    return _mm512_cvtepi32_ps(value);
}

INLINE __m512 nm_floats_pick(const float *x, __m512i position, const int span)
{
    if (span == 16)
        return _mm512_permutexvar_ps(position, _mm512_loadu_ps(x));
    return _mm512_permutex2var_ps(_mm512_loadu_ps(x), position, _mm512_loadu_ps(x + 16));
}

INLINE __m512 nm_floats_pick64(const float *x, __m512i position)
{
    __m512 low = nm_floats_pick(x, position, 32), high = nm_floats_pick(x + 32, position, 32);
    return _mm512_mask_mov_ps(low, _mm512_test_epi32_mask(position, _mm512_set1_epi32(32)), high);
}

/* Sums of 4 elements of each of 4 x 4 outputs. */
INLINE __m512 nm_floats_total(const __m512 *sum)
{
    const __m512i turn = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    __m512 a =
        _mm512_add_ps(_mm512_unpacklo_ps(sum[0], sum[1]), _mm512_unpackhi_ps(sum[0], sum[1]));
    __m512 b =
        _mm512_add_ps(_mm512_unpacklo_ps(sum[2], sum[3]), _mm512_unpackhi_ps(sum[2], sum[3]));
    __m512d low = _mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b));
    __m512d high = _mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b));
    return _mm512_permutexvar_ps(turn,
                                 _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high)));
}

INLINE void nm_floats_tile(const lac_nm_state *w, const uint8_t *x0, int64_t stride, int64_t row,
                           int64_t panel, int64_t end, const int rows, const int span,
                           const int bits)
{
    const lac_nm_cut *cut = &w->cut;
    const __m512i mask = _mm512_set1_epi32((1 << cut->place_bits) - 1);
    for (; panel < end; panel++) {
        const uint8_t *index = w->index + panel * cut->panel_index;
        const uint8_t *values = w->values + panel * cut->panel_values, *x = x0;
        __m512 sum[4][4], out[4];
        int shift = 0;
        bool high = false;
        for (int i = 0; i < rows * 4; i++)
            sum[i / 4][i % 4] = _mm512_setzero_ps();
        for (int64_t window = 0; window < cut->windows; window++, x += w->load_bytes)
            for (int t = 0; t < cut->steps; t++) {
                __m512i base = _mm512_cvtepu8_epi32(_mm_load_si128((const __m128i *)w->base[t]));
                for (int i = 0; i < bits / 8; i++)
                    _mm_prefetch((const char *)values + 4096 + 64 * i, _MM_HINT_T0);
                _mm_prefetch((const char *)index + 512, _MM_HINT_T0);
#pragma GCC unroll 4
                for (int q = 0; q < 4; q++) {
                    __m512i position = _mm512_cvtepu8_epi32(
                        _mm_loadu_si128((const __m128i *)(const void *)(index + 16 * q)));
                    position = _mm512_srl_epi32(position, _mm_cvtsi32_si128(shift));
                    position = _mm512_add_epi32(_mm512_and_si512(position, mask), base);
                    __m512 value = nm_floats_value(values, q, bits, high);
#pragma GCC unroll 4
                    for (int r = 0; r < rows; r++) {
                        const float *at = (const float *)(const void *)(x + r * stride);
                        sum[r][q] = _mm512_fmadd_ps(span == 64 ? nm_floats_pick64(at, position)
                                                               : nm_floats_pick(at, position, span),
                                                    value, sum[r][q]);
                    }
                }
                shift += cut->place_bits;
                index += shift & 8 ? 64 : 0;
                shift &= 7;
                values += bits == 4 ? (high ? 64 : 0) : bits * 8;
                high = !high;
            }
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++)
            out[r] = nm_floats_total(sum[r]);
        lac_nm_finish_any(&w->epilogue, row, rows, panel * LAC_NM_COLUMNS, out, false);
    }
}

typedef void nm_floats_function(const lac_nm_state *w, const uint8_t *x, int64_t stride,
                                int64_t row, int64_t panel, int64_t end);
#define NM_FLOATS(rows, span, bits)                                                                \
    static void nm_floats_##rows##_##span##_##bits(const lac_nm_state *w, const uint8_t *x,        \
                                                   int64_t stride, int64_t row, int64_t panel,     \
                                                   int64_t end)                                    \
    {                                                                                              \
        nm_floats_tile(w, x, stride, row, panel, end, rows, span, bits);                           \
    }
#define NM_FLOATS_SPANS(rows, bits)                                                                \
    NM_FLOATS(rows, 16, bits) NM_FLOATS(rows, 32, bits) NM_FLOATS(rows, 64, bits)
#define NM_FLOATS_NAMES(rows, bits)                                                                \
    {                                                                                              \
        nm_floats_##rows##_16_##bits, nm_floats_##rows##_32_##bits, nm_floats_##rows##_64_##bits   \
    }
NM_FLOATS_SPANS(4, 32)
NM_FLOATS_SPANS(4, 8)
NM_FLOATS_SPANS(4, 4)
NM_FLOATS_SPANS(1, 32)
NM_FLOATS_SPANS(1, 8)
NM_FLOATS_SPANS(1, 4)

static void nm_floats_block(const lac_nm_state *w, const lac_nm_rows *rows, int64_t panel,
                            int64_t end)
{
    static nm_floats_function *const tiles[2][3][3] = {
        {NM_FLOATS_NAMES(4, 32), NM_FLOATS_NAMES(4, 8), NM_FLOATS_NAMES(4, 4)},
        {NM_FLOATS_NAMES(1, 32), NM_FLOATS_NAMES(1, 8), NM_FLOATS_NAMES(1, 4)}};
    int bits = w->cut.value_bits == 32 ? 0 : w->cut.value_bits == 8 ? 1 : 2, row = 0;
    int span = w->cut.window <= 16 ? 0 : w->cut.window <= 32 ? 1 : 2;
    for (; row + 4 <= rows->rows; row += 4)
        tiles[0][bits][span](w, rows->x + row * rows->stride, rows->stride, rows->row + row, panel,
                             end);
    for (; row < rows->rows; row++)
        tiles[1][bits][span](w, rows->x + row * rows->stride, rows->stride, rows->row + row, panel,
                             end);
}

static const lac_nm_plan nm_floats_plan = {.block = nm_floats_block, .rows = 16};
#define nm_floats_STEP 2.5e-9 /* measured by bench_kernels */
LAC_NM_ROWS(nm_f32_avx512, LAC_F32, ISA, nm_floats, "N:M float32, register shuffles")
#endif
