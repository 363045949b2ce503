/* Encoding, checking and decoding of the interleaved columns. Both passes of the encoder walk the
 * matrix row by row (a PE's rows are `pe` apart) and keep one position per column, so that a large
 * matrix is read in the order of its memory. */
#include "format/eie_csc.h"

#include <string.h>

#include "core/memory.h"
#include "format/huffman.h"

static lac_status check_geometry(int64_t rows, int64_t cols, int64_t pe, int jump, lac_error *err)
{
    if (pe < 1 || pe > LAC_EIE_MAX_PE)
        return lac_fail(err, LAC_ERROR_INPUT, "eie-csc: pe = %lld, must be 1 to %d", (long long)pe,
                        LAC_EIE_MAX_PE);
    if (jump < 2 || jump > 256)
        return lac_fail(err, LAC_ERROR_INPUT, "eie-csc: jump = %d, must be 2 to 256", jump);
    int64_t count;
    LAC_TRY(lac_shape_count(2, (int64_t[]){rows, cols}, &count, err));
    if (cols >= INT32_MAX)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "eie-csc: %lld columns, the limit is 2^31 - 2",
                        (long long)cols);
    return lac_shape_count(2, (int64_t[]){pe, cols + 1}, &count, err);
}

static int64_t local_rows(int64_t rows, int64_t pe, int64_t p)
{
    return p < rows ? (rows - p - 1) / pe + 1 : 0;
}

/* Adds to count[j] the entries of PE p in column j; last[cols] is scratch. */
static void count_pe(const uint8_t *codes, int64_t rows, int64_t cols, int64_t pe, int jump,
                     int64_t p, int64_t *last, int64_t *count)
{
    for (int64_t j = 0; j < cols; j++)
        last[j] = -1;
    for (int64_t i = p, r = 0; i < rows; i += pe, r++) {
        const uint8_t *row = codes + i * cols;
        for (int64_t j = 0; j < cols; j++) {
            if (row[j] == 0)
                continue;
            count[j] += (r - last[j] - 1) / jump + 1;
            last[j] = r;
        }
    }
}

/* Writes the entries of PE p; cursor[j] begins at pointer[j]. */
static void fill_pe(const lac_eie_csc *csc, const uint8_t *codes, int64_t p, int64_t *last,
                    int64_t *cursor)
{
    uint8_t *code = csc->code + csc->first[p], *run = csc->run + csc->first[p];
    for (int64_t j = 0; j < csc->cols; j++) {
        last[j] = -1;
        cursor[j] = csc->pointer[p * (csc->cols + 1) + j];
    }
    for (int64_t i = p, r = 0; i < csc->rows; i += csc->pe, r++) {
        const uint8_t *row = codes + i * csc->cols;
        for (int64_t j = 0; j < csc->cols; j++) {
            if (row[j] == 0)
                continue;
            int64_t gap = r - last[j] - 1;
            for (; gap >= csc->jump; gap -= csc->jump)
                run[cursor[j]++] = (uint8_t)(csc->jump - 1); /* its code stays 0 */
            run[cursor[j]] = (uint8_t)gap;
            code[cursor[j]++] = row[j];
            last[j] = r;
        }
    }
}

lac_status lac_eie_csc_alloc(lac_eie_csc *csc, int64_t rows, int64_t cols, int64_t pe, int jump,
                             int64_t entries, lac_error *err)
{
    memset(csc, 0, sizeof *csc);
    LAC_TRY(check_geometry(rows, cols, pe, jump, err));
    csc->rows = rows;
    csc->cols = cols;
    csc->pe = pe;
    csc->jump = jump;
    csc->entries = entries;
    csc->code = lac_alloc((size_t)entries, 1, err);
    csc->run = lac_alloc((size_t)entries, 1, err);
    csc->pointer = lac_alloc((size_t)(pe * (cols + 1)), sizeof(uint32_t), err);
    csc->first = lac_alloc((size_t)pe + 1, sizeof(int64_t), err);
    if (csc->code && csc->run && csc->pointer && csc->first)
        return LAC_OK;
    lac_eie_csc_release(csc);
    return LAC_ERROR_MEMORY;
}

void lac_eie_csc_release(lac_eie_csc *csc)
{
    lac_free(csc->code);
    lac_free(csc->run);
    lac_free(csc->pointer);
    lac_free(csc->first);
    memset(csc, 0, sizeof *csc);
}

