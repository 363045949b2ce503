/* How a weight tensor is a matrix [rows][cols]: one row per output, the reduction along the
 * columns. Formats know only matrices; operators know only tensors; this is the one bridge. */
#include "core/memory.h"
#include "format/packed.h"

#include <string.h>

static const char *const names[] = {"rows", "columns", "conv"};

const char *lac_view_name(lac_view view)
{
    return (unsigned)view < 3 ? names[view] : "?";
}

lac_status lac_view_parse(const char *name, lac_view *view, lac_error *err)
{
    for (int i = 0; i < 3; i++)
        if (strcmp(name, names[i]) == 0) {
            *view = (lac_view)i;
            return LAC_OK;
        }
    return lac_fail(err, LAC_ERROR_INPUT, "view '%s': want rows, columns or conv", name);
}

/* Any number of rows of no elements would be a valid shape, and loops over the rows without end. */
enum { EMPTY_LIMIT = 1 << 20 };

static lac_status sides(lac_view view, int rank, const int64_t *dims, int64_t *rows, int64_t *cols,
                        lac_error *err)
{
    int64_t count;
    LAC_TRY(lac_shape_count(rank, dims, &count, err));
    switch (view) {
    case LAC_VIEW_ROWS:
        *rows = 1;
        *cols = rank > 0 ? dims[rank - 1] : 1;
        return rank > 1 ? lac_shape_count(rank - 1, dims, rows, err) : LAC_OK;
    case LAC_VIEW_COLUMNS:
        if (rank != 2)
            return lac_fail(err, LAC_ERROR_INPUT, "view columns: rank %d, want 2", rank);
        *rows = dims[1];
        *cols = dims[0];
        return LAC_OK;
    case LAC_VIEW_CONV:
        if (rank < 3)
            return lac_fail(err, LAC_ERROR_INPUT, "view conv: rank %d, want at least 3", rank);
        *rows = dims[0];
        return lac_shape_count(rank - 1, dims + 1, cols, err);
    }
    return lac_fail(err, LAC_ERROR_INPUT, "view %d: want 0..2", (int)view);
}

lac_status lac_view_size(lac_view view, int rank, const int64_t *dims, int64_t *rows, int64_t *cols,
                         lac_error *err)
{
    LAC_TRY(sides(view, rank, dims, rows, cols, err));
    if ((*rows == 0 || *cols == 0) && (*rows > EMPTY_LIMIT || *cols > EMPTY_LIMIT))
        return lac_fail(err, LAC_ERROR_INPUT, "an empty weight of %lld x %lld: the limit is %d",
                        (long long)*rows, (long long)*cols, EMPTY_LIMIT);
    return LAC_OK;
}

bool lac_view_groups(lac_view view, int rank, const int64_t *dims, int64_t m)
{
    return m > 0 && (view != LAC_VIEW_CONV || (rank > 1 && dims[1] % m == 0));
}

/* Element (row, col) of the matrix is element at[row][col] of the tensor; copies one way or the
 * other. The tensor is seen as [rows][channels][spatial], which serves all three views. */
static void move(lac_view view, int64_t rows, int64_t cols, int64_t channels, size_t size,
                 char *matrix, char *tensor, bool to_matrix)
{
    if (view == LAC_VIEW_ROWS) {
        memcpy(to_matrix ? matrix : tensor, to_matrix ? tensor : matrix,
               (size_t)(rows * cols) * size);
        return;
    }
    int64_t spatial = channels ? cols / channels : 0;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < cols; k++) {
            int64_t from = view == LAC_VIEW_COLUMNS
                               ? k * rows + r
                               : r * cols + k % channels * spatial + k / channels;
            char *m = matrix + (size_t)(r * cols + k) * size;
            char *t = tensor + (size_t)from * size;
            memcpy(to_matrix ? m : t, to_matrix ? t : m, size);
        }
}

static lac_status element_size(lac_dtype dtype, size_t *size, lac_error *err)
{
    int bits = lac_dtype_bits(dtype);
    if (bits == 0 || bits % 8)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "a weight of %s elements cannot be packed",
                        lac_dtype_name(dtype));
    *size = (size_t)bits / 8;
    return LAC_OK;
}

lac_status lac_view_matrix(lac_view view, const lac_tensor *tensor, lac_tensor *matrix,
                           lac_error *err)
{
    int64_t rows, cols;
    size_t size = 0;
    LAC_TRY(lac_view_size(view, tensor->rank, tensor->dims, &rows, &cols, err));
    LAC_TRY(element_size(tensor->dtype, &size, err));
    LAC_TRY(lac_tensor_make(matrix, tensor->dtype, 2, (int64_t[]){rows, cols}, err));
    move(view, rows, cols, tensor->rank > 1 ? tensor->dims[1] : 1, size, matrix->data, tensor->data,
         true);
    return LAC_OK;
}

lac_status lac_view_tensor(lac_view view, const lac_tensor *matrix, int rank, const int64_t *dims,
                           lac_tensor *tensor, lac_error *err)
{
    int64_t rows, cols;
    size_t size = 0;
    LAC_TRY(lac_view_size(view, rank, dims, &rows, &cols, err));
    LAC_TRY(element_size(matrix->dtype, &size, err));
    if (matrix->rank != 2 || matrix->dims[0] != rows || matrix->dims[1] != cols)
        return lac_fail(err, LAC_ERROR_INTERNAL, "view %s: the matrix is not %lld x %lld",
                        lac_view_name(view), (long long)rows, (long long)cols);
    LAC_TRY(lac_tensor_make(tensor, matrix->dtype, rank, dims, err));
    move(view, rows, cols, rank > 1 ? dims[1] : 1, size, matrix->data, tensor->data, false);
    return LAC_OK;
}
