/* Einsum: one loop over all labels of the equation, the output's first; each operand has a stride
 * per label. Plain, for the small contractions that exporters write this way. */
#include "op/nn.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

enum { LABELS = 16, OPERANDS = 8, ELLIPSIS = 256 }; /* dims of "..." are labels 256, 257, ... */

typedef struct plan {
    int operands, labels, kept; /* the first `kept` labels are the output's */
    int label[LABELS];
    int64_t size[LABELS], stride[OPERANDS][LABELS];
} plan;

static lac_status place(plan *p, int label, int *index, lac_error *err)
{
    for (*index = 0; *index < p->labels; (*index)++)
        if (p->label[*index] == label)
            return LAC_OK;
    if (p->labels == LABELS)
        return lac_fail(err, LAC_ERROR_UNSUPPORTED, "equation has more than %d labels", LABELS);
    p->label[p->labels] = label;
    p->size[p->labels++] = -1;
    return LAC_OK;
}

/* Labels of one term; ellipsis stands for `dims` labels, the last of which is ELLIPSIS. */
static lac_status term(const char *text, size_t n, int dims, int *label, int *count, lac_error *err)
{
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        int more = 1;
        if (text[i] == ' ')
            continue;
        if (n - i >= 3 && memcmp(text + i, "...", 3) == 0) {
            more = dims;
            i += 2;
        } else if (!isalpha((unsigned char)text[i])) {
            return lac_fail(err, LAC_ERROR_INPUT, "equation has '%c'", text[i]);
        }
        for (int k = 0; k < more; k++) {
            if (*count == LAC_MAX_RANK)
                return lac_fail(err, LAC_ERROR_INPUT, "a term of equation has more than %d labels",
                                LAC_MAX_RANK);
            label[(*count)++] = more == 1 && text[i] != '.' ? text[i] : ELLIPSIS + dims - 1 - k;
        }
    }
    return LAC_OK;
}

/* Dims that "..." of a term of n characters stands for in a tensor of `rank`; -1: no ellipsis. */
static int ellipsis(const char *text, size_t n, int rank)
{
    int letters = 0, dots = 0;
    for (size_t i = 0; i < n; i++) {
        letters += isalpha((unsigned char)text[i]) != 0;
        dots += text[i] == '.';
    }
    return dots ? rank - letters : -1;
}

static lac_status bind(const lac_call *call, plan *p, int operand, const int *label, int count,
                       lac_error *err)
{
    const lac_tensor *x = call->in[operand];
    if (count != x->rank)
        return lac_fail(err, LAC_ERROR_INPUT, "equation: term %d has %d labels, the input rank %d",
                        operand, count, x->rank);
    for (int d = 0; d < count; d++) {
        int at;
        LAC_TRY(place(p, label[d], &at, err));
        if (p->size[at] < 0 || p->size[at] == 1)
            p->size[at] = x->dims[d];
        else if (x->dims[d] != p->size[at] && x->dims[d] != 1)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "equation: sizes %" PRId64 " and %" PRId64 " under one label",
                            p->size[at], x->dims[d]);
        if (x->dims[d] != 1)
            p->stride[operand][at] += lac_op_product(x->dims, d + 1, x->rank);
    }
    return LAC_OK;
}

