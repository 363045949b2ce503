/* Grids of tests, thinned where everything is slow. */
#ifndef LACUNA_TESTS_THIN_H
#define LACUNA_TESTS_THIN_H

#include <stdbool.h>
#include <stdlib.h>

/* Whether case number *count of a grid, counted up by each call, is left out: all but one in `few`
 * under LACUNA_SHORT, all but one in `usual` otherwise. Choose numbers that share no factor with
 * the sizes of the grid's axes: then every value of each axis comes round. */
static inline bool thin(int *count, int usual, int few)
{
    return (*count)++ % (getenv("LACUNA_SHORT") ? few : usual) != 0;
}

#endif
