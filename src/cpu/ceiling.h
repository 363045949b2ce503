/* The loops that measure what a core can do: reading memory, multiplying. study/machine.c times
 * them. One row per instruction set; the operands of the products never leave the registers. */
#ifndef LACUNA_CPU_CEILING_H
#define LACUNA_CPU_CEILING_H

#include <stddef.h>
#include <stdint.h>

typedef struct lac_ceiling {
    const char *name; /* "avx512" */
    uint32_t isa;     /* LAC_ISA_... that read, f32 and i8 need */
    uint32_t isa_bf16;
    /* Reads `bytes` (rounded down to 512) at `data` (aligned to 64) once, in 64-byte lines. */
    void (*read)(const void *data, size_t bytes);
    /* Each multiplies and adds `rounds` times over independent sums and returns how many operations
     * that was, a multiplication and an addition being two. */
    int64_t (*f32)(int64_t rounds);
    int64_t (*i8)(int64_t rounds);   /* exact products of 8-bit operands, sums of 32 bits */
    int64_t (*bf16)(int64_t rounds); /* NULL: this instruction set has none */
} lac_ceiling;

extern const lac_ceiling lac_ceiling_ref;
#if defined(__x86_64__)
extern const lac_ceiling lac_ceiling_avx2, lac_ceiling_avx512;
#endif

#endif
