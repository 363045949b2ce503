/* See trial_weights.h. */
#include "study/trial_weights.h"

#include "core/memory.h"
#include "core/random.h"

#include <string.h>

typedef struct matrix {
    lac_tensor *w;
    int64_t rows, cols;
    int bits;
    lac_random random;
} matrix;

static void put(matrix *m, int64_t row, int64_t col)
{
    uint64_t word = lac_random_next(&m->random);
    if (m->bits == 1) {
        ((float *)m->w->data)[row * m->cols + col] = word >> 63 ? 0.25f : -0.25f;
    } else if (m->bits > 1) { /* the first of a row is the largest: it gives the step */
        int half = 1 << (m->bits - 1), code = (int)((word >> 32) % (2 * (unsigned)half)) - half;
        if (col == 0 || (m->bits == 8 && code == -half))
            code = half - 1;
        if (m->w->dtype == LAC_I8)
            ((int8_t *)m->w->data)[row * m->cols + col] = (int8_t)code;
        else
            ((float *)m->w->data)[row * m->cols + col] = 0.25f * (float)code;
    } else if (m->w->dtype == LAC_F32) {
        float value = (float)(int32_t)(word >> 32) * 0x1p-31f;
        ((float *)m->w->data)[row * m->cols + col] = value != 0 ? value : 0.5f;
    } else {
        int8_t value = (int8_t)(word >> 56);
        ((int8_t *)m->w->data)[row * m->cols + col] = value ? value : 1;
    }
}

static void put_block(matrix *m, const lac_sparsity *s, int64_t row, int64_t col)
{
    for (int64_t i = row; i < row + s->rows && i < m->rows; i++)
        for (int64_t k = col; k < col + s->cols && k < m->cols; k++)
            put(m, i, k);
}

static void fill(matrix *m, const lac_sparsity *asked)
{
    lac_sparsity s = *asked;
    s.rows = s.rows > 0 ? s.rows : 1;
    s.cols = s.cols > 0 ? s.cols : 1;
    for (int64_t row = 0; row < m->rows; row += s.rows) {
        int left = s.n, rest = s.m;
        for (int64_t col = 0; col < m->cols; col += s.cols) {
            double keep = s.density;
            if (s.m) { /* `left` of the `rest` places of this group: a uniform choice */
                if (rest == 0) {
                    left = s.n;
                    rest = s.m;
                }
                keep = (double)left / rest--;
            }
            if (lac_random_unit(&m->random) < keep) {
                put_block(m, &s, row, col);
                left--;
            }
        }
    }
}

static double density_of(const lac_tensor *w)
{
    int64_t count = lac_tensor_count(w), left = 0;
    if (w->dtype == LAC_F32)
        for (int64_t i = 0; i < count; i++)
            left += ((const float *)w->data)[i] != 0;
    else
        for (int64_t i = 0; i < count; i++)
            left += ((const int8_t *)w->data)[i] != 0;
    return count ? (double)left / (double)count : 1;
}

static lac_status fill_and_pack(lac_trial_weights *t, const lac_trial_spec *spec, int rank,
                                const int64_t *dims, lac_error *err)
{
    LAC_TRY(lac_tensor_make(&t->tensor, spec->weights, rank, dims, err));
    matrix m = {.w = &t->tensor,
                .rows = dims[0],
                .bits = spec->bits,
                .random = lac_random_stream(spec->seed, 1)};
    m.cols = lac_tensor_count(&t->tensor) / m.rows;
    if (rank == 4 && m.cols != dims[1]) { /* the pattern runs along r, s, c: fill that matrix */
        lac_tensor shaped, flat;
        LAC_TRY(lac_tensor_make(&flat, spec->weights, 2, (int64_t[]){m.rows, m.cols}, err));
        m.w = &flat;
        fill(&m, &spec->sparsity);
        lac_status status = lac_view_tensor(LAC_VIEW_CONV, &flat, 4, dims, &shaped, err);
        lac_tensor_release(&flat);
        LAC_TRY(status);
        lac_tensor_release(&t->tensor);
        t->tensor = shaped;
    } else {
        fill(&m, &spec->sparsity);
    }
    t->density = density_of(&t->tensor);
    if (strcmp(spec->format, "dense") == 0)
        return LAC_OK;
    const lac_format *format;
    lac_params params;
    LAC_TRY(lac_format_parse(spec->format, &format, &params, err));
    LAC_TRY(lac_pack(&t->packed, format, &params, rank == 4 ? LAC_VIEW_CONV : LAC_VIEW_ROWS,
                     &t->tensor, err));
    t->is_packed = true;
    lac_tensor_release(&t->tensor);
    return LAC_OK;
}

lac_status lac_trial_weights_make(lac_trial_weights **weights, const lac_trial_spec *spec, int rank,
                                  const int64_t *dims, lac_error *err)
{
    lac_trial_weights *t = lac_alloc(1, sizeof *t, err);
    if (!t)
        return LAC_ERROR_MEMORY;
    t->users = 1;
    lac_status status = fill_and_pack(t, spec, rank, dims, err);
    if (status == LAC_OK)
        *weights = t;
    else
        lac_trial_weights_drop(t);
    return status;
}

void lac_trial_weights_drop(lac_trial_weights *weights)
{
    if (!weights || --weights->users > 0)
        return;
    lac_tensor_release(&weights->tensor);
    lac_packed_release(&weights->packed);
    lac_free(weights);
}
