/* Values that depend on constants only. */
#ifndef LACUNA_EXEC_FOLD_H
#define LACUNA_EXEC_FOLD_H

#include <lacuna/graph.h>

/* The value's tensor, computed with the operators' reference kernels when it is not a constant
 * itself; every leaf it depends on must be one. The caller releases *tensor. */
lac_status lac_fold_value(const lac_graph *graph, int value, lac_tensor *tensor, lac_error *err);

#endif
