/* Unpacking with standard operators. Every entry gets a place in a dense [pe][cols][R] tensor, R =
 * ceil(rows / pe): the running sum of run + 1 over all entries, put right at the start of each
 * non-empty column by one scattered correction. A padding entry lands where the matrix is 0 and
 * carries codebook[0] = 0, so all entries are scattered alike. */
#include "format/eie_csc_graph.h"

#include "format/packed.h"

/* A small builder: the first failure sticks, later calls do nothing. */
typedef struct builder {
    lac_graph *graph;
    lac_error *err;
    lac_status status;
} builder;

static int vector(builder *b, int n, const int64_t *values)
{
    int value = -1;
    if (b->status == LAC_OK)
        b->status = lac_body_ints(b->graph, n, values, &value, b->err);
    return value;
}

static int vector1(builder *b, int64_t x)
{
    return vector(b, 1, &x);
}

/* Where the standard asks for rank 0. */
static int scalar(builder *b, int64_t x)
{
    lac_tensor tensor;
    int value = -1;
    if (b->status == LAC_OK)
        b->status = lac_tensor_make(&tensor, LAC_I64, 0, NULL, b->err);
    if (b->status != LAC_OK)
        return -1;
    *(int64_t *)tensor.data = x;
    b->status = lac_graph_constant(b->graph, NULL, &tensor, &value, b->err);
    lac_tensor_release(&tensor);
    return value;
}

static lac_node *node(builder *b, const char *op, int n_in, const int *in, int *out)
{
    lac_node *made = NULL;
    *out = -1;
    if (b->status == LAC_OK)
        b->status = lac_body_op(b->graph, op, n_in, in, out, &made, b->err);
    return b->status == LAC_OK ? made : NULL;
}

static int op1(builder *b, const char *op, int x)
{
    int out;
    node(b, op, 1, (int[]){x}, &out);
    return out;
}

static int op2(builder *b, const char *op, int x, int y)
{
    int out;
    node(b, op, 2, (int[]){x, y}, &out);
    return out;
}

static int with_int(builder *b, const char *op, int n_in, const int *in, const char *attribute,
                    int64_t i)
{
    int out;
    lac_node *made = node(b, op, n_in, in, &out);
    if (made)
        b->status = lac_node_set_int(b->graph, made, attribute, i, b->err);
    return out;
}

static int to_int64(builder *b, int x)
{
    int out = -1;
    if (b->status == LAC_OK)
        b->status = lac_body_cast(b->graph, x, LAC_I64, &out, b->err);
    return out;
}

static int slice(builder *b, int x, int64_t axis, int64_t from, int64_t to)
{
    int out = -1;
    if (b->status == LAC_OK)
        b->status = lac_body_slice(b->graph, x, axis, from, to, &out, b->err);
    return out;
}

static int reshape(builder *b, int x, int n, const int64_t *dims)
{
    int out = -1;
    if (b->status == LAC_OK)
        b->status = lac_body_reshape(b->graph, x, n, dims, &out, b->err);
    return out;
}

static int cumsum(builder *b, int x, bool exclusive)
{
    return with_int(b, "CumSum", 2, (int[]){x, scalar(b, 0)}, "exclusive", exclusive);
}

static int zeros(builder *b, lac_dtype dtype, int64_t n)
{
    int out = -1;
    if (b->status == LAC_OK)
        b->status = lac_body_zeros(b->graph, dtype, 1, &n, &out, b->err);
    return out;
}

static int scatter(builder *b, int data, int indices, int updates)
{
    return with_int(b, "ScatterElements", 3, (int[]){data, indices, updates}, "axis", 0);
}

