/* Identities between counters, as text: "mac_cycles + tail = cycles", one a line. Sums, differences
 * and products of words, numbers and brackets; compared by =, <= or >=; int64 with overflow
 * checks. */
#ifndef LACUNA_ACCEL_KIT_IDENTITY_H
#define LACUNA_ACCEL_KIT_IDENTITY_H

#include <lacuna/accel.h>

/* LAC_ERROR_INTERNAL when a line does not hold (naming both sides), has an unknown word or cannot
 * be read. A word is a counter, cycles, macs, effectual_macs, multipliers, dram_bytes, sram_bytes
 * or an integer parameter. */
lac_status lac_identity_check(const char *identity, const lac_result *result,
                              const lac_params *params, lac_error *err);

#endif
