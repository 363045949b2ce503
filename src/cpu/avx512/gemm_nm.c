/* N:M products with AVX-512, without VBMI: bytes by gemm_nm_bytes.inc; floats: of a sub-window of
 * up to 32 each of 16 outputs picks one by vpermps or vpermt2ps. Error of a float output: at most
 * 2^-23 times its kept weights times sum |w| |x|. */
#if defined(__AVX512VNNI__)
#define NAME(x) nm_bytes_##x
#define VBMI    0
#include "cpu/avx512/gemm_nm_bytes.inc"

#define nm_bytes_STEP 0.7e-9 /* measured by bench/packed.c */
#define ISA           (LAC_ISA_AVX2 | LAC_ISA_AVX512 | LAC_ISA_VNNI)
LAC_NM_ROWS(nm_s8_avx512vnni, LAC_I8, ISA, nm_bytes, "N:M int8, byte shuffles and VNNI")
LAC_NM_ROWS(nm_u8_avx512vnni, LAC_U8, ISA, nm_bytes, "N:M uint8, byte shuffles and VNNI")

typedef struct nm_floats_step {
    __m512i position;
    __m512 value;
} nm_floats_step;

INLINE nm_floats_step nm_floats_load(const lac_nm_state *w, const lac_nm_turn *turn,
                                     const uint8_t *index, const uint8_t *values)
{
    __m512i raw = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(index + turn->index)));
    __m512i mask = _mm512_set1_epi32((1 << w->cut.place_bits) - 1);
    raw = _mm512_and_si512(_mm512_srlv_epi32(raw, _mm512_load_si512(w->shift[turn->shift])), mask);
    return (nm_floats_step){_mm512_add_epi32(raw, _mm512_load_si512(w->base[turn->base])),
                            _mm512_loadu_ps(values)};
}

/* Slot s of a step of int8 or int4. */
INLINE nm_floats_step nm_floats_load_int(const lac_nm_state *w, const lac_nm_turn *turn,
                                         const uint8_t *index, const uint8_t *values, int s)
{
    const int bits = w->cut.value_bits;
    __m512i place = _mm512_loadu_si512(index + turn->index), value = _mm512_loadu_si512(values);
    __m512i mask = _mm512_set1_epi32((1 << w->cut.place_bits) - 1);
    place = _mm512_srl_epi32(place, _mm_cvtsi32_si128(8 * s + turn->shift * w->cut.place_bits));
    place = _mm512_add_epi32(_mm512_and_si512(place, mask),
                             _mm512_set1_epi32(w->slot_group[turn->slot + s]));
    int low = 8 * s + (bits == 4 && turn->nibble ? 4 : 0); /* first bit of the value */
    value = _mm512_sll_epi32(value, _mm_cvtsi32_si128(32 - bits - low));
    value = _mm512_sra_epi32(value, _mm_cvtsi32_si128(32 - bits));
    return (nm_floats_step){place, _mm512_cvtepi32_ps(value)};
}

INLINE __m512 nm_floats_pick(const uint8_t *x, __m512i position, int span)
{
    return span == 16
               ? _mm512_permutexvar_ps(position, _mm512_loadu_ps(x))
               : _mm512_permutex2var_ps(_mm512_loadu_ps(x), position, _mm512_loadu_ps(x + 64));
}

static __attribute__((noinline)) void nm_floats_finish(const lac_nm_state *w, int64_t panel,
                                                       int64_t row, int rows, __m512 (*sum)[1])
{
    lac_nm_finish(&w->epilogue, row, rows, panel * LAC_NM_COLUMNS, sum, NULL);
}

