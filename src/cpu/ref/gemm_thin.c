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
#define WIDE_SPREAD(x)  (x)
#define WIDE_COLUMN(p)  (p)
#define WIDE_STEP(sums, r0, r1, x01, r2, r3, x23)                                                  \
    for (int c_ = 0; c_ < 2; c_++)                                                                 \
    (sums)[c_] += (int16_t)(x01) * (r0)[c_] + ((x01) >> 16) * (r1)[c_] +                           \
                  (int16_t)(x23) * (r2)[c_] + ((x23) >> 16) * (r3)[c_]
#define PREFETCH(p)          ((void)(p))
#define SECONDS(bytes, macs) ((void)(bytes), (macs)*0.3e-9)

#include "cpu/gemm_thin.inc"

THIN_ROWS(ref, 0)
