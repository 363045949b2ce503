/* One seeded generator, streams by role, the same bits on every machine.
 * The generator is splitmix64 (Steele, Lea, Flood, OOPSLA 2014); a stream's state starts at
 * seed + role * 0x632BE59BD9B4E019 modulo 2^64. */
#ifndef LACUNA_CORE_RANDOM_H
#define LACUNA_CORE_RANDOM_H

#include <stdint.h>

typedef struct lac_random {
    uint64_t state;
} lac_random;

/* The stream of `role` (any number, named above or not) for `seed`. */
static inline lac_random lac_random_stream(uint64_t seed, uint64_t role)
{
    return (lac_random){seed + role * UINT64_C(0x632BE59BD9B4E019)};
}

static inline uint64_t lac_random_next(lac_random *random)
{
    uint64_t z = (random->state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Uniform in [0, 1) with 53 bits. */
static inline double lac_random_unit(lac_random *random)
{
    return (double)(lac_random_next(random) >> 11) * 0x1p-53;
}

#endif