/* `depth` of the format: 4 for weights of 8 or 4 bits. Few tokens sum in several ways. */
INLINE void nm_floats_tile(const lac_nm_state *w, int64_t panel, int64_t row, const int rows,
                           const int span, const int depth)
{
    const int ways = rows >= 4 ? 1 : 4 / rows;
    const uint8_t *index = w->index + panel * w->cut.panel_index;
    const uint8_t *values = w->values + panel * w->cut.panel_values;
    const int64_t *row_at = w->row_at + row;
    const lac_nm_turn *turn = w->turn, *end = turn + w->cut.panel_steps;
    __m512 sum[16], out[16][1];
#pragma GCC unroll 16
    for (int i = 0; i < rows * ways; i++)
        sum[i] = _mm512_setzero_ps();
    while (turn < end) {
#pragma GCC unroll 4
        for (int way = 0; way < ways; way++) {
            if (depth == 1 && way > 0 && turn == end)
                break;
            _mm_prefetch((const char *)index + turn->index + (rows < 4 ? 1024 : 256), _MM_HINT_T0);
            _mm_prefetch((const char *)values + (rows < 4 ? 8192 : 1024), _MM_HINT_T0);
            if (depth == 1) {
                nm_floats_step step = nm_floats_load(w, turn, index, values);
                const uint8_t *x = w->x + turn->at;
                row_at = lac_nm_again(row_at);
#pragma GCC unroll 16
                for (int r = 0; r < rows; r++)
                    sum[r * ways + way] =
                        _mm512_fmadd_ps(nm_floats_pick(x + row_at[r], step.position, span),
                                        step.value, sum[r * ways + way]);
                values += 64;
                turn++;
                continue;
            }
            for (int s = 0; s < 4 && turn < end; s++) {
                nm_floats_step step = nm_floats_load_int(w, turn, index, values, s);
                const uint8_t *x = w->x + turn->at + 4 * w->slot_sub[turn->slot + s];
                row_at = lac_nm_again(row_at);
#pragma GCC unroll 16
                for (int r = 0; r < rows; r++)
                    sum[r * ways + way] =
                        _mm512_fmadd_ps(nm_floats_pick(x + row_at[r], step.position, span),
                                        step.value, sum[r * ways + way]);
            }
            if (turn < end) {
                if (w->cut.value_bits == 8 || turn->nibble)
                    values += 64;
                turn++;
            }
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int way = 1; way < ways; way++)
            sum[r * ways] = _mm512_add_ps(sum[r * ways], sum[r * ways + way]);
        out[r][0] = sum[r * ways];
    }
    nm_floats_finish(w, panel, row, rows, out);
}

#define NM_ROWS(name, span, depth)                                                                 \
    static void name(const lac_nm_state *w, int64_t panel, int64_t row, int64_t end)               \
    {                                                                                              \
        for (; row + 16 <= end; row += 16)                                                         \
            nm_floats_tile(w, panel, row, 16, span, depth);                                        \
        for (; row + 4 <= end; row += 4)                                                           \
            nm_floats_tile(w, panel, row, 4, span, depth);                                         \
        for (; row < end; row++)                                                                   \
            nm_floats_tile(w, panel, row, 1, span, depth);                                         \
    }
NM_ROWS(nm_floats_16, 16, 1)
NM_ROWS(nm_floats_32, 32, 1)
NM_ROWS(nm_floats_int_16, 16, 4)
NM_ROWS(nm_floats_int_32, 32, 4)

static void nm_floats_panel(const lac_nm_state *w, int64_t panel, int64_t row, int64_t end)
{
    lac_nm_panel *rows = w->cut.depth == 1  ? w->cut.sub <= 16 ? nm_floats_16 : nm_floats_32
                         : w->cut.sub <= 16 ? nm_floats_int_16
                                            : nm_floats_int_32;
    rows(w, panel, row, end);
}

static const lac_nm_plan nm_floats_plan = {.panel = nm_floats_panel, .rows = 16, .align = 64};
#define nm_floats_STEP 0.55e-9 /* measured by bench/packed.c */
LAC_NM_ROWS(nm_f32_avx512, LAC_F32, ISA, nm_floats, "N:M float32, register shuffles")
#endif
