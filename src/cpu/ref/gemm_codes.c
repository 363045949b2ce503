/* Weights of few bits, portable: one output at a time, every weight through the table. */
#include "cpu/codes_image.h"

typedef const float *codes_table;

#define COLUMNS              1
#define ROWS                 8
#define HALVES               0
#define VECTOR               float
#define VECTOR_ZERO          0
#define VECTOR_STORE(to, v)  ((to)[0] = (v))
#define STEP(sum, x, v)      ((sum) + (x) * (v))
#define TABLE                codes_table
#define TABLE_LOAD(floats)   (floats)
#define DECODE               decode
#define SECONDS(mode)        0.2e-9
#define SECONDS_DECODE(mode) 0.1e-9

static inline float decode(const codes_table *table, const lac_codes_image *image,
                           const uint8_t *code, int high, lac_codes_mode mode)
{
    (void)image;
    (void)high;
    (void)mode;
    return (*table)[*code];
}

#include "cpu/gemm_codes.inc"

LAC_PACKED_ROWS(codebook_f32_ref, "codebook", LAC_F32, 0, codes, "codes looked up, portable")
LAC_PACKED_ROWS(int8_f32_ref, "int8", LAC_F32, 0, codes, "int8 weights, portable")
