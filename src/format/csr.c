/* csr: unstructured float32; the non-zeros row by row with a byte for the column of each.
 *
 * Kernels multiply 64 activations side by side with every weight, so a column of activations is
 * 256 bytes and only a block of 128 columns stays in a first-level cache: the matrix is cut into
 * cells of 256 rows x 128 columns (192 where non-zeros are few: fewer beginnings of rows), which
 * makes a row and a column one byte each. The rows of a cell stand in the order of their counts,
 * so that the loop over the non-zeros of a row ends after as many rounds as the one before and
 * the branch is predicted. Counts that follow one another take the place of row starts. */
#include "format/csr.h"

#include "format/packed.h"

#include <string.h>

enum { START, ROW, COUNT, COL, VALUES };

static lac_csr shape_of(int64_t rows, int64_t cols, int64_t nonzeros)
{
    lac_csr m = {.rows = rows, .cols = cols, .nonzeros = nonzeros};
    /* One in eight, without a product that overflows. */
    m.block = nonzeros <= (rows * cols - 1) / 8 ? LAC_CSR_WIDE : LAC_CSR_BLOCK;
    m.blocks = (cols + m.block - 1) / m.block;
    m.strips = m.blocks ? (rows + LAC_CSR_STRIP - 1) / LAC_CSR_STRIP : 0;
    return m;
}

lac_csr lac_csr_of(const lac_packed *packed)
{
    lac_csr m = shape_of(packed->rows, packed->cols, packed->field[VALUES].dims[0] - LAC_CSR_PAD);
    m.start = packed->field[START].data;
    m.row = packed->field[ROW].data;
    m.count = packed->field[COUNT].data;
    m.col = packed->field[COL].data;
    m.values = packed->field[VALUES].data;
    return m;
}

/* Minus zero counts as zero. */
static int64_t count_nonzeros(const float *x, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        count += x[i] != 0;
    return count;
}

static int64_t width_of(const lac_csr *m, int64_t block)
{
    int64_t left = m->cols - block * m->block;
    return left < m->block ? left : m->block;
}

static lac_status bytes(const lac_packed *packed, const lac_tensor *matrix, int64_t *result,
                        lac_error *err)
{
    (void)err;
    lac_csr m = shape_of(packed->rows, packed->cols,
                         count_nonzeros(matrix->data, lac_tensor_count(matrix)));
    *result =
        4 * (m.strips * m.blocks + 1) + 2 * m.rows * m.blocks + 5 * (m.nonzeros + LAC_CSR_PAD);
    return LAC_OK;
}

/* The rows of a cell by falling counts; returns its non-zeros, written from col and values on. */
static int64_t pack_cell(const lac_csr *m, const float *matrix, int64_t strip, int64_t block,
                         uint8_t *row, uint8_t *count, uint8_t *col, float *values)
{
    int64_t rows = lac_csr_strip_rows(m, strip), width = width_of(m, block), at = 0;
    const float *corner = matrix + strip * LAC_CSR_STRIP * m->cols + block * m->block;
    int place[LAC_CSR_WIDE + 2] = {0}; /* first the rows with a count, then where they go */
    uint8_t of_row[LAC_CSR_STRIP];
    for (int64_t r = 0; r < rows; r++) {
        of_row[r] = (uint8_t)count_nonzeros(corner + r * m->cols, width);
        place[of_row[r]]++;
    }
    for (int c = LAC_CSR_WIDE, before = 0; c >= 0; c--) {
        int here = place[c];
        place[c] = before;
        before += here;
    }
    for (int64_t r = 0; r < rows; r++) {
        int to = place[of_row[r]]++;
        row[to] = (uint8_t)r;
        count[to] = of_row[r];
    }
    for (int64_t i = 0; i < rows; i++) {
        const float *from = corner + row[i] * m->cols;
        for (int64_t k = 0; k < width; k++)
            if (from[k] != 0) {
                col[at] = (uint8_t)k;
                values[at++] = from[k];
            }
    }
    return at;
}

static lac_status pack(lac_packed *packed, const lac_tensor *matrix, lac_error *err)
{
    lac_csr m = shape_of(packed->rows, packed->cols,
                         count_nonzeros(matrix->data, lac_tensor_count(matrix)));
    if (m.nonzeros > UINT32_MAX)
        return lac_fail(err, LAC_ERROR_INPUT, "csr: %lld non-zeros, limit 4294967295",
                        (long long)m.nonzeros);
    int64_t length = m.nonzeros + LAC_CSR_PAD, at = 0;
    LAC_TRY(lac_field_make(packed, START, m.strips * m.blocks + 1, err));
    LAC_TRY(lac_field_make(packed, ROW, m.rows * m.blocks, err));
    LAC_TRY(lac_field_make(packed, COUNT, m.rows * m.blocks, err));
    LAC_TRY(lac_field_make(packed, COL, length, err));
    LAC_TRY(lac_field_make(packed, VALUES, length, err));
    uint32_t *start = packed->field[START].data;
    uint8_t *col = packed->field[COL].data;
    float *values = packed->field[VALUES].data;
    for (int64_t strip = 0; strip < m.strips; strip++)
        for (int64_t block = 0; block < m.blocks; block++) {
            int64_t entry = lac_csr_entry(&m, strip, block);
            *start++ = (uint32_t)at;
            at += pack_cell(&m, matrix->data, strip, block,
                            (uint8_t *)packed->field[ROW].data + entry,
                            (uint8_t *)packed->field[COUNT].data + entry, col + at, values + at);
        }
    *start = (uint32_t)at;
    memset(col + at, 0, LAC_CSR_PAD);
    memset(values + at, 0, LAC_CSR_PAD * sizeof *values);
    return LAC_OK;
}