lac_status lac_eie_csc_count(const uint8_t *codes, int64_t rows, int64_t cols, int64_t pe, int jump,
                             int64_t *entries, lac_error *err)
{
    LAC_TRY(check_geometry(rows, cols, pe, jump, err));
    int64_t *last = lac_alloc((size_t)cols, 2 * sizeof(int64_t), err);
    if (!last)
        return LAC_ERROR_MEMORY;
    int64_t *count = last + cols;
    for (int64_t p = 0; p < pe && p < rows; p++)
        count_pe(codes, rows, cols, pe, jump, p, last, count);
    *entries = 0;
    for (int64_t j = 0; j < cols; j++)
        *entries += count[j];
    lac_free(last);
    return LAC_OK;
}

/* Pointers of all PEs and the number of entries. */
static lac_status encode_pointers(lac_eie_csc *csc, const uint8_t *codes, int64_t *scratch,
                                  lac_error *err)
{
    int64_t *last = scratch, *count = scratch + csc->cols;
    for (int64_t p = 0; p < csc->pe; p++) {
        memset(count, 0, (size_t)csc->cols * sizeof *count);
        count_pe(codes, csc->rows, csc->cols, csc->pe, csc->jump, p, last, count);
        uint32_t *pointer = csc->pointer + p * (csc->cols + 1);
        int64_t n = 0;
        for (int64_t j = 0; j < csc->cols; j++) {
            n += count[j];
            if (n > UINT32_MAX)
                return lac_fail(err, LAC_ERROR_UNSUPPORTED,
                                "eie-csc: PE %lld has more than 2^32 - 1 entries", (long long)p);
            pointer[j + 1] = (uint32_t)n;
        }
        csc->first[p + 1] = csc->first[p] + n;
    }
    csc->entries = csc->first[csc->pe];
    return LAC_OK;
}

lac_status lac_eie_csc_encode(lac_eie_csc *csc, const uint8_t *codes, int64_t rows, int64_t cols,
                              int64_t pe, int jump, lac_error *err)
{
    LAC_TRY(lac_eie_csc_alloc(csc, rows, cols, pe, jump, 0, err));
    int64_t *scratch = lac_alloc((size_t)cols, 2 * sizeof(int64_t), err);
    lac_status status = scratch ? encode_pointers(csc, codes, scratch, err) : LAC_ERROR_MEMORY;
    if (status == LAC_OK) {
        lac_free(csc->code);
        lac_free(csc->run);
        csc->code = lac_alloc((size_t)csc->entries, 1, err);
        csc->run = lac_alloc((size_t)csc->entries, 1, err);
        if (!csc->code || !csc->run)
            status = LAC_ERROR_MEMORY;
    }
    if (status == LAC_OK) {
        for (int64_t p = 0; p < pe && p < rows; p++)
            fill_pe(csc, codes, p, scratch, scratch + cols);
        for (int64_t e = 0; e < csc->entries; e++)
            csc->nonzeros += csc->code[e] != 0;
    } else {
        lac_eie_csc_release(csc);
    }
    lac_free(scratch);
    return status;
}

/* One column of one PE: rows inside, padding followed by a real entry. */
static lac_status check_column(lac_eie_csc *csc, int64_t p, int64_t j, int64_t begin, int64_t end,
                               int codes, lac_error *err)
{
    int64_t row = -1, limit = local_rows(csc->rows, csc->pe, p);
    for (int64_t e = begin; e < end; e++) {
        row += csc->run[e] + 1;
        if (csc->run[e] >= csc->jump)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "eie-csc: PE %lld column %lld: run %d, must be below %d", (long long)p,
                            (long long)j, csc->run[e], csc->jump);
        if (csc->code[e] >= codes)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "eie-csc: PE %lld column %lld: code %d, must be below %d", (long long)p,
                            (long long)j, csc->code[e], codes);
        if (row >= limit)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "eie-csc: PE %lld column %lld: local row %lld, the PE has %lld",
                            (long long)p, (long long)j, (long long)row, (long long)limit);
        if (csc->code[e] == 0 && (csc->run[e] != csc->jump - 1 || e + 1 == end))
            return lac_fail(err, LAC_ERROR_INPUT,
                            "eie-csc: PE %lld column %lld: padding with run %d %s", (long long)p,
                            (long long)j, csc->run[e],
                            e + 1 == end ? "ends the column" : "is shorter than the longest run");
        csc->nonzeros += csc->code[e] != 0;
    }
    return LAC_OK;
}

