/* Wall-clock time for measurements. */
#ifndef LACUNA_CORE_CLOCK_H
#define LACUNA_CORE_CLOCK_H

/* Seconds of a clock that never jumps; only differences mean something. */
double lac_seconds(void);
/* How often somebody else was given this program's processor. */
long lac_interruptions(void);

#endif
