/* The portable attention kernel: vectors of four floats, which every machine has. */
#include "cpu/attention_ref.h"
#define INTEGERS              0
#define MULTIPLY_ADD(a, b, c) ((a) * (b) + (c))
#define NAME                  "attention_dense_f32_ref"
#define ROW                   lac_kernel_attention_ref
#include "cpu/attention_body.inc"
