/* Small layers for the tests of Deep Compression and EIE, drawn as CONVENTIONS says. */
#ifndef LACUNA_TESTS_EIE_LAYERS_H
#define LACUNA_TESTS_EIE_LAYERS_H

#include <stdint.h>

/* n int8 weights of stream `role`, density d (drawn in flat order). */
void eie_draw_weights(int8_t *weights, int64_t n, double density, uint64_t seed, int role);
/* Their codes with the integer linear codebook over all of them; the codebook too. */
void eie_linear_codes(const int8_t *weights, int64_t n, int32_t codebook[16], uint8_t *codes);

#endif