static lac_status unpack(const lac_packed *packed, lac_tensor *matrix, lac_error *err)
{
    (void)err;
    lac_csr m = lac_csr_of(packed);
    float *to = matrix->data;
    int64_t at = 0, entry = 0;
    memset(to, 0, lac_tensor_bytes(matrix));
    for (int64_t strip = 0; strip < m.strips; strip++)
        for (int64_t block = 0; block < m.blocks; block++)
            for (int64_t i = 0; i < lac_csr_strip_rows(&m, strip); i++, entry++)
                for (int n = 0; n < m.count[entry]; n++, at++)
                    to[(strip * LAC_CSR_STRIP + m.row[entry]) * m.cols + block * m.block +
                       m.col[at]] = m.values[at];
    return LAC_OK;
}

static lac_status validate_cell(const lac_csr *m, int64_t strip, int64_t block, lac_error *err)
{
    int64_t cell = strip * m->blocks + block, rows = lac_csr_strip_rows(m, strip);
    int64_t first = lac_csr_entry(m, strip, block), width = width_of(m, block);
    int64_t at = m->start[cell], end = m->start[cell + 1];
    bool seen[LAC_CSR_STRIP] = {false};
    for (int64_t i = 0; i < rows; i++) {
        int row = m->row[first + i], count = m->count[first + i], last = -1;
        if (row >= rows || seen[row])
            return lac_fail(err, LAC_ERROR_INPUT,
                            "row[%lld] = %d, want each below %lld once in cell %lld",
                            (long long)(first + i), row, (long long)rows, (long long)cell);
        seen[row] = true;
        if (i > 0 && (count > m->count[first + i - 1] ||
                      (count == m->count[first + i - 1] && row < m->row[first + i - 1])))
            return lac_fail(err, LAC_ERROR_INPUT,
                            "count[%lld] = %d of row %d follows %d of row %d: want falling counts, "
                            "rising rows",
                            (long long)(first + i), count, row, m->count[first + i - 1],
                            m->row[first + i - 1]);
        if (count > end - at)
            return lac_fail(err, LAC_ERROR_INPUT, "count[%lld] = %d, cell %lld has %lld left",
                            (long long)(first + i), count, (long long)cell, (long long)(end - at));
        for (int n = 0; n < count; n++, at++) {
            if (m->col[at] <= last || m->col[at] >= width)
                return lac_fail(err, LAC_ERROR_INPUT,
                                "col[%lld] = %d, want rising in its row and below %lld",
                                (long long)at, m->col[at], (long long)width);
            last = m->col[at];
        }
    }
    if (at != end)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "cell %lld has %lld elements, its counts add up to %lld", (long long)cell,
                        (long long)(end - m->start[cell]), (long long)(at - m->start[cell]));
    return LAC_OK;
}

static lac_status validate(const lac_packed *packed, lac_error *err)
{
    int64_t length = packed->field[VALUES].dims[0];
    if (length < LAC_CSR_PAD)
        return lac_fail(err, LAC_ERROR_INPUT, "field 'values' has %lld elements, want at least %d",
                        (long long)length, LAC_CSR_PAD);
    lac_csr m = lac_csr_of(packed);
    if (m.nonzeros > UINT32_MAX)
        return lac_fail(err, LAC_ERROR_INPUT, "csr: %lld non-zeros, limit 4294967295",
                        (long long)m.nonzeros);
    int64_t cells = m.strips * m.blocks;
    LAC_TRY(lac_field_check(packed, COL, length, err));
    LAC_TRY(lac_field_check(packed, START, cells + 1, err));
    LAC_TRY(lac_field_check(packed, ROW, m.rows * m.blocks, err));
    LAC_TRY(lac_field_check(packed, COUNT, m.rows * m.blocks, err));
    if (m.start[0] != 0 || m.start[cells] != m.nonzeros)
        return lac_fail(err, LAC_ERROR_INPUT, "start runs from %u to %u, want 0 to %lld",
                        m.start[0], m.start[cells], (long long)m.nonzeros);
    for (int64_t cell = 0; cell < cells; cell++) {
        if (m.start[cell + 1] < m.start[cell] || m.start[cell + 1] > m.nonzeros)
            return lac_fail(
                err, LAC_ERROR_INPUT, "start[%lld] = %u, want at least %u and at most %lld",
                (long long)cell + 1, m.start[cell + 1], m.start[cell], (long long)m.nonzeros);
        LAC_TRY(validate_cell(&m, cell / m.blocks, cell % m.blocks, err));
    }
    for (int i = 0; i < LAC_CSR_PAD; i++) {
        uint32_t bits;
        memcpy(&bits, m.values + m.nonzeros + i, sizeof bits);
        if (bits || m.col[m.nonzeros + i])
            return lac_fail(err, LAC_ERROR_INPUT, "the %d elements behind the last are not 0",
                            LAC_CSR_PAD);
    }
    return LAC_OK;
}

