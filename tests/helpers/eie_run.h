/* Running EIE in tests, and rows of its golden tables. */
#ifndef LACUNA_TESTS_EIE_RUN_H
#define LACUNA_TESTS_EIE_RUN_H

#include <lacuna/accel.h>

#include "helpers/golden.h"

const lac_accel *eie_row(void);
/* Simulates with "name=value,..."; fails the test on an error. Release the result. */
lac_result eie_run(const lac_layer *layer, const char *set, bool schedule_only);
/* Every counter column that the tables have; identity, reference, checksums. */
void eie_check_row(const golden_table *table, int row, const lac_result *result, int64_t pe);
/* The pe of "a=1,pe=4", 64 where there is none. */
int64_t eie_pe_of(const char *set);

#endif
