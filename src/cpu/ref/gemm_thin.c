/* One token times dense weights in place, portable. */
#include <math.h>
#include <stdint.h>

#define COLUMNS         1
#define VECTOR          float
#define LOAD(p)         (*(p))
#define STORE(p, v)     (*(p) = (v))
#define SPREAD(x)       (x)
#define STEP(sum, x, w) ((sum) + (x) * (w))
#define SCALAR(x, w, y) ((y) + (x) * (w))
#define WIDEN(p)        ((float)*(p))
#define WIDE            int32_t
#define WIDE_COLUMNS    1
#define WIDE_SPREAD(x)  (x)
#define WIDE_COLUMN(p)  (p)
#define WIDE_STEP(sums, r0, r1, r2, r3, quad)                                                      \
    (*(sums) += ((quad)&255) * *(r0) + ((quad) >> 8 & 255) * *(r1) +                               \
                ((quad) >> 16 & 255) * *(r2) + ((quad) >> 24 & 255) * *(r3))
#define PREFETCH(p)          ((void)(p))
#define SECONDS(bytes, macs) ((void)(bytes), (macs)*0.3e-9)

#include "cpu/gemm_thin.inc"

THIN_ROWS(ref, 0)