/* The entries as int64 [E]: element e of the bit string. `count` is E as a value [1]. */
static int entry_values(builder *b, int entries, int width, int count)
{
    int bytes = to_int64(b, entries);
    if (width == 8)
        return bytes;
    /* Three bytes hold any element of at most 16 bits: byte + 256 byte' + 65536 byte''. */
    int padded =
        with_int(b, "Concat", 2, (int[]){bytes, vector(b, 2, (int64_t[]){0, 0})}, "axis", 0);
    int number, end = op2(b, "Squeeze", count, vector1(b, 0));
    node(b, "Range", 3, (int[]){scalar(b, 0), end, scalar(b, 1)}, &number);
    int bit = op2(b, "Mul", number, scalar(b, width));
    int at = op2(b, "Div", bit, scalar(b, 8)), shift = op2(b, "Mod", bit, scalar(b, 8));
    int low = op2(b, "Gather", padded, at);
    int middle = op2(b, "Gather", padded, op2(b, "Add", at, scalar(b, 1)));
    int high = op2(b, "Gather", padded, op2(b, "Add", at, scalar(b, 2)));
    int held = op2(b, "Add", low, op2(b, "Mul", middle, scalar(b, 256)));
    held = op2(b, "Add", held, op2(b, "Mul", high, scalar(b, 65536)));
    int power = op2(b, "Gather", vector(b, 8, (int64_t[]){1, 2, 4, 8, 16, 32, 64, 128}), shift);
    return op2(b, "Mod", op2(b, "Div", held, power), scalar(b, INT64_C(1) << width));
}

/* x minus its predecessor, the first minus 0. */
static int difference(builder *b, int x)
{
    int before = with_int(b, "Concat", 2, (int[]){vector1(b, 0), x}, "axis", 0);
    return op2(b, "Sub", x, slice(b, before, 0, 0, -1));
}

lac_status lac_eie_csc_graph(lac_graph *graph, int64_t rows, int64_t cols, int64_t pe,
                             int code_bits, int index_bits, lac_dtype dtype, const int *field,
                             int *matrix, lac_error *err)
{
    builder builder_ = {graph, err, LAC_OK}, *b = &builder_;
    int64_t local = (rows + pe - 1) / pe; /* R */
    /* Entries of each (PE, column), numbered s = p * cols + j. */
    int pointers = reshape(b, to_int64(b, field[1]), 2, (int64_t[]){pe, cols + 1});
    int counts = op2(b, "Sub", slice(b, pointers, 1, 1, cols + 1), slice(b, pointers, 1, 0, cols));
    counts = reshape(b, counts, 1, (int64_t[]){pe * cols});
    int count;
    lac_node *sum = node(b, "ReduceSum", 1, (int[]){counts}, &count); /* E, as [1] */
    if (sum)
        b->status = lac_node_set_int(graph, sum, "keepdims", 1, err);
    int entry = entry_values(b, field[0], code_bits + index_bits, count);
    int codes = scalar(b, INT64_C(1) << code_bits);
    int code = op2(b, "Mod", entry, codes);
    int step = op2(b, "Add", op2(b, "Div", entry, codes), scalar(b, 1));
    int place = op2(b, "Sub", cumsum(b, step, false), scalar(b, 1));
    /* Columns that are not empty, the number of their first entry, the sum of steps before it. */
    int column = op2(b, "Squeeze", op1(b, "NonZero", counts), vector1(b, 0));
    int start = op2(b, "Gather", cumsum(b, counts, true), column);
    int before = op2(b, "Gather", cumsum(b, step, true), start);
    int shift = op2(b, "Sub", op2(b, "Mul", column, scalar(b, local)), before);
    int change = scatter(b, op2(b, "Mul", step, vector1(b, 0)), start, difference(b, shift));
    place = op2(b, "Add", place, cumsum(b, change, false));
    int dense =
        scatter(b, zeros(b, dtype, pe * cols * local), place, op2(b, "Gather", field[2], code));
    dense = reshape(b, dense, 3, (int64_t[]){pe, cols, local});
    int turned;
    lac_node *transpose = node(b, "Transpose", 1, (int[]){dense}, &turned);
    if (transpose)
        b->status = lac_node_set_ints(graph, transpose, "perm", 3, (int64_t[]){2, 0, 1}, err);
    dense = reshape(b, turned, 2, (int64_t[]){local * pe, cols});
    *matrix = slice(b, dense, 0, 0, rows);
    return b->status;
}