lac_status lac_eie_csc_check(lac_eie_csc *csc, int codes, lac_error *err)
{
    csc->first[0] = 0;
    for (int64_t p = 0; p < csc->pe; p++) {
        const uint32_t *pointer = csc->pointer + p * (csc->cols + 1);
        if (pointer[0] != 0)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "eie-csc: PE %lld: the first pointer is %lu, must be 0", (long long)p,
                            (unsigned long)pointer[0]);
        for (int64_t j = 0; j < csc->cols; j++)
            if (pointer[j + 1] < pointer[j])
                return lac_fail(err, LAC_ERROR_INPUT,
                                "eie-csc: PE %lld: pointer %lld is %lu, below the one before",
                                (long long)p, (long long)j + 1, (unsigned long)pointer[j + 1]);
        csc->first[p + 1] = csc->first[p] + pointer[csc->cols];
    }
    if (csc->first[csc->pe] != csc->entries)
        return lac_fail(err, LAC_ERROR_INPUT,
                        "eie-csc: the pointers count %lld entries, there are %lld",
                        (long long)csc->first[csc->pe], (long long)csc->entries);
    csc->nonzeros = 0;
    for (int64_t p = 0; p < csc->pe; p++) {
        const uint32_t *pointer = csc->pointer + p * (csc->cols + 1);
        for (int64_t j = 0; j < csc->cols; j++)
            LAC_TRY(check_column(csc, p, j, csc->first[p] + pointer[j],
                                 csc->first[p] + pointer[j + 1], codes, err));
    }
    return LAC_OK;
}

void lac_eie_csc_decode(const lac_eie_csc *csc, uint8_t *codes)
{
    memset(codes, 0, (size_t)(csc->rows * csc->cols));
    for (int64_t p = 0; p < csc->pe; p++) {
        const uint32_t *pointer = csc->pointer + p * (csc->cols + 1);
        for (int64_t j = 0; j < csc->cols; j++) {
            int64_t row = -1;
            for (int64_t e = csc->first[p] + pointer[j]; e < csc->first[p] + pointer[j + 1]; e++) {
                row += csc->run[e] + 1;
                codes[(row * csc->pe + p) * csc->cols + j] = csc->code[e];
            }
        }
    }
}

void lac_eie_csc_histogram(const lac_eie_csc *csc, uint64_t code[256], uint64_t run[256])
{
    memset(code, 0, 256 * sizeof *code);
    memset(run, 0, 256 * sizeof *run);
    for (int64_t e = 0; e < csc->entries; e++) {
        code[csc->code[e]]++;
        run[csc->run[e]]++;
    }
}

int lac_eie_csc_pointer_bits(const lac_eie_csc *csc)
{
    for (int64_t p = 0; p < csc->pe; p++)
        if (csc->pointer[p * (csc->cols + 1) + csc->cols] > 65536)
            return 17;
    return 16;
}

lac_status lac_eie_csc_size_bits(const lac_eie_csc *csc, int code_bits, int value_bits,
                                 int64_t bias_bits, bool huffman, int64_t *bits, lac_error *err)
{
    int index_bits = 1;
    while (1 << index_bits < csc->jump)
        index_bits++;
    *bits = csc->pe * (csc->cols + 1) * lac_eie_csc_pointer_bits(csc) +
            ((int64_t)value_bits << code_bits) + bias_bits;
    if (!huffman) {
        *bits += csc->entries * (code_bits + index_bits);
        return LAC_OK;
    }
    uint64_t code[256], run[256];
    lac_eie_csc_histogram(csc, code, run);
    lac_huffman tree;
    LAC_TRY(lac_huffman_make(&tree, code, 1 << code_bits, err));
    *bits += (int64_t)lac_huffman_bits(&tree, code) + (8 << code_bits) + 64;
    LAC_TRY(lac_huffman_make(&tree, run, 1 << index_bits, err));
    *bits += (int64_t)lac_huffman_bits(&tree, run) + (8 << index_bits) + 64;
    return LAC_OK;
}
