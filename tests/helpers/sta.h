/* Runs of the sta row in tests. A failure fails the running test with its message. */
#ifndef LACUNA_TESTS_HELPERS_STA_H
#define LACUNA_TESTS_HELPERS_STA_H

#include <lacuna/accel.h>

const lac_accel *sta_row(void);
const lac_params *sta_defaults(void);
/* `set` as in golden_set; options NULL: all checked. */
lac_result sta_run(const lac_layer *layer, const char *set, const lac_sim_options *options);
/* Shapes only, no operands; wd NULL or "": none. */
lac_result sta_schedule(const char *text, const char *wd, const char *set);
/* Runs with operands and fails unless it is refused with `status` and one line that contains
 * `word`. */
void sta_refuses(const char *text, const char *wd, const char *set, lac_status status,
                 const char *word);

#endif
