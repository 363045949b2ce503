/* The work behind the sums of 16 outputs, by vectors; what it does not know goes through
 * lac_epilogue_floats. The same operations in the same order, so the same bits. */
#ifndef LACUNA_CPU_AVX512_NM_FINISH_H
#define LACUNA_CPU_AVX512_NM_FINISH_H

#include <immintrin.h>

#include "cpu/epilogue.h"

/* x / scale, to nearest even, + zero, saturated; NaN becomes low. */
static inline __m512i lac_nm_quantise(const lac_epilogue *e, __m512 x, float low, float high)
{
    __m512 q = _mm512_div_ps(x, _mm512_set1_ps(e->output_scale));
    q = _mm512_roundscale_ps(q, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    q = _mm512_add_ps(q, _mm512_set1_ps((float)e->output_zero));
    q = _mm512_min_ps(_mm512_max_ps(q, _mm512_set1_ps(low)), _mm512_set1_ps(high));
    return _mm512_cvttps_epi32(q);
}

/* Outputs [col, col + 16) of `rows` rows from `row` on, as far as there are so many: of sums of
 * integers without the offset, or of floats. */
static __attribute__((noinline)) void lac_nm_finish_any(const lac_epilogue *e, int64_t row,
                                                        int rows, int64_t col, const __m512 *sums,
                                                        bool integer)
{
    int count = e->n - col < 16 ? (int)(e->n - col) : 16;
    __mmask16 k = (__mmask16)((1u << count) - 1);
    bool plain = e->activation == LAC_ACT_NONE || e->activation == LAC_ACT_CLIP;
    __m512 scale = e->scale ? _mm512_maskz_loadu_ps(k, e->scale + col) : _mm512_set1_ps(1);
    __m512 bias = e->bias ? _mm512_maskz_loadu_ps(k, e->bias + col) : _mm512_setzero_ps();
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
        if (e->step_scale) {
            x = _mm512_fmadd_ps(x, _mm512_maskz_loadu_ps(k, e->step_scale + col),
                                _mm512_maskz_loadu_ps(k, e->step_bias + col));
            x = _mm512_max_ps(x, _mm512_set1_ps(e->step_low)); /* of NaN, the second */
            x = _mm512_min_ps(x, _mm512_set1_ps(e->step_high));
            __m512i byte =
                _mm512_add_epi32(_mm512_cvtps_epi32(x), _mm512_set1_epi32(e->output_zero));
            _mm_mask_storeu_epi8((uint8_t *)e->output + at, k, _mm512_cvtepi32_epi8(byte));
            continue;
        }
        if (!plain) {
            float out[16] __attribute__((aligned(64)));
            _mm512_store_ps(out, x);
            lac_epilogue_floats(e, row + r, col, count, out);
            continue;
        }
        if (e->scale)
            x = _mm512_mul_ps(x, scale);
        if (e->bias)
            x = _mm512_add_ps(x, bias);
        if (e->residual)
            x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(k, e->residual + at));
        if (e->activation == LAC_ACT_CLIP)
            x = _mm512_min_ps(_mm512_set1_ps(e->high), _mm512_max_ps(_mm512_set1_ps(e->low), x));
        if (e->dtype == LAC_F32)
            _mm512_mask_storeu_ps((float *)e->output + at, k, x);
        else if (e->dtype == LAC_U8)
            _mm_mask_storeu_epi8((uint8_t *)e->output + at, k,
                                 _mm512_cvtepi32_epi8(lac_nm_quantise(e, x, 0, 255)));
        else
            _mm_mask_storeu_epi8((int8_t *)e->output + at, k,
                                 _mm512_cvtepi32_epi8(lac_nm_quantise(e, x, -128, 127)));
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
        /* Adding -0 changes nothing, whatever is added to. */
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