static lac_status read(const lac_call *call, plan *p, lac_error *err)
{
    const char *text = lac_node_string(call->node, "equation", ""), *arrow = strstr(text, "->");
    size_t n = arrow ? (size_t)(arrow - text) : strlen(text), begin[OPERANDS], length[OPERANDS];
    int label[LAC_MAX_RANK], count, dims = 0, seen[128] = {0};
    memset(p, 0, sizeof *p);
    for (size_t i = 0; i <= n; p->operands++) {
        size_t end = i;
        while (end < n && text[end] != ',')
            end++;
        if (p->operands == OPERANDS || p->operands >= call->n_in)
            return lac_fail(err, LAC_ERROR_INPUT,
                            "equation has more terms than the %d inputs (limit %d)", call->n_in,
                            OPERANDS);
        begin[p->operands] = i;
        length[p->operands] = end - i;
        int e = ellipsis(text + i, end - i, call->in[p->operands]->rank);
        dims = e > dims ? e : dims;
        i = end + 1;
    }
    if (p->operands != call->n_in)
        return lac_fail(err, LAC_ERROR_INPUT, "equation has %d terms for %d inputs", p->operands,
                        call->n_in);
    if (arrow) {
        LAC_TRY(term(arrow + 2, strlen(arrow + 2), dims, label, &count, err));
    } else { /* the ellipsis, then the letters that occur once, in alphabetical order */
        count = 0;
        for (size_t i = 0; i < n; i++)
            if (isalpha((unsigned char)text[i]))
                seen[(unsigned char)text[i]]++;
        for (int k = 0; k < dims; k++)
            label[count++] = ELLIPSIS + dims - 1 - k;
        for (int c = 'A'; c <= 'z'; c++)
            if (seen[c] == 1) {
                if (count == LAC_MAX_RANK)
                    return lac_fail(err, LAC_ERROR_INPUT, "equation: the output has rank above %d",
                                    LAC_MAX_RANK);
                label[count++] = c;
            }
    }
    for (int i = 0; i < count; i++) {
        int at;
        LAC_TRY(place(p, label[i], &at, err));
        if (at != i)
            return lac_fail(err, LAC_ERROR_INPUT, "equation: a label stands twice in the output");
    }
    p->kept = count;
    for (int o = 0; o < p->operands; o++) {
        int own = ellipsis(text + begin[o], length[o], call->in[o]->rank);
        LAC_TRY(term(text + begin[o], length[o], own < 0 ? 0 : own, label, &count, err));
        LAC_TRY(bind(call, p, o, label, count, err));
    }
    int64_t total;
    for (int i = 0; i < p->labels; i++)
        if (p->size[i] < 0)
            return lac_fail(err, LAC_ERROR_INPUT, "equation: an output label stands in no input");
    LAC_TRY(lac_shape_count(p->kept, p->size, &total, err));
    for (int i = p->kept; i < p->labels; i++)
        if (p->size[i] && __builtin_mul_overflow(total, p->size[i], &total))
            return lac_fail(err, LAC_ERROR_INPUT, "equation: the number of products overflows");
    return LAC_OK;
}

static lac_status infer(const lac_call *call, lac_error *err)
{
    plan p;
    LAC_TRY(lac_nn_count(call, 1, OPERANDS, 1, err));
    LAC_TRY(lac_nn_dtype(call, 0, LAC_NN_FLOATS | LAC_BIT(LAC_F64), err));
    for (int i = 1; i < call->n_in; i++) {
        if (!call->in[i])
            return lac_fail(err, LAC_ERROR_INPUT, "input %d is missing", i);
        LAC_TRY(lac_nn_same(call, i, err));
    }
    LAC_TRY(read(call, &p, err));
    return lac_op_out(call, 0, call->in[0]->dtype, p.kept, p.size, err);
}

/* Offsets of the operands at index `index` over labels [from, to). */
static void offsets(const plan *p, int64_t index, int from, int to, int64_t *offset)
{
    for (int l = to; l-- > from; index /= p->size[l])
        for (int o = 0; o < p->operands; o++)
            offset[o] += index % p->size[l] * p->stride[o][l];
}

static lac_status run_wide(const lac_call *call, lac_error *err)
{
    plan p;
    LAC_TRY(read(call, &p, err));
    int64_t count = lac_op_product(p.size, 0, p.kept);
    int64_t sums = lac_op_product(p.size, p.kept, p.labels);
    bool wide = call->in[0]->dtype == LAC_F64;
    for (int64_t i = 0; i < count; i++) {
        int64_t base[OPERANDS] = {0}, at[OPERANDS];
        double sum = 0;
        offsets(&p, i, 0, p.kept, base);
        for (int64_t k = 0; k < sums; k++) {
            double product = 1;
            memcpy(at, base, sizeof at);
            offsets(&p, k, p.kept, p.labels, at);
            for (int o = 0; o < p.operands; o++)
                product *= wide ? ((const double *)call->in[o]->data)[at[o]]
                                : (double)((const float *)call->in[o]->data)[at[o]];
            sum += product;
        }
        lac_tensor_set(&call->out[0], i, sum);
    }
    return LAC_OK;
}

static lac_status run(const lac_call *call, lac_error *err)
{
    return lac_nn_widened(call, run_wide, err);
}

const lac_op lac_op_einsum = {
    .row = LAC_ROW(lac_op, "Einsum", "sum of products by an equation over labels"),
    .domain = "",
    .since = 12,
    .dtypes = LAC_NN_FLOATS | LAC_BIT(LAC_F64),
    .attributes = "equation:string",
    .infer = infer,
    .run = run,
};
