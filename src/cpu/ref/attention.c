/* The portable attention kernel: vectors of four floats, which every machine has. */
typedef float four __attribute__((vector_size(16)));
#define VECTOR       four
#define LANES        4
#define ROWS         2
#define FMA(a, b, c) ((a) * (b) + (c))
#define NAME         "attention_dense_f32_ref"
#define ISA          0
#define ROW          lac_kernel_attention_ref
#include "cpu/attention_body.inc"
