/* Products at chosen places, portable. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "cpu/sddmm.h"

typedef struct queries {
    int8_t row[8][LAC_SDDMM_DIM];
} queries;

static void place(queries *q, int v, int row, const int8_t *from, int64_t dim)
{
    (void)v;
    if (from)
        memcpy(q->row[row], from, (size_t)dim);
    else
        memset(q->row[row], 0, (size_t)dim);
}

static void group(const queries *q, int v, int64_t dim, const int8_t *key, const int32_t c[8],
                  int32_t *out)
{
    for (int i = 0; i < v; i++)
        for (int j = 0; j < 8; j++) {
            int32_t total = 0;
            for (int64_t k = 0; k < dim; k++)
                total += q->row[i][k] * key[c[j] * dim + k];
            out[8 * i + j] = total;
        }
}

static void products(const queries *q, int v, int64_t dim, const int8_t *key, const int32_t *c,
                     const int32_t *sum, int groups, int32_t *out)
{
    (void)sum;
    for (int i = 0; i < groups; i++, c += 8, out += 8 * v)
        group(q, v, dim, key, c, out);
}

#define NAME          "sddmm_sr_bcrs_s8_ref"
#define ISA           0
#define ROW           lac_kernel_sddmm_sr_bcrs_s8_ref
#define KEY_SUMS      0
#define SECONDS       1e-10
#define SECONDS_STRIP 1e-7
#include "cpu/sddmm_body.inc"
