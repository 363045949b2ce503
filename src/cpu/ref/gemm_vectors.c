/* Column vectors, portable. Sums wrap modulo 2^32. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef struct sums {
    uint32_t row[4][64];
} sums;

static void begin(sums *sum, int rows)
{
    memset(sum->row, 0, (size_t)rows * sizeof sum->row[0]);
}

static void step(sums *sum, int rows, bool wide, const char *const at[4], const uint8_t *values,
                 int64_t plane)
{
    for (int v = 0; v < rows; v++)
        for (int j = 0; j < 4; j++) {
            const uint8_t *x = (const uint8_t *)at[j], *low = values + 4 * v + j;
            int32_t w = wide ? (int16_t)(low[0] | low[plane] << 8) : (int8_t)low[0];
            for (int c = 0; c < 64; c++)
                sum->row[v][c] += (uint32_t)(x[c] * w);
        }
}

static void finish(const sums *sum, int rows, int32_t *to, int columns, bool more)
{
    for (int v = 0; v < rows; v++)
        for (int c = 0; c < columns; c++)
            to[v * 64 + c] = (int32_t)(sum->row[v][c] + (more ? (uint32_t)to[v * 64 + c] : 0));
}

typedef struct dot_sums {
    uint32_t row[8];
} dot_sums;

static void dot_begin(dot_sums *sum)
{
    memset(sum, 0, sizeof *sum);
}

static void dot_step(dot_sums *sum, int v, bool wide, uint32_t four, const uint8_t *values)
{
    for (int i = 0; i < v; i++)
        for (int j = 0; j < 4; j++) {
            const uint8_t *low = values + 4 * i + j;
            int32_t w = wide ? (int16_t)(low[0] | low[4 * v] << 8) : (int8_t)low[0];
            sum->row[i] += (uint32_t)((int32_t)(four >> 8 * j & 255) * w);
        }
}

static void dot_end(const dot_sums *sum, int v, bool wide, int32_t *to)
{
    (void)wide;
    memcpy(to, sum->row, (size_t)v * sizeof *to);
}

#define MOVES         lac_panel_moves_ref
#define COLUMNS(rows) 64
#define BLOCK         INT32_MAX
/* Measured on one core of an AMD EPYC (family 25, model 17). */
#define SECONDS(v, wide)     ((wide) ? 4e-10 : 2.9e-10)
#define SECONDS_STRIP        1e-8
#define SECONDS_DOT(v, wide) (1.5e-9 + ((wide) ? 2e-9 : 1.4e-9) * (v))
#include "cpu/gemm_vectors.inc"

LAC_PANEL_ROWS(sr_bcrs_u8_ref, "sr-bcrs", LAC_U8, 0, sr_bcrs,
               "column vectors, uint8 activations, portable")
LAC_PANEL_ROWS(sr_bcrs_s8_ref, "sr-bcrs", LAC_I8, 0, sr_bcrs,
               "column vectors, int8 activations, portable")
LAC_PANEL_ROWS(delta_u8_ref, "delta", LAC_U8, 0, delta,
               "int8 non-zeros with byte distances, uint8 activations, portable")
LAC_PANEL_ROWS(delta_s8_ref, "delta", LAC_I8, 0, delta,
               "int8 non-zeros with byte distances, int8 activations, portable")
