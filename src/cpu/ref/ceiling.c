/* Ceilings of portable C, 16 bytes at a time, which every x86-64 has. Without products of bytes:
 * they are widened to 32 bits first. */
#include "cpu/ceiling.h"

#if defined(__x86_64__)
#define INTEGER_REGISTER "x"
#elif defined(__aarch64__)
#define INTEGER_REGISTER "w"
#else
#define INTEGER_REGISTER "m"
#endif

typedef float floats __attribute__((vector_size(16)));
typedef uint32_t integers __attribute__((vector_size(16)));

#define NAME(x) x##_ref
#define INTEGER             integers
#define INTEGER_ADD(a, b)   ((a) + (b))
#define FLOAT               floats
#define FLOAT_REGISTER      INTEGER_REGISTER
#define FLOAT_ONE           ((floats){1, 1, 1, 1})
#define FLOAT_STEP(s, a, b) ((s) * (a) + (b))
#define FLOAT_OPERATIONS    8
#define BYTES               integers
#define BYTES_REGISTER      INTEGER_REGISTER
#define BYTES_ONE           ((integers){1, 1, 1, 1})
#define BYTES_STEP(s, a, b) ((s) * (a) + (b))
#define BYTES_OPERATIONS    8
#include "cpu/ceiling_body.inc"

const lac_ceiling lac_ceiling_ref = {.name = "ref", .read = read_ref, .f32 = f32_ref, .i8 = i8_ref};
