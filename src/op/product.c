/* Panels of 16 columns: a panel of B is copied side by side once and stays in the cache while all
 * rows of A pass over it, four at a time, their sums in registers. The body is written with the
 * compiler's vector types (gcc and clang), since plain loops keep the sums in memory. */
#include "op/product.h"

#include "core/clones.h"
#include "core/memory.h"
#include "core/parallel.h"

#include <stdatomic.h>
#include <string.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b)  JOIN_(a, b)

#define TYPE   float
#define SUFFIX f32
#include "op/product.inc"
#define TYPE   double
#define SUFFIX f64
#include "op/product.inc"
#define TYPE   uint32_t
#define SUFFIX u32
#include "op/product.inc"
#define TYPE   uint64_t
#define SUFFIX u64
#include "op/product.inc"