/* Positions in the row-major matrix. */
static lac_status places_graph(const lac_csr *m, lac_graph *graph, const int *field, int *places,
                               lac_error *err)
{
    int entry, strip, rows, block, row, v, pair[2], least[3];
    LAC_TRY(lac_body_cast(graph, field[COUNT], LAC_I64, &entry, err));
    /* the row of a cell that every element belongs to */
    LAC_TRY(
        lac_body_segments(graph, entry, m->rows * m->blocks, m->block, m->nonzeros, &entry, err));
    LAC_TRY(lac_body_number(graph, "Div", entry, LAC_CSR_STRIP * m->blocks, &strip, err));
    /* Its rows: of the last strip those that are left. */
    LAC_TRY(lac_body_number(graph, "Mul", strip, -LAC_CSR_STRIP, &rows, err));
    LAC_TRY(lac_body_number(graph, "Add", rows, m->rows, &rows, err));
    LAC_TRY(lac_body_number(graph, "Less", rows, LAC_CSR_STRIP, &least[0], err));
    least[1] = rows;
    LAC_TRY(lac_body_ints(graph, 1, (int64_t[]){LAC_CSR_STRIP}, &least[2], err));
    LAC_TRY(lac_body_op(graph, "Where", 3, least, &rows, NULL, err));
    LAC_TRY(lac_body_number(graph, "Mul", strip, LAC_CSR_STRIP * m->blocks, &pair[1], err));
    pair[0] = entry;
    LAC_TRY(lac_body_op(graph, "Sub", 2, pair, &v, NULL, err));
    pair[0] = v;
    pair[1] = rows;
    LAC_TRY(lac_body_op(graph, "Div", 2, pair, &block, NULL, err));

    LAC_TRY(lac_body_cast(graph, field[ROW], LAC_I64, &pair[0], err));
    pair[1] = entry;
    LAC_TRY(lac_body_op(graph, "Gather", 2, pair, &v, NULL, err));
    pair[0] = v;
    LAC_TRY(lac_body_number(graph, "Mul", strip, LAC_CSR_STRIP, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Add", 2, pair, &row, NULL, err));
    LAC_TRY(lac_body_number(graph, "Mul", row, m->cols, &pair[0], err));
    LAC_TRY(lac_body_number(graph, "Mul", block, m->block, &pair[1], err));
    LAC_TRY(lac_body_op(graph, "Add", 2, pair, &v, NULL, err));
    pair[0] = v;
    LAC_TRY(lac_body_cast(graph, field[COL], LAC_I64, &pair[1], err));
    LAC_TRY(lac_body_slice(graph, pair[1], 0, 0, m->nonzeros, &pair[1], err));
    return lac_body_op(graph, "Add", 2, pair, places, NULL, err);
}

static lac_status unpack_graph(const lac_packed *packed, lac_graph *graph, const int *field,
                               int *matrix, lac_error *err)
{
    lac_csr m = lac_csr_of(packed);
    int list[3], v;
    LAC_TRY(lac_body_zeros(graph, packed->dtype, 1, (int64_t[]){m.rows * m.cols}, &list[0], err));
    v = list[0];
    if (m.nonzeros > 0) {
        LAC_TRY(places_graph(&m, graph, field, &list[1], err));
        LAC_TRY(lac_body_slice(graph, field[VALUES], 0, 0, m.nonzeros, &list[2], err));
        LAC_TRY(lac_body_op(graph, "ScatterElements", 3, list, &v, NULL, err));
    }
    return lac_body_reshape(graph, v, 2, (int64_t[]){m.rows, m.cols}, matrix, err);
}

const lac_format lac_format_csr = {
    .row = LAC_ROW(lac_format, "csr", "non-zeros by blocks of rows and columns, unstructured"),
    .dtypes = LAC_BIT(LAC_F32),
    .fields = {{"start", LAC_U32, "elements before each cell of 256 rows, and all"},
               {"row", LAC_U8, "rows of each cell by falling number of non-zeros"},
               {"count", LAC_U8, "non-zeros of each of these rows"},
               {"col", LAC_U8, "column of each element within its block, rising; three more"},
               {"values", LAC_NONE, "the elements; three zeros behind"}},
    .pack = pack,
    .unpack = unpack,
    .validate = validate,
    .bytes = bytes,
    .unpack_graph = unpack_graph,
};
