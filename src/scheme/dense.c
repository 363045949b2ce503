/* dense: the network as it is, what the others are measured against. A row without hooks. */
#include <lacuna/scheme.h>

const lac_scheme lac_scheme_dense = {
    .row = LAC_ROW(lac_scheme, "dense", "every weight as it is"),
    .formats = "",
};
