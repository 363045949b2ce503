/* Products at chosen places, portable. */
#include <stdbool.h>
#include <stdint.h>

#include "cpu/sddmm.h"

typedef struct queries {
    char nothing;
} queries;

static void begin(queries *q, int v, const int8_t *query, int64_t stride, int64_t dim)
{
    (void)q, (void)v, (void)query, (void)stride, (void)dim;
}

static void products(const queries *q, int v, const int8_t *query, int64_t stride, int64_t dim,
                     const int8_t *const *key, int count, int32_t *out)
{
    (void)q;
    for (int j = 0; j < count; j++)
        for (int i = 0; i < v; i++) {
            int32_t total = 0;
            for (int64_t k = 0; k < dim; k++)
                total += query[i * stride + k] * key[j][k];
            out[j / 8 * 8 * v + 8 * i + j % 8] = total;
        }
}

#define NAME          "sddmm_sr_bcrs_s8_ref"
#define ISA           0
#define ROW           lac_kernel_sddmm_sr_bcrs_s8_ref
#define SECONDS       1e-10
#define SECONDS_STRIP 1e-7
#include "cpu/sddmm_body.inc"
