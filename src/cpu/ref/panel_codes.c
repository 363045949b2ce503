/* Weights of few bits, portable: one code at a time. */
#include "format/codebook.h"

#include <string.h>

typedef struct element {
    int8_t w[4];
} element;

static void fill_f32(const lac_codebook *c, const float *book, int64_t panel, int64_t block,
                     float (*to)[16])
{
    const uint8_t *codes = lac_codebook_block(c, panel, block);
    for (int k = 0; k < LAC_CODEBOOK_BLOCK; k++)
        for (int o = 0; o < LAC_CODEBOOK_OUTPUTS; o++)
            to[k][o] = book[lac_codebook_code(codes, c->bits, o, k)];
}

static void fill_i8(const lac_codebook *c, const int8_t *book, int64_t panel, int64_t block,
                    int8_t (*to)[16][4])
{
    const uint8_t *codes = lac_codebook_block(c, panel, block);
    for (int k = 0; k < LAC_CODEBOOK_BLOCK; k++)
        for (int o = 0; o < LAC_CODEBOOK_OUTPUTS; o++)
            to[k / 4][o][k % 4] = book[lac_codebook_code(codes, c->bits, o, k)];
}

#define DOT(name, weight, activation, total)                                                       \
    static void name(const lac_codebook *c, const weight *book, int64_t begin, int64_t end,        \
                     const activation *x, total *sums)                                             \
    {                                                                                              \
        for (int64_t i = begin; i < end; i++) {                                                    \
            total sum = 0;                                                                         \
            for (int64_t k = 0; k < c->cols; k++) {                                                \
                const uint8_t *codes =                                                             \
                    lac_codebook_block(c, i / LAC_CODEBOOK_OUTPUTS, k / LAC_CODEBOOK_BLOCK);       \
                sum += book[lac_codebook_code(codes, c->bits, (int)(i % LAC_CODEBOOK_OUTPUTS),     \
                                              (int)(k % LAC_CODEBOOK_BLOCK))] *                    \
                       x[k];                                                                       \
            }                                                                                      \
            sums[i - begin] = sum;                                                                 \
        }                                                                                          \
    }
DOT(dot_f32, float, float, float)
DOT(dot_i8, int8_t, uint8_t, int32_t)
#undef DOT

static int32_t step(int32_t sum, const uint8_t *x, const element *e)
{
    return sum + x[0] * e->w[0] + x[1] * e->w[1] + x[2] * e->w[2] + x[3] * e->w[3];
}

#define FILL_F32              fill_f32
#define FILL_I8               fill_i8
#define DOT_F32               dot_f32
#define DOT_I8                dot_i8
#define MOVES                 lac_panel_moves_ref
#define WIDEN(p)              ((lac_vector){(p)[0], (p)[1], (p)[2], (p)[3]})
#define HALF                  lac_vector
#define HALF_ZERO             lac_vector_zero()
#define HALF_STORE(p, v)      lac_vector_store(p, v)
#define HALF_FMA(w, x, s)     lac_vector_fma(WIDEN(w), lac_vector_load(x), s)
#define CODES_VECTOR          int32_t
#define CODES_COLUMNS         1
#define CODES_ZEROS           0
#define CODES_LOADS(p)        (*(p))
#define CODES_STORES(p, v)    (*(p) = (v))
#define CODES_BYTES           const uint8_t *
#define CODES_LOAD(p)         ((const uint8_t *)(p))
#define CODES_ELEMENT         element
#define CODES_WORD            const element *
#define CODES_SPREAD(p)       (p)
#define CODES_STEP(s, x, w)   step(s, x, w)
#define CODES_WIDE            1
#define CODES_ROWS_NARROW     4
#define CODES_WIDE_NARROW     1
#define ELEMENT_OF(quads, to) memcpy(to, quads, sizeof(quads))

/* Measured on one core of an AMD EPYC (family 25, model 17): seconds per weight. */
#define SECONDS_FEW         2e-9
#define SECONDS_FEW_WIDE    3e-9
#define SECONDS_APART       2e-9
#define SECONDS_MANY        0.1e-9
#define SECONDS_FEW_I8      2e-9
#define SECONDS_FEW_I8_WIDE 3e-9
#define SECONDS_APART_I8    2e-9
#define SECONDS_MANY_I8     0.3e-9
#define SECONDS_FEW_INT8    0.2e-9
#include "cpu/panel_codes.inc"

LAC_CODES_ROWS(ref, 0, "portable")
