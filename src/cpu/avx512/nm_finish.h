/* The work behind the sums of 16 outputs of some tokens, by vectors: the operations of
 * lac_epilogue_floats in the same order, so the same bits. */
#ifndef LACUNA_CPU_AVX512_NM_FINISH_H
#define LACUNA_CPU_AVX512_NM_FINISH_H

#include <immintrin.h>

#include "cpu/epilogue.h"

/* x / scale, to nearest even, + zero, saturated; NaN becomes low. Where the inverse is a normal
 * number the quotient comes from it, corrected once by its remainder, which is the same quotient
 * without a division (panel_moves.inc says why). */
typedef struct lac_nm_grid {
    __m512 scale, inverse, low, high, zero; /* low and high as numbers x where `fast` */
    bool fast;
} lac_nm_grid;

static inline lac_nm_grid lac_nm_grid_of(const lac_epilogue *e)
{
    float scale = e->output_scale, low = e->dtype == LAC_U8 ? 0 : -128;
    bool fast = scale > 0x1p-60f && scale < 0x1p60f;
    float least = fast ? (low - (float)e->output_zero) * scale : low;
    float most = fast ? (low + 255 - (float)e->output_zero) * scale : low + 255;
    return (lac_nm_grid){.scale = _mm512_set1_ps(scale),
                         .inverse = _mm512_set1_ps(1 / scale),
                         .low = _mm512_set1_ps(least),
                         .high = _mm512_set1_ps(most),
                         .zero = _mm512_set1_ps((float)e->output_zero),
                         .fast = fast};
}

static inline __m128i lac_nm_quantise(const lac_nm_grid *g, __m512 x)
{
    if (g->fast) {
        x = _mm512_min_ps(_mm512_max_ps(x, g->low), g->high);
        __m512 near = _mm512_mul_ps(x, g->inverse);
        x = _mm512_fmadd_ps(_mm512_fnmadd_ps(near, g->scale, x), g->inverse, near);
        x = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        return _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(_mm512_add_ps(x, g->zero)));
    }
    x = _mm512_roundscale_ps(_mm512_div_ps(x, g->scale),
                             _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    x = _mm512_min_ps(_mm512_max_ps(_mm512_add_ps(x, g->zero), g->low), g->high);
    return _mm512_cvtepi32_epi8(_mm512_cvttps_epi32(x));
}

/* Outputs [col, col + 16) of `rows` rows (at most 16) from `row` on, as far as there are so many:
 * of sums of integers without the offset, or of floats. */
static __attribute__((noinline)) void lac_nm_finish_any(const lac_epilogue *e, int64_t row,
                                                        int rows, int64_t col, const __m512 *sums,
                                                        bool integer)
{
    int count = e->n - col < 16 ? (int)(e->n - col) : 16;
    __mmask16 k = (__mmask16)((1u << count) - 1);
    const bool linear = e->activation == LAC_ACT_NONE, bytes = e->dtype != LAC_F32;
    const __m512 scale = e->scale ? _mm512_maskz_loadu_ps(k, e->scale + col) : _mm512_set1_ps(1);
    /* Adding -0 changes nothing, whatever is added to. */
    const __m512 bias = e->bias ? _mm512_maskz_loadu_ps(k, e->bias + col) : _mm512_set1_ps(-0.0f);
    const lac_nm_grid grid = lac_nm_grid_of(e);
    float at_hand[16][16] __attribute__((aligned(64)));
    for (int r = 0; r < rows; r++) {
        int64_t at = (row + r) * e->n + col;
        __m512 x = sums[r];
        if (integer) {
            __m512i sum = _mm512_castps_si512(x);
            if (e->dtype == LAC_I32) {
                _mm512_mask_storeu_epi32((int32_t *)e->output + at, k, sum);
                continue;
            }
            x = _mm512_cvtepi32_ps(sum);
        }
        if (e->step_scale) { /* lac_steps */
            x = _mm512_fmadd_ps(x, _mm512_maskz_loadu_ps(k, e->step_scale + col),
                                _mm512_maskz_loadu_ps(k, e->step_bias + col));
            x = _mm512_max_ps(x, _mm512_set1_ps(e->step_low)); /* of NaN, the second */
            x = _mm512_min_ps(x, _mm512_set1_ps(e->step_high));
            __m512i byte =
                _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(e->output_zero));
            _mm_mask_storeu_epi8((uint8_t *)e->output + at, k, _mm512_cvtepi32_epi8(byte));
            continue;
        }
        x = _mm512_add_ps(_mm512_mul_ps(x, scale), bias);
        if (e->residual)
            x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(k, e->residual + at));
        if (linear && !bytes)
            _mm512_mask_storeu_ps((float *)e->output + at, k, x);
        else
            _mm512_store_ps(at_hand[r], x);
    }
    if (e->dtype == LAC_I32 || e->step_scale || (linear && !bytes))
        return;
    if (!linear)
        lac_activate(e->activation, e->low, e->high, 16 * rows, at_hand[0]);
    for (int r = 0; r < rows; r++) {
        int64_t at = (row + r) * e->n + col;
        __m512 x = _mm512_load_ps(at_hand[r]);
        if (bytes)
            _mm_mask_storeu_epi8((uint8_t *)e->output + at, k, lac_nm_quantise(&grid, x));
        else
            _mm512_mask_storeu_ps((float *)e->output + at, k, x);
    }
}

/* What integer sums start from: minus the offset. */
static inline __m512i lac_nm_start(const lac_epilogue *e, int64_t col)
{
    __mmask16 k = (__mmask16)(e->n - col < 16 ? (1u << (e->n - col)) - 1 : 0xffff);
    __m512i zero = _mm512_setzero_si512();
    return e->offset ? _mm512_sub_epi32(zero, _mm512_maskz_loadu_epi32(k, e->offset + col)) : zero;
}

/* The same of integer sums; whole panels of plain floats without a call. */
static inline __attribute__((always_inline)) void
lac_nm_finish(const lac_epilogue *e, int64_t row, int rows, int64_t col, const __m512i *sum)
{
    int64_t n = e->n;
    if (e->dtype == LAC_F32 && e->activation == LAC_ACT_NONE && !e->residual && n - col >= 16) {
        __m512 scale = e->scale ? _mm512_loadu_ps(e->scale + col) : _mm512_set1_ps(1);
        __m512 bias = e->bias ? _mm512_loadu_ps(e->bias + col) : _mm512_set1_ps(-0.0f);
        float *to = (float *)e->output + row * n + col;
#pragma GCC unroll 16
        for (int r = 0; r < rows; r++, to += n)
            _mm512_storeu_ps(to,
                             _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(sum[r]), scale), bias));
        return;
    }
    __m512 out[16];
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++)
        out[r] = _mm512_castsi512_ps(sum[r]);
    lac_nm_finish_any(e, row, rows, col, out, true);
}

#endif
