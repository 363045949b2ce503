/* See pattern.h. */
#include "format/pattern.h"

#include <stdio.h>

/* Non-zeros of the fullest group of m consecutive elements of a row; the search ends above
 * `limit`. */
static int fullest_group(const lac_tensor *matrix, int m, int limit)
{
    int64_t rows = matrix->dims[0], cols = matrix->dims[1];
    int fullest = 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t first = 0; first < cols; first += m) {
            int count = 0;
            for (int64_t k = first; k < cols && k < first + m; k++)
                count += lac_tensor_get(matrix, r * cols + k) != 0;
            fullest = count > fullest ? count : fullest;
            if (fullest > limit)
                return fullest;
        }
    return fullest;
}

bool lac_pattern_find(const lac_tensor *matrix, lac_view view, int rank, const int64_t *dims,
                      int *n, int *m)
{
    *n = *m = 0;
    for (int length = 2; length <= 16; length *= 2) {
        int limit = length / 2;
        if (!lac_view_groups(view, rank, dims, length) || length > matrix->dims[1])
            continue;
        int kept = fullest_group(matrix, length, limit);
        kept = kept ? kept : 1; /* no pattern keeps nothing */
        if (kept <= limit && (*m == 0 || kept * *m < *n * length)) {
            *n = kept;
            *m = length;
        }
    }
    return *m > 0;
}

lac_status lac_pattern_fit(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    char text[8];
    int n, m;
    if (!lac_pattern_find(matrix, packed->view, packed->rank, packed->dims, &n, &m))
        return LAC_OK;
    snprintf(text, sizeof text, "%d", n);
    LAC_TRY(lac_params_set(&packed->params, "n", text, err));
    snprintf(text, sizeof text, "%d", m);
    return lac_params_set(&packed->params, "m", text, err);
}
