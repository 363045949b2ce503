/* One parallel loop with a static partition: the same bits for any thread count as long as each
 * index writes only its own results. Shares the OpenMP pool with the dense library. */
#ifndef LACUNA_CORE_PARALLEL_H
#define LACUNA_CORE_PARALLEL_H

#include <lacuna/core.h>

/* Calls body(context, begin, end) for disjoint ranges that cover [0, count), each at least `grain`
 * long (but for the last); sequential inside another parallel loop or when count <= grain. */
void lac_parallel_for(int64_t count, int64_t grain,
                      void (*body)(void *context, int64_t begin, int64_t end), void *context);

/* The most ranges that lac_parallel_for makes now: for kernels that keep memory per range. */
int lac_parallel_width(void);

/* For main() of a program, first of all: threads that wait for work spin so long (tens of
 * milliseconds) that on a machine with other work they hold up the very thread they wait for, and a
 * run takes a hundred times longer. How long they spin is read from the environment before main;
 * this starts the program once more with a short limit, unless the user gave one. Returns when
 * there is nothing to do. */
void lac_threads_calm(char **argv);

/* lac_threads_set and lac_threads are public (lacuna/lacuna.h) and implemented beside this. */

#endif
