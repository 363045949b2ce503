/* The fields of the format delta; for kernels. */
#ifndef LACUNA_FORMAT_DELTA_H
#define LACUNA_FORMAT_DELTA_H

#include <lacuna/format.h>

enum { LAC_DELTA_ROW, LAC_DELTA_DELTA, LAC_DELTA_VALUES };

#endif
